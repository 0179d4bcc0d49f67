//! Losses: each a formula and its gradient.

mod quantiles;

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use crate::activation::Activation;
use crate::engine::formula::formula;
use crate::engine::simd::math;
use crate::engine::{Engine, LossFormula, Zip};
use crate::error::{Error, Result};
use crate::matrix::Matrix;
use crate::notation::{self, Notation};
use crate::scalar::Scalar;

pub use quantiles::Quantiles;

/// The loss of a sample: a sum over the outputs. The loss of a batch is the mean over its samples.
///
/// The two cross-entropies are computed *from logits*, the numbers before the output's sigmoid or softmax, which is
/// stable and gives the short gradient `a - t`. Behind an output layer that has the matching activation, they read that
/// layer's z; behind any other, the layer's output is taken as the logits.
///
/// ```
/// use travertine::Loss;
/// assert_eq!("huber(2)".parse::<Loss>()?, Loss::Huber(2.0));
/// # Ok::<(), travertine::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Loss {
    /// `(a - t)^2 / 2`
    Quadratic,
    /// `|a - t|`
    MeanAbsolute,
    /// `e^2 / 2` where `|e| <= d`, else `d (|e| - d/2)`, with `e = a - t` and 0 < d (Huber 1964)
    Huber(f64),
    /// `ln(1 + exp(z)) - t z`: the cross-entropy of independent probabilities `sigmoid(z)`. With one output these are two classes; with
    /// several, and [`Targets::Values`](crate::data::Targets::Values) of 0 and 1, labels that do not exclude each other, whose
    /// probabilities a model predicts as values ([`metrics::subset_accuracy`](crate::metrics::subset_accuracy)).
    BinaryCrossEntropy,
    /// `-sum_i t_i ln softmax(z)_i`: the cross-entropy of one class among many
    SoftmaxCrossEntropy,
    /// The mean over the outputs of `max(q (t - a), (q - 1) (t - a))`, the pinball loss, with another level q for each output:
    /// it is least where each output is that quantile of the targets (Koenker and Bassett 1978). There are as many outputs as
    /// levels, and the target of a sample is the same for all: [`Targets::for_quantiles`](crate::data::Targets::for_quantiles)
    /// repeats it.
    Quantiles(Quantiles),
}

formula!(
    Quadratic = "quadratic",
    |y, t, _p| {
        let e = y - t;
        V::of(0.5) * (e * e)
    },
    "V(0.5) * ((x - y) * (x - y))"
);
formula!(QuadraticGradient = "quadratic'", |y, t, _p| y - t, "x - y");
formula!(Absolute = "mean_absolute", |y, t, _p| (y - t).abs(), "fabs(x - y)");
formula!(
    AbsoluteGradient = "mean_absolute'",
    |y, t, _p| {
        let e = y - t;
        V::select(V::of(0.0).less(e.abs()), V::of(1.0).copysign(e), e)
    },
    "x > y ? V(1.0) : (x < y ? V(-1.0) : x - y)"
);
formula!(
    Huber = "huber",
    |y, t, p| {
        let e = (y - t).abs();
        V::select(e.less(p[0]), V::of(0.5) * (e * e), p[0] * (e - V::of(0.5) * p[0]))
    },
    "fabs(x - y) < p0 ? V(0.5) * ((x - y) * (x - y)) : p0 * (fabs(x - y) - V(0.5) * p0)"
);
formula!(
    HuberGradient = "huber'",
    |y, t, p| p[0].min((-p[0]).max(y - t)),
    "x - y > p0 ? p0 : (x - y < -p0 ? -p0 : x - y)"
);
formula!(
    Binary = "binary_cross_entropy",
    |z, t, _p| {
        // ln(1 + exp(z)) - t z without cancellation: max(z, 0) - t z + ln(1 + exp(-|z|))
        V::of(0.0).max(z) - t * z + math::softplus(-z.abs())
    },
    "(V(0.0) > x ? V(0.0) : x) - y * x + softplus(-fabs(x))"
);
formula!(
    BinaryGradient = "binary_cross_entropy'",
    |z, t, _p| math::sigmoid(z) - t,
    "sigmoid(x) - y"
);

