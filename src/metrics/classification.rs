//! Metrics of predicted classes.

use crate::error::{Error, ErrorKind, Result};

/// The metrics of one class.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ClassScores {
    /// The share of the samples predicted as this class that belong to it: `tp / (tp + fp)`.
    pub precision: f64,
    /// The share of the samples of this class that are predicted as it: `tp / (tp + fn)`.
    pub recall: f64,
    /// The harmonic mean of both: `2 tp / (2 tp + fp + fn)`.
    pub f1: f64,
    /// Samples that belong to this class.
    pub support: u64,
    /// Samples predicted as this class.
    pub predicted: u64,
}

/// Share of samples whose class was predicted right.
///
/// ```
/// assert_eq!(travertine::metrics::accuracy(&[0, 1, 2, 2], &[0, 2, 2, 2])?, 0.75);
/// # Ok::<(), travertine::Error>(())
/// ```
///
/// # Errors
/// No samples; not as many predictions.
pub fn accuracy(truth: &[u32], predicted: &[u32]) -> Result<f64> {
    check("accuracy", truth.len(), predicted.len())?;
    let hits = truth.iter().zip(predicted).filter(|(t, p)| t == p).count();
    Ok(hits as f64 / truth.len() as f64)
}

/// The share of the samples of which every label is right, where labels do not exclude each other: scikit-learn's `accuracy_score`
/// of several labels. `truth` (0 or 1) and `probabilities` are `labels x samples`, one sample after the other; a probability above
/// 0.5 is yes.
///
/// ```
/// let accuracy = travertine::metrics::subset_accuracy(2, &[1.0, 0.0, 1.0, 1.0], &[0.9, 0.2, 0.8, 0.4])?;
/// assert_eq!(accuracy, 0.5);
/// # Ok::<(), travertine::Error>(())
/// ```
///
/// # Errors
/// No samples or labels; not as many probabilities; numbers that are no whole number of samples; a truth that is neither 0 nor 1.
pub fn subset_accuracy(labels: usize, truth: &[f64], probabilities: &[f64]) -> Result<f64> {
    check("subset_accuracy", truth.len(), probabilities.len())?;
    let wrong = |reason: String| Err(Error::argument("subset_accuracy", reason));
    if labels == 0 || !truth.len().is_multiple_of(labels) {
        let count = truth.len();
        return wrong(format!(
            "{count} numbers are no whole number of samples with {labels} labels"
        ));
    }
    if let Some(truth) = truth.iter().find(|truth| ![0.0, 1.0].contains(*truth)) {
        return wrong(format!("a label must be 0 or 1, not {truth}"));
    }
    let samples = truth.chunks_exact(labels).zip(probabilities.chunks_exact(labels));
    let is_right =
        |(t, p): &(&[f64], &[f64])| t.iter().zip(*p).all(|(t, p)| (*t == 1.0) == (*p > 0.5));
    Ok(samples.filter(is_right).count() as f64 / (truth.len() / labels) as f64)
}

/// How often class `i` was predicted as class `j`, at `i * classes + j`: `classes x classes`, row by row.
///
/// ```
/// let counts = travertine::metrics::confusion_matrix(2, &[0, 0, 1], &[0, 1, 1])?;
/// assert_eq!(counts, [1, 1, 0, 1]);
/// # Ok::<(), travertine::Error>(())
/// ```
///
/// # Errors
/// No samples; not as many predictions; a class that is not below `classes`; no memory for so many classes.
pub fn confusion_matrix(classes: usize, truth: &[u32], predicted: &[u32]) -> Result<Vec<u64>> {
    check_classes("confusion_matrix", classes, truth, predicted)?;
    let mut counts = defaults::<u64>(classes.saturating_mul(classes))?;
    for (&truth, &predicted) in truth.iter().zip(predicted) {
        counts[truth as usize * classes + predicted as usize] += 1;
    }
    Ok(counts)
}

