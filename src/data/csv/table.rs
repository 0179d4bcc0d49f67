//! The text of a CSV file as a header and rows of equal length.

use std::collections::HashSet;
use std::fs;
use std::path::Path;

use ::csv::{Reader, ReaderBuilder, StringRecord};

use super::super::text::{counted, is_missing, number, quoted};
use super::{CsvOptions, Label};
use crate::{Error, Result};

pub(in crate::data) struct Table {
    file: String,
    text: String,
    delimiter: u8,
    /// Empty if the file has none.
    header: Vec<String>,
    width: usize,
    /// Lines of the file before the text.
    skipped: usize,
    /// The place of the columns' names, for messages.
    head: &'static str,
}

impl Table {
    pub(super) fn read(path: &Path, options: &CsvOptions) -> Result<Self> {
        let file = path.display().to_string();
        let bytes = fs::read(path).map_err(|e| Error::io("read", path, e))?;
        let text = utf8(bytes, &file)?;
        Table::of_text(&file, text, options, None, 0)
    }

    /// The columns of a file of another format, for choosing among them.
    #[cfg(feature = "parquet")]
    pub(in crate::data) fn of_names(file: &str, header: Vec<String>) -> Self {
        let (file, width) = (file.to_owned(), header.len());
        Table {
            file,
            text: String::new(),
            delimiter: b',',
            header,
            width,
            skipped: 0,
            head: "schema",
        }
    }

    /// A text, or a part of one with `skipped` lines of the file before it.
    pub(super) fn of_text(
        file: &str,
        text: String,
        options: &CsvOptions,
        delimiter: Option<u8>,
        skipped: usize,
    ) -> Result<Self> {
        let file = file.to_owned();
        let delimiter = delimiter.unwrap_or_else(|| detect_delimiter(&text));
        let mut table =
            Table { file, text, delimiter, header: Vec::new(), width: 0, skipped, head: "line 1" };
        let mut rows = table.rows();
        let (mut first, mut second) = (StringRecord::new(), StringRecord::new());
        let Some(start) = table.parse(&mut rows, &mut first)? else {
            return Err(Error::format(
                table.file,
                "line 1",
                "a header or a sample",
                "an empty file",
            ));
        };
        table.parse(&mut rows, &mut second)?;
        if options.header.unwrap_or_else(|| detect_header(&first, &second, options)) {
            let header: Vec<String> = (1..).zip(&first).map(column_name).collect();
            table.check_header(&header, start)?;
            table.header = header;
        }
        table.width = first.len();
        Ok(table)
    }

    pub(super) fn file(&self) -> &str {
        &self.file
    }

    pub(super) fn header(&self) -> &[String] {
        &self.header
    }

    pub(super) fn delimiter(&self) -> u8 {
        self.delimiter
    }

