//! What weights of samples must be.

use crate::error::{Error, Result};

/// Refuses weights that are not one finite number of at least 0 for each sample, all of them 0, or with a sum that overflows.
pub(crate) fn check_weights(
    operation: &'static str,
    weights: &[f64],
    samples: usize,
) -> Result<()> {
    let wrong = |reason: String| Err(Error::argument(operation, reason));
    let found = weights.len();
    if found != samples {
        return wrong(format!("{found} weights for {samples} samples; one for each is needed"));
    }
    if let Some(i) = weights.iter().position(|weight| !(weight.is_finite() && *weight >= 0.0)) {
        let weight = weights[i];
        return wrong(format!(
            "a weight must be a finite number of at least 0, not {weight} as sample {i} has"
        ));
    }
    let sum: f64 = weights.iter().sum();
    if sum == 0.0 {
        return wrong("all weights are 0, so that no sample counts".to_owned());
    }
    if !sum.is_finite() {
        return wrong("the sum of the weights is infinite; divide them by the largest".to_owned());
    }
    Ok(())
}

/// The weights of these samples, in this order.
pub(super) fn select(weights: Option<&[f64]>, chosen: &[usize]) -> Option<Vec<f64>> {
    weights.map(|weights| chosen.iter().map(|i| weights[*i]).collect())
}
