//! An f64 reference, written as plainly as the formulas.

#![allow(dead_code, reason = "every test file uses its own part")]

pub mod classes;

use std::sync::Arc;

use travertine::engine::{self, Engine, Fusion, Library, Limits, Settings};
use travertine::optimizer::{Schedule, Sgd};
use travertine::random::{Philox, Purpose};
use travertine::{Activation, ErrorKind, Loss, Matrix, Network, Scalar, Trainer};

/// The limits of the smallest device that kernels support.
pub const SMALL_DEVICE: Limits = Limits { items: 64, shared: 16 << 10, fp64: true, lanes: 4 };
/// The limits of a CUDA device, whose products read 16 bytes of shared memory at a time.
pub const CUDA_LIKE: Limits = Limits { items: 256, shared: 48 << 10, fp64: true, lanes: 1 };

/// Settings that make an OpenCL device use the kernels of GPUs within limits, layer by layer.
pub fn limited(limits: Limits) -> Settings {
    let mut settings = Settings::default();
    settings.limits = Some(limits);
    settings.fusion = Fusion::Never;
    settings
}

/// [`limited`], but with every network that fits in one kernel.
pub fn limited_whole(limits: Limits) -> Settings {
    let mut settings = limited(limits);
    settings.fusion = Fusion::Always;
    settings
}

/// An engine, or `None` with a printed line if the machine lacks it or the device lacks f64. Fails if `TRAVERTINE_ENSURE_...` requires it.
pub fn engine_if_there<T: Scalar>(name: &str, settings: &Settings) -> Option<Arc<dyn Engine<T>>> {
    match engine::open_with(name, settings) {
        Ok(engine) => Some(engine),
        Err(error) if T::NAME == "f64" && error.to_string().contains("the device has no f64") => {
            assert!(engine::open_with::<f32>(name, settings).is_ok(), "{error}");
            eprintln!("LEFT OUT in f64: {error}; f32 is tested on it");
            None
        }
        Err(error) if matches!(error.kind(), ErrorKind::Unavailable { .. }) => {
            let needed = if settings.library == Library::Always { "cublaslt" } else { name };
            let ensured = format!("TRAVERTINE_ENSURE_{}", needed.to_uppercase());
            assert!(std::env::var_os(&ensured).is_none(), "{ensured} is set, but {error}");
            eprintln!("LEFT OUT: {error}");
            None
        }
        Err(error) => panic!("{name}: {error}"),
    }
}

/// Settings for cuBLASLt.
fn library(library: Library) -> Settings {
    let mut settings = Settings::default();
    settings.library = library;
    settings.fusion = Fusion::Never;
    settings
}

/// All engines of this machine: the CPU with one thread and with several, CUDA with our products and with cuBLASLt's, OpenCL as it is and
/// OpenCL with the limits of a small GPU.
pub fn engines<T: Scalar>() -> Vec<(&'static str, Arc<dyn Engine<T>>)> {
    let all = [
        ("cpu", "cpu, 1 thread", Settings::threads(1)),
        ("cpu", "cpu, 3 threads", Settings::threads(3)),
        ("cuda", "cuda", library(Library::Never)),
        ("cuda", "cuda with cuBLASLt", library(Library::Always)),
        ("opencl", "opencl", Settings::default()),
        ("opencl", "opencl as a small GPU", limited(SMALL_DEVICE)),
    ];
    all.into_iter()
        .filter_map(|(name, words, settings)| Some((words, engine_if_there(name, &settings)?)))
        .collect()
}

/// Uniform random numbers in [-1, 1).
pub fn random<T: Scalar>(count: usize, seed: u64) -> Vec<T> {
    let stream = Philox::new(seed, Purpose::User, 0);
    (0..count as u64).map(|i| T::from_f64(2.0 * stream.uniform(i) - 1.0)).collect()
}

/// As [`random`], in [-by, by).
pub fn scaled<T: Scalar>(count: usize, seed: u64, by: f64) -> Vec<T> {
    random::<f64>(count, seed).into_iter().map(|x| T::from_f64(x * by)).collect()
}

pub fn numbers<T: Scalar>(values: Vec<T>) -> Vec<f64> {
    values.into_iter().map(T::to_f64).collect()
}

/// Every element within `bound` times the largest one, or 1.
pub fn assert_close(ours: &[f64], theirs: &[f64], bound: f64, what: &str) {
    assert_eq!(ours.len(), theirs.len(), "{what}");
    let largest = theirs.iter().fold(1.0, |most: f64, x| most.max(x.abs()));
    for (i, (ours, theirs)) in ours.iter().zip(theirs).enumerate() {
        let error = (ours - theirs).abs() / largest;
        assert!(error < bound, "{what}: element {i} is {ours}, not {theirs}");
    }
}

