//! `travertine predict`

use serde::Serialize;
use travertine::{Result, Scalar};

use crate::args::device::Precision;
use crate::commands::use_args::UseArgs;
use crate::model::Model;
use crate::output::{Output, shortest};

/// Prints the prediction for every sample.
pub(crate) fn run(args: &UseArgs) -> Result<()> {
    match args.precision()? {
        Precision::F64 => predict::<f64>(args),
        _ => predict::<f32>(args),
    }
}

/// A line of `predict --json`.
#[derive(Serialize)]
#[serde(untagged)]
enum Prediction<'a> {
    Class { class: &'a str, probability: Option<f64> },
    Values { output: Vec<f64> },
}

fn predict<T: Scalar>(args: &UseArgs) -> Result<()> {
    let mut out = Output::new(args.json);
    let model = args.load::<T>()?;
    let data = model.unlabeled(&args.data, &args.table)?;
    for outputs in model.outputs(&data)?.chunks_exact(model.network.outputs()) {
        if out.is_json() {
            out.json_line(&prediction(&model, outputs))?;
        } else {
            out.line(&describe(&model, outputs))?;
        }
        if out.is_closed() {
            break;
        }
    }
    out.flush()
}

fn prediction<'m, T: Scalar>(model: &'m Model<T>, outputs: &[T]) -> Prediction<'m> {
    if model.is_classifier() {
        let (class, probability) = model.class(outputs);
        return Prediction::Class { class: &model.info.classes[class], probability };
    }
    Prediction::Values { output: outputs.iter().map(shortest).collect() }
}

fn describe<T: Scalar>(model: &Model<T>, outputs: &[T]) -> String {
    match prediction(model, outputs) {
        Prediction::Class { class, probability: Some(probability) } => {
            format!("{class}\t{probability:.4}")
        }
        Prediction::Class { class, probability: None } => class.to_owned(),
        Prediction::Values { .. } => {
            outputs.iter().map(T::to_string).collect::<Vec<_>>().join("\t")
        }
    }
}
