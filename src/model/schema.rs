//! From one raw row to the network's inputs: the same numbers as an [`Encoder`](crate::data::Encoder) and
//! a [`Standardization`] make of a whole table.

use std::collections::HashMap;
use std::fmt;

use crate::data::text::{counted, is_missing, listed, quoted, truth};
use crate::data::{
    Coding, ColumnType, Cycle, DateOrder, EncodedColumn, Encoder, NumberFormat,
    Schema as TableSchema, Standardization, has_zone, without_zero_decimals,
};
use crate::error::{Error, Result};
use crate::model_file::ModelInfo;
use crate::scalar::Scalar;

/// A column of the raw rows that a model predicts from.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct InputColumn {
    /// Its name in the training table; "column N", counted from 1, where that had no names.
    pub name: String,
    /// The values that may stand in it.
    pub kind: InputKind,
    /// Whether a value may be missing, because values were missing in the training part: a missing number becomes the mean of the
    /// training part, a missing text belongs to no category.
    pub allows_gaps: bool,
}

/// The values that may stand in an [`InputColumn`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum InputKind {
    /// Finite numbers.
    Number,
    /// Texts, one of these.
    Categories(Vec<String>),
    /// Dates as ISO 8601 writes them, also with a time.
    Date,
}

/// One raw value.
#[derive(Clone, Copy, Debug)]
pub(super) enum Value<'a> {
    Number(f64),
    Integer(i128),
    Bool(bool),
    Text(&'a str),
    Missing,
}

/// A value that does not fit its column: (expected, found).
pub(super) type Misfit = (String, String);

/// What stands in the features of a column.
enum Slot {
    /// One feature; the mean stands for a missing number.
    Number { mean: Option<f64>, written: Written, range: Option<(f64, f64)> },
    /// A feature for each text.
    Categories(HashMap<String, usize>),
    Bins {
        /// As of [`Slot::Number`].
        mean: Option<f64>,
        edges: Vec<f64>,
        written: Written,
        range: Option<(f64, f64)>,
    },
    /// A feature with the number of the text, counted from 1.
    Codes(HashMap<String, usize>),
    /// Days, and a sine and a cosine for each cycle.
    Date {
        mean: f64,
        cycles: Vec<Cycle>,
        allows_gaps: bool,
        written: Written,
        range: Option<(f64, f64)>,
    },
}

/// How training read the values of a column of numbers or dates.
#[derive(Clone, Copy)]
enum Written {
    /// As numbers.
    Numbers(NumberFormat),
    /// As true and false.
    Truth,
    /// As dates, of which all have a zone or none has.
    Dates { zones: bool },
    /// The model does not say.
    Unknown,
}

impl Written {
    fn of(schema: Option<&TableSchema>, name: &str) -> Self {
        let column = schema.and_then(|s| s.columns.iter().find(|column| column.name == name));
        match column.map(|column| (column.column_type, column.zones)) {
            Some((ColumnType::Number(format), _)) => Written::Numbers(format),
            Some((ColumnType::Truth, _)) => Written::Truth,
            Some((ColumnType::Date(_), Some(zones))) => Written::Dates { zones },
            _ => Written::Unknown,
        }
    }
}

/// What becomes of a value that fits its column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fit {
    /// As in training.
    Known,
    /// A text that is none of the categories.
    Unknown,
    /// A number far outside those of the training.
    Outside,
}

/// Where a raw row comes from, for messages.
#[derive(Clone, Copy, Debug)]
pub(super) struct Origin {
    /// "row" or "record"
    pub(super) noun: &'static str,
    /// Its number in a batch, counted from 0; `None` for a single one.
    pub(super) number: Option<usize>,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.number {
            Some(number) => write!(f, "{} {number} (counted from 0)", self.noun),
            None => f.write_str(self.noun),
        }
    }
}

/// The columns of a model's raw rows and how they become features.
pub(super) struct Schema {
    columns: Vec<InputColumn>,
    slots: Vec<Slot>,
    /// The first feature of each column.
    first: Vec<usize>,
    by_name: HashMap<String, usize>,
    /// Whether every column is one of numbers.
    is_numeric: bool,
    standardization: Option<Standardization>,
}

