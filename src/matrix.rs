//! Matrices in an engine's memory: one owner, borrowed views.

use std::fmt;
use std::marker::PhantomData;
use std::ops::Range;
use std::sync::Arc;

use crate::engine::{Engine, Handle, Span};
use crate::error::{Error, Result};
use crate::scalar::Scalar;

/// A matrix that owns its memory on an engine: column-major, no gaps. A vector is a matrix of one column.
///
/// A batch is `features x samples`, one sample a column. What ndarray, NumPy and PyTorch call a row-major
/// `samples x features` array is the same memory.
///
/// There is no `Clone`: [`view`](Matrix::view) borrows, [`copy`](Matrix::copy) copies. The borrow checker keeps the life
/// cycle: a view cannot outlive its matrix,
///
/// ```compile_fail,E0505
/// # let cpu = travertine::engine::open::<f32>("cpu").unwrap();
/// let matrix = travertine::Matrix::zeros(&cpu, 2, 2).unwrap();
/// let view = matrix.view();
/// drop(matrix);
/// println!("{view}");
/// ```
///
/// and two writers on one matrix do not compile:
///
/// ```compile_fail,E0499
/// # let cpu = travertine::engine::open::<f32>("cpu").unwrap();
/// let mut matrix = travertine::Matrix::zeros(&cpu, 2, 2).unwrap();
/// let (one, two) = (matrix.view_mut(), matrix.view_mut());
/// println!("{one} {two}");
/// ```
///
/// Neither does a reader beside a writer:
///
/// ```compile_fail,E0502
/// # let cpu = travertine::engine::open::<f32>("cpu").unwrap();
/// let mut matrix = travertine::Matrix::zeros(&cpu, 2, 2).unwrap();
/// let reader = matrix.view();
/// travertine::ops::fill(1.0, matrix.view_mut()).unwrap();
/// println!("{reader}");
/// ```
///
/// ```
/// use travertine::{Matrix, engine};
/// let cpu = engine::open::<f32>("cpu")?;
/// let m = Matrix::from_slice(&cpu, 2, 3, &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0])?;
/// assert_eq!(m.view().get(0, 1)?, 3.0);
/// assert_eq!(m.view().t().to_vec()?, [1.0, 3.0, 5.0, 2.0, 4.0, 6.0]);
/// assert_eq!(m.view().sub_columns(1..3)?.row(1)?.to_vec()?, [4.0, 6.0]);
/// # Ok::<(), travertine::Error>(())
/// ```
pub struct Matrix<T: Scalar> {
    engine: Arc<dyn Engine<T>>,
    span: Span,
}

/// A borrowed view to read from: a matrix, or a part of one, or one transposed.
pub struct MatrixRef<'a, T: Scalar> {
    engine: &'a Arc<dyn Engine<T>>,
    span: Span,
    owner: PhantomData<&'a T>,
}

/// A borrowed view to write to.
pub struct MatrixMut<'a, T: Scalar> {
    engine: &'a Arc<dyn Engine<T>>,
    span: Span,
    owner: PhantomData<&'a mut T>,
}

/// `rows * columns` as a number of elements whose bytes fit into the address space.
fn elements<T>(operation: &'static str, rows: usize, columns: usize) -> Result<usize> {
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

fn same_length(operation: &'static str, slice: usize, span: Span) -> Result<()> {
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

fn dense(handle: Handle, rows: usize, columns: usize) -> Span {
    Span { handle, offset: 0, rows, columns, row_stride: 1, column_stride: rows }
}

impl<T: Scalar> Matrix<T> {
    /// A `rows x columns` matrix of zeros.
    ///
    /// # Errors
    /// No rows or no columns; more elements than the engine has memory for.
    pub fn zeros(engine: &Arc<dyn Engine<T>>, rows: usize, columns: usize) -> Result<Self> {
        let elements = elements::<T>("zeros", rows, columns)?;
        let handle = engine.allocate(elements * size_of::<T>())?;
        Ok(Matrix { engine: Arc::clone(engine), span: dense(handle, rows, columns) })
    }

    /// A `rows x columns` matrix from a column-major slice.
    ///
    /// # Errors
    /// As [`Matrix::zeros`]; a slice that is not `rows * columns` long.
    pub fn from_slice(
        engine: &Arc<dyn Engine<T>>,
        rows: usize,
        columns: usize,
        values: &[T],
    ) -> Result<Self> {
        let mut matrix = Matrix::zeros(engine, rows, columns)?;
        matrix.view_mut().write(values)?;
        Ok(matrix)
    }

    /// A batch, `features x samples`, from a row-major `samples x features` slice: the same memory.
    ///
    /// # Errors
    /// As [`Matrix::from_slice`].
    pub fn from_samples(
        engine: &Arc<dyn Engine<T>>,
        samples: usize,
        features: usize,
        values: &[T],
    ) -> Result<Self> {
        Matrix::from_slice(engine, features, samples, values)
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.span.rows
    }

    /// Number of columns.
    pub fn columns(&self) -> usize {
        self.span.columns
    }

    /// Bytes of memory that the matrix owns.
    pub fn bytes(&self) -> usize {
        self.span.rows * self.span.columns * size_of::<T>()
    }

    /// The engine that the matrix lives on.
    pub fn engine(&self) -> &Arc<dyn Engine<T>> {
        &self.engine
    }

    /// The whole matrix, to read.
    pub fn view(&self) -> MatrixRef<'_, T> {
        MatrixRef { engine: &self.engine, span: self.span, owner: PhantomData }
    }

    /// The whole matrix, to write.
    pub fn view_mut(&mut self) -> MatrixMut<'_, T> {
        MatrixMut { engine: &self.engine, span: self.span, owner: PhantomData }
    }

    /// A second matrix with the same elements.
    ///
    /// # Errors
    /// No memory for it; a device that fails.
    pub fn copy(&self) -> Result<Self> {
        self.view().copy()
    }

    /// All elements, column by column.
    ///
    /// # Errors
    /// A device that fails.
    pub fn to_vec(&self) -> Result<Vec<T>> {
        self.view().to_vec()
    }

    /// The front of the memory as a `rows x columns` matrix without gaps, to read.
    pub(crate) fn front(&self, rows: usize, columns: usize) -> MatrixRef<'_, T> {
        debug_assert!(rows * columns <= self.rows() * self.columns());
        MatrixRef { span: dense(self.span.handle, rows, columns), ..self.view() }
    }

    /// The front of the memory as a `rows x columns` matrix without gaps, to write.
    pub(crate) fn front_mut(&mut self, rows: usize, columns: usize) -> MatrixMut<'_, T> {
        debug_assert!(rows * columns <= self.rows() * self.columns());
        MatrixMut { span: dense(self.span.handle, rows, columns), ..self.view_mut() }
    }
}

