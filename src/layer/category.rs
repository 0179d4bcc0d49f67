//! The layer that embeds categories ("entity embeddings": Guo and Berkhahn 2016, arXiv 1604.06737; in this form Holzmüller, Grinsztajn
//! and Steinwart 2024, arXiv 2407.04491).

use std::sync::Arc;

use super::{
    Layer, LayerKind, LossOperands, Parts, Pass, Role, Training, TrainingLayer, refuse_discarded,
};
use crate::activation::Activation;
use crate::engine::{CATEGORY_NUMBERS, Engine};
use crate::error::{Error, Result};
use crate::init::Init;
use crate::matrix::{Matrix, MatrixMut, MatrixRef};
use crate::ops;
use crate::ops::lookup;
use crate::random::{Philox, Purpose};
use crate::scalar::Scalar;

/// Categories that a layer may have in all: f32 has every whole number up to this one.
const MOST_CATEGORIES: usize = 1 << 24;
/// Rows that a layer puts out more than it has inputs, for each embedded feature.
const MORE: usize = CATEGORY_NUMBERS - 1;

/// A feature that holds the numbers of categories.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Categories {
    /// The number of the feature, from 0 on.
    pub feature: usize,
    /// How many categories it has; their numbers are 1 to this one.
    pub count: usize,
}

/// The inference layer: n inputs become `n + 7 m` outputs, where m of the inputs hold numbers of categories. Each category has a vector of 8
/// numbers, which the network learns. The vector of a sample's category stands in the row of the feature (its first number) and
/// in rows `n + 7 k` to `n + 7 k + 6` (the others) for embedded feature k; all other inputs stay in their rows.
///
/// Categories count from 1. 0 is no category, as where it is missing or was not seen in training: its vector is 0. Whatever else is no
/// category of the feature has the vector NaN.
///
/// The weights (`8 x categories`) have a column for each category, feature by feature. There is no bias: as every layer has a second
/// matrix, this one's is a single 0, which nothing reads, counts or saves. The layer is the first of a network or follows
/// [`NumberEmbedding`](super::NumberEmbedding), as it has no gradient by the numbers of categories.
///
/// ```
/// use travertine::layer::{Categories, CategoryEmbedding, Layer, Role};
/// use travertine::{Matrix, engine};
/// let cpu = engine::open::<f32>("cpu")?;
/// // The second of two inputs is one of three categories.
/// let mut layer = CategoryEmbedding::new(&cpu, 2, &[Categories { feature: 1, count: 3 }])?;
/// layer.weights_mut().column(2)?.write(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0])?;
/// // A sample of category 3, and one of none.
/// let x = Matrix::from_slice(&cpu, 2, 2, &[0.5, 3.0, 0.25, 0.0])?;
/// let mut y = Matrix::zeros(&cpu, 9, 2)?;
/// layer.infer(Role::Output, None, x.view(), y.view_mut())?;
/// let y = y.to_vec()?;
/// assert_eq!(y[..9], [0.5, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0]);
/// assert_eq!(y[9..], [0.25, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]);
/// # Ok::<(), travertine::Error>(())
/// ```
pub struct CategoryEmbedding<T: Scalar> {
    inputs: usize,
    features: Vec<Categories>,
    /// `8 x categories`
    weights: Matrix<T>,
    /// A single 0, `1 x 1`
    bias: Matrix<T>,
    /// For each embedded feature its number, the column of its first category and the number of its categories, `m x 3`
    table: Matrix<T>,
}

impl<T: Scalar> CategoryEmbedding<T> {
    /// A layer for samples of `inputs` features, of which these are embedded. Its parameters are all 0.
    ///
    /// # Errors
    /// No features; features that are not ascending, not below `inputs`, or without categories; more than 2^24 categories or
    /// inputs; no memory.
    pub fn new(
        engine: &Arc<dyn Engine<T>>,
        inputs: usize,
        features: &[Categories],
    ) -> Result<Self> {
        if let Some(reason) = fault(inputs, features) {
            return Err(Error::argument("embed categories", reason));
        }
        let (numbers, categories) = table(features);
        let mut table = Matrix::zeros(engine, features.len(), 3)?;
        table.view_mut().write_f64(&numbers)?;
        Ok(CategoryEmbedding {
            inputs,
            features: features.to_vec(),
            weights: Matrix::zeros(engine, CATEGORY_NUMBERS, categories)?,
            bias: Matrix::zeros(engine, 1, 1)?,
            table,
        })
    }
}

