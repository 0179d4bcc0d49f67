//! Normalization of rows (batch) and of columns (layer).
//!
//! # Method
//!
//! Rows are normalized a vector of rows at a time, over all columns: the vector's rows stay in the L1 cache for the mean, the variance and the output. Columns are
//! normalized one by one, with sums lane by lane and then from the first lane to the last. The variance is that of the differences from the mean, in a
//! pass of its own: the mean of squares less the square of the mean would lose digits.

use super::cpu_engine::CpuEngine;
use super::lanes::{MAX_LANES, each, load, store};
use super::pointers::{at, at_mut};
use crate::engine::memory::Span;
use crate::engine::normalize::{Along, Normalize, NormalizePropagate};
use crate::engine::simd::{Isa, Vector, Vectors, isa_functions};
use crate::scalar::{Family, Scalar};

/// Bytes of a block of rows that one task normalizes.
const ROW_BLOCK_BYTES: usize = 256;

/// A matrix with contiguous rows; a null pointer for none.
#[derive(Clone, Copy)]
pub(super) struct Columns<T> {
    p: *mut T,
    column: usize,
}

// SAFETY: tasks write disjoint rows or columns, see `CpuEngine::for_blocks`.
unsafe impl<T> Sync for Columns<T> {}

impl<T> Columns<T> {
    fn of(span: Span) -> Self {
        Columns { p: at_mut(span, 0), column: span.column_stride }
    }

    fn optional(span: Option<Span>) -> Self {
        span.map_or(Columns { p: std::ptr::null_mut(), column: 0 }, Columns::of)
    }

    fn at(self, i: usize, j: usize) -> *mut T {
        self.p.wrapping_add(i + j * self.column)
    }
}

/// The operands of [`Normalize`].
pub(super) struct Forward<T> {
    rows: usize,
    columns: usize,
    epsilon: T,
    given: bool,
    input: Columns<T>,
    weights: *const T,
    bias: *const T,
    moments: Columns<T>,
    normalized: Columns<T>,
    output: Columns<T>,
}

/// The operands of [`NormalizePropagate`].
pub(super) struct Backward<T> {
    rows: usize,
    columns: usize,
    epsilon: T,
    given: bool,
    weights: *const T,
    moments: Columns<T>,
    normalized: Columns<T>,
    delta: Columns<T>,
    output: Columns<T>,
}

// SAFETY: tasks write disjoint rows or columns, see `CpuEngine::for_blocks`.
unsafe impl<T> Sync for Forward<T> {}
// SAFETY: tasks write disjoint rows or columns, see `CpuEngine::for_blocks`.
unsafe impl<T> Sync for Backward<T> {}

type RowDots<T> = unsafe fn(usize, usize, T, Columns<T>, Columns<T>, T, *mut T);

/// The loops of one instruction set, over rows (or columns) `first .. end` of a call, whose matrices are readable and writable as [`Normalize`]
/// and [`NormalizePropagate`] say.
#[derive(Clone, Copy)]
struct Loops<T> {
    forward_rows: unsafe fn(&Forward<T>, usize, usize),
    forward_columns: unsafe fn(&Forward<T>, usize, usize),
    backward_rows: unsafe fn(&Backward<T>, usize, usize),
    backward_columns: unsafe fn(&Backward<T>, usize, usize),
    /// `(rows, columns, alpha, x, y, beta, sums)`: `sums_i = alpha sum_j x_ij y_ij + beta sums_i`, in the order of j.
    row_dots: RowDots<T>,
}

impl Family for Loops<f32> {
    type Of<T: Scalar> = Loops<T>;
}

fn loops<T: Vectors>(isa: Isa) -> Loops<T> {
    macro_rules! table {
        ($forward_rows:ident $forward_columns:ident $backward_rows:ident $backward_columns:ident $dots:ident) => {
            Loops {
                forward_rows: $forward_rows::<T>,
                forward_columns: $forward_columns::<T>,
                backward_rows: $backward_rows::<T>,
                backward_columns: $backward_columns::<T>,
                row_dots: $dots::<T>,
            }
        };
    }
    match isa {
        Isa::Portable => table!(fr_portable fc_portable br_portable bc_portable dots_portable),
        Isa::Neon => table!(fr_neon fc_neon br_neon bc_neon dots_neon),
        Isa::Avx2 => table!(fr_avx2 fc_avx2 br_avx2 bc_avx2 dots_avx2),
        Isa::Avx512 => table!(fr_avx512 fc_avx512 br_avx512 bc_avx512 dots_avx512),
    }
}

