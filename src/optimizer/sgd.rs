//! Stochastic gradient descent.

use super::{Optimizer, Sink};
use crate::error::{Error, Result};
use crate::matrix::{Matrix, MatrixMut};
use crate::scalar::Scalar;

/// `w = w - rate gradient` (Robbins and Monro 1951): keeps nothing, and the product that computes the gradient writes
/// the new weights.
///
/// ```
/// assert!(travertine::optimizer::Sgd::new(0.1).is_ok());
/// assert!(travertine::optimizer::Sgd::new(f64::NAN).is_err());
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Sgd {
    rate: f64,
}

impl Sgd {
    /// With this learning rate.
    ///
    /// # Errors
    /// A rate that is negative or not finite.
    pub fn new(rate: f64) -> Result<Sgd> {
        if rate >= 0.0 && rate.is_finite() {
            return Ok(Sgd { rate });
        }
        Err(Error::argument("sgd", format!("the learning rate must be a finite number not below 0, not {rate}")))
    }
}

impl<T: Scalar> Optimizer<T> for Sgd {
    fn describe(&self) -> String {
        format!("sgd({})", self.rate)
    }

    fn states(&self) -> usize {
        0
    }

    fn sink(&self, _step: u64) -> Sink {
        Sink::Parameters { scale: -self.rate, keep: 1.0 }
    }

    fn update(&self, _step: u64, _parameter: MatrixMut<'_, T>, _states: &mut [Matrix<T>]) -> Result<()> {
        Ok(())
    }
}
