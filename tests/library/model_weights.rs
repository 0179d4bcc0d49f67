//! Weights under the names of PyTorch: read in every precision, written as PyTorch reads them, refused where they do not fit.

use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;

use crate::common::{self, random};
use safetensors::Dtype;
use safetensors::tensor::TensorView;
use travertine::engine::{self, Engine};
use travertine::{Activation, Network, Scalar, model_file};

fn cpu<T: Scalar>() -> Arc<dyn Engine<T>> {
    engine::open("cpu").unwrap()
}

/// A file that goes away with the test.
struct TempFile(PathBuf);

impl TempFile {
    fn new(name: &str) -> TempFile {
        let name = format!("travertine-weights-{}-{name}.safetensors", std::process::id());
        TempFile(std::env::temp_dir().join(name))
    }
}

impl Drop for TempFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// `torch.nn.Sequential(Linear(3, 4), ReLU(), Linear(4, 2))`
fn network<T: Scalar>(seed: u64) -> Network<T> {
    Network::builder(&cpu(), 3)
        .dense(4, Activation::Relu)
        .dense(2, Activation::Identity)
        .seed(seed)
        .build()
        .unwrap()
}

fn normalized(seed: u64) -> Network<f32> {
    let mut network = Network::builder(&cpu(), 3)
        .dense(4, Activation::Identity)
        .batch_norm(Activation::Tanh)
        .dense(2, Activation::Softmax)
        .seed(seed)
        .build()
        .unwrap();
    for layer in network.layers_mut() {
        let outputs = layer.outputs();
        layer.bias_mut().write(&random(outputs, seed + 1)).unwrap();
    }
    let statistics: Vec<f32> = random::<f32>(8, seed + 2).into_iter().map(|x| x + 2.0).collect();
    network.layers_mut()[1].statistics_mut().unwrap().write(&statistics).unwrap();
    network
}

fn parameters<T: Scalar>(network: &Network<T>) -> Vec<f64> {
    let matrices = network.layers().iter().flat_map(|layer| {
        [Some(layer.weights()), Some(layer.bias()), layer.statistics()].into_iter().flatten()
    });
    matrices.flat_map(|matrix| matrix.to_vec().unwrap()).map(T::to_f64).collect()
}

#[test]
fn saved_weights_are_the_loaded_ones() {
    let file = TempFile::new("round");
    let saved = normalized(1);
    let names = model_file::sequential_names(&saved);
    assert_eq!(names, ["0", "1", "3"], "linear, batch norm, tanh, linear");
    model_file::save_weights(&file.0, &saved, &names).unwrap();
    let mut loaded = normalized(7);
    assert_ne!(parameters(&loaded), parameters(&saved));
    loaded.load_weights(&file.0, &names).unwrap();
    assert_eq!(parameters(&loaded), parameters(&saved));

    let bytes = std::fs::read(&file.0).unwrap();
    let tensors = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let mut names = tensors.names();
    names.sort();
    let expected = [
        "0.bias",
        "0.weight",
        "1.bias",
        "1.running_mean",
        "1.running_var",
        "1.weight",
        "3.bias",
        "3.weight",
    ];
    assert_eq!(names, expected);
    // W is row-major, outputs x inputs.
    let weight = tensors.tensor("0.weight").unwrap();
    let second = f32::from_le_bytes(weight.data()[4..8].try_into().unwrap());
    assert_eq!(weight.shape(), [4, 3]);
    assert_eq!(second, saved.layers()[0].weights().get(0, 1).unwrap());
}

/// Numbers that every precision has exactly.
const EXACT: [f64; 26] = [
    0.5, -1.0, 2.0, 0.25, 3.0, -0.125, 1.5, 4.0, -2.5, 0.75, 1.0, -3.0, 0.0, 1.0, -1.0, 2.0, 0.5,
    -0.5, 1.25, -4.0, 6.0, 0.375, -1.5, 2.25, 7.0, -8.0,
];

