//! `travertine inspect`

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::Args;
use serde::Serialize;
use serde_json::Value;
use travertine::Result;
use travertine::data::{Coding, Encoder};
use travertine::model_file::{self, Description, ModelInfo};

use crate::output::Output;
use crate::output::text::table;

/// Names that a list shows; more are counted.
const MOST_NAMES: usize = 20;

/// `inspect`
#[derive(Args, Debug)]
pub(crate) struct InspectArgs {
    /// Model file
    model: PathBuf,
    /// A JSON line instead of text
    #[arg(long)]
    json: bool,
}

/// Prints what a model file holds.
pub(crate) fn run(args: &InspectArgs) -> Result<()> {
    let mut out = Output::new(args.json);
    let description = model_file::describe(&args.model)?;
    out.print(&ModelLine::new(&description), &describe(&description).join("\n"))
}

/// The line of `inspect --json`.
#[derive(Serialize)]
struct ModelLine<'a> {
    task: &'static str,
    layers: Vec<LayerLine>,
    precision: &'a str,
    parameters: usize,
    bytes: u64,
    loss: String,
    classes: &'a [String],
    features: &'a [String],
    target: Option<&'a str>,
    /// As a value, whose keys are sorted.
    columns: Option<Value>,
    standardization: Option<StandardizationLine<'a>>,
    training: BTreeMap<&'a str, &'a str>,
}

#[derive(Serialize)]
struct LayerLine {
    activation: String,
    inputs: usize,
    kind: &'static str,
    outputs: usize,
}

#[derive(Serialize)]
struct StandardizationLine<'a> {
    deviation: &'a [f64],
    mean: &'a [f64],
}

impl<'a> ModelLine<'a> {
    fn new(description: &'a Description) -> Self {
        let info = &description.info;
        let layers = description.layers.iter().map(|layer| LayerLine {
            activation: layer.activation.to_string(),
            inputs: layer.inputs,
            kind: layer.kind.name(),
            outputs: layer.outputs,
        });
        let columns = info.encoder.as_ref().and_then(|encoder| serde_json::to_value(encoder).ok());
        let standardization = info.standardization.as_ref();
        ModelLine {
            task: "inspect",
            layers: layers.collect(),
            precision: description.precision,
            parameters: description.parameters,
            bytes: description.bytes,
            loss: info.loss.to_string(),
            classes: &info.classes,
            features: &info.features,
            target: info.target.as_deref(),
            columns,
            standardization: standardization
                .map(|s| StandardizationLine { deviation: &s.deviation, mean: &s.mean }),
            training: info.training.iter().map(|(key, value)| (&**key, &**value)).collect(),
        }
    }
}

fn describe(description: &Description) -> Vec<String> {
    let mut rows = vec![
        ["layer", "kind", "inputs", "outputs", "activation", "parameters"]
            .map(str::to_owned)
            .to_vec(),
    ];
    rows.extend(description.layers.iter().enumerate().map(|(i, layer)| {
        let numbers = [layer.inputs, layer.outputs, layer.parameters()].map(|n| n.to_string());
        let [inputs, outputs, parameters] = numbers;
        let activation = layer.activation.to_string();
        vec![i.to_string(), layer.kind.to_string(), inputs, outputs, activation, parameters]
    }));
    let mut lines = table(&rows);
    let (parameters, bytes) = (description.parameters, description.bytes);
    lines.push(format!("{parameters} parameters, {}, {bytes} bytes", description.precision));
    lines.extend(metadata(&description.info));
    lines
}

fn metadata(info: &ModelInfo) -> Vec<String> {
    let mut lines = vec![format!("loss: {}", info.loss)];
    if !info.classes.is_empty() {
        lines.push(format!("classes: {}", listed(&info.classes)));
    }
    if !info.features.is_empty() {
        lines.push(format!("features: {}", listed(&info.features)));
    }
    for column in info.encoder.iter().flat_map(Encoder::columns) {
        let values = match &column.coding {
            Coding::Mean(mean) => format!("a number; {mean} where it is missing"),
            Coding::Categories(texts) => format!("one of {}", listed(texts)),
        };
        lines.push(format!("column {}: {values}", column.name));
    }
    if let Some(target) = &info.target {
        lines.push(format!("target: {target}"));
    }
    if let Some(standardization) = &info.standardization {
        lines.push(format!("standardization: of {} features", standardization.mean.len()));
    }
    lines.extend(info.training.iter().map(|(key, value)| format!("{key}: {value}")));
    lines
}

fn listed(names: &[String]) -> String {
    let shown = names.iter().take(MOST_NAMES).cloned().collect::<Vec<_>>().join(", ");
    match names.len() {
        count if count > MOST_NAMES => format!("{shown} and {} more", count - MOST_NAMES),
        _ => shown,
    }
}
