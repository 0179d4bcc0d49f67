//! Vectors of plain arrays, for machines without another instruction set and as a second opinion in tests.

use std::ops::{Add, Div, Mul, Neg, Sub};

use super::vector::{ROUND_F32, ROUND_F64, Vector, operators};

/// A vector type of a plain array, which the compiler vectorizes for the target of the build.
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
                // SAFETY: the caller promises that `LANES` elements are readable.
                $name(unsafe { p.cast::<[$t; $lanes]>().read_unaligned() })
            }
            #[inline(always)]
            unsafe fn load_partial(p: *const $t, n: usize) -> Self {
                // SAFETY: only the first `n` elements are read, which the caller promises to be readable.
                $name(std::array::from_fn(|i| if i < n { unsafe { *p.add(i) } } else { 0.0 }))
            }
            #[inline(always)]
            fn prefetch(_p: *const $t) {}
            #[inline(always)]
            fn prefetch_l2(_p: *const $t) {}
            #[inline(always)]
            unsafe fn store(self, p: *mut $t) {
                // SAFETY: the caller promises that `LANES` elements are writable.
                unsafe { p.cast::<[$t; $lanes]>().write_unaligned(self.0) }
            }
            #[inline(always)]
            unsafe fn store_partial(self, p: *mut $t, n: usize) {
                for (i, x) in self.0.into_iter().enumerate().take(n) {
                    // SAFETY: `i < n`, and the caller promises that `n` elements are writable.
                    unsafe { *p.add(i) = x }
                }
            }
            #[inline(always)]
            fn mul_add(self, b: Self, c: Self) -> Self {
                // Without the instruction, `f32::mul_add` calls the C library, which takes a hundred times as long.
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
