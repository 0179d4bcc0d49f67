//! The backend node cases of the package `onnx`, with the first input as the samples and the others as constants.

use std::fs;

use serde_json::Value;
use travertine::{Model, engine};

use super::{python, run};
use crate::tables::folder::Folder;

/// Cases that are refused, and the reason.
const REFUSED: &[(&str, &[&str])] = &[
    (
        "the highest number of a part of a sample",
        &[
            "test_argmax_no_keepdims_random",
            "test_argmax_keepdims_random",
            "test_argmax_negative_axis_keepdims_random",
        ],
    ),
    (
        "the highest number among samples",
        &["test_argmax_default_axis_example", "test_argmax_default_axis_random"],
    ),
    (
        "the last of equal scores",
        &[
            "test_argmax_no_keepdims_example_select_last_index",
            "test_argmax_no_keepdims_random_select_last_index",
            "test_argmax_keepdims_example_select_last_index",
            "test_argmax_keepdims_random_select_last_index",
            "test_argmax_default_axis_example_select_last_index",
            "test_argmax_default_axis_random_select_last_index",
            "test_argmax_negative_axis_keepdims_example_select_last_index",
            "test_argmax_negative_axis_keepdims_random_select_last_index",
        ],
    ),
    (
        "statistics of the batch: a graph for training",
        &["test_batchnorm_example_training_mode", "test_batchnorm_epsilon_training_mode"],
    ),
    ("bounds in the wrong order", &["test_clip_min_greater_than_max"]),
    (
        "samples are no longer the first dimension",
        &[
            "test_flatten_axis0",
            "test_flatten_axis2",
            "test_flatten_axis3",
            "test_flatten_negative_axis4",
            "test_flatten_negative_axis2",
            "test_flatten_negative_axis1",
            "test_reshape_reordered_all_dims",
            "test_reshape_one_dim",
            "test_reshape_negative_extended_dims",
            "test_squeeze",
            "test_unsqueeze_axis_0",
            "test_transpose_default",
            "test_transpose_all_permutations_2",
            "test_transpose_all_permutations_3",
            "test_transpose_all_permutations_4",
            "test_transpose_all_permutations_5",
        ],
    ),
    ("another order of a sample's numbers", &["test_transpose_all_permutations_1"]),
    (
        "an approximation that differs from the library's activation by 5e-4",
        &["test_gelu_tanh_1", "test_gelu_tanh_2"],
    ),
    ("another constant for each sample", &["test_gemm_default_matrix_bias"]),
    ("samples in the columns", &["test_gemm_transposeA", "test_gemm_all_attributes"]),
    ("no tensor", &["test_identity_sequence", "test_identity_opt"]),
    (
        "a normalization of samples together",
        &[
            "test_layer_normalization_4d_axis0",
            "test_layer_normalization_4d_axis_negative_4",
            "test_layer_normalization_2d_axis0",
            "test_layer_normalization_2d_axis_negative_2",
            "test_layer_normalization_3d_axis0_epsilon",
            "test_layer_normalization_3d_axis_negative_3_epsilon",
        ],
    ),
    (
        "a normalization of parts of a sample",
        &[
            "test_layer_normalization_4d_axis2",
            "test_layer_normalization_4d_axis_negative_2",
            "test_layer_normalization_4d_axis3",
            "test_layer_normalization_4d_axis_negative_1",
            "test_layer_normalization_default_axis",
            "test_layer_normalization_3d_axis2_epsilon",
            "test_layer_normalization_3d_axis_negative_1_epsilon",
        ],
    ),
    (
        "softmax of samples together, or of parts of a sample",
        &[
            "test_softmax_axis_0",
            "test_softmax_axis_1",
            "test_softmax_axis_2",
            "test_softmax_negative_axis",
            "test_softmax_default_axis",
            "test_logsoftmax_axis_0",
            "test_logsoftmax_axis_1",
            "test_logsoftmax_axis_2",
            "test_logsoftmax_negative_axis",
            "test_logsoftmax_default_axis",
        ],
    ),
    (
        "a bound of its own for each number",
        &[
            "test_max_example",
            "test_max_two_inputs",
            "test_max_float16",
            "test_max_float32",
            "test_max_float64",
            "test_min_example",
            "test_min_two_inputs",
            "test_min_float16",
            "test_min_float32",
            "test_min_float64",
        ],
    ),
];

/// The outputs of all samples, one behind the other, or why there are none.
fn outputs(
    path: &std::path::Path,
    rows: &Value,
    is_logarithm: bool,
) -> travertine::Result<Vec<f64>> {
    let model = Model::<f64>::load(path, &engine::open::<f64>("cpu")?)?;
    let mut predictor = model.predictor(1)?;
    let mut outputs = Vec::new();
    for row in rows.as_array().unwrap() {
        let row: Vec<f64> = row.as_array().unwrap().iter().map(|x| x.as_f64().unwrap()).collect();
        let prediction = predictor.predict(&row)?;
        match prediction.probabilities() {
            [] if prediction.class_index().is_some() => {
                outputs.push(prediction.class_index().unwrap() as f64);
            }
            [] => outputs.extend(prediction.values()),
            all if is_logarithm => outputs.extend(all.iter().map(|x| x.ln())),
            all => outputs.extend(all),
        }
    }
    Ok(outputs)
}

#[test]
fn backend_node_cases_pass_or_are_refused_for_a_reason() {
    let Some(python) = python("onnx") else { return };
    let folder = Folder::new();
    run(&python, "node_cases.py", &[folder.as_ref()]);
    let cases = fs::read_to_string(folder.join("cases.json")).unwrap();
    let cases: Vec<Value> = serde_json::from_str(&cases).unwrap();
    assert!(cases.len() > 100, "{}", cases.len());
    let (mut passed, mut refused, mut faults) = (0, 0, Vec::new());
    for case in &cases {
        let name = case["name"].as_str().unwrap();
        let expected: Vec<f64> =
            case["outputs"].as_array().unwrap().iter().map(|x| x.as_f64().unwrap()).collect();
        let is_logarithm = name.starts_with("test_logsoftmax");
        let path = folder.join(format!("{name}.onnx"));
        let found = outputs(&path, &case["rows"], is_logarithm);
        let is_listed = REFUSED.iter().any(|(_, names)| names.contains(&name));
        match (found, is_listed) {
            (Err(_), true) => refused += 1,
            (Err(error), false) => faults.push(format!("{name}: {error}")),
            (Ok(_), true) => faults.push(format!("{name} is read, and should not be listed")),
            (Ok(found), false) => {
                let tolerance = case["tolerance"].as_f64().unwrap();
                let is_close = |(a, b): (&f64, &f64)| (a - b).abs() <= tolerance * b.abs().max(1.0);
                if found.len() == expected.len() && found.iter().zip(&expected).all(is_close) {
                    passed += 1;
                } else {
                    faults.push(format!("{name}: {found:?} instead of {expected:?}"));
                }
            }
        }
    }
    eprintln!("{passed} of {} cases pass, the others are refused", cases.len());
    assert!(faults.is_empty(), "{}:\n{}", faults.len(), faults.join("\n"));
    // No name is misspelled.
    assert_eq!(refused, REFUSED.iter().map(|(_, names)| names.len()).sum::<usize>());
}
