//! A chain of layers.

mod data_init;
mod fold;
mod inference;
mod summary;
mod target_scale;
mod whole;

use std::sync::Arc;

pub use self::inference::Inference;
pub(crate) use self::inference::{INFERENCE_BATCH, Prepared};
use crate::activation::Activation;
use crate::engine::{EMBEDDED, Engine};
use crate::error::{Error, Result};
use crate::init::Init;
use crate::layer::{self, Categories, Layer, LayerKind, NumberEmbedding, outputs_of_categories};
use crate::loss::Loss;

use crate::ops::fused;
use crate::samples::{Report, Samples, Scores};
use crate::scalar::Scalar;

/// A chain of layers that infers.
///
/// ```
/// use travertine::{Activation, Matrix, Network, engine};
/// let cpu = engine::open::<f32>("cpu")?;
/// let network = Network::builder(&cpu, 784)
///     .dense(30, Activation::Sigmoid)
///     .dense(10, Activation::Softmax)
///     .seed(1)
///     .build()?;
/// assert_eq!(network.parameters(), 784 * 30 + 30 + 30 * 10 + 10);
/// let x = Matrix::zeros(&cpu, 784, 1000)?;
/// let probabilities = network.infer(x.view())?;
/// assert_eq!((probabilities.rows(), probabilities.columns()), (10, 1000));
/// # Ok::<(), travertine::Error>(())
/// ```
pub struct Network<T: Scalar> {
    layers: Vec<Box<dyn Layer<T>>>,
}

/// Describes a [`Network`]: sizes are inferred from layer to layer.
pub struct Builder<'e, T: Scalar> {
    engine: &'e Arc<dyn Engine<T>>,
    inputs: usize,
    /// Kind, outputs and activation.
    layers: Vec<(LayerKind, usize, Activation)>,
    /// The numbers of the features that the layers of this kind embed.
    embedded: Vec<usize>,
    /// The features that the layers of this kind embed.
    categories: Vec<Categories>,
    init: Init,
    seed: u64,
}

