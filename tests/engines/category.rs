//! Embeddings of categories: against plain f64, one-hot features, central differences, other numbers of threads, and files.

use std::path::PathBuf;
use std::sync::Arc;

use crate::common::{assert_close, classes, engines, numbers, one_hot, random, scaled};
use travertine::engine::{self, Engine};
use travertine::layer::{Categories, CategoryEmbedding, Layer, LayerKind, Role};
use travertine::model_file::{self, ModelInfo};
use travertine::optimizer::{Adam, Sgd};
use travertine::trainer::Factors;
use travertine::{Activation, Dropout, Loss, Matrix, Network, Scalar, Trainer, check_gradients};

type Device<T> = Arc<dyn Engine<T>>;

fn of(features: &[(usize, usize)]) -> Vec<Categories> {
    features.iter().map(|&(feature, count)| Categories { feature, count }).collect()
}

/// Numbers of features, and how many categories each has.
type Embedded = &'static [(usize, usize)];

/// Inputs, the embedded ones, and samples.
const SHAPES: [(usize, Embedded, usize); 6] = [
    (1, &[(0, 1)], 1),
    (1, &[(0, 700)], 300),
    (5, &[(3, 9)], 5),
    (9, &[(0, 2), (1, 30), (4, 1), (8, 5)], 64),
    (4, &[(0, 3), (1, 3), (2, 3), (3, 3)], 1),
    (90, &[(11, 40), (12, 1500), (60, 7)], 1300),
];

/// Numbers beside those of categories; every 7th sample has none, others go through the categories.
fn samples<T: Scalar>(inputs: usize, features: &[Categories], samples: usize) -> Vec<T> {
    let mut x = scaled(inputs * samples, 3, 3.0);
    for (j, sample) in x.chunks_mut(inputs).enumerate() {
        for (k, of) in features.iter().enumerate() {
            let code = if j % 7 == 6 { 0 } else { (j * (5 + k)) % of.count + 1 };
            sample[of.feature] = T::from_f64(code as f64);
        }
    }
    x
}

/// The output of a layer with these weights (`8 x categories`).
fn outputs(weights: &[f64], inputs: usize, features: &[Categories], x: &[f64]) -> Vec<f64> {
    let mut all = Vec::new();
    for sample in x.chunks(inputs) {
        let (mut rows, mut more, mut first) = (sample.to_vec(), Vec::new(), 0);
        for of in features {
            let code = sample[of.feature];
            let vector = match code as usize {
                0 => vec![0.0; 8],
                code => weights[8 * (first + code - 1)..][..8].to_vec(),
            };
            rows[of.feature] = vector[0];
            more.extend(&vector[1..]);
            first += of.count;
        }
        all.extend(rows.into_iter().chain(more));
    }
    all
}

/// The mean gradient by the weights.
fn gradient(features: &[Categories], inputs: usize, x: &[f64], delta: &[f64]) -> Vec<f64> {
    let all: usize = features.iter().map(|of| of.count).sum();
    let mut sums = vec![0.0; 8 * all];
    let count = x.len() / inputs;
    for (x, delta) in x.chunks(inputs).zip(delta.chunks(inputs + 7 * features.len())) {
        let mut first = 0;
        for (k, of) in features.iter().enumerate() {
            if x[of.feature] != 0.0 {
                let column = &mut sums[8 * (first + x[of.feature] as usize - 1)..][..8];
                column[0] += delta[of.feature];
                let more = &delta[inputs + 7 * k..][..7];
                column[1..].iter_mut().zip(more).for_each(|(sum, d)| *sum += d);
            }
            first += of.count;
        }
    }
    sums.iter().map(|sum| sum / count as f64).collect()
}

