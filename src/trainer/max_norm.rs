//! The bound on the weights into a hidden unit.

use crate::error::{Error, Result};
use crate::layer::Training;
use crate::matrix::Matrix;
use crate::ops::regularize;
use crate::scalar::Scalar;

/// Bounds the norm of each row of the weights of hidden layers.
pub(super) struct MaxNorm<T: Scalar> {
    most: f64,
    /// The squares of a layer's weights, `1 x` the weights of the largest layer
    squares: Matrix<T>,
    /// The sums of a layer, `1 x` the outputs of the widest layer
    sums: Matrix<T>,
}

impl<T: Scalar> MaxNorm<T> {
    pub(super) fn new(most: f64, layers: &[Training<'_, T>]) -> Result<Self> {
        if !(most > 0.0 && most.is_finite()) {
            let reason = format!("the largest norm must be a finite number above 0, not {most}");
            return Err(Error::argument("max-norm", reason));
        }
        let hidden = layers.split_last().map_or(&[][..], |(_, hidden)| hidden);
        let dense = || hidden.iter().filter(|layer| layer.kind().multiplies());
        let shapes = || dense().map(|layer| (layer.weights().rows(), layer.weights().columns()));
        let (Some(tallest), Some(largest)) =
            (shapes().map(|s| s.0).max(), shapes().map(|s| s.0 * s.1).max())
        else {
            return Err(Error::argument(
                "max-norm",
                "bounds weights of hidden layers, and there are none",
            ));
        };
        let engine = layers[0].weights().engine();
        Ok(MaxNorm {
            most,
            squares: Matrix::zeros(engine, 1, largest)?,
            sums: Matrix::zeros(engine, tallest, 1)?,
        })
    }

    /// Names and matrices of the memory of this.
    pub(super) fn buffers(&self) -> [(&'static str, &Matrix<T>); 2] {
        [("max_norm.squares", &self.squares), ("max_norm.sums", &self.sums)]
    }

    /// Bounds all layers but the last and those that are frozen.
    pub(super) fn bound(&mut self, layers: &mut [Training<'_, T>], frozen: &[bool]) -> Result<()> {
        let hidden = layers.len() - 1;
        let layers = layers[..hidden].iter_mut().zip(frozen);
        for (layer, _) in layers.filter(|(layer, f)| layer.kind().multiplies() && !**f) {
            let [weights, _] = layer.parameters_mut();
            let (rows, columns) = (weights.rows(), weights.columns());
            let (squares, sums) =
                (self.squares.front_mut(rows, columns), self.sums.front_mut(rows, 1));
            regularize::bound_rows(self.most, weights, squares, sums)?;
        }
        Ok(())
    }
}
