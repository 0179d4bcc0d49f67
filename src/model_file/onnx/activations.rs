//! Activations as operators.
//!
//! Operators that ONNX Runtime computes in double precision too are used as they are; others are in the terms of such operators where the
//! network's numbers are doubles.

use super::writer::{GraphWriter, float, int};
use crate::activation::Activation;
use crate::engine::simd::math::TAIL_F64;

/// Beyond it tanh(ln(1 + exp(z))) is 1, and exp(z)^2 does not overflow.
const MISH_BOUND: f64 = 20.0;
/// The constants of selu, as PyTorch, ONNX and this library round them.
const SELU_ALPHA: f64 = 1.673_263_242_354_377_2;
const SELU_GAMMA: f64 = 1.050_700_987_355_480_5;

/// `f(x)`; softmax is taken over the last axis.
pub(super) fn activate(graph: &mut GraphWriter, activation: Activation, x: &str) -> String {
    match activation {
        Activation::Identity => x.to_owned(),
        Activation::Sigmoid => graph.map("Sigmoid", x),
        Activation::Tanh => graph.map("Tanh", x),
        Activation::Relu => graph.map("Relu", x),
        Activation::LeakyRelu(slope) if graph.is_double() => {
            let slope = graph.scalar(slope);
            let scaled = graph.mul(&slope, x);
            above_zero(graph, x, x, &scaled)
        }
        Activation::LeakyRelu(slope) => graph.apply("LeakyRelu", &[x], vec![float("alpha", slope)]),
        Activation::Elu(alpha) if graph.is_double() => {
            let below = exponential(graph, alpha, x);
            above_zero(graph, x, x, &below)
        }
        Activation::Elu(alpha) => graph.apply("Elu", &[x], vec![float("alpha", alpha)]),
        Activation::Selu if graph.is_double() => {
            let below = exponential(graph, SELU_GAMMA * SELU_ALPHA, x);
            let gamma = graph.scalar(SELU_GAMMA);
            let above = graph.mul(&gamma, x);
            above_zero(graph, x, &above, &below)
        }
        Activation::Selu => {
            let attributes = vec![float("alpha", SELU_ALPHA), float("gamma", SELU_GAMMA)];
            graph.apply("Selu", &[x], attributes)
        }
        Activation::Gelu if graph.opset >= 20 && !graph.is_double() => graph.map("Gelu", x),
        Activation::Gelu => {
            let share = match graph.is_double() {
                true => normal_cdf(graph, x),
                false => normal_cdf_by_erf(graph, x),
            };
            graph.mul(x, &share)
        }
        Activation::Silu => {
            let share = graph.map("Sigmoid", x);
            graph.mul(x, &share)
        }
        Activation::Mish => {
            let bound = graph.scalar(MISH_BOUND);
            let bounded = graph.pair("Min", x, &bound);
            let e = graph.map("Exp", &bounded);
            let two = graph.scalar(2.0);
            let more = graph.add(&e, &two);
            let u = graph.mul(&e, &more);
            let whole = graph.add(&u, &two);
            let share = graph.div(&u, &whole);
            graph.mul(x, &share)
        }
        Activation::Softplus if graph.is_double() => {
            // max(x, 0) + ln(1 + exp(-|x|))
            let distance = graph.map("Abs", x);
            let negative = graph.map("Neg", &distance);
            let e = graph.map("Exp", &negative);
            let one = graph.scalar(1.0);
            let sum = graph.add(&e, &one);
            let logarithm = graph.map("Log", &sum);
            let positive = graph.map("Relu", x);
            graph.add(&positive, &logarithm)
        }
        Activation::Softplus => graph.map("Softplus", x),
        Activation::Softmax => graph.apply("Softmax", &[x], vec![int("axis", -1)]),
    }
}

/// `above` where x > 0, else `below`.
fn above_zero(graph: &mut GraphWriter, x: &str, above: &str, below: &str) -> String {
    let zero = graph.scalar(0.0);
    let is_above = graph.pair("Greater", x, &zero);
    graph.apply("Where", &[&is_above, above, below], Vec::new())
}

/// `alpha (exp(min(x, 1)) - 1)`, which is read for x <= 0.
fn exponential(graph: &mut GraphWriter, alpha: f64, x: &str) -> String {
    let (one, alpha) = (graph.scalar(1.0), graph.scalar(alpha));
    let bounded = graph.pair("Min", x, &one);
    let e = graph.map("Exp", &bounded);
    let less = graph.sub(&e, &one);
    graph.mul(&alpha, &less)
}

/// `(1 + erf(x / sqrt 2)) / 2`
fn normal_cdf_by_erf(graph: &mut GraphWriter, x: &str) -> String {
    let factor = graph.scalar(std::f64::consts::FRAC_1_SQRT_2);
    let scaled = graph.mul(x, &factor);
    let erf = graph.map("Erf", &scaled);
    let (one, half) = (graph.scalar(1.0), graph.scalar(0.5));
    let sum = graph.add(&erf, &one);
    graph.mul(&sum, &half)
}

/// The distribution function of the normal distribution in double precision, for which ONNX Runtime has no Erf: the tail
/// `exp(-u^2/2) t P(2t - 1)`, `u = |x|`, `t = 4 / (4 + u)`, with the polynomial of the library's own activation.
fn normal_cdf(graph: &mut GraphWriter, x: &str) -> String {
    let (one, two, four) = (graph.scalar(1.0), graph.scalar(2.0), graph.scalar(4.0));
    // Beyond it the tail is 0, and the square does not overflow.
    let far = graph.scalar(40.0);
    let distance = graph.map("Abs", x);
    let u = graph.pair("Min", &distance, &far);
    let whole = graph.add(&u, &four);
    let t = graph.div(&four, &whole);
    let doubled = graph.mul(&t, &two);
    let w = graph.sub(&doubled, &one);
    let mut coefficients = TAIL_F64.iter().rev();
    let mut sum = graph.scalar(coefficients.next().copied().unwrap_or_default());
    for &coefficient in coefficients {
        let product = graph.mul(&sum, &w);
        let coefficient = graph.scalar(coefficient);
        sum = graph.add(&product, &coefficient);
    }
    let square = graph.mul(&u, &u);
    let half = graph.scalar(-0.5);
    let exponent = graph.mul(&square, &half);
    let bell = graph.map("Exp", &exponent);
    let scaled = graph.mul(&bell, &t);
    let tail = graph.mul(&scaled, &sum);
    let rest = graph.sub(&one, &tail);
    above_zero(graph, x, &rest, &tail)
}
