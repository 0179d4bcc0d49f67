//! The rules of optimizers as data: one pass over a parameter, its gradient and its moments (the averages of earlier gradients).
//!
//! A rule's eight numbers include everything that is the same for all elements, such as Adam's bias corrections; optimizers
//! compute them on the host, in f64, once a step.

use crate::engine::simd::{Isa, Vector};
use crate::scalar::{Family, Scalar};

/// The largest number of moments of a rule.
pub(crate) const MOMENTS: usize = 2;
/// The number of parameters of a rule.
pub(crate) const NUMBERS: usize = 8;

/// The update of an element w of a parameter and its moments by its gradient g.
pub(crate) trait Rule {
    /// The name in messages.
    const NAME: &'static str;
    /// The rule in the kernels' language: statements of `*w`, `g`, `*m`, `*v` and p0 ... p7.
    const KERNEL: &'static str;
    /// Number of moments that the rule reads and writes.
    const MOMENTS: usize;
    fn eval<V: Vector>(w: &mut V, g: V, moments: &mut [V; MOMENTS], p: [V; NUMBERS]);
}

/// An update rule, compiled.
pub struct Update {
    /// The name in messages.
    pub name: &'static str,
    /// The rule in the kernels' language: statements of `*w`, `g`, `*m`, `*v` and p0 ... p7.
    pub kernel: &'static str,
    /// Number of moments that the rule reads and writes, at most two.
    pub moments: usize,
    f32: UpdateLoops<f32>,
    f64: UpdateLoops<f64>,
}

/// A rule and its parameters in one step.
#[derive(Clone, Copy)]
pub struct UpdateRule {
    pub(crate) rule: &'static Update,
    pub(crate) p: [f64; NUMBERS],
}

/// `(n, p, w, g, moments)`: applies the rule to n elements; g may be a moment.
pub(crate) type UpdateLoop<T> =
    unsafe fn(usize, &[T; NUMBERS], *mut T, *const T, [*mut T; MOMENTS]);

#[derive(Clone, Copy)]
struct UpdateLoops<T>([UpdateLoop<T>; Isa::COUNT]);

impl Family for UpdateLoops<f32> {
    type Of<T: Scalar> = UpdateLoops<T>;
}

impl Update {
    pub(crate) const fn of<F: Rule>() -> Update {
        use loops::*;
        assert!(F::MOMENTS <= MOMENTS);
        Update {
            name: F::NAME,
            kernel: F::KERNEL,
            moments: F::MOMENTS,
            f32: UpdateLoops([
                update_portable::<f32, F>,
                update_neon::<f32, F>,
                update_avx2::<f32, F>,
                update_avx512::<f32, F>,
            ]),
            f64: UpdateLoops([
                update_portable::<f64, F>,
                update_neon::<f64, F>,
                update_avx2::<f64, F>,
                update_avx512::<f64, F>,
            ]),
        }
    }

    pub(crate) fn host<T: Scalar>(&self, isa: Isa) -> UpdateLoop<T> {
        T::pick::<UpdateLoops<f32>>(self.f32, self.f64).0[isa as usize]
    }
}

/// Declares a rule, once in Rust and once in the kernels' language: `rule!(Name = "name", |w, g, [m, v], p| { ... }, "...")`, with as
/// many moments as the rule has. `tests/engines/optimizers.rs` compares the two on every engine.
macro_rules! rule {
    ($name:ident = $text:literal, |$w:ident, $g:ident, [$($m:ident),*], $p:ident| $body:block, $kernel:literal) => {
        struct $name;
        impl $crate::engine::formula::Rule for $name {
            const NAME: &'static str = $text;
            const KERNEL: &'static str = $kernel;
            const MOMENTS: usize = <[&str]>::len(&[$(stringify!($m)),*]);
            #[inline(always)]
            fn eval<V: $crate::engine::formula::Vector>(
                $w: &mut V,
                $g: V,
                [$($m,)* ..]: &mut [V; $crate::engine::formula::MOMENTS],
                $p: [V; $crate::engine::formula::NUMBERS],
            ) {
                $body
            }
        }
    };
}
pub(crate) use rule;

/// The loop: generic over the vector, then compiled for every instruction set.
mod loops {
    use super::*;
    use crate::engine::simd::{Vectors, isa_functions};

    #[inline(always)]
    unsafe fn update<V: Vector, F: Rule>(
        n: usize,
        p: &[V::T; NUMBERS],
        w: *mut V::T,
        g: *const V::T,
        moments: [*mut V::T; MOMENTS],
    ) {
        let p = p.map(V::splat);
        let whole = n - n % V::LANES;
        let rest = n - whole;
        // SAFETY: the caller promises n elements of w, g and the moments that the rule has, writable where it writes.
        unsafe {
            for i in (0..whole).step_by(V::LANES) {
                let (mut x, mut kept) = (V::load(w.add(i)), [V::of(0.0); MOMENTS]);
                for k in 0..F::MOMENTS {
                    kept[k] = V::load(moments[k].add(i));
                }
                F::eval(&mut x, V::load(g.add(i)), &mut kept, p);
                x.store(w.add(i));
                for k in 0..F::MOMENTS {
                    kept[k].store(moments[k].add(i));
                }
            }
            if rest > 0 {
                let (mut x, mut kept) =
                    (V::load_partial(w.add(whole), rest), [V::of(0.0); MOMENTS]);
                for k in 0..F::MOMENTS {
                    kept[k] = V::load_partial(moments[k].add(whole), rest);
                }
                F::eval(&mut x, V::load_partial(g.add(whole), rest), &mut kept, p);
                x.store_partial(w.add(whole), rest);
                for k in 0..F::MOMENTS {
                    kept[k].store_partial(moments[k].add(whole), rest);
                }
            }
        }
    }

    isa_functions!(update_portable update_neon update_avx2 update_avx512 = update [F: Rule] []
        (n: usize, p: &[T; NUMBERS], w: *mut T, g: *const T, moments: [*mut T; MOMENTS]));
}
