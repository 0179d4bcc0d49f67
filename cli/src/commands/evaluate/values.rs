//! The figures of a model of values.

use serde::Serialize;
use travertine::metrics::{self, Interval};
use travertine::{Report, Result};

use super::importance::ColumnImportance;
use super::{SEED, counted_samples, ends};
use crate::output::progress::figures;
use crate::output::text::{digits, signed};

/// The line of `evaluate --json` for values.
#[derive(Serialize)]
pub(super) struct ErrorResult<'a> {
    task: &'static str,
    samples: usize,
    loss: f64,
    /// Of one target, or the mean over several.
    rmse: f64,
    r2: Option<f64>,
    mae: f64,
    rmse_interval: Option<[f64; 2]>,
    /// Of one target.
    #[serde(skip_serializing_if = "is_absent")]
    residual_quantiles: Option<Option<ResidualQuantiles>>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    per_target: &'a [TargetErrors<'a>],
    #[serde(skip_serializing_if = "Option::is_none")]
    importance: Option<&'a ColumnImportance>,
}

/// Whether there is no such key: quantiles that are not defined are null.
fn is_absent(quantiles: &Option<Option<ResidualQuantiles>>) -> bool {
    quantiles.is_none()
}

/// The errors of one target, or their means over several.
#[derive(Clone, Serialize)]
struct TargetErrors<'a> {
    target: &'a str,
    rmse: f64,
    mae: f64,
    r2: Option<f64>,
    residual_quantiles: Option<ResidualQuantiles>,
}

/// The residual, predicted minus true, below which so many percent of them are.
#[derive(Clone, Copy, Serialize)]
struct ResidualQuantiles {
    p5: f64,
    p25: f64,
    p50: f64,
    p75: f64,
    p95: f64,
}

impl ResidualQuantiles {
    /// Of a network that does not overflow.
    fn of(truth: &[f64], predicted: &[f64]) -> Option<Self> {
        let residuals: Vec<f64> = predicted.iter().zip(truth).map(|(p, t)| p - t).collect();
        let shares = [0.05, 0.25, 0.5, 0.75, 0.95];
        let quantiles = metrics::quantiles(&residuals, &shares).ok()?;
        let &[p5, p25, p50, p75, p95] = quantiles.as_slice() else { return None };
        Some(ResidualQuantiles { p5, p25, p50, p75, p95 })
    }

    fn describe(&self) -> String {
        let ResidualQuantiles { p5, p25, p50, p75, p95 } = self;
        let [p5, p25, p50, p75, p95] = [p5, p25, p50, p75, p95].map(|x| signed(*x));
        format!("5 % {p5}, 25 % {p25}, median {p50}, 75 % {p75}, 95 % {p95}")
    }
}

impl TargetErrors<'_> {
    fn describe(&self) -> String {
        let r2 = self
            .r2
            .map_or("not defined, the label is constant".to_owned(), |r2| format!("{r2:.4}"));
        format!("RMSE {}, MAE {}, R2 {r2}", digits(self.rmse), digits(self.mae))
    }

    fn describe_residuals(&self) -> String {
        self.residual_quantiles.map_or("not defined".to_owned(), |quantiles| quantiles.describe())
    }
}

/// The measures of a model of values on labeled samples.
pub(super) struct ValueMeasures<'a> {
    each: Vec<TargetErrors<'a>>,
    all: TargetErrors<'a>,
    /// Of the mean RMSE; `None` for a network that overflows.
    rmse_interval: Option<Interval>,
}

impl<'a> ValueMeasures<'a> {
    /// `truth` and `predicted`: `targets x samples`.
    pub(super) fn new(
        (truth, predicted): (&[f64], &[f64]),
        names: &'a [String],
    ) -> Result<ValueMeasures<'a>> {
        let each = errors_of((truth, predicted), names)?;
        let count = each.len() as f64;
        let mean = |of: &dyn Fn(&TargetErrors<'_>) -> f64| each.iter().map(of).sum::<f64>() / count;
        let all_r2 = each.iter().all(|errors| errors.r2.is_some());
        let all = TargetErrors {
            target: "mean",
            rmse: mean(&|errors| errors.rmse),
            mae: mean(&|errors| errors.mae),
            r2: all_r2.then(|| mean(&|errors| errors.r2.unwrap_or_default())),
            residual_quantiles: None,
        };
        let rmse_interval = rmse_interval((truth, predicted), names.len())?;
        Ok(ValueMeasures { each, all, rmse_interval })
    }

