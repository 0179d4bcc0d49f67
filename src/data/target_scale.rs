//! Targets with mean 0 and deviation 1.

use serde::{Deserialize, Serialize};

use super::{Dataset, Targets};
use crate::loss::{Loss, Quantiles};
use crate::{Error, Result, Scalar};

/// Shifts and scales the targets of a regression: `scaled = (value - mean) / deviation`, with a mean and a deviation for each output, so that
/// all outputs count the same. Prices in the millions then train with the learning rate that suits numbers around 1.
///
/// Fit it on the training part, train on what [`TargetScale::apply`] returns, with the loss that [`TargetScale::loss`]
/// returns. Then either keep it beside the network ([`ModelInfo::target_scale`](crate::model_file::ModelInfo::target_scale)), which is exact
/// for values with a large mean, or call [`TargetScale::undo`] on the trained network: its outputs are then in the units of the data.
///
/// ```
/// use travertine::data::{Dataset, TargetScale, Targets};
/// use travertine::{Activation, Matrix, Network, engine};
/// let targets = Targets::Values { values: vec![200e3, 300e3, 400e3], names: vec!["price".into()] };
/// let data = Dataset::<f64>::new(1, vec![1.0, 2.0, 3.0], targets)?;
/// let scale = TargetScale::fit(data.targets()).unwrap();
/// assert_eq!(scale.mean(), [300e3]);
/// let scaled = scale.apply(&data)?;
/// assert_eq!(scaled.target_columns()?[1], 0.0);
///
/// let cpu = engine::open::<f64>("cpu")?;
/// let mut network = Network::builder(&cpu, 1).dense(1, Activation::Identity).build()?;
/// network.layers_mut()[0].weights_mut().write(&[0.0])?; // stands for training: 0 for every sample
/// scale.undo(&mut network)?;
/// let x = Matrix::from_slice(&cpu, 1, 1, &[2.0])?;
/// assert_eq!(network.infer(x.view())?.to_vec()?, [300e3]);
/// # Ok::<(), travertine::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TargetScale {
    mean: Vec<f64>,
    deviation: Vec<f64>,
    /// The least and the greatest answer of each output, in the units of the data; or none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    bounds: Option<Vec<[f64; 2]>>,
}

impl TargetScale {
    /// The scale of these targets; `None` if they are not values. The deviation of an output is 1 where its values are constant.
    pub fn fit(targets: &Targets) -> Option<Self> {
        let mut fit = TargetFit::default();
        fit.add(targets);
        fit.finish()
    }

    /// A scale that is known already.
    #[cfg(feature = "onnx")]
    pub(crate) fn of(mean: Vec<f64>, deviation: Vec<f64>, bounds: Vec<[f64; 2]>) -> Self {
        TargetScale { mean, deviation, bounds: Some(bounds) }
    }

    /// The same scale, with answers no smaller and no greater than any of these targets: a prediction beyond them becomes the
    /// nearest of them. A network answers far outside of what it has seen where a sample is far from all others.
    /// [`TargetScale::undo`] leaves the bounds out.
    ///
    /// ```
    /// use travertine::data::{TargetScale, Targets};
    /// use travertine::{Activation, Loss, Model, Network, engine, model_file::ModelInfo};
    /// let prices = Targets::Values { values: vec![2.0, 3.0, 4.0], names: vec!["price".into()] };
    /// let scale = TargetScale::fit(&prices).unwrap().bounded_by(&prices)?;
    /// assert_eq!(scale.bounds(), Some(&[[2.0, 4.0]][..]));
    ///
    /// let cpu = engine::open::<f64>("cpu")?;
    /// let mut network = Network::builder(&cpu, 1).dense(1, Activation::Identity).build()?;
    /// network.layers_mut()[0].weights_mut().write(&[1.0])?;
    /// let mut info = ModelInfo::new(Loss::Quadratic);
    /// info.target_scale = Some(scale);
    /// let mut predictor = Model::new(network, info)?.predictor(1)?;
    /// assert_eq!(predictor.predict(&[1e6])?.values(), [4.0]);
    /// # Ok::<(), travertine::Error>(())
    /// ```
    ///
    /// # Errors
    /// Targets that are not values, or another number of values a sample than the scale was fitted on; no samples.
    pub fn bounded_by(self, targets: &Targets) -> Result<Self> {
        let outputs = self.mean.len();
        let Targets::Values { values, names } = targets else {
            let reason = "the targets are no values";
            return Err(Error::argument("TargetScale::bounded_by", reason));
        };
        if names.len() != outputs || values.len() < outputs {
            let reason = format!(
                "the targets have {} values of {} outputs; the scale was fitted on {outputs} outputs",
                values.len(),
                names.len()
            );
            return Err(Error::argument("TargetScale::bounded_by", reason));
        }
        let mut bounds: Vec<[f64; 2]> = values[..outputs].iter().map(|&x| [x, x]).collect();
        for sample in values.chunks_exact(outputs) {
            for ([least, greatest], &x) in bounds.iter_mut().zip(sample) {
                (*least, *greatest) = (least.min(x), greatest.max(x));
            }
        }
        Ok(TargetScale { bounds: Some(bounds), ..self })
    }

