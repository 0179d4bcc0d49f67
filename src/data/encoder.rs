//! From tables with texts, dates and gaps to numbers.

use std::collections::{HashMap, HashSet};
use std::f64::consts::TAU;
use std::thread;

use serde::{Deserialize, Serialize};

use super::frame::{FrameRows, Unknown, dataset};
use super::table::{DAY, without_zero_decimals};
use super::text::MISSING;
use super::{Column, Dataset, Standardization, Values};
use crate::{Error, Result, Scalar};

/// More categories than this make no sense in a column.
pub(super) const MOST_CATEGORIES: usize = 10_000;
/// Samples that are encoded column by column: their features stay in the L1 cache.
const TILE: usize = 64;
/// Samples from which on a second thread pays.
const SAMPLES_PER_THREAD: usize = 4096;

/// How a table becomes features: a column of numbers is one feature, whose missing values are the mean of those it was fitted
/// on; a date is a feature of days and, where dates span them, a sine and a cosine of the year, the week and the day; a column of texts is a
/// feature for each text that occurred there, 1 where it stands and 0 elsewhere ("one-hot"), in the order of the alphabet. A missing text,
/// and one that did not occur, is 0 everywhere.
///
/// Fit it on the training part alone, and encode with it whatever the network sees later.
///
/// ```
/// # let path = std::env::temp_dir().join(format!("travertine-encoder-{}.csv", std::process::id()));
/// # std::fs::write(&path, "age,color,sold\n1,red,yes\n,blue,no\n5,,yes\n")?;
/// use travertine::data::{Encoder, TableOptions, read_frame};
/// let frame = read_frame(&path, &TableOptions::default())?;
/// let encoder = Encoder::fit(&frame)?;
/// assert_eq!(encoder.feature_names(), ["age", "color=blue", "color=red"]);
/// let encoded = encoder.encode::<f64>(&frame, None)?;
/// assert_eq!(encoded.data.features(), [1.0, 0.0, 1.0, 3.0, 1.0, 0.0, 5.0, 0.0, 0.0]);
/// # std::fs::remove_file(&path)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Encoder {
    pub(super) columns: Vec<EncodedColumn>,
}

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
    /// A feature for each of these.
    Categories(Vec<String>),
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

/// What [`Encoder::encode`] made.
#[derive(Clone, Debug, PartialEq)]
pub struct Encoded<T: Scalar> {
    /// The samples as numbers.
    pub data: Dataset<T>,
    /// Texts that the encoder had not been fitted on, column by column.
    pub unknown: Vec<Unknown>,
    /// Missing values in columns that had none where the encoder was fitted.
    pub gaps: Vec<Unknown>,
    /// Numbers that are further outside the range of those the encoder was fitted on than that range is wide.
    pub outside: Vec<Unknown>,
    /// Columns that are left out because they were constant, where they are not.
    pub changed: Vec<Unknown>,
}

impl<T: Scalar> Encoded<T> {
    /// What a person should know before trusting predictions for these samples, a sentence each.
    pub fn warnings(&self) -> Vec<String> {
        let samples = |count: usize| {
            if count == 1 { "1 sample".to_owned() } else { format!("{count} samples") }
        };
        let line = |list: &[Unknown], text: &dyn Fn(&Unknown) -> String| -> Vec<String> {
            list.iter()
                .map(|unknown| format!("{}: {}", samples(unknown.samples), text(unknown)))
                .collect()
        };
        [
            line(&self.unknown, &|u| {
                format!(
                    "'{}' is {:?}, which training did not see; it counts as no category",
                    u.column, u.example
                )
            }),
            line(&self.gaps, &|u| {
                format!("'{}' is missing, as never in training; the mean stands for it", u.column)
            }),
            line(&self.outside, &|u| {
                format!("'{}' is {}, far outside the numbers of the training", u.column, u.example)
            }),
            line(&self.changed, &|u| {
                format!(
                    "'{}' is {:?}; it was constant in training, so it has no influence",
                    u.column, u.example
                )
            }),
        ]
        .concat()
    }
}

