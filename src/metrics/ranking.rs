//! Metrics of the order of scores.

use super::classification::check;
use crate::error::{Error, Result};
use crate::scalar::Scalar;

/// The class that is predicted: the first of those with the highest score. Without scores, 0.
///
/// ```
/// assert_eq!(travertine::metrics::predicted_class(&[0.2, 0.4, 0.4]), 1);
/// ```
pub fn predicted_class<T: Scalar>(scores: &[T]) -> u32 {
    (1..scores.len()).fold(0, |best, i| if scores[i] > scores[best] { i } else { best }) as u32
}

/// Share of samples whose class has one of the `k` highest scores (`classes x samples`, one sample after the other). Of
/// equal scores that of the first class counts as the highest, as where the class is predicted, so that k = 1 gives the
/// accuracy (scikit-learn's `top_k_accuracy_score` uses the last).
///
/// ```
/// let scores = [0.5, 0.3, 0.2, /* second sample */ 0.1, 0.3, 0.6];
/// assert_eq!(travertine::metrics::top_k_accuracy(3, &[0, 1], &scores, 1)?, 0.5);
/// assert_eq!(travertine::metrics::top_k_accuracy(3, &[0, 1], &scores, 2)?, 1.0);
/// # Ok::<(), travertine::Error>(())
/// ```
///
/// # Errors
/// No samples; not as many scores; a class that is not below `classes`; k = 0; a score that is NaN.
pub fn top_k_accuracy<T: Scalar>(
    classes: usize,
    truth: &[u32],
    scores: &[T],
    k: usize,
) -> Result<f64> {
    let name = "top_k_accuracy";
    check_scores(name, classes, truth, scores)?;
    if k == 0 {
        return Err(Error::argument(name, "k is 0; at least 1 is needed"));
    }
    let is_hit = |(truth, scores): &(&u32, &[T])| {
        let truth = **truth as usize;
        let is_before = |&(class, score): &(usize, &T)| {
            *score > scores[truth] || (*score == scores[truth] && class < truth)
        };
        scores.iter().enumerate().filter(is_before).count() < k
    };
    let hits = truth.iter().zip(scores.chunks_exact(classes)).filter(is_hit).count();
    Ok(hits as f64 / truth.len() as f64)
}

/// The area under the ROC curve: how probable it is that a sample of the class has a higher score than one of the
/// others, equal scores counting half (Fawcett, "An introduction to ROC analysis", 2006; by ranks, as Mann and
/// Whitney's U). `None` if all samples, or none, belong to the class.
///
/// ```
/// let auc = travertine::metrics::roc_auc(&[false, false, true, true], &[0.1, 0.4, 0.35, 0.8])?;
/// assert_eq!(auc, Some(0.75));
/// # Ok::<(), travertine::Error>(())
/// ```
///
/// # Errors
/// No samples; not as many scores; a score that is NaN.
pub fn roc_auc<T: Scalar>(truth: &[bool], scores: &[T]) -> Result<Option<f64>> {
    check("roc_auc", truth.len(), scores.len())?;
    refuse_nan("roc_auc", 1, scores)?;
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_unstable_by(|&a, &b| scores[a].to_f64().total_cmp(&scores[b].to_f64()));
    let positives = truth.iter().filter(|&&is| is).count() as f64;
    let negatives = truth.len() as f64 - positives;
    if positives == 0.0 || negatives == 0.0 {
        return Ok(None);
    }
    let (mut below, mut won) = (0.0, 0.0);
    // -0 and 0 are equal scores, and neighbors in the total order.
    for equal in order.chunk_by(|&a, &b| scores[a] == scores[b]) {
        let ours = equal.iter().filter(|&&i| truth[i]).count() as f64;
        let others = equal.len() as f64 - ours;
        won += ours * (below + others / 2.0);
        below += others;
    }
    Ok(Some(won / (positives * negatives)))
}

/// The mean of [`roc_auc`] over the classes, each against all others; scores `classes x samples`, one sample after the
/// other. `None` if a class does not occur, or only one does: scikit-learn's `multi_class="ovr"`, but any scores will
/// do.
///
/// # Errors
/// No samples; not as many scores; a class that is not below `classes`; a score that is NaN.
pub fn roc_auc_one_vs_rest<T: Scalar>(
    classes: usize,
    truth: &[u32],
    scores: &[T],
) -> Result<Option<f64>> {
    check_scores("roc_auc_one_vs_rest", classes, truth, scores)?;
    let mut sum = 0.0;
    for class in 0..classes {
        let is_class: Vec<bool> = truth.iter().map(|&truth| truth as usize == class).collect();
        let of_class: Vec<T> = scores.iter().skip(class).step_by(classes).copied().collect();
        let Some(auc) = roc_auc(&is_class, &of_class)? else { return Ok(None) };
        sum += auc;
    }
    Ok(Some(sum / classes as f64))
}

fn check_scores<T: Scalar>(
    operation: &'static str,
    classes: usize,
    truth: &[u32],
    scores: &[T],
) -> Result<()> {
    if truth.is_empty() {
        return Err(Error::argument(operation, "there are no samples; at least one is needed"));
    }
    if truth.len().checked_mul(classes) != Some(scores.len()) {
        let reason =
            format!("{} scores for {} samples of {classes} classes", scores.len(), truth.len());
        return Err(Error::argument(operation, reason));
    }
    if let Some(class) = truth.iter().find(|&&class| class as usize >= classes) {
        return Err(Error::argument(
            operation,
            format!("class {class} of {classes}; they are counted from 0"),
        ));
    }
    refuse_nan(operation, classes, scores)
}

fn refuse_nan<T: Scalar>(operation: &'static str, classes: usize, scores: &[T]) -> Result<()> {
    match scores.iter().position(|score| score.to_f64().is_nan()) {
        Some(i) => {
            let reason = format!(
                "score {} of sample {} (both counted from 0) is NaN",
                i % classes,
                i / classes
            );
            Err(Error::argument(operation, reason))
        }
        None => Ok(()),
    }
}
