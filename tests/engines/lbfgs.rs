//! L-BFGS: minima of scipy's, accuracies of scikit-learn's, the same bits for any number of threads.

use std::ops::ControlFlow;
use std::sync::Arc;

use crate::common::{self, random, relative};
use travertine::data::{self, Task};
use travertine::engine::{self, Engine, Settings};
use travertine::optimizer::{Lbfgs, LbfgsEnd};
use travertine::{Activation, Error, Loss, Matrix, Network, Samples, Scalar};

const SAMPLES: usize = 40;

/// Three features of each sample, and a number that they tell something about.
fn features() -> (Vec<f64>, Vec<f64>) {
    let x = |i: usize, j: usize| ((i + 1) as f64 * (j + 1) as f64).sin() * (1.0 + j as f64 / 2.0);
    let sample = |i: usize| {
        let x = [x(i, 0), x(i, 1), x(i, 2)];
        (x, 1.5 * x[0] - x[1] + 0.5 * x[2] + 0.3 + (3.0 * i as f64).cos())
    };
    let samples = (0..SAMPLES).map(sample);
    let (x, score): (Vec<[f64; 3]>, Vec<f64>) = samples.unzip();
    (x.concat(), score)
}

fn samples<T: Scalar>(
    device: &Arc<dyn Engine<T>>,
    rows: usize,
    target: impl Fn(f64) -> Vec<f64>,
) -> Samples<'static, T> {
    let (x, scores) = features();
    let t: Vec<f64> = scores.into_iter().flat_map(target).collect();
    let matrix = |rows: usize, values: &[f64]| {
        let values: Vec<T> = values.iter().map(|x| T::from_f64(*x)).collect();
        Matrix::from_slice(device, rows, SAMPLES, &values).unwrap()
    };
    Samples::from_matrices(matrix(3, &x), matrix(rows, &t), Task::Classes).unwrap()
}

fn yes_or_no(score: f64) -> Vec<f64> {
    vec![f64::from(u8::from(score > 0.0))]
}

fn one_of_three(score: f64) -> Vec<f64> {
    let class = usize::from(score >= -0.5) + usize::from(score >= 1.0);
    (0..3).map(|i| f64::from(u8::from(i == class))).collect()
}

fn linear<T: Scalar>(
    device: &Arc<dyn Engine<T>>,
    output: Activation,
    outputs: usize,
) -> Network<T> {
    Network::builder(device, 3).dense(outputs, output).seed(4).build().unwrap()
}

fn exact() -> Lbfgs {
    Lbfgs::new().gradient_tolerance(1e-9).unwrap().change(0.0).unwrap()
}

/// Logistic regression with a penalty is strictly convex: there is one minimum, here that of scipy's L-BFGS-B polished by Newton's
/// method. With the weights 1, 1.5, 2, 1, ... the penalty is divided by their sum, as scikit-learn does.
#[test]
fn logistic_regressions_end_at_the_minimum_of_scipy() {
    let plain = ([1.465746775572539, -0.645488561623897, 0.5128858089507559], 0.7724888692178677);
    let weighted =
        ([1.7534394803819868, -0.7791717985767771, 0.5708296766935939], 0.8996044973552512);
    let weights: Vec<f64> = (0..SAMPLES).map(|i| 1.0 + (i % 3) as f64 / 2.0).collect();
    for (words, device) in common::engines::<f64>() {
        for (cost, (w, b), weights) in
            [(0.4201848177414944, plain, None), (0.38784735384717595, weighted, Some(&weights))]
        {
            let mut samples = samples(&device, 1, yes_or_no);
            if let Some(weights) = weights {
                samples = samples.with_weights(weights).unwrap();
            }
            let mut network = linear(&device, Activation::Sigmoid, 1);
            let loss = Loss::BinaryCrossEntropy;
            let report = exact().l2(2.0).unwrap().train(&mut network, loss, &mut samples).unwrap();
            assert!(
                report.end.is_converged() && report.last.gradient < 1e-8,
                "{words}: {report:?}"
            );
            assert!((report.last.cost - cost).abs() < 1e-15, "{words}: {}", report.last.cost);
            let layers = common::layers(&network);
            assert!(relative(&layers[0].weights, &w) < 1e-7, "{words}: {:?}", layers[0].weights);
            assert!((layers[0].bias[0] - b).abs() < 1e-7, "{words}: {:?}", layers[0].bias);
            // The bias has no penalty.
            let penalty = w.iter().map(|w| w * w).sum::<f64>()
                / weights.map_or(SAMPLES as f64, |weights| weights.iter().sum());
            let evaluated = network.evaluate(loss, &samples).unwrap().loss;
            assert!((evaluated + penalty - cost).abs() < 1e-9, "{words}: {evaluated}");
        }
    }
}

