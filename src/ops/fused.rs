//! The fused calls of layers and losses: checked here, like all mathematics.

use super::{check, operands};
use crate::engine::{
    DenseForward, DenseGradient, Derivative, Handle, LossCall, LossFormula, Transfer, Zip,
};
use crate::error::Result;
use crate::matrix::{Matrix, MatrixMut, MatrixRef};
use crate::scalar::Scalar;

/// What backward multiplies a gradient by: [`Derivative`] with a view that is alive. Public because layers' traits name it, in a
/// module that is not.
#[derive(Clone, Copy)]
pub enum Fold<'a, T: Scalar> {
    One,
    Zip(&'static Zip, [f64; 4], MatrixRef<'a, T>),
    Softmax(MatrixRef<'a, T>),
}

impl<'a, T: Scalar> Fold<'a, T> {
    fn kept(self) -> Option<MatrixRef<'a, T>> {
        match self {
            Fold::One => None,
            Fold::Zip(_, _, kept) | Fold::Softmax(kept) => Some(kept),
        }
    }

    fn derivative(self) -> Derivative {
        match self {
            Fold::One => Derivative::One,
            Fold::Zip(f, p, kept) => Derivative::Zip(f, p, kept.span()),
            Fold::Softmax(a) => Derivative::Softmax(a.span()),
        }
    }
}

fn same_shape<T: Scalar>(x: MatrixRef<'_, T>, y: MatrixRef<'_, T>) -> bool {
    (x.rows(), x.columns()) == (y.rows(), y.columns())
}

fn rows_side_by_side<T: Scalar>(x: MatrixRef<'_, T>) -> bool {
    x.span().row_stride == 1
}

/// A copy of weights from which [`dense_forward`] is faster, again and again; `None` where the engine has no use for one.
pub(crate) fn pack_weights<T: Scalar>(weights: MatrixRef<'_, T>) -> Result<Option<Matrix<T>>> {
    let engine = weights.engine();
    let Some([rows, columns]) = engine.packed_shape(weights.rows(), weights.columns()) else {
        return Ok(None);
    };
    let mut packed = Matrix::zeros(engine, rows, columns)?;
    // SAFETY: the copy has the shape that the engine asked for.
    unsafe { engine.pack_weights(weights.span(), packed.view_mut().span())? };
    Ok(Some(packed))
}

/// Where [`dense_forward`] writes.
pub(crate) struct Outputs<'a, T: Scalar> {
    /// z, `outputs x samples`, where it is wanted
    pub z: Option<MatrixMut<'a, T>>,
    /// `outputs x samples`
    pub a: MatrixMut<'a, T>,
    /// [`DenseForward::rounds`]
    pub rounds: bool,
    /// [`DenseForward::trains`]
    pub trains: bool,
}

/// `a = f(W input + b 1^T)`; packed: W's own [`pack_weights`], if there are.
pub(crate) fn dense_forward<T: Scalar>(
    weights: MatrixRef<'_, T>,
    packed: Option<&Matrix<T>>,
    bias: MatrixRef<'_, T>,
    transfer: Transfer,
    input: MatrixRef<'_, T>,
    Outputs { z, a: output, rounds, trains }: Outputs<'_, T>,
) -> Result<()> {
    let z_fits = z.as_ref().is_none_or(|z| same_shape(z.as_ref(), output.as_ref()));
    let rules = [
        (weights.columns() == input.rows(), "rows of input must equal columns of weights"),
        (weights.rows() == output.rows(), "rows of output must equal rows of weights"),
        (input.columns() == output.columns(), "columns of input must equal columns of output"),
        (
            (bias.rows(), bias.columns()) == (weights.rows(), 1),
            "bias must be a column of as many rows as weights",
        ),
        (z_fits, "z must have the shape of output"),
        (
            !matches!(transfer, Transfer::Softmax) || rows_side_by_side(output.as_ref()),
            "rows of output must lie side by side for softmax",
        ),
    ];
    check("dense forward", &operands!(weights, bias, input, output), &rules)?;
    let call = DenseForward {
        weights: weights.span(),
        packed: packed.map(|packed| packed.view().span()),
        input: input.span(),
        bias: bias.span(),
        transfer,
        z: z.map(|z| z.span()),
        output: output.span(),
        rounds,
        trains,
    };
    // SAFETY: checked above; the borrow checker keeps what is written apart.
    unsafe { output.engine().dense_forward(&call) }
}

/// `out = (W^T delta) ⊙ f'`
pub(crate) fn dense_propagate<T: Scalar>(
    weights: MatrixRef<'_, T>,
    delta: MatrixRef<'_, T>,
    fold: Fold<'_, T>,
    out: MatrixMut<'_, T>,
) -> Result<()> {
    let kept_fits =
        fold.kept().is_none_or(|kept| same_shape(kept, out.as_ref()) && rows_side_by_side(kept));
    let rules = [
        (weights.rows() == delta.rows(), "rows of weights must equal rows of delta"),
        (weights.columns() == out.rows(), "columns of weights must equal rows of out"),
        (delta.columns() == out.columns(), "columns of delta must equal columns of out"),
        (
            kept_fits && rows_side_by_side(out.as_ref()),
            "out and what its layer keeps must have one shape without gaps",
        ),
    ];
    check("dense propagate", &operands!(weights, delta, out), &rules)?;
    // SAFETY: checked above; the borrow checker keeps out apart.
    unsafe {
        out.engine().dense_propagate(weights.span(), delta.span(), fold.derivative(), out.span())
    }
}

