//! The rows of a text, taken apart into fields.

use std::ops::Range;

use csv_core::{ReadRecordResult, Reader, ReaderBuilder};
use memchr::{memchr, memchr_iter};

use super::bytes::each_mark;
use super::quotes::Stray;
use super::schema::{Delimiter, Dialect};

/// The rows of a text. Blank lines, comments and rows of empty fields are left out.
#[derive(Default)]
pub(super) struct Rows {
    /// Where the fields are: the source, or a copy without quotes.
    text: String,
    /// Start and end of each field in `text`, without blanks around it.
    fields: Vec<(u32, u32)>,
    rows: Vec<Row>,
    /// Rows that were left out because all their fields are empty.
    pub(super) empty: usize,
    /// Blank lines with a row below them.
    pub(super) blank: usize,
    /// Text behind a closing quote: rows with it are none that can be read for certain.
    pub(super) stray: Option<Stray>,
}

/// What becomes of a row whose fields are all empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum EmptyRows {
    LeaveOut,
    /// It is a row of missing values, as a prediction is expected for each row.
    Keep,
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
    /// The rows of a text.
    pub(super) fn of(source: String, dialect: &Dialect, empty: EmptyRows) -> Self {
        let mut rows = Rows::default();
        rows.parse(source, dialect, empty);
        rows
    }

    /// Takes a text apart, in the memory of the rows before.
    pub(super) fn parse(&mut self, source: String, dialect: &Dialect, empty: EmptyRows) {
        let has_quotes = memchr(b'"', source.as_bytes()).is_some();
        let has_old_line_ends = memchr(b'\n', source.as_bytes()).is_none()
            && memchr(b'\r', source.as_bytes()).is_some();
        self.fields.clear();
        self.rows.clear();
        let collector = Collector {
            fields: std::mem::take(&mut self.fields),
            rows: std::mem::take(&mut self.rows),
            empty: 0,
            blank: (0, 0),
            on_empty: empty,
            dialect,
        };
        *self = if has_quotes || has_old_line_ends || dialect.delimiter == Delimiter::Blanks {
            let stray = has_quotes.then(|| Stray::find(&source, dialect)).flatten();
            Rows { stray, ..parse_quoted(&source, collector) }
        } else {
            split(source, collector)
        };
    }

    /// The memory of the text.
    pub(super) fn take_text(&mut self) -> String {
        std::mem::take(&mut self.text)
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

    /// A column of these rows, which are wide enough.
    pub(super) fn column(&self, column: usize, range: Range<usize>) -> Fields<'_> {
        Fields { rows: self, range, column }
    }

    /// The fields of a row without blanks around them.
    pub(super) fn fields(&self, row: usize) -> impl ExactSizeIterator<Item = &str> {
        let Row { first, fields, .. } = self.rows[row];
        let fields = self.fields[first..first + fields].iter();
        fields.map(|&(start, end)| &self.text[start as usize..end as usize])
    }
}

/// A column of a text, from top to bottom.
pub(in crate::data) struct Fields<'r> {
    rows: &'r Rows,
    range: Range<usize>,
    column: usize,
}

impl<'r> Fields<'r> {
    pub(super) fn len(&self) -> usize {
        self.range.len()
    }

    /// The text that the places are those of.
    pub(super) fn text(&self) -> &'r str {
        &self.rows.text
    }

    /// For each row the byte of the source where it begins, and the place of the field without blanks around it.
    pub(super) fn places(&self) -> impl Iterator<Item = (usize, Range<usize>)> {
        let Rows { fields, rows, .. } = self.rows;
        rows[self.range.clone()].iter().map(|row| {
            let (start, end) = fields[row.first + self.column];
            (row.start, start as usize..end as usize)
        })
    }

    /// For each row the byte of the source where it begins, and the field without blanks around it.
    pub(super) fn iter(&self) -> impl Iterator<Item = (usize, &'r str)> {
        let text = self.text();
        self.places().map(move |(row, place)| (row, &text[place]))
    }
}

/// Collects the rows of a text.
struct Collector<'d> {
    fields: Vec<(u32, u32)>,
    rows: Vec<Row>,
    empty: usize,
    /// Blank lines so far, and those that have a row below them.
    blank: (usize, usize),
    on_empty: EmptyRows,
    dialect: &'d Dialect,
}

impl Collector<'_> {
    /// Adds a field of `text`.
    fn field(&mut self, text: &str, start: usize, end: usize) {
        let bytes = &text.as_bytes()[start..end];
        let is_plain = |byte: Option<&u8>| byte.is_none_or(|b| (b'!'..=b'~').contains(b));
        let (mut start, mut end) = (start, end);
        if !is_plain(bytes.first()) || !is_plain(bytes.last()) {
            let field = &text[start..end];
            start += field.len() - field.trim_start().len();
            end = start + field.trim().len();
        }
        self.fields.push((start as u32, end as u32));
    }

    /// Ends a row whose fields were added from `first` on; `start`: where it begins in the source. An only field that is empty but
    /// in quotes is no blank line.
    fn row(&mut self, first: usize, start: usize, is_quoted: bool) {
        let is_empty = self.fields[first..].iter().all(|(start, end)| start == end);
        let is_blank = is_empty && self.fields.len() == first + 1 && !is_quoted;
        if is_blank || is_empty && self.on_empty == EmptyRows::LeaveOut {
            self.empty += usize::from(!is_blank);
            self.blank.0 += usize::from(is_blank);
            self.fields.truncate(first);
            return;
        }
        self.blank.1 = self.blank.0;
        if self.dialect.ends_with_delimiter
            && self.fields.len() > first + 1
            && self.fields.last().is_some_and(|(start, end)| start == end)
        {
            self.fields.pop();
        }
        self.rows.push(Row { first, fields: self.fields.len() - first, start });
    }

    fn finish(self, text: String) -> Rows {
        let (fields, rows, empty, blank) = (self.fields, self.rows, self.empty, self.blank.1);
        Rows { text, fields, rows, empty, blank, stray: None }
    }
}

