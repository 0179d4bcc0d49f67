//! Initial values that samples decide: sums of variance 1 unless inputs cancel each other, units that bend among the samples.

use std::sync::Arc;

use crate::common::{self, engines, random};
use travertine::engine::{self, Engine};
use travertine::{Activation, Init, Matrix, Network, Scalar};

const INPUTS: usize = 6;
const SAMPLES: usize = 200;

/// `W x` and `W x + b` of one unit for every sample.
fn sums<T: Scalar>(network: &Network<T>, layer: usize, unit: usize, x: &[f64]) -> [Vec<f64>; 2] {
    let layer = &network.layers()[layer];
    let (w, b) = (layer.weights().to_vec().unwrap(), layer.bias().to_vec().unwrap());
    let product = |sample: &[f64]| -> f64 {
        let weights = w.iter().skip(unit).step_by(layer.outputs());
        weights.zip(sample).map(|(w, x)| w.to_f64() * x).sum()
    };
    let without: Vec<f64> = x.chunks_exact(layer.inputs()).map(product).collect();
    let with = without.iter().map(|sum| sum + b[unit].to_f64()).collect();
    [without, with]
}

/// The variance of `W x` of one unit if its inputs were independent.
fn independent_variance<T: Scalar>(
    network: &Network<T>,
    layer: usize,
    unit: usize,
    x: &[f64],
) -> f64 {
    let layer = &network.layers()[layer];
    let (w, inputs) = (layer.weights().to_vec().unwrap(), layer.inputs());
    let samples = (x.len() / inputs) as f64;
    let term = |j: usize| {
        let numbers = || x.iter().skip(j).step_by(inputs);
        let mean = numbers().sum::<f64>() / samples;
        let variance = numbers().map(|x| (x - mean).powi(2)).sum::<f64>() / samples;
        w[unit + j * layer.outputs()].to_f64().powi(2) * variance
    };
    (0..inputs).map(term).sum()
}

fn check<T: Scalar>(tolerance: f64, engines: Vec<(&'static str, Arc<dyn Engine<T>>)>) {
    // Far from 0, on different scales, one constant.
    let scales = [1.0, 100.0, 1e-3, 5.0, 0.0, 1.0];
    let numbers: Vec<f64> = random::<f64>(INPUTS * SAMPLES, 3)
        .iter()
        .enumerate()
        .map(|(i, x)| 2.0 + scales[i % INPUTS] * x)
        .collect();
    let numbers: Vec<T> = numbers.into_iter().map(T::from_f64).collect();
    for (words, engine) in engines {
        let build = || {
            Network::builder(&engine, INPUTS)
                .dense(30, Activation::Tanh)
                .dense(20, Activation::Mish)
                .dense(3, Activation::Softmax)
                .init(Init::Lecun)
                .build()
                .unwrap()
        };
        let mut network = build();
        let x = Matrix::from_slice(&engine, INPUTS, SAMPLES, &numbers).unwrap();
        network.fit_initial_values(x.view(), 5).unwrap();
        let mut input: Vec<f64> = numbers.iter().map(|x| x.to_f64()).collect();
        for (number, activation) in
            [(0, Activation::Tanh), (1, Activation::Mish), (2, Activation::Softmax)]
        {
            let outputs = network.layers()[number].outputs();
            let mut next = vec![0.0; outputs * SAMPLES];
            let mut ones = 0;
            for unit in 0..outputs {
                let [without, with] = sums(&network, number, unit, &input);
                let mean = without.iter().sum::<f64>() / SAMPLES as f64;
                let variance =
                    without.iter().map(|s| (s - mean).powi(2)).sum::<f64>() / SAMPLES as f64;
                let independent = independent_variance(&network, number, unit, &input);
                let greater = variance.max(independent / 16.0);
                assert!((greater - 1.0).abs() < tolerance, "{words}, layer {number}: {variance}");
                ones += usize::from((variance - 1.0).abs() < tolerance);
                let bends = with.iter().any(|s| *s < 0.0) && with.iter().any(|s| *s > 0.0);
                assert!(number == 2 || bends, "{words}, layer {number}, unit {unit} bends nowhere");
                assert!(number < 2 || with == without, "{words}: the last bias is not 0");
                with.iter().enumerate().for_each(|(s, sum)| next[unit + s * outputs] = *sum);
            }
            assert!(10 * ones >= 8 * outputs, "{words}, layer {number}: only {ones} of {outputs}");
            input =
                next.chunks_exact(outputs).flat_map(|z| common::activate(activation, z)).collect();
        }
        // A function of the seed.
        let parameters = |seed| {
            let mut network = build();
            network.fit_initial_values(x.view(), seed).unwrap();
            network.layers()[0].bias().to_vec().unwrap()
        };
        assert_eq!(parameters(5), network.layers()[0].bias().to_vec().unwrap(), "{words}");
        assert_ne!(parameters(6), parameters(5), "{words}");
        assert!(network.fit_initial_values(x.view().sub_matrix(0..3, 0..9).unwrap(), 1).is_err());
    }
}

#[test]
fn sums_have_variance_1_and_units_bend_among_the_samples() {
    check::<f64>(1e-9, vec![("cpu", engine::open("cpu").unwrap())]);
    check::<f32>(1e-3, engines());
}

#[test]
fn one_sample_gives_no_scale() {
    for (words, engine) in engines::<f32>() {
        let mut network = Network::builder(&engine, 2)
            .dense(4, Activation::Relu)
            .dense(1, Activation::Identity)
            .build()
            .unwrap();
        let before = network.layers()[0].weights().to_vec().unwrap();
        let x = Matrix::from_slice(&engine, 2, 1, &[3.0, f32::MAX]).unwrap();
        network.fit_initial_values(x.view(), 1).unwrap();
        let layer = &network.layers()[0];
        assert_eq!(layer.weights().to_vec().unwrap(), before, "{words}");
        assert!(layer.bias().to_vec().unwrap().iter().all(|b| b.is_finite()), "{words}");
    }
}

/// Inputs that cancel each other in every sample: the weights of a unit stay below four times what independent inputs would have.
#[test]
fn weights_do_not_explode_where_inputs_cancel() {
    for (words, engine) in engines::<f64>() {
        let mut network =
            Network::builder(&engine, 2).dense(1, Activation::Identity).build().unwrap();
        network.layers_mut()[0].weights_mut().write(&[1.0, -1.0]).unwrap();
        // x_1 is x_0 but for a millionth.
        let numbers: Vec<f64> = random::<f64>(100, 5)
            .iter()
            .enumerate()
            .flat_map(|(i, x)| [*x, *x + 1e-6 * f64::from(i as u32 % 2)])
            .collect();
        let x = Matrix::from_slice(&engine, 2, 100, &numbers).unwrap();
        network.fit_initial_values(x.view(), 1).unwrap();
        let independent = independent_variance(&network, 0, 0, &numbers);
        assert!((independent - 16.0).abs() < 1e-6, "{words}: {independent}");
    }
}