#[test]
fn outputs_and_gradients_are_those_of_the_formula() {
    fn with<T: Scalar>(bound: f64) {
        for (words, device) in engines::<T>() {
            for (inputs, features, count) in SHAPES {
                let what = format!("{words}, {features:?} of {inputs} x {count}");
                let features = of(features);
                let mut layer = CategoryEmbedding::new(&device, inputs, &features).unwrap();
                let size = layer.weights().rows() * layer.weights().columns();
                let weights: Vec<T> = scaled(size, 1, 2.0);
                layer.weights_mut().write(&weights).unwrap();
                let weights = numbers(weights);
                let values: Vec<T> = samples(inputs, &features, count);
                let x = Matrix::from_slice(&device, inputs, count, &values).unwrap();
                let values = numbers(values);
                let expected = outputs(&weights, inputs, &features, &values);
                let rows = layer.outputs();
                assert_eq!(rows, inputs + 7 * features.len());

                let mut a = Matrix::zeros(&device, rows, count).unwrap();
                layer.infer(Role::Output, None, x.view(), a.view_mut()).unwrap();
                // Numbers are copied, not computed.
                assert_eq!(numbers(a.to_vec().unwrap()), expected, "{what}");
                // Samples that lie in rows.
                let rows_of_samples = x.view().t().to_vec().unwrap();
                let turned = Matrix::from_slice(&device, count, inputs, &rows_of_samples).unwrap();
                let mut b = Matrix::zeros(&device, rows, count).unwrap();
                layer.infer(Role::Hidden, None, turned.view().t(), b.view_mut()).unwrap();
                assert_eq!(a.to_vec().unwrap(), b.to_vec().unwrap(), "{what}");

                let mut training = layer.training(count + 3, Role::Hidden).unwrap();
                training.forward(x.view()).unwrap();
                let output = training.output(count).unwrap().to_vec().unwrap();
                assert_eq!(output, a.to_vec().unwrap(), "{what}");
                let delta: Vec<T> = random(rows * count, 5);
                training.output_and_delta_mut(count).unwrap().1.write(&delta).unwrap();
                let expected = gradient(&features, inputs, &values, &numbers(delta));
                for (scale, keep) in [(1.0, 0.0), (-0.5, 0.25)] {
                    // What is not kept may be anything.
                    let old: Vec<T> = match keep {
                        0.0 => vec![T::from_f64(f64::NAN); size],
                        _ => random(size, 6),
                    };
                    let mut sink = Matrix::from_slice(&device, 8, size / 8, &old).unwrap();
                    let mut bias = Matrix::zeros(&device, 1, 1).unwrap();
                    let sinks = [sink.view_mut(), bias.view_mut()];
                    training.gradient(x.view(), sinks, scale, keep).unwrap();
                    let kept = |old: f64| if keep == 0.0 { 0.0 } else { keep * old };
                    let pairs = expected.iter().zip(numbers(old));
                    let expected: Vec<f64> = pairs.map(|(g, old)| scale * g + kept(old)).collect();
                    let what = format!("{what}, keep {keep}");
                    assert_close(&numbers(sink.to_vec().unwrap()), &expected, bound, &what);
                }
                training.descend(x.view(), -0.1, 1.0).unwrap();
                let after = numbers(training.weights().to_vec().unwrap());
                let pairs = weights.iter().zip(&expected);
                let expected: Vec<f64> = pairs.map(|(before, g)| before - 0.1 * g).collect();
                assert_close(&after, &expected, bound, &format!("{what}, descent"));
            }
        }
    }
    with::<f32>(3e-6);
    with::<f64>(1e-13);
}

/// What is no category of a feature has the vector NaN, and changes no other's.
#[test]
fn wrong_numbers_are_seen_and_stay_inside() {
    fn with<T: Scalar>() {
        for (words, device) in engines::<T>() {
            let features = of(&[(0, 3), (1, 2)]);
            let mut layer = CategoryEmbedding::new(&device, 2, &features).unwrap();
            layer.weights_mut().write(&scaled(40, 1, 2.0)).unwrap();
            for wrong in [4.0, -1.0, 0.5, 3.5, 1e30, f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
                let values = [wrong, 2.0, 3.0, 1.0].map(T::from_f64);
                let x = Matrix::from_slice(&device, 2, 2, &values).unwrap();
                let mut a = Matrix::zeros(&device, 16, 2).unwrap();
                layer.infer(Role::Output, None, x.view(), a.view_mut()).unwrap();
                let a = numbers(a.to_vec().unwrap());
                for (row, x) in a[..16].iter().enumerate() {
                    let is_its = row == 0 || (2..9).contains(&row);
                    assert_eq!(x.is_nan(), is_its, "{words}, {wrong}, row {row}");
                }
                assert!(a[16..].iter().all(|x| x.is_finite()), "{words}, {wrong}");
                let mut training = layer.training(2, Role::Hidden).unwrap();
                training.forward(x.view()).unwrap();
                training.output_and_delta_mut(2).unwrap().1.write(&random(32, 1)).unwrap();
                let before = training.weights().to_vec().unwrap();
                training.descend(x.view(), 1.0, 1.0).unwrap();
                let after = training.weights().to_vec().unwrap();
                // Categories 3 of the first feature, 2 and 1 of the second.
                let changed = |c: usize| before[8 * c..][..8] != after[8 * c..][..8];
                let changed: Vec<bool> = (0..5).map(changed).collect();
                assert_eq!(changed, [false, false, true, true, true], "{words}, {wrong}");
            }
        }
    }
    with::<f32>();
    with::<f64>();
}

