//! Model files: what was saved is what is loaded, other people's libraries read them, and nothing hostile gets through.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use crate::common::{self, random};
use travertine::data::Standardization;
use travertine::engine::{self, Engine};
use travertine::model_file::{self, ModelInfo};
use travertine::{Activation, Error, Loss, Matrix, Network, Scalar};

/// A folder that goes away with the test.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Folder {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name =
            format!("travertine-model-{}-{}", std::process::id(), COUNT.fetch_add(1, Relaxed));
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).unwrap();
        Folder(path)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn cpu<T: Scalar>() -> Arc<dyn Engine<T>> {
    engine::open("cpu").unwrap()
}

/// 5 -> 4 -> 3, everything in it different from 0.
fn network<T: Scalar>() -> Network<T> {
    let mut network = Network::builder(&cpu::<T>(), 5)
        .dense(4, Activation::Elu(0.7))
        .dense(3, Activation::Softmax)
        .seed(1)
        .build()
        .unwrap();
    for layer in network.layers_mut() {
        let bias = random(layer.outputs(), 8);
        layer.bias_mut().write(&bias).unwrap();
    }
    network
}

fn info() -> ModelInfo {
    let mut info = ModelInfo::new(Loss::Huber(0.3));
    info.classes = ["a", "b\"", "ü"].map(str::to_owned).to_vec();
    info.features = ["v", "w", "x", "y", "z"].map(str::to_owned).to_vec();
    info.target = Some("kind".to_owned());
    // Numbers that only survive with all 17 digits.
    info.standardization = Some(Standardization {
        mean: vec![0.1 + 0.2, 1.0 / 3.0, -1e-300, 5e17, 0.0],
        deviation: vec![1.0, 1e-17, 2.0 / 3.0, 1e300, 4.0],
        bound: Some(0.1 + 0.7),
        unscaled: Vec::new(),
    });
    info.training =
        vec![("data".to_owned(), "x.csv".to_owned()), ("epochs".to_owned(), "3".to_owned())];
    info
}

fn parameters<T: Scalar>(network: &Network<T>) -> Vec<f64> {
    let all = network
        .layers()
        .iter()
        .flat_map(|l| [l.weights().to_vec().unwrap(), l.bias().to_vec().unwrap()]);
    all.flatten().map(T::to_f64).collect()
}

fn round_trip<T: Scalar>() {
    let folder = Folder::new();
    let (path, again) = (folder.file("m.safetensors"), folder.file("again.safetensors"));
    let network = network::<T>();
    model_file::save(&path, &network, &info()).unwrap();
    let (loaded, loaded_info) = model_file::load::<T>(&path, &cpu()).unwrap();
    assert_eq!(parameters(&loaded), parameters(&network));
    assert_eq!(loaded_info, info());
    let activations: Vec<_> = loaded.layers().iter().map(|layer| layer.activation()).collect();
    assert_eq!(activations, [Activation::Elu(0.7), Activation::Softmax]);
    model_file::save(&again, &loaded, &loaded_info).unwrap();
    assert_eq!(
        fs::read(&path).unwrap(),
        fs::read(&again).unwrap(),
        "the same model is the same bytes"
    );
    let description = model_file::describe(&path).unwrap();
    assert_eq!((description.precision, description.parameters), (T::NAME, 5 * 4 + 4 + 4 * 3 + 3));
    assert_eq!(description.bytes, fs::metadata(&path).unwrap().len());
    assert_eq!(fs::read_dir(&folder.0).unwrap().count(), 2, "no temporary file is left");
}

#[test]
fn what_was_saved_is_loaded() {
    round_trip::<f32>();
    round_trip::<f64>();
    let folder = Folder::new();
    let path = folder.file("m.safetensors");
    let network = network::<f32>();
    model_file::save(&path, &network, &info()).unwrap();
    let (wide, _) = model_file::load::<f64>(&path, &cpu()).unwrap();
    assert_eq!(parameters(&wide), parameters(&network), "f32 becomes f64 without loss");
}

