//! The kinds of layers.

use std::fmt;

/// The computation of a layer in front of its activation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum LayerKind {
    /// `W x + b`: [`Dense`](super::Dense).
    #[default]
    Dense,
    /// Each feature normalized over the batch: [`Normalization::batch`](super::Normalization::batch).
    BatchNorm,
    /// Each sample normalized over its features: [`Normalization::layer`](super::Normalization::layer).
    LayerNorm,
    /// Each feature times a factor: [`Normalization::scale`](super::Normalization::scale).
    Scale,
    /// Embeddings of features below the features themselves: [`NumberEmbedding`](super::NumberEmbedding).
    NumberEmbedding,
    /// Each unit blended with its activation: [`Parametric`](super::Parametric).
    Parametric,
    /// Learned vectors in the place of numbers of categories: [`CategoryEmbedding`](super::CategoryEmbedding).
    CategoryEmbedding,
}

impl LayerKind {
    /// Every kind.
    pub const ALL: [LayerKind; 7] = [
        LayerKind::Dense,
        LayerKind::BatchNorm,
        LayerKind::LayerNorm,
        LayerKind::Scale,
        LayerKind::NumberEmbedding,
        LayerKind::Parametric,
        LayerKind::CategoryEmbedding,
    ];

    /// The name in files and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            LayerKind::Dense => "dense",
            LayerKind::BatchNorm => "batch_norm",
            LayerKind::LayerNorm => "layer_norm",
            LayerKind::Scale => "scale",
            LayerKind::NumberEmbedding => "number_embedding",
            LayerKind::Parametric => "parametric",
            LayerKind::CategoryEmbedding => "category_embedding",
        }
    }
}

impl LayerKind {
    /// Whether the second matrix is one of parameters.
    pub(crate) fn has_bias(self) -> bool {
        !matches!(self, LayerKind::Parametric | LayerKind::CategoryEmbedding)
    }

    /// Where a layer of this kind must stand, unless it may stand as layer `number` behind one of kind `before`.
    pub(crate) fn misplaced(
        self,
        number: usize,
        before: Option<LayerKind>,
    ) -> Option<&'static str> {
        match self {
            LayerKind::NumberEmbedding if number > 0 => Some("must be the first layer"),
            LayerKind::CategoryEmbedding
                if number > 1 || before.is_some_and(|kind| kind != LayerKind::NumberEmbedding) =>
            {
                Some("must be the first layer or follow the one that embeds numbers")
            }
            _ => None,
        }
    }
}

impl fmt::Display for LayerKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