impl Encoder {
    /// For columns of numbers without gaps, which stay as they are, with their means.
    pub(crate) fn of_numbers(columns: impl Iterator<Item = (String, f64)>) -> Self {
        let column = |(name, mean)| EncodedColumn {
            name,
            coding: Coding::Mean(mean),
            gaps: false,
            range: None,
        };
        Encoder { columns: columns.map(column).collect() }
    }

    /// The columns of the table.
    pub fn columns(&self) -> &[EncodedColumn] {
        &self.columns
    }

    /// The names of the features: of the column, "column=text", or "column: sin of year".
    pub fn feature_names(&self) -> Vec<String> {
        self.columns.iter().flat_map(EncodedColumn::feature_names).collect()
    }

    /// Number of features.
    pub fn features(&self) -> usize {
        self.columns.iter().map(EncodedColumn::features).sum()
    }

    /// The samples of a table with the columns that this was fitted on, standardized before they are rounded to `T`.
    ///
    /// # Errors
    /// Other columns, in name, type or order; a standardization of another number of features; a number that `T` cannot hold.
    pub fn encode<'f, T: Scalar>(
        &self,
        rows: impl Into<FrameRows<'f>>,
        standardization: Option<&Standardization>,
    ) -> Result<Encoded<T>> {
        let rows = rows.into();
        self.check_columns(&rows.frame.columns)?;
        let inputs = self.features();
        if let Some(standardization) = standardization {
            standardization.check_inputs("Encoder::encode", inputs)?;
        }
        let writers: Vec<Writer<'_>> = self.writers(&rows.frame.columns, standardization);
        let mut features = vec![T::default(); inputs * rows.samples()];
        let threads = thread::available_parallelism().map_or(1, usize::from);
        let share = rows.samples().div_ceil(threads).max(SAMPLES_PER_THREAD);
        thread::scope(|scope| {
            for (part, features) in features.chunks_mut(share * inputs).enumerate() {
                let writers = &writers;
                scope.spawn(move || write_samples(writers, rows, part * share, (features, inputs)));
            }
        });
        self.check_finite(&features, inputs)?;
        let names = if rows.frame.named { self.feature_names() } else { Vec::new() };
        let data = dataset(rows, inputs, features, names)?;
        let [unknown, gaps, outside] = self.unseen(rows);
        let changed = rows.frame.changed.clone();
        Ok(Encoded { data, unknown, gaps, outside, changed })
    }

    /// Names the feature that `T` cannot hold.
    fn check_finite<T: Scalar>(&self, features: &[T], inputs: usize) -> Result<()> {
        let Some(i) = features.iter().position(|x| !x.is_finite()) else { return Ok(()) };
        let name = self.feature_names().swap_remove(i % inputs);
        let reason = format!(
            "sample {} (counted from 0): feature '{name}' is {}, too large for {}",
            i / inputs,
            features[i],
            T::NAME
        );
        Err(Error::argument("Encoder::encode", reason))
    }

    /// Refuses a table with other columns, in number, name, order or type.
    fn check_columns(&self, columns: &[Column]) -> Result<()> {
        let (found, expected) = (columns.len(), self.columns.len());
        let wrong = |reason| Err(Error::argument("Encoder::encode", reason));
        if found != expected {
            return wrong(format!(
                "the table has {found} columns; the encoder was fitted on {expected}"
            ));
        }
        for (ours, theirs) in self.columns.iter().zip(columns) {
            if ours.name != theirs.name {
                return wrong(format!(
                    "found column '{}' where '{}' was expected",
                    theirs.name, ours.name
                ));
            }
            let (found, expected) = (type_of(&theirs.values), ours.coding.takes());
            if found != expected {
                let name = &ours.name;
                return wrong(format!(
                    "column '{name}' has {found}; the encoder was fitted on {expected}"
                ));
            }
        }
        Ok(())
    }

    fn writers<'a>(
        &'a self,
        columns: &'a [Column],
        standardization: Option<&Standardization>,
    ) -> Vec<Writer<'a>> {
        let mut first = 0;
        let pairs = self.columns.iter().zip(columns);
        pairs
            .map(|(ours, column)| {
                let scale = |feature: usize| {
                    standardization.map_or((0.0, 1.0), |s| (s.mean[feature], s.deviation[feature]))
                };
                let writer = Writer::new(ours, &column.values, first, scale(first));
                first += ours.features();
                writer
            })
            .collect()
    }

    /// Texts, gaps and numbers that this was not fitted on.
    fn unseen(&self, rows: FrameRows<'_>) -> [Vec<Unknown>; 3] {
        let mut all = [Vec::new(), Vec::new(), Vec::new()];
        for (ours, column) in self.columns.iter().zip(&rows.frame.columns) {
            for (list, unseen) in all.iter_mut().zip(ours.unseen(&column.values, rows)) {
                list.extend(unseen);
            }
        }
        all
    }

    /// What is wrong with an encoder that comes from a file.
    pub(crate) fn fault(&self) -> Option<String> {
        let mut names = HashSet::new();
        self.columns.iter().find_map(|column| {
            if !names.insert(&column.name) {
                return Some(format!("two columns '{}'", column.name));
            }
            column.fault()
        })
    }
}

