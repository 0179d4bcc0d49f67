//! Options of the learning rate's schedule, and of gradient clipping.

use std::fmt;
use std::str::FromStr;

use clap::Args;
use travertine::notation::Notation;
use travertine::optimizer::{Clip, Schedule};

use crate::args::values::{not_negative, positive};

/// How the learning rate changes, and how gradients are limited.
#[derive(Args, Clone, Debug)]
pub(crate) struct ScheduleArgs {
    /// constant, step(EPOCHS,FACTOR), exponential(FACTOR an epoch), cosine(LAST FACTOR), warmup(EPOCHS), one-cycle, coslog(WAVES),
    /// or plateau(EPOCHS without progress,FACTOR); the numbers may be left out
    #[arg(long, default_value = "constant")]
    pub(crate) schedule: EpochSchedule,
    /// Largest Euclidean norm of all gradients together
    #[arg(long, allow_negative_numbers = true, value_parser = positive, conflicts_with = "clip_value")]
    clip_norm: Option<f64>,
    /// Largest magnitude of an element of a gradient
    #[arg(long, allow_negative_numbers = true, value_parser = positive)]
    clip_value: Option<f64>,
}

impl ScheduleArgs {
    pub(crate) fn clip(&self) -> Option<Clip> {
        self.clip_norm.map(Clip::Norm).or(self.clip_value.map(Clip::Value))
    }

    /// The schedule for `epochs` epochs of `steps` steps.
    pub(crate) fn schedule(&self, epochs: u64, steps: u64) -> Schedule {
        let in_steps = |epochs: u64| epochs.saturating_mul(steps);
        let all = in_steps(epochs);
        match self.schedule {
            EpochSchedule::Constant => Schedule::Constant,
            EpochSchedule::Step(epochs, factor) => {
                Schedule::Step { every: in_steps(epochs), factor }
            }
            EpochSchedule::Exponential(factor) => {
                Schedule::Exponential { factor: factor.powf(1.0 / steps as f64) }
            }
            EpochSchedule::Cosine(last) => Schedule::Cosine { steps: all, last },
            EpochSchedule::WarmUp(epochs) => Schedule::WarmUp { steps: in_steps(epochs) },
            EpochSchedule::OneCycle => Schedule::OneCycle { steps: all },
            EpochSchedule::CosLog(cycles) => Schedule::CosLog { steps: all, cycles },
            EpochSchedule::Plateau(patience, factor) => Schedule::Plateau { patience, factor },
        }
    }

    /// The entries in the model file and in checkpoints.
    pub(crate) fn metadata(&self) -> Vec<(&'static str, String)> {
        let schedule = (self.schedule != EpochSchedule::Constant)
            .then(|| ("schedule", self.schedule.to_string()));
        let norm = self.clip_norm.map(|norm| ("clip_norm", norm.to_string()));
        let value = self.clip_value.map(|value| ("clip_value", value.to_string()));
        schedule.into_iter().chain(norm).chain(value).collect()
    }
}

/// A schedule in epochs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum EpochSchedule {
    Constant,
    Step(u64, f64),
    Exponential(f64),
    Cosine(f64),
    WarmUp(u64),
    OneCycle,
    CosLog(u32),
    Plateau(u64, f64),
}

impl fmt::Display for EpochSchedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            EpochSchedule::Constant => f.write_str("constant"),
            EpochSchedule::Step(epochs, factor) => write!(f, "step({epochs},{factor})"),
            EpochSchedule::Exponential(factor) => write!(f, "exponential({factor})"),
            EpochSchedule::Cosine(last) => write!(f, "cosine({last})"),
            EpochSchedule::WarmUp(epochs) => write!(f, "warmup({epochs})"),
            EpochSchedule::OneCycle => f.write_str("one-cycle"),
            EpochSchedule::CosLog(cycles) => write!(f, "coslog({cycles})"),
            EpochSchedule::Plateau(patience, factor) => write!(f, "plateau({patience},{factor})"),
        }
    }
}

impl FromStr for EpochSchedule {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let Notation { name, numbers } = Notation::parse(text);
        let numbers = Numbers { name, given: numbers.unwrap_or_default() };
        numbers.check_count()?;
        Ok(match name {
            "step" => {
                EpochSchedule::Step(numbers.epochs(0, 10)?, numbers.factor(1, 0.1, positive)?)
            }
            "exponential" => EpochSchedule::Exponential(numbers.factor(0, 0.95, positive)?),
            "cosine" => EpochSchedule::Cosine(numbers.factor(0, 0.0, not_negative)?),
            "warmup" => EpochSchedule::WarmUp(numbers.epochs(0, 1)?),
            "one-cycle" => EpochSchedule::OneCycle,
            "coslog" => EpochSchedule::CosLog(numbers.cycles(0, 4)?),
            "plateau" => {
                EpochSchedule::Plateau(numbers.epochs(0, 5)?, numbers.factor(1, 0.1, positive)?)
            }
            _ => EpochSchedule::Constant,
        })
    }
}

/// The numbers of a schedule, as they were given.
struct Numbers<'a> {
    name: &'a str,
    given: Vec<&'a str>,
}

impl Numbers<'_> {
    fn check_count(&self) -> Result<(), String> {
        let name = self.name;
        let most = match name {
            "constant" | "one-cycle" => 0,
            "exponential" | "cosine" | "warmup" | "coslog" => 1,
            "step" | "plateau" => 2,
            _ => {
                let expected = "expected constant, step, exponential, cosine, warmup, one-cycle, coslog or plateau";
                return Err(expected.to_owned());
            }
        };
        match self.given.len() {
            count if count > most => {
                Err(format!("{name} takes at most {most} numbers, not {count}"))
            }
            _ => Ok(()),
        }
    }

    fn epochs(&self, at: usize, default: u64) -> Result<u64, String> {
        let Some(text) = self.given.get(at) else { return Ok(default) };
        text.parse().ok().filter(|epochs| *epochs > 0).ok_or_else(|| {
            format!("{}: expected a number of epochs, at least 1, not '{text}'", self.name)
        })
    }

    fn cycles(&self, at: usize, default: u32) -> Result<u32, String> {
        let Some(text) = self.given.get(at) else { return Ok(default) };
        text.parse().ok().filter(|cycles| (1..=16).contains(cycles)).ok_or_else(|| {
            format!("{}: expected a number of waves from 1 to 16, not '{text}'", self.name)
        })
    }

    fn factor(
        &self,
        at: usize,
        default: f64,
        parse: fn(&str) -> Result<f64, String>,
    ) -> Result<f64, String> {
        let parsed = self.given.get(at).map_or(Ok(default), |text| parse(text));
        parsed.map_err(|reason| format!("{}: {reason}", self.name))
    }
}
