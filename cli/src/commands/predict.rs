//! `travertine predict`

use serde::Serialize;
use travertine::{Prediction, Result, Scalar};

use crate::args::device::Precision;
use crate::commands::use_args::UseArgs;
use crate::input::unlabeled;
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
enum Line<'a> {
    Class { class: &'a str, probability: Option<f64> },
    Values { output: Vec<f64> },
}

fn predict<T: Scalar>(args: &UseArgs) -> Result<()> {
    let mut out = Output::new(args.json);
    let model = args.load::<T>()?;
    let data = unlabeled(&model, &args.data, &args.table)?;
    for prediction in model.predict(&data)?.iter() {
        if out.is_json() {
            out.json_line(&json(&prediction))?;
        } else {
            out.line(&describe(&prediction))?;
        }
        if out.is_closed() {
            break;
        }
    }
    out.flush()
}

fn json<'p, T: Scalar>(prediction: &Prediction<'p, T>) -> Line<'p> {
    match prediction.class() {
        Some(class) => Line::Class { class, probability: prediction.probability() },
        None => Line::Values { output: prediction.outputs().iter().map(shortest).collect() },
    }
}

fn describe<T: Scalar>(prediction: &Prediction<'_, T>) -> String {
    match (prediction.class(), prediction.probability()) {
        (Some(class), Some(probability)) => format!("{class}\t{probability:.4}"),
        (Some(class), None) => class.to_owned(),
        (None, _) => prediction.outputs().iter().map(T::to_string).collect::<Vec<_>>().join("\t"),
    }
}
