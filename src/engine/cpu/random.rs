//! Uniform random numbers: Philox on as many counters at a time as vectors have lanes.

use super::vector::{Isa, Vector, Vectors, isa_functions};
use crate::random::Philox;
use crate::scalar::{Family, Scalar};

/// Counters that are computed together.
const LANES: usize = 16;

/// Writes numbers `from ..` of the stream, as many as `to` is long, side by side.
///
/// # Safety
/// `to.1` elements may be written from `to.0` on; the machine has the instruction set.
pub(super) type UniformLoop<T> = unsafe fn(&Philox, u64, (*mut T, usize));

/// The loop of one instruction set.
pub(super) fn uniform<T: Scalar>(isa: Isa) -> UniformLoop<T> {
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
    for first in (0..count).step_by(LANES) {
        let numbers = stream.uniforms::<LANES>(from + first as u64);
        for (i, x) in numbers.into_iter().enumerate().take(count - first) {
            // SAFETY: the caller's promise.
            unsafe { *to.add(first + i) = V::T::from_f64(x) };
        }
    }
}
