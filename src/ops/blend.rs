//! The calls of parametric activations.

use super::check::{check, operands};
use super::fused::Fold;
use crate::engine::{Blend, BlendGradient, BlendPropagate, Derivative, Elementwise};
use crate::error::Result;
use crate::matrix::{MatrixMut, MatrixRef};
use crate::scalar::Scalar;

const WEIGHTS: &str = "weights must be a column with a row for each row of input";

/// Whether a matrix has the shape of another, and both have contiguous rows.
fn alike<T: Scalar>(x: MatrixRef<'_, T>, y: MatrixRef<'_, T>) -> bool {
    (x.rows(), x.columns()) == (y.rows(), y.columns())
        && x.span().row_stride == 1
        && y.span().row_stride == 1
}

fn is_column_of<T: Scalar>(weights: MatrixRef<'_, T>, x: MatrixRef<'_, T>) -> bool {
    (weights.rows(), weights.columns()) == (x.rows(), 1) && weights.span().row_stride == 1
}

/// `output = (1 - a) x + a f(x)`; weights are a, `units x 1`, input and output `units x samples`.
pub(crate) fn forward<T: Scalar>(
    f: Elementwise,
    weights: MatrixRef<'_, T>,
    input: MatrixRef<'_, T>,
    output: MatrixMut<'_, T>,
) -> Result<()> {
    let rules = [
        (
            alike(input, output.as_ref()),
            "input and output must have one shape, with contiguous rows",
        ),
        (is_column_of(weights, input), WEIGHTS),
    ];
    check("parametric", &operands!(weights, input, output), &rules)?;
    let call = Blend { f, weights: weights.span(), input: input.span(), output: output.span() };
    // SAFETY: shapes and engine are checked; output is mutably borrowed and overlaps no other operand.
    unsafe { output.engine().blend(&call) }
}

/// `out = (delta (1 - a) + a delta f'(x)) ⊙ fold`
pub(crate) fn propagate<T: Scalar>(
    f: Elementwise,
    [weights, input, delta]: [MatrixRef<'_, T>; 3],
    fold: Fold<'_, T>,
    out: MatrixMut<'_, T>,
) -> Result<()> {
    let (fold_fits, before) = match fold {
        Fold::One => (true, Derivative::One),
        Fold::Zip(f, p, kept) => (alike(kept, delta), Derivative::Zip(f, p, kept.span())),
        Fold::Softmax(_) => (false, Derivative::One),
    };
    let rules = [
        (
            alike(input, delta) && alike(delta, out.as_ref()),
            "input, delta and out must have one shape, with contiguous rows",
        ),
        (is_column_of(weights, input), WEIGHTS),
        (
            fold_fits,
            "the layer before must not have softmax, and what it keeps must have the shape of out",
        ),
    ];
    check("parametric propagate", &operands!(weights, input, delta, out), &rules)?;
    let call = BlendPropagate {
        f,
        weights: weights.span(),
        input: input.span(),
        delta: delta.span(),
        before,
        output: out.span(),
    };
    // SAFETY: shapes and engine are checked; out is mutably borrowed and overlaps no other operand.
    unsafe { out.engine().blend_propagate(&call) }
}

/// `sink = scale gradient + keep sink` with the mean gradient `sum_j delta_ij (f(x_ij) - x_ij) / n`.
pub(crate) fn gradient<T: Scalar>(
    f: Elementwise,
    [input, delta]: [MatrixRef<'_, T>; 2],
    sink: MatrixMut<'_, T>,
    scale: f64,
    keep: f64,
) -> Result<()> {
    let rules = [
        (alike(input, delta), "input and delta must have one shape, with contiguous rows"),
        (
            is_column_of(sink.as_ref(), input),
            "sink must be a column with a row for each row of input",
        ),
    ];
    check("parametric gradient", &operands!(input, delta, sink), &rules)?;
    let call = BlendGradient {
        f,
        input: input.span(),
        delta: delta.span(),
        scale,
        keep,
        sink: sink.span(),
    };
    // SAFETY: shapes and engine are checked; sink is mutably borrowed and overlaps no other operand.
    unsafe { sink.engine().blend_gradient(&call) }
}
