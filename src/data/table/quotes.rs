//! Quotes that do not follow RFC 4180.

use memchr::{memchr, memrchr};

use super::schema::Dialect;
use crate::Error;
use crate::data::text::quoted;

/// Text behind a closing quote: the byte where it begins, and its column, counted from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stray {
    pub(super) at: usize,
    pub(super) column: usize,
}

impl Stray {
    /// The error for it; `line`: where it stands, in the words of messages; `text`: what it was found in.
    pub(super) fn error(self, file: &str, line: String, text: &str) -> Error {
        let expected = "a delimiter or the end of the line behind a closing quote; a quote within quotes is written twice";
        let found = text[self.at..].lines().next().unwrap_or_default();
        Error::format(file, format!("{line}, column {}", self.column + 1), expected, quoted(found))
    }

    /// The first text behind a closing quote. A parser would join both, and change the value.
    pub(super) fn find(text: &str, dialect: &Dialect) -> Option<Stray> {
        let bytes = text.as_bytes();
        let delimiter = dialect.delimiter.byte();
        let comment = dialect.comment.and_then(|comment| u8::try_from(comment).ok());
        let ends_field = |byte: u8| byte == delimiter || matches!(byte, b'\n' | b'\r');
        let mut from = 0;
        while let Some(quote) = memchr(b'"', &bytes[from..]).map(|quote| from + quote) {
            let line = memrchr(b'\n', &bytes[from..quote]).map(|end| from + end + 1);
            let line = line.or((from == 0).then_some(0));
            if line.is_some_and(|line| comment == Some(bytes[line])) {
                from = memchr(b'\n', &bytes[quote..]).map_or(bytes.len(), |end| quote + end);
            } else if quote > 0 && !ends_field(bytes[quote - 1]) {
                from = quote + 1;
            } else {
                let behind = closing(bytes, quote)? + 1;
                let is_blank = |byte: &&u8| matches!(byte, b' ' | b'\t') && **byte != delimiter;
                from = behind + bytes[behind..].iter().take_while(is_blank).count();
                if bytes.get(from).is_some_and(|&byte| !ends_field(byte)) {
                    return Some(Stray { at: from, column: column(&bytes[..quote], delimiter) });
                }
            }
        }
        None
    }
}

/// The quote that closes the one at `open`.
fn closing(bytes: &[u8], open: usize) -> Option<usize> {
    let mut from = open + 1;
    loop {
        let quote = from + memchr(b'"', &bytes[from..])?;
        if bytes.get(quote + 1) != Some(&b'"') {
            return Some(quote);
        }
        from = quote + 2;
    }
}

/// The column of the field behind `before`, which follows RFC 4180.
fn column(before: &[u8], delimiter: u8) -> usize {
    let (mut column, mut in_quotes) = (0, false);
    for &byte in before {
        match byte {
            b'"' => in_quotes = !in_quotes,
            b'\n' | b'\r' if !in_quotes => column = 0,
            byte if byte == delimiter && !in_quotes => column += 1,
            _ => {}
        }
    }
    column
}

#[cfg(test)]
mod tests {
    use super::super::schema::Delimiter;
    use super::*;

    fn find(text: &str) -> Option<(usize, usize)> {
        let dialect = Dialect {
            encoding: "UTF-8".into(),
            delimiter: Delimiter::Comma,
            header: false,
            skip_rows: 0,
            comment: Some('#'),
            ends_with_delimiter: false,
            row_names: false,
            missing: Vec::new(),
        };
        Stray::find(text, &dialect).map(|stray| (stray.at, stray.column))
    }

    #[test]
    fn text_behind_a_closing_quote_is_found() {
        assert_eq!(find("a,\"b\"c\n"), Some((5, 1)));
        assert_eq!(find("\"a\"\r\n1,\"x\" y"), Some((11, 1)));
        assert_eq!(find("\"say \\\"hi\\\"\",1\n"), Some((7, 0)));
        assert_eq!(find("# \"a\"b\n\"a\"b\n"), Some((10, 0)));
    }

    #[test]
    fn quotes_as_the_standard_says_are_none() {
        for text in [
            "",
            "\"\"",
            "\"a\",\"b\"\n",
            "\"a\"\"b\",\"\"\"\"\r\n",
            "\"a\" ,b",
            "5\" pipe,\"b\"\n",
            "\"a\n\"\"#\n\"\n",
            "# \"a\"b\n",
            "\"a\"\r\"b\"\r",
            "a,\"b",
        ] {
            assert_eq!(find(text), None, "{text:?}");
        }
    }
}
