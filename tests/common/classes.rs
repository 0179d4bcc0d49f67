//! A short training on three classes of six features, for networks with any layers in front of a softmax.

use std::sync::Arc;

use travertine::data::Task;
use travertine::engine::{self, Engine, Settings};
use travertine::optimizer::Adam;
use travertine::trainer::TrainerBuilder;
use travertine::{Loss, Matrix, Network, Samples, Scalar, Trainer};

use super::{numbers, one_hot, random, scaled};

const FEATURES: usize = 6;
const LOSS: Loss = Loss::SoftmaxCrossEntropy;

fn samples<T: Scalar>(device: &Arc<dyn Engine<T>>, count: usize) -> Samples<'static, T> {
    let x = Matrix::from_slice(device, FEATURES, count, &scaled(FEATURES * count, 8, 2.0)).unwrap();
    let t = Matrix::from_slice(device, 3, count, &one_hot(3, count)).unwrap();
    Samples::from_matrices(x, t, Task::Classes).unwrap()
}

/// Trains for three epochs; `settings`: of the trainer, beside Adam and a batch.
pub fn train<T: Scalar>(
    network: &mut Network<T>,
    (count, batch): (usize, usize),
    settings: impl for<'n> FnOnce(TrainerBuilder<'n, T>) -> TrainerBuilder<'n, T>,
) {
    let mut samples = samples(&Arc::clone(network.engine()), count);
    let builder = Trainer::builder(network, LOSS, Adam::new(0.01).unwrap()).batch(batch).seed(1);
    let mut trainer = settings(builder).build().unwrap();
    for _ in 0..3 {
        trainer.epoch(&mut samples).unwrap();
    }
}

/// All parameters and statistics.
pub fn bits<T: Scalar>(network: &Network<T>) -> Vec<u64> {
    let matrices = network.layers().iter().flat_map(|layer| {
        [Some(layer.weights()), Some(layer.bias()), layer.statistics()].into_iter().flatten()
    });
    matrices.flat_map(|matrix| numbers(matrix.to_vec().unwrap())).map(f64::to_bits).collect()
}

/// Small batches on one thread, and batches that threads share: the same parameters and outputs. `trained`: by device, samples and batch.
pub fn assert_threads_give_the_same_bits<T: Scalar>(
    trained: impl Fn(&Arc<dyn Engine<T>>, usize, usize) -> Network<T>,
) {
    for (samples, batch) in [(100, 13), (3000, 1000)] {
        let of = |threads: usize| {
            let device = engine::open_with::<T>("cpu", &Settings::threads(threads)).unwrap();
            let network = trained(&device, samples, batch);
            let x = random(FEATURES * 2000, 1);
            let x = Matrix::from_slice(&device, FEATURES, 2000, &x).unwrap();
            let output = network.infer(x.view()).unwrap().to_vec().unwrap();
            (bits(&network), numbers(output).into_iter().map(f64::to_bits).collect::<Vec<_>>())
        };
        let one = of(1);
        assert!(one == of(2) && one == of(3), "{} {samples} {batch}", T::NAME);
    }
}

/// The loss on the samples that `after` was trained on is lower than before.
pub fn assert_loss_falls<T: Scalar>(
    words: &str,
    before: &Network<T>,
    after: &Network<T>,
    count: usize,
) {
    let samples = samples(before.engine(), count);
    let [before, after] = [before, after].map(|n| n.evaluate(LOSS, &samples).unwrap().loss);
    assert!(after < before, "{words}: {after} {before}");
}
