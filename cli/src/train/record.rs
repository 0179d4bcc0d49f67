//! What checkpoints and model files hold about a training.

use travertine::data::{Dataset, TargetScale};
use travertine::layer::LayerKind;
use travertine::model_file::{ModelInfo, PIXELS};
use travertine::{Network, Result, Scalar};

use crate::args::augment::Deformation;
use crate::args::checkpoint::Keep;
use crate::args::source::Source;
use crate::train::data::TrainingData;
use crate::train::output_layer::OutputLayer;
use crate::train::recipe::Recipe;

/// Everything that decides the bytes of a model, so that a checkpoint of another training is refused. `patience`: of early
/// stopping.
pub(crate) fn checkpoint_metadata<T: Scalar>(
    recipe: &Recipe,
    data: &TrainingData<T>,
    output: &OutputLayer,
    network: &Network<T>,
    (patience, keep): (Option<usize>, Keep),
) -> Result<Vec<(String, String)>> {
    let patience = patience.map_or("off".to_owned(), |patience| patience.to_string());
    let test = data.test.as_ref().map_or(Ok("none".to_owned()), describe_samples)?;
    let mut entries = vec![
        ("version", env!("CARGO_PKG_VERSION").to_owned()),
        ("network", describe_network(network)),
        ("loss", output.loss.to_string()),
        ("device", network.engine().device().name.clone()),
        ("early stopping", patience),
        ("classes", data.classes().join(", ")),
        ("training samples", describe_samples(&data.train)?),
        ("test samples", test),
    ];
    if keep != Keep::Last {
        entries.push(("keep", format!("{keep:?}").to_lowercase()));
    }
    if let Some(bounds) = output.scale.as_ref().and_then(TargetScale::bounds) {
        entries.push(("bounds of the values", format!("{bounds:?}")));
    }
    entries.extend(recipe.checkpoint_metadata(data.train.samples()));
    entries.extend(recipe.metadata());
    entries.extend(data.deformation.as_ref().map(Deformation::metadata));
    Ok(entries.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
}

fn describe_network<T: Scalar>(network: &Network<T>) -> String {
    let layers = network.layers().iter().map(|layer| match layer.kind() {
        LayerKind::Dense => format!("{} {}", layer.outputs(), layer.activation()),
        LayerKind::NumberEmbedding | LayerKind::CategoryEmbedding => {
            format!("{} {}", layer.outputs(), layer.kind())
        }
        LayerKind::Members | LayerKind::MemberMean => {
            format!("{} {}", layer.members(), layer.kind())
        }
        LayerKind::MemberDense | LayerKind::MemberHeads => {
            let outputs = layer.outputs() / layer.members();
            format!("{outputs} {} {}", layer.kind(), layer.activation())
        }
        kind => format!("{kind} {}", layer.activation()),
    });
    std::iter::once(network.inputs().to_string()).chain(layers).collect::<Vec<_>>().join(" - ")
}

fn describe_samples<T: Scalar>(data: &Dataset<T>) -> Result<String> {
    Ok(format!("{} with fingerprint {}", data.samples(), fingerprint_of(data)?))
}

/// The fingerprint of features and targets.
pub(crate) fn fingerprint_of<T: Scalar>(data: &Dataset<T>) -> Result<String> {
    Ok(fingerprint(data.features().iter().copied().chain(data.target_columns()?)))
}

/// FNV-1a over the bits of numbers, which distinguishes data sets.
pub(crate) fn fingerprint<T: Scalar>(numbers: impl IntoIterator<Item = T>) -> String {
    let mix = |sum: u64, x: T| (sum ^ x.to_f64().to_bits()).wrapping_mul(0x0000_0100_0000_01b3);
    format!("{:016x}", numbers.into_iter().fold(0xcbf2_9ce4_8422_2325, mix))
}

/// What the model file holds beside the parameters: nothing that differs from run to run. `samples`: to train on.
pub(crate) fn model_info<T: Scalar>(
    recipe: &Recipe,
    source: &Source,
    data: &TrainingData<T>,
    output: &OutputLayer,
    (samples, epochs): (usize, u64),
) -> ModelInfo {
    let mut training = vec![
        ("data", source.short_name()),
        ("samples", samples.to_string()),
        ("output", output.activation.to_string()),
    ];
    training.extend(source.pixels().map(|pixels| (PIXELS, pixels.to_owned())));
    training.extend(recipe.metadata());
    training.extend(data.deformation.as_ref().map(Deformation::metadata));
    training.extend(recipe.model_metadata(samples, epochs));
    let mut info = ModelInfo::new(output.loss);
    info.classes = data.classes().to_vec();
    info.features = data.train.feature_names().to_vec();
    info.target = data.train.target_name().map(str::to_owned);
    info.encoder = data.encoder.clone();
    info.standardization = data.standardization.clone();
    info.schema = data.schema.clone();
    info.target_scale = output.scale.clone();
    info.training = training.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
    info
}
