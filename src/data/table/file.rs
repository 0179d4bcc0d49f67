//! A text file as UTF-8, in blocks of whole rows.

use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use encoding_rs::{DecoderResult, Encoding};
use memchr::{memchr, memchr_iter, memrchr};
use tempfile::NamedTempFile;

use super::other_formats::other_format;
use super::parallel::in_order;
use super::schema::Dialect;
use crate::{Error, Result};

/// Bytes that are read at a time.
const CHUNK: usize = 1 << 20;
/// A row with more bytes is taken for a quote that never ends.
const MAX_ROW_BYTES: usize = 64 << 20;

/// A text file, or its translation to UTF-8 in a temporary file.
pub(super) struct TextFile {
    path: PathBuf,
    translation: Option<NamedTempFile>,
    /// Bytes of a byte order mark.
    mark: u64,
    /// The label of its encoding.
    pub(super) encoding: String,
}

/// Whole rows of a file.
#[derive(Clone, Copy, Debug)]
pub(super) struct TextBlock {
    start: u64,
    bytes: usize,
    /// Lines of the file in front of it.
    lines: usize,
}

impl TextFile {
    /// Opens a file. `said`: the label of its encoding, as options have it; `known`: as a schema has it. Without both, a
    /// file without a byte order mark is UTF-8.
    pub(super) fn open(path: &Path, said: Option<&str>, known: Option<&str>) -> Result<Self> {
        let io = |source| Error::io("read", path, source);
        let mut file = File::open(path).map_err(io)?;
        let mut start = Vec::new();
        Read::by_ref(&mut file).take(4096).read_to_end(&mut start).map_err(io)?;
        if let Some(found) = other_format(&start) {
            let name = path.display().to_string();
            return Err(Error::format(name, "the first bytes", "a text, such as CSV", found));
        }
        let marked = Encoding::for_bom(&start);
        let said = said.map(|label| said_encoding(path, label, &start)).transpose()?;
        let known = known.and_then(encoding_of).filter(|known| may_be(known, &start));
        let encoding = marked.map(|(marked, _)| marked).or(said).or(known);
        let encoding = encoding.unwrap_or(encoding_rs::UTF_8);
        let name = path.display().to_string();
        if encoding == encoding_rs::UTF_8 && start.contains(&0) {
            let expected =
                "text in UTF-8; TableOptions::encoding names another encoding, as utf-16le";
            return Err(Error::format(name, "the first 4096 bytes", expected, "a zero byte"));
        }
        let mut mark = marked.map_or(0, |(_, bytes)| bytes as u64);
        let translation = if encoding == encoding_rs::UTF_8 {
            None
        } else {
            file.seek(SeekFrom::Start(mark)).map_err(io)?;
            mark = 0;
            Some(translate(path, file, encoding)?)
        };
        let encoding = encoding.name().to_owned();
        Ok(TextFile { path: path.to_owned(), translation, mark, encoding })
    }

    pub(super) fn name(&self) -> String {
        self.path.display().to_string()
    }

    fn reader(&self) -> Result<File> {
        let path = self.translation.as_ref().map_or(&*self.path, |file| file.path());
        File::open(path).map_err(|source| Error::io("read", path, source))
    }

    /// The first `bytes` bytes as text, without the rest of a line that is cut.
    pub(super) fn head(&self, bytes: usize) -> Result<String> {
        let io = |source| Error::io("read", &self.path, source);
        let mut file = self.reader()?;
        file.seek(SeekFrom::Start(self.mark)).map_err(io)?;
        let mut head = Vec::new();
        file.take(bytes as u64).read_to_end(&mut head).map_err(io)?;
        if head.len() == bytes {
            let end = memrchr(b'\n', &head).or_else(|| memrchr(b'\r', &head));
            head.truncate(end.map_or(bytes, |end| end + 1));
        }
        let block = TextBlock { start: self.mark, bytes: head.len(), lines: 0 };
        self.utf8(head, &block)
    }

    /// Divides the file into blocks of about `bytes` bytes that end where a row ends.
    pub(super) fn blocks(&self, dialect: &Dialect, bytes: usize) -> Result<Vec<TextBlock>> {
        if dialect.skip_rows == 0
            && let Some(blocks) = self.blocks_of_lines(bytes)?
        {
            return Ok(blocks);
        }
        self.blocks_one_by_one(dialect, bytes)
    }

