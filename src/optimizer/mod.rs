//! How gradients become parameters.
//!
//! One file an optimizer. A trainer asks where backward should write the gradient ([`Optimizer::sink`]), lets it be
//! written there by the same product that computes it, and then follows [`Optimizer::rule`]. [`Schedule`] changes the
//! learning rate on the way, [`Clip`] bounds gradients; both suit every optimizer.

mod adam;
mod clip;
mod decay;
mod rms_prop;
mod schedule;
mod sgd;

pub use crate::engine::UpdateRule;
pub use adam::Adam;
pub use clip::Clip;
pub(crate) use clip::Clipper;
pub use decay::WeightDecay;
pub use rms_prop::RmsProp;
pub use schedule::Schedule;
pub(crate) use schedule::ScheduleState;
pub use sgd::Sgd;

use crate::error::{Error, Result};
use crate::matrix::{Matrix, MatrixMut};
use crate::ops;
use crate::scalar::Scalar;

/// Which step, and how long.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Step {
    /// Counted from 0.
    pub number: u64,
    /// What the optimizer's learning rate is multiplied by, as a [`Schedule`] says.
    pub factor: f64,
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
    /// The gradient itself into the first state, whatever was there.
    pub const GRADIENT: Sink = Sink::State { scale: 1.0, keep: 0.0 };
}

/// An optimizer. It never sees a layer, only parameters and the state it asked for.
pub trait Optimizer<T: Scalar>: Send {
    /// Name and settings, as people read them: `"sgd(0.1)"`.
    fn describe(&self) -> String;

    /// State matrices that it keeps beside every parameter, of the parameter's shape, all 0 at the beginning.
    fn states(&self) -> usize;

    /// Where the gradient goes in this step.
    fn sink(&self, step: Step) -> Sink;

    /// What [`Optimizer::update`] does in a step, to every parameter alike, where it is a rule of this crate. Trainers ask once a
    /// step, and follow it.
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

/// [`Optimizer::update`] with the rule of the step, which has been asked for before.
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

/// An optimizer that is chosen while the program runs.
impl<T: Scalar> Optimizer<T> for Box<dyn Optimizer<T>> {
    fn describe(&self) -> String {
        (**self).describe()
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
