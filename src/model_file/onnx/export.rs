//! From a model to an ONNX file.

use std::collections::{HashMap, HashSet};

use prost::Message;
use safetensors::Dtype;

use super::OnnxOptions;
use super::answers::answer;
use super::columns;
use super::layers::layer;
use super::message::{Entry, Model, OperatorSet};
use super::writer::{GraphWriter, ML_DOMAIN, Number};
use crate::activation::Activation;
use crate::data::Encoder;
use crate::error::{Error, Result};
use crate::layer::LayerKind;
use crate::model_file::header::KEY;
use crate::model_file::write::{Parts, metadata};
use crate::model_file::{ModelInfo, PIXELS};
use crate::network::Network;
use crate::scalar::Scalar;

const OPERATION: &str = "to_onnx";
/// The versions of ONNX's operators that files are written for.
const OPSETS: std::ops::RangeInclusive<u32> = 13..=23;
/// The version of [`ML_DOMAIN`], which has LabelEncoder with lists; every opset above goes with it.
const ML_VERSION: i64 = 2;
/// A message of protocol buffers is shorter.
const MOST_BYTES: usize = i32::MAX as usize;
/// What a metadata entry says about the inputs of the graph.
pub(super) const INPUTS_KEY: &str = "travertine.inputs";
pub(super) const COLUMNS: &str = "columns";
pub(super) const FEATURES: &str = "features";

/// The bytes of a file.
pub(in crate::model_file) fn to_bytes<T: Scalar>(
    networks: &[&Network<T>],
    info: &ModelInfo,
    options: &OnnxOptions,
) -> Result<Vec<u8>> {
    if !OPSETS.contains(&options.opset) {
        let (least, most) = (OPSETS.start(), OPSETS.end());
        let reason = format!("the opset must be {least} to {most}, not {}", options.opset);
        return Err(Error::argument(OPERATION, reason));
    }
    let folded = networks.iter().map(|network| network.fold()).collect::<Result<Vec<_>>>()?;
    let pairs = folded.iter().zip(networks);
    let networks: Vec<&Network<T>> =
        pairs.map(|(folded, network)| folded.as_ref().unwrap_or(network)).collect();
    let parts = Parts::of(OPERATION, &networks, info)?;
    let bytes: usize = parts.tensors.iter().map(|(_, bytes)| bytes.len()).sum();
    let too_large = |bytes: usize| {
        let reason = format!(
            "the model has {bytes} bytes; a file holds less than {MOST_BYTES}, as any message of protocol buffers"
        );
        Error::argument(OPERATION, reason)
    };
    if bytes >= MOST_BYTES {
        return Err(too_large(bytes));
    }
    let model = model(&parts, info, options)?;
    match model.encoded_len() {
        bytes if bytes >= MOST_BYTES => Err(too_large(bytes)),
        _ => Ok(model.encode_to_vec()),
    }
}

/// The message of a file.
pub(super) fn model(parts: &Parts, info: &ModelInfo, options: &OnnxOptions) -> Result<Model> {
    let opset = i64::from(options.opset);
    let encoder = info.encoder.as_ref().filter(|_| !options.numbers_only);
    let inputs = match encoder {
        Some(encoder) => encoder.columns().iter().map(|column| column.name.clone()).collect(),
        None => vec![FEATURES.to_owned()],
    };
    let reserved = reserved(parts, &inputs)?;
    let number = if parts.dtype == Dtype::F64 { Number::Double } else { Number::Single };
    let mut graph = GraphWriter::new(number, opset, reserved);
    for ((name, shape), bytes) in &parts.tensors {
        graph.parameter(name, shape, bytes.clone());
    }
    let x = match encoder {
        Some(encoder) => of_columns(&mut graph, encoder, info, &inputs),
        None => of_features(&mut graph, parts, info, options),
    };
    let outputs = networks(&mut graph, parts, &x);
    let (count, last) = match parts.layers.last() {
        Some(last) if last.kind == LayerKind::Parametric => (last.outputs, Activation::Identity),
        Some(last) => (last.outputs, last.activation),
        None => (0, Activation::Identity),
    };
    answer(&mut graph, info, (count, last), options.numbers_only, &outputs);
    let graph = graph.finish();
    let uses_ml = graph.node.iter().any(|node| node.domain == ML_DOMAIN);
    let ml = OperatorSet { domain: ML_DOMAIN.to_owned(), version: Some(ML_VERSION) };
    let own = OperatorSet { domain: String::new(), version: Some(opset) };
    Ok(Model {
        ir_version: Some(ir_version(opset)),
        producer_name: "travertine".to_owned(),
        producer_version: env!("CARGO_PKG_VERSION").to_owned(),
        doc_string: String::new(),
        graph: Some(graph),
        opset_import: [own].into_iter().chain(uses_ml.then_some(ml)).collect(),
        metadata_props: entries(parts, info, encoder.is_some())?,
        functions: Vec::new(),
    })
}