impl Schema {
    /// `info` fits a network of so many inputs.
    pub(super) fn new(info: &ModelInfo, encoder: &Encoder) -> Self {
        let written = |name: &str| Written::of(info.schema.as_ref(), name);
        let columns = encoder.columns().iter();
        let columns = columns.map(|column| encoded_column(column, written(&column.name)));
        let (mut columns, mut slots): (Vec<InputColumn>, Vec<Slot>) = columns.unzip();
        if info.encoder.is_none() {
            columns.iter_mut().for_each(|column| column.allows_gaps = false);
            slots.fill_with(|| Slot::Number { mean: None, written: Written::Unknown, range: None });
        }
        let features = slots.iter().map(Slot::features);
        let first = features.scan(0, |next, count| Some(std::mem::replace(next, *next + count)));
        let first = first.collect();
        let by_name = columns.iter().map(|column| column.name.clone()).zip(0..).collect();
        let is_numeric = slots.iter().all(|slot| matches!(slot, Slot::Number { .. }));
        let standardization = info.standardization.clone();
        Schema { columns, slots, first, by_name, is_numeric, standardization }
    }

    pub(super) fn columns(&self) -> &[InputColumn] {
        &self.columns
    }

    /// The column of this name.
    pub(super) fn find(&self, name: &str) -> Option<usize> {
        self.by_name.get(name).copied()
    }

    /// Writes a row of numbers, one a column, into the standardized features of a sample.
    pub(super) fn write_numbers<T: Scalar>(
        &self,
        row: &[f64],
        features: &mut [T],
        origin: Origin,
    ) -> Result<()> {
        if !self.is_numeric || row.len() != self.columns.len() {
            return Err(self.not_numbers(row.len(), origin));
        }
        if let Some(column) = row.iter().position(|x| !x.is_finite()) {
            return Err(self.misfit(origin, column, (FINITE.to_owned(), row[column].to_string())));
        }
        self.standardize_into(row, features, origin)
    }

    /// Why numbers are no row of this model.
    fn not_numbers(&self, found: usize, origin: Origin) -> Error {
        let texts = self.columns.iter().position(|column| column.kind != InputKind::Number);
        if let Some(column) = texts {
            let expected = "a text; use predict_record".to_owned();
            return self.misfit(origin, column, (expected, "a number".to_owned()));
        }
        let names: Vec<String> = self.columns.iter().map(|column| column.name.clone()).collect();
        let expected =
            format!("{}, one for each of {}", counted(names.len(), "number"), listed(&names));
        Error::format(origin.to_string(), "length", expected, found.to_string())
    }

    /// Writes one value into the features of a sample, which are 0 before and stay so for a text that is none of the categories.
    pub(super) fn write(
        &self,
        column: usize,
        value: Value<'_>,
        features: &mut [f64],
    ) -> Result<Fit, Misfit> {
        let first = self.first[column];
        match &self.slots[column] {
            Slot::Number { mean, written, range } => {
                features[first] = number(value, *mean, *written)?;
                let is_known = EncodedColumn::is_near(*range, features[first]);
                Ok(if is_known { Fit::Known } else { Fit::Outside })
            }
            Slot::Date { mean, cycles, allows_gaps, written, range } => {
                let days = days(value, *allows_gaps, *written)?;
                let mut places = features[first..].iter_mut();
                EncodedColumn::date_features(*mean, cycles, days, |x| {
                    places.next().into_iter().for_each(|place| *place = x);
                });
                let is_known = days.is_nan() || EncodedColumn::is_near(*range, days * DAY);
                Ok(if is_known { Fit::Known } else { Fit::Outside })
            }
            Slot::Bins { mean, edges, written, range } => {
                let x = number(value, *mean, *written)?;
                let mut places = features[first..].iter_mut();
                EncodedColumn::bin_features(x, edges, x, |x| {
                    places.next().into_iter().for_each(|place| *place = x);
                });
                let is_known = EncodedColumn::is_near(*range, x);
                Ok(if is_known { Fit::Known } else { Fit::Outside })
            }
            Slot::Codes(texts) => match category(value, texts)? {
                Category::Known(text) => {
                    features[first] = text as f64 + 1.0;
                    Ok(Fit::Known)
                }
                Category::Missing => Ok(Fit::Known),
                Category::Unknown => Ok(Fit::Unknown),
            },
            Slot::Categories(texts) => match category(value, texts)? {
                Category::Known(text) => {
                    features[first + text] = 1.0;
                    Ok(Fit::Known)
                }
                Category::Missing => Ok(Fit::Known),
                Category::Unknown => Ok(Fit::Unknown),
            },
        }
    }

