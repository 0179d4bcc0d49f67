//! Uniform random numbers and dropout: Philox on several counters at a time, which the compiler vectorizes for each instruction set.

use super::cpu_engine::CpuEngine;
use super::pointers::at_mut;
use crate::engine::call::DropOut;
use crate::engine::interface::Engine;
use crate::engine::memory::Span;
use crate::engine::simd::{Isa, Vector, Vectors, isa_functions};
use crate::error::Result;
use crate::random::Philox;
use crate::scalar::{Family, Scalar};

/// Counters that are computed together.
const COUNTERS: usize = 8;
/// Elements of simple arithmetic that take as long as a random number.
const ELEMENTS_PER_NUMBER: usize = 4;
/// Elements of a contiguous matrix in one part, which stays in the L1 cache.
const PART_ELEMENTS: usize = 1024;

/// `(stream, from, (to, count))`: writes numbers `from .. from + count` of [`Philox::uniform_f32`] to contiguous elements.
///
/// # Safety
/// `count` elements are writable from `to` on; the machine has the instruction set.
type UniformLoop<T> = unsafe fn(&Philox, u64, (*mut T, usize));

/// The loop of an instruction set.
fn uniform<T: Scalar>(isa: Isa) -> UniformLoop<T> {
    struct Loops;
    impl Family for Loops {
        type Of<T: Scalar> = UniformLoop<T>;
    }
    fn of<T: Vectors>(isa: Isa) -> UniformLoop<T> {
        [numbers_portable::<T>, numbers_neon::<T>, numbers_avx2::<T>, numbers_avx512::<T>]
            [isa as usize]
    }
    T::pick::<Loops>(of(isa), of(isa))
}

isa_functions!(numbers_portable numbers_neon numbers_avx2 numbers_avx512 = numbers [] []
    (stream: &Philox, from: u64, to: (*mut T, usize)));

#[inline(always)]
unsafe fn numbers<V: Vector>(stream: &Philox, from: u64, (to, count): (*mut V::T, usize)) {
    const NUMBERS: usize = 4 * COUNTERS;
    // Numbers of the first counter in front of the first element.
    let ahead = (from % 4) as usize;
    for first in (0..ahead + count).step_by(NUMBERS) {
        let numbers = stream.uniforms_f32::<COUNTERS>(from / 4 + first as u64 / 4);
        let numbers: [[V::T; 4]; COUNTERS] =
            numbers.map(|four| four.map(|x| V::T::from_f64(x.into())));
        let skipped = ahead.saturating_sub(first);
        let end = NUMBERS.min(ahead + count - first);
        let (place, numbers) = (first + skipped - ahead, &numbers.as_flattened()[skipped..end]);
        // SAFETY: `place + numbers.len() <= count`, and the caller promises that many writable elements.
        unsafe { std::ptr::copy_nonoverlapping(numbers.as_ptr(), to.add(place), numbers.len()) }
    }
}

#[allow(
    clippy::undocumented_unsafe_blocks,
    reason = "all unsafe functions here have the contract of `Engine`: shapes agree and memory is borrowed for the call"
)]
impl<T: Scalar> CpuEngine<T> {
    /// # Safety
    /// As [`crate::engine::Engine`].
    pub(super) unsafe fn write_uniform(&self, stream: &Philox, to: Span) {
        let elements = to.rows * to.columns;
        if to.row_stride == 1 {
            let numbers = uniform::<T>(self.isa);
            self.for_work(elements * ELEMENTS_PER_NUMBER, to.columns, &|j| unsafe {
                numbers(stream, (j * to.rows) as u64, (at_mut(to, j), to.rows));
            });
            return;
        }
        for index in 0..elements {
            let (i, j) = (index % to.rows, index / to.rows);
            let unit = f64::from(stream.uniform_f32(index as u64));
            unsafe { *at_mut::<T>(to, j).add(i * to.row_stride) = T::from_f64(unit) };
        }
    }

    /// Draws and drops a part of contiguous matrices at a time, so that draws are in the L1 cache when they are used.
    ///
    /// # Safety
    /// As [`crate::engine::Engine`].
    pub(super) unsafe fn draw_and_drop(&self, stream: &Philox, call: &DropOut) -> Result<()> {
        let DropOut { keep, p, x, draws, y } = *call;
        let is_contiguous = |span: &Span| span.row_stride == 1 && span.column_stride == span.rows;
        if ![x, draws, y].iter().all(is_contiguous) {
            unsafe {
                self.write_uniform(stream, draws);
                return self.zip(keep, p, x, draws, y);
            }
        }
        let (numbers, keep) = (uniform::<T>(self.isa), keep.host::<T>(self.isa));
        let (p, elements) = (p.map(T::from_f64), y.rows * y.columns);
        let work = elements * ELEMENTS_PER_NUMBER;
        self.for_work(work, elements.div_ceil(PART_ELEMENTS), &|part| unsafe {
            let first = part * PART_ELEMENTS;
            let n = PART_ELEMENTS.min(elements - first);
            let [x, draws, y] = [x, draws, y].map(|span| at_mut::<T>(span, 0).wrapping_add(first));
            numbers(stream, first as u64, (draws, n));
            keep(n, &p, x, draws, y);
        });
        Ok(())
    }
}
