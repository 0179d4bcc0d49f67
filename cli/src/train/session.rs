//! A training under way: epochs, tests, checkpoints, early stopping, signals.

use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use serde::{Deserialize, Serialize};
use travertine::engine::Engine;
use travertine::{Error, ErrorKind, Result, Samples, Scalar, Trainer};

use crate::args::TrainArgs;
use crate::augment;
use crate::checkpoint::Keeper;
use crate::history::{History, Row};
use crate::output::{Output, note};
use crate::progress::{Display, Epoch};
use crate::target_scale::in_units;
use crate::training_data::TrainingData;

/// How a training went.
#[derive(Clone, Default, Serialize, Deserialize)]
pub(crate) struct Course {
    /// The last epoch that went well.
    pub(crate) last: Option<Row>,
    /// With early stopping the epoch of the lowest loss on the samples held out.
    pub(crate) best: Option<Row>,
    pub(crate) best_test_accuracy: Option<f64>,
    /// Of all: steps and tests.
    pub(crate) seconds: f64,
    /// Of the steps alone.
    pub(crate) seconds_of_steps: f64,
    /// Of the steps of an epoch that is not at its end.
    seconds_of_part: f64,
    /// Of an epoch's first step.
    learning_rate: f64,
}

impl Course {
    /// Whether so many epochs in a row have brought nothing better.
    fn has_stopped_getting_better(&self, patience: Option<usize>) -> bool {
        let (Some(last), Some(best), Some(patience)) = (&self.last, &self.best, patience) else {
            return false;
        };
        last.epoch - best.epoch.min(last.epoch) >= patience as u64
    }
}

/// Why a training came to its end.
pub(crate) enum End {
    Done,
    Signal(usize),
    /// What went wrong; `between` whole epochs, so that the parameters are worth something.
    Failure {
        error: Error,
        between: bool,
    },
}

/// A training under way.
pub(crate) struct Fit<'a, T: Scalar> {
    pub(crate) args: &'a TrainArgs,
    pub(crate) engine: &'a Arc<dyn Engine<T>>,
    pub(crate) data: &'a TrainingData<T>,
    pub(crate) keeper: &'a Keeper,
    pub(crate) display: Display,
    pub(crate) history: &'a mut History,
    pub(crate) course: Course,
    /// The parameters of the best epoch, where early stopping asks for them.
    pub(crate) best: Option<Vec<Vec<T>>>,
}