/// The names that no value inside the graph may have.
fn reserved(parts: &Parts, inputs: &[String]) -> Result<HashSet<String>> {
    let mut names: HashSet<String> =
        parts.tensors.iter().map(|((name, _), _)| name.clone()).collect();
    for input in inputs {
        if input.is_empty() || !names.insert(input.clone()) {
            let reason = format!(
                "column '{input}' has the name of a parameter, or none; rename it, or leave out the columns (numbers_only)"
            );
            return Err(Error::argument(OPERATION, reason));
        }
    }
    Ok(names)
}

fn of_columns(
    graph: &mut GraphWriter,
    encoder: &Encoder,
    info: &ModelInfo,
    names: &[String],
) -> String {
    for (column, name) in encoder.columns().iter().zip(names) {
        let (kind, doc) = columns::describe(column);
        graph.input(name, kind, 1, doc);
    }
    columns::encode(graph, encoder, info.standardization.as_ref(), names)
}

/// The one input of a network whose columns are left out, or that has none.
fn of_features(
    graph: &mut GraphWriter,
    parts: &Parts,
    info: &ModelInfo,
    options: &OnnxOptions,
) -> String {
    let inputs = parts.layers.first().map_or(0, |first| first.inputs);
    let kind = graph.number.data_type();
    let doc = match (&info.standardization, options.numbers_only) {
        (Some(_), true) => "the features of a sample, encoded and standardized",
        (None, true) => "the features of a sample, encoded",
        _ => "the features of a sample",
    };
    let pixels = info.pixels().map_or(String::new(), |pixels| format!("; pixels: {pixels}"));
    graph.input(FEATURES, kind, inputs as i64, format!("{doc}{pixels}"));
    let standardization = info.standardization.as_ref().filter(|_| !options.numbers_only);
    if standardization.is_none() {
        return FEATURES.to_owned();
    }
    graph.scope(FEATURES);
    let double = Number::Double.data_type();
    let x = if graph.is_double() { FEATURES.to_owned() } else { graph.cast(FEATURES, double) };
    let x = columns::standardize(graph, standardization, 0..inputs, &x);
    if graph.is_double() { x } else { graph.cast(&x, kind) }
}

/// The outputs of the network, or their mean over the members of an ensemble.
fn networks(graph: &mut GraphWriter, parts: &Parts, x: &str) -> String {
    let mut outputs = Vec::new();
    for member in 0..parts.members {
        let member = if parts.members > 1 { format!("members.{member}.") } else { String::new() };
        let mut value = x.to_owned();
        for (number, description) in parts.layers.iter().enumerate() {
            value = layer(graph, description, &format!("{member}layers.{number}"), &value);
        }
        outputs.push(value);
    }
    if let [one] = &outputs[..] {
        return one.clone();
    }
    graph.scope("members");
    let all: Vec<&str> = outputs.iter().map(String::as_str).collect();
    let sum = graph.apply("Sum", &all, Vec::new());
    let count = graph.scalar(parts.members as f64);
    graph.div(&sum, &count)
}

/// The metadata: for programs that read the file, names as JSON; for this library, all of a model file's.
fn entries(parts: &Parts, info: &ModelInfo, has_columns: bool) -> Result<Vec<Entry>> {
    let json = |names: &[String]| {
        serde_json::to_string(names).map_err(|error| Error::argument(OPERATION, error.to_string()))
    };
    let own: HashMap<String, String> = metadata(&parts.layers, parts.members, info)?;
    let own = own.get(KEY).cloned().unwrap_or_default();
    let features = match &info.encoder {
        Some(encoder) if info.features.is_empty() => encoder.feature_names(),
        _ => info.features.clone(),
    };
    let mut entries = Vec::new();
    if !info.classes.is_empty() {
        entries.push(("classes", json(&info.classes)?));
    }
    if !features.is_empty() {
        entries.push(("features", json(&features)?));
    }
    if let Some(target) = &info.target {
        entries.push(("target", target.clone()));
    }
    if let Some(pixels) = info.pixels() {
        entries.push((PIXELS, pixels.to_owned()));
    }
    entries.push((KEY, own));
    entries.push((INPUTS_KEY, if has_columns { COLUMNS } else { FEATURES }.to_owned()));
    Ok(entries.into_iter().map(|(key, value)| Entry { key: key.to_owned(), value }).collect())
}

/// The version of the file's format that came with an opset.
fn ir_version(opset: i64) -> i64 {
    match opset {
        ..=14 => 7,
        15..=18 => 8,
        19..=20 => 9,
        21..=22 => 10,
        _ => 11,
    }
}
