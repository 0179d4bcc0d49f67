//! Tables with texts and missing values.

use std::collections::HashMap;
use std::path::Path;

use ::csv::StringRecord;

use super::columns::{Columns, known_columns, resolve};
use super::table::Table;
use super::{CsvOptions, check, label, targets_of};
use crate::data::encoder::{Coding, Encoded, Encoder};
use crate::data::frame::{Column, Frame, Values};
use crate::data::text::{MISSING, is_missing, number, quoted};
use crate::{Error, Result, Scalar};

/// A column with more distinct texts is not read as categories, unless the options say so.
const MAX_CATEGORIES: usize = 1000;
/// A column with as many distinct texts or fewer is read as categories, for any number of samples.
const FEW_CATEGORIES: usize = 20;
/// A text among more numbers than this is a typing error.
const MAX_NUMBERS_PER_TEXT: usize = 9;

/// Reads a CSV file with columns of numbers and of texts. Missing values are empty fields, ?, NA, N/A, NaN, null and none, in upper or lower
/// case. A column holds texts if `categorical` names it, or if one of its values is a text.
///
/// # Errors
/// As [`read_csv`](super::read_csv) but for texts and missing values; a text in a column of numbers; a column of texts that are
/// nearly all different, as names and identifiers are.
///
/// ```
/// # let path = std::env::temp_dir().join(format!("travertine-frame-{}.csv", std::process::id()));
/// # std::fs::write(&path, "age,color,sold\n1,red,yes\n,blue,no\n5,,yes\n")?;
/// use travertine::data::{CsvOptions, Values, read_frame};
/// let frame = read_frame::<f32>(&path, &CsvOptions::default())?;
/// assert!(matches!(&frame.columns()[0].values, Values::Numbers(ages) if ages[1].is_nan()));
/// assert!(matches!(&frame.columns()[1].values, Values::Texts { names, .. } if names.len() == 2));
/// # std::fs::remove_file(&path)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn read_frame<T: Scalar>(path: impl AsRef<Path>, options: &CsvOptions) -> Result<Frame<T>> {
    check(options)?;
    let table = Table::read(path.as_ref(), options)?;
    let columns = Columns::choose(&table, options)?;
    let forced: Vec<usize> =
        options.categorical.iter().map(|name| resolve(&table, name)).collect::<Result<_>>()?;
    let types = columns
        .features
        .iter()
        .map(|column| forced.contains(column).then_some(ColumnType::Texts))
        .collect();
    read(&table, &columns, types, options)
}

impl Encoder {
    /// Reads a CSV file as [`read_frame`] does and encodes it. Columns are found by their names, and other columns are left out; "column N"
    /// is the N-th where the file has no header. The label may be absent.
    ///
    /// # Errors
    /// As [`read_frame`]; columns that are missing, all named; a text where numbers were.
    pub fn read_csv<T: Scalar>(
        &self,
        path: impl AsRef<Path>,
        options: &CsvOptions,
    ) -> Result<Encoded<T>> {
        self.encode(&read_encoded_columns(path.as_ref(), options, self)?)
    }
}

