//! The dialect of a text file, from its first rows. Rows that do not fit it later are errors.

use memchr::memchr_iter;

use super::cell::missing_word;
use super::date::DateOrder;
use super::file::line_in;
use super::number::{Written, plain};
use super::options::TableOptions;
use super::other_formats::other_text;
use super::rows::{EmptyRows, Rows};
use super::schema::{Delimiter, Dialect};
use super::short_header::{self, BelowShortHeader};
use crate::data::text::{counted, listed, truth};
use crate::{Error, Result};

/// Rows that are looked at.
const MAX_ROWS: usize = 2000;
/// What lines of comments usually begin with.
pub(super) const COMMENT: char = '#';

/// The dialect of a text; whether its first row is a header is not known yet. `named_rows`: whether rows have names for certain, as
/// in the training of a model.
pub(super) fn detect(
    file: &str,
    head: &str,
    options: &TableOptions,
    (encoding, named_rows): (&str, bool),
) -> Result<Dialect> {
    if let Some(found) = other_text(head) {
        return Err(Error::format(file, "line 1", "a text with rows and fields", found));
    }
    let (declared, mut skip) = match declared_delimiter(head) {
        Some(delimiter) => (Some(delimiter), 1),
        None => (None, 0),
    };
    skip = options.skip_rows.unwrap_or(skip);
    let head = lines_behind(head, skip);
    let delimiters = match options.delimiter.or(declared) {
        Some(delimiter) => vec![delimiter],
        None => Delimiter::ALL.to_vec(),
    };
    let candidate = |delimiter| Candidate::of(head, dialect(delimiter, options.comment, encoding));
    let candidates: Vec<Candidate> =
        delimiters.iter().filter_map(|&delimiter| candidate(delimiter)).collect();
    let best = candidates.iter().reduce(|best, other| if other.beats(best) { other } else { best });
    let Some(best) = best else {
        return Err(Error::format(file, "line 1", "a header or a sample", "an empty file"));
    };
    let line = |at: usize| format!("line {}", skip + line_in(head.as_bytes(), at));
    if let Some(stray) = best.rows.stray {
        return Err(stray.error(file, line(stray.at), head));
    }
    let mut dialect = best.dialect.clone();
    dialect.missing = options.missing.clone();
    dialect.skip_rows = skip;
    dialect.row_names = options.header != Some(false)
        && best.lacks_a_name()
        && (named_rows || best.below_short_header(head).have_row_names());
    if options.skip_rows.is_none() && !dialect.row_names {
        let titles = best.titles();
        if titles > 0 && !best.are_clearly_titles(titles) {
            return Err(best.unclear_title(file, line(best.rows.start(0))));
        }
        dialect.skip_rows += lines_in(&head[..best.rows.start(titles)]);
    }
    Ok(dialect)
}

fn lines_in(text: &str) -> usize {
    memchr_iter(b'\n', text.as_bytes()).count()
}

fn dialect(delimiter: Delimiter, comment: Option<char>, encoding: &str) -> Dialect {
    Dialect {
        encoding: encoding.to_owned(),
        delimiter,
        header: false,
        skip_rows: 0,
        comment,
        ends_with_delimiter: false,
        row_names: false,
        missing: Vec::new(),
    }
}

/// What a first line `sep=;` says, as Excel writes and reads it.
pub(super) fn declared_delimiter(head: &str) -> Option<Delimiter> {
    let declared = head.lines().next()?.trim_end().strip_prefix("sep=")?;
    Delimiter::ALL.into_iter().find(|delimiter| declared.as_bytes() == [delimiter.byte()])
}

fn lines_behind(text: &str, lines: usize) -> &str {
    let rest = (0..lines).fold(text, |rest, _| rest.split_once('\n').map_or("", |(_, rest)| rest));
    if lines == 0 { text } else { rest }
}

/// A text that is taken apart with one delimiter.
struct Candidate {
    dialect: Dialect,
    rows: Rows,
    /// The most frequent number of fields, and the share of the rows that have it.
    width: usize,
    share: f64,
    /// In a row, the fields that are numbers, dates, truth values or missing, less those with another delimiter in them.
    score: f64,
}

impl Candidate {
    /// `None` for a text without rows.
    fn of(head: &str, dialect: Dialect) -> Option<Self> {
        let mut candidate = Candidate::count(head, dialect)?;
        if candidate.dialect.comment.is_none() && candidate.has_comments(head) {
            candidate.dialect.comment = Some(COMMENT);
            candidate = Candidate::count(head, candidate.dialect)?;
        }
        candidate.find_empty_last_column(candidate.rows.len().min(MAX_ROWS));
        Some(candidate)
    }

    fn count(head: &str, dialect: Dialect) -> Option<Self> {
        let rows = Rows::of(head.to_owned(), &dialect, EmptyRows::LeaveOut);
        let seen = rows.len().min(MAX_ROWS);
        let is_row = |row: &usize| !may_be_comment(head, rows.start(*row));
        let widths = |rows_: &mut dyn Iterator<Item = usize>| {
            most_frequent(rows_.map(|row| rows.width(row)))
        };
        let (width, _) =
            widths(&mut (0..seen).filter(is_row)).or_else(|| widths(&mut (0..seen)))?;
        let fitting = || (0..seen).filter(|&row| rows.width(row) == width);
        let count = fitting().count();
        let mut score = 0;
        for field in fitting().flat_map(|row| rows.fields(row)) {
            score += match is_typed(field) {
                true => 1,
                false => -i64::from(has_other_delimiter(field, dialect.delimiter)),
            };
        }
        let (share, score) = (count as f64 / seen as f64, score as f64 / count as f64);
        Some(Candidate { dialect, rows, width, share, score })
    }