#[test]
fn a_save_that_fails_changes_nothing() {
    let folder = Folder::new();
    let (path, mut network) = (folder.file("m.safetensors"), network::<f32>());
    model_file::save(&path, &network, &info()).unwrap();
    let before = fs::read(&path).unwrap();

    let error =
        model_file::save(folder.file("missing/m.safetensors"), &network, &info()).unwrap_err();
    assert!(error.is_input() && error.to_string().contains("missing"), "{error}");
    fs::create_dir(folder.file("folder.safetensors")).unwrap();
    assert!(model_file::save(folder.file("folder.safetensors"), &network, &info()).is_err());
    let mut misfit = info();
    misfit.classes.pop();
    let error = model_file::save(&path, &network, &misfit).unwrap_err();
    assert!(
        error.to_string().contains("classes: expected 3, one for each output, found 2"),
        "{error}"
    );
    network.layers_mut()[1].bias_mut().write(&[0.0, f32::NAN, 0.0]).unwrap();
    let error = model_file::save(&path, &network, &info()).unwrap_err();
    assert!(error.to_string().contains("layer 1 is not finite"), "{error}");

    assert_eq!(fs::read(&path).unwrap(), before);
    assert_eq!(
        fs::read_dir(&folder.0).unwrap().count(),
        2,
        "the model and the folder, no temporary file"
    );
}

fn load(path: &Path) -> Result<(), Error> {
    model_file::load::<f32>(path, &cpu()).map(drop)
}

/// A model file, taken apart.
struct Parts {
    header: serde_json::Value,
    data: Vec<u8>,
}

impl Parts {
    fn new() -> Parts {
        let folder = Folder::new();
        let path = folder.file("m.safetensors");
        model_file::save(&path, &network::<f32>(), &info()).unwrap();
        let bytes = fs::read(path).unwrap();
        let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
        let header = serde_json::from_slice(&bytes[8..8 + length]).unwrap();
        Parts { header, data: bytes[8 + length..].to_vec() }
    }

    /// Changes the description in the metadata.
    fn describe(&mut self, change: impl Fn(&mut serde_json::Value)) {
        let text = &mut self.header["__metadata__"]["travertine"];
        let mut description = serde_json::from_str(text.as_str().unwrap()).unwrap();
        change(&mut description);
        *text = description.to_string().into();
    }

    fn bytes(&self) -> Vec<u8> {
        let header = self.header.to_string().into_bytes();
        [&(header.len() as u64).to_le_bytes()[..], &header, &self.data].concat()
    }

    #[track_caller]
    fn refused(self, parts: &[&str]) {
        refused(&self.bytes(), parts);
    }
}

#[track_caller]
fn refused(bytes: &[u8], parts: &[&str]) {
    let folder = Folder::new();
    let path = folder.file("bad.safetensors");
    fs::write(&path, bytes).unwrap();
    let error = load(&path).unwrap_err();
    let text = error.to_string();
    assert!(error.is_input(), "{text}");
    for part in parts.iter().chain(&["bad.safetensors", "expected", "found"]) {
        assert!(text.contains(part), "'{text}' lacks '{part}'");
    }
}

