//! Copies of matrices in 16 bits, from which libraries multiply faster.
//!
//! Every allocation has room for a copy of itself behind it. A copy is made when a product asks for it and holds until
//! something is written into the allocation: weights are copied once after an update.
//!
//! Activations and gradients of hidden layers are written into the copy alone, which then is ahead of the numbers themselves. Element
//! passes and sums of rows read it there; for everybody else the numbers are brought up to date first.

use std::collections::HashMap;
use std::ops::Range;

use super::driver::{Factors, MASK_STEP, Place};
use super::library::ALIGNED;
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
    /// What the copy holds, its rows side by side.
    fresh: Vec<Span>,
    /// Elements that the copy alone holds.
    ahead: Range<usize>,
    /// Bytes between the allocation and its mask.
    mask_start: usize,
    /// What the mask tells of.
    mask: Option<Span>,
}

/// How an element pass or a product stores its result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Store {
    /// As it is.
    Plain,
    /// And in 16 bits, too.
    Both,
    /// In 16 bits alone.
    Copy,
}

impl Halves {
    pub fn new(factors: Factors) -> Option<Self> {
        matches!(factors, Factors::Bf16 | Factors::F16)
            .then(|| Halves { factors, all: Mutex::default() })
    }

    /// The option of kernels.
    pub fn is_f16(&self) -> usize {
        usize::from(self.factors == Factors::F16)
    }

