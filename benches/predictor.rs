//! One row of 784-300-100-10, as `travertine bench forward --batch 1` measures it without rows and classes.
//!
//!     cargo bench --bench predictor

mod common;

use common::engine;
use divan::Bencher;
use travertine::model_file::ModelInfo;
use travertine::{Activation, Loss, Matrix, Model, Network};

fn network() -> Network<f32> {
    Network::builder(&engine(1), 784)
        .dense(300, Activation::Relu)
        .dense(100, Activation::Relu)
        .dense(10, Activation::Identity)
        .seed(1)
        .build()
        .unwrap()
}

/// The network alone.
#[divan::bench]
fn inference(bencher: Bencher<'_, '_>) {
    let network = network();
    let x = Matrix::from_slice(network.engine(), 784, 1, &[0.5; 784]).unwrap();
    let mut inference = network.inference(1).unwrap();
    bencher.bench_local(|| inference.run(x.view()).unwrap().rows());
}

/// From a row of numbers to a class with probabilities.
#[divan::bench]
fn predict(bencher: Bencher<'_, '_>) {
    let mut info = ModelInfo::new(Loss::SoftmaxCrossEntropy);
    info.classes = (0..10).map(|class| class.to_string()).collect();
    let mut predictor = Model::new(network(), info).unwrap().predictor(1).unwrap();
    bencher.bench_local(|| predictor.predict(&[0.5; 784]).unwrap().class_index());
}

fn main() {
    divan::main();
}