impl<T: Scalar> Fit<'_, T> {
    /// Epoch after epoch, until the last, until nothing gets better, until a signal comes, or until something fails.
    pub(crate) fn run(
        &mut self,
        trainer: &mut Trainer<'_, T>,
        train: &mut Samples<'_, T>,
        mut test: Option<&mut Samples<'_, T>>,
        out: &mut Output,
    ) -> End {
        let (args, engine, data, first) = (self.args, self.engine, self.data, trainer.epochs());
        let begin = (Instant::now(), self.course.seconds);
        // The losses of an epoch's first part, which has been resumed, lie with samples that may not be those of the epoch.
        let mut part = (trainer.position() > 0).then(|| trainer.snapshot(train));
        let mut end = End::Done;
        let ran = augment::each_epoch(args, engine, data, (&mut *train, first), |train| {
            part.take().map_or(Ok(()), |part| trainer.restore(&part?, train))?;
            let Some(last) = self.next(trainer, train, test.as_deref_mut(), begin, out) else {
                return Ok(ControlFlow::Continue(()));
            };
            end = last;
            Ok(ControlFlow::Break(()))
        });
        if let Err(error) = ran {
            end = End::Failure { error, between: trainer.position() == 0 };
        }
        // A training may be asked to go on for longer.
        match end {
            End::Done if !self.keeper.is_due_after_epochs() => {
                match self.checkpoint(trainer, train) {
                    Ok(_) => End::Done,
                    Err(error) => End::Failure { error, between: true },
                }
            }
            end => end,
        }
    }

    /// The next epoch, from test to checkpoint; `Some` if there is to be none after it. `begin`: when this run began, and the seconds of
    /// those before it.
    fn next(
        &mut self,
        trainer: &mut Trainer<'_, T>,
        train: &mut Samples<'_, T>,
        test: Option<&mut Samples<'_, T>>,
        begin: (Instant, f64),
        out: &mut Output,
    ) -> Option<End> {
        if self.course.has_stopped_getting_better(self.args.checkpoint.early_stopping) {
            return Some(End::Done);
        }
        let epoch = self.epoch(trainer, train, test);
        self.course.seconds = begin.1 + begin.0.elapsed().as_secs_f64();
        match epoch {
            Ok(Some(epoch)) => {
                let kept = self.keep(&epoch, trainer, train, out);
                kept.err().map(|error| End::Failure { error, between: true })
            }
            Ok(None) => Some(self.stop(trainer, train)),
            Err(error) => {
                // The parameters are those from before the epoch, or those of its middle.
                let between = self.course.last.is_some()
                    && matches!(error.kind(), ErrorKind::Diverged { .. });
                Some(End::Failure { error, between })
            }
        }
    }

    /// The rest of an epoch and the test behind it; `None` if a signal has come.
    fn epoch(
        &mut self,
        trainer: &mut Trainer<'_, T>,
        train: &mut Samples<'_, T>,
        test: Option<&mut Samples<'_, T>>,
    ) -> Result<Option<Epoch>> {
        let number = trainer.epochs() as usize;
        if trainer.position() == 0 {
            (self.course.learning_rate, self.course.seconds_of_part) =
                (self.args.rate() * trainer.rate_factor(), 0.0);
        }
        let report = loop {
            let (start, mut steps) = (Instant::now(), trainer.steps());
            let (display, keeper) = (&mut self.display, self.keeper);
            let part = trainer.epoch_until(train, |progress| {
                steps += 1;
                display.step(number, start, &progress)?;
                let stops = keeper.signal().is_some() || keeper.is_due(steps);
                Ok(if stops { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
            })?;
            self.course.seconds_of_part += start.elapsed().as_secs_f64();
            match part {
                Some(report) => break report,
                None if self.keeper.signal().is_some() => return Ok(None),
                None => self.checkpoint(trainer, train)?,
            };
        };
        let test = test.map(|test| trainer.evaluate(test)).transpose()?;
        trainer.observe_loss(test.unwrap_or(report).loss);
        let in_units = |report| in_units(report, self.display.factor());
        let seconds = self.course.seconds_of_part;
        Ok(Some(Epoch {
            number: number + 1,
            train: in_units(report),
            test: test.map(in_units),
            seconds,
        }))
    }

    /// The epoch is told, and goes into the history, the course and a checkpoint.
    fn keep(
        &mut self,
        epoch: &Epoch,
        trainer: &mut Trainer<'_, T>,
        train: &mut Samples<'_, T>,
        out: &mut Output,
    ) -> Result<()> {
        // Nobody asks for the gradients otherwise: with SGD they are never stored.
        let wanted = self.args.history.is_wanted();
        let gradient_norms = if wanted { trainer.gradient_norms(train)? } else { Vec::new() };
        let row = Row {
            epoch: epoch.number as u64,
            step: trainer.steps(),
            train_loss: epoch.train.loss,
            train_accuracy: epoch.train.accuracy,
            test_loss: epoch.test.map(|report| report.loss).filter(|loss| loss.is_finite()),
            test_accuracy: epoch.test.and_then(|report| report.accuracy),
            learning_rate: self.course.learning_rate,
            seconds: epoch.seconds,
            gradient_norms,
        };
        let course = &mut self.course;
        course.seconds_of_steps += epoch.seconds;
        course.best_test_accuracy =
            course.best_test_accuracy.into_iter().chain(row.test_accuracy).reduce(f64::max);
        let loss = |row: &Row| row.test_loss.unwrap_or(f64::INFINITY);
        if self.args.checkpoint.early_stopping.is_some()
            && course.best.as_ref().is_none_or(|best| loss(&row) < loss(best))
        {
            course.best = Some(row.clone());
            self.best = Some(trainer.parameters()?);
        }
        course.last = Some(row.clone());
        self.display.epoch(epoch, out)?;
        self.history.push(row)?;
        if self.keeper.is_due_after_epochs() {
            self.checkpoint(trainer, train)?;
        }
        Ok(())
    }

    fn checkpoint(
        &mut self,
        trainer: &mut Trainer<'_, T>,
        train: &mut Samples<'_, T>,
    ) -> Result<Option<PathBuf>> {
        self.keeper.write(trainer, train, self.history.rows(), &self.course, self.best.as_deref())
    }

    /// Ends as a signal asks for.
    fn stop(&mut self, trainer: &mut Trainer<'_, T>, train: &mut Samples<'_, T>) -> End {
        let signal = self.keeper.signal().unwrap_or_default();
        let step = trainer.steps();
        match self.checkpoint(trainer, train) {
            Ok(Some(path)) => note(&format!(
                "stopped by signal {signal} after step {step}; {} is saved",
                path.display()
            )),
            Ok(None) => {
                // Either nobody asked for one, or a warning has told why there is none.
                let hint = if self.keeper.has_folder() { "" } else { " (see --checkpoint)" };
                note(&format!(
                    "stopped by signal {signal} after step {step}; nothing is saved{hint}"
                ))
            }
            Err(error) => return End::Failure { error, between: false },
        }
        End::Signal(signal)
    }
}
