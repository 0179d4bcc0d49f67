//! `travertine predict`

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::Value;
use travertine::data::{RowReader, TableOptions};
use travertine::{Error, ErrorKind, Model, Predictor, Result, Scalar};

use crate::args::device::Precision;
use crate::args::source::Source;
use crate::commands::json::{self, Unseen};
use crate::commands::use_args::UseArgs;
use crate::input::{ModelInput, STANDARD_INPUT, warn_of};
use crate::message::wrong;
use crate::output::file;
use crate::output::predictions::{PredictionOutput, Target};

/// `predict`
#[derive(Args, Debug)]
pub(crate) struct PredictArgs {
    #[command(flatten)]
    model_and_data: UseArgs,
    /// DATA has a JSON object a line (DATA may be - for standard input, which is answered row by row, as CSV or as JSON lines)
    #[arg(long)]
    jsonl: bool,
    /// The probabilities of all classes
    #[arg(long)]
    probabilities: bool,
    /// Carry a column of the table along: name or number from 1
    #[arg(long, value_name = "COLUMN")]
    id: Option<String>,
    /// Write a CSV file, or a Parquet file by that ending, instead of standard output
    #[arg(long, value_name = "FILE", conflicts_with = "json")]
    out: Option<PathBuf>,
}

/// Prints the prediction for every sample.
pub(crate) fn run(args: &PredictArgs) -> Result<()> {
    match args.model_and_data.precision()? {
        Precision::F64 => predict::<f64>(args),
        _ => predict::<f32>(args),
    }
}

impl PredictArgs {
    /// Refuses `--jsonl` for other data, and options for other tables beside it.
    fn check_json_lines(&self) -> Result<()> {
        let UseArgs { data, dialect, .. } = &self.model_and_data;
        match dialect.first_given() {
            _ if !self.jsonl => Ok(()),
            _ if !data.is_table() => Err(wrong(
                "--jsonl",
                format!("is for files of JSON lines, not for {}", data.name()),
            )),
            Some(option) => Err(wrong(option, "has no effect on JSON lines")),
            None => Ok(()),
        }
    }
}

fn predict<T: Scalar>(args: &PredictArgs) -> Result<()> {
    let PredictArgs { model_and_data, jsonl, probabilities, id, out } = args;
    args.check_json_lines()?;
    let model = model_and_data.load::<T>()?;
    if *probabilities && !model.gives_probabilities() {
        return Err(wrong("--probabilities", "is for models of classes that give probabilities"));
    }
    let target = match out {
        Some(path) => {
            let inputs = [PathBuf::from(model_and_data.data.name()), model_and_data.model.clone()];
            file::check_is_not("--out", path, &inputs)?;
            if model_and_data.data.name() == STANDARD_INPUT {
                file::check_is_not_standard_input("--out", path)?;
            }
            Target::File(path)
        }
        None if model_and_data.json => Target::JsonLines,
        None => Target::Text,
    };
    let mut output = PredictionOutput::new(&model, target, *probabilities, id.as_deref())?;
    let options = TableOptions { id: id.clone(), ..model_and_data.dialect.options() };
    match &model_and_data.data {
        Source::Table(path) if *jsonl => {
            json_lines(&model, (path, id.as_deref()), &mut output)?;
        }
        Source::Table(path) if path.as_os_str() == STANDARD_INPUT => {
            rows(&model, &options, &mut output)?;
        }
        source if id.is_some() && !source.is_table() => {
            return Err(wrong("--id", format!("is for tables, not for {}", source.name())));
        }
        source => whole(&model, source, &options, &mut output)?,
    }
    output.finish()
}

