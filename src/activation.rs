//! Activations: each a formula and its derivative.

use std::fmt;
use std::str::FromStr;

use crate::engine::formula::formula;
use crate::engine::simd::math;
use crate::engine::{Elementwise, Map, Transfer, Zip};
use crate::error::{Error, Result};
use crate::matrix::MatrixRef;
use crate::notation;
use crate::ops::fused::Fold;
use crate::ops::network::Form;
use crate::scalar::Scalar;

/// For [`Activation::Gelu`] in generated programs: `exp(u^2/2) normal_cdf(-u) / t` for u >= 0, `t = 4 / (4 + u)`, as a polynomial
/// in `2t - 1`.
pub(crate) const NORMAL_TAIL: &[f64] = &math::TAIL_F64;

/// `a = f(z)`, the activation of a layer.
///
/// ```
/// use travertine::Activation;
/// assert_eq!("leaky_relu(0.01)".parse::<Activation>()?, Activation::LeakyRelu(0.01));
/// assert_eq!(Activation::Tanh.to_string(), "tanh");
/// # Ok::<(), travertine::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Activation {
    /// `z`
    Identity,
    /// `1 / (1 + exp(-z))`
    Sigmoid,
    /// `tanh(z)`
    Tanh,
    /// `max(z, 0)` (Nair and Hinton 2010)
    Relu,
    /// `z` above 0, `slope z` below, with 0 <= slope (Maas 2013)
    LeakyRelu(f64),
    /// `z` above 0, `alpha (exp(z) - 1)` below, with 0 <= alpha (Clevert 2015)
    Elu(f64),
    /// `z P(z)` with P the distribution function of the normal distribution (Hendrycks and Gimpel 2016)
    Gelu,
    /// `z sigmoid(z)` (Elfwing 2017)
    Silu,
    /// `lambda z` above 0, `lambda alpha (exp(z) - 1)` below, with lambda = 1.0507 and alpha = 1.6733, which keep mean 0 and
    /// variance 1 from layer to layer (Klambauer et al. 2017)
    Selu,
    /// `z tanh(ln(1 + exp(z)))` (Misra 2019)
    Mish,
    /// `ln(1 + exp(z))`
    Softplus,
    /// `exp(z_i) / sum_j exp(z_j)`, a probability for every class; for the output layer
    Softmax,
}

formula!(Sigmoid = "sigmoid", |z, _p| math::sigmoid(z), "sigmoid(x)");
formula!(
    SigmoidDerivative = "sigmoid'",
    |g, a, _p| g * (a * (V::of(1.0) - a)),
    "x * (y * (V(1.0) - y))"
);
formula!(Tanh = "tanh", |z, _p| math::tanh(z), "hyperbolic_tangent(x)");
formula!(TanhDerivative = "tanh'", |g, a, _p| g * (V::of(1.0) - a * a), "x * (V(1.0) - y * y)");
formula!(Relu = "relu", |z, _p| V::of(0.0).max(z), "V(0.0) > x ? V(0.0) : x");
formula!(
    ReluDerivative = "relu'",
    |g, a, _p| V::select(V::of(0.0).less(a), g, V::of(0.0)),
    "V(0.0) < y ? x : V(0.0)"
);
formula!(
    LeakyRelu = "leaky_relu",
    |z, p| V::select(V::of(0.0).less(z), z, p[0] * z),
    "V(0.0) < x ? x : p0 * x"
);
formula!(
    LeakyReluDerivative = "leaky_relu'",
    |g, a, p| V::select(V::of(0.0).less(a), g, p[0] * g),
    "V(0.0) < y ? x : p0 * x"
);
formula!(
    Elu = "elu",
    |z, p| V::select(V::of(0.0).less(z), z, p[0] * math::expm1(V::of(1.0).min(z))),
    "V(0.0) < x ? x : p0 * expm1(V(1.0) < x ? V(1.0) : x)"
);
formula!(
    EluDerivative = "elu'",
    |g, a, p| g * V::select(V::of(0.0).less(a), V::of(1.0), a + p[0]),
    "x * (V(0.0) < y ? V(1.0) : y + p0)"
);
formula!(Gelu = "gelu", |z, _p| z * math::normal_cdf(z), "x * normal_cdf(x)");
formula!(
    GeluDerivative = "gelu'",
    |g, z, _p| {
        const INVERSE_SQRT_TAU: f64 = 0.398_942_280_401_432_7;
        g * z.mul_add(V::of(INVERSE_SQRT_TAU) * math::bell(z), math::normal_cdf(z))
    },
    "x * (y * (V(0.3989422804014327) * bell(y)) + normal_cdf(y))"
);
formula!(Silu = "silu", |z, _p| z * math::sigmoid(z), "x * sigmoid(x)");
formula!(
    SiluDerivative = "silu'",
    |g, z, _p| {
        let s = math::sigmoid(z);
        g * (s * z.mul_add(V::of(1.0) - s, V::of(1.0)))
    },
    "x * (sigmoid(y) * (V(1.0) + y * sigmoid(-y)))"
);
/// lambda and lambda alpha of selu, whose fixed point of mean and variance is (0, 1).
pub(crate) const SELU: [f64; 2] = [1.050_700_987_355_480_5, 1.758_099_340_847_376_6];
formula!(
    Selu = "selu",
    |z, _p| {
        let below = V::of(SELU[1]) * math::expm1(V::of(1.0).min(z));
        V::select(V::of(0.0).less(z), V::of(SELU[0]) * z, below)
    },
    "V(0.0) < x ? V(1.0507009873554805) * x : V(1.7580993408473766) * expm1(V(1.0) < x ? V(1.0) : x)"
);
formula!(
    SeluDerivative = "selu'",
    |g, a, _p| g * V::select(V::of(0.0).less(a), V::of(SELU[0]), a + V::of(SELU[1])),
    "x * (V(0.0) < y ? V(1.0507009873554805) : y + V(1.7580993408473766))"
);
// With u = e (e + 2), e = exp(z): tanh(ln(1 + e)) = u / (u + 2), which is 1 from z = 20 on.
formula!(
    Mish = "mish",
    |z, _p| {
        let e = math::exp(V::of(20.0).min(z));
        let u = e * (e + V::of(2.0));
        z * (u / (u + V::of(2.0)))
    },
    "x * mish_gate(x)"
);
// w + z (1 - w^2) sigmoid(z), w = tanh(ln(1 + exp(z)))
formula!(
    MishDerivative = "mish'",
    |g, z, _p| {
        let e = math::exp(V::of(20.0).min(z));
        let u = e * (e + V::of(2.0));
        let w = u / (u + V::of(2.0));
        g * (z * ((V::of(1.0) - w * w) * math::sigmoid(z)) + w)
    },
    "x * (y * ((V(1.0) - mish_gate(y) * mish_gate(y)) * sigmoid(y)) + mish_gate(y))"
);
formula!(Softplus = "softplus", |z, _p| math::softplus(z), "softplus(x)");
// 1 - exp(-a) is sigmoid(z); a is never negative.
formula!(SoftplusDerivative = "softplus'", |g, a, _p| -(g * math::expm1(-a)), "-(x * expm1(-y))");

