//! One vector type for each instruction set and scalar, behind the trait [`Vector`].
//!
//! Kernels and formulas are written once, generic over `V: Vector`, and compiled once for every instruction set by the
//! functions that carry `#[target_feature]` (see [`isa_functions`]). Everything here is `inline(always)`, so that the
//! intrinsics melt into those functions.

use std::ops::{Add, Div, Mul, Neg, Sub};

use crate::scalar::Scalar;

/// The instruction sets that kernels are compiled for, slowest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Isa {
    /// What the compiler makes of plain arrays on any machine.
    Portable,
    /// What every 64-bit ARM has: two registers of 128 bits at a time.
    Neon,
    /// AVX2 with fused multiply-add: 256 bits.
    Avx2,
    /// AVX-512 F and DQ: 512 bits.
    Avx512,
}

impl Isa {
    /// Number of instruction sets: the length of every dispatch table.
    pub(crate) const COUNT: usize = 4;

    pub(crate) const ALL: [Isa; Isa::COUNT] = [Isa::Portable, Isa::Neon, Isa::Avx2, Isa::Avx512];

    /// Whether this machine executes it.
    pub(crate) fn is_available(self) -> bool {
        match self {
            Isa::Portable => true,
            Isa::Neon => cfg!(target_arch = "aarch64"),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma"),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 => {
                is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512dq")
            }
            #[cfg(not(target_arch = "x86_64"))]
            _ => false,
        }
    }

    /// The widest that this machine executes.
    pub(crate) fn best() -> Isa {
        Isa::ALL.into_iter().rev().find(|isa| isa.is_available()).unwrap_or(Isa::Portable)
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Isa::Portable => "portable",
            Isa::Neon => "neon",
            Isa::Avx2 => "avx2",
            Isa::Avx512 => "avx512",
        }
    }
}

/// A few scalars that are computed on at once.
pub(crate) trait Vector:
    Copy
    + Add<Output = Self>
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Div<Output = Self>
    + Neg<Output = Self>
{
    /// The element.
    type T: Scalar;
    /// The result of a comparison.
    type Mask: Copy;
    /// Elements in a vector.
    const LANES: usize;

    fn splat(x: Self::T) -> Self;
    /// # Safety
    /// `LANES` elements from `p` on are readable.
    unsafe fn load(p: *const Self::T) -> Self;
    /// The first `n` elements, the others 0.
    /// # Safety
    /// `n <= LANES` elements from `p` on are readable.
    unsafe fn load_partial(p: *const Self::T, n: usize) -> Self;
    /// Asks for the cache line of `p`, which may point anywhere.
    fn prefetch(p: *const Self::T);
    /// The same, into the second cache.
    fn prefetch_near(p: *const Self::T);
    /// # Safety
    /// `LANES` elements from `p` on are writable.
    unsafe fn store(self, p: *mut Self::T);
    /// # Safety
    /// `n <= LANES` elements from `p` on are writable.
    unsafe fn store_partial(self, p: *mut Self::T, n: usize);

    /// `self * b + c`; with one rounding where the machine has it.
    fn mul_add(self, b: Self, c: Self) -> Self;
    /// `self > other ? self : other`, so a NaN in `other` stays and one in `self` goes.
    fn max(self, other: Self) -> Self;
    /// `self < other ? self : other`, so a NaN in `other` stays and one in `self` goes.
    fn min(self, other: Self) -> Self;
    fn abs(self) -> Self;
    fn sqrt(self) -> Self;
    /// `self / (sqrt(square) + offset)` for a positive normal square: within 2.5 units in the last place, and faster where the
    /// machine approximates roots. Of a NaN a NaN.
    #[inline(always)]
    fn over_root(self, square: Self, offset: Self) -> Self {
        self / (square.sqrt() + offset)
    }
    /// The magnitude of `self` with the sign of `sign`.
    fn copysign(self, sign: Self) -> Self;
    /// To the nearest integer, ties to even; for magnitudes below 2^22 (f32) and 2^51 (f64).
    fn round(self) -> Self;
    /// 2^self for an integer within the exponents of normal numbers.
    fn exp2_integer(self) -> Self;
    fn less(self, other: Self) -> Self::Mask;
    /// `self[0] other[0] self[1] other[1] ...`, the first and the second half of it.
    fn interleave(self, other: Self) -> (Self, Self);
    /// Each lane from `yes` where the mask is set, else from `no`.
    fn select(mask: Self::Mask, yes: Self, no: Self) -> Self;

    /// Rounded to a multiple of 2^-124 or finer, so that no lane is subnormal: a mean that fades would stay so for good, and
    /// processors take long for such numbers. Others change by a unit in the last place at most.
    #[inline(always)]
    fn without_dust(self) -> Self {
        let coarse = Self::of(1.0 / (1u128 << 100) as f64);
        (self + coarse) - coarse
    }

    /// Subnormal lanes become zeros, the others stay. Intel's processors leave multiplications by subnormal numbers to microcode.
    #[inline(always)]
    fn normal_or_zero(self) -> Self {
        let least = if size_of::<Self::T>() == 4 {
            f64::from(f32::MIN_POSITIVE)
        } else {
            f64::MIN_POSITIVE
        };
        Self::select(self.abs().less(Self::of(least)), Self::of(0.0), self)
    }

    /// The same for squares: no less than 2^-124.
    #[inline(always)]
    fn above_dust(self) -> Self {
        Self::of(1.0 / (1u128 << 124) as f64).max(self)
    }

    /// The nearest value to `x` in every lane.
    #[inline(always)]
    fn of(x: f64) -> Self {
        Self::splat(Self::T::from_f64(x))
    }
}

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