// p0 is the level of the row, p1 the share of a row in the mean.
formula!(
    Pinball = "quantiles",
    |y, t, p| {
        let e = t - y;
        p[1] * (p[0] * e).max((p[0] - V::of(1.0)) * e)
    },
    "p1 * (p0 * (y - x) > (p0 - V(1.0)) * (y - x) ? p0 * (y - x) : (p0 - V(1.0)) * (y - x))"
);
formula!(
    PinballGradient = "quantiles'",
    |y, t, p| {
        let (e, zero) = (y - t, V::of(0.0));
        let behind = V::select(e.less(zero), -(p[0] * p[1]), e);
        V::select(zero.less(e), (V::of(1.0) - p[0]) * p[1], behind)
    },
    "x > y ? (V(1.0) - p0) * p1 : (x < y ? -(p0 * p1) : x - y)"
);

formula!(Linear = "linear", |y, g, _p| y * g, "x * y");
formula!(LinearGradient = "linear'", |_y, g, _p| g, "y");

/// The name of [`Loss::Quantiles`].
const QUANTILES: &str = "quantiles";

/// An element-wise loss, ready to run.
struct Entry {
    value: Zip,
    gradient: Zip,
}

static QUADRATIC: Entry =
    Entry { value: Zip::of::<Quadratic>(), gradient: Zip::of::<QuadraticGradient>() };
static ABSOLUTE: Entry =
    Entry { value: Zip::of::<Absolute>(), gradient: Zip::of::<AbsoluteGradient>() };
static HUBER: Entry = Entry { value: Zip::of::<Huber>(), gradient: Zip::of::<HuberGradient>() };
static BINARY: Entry = Entry { value: Zip::of::<Binary>(), gradient: Zip::of::<BinaryGradient>() };

static PINBALL: Entry =
    Entry { value: Zip::of::<Pinball>(), gradient: Zip::of::<PinballGradient>() };

static LINEAR: Entry = Entry { value: Zip::of::<Linear>(), gradient: Zip::of::<LinearGradient>() };

/// `y g`: the loss whose gradient by the output is what stands in the targets' place.
pub(crate) fn given_gradient() -> LossFormula {
    LossFormula::Elements { value: &LINEAR.value, gradient: &LINEAR.gradient, p: [0.0; 4] }
}

impl Loss {
    /// Every loss for any number of outputs, with the usual parameter where there is one: all but [`Loss::Quantiles`].
    pub const ALL: [Loss; 5] = [
        Loss::Quadratic,
        Loss::MeanAbsolute,
        Loss::Huber(1.0),
        Loss::BinaryCrossEntropy,
        Loss::SoftmaxCrossEntropy,
    ];

