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
    /// AVX2 with fused multiply-add: 256 bits.
    Avx2,
    /// AVX-512 F and DQ: 512 bits.
    Avx512,
}

impl Isa {
    /// Number of instruction sets: the length of every dispatch table.
    pub(crate) const COUNT: usize = 3;

    pub(crate) const ALL: [Isa; Isa::COUNT] = [Isa::Portable, Isa::Avx2, Isa::Avx512];

    /// Whether this machine executes it.
    pub(crate) fn is_available(self) -> bool {
        match self {
            Isa::Portable => true,
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma"),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 => is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512dq"),
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
            Isa::Avx2 => "avx2",
            Isa::Avx512 => "avx512",
        }
    }
}

/// A few scalars that are computed on at once.
pub(crate) trait Vector:
    Copy + Add<Output = Self> + Sub<Output = Self> + Mul<Output = Self> + Div<Output = Self> + Neg<Output = Self>
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

    /// The nearest value to `x` in every lane.
    #[inline(always)]
    fn of(x: f64) -> Self {
        Self::splat(Self::T::from_f64(x))
    }
}

/// The vector types of a scalar, one for each instruction set.
pub(crate) trait Vectors: Scalar {
    type Portable: Vector<T = Self>;
    type Avx2: Vector<T = Self>;
    type Avx512: Vector<T = Self>;
}

#[cfg(target_arch = "x86_64")]
impl Vectors for f32 {
    type Portable = Portable32;
    type Avx2 = F32x8;
    type Avx512 = F32x16;
}

#[cfg(target_arch = "x86_64")]
impl Vectors for f64 {
    type Portable = Portable64;
    type Avx2 = F64x4;
    type Avx512 = F64x8;
}

#[cfg(not(target_arch = "x86_64"))]
impl Vectors for f32 {
    type Portable = Portable32;
    type Avx2 = Portable32;
    type Avx512 = Portable32;
}

#[cfg(not(target_arch = "x86_64"))]
impl Vectors for f64 {
    type Portable = Portable64;
    type Avx2 = Portable64;
    type Avx512 = Portable64;
}

