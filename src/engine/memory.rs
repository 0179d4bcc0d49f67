//! Memory of engines: names of allocations, and matrices and messages in them.

use std::ffi::c_void;

/// The name of an allocation of an engine. For the CPU engine it is an address; only the engine that made it can use it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Handle(pub *mut c_void);

// SAFETY: a handle is a name. Access to the memory needs an unsafe method of the engine, whose callers hold a borrow of the matrix.
unsafe impl Send for Handle {}
// SAFETY: see `Send`: reading the name gives no access to the memory.
unsafe impl Sync for Handle {}

/// A matrix in an engine's memory: element (i, j) is at `offset + i row_stride + j column_stride` elements from the start of the allocation.
/// "Rows are contiguous" means a row stride of 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// The allocation.
    pub handle: Handle,
    /// Index of element (0, 0).
    pub offset: usize,
    /// Number of rows, at least 1.
    pub rows: usize,
    /// Number of columns, at least 1.
    pub columns: usize,
    /// Distance between rows, in elements.
    pub row_stride: usize,
    /// Distance between columns, in elements.
    pub column_stride: usize,
}

/// Adjacent bytes of an allocation that go to a process of a group, or come from one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message {
    /// The number of the process, which may be this one.
    pub process: usize,
    /// The allocation.
    pub handle: Handle,
    /// Bytes of the allocation before the first.
    pub offset: usize,
    /// Number of bytes, at least 1.
    pub bytes: usize,
}

impl Span {
    /// The transposed matrix in the same memory.
    pub fn t(self) -> Span {
        Span {
            rows: self.columns,
            columns: self.rows,
            row_stride: self.column_stride,
            column_stride: self.row_stride,
            ..self
        }
    }

    /// Columns `from .. from + count`.
    pub fn columns(self, from: usize, count: usize) -> Span {
        Span { offset: self.offset + from * self.column_stride, columns: count, ..self }
    }

    /// Whether the elements are adjacent in memory, column after column.
    pub fn is_contiguous(self) -> bool {
        (self.rows == 1 || self.row_stride == 1)
            && (self.columns == 1 || self.column_stride == self.rows)
    }
}
