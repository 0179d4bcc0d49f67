//! `travertine inspect`

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;
use serde_json::Value;
use travertine::Result;
use travertine::data::{Coding, Encoder, Schema, Table, TableOptions, Task};
use travertine::model_file::{self, Description, ModelInfo};

use crate::args::table::TableArgs;
use crate::args::values::task;
use crate::input::refuse_standard_input;
use crate::input::table::name_words_of_classes;
use crate::message::{counted, wrong};
use crate::output::text::table;
use crate::output::{Output, file};

/// Names that a list shows; more are counted.
const MOST_NAMES: usize = 20;

/// `inspect`
#[derive(Args, Debug)]
pub(crate) struct InspectArgs {
    /// Model file, an ONNX file, or a file with a table
    file: PathBuf,
    #[command(flatten)]
    table: TableArgs,
    /// Whether the label of a table is classes or values [default: detected]
    #[arg(long, value_parser = task, value_name = "classes|values")]
    task: Option<Task>,
    /// A JSON line instead of text
    #[arg(long)]
    json: bool,
}

/// Prints what a model file holds, or how a table is read.
pub(crate) fn run(args: &InspectArgs) -> Result<()> {
    if !is_model(&args.file) {
        return inspect_table(args);
    }
    if let Some(option) = args.table.first_given().or(args.task.map(|_| "--task")) {
        return Err(wrong(option, "is for tables, not for a model"));
    }
    let mut out = Output::new(args.json);
    let description = model_file::describe(&args.file)?;
    out.print(&ModelLine::new(&description), &describe(&description).join("\n"))
}

/// Whether a file is named as a model, or begins as one: with the length of a header and its first brace.
fn is_model(path: &Path) -> bool {
    const LENGTH_BYTES: usize = 8;
    let mut start = [0; LENGTH_BYTES + 1];
    // A pipe is not opened, as it may wait for ever.
    let is_file = path.metadata().is_ok_and(|file| file.is_file());
    let begins_as_model = is_file
        && File::open(path).and_then(|mut file| file.read_exact(&mut start)).is_ok()
        && start[LENGTH_BYTES] == b'{'
        && start[LENGTH_BYTES - 1] == 0;
    let is_named =
        |end: &OsStr| end.eq_ignore_ascii_case("safetensors") || end.eq_ignore_ascii_case("onnx");
    begins_as_model || path.extension().is_some_and(is_named)
}

/// The line of `inspect DATA --json`.
#[derive(Serialize)]
struct TableLine<'a> {
    task: &'static str,
    rows: usize,
    rows_without_label: usize,
    empty_rows: usize,
    #[serde(flatten)]
    schema: &'a Schema,
}

/// Reads a table as `train` would, prints how, and writes the schema to `--schema`.
fn inspect_table(args: &InspectArgs) -> Result<()> {
    if let Some(path) = &args.table.schema {
        file::check_is_not("--schema", path, std::slice::from_ref(&args.file))?;
    }
    // As `train` without options does, which embeds them.
    let options = TableOptions { many_categories: true, ..args.table.options(args.task)? };
    refuse_standard_input(&args.file)?;
    let table = Table::open(&args.file, &options)?;
    let frame = table.read()?;
    let schema = table.schema();
    let line = TableLine {
        task: "inspect",
        rows: frame.samples() + frame.unlabeled(),
        rows_without_label: frame.unlabeled(),
        empty_rows: table.empty_rows(),
        schema,
    };
    let mut notes = vec![counted(line.rows, "row", "rows")];
    if line.rows_without_label > 0 {
        notes.push(format!("{} without a label left out", line.rows_without_label));
    }
    if line.empty_rows > 0 {
        notes.push(format!("{} of empty fields left out", counted(line.empty_rows, "row", "rows")));
    }
    Output::new(args.json).print(&line, &format!("{}, {schema}", notes.join(", ")))?;
    name_words_of_classes(schema);
    let Some(path) = &args.table.schema else { return Ok(()) };
    let text = toml::to_string(schema).map_err(|error| wrong("--schema", error.to_string()))?;
    file::check("--schema", path, 0)?;
    file::write_whole(path, text.as_bytes())
}

/// The line of `inspect --json`.
#[derive(Serialize)]
struct ModelLine<'a> {
    task: &'static str,
    layers: Vec<LayerLine>,
    members: usize,
    precision: &'a str,
    parameters: usize,
    bytes: u64,
    loss: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    quantiles: Option<Vec<f64>>,
    classes: &'a [String],
    features: &'a [String],
    target: Option<&'a str>,
    /// As a value, whose keys are sorted.
    columns: Option<Value>,
    standardization: Option<StandardizationLine<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    schema: Option<&'a Schema>,
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
    #[serde(skip_serializing_if = "Option::is_none")]
    bound: Option<f64>,
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
            members: description.members,
            precision: description.precision,
            parameters: description.parameters,
            bytes: description.bytes,
            loss: info.loss.to_string(),
            quantiles: info.loss.quantiles().map(|quantiles| quantiles.levels().to_vec()),
            classes: &info.classes,
            features: &info.features,
            target: info.target.as_deref(),
            columns,
            standardization: standardization.map(|s| StandardizationLine {
                bound: s.bound,
                deviation: &s.deviation,
                mean: &s.mean,
            }),
            schema: info.schema.as_ref(),
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
    let members = match description.members {
        1 => String::new(),
        members => format!("the mean of {members} such networks, "),
    };
    let precision = description.precision;
    lines.push(format!("{members}{parameters} parameters, {precision}, {bytes} bytes"));
    lines.extend(metadata(&description.info));
    lines
}

fn metadata(info: &ModelInfo) -> Vec<String> {
    let mut lines = vec![format!("loss: {}", info.loss)];
    if let Some(quantiles) = info.loss.quantiles() {
        lines.push(format!("predicts the quantiles: {quantiles}"));
    }
    if !info.classes.is_empty() {
        lines.push(format!("classes: {}", listed(&info.classes)));
    }
    if !info.features.is_empty() {
        lines.push(format!("features: {}", listed(&info.features)));
    }
    for column in info.encoder.iter().flat_map(Encoder::columns) {
        let values = match &column.coding {
            Coding::Mean(mean) => format!("a number; {mean} where it is missing"),
            Coding::Bins { mean, edges } => {
                let bins = edges.len() - 1;
                format!("a number, in {bins} bins; {mean} where it is missing")
            }
            Coding::Categories(texts) => format!("one of {}", listed(texts)),
            Coding::Codes(texts) => format!("one of {}, embedded", listed(texts)),
            Coding::Date { cycles, .. } => format!("a date, with {} cycles", cycles.len()),
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
