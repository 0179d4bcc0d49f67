//! Tables whose columns are numbers or texts, with values missing.

use super::split::check_chosen;
use super::{Dataset, Targets};
use crate::{Error, Result, Scalar};

/// Samples as a table holds them: columns of numbers and of texts, any of which may miss values. An
/// [`Encoder`](super::Encoder) makes a [`Dataset`] of them.
#[derive(Clone, Debug, PartialEq)]
pub struct Frame<T: Scalar> {
    pub(super) samples: usize,
    pub(super) columns: Vec<Column<T>>,
    pub(super) targets: Targets<T>,
    pub(super) target_name: Option<String>,
    /// Whether the names of columns are those of a header.
    pub(super) named: bool,
}

/// A column of a [`Frame`].
#[derive(Clone, Debug, PartialEq)]
pub struct Column<T> {
    /// Its name, or "column N" where the table has none.
    pub name: String,
    /// One for each sample.
    pub values: Values<T>,
}

/// What stands in a column.
#[derive(Clone, Debug, PartialEq)]
pub enum Values<T> {
    /// Numbers, NaN where one is missing.
    Numbers(Vec<T>),
    /// Texts: for each sample the index of its text in `names`, or [`MISSING`](super::MISSING).
    Texts {
        /// One for each sample.
        codes: Vec<u32>,
        /// The texts, all different.
        names: Vec<String>,
    },
}

impl<T: Scalar> Frame<T> {
    /// Number of samples, at least 1.
    pub fn samples(&self) -> usize {
        self.samples
    }

    /// The columns to learn from.
    pub fn columns(&self) -> &[Column<T>] {
        &self.columns
    }

    /// What is to be learned.
    pub fn targets(&self) -> &Targets<T> {
        &self.targets
    }

    /// The samples of these numbers, in this order.
    ///
    /// # Errors
    /// No samples, or one that does not exist.
    pub fn select(&self, chosen: &[usize]) -> Result<Self> {
        check_chosen("Frame::select", chosen, self.samples)?;
        let column = |column: &Column<T>| {
            let values = match &column.values {
                Values::Numbers(numbers) => {
                    Values::Numbers(chosen.iter().map(|&i| numbers[i]).collect())
                }
                Values::Texts { codes, names } => Values::Texts {
                    codes: chosen.iter().map(|&i| codes[i]).collect(),
                    names: names.clone(),
                },
            };
            Column { name: column.name.clone(), values }
        };
        Ok(Frame {
            samples: chosen.len(),
            columns: self.columns.iter().map(column).collect(),
            targets: self.targets.select(chosen),
            target_name: self.target_name.clone(),
            named: self.named,
        })
    }

    /// Whether every column has numbers and no value is missing: then nothing needs to be encoded.
    pub fn is_complete(&self) -> bool {
        let complete = |column: &Column<T>| match &column.values {
            Values::Numbers(numbers) => numbers.iter().all(|x| x.is_finite()),
            Values::Texts { .. } => false,
        };
        self.columns.iter().all(complete)
    }

    /// The numbers as they are.
    ///
    /// # Errors
    /// A column of texts, or one that misses values.
    pub fn into_dataset(self) -> Result<Dataset<T>> {
        let mut numbers = Vec::with_capacity(self.columns.len());
        for column in &self.columns {
            match &column.values {
                Values::Numbers(values) if values.iter().all(|x| x.is_finite()) => {
                    numbers.push(&values[..])
                }
                _ => {
                    let reason = format!(
                        "column '{}' has texts or misses values; fit an Encoder",
                        column.name
                    );
                    return Err(Error::argument("Frame::into_dataset", reason));
                }
            }
        }
        let features =
            (0..self.samples).flat_map(|i| numbers.iter().map(move |column| column[i])).collect();
        let names = if self.named {
            self.columns.iter().map(|column| column.name.clone()).collect()
        } else {
            Vec::new()
        };
        self.dataset(self.columns.len(), features, names)
    }

    /// These features with the frame's targets.
    pub(super) fn dataset(
        &self,
        inputs: usize,
        features: Vec<T>,
        names: Vec<String>,
    ) -> Result<Dataset<T>> {
        let data =
            Dataset::new(inputs, features, self.targets.clone())?.with_feature_names(names)?;
        Ok(match &self.target_name {
            Some(name) => data.with_target_name(name),
            None => data,
        })
    }
}
