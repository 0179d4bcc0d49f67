//! A chain of layers.

mod fold;
mod whole;

use std::sync::Arc;

use crate::activation::Activation;
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::init::Init;
use crate::layer::{Layer, LayerKind, Role};
use crate::loss::Loss;
use crate::matrix::{Matrix, MatrixRef};
use crate::ops::fused;
use crate::samples::{Report, Samples, Scores};
use crate::scalar::Scalar;

/// Samples that [`Network::infer`] takes at once: enough for the matrix product to be at its best, few enough for the
/// buffers to stay in a cache.
const INFERENCE_BATCH: usize = 256;

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
    /// No layers, a layer of size 0, softmax in front of another layer, a parameter out of range; no memory.
    pub fn build(self) -> Result<Network<T>> {
        let mut inputs = self.inputs;
        let mut layers = Vec::with_capacity(self.layers.len());
        for (number, &(kind, outputs, activation)) in (0..).zip(&self.layers) {
            let mut layer = kind.layer(self.engine, (inputs, outputs), activation)?;
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
        Builder { engine, inputs, layers: Vec::new(), init: Init::GlorotUniform, seed: 0 }
    }

    /// A network of layers that exist already.
    ///
    /// # Errors
    /// No layers; layers that do not chain, both named; softmax in front of another layer; layers on different engines.
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

    /// Number of parameters.
    pub fn parameters(&self) -> usize {
        self.layers
            .iter()
            .flat_map(|layer| [layer.weights(), layer.bias()])
            .map(|x| x.rows() * x.columns())
            .sum()
    }

    /// The outputs for a batch of any size: input `inputs x samples`, result `outputs x samples`.
    ///
    /// # Errors
    /// An input with another number of rows; no memory; a device that fails.
    pub fn infer(&self, input: MatrixRef<'_, T>) -> Result<Matrix<T>> {
        let samples = input.columns();
        let mut output = Matrix::zeros(self.engine(), self.outputs(), samples)?;
        let mut inference = self.inference_for(samples)?;
        for first in (0..samples).step_by(INFERENCE_BATCH) {
            let range = first..samples.min(first + INFERENCE_BATCH);
            let part = inference.run(input.sub_columns(range.clone())?)?;
            crate::ops::copy(part, output.view_mut().sub_columns(range)?)?;
        }
        Ok(output)
    }

    /// Buffers to infer with again and again, for up to `batch` samples at a time. Weights that the engine reads faster in an
    /// order of its own (on the CPU those of more than 2 MiB a layer) are copied into it, and take their memory twice; so are
    /// those that batch normalization is folded into ([`Network::fold`]).
    ///
    /// # Errors
    /// A batch of 0; no memory.
    pub fn inference(&self, batch: usize) -> Result<Inference<'_, T>> {
        let network = self.fold()?.map_or(Held::Whole(self), Held::Folded);
        let packed: Result<Vec<_>> =
            network.get().layers.iter().map(|layer| layer.pack_weights()).collect();
        Inference::new(network, packed?, batch)
    }

    /// For so many samples, [`INFERENCE_BATCH`] at a time: copies weights where there are batches enough to share the price.
    fn inference_for(&self, samples: usize) -> Result<Inference<'_, T>> {
        let batch = samples.min(INFERENCE_BATCH);
        if samples > 2 * INFERENCE_BATCH {
            self.inference(batch)
        } else {
            Inference::new(Held::Whole(self), Vec::new(), batch)
        }
    }

    /// Mean loss and, for classes, accuracy.
    ///
    /// # Errors
    /// Samples of other sizes than the network's; a device that fails.
    pub fn evaluate(&self, loss: Loss, samples: &Samples<'_, T>) -> Result<Report> {
        let count = samples.count();
        samples.check("evaluate", self.engine(), self.inputs(), self.outputs())?;
        let mut inference = self.inference_for(count)?;
        let mut scores = Scores::new(self.engine(), count)?;
        for first in (0..count).step_by(INFERENCE_BATCH) {
            let range = first..count.min(first + INFERENCE_BATCH);
            let ([x, t], [losses, hits]) =
                (samples.range(range.clone())?, scores.range_mut(range)?);
            let output = inference.run_for(loss, x)?;
            fused::loss(loss.formula(), output, t, losses, None)?;
            fused::hits(output, t, loss.threshold(), hits)?;
        }
        scores.report(count, samples.task())
    }
}

