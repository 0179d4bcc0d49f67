//! The calls of whole networks of dense layers.

use std::sync::Arc;

use super::check::{check, operands};
use super::fused::Indices;
use crate::engine::{
    Engine, LossFormula, MOST_LAYERS, NetworkForward, NetworkLayer, NetworkStep, Span, Transfer,
    Zip,
};
use crate::error::{Error, Result};
use crate::matrix::{MatrixMut, MatrixRef};
use crate::scalar::Scalar;

/// The activation of a dense layer: f and, if it is a formula, f' and whether f' is computed from z (true) or a (false).
#[derive(Clone, Copy)]
pub(crate) struct Form {
    pub transfer: Transfer,
    pub derivative: Option<(&'static Zip, bool)>,
}

/// Whether the engine computes a network of these sizes faster in one call, see [`Engine::takes_network`]. Nothing is allocated.
pub(crate) fn takes_network<T: Scalar>(
    engine: &Arc<dyn Engine<T>>,
    inputs: usize,
    outputs: impl Iterator<Item = usize>,
    samples: usize,
    trains: bool,
) -> bool {
    let (mut sizes, mut count) = ([inputs; MOST_LAYERS + 1], 1);
    for size in outputs {
        if count > MOST_LAYERS {
            return false;
        }
        sizes[count] = size;
        count += 1;
    }
    engine.takes_network(&sizes[..count], samples, trains)
}

/// The items as an array, which begins with them, and their number: 1 to [`MOST_LAYERS`].
fn listed<X: Copy>(mut items: impl Iterator<Item = X>) -> Result<([X; MOST_LAYERS], usize)> {
    let wrong =
        || Error::argument("network", format!("one call computes 1 to {MOST_LAYERS} layers"));
    let mut list = [items.next().ok_or_else(wrong)?; MOST_LAYERS];
    let mut count = 1;
    for item in items {
        *list.get_mut(count).ok_or_else(wrong)? = item;
        count += 1;
    }
    Ok((list, count))
}

/// Whether a matrix is contiguous and at the start of its allocation.
fn is_whole(span: Span) -> bool {
    span.offset == 0 && span.row_stride == 1 && span.column_stride == span.rows
}

fn chains(layers: &[NetworkLayer], inputs: usize, outputs: usize) -> bool {
    let mut rows = inputs;
    for NetworkLayer { weights, bias, .. } in layers {
        let fits = weights.columns == rows && (bias.rows, bias.columns) == (weights.rows, 1);
        if !fits || !is_whole(*weights) || !is_whole(*bias) {
            return false;
        }
        rows = weights.rows;
    }
    rows == outputs
}

fn spans<T: Scalar>([weights, bias]: [MatrixRef<'_, T>; 2], form: Form) -> NetworkLayer {
    let Form { transfer, derivative } = form;
    NetworkLayer { weights: weights.span(), bias: bias.span(), transfer, derivative }
}

const LAYERS_CHAIN: &str = "layers must chain from input to output, with contiguous parameters";
const CONTIGUOUS_ROWS: &str = "rows of a network's inputs and outputs must be contiguous";

/// `output = f(W input + b 1^T)`, layer after layer. Only if [`takes_network`] is true for `batch` samples, of which there may be fewer. Returns false, and does nothing, if rows of input or output are not
/// contiguous.
pub(crate) fn forward<'a, T: Scalar>(
    layers: impl Iterator<Item = ([MatrixRef<'a, T>; 2], Form)>,
    batch: usize,
    input: MatrixRef<'_, T>,
    output: MatrixMut<'_, T>,
) -> Result<bool> {
    if input.span().row_stride != 1 || output.span().row_stride != 1 {
        return Ok(false);
    }
    let (list, count) = listed(layers.map(|(parameters, form)| spans(parameters, form)))?;
    let layers = &list[..count];
    let rules = [
        (chains(layers, input.rows(), output.rows()), LAYERS_CHAIN),
        (input.columns() == output.columns(), "columns of input must equal columns of output"),
        (input.columns() <= batch, "the batch must be at least the columns of input"),
    ];
    check("network forward", &operands!(input, output), &rules)?;
    let call = NetworkForward { layers, batch, input: input.span(), output: output.span() };
    // SAFETY: shapes and engine are checked; output is mutably borrowed and overlaps no other operand.
    unsafe { output.engine().network_forward(&call)? };
    Ok(true)
}

/// A layer in a step of training.
pub(crate) struct Trained<'a, T: Scalar> {
    /// Weights and bias.
    pub parameters: [MatrixMut<'a, T>; 2],
    /// The sinks of their gradients; `None` for the parameters themselves.
    pub sinks: Option<[MatrixMut<'a, T>; 2]>,
    pub form: Form,
}

/// The data of a step and the matrices that it writes, see [`NetworkStep`].
pub(crate) struct Batch<'a, T: Scalar> {
    pub batch: usize,
    pub input: MatrixRef<'a, T>,
    pub target: MatrixRef<'a, T>,
    /// The columns of input and target are those of the indices from this one on.
    pub order: Option<(&'a Indices<T>, usize)>,
    pub loss: LossFormula,
    pub threshold: f64,
    /// `1 x samples`
    pub losses: MatrixMut<'a, T>,
    /// `1 x samples`
    pub hits: Option<MatrixMut<'a, T>>,
}

/// Whether the rows of both are contiguous, as one call requires.
pub(crate) fn are_contiguous<T: Scalar>(input: MatrixRef<'_, T>, target: MatrixRef<'_, T>) -> bool {
    [input, target].iter().all(|matrix| matrix.span().row_stride == 1)
}

impl<T: Scalar> Batch<'_, T> {
    fn samples(&self) -> usize {
        self.losses.columns()
    }

    fn columns_are_there(&self) -> bool {
        let (samples, columns) = (self.samples(), self.input.columns());
        self.target.columns() == columns
            && samples <= self.batch
            && self
                .order
                .map_or(columns == samples, |(indices, first)| indices.fit(first, samples, columns))
    }
}

/// Forward pass, loss and backward pass: `sinks = scale gradient + keep sinks`. Only if [`takes_network`] is true and the batch suits.
pub(crate) fn step<'a, T: Scalar>(
    layers: impl Iterator<Item = Trained<'a, T>>,
    batch: Batch<'_, T>,
    (scale, keep): (f64, f64),
) -> Result<()> {
    let (list, count) = listed(layers.map(|Trained { parameters, sinks, form }| {
        let layer = spans(parameters.each_ref().map(MatrixMut::as_ref), form);
        (
            layer,
            sinks
                .map_or([layer.weights, layer.bias], |sinks| sinks.each_ref().map(MatrixMut::span)),
        )
    }))?;
    let (layers, sinks) = (list.map(|(layer, _)| layer), list.map(|(_, sinks)| sinks));
    let (layers, sinks) = (&layers[..count], &sinks[..count]);
    let shape = |span: Span| (span.rows, span.columns, is_whole(span));
    let sinks_fit = layers.iter().zip(sinks).all(|(layer, sinks)| {
        shape(layer.weights) == shape(sinks[0]) && shape(layer.bias) == shape(sinks[1])
    });
    let (input, target, losses, samples) =
        (batch.input, batch.target, batch.losses.as_ref(), batch.samples());
    let row_fits = |row: Span| (row.rows, row.columns) == (1, samples);
    let rules = [
        (chains(layers, input.rows(), target.rows()), LAYERS_CHAIN),
        (sinks_fit, "sinks must have the shapes of the parameters"),
        (are_contiguous(input, target), CONTIGUOUS_ROWS),
        (
            batch.columns_are_there(),
            "there must be a column of input and target for every sample, no more than the batch",
        ),
        (
            row_fits(losses.span()) && batch.hits.as_ref().is_none_or(|hits| row_fits(hits.span())),
            "losses and hits must be rows with a column for each sample",
        ),
    ];
    check("network step", &operands!(input, target, losses), &rules)?;
    let Batch { batch: most, order, loss, threshold, .. } = batch;
    let call = NetworkStep {
        layers,
        sinks,
        scale,
        keep,
        batch: most,
        samples,
        order: order.map(|(indices, first)| (indices.handle(), first)),
        input: input.span(),
        target: target.span(),
        loss,
        losses: losses.span(),
        threshold,
        hits: batch.hits.as_ref().map(MatrixMut::span),
    };
    // SAFETY: shapes, indices and engine are checked; what is written is mutably borrowed and overlaps no other operand.
    unsafe { input.engine().network_step(&call) }
}
