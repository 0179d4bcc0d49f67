//! `--init`: a rule for the first weights, or a file that has them.

use std::ffi::OsStr;
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use travertine::model_file::{self, sequential_names};
use travertine::{Init, Network, Result, Scalar};

use crate::message::wrong;

/// Where the first weights come from.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum FirstWeights {
    Rule(Init),
    /// A safetensors file, such as a saved model or PyTorch's, or an ONNX file.
    File(PathBuf),
}

impl FromStr for FirstWeights {
    type Err = travertine::Error;

    fn from_str(text: &str) -> Result<Self> {
        let ending = Path::new(text).extension();
        let is_file = |ending: &OsStr| {
            ["safetensors", "onnx"].iter().any(|name| ending.eq_ignore_ascii_case(name))
        };
        if ending.is_some_and(is_file) {
            return Ok(FirstWeights::File(text.into()));
        }
        text.parse().map(FirstWeights::Rule)
    }
}

impl FirstWeights {
    /// The rule by which a network is built; weights of a file replace those of the default.
    pub(crate) fn rule(&self) -> Init {
        match self {
            FirstWeights::Rule(init) => *init,
            FirstWeights::File(_) => Init::GlorotUniform,
        }
    }

    /// Replaces the parameters by those of the file, if there is one: `layers.N.weight`, or `N.weight` as
    /// `torch.nn.Sequential` counts them.
    pub(crate) fn load<T: Scalar>(&self, network: &mut Network<T>) -> Result<()> {
        let FirstWeights::File(path) = self else { return Ok(()) };
        let layers = 0..network.layers().len();
        let ours = layers.clone().map(|number| format!("layers.{number}")).collect();
        let numbers = layers.map(|number| number.to_string()).collect();
        let names: [Vec<String>; 3] = [ours, sequential_names(network), numbers];
        // The error about our own names says what the file lacks.
        let mut first = None;
        for names in names {
            match network.load_weights(path, &names) {
                Ok(()) => return Ok(()),
                Err(error) => first = first.or(Some(error)),
            }
        }
        let Some(first) = first else { return Ok(()) };
        match model_file::describe(path) {
            Ok(model) if model.members > 1 => {
                let reason = format!(
                    "{} is a model of {} networks, and one network begins with the weights of one; give a model of --quality fast",
                    path.display(),
                    model.members
                );
                Err(wrong("--init", reason))
            }
            _ => Err(first),
        }
    }
}

/// Without folders, which are private.
impl fmt::Display for FirstWeights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FirstWeights::Rule(init) => init.fmt(f),
            FirstWeights::File(path) => {
                let name = path.file_name().map(|name| name.to_string_lossy());
                f.write_str(&name.unwrap_or_default())
            }
        }
    }
}
