//! `travertine train`

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use serde::{Deserialize, Serialize};
use serde_json::json;
use travertine::data::{Dataset, Label, Targets};
use travertine::engine::Engine;
use travertine::layer::Kind;
use travertine::model_file::{self, ModelInfo};
use travertine::{Activation, Error, ErrorKind, Loss, Network, Result, Samples, Scalar, Trainer};

use crate::args::TrainArgs;
use crate::checkpoint::{Keeper, fingerprint};
use crate::devices;
use crate::history::{History, Row};
use crate::model::Model;
use crate::names::{self, Norm, counted, wrong};
use crate::outfile;
use crate::output::{Output, note, percent, rounded, short};
use crate::progress::{Display, Epoch, figures};
use crate::report::{self, Story};
use crate::target_scale::{TargetScale, in_units};
use crate::training_data::TrainingData;

/// How a training went.
#[derive(Clone, Default, Serialize, Deserialize)]
pub(crate) struct Course {
    /// The last epoch that went well.
    last: Option<Row>,
    /// With early stopping the epoch of the lowest loss on the samples held out.
    best: Option<Row>,
    best_test_accuracy: Option<f64>,
    /// Of all: steps and tests.
    seconds: f64,
    /// Of the steps alone.
    seconds_of_steps: f64,
    /// Of the steps of an epoch that is not at its end.
    seconds_of_part: f64,
    /// Of an epoch's first step.
    learning_rate: f64,
}

impl Course {
    /// Whether so many epochs in a row have brought nothing better.
    fn has_stopped_getting_better(&self, patience: Option<usize>) -> bool {
        let (Some(last), Some(best), Some(patience)) = (&self.last, &self.best, patience) else { return false };
        last.epoch - best.epoch.min(last.epoch) >= patience as u64
    }
}

/// Why a training came to its end.
enum End {
    Done,
    Signal(usize),
    /// What went wrong; `between` whole epochs, so that the parameters are worth something.
    Failure {
        error: Error,
        between: bool,
    },
}

/// Output layer, losses and units of a training.
struct Head {
    output: Activation,
    /// What is told and saved.
    loss: Loss,
    /// What is made small.
    learned: Loss,
    /// The one is so many times the other.
    factor: f64,
    scale: Option<TargetScale>,
}

/// Trains, saves, tells.
pub(crate) fn run<T: Scalar>(args: &TrainArgs) -> Result<ExitCode> {
    let mut out = Output::new(args.json);
    let optimizer = args.optimizer.build(args.rate())?;
    let mut data = TrainingData::<T>::load(args)?;
    args.regularization.check(args.hidden.0.len(), !data.classes().is_empty())?;
    let head = head(args, &data)?;
    note(&format!("{}: {}; output {}, loss {}", args.data.name(), data.describe(), head.output, head.loss));
    // The report is in the unit of the data.
    let judged = args.history.report.is_some().then(|| data.test.as_ref().unwrap_or(&data.train).clone());
    if let Some(scale) = &head.scale {
        data.train = scale.apply(&data.train)?;
        data.test = data.test.map(|test| scale.apply(&test)).transpose()?;
    }
    let engine = devices::open::<T>(&args.device)?;
    let mut network = network(args, &engine, &data, head.output)?;
    let path = args.out.clone().unwrap_or_else(|| PathBuf::from(format!("{}.safetensors", args.data.stem())));
    outfile::check_is_not("--out", &path, &args.inputs())?;
    outfile::check("--out", &path, network.parameters() * size_of::<T>())?;

    if args.checkpoint.early_stopping.is_some() && data.test.is_none() {
        return Err(wrong("--early-stopping", "needs samples to test on; see --held-out and --test"));
    }
    let keeper = Keeper::new(&args.checkpoint, facts(args, &data, &head, &network)?)?;
    let resumed = args.checkpoint.resume.as_deref().map(|folder| keeper.resume::<T>(folder)).transpose()?;
    let rows = resumed.as_ref().map_or(Vec::new(), |resumed| resumed.rows.clone());
    let mut history = History::new(&args.history, &args.inputs(), rows)?;

    let mut train = args.regularization.of_training_samples(Samples::new(&engine, &data.train)?, &data.train)?;
    let mut test = data.test.as_ref().map(|test| Samples::new(&engine, test)).transpose()?;
    let batch = args.batch.min(train.count());
    let steps = train.count().div_ceil(batch) as u64;
    let mut trainer = Trainer::new(&mut network, head.learned, optimizer, batch, args.seed)?
        .with_schedule(args.course.schedule(args.epochs as u64, steps))?;
    if let Some(clip) = args.course.clip() {
        trainer = trainer.with_clip(clip)?;
    }
    trainer = args.regularization.of_trainer(trainer)?;
    let mut fit = Fit {
        args,
        keeper: &keeper,
        display: Display::new(args.epochs, train.count(), head.factor, args.plain),
        history: &mut history,
        course: Course::default(),
        best: None,
    };
    if let Some(resumed) = resumed {
        trainer.restore(&resumed.snapshot, &mut train)?;
        fit.best = resumed.best();
        fit.course = resumed.course;
    }
    let end = fit.run(&mut trainer, &mut train, test.as_mut(), &mut out);
    let (mut course, best) = (fit.course, fit.best);
    drop(fit.display);
    let steps = trainer.steps();
    if let Some(best) = &best {
        trainer.set_parameters(best)?;
        course.last.clone_from(&course.best);
    }
    drop(trainer);

    let failure = match end {
        End::Signal(signal) => return Ok(ExitCode::from(128 + signal as u8)),
        // There is nothing good to save.
        End::Failure { error, between: false } => return Err(error),
        End::Failure { error, .. } => Some(error),
        End::Done => None,
    };
    let Some(last) = &course.last else { return failure.map_or(Ok(ExitCode::SUCCESS), Err) };
    head.scale.as_ref().map_or(Ok(()), |scale| scale.undo(&mut network))?;
    let model = Model { network, info: info(args, &data, &head, batch, last.epoch) };
    model_file::save(&path, &model.network, &model.info)?;
    let report = match (&args.history.report, &judged) {
        (Some(folder), Some(judged)) => Some(write_report(folder, args, failure.as_ref(), &history, &model, judged)?),
        _ => None,
    };
    if let Some(failure) = failure {
        let good = counted(last.epoch as usize, "epoch", "epochs");
        note(&format!("the model of the {good} that went well is saved as {}", path.display()));
        return Err(failure);
    }
    tell(args, (&course, steps), last, &model.network, [Some(&path), report.as_ref()], &mut out)?;
    Ok(ExitCode::SUCCESS)
}