/// Six features: numbers but the second and the fifth.
const FEATURES: [(usize, usize); 2] = [(1, 4), (4, 11)];

fn networks<T: Scalar>(device: &Device<T>) -> [Network<T>; 3] {
    let begin = || Network::builder(device, 6).seed(1);
    let features = of(&FEATURES);
    let alone = begin().embed_categories(&features).build();
    let dense = |builder: travertine::Builder<'_, T>| {
        builder.dense(12, Activation::Tanh).dense(3, Activation::Softmax).build()
    };
    let first = dense(begin().embed_categories(&features));
    let second = begin().embed_numbers(&[0, 2, 3, 5]).embed_categories(&features);
    let second = dense(second.scale(Activation::Identity));
    [alone, first, second].map(Result::unwrap)
}

#[test]
fn gradients_are_those_of_central_differences() {
    for (words, device) in engines::<f64>() {
        let values = samples(6, &of(&FEATURES), 9);
        let x = Matrix::from_slice(&device, 6, 9, &values).unwrap();
        let classes = Matrix::from_slice(&device, 3, 9, &one_hot(3, 9)).unwrap();
        let numbers = Matrix::from_slice(&device, 20, 9, &random(180, 4)).unwrap();
        for mut network in networks(&device) {
            let (loss, t) = match network.outputs() {
                3 => (Loss::SoftmaxCrossEntropy, &classes),
                _ => (Loss::Quadratic, &numbers),
            };
            let check = check_gradients(&mut network, loss, x.view(), t.view(), 1e-5).unwrap();
            assert!(check.relative_error < 1e-6, "{words}: {check:?}");
        }
    }
}

/// The product of a matrix with one-hot features is a lookup: both networks take the same steps.
#[test]
fn it_is_a_dense_layer_on_one_hot_features() {
    for (words, device) in engines::<f64>() {
        let (count, batch) = (5, 20);
        let codes: Vec<usize> = (0..batch).map(|j| j * 3 % (count + 1)).collect();
        let x: Vec<f64> = codes.iter().map(|code| *code as f64).collect();
        let x = Matrix::from_slice(&device, 1, batch, &x).unwrap();
        let hot = |code: usize| (1..=count).map(move |c| f64::from(u8::from(c == code)));
        let hot: Vec<f64> = codes.iter().flat_map(|code| hot(*code)).collect();
        let hot = Matrix::from_slice(&device, count, batch, &hot).unwrap();
        let t = Matrix::from_slice(&device, 2, batch, &one_hot(2, batch)).unwrap();
        let embedded = Network::builder(&device, 1).embed_categories(&of(&[(0, count)])).seed(4);
        let mut embedded = embedded.dense(2, Activation::Softmax).build().unwrap();
        let dense = Network::builder(&device, count).dense(8, Activation::Identity);
        let mut dense = dense.dense(2, Activation::Softmax).build().unwrap();
        for (layer, like) in dense.layers_mut().iter_mut().zip(embedded.layers()) {
            layer.weights_mut().write(&like.weights().to_vec().unwrap()).unwrap();
        }
        // The embedding has no bias.
        let fixed = [Factors::default(), Factors { rate: 0.0, decay: 0.0 }];
        let train = |network: &mut Network<f64>, x: &Matrix<f64>| {
            let optimizer = Sgd::new(0.5).unwrap();
            let mut trainer = Trainer::builder(network, Loss::SoftmaxCrossEntropy, optimizer)
                .batch(batch)
                .factors(vec![fixed, [Factors::default(); 2]])
                .build()
                .unwrap();
            (0..30).for_each(|_| trainer.step(x.view(), t.view()).unwrap());
        };
        let before = embedded.layers()[0].weights().to_vec().unwrap();
        train(&mut embedded, &x);
        train(&mut dense, &hot);
        for (ours, theirs) in embedded.layers().iter().zip(dense.layers()) {
            let [ours, theirs] = [ours, theirs].map(|layer| layer.weights().to_vec().unwrap());
            assert_close(&ours, &theirs, 1e-12, words);
        }
        assert_ne!(before, embedded.layers()[0].weights().to_vec().unwrap());
    }
}

