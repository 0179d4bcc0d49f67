//! Embeddings of numbers: against plain f64, central differences, other numbers of threads, and files.

use std::f64::consts::TAU;
use std::sync::Arc;

use crate::common::{self, assert_close, classes, engines, numbers, one_hot, random, scaled};
use travertine::engine::{self, Engine, Fusion, Library, MatmulPrecision, Settings};
use travertine::layer::{Layer, LayerKind, NumberEmbedding, Role};
use travertine::model_file::{self, ModelInfo};
use travertine::optimizer::{Adam, Sgd};
use travertine::trainer::Factors;
use travertine::{
    Activation, Dropout, Init, Loss, Matrix, Network, Scalar, Trainer, check_gradients,
};

type Device<T> = Arc<dyn Engine<T>>;

/// Inputs, the embedded ones, and samples.
const SHAPES: [(usize, &[usize], usize); 8] = [
    (1, &[0], 1),
    (1, &[0], 300),
    (5, &[3], 5),
    (9, &[0, 1, 2, 4, 5, 7, 8], 1),
    (9, &[0, 1, 2, 4, 5, 7, 8], 5),
    (11, &[1, 2, 3, 4, 6, 9, 10], 64),
    (7, &[0, 1, 2, 3, 4, 5, 6], 300),
    (90, &[11, 12, 40, 41, 60, 88, 89], 1300),
];

/// A layer with larger parameters than the initial ones, so that angles are of several turns.
fn layer<T: Scalar>(device: &Device<T>, inputs: usize, columns: &[usize]) -> NumberEmbedding<T> {
    let mut layer = NumberEmbedding::new(device, inputs, columns).unwrap();
    let m = columns.len();
    layer.weights_mut().write(&scaled(m * 64, 1, 0.8)).unwrap();
    layer.bias_mut().write(&scaled(m * 19, 2, 4.0)).unwrap();
    layer
}

/// The parameters of a layer as plain numbers, and the formula.
struct Plain {
    inputs: usize,
    columns: Vec<usize>,
    weights: Vec<f64>,
    bias: Vec<f64>,
}

impl Plain {
    fn of<T: Scalar>(layer: &NumberEmbedding<T>, columns: &[usize]) -> Plain {
        Plain {
            inputs: layer.inputs(),
            columns: columns.to_vec(),
            weights: numbers(layer.weights().to_vec().unwrap()),
            bias: numbers(layer.bias().to_vec().unwrap()),
        }
    }

    fn m(&self) -> usize {
        self.columns.len()
    }

    fn weight(&self, k: usize, column: usize) -> f64 {
        self.weights[k + column * self.m()]
    }

    fn angle(&self, k: usize, f: usize, x: f64) -> f64 {
        let turns = self.weight(k, f) * x;
        TAU * (turns - turns.round()) + self.bias[k + f * self.m()]
    }

    fn outputs(&self, x: &[f64]) -> Vec<f64> {
        let mut all = Vec::new();
        for x in x.chunks(self.inputs) {
            all.extend(x);
            for (k, &column) in self.columns.iter().enumerate() {
                for r in 0..3 {
                    let term = |f: usize| {
                        self.weight(k, 16 * (r + 1) + f) * self.angle(k, f, x[column]).cos()
                    };
                    all.push(self.bias[k + (16 + r) * self.m()] + (0..16).map(term).sum::<f64>());
                }
            }
        }
        all
    }

    /// The mean gradients by weights and bias.
    fn gradients(&self, x: &[f64], delta: &[f64]) -> [Vec<f64>; 2] {
        let (m, samples) = (self.m(), x.len() / self.inputs);
        let (mut weights, mut bias) = (vec![0.0; m * 64], vec![0.0; m * 19]);
        for (x, delta) in x.chunks(self.inputs).zip(delta.chunks(self.inputs + 3 * m)) {
            for (k, &column) in self.columns.iter().enumerate() {
                let (x, delta) = (x[column], &delta[self.inputs + 3 * k..][..3]);
                for f in 0..16 {
                    let angle = self.angle(k, f, x);
                    let by_cos: f64 =
                        (0..3).map(|r| delta[r] * self.weight(k, 16 * (r + 1) + f)).sum();
                    let g = -angle.sin() * by_cos;
                    weights[k + f * m] += TAU * x * g;
                    bias[k + f * m] += g;
                    for r in 0..3 {
                        weights[k + (16 * (r + 1) + f) * m] += delta[r] * angle.cos();
                    }
                }
                (0..3).for_each(|r| bias[k + (16 + r) * m] += delta[r]);
            }
        }
        [weights, bias].map(|sums| sums.iter().map(|sum| sum / samples as f64).collect())
    }
}

