//! Element-wise mathematics as data.
//!
//! A formula is a type without values whose function computes one element, generic over a vector. [`Map`] (one operand) and [`Zip`] (two)
//! compile it into a loop for each instruction set and scalar, and an engine picks a loop from that table. A new activation or loss is
//! therefore one formula beside its definition, and no engine changes. [`Update`] does the same for the rules of optimizers.

use crate::scalar::{Family, Scalar};

use super::simd::Isa;
pub(crate) use super::simd::Vector;

mod update;

pub(crate) use update::{MOMENTS, NUMBERS, Rule, UpdateLoop, rule};
pub use update::{Update, UpdateRule};

/// `y = f(x; p)`, element by element, with up to four parameters.
pub(crate) trait Unary {
    /// The name in messages.
    const NAME: &'static str;
    /// The formula in the kernels' language, an expression of x and p0 ... p3.
    const KERNEL: &'static str;
    fn eval<V: Vector>(x: V, p: [V; 4]) -> V;
}

/// `z = f(x, y; p)`, element by element, with up to four parameters.
pub(crate) trait Binary {
    /// The name in messages.
    const NAME: &'static str;
    /// The formula in the kernels' language, an expression of x, y and p0 ... p3.
    const KERNEL: &'static str;
    fn eval<V: Vector>(x: V, y: V, p: [V; 4]) -> V;
}

/// A formula of one operand, compiled.
pub struct Map {
    /// The name in messages.
    pub name: &'static str,
    /// The formula in the kernels' language, an expression of x and p0 ... p3.
    pub kernel: &'static str,
    f32: UnaryLoops<f32>,
    f64: UnaryLoops<f64>,
}

/// A formula of two operands, compiled.
pub struct Zip {
    /// The name in messages.
    pub name: &'static str,
    /// The formula in the kernels' language, an expression of x, y and p0 ... p3.
    pub kernel: &'static str,
    f32: BinaryLoops<f32>,
    f64: BinaryLoops<f64>,
}

/// `(n, p, x, y)`: `y_i = f(x_i; p)` for n elements; y may be x.
pub(crate) type UnaryLoop<T> = unsafe fn(usize, &[T; 4], *const T, *mut T);
/// `(n, p, x, y, z)`: `z_i = f(x_i, y_i; p)` for n elements; z may be x or y.
pub(crate) type BinaryLoop<T> = unsafe fn(usize, &[T; 4], *const T, *const T, *mut T);
/// `(n, p, x, y)`: `sum_i f(x_i, y_i; p)` over n elements, in an order that depends on n alone.
pub(crate) type BinarySum<T> = unsafe fn(usize, &[T; 4], *const T, *const T) -> T;

#[derive(Clone, Copy)]
struct UnaryLoops<T>([UnaryLoop<T>; Isa::COUNT]);

#[derive(Clone, Copy)]
struct BinaryLoops<T> {
    store: [BinaryLoop<T>; Isa::COUNT],
    sum: [BinarySum<T>; Isa::COUNT],
}

impl Family for UnaryLoops<f32> {
    type Of<T: Scalar> = UnaryLoops<T>;
}

impl Family for BinaryLoops<f32> {
    type Of<T: Scalar> = BinaryLoops<T>;
}

impl Map {
    pub(crate) const fn of<F: Unary>() -> Map {
        use loops::*;
        Map {
            name: F::NAME,
            kernel: F::KERNEL,
            f32: UnaryLoops([
                unary_portable::<f32, F>,
                unary_neon::<f32, F>,
                unary_avx2::<f32, F>,
                unary_avx512::<f32, F>,
            ]),
            f64: UnaryLoops([
                unary_portable::<f64, F>,
                unary_neon::<f64, F>,
                unary_avx2::<f64, F>,
                unary_avx512::<f64, F>,
            ]),
        }
    }

    pub(crate) fn host<T: Scalar>(&self, isa: Isa) -> UnaryLoop<T> {
        T::pick::<UnaryLoops<f32>>(self.f32, self.f64).0[isa as usize]
    }
}

impl Zip {
    pub(crate) const fn of<F: Binary>() -> Zip {
        use loops::*;
        Zip {
            name: F::NAME,
            kernel: F::KERNEL,
            f32: BinaryLoops {
                store: [
                    binary_portable::<f32, F>,
                    binary_neon::<f32, F>,
                    binary_avx2::<f32, F>,
                    binary_avx512::<f32, F>,
                ],
                sum: [
                    sum_portable::<f32, F>,
                    sum_neon::<f32, F>,
                    sum_avx2::<f32, F>,
                    sum_avx512::<f32, F>,
                ],
            },
            f64: BinaryLoops {
                store: [
                    binary_portable::<f64, F>,
                    binary_neon::<f64, F>,
                    binary_avx2::<f64, F>,
                    binary_avx512::<f64, F>,
                ],
                sum: [
                    sum_portable::<f64, F>,
                    sum_neon::<f64, F>,
                    sum_avx2::<f64, F>,
                    sum_avx512::<f64, F>,
                ],
            },
        }
    }

    pub(crate) fn host<T: Scalar>(&self, isa: Isa) -> BinaryLoop<T> {
        T::pick::<BinaryLoops<f32>>(self.f32, self.f64).store[isa as usize]
    }

