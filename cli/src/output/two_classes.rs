//! The figures of two classes.

use serde::Serialize;
use travertine::Result;
use travertine::metrics;

/// What is measured of two classes alone, where the second one is the positive one.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct TwoClasses {
    positive_class: String,
    average_precision: Option<f64>,
    /// Where the score of the positive class divides the classes with the greatest balanced accuracy.
    balanced_threshold: Option<f64>,
    balanced_accuracy: Option<f64>,
}

impl TwoClasses {
    /// Nothing unless there are two; `scores`: `2 x samples`.
    pub(crate) fn of(labels: &[u32], names: &[String], scores: &[f64]) -> Result<Option<Self>> {
        let [_, positive] = names else { return Ok(None) };
        let truth: Vec<bool> = labels.iter().map(|&label| label == 1).collect();
        let of_positive: Vec<f64> = scores.iter().skip(1).step_by(2).copied().collect();
        // A network that overflows has neither.
        let (precision, best) = match scores.iter().all(|score| score.is_finite()) {
            true => (
                metrics::average_precision(&truth, &of_positive)?,
                metrics::balanced_threshold(&truth, &of_positive)?,
            ),
            false => (None, None),
        };
        Ok(Some(TwoClasses {
            positive_class: positive.clone(),
            average_precision: precision,
            balanced_threshold: best.map(|best| best.threshold),
            balanced_accuracy: best.map(|best| best.balanced_accuracy),
        }))
    }

    /// A line for people.
    pub(crate) fn describe(&self) -> String {
        let (name, precision) = (&self.positive_class, share(self.average_precision));
        let best = match (self.balanced_accuracy, self.balanced_threshold) {
            (Some(accuracy), Some(threshold)) => format!(
                "a threshold of {threshold:.4} gives the highest balanced accuracy, {accuracy:.4}"
            ),
            _ => "balanced accuracy not defined".to_owned(),
        };
        format!("positive class {name:?}: average precision {precision}, {best}")
    }
}

/// "0.1234"
pub(crate) fn share(x: Option<f64>) -> String {
    x.map_or("not defined".to_owned(), |x| format!("{x:.4}"))
}
