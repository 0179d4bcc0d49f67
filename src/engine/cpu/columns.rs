//! Loops over columns: sums of rows, softmax and its derivative, cross-entropy.
//!
//! # Method
//!
//! Softmax makes three passes over a column: the largest element; `exp(x - largest)` and its sum; the division. Sums over a column are in f64, from the
//! first element to the last, so that they do not depend on the instruction set's vectors. Cross-entropy is computed from the logits:
//! `-sum t ln softmax(z) = sum t (largest + ln sum exp(z - largest) - z)`.

use super::lanes::{each, fold, load, store};
use crate::engine::simd::math::exp;
use crate::engine::simd::{Isa, Vector, Vectors, isa_functions};
use crate::scalar::{Family, Scalar};

/// The loops of one instruction set. All pointers are to contiguous elements: readable, and writable where the loop writes.
#[derive(Clone, Copy)]
pub(super) struct ColumnLoops<T> {
    /// `(rows, columns, alpha, x, x_column, beta, y)`: `y_i = alpha sum_j x_ij + beta y_i`, in the order of j.
    pub row_sums: unsafe fn(usize, usize, T, *const T, usize, T, *mut T),
    /// `(n, x, y)`: `y = softmax(x)`; y may be x.
    pub softmax: unsafe fn(usize, *const T, *mut T),
    /// `(n, a, delta)`: `delta = a ⊙ (delta - a · delta)`.
    pub softmax_derivative: unsafe fn(usize, *const T, *mut T),
    /// `(n, z, t, delta)`: returns `-sum t ln softmax(z)`; `delta = (sum t) softmax(z) - t` unless delta is null.
    pub softmax_cross_entropy: unsafe fn(usize, *const T, *const T, *mut T) -> T,
}

impl Family for ColumnLoops<f32> {
    type Of<T: Scalar> = ColumnLoops<T>;
}

impl<T: Scalar> ColumnLoops<T> {
    pub(super) fn new(isa: Isa) -> ColumnLoops<T> {
        T::pick::<ColumnLoops<f32>>(loops(isa), loops(isa))
    }
}

fn loops<T: Vectors>(isa: Isa) -> ColumnLoops<T> {
    macro_rules! table {
        ($sums:ident $softmax:ident $derivative:ident $entropy:ident) => {
            ColumnLoops {
                row_sums: $sums::<T>,
                softmax: $softmax::<T>,
                softmax_derivative: $derivative::<T>,
                softmax_cross_entropy: $entropy::<T>,
            }
        };
    }
    match isa {
        Isa::Portable => {
            table!(sums_portable softmax_portable derivative_portable entropy_portable)
        }
        Isa::Neon => table!(sums_neon softmax_neon derivative_neon entropy_neon),
        Isa::Avx2 => table!(sums_avx2 softmax_avx2 derivative_avx2 entropy_avx2),
        Isa::Avx512 => table!(sums_avx512 softmax_avx512 derivative_avx512 entropy_avx512),
    }
}

isa_functions!(sums_portable sums_neon sums_avx2 sums_avx512 = row_sums [] []
    (rows: usize, columns: usize, alpha: T, x: *const T, x_column: usize, beta: T, y: *mut T));
isa_functions!(softmax_portable softmax_neon softmax_avx2 softmax_avx512 = softmax [] []
    (n: usize, x: *const T, y: *mut T));
isa_functions!(derivative_portable derivative_neon derivative_avx2 derivative_avx512 = softmax_derivative [] []
    (n: usize, a: *const T, delta: *mut T));
isa_functions!(entropy_portable entropy_neon entropy_avx2 entropy_avx512 = softmax_cross_entropy [] []
    (n: usize, z: *const T, t: *const T, delta: *mut T) -> T);