/// `sinks = scale gradient + keep sinks` with the mean gradients `delta input^T / n` and `delta 1 / n`.
pub(crate) fn dense_gradient<T: Scalar>(
    delta: MatrixRef<'_, T>,
    input: MatrixRef<'_, T>,
    [weights, bias]: [MatrixMut<'_, T>; 2],
    scale: f64,
    keep: f64,
) -> Result<()> {
    let rules = [
        (delta.columns() == input.columns(), "columns of delta must equal columns of input"),
        (delta.rows() == weights.rows(), "rows of delta must equal rows of weights"),
        (input.rows() == weights.columns(), "rows of input must equal columns of weights"),
        (
            (bias.rows(), bias.columns()) == (weights.rows(), 1),
            "bias must be a column of as many rows as weights",
        ),
    ];
    check("dense gradient", &operands!(delta, input, weights, bias), &rules)?;
    let call = DenseGradient {
        delta: delta.span(),
        input: input.span(),
        weights: weights.span(),
        bias: bias.span(),
        scale,
        keep,
    };
    // SAFETY: checked above; the borrow checker keeps the sinks apart.
    unsafe { weights.engine().dense_gradient(&call) }
}

/// The loss of every sample into `values` (`1 x samples`) and, where there is a place for it, its gradient times f'.
pub(crate) fn loss<T: Scalar>(
    formula: LossFormula,
    output: MatrixRef<'_, T>,
    target: MatrixRef<'_, T>,
    values: MatrixMut<'_, T>,
    gradient: Option<(MatrixMut<'_, T>, Fold<'_, T>)>,
) -> Result<()> {
    let plain = |x: MatrixRef<'_, T>| same_shape(x, output) && rows_side_by_side(x);
    let gradient_fits = gradient
        .as_ref()
        .is_none_or(|(delta, fold)| plain(delta.as_ref()) && fold.kept().is_none_or(plain));
    let rules = [
        (same_shape(output, target), "output and target must have one shape"),
        (
            (values.rows(), values.columns()) == (1, output.columns()),
            "values must be a row of one column a sample",
        ),
        (
            rows_side_by_side(output) && rows_side_by_side(target),
            "rows of output and target must lie side by side",
        ),
        (gradient_fits, "the gradient must have the shape of output, rows side by side"),
    ];
    check("loss", &operands!(output, target, values), &rules)?;
    let (delta, derivative) = match gradient {
        Some((delta, fold)) => (Some(delta.span()), fold.derivative()),
        None => (None, Derivative::One),
    };
    let (output, target) = (output.span(), target.span());
    let call = LossCall { formula, output, target, values: values.span(), delta, derivative };
    // SAFETY: checked above; the borrow checker keeps what is written apart.
    unsafe { values.engine().loss(&call) }
}

/// 1 into `hits` (`1 x samples`) for every sample that output and target agree on.
pub(crate) fn hits<T: Scalar>(
    output: MatrixRef<'_, T>,
    target: MatrixRef<'_, T>,
    threshold: f64,
    hits: MatrixMut<'_, T>,
) -> Result<()> {
    let rules = [
        (same_shape(output, target), "output and target must have one shape"),
        (
            (hits.rows(), hits.columns()) == (1, output.columns()),
            "hits must be a row of one column a sample",
        ),
    ];
    check("hits", &operands!(output, target, hits), &rules)?;
    // SAFETY: checked above; the borrow checker keeps hits apart.
    unsafe { hits.engine().hits(output.span(), target.span(), T::from_f64(threshold), hits.span()) }
}

/// Indices of columns in an engine's memory.
pub(crate) struct Indices<T: Scalar> {
    /// As many elements as indices: `u32` is no wider than any scalar.
    memory: Matrix<T>,
    /// All indices are below this.
    bound: usize,
}

impl<T: Scalar> Indices<T> {
    /// `0, 1 ... count - 1`
    pub(crate) fn in_order(order: &[u32], owner: MatrixRef<'_, T>) -> Result<Self> {
        let mut indices =
            Indices { memory: Matrix::zeros(owner.engine(), 1, order.len())?, bound: 0 };
        indices.write(order)?;
        Ok(indices)
    }

    pub(crate) fn bytes(&self) -> usize {
        self.memory.bytes()
    }

    pub(super) fn handle(&self) -> Handle {
        self.memory.view().span().handle
    }

    /// Whether `count` indices from `first` on are there, and name columns of a matrix that has so many.
    pub(super) fn fit(&self, first: usize, count: usize, columns: usize) -> bool {
        first + count <= self.memory.columns() && self.bound <= columns
    }

    /// Replaces all indices; as many as before.
    pub(crate) fn write(&mut self, order: &[u32]) -> Result<()> {
        let rules =
            [(order.len() == self.memory.columns(), "there must be as many indices as before")];
        let memory = self.memory.view();
        check("write indices", &operands!(memory), &rules)?;
        self.bound = order.iter().max().map_or(0, |&last| last as usize + 1);
        // SAFETY: checked above: a u32 fits into the place of any scalar.
        unsafe { self.memory.engine().write_indices(order, self.handle()) }
    }
}

/// Column j of `to` is the column of `from` that index `first + j` names.
pub(crate) fn gather<T: Scalar>(
    from: MatrixRef<'_, T>,
    indices: &Indices<T>,
    first: usize,
    to: MatrixMut<'_, T>,
) -> Result<()> {
    let rules = [
        (from.rows() == to.rows(), "rows of from must equal rows of to"),
        (
            first + to.columns() <= indices.memory.columns(),
            "there must be an index for every column of to",
        ),
        (indices.bound <= from.columns(), "every index must be below the columns of from"),
    ];
    check("gather", &operands!(from, to), &rules)?;
    let next = indices.memory.columns() - first - to.columns();
    // SAFETY: checked above; the borrow checker keeps to apart.
    unsafe { to.engine().gather(from.span(), indices.handle(), first, to.span(), next) }
}
