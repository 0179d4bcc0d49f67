//! Element-wise loops over matrices with any strides, and the reductions that are not on the path of training.
//!
//! Matrices whose rows are not contiguous are gathered into buffers, a part of a column at a time.

use super::pointers::{at, at_mut};
use super::pool::Pool;
use crate::engine::call::{Reduction, UpdateCall};
use crate::engine::formula::{BinaryLoop, BinarySum, NUMBERS, UnaryLoop, UpdateLoop, Zip, formula};
use crate::engine::memory::Span;
use crate::engine::simd::Isa;
use crate::scalar::Scalar;

/// Elements of a matrix without contiguous rows that are gathered at a time.
const BUFFER_ELEMENTS: usize = 256;
/// Elements of a contiguous matrix in one part: whole cache lines. The value of an element does not depend on the part that it is in.
const PART_ELEMENTS: usize = 8192;

formula!(Add = "add", |x, y, _p| x + y);
formula!(Multiply = "multiply", |x, y, _p| x * y);
static ADD: Zip = Zip::of::<Add>();
static MULTIPLY: Zip = Zip::of::<Multiply>();

/// The loop of `z = x + y`.
pub(super) fn add<T: Scalar>(isa: Isa) -> BinaryLoop<T> {
    ADD.host(isa)
}

/// The loop of `sum x y`.
pub(super) fn dot<T: Scalar>(isa: Isa) -> BinarySum<T> {
    MULTIPLY.host_sum(isa)
}

/// `y = f(x; p)`
///
/// # Safety
/// x is readable and y is writable; y is x, or they do not overlap.
pub(super) unsafe fn map<T: Scalar>(
    pool: &mut Pool,
    f: UnaryLoop<T>,
    p: &[T; 4],
    x: Span,
    y: Span,
) {
    let [x, y] = with_contiguous_rows([x, y]);
    for_parts(pool, y, [x, x], &|j, i, n| {
        let (x, y) = (Part::of(x, i, j), Part::of_mut(y, i, j));
        // SAFETY: the part is within both matrices, and no other part writes it.
        unsafe {
            if x.step == 1 && y.step == 1 {
                return f(n, p, x.p, y.p);
            }
            let mut buffer = [T::default(); BUFFER_ELEMENTS];
            x.read(n, &mut buffer);
            f(n, p, buffer.as_ptr(), buffer.as_mut_ptr());
            y.write(n, &buffer);
        }
    });
}

/// `z = f(x, y; p)`
///
/// # Safety
/// x and y are readable and z is writable; z is x or y, or does not overlap them.
pub(super) unsafe fn zip<T: Scalar>(
    pool: &mut Pool,
    f: BinaryLoop<T>,
    p: &[T; 4],
    x: Span,
    y: Span,
    z: Span,
) {
    let [x, y, z] = with_contiguous_rows([x, y, z]);
    for_parts(pool, z, [x, y], &|j, i, n| {
        let (x, y, z) = (Part::of(x, i, j), Part::of(y, i, j), Part::of_mut(z, i, j));
        // SAFETY: the part is within the three matrices, and no other part writes it.
        unsafe {
            if x.step == 1 && y.step == 1 && z.step == 1 {
                return f(n, p, x.p, y.p, z.p);
            }
            let mut left = [T::default(); BUFFER_ELEMENTS];
            let mut right = [T::default(); BUFFER_ELEMENTS];
            x.read(n, &mut left);
            y.read(n, &mut right);
            f(n, p, left.as_ptr(), right.as_ptr(), left.as_mut_ptr());
            z.write(n, &left);
        }
    });
}

/// One pass of an optimizer.
///
/// # Safety
/// The matrices of the call are contiguous and of one shape; parameter and moments are writable, the gradient is readable.
pub(super) unsafe fn update<T: Scalar>(
    pool: &mut Pool,
    f: UpdateLoop<T>,
    p: &[T; NUMBERS],
    call: &UpdateCall,
) {
    let UpdateCall { parameter, gradient, moments, .. } = *call;
    for_parts(pool, parameter, [gradient, moments[0]], &|_, i, n| {
        let from = |span: Span| at_mut::<T>(span, 0).wrapping_add(i);
        // SAFETY: contiguous matrices are one column here; the part is within it, and no other part writes it.
        unsafe { f(n, p, from(parameter), from(gradient), moments.map(from)) }
    });
}

/// `sums_j` becomes the sum of squares of part j of x, which is divided into as many equal parts as sums has columns.
///
/// # Safety
/// x is contiguous and readable; sums is a writable row.
pub(super) unsafe fn squares<T: Scalar>(pool: &mut Pool, dot: BinarySum<T>, x: Span, sums: Span) {
    let elements = x.rows * x.columns;
    pool.for_columns(elements, sums.columns, &|j| {
        let (first, end) = (j * elements / sums.columns, (j + 1) * elements / sums.columns);
        let part = at::<T>(x, 0).wrapping_add(first);
        // SAFETY: the part is within x; element j of sums is written once.
        unsafe { *at_mut(sums, j) = dot(end - first, &[T::default(); 4], part, part) }
    });
}

