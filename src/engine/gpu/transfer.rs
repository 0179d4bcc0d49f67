//! Transfers between column-major slices on the host and matrices on the device.

use super::driver::{Driver, Rectangle};
use crate::engine::{Handle, Span};
use crate::error::Result;
use crate::scalar::Scalar;

/// The contiguous runs of elements of a span: its columns if rows are contiguous, else its rows; and whether they are columns.
fn runs<T>(span: Span) -> (Rectangle, bool) {
    let are_columns = span.row_stride == 1 || span.rows == 1;
    let span = if are_columns { span } else { span.t() };
    let size = size_of::<T>();
    let (offset, width, pitch) = (span.offset * size, span.rows * size, span.column_stride * size);
    let handle = span.handle;
    let whole = span.columns == 1 || pitch == width;
    let rectangle = if whole {
        Rectangle {
            handle,
            offset,
            width: width * span.columns,
            rows: 1,
            pitch: width * span.columns,
        }
    } else {
        Rectangle { handle, offset, width, rows: span.columns, pitch }
    };
    (rectangle, are_columns)
}

/// Whether one of the strides is 1, or is not used.
fn has_runs(span: Span) -> bool {
    span.row_stride == 1 || span.column_stride == 1 || span.rows == 1 || span.columns == 1
}

/// `to[j + i columns] = from[i + j rows]`
fn transpose<T: Scalar>(from: &[T], rows: usize, to: &mut [T]) {
    let columns = from.len() / rows;
    for (j, column) in from.chunks(rows).enumerate() {
        for (i, x) in column.iter().enumerate() {
            to[j + i * columns] = *x;
        }
    }
}

/// Writes a slice into a span.
///
/// # Safety
/// `to` is memory of the driver, as many elements as `from`.
pub(super) unsafe fn write<T: Scalar, D: Driver>(driver: &D, from: &[T], to: Span) -> Result<()> {
    if !has_runs(to) {
        return from
            .chunks(to.rows)
            .enumerate()
            // SAFETY: a column of the memory that the caller promises.
            .try_for_each(|(j, column)| unsafe { write(driver, column, to.columns(j, 1)) });
    }
    let (rectangle, are_columns) = runs::<T>(to);
    if are_columns || to.columns == 1 {
        // SAFETY: the rectangle is the memory that the caller promises, and the slice has as many elements.
        return unsafe { driver.write(from.as_ptr().cast(), rectangle) };
    }
    let mut turned = vec![T::default(); from.len()];
    transpose(from, to.rows, &mut turned);
    // SAFETY: the rectangle is the memory that the caller promises, and `turned` has as many elements.
    unsafe { driver.write(turned.as_ptr().cast(), rectangle) }
}

/// Reads a span into a slice.
///
/// # Safety
/// `from` is memory of the driver, as many elements as `to`.
pub(super) unsafe fn read<T: Scalar, D: Driver>(
    driver: &D,
    from: Span,
    to: &mut [T],
) -> Result<()> {
    if !has_runs(from) {
        return to
            .chunks_mut(from.rows)
            .enumerate()
            // SAFETY: a column of the memory that the caller promises.
            .try_for_each(|(j, column)| unsafe { read(driver, from.columns(j, 1), column) });
    }
    let (rectangle, are_columns) = runs::<T>(from);
    if are_columns || from.columns == 1 {
        // SAFETY: the rectangle is the memory that the caller promises, and the slice has as many elements.
        return unsafe { driver.read(rectangle, to.as_mut_ptr().cast()) };
    }
    let mut turned = vec![T::default(); to.len()];
    // SAFETY: the rectangle is the memory that the caller promises, and `turned` has as many elements.
    unsafe { driver.read(rectangle, turned.as_mut_ptr().cast())? };
    transpose(&turned, from.columns, to);
    Ok(())
}

/// The first `count` numbers of some memory.
///
/// # Safety
/// `handle` is memory of the driver with as many numbers.
pub(super) unsafe fn read_numbers<N: Scalar, D: Driver>(
    driver: &D,
    handle: Handle,
    count: usize,
) -> Result<Vec<N>> {
    let mut numbers = vec![N::default(); count];
    let span =
        Span { handle, offset: 0, rows: count, columns: 1, row_stride: 1, column_stride: count };
    // SAFETY: the span is the memory that the caller promises.
    unsafe { read(driver, span, &mut numbers)? };
    Ok(numbers)
}
