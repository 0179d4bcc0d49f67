//! What becomes of a column of a table: numbers, dates and texts as features.

use std::collections::{HashMap, HashSet};
use std::f64::consts::TAU;
use std::ops::RangeInclusive;

use serde::{Deserialize, Serialize};

use super::Values;
use super::frame::{FrameRows, Unknown};
use super::table::{date_text, without_zero_decimals};
use super::text::MISSING;

/// More categories than this make no sense in a column.
pub(super) const MOST_CATEGORIES: usize = 10_000;
/// A column of the table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EncodedColumn {
    /// Its name in the header, or "column N".
    pub name: String,
    /// What becomes of its values.
    #[serde(flatten)]
    pub coding: Coding,
    /// Whether values were missing where it was fitted.
    #[serde(default = "yes", skip_serializing_if = "is_true")]
    pub gaps: bool,
    /// The least and the greatest number it was fitted on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub range: Option<(f64, f64)>,
}

fn yes() -> bool {
    true
}

fn is_true(flag: &bool) -> bool {
    *flag
}

/// What becomes of a column's values.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Coding {
    /// Numbers stay; missing ones become this.
    Mean(f64),
    /// A feature for each pair of neighboring edges: the share of the bin between them that lies below the number ("piecewise linear
    /// encoding", Gorishniy, Rubachev and Babenko 2022, arXiv 2203.05556), `(x - low) / (high - low)` within 0 and 1, but below 0 in
    /// the first bin and above 1 in the last.
    Bins {
        /// What missing numbers become.
        mean: f64,
        /// Ascending, one more than bins.
        edges: Vec<f64>,
    },
    /// A feature for each of these.
    Categories(Vec<String>),
    /// One feature, the number of the text among these, counted from 1; 0 for a missing text, and for one that is not among them.
    Codes(Vec<String>),
    /// Days since 1970 and cycles.
    Date {
        /// What missing dates become, in days.
        mean: f64,
        /// A sine and a cosine for each.
        cycles: Vec<Cycle>,
    },
}

/// A period of dates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cycle {
    /// 365.2425 days.
    Year,
    /// 7 days.
    Week,
    /// 24 hours.
    Day,
}

impl Cycle {
    /// The period in days.
    pub fn days(self) -> f64 {
        match self {
            Cycle::Year => 365.2425,
            Cycle::Week => 7.0,
            Cycle::Day => 1.0,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Cycle::Year => "year",
            Cycle::Week => "week",
            Cycle::Day => "day",
        }
    }
}

pub(super) fn type_of(values: &Values) -> &'static str {
    match values {
        Values::Numbers(_) => "numbers",
        Values::Dates(_) => "dates",
        Values::Texts { .. } => "texts",
    }
}

impl Coding {
    pub(super) fn takes(&self) -> &'static str {
        match self {
            Coding::Mean(_) | Coding::Bins { .. } => "numbers",
            Coding::Date { .. } => "dates",
            Coding::Categories(_) | Coding::Codes(_) => "texts",
        }
    }
}

impl EncodedColumn {
    pub(super) fn feature_names(&self) -> Vec<String> {
        let name = &self.name;
        match &self.coding {
            Coding::Mean(_) | Coding::Codes(_) => vec![name.clone()],
            Coding::Bins { edges, .. } => {
                (1..edges.len()).map(|bin| format!("{name}: bin {bin}")).collect()
            }
            Coding::Categories(texts) => {
                texts.iter().map(|text| format!("{name}={text}")).collect()
            }
            Coding::Date { cycles, .. } => {
                let waves = cycles.iter().flat_map(|cycle| {
                    ["sin", "cos"].map(|wave| format!("{name}: {wave} of {}", cycle.name()))
                });
                std::iter::once(name.clone()).chain(waves).collect()
            }
        }
    }

    /// Number of its features.
    pub fn features(&self) -> usize {
        match &self.coding {
            Coding::Mean(_) | Coding::Codes(_) => 1,
            Coding::Bins { edges, .. } => edges.len() - 1,
            Coding::Categories(texts) => texts.len(),
            Coding::Date { cycles, .. } => 1 + 2 * cycles.len(),
        }
    }

