//! Training on what arrives in parts: single batches, data sets one after the other, and networks that are trained already.

use std::sync::Arc;

use crate::common::{self, one_hot, random};
use travertine::data::Task;
use travertine::engine::{self, Engine};
use travertine::model_file::{self, ModelInfo};
use travertine::optimizer::{Adam, Optimizer, RmsProp, Schedule, Sgd};
use travertine::{Activation, Loss, Matrix, Network, Samples, Trainer};

const BATCH: usize = 8;
const LOSS: Loss = Loss::SoftmaxCrossEntropy;

type Device = Arc<dyn Engine<f64>>;

fn network(device: &Device) -> Network<f64> {
    let builder = Network::builder(device, 4).dense(5, Activation::Tanh);
    builder.dense(3, Activation::Softmax).seed(3).build().unwrap()
}

fn part(device: &Device, count: usize, seed: u64) -> Samples<'static, f64> {
    let x = Matrix::from_slice(device, 4, count, &random(4 * count, seed)).unwrap();
    let t = Matrix::from_slice(device, 3, count, &one_hot(3, count)).unwrap();
    Samples::from_matrices(x, t, Task::Classes).unwrap()
}

fn optimizers() -> Vec<Box<dyn Optimizer<f64>>> {
    vec![
        Box::new(Sgd::new(0.1).unwrap().nesterov(0.9).unwrap()),
        Box::new(RmsProp::new(0.01).unwrap()),
        Box::new(Adam::new(0.01).unwrap()),
    ]
}

fn trainer<'n>(
    network: &'n mut Network<f64>,
    optimizer: Box<dyn Optimizer<f64>>,
) -> Trainer<'n, f64> {
    let builder = Trainer::builder(network, LOSS, optimizer).batch(BATCH).seed(5);
    builder.schedule(Schedule::Exponential { factor: 0.99 }).build().unwrap()
}

/// The parameters after an epoch of all parts, with one trainer.
fn in_one(device: &Device, optimizer: Box<dyn Optimizer<f64>>, counts: &[usize]) -> Vec<Vec<f64>> {
    let mut network = network(device);
    let mut trainer = trainer(&mut network, optimizer);
    for (count, seed) in counts.iter().zip(1..) {
        trainer.epoch(&mut part(device, *count, seed)).unwrap();
    }
    trainer.parameters().unwrap()
}

/// Parts of different sizes, the last ones smaller than a batch; each trainer has nothing but the network and a snapshot.
#[test]
fn trainers_continue_with_other_samples() {
    let counts = [20, 33, 3, 1];
    for (words, device) in common::engines::<f64>() {
        for i in 0..optimizers().len() {
            let next = || optimizers().swap_remove(i);
            let mut network = network(&device);
            let mut last = None;
            for (count, seed) in counts.iter().zip(1..) {
                let mut samples = part(&device, *count, seed);
                let mut trainer = trainer(&mut network, next());
                if let Some(snapshot) = &last {
                    trainer.continue_from(snapshot).unwrap();
                    assert_eq!(trainer.epochs(), seed - 1);
                }
                trainer.epoch(&mut samples).unwrap();
                last = Some(trainer.snapshot(&mut samples).unwrap());
            }
            let parameters = trainer(&mut network, next()).parameters().unwrap();
            assert_eq!(parameters, in_one(&device, next(), &counts), "{words}: {i}");
        }
    }
    let device = engine::open::<f64>("cpu").unwrap();
    let mut network = network(&device);
    let mut samples = part(&device, 20, 1);
    let snapshot = {
        let mut trainer = trainer(&mut network, optimizers().swap_remove(0));
        trainer.epoch(&mut samples).unwrap();
        trainer.snapshot(&mut samples).unwrap()
    };
    let mut other = trainer(&mut network, optimizers().swap_remove(2));
    let error = other.continue_from(&snapshot).unwrap_err().to_string();
    assert!(error.contains("optimizer was sgd(0.1, nesterov 0.9), is adam"), "{error}");
}

/// Batches that the caller gives, with the state of the optimizer kept between them: the same as an epoch of each.
#[test]
fn single_steps_keep_the_state_of_the_optimizer() {
    for (words, device) in common::engines::<f64>() {
        for i in 0..optimizers().len() {
            let next = || optimizers().swap_remove(i);
            let mut network = network(&device);
            let mut trainer = trainer(&mut network, next());
            for seed in 1..=4 {
                let batch = part(&device, 1, seed);
                trainer.step(batch.inputs(), batch.targets()).unwrap();
            }
            assert_eq!(trainer.steps(), 4);
            let parameters = trainer.parameters().unwrap();
            assert_eq!(parameters, in_one(&device, next(), &[1; 4]), "{words}: {i}");
        }
    }
}

/// A trainer begins with the parameters that its network has, trained here or loaded from a file, and with no state.
#[test]
fn trained_networks_are_trained_further() {
    let device = engine::open::<f64>("cpu").unwrap();
    let samples = part(&device, 40, 1);
    let mut network = network(&device);
    let train = |network: &mut Network<f64>| {
        let mut trainer = trainer(network, optimizers().swap_remove(2));
        let before = trainer.evaluate(&samples).unwrap().loss;
        let mut samples = part(&device, 40, 1);
        for _ in 0..10 {
            trainer.epoch(&mut samples).unwrap();
        }
        (before, trainer.evaluate(&samples).unwrap().loss)
    };
    let (_, first) = train(&mut network);
    let file = format!("travertine-warm-start-{}.safetensors", std::process::id());
    let file = std::env::temp_dir().join(file);
    let mut info = ModelInfo::new(LOSS);
    info.classes = ["a", "b", "c"].map(str::to_owned).to_vec();
    model_file::save(&file, &network, &info).unwrap();
    let (mut loaded, _) = model_file::load(&file, &device).unwrap();
    std::fs::remove_file(&file).unwrap();
    let (second, third) = train(&mut network);
    assert!((first - second).abs() < 1e-15 && third < second);
    assert_eq!(train(&mut loaded), (second, third));
}