/// Compiles a function that is generic over the vector once for every instruction set. The caller of what comes out
/// promises, beyond the function's own demands, that the machine has the instruction set.
macro_rules! isa_functions {
    ($portable:ident $avx2:ident $avx512:ident = $body:ident [$($f:ident: $bound:ident)?] [$($k:ident: $kt:ty),*]
        ($($argument:ident: $type:ty),*) $(-> $result:ty)?) => {
        pub(crate) unsafe fn $portable<T: Vectors, $($f: $bound,)? $(const $k: $kt),*>(
            $($argument: $type),*
        ) $(-> $result)? {
            // SAFETY: the caller's promise.
            unsafe { $body::<T::Portable, $($f,)? $($k),*>($($argument),*) }
        }
        #[cfg_attr(target_arch = "x86_64", target_feature(enable = "avx2,fma"))]
        pub(crate) unsafe fn $avx2<T: Vectors, $($f: $bound,)? $(const $k: $kt),*>(
            $($argument: $type),*
        ) $(-> $result)? {
            // SAFETY: the caller's promise.
            unsafe { $body::<T::Avx2, $($f,)? $($k),*>($($argument),*) }
        }
        #[cfg_attr(target_arch = "x86_64", target_feature(enable = "avx512f,avx512dq,avx2,fma"))]
        pub(crate) unsafe fn $avx512<T: Vectors, $($f: $bound,)? $(const $k: $kt),*>(
            $($argument: $type),*
        ) $(-> $result)? {
            // SAFETY: the caller's promise.
            unsafe { $body::<T::Avx512, $($f,)? $($k),*>($($argument),*) }
        }
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

#[cfg(target_arch = "x86_64")]
pub(crate) use x86::{F32x8, F32x16, F64x4, F64x8};

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::*;

    use super::*;

    /// Everything that the 256 and 512 bit types share. The intrinsics need their instruction set, which every caller
    /// that is compiled for it has checked: that is the one safety argument of this module.
    macro_rules! x86 {
        (
            $name:ident, $raw:ty, $t:ty, $lanes:literal, $mask:ty, $round:expr,
            $set1:ident $loadu:ident $storeu:ident $add:ident $sub:ident $mul:ident $div:ident $fmadd:ident
            $max:ident $min:ident $sqrt:ident $and:ident $andnot:ident $or:ident,
            load_partial: |$lo_p:ident, $lo_n:ident| $load_partial:expr, store_partial: |$st_p:ident, $st_n:ident, $st_x:ident| $store_partial:expr,
            exp2_integer: |$ex_x:ident| $exp2_integer:expr, interleave: |$in_a:ident, $in_b:ident| $interleave:expr,
            less: |$le_a:ident, $le_b:ident| $less:expr, select: |$se_m:ident, $se_yes:ident, $se_no:ident| $select:expr
        ) => {
            #[derive(Clone, Copy)]
            pub(crate) struct $name($raw);

            operators!(
                $name,
                $t,
                $lanes,
                Add add |a, b| {
                    // SAFETY: see the macro.
                    $name(unsafe { $add(a.0, b.0) })
                },
                Sub sub |a, b| {
                    // SAFETY: see the macro.
                    $name(unsafe { $sub(a.0, b.0) })
                },
                Mul mul |a, b| {
                    // SAFETY: see the macro.
                    $name(unsafe { $mul(a.0, b.0) })
                },
                Div div |a, b| {
                    // SAFETY: see the macro.
                    $name(unsafe { $div(a.0, b.0) })
                }
            );

            // SAFETY of every block: see the macro; pointers are the caller's promise.
            #[allow(clippy::undocumented_unsafe_blocks)]
            impl Vector for $name {
                type T = $t;
                type Mask = $mask;
                const LANES: usize = $lanes;

                #[inline(always)]
                fn splat(x: $t) -> Self {
                    $name(unsafe { $set1(x) })
                }
                #[inline(always)]
                unsafe fn load(p: *const $t) -> Self {
                    $name(unsafe { $loadu(p) })
                }
                #[inline(always)]
                unsafe fn load_partial(p: *const $t, n: usize) -> Self {
                    let ($lo_p, $lo_n) = (p, n);
                    $name(unsafe { $load_partial })
                }
                #[inline(always)]
                fn prefetch(p: *const $t) {
                    unsafe { _mm_prefetch::<_MM_HINT_T0>(p.cast()) }
                }
                #[inline(always)]
                unsafe fn store(self, p: *mut $t) {
                    unsafe { $storeu(p, self.0) }
                }
                #[inline(always)]
                unsafe fn store_partial(self, p: *mut $t, n: usize) {
                    let ($st_p, $st_n, $st_x) = (p, n, self.0);
                    unsafe { $store_partial }
                }
                #[inline(always)]
                fn mul_add(self, b: Self, c: Self) -> Self {
                    $name(unsafe { $fmadd(self.0, b.0, c.0) })
                }
                #[inline(always)]
                fn max(self, other: Self) -> Self {
                    $name(unsafe { $max(self.0, other.0) })
                }
                #[inline(always)]
                fn min(self, other: Self) -> Self {
                    $name(unsafe { $min(self.0, other.0) })
                }
                #[inline(always)]
                fn abs(self) -> Self {
                    $name(unsafe { $andnot($set1(-0.0), self.0) })
                }
                #[inline(always)]
                fn sqrt(self) -> Self {
                    $name(unsafe { $sqrt(self.0) })
                }
                #[inline(always)]
                fn copysign(self, sign: Self) -> Self {
                    let bit = unsafe { $and($set1(-0.0), sign.0) };
                    $name(unsafe { $or(self.abs().0, bit) })
                }
                #[inline(always)]
                fn round(self) -> Self {
                    (self + Self::splat($round)) - Self::splat($round)
                }
                #[inline(always)]
                fn exp2_integer(self) -> Self {
                    let $ex_x = (self + Self::splat($round)).0;
                    $name(unsafe { $exp2_integer })
                }
                #[inline(always)]
                fn interleave(self, other: Self) -> (Self, Self) {
                    let ($in_a, $in_b) = (self.0, other.0);
                    let (first, second) = unsafe { $interleave };
                    ($name(first), $name(second))
                }
                #[inline(always)]
                fn less(self, other: Self) -> $mask {
                    let ($le_a, $le_b) = (self.0, other.0);
                    unsafe { $less }
                }
                #[inline(always)]
                fn select(mask: $mask, yes: Self, no: Self) -> Self {
                    let ($se_m, $se_yes, $se_no) = (mask, yes.0, no.0);
                    $name(unsafe { $select })
                }
            }
        };
    }

    /// -1 in the first n of 8 (4) lanes when read from 8 - n (4 - n) on.
    static MASK32: [i32; 16] = [-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0];
    static MASK64: [i64; 8] = [-1, -1, -1, -1, 0, 0, 0, 0];

    #[inline(always)]
    unsafe fn mask256(table: *const u8, from: usize) -> __m256i {
        // SAFETY: from is at most half of the table.
        unsafe { _mm256_loadu_si256(table.add(from).cast()) }
    }
    #[inline(always)]
    unsafe fn mask32(n: usize) -> __m256i {
        // SAFETY: n <= 8.
        unsafe { mask256(MASK32.as_ptr().cast(), 4 * (8 - n)) }
    }
    #[inline(always)]
    unsafe fn mask64(n: usize) -> __m256i {
        // SAFETY: n <= 4.
        unsafe { mask256(MASK64.as_ptr().cast(), 8 * (4 - n)) }
    }

    x86!(
        F32x8, __m256, f32, 8, __m256, ROUND_F32,
        _mm256_set1_ps _mm256_loadu_ps _mm256_storeu_ps _mm256_add_ps _mm256_sub_ps _mm256_mul_ps _mm256_div_ps
        _mm256_fmadd_ps _mm256_max_ps _mm256_min_ps _mm256_sqrt_ps _mm256_and_ps _mm256_andnot_ps _mm256_or_ps,
        load_partial: |p, n| _mm256_maskload_ps(p, mask32(n)),
        store_partial: |p, n, x| _mm256_maskstore_ps(p, mask32(n), x),
        exp2_integer: |x| _mm256_castsi256_ps(
            _mm256_add_epi32(_mm256_slli_epi32::<23>(_mm256_castps_si256(x)), _mm256_set1_epi32(127 << 23))),
        interleave: |a, b| {
            let (low, high) = (_mm256_unpacklo_ps(a, b), _mm256_unpackhi_ps(a, b));
            (_mm256_permute2f128_ps::<0x20>(low, high), _mm256_permute2f128_ps::<0x31>(low, high))
        },
        less: |a, b| _mm256_cmp_ps::<_CMP_LT_OQ>(a, b),
        select: |m, yes, no| _mm256_blendv_ps(no, yes, m)
    );
    x86!(
        F64x4, __m256d, f64, 4, __m256d, ROUND_F64,
        _mm256_set1_pd _mm256_loadu_pd _mm256_storeu_pd _mm256_add_pd _mm256_sub_pd _mm256_mul_pd _mm256_div_pd
        _mm256_fmadd_pd _mm256_max_pd _mm256_min_pd _mm256_sqrt_pd _mm256_and_pd _mm256_andnot_pd _mm256_or_pd,
        load_partial: |p, n| _mm256_maskload_pd(p, mask64(n)),
        store_partial: |p, n, x| _mm256_maskstore_pd(p, mask64(n), x),
        exp2_integer: |x| _mm256_castsi256_pd(
            _mm256_add_epi64(_mm256_slli_epi64::<52>(_mm256_castpd_si256(x)), _mm256_set1_epi64x(1023 << 52))),
        interleave: |a, b| {
            let (low, high) = (_mm256_unpacklo_pd(a, b), _mm256_unpackhi_pd(a, b));
            (_mm256_permute2f128_pd::<0x20>(low, high), _mm256_permute2f128_pd::<0x31>(low, high))
        },
        less: |a, b| _mm256_cmp_pd::<_CMP_LT_OQ>(a, b),
        select: |m, yes, no| _mm256_blendv_pd(no, yes, m)
    );
    x86!(
        F32x16, __m512, f32, 16, __mmask16, ROUND_F32,
        _mm512_set1_ps _mm512_loadu_ps _mm512_storeu_ps _mm512_add_ps _mm512_sub_ps _mm512_mul_ps _mm512_div_ps
        _mm512_fmadd_ps _mm512_max_ps _mm512_min_ps _mm512_sqrt_ps _mm512_and_ps _mm512_andnot_ps _mm512_or_ps,
        load_partial: |p, n| _mm512_maskz_loadu_ps(((1u32 << n) - 1) as u16, p),
        store_partial: |p, n, x| _mm512_mask_storeu_ps(p, ((1u32 << n) - 1) as u16, x),
        exp2_integer: |x| _mm512_castsi512_ps(
            _mm512_add_epi32(_mm512_slli_epi32::<23>(_mm512_castps_si512(x)), _mm512_set1_epi32(127 << 23))),
        interleave: |a, b| {
            let first = _mm512_setr_epi32(0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
            let second = _mm512_add_epi32(first, _mm512_set1_epi32(8));
            (_mm512_permutex2var_ps(a, first, b), _mm512_permutex2var_ps(a, second, b))
        },
        less: |a, b| _mm512_cmp_ps_mask::<_CMP_LT_OQ>(a, b),
        select: |m, yes, no| _mm512_mask_blend_ps(m, no, yes)
    );
    x86!(
        F64x8, __m512d, f64, 8, __mmask8, ROUND_F64,
        _mm512_set1_pd _mm512_loadu_pd _mm512_storeu_pd _mm512_add_pd _mm512_sub_pd _mm512_mul_pd _mm512_div_pd
        _mm512_fmadd_pd _mm512_max_pd _mm512_min_pd _mm512_sqrt_pd _mm512_and_pd _mm512_andnot_pd _mm512_or_pd,
        load_partial: |p, n| _mm512_maskz_loadu_pd(((1u32 << n) - 1) as u8, p),
        store_partial: |p, n, x| _mm512_mask_storeu_pd(p, ((1u32 << n) - 1) as u8, x),
        exp2_integer: |x| _mm512_castsi512_pd(
            _mm512_add_epi64(_mm512_slli_epi64::<52>(_mm512_castpd_si512(x)), _mm512_set1_epi64(1023 << 52))),
        interleave: |a, b| {
            let first = _mm512_setr_epi64(0, 8, 1, 9, 2, 10, 3, 11);
            let second = _mm512_add_epi64(first, _mm512_set1_epi64(4));
            (_mm512_permutex2var_pd(a, first, b), _mm512_permutex2var_pd(a, second, b))
        },
        less: |a, b| _mm512_cmp_pd_mask::<_CMP_LT_OQ>(a, b),
        select: |m, yes, no| _mm512_mask_blend_pd(m, no, yes)
    );
}
