//! `travertine train --folds K`

use std::ops::ControlFlow;
use std::process::ExitCode;

use serde_json::json;
use travertine::{Report, Result, Samples, Scalar};

use crate::args::TrainArgs;
use crate::augment;
use crate::devices;
use crate::head;
use crate::names::wrong;
use crate::output::{Output, note, percent};
use crate::progress::figures;
use crate::target_scale::in_units;
use crate::training_data::TrainingData;

/// Trains and tests as often as there are folds, and tells each result, their mean and their deviation.
pub(crate) fn run<T: Scalar>(args: &TrainArgs, k: usize) -> Result<ExitCode> {
    let mut out = Output::new(args.json);
    let engine = devices::open::<T>(&args.device, args.precision)?;
    let mut reports = Vec::with_capacity(k);
    for (fold, data) in (1..).zip(TrainingData::<T>::folds(args, k)?) {
        let mut data = data?;
        args.regularization.check(args.hidden.0.len(), !data.classes().is_empty())?;
        let head = head::head(args, &data)?;
        if fold == 1 {
            note(&format!("{}: {}; {k} folds", args.data.name(), data.describe()));
        }
        if let Some(scale) = &head.scale {
            data.train = scale.apply(&data.train)?;
            data.test = data.test.map(|test| scale.apply(&test)).transpose()?;
        }
        let Some(test) = &data.test else {
            return Err(wrong("--folds", "needs samples to test on"));
        };
        let mut network = head::network(args, &engine, &data, head.output)?;
        let mut train = args
            .regularization
            .of_training_samples(Samples::new(&engine, &data.train)?, &data.train)?;
        let mut test = Samples::new(&engine, test)?;
        let mut trainer = head::trainer(args, &mut network, head.learned, train.count())?;
        let mut last = None;
        augment::each_epoch(args, &engine, &data, (&mut train, 0), |train| {
            let trained = trainer.epoch(train)?;
            let tested = trainer.evaluate(&mut test)?;
            trainer.observe_loss(tested.loss);
            last = Some([trained, tested].map(|report| in_units(report, head.factor)));
            Ok(ControlFlow::Continue(()))
        })?;
        let Some([trained, tested]) = last else { continue };
        tell_fold(fold, k, &trained, &tested, &mut out)?;
        reports.push(tested);
    }
    tell(args, &reports, &mut out)?;
    Ok(ExitCode::SUCCESS)
}

fn tell_fold(
    fold: usize,
    k: usize,
    trained: &Report,
    tested: &Report,
    out: &mut Output,
) -> Result<()> {
    let json = [
        ("task", json!("fold")),
        ("fold", json!(fold)),
        ("folds", json!(k)),
        ("train_loss", json!(trained.loss)),
        ("train_accuracy", json!(trained.accuracy)),
        ("test_loss", json!(tested.loss)),
        ("test_accuracy", json!(tested.accuracy)),
    ];
    let (trained, tested) =
        (figures(trained.loss, trained.accuracy), figures(tested.loss, tested.accuracy));
    out.tell(&json, &format!("fold {fold}/{k}: {trained}; test {tested}"))
}

fn tell(args: &TrainArgs, reports: &[Report], out: &mut Output) -> Result<()> {
    let losses: Vec<f64> = reports.iter().map(|report| report.loss).collect();
    let accuracies: Vec<f64> = reports.iter().filter_map(|report| report.accuracy).collect();
    let (loss, loss_deviation) = mean_and_deviation(&losses).unwrap_or((f64::NAN, f64::NAN));
    let accuracy = mean_and_deviation(&accuracies);
    let json = [
        ("task", json!("cross-validate")),
        ("folds", json!(reports.len())),
        ("epochs", json!(args.epochs)),
        ("test_loss", json!(loss)),
        ("test_loss_deviation", json!(loss_deviation)),
        ("test_accuracy", json!(accuracy.map(|(mean, _)| mean))),
        ("test_accuracy_deviation", json!(accuracy.map(|(_, deviation)| deviation))),
        ("seed", json!(args.seed)),
    ];
    let accuracy = accuracy.map_or(String::new(), |(mean, deviation)| {
        format!(", accuracy {} \u{b1} {}", percent(Some(mean)), percent(Some(deviation)))
    });
    let text = format!(
        "{} folds: test loss {loss:.4} \u{b1} {loss_deviation:.4}{accuracy}",
        reports.len()
    );
    out.tell(&json, &text)
}

/// Mean and standard deviation of a sample (divided by n - 1); nothing of nothing.
fn mean_and_deviation(values: &[f64]) -> Option<(f64, f64)> {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let squares: f64 = values.iter().map(|x| (x - mean).powi(2)).sum();
    (!values.is_empty()).then(|| (mean, (squares / (n - 1.0).max(1.0)).sqrt()))
}