isa_functions!(fr_portable fr_neon fr_avx2 fr_avx512 = forward_rows [] [] (call: &Forward<T>, first: usize, end: usize));
isa_functions!(fc_portable fc_neon fc_avx2 fc_avx512 = forward_columns [] [] (call: &Forward<T>, first: usize, end: usize));
isa_functions!(br_portable br_neon br_avx2 br_avx512 = backward_rows [] [] (call: &Backward<T>, first: usize, end: usize));
isa_functions!(bc_portable bc_neon bc_avx2 bc_avx512 = backward_columns [] [] (call: &Backward<T>, first: usize, end: usize));
isa_functions!(dots_portable dots_neon dots_avx2 dots_avx512 = row_dots [] [] (rows: usize, columns: usize, alpha: T,
    x: Columns<T>, y: Columns<T>, beta: T, sums: *mut T));

#[allow(
    clippy::undocumented_unsafe_blocks,
    reason = "all unsafe functions here have the contract of `Engine`: shapes agree and memory is borrowed for the call"
)]
impl<T: Scalar> CpuEngine<T> {
    fn normalizers(&self) -> Loops<T> {
        T::pick::<Loops<f32>>(loops(self.isa), loops(self.isa))
    }

    /// Calls `body(first, end)` for blocks of rows or for single columns.
    fn for_blocks(&self, along: Along, span: Span, body: &(dyn Fn(usize, usize) + Sync)) {
        let (count, block) = match along {
            Along::Rows => (span.rows, ROW_BLOCK_BYTES / size_of::<T>()),
            Along::Columns => (span.columns, 1),
        };
        self.for_columns(span, count.div_ceil(block), &|index| {
            body(index * block, count.min((index + 1) * block));
        });
    }

    /// # Safety
    /// As [`crate::engine::Engine`].
    pub(super) unsafe fn normalize_matrix(&self, call: &Normalize) {
        let loops = self.normalizers();
        let run =
            if call.along == Along::Rows { loops.forward_rows } else { loops.forward_columns };
        let forward = Forward {
            rows: call.input.rows,
            columns: call.input.columns,
            epsilon: T::from_f64(call.epsilon),
            given: call.given,
            input: Columns::of(call.input),
            weights: at(call.weights, 0),
            bias: at(call.bias, 0),
            moments: Columns::optional(call.moments),
            normalized: Columns::optional(call.normalized),
            output: Columns::of(call.output),
        };
        self.for_blocks(call.along, call.input, &|first, end| unsafe { run(&forward, first, end) });
    }

    /// # Safety
    /// As [`crate::engine::Engine`].
    pub(super) unsafe fn normalize_back(&self, call: &NormalizePropagate) {
        let loops = self.normalizers();
        let run =
            if call.along == Along::Rows { loops.backward_rows } else { loops.backward_columns };
        let backward = Backward {
            rows: call.delta.rows,
            columns: call.delta.columns,
            epsilon: T::from_f64(call.epsilon),
            given: call.given,
            weights: at(call.weights, 0),
            moments: Columns::of(call.moments),
            normalized: Columns::of(call.normalized),
            delta: Columns::of(call.delta),
            output: Columns::of(call.output),
        };
        self.for_blocks(call.along, call.delta, &|first, end| unsafe {
            run(&backward, first, end)
        });
    }

    /// # Safety
    /// As [`crate::engine::Engine`].
    pub(super) unsafe fn row_dots_of(&self, alpha: T, x: Span, y: Span, beta: T, sums: Span) {
        let dots = self.normalizers().row_dots;
        let (left, right, to) = (Columns::<T>::of(x), Columns::<T>::of(y), Columns::<T>::of(sums));
        self.for_blocks(Along::Rows, x, &|first, end| {
            let from = |matrix: Columns<T>| Columns { p: matrix.at(first, 0), ..matrix };
            unsafe {
                dots(end - first, x.columns, alpha, from(left), from(right), beta, to.at(first, 0))
            };
        });
    }
}

