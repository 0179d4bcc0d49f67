//! NumPy's array files (.npy).

mod array;
mod blocks;
mod header;

use std::path::{Path, PathBuf};

use self::array::Array;
pub(super) use self::blocks::NpyBlocks;
use super::label::Labels;
use super::text::counted;
use super::{Dataset, Label, Targets, Task};
use crate::{Error, Result, Scalar};

/// How to read a NumPy file.
///
/// ```
/// use travertine::data::NpyOptions;
/// let options = NpyOptions { labels: Some("labels.npy".into()), ..NpyOptions::default() };
/// assert_eq!(options.task, None);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NpyOptions {
    /// A second file with the labels, one for each sample; several columns are several values that are learned. `label` is
    /// not used then.
    pub labels: Option<PathBuf>,
    /// The column that is learned. Columns have no names, so [`Label::Name`] is an error.
    pub label: Label,
    /// Whether labels are classes or values. `None` decides by the labels: classes if all are integers with at most
    /// 100 distinct values; else values.
    pub task: Option<Task>,
    /// The classes of a model, in its order; other labels are errors.
    pub classes: Option<Vec<String>>,
    /// The number of features of a model. An array with exactly as many columns has no label.
    pub inputs: Option<usize>,
}

/// Reads a NumPy array `samples x features` of numbers or booleans.
///
/// All versions of the format, both byte orders, C and Fortran order are read. An array of one dimension is one feature
/// for each sample; with more than two, each sample is flattened in C order.
///
/// # Errors
/// A format error with byte or row and column if the file is not a sound NumPy file of numbers, holds a number that is
/// not finite, or does not have the requested columns; an I/O error if it cannot be read; an argument error if the
/// options contradict each other.
///
/// ```no_run
/// use travertine::data::{NpyOptions, read_npy};
/// let data = read_npy::<f32>("samples.npy", &NpyOptions::default())?; // the last column is the label
/// # Ok::<(), travertine::Error>(())
/// ```
pub fn read_npy<T: Scalar>(path: impl AsRef<Path>, options: &NpyOptions) -> Result<Dataset<T>> {
    check(options)?;
    dataset_of(&Array::read(path.as_ref())?, options)
}

fn dataset_of<T: Scalar>(array: &Array, options: &NpyOptions) -> Result<Dataset<T>> {
    let label = if options.labels.is_some() { None } else { label_column(array, options)? };
    let columns: Vec<usize> =
        (0..array.columns()).filter(|&column| Some(column) != label).collect();
    if columns.is_empty() || options.inputs.is_some_and(|inputs| inputs != columns.len()) {
        return Err(wrong_columns(array, options, label));
    }
    let features = array.finite_numbers(&columns)?;
    let targets = match (&options.labels, label) {
        (Some(path), _) => targets_of_file(&Array::read(path)?, array, options)?,
        (None, Some(column)) => targets_of_column(array, column, options)?,
        (None, None) => Targets::None,
    };
    Dataset::new(columns.len(), features, targets)
}

fn check(options: &NpyOptions) -> Result<()> {
    let wrong = |reason: &str| Err(Error::argument("read_npy", reason));
    match options {
        NpyOptions { label: Label::Number(0), .. } => {
            wrong("label column 0; columns are counted from 1")
        }
        NpyOptions { label: Label::Name(_), labels: None, .. } => {
            wrong("the columns of an array have no names; give the label column's number")
        }
        NpyOptions { classes: Some(_), task: Some(Task::Values), .. } => {
            wrong("classes are given, but the task is values; give one of them")
        }
        _ => Ok(()),
    }
}

fn label_column(array: &Array, options: &NpyOptions) -> Result<Option<usize>> {
    if options.inputs == Some(array.columns()) {
        return Ok(None);
    }
    match options.label {
        Label::None | Label::Name(_) => Ok(None),
        Label::Last => Ok(array.columns().checked_sub(1)),
        Label::Number(number) if number <= array.columns() => Ok(number.checked_sub(1)),
        Label::Number(number) => {
            let expected = format!("at least {number} columns, as column {number} is the label");
            Err(Error::format(array.file(), "header", expected, counted(array.columns(), "column")))
        }
    }
}

fn wrong_columns(array: &Array, options: &NpyOptions, label: Option<usize>) -> Error {
    let features =
        options.inputs.map_or("features".to_owned(), |inputs| counted(inputs, "feature"));
    let beside = if label.is_some() { " beside the label" } else { "" };
    let found = counted(array.columns(), "column");
    Error::format(array.file(), "header", format!("{features}{beside}"), found)
}

fn targets_of_file<T: Scalar>(
    labels: &Array,
    samples: &Array,
    options: &NpyOptions,
) -> Result<Targets<T>> {
    if labels.rows() != samples.rows() {
        let expected = format!("{} labels, as {} has samples", samples.rows(), samples.file());
        return Err(Error::format(
            labels.file(),
            "header",
            expected,
            counted(labels.rows(), "label"),
        ));
    }
    match labels.columns() {
        1 => targets_of_column(labels, 0, options),
        columns if options.task == Some(Task::Classes) || options.classes.is_some() => {
            Err(Error::format(
                labels.file(),
                "header",
                "one column of classes",
                format!("{columns} columns"),
            ))
        }
        columns => {
            let all: Vec<usize> = (0..columns).collect();
            let names = all.iter().map(|column| format!("column {}", column + 1)).collect();
            Ok(Targets::Values { values: labels.finite_numbers(&all)?, names })
        }
    }
}

fn targets_of_column<T: Scalar>(
    array: &Array,
    column: usize,
    options: &NpyOptions,
) -> Result<Targets<T>> {
    let texts = array.finite_numbers::<f64>(&[column])?.iter().map(f64::to_string).collect();
    let place = |row| array.place(row, column);
    let labels =
        Labels { file: array.file(), name: format!("column {}", column + 1), texts, place: &place };
    labels.into_targets(options.task, options.classes.as_deref())
}
