//! The figures of a model of classes.

use std::collections::BTreeMap;

use serde::Serialize;
use travertine::metrics::{self, ClassScores, Interval};
use travertine::{Report, Result};

use super::importance::ColumnImportance;
use super::{SEED, counted_samples, ends};
use crate::output::CALIBRATION_BINS;
use crate::output::progress::figures;
use crate::output::text::{percent, table};
use crate::output::two_classes::{TwoClasses, share};

/// Classes of the widest confusion matrix that fits a screen.
const MOST_CLASSES: usize = 30;
/// Characters that the names of classes may take in the head of a matrix.
const MOST_HEAD_CHARACTERS: usize = 100;
/// The default of `--top-k`, where there are more classes.
const DEFAULT_TOP_K: usize = 5;

/// The measures of a classifier on labeled samples.
pub(super) struct ClassMeasures {
    each: Vec<ClassScores>,
    all: ClassScores,
    k: usize,
    /// Share of the samples whose class is among the `k` likeliest.
    top_k_accuracy: Option<f64>,
    roc_auc: Option<f64>,
    accuracy_interval: Interval,
    /// Of probabilities alone.
    log_loss: Option<f64>,
    calibration_error: Option<f64>,
    two: Option<TwoClasses>,
    /// Row by row; `None` for many classes.
    confusion: Option<Vec<u64>>,
}

/// The line of `evaluate --json` for classes.
#[derive(Serialize)]
pub(super) struct ClassResult<'a> {
    task: &'static str,
    samples: usize,
    loss: f64,
    accuracy: Option<f64>,
    /// One entry, whose name has the number.
    #[serde(flatten)]
    top_k: BTreeMap<String, Option<f64>>,
    macro_precision: f64,
    macro_recall: f64,
    macro_f1: f64,
    roc_auc: Option<f64>,
    accuracy_interval: [f64; 2],
    log_loss: Option<f64>,
    calibration_error: Option<f64>,
    #[serde(flatten)]
    two: Option<TwoClasses>,
    per_class: Vec<ClassLine<'a>>,
    confusion: Option<Vec<&'a [u64]>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    importance: Option<&'a ColumnImportance>,
}

#[derive(Serialize)]
struct ClassLine<'a> {
    class: &'a str,
    f1: f64,
    precision: f64,
    recall: f64,
    samples: u64,
}

impl ClassMeasures {
    /// `scores`: `classes x samples`, and whether they are probabilities
    pub(super) fn new(
        labels: &[u32],
        names: &[String],
        (scores, are_probabilities): (&[f64], bool),
        top_k: Option<usize>,
    ) -> Result<Self> {
        let classes = names.len();
        let predicted: Vec<u32> =
            scores.chunks_exact(classes).map(metrics::predicted_class).collect();
        let each = metrics::per_class(classes, labels, &predicted)?;
        // A network that overflows has no ranks.
        let has_ranks = !scores.iter().any(|score| score.is_nan());
        let (k, counts) = top_k.map_or((DEFAULT_TOP_K, classes > DEFAULT_TOP_K), |k| (k, true));
        let top_k_accuracy = (has_ranks && counts)
            .then(|| metrics::top_k_accuracy(classes, labels, scores, k))
            .transpose()?;
        let roc_auc = match has_ranks {
            true => metrics::roc_auc_one_vs_rest(classes, labels, scores)?,
            false => None,
        };
        let confusion = (classes <= MOST_CLASSES)
            .then(|| metrics::confusion_matrix(classes, labels, &predicted))
            .transpose()?;
        let hits: Vec<f64> =
            labels.iter().zip(&predicted).map(|(t, p)| f64::from(u8::from(t == p))).collect();
        let are_probabilities = are_probabilities && has_ranks;
        // Independent probabilities, whose sum is not 1, have no log-loss.
        let log_loss = are_probabilities.then(|| metrics::log_loss(classes, labels, scores).ok());
        let calibration = are_probabilities
            .then(|| metrics::calibration(classes, labels, scores, CALIBRATION_BINS))
            .transpose()?;
        Ok(ClassMeasures {
            all: metrics::macro_average(&each),
            each,
            k,
            top_k_accuracy,
            roc_auc,
            accuracy_interval: metrics::bootstrap_mean_interval(&hits, SEED)?,
            log_loss: log_loss.flatten(),
            calibration_error: calibration.map(|calibration| calibration.error),
            two: TwoClasses::of(labels, names, scores)?,
            confusion,
        })
    }

