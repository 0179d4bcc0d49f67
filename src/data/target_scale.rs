//! Targets with mean 0 and deviation 1.

use super::{Dataset, Targets};
use crate::loss::Loss;
use crate::{Error, Result, Scalar};

/// Shifts and scales the targets of a regression: `scaled = (value - mean) / deviation`, with one mean for each output and
/// one deviation for all outputs, so that the loss has one scale. Prices in the millions then train with the learning rate
/// that suits numbers around 1.
///
/// Fit it on the training part, train on what [`TargetScale::apply`] returns, with the loss that [`TargetScale::loss`]
/// returns, and call [`TargetScale::undo`] on the trained network: its outputs are then in the units of the data.
///
/// ```
/// use travertine::data::{Dataset, TargetScale, Targets};
/// use travertine::{Activation, Matrix, Network, engine};
/// let targets = Targets::Values { values: vec![200e3, 300e3, 400e3], names: vec!["price".into()] };
/// let data = Dataset::<f64>::new(1, vec![1.0, 2.0, 3.0], targets)?;
/// let scale = TargetScale::fit(&data).unwrap();
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
#[derive(Clone, Debug, PartialEq)]
pub struct TargetScale {
    mean: Vec<f64>,
    deviation: f64,
}

impl TargetScale {
    /// The scale of the targets of `data`; `None` if they are not values. The deviation is the root of the mean variance of
    /// the outputs; it is 1 where that is 0 or not a normal number, as with constant targets.
    pub fn fit<T: Scalar>(data: &Dataset<T>) -> Option<Self> {
        let Targets::Values { values, names } = data.targets() else { return None };
        let (rows, count) = (names.len(), data.samples() as f64);
        let row = |i: usize| values.iter().skip(i).step_by(rows).map(|value| value.to_f64());
        let mean: Vec<f64> = (0..rows).map(|i| row(i).map(|value| value / count).sum()).collect();
        let squares = |i: usize| row(i).map(|value| (value - mean[i]).powi(2) / count).sum::<f64>();
        let deviation = ((0..rows).map(squares).sum::<f64>() / rows as f64).sqrt();
        let deviation = if deviation.is_normal() { deviation } else { 1.0 };
        Some(TargetScale { mean, deviation })
    }

    /// The mean of each output.
    pub fn mean(&self) -> &[f64] {
        &self.mean
    }

    /// The standard deviation that all outputs share, above 0.
    pub fn deviation(&self) -> f64 {
        self.deviation
    }

    /// The samples with scaled targets; classes stay as they are.
    ///
    /// # Errors
    /// Another number of values a sample than the scale was fitted on; a scaled value that is not finite.
    pub fn apply<T: Scalar>(&self, data: &Dataset<T>) -> Result<Dataset<T>> {
        let Targets::Values { values, names } = data.targets() else { return Ok(data.clone()) };
        if names.len() != self.mean.len() {
            let reason = format!(
                "the data has {} values a sample; the scale was fitted on {}",
                names.len(),
                self.mean.len()
            );
            return Err(Error::argument("TargetScale::apply", reason));
        }
        let scaled = |(i, value): (usize, &T)| {
            T::from_f64((value.to_f64() - self.mean[i % self.mean.len()]) / self.deviation)
        };
        let values = values.iter().enumerate().map(scaled).collect();
        let targets = Targets::Values { values, names: names.clone() };
        let scaled = Dataset::new(data.inputs(), data.features().to_vec(), targets)?
            .with_feature_names(data.feature_names().to_vec())?;
        Ok(match data.target_name() {
            Some(name) => scaled.with_target_name(name),
            None => scaled,
        })
    }

    /// The loss of scaled targets that equals, up to [`TargetScale::factor`], `loss` of the values themselves.
    pub fn loss(&self, loss: Loss) -> Loss {
        match loss {
            Loss::Huber(threshold) => Loss::Huber(threshold / self.deviation),
            loss => loss,
        }
    }

    /// `loss(values) = factor * self.loss(loss)(scaled values)`
    pub fn factor(&self, loss: Loss) -> f64 {
        match loss {
            Loss::MeanAbsolute => self.deviation,
            _ => self.deviation.powi(2),
        }
    }
}