/// The table of [`LookUp`](crate::engine::LookUp), column by column, and the number of all categories.
fn table(features: &[Categories]) -> (Vec<f64>, usize) {
    let m = features.len();
    let mut table = vec![0.0; 3 * m];
    let mut first = 0;
    for (k, &Categories { feature, count }) in features.iter().enumerate() {
        for (column, number) in [feature, first, count].into_iter().enumerate() {
            table[k + column * m] = number as f64;
        }
        first += count;
    }
    (table, first)
}

/// The initial weights of so many categories.
fn initial_weights(categories: usize, seed: u64, number: u32) -> Vec<f64> {
    let stream = Philox::new(seed, Purpose::Weights, number);
    (0..(CATEGORY_NUMBERS * categories) as u64).map(|index| stream.normal(index)).collect()
}

/// Outputs of a layer that embeds these features.
pub(crate) fn outputs(inputs: usize, features: &[Categories]) -> usize {
    inputs.saturating_add(features.len().saturating_mul(MORE))
}

/// What is wrong with these features of so many inputs.
pub(crate) fn fault(inputs: usize, features: &[Categories]) -> Option<String> {
    let most = MOST_CATEGORIES;
    if features.is_empty() {
        return Some("a layer must embed at least one feature; leave it out instead".to_owned());
    }
    if inputs > most {
        return Some(format!("a layer has at most {most} inputs, not {inputs}"));
    }
    let mut next = 0;
    for &Categories { feature, count } in features {
        if !(next..inputs).contains(&feature) {
            return Some(format!(
                "feature {feature}; expected one from {next} on below {inputs}, in ascending order"
            ));
        }
        if count == 0 {
            return Some(format!("feature {feature} has no categories"));
        }
        next = feature + 1;
    }
    let all = features.iter().try_fold(0, |sum: usize, f| sum.checked_add(f.count));
    match all {
        Some(all) if all <= most => None,
        _ => Some(format!("more than {most} categories")),
    }
}

impl<T: Scalar> Layer<T> for CategoryEmbedding<T> {
    fn kind(&self) -> LayerKind {
        LayerKind::CategoryEmbedding
    }

    fn inputs(&self) -> usize {
        self.inputs
    }

    fn outputs(&self) -> usize {
        outputs(self.inputs, &self.features)
    }

    fn activation(&self) -> Activation {
        Activation::Identity
    }

    own_matrices!();

    fn categories(&self) -> &[Categories] {
        &self.features
    }

    fn copy(&self) -> Result<Box<dyn Layer<T>>> {
        Ok(Box::new(CategoryEmbedding {
            inputs: self.inputs,
            features: self.features.clone(),
            weights: self.weights.copy()?,
            bias: self.bias.copy()?,
            table: self.table.copy()?,
        }))
    }

    /// Every number normal with deviation 1, whatever `init` is.
    fn initialize(&mut self, init: Init, seed: u64, number: u32) -> Result<()> {
        init.validate()?;
        let weights = initial_weights(self.weights.columns(), seed, number);
        self.weights.view_mut().write_f64(&weights)
    }

    fn infer(
        &self,
        _role: Role,
        _packed: Option<&Matrix<T>>,
        input: MatrixRef<'_, T>,
        output: MatrixMut<'_, T>,
    ) -> Result<()> {
        check_inputs(self.inputs, input)?;
        lookup::forward([self.weights.view(), self.table.view()], input, output)
    }