    fn all(&self) -> MutexGuard<'_, HashMap<Handle, Copies>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T: Scalar, D: Driver> Gpu<T, D> {
    /// Memory, with room for its copy if need be.
    pub(super) fn allocate_with_copy(&self, bytes: usize) -> Result<Handle> {
        let bytes = if self.traits().is_cpu { bytes.saturating_add(SLACK) } else { bytes.max(1) };
        let Some(halves) = &self.halves else { return self.driver.allocate(bytes) };
        let start = bytes.next_multiple_of(ALIGNED);
        let elements = bytes / size_of::<T>();
        let mask_start = start.saturating_add(elements * size_of::<u16>()).saturating_add(ALIGNED);
        let mask_start = mask_start / ALIGNED * ALIGNED;
        // Columns of at least as many bits as lie between two: no more than two bits an element.
        let handle = self.driver.allocate(mask_start.saturating_add(elements / 4))?;
        let fresh = Vec::with_capacity(KEPT);
        halves.all().insert(handle, Copies { start, fresh, ahead: 0..0, mask_start, mask: None });
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
            copies.mask = None;
        }
    }

    /// Brings the numbers themselves up to date where the copy is ahead of them.
    ///
    /// # Safety
    /// The handle is memory of this engine.
    pub(super) unsafe fn settle(&self, handle: Handle) -> Result<()> {
        let Some(halves) = &self.halves else { return Ok(()) };
        let found = halves
            .all()
            .get_mut(&handle)
            .map(|copies| (copies.start, std::mem::take(&mut copies.ahead)));
        match found {
            // SAFETY: the caller's promise.
            Some((start, ahead)) if !ahead.is_empty() => unsafe {
                self.widen(halves, handle, ahead, start)
            },
            _ => Ok(()),
        }
    }

    /// The place of element 0 in the copies, counted in their elements, if these numbers are to be read there; else the numbers
    /// themselves are up to date.
    ///
    /// # Safety
    /// The span describes memory of this engine.
    pub(super) unsafe fn copy_of(&self, span: Span) -> Result<Option<usize>> {
        let Some(halves) = &self.halves else { return Ok(None) };
        let (start, ahead) = match halves.all().get(&span.handle) {
            Some(copies) => (copies.start, copies.ahead.clone()),
            None => return Ok(None),
        };
        let last = (span.rows - 1) * span.row_stride + (span.columns - 1) * span.column_stride;
        let range = span.offset..span.offset + last + 1;
        if is_within(&range, &ahead) {
            return Ok(Some(start / size_of::<u16>()));
        }
        if overlap(&range, &ahead) {
            // SAFETY: the caller's promise.
            unsafe { self.settle(span.handle)? };
        }
        Ok(None)
    }

    /// The place of element 0 in the copies, counted in their elements, where there are copies.
    pub(super) fn start_of_copy(&self, span: Span) -> Option<usize> {
        let start = self.halves.as_ref()?.all().get(&span.handle)?.start;
        Some(start / size_of::<u16>())
    }

    /// Before all of z is written: how it can be stored.
    ///
    /// # Safety
    /// The span describes memory of this engine.
    pub(super) unsafe fn prepare(&self, z: Span, store: Store) -> Result<Store> {
        let Some(halves) = &self.halves else { return Ok(Store::Plain) };
        let ahead = match halves.all().get(&z.handle) {
            Some(copies) => copies.ahead.clone(),
            None => return Ok(Store::Plain),
        };
        let whole = elements_of(z);
        let (store, rest) = match (&whole, store) {
            // The copy gets further ahead, if that is one range.
            (Some(range), Store::Copy) if ahead.is_empty() || touch(range, &ahead) => {
                (store, Some(ahead))
            }
            (Some(_), Store::Copy) => (store, None),
            (Some(range), _) => (store, without(ahead, range)),
            (None, _) => (Store::Plain, ahead.is_empty().then_some(ahead)),
        };
        match rest {
            Some(rest) => {
                if let Some(copies) = halves.all().get_mut(&z.handle) {
                    copies.ahead = rest;
                }
            }
            // SAFETY: the caller's promise.
            None => unsafe { self.settle(z.handle)? },
        }
        Ok(store)
    }

    /// After all of z was written as [`Gpu::prepare`] said.
    pub(super) fn stored(&self, z: Span, store: Store) {
        if store != Store::Copy {
            self.touch(z.handle);
        }
        let Some(halves) = self.halves.as_ref().filter(|_| store != Store::Plain) else { return };
        if let (Some(copies), Some(range)) = (halves.all().get_mut(&z.handle), elements_of(z)) {
            copies.keep(as_column(z));
            copies.mask = None;
            if store == Store::Copy {
                copies.ahead = match copies.ahead.is_empty() {
                    true => range,
                    false => copies.ahead.start.min(range.start)..copies.ahead.end.max(range.end),
                };
            }
        }
    }

    /// Where a mask of these numbers goes, if there is room for it: they begin the allocation, and columns are long enough.
    pub(super) fn place_of_mask(&self, span: Span) -> Option<Place> {
        let fits = span.offset == 0 && span.rows >= MASK_STEP && elements_of(span).is_some();
        let all = self.halves.as_ref().filter(|_| fits)?.all();
        Some(Place { handle: span.handle, offset: all.get(&span.handle)?.mask_start })
    }

    /// The mask that was made with these very numbers.
    pub(super) fn mask_of(&self, span: Span) -> Option<Place> {
        let is_made = self.halves.as_ref()?.all().get(&span.handle)?.mask == Some(span);
        self.place_of_mask(span).filter(|_| is_made)
    }

    /// Says that the mask was made with these numbers.
    pub(super) fn masked(&self, span: Span) {
        if let Some(halves) = &self.halves
            && let Some(copies) = halves.all().get_mut(&span.handle)
        {
            copies.mask = Some(span);
        }
    }

    /// The copy of columns whose rows lie side by side.
    ///
    /// # Safety
    /// The span describes memory of this engine.
    pub(super) unsafe fn halved(&self, span: Span) -> Result<Place> {
        let missing = || Error::argument("halve", "the engine keeps no copies of this memory");
        let halves = self.halves.as_ref().ok_or_else(missing)?;
        // A row's stride says nothing where there is only one.
        let span = as_column(span);
        // SAFETY: the caller's promise.
        let is_ahead = unsafe { self.copy_of(span)? }.is_some();
        let (start, is_fresh) = match halves.all().get(&span.handle) {
            Some(copies) => (copies.start, is_ahead || copies.fresh.contains(&span)),
            None => return Err(missing()),
        };
        if !is_fresh {
            // SAFETY: the caller's promise; the allocation has room for the copy.
            unsafe { self.halve(halves, span, start)? };
            if let Some(copies) = halves.all().get_mut(&span.handle) {
                copies.keep(span);
            }
        }
        Ok(Place { handle: span.handle, offset: start + span.offset * size_of::<u16>() })
    }

    unsafe fn halve(&self, halves: &Halves, span: Span, start: usize) -> Result<()> {
        // SAFETY: the caller's promise.
        unsafe { self.convert(halves, span, start, "halve") }
    }

    unsafe fn widen(
        &self,
        halves: &Halves,
        handle: Handle,
        elements: Range<usize>,
        start: usize,
    ) -> Result<()> {
        let mut from = elements.start;
        while from < elements.end {
            let rows = (elements.end - from).min(MOST_COUNT);
            let span =
                Span { handle, offset: from, rows, columns: 1, row_stride: 1, column_stride: rows };
            // SAFETY: the caller's promise.
            unsafe { self.convert(halves, span, start, "widen")? };
            from += rows;
        }
        Ok(())
    }

    /// Between columns and their copy, which does not change what either holds.
    unsafe fn convert(
        &self,
        halves: &Halves,
        span: Span,
        start: usize,
        kernel: &'static str,
    ) -> Result<()> {
        let count = span.rows * span.columns;
        let whole = span.columns == 1 || span.column_stride == span.rows && count <= MOST_COUNT;
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
        arguments.push(Argument::Index((start / size_of::<u16>() + span.offset) as i64));
        let options = [("F16", halves.is_f16()), ("READ_HALVES", usize::from(kernel == "widen"))];
        let key = self.key(Text::Halve, kernel, 1, items).with(&options);
        // SAFETY: the caller's promise.
        unsafe { self.enqueue(key, self.grid(span.rows, span.columns, items), items, &arguments) }
    }
}

