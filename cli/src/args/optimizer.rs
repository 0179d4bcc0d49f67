//! Options of the optimizer.

use clap::{Args, ValueEnum};
use travertine::optimizer::{Adam, Optimizer, RmsProp, Sgd, WeightDecay};
use travertine::{Result, Scalar};

use crate::args::values::{not_negative, share};
use crate::message::wrong;

/// Share of its velocity that momentum keeps by default.
const MOMENTUM: f64 = 0.9;
/// Share of its second moment that Adam keeps by default.
const SECOND_BETA: f64 = 0.999;
/// Weight decay of AdamW by default.
const DECOUPLED_DECAY: f64 = 0.01;

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum OptimizerName {
    Sgd,
    Momentum,
    Nesterov,
    Rmsprop,
    Adam,
    Adamw,
}

/// The optimizer and its settings.
#[derive(Args, Clone, Debug)]
pub(crate) struct OptimizerArgs {
    /// How gradients change parameters
    #[arg(long, value_enum, default_value = "sgd")]
    pub(crate) optimizer: OptimizerName,
    /// Share of its velocity that momentum or nesterov keeps [default: 0.9]
    #[arg(long, allow_negative_numbers = true, value_parser = share)]
    momentum: Option<f64>,
    /// Pulls weights and biases towards 0; decoupled from the gradient in adamw [default: 0, adamw: 0.01]
    #[arg(long, allow_negative_numbers = true, value_parser = not_negative)]
    pub(crate) weight_decay: Option<f64>,
    /// Share of its second moment that adam or adamw keeps [default: 0.999]
    #[arg(long, value_parser = share)]
    pub(crate) second_beta: Option<f64>,
    /// The learning rate that a preset has by default.
    #[arg(skip)]
    pub(crate) preset_rate: Option<f64>,
}

impl OptimizerArgs {
    /// The learning rate by default.
    pub(crate) fn default_rate(&self) -> f64 {
        if let Some(rate) = self.preset_rate {
            return rate;
        }
        match self.optimizer {
            OptimizerName::Sgd => 0.1,
            OptimizerName::Momentum | OptimizerName::Nesterov => 0.01,
            OptimizerName::Rmsprop | OptimizerName::Adam | OptimizerName::Adamw => 0.001,
        }
    }

    /// Whether weights decay.
    pub(crate) fn decays(&self) -> bool {
        self.weight_decay() > 0.0
    }

    fn weight_decay(&self) -> f64 {
        self.weight_decay.unwrap_or(if self.optimizer == OptimizerName::Adamw {
            DECOUPLED_DECAY
        } else {
            0.0
        })
    }

    fn momentum(&self) -> f64 {
        self.momentum.unwrap_or(MOMENTUM)
    }

    fn has_momentum(&self) -> bool {
        matches!(self.optimizer, OptimizerName::Momentum | OptimizerName::Nesterov)
    }

    pub(crate) fn name(&self) -> String {
        self.optimizer
            .to_possible_value()
            .map_or(String::new(), |value| value.get_name().to_owned())
    }

    /// The optimizer with this learning rate.
    pub(crate) fn build<T: Scalar>(&self, rate: f64) -> Result<Box<dyn Optimizer<T>>> {
        if self.momentum.is_some() && !self.has_momentum() {
            let reason =
                format!("is for --optimizer momentum or nesterov, not for {}", self.name());
            return Err(wrong("--momentum", reason));
        }
        let is_adam = matches!(self.optimizer, OptimizerName::Adam | OptimizerName::Adamw);
        if self.second_beta.is_some() && !is_adam {
            let reason = format!("is for --optimizer adam or adamw, not for {}", self.name());
            return Err(wrong("--second-beta", reason));
        }
        let adam = || Adam::new(rate)?.betas(0.9, self.second_beta.unwrap_or(SECOND_BETA));
        let l2 = WeightDecay::L2(self.weight_decay());
        Ok(match self.optimizer {
            OptimizerName::Sgd => Box::new(Sgd::new(rate)?.weight_decay(l2)?),
            OptimizerName::Momentum => {
                Box::new(Sgd::new(rate)?.momentum(self.momentum())?.weight_decay(l2)?)
            }
            OptimizerName::Nesterov => {
                Box::new(Sgd::new(rate)?.nesterov(self.momentum())?.weight_decay(l2)?)
            }
            OptimizerName::Rmsprop => Box::new(RmsProp::new(rate)?.weight_decay(l2)?),
            OptimizerName::Adam => Box::new(adam()?.weight_decay(l2)?),
            OptimizerName::Adamw => {
                Box::new(adam()?.weight_decay(WeightDecay::Decoupled(self.weight_decay()))?)
            }
        })
    }

    /// The entries in the model file and in checkpoints.
    pub(crate) fn metadata(&self, rate: f64) -> Vec<(&'static str, String)> {
        let mut entries = vec![("optimizer", self.name()), ("learning_rate", rate.to_string())];
        if self.has_momentum() {
            entries.push(("momentum", self.momentum().to_string()));
        }
        entries.extend(self.second_beta.map(|beta| ("second_beta", beta.to_string())));
        if self.weight_decay() > 0.0 {
            entries.push(("weight_decay", self.weight_decay().to_string()));
        }
        entries
    }
}
