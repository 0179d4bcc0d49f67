//! `travertine train --folds K`

use std::process::ExitCode;
use std::sync::Arc;

use serde::Serialize;
use travertine::engine::Engine;
use travertine::{Report, Result, Samples, Scalar};

use crate::args::preset::Preset;
use crate::message::{note, wrong};
use crate::output::Output;
use crate::output::history::EpochRecord;
use crate::output::progress::{Epoch, figures};
use crate::output::text::{digits, percent};
use crate::train::args::TrainArgs;
use crate::train::attempt::{self, Watch};
use crate::train::augment::MemoryFeed;
use crate::train::data::TrainingData;
use crate::train::output_layer::OutputLayer;
use crate::train::preset;
use crate::train::recipe::Recipe;
use crate::train::session::{End, Monitor, Session};

/// Trains and tests once for each fold, and prints each result, their mean and their deviation.
pub(crate) fn run<T: Scalar>(args: &TrainArgs, folds: usize) -> Result<ExitCode> {
    let mut out = Output::new(args.json);
    let engine = args.device.open::<T>(args.precision)?;
    Recipe::new(args)?;
    let args = &resolved::<T>(args, folds)?;
    let mut recipe = Recipe::new(args)?;
    loop {
        let (reports, divergence) = match each_fold(args, folds, (&recipe, &engine), &mut out) {
            Ok(done) => done,
            Err(error) => return attempt::explain(error, recipe.rate()),
        };
        // All folds have the same rate: what they test is one recipe.
        let Some(restart) = recipe.lower_rate(divergence) else {
            print_mean(&reports, args.epochs, args.seed, &mut out)?;
            return Ok(ExitCode::SUCCESS);
        };
        restart.print(&mut out)?;
    }
}

/// The arguments with those of their preset, which the samples of the first fold decide.
fn resolved<T: Scalar>(args: &TrainArgs, folds: usize) -> Result<TrainArgs> {
    let (preset, mut args) = (preset::of(args)?, args.clone());
    preset::encode(preset, &mut args);
    if preset == Preset::Plain {
        return Ok(args);
    }
    let first = TrainingData::<T>::folds(&args.data, args.seed, folds)?.next();
    first.map_or(Ok(args.clone()), |data| Ok(preset::resolve(preset, &args, &data?)))
}

/// Trains and tests once for each fold. Returns also how a fold diverged, which ends this, if one did.
fn each_fold<T: Scalar>(
    args: &TrainArgs,
    folds: usize,
    (recipe, engine): (&Recipe, &Arc<dyn Engine<T>>),
    out: &mut Output,
) -> Result<(Vec<Report>, Option<String>)> {
    let mut reports = Vec::with_capacity(folds);
    for (fold, data) in (1..).zip(TrainingData::<T>::folds(&args.data, args.seed, folds)?) {
        let data = data?;
        recipe.check(!data.classes().is_empty())?;
        let output = OutputLayer::new(&args.layers, &data)?;
        if fold == 1 && !recipe.rate().is_lowered() {
            note(&format!("{}: {}; {folds} folds", args.data.source.name(), data.describe()));
        }
        let (last, divergence) = train(recipe, engine, data, &output)?;
        if divergence.is_some() {
            return Ok((reports, divergence));
        }
        let Some(Epoch { train, test: Some(test), .. }) = last else { continue };
        print_fold(fold, folds, &train, &test, out)?;
        reports.push(test);
    }
    Ok((reports, None))
}

/// Keeps the last epoch.
#[derive(Default)]
struct LastEpoch(Option<Epoch>);

impl Monitor for LastEpoch {
    fn epoch(&mut self, epoch: &Epoch, _records: &[EpochRecord]) -> Result<()> {
        self.0 = Some(epoch.clone());
        Ok(())
    }
}

