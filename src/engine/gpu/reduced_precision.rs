//! Bookkeeping of 16-bit copies of matrices, from which a library multiplies faster; `convert.rs` makes the copies.
//!
//! Every allocation has room for a copy of itself behind it, in which each element has the place of its index, and behind that for a mask
//! of one bit an element. A copy is made when a product needs it, and stays valid until something is written into the allocation; so
//! weights are copied once an update.
//!
//! Activations and gradients of hidden layers are written into the copy alone. The copy is then ahead of the numbers. Element-wise kernels and
//! sums of rows read the copy; before all other reads the numbers are brought up to date, so that no other kernel has to deal with
//! copies.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::driver::Factors;
use crate::engine::{Handle, Span};

/// Spans of one allocation whose copies are kept valid: a batch, and parts of it.
pub(super) const MAX_VALID: usize = 4;
/// Bytes of an element of a copy.
pub(super) const HALF_BYTES: usize = size_of::<u16>();

/// The copies of all allocations of an engine.
pub(super) struct HalfCopies {
    factors: Factors,
    all: Mutex<HashMap<Handle, Copies>>,
}

/// The copies of one allocation.
pub(super) struct Copies {
    /// Bytes from the allocation's begin to the copy of its first element.
    pub start: usize,
    /// The spans that the copy holds, with contiguous rows. Spans may overlap: they share the same numbers in the same places.
    pub valid: Vec<Span>,
    /// Elements that only the copy holds.
    pub ahead: Range<usize>,
    /// Bytes from the allocation's begin to its mask.
    pub mask_start: usize,
    /// The span whose mask is valid.
    pub mask: Option<Span>,
}

/// How a kernel or a library stores a result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Store {
    /// The numbers.
    Plain,
    /// The numbers and their 16-bit copy.
    Both,
    /// The 16-bit copy alone.
    Copy,
}

impl HalfCopies {
    pub fn new(factors: Factors) -> Option<Self> {
        matches!(factors, Factors::Bf16 | Factors::F16)
            .then(|| HalfCopies { factors, all: Mutex::default() })
    }

    /// The option `F16` of kernels; 0 is bfloat16.
    pub fn is_f16(&self) -> usize {
        usize::from(self.factors == Factors::F16)
    }

    pub fn lock(&self) -> MutexGuard<'_, HashMap<Handle, Copies>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Copies {
    /// Records that the copy holds a span.
    pub fn add(&mut self, span: Span) {
        if self.valid.contains(&span) {
            return;
        }
        if self.valid.len() == MAX_VALID {
            self.valid.remove(0);
        }
        self.valid.push(span);
    }
}

/// A single row as a row of contiguous elements: a stride between rows has no meaning there.
pub(super) fn with_row_stride(span: Span) -> Span {
    if span.rows == 1 { Span { row_stride: 1, ..span } } else { span }
}

/// The elements of a column-major matrix without gaps; `None` for others.
pub(super) fn contiguous_elements(span: Span) -> Option<Range<usize>> {
    let has_contiguous_rows = span.row_stride == 1 || span.rows == 1;
    let whole = has_contiguous_rows && (span.columns == 1 || span.column_stride == span.rows);
    whole.then(|| span.offset..span.offset + span.rows * span.columns)
}

pub(super) fn contains(all: &Range<usize>, range: &Range<usize>) -> bool {
    all.start <= range.start && range.end <= all.end
}

pub(super) fn overlap(one: &Range<usize>, other: &Range<usize>) -> bool {
    one.start < other.end && other.start < one.end
}

/// Whether the union of both is one range.
pub(super) fn adjoin(one: &Range<usize>, other: &Range<usize>) -> bool {
    one.start <= other.end && other.start <= one.end
}

/// The elements of `range` that are not in `taken`; `None` if they are not one range.
pub(super) fn subtract(range: Range<usize>, taken: &Range<usize>) -> Option<Range<usize>> {
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
