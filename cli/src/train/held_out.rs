//! What the samples held out say about a trained model: its figure with an interval, beside a constant's and a linear model's.

use serde::Serialize;
use travertine::data::Targets;
use travertine::metrics::{self, Interval};
use travertine::{Quantiles, Result};

use crate::output::quantiles::QuantileFigures;
use crate::output::text::{digits, percent};
use crate::output::two_classes::{TwoClasses, share};
use crate::train::baseline::Constant;

/// How good answers are on samples that were held out: an entry of the last line of `train --json`.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Judgement {
    samples: usize,
    /// accuracy, rmse or pinball_loss
    metric: &'static str,
    value: f64,
    /// 95 % interval over bootstrap resamples of the samples.
    interval: [f64; 2],
    constant: f64,
    /// Nothing where the linear model diverges.
    linear: Option<f64>,
    /// Whether the interval of what the model is better by than the constant includes 0.
    may_be_chance: bool,
    /// Whether the interval of what the linear model is better by than the model is above 0.
    linear_is_better: bool,
    /// Of probabilities alone.
    log_loss: Option<f64>,
    roc_auc: Option<f64>,
    #[serde(flatten)]
    two_classes: Option<TwoClasses>,
    #[serde(flatten)]
    quantiles: Option<QuantileFigures>,
    #[serde(skip)]
    measure: Measure,
    #[serde(skip)]
    name: String,
}

/// What an answer is judged by.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Measure {
    Accuracy,
    Rmse,
    /// The mean over quantiles.
    Pinball(Quantiles),
}

impl Measure {
    fn of(targets: &Targets, constant: &Constant) -> Self {
        match (targets, constant) {
            (Targets::Classes { .. }, _) => Measure::Accuracy,
            (_, Constant::Quantiles { levels, .. }) => Measure::Pinball(*levels),
            _ => Measure::Rmse,
        }
    }

    /// As JSON has it, and as people read it.
    fn names(&self) -> (&'static str, &'static str) {
        match self {
            Measure::Accuracy => ("accuracy", "accuracy"),
            Measure::Rmse => ("rmse", "RMSE"),
            Measure::Pinball(_) => ("pinball_loss", "pinball loss"),
        }
    }

    /// For each sample whether the answer is right, as 1 or 0, its squared error, or its mean pinball loss.
    fn of_each(&self, targets: &Targets, answers: &[f64]) -> Result<Vec<f64>> {
        match (targets, self) {
            (Targets::Classes { labels, names }, _) => {
                let predicted = answers.chunks_exact(names.len()).map(metrics::predicted_class);
                let is_right = |(class, label): (u32, &u32)| f64::from(u8::from(class == *label));
                Ok(predicted.zip(labels).map(is_right).collect())
            }
            (Targets::Values { values, .. }, Measure::Pinball(quantiles)) => {
                let levels = quantiles.levels();
                let each = values.iter().zip(answers.chunks_exact(levels.len()));
                each.map(|(t, p)| metrics::mean_pinball_loss(levels, &[*t], p)).collect()
            }
            (Targets::Values { values, .. }, _) => {
                Ok(values.iter().zip(answers).map(|(t, p)| (p - t).powi(2)).collect())
            }
            (Targets::None, _) => Ok(Vec::new()),
        }
    }

    /// The figure from the mean over the samples.
    fn figure(&self, mean: f64) -> f64 {
        if *self == Measure::Rmse { mean.sqrt() } else { mean }
    }

    /// How much better the greater figure is: 1 or -1.
    fn sign(&self) -> f64 {
        if *self == Measure::Accuracy { 1.0 } else { -1.0 }
    }

    fn text(&self, figure: f64) -> String {
        if *self == Measure::Accuracy { percent(Some(figure)) } else { digits(figure) }
    }
}

