//! How far predicted values are off. Several outputs are one pool of numbers, `outputs x samples`, one sample after the
//! other.

use super::classification::check;
use crate::error::{Error, Result};
use crate::scalar::Scalar;

/// `sqrt(mean (p - t)^2)` over all values (scikit-learn's `root_mean_squared_error` with several outputs is the mean of
/// their roots, which is less).
///
/// ```
/// let rmse = travertine::metrics::root_mean_squared_error(&[1.0, 2.0], &[1.0, 4.0])?;
/// assert_eq!(rmse, 2f64.sqrt());
/// # Ok::<(), travertine::Error>(())
/// ```
///
/// # Errors
/// No values; not as many predictions. NaN gives NaN.
pub fn root_mean_squared_error<T: Scalar>(truth: &[T], predicted: &[T]) -> Result<f64> {
    check("root_mean_squared_error", truth.len(), predicted.len())?;
    Ok((squares(truth, predicted) / truth.len() as f64).sqrt())
}

/// `mean |p - t|` over all values.
///
/// ```
/// assert_eq!(travertine::metrics::mean_absolute_error(&[1.0, 2.0], &[1.0, 4.0])?, 1.0);
/// # Ok::<(), travertine::Error>(())
/// ```
///
/// # Errors
/// No values; not as many predictions. NaN gives NaN.
pub fn mean_absolute_error<T: Scalar>(truth: &[T], predicted: &[T]) -> Result<f64> {
    check("mean_absolute_error", truth.len(), predicted.len())?;
    Ok(errors(truth, predicted).map(f64::abs).sum::<f64>() / truth.len() as f64)
}

/// The mean of `q (t - p)` where the prediction is too low, and of `(1 - q) (p - t)` where it is too high: the loss that the
/// quantile `q` of the targets minimizes (Koenker and Bassett, "Regression Quantiles", 1978; scikit-learn's
/// `mean_pinball_loss`). At 0.5 it is half the mean absolute error.
///
/// ```
/// let loss = travertine::metrics::pinball_loss(0.9, &[1.0, 2.0], &[0.0, 3.0])?;
/// assert!((loss - (0.9 + 0.1) / 2.0).abs() < 1e-15);
/// # Ok::<(), travertine::Error>(())
/// ```
///
/// # Errors
/// No values; not as many predictions; a quantile that is not in [0, 1]. NaN gives NaN.
pub fn pinball_loss<T: Scalar>(quantile: f64, truth: &[T], predicted: &[T]) -> Result<f64> {
    check("pinball_loss", truth.len(), predicted.len())?;
    if !(0.0..=1.0).contains(&quantile) {
        let reason = format!("the quantile {quantile} is not in [0, 1]");
        return Err(Error::argument("pinball_loss", reason));
    }
    let loss = |error: f64| if error < 0.0 { -quantile * error } else { (1.0 - quantile) * error };
    Ok(errors(truth, predicted).map(loss).sum::<f64>() / truth.len() as f64)
}

/// The mean of [`pinball_loss`] over several quantiles: `predicted` is `quantiles x samples`, one sample after the other.
///
/// ```
/// use travertine::metrics::mean_pinball_loss;
/// let loss = mean_pinball_loss(&[0.1, 0.9], &[1.0, 2.0], &[0.0, 2.0, 1.0, 4.0])?;
/// assert!((loss - (0.1 + 0.1 + 0.1 + 0.2) / 4.0).abs() < 1e-15);
/// # Ok::<(), travertine::Error>(())
/// ```
///
/// # Errors
/// No values or quantiles; not as many predictions of each quantile; a quantile that is not in [0, 1]. NaN gives NaN.
pub fn mean_pinball_loss<T: Scalar>(
    quantiles: &[f64],
    truth: &[T],
    predicted: &[T],
) -> Result<f64> {
    let of = |(i, quantile): (usize, &f64)| {
        let predicted: Vec<T> =
            predicted.iter().skip(i).step_by(quantiles.len()).copied().collect();
        pinball_loss(*quantile, truth, &predicted)
    };
    check_rows("mean_pinball_loss", quantiles.len(), truth.len(), predicted.len())?;
    let losses = quantiles.iter().enumerate().map(of).collect::<Result<Vec<f64>>>()?;
    Ok(losses.iter().sum::<f64>() / losses.len() as f64)
}

