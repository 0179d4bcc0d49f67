//! Where the values of a table come from.

use super::cell::Cell;
use super::schema::Dialect;
use super::survey::Spot;
use crate::Result;

/// What is done with a value: its place, the number of its column among those that were asked for, and the value.
pub(in crate::data) type Visit<'v> = dyn FnMut(Spot, usize, Cell<'_>) -> Result<()> + 'v;

/// A file with a table, in blocks of rows that are read on their own.
pub(in crate::data) trait Source: Send + Sync {
    /// The file's name, for messages.
    fn name(&self) -> String;

    /// The names of the columns of a file that has them for certain.
    fn names(&self) -> Option<Vec<String>>;

    /// Number of columns.
    fn width(&self) -> usize;

    /// Columns at the end that come from a file of labels.
    fn labels(&self) -> usize {
        0
    }

    /// Number of blocks.
    fn blocks(&self) -> usize;

    /// How a text file is divided into fields.
    fn dialect(&self) -> Option<Dialect> {
        None
    }

    /// The name of the values of a column that cannot be learned from, such as "lists". Reading such a column is an error.
    fn unreadable(&self, _column: usize) -> Option<String> {
        None
    }

    /// Calls `visit` with the values of these columns in a block. The values of each column come from top to bottom. Returns the number of
    /// rows of empty fields, which are left out.
    fn cells(&self, block: usize, columns: &[usize], visit: &mut Visit<'_>) -> Result<usize>;

    /// "line 7, column 2"
    fn place(&self, spot: Spot, column: usize) -> String;
}
