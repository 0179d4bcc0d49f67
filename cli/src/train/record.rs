//! What is told of a training to checkpoints and to the model file.

use travertine::data::{Dataset, Label};
use travertine::layer::Kind;
use travertine::model_file::ModelInfo;
use travertine::{Network, Result, Scalar};

use crate::args::TrainArgs;
use crate::augment::Deformation;
use crate::checkpoint::fingerprint;
use crate::head::Head;
use crate::training_data::TrainingData;

/// Everything that decides the bytes of a model, so that a checkpoint of another training is refused.
pub(crate) fn facts<T: Scalar>(
    args: &TrainArgs,
    data: &TrainingData<T>,
    head: &Head,
    network: &Network<T>,
) -> Result<Vec<(String, String)>> {
    let layers = network.layers().iter().map(|layer| match layer.kind() {
        Kind::Dense => format!("{} {}", layer.outputs(), layer.activation()),
        kind => format!("{kind} {}", layer.activation()),
    });
    let layers: Vec<String> = std::iter::once(network.inputs().to_string()).chain(layers).collect();
    let samples = |data: &Dataset<T>| -> Result<String> {
        let all = data.features().iter().copied().chain(data.target_columns()?);
        Ok(format!("{} with fingerprint {}", data.samples(), fingerprint(all)))
    };
    let mut facts = vec![
        ("version", env!("CARGO_PKG_VERSION").to_owned()),
        ("network", layers.join(" - ")),
        ("loss", head.loss.to_string()),
        ("batch", args.batch.to_string()),
        ("init", args.init.to_string()),
        ("seed", args.seed.to_string()),
        ("precision", args.precision.name().to_owned()),
        ("device", network.engine().device().name.clone()),
        (
            "early stopping",
            args.checkpoint
                .early_stopping
                .map_or("off".to_owned(), |patience| patience.to_string()),
        ),
        ("classes", data.classes().join(", ")),
        ("training samples", samples(&data.train)?),
        ("test samples", data.test.as_ref().map_or(Ok("none".to_owned()), samples)?),
    ];
    facts.extend(args.optimizer.facts(args.rate()).into_iter().chain(args.course.facts()));
    facts.extend(
        args.regularization
            .facts()
            .into_iter()
            .chain(data.deformation.as_ref().map(Deformation::fact)),
    );
    // In steps: some schedules are as long as the training.
    let steps = data.train.samples().div_ceil(args.batch.min(data.train.samples())) as u64;
    facts.push((
        "schedule in steps",
        format!("{:?}", args.course.schedule(args.epochs as u64, steps)),
    ));
    Ok(facts.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
}

/// What the model file tells beside the parameters: nothing that differs from run to run.
/// `samples`: to train on.
pub(crate) fn info<T: Scalar>(
    args: &TrainArgs,
    data: &TrainingData<T>,
    head: &Head,
    (samples, batch, epochs): (usize, usize, u64),
) -> ModelInfo {
    let mut training = vec![
        ("data", args.data.short_name()),
        ("samples", samples.to_string()),
        ("output", head.output.to_string()),
    ];
    training.extend(
        args.optimizer
            .facts(args.rate())
            .into_iter()
            .chain(args.course.facts())
            .chain(args.regularization.facts()),
    );
    training.extend(data.deformation.as_ref().map(Deformation::fact));
    training.extend([
        ("batch", batch.to_string()),
        ("epochs", epochs.to_string()),
        ("init", args.init.to_string()),
        ("seed", args.seed.to_string()),
    ]);
    if let Some(Label::Number(number)) = args.table.label {
        training.push(("label", number.to_string())); // so that the same file is read the same way later
    }
    let mut info = ModelInfo::new(head.loss);
    info.classes = data.classes().to_vec();
    info.features = data.train.feature_names().to_vec();
    info.target = data.train.target_name().map(str::to_owned);
    info.encoder = data.encoder.clone();
    info.standardization = data.standardization.clone();
    info.training = training.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
    info
}
