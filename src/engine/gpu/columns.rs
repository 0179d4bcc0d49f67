//! Kernels of columns: softmax, losses, hits. A group has one column.

use super::device::Gpu;
use super::driver::{Argument, Arguments, Driver};
use super::program::{Key, Text};
use crate::engine::{Derivative, LossCall, LossFormula, Span};
use crate::error::Result;
use crate::scalar::Scalar;

/// The options of kernels that compute no loss.
const WITHOUT_LOSS: [(&str, usize); 3] = [("BEHIND", 0), ("ELEMENTS", 0), ("BY_ROW", 0)];

#[allow(
    clippy::undocumented_unsafe_blocks,
    reason = "the callers of every block keep the promises of the engine's methods"
)]
impl<T: Scalar, D: Driver> Gpu<T, D> {
    fn columns_key(&self, kernel: &'static str, items: usize) -> Key {
        self.key(Text::Columns, kernel, self.width(), items)
    }

    /// `a = softmax(z)`, column by column; a may be z. Rows of both are contiguous.
    pub(super) unsafe fn softmax(&self, z: Span, a: Span) -> Result<()> {
        unsafe { self.softmax_kernel("softmax", z, a) }
    }

    /// `delta = a ⊙ (delta - 1 (a · delta))`, column by column. Rows of both are contiguous.
    pub(super) unsafe fn softmax_derivative(&self, a: Span, delta: Span) -> Result<()> {
        unsafe { self.softmax_kernel("softmax_derivative", a, delta) }
    }

    unsafe fn softmax_kernel(&self, kernel: &'static str, from: Span, to: Span) -> Result<()> {
        let items = self.items(64);
        let mut arguments = Arguments::new();
        arguments.push(self.int(to.rows)?);
        arguments.push_vector(from, from.column_stride);
        arguments.push_vector(to, to.column_stride);
        let key = self.columns_key(kernel, items).with(&WITHOUT_LOSS);
        unsafe { self.launch(key, [to.columns, 1], items, &arguments) }
    }

    /// The loss of every column, and its gradient.
    pub(super) unsafe fn loss_of_columns(&self, call: &LossCall) -> Result<()> {
        let LossCall { formula, first_by_row, output, target, values, delta, derivative } = *call;
        let items = self.items(64);
        let by_row = usize::from(first_by_row.is_some());
        let mut key = self.columns_key("loss", items).with(&[("BY_ROW", by_row)]);
        let (mut p, mut q, mut kept) = ([0.0; 4], [0.0; 4], output);
        match formula {
            LossFormula::Elements { value, gradient, p: parameters } => {
                key = key.with(&[("ELEMENTS", 1)]);
                key = key.with_function("value", 2, value.kernel).with_function(
                    "gradient",
                    2,
                    gradient.kernel,
                );
                p = parameters;
            }
            LossFormula::SoftmaxCrossEntropy => key = key.with(&[("ELEMENTS", 0)]),
        }
        match derivative {
            Derivative::One => key = key.with(&[("BEHIND", 0)]),
            Derivative::Zip(f, parameters, span) => {
                key = key.with(&[("BEHIND", 1)]).with_function("derivative", 2, f.kernel);
                (q, kept) = (parameters, span);
            }
            Derivative::Softmax(a) => {
                key = key.with(&[("BEHIND", 2)]);
                kept = a;
            }
        }
        let mut arguments = Arguments::new();
        arguments.push(self.int(output.rows)?);
        arguments.push(Argument::Int(i32::from(delta.is_some())));
        self.push_parameters(&mut arguments, p);
        self.push_parameters(&mut arguments, q);
        for span in [output, target, values, delta.unwrap_or(output), kept] {
            arguments.push_vector(span, span.column_stride);
        }
        let first = first_by_row.unwrap_or(output);
        arguments.push_vector(first, first.row_stride);
        unsafe { self.launch(key, [output.columns, 1], items, &arguments) }
    }

    /// 1 for every column whose class is predicted right, else 0.
    pub(super) unsafe fn hits_of_columns(
        &self,
        output: Span,
        target: Span,
        threshold: f64,
        hits: Span,
    ) -> Result<()> {
        let items = self.items(64);
        let mut arguments = Arguments::new();
        arguments.push(self.int(output.rows)?);
        arguments.push(self.int(output.columns)?);
        arguments.push(self.real(threshold));
        arguments.push_span(output);
        arguments.push_span(target);
        arguments.push_vector(hits, hits.column_stride);
        let key = self.columns_key("hits", items).with(&WITHOUT_LOSS);
        let [groups, _] = self.grid(output.columns * self.width(), 1, items);
        unsafe { self.launch(key, [groups, 1], items, &arguments) }
    }
}
