//! Learning rates that change from step to step.

use std::f64::consts::PI;
use std::fmt;
use std::sync::Arc;

use super::positive;
use crate::error::{Error, Result};

/// The factor of the learning rate in step t, counted from 0. A schedule that is at its end stays there.
///
/// ```
/// use travertine::optimizer::Schedule;
/// let halved = Schedule::Step { every: 100, factor: 0.5 };
/// assert_eq!((halved.factor(99), halved.factor(250)), (1.0, 0.25));
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Schedule {
    /// `1`
    #[default]
    Constant,
    /// `factor^floor(t / every)`
    Step {
        /// Steps from one change to the next.
        every: u64,
        /// Above 0.
        factor: f64,
    },
    /// `factor^t`
    Exponential {
        /// Above 0.
        factor: f64,
    },
    /// `last + (1 - last) (1 + cos(pi t / steps)) / 2` (Loshchilov and Hutter 2017, without restarts).
    Cosine {
        /// Steps until it ends.
        steps: u64,
        /// Where it ends, from 0 on.
        last: f64,
    },
    /// `(t + 1) / steps`, then 1 (Goyal et al. 2017).
    WarmUp {
        /// Steps until it ends.
        steps: u64,
    },
    /// From 1/25 up to 1 within three tenths of the steps and down to 1/250,000, along half waves of the cosine (Smith and
    /// Topin 2019, as PyTorch has it, with the momentum left alone): the learning rate is that of the peak.
    OneCycle {
        /// Steps until it ends.
        steps: u64,
    },
    /// `(1 - cos(2 pi log2(1 + (2^cycles - 1) t / steps))) / 2`: waves from 0 to 1 and back, each twice as long as the one
    /// before (`coslog4` of Holzmüller et al. 2024 has 4 of them). A training that ends at the foot of a wave ends as with a
    /// rate that has been lowered.
    CosLog {
        /// Steps until it ends.
        steps: u64,
        /// Waves, from 1 to 16.
        cycles: u32,
    },
    /// 1 for half of the steps, then down to 0 along half a wave of the cosine (`flat_cos` of Holzmüller et al. 2024).
    FlatCosine {
        /// Steps until it ends.
        steps: u64,
    },
    /// Times `factor` whenever more than `patience` epochs in a row had no loss below `1 - 1e-4` times the best so far:
    /// PyTorch's `ReduceLROnPlateau`. The trainer gets the losses from
    /// [`Trainer::observe_loss`](crate::Trainer::observe_loss).
    Plateau {
        /// Epochs without progress in a row that change nothing.
        patience: u64,
        /// Above 0.
        factor: f64,
    },
    /// A function of t, from [`Schedule::from_fn`].
    Function(ScheduleFunction),
}

/// The function of [`Schedule::Function`]. Two are equal if they are clones of one.
#[derive(Clone)]
pub struct ScheduleFunction(Arc<dyn Fn(u64) -> f64 + Send + Sync>);

impl PartialEq for ScheduleFunction {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl fmt::Debug for ScheduleFunction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a function")
    }
}

/// The name and its numbers: `"step(every 100, factor 0.5)"`.
impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Schedule::Constant => f.write_str("constant"),
            Schedule::Step { every, factor } => write!(f, "step(every {every}, factor {factor})"),
            Schedule::Exponential { factor } => write!(f, "exponential(factor {factor})"),
            Schedule::Cosine { steps, last } => write!(f, "cosine(steps {steps}, last {last})"),
            Schedule::WarmUp { steps } => write!(f, "warm-up(steps {steps})"),
            Schedule::OneCycle { steps } => write!(f, "one-cycle(steps {steps})"),
            Schedule::CosLog { steps, cycles } => {
                write!(f, "coslog(steps {steps}, cycles {cycles})")
            }
            Schedule::FlatCosine { steps } => write!(f, "flat-cosine(steps {steps})"),
            Schedule::Plateau { patience, factor } => {
                write!(f, "plateau(patience {patience}, factor {factor})")
            }
            Schedule::Function(_) => f.write_str("a function"),
        }
    }
}

impl Schedule {
    /// A schedule of one's own: the factor of step t as a function. It must give a finite number of at least 0, which every step
    /// checks, and the same one for the same step.
    ///
    /// ```
    /// use travertine::optimizer::Schedule;
    /// let warm_up = 10;
    /// let schedule = Schedule::from_fn(move |t| if t < warm_up { 0.1 } else { 1.0 / (t - warm_up + 1) as f64 });
    /// assert_eq!((schedule.factor(9), schedule.factor(11)), (0.1, 0.5));
    /// ```
    pub fn from_fn(factor: impl Fn(u64) -> f64 + Send + Sync + 'static) -> Self {
        Schedule::Function(ScheduleFunction(Arc::new(factor)))
    }

