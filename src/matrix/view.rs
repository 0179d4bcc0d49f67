//! Borrowed views of matrices.

use std::marker::PhantomData;
use std::ops::Range;
use std::sync::Arc;

use super::size::{dense, elements, same_length};
use crate::engine::{Engine, Span};
use crate::error::{Error, Result};
use crate::scalar::Scalar;

/// A borrowed view to read: a matrix, a part of one, or one transposed.
pub struct MatrixRef<'a, T: Scalar> {
    engine: &'a Arc<dyn Engine<T>>,
    span: Span,
    owner: PhantomData<&'a T>,
}

/// A borrowed view to write.
pub struct MatrixMut<'a, T: Scalar> {
    engine: &'a Arc<dyn Engine<T>>,
    span: Span,
    owner: PhantomData<&'a mut T>,
}

impl<T: Scalar> Clone for MatrixRef<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T: Scalar> Copy for MatrixRef<'_, T> {}

/// The methods of both kinds of view.
macro_rules! shape_methods {
    () => {
        /// Number of rows.
        pub fn rows(&self) -> usize {
            self.span.rows
        }

        /// Number of columns.
        pub fn columns(&self) -> usize {
            self.span.columns
        }

        /// A view of memory that is borrowed for `'a`.
        pub(super) fn new(engine: &'a Arc<dyn Engine<T>>, span: Span) -> Self {
            Self { engine, span, owner: PhantomData }
        }

        /// The engine that the matrix belongs to.
        pub fn engine(&self) -> &'a Arc<dyn Engine<T>> {
            self.engine
        }

        /// The transposed matrix: the same memory with strides swapped.
        pub fn t(self) -> Self {
            Self { span: self.span.t(), ..self }
        }

        /// The columns of a range.
        ///
        /// # Errors
        /// A range that is empty or exceeds the matrix.
        pub fn sub_columns(self, range: Range<usize>) -> Result<Self> {
            let rows = 0..self.span.rows;
            self.sub_matrix(rows, range)
        }

        /// The rows of a range.
        ///
        /// # Errors
        /// A range that is empty or exceeds the matrix.
        pub fn sub_rows(self, range: Range<usize>) -> Result<Self> {
            let columns = 0..self.span.columns;
            self.sub_matrix(range, columns)
        }

        /// One column.
        ///
        /// # Errors
        /// An index outside of the matrix.
        pub fn column(self, index: usize) -> Result<Self> {
            self.sub_columns(index..index.saturating_add(1))
        }

        /// One row, `1 x columns`.
        ///
        /// # Errors
        /// An index outside of the matrix.
        pub fn row(self, index: usize) -> Result<Self> {
            self.sub_rows(index..index.saturating_add(1))
        }

        /// The rows and columns of two ranges.
        ///
        /// # Errors
        /// A range that is empty or exceeds the matrix.
        pub fn sub_matrix(self, rows: Range<usize>, columns: Range<usize>) -> Result<Self> {
            let span = self.span;
            let inside = |range: &Range<usize>, length| range.start < range.end && range.end <= length;
            if !inside(&rows, span.rows) || !inside(&columns, span.columns) {
                let reason = format!(
                    "rows {rows:?} and columns {columns:?} must be within a {}x{} matrix and not empty",
                    span.rows, span.columns
                );
                return Err(Error::argument("sub_matrix", reason));
            }
            let offset = span.offset + rows.start * span.row_stride + columns.start * span.column_stride;
            Ok(Self { span: Span { offset, rows: rows.len(), columns: columns.len(), ..span }, ..self })
        }

        /// The same elements, in their order, in columns of `rows` rows.
        ///
        /// # Errors
        /// Elements that are not contiguous, or do not fill such columns.
        pub(crate) fn regroup(self, rows: usize) -> Result<Self> {
            let span = self.span;
            let is_contiguous = (span.rows == 1 || span.row_stride == 1)
                && (span.columns == 1 || span.column_stride == span.rows);
            let elements = span.rows * span.columns;
            if rows == 0 || !is_contiguous || !elements.is_multiple_of(rows) {
                let reason = format!(
                    "a {}x{} matrix must be contiguous to be one of {rows} rows, and have elements for them; copy it first",
                    span.rows, span.columns
                );
                return Err(Error::argument("regroup", reason));
            }
            let columns = elements / rows;
            Ok(Self { span: Span { rows, columns, row_stride: 1, column_stride: rows, ..span }, ..self })
        }

        /// The place of the matrix in the engine's memory, for calls of the engine.
        pub(crate) fn span(&self) -> Span {
            self.span
        }
    };
}

impl<'a, T: Scalar> MatrixRef<'a, T> {
    shape_methods!();