fn trained<T: Scalar>(device: &Device<T>, count: usize, batch: usize) -> Network<T> {
    let [.., mut network] = networks(device);
    let x = Matrix::from_slice(device, 6, count, &samples(6, &of(&FEATURES), count)).unwrap();
    let t = Matrix::from_slice(device, 3, count, &one_hot(3, count)).unwrap();
    let mut trainer =
        Trainer::builder(&mut network, Loss::SoftmaxCrossEntropy, Adam::new(0.01).unwrap())
            .batch(batch)
            .dropout(Dropout { inputs: 0.1, hidden: 0.2 })
            .seed(3)
            .build()
            .unwrap();
    for first in (0..count).step_by(batch).take(8) {
        let range = first..count.min(first + batch);
        let [x, t] = [&x, &t].map(|all| all.view().sub_columns(range.clone()).unwrap());
        trainer.step(x, t).unwrap();
    }
    drop(trainer);
    network
}

#[test]
fn any_number_of_threads_gives_the_same_bits() {
    classes::assert_threads_give_the_same_bits(trained::<f32>);
    classes::assert_threads_give_the_same_bits(trained::<f64>);
}

#[test]
fn initial_values_are_normal() {
    let cpu = engine::open::<f64>("cpu").unwrap();
    let build = |seed: u64| {
        let builder = Network::builder(&cpu, 1).embed_categories(&of(&[(0, 2000)]));
        builder.seed(seed).build().unwrap().layers()[0].weights().to_vec().unwrap()
    };
    let weights = build(1);
    let mean = weights.iter().sum::<f64>() / 16_000.0;
    let square = weights.iter().map(|w| w * w).sum::<f64>() / 16_000.0;
    assert!(mean.abs() < 0.03 && (square - 1.0).abs() < 0.04, "{mean} {square}");
    assert_ne!(weights, build(2));
}

#[test]
fn what_does_not_fit_is_refused() {
    let cpu = engine::open::<f32>("cpu").unwrap();
    for (features, words) in [
        (&[][..], "at least one feature"),
        (&[(4, 2)], "feature 4; expected one from 0 on below 4"),
        (&[(1, 2), (1, 2)], "feature 1; expected one from 2 on below 4"),
        (&[(2, 2), (0, 2)], "feature 0; expected one from 3 on below 4"),
        (&[(2, 0)], "feature 2 has no categories"),
        (&[(2, usize::MAX), (3, 2)], "more than 16777216 categories"),
    ] {
        let error = CategoryEmbedding::new(&cpu, 4, &of(features)).err().unwrap().to_string();
        assert!(error.contains(words), "{error}");
        let builder = Network::builder(&cpu, 4).embed_categories(&of(features));
        let error = builder.dense(2, Activation::Relu).build().err().unwrap().to_string();
        assert!(error.contains(words), "{error}");
    }
    let behind = |network: travertine::Result<Network<f32>>| {
        let error = network.err().unwrap().to_string();
        assert!(error.contains("layer 1 is category_embedding"), "{error}");
    };
    let (begin, feature) = (|| Network::builder(&cpu, 4), of(&[(1, 2)]));
    behind(begin().dense(4, Activation::Relu).embed_categories(&feature).build());
    behind(begin().embed_categories(&feature).embed_categories(&feature).build());
    let late = begin().embed_categories(&feature).embed_numbers(&[0]).build();
    assert!(late.err().unwrap().to_string().contains("layer 1 is number_embedding"));

    let mut layer = CategoryEmbedding::new(&cpu, 5, &feature).unwrap();
    let mut training = layer.training(3, Role::Hidden).unwrap();
    let x = Matrix::<f32>::zeros(&cpu, 4, 3).unwrap();
    let error = training.forward(x.view()).unwrap_err().to_string();
    assert!(error.contains("4 rows") && error.contains("5"), "{error}");
    assert_eq!(training.kind(), LayerKind::CategoryEmbedding);

    let mut network =
        Network::builder(&cpu, 4).embed_numbers(&[0]).embed_categories(&feature).build().unwrap();
    let trainer = Trainer::builder(&mut network, Loss::Quadratic, Adam::new(0.1).unwrap());
    let error = trainer.dropout(Dropout { inputs: 0.0, hidden: 0.5 }).build().err().unwrap();
    assert!(error.to_string().contains("no hidden layers"), "{error}");
}