    /// The name without parameters, as in files and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Loss::Quadratic => "quadratic",
            Loss::MeanAbsolute => "mean_absolute",
            Loss::Huber(_) => "huber",
            Loss::BinaryCrossEntropy => "binary_cross_entropy",
            Loss::SoftmaxCrossEntropy => "softmax_cross_entropy",
            Loss::Quantiles(_) => QUANTILES,
        }
    }

    /// The quantiles that a network with this loss predicts; `None` for every other loss.
    pub fn quantiles(self) -> Option<Quantiles> {
        if let Loss::Quantiles(quantiles) = self { Some(quantiles) } else { None }
    }

    fn parameter(self) -> Option<f64> {
        if let Loss::Huber(p) = self { Some(p) } else { None }
    }

    /// Refuses a parameter outside of its range.
    pub(crate) fn validate(self) -> Result<Self> {
        match self.parameter() {
            Some(p) if !(p > 0.0 && p.is_finite()) => Err(Error::argument(
                self.name(),
                format!("the parameter must be a finite number above 0, not {p}"),
            )),
            _ => Ok(self),
        }
    }

    /// For the engine.
    pub(crate) fn formula(self) -> LossFormula {
        let entry = match self {
            Loss::SoftmaxCrossEntropy => return LossFormula::SoftmaxCrossEntropy,
            Loss::Quadratic => &QUADRATIC,
            Loss::MeanAbsolute => &ABSOLUTE,
            Loss::Huber(_) => &HUBER,
            Loss::BinaryCrossEntropy => &BINARY,
            Loss::Quantiles(_) => &PINBALL,
        };
        let p = self.parameters();
        LossFormula::Elements { value: &entry.value, gradient: &entry.gradient, p }
    }

    /// The first is that of each row, where [`Loss::first_by_row`] has it.
    fn parameters(self) -> [f64; 4] {
        match self {
            Loss::Quantiles(quantiles) => [0.0, 1.0 / quantiles.levels().len() as f64, 0.0, 0.0],
            _ => [self.parameter().unwrap_or(0.0), 0.0, 0.0, 0.0],
        }
    }

    /// The first parameter of the formula for each row, `outputs x 1`, where rows have different ones.
    pub(crate) fn first_by_row<T: Scalar>(
        self,
        engine: &Arc<dyn Engine<T>>,
    ) -> Result<Option<Matrix<T>>> {
        let Loss::Quantiles(quantiles) = self else { return Ok(None) };
        let levels: Vec<T> = quantiles.levels().iter().map(|level| T::from_f64(*level)).collect();
        Matrix::from_slice(engine, levels.len(), 1, &levels).map(Some)
    }

    /// Whether its formula has at most one number, the most that a call for a whole network has.
    pub(crate) fn has_at_most_one_number(self) -> bool {
        self.parameters()[1..].iter().all(|p| *p == 0.0)
    }

    /// Whether the loss reads z of an output layer with this activation, whose derivative it then holds already.
    pub(crate) fn is_fused_with(self, output: Activation) -> bool {
        matches!(
            (self, output),
            (Loss::BinaryCrossEntropy, Activation::Sigmoid)
                | (Loss::SoftmaxCrossEntropy, Activation::Softmax)
        )
    }

    /// Refuses an output layer with which the loss cannot be made small, whatever the data.
    pub(crate) fn refuse_output(self, output: Activation, outputs: usize) -> Result<()> {
        if let Some(expected) = self.quantiles().map(|quantiles| quantiles.levels().len())
            && expected != outputs
        {
            let reason = format!(
                "{self} with {outputs} {output} outputs: there must be {expected}, one for each level"
            );
            return Err(Error::argument("trainer", reason));
        }
        let reason = match (self, output) {
            (_, Activation::Softmax) if outputs == 1 => {
                "softmax of one output is always 1; use sigmoid and binary_cross_entropy for two \
                 classes, or one output for each class"
            }
            (Loss::SoftmaxCrossEntropy, _) if outputs == 1 => {
                "with one output it is always 0; use sigmoid and binary_cross_entropy for two \
                 classes, or one output for each class"
            }
            (Loss::BinaryCrossEntropy, Activation::Softmax) => {
                "softmax's probabilities are not its logits; use softmax_cross_entropy, or sigmoid \
                 outputs for classes that do not exclude each other"
            }
            (Loss::BinaryCrossEntropy, Activation::Relu | Activation::Softplus) => {
                "its logits would never be below 0; use sigmoid or identity outputs"
            }
            (Loss::SoftmaxCrossEntropy, Activation::Sigmoid) => {
                "sigmoid's probabilities are not its logits; use softmax or identity outputs, or \
                 binary_cross_entropy"
            }
            _ => return Ok(()),
        };
        let reason = format!("{self} with {outputs} {output} outputs: {reason}");
        Err(Error::argument("trainer", reason))
    }

    /// Whether the loss reads its input as logits rather than as the network's prediction.
    fn is_from_logits(self) -> bool {
        matches!(self, Loss::BinaryCrossEntropy | Loss::SoftmaxCrossEntropy)
    }

    /// An input of the loss above this means "yes", where there is one output.
    pub(crate) fn threshold(self) -> f64 {
        if self.is_from_logits() { 0.0 } else { 0.5 }
    }
}

/// The name and, where there are some, the parameters: `huber(1)`, `quantiles(0.1,0.9)`.
impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Loss::Quantiles(quantiles) = self {
            return write!(f, "{QUANTILES}({quantiles})");
        }
        notation::write(f, self.name(), self.parameter())
    }
}

/// Reads what `Display` writes; a parameter may be left out, but the levels of quantiles may not.
impl FromStr for Loss {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match Notation::parse(text) {
            Notation { name: QUANTILES, numbers: Some(levels) } => {
                return levels.join(",").parse().map(Loss::Quantiles);
            }
            Notation { name: QUANTILES, numbers: None } => {
                let reason = format!("'{text}' has no levels, as {QUANTILES}(0.1,0.5,0.9) has");
                return Err(Error::argument("loss", reason));
            }
            _ => {}
        }
        let with = |loss, p| matches!(loss, Loss::Huber(_)).then_some(Loss::Huber(p));
        let mut known: Vec<_> = Loss::ALL.iter().map(|loss| (loss.name(), *loss)).collect();
        // For the list of names alone: what has this name is read above.
        known.push((QUANTILES, Loss::Quadratic));
        notation::read("loss", text, &known, with)?.validate()
    }
}
