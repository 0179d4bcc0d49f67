//! Copies of matrices in 16 bits, from which libraries multiply faster.
//!
//! Every allocation has room for a copy of itself behind it. A copy is made when a product asks for it and holds until
//! something is written into the allocation: weights are copied once after an update, activations once in a step.

use std::collections::HashMap;

use super::driver::{Factors, Place};
use super::*;

/// Columns that were copied and have not been written since, at most, of one allocation: a batch, and parts of it.
const KEPT: usize = 4;

/// The copies there are.
pub(super) struct Halves {
    factors: Factors,
    all: Mutex<HashMap<Handle, Copies>>,
}

struct Copies {
    /// Bytes between the allocation and the copy of its first element.
    start: usize,
    fresh: Vec<Span>,
}

impl Halves {
    pub fn new(factors: Factors) -> Option<Self> {
        matches!(factors, Factors::Bf16 | Factors::F16).then(|| Halves { factors, all: Mutex::default() })
    }

    fn all(&self) -> MutexGuard<'_, HashMap<Handle, Copies>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T: Scalar, D: Driver> Gpu<T, D> {
    /// Memory, with room for its copy if need be.
    pub(super) fn allocate_with_copy(&self, bytes: usize) -> Result<Handle> {
        let bytes = bytes.saturating_add(SLACK);
        let Some(halves) = &self.halves else { return self.driver.allocate(bytes) };
        let start = bytes.next_multiple_of(library::ALIGNED);
        let copy = bytes / size_of::<T>() * size_of::<u16>();
        let handle = self.driver.allocate(start.saturating_add(copy))?;
        halves.all().insert(handle, Copies { start, fresh: Vec::with_capacity(KEPT) });
        Ok(handle)
    }

    pub(super) fn forget_copy(&self, handle: Handle) {
        if let Some(halves) = &self.halves {
            halves.all().remove(&handle);
        }
    }

    /// Says that something is written: copies of what was there do not hold any more.
    pub(super) fn touch(&self, handle: Handle) {
        if let Some(halves) = &self.halves
            && let Some(copies) = halves.all().get_mut(&handle)
        {
            copies.fresh.clear();
        }
    }

    /// `z = f(x)` or `z = f(x, y)`, where z is likely to be multiplied next: the copy is made on the way.
    ///
    /// # Safety
    /// As [`Gpu::elements`].
    pub(super) unsafe fn factor_elements(
        &self,
        f: &'static str,
        p: [f64; 4],
        x: Span,
        y: Option<Span>,
        z: Span,
    ) -> Result<()> {
        let start = |halves: &Halves| Some((halves.factors, halves.all().get(&z.handle)?.start));
        let copy = self.halves.as_ref().and_then(start);
        // SAFETY: the caller's promise; the allocation has room for the copy.
        unsafe { self.elements_and_copy(f, p, x, y, z, copy)? };
        if let Some(halves) = self.halves.as_ref().filter(|_| z.row_stride == 1)
            && let Some(copies) = halves.all().get_mut(&z.handle)
        {
            copies.keep(z);
        }
        Ok(())
    }

    /// The copy of columns whose rows lie side by side.
    ///
    /// # Safety
    /// The span describes memory of this engine.
    pub(super) unsafe fn halved(&self, span: Span) -> Result<Place> {
        let missing = || Error::argument("halve", "the engine keeps no copies of this memory");
        let halves = self.halves.as_ref().ok_or_else(missing)?;
        // A row's stride says nothing where there is only one.
        let span = Span { row_stride: 1, ..span };
        let (start, is_fresh) = match halves.all().get(&span.handle) {
            Some(copies) => (copies.start, copies.fresh.contains(&span)),
            None => return Err(missing()),
        };
        if !is_fresh {
            // SAFETY: the caller's promise; the allocation has room for the copy.
            unsafe { self.halve(halves.factors, span, start)? };
            if let Some(copies) = halves.all().get_mut(&span.handle) {
                copies.keep(span);
            }
        }
        Ok(Place { handle: span.handle, offset: start + span.offset * size_of::<u16>() })
    }

    unsafe fn halve(&self, factors: Factors, span: Span, start: usize) -> Result<()> {
        let count = span.rows * span.columns;
        let whole = span.columns == 1 || span.column_stride == span.rows && count <= MOST_COUNT;
        let span = if whole { Span { rows: count, columns: 1, column_stride: count, ..span } } else { span };
        let items = self.items(256);
        let mut arguments = Arguments::new();
        arguments.push(self.int(span.rows)?);
        arguments.push(self.int(span.columns)?);
        arguments.push(Argument::Memory(span.handle));
        arguments.push(Argument::Index(span.offset as i64));
        arguments.push(Argument::Index(span.column_stride as i64));
        arguments.push(Argument::Memory(span.handle));
        arguments.push(Argument::Index((start / size_of::<u16>() + span.offset) as i64));
        let key = self.key(Text::Halve, "halve", 1, items).with(&[("F16", usize::from(factors == Factors::F16))]);
        // SAFETY: the caller's promise. Nothing of the matrix itself is written, so copies stay what they are.
        unsafe { self.enqueue(key, self.grid(span.rows, span.columns, items), items, &arguments) }
    }
}

impl Copies {
    /// Copies may overlap: what they share is the same numbers in the same place.
    fn keep(&mut self, span: Span) {
        if self.fresh.len() == KEPT {
            self.fresh.remove(0);
        }
        self.fresh.push(span);
    }
}