/// Precision, recall and F1 of every class. A share of nothing is 0, as scikit-learn's `zero_division=0` has it.
///
/// ```
/// let scores = travertine::metrics::per_class(3, &[0, 0, 1, 1], &[0, 1, 1, 1])?;
/// assert_eq!((scores[0].precision, scores[0].recall), (1.0, 0.5));
/// assert_eq!((scores[2].f1, scores[2].support), (0.0, 0));
/// # Ok::<(), travertine::Error>(())
/// ```
///
/// # Errors
/// As [`confusion_matrix`], which this does not need.
pub fn per_class(classes: usize, truth: &[u32], predicted: &[u32]) -> Result<Vec<ClassScores>> {
    check_classes("per_class", classes, truth, predicted)?;
    let (mut hits, mut scores) = (defaults::<u64>(classes)?, defaults::<ClassScores>(classes)?);
    for (&truth, &predicted) in truth.iter().zip(predicted) {
        hits[truth as usize] += u64::from(truth == predicted);
        scores[truth as usize].support += 1;
        scores[predicted as usize].predicted += 1;
    }
    let share = |part: u64, whole: u64| if whole == 0 { 0.0 } else { part as f64 / whole as f64 };
    for (scores, hits) in scores.iter_mut().zip(hits) {
        scores.precision = share(hits, scores.predicted);
        scores.recall = share(hits, scores.support);
        scores.f1 = share(2 * hits, scores.predicted + scores.support);
    }
    Ok(scores)
}

/// The mean of precision, of recall and of F1 over the classes, all of the same weight. Classes without samples
/// and without predictions do not count, as in scikit-learn's `average="macro"`; their number of samples is the sum.
pub fn macro_average(scores: &[ClassScores]) -> ClassScores {
    let there: Vec<&ClassScores> =
        scores.iter().filter(|scores| scores.support + scores.predicted > 0).collect();
    let mean = |of: fn(&ClassScores) -> f64| {
        there.iter().map(|scores| of(scores)).sum::<f64>() / there.len().max(1) as f64
    };
    ClassScores {
        precision: mean(|scores| scores.precision),
        recall: mean(|scores| scores.recall),
        f1: mean(|scores| scores.f1),
        support: there.iter().map(|scores| scores.support).sum(),
        predicted: there.iter().map(|scores| scores.predicted).sum(),
    }
}

/// So many values, if there is memory: the number of classes may come from a file.
pub(super) fn defaults<X: Clone + Default>(count: usize) -> Result<Vec<X>> {
    let mut values = Vec::new();
    let asked = count.saturating_mul(size_of::<X>()) as u64;
    let memory = |_| ErrorKind::Memory { engine: "host".into(), asked, available: None };
    values.try_reserve_exact(count).map_err(memory)?;
    values.resize(count, X::default());
    Ok(values)
}

pub(super) fn check(operation: &'static str, truth: usize, predicted: usize) -> Result<()> {
    match (truth, predicted) {
        (0, 0) => Err(Error::argument(operation, "there are no samples; at least one is needed")),
        _ if truth == predicted => Ok(()),
        _ => Err(Error::argument(
            operation,
            format!("{truth} true and {predicted} predicted; as many are needed"),
        )),
    }
}

fn check_classes(
    operation: &'static str,
    classes: usize,
    truth: &[u32],
    predicted: &[u32],
) -> Result<()> {
    check(operation, truth.len(), predicted.len())?;
    match truth.iter().chain(predicted).find(|&&class| class as usize >= classes) {
        Some(class) => Err(Error::argument(
            operation,
            format!("class {class} of {classes}; they are counted from 0"),
        )),
        None => Ok(()),
    }
}

/// Classes below `classes`, and as many numbers as classes and samples make.
pub(super) fn check_labels(
    operation: &'static str,
    classes: usize,
    truth: &[u32],
    numbers: usize,
) -> Result<()> {
    if truth.is_empty() {
        return Err(Error::argument(operation, "there are no samples; at least one is needed"));
    }
    if truth.len().checked_mul(classes) != Some(numbers) {
        let reason = format!("{numbers} scores for {} samples of {classes} classes", truth.len());
        return Err(Error::argument(operation, reason));
    }
    match truth.iter().find(|&&class| class as usize >= classes) {
        Some(class) => Err(Error::argument(
            operation,
            format!("class {class} of {classes}; they are counted from 0"),
        )),
        None => Ok(()),
    }
}
