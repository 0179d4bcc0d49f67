//! Rows of a text that arrives bit by bit, such as standard input.

use std::io::{self, BufRead, BufReader, Read};
use std::ops::Range;
use std::path::Path;

use encoding_rs::Encoding;

use super::dialect::{COMMENT, declared_delimiter};
use super::file::{Cutter, line_in};
use super::follow::{Labels, has_names, without_names};
use super::other_formats::other_format;
use super::reading::Reading;
use super::repeats::{self, Repeats};
use super::rows::{EmptyRows, Rows};
use super::schema::{Delimiter, Dialect, Schema};
use super::source::{ColumnCells, Source, Visit};
use super::survey::Spot;
use super::text::column_names;
use super::{Frame, TableOptions};
use crate::data::text::counted;
use crate::{Error, Result};

/// Rows that are returned together, at most.
const MAX_ROWS: usize = 1024;
/// The byte order mark of UTF-8.
const MARK: &[u8] = "\u{feff}".as_bytes();
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
    /// Rows that equal the header, which are errors.
    header: Option<Repeats>,
    /// The byte that ends a line, once the first has ended.
    line_end: Option<u8>,
    /// Lines that are read.
    lines: usize,
    /// A row that was read to find the columns, and the lines in front of it.
    first: Option<WaitingRow>,
    /// The fault in the row behind those that were returned last.
    fault: Option<Error>,
}

