//! Metrics of the order of scores.

use super::classification::{check, check_labels};
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
    let order = ascending(scores);
    let positives = truth.iter().filter(|&&is| is).count() as f64;
    let negatives = truth.len() as f64 - positives;
    if positives == 0.0 || negatives == 0.0 {
        return Ok(None);
    }
    let (mut below, mut won) = (0.0, 0.0);
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

/// The area under the curve of precision over recall, by steps: `sum (R_i - R_(i-1)) P_i` over the thresholds `i` from the
/// highest score to the lowest, where `P_i` is the precision and `R_i` the recall of the samples with at least that score;
/// equal scores are one threshold. For a rare class it says more than [`roc_auc`]; a constant score gets the share of the
/// class. `None` if no sample belongs to the class (scikit-learn: 0).
///
/// ```
/// let truth = [false, false, true, true];
/// let precision = travertine::metrics::average_precision(&truth, &[0.1, 0.4, 0.35, 0.8])?;
/// assert_eq!(precision, Some(0.5 * 1.0 + 0.5 * 2.0 / 3.0));
/// # Ok::<(), travertine::Error>(())
/// ```
///
/// # Errors
/// No samples; not as many scores; a score that is NaN.
pub fn average_precision<T: Scalar>(truth: &[bool], scores: &[T]) -> Result<Option<f64>> {
    check("average_precision", truth.len(), scores.len())?;
    refuse_nan("average_precision", 1, scores)?;
    let positives = truth.iter().filter(|&&is| is).count();
    if positives == 0 {
        return Ok(None);
    }
    let order = ascending(scores);
    let (mut ours, mut all, mut sum) = (0, 0, 0.0);
    for equal in order.chunk_by(|&a, &b| scores[a] == scores[b]).rev() {
        let found = equal.iter().filter(|&&i| truth[i]).count();
        ours += found;
        all += equal.len();
        sum += found as f64 * (ours as f64 / all as f64);
    }
    Ok(Some(sum / positives as f64))
}

/// A threshold of the score of the positive class, see [`balanced_threshold`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BalancedThreshold {
    /// A sample with at least this score counts as positive.
    pub threshold: f64,
    /// The mean of the recalls of both classes with that threshold.
    pub balanced_accuracy: f64,
}

/// The threshold of the score of the positive class where the balanced accuracy, the mean of the recalls of both classes,
/// is greatest. Thresholds are looked for in the middle between neighboring scores, at the lowest score (all samples are
/// positive), and at 0.5; of several that are equally good the one nearest to 0.5 is chosen, and of two as near the lower
/// one. `None` if all samples, or none, are positive.
///
/// ```
/// use travertine::metrics::balanced_threshold;
/// let truth = [false, false, false, true, true];
/// let best = balanced_threshold(&truth, &[0.05, 0.1, 0.3, 0.2, 0.4])?.unwrap();
/// assert_eq!(best.balanced_accuracy, (2.0 / 3.0 + 1.0) / 2.0);
/// assert!((best.threshold - 0.15).abs() < 1e-12);
/// # Ok::<(), travertine::Error>(())
/// ```
///
/// # Errors
/// No samples; not as many scores; a score that is infinite or NaN.
pub fn balanced_threshold<T: Scalar>(
    truth: &[bool],
    scores: &[T],
) -> Result<Option<BalancedThreshold>> {
    let name = "balanced_threshold";
    check(name, truth.len(), scores.len())?;
    if let Some(i) = scores.iter().position(|score| !score.is_finite()) {
        let score = scores[i].to_f64();
        let reason = format!("the score of sample {i} (counted from 0) is {score}, not finite");
        return Err(Error::argument(name, reason));
    }
    let positives = truth.iter().filter(|&&is| is).count();
    let negatives = truth.len() - positives;
    if positives == 0 || negatives == 0 {
        return Ok(None);
    }
    let order = ascending(scores);
    // Samples below the threshold, and the score before it.
    let (mut missed, mut rejected, mut before) = (0, 0, None);
    let mut best = BalancedThreshold { threshold: 0.5, balanced_accuracy: -1.0 };
    let mut offer = |threshold: f64, missed: usize, rejected: usize| {
        let recalls = [(positives - missed, positives), (rejected, negatives)];
        let balanced_accuracy =
            recalls.map(|(part, whole)| part as f64 / whole as f64).iter().sum::<f64>() / 2.0;
        let distance = |threshold: f64| (threshold - 0.5).abs();
        let is_nearer = balanced_accuracy == best.balanced_accuracy
            && distance(threshold) < distance(best.threshold);
        if balanced_accuracy > best.balanced_accuracy || is_nearer {
            best = BalancedThreshold { threshold, balanced_accuracy };
        }
    };
    for equal in order.chunk_by(|&a, &b| scores[a] == scores[b]) {
        let here = scores[equal[0]].to_f64();
        // Between neighbors of the last digit there is no middle.
        let middle = |before: f64| Some(before / 2.0 + here / 2.0).filter(|&x| x > before);
        offer(before.and_then(middle).unwrap_or(here), missed, rejected);
        if here >= 0.5 && before.is_none_or(|before| before < 0.5) {
            offer(0.5, missed, rejected);
        }
        let ours = equal.iter().filter(|&&i| truth[i]).count();
        missed += ours;
        rejected += equal.len() - ours;
        before = Some(here);
    }
    if before.is_some_and(|highest| highest < 0.5) {
        offer(0.5, missed, rejected);
    }
    Ok(Some(best))
}

/// The places of the scores, from the lowest to the highest. -0 and 0 are neighbors, as equal scores must be.
fn ascending<T: Scalar>(scores: &[T]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_unstable_by(|&a, &b| scores[a].to_f64().total_cmp(&scores[b].to_f64()));
    order
}

/// Scores of classes below `classes`, none of which is NaN.
pub(super) fn check_scores<T: Scalar>(
    operation: &'static str,
    classes: usize,
    truth: &[u32],
    scores: &[T],
) -> Result<()> {
    check_labels(operation, classes, truth, scores.len())?;
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
