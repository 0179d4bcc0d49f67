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
    /// The inputs once for each member, times factors: [`Members`](super::Members).
    Members,
    /// `W x + b` for the rows of each member: [`MemberDense::shared`](super::MemberDense::shared).
    MemberDense,
    /// `W x + b` with parameters of each member: [`MemberDense::heads`](super::MemberDense::heads).
    MemberHeads,
    /// The mean of the members: [`MemberMean`](super::MemberMean).
    MemberMean,
}

impl LayerKind {
    /// Every kind.
    pub const ALL: [LayerKind; 11] = [
        LayerKind::Dense,
        LayerKind::BatchNorm,
        LayerKind::LayerNorm,
        LayerKind::Scale,
        LayerKind::NumberEmbedding,
        LayerKind::Parametric,
        LayerKind::CategoryEmbedding,
        LayerKind::Members,
        LayerKind::MemberDense,
        LayerKind::MemberHeads,
        LayerKind::MemberMean,
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
            LayerKind::Members => "members",
            LayerKind::MemberDense => "member_dense",
            LayerKind::MemberHeads => "member_heads",
            LayerKind::MemberMean => "member_mean",
        }
    }
}

impl LayerKind {
    /// How many of the two matrices have parameters: weights, then bias.
    pub(crate) fn matrices(self) -> usize {
        match self {
            LayerKind::MemberMean => 0,
            LayerKind::Parametric | LayerKind::CategoryEmbedding | LayerKind::Members => 1,
            _ => 2,
        }
    }

    /// Whether the layer multiplies its input by a matrix of weights.
    pub(crate) fn multiplies(self) -> bool {
        matches!(self, LayerKind::Dense | LayerKind::MemberDense | LayerKind::MemberHeads)
    }

    /// Whether its outputs are functions of single inputs, so that members in front of it stay apart.
    pub(crate) fn is_elementwise(self) -> bool {
        matches!(self, LayerKind::BatchNorm | LayerKind::Scale | LayerKind::Parametric)
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

/// The members in the rows of a layer's output, or of the input of their mean; `before`: in those of the layer before, 1 at first.
pub(crate) fn members_of(
    kind: LayerKind,
    (inputs, outputs): (usize, usize),
    before: usize,
) -> usize {
    if kind == LayerKind::Members { outputs / inputs.max(1) } else { before }
}

/// What a layer must be, where it does not fit the `members` in its rows; `before`: in those of the layer before.
pub(crate) fn fault_of_members(
    kind: LayerKind,
    (inputs, outputs): (usize, usize),
    members: usize,
    before: usize,
) -> Option<&'static str> {
    match kind {
        LayerKind::Members if before > 1 => Some("members once, in front of all their layers"),
        LayerKind::Members if members == 0 || inputs.checked_mul(members) != Some(outputs) => {
            Some("members with as many outputs as inputs each")
        }
        LayerKind::MemberDense | LayerKind::MemberHeads
            if !inputs.is_multiple_of(members) || !outputs.is_multiple_of(members) =>
        {
            Some("a layer whose inputs and outputs divide among the members")
        }
        LayerKind::MemberMean if outputs.checked_mul(members) != Some(inputs) => {
            Some("a mean of all members, with the outputs of one")
        }
        LayerKind::Dense | LayerKind::LayerNorm if before > 1 => {
            Some("a layer that keeps members apart, such as member_dense, member_heads or scale")
        }
        _ => None,
    }
}

impl fmt::Display for LayerKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