/// Trains on one fold. Returns its last epoch, and how it diverged if the learning rate can be lowered.
fn train<T: Scalar>(
    recipe: &Recipe,
    engine: &Arc<dyn Engine<T>>,
    mut data: TrainingData<T>,
    output: &OutputLayer,
) -> Result<(Option<Epoch>, Option<String>)> {
    output.set_targets(&mut data)?;
    let TrainingData { train, test: Some(test), deformation, .. } = &data else {
        return Err(wrong("--folds", "needs samples to test on"));
    };
    let mut network = recipe.network(engine, &data, output.activation)?;
    let trainer = recipe.trainer(&mut network, output.learned_loss, train.samples())?;
    let mut memory = MemoryFeed::new(recipe, engine, train, deformation.as_ref())?;
    let mut last = LastEpoch::default();
    let untrained = || attempt::untrained_loss(recipe, engine, &data, output);
    let mut watch = Watch::new(&mut last, output.factor, recipe, &untrained);
    let outcome = Session::new(trainer, recipe.epochs(), recipe.rate().value(), &mut watch)
        .test(Some(Samples::new(engine, test)?))
        .factor(output.factor)
        .run(&mut memory)?;
    let (outcome, divergence) = watch.judge(outcome);
    match outcome.end {
        End::Failure { error, .. } if divergence.is_none() => Err(error),
        _ => Ok((last.0, divergence)),
    }
}

/// A line of `train --folds --json`.
#[derive(Serialize)]
struct FoldResult {
    task: &'static str,
    fold: usize,
    folds: usize,
    train_loss: f64,
    train_accuracy: Option<f64>,
    test_loss: f64,
    test_accuracy: Option<f64>,
}

fn print_fold(
    fold: usize,
    folds: usize,
    train: &Report,
    test: &Report,
    out: &mut Output,
) -> Result<()> {
    let result = FoldResult {
        task: "fold",
        fold,
        folds,
        train_loss: train.loss,
        train_accuracy: train.accuracy,
        test_loss: test.loss,
        test_accuracy: test.accuracy,
    };
    let [train, test] = [train, test].map(|report| figures(report.loss, report.accuracy));
    out.print(&result, &format!("fold {fold}/{folds}: {train}; test {test}"))
}

/// The last line of `train --folds --json`.
#[derive(Serialize)]
struct CrossValidationResult {
    task: &'static str,
    folds: usize,
    epochs: usize,
    test_loss: f64,
    test_loss_deviation: f64,
    test_accuracy: Option<f64>,
    test_accuracy_deviation: Option<f64>,
    seed: u64,
}

fn print_mean(reports: &[Report], epochs: usize, seed: u64, out: &mut Output) -> Result<()> {
    let losses: Vec<f64> = reports.iter().map(|report| report.loss).collect();
    let accuracies: Vec<f64> = reports.iter().filter_map(|report| report.accuracy).collect();
    let (loss, loss_deviation) = mean_and_deviation(&losses).unwrap_or((f64::NAN, f64::NAN));
    let accuracy = mean_and_deviation(&accuracies);
    let result = CrossValidationResult {
        task: "cross-validate",
        folds: reports.len(),
        epochs,
        test_loss: loss,
        test_loss_deviation: loss_deviation,
        test_accuracy: accuracy.map(|(mean, _)| mean),
        test_accuracy_deviation: accuracy.map(|(_, deviation)| deviation),
        seed,
    };
    let accuracy = accuracy.map_or(String::new(), |(mean, deviation)| {
        format!(", accuracy {} \u{b1} {}", percent(Some(mean)), percent(Some(deviation)))
    });
    let loss = format!("test loss {} \u{b1} {}{accuracy}", digits(loss), digits(loss_deviation));
    out.print(&result, &format!("{} folds: {loss}", reports.len()))
}

/// Mean and standard deviation of a sample (divided by n - 1); `None` without values.
fn mean_and_deviation(values: &[f64]) -> Option<(f64, f64)> {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let squares: f64 = values.iter().map(|x| (x - mean).powi(2)).sum();
    (!values.is_empty()).then(|| (mean, (squares / (n - 1.0).max(1.0)).sqrt()))
}