    pub(super) fn fault(&self) -> Option<String> {
        let name = &self.name;
        match &self.coding {
            Coding::Mean(mean) | Coding::Date { mean, .. } | Coding::Bins { mean, .. }
                if !mean.is_finite() =>
            {
                Some(format!("mean {mean} of '{name}'"))
            }
            Coding::Bins { edges, .. } if !are_edges(edges) => Some(format!("edges of '{name}'")),
            Coding::Date { cycles, .. } if cycles.len() > 3 => {
                Some(format!("{} cycles of '{name}'", cycles.len()))
            }
            Coding::Categories(texts) | Coding::Codes(texts)
                if !(1..=MOST_CATEGORIES).contains(&texts.len()) =>
            {
                Some(format!("{} categories of '{name}'", texts.len()))
            }
            Coding::Categories(texts) | Coding::Codes(texts)
                if texts.iter().collect::<HashSet<_>>().len() < texts.len() =>
            {
                Some(format!("a category twice in '{name}'"))
            }
            _ => None,
        }
    }

    /// The features of one number: see [`Coding::Bins`].
    pub(crate) fn bin_features(mean: f64, edges: &[f64], x: f64, write: impl FnMut(f64)) {
        let x = if x.is_nan() { mean } else { x };
        let bins = edges.len() - 1;
        let share = |(bin, pair): (usize, &[f64])| {
            let share = (x - pair[0]) / (pair[1] - pair[0]);
            let least = if bin == 0 { f64::NEG_INFINITY } else { 0.0 };
            let most = if bin + 1 == bins { f64::INFINITY } else { 1.0 };
            share.clamp(least, most)
        };
        edges.windows(2).enumerate().map(share).for_each(write);
    }

    /// The features of one date, in days since 1970; 0 for the cycles of a missing one.
    pub(crate) fn date_features(
        mean: f64,
        cycles: &[Cycle],
        days: f64,
        mut write: impl FnMut(f64),
    ) {
        write(if days.is_nan() { mean } else { days });
        for cycle in cycles {
            let phase = TAU * (days / cycle.days()).rem_euclid(1.0);
            let (sin, cos) = if days.is_nan() { (0.0, 0.0) } else { phase.sin_cos() };
            write(sin);
            write(cos);
        }
    }

    /// Whether a number, or a date in seconds, is not far outside this range of the training.
    pub(crate) fn is_near(range: Option<(f64, f64)>, x: f64) -> bool {
        near(range).contains(&x)
    }

    /// Texts, gaps and numbers of a column that this was not fitted on.
    pub(super) fn unseen(&self, values: &Values, rows: FrameRows<'_>) -> [Option<Unknown>; 3] {
        let mut all = [None, None, None];
        let mut count = |kind: usize, example: &dyn Fn() -> String| {
            let new = || Unknown { column: self.name.clone(), samples: 0, example: example() };
            all[kind].get_or_insert_with(new).samples += 1;
        };
        match (values, &self.coding) {
            (Values::Texts { codes, names }, Coding::Categories(texts) | Coding::Codes(texts)) => {
                let known = known_categories(texts, names);
                for code in rows.numbers().map(|row| codes[row]) {
                    if code == MISSING {
                        (!self.gaps).then(|| count(1, &String::new));
                    } else if known[code as usize].is_none() {
                        count(0, &|| names[code as usize].clone());
                    }
                }
            }
            (Values::Numbers(numbers) | Values::Dates(numbers), _) => {
                let example = |x: f64| match values {
                    Values::Dates(_) => date_text(x),
                    _ => x.to_string(),
                };
                let near = near(self.range);
                for x in rows.numbers().map(|row| numbers[row]) {
                    if x.is_nan() {
                        (!self.gaps).then(|| count(1, &String::new));
                    } else if !near.contains(&x) {
                        count(2, &|| example(x));
                    }
                }
            }
            _ => {}
        }
        all
    }
}

/// Whether these are edges of bins: at least two, finite with finite distances, and ascending.
fn are_edges(edges: &[f64]) -> bool {
    let is_bin = |pair: &[f64]| pair[0] < pair[1] && (pair[1] - pair[0]).is_finite();
    edges.len() > 1 && edges.iter().all(|edge| edge.is_finite()) && edges.windows(2).all(is_bin)
}

/// The numbers that are not far outside a range.
fn near(range: Option<(f64, f64)>) -> RangeInclusive<f64> {
    let (least, most) = range.unwrap_or((f64::NEG_INFINITY, f64::INFINITY));
    let width = if most.is_finite() { most - least } else { 0.0 };
    least - width..=most + width
}

/// For each text of a table its place among the categories; 1.0 finds 1.
pub(super) fn known_categories(texts: &[String], names: &[String]) -> Vec<Option<usize>> {
    let places: HashMap<&str, usize> = texts.iter().map(String::as_str).zip(0..).collect();
    let find = |name: &String| {
        places.get(name.as_str()).or_else(|| places.get(without_zero_decimals(name))).copied()
    };
    names.iter().map(find).collect()
}
