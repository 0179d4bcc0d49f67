//! The loop over epochs: steps, tests, early stopping, checkpoints, signals.

use std::ops::ControlFlow;
use std::path::PathBuf;
use std::time::Instant;

use travertine::{Error, ErrorKind, Report, Result, Samples, Scalar, Trainer};

use crate::args::checkpoint::Keep;
use crate::message::note;
use crate::output::history::EpochRecord;
use crate::output::progress::Epoch;
use crate::train::augment::MemoryFeed;
use crate::train::checkpoint::{CheckpointWriter, Resumed};
use crate::train::early_stopping::Progress;
use crate::train::rate::Restart;
use crate::train::stream::StreamFeed;

/// Shows and records a session, if anything does.
pub(crate) trait Monitor {
    /// Whether [`Monitor::show`] is due: its report waits for the device.
    fn is_due(&self) -> bool {
        false
    }

    /// After a step of `epoch`, counted from 0; `start`: when this run of its steps began, `report`: of the epoch so far.
    fn show(&mut self, _epoch: usize, _start: Instant, _report: &Report) {}

    /// Whether records have gradient norms, which take a pass over the samples.
    fn needs_gradient_norms(&self) -> bool {
        false
    }

    /// After an epoch; `records`: of all epochs so far.
    fn epoch(&mut self, epoch: &Epoch, records: &[EpochRecord]) -> Result<()>;

    /// Forgets all epochs so far: the training begins anew with a smaller learning rate.
    fn begin_anew(&mut self, _restart: &Restart) -> Result<()> {
        Ok(())
    }
}

/// The reason why a session ended.
pub(crate) enum End {
    Done,
    Signal(usize),
    /// `savable`: the parameters are those of a whole epoch.
    Failure {
        error: Error,
        savable: bool,
    },
}

/// Where a session ended.
pub(crate) struct Outcome {
    pub(crate) end: End,
    pub(crate) progress: Progress,
    pub(crate) records: Vec<EpochRecord>,
    pub(crate) steps: u64,
}

/// The samples of one epoch.
enum EpochSamples<'e, 'd, T: Scalar> {
    Memory(&'e mut Samples<'d, T>),
    Stream(&'e StreamFeed<'d, T>),
}

/// Parameters of all layers.
type Parameters<T> = Vec<Vec<T>>;

/// A training under way.
pub(crate) struct Session<'a, T: Scalar> {
    trainer: Trainer<'a, T>,
    test: Option<Samples<'a, T>>,
    epochs: usize,
    /// The learning rate before the schedule.
    rate: f64,
    /// Factor from a loss of the trainer to one in the unit of the data.
    factor: f64,
    /// Epochs without a lower loss before training ends.
    patience: Option<usize>,
    /// The epoch whose parameters are those of the outcome.
    keep: Keep,
    checkpoints: CheckpointWriter,
    monitor: &'a mut dyn Monitor,
    progress: Progress,
    records: Vec<EpochRecord>,
    /// The parameters of the best epoch, with early stopping.
    best: Option<Parameters<T>>,
    /// The parameters after the last whole epoch of a stream.
    restore_point: Option<Parameters<T>>,
    begin: Instant,
    seconds_before: f64,
}

impl<'a, T: Scalar> Session<'a, T> {
    /// A session of `epochs` epochs; `rate`: the learning rate before the schedule.
    pub(crate) fn new(
        trainer: Trainer<'a, T>,
        epochs: usize,
        rate: f64,
        monitor: &'a mut dyn Monitor,
    ) -> Self {
        Session {
            trainer,
            test: None,
            epochs,
            rate,
            factor: 1.0,
            patience: None,
            keep: Keep::Last,
            checkpoints: CheckpointWriter::default(),
            monitor,
            progress: Progress::default(),
            records: Vec::new(),
            best: None,
            restore_point: None,
            begin: Instant::now(),
            seconds_before: 0.0,
        }
    }

    /// Samples to test on after every epoch.
    pub(crate) fn test(mut self, test: Option<Samples<'a, T>>) -> Self {
        self.test = test;
        self
    }

    /// The factor from a loss of the trainer to one in the unit of the data.
    pub(crate) fn factor(mut self, factor: f64) -> Self {
        self.factor = factor;
        self
    }

    /// Ends after so many epochs without a lower loss on the test samples, with the parameters of the best epoch.
    pub(crate) fn patience(mut self, patience: Option<usize>) -> Self {
        self.patience = patience;
        self
    }

    /// The epoch whose parameters are those of the outcome, without early stopping.
    pub(crate) fn keep_epoch(mut self, keep: Keep) -> Self {
        self.keep = keep;
        self
    }

    /// Writes checkpoints, and ends with one when a signal comes.
    pub(crate) fn checkpoints(mut self, checkpoints: CheckpointWriter) -> Self {
        self.checkpoints = checkpoints;
        self
    }

