//! Rows that are no samples: the header again, as in files that were joined, and lines of dashes.

use std::sync::{Mutex, PoisonError};

use super::header::is_text;
use super::survey::Spot;

/// The header of a text, and the rows that equal it in all fields.
pub(super) struct Repeats {
    header: Vec<String>,
    /// The first such row, and how many there are.
    found: Mutex<Option<(Spot, usize)>>,
}

/// What is found where a sample is expected.
pub(super) const FOUND: &str = "the header again, as in files that were joined; delete the line";

/// What is found where a line of dashes stands among rows, as reports have it.
pub(super) const DASHES: &str = "a line of dashes; delete it";

/// Whether a row of a table of several columns is a line between others: dashes alone, at least three in a field.
pub(super) fn is_rule<'f>(width: usize, mut row: impl Iterator<Item = &'f str>) -> bool {
    const SHORTEST: usize = 3;
    let mut found = false;
    width > 1
        && row.all(|field| {
            let are_dashes = field.bytes().all(|byte| b"-=+|:".contains(&byte));
            found |= are_dashes && field.len() >= SHORTEST;
            are_dashes && (field.is_empty() || field.len() >= SHORTEST)
        })
        && found
}

impl Repeats {
    /// `None` where a sample may equal the header: numbers alone, or a single text.
    pub(super) fn of(header: &[String]) -> Option<Self> {
        let is_certain = header.len() > 1 && header.iter().any(|name| is_text(name));
        is_certain.then(|| Repeats { header: header.to_vec(), found: Mutex::default() })
    }

    pub(super) fn is_header<'f>(&self, row: impl Iterator<Item = &'f str>) -> bool {
        row.eq(self.header.iter().map(String::as_str))
    }

    /// Counts such a row; blocks may come in any order.
    pub(super) fn add(&self, spot: Spot) {
        let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        let (first, count) = found.unwrap_or((spot, 0));
        let is_above = (spot.block, spot.row) < (first.block, first.row);
        *found = Some((if is_above { spot } else { first }, count + 1));
    }

    pub(super) fn found(&self) -> Option<(Spot, usize)> {
        *self.found.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
