//! Embeddings of numbers on every instruction set, against each other and the formula.

use super::*;
use crate::layer::{Layer, NumberEmbedding, Role};
use crate::matrix::Matrix;

const COLUMNS: [usize; 3] = [0, 2, 3];
const SAMPLES: usize = 301;

/// Outputs and gradients, whose operands f32 has exactly.
fn results<T: Scalar>(isa: Isa) -> [Vec<f64>; 3] {
    let engine = engine::<T>(isa, 2);
    let numbers = |count: usize, seed: u64| -> Vec<T> {
        let mut noise = Noise(seed);
        (0..count).map(|_| T::from_f64(f64::from(noise.next() as f32))).collect()
    };
    let mut layer = NumberEmbedding::new(&engine, 4, &COLUMNS).unwrap();
    layer.weights_mut().write(&numbers(3 * 64, 1)).unwrap();
    layer.bias_mut().write(&numbers(3 * 19, 2)).unwrap();
    let x = Matrix::from_slice(&engine, 4, SAMPLES, &numbers(4 * SAMPLES, 3)).unwrap();
    let mut training = layer.training(SAMPLES, Role::Hidden).unwrap();
    training.forward(x.view()).unwrap();
    let output = training.output(SAMPLES).unwrap().to_vec().unwrap();
    let (_, mut delta) = training.output_and_delta_mut(SAMPLES).unwrap();
    delta.write(&numbers(13 * SAMPLES, 4)).unwrap();
    let mut sinks = [64, 19].map(|columns| Matrix::zeros(&engine, 3, columns).unwrap());
    training.gradient(x.view(), sinks.each_mut().map(Matrix::view_mut), 1.0, 0.0).unwrap();
    let [weights, bias] = sinks.map(|sink| sink.to_vec().unwrap());
    [output, weights, bias].map(|values| values.into_iter().map(T::to_f64).collect())
}

#[test]
fn every_instruction_set_embeds_alike() {
    let exact = results::<f64>(Isa::Portable);
    let check = |found: [Vec<f64>; 3], bound: f64, what: &str| {
        for (found, exact) in found.iter().zip(&exact) {
            let worst = found.iter().zip(exact).map(|(x, y)| (x - y).abs()).fold(0.0, f64::max);
            assert!(worst < bound, "{what}: {worst}");
        }
    };
    for isa in isas() {
        check(results::<f32>(isa), 2e-5, isa.name());
        check(results::<f64>(isa), 1e-13, isa.name());
    }
}
