//! Element-wise mathematics as data.
//!
//! A formula is a type without values that says what happens to one element; [`Map`] (one operand) and [`Zip`] (two)
//! turn it into a table of compiled loops that an engine picks from. Whoever adds an activation or a loss writes the
//! formula beside it, and no engine changes. [`Update`] is the same for the rules of optimizers.

use crate::scalar::{Family, Scalar};

use super::cpu::vector::Isa;
pub(crate) use super::cpu::vector::Vector;

mod update;

pub(crate) use update::{MOMENTS, NUMBERS, Rule, UpdateLoop, rule};
pub use update::{Update, UpdateRule};

/// `y = f(x; p)`, element by element, with up to four parameters.
pub(crate) trait Unary {
    /// A name in the field's terms, for messages.
    const NAME: &'static str;
    /// The same as an expression of the kernels' language, of x and p0 ... p3.
    const KERNEL: &'static str;
    fn eval<V: Vector>(x: V, p: [V; 4]) -> V;
}

/// `z = f(x, y; p)`, element by element, with up to four parameters.
pub(crate) trait Binary {
    /// A name in the field's terms, for messages.
    const NAME: &'static str;
    /// The same as an expression of the kernels' language, of x, y and p0 ... p3.
    const KERNEL: &'static str;
    fn eval<V: Vector>(x: V, y: V, p: [V; 4]) -> V;
}

/// A formula of one operand, ready to run.
pub struct Map {
    /// Its name, for messages.
    pub name: &'static str,
    /// The formula as an expression of the kernels' language, of x and p0 ... p3.
    pub kernel: &'static str,
    f32: UnaryLoops<f32>,
    f64: UnaryLoops<f64>,
}

/// A formula of two operands, ready to run.
pub struct Zip {
    /// Its name, for messages.
    pub name: &'static str,
    /// The formula as an expression of the kernels' language, of x, y and p0 ... p3.
    pub kernel: &'static str,
    f32: BinaryLoops<f32>,
    f64: BinaryLoops<f64>,
}

/// `(n, p, x, y)`: applies the formula to n elements; x and y may be the same.
pub(crate) type UnaryLoop<T> = unsafe fn(usize, &[T; 4], *const T, *mut T);
/// `(n, p, x, y, z)`: applies the formula to n elements; z may be x or y.
pub(crate) type BinaryLoop<T> = unsafe fn(usize, &[T; 4], *const T, *const T, *mut T);
/// `(n, p, x, y)`: the sum of the formula over n elements, in a fixed order.
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

/// Writes a formula twice, for the host and for the kernels: `formula!(Name = "name", |x, p| expression, "expression")` or,
/// with two operands, `|x, y, p|`. Conformance holds the two together. What only the CPU engine uses has no kernel text.
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

/// The loops, once generic over the vector and once compiled for every instruction set.
mod loops {
    use super::*;
    use crate::engine::cpu::vector::{Vectors, isa_functions};

    #[inline(always)]
    unsafe fn unary<V: Vector, F: Unary>(n: usize, p: &[V::T; 4], x: *const V::T, y: *mut V::T) {
        let p = p.map(V::splat);
        let whole = n - n % V::LANES;
        // SAFETY: the caller hands n readable and n writable elements.
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
        // SAFETY: the caller hands 2 n readable and n writable elements.
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

    /// Lane i adds up elements i, i + LANES ... ; the lanes are added from first to last.
    #[inline(always)]
    unsafe fn sum<V: Vector, F: Binary>(
        n: usize,
        p: &[V::T; 4],
        x: *const V::T,
        y: *const V::T,
    ) -> V::T {
        const MOST_LANES: usize = 16;
        let zero = V::T::from_f64(0.0);
        let p = p.map(V::splat);
        let (whole, rest) = (n - n % V::LANES, n % V::LANES);
        let mut total = V::splat(zero);
        let mut lanes = [zero; MOST_LANES];
        let mut last = [zero; MOST_LANES];
        // SAFETY: the caller hands 2 n readable elements; a vector fits into MOST_LANES.
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
