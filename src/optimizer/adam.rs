//! Adam and AdamW.

use super::{Optimizer, Sink, Step, UpdateRule, WeightDecay, not_negative, positive, share};
use crate::engine::Update;
use crate::engine::formula::rule;
use crate::error::Result;
use crate::scalar::Scalar;

// p0: rate, p1: L2 decay, p2: rate times decoupled decay, p3: beta1, p4: 1 - beta1, p5: beta2, p6: 1 - beta2, p7: epsilon;
// rate and epsilon with the corrections of the moments in them.
rule!(
    Rule = "adam",
    |w, g, [m, v], p| {
        let g = p[1].mul_add(*w, g);
        *m = p[3].mul_add(*m, p[4] * g).without_subnormals();
        *v = p[5].mul_add(*v, p[6] * (g * g)).above_subnormals();
        *w = *w - (p[0] * (*m / (v.sqrt() + p[7])) + p[2] * *w);
    },
    "g = fma(p1, *w, g); *m = fma(p3, *m, p4 * g); *v = fma(p5, *v, p6 * (g * g)); \
     *w = *w - (p0 * (*m / (sqrt(*v) + p7)) + p2 * *w);"
);
// The same without decay, in as few multiplications as there can be; p as above.
rule!(
    Plain = "plain adam",
    |w, g, [m, v], p| {
        *m = p[4].mul_add(g - *m, *m).without_subnormals();
        *v = p[6].mul_add(g.mul_add(g, -*v), *v).above_subnormals();
        *w = (-p[0]).mul_add(m.over_root(*v, p[7]), *w);
    },
    "*m = fma(p4, g - *m, *m); *v = fma(p6, fma(g, g, -*v), *v); *w = fma(-p0, *m / (sqrt(*v) + p7), *w);"
);
static RULE: Update = Update::of::<Rule>();
static PLAIN: Update = Update::of::<Plain>();

/// Steps of about the learning rate, whatever the gradient's size (Kingma and Ba 2015, algorithm 1):
///
/// `m = beta1 m + (1 - beta1) g`, `v = beta2 v + (1 - beta2) g^2`,
/// `w = w - rate (m / (1 - beta1^t)) / (sqrt(v / (1 - beta2^t)) + epsilon)`
///
/// in update t, counted from 1. With [`WeightDecay::Decoupled`] it is AdamW (Loshchilov and Hutter 2019).
///
/// ```
/// use travertine::optimizer::{Adam, WeightDecay};
/// let adam = Adam::new(0.001)?;
/// let adam_w = adam.betas(0.9, 0.95)?.weight_decay(WeightDecay::Decoupled(0.01))?;
/// assert!(adam_w.betas(0.9, 1.0).is_err());
/// # Ok::<(), travertine::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Adam {
    rate: f64,
    betas: [f64; 2],
    epsilon: f64,
    decay: WeightDecay,
}

impl Adam {
    /// With this learning rate, betas 0.9 and 0.999 and epsilon 1e-8, which are the paper's.
    ///
    /// # Errors
    /// A rate that is negative or not finite.
    pub fn new(rate: f64) -> Result<Adam> {
        let rate = not_negative("adam", "learning rate", rate)?;
        Ok(Adam { rate, betas: [0.9, 0.999], epsilon: 1e-8, decay: WeightDecay::None })
    }

    /// With moments that keep these shares of themselves.
    ///
    /// # Errors
    /// A share below 0, 1 or more.
    pub fn betas(self, first: f64, second: f64) -> Result<Adam> {
        Ok(Adam {
            betas: [share("adam", "first beta", first)?, share("adam", "second beta", second)?],
            ..self
        })
    }

    /// With this beside the root.
    ///
    /// # Errors
    /// A number that is not above 0 or not finite.
    pub fn epsilon(self, epsilon: f64) -> Result<Adam> {
        Ok(Adam { epsilon: positive("adam", "epsilon", epsilon)?, ..self })
    }

    /// With weight decay.
    ///
    /// # Errors
    /// A decay that is negative or not finite.
    pub fn weight_decay(self, decay: WeightDecay) -> Result<Adam> {
        Ok(Adam { decay: decay.validate("adam")?, ..self })
    }
}

/// The states are gradient, m and v.
impl<T: Scalar> Optimizer<T> for Adam {
    fn describe(&self) -> String {
        let Adam { rate, betas: [first, second], epsilon, decay } = self;
        format!("adam({rate}, betas {first} {second}, epsilon {epsilon}{})", decay.describe())
    }

    fn learning_rate(&self) -> Option<f64> {
        Some(self.rate)
    }

    fn states(&self) -> usize {
        3
    }

    fn sink(&self, _step: Step) -> Sink {
        Sink::GRADIENT
    }

    fn rule(&self, step: Step) -> Option<UpdateRule> {
        let (rate, [first, second]) = (self.rate * step.factor, self.betas);
        // rate m / c / (sqrt(v) / r + epsilon) = (rate r / c) m / (sqrt(v) + r epsilon): m and v are taken as they are.
        let updates = (step.number + 1) as f64;
        let (correction, root) = (1.0 - first.powf(updates), (1.0 - second.powf(updates)).sqrt());
        let (l2, decay) = (self.decay.of_gradient(step), self.decay.of_parameter(step, rate));
        let p = [
            rate * root / correction,
            l2,
            decay,
            first,
            1.0 - first,
            second,
            1.0 - second,
            self.epsilon * root,
        ];
        // The plain rule subtracts the part that leaves a moment, which is as exact only where that part is the smaller one.
        let plain = self.decay.is_none() && first.min(second) >= 0.5;
        Some(UpdateRule { rule: if plain { &PLAIN } else { &RULE }, p })
    }
}
