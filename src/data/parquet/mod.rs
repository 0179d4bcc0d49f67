//! Parquet files; behind the feature `parquet`.

mod file;
mod page;
mod thrift;

use std::path::Path;

use self::file::{Cell, Kind, Parquet};
use super::csv::{Columns, Table, Texts, known_columns, resolve};
use super::encoder::{Coding, Encoded, EncodedColumn, Encoder};
use super::label::Labels;
use super::text::quoted;
use super::{Column, CsvOptions, Frame, Targets, Values};
use crate::{Error, Result, Scalar};

/// Reads a Parquet file, whose nulls and NaN are missing values. Columns are numbers (booleans are 0 and 1) or texts; dates, decimals,
/// bytes and nested columns are refused unless they are dropped. Options are those of CSV files; `header` means nothing here.
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
    /// The names of the columns, to choose among them.
    fn table(&self) -> Table {
        Table::of_names(&self.name, self.columns.iter().map(|column| column.name.clone()).collect())
    }

    /// Whether a column holds texts, or else numbers.
    fn is_text(&self, column: usize) -> Result<bool> {
        let refused = |found: String| {
            let expected = "numbers, booleans or texts; leave the column out (--drop)";
            let place = format!("column {} ({})", column + 1, self.columns[column].name);
            Error::format(&self.name, place, expected, found)
        };
        self.columns[column].kind.clone().map(|kind| kind == Kind::Text).map_err(refused)
    }

    fn place(&self, row: usize, column: usize) -> String {
        format!("row {}, column {} ({})", row + 1, column + 1, self.columns[column].name)
    }

    /// `texts`: which features are columns of texts.
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
            None => (Targets::None, None),
            Some(column) => {
                let (texts, name) = (self.labels(column)?, self.columns[column].name.clone());
                let place = |row: usize| self.place(row, column);
                let labels = Labels { file: &self.name, name: name.clone(), texts, place: &place };
                (labels.into_targets(options.task, options.classes.as_deref())?, Some(name))
            }
        };
        Ok(Frame { samples, columns: features, targets, target_name, named: true })
    }

    fn numbers<T: Scalar>(&self, column: usize) -> Result<Values<T>> {
        let mut numbers = Vec::new();
        self.each(column, |row, cell| {
            let number = match cell {
                Cell::Missing => Some(f64::NAN),
                Cell::Integer(x) => Some(x as f64),
                Cell::Float(x) => Some(x),
                Cell::Text(_) => None,
            };
            let number = number.map(T::from_f64).filter(|x| x.to_f64().is_nan() || x.is_finite());
            let wrong = || {
                let expected = format!("a finite number ({})", T::NAME);
                Error::format(
                    &self.name,
                    self.place(row, column),
                    expected,
                    quoted(&text(cell).unwrap_or_default()),
                )
            };
            numbers.push(number.ok_or_else(wrong)?);
            Ok(())
        })?;
        Ok(Values::Numbers(numbers))
    }

    fn texts<T: Scalar>(&self, column: usize) -> Result<Values<T>> {
        let mut texts = Texts::default();
        self.each(column, |_, cell| {
            texts.add(&text(cell).unwrap_or_default());
            Ok(())
        })?;
        Ok(Values::Texts { codes: texts.codes, names: texts.names })
    }

    fn labels(&self, column: usize) -> Result<Vec<String>> {
        self.is_text(column)?;
        let mut labels = Vec::new();
        self.each(column, |row, cell| {
            let label =
                text(cell).map(|label| label.trim().to_owned()).filter(|label| !label.is_empty());
            let missing =
                || Error::format(&self.name, self.place(row, column), "a label", "a missing value");
            labels.push(label.ok_or_else(missing)?);
            Ok(())
        })?;
        Ok(labels)
    }
}

/// A text, or a number as one; nothing where it is missing.
fn text(cell: Cell<'_>) -> Option<String> {
    match cell {
        Cell::Missing => None,
        Cell::Integer(x) => Some(x.to_string()),
        Cell::Float(x) => (!x.is_nan()).then(|| x.to_string()),
        Cell::Text(text) => Some(text.to_owned()),
    }
}
