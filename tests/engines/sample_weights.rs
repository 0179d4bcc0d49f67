//! Weights of samples against an f64 reference: `C = sum w loss / sum w`, for every loss on every engine.

use std::ops::ControlFlow;
use std::sync::Arc;

use crate::common::{self, one_hot, random, relative};
use travertine::data::{Augmentation, Dataset, Targets, Task};
use travertine::engine::{Engine, Settings};
use travertine::optimizer::{Adam, Sgd};
use travertine::{
    Activation, Loss, Matrix, Network, Quantiles, Samples, Trainer, engine, model_file,
};

const INPUTS: usize = 4;
const OUTPUTS: usize = 3;
const SAMPLES: usize = 6;
const WEIGHTS: [f64; SAMPLES] = [0.5, 2.0, 0.0, 3.0, 1.0, 0.25];

type Device = Arc<dyn Engine<f64>>;

fn network(device: &Device, output: Activation) -> Network<f64> {
    let builder = Network::builder(device, INPUTS).dense(5, Activation::Tanh);
    builder.dense(OUTPUTS, output).seed(3).build().unwrap()
}

/// The columns of these numbers, of inputs and of targets that are no errors' kinks.
fn samples(device: &Device, chosen: &[usize]) -> Samples<'static, f64> {
    let matrix = |rows: usize, values: &[f64]| {
        let columns = chosen.iter().flat_map(|i| values[rows * i..rows * (i + 1)].to_vec());
        let columns: Vec<f64> = columns.collect();
        Matrix::from_slice(device, rows, chosen.len(), &columns).unwrap()
    };
    let x = matrix(INPUTS, &random(INPUTS * SAMPLES, 1));
    let t = matrix(OUTPUTS, &one_hot(OUTPUTS, SAMPLES));
    Samples::from_matrices(x, t, Task::Classes).unwrap()
}

fn all() -> Vec<usize> {
    (0..SAMPLES).collect()
}

fn output_of(loss: Loss) -> Activation {
    match loss {
        Loss::BinaryCrossEntropy => Activation::Sigmoid,
        Loss::SoftmaxCrossEntropy => Activation::Softmax,
        _ => Activation::Identity,
    }
}

/// The losses of all samples.
fn losses(layers: &[common::Layer], loss: Loss) -> Vec<f64> {
    let (x, t) = (random::<f64>(INPUTS * SAMPLES, 1), one_hot::<f64>(OUTPUTS, SAMPLES));
    let z = x.chunks(INPUTS).map(|x| common::last_z(layers, x));
    z.zip(t.chunks(OUTPUTS)).map(|(z, t)| common::loss(loss, output_of(loss), &z, t)).collect()
}

fn weighted_mean(values: &[f64], weights: &[f64]) -> f64 {
    let sum: f64 = weights.iter().sum();
    values.iter().zip(weights).map(|(x, w)| x * w).sum::<f64>() / sum
}

fn flat(layers: &[common::Layer]) -> Vec<f64> {
    layers.iter().flat_map(|layer| [&*layer.weights, &*layer.bias].concat()).collect()
}

/// A step of rate 1 subtracts the gradient, which is that of central differences of the reference.
#[test]
fn every_loss_descends_along_the_weighted_gradient() {
    const H: f64 = 1e-6;
    for (words, device) in common::engines::<f64>() {
        for loss in Loss::ALL {
            let mut network = network(&device, output_of(loss));
            let before = common::layers(&network);
            let mut samples = samples(&device, &all()).with_weights(&WEIGHTS).unwrap();
            let builder = Trainer::builder(&mut network, loss, Sgd::new(1.0).unwrap());
            let mut trainer = builder.batch(SAMPLES).build().unwrap();
            let report = trainer.epoch(&mut samples).unwrap();
            drop(trainer);
            let expected = weighted_mean(&losses(&before, loss), &WEIGHTS);
            assert!((report.loss - expected).abs() < 1e-12, "{words} {loss}");
            assert_eq!(report.weight, 6.75);
            let after = flat(&common::layers(&network));
            let moved: Vec<f64> =
                flat(&before).iter().zip(&after).map(|(before, after)| before - after).collect();
            let cost = |layer: usize, kind: usize, i: usize, h: f64| {
                let mut layers = before.clone();
                let layer = &mut layers[layer];
                (if kind == 0 { &mut layer.weights } else { &mut layer.bias })[i] += h;
                weighted_mean(&losses(&layers, loss), &WEIGHTS)
            };
            let mut numeric = Vec::new();
            for (l, layer) in before.iter().enumerate() {
                for (kind, count) in [layer.weights.len(), layer.bias.len()].into_iter().enumerate()
                {
                    numeric.extend(
                        (0..count)
                            .map(|i| (cost(l, kind, i, H) - cost(l, kind, i, -H)) / (2.0 * H)),
                    );
                }
            }
            let error = relative(&moved, &numeric);
            assert!(error < 1e-7, "{words} {loss}: {error:e}");
        }
    }
}