/// One-hot targets: `classes x samples`.
pub fn one_hot<T: Scalar>(classes: usize, samples: usize) -> Vec<T> {
    (0..classes * samples)
        .map(|i| T::from_f64(f64::from(u8::from(i % classes == i / classes % classes))))
        .collect()
}

fn sigmoid(z: f64) -> f64 {
    1.0 / (1.0 + (-z).exp())
}

pub fn normal_cdf(x: f64) -> f64 {
    0.5 * libm::erfc(-x / 2f64.sqrt())
}

/// `a = f(z)` for one sample.
pub fn activate(activation: Activation, z: &[f64]) -> Vec<f64> {
    let each = |f: fn(f64) -> f64| z.iter().copied().map(f).collect();
    match activation {
        Activation::Identity => z.to_vec(),
        Activation::Sigmoid => each(sigmoid),
        Activation::Tanh => each(f64::tanh),
        Activation::Relu => each(|z| if z > 0.0 { z } else { 0.0 }),
        Activation::LeakyRelu(slope) => {
            z.iter().map(|&z| if z > 0.0 { z } else { slope * z }).collect()
        }
        Activation::Elu(alpha) => {
            z.iter().map(|&z| if z > 0.0 { z } else { alpha * z.exp_m1() }).collect()
        }
        Activation::Gelu => each(|z| z * normal_cdf(z)),
        Activation::Silu => each(|z| z * sigmoid(z)),
        Activation::Selu => each(|z| {
            let (lambda, alpha) = (1.0507009873554805, 1.6732632423543772);
            lambda * if z > 0.0 { z } else { alpha * z.exp_m1() }
        }),
        Activation::Mish => each(|z| z * z.exp().ln_1p().tanh()),
        Activation::Softplus => each(|z| z.exp().ln_1p()),
        Activation::Softmax => {
            let sum: f64 = z.iter().map(|z| z.exp()).sum();
            z.iter().map(|z| z.exp() / sum).collect()
        }
        _ => unreachable!("an activation without a reference"),
    }
}

/// The loss of one sample, from its output a, or from its logits z if the loss is the cross-entropy of that output.
pub fn loss(loss: Loss, output: Activation, z: &[f64], t: &[f64]) -> f64 {
    let a = activate(output, z);
    let pairs = |f: &dyn Fn(f64, f64) -> f64| a.iter().zip(t).map(|(&a, &t)| f(a, t)).sum();
    let fused = matches!(
        (loss, output),
        (Loss::BinaryCrossEntropy, Activation::Sigmoid)
            | (Loss::SoftmaxCrossEntropy, Activation::Softmax)
    );
    let logits = if fused { z } else { &a };
    match loss {
        Loss::Quadratic => pairs(&|a, t| (a - t).powi(2) / 2.0),
        Loss::MeanAbsolute => pairs(&|a, t| (a - t).abs()),
        Loss::Huber(d) => pairs(&|a, t| {
            let e = (a - t).abs();
            if e <= d { e * e / 2.0 } else { d * (e - d / 2.0) }
        }),
        Loss::BinaryCrossEntropy => logits
            .iter()
            .zip(t)
            .map(|(&z, &t)| -(t * sigmoid(z).ln() + (1.0 - t) * sigmoid(-z).ln()))
            .sum(),
        Loss::SoftmaxCrossEntropy => {
            let p = activate(Activation::Softmax, logits);
            p.iter().zip(t).map(|(p, t)| -t * p.ln()).sum()
        }
        _ => unreachable!("a loss without a reference"),
    }
}

/// A dense layer of plain numbers.
#[derive(Clone)]
pub struct Layer {
    /// `outputs x inputs`, column-major
    pub weights: Vec<f64>,
    pub bias: Vec<f64>,
    pub activation: Activation,
}

impl Layer {
    pub fn z(&self, x: &[f64]) -> Vec<f64> {
        let outputs = self.bias.len();
        let row = |i: usize| {
            x.iter().enumerate().map(|(j, x)| self.weights[i + j * outputs] * x).sum::<f64>()
        };
        (0..outputs).map(|i| self.bias[i] + row(i)).collect()
    }
}

/// The parameters of a network as plain numbers.
pub fn layers<T: Scalar>(network: &travertine::Network<T>) -> Vec<Layer> {
    let numbers = |values: Vec<T>| values.into_iter().map(T::to_f64).collect();
    let layer = |layer: &dyn travertine::layer::Layer<T>| Layer {
        weights: numbers(layer.weights().to_vec().unwrap()),
        bias: numbers(layer.bias().to_vec().unwrap()),
        activation: layer.activation(),
    };
    network.layers().iter().map(|one| layer(&**one)).collect()
}

