//! Normalization of rows and of columns.

use super::*;

/// Vectors of rows that a group of items takes: neighbors read neighboring memory.
const SIDE: usize = 32;

#[allow(
    clippy::undocumented_unsafe_blocks,
    reason = "the callers of every block keep the promises of the engine's methods"
)]
impl<T: Scalar, D: Driver> Gpu<T, D> {
    /// A kernel of normalize.kernel; writes: 0, 1, 2 as told there.
    fn normalize_key(&self, kernel: &'static str, writes: usize) -> (Key, usize, usize) {
        let items = self.items(256);
        let side = SIDE.min(items);
        let key = self.key(Text::Normalize, kernel, self.width(), items);
        let options =
            [("SIDE", side), ("SLOTS_MORE", usize::from(items > side)), ("WRITES", writes)];
        (key.with(&options), items, side)
    }

    /// Groups that take all rows, or all columns.
    fn lines(&self, along: Along, span: Span, side: usize) -> [usize; 2] {
        match along {
            Along::Rows => [span.rows.div_ceil(side * self.width()), 1],
            Along::Columns => [span.columns, 1],
        }
    }

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
