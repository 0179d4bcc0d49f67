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

    /// Mean loss and, for classes, accuracy of the first `samples` samples.
    pub(crate) fn report(&self, samples: usize, task: Task) -> Result<Report> {
        let mean = |row: &Matrix<T>| -> Result<f64> {
            let values = row.view().sub_columns(0..samples)?.to_vec()?;
            Ok(values.iter().map(|x| x.to_f64()).sum::<f64>() / samples as f64)
        };
        let accuracy = if task == Task::Classes { Some(mean(&self.hits)?) } else { None };
        Ok(Report { samples, loss: mean(&self.losses)?, accuracy })
    }
}

/// Loss and accuracy over a data set.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Report {
    /// Number of samples.
    pub samples: usize,
    /// Mean loss of a sample.
    pub loss: f64,
    /// Share of samples whose class is right, where the targets are classes.
    pub accuracy: Option<f64>,
}

impl Report {
    /// The report of both data sets together.
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
