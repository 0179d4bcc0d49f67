//! How much of a figure is chance: quantiles, and intervals by resampling.

use super::classification::defaults;
use crate::error::{Error, Result};
use crate::random::{Philox, Purpose};

/// Resamples of an interval.
const MOST_RESAMPLES: usize = 1000;
/// Fewer are too few for the tails.
const LEAST_RESAMPLES: usize = 100;
/// Draws of samples that an interval takes, unless [`LEAST_RESAMPLES`] need more.
const DRAWS: usize = 20_000_000;
/// What an interval of 95 % leaves out on either side.
const TAILS: [f64; 2] = [0.025, 0.975];

/// A 95 % interval.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Interval {
    /// The quantile of 2.5 %.
    pub low: f64,
    /// The quantile of 97.5 %.
    pub high: f64,
}

/// The values below which these shares of all `values` lie, each share in [0, 1]; between two values they are
/// interpolated linearly, as by NumPy's `quantile`.
///
/// ```
/// let quantiles = travertine::metrics::quantiles(&[3.0, 1.0, 2.0], &[0.0, 0.5, 0.75])?;
/// assert_eq!(quantiles, [1.0, 2.0, 2.5]);
/// # Ok::<(), travertine::Error>(())
/// ```
///
/// # Errors
/// No values; a value that is NaN; a share that is not in [0, 1].
pub fn quantiles(values: &[f64], shares: &[f64]) -> Result<Vec<f64>> {
    if values.is_empty() {
        return Err(Error::argument("quantiles", "there are no values; at least one is needed"));
    }
    refuse_nan("quantiles", "value", values)?;
    if let Some(share) = shares.iter().find(|share| !(0.0..=1.0).contains(*share)) {
        return Err(Error::argument("quantiles", format!("the share {share} is not in [0, 1]")));
    }
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    let last = sorted.len() - 1;
    let quantile = |share: &f64| {
        let place = share * last as f64;
        let below = (place as usize).min(last);
        let (low, high) = (sorted[below], sorted[(below + 1).min(last)]);
        // Equal neighbors may be infinite, whose difference is no number.
        if low == high { low } else { low + (high - low) * (place - below as f64) }
    };
    Ok(shares.iter().map(quantile).collect())
}

/// The 95 % percentile interval of a statistic over bootstrap resamples (Efron, "Bootstrap Methods: Another Look at the
/// Jackknife", 1979): `statistic` is computed on `count` indices that are drawn from `0 .. count` with replacement, 1000
/// times, and the interval leaves out 2.5 % of its values on either side. Above 20,000 samples there are fewer
/// resamples, 2e7 draws in all, but at least 100. The same seed draws the same resamples. For means
/// [`bootstrap_mean_interval`] is faster.
///
/// ```
/// let truth = [1.0, 2.0, 3.0, 4.0, 5.0];
/// let greatest = |chosen: &[usize]| chosen.iter().map(|&i| truth[i]).fold(0.0, f64::max);
/// let interval = travertine::metrics::bootstrap_interval(5, 1, greatest)?;
/// assert!(interval.low >= 2.0 && interval.high == 5.0);
/// # Ok::<(), travertine::Error>(())
/// ```
///
/// # Errors
/// No samples; a statistic that is NaN; no memory for so many indices.
pub fn bootstrap_interval(
    count: usize,
    seed: u64,
    mut statistic: impl FnMut(&[usize]) -> f64,
) -> Result<Interval> {
    let mut chosen = defaults::<usize>(count)?;
    interval("bootstrap_interval", count, |resample| {
        let mut next = 0;
        draws(count, seed, resample, |i| {
            chosen[next] = i;
            next += 1;
        });
        statistic(&chosen)
    })
}

/// [`bootstrap_interval`] of the mean of `values`: the same draws and the same interval, without a list of indices. It
/// serves accuracies (of hits, 0 or 1) and, by the root of its ends, root mean squared errors (of squares).
///
/// ```
/// let interval = travertine::metrics::bootstrap_mean_interval(&[1.0, 1.0, 0.0, 1.0], 1)?;
/// assert_eq!((interval.low, interval.high), (0.25, 1.0));
/// # Ok::<(), travertine::Error>(())
/// ```
///
/// # Errors
/// No values; a value that is NaN.
pub fn bootstrap_mean_interval(values: &[f64], seed: u64) -> Result<Interval> {
    refuse_nan("bootstrap_mean_interval", "value", values)?;
    interval("bootstrap_mean_interval", values.len(), |resample| {
        let mut sum = 0.0;
        draws(values.len(), seed, resample, |i| sum += values[i]);
        sum / values.len() as f64
    })
}

/// The interval of a statistic of resamples, which it gets by number.
fn interval(
    operation: &'static str,
    count: usize,
    mut statistic: impl FnMut(u32) -> f64,
) -> Result<Interval> {
    if count == 0 {
        return Err(Error::argument(operation, "there are no samples; at least one is needed"));
    }
    let resamples = (DRAWS / count).clamp(LEAST_RESAMPLES, MOST_RESAMPLES) as u32;
    let values: Vec<f64> = (0..resamples).map(&mut statistic).collect();
    refuse_nan(operation, "the statistic of resample", &values)?;
    let ends = quantiles(&values, &TAILS)?;
    Ok(Interval { low: ends[0], high: ends[1] })
}

/// Hands on `count` indices below `count`, two of each block of random words.
fn draws(count: usize, seed: u64, resample: u32, mut each: impl FnMut(usize)) {
    let stream = Philox::new(seed, Purpose::Bootstrap, resample);
    let below = |high: u32, low: u32| {
        let word = u64::from(high) << 32 | u64::from(low);
        ((u128::from(word) * count as u128) >> 64) as usize
    };
    for block in 0..count.div_ceil(2) {
        let [a, b, c, d] = stream.words(block as u64);
        each(below(a, b));
        if 2 * block + 1 < count {
            each(below(c, d));
        }
    }
}

fn refuse_nan(operation: &'static str, noun: &str, values: &[f64]) -> Result<()> {
    match values.iter().position(|value| value.is_nan()) {
        Some(i) => Err(Error::argument(operation, format!("{noun} {i} (counted from 0) is NaN"))),
        None => Ok(()),
    }
}
