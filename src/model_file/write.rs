//! From a network to a file.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensorError};

use super::header::{
    Json, JsonLayer, KEY, VERSION, VERSION_OF_MORE, VERSION_OF_RECIPES, VERSION_OF_TABLES, misfit,
    tensors_of,
};
use super::numbers::{dtype, to_bytes};
use super::tensors::values_of;
use super::{LayerDescription, ModelInfo, replace_file};
use crate::activation::Activation;
use crate::error::{Error, Result};
use crate::layer::LayerKind;
use crate::network::Network;
use crate::scalar::Scalar;

/// Saves one network, or the members of an ensemble.
pub(super) fn save<T: Scalar>(
    path: &Path,
    networks: &[&Network<T>],
    info: &ModelInfo,
) -> Result<()> {
    replace_file(path, &serialize(networks, info)?)
}

/// The bytes of the file.
pub(super) fn serialize<T: Scalar>(networks: &[&Network<T>], info: &ModelInfo) -> Result<Vec<u8>> {
    Parts::of("save", networks, info)?.to_safetensors("save", info)
}

/// Layers and parameters of one network, or of the members of an ensemble.
pub(super) struct Parts {
    pub(super) dtype: Dtype,
    pub(super) layers: Vec<LayerDescription>,
    pub(super) members: usize,
    /// As [`tensors_of`] names them, layer by layer and member by member.
    pub(super) tensors: Vec<Tensor>,
}

impl Parts {
    /// Refuses what [`check`] refuses, and parameters that are not finite.
    pub(super) fn of<T: Scalar>(
        operation: &'static str,
        networks: &[&Network<T>],
        info: &ModelInfo,
    ) -> Result<Self> {
        check(operation, networks, info)?;
        let (layers, members) = (descriptions(networks[0]), networks.len());
        let mut tensors = Vec::new();
        for (member, network) in networks.iter().enumerate() {
            for (number, layer) in network.layers().iter().enumerate() {
                let values = values_of(&**layer)?;
                if values.iter().flatten().any(|x| !x.is_finite()) {
                    let of_member =
                        if members > 1 { format!(" of member {member}") } else { String::new() };
                    let reason = format!("a parameter of layer {number}{of_member} is not finite");
                    return Err(Error::argument(operation, reason));
                }
                let bytes = values.iter().map(|values| to_bytes(values));
                tensors.extend(
                    tensors_of((member, members), number, &layers[number]).into_iter().zip(bytes),
                );
            }
        }
        Ok(Parts { dtype: dtype::<T>(), layers, members, tensors })
    }

    /// The bytes of a model file.
    pub(super) fn to_safetensors(
        &self,
        operation: &'static str,
        info: &ModelInfo,
    ) -> Result<Vec<u8>> {
        let metadata = metadata(&self.layers, self.members, info)?;
        of_dtype(operation, self.dtype, &self.tensors, Some(metadata))
    }
}

/// The metadata of the file. Not generic, so that no user's crate compiles the serializer.
pub(super) fn metadata(
    layers: &[LayerDescription],
    members: usize,
    info: &ModelInfo,
) -> Result<HashMap<String, String>> {
    let json = serde_json::to_string(&json(layers, members, info))
        .map_err(|error| Error::argument("save", error.to_string()))?;
    Ok(HashMap::from([(KEY.to_owned(), json)]))
}

/// A tensor's name and shape with its bytes.
pub(super) type Tensor = ((String, Vec<usize>), Vec<u8>);

/// Tensors of one type as a safetensors file.
pub(super) fn to_safetensors<T: Scalar>(
    operation: &'static str,
    tensors: &[Tensor],
    metadata: Option<HashMap<String, String>>,
) -> Result<Vec<u8>> {
    of_dtype(operation, dtype::<T>(), tensors, metadata)
}

/// Not generic, so that no user's crate compiles the serializer.
pub(super) fn of_dtype(
    operation: &'static str,
    dtype: Dtype,
    tensors: &[Tensor],
    metadata: Option<HashMap<String, String>>,
) -> Result<Vec<u8>> {
    let bad = |error: SafeTensorError| Error::argument(operation, error.to_string());
    let mut views = Vec::with_capacity(tensors.len());
    for ((name, shape), bytes) in tensors {
        views.push((name, TensorView::new(dtype, shape.clone(), bytes).map_err(bad)?));
    }
    safetensors::serialize(views, metadata).map_err(bad)
}

