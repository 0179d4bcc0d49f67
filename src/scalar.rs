//! The element types of matrices.

use std::fmt::{Debug, Display, LowerExp};

/// An element of a matrix: `f32` or `f64`.
///
/// Matrices *store* a `Scalar`; reductions *accumulate* in [`Scalar::Accumulator`], so that the sum of a million `f32`
/// keeps its digits. The trait is sealed.
///
/// ```
/// use travertine::Scalar;
/// assert_eq!(f32::NAME, "f32");
/// assert_eq!(<f32 as Scalar>::from_f64(0.5).to_f64(), 0.5);
/// ```
pub trait Scalar:
    Copy
    + Send
    + Sync
    + Default
    + PartialEq
    + PartialOrd
    + Debug
    + Display
    + LowerExp
    + sealed::Sealed
    + 'static
{
    /// The type in which reductions accumulate.
    type Accumulator: Scalar;

    /// `"f32"` or `"f64"`.
    const NAME: &'static str;

    /// The nearest value to `x`.
    fn from_f64(x: f64) -> Self;

    /// This value, exactly.
    fn to_f64(self) -> f64;

    /// Whether the value is neither infinite nor NaN.
    fn is_finite(self) -> bool {
        self.to_f64().is_finite()
    }

    /// These values, exactly. Code behind it that computes in f64 is compiled once, not in every crate that uses this one.
    #[doc(hidden)]
    fn to_f64s(values: &[Self]) -> Vec<f64>;

    /// The nearest values to these.
    #[doc(hidden)]
    fn from_f64s(values: &[f64]) -> Vec<Self>;

    /// Chooses the member of a family for this type: a `match` on the type.
    ///
    /// It keeps vector types, tables of kernels and constructors of engines out of this public trait.
    #[doc(hidden)]
    fn pick<F: Family>(f32: F::Of<f32>, f64: F::Of<f64>) -> F::Of<Self>;
}

/// A family of types, one for each scalar; see [`Scalar::pick`].
#[doc(hidden)]
pub trait Family {
    /// The member of the family that belongs to `T`.
    type Of<T: Scalar>;
}

impl Scalar for f32 {
    type Accumulator = f64;
    const NAME: &'static str = "f32";

    #[inline(always)]
    fn from_f64(x: f64) -> Self {
        x as f32
    }

    #[inline(always)]
    fn to_f64(self) -> f64 {
        f64::from(self)
    }

    fn to_f64s(values: &[f32]) -> Vec<f64> {
        values.iter().map(|x| f64::from(*x)).collect()
    }

    fn from_f64s(values: &[f64]) -> Vec<f32> {
        values.iter().map(|x| *x as f32).collect()
    }

    fn pick<F: Family>(f32: F::Of<f32>, _: F::Of<f64>) -> F::Of<f32> {
        f32
    }
}

impl Scalar for f64 {
    type Accumulator = f64;
    const NAME: &'static str = "f64";

    #[inline(always)]
    fn from_f64(x: f64) -> Self {
        x
    }

    #[inline(always)]
    fn to_f64(self) -> f64 {
        self
    }

    fn to_f64s(values: &[f64]) -> Vec<f64> {
        values.to_vec()
    }

    fn from_f64s(values: &[f64]) -> Vec<f64> {
        values.to_vec()
    }

    fn pick<F: Family>(_: F::Of<f32>, f64: F::Of<f64>) -> F::Of<f64> {
        f64
    }
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for f32 {}
    impl Sealed for f64 {}
}
