//! The arguments of calls of layers that normalize.

use super::memory::Span;

/// Which elements have a mean and a variance in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Along {
    /// Each row over its columns: a feature over the samples of a batch.
    Rows,
    /// Each column over its rows: a sample over its features.
    Columns,
}

/// Arguments of [`Engine::normalize`](super::Engine::normalize). The rows of all matrices are contiguous.
#[derive(Clone, Copy)]
pub struct Normalize {
    /// Whether rows or columns are normalized.
    pub along: Along,
    /// x, `features x samples`
    pub input: Span,
    /// gamma, `features x 1`
    pub weights: Span,
    /// beta, `features x 1`
    pub bias: Span,
    /// Added to each variance, so that no deviation is 0.
    pub epsilon: f64,
    /// Means and variances in 2 columns, with a row for each row or column that is normalized.
    pub moments: Option<Span>,
    /// Whether the moments are read. Otherwise they are computed from x and, if there is a matrix for them, written.
    pub given: bool,
    /// Where `(x - mean) / deviation` is written, `features x samples`; `None` if it is not needed.
    pub normalized: Option<Span>,
    /// z, `features x samples`; it may be x.
    pub output: Span,
}

/// Arguments of [`Engine::normalize_propagate`](super::Engine::normalize_propagate). The rows of all matrices are contiguous.
#[derive(Clone, Copy)]
pub struct NormalizePropagate {
    /// As in the forward call.
    pub along: Along,
    /// gamma, `features x 1`
    pub weights: Span,
    /// As in the forward call.
    pub epsilon: f64,
    /// The means and variances that the forward call read or wrote.
    pub moments: Span,
    /// Whether the forward call read them: they are then constants, and x does not influence them.
    pub given: bool,
    /// `(x - mean) / deviation` as the forward call wrote it, `features x samples`
    pub normalized: Span,
    /// dC/dz, `features x samples`
    pub delta: Span,
    /// dC/dx, `features x samples`
    pub output: Span,
}
