//! Initial weights.

use std::fmt;
use std::str::FromStr;

use crate::error::{Error, Result};
use crate::random::{Philox, Purpose};
use crate::scalar::Scalar;

/// How the weights of a layer with `i` inputs and `o` outputs begin. The bias begins at 0, except with [`Init::Normal`]
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

/// What is drawn: (distribution, scale).
enum Draw {
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

    /// Refuses a parameter outside of its range.
    pub(crate) fn validate(self) -> Result<Self> {
        match self {
            Init::Normal(p) | Init::Uniform(p) if !(p >= 0.0 && p.is_finite()) => {
                Err(Error::argument(
                    "init",
                    format!("the parameter must be a finite number not below 0, not {p}"),
                ))
            }
            _ => Ok(self),
        }
    }

    fn draw(self, inputs: usize, outputs: usize) -> Draw {
        let (i, o) = (inputs as f64, outputs as f64);
        match self {
            Init::GlorotUniform => Draw::Uniform((6.0 / (i + o)).sqrt()),
            Init::GlorotNormal => Draw::Normal((2.0 / (i + o)).sqrt()),
            Init::HeUniform => Draw::Uniform((6.0 / i).sqrt()),
            Init::HeNormal => Draw::Normal((2.0 / i).sqrt()),
            Init::Lecun => Draw::Normal((1.0 / i).sqrt()),
            Init::Normal(deviation) => Draw::Normal(deviation),
            Init::Uniform(bound) => Draw::Uniform(bound),
            Init::Zeros => Draw::Uniform(0.0),
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
            T::from_f64(match self.draw(inputs, outputs) {
                Draw::Uniform(bound) => bound * (2.0 * stream.uniform(index) - 1.0),
                Draw::Normal(deviation) => deviation * stream.normal(index),
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
        match self {
            Init::Normal(p) => write!(f, "normal({p})"),
            Init::Uniform(p) => write!(f, "uniform({p})"),
            init => {
                let name = Init::NAMES
                    .iter()
                    .rev()
                    .find(|(_, named)| named == init)
                    .map_or("", |(name, _)| name);
                f.write_str(name)
            }
        }
    }
}

/// Reads what `Display` writes, and `glorot` for `glorot-uniform`, `he` for `he-normal`.
impl FromStr for Init {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let (name, parameter) = match text.strip_suffix(')').and_then(|text| text.split_once('(')) {
            Some((name, parameter)) => (name, parameter.trim().parse::<f64>().ok()),
            None => (text, None),
        };
        let known = Init::NAMES.into_iter().find(|(known, _)| *known == name).map(|(_, init)| init);
        match (known, parameter, text.contains('(')) {
            (Some(Init::Normal(_)), Some(p), _) => Init::Normal(p).validate(),
            (Some(Init::Uniform(_)), Some(p), _) => Init::Uniform(p).validate(),
            (Some(init), None, false) => Ok(init),
            _ => {
                let names: Vec<&str> = Init::NAMES.iter().map(|(name, _)| *name).collect();
                Err(Error::argument("init", format!("'{text}' is none of {}", names.join(", "))))
            }
        }
    }
}
