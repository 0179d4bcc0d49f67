//! Networks with members ("TabM"), whose members must be what as many networks of their own would be: outputs, losses, gradients; with any
//! number of threads, in files, and beside embeddings.

use std::sync::Arc;

use crate::common::{assert_close, classes, engines, numbers, one_hot, random};
use travertine::data::Task;
use travertine::engine::{self, Engine};
use travertine::layer::{Layer, LayerKind, MemberDense, MemberMean, Members};
use travertine::model_file::{self, ModelInfo};
use travertine::optimizer::{Adam, Sgd};
use travertine::{
    Activation, Dropout, Loss, Matrix, Network, Quantiles, Samples, Scalar, Trainer,
    check_gradients,
};

type Device<T> = Arc<dyn Engine<T>>;

const MEMBERS: usize = 5;
const INPUTS: usize = 4;
/// The widths of hidden layers.
const HIDDEN: [usize; 2] = [7, 6];

fn network<T: Scalar>(device: &Device<T>, outputs: usize, output: Activation) -> Network<T> {
    let mut builder = Network::builder(device, INPUTS).members(MEMBERS);
    for hidden in HIDDEN {
        builder = builder.member_dense(hidden, Activation::Identity).scale(Activation::Tanh);
    }
    let mut network = builder.member_heads(outputs, output).seed(3).build().unwrap();
    // Members that differ everywhere.
    for (number, layer) in (20..).zip(network.layers_mut()) {
        if layer.kind() == LayerKind::Scale {
            let count = layer.outputs();
            let factors: Vec<T> =
                random::<f64>(count, number).iter().map(|x| T::from_f64(0.8 + x)).collect();
            layer.weights_mut().write(&factors).unwrap();
            layer.bias_mut().write(&random(count, number + 40)).unwrap();
        }
    }
    network
}

/// A member as a network of its own: its factors are in the weights of the layers behind them.
fn member(network: &Network<f64>, number: usize, outputs: usize) -> Network<f64> {
    let layers = network.layers();
    let own = |layer: &dyn Layer<f64>, rows: usize| {
        let rows = number * rows..(number + 1) * rows;
        let [weights, bias] = [layer.weights(), layer.bias()];
        let bias = if bias.rows() > 1 || rows.end == 1 {
            bias.sub_rows(rows.clone()).unwrap().to_vec().unwrap()
        } else {
            Vec::new()
        };
        (weights.sub_rows(rows).unwrap().to_vec().unwrap(), bias)
    };
    let engine = network.engine();
    let mut builder = Network::builder(engine, INPUTS);
    for hidden in HIDDEN {
        builder = builder.dense(hidden, Activation::Tanh);
    }
    let activation = layers.last().unwrap().activation();
    let mut alone = builder.dense(outputs, activation).build().unwrap();
    let signs = own(&*layers[0], INPUTS).0;
    for (i, hidden) in HIDDEN.into_iter().enumerate() {
        let (dense, scale) = (&layers[1 + 2 * i], &layers[2 + 2 * i]);
        let (factors, shifts) = own(&**scale, hidden);
        let mut weights = dense.weights().to_vec().unwrap();
        for (index, weight) in weights.iter_mut().enumerate() {
            let sign = if i == 0 { signs[index / hidden] } else { 1.0 };
            *weight *= factors[index % hidden] * sign;
        }
        let bias = dense.bias().to_vec().unwrap().into_iter();
        let bias: Vec<f64> =
            bias.zip(&factors).zip(&shifts).map(|((b, s), shift)| b * s + shift).collect();
        alone.layers_mut()[i].weights_mut().write(&weights).unwrap();
        alone.layers_mut()[i].bias_mut().write(&bias).unwrap();
    }
    let (weights, bias) = own(&*layers[layers.len() - 2], outputs);
    let head = HIDDEN.len();
    alone.layers_mut()[head].weights_mut().write(&weights).unwrap();
    alone.layers_mut()[head].bias_mut().write(&bias).unwrap();
    alone
}

