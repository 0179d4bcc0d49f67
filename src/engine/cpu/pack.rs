//! Copies of a matrix in the order in which the tiles read it.

use super::memory::LINE;
use super::vector::{Isa, Vector, Vectors, isa_functions};
use crate::scalar::{Family, Scalar};

/// Lines of the matrix that are asked for beforehand.
const AHEAD: usize = 16;
/// Lanes of the longest vector.
const MOST_LANES: usize = 16;

/// A copy: `width x length` elements with strides `(across, along)` come to lie so that `width` of them lie side by side,
/// followed by zeros up to `step`.
pub(super) struct Panel<T> {
    pub from: *const T,
    /// From an element to the next across the width.
    pub across: usize,
    /// From an element to the next along the length.
    pub along: usize,
    pub width: usize,
    pub length: usize,
    pub to: *mut T,
    pub step: usize,
}

/// # Safety
/// The copy describes memory that may be read and `length * step` elements that may be written; `width <= step`; the
/// machine has the instruction set.
pub(super) type Pack<T> = unsafe fn(&Panel<T>);

/// The loop of one instruction set.
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
    // SAFETY: the caller's promise.
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
    // Lines that are read and written in whole vectors: what one has too much lies within the next.
    let margin = if step.is_multiple_of(V::LANES) { 0 } else { V::LANES.div_ceil(step) };
    let free =
        if width == step && along >= V::LANES { panel.length.saturating_sub(margin) } else { 0 };
    let (mut from, mut to) = (panel.from, panel.to);
    for _ in 0..free {
        // No hardware prefetcher foresees lines far apart.
        for w in (0..=step).step_by(LINE / size_of::<V::T>()) {
            V::prefetch(from.wrapping_add(AHEAD * along + w));
        }
        for w in (0..step).step_by(V::LANES) {
            // SAFETY: the caller's promise; what lies beyond the width is followed by other lines.
            unsafe { V::load(from.add(w)).store(to.add(w)) }
        }
        from = from.wrapping_add(along);
        to = to.wrapping_add(step);
    }
    for l in free..panel.length {
        for w in (0..step).step_by(V::LANES) {
            let from = panel.from.wrapping_add(w + l * along);
            // SAFETY: no more is read than the width has.
            unsafe { store(panel, load::<V>(from, width.saturating_sub(w)), w, l) }
        }
    }
}

/// Squares of as many elements as a vector has lanes, transposed in registers.
#[inline(always)]
unsafe fn transposed<V: Vector>(panel: &Panel<V::T>) {
    // From the last on, so that what one writes beyond the step is overwritten by the next.
    for w in (0..panel.step).step_by(V::LANES).rev() {
        for l in (0..panel.length).step_by(V::LANES) {
            let (rows, steps) =
                (V::LANES.min(panel.width.saturating_sub(w)), V::LANES.min(panel.length - l));
            // SAFETY: the rows are within the width, the steps within the length.
            unsafe {
                if rows == V::LANES && steps == V::LANES {
                    // The same with constants, so that the compiler keeps the square in registers.
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
    let mut square = [V::of(0.0); MOST_LANES];
    for (i, row) in square.iter_mut().enumerate().take(rows) {
        // SAFETY: the caller's promise.
        *row = unsafe { load(panel.from.add((w + i) * panel.across + l), steps) };
    }
    for (i, row) in transpose(square).into_iter().enumerate().take(steps) {
        // SAFETY: the caller's promise.
        unsafe { store(panel, row, w, l + i) }
    }
}

/// Each round interleaves the upper half of the rows with the lower half, which rotates the bits of (row, lane) by one;
/// when half of the bits are round, rows have become lanes.
#[inline(always)]
fn transpose<V: Vector>(mut rows: [V; MOST_LANES]) -> [V; MOST_LANES] {
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
    // SAFETY: the caller's promise.
    unsafe { if n >= V::LANES { V::load(p) } else { V::load_partial(p, n) } }
}

/// Stores whole vectors: what goes beyond the step is overwritten by what comes next, so that only the end needs care.
#[inline(always)]
unsafe fn store<V: Vector>(panel: &Panel<V::T>, x: V, w: usize, l: usize) {
    let start = l * panel.step + w;
    let room = panel.length * panel.step - start;
    // SAFETY: the caller promises room for `length * step` elements.
    unsafe {
        let to = panel.to.add(start);
        if room >= V::LANES { x.store(to) } else { x.store_partial(to, room) }
    }
}

unsafe fn one_by_one<T: Scalar>(panel: &Panel<T>) {
    for l in 0..panel.length {
        for w in 0..panel.step {
            // SAFETY: the caller's promise.
            unsafe {
                let from = panel.from.wrapping_add(w * panel.across + l * panel.along);
                *panel.to.add(l * panel.step + w) =
                    if w < panel.width { *from } else { T::default() };
            }
        }
    }
}