/// The layers of a network as a file describes them.
fn descriptions<T: Scalar>(network: &Network<T>) -> Vec<LayerDescription> {
    let layers = network.layers().iter();
    let description = layers.map(|layer| LayerDescription {
        kind: layer.kind(),
        inputs: layer.inputs(),
        outputs: layer.outputs(),
        activation: layer.activation(),
        members: layer.members(),
        categories: layer.categories().to_vec(),
    });
    description.collect()
}

/// Refuses networks with different layers, or none, and `info` that does not fit them.
pub(super) fn check<T: Scalar>(
    operation: &'static str,
    networks: &[&Network<T>],
    info: &ModelInfo,
) -> Result<()> {
    let Some(first) = networks.first() else {
        return Err(Error::argument(operation, "a model must have at least one network"));
    };
    let layers = descriptions(first);
    for (number, network) in networks.iter().enumerate().skip(1) {
        let own = descriptions(network);
        if let Some(i) = (0..own.len().max(layers.len())).find(|&i| own.get(i) != layers.get(i)) {
            let describe = |layers: &[LayerDescription]| {
                layers.get(i).map_or("none".to_owned(), |layer| {
                    let LayerDescription { kind, inputs, outputs, activation, .. } = layer;
                    format!("{kind} {inputs} -> {outputs} with {activation}")
                })
            };
            let reason = format!(
                "layer {i} of network {number} is {}, that of network 0 is {}; all must have the same layers",
                describe(&own),
                describe(&layers)
            );
            return Err(Error::argument(operation, reason));
        }
        if !Arc::ptr_eq(network.engine(), first.engine()) {
            let reason = format!("network {number} is on another engine than network 0");
            return Err(Error::argument(operation, reason));
        }
    }
    match misfit(info, &layers) {
        Some((field, expected, found)) => {
            let reason = format!("{field}: expected {expected}, found {found}");
            Err(Error::argument(operation, reason))
        }
        None => Ok(()),
    }
}

fn json(layers: &[LayerDescription], members: usize, info: &ModelInfo) -> Json {
    let layer = |layer: &LayerDescription| JsonLayer {
        kind: (layer.kind != LayerKind::Dense).then(|| layer.kind.to_string()),
        inputs: layer.inputs,
        outputs: layer.outputs,
        activation: layer.activation.to_string(),
        categories: layer.categories.iter().map(|of| (of.feature, of.count)).collect(),
    };
    let is_plain =
        info.encoder.is_none() && layers.iter().all(|layer| layer.kind == LayerKind::Dense);
    let is_bounded = info.standardization.as_ref().is_some_and(|scale| scale.bound.is_some())
        || info.target_scale.as_ref().is_some_and(|scale| scale.bounds().is_some());
    let is_new = |layer: &LayerDescription| {
        use LayerKind::{CategoryEmbedding, Members, NumberEmbedding, Parametric, Scale};
        matches!(layer.kind, Scale | NumberEmbedding | Parametric | CategoryEmbedding | Members)
            || matches!(layer.activation, Activation::Selu | Activation::Mish)
    };
    let is_recent = members > 1 || is_bounded || info.loss.quantiles().is_some();
    let version = if is_recent || layers.iter().any(is_new) {
        VERSION_OF_RECIPES
    } else if info.schema.is_some() || info.target_scale.is_some() {
        VERSION_OF_TABLES
    } else if is_plain {
        VERSION
    } else {
        VERSION_OF_MORE
    };
    Json {
        version,
        layers: layers.iter().map(layer).collect(),
        members: (members > 1).then_some(members),
        loss: info.loss.to_string(),
        classes: info.classes.clone(),
        features: info.features.clone(),
        target: info.target.clone(),
        columns: info.encoder.clone(),
        standardization: info.standardization.clone(),
        schema: info.schema.clone(),
        target_scale: info.target_scale.clone(),
        training: info.training.clone(),
    }
}
