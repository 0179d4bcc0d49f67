//! Update rules of optimizers as data: one pass over a parameter, its gradient and what an optimizer remembers of
//! earlier ones.

use super::{Isa, Vector};
use crate::scalar::{Family, Scalar};

/// Most moments that a rule keeps beside a parameter.
pub(crate) const MOMENTS: usize = 2;
/// Numbers that a rule takes.
pub(crate) const NUMBERS: usize = 8;

/// What happens to an element w of a parameter and its moments, given its gradient g.
pub(crate) trait Rule {
    /// A name in the field's terms, for messages.
    const NAME: &'static str;
    /// The same as statements of the kernels' language, of `*w`, `g`, `*m`, `*v` and p0 ... p7.
    const KERNEL: &'static str;
    /// Moments it reads and writes.
    const MOMENTS: usize;
    fn eval<V: Vector>(w: &mut V, g: V, moments: &mut [V; MOMENTS], p: [V; NUMBERS]);
}

/// An update rule, ready to run.
pub struct Update {
    /// Its name, for messages.
    pub name: &'static str,
    /// The rule as statements of the kernels' language, of `*w`, `g`, `*m`, `*v` and p0 ... p7.
    pub kernel: &'static str,
    /// Moments it reads and writes, at most two.
    pub moments: usize,
    f32: UpdateLoops<f32>,
    f64: UpdateLoops<f64>,
}

/// A rule that every engine has, and its numbers in one step.
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

/// Writes a rule twice, for the host and for the kernels: `rule!(Name = "name", |w, g, [m, v], p| { ... }, "...")` with as
/// many moments as it has. Tests hold the two together.
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

/// The loop, once generic over the vector and once compiled for every instruction set.
mod loops {
    use super::*;
    use crate::engine::cpu::vector::{Vectors, isa_functions};

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
        // SAFETY: the caller hands n elements of everything that the rule has.
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
