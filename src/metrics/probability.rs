//! Metrics of the probabilities of classes.

use super::classification::{check_labels, defaults};
use super::ranking::check_scores;
use crate::error::{Error, Result};
use crate::scalar::Scalar;

/// How far the probabilities of a sample may be from a sum of 1, which numbers in single precision are not exactly.
const SUM_TOLERANCE: f64 = 1e-3;
/// How far the rounding of a network's arithmetic may take a probability out of [0, 1].
const ROUNDING: f64 = 1e-6;
/// The limits of [`temperature`].
const TEMPERATURES: [f64; 2] = [0.05, 20.0];
/// Of the inverse temperature, relative.
const TEMPERATURE_TOLERANCE: f64 = 1e-9;
/// Newton's method takes about ten steps.
const NEWTON_STEPS: usize = 50;
/// Halving the whole bracket takes 45 steps down to the tolerance.
const HALVINGS: usize = 50;

/// The mean of `-ln p`, where `p` is the probability of the sample's class (`classes x samples`, one sample after the
/// other): scikit-learn's `log_loss`. As there, a probability is clipped to `[eps, 1 - eps]`, where `eps` is the epsilon of
/// `T`, so that one certain mistake is not infinite.
///
/// ```
/// let probabilities = [0.5, 0.5, /* second sample */ 0.2, 0.8];
/// let loss = travertine::metrics::log_loss(2, &[0, 1], &probabilities)?;
/// assert!((loss + (0.5f64.ln() + 0.8f64.ln()) / 2.0).abs() < 1e-15);
/// # Ok::<(), travertine::Error>(())
/// ```
///
/// # Errors
/// No samples; not as many probabilities; a class that is not below `classes`; a probability that is NaN or not in [0, 1];
/// probabilities of a sample whose sum is not 1, of which scikit-learn only warns: their log-loss is no likelihood.
pub fn log_loss<T: Scalar>(classes: usize, truth: &[u32], probabilities: &[T]) -> Result<f64> {
    let losses = log_losses(classes, truth, probabilities)?;
    Ok(losses.iter().sum::<f64>() / truth.len() as f64)
}

/// `-ln p` of each sample, as [`log_loss`] has it.
pub(super) fn log_losses<T: Scalar>(
    classes: usize,
    truth: &[u32],
    probabilities: &[T],
) -> Result<Vec<f64>> {
    check_probabilities("log_loss", classes, truth, probabilities)?;
    let is_single = size_of::<T>() == size_of::<f32>();
    let epsilon = if is_single { f64::from(f32::EPSILON) } else { f64::EPSILON };
    let mut losses = Vec::with_capacity(truth.len());
    for (i, (&truth, sample)) in truth.iter().zip(probabilities.chunks_exact(classes)).enumerate() {
        let total: f64 = sample.iter().map(|p| p.to_f64()).sum();
        if (total - 1.0).abs() > SUM_TOLERANCE {
            let reason = format!(
                "the probabilities of sample {i} (counted from 0) have the sum {total}; \
                 divide them by it"
            );
            return Err(Error::argument("log_loss", reason));
        }
        losses.push(-sample[truth as usize].to_f64().clamp(epsilon, 1.0 - epsilon).ln());
    }
    Ok(losses)
}

/// How well probabilities are calibrated: of the samples that are predicted with 80 %, 80 % should be right.
#[derive(Clone, Debug, PartialEq)]
pub struct Calibration {
    /// Bins of equal width of the probability of the predicted class, from 0 to 1.
    pub bins: Vec<CalibrationBin>,
    /// The expected calibration error: `sum n_b / n |hits_b - probability_b|` over the bins.
    pub error: f64,
}

/// The samples whose predicted class has a probability within one bin.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct CalibrationBin {
    /// Number of samples.
    pub count: u64,
    /// The mean probability of their predicted classes; 0 without samples.
    pub probability: f64,
    /// The share of them that are predicted right; 0 without samples.
    pub hits: f64,
}

/// The reliability of the predicted class' probability in `bins` bins of equal width, and the expected calibration error
/// (Guo, Pleiss, Sun and Weinberger, "On Calibration of Modern Neural Networks", 2017, <https://arxiv.org/abs/1706.04599>).
/// Bin `b`, counted from 0, has the probabilities in `(b / bins, (b + 1) / bins]`, the first one 0 too. Probabilities are
/// `classes x samples`, one sample after the other; they need no sum of 1.
///
/// ```
/// let probabilities = [0.3, 0.7, /* second sample */ 0.2, 0.8];
/// let calibration = travertine::metrics::calibration(2, &[0, 1], &probabilities, 2)?;
/// assert_eq!((calibration.bins[0].count, calibration.bins[1].count), (0, 2));
/// assert_eq!((calibration.bins[1].probability, calibration.bins[1].hits), (0.75, 0.5));
/// assert_eq!(calibration.error, 0.25);
/// # Ok::<(), travertine::Error>(())
/// ```
///
/// # Errors
/// As [`log_loss`], without that of the sum; no bins; no memory for so many.
pub fn calibration<T: Scalar>(
    classes: usize,
    truth: &[u32],
    probabilities: &[T],
    bins: usize,
) -> Result<Calibration> {
    check_probabilities("calibration", classes, truth, probabilities)?;
    if bins == 0 {
        return Err(Error::argument("calibration", "0 bins; at least 1 is needed"));
    }
    let mut filled = defaults::<CalibrationBin>(bins)?;
    for (&truth, sample) in truth.iter().zip(probabilities.chunks_exact(classes)) {
        let predicted = super::predicted_class(sample);
        let probability = sample[predicted as usize].to_f64();
        let bin = ((probability * bins as f64).ceil() as usize).saturating_sub(1).min(bins - 1);
        filled[bin].count += 1;
        filled[bin].probability += probability;
        filled[bin].hits += f64::from(u8::from(predicted == truth));
    }
    // Sums so far.
    let gap = |bin: &CalibrationBin| (bin.hits - bin.probability).abs();
    let error = filled.iter().map(gap).sum::<f64>() / truth.len() as f64;
    for bin in filled.iter_mut().filter(|bin| bin.count > 0) {
        bin.probability /= bin.count as f64;
        bin.hits /= bin.count as f64;
    }
    Ok(Calibration { bins: filled, error })
}

