//! The networks of `docs/benchmarks/`, and others that must not fall off a cliff between them: forward, and a training step of
//! plain SGD. Items are samples.
//!
//!     cargo bench --bench grid
//!     cargo bench --bench grid -- train.*784-30-10

mod common;

use common::engine;
use divan::Bencher;
use divan::counter::ItemsCount;
use travertine::optimizer::Sgd;
use travertine::{Activation, Loss, Matrix, Network, Trainer};

/// One thread, and one for every core.
const THREADS: [usize; 2] = [1, 0];

/// Sizes of inputs and layers, and the batch.
const WORK: [&str; 13] = [
    "784-30-10 x 1",
    "784-30-10 x 10",
    "784-30-10 x 128",
    "64-32-10 x 1",
    "64-32-10 x 32",
    "784-300-100-10 x 1",
    "784-300-100-10 x 64",
    "784-300-100-10 x 1024",
    // Primes, one output, three samples, many thin layers.
    "787-293-97-11 x 61",
    "784-300-1 x 64",
    "784-300-100-10 x 3",
    "64-64-64-64-64-64-64-64-64-64-64-64-64-64-64-64-64-64-64-64-64 x 64",
    "784-2500-2000-1500-1000-500-10 x 64",
];

/// A network of relu with a linear output, input and target for a batch.
fn prepare(work: &str, threads: usize) -> (Network<f32>, Matrix<f32>, Matrix<f32>, usize) {
    let (sizes, batch) = work.split_once(" x ").unwrap();
    let sizes: Vec<usize> = sizes.split('-').map(|size| size.parse().unwrap()).collect();
    let batch: usize = batch.parse().unwrap();
    let (engine, last) = (engine::<f32>(threads), sizes.len() - 1);
    let mut builder = Network::builder(&engine, sizes[0]).seed(1);
    for (i, &size) in sizes.iter().enumerate().skip(1) {
        builder =
            builder.dense(size, if i == last { Activation::Identity } else { Activation::Relu });
    }
    let filled = |rows| Matrix::from_slice(&engine, rows, batch, &vec![0.5; rows * batch]).unwrap();
    let (x, t) = (filled(sizes[0]), filled(sizes[last]));
    (builder.build().unwrap(), x, t, batch)
}

#[divan::bench(args = WORK, consts = THREADS)]
fn forward<const T: usize>(bencher: Bencher<'_, '_>, work: &str) {
    let (network, x, _, batch) = prepare(work, T);
    let mut inference = network.inference(batch).unwrap();
    bencher.counter(ItemsCount::new(batch)).bench_local(|| {
        inference.run(x.view()).unwrap();
        network.engine().synchronize().unwrap();
    });
}

#[divan::bench(args = WORK, consts = THREADS)]
fn train<const T: usize>(bencher: Bencher<'_, '_>, work: &str) {
    let (mut network, x, t, batch) = prepare(work, T);
    let engine = network.engine().clone();
    let mut trainer = Trainer::builder(&mut network, Loss::Quadratic, Sgd::new(1e-3).unwrap())
        .batch(batch)
        .seed(1)
        .build()
        .unwrap();
    bencher.counter(ItemsCount::new(batch)).bench_local(|| {
        trainer.step(x.view(), t.view()).unwrap();
        engine.synchronize().unwrap();
    });
}

fn main() {
    divan::main();
}