#[test]
fn what_does_not_fit_is_named() {
    assert!(Parts::new().bytes().len() > 100, "the untouched parts are a model");
    let changed = |change: &dyn Fn(&mut Parts)| {
        let mut parts = Parts::new();
        change(&mut parts);
        parts
    };
    let described = |field: &'static str, value: serde_json::Value| {
        changed(&|parts| parts.describe(|description| description[field] = value.clone()))
    };
    use serde_json::json;
    described("version", json!(7)).refused(&[
        "version",
        "expected 1",
        "found 7",
        "newer travertine",
    ]);
    described("version", json!(0)).refused(&["version", "found 0"]);
    described("loss", json!("hinge")).refused(&["loss", "hinge"]);
    described("classes", json!(["a"])).refused(&["classes", "3, one for each output", "found 1"]);
    described("features", json!(["a"])).refused(&["features", "5, one for each input", "found 1"]);
    described("standardization", json!({"mean": [0.0], "deviation": [1.0]}))
        .refused(&["standardization", "1 means"]);
    let zero = json!({"mean": [0, 0, 0, 0, 0], "deviation": [1, 1, 0, 1, 1]});
    described("standardization", zero).refused(&["standardization", "above 0"]);
    let bound = json!({"mean": [0, 0, 0, 0, 0], "deviation": [1, 1, 1, 1, 1], "bound": -3});
    described("standardization", bound).refused(&["standardization", "above 0", "-3"]);
    described("layers", json!([])).refused(&["layers", "at least one"]);
    let layer = |i: usize, o: usize, a: &str| json!({"inputs": i, "outputs": o, "activation": a});
    described("layers", json!([layer(5, 4, "swish"), layer(4, 3, "softmax")]))
        .refused(&["layers.0 activation", "swish"]);
    described("layers", json!([layer(5, 4, "relu"), layer(6, 3, "relu")]))
        .refused(&["layers.1 inputs", "found 6"]);
    described("layers", json!([layer(5, 0, "relu"), layer(0, 3, "relu")]))
        .refused(&["layers.0 size"]);
    described("layers", json!([layer(5, 4, "softmax"), layer(4, 3, "relu")]))
        .refused(&["layers.0 activation"]);
    let huge = json!([layer(5, 1 << 60, "relu"), layer(1 << 60, 3, "softmax")]);
    described("layers", huge).refused(&["tensor layers.0.weight", "shape"]);
    described("layers", json!("many")).refused(&["metadata"]);
    changed(&|parts| parts.header["__metadata__"] = json!({}))
        .refused(&["metadata", "'travertine'"]);
    changed(&|parts| parts.header["__metadata__"]["travertine"] = json!("{"))
        .refused(&["metadata"]);

    changed(&|parts| parts.header["layers.1.bias"]["shape"] = json!([1, 3]))
        .refused(&["layers.1.bias", "[1, 3]"]);
    changed(&|parts| parts.header["layers.1.bias"]["dtype"] = json!("I32"))
        .refused(&["layers.1.bias", "I32"]);
    changed(&|parts| parts.header["layers.0.bias"]["data_offsets"] = json!([0, 1u64 << 60]))
        .refused(&["header"]);
    changed(&|parts| {
        let object = parts.header.as_object_mut().unwrap();
        let tensor = object.remove("layers.1.bias").unwrap();
        object.insert("other".to_owned(), tensor);
    })
    .refused(&["tensor layers.1.bias", "no such tensor"]);
    changed(&|parts| {
        let end = parts.data.len();
        parts.data.extend([0; 4]);
        parts.header["more"] =
            json!({"dtype": "F32", "shape": [1], "data_offsets": [end, end + 4]});
    })
    .refused(&["tensor more"]);
    changed(&|parts| parts.data.push(0)).refused(&["bytes, as the header says"]);
    let offset =
        Parts::new().header["layers.0.weight"]["data_offsets"][0].as_u64().unwrap() as usize;
    changed(&|parts| parts.data[offset + 4..offset + 8].copy_from_slice(&f32::NAN.to_le_bytes()))
        .refused(&["tensor layers.0.weight", "NaN at 1"]);
}

#[test]
fn hostile_files_are_refused() {
    refused(b"", &["byte 0", "0 bytes"]);
    refused(b"1234567", &["byte 0", "7 bytes"]);
    refused(&(1u64 << 60).to_le_bytes(), &["byte 0", "1152921504606846976"]);
    refused(&[&3u64.to_le_bytes()[..], b"\xff\xfe\xfd"].concat(), &["header"]);
    let good = Parts::new().bytes();
    let folder = Folder::new();
    let path = folder.file("m.safetensors");
    for length in 0..good.len() {
        fs::write(&path, &good[..length]).unwrap();
        assert!(load(&path).is_err(), "the first {length} of {} bytes", good.len());
    }
    // A flipped bit may still be a model (in a weight, a name); it must not be a panic.
    for index in 0..good.len() {
        let mut bytes = good.clone();
        bytes[index] ^= 1 << (index % 8);
        fs::write(&path, bytes).unwrap();
        let _ = load(&path);
    }
    assert!(load(&folder.0).is_err(), "a folder");
    let error = load(&folder.file("missing")).unwrap_err();
    assert!(error.is_input() && error.to_string().contains("missing"), "{error}");
}