    /// Standardizes raw features into those of a sample, before they are rounded to `T`.
    pub(super) fn standardize_into<T: Scalar>(
        &self,
        raw: &[f64],
        features: &mut [T],
        origin: Origin,
    ) -> Result<()> {
        let mut is_finite = true;
        match &self.standardization {
            Some(standardization) => {
                for (i, (feature, &x)) in features.iter_mut().zip(raw).enumerate() {
                    *feature = T::from_f64(standardization.scaled(i, x));
                    is_finite &= feature.is_finite();
                }
            }
            None => {
                for (feature, &x) in features.iter_mut().zip(raw) {
                    *feature = T::from_f64(x);
                    is_finite &= feature.is_finite();
                }
            }
        }
        if is_finite { Ok(()) } else { Err(self.overflow(features, origin)) }
    }

    /// The error for features of which one is not finite.
    fn overflow<T: Scalar>(&self, features: &[T], origin: Origin) -> Error {
        let feature = features.iter().position(|x| !x.is_finite()).unwrap_or_default();
        let column = self.first.partition_point(|&first| first <= feature) - 1;
        let expected = "a number near those of the training part".to_owned();
        let found = format!("one that overflows {} when it is standardized", T::NAME);
        self.misfit(origin, column, (expected, found))
    }

    /// Standardizes the features of a sample.
    pub(super) fn standardize<T: Scalar>(&self, features: &mut [T], origin: Origin) -> Result<()> {
        let Some(standardization) = &self.standardization else { return Ok(()) };
        match standardization.apply_to(features) {
            None => Ok(()),
            Some(_) => Err(self.overflow(features, origin)),
        }
    }

    pub(super) fn misfit(&self, origin: Origin, column: usize, misfit: Misfit) -> Error {
        let (expected, found) = misfit;
        let place = format!("column '{}'", self.columns[column].name);
        Error::format(origin.to_string(), place, expected, found)
    }

    /// Why a text that training did not see is refused.
    pub(super) fn unknown(&self, column: usize, value: Value<'_>) -> Misfit {
        let texts = match &self.columns[column].kind {
            InputKind::Categories(texts) => listed(texts),
            _ => String::new(),
        };
        (format!("one of the texts of the training part, {texts}"), value.to_string())
    }
}

impl Slot {
    fn features(&self) -> usize {
        match self {
            Slot::Number { .. } | Slot::Codes(_) => 1,
            Slot::Bins { edges, .. } => edges.len() - 1,
            Slot::Categories(texts) => texts.len(),
            Slot::Date { cycles, .. } => 1 + 2 * cycles.len(),
        }
    }
}

fn encoded_column(column: &EncodedColumn, written: Written) -> (InputColumn, Slot) {
    let (allows_gaps, range) = (column.gaps, column.range);
    let (kind, slot) = match &column.coding {
        &Coding::Mean(mean) => {
            let mean = allows_gaps.then_some(mean);
            (InputKind::Number, Slot::Number { mean, written, range })
        }
        Coding::Bins { mean, edges } => {
            let (mean, edges) = (allows_gaps.then_some(*mean), edges.clone());
            (InputKind::Number, Slot::Bins { mean, edges, written, range })
        }
        Coding::Categories(texts) => {
            let places = texts.iter().cloned().zip(0..).collect();
            (InputKind::Categories(texts.clone()), Slot::Categories(places))
        }
        Coding::Codes(texts) => {
            let places = texts.iter().cloned().zip(0..).collect();
            (InputKind::Categories(texts.clone()), Slot::Codes(places))
        }
        &Coding::Date { mean, ref cycles } => {
            let cycles = cycles.clone();
            (InputKind::Date, Slot::Date { mean, cycles, allows_gaps, written, range })
        }
    };
    (InputColumn { name: column.name.clone(), kind, allows_gaps }, slot)
}

const FINITE: &str = "a finite number";
/// Seconds of a day.
const DAY: f64 = 86_400.0;

