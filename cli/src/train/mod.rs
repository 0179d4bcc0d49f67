//! `travertine train`

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use serde_json::json;
use travertine::data::Dataset;
use travertine::model_file;
use travertine::{Error, Network, Result, Samples, Scalar};

use crate::args::TrainArgs;
use crate::checkpoint::Keeper;
use crate::devices;
use crate::facts::{facts, info};
use crate::fit::{Course, End, Fit};
use crate::folds;
use crate::head;
use crate::history::{History, Row};
use crate::model::Model;
use crate::names::{counted, wrong};
use crate::outfile;
use crate::output::{Output, note, percent, rounded, short};
use crate::progress::{Display, figures};
use crate::report::{self, Story};
use crate::streaming;
use crate::training_data::TrainingData;

/// Trains, saves, tells.
pub(crate) fn run<T: Scalar>(args: &TrainArgs) -> Result<ExitCode> {
    if let Some(k) = args.folds {
        return folds::run::<T>(args, k);
    }
    if let Some(mebibytes) = args.stream {
        return streaming::run::<T>(args, mebibytes);
    }
    let mut out = Output::new(args.json);
    args.optimizer.build::<T>(args.rate())?;
    let mut data = TrainingData::<T>::load(args)?;
    args.regularization.check(args.hidden.0.len(), !data.classes().is_empty())?;
    let head = head::head(args, &data)?;
    note(&format!(
        "{}: {}; output {}, loss {}",
        args.data.name(),
        data.describe(),
        head.output,
        head.loss
    ));
    // The report is in the unit of the data.
    let judged =
        args.history.report.is_some().then(|| data.test.as_ref().unwrap_or(&data.train).clone());
    if let Some(scale) = &head.scale {
        data.train = scale.apply(&data.train)?;
        data.test = data.test.map(|test| scale.apply(&test)).transpose()?;
    }
    let engine = devices::open::<T>(&args.device, args.precision)?;
    let mut network = head::network(args, &engine, &data, head.output)?;
    let path = args
        .out
        .clone()
        .unwrap_or_else(|| PathBuf::from(format!("{}.safetensors", args.data.stem())));
    outfile::check_is_not("--out", &path, &args.inputs())?;
    outfile::check("--out", &path, network.parameters() * size_of::<T>())?;

    if args.checkpoint.early_stopping.is_some() && data.test.is_none() {
        return Err(wrong(
            "--early-stopping",
            "needs samples to test on; see --held-out and --test",
        ));
    }
    let keeper = Keeper::new(&args.checkpoint, facts(args, &data, &head, &network)?)?;
    let resumed =
        args.checkpoint.resume.as_deref().map(|folder| keeper.resume::<T>(folder)).transpose()?;
    let rows = resumed.as_ref().map_or(Vec::new(), |resumed| resumed.rows.clone());
    let mut history = History::new(&args.history, &args.inputs(), rows)?;

    let mut train = args
        .regularization
        .of_training_samples(Samples::new(&engine, &data.train)?, &data.train)?;
    let mut test = data.test.as_ref().map(|test| Samples::new(&engine, test)).transpose()?;
    let mut trainer = head::trainer(args, &mut network, head.learned, train.count())?;
    let batch = trainer.batch();
    let samples = data.train.samples();
    let mut fit = Fit {
        args,
        engine: &engine,
        data: &data,
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
    let model = Model { network, info: info(args, &data, &head, (samples, batch, last.epoch)) };
    model_file::save(&path, &model.network, &model.info)?;
    let report = match (&args.history.report, &judged) {
        (Some(folder), Some(judged)) => {
            Some(write_report(folder, args, failure.as_ref(), &history, &model, judged))
        }
        _ => None,
    };
    let saved = |_: &Error| note(&format!("the model is saved as {}", path.display()));
    let report = report.transpose().inspect_err(saved)?;
    if let Some(failure) = failure {
        return Err(saved_before(failure, last, &path));
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
        rows: history.rows(),
        title: args.data.short_name(),
        failure: failure.map(Error::to_string),
    };
    report::write(folder, &story)
}

/// The failure, after telling what was saved in spite of it.
pub(crate) fn saved_before(failure: Error, last: &Row, path: &Path) -> Error {
    let good = counted(last.epoch as usize, "epoch", "epochs");
    note(&format!("the model of the {good} that went well is saved as {}", path.display()));
    failure
}

/// The result.
pub(crate) fn tell<T: Scalar>(
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

fn summary((course, steps): (&Course, u64), last: &Row) -> String {
    let rate = steps as f64 / course.seconds_of_steps;
    let test = last.test_loss.map_or("nothing held out to test on".to_owned(), |loss| {
        let best = course
            .best_test_accuracy
            .map_or(String::new(), |best| format!(" (best {})", percent(Some(best))));
        format!("test {}{best}", figures(loss, last.test_accuracy))
    });
    let epochs = counted(last.epoch as usize, "epoch", "epochs");
    format!("{epochs} in {:.2} s, {} steps/s; {test}", course.seconds, short(rate))
}