    /// Whether lines with `#` are comments: some cannot be rows, and none has as many fields as a row.
    fn has_comments(&self, head: &str) -> bool {
        let seen = self.rows.len().min(MAX_ROWS);
        let mut marked =
            (0..seen).filter(|&row| may_be_comment(head, self.rows.start(row))).peekable();
        marked.peek().is_some() && marked.all(|row| self.rows.width(row) != self.width)
    }

    fn find_empty_last_column(&mut self, seen: usize) {
        let last_is_empty = |row| self.rows.fields(row).last().is_none_or(str::is_empty);
        let mut rows = (0..seen).filter(|&row| self.rows.width(row) == self.width);
        self.dialect.ends_with_delimiter = self.width > 2
            && self.dialect.delimiter != Delimiter::Blanks
            && rows.all(last_is_empty);
    }

    /// Nearly all rows of one width first, then fields that are numbers rather than leftovers, then most fields.
    fn beats(&self, other: &Self) -> bool {
        const NEARLY_ALL: f64 = 0.9;
        const CLEARLY: f64 = 0.05;
        let rank = |candidate: &Self| {
            let cuts = candidate.width > 1 && candidate.share > 0.5;
            (cuts, cuts && candidate.share >= NEARLY_ALL)
        };
        if rank(self) != rank(other) {
            return rank(self) > rank(other);
        }
        match self.score - other.score {
            more if more > CLEARLY => true,
            less if less < -CLEARLY => false,
            // Texts have blanks in them.
            _ => self.width > other.width && self.dialect.delimiter != Delimiter::Blanks,
        }
    }

    /// Rows in front of the first row of the table: texts with fewer fields, or with nothing but a first field.
    fn titles(&self) -> usize {
        if self.width < 2 {
            return 0;
        }
        let is_title = |row: usize| {
            let fields = || self.rows.fields(row);
            let is_short = self.rows.width(row) < self.width
                && !(self.dialect.ends_with_delimiter && self.rows.width(row) + 1 == self.width);
            // A number alone is a sample with gaps, or too short.
            (is_short || self.width > 2 && fields().skip(1).all(str::is_empty))
                && fields().any(|field| !is_typed(field))
        };
        let titles = (0..self.seen()).take_while(|&row| is_title(row)).count();
        if titles == self.rows.len() { 0 } else { titles }
    }

    fn seen(&self) -> usize {
        self.rows.len().min(MAX_ROWS)
    }

    /// Whether the first rows cannot be a header that lacks a name: a single text above several columns, or rows above names.
    fn are_clearly_titles(&self, titles: usize) -> bool {
        let texts = |row| self.rows.fields(row).filter(|field| !field.is_empty()).count();
        self.width > 2 && texts(titles - 1) == 1
            || short_header::is_row_of_names((&self.rows, self.seen()), titles, is_typed)
    }

    fn unclear_title(&self, file: &str, line: String) -> Error {
        let fields = counted(self.width, "field");
        let expected = format!(
            "a name for each of the {fields} below, or a title above a header; TableOptions::skip_rows says how many lines are above the table"
        );
        let names: Vec<String> = self.rows.fields(0).map(str::to_owned).collect();
        let found = format!(
            "{}, {}, above rows of {fields}: one of them may be cut in two by a delimiter, such as a decimal comma that is not in quotes",
            counted(names.len(), "field"),
            listed(&names)
        );
        Error::format(file, line, expected, found)
    }

    /// Whether the first row has one field less than all others, as where R writes names of rows.
    fn lacks_a_name(&self) -> bool {
        let is_text = |field: &str| plain(field).is_none();
        self.width > 1
            && self.seen() > 1
            && !self.dialect.ends_with_delimiter
            && self.rows.width(0) + 1 == self.width
            && self.rows.fields(0).all(is_text)
            && (1..self.seen()).all(|row| self.rows.width(row) == self.width)
    }

    fn below_short_header<'a>(&'a self, source: &'a str) -> BelowShortHeader<'a> {
        let has_commas = self.dialect.delimiter == Delimiter::Comma;
        BelowShortHeader { rows: &self.rows, seen: self.seen(), source, has_commas }
    }
}

/// Whether the row that begins at `start` begins with the mark of comments.
fn may_be_comment(head: &str, start: usize) -> bool {
    head[start..].starts_with(COMMENT)
}

fn has_other_delimiter(field: &str, delimiter: Delimiter) -> bool {
    let others = Delimiter::ALL.iter().filter(|&&d| d != delimiter && d != Delimiter::Blanks);
    let has_blank_between_digits = |field: &[u8]| {
        let is_pair = |w: &[u8]| w[0].is_ascii_digit() && w[1] == b' ' && w[2].is_ascii_digit();
        delimiter != Delimiter::Blanks && field.windows(3).any(is_pair)
    };
    let bytes = field.as_bytes();
    others.into_iter().any(|other| bytes.contains(&other.byte())) || has_blank_between_digits(bytes)
}

fn is_typed(field: &str) -> bool {
    missing_word(field, &[]).is_some()
        || plain(field).is_some()
        || Written::of(field).is_some_and(|written| written.formats() != 0)
        || truth(field).is_some()
        || DateOrder::ALL.iter().any(|order| order.parse(field).is_some())
}

/// The most frequent of these numbers, and how often it comes; the larger one in a draw.
fn most_frequent(numbers: impl Iterator<Item = usize>) -> Option<(usize, usize)> {
    let mut counts = std::collections::BTreeMap::new();
    numbers.for_each(|number| *counts.entry(number).or_insert(0) += 1);
    counts.into_iter().max_by_key(|&(_, count)| count)
}