/// The z of the last layer for one sample.
pub fn last_z(layers: &[Layer], x: &[f64]) -> Vec<f64> {
    let (last, hidden) = layers.split_last().unwrap();
    let x = hidden.iter().fold(x.to_vec(), |x, layer| activate(layer.activation, &layer.z(&x)));
    last.z(&x)
}

/// The gradient of the mean quadratic loss by weights and bias of every layer, for networks of tanh and sigmoid, by the four
/// equations.
pub fn gradients(layers: &[Layer], x: &[Vec<f64>], t: &[Vec<f64>]) -> Vec<[Vec<f64>; 2]> {
    let derivative = |activation: Activation, a: f64| match activation {
        Activation::Tanh => 1.0 - a * a,
        Activation::Sigmoid => a * (1.0 - a),
        _ => unreachable!("tanh and sigmoid alone"),
    };
    let mut gradients: Vec<_> = layers
        .iter()
        .map(|layer| [vec![0.0; layer.weights.len()], vec![0.0; layer.bias.len()]])
        .collect();
    let share = 1.0 / x.len() as f64;
    for (x, t) in x.iter().zip(t) {
        let mut a = vec![x.clone()];
        for layer in layers.iter() {
            a.push(activate(layer.activation, &layer.z(&a[a.len() - 1])));
        }
        let mut error: Vec<f64> = a[layers.len()].iter().zip(t).map(|(a, t)| a - t).collect();
        for l in (0..layers.len()).rev() {
            let (input, output, layer) = (&a[l], &a[l + 1], &layers[l]);
            let delta: Vec<f64> = error
                .iter()
                .zip(output)
                .map(|(e, &a)| e * derivative(layer.activation, a))
                .collect();
            for (i, d) in delta.iter().enumerate() {
                gradients[l][1][i] += share * d;
                for (j, x) in input.iter().enumerate() {
                    gradients[l][0][i + j * delta.len()] += share * d * x;
                }
            }
            error = (0..input.len())
                .map(|j| {
                    delta
                        .iter()
                        .enumerate()
                        .map(|(i, d)| layer.weights[i + j * delta.len()] * d)
                        .sum()
                })
                .collect();
        }
    }
    gradients
}

/// One step of gradient descent, as [`gradients`].
pub fn sgd_step(layers: &mut [Layer], x: &[Vec<f64>], t: &[Vec<f64>], rate: f64) {
    let gradients = gradients(layers, x, t);
    for (layer, [weights, bias]) in layers.iter_mut().zip(gradients) {
        layer.weights.iter_mut().zip(weights).for_each(|(w, g)| *w -= rate * g);
        layer.bias.iter_mut().zip(bias).for_each(|(b, g)| *b -= rate * g);
    }
}

/// Largest difference over largest magnitude.
pub fn relative(ours: &[f64], reference: &[f64]) -> f64 {
    assert_eq!(ours.len(), reference.len());
    let largest = reference.iter().fold(f64::MIN_POSITIVE, |m, x| m.max(x.abs()));
    let worst = ours
        .iter()
        .zip(reference)
        .map(|(a, b)| (a - b).abs())
        .fold(0.0, |m: f64, d| if d.is_nan() { d } else { m.max(d) });
    worst / largest
}

/// The factors by which a trainer multiplies the learning rate in each step, when it observes these losses.
pub fn rates(schedule: Schedule, losses: &[f64]) -> Vec<f64> {
    let cpu = engine::open::<f64>("cpu").unwrap();
    let mut network = Network::builder(&cpu, 2).dense(1, Activation::Identity).build().unwrap();
    let (x, t) = (Matrix::zeros(&cpu, 2, 1).unwrap(), Matrix::zeros(&cpu, 1, 1).unwrap());
    let mut trainer = Trainer::builder(&mut network, Loss::Quadratic, Sgd::new(0.1).unwrap())
        .batch(1)
        .seed(1)
        .schedule(schedule)
        .build()
        .unwrap();
    let rate = |loss: &f64| {
        let rate = trainer.rate_factor();
        trainer.step(x.view(), t.view()).unwrap();
        trainer.observe_loss(*loss);
        rate
    };
    losses.iter().map(rate).collect()
}

/// Whether a trainer accepts the loss behind an output layer of three outputs: it refuses the four pairs that cannot be learned.
pub fn is_learnable(output: Activation, loss: Loss) -> bool {
    let cpu = engine::open::<f32>("cpu").unwrap();
    let mut network = Network::builder(&cpu, 5).dense(3, output).build().unwrap();
    Trainer::builder(&mut network, loss, Sgd::new(0.1).unwrap()).build().is_ok()
}
