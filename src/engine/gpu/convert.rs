//! Conversion between matrices and their 16-bit copies; `reduced_precision.rs` has the bookkeeping.

use std::ops::Range;

use super::device::{Gpu, MAX_COUNT};
use super::driver::{ALLOCATION_ALIGNMENT, Argument, Arguments, Driver, MASK_COLUMN_BITS, Place};
use super::program::Text;
use super::reduced_precision::{
    Copies, HALF_BYTES, HalfCopies, MAX_VALID, Store, adjoin, contains, contiguous_elements,
    overlap, subtract, with_row_stride,
};
use crate::engine::{Handle, Span};
use crate::error::{Error, Result};
use crate::scalar::Scalar;

/// Bytes behind every allocation of a CPU, which product kernels may read and do not use. GPUs have none: tools that look for
/// accesses outside of memory must find them.
const CPU_PADDING_BYTES: usize = 1024;

impl<T: Scalar, D: Driver> Gpu<T, D> {
    /// Memory, with room for its copy and mask where this engine has copies.
    pub(super) fn allocate_with_copy(&self, bytes: usize) -> Result<Handle> {
        let bytes = if self.traits().is_cpu {
            bytes.saturating_add(CPU_PADDING_BYTES)
        } else {
            bytes.max(1)
        };
        let Some(half) = &self.copies else { return self.driver.allocate(bytes) };
        let start = bytes.next_multiple_of(ALLOCATION_ALIGNMENT);
        let elements = bytes / size_of::<T>();
        let mask_start =
            start.saturating_add(elements * HALF_BYTES).saturating_add(ALLOCATION_ALIGNMENT);
        let mask_start = mask_start / ALLOCATION_ALIGNMENT * ALLOCATION_ALIGNMENT;
        // Columns of a mask begin at multiples of 128 bits and have at least as many: no more than two bits an element.
        let handle = self.driver.allocate(mask_start.saturating_add(elements / 4))?;
        let valid = Vec::with_capacity(MAX_VALID);
        half.lock().insert(handle, Copies { start, valid, ahead: 0..0, mask_start, mask: None });
        Ok(handle)
    }

    pub(super) fn forget_copy(&self, handle: Handle) {
        if let Some(half) = &self.copies {
            half.lock().remove(&handle);
        }
    }

    /// Records that an allocation is written: its copies are not valid any more.
    pub(super) fn invalidate_copy(&self, handle: Handle) {
        if let Some(half) = &self.copies
            && let Some(copies) = half.lock().get_mut(&handle)
        {
            copies.valid.clear();
            copies.mask = None;
        }
    }

    /// Brings the numbers up to date where their copy is ahead of them.
    ///
    /// # Safety
    /// The handle is memory of this engine.
    pub(super) unsafe fn update_numbers(&self, handle: Handle) -> Result<()> {
        let Some(half) = &self.copies else { return Ok(()) };
        let found = half
            .lock()
            .get_mut(&handle)
            .map(|copies| (copies.start, std::mem::take(&mut copies.ahead)));
        match found {
            // SAFETY: the memory is this engine's, as the caller promises.
            Some((start, ahead)) if !ahead.is_empty() => unsafe {
                self.widen(half, handle, ahead, start)
            },
            _ => Ok(()),
        }
    }

    /// Where to read a span: the index of its allocation's element 0 in units of the copy's elements, if only the copy is valid; `None`
    /// if the numbers are, which are brought up to date if need be.
    ///
    /// # Safety
    /// The span describes memory of this engine.
    pub(super) unsafe fn copy_to_read(&self, span: Span) -> Result<Option<usize>> {
        let Some(half) = &self.copies else { return Ok(None) };
        let (start, ahead) = match half.lock().get(&span.handle) {
            Some(copies) => (copies.start, copies.ahead.clone()),
            None => return Ok(None),
        };
        let last = (span.rows - 1) * span.row_stride + (span.columns - 1) * span.column_stride;
        let range = span.offset..span.offset + last + 1;
        if contains(&ahead, &range) {
            return Ok(Some(start / HALF_BYTES));
        }
        if overlap(&range, &ahead) {
            // SAFETY: the memory is this engine's, as the caller promises.
            unsafe { self.update_numbers(span.handle)? };
        }
        Ok(None)
    }

    /// The index of an allocation's element 0 in units of its copy's elements; `None` without copies.
    pub(super) fn copy_start(&self, span: Span) -> Option<usize> {
        let start = self.copies.as_ref()?.lock().get(&span.handle)?.start;
        Some(start / HALF_BYTES)
    }

    /// Prepares z for being overwritten, and returns how it can be stored.
    ///
    /// # Safety
    /// The span describes memory of this engine.
    pub(super) unsafe fn prepare_store(&self, z: Span, store: Store) -> Result<Store> {
        let Some(half) = &self.copies else { return Ok(Store::Plain) };
        let ahead = match half.lock().get(&z.handle) {
            Some(copies) => copies.ahead.clone(),
            None => return Ok(Store::Plain),
        };
        let whole = contiguous_elements(z);
        let (store, rest) = match (&whole, store) {
            // The elements that only the copy holds must stay one range.
            (Some(range), Store::Copy) if ahead.is_empty() || adjoin(range, &ahead) => {
                (store, Some(ahead))
            }
            (Some(_), Store::Copy) => (store, None),
            (Some(range), _) => (store, subtract(ahead, range)),
            (None, _) => (Store::Plain, ahead.is_empty().then_some(ahead)),
        };
        match rest {
            Some(rest) => {
                if let Some(copies) = half.lock().get_mut(&z.handle) {
                    copies.ahead = rest;
                }
            }
            // SAFETY: the memory is this engine's, as the caller promises.
            None => unsafe { self.update_numbers(z.handle)? },
        }
        Ok(store)
    }