#[test]
fn outputs_and_gradients_are_those_of_the_formula() {
    fn with<T: Scalar>(bound: f64) {
        for (words, device) in engines::<T>() {
            for (inputs, columns, samples) in SHAPES {
                let what = format!("{words}, {} of {inputs} x {samples}", columns.len());
                let mut layer = layer(&device, inputs, columns);
                let plain = Plain::of(&layer, columns);
                let values: Vec<T> = scaled(inputs * samples, 3, 3.0);
                let x = Matrix::from_slice(&device, inputs, samples, &values).unwrap();
                let values = numbers(values);
                let expected = plain.outputs(&values);
                let outputs = layer.outputs();
                assert_eq!(outputs, inputs + 3 * columns.len());

                let mut a = Matrix::zeros(&device, outputs, samples).unwrap();
                layer.infer(Role::Output, None, x.view(), a.view_mut()).unwrap();
                assert_close(&numbers(a.to_vec().unwrap()), &expected, bound, &what);
                // Samples that lie in rows.
                let turned =
                    Matrix::from_slice(&device, samples, inputs, &x.view().t().to_vec().unwrap())
                        .unwrap();
                let mut b = Matrix::zeros(&device, outputs, samples).unwrap();
                layer.infer(Role::Hidden, None, turned.view().t(), b.view_mut()).unwrap();
                assert_eq!(a.to_vec().unwrap(), b.to_vec().unwrap(), "{what}");

                let mut training = layer.training(samples + 3, Role::Hidden).unwrap();
                training.forward(x.view()).unwrap();
                let output = training.output(samples).unwrap().to_vec().unwrap();
                assert_eq!(output, a.to_vec().unwrap(), "{what}");
                let delta: Vec<T> = random(outputs * samples, 5);
                let (_, mut place) = training.output_and_delta_mut(samples).unwrap();
                place.write(&delta).unwrap();
                let gradients = plain.gradients(&values, &numbers(delta));
                let old = [random::<T>(columns.len() * 64, 6), random::<T>(columns.len() * 19, 7)];
                for (scale, keep) in [(1.0, 0.0), (-0.5, 0.25)] {
                    let m = columns.len();
                    // What is not kept may be anything.
                    let old = old.clone().map(|old| match keep {
                        0.0 => vec![T::from_f64(f64::NAN); old.len()],
                        _ => old,
                    });
                    let mut sinks = [(64, &old[0]), (19, &old[1])]
                        .map(|(c, old)| Matrix::from_slice(&device, m, c, old).unwrap());
                    let views = sinks.each_mut().map(Matrix::view_mut);
                    training.gradient(x.view(), views, scale, keep).unwrap();
                    for ((sink, gradient), old) in sinks.iter().zip(&gradients).zip(old) {
                        let expected: Vec<f64> = gradient
                            .iter()
                            .zip(numbers(old))
                            .map(|(g, old)| scale * g + if keep == 0.0 { 0.0 } else { keep * old })
                            .collect();
                        let sink = numbers(sink.to_vec().unwrap());
                        assert_close(&sink, &expected, bound, &format!("{what}, keep {keep}"));
                    }
                }
                let before = [plain.weights.clone(), plain.bias.clone()];
                training.descend(x.view(), -0.1, 1.0).unwrap();
                let after = [training.weights().to_vec(), training.bias().to_vec()];
                for ((after, before), g) in after.into_iter().zip(before).zip(&gradients) {
                    let expected: Vec<f64> =
                        before.iter().zip(g).map(|(before, g)| before - 0.1 * g).collect();
                    let after = numbers(after.unwrap());
                    assert_close(&after, &expected, bound, &format!("{what}, descent"));
                }
            }
        }
    }
    with::<f32>(3e-6);
    with::<f64>(1e-13);
}

