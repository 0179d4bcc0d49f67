//! The peak of the machine's multiply-add units: chains of multiply-adds in registers, without memory.

use std::hint::black_box;
use std::time::Instant;

use super::pool::Pool;
use crate::engine::simd::{Isa, Vector, Vectors, isa_functions};
use crate::scalar::{Family, Scalar};

/// Independent chains: enough to hide the latency of two units, and few enough for the registers.
const CHAINS: usize = 12;
/// Multiply-adds in each chain, which take a few milliseconds.
const MULTIPLY_ADDS: usize = 2_000_000;

/// `(n)`: n multiply-adds in each chain.
type Chains<T> = unsafe fn(usize) -> T;

struct Table;

impl Family for Table {
    type Of<T: Scalar> = (Chains<T>, usize);
}

fn chains_of<T: Vectors>(isa: Isa) -> (Chains<T>, usize) {
    match isa {
        #[cfg(target_arch = "aarch64")]
        Isa::Neon => (chains_neon::<T>, T::Neon::LANES),
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2 => (chains_avx2::<T>, T::Avx2::LANES),
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512 => (chains_avx512::<T>, T::Avx512::LANES),
        _ => (chains_portable::<T>, T::Portable::LANES),
    }
}

isa_functions!(chains_portable chains_neon chains_avx2 chains_avx512 = chains [] [] (n: usize) -> T);

#[inline(always)]
unsafe fn chains<V: Vector>(n: usize) -> V::T {
    let (a, b) = (V::of(black_box(0.999)), V::of(black_box(1e-3)));
    let mut chains = [V::of(1.0); CHAINS];
    for _ in 0..n {
        for x in &mut chains {
            *x = x.mul_add(a, b);
        }
    }
    let sum = chains.into_iter().fold(V::of(0.0), |sum, x| sum + x);
    let mut lanes = [V::T::default(); 16];
    // SAFETY: no vector has more than 16 lanes.
    unsafe { sum.store(lanes.as_mut_ptr()) };
    lanes[0]
}

/// Floating-point operations a second on all threads of the pool, the best of five runs.
pub(super) fn flops<T: Scalar>(isa: Isa, pool: &mut Pool) -> f64 {
    let (chains, lanes) = T::pick::<Table>(chains_of(isa), chains_of(isa));
    let threads = pool.threads();
    let work = (2 * threads * MULTIPLY_ADDS * CHAINS * lanes) as f64;
    let run = |pool: &mut Pool| {
        let start = Instant::now();
        pool.run(threads, &|_, _| {
            // SAFETY: an engine is only opened for an instruction set of the machine.
            black_box(unsafe { chains(MULTIPLY_ADDS) });
        });
        work / start.elapsed().as_secs_f64()
    };
    (0..5).map(|_| run(pool)).fold(0.0, f64::max)
}
