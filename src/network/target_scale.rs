//! From standardized targets back to the units of the data.

use super::Network;
use crate::activation::Activation;
use crate::data::TargetScale;
use crate::error::{Error, Result};
use crate::layer::LayerKind;
use crate::scalar::Scalar;

impl TargetScale {
    /// Rewrites the last layer of a network that was trained on scaled targets, `W' = deviation W` and
    /// `b' = deviation b + mean`, so that its outputs are in the units of the data.
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
        let scaled = |x: &T| x.to_f64() * self.deviation();
        let weights: Vec<T> =
            last.weights().to_vec()?.iter().map(|w| T::from_f64(scaled(w))).collect();
        let bias = last.bias().to_vec()?;
        let bias: Vec<T> =
            bias.iter().zip(self.mean()).map(|(b, mean)| T::from_f64(scaled(b) + mean)).collect();
        if let Some(last) = network.layers.last_mut() {
            last.weights_mut().write(&weights)?;
            last.bias_mut().write(&bias)?;
        }
        Ok(())
    }
}
