//! Rows of a text that arrives bit by bit, such as standard input.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use super::cell::Cell;
use super::follow::{Labels, has_names};
use super::reading::Reading;
use super::rows::Rows;
use super::schema::{Delimiter, Dialect, Schema};
use super::source::{Source, Visit};
use super::survey::Spot;
use super::text::column_names;
use super::{Frame, TableOptions};
use crate::data::text::{counted, listed};
use crate::{Error, Result};

/// Rows that are returned together, at most.
const MAX_ROWS: usize = 1024;
/// Bytes of a row, at most.
const MAX_ROW_BYTES: usize = 64 << 20;

/// Reads rows of a text as a schema says, as they arrive: a row is returned as soon as its line has ended.
///
/// ```
/// use travertine::data::{Label, RowReader, Schema, Table, TableOptions};
/// # let path = std::env::temp_dir().join(format!("travertine-rows-{}.csv", std::process::id()));
/// # std::fs::write(&path, "size,price\n1,10\n2,20\n4,45\n")?;
/// let schema = Table::open(&path, &TableOptions::default())?.schema().clone();
/// let options = TableOptions { label: Label::None, ..TableOptions::default() };
/// let mut rows = RowReader::new("input", "size\n3\n5\n".as_bytes(), &schema, &options)?;
/// let frame = rows.next_rows()?.unwrap();
/// assert_eq!(frame.samples(), 2);
/// assert!(rows.next_rows()?.is_none());
/// # std::fs::remove_file(&path)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct RowReader<R> {
    reader: BufReader<R>,
    name: String,
    dialect: Dialect,
    reading: Reading,
    width: usize,
    /// Lines that are read.
    lines: usize,
    /// A first row that turned out to be a sample.
    first: Option<Vec<u8>>,
}

impl<R: Read> RowReader<R> {
    /// Reads the header, if the schema has names; `name`: of the text, for messages. Labels are not read.
    ///
    /// # Errors
    /// A header without the columns of the schema; a text that cannot be read.
    pub fn new(name: &str, reader: R, schema: &Schema, options: &TableOptions) -> Result<Self> {
        let known = schema.dialect.clone();
        let dialect = Dialect {
            encoding: "UTF-8".to_owned(),
            delimiter: options
                .delimiter
                .or(known.as_ref().map(|dialect| dialect.delimiter))
                .unwrap_or(Delimiter::Comma),
            header: false,
            skip_rows: 0,
            comment: options.comment.or(known.as_ref().and_then(|dialect| dialect.comment)),
            ends_with_delimiter: known.as_ref().is_some_and(|dialect| dialect.ends_with_delimiter),
            row_names: false,
            missing: known.map_or(Vec::new(), |dialect| dialect.missing),
        };
        let mut rows = RowReader {
            reader: BufReader::new(reader),
            name: name.to_owned(),
            dialect,
            reading: Reading::of(schema),
            width: 0,
            lines: 0,
            first: None,
        };
        rows.find_columns(schema, options)?;
        Ok(rows)
    }

    fn find_columns(&mut self, schema: &Schema, options: &TableOptions) -> Result<()> {
        for _ in 0..options.skip_rows.unwrap_or(0) {
            self.line(&mut Vec::new())?;
        }
        let mut text = Vec::new();
        let first = loop {
            text.clear();
            if !self.row(&mut text)? {
                let expected = "a header or a sample";
                return Err(Error::format(&*self.name, "line 1", expected, "the end of the input"));
            }
            let text = utf8(&self.name, self.lines, &text)?;
            let rows = Rows::parse(text.trim_start_matches('\u{feff}').to_owned(), &self.dialect);
            if rows.len() > 0 {
                break rows.fields(0).map(str::to_owned).collect::<Vec<_>>();
            }
        };
        let has_header = options.header.unwrap_or(schema.has_names());
        if has_header && schema.has_names() && !has_names(schema, &first) {
            let missing: Vec<String> = schema
                .with_role(super::Role::Feature)
                .map(|column| schema.columns[column].name.clone())
                .filter(|name| !first.contains(name))
                .collect();
            let expected = format!(
                "a header with the columns that the model learned, {} among them, separated by {}",
                listed(&missing),
                self.dialect.delimiter
            );
            return Err(Error::format(&*self.name, "line 1", expected, listed(&first)));
        }
        self.width = first.len();
        let names = has_header.then(|| column_names(first.into_iter()));
        let block =
            Block { rows: None, names, ..self.block(Rows::parse(String::new(), &self.dialect)) };
        self.reading = Reading::find(schema, &block, Labels::Ignored, options.id.as_deref())?;
        self.first = (!has_header).then_some(text);
        Ok(())
    }

