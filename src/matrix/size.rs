//! Checks of sizes.

use crate::engine::{Handle, Span};
use crate::error::{Error, Result};

/// `rows * columns`, if there is an element and the bytes fit into the address space.
pub(super) fn elements<T>(operation: &'static str, rows: usize, columns: usize) -> Result<usize> {
    if rows == 0 || columns == 0 {
        let reason =
            format!("a matrix must have at least one row and one column, not {rows}x{columns}");
        return Err(Error::argument(operation, reason));
    }
    rows.checked_mul(columns)
        .filter(|n| n.checked_mul(size_of::<T>()).is_some_and(|bytes| bytes <= isize::MAX as usize))
        .ok_or_else(|| {
            Error::argument(
                operation,
                format!("{rows}x{columns} elements exceed the address space"),
            )
        })
}

/// Refuses a slice that is not as long as the matrix.
pub(super) fn same_length(operation: &'static str, slice: usize, span: Span) -> Result<()> {
    if slice == span.rows * span.columns {
        return Ok(());
    }
    let (rows, columns) = (span.rows, span.columns);
    let reason = format!(
        "the slice has {slice} elements, the matrix is {rows}x{columns}: {} are needed",
        rows * columns
    );
    Err(Error::argument(operation, reason))
}

/// A contiguous matrix at the start of its allocation.
pub(super) fn dense(handle: Handle, rows: usize, columns: usize) -> Span {
    Span { handle, offset: 0, rows, columns, row_stride: 1, column_stride: rows }
}
