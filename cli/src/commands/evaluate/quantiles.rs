//! The figures of a model of quantiles.

use serde::Serialize;
use travertine::metrics::{self, Interval};
use travertine::{Quantiles, Report, Result};

use super::importance::ColumnImportance;
use super::{SEED, counted_samples, ends};
use crate::output::quantiles::QuantileFigures;
use crate::output::text::digits;

/// The line of `evaluate --json` for quantiles.
#[derive(Serialize)]
pub(super) struct QuantileResult<'a> {
    task: &'static str,
    samples: usize,
    loss: f64,
    /// The mean over the quantiles.
    pinball_loss: f64,
    pinball_loss_interval: Option<[f64; 2]>,
    #[serde(flatten)]
    figures: &'a QuantileFigures,
    #[serde(skip_serializing_if = "Option::is_none")]
    importance: Option<&'a ColumnImportance>,
}

/// The measures of a model of quantiles on labeled samples.
pub(super) struct QuantileMeasures {
    pinball_loss: f64,
    /// `None` for a network that overflows.
    interval: Option<Interval>,
    figures: QuantileFigures,
}

impl QuantileMeasures {
    /// `truth`: one value a sample; `predicted`: `quantiles x samples`.
    pub(super) fn new(quantiles: &Quantiles, truth: &[f64], predicted: &[f64]) -> Result<Self> {
        let levels = quantiles.levels();
        let samples = truth.iter().zip(predicted.chunks_exact(levels.len()));
        let each = samples.map(|(t, p)| metrics::mean_pinball_loss(levels, &[*t], p));
        let each = each.collect::<Result<Vec<f64>>>()?;
        let is_finite = each.iter().all(|loss| loss.is_finite());
        let interval = is_finite.then(|| metrics::bootstrap_mean_interval(&each, SEED));
        Ok(QuantileMeasures {
            pinball_loss: metrics::mean_pinball_loss(levels, truth, predicted)?,
            interval: interval.transpose()?,
            figures: QuantileFigures::of(quantiles, truth, predicted)?,
        })
    }

    pub(super) fn json<'m>(
        &'m self,
        report: &Report,
        importance: Option<&'m ColumnImportance>,
    ) -> QuantileResult<'m> {
        QuantileResult {
            task: "evaluate",
            samples: report.samples,
            loss: report.loss,
            pinball_loss: self.pinball_loss,
            pinball_loss_interval: self.interval.as_ref().map(ends),
            figures: &self.figures,
            importance,
        }
    }

    /// The last line.
    pub(super) fn summary(&self, report: &Report) -> String {
        let (loss, coverage) = (digits(self.pinball_loss), self.figures.describe_coverage());
        format!("{}: pinball loss {loss}; {coverage}", counted_samples(report))
    }

    /// What says more than the mean.
    pub(super) fn describe(&self) -> Vec<String> {
        let mut lines = self.figures.describe_levels();
        let interval = self.interval.map_or("not defined".to_owned(), |interval| {
            format!("{} to {}", digits(interval.low), digits(interval.high))
        });
        lines.push(format!("mean pinball loss: 95 % interval {interval}"));
        lines
    }
}
