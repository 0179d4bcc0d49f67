//! From a network to a file.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use safetensors::{Dtype, tensor::TensorView};

use super::header::{Json, JsonLayer, KEY, VERSION, VERSION_OF_MORE, misfit, tensors_of};
use super::{LayerDescription, ModelInfo};
use crate::error::{Error, Result};
use crate::layer::{Layer, LayerKind};
use crate::network::Network;
use crate::scalar::Scalar;

/// Tells the temporary files of one process apart.
static COUNTER: AtomicU32 = AtomicU32::new(0);

pub(super) fn save<T: Scalar>(path: &Path, network: &Network<T>, info: &ModelInfo) -> Result<()> {
    replace(path, &serialize(network, info)?)
}

/// The new file, or the old one if anything fails.
pub(super) fn replace(path: &Path, bytes: &[u8]) -> Result<()> {
    let temporary = temporary_name(path);
    let written = write_and_rename(bytes, &temporary, path);
    if written.is_err() {
        // What is left of a file that could not be finished is of no use; if it cannot be removed, neither is telling.
        let _ = fs::remove_file(&temporary);
    }
    written.map_err(|source| Error::io("write", path, source))
}

fn serialize<T: Scalar>(network: &Network<T>, info: &ModelInfo) -> Result<Vec<u8>> {
    let layers = descriptions(network);
    check("save", network, info)?;
    let mut tensors = Vec::new();
    for (number, layer) in network.layers().iter().enumerate() {
        let mut values = vec![layer.weights().t().to_vec()?, layer.bias().to_vec()?];
        if let Some(statistics) = layer.statistics() {
            values.extend([statistics.column(0)?.to_vec()?, statistics.column(1)?.to_vec()?]);
        }
        for (tensor, values) in tensors_of(number, &layers[number]).into_iter().zip(values) {
            tensors.push((tensor, bytes_of(values, number)?));
        }
    }
    let dtype = if size_of::<T>() == 8 { Dtype::F64 } else { Dtype::F32 };
    let bad = |error: String| Error::argument("save", error);
    let mut views = Vec::new();
    for ((name, shape), bytes) in &tensors {
        views.push((
            name,
            TensorView::new(dtype, shape.clone(), bytes).map_err(|error| bad(error.to_string()))?,
        ));
    }
    let json =
        serde_json::to_string(&json(&layers, info)).map_err(|error| bad(error.to_string()))?;
    let metadata = HashMap::from([(KEY.to_owned(), json)]);
    safetensors::serialize(views, Some(metadata)).map_err(|error| bad(error.to_string()))
}

/// The layers of a network as a file describes them.
fn descriptions<T: Scalar>(network: &Network<T>) -> Vec<LayerDescription> {
    let description = |layer: &Box<dyn Layer<T>>| LayerDescription {
        kind: layer.kind(),
        inputs: layer.inputs(),
        outputs: layer.outputs(),
        activation: layer.activation(),
    };
    network.layers().iter().map(description).collect()
}

/// Refuses `info` that does not fit the network.
pub(super) fn check<T: Scalar>(
    operation: &'static str,
    network: &Network<T>,
    info: &ModelInfo,
) -> Result<()> {
    match misfit(info, &descriptions(network)) {
        Some((field, expected, found)) => {
            let reason = format!("{field}: expected {expected}, found {found}");
            Err(Error::argument(operation, reason))
        }
        None => Ok(()),
    }
}

fn bytes_of<T: Scalar>(values: Vec<T>, layer: usize) -> Result<Vec<u8>> {
    if values.iter().any(|x| !x.is_finite()) {
        return Err(Error::argument("save", format!("a parameter of layer {layer} is not finite")));
    }
    let mut bytes = Vec::with_capacity(size_of_val(&values[..]));
    for x in values.iter().map(|x| x.to_f64()) {
        match size_of::<T>() {
            8 => bytes.extend_from_slice(&x.to_le_bytes()),
            _ => bytes.extend_from_slice(&(x as f32).to_le_bytes()),
        }
    }
    Ok(bytes)
}

fn json(layers: &[LayerDescription], info: &ModelInfo) -> Json {
    let layer = |layer: &LayerDescription| JsonLayer {
        kind: (layer.kind != LayerKind::Dense).then(|| layer.kind.to_string()),
        inputs: layer.inputs,
        outputs: layer.outputs,
        activation: layer.activation.to_string(),
    };
    let is_plain =
        info.encoder.is_none() && layers.iter().all(|layer| layer.kind == LayerKind::Dense);
    Json {
        version: if is_plain { VERSION } else { VERSION_OF_MORE },
        layers: layers.iter().map(layer).collect(),
        loss: info.loss.to_string(),
        classes: info.classes.clone(),
        features: info.features.clone(),
        target: info.target.clone(),
        columns: info.encoder.clone(),
        standardization: info.standardization.clone(),
        training: info.training.clone(),
    }
}

/// A name in the same folder, so that the file can be renamed, which nobody else uses.
fn temporary_name(path: &Path) -> PathBuf {
    let mut name = std::ffi::OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(format!(".{}-{}.tmp", std::process::id(), COUNTER.fetch_add(1, Relaxed)));
    path.with_file_name(name)
}

fn write_and_rename(bytes: &[u8], temporary: &Path, path: &Path) -> io::Result<()> {
    let mut file = File::create_new(temporary)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    drop(file);
    fs::rename(temporary, path)?;
    // The new name is on disk once its folder is.
    let folder =
        path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if cfg!(unix) { File::open(folder)?.sync_all() } else { Ok(()) }
}
