//! The calls of layers that embed numbers.

use super::check::{check, operands};
use crate::engine::{EMBEDDED, Embed, EmbedGradient, FREQUENCIES};
use crate::error::Result;
use crate::matrix::{MatrixMut, MatrixRef};
use crate::scalar::Scalar;

/// The parameters of such a layer, which embeds m features.
#[derive(Clone, Copy)]
pub(crate) struct Embedding<'a, T: Scalar> {
    /// `m x 64`
    pub weights: MatrixRef<'a, T>,
    /// `m x 19`
    pub bias: MatrixRef<'a, T>,
    /// The numbers of the features, `m x 1`
    pub columns: MatrixRef<'a, T>,
}

/// Columns of the weights and of the bias.
pub(crate) const WEIGHTS: usize = (1 + EMBEDDED) * FREQUENCIES;
pub(crate) const BIAS: usize = FREQUENCIES + EMBEDDED;

const PARAMETERS: &str =
    "weights must be m x 64, bias m x 19 and columns m x 1, with contiguous rows";
const OUTPUT: &str = "output (or delta) must have n + 3 m rows for n rows of input, with contiguous rows, and as many columns";

/// Whether a matrix has this shape and contiguous rows.
pub(super) fn is<T: Scalar>(x: MatrixRef<'_, T>, rows: usize, columns: usize) -> bool {
    (x.rows(), x.columns()) == (rows, columns) && x.span().row_stride == 1
}

fn parameters_fit<T: Scalar>(layer: &Embedding<'_, T>) -> bool {
    let m = layer.columns.rows();
    is(layer.weights, m, WEIGHTS) && is(layer.bias, m, BIAS) && is(layer.columns, m, 1)
}

fn output_fits<T: Scalar>(
    layer: &Embedding<'_, T>,
    input: MatrixRef<'_, T>,
    output: MatrixRef<'_, T>,
) -> bool {
    is(output, input.rows() + EMBEDDED * layer.columns.rows(), input.columns())
}

/// The input and, below it, the embeddings: `output` is `(n + 3 m) x samples` for an input `n x samples`.
pub(crate) fn forward<T: Scalar>(
    layer: Embedding<'_, T>,
    input: MatrixRef<'_, T>,
    output: MatrixMut<'_, T>,
) -> Result<()> {
    let Embedding { weights, bias, columns } = layer;
    let rules = [
        (parameters_fit(&layer), PARAMETERS),
        (output_fits(&layer, input, output.as_ref()), OUTPUT),
    ];
    check("embed numbers", &operands!(weights, bias, columns, input, output), &rules)?;
    let call = Embed {
        input: input.span(),
        weights: weights.span(),
        bias: bias.span(),
        columns: columns.span(),
        output: output.span(),
    };
    // SAFETY: shapes and engine are checked; the output is mutably borrowed and overlaps no other operand.
    unsafe { output.engine().embed(&call) }
}

/// What receives the gradients.
pub(crate) enum Sinks<'a, T: Scalar> {
    /// Matrices of the shapes of the parameters.
    Other([MatrixRef<'a, T>; 2], [MatrixMut<'a, T>; 2]),
    /// The parameters themselves, weights and bias.
    Own([MatrixMut<'a, T>; 2]),
}

/// `sinks = scale gradient + keep sinks`, the gradient being the mean over the samples; `delta` is `(n + 3 m) x samples`.
pub(crate) fn gradient<T: Scalar>(
    columns: MatrixRef<'_, T>,
    input: MatrixRef<'_, T>,
    delta: MatrixRef<'_, T>,
    sinks: Sinks<'_, T>,
    (scale, keep): (f64, f64),
) -> Result<()> {
    let (own, [weights_sink, bias_sink]) = match sinks {
        Sinks::Other(parameters, sinks) => (Some(parameters), sinks),
        Sinks::Own(sinks) => (None, sinks),
    };
    let [weights, bias] = own.unwrap_or([weights_sink.as_ref(), bias_sink.as_ref()]);
    let layer = Embedding { weights, bias, columns };
    let sinks = Embedding { weights: weights_sink.as_ref(), bias: bias_sink.as_ref(), columns };
    let rules = [
        (parameters_fit(&layer) && parameters_fit(&sinks), PARAMETERS),
        (output_fits(&layer, input, delta), OUTPUT),
    ];
    let operands = operands!(weights, bias, columns, input, delta, weights_sink, bias_sink);
    check("embed numbers gradient", &operands, &rules)?;
    let call = EmbedGradient {
        input: input.span(),
        weights: weights.span(),
        bias: bias.span(),
        columns: columns.span(),
        delta: delta.span(),
        scale,
        keep,
        weights_sink: weights_sink.span(),
        bias_sink: bias_sink.span(),
    };
    // SAFETY: shapes and engine are checked; the sinks are mutably borrowed and overlap no other operand but, as the call allows,
    // the parameters.
    unsafe { delta.engine().embed_gradient(&call) }
}
