//! Options of tables, and the library's options that follow from them.

use std::path::PathBuf;

use clap::Args;
use travertine::data::{CsvOptions, Encoder, Label, NpyOptions, Task};

use crate::args::values::label;

/// How tables of numbers are read.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct TableArgs {
    /// Label column of CSV or NPY data: name, number from 1, or none [default: the last]
    #[arg(long, value_parser = label)]
    pub(crate) label: Option<Label>,
    /// NPY file with the labels of NPY data
    #[arg(long, value_name = "FILE.npy", conflicts_with = "label")]
    pub(crate) labels: Option<PathBuf>,
    /// Columns of CSV data to leave out in training: names or numbers from 1
    #[arg(long, value_name = "COLUMNS", value_delimiter = ',')]
    drop: Vec<String>,
    /// Columns of CSV data that training reads as categories though they are numbers: names or numbers from 1
    #[arg(long, value_name = "COLUMNS", value_delimiter = ',')]
    categorical: Vec<String>,
    /// The first row of CSV data names the columns [default: detected]
    #[arg(long, conflicts_with = "no_header")]
    header: bool,
    /// The first row of CSV data is a sample
    #[arg(long)]
    no_header: bool,
}

/// What a model, or a training set, requires of data that is read for it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Requirements {
    /// The classes, in this order.
    pub(crate) classes: Option<Vec<String>>,
    pub(crate) features: Vec<String>,
    pub(crate) inputs: Option<usize>,
    pub(crate) label: Label,
    pub(crate) task: Option<Task>,
    /// How tables become features, where a training has found out.
    pub(crate) encoder: Option<Encoder>,
}

impl TableArgs {
    fn has_header(&self) -> Option<bool> {
        match (self.header, self.no_header) {
            (true, _) => Some(true),
            (_, true) => Some(false),
            _ => None,
        }
    }

    /// The first option given that does not apply to Parquet.
    pub(crate) fn first_not_for_parquet(&self) -> Option<&'static str> {
        let options = [
            (self.labels.is_some(), "--labels"),
            (self.header, "--header"),
            (self.no_header, "--no-header"),
        ];
        first_given(options)
    }

    /// The first option given that applies to CSV alone.
    pub(crate) fn first_for_csv(&self) -> Option<&'static str> {
        let options = [
            (!self.drop.is_empty(), "--drop"),
            (!self.categorical.is_empty(), "--categorical"),
            (self.header, "--header"),
            (self.no_header, "--no-header"),
        ];
        first_given(options)
    }

    /// The first option given.
    pub(crate) fn first_given(&self) -> Option<&'static str> {
        let options = [(self.label.is_some(), "--label"), (self.labels.is_some(), "--labels")];
        first_given(options).or_else(|| self.first_for_csv())
    }

    /// The library's options for CSV and Parquet files.
    pub(crate) fn csv_options(&self, required: &Requirements) -> CsvOptions {
        CsvOptions {
            header: self.has_header(),
            label: required.label.clone(),
            task: required.task,
            classes: required.classes.clone(),
            features: (!required.features.is_empty()).then(|| required.features.clone()),
            inputs: required.inputs,
            drop: self.drop.clone(),
            categorical: self.categorical.clone(),
        }
    }

    /// The library's options for NPY files.
    pub(crate) fn npy_options(&self, required: &Requirements) -> NpyOptions {
        // An array's columns have no names: a label that a model found by name is the last column here.
        let label = match &required.label {
            Label::Name(_) if self.label.is_none() => Label::Last,
            label => label.clone(),
        };
        NpyOptions {
            labels: self.labels.clone(),
            label,
            task: required.task,
            classes: required.classes.clone(),
            inputs: required.inputs,
        }
    }
}

fn first_given<const N: usize>(options: [(bool, &'static str); N]) -> Option<&'static str> {
    options.into_iter().find_map(|(given, name)| given.then_some(name))
}