/// The text of a row, and the lines in front of it.
type WaitingRow = (Vec<u8>, usize);

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
            header: None,
            line_end: None,
            lines: 0,
            first: None,
            fault: None,
        };
        rows.check_start()?;
        let skipped = schema.dialect.as_ref().map_or(0, |dialect| dialect.skip_rows);
        rows.find_columns(schema, options, skipped)?;
        Ok(rows)
    }

    /// `skipped`: lines that were above the table in training, and may be here as well.
    fn find_columns(
        &mut self,
        schema: &Schema,
        options: &TableOptions,
        skipped: usize,
    ) -> Result<()> {
        for _ in 0..options.skip_rows.unwrap_or(0) {
            self.line(&mut Vec::new())?;
        }
        let has_header = options.header.unwrap_or(schema.has_names());
        let needs_names = has_header && schema.has_names();
        let mut first = self.first_row(options)?;
        let mut comments = 0;
        while needs_names && !has_names(schema, &first.0) {
            // As in a file, a comment may stand above the header.
            comments += usize::from(is_comment(&first.1.0));
            if self.lines > skipped + comments {
                return Err(self.without_names(schema, &first.0));
            }
            first = self.first_row(options)?;
        }
        let (mut fields, text) = first;
        self.header = has_header.then(|| Repeats::of(&fields)).flatten();
        if !has_header {
            self.first = Some(text);
        } else if schema.dialect.as_ref().is_some_and(|dialect| dialect.row_names) {
            let before = self.lines;
            let mut text = Vec::new();
            self.row(&mut text)?;
            let rows = self.rows(utf8(&self.name, before, &text)?, before, EmptyRows::LeaveOut)?;
            if rows.len() > 0 && rows.width(0) == fields.len() + 1 {
                fields.insert(0, String::new());
            }
            self.first = Some((text, before));
        }
        self.width = fields.len();
        let names = has_header.then(|| column_names(fields.into_iter()));
        // Without names, values tell which columns are there.
        let text = match (&names, &self.first) {
            (None, Some((text, before))) => utf8(&self.name, *before, text)?,
            _ => String::new(),
        };
        let rows = self.rows(text.clone(), 0, EmptyRows::Keep)?;
        let block = Block { names, ..self.block(&text, rows, 0) };
        self.reading = Reading::find(schema, &block, Labels::Ignored, options.id.as_deref())?;
        Ok(())
    }

    /// The fields of the next row, its text, and the lines in front of it.
    fn first_row(&mut self, options: &TableOptions) -> Result<(Vec<String>, WaitingRow)> {
        let mut text = Vec::new();
        loop {
            text.clear();
            let before = self.lines;
            if !self.row(&mut text)? {
                let expected = "a header or a sample";
                return Err(Error::format(&*self.name, "line 1", expected, "the end of the input"));
            }
            if text.starts_with(MARK) {
                text.drain(..MARK.len());
            }
            let line = utf8(&self.name, before, &text)?;
            if let Some(delimiter) = declared_delimiter(&line).filter(|_| before == 0) {
                self.dialect.delimiter = options.delimiter.unwrap_or(delimiter);
                continue;
            }
            let rows = self.rows(line, before, EmptyRows::LeaveOut)?;
            if rows.len() > 0 {
                return Ok((rows.fields(0).map(str::to_owned).collect(), (text, before)));
            }
        }
    }

    fn without_names(&self, schema: &Schema, found: &[String]) -> Error {
        let names = schema.with_role(super::Role::Feature).map(|c| schema.columns[c].name.clone());
        let missing: Vec<String> = names.filter(|name| !found.contains(name)).collect();
        let found = (found, self.dialect.delimiter);
        without_names(&*self.name, self.lines, schema, found, &missing)
    }

    /// The rows that have arrived, at least one; `None` at the end.
    ///
    /// # Errors
    /// A value that does not fit its column; a row with other fields than the first; a text that cannot be read.
    pub fn next_rows(&mut self) -> Result<Option<Frame>> {
        if let Some(fault) = self.fault.take() {
            return Err(fault);
        }
        loop {
            let (mut text, before) = self.first.take().unwrap_or((Vec::new(), self.lines));
            let mut count = usize::from(!text.is_empty());
            while (count == 0 || !self.reader.buffer().is_empty() && count < MAX_ROWS)
                && self.row(&mut text)?
            {
                count += 1;
            }
            if count == 0 {
                return Ok(None);
            }
            let text = utf8(&self.name, before, &text)?;
            let rows = self.rows(text.clone(), before, EmptyRows::Keep)?;
            if rows.len() > 0 {
                let (frame, fault) = self.read(self.block(&text, rows, before))?;
                self.fault = fault;
                return Ok(Some(frame));
            }
        }
    }

    /// Reads rows, or those in front of the first fault, and the fault.
    fn read(&self, mut block: Block<'_>) -> Result<(Frame, Option<Error>)> {
        let fault = match self.reading.block(&block, 0) {
            Ok(frame) => return Ok((frame, None)),
            Err(fault) => fault,
        };
        let rows = block.range.end;
        let is_good = |row: &usize| {
            block.range = *row..row + 1;
            self.reading.block(&block, 0).is_ok()
        };
        let good = (0..rows).take_while(is_good).count();
        if good == 0 {
            return Err(fault);
        }
        block.range = 0..good;
        Ok((self.reading.block(&block, 0)?, Some(fault)))
    }

    fn block<'a>(&'a self, text: &'a str, rows: Rows, before: usize) -> Block<'a> {
        let (name, width, range) = (&*self.name, self.width, 0..rows.len());
        Block { name, width, header: self.header.as_ref(), names: None, text, before, rows, range }
    }

    /// The rows of a text with `before` lines in front of it.
    fn rows(&self, text: String, before: usize, empty: EmptyRows) -> Result<Rows> {
        let rows = Rows::of(text.clone(), &self.dialect, empty);
        let Some(stray) = rows.stray else { return Ok(rows) };
        let line = format!("line {}", before + line_in(text.as_bytes(), stray.at));
        Err(stray.error(&self.name, line, &text))
    }

    /// Refuses what begins as another format than text in UTF-8.
    fn check_start(&mut self) -> Result<()> {
        let start = self.reader.fill_buf();
        let start = start.map_err(|source| Error::io("read", Path::new(&self.name), source))?;
        let marked = Encoding::for_bom(start).map(|(marked, _)| marked);
        let found = match marked.filter(|marked| *marked != encoding_rs::UTF_8) {
            Some(marked) => {
                format!("the byte order mark of {}; save it as UTF-8, or as a file", marked.name())
            }
            None => match other_format(start) {
                Some(found) => found.to_owned(),
                None => return Ok(()),
            },
        };
        Err(Error::format(&*self.name, "the first bytes", "a text in UTF-8, such as CSV", found))
    }

    /// Appends a line, which ends with a line feed whatever ended it; false at the end.
    fn line(&mut self, text: &mut Vec<u8>) -> Result<bool> {
        let start = text.len();
        let read = match self.line_end {
            Some(end) => {
                let limit = MAX_ROW_BYTES as u64;
                self.reader.by_ref().take(limit).read_until(end, text).map(|_| ())
            }
            None => self.first_line(text),
        };
        read.map_err(|source| Error::io("read", Path::new(&self.name), source))?;
        self.lines += usize::from(text.len() > start);
        Ok(text.len() > start)
    }

    /// Appends the first line, and finds out what ends lines: a carriage return does where no line feed follows it.
    fn first_line(&mut self, text: &mut Vec<u8>) -> io::Result<()> {
        let mut in_quotes = false;
        while text.len() <= MAX_ROW_BYTES {
            let Some(&byte) = self.reader.fill_buf()?.first() else { return Ok(()) };
            if byte != b'\n' && text.last() == Some(&b'\r') && !in_quotes {
                self.line_end = Some(b'\r');
                return Ok(());
            }
            self.reader.consume(1);
            text.push(byte);
            in_quotes ^= byte == b'"';
            if byte == b'\n' {
                self.line_end = Some(b'\n');
                return Ok(());
            }
        }
        Ok(())
    }

    /// Appends a row: lines until quotes are closed; false at the end.
    fn row(&mut self, text: &mut Vec<u8>) -> Result<bool> {
        let start = text.len();
        let mut cutter = Cutter::new(&self.dialect, 0);
        let first = self.lines + 1;
        let mut found = "a quote that is not closed";
        while self.line(text)? {
            let old_end = text.last().copied().filter(|&end| end == b'\r');
            if let (Some(end), true) = (text.last_mut(), old_end.is_some()) {
                *end = b'\n';
            }
            if cutter.last_row_end(&text[start..]).is_some() {
                return Ok(true);
            }
            if let (Some(end), Some(old_end)) = (text.last_mut(), old_end) {
                // Within quotes it is part of a value.
                *end = old_end;
            }
            if text.len() - start > MAX_ROW_BYTES {
                (cutter.in_quotes, found) = (true, "a row that goes on");
                break;
            }
        }
        if cutter.in_quotes {
            let expected = "a row that ends, and quotes in pairs";
            return Err(Error::format(&*self.name, format!("line {first}"), expected, found));
        }
        Ok(text.len() > start)
    }
}

