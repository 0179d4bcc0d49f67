//! A data set where the engine computes.

use std::ops::Range;
use std::sync::Arc;

use crate::data::{Dataset, Targets};
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::matrix::{Matrix, MatrixMut, MatrixRef};
use crate::ops::fused::{Indices, gather};
use crate::random::{Philox, Purpose};
use crate::scalar::Scalar;

/// Inputs and targets in an engine's memory, with room for the loss of every sample. On the CPU the inputs are the data
/// set's own memory.
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
    classes: bool,
    weights: Option<Weights<T>>,
    /// `1 x samples`
    losses: Matrix<T>,
    /// `1 x samples`
    hits: Matrix<T>,
    /// The order of the samples in this epoch.
    order: Vec<u32>,
    indices: Indices<T>,
}

/// What the loss of every sample is multiplied by, each `1 x samples`.
struct Weights<T: Scalar> {
    as_they_lie: Matrix<T>,
    /// In the order of the epoch.
    in_order: Matrix<T>,
}

/// Inputs, targets, losses, hits.
pub(crate) type Part<'a, T> =
    (MatrixRef<'a, T>, MatrixRef<'a, T>, MatrixMut<'a, T>, MatrixMut<'a, T>);

/// Inputs and targets of all samples, their order, results of some.
pub(crate) type All<'a, T> = (MatrixRef<'a, T>, MatrixRef<'a, T>, &'a Indices<T>, Results<'a, T>);

/// What a step of training writes for its samples, and reads of them beside inputs and targets; each `1 x n`.
pub(crate) struct Results<'a, T: Scalar> {
    pub losses: MatrixMut<'a, T>,
    /// 1 for a sample whose class is right.
    pub hits: Option<MatrixMut<'a, T>>,
    /// What losses are multiplied by.
    pub weights: Option<MatrixRef<'a, T>>,
}

/// `features x samples`
enum Inputs<'d, T: Scalar> {
    Borrowed(MatrixRef<'d, T>),
    Owned(Matrix<T>),
}

impl<'d, T: Scalar> Samples<'d, T> {
    /// A data set on an engine.
    ///
    /// # Errors
    /// A data set without targets; no memory.
    pub fn new(engine: &'d Arc<dyn Engine<T>>, data: &'d Dataset<T>) -> Result<Self> {
        if data.outputs() == 0 {
            return Err(Error::argument(
                "samples",
                "the data set has no targets; training and evaluation need them",
            ));
        }
        let (rows, count) = (data.inputs(), data.samples());
        let inputs = match MatrixRef::borrow(engine, rows, count, data.features()) {
            Ok(view) => Inputs::Borrowed(view),
            Err(_) => Inputs::Owned(Matrix::from_slice(engine, rows, count, data.features())?),
        };
        let targets = Matrix::from_slice(engine, data.outputs(), count, &data.target_columns()?)?;
        Self::assemble(inputs, targets, matches!(data.targets(), Targets::Classes { .. }))
    }

    /// Inputs (`features x samples`) and targets (`outputs x samples`) that are matrices already. `classes`: the target
    /// of a sample is 1 for its class and 0 for the others, so that accuracy means something.
    ///
    /// # Errors
    /// Matrices of different numbers of samples; no memory.
    pub fn from_matrices(inputs: Matrix<T>, targets: Matrix<T>, classes: bool) -> Result<Self> {
        Self::assemble(Inputs::Owned(inputs), targets, classes)
    }

