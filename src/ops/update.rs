//! The calls of optimizers.

use super::check::{Operand, check, operand, operands};
use crate::engine::formula::{MOMENTS, formula};
use crate::engine::{Map, Span, UpdateCall, UpdateRule, Zip};
use crate::error::Result;
use crate::matrix::{Matrix, MatrixMut, MatrixRef};
use crate::scalar::Scalar;

/// Added to a norm before it divides, as in PyTorch.
const NORM_OFFSET: f64 = 1e-6;

// NaN stays NaN: divergence must be found, not clipped.
formula!(Clamp = "clamp", |x, p| (-p[0]).max(p[0].min(x)), "x > p0 ? p0 : (-p0 > x ? -p0 : x)");
formula!(
    ClipNorm = "clip norm",
    |x, squares, p| x * V::of(1.0).min(p[0] / (squares.sqrt() + p[1])),
    "x * (p0 / (sqrt(y) + p1) > V(1.0) ? V(1.0) : p0 / (sqrt(y) + p1))"
);
static CLAMP: Map = Map::of::<Clamp>();
static CLIP_NORM: Zip = Zip::of::<ClipNorm>();

fn is_contiguous(span: Span) -> bool {
    span.row_stride == 1 && span.column_stride == span.rows
}

/// One pass of `rule` over a parameter. The gradient is the first of `states` and the rule's moments are the last ones: a
/// velocity that the gradient was added to is both.
pub(crate) fn update<T: Scalar>(
    rule: &UpdateRule,
    parameter: MatrixMut<'_, T>,
    states: &mut [Matrix<T>],
) -> Result<()> {
    let UpdateRule { rule, p } = *rule;
    let kept = states.len().min(1 + MOMENTS);
    let mut all: [Operand<'_>; 2 + MOMENTS] =
        std::array::from_fn(|_| operand("parameter", parameter.span(), parameter.engine()));
    for (operand_, state) in all[1..].iter_mut().zip(&*states) {
        *operand_ = operand("state", state.view().span(), state.engine());
    }
    let shape = (parameter.rows(), parameter.columns());
    let fits = |operand: &Operand<'_>| {
        (operand.span.rows, operand.span.columns) == shape && is_contiguous(operand.span)
    };
    let rules = [
        (
            kept == states.len() && rule.moments.max(1) <= kept,
            "there must be a gradient and as many states as the rule has moments",
        ),
        (all.iter().all(fits), "parameter and states must be contiguous and of one shape"),
    ];
    check(rule.name, &all[..=kept], &rules)?;
    let mut moments = [parameter.span(); MOMENTS];
    for (moment, state) in moments.iter_mut().zip(&states[kept - rule.moments..]) {
        *moment = state.view().span();
    }
    let call = UpdateCall {
        rule,
        p,
        parameter: parameter.span(),
        gradient: states[0].view().span(),
        moments,
    };
    // SAFETY: shapes and engine are checked; parameter and states are mutably borrowed.
    unsafe { parameter.engine().update(&call) }
}

/// Clamps every `x_ij` to -bound .. bound.
pub(crate) fn clamp<T: Scalar>(bound: f64, x: MatrixMut<'_, T>) -> Result<()> {
    // SAFETY: x is mutably borrowed, and a map may write its operand.
    unsafe { x.engine().map(&CLAMP, [bound, 0.0, 0.0, 0.0], x.span(), x.span()) }
}

/// `sums_j` becomes the sum of squares of part j of x, which is divided into as many equal parts as sums, a row, has columns. Does not wait for the
/// device.
pub(crate) fn squares<T: Scalar>(x: MatrixRef<'_, T>, sums: MatrixMut<'_, T>) -> Result<()> {
    let rules = [
        (is_contiguous(x.span()), "x must be contiguous"),
        (sums.rows() == 1, "sums must have one row"),
    ];
    check("squares", &operands!(x, sums), &rules)?;
    // SAFETY: shapes and engine are checked; sums is mutably borrowed and overlaps no other operand.
    unsafe { sums.engine().squares(x.span(), sums.span()) }
}

/// `x = x min(1, max_norm / (sqrt(squares) + 1e-6))` with the single element of `squares`. Does not wait for the device.
pub(crate) fn clip_norm<T: Scalar>(
    max_norm: f64,
    squares: MatrixRef<'_, T>,
    x: MatrixMut<'_, T>,
) -> Result<()> {
    let rules = [((squares.rows(), squares.columns()) == (1, 1), "squares must have one element")];
    check("clip norm", &operands!(squares, x), &rules)?;
    let Span { rows, columns, .. } = x.span();
    let everywhere = Span { rows, columns, row_stride: 0, column_stride: 0, ..squares.span() };
    // SAFETY: shapes and engine are checked; every element of `everywhere` is the one of squares; x is mutably borrowed, and a zip may write its
    // operand.
    unsafe {
        x.engine().zip(
            &CLIP_NORM,
            [max_norm, NORM_OFFSET, 0.0, 0.0],
            x.span(),
            everywhere,
            x.span(),
        )
    }
}

/// Multiplies row i of x by `min(1, max_norm / (sqrt(squares_i) + 1e-6))`; squares is a column of as many rows. Does not wait for the device.
pub(super) fn clip_rows<T: Scalar>(
    max_norm: f64,
    squares: MatrixRef<'_, T>,
    x: MatrixMut<'_, T>,
) -> Result<()> {
    let rules = [(
        (squares.rows(), squares.columns()) == (x.rows(), 1),
        "squares must be a column of as many rows as x",
    )];
    check("clip rows", &operands!(squares, x), &rules)?;
    let in_every_column = Span { columns: x.columns(), column_stride: 0, ..squares.span() };
    // SAFETY: shapes and engine are checked; every column of `in_every_column` is squares; x is mutably borrowed, and a zip may write its
    // operand.
    unsafe {
        x.engine().zip(
            &CLIP_NORM,
            [max_norm, NORM_OFFSET, 0.0, 0.0],
            x.span(),
            in_every_column,
            x.span(),
        )
    }
}