fn f16(x: f64) -> [u8; 2] {
    // A normal number that f16 has exactly, or 0.
    if x == 0.0 {
        return [0; 2];
    }
    let bits = x.to_bits();
    let exponent = (bits >> 52 & 0x7ff) as i32 - 1023 + 15;
    ((bits >> 63 << 15) as u16 | (exponent as u16) << 10 | (bits >> 42 & 0x3ff) as u16)
        .to_le_bytes()
}

fn encoded(dtype: Dtype, x: f64) -> Vec<u8> {
    match dtype {
        Dtype::F64 => x.to_le_bytes().to_vec(),
        Dtype::F32 => (x as f32).to_le_bytes().to_vec(),
        Dtype::F16 => f16(x).to_vec(),
        Dtype::BF16 => ((x as f32).to_bits() >> 16).to_le_bytes()[..2].to_vec(),
        Dtype::I8 => vec![x as i8 as u8],
        _ => panic!("{dtype:?}"),
    }
}

/// A file of [`EXACT`] for `network`, each tensor with a type, a name and a shape.
fn write(file: &TempFile, tensors: &[(&str, &[usize], Dtype)]) {
    let mut next = EXACT.iter();
    let bytes: Vec<Vec<u8>> = tensors
        .iter()
        .map(|(_, shape, dtype)| {
            let count = shape.iter().product();
            next.by_ref().take(count).flat_map(|&x| encoded(*dtype, x)).collect()
        })
        .collect();
    let views = tensors.iter().zip(&bytes).map(|((name, shape, dtype), bytes)| {
        (*name, TensorView::new(*dtype, shape.to_vec(), bytes).unwrap())
    });
    std::fs::write(&file.0, safetensors::serialize(views, None).unwrap()).unwrap();
}

fn sequential(dtypes: [Dtype; 4]) -> [(&'static str, &'static [usize], Dtype); 4] {
    [
        ("0.weight", &[4, 3], dtypes[0]),
        ("0.bias", &[4], dtypes[1]),
        ("2.weight", &[2, 4], dtypes[2]),
        ("2.bias", &[2], dtypes[3]),
    ]
}

#[test]
fn every_precision_is_read() {
    fn read<T: Scalar>() {
        let file = TempFile::new(T::NAME);
        for dtypes in [
            [Dtype::F64; 4],
            [Dtype::F32; 4],
            [Dtype::F16; 4],
            [Dtype::BF16; 4],
            [Dtype::BF16, Dtype::F32, Dtype::F16, Dtype::F64],
        ] {
            write(&file, &sequential(dtypes));
            let mut network = network::<T>(1);
            network.load_weights(&file.0, &["0", "2"]).unwrap();
            let layers = network.layers();
            let (w1, b1) =
                (layers[0].weights().t().to_vec().unwrap(), layers[0].bias().to_vec().unwrap());
            let (w2, b2) =
                (layers[1].weights().t().to_vec().unwrap(), layers[1].bias().to_vec().unwrap());
            let all: Vec<f64> = [w1, b1, w2, b2].concat().into_iter().map(T::to_f64).collect();
            assert_eq!(all, EXACT, "{dtypes:?}");
        }
    }
    read::<f32>();
    read::<f64>();
}

#[test]
fn other_names_and_other_tensors_do_no_harm() {
    let file = TempFile::new("prefix");
    let f = Dtype::F32;
    write(
        &file,
        &[
            ("layers.0.weight", &[4, 3], f),
            ("layers.0.bias", &[4], f),
            ("layers.1.weight", &[2, 4], f),
            ("layers.1.bias", &[2], f),
            ("num_batches_tracked", &[0], Dtype::I8),
        ],
    );
    let mut network = network::<f32>(1);
    network.load_weights(&file.0, &["layers.0", "layers.1"]).unwrap();
    assert_eq!(network.layers()[1].bias().to_vec().unwrap(), [7.0, -8.0]);
}