impl<T: Scalar> Builder<'_, T> {
    /// One more dense layer.
    pub fn dense(self, outputs: usize, activation: Activation) -> Self {
        self.layer(LayerKind::Dense, outputs, activation)
    }

    /// Batch normalization of what the last layer puts out, which usually is a dense one with [`Activation::Identity`]: the
    /// activation then stands behind the normalization.
    pub fn batch_norm(self, activation: Activation) -> Self {
        let features = self.outputs();
        self.layer(LayerKind::BatchNorm, features, activation)
    }

    /// Layer normalization, as [`Builder::batch_norm`].
    pub fn layer_norm(self, activation: Activation) -> Self {
        let features = self.outputs();
        self.layer(LayerKind::LayerNorm, features, activation)
    }

    /// A factor for each feature of what the last layer puts out, as [`Builder::batch_norm`].
    pub fn scale(self, activation: Activation) -> Self {
        let features = self.outputs();
        self.layer(LayerKind::Scale, features, activation)
    }

    /// Embeddings of the features with these numbers, in ascending order, below the features themselves
    /// ([`NumberEmbedding`]). It is the first layer, and a dense one usually follows.
    ///
    /// ```
    /// use travertine::trainer::Factors;
    /// use travertine::{Activation, Loss, Network, Trainer, engine, optimizer::Adam};
    /// let cpu = engine::open::<f32>("cpu")?;
    /// // Of ten features the first four are numbers, the others those of categories.
    /// let mut network = Network::builder(&cpu, 10)
    ///     .embed_numbers(&[0, 1, 2, 3])
    ///     .dense(64, Activation::Selu)
    ///     .dense(3, Activation::Softmax)
    ///     .build()?;
    /// assert_eq!(network.layers()[1].inputs(), 10 + 4 * 3);
    /// let slow = Factors { rate: 0.1, decay: 1.0 };
    /// let factors = vec![[slow; 2], [Factors::default(); 2], [Factors::default(); 2]];
    /// let trainer = Trainer::builder(&mut network, Loss::SoftmaxCrossEntropy, Adam::new(0.001)?)
    ///     .factors(factors)
    ///     .build()?;
    /// # Ok::<(), travertine::Error>(())
    /// ```
    pub fn embed_numbers(mut self, columns: &[usize]) -> Self {
        let outputs = self.outputs().saturating_add(columns.len().saturating_mul(EMBEDDED));
        self.embedded = columns.to_vec();
        self.layer(LayerKind::NumberEmbedding, outputs, Activation::Identity)
    }

    /// Learned vectors in the place of the numbers of categories that these features hold, in ascending order
    /// ([`CategoryEmbedding`](crate::layer::CategoryEmbedding)). It is the first layer, or follows
    /// [`Builder::embed_numbers`].
    ///
    /// ```
    /// use travertine::layer::Categories;
    /// use travertine::{Activation, Network, engine};
    /// let cpu = engine::open::<f32>("cpu")?;
    /// // Of ten features the last is the number of one of 5000 towns.
    /// let network = Network::builder(&cpu, 10)
    ///     .embed_categories(&[Categories { feature: 9, count: 5000 }])
    ///     .dense(64, Activation::Selu)
    ///     .dense(3, Activation::Softmax)
    ///     .build()?;
    /// assert_eq!(network.layers()[1].inputs(), 10 + 7);
    /// # Ok::<(), travertine::Error>(())
    /// ```
    pub fn embed_categories(mut self, features: &[Categories]) -> Self {
        let outputs = outputs_of_categories(self.outputs(), features);
        self.categories = features.to_vec();
        self.layer(LayerKind::CategoryEmbedding, outputs, Activation::Identity)
    }

    /// A parametric activation of what the last layer puts out, which usually is a dense one with
    /// [`Activation::Identity`]: `y_i = (1 - a_i) x_i + a_i f(x_i)` with a learned a for each unit, 1 at first
    /// ([`Parametric`](crate::layer::Parametric)).
    ///
    /// ```
    /// use travertine::trainer::Factors;
    /// use travertine::{Activation, Loss, Network, Trainer, engine, optimizer::Adam};
    /// let cpu = engine::open::<f32>("cpu")?;
    /// let mut network = Network::builder(&cpu, 10)
    ///     .dense(64, Activation::Identity)
    ///     .parametric(Activation::Mish)
    ///     .dense(1, Activation::Identity)
    ///     .build()?;
    /// // a learns at a tenth of the rate, and does not decay.
    /// let mut factors = vec![[Factors::default(); 2]; 3];
    /// factors[1] = [Factors { rate: 0.1, decay: 0.0 }; 2];
    /// let trainer = Trainer::builder(&mut network, Loss::Quadratic, Adam::new(0.001)?)
    ///     .factors(factors)
    ///     .build()?;
    /// # Ok::<(), travertine::Error>(())
    /// ```
    pub fn parametric(self, activation: Activation) -> Self {
        let units = self.outputs();
        self.layer(LayerKind::Parametric, units, activation)
    }

    /// Rows of what the last layer puts out.
    fn outputs(&self) -> usize {
        self.layers.last().map_or(self.inputs, |layer| layer.1)
    }

    fn layer(mut self, kind: LayerKind, outputs: usize, activation: Activation) -> Self {
        self.layers.push((kind, outputs, activation));
        self
    }

    /// How the parameters begin; by default [`Init::GlorotUniform`].
    pub fn init(mut self, init: Init) -> Self {
        self.init = init;
        self
    }

    /// The seed of the parameters; by default 0.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// The network, its parameters drawn.
    ///
    /// # Errors
    /// No layers, a layer of size 0, softmax in front of another layer, embeddings behind another layer or of features that there are
    /// not, a parameter out of range; no memory.
    pub fn build(self) -> Result<Network<T>> {
        let mut inputs = self.inputs;
        let mut layers = Vec::with_capacity(self.layers.len());
        for (number, &(kind, outputs, activation)) in (0..).zip(&self.layers) {
            let mut layer = match kind {
                LayerKind::NumberEmbedding => {
                    NumberEmbedding::new(self.engine, inputs, &self.embedded)?.into()
                }
                kind => layer::of_kind(
                    kind,
                    self.engine,
                    (inputs, outputs),
                    activation,
                    &self.categories,
                )?,
            };
            layer.initialize(self.init, self.seed, number)?;
            layers.push(layer);
            inputs = outputs;
        }
        Network::from_layers(layers)
    }
}