#[inline(always)]
unsafe fn row_sums<V: Vector>(
    rows: usize,
    columns: usize,
    alpha: V::T,
    x: *const V::T,
    x_column: usize,
    beta: V::T,
    y: *mut V::T,
) {
    each::<V>(rows, |i, n| {
        let mut sum = V::of(0.0);
        for j in 0..columns {
            // SAFETY: rows i .. i + n of column j are readable, see `ColumnLoops`.
            sum = sum + unsafe { load(x.add(i + j * x_column), n) };
        }
        let mut value = sum * V::splat(alpha);
        // SAFETY: rows i .. i + n of y are writable, see `ColumnLoops`.
        unsafe {
            if beta != V::T::from_f64(0.0) {
                value = load::<V>(y.add(i), n).mul_add(V::splat(beta), value);
            }
            store(value, y.add(i), n);
        }
    });
}

/// The largest element; NaN if there is one.
#[inline(always)]
unsafe fn largest<V: Vector>(n: usize, x: *const V::T) -> f64 {
    let mut largest = f64::NEG_INFINITY;
    each::<V>(n, |i, count| {
        // SAFETY: elements i .. i + count are within the column, see `ColumnLoops`.
        let x: V = unsafe { load(x.add(i), count) };
        largest = fold(x, count, largest, |a, b| if b > a || b.is_nan() { b } else { a });
    });
    largest
}

/// `y = exp(x - largest)`; returns the sum.
#[inline(always)]
unsafe fn exponentials<V: Vector>(n: usize, x: *const V::T, largest: f64, y: *mut V::T) -> f64 {
    let mut sum = 0.0;
    each::<V>(n, |i, count| {
        // SAFETY: elements i .. i + count are within the column, see `ColumnLoops`.
        let e: V = exp(unsafe { load::<V>(x.add(i), count) } - V::of(largest));
        sum = fold(e, count, sum, |a, b| a + b);
        // SAFETY: elements i .. i + count are within the column, see `ColumnLoops`.
        unsafe { store(e, y.add(i), count) };
    });
    sum
}

#[inline(always)]
unsafe fn softmax<V: Vector>(n: usize, x: *const V::T, y: *mut V::T) {
    // SAFETY: `each` stays within the n elements, see `ColumnLoops`.
    unsafe {
        let largest = largest::<V>(n, x);
        let sum = exponentials::<V>(n, x, largest, y);
        each::<V>(n, |i, count| store(load::<V>(y.add(i), count) / V::of(sum), y.add(i), count));
    }
}

#[inline(always)]
unsafe fn softmax_derivative<V: Vector>(n: usize, a: *const V::T, delta: *mut V::T) {
    let mut dot = 0.0;
    // SAFETY: `each` stays within the n elements, see `ColumnLoops`.
    unsafe {
        each::<V>(n, |i, count| {
            dot =
                fold(load::<V>(a.add(i), count) * load(delta.add(i), count), count, dot, |a, b| {
                    a + b
                });
        });
        each::<V>(n, |i, count| {
            let value = load::<V>(a.add(i), count) * (load::<V>(delta.add(i), count) - V::of(dot));
            store(value, delta.add(i), count);
        });
    }
}

#[inline(always)]
unsafe fn softmax_cross_entropy<V: Vector>(
    n: usize,
    z: *const V::T,
    t: *const V::T,
    delta: *mut V::T,
) -> V::T {
    // SAFETY: `each` stays within the n elements, see `ColumnLoops`.
    unsafe {
        let largest = largest::<V>(n, z);
        let (mut sum, mut targets, mut picked) = (0.0, 0.0, 0.0);
        each::<V>(n, |i, count| {
            let (z, t) = (load::<V>(z.add(i), count) - V::of(largest), load::<V>(t.add(i), count));
            let e = exp(z);
            sum = fold(e, count, sum, |a, b| a + b);
            targets = fold(t, count, targets, |a, b| a + b);
            picked = fold(t * z, count, picked, |a, b| a + b);
            if !delta.is_null() {
                store(e, delta.add(i), count);
            }
        });
        if !delta.is_null() {
            let scale = V::of(targets / sum);
            each::<V>(n, |i, count| {
                let value =
                    load::<V>(delta.add(i), count).mul_add(scale, -load::<V>(t.add(i), count));
                store(value, delta.add(i), count);
            });
        }
        V::T::from_f64(targets * libm::log(sum) - picked)
    }
}