/// Predicts all samples of a file.
fn whole<T: Scalar>(
    model: &Model<T>,
    source: &Source,
    options: &TableOptions,
    output: &mut PredictionOutput<'_>,
) -> Result<()> {
    let (predictions, ids) = match ModelInput::read(model, source, options, false)? {
        ModelInput::Table(table) => {
            (model.predict_table(&table)?, table.ids().map(<[String]>::to_vec))
        }
        ModelInput::Samples(data) => (model.predict(&data)?, None),
    };
    for (i, prediction) in predictions.iter().enumerate() {
        output.write(&prediction, ids.as_ref().map(|ids| &*ids[i]))?;
        if output.is_closed() {
            break;
        }
    }
    Ok(())
}

/// Predicts the rows of standard input as they come.
fn rows<T: Scalar>(
    model: &Model<T>,
    options: &TableOptions,
    output: &mut PredictionOutput<'_>,
) -> Result<()> {
    let mut rows = RowReader::new("standard input", io::stdin(), model.schema(), options)?;
    let mut warned = Vec::new();
    while let Some(frame) = rows.next_rows()? {
        let table = model.encode_frame(&frame)?;
        let mut warnings = table.warnings();
        warnings.retain(|warning| !warned.contains(warning));
        warn_of(&warnings);
        warned.extend(warnings);
        let predictions = model.predict_table(&table)?;
        for (i, prediction) in predictions.iter().enumerate() {
            output.write(&prediction, table.ids().map(|ids| &*ids[i]))?;
        }
        output.flush()?;
        if output.is_closed() {
            break;
        }
    }
    Ok(())
}

/// Predicts a JSON object a line, each as it comes.
fn json_lines<T: Scalar>(
    model: &Model<T>,
    (path, id): (&Path, Option<&str>),
    output: &mut PredictionOutput<'_>,
) -> Result<()> {
    let is_standard = path.as_os_str() == STANDARD_INPUT;
    let name = if is_standard { "standard input".to_owned() } else { path.display().to_string() };
    let io = |source| ErrorKind::Io { action: "read", path: path.to_owned(), source };
    let input: Box<dyn Read> =
        if is_standard { Box::new(io::stdin()) } else { Box::new(File::open(path).map_err(io)?) };
    let mut predictor = model.predictor(1)?;
    predictor.accept_unknown_categories(true);
    let mut unseen = Unseen::new(model.schema());
    for (number, line) in (1..).zip(BufReader::new(input).lines()) {
        let line = line.map_err(io)?;
        if line.trim().is_empty() {
            continue;
        }
        let place = (&*name, number);
        let record =
            json::record(&line).map_err(|(expected, found)| in_line(place, expected, found))?;
        let text = id.map(|id| id_of(&record, id, place)).transpose()?;
        predict_record(&mut predictor, &record, (place, text.as_deref()), output)?;
        unseen.add(&predictor, &record);
        if output.is_closed() {
            break;
        }
    }
    warn_of(&unseen.warnings(&predictor));
    Ok(())
}

fn predict_record<T: Scalar>(
    predictor: &mut Predictor<T>,
    record: &Value,
    (place, id): ((&str, usize), Option<&str>),
    output: &mut PredictionOutput<'_>,
) -> Result<()> {
    let prediction = predictor.predict_record(record);
    let prediction = prediction.map_err(|error| match error.kind() {
        ErrorKind::Format { place: column, expected, found, .. } => ErrorKind::Format {
            file: place.0.to_owned(),
            place: format!("line {}, {column}", place.1),
            expected: expected.clone(),
            found: found.clone(),
        }
        .into(),
        _ => error,
    })?;
    output.write(&prediction, id)?;
    output.flush()
}

fn id_of(record: &Value, id: &str, place: (&str, usize)) -> Result<String> {
    match record.get(id) {
        Some(Value::String(text)) => Ok(text.clone()),
        Some(value) => Ok(value.to_string()),
        None => Err(in_line(place, format!("a field '{id}' to carry along"), "none")),
    }
}

fn in_line(
    (file, line): (&str, usize),
    expected: impl Into<String>,
    found: impl Into<String>,
) -> Error {
    let (expected, found) = (expected.into(), found.into());
    ErrorKind::Format { file: file.to_owned(), place: format!("line {line}"), expected, found }
        .into()
}