/// The operand of the derivative.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Keeps {
    /// z alone, so that the training layer keeps it beside a.
    Sum,
    /// a alone: z need not be kept.
    Output,
}

/// An element-wise activation, ready to run.
struct Entry {
    map: Map,
    derivative: Zip,
    keeps: Keeps,
}

// The identity costs nothing behind a layer; formulas for it are for calls that take one of every activation.
formula!(Identity = "identity", |z, _p| z, "x");
formula!(IdentityDerivative = "identity'", |g, _a, _p| g, "x");
static IDENTITY: Entry = Entry {
    map: Map::of::<Identity>(),
    derivative: Zip::of::<IdentityDerivative>(),
    keeps: Keeps::Output,
};
static SIGMOID: Entry = Entry {
    map: Map::of::<Sigmoid>(),
    derivative: Zip::of::<SigmoidDerivative>(),
    keeps: Keeps::Output,
};
static TANH: Entry =
    Entry { map: Map::of::<Tanh>(), derivative: Zip::of::<TanhDerivative>(), keeps: Keeps::Output };
static RELU: Entry =
    Entry { map: Map::of::<Relu>(), derivative: Zip::of::<ReluDerivative>(), keeps: Keeps::Output };
static LEAKY_RELU: Entry = Entry {
    map: Map::of::<LeakyRelu>(),
    derivative: Zip::of::<LeakyReluDerivative>(),
    keeps: Keeps::Output,
};
static ELU: Entry =
    Entry { map: Map::of::<Elu>(), derivative: Zip::of::<EluDerivative>(), keeps: Keeps::Output };
static GELU: Entry =
    Entry { map: Map::of::<Gelu>(), derivative: Zip::of::<GeluDerivative>(), keeps: Keeps::Sum };
static SILU: Entry =
    Entry { map: Map::of::<Silu>(), derivative: Zip::of::<SiluDerivative>(), keeps: Keeps::Sum };
static SELU_ENTRY: Entry =
    Entry { map: Map::of::<Selu>(), derivative: Zip::of::<SeluDerivative>(), keeps: Keeps::Output };
static MISH: Entry =
    Entry { map: Map::of::<Mish>(), derivative: Zip::of::<MishDerivative>(), keeps: Keeps::Sum };
static SOFTPLUS: Entry = Entry {
    map: Map::of::<Softplus>(),
    derivative: Zip::of::<SoftplusDerivative>(),
    keeps: Keeps::Output,
};

