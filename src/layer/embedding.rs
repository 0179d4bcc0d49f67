//! The layer that embeds numbers: periodic features with a linear map for each of them (PBLD: Gorishniy, Rubachev and Babenko 2022,
//! "On Embeddings for Numerical Features in Tabular Deep Learning"; Holzmüller, Grinsztajn and Steinwart 2024, arXiv 2407.04491).

use std::sync::Arc;

use super::{
    Layer, LayerKind, LossOperands, Parts, Pass, Role, Training, TrainingLayer, refuse_discarded,
};
use crate::activation::Activation;
use crate::engine::{EMBEDDED, Engine, FREQUENCIES};
use crate::error::{Error, Result};
use crate::init::Init;
use crate::matrix::{Matrix, MatrixMut, MatrixRef};
use crate::ops::embedding::{self, BIAS, Embedding, Sinks, WEIGHTS};
use crate::random::{Philox, Purpose};
use crate::scalar::Scalar;

/// Features that a layer may have: f32 has every whole number up to this one.
pub(crate) const MOST_FEATURES: usize = 1 << 24;

/// The inference layer, the first of a network: n inputs become `n + 3 m` outputs, where m of the inputs are embedded. The first n rows of the
/// output are the input. Rows `n + 3 k + r` for r = 0, 1, 2 belong to embedded feature k, the numbers of which are in
/// ascending order:
///
/// `e_r = b2_r + sum_f W2_rf cos(2 pi w1_f x_k + b1_f)`, with 16 frequencies f.
///
/// Every embedded feature has parameters of its own, a row of both matrices. Row k of the weights (`m x 64`) is w1 in columns 0 to 15, then
/// W2_0, W2_1 and W2_2 with 16 columns each. Row k of the bias (`m x 19`) is b1 in radians in columns 0 to 15, then b2 in 3. The layer's
/// [`statistics`](Layer::statistics) (`m x 1`) are the numbers of the embedded features, which training does not change. There is
/// no activation.
///
/// The features should be scaled to about -3 to 3, and learn best at a tenth of the network's rate
/// ([`Factors`](crate::trainer::Factors)). A feature that is infinite or NaN has the embedding NaN, as has a row of the
/// statistics that is not the number of a feature.
///
/// ```
/// use travertine::layer::{Layer, NumberEmbedding, Role};
/// use travertine::{Matrix, engine};
/// let cpu = engine::open::<f32>("cpu")?;
/// // Of three inputs the last is embedded.
/// let mut layer = NumberEmbedding::new(&cpu, 3, &[2])?;
/// // w1_0 = 1/2 and W2_00 = 2: the first number is 2 cos(pi x).
/// layer.weights_mut().column(0)?.write(&[0.5])?;
/// layer.weights_mut().column(16)?.write(&[2.0])?;
/// let x = Matrix::from_slice(&cpu, 3, 1, &[7.0, 8.0, 1.0])?;
/// let mut a = Matrix::zeros(&cpu, 6, 1)?;
/// layer.infer(Role::Output, None, x.view(), a.view_mut())?;
/// let a = a.to_vec()?;
/// assert!(a[..3] == [7.0, 8.0, 1.0] && (a[3] + 2.0).abs() < 1e-6 && a[4..] == [0.0, 0.0]);
/// # Ok::<(), travertine::Error>(())
/// ```
pub struct NumberEmbedding<T: Scalar> {
    inputs: usize,
    /// `m x 64`
    weights: Matrix<T>,
    /// `m x 19`
    bias: Matrix<T>,
    /// `m x 1`
    columns: Matrix<T>,
}

impl<T: Scalar> NumberEmbedding<T> {
    /// A layer for samples of `inputs` features, which embeds those with the numbers `columns`. Its parameters are all 0.
    ///
    /// # Errors
    /// No columns; columns that are not ascending, or not below `inputs`; more than 2^24 inputs; no memory.
    pub fn new(engine: &Arc<dyn Engine<T>>, inputs: usize, columns: &[usize]) -> Result<Self> {
        if inputs > MOST_FEATURES {
            let reason = format!("a layer has at most {MOST_FEATURES} inputs, not {inputs}");
            return Err(Error::argument("embed numbers", reason));
        }
        let numbers: Vec<f64> = columns.iter().map(|&column| column as f64).collect();
        if let Some((index, expected)) = misplaced(&numbers, inputs) {
            let reason = format!("column {} at {index}; it must be {expected}", columns[index]);
            return Err(Error::argument("embed numbers", reason));
        }
        let m = columns.len();
        if m == 0 {
            let reason = "a layer must embed at least one feature; leave it out instead";
            return Err(Error::argument("embed numbers", reason));
        }
        let mut columns = Matrix::zeros(engine, m, 1)?;
        columns.view_mut().write_f64(&numbers)?;
        Ok(NumberEmbedding {
            inputs,
            weights: Matrix::zeros(engine, m, WEIGHTS)?,
            bias: Matrix::zeros(engine, m, BIAS)?,
            columns,
        })
    }

