//! CSV files.

mod blocks;
mod columns;
mod frame;
mod table;

use std::path::Path;

use ::csv::StringRecord;

pub(super) use self::blocks::CsvBlocks;
pub(super) use self::columns::Columns;
#[cfg(feature = "parquet")]
pub(super) use self::columns::{known_columns, resolve};
#[cfg(feature = "parquet")]
pub(super) use self::frame::Texts;
pub use self::frame::read_frame;
pub(super) use self::table::Table;
use super::label::Labels;
use super::text::{is_missing, number, quoted};
use super::{Dataset, Label, Targets, Task};
use crate::{Error, Result, Scalar};

/// How to read a CSV file; the default reads most files as they are meant.
///
/// ```
/// use travertine::data::{CsvOptions, Label};
/// let options = CsvOptions { label: Label::Name("species".into()), ..CsvOptions::default() };
/// assert_eq!(options.header, None);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CsvOptions {
    /// Whether the first row names the columns. `None` finds out: it does if it has a text above a number, or nothing
    /// but different texts, or every name that the other options ask for.
    pub header: Option<bool>,
    /// The column to learn.
    pub label: Label,
    /// Whether labels are classes or values. `None` finds out: classes if a label is not a number, or if all are
    /// integers, at most 100 different ones; else values.
    pub task: Option<Task>,
    /// The classes that a model knows, in its order; any other label is an error.
    pub classes: Option<Vec<String>>,
    /// The features that a model expects, in its order. In a file with a header they are found by name, and other
    /// columns are left out. The label may be absent.
    pub features: Option<Vec<String>>,
    /// The number of features that a model expects, if their names are not known. A file with just so many columns has
    /// no label.
    pub inputs: Option<usize>,
    /// Columns to leave out, by name or by number from 1.
    pub drop: Vec<String>,
    /// Columns that [`read_frame`] takes for texts, whatever stands there: zip codes, for instance. By name or by number from 1.
    pub categorical: Vec<String>,
}

/// Reads a CSV file: one sample a line, numbers but for the label.
///
/// Fields are separated by commas, semicolons or tabs, whichever the first line has most of, and may be quoted. Spaces
/// around a field and a byte order mark are skipped.
///
/// # Errors
/// A format error with line and column if the file is not UTF-8, has no rows, has rows of different length, misses a
/// column or a value, or has a feature that is not a finite number; an I/O error if it cannot be read; an argument
/// error if the options contradict each other.
///
/// ```
/// # let path = std::env::temp_dir().join(format!("travertine-doc-{}.csv", std::process::id()));
/// # std::fs::write(&path, "length,width,species\n5.1,3.5,setosa\n6.2,2.9,versicolor\n")?;
/// use travertine::data::{CsvOptions, read_csv};
/// let flowers = read_csv::<f32>(&path, &CsvOptions::default())?;
/// assert_eq!(flowers.feature_names(), ["length", "width"]);
/// assert_eq!((flowers.samples(), flowers.outputs()), (2, 2));
/// # std::fs::remove_file(&path)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn read_csv<T: Scalar>(path: impl AsRef<Path>, options: &CsvOptions) -> Result<Dataset<T>> {
    check(options)?;
    dataset_of(&Table::read(path.as_ref(), options)?, options)
}

fn dataset_of<T: Scalar>(table: &Table, options: &CsvOptions) -> Result<Dataset<T>> {
    let columns = Columns::choose(table, options)?;
    let (features, labels, starts) = read_rows(table, &columns)?;
    let (targets, target_name) = targets_of(table, &columns, labels, &starts, options)?;
    let names =
        columns.features.iter().filter_map(|&column| table.header().get(column).cloned()).collect();
    let data =
        Dataset::new(columns.features.len(), features, targets)?.with_feature_names(names)?;
    Ok(match target_name {
        Some(name) => data.with_target_name(name),
        None => data,
    })
}

/// What is to be learned, and its name.
fn targets_of<T: Scalar>(
    table: &Table,
    columns: &Columns,
    labels: Vec<String>,
    starts: &[usize],
    options: &CsvOptions,
) -> Result<(Targets<T>, Option<String>)> {
    let Some(column) = columns.label else { return Ok((Targets::None, None)) };
    let place = |i: usize| table.place(starts[i], column);
    let labels = Labels {
        file: table.file(),
        name: table.column_name(column),
        texts: labels,
        place: &place,
    };
    let targets = labels.into_targets(options.task, options.classes.as_deref())?;
    Ok((targets, table.header().get(column).cloned()))
}

fn check(options: &CsvOptions) -> Result<()> {
    let wrong = |reason: &str| Err(Error::argument("read_csv", reason));
    match options {
        CsvOptions { label: Label::Number(0), .. } => {
            wrong("label column 0; columns are counted from 1")
        }
        CsvOptions { classes: Some(_), task: Some(Task::Values), .. } => {
            wrong("classes are given, but the task is values; give one of them")
        }
        _ => Ok(()),
    }
}

/// The features of all rows; their labels, if there is such a column; and at which byte each row starts.
fn read_rows<T: Scalar>(
    table: &Table,
    columns: &Columns,
) -> Result<(Vec<T>, Vec<String>, Vec<usize>)> {
    let (mut features, mut labels, mut starts) = (Vec::new(), Vec::new(), Vec::new());
    let mut rows = table.rows();
    let mut row = StringRecord::new();
    while let Some(start) = table.next_row(&mut rows, &mut row)? {
        for &column in &columns.features {
            features.push(feature(table, start, column, &row[column])?);
        }
        if let Some(column) = columns.label {
            labels.push(label(table, start, column, &row[column])?);
        }
        starts.push(start);
    }
    if starts.is_empty() {
        return Err(Error::format(
            table.file(),
            "line 2",
            "samples below the header",
            "the end of the file",
        ));
    }
    Ok((features, labels, starts))
}

fn feature<T: Scalar>(table: &Table, start: usize, column: usize, text: &str) -> Result<T> {
    match number(text).map(T::from_f64) {
        Some(x) if x.is_finite() => Ok(x),
        _ => {
            let found = if is_missing(text) {
                format!("a missing value, {}", quoted(text))
            } else {
                quoted(text)
            };
            let expected = format!("a finite number ({})", T::NAME);
            Err(Error::format(table.file(), table.place(start, column), expected, found))
        }
    }
}

fn label(table: &Table, start: usize, column: usize, text: &str) -> Result<String> {
    let text = text.trim();
    if text.is_empty() {
        return Err(Error::format(
            table.file(),
            table.place(start, column),
            "a label",
            "a missing value, \"\"",
        ));
    }
    Ok(text.to_owned())
}
