//! Steps whose batch is cut into slices: the same training as with whole batches, but for rounding, on every engine.

use std::sync::Arc;

use crate::common::{assert_close, engines, one_hot, random};
use travertine::data::Task;
use travertine::engine::{self, Engine};
use travertine::optimizer::{Clip, Optimizer, Sgd};
use travertine::processes::Group;
use travertine::{
    Activation, Loss, LossScale, Matrix, Network, Samples, Scalar, Trainer, TrainerBuilder,
};

/// An epoch of these ends with a batch of fewer samples than there are slices.
const SAMPLES: usize = 53;
const BATCH: usize = 10;

fn samples<T: Scalar>(device: &Arc<dyn Engine<T>>) -> Samples<'static, T> {
    let x = Matrix::from_slice(device, 6, SAMPLES, &random(6 * SAMPLES, 1)).unwrap();
    let t = Matrix::from_slice(device, 3, SAMPLES, &one_hot(3, SAMPLES)).unwrap();
    Samples::from_matrices(x, t, Task::Classes).unwrap()
}

fn network<T: Scalar>(device: &Arc<dyn Engine<T>>) -> Network<T> {
    Network::builder(device, 6)
        .dense(8, Activation::Tanh)
        .dense(7, Activation::Identity)
        .layer_norm(Activation::Gelu)
        .dense(3, Activation::Softmax)
        .seed(2)
        .build()
        .unwrap()
}