#[test]
fn weights_that_do_not_fit_are_named_and_change_nothing() {
    let file = TempFile::new("misfit");
    let mut network = network::<f32>(1);
    let before = parameters(&network);
    let mut refused = |names: &[&str], parts: &[&str]| {
        let error = network.load_weights(&file.0, names).unwrap_err();
        let text = error.to_string();
        assert!(error.is_input(), "{text}");
        for part in parts {
            assert!(text.contains(part), "'{text}' lacks '{part}'");
        }
        assert_eq!(parameters(&network), before);
    };
    let f = Dtype::F32;
    write(&file, &sequential([f; 4]));
    refused(&["0"], &["1 names for 2 layers"]);
    refused(&["0", "0"], &["'0' stands for two layers"]);
    refused(&["0", "1"], &["tensor 1.weight", "expected shape [2, 4]", "found no such tensor"]);
    refused(&["2", "0"], &["tensor 2.weight", "expected shape [4, 3]", "found [2, 4]"]);
    write(&file, &sequential([f, f, f, Dtype::I8]));
    refused(&["0", "2"], &["tensor 2.bias", "F64, F32, F16 or BF16", "found I8"]);
    let mut bytes = std::fs::read(&file.0).unwrap();
    write(&file, &sequential([f; 4]));
    refused(&["0", "3"], &["tensor 3.weight"]);
    // Files that are cut, or have another header, are refused before anything is read.
    for length in 0..bytes.len() {
        std::fs::write(&file.0, &bytes[..length]).unwrap();
        refused(&["0", "2"], &[]);
    }
    bytes[..8].copy_from_slice(&u64::MAX.to_le_bytes());
    std::fs::write(&file.0, &bytes).unwrap();
    refused(&["0", "2"], &["byte 0", "a header of at most"]);
    std::fs::remove_file(&file.0).unwrap();
    refused(&["0", "2"], &["cannot read"]);
}

#[test]
fn numbers_that_cannot_be_parameters_are_refused() {
    let file = TempFile::new("not-finite");
    let mut network = normalized(1);
    let names = ["0", "1", "3"];
    model_file::save_weights(&file.0, &network, &names).unwrap();
    let good = std::fs::read(&file.0).unwrap();
    let place = |name: &str, bytes: &[u8]| {
        let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
        let header: serde_json::Value = serde_json::from_slice(&bytes[8..8 + length]).unwrap();
        8 + length + header[name]["data_offsets"][0].as_u64().unwrap() as usize
    };
    for (name, number, part) in [
        ("3.bias", f32::NAN, "finite numbers, found NaN at 0"),
        ("1.running_var", -0.5, "variances not below 0, found -0.5 at 0"),
    ] {
        let (mut bytes, at) = (good.clone(), place(name, &good));
        bytes[at..at + 4].copy_from_slice(&number.to_le_bytes());
        std::fs::write(&file.0, bytes).unwrap();
        let text = network.load_weights(&file.0, &names).unwrap_err().to_string();
        assert!(text.contains(&format!("tensor {name}: expected {part}")), "{text}");
    }
    // A number of f64 that f32 does not have.
    let mut wide = self::network::<f64>(1);
    wide.layers_mut()[0].bias_mut().write(&[0.0, 1e300, 0.0, 0.0]).unwrap();
    model_file::save_weights(&file.0, &wide, &["0", "2"]).unwrap();
    let text = self::network::<f32>(1).load_weights(&file.0, &["0", "2"]).unwrap_err().to_string();
    assert!(text.contains("tensor 0.bias") && text.contains("inf at 1"), "{text}");
}

/// Writes weights in three precisions with Python's own library, reads ours, and prints what NumPy computes with them.
const SCRIPT: &str = r#"
import sys, json
import numpy as np
import safetensors
from safetensors.numpy import load_file, save_file
folder, ours = sys.argv[1], sys.argv[2]
generator = np.random.default_rng(1)
weights = {"0.weight": generator.normal(size=(4, 3)), "0.bias": generator.normal(size=4),
           "2.weight": generator.normal(size=(2, 4)), "2.bias": generator.normal(size=2)}