    pub(crate) fn host_sum<T: Scalar>(&self, isa: Isa) -> BinarySum<T> {
        T::pick::<BinaryLoops<f32>>(self.f32, self.f64).sum[isa as usize]
    }
}

/// Declares a formula, once in Rust and once in the kernels' language: `formula!(Name = "name", |x, p| expression, "expression")`, with
/// two operands `|x, y, p|`. `tests/engines/conformance.rs` compares the two on every engine. A formula that only the CPU engine uses has no
/// kernel text.
macro_rules! formula {
    ($name:ident = $text:literal, |$x:ident, $p:pat_param| $value:expr $(, $kernel:literal)?) => {
        struct $name;
        impl $crate::engine::formula::Unary for $name {
            const NAME: &'static str = $text;
            const KERNEL: &'static str = concat!($($kernel)?);
            #[inline(always)]
            fn eval<V: $crate::engine::formula::Vector>($x: V, $p: [V; 4]) -> V {
                $value
            }
        }
    };
    ($name:ident = $text:literal, |$x:ident, $y:ident, $p:pat_param| $value:expr $(, $kernel:literal)?) => {
        struct $name;
        impl $crate::engine::formula::Binary for $name {
            const NAME: &'static str = $text;
            const KERNEL: &'static str = concat!($($kernel)?);
            #[inline(always)]
            fn eval<V: $crate::engine::formula::Vector>($x: V, $y: V, $p: [V; 4]) -> V {
                $value
            }
        }
    };
}
pub(crate) use formula;

formula!(Same = "copy", |x, _p| x, "x");

/// `y = x`
pub(crate) static COPY: Map = Map::of::<Same>();

/// The loops: generic over the vector, then compiled for every instruction set.
mod loops {
    use super::*;
    use crate::engine::simd::{Vectors, isa_functions};

    #[inline(always)]
    unsafe fn unary<V: Vector, F: Unary>(n: usize, p: &[V::T; 4], x: *const V::T, y: *mut V::T) {
        let p = p.map(V::splat);
        let whole = n - n % V::LANES;
        // SAFETY: the caller promises n readable elements of x and n writable elements of y.
        unsafe {
            for i in (0..whole).step_by(V::LANES) {
                F::eval(V::load(x.add(i)), p).store(y.add(i));
            }
            if whole < n {
                F::eval(V::load_partial(x.add(whole), n - whole), p)
                    .store_partial(y.add(whole), n - whole);
            }
        }
    }

    #[inline(always)]
    unsafe fn binary<V: Vector, F: Binary>(
        n: usize,
        p: &[V::T; 4],
        x: *const V::T,
        y: *const V::T,
        z: *mut V::T,
    ) {
        let p = p.map(V::splat);
        let whole = n - n % V::LANES;
        // SAFETY: the caller promises n readable elements of x and y and n writable elements of z.
        unsafe {
            for i in (0..whole).step_by(V::LANES) {
                F::eval(V::load(x.add(i)), V::load(y.add(i)), p).store(z.add(i));
            }
            if whole < n {
                let (x, y) = (
                    V::load_partial(x.add(whole), n - whole),
                    V::load_partial(y.add(whole), n - whole),
                );
                F::eval(x, y, p).store_partial(z.add(whole), n - whole);
            }
        }
    }

    /// Lane i adds up elements i, i + LANES, i + 2 LANES ...; then the lanes are added from the first to the last.
    #[inline(always)]
    unsafe fn sum<V: Vector, F: Binary>(
        n: usize,
        p: &[V::T; 4],
        x: *const V::T,
        y: *const V::T,
    ) -> V::T {
        const MAX_LANES: usize = 16;
        let zero = V::T::from_f64(0.0);
        let p = p.map(V::splat);
        let (whole, rest) = (n - n % V::LANES, n % V::LANES);
        let mut total = V::splat(zero);
        let mut lanes = [zero; MAX_LANES];
        let mut last = [zero; MAX_LANES];
        // SAFETY: the caller promises n readable elements of x and y; no vector has more than `MAX_LANES` lanes.
        unsafe {
            for i in (0..whole).step_by(V::LANES) {
                total = total + F::eval(V::load(x.add(i)), V::load(y.add(i)), p);
            }
            if rest > 0 {
                F::eval(
                    V::load_partial(x.add(whole), rest),
                    V::load_partial(y.add(whole), rest),
                    p,
                )
                .store_partial(last.as_mut_ptr(), rest);
                total = total + V::load(last.as_ptr());
            }
            total.store(lanes.as_mut_ptr());
        }
        let sum = lanes[..V::LANES].iter().fold(0.0, |sum, x| sum + x.to_f64());
        V::T::from_f64(sum)
    }

    isa_functions!(unary_portable unary_neon unary_avx2 unary_avx512 = unary [F: Unary] []
        (n: usize, p: &[T; 4], x: *const T, y: *mut T));
    isa_functions!(binary_portable binary_neon binary_avx2 binary_avx512 = binary [F: Binary] []
        (n: usize, p: &[T; 4], x: *const T, y: *const T, z: *mut T));
    isa_functions!(sum_portable sum_neon sum_avx2 sum_avx512 = sum [F: Binary] []
        (n: usize, p: &[T; 4], x: *const T, y: *const T) -> T);
}