    fn training(&mut self, batch: usize, _role: Role) -> Result<Training<'_, T>> {
        let outputs = self.outputs();
        let engine = Arc::clone(self.weights.engine());
        Ok(Training::CategoryEmbedding(CategoryEmbeddingTraining {
            inputs: self.inputs,
            features: &self.features,
            a: Matrix::zeros(&engine, outputs, batch)?,
            delta: Matrix::zeros(&engine, outputs, batch)?,
            z: None,
            discarded: false,
            weights: self.weights.view_mut(),
            bias: self.bias.view_mut(),
            table: self.table.view(),
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
    Err(Error::argument("embed categories", reason))
}

impl<T: Scalar> From<CategoryEmbedding<T>> for Box<dyn Layer<T>> {
    fn from(layer: CategoryEmbedding<T>) -> Self {
        Box::new(layer)
    }
}

/// The training layer: borrows an inference layer's parameters, keeps its outputs and their gradient.
pub struct CategoryEmbeddingTraining<'l, T: Scalar> {
    inputs: usize,
    features: &'l [Categories],
    /// `8 x categories`
    weights: MatrixMut<'l, T>,
    /// `1 x 1`
    bias: MatrixMut<'l, T>,
    /// `m x 3`
    table: MatrixRef<'l, T>,
    /// Identity.
    activation: Activation,
    /// None, as there is no activation.
    z: Option<Matrix<T>>,
    /// `(n + 7 m) x batch`
    a: Matrix<T>,
    /// dC/da, `(n + 7 m) x batch`
    delta: Matrix<T>,
    /// See [`TrainingLayer::discard_pass`].
    discarded: bool,
}

impl<T: Scalar> TrainingLayer<T> for CategoryEmbeddingTraining<'_, T> {
    fn kind(&self) -> LayerKind {
        LayerKind::CategoryEmbedding
    }

    fn inputs(&self) -> usize {
        self.inputs
    }

    passes!();

    fn parts_mut(&mut self) -> Parts<'_, T> {
        Parts { parameters: [self.weights.reborrow(), self.bias.reborrow()], statistics: None }
    }

    fn forward_as(&mut self, _pass: Pass, input: MatrixRef<'_, T>) -> Result<()> {
        check_inputs(self.inputs, input)?;
        self.discarded = false;
        let output = self.a.view_mut().sub_columns(0..input.columns())?;
        lookup::forward([self.weights.as_ref(), self.table], input, output)
    }

    /// As the trait says, with 0 as the gradient by the number of a category; the layer in front must have no activation.
    fn propagate(&mut self, previous: &mut dyn TrainingLayer<T>, samples: usize) -> Result<()> {
        let delta = self.delta(samples)?.sub_rows(0..self.inputs)?;
        let (_, mut out) = previous.output_and_delta_mut(samples)?;
        ops::copy(delta, out.reborrow())?;
        for categories in self.features {
            ops::fill(T::default(), out.reborrow().row(categories.feature)?)?;
        }
        Ok(())
    }

    fn gradient(
        &self,
        input: MatrixRef<'_, T>,
        [weights, bias]: [MatrixMut<'_, T>; 2],
        scale: f64,
        keep: f64,
    ) -> Result<()> {
        check_inputs(self.inputs, input)?;
        let delta = self.delta(input.columns())?;
        lookup::gradient(self.table, [input, delta], weights, (scale, keep))?;
        // Its gradient is 0.
        if keep == 0.0 { ops::fill(T::default(), bias) } else { ops::scal(T::from_f64(keep), bias) }
    }

    fn descend(&mut self, input: MatrixRef<'_, T>, scale: f64, keep: f64) -> Result<()> {
        check_inputs(self.inputs, input)?;
        let delta = self.delta.view().sub_columns(0..input.columns())?;
        lookup::gradient(self.table, [input, delta], self.weights.reborrow(), (scale, keep))
    }

    fn set_role(&mut self, _role: Role) {}

    fn buffers(&self) -> Vec<(&'static str, &Matrix<T>)> {
        vec![("activation", &self.a), ("delta", &self.delta)]
    }
}
