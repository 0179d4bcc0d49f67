//! Options of optimizers and schedules.

use std::fmt;
use std::str::FromStr;

use clap::{Args, ValueEnum};
use travertine::optimizer::{Adam, Clip, Optimizer, RmsProp, Schedule, Sgd, WeightDecay};
use travertine::{Result, Scalar};

use crate::args::{not_negative, positive, share};
use crate::names::wrong;

/// Share of its velocity that momentum keeps, unless it is told.
const MOMENTUM: f64 = 0.9;
/// AdamW's, unless it is told.
const DECOUPLED_DECAY: f64 = 0.01;

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Name {
    Sgd,
    Momentum,
    Nesterov,
    Rmsprop,
    Adam,
    Adamw,
}

/// Which optimizer.
#[derive(Args, Clone, Debug)]
pub(crate) struct OptimizerArgs {
    /// How gradients become parameters
    #[arg(long, value_enum, default_value = "sgd")]
    pub(crate) optimizer: Name,
    /// Share of its velocity that momentum or nesterov keeps [default: 0.9]
    #[arg(long, allow_negative_numbers = true, value_parser = share)]
    momentum: Option<f64>,
    /// Pulls weights and biases towards 0; decoupled from the gradient in adamw [default: 0, adamw: 0.01]
    #[arg(long, allow_negative_numbers = true, value_parser = not_negative)]
    weight_decay: Option<f64>,
}

impl OptimizerArgs {
    /// The learning rate where nobody gives one.
    pub(crate) fn usual_rate(&self) -> f64 {
        match self.optimizer {
            Name::Sgd => 0.1,
            Name::Momentum | Name::Nesterov => 0.01,
            Name::Rmsprop | Name::Adam | Name::Adamw => 0.001,
        }
    }

    fn weight_decay(&self) -> f64 {
        self.weight_decay.unwrap_or(if self.optimizer == Name::Adamw {
            DECOUPLED_DECAY
        } else {
            0.0
        })
    }

    fn momentum(&self) -> f64 {
        self.momentum.unwrap_or(MOMENTUM)
    }

    fn has_momentum(&self) -> bool {
        matches!(self.optimizer, Name::Momentum | Name::Nesterov)
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
        let l2 = WeightDecay::L2(self.weight_decay());
        Ok(match self.optimizer {
            Name::Sgd => Box::new(Sgd::new(rate)?.weight_decay(l2)?),
            Name::Momentum => {
                Box::new(Sgd::new(rate)?.momentum(self.momentum())?.weight_decay(l2)?)
            }
            Name::Nesterov => {
                Box::new(Sgd::new(rate)?.nesterov(self.momentum())?.weight_decay(l2)?)
            }
            Name::Rmsprop => Box::new(RmsProp::new(rate)?.weight_decay(l2)?),
            Name::Adam => Box::new(Adam::new(rate)?.weight_decay(l2)?),
            Name::Adamw => Box::new(
                Adam::new(rate)?.weight_decay(WeightDecay::Decoupled(self.weight_decay()))?,
            ),
        })
    }

    /// What the model file tells of it.
    pub(crate) fn facts(&self, rate: f64) -> Vec<(&'static str, String)> {
        let mut facts = vec![("optimizer", self.name()), ("learning_rate", rate.to_string())];
        if self.has_momentum() {
            facts.push(("momentum", self.momentum().to_string()));
        }
        if self.weight_decay() > 0.0 {
            facts.push(("weight_decay", self.weight_decay().to_string()));
        }
        facts
    }
}

/// What a learning rate and gradients are subject to.
#[derive(Args, Clone, Debug)]
pub(crate) struct CourseArgs {
    /// constant, step(EPOCHS,FACTOR), exponential(FACTOR an epoch), cosine(LAST FACTOR), warmup(EPOCHS), one-cycle, or
    /// plateau(EPOCHS without progress,FACTOR); the numbers may be left out
    #[arg(long, default_value = "constant")]
    schedule: Course,
    /// Largest Euclidean norm of all gradients together
    #[arg(long, allow_negative_numbers = true, value_parser = positive, conflicts_with = "clip_value")]
    clip_norm: Option<f64>,
    /// Largest magnitude of an element of a gradient
    #[arg(long, allow_negative_numbers = true, value_parser = positive)]
    clip_value: Option<f64>,
}