    /// Divides a file without quotes, where every line ends a row, on all cores; `None` if it has quotes or very long lines.
    fn blocks_of_lines(&self, bytes: usize) -> Result<Option<Vec<TextBlock>>> {
        let io = |source| Error::io("read", &self.path, source);
        let size = self.reader()?.metadata().map_err(io)?.len();
        let parts: Vec<u64> = (self.mark..size).step_by(bytes).collect();
        let has_quotes = AtomicBool::new(false);
        let scan = |&start: &u64| {
            if has_quotes.load(Ordering::Relaxed) {
                return Ok((0, None));
            }
            let mut file = self.reader()?;
            file.seek(SeekFrom::Start(start)).map_err(io)?;
            let mut text = Vec::with_capacity(bytes);
            file.take(bytes as u64).read_to_end(&mut text).map_err(io)?;
            has_quotes.fetch_or(memchr(b'"', &text).is_some(), Ordering::Relaxed);
            let end = memrchr(b'\n', &text).map(|end| start + end as u64 + 1);
            Ok((memchr_iter(b'\n', &text).count(), end))
        };
        let (mut blocks, mut start, mut lines) = (Vec::new(), self.mark, 0);
        in_order(&parts, scan, |_, (more, end)| {
            if let Some(end) = end {
                blocks.push(TextBlock { start, bytes: (end - start) as usize, lines });
                (start, lines) = (end, lines + more);
            }
            Ok(())
        })?;
        if start < size {
            blocks.push(TextBlock { start, bytes: (size - start) as usize, lines });
        }
        let fits = blocks.iter().all(|block| block.bytes <= MAX_ROW_BYTES);
        Ok((fits && !has_quotes.into_inner()).then_some(blocks))
    }

    fn blocks_one_by_one(&self, dialect: &Dialect, bytes: usize) -> Result<Vec<TextBlock>> {
        let io = |source| Error::io("read", &self.path, source);
        let mut reader = BufReader::with_capacity(CHUNK, self.reader()?);
        reader.seek(SeekFrom::Start(self.mark)).map_err(io)?;
        let mut cutter = Cutter::new(dialect, self.mark);
        let (mut blocks, mut text) = (Vec::new(), Vec::new());
        let mut skip = dialect.skip_rows;
        loop {
            let length =
                Read::by_ref(&mut reader).take(bytes as u64).read_to_end(&mut text).map_err(io)?;
            while skip > 0 && !text.is_empty() {
                let line = memchr(b'\n', &text).map_or(text.len(), |end| end + 1);
                cutter.pass(&text[..line]);
                text.drain(..line);
                skip -= 1;
            }
            let whole = cutter.last_row_end(&text);
            if length == 0 && cutter.in_quotes || text.len() > MAX_ROW_BYTES && whole.is_none() {
                return Err(cutter.endless(&self.name(), &text));
            }
            let end = if length == 0 { Some(text.len()) } else { whole };
            if let Some(end) = end.filter(|&end| end > 0) {
                blocks.push(TextBlock { start: cutter.start, bytes: end, lines: cutter.lines });
                cutter.pass(&text[..end]);
                text.drain(..end);
            }
            if length == 0 {
                return Ok(blocks);
            }
        }
    }

    /// The text of a block, in the memory of another text.
    pub(super) fn read(&self, block: &TextBlock, memory: String) -> Result<String> {
        let mut file = self.reader()?;
        let mut bytes = memory.into_bytes();
        bytes.clear();
        bytes.reserve_exact(block.bytes);
        let io = |source| Error::io("read", &self.path, source);
        file.seek(SeekFrom::Start(block.start)).map_err(io)?;
        let read = file.take(block.bytes as u64).read_to_end(&mut bytes).map_err(io)?;
        if read < block.bytes {
            let place = format!("byte {}", block.start);
            let expected = "the file as it was when it was opened";
            return Err(Error::format(self.name(), place, expected, "the end of the file"));
        }
        self.utf8(bytes, block)
    }

    fn utf8(&self, bytes: Vec<u8>, block: &TextBlock) -> Result<String> {
        String::from_utf8(bytes).map_err(|e| {
            let (position, bytes) = (e.utf8_error().valid_up_to(), e.as_bytes());
            let line = block.lines + 1 + memchr_iter(b'\n', &bytes[..position]).count();
            let place = format!("line {line}, byte {} of the file", block.start + position as u64);
            let expected = "UTF-8 text; TableOptions::encoding names another encoding, as latin-1";
            Error::format(self.name(), place, expected, format!("byte {:#04x}", bytes[position]))
        })
    }

    /// The line of a byte of a block, counted from 1.
    pub(super) fn line(&self, block: &TextBlock, offset: usize) -> Result<usize> {
        let text = self.read(block, String::new())?;
        Ok(block.lines + line_in(text.as_bytes(), offset))
    }
}

/// The line of a byte of a text, counted from 1.
pub(super) fn line_in(text: &[u8], offset: usize) -> usize {
    let end = if memchr(b'\n', text).is_none() { b'\r' } else { b'\n' };
    1 + memchr_iter(end, &text[..offset.min(text.len())]).count()
}

