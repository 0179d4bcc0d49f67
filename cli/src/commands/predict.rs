//! `travertine predict`

use serde_json::json;
use travertine::{Result, Scalar};

use crate::args::{Precision, UseArgs};
use crate::model::{self, Model};
use crate::output::{Output, number, object};

/// Says what a model thinks of every sample.
pub(crate) fn run(args: &UseArgs) -> Result<()> {
    match model::precision(args)? {
        Precision::F64 => predict::<f64>(args),
        _ => predict::<f32>(args),
    }
}

fn predict<T: Scalar>(args: &UseArgs) -> Result<()> {
    let mut out = Output::new(args.json);
    let model = Model::<T>::open(args)?;
    let data = model.unlabeled(args)?;
    for outputs in model.outputs(&data)?.chunks_exact(model.network.outputs()) {
        let line = if model.is_classifier() {
            class(&model, outputs, &out)
        } else {
            values(outputs, &out)
        };
        out.line(&line)?;
        if out.is_closed() {
            break;
        }
    }
    out.flush()
}

fn class<T: Scalar>(model: &Model<T>, outputs: &[T], out: &Output) -> String {
    let (class, probability) = model.class(outputs);
    let name = &model.info.classes[class];
    match (out.is_json(), probability) {
        (true, _) => object(&[("class", json!(name)), ("probability", json!(probability))]),
        (false, Some(probability)) => format!("{name}\t{probability:.4}"),
        (false, None) => name.clone(),
    }
}

fn values<T: Scalar>(outputs: &[T], out: &Output) -> String {
    if out.is_json() {
        return object(&[("output", outputs.iter().map(number).collect())]);
    }
    outputs.iter().map(T::to_string).collect::<Vec<_>>().join("\t")
}