/// Compares the answers of the model, of the constant and of a linear model, if it has some; nothing for several values, and for
/// answers of the model that are not finite. `targets`: in the unit of the data.
pub(crate) fn judge(
    targets: &Targets,
    (ours, linear): (&[f64], Option<&[f64]>),
    constant: &Constant,
    (seed, gives_probabilities): (u64, bool),
) -> Result<Option<Judgement>> {
    let is_finite = |answers: &[f64]| answers.iter().all(|x| x.is_finite());
    let classes = if let Targets::Classes { names, .. } = targets { names.len() } else { 0 };
    let samples = targets_len(targets);
    if samples == 0 || !is_finite(ours) {
        return Ok(None);
    }
    let fixed = constant.answers(samples, classes);
    let measure = Measure::of(targets, constant);
    let ours_each = measure.of_each(targets, ours)?;
    let fixed_each = measure.of_each(targets, &fixed)?;
    let linear_each = linear.filter(|linear| is_finite(linear));
    let linear_each = linear_each.map(|linear| measure.of_each(targets, linear)).transpose()?;
    let figure = |each: &[f64]| measure.figure(each.iter().sum::<f64>() / samples as f64);
    let Interval { low, high } = metrics::bootstrap_mean_interval(&ours_each, seed)?;
    let interval = [low, high].map(|end| measure.figure(end));
    let sign = measure.sign();
    let is_ahead = |one: &[f64], other: &[f64]| -> Result<bool> {
        let ahead: Vec<f64> = one.iter().zip(other).map(|(a, b)| sign * (a - b)).collect();
        Ok(metrics::bootstrap_mean_interval(&ahead, seed)?.low > 0.0)
    };
    let may_be_chance = !is_ahead(&ours_each, &fixed_each)?;
    let linear_is_better =
        linear_each.as_deref().map_or(Ok(false), |linear| is_ahead(linear, &ours_each))?;
    let (log_loss, roc_auc, two_classes) = match targets {
        Targets::Classes { labels, names } => (
            // Independent probabilities, whose sum is not 1, have no log-loss.
            gives_probabilities.then(|| metrics::log_loss(classes, labels, ours).ok()).flatten(),
            metrics::roc_auc_one_vs_rest(classes, labels, ours)?,
            TwoClasses::of(labels, names, ours)?,
        ),
        _ => (None, None, None),
    };
    let quantiles = match (targets, measure) {
        (Targets::Values { values, .. }, Measure::Pinball(quantiles)) => {
            Some(QuantileFigures::of(&quantiles, values, ours)?)
        }
        _ => None,
    };
    Ok(Some(Judgement {
        samples,
        metric: measure.names().0,
        value: figure(&ours_each),
        interval,
        constant: figure(&fixed_each),
        linear: linear_each.as_deref().map(figure),
        may_be_chance,
        linear_is_better,
        log_loss,
        roc_auc,
        two_classes,
        quantiles,
        measure,
        name: constant.describe(),
    }))
}

fn targets_len(targets: &Targets) -> usize {
    match targets {
        Targets::Classes { labels, .. } => labels.len(),
        Targets::Values { values, names } if names.len() == 1 => values.len(),
        _ => 0,
    }
}

impl Judgement {
    /// Lines for the end of a training.
    pub(crate) fn describe(&self) -> String {
        let text = |x: f64| self.measure.text(x);
        let name = self.measure.names().1;
        let [low, high] = self.interval.map(text);
        let mut lines = vec![
            format!(
                "{name} {} on {} samples held out, 95 % interval {low} to {high}",
                text(self.value),
                self.samples
            ),
            format!(
                "  {}: {name} {}; a linear model: {}",
                self.name,
                text(self.constant),
                self.linear.map_or("not defined".to_owned(), text)
            ),
        ];
        if self.measure == Measure::Accuracy {
            lines.push(format!(
                "  ROC AUC {}, log-loss {}",
                share(self.roc_auc),
                share(self.log_loss)
            ));
        }
        lines.extend(self.two_classes.iter().map(|two| format!("  {}", two.describe())));
        lines.extend(self.quantiles.iter().map(|all| format!("  {}", all.describe_coverage())));
        lines.join("\n")
    }

    /// Warnings for a model that is no better than the constant, or may be so by chance alone, or that a linear model is better than,
    /// and for intervals that are wrong.
    pub(crate) fn warnings(&self) -> impl Iterator<Item = String> {
        let interval = self.quantiles.as_ref().and_then(QuantileFigures::warning);
        self.beside_constant().into_iter().chain(self.beside_linear()).chain(interval)
    }

    fn beside_linear(&self) -> Option<String> {
        let linear = self.linear.filter(|_| self.linear_is_better)?;
        Some(format!(
            "on the samples held out a linear model is better: {} {}, not {}; more epochs (--epochs) may help, and --hidden none trains a linear model",
            self.measure.names().1,
            self.measure.text(linear),
            self.measure.text(self.value)
        ))
    }

    fn beside_constant(&self) -> Option<String> {
        let ahead_of = |other: f64| self.measure.sign() * (self.value - other);
        let answer = &self.name;
        if ahead_of(self.constant) <= 0.0 {
            return Some(format!(
                "on the samples held out the model is no better than {answer}: it has learned nothing that holds for others"
            ));
        }
        if self.may_be_chance {
            return Some(format!(
                "on the samples held out the model is better than {answer} by so little that it may be chance"
            ));
        }
        None
    }
}
