//! From one raw row to the network's inputs: the same numbers as an [`Encoder`](crate::data::Encoder) and
//! a [`Standardization`] make of a whole table.

use std::collections::HashMap;
use std::fmt;

use crate::data::text::{counted, is_missing, listed, quoted};
use crate::data::{Coding, EncodedColumn, Standardization};
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
    /// Whether a value may be missing. A model that was trained on a table with texts or gaps accepts them in every column:
    /// a missing number becomes the mean of the training part, a missing text belongs to no category.
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
    Number { mean: Option<f64> },
    /// A feature for each text.
    Categories(HashMap<String, usize>),
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
    pub(super) fn new(info: &ModelInfo, inputs: usize) -> Self {
        let (columns, slots) = match &info.encoder {
            Some(encoder) => encoder.columns().iter().map(encoded_column).unzip(),
            None => (0..inputs).map(|i| plain_column(info.features.get(i), i)).unzip(),
        };
        let (columns, slots): (Vec<InputColumn>, Vec<Slot>) = (columns, slots);
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

    /// Writes a row of numbers, one a column, into the features of a sample.
    pub(super) fn write_numbers<T: Scalar>(
        &self,
        row: &[f64],
        features: &mut [T],
        origin: Origin,
    ) -> Result<()> {
        if !self.is_numeric || row.len() != self.columns.len() {
            return Err(self.not_numbers(row.len(), origin));
        }
        let mut is_finite = true;
        for (feature, &x) in features.iter_mut().zip(row) {
            *feature = T::from_f64(x);
            is_finite &= feature.is_finite();
        }
        if is_finite {
            return self.standardize(features, origin);
        }
        let column = features.iter().position(|x| !x.is_finite()).unwrap_or_default();
        Err(self.misfit(origin, column, (finite::<T>(), row[column].to_string())))
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

    /// Writes one value into the features of a sample, which are 0 before. `Ok(false)`: the text is none of the categories,
    /// and the features stay 0.
    pub(super) fn write<T: Scalar>(
        &self,
        column: usize,
        value: Value<'_>,
        features: &mut [T],
    ) -> Result<bool, Misfit> {
        let first = self.first[column];
        match &self.slots[column] {
            Slot::Number { mean } => {
                features[first] = number(value, *mean)?;
                Ok(true)
            }
            Slot::Categories(texts) => match category(value, texts)? {
                Category::Known(text) => {
                    features[first + text] = T::from_f64(1.0);
                    Ok(true)
                }
                Category::Missing => Ok(true),
                Category::Unknown => Ok(false),
            },
        }
    }

    /// Standardizes the features of a sample.
    pub(super) fn standardize<T: Scalar>(&self, features: &mut [T], origin: Origin) -> Result<()> {
        let Some(standardization) = &self.standardization else { return Ok(()) };
        match standardization.apply_to(features) {
            None => Ok(()),
            Some(feature) => {
                let column = self.first.partition_point(|&first| first <= feature) - 1;
                let expected = "a number near those of the training part".to_owned();
                let found = format!("one that overflows {} when it is standardized", T::NAME);
                Err(self.misfit(origin, column, (expected, found)))
            }
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
            InputKind::Number => String::new(),
        };
        (format!("one of the texts of the training part, {texts}"), value.to_string())
    }
}

impl Slot {
    fn features(&self) -> usize {
        match self {
            Slot::Number { .. } => 1,
            Slot::Categories(texts) => texts.len(),
        }
    }
}

fn encoded_column(column: &EncodedColumn) -> (InputColumn, Slot) {
    let (kind, slot) = match &column.coding {
        &Coding::Mean(mean) => (InputKind::Number, Slot::Number { mean: Some(mean) }),
        Coding::Categories(texts) => {
            let places = texts.iter().cloned().zip(0..).collect();
            (InputKind::Categories(texts.clone()), Slot::Categories(places))
        }
    };
    (InputColumn { name: column.name.clone(), kind, allows_gaps: true }, slot)
}

fn plain_column(name: Option<&String>, number: usize) -> (InputColumn, Slot) {
    let name = name.map_or_else(|| format!("column {}", number + 1), Clone::clone);
    let column = InputColumn { name, kind: InputKind::Number, allows_gaps: false };
    (column, Slot::Number { mean: None })
}

fn finite<T: Scalar>() -> String {
    format!("a finite number ({})", T::NAME)
}

/// The feature of a column of numbers.
fn number<T: Scalar>(value: Value<'_>, mean: Option<f64>) -> Result<T, Misfit> {
    let x = match (value, mean) {
        (Value::Number(x), _) => x,
        (Value::Integer(x), _) => x as f64,
        (Value::Bool(x), _) => f64::from(u8::from(x)),
        (Value::Missing, Some(mean)) => return Ok(T::from_f64(mean)),
        (Value::Missing, None) => {
            let expected = finite::<T>() + "; the training part had no gaps";
            return Err((expected, value.to_string()));
        }
        (Value::Text(_), _) => return Err((finite::<T>(), value.to_string())),
    };
    Some(T::from_f64(x)).filter(|x| x.is_finite()).ok_or_else(|| (finite::<T>(), value.to_string()))
}

enum Category {
    Known(usize),
    Missing,
    Unknown,
}

/// The category of a value. Whole numbers and truth values are looked up by their text, as a CSV file has it.
fn category(value: Value<'_>, texts: &HashMap<String, usize>) -> Result<Category, Misfit> {
    let find =
        |text: &str| texts.get(text).map_or(Category::Unknown, |&text| Category::Known(text));
    match value {
        Value::Text(text) if is_missing(text) => Ok(Category::Missing),
        Value::Text(text) => Ok(find(text.trim())),
        Value::Bool(value) => Ok(find(if value { "true" } else { "false" })),
        Value::Integer(x) => Ok(find(Digits::of(x).text())),
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
