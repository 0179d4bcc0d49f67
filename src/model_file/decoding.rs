//! How the outputs of a network that tells classes apart become scores.

use crate::activation::Activation;
use crate::loss::Loss;

/// What outputs are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Decoding {
    /// They are probabilities.
    Probabilities,
    /// They are logits; softmax makes them probabilities.
    Softmax,
    /// They are logits; the logistic function makes them probabilities.
    Sigmoid,
    /// They are no probabilities, and can only be compared.
    Plain,
}

impl Decoding {
    /// Of outputs behind the activation `last`, as the loss sees it, of a network that was trained with `loss`.
    pub(crate) fn of(last: Activation, loss: Loss) -> Self {
        match (last, loss) {
            (Activation::Softmax | Activation::Sigmoid, _) => Decoding::Probabilities,
            (_, Loss::SoftmaxCrossEntropy) => Decoding::Softmax,
            (_, Loss::BinaryCrossEntropy) => Decoding::Sigmoid,
            _ => Decoding::Plain,
        }
    }
}
