//! Files of other programs: what this library answers, beside their own outputs.

use std::fs;
use std::path::Path;

use serde_json::{Map, Value};
use travertine::model_file::OnnxOptions;
use travertine::{Model, Scalar, engine, model_file};

use super::{python, run};
use crate::tables::folder::Folder;

/// The producers' files, written by `scripts/onnx-producers`.
fn producers() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/onnx")
}

fn numbers(row: &Value) -> Vec<f64> {
    row.as_array().unwrap().iter().map(|x| x.as_f64().unwrap_or(f64::NAN)).collect()
}

/// Probabilities or values of one row, and the class.
fn answer<T: Scalar>(prediction: &travertine::Prediction<'_, T>) -> (Vec<f64>, Option<String>) {
    let numbers = match prediction.probabilities() {
        [] => [prediction.values(), prediction.scores()].concat(),
        all => all.to_vec(),
    };
    (numbers, prediction.class().map(str::to_owned))
}

/// What a model answers for the rows or records of a case.
fn answers<T: Scalar>(path: &Path, case: &Value) -> Vec<(Vec<f64>, Option<String>)> {
    let model = Model::<T>::load(path, &engine::open::<T>("cpu").unwrap())
        .unwrap_or_else(|error| panic!("{error}"));
    let mut predictor = model.predictor(1).unwrap();
    if let Some(records) = case["records"].as_array() {
        let predict = |record| answer(&predictor.predict_record(record).unwrap());
        return records.iter().map(predict).collect();
    }
    let rows = if case["rows"].is_null() { &case["inputs"] } else { &case["rows"] };
    let names: Vec<String> = model.columns().iter().map(|column| column.name.clone()).collect();
    let one = |row: &Value| {
        let row = numbers(row);
        if row.iter().all(|x| x.is_finite()) {
            return answer(&predictor.predict(&row).unwrap());
        }
        // A row with gaps is a record.
        let fields = names.iter().cloned().zip(row.iter().map(|x| match x.is_nan() {
            true => Value::Null,
            false => Value::from(*x),
        }));
        answer(&predictor.predict_record(&fields.collect::<Map<_, _>>()).unwrap())
    };
    rows.as_array().unwrap().iter().map(one).collect()
}

/// The largest difference to what the producer answers, relative to the larger of 1 and the answer.
fn difference(path: &Path, case: &Value) -> f64 {
    let precision = model_file::describe(path).unwrap_or_else(|error| panic!("{error}")).precision;
    let found = match precision {
        "f64" => answers::<f64>(path, case),
        _ => answers::<f32>(path, case),
    };
    let expected = case["outputs"].as_array().unwrap();
    assert_eq!(found.len(), expected.len());
    let mut worst = 0f64;
    for (number, ((found, class), expected)) in found.iter().zip(expected).enumerate() {
        let expected = numbers(expected);
        assert_eq!(found.len(), expected.len(), "{}", path.display());
        for (found, expected) in found.iter().zip(expected) {
            let found = if case["logarithms"] == true { found.ln() } else { *found };
            worst = worst.max((found - expected).abs() / expected.abs().max(1.0));
        }
        if let Some(labels) = case["labels"].as_array() {
            assert_eq!(class.as_deref(), labels[number].as_str(), "{}", path.display());
        }
    }
    worst
}

#[test]
fn files_of_pytorch_and_keras_answer_as_these_did() {
    let mut count = 0;
    for entry in fs::read_dir(producers()).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|end| end != "onnx") {
            continue;
        }
        let case = fs::read_to_string(path.with_extension("json")).unwrap();
        let worst = difference(&path, &serde_json::from_str(&case).unwrap());
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        eprintln!("{name}: {worst:.1e}");
        let bound = if name.starts_with("double") { 1e-12 } else { 1e-5 };
        assert!(worst < bound, "{name}: {worst}");
        count += 1;
    }
    assert!(count >= 20, "{count}");
}

