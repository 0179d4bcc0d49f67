//! Tables with texts and gaps.

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

/// An unknown column with more different texts than this is no category.
const MOST_TEXTS: usize = 1000;
/// Up to so many different texts are categories, however few samples there are.
const FEW_TEXTS: usize = 20;
/// A column with so many numbers for each text has a typing error.
const NUMBERS_FOR_A_TEXT: usize = 9;

/// Reads a CSV file whose columns are numbers or texts, and may miss values: nothing, ?, NA, N/A, NaN, null or none, in any case of
/// letters. A column is of texts if `categorical` names it, or if one of its values is a text.
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
    let kinds = columns
        .features
        .iter()
        .map(|column| forced.contains(column).then_some(Kind::Texts))
        .collect();
    read(&table, &columns, kinds, options)
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
    // Whether the first row is a header is seen by the names.
    let options = CsvOptions { features: Some(names), inputs: None, ..options.clone() };
    let table = Table::read(path, &options)?;
    let columns =
        known_columns(&table, options.features.as_deref().unwrap_or_default(), &options.label)?;
    let kind = |coding: &Coding| match coding {
        Coding::Mean(_) => Kind::Numbers,
        Coding::Categories(_) => Kind::Texts,
    };
    let kinds = encoder.columns().iter().map(|column| Some(kind(&column.coding))).collect();
    read(&table, &columns, kinds, &options)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Numbers,
    Texts,
}

/// `kinds`: of the features, `None` where it is to be found out.
fn read<T: Scalar>(
    table: &Table,
    columns: &Columns,
    kinds: Vec<Option<Kind>>,
    options: &CsvOptions,
) -> Result<Frame<T>> {
    let mut builders: Vec<Builder<T>> =
        columns.features.iter().zip(&kinds).map(|(&c, &kind)| Builder::new(c, kind)).collect();
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
    // A column that has turned out to hold texts is read once more, for those that looked like numbers.
    let mut late: Vec<&mut Builder<T>> =
        builders.iter_mut().filter(|builder| builder.has_turned()).collect();
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

/// A column on its way from text.
struct Builder<T> {
    column: usize,
    kind: Option<Kind>,
    /// NaN where there is none.
    numbers: Vec<T>,
    /// How many of them are there.
    found: usize,
    /// Texts in a column whose kind is not known: how many, the first one, and where its row starts.
    strange: Option<(usize, String, usize)>,
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
    fn new(column: usize, kind: Option<Kind>) -> Self {
        Builder {
            column,
            kind,
            numbers: Vec::new(),
            found: 0,
            strange: None,
            texts: Texts::default(),
        }
    }

    fn add(&mut self, table: &Table, start: usize, text: &str) -> Result<()> {
        if self.kind == Some(Kind::Texts) {
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
            None if self.kind.is_none() => {
                let (count, ..) = self.strange.get_or_insert_with(|| (0, text.to_owned(), start));
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

    fn has_turned(&self) -> bool {
        self.strange.is_some()
    }

    fn refuse_typing_errors(&self, table: &Table) -> Result<()> {
        let Some((count, text, start)) = &self.strange else { return Ok(()) };
        if self.found <= NUMBERS_FOR_A_TEXT * count {
            return Ok(());
        }
        let (found, all) = (self.found, self.found + count);
        let expected = format!(
            "a finite number ({}), as {found} of {all} values here are; or make it categorical",
            T::NAME
        );
        Err(Error::format(table.file(), table.place(*start, self.column), expected, quoted(text)))
    }

    fn refuse_identifiers(&self, table: &Table, samples: usize) -> Result<()> {
        let texts = self.texts.names.len();
        if self.kind.is_some() || texts <= FEW_TEXTS || texts <= MOST_TEXTS && 2 * texts <= samples
        {
            return Ok(());
        }
        let place = format!("column {} ({})", self.column + 1, table.column_name(self.column));
        let expected = "numbers, with a point for decimals, or texts that come again; leave the column out (--drop) or \
                        make it categorical";
        let example = self
            .strange
            .as_ref()
            .map_or(String::new(), |(_, text, _)| format!(", as {}", quoted(text)));
        let found = format!("{texts} different texts in {samples} samples{example}");
        Err(Error::format(table.file(), place, expected, found))
    }

    fn finish(self, table: &Table) -> Column<T> {
        let name = table.column_name(self.column);
        let is_texts = self.kind == Some(Kind::Texts) || self.has_turned();
        let Texts { codes, names, .. } = self.texts;
        let values =
            if is_texts { Values::Texts { codes, names } } else { Values::Numbers(self.numbers) };
        Column { name, values }
    }
}