fn write_report<T: Scalar>(
    folder: &Path,
    args: &TrainArgs,
    failure: Option<&Error>,
    history: &History,
    model: &Model<T>,
    judged: &Dataset<T>,
) -> Result<PathBuf> {
    let story = Story {
        model,
        data: judged,
        held_out: history.rows().last().is_some_and(|row| row.test_loss.is_some()),
        pictures: !args.data.is_table(),
        rows: history.rows(),
        title: args.data.short_name(),
        failure: failure.map(Error::to_string),
    };
    report::write(folder, &story)
}

fn network<T: Scalar>(
    args: &TrainArgs,
    engine: &Arc<dyn Engine<T>>,
    data: &TrainingData<T>,
    output: Activation,
) -> Result<Network<T>> {
    let mut builder = Network::builder(engine, data.train.inputs()).init(args.init).seed(args.seed);
    for &size in &args.hidden.0 {
        builder = match args.regularization.normalization {
            Norm::None => builder.dense(size, args.activation),
            Norm::Batch => builder.dense(size, Activation::Identity).batch_norm(args.activation),
            Norm::Layer => builder.dense(size, Activation::Identity).layer_norm(args.activation),
        };
    }
    builder.dense(data.train.outputs(), output).build()
}

/// The result.
fn tell<T: Scalar>(
    args: &TrainArgs,
    (course, steps): (&Course, u64),
    last: &Row,
    network: &Network<T>,
    [model, report]: [Option<&PathBuf>; 2],
    out: &mut Output,
) -> Result<()> {
    let name = |path: Option<&PathBuf>| path.map(|path| path.display().to_string());
    let device = network.engine().device();
    let json = [
        ("task", json!("train")),
        ("epochs", json!(last.epoch)),
        ("train_loss", json!(last.train_loss)),
        ("train_accuracy", json!(last.train_accuracy)),
        ("test_loss", json!(last.test_loss)),
        ("test_accuracy", json!(last.test_accuracy)),
        ("best_test_accuracy", json!(course.best_test_accuracy)),
        ("seconds", rounded(course.seconds, 6)),
        ("steps_per_second", rounded(steps as f64 / course.seconds_of_steps, 1)),
        ("parameters", json!(network.parameters())),
        ("device", json!(device.name)),
        ("threads", json!(device.threads)),
        ("seed", json!(args.seed)),
        ("model", json!(name(model))),
        ("report", json!(name(report))),
    ];
    let text = summary((course, steps), last);
    let report = name(report).map_or(String::new(), |report| format!("\nreport {report}"));
    let model = name(model).unwrap_or_default();
    out.tell(&json, &format!("{text}\nsaved {model} ({} parameters){report}", network.parameters()))
}

/// A training under way.
struct Fit<'a, T> {
    args: &'a TrainArgs,
    keeper: &'a Keeper,
    display: Display,
    history: &'a mut History,
    course: Course,
    /// The parameters of the best epoch, where early stopping asks for them.
    best: Option<Vec<Vec<T>>>,
}

