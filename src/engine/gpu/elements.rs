//! Element-wise mathematics: one operand or two, one result.

use super::device::{Gpu, MAX_COUNT};
use super::driver::{Argument, Arguments, Driver};
use super::program::Text;
use super::reduced_precision::Store;
use crate::engine::Span;
use crate::error::Result;
use crate::scalar::Scalar;

impl<T: Scalar, D: Driver> Gpu<T, D> {
    /// `z = f(x)` or `z = f(x, y)`
    ///
    /// # Safety
    /// The spans describe memory of this engine; y is absent or of the shape of x, and so is z.
    pub(super) unsafe fn elements(
        &self,
        f: &'static str,
        p: [f64; 4],
        x: Span,
        y: Option<Span>,
        z: Span,
    ) -> Result<()> {
        // SAFETY: the caller's promise is the same.
        unsafe { self.elements_stored(f, p, x, y, z, Store::Plain) }
    }

    /// As [`Gpu::elements`]; the result is stored as `store` says, and operands are read from their 16-bit copies where only these are valid.
    ///
    /// # Safety
    /// As [`Gpu::elements`].
    pub(super) unsafe fn elements_stored(
        &self,
        f: &'static str,
        p: [f64; 4],
        x: Span,
        y: Option<Span>,
        z: Span,
        store: Store,
    ) -> Result<()> {
        // SAFETY: the spans describe memory of this engine, as the caller promises.
        let (copies, store) = unsafe {
            let copies = [self.copy_to_read(x)?, self.copy_to_read(y.unwrap_or(x))?];
            (copies, self.prepare_store(z, store)?)
        };
        let mut spans = [x, y.unwrap_or(x), z];
        straighten(&mut spans);
        let items = self.items(256);
        let operands = 1 + usize::from(y.is_some());
        let mut key = self
            .key(Text::Elements, "elements", self.width(), items)
            .with(&[("OPERANDS", operands)])
            .with_function("formula", operands, f);
        let mut arguments = Arguments::new();
        arguments.push(self.int(spans[2].rows)?);
        arguments.push(self.int(spans[2].columns)?);
        self.push_parameters(&mut arguments, p);
        for (span, copy) in spans.into_iter().zip(copies).take(operands) {
            arguments.push_span(Span { offset: copy.unwrap_or(0) + span.offset, ..span });
        }
        arguments.push_span(spans[2]);
        if let Some(half) = &self.copies {
            let from_copies = copies
                .iter()
                .take(operands)
                .enumerate()
                .map(|(i, copy)| usize::from(copy.is_some()) << i);
            key = key.with(&[("READ_HALVES", from_copies.sum()), ("F16", half.is_f16())]);
        }
        if let (Some(start), Store::Both | Store::Copy) = (self.copy_start(z), store) {
            key = key.with(&[("HALVES", if store == Store::Copy { 2 } else { 1 })]);
            arguments.push(Argument::Memory(z.handle));
            arguments.push(Argument::Index((start + spans[2].offset) as i64));
        }
        // SAFETY: the caller's promise; operands are valid where they are read, and `finish_store` records what is written.
        unsafe {
            self.enqueue(key, self.grid(spans[2].rows, spans[2].columns, items), items, &arguments)?
        };
        self.finish_store(z, store);
        Ok(())
    }
}

/// Transposes all spans so that rows are contiguous where they can be, and makes one column of matrices without gaps.
pub(super) fn straighten(spans: &mut [Span]) {
    let contiguous = |span: &Span| span.row_stride == 1;
    if spans[0].rows == 1
        || !spans.iter().all(contiguous) && spans.iter().all(|span| span.column_stride == 1)
    {
        spans.iter_mut().for_each(|span| *span = span.t());
    }
    let whole =
        |span: &Span| span.columns == 1 || contiguous(span) && span.column_stride == span.rows;
    let count = spans[0].rows * spans[0].columns;
    if spans.iter().all(whole) && count <= MAX_COUNT {
        spans.iter_mut().for_each(|span| (span.rows, span.columns) = (count, 1));
    }
}