    fn assemble(inputs: Inputs<'d, T>, targets: Matrix<T>, classes: bool) -> Result<Self> {
        let count = targets.columns();
        let columns = match &inputs {
            Inputs::Borrowed(view) => view.columns(),
            Inputs::Owned(matrix) => matrix.columns(),
        };
        if columns != count {
            return Err(Error::argument(
                "samples",
                format!("{columns} inputs and {count} targets; as many are needed"),
            ));
        }
        let Ok(last) = u32::try_from(count) else {
            return Err(Error::argument(
                "samples",
                format!("{count} samples; at most {} fit", u32::MAX),
            ));
        };
        let order: Vec<u32> = (0..last).collect();
        let row = || Matrix::zeros(targets.engine(), 1, count);
        let (losses, hits) = (row()?, row()?);
        let indices = Indices::in_order(&order, targets.view())?;
        Ok(Samples { inputs, targets, classes, weights: None, losses, hits, order, indices })
    }

    /// With targets that are less sure: `(1 - share) t + share / outputs` (Szegedy et al. 2016, section 7). For training; its
    /// losses are then those by these targets, accuracy is as before.
    ///
    /// # Errors
    /// Targets that are not classes; a share below 0 or not below 1; no memory.
    pub fn with_label_smoothing(mut self, share: f64) -> Result<Self> {
        let wrong = |reason: String| Err(Error::argument("label smoothing", reason));
        if !(0.0..1.0).contains(&share) {
            return wrong(format!("the share must be from 0 to less than 1, not {share}"));
        }
        let classes = self.targets.rows();
        if !self.classes || classes < 2 {
            return wrong("targets must be classes, at least two".to_owned());
        }
        let smooth = |t: T| T::from_f64((1.0 - share) * t.to_f64() + share / classes as f64);
        let targets: Vec<T> = self.targets.to_vec()?.into_iter().map(smooth).collect();
        self.targets.view_mut().write(&targets)?;
        Ok(self)
    }

