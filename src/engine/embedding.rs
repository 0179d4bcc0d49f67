//! The arguments of calls of layers that embed numbers.

use super::memory::Span;

/// Frequencies of an embedded feature.
pub const FREQUENCIES: usize = 16;
/// Numbers that a layer puts out for an embedded feature, beside the feature itself.
pub const EMBEDDED: usize = 3;

/// Arguments of [`Engine::embed`](super::Engine::embed). m features of n are embedded. The rows of all matrices but x are contiguous.
#[derive(Clone, Copy)]
pub struct Embed {
    /// x, `n x samples`
    pub input: Span,
    /// w1 in 16 columns, then W2 in three times 16, `m x 64`
    pub weights: Span,
    /// b1 in radians in 16 columns, then b2 in 3, `m x 19`
    pub bias: Span,
    /// The numbers of the embedded features, `m x 1`. Whatever is not a whole number below n stands for a feature that is NaN: engines
    /// check it, as programs may write these numbers.
    pub columns: Span,
    /// `(n + 3 m) x samples`
    pub output: Span,
}

/// Arguments of [`Engine::embed_gradient`](super::Engine::embed_gradient), beside those with the meaning they have in [`Embed`].
#[derive(Clone, Copy)]
pub struct EmbedGradient {
    /// x, `n x samples`
    pub input: Span,
    /// `m x 64`
    pub weights: Span,
    /// `m x 19`
    pub bias: Span,
    /// `m x 1`
    pub columns: Span,
    /// dC/d output, `(n + 3 m) x samples`
    pub delta: Span,
    /// s
    pub scale: f64,
    /// k
    pub keep: f64,
    /// `m x 64`; it may be the weights.
    pub weights_sink: Span,
    /// `m x 19`; it may be the bias.
    pub bias_sink: Span,
}
