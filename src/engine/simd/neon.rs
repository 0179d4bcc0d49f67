//! Vectors of two NEON registers. The 32 registers then hold a tile as wide as AVX2's, and each step of a loop has two
//! independent operations, which hide the latency of these narrow units.

#![allow(
    clippy::undocumented_unsafe_blocks,
    reason = "every 64-bit ARM with a standard library has NEON; that pointers are valid is the promise of the trait's methods"
)]

use std::arch::aarch64::*;
use std::arch::asm;
use std::ops::{Add, Div, Mul, Neg, Sub};

use super::vector::{Vector, operators};

/// Prefetches a cache line, at any address, into the L2 cache.
#[inline(always)]
pub(super) fn prefetch_l2(p: *const u8) {
    unsafe { asm!("prfm pldl2keep, [{}]", in(reg) p, options(readonly, nostack, preserves_flags)) }
}

macro_rules! neon {
    (
        $name:ident, $raw:ty, $t:ty, $lanes:literal, $mask:ty, $sign:expr,
        $dup:ident $dup_sign:ident $load:ident $store:ident $add:ident $sub:ident $mul:ident $div:ident $fma:ident
        $abs:ident $sqrt:ident $round:ident $zip1:ident $zip2:ident $less:ident $select:ident,
        load_partial: $load_partial:ident, store_partial: $store_partial:ident,
        exp2_integer: |$ex_x:ident| $exp2_integer:expr
    ) => {
        #[derive(Clone, Copy)]
        pub(crate) struct $name([$raw; 2]);

        impl $name {
            #[inline(always)]
            fn map(self, f: impl Fn($raw) -> $raw) -> Self {
                $name(self.0.map(f))
            }
            #[inline(always)]
            fn zip(self, other: Self, f: impl Fn($raw, $raw) -> $raw) -> Self {
                $name(std::array::from_fn(|half| f(self.0[half], other.0[half])))
            }
        }

        operators!(
            $name,
            $t,
            $lanes,
            Add add |a, b| a.zip(b, |a, b| unsafe { $add(a, b) }),
            Sub sub |a, b| a.zip(b, |a, b| unsafe { $sub(a, b) }),
            Mul mul |a, b| a.zip(b, |a, b| unsafe { $mul(a, b) }),
            Div div |a, b| a.zip(b, |a, b| unsafe { $div(a, b) })
        );

        impl Vector for $name {
            type T = $t;
            type Mask = [$mask; 2];
            const LANES: usize = $lanes;

            #[inline(always)]
            fn splat(x: $t) -> Self {
                $name([unsafe { $dup(x) }; 2])
            }
            #[inline(always)]
            unsafe fn load(p: *const $t) -> Self {
                $name(unsafe { [$load(p), $load(p.add($lanes / 2))] })
            }
            #[inline(always)]
            unsafe fn load_partial(p: *const $t, n: usize) -> Self {
                let behind = p.wrapping_add($lanes / 2);
                $name(unsafe { [$load_partial(p, n), $load_partial(behind, n.saturating_sub($lanes / 2))] })
            }
            #[inline(always)]
            fn prefetch(p: *const $t) {
                unsafe { asm!("prfm pldl1keep, [{}]", in(reg) p, options(readonly, nostack, preserves_flags)) }
            }
            #[inline(always)]
            fn prefetch_l2(p: *const $t) {
                prefetch_l2(p.cast());
            }
            #[inline(always)]
            unsafe fn store(self, p: *mut $t) {
                unsafe {
                    $store(p, self.0[0]);
                    $store(p.add($lanes / 2), self.0[1]);
                }
            }
            #[inline(always)]
            unsafe fn store_partial(self, p: *mut $t, n: usize) {
                unsafe {
                    $store_partial(self.0[0], p, n);
                    $store_partial(self.0[1], p.wrapping_add($lanes / 2), n.saturating_sub($lanes / 2));
                }
            }
            #[inline(always)]
            fn mul_add(self, b: Self, c: Self) -> Self {
                $name(std::array::from_fn(|half| unsafe { $fma(c.0[half], self.0[half], b.0[half]) }))
            }
            // The instructions for maximum and minimum return NaN if either operand is NaN, which the trait does not.
            #[inline(always)]
            fn max(self, other: Self) -> Self {
                Self::select(other.less(self), self, other)
            }
            #[inline(always)]
            fn min(self, other: Self) -> Self {
                Self::select(self.less(other), self, other)
            }
            #[inline(always)]
            fn abs(self) -> Self {
                self.map(|x| unsafe { $abs(x) })
            }
            #[inline(always)]
            fn sqrt(self) -> Self {
                self.map(|x| unsafe { $sqrt(x) })
            }
            #[inline(always)]
            fn copysign(self, sign: Self) -> Self {
                self.zip(sign, |x, sign| unsafe { $select($dup_sign($sign), sign, x) })
            }
            #[inline(always)]
            fn round(self) -> Self {
                self.map(|x| unsafe { $round(x) })
            }
            #[inline(always)]
            fn exp2_integer(self) -> Self {
                self.map(|$ex_x| unsafe { $exp2_integer })
            }
            #[inline(always)]
            fn interleave(self, other: Self) -> (Self, Self) {
                let pairs = |a, b| $name(unsafe { [$zip1(a, b), $zip2(a, b)] });
                (pairs(self.0[0], other.0[0]), pairs(self.0[1], other.0[1]))
            }
            #[inline(always)]
            fn less(self, other: Self) -> Self::Mask {
                std::array::from_fn(|half| unsafe { $less(self.0[half], other.0[half]) })
            }
            #[inline(always)]
            fn select(mask: Self::Mask, yes: Self, no: Self) -> Self {
                $name(std::array::from_fn(|half| unsafe { $select(mask[half], yes.0[half], no.0[half]) }))
            }
        }
    };
}

