//! Products in TF32, bf16 and f16: a step of training against an f64 reference that rounds where the engine does (decisions 0048
//! and 0049), for networks whose products the library computes.

use std::sync::Arc;

use crate::common::{self, random};
use travertine::engine::{Engine, Fusion, Library, MatmulPrecision, Settings};
use travertine::optimizer::Sgd;
use travertine::{Activation, Loss, Matrix, Network, Trainer};

const SIZES: [usize; 4] = [64, 48, 40, 16];
const BATCH: usize = 32;
const RATE: f64 = 8.0;

/// A number in a precision of so many bits of fraction, to the nearest, ties to even. All numbers here are far from the ends
/// of the ranges.
fn rounded(x: f64, bits: i32) -> f64 {
    if x == 0.0 {
        return x;
    }
    let unit = 2f64.powi(x.abs().log2().floor() as i32 - bits);
    (x / unit).round_ties_even() * unit
}

fn bits(precision: MatmulPrecision) -> i32 {
    match precision {
        MatmulPrecision::Bf16 => 7,
        _ => 10,
    }
}

fn engine(precision: MatmulPrecision) -> Option<Arc<dyn Engine<f32>>> {
    let mut settings = Settings::default();
    settings.matmul = precision;
    settings.library = Library::Always;
    settings.fusion = Fusion::Never;
    common::engine_if_there("cuda", &settings)
}

/// Row i, column j of a column-major matrix, as products read it.
type Element<'a> = &'a dyn Fn(usize, usize) -> f64;

/// `sum_l a_il b_lj`, column-major.
fn product((m, n, k): (usize, usize, usize), a: Element<'_>, b: Element<'_>) -> Vec<f64> {
    let element = |at: usize| (0..k).map(|l| a(at % m, l) * b(l, at / m)).sum();
    (0..m * n).map(element).collect()
}

/// The gradient by weights and bias of every layer.
fn reference(
    layers: &[common::Layer],
    (x, t): (&[f64], &[f64]),
    precision: MatmulPrecision,
) -> Vec<[Vec<f64>; 2]> {
    let round = |x: f64| rounded(x, bits(precision));
    // Sums, outputs and deltas of hidden layers are kept in 16 bits alone.
    let kept = |x: f64| if precision == MatmulPrecision::Tf32 { x } else { round(x) };
    let last = layers.len() - 1;
    let mut outputs = vec![x.to_vec()];
    for (l, layer) in layers.iter().enumerate() {
        let (m, k) = (SIZES[l + 1], SIZES[l]);
        let z = product((m, BATCH, k), &|i, j| round(layer.weights[i + j * m]), &|i, j| {
            round(outputs[l][i + j * k])
        });
        let a = z.iter().enumerate().map(|(at, z)| {
            let bias = layer.bias[at % m];
            let activate = |z: f64| common::activate(layer.activation, &[z])[0];
            // The library wants the bias of a result in 16 bits in 16 bits too.
            if l < last { kept(activate(kept(z + kept(bias)))) } else { activate(z + bias) }
        });
        outputs.push(a.collect());
    }
    let derivative = |activation: Activation, a: f64| match activation {
        Activation::Tanh => 1.0 - a * a,
        Activation::Relu => f64::from(u8::from(a > 0.0)),
        _ => 1.0,
    };
    let mut delta: Vec<f64> = outputs[last + 1].iter().zip(t).map(|(a, t)| a - t).collect();
    let mut gradients = Vec::new();
    for (l, layer) in layers.iter().enumerate().rev() {
        let (m, k) = (SIZES[l + 1], SIZES[l]);
        let weights = product((m, k, BATCH), &|i, j| round(delta[i + j * m]), &|i, j| {
            round(outputs[l][j + i * k])
        });
        let bias = (0..m).map(|i| (0..BATCH).map(|j| delta[i + j * m]).sum());
        gradients.push([weights, bias.collect()]);
        if l > 0 {
            let before =
                product((k, BATCH, m), &|i, j| round(layer.weights[j + i * m]), &|i, j| {
                    round(delta[i + j * m])
                });
            let slopes = outputs[l].iter().map(|a| derivative(layers[l - 1].activation, *a));
            delta = before.iter().zip(slopes).map(|(d, slope)| kept(kept(*d) * slope)).collect();
        }
    }
    gradients.reverse();
    gradients
}

