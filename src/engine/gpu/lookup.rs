//! Embeddings of categories.

use super::device::Gpu;
use super::driver::{Arguments, Driver};
use super::program::Text;
use crate::engine::{LookUp, LookUpGradient};
use crate::error::Result;
use crate::scalar::Scalar;

#[allow(
    clippy::undocumented_unsafe_blocks,
    reason = "the callers of every block keep the promises of the engine's methods"
)]
impl<T: Scalar, D: Driver> Gpu<T, D> {
    pub(super) unsafe fn look_up_categories(&self, call: &LookUp) -> Result<()> {
        let LookUp { input, weights, table, output } = *call;
        let items = self.items(64);
        let mut arguments = Arguments::new();
        for count in [input.rows, table.rows, input.columns] {
            arguments.push(self.int(count)?);
        }
        // The kernel adds rows of the output in `int`.
        self.int(output.rows)?;
        arguments.push_span(input);
        for span in [weights, table, output] {
            arguments.push_vector(span, span.column_stride);
        }
        let key = self.key(Text::LookUp, "look_up", 1, items);
        unsafe { self.launch(key, self.grid(table.rows, input.columns, items), items, &arguments) }
    }

    pub(super) unsafe fn gradient_of_look_up(&self, call: &LookUpGradient) -> Result<()> {
        let LookUpGradient { input, table, delta, scale, keep, sink } = *call;
        let items = self.items(64);
        let mut arguments = Arguments::new();
        for count in [input.rows, table.rows, input.columns, sink.columns] {
            arguments.push(self.int(count)?);
        }
        self.int(delta.rows)?;
        arguments.push(self.real(scale / input.columns as f64));
        arguments.push(self.real(keep));
        arguments.push_span(input);
        for span in [table, delta, sink] {
            arguments.push_vector(span, span.column_stride);
        }
        let key = self.key(Text::LookUp, "look_up_gradient", 1, items);
        // An item reads every sample.
        let groups = sink.columns.div_ceil(items);
        unsafe { self.launch(key, [groups, 1], items, &arguments) }
    }
}
