//! Options of tables, and the library's options that follow from them.

use std::fs;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use travertine::data::{DateOrder, Dates, Delimiter, Label, Schema, TableOptions, Task};
use travertine::{ErrorKind, Result};

use crate::args::values::label;
use crate::message::wrong;

/// How a text file is divided into rows and fields.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct DialectArgs {
    /// The first row of a text file names the columns [default: detected]
    #[arg(long, conflicts_with = "no_header")]
    header: bool,
    /// The first row of a text file is a sample
    #[arg(long)]
    no_header: bool,
    /// What separates the fields: comma, semicolon, tab, bar or blanks [default: detected]
    #[arg(long, value_parser = delimiter, value_name = "NAME")]
    delimiter: Option<Delimiter>,
    /// Encoding of a text file, as latin-1 [default: UTF-8, or what a byte order mark says]
    #[arg(long, value_name = "LABEL")]
    encoding: Option<String>,
    /// Lines that begin with this character are comments [default: # where such lines are no rows]
    #[arg(long, value_name = "CHARACTER")]
    comment: Option<char>,
    /// Lines above the table [default: detected]
    #[arg(long, value_name = "LINES")]
    skip_rows: Option<usize>,
}

/// How a table is read for training.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct TableArgs {
    /// Columns to learn: names or numbers from 1 with commas between them (#3 is always the third), or none [default: the last]
    #[arg(long, value_parser = label, value_name = "COLUMNS")]
    pub(crate) label: Option<Label>,
    /// NPY file with the labels of NPY data
    #[arg(long, value_name = "FILE.npy", conflicts_with = "label")]
    pub(crate) labels: Option<PathBuf>,
    /// Columns to leave out: names or numbers from 1
    #[arg(long, value_name = "COLUMNS", value_delimiter = ',')]
    drop: Vec<String>,
    /// Columns to learn from that would be left out
    #[arg(long, value_name = "COLUMNS", value_delimiter = ',')]
    keep: Vec<String>,
    /// Columns whose values are categories though they are numbers
    #[arg(long, value_name = "COLUMNS", value_delimiter = ',')]
    categorical: Vec<String>,
    /// Words for a missing value, beside the usual ones
    #[arg(long, value_name = "WORDS", value_delimiter = ',', allow_hyphen_values = true)]
    missing: Vec<String>,
    /// The mark in front of decimals: . or , [default: detected]
    #[arg(long, value_name = "MARK")]
    decimal: Option<char>,
    /// The mark between groups of three digits: , . ' or a blank [default: detected]
    #[arg(long, value_name = "MARK")]
    thousands: Option<char>,
    /// The order of dates that are not clear: Y-M-D, D/M/Y or M/D/Y
    #[arg(long, value_parser = date_order, value_name = "ORDER", conflicts_with = "no_dates")]
    dates: Option<DateOrder>,
    /// No text is a date
    #[arg(long)]
    no_dates: bool,
    #[command(flatten)]
    dialect: DialectArgs,
    /// File that says how the table is read; `inspect DATA --schema FILE.toml` writes it
    #[arg(long, value_name = "FILE.toml")]
    pub(crate) schema: Option<PathBuf>,
}

/// What becomes of the features of a table before they reach the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Scaling {
    /// Mean 0 and deviation 1
    Standard,
    /// By median and quartiles, with numbers far away drawn near
    Robust,
    /// As they are
    None,
}

fn delimiter(text: &str) -> Result<Delimiter, String> {
    match text {
        "comma" | "," => Ok(Delimiter::Comma),
        "semicolon" | ";" => Ok(Delimiter::Semicolon),
        "tab" | "\t" | "\\t" => Ok(Delimiter::Tab),
        "bar" | "|" => Ok(Delimiter::Bar),
        "blanks" | " " => Ok(Delimiter::Blanks),
        _ => Err("expected comma, semicolon, tab, bar or blanks".to_owned()),
    }
}

