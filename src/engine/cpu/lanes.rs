//! Vectors over n contiguous elements, the last of them partial.

use crate::engine::simd::Vector;
use crate::scalar::Scalar;

/// Lanes of the longest vector of any instruction set.
pub(super) const MAX_LANES: usize = 16;

/// Calls `f(first, count)` for every vector of n elements; the last may be partial.
#[inline(always)]
pub(super) fn each<V: Vector>(n: usize, mut f: impl FnMut(usize, usize)) {
    for i in (0..n).step_by(V::LANES) {
        f(i, V::LANES.min(n - i));
    }
}

/// # Safety
/// `n <= LANES` elements are readable.
#[inline(always)]
pub(super) unsafe fn load<V: Vector>(p: *const V::T, n: usize) -> V {
    // SAFETY: the caller's promise.
    unsafe { if n == V::LANES { V::load(p) } else { V::load_partial(p, n) } }
}

/// # Safety
/// `n <= LANES` elements are writable.
#[inline(always)]
pub(super) unsafe fn store<V: Vector>(x: V, p: *mut V::T, n: usize) {
    // SAFETY: the caller's promise.
    unsafe { if n == V::LANES { x.store(p) } else { x.store_partial(p, n) } }
}

/// The first n lanes, folded from first to last.
#[inline(always)]
pub(super) fn fold<V: Vector>(x: V, n: usize, first: f64, f: impl Fn(f64, f64) -> f64) -> f64 {
    let mut lanes = [V::T::from_f64(0.0); MAX_LANES];
    // SAFETY: no vector has more than `MAX_LANES` lanes.
    unsafe { x.store(lanes.as_mut_ptr()) };
    lanes[..n.min(V::LANES)].iter().fold(first, |sum, x| f(sum, x.to_f64()))
}
