//! Parametric activations.
//!
//! # Method
//!
//! Forward and backward are a column at a time: the compiled loop of f, or of its derivative, writes a column of the output, and a second
//! loop blends it with the input while it is in the L1 cache. So an activation needs no loops of its own here. Gradients by a
//! are sums over columns for a block of rows, in the order of the columns: threads have blocks, and their number changes no bit.

use super::cpu_engine::CpuEngine;
use super::lanes::{each, load, store};
use super::pointers::{at, at_mut};
use crate::engine::blend::{Blend, BlendGradient, BlendPropagate};
use crate::engine::call::Derivative;
use crate::engine::memory::Span;
use crate::engine::simd::{Isa, Vector, Vectors, isa_functions};
use crate::scalar::{Family, Scalar};

/// Rows whose sums one task computes: some vectors of every instruction set, few enough to divide usual layers among threads.
const ROWS: usize = 64;
/// Elements of a simple loop that take as long as an activation and its blend.
const ELEMENTS_PER_ACTIVATION: usize = 8;

/// The loops of one instruction set. All pointers are to contiguous elements: readable, and writable where the loop writes.
#[derive(Clone, Copy)]
struct Loops<T> {
    /// `(n, a, x, y)`: `y = (1 - a) x + a y`.
    blend: unsafe fn(usize, *const T, *const T, *mut T),
    /// `(n, delta, x, f, sums)`: `sums = sums + delta (f - x)`.
    accumulate: unsafe fn(usize, *const T, *const T, *const T, *mut T),
    /// `(n, scale, sums, keep, sink)`: `sink = scale sums + keep sink`; sink is not read if keep is 0.
    sink: unsafe fn(usize, T, *const T, T, *mut T),
}

impl Family for Loops<f32> {
    type Of<T: Scalar> = Loops<T>;
}

fn loops<T: Vectors>(isa: Isa) -> Loops<T> {
    macro_rules! table {
        ($blend:ident $accumulate:ident $sink:ident) => {
            Loops { blend: $blend::<T>, accumulate: $accumulate::<T>, sink: $sink::<T> }
        };
    }
    match isa {
        Isa::Portable => table!(blend_portable add_portable sink_portable),
        Isa::Neon => table!(blend_neon add_neon sink_neon),
        Isa::Avx2 => table!(blend_avx2 add_avx2 sink_avx2),
        Isa::Avx512 => table!(blend_avx512 add_avx512 sink_avx512),
    }
}

isa_functions!(blend_portable blend_neon blend_avx2 blend_avx512 = blend [] []
    (n: usize, a: *const T, x: *const T, y: *mut T));
isa_functions!(add_portable add_neon add_avx2 add_avx512 = accumulate [] []
    (n: usize, delta: *const T, x: *const T, f: *const T, sums: *mut T));
isa_functions!(sink_portable sink_neon sink_avx2 sink_avx512 = sink [] []
    (n: usize, scale: T, sums: *const T, keep: T, to: *mut T));

#[allow(
    clippy::undocumented_unsafe_blocks,
    reason = "all unsafe functions here have the contract of `Engine`: shapes agree and memory is borrowed for the call"
)]
impl<T: Scalar> CpuEngine<T> {
    fn blenders(&self) -> Loops<T> {
        T::pick::<Loops<f32>>(loops(self.isa), loops(self.isa))
    }

    /// Calls `body` for `count` parts of a loop over the elements of a matrix of this shape.
    fn for_activations(&self, span: Span, count: usize, body: &(dyn Fn(usize) + Sync)) {
        let elements = span.rows * span.columns;
        self.for_work(elements.saturating_mul(ELEMENTS_PER_ACTIVATION), count, body);
    }

    /// # Safety
    /// As [`crate::engine::Engine`].
    pub(super) unsafe fn blend_columns(&self, call: &Blend) {
        let Blend { f, weights, input, output } = *call;
        let (map, p) = (f.map.host::<T>(self.isa), f.p.map(T::from_f64));
        let (blend, n) = (self.blenders().blend, output.rows);
        self.for_activations(output, output.columns, &|j| unsafe {
            let (x, y) = (at::<T>(input, j), at_mut::<T>(output, j));
            map(n, &p, x, y);
            blend(n, at(weights, 0), x, y);
        });
    }

