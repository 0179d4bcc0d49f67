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
    /// Activations of all layers, where one call may take them; `logits`: without that of the last layer.
    fn forms(&self, logits: bool) -> impl Iterator<Item = Option<Form>> {
        let last = self.layers.len() - 1;
        self.layers.iter().enumerate().map(move |(i, layer)| form(&**layer, logits && i == last))
    }

    /// The same, where the engine takes steps of training on so many samples in one call.
    pub(crate) fn trained_whole(&self, logits: bool, batch: usize) -> Option<Vec<Form>> {
        let sizes = self.layers.iter().map(|layer| layer.outputs());
        takes_network(self.engine(), self.inputs(), sizes, batch, true)
            .then(|| self.forms(logits).collect())
            .flatten()
    }
}

/// The outputs, or z of the last layer, if the engine takes the network whole; false if nothing was done.
pub(super) fn infer<T: Scalar>(
    network: &Network<T>,
    logits: bool,
    input: MatrixRef<'_, T>,
    output: MatrixMut<'_, T>,
) -> Result<bool> {
    let (layers, samples) = (&network.layers, input.columns());
    let sizes = layers.iter().map(|layer| layer.outputs());
    if !takes_network(network.engine(), network.inputs(), sizes, samples, false)
        || network.forms(logits).any(|form| form.is_none())
    {
        return Ok(false);
    }
    let parameters = layers.iter().map(|layer| [layer.weights(), layer.bias()]);
    forward(parameters.zip(network.forms(logits).flatten()), input, output)
}
