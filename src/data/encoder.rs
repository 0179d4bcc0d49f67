//! From tables with texts, dates and gaps to numbers.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use serde::{Deserialize, Serialize};

use super::coding::{Coding, EncodedColumn, type_of};
use super::encoder_write::{Writer, write_samples};
use super::frame::{FrameRows, Unknown, dataset};
use super::standardization::Scale;
use super::table::on_all_cores;
use super::{Column, Dataset, Standardization};
use crate::layer::Categories;
use crate::{Error, Result, Scalar};

/// Samples from which on a second thread pays.
const SAMPLES_PER_THREAD: usize = 4096;

/// How a table becomes features: a column of numbers is one feature, whose missing values are the mean of those it was fitted
/// on; a date is a feature of days and, where dates span them, a sine and a cosine of the year, the week and the day; a column of texts is a
/// feature for each text that occurred there, 1 where it stands and 0 elsewhere ("one-hot"), in the order of the alphabet. A missing text,
/// and one that did not occur, is 0 everywhere. [`EncoderOptions`] has other ways.
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

/// How columns become features, where they do not become what [`Encoder`] says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EncoderOptions {
    /// A column with more different texts is one feature, the number of the text ([`Coding::Codes`]), for a layer that embeds
    /// categories ([`Builder::embed_categories`](crate::network::Builder::embed_categories)).
    pub most_one_hot: usize,
    /// Numbers become features of so many bins of equally many rows ([`Coding::Bins`]), or fewer where numbers repeat; dates do
    /// not.
    pub bins: Option<usize>,
}

/// A feature for each text; numbers as they are.
impl Default for EncoderOptions {
    fn default() -> Self {
        EncoderOptions { most_one_hot: usize::MAX, bins: None }
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
                format!("'{}' is missing, as never in training; it counts as the mean, or as no category", u.column)
            }),
            line(&self.outside, &|u| {
                format!("'{}' is {}, far outside the values of the training", u.column, u.example)
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

    /// Of columns that are fitted already.
    #[cfg(feature = "onnx")]
    pub(crate) fn of_columns(columns: Vec<EncodedColumn>) -> Self {
        Encoder { columns }
    }

    /// The columns of the table.
    pub fn columns(&self) -> &[EncodedColumn] {
        &self.columns
    }

    /// The names of the features: of the column, "column=text", or "column: sin of year".
    pub fn feature_names(&self) -> Vec<String> {
        self.columns.iter().flat_map(EncodedColumn::feature_names).collect()
    }

    /// The features that are numbers of categories, with how many each has.
    pub fn categories(&self) -> Vec<Categories> {
        let mut first = 0;
        let mut all = Vec::new();
        for column in &self.columns {
            if let Coding::Codes(texts) = &column.coding {
                all.push(Categories { feature: first, count: texts.len() });
            }
            first += column.features();
        }
        all
    }

    /// The features that no scale may change: numbers of categories, and shares of bins.
    pub fn unscaled(&self) -> Vec<usize> {
        let columns = self.columns.iter().flat_map(|column| {
            let is_unscaled = matches!(column.coding, Coding::Codes(_) | Coding::Bins { .. });
            std::iter::repeat_n(is_unscaled, column.features())
        });
        columns.enumerate().filter(|(_, is)| *is).map(|(feature, _)| feature).collect()
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
        let finite = AtomicBool::new(true);
        thread::scope(|scope| {
            for (part, features) in features.chunks_mut(share * inputs).enumerate() {
                let (writers, finite) = (&writers, &finite);
                scope.spawn(move || {
                    let part = write_samples(writers, rows, part * share, (features, inputs));
                    finite.fetch_and(part, Ordering::Relaxed);
                });
            }
        });
        if !finite.into_inner() {
            return Err(self.not_finite(&features, inputs));
        }
        let names = if rows.frame.named { self.feature_names() } else { Vec::new() };
        let data = dataset(rows, inputs, features, names)?;
        let [unknown, gaps, outside] = self.unseen(rows);
        let changed = rows.frame.changed.clone();
        Ok(Encoded { data, unknown, gaps, outside, changed })
    }

    /// Names the feature that `T` cannot hold.
    fn not_finite<T: Scalar>(&self, features: &[T], inputs: usize) -> Error {
        let i = features.iter().position(|x| !x.is_finite()).unwrap_or(0);
        let name = self.feature_names().swap_remove(i % inputs);
        let reason = format!(
            "sample {} (counted from 0): feature '{name}' is {}, too large for {}",
            i / inputs,
            features[i],
            T::NAME
        );
        Error::argument("Encoder::encode", reason)
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
                let scales = (first..first + ours.features())
                    .map(|feature| Scale::of(standardization, feature));
                let writer = Writer::new(ours, &column.values, first, scales.collect());
                first += ours.features();
                writer
            })
            .collect()
    }

    /// Texts, gaps and numbers that this was not fitted on.
    fn unseen(&self, rows: FrameRows<'_>) -> [Vec<Unknown>; 3] {
        let mut found: Vec<_> =
            self.columns.iter().map(|ours| (ours, [None, None, None])).collect();
        on_all_cores(&mut found, rows, |found, columns| {
            for ((ours, found), column) in found.iter_mut().zip(columns) {
                *found = ours.unseen(&column.values, rows);
            }
        });
        let mut all = [Vec::new(), Vec::new(), Vec::new()];
        for (_, found) in found {
            all.iter_mut().zip(found).for_each(|(list, unseen)| list.extend(unseen));
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
