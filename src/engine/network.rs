//! The arguments of calls that compute a whole network of dense layers.

use super::call::{LossFormula, Transfer};
use super::formula::Zip;
use super::memory::{Handle, Span};

/// The largest number of layers of one call.
pub const MOST_LAYERS: usize = 4;

/// A dense layer of [`NetworkForward`] and [`NetworkStep`]. Only the first parameter of its formula may differ from 0.
#[derive(Clone, Copy)]
pub struct NetworkLayer {
    /// W: `outputs x inputs`, contiguous and at the start of its allocation
    pub weights: Span,
    /// b: `outputs x 1`, as W
    pub bias: Span,
    /// f; softmax only in the last layer
    pub transfer: Transfer,
    /// For an f that is a formula: `f(g, kept; p) = g ⊙ f'(kept)`, and whether `kept` is z (true) or a (false).
    pub derivative: Option<(&'static Zip, bool)>,
}

/// Arguments of [`Engine::network_forward`](super::Engine::network_forward).
#[derive(Clone, Copy)]
pub struct NetworkForward<'a> {
    /// The layers from first to last, at most [`MOST_LAYERS`].
    pub layers: &'a [NetworkLayer],
    /// The batch of this inference: no call has more samples.
    pub batch: usize,
    /// `inputs x samples`, rows contiguous
    pub input: Span,
    /// `outputs x samples`, rows contiguous
    pub output: Span,
}

/// Arguments of [`Engine::network_step`](super::Engine::network_step).
#[derive(Clone, Copy)]
pub struct NetworkStep<'a> {
    /// The layers from first to last, at most [`MOST_LAYERS`].
    pub layers: &'a [NetworkLayer],
    /// For each layer the sinks of the gradients of weights and bias, of the same shapes; they may be the weights and the bias themselves.
    pub sinks: &'a [[Span; 2]],
    /// s in `sink = s gradient + k sink`
    pub scale: f64,
    /// k in `sink = s gradient + k sink`
    pub keep: f64,
    /// The batch of this training: no step has more samples.
    pub batch: usize,
    /// The number of samples of this step.
    pub samples: usize,
    /// Sample j of the step is column `indices[first + j]` of input and target; `None`: column j.
    pub order: Option<(Handle, usize)>,
    /// The inputs of all samples, `inputs x count`, rows contiguous
    pub input: Span,
    /// The targets of all samples, `outputs x count`, rows contiguous
    pub target: Span,
    /// The loss. Only the first parameter of its formula may differ from 0.
    pub loss: LossFormula,
    /// Where the loss of each sample is written, `1 x samples`.
    pub losses: Span,
    /// The threshold above which a single output means "yes".
    pub threshold: f64,
    /// Where 1 is written for each sample whose predicted class is right, else 0; `1 x samples`.
    pub hits: Option<Span>,
}
