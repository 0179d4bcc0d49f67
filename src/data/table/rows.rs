//! The rows of a text, taken apart into fields.

use csv_core::{ReadRecordResult, Reader, ReaderBuilder};
use memchr::memchr;

use super::schema::{Delimiter, Dialect};

/// The rows of a text. Blank lines, comments and rows of empty fields are left out.
pub(super) struct Rows {
    /// The fields of all rows without quotes, one behind the other.
    text: String,
    /// Where each field ends in `text`.
    ends: Vec<usize>,
    rows: Vec<Row>,
    /// Rows that were left out because all their fields are empty.
    pub(super) empty: usize,
}

#[derive(Clone, Copy)]
struct Row {
    /// The first field, and how many there are.
    first: usize,
    fields: usize,
    /// The byte of the source where the row begins.
    start: usize,
}

impl Rows {
    /// Takes a text apart.
    pub(super) fn parse(source: &str, dialect: &Dialect) -> Self {
        let mut parser = Parser::new(source, dialect);
        while parser.next_row() {}
        parser.finish()
    }

    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    /// Number of fields of a row.
    pub(super) fn width(&self, row: usize) -> usize {
        self.rows[row].fields
    }

    /// The byte of the source where a row begins.
    pub(super) fn start(&self, row: usize) -> usize {
        self.rows[row].start
    }

    /// The fields of a row without blanks around them.
    pub(super) fn fields(&self, row: usize) -> impl ExactSizeIterator<Item = &str> {
        let Row { first, fields, .. } = self.rows[row];
        (first..first + fields).map(|field| self.field(field))
    }

    fn field(&self, field: usize) -> &str {
        let start = field.checked_sub(1).map_or(0, |before| self.ends[before]);
        self.text[start..self.ends[field]].trim()
    }
}

struct Parser<'s> {
    source: &'s [u8],
    position: usize,
    reader: Reader,
    comment: Option<u8>,
    text: Vec<u8>,
    text_length: usize,
    ends: Vec<usize>,
    field_ends: Vec<usize>,
    rows: Vec<Row>,
    empty: usize,
    dialect: &'s Dialect,
}

impl<'s> Parser<'s> {
    fn new(source: &'s str, dialect: &'s Dialect) -> Self {
        let comment = dialect.comment.and_then(|comment| u8::try_from(comment).ok());
        let reader = ReaderBuilder::new().delimiter(dialect.delimiter.byte()).build();
        Parser {
            source: source.as_bytes(),
            position: 0,
            reader,
            comment,
            // Without quotes a text is never longer than before.
            text: vec![0; source.len()],
            text_length: 0,
            ends: Vec::new(),
            field_ends: vec![0; 64],
            rows: Vec::new(),
            empty: 0,
            dialect,
        }
    }

    /// Reads a row; false at the end.
    fn next_row(&mut self) -> bool {
        self.skip_lines();
        let (start, mut written, mut fields) = (self.position, 0, 0);
        loop {
            let (result, read, wrote, ended) = self.reader.read_record(
                &self.source[self.position..],
                &mut self.text[self.text_length + written..],
                &mut self.field_ends[fields..],
            );
            (self.position, written, fields) =
                (self.position + read, written + wrote, fields + ended);
            match result {
                ReadRecordResult::InputEmpty => {}
                ReadRecordResult::OutputFull => self.text.resize(2 * self.text.len() + 64, 0),
                ReadRecordResult::OutputEndsFull => {
                    self.field_ends.resize(2 * self.field_ends.len(), 0);
                }
                ReadRecordResult::Record => {
                    self.add(start, written, fields);
                    return true;
                }
                ReadRecordResult::End => return false,
            }
        }
    }

    /// Skips blank lines and comments in front of a row.
    fn skip_lines(&mut self) {
        while let Some(&first) = self.source.get(self.position) {
            if self.comment == Some(first) {
                let rest = &self.source[self.position..];
                self.position += memchr(b'\n', rest).map_or(rest.len(), |end| end + 1);
            } else if matches!(first, b'\r' | b'\n') {
                self.position += 1;
            } else {
                return;
            }
        }
    }

    fn add(&mut self, start: usize, written: usize, fields: usize) {
        let first = self.ends.len();
        let text = &self.text[self.text_length..self.text_length + written];
        let is_blank = text.iter().all(u8::is_ascii_whitespace);
        if is_blank {
            self.empty += usize::from(fields > 1 || written > 0);
            return;
        }
        let (base, mut before) = (self.text_length, 0);
        for &end in &self.field_ends[..fields] {
            // Blanks one behind the other are one delimiter.
            if self.dialect.delimiter != Delimiter::Blanks || end > before {
                self.ends.push(base + end);
            }
            before = end;
        }
        if self.dialect.ends_with_delimiter
            && before == self.field_ends.get(fields.wrapping_sub(2)).copied().unwrap_or(0)
        {
            self.ends.pop();
        }
        self.text_length += written;
        self.rows.push(Row { first, fields: self.ends.len() - first, start });
    }

    fn finish(mut self) -> Rows {
        self.text.truncate(self.text_length);
        // Fields are cut at ASCII characters, so that what was UTF-8 still is.
        let text = String::from_utf8(self.text).unwrap_or_default();
        Rows { text, ends: self.ends, rows: self.rows, empty: self.empty }
    }
}