impl<T: Scalar> Network<T> {
    /// Begins the description of a network for samples of `inputs` features.
    pub fn builder(engine: &Arc<dyn Engine<T>>, inputs: usize) -> Builder<'_, T> {
        let (layers, embedded, categories) = (Vec::new(), Vec::new(), Vec::new());
        let init = Init::GlorotUniform;
        Builder { engine, inputs, layers, embedded, categories, init, seed: 0 }
    }

    /// A network of layers that exist already.
    ///
    /// # Errors
    /// No layers; layers that do not chain, both named; softmax in front of another layer; embeddings behind
    /// another layer; layers on different engines.
    pub fn from_layers<L: Into<Box<dyn Layer<T>>>>(
        layers: impl IntoIterator<Item = L>,
    ) -> Result<Self> {
        let layers: Vec<Box<dyn Layer<T>>> = layers.into_iter().map(Into::into).collect();
        let Some(first) = layers.first() else {
            return Err(Error::argument("network", "a network must have at least one layer"));
        };
        let engine = first.weights().engine();
        for (i, pair) in layers.windows(2).enumerate() {
            let (one, next) = (&pair[0], &pair[1]);
            if one.outputs() != next.inputs() {
                let reason = format!(
                    "layer {i} is {} -> {}, layer {} is {} -> {}; outputs of the one must equal inputs of the next",
                    one.inputs(),
                    one.outputs(),
                    i + 1,
                    next.inputs(),
                    next.outputs()
                );
                return Err(Error::argument("network", reason));
            }
            if one.activation() == Activation::Softmax {
                let reason = format!(
                    "layer {i} has softmax, which is for the last layer, and is followed by layer {}",
                    i + 1
                );
                return Err(Error::argument("network", reason));
            }
        }
        for (i, layer) in layers.iter().enumerate() {
            let before = i.checked_sub(1).map(|before| layers[before].kind());
            if let Some(place) = layer.kind().misplaced(i, before) {
                let reason = format!(
                    "layer {i} is {}, which embeds the features of samples and {place}",
                    layer.kind()
                );
                return Err(Error::argument("network", reason));
            }
        }
        if !layers.iter().all(|layer| Arc::ptr_eq(layer.weights().engine(), engine)) {
            return Err(Error::argument("network", "all layers must live on one engine"));
        }
        Ok(Network { layers })
    }

    /// The layers, first to last.
    pub fn layers(&self) -> &[Box<dyn Layer<T>>] {
        &self.layers
    }

    /// The layers, first to last, their parameters to write.
    pub fn layers_mut(&mut self) -> &mut [Box<dyn Layer<T>>] {
        &mut self.layers
    }

    /// The engine that the network lives on.
    pub fn engine(&self) -> &Arc<dyn Engine<T>> {
        self.layers[0].weights().engine()
    }

    /// Features of a sample.
    pub fn inputs(&self) -> usize {
        self.layers[0].inputs()
    }

    /// Outputs for a sample.
    pub fn outputs(&self) -> usize {
        self.last().outputs()
    }

    pub(crate) fn last(&self) -> &dyn Layer<T> {
        &*self.layers[self.layers.len() - 1]
    }

    /// The activation of the last layer, as a loss sees it.
    pub(crate) fn output_activation(&self) -> Activation {
        match self.last().kind() {
            // Its outputs are a blend, no longer those of f.
            LayerKind::Parametric => Activation::Identity,
            _ => self.last().activation(),
        }
    }

    /// Number of parameters.
    pub fn parameters(&self) -> usize {
        self.layers.iter().map(|layer| summary::parameters(&**layer)).sum()
    }

    /// Mean loss and, for classes, accuracy.
    ///
    /// # Errors
    /// Samples of other sizes than the network's; a device that fails.
    pub fn evaluate(&self, loss: Loss, samples: &Samples<'_, T>) -> Result<Report> {
        let count = samples.count();
        samples.check("evaluate", self.engine(), self.inputs(), self.outputs())?;
        let first_by_row = loss.first_by_row(self.engine())?;
        let mut inference = self.inference_for(count)?;
        let mut scores = Scores::new(self.engine(), count)?;
        for first in (0..count).step_by(INFERENCE_BATCH) {
            let range = first..count.min(first + INFERENCE_BATCH);
            let ([x, t], [losses, hits]) =
                (samples.range(range.clone())?, scores.range_mut(range)?);
            let output = inference.run_for(loss, x)?;
            fused::loss((loss.formula(), first_by_row.as_ref()), output, t, losses, None)?;
            fused::hits(output, t, loss.threshold(), hits)?;
        }
        scores.report(count, samples.task())
    }
}