/// The feature of a column of numbers.
fn number(value: Value<'_>, mean: Option<f64>, written: Written) -> Result<f64, Misfit> {
    let misfit = |expected: &str| Err((expected.to_owned(), value.to_string()));
    let is_truth = matches!(written, Written::Truth);
    let format = match written {
        Written::Numbers(format) => Some(format),
        _ => None,
    };
    let x = match value {
        Value::Text(text) if is_truth => match truth(text.trim()) {
            Some(truth) => f64::from(u8::from(truth)),
            None => return misfit("true or false"),
        },
        // The sign of a percentage or of a currency makes clear what the number is.
        Value::Text(text) => match format.filter(|f| f.unit.is_some()).map(|f| f.parse(text)) {
            Some(Some(x)) => x,
            _ => return misfit(FINITE),
        },
        Value::Number(_) | Value::Integer(_) if format.is_some_and(|f| f.unit == Some('%')) => {
            return misfit(
                "a text with %, as \"90%\", as in training: 0.9 alone may be 90% or 0.9%",
            );
        }
        Value::Bool(_) if format.is_some() => return misfit(FINITE),
        Value::Number(x) => x,
        Value::Integer(x) => x as f64,
        Value::Bool(x) => f64::from(u8::from(x)),
        Value::Missing => return mean.ok_or_else(|| gap(FINITE, value)),
    };
    // As in tables: anything else than 0 and 1 is no truth value.
    if is_truth && x != 0.0 && x != 1.0 {
        return misfit("true or false");
    }
    if x.is_finite() { Ok(x) } else { misfit(FINITE) }
}

/// Days since 1970; NaN for a missing date.
fn days(value: Value<'_>, allows_gaps: bool, written: Written) -> Result<f64, Misfit> {
    let expected = match written {
        Written::Dates { zones: true } => "a date with a zone, as 2026-11-29T12:00:00Z",
        Written::Dates { zones: false } => {
            "a date without a zone, as 2026-11-29 or 2026-11-29T12:00:00"
        }
        _ => "a date as 2026-11-29 or 2026-11-29T12:00:00Z",
    };
    let fits = |text: &str| match written {
        Written::Dates { zones } => zones == has_zone(text),
        _ => true,
    };
    match value {
        Value::Text(text) => DateOrder::YearFirst
            .parse(text.trim())
            .filter(|_| fits(text.trim()))
            .map(|seconds| seconds / DAY)
            .ok_or_else(|| (expected.to_owned(), value.to_string())),
        Value::Missing if allows_gaps => Ok(f64::NAN),
        Value::Missing => Err(gap(expected, value)),
        _ => Err((expected.to_owned(), value.to_string())),
    }
}

/// Why a missing value is refused.
fn gap(expected: &str, value: Value<'_>) -> Misfit {
    (format!("{expected}; the training part had no gaps"), value.to_string())
}

enum Category {
    Known(usize),
    Missing,
    Unknown,
}

/// All whole numbers below are exact.
const MOST_EXACT: f64 = (1u64 << 53) as f64;

/// The category of a value. Whole numbers and truth values are looked up by their text, as a CSV file has it.
fn category(value: Value<'_>, texts: &HashMap<String, usize>) -> Result<Category, Misfit> {
    let find =
        |text: &str| texts.get(text).map_or(Category::Unknown, |&text| Category::Known(text));
    match value {
        Value::Text(text) if is_missing(text) => Ok(Category::Missing),
        Value::Text(text) => Ok(match find(text.trim()) {
            Category::Unknown => find(without_zero_decimals(text.trim())),
            known => known,
        }),
        Value::Bool(value) => Ok(find(if value { "true" } else { "false" })),
        Value::Integer(x) => Ok(find(Digits::of(x).text())),
        // 1 and 1.0 are one category, as in a table.
        Value::Number(x) if x.fract() == 0.0 && x.abs() < MOST_EXACT => {
            Ok(find(Digits::of(x as i128).text()))
        }
        Value::Missing => Ok(Category::Missing),
        Value::Number(_) => Err(("a text".to_owned(), value.to_string())),
    }
}

/// The decimal digits of a whole number, without memory from the heap.
struct Digits {
    bytes: [u8; 40],
    first: usize,
}

impl Digits {
    fn of(x: i128) -> Self {
        let (mut digits, mut rest) = (Digits { bytes: [b'0'; 40], first: 40 }, x.unsigned_abs());
        while digits.first == 40 || rest > 0 {
            digits.push(b'0' + (rest % 10) as u8);
            rest /= 10;
        }
        if x < 0 {
            digits.push(b'-');
        }
        digits
    }

    fn push(&mut self, byte: u8) {
        self.first -= 1;
        self.bytes[self.first] = byte;
    }

    fn text(&self) -> &str {
        std::str::from_utf8(&self.bytes[self.first..]).unwrap_or_default()
    }
}

/// As messages show it.
impl fmt::Display for Value<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Number(x) => write!(f, "{x}"),
            Value::Integer(x) => write!(f, "{x}"),
            Value::Bool(x) => write!(f, "{x}"),
            Value::Text(text) => write!(f, "the text {}", quoted(text)),
            Value::Missing => f.write_str("no value"),
        }
    }
}
