//! Losses and hits of samples, and their means.

use std::ops::Range;
use std::sync::Arc;

use crate::data::Task;
use crate::engine::Engine;
use crate::error::Result;
use crate::matrix::{Matrix, MatrixMut};
use crate::scalar::Scalar;

/// Losses and hits of samples, each `1 x samples`.
pub(crate) struct Scores<T: Scalar> {
    losses: Matrix<T>,
    /// 1 for a sample whose class is right.
    hits: Matrix<T>,
}

impl<T: Scalar> Scores<T> {
    /// For so many samples.
    pub(crate) fn new(engine: &Arc<dyn Engine<T>>, samples: usize) -> Result<Self> {
        let row = || Matrix::zeros(engine, 1, samples);
        Ok(Scores { losses: row()?, hits: row()? })
    }

    /// The number of samples that fit.
    pub(crate) fn capacity(&self) -> usize {
        self.losses.columns()
    }

    /// Losses and hits of some samples, each `1 x n`.
    pub(crate) fn range_mut(&mut self, range: Range<usize>) -> Result<[MatrixMut<'_, T>; 2]> {
        let losses = self.losses.view_mut().sub_columns(range.clone())?;
        Ok([losses, self.hits.view_mut().sub_columns(range)?])
    }

    /// Losses and hits of all samples, each `1 x samples`.
    pub(crate) fn rows_mut(&mut self) -> [MatrixMut<'_, T>; 2] {
        [self.losses.view_mut(), self.hits.view_mut()]
    }

    /// The loss of every sample.
    pub(crate) fn losses(&self) -> Result<Vec<T>> {
        self.losses.to_vec()
    }

    /// Names and matrices of the memory of this.
    pub(crate) fn buffers(&self) -> [(&'static str, &Matrix<T>); 2] {
        [("losses", &self.losses), ("hits", &self.hits)]
    }

    /// Mean loss and, for classes, accuracy of the first `samples` samples, each with its weight where there are weights.
    pub(crate) fn report(
        &self,
        samples: usize,
        task: Task,
        [of_losses, of_hits]: [Option<&[f64]>; 2],
    ) -> Result<Report> {
        let first = |row: &Matrix<T>| -> Result<Vec<f64>> {
            Ok(T::to_f64s(&row.view().sub_columns(0..samples)?.to_vec()?))
        };
        let hits = if task == Task::Classes { Some(first(&self.hits)?) } else { None };
        let accuracy = hits.map(|hits| mean(&hits, of_hits));
        let weight = of_hits.map_or(samples as f64, |weights| weights[..samples].iter().sum());
        Ok(Report { samples, weight, loss: mean(&first(&self.losses)?, of_losses), accuracy })
    }
}

/// `sum w x / sum w`, the plain mean without weights; NaN where all weights are 0.
fn mean(values: &[f64], weights: Option<&[f64]>) -> f64 {
    let Some(weights) = weights else {
        return values.iter().sum::<f64>() / values.len() as f64;
    };
    let products = values.iter().zip(weights).map(|(x, w)| x * w);
    products.sum::<f64>() / weights[..values.len()].iter().sum::<f64>()
}

/// Loss and accuracy over a data set.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Report {
    /// Number of samples.
    pub samples: usize,
    /// The sum of the samples' weights: their number, where they have none.
    pub weight: f64,
    /// Mean loss of a sample, weighted where samples have weights: `sum w loss / sum w`. Of an epoch of training the mean over its
    /// steps of these means, each step with the number of its samples.
    pub loss: f64,
    /// Share of samples whose class is right, where the targets are classes; with weights their share of the weight.
    pub accuracy: Option<f64>,
}

impl Report {
    /// The report of both data sets together.
    #[must_use]
    pub fn and(self, other: Report) -> Report {
        let all = self.weight + other.weight;
        let mean = |a: f64, b: f64| (a * self.weight + b * other.weight) / all;
        Report {
            samples: self.samples + other.samples,
            weight: all,
            loss: mean(self.loss, other.loss),
            accuracy: self.accuracy.zip(other.accuracy).map(|(a, b)| mean(a, b)),
        }
    }
}
