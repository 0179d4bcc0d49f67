//! Packing: copies of a matrix in the order in which the tiles read it.
//!
//! # Method
//!
//! * Elements that are contiguous across the width are copied in whole vectors ([`straight`]).
//! * Elements that are contiguous along the length are transposed in squares of a vector's width, in registers ([`transposed`]).
//! * All others are copied one by one.

use crate::engine::cpu::memory::LINE_BYTES;
use crate::engine::simd::{Isa, Vector, Vectors, isa_functions};
use crate::scalar::{Family, Scalar};

/// Lines of the source that are prefetched ahead.
const PREFETCH_LINES: usize = 16;
/// Lanes of the longest vector of any instruction set.
const MAX_LANES: usize = 16;

/// A copy of `width x length` elements with strides `(across, along)`: in the copy, the `width` elements of each line are contiguous and padded with
/// zeros to `step`.
pub(super) struct Panel<T> {
    pub from: *const T,
    /// Stride across the width, in elements.
    pub across: usize,
    /// Stride along the length, in elements.
    pub along: usize,
    pub width: usize,
    pub length: usize,
    pub to: *mut T,
    pub step: usize,
}

/// # Safety
/// `width x length` elements are readable at these strides and `length * step` elements are writable; `width <= step`; the
/// machine has the instruction set.
pub(super) type Pack<T> = unsafe fn(&Panel<T>);

/// The packing loop of an instruction set.
pub(super) fn pack<T: Scalar>(isa: Isa) -> Pack<T> {
    struct Packs;
    impl Family for Packs {
        type Of<T: Scalar> = Pack<T>;
    }
    fn of<T: Vectors>(isa: Isa) -> Pack<T> {
        [copy_portable::<T>, copy_neon::<T>, copy_avx2::<T>, copy_avx512::<T>][isa as usize]
    }
    T::pick::<Packs>(of(isa), of(isa))
}

isa_functions!(copy_portable copy_neon copy_avx2 copy_avx512 = copy [] [] (panel: &Panel<T>));

#[inline(always)]
unsafe fn copy<V: Vector>(panel: &Panel<V::T>) {
    // SAFETY: the caller's promise, see `Pack`.
    unsafe {
        match panel {
            Panel { across: 1, .. } => straight::<V>(panel),
            Panel { along: 1, .. } => transposed::<V>(panel),
            _ => one_by_one(panel),
        }
    }
}

#[inline(always)]
unsafe fn straight<V: Vector>(panel: &Panel<V::T>) {
    let Panel { width, step, along, .. } = *panel;
    // Lines that are copied in whole vectors: the elements that a vector copies beyond its line are overwritten by the next line.
    let margin = if step.is_multiple_of(V::LANES) { 0 } else { V::LANES.div_ceil(step) };
    let free =
        if width == step && along >= V::LANES { panel.length.saturating_sub(margin) } else { 0 };
    let (mut from, mut to) = (panel.from, panel.to);
    for _ in 0..free {
        // No hardware prefetcher foresees lines that are far apart.
        for w in (0..=step).step_by(LINE_BYTES / size_of::<V::T>()) {
            V::prefetch(from.wrapping_add(PREFETCH_LINES * along + w));
        }
        for w in (0..step).step_by(V::LANES) {
            // SAFETY: at least `margin` lines follow, so the vector ends within the source and the copy.
            unsafe { V::load(from.add(w)).store(to.add(w)) }
        }
        from = from.wrapping_add(along);
        to = to.wrapping_add(step);
    }
    for l in free..panel.length {
        for w in (0..step).step_by(V::LANES) {
            let from = panel.from.wrapping_add(w + l * along);
            // SAFETY: at most `width - w` elements are read.
            unsafe { store(panel, load::<V>(from, width.saturating_sub(w)), w, l) }
        }
    }
}

/// Transposes squares of `LANES x LANES` elements in registers.
#[inline(always)]
unsafe fn transposed<V: Vector>(panel: &Panel<V::T>) {
    // From the last square to the first: elements that one writes beyond the step are overwritten by the next.
    for w in (0..panel.step).step_by(V::LANES).rev() {
        for l in (0..panel.length).step_by(V::LANES) {
            let (rows, steps) =
                (V::LANES.min(panel.width.saturating_sub(w)), V::LANES.min(panel.length - l));
            // SAFETY: the rows are within the width, the steps within the length.
            unsafe {
                if rows == V::LANES && steps == V::LANES {
                    // With constants, so that the compiler keeps the square in registers.
                    square::<V>(panel, (w, V::LANES), (l, V::LANES));
                } else {
                    square::<V>(panel, (w, rows), (l, steps));
                }
            }
        }
    }
}

#[inline(always)]
unsafe fn square<V: Vector>(
    panel: &Panel<V::T>,
    (w, rows): (usize, usize),
    (l, steps): (usize, usize),
) {
    let mut square = [V::of(0.0); MAX_LANES];
    for (i, row) in square.iter_mut().enumerate().take(rows) {
        // SAFETY: `rows` are within the width and `steps` within the length.
        *row = unsafe { load(panel.from.add((w + i) * panel.across + l), steps) };
    }
    for (i, row) in transpose(square).into_iter().enumerate().take(steps) {
        // SAFETY: line `l + i` is within the length.
        unsafe { store(panel, row, w, l + i) }
    }
}

/// Each round interleaves the first half of the rows with the second, which rotates the bits of the index (row, lane) by one. When half of the
/// bits have been rotated, rows have become lanes.
#[inline(always)]
fn transpose<V: Vector>(mut rows: [V; MAX_LANES]) -> [V; MAX_LANES] {
    let half = V::LANES / 2;
    for _ in 0..V::LANES.ilog2() {
        let old = rows;
        for i in 0..half {
            (rows[2 * i], rows[2 * i + 1]) = old[i].interleave(old[i + half]);
        }
    }
    rows
}

#[inline(always)]
unsafe fn load<V: Vector>(p: *const V::T, n: usize) -> V {
    // SAFETY: the caller promises n readable elements.
    unsafe { if n >= V::LANES { V::load(p) } else { V::load_partial(p, n) } }
}

/// Stores whole vectors wherever the copy has room: elements beyond the step are overwritten by the next store.
#[inline(always)]
unsafe fn store<V: Vector>(panel: &Panel<V::T>, x: V, w: usize, l: usize) {
    let start = l * panel.step + w;
    let room = panel.length * panel.step - start;
    // SAFETY: the caller promises `length * step` writable elements, and `room` of them follow.
    unsafe {
        let to = panel.to.add(start);
        if room >= V::LANES { x.store(to) } else { x.store_partial(to, room) }
    }
}

unsafe fn one_by_one<T: Scalar>(panel: &Panel<T>) {
    for l in 0..panel.length {
        for w in 0..panel.step {
            // SAFETY: the element is read only if it is within the width; the copy has `length * step` elements.
            unsafe {
                let from = panel.from.wrapping_add(w * panel.across + l * panel.along);
                *panel.to.add(l * panel.step + w) =
                    if w < panel.width { *from } else { T::default() };
            }
        }
    }
}