/// Angles of many turns, and features that are no numbers.
#[test]
fn large_and_special_numbers() {
    for (words, device) in engines::<f64>() {
        let layer = layer(&device, 1, &[0]);
        let plain = Plain::of(&layer, &[0]);
        // Products with w1 that f64 has exactly.
        let mut exact = layer;
        let w1: Vec<f64> = (0..16).map(|f| f64::from(2 * f + 1) / 1024.0).collect();
        exact.weights_mut().sub_columns(0..16).unwrap().write(&w1).unwrap();
        let plain = Plain { weights: numbers(exact.weights().to_vec().unwrap()), ..plain };
        let values = [1e6 + 0.125, -3e9, 7.0, 1e-30, 0.0, -0.0];
        let x = Matrix::from_slice(&device, 1, values.len(), &values).unwrap();
        let mut a = Matrix::zeros(&device, 4, values.len()).unwrap();
        exact.infer(Role::Output, None, x.view(), a.view_mut()).unwrap();
        let outputs = a.to_vec().unwrap();
        assert_close(&outputs[..], &plain.outputs(&values), 1e-9, words);
        let embedding = |from: usize| outputs[4 * from + 1..4 * from + 4].to_vec();
        assert_close(&embedding(0), &plain.outputs(&values)[1..4], 1e-12, words);
        assert_eq!(embedding(4), embedding(5), "{words}: zeros");
    }
    fn special<T: Scalar>() {
        for (words, device) in engines::<T>() {
            let mut layer = layer(&device, 2, &[0, 1]);
            let values = [f64::NAN, 1.0, 1.0, f64::INFINITY, f64::NEG_INFINITY, 2.0];
            let x = Matrix::from_slice(&device, 2, 3, &values.map(T::from_f64)).unwrap();
            let infer = |layer: &NumberEmbedding<T>| {
                let mut a = Matrix::zeros(&device, 8, 3).unwrap();
                layer.infer(Role::Output, None, x.view(), a.view_mut()).unwrap();
                numbers(a.to_vec().unwrap())
            };
            let outputs = infer(&layer);
            for (j, bad) in [0, 1, 0].into_iter().enumerate() {
                for row in 2..8 {
                    let is_nan = outputs[8 * j + row].is_nan();
                    assert_eq!(is_nan, (row - 2) / 3 == bad, "{words}, sample {j}, row {row}");
                }
            }
            // A program may write wrong column numbers; reads stay inside the input all the same.
            for wrong in [-1.0, 2.0, 0.5, 1e30, f64::NAN, f64::INFINITY] {
                let wrong = [T::from_f64(1.0), T::from_f64(wrong)];
                layer.statistics_mut().unwrap().write(&wrong).unwrap();
                let outputs = infer(&layer);
                assert!(!outputs[2].is_nan() && outputs[5].is_nan(), "{words}, {wrong:?}");
                let mut training = layer.training(3, Role::Hidden).unwrap();
                training.forward(x.view()).unwrap();
                training.output_and_delta_mut(3).unwrap().1.write(&random(24, 1)).unwrap();
                training.descend(x.view(), 0.0, 1.0).unwrap();
                drop(training);
                assert!(numbers(layer.weights().to_vec().unwrap())[1].is_nan(), "{words}");
                layer.weights_mut().write(&scaled(128, 1, 0.8)).unwrap();
                layer.bias_mut().write(&scaled(38, 2, 0.8)).unwrap();
            }
        }
    }
    special::<f32>();
    special::<f64>();
}

fn network<T: Scalar>(device: &Device<T>) -> Network<T> {
    Network::builder(device, 6)
        .embed_numbers(&[0, 2, 3, 5])
        .dense(20, Activation::Tanh)
        .dense(3, Activation::Softmax)
        .seed(1)
        .build()
        .unwrap()
}

#[test]
fn gradients_are_those_of_central_differences() {
    for (words, device) in engines::<f64>() {
        let x = Matrix::from_slice(&device, 6, 7, &scaled(42, 3, 2.0)).unwrap();
        let t = Matrix::from_slice(&device, 3, 7, &one_hot(3, 7)).unwrap();
        let (loss, mut networks) = (Loss::SoftmaxCrossEntropy, vec![network(&device)]);
        let builder = Network::builder(&device, 6).embed_numbers(&[1, 4]).seed(3);
        let builder = builder.batch_norm(Activation::Tanh).dense(3, Activation::Softmax);
        networks.push(builder.build().unwrap());
        for mut network in networks {
            let check = check_gradients(&mut network, loss, x.view(), t.view(), 1e-5).unwrap();
            assert!(check.relative_error < 1e-6, "{words}: {check:?}");
        }
        // Nothing behind it.
        let mut alone = Network::builder(&device, 2).embed_numbers(&[1]).seed(2).build().unwrap();
        let x = Matrix::from_slice(&device, 2, 3, &random(6, 3)).unwrap();
        let t = Matrix::from_slice(&device, 5, 3, &random(15, 4)).unwrap();
        let check = check_gradients(&mut alone, Loss::Quadratic, x.view(), t.view(), 1e-5).unwrap();
        assert!(check.relative_error < 1e-6, "{words}: {check:?}");
    }
}

