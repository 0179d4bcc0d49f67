//! The arguments of calls of parametric activations.

use super::call::Derivative;
use super::formula::{Map, Zip};
use super::memory::Span;

/// f, element by element, and its derivative.
#[derive(Clone, Copy)]
pub struct Elementwise {
    /// `f(x; p)`
    pub map: &'static Map,
    /// `g f'(kept; p)` of g and kept.
    pub derivative: &'static Zip,
    /// Parameters of both formulas.
    pub p: [f64; 4],
    /// Whether kept is x; else it is f(x).
    pub keeps_input: bool,
}

/// Arguments of [`Engine::blend`](super::Engine::blend). The rows of all matrices are contiguous.
#[derive(Clone, Copy)]
pub struct Blend {
    /// f
    pub f: Elementwise,
    /// a, `units x 1`
    pub weights: Span,
    /// x, `units x samples`
    pub input: Span,
    /// y, `units x samples`
    pub output: Span,
}

/// Arguments of [`Engine::blend_propagate`](super::Engine::blend_propagate). The rows of all matrices are contiguous.
#[derive(Clone, Copy)]
pub struct BlendPropagate {
    /// f
    pub f: Elementwise,
    /// a, `units x 1`
    pub weights: Span,
    /// x, `units x samples`
    pub input: Span,
    /// dC/dy, `units x samples`
    pub delta: Span,
    /// Of the layer whose output is x; not that of softmax.
    pub before: Derivative,
    /// `units x samples`
    pub output: Span,
}

/// Arguments of [`Engine::blend_gradient`](super::Engine::blend_gradient). The rows of all matrices are contiguous.
#[derive(Clone, Copy)]
pub struct BlendGradient {
    /// f
    pub f: Elementwise,
    /// x, `units x samples`
    pub input: Span,
    /// dC/dy, `units x samples`
    pub delta: Span,
    /// s
    pub scale: f64,
    /// k
    pub keep: f64,
    /// `units x 1`
    pub sink: Span,
}
