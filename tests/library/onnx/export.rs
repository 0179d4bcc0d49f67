//! Networks of every kind of layer and every activation, as ONNX Runtime computes them.

use std::fs;

use serde_json::{Value, json};
use travertine::data::{Dataset, Targets};
use travertine::model_file::OnnxOptions;
use travertine::{Scalar, engine};

use super::{python, run};
use crate::networks::{Case, INPUTS, SAMPLES, features, networks};
use crate::tables::folder::Folder;

fn rows<T: Copy>(values: &[T], columns: usize) -> Vec<Vec<T>> {
    values.chunks_exact(columns).map(<[T]>::to_vec).collect()
}

/// What the library predicts, as `check.py` takes it.
fn case<T: Scalar>((name, _, model): &Case<T>) -> Value {
    let of_t: Vec<T> = features(model).iter().map(|x| T::from_f64(*x)).collect();
    let inputs = T::to_f64s(&of_t);
    let predictions = model.predict(&Dataset::new(INPUTS, of_t, Targets::None).unwrap()).unwrap();
    let each = |of: &dyn Fn(usize) -> Vec<f64>| (0..SAMPLES).map(of).collect::<Vec<_>>();
    let outputs = if model.classes().is_empty() {
        json!({"values": each(&|i| predictions.get(i).unwrap().values().to_vec())})
    } else {
        let scores = each(&|i| predictions.get(i).unwrap().scores().to_vec());
        let labels: Vec<&str> = predictions.iter().map(|one| one.class().unwrap()).collect();
        let name = if model.gives_probabilities() { "probabilities" } else { "scores" };
        json!({"label": labels, name: scores})
    };
    json!({
        "file": format!("{name}.onnx"),
        "inputs": {"features": rows(&inputs, INPUTS)},
        "outputs": outputs,
        "classes": model.classes(),
    })
}

/// The largest difference of ONNX Runtime to the library, by file.
fn differences<T: Scalar>(python: &str) -> Vec<(String, f64)> {
    let cpu = engine::open::<T>("cpu").unwrap();
    let folder = Folder::new();
    let cases = networks::<T>(&cpu);
    for (name, opset, model) in &cases {
        let options = OnnxOptions { opset: *opset, ..OnnxOptions::default() };
        model.to_onnx(folder.join(format!("{name}.onnx")), &options).unwrap();
    }
    let described: Vec<Value> = cases.iter().map(case).collect();
    fs::write(folder.join("cases.json"), Value::from(described).to_string()).unwrap();
    let printed = run(python, "check.py", &[folder.as_ref()]);
    let parse = |line: &str| {
        let line: Value = serde_json::from_str(line).unwrap();
        (line["file"].as_str().unwrap().to_owned(), line["worst"].as_f64().unwrap())
    };
    let found: Vec<(String, f64)> = printed.lines().map(parse).collect();
    assert_eq!(found.len(), cases.len());
    found
}

#[test]
fn onnx_runtime_computes_the_same_in_single_precision() {
    let Some(python) = python("onnx, onnxruntime") else { return };
    for (file, difference) in differences::<f32>(&python) {
        eprintln!("{file}: {difference:.1e}");
        assert!(difference < 1e-5, "{file}: {difference}");
    }
}

#[test]
fn onnx_runtime_computes_the_same_in_double_precision() {
    let Some(python) = python("onnx, onnxruntime") else { return };
    for (file, difference) in differences::<f64>(&python) {
        eprintln!("{file}: {difference:.1e}");
        assert!(difference < 1e-12, "{file}: {difference}");
    }
}