/// The encoding of a label, also as Python spells it: latin-1, utf_8.
fn encoding_of(label: &str) -> Option<&'static Encoding> {
    let spelled = |label: &str| Encoding::for_label(label.as_bytes());
    let hyphens = label.trim().to_ascii_lowercase().replace('_', "-");
    spelled(label)
        .or_else(|| spelled(&hyphens))
        .or_else(|| spelled(&hyphens.replace("latin-", "latin")))
}

/// The encoding that options say, if it fits the first bytes of the file.
fn said_encoding(path: &Path, label: &str, start: &[u8]) -> Result<&'static Encoding> {
    let wrong = |reason: String| Err(Error::argument("Table::open", reason));
    let Some(said) = encoding_of(label) else {
        return wrong(format!("there is no encoding '{label}'; see encoding.spec.whatwg.org"));
    };
    let is_utf_16 = |encoding: &'static Encoding| encoding.name().starts_with("UTF-16");
    match Encoding::for_bom(start) {
        Some((marked, _)) if marked != said && !(is_utf_16(marked) && is_utf_16(said)) => {
            wrong(format!(
                "TableOptions::encoding has no effect on {}: its byte order mark says {}",
                path.display(),
                marked.name()
            ))
        }
        None if !may_be(said, start) => {
            let expected = format!("text in {}, as TableOptions::encoding says", said.name());
            let found = "no zero byte, as delimiters have it";
            Err(Error::format(path.display().to_string(), "the first 4096 bytes", expected, found))
        }
        _ => Ok(said),
    }
}

/// In UTF-16 delimiters and digits have a zero byte.
fn may_be(encoding: &'static Encoding, start: &[u8]) -> bool {
    !encoding.name().starts_with("UTF-16") || start.contains(&0)
}

/// Translates a file to UTF-8.
fn translate(path: &Path, file: File, encoding: &'static Encoding) -> Result<NamedTempFile> {
    let io = |source| Error::io("translate to UTF-8", path, source);
    let mut out = NamedTempFile::new().map_err(io)?;
    let mut reader = BufReader::with_capacity(CHUNK, file);
    let mut decoder = encoding.new_decoder_without_bom_handling();
    let size =
        reader.get_ref().metadata().map_or(CHUNK, |file| (file.len() as usize).clamp(64, CHUNK));
    let (mut input, mut output, mut before) = (vec![0; size], vec![0; 3 * size + 16], 0);
    loop {
        let length = reader.read(&mut input).map_err(io)?;
        let (result, read, written) =
            decoder.decode_to_utf8_without_replacement(&input[..length], &mut output, length == 0);
        out.write_all(&output[..written]).map_err(io)?;
        if let DecoderResult::Malformed(bytes, _) = result {
            let place = format!("byte {}", before + read - usize::from(bytes).min(read));
            let expected = format!("text in {}", encoding.name());
            return Err(Error::format(
                path.display().to_string(),
                place,
                expected,
                "bytes that are none",
            ));
        }
        // The output has room for any translation of a chunk.
        debug_assert_ne!(result, DecoderResult::OutputFull);
        before += read;
        if length == 0 {
            out.flush().map_err(io)?;
            return Ok(out);
        }
    }
}

/// Finds where rows end; quotes may hold line ends, and comments any quotes.
pub(super) struct Cutter {
    delimiter: u8,
    comment: Option<u8>,
    /// The byte and the lines in front of the text that is not in a block yet.
    start: u64,
    lines: usize,
    /// How much of that text is scanned, and where the last whole row in it ends.
    scanned: usize,
    last_end: Option<usize>,
    at_row_start: bool,
    at_field_start: bool,
    in_comment: bool,
    pub(super) in_quotes: bool,
    just_closed: bool,
    /// Where the last quote was opened.
    quote: usize,
}

impl Cutter {
    pub(super) fn new(dialect: &Dialect, start: u64) -> Self {
        Cutter {
            delimiter: dialect.delimiter.byte(),
            comment: dialect.comment.and_then(|comment| u8::try_from(comment).ok()),
            start,
            lines: 0,
            scanned: 0,
            last_end: None,
            at_row_start: true,
            at_field_start: true,
            in_comment: false,
            in_quotes: false,
            just_closed: false,
            quote: 0,
        }
    }

    /// Where the last whole row of `text` ends; text that was scanned before is not scanned again.
    pub(super) fn last_row_end(&mut self, text: &[u8]) -> Option<usize> {
        let new = &text[self.scanned..];
        if !self.in_quotes && memchr(b'"', new).is_none() {
            self.pass_plain(new);
        } else if self.comment.is_none() {
            self.pass_quoted(new);
        } else {
            (self.scanned..).zip(new).for_each(|(at, &byte)| self.step(at, byte));
        }
        self.scanned = text.len();
        self.last_end
    }

