//! Sums of rows, and reductions of a matrix to one number.

use super::device::{CHUNKS, Gpu};
use super::driver::{Argument, Arguments, Driver};
use super::elements::straighten;
use super::program::Text;
use super::transfer;
use crate::engine::{Reduction, Span};
use crate::error::Result;
use crate::scalar::Scalar;

#[allow(
    clippy::undocumented_unsafe_blocks,
    reason = "the callers of every block keep the promises of the engine's methods"
)]
impl<T: Scalar, D: Driver> Gpu<T, D> {
    /// `y_i = alpha sum_j x_ij + beta y_i`
    pub(super) unsafe fn sums_of_rows(
        &self,
        alpha: f64,
        x: Span,
        beta: f64,
        y: Span,
    ) -> Result<()> {
        let (items, width) = (self.items(64), self.width());
        let mut arguments = Arguments::new();
        arguments.push(self.int(x.rows)?);
        arguments.push(self.int(x.columns)?);
        arguments.push(self.real(alpha));
        arguments.push(self.real(beta));
        let copy = unsafe { self.copy_to_read(x)? };
        arguments.push_span(Span { offset: copy.unwrap_or(0) + x.offset, ..x });
        arguments.push_vector(y, y.row_stride);
        let mut key =
            self.key(Text::Sums, "row_sums", width, items).with(&[("CHUNKS", CHUNKS), ("KIND", 0)]);
        if let (Some(half), Some(_)) = (&self.copies, copy) {
            key = key.with(&[("READ_HALVES", 1), ("F16", half.is_f16())]);
        }
        unsafe {
            self.update_numbers(y.handle)?;
            self.invalidate_copy(y.handle);
            self.enqueue(key, [x.rows.div_ceil(width), 1], items, &arguments)
        }
    }

    /// One number, summed up on the host from [`CHUNKS`] partial sums.
    pub(super) unsafe fn reduced(&self, reduction: Reduction, x: Span, y: Span) -> Result<f64> {
        let items = self.items(64);
        let y = if reduction == Reduction::Dot { y } else { x };
        let mut spans = [x, y];
        straighten(&mut spans);
        let [x, y] = spans;
        let mut arguments = Arguments::new();
        arguments.push(self.int(x.rows)?);
        arguments.push(self.int(x.columns)?);
        arguments.push_span(x);
        arguments.push_span(y);
        let chunks = self.chunks();
        arguments.push(Argument::Memory(*chunks));
        let kind = reduction as usize;
        let key =
            self.key(Text::Sums, "reduce", 1, items).with(&[("CHUNKS", CHUNKS), ("KIND", kind)]);
        unsafe { self.launch(key, [CHUNKS, 1], items, &arguments)? };
        let numbers = if self.traits().fp64 {
            unsafe { transfer::read_numbers::<f64, D>(&self.driver, *chunks, CHUNKS)? }
        } else {
            let numbers =
                unsafe { transfer::read_numbers::<f32, D>(&self.driver, *chunks, CHUNKS)? };
            numbers.into_iter().map(f64::from).collect()
        };
        Ok(numbers.into_iter().fold(0.0, |total, x| match reduction {
            Reduction::Dot | Reduction::Asum => total + x,
            Reduction::Amax => {
                if x > total || x.is_nan() {
                    x
                } else {
                    total
                }
            }
        }))
    }
}