/// Calls `body(column, row, count)` for parts of columns of at most [`BUFFER_ELEMENTS`] elements. If all matrices are contiguous, they are
/// one column, in parts of [`PART_ELEMENTS`].
fn for_parts(
    pool: &mut Pool,
    span: Span,
    others: [Span; 2],
    body: &(dyn Fn(usize, usize, usize) + Sync),
) {
    let is_contiguous = [span, others[0], others[1]]
        .iter()
        .all(|s| s.row_stride == 1 && s.column_stride == span.rows);
    let elements = span.rows * span.columns;
    if is_contiguous {
        pool.for_columns(elements, elements.div_ceil(PART_ELEMENTS), &|part| {
            let first = part * PART_ELEMENTS;
            body(0, first, PART_ELEMENTS.min(elements - first))
        });
    } else {
        pool.for_columns(elements, span.columns, &|j| {
            for i in (0..span.rows).step_by(BUFFER_ELEMENTS) {
                body(j, i, BUFFER_ELEMENTS.min(span.rows - i));
            }
        });
    }
}

/// The same matrices, all transposed if only that makes the rows of the last contiguous.
fn with_contiguous_rows<const N: usize>(spans: [Span; N]) -> [Span; N] {
    let last = spans[N - 1];
    if last.row_stride != 1 && last.column_stride == 1 { spans.map(Span::t) } else { spans }
}

/// A part of a column: its first element and the distance between its elements.
struct Part<P> {
    p: P,
    step: usize,
}

impl<T> Part<*const T> {
    fn of(span: Span, i: usize, j: usize) -> Self {
        Part { p: at::<T>(span, j).wrapping_add(i * span.row_stride), step: span.row_stride }
    }

    unsafe fn read(&self, n: usize, buffer: &mut [T; BUFFER_ELEMENTS])
    where
        T: Copy,
    {
        for (i, x) in buffer[..n].iter_mut().enumerate() {
            // SAFETY: the caller promises n readable elements.
            *x = unsafe { *self.p.add(i * self.step) };
        }
    }
}

impl<T> Part<*mut T> {
    fn of_mut(span: Span, i: usize, j: usize) -> Self {
        Part { p: at_mut::<T>(span, j).wrapping_add(i * span.row_stride), step: span.row_stride }
    }

    unsafe fn write(&self, n: usize, buffer: &[T; BUFFER_ELEMENTS])
    where
        T: Copy,
    {
        for (i, x) in buffer[..n].iter().enumerate() {
            // SAFETY: the caller promises n writable elements.
            unsafe { *self.p.add(i * self.step) = *x };
        }
    }
}

/// `to = from`, element by element.
///
/// # Safety
/// `from` is readable and `to` is writable, of one shape, and they do not overlap.
pub(super) unsafe fn copy<T: Scalar>(from: Span, to: Span) {
    let [from, to] = with_contiguous_rows([from, to]);
    // SAFETY: all elements are within the matrices, see above.
    unsafe {
        if from.row_stride == 1 && to.row_stride == 1 {
            let whole = from.column_stride == from.rows && to.column_stride == to.rows;
            let (length, count) =
                if whole { (to.rows * to.columns, 1) } else { (to.rows, to.columns) };
            for j in 0..count {
                std::ptr::copy_nonoverlapping(at::<T>(from, j), at_mut::<T>(to, j), length);
            }
            return;
        }
        for j in 0..to.columns {
            for i in 0..to.rows {
                *at_mut::<T>(to, j).add(i * to.row_stride) =
                    *at::<T>(from, j).add(i * from.row_stride);
            }
        }
    }
}

unsafe fn get<T: Scalar>(span: Span, i: usize, j: usize) -> f64 {
    // SAFETY: the caller promises that element (i, j) is readable.
    unsafe { (*at::<T>(span, j).add(i * span.row_stride)).to_f64() }
}

/// `y_i = alpha sum_j x_ij + beta y_i`
///
/// # Safety
/// x is readable and y, a column of as many rows, is writable.
pub(super) unsafe fn row_sums<T: Scalar>(alpha: T, x: Span, beta: T, y: Span) {
    for i in 0..x.rows {
        // SAFETY: the indices are within x and y.
        unsafe {
            let sum: f64 = (0..x.columns).map(|j| get::<T>(x, i, j)).sum();
            let y = at_mut::<T>(y, 0).add(i * y.row_stride);
            let kept = if beta == T::from_f64(0.0) { 0.0 } else { beta.to_f64() * (*y).to_f64() };
            *y = T::from_f64(alpha.to_f64() * sum + kept);
        }
    }
}

/// The row of the first largest element of column j.
///
/// # Safety
/// Column j is readable.
pub(super) unsafe fn largest<T: Scalar>(span: Span, j: usize) -> usize {
    let mut best = 0;
    // SAFETY: the rows are within the column.
    unsafe {
        let column = at::<T>(span, j);
        for i in 1..span.rows {
            if *column.add(i * span.row_stride) > *column.add(best * span.row_stride) {
                best = i;
            }
        }
    }
    best
}

/// Reduces x (and y) in f64, column by column, in eight interleaved accumulators.
///
/// # Safety
/// x is readable, and for [`Reduction::Dot`] y too, of the same shape.
pub(super) unsafe fn reduce<T: Scalar>(reduction: Reduction, x: Span, y: Span) -> f64 {
    const LANES: usize = 8;
    let mut lanes = [0.0; LANES];
    let fold = |lane: f64, value: f64| match reduction {
        Reduction::Dot | Reduction::Asum => lane + value,
        Reduction::Amax if value > lane || value.is_nan() => value,
        Reduction::Amax => lane,
    };
    for j in 0..x.columns {
        for i in 0..x.rows {
            // SAFETY: the indices are within x and y.
            let value = unsafe {
                match reduction {
                    Reduction::Dot => get::<T>(x, i, j) * get::<T>(y, i, j),
                    Reduction::Asum | Reduction::Amax => get::<T>(x, i, j).abs(),
                }
            };
            lanes[i % LANES] = fold(lanes[i % LANES], value);
        }
    }
    lanes.into_iter().fold(0.0, fold)
}
