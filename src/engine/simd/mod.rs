//! One vector type for each instruction set and scalar, behind the trait [`Vector`], and mathematics on vectors.
//!
//! Kernels and formulas are written once, generic over `V: Vector`, and compiled for every instruction set by functions with
//! `#[target_feature]`, which [`isa_functions`] writes. Everything below them is `inline(always)`: an intrinsic is one
//! instruction only in a function that is compiled for its instruction set.

mod isa;
pub(crate) mod math;
#[cfg(target_arch = "aarch64")]
mod neon;
mod portable;
mod vector;
#[cfg(target_arch = "x86_64")]
mod x86;

use portable::{Portable32, Portable64};

use crate::scalar::Scalar;

pub(crate) use isa::Isa;
pub(crate) use vector::Vector;

/// The vector types of a scalar, one for each instruction set that the target may have.
pub(crate) trait Vectors: Scalar {
    type Portable: Vector<T = Self>;
    #[cfg(target_arch = "aarch64")]
    type Neon: Vector<T = Self>;
    #[cfg(target_arch = "x86_64")]
    type Avx2: Vector<T = Self>;
    #[cfg(target_arch = "x86_64")]
    type Avx512: Vector<T = Self>;
}

impl Vectors for f32 {
    type Portable = Portable32;
    #[cfg(target_arch = "aarch64")]
    type Neon = neon::F32x8;
    #[cfg(target_arch = "x86_64")]
    type Avx2 = x86::F32x8;
    #[cfg(target_arch = "x86_64")]
    type Avx512 = x86::F32x16;
}

impl Vectors for f64 {
    type Portable = Portable64;
    #[cfg(target_arch = "aarch64")]
    type Neon = neon::F64x4;
    #[cfg(target_arch = "x86_64")]
    type Avx2 = x86::F64x4;
    #[cfg(target_arch = "x86_64")]
    type Avx512 = x86::F64x8;
}

/// Compiles a function that is generic over the vector type for every instruction set of the target. On a target without an instruction set its
/// name stands for the portable function.
///
/// # Safety
/// The functions are `unsafe`: their callers promise what the generic function demands, and that the machine has the instruction set.
macro_rules! isa_functions {
    ($portable:ident $neon:ident $avx2:ident $avx512:ident = $body:ident [$($f:ident: $bound:ident)?]
        [$($k:ident: $kt:ty),*] ($($argument:ident: $type:ty),*) $(-> $result:ty)?) => {
        pub(crate) unsafe fn $portable<T: Vectors, $($f: $bound,)? $(const $k: $kt),*>(
            $($argument: $type),*
        ) $(-> $result)? {
            // SAFETY: the caller promises what the generic function demands.
            unsafe { $body::<T::Portable, $($f,)? $($k),*>($($argument),*) }
        }
        #[cfg(target_arch = "aarch64")]
        #[target_feature(enable = "neon")]
        pub(crate) unsafe fn $neon<T: Vectors, $($f: $bound,)? $(const $k: $kt),*>(
            $($argument: $type),*
        ) $(-> $result)? {
            // SAFETY: the caller promises what the generic function demands.
            unsafe { $body::<T::Neon, $($f,)? $($k),*>($($argument),*) }
        }
        #[cfg(target_arch = "x86_64")]
        #[target_feature(enable = "avx2,fma")]
        pub(crate) unsafe fn $avx2<T: Vectors, $($f: $bound,)? $(const $k: $kt),*>(
            $($argument: $type),*
        ) $(-> $result)? {
            // SAFETY: the caller promises what the generic function demands.
            unsafe { $body::<T::Avx2, $($f,)? $($k),*>($($argument),*) }
        }
        #[cfg(target_arch = "x86_64")]
        #[target_feature(enable = "avx512f,avx512dq,avx2,fma")]
        pub(crate) unsafe fn $avx512<T: Vectors, $($f: $bound,)? $(const $k: $kt),*>(
            $($argument: $type),*
        ) $(-> $result)? {
            // SAFETY: the caller promises what the generic function demands.
            unsafe { $body::<T::Avx512, $($f,)? $($k),*>($($argument),*) }
        }
        #[cfg(not(target_arch = "aarch64"))]
        #[allow(unused_imports, reason = "tables of tiles, which differ in size, name only the functions of the target")]
        pub(crate) use $portable as $neon;
        #[cfg(not(target_arch = "x86_64"))]
        #[allow(unused_imports, reason = "tables of tiles name only the functions of the target")]
        pub(crate) use {$portable as $avx2, $portable as $avx512};
    };
}
pub(crate) use isa_functions;

/// Prefetches a cache line, at any address, into the L2 cache.
#[inline(always)]
pub(crate) fn prefetch_l2(_p: *const u8) {
    #[cfg(target_arch = "aarch64")]
    neon::prefetch_l2(_p);
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a prefetch of any address is harmless, and every x86-64 has the instruction.
    unsafe {
        std::arch::x86_64::_mm_prefetch::<{ std::arch::x86_64::_MM_HINT_T1 }>(_p.cast());
    }
}