    /// The scale of one value for each of its quantiles, as [`Targets::for_quantiles`] repeats it.
    ///
    /// ```
    /// use travertine::{Quantiles, data::{TargetScale, Targets}};
    /// let prices = Targets::Values { values: vec![2.0, 3.0, 4.0], names: vec!["price".into()] };
    /// let quantiles = Quantiles::new(&[0.1, 0.9])?;
    /// let scale = TargetScale::fit(&prices).unwrap().for_quantiles(&quantiles)?;
    /// assert_eq!(Some(scale), TargetScale::fit(&prices.for_quantiles(&quantiles)?));
    /// # Ok::<(), travertine::Error>(())
    /// ```
    ///
    /// # Errors
    /// A scale of several outputs.
    pub fn for_quantiles(&self, quantiles: &Quantiles) -> Result<Self> {
        let (&[mean], &[deviation]) = (&*self.mean, &*self.deviation) else {
            let reason = format!("a scale of {} outputs; one has quantiles", self.mean.len());
            return Err(Error::argument("TargetScale::for_quantiles", reason));
        };
        let levels = quantiles.levels().len();
        let bounds = self.bounds.as_ref().and_then(|bounds| bounds.first());
        Ok(TargetScale {
            mean: vec![mean; levels],
            deviation: vec![deviation; levels],
            bounds: bounds.map(|range| vec![*range; levels]),
        })
    }

    /// The least and the greatest answer of each output, where there are bounds.
    pub fn bounds(&self) -> Option<&[[f64; 2]]> {
        self.bounds.as_deref()
    }

    /// The mean of each output.
    pub fn mean(&self) -> &[f64] {
        &self.mean
    }

    /// The standard deviation of each output, above 0.
    pub fn deviation(&self) -> &[f64] {
        &self.deviation
    }

    /// The samples with scaled targets; classes stay as they are.
    ///
    /// # Errors
    /// Another number of values a sample than the scale was fitted on; a scaled value that is not finite.
    pub fn apply<T: Scalar>(&self, data: &Dataset<T>) -> Result<Dataset<T>> {
        match data.targets() {
            Targets::Values { .. } => data.clone().with_targets(self.apply_to(data.targets())?),
            _ => Ok(data.clone()),
        }
    }

    /// Scaled targets; classes stay as they are.
    ///
    /// # Errors
    /// As [`TargetScale::apply`].
    pub fn apply_to(&self, targets: &Targets) -> Result<Targets> {
        let Targets::Values { values, names } = targets else { return Ok(targets.clone()) };
        let outputs = self.mean.len();
        if names.len() != outputs {
            let reason = format!(
                "the data has {} values a sample; the scale was fitted on {outputs}",
                names.len()
            );
            return Err(Error::argument("TargetScale::apply", reason));
        }
        let scaled = |(i, value): (usize, &f64)| {
            (value - self.mean[i % outputs]) / self.deviation[i % outputs]
        };
        let values = values.iter().enumerate().map(scaled).collect();
        Ok(Targets::Values { values, names: names.clone() })
    }