#[test]
fn networks_and_pipelines_of_scikit_learn_answer_as_it_does() {
    let Some(python) = python("skl2onnx, sklearn, pandas") else { return };
    let folder = Folder::new();
    run(&python, "sklearn_models.py", &[folder.as_ref()]);
    let cases = fs::read_to_string(folder.join("cases.json")).unwrap();
    let cases: Vec<Value> = serde_json::from_str(&cases).unwrap();
    assert_eq!(cases.len(), 13);
    for case in &cases {
        let name = case["file"].as_str().unwrap();
        let worst = difference(&folder.join(name), case);
        eprintln!("{name}: {worst:.1e}");
        // scikit-learn computes in double precision what the file has in single.
        assert!(worst < 1e-5, "{name}: {worst}");
    }
}

/// Columns without names are known by their places; a single value is called as the file's output.
#[test]
fn a_value_has_the_name_of_the_output() {
    let Some(python) = python("skl2onnx, sklearn, pandas") else { return };
    let folder = Folder::new();
    run(&python, "sklearn_models.py", &[folder.as_ref()]);
    let cpu = engine::open::<f32>("cpu").unwrap();
    for file in ["one_value.onnx", "whole_numbers.onnx"] {
        let model = Model::<f32>::load(folder.join(file), &cpu).unwrap();
        assert_eq!(model.value_names(), ["variable"], "{file}");
    }
}

#[test]
fn a_changed_file_of_ours_says_so() {
    let texts: &[&str] = &["a", "b"];
    let model = crate::freeze_names::model(&[("town", texts)], None);
    let mut bytes = model.to_onnx_bytes(&OnnxOptions::default()).unwrap();
    let cpu = engine::open::<f32>("cpu").unwrap();
    assert!(Model::<f32>::load_from_bytes(&bytes, &cpu).is_ok());
    let place = bytes.windows(3).position(|part| part == b"Sub").unwrap();
    bytes[place..place + 3].copy_from_slice(b"Mod");
    let error = Model::<f32>::load_from_bytes(&bytes, &cpu).unwrap_err().to_string();
    let parts = ["travertine wrote this file", "changed since then"];
    assert!(parts.iter().all(|part| error.contains(part)), "{error}");
}

/// `./name` is a file of the model's folder, `../name` is none.
#[test]
fn constants_beside_the_model_may_be_named_with_a_dot() {
    let folder = Folder::new();
    let data = "wide_external.onnx.data";
    let bytes = fs::read(producers().join("wide_external.onnx")).unwrap();
    let renamed = |to: &str| {
        assert_eq!(to.len(), data.len());
        let mut bytes = bytes.clone();
        while let Some(place) = bytes.windows(data.len()).position(|part| part == data.as_bytes()) {
            bytes[place..place + data.len()].copy_from_slice(to.as_bytes());
        }
        fs::write(folder.join("m.onnx"), bytes).unwrap();
        model_file::describe(folder.join("m.onnx"))
    };
    fs::copy(producers().join(data), folder.join("de_external.onnx.data")).unwrap();
    renamed("./de_external.onnx.data").unwrap();
    let error = renamed("../e_external.onnx.data").unwrap_err().to_string();
    assert!(error.contains("not in the model's folder") || error.contains("No such"), "{error}");
}

/// What is no chain of layers is refused by the node, its operator, and what it would take.
#[test]
fn what_is_no_chain_is_refused_by_name() {
    let Some(python) = python("onnx") else { return };
    let folder = Folder::new();
    run(&python, "refused.py", &[folder.as_ref()]);
    let cases = fs::read_to_string(folder.join("cases.json")).unwrap();
    let cases: Vec<(String, Vec<String>)> = serde_json::from_str(&cases).unwrap();
    assert!(cases.len() > 10);
    let cpu = engine::open::<f32>("cpu").unwrap();
    for (name, parts) in cases {
        let error = Model::<f32>::load(folder.join(&name), &cpu).err();
        let error = error.unwrap_or_else(|| panic!("{name} is read")).to_string();
        eprintln!("{error}");
        for part in parts {
            assert!(error.contains(&part), "{name}: no '{part}' in: {error}");
        }
    }
}
