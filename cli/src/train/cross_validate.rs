//! `travertine train --folds K`

use std::process::ExitCode;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
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
use crate::train::plan::{agree, agree_on_data};
use crate::train::preset;
use crate::train::recipe::Recipe;
use crate::train::session::{End, Monitor, Session};

/// Trains and tests once for each fold, and prints each result, their mean and their deviation.
pub(crate) fn run<T: Scalar>(args: &TrainArgs, folds: usize) -> Result<ExitCode> {
    let mut out = Output::new(args.json);
    let engine = args.device.open::<T>(args.precision)?;
    Recipe::new(args)?;
    let args = &resolved::<T>(args, folds)?;
    let mut recipe = Recipe::new(args)?.of_task();
    loop {
        let (scores, divergence) = match each_fold(args, folds, (&recipe, &engine), &mut out) {
            Ok(done) => done,
            Err(error) => return attempt::explain(error, recipe.rate()),
        };
        // All folds have the same rate: what they test is one recipe.
        let Some(restart) = recipe.lower_rate(divergence) else {
            print_mean(&scores, args.epochs, args.seed, &mut out)?;
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
) -> Result<(Vec<Score>, Option<String>)> {
    let (rank, size) = (args.processes.group.rank(), args.processes.group.size());
    let (mut scores, mut own) = (Vec::with_capacity(folds), FoldEnd::None);
    for (fold, data) in (1..).zip(TrainingData::<T>::folds(&args.data, args.seed, folds)?) {
        // Each process trains one fold of a round.
        let place = (fold - 1) % size;
        if fold == 1 || place == rank {
            let data = data?;
            args.check_effects(!data.classes().is_empty())?;
            recipe.check(!data.classes().is_empty())?;
            let output = OutputLayer::new(&args.layers, &data)?;
            if fold == 1 && !recipe.rate().is_lowered() {
                note(&format!("{}: {}; {folds} folds", args.data.source.name(), data.describe()));
                let network = recipe.network(engine, &data, output.activation)?;
                agree_on_data(args, &data)?;
                agree(args, (recipe, &data, &output), &network)?;
            }
            if place == rank {
                own = train(recipe, engine, data, &output)?;
            }
        }
        if place + 1 < size && fold < folds {
            continue;
        }
        let round = args.processes.exchange(std::mem::take(&mut own))?;
        for (fold, end) in (fold - place..).zip(round) {
            match end {
                FoldEnd::Diverged(reason) => return Ok((scores, Some(reason))),
                FoldEnd::Trained { train, test } => {
                    print_fold(fold, folds, (train, test), out)?;
                    scores.push(test);
                }
                FoldEnd::None => {}
            }
        }
    }
    Ok((scores, None))
}

/// How the training of a fold ended, as the processes tell each other.
#[derive(Default, Serialize, Deserialize)]
enum FoldEnd {
    /// There was none to train, or it had no epoch.
    #[default]
    None,
    Trained {
        train: Score,
        test: Score,
    },
    /// The reason, where the learning rate can be lowered.
    Diverged(String),
}

/// Loss and accuracy; JSON has no infinite loss, so it is kept in bits.
#[derive(Clone, Copy, Serialize, Deserialize)]
struct Score {
    loss: u64,
    accuracy: Option<f64>,
}

impl Score {
    fn of(report: &Report) -> Self {
        Score { loss: report.loss.to_bits(), accuracy: report.accuracy }
    }

    fn loss(self) -> f64 {
        f64::from_bits(self.loss)
    }
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

/// Trains on one fold.
fn train<T: Scalar>(
    recipe: &Recipe,
    engine: &Arc<dyn Engine<T>>,
    mut data: TrainingData<T>,
    output: &OutputLayer,
) -> Result<FoldEnd> {
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
    match (outcome.end, divergence, last.0) {
        (_, Some(reason), _) => Ok(FoldEnd::Diverged(reason)),
        (End::Failure { error, .. }, ..) => Err(error),
        (_, _, Some(Epoch { train, test: Some(test), .. })) => {
            Ok(FoldEnd::Trained { train: Score::of(&train), test: Score::of(&test) })
        }
        _ => Ok(FoldEnd::None),
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
    (train, test): (Score, Score),
    out: &mut Output,
) -> Result<()> {
    let result = FoldResult {
        task: "fold",
        fold,
        folds,
        train_loss: train.loss(),
        train_accuracy: train.accuracy,
        test_loss: test.loss(),
        test_accuracy: test.accuracy,
    };
    let [train, test] = [train, test].map(|score| figures(score.loss(), score.accuracy));
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

fn print_mean(scores: &[Score], epochs: usize, seed: u64, out: &mut Output) -> Result<()> {
    let losses: Vec<f64> = scores.iter().map(|score| score.loss()).collect();
    let accuracies: Vec<f64> = scores.iter().filter_map(|score| score.accuracy).collect();
    let (loss, loss_deviation) = mean_and_deviation(&losses).unwrap_or((f64::NAN, f64::NAN));
    let accuracy = mean_and_deviation(&accuracies);
    let result = CrossValidationResult {
        task: "cross-validate",
        folds: scores.len(),
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
    out.print(&result, &format!("{} folds: {loss}", scores.len()))
}

/// Mean and standard deviation of a sample (divided by n - 1); `None` without values.
fn mean_and_deviation(values: &[f64]) -> Option<(f64, f64)> {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let squares: f64 = values.iter().map(|x| (x - mean).powi(2)).sum();
    (!values.is_empty()).then(|| (mean, (squares / (n - 1.0).max(1.0)).sqrt()))
}
