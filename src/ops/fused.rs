//! The fused calls of layers and losses.

use std::sync::Arc;

use super::check::{check, operands};
use crate::engine::{
    DenseForward, DenseGradient, Derivative, Handle, LossCall, LossFormula, Transfer, Zip,
};
use crate::error::Result;
use crate::matrix::{Matrix, MatrixMut, MatrixRef};
use crate::scalar::Scalar;

/// The derivative that backpropagation multiplies a gradient by: [`Derivative`] with a borrowed view. It is public because the traits of layers name
/// it, but its module is not.
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

    /// The same derivative with another view of what the layer keeps.
    pub(crate) fn map(
        self,
        view: impl FnOnce(MatrixRef<'a, T>) -> Result<MatrixRef<'a, T>>,
    ) -> Result<Self> {
        Ok(match self {
            Fold::One => Fold::One,
            Fold::Zip(f, p, kept) => Fold::Zip(f, p, view(kept)?),
            Fold::Softmax(kept) => Fold::Softmax(view(kept)?),
        })
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

fn has_contiguous_rows<T: Scalar>(x: MatrixRef<'_, T>) -> bool {
    x.span().row_stride == 1
}

/// A packed copy of weights that makes repeated calls of [`dense_forward`] faster; `None` if the engine has no use for one.
pub(crate) fn pack_weights<T: Scalar>(weights: MatrixRef<'_, T>) -> Result<Option<Matrix<T>>> {
    let engine = weights.engine();
    let Some([rows, columns]) = engine.packed_shape(weights.rows(), weights.columns()) else {
        return Ok(None);
    };
    let mut packed = Matrix::zeros(engine, rows, columns)?;
    // SAFETY: the new matrix has the shape that the engine requires.
    unsafe { engine.pack_weights(weights.span(), packed.view_mut().span())? };
    Ok(Some(packed))
}

/// The matrices that [`dense_forward`] writes.
pub(crate) struct Outputs<'a, T: Scalar> {
    /// z, `outputs x samples`, if it is needed
    pub z: Option<MatrixMut<'a, T>>,
    /// a, `outputs x samples`
    pub a: MatrixMut<'a, T>,
    /// [`DenseForward::rounds`]
    pub rounds: bool,
    /// [`DenseForward::trains`]
    pub trains: bool,
}

/// `a = f(W input + b 1^T)`; `packed` is the copy of W by [`pack_weights`], if there is one.
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
            !matches!(transfer, Transfer::Softmax) || has_contiguous_rows(output.as_ref()),
            "rows of output must be contiguous for softmax",
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
    // SAFETY: shapes and engine are checked; what is written is mutably borrowed and overlaps no other operand.
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
        fold.kept().is_none_or(|kept| same_shape(kept, out.as_ref()) && has_contiguous_rows(kept));
    let rules = [
        (weights.rows() == delta.rows(), "rows of weights must equal rows of delta"),
        (weights.columns() == out.rows(), "columns of weights must equal rows of out"),
        (delta.columns() == out.columns(), "columns of delta must equal columns of out"),
        (
            kept_fits && has_contiguous_rows(out.as_ref()),
            "out and what its layer keeps must have one shape with contiguous rows",
        ),
    ];
    check("dense propagate", &operands!(weights, delta, out), &rules)?;
    // SAFETY: shapes and engine are checked; out is mutably borrowed and overlaps no other operand.
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
    // SAFETY: shapes and engine are checked; the sinks are mutably borrowed and overlap no other operand.
    unsafe { weights.engine().dense_gradient(&call) }
}

