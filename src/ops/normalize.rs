//! The calls of layers that normalize: checked here, like all mathematics.

use super::fused::Fold;
use super::{check, operands};
use crate::engine::{Along, Normalize, NormalizePropagate, Transfer};
use crate::error::Result;
use crate::matrix::{MatrixMut, MatrixRef};
use crate::scalar::Scalar;

/// Means and variances, 2 columns: a row for each row or column that is normalized.
pub(crate) enum Moments<'a, T: Scalar> {
    /// Those of the running statistics.
    Given(MatrixRef<'a, T>),
    /// Those of the input, kept.
    Measured(MatrixMut<'a, T>),
    /// Those of the input.
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
    /// `features x samples`, where it is kept
    pub normalized: Option<MatrixMut<'a, T>>,
    pub transfer: Transfer,
    /// `features x samples`, where z is kept
    pub z: Option<MatrixMut<'a, T>>,
    /// a, `features x samples`
    pub output: MatrixMut<'a, T>,
}

fn shape<T: Scalar>(x: MatrixRef<'_, T>) -> (usize, usize) {
    (x.rows(), x.columns())
}

/// One shape, rows side by side.
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
            "input and output must have one shape, rows side by side",
        ),
        (
            shape(weights) == column && shape(bias) == column,
            "weights and bias must be columns with a row a feature",
        ),
        (
            moments_fit,
            "there must be a mean and a variance for each row or column that is normalized",
        ),
        (!matches!(transfer, Transfer::Softmax), "softmax is for dense layers"),
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
    // SAFETY: checked above; the borrow checker keeps what is written apart. A map may write where it reads.
    unsafe {
        engine.normalize(&normalize)?;
        if let Transfer::Map(f, p) = transfer {
            return engine.map(f, p, sum, output.span());
        }
    }
    match z {
        Some(z) => super::copy(z.as_ref(), output),
        None => Ok(()),
    }
}

/// What backward needs of the [`Forward`] that went before.
pub(crate) struct Kept<'a, T: Scalar> {
    pub along: Along,
    /// gamma, `features x 1`
    pub weights: MatrixRef<'a, T>,
    pub epsilon: f64,
    pub moments: MatrixRef<'a, T>,
    /// Whether the moments had been given.
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
        (shape(weights) == (delta.rows(), 1), "weights must be a column with a row a feature"),
        (
            has_lines(moments, along, delta),
            "there must be a mean and a variance for each row or column",
        ),
        (fold_fits, "the layer before must not have softmax, and must keep as much as out has"),
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
    // SAFETY: checked above; the borrow checker keeps out apart, and a zip may write where it reads.
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
        (alike(delta, normalized), "delta and normalized must have one shape, rows side by side"),
        (sinks, "weights and bias must be columns with a row a feature"),
    ];
    check("normalize gradient", &operands!(delta, normalized, weights, bias), &rules)?;
    let (scale, keep) = (T::from_f64(scale / delta.columns() as f64), T::from_f64(keep));
    let engine = delta.engine();
    // SAFETY: checked above; the borrow checker keeps the sinks apart.
    unsafe {
        engine.row_dots(scale, delta.span(), normalized.span(), keep, weights.span())?;
        engine.row_sums(scale, delta.span(), keep, bias.span())
    }
}
