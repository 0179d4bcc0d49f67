//! A data set in an engine's memory.

mod scores;
mod weights;

use std::ops::Range;
use std::sync::Arc;

use crate::data::{Dataset, Targets, Task};
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::matrix::{Matrix, MatrixMut, MatrixRef};
use crate::ops::fused::{Indices, gather};
use crate::random::{Philox, Purpose};
use crate::scalar::Scalar;

pub use scores::Report;
pub(crate) use scores::Scores;
use weights::Weights;

/// Inputs and targets in an engine's memory, with a place for the loss of every sample. On the CPU the inputs are the data
/// set's own memory.
///
/// [`Samples::new`] borrows the data set; [`Samples::from_dataset`] and [`Samples::into_owned`] give samples that borrow
/// nothing and can be kept in a struct.
///
/// ```
/// use travertine::{Samples, data, engine};
/// let cpu = engine::open::<f32>("cpu")?;
/// let digits = data::digits()?;
/// let samples = Samples::new(&cpu, &digits)?;
/// assert_eq!((samples.inputs().rows(), samples.targets().rows(), samples.count()), (64, 10, 1797));
/// # Ok::<(), travertine::Error>(())
/// ```
pub struct Samples<'d, T: Scalar> {
    inputs: Inputs<'d, T>,
    /// `outputs x samples`
    targets: Matrix<T>,
    task: Task,
    /// And the factors of the losses in the order of the epoch, `1 x samples`.
    weights: Option<(Weights, Matrix<T>)>,
    /// Of the current epoch, in its order.
    scores: Scores<T>,
    /// The order of the samples in this epoch.
    order: Vec<u32>,
    indices: Indices<T>,
    /// Whether each epoch has an order of its own.
    is_shuffled: bool,
}

/// Inputs and targets of all samples, their order, results of some.
pub(crate) type All<'a, T> = (MatrixRef<'a, T>, MatrixRef<'a, T>, &'a Indices<T>, Results<'a, T>);

/// What a training step writes for its samples, and the weights that it reads; each `1 x n`.
pub(crate) struct Results<'a, T: Scalar> {
    pub losses: MatrixMut<'a, T>,
    /// 1 for a sample whose class is right.
    pub hits: Option<MatrixMut<'a, T>>,
    /// Factors of the losses.
    pub weights: Option<MatrixRef<'a, T>>,
}

/// `features x samples`
enum Inputs<'d, T: Scalar> {
    Borrowed(MatrixRef<'d, T>),
    Owned(Matrix<T>),
}

impl<T: Scalar> Inputs<'_, T> {
    fn view(&self) -> MatrixRef<'_, T> {
        match self {
            Inputs::Borrowed(view) => *view,
            Inputs::Owned(matrix) => matrix.view(),
        }
    }
}

impl<T: Scalar> Samples<'static, T> {
    /// A data set on an engine, copied, so that the samples borrow neither.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use travertine::{Samples, data, engine};
    /// struct Experiment {
    ///     train: Samples<'static, f32>,
    /// }
    /// let cpu = engine::open("cpu")?;
    /// let experiment = Experiment { train: Samples::from_dataset(&cpu, data::digits()?)? };
    /// drop(cpu);
    /// assert_eq!(experiment.train.count(), 1797);
    /// # Ok::<(), travertine::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Samples::new`].
    pub fn from_dataset(engine: &Arc<dyn Engine<T>>, data: Dataset<T>) -> Result<Self> {
        let targets = targets_of(engine, &data)?;
        let (rows, count) = (data.inputs(), data.samples());
        let inputs = Inputs::Owned(Matrix::from_slice(engine, rows, count, data.features())?);
        Self::assemble(inputs, targets, task_of(&data))?.with_weights_of(&data)
    }

    /// Inputs (`features x samples`) and targets (`outputs x samples`) that are matrices already. With [`Task::Classes`] the
    /// target of a sample is 1 for its class and 0 for the others, and reports contain the accuracy.
    ///
    /// ```
    /// use travertine::{Matrix, Samples, data::Task, engine};
    /// let cpu = engine::open::<f32>("cpu")?;
    /// let x = Matrix::from_slice(&cpu, 2, 3, &[0.1, 0.2, 0.3, 0.4, 0.5, 0.6])?;
    /// let t = Matrix::from_slice(&cpu, 1, 3, &[0.3, 0.7, 1.1])?;
    /// let samples = Samples::from_matrices(x, t, Task::Values)?;
    /// assert_eq!((samples.count(), samples.task()), (3, Task::Values));
    /// # Ok::<(), travertine::Error>(())
    /// ```
    ///
    /// # Errors
    /// Matrices of different numbers of samples; no memory.
    pub fn from_matrices(inputs: Matrix<T>, targets: Matrix<T>, task: Task) -> Result<Self> {
        Self::assemble(Inputs::Owned(inputs), targets, task)
    }
}

