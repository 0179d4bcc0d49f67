//! The calls of optimizers: checked here, like all mathematics.

use super::{Operand, check, operand, operands};
use crate::engine::formula::{MOMENTS, formula};
use crate::engine::{Map, Span, UpdateCall, UpdateRule, Zip};
use crate::error::Result;
use crate::matrix::{Matrix, MatrixMut, MatrixRef};
use crate::scalar::Scalar;

/// Added to a norm before something is divided by it, as PyTorch does.
const NORM_OFFSET: f64 = 1e-6;

// NaN stays NaN: it must be found, not cut off.
formula!(Clamp = "clamp", |x, p| (-p[0]).max(p[0].min(x)), "x > p0 ? p0 : (-p0 > x ? -p0 : x)");
formula!(
    ClipNorm = "clip norm",
    |x, squares, p| x * V::of(1.0).min(p[0] / (squares.sqrt() + p[1])),
    "x * (p0 / (sqrt(y) + p1) > V(1.0) ? V(1.0) : p0 / (sqrt(y) + p1))"
);
static CLAMP: Map = Map::of::<Clamp>();
static CLIP_NORM: Zip = Zip::of::<ClipNorm>();

fn has_no_gaps(span: Span) -> bool {
    span.row_stride == 1 && span.column_stride == span.rows
}

/// One pass of `rule` over a parameter. The gradient is the first of `states`, the rule's moments are the last ones: a
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
        (operand.span.rows, operand.span.columns) == shape && has_no_gaps(operand.span)
    };
    let rules = [
        (
            kept == states.len() && rule.moments.max(1) <= kept,
            "there must be a gradient and as many states as the rule has",
        ),
        (all.iter().all(fits), "parameter and states must have one shape without gaps"),
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
    // SAFETY: checked above; all that is written is borrowed for writing.
    unsafe { parameter.engine().update(&call) }
}

/// `x_ij` between -bound and bound.
pub(crate) fn clamp<T: Scalar>(bound: f64, x: MatrixMut<'_, T>) -> Result<()> {
    // SAFETY: one operand, borrowed for writing.
    unsafe { x.engine().map(&CLAMP, [bound, 0.0, 0.0, 0.0], x.span(), x.span()) }
}

/// `sums_j` (a row) becomes the sum of squares of the j-th of as many equal shares of x. Does not wait for the device.
pub(crate) fn squares<T: Scalar>(x: MatrixRef<'_, T>, sums: MatrixMut<'_, T>) -> Result<()> {
    let rules = [
        (has_no_gaps(x.span()), "x must have no gaps"),
        (sums.rows() == 1, "sums must have one row"),
    ];
    check("squares", &operands!(x, sums), &rules)?;
    // SAFETY: checked above; the borrow checker keeps sums apart.
    unsafe { sums.engine().squares(x.span(), sums.span()) }
}

/// `x = x min(1, most / (sqrt(squares) + 1e-6))` with the one number of `squares`, which nobody waits for.
pub(crate) fn clip_norm<T: Scalar>(
    most: f64,
    squares: MatrixRef<'_, T>,
    x: MatrixMut<'_, T>,
) -> Result<()> {
    let rules = [((squares.rows(), squares.columns()) == (1, 1), "squares must be one number")];
    check("clip norm", &operands!(squares, x), &rules)?;
    let Span { rows, columns, .. } = x.span();
    let everywhere = Span { rows, columns, row_stride: 0, column_stride: 0, ..squares.span() };
    // SAFETY: checked above: every element of `everywhere` is the one number; z is x, which the engine allows.
    unsafe {
        x.engine().zip(&CLIP_NORM, [most, NORM_OFFSET, 0.0, 0.0], x.span(), everywhere, x.span())
    }
}

/// Row i of x times `min(1, most / (sqrt(squares_i) + 1e-6))`; squares is a column of as many rows, which nobody waits for.
pub(super) fn clip_rows<T: Scalar>(
    most: f64,
    squares: MatrixRef<'_, T>,
    x: MatrixMut<'_, T>,
) -> Result<()> {
    let rules = [(
        (squares.rows(), squares.columns()) == (x.rows(), 1),
        "squares must be a column of as many rows as x",
    )];
    check("clip rows", &operands!(squares, x), &rules)?;
    let in_every_column = Span { columns: x.columns(), column_stride: 0, ..squares.span() };
    // SAFETY: checked above: every column of `in_every_column` is the one column; z is x, which the engine allows.
    unsafe {
        x.engine().zip(
            &CLIP_NORM,
            [most, NORM_OFFSET, 0.0, 0.0],
            x.span(),
            in_every_column,
            x.span(),
        )
    }
}
