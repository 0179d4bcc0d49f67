//! Matrices in an engine's memory: one owner, borrowed views.

use std::sync::Arc;

use size::{dense, elements};

use crate::engine::formula::COPY;
use crate::engine::{Engine, Span};
use crate::error::Result;
use crate::scalar::Scalar;

mod display;
#[cfg(feature = "ndarray")]
mod ndarray;
mod size;
mod view;

pub use view::{MatrixMut, MatrixRef};

/// A matrix that owns its memory on an engine: column-major and contiguous. A vector is a matrix of one column.
///
/// A batch is `features x samples`, one sample a column. A row-major `samples x features` array of ndarray, NumPy or PyTorch has the same memory
/// layout.
///
/// There is no `Clone`: [`view`](Matrix::view) borrows, [`copy`](Matrix::copy) copies. The borrow checker enforces the life
/// cycle. A view cannot outlive its matrix:
///
/// ```compile_fail,E0505
/// # let cpu = travertine::engine::open::<f32>("cpu").unwrap();
/// let matrix = travertine::Matrix::zeros(&cpu, 2, 2).unwrap();
/// let view = matrix.view();
/// drop(matrix);
/// println!("{view}");
/// ```
///
/// Two writers on one matrix do not compile:
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
/// assert_eq!(format!("{:.3}", m.view().column(2)?).lines().nth(2), Some("   →       5.000"));
/// # Ok::<(), travertine::Error>(())
/// ```
pub struct Matrix<T: Scalar> {
    engine: Arc<dyn Engine<T>>,
    span: Span,
}

impl<T: Scalar> Matrix<T> {
    /// A `rows x columns` matrix of zeros.
    ///
    /// # Errors
    /// No rows or no columns; not enough memory on the engine.
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

    /// A batch, `features x samples`, from a row-major `samples x features` slice: the memory layout is the same.
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

    /// Bytes of the matrix.
    pub fn bytes(&self) -> usize {
        self.span.rows * self.span.columns * size_of::<T>()
    }

    /// The engine that the matrix belongs to.
    pub fn engine(&self) -> &Arc<dyn Engine<T>> {
        &self.engine
    }

    /// A view of the whole matrix, to read.
    pub fn view(&self) -> MatrixRef<'_, T> {
        MatrixRef::new(&self.engine, self.span)
    }

    /// A view of the whole matrix, to write.
    pub fn view_mut(&mut self) -> MatrixMut<'_, T> {
        MatrixMut::new(&self.engine, self.span)
    }

    /// A new matrix with the same elements.
    ///
    /// # Errors
    /// Not enough memory; a device that fails.
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

    /// The elements in memory, column by column. `None` if the engine does not compute in the host's memory: use [`Matrix::to_vec`].
    ///
    /// ```
    /// use travertine::{Matrix, engine};
    /// let cpu = engine::open::<f32>("cpu")?;
    /// let mut m = Matrix::from_slice(&cpu, 2, 2, &[1.0, 2.0, 3.0, 4.0])?;
    /// for x in m.as_mut_slice().expect("the CPU engine computes in the host's memory") {
    ///     *x *= 10.0;
    /// }
    /// assert_eq!(m.as_slice(), Some(&[10.0, 20.0, 30.0, 40.0][..]));
    /// # Ok::<(), travertine::Error>(())
    /// ```
    pub fn as_slice(&self) -> Option<&[T]> {
        self.view().as_slice()
    }

    /// The elements in memory, column by column, to write. `None` if the engine does not compute in the host's memory: use
    /// [`MatrixMut::write`].
    pub fn as_mut_slice(&mut self) -> Option<&mut [T]> {
        self.view_mut().into_mut_slice()
    }

    /// The first elements as a contiguous `rows x columns` matrix, to read.
    pub(crate) fn front(&self, rows: usize, columns: usize) -> MatrixRef<'_, T> {
        debug_assert!(rows * columns <= self.rows() * self.columns());
        MatrixRef::new(&self.engine, dense(self.span.handle, rows, columns))
    }

    /// The first elements as a contiguous `rows x columns` matrix, to write.
    pub(crate) fn front_mut(&mut self, rows: usize, columns: usize) -> MatrixMut<'_, T> {
        debug_assert!(rows * columns <= self.rows() * self.columns());
        MatrixMut::new(&self.engine, dense(self.span.handle, rows, columns))
    }
}

impl<T: Scalar> Drop for Matrix<T> {
    fn drop(&mut self) {
        // SAFETY: this engine allocated as many bytes, and no view outlives the matrix.
        unsafe { self.engine.free(self.span.handle, self.bytes()) }
    }
}

impl<T: Scalar> MatrixRef<'_, T> {
    /// A new matrix with the same elements.
    ///
    /// # Errors
    /// Not enough memory; a device that fails.
    pub fn copy(self) -> Result<Matrix<T>> {
        let copy = Matrix::zeros(self.engine(), self.rows(), self.columns())?;
        // SAFETY: the new matrix has the shape of this one, belongs to the same engine and does not overlap it.
        unsafe { self.engine().map(&COPY, [0.0; 4], self.span(), copy.span)? };
        Ok(copy)
    }
}
