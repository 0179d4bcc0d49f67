//! Conversions to and from arrays of the crate ndarray.

use std::sync::Arc;

use ::ndarray::{Array2, ArrayView2, ArrayViewMut2, ShapeBuilder};

use super::{Matrix, MatrixMut, MatrixRef};
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::scalar::Scalar;

impl<T: Scalar> Matrix<T> {
    /// A matrix of the same shape as an array with any strides. A `samples x features` array is a transposed batch:
    /// `Matrix::from_array(engine, array.t())` makes a batch with one plain copy.
    ///
    /// To use the array's memory without a copy, see [`MatrixRef::borrow`].
    ///
    /// # Errors
    /// As [`Matrix::from_slice`].
    pub fn from_array(engine: &Arc<dyn Engine<T>>, array: ArrayView2<'_, T>) -> Result<Self> {
        let (rows, columns) = array.dim();
        let by_columns = array.t();
        match by_columns.as_slice() {
            Some(values) => Matrix::from_slice(engine, rows, columns, values),
            None => {
                let values: Vec<T> = by_columns.iter().copied().collect();
                Matrix::from_slice(engine, rows, columns, &values)
            }
        }
    }
}

impl<'a, T: Scalar> MatrixRef<'a, T> {
    /// A copy as an array of the same shape, column-major.
    ///
    /// # Errors
    /// A device that fails.
    pub fn to_array(self) -> Result<Array2<T>> {
        let shape = (self.rows(), self.columns()).f();
        Array2::from_shape_vec(shape, self.to_vec()?)
            .map_err(|error| Error::argument("to_array", error.to_string()))
    }

    /// The matrix as an array view of the same memory, without a copy. `None` if the engine does not compute in the host's memory: use
    /// [`MatrixRef::to_array`].
    ///
    /// ```
    /// use travertine::{Matrix, engine};
    /// let cpu = engine::open::<f32>("cpu")?;
    /// let m = Matrix::from_slice(&cpu, 2, 3, &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0])?;
    /// let row = m.view().row(1)?;
    /// assert_eq!(row.as_array().unwrap().sum(), 12.0);
    /// # Ok::<(), travertine::Error>(())
    /// ```
    pub fn as_array(self) -> Option<ArrayView2<'a, T>> {
        let (address, shape, strides) = self.host_memory()?;
        // SAFETY: the elements are in the host's memory, at these strides, and borrowed for `'a`; no call of the engine is pending.
        Some(unsafe { ArrayView2::from_shape_ptr(shape.strides(strides), address) })
    }
}

impl<T: Scalar> MatrixMut<'_, T> {
    /// The matrix as a mutable array view of the same memory, without a copy. `None` if the engine does not compute in the host's
    /// memory.
    pub fn as_array_mut(&mut self) -> Option<ArrayViewMut2<'_, T>> {
        let (address, shape, strides) = self.as_ref().host_memory()?;
        // SAFETY: the elements are in the host's memory, at these strides, and mutably borrowed by `self`; no call of the engine is
        // pending.
        Some(unsafe { ArrayViewMut2::from_shape_ptr(shape.strides(strides), address) })
    }
}