fn date_order(text: &str) -> Result<DateOrder, String> {
    match text.to_ascii_uppercase().as_str() {
        "Y-M-D" => Ok(DateOrder::YearFirst),
        "D/M/Y" => Ok(DateOrder::DayFirst),
        "M/D/Y" => Ok(DateOrder::MonthFirst),
        _ => Err("expected Y-M-D, D/M/Y or M/D/Y".to_owned()),
    }
}

impl DialectArgs {
    /// The library's options.
    pub(crate) fn options(&self) -> TableOptions {
        let header = match (self.header, self.no_header) {
            (true, _) => Some(true),
            (_, true) => Some(false),
            _ => None,
        };
        TableOptions {
            header,
            delimiter: self.delimiter,
            encoding: self.encoding.clone(),
            comment: self.comment,
            skip_rows: self.skip_rows,
            ..TableOptions::default()
        }
    }

    /// The first option given.
    pub(crate) fn first_given(&self) -> Option<&'static str> {
        first_given([
            (self.header, "--header"),
            (self.no_header, "--no-header"),
            (self.delimiter.is_some(), "--delimiter"),
            (self.encoding.is_some(), "--encoding"),
            (self.comment.is_some(), "--comment"),
            (self.skip_rows.is_some(), "--skip-rows"),
        ])
    }
}

impl TableArgs {
    /// The first option given.
    pub(crate) fn first_given(&self) -> Option<&'static str> {
        let columns = [
            (self.label.is_some(), "--label"),
            (self.labels.is_some(), "--labels"),
            (!self.drop.is_empty(), "--drop"),
            (!self.keep.is_empty(), "--keep"),
            (!self.categorical.is_empty(), "--categorical"),
            (!self.missing.is_empty(), "--missing"),
            (self.decimal.is_some(), "--decimal"),
            (self.thousands.is_some(), "--thousands"),
            (self.dates.is_some(), "--dates"),
            (self.no_dates, "--no-dates"),
        ];
        let schema = first_given([(self.schema.is_some(), "--schema")]);
        first_given(columns).or_else(|| self.dialect.first_given()).or(schema)
    }

    /// The library's options; `task`: of the label.
    pub(crate) fn options(&self, task: Option<Task>) -> Result<TableOptions> {
        let dates = match (self.no_dates, self.dates) {
            (true, _) => Dates::No,
            (_, Some(order)) => Dates::Order(order),
            _ => Dates::Detect,
        };
        // The columns of the file with labels come last.
        let label = self.label.clone().unwrap_or_default();
        Ok(TableOptions {
            decimal: self.decimal,
            thousands: self.thousands,
            missing: self.missing.clone(),
            dates,
            label,
            task,
            drop: self.drop.clone(),
            keep: self.keep.clone(),
            categorical: self.categorical.clone(),
            labels: self.labels.clone(),
            ..self.dialect.options()
        })
    }

    /// As [`TableArgs::options`], with the schema of `--schema`.
    pub(crate) fn options_with_schema(&self, task: Option<Task>) -> Result<TableOptions> {
        let Some(path) = &self.schema else { return self.options(task) };
        let without = TableArgs { schema: None, dialect: DialectArgs::default(), ..self.clone() };
        if let Some(option) = without.first_given() {
            return Err(wrong(option, "has no effect beside --schema, which says it"));
        }
        Ok(TableOptions { schema: Some(read_schema(path)?), ..self.dialect.options() })
    }
}

/// Reads the schema that `inspect --schema` wrote.
fn read_schema(path: &Path) -> Result<Schema> {
    let text = fs::read_to_string(path).map_err(|source| ErrorKind::Io {
        action: "read",
        path: path.to_owned(),
        source,
    })?;
    toml::from_str(&text).map_err(|error| {
        ErrorKind::Format {
            file: path.display().to_string(),
            place: "the schema".to_owned(),
            expected: "what inspect --schema writes".to_owned(),
            found: error.to_string().trim_end().to_owned(),
        }
        .into()
    })
}

fn first_given<const N: usize>(options: [(bool, &'static str); N]) -> Option<&'static str> {
    options.into_iter().find_map(|(given, name)| given.then_some(name))
}
