//! Losses of scaled targets in the unit of the data.

use travertine::Report;

/// The same report with the loss in the unit of the data.
pub(crate) fn in_units(mut report: Report, factor: f64) -> Report {
    report.loss *= factor;
    report
}
