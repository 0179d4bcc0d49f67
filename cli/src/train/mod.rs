//! `travertine train`

use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use serde::Serialize;
use travertine::data::Dataset;
use travertine::{Error, Model, Report, Result, Scalar};

use self::args::TrainArgs;
use self::baseline::answers;
use self::early_stopping::Progress;
use self::held_out::Judgement;
use self::plan::Plan;
use self::rate::Restart;
use self::session::{End, Monitor, Outcome};
use crate::args::preset::Quality;
use crate::message::{self, counted, note, warn};
use crate::output::history::{EpochRecord, History};
use crate::output::progress::{Display, Epoch, figures};
use crate::output::report::{self, Story};
use crate::output::text::{percent, short};
use crate::output::{Output, rounded};

pub(crate) mod args;
mod attempt;
pub(crate) mod augment;
mod baseline;
mod calibrate;
mod checkpoint;
mod cross_validate;
mod data;
mod early_stopping;
mod held_out;
mod members;
mod output_layer;
mod plan;
mod preset;
mod rate;
mod recipe;
mod record;
pub(crate) mod session;
mod stream;
mod time_limit;

/// Trains a network, saves it and prints the result.
pub(crate) fn run<T: Scalar>(args: &TrainArgs) -> Result<ExitCode> {
    let mut args = args.clone();
    // A program that gives a table in memory is no process of a launcher's.
    if args.data.memory.is_none()
        && let Some(status) = args.processes.start(&mut args.device)?
    {
        return Ok(status);
    }
    args.processes.end(run_in_group::<T>(&args), message::with_options)
}

/// The training, in every process of the group.
fn run_in_group<T: Scalar>(args: &TrainArgs) -> Result<ExitCode> {
    if let Some(folds) = args.folds {
        return cross_validate::run::<T>(args, folds);
    }
    if args.quality == Quality::Best {
        return members::run::<T>(args);
    }
    let mut out = Output::new(args.json);
    let mut plan = Plan::<T>::new(args)?;
    let (checkpoints, resumed) = plan.checkpoints()?;
    let display =
        Display::new(plan.recipe.epochs(), plan.samples(), plan.output.factor, args.plain);
    let history = plan.files.history()?.written_if(args.processes.group.is_first());
    plan.agree(args)?;
    let mut monitor = TrainMonitor { display, history, out: &mut out };
    let outcome = plan.run(checkpoints, resumed, &mut monitor)?;
    drop(monitor);
    let rate = plan.recipe.rate();
    finish(plan, outcome, args, &mut out).or_else(|error| attempt::explain(error, rate))
}

/// The bar, the lines of epochs, and the files that record them.
struct TrainMonitor<'a> {
    display: Display,
    history: History,
    out: &'a mut Output,
}

impl Monitor for TrainMonitor<'_> {
    fn is_due(&self) -> bool {
        self.display.is_due()
    }

    fn show(&mut self, epoch: usize, start: Instant, report: &Report) {
        self.display.show(epoch, start, report);
    }

    fn needs_gradient_norms(&self) -> bool {
        self.history.needs_gradient_norms()
    }

    fn epoch(&mut self, epoch: &Epoch, records: &[EpochRecord]) -> Result<()> {
        self.display.epoch(epoch, self.out)?;
        self.history.write(records)
    }

    fn begin_anew(&mut self, restart: &Restart) -> Result<()> {
        self.display.begin_anew(|| restart.print(self.out))?;
        self.history.begin_anew()
    }
}

/// Saves the model and its report, and prints the result.
fn finish<T: Scalar>(
    plan: Plan<T>,
    outcome: Outcome,
    args: &TrainArgs,
    out: &mut Output,
) -> Result<ExitCode> {
    let Outcome { end, progress, records, steps } = outcome;
    let failure = match end {
        End::Signal(signal) => return Ok(ExitCode::from(128 + signal as u8)),
        // There is no model worth saving.
        End::Failure { error, savable: false } => return Err(error),
        End::Failure { error, .. } => Some(error),
        End::Done => None,
    };
    let Some(last) = &progress.last else { return failure.map_or(Ok(ExitCode::SUCCESS), Err) };
    if !args.processes.group.is_first() {
        return failure.map_or(Ok(ExitCode::SUCCESS), Err);
    }
    let (path, folder) = (plan.files.model.clone(), plan.files.report().map(Path::to_owned));
    let is_chosen = plan.chooses_epoch().then_some(records.len());
    let (model, judge) = plan.into_model(last.epoch)?;
    if path.exists() {
        note(&format!("the model replaces {}", path.display()));
    }
    model.save(&path)?;
    let saved = |_: &Error| note(&format!("the model is saved as {}", path.display()));
    let title = args.data.source.short_name();
    let write = |(folder, judged): (&_, &_)| {
        let written = write_report(folder, title, &model, judged, &records, failure.as_ref());
        written.inspect_err(saved)
    };
    let report = folder.as_deref().zip(judge.reported.as_ref()).map(write).transpose()?;
    if let Some(failure) = failure {
        let good = counted(last.epoch as usize, "epoch", "epochs");
        note(&format!("the model of the {good} that went well is saved as {}", path.display()));
        return Err(failure);
    }
    let files = Saved { model: &path, report: report.as_deref() };
    let judgement = judge.judge(&model).inspect_err(saved)?;
    let told = (judgement.as_ref(), is_chosen);
    print_result(&model, (&progress, last, steps), told, args.seed, &files, out)?;
    judgement.iter().flat_map(Judgement::warnings).for_each(|warning| warn(&warning));
    Ok(ExitCode::SUCCESS)
}

