//! Weight decay.

use super::{Step, not_negative};
use crate::error::Result;

/// A pull of parameters towards 0: weights and, as in PyTorch, biases too.
///
/// The two are the same for plain gradient descent, and differ where an optimizer rescales gradients or remembers them
/// (Loshchilov and Hutter 2019, "Decoupled weight decay regularization").
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum WeightDecay {
    /// No decay.
    #[default]
    None,
    /// `g = g + decay w` before all else: the gradient of `decay w^2 / 2`.
    L2(f64),
    /// `w = w - rate decay w` beside the update.
    Decoupled(f64),
}

impl WeightDecay {
    pub(super) fn validate(self, optimizer: &'static str) -> Result<Self> {
        if let WeightDecay::L2(decay) | WeightDecay::Decoupled(decay) = self {
            not_negative(optimizer, "weight decay", decay)?;
        }
        Ok(self)
    }

    /// Whether there is no decay, in any variant.
    pub(super) fn is_none(self) -> bool {
        matches!(self, WeightDecay::None | WeightDecay::L2(0.0) | WeightDecay::Decoupled(0.0))
    }

    /// The multiple of w that is added to the gradient in a step.
    pub(super) fn of_gradient(self, step: Step) -> f64 {
        if let WeightDecay::L2(decay) = self { decay * step.decay } else { 0.0 }
    }

    /// The multiple of w that is subtracted from w in a step of this rate.
    pub(super) fn of_parameter(self, step: Step, rate: f64) -> f64 {
        if let WeightDecay::Decoupled(decay) = self { rate * decay * step.decay } else { 0.0 }
    }

    /// The end of a description, after the learning rate.
    pub(super) fn describe(self) -> String {
        match self {
            WeightDecay::None => String::new(),
            WeightDecay::L2(decay) => format!(", weight decay {decay}"),
            WeightDecay::Decoupled(decay) => format!(", decoupled weight decay {decay}"),
        }
    }
}
