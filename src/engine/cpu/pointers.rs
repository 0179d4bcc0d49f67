//! Addresses of matrices in the host's memory.

use super::gemm::Strided;
use crate::engine::memory::Span;

/// The address of the first element of column j.
pub(super) fn at<T>(span: Span, j: usize) -> *const T {
    at_mut::<T>(span, j).cast_const()
}

/// The address of the first element of column j, to write.
pub(super) fn at_mut<T>(span: Span, j: usize) -> *mut T {
    span.handle.0.cast::<T>().wrapping_add(span.offset + j * span.column_stride)
}

pub(super) fn strided<T>(span: Span) -> Strided<*const T> {
    Strided { p: at(span, 0), row: span.row_stride, column: span.column_stride }
}

pub(super) fn strided_mut<T>(span: Span) -> Strided<*mut T> {
    Strided { p: at_mut(span, 0), row: span.row_stride, column: span.column_stride }
}