fn trained<T: Scalar>(device: &Device<T>, samples: usize, batch: usize) -> Network<T> {
    let mut network = network(device);
    let slow = Factors { rate: 0.1, decay: 1.0 };
    let factors = vec![[slow; 2], [Factors::default(); 2], [Factors::default(); 2]];
    let dropout = Dropout { inputs: 0.0, hidden: 0.2 };
    classes::train(&mut network, (samples, batch), |builder| {
        builder.dropout(dropout).factors(factors)
    });
    network
}

/// The layer reads a delta, and writes an output, that engines keep in 16 bits too.
#[test]
fn dense_layers_behind_it_may_multiply_in_less_precision() {
    let cpu = engine::open::<f32>("cpu").unwrap();
    let columns: Vec<usize> = (0..16).collect();
    // Two steps, because the second reads what the first has written.
    let steps = |device: &Device<f32>| -> [Vec<f64>; 2] {
        let mut network = Network::builder(device, 16)
            .embed_numbers(&columns)
            .dense(48, Activation::Tanh)
            .dense(16, Activation::Identity)
            .seed(1)
            .build()
            .unwrap();
        let x = Matrix::from_slice(device, 16, 32, &scaled(16 * 32, 3, 2.0)).unwrap();
        let t = Matrix::from_slice(device, 16, 32, &scaled(16 * 32, 4, 8.0)).unwrap();
        let optimizer = Sgd::new(0.1).unwrap();
        let mut trainer = Trainer::builder(&mut network, Loss::Quadratic, optimizer)
            .batch(32)
            .seed(1)
            .build()
            .unwrap();
        (0..2).for_each(|_| trainer.step(x.view(), t.view()).unwrap());
        drop(trainer);
        let layer = &network.layers()[0];
        [layer.weights(), layer.bias()].map(|x| numbers(x.to_vec().unwrap()))
    };
    let exact = steps(&cpu);
    let initial = Network::builder(&cpu, 16).embed_numbers(&columns).seed(1).build().unwrap();
    let initial = &initial.layers()[0];
    let initial = [initial.weights(), initial.bias()].map(|x| numbers(x.to_vec().unwrap()));
    for precision in [MatmulPrecision::Tf32, MatmulPrecision::Bf16, MatmulPrecision::F16] {
        let mut settings = Settings::default();
        settings.matmul = precision;
        settings.library = Library::Always;
        settings.fusion = Fusion::Never;
        let Some(device) = common::engine_if_there("cuda", &settings) else { return };
        for ((found, exact), initial) in steps(&device).iter().zip(&exact).zip(&initial) {
            let moved = |x: &[f64]| -> Vec<f64> {
                x.iter().zip(initial).map(|(x, before)| x - before).collect()
            };
            let apart = common::relative(&moved(found), &moved(exact));
            assert!(apart < 0.02, "{precision:?}: {apart}");
        }
    }
}

#[test]
fn any_number_of_threads_gives_the_same_bits() {
    classes::assert_threads_give_the_same_bits(trained::<f32>);
    classes::assert_threads_give_the_same_bits(trained::<f64>);
}

#[test]
fn training_lowers_the_loss_on_every_engine() {
    for (words, device) in engines::<f32>() {
        let (before, after) = (network(&device), trained(&device, 100, 13));
        assert_ne!(classes::bits(&before), classes::bits(&after));
        let columns = |network: &Network<f32>| network.layers()[0].statistics().unwrap().to_vec();
        assert_eq!(columns(&after).unwrap(), [0.0, 2.0, 3.0, 5.0], "{words}");
        classes::assert_loss_falls(words, &before, &after, 100);
    }
}