/// Reads the model with Python's own library and computes in NumPy and, where it is installed, in PyTorch.
const READER: &str = r#"
import sys, json
import numpy as np
from safetensors import safe_open
from safetensors.numpy import load_file
path = sys.argv[1]
tensors = load_file(path)
meta = json.loads(safe_open(path, "np").metadata()["travertine"])
x = np.array(json.loads(sys.argv[2]), dtype=np.float64).reshape(-1, meta["layers"][0]["inputs"])
f = {"tanh": np.tanh, "relu": lambda z: np.maximum(z, 0), "sigmoid": lambda z: 1 / (1 + np.exp(-z)),
     "softmax": lambda z: np.exp(z) / np.exp(z).sum(1, keepdims=True)}
a = x
for i, layer in enumerate(meta["layers"]):
    w, b = tensors[f"layers.{i}.weight"].astype(np.float64), tensors[f"layers.{i}.bias"].astype(np.float64)
    a = f[layer["activation"]](a @ w.T + b)
print(json.dumps(a.ravel().tolist()))
try:
    import torch
    from safetensors.torch import load_file as load_torch
except ImportError:
    print("null")
    sys.exit()
class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = torch.nn.Sequential(*[torch.nn.Linear(l["inputs"], l["outputs"]) for l in meta["layers"]])
    def forward(self, x):
        g = {"tanh": torch.tanh, "relu": torch.relu, "sigmoid": torch.sigmoid, "softmax": lambda z: torch.softmax(z, 1)}
        for l, layer in zip(self.layers, meta["layers"]):
            x = g[layer["activation"]](l(x))
        return x
net = Net()
net.load_state_dict(load_torch(path), strict=True)
print(json.dumps(net(torch.tensor(x, dtype=torch.float32)).detach().double().numpy().ravel().tolist()))
"#;

#[test]
fn python_reads_the_same_network() {
    let python = std::env::var("TRAVERTINE_PYTHON").unwrap_or("python3".to_owned());
    let usable = Command::new(&python).args(["-c", "import numpy, safetensors"]).output();
    if !usable.is_ok_and(|output| output.status.success()) {
        let must = std::env::var("TRAVERTINE_ENSURE_PYTHON").is_ok();
        assert!(
            !must,
            "{python} has no numpy and safetensors, and TRAVERTINE_ENSURE_PYTHON is set"
        );
        eprintln!(
            "LEFT OUT: reading models with Python's safetensors; {python} has no numpy and safetensors"
        );
        return;
    }
    let folder = Folder::new();
    let path = folder.file("m.safetensors");
    let cpu = cpu::<f32>();
    let network = Network::builder(&cpu, 6)
        .dense(5, Activation::Tanh)
        .dense(4, Activation::Relu)
        .dense(3, Activation::Softmax)
        .seed(4)
        .build()
        .unwrap();
    model_file::save(&path, &network, &ModelInfo::new(Loss::SoftmaxCrossEntropy)).unwrap();
    let x: Vec<f32> = random(6 * 7, 2);
    let ours = network
        .infer(Matrix::from_samples(&cpu, 7, 6, &x).unwrap().view())
        .unwrap()
        .to_vec()
        .unwrap();
    let ours: Vec<f64> = ours.into_iter().map(f64::from).collect();

    let argument = serde_json::to_string(&x).unwrap();
    let output =
        Command::new(&python).args(["-c", READER]).arg(&path).arg(argument).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let mut lines =
        text.lines().map(|line| serde_json::from_str::<Option<Vec<f64>>>(line).unwrap());
    let numpy = lines.next().flatten().unwrap();
    assert!(common::relative(&ours, &numpy) < 1e-6, "{:e}", common::relative(&ours, &numpy));
    match lines.next().flatten() {
        Some(torch) => {
            assert!(common::relative(&ours, &torch) < 1e-6, "{:e}", common::relative(&ours, &torch))
        }
        None => eprintln!("LEFT OUT: loading models into PyTorch; {python} has no torch"),
    }
}
