//! What the layers that normalize ask of an engine.

use super::Span;

/// Which numbers are normalized together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Along {
    /// Each row over its columns: a feature over the samples of a batch.
    Rows,
    /// Each column over its rows: a sample over its features.
    Columns,
}

/// Arguments of [`Engine::normalize`](super::Engine::normalize). Rows of all matrices lie side by side.
#[derive(Clone, Copy)]
pub struct Normalize {
    /// Rows or columns.
    pub along: Along,
    /// x, `features x samples`
    pub input: Span,
    /// gamma, `features x 1`
    pub weights: Span,
    /// beta, `features x 1`
    pub bias: Span,
    /// What variances are raised by before they divide.
    pub epsilon: f64,
    /// Means and variances: a row for each row or column that is normalized, 2 columns.
    pub moments: Option<Span>,
    /// Whether the moments are read; else they are measured and, where there is a place for them, written.
    pub given: bool,
    /// Where `(x - mean) / deviation` is kept, `features x samples`; `None` if nobody needs it.
    pub normalized: Option<Span>,
    /// z, `features x samples`; it may be x.
    pub output: Span,
}

/// Arguments of [`Engine::normalize_propagate`](super::Engine::normalize_propagate). Rows of all matrices lie side by side.
#[derive(Clone, Copy)]
pub struct NormalizePropagate {
    /// As in the call whose gradient this is.
    pub along: Along,
    /// gamma, `features x 1`
    pub weights: Span,
    /// As in the call whose gradient this is.
    pub epsilon: f64,
    /// Means and variances that it read or wrote.
    pub moments: Span,
    /// Whether it read them: then they are no functions of x.
    pub given: bool,
    /// What it kept, `features x samples`
    pub normalized: Span,
    /// dC/dz, `features x samples`
    pub delta: Span,
    /// dC/dx, `features x samples`
    pub output: Span,
}
