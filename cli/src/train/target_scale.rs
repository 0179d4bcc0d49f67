//! The scale of values to learn: the network trains on values with mean 0 and deviation 1. Then its last layer, which is
//! linear, is scaled back, so that the outputs of the saved model are in the unit of the data.

use travertine::data::{Dataset, Targets};
use travertine::{Loss, Network, Result, Scalar};

/// `value = deviation * learned + mean`, with one mean for each output and one deviation for all, so that the loss has
/// one scale.
#[derive(Clone, Debug)]
pub(crate) struct TargetScale {
    mean: Vec<f64>,
    deviation: f64,
}

impl TargetScale {
    /// The scale of the training samples; `None` if they have classes.
    pub(crate) fn fit<T: Scalar>(data: &Dataset<T>) -> Option<Self> {
        let Targets::Values { values, names } = data.targets() else { return None };
        let (rows, count) = (names.len(), data.samples() as f64);
        let row = |i: usize| values.iter().skip(i).step_by(rows).map(|value| value.to_f64());
        let mean: Vec<f64> = (0..rows).map(|i| row(i).map(|value| value / count).sum()).collect();
        let squares = |i: usize| row(i).map(|value| (value - mean[i]).powi(2) / count).sum::<f64>();
        let deviation = ((0..rows).map(squares).sum::<f64>() / rows as f64).sqrt();
        // A constant label needs no scale, and values whose squares overflow get none.
        let deviation = if deviation.is_normal() { deviation } else { 1.0 };
        Some(TargetScale { mean, deviation })
    }

    /// The samples with scaled values, which the network learns.
    pub(crate) fn apply<T: Scalar>(&self, data: &Dataset<T>) -> Result<Dataset<T>> {
        let Targets::Values { values, names } = data.targets() else { return Ok(data.clone()) };
        let learned = |(i, value): (usize, &T)| {
            T::from_f64((value.to_f64() - self.mean[i % self.mean.len()]) / self.deviation)
        };
        let values = values.iter().enumerate().map(learned).collect();
        let targets = Targets::Values { values, names: names.clone() };
        let scaled = Dataset::new(data.inputs(), data.features().to_vec(), targets)?
            .with_feature_names(data.feature_names().to_vec())?;
        Ok(match data.target_name() {
            Some(name) => scaled.with_target_name(name),
            None => scaled,
        })
    }

    /// The loss of scaled values that is proportional to `loss` of the values themselves.
    pub(crate) fn loss(&self, loss: Loss) -> Loss {
        match loss {
            Loss::Huber(d) => Loss::Huber(d / self.deviation),
            loss => loss,
        }
    }

    /// `loss` of the values, divided by [`TargetScale::loss`] of the scaled values.
    pub(crate) fn factor(&self, loss: Loss) -> f64 {
        match loss {
            Loss::MeanAbsolute => self.deviation,
            _ => self.deviation.powi(2),
        }
    }

    /// Scales the last layer, which is linear, so that the network outputs values in the unit of the data.
    pub(crate) fn undo<T: Scalar>(&self, network: &mut Network<T>) -> Result<()> {
        let Some(last) = network.layers_mut().last_mut() else { return Ok(()) };
        let scaled = |x: &T| x.to_f64() * self.deviation;
        let weights: Vec<T> =
            last.weights().to_vec()?.iter().map(|w| T::from_f64(scaled(w))).collect();
        let bias = last.bias().to_vec()?;
        let bias: Vec<T> =
            bias.iter().zip(&self.mean).map(|(b, mean)| T::from_f64(scaled(b) + mean)).collect();
        last.weights_mut().write(&weights)?;
        last.bias_mut().write(&bias)
    }
}