/// Loss and parameters after an epoch in one batch.
fn epoch_of(
    mut samples: Samples<'static, f64>,
    device: &Device,
    loss: Loss,
    rate: f64,
) -> (f64, Vec<f64>) {
    let mut network = network(device, output_of(loss));
    let builder = Trainer::builder(&mut network, loss, Sgd::new(rate).unwrap());
    let mut trainer = builder.batch(samples.count()).build().unwrap();
    let loss = trainer.epoch(&mut samples).unwrap().loss;
    drop(trainer);
    (loss, flat(&common::layers(&network)))
}

#[track_caller]
fn assert_same((loss, parameters): (f64, Vec<f64>), (other, others): (f64, Vec<f64>), what: &str) {
    assert!((loss - other).abs() < 1e-12 * loss, "{what}: {loss} {other}");
    assert!(relative(&parameters, &others) < 1e-13, "{what}");
}

/// A weight of 2 is a sample that is there twice, one of 0 a sample that is not there; a common factor is nothing. Weights of
/// classes are factors of the loss instead, and are not divided by.
#[test]
fn weights_are_repetitions() {
    for (words, device) in common::engines::<f64>() {
        for loss in Loss::ALL {
            let run = |samples, rate| epoch_of(samples, &device, loss, rate);
            let weighted =
                |weights: &[f64]| samples(&device, &all()).with_weights(weights).unwrap();
            let repeated = run(samples(&device, &[0, 0, 1, 3, 3, 3, 5]), 0.4);
            let what = format!("{words} {loss}");
            let weights = [2.0, 1.0, 0.0, 3.0, 0.0, 1.0];
            assert_same(run(weighted(&weights), 0.4), repeated.clone(), &what);
            let scaled = weights.map(|weight| 1e-3 * weight);
            assert_same(run(weighted(&scaled), 0.4), repeated.clone(), &what);
            // Weights that follow one another multiply.
            let halves = [1.0, 0.5, 0.0, 1.5, 0.0, 0.5];
            let twice = weighted(&halves).with_weights(&[2.0; SAMPLES]).unwrap();
            assert_same(run(twice, 0.4), repeated.clone(), &what);
            // Classes of the samples are 0, 1, 2, 0, 1, 2.
            let both = weighted(&weights).with_class_weights(&[0.5; 3]).unwrap();
            let (loss, parameters) = run(both, 0.8);
            assert_same((2.0 * loss, parameters), repeated, &what);
        }
    }
}

/// Of several batches each has its own sum, as in scikit-learn.
#[test]
fn every_batch_is_divided_by_its_own_weight() {
    for (words, device) in common::engines::<f64>() {
        let loss = Loss::SoftmaxCrossEntropy;
        let mut network = network(&device, Activation::Softmax);
        let of_samples = losses(&common::layers(&network), loss);
        let mut samples = samples(&device, &all()).with_weights(&WEIGHTS).unwrap();
        let builder = Trainer::builder(&mut network, loss, Sgd::new(0.0).unwrap());
        let mut trainer = builder.batch(4).seed(5).build().unwrap();
        let mut first = f64::NAN;
        let report = trainer
            .epoch_with(&mut samples, |progress| {
                if progress.samples() == 4 {
                    first = progress.report()?.loss;
                }
                Ok(())
            })
            .unwrap();
        let mean = |batch: u32, in_batch: bool| {
            let pick = |values: &[f64]| {
                let chosen = values.iter().enumerate();
                let chosen = chosen.filter(|(i, _)| (batch >> i & 1 == 1) == in_batch);
                chosen.map(|(_, x)| *x).collect::<Vec<f64>>()
            };
            weighted_mean(&pick(&of_samples), &pick(&WEIGHTS))
        };
        let batches = (0..1 << SAMPLES).filter(|batch: &u32| batch.count_ones() == 4);
        let fits = |batch: &u32| (mean(*batch, true) - first).abs() < 1e-12;
        let [batch] = batches.filter(fits).collect::<Vec<u32>>()[..] else {
            panic!("{words}: no four samples have the loss {first}");
        };
        let expected = (4.0 * first + 2.0 * mean(batch, false)) / 6.0;
        assert!((report.loss - expected).abs() < 1e-12, "{words}");
    }
}