    /// The caller's own memory as a `rows x columns` matrix, column-major, without a copy. A row-major `samples x features` slice becomes a
    /// `features x samples` batch.
    ///
    /// ```
    /// use travertine::{MatrixRef, engine};
    /// let cpu = engine::open::<f32>("cpu")?;
    /// let samples = [[0.3, 0.9], [0.3, 0.9], [0.1, 0.2]]; // 3 samples of 2 features
    /// let batch = MatrixRef::borrow(&cpu, 2, 3, samples.as_flattened())?;
    /// assert_eq!(batch.get(1, 0)?, 0.9);
    /// # Ok::<(), travertine::Error>(())
    /// ```
    ///
    /// # Errors
    /// A slice that is not `rows * columns` long; an engine that does not compute in the host's memory (use
    /// [`Matrix::from_slice`](crate::Matrix::from_slice)).
    pub fn borrow(
        engine: &'a Arc<dyn Engine<T>>,
        rows: usize,
        columns: usize,
        values: &'a [T],
    ) -> Result<Self> {
        elements::<T>("borrow", rows, columns)?;
        let Some(handle) = engine.borrow_host(values.as_ptr()) else {
            let reason = format!(
                "{} does not compute in the host's memory; use Matrix::from_slice",
                engine.device().name
            );
            return Err(Error::argument("borrow", reason));
        };
        let span = dense(handle, rows, columns);
        same_length("borrow", values.len(), span)?;
        Ok(MatrixRef::new(engine, span))
    }

    /// One element.
    ///
    /// # Errors
    /// Indices outside of the matrix; a device that fails.
    pub fn get(self, row: usize, column: usize) -> Result<T> {
        let mut value = [T::default()];
        self.row(row)?.column(column)?.read(&mut value)?;
        Ok(value[0])
    }

    /// Copies all elements to a slice, column by column.
    ///
    /// # Errors
    /// A slice that is not `rows * columns` long; a device that fails.
    pub fn read(self, values: &mut [T]) -> Result<()> {
        same_length("read", values.len(), self.span)?;
        // SAFETY: the view borrows its memory, and the slice is as long as the matrix.
        unsafe { self.engine.read(self.span, values) }
    }

    /// A copy of all elements, column by column.
    ///
    /// # Errors
    /// A device that fails.
    pub fn to_vec(self) -> Result<Vec<T>> {
        let mut values = vec![T::default(); self.span.rows * self.span.columns];
        self.read(&mut values)?;
        Ok(values)
    }

    /// The elements in memory, column by column. `None` if they are not contiguous, or if the engine does not compute in the host's memory.
    ///
    /// ```
    /// use travertine::{Matrix, engine};
    /// let cpu = engine::open::<f32>("cpu")?;
    /// let m = Matrix::from_slice(&cpu, 2, 3, &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0])?;
    /// assert_eq!(m.view().column(1)?.as_slice(), Some(&[3.0, 4.0][..]));
    /// assert_eq!(m.view().row(1)?.as_slice(), None); // every second element
    /// # Ok::<(), travertine::Error>(())
    /// ```
    pub fn as_slice(self) -> Option<&'a [T]> {
        let address = self.contiguous_address()?;
        // SAFETY: so many adjacent elements are in the host's memory and borrowed for `'a`; no call of the engine is pending.
        Some(unsafe { std::slice::from_raw_parts(address, self.span.rows * self.span.columns) })
    }

    /// The address of the first element, if the engine computes in the host's memory.
    fn address(self) -> Option<*mut T> {
        let start = self.engine.host_address(self.span.handle)?;
        Some(start.wrapping_add(self.span.offset))
    }

    fn contiguous_address(self) -> Option<*mut T> {
        self.span.is_contiguous().then(|| self.address())?
    }

    /// Address, shape and strides of the elements in the host's memory.
    #[cfg(feature = "ndarray")]
    pub(super) fn host_memory(self) -> Option<(*mut T, Pair, Pair)> {
        let Span { rows, columns, row_stride, column_stride, .. } = self.span;
        Some((self.address()?, (rows, columns), (row_stride, column_stride)))
    }
}

/// Of rows and columns.
#[cfg(feature = "ndarray")]
type Pair = (usize, usize);

impl<'a, T: Scalar> MatrixMut<'a, T> {
    shape_methods!();

    /// The same view for a shorter lifetime, so that this one can be used again.
    pub fn reborrow(&mut self) -> MatrixMut<'_, T> {
        MatrixMut::new(self.engine, self.span)
    }

    /// The same matrix, to read.
    pub fn as_ref(&self) -> MatrixRef<'_, T> {
        MatrixRef::new(self.engine, self.span)
    }

    /// Copies a slice to the matrix, column by column.
    ///
    /// # Errors
    /// A slice that is not `rows * columns` long; a device that fails.
    pub fn write(&mut self, values: &[T]) -> Result<()> {
        same_length("write", values.len(), self.span)?;
        // SAFETY: the view mutably borrows its memory, and the slice is as long as the matrix.
        unsafe { self.engine.write(values, self.span) }
    }

    /// [`MatrixMut::write`] of rounded numbers: code that computes them in f64 is then compiled once, not in every crate that uses this
    /// one.
    pub(crate) fn write_f64(&mut self, values: &[f64]) -> Result<()> {
        self.write(&T::from_f64s(values))
    }

    /// The elements in memory, column by column, to write. `None` if they are not contiguous, or if the engine does not compute in the host's
    /// memory.
    pub fn as_mut_slice(&mut self) -> Option<&mut [T]> {
        self.reborrow().into_mut_slice()
    }

    /// [`MatrixMut::as_mut_slice`] for the lifetime of the view.
    pub fn into_mut_slice(self) -> Option<&'a mut [T]> {
        let address = self.as_ref().contiguous_address()?;
        // SAFETY: so many adjacent elements are in the host's memory and mutably borrowed for `'a`; no call of the engine is pending.
        Some(unsafe { std::slice::from_raw_parts_mut(address, self.span.rows * self.span.columns) })
    }
}