fn type_of(values: &Values) -> &'static str {
    match values {
        Values::Numbers(_) => "numbers",
        Values::Dates(_) => "dates",
        Values::Texts { .. } => "texts",
    }
}

impl Coding {
    fn takes(&self) -> &'static str {
        match self {
            Coding::Mean(_) => "numbers",
            Coding::Date { .. } => "dates",
            Coding::Categories(_) => "texts",
        }
    }
}

impl EncodedColumn {
    fn feature_names(&self) -> Vec<String> {
        let name = &self.name;
        match &self.coding {
            Coding::Mean(_) => vec![name.clone()],
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

    pub(super) fn features(&self) -> usize {
        match &self.coding {
            Coding::Mean(_) => 1,
            Coding::Categories(texts) => texts.len(),
            Coding::Date { cycles, .. } => 1 + 2 * cycles.len(),
        }
    }

    fn fault(&self) -> Option<String> {
        let name = &self.name;
        match &self.coding {
            Coding::Mean(mean) | Coding::Date { mean, .. } if !mean.is_finite() => {
                Some(format!("mean {mean} of '{name}'"))
            }
            Coding::Date { cycles, .. } if cycles.len() > 3 => {
                Some(format!("{} cycles of '{name}'", cycles.len()))
            }
            Coding::Categories(texts) if !(1..=MOST_CATEGORIES).contains(&texts.len()) => {
                Some(format!("{} categories of '{name}'", texts.len()))
            }
            Coding::Categories(texts)
                if texts.iter().collect::<HashSet<_>>().len() < texts.len() =>
            {
                Some(format!("a category twice in '{name}'"))
            }
            _ => None,
        }
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

    /// Texts, gaps and numbers of a column that this was not fitted on.
    fn unseen(&self, values: &Values, rows: FrameRows<'_>) -> [Option<Unknown>; 3] {
        let mut all = [None, None, None];
        let mut count = |kind: usize, example: &dyn Fn() -> String| {
            let new = || Unknown { column: self.name.clone(), samples: 0, example: example() };
            all[kind].get_or_insert_with(new).samples += 1;
        };
        match (values, &self.coding) {
            (Values::Texts { codes, names }, Coding::Categories(texts)) => {
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
                let (least, most) = self.range.unwrap_or((f64::NEG_INFINITY, f64::INFINITY));
                let width = if most.is_finite() { most - least } else { 0.0 };
                let allowed = least - width..=most + width;
                for x in rows.numbers().map(|row| numbers[row]) {
                    if x.is_nan() {
                        (!self.gaps).then(|| count(1, &String::new));
                    } else if !allowed.contains(&x) {
                        count(2, &|| x.to_string());
                    }
                }
            }
            _ => {}
        }
        all
    }
}

/// For each text of a table its place among the categories; 1.0 finds 1.
fn known_categories(texts: &[String], names: &[String]) -> Vec<Option<usize>> {
    let places: HashMap<&str, usize> = texts.iter().map(String::as_str).zip(0..).collect();
    let find = |name: &String| {
        places.get(name.as_str()).or_else(|| places.get(without_zero_decimals(name))).copied()
    };
    names.iter().map(find).collect()
}

/// Writes the features of one column.
struct Writer<'a> {
    /// The first feature.
    first: usize,
    /// Of the first feature.
    mean: f64,
    deviation: f64,
    values: Written<'a>,
}

enum Written<'a> {
    Numbers(&'a [f64], f64),
    Dates(&'a [f64], f64, &'a [Cycle]),
    /// For each text its feature, counted from the first.
    Categories(&'a [u32], Vec<Option<usize>>),
}

impl<'a> Writer<'a> {
    fn new(
        ours: &'a EncodedColumn,
        values: &'a Values,
        first: usize,
        (mean, deviation): (f64, f64),
    ) -> Self {
        let values = match (values, &ours.coding) {
            (Values::Dates(values), Coding::Date { mean, cycles }) => {
                Written::Dates(values, *mean, cycles)
            }
            (Values::Texts { codes, names }, Coding::Categories(texts)) => {
                Written::Categories(codes, known_categories(texts, names))
            }
            (Values::Numbers(values), Coding::Mean(mean)) => Written::Numbers(values, *mean),
            // `check_columns` has refused all others.
            _ => Written::Numbers(&[], 0.0),
        };
        Writer { first, mean, deviation, values }
    }

    /// Writes the features of these samples, which are 0 before; `features`: `inputs x samples`.
    fn write<T: Scalar>(
        &self,
        samples: impl Iterator<Item = usize>,
        (features, inputs): (&mut [T], usize),
    ) {
        let (mean, deviation) = (self.mean, self.deviation);
        let places = features.chunks_exact_mut(inputs).map(|sample| &mut sample[self.first..]);
        match &self.values {
            Written::Numbers(values, gap) => {
                for (place, sample) in places.zip(samples) {
                    let x = values[sample];
                    let x = if x.is_nan() { *gap } else { x };
                    place[0] = T::from_f64((x - mean) / deviation);
                }
            }
            Written::Dates(values, gap, cycles) => {
                for (place, sample) in places.zip(samples) {
                    let mut feature = 0;
                    EncodedColumn::date_features(*gap, cycles, values[sample] / DAY, |x| {
                        let x = if feature == 0 { (x - mean) / deviation } else { x };
                        place[feature] = T::from_f64(x);
                        feature += 1;
                    });
                }
            }
            Written::Categories(codes, known) => {
                for (place, sample) in places.zip(samples) {
                    let code = codes[sample];
                    if code != MISSING
                        && let Some(text) = known[code as usize]
                    {
                        place[text] = T::from_f64(1.0);
                    }
                }
            }
        }
    }
}

/// Writes samples from `from` on, a tile after the other.
fn write_samples<T: Scalar>(
    writers: &[Writer<'_>],
    rows: FrameRows<'_>,
    from: usize,
    (features, inputs): (&mut [T], usize),
) {
    for (tile, features) in features.chunks_mut(TILE * inputs).enumerate() {
        let first = from + tile * TILE;
        let samples = first..first + features.len() / inputs;
        for writer in writers {
            writer.write(samples.clone().map(|i| rows.number(i)), (&mut *features, inputs));
        }
    }
}