/// A batch in which no sample counts leaves the parameters as they are.
#[test]
fn a_batch_without_weight_has_no_gradient() {
    for (words, device) in common::engines::<f64>() {
        let mut network = network(&device, Activation::Softmax);
        let before = flat(&common::layers(&network));
        let mut samples =
            samples(&device, &all()).with_weights(&[0.0, 0.0, 1.0, 0.0, 0.0, 0.0]).unwrap();
        let sgd = Sgd::new(1.0).unwrap();
        let builder = Trainer::builder(&mut network, Loss::SoftmaxCrossEntropy, sgd);
        let mut trainer = builder.batch(1).build().unwrap();
        let report = trainer.epoch(&mut samples).unwrap();
        drop(trainer);
        let (once, parameters) = {
            let samples = self::samples(&device, &[2]);
            epoch_of(samples, &device, Loss::SoftmaxCrossEntropy, 1.0)
        };
        assert_ne!(before, parameters);
        assert!(relative(&flat(&common::layers(&network)), &parameters) < 1e-13, "{words}");
        assert!((report.loss * 6.0 - once).abs() < 1e-12, "{words}");
    }
}

#[test]
fn evaluation_is_weighted() {
    for (words, device) in common::engines::<f64>() {
        let loss = Loss::SoftmaxCrossEntropy;
        let mut network = network(&device, Activation::Softmax);
        let layers = common::layers(&network);
        let hits: Vec<f64> = random::<f64>(INPUTS * SAMPLES, 1)
            .chunks(INPUTS)
            .enumerate()
            .map(|(i, x)| {
                let z = common::last_z(&layers, x);
                let best = (0..OUTPUTS).max_by(|a, b| z[*a].total_cmp(&z[*b])).unwrap();
                f64::from(u8::from(best == i % OUTPUTS))
            })
            .collect();
        assert!(hits.contains(&0.0) && hits.contains(&1.0));
        let expected =
            (weighted_mean(&losses(&layers, loss), &WEIGHTS), weighted_mean(&hits, &WEIGHTS));
        // Weights of classes are for training.
        let samples = samples(&device, &all()).with_class_weights(&[2.0, 3.0, 4.0]).unwrap();
        let samples = samples.with_weights(&WEIGHTS).unwrap();
        let whole = network.evaluate(loss, &samples).unwrap();
        let sgd = Sgd::new(0.1).unwrap();
        let mut trainer = Trainer::builder(&mut network, loss, sgd).batch(4).build().unwrap();
        for report in [whole, trainer.evaluate(&samples).unwrap()] {
            assert!((report.loss - expected.0).abs() < 1e-12, "{words}");
            assert!((report.accuracy.unwrap() - expected.1).abs() < 1e-12, "{words}");
            assert_eq!((report.samples, report.weight), (6, 6.75));
            let both = report.and(report);
            assert_eq!((both.samples, both.weight), (12, 13.5));
            assert!((both.loss - expected.0).abs() < 1e-12, "{words}");
        }
    }
}

/// A data set of images in which the weight of each sample is a function of its class.
fn images() -> Dataset<f32> {
    let digits = travertine::data::digits::<f32>().unwrap().take(300).unwrap();
    let Targets::Classes { labels, .. } = digits.targets() else { unreachable!() };
    let weights = labels.iter().map(|label| f64::from(*label)).collect();
    digits.with_weights(weights).unwrap()
}

/// Splits, selections, deformations and other targets leave each weight at its sample, and samples take it up.
#[test]
fn weights_stay_with_their_samples() {
    let data = images();
    let (train, held_out) = data.split(0.3, 4).unwrap();
    let deformed = Augmentation::new(8, 8).unwrap().rotation(10.0).unwrap();
    let deformed = deformed.apply(&train, 1, 0).unwrap();
    assert_ne!(deformed.features(), train.features());
    let same = train.clone().with_targets(train.targets().clone()).unwrap();
    let few = data.take(7).unwrap();
    for part in [&train, &held_out, &deformed, &same, &few] {
        let Targets::Classes { labels, .. } = part.targets() else { unreachable!() };
        let expected: Vec<f64> = labels.iter().map(|label| f64::from(*label)).collect();
        assert_eq!(part.weights(), Some(&*expected));
        let device = engine::open::<f32>("cpu").unwrap();
        let network = Network::builder(&device, 64).dense(10, Activation::Softmax).build().unwrap();
        let loss = Loss::SoftmaxCrossEntropy;
        let reports = [
            Samples::new(&device, part).unwrap(),
            Samples::from_dataset(&device, part.clone()).unwrap().into_owned().unwrap(),
        ]
        .map(|samples| network.evaluate(loss, &samples).unwrap());
        assert_eq!(reports[0], reports[1]);
        assert_eq!(reports[0].weight, expected.iter().sum::<f64>());
    }
}