fn write_report<T: Scalar>(
    folder: &Path,
    title: String,
    model: &Model<T>,
    judged: &Dataset<T>,
    records: &[EpochRecord],
    failure: Option<&Error>,
) -> Result<std::path::PathBuf> {
    let held_out = records.last().is_some_and(|record| record.test_loss.is_some());
    let failure = failure.map(Error::to_string);
    let predicted = &answers(&model.predict_standardized(judged)?);
    let (data, parts, records) = (judged, None, &[records.to_vec()]);
    report::write(
        folder,
        &Story { model, data, predicted, held_out, parts, records, title, failure },
    )
}

/// The files that a training has written.
struct Saved<'a> {
    model: &'a Path,
    report: Option<&'a Path>,
}

/// The last line of `train --json`.
#[derive(Serialize)]
struct TrainResult<'a> {
    task: &'static str,
    members: usize,
    epochs: u64,
    train_loss: f64,
    train_accuracy: Option<f64>,
    test_loss: Option<f64>,
    test_accuracy: Option<f64>,
    best_test_accuracy: Option<f64>,
    held_out: Option<&'a Judgement>,
    seconds: f64,
    steps_per_second: f64,
    parameters: usize,
    device: &'a str,
    threads: Option<usize>,
    seed: u64,
    model: String,
    report: Option<String>,
}

fn print_result<T: Scalar>(
    model: &Model<T>,
    (progress, last, steps): (&Progress, &EpochRecord, u64),
    (judgement, chosen_of): (Option<&Judgement>, Option<usize>),
    seed: u64,
    files: &Saved<'_>,
    out: &mut Output,
) -> Result<()> {
    let device = model.network().engine().device();
    let result = TrainResult {
        task: "train",
        members: 1,
        epochs: last.epoch,
        train_loss: last.train_loss,
        train_accuracy: last.train_accuracy,
        test_loss: last.test_loss,
        test_accuracy: last.test_accuracy,
        best_test_accuracy: progress.best_test_accuracy,
        held_out: judgement,
        seconds: rounded(progress.seconds, 6),
        steps_per_second: rounded(steps as f64 / progress.seconds_of_steps, 1),
        parameters: model.parameters(),
        device: &device.name,
        threads: device.threads,
        seed,
        model: files.model.display().to_string(),
        report: files.report.map(|path| path.display().to_string()),
    };
    let report = result.report.as_ref().map_or(String::new(), |path| format!("\nreport {path}"));
    let saved = format!("saved {} ({} parameters){report}", result.model, result.parameters);
    let judged = judgement.map_or(String::new(), |one| format!("\n{}", one.describe()));
    let summary = summary(progress, (last, chosen_of), steps);
    out.print(&result, &format!("{summary}{judged}\n{saved}"))
}

/// `chosen_of`: the epochs that the last one was chosen from, if it was, by the samples held out.
fn summary(
    progress: &Progress,
    (last, chosen_of): (&EpochRecord, Option<usize>),
    steps: u64,
) -> String {
    let rate = steps as f64 / progress.seconds_of_steps;
    let test = last.test_loss.map_or("nothing held out to test on".to_owned(), |loss| {
        let best = progress
            .best_test_accuracy
            .map_or(String::new(), |best| format!(" (best {})", percent(Some(best))));
        format!("test {}{best}", figures(loss, last.test_accuracy))
    });
    let trained = chosen_of.unwrap_or(last.epoch as usize);
    let epochs = counted(trained, "epoch", "epochs");
    let chosen = chosen_of.map_or(String::new(), |_| {
        format!(
            "epoch {}, chosen by the test samples, which it may suit a little too well: ",
            last.epoch
        )
    });
    format!("{epochs} in {:.2} s, {} steps/s; {chosen}{test}", progress.seconds, short(rate))
}