    /// A layer of these sizes for a file, which has the numbers of the features.
    pub(super) fn of_sizes(
        engine: &Arc<dyn Engine<T>>,
        inputs: usize,
        outputs: usize,
    ) -> Result<Self> {
        let embedded = embedded(inputs, outputs).unwrap_or_default();
        NumberEmbedding::new(engine, inputs, &(0..embedded).collect::<Vec<_>>())
    }
}

/// The initial weights and bias of m embedded features.
fn initial_parameters(stream: Philox, m: usize) -> [Vec<f64>; 2] {
    let uniform = |bound: f64, index: u64| bound * (2.0 * stream.uniform(index) - 1.0);
    let weight = |index: usize| match index / m {
        0..FREQUENCIES => 0.1 * stream.normal(index as u64),
        _ => uniform(0.25, index as u64),
    };
    let bias = |index: usize| {
        let bound = if index / m < FREQUENCIES { std::f64::consts::PI } else { 0.25 };
        uniform(bound, (m * WEIGHTS + index) as u64)
    };
    [(0..m * WEIGHTS).map(weight).collect(), (0..m * BIAS).map(bias).collect()]
}

/// The number of embedded features of a layer of these sizes; `None` if there is no such layer.
pub(crate) fn embedded(inputs: usize, outputs: usize) -> Option<usize> {
    let more = outputs.checked_sub(inputs)?;
    let fits = more > 0 && more.is_multiple_of(EMBEDDED) && more / EMBEDDED <= inputs;
    (fits && inputs <= MOST_FEATURES).then_some(more / EMBEDDED)
}

/// The index of the first number that cannot stand where it does in a list of features, and what is expected there.
pub(crate) fn misplaced(columns: &[f64], inputs: usize) -> Option<(usize, String)> {
    let mut next = 0.0;
    for (index, &column) in columns.iter().enumerate() {
        if column.fract() != 0.0 || !(next..inputs as f64).contains(&column) {
            let expected =
                format!("a whole number from {next} on below {inputs}, in ascending order");
            return Some((index, expected));
        }
        next = column + 1.0;
    }
    None
}

impl<T: Scalar> Layer<T> for NumberEmbedding<T> {
    fn kind(&self) -> LayerKind {
        LayerKind::NumberEmbedding
    }

    fn inputs(&self) -> usize {
        self.inputs
    }

    fn outputs(&self) -> usize {
        self.inputs + EMBEDDED * self.columns.rows()
    }

    fn activation(&self) -> Activation {
        Activation::Identity
    }

    own_matrices!();

    fn statistics(&self) -> Option<MatrixRef<'_, T>> {
        Some(self.columns.view())
    }

    fn statistics_mut(&mut self) -> Option<MatrixMut<'_, T>> {
        Some(self.columns.view_mut())
    }

    fn copy(&self) -> Result<Box<dyn Layer<T>>> {
        Ok(Box::new(NumberEmbedding {
            inputs: self.inputs,
            weights: self.weights.copy()?,
            bias: self.bias.copy()?,
            columns: self.columns.copy()?,
        }))
    }

    /// w1 normal with deviation 0.1, b1 uniform within ± pi, W2 and b2 within ± 1/4, whatever `init` is.
    fn initialize(&mut self, init: Init, seed: u64, number: u32) -> Result<()> {
        init.validate()?;
        let stream = Philox::new(seed, Purpose::Weights, number);
        let [weights, bias] = initial_parameters(stream, self.columns.rows());
        self.weights.view_mut().write_f64(&weights)?;
        self.bias.view_mut().write_f64(&bias)
    }

    fn infer(
        &self,
        _role: Role,
        _packed: Option<&Matrix<T>>,
        input: MatrixRef<'_, T>,
        output: MatrixMut<'_, T>,
    ) -> Result<()> {
        check_inputs(self.inputs, input)?;
        let (weights, bias, columns) = (self.weights(), self.bias(), self.columns.view());
        embedding::forward(Embedding { weights, bias, columns }, input, output)
    }

    fn training(&mut self, batch: usize, _role: Role) -> Result<Training<'_, T>> {
        let outputs = self.outputs();
        let engine = Arc::clone(self.weights.engine());
        Ok(Training::NumberEmbedding(NumberEmbeddingTraining {
            inputs: self.inputs,
            a: Matrix::zeros(&engine, outputs, batch)?,
            delta: Matrix::zeros(&engine, outputs, batch)?,
            z: None,
            discarded: false,
            weights: self.weights.view_mut(),
            bias: self.bias.view_mut(),
            columns: self.columns.view_mut(),
            activation: Activation::Identity,
        }))
    }
}