    /// Records that z was overwritten as [`Gpu::prepare_store`] said.
    pub(super) fn finish_store(&self, z: Span, store: Store) {
        if store != Store::Copy {
            self.invalidate_copy(z.handle);
        }
        let Some(half) = self.copies.as_ref().filter(|_| store != Store::Plain) else { return };
        if let (Some(copies), Some(range)) =
            (half.lock().get_mut(&z.handle), contiguous_elements(z))
        {
            copies.add(with_row_stride(z));
            copies.mask = None;
            if store == Store::Copy {
                copies.ahead = match copies.ahead.is_empty() {
                    true => range,
                    false => copies.ahead.start.min(range.start)..copies.ahead.end.max(range.end),
                };
            }
        }
    }

    /// Where the mask of a span is, if there is room for it: the span begins its allocation, and its columns have at least as many rows as
    /// the columns of a mask have bits.
    pub(super) fn mask_place(&self, span: Span) -> Option<Place> {
        let fits = span.offset == 0
            && span.rows >= MASK_COLUMN_BITS
            && contiguous_elements(span).is_some();
        let all = self.copies.as_ref().filter(|_| fits)?.lock();
        Some(Place { handle: span.handle, offset: all.get(&span.handle)?.mask_start })
    }

    /// The mask of a span, if it is valid.
    pub(super) fn valid_mask(&self, span: Span) -> Option<Place> {
        let is_made = self.copies.as_ref()?.lock().get(&span.handle)?.mask == Some(span);
        self.mask_place(span).filter(|_| is_made)
    }

    /// Records that the mask is that of a span.
    pub(super) fn set_mask(&self, span: Span) {
        if let Some(half) = &self.copies
            && let Some(copies) = half.lock().get_mut(&span.handle)
        {
            copies.mask = Some(span);
        }
    }

    /// The copy of a span with contiguous rows, made now if it is not valid.
    ///
    /// # Safety
    /// The span describes memory of this engine.
    pub(super) unsafe fn half_copy(&self, span: Span) -> Result<Place> {
        let missing = || Error::argument("half_copy", "the engine keeps no copies of this memory");
        let half = self.copies.as_ref().ok_or_else(missing)?;
        let span = with_row_stride(span);
        // SAFETY: the memory is this engine's, as the caller promises.
        let is_ahead = unsafe { self.copy_to_read(span)? }.is_some();
        let (start, is_valid) = match half.lock().get(&span.handle) {
            Some(copies) => (copies.start, is_ahead || copies.valid.contains(&span)),
            None => return Err(missing()),
        };
        if !is_valid {
            // SAFETY: the span is memory of this engine, as the caller promises; `allocate_with_copy` left room for the copy.
            unsafe { self.convert(half, span, start, "halve")? };
            if let Some(copies) = half.lock().get_mut(&span.handle) {
                copies.add(span);
            }
        }
        Ok(Place { handle: span.handle, offset: start + span.offset * HALF_BYTES })
    }

    /// Writes the numbers of a range of elements from their copy.
    ///
    /// # Safety
    /// As [`Gpu::convert`].
    unsafe fn widen(
        &self,
        half: &HalfCopies,
        handle: Handle,
        elements: Range<usize>,
        start: usize,
    ) -> Result<()> {
        let mut from = elements.start;
        while from < elements.end {
            let rows = (elements.end - from).min(MAX_COUNT);
            let span =
                Span { handle, offset: from, rows, columns: 1, row_stride: 1, column_stride: rows };
            // SAFETY: the memory is this engine's, as the caller promises.
            unsafe { self.convert(half, span, start, "widen")? };
            from += rows;
        }
        Ok(())
    }

    /// Converts between a span and its copy, which changes the value of neither.
    ///
    /// # Safety
    /// The span describes memory of this engine, behind which there is room for its copy.
    unsafe fn convert(
        &self,
        half: &HalfCopies,
        span: Span,
        start: usize,
        kernel: &'static str,
    ) -> Result<()> {
        let count = span.rows * span.columns;
        let whole = span.columns == 1 || span.column_stride == span.rows && count <= MAX_COUNT;
        let span = if whole {
            Span { rows: count, columns: 1, column_stride: count, ..span }
        } else {
            span
        };
        let items = self.items(256);
        let mut arguments = Arguments::new();
        arguments.push(self.int(span.rows)?);
        arguments.push(self.int(span.columns)?);
        arguments.push(Argument::Memory(span.handle));
        arguments.push(Argument::Index(span.offset as i64));
        arguments.push(Argument::Index(span.column_stride as i64));
        arguments.push(Argument::Memory(span.handle));
        arguments.push(Argument::Index((start / HALF_BYTES + span.offset) as i64));
        let options = [("F16", half.is_f16()), ("READ_HALVES", usize::from(kernel == "widen"))];
        let key = self.key(Text::Halve, kernel, 1, items).with(&options);
        // SAFETY: the memory is this engine's, as the caller promises.
        unsafe { self.enqueue(key, self.grid(span.rows, span.columns, items), items, &arguments) }
    }
}
