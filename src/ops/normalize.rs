//! The calls of layers that normalize.

use super::check::{check, operands};
use super::fused::Fold;
use crate::engine::formula::COPY;
use crate::engine::{Along, Normalize, NormalizePropagate, Transfer};
use crate::error::Result;
use crate::matrix::{MatrixMut, MatrixRef};
use crate::scalar::Scalar;

/// Means and variances in 2 columns, with a row for each row or column that is normalized.
pub(crate) enum Moments<'a, T: Scalar> {
    /// Given: those of the running statistics.
    Given(MatrixRef<'a, T>),
    /// Computed from the input and written.
    Measured(MatrixMut<'a, T>),
    /// Computed from the input.
    Passing,
}

/// `a = f(weights ⊙ normalized + bias)`, `normalized = (x - mean) / sqrt(variance + epsilon)`.
pub(crate) struct Forward<'a, T: Scalar> {
    pub along: Along,
    /// gamma, `features x 1`
    pub weights: MatrixRef<'a, T>,
    /// beta, `features x 1`
    pub bias: MatrixRef<'a, T>,
    pub epsilon: f64,
    pub moments: Moments<'a, T>,
    /// x, `features x samples`
    pub input: MatrixRef<'a, T>,
    /// `features x samples`, if it is kept
    pub normalized: Option<MatrixMut<'a, T>>,
    pub transfer: Transfer,
    /// z, `features x samples`, if it is kept
    pub z: Option<MatrixMut<'a, T>>,
    /// a, `features x samples`
    pub output: MatrixMut<'a, T>,
}

fn shape<T: Scalar>(x: MatrixRef<'_, T>) -> (usize, usize) {
    (x.rows(), x.columns())
}

/// Whether both have one shape and contiguous rows.
fn alike<T: Scalar>(x: MatrixRef<'_, T>, y: MatrixRef<'_, T>) -> bool {
    shape(x) == shape(y) && x.span().row_stride == 1 && y.span().row_stride == 1
}

fn has_lines<T: Scalar>(moments: MatrixRef<'_, T>, along: Along, x: MatrixRef<'_, T>) -> bool {
    let lines = if along == Along::Rows { x.rows() } else { x.columns() };
    shape(moments) == (lines, 2) && moments.span().row_stride == 1
}

pub(crate) fn forward<T: Scalar>(call: Forward<'_, T>) -> Result<()> {
    let Forward { along, weights, bias, epsilon, moments, input, normalized, transfer, z, output } =
        call;
    let given = matches!(moments, Moments::Given(_));
    let moments_fit = match &moments {
        Moments::Given(moments) => has_lines(*moments, along, input),
        Moments::Measured(moments) => has_lines(moments.as_ref(), along, input),
        Moments::Passing => true,
    };
    let kept_fit = [&normalized, &z].into_iter().flatten().all(|kept| alike(kept.as_ref(), input));
    let column = (input.rows(), 1);
    let rules = [
        (
            alike(input, output.as_ref()) && kept_fit,
            "input and output must have one shape, with contiguous rows",
        ),
        (
            shape(weights) == column && shape(bias) == column,
            "weights and bias must be columns with a row for each feature",
        ),
        (
            moments_fit,
            "there must be a mean and a variance for each row or column that is normalized",
        ),
        (!matches!(transfer, Transfer::Softmax), "softmax is an activation of dense layers only"),
    ];
    check("normalize", &operands!(weights, bias, input, output), &rules)?;
    let sum = z.as_ref().map_or(output.span(), |z| z.span());
    let engine = output.engine();
    let normalize = Normalize {
        along,
        input: input.span(),
        weights: weights.span(),
        bias: bias.span(),
        epsilon,
        moments: match &moments {
            Moments::Given(moments) => Some(moments.span()),
            Moments::Measured(moments) => Some(moments.span()),
            Moments::Passing => None,
        },
        given,
        normalized: normalized.map(|normalized| normalized.span()),
        output: sum,
    };
    // SAFETY: shapes and engine are checked; what is written is mutably borrowed and overlaps no other operand. A map may write its
    // operand.
    unsafe {
        engine.normalize(&normalize)?;
        match (transfer, z) {
            (Transfer::Map(f, p), _) => engine.map(f, p, sum, output.span()),
            (_, Some(_)) => engine.map(&COPY, [0.0; 4], sum, output.span()),
            (_, None) => Ok(()),
        }
    }
}

