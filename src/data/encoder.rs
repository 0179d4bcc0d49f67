//! From tables with texts and gaps to numbers.

use std::collections::{BTreeSet, HashMap, HashSet};

use serde::{Deserialize, Serialize};

use super::text::MISSING;
use super::{Column, Dataset, Frame, Standardization, Values};
use crate::{Error, Result, Scalar};

/// More categories than this make no sense in a column.
const MOST_CATEGORIES: usize = 10_000;

/// How a table becomes features: a column of numbers is one feature, whose missing values are the mean of those it was fitted
/// on; a column of texts is a feature for each text that occurred there, 1 where it stands and 0 elsewhere ("one-hot"), in
/// the order of the alphabet. A missing text, and one that did not occur, is 0 everywhere.
///
/// Fit it on the training part alone, and encode with it whatever the network sees later.
///
/// ```
/// # let path = std::env::temp_dir().join(format!("travertine-encoder-{}.csv", std::process::id()));
/// # std::fs::write(&path, "age,color,sold\n1,red,yes\n,blue,no\n5,,yes\n")?;
/// use travertine::data::{CsvOptions, Encoder, read_frame};
/// let frame = read_frame::<f64>(&path, &CsvOptions::default())?;
/// let encoder = Encoder::fit(&frame)?;
/// assert_eq!(encoder.feature_names(), ["age", "color=blue", "color=red"]);
/// let encoded = encoder.encode(&frame)?;
/// assert_eq!(encoded.data.features(), [1.0, 0.0, 1.0, 3.0, 1.0, 0.0, 5.0, 0.0, 0.0]);
/// # std::fs::remove_file(&path)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Encoder {
    columns: Vec<EncodedColumn>,
}

/// A column of the table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EncodedColumn {
    /// Its name in the header, or "column N".
    pub name: String,
    /// What becomes of its values.
    #[serde(flatten)]
    pub coding: Coding,
}

/// What becomes of a column's values.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Coding {
    /// Numbers stay; missing ones become this.
    Mean(f64),
    /// A feature for each of these.
    Categories(Vec<String>),
}

/// What [`Encoder::encode`] made.
#[derive(Clone, Debug, PartialEq)]
pub struct Encoded<T: Scalar> {
    /// The samples as numbers.
    pub data: Dataset<T>,
    /// What the encoder had not been fitted on, column by column.
    pub unknown: Vec<Unknown>,
}

/// Texts that an encoder does not know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unknown {
    /// The column's name.
    pub column: String,
    /// In how many samples.
    pub samples: usize,
    /// The first of them.
    pub example: String,
}

impl Encoder {
    /// Takes the mean of each column of numbers, and the texts of each column of texts.
    ///
    /// # Errors
    /// A column without a single value: it cannot be learned from.
    pub fn fit<T: Scalar>(frame: &Frame<T>) -> Result<Self> {
        Ok(Encoder { columns: frame.columns.iter().map(fit_column).collect::<Result<_>>()? })
    }

    /// The columns of the table.
    pub fn columns(&self) -> &[EncodedColumn] {
        &self.columns
    }

    /// The names of the features: of the column, or "column=text".
    pub fn feature_names(&self) -> Vec<String> {
        let names = |column: &EncodedColumn| match &column.coding {
            Coding::Mean(_) => vec![column.name.clone()],
            Coding::Categories(texts) => {
                texts.iter().map(|text| format!("{}={text}", column.name)).collect()
            }
        };
        self.columns.iter().flat_map(names).collect()
    }

    /// Number of features.
    pub fn features(&self) -> usize {
        self.columns.iter().map(EncodedColumn::features).sum()
    }

    /// The samples of a table with the columns that this was fitted on.
    ///
    /// # Errors
    /// Other columns, in name, kind or order.
    pub fn encode<T: Scalar>(&self, frame: &Frame<T>) -> Result<Encoded<T>> {
        self.check_columns(frame)?;
        let (inputs, samples) = (self.features(), frame.samples);
        let mut features = vec![T::default(); inputs * samples];
        let (mut first, mut unknown) = (0, Vec::new());
        for (ours, column) in self.columns.iter().zip(&frame.columns) {
            let places = Places { features: &mut features, inputs, first };
            unknown.extend(ours.encode(column, places)?);
            first += ours.features();
        }
        let data = frame.dataset(inputs, features, self.feature_names())?;
        Ok(Encoded { data, unknown })
    }

    /// Refuses a table with other columns, in number, name or order.
    fn check_columns<T: Scalar>(&self, frame: &Frame<T>) -> Result<()> {
        let (found, expected) = (frame.columns.len(), self.columns.len());
        if found != expected {
            let reason =
                format!("the table has {found} columns; the encoder was fitted on {expected}");
            return Err(Error::argument("Encoder::encode", reason));
        }
        let differs =
            self.columns.iter().zip(&frame.columns).find(|(ours, theirs)| ours.name != theirs.name);
        match differs {
            Some((ours, theirs)) => {
                let reason =
                    format!("found column '{}' where '{}' was expected", theirs.name, ours.name);
                Err(Error::argument("Encoder::encode", reason))
            }
            None => Ok(()),
        }
    }

