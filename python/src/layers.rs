//! Networks from the names that Python uses.

use std::sync::Arc;

use pyo3::prelude::*;
use travertine::engine::Engine;
use travertine::{Activation, Error, Init, Loss, Network, Result, Scalar};

/// A network of dense layers; the keys of the dict that Python passes.
#[derive(FromPyObject, Clone)]
#[pyo3(from_item_all)]
pub(crate) struct Shape {
    inputs: usize,
    hidden: Vec<usize>,
    outputs: usize,
    /// Of hidden layers.
    activation: String,
    /// identity, sigmoid or softmax
    output: String,
    /// none, batch or layer
    normalization: String,
    seed: u64,
}

impl Shape {
    pub(crate) fn build<T: Scalar>(&self, engine: &Arc<dyn Engine<T>>) -> Result<Network<T>> {
        let activation: Activation = self.activation.parse()?;
        let mut builder =
            Network::builder(engine, self.inputs).init(Init::GlorotUniform).seed(self.seed);
        for &size in &self.hidden {
            builder = match &*self.normalization {
                "none" => builder.dense(size, activation),
                "batch" => builder.dense(size, Activation::Identity).batch_norm(activation),
                "layer" => builder.dense(size, Activation::Identity).layer_norm(activation),
                other => {
                    return Err(Error::other(format!("normalization: '{other}' is not known")));
                }
            };
        }
        builder.dense(self.outputs, self.output.parse()?).build()
    }

    /// The loss that belongs to the output.
    pub(crate) fn loss(&self) -> Loss {
        match &*self.output {
            "softmax" => Loss::SoftmaxCrossEntropy,
            "sigmoid" => Loss::BinaryCrossEntropy,
            _ => Loss::Quadratic,
        }
    }
}