/// The same bits for any number of threads, and for a training that goes on from a file in the middle of an epoch.
#[test]
fn weighted_trainings_are_reproducible() {
    let data = images();
    let parameters = |threads: usize, breaks: bool| {
        let device = engine::open_with::<f32>("cpu", &Settings::threads(threads)).unwrap();
        let build = || {
            let builder = Network::builder(&device, 64).dense(130, Activation::Relu);
            builder.dense(10, Activation::Softmax).seed(1).build().unwrap()
        };
        let mut samples = Samples::new(&device, &data).unwrap();
        let (mut first, mut second) = (build(), build());
        let trainer = |network| {
            let (loss, adam) = (Loss::SoftmaxCrossEntropy, Adam::new(0.01).unwrap());
            Trainer::builder(network, loss, adam).batch(16).seed(7).build().unwrap()
        };
        let mut trainer_of_first = trainer(&mut first);
        if !breaks {
            let reports: Vec<_> =
                (0..3).map(|_| trainer_of_first.epoch(&mut samples).unwrap()).collect();
            return (reports, trainer_of_first.parameters().unwrap());
        }
        let mut reports = vec![trainer_of_first.epoch(&mut samples).unwrap()];
        let stop = trainer_of_first.epoch_until(&mut samples, |progress| {
            Ok(if progress.samples() < 160 {
                ControlFlow::Continue(())
            } else {
                ControlFlow::Break(())
            })
        });
        assert!(stop.unwrap().is_none());
        let snapshot = trainer_of_first.snapshot(&mut samples).unwrap();
        let folder = std::env::temp_dir().join(format!("weights-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let file = folder.join("checkpoint.safetensors");
        model_file::save_checkpoint(&file, &snapshot, "").unwrap();
        let (snapshot, _) = model_file::load_checkpoint::<f32>(&file).unwrap();
        std::fs::remove_dir_all(&folder).unwrap();
        let mut fresh = Samples::new(&device, &data).unwrap();
        let mut trainer = trainer(&mut second);
        trainer.restore(&snapshot, &mut fresh).unwrap();
        reports.extend((0..2).map(|_| trainer.epoch(&mut fresh).unwrap()));
        (reports, trainer.parameters().unwrap())
    };
    let expected = parameters(1, false);
    assert_eq!(parameters(3, false), expected);
    assert_eq!(parameters(2, true), expected);
}

/// Weights of 1 are none, bit by bit where a step is computed layer by layer.
#[test]
fn weights_of_one_change_no_bit() {
    let device = engine::open::<f64>("cpu").unwrap();
    for loss in Loss::ALL {
        let weighted = samples(&device, &all()).with_weights(&[1.0; SAMPLES]).unwrap();
        let plain = samples(&device, &all());
        assert_eq!(epoch_of(weighted, &device, loss, 0.4), epoch_of(plain, &device, loss, 0.4));
    }
    let quantiles = Loss::Quantiles(Quantiles::new(&[0.1, 0.5, 0.9]).unwrap());
    let weighted = samples(&device, &all()).with_weights(&[3.0, 0.0, 0.0, 0.0, 0.0, 0.0]).unwrap();
    let one = epoch_of(samples(&device, &[0]), &device, quantiles, 0.4);
    assert_same(epoch_of(weighted, &device, quantiles, 0.4), one, "quantiles");
}

#[test]
fn weights_that_make_no_sense_are_refused() {
    let device = engine::open::<f64>("cpu").unwrap();
    let refused = |weights: &[f64], reason: &str| {
        let of_samples = samples(&device, &all()).with_weights(weights).map(drop);
        let data = Dataset::new(1, vec![0.0; SAMPLES], Targets::None).unwrap();
        let of_data = data.with_weights(weights.to_vec()).map(drop);
        for error in [of_samples, of_data].map(|result| result.unwrap_err().to_string()) {
            assert!(error.contains(reason), "{error}");
        }
    };
    refused(&[1.0], "1 weights for 6 samples");
    refused(&[], "0 weights for 6 samples");
    refused(&[1.0, 1.0, -1.0, 1.0, 1.0, 1.0], "not -1 as sample 2 has");
    refused(&[1.0, f64::NAN, 1.0, 1.0, 1.0, 1.0], "not NaN as sample 1 has");
    refused(&[f64::INFINITY, 1.0, 1.0, 1.0, 1.0, 1.0], "not inf as sample 0 has");
    refused(&[0.0; SAMPLES], "all weights are 0");
    refused(&[1e308; SAMPLES], "divide them by the largest");
    let none_is_left = samples(&device, &all()).with_weights(&[1.0, 0.0, 0.0, 0.0, 0.0, 0.0]);
    let none_is_left = none_is_left.unwrap().with_weights(&[0.0, 1.0, 1.0, 1.0, 1.0, 1.0]);
    assert!(none_is_left.map(drop).unwrap_err().to_string().contains("all weights are 0"));
}
