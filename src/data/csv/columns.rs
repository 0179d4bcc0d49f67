//! Which columns of a CSV file are features, and which one is the label.

use super::super::text::{counted, listed, quoted};
use super::table::Table;
use super::{CsvOptions, Label};
use crate::{Error, Result};

pub(super) struct Columns {
    pub(super) features: Vec<usize>,
    pub(super) label: Option<usize>,
}

impl Columns {
    pub(super) fn choose(table: &Table, options: &CsvOptions) -> Result<Self> {
        let names = options.features.as_deref().unwrap_or_default();
        if !names.is_empty() && !table.header().is_empty() {
            return by_name(table, names, &options.label);
        }
        let inputs = if names.is_empty() { options.inputs } else { Some(names.len()) };
        match inputs {
            Some(inputs) => by_number_of_inputs(table, inputs, &options.label),
            None => by_position(table, &options.label),
        }
    }
}

/// The label is absent if it is not in the file, or if it would be one of the features.
fn by_name(table: &Table, names: &[String], label: &Label) -> Result<Columns> {
    let find = |name: &String| table.header().iter().position(|column| column == name);
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
        return by_position(table, &Label::None);
    }
    if *label != Label::None && table.width().checked_sub(1) == Some(inputs) {
        return by_position(table, label);
    }
    let label = if *label == Label::None { "" } else { ", and one for the label if there is one" };
    let expected = format!("{} for as many features{label}", counted(inputs, "column"));
    Err(Error::format(table.file(), "line 1", expected, counted(table.width(), "column")))
}

fn by_position(table: &Table, label: &Label) -> Result<Columns> {
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
        return Err(Error::format(table.file(), "line 1", expected, counted(table.width(), "column")));
    }
    let features: Vec<usize> = (0..table.width()).filter(|&column| Some(column) != label).collect();
    if features.is_empty() {
        return Err(Error::format(table.file(), "line 1", "a feature beside the label", "1 column"));
    }
    Ok(Columns { features, label })
}

fn missing_column(table: &Table, name: &str) -> Error {
    let found = match table.header() {
        [] => "no header".to_owned(),
        names => format!("columns {}", listed(names)),
    };
    Error::format(table.file(), "line 1", format!("a column named {}", quoted(name)), found)
}