/// `1 / sqrt(variance + epsilon)`
#[inline(always)]
fn inverse_deviation<V: Vector>(variance: V, epsilon: V::T) -> V {
    V::of(1.0) / (variance + V::splat(epsilon)).sqrt()
}

#[inline(always)]
unsafe fn forward_rows<V: Vector>(call: &Forward<V::T>, first: usize, end: usize) {
    let count = V::of(call.columns as f64);
    each::<V>(end - first, |i, n| {
        let i = first + i;
        // SAFETY: rows i .. i + n (or the rows of column j) are within the matrices, see `Loops`.
        unsafe {
            let x = |j: usize| load::<V>(call.input.at(i, j), n);
            let (mean, variance) = if call.given {
                (load::<V>(call.moments.at(i, 0), n), load::<V>(call.moments.at(i, 1), n))
            } else {
                let mean = (0..call.columns).fold(V::of(0.0), |sum, j| sum + x(j)) / count;
                let square = |sum: V, j: usize| {
                    let d = x(j) - mean;
                    d.mul_add(d, sum)
                };
                let variance = (0..call.columns).fold(V::of(0.0), square) / count;
                if !call.moments.p.is_null() {
                    store(mean, call.moments.at(i, 0), n);
                    store(variance, call.moments.at(i, 1), n);
                }
                (mean, variance)
            };
            let inverse = inverse_deviation(variance, call.epsilon);
            let (weights, bias) =
                (load::<V>(call.weights.add(i), n), load::<V>(call.bias.add(i), n));
            for j in 0..call.columns {
                let normalized = (x(j) - mean) * inverse;
                if !call.normalized.p.is_null() {
                    store(normalized, call.normalized.at(i, j), n);
                }
                store(normalized.mul_add(weights, bias), call.output.at(i, j), n);
            }
        }
    });
}

/// The sum of `f(first, count)` over the vectors of a column: lane by lane, then from the first lane to the last. Lanes from `count` on must
/// be 0.
#[inline(always)]
fn column_sum<V: Vector>(rows: usize, mut f: impl FnMut(usize, usize) -> V) -> f64 {
    let mut sum = V::of(0.0);
    each::<V>(rows, |i, n| sum = sum + f(i, n));
    let mut lanes = [V::T::from_f64(0.0); MAX_LANES];
    // SAFETY: no vector has more than `MAX_LANES` lanes.
    unsafe { sum.store(lanes.as_mut_ptr()) };
    lanes[..V::LANES].iter().fold(0.0, |sum, x| sum + x.to_f64())
}

/// The first n lanes of x, and 0 in the others.
#[inline(always)]
fn first_lanes<V: Vector>(x: V, n: usize) -> V {
    if n == V::LANES {
        return x;
    }
    let mut lanes = [V::T::from_f64(0.0); MAX_LANES];
    // SAFETY: no vector has more than `MAX_LANES` lanes.
    unsafe {
        x.store_partial(lanes.as_mut_ptr(), n);
        V::load(lanes.as_ptr())
    }
}

#[inline(always)]
unsafe fn forward_columns<V: Vector>(call: &Forward<V::T>, first: usize, end: usize) {
    let (rows, count) = (call.rows, call.rows as f64);
    for j in first..end {
        // SAFETY: rows i .. i + n (or the rows of column j) are within the matrices, see `Loops`.
        unsafe {
            let x = |i: usize, n: usize| load::<V>(call.input.at(i, j), n);
            let (mean, variance) = if call.given {
                (V::splat(*call.moments.at(j, 0)), V::splat(*call.moments.at(j, 1)))
            } else {
                let mean = V::of(column_sum::<V>(rows, |i, n| first_lanes(x(i, n), n)) / count);
                let square = |i: usize, n: usize| {
                    let d = first_lanes(x(i, n) - mean, n);
                    d * d
                };
                let variance = V::of(column_sum::<V>(rows, square) / count);
                if !call.moments.p.is_null() {
                    store(mean, call.moments.at(j, 0), 1);
                    store(variance, call.moments.at(j, 1), 1);
                }
                (mean, variance)
            };
            let inverse = inverse_deviation(variance, call.epsilon);
            each::<V>(rows, |i, n| {
                let normalized = (x(i, n) - mean) * inverse;
                if !call.normalized.p.is_null() {
                    store(normalized, call.normalized.at(i, j), n);
                }
                let (weights, bias) =
                    (load::<V>(call.weights.add(i), n), load::<V>(call.bias.add(i), n));
                store(normalized.mul_add(weights, bias), call.output.at(i, j), n);
            });
        }
    }
}

