//! From standardized targets back to the units of the data.

use super::Network;
use crate::activation::Activation;
use crate::data::TargetScale;
use crate::error::{Error, Result};
use crate::layer::LayerKind;
use crate::scalar::Scalar;

impl TargetScale {
    /// Rewrites the last layer of a network that was trained on scaled targets, `W' = deviation W` and
    /// `b' = deviation b + mean`, row by row, so that its outputs are in the units of the data.
    ///
    /// # Errors
    /// A network whose last layer is not a dense layer with [`Activation::Identity`], or has another number of outputs than
    /// the scale; a device that fails.
    pub fn undo<T: Scalar>(&self, network: &mut Network<T>) -> Result<()> {
        let last = network.last();
        let (kind, activation, outputs) = (last.kind(), last.activation(), last.outputs());
        if (kind, activation, outputs)
            != (LayerKind::Dense, Activation::Identity, self.mean().len())
        {
            let reason = format!(
                "the last layer is {kind} with {activation} and {outputs} outputs; it must be dense with identity and \
                 {} outputs, as the scale has",
                self.mean().len()
            );
            return Err(Error::argument("TargetScale::undo", reason));
        }
        // Weights are outputs x inputs in column-major order: one deviation a row.
        let deviation = self.deviation();
        let scaled = |(i, x): (usize, &f64)| x * deviation[i % outputs];
        let weights = T::to_f64s(&last.weights().to_vec()?);
        let weights: Vec<f64> = weights.iter().enumerate().map(scaled).collect();
        let bias = T::to_f64s(&last.bias().to_vec()?);
        let shifted = bias.iter().enumerate().map(scaled).zip(self.mean());
        let bias: Vec<f64> = shifted.map(|(b, mean)| b + mean).collect();
        if let Some(last) = network.layers.last_mut() {
            last.weights_mut().write_f64(&weights)?;
            last.bias_mut().write_f64(&bias)?;
        }
        Ok(())
    }
}