    /// As [`Standardization::fit`], but for features made of texts, which stay 0 and 1. `data`: what this encoder made of the
    /// training part.
    ///
    /// # Errors
    /// As [`Standardization::fit`]; data of another encoder.
    pub fn standardization<T: Scalar>(&self, data: &Dataset<T>) -> Result<Standardization> {
        let mut fitted = Standardization::fit(data)?;
        if data.inputs() != self.features() {
            let reason =
                format!("{} features; the encoder makes {}", data.inputs(), self.features());
            return Err(Error::argument("standardization", reason));
        }
        let mut first = 0;
        for column in &self.columns {
            let end = first + column.features();
            if let Coding::Categories(_) = column.coding {
                fitted.mean[first..end].fill(0.0);
                fitted.deviation[first..end].fill(1.0);
            }
            first = end;
        }
        Ok(fitted)
    }

    /// What is wrong with an encoder that comes from a file.
    pub(crate) fn fault(&self) -> Option<String> {
        let mut names = HashSet::new();
        for EncodedColumn { name, coding } in &self.columns {
            if !names.insert(name) {
                return Some(format!("two columns '{name}'"));
            }
            match coding {
                Coding::Mean(mean) if !mean.is_finite() => {
                    return Some(format!("mean {mean} of '{name}'"));
                }
                Coding::Categories(texts) if !(1..=MOST_CATEGORIES).contains(&texts.len()) => {
                    return Some(format!("{} categories of '{name}'", texts.len()));
                }
                Coding::Categories(texts)
                    if texts.iter().collect::<HashSet<_>>().len() < texts.len() =>
                {
                    return Some(format!("a category twice in '{name}'"));
                }
                _ => {}
            }
        }
        None
    }
}

/// Where the features of one column go.
struct Places<'a, T> {
    /// `inputs x samples`
    features: &'a mut [T],
    inputs: usize,
    /// The row of the column's first feature.
    first: usize,
}

impl EncodedColumn {
    /// Writes the features of a column of the table; returns the texts that training did not see.
    fn encode<T: Scalar>(
        &self,
        column: &Column<T>,
        places: Places<'_, T>,
    ) -> Result<Option<Unknown>> {
        match (&self.coding, &column.values) {
            (&Coding::Mean(mean), Values::Numbers(numbers)) => {
                write_numbers(numbers, T::from_f64(mean), places);
                Ok(None)
            }
            (Coding::Categories(texts), Values::Texts { codes, names }) => {
                Ok(write_categories(&self.name, texts, (codes, names), places))
            }
            (coding, _) => {
                let (expected, found) = match coding {
                    Coding::Mean(_) => ("numbers", "texts"),
                    Coding::Categories(_) => ("texts", "numbers"),
                };
                let reason = format!(
                    "column '{}' has {found}; the encoder was fitted on {expected}",
                    self.name
                );
                Err(Error::argument("Encoder::encode", reason))
            }
        }
    }

    fn features(&self) -> usize {
        match &self.coding {
            Coding::Mean(_) => 1,
            Coding::Categories(texts) => texts.len(),
        }
    }
}

fn fit_column<T: Scalar>(column: &Column<T>) -> Result<EncodedColumn> {
    let name = column.name.clone();
    let empty = || {
        let reason = format!(
            "column '{name}' has no value in the training part; leave it out (CsvOptions::drop)"
        );
        Error::argument("Encoder::fit", reason)
    };
    let coding = match &column.values {
        Values::Numbers(numbers) => {
            let known = || numbers.iter().map(|x| x.to_f64()).filter(|x| x.is_finite());
            let first = known().next().ok_or_else(empty)?;
            // Distances from the first value: a constant column has exactly its value as the mean.
            Coding::Mean(first + known().map(|x| (x - first) / known().count() as f64).sum::<f64>())
        }
        Values::Texts { codes, names } => {
            let known = codes
                .iter()
                .filter(|&&code| code != MISSING)
                .map(|&code| names[code as usize].clone());
            let texts: BTreeSet<String> = known.collect();
            if texts.is_empty() {
                return Err(empty());
            }
            if texts.len() > MOST_CATEGORIES {
                let reason = format!(
                    "column '{name}' has {} different texts; at most {MOST_CATEGORIES}",
                    texts.len()
                );
                return Err(Error::argument("Encoder::fit", reason));
            }
            Coding::Categories(texts.into_iter().collect())
        }
    };
    Ok(EncodedColumn { name, coding })
}

fn write_numbers<T: Scalar>(numbers: &[T], mean: T, places: Places<'_, T>) {
    let places = places.features.iter_mut().skip(places.first).step_by(places.inputs);
    places.zip(numbers).for_each(|(place, &x)| *place = if x.is_finite() { x } else { mean });
}

/// 1 in the feature of each sample's text, where `texts` has it.
fn write_categories<T: Scalar>(
    column: &str,
    texts: &[String],
    (codes, names): (&[u32], &[String]),
    places: Places<'_, T>,
) -> Option<Unknown> {
    let categories: HashMap<&str, usize> = texts.iter().map(String::as_str).zip(0..).collect();
    let known: Vec<Option<usize>> =
        names.iter().map(|name| categories.get(name.as_str()).copied()).collect();
    let mut unknown: Option<Unknown> = None;
    for (sample, &code) in codes.iter().enumerate().filter(|(_, code)| **code != MISSING) {
        match known[code as usize] {
            Some(text) => {
                let place = sample * places.inputs + places.first + text;
                places.features[place] = T::from_f64(1.0);
            }
            None => {
                let example = || names[code as usize].clone();
                let new = || Unknown { column: column.to_owned(), samples: 0, example: example() };
                unknown.get_or_insert_with(new).samples += 1;
            }
        }
    }
    unknown
}
