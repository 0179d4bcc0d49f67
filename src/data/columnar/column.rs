//! The columns of a file whose values have types.

use std::path::Path;

use arrow_array::Array;
use arrow_schema::Schema;

use super::guard::guarded;
use super::value::{cells, unreadable};
use crate::data::table::Cell;
use crate::{Error, Result};

/// The names of the columns, and which of them cannot be learned from.
pub(super) struct Columns {
    file: String,
    columns: Vec<Column>,
}

struct Column {
    name: String,
    /// The name of its values if they cannot be learned from.
    unreadable: Option<String>,
}

impl Columns {
    pub(super) fn new(path: &Path, schema: &Schema) -> Self {
        let column = |field: &arrow_schema::Field| Column {
            name: field.name().clone(),
            unreadable: unreadable(field.data_type()),
        };
        let columns = schema.fields().iter().map(|field| column(field)).collect();
        Columns { file: path.display().to_string(), columns }
    }

    pub(super) fn names(&self) -> Vec<String> {
        self.columns.iter().map(|column| column.name.clone()).collect()
    }

    pub(super) fn width(&self) -> usize {
        self.columns.len()
    }

    pub(super) fn unreadable(&self, column: usize) -> Option<String> {
        self.columns[column].unreadable.clone()
    }

    fn place(&self, column: usize) -> String {
        format!("column {} ({})", column + 1, self.columns[column].name)
    }

    /// The error of a column that cannot be decoded.
    pub(super) fn unsound(&self, column: usize, found: &str) -> Error {
        // The crates name themselves in front of each message.
        let found = ["Parquet error: ", "Ipc error: ", "Parser error: "]
            .iter()
            .find_map(|prefix| found.strip_prefix(prefix))
            .unwrap_or(found);
        Error::format(&self.file, self.place(column), "sound values that can be read", found)
    }

    /// Refuses a column that cannot be learned from.
    pub(super) fn check(&self, column: usize) -> Result<()> {
        match &self.columns[column].unreadable {
            None => Ok(()),
            Some(found) => {
                let expected = "numbers, truth values, dates or texts; TableOptions::drop leaves the column out";
                Err(Error::format(&self.file, self.place(column), expected, found))
            }
        }
    }

    /// Calls `each` with the values of an array, whose first has the number `first`; returns how many there are.
    pub(super) fn visit(
        &self,
        column: usize,
        array: &dyn Array,
        first: usize,
        each: &mut dyn FnMut(usize, Cell<'_>) -> Result<()>,
    ) -> Result<usize> {
        let cells = guarded(|| cells(array).ok_or("a type that cannot be read"));
        let cells = cells.map_err(|found| self.unsound(column, &found))?;
        for row in 0..array.len() {
            each(first + row, cells(row))?;
        }
        Ok(array.len())
    }
}
