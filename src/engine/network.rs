//! Calls that compute a whole network of dense layers.

use super::{Handle, LossFormula, Span, Transfer, Zip};

/// Most layers that one call takes.
pub const MOST_LAYERS: usize = 4;

/// A dense layer of [`NetworkForward`] and [`NetworkStep`]. Of the numbers of its formula only the first may differ from 0.
#[derive(Clone, Copy)]
pub struct NetworkLayer {
    /// W: `outputs x inputs`, without gaps and at the start of its memory
    pub weights: Span,
    /// b: `outputs x 1`, as W
    pub bias: Span,
    /// f; softmax in the last layer alone
    pub transfer: Transfer,
    /// Of an f that is a formula `f(g, kept; p) = g ⊙ f'(kept)`, and whether z is kept rather than a.
    pub derivative: Option<(&'static Zip, bool)>,
}

/// Arguments of [`Engine::network_forward`](super::Engine::network_forward).
#[derive(Clone, Copy)]
pub struct NetworkForward<'a> {
    /// First to last, at most [`MOST_LAYERS`].
    pub layers: &'a [NetworkLayer],
    /// `inputs x samples`, rows side by side
    pub input: Span,
    /// `outputs x samples`, rows side by side
    pub output: Span,
}

/// Arguments of [`Engine::network_step`](super::Engine::network_step).
#[derive(Clone, Copy)]
pub struct NetworkStep<'a> {
    /// First to last, at most [`MOST_LAYERS`].
    pub layers: &'a [NetworkLayer],
    /// For each layer where the gradients of weights and bias go, shaped as they are; these may be weights and bias themselves.
    pub sinks: &'a [[Span; 2]],
    /// s in `sink = s gradient + k sink`
    pub scale: f64,
    /// k in `sink = s gradient + k sink`
    pub keep: f64,
    /// The most samples that a step of this training has.
    pub batch: usize,
    /// Samples of this step.
    pub samples: usize,
    /// Sample j of the step is column `indices[first + j]` of input and target; `None`: column j.
    pub order: Option<(Handle, usize)>,
    /// `inputs x` as many as there are, rows side by side
    pub input: Span,
    /// `outputs x` as many, rows side by side
    pub target: Span,
    /// The loss; of the numbers of its formula only the first may differ from 0.
    pub loss: LossFormula,
    /// Where the loss of each sample goes, `1 x samples`.
    pub losses: Span,
    /// Above which a single output means "yes".
    pub threshold: f64,
    /// Where 1 goes for each sample whose class is right and 0 for the others, `1 x samples`.
    pub hits: Option<Span>,
}
