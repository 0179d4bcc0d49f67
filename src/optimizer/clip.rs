//! Bounds for gradients.

use std::sync::Arc;

use super::positive;
use crate::engine::Engine;
use crate::error::Result;
use crate::matrix::Matrix;
use crate::ops;
use crate::scalar::Scalar;

/// A bound for the gradients of all weights and biases before the optimizer uses them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Clip {
    /// Every element of every gradient between minus this and this.
    Value(f64),
    /// All gradients times `min(1, most / (norm + 1e-6))` with the Euclidean norm of all of them together (Pascanu,
    /// Mikolov and Bengio 2013; the 1e-6 is PyTorch's). Squares beyond the range of the precision make a gradient of 0.
    Norm(f64),
}

impl Clip {
    pub(crate) fn validate(self) -> Result<Self> {
        match self {
            Clip::Value(bound) => positive("clip", "largest value", bound)?,
            Clip::Norm(bound) => positive("clip", "largest norm", bound)?,
        };
        Ok(self)
    }
}

/// Shares of a gradient whose squares are added up in parallel.
const SHARES_PER_GRADIENT: usize = 64;

/// Bounds gradients. The norm never leaves the device, so nothing waits for it.
pub(crate) struct Clipper<T: Scalar> {
    clip: Clip,
    /// Sums of squares, [`SHARES_PER_GRADIENT`] a gradient, `1 x n`
    sums: Matrix<T>,
    /// Their sum, `1 x 1`
    total: Matrix<T>,
}

impl<T: Scalar> Clipper<T> {
    /// For this number of gradients.
    pub(crate) fn new(clip: Clip, engine: &Arc<dyn Engine<T>>, gradients: usize) -> Result<Self> {
        let sums = Matrix::zeros(engine, 1, SHARES_PER_GRADIENT * gradients)?;
        Ok(Clipper { clip: clip.validate()?, sums, total: Matrix::zeros(engine, 1, 1)? })
    }

    /// Names and matrices of the memory of this.
    pub(crate) fn buffers(&self) -> [(&'static str, &Matrix<T>); 2] {
        [("clip.squares", &self.sums), ("clip.norm", &self.total)]
    }

    /// Bounds all gradients, pairs of those of weights and of a bias.
    pub(crate) fn clip(&mut self, gradients: &mut [[Matrix<T>; 2]]) -> Result<()> {
        match self.clip {
            Clip::Value(bound) => gradients
                .iter_mut()
                .flatten()
                .try_for_each(|gradient| ops::update::clamp(bound, gradient.view_mut())),
            Clip::Norm(most) => {
                for (i, gradient) in gradients.iter().flatten().enumerate() {
                    let sums = self
                        .sums
                        .view_mut()
                        .sub_columns(SHARES_PER_GRADIENT * i..SHARES_PER_GRADIENT * (i + 1))?;
                    ops::update::squares(gradient.view(), sums)?;
                }
                ops::sum_columns(self.sums.view(), self.total.view_mut())?;
                let squares = self.total.view();
                let mut all = gradients.iter_mut().flatten();
                all.try_for_each(|gradient| {
                    ops::update::clip_norm(most, squares, gradient.view_mut())
                })
            }
        }
    }
}
