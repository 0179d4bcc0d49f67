//! Normalization of rows and of columns.

use super::device::Gpu;
use super::driver::{Argument, Arguments, Driver};
use super::program::{Key, Text};
use crate::engine::{Along, Normalize, NormalizePropagate, Span};
use crate::error::Result;
use crate::scalar::Scalar;

/// Vectors of rows in a group along rows: neighboring items then read contiguous memory.
const VECTORS_OF_ROWS: usize = 32;

#[allow(
    clippy::undocumented_unsafe_blocks,
    reason = "the callers of every block keep the promises of the engine's methods"
)]
impl<T: Scalar, D: Driver> Gpu<T, D> {
    /// A kernel of a text that follows `lines.kernel`, its items, and those of them that share columns.
    pub(super) fn lines_key(&self, text: Text, kernel: &'static str) -> (Key, usize, usize) {
        let items = self.items(256);
        let side = VECTORS_OF_ROWS.min(items);
        let key = self.key(text, kernel, self.width(), items);
        let options = [("SIDE", side), ("SLOTS_MORE", usize::from(items > side))];
        (key.with(&options), items, side)
    }

    /// A kernel of `normalize.kernel`, as [`Gpu::lines_key`]. `writes`: the option `WRITES` of that text.
    fn normalize_key(&self, kernel: &'static str, writes: usize) -> (Key, usize, usize) {
        let (key, items, side) = self.lines_key(Text::Normalize, kernel);
        (key.with(&[("WRITES", writes)]), items, side)
    }

    /// Groups for all rows, or for all columns.
    pub(super) fn lines(&self, along: Along, span: Span, side: usize) -> [usize; 2] {
        match along {
            Along::Rows => [span.rows.div_ceil(side * self.width()), 1],
            Along::Columns => [span.columns, 1],
        }
    }

    /// Normalizes rows or columns. The option `WRITES` says what the kernel does with the moments: 0 computes them, 1 computes and stores
    /// them, 2 reads them.
    pub(super) unsafe fn normalize_matrix(&self, call: &Normalize) -> Result<()> {
        let Normalize { along, input, weights, bias, epsilon, moments, given, normalized, output } =
            *call;
        let writes = match (given, moments) {
            (true, _) => 2,
            (false, Some(_)) => 1,
            (false, None) => 0,
        };
        let kernel = if along == Along::Rows { "normalize_rows" } else { "normalize_columns" };
        let (key, items, side) = self.normalize_key(kernel, writes);
        let mut arguments = Arguments::new();
        arguments.push(self.int(input.rows)?);
        arguments.push(self.int(input.columns)?);
        arguments.push(Argument::Int(i32::from(normalized.is_some())));
        arguments.push(self.real(epsilon));
        for span in
            [input, weights, bias, moments.unwrap_or(output), normalized.unwrap_or(output), output]
        {
            arguments.push_vector(span, span.column_stride);
        }
        unsafe { self.launch(key, self.lines(along, input, side), items, &arguments) }
    }

    /// The gradient by the input.
    pub(super) unsafe fn normalize_back(&self, call: &NormalizePropagate) -> Result<()> {
        let NormalizePropagate {
            along,
            weights,
            epsilon,
            moments,
            given,
            normalized,
            delta,
            output,
        } = *call;
        let kernel = if along == Along::Rows { "propagate_rows" } else { "propagate_columns" };
        let (key, items, side) = self.normalize_key(kernel, if given { 2 } else { 0 });
        let mut arguments = Arguments::new();
        arguments.push(self.int(delta.rows)?);
        arguments.push(self.int(delta.columns)?);
        arguments.push(self.real(epsilon));
        for span in [weights, moments, normalized, delta, output] {
            arguments.push_vector(span, span.column_stride);
        }
        unsafe { self.launch(key, self.lines(along, delta, side), items, &arguments) }
    }

    /// `sums_i = alpha sum_j x_ij y_ij + beta sums_i`
    pub(super) unsafe fn row_dots_of(
        &self,
        alpha: f64,
        x: Span,
        y: Span,
        beta: f64,
        sums: Span,
    ) -> Result<()> {
        let (key, items, side) = self.normalize_key("row_dots", 0);
        let mut arguments = Arguments::new();
        arguments.push(self.int(x.rows)?);
        arguments.push(self.int(x.columns)?);
        arguments.push(self.real(alpha));
        arguments.push(self.real(beta));
        for span in [x, y, sums] {
            arguments.push_vector(span, span.column_stride);
        }
        unsafe { self.launch(key, self.lines(Along::Rows, x, side), items, &arguments) }
    }
}