    /// An output of the network in the units of the data, and within the bounds.
    pub(crate) fn unscaled(&self, output: usize, scaled: f64) -> f64 {
        let value = self.mean[output] + self.deviation[output] * scaled;
        // NaN stays NaN.
        match &self.bounds {
            Some(bounds) if value < bounds[output][0] => bounds[output][0],
            Some(bounds) if value > bounds[output][1] => bounds[output][1],
            _ => value,
        }
    }

    /// What is wrong with a scale that comes from a file, for a network of so many outputs.
    pub(crate) fn fault(&self, outputs: usize) -> Option<String> {
        if self.mean.len() != outputs || self.deviation.len() != outputs {
            let (means, deviations) = (self.mean.len(), self.deviation.len());
            return Some(format!(
                "{means} means and {deviations} deviations for {outputs} outputs"
            ));
        }
        if let Some(bounds) = &self.bounds {
            if bounds.len() != outputs {
                return Some(format!("{} pairs of bounds for {outputs} outputs", bounds.len()));
            }
            let is_range = |[least, greatest]: &&[f64; 2]| {
                least.is_finite() && greatest.is_finite() && least <= greatest
            };
            if let Some([least, greatest]) = bounds.iter().find(|range| !is_range(range)) {
                return Some(format!("bounds {least} and {greatest}"));
            }
        }
        let is_usable = |x: &&f64| x.is_finite() && **x > 0.0;
        let mean = self.mean.iter().find(|x| !x.is_finite());
        mean.or_else(|| self.deviation.iter().find(|x| !is_usable(x))).map(f64::to_string)
    }

    /// The loss of scaled targets that equals, up to [`TargetScale::factor`], `loss` of the values themselves. Several outputs have
    /// different units: their loss is that of the scaled values, and the threshold of [`Loss::Huber`] counts deviations.
    pub fn loss(&self, loss: Loss) -> Loss {
        match (loss, &*self.deviation) {
            (Loss::Huber(threshold), [deviation]) => Loss::Huber(threshold / deviation),
            (loss, _) => loss,
        }
    }

    /// `loss(values) = factor * self.loss(loss)(scaled values)` for one output, and for quantiles of one value; 1 for several values.
    pub fn factor(&self, loss: Loss) -> f64 {
        match (loss, &*self.deviation) {
            (Loss::MeanAbsolute, [deviation]) | (Loss::Quantiles(_), [deviation, ..]) => *deviation,
            (_, [deviation]) => deviation.powi(2),
            _ => 1.0,
        }
    }
}

/// Mean and deviation of targets that come in blocks, one sample after the other, so that blocks make no difference.
#[derive(Default)]
pub(super) struct TargetFit {
    count: f64,
    mean: Vec<f64>,
    squares: Vec<f64>,
    first: Vec<f64>,
    is_constant: Vec<bool>,
}

impl TargetFit {
    pub(super) fn add(&mut self, targets: &Targets) {
        let Targets::Values { values, names } = targets else { return };
        if self.mean.is_empty() {
            (self.mean, self.squares) = (vec![0.0; names.len()], vec![0.0; names.len()]);
            self.first = values[..names.len()].to_vec();
            self.is_constant = vec![true; names.len()];
        }
        for sample in values.chunks_exact(names.len()) {
            self.count += 1.0;
            for (i, &x) in sample.iter().enumerate() {
                let distance = x - self.mean[i];
                self.mean[i] += distance / self.count;
                self.squares[i] += distance * (x - self.mean[i]);
                self.is_constant[i] &= x == self.first[i];
            }
        }
    }

    /// `None` without values.
    pub(super) fn finish(self) -> Option<TargetScale> {
        let deviation = |i: usize| (self.squares[i] / self.count).sqrt();
        let usable = |i: usize| {
            if self.is_constant[i] || !deviation(i).is_normal() { 1.0 } else { deviation(i) }
        };
        let mean = |i: usize| if self.is_constant[i] { self.first[i] } else { self.mean[i] };
        let outputs = 0..self.mean.len();
        (!self.mean.is_empty()).then(|| TargetScale {
            mean: outputs.clone().map(mean).collect(),
            deviation: outputs.map(usable).collect(),
            bounds: None,
        })
    }
}
