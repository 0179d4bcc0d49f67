//! An attempt to train: a default learning rate that diverges is lowered, and the training begins anew.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use travertine::engine::Engine;
use travertine::{Error, ErrorKind, Report, Result, Scalar};

use crate::message::{self, wrong};
use crate::output::history::EpochRecord;
use crate::output::progress::Epoch;
use crate::output::text::digits;
use crate::train::data::TrainingData;
use crate::train::output_layer::OutputLayer;
use crate::train::rate::LearningRate;
use crate::train::recipe::Recipe;
use crate::train::session::{End, Monitor, Outcome};

/// The loss of the trainer above which it is compared with that of the untrained network, which is about 1.
const SUSPICIOUS_LOSS: f64 = 10.0;
/// Times the loss of the untrained network, from which on the mean training loss of an epoch counts as divergence.
const MOST_TRAIN: f64 = 100.0;
/// The same for the test loss, which a single sample far from the others may raise.
const MOST_TEST: f64 = 1e10;

/// Ends the attempt when its loss explodes, where the learning rate can be lowered.
pub(crate) struct Watch<'a> {
    monitor: &'a mut dyn Monitor,
    /// Factor from a loss of the trainer to one in the unit of the data.
    factor: f64,
    rate: LearningRate,
    /// Whether the rate rises and falls in waves, so that a loss that rises in between falls again.
    has_waves: bool,
    untrained_loss: &'a dyn Fn() -> Result<f64>,
    /// What `untrained_loss` has returned.
    known: Option<f64>,
    divergence: Option<String>,
}

impl<'a> Watch<'a> {
    /// `factor`: from a loss of the trainer, such as `untrained_loss`, to one in the unit of the data.
    pub(crate) fn new(
        monitor: &'a mut dyn Monitor,
        factor: f64,
        recipe: &Recipe,
        untrained_loss: &'a dyn Fn() -> Result<f64>,
    ) -> Self {
        let (rate, has_waves) = (recipe.rate(), recipe.has_waves());
        Watch { monitor, factor, rate, has_waves, untrained_loss, known: None, divergence: None }
    }

    /// The outcome, and how the attempt diverged if it did and the learning rate can be lowered.
    pub(crate) fn judge(self, outcome: Outcome) -> (Outcome, Option<String>) {
        let divergence = self.divergence.or_else(|| match &outcome.end {
            End::Failure { error, .. } => of_error(error, self.rate),
            _ => None,
        });
        (outcome, divergence.filter(|_| self.rate.lowered().is_some()))
    }

    /// The loss of the untrained network, computed once, and only for a loss that is suspicious.
    fn untrained(&mut self) -> Result<f64> {
        let loss = self.known.map_or_else(self.untrained_loss, Ok)?;
        self.known = Some(loss);
        Ok(loss)
    }

    /// How the loss has exploded in this epoch, if it has.
    fn explosion(&mut self, epoch: &Epoch) -> Result<Option<String>> {
        let train = (epoch.train.loss, MOST_TRAIN, "training");
        let test = epoch.test.map(|test| (test.loss, MOST_TEST, "test"));
        for (loss, most, name) in std::iter::once(train).chain(test) {
            let own = loss / self.factor;
            let is_modest = own <= SUSPICIOUS_LOSS || own <= most * self.untrained()?;
            if !is_modest {
                let (number, loss) = (epoch.number, digits(loss));
                let at = format!("in epoch {number}, to a {name} loss of {loss},");
                return Ok(Some(diverged(&at, self.rate)));
            }
        }
        Ok(None)
    }
}

impl Monitor for Watch<'_> {
    fn is_due(&self) -> bool {
        self.monitor.is_due()
    }

    fn show(&mut self, epoch: usize, start: Instant, report: &Report) {
        self.monitor.show(epoch, start, report);
    }

    fn needs_gradient_norms(&self) -> bool {
        self.monitor.needs_gradient_norms()
    }

    fn epoch(&mut self, epoch: &Epoch, records: &[EpochRecord]) -> Result<()> {
        if !self.has_waves
            && self.rate.lowered().is_some()
            && let Some(explosion) = self.explosion(epoch)?
        {
            // The error only ends the session: what is printed is the divergence.
            let error = wrong("--learning-rate", explosion.clone());
            self.divergence = Some(explosion);
            return Err(error);
        }
        self.monitor.epoch(epoch, records)
    }
}

fn of_error(error: &Error, rate: LearningRate) -> Option<String> {
    let ErrorKind::Diverged { step, epoch, .. } = error.kind() else { return None };
    Some(diverged(&format!("at step {step} (in epoch {})", epoch + 1), rate))
}

fn diverged(at: &str, rate: LearningRate) -> String {
    let default = if rate.is_lowered() { "" } else { "default " };
    format!("training diverged {at} with the {default}learning rate {}", rate.value())
}

/// The trainer's loss on the training samples before the first step.
pub(crate) fn untrained_loss<T: Scalar>(
    recipe: &Recipe,
    engine: &Arc<dyn Engine<T>>,
    data: &TrainingData<T>,
    output: &OutputLayer,
) -> Result<f64> {
    let (mut network, train) = (recipe.network(engine, data, output.activation)?, &data.train);
    let mut trainer = recipe.trainer(&mut network, output.learned_loss, train.samples())?;
    Ok(trainer.evaluate(&recipe.training_samples(engine, train)?)?.loss)
}

/// Prints the error of a training; after a divergence with a rate that was given, also the rate to try.
pub(crate) fn explain(error: Error, rate: LearningRate) -> Result<ExitCode> {
    match (error.kind(), rate.hint()) {
        (ErrorKind::Diverged { .. }, Some(hint)) => Ok(message::failure(&error, &hint)),
        _ => Err(error),
    }
}
