//! Trained networks in files, as safetensors.
//!
//! Weights are `layers.N.weight`, `outputs x inputs` row-major, and `layers.N.bias`: what PyTorch's `load_state_dict`
//! takes for linear layers of these names; those of layers that normalize are `weight`, `bias` and, for batch normalization,
//! `running_mean` and `running_var`, as PyTorch's. A layer that embeds numbers has `weight` (`m x 64`), `bias` (`m x 19`) and
//! `columns`, the numbers of its m features. One metadata entry, `travertine`, holds as JSON what else it takes to rebuild
//! the network and to read raw input.
//!
//! ONNX files (`.onnx`) are read in the place of model files everywhere; behind the feature `onnx`.
//!
//! ```
//! use travertine::model_file::{self, ModelInfo};
//! use travertine::{Activation, Loss, Network, engine};
//! let cpu = engine::open::<f32>("cpu")?;
//! let network = Network::builder(&cpu, 4).dense(3, Activation::Softmax).seed(1).build()?;
//! let path = std::env::temp_dir().join("travertine-model-file-example.safetensors");
//! model_file::save(&path, &network, &ModelInfo::new(Loss::SoftmaxCrossEntropy))?;
//! let (loaded, info) = model_file::load::<f32>(&path, &cpu)?;
//! assert_eq!(loaded.layers()[0].weights().to_vec()?, network.layers()[0].weights().to_vec()?);
//! assert_eq!(info.loss, Loss::SoftmaxCrossEntropy);
//! # std::fs::remove_file(path).unwrap();
//! # Ok::<(), travertine::Error>(())
//! ```

mod checkpoint;
mod decoding;
mod freeze;
mod header;
mod numbers;
mod onnx;
mod read;
mod replace;
mod source;
mod tensors;
mod weights;
mod write;

use std::fs;
use std::path::Path;
use std::sync::Arc;

pub use self::checkpoint::{
    checkpoint_to_bytes, load_checkpoint, load_checkpoint_from_bytes, save_checkpoint,
};
pub(crate) use self::decoding::Decoding;
pub use self::freeze::Language;
pub(crate) use self::freeze::{RawSamples, SELF_TESTS, SelfTest, raw_samples};
use self::header::Header;
pub use self::onnx::OnnxOptions;
pub use self::replace::replace_file;
use self::source::Source;
pub use self::weights::{save_weights, sequential_names};
use crate::activation::Activation;
use crate::data::{Encoder, Schema, Standardization, TargetScale};
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::layer::{Categories, LayerKind};
use crate::loss::Loss;
use crate::network::Network;
use crate::scalar::Scalar;

/// What a model file contains beside the parameters.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelInfo {
    /// The loss it was trained with.
    pub loss: Loss,
    /// The classes' names in the order of the outputs; empty for regression.
    pub classes: Vec<String>,
    /// Names of the input columns; may be empty.
    pub features: Vec<String>,
    /// Name of what is predicted.
    pub target: Option<String>,
    /// How a table becomes the network's inputs, where it has columns of texts or values that may be missing.
    pub encoder: Option<Encoder>,
    /// What raw input goes through before the network sees it.
    pub standardization: Option<Standardization>,
    /// How the files of tables are read.
    pub schema: Option<Schema>,
    /// What the outputs of a regression go through before they are in the units of the data.
    pub target_scale: Option<TargetScale>,
    /// How it was trained, in order: ("data", "digits"), ("epochs", "10") ...
    pub training: Vec<(String, String)>,
}

impl ModelInfo {
    /// Nothing but a loss.
    pub fn new(loss: Loss) -> Self {
        ModelInfo {
            loss,
            classes: Vec::new(),
            features: Vec::new(),
            target: None,
            encoder: None,
            standardization: None,
            schema: None,
            target_scale: None,
            training: Vec::new(),
        }
    }

