//! Words of the command line and what they mean: sizes, losses, activations.

use std::fmt;
use std::str::FromStr;

use travertine::{Activation, ErrorKind, Loss, Result};

/// Sizes of hidden layers, as `300,100` or `none`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Hidden(pub(crate) Vec<usize>);

impl FromStr for Hidden {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.trim() {
            "" | "none" => Ok(Hidden(Vec::new())),
            sizes => sizes.split(',').map(size).collect::<Result<_, _>>().map(Hidden),
        }
    }
}

/// What stands between a hidden layer and its activation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Norm {
    None,
    Batch,
    Layer,
}

impl fmt::Display for Norm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Norm::None => "none",
            Norm::Batch => "batch",
            Norm::Layer => "layer",
        })
    }
}

impl FromStr for Norm {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.trim() {
            "none" => Ok(Norm::None),
            "batch" => Ok(Norm::Batch),
            "layer" => Ok(Norm::Layer),
            other => Err(format!("expected none, batch or layer, found '{other}'")),
        }
    }
}

fn size(text: &str) -> Result<usize, String> {
    match text.trim().parse() {
        Ok(0) => Err("a layer of size 0; layers have at least one neuron".to_owned()),
        Ok(size) => Ok(size),
        Err(_) => Err(format!("expected sizes of layers, found '{text}'")),
    }
}

/// Sizes of all layers, as `784-300-100-10`.
pub(crate) fn sizes(text: &str) -> Result<Vec<usize>> {
    let sizes: Vec<usize> = text
        .split('-')
        .map(size)
        .collect::<Result<_, _>>()
        .map_err(|reason| wrong("--network", reason))?;
    if sizes.len() < 2 {
        return Err(wrong(
            "--network",
            format!("expected inputs and at least one layer, as 784-10, found '{text}'"),
        ));
    }
    Ok(sizes)
}

/// A comma-separated list of activations.
pub(crate) fn activations(text: &str) -> Result<Vec<Activation>> {
    text.split(',').map(|name| name.trim().parse()).collect()
}

/// The loss that a word means behind an output layer: "cross-entropy" is one of two.
pub(crate) fn loss(text: &str, output: Activation) -> Result<Loss> {
    match (text, output) {
        ("cross-entropy", Activation::Sigmoid) => Ok(Loss::BinaryCrossEntropy),
        ("cross-entropy", _) => Ok(Loss::SoftmaxCrossEntropy),
        ("mean-absolute", _) => Ok(Loss::MeanAbsolute),
        ("quadratic", _) => Ok(Loss::Quadratic),
        (huber, _) if huber.starts_with("huber") => huber.parse(),
        (name, _) => Err(wrong(
            "--loss",
            format!("'{name}' is none of cross-entropy, quadratic, mean-absolute, huber, huber(D)"),
        )),
    }
}

/// Bad usage: exit status 2.
pub(crate) fn wrong(option: &'static str, reason: impl Into<String>) -> travertine::Error {
    ErrorKind::Argument { operation: option, reason: reason.into() }.into()
}

/// "1 class", "10 classes"
pub(crate) fn counted(count: usize, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}
