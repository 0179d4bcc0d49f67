//! A buffer of a stream that several processes read together: each reads some of its blocks, and all get all of them.

use super::{Dataset, Targets};
use crate::error::{Error, Result};
use crate::processes::Group;
use crate::scalar::Scalar;

/// The samples of all processes, in the order of their ranks; `None` if there are none. `example`: with the names of all. Collective.
pub(super) fn gather<T: Scalar>(
    group: &Group,
    own: Option<&Dataset<T>>,
    example: &Dataset<T>,
) -> Result<Option<Dataset<T>>> {
    let own_targets = own.map_or(&Targets::None, Dataset::targets);
    let labels = match own_targets {
        Targets::Classes { labels, .. } => {
            labels.iter().flat_map(|label| label.to_le_bytes()).collect()
        }
        _ => Vec::new(),
    };
    let values = match own_targets {
        Targets::Values { values, .. } => values.as_slice(),
        _ => &[],
    };
    let (labels, values) = (group.all_gather(&labels)?.concat(), gather_numbers(group, values)?);
    let features = gather_numbers(group, own.map_or(&[], Dataset::features))?;
    if features.is_empty() {
        return Ok(None);
    }
    let targets = match example.targets() {
        Targets::Classes { names, .. } => {
            let words = labels.chunks_exact(size_of::<u32>());
            let labels = words.map(|word| u32::from_le_bytes(word.try_into().unwrap_or_default()));
            Targets::Classes { labels: labels.collect(), names: names.clone() }
        }
        Targets::Values { names, .. } => Targets::Values { values, names: names.clone() },
        Targets::None => Targets::None,
    };
    let mut all = Dataset::new(example.inputs(), features, targets)?
        .with_feature_names(example.feature_names().to_vec())?;
    if let Some(name) = example.target_name() {
        all = all.with_target_name(name);
    }
    Ok(Some(all))
}

/// Numbers of all processes, by rank. f64 holds every f32 exactly.
fn gather_numbers<T: Scalar>(group: &Group, own: &[T]) -> Result<Vec<T>> {
    let bytes: Vec<u8> = T::to_f64s(own).into_iter().flat_map(f64::to_le_bytes).collect();
    let all = group.all_gather(&bytes)?.concat();
    if !all.len().is_multiple_of(size_of::<f64>()) {
        return Err(Error::argument("stream", "the processes have exchanged a part of a number"));
    }
    let words = all.chunks_exact(size_of::<f64>());
    let numbers: Vec<f64> =
        words.map(|word| f64::from_le_bytes(word.try_into().unwrap_or_default())).collect();
    Ok(T::from_f64s(&numbers))
}
