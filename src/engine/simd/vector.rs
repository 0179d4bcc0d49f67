//! The trait that loops and formulas are generic over, and what its implementations share.

use std::ops::{Add, Div, Mul, Neg, Sub};

use crate::scalar::Scalar;

/// A vector of a few scalars.
///
/// Comparisons are ordered: with a NaN they are false.
pub(crate) trait Vector:
    Copy
    + Add<Output = Self>
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Div<Output = Self>
    + Neg<Output = Self>
{
    /// The element type.
    type T: Scalar;
    /// The result of a comparison, lane by lane.
    type Mask: Copy;
    /// Number of elements.
    const LANES: usize;

    /// `x` in every lane.
    fn splat(x: Self::T) -> Self;
    /// # Safety
    /// `LANES` elements from `p` on are readable.
    unsafe fn load(p: *const Self::T) -> Self;
    /// The first `n` elements, the others 0.
    /// # Safety
    /// `n <= LANES` elements from `p` on are readable.
    unsafe fn load_partial(p: *const Self::T, n: usize) -> Self;
    /// Prefetches the cache line of `p` into the L1 cache; `p` may be any address.
    fn prefetch(p: *const Self::T);
    /// Prefetches the cache line of `p` into the L2 cache; `p` may be any address.
    fn prefetch_l2(p: *const Self::T);
    /// # Safety
    /// `LANES` elements from `p` on are writable.
    unsafe fn store(self, p: *mut Self::T);
    /// # Safety
    /// `n <= LANES` elements from `p` on are writable.
    unsafe fn store_partial(self, p: *mut Self::T, n: usize);

    /// `self * b + c`, rounded once where the instruction set has a fused multiply-add.
    fn mul_add(self, b: Self, c: Self) -> Self;
    /// `self > other ? self : other`, so a NaN in `other` is kept and one in `self` is dropped.
    fn max(self, other: Self) -> Self;
    /// `self < other ? self : other`, so a NaN in `other` is kept and one in `self` is dropped.
    fn min(self, other: Self) -> Self;
    fn abs(self) -> Self;
    fn sqrt(self) -> Self;
    /// `self / (sqrt(square) + offset)` for a positive square that is normal or infinite, within 2.5 units in the last place; NaN for NaN. Faster than
    /// its parts where the instruction set approximates inverse roots.
    #[inline(always)]
    fn over_root(self, square: Self, offset: Self) -> Self {
        self / (square.sqrt() + offset)
    }
    /// The magnitude of `self` with the sign of `sign`.
    fn copysign(self, sign: Self) -> Self;
    /// Rounded to the nearest integer, ties to even, for magnitudes below 2^22 (f32) and 2^51 (f64).
    fn round(self) -> Self;
    /// `2^self` for an integer in the range of exponents of normal numbers.
    fn exp2_integer(self) -> Self;
    fn less(self, other: Self) -> Self::Mask;
    /// The first and the second half of `self[0] other[0] self[1] other[1] ...`.
    fn interleave(self, other: Self) -> (Self, Self);
    /// Lanes of `yes` where the mask is set, lanes of `no` elsewhere.
    fn select(mask: Self::Mask, yes: Self, no: Self) -> Self;

    /// Rounded to a multiple of 2^-124, so that no lane is subnormal. Other lanes change by at most one unit in the last place.
    ///
    /// For the running means of optimizers: a mean that decays becomes subnormal, rounding then keeps it from ever reaching
    /// 0, and processors are slow with subnormal numbers.
    #[inline(always)]
    fn without_subnormals(self) -> Self {
        let coarse = Self::of(1.0 / (1u128 << 100) as f64);
        (self + coarse) - coarse
    }

    /// Subnormal lanes become 0, the others stay. Intel's processors multiply subnormal numbers in microcode, which is slow.
    #[inline(always)]
    fn normal_or_zero(self) -> Self {
        let least = if size_of::<Self::T>() == 4 {
            f64::from(f32::MIN_POSITIVE)
        } else {
            f64::MIN_POSITIVE
        };
        Self::select(self.abs().less(Self::of(least)), Self::of(0.0), self)
    }

    /// [`Vector::without_subnormals`] for squares, which are never negative: at least 2^-124.
    #[inline(always)]
    fn above_subnormals(self) -> Self {
        Self::of(1.0 / (1u128 << 124) as f64).max(self)
    }

    /// The nearest value to `x` in every lane.
    #[inline(always)]
    fn of(x: f64) -> Self {
        Self::splat(Self::T::from_f64(x))
    }
}

/// `1.5 * 2^23`: adding it to a number rounds that to an integer and leaves the integer in the low bits of the sum; subtracting it again
/// gives the rounded number.
pub(super) const ROUND_F32: f32 = 12_582_912.0;
/// `1.5 * 2^52`, see [`ROUND_F32`].
pub(super) const ROUND_F64: f64 = 6_755_399_441_055_744.0;

/// The operators of a vector type, from one expression for each.
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
pub(super) use operators;