/// Rows: a network and a loss that suit each other.
fn outputs() -> [(usize, Activation, Loss); 5] {
    let quantiles = Loss::Quantiles(Quantiles::new(&[0.2, 0.9]).unwrap());
    [
        (3, Activation::Softmax, Loss::SoftmaxCrossEntropy),
        (2, Activation::Sigmoid, Loss::BinaryCrossEntropy),
        (1, Activation::Identity, Loss::Quadratic),
        (2, Activation::Tanh, Loss::Huber(0.5)),
        (2, Activation::Identity, quantiles),
    ]
}

fn targets<T: Scalar>(loss: Loss, outputs: usize, samples: usize) -> Vec<T> {
    match loss {
        Loss::SoftmaxCrossEntropy => one_hot(outputs, samples),
        Loss::BinaryCrossEntropy => {
            random::<f64>(outputs * samples, 8).iter().map(|x| T::from_f64(x.round())).collect()
        }
        _ => random(outputs * samples, 8),
    }
}

fn outputs_are_the_mean_of_networks<T: Scalar>(bound: f64) {
    let cpu = engine::open::<f64>("cpu").unwrap();
    for (words, device) in engines::<T>() {
        for (outputs, output, loss) in outputs() {
            for samples in [1, 9, 600] {
                let what = format!("{words}, {outputs} x {output}, {samples} samples");
                let exact = network(&cpu, outputs, output);
                let mut ours = network(&device, outputs, output);
                let values: Vec<f64> = random(INPUTS * samples, 6);
                let exact_x = Matrix::from_slice(&cpu, INPUTS, samples, &values).unwrap();
                let values: Vec<T> = values.iter().map(|x| T::from_f64(*x)).collect();
                let x = Matrix::from_slice(&device, INPUTS, samples, &values).unwrap();
                let t = targets::<f64>(loss, outputs, samples);
                let matrices = || {
                    let t: Vec<T> = t.iter().map(|t| T::from_f64(*t)).collect();
                    let t = Matrix::from_slice(&device, outputs, samples, &t).unwrap();
                    (Matrix::from_slice(&device, INPUTS, samples, &values).unwrap(), t)
                };

                let (mut mean, mut loss_of_members) = (vec![0.0; outputs * samples], 0.0);
                for number in 0..MEMBERS {
                    let alone = member(&exact, number, outputs);
                    let own = alone.infer(exact_x.view()).unwrap().to_vec().unwrap();
                    mean.iter_mut().zip(own).for_each(|(sum, own)| *sum += own / MEMBERS as f64);
                    let t = Matrix::from_slice(&cpu, outputs, samples, &t).unwrap();
                    let x = exact_x.view().copy().unwrap();
                    let own = Samples::from_matrices(x, t, Task::Values).unwrap();
                    loss_of_members += alone.evaluate(loss, &own).unwrap().loss / MEMBERS as f64;
                }
                let found = numbers(ours.infer(x.view()).unwrap().to_vec().unwrap());
                assert_close(&found, &mean, bound, &what);

                // The loss of what is inferred, and those of the members, which are trained.
                let of_mean: f64 = mean
                    .iter()
                    .zip(&t)
                    .enumerate()
                    .map(|(i, (y, t))| plain((loss, i % outputs), *y, *t))
                    .sum();
                let of_mean = of_mean / samples as f64;
                let close = |found: f64, expected: f64, of: &str| {
                    let apart = (found - expected).abs() / (1.0 + expected.abs());
                    assert!(apart < bound, "{what}, {of}: {found} {expected}");
                };
                let (x, t) = matrices();
                let set = Samples::from_matrices(x, t, Task::Values).unwrap();
                close(ours.evaluate(loss, &set).unwrap().loss, of_mean, "evaluate");
                let rate = Sgd::new(1e-30).unwrap();
                let mut trainer =
                    Trainer::builder(&mut ours, loss, rate).batch(samples + 1).build().unwrap();
                close(trainer.evaluate(&set).unwrap().loss, of_mean, "Trainer::evaluate");
                let (x, t) = matrices();
                trainer.step(x.view(), t.view()).unwrap();
                close(trainer.last_loss(samples).unwrap(), loss_of_members, "step");
                let found = numbers(trainer.infer(x.view()).unwrap().to_vec().unwrap());
                assert_close(&found, &mean, bound, &what);
            }
        }
    }
}