x = np.array([[0.3, -0.9, 1.4], [2.0, 0.1, -0.7]])
def forward(w):
    return (np.maximum(x @ w["0.weight"].T + w["0.bias"], 0) @ w["2.weight"].T + w["2.bias"]).ravel().tolist()
answers = {}
for name, dtype in [("f16", np.float16), ("f32", np.float32), ("f64", np.float64)]:
    rounded = {key: value.astype(dtype) for key, value in weights.items()}
    save_file(rounded, f"{folder}-{name}.safetensors")
    answers[name] = forward({key: value.astype(np.float64) for key, value in rounded.items()})
# NumPy has no bfloat16: the upper halves of f32.
upper = {key: value.astype("<f4").view("<u4") & 0xffff0000 for key, value in weights.items()}
answers["bf16"] = forward({key: value.view("<f4").astype(np.float64) for key, value in upper.items()})
header, data = {}, b""
for key, value in upper.items():
    start, data = len(data), data + (value >> 16).astype("<u2").tobytes()
    header[key] = {"dtype": "BF16", "shape": list(value.shape), "data_offsets": [start, len(data)]}
header = json.dumps(header).encode()
open(f"{folder}-bf16.safetensors", "wb").write(len(header).to_bytes(8, "little") + header + data)
with safetensors.safe_open(f"{folder}-bf16.safetensors", "np") as file:
    assert sorted(file.keys()) == sorted(weights)
answers["ours"] = forward(load_file(ours))
print(json.dumps(answers))
"#;

#[test]
fn python_writes_what_we_read_and_reads_what_we_write() {
    let python = std::env::var("TRAVERTINE_PYTHON").unwrap_or("python3".to_owned());
    let usable = Command::new(&python).args(["-c", "import numpy, safetensors"]).output();
    if !usable.is_ok_and(|output| output.status.success()) {
        let must = std::env::var("TRAVERTINE_ENSURE_PYTHON").is_ok();
        assert!(
            !must,
            "{python} has no numpy and safetensors, and TRAVERTINE_ENSURE_PYTHON is set"
        );
        eprintln!(
            "LEFT OUT: weights of Python's safetensors; {python} has no numpy and safetensors"
        );
        return;
    }
    let files = ["f16", "f32", "f64", "bf16"].map(|name| TempFile::new(&format!("python-{name}")));
    let prefix = files[0].0.to_str().unwrap().strip_suffix("-f16.safetensors").unwrap();
    let ours = TempFile::new("ours");
    let saved = network::<f64>(9);
    model_file::save_weights(&ours.0, &saved, &["0", "2"]).unwrap();
    let output = Command::new(&python).args(["-c", SCRIPT, prefix]).arg(&ours.0).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let answers: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let x = [0.3, -0.9, 1.4, 2.0, 0.1, -0.7];
    let x = travertine::Matrix::from_samples(&cpu::<f64>(), 2, 3, &x).unwrap();
    let check = |network: &Network<f64>, name: &str| {
        let view =
            travertine::Matrix::from_slice(network.engine(), 3, 2, &x.to_vec().unwrap()).unwrap();
        let ours = network.infer(view.view()).unwrap().to_vec().unwrap();
        let theirs: Vec<f64> = serde_json::from_value(answers[name].clone()).unwrap();
        assert!(common::relative(&ours, &theirs) < 1e-12, "{name}: {ours:?} {theirs:?}");
    };
    check(&saved, "ours");
    for (name, file) in ["f16", "f32", "f64", "bf16"].into_iter().zip(&files) {
        let mut network = network::<f64>(1);
        network.load_weights(&file.0, &["0", "2"]).unwrap();
        check(&network, name);
    }
}
