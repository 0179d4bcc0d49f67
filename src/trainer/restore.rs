//! Going on from a snapshot, once it is certain that it is of this training.

use super::Trainer;
use super::loss_scale::ScaleState;
use super::snapshot::{SCALES, Snapshot};
use crate::error::{Error, Result};
use crate::samples::Samples;
use crate::scalar::Scalar;

/// More steps than any training has.
const MAX_STEPS: u64 = 1 << 60;

impl<T: Scalar> Trainer<'_, T> {
    /// Goes on from where another trainer of the same network with the same settings was, with the same samples: what follows
    /// is the same, bit by bit, on an engine of the same kind.
    ///
    /// A snapshot contains the settings that decide these bits: network, loss, optimizer with its numbers, batch, seed, schedule,
    /// clip, dropout, largest norm, loss scale, factors, fading, slices, frozen layers. The number of processes is none of them. All that it contains are compared; what a snapshot lacks, as
    /// those in older files do, is not checked. The data itself is not compared, but for the number of samples.
    ///
    /// # Errors
    /// A snapshot of another training, with every difference; nothing is changed then. A device that fails.
    pub fn restore(&mut self, snapshot: &Snapshot<T>, samples: &mut Samples<'_, T>) -> Result<()> {
        self.take_over(snapshot, Some(samples))
    }

    /// Goes on with other samples, of any number: parameters, the optimizer's state, schedule, steps and epochs are those of the
    /// snapshot, and the next epoch begins at its first sample. What one trainer does that gets samples of another data set for
    /// each epoch, several trainers do so one after the other, bit by bit: training on data that arrives in parts.
    ///
    /// ```
    /// # use travertine::{Activation, Loss, Network, Samples, Trainer, data, engine, optimizer::Adam};
    /// # let cpu = engine::open::<f32>("cpu")?;
    /// # let mut network = Network::builder(&cpu, 64).dense(10, Activation::Softmax).build()?;
    /// # let (monday, tuesday) = data::digits::<f32>()?.split(0.3, 1)?;
    /// let mut last = None;
    /// for part in [monday, tuesday] {
    ///     let mut samples = Samples::new(&cpu, &part)?;
    ///     let adam = Adam::new(0.001)?;
    ///     let mut trainer = Trainer::builder(&mut network, Loss::SoftmaxCrossEntropy, adam).batch(32).build()?;
    ///     if let Some(snapshot) = &last {
    ///         trainer.continue_from(snapshot)?;
    ///     }
    ///     trainer.epoch(&mut samples)?;
    ///     last = Some(trainer.snapshot(&mut samples)?);
    /// }
    /// assert_eq!(last.unwrap().epochs(), 2);
    /// # Ok::<(), travertine::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Trainer::restore`]; samples are not compared.
    pub fn continue_from(&mut self, snapshot: &Snapshot<T>) -> Result<()> {
        self.take_over(snapshot, None)
    }

    fn take_over(
        &mut self,
        snapshot: &Snapshot<T>,
        mut samples: Option<&mut Samples<'_, T>>,
    ) -> Result<()> {
        let mut differences = self.differing_settings(snapshot);
        differences.extend(self.differing_matrices(snapshot, samples.as_deref_mut()));
        let scales = SCALES.map(|name| snapshot.numbers(name).and_then(ScaleState::from_numbers));
        let is_scaled = self.stepper.scaler().is_some();
        if scales.iter().any(|state| state.is_some() != is_scaled) {
            differences.push(if is_scaled {
                "the loss is scaled here, in the snapshot it is not".to_owned()
            } else {
                "the loss is scaled in the snapshot, here it is not".to_owned()
            });
        }
        if !differences.is_empty() {
            let reason = format!("the snapshot is of another training: {}", differences.join("; "));
            return Err(Error::argument("restore", reason));
        }
        check_steps(snapshot)?;
        let position = match &samples {
            Some(samples) => position_of(snapshot, samples.count(), self.batch())?,
            None => 0,
        };
        for (name, mut matrix) in self.named_matrices(samples) {
            matrix.write(snapshot.numbers(&name).unwrap_or_default())?;
        }
        if let (Some(scaler), [Some(state), Some(last_good)]) = (self.stepper.scaler_mut(), scales)
        {
            (scaler.state, scaler.last_good) = (state, last_good);
        }
        (self.epoch, self.stepper.step) = (snapshot.epoch, snapshot.step);
        (self.first_step, self.position) = (snapshot.first_step, position);
        (self.last_samples, self.has_agreed) = (0, false);
        self.stepper.schedule.set_state(snapshot.schedule);
        Ok(())
    }

    /// Settings of the snapshot that are others here.
    fn differing_settings(&self, snapshot: &Snapshot<T>) -> Vec<String> {
        let ours = self.settings();
        let differs = |(name, here): (&str, String)| {
            let there = snapshot.settings.get(name)?;
            let name = name.replace('_', " ");
            (*there != here).then(|| format!("{name} was {there}, is {here}"))
        };
        ours.filter_map(differs).collect()
    }

    /// Matrices that the snapshot lacks or has in another size.
    fn differing_matrices(
        &mut self,
        snapshot: &Snapshot<T>,
        samples: Option<&mut Samples<'_, T>>,
    ) -> Vec<String> {
        let matrices = self.named_matrices(samples).into_iter();
        let differs = matrices.filter_map(|(name, matrix)| {
            let here = matrix.rows() * matrix.columns();
            let there = snapshot.numbers(&name).map(<[T]>::len);
            let found = there.map_or("none".to_owned(), |there| there.to_string());
            (there != Some(here))
                .then(|| format!("{name} has {here} numbers here, the snapshot has {found}"))
        });
        differs.collect()
    }
}

fn check_steps<T: Scalar>(snapshot: &Snapshot<T>) -> Result<()> {
    let Snapshot { epoch, step, first_step, .. } = *snapshot;
    if step > MAX_STEPS || first_step > step || epoch > MAX_STEPS {
        let reason = format!("step {step} of epoch {epoch} is no place in a training");
        return Err(Error::argument("restore", reason));
    }
    Ok(())
}

/// The position in the epoch, which must be between two steps.
fn position_of<T: Scalar>(snapshot: &Snapshot<T>, count: usize, batch: usize) -> Result<usize> {
    let position = usize::try_from(snapshot.position).unwrap_or(usize::MAX);
    if position > count || position < count && !position.is_multiple_of(batch) {
        let reason = format!(
            "sample {position} is between two steps neither of {count} samples nor of batches of {batch}"
        );
        return Err(Error::argument("restore", reason));
    }
    Ok(position)
}