/// The loss of an output behind its activation.
fn plain((loss, row): (Loss, usize), y: f64, t: f64) -> f64 {
    match loss {
        Loss::Quantiles(quantiles) => {
            let level = quantiles.levels()[row];
            (level * (t - y)).max((level - 1.0) * (t - y)) / 2.0
        }
        Loss::SoftmaxCrossEntropy => -t * y.ln(),
        Loss::BinaryCrossEntropy => -t * y.ln() - (1.0 - t) * (1.0 - y).ln(),
        Loss::Huber(d) if (y - t).abs() > d => d * ((y - t).abs() - d / 2.0),
        _ => 0.5 * (y - t).powi(2),
    }
}

#[test]
fn members_are_networks_of_their_own() {
    outputs_are_the_mean_of_networks::<f32>(1e-5);
    outputs_are_the_mean_of_networks::<f64>(1e-12);
}

#[test]
fn gradients_are_those_of_central_differences() {
    for (words, device) in engines::<f64>() {
        let x = Matrix::from_slice(&device, INPUTS, 9, &random(INPUTS * 9, 1)).unwrap();
        for (outputs, output, loss) in outputs() {
            let t = targets::<f64>(loss, outputs, 9);
            let t = Matrix::from_slice(&device, outputs, 9, &t).unwrap();
            let begin = || Network::builder(&device, INPUTS).seed(2);
            let embedded = begin().embed_numbers(&[0, 2]).scale(Activation::Identity).members(3);
            let embedded = embedded.member_dense(5, Activation::Mish).parametric(Activation::Selu);
            let embedded = embedded.member_heads(outputs, output).build().unwrap();
            let small = begin().members(2).member_heads(outputs, output).build().unwrap();
            for mut network in [network(&device, outputs, output), embedded, small] {
                let check = check_gradients(&mut network, loss, x.view(), t.view(), 1e-5).unwrap();
                assert!(check.relative_error < 1e-6, "{words}, {output}: {check:?}");
            }
        }
    }
}

fn of_six_features<T: Scalar>(device: &Device<T>) -> Network<T> {
    let builder = Network::builder(device, 6).embed_numbers(&[1, 2]).members(7);
    let builder = builder.member_dense(20, Activation::Identity).scale(Activation::Relu);
    builder.member_heads(3, Activation::Softmax).seed(1).build().unwrap()
}

fn trained<T: Scalar>(device: &Device<T>, count: usize, batch: usize) -> Network<T> {
    let mut network = of_six_features(device);
    classes::train(&mut network, (count, batch), |builder| {
        builder.dropout(Dropout { inputs: 0.1, hidden: 0.2 })
    });
    network
}

#[test]
fn any_number_of_threads_gives_the_same_bits() {
    classes::assert_threads_give_the_same_bits(trained::<f32>);
    classes::assert_threads_give_the_same_bits(trained::<f64>);
}

