//! The arguments of an engine's calls.

use super::formula::{MOMENTS, Map, NUMBERS, Update, Zip};
use super::memory::Span;

/// The activation of a layer, `a = f(z)` with `z = W x + b`.
#[derive(Clone, Copy)]
pub enum Transfer {
    /// `a = z`
    Identity,
    /// `a = f(z; p)`, element by element.
    Map(&'static Map, [f64; 4]),
    /// `a_i = exp(z_i) / sum_j exp(z_j)`, column by column.
    Softmax,
}

/// The derivative of an activation: what backpropagation multiplies a gradient by.
#[derive(Clone, Copy)]
pub enum Derivative {
    /// `1`
    One,
    /// `delta = f(g, kept; p) = g ⊙ f'(kept)`, element by element. The span is `kept`: z or a.
    Zip(&'static Zip, [f64; 4], Span),
    /// `delta = a ⊙ (g - 1 (a · g))`, column by column. The span is a.
    Softmax(Span),
}

/// A loss and its gradient.
#[derive(Clone, Copy)]
pub enum LossFormula {
    /// `sum value(y, t; p)` over elements, with the gradient `gradient(y, t; p)`.
    Elements {
        /// The loss of an element.
        value: &'static Zip,
        /// The derivative by y.
        gradient: &'static Zip,
        /// Parameters of both formulas.
        p: [f64; 4],
    },
    /// `-sum_i t_i ln softmax(y)_i`
    SoftmaxCrossEntropy,
}

/// Arguments of [`Engine::dense_forward`](super::Engine::dense_forward).
#[derive(Clone, Copy)]
pub struct DenseForward {
    /// W: `outputs x inputs`
    pub weights: Span,
    /// The copy of W by [`Engine::pack_weights`](super::Engine::pack_weights), if there is one.
    pub packed: Option<Span>,
    /// x: `inputs x samples`
    pub input: Span,
    /// b: `outputs x 1`
    pub bias: Span,
    /// f
    pub transfer: Transfer,
    /// Where z is written, `outputs x samples`; `None` if z is not needed.
    pub z: Option<Span>,
    /// a: `outputs x samples`
    pub output: Span,
    /// Whether a and z may be stored in the reduced precision of products: only products and derivatives read them.
    pub rounds: bool,
    /// Whether this is a step of training, which [`Engine::dense_propagate`](super::Engine::dense_propagate) follows.
    pub trains: bool,
}

/// Arguments of [`Engine::dense_gradient`](super::Engine::dense_gradient).
#[derive(Clone, Copy)]
pub struct DenseGradient {
    /// `outputs x samples`
    pub delta: Span,
    /// x: `inputs x samples`
    pub input: Span,
    /// The sink of the gradient of the weights, `outputs x inputs`.
    pub weights: Span,
    /// The sink of the gradient of the bias, `outputs x 1`.
    pub bias: Span,
    /// s in `sink = s gradient + k sink`
    pub scale: f64,
    /// k in `sink = s gradient + k sink`
    pub keep: f64,
}

/// Arguments of [`Engine::loss`](super::Engine::loss).
#[derive(Clone, Copy)]
pub struct LossCall {
    /// The loss.
    pub formula: LossFormula,
    /// p0 of each row in the place of the formula's, `outputs x 1`, contiguous; of a loss of elements alone.
    pub first_by_row: Option<Span>,
    /// y, or the logits: `outputs x samples`, rows contiguous.
    pub output: Span,
    /// t: `outputs x samples`, rows contiguous.
    pub target: Span,
    /// Where the loss of each sample is written, `1 x samples`, contiguous.
    pub values: Span,
    /// Where the gradient times the derivative is written, `outputs x samples`, rows contiguous.
    pub delta: Option<Span>,
    /// The derivative of the activation before the loss.
    pub derivative: Derivative,
}

/// Arguments of [`Engine::update`](super::Engine::update): contiguous matrices of one shape.
#[derive(Clone, Copy)]
pub struct UpdateCall {
    /// The optimizer's rule.
    pub rule: &'static Update,
    /// The rule's parameters.
    pub p: [f64; NUMBERS],
    /// Read and written.
    pub parameter: Span,
    /// Read; it may be a moment.
    pub gradient: Span,
    /// Read and written, as many as the rule has.
    pub moments: [Span; MOMENTS],
}

/// A reduction of all elements to one number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reduction {
    /// `sum x y`
    Dot,
    /// `sum |x|`
    Asum,
    /// `max |x|`; NaN where there is one.
    Amax,
}

/// Arguments of [`Engine::drop_out`](super::Engine::drop_out), all of one shape.
#[derive(Clone, Copy)]
pub struct DropOut {
    /// `f(x, draw; p)`
    pub keep: &'static Zip,
    /// Parameters of the formula.
    pub p: [f64; 4],
    /// x
    pub x: Span,
    /// The draws, overwritten.
    pub draws: Span,
    /// y
    pub y: Span,
}
