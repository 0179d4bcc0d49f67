//! Stochastic gradient descent.

use super::{Optimizer, Sink, Step, UpdateRule, WeightDecay, not_negative, share};
use crate::engine::Update;
use crate::engine::formula::rule;
use crate::error::Result;
use crate::scalar::Scalar;

// p0: rate, p1: L2 decay, p2: rate times decoupled decay, p3: momentum.
rule!(
    Descend = "momentum",
    |w, g, [], p| { *w = *w - p[0].mul_add(g, p[2] * *w) },
    "*w = *w - fma(p0, g, p2 * *w);"
);
rule!(
    DecayedVelocity = "momentum with weight decay",
    |w, _g, [v], p| {
        *v = p[1].mul_add(*w, *v);
        *w = *w - p[0] * *v;
    },
    "*m = fma(p1, *w, *m); *w = *w - p0 * *m;"
);
rule!(
    Nesterov = "nesterov",
    |w, g, [v], p| {
        let g = p[1].mul_add(*w, g);
        *v = p[3].mul_add(*v, g).without_subnormals();
        *w = *w - p[0].mul_add(p[3].mul_add(*v, g), p[2] * *w);
    },
    "g = fma(p1, *w, g); *m = fma(p3, *m, g); *w = *w - fma(p0, fma(p3, *m, g), p2 * *w);"
);
static DESCEND: Update = Update::of::<Descend>();
static DECAYED_VELOCITY: Update = Update::of::<DecayedVelocity>();
static NESTEROV: Update = Update::of::<Nesterov>();

/// The memory of earlier steps.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Memory {
    None,
    Momentum(f64),
    Nesterov(f64),
}

/// Gradient descent, with or without momentum.
///
/// | | step | |
/// |---|---|---|
/// | plain | `w = w - rate g` | Robbins and Monro 1951 |
/// | [`momentum`](Sgd::momentum) | `v = momentum v + g`, `w = w - rate v` | Polyak 1964 |
/// | [`nesterov`](Sgd::nesterov) | `v = momentum v + g`, `w = w - rate (g + momentum v)` | Nesterov 1983, Sutskever et al. 2013 |
///
/// This is PyTorch's convention: the rate is not part of the velocity, so a change of the rate has its effect at once;
/// there is no dampening. Plain descent keeps nothing, and the product that computes the gradient writes the new weights;
/// with momentum it writes the new velocity.
///
/// ```
/// use travertine::optimizer::{Sgd, WeightDecay};
/// assert!(Sgd::new(0.1).is_ok());
/// assert!(Sgd::new(f64::NAN).is_err());
/// Sgd::new(0.1)?.momentum(0.9)?.weight_decay(WeightDecay::L2(1e-4))?;
/// assert!(Sgd::new(0.1)?.nesterov(1.0).is_err()); // would forget nothing
/// # Ok::<(), travertine::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Sgd {
    rate: f64,
    memory: Memory,
    decay: WeightDecay,
}

impl Sgd {
    /// With this learning rate.
    ///
    /// # Errors
    /// A rate that is negative or not finite.
    pub fn new(rate: f64) -> Result<Sgd> {
        let rate = not_negative("sgd", "learning rate", rate)?;
        Ok(Sgd { rate, memory: Memory::None, decay: WeightDecay::None })
    }

    /// With a velocity that keeps this share of itself.
    ///
    /// # Errors
    /// A share below 0, 1 or more.
    pub fn momentum(self, momentum: f64) -> Result<Sgd> {
        Ok(Sgd { memory: Memory::Momentum(share("sgd", "momentum", momentum)?), ..self })
    }

    /// With Nesterov's momentum, which keeps this share of the velocity.
    ///
    /// # Errors
    /// A share below 0, 1 or more.
    pub fn nesterov(self, momentum: f64) -> Result<Sgd> {
        Ok(Sgd { memory: Memory::Nesterov(share("sgd", "momentum", momentum)?), ..self })
    }

    /// With weight decay.
    ///
    /// # Errors
    /// A decay that is negative or not finite.
    pub fn weight_decay(self, decay: WeightDecay) -> Result<Sgd> {
        Ok(Sgd { decay: decay.validate("sgd")?, ..self })
    }
}

impl<T: Scalar> Optimizer<T> for Sgd {
    fn describe(&self) -> String {
        let memory = match self.memory {
            Memory::None => String::new(),
            Memory::Momentum(momentum) => format!(", momentum {momentum}"),
            Memory::Nesterov(momentum) => format!(", nesterov {momentum}"),
        };
        format!("sgd({}{memory}{})", self.rate, self.decay.describe())
    }

    fn learning_rate(&self) -> Option<f64> {
        Some(self.rate)
    }

    fn states(&self) -> usize {
        match self.memory {
            Memory::None => 0,
            Memory::Momentum(_) => 1,
            Memory::Nesterov(_) => 2,
        }
    }

    fn sink(&self, step: Step) -> Sink {
        let rate = self.rate * step.factor;
        match self.memory {
            // Both kinds of decay are this one here.
            Memory::None => {
                let decay =
                    rate * self.decay.of_gradient(step) + self.decay.of_parameter(step, rate);
                Sink::Parameters { scale: -rate, keep: 1.0 - decay }
            }
            Memory::Momentum(momentum) => Sink::State { scale: 1.0, keep: momentum },
            // The step needs the gradient as well as the velocity.
            Memory::Nesterov(_) => Sink::GRADIENT,
        }
    }

    fn rule(&self, step: Step) -> Option<UpdateRule> {
        let (rate, l2) = (self.rate * step.factor, self.decay.of_gradient(step));
        let (rule, momentum) = match self.memory {
            Memory::None => return None,
            Memory::Momentum(momentum) if l2 == 0.0 => (&DESCEND, momentum),
            Memory::Momentum(momentum) => (&DECAYED_VELOCITY, momentum),
            Memory::Nesterov(momentum) => (&NESTEROV, momentum),
        };
        let p = [rate, l2, self.decay.of_parameter(step, rate), momentum, 0.0, 0.0, 0.0, 0.0];
        Some(UpdateRule { rule, p })
    }
}
