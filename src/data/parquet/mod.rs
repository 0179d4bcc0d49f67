//! Parquet files; behind the feature `parquet`.
//!
//! The reader is our own: the crates that read Parquet bring 31 to 46 packages with them, and a table needs only flat columns of numbers,
//! booleans and texts, in plain and dictionary pages of both versions, with snappy, gzip or no compression. All else is refused by name. Every
//! allocation is bounded by the bytes of the file.

mod file;
mod format;
mod hybrid;
mod page;
mod schema;
mod thrift;
mod value;

use std::path::Path;

use self::file::Parquet;
use self::value::ValueType;
use super::csv::{Columns, Table, Texts, known_columns, resolve};
use super::encoder::{Coding, Encoded, EncodedColumn, Encoder};
use super::label::Labels;
use super::text::quoted;
use super::{Column, CsvOptions, Frame, Targets, Values};
use crate::{Error, Result, Scalar};

/// Reads a Parquet file, whose nulls and NaN are missing values. Columns are numbers (booleans are 0 and 1) or texts; dates, decimals,
/// bytes and nested columns are refused unless they are dropped. The options are those of CSV files; `header` is not used.
///
/// # Errors
/// A format error with the column and row if the file is damaged, has a column of another kind, misses a label, or has a number that
/// is infinite; an I/O error if it cannot be read.
///
/// ```no_run
/// use travertine::data::{CsvOptions, Encoder, read_parquet};
/// let frame = read_parquet::<f32>("people.parquet", &CsvOptions::default())?;
/// let encoded = Encoder::fit(&frame)?.encode(&frame)?;
/// # Ok::<(), travertine::Error>(())
/// ```
pub fn read_parquet<T: Scalar>(path: impl AsRef<Path>, options: &CsvOptions) -> Result<Frame<T>> {
    let file = Parquet::open(path.as_ref())?;
    let table = file.table();
    let columns = Columns::choose(&table, options)?;
    let forced: Vec<usize> =
        options.categorical.iter().map(|name| resolve(&table, name)).collect::<Result<_>>()?;
    let is_text = |&column: &usize| Ok(forced.contains(&column) || file.is_text(column)?);
    let texts: Vec<bool> = columns.features.iter().map(is_text).collect::<Result<_>>()?;
    file.frame(&columns, &texts, options)
}

impl Encoder {
    /// Reads a Parquet file as [`read_parquet`] does and encodes it. Columns are found by their names; the label may be absent.
    ///
    /// # Errors
    /// As [`read_parquet`]; columns that are missing, all named; texts where numbers were.
    pub fn read_parquet<T: Scalar>(
        &self,
        path: impl AsRef<Path>,
        options: &CsvOptions,
    ) -> Result<Encoded<T>> {
        let file = Parquet::open(path.as_ref())?;
        let names: Vec<String> = self.columns().iter().map(|column| column.name.clone()).collect();
        let columns = known_columns(&file.table(), &names, &options.label)?;
        let is_text = |column: &EncodedColumn| matches!(column.coding, Coding::Categories(_));
        let texts: Vec<bool> = self.columns().iter().map(is_text).collect();
        self.encode(&file.frame(&columns, &texts, options)?)
    }
}

impl Parquet {
    /// A table of the names of the columns, for choosing among them.
    fn table(&self) -> Table {
        Table::of_names(&self.name, self.columns.iter().map(|column| column.name.clone()).collect())
    }

    /// Whether a column holds texts, or else numbers.
    fn is_text(&self, column: usize) -> Result<bool> {
        let refused = |found: String| {
            let expected = "numbers, booleans or texts; leave the column out (CsvOptions::drop)";
            let place = format!("column {} ({})", column + 1, self.columns[column].name);
            Error::format(&self.name, place, expected, found)
        };
        let value_type = self.columns[column].value_type.clone();
        value_type.map(|value_type| value_type == ValueType::Text).map_err(refused)
    }

    fn place(&self, row: usize, column: usize) -> String {
        format!("row {}, column {} ({})", row + 1, column + 1, self.columns[column].name)
    }

    /// `texts`: whether each feature is read as texts.
    fn frame<T: Scalar>(
        &self,
        columns: &Columns,
        texts: &[bool],
        options: &CsvOptions,
    ) -> Result<Frame<T>> {
        let mut features = Vec::with_capacity(texts.len());
        for (&column, &is_text) in columns.features.iter().zip(texts) {
            self.is_text(column)?;
            let values = if is_text { self.texts(column)? } else { self.numbers(column)? };
            features.push(Column { name: self.columns[column].name.clone(), values });
        }
        let samples = features.first().map_or(0, |column| match &column.values {
            Values::Numbers(numbers) => numbers.len(),
            Values::Texts { codes, .. } => codes.len(),
        });
        if samples == 0 {
            return Err(Error::format(&self.name, "metadata", "at least one row", "none"));
        }
        let (targets, target_name) = match columns.label {
            Some(column) => self.targets(column, options)?,
            None => (Targets::None, None),
        };
        Ok(Frame { samples, columns: features, targets, target_name, named: true })
    }

    fn targets<T: Scalar>(
        &self,
        column: usize,
        options: &CsvOptions,
    ) -> Result<(Targets<T>, Option<String>)> {
        let (texts, name) = (self.labels(column)?, self.columns[column].name.clone());
        let place = |row: usize| self.place(row, column);
        let labels = Labels { file: &self.name, name: name.clone(), texts, place: &place };
        Ok((labels.into_targets(options.task, options.classes.as_deref())?, Some(name)))
    }

    fn numbers<T: Scalar>(&self, column: usize) -> Result<Values<T>> {
        let mut numbers = Vec::new();
        self.each(column, |row, cell| {
            let number =
                cell.number().map(T::from_f64).filter(|x| x.to_f64().is_nan() || x.is_finite());
            let wrong = || {
                let expected = format!("a finite number ({})", T::NAME);
                let found = quoted(&cell.text().unwrap_or_default());
                Error::format(&self.name, self.place(row, column), expected, found)
            };
            numbers.push(number.ok_or_else(wrong)?);
            Ok(())
        })?;
        Ok(Values::Numbers(numbers))
    }

    fn texts<T: Scalar>(&self, column: usize) -> Result<Values<T>> {
        let mut texts = Texts::default();
        self.each(column, |_, cell| {
            texts.add(&cell.text().unwrap_or_default());
            Ok(())
        })?;
        Ok(Values::Texts { codes: texts.codes, names: texts.names })
    }

    fn labels(&self, column: usize) -> Result<Vec<String>> {
        self.is_text(column)?;
        let mut labels = Vec::new();
        self.each(column, |row, cell| {
            let label = cell.text().map(|label| label.trim().to_owned());
            let missing =
                || Error::format(&self.name, self.place(row, column), "a label", "a missing value");
            labels.push(label.filter(|label| !label.is_empty()).ok_or_else(missing)?);
            Ok(())
        })?;
        Ok(labels)
    }
}