#[test]
fn softmax_regression_ends_at_the_minimum_of_scipy() {
    for (words, device) in common::engines::<f64>() {
        let mut samples = samples(&device, 3, one_of_three);
        let mut network = linear(&device, Activation::Softmax, 3);
        let loss = Loss::SoftmaxCrossEntropy;
        let report = exact().l2(1.0).unwrap().train(&mut network, loss, &mut samples).unwrap();
        assert!(report.end.is_converged(), "{words}: {report:?}");
        assert!((report.last.cost - 0.6718227798159805).abs() < 1e-14, "{words}: {report:?}");
        // Row by row, as scipy had them column by column.
        let w = [
            [-1.514065018817292, 0.15979576183888575, 1.354269256978406],
            [0.8780959110479604, -0.15073797946008746, -0.7273579315878728],
            [-0.6449573465285454, -0.07410350484085111, 0.7190608513693963],
        ];
        let layers = common::layers(&network);
        assert!(relative(&layers[0].weights, &w.concat()) < 1e-7, "{words}");
    }
}

/// As few evaluations as scipy needs for the same function, within a factor: the line search does its work.
#[test]
fn few_evaluations_are_enough() {
    let device = engine::open::<f64>("cpu").unwrap();
    let mut samples = samples(&device, 1, yes_or_no);
    let mut network = linear(&device, Activation::Sigmoid, 1);
    network.layers_mut()[0].weights_mut().write(&[0.0; 3]).unwrap();
    let loss = Loss::BinaryCrossEntropy;
    let lbfgs = Lbfgs::new().l2(2.0).unwrap();
    let report = lbfgs.train(&mut network, loss, &mut samples).unwrap();
    // scipy: 6 iterations, 7 evaluations.
    assert!(report.last.iterations <= 8 && report.last.evaluations <= 12, "{report:?}");
    assert!(report.last.cost < 0.420185, "{report:?}");
}

/// In f32 the cost of the minimum is reached as far as seven digits go.
#[test]
fn minima_in_single_precision() {
    for (words, device) in common::engines::<f32>() {
        let mut samples = samples(&device, 1, yes_or_no);
        let mut network = linear(&device, Activation::Sigmoid, 1);
        let lbfgs = exact().l2(2.0).unwrap();
        let report = lbfgs.train(&mut network, Loss::BinaryCrossEntropy, &mut samples).unwrap();
        assert!(report.end.is_converged(), "{words}: {report:?}");
        assert!((report.last.cost - 0.4201848177414944).abs() < 1e-6, "{words}: {report:?}");
        let weights = &common::layers(&network)[0].weights;
        assert!(relative(weights, &[1.4657468, -0.6454886, 0.5128858]) < 1e-3, "{words}");
    }
}

/// scikit-learn's MLPClassifier with the same network and solver has 0.944 to 0.961 of the digits held out with alpha = 1e-4, and
/// 0.961 to 0.983 with alpha = 1, on three splits.
#[test]
fn digits_are_learned_as_by_scikit_learn() {
    let device = engine::open::<f32>("cpu").unwrap();
    let (train, test) = data::digits::<f32>().unwrap().split(0.2, 1).unwrap();
    let test = Samples::new(&device, &test).unwrap();
    for (l2, at_least) in [(1e-4, 0.93), (1.0, 0.95)] {
        let mut train = Samples::new(&device, &train).unwrap();
        let builder = Network::builder(&device, 64).dense(30, Activation::Relu);
        let mut network = builder.dense(10, Activation::Softmax).seed(1).build().unwrap();
        let loss = Loss::SoftmaxCrossEntropy;
        let lbfgs = Lbfgs::new().l2(l2).unwrap();
        let report = lbfgs.train(&mut network, loss, &mut train).unwrap();
        println!("{report:?}");
        assert!(report.last.cost < if l2 == 1.0 { 0.09 } else { 0.001 }, "{report:?}");
        assert_eq!(network.evaluate(loss, &train).unwrap().accuracy, Some(1.0));
        let accuracy = network.evaluate(loss, &test).unwrap().accuracy.unwrap();
        assert!(accuracy > at_least, "{l2}: {accuracy}");
    }
}

/// More samples than one batch has, on 1 and on 3 threads; the gradient at the end is that of central differences: 0.
#[test]
fn the_same_bits_for_any_number_of_threads() {
    let run = |threads: usize| {
        let device = engine::open_with::<f32>("cpu", &Settings::threads(threads)).unwrap();
        let data = data::digits::<f32>().unwrap();
        let mut samples = Samples::new(&device, &data).unwrap();
        let builder = Network::builder(&device, 64).dense(40, Activation::Tanh);
        let mut network = builder.dense(10, Activation::Softmax).seed(1).build().unwrap();
        let lbfgs = Lbfgs::new().iterations(20);
        let report = lbfgs.train(&mut network, Loss::SoftmaxCrossEntropy, &mut samples).unwrap();
        assert_eq!((report.end, report.last.iterations), (LbfgsEnd::Iterations, 20));
        let bits = common::layers(&network).into_iter();
        let bits = bits.flat_map(|layer| [layer.weights, layer.bias].concat());
        (report.last.cost.to_bits(), bits.map(f64::to_bits).collect::<Vec<_>>())
    };
    assert_eq!(run(1), run(3));
}

