//! `travertine inspect`

use serde_json::{Value, json};
use travertine::Result;
use travertine::data::{Coding, Encoder};
use travertine::model_file::{self, Description, ModelInfo};

use crate::args::InspectArgs;
use crate::output::{Output, table};

/// More names than this are cut.
const MOST_NAMES: usize = 20;

/// Tells what a model file holds.
pub(crate) fn run(args: &InspectArgs) -> Result<()> {
    let mut out = Output::new(args.json);
    let description = model_file::describe(&args.model)?;
    out.tell(&json(&description), &people(&description).join("\n"))
}

fn json(description: &Description) -> Vec<(&'static str, Value)> {
    let info = &description.info;
    let layers: Vec<Value> = description
        .layers
        .iter()
        .map(|layer| {
            let activation = layer.activation.to_string();
            let kind = layer.kind.name();
            json!({"kind": kind, "inputs": layer.inputs, "outputs": layer.outputs, "activation": activation})
        })
        .collect();
    let training: serde_json::Map<String, Value> =
        info.training.iter().map(|(key, value)| (key.clone(), json!(value))).collect();
    let standardization = info.standardization.as_ref();
    vec![
        ("task", json!("inspect")),
        ("layers", json!(layers)),
        ("precision", json!(description.precision)),
        ("parameters", json!(description.parameters)),
        ("bytes", json!(description.bytes)),
        ("loss", json!(info.loss.to_string())),
        ("classes", json!(info.classes)),
        ("features", json!(info.features)),
        ("target", json!(info.target)),
        ("columns", json!(info.encoder)),
        (
            "standardization",
            json!(standardization.map(|s| json!({"mean": s.mean, "deviation": s.deviation}))),
        ),
        ("training", json!(training)),
    ]
}

fn people(description: &Description) -> Vec<String> {
    let mut rows = vec![
        ["layer", "kind", "inputs", "outputs", "activation", "parameters"]
            .map(str::to_owned)
            .to_vec(),
    ];
    for (i, layer) in description.layers.iter().enumerate() {
        let parameters = layer.parameters();
        let (activation, numbers) = (layer.activation.to_string(), [layer.inputs, layer.outputs]);
        let [inputs, outputs] = numbers.map(|number| number.to_string());
        rows.push(vec![
            i.to_string(),
            layer.kind.to_string(),
            inputs,
            outputs,
            activation,
            parameters.to_string(),
        ]);
    }
    let mut lines = table(&rows);
    let (parameters, bytes) = (description.parameters, description.bytes);
    lines.push(format!("{parameters} parameters, {}, {bytes} bytes", description.precision));
    lines.extend(facts(&description.info));
    lines
}

fn facts(info: &ModelInfo) -> Vec<String> {
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