impl<T: Scalar> Fit<'_, T> {
    /// Epoch after epoch, until the last, until nothing gets better, until a signal comes, or until something fails.
    fn run(
        &mut self,
        trainer: &mut Trainer<'_, T>,
        train: &mut Samples<'_, T>,
        mut test: Option<&mut Samples<'_, T>>,
        out: &mut Output,
    ) -> End {
        let (start, before) = (Instant::now(), self.course.seconds);
        let patience = self.args.checkpoint.early_stopping;
        let end = loop {
            if trainer.epochs() >= self.args.epochs as u64 || self.course.has_stopped_getting_better(patience) {
                break End::Done;
            }
            let epoch = self.epoch(trainer, train, test.as_deref_mut());
            self.course.seconds = before + start.elapsed().as_secs_f64();
            match epoch {
                Ok(Some(epoch)) => match self.keep(&epoch, trainer, train, out) {
                    Ok(()) => {}
                    Err(error) => break End::Failure { error, between: true },
                },
                Ok(None) => break self.stop(trainer, train),
                Err(error) => {
                    // The parameters are those from before the epoch, or those of its middle.
                    let between = self.course.last.is_some() && matches!(error.kind(), ErrorKind::Diverged { .. });
                    break End::Failure { error, between };
                }
            }
        };
        // A training may be asked to go on for longer.
        match end {
            End::Done if !self.keeper.is_due_after_epochs() => match self.checkpoint(trainer, train) {
                Ok(_) => End::Done,
                Err(error) => End::Failure { error, between: true },
            },
            end => end,
        }
    }

    /// The rest of an epoch and the test behind it; `None` if a signal has come.
    fn epoch(
        &mut self,
        trainer: &mut Trainer<'_, T>,
        train: &mut Samples<'_, T>,
        test: Option<&mut Samples<'_, T>>,
    ) -> Result<Option<Epoch>> {
        let number = trainer.epochs() as usize;
        if trainer.position() == 0 {
            (self.course.learning_rate, self.course.seconds_of_part) = (self.args.rate() * trainer.rate_factor(), 0.0);
        }
        let report = loop {
            let (start, mut steps) = (Instant::now(), trainer.steps());
            let (display, keeper) = (&mut self.display, self.keeper);
            let part = trainer.epoch_until(train, |progress| {
                steps += 1;
                display.step(number, start, &progress)?;
                let stops = keeper.signal().is_some() || keeper.is_due(steps);
                Ok(if stops { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
            })?;
            self.course.seconds_of_part += start.elapsed().as_secs_f64();
            match part {
                Some(report) => break report,
                None if self.keeper.signal().is_some() => return Ok(None),
                None => self.checkpoint(trainer, train)?,
            };
        };
        let test = test.map(|test| trainer.evaluate(test)).transpose()?;
        trainer.observe_loss(test.unwrap_or(report).loss);
        let in_units = |report| in_units(report, self.display.factor());
        let seconds = self.course.seconds_of_part;
        Ok(Some(Epoch { number: number + 1, train: in_units(report), test: test.map(in_units), seconds }))
    }

    /// The epoch is told, and goes into the history, the course and a checkpoint.
    fn keep(
        &mut self,
        epoch: &Epoch,
        trainer: &mut Trainer<'_, T>,
        train: &mut Samples<'_, T>,
        out: &mut Output,
    ) -> Result<()> {
        // Nobody asks for the gradients otherwise: with SGD they are never stored.
        let wanted = self.args.history.is_wanted();
        let gradient_norms = if wanted { trainer.gradient_norms(train)? } else { Vec::new() };
        let row = Row {
            epoch: epoch.number as u64,
            step: trainer.steps(),
            train_loss: epoch.train.loss,
            train_accuracy: epoch.train.accuracy,
            test_loss: epoch.test.map(|report| report.loss).filter(|loss| loss.is_finite()),
            test_accuracy: epoch.test.and_then(|report| report.accuracy),
            learning_rate: self.course.learning_rate,
            seconds: epoch.seconds,
            gradient_norms,
        };
        let course = &mut self.course;
        course.seconds_of_steps += epoch.seconds;
        course.best_test_accuracy = course.best_test_accuracy.into_iter().chain(row.test_accuracy).reduce(f64::max);
        let loss = |row: &Row| row.test_loss.unwrap_or(f64::INFINITY);
        if self.args.checkpoint.early_stopping.is_some()
            && course.best.as_ref().is_none_or(|best| loss(&row) < loss(best))
        {
            course.best = Some(row.clone());
            self.best = Some(trainer.parameters()?);
        }
        course.last = Some(row.clone());
        self.display.epoch(epoch, out)?;
        self.history.push(row)?;
        if self.keeper.is_due_after_epochs() {
            self.checkpoint(trainer, train)?;
        }
        Ok(())
    }

    fn checkpoint(&mut self, trainer: &mut Trainer<'_, T>, train: &mut Samples<'_, T>) -> Result<Option<PathBuf>> {
        self.keeper.write(trainer, train, self.history.rows(), &self.course, self.best.as_deref())
    }

    /// Ends as a signal asks for.
    fn stop(&mut self, trainer: &mut Trainer<'_, T>, train: &mut Samples<'_, T>) -> End {
        let signal = self.keeper.signal().unwrap_or_default();
        let step = trainer.steps();
        match self.checkpoint(trainer, train) {
            Ok(Some(path)) => {
                note(&format!("stopped by signal {signal} after step {step}; {} is saved", path.display()))
            }
            Ok(None) => {
                note(&format!("stopped by signal {signal} after step {step}; nothing is saved (see --checkpoint)"))
            }
            Err(error) => return End::Failure { error, between: false },
        }
        End::Signal(signal)
    }
}

fn summary((course, steps): (&Course, u64), last: &Row) -> String {
    let rate = steps as f64 / course.seconds_of_steps;
    let test = last.test_loss.map_or("nothing held out to test on".to_owned(), |loss| {
        let best = course.best_test_accuracy.map_or(String::new(), |best| format!(" (best {})", percent(Some(best))));
        format!("test {}{best}", figures(loss, last.test_accuracy))
    });
    let epochs = counted(last.epoch as usize, "epoch", "epochs");
    format!("{epochs} in {:.2} s, {} steps/s; {test}", course.seconds, short(rate))
}

/// The output layer and its loss, which must suit what is learned.
fn head<T: Scalar>(args: &TrainArgs, data: &TrainingData<T>) -> Result<Head> {
    let classes = !data.classes().is_empty();
    let output = args.output.unwrap_or(if classes { Activation::Softmax } else { Activation::Identity });
    let usual = if output == Activation::Identity { "quadratic" } else { "cross-entropy" };
    let loss = names::loss(args.loss.as_deref().unwrap_or(usual), output)?;
    if let Targets::Values { values, .. } = data.train.targets() {
        suits_values(values, output, loss)?;
    }
    let scales = output == Activation::Identity && data.standardization.is_some();
    let scale = scales.then(|| TargetScale::fit(&data.train)).flatten();
    let (learned, factor) = scale.as_ref().map_or((loss, 1.0), |scale| (scale.loss(loss), scale.factor(loss)));
    Ok(Head { output, loss, learned, factor, scale })
}

fn suits_values<T: Scalar>(values: &[T], output: Activation, loss: Loss) -> Result<()> {
    if output == Activation::Softmax || loss == Loss::SoftmaxCrossEntropy {
        let reason = "softmax and its cross-entropy are for classes, but the label is values; add --task classes";
        return Err(wrong(if output == Activation::Softmax { "--output" } else { "--loss" }, reason));
    }
    let is_share = |x: &&T| (0.0..=1.0).contains(&x.to_f64());
    match values.iter().find(|x| !is_share(x)) {
        Some(x) if loss == Loss::BinaryCrossEntropy => {
            Err(wrong("--loss", format!("cross-entropy needs values from 0 to 1, the label has {x}")))
        }
        _ => Ok(()),
    }
}

/// Everything that decides the bytes of a model, so that a checkpoint of another training is refused.
fn facts<T: Scalar>(
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
        ("precision", T::NAME.to_owned()),
        ("device", network.engine().device().name.clone()),
        ("early stopping", args.checkpoint.early_stopping.map_or("off".to_owned(), |patience| patience.to_string())),
        ("training samples", samples(&data.train)?),
        ("test samples", data.test.as_ref().map_or(Ok("none".to_owned()), samples)?),
    ];
    facts.extend(args.optimizer.facts(args.rate()).into_iter().chain(args.course.facts()));
    facts.extend(args.regularization.facts());
    // In steps: some schedules are as long as the training.
    let steps = data.train.samples().div_ceil(args.batch.min(data.train.samples())) as u64;
    facts.push(("schedule in steps", format!("{:?}", args.course.schedule(args.epochs as u64, steps))));
    Ok(facts.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
}

/// What the model file tells beside the parameters: nothing that differs from run to run.
fn info<T: Scalar>(args: &TrainArgs, data: &TrainingData<T>, head: &Head, batch: usize, epochs: u64) -> ModelInfo {
    let mut training = vec![
        ("data", args.data.short_name()),
        ("samples", data.train.samples().to_string()),
        ("output", head.output.to_string()),
    ];
    training.extend(
        args.optimizer.facts(args.rate()).into_iter().chain(args.course.facts()).chain(args.regularization.facts()),
    );
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
    info.standardization = data.standardization.clone();
    info.training = training.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
    info
}
