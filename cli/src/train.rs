//! `travertine train`

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use serde_json::json;
use travertine::data::{Dataset, Label, Targets};
use travertine::engine::Engine;
use travertine::model_file::{self, ModelInfo};
use travertine::{Activation, Error, ErrorKind, Loss, Network, Report, Result, Samples, Scalar, Trainer};

use crate::args::TrainArgs;
use crate::devices;
use crate::history::{History, Row};
use crate::model::Model;
use crate::names::{self, counted, wrong};
use crate::outfile;
use crate::output::{Output, note, percent, rounded, short};
use crate::progress::{Display, Epoch, figures};
use crate::report::{self, Story};
use crate::target_scale::{TargetScale, in_units};
use crate::training_data::TrainingData;

/// How a training went.
#[derive(Default)]
struct Course {
    /// The last epoch that went well.
    last: Option<Epoch>,
    best_test_accuracy: Option<f64>,
    steps: u64,
    /// Of all: steps and tests.
    seconds: f64,
    /// Of the steps alone.
    seconds_of_steps: f64,
    /// What ended it early.
    failure: Option<Error>,
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
pub(crate) fn run<T: Scalar>(args: &TrainArgs) -> Result<()> {
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

    let mut history = History::new(&args.history, &args.inputs(), Vec::new())?;

    let mut train = args.regularization.of_training_samples(Samples::new(&engine, &data.train)?)?;
    let mut test = data.test.as_ref().map(|test| Samples::new(&engine, test)).transpose()?;
    let batch = args.batch.min(train.count());
    let steps = train.count().div_ceil(batch) as u64;
    let mut trainer = Trainer::new(&mut network, head.learned, optimizer, batch, args.seed)?
        .with_schedule(args.course.schedule(args.epochs as u64, steps))?;
    if let Some(clip) = args.course.clip() {
        trainer = trainer.with_clip(clip)?;
    }
    trainer = args.regularization.of_trainer(trainer)?;
    let mut watch =
        Watch { display: Display::new(args.epochs, train.count(), head.factor, args.plain), history: &mut history };
    let course = fit(args, &mut trainer, &mut train, test.as_mut(), &mut watch, &mut out);
    drop(watch);
    drop(trainer);

    let Some(last) = &course.last else {
        // There is nothing good to save.
        return course.failure.map_or(Ok(()), Err);
    };
    head.scale.as_ref().map_or(Ok(()), |scale| scale.undo(&mut network))?;
    let model = Model { network, info: info(args, &data, &head, batch, last.number) };
    model_file::save(&path, &model.network, &model.info)?;
    let report = match (&args.history.report, &judged) {
        (Some(folder), Some(judged)) => Some(write_report(folder, args, &course, &history, &model, judged)?),
        _ => None,
    };
    if let Some(failure) = course.failure {
        let good = counted(last.number, "epoch", "epochs");
        note(&format!("the model of the {good} that went well is saved as {}", path.display()));
        return Err(failure);
    }
    tell(args, &course, last, &model.network, [Some(&path), report.as_ref()], &mut out)
}

fn write_report<T: Scalar>(
    folder: &Path,
    args: &TrainArgs,
    course: &Course,
    history: &History,
    model: &Model<T>,
    judged: &Dataset<T>,
) -> Result<PathBuf> {
    let story = Story {
        model,
        data: judged,
        held_out: course.last.as_ref().is_some_and(|last| last.test.is_some()),
        pictures: !args.data.is_table(),
        rows: history.rows(),
        title: args.data.short_name(),
        failure: course.failure.as_ref().map(Error::to_string),
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
        builder = builder.dense(size, args.activation);
    }
    builder.dense(data.train.outputs(), output).build()
}

/// The result.
fn tell<T: Scalar>(
    args: &TrainArgs,
    course: &Course,
    last: &Epoch,
    network: &Network<T>,
    [model, report]: [Option<&PathBuf>; 2],
    out: &mut Output,
) -> Result<()> {
    let name = |path: Option<&PathBuf>| path.map(|path| path.display().to_string());
    let device = network.engine().device();
    let json = [
        ("task", json!("train")),
        ("epochs", json!(last.number)),
        ("train_loss", json!(last.train.loss)),
        ("train_accuracy", json!(last.train.accuracy)),
        ("test_loss", json!(last.test.map(|report| report.loss))),
        ("test_accuracy", json!(last.test.and_then(|report| report.accuracy))),
        ("best_test_accuracy", json!(course.best_test_accuracy)),
        ("seconds", rounded(course.seconds, 6)),
        ("steps_per_second", rounded(course.steps as f64 / course.seconds_of_steps, 1)),
        ("parameters", json!(network.parameters())),
        ("device", json!(device.name)),
        ("threads", json!(device.threads)),
        ("seed", json!(args.seed)),
        ("model", json!(name(model))),
        ("report", json!(name(report))),
    ];
    let text = summary(course, last);
    let report = name(report).map_or(String::new(), |report| format!("\nreport {report}"));
    let model = name(model).unwrap_or_default();
    out.tell(&json, &format!("{text}\nsaved {model} ({} parameters){report}", network.parameters()))
}

/// Who follows a training.
struct Watch<'h> {
    display: Display,
    history: &'h mut History,
}