    /// The rows that have arrived, at least one; `None` at the end.
    ///
    /// # Errors
    /// A value that does not fit its column; a row with other fields than the first; a text that cannot be read.
    pub fn next_rows(&mut self) -> Result<Option<Frame>> {
        loop {
            let before = self.lines;
            let mut text = self.first.take().unwrap_or_default();
            let mut count = usize::from(!text.is_empty());
            while (count == 0 || !self.reader.buffer().is_empty() && count < MAX_ROWS)
                && self.row(&mut text)?
            {
                count += 1;
            }
            if count == 0 {
                return Ok(None);
            }
            let rows = Rows::parse(utf8(&self.name, before, &text)?, &self.dialect);
            if rows.len() > 0 {
                let source = Block { before, ..self.block(rows) };
                return self.reading.block(&source, 0).map(Some);
            }
        }
    }

    fn block(&self, rows: Rows) -> Block<'_> {
        Block { name: &self.name, width: self.width, names: None, before: 0, rows: Some(rows) }
    }

    /// Appends a line; false at the end.
    fn line(&mut self, text: &mut Vec<u8>) -> Result<bool> {
        let limit = MAX_ROW_BYTES as u64;
        let read = self.reader.by_ref().take(limit).read_until(b'\n', text);
        let read = read.map_err(|source| Error::io("read", Path::new(&self.name), source))?;
        self.lines += usize::from(read > 0);
        Ok(read > 0)
    }

    /// Appends a row: lines until quotes come in pairs; false at the end.
    fn row(&mut self, text: &mut Vec<u8>) -> Result<bool> {
        let start = text.len();
        if !self.line(text)? {
            return Ok(false);
        }
        while text[start..].iter().filter(|&&byte| byte == b'"').count() % 2 == 1 {
            if text.len() - start > MAX_ROW_BYTES || !self.line(text)? {
                let place = format!("line {}", self.lines);
                let found = "a quote that is not closed";
                return Err(Error::format(&*self.name, place, "quotes in pairs", found));
            }
        }
        Ok(true)
    }
}

fn utf8(name: &str, lines: usize, text: &[u8]) -> Result<String> {
    String::from_utf8(text.to_vec()).map_err(|_| {
        let place = format!("after line {lines}");
        Error::format(name, place, "UTF-8 text", "other bytes")
    })
}

/// Rows that have arrived.
struct Block<'a> {
    name: &'a str,
    width: usize,
    names: Option<Vec<String>>,
    /// Lines in front of these.
    before: usize,
    rows: Option<Rows>,
}

impl Source for Block<'_> {
    fn name(&self) -> String {
        self.name.to_owned()
    }

    fn names(&self) -> Option<Vec<String>> {
        self.names.clone()
    }

    fn width(&self) -> usize {
        self.width
    }

    fn blocks(&self) -> usize {
        1
    }

    fn cells(&self, _: usize, columns: &[usize], visit: &mut Visit<'_>) -> Result<usize> {
        let Some(rows) = &self.rows else { return Ok(0) };
        for row in 0..rows.len() {
            let spot = Spot { block: 0, row };
            let fields: Vec<&str> = rows.fields(row).collect();
            if fields.len() != self.width {
                let expected = format!("{}, as the first row has", counted(self.width, "field"));
                let found = counted(fields.len(), "field");
                return Err(Error::format(self.name, self.place(spot, 0), expected, found));
            }
            for (place, &column) in columns.iter().enumerate() {
                visit(spot, place, Cell::Text(fields[column]))?;
            }
        }
        Ok(rows.empty)
    }

    fn place(&self, spot: Spot, column: usize) -> String {
        format!("line {}, column {}", self.before + spot.row + 1, column + 1)
    }
}
