//! Optimizers: one pass over a parameter and its state, and sums of squares that stay on the device.

use super::device::{CHUNKS, Gpu};
use super::driver::{Argument, Arguments, Driver};
use super::program::Text;
use crate::engine::{Span, UpdateCall};
use crate::error::Result;
use crate::scalar::Scalar;

#[allow(
    clippy::undocumented_unsafe_blocks,
    reason = "the callers of every block keep the promises of the engine's methods"
)]
impl<T: Scalar, D: Driver> Gpu<T, D> {
    /// Runs an optimizer's rule over all elements of a parameter.
    pub(super) unsafe fn update_elements(&self, call: &UpdateCall) -> Result<()> {
        let UpdateCall { rule, p, parameter, gradient, moments } = *call;
        let items = self.items(256);
        let count = parameter.rows * parameter.columns;
        let key = self
            .key(Text::Update, "update", self.width(), items)
            .with(&[("MOMENTS", rule.moments)])
            .with_rule("rule", rule.kernel);
        let mut arguments = Arguments::new();
        arguments.push(Argument::Index(count as i64));
        p.into_iter().for_each(|p| arguments.push(self.real(p)));
        for span in [parameter, gradient, moments[0], moments[1]] {
            arguments.push(Argument::Memory(span.handle));
            arguments.push(Argument::Index(span.offset as i64));
        }
        unsafe { self.launch(key, self.grid(count, 1, items), items, &arguments) }
    }

    /// `sums_j` becomes the sum of squares of the j-th share of x.
    pub(super) unsafe fn squares_of_shares(&self, x: Span, sums: Span) -> Result<()> {
        let items = self.items(64);
        let mut arguments = Arguments::new();
        arguments.push(Argument::Index((x.rows * x.columns) as i64));
        arguments.push(Argument::Memory(x.handle));
        arguments.push(Argument::Index(x.offset as i64));
        arguments.push_vector(sums, sums.column_stride);
        let key =
            self.key(Text::Sums, "squares", 1, items).with(&[("CHUNKS", CHUNKS), ("KIND", 0)]);
        unsafe { self.launch(key, [sums.columns, 1], items, &arguments) }
    }
}