/// Writes the loss of every sample to `values` (`1 x samples`) and, if there is a matrix for it, its gradient times f'. `first`: the
/// first parameter of the formula for each row, where rows have different ones.
pub(crate) fn loss<T: Scalar>(
    (formula, first): (LossFormula, Option<&Matrix<T>>),
    output: MatrixRef<'_, T>,
    target: MatrixRef<'_, T>,
    values: MatrixMut<'_, T>,
    gradient: Option<(MatrixMut<'_, T>, Fold<'_, T>)>,
) -> Result<()> {
    let plain = |x: MatrixRef<'_, T>| same_shape(x, output) && has_contiguous_rows(x);
    let gradient_fits = gradient
        .as_ref()
        .is_none_or(|(delta, fold)| plain(delta.as_ref()) && fold.kept().is_none_or(plain));
    let rules = [
        (same_shape(output, target), "output and target must have one shape"),
        (
            (values.rows(), values.columns()) == (1, output.columns()),
            "values must be a row with a column for each sample",
        ),
        (
            has_contiguous_rows(output) && has_contiguous_rows(target),
            "rows of output and target must be contiguous",
        ),
        (gradient_fits, "the gradient must have the shape of output, with contiguous rows"),
        (
            first.is_none_or(|first| {
                first.rows() == output.rows() && Arc::ptr_eq(first.engine(), output.engine())
            }),
            "output must have a row for each first parameter, on the same engine",
        ),
    ];
    check("loss", &operands!(output, target, values), &rules)?;
    let first_by_row = first.map(|first| first.view().span());
    let (delta, derivative) = match gradient {
        Some((delta, fold)) => (Some(delta.span()), fold.derivative()),
        None => (None, Derivative::One),
    };
    let (output, target) = (output.span(), target.span());
    let call = LossCall {
        formula,
        first_by_row,
        output,
        target,
        values: values.span(),
        delta,
        derivative,
    };
    // SAFETY: shapes and engine are checked; what is written is mutably borrowed and overlaps no other operand.
    unsafe { values.engine().loss(&call) }
}

/// Writes 1 to `hits` (`1 x samples`) for every sample whose output agrees with its target, else 0.
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
            "hits must be a row with a column for each sample",
        ),
    ];
    check("hits", &operands!(output, target, hits), &rules)?;
    // SAFETY: shapes and engine are checked; hits is mutably borrowed and overlaps no other operand.
    unsafe { hits.engine().hits(output.span(), target.span(), T::from_f64(threshold), hits.span()) }
}

/// Indices of columns, in an engine's memory.
pub(crate) struct Indices<T: Scalar> {
    /// As many elements as there are indices: a `u32` is no larger than any scalar.
    memory: Matrix<T>,
    /// A bound above all indices.
    bound: usize,
}

impl<T: Scalar> Indices<T> {
    /// The indices of `order`, on the engine of `owner`.
    pub(crate) fn in_order(order: &[u32], owner: MatrixRef<'_, T>) -> Result<Self> {
        let mut indices =
            Indices { memory: Matrix::zeros(owner.engine(), 1, order.len())?, bound: 0 };
        indices.write(order)?;
        Ok(indices)
    }

    pub(crate) fn bytes(&self) -> usize {
        self.memory.bytes()
    }

    pub(super) fn memory(&self) -> &Matrix<T> {
        &self.memory
    }

    pub(super) fn handle(&self) -> Handle {
        self.memory.view().span().handle
    }

    /// Whether indices `first .. first + count` exist, and all are below `columns`.
    pub(super) fn fit(&self, first: usize, count: usize, columns: usize) -> bool {
        first + count <= self.memory.columns() && self.bound <= columns
    }

    /// Replaces all indices by as many others.
    pub(crate) fn write(&mut self, order: &[u32]) -> Result<()> {
        let rules =
            [(order.len() == self.memory.columns(), "there must be as many indices as before")];
        let memory = self.memory.view();
        check("write indices", &operands!(memory), &rules)?;
        self.bound = order.iter().max().map_or(0, |&last| last as usize + 1);
        // SAFETY: there are as many elements as indices, and a `u32` is no larger than any scalar.
        unsafe { self.memory.engine().write_indices(order, self.handle()) }
    }
}

/// Column j of `batch` becomes column `indices[first + j]` of `samples`.
pub(crate) fn gather<T: Scalar>(
    samples: MatrixRef<'_, T>,
    indices: &Indices<T>,
    first: usize,
    batch: MatrixMut<'_, T>,
) -> Result<()> {
    let rules = [
        (
            samples.rows() == batch.rows(),
            "samples must have as many rows as the batch: the network's inputs (or outputs)",
        ),
        (
            first + batch.columns() <= indices.memory.columns(),
            "there must be an index for every column of the batch",
        ),
        (indices.bound <= samples.columns(), "every index must be below the number of samples"),
    ];
    check("gather", &operands!(samples, batch), &rules)?;
    let next = indices.memory.columns() - first - batch.columns();
    // SAFETY: shapes, engine and indices are checked; the batch is mutably borrowed and overlaps no other operand.
    unsafe { batch.engine().gather(samples.span(), indices.handle(), first, batch.span(), next) }
}
