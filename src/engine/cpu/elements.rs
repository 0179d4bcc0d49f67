//! Element-wise work on matrices with any strides, and the reductions that need no speed.

use super::pool::Pool;
use super::vector::Isa;
use super::{Reduction, Span, at, at_mut};
use crate::engine::UpdateCall;
use crate::engine::formula::{BinaryLoop, BinarySum, NUMBERS, UnaryLoop, UpdateLoop, Zip, formula};
use crate::scalar::Scalar;

/// Elements below which a second thread costs more than it brings.
pub(super) const PARALLEL: usize = 32 * 1024;
/// Elements of a matrix with awkward strides that are gathered at once.
const BUFFER: usize = 256;

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

/// Calls `body` for every column, on all threads of the pool if there is one.
pub(super) fn for_columns(pool: Option<&mut Pool>, columns: usize, body: &(dyn Fn(usize) + Sync)) {
    match pool {
        Some(pool) => {
            // Eight parts a thread even out what they do not do alike.
            let parts = columns.min(pool.threads() * 8);
            pool.run(parts, &|_, part| {
                (part * columns / parts..(part + 1) * columns / parts).for_each(body)
            });
        }
        None => (0..columns).for_each(body),
    }
}

/// Element-wise loops on the threads of a pool.
pub(super) struct Elements<'p> {
    pub(super) pool: &'p mut Pool,
}

impl Elements<'_> {
    /// `y = f(x; p)`
    pub(super) unsafe fn map<T: Scalar>(self, f: UnaryLoop<T>, p: &[T; 4], x: Span, y: Span) {
        let [x, y] = plain([x, y]);
        self.columns(y, [x, x], &|j, i, n| {
            let (x, y) = (Line::of(x, i, j), Line::of_mut(y, i, j));
            // SAFETY: the caller's promise.
            unsafe {
                if x.step == 1 && y.step == 1 {
                    return f(n, p, x.p, y.p);
                }
                let mut buffer = [T::default(); BUFFER];
                x.read(n, &mut buffer);
                f(n, p, buffer.as_ptr(), buffer.as_mut_ptr());
                y.write(n, &buffer);
            }
        });
    }

    /// `z = f(x, y; p)`
    pub(super) unsafe fn zip<T: Scalar>(
        self,
        f: BinaryLoop<T>,
        p: &[T; 4],
        x: Span,
        y: Span,
        z: Span,
    ) {
        let [x, y, z] = plain([x, y, z]);
        self.columns(z, [x, y], &|j, i, n| {
            let (x, y, z) = (Line::of(x, i, j), Line::of(y, i, j), Line::of_mut(z, i, j));
            // SAFETY: the caller's promise.
            unsafe {
                if x.step == 1 && y.step == 1 && z.step == 1 {
                    return f(n, p, x.p, y.p, z.p);
                }
                let (mut left, mut right) = ([T::default(); BUFFER], [T::default(); BUFFER]);
                x.read(n, &mut left);
                y.read(n, &mut right);
                f(n, p, left.as_ptr(), right.as_ptr(), left.as_mut_ptr());
                z.write(n, &left);
            }
        });
    }

    /// One pass of an optimizer; nothing has gaps.
    pub(super) unsafe fn update<T: Scalar>(
        self,
        f: UpdateLoop<T>,
        p: &[T; NUMBERS],
        call: &UpdateCall,
    ) {
        let UpdateCall { parameter, gradient, moments, .. } = *call;
        self.columns(parameter, [gradient, moments[0]], &|_, i, n| {
            let from = |span: Span| at_mut::<T>(span, 0).wrapping_add(i);
            // SAFETY: the caller's promise.
            unsafe { f(n, p, from(parameter), from(gradient), moments.map(from)) }
        });
    }

    /// The sums of squares of equal shares of x, which has no gaps.
    pub(super) unsafe fn squares<T: Scalar>(self, dot: BinarySum<T>, x: Span, sums: Span) {
        let work = x.rows * x.columns;
        let pool = (work >= PARALLEL).then_some(self.pool);
        for_columns(pool, sums.columns, &|j| {
            let (first, end) = (j * work / sums.columns, (j + 1) * work / sums.columns);
            let part = at::<T>(x, 0).wrapping_add(first);
            // SAFETY: the caller's promise.
            unsafe { *at_mut(sums, j) = dot(end - first, &[T::default(); 4], part, part) }
        });
    }

    /// Calls `body(column, row, count)` for parts of columns of at most [`BUFFER`] elements; longer where all columns
    /// follow one another without a gap, as one.
    fn columns(self, span: Span, others: [Span; 2], body: &(dyn Fn(usize, usize, usize) + Sync)) {
        let gapless = [span, others[0], others[1]]
            .iter()
            .all(|s| s.row_stride == 1 && s.column_stride == span.rows);
        let work = span.rows * span.columns;
        let pool = (work >= PARALLEL).then_some(self.pool);
        if gapless {
            // Parts of whole cache lines; an element's value does not depend on the part that it is in.
            const PART: usize = 8192;
            for_columns(pool, work.div_ceil(PART), &|part| {
                body(0, part * PART, PART.min(work - part * PART))
            });
        } else {
            for_columns(pool, span.columns, &|j| {
                for i in (0..span.rows).step_by(BUFFER) {
                    body(j, i, BUFFER.min(span.rows - i));
                }
            });
        }
    }
}

