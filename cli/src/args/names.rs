//! Names and sizes of layers, losses and activations.

use std::fmt;
use std::str::FromStr;

use travertine::{Activation, Loss, Result};

use crate::message::wrong;

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

/// As [`Hidden::from_str`] reads it.
impl fmt::Display for Hidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sizes: Vec<String> = self.0.iter().map(usize::to_string).collect();
        f.write_str(if sizes.is_empty() { "none" } else { "" })?;
        f.write_str(&sizes.join(","))
    }
}

/// The normalization between a hidden layer and its activation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Normalization {
    None,
    Batch,
    Layer,
}

impl fmt::Display for Normalization {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Normalization::None => "none",
            Normalization::Batch => "batch",
            Normalization::Layer => "layer",
        })
    }
}

impl FromStr for Normalization {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.trim() {
            "none" => Ok(Normalization::None),
            "batch" => Ok(Normalization::Batch),
            "layer" => Ok(Normalization::Layer),
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

/// The loss of this name after this output layer: "cross-entropy" is one of two losses.
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