    /// Continues from a checkpoint, whose samples are those of `memory`.
    pub(crate) fn resume(
        &mut self,
        resumed: Resumed<T>,
        memory: &mut MemoryFeed<'_, T>,
    ) -> Result<()> {
        self.trainer.restore(&resumed.snapshot, &mut memory.samples)?;
        self.best = resumed.best();
        (self.progress, self.records) = (resumed.progress, resumed.records);
        self.seconds_before = self.progress.seconds;
        Ok(())
    }

    /// Trains on samples in memory until the last epoch, until the loss stops improving, until a signal comes, or until
    /// something fails.
    pub(crate) fn run(mut self, memory: &mut MemoryFeed<'_, T>) -> Result<Outcome> {
        self.begin = Instant::now();
        // A resumed epoch may have deformed images, but `memory` has the losses of its first part: they move over.
        let is_inside = self.trainer.position() > 0;
        let mut part = is_inside.then(|| self.trainer.snapshot(&mut memory.samples));
        let mut end = End::Done;
        let ran = memory.each_epoch(self.progress.epochs()..self.epochs, |train| {
            part.take().map_or(Ok(()), |part| self.trainer.restore(&part?, train))?;
            let Some(last) = self.next(&mut EpochSamples::Memory(train)) else {
                return Ok(ControlFlow::Continue(()));
            };
            end = last;
            Ok(ControlFlow::Break(()))
        });
        if let Err(error) = ran {
            end = End::Failure { error, savable: self.trainer.position() == 0 };
        }
        // With a checkpoint at the end a later training can continue for more epochs.
        if matches!(end, End::Done)
            && !self.checkpoints.is_due_after_epochs()
            && let Err(error) = self.checkpoint(&mut EpochSamples::Memory(&mut memory.samples))
        {
            end = End::Failure { error, savable: true };
        }
        self.outcome(end)
    }

    /// As [`Session::run`], on samples that are read block by block.
    pub(crate) fn run_stream(mut self, stream: &StreamFeed<'_, T>) -> Result<Outcome> {
        self.begin = Instant::now();
        self.restore_point = Some(self.trainer.parameters()?);
        let epochs = self.progress.epochs()..self.epochs;
        let end = epochs.into_iter().find_map(|_| self.next(&mut EpochSamples::Stream(stream)));
        self.outcome(end.unwrap_or(End::Done))
    }

    /// With early stopping the best epoch counts as the last.
    fn outcome(mut self, end: End) -> Result<Outcome> {
        if let Some(best) = &self.best {
            self.trainer.set_parameters(best)?;
            self.progress.last.clone_from(&self.progress.best);
        }
        let steps = self.trainer.steps();
        Ok(Outcome { end, progress: self.progress, records: self.records, steps })
    }

    /// The next epoch, from its steps to its checkpoint; `Some` if it is the last.
    fn next(&mut self, samples: &mut EpochSamples<'_, '_, T>) -> Option<End> {
        if self.patience.is_some_and(|patience| self.progress.has_stopped_improving(patience)) {
            return Some(End::Done);
        }
        let epoch = self.epoch(samples);
        self.progress.seconds = self.seconds_before + self.begin.elapsed().as_secs_f64();
        match epoch {
            Ok(Some(epoch)) => {
                let kept = self.keep(&epoch, samples);
                kept.err().map(|error| End::Failure { error, savable: true })
            }
            Ok(None) => Some(self.stop(samples)),
            Err(error) => {
                let savable = self.progress.last.is_some() && self.is_restored(&error);
                Some(End::Failure { error, savable })
            }
        }
    }

    /// Whether the parameters are those from before the epoch that failed. After a divergence the trainer restores them.
    fn is_restored(&mut self, error: &Error) -> bool {
        match &self.restore_point {
            Some(parameters) => self.trainer.set_parameters(parameters).is_ok(),
            None => matches!(error.kind(), ErrorKind::Diverged { .. }),
        }
    }

    /// The rest of an epoch, and the test after it; `None` if a signal has come.
    fn epoch(&mut self, samples: &mut EpochSamples<'_, '_, T>) -> Result<Option<Epoch>> {
        let number = self.progress.epochs();
        if self.trainer.position() == 0 {
            self.progress.learning_rate = self.rate * self.trainer.rate_factor();
            self.progress.seconds_of_part = 0.0;
        }
        let train = match samples {
            EpochSamples::Memory(train) => self.train(number, train)?,
            EpochSamples::Stream(stream) => Some(self.train_stream(number, stream)?),
        };
        let Some(train) = train else { return Ok(None) };
        let test = match (&self.test, samples) {
            (Some(test), _) => Some(self.trainer.evaluate(test)?),
            (None, EpochSamples::Stream(stream)) => stream.evaluate(&mut self.trainer)?,
            (None, EpochSamples::Memory(_)) => None,
        };
        self.trainer.observe_loss(test.unwrap_or(train).loss);
        let in_units = |mut report: Report| {
            report.loss *= self.factor;
            report
        };
        Ok(Some(Epoch {
            number: number + 1,
            train: in_units(train),
            test: test.map(in_units),
            seconds: self.progress.seconds_of_part,
        }))
    }

