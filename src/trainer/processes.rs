//! What the processes of a group compare, and how they share out an evaluation.

use std::ops::Range;

use super::Trainer;
use crate::error::{Error, Result};
use crate::processes::slices_of;
use crate::samples::{Samples, Scores};
use crate::scalar::{Family, Scalar};

/// Functions of this file for one scalar.
type Compare<T> = fn(&Trainer<'_, T>, &Samples<'_, T>) -> Result<()>;
type Gather<T> = fn(&Trainer<'_, T>, &mut Scores<T>, usize) -> Result<()>;

struct Comparison;
impl Family for Comparison {
    type Of<T: Scalar> = Compare<T>;
}

// Compiled here, and not in every crate that trains.
static BEGIN_F32: Compare<f32> = |trainer, samples| trainer.compare_begin(samples);
static BEGIN_F64: Compare<f64> = |trainer, samples| trainer.compare_begin(samples);
static END_F32: Compare<f32> = |trainer, samples| trainer.compare_end(samples);
static END_F64: Compare<f64> = |trainer, samples| trainer.compare_end(samples);
static GATHER_F32: Gather<f32> = |trainer, scores, count| trainer.complete(scores, count);
static GATHER_F64: Gather<f64> = |trainer, scores, count| trainer.complete(scores, count);

impl<T: Scalar> Trainer<'_, T> {
    /// Refuses to begin where another process has other settings, samples or parameters; once for a trainer and its state. Collective.
    pub(super) fn agree_on_begin(&mut self, samples: &Samples<'_, T>) -> Result<()> {
        if self.has_agreed || self.group.size() == 1 {
            return Ok(());
        }
        T::pick::<Comparison>(BEGIN_F32, BEGIN_F64)(self, samples)?;
        self.has_agreed = true;
        Ok(())
    }

    fn compare_begin(&self, samples: &Samples<'_, T>) -> Result<()> {
        let mut facts = vec![
            ("version", env!("CARGO_PKG_VERSION").to_owned()),
            ("precision", T::NAME.to_owned()),
            ("number of samples", samples.count().to_string()),
            (
                "order of bytes",
                if cfg!(target_endian = "big") { "big" } else { "little" }.to_owned(),
            ),
        ];
        facts.extend(self.settings());
        facts.extend([
            ("epochs", self.epoch.to_string()),
            ("steps", self.stepper.step.to_string()),
            ("position", self.position.to_string()),
            ("fingerprint of the samples", samples_fingerprint(samples)?),
            ("fingerprint of the parameters", self.parameters_fingerprint()?),
        ]);
        self.agree("epoch", facts)
    }

    /// Refuses to go on after an epoch where another process has arrived at other losses or parameters. Collective.
    pub(super) fn agree_on_end(&self, samples: &Samples<'_, T>) -> Result<()> {
        if self.group.size() == 1 {
            return Ok(());
        }
        T::pick::<Comparison>(END_F32, END_F64)(self, samples)
    }

    fn compare_end(&self, samples: &Samples<'_, T>) -> Result<()> {
        let facts = [
            ("steps", self.stepper.step.to_string()),
            ("fingerprint of the losses", fingerprint(&samples.losses()?)),
            ("fingerprint of the parameters", self.parameters_fingerprint()?),
        ];
        let differs = |error: Error| {
            let reason = format!(
                "after epoch {}: {error}; machines of one kind and one build of the program compute the same bits",
                self.epoch + 1
            );
            Error::argument("epoch", reason)
        };
        self.agree("processes", facts.into()).map_err(differs)
    }

    fn agree(&self, operation: &'static str, facts: Vec<(&str, String)>) -> Result<()> {
        let facts: Vec<(String, String)> =
            facts.into_iter().map(|(name, value)| (name.replace('_', " "), value)).collect();
        self.group.agree(operation, &facts)
    }

    fn parameters_fingerprint(&self) -> Result<String> {
        Ok(fingerprint(&self.parameters()?.concat()))
    }

    /// The samples that this process evaluates of `count`: whole batches.
    pub(super) fn own_evaluation(&self, count: usize) -> Range<usize> {
        self.evaluation_of(count, self.group.rank())
    }

    fn evaluation_of(&self, count: usize, rank: usize) -> Range<usize> {
        let batch = self.batch();
        let batches = slices_of(count.div_ceil(batch), self.group.size(), rank..rank + 1);
        (batches.start * batch).min(count)..(batches.end * batch).min(count)
    }

    /// Completes losses and hits with those of the other processes. Collective.
    pub(super) fn gather_scores(&self, scores: &mut Scores<T>, count: usize) -> Result<()> {
        struct Gathering;
        impl Family for Gathering {
            type Of<T: Scalar> = Gather<T>;
        }
        if self.group.size() == 1 {
            return Ok(());
        }
        T::pick::<Gathering>(GATHER_F32, GATHER_F64)(self, scores, count)
    }

    fn complete(&self, scores: &mut Scores<T>, count: usize) -> Result<()> {
        let own = self.own_evaluation(count);
        for mut row in scores.rows_mut() {
            let values = match own.is_empty() {
                true => Vec::new(),
                false => row.as_ref().sub_columns(own.clone())?.to_vec()?,
            };
            // f64 holds every f32 exactly.
            let bytes: Vec<u8> =
                T::to_f64s(&values).into_iter().flat_map(f64::to_le_bytes).collect();
            let all = self.group.all_gather(&bytes)?.concat();
            let words = all.chunks_exact(size_of::<f64>());
            let values: Vec<f64> =
                words.map(|word| f64::from_le_bytes(word.try_into().unwrap_or_default())).collect();
            if values.len() != count {
                let reason =
                    format!("the processes have {} samples together, not {count}", values.len());
                return Err(Error::argument("evaluate", reason));
            }
            row.reborrow().sub_columns(0..count)?.write(&T::from_f64s(&values))?;
        }
        Ok(())
    }
}

fn samples_fingerprint<T: Scalar>(samples: &Samples<'_, T>) -> Result<String> {
    Ok(format!(
        "{} and {}",
        fingerprint(&samples.inputs().to_vec()?),
        fingerprint(&samples.targets().to_vec()?)
    ))
}

/// FNV-1a over the bits of numbers.
fn fingerprint<T: Scalar>(numbers: &[T]) -> String {
    let mix = |sum: u64, x: &T| (sum ^ x.to_f64().to_bits()).wrapping_mul(0x0000_0100_0000_01b3);
    format!("{:016x}", numbers.iter().fold(0xcbf2_9ce4_8422_2325, mix))
}