impl<'d, T: Scalar> Samples<'d, T> {
    /// A data set on an engine.
    ///
    /// # Errors
    /// A data set without targets; no memory.
    pub fn new(engine: &'d Arc<dyn Engine<T>>, data: &'d Dataset<T>) -> Result<Self> {
        let targets = targets_of(engine, data)?;
        let (rows, count) = (data.inputs(), data.samples());
        let inputs = match MatrixRef::borrow(engine, rows, count, data.features()) {
            Ok(view) => Inputs::Borrowed(view),
            Err(_) => Inputs::Owned(Matrix::from_slice(engine, rows, count, data.features())?),
        };
        Self::assemble(inputs, targets, task_of(data))?.with_weights_of(data)
    }

    /// With the weights that the data set has, if it has any.
    pub(crate) fn with_weights_of(self, data: &Dataset<T>) -> Result<Self> {
        match data.weights() {
            Some(weights) => self.with_weights(weights),
            None => Ok(self),
        }
    }

    fn assemble(inputs: Inputs<'d, T>, targets: Matrix<T>, task: Task) -> Result<Self> {
        let (columns, count) = (inputs.view().columns(), targets.columns());
        if columns != count {
            let reason = format!("{columns} inputs and {count} targets; as many are needed");
            return Err(Error::argument("samples", reason));
        }
        let Ok(end) = u32::try_from(count) else {
            let reason = format!("{count} samples; at most {} fit", u32::MAX);
            return Err(Error::argument("samples", reason));
        };
        let order: Vec<u32> = (0..end).collect();
        let scores = Scores::new(targets.engine(), count)?;
        let indices = Indices::in_order(&order, targets.view())?;
        let (weights, is_shuffled) = (None, true);
        Ok(Samples { inputs, targets, task, weights, scores, order, indices, is_shuffled })
    }