/// The columns that an encoder was fitted on.
fn read_encoded_columns<T: Scalar>(
    path: &Path,
    options: &CsvOptions,
    encoder: &Encoder,
) -> Result<Frame<T>> {
    check(options)?;
    let names: Vec<String> = encoder.columns().iter().map(|column| column.name.clone()).collect();
    // The names also say whether the first row is a header.
    let options = CsvOptions { features: Some(names), inputs: None, ..options.clone() };
    let table = Table::read(path, &options)?;
    let columns =
        known_columns(&table, options.features.as_deref().unwrap_or_default(), &options.label)?;
    let column_type = |coding: &Coding| match coding {
        Coding::Mean(_) => ColumnType::Numbers,
        Coding::Categories(_) => ColumnType::Texts,
    };
    let types = encoder.columns().iter().map(|column| Some(column_type(&column.coding))).collect();
    read(&table, &columns, types, &options)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum ColumnType {
    Numbers,
    Texts,
}

/// `types`: of the features; `None` where the values decide.
fn read<T: Scalar>(
    table: &Table,
    columns: &Columns,
    types: Vec<Option<ColumnType>>,
    options: &CsvOptions,
) -> Result<Frame<T>> {
    let mut builders: Vec<Builder<T>> = columns
        .features
        .iter()
        .zip(&types)
        .map(|(&c, &column_type)| Builder::new(c, column_type))
        .collect();
    let (mut labels, mut starts) = (Vec::new(), Vec::new());
    each_row(table, |start, row| {
        for builder in &mut builders {
            builder.add(table, start, &row[builder.column])?;
        }
        if let Some(column) = columns.label {
            labels.push(label(table, start, column, &row[column])?);
        }
        starts.push(start);
        Ok(())
    })?;
    if starts.is_empty() {
        return Err(Error::format(
            table.file(),
            "line 2",
            "samples below the header",
            "the end of the file",
        ));
    }
    builders.iter().try_for_each(|builder| builder.refuse_typing_errors(table))?;
    // A column that turned out to hold texts is read once more, for its values that are numbers.
    let mut late: Vec<&mut Builder<T>> =
        builders.iter_mut().filter(|builder| builder.holds_texts()).collect();
    if !late.is_empty() {
        each_row(table, |_, row| {
            late.iter_mut().for_each(|builder| builder.texts.add(&row[builder.column]));
            Ok(())
        })?;
    }
    builders.iter().try_for_each(|builder| builder.refuse_identifiers(table, starts.len()))?;
    let (targets, target_name) = targets_of(table, columns, labels, &starts, options)?;
    Ok(Frame {
        samples: starts.len(),
        columns: builders.into_iter().map(|builder| builder.finish(table)).collect(),
        targets,
        target_name,
        named: !table.header().is_empty(),
    })
}

fn each_row(table: &Table, mut f: impl FnMut(usize, &StringRecord) -> Result<()>) -> Result<()> {
    let (mut rows, mut row) = (table.rows(), StringRecord::new());
    while let Some(start) = table.next_row(&mut rows, &mut row)? {
        f(start, &row)?;
    }
    Ok(())
}

/// A column that is being read.
struct Builder<T> {
    column: usize,
    /// `None` where the values decide.
    column_type: Option<ColumnType>,
    /// NaN where the value is missing.
    numbers: Vec<T>,
    /// How many numbers are not missing.
    found: usize,
    /// Texts in a column whose type the values decide: how many, the first one, and where its row starts.
    unexpected: Option<(usize, String, usize)>,
    texts: Texts,
}

#[derive(Default)]
pub(in crate::data) struct Texts {
    pub codes: Vec<u32>,
    pub names: Vec<String>,
    places: HashMap<String, u32>,
}

impl Texts {
    pub fn add(&mut self, text: &str) {
        let text = text.trim();
        if is_missing(text) {
            return self.codes.push(MISSING);
        }
        let code = match self.places.get(text) {
            Some(&code) => code,
            None => {
                let code = self.names.len() as u32;
                self.names.push(text.to_owned());
                self.places.insert(text.to_owned(), code);
                code
            }
        };
        self.codes.push(code);
    }
}

impl<T: Scalar> Builder<T> {
    fn new(column: usize, column_type: Option<ColumnType>) -> Self {
        Builder {
            column,
            column_type,
            numbers: Vec::new(),
            found: 0,
            unexpected: None,
            texts: Texts::default(),
        }
    }

    fn add(&mut self, table: &Table, start: usize, text: &str) -> Result<()> {
        if self.column_type == Some(ColumnType::Texts) {
            self.texts.add(text);
            return Ok(());
        }
        if is_missing(text) {
            self.numbers.push(T::from_f64(f64::NAN));
            return Ok(());
        }
        match number(text).map(T::from_f64) {
            Some(x) if x.is_finite() => {
                self.numbers.push(x);
                self.found += 1;
                Ok(())
            }
            None if self.column_type.is_none() => {
                let (count, ..) =
                    self.unexpected.get_or_insert_with(|| (0, text.to_owned(), start));
                *count += 1;
                Ok(())
            }
            _ => {
                let expected = format!("a finite number ({})", T::NAME);
                Err(Error::format(
                    table.file(),
                    table.place(start, self.column),
                    expected,
                    quoted(text),
                ))
            }
        }
    }

    fn holds_texts(&self) -> bool {
        self.unexpected.is_some()
    }

    fn refuse_typing_errors(&self, table: &Table) -> Result<()> {
        let Some((count, text, start)) = &self.unexpected else { return Ok(()) };
        if self.found <= MAX_NUMBERS_PER_TEXT * count {
            return Ok(());
        }
        let (found, all) = (self.found, self.found + count);
        let expected = format!(
            "a finite number ({}), as {found} of {all} values here are; or make it categorical (CsvOptions::categorical)",
            T::NAME
        );
        Err(Error::format(table.file(), table.place(*start, self.column), expected, quoted(text)))
    }

    fn refuse_identifiers(&self, table: &Table, samples: usize) -> Result<()> {
        let texts = self.texts.names.len();
        if self.column_type.is_some()
            || texts <= FEW_CATEGORIES
            || texts <= MAX_CATEGORIES && 2 * texts <= samples
        {
            return Ok(());
        }
        let place = format!("column {} ({})", self.column + 1, table.column_name(self.column));
        let expected = "numbers, with a point for decimals, or texts that repeat; leave the column out (CsvOptions::drop) or \
                        make it categorical (CsvOptions::categorical)";
        let example = self
            .unexpected
            .as_ref()
            .map_or(String::new(), |(_, text, _)| format!(", as {}", quoted(text)));
        let found = format!("{texts} different texts in {samples} samples{example}");
        Err(Error::format(table.file(), place, expected, found))
    }

    fn finish(self, table: &Table) -> Column<T> {
        let name = table.column_name(self.column);
        let is_texts = self.column_type == Some(ColumnType::Texts) || self.holds_texts();
        let Texts { codes, names, .. } = self.texts;
        let values =
            if is_texts { Values::Texts { codes, names } } else { Values::Numbers(self.numbers) };
        Column { name, values }
    }
}
