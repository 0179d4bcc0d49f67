//! The arguments of calls of layers that embed categories.

use super::memory::Span;

/// Numbers of an embedded category.
pub const CATEGORY_NUMBERS: usize = 8;

/// Arguments of [`Engine::look_up`](super::Engine::look_up). m features of n are embedded. The rows of all matrices but x are contiguous.
#[derive(Clone, Copy)]
pub struct LookUp {
    /// x, `n x samples`: 0 for no category, else a number from 1 on.
    pub input: Span,
    /// A column for each category, `8 x categories`
    pub weights: Span,
    /// For each embedded feature its row in x, the column of its first category, and the number of its categories, `m x 3`. The
    /// library writes it; programs cannot.
    pub table: Span,
    /// `(n + 7 m) x samples`
    pub output: Span,
}

/// Arguments of [`Engine::look_up_gradient`](super::Engine::look_up_gradient), those of [`LookUp`] with the same meaning.
#[derive(Clone, Copy)]
pub struct LookUpGradient {
    /// x, `n x samples`
    pub input: Span,
    /// `m x 3`
    pub table: Span,
    /// dC/d output, `(n + 7 m) x samples`
    pub delta: Span,
    /// s
    pub scale: f64,
    /// k
    pub keep: f64,
    /// `8 x categories`
    pub sink: Span,
}
