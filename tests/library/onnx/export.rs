//! Networks of every kind of layer and every activation, as ONNX Runtime computes them.

use std::fs;

use serde_json::{Value, json};
use travertine::data::{Dataset, Targets};
use travertine::model_file::OnnxOptions;
use travertine::{Model, Scalar, engine};

use super::{python, run};
use crate::networks::{INPUTS, SAMPLES, features, networks};
use crate::tables::folder::Folder;

fn rows<T: Copy>(values: &[T], columns: usize) -> Vec<Vec<T>> {
    values.chunks_exact(columns).map(<[T]>::to_vec).collect()
}

/// What the library predicts, as `check.py` takes it.
fn case<T: Scalar>(model: &Model<T>, name: &str, numbers_only: bool) -> Value {
    let of_t: Vec<T> = features(model).iter().map(|x| T::from_f64(*x)).collect();
    let inputs = T::to_f64s(&of_t);
    let predictions = model.predict(&Dataset::new(INPUTS, of_t, Targets::None).unwrap()).unwrap();
    let each = |of: &dyn Fn(usize) -> Vec<f64>| (0..SAMPLES).map(of).collect::<Vec<_>>();
    let outputs = if model.classes().is_empty() {
        json!({"values": each(&|i| predictions.get(i).unwrap().values().to_vec())})
    } else {
        let scores = each(&|i| predictions.get(i).unwrap().scores().to_vec());
        let name = if model.gives_probabilities() { "probabilities" } else { "scores" };
        if numbers_only {
            let classes: Vec<usize> =
                predictions.iter().map(|one| one.class_index().unwrap()).collect();
            json!({"class": classes, name: scores})
        } else {
            let labels: Vec<&str> = predictions.iter().map(|one| one.class().unwrap()).collect();
            json!({"label": labels, name: scores})
        }
    };
    json!({
        "file": file(name, numbers_only),
        "inputs": {"features": rows(&inputs, INPUTS)},
        "outputs": outputs,
        "classes": model.classes(),
    })
}

fn file(name: &str, numbers_only: bool) -> String {
    format!("{name}{}.onnx", if numbers_only { "_numbers" } else { "" })
}

/// The largest difference of ONNX Runtime to the library, by file. Models of classes are written with and without texts.
fn differences<T: Scalar>(python: &str) -> Vec<(String, f64)> {
    let cpu = engine::open::<T>("cpu").unwrap();
    let folder = Folder::new();
    let cases = networks::<T>(&cpu);
    let mut described = Vec::new();
    for (name, opset, model) in &cases {
        for numbers_only in
            [false, true].into_iter().take(1 + usize::from(!model.classes().is_empty()))
        {
            let options = OnnxOptions { opset: *opset, numbers_only };
            model.to_onnx(folder.join(file(name, numbers_only)), &options).unwrap();
            described.push(case(model, name, numbers_only));
        }
    }
    let count = described.len();
    fs::write(folder.join("cases.json"), Value::from(described).to_string()).unwrap();
    let printed = run(python, "check.py", &[folder.as_ref()]);
    let parse = |line: &str| {
        let line: Value = serde_json::from_str(line).unwrap();
        (line["file"].as_str().unwrap().to_owned(), line["worst"].as_f64().unwrap())
    };
    let found: Vec<(String, f64)> = printed.lines().map(parse).collect();
    assert!(cases.len() < count && found.len() == count);
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