    pub(super) fn json<'a>(
        &'a self,
        report: &Report,
        names: &'a [String],
        importance: Option<&'a ColumnImportance>,
    ) -> ClassResult<'a> {
        let line = |(scores, class): (&ClassScores, &'a String)| ClassLine {
            class,
            f1: scores.f1,
            precision: scores.precision,
            recall: scores.recall,
            samples: scores.support,
        };
        let confusion = self.confusion.as_ref();
        ClassResult {
            task: "evaluate",
            samples: report.samples,
            loss: report.loss,
            accuracy: report.accuracy,
            top_k: [(format!("top{}_accuracy", self.k), self.top_k_accuracy)].into(),
            macro_precision: self.all.precision,
            macro_recall: self.all.recall,
            macro_f1: self.all.f1,
            roc_auc: self.roc_auc,
            accuracy_interval: ends(&self.accuracy_interval),
            log_loss: self.log_loss,
            calibration_error: self.calibration_error,
            two: self.two.clone(),
            per_class: self.each.iter().zip(names).map(line).collect(),
            confusion: confusion.map(|counts| counts.chunks_exact(names.len()).collect()),
            importance,
        }
    }

    pub(super) fn summary(&self, report: &Report) -> String {
        let within = self.top_k_accuracy.map_or(String::new(), |share| {
            format!(" (within the first {} {})", self.k, percent(Some(share)))
        });
        let roc_auc = share(self.roc_auc);
        let (samples, f1) = (counted_samples(report), self.all.f1);
        let figures = figures(report.loss, report.accuracy);
        format!("{samples}: {figures}{within}, macro F1 {f1:.4}, ROC AUC {roc_auc}")
    }

    /// The confusion matrix, a line a class, and what says more than the accuracy.
    pub(super) fn describe(&self, names: &[String]) -> Vec<String> {
        let mut lines = confusion_table(self.confusion.as_deref(), names);
        lines.push(String::new());
        lines.extend(class_table(&self.each, &self.all, names));
        lines.push(String::new());
        let Interval { low, high } = self.accuracy_interval;
        lines.push(format!(
            "accuracy: 95 % interval {} to {}",
            percent(Some(low)),
            percent(Some(high))
        ));
        let (log_loss, error) = (share(self.log_loss), share(self.calibration_error));
        lines.push(format!("log-loss {log_loss}, expected calibration error {error}"));
        lines.extend(self.two.as_ref().map(TwoClasses::describe));
        lines
    }
}

/// Precision, recall and F1, a line a class.
fn class_table(each: &[ClassScores], all: &ClassScores, names: &[String]) -> Vec<String> {
    let row = |name: &str, scores: &ClassScores| {
        let shares =
            [scores.precision, scores.recall, scores.f1].map(|share| format!("{share:.4}"));
        [vec![name.to_owned()], shares.to_vec(), vec![scores.support.to_string()]].concat()
    };
    let head = ["class", "precision", "recall", "F1", "samples"].map(str::to_owned).to_vec();
    let classes = names.iter().zip(each).map(|(name, scores)| row(name, scores));
    table(&[head].into_iter().chain(classes).chain([row("(macro)", all)]).collect::<Vec<_>>())
}

/// How often class (row) was predicted as class (column).
fn confusion_table(counts: Option<&[u64]>, names: &[String]) -> Vec<String> {
    let Some(counts) = counts else {
        return vec![format!("(no confusion matrix: {} classes)", names.len())];
    };
    // Numbers stand for names that are too long for columns.
    let numbered =
        names.iter().map(|name| name.chars().count() + 2).sum::<usize>() > MOST_HEAD_CHARACTERS;
    let heads = if numbered {
        (1..=names.len()).map(|number| number.to_string()).collect()
    } else {
        names.to_vec()
    };
    let mut rows = vec![[vec!["is \\ said".to_owned()], heads].concat()];
    for ((number, name), counts) in (1..).zip(names).zip(counts.chunks_exact(names.len())) {
        let name = if numbered { format!("{number} {name}") } else { name.clone() };
        rows.push([vec![name], counts.iter().map(u64::to_string).collect()].concat());
    }
    table(&rows)
}