/// The share of the samples whose true value lies in the interval from the first to the last of its predicted quantiles, ends
/// included: of the quantiles 0.1 and 0.9 it is about 0.8 where they are right. `predicted` is `quantiles x samples`, ascending.
///
/// ```
/// let coverage = travertine::metrics::coverage(2, &[1.0, 2.0], &[0.0, 2.0, 3.0, 4.0])?;
/// assert_eq!(coverage, 0.5);
/// # Ok::<(), travertine::Error>(())
/// ```
///
/// # Errors
/// No values or quantiles; not as many predictions of each quantile. An interval with an end that is NaN covers nothing.
pub fn coverage<T: Scalar>(quantiles: usize, truth: &[T], predicted: &[T]) -> Result<f64> {
    check_rows("coverage", quantiles, truth.len(), predicted.len())?;
    let intervals = predicted.chunks_exact(quantiles);
    let is_covered =
        |(t, interval): &(&T, &[T])| interval[0] <= **t && **t <= interval[quantiles - 1];
    let covered = truth.iter().zip(intervals).filter(is_covered).count();
    Ok(covered as f64 / truth.len() as f64)
}

/// Refuses no values, and other than `quantiles` predictions for each.
fn check_rows(
    operation: &'static str,
    quantiles: usize,
    values: usize,
    predicted: usize,
) -> Result<()> {
    if quantiles == 0 || values.checked_mul(quantiles) != Some(predicted) {
        let reason =
            format!("{predicted} predictions for {values} values and {quantiles} quantiles");
        return Err(Error::argument(operation, reason));
    }
    check(operation, values, values)
}

/// `1 - sum (p - t)^2 / sum (t - mean t)^2`, the share of the targets' variance that is explained; the mean is that of
/// each output (scikit-learn's `multioutput="variance_weighted"`). `None` where the targets are constant and there is
/// nothing to explain (scikit-learn: 1 or 0, or NaN for a single sample).
///
/// ```
/// let r2 = travertine::metrics::r2(1, &[1.0, 2.0, 3.0], &[1.0, 2.0, 4.0])?;
/// assert_eq!(r2, Some(0.5));
/// # Ok::<(), travertine::Error>(())
/// ```
///
/// # Errors
/// No values; not as many predictions; values that are no whole number of samples. NaN gives NaN.
pub fn r2<T: Scalar>(outputs: usize, truth: &[T], predicted: &[T]) -> Result<Option<f64>> {
    check("r2", truth.len(), predicted.len())?;
    if outputs == 0 || !truth.len().is_multiple_of(outputs) {
        let reason =
            format!("{} values are no whole number of samples with {outputs} outputs", truth.len());
        return Err(Error::argument("r2", reason));
    }
    let output = |i: usize| truth.iter().skip(i).step_by(outputs).map(|t| t.to_f64());
    let spread = |i: usize| {
        let mean = output(i).sum::<f64>() / output(i).count() as f64;
        output(i).map(|t| (t - mean).powi(2)).sum::<f64>()
    };
    let spread: f64 = (0..outputs).map(spread).sum();
    Ok((spread != 0.0).then(|| 1.0 - squares(truth, predicted) / spread))
}

fn errors<T: Scalar>(truth: &[T], predicted: &[T]) -> impl Iterator<Item = f64> {
    truth.iter().zip(predicted).map(|(t, p)| p.to_f64() - t.to_f64())
}

fn squares<T: Scalar>(truth: &[T], predicted: &[T]) -> f64 {
    errors(truth, predicted).map(|error| error.powi(2)).sum()
}
