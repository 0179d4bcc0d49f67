//! Learning rates that change on the way.

use std::f64::consts::PI;

use super::positive;
use crate::error::{Error, Result};

/// What the learning rate of step t, counted from 0, is multiplied by. A schedule that is at its end stays there.
///
/// ```
/// use travertine::optimizer::Schedule;
/// let halved = Schedule::Step { every: 100, factor: 0.5 };
/// assert_eq!((halved.factor(99), halved.factor(250)), (1.0, 0.25));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq)]
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
    /// Times `factor` whenever more than `patience` epochs in a row had no loss below `1 - 1e-4` times the best so far:
    /// PyTorch's `ReduceLROnPlateau`. The trainer must be told of them, see
    /// [`Trainer::observe_loss`](crate::Trainer::observe_loss).
    Plateau {
        /// Epochs without progress that are put up with.
        patience: u64,
        /// Above 0.
        factor: f64,
    },
}

impl Schedule {
    /// The factor of step t; 1 for [`Schedule::Plateau`], which depends on what it is told.
    pub fn factor(&self, t: u64) -> f64 {
        let t_real = t as f64;
        match *self {
            Schedule::Constant | Schedule::Plateau { .. } => 1.0,
            Schedule::Step { every, factor } => {
                factor.powf(t.checked_div(every).unwrap_or(0) as f64)
            }
            Schedule::Exponential { factor } => factor.powf(t_real),
            Schedule::Cosine { steps, last } => between(1.0, last, t_real / steps as f64),
            Schedule::WarmUp { steps } => ((t_real + 1.0) / steps as f64).min(1.0),
            Schedule::OneCycle { steps } => one_cycle(t_real, steps as f64),
        }
    }

    pub(crate) fn validate(self) -> Result<Self> {
        let steps = match self {
            Schedule::Step { every, .. } => every,
            Schedule::Cosine { steps, .. }
            | Schedule::WarmUp { steps }
            | Schedule::OneCycle { steps } => steps,
            _ => 1,
        };
        if steps == 0 {
            return Err(Error::argument("schedule", "there must be at least one step, not 0"));
        }
        match self {
            Schedule::Step { factor, .. }
            | Schedule::Exponential { factor }
            | Schedule::Plateau { factor, .. } => {
                positive("schedule", "factor", factor)?;
            }
            Schedule::Cosine { last, .. } if !(last >= 0.0 && last.is_finite()) => {
                let reason =
                    format!("the last factor must be a finite number not below 0, not {last}");
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

/// A schedule, and what it has seen.
pub(crate) struct ScheduleState {
    schedule: Schedule,
    best: f64,
    epochs_without_progress: u64,
    /// What plateaus have made of the learning rate.
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

    /// What it has seen, bit by bit.
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
