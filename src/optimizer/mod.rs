//! How gradients become parameters.
//!
//! One file an optimizer. A trainer asks where backward should write the gradient ([`Optimizer::sink`]), lets it be
//! written there by the same product that computes it, and then calls [`Optimizer::update`].

mod sgd;

pub use sgd::Sgd;

use crate::error::Result;
use crate::matrix::{Matrix, MatrixMut};
use crate::scalar::Scalar;

/// Where backward writes: `sink = scale gradient + keep sink`, the gradient being the mean over the batch.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Sink {
    /// Into the parameters themselves.
    Parameters {
        /// Usually minus the learning rate.
        scale: f64,
        /// 1, or a little less for weight decay.
        keep: f64,
    },
    /// Into the first state matrix of the parameter.
    State {
        /// 1 for the gradient itself.
        scale: f64,
        /// 0, or the momentum.
        keep: f64,
    },
}

/// An optimizer. It never sees a layer, only parameters and the state it asked for.
pub trait Optimizer<T: Scalar>: Send {
    /// Name and settings, as the model file keeps them: `"sgd(0.1)"`.
    fn describe(&self) -> String;

    /// State matrices that it keeps beside every parameter, of the parameter's shape, all 0 at the beginning.
    fn states(&self) -> usize;

    /// Where the gradient goes in this step (counted from 0).
    fn sink(&self, step: u64) -> Sink;

    /// Updates one parameter, once its gradient is written.
    ///
    /// # Errors
    /// A device that fails.
    fn update(&self, step: u64, parameter: MatrixMut<'_, T>, states: &mut [Matrix<T>]) -> Result<()>;
}