/// The gradient is that of every sample, whatever order an epoch left the samples in, and of hidden layers too: a regression that
/// can be fitted exactly is.
#[test]
fn a_network_fits_what_another_computes() {
    let device = engine::open::<f64>("cpu").unwrap();
    let network = |seed| {
        let builder = Network::builder(&device, 2).dense(3, Activation::Tanh);
        builder.dense(1, Activation::Identity).seed(seed).build().unwrap()
    };
    let x = random::<f64>(2 * 1500, 3);
    let t: Vec<f64> =
        x.chunks(2).flat_map(|x| common::last_z(&common::layers(&network(9)), x)).collect();
    let matrix = |rows, values: &[f64]| Matrix::from_slice(&device, rows, 1500, values).unwrap();
    let mut samples = Samples::from_matrices(matrix(2, &x), matrix(1, &t), Task::Values).unwrap();
    let mut network = network(1);
    {
        let sgd = travertine::optimizer::Sgd::new(0.01).unwrap();
        let builder = travertine::Trainer::builder(&mut network, Loss::Quadratic, sgd);
        builder.seed(3).build().unwrap().epoch(&mut samples).unwrap();
    }
    let lbfgs = exact().iterations(2000);
    let report = lbfgs.train(&mut network, Loss::Quadratic, &mut samples).unwrap();
    assert!(report.last.cost < 1e-9, "{report:?}");
}

#[test]
fn it_ends_where_it_is_told_to() {
    let device = engine::open::<f64>("cpu").unwrap();
    let loss = Loss::BinaryCrossEntropy;
    let run = |lbfgs: Lbfgs| {
        let mut network = linear(&device, Activation::Sigmoid, 1);
        lbfgs.train(&mut network, loss, &mut samples(&device, 1, yes_or_no)).unwrap()
    };
    let none = run(Lbfgs::new().iterations(0));
    assert_eq!(
        (none.end, none.last.iterations, none.last.evaluations),
        (LbfgsEnd::Iterations, 0, 1)
    );
    assert_eq!(run(exact().evaluations(3)).end, LbfgsEnd::Evaluations);
    assert_eq!(run(exact().change(0.01).unwrap()).end, LbfgsEnd::Change);
    assert_eq!(run(Lbfgs::new().gradient_tolerance(1e3).unwrap()).end, LbfgsEnd::Gradient);
    let more = run(exact().l2(2.0).unwrap().memory(1).unwrap());
    assert!(more.end.is_converged() && (more.last.cost - 0.4201848177414944).abs() < 1e-12);

    // Broken off, or ended by an error of the caller, the network has the last parameters that were told of.
    for fails in [false, true] {
        let mut network = linear(&device, Activation::Sigmoid, 1);
        let mut samples = samples(&device, 1, yes_or_no);
        let mut told = Vec::new();
        let report = Lbfgs::new().train_with(&mut network, loss, &mut samples, |progress| {
            told.push(progress.cost);
            match (progress.iterations, fails) {
                (3, true) => Err(Error::other("enough")),
                (3, false) => Ok(ControlFlow::Break(())),
                _ => Ok(ControlFlow::Continue(())),
            }
        });
        assert!(told.is_sorted_by(|a, b| a > b) && told.len() == 3, "{told:?}");
        match report {
            Ok(report) => assert_eq!((report.end, report.last.iterations), (LbfgsEnd::Stopped, 3)),
            Err(error) => assert!(error.to_string().contains("enough"), "{error}"),
        }
        let left = network.evaluate(loss, &samples).unwrap().loss;
        assert!((left - told[2]).abs() < 1e-12);
        // Another call goes on from there.
        let report = Lbfgs::new().train(&mut network, loss, &mut samples).unwrap();
        assert!(report.last.cost < told[2]);
    }
}

#[test]
fn what_it_cannot_train_is_refused() {
    let device = engine::open::<f64>("cpu").unwrap();
    let refused = |network: &mut Network<f64>, reason: &str| {
        let loss = Loss::BinaryCrossEntropy;
        let mut samples = samples(&device, 1, yes_or_no);
        let error = Lbfgs::new().train(network, loss, &mut samples).unwrap_err().to_string();
        assert!(error.contains(reason), "{error}");
    };
    refused(&mut linear(&device, Activation::Softmax, 1), "softmax of one output");
    refused(&mut linear(&device, Activation::Sigmoid, 2), "the network has 2 outputs");
    let normalized = Network::builder(&device, 3).dense(2, Activation::Identity);
    let normalized = normalized.batch_norm(Activation::Relu).dense(1, Activation::Sigmoid);
    refused(&mut normalized.build().unwrap(), "layer normalization or Adam");
    let mut endless = linear(&device, Activation::Sigmoid, 1);
    endless.layers_mut()[0].weights_mut().write(&[f64::INFINITY; 3]).unwrap();
    refused(&mut endless, "standardize the features");
    assert!(Lbfgs::new().memory(0).is_err());
    for wrong in [-1.0, f64::NAN, f64::INFINITY] {
        assert!(Lbfgs::new().l2(wrong).is_err());
        assert!(Lbfgs::new().change(wrong).is_err());
        assert!(Lbfgs::new().gradient_tolerance(wrong).is_err());
    }
}
