//! The choice of columns: which are features, and which is the label.

use super::super::text::{counted, listed, quoted};
use super::table::Table;
use super::{CsvOptions, Label};
use crate::{Error, Result};

pub(in crate::data) struct Columns {
    pub(in crate::data) features: Vec<usize>,
    pub(in crate::data) label: Option<usize>,
}

impl Columns {
    pub(in crate::data) fn choose(table: &Table, options: &CsvOptions) -> Result<Self> {
        let names = options.features.as_deref().unwrap_or_default();
        if !names.is_empty() && !table.header().is_empty() {
            return by_name(table, names, &options.label);
        }
        let inputs = if names.is_empty() { options.inputs } else { Some(names.len()) };
        match inputs {
            Some(inputs) => by_number_of_inputs(table, inputs, &options.label),
            None => by_position(table, &options.label, &options.drop),
        }
    }
}

/// The column with this name, or else with this number, counted from 1.
pub(in crate::data) fn resolve(table: &Table, name: &str) -> Result<usize> {
    let by_number =
        || name.parse::<usize>().ok()?.checked_sub(1).filter(|&column| column < table.width());
    let by_name = (0..table.width()).find(|&column| table.column_name(column) == name);
    by_name.or_else(by_number).ok_or_else(|| missing_column(table, name))
}

/// The columns that an encoder was fitted on, by name or, in a file without a header, as "column N".
pub(in crate::data) fn known_columns(
    table: &Table,
    names: &[String],
    label: &Label,
) -> Result<Columns> {
    let find =
        |name: &String| (0..table.width()).find(|&column| table.column_name(column) == *name);
    let missing: Vec<String> = names.iter().filter(|name| find(name).is_none()).cloned().collect();
    if !missing.is_empty() {
        let found = match table.header() {
            [] => counted(table.width(), "column") + " without a header",
            header => format!("no {}; columns {}", listed(&missing), listed(header)),
        };
        let expected = format!("the columns that the model learned, {}", listed(names));
        return Err(Error::format(table.file(), table.head(), expected, found));
    }
    by_names(table, names, label, find)
}

/// There is no label if the file does not have it, or if it is one of the features.
fn by_name(table: &Table, names: &[String], label: &Label) -> Result<Columns> {
    by_names(table, names, label, |name| table.header().iter().position(|column| column == name))
}

fn by_names(
    table: &Table,
    names: &[String],
    label: &Label,
    find: impl Fn(&String) -> Option<usize>,
) -> Result<Columns> {
    let column = |name| find(name).ok_or_else(|| missing_column(table, name));
    let features: Vec<usize> = names.iter().map(column).collect::<Result<_>>()?;
    let label = match label {
        Label::Last => table.width().checked_sub(1),
        Label::Name(name) => find(name),
        Label::Number(number) => number.checked_sub(1).filter(|&column| column < table.width()),
        Label::None => None,
    };
    Ok(Columns { label: label.filter(|column| !features.contains(column)), features })
}

fn by_number_of_inputs(table: &Table, inputs: usize, label: &Label) -> Result<Columns> {
    if table.width() == inputs {
        return by_position(table, &Label::None, &[]);
    }
    if *label != Label::None && table.width().checked_sub(1) == Some(inputs) {
        return by_position(table, label, &[]);
    }
    let label = if *label == Label::None { "" } else { ", and one for the label if there is one" };
    let expected = format!("{} for as many features{label}", counted(inputs, "column"));
    Err(Error::format(table.file(), table.head(), expected, counted(table.width(), "column")))
}

fn by_position(table: &Table, label: &Label, drop: &[String]) -> Result<Columns> {
    let dropped: Vec<usize> =
        drop.iter().map(|name| resolve(table, name)).collect::<Result<_>>()?;
    let label = match label {
        Label::Last => table.width().checked_sub(1),
        Label::Name(name) => {
            let column = table.header().iter().position(|column| column == name);
            Some(column.ok_or_else(|| missing_column(table, name))?)
        }
        Label::Number(number) => number.checked_sub(1),
        Label::None => None,
    };
    if let Some(column) = label.filter(|&column| column >= table.width()) {
        let expected = format!("at least {0} columns, as column {0} is the label", column + 1);
        return Err(Error::format(
            table.file(),
            table.head(),
            expected,
            counted(table.width(), "column"),
        ));
    }
    let features: Vec<usize> = (0..table.width())
        .filter(|column| Some(*column) != label && !dropped.contains(column))
        .collect();
    if let Some(&column) = dropped.iter().find(|&&column| Some(column) == label) {
        let found = format!("{} for both", quoted(&table.column_name(column)));
        return Err(Error::format(
            table.file(),
            table.head(),
            "a label that is not left out",
            found,
        ));
    }
    if features.is_empty() {
        return Err(Error::format(
            table.file(),
            table.head(),
            "a feature beside the label",
            "1 column",
        ));
    }
    Ok(Columns { features, label })
}

fn missing_column(table: &Table, name: &str) -> Error {
    let found = match table.header() {
        [] => "no header".to_owned(),
        names => format!("columns {}", listed(names)),
    };
    Error::format(table.file(), table.head(), format!("a column named {}", quoted(name)), found)
}
