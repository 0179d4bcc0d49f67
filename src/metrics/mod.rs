//! The quality of predictions, computed on the host in f64 from numbers of either precision.
//!
//! Numbers are scikit-learn's where this documentation does not say otherwise; `tests/library/metrics.rs` compares them.

mod classification;
mod interval;
mod probability;
mod ranking;
mod regression;
pub mod weighted;

pub use classification::{
    ClassScores, accuracy, confusion_matrix, macro_average, per_class, subset_accuracy,
};
pub use interval::{Interval, bootstrap_interval, bootstrap_mean_interval, quantiles};
pub use probability::{Calibration, CalibrationBin, calibration, log_loss, temperature};
pub use ranking::{
    BalancedThreshold, average_precision, balanced_threshold, predicted_class, roc_auc,
    roc_auc_one_vs_rest, top_k_accuracy,
};
pub use regression::{
    coverage, mean_absolute_error, mean_pinball_loss, pinball_loss, r2, root_mean_squared_error,
};
