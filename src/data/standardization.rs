//! Features with mean 0 and deviation 1.

use serde::{Deserialize, Serialize};

use super::Dataset;
use crate::{Error, Result, Scalar};

/// Shifts and scales every feature to mean 0 and standard deviation 1, with which gradient descent converges fastest.
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
}

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
        let fitted = Standardization { mean, deviation };
        fitted.check("Standardization::fit")?;
        Ok(fitted)
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

    /// Standardizes one sample in place: `(x - mean) / deviation`, computed in `f64`. The first feature whose result is not
    /// finite is returned.
    pub(crate) fn apply_to<T: Scalar>(&self, sample: &mut [T]) -> Option<usize> {
        let mut is_finite = true;
        for ((x, mean), deviation) in sample.iter_mut().zip(&self.mean).zip(&self.deviation) {
            *x = T::from_f64((x.to_f64() - mean) / deviation);
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
        let usable = |(mean, deviation): (&f64, &f64)| {
            mean.is_finite() && deviation.is_finite() && *deviation > 0.0
        };
        match self.mean.iter().zip(&self.deviation).position(|pair| !usable(pair)) {
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