/// Refuses an input with another number of rows: the call of the engine knows the number of outputs alone.
fn check_inputs<T: Scalar>(inputs: usize, input: MatrixRef<'_, T>) -> Result<()> {
    if input.rows() == inputs {
        return Ok(());
    }
    let reason = format!("the input has {} rows, the layer {inputs}", input.rows());
    Err(Error::argument("embed numbers", reason))
}

impl<T: Scalar> From<NumberEmbedding<T>> for Box<dyn Layer<T>> {
    fn from(layer: NumberEmbedding<T>) -> Self {
        Box::new(layer)
    }
}

/// The training layer: borrows an inference layer's parameters, keeps its outputs and their gradient.
pub struct NumberEmbeddingTraining<'l, T: Scalar> {
    inputs: usize,
    /// `m x 64`
    weights: MatrixMut<'l, T>,
    /// `m x 19`
    bias: MatrixMut<'l, T>,
    /// `m x 1`
    columns: MatrixMut<'l, T>,
    /// Identity.
    activation: Activation,
    /// None, as there is no activation.
    z: Option<Matrix<T>>,
    /// `(n + 3 m) x batch`
    a: Matrix<T>,
    /// dC/da, `(n + 3 m) x batch`
    delta: Matrix<T>,
    /// See [`TrainingLayer::discard_pass`].
    discarded: bool,
}

impl<T: Scalar> TrainingLayer<T> for NumberEmbeddingTraining<'_, T> {
    fn kind(&self) -> LayerKind {
        LayerKind::NumberEmbedding
    }

    fn inputs(&self) -> usize {
        self.inputs
    }

    passes!();

    fn parts_mut(&mut self) -> Parts<'_, T> {
        Parts {
            parameters: [self.weights.reborrow(), self.bias.reborrow()],
            statistics: Some(self.columns.reborrow()),
        }
    }

    fn statistics(&self) -> Option<MatrixRef<'_, T>> {
        Some(self.columns.as_ref())
    }

    fn forward_as(&mut self, _pass: Pass, input: MatrixRef<'_, T>) -> Result<()> {
        check_inputs(self.inputs, input)?;
        self.discarded = false;
        let layer = Embedding {
            weights: self.weights.as_ref(),
            bias: self.bias.as_ref(),
            columns: self.columns.as_ref(),
        };
        embedding::forward(layer, input, self.a.view_mut().sub_columns(0..input.columns())?)
    }

    /// An error: nothing stands in front of this layer.
    fn propagate(&mut self, _previous: &mut dyn TrainingLayer<T>, _samples: usize) -> Result<()> {
        let reason = "the layer that embeds numbers is the first; it has no gradient by its input";
        Err(Error::argument("propagate", reason))
    }

    fn gradient(
        &self,
        input: MatrixRef<'_, T>,
        sinks: [MatrixMut<'_, T>; 2],
        scale: f64,
        keep: f64,
    ) -> Result<()> {
        check_inputs(self.inputs, input)?;
        let sinks = Sinks::Other([self.weights.as_ref(), self.bias.as_ref()], sinks);
        let delta = self.delta(input.columns())?;
        embedding::gradient(self.columns.as_ref(), input, delta, sinks, (scale, keep))
    }

    fn descend(&mut self, input: MatrixRef<'_, T>, scale: f64, keep: f64) -> Result<()> {
        check_inputs(self.inputs, input)?;
        let delta = self.delta.view().sub_columns(0..input.columns())?;
        let sinks = Sinks::Own([self.weights.reborrow(), self.bias.reborrow()]);
        embedding::gradient(self.columns.as_ref(), input, delta, sinks, (scale, keep))
    }

    fn set_role(&mut self, _role: Role) {}

    fn buffers(&self) -> Vec<(&'static str, &Matrix<T>)> {
        vec![("activation", &self.a), ("delta", &self.delta)]
    }
}