    /// The factor of step t; 1 for [`Schedule::Plateau`], which depends on the losses that it observes.
    pub fn factor(&self, t: u64) -> f64 {
        let t_real = t as f64;
        match *self {
            Schedule::Function(ref function) => (function.0)(t),
            Schedule::Constant | Schedule::Plateau { .. } => 1.0,
            Schedule::Step { every, factor } => {
                factor.powf(t.checked_div(every).unwrap_or(0) as f64)
            }
            Schedule::Exponential { factor } => factor.powf(t_real),
            Schedule::Cosine { steps, last } => between(1.0, last, t_real / steps as f64),
            Schedule::WarmUp { steps } => ((t_real + 1.0) / steps as f64).min(1.0),
            Schedule::OneCycle { steps } => one_cycle(t_real, steps as f64),
            Schedule::CosLog { steps, cycles } => {
                cos_log((t_real / steps as f64).min(1.0), f64::from(cycles))
            }
            Schedule::FlatCosine { steps } => {
                between(1.0, 0.0, (2.0 * t_real / steps as f64 - 1.0).max(0.0))
            }
        }
    }

    pub(crate) fn validate(self) -> Result<Self> {
        let steps = match self {
            Schedule::Step { every, .. } => every,
            Schedule::Cosine { steps, .. }
            | Schedule::WarmUp { steps }
            | Schedule::OneCycle { steps }
            | Schedule::CosLog { steps, .. }
            | Schedule::FlatCosine { steps } => steps,
            _ => 1,
        };
        if steps == 0 {
            return Err(Error::argument("schedule", "there must be at least one step, not 0"));
        }
        match &self {
            &Schedule::Step { factor, .. }
            | &Schedule::Exponential { factor }
            | &Schedule::Plateau { factor, .. } => {
                positive("schedule", "factor", factor)?;
            }
            &Schedule::Cosine { last, .. } if !(last >= 0.0 && last.is_finite()) => {
                let reason =
                    format!("the last factor must be a finite number not below 0, not {last}");
                return Err(Error::argument("schedule", reason));
            }
            Schedule::CosLog { cycles, .. } if !(1..=MOST_CYCLES).contains(cycles) => {
                let reason = format!("there are from 1 to {MOST_CYCLES} cycles, not {cycles}");
                return Err(Error::argument("schedule", reason));
            }
            _ => {}
        }
        Ok(self)
    }
}

/// From a to b along half a wave of the cosine, for a share from 0 to 1.
fn between(a: f64, b: f64, share: f64) -> f64 {
    b + (a - b) * (1.0 + (PI * share.min(1.0)).cos()) / 2.0
}

/// The last of so many waves is 2^15 times as long as the first.
const MOST_CYCLES: u32 = 16;

fn cos_log(share: f64, cycles: f64) -> f64 {
    (1.0 - (2.0 * PI * (1.0 + (cycles.exp2() - 1.0) * share).log2()).cos()) / 2.0
}

fn one_cycle(t: f64, steps: f64) -> f64 {
    const FIRST: f64 = 1.0 / 25.0;
    const LAST: f64 = FIRST / 1e4;
    let (peak, end) = (0.3 * steps - 1.0, steps - 1.0);
    if t <= peak {
        between(FIRST, 1.0, t / peak)
    } else {
        between(1.0, LAST, (t - peak) / (end - peak))
    }
}

/// Less than this share of the best loss is no progress.
const PROGRESS: f64 = 1e-4;

/// A schedule, and the losses that it has observed.
pub(crate) struct ScheduleState {
    schedule: Schedule,
    best: f64,
    epochs_without_progress: u64,
    /// The product of all reductions so far.
    reduced: f64,
}

impl ScheduleState {
    pub(crate) fn new(schedule: Schedule) -> Result<Self> {
        let schedule = schedule.validate()?;
        Ok(ScheduleState {
            schedule,
            best: f64::INFINITY,
            epochs_without_progress: 0,
            reduced: 1.0,
        })
    }

    pub(crate) fn factor(&self, step: u64) -> f64 {
        self.reduced * self.schedule.factor(step)
    }

    /// Refuses a factor of a function that is none.
    pub(crate) fn check(&self, step: u64) -> Result<()> {
        let Schedule::Function(_) = self.schedule else { return Ok(()) };
        let factor = self.schedule.factor(step);
        if factor >= 0.0 && factor.is_finite() {
            return Ok(());
        }
        let reason = format!(
            "the function gives {factor} for step {step}; a factor is a finite number of at least 0"
        );
        Err(Error::argument("schedule", reason))
    }

    /// The losses observed so far, bit by bit.
    pub(crate) fn state(&self) -> [u64; 3] {
        [self.best.to_bits(), self.epochs_without_progress, self.reduced.to_bits()]
    }

    pub(crate) fn set_state(&mut self, [best, epochs_without_progress, reduced]: [u64; 3]) {
        (self.best, self.reduced) = (f64::from_bits(best), f64::from_bits(reduced));
        self.epochs_without_progress = epochs_without_progress;
    }

    /// The loss of an epoch.
    pub(crate) fn observe(&mut self, loss: f64) {
        let Schedule::Plateau { patience, factor } = self.schedule else { return };
        if loss < self.best * (1.0 - PROGRESS) {
            (self.best, self.epochs_without_progress) = (loss, 0);
            return;
        }
        self.epochs_without_progress += 1;
        if self.epochs_without_progress > patience {
            (self.reduced, self.epochs_without_progress) = (self.reduced * factor, 0);
        }
    }
}