/// The distance over the length.
fn apart(ours: &[f64], reference: &[f64]) -> f64 {
    let length = |x: &mut dyn Iterator<Item = f64>| x.map(|x| x * x).sum::<f64>().sqrt();
    length(&mut ours.iter().zip(reference).map(|(a, b)| a - b))
        / length(&mut reference.iter().copied())
}

fn a_step(precision: MatmulPrecision, hidden: Activation) {
    let Some(engine) = engine(precision) else { return };
    let mut network = Network::builder(&engine, SIZES[0])
        .dense(SIZES[1], hidden)
        .dense(SIZES[2], hidden)
        .dense(SIZES[3], Activation::Identity)
        .seed(4)
        .build()
        .unwrap();
    for layer in network.layers_mut() {
        let bias: Vec<f32> = random(layer.outputs(), 9);
        layer.bias_mut().write(&bias).unwrap();
    }
    let before = common::layers(&network);
    let (x, t) = (random::<f32>(SIZES[0] * BATCH, 1), random::<f32>(SIZES[3] * BATCH, 2));
    let f64s = |values: &[f32]| values.iter().map(|x| f64::from(*x)).collect::<Vec<f64>>();
    let expected = reference(&before, (&f64s(&x), &f64s(&t)), precision);
    let matrix =
        |rows: usize, values: &[f32]| Matrix::from_slice(&engine, rows, BATCH, values).unwrap();
    let (x, t) = (matrix(SIZES[0], &x), matrix(SIZES[3], &t));
    let mut trainer = Trainer::builder(&mut network, Loss::Quadratic, Sgd::new(RATE).unwrap())
        .batch(BATCH)
        .build()
        .unwrap();
    trainer.step(x.view(), t.view()).unwrap();
    drop(trainer);
    for (l, (after, before)) in common::layers(&network).iter().zip(&before).enumerate() {
        for (which, (after, before)) in
            [(&after.weights, &before.weights), (&after.bias, &before.bias)].into_iter().enumerate()
        {
            let gradient: Vec<f64> = after
                .iter()
                .zip(before)
                .map(|(after, before)| (before - after) * BATCH as f64 / RATE)
                .collect();
            let apart = apart(&gradient, &expected[l][which]);
            eprintln!("{precision:?}, {hidden}, layer {l}, {which}: {apart:.1e}");
            // Few numbers are so near to the middle of two that f32 and f64 round them to different sides.
            assert!(apart < 2e-4, "{precision:?}, {hidden}, layer {l}: {apart:e}");
        }
    }
}

#[test]
fn a_step_rounds_factors_to_the_nearest() {
    for precision in [MatmulPrecision::Tf32, MatmulPrecision::Bf16, MatmulPrecision::F16] {
        for hidden in [Activation::Tanh, Activation::Relu] {
            a_step(precision, hidden);
        }
    }
}

/// A relu of the library, which may leave a mask, must not swallow NaN: a training that diverges would go on.
#[test]
fn nan_reaches_the_loss() {
    for precision in [MatmulPrecision::Tf32, MatmulPrecision::Bf16, MatmulPrecision::F16] {
        let Some(engine) = engine(precision) else { return };
        for hidden in [24, 136] {
            let builder = Network::builder(&engine, 16)
                .dense(hidden, Activation::Relu)
                .dense(hidden, Activation::Relu);
            let mut network = builder.dense(8, Activation::Identity).build().unwrap();
            let mut x: Vec<f32> = random(16 * 8, 1);
            x[37] = f32::NAN;
            let x = Matrix::from_slice(&engine, 16, 8, &x).unwrap();
            let t = Matrix::zeros(&engine, 8, 8).unwrap();
            let a = network.infer(x.view()).unwrap().to_vec().unwrap();
            let nan: Vec<bool> = a.iter().map(|a| a.is_nan()).collect();
            let expected: Vec<bool> = (0..64).map(|at| at / 8 == 2).collect();
            assert!(nan == expected, "{precision:?}, {hidden}: {a:?}");
            let mut trainer =
                Trainer::builder(&mut network, Loss::Quadratic, Sgd::new(0.1).unwrap())
                    .batch(8)
                    .build()
                    .unwrap();
            trainer.step(x.view(), t.view()).unwrap();
            assert!(trainer.last_loss(8).unwrap().is_nan(), "{precision:?}, {hidden}");
        }
    }
}