impl Copies {
    /// Copies may overlap: what they share is the same numbers in the same place.
    fn keep(&mut self, span: Span) {
        if self.fresh.contains(&span) {
            return;
        }
        if self.fresh.len() == KEPT {
            self.fresh.remove(0);
        }
        self.fresh.push(span);
    }
}

fn as_column(span: Span) -> Span {
    if span.rows == 1 { Span { row_stride: 1, ..span } } else { span }
}

/// The elements of a matrix without gaps, its rows side by side; `None` for others.
fn elements_of(span: Span) -> Option<Range<usize>> {
    let is_column = span.row_stride == 1 || span.rows == 1;
    let whole = is_column && (span.columns == 1 || span.column_stride == span.rows);
    whole.then(|| span.offset..span.offset + span.rows * span.columns)
}

fn is_within(range: &Range<usize>, all: &Range<usize>) -> bool {
    all.start <= range.start && range.end <= all.end
}

fn overlap(one: &Range<usize>, other: &Range<usize>) -> bool {
    one.start < other.end && other.start < one.end
}

/// Whether both together are one range.
fn touch(one: &Range<usize>, other: &Range<usize>) -> bool {
    one.start <= other.end && other.start <= one.end
}

/// A range without what another takes away at its front or its end; `None` where two would be left.
fn without(range: Range<usize>, taken: &Range<usize>) -> Option<Range<usize>> {
    if !overlap(&range, taken) {
        return Some(range);
    }
    match (taken.start <= range.start, range.end <= taken.end) {
        (true, true) => Some(0..0),
        (true, false) => Some(taken.end..range.end),
        (false, true) => Some(range.start..taken.start),
        (false, false) => None,
    }
}
