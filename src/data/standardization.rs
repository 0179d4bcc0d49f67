//! Features with mean 0 and deviation 1.

use serde::{Deserialize, Serialize};

use super::Dataset;
use crate::{Error, Result, Scalar};

/// Shifts and scales every feature to mean 0 and standard deviation 1, with which gradient descent converges fastest:
/// `y = (x - mean) / deviation`, and with a bound `y / sqrt(1 + (y / bound)^2)`.
///
/// Fit it on the training part alone, and apply it to all data that the network gets later.
///
/// ```
/// use travertine::data::{Dataset, Standardization, Targets};
/// let mut data = Dataset::<f64>::new(2, vec![1.0, 5.0, 3.0, 5.0], Targets::None)?;
/// let standardization = Standardization::fit(&data)?;
/// standardization.apply(&mut data)?;
/// assert_eq!(data.features(), [-1.0, 0.0, 1.0, 0.0]);
/// # Ok::<(), travertine::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Standardization {
    /// The mean of each feature.
    pub mean: Vec<f64>,
    /// The standard deviation of each feature (of the population: divided by n); 1 for a feature that is constant.
    pub deviation: Vec<f64>,
    /// What no feature exceeds: numbers near 0 stay nearly as they are, and those far away come close to the bound.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bound: Option<f64>,
    /// Features that stay as they are, in ascending order: the numbers of categories, and shares of bins.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unscaled: Vec<usize>,
}

/// The bound of [`Standardization::fit_robust`].
const BOUND: f64 = 3.0;

impl Standardization {
    /// The mean and deviation of each feature of `data`, computed in `f64` and two passes.
    ///
    /// # Errors
    /// An argument error if a feature spreads so widely that its variance is not a finite number.
    pub fn fit<T: Scalar>(data: &Dataset<T>) -> Result<Self> {
        let mean = means(data);
        let deviation: Vec<f64> = variances(data, &mean)
            .into_iter()
            .map(|variance| if variance == 0.0 { 1.0 } else { variance.sqrt() })
            .collect();
        let fitted = Standardization { mean, deviation, bound: None, unscaled: Vec::new() };
        fitted.check("Standardization::fit")?;
        Ok(fitted)
    }

    /// A scale that a few numbers far from the others do not change ("robust scaling and smooth clipping", Holzmüller et al.
    /// 2024, appendix A): the mean is the median, the deviation is the distance between the quartiles or, where that is 0, half
    /// of the range, or 1 for a constant; and the bound is 3. Quantiles between two numbers are on the line between them.
    ///
    /// ```
    /// use travertine::data::{Dataset, Standardization, Targets};
    /// let data = Dataset::<f64>::new(1, vec![1.0, 2.0, 3.0, 4.0, 1e9], Targets::None)?;
    /// let robust = Standardization::fit_robust(&data)?;
    /// assert_eq!((robust.mean[0], robust.deviation[0]), (3.0, 2.0));
    /// let mut scaled = data.clone();
    /// robust.apply(&mut scaled)?;
    /// assert!((scaled.features()[4] - 3.0).abs() < 1e-9);
    /// # Ok::<(), travertine::Error>(())
    /// ```
    ///
    /// # Errors
    /// A feature whose range is not a finite number.
    pub fn fit_robust<T: Scalar>(data: &Dataset<T>) -> Result<Self> {
        let (mut mean, mut deviation) = (Vec::new(), Vec::new());
        let mut column = Vec::with_capacity(data.samples());
        for feature in 0..data.inputs() {
            column.clear();
            let values = data.features().iter().skip(feature).step_by(data.inputs());
            column.extend(values.map(|x| x.to_f64()));
            let [first, median, third] = [0.25, 0.5, 0.75].map(|q| quantile(&mut column, q));
            let (least, most) = (
                column.iter().copied().fold(f64::INFINITY, f64::min),
                column.iter().copied().fold(f64::NEG_INFINITY, f64::max),
            );
            let scales = [third - first, (most - least) / 2.0, 1.0];
            mean.push(median);
            deviation.push(scales.into_iter().find(|scale| *scale != 0.0).unwrap_or(1.0));
        }
        let fitted = Standardization { mean, deviation, bound: Some(BOUND), unscaled: Vec::new() };
        fitted.check("Standardization::fit_robust")?;
        Ok(fitted)
    }

    /// The same, but these features (in ascending order) stay as they are, as those of
    /// [`Encoder::unscaled`](super::Encoder::unscaled).
    pub fn with_unscaled(mut self, unscaled: Vec<usize>) -> Self {
        let features = self.mean.len();
        for &feature in unscaled.iter().filter(|feature| **feature < features) {
            (self.mean[feature], self.deviation[feature]) = (0.0, 1.0);
        }
        self.unscaled = unscaled;
        self
    }

    /// A number of this feature on the new scale.
    pub(crate) fn scaled(&self, feature: usize, x: f64) -> f64 {
        Scale::of(Some(self), feature).apply(x)
    }