/// The network that an inference runs.
enum Held<'n, T: Scalar> {
    Whole(&'n Network<T>),
    Folded(Network<T>),
}

impl<T: Scalar> Held<'_, T> {
    fn get(&self) -> &Network<T> {
        match self {
            Held::Whole(network) => network,
            Held::Folded(network) => network,
        }
    }
}

/// Inference with two buffers that the layers write to in turn; nothing is allocated in [`Inference::run`].
pub struct Inference<'n, T: Scalar> {
    network: Held<'n, T>,
    batch: usize,
    /// For every layer a copy of its weights in the engine's order, if it has one; or nothing at all.
    packed: Vec<Option<Matrix<T>>>,
    /// The widest of the even and of the odd layers, `outputs x batch`.
    buffers: [Matrix<T>; 2],
}

impl<'n, T: Scalar> Inference<'n, T> {
    fn new(network: Held<'n, T>, packed: Vec<Option<Matrix<T>>>, batch: usize) -> Result<Self> {
        let (layers, engine) = (&network.get().layers, network.get().engine());
        let width = |parity: usize| {
            layers.iter().skip(parity).step_by(2).map(|l| l.outputs()).max().unwrap_or(1)
        };
        let buffer = |parity: usize| Matrix::zeros(engine, width(parity), batch);
        let buffers = [buffer(0)?, buffer(1)?];
        Ok(Inference { network, batch, packed, buffers })
    }

    /// The outputs for up to `batch` samples: input `inputs x samples`, result `outputs x samples`.
    ///
    /// # Errors
    /// An input with another number of rows or too many columns; a device that fails.
    pub fn run(&mut self, input: MatrixRef<'_, T>) -> Result<MatrixRef<'_, T>> {
        self.run_layers(input, false)
    }

    /// What a loss reads: the outputs, or the last layer's z.
    fn run_for(&mut self, loss: Loss, input: MatrixRef<'_, T>) -> Result<MatrixRef<'_, T>> {
        self.run_layers(input, loss.is_fused_with(self.network.get().last().activation()))
    }

    /// `logits`: the last layer's activation is left out.
    fn run_layers(&mut self, input: MatrixRef<'_, T>, logits: bool) -> Result<MatrixRef<'_, T>> {
        let samples = input.columns();
        if samples > self.batch {
            let reason = format!(
                "the input has {samples} samples, the buffers were made for {}",
                self.batch
            );
            return Err(Error::argument("infer", reason));
        }
        let network = self.network.get();
        let layers = &network.layers;
        let [even, odd] = &mut self.buffers;
        let last = if layers.len() % 2 == 1 { &mut *even } else { &mut *odd };
        if whole::infer(network, logits, input, last.front_mut(network.outputs(), samples))? {
            return Ok(
                if layers.len() % 2 == 1 { even } else { odd }.front(network.outputs(), samples)
            );
        }
        for (i, layer) in layers.iter().enumerate() {
            let (from, to) = if i % 2 == 0 { (&*odd, &mut *even) } else { (&*even, &mut *odd) };
            let from = if i == 0 { input } else { from.front(layer.inputs(), samples) };
            let to = to.front_mut(layer.outputs(), samples);
            let role = Role::before(layers.get(i + 1).map(|next| next.kind()), logits);
            layer.infer(role, self.packed.get(i).and_then(Option::as_ref), from, to)?;
        }
        let written = if layers.len() % 2 == 1 { even } else { odd };
        Ok(written.front(network.outputs(), samples))
    }
}
