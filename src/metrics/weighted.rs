//! Metrics in which samples have weights: a sample of weight 2 counts as if it were there twice.
//!
//! Numbers are those of scikit-learn's functions with `sample_weight`.

use super::classification::check;
use super::probability::log_losses;
use crate::data::check_weights;
use crate::error::{Error, Result};
use crate::scalar::Scalar;

/// The share of the weight of the samples whose class was predicted right: `sum w hit / sum w`.
///
/// ```
/// let accuracy = travertine::metrics::weighted::accuracy(&[0, 1], &[0, 0], &[3.0, 1.0])?;
/// assert_eq!(accuracy, 0.75);
/// # Ok::<(), travertine::Error>(())
/// ```
///
/// # Errors
/// No samples; not as many predictions; weights that are not one finite number of at least 0 for each sample, or 0 alone.
pub fn accuracy(truth: &[u32], predicted: &[u32], weights: &[f64]) -> Result<f64> {
    check("accuracy", truth.len(), predicted.len())?;
    check_weights("accuracy", weights, truth.len())?;
    let hits = truth.iter().zip(predicted).map(|(t, p)| if t == p { 1.0 } else { 0.0 });
    Ok(mean(hits, weights))
}

/// `sum w (-ln p) / sum w`, where p is the probability of the sample's class (`classes x samples`, one sample after the other), as
/// [`log_loss`](super::log_loss) has it.
///
/// ```
/// let loss = travertine::metrics::weighted::log_loss(2, &[0, 1], &[0.5, 0.5, 0.2, 0.8], &[3.0, 1.0])?;
/// assert!((loss + (3.0 * 0.5f64.ln() + 0.8f64.ln()) / 4.0).abs() < 1e-15);
/// # Ok::<(), travertine::Error>(())
/// ```
///
/// # Errors
/// Those of [`log_loss`](super::log_loss); weights that are not one finite number of at least 0 for each sample, or 0 alone.
pub fn log_loss<T: Scalar>(
    classes: usize,
    truth: &[u32],
    probabilities: &[T],
    weights: &[f64],
) -> Result<f64> {
    check_weights("log_loss", weights, truth.len())?;
    Ok(mean(log_losses(classes, truth, probabilities)?.into_iter(), weights))
}

/// `sqrt(sum w (p - t)^2 / sum w)`: `truth` and `predicted` are `outputs x samples`, one sample after the other, and all outputs of a
/// sample have its weight.
///
/// ```
/// let rmse = travertine::metrics::weighted::root_mean_squared_error(1, &[1.0, 2.0], &[1.0, 4.0], &[3.0, 1.0])?;
/// assert_eq!(rmse, 1.0);
/// # Ok::<(), travertine::Error>(())
/// ```
///
/// # Errors
/// No values; not as many predictions; values that are no whole number of samples; weights that are not one finite number of at
/// least 0 for each sample, or 0 alone. NaN gives NaN.
pub fn root_mean_squared_error<T: Scalar>(
    outputs: usize,
    truth: &[T],
    predicted: &[T],
    weights: &[f64],
) -> Result<f64> {
    let (truth, predicted) = (T::to_f64s(truth), T::to_f64s(predicted));
    squared_error("root_mean_squared_error", outputs, (&truth, &predicted), weights).map(f64::sqrt)
}

/// `1 - sum w (p - t)^2 / sum w (t - mean t)^2`, the mean being the weighted one of each output: `truth` and `predicted` are
/// `outputs x samples`. Several outputs are one pool, as in [`r2`](super::r2). `None` where the targets are constant.
///
/// ```
/// let r2 = travertine::metrics::weighted::r2(1, &[1.0, 2.0, 3.0], &[1.0, 2.0, 4.0], &[1.0, 1.0, 0.0])?;
/// assert_eq!(r2, Some(1.0));
/// # Ok::<(), travertine::Error>(())
/// ```
///
/// # Errors
/// As [`root_mean_squared_error`].
pub fn r2<T: Scalar>(
    outputs: usize,
    truth: &[T],
    predicted: &[T],
    weights: &[f64],
) -> Result<Option<f64>> {
    let (truth, predicted) = (T::to_f64s(truth), T::to_f64s(predicted));
    let error = squared_error("r2", outputs, (&truth, &predicted), weights)?;
    let means: Vec<f64> = (0..outputs)
        .map(|i| mean(truth.iter().skip(i).step_by(outputs).copied(), weights))
        .collect();
    let constant: Vec<f64> = means.iter().cycle().take(truth.len()).copied().collect();
    let spread = squared_error("r2", outputs, (&truth, &constant), weights)?;
    Ok((spread != 0.0).then(|| 1.0 - error / spread))
}

/// The weighted mean over the samples of the mean squared error of their outputs.
fn squared_error(
    operation: &'static str,
    outputs: usize,
    (truth, predicted): (&[f64], &[f64]),
    weights: &[f64],
) -> Result<f64> {
    check(operation, truth.len(), predicted.len())?;
    if outputs == 0 || !truth.len().is_multiple_of(outputs) {
        let reason =
            format!("{} values are no whole number of samples with {outputs} outputs", truth.len());
        return Err(Error::argument(operation, reason));
    }
    check_weights(operation, weights, truth.len() / outputs)?;
    let samples = truth.chunks_exact(outputs).zip(predicted.chunks_exact(outputs));
    let of_sample = |(truth, predicted): (&[f64], &[f64])| {
        let squares = truth.iter().zip(predicted).map(|(t, p)| (p - t).powi(2));
        squares.sum::<f64>() / outputs as f64
    };
    Ok(mean(samples.map(of_sample), weights))
}

/// `sum w x / sum w`
fn mean(values: impl Iterator<Item = f64>, weights: &[f64]) -> f64 {
    values.zip(weights).map(|(x, w)| x * w).sum::<f64>() / weights.iter().sum::<f64>()
}
