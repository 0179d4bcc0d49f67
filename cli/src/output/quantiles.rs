//! The figures of predicted quantiles.

use serde::Serialize;
use travertine::{Quantiles, Result, metrics};

use crate::message::counted;
use crate::output::rounded;
use crate::output::text::{digits, percent};

/// Decimals of a difference of levels, so that 0.95 - 0.05 is 0.9.
const SHARE_DECIMALS: i32 = 10;

/// Standard deviations of the share of covered samples that count as chance.
const MOST_DEVIATIONS: f64 = 3.0;

/// What is measured of predicted quantiles, in the unit of the data.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct QuantileFigures {
    quantiles: Vec<LevelFigures>,
    /// The share of the samples that should lie between the first and the last quantile; nothing for a single one.
    interval_share: Option<f64>,
    /// The share that does.
    coverage: Option<f64>,
    #[serde(skip)]
    samples: usize,
}

/// The figures of one quantile.
#[derive(Clone, Debug, Serialize)]
struct LevelFigures {
    level: f64,
    pinball_loss: f64,
    /// The share of the true values that are not above the prediction, which should be the level.
    share_below: f64,
}

impl QuantileFigures {
    /// `truth`: one value a sample; `predicted`: `quantiles x samples`.
    pub(crate) fn of(quantiles: &Quantiles, truth: &[f64], predicted: &[f64]) -> Result<Self> {
        let levels = quantiles.levels();
        let each = levels.iter().enumerate().map(|(i, &level)| {
            let of_level: Vec<f64> =
                predicted.iter().skip(i).step_by(levels.len()).copied().collect();
            let below = truth.iter().zip(&of_level).filter(|(t, p)| t <= p).count();
            Ok(LevelFigures {
                level,
                pinball_loss: metrics::pinball_loss(level, truth, &of_level)?,
                share_below: below as f64 / truth.len() as f64,
            })
        });
        let coverage = match levels {
            [first, .., last] => {
                let share = metrics::coverage(levels.len(), truth, predicted)?;
                Some((rounded(last - first, SHARE_DECIMALS), share))
            }
            _ => None,
        };
        Ok(QuantileFigures {
            quantiles: each.collect::<Result<_>>()?,
            interval_share: coverage.map(|(expected, _)| expected),
            coverage: coverage.map(|(_, found)| found),
            samples: truth.len(),
        })
    }

    /// A line for each level.
    pub(crate) fn describe_levels(&self) -> Vec<String> {
        let line = |one: &LevelFigures| {
            format!(
                "quantile {}: pinball loss {}, {} of the true values are not above it",
                one.level,
                digits(one.pinball_loss),
                percent(Some(one.share_below))
            )
        };
        self.quantiles.iter().map(line).collect()
    }

    /// How the true values lie: "80 % interval covers 78.43 % of 102 samples".
    pub(crate) fn describe_coverage(&self) -> String {
        let samples = counted(self.samples, "sample", "samples");
        match (self.interval(), self.quantiles.first()) {
            (Some((name, coverage)), _) => {
                format!("the {name} covers {} of {samples}", percent(Some(coverage)))
            }
            (None, Some(one)) => format!(
                "{} of {samples} are not above the quantile {}",
                percent(Some(one.share_below)),
                one.level
            ),
            (None, None) => String::new(),
        }
    }

    /// A warning where the interval covers another share than it should, by more than chance explains.
    pub(crate) fn warning(&self) -> Option<String> {
        let (share, coverage) = (self.interval_share?, self.coverage?);
        let deviation = (share * (1.0 - share) / self.samples as f64).sqrt();
        let is_chance = (coverage - share).abs() <= MOST_DEVIATIONS * deviation;
        let fault = if coverage < share { "narrow" } else { "wide" };
        (!is_chance).then(|| {
            format!(
                "{}, which is no chance: for samples that the training has not seen it is too {fault}",
                self.describe_coverage()
            )
        })
    }

    /// The name of the interval and the share that it covers, where there is one: "80 % interval".
    pub(crate) fn interval(&self) -> Option<(String, f64)> {
        let share = self.interval_share?;
        let name = format!("{} % interval", rounded(100.0 * share, SHARE_DECIMALS));
        Some((name, self.coverage?))
    }
}