    /// Scans text without quotes.
    fn pass_plain(&mut self, new: &[u8]) {
        let end = memrchr(b'\n', new).map(|end| end + 1);
        let last_line = &new[end.unwrap_or(0)..];
        if let Some(end) = end {
            self.last_end = Some(self.scanned + end);
            (self.at_row_start, self.in_comment) = (true, false);
        }
        if let Some(first) = last_line.first() {
            self.in_comment |= self.at_row_start && self.comment == Some(*first);
            self.at_row_start = false;
        }
        let ends_field = |&byte: &u8| byte == b'\n' || byte == self.delimiter;
        self.at_field_start = new.last().map_or(self.at_field_start, ends_field);
        self.just_closed = self.just_closed && new.is_empty();
    }

    /// Scans text without comments, from one quote to the next.
    fn pass_quoted(&mut self, new: &[u8]) {
        let mut at = 0;
        while at < new.len() {
            let quote = memchr(b'"', &new[at..]).map_or(new.len(), |quote| at + quote);
            if let [.., last] = new[at..quote] {
                let line_end = memrchr(b'\n', &new[at..quote]).filter(|_| !self.in_quotes);
                self.last_end = line_end.map(|end| self.scanned + at + end + 1).or(self.last_end);
                self.at_row_start = last == b'\n' && !self.in_quotes;
                self.at_field_start =
                    self.at_row_start || last == self.delimiter && !self.in_quotes;
                self.just_closed = false;
            }
            if quote < new.len() {
                self.step(self.scanned + quote, b'"');
            }
            at = quote + 1;
        }
    }

    fn step(&mut self, at: usize, byte: u8) {
        self.in_comment |= self.at_row_start && self.comment == Some(byte);
        if self.in_comment && byte != b'\n' {
            self.at_row_start = false;
            return;
        }
        self.in_comment = false;
        let closes = byte == b'"' && self.in_quotes;
        if closes {
            self.in_quotes = false;
        } else if byte == b'"' && (self.at_field_start || self.just_closed) {
            // A quote right behind a closing one is a quote within quotes.
            self.in_quotes = true;
            self.quote = if self.just_closed { self.quote } else { at };
        } else if byte == b'\n' && !self.in_quotes {
            self.last_end = Some(at + 1);
        }
        self.just_closed = closes;
        self.at_row_start = byte == b'\n' && !self.in_quotes;
        self.at_field_start = !self.in_quotes && (byte == b'\n' || byte == self.delimiter);
    }

    /// Counts text that has become a block.
    fn pass(&mut self, text: &[u8]) {
        self.start += text.len() as u64;
        self.lines += memchr_iter(b'\n', text).count();
        self.scanned = self.scanned.saturating_sub(text.len());
        self.quote = self.quote.saturating_sub(text.len());
        self.last_end = None;
    }

    /// Why `text` has no row end where one is expected.
    fn endless(&self, file: &str, text: &[u8]) -> Error {
        let before = if self.in_quotes { self.quote } else { 0 };
        let line = self.lines + 1 + memchr_iter(b'\n', &text[..before]).count();
        let found =
            if self.in_quotes { "a quote that is not closed" } else { "a row that goes on" };
        Error::format(file, format!("line {line}"), "a row that ends, and quotes in pairs", found)
    }
}

#[cfg(test)]
mod tests {
    use super::super::schema::Delimiter;
    use super::*;
    use crate::random::{Philox, Purpose};

    #[test]
    fn rows_end_where_a_step_a_byte_says() {
        let dialect = Dialect {
            encoding: "UTF-8".into(),
            delimiter: Delimiter::Comma,
            header: false,
            skip_rows: 0,
            comment: None,
            ends_with_delimiter: false,
            row_names: false,
            missing: Vec::new(),
        };
        let random = Philox::new(7, Purpose::User, 0);
        let mut index = 0;
        let mut below = |bound: u64| {
            index += 1;
            random.below(index, bound) as usize
        };
        for _ in 0..20_000 {
            let length = below(40);
            let any = |_| b"a,\n\"\"\r"[below(6)];
            let text: Vec<u8> = (0..length).map(any).collect();
            let mut slow = Cutter::new(&dialect, 0);
            (0..).zip(&text).for_each(|(at, &byte)| slow.step(at, byte));
            // In one piece, and in two.
            for cut in [0, below(text.len() as u64 + 1)] {
                let mut fast = Cutter::new(&dialect, 0);
                fast.last_row_end(&text[..cut]);
                let end = fast.last_row_end(&text);
                assert_eq!((end, fast.in_quotes), (slow.last_end, slow.in_quotes), "{text:?}");
            }
        }
    }
}