/// The same matrices, all transposed where that puts the elements of a column side by side.
fn plain<const N: usize>(spans: [Span; N]) -> [Span; N] {
    let last = spans[N - 1];
    if last.row_stride != 1 && last.column_stride == 1 { spans.map(Span::t) } else { spans }
}

/// A part of a column.
struct Line<P> {
    p: P,
    step: usize,
}

impl<T> Line<*const T> {
    fn of(span: Span, i: usize, j: usize) -> Self {
        Line { p: at::<T>(span, j).wrapping_add(i * span.row_stride), step: span.row_stride }
    }

    unsafe fn read(&self, n: usize, buffer: &mut [T; BUFFER])
    where
        T: Copy,
    {
        for (i, x) in buffer[..n].iter_mut().enumerate() {
            // SAFETY: the caller's promise.
            *x = unsafe { *self.p.add(i * self.step) };
        }
    }
}

impl<T> Line<*mut T> {
    fn of_mut(span: Span, i: usize, j: usize) -> Self {
        Line { p: at_mut::<T>(span, j).wrapping_add(i * span.row_stride), step: span.row_stride }
    }

    unsafe fn write(&self, n: usize, buffer: &[T; BUFFER])
    where
        T: Copy,
    {
        for (i, x) in buffer[..n].iter().enumerate() {
            // SAFETY: the caller's promise.
            unsafe { *self.p.add(i * self.step) = *x };
        }
    }
}

/// `to = from`, element by element; they do not overlap.
pub(super) unsafe fn copy<T: Scalar>(from: Span, to: Span) {
    let [from, to] = plain([from, to]);
    // SAFETY: the caller's promise.
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
    // SAFETY: the caller's promise.
    unsafe { (*at::<T>(span, j).add(i * span.row_stride)).to_f64() }
}

/// `y_i = alpha sum_j x_ij + beta y_i`
pub(super) unsafe fn row_sums<T: Scalar>(alpha: T, x: Span, beta: T, y: Span) {
    for i in 0..x.rows {
        // SAFETY: the caller's promise.
        unsafe {
            let sum: f64 = (0..x.columns).map(|j| get::<T>(x, i, j)).sum();
            let y = at_mut::<T>(y, 0).add(i * y.row_stride);
            let kept = if beta == T::from_f64(0.0) { 0.0 } else { beta.to_f64() * (*y).to_f64() };
            *y = T::from_f64(alpha.to_f64() * sum + kept);
        }
    }
}

/// The row of the first largest element of column j.
pub(super) unsafe fn largest<T: Scalar>(span: Span, j: usize) -> usize {
    let mut best = 0;
    // SAFETY: the caller's promise.
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

/// Accumulates in f64, column by column, in eight interleaved sums.
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
            // SAFETY: the caller's promise.
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