    /// With losses, in training, that count more for some classes: the loss of a sample and its gradient are multiplied by the
    /// weight of its class. A target of one row, no or yes, is two classes. Evaluation does not weigh.
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
        if !self.classes {
            return wrong("targets must be classes".to_owned());
        }
        let rows = self.targets.rows();
        let classes = rows.max(2);
        if weights.len() != classes {
            return wrong(format!(
                "{} weights for {classes} classes; one for each is needed",
                weights.len()
            ));
        }
        if let Some(weight) = weights.iter().find(|weight| !(weight.is_finite() && **weight > 0.0))
        {
            return wrong(format!("a weight must be a finite number above 0, not {weight}"));
        }
        let class = |target: &[T]| match target {
            [yes] => usize::from(yes.to_f64() > 0.5),
            _ => (0..rows).fold(0, |best, i| if target[i] > target[best] { i } else { best }),
        };
        let of_samples: Vec<T> = self
            .targets
            .to_vec()?
            .chunks(rows)
            .map(|target| T::from_f64(weights[class(target)]))
            .collect();
        let as_they_lie =
            Matrix::from_slice(self.targets.engine(), 1, of_samples.len(), &of_samples)?;
        let in_order = as_they_lie.copy()?;
        self.weights = Some(Weights { as_they_lie, in_order });
        Ok(self)
    }

    /// Number of samples.
    pub fn count(&self) -> usize {
        self.targets.columns()
    }

    /// `features x samples`
    pub fn inputs(&self) -> MatrixRef<'_, T> {
        match &self.inputs {
            Inputs::Borrowed(view) => *view,
            Inputs::Owned(matrix) => matrix.view(),
        }
    }

    /// `outputs x samples`
    pub fn targets(&self) -> MatrixRef<'_, T> {
        self.targets.view()
    }

    /// Whether the targets are classes.
    pub fn are_classes(&self) -> bool {
        self.classes
    }

    /// Bytes that the samples own in the engine's memory.
    pub fn bytes(&self) -> usize {
        let inputs = if let Inputs::Owned(matrix) = &self.inputs { matrix.bytes() } else { 0 };
        let weights = self.weights.as_ref().map_or(0, |weights| 2 * weights.in_order.bytes());
        inputs
            + self.targets.bytes()
            + weights
            + self.losses.bytes()
            + self.hits.bytes()
            + self.indices.bytes()
    }

    /// Puts the samples in the order of an epoch: a function of the seed and the epoch alone.
    pub(crate) fn shuffle(&mut self, seed: u64, epoch: u64) -> Result<()> {
        self.order.iter_mut().zip(0..).for_each(|(index, i)| *index = i);
        Philox::new(seed, Purpose::Shuffle, epoch as u32).shuffle(&mut self.order);
        self.indices.write(&self.order)?;
        match &mut self.weights {
            Some(Weights { as_they_lie, in_order }) => {
                gather(as_they_lie.view(), &self.indices, 0, in_order.view_mut())
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

    /// The places for losses and hits of some samples in the order of the epoch, and their weights, each `1 x n`.
    pub(crate) fn results(&mut self, range: Range<usize>) -> Result<Results<'_, T>> {
        Ok(self.all_for(range)?.3)
    }

    /// Inputs and targets of all samples, their order, and the places for the results of some of them.
    pub(crate) fn all_for(&mut self, range: Range<usize>) -> Result<All<'_, T>> {
        let inputs = match &self.inputs {
            Inputs::Borrowed(view) => *view,
            Inputs::Owned(matrix) => matrix.view(),
        };
        let weights =
            self.weights.as_ref().map(|weights| weights.in_order.view().sub_columns(range.clone()));
        let results = Results {
            losses: self.losses.view_mut().sub_columns(range.clone())?,
            hits: self.classes.then(|| self.hits.view_mut().sub_columns(range)).transpose()?,
            weights: weights.transpose()?,
        };
        Ok((inputs, self.targets.view(), &self.indices, results))
    }

    /// Losses and hits of all samples, each `1 x samples`.
    pub(crate) fn rows_mut(&mut self) -> [MatrixMut<'_, T>; 2] {
        [self.losses.view_mut(), self.hits.view_mut()]
    }

    /// Some samples as they lie, with the places for their losses and hits.
    pub(crate) fn part(&mut self, range: Range<usize>) -> Result<Part<'_, T>> {
        let inputs = match &self.inputs {
            Inputs::Borrowed(view) => *view,
            Inputs::Owned(matrix) => matrix.view(),
        };
        Ok((
            inputs.sub_columns(range.clone())?,
            self.targets.view().sub_columns(range.clone())?,
            self.losses.view_mut().sub_columns(range.clone())?,
            self.hits.view_mut().sub_columns(range)?,
        ))
    }

    /// The loss of every sample, in the order of the epoch.
    pub(crate) fn losses(&self) -> Result<Vec<T>> {
        self.losses.to_vec()
    }

    /// Loss and accuracy over the first `count` samples that were written to `losses` and `hits`.
    pub(crate) fn report(&self, count: usize) -> Result<Report> {
        let mean = |row: &Matrix<T>| -> Result<f64> {
            let values = row.view().sub_columns(0..count)?.to_vec()?;
            Ok(values.iter().map(|x| x.to_f64()).sum::<f64>() / count as f64)
        };
        let accuracy = if self.classes { Some(mean(&self.hits)?) } else { None };
        Ok(Report { samples: count, loss: mean(&self.losses)?, accuracy })
    }
}

impl Report {
    /// That of both data sets together.
    #[must_use]
    pub fn and(self, other: Report) -> Report {
        let (mine, all) = (self.samples as f64, (self.samples + other.samples) as f64);
        let mean = |a: f64, b: f64| (a * mine + b * other.samples as f64) / all;
        Report {
            samples: self.samples + other.samples,
            loss: mean(self.loss, other.loss),
            accuracy: self.accuracy.zip(other.accuracy).map(|(a, b)| mean(a, b)),
        }
    }
}

/// Loss and accuracy over a data set.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Report {
    /// Samples it is the mean of.
    pub samples: usize,
    /// Mean loss of a sample.
    pub loss: f64,
    /// Share of samples whose class was right, where the targets are classes.
    pub accuracy: Option<f64>,
}