/// `gamma / deviation (delta - g - normalized h)`, with g the mean of delta over the row and h the mean of `delta ⊙ normalized`.
#[inline(always)]
unsafe fn backward_rows<V: Vector>(call: &Backward<V::T>, first: usize, end: usize) {
    let count = V::of(call.columns as f64);
    each::<V>(end - first, |i, n| {
        let i = first + i;
        // SAFETY: rows i .. i + n (or the rows of column j) are within the matrices, see `Loops`.
        unsafe {
            let delta = |j: usize| load::<V>(call.delta.at(i, j), n);
            let normalized = |j: usize| load::<V>(call.normalized.at(i, j), n);
            let (mut g, mut h) = (V::of(0.0), V::of(0.0));
            if !call.given {
                for j in 0..call.columns {
                    g = g + delta(j);
                    h = delta(j).mul_add(normalized(j), h);
                }
                (g, h) = (g / count, h / count);
            }
            let inverse = inverse_deviation(load::<V>(call.moments.at(i, 1), n), call.epsilon);
            let factor = load::<V>(call.weights.add(i), n) * inverse;
            for j in 0..call.columns {
                let value = (-normalized(j)).mul_add(h, delta(j) - g);
                store(factor * value, call.output.at(i, j), n);
            }
        }
    });
}

/// `1 / deviation (d - g - normalized h)` with `d = gamma ⊙ delta`, g the mean of d over the column and h the mean of `d ⊙ normalized`.
#[inline(always)]
unsafe fn backward_columns<V: Vector>(call: &Backward<V::T>, first: usize, end: usize) {
    let (rows, count) = (call.rows, call.rows as f64);
    for j in first..end {
        // SAFETY: rows i .. i + n (or the rows of column j) are within the matrices, see `Loops`.
        unsafe {
            let delta = |i: usize, n: usize| {
                load::<V>(call.delta.at(i, j), n) * load::<V>(call.weights.add(i), n)
            };
            let normalized = |i: usize, n: usize| load::<V>(call.normalized.at(i, j), n);
            let (mut g, mut h) = (V::of(0.0), V::of(0.0));
            if !call.given {
                g = V::of(column_sum::<V>(rows, |i, n| first_lanes(delta(i, n), n)) / count);
                h = V::of(
                    column_sum::<V>(rows, |i, n| first_lanes(delta(i, n) * normalized(i, n), n))
                        / count,
                );
            }
            let inverse = inverse_deviation(V::splat(*call.moments.at(j, 1)), call.epsilon);
            each::<V>(rows, |i, n| {
                let value = (-normalized(i, n)).mul_add(h, delta(i, n) - g);
                store(inverse * value, call.output.at(i, j), n);
            });
        }
    }
}

#[inline(always)]
unsafe fn row_dots<V: Vector>(
    rows: usize,
    columns: usize,
    alpha: V::T,
    x: Columns<V::T>,
    y: Columns<V::T>,
    beta: V::T,
    sums: *mut V::T,
) {
    each::<V>(rows, |i, n| {
        // SAFETY: rows i .. i + n (or the rows of column j) are within the matrices, see `Loops`.
        unsafe {
            let dot =
                |sum: V, j: usize| load::<V>(x.at(i, j), n).mul_add(load::<V>(y.at(i, j), n), sum);
            let mut value = (0..columns).fold(V::of(0.0), dot) * V::splat(alpha);
            if beta != V::T::from_f64(0.0) {
                value = load::<V>(sums.add(i), n).mul_add(V::splat(beta), value);
            }
            store(value, sums.add(i), n);
        }
    });
}