/// Hits of a step are the share of the members that are right; an evaluation counts what they say together.
#[test]
fn accuracy_is_that_of_the_mean() {
    let cpu = engine::open::<f64>("cpu").unwrap();
    let mut network =
        Network::builder(&cpu, 1).members(3).member_heads(2, Activation::Softmax).build().unwrap();
    // Two members say the first class, one says the second more loudly.
    let heads = &mut network.layers_mut()[1];
    heads.weights_mut().write(&[0.0; 6]).unwrap();
    heads.bias_mut().write(&[0.1, 0.0, 0.1, 0.0, 0.0, 5.0]).unwrap();
    let x = Matrix::from_slice(&cpu, 1, 1, &[1.0]).unwrap();
    let t = Matrix::from_slice(&cpu, 2, 1, &[1.0, 0.0]).unwrap();
    let mut set = Samples::from_matrices(x, t, Task::Classes).unwrap();
    let loss = Loss::SoftmaxCrossEntropy;
    assert_eq!(network.evaluate(loss, &set).unwrap().accuracy, Some(0.0));
    let mut trainer =
        Trainer::builder(&mut network, loss, Sgd::new(1e-30).unwrap()).batch(1).build().unwrap();
    assert_eq!(trainer.evaluate(&set).unwrap().accuracy, Some(0.0));
    let share = trainer.epoch(&mut set).unwrap().accuracy.unwrap();
    assert!((share - 2.0 / 3.0).abs() < 1e-12, "{share}");
}

#[test]
fn files_and_snapshots_keep_them() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m.safetensors");
    for (words, device) in engines::<f32>() {
        let network = trained(&device, 60, 20);
        let info = ModelInfo::new(Loss::SoftmaxCrossEntropy);
        model_file::save(&path, &network, &info).unwrap();
        let (read, _) = model_file::load::<f32>(&path, &device).unwrap();
        assert_eq!(read.to_string(), network.to_string(), "{words}");
        assert_eq!(classes::bits(&read), classes::bits(&network), "{words}");
        let about = model_file::describe(&path).unwrap();
        let members: Vec<usize> = about.layers.iter().map(|layer| layer.members).collect();
        assert_eq!((members, about.parameters), (vec![1, 7, 7, 7, 7, 7], network.parameters()));
    }
}

#[test]
fn what_does_not_fit_is_refused() {
    let cpu = engine::open::<f32>("cpu").unwrap();
    let begin = || Network::builder(&cpu, 4);
    let (relu, softmax) = (Activation::Relu, Activation::Softmax);
    for (network, words) in [
        (begin().members(0).build(), "layer 0 is members, but must be members"),
        (begin().members(2).members(2).build(), "layer 1 is members, but must be members once"),
        (begin().members(2).dense(4, relu).build(), "keeps members apart"),
        (begin().members(2).layer_norm(relu).build(), "keeps members apart"),
        (begin().members(2).member_dense(3, softmax).build(), "softmax is for heads"),
        (begin().dense(4, relu).members(2).build(), "must not follow relu"),
        (begin().members(2).member_heads(3, relu).scale(relu).build(), "must be the last"),
        (begin().members(2).member_heads(0, softmax).build(), "outputs, not 2, 4 and 0"),
    ] {
        let error = network.map(|_| ()).expect_err(words).to_string();
        assert!(error.contains(words), "{words}: {error}");
    }
    let layers: [Box<dyn Layer<f32>>; 3] = [
        Members::new(&cpu, 2, 4).unwrap().into(),
        MemberDense::heads(&cpu, 4, 2, 3, relu).unwrap().into(),
        MemberMean::new(&cpu, 4, 3, relu).unwrap().into(),
    ];
    let error = Network::from_layers(layers).err().unwrap().to_string();
    assert!(error.contains("is for 4 members, and its input has 2"), "{error}");
    let mut network = begin().members(2).member_heads(3, softmax).build().unwrap();
    let loss = Loss::SoftmaxCrossEntropy;
    let mut trainer =
        Trainer::builder(&mut network, loss, Adam::new(0.1).unwrap()).build().unwrap();
    let x = Matrix::<f32>::zeros(&cpu, 4, 1).unwrap();
    let error = trainer.step_with(x.view(), |_, _| Ok(())).err().unwrap().to_string();
    assert!(error.contains("a loss for each member"), "{error}");
}
