//! Inference of small networks that the engine takes in one call.

use super::Network;
use crate::error::Result;
use crate::layer::{Layer, LayerKind};
use crate::matrix::{MatrixMut, MatrixRef};
use crate::ops::network::{Form, forward, takes_network};
use crate::{activation::Activation, scalar::Scalar};

/// The activation of a layer that is part of such a network.
fn form<T: Scalar>(layer: &dyn Layer<T>, is_logits: bool) -> Option<Form> {
    let activation = if is_logits { Activation::Identity } else { layer.activation() };
    (layer.kind() == LayerKind::Dense).then(|| activation.form()).flatten()
}

impl<T: Scalar> Network<T> {
    /// Activations of all layers, if the engine takes up to `batch` samples in one call, with or without training on them;
    /// `logits`: without that of the last layer. It is asked when a trainer or an inference is built, and no more.
    pub(crate) fn whole(&self, logits: bool, batch: usize, trains: bool) -> Option<Vec<Form>> {
        let sizes = self.layers.iter().map(|layer| layer.outputs());
        if !takes_network(self.engine(), self.inputs(), sizes, batch, trains) {
            return None;
        }
        let last = self.layers.len() - 1;
        let layers = self.layers.iter().enumerate();
        layers.map(|(i, layer)| form(&**layer, logits && i == last)).collect()
    }
}

/// The outputs, or z of the last layer, of a network that the engine takes whole, in batches of up to `batch` samples; false if
/// nothing was done, as rows of the input are not contiguous.
pub(super) fn infer<T: Scalar>(
    network: &Network<T>,
    (forms, batch): (&[Form], usize),
    input: MatrixRef<'_, T>,
    output: MatrixMut<'_, T>,
) -> Result<bool> {
    let parameters = network.layers.iter().map(|layer| [layer.weights(), layer.bias()]);
    forward(parameters.zip(forms.iter().copied()), batch, input, output)
}
