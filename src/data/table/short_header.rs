//! A first row with fewer fields than the rows below it: a title, a header above names of rows as R writes it, or a header that lacks a
//! name because a field below is cut in two.

use std::collections::HashSet;

use super::number::plain;
use super::rows::Rows;

/// Rows from which on texts that are all different are names of rows.
const MIN_NAMES: usize = 5;
/// Rows from which on numbers that count up from 1 are names of rows.
const MIN_NUMBERS: usize = 3;

/// The first rows of a text, which has a header of one field less than all others.
pub(super) struct BelowShortHeader<'r> {
    pub(super) rows: &'r Rows,
    pub(super) seen: usize,
    pub(super) source: &'r str,
    /// Whether a comma is the delimiter, which may as well be a decimal mark.
    pub(super) has_commas: bool,
}

impl BelowShortHeader<'_> {
    /// Whether the first fields certainly are names of rows, and no field is cut in two.
    pub(super) fn have_row_names(&self) -> bool {
        if self.count_up() && self.are_quoted() {
            return true;
        }
        let enough = self.count_up() && self.seen > MIN_NUMBERS
            || self.are_texts() && self.are_different() && self.seen > MIN_NAMES;
        enough && !(self.has_commas && self.may_be_halves())
    }

    fn names(&self) -> impl Iterator<Item = &str> {
        (1..self.seen).filter_map(|row| self.rows.fields(row).next())
    }

    /// 1, 2, 3 ...
    fn count_up(&self) -> bool {
        (1..).zip(self.names()).all(|(number, name): (usize, _)| name.parse() == Ok(number))
    }

    fn are_quoted(&self) -> bool {
        (1..self.seen).all(|row| self.source[self.rows.start(row)..].starts_with('"'))
    }

    fn are_texts(&self) -> bool {
        self.names().all(|name| !name.is_empty() && plain(name).is_none())
    }

    fn are_different(&self) -> bool {
        let mut seen = HashSet::new();
        self.names().all(|name| seen.insert(name))
    }

    /// Whether two neighboring columns may be the halves of numbers with a decimal comma, or with commas between thousands.
    fn may_be_halves(&self) -> bool {
        let width = self.rows.width(1);
        let mut pairs: Vec<usize> = (1..width).collect();
        for row in 1..self.seen {
            let fields: Vec<&str> = self.rows.fields(row).collect();
            pairs.retain(|&right| {
                let whole = fields[right - 1].trim_start_matches(['-', '+']);
                is_digits(whole)
                    && (is_digits(fields[right])
                        || whole.len() <= 3 && is_below_1000(fields[right]))
            });
        }
        !pairs.is_empty()
    }
}

/// Whether a text is what stands behind a comma between thousands in front of decimals, as 234.5 in 1,234.5.
fn is_below_1000(text: &str) -> bool {
    text.split_once('.')
        .is_some_and(|(whole, part)| whole.len() == 3 && is_digits(whole) && is_digits(part))
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Whether the row is nothing but different names, none of which comes again below it.
pub(super) fn is_row_of_names(
    (rows, seen): (&Rows, usize),
    row: usize,
    is_typed: impl Fn(&str) -> bool,
) -> bool {
    let names: Vec<&str> = rows.fields(row).collect();
    let mut different = HashSet::new();
    let given = || names.iter().filter(|name| !name.is_empty());
    let comes_again = |below: usize| {
        rows.fields(below).zip(&names).any(|(field, name)| field == *name && !name.is_empty())
    };
    given().next().is_some()
        && given().all(|name| !is_typed(name) && different.insert(*name))
        && !(row + 1..seen).any(comes_again)
}