    /// Standardizes the features of `data` in place.
    ///
    /// # Errors
    /// An argument error, `data` being left as it was, if it has another number of features, if a mean or deviation is
    /// not usable (they may come from a file), or if a result is not finite.
    pub fn apply<T: Scalar>(&self, data: &mut Dataset<T>) -> Result<()> {
        const OPERATION: &str = "Standardization::apply";
        let inputs = data.inputs();
        self.check_inputs(OPERATION, inputs)?;
        let mut scaled = data.features().to_vec();
        for (sample, features) in scaled.chunks_exact_mut(inputs).enumerate() {
            if let Some(feature) = self.apply_to(features) {
                let reason =
                    format!("feature {feature} of sample {sample} (both counted from 0) overflows");
                return Err(Error::argument(OPERATION, reason));
            }
        }
        *data.features_mut() = scaled;
        Ok(())
    }

    /// Standardizes one sample in place, computed in `f64`. The first feature whose result is not
    /// finite is returned.
    pub(crate) fn apply_to<T: Scalar>(&self, sample: &mut [T]) -> Option<usize> {
        let mut is_finite = true;
        for (feature, x) in sample.iter_mut().enumerate() {
            *x = T::from_f64(self.scaled(feature, x.to_f64()));
            is_finite &= x.is_finite();
        }
        if is_finite { None } else { sample.iter().position(|x| !x.is_finite()) }
    }

    /// Refuses another number of features, and numbers that are not usable.
    pub(super) fn check_inputs(&self, operation: &'static str, inputs: usize) -> Result<()> {
        let (means, deviations) = (self.mean.len(), self.deviation.len());
        if means != inputs || deviations != inputs {
            let reason = format!("{means} means and {deviations} deviations for {inputs} features");
            return Err(Error::argument(operation, reason));
        }
        self.check(operation)
    }

    pub(super) fn check(&self, operation: &'static str) -> Result<()> {
        let is_sorted = self.unscaled.windows(2).all(|pair| pair[0] < pair[1]);
        if !is_sorted || self.unscaled.last().is_some_and(|last| *last >= self.mean.len()) {
            let (unscaled, features) = (&self.unscaled, self.mean.len());
            let reason =
                format!("unscaled {unscaled:?} are no ascending numbers of {features} features");
            return Err(Error::argument(operation, reason));
        }
        let usable = |(mean, deviation): (&f64, &f64)| {
            mean.is_finite() && deviation.is_finite() && *deviation > 0.0
        };
        match self.mean.iter().zip(&self.deviation).position(|pair| !usable(pair)) {
            None if self.bound.is_some_and(|bound| !(bound > 0.0 && bound.is_finite())) => {
                let reason =
                    format!("the bound must be a finite number above 0, not {:?}", self.bound);
                Err(Error::argument(operation, reason))
            }
            Some(i) => {
                let (mean, deviation) = (self.mean[i], self.deviation[i]);
                let reason = format!(
                    "feature {i} (counted from 0) has mean {mean} and deviation {deviation}"
                );
                Err(Error::argument(operation, reason))
            }
            None => Ok(()),
        }
    }
}

/// The scale of one feature.
#[derive(Clone, Copy)]
pub(super) struct Scale {
    mean: f64,
    deviation: f64,
    bound: Option<f64>,
}

impl Scale {
    /// Of a feature that stays as it is where there is no standardization.
    pub(super) fn of(standardization: Option<&Standardization>, feature: usize) -> Self {
        match standardization {
            Some(Standardization { mean, deviation, bound, unscaled })
                if unscaled.binary_search(&feature).is_err() =>
            {
                Scale { mean: mean[feature], deviation: deviation[feature], bound: *bound }
            }
            _ => Scale { mean: 0.0, deviation: 1.0, bound: None },
        }
    }

    pub(super) fn apply(self, x: f64) -> f64 {
        let y = (x - self.mean) / self.deviation;
        match self.bound {
            // hypot does not overflow where the square would.
            Some(bound) if y.is_finite() => bound * (y / y.hypot(bound)),
            _ => y,
        }
    }
}

/// The quantile of numbers, which are rearranged.
fn quantile(numbers: &mut [f64], share: f64) -> f64 {
    let place = share * (numbers.len() - 1) as f64;
    let (at, rest) = (place.floor() as usize, place.fract());
    let (_, &mut low, above) = numbers.select_nth_unstable_by(at, f64::total_cmp);
    let high = above.iter().copied().fold(f64::INFINITY, f64::min);
    if rest == 0.0 { low } else { low + rest * (high - low) }
}

/// Sums distances from the first sample, not the values: a constant feature has exactly its value as the mean then.
fn means<T: Scalar>(data: &Dataset<T>) -> Vec<f64> {
    let first: Vec<f64> = data.features()[..data.inputs()].iter().map(|x| x.to_f64()).collect();
    let sums = sum(data, |i, x| x - first[i]);
    first.iter().zip(sums).map(|(first, sum)| first + sum / data.samples() as f64).collect()
}

fn variances<T: Scalar>(data: &Dataset<T>, mean: &[f64]) -> Vec<f64> {
    sum(data, |i, x| (x - mean[i]).powi(2))
        .into_iter()
        .map(|sum| sum / data.samples() as f64)
        .collect()
}

/// Sums `term(feature, value)` over the samples.
fn sum<T: Scalar>(data: &Dataset<T>, term: impl Fn(usize, f64) -> f64) -> Vec<f64> {
    let mut sums = vec![0.0; data.inputs()];
    for sample in data.features().chunks_exact(data.inputs()) {
        for (i, (sum, x)) in sums.iter_mut().zip(sample).enumerate() {
            *sum += term(i, x.to_f64());
        }
    }
    sums
}