    fn has_several(&self) -> bool {
        self.each.len() > 1
    }

    pub(super) fn json<'m>(
        &'m self,
        report: &Report,
        importance: Option<&'m ColumnImportance>,
    ) -> ErrorResult<'m> {
        let several = self.has_several();
        let first = self.each.first().filter(|_| !several);
        ErrorResult {
            task: "evaluate",
            samples: report.samples,
            loss: report.loss,
            rmse: self.all.rmse,
            r2: self.all.r2,
            mae: self.all.mae,
            rmse_interval: self.rmse_interval.as_ref().map(ends),
            residual_quantiles: first.map(|errors| errors.residual_quantiles),
            per_target: if several { &self.each } else { &[] },
            importance,
        }
    }

    pub(super) fn summary(&self, report: &Report) -> String {
        let figures = figures(report.loss, report.accuracy);
        let over = match self.has_several() {
            true => format!("mean over {} targets: ", self.each.len()),
            false => String::new(),
        };
        format!("{}: {figures}, {over}{}", counted_samples(report), self.all.describe())
    }

    /// What says more than the means.
    pub(super) fn describe(&self) -> Vec<String> {
        let several = self.has_several();
        let mut lines = Vec::new();
        for errors in &self.each {
            let of = if several { format!("{}: ", errors.target) } else { String::new() };
            if several {
                lines.push(format!("{of}{}", errors.describe()));
            }
            let residuals = errors.describe_residuals();
            lines.push(format!("{of}residuals (predicted minus true): {residuals}"));
        }
        let interval = self.rmse_interval.map_or("not defined".to_owned(), |interval| {
            format!("{} to {}", digits(interval.low), digits(interval.high))
        });
        let over = if several { "mean RMSE" } else { "RMSE" };
        lines.push(format!("{over}: 95 % interval {interval}"));
        lines
    }
}

/// The errors of each target; `values`: true and predicted, `targets x samples`.
fn errors_of<'a>(
    (truth, predicted): (&[f64], &[f64]),
    names: &'a [String],
) -> Result<Vec<TargetErrors<'a>>> {
    let column = |values: &[f64], i: usize| -> Vec<f64> {
        values.iter().skip(i).step_by(names.len()).copied().collect()
    };
    let errors = |(i, target): (usize, &'a String)| {
        let (truth, predicted) = (column(truth, i), column(predicted, i));
        Ok(TargetErrors {
            target,
            rmse: metrics::root_mean_squared_error(&truth, &predicted)?,
            mae: metrics::mean_absolute_error(&truth, &predicted)?,
            r2: metrics::r2(1, &truth, &predicted)?,
            residual_quantiles: ResidualQuantiles::of(&truth, &predicted),
        })
    };
    names.iter().enumerate().map(errors).collect()
}

/// The interval of the mean over the targets of their RMSE; values are `targets x samples`.
fn rmse_interval((truth, predicted): (&[f64], &[f64]), targets: usize) -> Result<Option<Interval>> {
    let squares: Vec<f64> = predicted.iter().zip(truth).map(|(p, t)| (p - t).powi(2)).collect();
    if !squares.iter().all(|square| square.is_finite()) {
        return Ok(None);
    }
    if targets == 1 {
        let Interval { low, high } = metrics::bootstrap_mean_interval(&squares, SEED)?;
        return Ok(Some(Interval { low: low.sqrt(), high: high.sqrt() }));
    }
    let mut sums = vec![0.0; targets];
    let interval = metrics::bootstrap_interval(squares.len() / targets, SEED, |chosen| {
        sums.fill(0.0);
        for &sample in chosen {
            let squares = &squares[sample * targets..][..targets];
            sums.iter_mut().zip(squares).for_each(|(sum, square)| *sum += square);
        }
        let rmse = |sum: &f64| (sum / chosen.len() as f64).sqrt();
        sums.iter().map(rmse).sum::<f64>() / targets as f64
    })?;
    Ok(Some(interval))
}