    /// How pixels become features, as the training with the key [`PIXELS`] says, for models of images that the program trained: other programs
    /// do the same before they pass an image.
    pub fn pixels(&self) -> Option<&str> {
        let entry = self.training.iter().find(|(key, _)| key == PIXELS);
        entry.map(|(_, pixels)| &**pixels)
    }
}

/// The key of [`ModelInfo::training`] that says how pixels become features: "0 to 255, divided by 255".
pub const PIXELS: &str = "pixels";

/// What is in a model file.
#[derive(Clone, Debug, PartialEq)]
pub struct Description {
    /// The layers, first to last; those of one member of an ensemble.
    pub layers: Vec<LayerDescription>,
    /// Members of an ensemble, or 1.
    pub members: usize,
    /// `"f32"` or `"f64"`
    pub precision: &'static str,
    /// Number of parameters, of all members.
    pub parameters: usize,
    /// Bytes of the file.
    pub bytes: u64,
    /// What it contains beside the parameters.
    pub info: ModelInfo,
}

/// A layer in a model file.
#[derive(Clone, Debug, PartialEq)]
pub struct LayerDescription {
    /// What it computes in front of its activation.
    pub kind: LayerKind,
    /// Rows of the input.
    pub inputs: usize,
    /// Rows of the output.
    pub outputs: usize,
    /// Its activation.
    pub activation: Activation,
    /// The members whose rows it computes apart ([`Members`](crate::layer::Members)); 1 where there are none.
    pub members: usize,
    /// The features whose categories it embeds.
    pub categories: Vec<Categories>,
}

impl LayerDescription {
    /// Number of parameters.
    pub fn parameters(&self) -> usize {
        let sizes = (self.inputs, self.outputs);
        let shapes = tensors::tensors_of("", self.kind, sizes, self.members, &self.categories);
        shapes[..self.kind.matrices()]
            .iter()
            .map(|(_, shape)| shape.iter().product::<usize>())
            .sum()
    }
}

/// Writes a network and what belongs to it: to a temporary file beside `path`, which is synced and then renamed, so that
/// `path` holds the old or the new model at any moment.
///
/// # Errors
/// A parameter that is not finite, `info` that does not fit the network; a folder that is missing, full or not writable;
/// a device that fails.
pub fn save<T: Scalar>(
    path: impl AsRef<Path>,
    network: &Network<T>,
    info: &ModelInfo,
) -> Result<()> {
    write::save(path.as_ref(), &[network], info)
}

/// As [`save`], for one network or the members of an ensemble.
pub(crate) fn save_all<T: Scalar>(
    path: impl AsRef<Path>,
    networks: &[Arc<Network<T>>],
    info: &ModelInfo,
) -> Result<()> {
    let networks: Vec<&Network<T>> = networks.iter().map(|network| &**network).collect();
    write::save(path.as_ref(), &networks, info)
}

/// The bytes of the file that [`save_all`] writes.
pub(crate) fn bytes_of_all<T: Scalar>(
    networks: &[Arc<Network<T>>],
    info: &ModelInfo,
) -> Result<Vec<u8>> {
    write::serialize(&networks.iter().map(|network| &**network).collect::<Vec<_>>(), info)
}

/// Reads a network onto an engine. A file of the other precision is converted.
///
/// # Errors
/// A file that is not a model of this version, or in which anything does not fit: the tensor or field is named; an ensemble, for
/// [`Model::load`](crate::Model::load); no memory.
pub fn load<T: Scalar>(
    path: impl AsRef<Path>,
    engine: &Arc<dyn Engine<T>>,
) -> Result<(Network<T>, ModelInfo)> {
    match imported(path.as_ref())? {
        Some(bytes) => read::load(&mut Source::of_bytes(&bytes), engine),
        None => read::load(&mut Source::open(path.as_ref())?, engine),
    }
}

/// As [`load`], for one network or the members of an ensemble.
pub(crate) fn load_all<T: Scalar>(
    path: impl AsRef<Path>,
    engine: &Arc<dyn Engine<T>>,
) -> Result<(Vec<Network<T>>, ModelInfo)> {
    match imported(path.as_ref())? {
        Some(bytes) => read::load_all(&mut Source::of_bytes(&bytes), engine),
        None => read::load_all(&mut Source::open(path.as_ref())?, engine),
    }
}

