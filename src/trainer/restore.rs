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
    /// clip, dropout, largest norm, loss scale, factors, fading, frozen layers. All that it contains are compared; what a snapshot lacks, as
    /// those in older files do, is not checked. The data itself is not compared, but for the number of samples.
    ///
    /// # Errors
    /// A snapshot of another training, with every difference; nothing is changed then. A device that fails.
    pub fn restore(&mut self, snapshot: &Snapshot<T>, samples: &mut Samples<'_, T>) -> Result<()> {
        let mut differences = self.differing_settings(snapshot);
        differences.extend(self.differing_matrices(snapshot, samples));
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
        let position = position_of(snapshot, samples.count(), self.batch())?;
        for (name, mut matrix) in self.named_matrices(samples) {
            matrix.write(snapshot.numbers(&name).unwrap_or_default())?;
        }
        if let (Some(scaler), [Some(state), Some(last_good)]) = (self.stepper.scaler_mut(), scales)
        {
            (scaler.state, scaler.last_good) = (state, last_good);
        }
        (self.epoch, self.stepper.step) = (snapshot.epoch, snapshot.step);
        (self.first_step, self.position) = (snapshot.first_step, position);
        self.last_samples = 0;
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
        samples: &mut Samples<'_, T>,
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

/// The position in the epoch, which must be between two steps.
fn position_of<T: Scalar>(snapshot: &Snapshot<T>, count: usize, batch: usize) -> Result<usize> {
    let Snapshot { epoch, step, first_step, .. } = *snapshot;
    if step > MAX_STEPS || first_step > step || epoch > MAX_STEPS {
        let reason = format!("step {step} of epoch {epoch} is no place in a training");
        return Err(Error::argument("restore", reason));
    }
    let position = usize::try_from(snapshot.position).unwrap_or(usize::MAX);
    if position > count || position < count && !position.is_multiple_of(batch) {
        let reason = format!(
            "sample {position} is between two steps neither of {count} samples nor of batches of {batch}"
        );
        return Err(Error::argument("restore", reason));
    }
    Ok(position)
}