impl CourseArgs {
    pub(crate) fn clip(&self) -> Option<Clip> {
        self.clip_norm.map(Clip::Norm).or(self.clip_value.map(Clip::Value))
    }

    /// The schedule of so many epochs of so many steps.
    pub(crate) fn schedule(&self, epochs: u64, steps: u64) -> Schedule {
        let in_steps = |epochs: u64| epochs.saturating_mul(steps);
        let all = in_steps(epochs);
        match self.schedule {
            Course::Constant => Schedule::Constant,
            Course::Step(epochs, factor) => Schedule::Step { every: in_steps(epochs), factor },
            Course::Exponential(factor) => {
                Schedule::Exponential { factor: factor.powf(1.0 / steps as f64) }
            }
            Course::Cosine(last) => Schedule::Cosine { steps: all, last },
            Course::WarmUp(epochs) => Schedule::WarmUp { steps: in_steps(epochs) },
            Course::OneCycle => Schedule::OneCycle { steps: all },
            Course::Plateau(patience, factor) => Schedule::Plateau { patience, factor },
        }
    }

    /// What the model file tells of it.
    pub(crate) fn facts(&self) -> Vec<(&'static str, String)> {
        let schedule =
            (self.schedule != Course::Constant).then(|| ("schedule", self.schedule.to_string()));
        let norm = self.clip_norm.map(|norm| ("clip_norm", norm.to_string()));
        let value = self.clip_value.map(|value| ("clip_value", value.to_string()));
        schedule.into_iter().chain(norm).chain(value).collect()
    }
}

/// A schedule in epochs.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Course {
    Constant,
    Step(u64, f64),
    Exponential(f64),
    Cosine(f64),
    WarmUp(u64),
    OneCycle,
    Plateau(u64, f64),
}

impl fmt::Display for Course {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Course::Constant => f.write_str("constant"),
            Course::Step(epochs, factor) => write!(f, "step({epochs},{factor})"),
            Course::Exponential(factor) => write!(f, "exponential({factor})"),
            Course::Cosine(last) => write!(f, "cosine({last})"),
            Course::WarmUp(epochs) => write!(f, "warmup({epochs})"),
            Course::OneCycle => f.write_str("one-cycle"),
            Course::Plateau(patience, factor) => write!(f, "plateau({patience},{factor})"),
        }
    }
}

impl FromStr for Course {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, numbers) = match text.strip_suffix(')').map(|text| text.split_once('(')) {
            Some(Some((name, numbers))) => (name, numbers.split(',').map(str::trim).collect()),
            _ => (text, Vec::new()),
        };
        let most = match name {
            "constant" | "one-cycle" => 0,
            "exponential" | "cosine" | "warmup" => 1,
            "step" | "plateau" => 2,
            _ => {
                return Err(
                    "expected constant, step, exponential, cosine, warmup, one-cycle or plateau"
                        .to_owned(),
                );
            }
        };
        if numbers.len() > most {
            return Err(format!("{name} takes at most {most} numbers, not {}", numbers.len()));
        }
        let epochs = |at: usize, usual: u64| match numbers.get(at).map(|text| text.parse::<u64>()) {
            None => Ok(usual),
            Some(Ok(epochs)) if epochs > 0 => Ok(epochs),
            Some(_) => Err(format!(
                "{name}: expected a number of epochs, at least 1, not '{}'",
                numbers[at]
            )),
        };
        let factor = |at: usize, usual: f64, parse: fn(&str) -> Result<f64, String>| {
            numbers
                .get(at)
                .map_or(Ok(usual), |text| parse(text).map_err(|reason| format!("{name}: {reason}")))
        };
        Ok(match name {
            "step" => Course::Step(epochs(0, 10)?, factor(1, 0.1, positive)?),
            "exponential" => Course::Exponential(factor(0, 0.95, positive)?),
            "cosine" => Course::Cosine(factor(0, 0.0, not_negative)?),
            "warmup" => Course::WarmUp(epochs(0, 1)?),
            "one-cycle" => Course::OneCycle,
            "plateau" => Course::Plateau(epochs(0, 5)?, factor(1, 0.1, positive)?),
            _ => Course::Constant,
        })
    }
}
