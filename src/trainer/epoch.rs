//! Epochs: passes over all samples, in mini-batches of a new order each.

use std::ops::{ControlFlow, Range};
use std::sync::Arc;

use super::{Trainer, as_step};
use crate::error::Result;
use crate::samples::{Report, Samples};
use crate::scalar::Scalar;

impl<T: Scalar> Trainer<'_, T> {
    /// One pass over all samples in a new order, the last partial batch included. Gives loss and accuracy as they were
    /// before each step's update.
    ///
    /// # Errors
    /// Samples of other sizes than the network's; a loss or parameter that is no longer finite
    /// ([`ErrorKind::Diverged`](crate::ErrorKind::Diverged)): the parameters are then those from before this epoch; a device that fails.
    pub fn epoch(&mut self, samples: &mut Samples<'_, T>) -> Result<Report> {
        self.epoch_with(samples, |_| Ok(()))
    }

    /// As [`Trainer::epoch`]; calls `watch` after every step.
    ///
    /// # Errors
    /// As [`Trainer::epoch`], and those of `watch`, which end the epoch where it is: the next call goes on from there.
    pub fn epoch_with(
        &mut self,
        samples: &mut Samples<'_, T>,
        mut watch: impl FnMut(Progress<'_, T>) -> Result<()>,
    ) -> Result<Report> {
        loop {
            let done =
                self.epoch_until(samples, |progress| watch(progress).map(ControlFlow::Continue))?;
            if let Some(report) = done {
                return Ok(report);
            }
        }
    }

    /// As [`Trainer::epoch_with`], until `watch` breaks off after a step: then there is no report, and the next call goes on with
    /// the step after it. Where it breaks off in one process of a group, all break off. So another thread can stop a training:
    ///
    /// ```
    /// # use std::ops::ControlFlow;
    /// # use std::sync::atomic::{AtomicBool, Ordering};
    /// # use travertine::{Activation, Loss, Network, Samples, Trainer, data, engine, optimizer::Sgd};
    /// # let cpu = engine::open::<f32>("cpu")?;
    /// # let digits = data::digits()?;
    /// # let mut samples = Samples::new(&cpu, &digits)?;
    /// # let mut network = Network::builder(&cpu, 64).dense(10, Activation::Softmax).build()?;
    /// let mut trainer = Trainer::builder(&mut network, Loss::SoftmaxCrossEntropy, Sgd::new(0.1)?).build()?;
    /// let stop = AtomicBool::new(false); // another thread sets it
    /// # stop.store(true, Ordering::Relaxed);
    /// let report = trainer.epoch_until(&mut samples, |progress| {
    ///     println!("{} of {} samples", progress.samples(), progress.total());
    ///     Ok(if stop.load(Ordering::Relaxed) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    /// })?;
    /// assert!(report.is_none() && trainer.position() == 32);
    /// # Ok::<(), travertine::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Trainer::epoch_with`].
    pub fn epoch_until(
        &mut self,
        samples: &mut Samples<'_, T>,
        mut watch: impl FnMut(Progress<'_, T>) -> Result<ControlFlow<()>>,
    ) -> Result<Option<Report>> {
        self.check_samples("epoch", samples)?;
        let count = samples.count();
        if self.position == 0 || self.position > count {
            self.last_good.keep(&mut self.stepper)?;
            (self.first_step, self.position) = (self.stepper.step, 0);
        }
        self.agree_on_begin(samples)?;
        samples.shuffle(self.seed, self.epoch, self.batch())?;
        for first in (self.position..count).step_by(self.batch()) {
            let end = count.min(first + self.batch());
            self.step_on(samples, first..end)?;
            self.position = end;
            let breaks = watch(Progress { done: end, samples })?.is_break();
            if self.group.any(breaks)? {
                return Ok(None);
            }
        }
        self.position = 0;
        self.refuse_divergence(samples, self.first_step)?;
        self.agree_on_end(samples)?;
        self.epoch += 1;
        samples.report(count).map(Some)
    }

    /// One step on a range of the samples' order; their losses and hits go to the same places of the rows.
    pub(super) fn step_on(
        &mut self,
        samples: &mut Samples<'_, T>,
        range: Range<usize>,
    ) -> Result<()> {
        let engine = Arc::clone(self.x.engine());
        as_step(&engine, || self.run_on(samples, range))
    }

    /// One kernel reads the samples where they are; layers read a mini-batch.
    fn run_on(&mut self, samples: &mut Samples<'_, T>, range: Range<usize>) -> Result<()> {
        let (first, n) = (range.start, range.len());
        self.stepper.schedule.check(self.stepper.step)?;
        if let Some(slices) = &self.stepper.slices {
            let own = slices.own_samples(n);
            return self.run_slices_on(samples, range, own);
        }
        let (x, t, order, results) = samples.all_for(range.clone())?;
        if self.stepper.takes_in_one_kernel((x, t), &results) {
            return self.stepper.run_in_one_kernel((x, t), Some((order, first)), results);
        }
        self.gather(samples, range.clone())?;
        let (inputs, outputs) = (self.x.rows(), self.t.rows());
        let (_, _, _, results) = samples.all_for(range)?;
        let (x, t) = (self.x.front(inputs, n), self.t.front(outputs, n));
        self.stepper.run_layers(x, t, results)
    }

    /// `own`: the samples of this process within the range.
    fn run_slices_on(
        &mut self,
        samples: &mut Samples<'_, T>,
        range: Range<usize>,
        own: Range<usize>,
    ) -> Result<()> {
        if !own.is_empty() {
            self.gather(samples, range.start + own.start..range.start + own.end)?;
        }
        let (inputs, outputs, n) = (self.x.rows(), self.t.rows(), range.len());
        // A process without samples of a small batch reads none of these.
        let columns = own.len().max(1);
        let pair = (self.x.front(inputs, columns), self.t.front(outputs, columns));
        let (_, _, _, results) = samples.all_for(range)?;
        self.stepper.run_slices(n, pair, results)
    }

    /// Copies a range of the samples' order into the mini-batch.
    pub(super) fn gather(&mut self, samples: &Samples<'_, T>, range: Range<usize>) -> Result<()> {
        let (inputs, outputs, n) = (self.x.rows(), self.t.rows(), range.len());
        samples.gather(range.start, self.x.front_mut(inputs, n), self.t.front_mut(outputs, n))
    }
}

/// How much of an epoch is done.
pub struct Progress<'s, T: Scalar> {
    done: usize,
    samples: &'s Samples<'s, T>,
}

impl<T: Scalar> Progress<'_, T> {
    /// Samples trained on in this epoch so far.
    pub fn samples(&self) -> usize {
        self.done
    }

    /// Samples in the epoch.
    pub fn total(&self) -> usize {
        self.samples.count()
    }

    /// Loss and accuracy so far. Waits for the device, so it is not for every step.
    ///
    /// # Errors
    /// A device that fails.
    pub fn report(&self) -> Result<Report> {
        self.samples.report(self.done)
    }
}
