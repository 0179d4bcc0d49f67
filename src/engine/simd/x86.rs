//! Vectors of AVX2 (256 bits) and AVX-512 (512 bits).

#![allow(
    clippy::undocumented_unsafe_blocks,
    reason = "every caller is compiled for the instruction set, which `Isa::is_available` has confirmed; that pointers are valid is the promise of the trait's methods"
)]

use std::arch::x86_64::*;
use std::ops::{Add, Div, Mul, Neg, Sub};

use super::vector::{ROUND_F32, ROUND_F64, Vector, operators};

/// A vector type of one register, from the intrinsics of its width.
macro_rules! x86 {
    (
        $name:ident, $raw:ty, $t:ty, $lanes:literal, $mask:ty, $round:expr,
        $set1:ident $loadu:ident $storeu:ident $add:ident $sub:ident $mul:ident $div:ident $fmadd:ident
        $max:ident $min:ident $sqrt:ident $and:ident $andnot:ident $or:ident,
        load_partial: |$lo_p:ident, $lo_n:ident| $load_partial:expr, store_partial: |$st_p:ident, $st_n:ident, $st_x:ident| $store_partial:expr,
        exp2_integer: |$ex_x:ident| $exp2_integer:expr, interleave: |$in_a:ident, $in_b:ident| $interleave:expr,
        less: |$le_a:ident, $le_b:ident| $less:expr, select: |$se_m:ident, $se_yes:ident, $se_no:ident| $select:expr
        $(, inverse_root: $inverse_root:ident)?
    ) => {
        #[derive(Clone, Copy)]
        pub(crate) struct $name($raw);

        operators!(
            $name,
            $t,
            $lanes,
            Add add |a, b| $name(unsafe { $add(a.0, b.0) }),
            Sub sub |a, b| $name(unsafe { $sub(a.0, b.0) }),
            Mul mul |a, b| $name(unsafe { $mul(a.0, b.0) }),
            Div div |a, b| $name(unsafe { $div(a.0, b.0) })
        );

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
            fn prefetch_l2(p: *const $t) {
                unsafe { _mm_prefetch::<_MM_HINT_T1>(p.cast()) }
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
            $(
                /// With r close to 1 / sqrt(x), one Newton step is `2 sqrt(x) = x r (3 - x r^2)`. The square root instruction takes longer
                /// than this whole function, and the division would wait for it, since both use the same unit.
                #[inline(always)]
                fn over_root(self, square: Self, offset: Self) -> Self {
                    // An infinite x has the inverse root 0, and their product would be NaN.
                    let largest = Self::splat(<$t>::MAX);
                    let x = largest.min(square);
                    let r = $name(unsafe { $inverse_root(x.0) });
                    let root = x * r;
                    let twice = root.mul_add((-root).mul_add(r, Self::splat(3.0)), offset + offset);
                    (self + self) / Self::select(largest.less(square), square, twice)
                }
            )?
        }
    };
}

/// Masks for partial loads and stores: read from element 8 - n on (4 - n for f64), the first n lanes are -1 and the others 0.
static MASK32: [i32; 16] = [-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0];
static MASK64: [i64; 8] = [-1, -1, -1, -1, 0, 0, 0, 0];

#[inline(always)]
unsafe fn mask256(table: *const u8, from: usize) -> __m256i {
    // SAFETY: `from` is at most half of the table, so 32 bytes follow.
    unsafe { _mm256_loadu_si256(table.add(from).cast()) }
}
#[inline(always)]
unsafe fn mask32(n: usize) -> __m256i {
    // SAFETY: `n <= 8`, so the offset is at most half of the table.
    unsafe { mask256(MASK32.as_ptr().cast(), 4 * (8 - n)) }
}
#[inline(always)]
unsafe fn mask64(n: usize) -> __m256i {
    // SAFETY: `n <= 4`, so the offset is at most half of the table.
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
    select: |m, yes, no| _mm512_mask_blend_ps(m, no, yes),
    inverse_root: _mm512_rsqrt14_ps
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
