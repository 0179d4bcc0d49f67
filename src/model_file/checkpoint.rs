//! Trainings in files, to go on from: safetensors too, with one metadata entry for what is not a matrix.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::Path;

use flate2::Crc;
use safetensors::SafeTensors;
use safetensors::tensor::TensorView;
use serde::{Deserialize, Serialize};

use super::numbers::{dtype, from_bytes, to_bytes};
use super::replace_file;
use super::source::Source;
use crate::error::{Error, Result};
use crate::scalar::Scalar;
use crate::trainer::Snapshot;

const KEY: &str = "travertine-checkpoint";
const VERSION: u64 = 1;

/// The metadata entry, as JSON.
#[derive(Serialize, Deserialize)]
struct Json {
    version: u64,
    epoch: u64,
    step: u64,
    first_step: u64,
    position: u64,
    /// The state of the schedule.
    pace: [u64; 3],
    /// The settings of the training, by their names; files of older versions have none.
    #[serde(default)]
    settings: BTreeMap<String, String>,
    /// CRC-32 of all tensors, one behind the other.
    sum: u32,
    /// The caller's own.
    notes: String,
}

/// Writes a snapshot and notes of one's own, as [`save`](super::save) writes models: `path` holds the old or the new checkpoint at
/// any moment, whenever the process is killed.
///
/// ```
/// # use travertine::{Activation, Loss, Network, Samples, Trainer, data, engine, model_file, optimizer::Sgd};
/// # let cpu = engine::open::<f32>("cpu")?;
/// # let digits = data::digits()?;
/// # let mut samples = Samples::new(&cpu, &digits)?;
/// # let mut network = Network::builder(&cpu, 64).dense(10, Activation::Softmax).build()?;
/// # let mut trainer = Trainer::builder(&mut network, Loss::SoftmaxCrossEntropy, Sgd::new(0.1)?).batch(32).seed(1).build()?;
/// # let path = std::env::temp_dir().join("travertine-checkpoint-example.safetensors");
/// let snapshot = trainer.snapshot(&mut samples)?;
/// model_file::save_checkpoint(&path, &snapshot, "seed 1")?;
/// assert_eq!(model_file::load_checkpoint(&path)?, (snapshot, "seed 1".to_owned()));
/// # std::fs::remove_file(path).unwrap();
/// # Ok::<(), travertine::Error>(())
/// ```
///
/// # Errors
/// A folder that is missing, full or not writable.
pub fn save_checkpoint<T: Scalar>(
    path: impl AsRef<Path>,
    snapshot: &Snapshot<T>,
    notes: &str,
) -> Result<()> {
    replace_file(path, &checkpoint_to_bytes(snapshot, notes)?)
}

/// The bytes of the file that [`save_checkpoint`] writes, for a place that is no file.
///
/// ```
/// # use travertine::{Activation, Loss, Network, Samples, Trainer, data, engine, model_file, optimizer::Sgd};
/// # let cpu = engine::open::<f32>("cpu")?;
/// # let digits = data::digits()?;
/// # let mut samples = Samples::new(&cpu, &digits)?;
/// # let mut network = Network::builder(&cpu, 64).dense(10, Activation::Softmax).build()?;
/// # let mut trainer = Trainer::builder(&mut network, Loss::SoftmaxCrossEntropy, Sgd::new(0.1)?).batch(32).seed(1).build()?;
/// let snapshot = trainer.snapshot(&mut samples)?;
/// let bytes = model_file::checkpoint_to_bytes(&snapshot, "seed 1")?;
/// assert_eq!(model_file::load_checkpoint_from_bytes(&bytes)?, (snapshot, "seed 1".to_owned()));
/// # Ok::<(), travertine::Error>(())
/// ```
///
/// # Errors
/// None is known; those of the serialization are passed on.
pub fn checkpoint_to_bytes<T: Scalar>(snapshot: &Snapshot<T>, notes: &str) -> Result<Vec<u8>> {
    let bad = |error: String| Error::argument("save checkpoint", error);
    let tensors: Vec<(&String, Vec<u8>)> =
        snapshot.tensors.iter().map(|(name, values)| (name, to_bytes(values))).collect();
    let mut sum = Crc::new();
    tensors.iter().for_each(|(_, bytes)| sum.update(bytes));
    let json = Json {
        version: VERSION,
        epoch: snapshot.epoch,
        step: snapshot.step,
        first_step: snapshot.first_step,
        position: snapshot.position,
        pace: snapshot.schedule,
        settings: snapshot.settings.clone(),
        sum: sum.sum(),
        notes: notes.to_owned(),
    };
    let json = serde_json::to_string(&json).map_err(|error| bad(error.to_string()))?;
    let mut views = Vec::with_capacity(tensors.len());
    for (name, bytes) in &tensors {
        let shape = vec![bytes.len() / size_of::<T>()];
        views.push((
            name,
            TensorView::new(dtype::<T>(), shape, bytes).map_err(|error| bad(error.to_string()))?,
        ));
    }
    let metadata = HashMap::from([(KEY.to_owned(), json)]);
    safetensors::serialize(views, Some(metadata)).map_err(|error| bad(error.to_string()))
}

