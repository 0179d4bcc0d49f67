//! NumPy files (`.npy`, `.npz`): one sample for each index of the first dimension.

mod array;
mod header;
mod npz;

use std::path::Path;

use self::array::Array;
use super::table::{ColumnCells, Source, Spot, Visit, VisitCell};
use super::text::counted;
use crate::{Error, Result};

/// An array as a table without names, and beside it the labels of another file.
pub(super) struct NpySource {
    samples: Array,
    labels: Option<Array>,
    rows_in_block: usize,
}

impl NpySource {
    /// Opens an array, and an array of labels, whose columns come last.
    pub(super) fn open(path: &Path, labels: Option<&Path>, block_bytes: usize) -> Result<Self> {
        let is_archive = path.extension().is_some_and(|end| end.eq_ignore_ascii_case("npz"));
        let (samples, own_labels) =
            if is_archive { npz::open(path)? } else { (Array::open(path)?, None) };
        let labels = labels.map(Array::open).transpose()?.or(own_labels);
        if let Some(labels) = labels.as_ref().filter(|labels| labels.rows != samples.rows) {
            let expected = format!("{} labels, as {} has samples", samples.rows, samples.name());
            let found = counted(labels.rows, "label");
            return Err(Error::format(labels.name(), "header", expected, found));
        }
        let of_labels =
            labels.as_ref().map_or(usize::MAX, |labels| labels.rows_in_block(usize::MAX));
        let rows_in_block = samples.rows_in_block(block_bytes).min(of_labels).max(1);
        // Rows of an array in Fortran order are read all together.
        let rows_in_block = match &labels {
            Some(labels) if labels.rows_in_block(1) == labels.rows => samples.rows,
            _ => rows_in_block,
        };
        Ok(NpySource { samples, labels, rows_in_block })
    }
}

impl Source for NpySource {
    fn name(&self) -> String {
        self.samples.name()
    }

    fn names(&self) -> Option<Vec<String>> {
        None
    }

    fn width(&self) -> usize {
        self.samples.columns + self.labels()
    }

    fn labels(&self) -> usize {
        self.labels.as_ref().map_or(0, |labels| labels.columns)
    }

    fn blocks(&self) -> usize {
        self.samples.rows.div_ceil(self.rows_in_block)
    }

    fn visit(&self, block: usize, columns: &[usize], visit: &mut Visit<'_>) -> Result<usize> {
        let first = block * self.rows_in_block;
        let rows = self.rows_in_block.min(self.samples.rows - first);
        let samples = self.samples.read(first, rows)?;
        let labels = self.labels.as_ref().map(|labels| labels.read(first, rows)).transpose()?;
        for (place, &column) in columns.iter().enumerate() {
            let (array, column) = match (column.checked_sub(self.samples.columns), &labels) {
                (Some(column), Some(labels)) => (labels, column),
                _ => (&samples, column),
            };
            let each = |visit: &mut VisitCell<'_>| {
                (0..rows)
                    .try_for_each(|row| array.cell(row, column, |cell| visit(first + row, cell)))
            };
            visit(place, &ColumnCells::Typed(&each))?;
        }
        Ok(0)
    }

    fn place(&self, spot: Spot, column: usize) -> String {
        match (column.checked_sub(self.samples.columns), &self.labels) {
            (Some(column), Some(labels)) => {
                format!("{} of {}", labels.place(spot.row, column), labels.name())
            }
            _ => self.samples.place(spot.row, column),
        }
    }
}
