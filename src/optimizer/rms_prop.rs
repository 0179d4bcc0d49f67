//! RMSprop.

use super::{Optimizer, Sink, Step, UpdateRule, WeightDecay, not_negative, positive, share};
use crate::engine::Update;
use crate::engine::formula::rule;
use crate::error::Result;
use crate::scalar::Scalar;

// p0: rate, p1: L2 decay, p2: rate times decoupled decay, p3: smoothing, p4: 1 - smoothing, p5: epsilon.
rule!(
    Rule = "rmsprop",
    |w, g, [v], p| {
        let g = p[1].mul_add(*w, g);
        *v = p[3].mul_add(*v, p[4] * (g * g)).above_subnormals();
        *w = *w - (p[0] * g / (v.sqrt() + p[5]) + p[2] * *w);
    },
    "g = fma(p1, *w, g); *m = fma(p3, *m, p4 * (g * g)); *w = *w - (p0 * g / (sqrt(*m) + p5) + p2 * *w);"
);
static RULE: Update = Update::of::<Rule>();

/// Divides the gradient by a running root of its mean square (Tieleman and Hinton 2012, lecture 6.5):
/// `v = smoothing v + (1 - smoothing) g^2`, `w = w - rate g / (sqrt(v) + epsilon)`.
///
/// ```
/// use travertine::optimizer::RmsProp;
/// RmsProp::new(0.01)?.smoothing(0.9)?.epsilon(1e-6)?;
/// assert!(RmsProp::new(0.01)?.epsilon(0.0).is_err()); // 0 / 0 where a gradient is 0
/// # Ok::<(), travertine::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct RmsProp {
    rate: f64,
    smoothing: f64,
    epsilon: f64,
    decay: WeightDecay,
}

impl RmsProp {
    /// With this learning rate, smoothing 0.99 and epsilon 1e-8, which are PyTorch's.
    ///
    /// # Errors
    /// A rate that is negative or not finite.
    pub fn new(rate: f64) -> Result<RmsProp> {
        let rate = not_negative("rmsprop", "learning rate", rate)?;
        Ok(RmsProp { rate, smoothing: 0.99, epsilon: 1e-8, decay: WeightDecay::None })
    }

    /// With a mean square that keeps this share of itself.
    ///
    /// # Errors
    /// A share below 0, 1 or more.
    pub fn smoothing(self, smoothing: f64) -> Result<RmsProp> {
        Ok(RmsProp { smoothing: share("rmsprop", "smoothing", smoothing)?, ..self })
    }

    /// With this beside the root.
    ///
    /// # Errors
    /// A number that is not above 0 or not finite.
    pub fn epsilon(self, epsilon: f64) -> Result<RmsProp> {
        Ok(RmsProp { epsilon: positive("rmsprop", "epsilon", epsilon)?, ..self })
    }

    /// With weight decay.
    ///
    /// # Errors
    /// A decay that is negative or not finite.
    pub fn weight_decay(self, decay: WeightDecay) -> Result<RmsProp> {
        Ok(RmsProp { decay: decay.validate("rmsprop")?, ..self })
    }
}

/// The states are gradient and v.
impl<T: Scalar> Optimizer<T> for RmsProp {
    fn describe(&self) -> String {
        let RmsProp { rate, smoothing, epsilon, decay } = self;
        format!("rmsprop({rate}, smoothing {smoothing}, epsilon {epsilon}{})", decay.describe())
    }

    fn learning_rate(&self) -> Option<f64> {
        Some(self.rate)
    }

    fn states(&self) -> usize {
        2
    }

    fn sink(&self, _step: Step) -> Sink {
        Sink::GRADIENT
    }

    fn rule(&self, step: Step) -> Option<UpdateRule> {
        let (rate, s) = (self.rate * step.factor, self.smoothing);
        let (l2, decay) = (self.decay.of_gradient(step), self.decay.of_parameter(step, rate));
        Some(UpdateRule { rule: &RULE, p: [rate, l2, decay, s, 1.0 - s, self.epsilon, 0.0, 0.0] })
    }
}