#[test]
fn initial_values_are_those_of_the_paper() {
    let cpu = engine::open::<f64>("cpu").unwrap();
    let columns: Vec<usize> = (0..300).collect();
    let build = |init: Init, seed: u64| {
        let builder = Network::builder(&cpu, 300).embed_numbers(&columns);
        builder.dense(1, Activation::Identity).init(init).seed(seed).build().unwrap()
    };
    let network = build(Init::Zeros, 1);
    let layer = &network.layers()[0];
    let (weights, bias) = (layer.weights().to_vec().unwrap(), layer.bias().to_vec().unwrap());
    let rms = |x: &[f64]| (x.iter().map(|x| x * x).sum::<f64>() / x.len() as f64).sqrt();
    let largest = |x: &[f64]| x.iter().fold(0.0, |most: f64, x| most.max(x.abs()));
    let (w1, w2) = weights.split_at(4800);
    let (b1, b2) = bias.split_at(4800);
    assert!((rms(w1) - 0.1).abs() < 0.005 && largest(w1) > 0.25);
    for (values, bound) in [(w2, 0.25), (b1, std::f64::consts::PI), (b2, 0.25)] {
        assert!(largest(values) <= bound && largest(values) > 0.98 * bound);
        assert!((rms(values) / bound - 1.0 / 3f64.sqrt()).abs() < 0.02);
    }
    assert_eq!(classes::bits(&build(Init::HeNormal, 1))[..100], classes::bits(&network)[..100]);
    assert_ne!(classes::bits(&build(Init::Zeros, 2))[..100], classes::bits(&network)[..100]);
}

#[test]
fn what_does_not_fit_is_refused() {
    let cpu = engine::open::<f32>("cpu").unwrap();
    for (columns, words) in [
        (&[][..], "at least one feature"),
        (&[4], "column 4 at 0"),
        (&[1, 1], "column 1 at 1"),
        (&[2, 0], "a whole number from 3 on below 4"),
    ] {
        let error = NumberEmbedding::new(&cpu, 4, columns).err().unwrap().to_string();
        assert!(error.contains(words), "{error}");
        let builder = Network::builder(&cpu, 4).embed_numbers(columns);
        let error = builder.dense(2, Activation::Relu).build().err().unwrap().to_string();
        assert!(error.contains(words), "{error}");
    }
    let second = Network::builder(&cpu, 4).dense(4, Activation::Relu).embed_numbers(&[1]).build();
    let error = second.err().unwrap().to_string();
    assert!(error.contains("layer 1 is number_embedding"), "{error}");
    let twice = Network::builder(&cpu, 4).embed_numbers(&[0]).embed_numbers(&[1]).build();
    assert!(twice.err().unwrap().to_string().contains("layer 1 is number_embedding"));

    let (mut one, mut other) = (layer(&cpu, 2, &[0]), layer(&cpu, 5, &[0]));
    let mut before = one.training(3, Role::Hidden).unwrap();
    let mut training = other.training(3, Role::Hidden).unwrap();
    let error = training.propagate(&mut *before, 3).unwrap_err().to_string();
    assert!(error.contains("is the first"), "{error}");
    let x = Matrix::<f32>::zeros(&cpu, 4, 3).unwrap();
    let error = training.forward(x.view()).unwrap_err().to_string();
    assert!(error.contains("4 rows") && error.contains("5"), "{error}");
    assert_eq!(training.kind(), LayerKind::NumberEmbedding);

    let mut network = Network::builder(&cpu, 4).embed_numbers(&[1]).build().unwrap();
    let dropout = Dropout { inputs: 0.0, hidden: 0.5 };
    let trainer = Trainer::builder(&mut network, Loss::Quadratic, Adam::new(0.1).unwrap());
    let error = trainer.dropout(dropout).build().err().unwrap().to_string();
    assert!(error.contains("no hidden layers"), "{error}");
}