/// Compiles a function that is generic over the vector once for every instruction set that the target may have; the names
/// of the others stand for the portable one. The caller of what comes out promises, beyond the function's own demands, that
/// the machine has the instruction set.
macro_rules! isa_functions {
    ($portable:ident $neon:ident $avx2:ident $avx512:ident = $body:ident [$($f:ident: $bound:ident)?]
        [$($k:ident: $kt:ty),*] ($($argument:ident: $type:ty),*) $(-> $result:ty)?) => {
        pub(crate) unsafe fn $portable<T: Vectors, $($f: $bound,)? $(const $k: $kt),*>(
            $($argument: $type),*
        ) $(-> $result)? {
            // SAFETY: the caller's promise.
            unsafe { $body::<T::Portable, $($f,)? $($k),*>($($argument),*) }
        }
        #[cfg(target_arch = "aarch64")]
        #[target_feature(enable = "neon")]
        pub(crate) unsafe fn $neon<T: Vectors, $($f: $bound,)? $(const $k: $kt),*>(
            $($argument: $type),*
        ) $(-> $result)? {
            // SAFETY: the caller's promise.
            unsafe { $body::<T::Neon, $($f,)? $($k),*>($($argument),*) }
        }
        #[cfg(target_arch = "x86_64")]
        #[target_feature(enable = "avx2,fma")]
        pub(crate) unsafe fn $avx2<T: Vectors, $($f: $bound,)? $(const $k: $kt),*>(
            $($argument: $type),*
        ) $(-> $result)? {
            // SAFETY: the caller's promise.
            unsafe { $body::<T::Avx2, $($f,)? $($k),*>($($argument),*) }
        }
        #[cfg(target_arch = "x86_64")]
        #[target_feature(enable = "avx512f,avx512dq,avx2,fma")]
        pub(crate) unsafe fn $avx512<T: Vectors, $($f: $bound,)? $(const $k: $kt),*>(
            $($argument: $type),*
        ) $(-> $result)? {
            // SAFETY: the caller's promise.
            unsafe { $body::<T::Avx512, $($f,)? $($k),*>($($argument),*) }
        }
        #[cfg(not(target_arch = "aarch64"))]
        #[allow(unused_imports, reason = "tiles, which differ in size, name what the target has and no other")]
        pub(crate) use $portable as $neon;
        #[cfg(not(target_arch = "x86_64"))]
        #[allow(unused_imports, reason = "as above")]
        pub(crate) use {$portable as $avx2, $portable as $avx512};
    };
}
pub(crate) use isa_functions;

/// Adding and taking away `1.5 * 2^23` (`1.5 * 2^52`) rounds to an integer, and leaves it in the low bits.
const ROUND_F32: f32 = 12_582_912.0;
const ROUND_F64: f64 = 6_755_399_441_055_744.0;

macro_rules! operators {
    ($name:ident, $t:ty, $lanes:literal, $($op:ident $method:ident |$a:ident, $b:ident| $value:expr),*) => {
        $(impl $op for $name {
            type Output = Self;
            #[inline(always)]
            fn $method(self, other: Self) -> Self {
                let ($a, $b) = (self, other);
                $value
            }
        })*
        impl Neg for $name {
            type Output = Self;
            #[inline(always)]
            fn neg(self) -> Self {
                Self::splat(-0.0) - self
            }
        }
    };
}

