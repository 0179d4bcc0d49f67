//! A whole table, counted, before it is decided on.

use super::number::FORMATS;
use super::options::TableOptions;
use super::schema::{Delimiter, Dialect, find_column};
use super::survey::{ColumnSurvey, Spot};
use crate::data::text::quoted;
use crate::{Error, Result};

/// A whole table, counted.
pub(super) struct Surveyed<'a> {
    pub(super) file: &'a str,
    pub(super) dialect: Option<Dialect>,
    pub(super) names: Vec<String>,
    pub(super) columns: Vec<ColumnSurvey>,
    /// For each column the name of values that cannot be learned from, such as "lists".
    pub(super) unreadable: Vec<Option<String>>,
    pub(super) rows: usize,
    /// Columns at the end that come from a file of labels.
    pub(super) labels: usize,
    /// "line 7, column 2 (width)"
    pub(super) place: &'a dyn Fn(Spot, usize) -> String,
}

impl Surveyed<'_> {
    pub(super) fn find(&self, name: &str) -> Result<usize> {
        let found = find_column(self.names.iter().map(String::as_str), name);
        found.map_err(|reason| {
            let expected = format!("a column {}", quoted(name));
            self.error("the columns", expected, reason)
        })
    }

    pub(super) fn error(
        &self,
        place: impl Into<String>,
        expected: impl Into<String>,
        found: impl Into<String>,
    ) -> Error {
        Error::format(self.file, place, expected, found)
    }

    /// The decimal mark that the columns of the file agree on, where some of them allow only one.
    pub(super) fn decimal_mark(&self, options: &TableOptions) -> Option<char> {
        if options.decimal.is_some() {
            return options.decimal;
        }
        let needs_comma = |survey: &ColumnSurvey| {
            let [fits, _] = survey.fits();
            let best = fits.iter().copied().max().unwrap_or(0);
            let fits_best = |mark| {
                (0..FORMATS.len()).any(|format| fits[format] == best && FORMATS[format].0 == mark)
            };
            survey.others > 0 && 10 * best >= 9 * survey.present() && !fits_best('.')
        };
        let comma = self.columns.iter().any(needs_comma);
        let point = self.columns.iter().any(ColumnSurvey::needs_decimal_point);
        match (comma, point) {
            (true, false) => Some(','),
            (false, true) => Some('.'),
            // Unquoted fields between commas have no decimal comma.
            _ if self.dialect.as_ref().is_some_and(|d| d.delimiter == Delimiter::Comma) => {
                Some('.')
            }
            _ => None,
        }
    }
}