/// A folder that goes away with the test.
struct Folder(std::path::PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let name = format!("travertine-embedding-{name}-{}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).unwrap();
        Folder(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[test]
fn saved_and_loaded() {
    let folder = Folder::new("saved");
    let path = folder.0.join("model.safetensors");
    let cpu = engine::open::<f32>("cpu").unwrap();
    let network = trained(&cpu, 40, 13);
    let info = ModelInfo::new(Loss::SoftmaxCrossEntropy);
    model_file::save(&path, &network, &info).unwrap();
    let text = String::from_utf8_lossy(&std::fs::read(&path).unwrap()).into_owned();
    assert!(text.contains("\\\"version\\\":4") && text.contains("number_embedding"));
    let (loaded, _) = model_file::load::<f32>(&path, &cpu).unwrap();
    assert_eq!(classes::bits(&loaded), classes::bits(&network));
    let x = Matrix::from_slice(&cpu, 6, 7, &random(42, 1)).unwrap();
    let output = |network: &Network<f32>| network.infer(x.view()).unwrap().to_vec().unwrap();
    assert_eq!(output(&loaded), output(&network));
    assert_eq!(output(&network.copy().unwrap()), output(&network));
    let described = model_file::describe(&path).unwrap();
    assert_eq!(described.parameters, network.parameters());
    let layer = &described.layers[0];
    assert_eq!((layer.kind, layer.inputs, layer.outputs), (LayerKind::NumberEmbedding, 6, 18));
    assert!(model_file::load::<f64>(&path, &engine::open("cpu").unwrap()).is_ok());
    let printed = network.to_string();
    assert!(printed.contains("0  number_embedding  6 -> 18    identity   332"), "{printed}");

    let names = model_file::sequential_names(&network);
    model_file::save_weights(&path, &network, &names).unwrap();
    let mut other = Network::builder(&cpu, 6)
        .embed_numbers(&[0, 1, 2, 4])
        .dense(20, Activation::Tanh)
        .dense(3, Activation::Softmax)
        .build()
        .unwrap();
    other.load_weights(&path, &names).unwrap();
    assert_eq!(classes::bits(&other), classes::bits(&network));
}

#[test]
fn hostile_files_are_refused() {
    let folder = Folder::new("hostile");
    let path = folder.0.join("model.safetensors");
    let cpu = engine::open::<f32>("cpu").unwrap();
    let info = ModelInfo::new(Loss::SoftmaxCrossEntropy);
    let refuse = |words: &[&str]| {
        let error = model_file::load::<f32>(&path, &cpu).err().unwrap().to_string();
        assert!(words.iter().all(|word| error.contains(word)), "{words:?}: {error}");
        assert!(error.contains("model.safetensors"), "{error}");
    };
    for (columns, found) in [
        ([0.0, 2.0, 3.0, 6.0], "6 at 3"),
        ([0.0, 2.5, 3.0, 5.0], "2.5 at 1"),
        ([-1.0, 2.0, 3.0, 5.0], "-1 at 0"),
        ([0.0, 3.0, 2.0, 5.0], "2 at 2"),
        ([0.0, 2.0, 2.0, 5.0], "2 at 2"),
    ] {
        let mut network = network(&cpu);
        network.layers_mut()[0].statistics_mut().unwrap().write(&columns).unwrap();
        model_file::save(&path, &network, &info).unwrap();
        refuse(&["tensor layers.0.columns", found, "in ascending order"]);
        let names = model_file::sequential_names(&network);
        model_file::save_weights(&path, &network, &names).unwrap();
        let error = network.load_weights(&path, &names).unwrap_err().to_string();
        assert!(error.contains("tensor 0.columns") && error.contains(found), "{error}");
    }
    model_file::save(&path, &network(&cpu), &info).unwrap();
    let bytes = std::fs::read(&path).unwrap();
    // As many bytes, so that the lengths in the header stay right.
    for (from, to, words) in [
        ("\\\"inputs\\\":6,", "\\\"inputs\\\":7,", "layers.0 outputs"),
        ("\\\"inputs\\\":6,", "\\\"inputs\\\":3,", "layers.0 outputs"),
        ("\\\"inputs\\\":6,", "\\\"inputs\\\":9,", "tensor layers.0.weight"),
        ("\\\"outputs\\\":18,", "\\\"outputs\\\":12,", "layers.1 inputs"),
        ("identity", "softplus", "layers.0 activation"),
        ("[4,64]", "[8,32]", "tensor layers.0.weight"),
        ("layers.0.columns", "layers.0.volumns", "tensor layers.0.columns"),
        ("\\\"version\\\":4", "\\\"version\\\":9", "newer travertine"),
    ] {
        let at = bytes.windows(from.len()).position(|window| window == from.as_bytes());
        let at = at.unwrap_or_else(|| panic!("{from}"));
        let mut damaged = bytes.clone();
        damaged[at..at + from.len()].copy_from_slice(to.as_bytes());
        std::fs::write(&path, damaged).unwrap();
        refuse(&[words]);
    }
}
