//! One value of a table before its column's type is known.

use super::super::text::is_missing;

/// A value as its file has it.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(
    not(feature = "parquet"),
    expect(dead_code, reason = "text files and arrays have only some of them")
)]
pub(in crate::data) enum Cell<'a> {
    Missing,
    Number(f64),
    Integer(i128),
    Truth(bool),
    /// Seconds since 1970.
    Date(f64),
    /// A field of a text file, or a text of a file with types; without blanks around it.
    Text(&'a str),
    /// Bytes that are no text.
    Bytes,
}

/// What is expected where a number alone may be a share or a percentage.
pub(in crate::data) const WITH_PERCENT: &str =
    "a text with %, as in training: 0.9 alone may be 90% or 0.9%";

/// A word for a missing value, or `None`.
pub(super) fn missing_word<'a>(text: &'a str, more: &[String]) -> Option<&'a str> {
    (is_missing(text) || more.iter().any(|word| word.eq_ignore_ascii_case(text))).then_some(text)
}

/// Whether a program writes this word for a missing value; others are written by people and may be slips or names.
pub(super) fn is_written_by_programs(word: &str) -> bool {
    const WORDS: [&str; 9] = ["", "na", "n/a", "#n/a", "nan", "-nan", "nat", "null", "<na>"];
    WORDS.iter().any(|known| known.eq_ignore_ascii_case(word))
}

/// The same text for 1 and 1.0, the two ways in which programs write a whole number that is a code.
pub(crate) fn without_zero_decimals(text: &str) -> &str {
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