    /// # Safety
    /// As [`crate::engine::Engine`].
    pub(super) unsafe fn blend_back(&self, call: &BlendPropagate) {
        let BlendPropagate { f, weights, input, delta, before, output } = *call;
        let (map, derivative) = (f.map.host::<T>(self.isa), f.derivative.host::<T>(self.isa));
        let p = f.p.map(T::from_f64);
        let before = match before {
            Derivative::Zip(f, p, kept) => Some((f.host::<T>(self.isa), p.map(T::from_f64), kept)),
            _ => None,
        };
        let (blend, n) = (self.blenders().blend, output.rows);
        self.for_activations(output, output.columns, &|j| unsafe {
            let (x, g, out) = (at::<T>(input, j), at::<T>(delta, j), at_mut::<T>(output, j));
            if f.keeps_input {
                derivative(n, &p, g, x, out);
            } else {
                map(n, &p, x, out);
                derivative(n, &p, g, out, out);
            }
            blend(n, at(weights, 0), g, out);
            if let Some((before, p, kept)) = &before {
                before(n, p, out, at(*kept, j), out);
            }
        });
    }

    /// # Safety
    /// As [`crate::engine::Engine`].
    pub(super) unsafe fn gradient_of_blend(&self, call: &BlendGradient) {
        let BlendGradient { f, input, delta, scale, keep, sink } = *call;
        let (map, p) = (f.map.host::<T>(self.isa), f.p.map(T::from_f64));
        let scale = T::from_f64(scale / delta.columns as f64);
        let keep = T::from_f64(keep);
        let loops = self.blenders();
        self.for_activations(delta, delta.rows.div_ceil(ROWS), &|index| unsafe {
            let first = index * ROWS;
            let n = ROWS.min(delta.rows - first);
            let (mut values, mut sums) = ([T::default(); ROWS], [T::default(); ROWS]);
            for j in 0..delta.columns {
                let x = at::<T>(input, j).wrapping_add(first);
                let g = at::<T>(delta, j).wrapping_add(first);
                map(n, &p, x, values.as_mut_ptr());
                (loops.accumulate)(n, g, x, values.as_ptr(), sums.as_mut_ptr());
            }
            (loops.sink)(n, scale, sums.as_ptr(), keep, at_mut::<T>(sink, 0).wrapping_add(first));
        });
    }
}

#[inline(always)]
unsafe fn blend<V: Vector>(n: usize, a: *const V::T, x: *const V::T, y: *mut V::T) {
    each::<V>(n, |i, count| {
        // SAFETY: elements i .. i + count are within the column, see `Loops`.
        unsafe {
            let (a, x) = (load::<V>(a.add(i), count), load::<V>(x.add(i), count));
            let y_i = load::<V>(y.add(i), count);
            store(a.mul_add(y_i, (V::of(1.0) - a) * x), y.add(i), count);
        }
    });
}

#[inline(always)]
unsafe fn accumulate<V: Vector>(
    n: usize,
    delta: *const V::T,
    x: *const V::T,
    f: *const V::T,
    sums: *mut V::T,
) {
    each::<V>(n, |i, count| {
        // SAFETY: elements i .. i + count are within the column, see `Loops`.
        unsafe {
            let by_a = load::<V>(f.add(i), count) - load::<V>(x.add(i), count);
            let sum = load::<V>(delta.add(i), count).mul_add(by_a, load(sums.add(i), count));
            store(sum, sums.add(i), count);
        }
    });
}

#[inline(always)]
unsafe fn sink<V: Vector>(n: usize, scale: V::T, sums: *const V::T, keep: V::T, to: *mut V::T) {
    each::<V>(n, |i, count| {
        // SAFETY: elements i .. i + count are within the column, see `Loops`.
        unsafe {
            let mut value = load::<V>(sums.add(i), count) * V::splat(scale);
            if keep != V::T::from_f64(0.0) {
                value = load::<V>(to.add(i), count).mul_add(V::splat(keep), value);
            }
            store(value, to.add(i), count);
        }
    });
}
