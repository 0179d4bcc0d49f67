//! The plan of a training: everything that its arguments stand for, resolved and checked before the first step.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use travertine::data::{Dataset, Stream, Targets};
use travertine::engine::Engine;
use travertine::{ErrorKind, Model, Network, Result, Samples, Scalar, model_file};

use crate::args::checkpoint::{CheckpointArgs, Keep};
use crate::args::history::HistoryArgs;
use crate::args::memory::Memory;
use crate::args::source::Source;
use crate::message::{counted, note, warn, wrong};
use crate::output::history::History;
use crate::output::{file, report};
use crate::train::args::{DataArgs, TrainArgs};
use crate::train::attempt::{self, Watch};
use crate::train::augment::MemoryFeed;
use crate::train::baseline::{Constant, answers, linear_answers};
use crate::train::calibrate::{self, calibrate};
use crate::train::checkpoint::{CheckpointWriter, Resumed, Signals};
use crate::train::data::TrainingData;
use crate::train::held_out::{self, Judgement};
use crate::train::output_layer::OutputLayer;
use crate::train::preset;
use crate::train::recipe::Recipe;
use crate::train::record::{checkpoint_metadata, fingerprint, fingerprint_of, model_info};
use crate::train::session::{Monitor, Outcome, Session};
use crate::train::stream::{self, StreamFeed};
use crate::train::time_limit;

/// Samples of a slice below which batch normalization gets a warning.
const FEW: usize = 16;

/// A training before its first step.
pub(crate) struct Plan<T: Scalar> {
    pub(crate) recipe: Recipe,
    pub(crate) engine: Arc<dyn Engine<T>>,
    pub(crate) network: Network<T>,
    pub(crate) output: OutputLayer,
    pub(crate) files: Files,
    pub(crate) data: TrainingData<T>,
    /// Where `data` is only an example of the samples: all of them.
    stream: Option<Stream<T>>,
    /// What a report judges the model on, in the unit of the data.
    judged: Option<Dataset<T>>,
    /// What the model is judged by at the end, if it is.
    unseen: Option<Unseen>,
    calibrates: bool,
    source: Source,
    memory: Option<Memory>,
    checkpoints: CheckpointArgs,
}

/// What a trained model is judged by.
pub(crate) struct Judge<T: Scalar> {
    data: TrainingData<T>,
    output: OutputLayer,
    /// What a report judges the model on, in the unit of the data.
    pub(crate) reported: Option<Dataset<T>>,
    unseen: Option<Unseen>,
    seed: u64,
}

/// The targets of samples to test on, in the unit of the data, and the constant answer to compare with.
struct Unseen {
    targets: Targets,
    constant: Constant,
}

/// The files that a training writes.
pub(crate) struct Files {
    pub(crate) model: PathBuf,
    history: HistoryArgs,
    /// Those that it reads, and must not replace.
    inputs: Vec<PathBuf>,
}