type Setting<T> = fn(TrainerBuilder<'_, T>) -> TrainerBuilder<'_, T>;

/// Parameters, and the losses of the reports, after two epochs and an evaluation.
fn trained<T: Scalar>(
    device: &Arc<dyn Engine<T>>,
    slices: usize,
    optimizer: Box<dyn Optimizer<T>>,
    samples: &mut Samples<'_, T>,
    setting: Setting<T>,
) -> (Vec<f64>, Vec<f64>) {
    let mut network = network(device);
    let trainer = Trainer::builder(&mut network, Loss::SoftmaxCrossEntropy, optimizer);
    let mut trainer = setting(trainer.batch(BATCH).seed(3)).slices(slices).build().unwrap();
    let mut reports = Vec::new();
    for _ in 0..2 {
        let report = trainer.epoch(samples).unwrap();
        reports.extend([report.loss, report.accuracy.unwrap()]);
    }
    let report = trainer.evaluate(samples).unwrap();
    reports.extend([report.loss, report.accuracy.unwrap()]);
    let parameters = trainer.parameters().unwrap().concat();
    (parameters.iter().map(|x| x.to_f64()).collect(), reports)
}

#[test]
fn slices_train_as_whole_batches_do() {
    for (engine, device) in engines::<f64>() {
        let settings: [(&str, Setting<f64>); 4] = [
            ("plain", |trainer| trainer),
            ("clipped", |trainer| trainer.clip(Clip::Norm(0.05))),
            ("scaled", |trainer| trainer.loss_scale(LossScale::default())),
            ("bounded", |trainer| trainer.max_norm(0.7)),
        ];
        let weights: Vec<f64> = (0..SAMPLES).map(|i| (i % 4) as f64).collect();
        for (name, setting) in settings {
            for is_weighted in [false, true] {
                let mut samples = samples(&device);
                if is_weighted {
                    samples = samples.with_weights(&weights).unwrap();
                }
                let sgd = || Box::new(Sgd::new(0.1).unwrap().momentum(0.9).unwrap());
                let (whole, reports) = trained(&device, 1, sgd(), &mut samples, setting);
                for slices in [2, 3, 8, 10] {
                    let what = format!("{name}, {slices} slices on {engine}");
                    let sliced = trained(&device, slices, sgd(), &mut samples, setting);
                    assert_close(&sliced.0, &whole, 1e-11, &what);
                    assert_close(&sliced.1, &reports, 1e-11, &what);
                }
            }
        }
    }
}

#[test]
fn f32_agrees_within_rounding() {
    for (engine, device) in engines::<f32>() {
        let sgd = || Box::new(Sgd::new(0.1).unwrap());
        let mut samples = samples(&device);
        let (whole, _) = trained(&device, 1, sgd(), &mut samples, |trainer| trainer);
        let (sliced, _) = trained(&device, 4, sgd(), &mut samples, |trainer| trainer);
        assert_close(&sliced, &whole, 1e-4, engine);
    }
}

/// Weights, bias and statistics after a step of gradient descent on some samples, less those before.
fn change(
    device: &Arc<dyn Engine<f64>>,
    slices: usize,
    columns: std::ops::Range<usize>,
    frozen: bool,
) -> Vec<f64> {
    let mut network = Network::builder(device, 6)
        .dense(5, Activation::Identity)
        .batch_norm(Activation::Tanh)
        .dense(3, Activation::Softmax)
        .seed(4)
        .build()
        .unwrap();
    let all = samples(device);
    let x = all.inputs().sub_columns(columns.clone()).unwrap().copy().unwrap();
    let t = all.targets().sub_columns(columns).unwrap().copy().unwrap();
    let sgd = Sgd::new(0.5).unwrap();
    let mut trainer = Trainer::builder(&mut network, Loss::SoftmaxCrossEntropy, sgd)
        .batch(8)
        .slices(slices)
        .build()
        .unwrap();
    if frozen {
        trainer.freeze(0..2).unwrap();
    }
    let before = trainer.parameters().unwrap().concat();
    trainer.step(x.view(), t.view()).unwrap();
    let after = trainer.parameters().unwrap().concat();
    before.iter().zip(after).map(|(before, after)| after - before).collect()
}

#[test]
fn batch_normalization_takes_its_moments_slice_by_slice() {
    for (engine, device) in engines::<f64>() {
        // Two slices of a batch are two batches, whose gradients and moments are averaged.
        let (first, second) = (change(&device, 1, 0..4, false), change(&device, 1, 4..8, false));
        let mean: Vec<f64> = first.iter().zip(&second).map(|(a, b)| (a + b) / 2.0).collect();
        assert_close(&change(&device, 2, 0..8, false), &mean, 1e-12, engine);
        assert!(
            change(&device, 1, 0..8, false).iter().zip(&mean).any(|(a, b)| (a - b).abs() > 1e-6)
        );
        // What is frozen stays.
        let frozen = change(&device, 2, 0..8, true);
        let (still, trained) = frozen.split_at(frozen.len() - 5 * 3 - 3);
        assert!(still.iter().all(|x| *x == 0.0) && trained.iter().any(|x| *x != 0.0));
    }
}

#[test]
fn a_slice_draws_its_own_dropout() {
    let cpu = engine::open::<f64>("cpu").unwrap();
    let x: Vec<f64> = random(6 * 4, 5);
    // Both slices have the same samples: with the same draws the mean would be either's gradient.
    let x = Matrix::from_slice(&cpu, 6, 8, &[x.clone(), x].concat()).unwrap();
    let t = Matrix::from_slice(&cpu, 3, 8, &one_hot(3, 8)).unwrap();
    let twice = t.view().sub_columns(0..4).unwrap().to_vec().unwrap().repeat(2);
    let t = Matrix::from_slice(&cpu, 3, 8, &twice).unwrap();
    let weights = |slices: usize, samples: usize| {
        let mut network = network(&cpu);
        let sgd = Sgd::new(0.5).unwrap();
        let dropout = travertine::Dropout { inputs: 0.5, hidden: 0.5 };
        let mut trainer = Trainer::builder(&mut network, Loss::SoftmaxCrossEntropy, sgd)
            .batch(8)
            .slices(slices)
            .dropout(dropout)
            .build()
            .unwrap();
        let range = 0..samples;
        let (x, t) = (x.view().sub_columns(range.clone()), t.view().sub_columns(range));
        trainer.step(x.unwrap(), t.unwrap()).unwrap();
        trainer.parameters().unwrap().concat()
    };
    assert_ne!(weights(2, 8), weights(1, 4));
    assert_eq!(weights(2, 8), weights(2, 8));
}

#[test]
fn a_snapshot_of_other_slices_is_refused() {
    let cpu = engine::open::<f32>("cpu").unwrap();
    let mut samples = samples(&cpu);
    let (mut network, mut twin) = (network(&cpu), network(&cpu));
    let trainer = |network, slices: usize| {
        let sgd = Sgd::new(0.1).unwrap();
        Trainer::builder(network, Loss::SoftmaxCrossEntropy, sgd)
            .batch(BATCH)
            .slices(slices)
            .build()
            .unwrap()
    };
    let snapshot = trainer(&mut network, 2).snapshot(&mut samples).unwrap();
    let error = trainer(&mut twin, 5).restore(&snapshot, &mut samples).unwrap_err().to_string();
    assert!(error.contains("slices was 2, is 5"), "{error}");
}

#[test]
fn wrong_slices_are_refused() {
    let cpu = engine::open::<f32>("cpu").unwrap();
    for (slices, batch, wanted) in [
        (0, 8, "a batch has from 1 to 4096 slices, not 0"),
        (4097, 8192, "not 4097"),
        (9, 8, "a batch of 8 samples cannot have 9 slices"),
    ] {
        let mut network = network(&cpu);
        let sgd = Sgd::new(0.1).unwrap();
        let trainer = Trainer::builder(&mut network, Loss::SoftmaxCrossEntropy, sgd);
        let built = trainer.batch(batch).slices(slices).processes(&Group::alone()).build();
        let error = built.err().unwrap().to_string();
        assert!(error.contains(wanted), "{error}");
    }
    // A loss of one's own is for the whole batch.
    let mut network = network(&cpu);
    let sgd = Sgd::new(0.1).unwrap();
    let trainer = Trainer::builder(&mut network, Loss::SoftmaxCrossEntropy, sgd);
    let mut trainer = trainer.batch(8).slices(2).build().unwrap();
    let x = Matrix::from_slice(&cpu, 6, 8, &random(48, 7)).unwrap();
    let error = trainer.step_with(x.view(), |_, _| Ok(())).unwrap_err().to_string();
    assert!(error.contains("build the trainer with one slice and one process"), "{error}");
}