/// Reads what [`save_checkpoint`] wrote.
///
/// # Errors
/// A file that is not a checkpoint of this version and precision, or is damaged: the place is named.
pub fn load_checkpoint<T: Scalar>(path: impl AsRef<Path>) -> Result<(Snapshot<T>, String)> {
    let path = path.as_ref();
    // Looks at the lengths before anything is read.
    Source::open(path)?.head()?;
    let bytes = fs::read(path).map_err(|source| Error::io("read", path, source))?;
    parse(&path.display().to_string(), &bytes)
}

/// Reads what [`checkpoint_to_bytes`] returned.
///
/// # Errors
/// As [`load_checkpoint`].
pub fn load_checkpoint_from_bytes<T: Scalar>(bytes: &[u8]) -> Result<(Snapshot<T>, String)> {
    let mut source = Source::of_bytes(bytes);
    source.head()?;
    parse(&source.file(), bytes)
}

/// `file`: its name in messages.
fn parse<T: Scalar>(file: &str, bytes: &[u8]) -> Result<(Snapshot<T>, String)> {
    let bad =
        |place: &str, expected: &str, found: String| Error::format(file, place, expected, found);
    let checkpoint = "a checkpoint that is whole";
    let parsed = |error: safetensors::SafeTensorError| bad("header", checkpoint, error.to_string());
    let (_, metadata) = SafeTensors::read_metadata(bytes).map_err(parsed)?;
    let entry = metadata.metadata().as_ref().and_then(|entries| entries.get(KEY));
    let entry =
        entry.ok_or_else(|| bad("metadata", &format!("an entry '{KEY}'"), "none".to_owned()))?;
    let json: Json =
        serde_json::from_str(entry).map_err(|error| bad(KEY, checkpoint, error.to_string()))?;
    if json.version != VERSION {
        return Err(bad(KEY, &format!("version {VERSION}"), format!("version {}", json.version)));
    }
    let mut views = SafeTensors::deserialize(bytes).map_err(parsed)?.tensors();
    views.sort_by(|a, b| a.0.cmp(&b.0));
    let (mut sum, mut tensors) = (Crc::new(), BTreeMap::new());
    for (name, view) in views {
        if view.dtype() != dtype::<T>() {
            return Err(bad(&format!("tensor {name}"), T::NAME, format!("{:?}", view.dtype())));
        }
        sum.update(view.data());
        tensors.insert(name, from_bytes(view.dtype(), view.data()).unwrap_or_default());
    }
    if sum.sum() != json.sum {
        return Err(bad(
            "tensors",
            "the sum in the header",
            "another one: the file is damaged".to_owned(),
        ));
    }
    let Json { epoch, step, first_step, position, pace: schedule, settings, notes, .. } = json;
    Ok((Snapshot { epoch, step, first_step, position, schedule, settings, tensors }, notes))
}