/// The first n of 4 elements (all if n is larger), the others 0.
#[inline(always)]
unsafe fn load_partial32(p: *const f32, n: usize) -> float32x4_t {
    unsafe {
        match n {
            0 => vdupq_n_f32(0.0),
            1 => vld1q_lane_f32::<0>(p, vdupq_n_f32(0.0)),
            2 => vcombine_f32(vld1_f32(p), vdup_n_f32(0.0)),
            3 => vld1q_lane_f32::<2>(p.add(2), vcombine_f32(vld1_f32(p), vdup_n_f32(0.0))),
            _ => vld1q_f32(p),
        }
    }
}

#[inline(always)]
unsafe fn store_partial32(x: float32x4_t, p: *mut f32, n: usize) {
    unsafe {
        match n {
            0 => {}
            1 => vst1q_lane_f32::<0>(p, x),
            2 => vst1_f32(p, vget_low_f32(x)),
            3 => {
                vst1_f32(p, vget_low_f32(x));
                vst1q_lane_f32::<2>(p.add(2), x);
            }
            _ => vst1q_f32(p, x),
        }
    }
}

/// The first n of 2 elements (all if n is larger), the others 0.
#[inline(always)]
unsafe fn load_partial64(p: *const f64, n: usize) -> float64x2_t {
    unsafe {
        match n {
            0 => vdupq_n_f64(0.0),
            1 => vcombine_f64(vld1_f64(p), vdup_n_f64(0.0)),
            _ => vld1q_f64(p),
        }
    }
}

#[inline(always)]
unsafe fn store_partial64(x: float64x2_t, p: *mut f64, n: usize) {
    unsafe {
        match n {
            0 => {}
            1 => vst1_f64(p, vget_low_f64(x)),
            _ => vst1q_f64(p, x),
        }
    }
}

neon!(
    F32x8, float32x4_t, f32, 8, uint32x4_t, 1 << 31,
    vdupq_n_f32 vdupq_n_u32 vld1q_f32 vst1q_f32 vaddq_f32 vsubq_f32 vmulq_f32 vdivq_f32 vfmaq_f32
    vabsq_f32 vsqrtq_f32 vrndnq_f32 vzip1q_f32 vzip2q_f32 vcltq_f32 vbslq_f32,
    load_partial: load_partial32, store_partial: store_partial32,
    exp2_integer: |x| vreinterpretq_f32_s32(vshlq_n_s32::<23>(vaddq_s32(vcvtq_s32_f32(x), vdupq_n_s32(127))))
);
neon!(
    F64x4, float64x2_t, f64, 4, uint64x2_t, 1 << 63,
    vdupq_n_f64 vdupq_n_u64 vld1q_f64 vst1q_f64 vaddq_f64 vsubq_f64 vmulq_f64 vdivq_f64 vfmaq_f64
    vabsq_f64 vsqrtq_f64 vrndnq_f64 vzip1q_f64 vzip2q_f64 vcltq_f64 vbslq_f64,
    load_partial: load_partial64, store_partial: store_partial64,
    exp2_integer: |x| vreinterpretq_f64_s64(vshlq_n_s64::<52>(vaddq_s64(vcvtq_s64_f64(x), vdupq_n_s64(1023))))
);
