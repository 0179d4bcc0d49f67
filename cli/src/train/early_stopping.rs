//! How far a training is, and when it no longer improves.

use serde::{Deserialize, Serialize};

use crate::args::checkpoint::Keep;
use crate::output::history::EpochRecord;

/// How far a training is. Checkpoints hold it: the names of its fields are part of their format.
#[derive(Clone, Default, Serialize, Deserialize)]
pub(crate) struct Progress {
    /// The last epoch that succeeded.
    pub(crate) last: Option<EpochRecord>,
    /// With early stopping the epoch of the lowest loss on the samples held out.
    pub(crate) best: Option<EpochRecord>,
    pub(crate) best_test_accuracy: Option<f64>,
    /// Of all: steps and tests.
    pub(crate) seconds: f64,
    /// Of the steps alone.
    pub(crate) seconds_of_steps: f64,
    /// Of the steps of an epoch that has not ended.
    pub(crate) seconds_of_part: f64,
    /// Of the epoch's first step.
    pub(crate) learning_rate: f64,
}

impl Progress {
    /// Epochs that have ended.
    pub(crate) fn epochs(&self) -> usize {
        self.last.as_ref().map_or(0, |last| last.epoch as usize)
    }

    /// Adds an epoch that has ended.
    pub(crate) fn add(&mut self, epoch: &EpochRecord) {
        self.seconds_of_steps += epoch.seconds;
        self.best_test_accuracy =
            self.best_test_accuracy.into_iter().chain(epoch.test_accuracy).reduce(f64::max);
        self.last = Some(epoch.clone());
    }

    /// Whether the last epoch is the best so far, which it then becomes.
    pub(crate) fn has_new_best(&mut self, keep: Keep) -> bool {
        let loss = |epoch: &EpochRecord| epoch.test_loss.unwrap_or(f64::INFINITY);
        let is_new = match (&self.last, &self.best) {
            (Some(last), Some(best)) if keep == Keep::Accuracy => {
                last.test_accuracy >= best.test_accuracy
            }
            (Some(last), Some(best)) => loss(last) < loss(best),
            (last, _) => last.is_some(),
        };
        if is_new {
            self.best.clone_from(&self.last);
        }
        is_new
    }

    /// Whether the last `patience` epochs brought no lower loss.
    pub(crate) fn has_stopped_improving(&self, patience: usize) -> bool {
        let (Some(last), Some(best)) = (&self.last, &self.best) else { return false };
        last.epoch - best.epoch.min(last.epoch) >= patience as u64
    }
}
