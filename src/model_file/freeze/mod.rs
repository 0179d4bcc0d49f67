//! Models as source code: one file of C99 or Rust without dependencies, for programs and devices that this library does not run on.
//!
//! Both languages come from one walk over the model. [`SourceWriter`](writer::SourceWriter) knows how each of them says "function", "loop" and "constant"; what
//! stands inside, arithmetic on arrays, is the same text in both.

mod activations;
mod answers;
mod columns;
mod layers;
mod names;
mod samples;
mod self_test;
mod writer;

use self::columns::Input;
use self::names::Names;
use self::writer::{Kind, SourceWriter};
use super::{LayerDescription, ModelInfo, write};
use crate::error::{Error, Result};
use crate::layer::LayerKind;
use crate::network::Network;
use crate::scalar::Scalar;

pub(crate) use self::samples::{RawSamples, SELF_TESTS, raw_samples};

const OPERATION: &str = "to_source";

/// A language that [`Model::to_source`](crate::Model::to_source) writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Language {
    /// C99, with `math.h` of the C library alone.
    C,
    /// Rust of the edition 2021 or later, with `core` alone and without unsafe code.
    Rust,
}

/// The answers of a model for the samples of [`raw_samples`], one sample after the other.
pub(crate) struct SelfTest {
    pub(crate) answers: Vec<f64>,
}

/// The text of the file. `name`: prefix of all names in C, and the model's name in comments.
pub(crate) fn to_source<T: Scalar>(
    networks: &[&Network<T>],
    info: &ModelInfo,
    (language, name): (Language, &str),
    test: &SelfTest,
) -> Result<String> {
    let folded = networks.iter().map(|network| network.fold()).collect::<Result<Vec<_>>>()?;
    let pairs = folded.iter().zip(networks);
    let networks: Vec<&Network<T>> =
        pairs.map(|(folded, network)| folded.as_ref().unwrap_or(network)).collect();
    // Refuses what a model file would not hold, such as weights that are not finite.
    let layers = write::Parts::of(OPERATION, &networks, info)?.layers;
    let mut names = Names::new(language, name)
        .ok_or_else(|| Error::argument(OPERATION, names::refusal(name)))?;
    keep_own(&mut names, &layers, networks.len());
    let number = if size_of::<T>() == size_of::<f32>() { Kind::Single } else { Kind::Double };
    let input = Input::of(info, &layers, number, &mut names);
    let answer = answers::Answer::of(info, &layers, number);
    let mut writer = SourceWriter::new(language, number, names.prefix().to_owned());
    input.declare(&mut writer);
    answer.declare(&mut writer);
    activations::declare(&mut writer, &layers, &input, &answer);
    input.encoder(&mut writer);
    for (member, network) in networks.iter().enumerate() {
        for (number, layer) in network.layers().iter().enumerate() {
            let function = layer_name((member, networks.len()), number);
            layers::declare(&mut writer, &layers[number], &**layer, &function)?;
        }
    }
    predict(&mut writer, &layers, networks.len(), (&input, &answer));
    self_test::declare(&mut writer, (&input, &answer), test);
    let bytes = Bytes {
        constants: writer.constant_bytes(),
        buffers: buffers(&layers, networks.len(), number),
    };
    Ok(writer.finish(&head(info, (&input, &answer), &layers, &bytes, (language, name))))
}

/// Keeps the names that the file has for itself.
fn keep_own(names: &mut Names, layers: &[LayerDescription], members: usize) {
    let own = ["predict", "class", "self_test", "row", "same", "bounded", "sin_turns", "cos_turns"];
    own.iter().chain(&["declarations_only"]).for_each(|name| names.keep(name));
    layers.iter().for_each(|layer| names.keep(&activations::name(layer.activation)));
    for member in 0..members {
        for number in 0..layers.len() {
            let layer = layer_name((member, members), number);
            layers::TABLES.iter().for_each(|table| names.keep(&format!("{layer}_{table}")));
            names.keep(&layer);
        }
    }
}

fn layer_name((member, members): (usize, usize), number: usize) -> String {
    match members {
        1 => format!("layer_{number}"),
        _ => format!("network_{member}_layer_{number}"),
    }
}

/// The widest vector between layers.
fn width(layers: &[LayerDescription]) -> usize {
    layers.iter().map(|layer| layer.inputs.max(layer.outputs)).max().unwrap_or(0)
}

/// Bytes of what [`predict`] keeps on the stack.
fn buffers(layers: &[LayerDescription], members: usize, number: Kind) -> usize {
    let ensemble =
        if members > 1 { layers[0].inputs + layers[layers.len() - 1].outputs } else { 0 };
    (2 * width(layers) + ensemble) * number.bytes()
}

/// Bytes of a frozen model.
struct Bytes {
    constants: usize,
    buffers: usize,
}

/// The function that predicts.
fn predict(
    writer: &mut SourceWriter,
    layers: &[LayerDescription],
    members: usize,
    (input, answer): (&Input, &answers::Answer),
) {
    let (number, outputs) = (writer.number, layers[layers.len() - 1].outputs);
    writer.comment(&["The answers for one sample; see the head of this file."]);
    writer.public_function("predict", &input.parameter(writer), Some((answer.kind, answer.width)));
    writer.zeros("a", number, width(layers));
    writer.zeros("b", number, width(layers));
    input.encode(writer, if members > 1 { "x" } else { "a" }, layers[0].inputs);
    if members > 1 {
        writer.zeros("sums", number, outputs);
    }
    for member in 0..members {
        if members > 1 {
            writer.for_each("i", layers[0].inputs, &["a[i] = x[i];"]);
        }
        let (mut from, mut to) = ("a", "b");
        for layer in 0..layers.len() {
            writer.call(&layer_name((member, members), layer), from, to);
            (from, to) = (to, from);
        }
        if members > 1 {
            writer.for_each("i", outputs, &[&format!("sums[i] += {from}[i];")]);
        }
    }
    let last = if layers.len().is_multiple_of(2) { "a" } else { "b" };
    let last = match members {
        1 => last,
        _ => {
            let share = writer.literal(number, members as f64);
            writer.for_each("i", outputs, &[&format!("sums[i] = sums[i] / {share};")]);
            "sums"
        }
    };
    answer.compute(writer, last, outputs);
    writer.end_function(Some("answers"));
    answer.class_function(writer);
}

/// What the file says about itself.
fn head(
    info: &ModelInfo,
    (input, answer): (&Input, &answers::Answer),
    layers: &[LayerDescription],
    bytes: &Bytes,
    (language, name): (Language, &str),
) -> Vec<String> {
    let version = env!("CARGO_PKG_VERSION");
    let mut lines = vec![
        format!(
            "{name}: a trained network, written by travertine {version}. Do not edit; export it again."
        ),
        String::new(),
    ];
    lines.extend(input.describe());
    lines.extend(answer.describe(info));
    lines.push(String::new());
    let described = layers.iter().map(|layer| {
        let LayerDescription { kind, inputs, outputs, activation, .. } = layer;
        match kind {
            LayerKind::Dense => format!("{inputs} -> {outputs} {activation}"),
            _ => format!("{kind} {inputs} -> {outputs} {activation}"),
        }
    });
    lines.push(format!("Layers: {}", described.collect::<Vec<_>>().join(", ")));
    lines.push(format!(
        "Bytes: {} of constants; {} of the stack for values between layers",
        bytes.constants, bytes.buffers
    ));
    lines.push(String::new());
    lines.extend(writer::usage(language, name));
    lines
}