/// As [`load_all`], of an ONNX file, whatever its name is.
pub(crate) fn load_onnx<T: Scalar>(
    path: &Path,
    engine: &Arc<dyn Engine<T>>,
) -> Result<(Vec<Network<T>>, ModelInfo)> {
    let bytes = fs::read(path).map_err(|source| Error::io("read", path, source))?;
    let bytes = onnx::to_safetensors(bytes, Some(path))?;
    read::load_all(&mut Source::of_bytes(&bytes), engine)
}

/// The model file that an ONNX file is made into; `None` for a file that is a model file already.
fn imported(path: &Path) -> Result<Option<Vec<u8>>> {
    if !onnx::is_onnx(path) {
        return Ok(None);
    }
    let bytes = fs::read(path).map_err(|source| Error::io("read", path, source))?;
    onnx::to_safetensors(bytes, Some(path)).map(Some)
}

/// As [`imported`], of bytes in memory.
fn imported_bytes(bytes: &[u8]) -> Result<Option<Vec<u8>>> {
    match onnx::begins_as_onnx(bytes) {
        true => onnx::to_safetensors(bytes.to_vec(), None).map(Some),
        false => Ok(None),
    }
}

/// As [`load`], from the bytes of a model file in memory, such as `include_bytes!` or a download.
///
/// # Errors
/// As [`load`].
pub fn load_from_bytes<T: Scalar>(
    bytes: &[u8],
    engine: &Arc<dyn Engine<T>>,
) -> Result<(Network<T>, ModelInfo)> {
    let imported = imported_bytes(bytes)?;
    read::load(&mut Source::of_bytes(imported.as_deref().unwrap_or(bytes)), engine)
}

/// As [`load_all`], from the bytes of a model file in memory.
pub(crate) fn load_all_from_bytes<T: Scalar>(
    bytes: &[u8],
    engine: &Arc<dyn Engine<T>>,
) -> Result<(Vec<Network<T>>, ModelInfo)> {
    let imported = imported_bytes(bytes)?;
    read::load_all(&mut Source::of_bytes(imported.as_deref().unwrap_or(bytes)), engine)
}

/// The bytes of the ONNX file of one network or the members of an ensemble.
pub(crate) fn to_onnx<T: Scalar>(
    networks: &[Arc<Network<T>>],
    info: &ModelInfo,
    options: &OnnxOptions,
) -> Result<Vec<u8>> {
    onnx::to_bytes(&networks.iter().map(|network| &**network).collect::<Vec<_>>(), info, options)
}

/// The source code of one network or the members of an ensemble; see [`Model::to_source`](crate::Model::to_source).
pub(crate) fn to_source<T: Scalar>(
    networks: &[Arc<Network<T>>],
    info: &ModelInfo,
    (language, name): (Language, &str),
    test: &SelfTest,
) -> Result<String> {
    let networks: Vec<&Network<T>> = networks.iter().map(|network| &**network).collect();
    freeze::to_source(&networks, info, (language, name), test)
}

/// Refuses networks with different layers, or none, and `info` that does not fit them, as [`save`] does.
pub(crate) fn check<T: Scalar>(
    operation: &'static str,
    networks: &[Network<T>],
    info: &ModelInfo,
) -> Result<()> {
    write::check(operation, &networks.iter().collect::<Vec<_>>(), info)
}

/// The description of a model file; needs no engine and does not read the parameters.
///
/// # Errors
/// As [`load`].
pub fn describe(path: impl AsRef<Path>) -> Result<Description> {
    let path = path.as_ref();
    Ok(match imported(path)? {
        Some(bytes) => Header::read(&mut Source::of_bytes(&bytes))?.describe(),
        None => Header::read(&mut Source::open(path)?)?.describe(),
    })
}