    /// The place of the columns' names, for messages.
    pub(super) fn head(&self) -> &'static str {
        self.head
    }

    /// Number of columns.
    pub(super) fn width(&self) -> usize {
        self.width
    }

    /// The column's name in the header, or "column N".
    pub(super) fn column_name(&self, column: usize) -> String {
        self.header.get(column).cloned().unwrap_or_else(|| format!("column {}", column + 1))
    }

    /// The rows below the header, for [`Table::next_row`].
    pub(super) fn rows(&self) -> Reader<&[u8]> {
        ReaderBuilder::new()
            .has_headers(!self.header.is_empty())
            .delimiter(self.delimiter)
            .flexible(true) // so that `next_row` reports the line of a row that is too short or too long
            .from_reader(self.text.as_bytes())
    }

    /// Reads a row and returns at which byte it starts, or `None` at the end.
    pub(super) fn next_row(
        &self,
        rows: &mut Reader<&[u8]>,
        row: &mut StringRecord,
    ) -> Result<Option<usize>> {
        let start = self.parse(rows, row)?;
        match start {
            Some(start) if row.len() != self.width => {
                let expected = format!("{}, as the first row has", counted(self.width, "field"));
                Err(Error::format(
                    &*self.file,
                    self.line(start),
                    expected,
                    counted(row.len(), "field"),
                ))
            }
            _ => Ok(start),
        }
    }

    /// "line 7, column 2 (width)"
    pub(super) fn place(&self, start: usize, column: usize) -> String {
        let name = self.header.get(column).map_or(String::new(), |name| format!(" ({name})"));
        format!("{}, column {}{name}", self.line(start), column + 1)
    }

    fn parse(&self, rows: &mut Reader<&[u8]>, row: &mut StringRecord) -> Result<Option<usize>> {
        let outcome = rows.read_record(row);
        let start = row.position().map_or(0, |position| position.byte() as usize);
        match outcome {
            Ok(false) => Ok(None),
            // An unclosed quote would swallow the rest of the file.
            Ok(true) if row.as_slice().contains(['\n', '\r']) => {
                let expected = "fields that end on the line where they start";
                Err(Error::format(
                    &*self.file,
                    self.line(start),
                    expected,
                    "a line break in quotes",
                ))
            }
            Ok(true) => Ok(Some(start)),
            Err(e) => {
                Err(Error::format(&*self.file, self.line(start), "a row of fields", e.to_string()))
            }
        }
    }

    /// The line of the row at byte `start`, or behind the line ends there, which the parser's own count misses.
    fn line(&self, start: usize) -> String {
        let (before, rest) = self.text.as_bytes().split_at(start.min(self.text.len()));
        let blank = rest.iter().take_while(|byte| matches!(byte, b'\r' | b'\n'));
        format!(
            "line {}",
            self.skipped + 1 + before.iter().chain(blank).filter(|&&byte| byte == b'\n').count()
        )
    }

    fn check_header(&self, header: &[String], start: usize) -> Result<()> {
        let mut seen = HashSet::new();
        match header.iter().find(|name| !seen.insert(*name)) {
            Some(name) => {
                let found = format!("{} twice", quoted(name));
                Err(Error::format(
                    &*self.file,
                    self.line(start),
                    "a different name for each column",
                    found,
                ))
            }
            None => Ok(()),
        }
    }
}

/// The text without a byte order mark.
pub(super) fn utf8(bytes: Vec<u8>, file: &str) -> Result<String> {
    let text = String::from_utf8(bytes).map_err(|e| {
        let (position, bytes) = (e.utf8_error().valid_up_to(), e.as_bytes());
        let line = 1 + bytes[..position].iter().filter(|&&byte| byte == b'\n').count();
        let place = format!("line {line}, byte {position} of the file");
        Error::format(file, place, "UTF-8 text", format!("byte {:#04x}", bytes[position]))
    })?;
    match text.strip_prefix('\u{feff}') {
        Some(rest) => Ok(rest.to_owned()),
        None => Ok(text),
    }
}

/// The delimiter that the first line has most of, outside of quotes. Commas lose a draw: in "0,5;1,5" they are decimal points.
fn detect_delimiter(text: &str) -> u8 {
    let line = text.lines().find(|line| !line.is_empty()).unwrap_or_default();
    let unquoted: Vec<&str> = line.split('"').step_by(2).collect();
    let count = |delimiter: u8| {
        unquoted.iter().flat_map(|part| part.bytes()).filter(|&b| b == delimiter).count()
    };
    [b',', b';', b'\t']
        .into_iter()
        .max_by_key(|&delimiter| count(delimiter))
        .filter(|&d| count(d) > 0)
        .unwrap_or(b',')
}

fn detect_header(first: &StringRecord, second: &StringRecord, options: &CsvOptions) -> bool {
    let fields: HashSet<&str> = first.iter().map(str::trim).collect();
    let is_text = |field: &str| !is_missing(field) && number(field).is_none();
    let text_above_number =
        first.iter().zip(second).any(|(above, below)| is_text(above) && number(below).is_some());
    let different_texts = fields.len() == first.len() && first.iter().all(is_text);
    text_above_number || different_texts || has_requested_names(&fields, options)
}

fn has_requested_names(fields: &HashSet<&str>, options: &CsvOptions) -> bool {
    match (&options.features, &options.label) {
        (Some(names), _) if !names.is_empty() => {
            names.iter().all(|name| fields.contains(name.as_str()))
        }
        (_, Label::Name(name)) => fields.contains(name.as_str()),
        _ => false,
    }
}

/// The name in the header, or "column N" where it is empty, as spreadsheets and pandas leave it.
fn column_name((number, name): (usize, &str)) -> String {
    match name.trim() {
        "" => format!("column {number}"),
        name => name.to_owned(),
    }
}