impl<T: Scalar> Drop for Matrix<T> {
    fn drop(&mut self) {
        // SAFETY: the memory came from this engine with as many bytes, and no view outlives its owner.
        unsafe { self.engine.free(self.span.handle, self.bytes()) }
    }
}

impl<T: Scalar> Clone for MatrixRef<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T: Scalar> Copy for MatrixRef<'_, T> {}

/// What both kinds of view can do to their shape.
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

        /// The engine that the matrix lives on.
        pub fn engine(&self) -> &'a Arc<dyn Engine<T>> {
            self.engine
        }

        /// The transposed matrix: the same memory, strides swapped.
        pub fn t(self) -> Self {
            Self { span: self.span.t(), ..self }
        }

        /// Some columns.
        ///
        /// # Errors
        /// A range that is empty or leaves the matrix.
        pub fn sub_columns(self, range: Range<usize>) -> Result<Self> {
            let rows = 0..self.span.rows;
            self.sub_matrix(rows, range)
        }

        /// Some rows.
        ///
        /// # Errors
        /// A range that is empty or leaves the matrix.
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

        /// Some rows and columns.
        ///
        /// # Errors
        /// A range that is empty or leaves the matrix.
        pub fn sub_matrix(self, rows: Range<usize>, columns: Range<usize>) -> Result<Self> {
            let span = self.span;
            let inside = |range: &Range<usize>, length| range.start < range.end && range.end <= length;
            if !inside(&rows, span.rows) || !inside(&columns, span.columns) {
                let reason = format!(
                    "rows {rows:?} and columns {columns:?} must be a part, not empty, of a {}x{} matrix",
                    span.rows, span.columns
                );
                return Err(Error::argument("sub_matrix", reason));
            }
            let offset = span.offset + rows.start * span.row_stride + columns.start * span.column_stride;
            Ok(Self { span: Span { offset, rows: rows.len(), columns: columns.len(), ..span }, ..self })
        }

        /// Where the matrix lies; for the layers above, which hand it to the engine.
        pub(crate) fn span(&self) -> Span {
            self.span
        }
    };
}

impl<'a, T: Scalar> MatrixRef<'a, T> {
    shape_methods!();

    /// The caller's own memory as a `rows x columns` matrix, column-major, without a copy. A row-major
    /// `samples x features` slice is a `features x samples` batch this way.
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
    /// [`Matrix::from_slice`]).
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
        Ok(MatrixRef { engine, span, owner: PhantomData })
    }

    /// A matrix of its own with the same elements.
    ///
    /// # Errors
    /// No memory for it; a device that fails.
    pub fn copy(self) -> Result<Matrix<T>> {
        let mut copy = Matrix::zeros(self.engine, self.span.rows, self.span.columns)?;
        crate::ops::copy(self, copy.view_mut())?;
        Ok(copy)
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

    /// Reads all elements into a slice, column by column.
    ///
    /// # Errors
    /// A slice that is not `rows * columns` long; a device that fails.
    pub fn read(self, values: &mut [T]) -> Result<()> {
        same_length("read", values.len(), self.span)?;
        // SAFETY: the view is alive, the slice as long as the matrix.
        unsafe { self.engine.read(self.span, values) }
    }

    /// Reads all elements, column by column.
    ///
    /// # Errors
    /// A device that fails.
    pub fn to_vec(self) -> Result<Vec<T>> {
        let mut values = vec![T::default(); self.span.rows * self.span.columns];
        self.read(&mut values)?;
        Ok(values)
    }
}

