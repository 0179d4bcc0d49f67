//! The learning rate: the one that was given, or a default that falls where it diverges.

use std::iter::successors;

use serde::Serialize;
use travertine::Result;

use crate::message::note;
use crate::output::Output;

/// The share of the default rate below which it does not fall: a millionth, with room for rounding.
const LOWEST_SHARE: f64 = 0.9e-6;

/// The learning rate before the schedule.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct LearningRate {
    value: f64,
    /// That of the optimizer.
    default: f64,
    is_given: bool,
}

impl LearningRate {
    /// The rate that was given, else the optimizer's default.
    pub(crate) fn new(given: Option<f64>, default: f64) -> Self {
        LearningRate { value: given.unwrap_or(default), default, is_given: given.is_some() }
    }

    /// Its value.
    pub(crate) fn value(self) -> f64 {
        self.value
    }

    /// Whether this is a default that has fallen.
    pub(crate) fn is_lowered(self) -> bool {
        !self.is_given && self.value != self.default
    }

    /// The next smaller rate; `None` for a rate that was given, and for the smallest.
    pub(crate) fn lowered(self) -> Option<Self> {
        let value = below(self.value)?;
        let falls = !self.is_given && value >= self.default * LOWEST_SHARE;
        falls.then_some(LearningRate { value, ..self })
    }

    /// A default rate becomes the one that a checkpoint records, if it could have fallen to it.
    pub(crate) fn resumed(self, recorded: f64) -> Self {
        let mut rates = successors(Some(self), |rate| rate.lowered());
        rates.find(|rate| rate.value == recorded).unwrap_or(self)
    }

    /// What helps after the divergence of a rate that was given.
    pub(crate) fn hint(self) -> Option<String> {
        let smaller = if self.value > self.default { self.default } else { below(self.value)? };
        let hint = format!(
            "; try --learning-rate {smaller}, or leave the option out: the default is lowered where it diverges"
        );
        self.is_given.then_some(hint)
    }
}

/// A training that begins anew with a smaller learning rate: a line of `train --json`.
#[derive(Serialize)]
pub(crate) struct Restart {
    task: &'static str,
    reason: String,
    learning_rate: f64,
}

impl Restart {
    pub(crate) fn new(reason: String, rate: LearningRate) -> Self {
        Restart { task: "restart", reason, learning_rate: rate.value }
    }

    /// Prints it on standard error, and beside other lines of JSON.
    pub(crate) fn print(&self, out: &mut Output) -> Result<()> {
        let Restart { reason, learning_rate, .. } = self;
        note(&format!("{reason}; beginning anew with {learning_rate}"));
        if out.is_json() {
            out.json_line(self)?;
        }
        out.flush()
    }
}

/// The next smaller of 1, 0.3, 0.1, 0.03 and so on, at most half of `rate`: numbers that are short to write.
fn below(rate: f64) -> Option<f64> {
    let exponent = rate.log10().floor() as i32;
    let powers = [exponent, exponent.saturating_sub(1)].into_iter();
    let mut candidates = powers.flat_map(|e| [3, 1].map(|digit| format!("{digit}e{e}").parse()));
    candidates
        .find_map(|candidate| candidate.ok().filter(|x: &f64| x.is_normal() && *x <= rate / 2.0))
}

#[cfg(test)]
mod tests {
    use std::iter::successors;

    use super::{LearningRate, below};

    #[test]
    fn a_default_falls_to_a_millionth_and_a_given_rate_stays() {
        for default in [0.1, 0.01, 0.001] {
            let rates: Vec<_> =
                successors(Some(LearningRate::new(None, default)), |rate| rate.lowered()).collect();
            assert_eq!(rates.len(), 13, "{rates:?}");
            assert!(rates.iter().all(|rate| rates[0].resumed(rate.value) == *rate));
            assert_eq!(LearningRate::new(Some(default), default).lowered(), None);
        }
        assert_eq!(LearningRate::new(None, 0.1).lowered().unwrap().value(), 0.03);
    }

    #[test]
    fn a_smaller_rate_is_short_to_write() {
        for (rate, smaller) in [(0.1, 0.03), (0.03, 0.01), (0.5, 0.1), (0.19, 0.03), (2.0, 1.0)] {
            assert_eq!(below(rate), Some(smaller));
        }
        assert_eq!(below(0.0), None);
        assert_eq!(below(f64::INFINITY), None);
    }
}