    /// The steps of an epoch, with checkpoints between them; `None` if a signal has come.
    fn train(&mut self, number: usize, train: &mut Samples<'_, T>) -> Result<Option<Report>> {
        loop {
            let (start, mut steps) = (Instant::now(), self.trainer.steps());
            let (monitor, checkpoints) = (&mut *self.monitor, &self.checkpoints);
            let part = self.trainer.epoch_until(train, |progress| {
                steps += 1;
                if monitor.is_due() {
                    monitor.show(number, start, &progress.report()?);
                }
                let stops = checkpoints.signal().is_some() || checkpoints.is_due(steps);
                Ok(if stops { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
            })?;
            self.progress.seconds_of_part += start.elapsed().as_secs_f64();
            if part.is_none() {
                self.checkpoints.share_signal(self.trainer.processes())?;
            }
            match part {
                Some(report) => return Ok(Some(report)),
                None if self.checkpoints.signal().is_some() => return Ok(None),
                None => self.checkpoint(&mut EpochSamples::Memory(train))?,
            };
        }
    }

    fn train_stream(&mut self, number: usize, stream: &StreamFeed<'_, T>) -> Result<Report> {
        let (start, monitor) = (Instant::now(), &mut *self.monitor);
        let report = stream.epoch(&mut self.trainer, number as u64, |report| {
            if monitor.is_due() {
                monitor.show(number, start, report);
            }
        })?;
        self.progress.seconds_of_part = start.elapsed().as_secs_f64();
        Ok(report)
    }

    /// Adds an epoch to the progress, shows and records it, and writes a checkpoint where one is due.
    fn keep(&mut self, epoch: &Epoch, samples: &mut EpochSamples<'_, '_, T>) -> Result<()> {
        let record = self.record(epoch, samples)?;
        self.progress.add(&record);
        let keeps_best = self.patience.is_some() || self.keep != Keep::Last;
        if keeps_best && self.progress.has_new_best(self.keep) {
            self.best = Some(self.trainer.parameters()?);
        }
        if self.restore_point.is_some() {
            self.restore_point = Some(self.trainer.parameters()?);
        }
        self.records.push(record);
        self.monitor.epoch(epoch, &self.records)?;
        if self.checkpoints.is_due_after_epochs() {
            self.checkpoint(samples)?;
        }
        Ok(())
    }

    fn record(&mut self, epoch: &Epoch, samples: &EpochSamples<'_, '_, T>) -> Result<EpochRecord> {
        let norms = match samples {
            EpochSamples::Memory(train) if self.monitor.needs_gradient_norms() => {
                self.trainer.gradient_norms(train)?
            }
            _ => Vec::new(),
        };
        let are_finite = norms.iter().all(|norm| norm.is_finite());
        Ok(EpochRecord {
            epoch: epoch.number as u64,
            step: self.trainer.steps(),
            train_loss: epoch.train.loss,
            train_accuracy: epoch.train.accuracy,
            test_loss: epoch.test.map(|report| report.loss).filter(|loss| loss.is_finite()),
            test_accuracy: epoch.test.and_then(|report| report.accuracy),
            learning_rate: self.progress.learning_rate,
            seconds: epoch.seconds,
            gradient_norms: if are_finite { norms } else { Vec::new() },
        })
    }

    /// Writes a checkpoint, if there is a folder for it.
    fn checkpoint(&mut self, samples: &mut EpochSamples<'_, '_, T>) -> Result<Option<PathBuf>> {
        let EpochSamples::Memory(samples) = samples else { return Ok(None) };
        let (records, progress, best) = (&self.records, &self.progress, self.best.as_deref());
        self.checkpoints.write(&mut self.trainer, samples, records, progress, best)
    }

    /// Ends the session after a signal, with a checkpoint.
    fn stop(&mut self, samples: &mut EpochSamples<'_, '_, T>) -> End {
        let signal = self.checkpoints.signal().unwrap_or_default();
        let stopped = format!("stopped by signal {signal} after step {}", self.trainer.steps());
        match self.checkpoint(samples) {
            Ok(Some(path)) => note(&format!("{stopped}; {} is saved", path.display())),
            Ok(None) => {
                // Without a folder the hint helps; with one a warning has given the reason.
                let hint = if self.checkpoints.has_folder() { "" } else { " (see --checkpoint)" };
                note(&format!("{stopped}; nothing is saved{hint}"));
            }
            Err(error) => return End::Failure { error, savable: false },
        }
        End::Signal(signal)
    }
}
