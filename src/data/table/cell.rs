//! One value of a table before its column's type is known.

use super::super::text::is_missing;

/// A value as its file has it.
#[cfg_attr(
    not(feature = "parquet"),
    allow(dead_code, reason = "only Parquet and Arrow files have dates and gaps of their own")
)]
#[derive(Clone, Copy, Debug)]
pub(in crate::data) enum Cell<'a> {
    Missing,
    Number(f64),
    Integer(i128),
    Truth(bool),
    /// Seconds since 1970.
    Date(f64),
    /// A field of a text file, or a text of a file with types; without blanks around it.
    Text(&'a str),
}

/// A word for a missing value, or `None`.
pub(super) fn missing_word<'a>(text: &'a str, more: &[String]) -> Option<&'a str> {
    (is_missing(text) || more.iter().any(|word| word.eq_ignore_ascii_case(text))).then_some(text)
}

/// Whether a program writes this word for a missing value; others are written by people and may be slips or names.
pub(super) fn is_written_by_programs(word: &str) -> bool {
    const WORDS: [&str; 9] = ["", "na", "n/a", "#n/a", "nan", "-nan", "nat", "null", "<na>"];
    WORDS.iter().any(|known| known.eq_ignore_ascii_case(word))
}

/// true and false, yes and no, t and f.
pub(crate) fn truth(text: &str) -> Option<bool> {
    const WORDS: [(&str, bool); 6] =
        [("true", true), ("false", false), ("yes", true), ("no", false), ("t", true), ("f", false)];
    if text.len() > 5 {
        return None;
    }
    WORDS.iter().find(|(word, _)| word.eq_ignore_ascii_case(text)).map(|&(_, truth)| truth)
}

/// The same text for 1 and 1.0, the two ways in which programs write a whole number that is a code.
pub(in crate::data) fn without_zero_decimals(text: &str) -> &str {
    match text.split_once('.') {
        Some((whole, zeros))
            if !whole.is_empty()
                && !zeros.is_empty()
                && zeros.bytes().all(|byte| byte == b'0')
                && whole.trim_start_matches('-').bytes().all(|byte| byte.is_ascii_digit()) =>
        {
            whole
        }
        _ => text,
    }
}
