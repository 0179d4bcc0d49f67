//! What the samples held out say about a trained model: its figure with an interval, beside a constant's and a linear model's.

use serde::Serialize;
use travertine::Result;
use travertine::data::Targets;
use travertine::metrics::{self, Interval};

use crate::output::text::{digits, percent};
use crate::output::two_classes::{TwoClasses, share};
use crate::train::baseline::Constant;

/// How good answers are on samples that were held out: an entry of the last line of `train --json`.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Judgement {
    samples: usize,
    /// accuracy or rmse
    metric: &'static str,
    value: f64,
    /// 95 % interval over bootstrap resamples of the samples.
    interval: [f64; 2],
    constant: f64,
    /// Nothing where the linear model diverges.
    linear: Option<f64>,
    /// Whether the interval of what the model is better by than the constant includes 0.
    may_be_chance: bool,
    /// Of probabilities alone.
    log_loss: Option<f64>,
    roc_auc: Option<f64>,
    #[serde(flatten)]
    two_classes: Option<TwoClasses>,
    #[serde(skip)]
    name: String,
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
    let [ours_each, fixed_each] = [ours, &fixed].map(|answers| of_each(targets, answers));
    let linear_each =
        linear.filter(|linear| is_finite(linear)).map(|linear| of_each(targets, linear));
    let figure = |each: &[f64]| {
        let mean = each.iter().sum::<f64>() / samples as f64;
        if classes == 0 { mean.sqrt() } else { mean }
    };
    let Interval { low, high } = metrics::bootstrap_mean_interval(&ours_each, seed)?;
    let interval = if classes == 0 { [low.sqrt(), high.sqrt()] } else { [low, high] };
    let sign = if classes == 0 { 1.0 } else { -1.0 };
    let better: Vec<f64> =
        fixed_each.iter().zip(&ours_each).map(|(fixed, ours)| sign * (fixed - ours)).collect();
    let may_be_chance = metrics::bootstrap_mean_interval(&better, seed)?.low <= 0.0;
    let (log_loss, roc_auc, two_classes) = match targets {
        Targets::Classes { labels, names } => (
            // Independent probabilities, whose sum is not 1, have no log-loss.
            gives_probabilities.then(|| metrics::log_loss(classes, labels, ours).ok()).flatten(),
            metrics::roc_auc_one_vs_rest(classes, labels, ours)?,
            TwoClasses::of(labels, names, ours)?,
        ),
        _ => (None, None, None),
    };
    Ok(Some(Judgement {
        samples,
        metric: if classes == 0 { "rmse" } else { "accuracy" },
        value: figure(&ours_each),
        interval,
        constant: figure(&fixed_each),
        linear: linear_each.as_deref().map(figure),
        may_be_chance,
        log_loss,
        roc_auc,
        two_classes,
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

/// For each sample whether the answer is right, as 1 or 0, or its squared error.
fn of_each(targets: &Targets, answers: &[f64]) -> Vec<f64> {
    match targets {
        Targets::Classes { labels, names } => {
            let predicted = answers.chunks_exact(names.len()).map(metrics::predicted_class);
            predicted
                .zip(labels)
                .map(|(class, label)| f64::from(u8::from(class == *label)))
                .collect()
        }
        Targets::Values { values, .. } => {
            values.iter().zip(answers).map(|(t, p)| (p - t).powi(2)).collect()
        }
        Targets::None => Vec::new(),
    }
}

impl Judgement {
    /// Lines for the end of a training.
    pub(crate) fn describe(&self) -> String {
        let is_accuracy = self.metric == "accuracy";
        let text = |x: f64| if is_accuracy { percent(Some(x)) } else { digits(x) };
        let name = if is_accuracy { "accuracy" } else { "RMSE" };
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
        if is_accuracy {
            lines.push(format!(
                "  ROC AUC {}, log-loss {}",
                share(self.roc_auc),
                share(self.log_loss)
            ));
        }
        lines.extend(self.two_classes.iter().map(|two| format!("  {}", two.describe())));
        lines.join("\n")
    }

    /// A warning for a model that is no better than the constant, or may be so by chance alone.
    pub(crate) fn warning(&self) -> Option<String> {
        let sign = if self.metric == "accuracy" { 1.0 } else { -1.0 };
        let ahead_of = |other: f64| sign * (self.value - other);
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