impl<T: Scalar> Plan<T> {
    /// Reads the data, opens the device, and checks that every file can be written.
    pub(crate) fn new(args: &TrainArgs) -> Result<Self> {
        // Options that contradict each other are refused before the data is read.
        Recipe::new(args)?;
        let preset = preset::of(args)?;
        let mut args = args.clone();
        preset::encode(preset, &mut args);
        let open = |mebibytes| stream::open(&args.data, args.seed, mebibytes);
        let group = &args.processes.group;
        let stream = args.stream.map(open).transpose()?.map(|stream| stream.with_processes(group));
        let mut data = match &stream {
            Some(stream) => TrainingData::of_stream(&args.data, stream)?,
            None => TrainingData::load(&args.data, args.seed)?,
        };
        agree_on_data(&args, &data)?;
        let args = preset::resolve(preset, &args, &data);
        let mut recipe = Recipe::new(&args)?;
        args.check_effects(!data.classes().is_empty())?;
        recipe.check(!data.classes().is_empty())?;
        let output = OutputLayer::new(&args.layers, &data)?;
        let description = match (&stream, args.stream) {
            (Some(stream), Some(mebibytes)) => describe_stream(stream, mebibytes),
            _ => data.describe(),
        };
        let (name, loss) = (args.data.source.name(), output.loss);
        note(&format!("{name}: {description}; output {}, loss {loss}", output.activation));
        if args.calibrate {
            let has_members = args.layers.members.is_some();
            let of = (data.classes().len(), has_members);
            calibrate::check(&output, of, data.test.as_ref().map(Dataset::samples))?;
        }
        let judged = args.history.report.is_some().then(|| data.judged().clone());
        let unseen = match &data.test {
            Some(test) if data.encoder.is_some() && stream.is_none() => {
                let targets = test.targets().clone();
                let constant = Constant::of(data.train.targets(), output.loss)?;
                constant.map(|constant| Unseen { targets, constant })
            }
            _ => None,
        };
        output.set_targets(&mut data)?;
        let engine = args.device.open::<T>(args.precision)?;
        let network = recipe.network(&engine, &data, output.activation)?;
        let files = Files::new(&args.data, args.out.as_deref(), &args.history);
        files.check_model(network.parameters() * size_of::<T>())?;
        let checkpoint = &args.checkpoint;
        let needs_test = [
            (checkpoint.early_stopping.is_some(), "--early-stopping"),
            (checkpoint.keep_epoch != Keep::Last, "--keep-epoch"),
        ];
        if let Some((_, option)) = needs_test.iter().find(|option| option.0 && data.test.is_none())
        {
            let reason = "needs samples to test on; see --held-out and --test";
            return Err(wrong(option, reason));
        }
        if let Some(limit) = args.time_limit {
            recipe = time_limit::shorten(recipe, (limit, 1), group, &engine, (&data, &output))?;
        }
        let source = args.data.source.clone();
        let checkpoints = args.checkpoint.clone();
        Ok(Plan {
            recipe,
            engine,
            network,
            output,
            files,
            data,
            stream,
            judged,
            unseen,
            calibrates: args.calibrate,
            source,
            memory: args.data.memory.clone(),
            checkpoints,
        })
    }

    /// Samples to train on.
    pub(crate) fn samples(&self) -> usize {
        self.stream.as_ref().map_or(self.data.train.samples(), Stream::samples)
    }

    /// Whether the model is that of an epoch which the samples held out choose.
    pub(crate) fn chooses_epoch(&self) -> bool {
        self.checkpoints.early_stopping.is_some() || self.checkpoints.keep_epoch != Keep::Last
    }

    /// The writer of checkpoints, and the checkpoint to continue from. A stream has none.
    pub(crate) fn checkpoints(&mut self) -> Result<(CheckpointWriter, Option<Resumed<T>>)> {
        if self.stream.is_some() {
            return Ok((CheckpointWriter::default(), None));
        }
        let kept = (self.checkpoints.early_stopping, self.checkpoints.keep_epoch);
        let (recipe, data, output) = (&self.recipe, &self.data, &self.output);
        let metadata = checkpoint_metadata(recipe, data, output, &self.network, kept)?;
        let (rate, signals) = (self.recipe.rate(), Signals::of(self.memory.as_ref())?);
        let opened = CheckpointWriter::open(&self.checkpoints, metadata, rate, &signals)?;
        opened.1.iter().try_for_each(|resumed| {
            CheckpointWriter::check_length(resumed, self.recipe.epochs())
        })?;
        opened.1.iter().for_each(|resumed| self.recipe.set_rate(resumed.rate));
        let (writer, resumed) = opened;
        Ok((writer.written_if(self.recipe.group().is_first()), resumed))
    }

    /// Refuses to begin where another process has a network or settings that differ. Collective.
    pub(crate) fn agree(&self, args: &TrainArgs) -> Result<()> {
        if let Some(few) = self.recipe.samples_of_moments(self.samples()).filter(|n| *n < FEW) {
            warn(&format!(
                "batch normalization takes mean and variance of each slice, which has {few} of a batch's samples; choose a larger --batch, or fewer --slices"
            ));
        }
        agree(args, (&self.recipe, &self.data, &self.output), &self.network)
    }

