//! What an encoder takes from the training part, block by block: the same numbers whatever the blocks are.

use std::collections::BTreeSet;

use super::coding::{Coding, Cycle, EncodedColumn, MOST_CATEGORIES};
use super::encoder::{Encoder, EncoderOptions};
use super::frame::{Frame, FrameRows};
use super::table::{DAY, on_all_cores};
use super::text::MISSING;
use super::{Standardization, Values};
use crate::{Error, Result};

/// Columns of numbers whose moments are computed in one loop.
const COLUMNS_AT_ONCE: usize = 8;

/// Fits an encoder and a standardization to samples that come in blocks.
pub(super) struct EncoderFit {
    columns: Vec<(String, ColumnFit)>,
    samples: usize,
}

enum ColumnFit {
    Numbers(Moments),
    Dates {
        /// Of days.
        moments: Moments,
        has_times: bool,
    },
    Texts {
        seen: BTreeSet<String>,
        gaps: bool,
    },
}

/// Count, mean and sum of squared distances from it (Welford 1962): one sample after the other, so that blocks make no difference.
struct Moments {
    count: usize,
    gaps: usize,
    mean: f64,
    squares: f64,
    min: f64,
    max: f64,
}

impl Moments {
    fn new() -> Self {
        Moments {
            count: 0,
            gaps: 0,
            mean: 0.0,
            squares: 0.0,
            min: f64::INFINITY,
            max: f64::NEG_INFINITY,
        }
    }

    fn add(&mut self, x: f64) {
        if x.is_nan() {
            self.gaps += 1;
            return;
        }
        self.count += 1;
        let distance = x - self.mean;
        self.mean += distance / self.count as f64;
        self.squares += distance * (x - self.mean);
        (self.min, self.max) = (self.min.min(x), self.max.max(x));
    }

    /// The deviation of the population, in which the mean stands for gaps; 1 for a constant.
    fn deviation(&self) -> f64 {
        let variance = self.squares / (self.count + self.gaps) as f64;
        if variance == 0.0 || self.min == self.max { 1.0 } else { variance.sqrt() }
    }

    /// The mean, which is exact for a constant.
    fn mean(&self) -> f64 {
        if self.min == self.max { self.min } else { self.mean }
    }
}

impl Encoder {
    /// Takes the mean of each column of numbers, and the texts of each column of texts.
    ///
    /// # Errors
    /// A column without a single value: it cannot be learned from.
    pub fn fit<'f>(rows: impl Into<FrameRows<'f>>) -> Result<Self> {
        Ok(Encoder::fit_with_standardization(rows)?.0)
    }

    /// As [`Encoder::fit`], with the mean and the deviation of each feature, computed from the numbers as they are (f64). Features of
    /// texts and cycles stay as they are (mean 0, deviation 1).
    ///
    /// # Errors
    /// As [`Encoder::fit`]; numbers that spread so widely that their variance is not finite.
    pub fn fit_with_standardization<'f>(
        rows: impl Into<FrameRows<'f>>,
    ) -> Result<(Self, Standardization)> {
        Encoder::fit_with(rows, &EncoderOptions::default())
    }

    /// As [`Encoder::fit_with_standardization`], with other features for columns of many texts, or of numbers.
    ///
    /// ```
    /// # let path = std::env::temp_dir().join(format!("travertine-codes-{}.csv", std::process::id()));
    /// # std::fs::write(&path, "size,color,town,sold\n1,red,Rome,yes\n2,blue,Paris,no\n3,red,Oslo,yes\n")?;
    /// use travertine::data::{Encoder, EncoderOptions, TableOptions, read_frame};
    /// use travertine::layer::Categories;
    /// // color has two texts and town has three.
    /// let frame = read_frame(&path, &TableOptions::default())?;
    /// let options = EncoderOptions { most_one_hot: 2, bins: Some(2) };
    /// let (encoder, _) = Encoder::fit_with(&frame, &options)?;
    /// let names = ["size: bin 1", "size: bin 2", "color=blue", "color=red", "town"];
    /// assert_eq!(encoder.feature_names(), names);
    /// assert_eq!(encoder.categories(), [Categories { feature: 4, count: 3 }]);
    /// // The bins of size are 1 to 2 and 2 to 3; Rome is the third town of the alphabet.
    /// let encoded = encoder.encode::<f64>(&frame, None)?;
    /// assert_eq!(encoded.data.features()[..5], [0.0, 0.0, 0.0, 1.0, 3.0]);
    /// # std::fs::remove_file(&path)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As [`Encoder::fit_with_standardization`]; bins, but fewer than two.
    pub fn fit_with<'f>(
        rows: impl Into<FrameRows<'f>>,
        options: &EncoderOptions,
    ) -> Result<(Self, Standardization)> {
        let rows = rows.into();
        if let Some(bins @ ..2) = options.bins {
            let reason = format!("a number has at least two bins, not {bins}");
            return Err(Error::argument("Encoder::fit_with", reason));
        }
        let mut fit = EncoderFit::new(rows.frame);
        fit.add(rows);
        let edges = |column: usize| match &rows.frame.columns[column].values {
            Values::Numbers(values) => edges(values, rows, options.bins?),
            _ => None,
        };
        fit.finish(options.most_one_hot, edges)
    }
}