/// Takes a text without quotes apart: lines, and fields between delimiters.
fn split(source: String, mut all: Collector<'_>) -> Rows {
    let (bytes, delimiter) = (source.as_bytes(), all.dialect.delimiter.byte());
    let comment = all.dialect.comment.and_then(|comment| u8::try_from(comment).ok());
    let (mut row_start, mut field_start, mut first) = (0, 0, 0);
    let mut mark = |mark: usize, ends_row: bool| {
        all.field(&source, field_start, mark);
        field_start = mark + 1;
        if ends_row {
            if comment.is_some() && bytes.get(row_start) == comment.as_ref() {
                all.fields.truncate(first);
            } else {
                all.row(first, row_start, false);
            }
            (row_start, first) = (mark + 1, all.fields.len());
        }
    };
    each_mark(bytes, delimiter, |at| mark(at, bytes[at] == b'\n'));
    // The text ends as a line does.
    mark(bytes.len(), true);
    all.finish(source)
}

/// Between blanks, stands for a field that is empty but in quotes; no text has it.
const EMPTY: &str = "\u{1}\u{1}";

/// The same text, of the same length, with a mark for each field that is empty but in quotes.
fn mark_empty(source: &str) -> String {
    let ends_field = |byte: Option<&u8>| byte.is_none_or(|byte| b" \r\n".contains(byte));
    let bytes = source.as_bytes();
    let (mut marked, mut copied) = (String::new(), 0);
    let (mut in_quotes, mut closed) = (false, None);
    for at in memchr_iter(b'"', bytes) {
        let before = at.checked_sub(1);
        if in_quotes {
            (in_quotes, closed) = (false, Some(at));
        } else if ends_field(before.map(|before| &bytes[before])) {
            in_quotes = true;
            if bytes.get(at + 1) == Some(&b'"') && ends_field(bytes.get(at + 2)) {
                marked += &source[copied..at];
                marked += EMPTY;
                copied = at + 2;
            }
        } else {
            // A quote within quotes.
            in_quotes = closed.is_some() && closed == before;
        }
    }
    marked + &source[copied..]
}

/// Takes a text apart as RFC 4180 says.
fn parse_quoted(source: &str, mut all: Collector<'_>) -> Rows {
    let dialect = all.dialect;
    let blanks = dialect.delimiter == Delimiter::Blanks;
    let marked = (blanks && source.contains("\"\"")).then(|| mark_empty(source));
    let source = marked.as_deref().unwrap_or(source);
    let comment = dialect.comment.and_then(|comment| u8::try_from(comment).ok());
    let mut reader = ReaderBuilder::new().delimiter(dialect.delimiter.byte()).build();
    // Without quotes a text is never longer than before.
    let (mut text, mut ends) = (vec![0; source.len() + 1], vec![0; 64]);
    let (mut position, mut length) = (0, 0);
    let mut records: Vec<(usize, usize, usize)> = Vec::new();
    let mut all_ends: Vec<usize> = Vec::new();
    loop {
        position += blank_lines(&source.as_bytes()[position..], comment);
        let start = position;
        let record =
            record(&mut reader, &source.as_bytes()[position..], &mut text[length..], &mut ends);
        let Some((read, written, fields)) = record else { break };
        position += read;
        records.push((start, length, all_ends.len()));
        all_ends.extend(ends[..fields].iter().map(|end| length + end));
        length += written;
    }
    text.truncate(length);
    // Fields are cut at ASCII characters, so that what was UTF-8 still is.
    let text = String::from_utf8(text).unwrap_or_default();
    for (i, &(start, mut from, first_end)) in records.iter().enumerate() {
        let last_end = records.get(i + 1).map_or(all_ends.len(), |next| next.2);
        let first = all.fields.len();
        for &end in &all_ends[first_end..last_end] {
            // Blanks one behind the other are one delimiter.
            if !blanks || end > from {
                let is_empty = blanks && text[from..end] == *EMPTY;
                all.field(&text, if is_empty { end } else { from }, end);
            }
            from = end;
        }
        all.row(first, start, true);
    }
    all.finish(text)
}

/// Bytes of the blank lines and comments at the start of a text.
fn blank_lines(text: &[u8], comment: Option<u8>) -> usize {
    let mut position = 0;
    while let Some(&first) = text.get(position) {
        if comment == Some(first) {
            let rest = &text[position..];
            position += memchr(b'\n', rest).map_or(rest.len(), |end| end + 1);
        } else if matches!(first, b'\r' | b'\n') {
            position += 1;
        } else {
            break;
        }
    }
    position
}

/// Reads a record: the bytes that were read and written, and its number of fields; `None` at the end.
fn record(
    reader: &mut Reader,
    source: &[u8],
    text: &mut [u8],
    ends: &mut Vec<usize>,
) -> Option<(usize, usize, usize)> {
    let (mut position, mut written, mut fields) = (0, 0, 0);
    loop {
        let (result, read, wrote, ended) =
            reader.read_record(&source[position..], &mut text[written..], &mut ends[fields..]);
        (position, written, fields) = (position + read, written + wrote, fields + ended);
        match result {
            // The text has room for all of the source.
            ReadRecordResult::InputEmpty | ReadRecordResult::OutputFull => {}
            ReadRecordResult::OutputEndsFull => ends.resize(2 * ends.len(), 0),
            ReadRecordResult::Record => return Some((position, written, fields)),
            ReadRecordResult::End => return None,
        }
    }
}