    /// The same samples with a copy of inputs that were borrowed, so that they can be kept in a struct.
    ///
    /// # Errors
    /// No memory; a device that fails.
    pub fn into_owned(self) -> Result<Samples<'static, T>> {
        let inputs = match self.inputs {
            Inputs::Borrowed(view) => view.copy()?,
            Inputs::Owned(matrix) => matrix,
        };
        let Samples { targets, task, weights, scores, order, indices, is_shuffled, .. } = self;
        let inputs = Inputs::Owned(inputs);
        Ok(Samples { inputs, targets, task, weights, scores, order, indices, is_shuffled })
    }

    /// With targets that are less sure: `(1 - share) t + share / outputs` (Szegedy et al. 2016, section 7). For training: losses
    /// are then those by these targets; accuracy is as before.
    ///
    /// # Errors
    /// Targets that are not classes; a share below 0 or not below 1; no memory.
    pub fn with_label_smoothing(mut self, share: f64) -> Result<Self> {
        let wrong = |reason: String| Err(Error::argument("label smoothing", reason));
        if !(0.0..1.0).contains(&share) {
            return wrong(format!("the share must be from 0 to less than 1, not {share}"));
        }
        let classes = self.targets.rows();
        if self.task != Task::Classes || classes < 2 {
            return wrong("targets must be classes, at least two".to_owned());
        }
        let smooth = |t: T| T::from_f64((1.0 - share) * t.to_f64() + share / classes as f64);
        let targets: Vec<T> = self.targets.to_vec()?.into_iter().map(smooth).collect();
        self.targets.view_mut().write(&targets)?;
        Ok(self)
    }

    /// With a weight for each class: in training, the loss of a sample and its gradient are multiplied by the weight of its
    /// class; a step still divides by the number of its samples. A target of one row, no or yes, is two classes. Evaluation does not
    /// weigh classes.
    ///
    /// ```
    /// # use travertine::{Samples, data, engine};
    /// # let cpu = engine::open::<f32>("cpu")?;
    /// # let digits = data::digits()?;
    /// let mut weights = [1.0; 10];
    /// weights[8] = 2.5; // eights are hard
    /// let samples = Samples::new(&cpu, &digits)?.with_class_weights(&weights)?;
    /// # Ok::<(), travertine::Error>(())
    /// ```
    ///
    /// # Errors
    /// Targets that are not classes; another number of weights than classes; a weight that is not a finite number above 0; no
    /// memory.
    pub fn with_class_weights(mut self, weights: &[f64]) -> Result<Self> {
        let wrong = |reason: String| Err(Error::argument("class weights", reason));
        if self.task != Task::Classes {
            return wrong("targets must be classes".to_owned());
        }
        let rows = self.targets.rows();
        let classes = rows.max(2);
        if weights.len() != classes {
            let found = weights.len();
            return wrong(format!("{found} weights for {classes} classes; one for each is needed"));
        }
        if let Some(weight) = weights.iter().find(|weight| !(weight.is_finite() && **weight > 0.0))
        {
            return wrong(format!("a weight must be a finite number above 0, not {weight}"));
        }
        let targets = self.targets.to_vec()?;
        let of_samples: Vec<f64> =
            targets.chunks(rows).map(|target| weights[class_of(target)]).collect();
        self.weights_mut()?.weigh_classes(&of_samples);
        Ok(self)
    }

    /// With a weight for each sample, by which those of the data set are multiplied
    /// ([`Dataset::with_weights`](crate::data::Dataset::with_weights)): a sample of weight 2 counts as if it were there twice, one of
    /// weight 0 as if it were not there. The loss of a step on samples j is the weighted mean
    ///
    /// ```text
    /// C = sum_j w_j c_j loss_j / sum_j w_j        dC/dW = sum_j w_j c_j dloss_j/dW / sum_j w_j
    /// ```
    ///
    /// where c_j is the weight of the class of sample j, or 1. That is scikit-learn's `sample_weight`. A step on samples of weight 0
    /// alone has the gradient 0. Evaluation gives the weighted means of loss and accuracy, without the weights of classes.
    ///
    /// The sum is that of the batch, so that equal weights within a batch change nothing: with one sample in a batch, no weights
    /// do.
    ///
    /// ```
    /// # use travertine::{Samples, data, engine};
    /// # let cpu = engine::open::<f32>("cpu")?;
    /// # let digits = data::digits()?;
    /// let mut weights = vec![1.0; digits.samples()];
    /// weights[17] = 0.1; // a doubtful label
    /// let samples = Samples::new(&cpu, &digits)?.with_weights(&weights)?;
    /// # Ok::<(), travertine::Error>(())
    /// ```
    ///
    /// # Errors
    /// Another number of weights than samples; a weight that is not a finite number of at least 0; weights of 0 alone, or with a sum
    /// that is infinite, also those multiplied by the weights before; no memory.
    pub fn with_weights(mut self, weights: &[f64]) -> Result<Self> {
        self.weights_mut()?.weigh_samples(weights)?;
        Ok(self)
    }

    /// Epochs take the samples in their order instead of shuffling them.
    ///
    /// ```
    /// # use travertine::{Samples, data, engine};
    /// # let cpu = engine::open::<f32>("cpu")?;
    /// # let digits = data::digits()?;
    /// let samples = Samples::new(&cpu, &digits)?.in_order();
    /// # Ok::<(), travertine::Error>(())
    /// ```
    #[must_use]
    pub fn in_order(mut self) -> Self {
        self.is_shuffled = false;
        self
    }

    fn weights_mut(&mut self) -> Result<&mut Weights> {
        match &mut self.weights {
            Some((weights, _)) => Ok(weights),
            none => {
                let (engine, count) = (self.targets.engine(), self.targets.columns());
                let factors = Matrix::zeros(engine, 1, count)?;
                Ok(&mut none.insert((Weights::new(count), factors)).0)
            }
        }
    }

    /// The weight of each sample, in memory order.
    pub(crate) fn counts(&self) -> Option<&[f64]> {
        self.weights.as_ref()?.0.counts()
    }

    /// Number of samples.
    pub fn count(&self) -> usize {
        self.targets.columns()
    }

    /// `features x samples`
    pub fn inputs(&self) -> MatrixRef<'_, T> {
        self.inputs.view()
    }

    /// `outputs x samples`
    pub fn targets(&self) -> MatrixRef<'_, T> {
        self.targets.view()
    }

    /// Whether the targets are classes or values.
    pub fn task(&self) -> Task {
        self.task
    }

    /// Bytes that the samples own in the engine's memory.
    pub fn bytes(&self) -> usize {
        let inputs = if let Inputs::Owned(matrix) = &self.inputs { matrix.bytes() } else { 0 };
        let weights = self.weights.as_ref().map_or(0, |(_, factors)| factors.bytes());
        let scores: usize = self.scores.buffers().iter().map(|(_, row)| row.bytes()).sum();
        inputs + self.targets.bytes() + weights + scores + self.indices.bytes()
    }

    /// Refuses a network of other sizes or on another engine, with every reason.
    pub(crate) fn check(
        &self,
        operation: &'static str,
        engine: &Arc<dyn Engine<T>>,
        inputs: usize,
        outputs: usize,
    ) -> Result<()> {
        let (features, rows) = (self.inputs().rows(), self.targets.rows());
        let is_on_engine = Arc::ptr_eq(self.targets.engine(), engine);
        if features == inputs && rows == outputs && is_on_engine {
            return Ok(());
        }
        let mut wrong = Vec::new();
        if features != inputs {
            wrong.push(format!(
                "the samples have {features} features, the network has {inputs} inputs"
            ));
        }
        if rows != outputs {
            let targets = if self.task == Task::Classes { "classes" } else { "values" };
            wrong.push(format!(
                "the samples' targets have {rows} rows ({targets}), the network has {outputs} outputs"
            ));
        }
        if !is_on_engine {
            wrong.push(
                "the samples are on another engine than the network; make them with the network's \
                 own engine, a clone of the same `Arc`"
                    .to_owned(),
            );
        }
        Err(Error::argument(operation, wrong.join("; ")))
    }

    /// Puts the samples in the order of an epoch: a function of the seed and the epoch alone, or that in which they are. `batch`: of
    /// the steps.
    pub(crate) fn shuffle(&mut self, seed: u64, epoch: u64, batch: usize) -> Result<()> {
        self.order.iter_mut().zip(0..).for_each(|(index, i)| *index = i);
        if self.is_shuffled {
            Philox::new(seed, Purpose::Shuffle, epoch as u32).shuffle(&mut self.order);
        }
        self.arrange(batch)
    }

    /// Puts the samples in the order of the memory, and all of them in one batch.
    pub(crate) fn arrange_in_memory_order(&mut self) -> Result<()> {
        self.order.iter_mut().zip(0..).for_each(|(index, i)| *index = i);
        self.arrange(self.count())
    }

    /// Writes the order, and the factors of losses in it.
    fn arrange(&mut self, batch: usize) -> Result<()> {
        self.indices.write(&self.order)?;
        match &mut self.weights {
            Some((weights, factors)) => {
                factors.view_mut().write_f64(weights.arrange(&self.order, batch))
            }
            None => Ok(()),
        }
    }

    /// Copies the samples at `first ..` of the order into a batch: x `features x n`, t `outputs x n`.
    pub(crate) fn gather(
        &self,
        first: usize,
        x: MatrixMut<'_, T>,
        t: MatrixMut<'_, T>,
    ) -> Result<()> {
        gather(self.inputs(), &self.indices, first, x)?;
        gather(self.targets(), &self.indices, first, t)
    }

    /// Inputs and targets of all samples, their order, and the places for the results of some of them.
    pub(crate) fn all_for(&mut self, range: Range<usize>) -> Result<All<'_, T>> {
        let weights = self.weights.as_ref().map(|(_, factors)| factors.view());
        let weights = weights.map(|weights| weights.sub_columns(range.clone())).transpose()?;
        let [losses, hits] = self.scores.range_mut(range)?;
        let hits = (self.task == Task::Classes).then_some(hits);
        let results = Results { losses, hits, weights };
        Ok((self.inputs.view(), self.targets.view(), &self.indices, results))
    }

    /// The sum of the weights of the samples: their number, where they have none.
    pub(crate) fn weight(&self) -> f64 {
        self.counts().map_or(self.count() as f64, |counts| counts.iter().sum())
    }

    /// Losses and hits of all samples, each `1 x samples`.
    pub(crate) fn rows_mut(&mut self) -> [MatrixMut<'_, T>; 2] {
        self.scores.rows_mut()
    }

    /// Inputs and targets of some samples in memory order.
    pub(crate) fn range(&self, range: Range<usize>) -> Result<[MatrixRef<'_, T>; 2]> {
        let inputs = self.inputs.view().sub_columns(range.clone())?;
        Ok([inputs, self.targets.view().sub_columns(range)?])
    }

    /// The loss of every sample, in the order of the epoch.
    pub(crate) fn losses(&self) -> Result<Vec<T>> {
        self.scores.losses()
    }

    /// Mean loss and accuracy of the first `count` samples of the epoch.
    pub(crate) fn report(&self, count: usize) -> Result<Report> {
        // The losses have their factors already.
        let weights = self.weights.as_ref().and_then(|(weights, _)| weights.counts_in_order());
        self.scores.report(count, self.task, [None, weights])
    }
}

/// `outputs x samples`
fn targets_of<T: Scalar>(engine: &Arc<dyn Engine<T>>, data: &Dataset<T>) -> Result<Matrix<T>> {
    if data.outputs() == 0 {
        let reason = "the data set has no targets; training and evaluation need them";
        return Err(Error::argument("samples", reason));
    }
    Matrix::from_slice(engine, data.outputs(), data.samples(), &data.target_columns()?)
}

fn task_of<T: Scalar>(data: &Dataset<T>) -> Task {
    match data.targets() {
        Targets::Classes { .. } => Task::Classes,
        _ => Task::Values,
    }
}

/// The class that a target names: of one row, yes or no; else the first of its largest numbers.
fn class_of<T: Scalar>(target: &[T]) -> usize {
    match target {
        [yes] => usize::from(yes.to_f64() > 0.5),
        _ => (1..target.len()).fold(0, |best, i| if target[i] > target[best] { i } else { best }),
    }
}