    /// Trains the network; begins anew with a smaller learning rate where a default diverges.
    pub(crate) fn run(
        &mut self,
        mut checkpoints: CheckpointWriter,
        mut resumed: Option<Resumed<T>>,
        monitor: &mut dyn Monitor,
    ) -> Result<Outcome> {
        loop {
            let (outcome, divergence) =
                self.attempt(checkpoints.clone(), resumed.take(), monitor)?;
            let Some(restart) = self.recipe.lower_rate(divergence) else { return Ok(outcome) };
            monitor.begin_anew(&restart)?;
            checkpoints.begin_anew(self.recipe.rate())?;
            let activation = self.output.activation;
            self.network = self.recipe.network(&self.engine, &self.data, activation)?;
        }
    }

    /// Trains the network with the learning rate of the recipe. Returns also how it diverged, if it did.
    fn attempt(
        &mut self,
        checkpoints: CheckpointWriter,
        resumed: Option<Resumed<T>>,
        monitor: &mut dyn Monitor,
    ) -> Result<(Outcome, Option<String>)> {
        let samples = self.samples();
        let Plan { recipe, engine, network, output, data, stream, .. } = self;
        let untrained = || attempt::untrained_loss(recipe, engine, data, output);
        let mut watch = Watch::new(monitor, output.factor, recipe, &untrained);
        let test = data.test.as_ref().map(|test| Samples::new(engine, test)).transpose()?;
        let trainer = recipe.trainer(network, output.learned_loss, samples)?;
        let mut session = Session::new(trainer, recipe.epochs(), recipe.rate().value(), &mut watch)
            .test(test)
            .factor(output.factor)
            .patience(self.checkpoints.early_stopping)
            .keep_epoch(self.checkpoints.keep_epoch)
            .checkpoints(checkpoints);
        if let Some(stream) = stream {
            let outcome = session.run_stream(&StreamFeed { stream, engine, recipe, output })?;
            return Ok(watch.judge(outcome));
        }
        let deformation = data.deformation.as_ref();
        let mut memory = MemoryFeed::new(recipe, engine, &data.train, deformation)?;
        resumed.map_or(Ok(()), |resumed| session.resume(resumed, &mut memory))?;
        let outcome = session.run(&mut memory)?;
        Ok(watch.judge(outcome))
    }

    /// The trained model, with outputs in the unit of the data, and what it is judged by; `epochs`: trained.
    pub(crate) fn into_model(self, epochs: u64) -> Result<(Model<T>, Judge<T>)> {
        let samples = (self.samples(), epochs);
        let Plan { recipe, mut network, output, data, judged, unseen, source, calibrates, .. } =
            self;
        let mut info = model_info(&recipe, &source, &data, &output, samples);
        if let Some(test) = data.test.as_ref().filter(|_| calibrates) {
            let (name, value) = calibrate(&mut network, &output, test)?;
            info.training.push((name.to_owned(), value));
        }
        let judge = Judge { data, output, reported: judged, unseen, seed: recipe.seed() };
        Ok((Model::new(network, info)?, judge))
    }
}

impl<T: Scalar> Judge<T> {
    /// How good the model is on the samples to test on, for a table in memory.
    pub(crate) fn judge(&self, model: &Model<T>) -> Result<Option<Judgement>> {
        let (Some(unseen), Some(test)) = (&self.unseen, &self.data.test) else { return Ok(None) };
        let ours = answers(&model.predict_standardized(test)?);
        let linear = linear_answers((&self.data.train, test), &self.output, model)?;
        let how = (self.seed, model.gives_probabilities());
        held_out::judge(&unseen.targets, (&ours, linear.as_deref()), &unseen.constant, how)
    }
}