/// The edges of bins of equally many of these numbers: quantiles, on the line between two numbers, of which equal ones are
/// one. Nothing for constants, and for numbers so far apart that their distance is not finite.
fn edges(values: &[f64], rows: FrameRows<'_>, bins: usize) -> Option<Vec<f64>> {
    let mut numbers: Vec<f64> =
        rows.numbers().map(|row| values[row]).filter(|x| !x.is_nan()).collect();
    numbers.sort_unstable_by(f64::total_cmp);
    let last = numbers.len().checked_sub(1)?;
    if !(numbers[last] - numbers[0]).is_finite() {
        return None;
    }
    let quantile = |edge: usize| {
        let place = edge as f64 / bins as f64 * last as f64;
        let (below, rest) = (place.floor() as usize, place.fract());
        let above = numbers[last.min(below + 1)];
        numbers[below] + rest * (above - numbers[below])
    };
    let mut edges: Vec<f64> = (0..=bins).map(quantile).collect();
    // A repeated number is several quantiles.
    edges.dedup_by(|next, edge| *next <= *edge);
    (edges.len() > 1).then_some(edges)
}

impl EncoderFit {
    /// For tables with the columns of this one.
    pub(super) fn new(frame: &Frame) -> Self {
        let fit = |values: &Values| match values {
            Values::Numbers(_) => ColumnFit::Numbers(Moments::new()),
            Values::Dates(_) => ColumnFit::Dates { moments: Moments::new(), has_times: false },
            Values::Texts { .. } => ColumnFit::Texts { seen: BTreeSet::new(), gaps: false },
        };
        let columns = frame.columns.iter();
        EncoderFit {
            columns: columns.map(|column| (column.name.clone(), fit(&column.values))).collect(),
            samples: 0,
        }
    }

    pub(super) fn add(&mut self, rows: FrameRows<'_>) {
        self.samples += rows.samples();
        on_all_cores(&mut self.columns, rows, |fits, columns| {
            let mut numbers = Vec::new();
            for ((_, fit), column) in fits.iter_mut().zip(columns) {
                match (fit, &column.values) {
                    (ColumnFit::Numbers(moments), Values::Numbers(values)) => {
                        numbers.push((moments, &values[..]));
                    }
                    (fit, values) => fit.add(values, rows),
                }
            }
            // Each step of a mean waits for the division of the step before; several columns do not wait for each other.
            for columns in numbers.chunks_mut(COLUMNS_AT_ONCE) {
                for row in rows.numbers() {
                    columns.iter_mut().for_each(|(moments, values)| moments.add(values[row]));
                }
            }
        });
    }

