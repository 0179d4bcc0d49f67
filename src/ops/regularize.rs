//! The calls of dropout, max-norm and class weights.

use super::check::{check, operands};
use super::update;
use crate::engine::formula::formula;
use crate::engine::{DropOut, Map, Span, Zip};
use crate::error::Result;
use crate::matrix::{MatrixMut, MatrixRef};
use crate::random::Philox;
use crate::scalar::Scalar;

formula!(Square = "square", |x, _p| x * x, "x * x");
formula!(
    Keep = "dropout",
    |x, u, p| V::select(u.less(p[0]), V::of(0.0), x * p[1]),
    "y < p0 ? V(0.0) : x * p1"
);
formula!(Weigh = "weigh", |x, w, _p| x * w, "x * y");
static WEIGH: Zip = Zip::of::<Weigh>();
static SQUARE: Map = Map::of::<Square>();
static KEEP: Zip = Zip::of::<Keep>();

/// Draws become uniform numbers in [0, 1) of the stream; `y_ij = 0` if `draws_ij < rate`, else `x_ij / (1 - rate)`.
pub(crate) fn drop_out<T: Scalar>(
    stream: &Philox,
    rate: f64,
    x: MatrixRef<'_, T>,
    draws: MatrixMut<'_, T>,
    y: MatrixMut<'_, T>,
) -> Result<()> {
    check_one_shape(x, draws.as_ref(), y.as_ref())?;
    let call =
        DropOut { keep: &KEEP, p: keep(rate), x: x.span(), draws: draws.span(), y: y.span() };
    // SAFETY: shapes and engine are checked; draws and y are mutably borrowed and overlap no other operand.
    unsafe { y.engine().drop_out(stream, &call) }
}

/// What [`drop_out`] does to x with draws that it has drawn, in place.
pub(crate) fn drop_out_within<T: Scalar>(
    rate: f64,
    draws: MatrixRef<'_, T>,
    x: MatrixMut<'_, T>,
) -> Result<()> {
    check_one_shape(x.as_ref(), draws, x.as_ref())?;
    // SAFETY: shapes and engine are checked; x is mutably borrowed, and a zip may write its operand.
    unsafe { x.engine().zip(&KEEP, keep(rate), x.span(), draws.span(), x.span()) }
}

/// Multiplies column j of x by `weights_j`; weights is a row.
pub(crate) fn weigh<T: Scalar>(weights: MatrixRef<'_, T>, x: MatrixMut<'_, T>) -> Result<()> {
    let fits = (weights.rows(), weights.columns()) == (1, x.columns());
    check(
        "weigh",
        &operands!(weights, x),
        &[(fits, "weights must be a row with a column for every column of x")],
    )?;
    let every_row = Span { rows: x.rows(), row_stride: 0, ..weights.span() };
    // SAFETY: shapes and engine are checked; x is mutably borrowed, and a zip may write its operand.
    unsafe { x.engine().zip(&WEIGH, [0.0; 4], x.span(), every_row, x.span()) }
}

fn keep(rate: f64) -> [f64; 4] {
    [rate, 1.0 / (1.0 - rate), 0.0, 0.0]
}

fn check_one_shape<T: Scalar>(
    x: MatrixRef<'_, T>,
    draws: MatrixRef<'_, T>,
    y: MatrixRef<'_, T>,
) -> Result<()> {
    let shape = |m: MatrixRef<'_, T>| (m.rows(), m.columns());
    let rules =
        [(shape(x) == shape(draws) && shape(x) == shape(y), "x, draws and y must have one shape")];
    check("dropout", &operands!(x, draws, y), &rules)
}

/// Multiplies every row of weights by `min(1, max_norm / (its norm + 1e-6))`. `squares` (of the shape of weights) and `sums` (a column of as many rows) are
/// overwritten. Does not wait for the device.
pub(crate) fn bound_rows<T: Scalar>(
    max_norm: f64,
    weights: MatrixMut<'_, T>,
    squares: MatrixMut<'_, T>,
    sums: MatrixMut<'_, T>,
) -> Result<()> {
    let rules = [
        (
            (squares.rows(), squares.columns()) == (weights.rows(), weights.columns()),
            "squares must have the shape of weights",
        ),
        (
            (sums.rows(), sums.columns()) == (weights.rows(), 1),
            "sums must be a column of as many rows as weights",
        ),
    ];
    check("max-norm", &operands!(weights, squares, sums), &rules)?;
    let engine = weights.engine();
    // SAFETY: shapes and engine are checked; the three are mutably borrowed and do not overlap.
    unsafe {
        engine.map(&SQUARE, [0.0; 4], weights.span(), squares.span())?;
        engine.row_sums(T::from_f64(1.0), squares.span(), T::from_f64(0.0), sums.span())?;
    }
    update::clip_rows(max_norm, sums.as_ref(), weights)
}