/// Refuses to begin where another process has read other samples, before anything follows from them. Collective.
pub(crate) fn agree_on_data<T: Scalar>(args: &TrainArgs, data: &TrainingData<T>) -> Result<()> {
    let group = &args.processes.group;
    if group.size() == 1 {
        return Ok(());
    }
    let agree = |facts: &[(&str, String)]| {
        let facts: Vec<_> =
            facts.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
        group.agree("train", &facts).map_err(|error| match error.kind() {
            ErrorKind::Argument { reason, .. } => {
                wrong("DATA", format!("{}: {reason}", args.data.source.name()))
            }
            _ => error,
        })
    };
    let test = data.test.as_ref();
    agree(&[
        ("the number of samples to train on", data.train.samples().to_string()),
        ("the number of samples to test on", test.map_or(0, Dataset::samples).to_string()),
        ("the number of features", data.train.feature_names().len().to_string()),
    ])?;
    let columns = format!("{:?} {:?}", data.schema, data.encoder);
    agree(&[
        (
            "the fingerprint of the columns and their texts",
            fingerprint(columns.bytes().map(f64::from)),
        ),
        ("the fingerprint of the samples to train on", fingerprint_of(&data.train)?),
        (
            "the fingerprint of the samples to test on",
            test.map_or(Ok("none".to_owned()), fingerprint_of)?,
        ),
    ])
}

/// Refuses to begin where another process has a network or settings that differ all the same. Collective.
pub(crate) fn agree<T: Scalar>(
    args: &TrainArgs,
    (recipe, data, output): (&Recipe, &TrainingData<T>, &OutputLayer),
    network: &Network<T>,
) -> Result<()> {
    if args.processes.group.size() == 1 {
        return Ok(());
    }
    let kept = (args.checkpoint.early_stopping, args.checkpoint.keep_epoch);
    let mut facts = checkpoint_metadata(recipe, data, output, network, kept)?;
    facts.iter_mut().for_each(|(name, _)| *name = name.replace('_', " "));
    let mut parameters = Vec::new();
    for layer in network.layers() {
        for matrix in [layer.weights(), layer.bias()].into_iter().chain(layer.statistics()) {
            parameters.extend(matrix.to_vec()?);
        }
    }
    // Each process may have its own of a machine's devices of one kind.
    for (_, device) in facts.iter_mut().filter(|(name, _)| name == "device") {
        device.truncate(device.find(':').unwrap_or(device.len()));
    }
    facts.extend([
        ("epochs".to_owned(), recipe.epochs().to_string()),
        (
            "every".to_owned(),
            args.checkpoint.every.map_or("an epoch".to_owned(), |every| every.to_string()),
        ),
        ("fingerprint of the initial weights (--init)".to_owned(), fingerprint(parameters)),
    ]);
    args.processes.group.agree("train", &facts)
}

fn describe_stream<T: Scalar>(stream: &Stream<T>, mebibytes: usize) -> String {
    let samples = counted(stream.samples(), "sample to train on", "samples to train on");
    format!("{samples}, {mebibytes} MiB at a time, {} held out", stream.held_out_samples())
}

impl Files {
    pub(crate) fn new(data: &DataArgs, model: Option<&Path>, history: &HistoryArgs) -> Self {
        let default = || PathBuf::from(format!("{}.safetensors", data.source.stem()));
        Files {
            model: model.map_or_else(default, Path::to_owned),
            history: history.clone(),
            inputs: data.files().into_iter().map(Path::to_owned).collect(),
        }
    }

    /// Refuses paths that a model of `bytes` bytes and its report cannot be saved at.
    pub(crate) fn check_model(&self, bytes: usize) -> Result<()> {
        self.report().map_or(Ok(()), report::check)?;
        file::check_is_not("--out", &self.model, &self.inputs)?;
        file::check("--out", &self.model, bytes)?;
        if !self.model.exists() {
            return Ok(());
        }
        let name = self.model.display();
        // Reading a pipe would wait for its writer.
        if !self.model.is_file() || model_file::describe(&self.model).is_err() {
            let reason =
                format!("{name} exists and is not a model of travertine; it is not replaced");
            return Err(wrong("--out", reason));
        }
        Ok(())
    }

    /// Opens the files that record the training.
    pub(crate) fn history(&self) -> Result<History> {
        History::new(&self.history, &self.inputs)
    }

    /// The same for one of several networks.
    pub(crate) fn history_of(&self, number: usize) -> Result<History> {
        History::new(&self.history.of_network(number), &self.inputs)
    }

    /// The folder of the report.
    pub(crate) fn report(&self) -> Option<&Path> {
        self.history.report.as_deref()
    }
}