/// A model file in a folder that goes away with the test.
struct File(PathBuf);

impl File {
    fn new(name: &str) -> File {
        let name = format!("travertine-category-{name}-{}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&folder).unwrap();
        File(folder.join("model.safetensors"))
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(self.0.parent().unwrap());
    }
}

#[test]
fn saved_and_loaded() {
    let file = File::new("saved");
    let cpu = engine::open::<f32>("cpu").unwrap();
    let network = trained(&cpu, 40, 13);
    let info = ModelInfo::new(Loss::SoftmaxCrossEntropy);
    model_file::save(&file.0, &network, &info).unwrap();
    let (loaded, _) = model_file::load::<f32>(&file.0, &cpu).unwrap();
    assert_eq!(classes::bits(&loaded), classes::bits(&network));
    let values = samples(6, &of(&FEATURES), 7);
    let x = Matrix::from_slice(&cpu, 6, 7, &values).unwrap();
    let output = |network: &Network<f32>| network.infer(x.view()).unwrap().to_vec().unwrap();
    assert_eq!(output(&loaded), output(&network));
    assert_eq!(output(&network.copy().unwrap()), output(&network));
    let described = model_file::describe(&file.0).unwrap();
    assert_eq!(described.parameters, network.parameters());
    let layer = &described.layers[1];
    assert_eq!((layer.kind, layer.inputs, layer.outputs), (LayerKind::CategoryEmbedding, 18, 32));
    assert_eq!((&layer.categories, layer.parameters()), (&of(&FEATURES), 8 * 15));

    let names = model_file::sequential_names(&network);
    model_file::save_weights(&file.0, &network, &names).unwrap();
    let [.., mut other] = networks(&cpu);
    other.load_weights(&file.0, &names).unwrap();
    assert_eq!(classes::bits(&other), classes::bits(&network));
}

#[test]
fn hostile_files_are_refused() {
    let file = File::new("hostile");
    let cpu = engine::open::<f32>("cpu").unwrap();
    let [_, network, _] = networks(&cpu);
    let info = ModelInfo::new(Loss::SoftmaxCrossEntropy);
    model_file::save(&file.0, &network, &info).unwrap();
    let bytes = std::fs::read(&file.0).unwrap();
    // As many bytes, so that the lengths in the header stay right.
    for (from, to, words) in [
        ("[[1,4],[4,11]]", "[[1,5],[4,10]]", ""),
        ("[[1,4],[4,11]]", "[[1,4],[4,12]]", "tensor layers.0.weight"),
        ("[[1,4],[4,11]]", "[[1,4],[6,11]]", "layers.0 categories"),
        ("[[1,4],[4,11]]", "[[4,4],[1,11]]", "layers.0 categories"),
        ("[[1,4],[4,11]]", "[[1,0],[4,15]]", "layers.0 categories"),
        ("[[1,4],[4,11]]", "[[1, 4444444]]", "layers.0 outputs"),
        ("[[1,4],[4,11]]", "[            ]", "layers.0 categories"),
        ("\\\"outputs\\\":20,", "\\\"outputs\\\":27,", "layers.0 outputs"),
        ("category_embedding", "number_embedding  ", "layers.0 kind"),
        ("identity", "softplus", "layers.0 activation"),
    ] {
        let at = bytes.windows(from.len()).position(|window| window == from.as_bytes());
        let at = at.unwrap_or_else(|| panic!("{from}"));
        let mut damaged = bytes.clone();
        damaged[at..at + from.len()].copy_from_slice(to.as_bytes());
        std::fs::write(&file.0, damaged).unwrap();
        let result = model_file::load::<f32>(&file.0, &cpu);
        match result {
            Ok(_) => assert!(words.is_empty(), "{to}"),
            Err(error) => {
                let error = error.to_string();
                assert!(!words.is_empty() && error.contains(words), "{to}: {error}");
            }
        }
    }
}