impl Activation {
    /// Every activation, with the usual parameter where there is one.
    pub const ALL: [Activation; 12] = [
        Activation::Identity,
        Activation::Sigmoid,
        Activation::Tanh,
        Activation::Relu,
        Activation::LeakyRelu(0.01),
        Activation::Elu(1.0),
        Activation::Gelu,
        Activation::Silu,
        Activation::Selu,
        Activation::Mish,
        Activation::Softplus,
        Activation::Softmax,
    ];

    /// The name without parameters, as in files and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Activation::Identity => "identity",
            Activation::Sigmoid => "sigmoid",
            Activation::Tanh => "tanh",
            Activation::Relu => "relu",
            Activation::LeakyRelu(_) => "leaky_relu",
            Activation::Elu(_) => "elu",
            Activation::Gelu => "gelu",
            Activation::Silu => "silu",
            Activation::Selu => "selu",
            Activation::Mish => "mish",
            Activation::Softplus => "softplus",
            Activation::Softmax => "softmax",
        }
    }

    fn entry(self) -> Option<&'static Entry> {
        match self {
            Activation::Identity | Activation::Softmax => None,
            Activation::Sigmoid => Some(&SIGMOID),
            Activation::Tanh => Some(&TANH),
            Activation::Relu => Some(&RELU),
            Activation::LeakyRelu(_) => Some(&LEAKY_RELU),
            Activation::Elu(_) => Some(&ELU),
            Activation::Gelu => Some(&GELU),
            Activation::Silu => Some(&SILU),
            Activation::Selu => Some(&SELU_ENTRY),
            Activation::Mish => Some(&MISH),
            Activation::Softplus => Some(&SOFTPLUS),
        }
    }

    fn parameter(self) -> Option<f64> {
        match self {
            Activation::LeakyRelu(p) | Activation::Elu(p) => Some(p),
            _ => None,
        }
    }

    fn parameters(self) -> [f64; 4] {
        [self.parameter().unwrap_or(0.0), 0.0, 0.0, 0.0]
    }

    /// Refuses a parameter outside of its range.
    pub(crate) fn validate(self) -> Result<Self> {
        match self.parameter() {
            Some(p) if !(p >= 0.0 && p.is_finite()) => {
                let reason = format!("the parameter must be a finite number not below 0, not {p}");
                Err(Error::argument(self.name(), reason))
            }
            _ => Ok(self),
        }
    }

    /// For the engine: `a = f(z)`.
    pub(crate) fn transfer(self) -> Transfer {
        match (self, self.entry()) {
            (Activation::Softmax, _) => Transfer::Softmax,
            (_, Some(entry)) => Transfer::Map(&entry.map, self.parameters()),
            (_, None) => Transfer::Identity,
        }
    }

    /// Formulas of an activation that is computed element by element; `None` for softmax.
    pub(crate) fn elementwise(self) -> Option<Elementwise> {
        let entry = match self {
            Activation::Identity => &IDENTITY,
            _ => self.entry()?,
        };
        let Entry { map, derivative, keeps } = entry;
        let keeps_input = *keeps == Keeps::Sum;
        Some(Elementwise { map, derivative, p: self.parameters(), keeps_input })
    }

    /// Which of z and a a training layer keeps.
    pub(crate) fn keeps(self) -> Keeps {
        self.entry().map_or(Keeps::Output, |entry| entry.keeps)
    }

    /// Formula and derivative for a call that computes a whole network; `None` where they have more than the one number it allows.
    pub(crate) fn form(self) -> Option<Form> {
        let derivative = self.entry().map(|entry| (&entry.derivative, entry.keeps == Keeps::Sum));
        let is_simple = self.parameters()[1..].iter().all(|p| *p == 0.0);
        is_simple.then_some(Form { transfer: self.transfer(), derivative })
    }

    /// The factor f' of a gradient, from what [`Activation::keeps`] names.
    pub(crate) fn derivative<T: Scalar>(self, kept: MatrixRef<'_, T>) -> Fold<'_, T> {
        match (self, self.entry()) {
            (Activation::Softmax, _) => Fold::Softmax(kept),
            (_, Some(entry)) => Fold::Zip(&entry.derivative, self.parameters(), kept),
            (_, None) => Fold::One,
        }
    }
}

/// The name and, where there is one, the parameter: `elu(1)`.
impl fmt::Display for Activation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        notation::write(f, self.name(), self.parameter())
    }
}

/// Reads what `Display` writes; a parameter may be left out, `linear` is `identity`.
impl FromStr for Activation {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let names = Activation::ALL.map(|activation| (activation.name(), activation));
        let known: Vec<_> = names.into_iter().chain([("linear", Activation::Identity)]).collect();
        let with = |activation, p| match activation {
            Activation::LeakyRelu(_) => Some(Activation::LeakyRelu(p)),
            Activation::Elu(_) => Some(Activation::Elu(p)),
            _ => None,
        };
        notation::read("activation", text, &known, with)?.validate()
    }
}
