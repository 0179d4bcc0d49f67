//! Embeddings of numbers.

use super::device::Gpu;
use super::driver::{Arguments, Driver};
use super::program::{Key, Text};
use crate::engine::{Embed, EmbedGradient, FREQUENCIES};
use crate::error::Result;
use crate::scalar::Scalar;

#[allow(
    clippy::undocumented_unsafe_blocks,
    reason = "the callers of every block keep the promises of the engine's methods"
)]
impl<T: Scalar, D: Driver> Gpu<T, D> {
    /// A kernel of `embedding.kernel` for groups of so many items.
    fn embedding_key(&self, kernel: &'static str, items: usize) -> Key {
        let side = FREQUENCIES.min(items);
        let options = [("SIDE", side), ("SLOTS_MORE", usize::from(items > side))];
        self.key(Text::Embedding, kernel, 1, items).with(&options)
    }

    pub(super) unsafe fn embed_numbers(&self, call: &Embed) -> Result<()> {
        let Embed { input, weights, bias, columns, output } = *call;
        let items = self.items(64);
        let mut arguments = Arguments::new();
        for count in [input.rows, columns.rows, input.columns] {
            arguments.push(self.int(count)?);
        }
        // The kernel adds rows of the output in `int`.
        self.int(output.rows)?;
        arguments.push_span(input);
        for span in [weights, bias, columns, output] {
            arguments.push_vector(span, span.column_stride);
        }
        let key = self.embedding_key("embed", items);
        let groups = self.grid(input.rows + columns.rows, input.columns, items);
        unsafe { self.launch(key, groups, items, &arguments) }
    }

    pub(super) unsafe fn gradient_of_embedding(&self, call: &EmbedGradient) -> Result<()> {
        let EmbedGradient { input, weights, bias, columns, delta, scale, keep, .. } = *call;
        let items = self.items(256);
        let mut arguments = Arguments::new();
        arguments.push(self.int(input.rows)?);
        arguments.push(self.int(input.columns)?);
        self.int(delta.rows)?;
        arguments.push(self.real(scale / input.columns as f64));
        arguments.push(self.real(keep));
        arguments.push_span(input);
        for span in [columns, delta, weights, bias, call.weights_sink, call.bias_sink] {
            arguments.push_vector(span, span.column_stride);
        }
        let key = self.embedding_key("embed_gradient", items);
        unsafe { self.launch(key, [columns.rows, 1], items, &arguments) }
    }
}
