//! The regression of the article's series: f(x) = sin x0 + cos x1 + tanh x2 + x3^2, learned from 10,000 uniform points by 4-64-64-1.

use crate::common;
use travertine::data::Task;
use travertine::optimizer::Adam;
use travertine::random::{Philox, Purpose};
use travertine::{Activation, Loss, Matrix, Network, Samples, Trainer};

const POINTS: usize = 10_000;

fn f(x: &[f64]) -> f64 {
    x[0].sin() + x[1].cos() + x[2].tanh() + x[3].powi(2)
}

fn points(seed: u64, count: usize) -> (Vec<f32>, Vec<f32>) {
    let stream = Philox::new(seed, Purpose::User, 0);
    let x: Vec<f64> = (0..4 * count as u64).map(|i| stream.uniform(i)).collect();
    let y = x.chunks(4).map(|x| f(x) as f32).collect();
    (x.into_iter().map(|x| x as f32).collect(), y)
}

/// One epoch of Adam at its usual rate, batches of 100: below 0.02 quadratic cost on points that it has not seen.
#[test]
fn one_epoch_of_adam() {
    for (words, engine) in common::engines::<f32>() {
        let samples = |seed| {
            let (x, y) = points(seed, POINTS);
            let x = Matrix::from_slice(&engine, 4, POINTS, &x).unwrap();
            Samples::from_matrices(
                x,
                Matrix::from_slice(&engine, 1, POINTS, &y).unwrap(),
                Task::Values,
            )
            .unwrap()
        };
        for seed in 1..4 {
            let mut network = Network::builder(&engine, 4)
                .dense(64, Activation::Relu)
                .dense(64, Activation::Relu)
                .dense(1, Activation::Identity)
                .seed(seed)
                .build()
                .unwrap();
            let (mut train, test) = (samples(1), samples(2));
            let adam = Adam::new(0.001).unwrap();
            let mut trainer = Trainer::builder(&mut network, Loss::Quadratic, adam)
                .batch(100)
                .seed(seed)
                .build()
                .unwrap();
            trainer.epoch(&mut train).unwrap();
            let cost = trainer.evaluate(&test).unwrap().loss;
            eprintln!("{words}, seed {seed}: {cost:.5}");
            assert!(cost < 0.02, "{words}, seed {seed}: {cost}");
        }
    }
}
