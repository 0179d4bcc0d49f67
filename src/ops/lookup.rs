//! The calls of layers that embed categories.

use super::check::{check, operands};
use super::embedding::is;
use crate::engine::{CATEGORY_NUMBERS, LookUp, LookUpGradient};
use crate::error::Result;
use crate::matrix::{MatrixMut, MatrixRef};
use crate::scalar::Scalar;

const WEIGHTS: &str = "weights (or sink) must have 8 contiguous rows, table m x 3 ones";
const OUTPUT: &str = "output (or delta) must have n + 7 m rows for n rows of input, with contiguous rows, and as many columns";

/// Rows that a layer puts out more than it has inputs, for each embedded feature.
const MORE: usize = CATEGORY_NUMBERS - 1;

fn parameters_fit<T: Scalar>(weights: MatrixRef<'_, T>, table: MatrixRef<'_, T>) -> bool {
    is(weights, CATEGORY_NUMBERS, weights.columns()) && is(table, table.rows(), 3)
}

fn output_fits<T: Scalar>(
    table: MatrixRef<'_, T>,
    input: MatrixRef<'_, T>,
    output: MatrixRef<'_, T>,
) -> bool {
    is(output, input.rows() + MORE * table.rows(), input.columns())
}

/// The input, in which the numbers of categories are embedded: `output` is `(n + 7 m) x samples` for an input `n x samples`. The table
/// must be one of features of this input and of columns of these weights.
pub(crate) fn forward<T: Scalar>(
    [weights, table]: [MatrixRef<'_, T>; 2],
    input: MatrixRef<'_, T>,
    mut output: MatrixMut<'_, T>,
) -> Result<()> {
    let rules = [
        (parameters_fit(weights, table), WEIGHTS),
        (output_fits(table, input, output.as_ref()), OUTPUT),
    ];
    check("embed categories", &operands!(weights, table, input, output), &rules)?;
    super::copy(input, output.reborrow().sub_rows(0..input.rows())?)?;
    let call = LookUp {
        input: input.span(),
        weights: weights.span(),
        table: table.span(),
        output: output.span(),
    };
    // SAFETY: shapes and engine are checked; the output is mutably borrowed and overlaps no other operand; the layer made the table.
    unsafe { output.engine().look_up(&call) }
}

/// `sink = scale gradient + keep sink`, the gradient by the weights being the mean over the samples; `delta` is `(n + 7 m) x samples`.
pub(crate) fn gradient<T: Scalar>(
    table: MatrixRef<'_, T>,
    [input, delta]: [MatrixRef<'_, T>; 2],
    sink: MatrixMut<'_, T>,
    (scale, keep): (f64, f64),
) -> Result<()> {
    let rules = [
        (parameters_fit(sink.as_ref(), table), WEIGHTS),
        (output_fits(table, input, delta), OUTPUT),
    ];
    check("embed categories gradient", &operands!(table, input, delta, sink), &rules)?;
    let call = LookUpGradient {
        input: input.span(),
        table: table.span(),
        delta: delta.span(),
        scale,
        keep,
        sink: sink.span(),
    };
    // SAFETY: shapes and engine are checked; the sink is mutably borrowed and overlaps no other operand; the layer made the table.
    unsafe { delta.engine().look_up_gradient(&call) }
}
