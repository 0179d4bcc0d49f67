//! Optimizers: updates of parameters from gradients.
//!
//! One file for each optimizer. [`Optimizer::sink`] says where backward writes the gradient, so that the product which computes
//! the gradient also writes it there; then the trainer applies [`Optimizer::rule`]. [`Schedule`] changes the learning rate from
//! step to step, [`Clip`] bounds gradients; both work with every optimizer.
//!
//! [`Lbfgs`] is no [`Optimizer`]: it takes no mini-batches and searches along lines, so that it runs a training of its own.

mod adam;
mod clip;
mod decay;
mod lbfgs;
mod rms_prop;
mod schedule;
mod sgd;

pub use crate::engine::UpdateRule;
pub use adam::Adam;
pub use clip::Clip;
pub(crate) use clip::Clipper;
pub use decay::WeightDecay;
pub(crate) use lbfgs::minimize;
pub use lbfgs::{Lbfgs, LbfgsEnd, LbfgsProgress, LbfgsReport};
pub use rms_prop::RmsProp;
pub(crate) use schedule::ScheduleState;
pub use schedule::{Schedule, ScheduleFunction};
pub use sgd::Sgd;

use crate::error::{Error, Result};
use crate::matrix::{Matrix, MatrixMut};
use crate::ops;
use crate::scalar::Scalar;

/// The number of a step and the factor of its learning rate.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Step {
    /// Counted from 0.
    pub number: u64,
    /// The factor of the optimizer's learning rate, from a [`Schedule`].
    pub factor: f64,
    /// The factor of the optimizer's weight decay.
    pub decay: f64,
}

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

impl Sink {
    /// The gradient itself replaces the first state.
    pub const GRADIENT: Sink = Sink::State { scale: 1.0, keep: 0.0 };
}

/// An optimizer. It never sees a layer, only parameters and its own states. The trait is open: other crates can implement it,
/// with their work in [`Optimizer::update`].
pub trait Optimizer<T: Scalar>: Send {
    /// Name and every setting: `"sgd(0.1)"`. Snapshots contain it, and a trainer refuses to go on from one with another
    /// description.
    fn describe(&self) -> String;

    /// The learning rate without a schedule's factor, for reports; `None` where the optimizer has none.
    fn learning_rate(&self) -> Option<f64> {
        None
    }

    /// The number of state matrices for every parameter, each of the parameter's shape, all 0 at the beginning.
    fn states(&self) -> usize;

    /// The place for the gradient in this step.
    fn sink(&self, step: Step) -> Sink;

    /// The rule of a step for every parameter, where the update is a rule of this crate. Trainers call this once in each step and
    /// apply the rule.
    fn rule(&self, _step: Step) -> Option<UpdateRule> {
        None
    }

    /// Updates one parameter, weights or bias alike, once its gradient is written: by the rule, or not at all where there is
    /// none. An optimizer of one's own does its work here.
    ///
    /// # Errors
    /// A device that fails.
    fn update(
        &self,
        step: Step,
        parameter: MatrixMut<'_, T>,
        states: &mut [Matrix<T>],
    ) -> Result<()> {
        self.rule(step).map_or(Ok(()), |rule| ops::update::update(&rule, parameter, states))
    }
}

/// [`Optimizer::update`] with the rule of the step.
pub(crate) fn update<T: Scalar>(
    optimizer: &dyn Optimizer<T>,
    (step, rule): (Step, Option<&UpdateRule>),
    parameter: MatrixMut<'_, T>,
    states: &mut [Matrix<T>],
) -> Result<()> {
    match rule {
        Some(rule) => ops::update::update(rule, parameter, states),
        None => optimizer.update(step, parameter, states),
    }
}

/// An optimizer chosen at run time.
impl<T: Scalar> Optimizer<T> for Box<dyn Optimizer<T>> {
    fn describe(&self) -> String {
        (**self).describe()
    }

    fn learning_rate(&self) -> Option<f64> {
        (**self).learning_rate()
    }

    fn states(&self) -> usize {
        (**self).states()
    }

    fn sink(&self, step: Step) -> Sink {
        (**self).sink(step)
    }

    fn rule(&self, step: Step) -> Option<UpdateRule> {
        (**self).rule(step)
    }

    fn update(
        &self,
        step: Step,
        parameter: MatrixMut<'_, T>,
        states: &mut [Matrix<T>],
    ) -> Result<()> {
        (**self).update(step, parameter, states)
    }
}

/// A setting of an optimizer, which must be finite and not below 0.
fn not_negative(optimizer: &'static str, what: &str, x: f64) -> Result<f64> {
    if x >= 0.0 && x.is_finite() {
        return Ok(x);
    }
    Err(Error::argument(
        optimizer,
        format!("the {what} must be a finite number not below 0, not {x}"),
    ))
}

/// A setting of an optimizer, which must be finite and above 0.
fn positive(optimizer: &'static str, what: &str, x: f64) -> Result<f64> {
    if x > 0.0 && x.is_finite() {
        return Ok(x);
    }
    Err(Error::argument(optimizer, format!("the {what} must be a finite number above 0, not {x}")))
}

/// A share of the past that an optimizer keeps: from 0 to less than 1.
fn share(optimizer: &'static str, what: &str, x: f64) -> Result<f64> {
    if (0.0..1.0).contains(&x) {
        return Ok(x);
    }
    Err(Error::argument(optimizer, format!("the {what} must be from 0 to less than 1, not {x}")))
}