fn utf8(name: &str, lines: usize, text: &[u8]) -> Result<String> {
    String::from_utf8(text.to_vec()).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        let line = lines + line_in(text, at);
        let expected = "text in UTF-8; a file may have another encoding";
        Error::format(name, format!("line {line}"), expected, format!("byte {:#04x}", text[at]))
    })
}

/// Whether a row begins with the usual mark of comments.
fn is_comment(row: &[u8]) -> bool {
    row.first().is_some_and(|&first| char::from(first) == COMMENT)
}

/// Rows that have arrived.
struct Block<'a> {
    name: &'a str,
    width: usize,
    header: Option<&'a Repeats>,
    names: Option<Vec<String>>,
    text: &'a str,
    /// Lines in front of the text.
    before: usize,
    rows: Rows,
    /// The rows that are read.
    range: Range<usize>,
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

    fn visit(&self, _: usize, columns: &[usize], visit: &mut Visit<'_>) -> Result<usize> {
        for row in self.range.clone() {
            let spot = Spot { block: 0, row: self.rows.start(row) };
            let fields = self.rows.width(row);
            let is_again = self.header.is_some_and(|h| h.is_header(self.rows.fields(row)));
            if is_again || repeats::is_rule(self.width, self.rows.fields(row)) {
                let place = format!("line {}", self.line(spot));
                let found = if is_again { repeats::FOUND } else { repeats::DASHES };
                return Err(Error::format(self.name, place, "a sample", found));
            }
            if fields != self.width {
                let expected = format!("{}, as the first row has", counted(self.width, "field"));
                let found = counted(fields, "field");
                return Err(Error::format(self.name, self.place(spot, 0), expected, found));
            }
        }
        for (place, &column) in columns.iter().enumerate() {
            visit(place, &ColumnCells::Fields(self.rows.column(column, self.range.clone())))?;
        }
        Ok(self.rows.empty)
    }

    fn place(&self, spot: Spot, column: usize) -> String {
        format!("line {}, column {}", self.line(spot), column + 1)
    }
}

impl Block<'_> {
    fn line(&self, spot: Spot) -> usize {
        self.before + line_in(self.text.as_bytes(), spot.row)
    }
}