/// What the backward pass needs of the forward pass.
pub(crate) struct Kept<'a, T: Scalar> {
    pub along: Along,
    /// gamma, `features x 1`
    pub weights: MatrixRef<'a, T>,
    pub epsilon: f64,
    pub moments: MatrixRef<'a, T>,
    /// Whether the moments were given.
    pub given: bool,
    /// `features x samples`
    pub normalized: MatrixRef<'a, T>,
    /// dC/dz, `features x samples`
    pub delta: MatrixRef<'a, T>,
}

/// `out = dC/dx ⊙ f'`
pub(crate) fn propagate<T: Scalar>(
    kept: &Kept<'_, T>,
    fold: Fold<'_, T>,
    out: MatrixMut<'_, T>,
) -> Result<()> {
    let &Kept { along, weights, epsilon, moments, given, normalized, delta } = kept;
    let fold_fits = match fold {
        Fold::One => true,
        Fold::Zip(_, _, before) => alike(before, delta),
        Fold::Softmax(_) => false,
    };
    let rules = [
        (
            alike(delta, out.as_ref()) && alike(normalized, delta),
            "delta, normalized and out must have one shape",
        ),
        (
            shape(weights) == (delta.rows(), 1),
            "weights must be a column with a row for each feature",
        ),
        (
            has_lines(moments, along, delta),
            "there must be a mean and a variance for each row or column",
        ),
        (
            fold_fits,
            "the layer before must not have softmax, and what it keeps must have the shape of out",
        ),
    ];
    check("normalize propagate", &operands!(weights, delta, normalized, out), &rules)?;
    let call = NormalizePropagate {
        along,
        weights: weights.span(),
        epsilon,
        moments: moments.span(),
        given,
        normalized: normalized.span(),
        delta: delta.span(),
        output: out.span(),
    };
    let engine = out.engine();
    // SAFETY: shapes and engine are checked; out is mutably borrowed and overlaps no other operand. A zip may write its operand.
    unsafe {
        engine.normalize_propagate(&call)?;
        match fold {
            Fold::Zip(f, p, before) => engine.zip(f, p, out.span(), before.span(), out.span()),
            _ => Ok(()),
        }
    }
}

/// `sinks = scale gradient + keep sinks` with the mean gradients `sum_j delta_ij normalized_ij / n` and `sum_j delta_ij / n`.
pub(crate) fn gradient<T: Scalar>(
    delta: MatrixRef<'_, T>,
    normalized: MatrixRef<'_, T>,
    [weights, bias]: [MatrixMut<'_, T>; 2],
    scale: f64,
    keep: f64,
) -> Result<()> {
    let column = (delta.rows(), 1);
    let sinks = shape(weights.as_ref()) == column && shape(bias.as_ref()) == column;
    let rules = [
        (
            alike(delta, normalized),
            "delta and normalized must have one shape, with contiguous rows",
        ),
        (sinks, "weights and bias must be columns with a row for each feature"),
    ];
    check("normalize gradient", &operands!(delta, normalized, weights, bias), &rules)?;
    let (scale, keep) = (T::from_f64(scale / delta.columns() as f64), T::from_f64(keep));
    let engine = delta.engine();
    // SAFETY: shapes and engine are checked; the sinks are mutably borrowed and overlap no other operand.
    unsafe {
        engine.row_dots(scale, delta.span(), normalized.span(), keep, weights.span())?;
        engine.row_sums(scale, delta.span(), keep, bias.span())
    }
}
