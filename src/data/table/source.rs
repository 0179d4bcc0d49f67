//! Where the values of a table come from.

use super::cell::Cell;
use super::rows::Fields;
use super::schema::Dialect;
use super::survey::Spot;
use crate::Result;

/// What is done with a column: its number among those that were asked for, and its values.
pub(in crate::data) type Visit<'v> = dyn FnMut(usize, &ColumnCells<'_>) -> Result<()> + 'v;

/// What is done with a value: the number of its row, or the byte where its row begins, and the value.
pub(in crate::data) type VisitCell<'v> = dyn FnMut(usize, Cell<'_>) -> Result<()> + 'v;

/// The values of a column in a block, from top to bottom.
pub(in crate::data) enum ColumnCells<'v> {
    /// Fields of a text file.
    Fields(Fields<'v>),
    /// Values of a file with types: calls its argument with each.
    Typed(&'v dyn Fn(&mut VisitCell<'_>) -> Result<()>),
}

impl ColumnCells<'_> {
    /// Calls `visit` with each value; returns how many there are. The compiler knows every call in the loop over fields of a text.
    pub(in crate::data) fn each(
        &self,
        mut visit: impl FnMut(usize, Cell<'_>) -> Result<()>,
    ) -> Result<usize> {
        let mut count = 0;
        match self {
            ColumnCells::Fields(fields) => {
                count = fields.len();
                fields.iter().try_for_each(|(row, text)| visit(row, Cell::Text(text)))?;
            }
            ColumnCells::Typed(each) => each(&mut |row, cell| {
                count += 1;
                visit(row, cell)
            })?,
        }
        Ok(count)
    }
}

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

    /// Calls `visit` with each of these columns in a block. Returns the number of rows of empty fields, which are left out.
    fn visit(&self, block: usize, columns: &[usize], visit: &mut Visit<'_>) -> Result<usize>;

    /// "line 7, column 2"
    fn place(&self, spot: Spot, column: usize) -> String;
}