/// The temperature `t` at which the mean cross-entropy of `softmax(z / t)` is least, for logits `z` (`classes x samples`,
/// one sample after the other): temperature scaling (Guo et al. 2017, <https://arxiv.org/abs/1706.04599>). Above 1,
/// the probabilities were too certain. Fit it on samples that the network did not learn from; logarithms of probabilities
/// serve as logits, as softmax returns the probabilities.
///
/// The cross-entropy is convex in `1 / t`; a bracketed Newton search finds its minimum to 1e-6. `t` is within
/// `[0.05, 20]`: where every sample is right, no temperature above 0 is low enough, and the answer is 0.05; where logits
/// say less than nothing, it is 20. Where the cross-entropy is the same at every `t`, as for equal logits, the answer is 1.
///
/// ```
/// // Certain to 88 % both times, right one time of two: only a uniform answer is fair.
/// let t = travertine::metrics::temperature(2, &[0, 1], &[2.0, 0.0, 2.0, 0.0])?;
/// assert_eq!(t, 20.0);
/// // Right three times of four, which is 75 %: ln 3 = 2 / t.
/// let logits = [2.0, 0.0].repeat(4);
/// let t = travertine::metrics::temperature(2, &[0, 0, 0, 1], &logits)?;
/// assert!((t - 2.0 / 3f64.ln()).abs() < 1e-6);
/// # Ok::<(), travertine::Error>(())
/// ```
///
/// # Errors
/// No samples; not as many logits; a class that is not below `classes`; a logit that is infinite or NaN.
pub fn temperature<T: Scalar>(classes: usize, truth: &[u32], logits: &[T]) -> Result<f64> {
    check_labels("temperature", classes, truth, logits.len())?;
    if let Some(i) = logits.iter().position(|z| !z.is_finite()) {
        let reason = format!(
            "logit {} of sample {} (both counted from 0) is {}, which is not finite; clip it",
            i % classes,
            i / classes,
            logits[i].to_f64()
        );
        return Err(Error::argument("temperature", reason));
    }
    let slopes = |inverse: f64| slopes(classes, truth, logits, inverse);
    let [mut low, mut high] = [1.0 / TEMPERATURES[1], 1.0 / TEMPERATURES[0]];
    match (slopes(low).0, slopes(high).0) {
        (first, last) if first >= 0.0 && last <= 0.0 => return Ok(1.0),
        (first, _) if first >= 0.0 => return Ok(TEMPERATURES[1]),
        (_, last) if last <= 0.0 => return Ok(TEMPERATURES[0]),
        _ => {}
    }
    let mut inverse = 1.0;
    for step in 0..NEWTON_STEPS + HALVINGS {
        let (first, second) = slopes(inverse);
        if first < 0.0 {
            low = inverse;
        } else {
            high = inverse;
        }
        let newton = inverse - first / second;
        let is_inside = step < NEWTON_STEPS && newton >= low && newton <= high;
        let next = if is_inside { newton } else { (low + high) / 2.0 };
        let change = (next - inverse).abs();
        inverse = next;
        if change <= TEMPERATURE_TOLERANCE * inverse {
            break;
        }
    }
    Ok(1.0 / inverse)
}

/// The first and second derivative of the mean cross-entropy by the inverse temperature: the means of `E[z] - z_truth` and
/// of the variance of `z`, both under `softmax(z * inverse)`.
fn slopes<T: Scalar>(classes: usize, truth: &[u32], logits: &[T], inverse: f64) -> (f64, f64) {
    let (mut first, mut second) = (0.0, 0.0);
    for (&truth, sample) in truth.iter().zip(logits.chunks_exact(classes)) {
        let greatest = sample.iter().map(|z| z.to_f64()).fold(f64::NEG_INFINITY, f64::max);
        let (mut total, mut mean, mut square) = (0.0, 0.0, 0.0);
        for z in sample {
            let z = z.to_f64() - greatest;
            let p = (z * inverse).exp();
            // 0 times minus infinity, where differences overflow, counts nothing.
            if p > 0.0 {
                total += p;
                mean += p * z;
                square += p * z * z;
            }
        }
        mean /= total;
        first += mean - (sample[truth as usize].to_f64() - greatest);
        second += square / total - mean * mean;
    }
    (first / truth.len() as f64, second / truth.len() as f64)
}

/// Numbers in [0, 1], but for rounding.
fn check_probabilities<T: Scalar>(
    operation: &'static str,
    classes: usize,
    truth: &[u32],
    probabilities: &[T],
) -> Result<()> {
    check_scores(operation, classes, truth, probabilities)?;
    match probabilities.iter().position(|p| !(-ROUNDING..=1.0 + ROUNDING).contains(&p.to_f64())) {
        Some(i) => {
            let reason = format!(
                "number {} of sample {} (both counted from 0) is {}, which is no probability",
                i % classes,
                i / classes,
                probabilities[i].to_f64()
            );
            Err(Error::argument(operation, reason))
        }
        None => Ok(()),
    }
}
