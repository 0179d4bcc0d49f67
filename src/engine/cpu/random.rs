//! Uniform random numbers: Philox on 16 counters at a time, which the compiler vectorizes for each instruction set.

use crate::engine::simd::{Isa, Vector, Vectors, isa_functions};
use crate::random::Philox;
use crate::scalar::{Family, Scalar};

/// Counters that are computed together.
const COUNTERS: usize = 16;

/// `(stream, from, (to, count))`: writes numbers `from .. from + count` of the stream to contiguous elements.
///
/// # Safety
/// `count` elements are writable from `to` on; the machine has the instruction set.
pub(super) type UniformLoop<T> = unsafe fn(&Philox, u64, (*mut T, usize));

/// The loop of an instruction set.
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
    for first in (0..count).step_by(COUNTERS) {
        let numbers = stream.uniforms::<COUNTERS>(from + first as u64);
        for (i, x) in numbers.into_iter().enumerate().take(count - first) {
            // SAFETY: `first + i < count`, and the caller promises that many writable elements.
            unsafe { *to.add(first + i) = V::T::from_f64(x) };
        }
    }
}