/// Epoch after epoch, until the last or until something fails.
fn fit<T: Scalar>(
    args: &TrainArgs,
    trainer: &mut Trainer<'_, T>,
    train: &mut Samples<'_, T>,
    mut test: Option<&mut Samples<'_, T>>,
    watch: &mut Watch<'_>,
    out: &mut Output,
) -> Course {
    let mut course = Course::default();
    let start = Instant::now();
    for epoch in 0..args.epochs {
        let learning_rate = args.rate() * trainer.rate_factor();
        match one_epoch(epoch, trainer, train, test.as_deref_mut(), &mut watch.display) {
            Ok(done) => {
                course.seconds_of_steps += done.seconds;
                course.steps = trainer.steps();
                let accuracy = done.test.and_then(|report| report.accuracy);
                course.best_test_accuracy = course.best_test_accuracy.into_iter().chain(accuracy).reduce(f64::max);
                let told = watch.display.epoch(&done, out);
                course.failure = told
                    .and_then(|()| keep(&done, (learning_rate, args.history.is_wanted()), trainer, train, watch))
                    .err();
                course.last = Some(done);
            }
            Err(failure) => {
                if !matches!(failure.kind(), ErrorKind::Diverged { .. }) {
                    course.last = None; // the parameters are those of the middle of an epoch
                }
                course.failure = Some(failure);
            }
        }
        if course.failure.is_some() {
            break;
        }
    }
    course.seconds = start.elapsed().as_secs_f64();
    course
}

/// The epoch goes into the history.
fn keep<T: Scalar>(
    epoch: &Epoch,
    (learning_rate, is_wanted): (f64, bool),
    trainer: &mut Trainer<'_, T>,
    train: &Samples<'_, T>,
    watch: &mut Watch<'_>,
) -> Result<()> {
    // Nobody asks for the gradients otherwise: with SGD they are never stored.
    let gradient_norms = if is_wanted { trainer.gradient_norms(train)? } else { Vec::new() };
    watch.history.push(Row {
        epoch: epoch.number as u64,
        step: trainer.steps(),
        train_loss: epoch.train.loss,
        train_accuracy: epoch.train.accuracy,
        test_loss: epoch.test.map(|report| report.loss),
        test_accuracy: epoch.test.and_then(|report| report.accuracy),
        learning_rate,
        seconds: epoch.seconds,
        gradient_norms,
    })
}

fn one_epoch<T: Scalar>(
    epoch: usize,
    trainer: &mut Trainer<'_, T>,
    train: &mut Samples<'_, T>,
    test: Option<&mut Samples<'_, T>>,
    display: &mut Display,
) -> Result<Epoch> {
    let start = Instant::now();
    let report = trainer.epoch_with(train, |progress| display.step(epoch, start, &progress))?;
    let seconds = start.elapsed().as_secs_f64();
    let test = test.map(|test| trainer.evaluate(test)).transpose()?;
    trainer.observe_loss(test.unwrap_or(report).loss);
    let in_units = |report| in_units(report, display.factor());
    Ok(Epoch { number: epoch + 1, train: in_units(report), test: test.map(in_units), seconds })
}

fn summary(course: &Course, last: &Epoch) -> String {
    let rate = course.steps as f64 / course.seconds_of_steps;
    let test = last.test.map_or("nothing held out to test on".to_owned(), |report: Report| {
        let best = course.best_test_accuracy.map_or(String::new(), |best| format!(" (best {})", percent(Some(best))));
        format!("test {}{best}", figures(&report))
    });
    let epochs = counted(last.number, "epoch", "epochs");
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

/// What the model file tells beside the parameters: nothing that differs from run to run.
fn info<T: Scalar>(args: &TrainArgs, data: &TrainingData<T>, head: &Head, batch: usize, epochs: usize) -> ModelInfo {
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