/// Plain arrays, which the compiler vectorizes with whatever the target has.
macro_rules! portable {
    ($name:ident, $t:ty, $bits:ty, $lanes:literal, $round:expr, $mantissa:literal, $bias:literal) => {
        #[derive(Clone, Copy)]
        pub(crate) struct $name([$t; $lanes]);

        impl $name {
            #[inline(always)]
            fn zip(self, other: Self, f: impl Fn($t, $t) -> $t) -> Self {
                $name(std::array::from_fn(|i| f(self.0[i], other.0[i])))
            }
        }

        operators!(
            $name,
            $t,
            $lanes,
            Add add |a, b| a.zip(b, |x, y| x + y),
            Sub sub |a, b| a.zip(b, |x, y| x - y),
            Mul mul |a, b| a.zip(b, |x, y| x * y),
            Div div |a, b| a.zip(b, |x, y| x / y)
        );

        impl Vector for $name {
            type T = $t;
            type Mask = [bool; $lanes];
            const LANES: usize = $lanes;

            #[inline(always)]
            fn splat(x: $t) -> Self {
                $name([x; $lanes])
            }
            #[inline(always)]
            unsafe fn load(p: *const $t) -> Self {
                // SAFETY: the caller's promise.
                $name(unsafe { p.cast::<[$t; $lanes]>().read_unaligned() })
            }
            #[inline(always)]
            unsafe fn load_partial(p: *const $t, n: usize) -> Self {
                // SAFETY: only the first n elements are read.
                $name(std::array::from_fn(|i| if i < n { unsafe { *p.add(i) } } else { 0.0 }))
            }
            #[inline(always)]
            fn prefetch(_p: *const $t) {}
            #[inline(always)]
            fn prefetch_near(_p: *const $t) {}
            #[inline(always)]
            unsafe fn store(self, p: *mut $t) {
                // SAFETY: the caller's promise.
                unsafe { p.cast::<[$t; $lanes]>().write_unaligned(self.0) }
            }
            #[inline(always)]
            unsafe fn store_partial(self, p: *mut $t, n: usize) {
                for (i, x) in self.0.into_iter().enumerate().take(n) {
                    // SAFETY: i < n.
                    unsafe { *p.add(i) = x }
                }
            }
            #[inline(always)]
            fn mul_add(self, b: Self, c: Self) -> Self {
                // Without the instruction, a fused multiply-add is a call into the C library.
                if cfg!(any(target_feature = "fma", target_arch = "aarch64")) {
                    $name(std::array::from_fn(|i| self.0[i].mul_add(b.0[i], c.0[i])))
                } else {
                    self * b + c
                }
            }
            #[inline(always)]
            fn max(self, other: Self) -> Self {
                self.zip(other, |x, y| if x > y { x } else { y })
            }
            #[inline(always)]
            fn min(self, other: Self) -> Self {
                self.zip(other, |x, y| if x < y { x } else { y })
            }
            #[inline(always)]
            fn abs(self) -> Self {
                $name(self.0.map(<$t>::abs))
            }
            #[inline(always)]
            fn sqrt(self) -> Self {
                $name(self.0.map(<$t>::sqrt))
            }
            #[inline(always)]
            fn copysign(self, sign: Self) -> Self {
                self.zip(sign, <$t>::copysign)
            }
            #[inline(always)]
            fn round(self) -> Self {
                $name(self.0.map(|x| (x + $round) - $round))
            }
            #[inline(always)]
            fn exp2_integer(self) -> Self {
                let low = |x: $t| (x + $round).to_bits();
                $name(self.0.map(|x| <$t>::from_bits((low(x) << $mantissa).wrapping_add($bias << $mantissa))))
            }
            #[inline(always)]
            fn interleave(self, other: Self) -> (Self, Self) {
                let lane = |n: usize| if n % 2 == 0 { self.0[n / 2] } else { other.0[n / 2] };
                ($name(std::array::from_fn(lane)), $name(std::array::from_fn(|i| lane($lanes + i))))
            }
            #[inline(always)]
            fn less(self, other: Self) -> Self::Mask {
                std::array::from_fn(|i| self.0[i] < other.0[i])
            }
            #[inline(always)]
            fn select(mask: Self::Mask, yes: Self, no: Self) -> Self {
                $name(std::array::from_fn(|i| if mask[i] { yes.0[i] } else { no.0[i] }))
            }
        }
    };
}

portable!(Portable32, f32, u32, 8, ROUND_F32, 23, 127u32);
portable!(Portable64, f64, u64, 4, ROUND_F64, 52, 1023u64);

#[cfg(target_arch = "aarch64")]
mod neon;
#[cfg(target_arch = "x86_64")]
mod x86;

/// Asks for a cache line that will be read before long, into the second cache.
#[inline(always)]
pub(super) fn prefetch(_p: *const u8) {
    #[cfg(target_arch = "aarch64")]
    neon::prefetch_near(_p);
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a prefetch reads nothing, and every x86-64 has it.
    unsafe {
        std::arch::x86_64::_mm_prefetch::<{ std::arch::x86_64::_MM_HINT_T1 }>(_p.cast());
    }
}
