//! Initial weights.

use std::fmt;
use std::str::FromStr;

use crate::error::{Error, Result};
use crate::notation;
use crate::random::{Philox, Purpose};
use crate::scalar::Scalar;

/// The initial weights of a layer with `i` inputs and `o` outputs. The initial bias is 0, except with [`Init::Normal`]
/// and [`Init::Uniform`], which draw it like the weights.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Init {
    /// Uniform within ± sqrt(6 / (i + o)) (Glorot and Bengio 2010)
    GlorotUniform,
    /// Normal with deviation sqrt(2 / (i + o)) (Glorot and Bengio 2010)
    GlorotNormal,
    /// Uniform within ± sqrt(6 / i) (He 2015)
    HeUniform,
    /// Normal with deviation sqrt(2 / i) (He 2015)
    HeNormal,
    /// Normal with deviation sqrt(1 / i) (LeCun 1998)
    Lecun,
    /// Weights and bias normal with this deviation (Nielsen, chapter 1, with 1)
    Normal(f64),
    /// Weights and bias uniform within ± this
    Uniform(f64),
    /// Zeros
    Zeros,
}

/// A distribution and its scale.
enum Distribution {
    Uniform(f64),
    Normal(f64),
}

impl Init {
    const NAMES: [(&'static str, Init); 10] = [
        ("glorot", Init::GlorotUniform),
        ("glorot-uniform", Init::GlorotUniform),
        ("glorot-normal", Init::GlorotNormal),
        ("he", Init::HeNormal),
        ("he-uniform", Init::HeUniform),
        ("he-normal", Init::HeNormal),
        ("lecun", Init::Lecun),
        ("normal", Init::Normal(1.0)),
        ("uniform", Init::Uniform(1.0)),
        ("zeros", Init::Zeros),
    ];

    fn parameter(self) -> Option<f64> {
        match self {
            Init::Normal(p) | Init::Uniform(p) => Some(p),
            _ => None,
        }
    }

    /// Refuses a parameter outside of its range.
    pub(crate) fn validate(self) -> Result<Self> {
        match self.parameter() {
            Some(p) if !(p >= 0.0 && p.is_finite()) => {
                let reason = format!("the parameter must be a finite number not below 0, not {p}");
                Err(Error::argument("init", reason))
            }
            _ => Ok(self),
        }
    }

    fn distribution(self, inputs: usize, outputs: usize) -> Distribution {
        let (i, o) = (inputs as f64, outputs as f64);
        match self {
            Init::GlorotUniform => Distribution::Uniform((6.0 / (i + o)).sqrt()),
            Init::GlorotNormal => Distribution::Normal((2.0 / (i + o)).sqrt()),
            Init::HeUniform => Distribution::Uniform((6.0 / i).sqrt()),
            Init::HeNormal => Distribution::Normal((2.0 / i).sqrt()),
            Init::Lecun => Distribution::Normal((1.0 / i).sqrt()),
            Init::Normal(deviation) => Distribution::Normal(deviation),
            Init::Uniform(bound) => Distribution::Uniform(bound),
            Init::Zeros => Distribution::Uniform(0.0),
        }
    }

    /// The weights (`outputs x inputs`, column-major) and the bias (`outputs`) of layer number `layer`: a function of
    /// the seed, the layer and the position.
    pub(crate) fn parameters<T: Scalar>(
        self,
        inputs: usize,
        outputs: usize,
        seed: u64,
        layer: u32,
    ) -> (Vec<T>, Vec<T>) {
        let stream = Philox::new(seed, Purpose::Weights, layer);
        let value = |index: u64| {
            T::from_f64(match self.distribution(inputs, outputs) {
                Distribution::Uniform(bound) => bound * (2.0 * stream.uniform(index) - 1.0),
                Distribution::Normal(deviation) => deviation * stream.normal(index),
            })
        };
        let count = (inputs * outputs) as u64;
        let weights = (0..count).map(value).collect();
        let bias = match self {
            Init::Normal(_) | Init::Uniform(_) => {
                (count..count + outputs as u64).map(value).collect()
            }
            _ => vec![T::default(); outputs],
        };
        (weights, bias)
    }
}

/// The name and, where there is one, the parameter: `normal(1)`.
impl fmt::Display for Init {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The last of its names: "glorot" comes before "glorot-uniform".
        let is_this = |init: &Init| std::mem::discriminant(init) == std::mem::discriminant(self);
        let name = Init::NAMES.iter().rfind(|(_, init)| is_this(init)).map_or("", |named| named.0);
        notation::write(f, name, self.parameter())
    }
}

/// Reads what `Display` writes, and `glorot` for `glorot-uniform`, `he` for `he-normal`.
impl FromStr for Init {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let with = |init, p| match init {
            Init::Normal(_) => Some(Init::Normal(p)),
            Init::Uniform(_) => Some(Init::Uniform(p)),
            _ => None,
        };
        notation::read("init", text, &Init::NAMES, with)?.validate()
    }
}