    /// A column with more than `most` texts is coded by their numbers, one with edges by bins.
    pub(super) fn finish(
        self,
        most: usize,
        edges: impl Fn(usize) -> Option<Vec<f64>>,
    ) -> Result<(Encoder, Standardization)> {
        let (mut mean, mut deviation, mut columns) = (Vec::new(), Vec::new(), Vec::new());
        for (place, (name, fit)) in self.columns.into_iter().enumerate() {
            let mut column = fit.finish(name, most)?;
            if let (&Coding::Mean(mean), Some(edges)) = (&column.0.coding, edges(place)) {
                column.0.coding = Coding::Bins { mean, edges };
                column.1 = (0.0, 1.0);
            }
            let (m, d) = column.1;
            mean.push(m);
            deviation.push(d);
            let more = column.0.features() - 1;
            mean.extend(std::iter::repeat_n(0.0, more));
            deviation.extend(std::iter::repeat_n(1.0, more));
            columns.push(column.0);
        }
        let encoder = Encoder { columns };
        let unscaled = encoder.unscaled();
        let standardization = Standardization { mean, deviation, bound: None, unscaled };
        standardization.check("Encoder::fit")?;
        Ok((encoder, standardization))
    }
}

impl ColumnFit {
    /// Adds the dates or texts of a column in these rows, one after the other.
    fn add(&mut self, values: &Values, rows: FrameRows<'_>) {
        match (self, values) {
            (ColumnFit::Dates { moments, has_times }, Values::Dates(values)) => {
                for row in rows.numbers() {
                    moments.add(values[row] / DAY);
                    *has_times |= !values[row].is_nan() && values[row].rem_euclid(DAY) != 0.0;
                }
            }
            (ColumnFit::Texts { seen, gaps }, Values::Texts { codes, names }) => {
                let mut occurs = vec![false; names.len()];
                for code in rows.numbers().map(|row| codes[row]) {
                    match code {
                        MISSING => *gaps = true,
                        code => occurs[code as usize] = true,
                    }
                }
                let new = names
                    .iter()
                    .zip(occurs)
                    .filter(|(name, occurs)| *occurs && !seen.contains(*name));
                let new: Vec<String> = new.map(|(name, _)| name.clone()).collect();
                seen.extend(new);
            }
            // A column has one type in all blocks.
            _ => {}
        }
    }

    /// The column, and mean and deviation of its first feature.
    fn finish(self, name: String, most: usize) -> Result<(EncodedColumn, (f64, f64))> {
        let empty = match &self {
            ColumnFit::Numbers(moments) | ColumnFit::Dates { moments, .. } => moments.count == 0,
            ColumnFit::Texts { seen, .. } => seen.is_empty(),
        };
        if empty {
            let reason = format!(
                "column '{name}' has no value in the training part; leave it out (TableOptions::drop)"
            );
            return Err(Error::argument("Encoder::fit", reason));
        }
        Ok(match self {
            ColumnFit::Numbers(moments) => {
                let (gaps, range) = (moments.gaps > 0, Some((moments.min, moments.max)));
                let coding = Coding::Mean(moments.mean());
                let scale = (moments.mean(), moments.deviation());
                (EncodedColumn { name, coding, gaps, range }, scale)
            }
            ColumnFit::Dates { moments, has_times } => {
                let (gaps, range) =
                    (moments.gaps > 0, Some((moments.min * DAY, moments.max * DAY)));
                let span = moments.max - moments.min;
                let spans = [(Cycle::Year, true), (Cycle::Week, true), (Cycle::Day, has_times)];
                let covered =
                    spans.into_iter().filter(|(cycle, occurs)| *occurs && span >= cycle.days());
                let cycles = covered.map(|(cycle, _)| cycle).collect();
                let coding = Coding::Date { mean: moments.mean(), cycles };
                let scale = (moments.mean(), moments.deviation());
                (EncodedColumn { name, coding, gaps, range }, scale)
            }
            ColumnFit::Texts { seen, .. } if seen.len() > MOST_CATEGORIES => {
                let reason = format!(
                    "column '{name}' has {} different texts; at most {MOST_CATEGORIES}",
                    seen.len()
                );
                return Err(Error::argument("Encoder::fit", reason));
            }
            ColumnFit::Texts { seen, gaps } => {
                let texts: Vec<String> = seen.into_iter().collect();
                let coding = match texts.len() > most {
                    true => Coding::Codes(texts),
                    false => Coding::Categories(texts),
                };
                (EncodedColumn { name, coding, gaps, range: None }, (0.0, 1.0))
            }
        })
    }
}
