//! A round: every process trains one member, and tells the others how it ended.

use serde::{Deserialize, Serialize};
use travertine::{Network, Result, Scalar};

use super::{Course, Ending, MEMBERS, Member};
use crate::output::history::EpochRecord;

/// The same, as processes tell each other.
#[derive(Serialize, Deserialize)]
enum Told {
    Trained { kept: EpochRecord, records: Vec<EpochRecord> },
    Diverged(String),
    Signal(usize),
}

impl<T: Scalar> Course<'_, T> {
    /// Trains one member in every process, from `first` on. Only process 0 has the networks of the others afterwards.
    pub(super) fn round(&mut self, first: usize) -> Result<Vec<Ending<T>>> {
        let group = self.args.processes.group.clone();
        let own = first + group.rank();
        let begun = if own < MEMBERS { Some(self.begin(own)?) } else { None };
        self.agree_on_rate(begun.as_ref().and_then(|begun| begun.resumed.as_ref()))?;
        let end = begun.map(|begun| self.member(own, begun)).transpose()?;
        if group.size() == 1 {
            return Ok(end.into_iter().collect());
        }
        let (told, parameters) = match &end {
            Some(Ending::Trained(Member { network, kept, records })) => {
                let told = Told::Trained { kept: kept.clone(), records: records.clone() };
                (Some(told), numbers_of(network)?)
            }
            Some(Ending::Diverged(reason)) => (Some(Told::Diverged(reason.clone())), Vec::new()),
            Some(Ending::Signal(signal)) => (Some(Told::Signal(*signal)), Vec::new()),
            None => (None, Vec::new()),
        };
        let told = self.args.processes.exchange(told)?;
        let parameters = group.all_gather(&parameters)?;
        let mut ends = Vec::with_capacity(told.len());
        for (number, (told, parameters)) in (first..).zip(told.into_iter().zip(&parameters)) {
            ends.push(match told {
                Some(Told::Trained { kept, records }) => {
                    let (_, _, mut network) = self.untrained(number)?;
                    set_numbers(&mut network, parameters)?;
                    Ending::Trained(Member { network, kept, records })
                }
                Some(Told::Diverged(reason)) => Ending::Diverged(reason),
                Some(Told::Signal(signal)) => Ending::Signal(signal),
                None => break,
            });
        }
        Ok(ends)
    }
}

/// Weights, bias and statistics of all layers, in bytes. f64 holds every f32 exactly.
fn numbers_of<T: Scalar>(network: &Network<T>) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    for layer in network.layers() {
        for matrix in [layer.weights(), layer.bias()].into_iter().chain(layer.statistics()) {
            let numbers = matrix.to_vec()?.into_iter().map(T::to_f64);
            bytes.extend(numbers.flat_map(f64::to_le_bytes));
        }
    }
    Ok(bytes)
}

/// Writes what [`numbers_of`] returned.
fn set_numbers<T: Scalar>(network: &mut Network<T>, bytes: &[u8]) -> Result<()> {
    let words = bytes.chunks_exact(size_of::<f64>());
    let mut numbers =
        words.map(|word| T::from_f64(f64::from_le_bytes(word.try_into().unwrap_or_default())));
    let mut next =
        |rows: usize, columns: usize| numbers.by_ref().take(rows * columns).collect::<Vec<_>>();
    for layer in network.layers_mut() {
        let (rows, columns) = (layer.weights().rows(), layer.weights().columns());
        layer.weights_mut().write(&next(rows, columns))?;
        let (rows, columns) = (layer.bias().rows(), layer.bias().columns());
        layer.bias_mut().write(&next(rows, columns))?;
        if let Some(mut statistics) = layer.statistics_mut() {
            let (rows, columns) = (statistics.rows(), statistics.columns());
            statistics.write(&next(rows, columns))?;
        }
    }
    Ok(())
}