impl<'a, T: Scalar> MatrixMut<'a, T> {
    shape_methods!();

    /// The same view for a shorter time, so that this one can be used again.
    pub fn reborrow(&mut self) -> MatrixMut<'_, T> {
        MatrixMut { engine: self.engine, span: self.span, owner: PhantomData }
    }

    /// The same matrix to read.
    pub fn as_ref(&self) -> MatrixRef<'_, T> {
        MatrixRef { engine: self.engine, span: self.span, owner: PhantomData }
    }

    /// Writes all elements from a slice, column by column.
    ///
    /// # Errors
    /// A slice that is not `rows * columns` long; a device that fails.
    pub fn write(&mut self, values: &[T]) -> Result<()> {
        same_length("write", values.len(), self.span)?;
        // SAFETY: the view is alive and the only one, the slice as long as the matrix.
        unsafe { self.engine.write(values, self.span) }
    }
}

/// Rows and columns that are printed of a large matrix: five from each end.
const SHOWN: usize = 10;

/// The indices to print; `None` stands for those left out.
fn shown(count: usize) -> Vec<Option<usize>> {
    if count <= SHOWN {
        return (0..count).map(Some).collect();
    }
    (0..SHOWN / 2).map(Some).chain([None]).chain((count - SHOWN / 2..count).map(Some)).collect()
}

/// The article's boxed form.
impl<T: Scalar> fmt::Display for MatrixRef<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let span = self.span;
        let layout = if span.row_stride == 1 || span.column_stride != 1 { "column" } else { "row" };
        let (name, offset) = (T::NAME, span.offset);
        writeln!(
            f,
            "#Matrix[{name}, mxn:{}x{}, layout:{layout}, offset:{offset}]",
            span.rows, span.columns
        )?;
        let (rows, columns) = (shown(span.rows), shown(span.columns));
        let cell = |row: Option<usize>, column: Option<usize>| match (row, column) {
            (Some(row), Some(column)) => self.get(row, column).map(|x| format!("{x:.2}")),
            (_, None) => Ok("⋯".to_owned()),
            (None, _) => Ok("⋮".to_owned()),
        };
        let cells: Result<Vec<Vec<String>>> = rows
            .iter()
            .map(|&row| columns.iter().map(|&column| cell(row, column)).collect())
            .collect();
        let cells = match cells {
            Ok(cells) => cells,
            Err(error) => return write!(f, "   unreadable: {error}"),
        };
        let width =
            8.max(2 + cells.iter().flatten().map(|cell| cell.chars().count()).max().unwrap_or(0));
        let header = |column: &Option<usize>| if column.is_some() { "↓" } else { "⋯" };
        let line = |first: &str, cells: Vec<&str>, last: &str| {
            let cells: String = cells.iter().map(|cell| format!("{cell:<width$}")).collect();
            format!("   {first:<8}{cells}{last}").trim_end().to_owned()
        };
        writeln!(f, "{}", line("▥", columns.iter().map(header).collect(), "┓"))?;
        for row in &cells {
            writeln!(f, "{}", line("→", row.iter().map(String::as_str).collect(), ""))?;
        }
        write!(f, "{}", line("┗", vec![""; columns.len()], "┛"))
    }
}

impl<T: Scalar> fmt::Display for MatrixMut<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_ref().fmt(f)
    }
}

impl<T: Scalar> fmt::Display for Matrix<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.view().fmt(f)
    }
}

macro_rules! debug_as_display {
    ($($type:ty),*) => {
        $(impl<T: Scalar> fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        })*
    };
}
debug_as_display!(Matrix<T>, MatrixRef<'_, T>, MatrixMut<'_, T>);

#[cfg(feature = "ndarray")]
mod ndarray {
    use ::ndarray::{Array2, ArrayView2, ShapeBuilder};

    use super::*;

    impl<T: Scalar> Matrix<T> {
        /// A matrix of the same shape as an array of any strides. A `samples x features` array is a batch transposed:
        /// `Matrix::from_array(engine, array.t())`, which costs one straight copy.
        ///
        /// # Errors
        /// As [`Matrix::from_slice`].
        pub fn from_array(engine: &Arc<dyn Engine<T>>, array: ArrayView2<'_, T>) -> Result<Self> {
            let (rows, columns) = array.dim();
            let columns_side_by_side = array.t();
            match columns_side_by_side.as_slice() {
                Some(values) => Matrix::from_slice(engine, rows, columns, values),
                None => {
                    let values: Vec<T> = columns_side_by_side.iter().copied().collect();
                    Matrix::from_slice(engine, rows, columns, &values)
                }
            }
        }
    }

    impl<T: Scalar> MatrixRef<'_, T> {
        /// An array of the same shape, column-major.
        ///
        /// # Errors
        /// A device that fails.
        pub fn to_array(self) -> Result<Array2<T>> {
            let shape = (self.span.rows, self.span.columns).f();
            Array2::from_shape_vec(shape, self.to_vec()?)
                .map_err(|error| Error::argument("to_array", error.to_string()))
        }
    }
}
