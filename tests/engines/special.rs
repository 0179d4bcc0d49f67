//! NaN, infinities, zeros of both signs, subnormal and largest numbers through every function, activation, loss and reduction of
//! every engine: what comes out is what the formulas say in f64.
//!
//! NaN comes out where f64 has NaN, an infinity where it has one or the number is too large for the precision. Subnormal numbers
//! may count as zero, as operands and as results (decision 0071).

use std::sync::Arc;

use crate::common::{self, limited_whole, normal_cdf};
use travertine::engine::{Engine, Fusion, Settings};
use travertine::ops::{self, Function};
use travertine::optimizer::Sgd;
use travertine::{Activation, Loss, Matrix, Network, Scalar, Trainer};

fn is_single<T: Scalar>() -> bool {
    T::NAME == "f32"
}

fn epsilon<T: Scalar>() -> f64 {
    if is_single::<T>() { f64::from(f32::EPSILON) } else { f64::EPSILON }
}

/// The smallest normal number and the largest number.
fn range<T: Scalar>() -> (f64, f64) {
    if is_single::<T>() {
        (f64::from(f32::MIN_POSITIVE), f64::from(f32::MAX))
    } else {
        (f64::MIN_POSITIVE, f64::MAX)
    }
}

/// Numbers at which formulas are delicate, exact in both precisions.
fn special<T: Scalar>() -> Vec<f64> {
    let (smallest, largest) = range::<T>();
    let both = [0.0, 0.5, 1.0, 20.0, 88.0, 100.0, 1e4, smallest, smallest / 8.0, largest];
    let signed = both.iter().chain(&[f64::INFINITY]).flat_map(|x| [*x, -*x]);
    signed.chain([f64::NAN]).map(|x| T::from_f64(x).to_f64()).collect()
}

/// Every engine, and one that computes whole networks in one kernel: CUDA or, where there is none, OpenCL, which compiles them
/// for minutes.
fn for_every_engine<T: Scalar>(test: impl Fn(&str, &Arc<dyn Engine<T>>)) {
    let mut whole = Settings::default();
    whole.fusion = Fusion::Always;
    let whole = common::engine_if_there::<T>("cuda", &whole)
        .or_else(|| common::engine_if_there::<T>("opencl", &limited_whole(common::SMALL_DEVICE)));
    let whole = whole.map(|engine| ("in one kernel", engine));
    for (words, engine) in common::engines().into_iter().chain(whole) {
        test(&format!("{words}, {}", T::NAME), &engine);
    }
}

/// Whether a number is the one of f64, up to roundings of numbers of this size. One that is subnormal may be zero.
fn agrees<T: Scalar>(ours: f64, expected: f64, size: f64) -> bool {
    let (smallest, largest) = range::<T>();
    let rounded = T::from_f64(expected).to_f64();
    if expected.is_nan() || ours.is_nan() {
        return expected.is_nan() && ours.is_nan();
    }
    if ours.is_infinite() || rounded.is_infinite() {
        // Just below the largest number a rounding decides.
        return ours == rounded
            || expected.abs() >= 0.99 * largest && ours.signum() == expected.signum();
    }
    let size = if size.is_finite() { size.max(expected.abs()) } else { expected.abs() };
    (ours - expected).abs() <= 32.0 * epsilon::<T>() * size + 8.0 * smallest
}

/// As [`agrees`], for a function of one number that may count as zero if it is subnormal.
fn agrees_at<T: Scalar>(ours: f64, x: f64, f: impl Fn(f64) -> f64) -> bool {
    let flushed = if x.abs() < range::<T>().0 { 0.0_f64.copysign(x) } else { x };
    // In the tails of the normal distribution a rounding of x counts x^2 + 1 times.
    let size = |y: f64| if x.abs() <= 40.0 { y.abs() * (x * x + 1.0) } else { 0.0 };
    [x, flushed].into_iter().any(|x| agrees::<T>(ours, f(x), size(f(x))))
}

fn sigmoid(z: f64) -> f64 {
    1.0 / (1.0 + (-z).exp())
}

/// `max(z, 0)`, which keeps NaN.
fn relu(z: f64) -> f64 {
    if 0.0 > z { 0.0 } else { z }
}

fn softplus(z: f64) -> f64 {
    relu(z) + (-z.abs()).exp().ln_1p()
}

fn activate(activation: Activation, z: f64) -> f64 {
    match activation {
        Activation::Identity => z,
        Activation::Sigmoid => sigmoid(z),
        Activation::Tanh => z.tanh(),
        Activation::Relu => relu(z),
        Activation::LeakyRelu(p) => {
            if 0.0 < z {
                z
            } else {
                p * z
            }
        }
        Activation::Elu(p) => {
            if 0.0 < z {
                z
            } else {
                p * z.exp_m1()
            }
        }
        Activation::Gelu => z * normal_cdf(z),
        Activation::Silu => z * sigmoid(z),
        Activation::Selu => SELU[1] * if 0.0 < z { z } else { SELU[0] * z.exp_m1() },
        Activation::Mish => z * softplus(z).tanh(),
        Activation::Softplus => softplus(z),
        _ => unreachable!("an activation without a reference"),
    }
}

/// The output of a layer, which is infinite where the scalar cannot hold it.
fn output<T: Scalar>(activation: Activation, z: f64) -> f64 {
    let (a, stored) = (activate(activation, z), T::from_f64(activate(activation, z)).to_f64());
    if stored.is_infinite() { stored } else { a }
}

/// alpha and lambda (Klambauer et al. 2017, equation 14).
const SELU: [f64; 2] = [1.673_263_242_354_377_2, 1.050_700_987_355_480_5];

/// `g f'(z)`
fn derivative(activation: Activation, g: f64, z: f64) -> f64 {
    let a = activate(activation, z);
    match activation {
        Activation::Identity => g,
        Activation::Sigmoid => g * (a * (1.0 - a)),
        Activation::Tanh => g * (1.0 - a * a),
        Activation::Relu => {
            if 0.0 < a {
                g
            } else {
                0.0
            }
        }
        Activation::LeakyRelu(p) => {
            if 0.0 < a {
                g
            } else {
                p * g
            }
        }
        Activation::Elu(p) => g * if 0.0 < a { 1.0 } else { a + p },
        Activation::Gelu => {
            let bell = (-0.5 * z * z).exp();
            g * (z * (bell / std::f64::consts::TAU.sqrt()) + normal_cdf(z))
        }
        Activation::Silu => g * (sigmoid(z) * (1.0 + z * (1.0 - sigmoid(z)))),
        Activation::Selu => g * if 0.0 < a { SELU[1] } else { a + SELU[1] * SELU[0] },
        Activation::Mish => {
            let w = softplus(z).tanh();
            g * (w + z * ((1.0 - w * w) * sigmoid(z)))
        }
        Activation::Softplus => -(g * (-a).exp_m1()),
        _ => unreachable!("an activation without a reference"),
    }
}

/// An element's loss and its gradient, with y the logit of the binary cross-entropy.
fn loss(loss: Loss, y: f64, t: f64) -> (f64, f64) {
    let e = y - t;
    match loss {
        Loss::Quadratic => (e * e / 2.0, e),
        Loss::MeanAbsolute => (e.abs(), if e.abs() > 0.0 { e.signum() } else { e }),
        Loss::Huber(d) => {
            let value = if e.abs() < d { e * e / 2.0 } else { d * (e.abs() - d / 2.0) };
            (
                value,
                if e > d {
                    d
                } else if e < -d {
                    -d
                } else {
                    e
                },
            )
        }
        Loss::BinaryCrossEntropy => (relu(y) - t * y + softplus(-y.abs()), sigmoid(y) - t),
        _ => unreachable!("a loss without a reference"),
    }
}

fn numbers<T: Scalar>(values: &[f64]) -> Vec<T> {
    values.iter().map(|x| T::from_f64(*x)).collect()
}

fn column<T: Scalar>(engine: &Arc<dyn Engine<T>>, values: &[f64]) -> Matrix<T> {
    Matrix::from_slice(engine, values.len(), 1, &numbers(values)).unwrap()
}

fn f64s<T: Scalar>(values: Vec<T>) -> Vec<f64> {
    values.into_iter().map(T::to_f64).collect()
}

fn functions<T: Scalar>(words: &str, engine: &Arc<dyn Engine<T>>) {
    let special = special::<T>();
    let x = column(engine, &special);
    for function in Function::ALL {
        let reference = |x: f64| match function {
            Function::Exp => x.exp(),
            Function::Tanh => x.tanh(),
            Function::Sigmoid => sigmoid(x),
            Function::Softplus => softplus(x),
            Function::NormalCdf => normal_cdf(x),
            Function::Sqrt => x.sqrt(),
            Function::Abs => x.abs(),
            _ => unreachable!("a function without a reference"),
        };
        let mut y = Matrix::zeros(engine, special.len(), 1).unwrap();
        ops::map(function, x.view(), y.view_mut()).unwrap();
        for (x, y) in special.iter().zip(f64s(y.to_vec().unwrap())) {
            assert!(agrees_at::<T>(y, *x, reference), "{words}: {function:?}({x:e}) = {y:e}");
        }
    }
}

#[test]
fn every_function() {
    for_every_engine::<f32>(functions);
    for_every_engine::<f64>(functions);
}

/// A layer of as many units as there are numbers: its input and weights are 0, its bias is z.
fn of_bias<T: Scalar>(
    engine: &Arc<dyn Engine<T>>,
    activation: Activation,
    z: &[f64],
) -> Network<T> {
    let mut network = Network::builder(engine, 1).dense(z.len(), activation).build().unwrap();
    let layer = &mut network.layers_mut()[0];
    ops::fill(T::default(), layer.weights_mut()).unwrap();
    layer.bias_mut().write(&numbers(z)).unwrap();
    network
}

fn activations<T: Scalar>(words: &str, engine: &Arc<dyn Engine<T>>) {
    let special = special::<T>();
    let nothing = Matrix::zeros(engine, 1, 1).unwrap();
    for activation in Activation::ALL.into_iter().filter(|a| *a != Activation::Softmax) {
        let network = of_bias(engine, activation, &special);
        let a = f64s(network.infer(nothing.view()).unwrap().to_vec().unwrap());
        for (z, a) in special.iter().zip(&a) {
            let right = agrees_at::<T>(*a, *z, |z| activate(activation, z));
            assert!(right, "{words}: {activation}({z:e}) = {a:e}");
        }
        // The same as the activation of a hidden unit, and on the way back.
        for z in &special {
            let builder =
                Network::builder(engine, 1).dense(1, activation).dense(1, Activation::Identity);
            let mut network = builder.build().unwrap();
            for (layer, [weight, bias]) in
                network.layers_mut().iter_mut().zip([[0.0, *z], [1.0, 0.0]])
            {
                ops::fill(T::from_f64(weight), layer.weights_mut()).unwrap();
                ops::fill(T::from_f64(bias), layer.bias_mut()).unwrap();
            }
            let sgd = Sgd::new(1.0).unwrap();
            let mut trainer =
                Trainer::builder(&mut network, Loss::Quadratic, sgd).batch(1).build().unwrap();
            trainer.step(nothing.view(), column(engine, &[0.25]).view()).unwrap();
            let bias: Vec<f64> = trainer
                .layers()
                .iter()
                .map(|layer| layer.bias().to_vec().unwrap()[0].to_f64())
                .collect();
            let g = |z: f64| output::<T>(activation, z) - 0.25;
            assert!(
                agrees_at::<T>(bias[1], *z, |z| -g(z)),
                "{words}: {activation} {z:e}: {bias:?}"
            );
            let after = |z: f64| z - derivative(activation, g(z), z);
            let right = agrees::<T>(bias[0], after(*z), z.abs() + g(*z).abs());
            assert!(
                right || agrees_at::<T>(bias[0], *z, after),
                "{words}: {activation}' {z:e}: {bias:?}"
            );
        }
    }
}

#[test]
fn every_activation_and_its_derivative() {
    for_every_engine::<f32>(activations);
    for_every_engine::<f64>(activations);
}

fn losses<T: Scalar>(words: &str, engine: &Arc<dyn Engine<T>>) {
    let special = special::<T>();
    let count = special.len();
    let nothing = Matrix::zeros(engine, 1, 1).unwrap();
    for kind in Loss::ALL.into_iter().filter(|loss| *loss != Loss::SoftmaxCrossEntropy) {
        for last in Activation::ALL.into_iter().filter(|a| *a != Activation::Softmax) {
            if !common::is_learnable(last, kind) {
                continue;
            }
            let fused = kind == Loss::BinaryCrossEntropy && last == Activation::Sigmoid;
            for t in [0.0, 1.0, 0.25] {
                let what = format!("{words}: {last}, {kind}, t {t}");
                let mut network = of_bias(engine, last, &special);
                let sgd = Sgd::new(1.0).unwrap();
                let mut trainer =
                    Trainer::builder(&mut network, kind, sgd).batch(1).build().unwrap();
                let targets = column(engine, &vec![t; count]);
                trainer.step(nothing.view(), targets.view()).unwrap();
                assert!(trainer.last_loss(1).unwrap().is_nan(), "{what}: one of the losses is NaN");
                let bias = f64s(trainer.layers()[0].bias().to_vec().unwrap());
                for (z, after) in special.iter().zip(bias) {
                    let y = if fused { *z } else { output::<T>(last, *z) };
                    let g = loss(kind, y, t).1;
                    let delta = if fused { g } else { derivative(last, g, *z) };
                    let right = agrees::<T>(after, z - delta, z.abs() + g.abs());
                    assert!(right, "{what}: bias {z:e} becomes {after:e} and not {:e}", z - delta);
                }
                // Losses come as a mean over the samples: each number is a training of its own.
                for z in special.iter().filter(|_| t == 0.25) {
                    let mut network = of_bias(engine, last, &[*z]);
                    let sgd = Sgd::new(1.0).unwrap();
                    let mut trainer =
                        Trainer::builder(&mut network, kind, sgd).batch(1).build().unwrap();
                    trainer.step(nothing.view(), column(engine, &[t]).view()).unwrap();
                    let ours = trainer.last_loss(1).unwrap();
                    let y = if fused { *z } else { output::<T>(last, *z) };
                    let expected = loss(kind, y, t).0;
                    let right = agrees::<T>(ours, expected, y.abs() + 1.0);
                    assert!(right, "{what}: the loss at z {z:e} is {ours:e} and not {expected:e}");
                }
            }
        }
    }
}

#[test]
fn every_loss_and_its_gradient() {
    for_every_engine::<f32>(losses);
    for_every_engine::<f64>(losses);
}

/// Softmax and its cross-entropy, whose numbers depend on each other.
fn softmax<T: Scalar>(words: &str, engine: &Arc<dyn Engine<T>>) {
    let nothing = Matrix::zeros(engine, 1, 1).unwrap();
    for z in special::<T>() {
        for logits in [[z, 0.0, 1.0], [1.0, z, -z], [z, z, z]] {
            let largest = logits
                .iter()
                .fold(f64::NEG_INFINITY, |most, z| if *z > most || z.is_nan() { *z } else { most });
            // Differences are rounded to the precision: they may be too large for it.
            let apart = logits.map(|z| T::from_f64(z - largest).to_f64());
            let sum: f64 = apart.iter().map(|x| x.exp()).sum();
            let network = of_bias(engine, Activation::Softmax, &logits);
            let a = f64s(network.infer(nothing.view()).unwrap().to_vec().unwrap());
            for (a, x) in a.iter().zip(apart) {
                let right = agrees::<T>(*a, x.exp() / sum, 1.0);
                assert!(right, "{words}: softmax of {logits:?} is {a:e}, not {:e}", x.exp() / sum);
            }
            for output in [Activation::Softmax, Activation::Identity] {
                let mut network = of_bias(engine, output, &logits);
                let sgd = Sgd::new(1.0).unwrap();
                let mut trainer = Trainer::builder(&mut network, Loss::SoftmaxCrossEntropy, sgd)
                    .batch(1)
                    .build()
                    .unwrap();
                let t = [0.25, 0.75, 0.0];
                trainer.step(nothing.view(), column(engine, &t).view()).unwrap();
                let picked: f64 = t.iter().zip(apart).map(|(t, x)| t * x).sum();
                let (ours, expected) = (trainer.last_loss(1).unwrap(), sum.ln() - picked);
                let what = format!("{words}: {output} cross-entropy of {logits:?}");
                assert!(agrees::<T>(ours, expected, 1.0), "{what} is {ours:e}, not {expected:e}");
                let bias = f64s(trainer.layers()[0].bias().to_vec().unwrap());
                for i in 0..3 {
                    let after = logits[i] - (apart[i].exp() / sum - t[i]);
                    let right = agrees::<T>(bias[i], after, logits[i].abs() + 1.0);
                    assert!(right, "{what}: bias {i} becomes {:e}, not {after:e}", bias[i]);
                }
            }
        }
    }
}

#[test]
fn softmax_and_its_cross_entropy() {
    for_every_engine::<f32>(softmax);
    for_every_engine::<f64>(softmax);
}

fn reductions<T: Scalar>(words: &str, engine: &Arc<dyn Engine<T>>) {
    for x in special::<T>() {
        // At one place among many, alone, and everywhere.
        let mut among: Vec<f64> = (0..1000).map(|i| f64::from(i % 7) - 3.0).collect();
        among[617] = x;
        for values in [among, vec![x], vec![x; 5], vec![x, -x, 1.0]] {
            let v = column(engine, &values);
            let sum = |f: &dyn Fn(f64) -> f64| values.iter().map(|x| f(*x)).sum::<f64>();
            let has_nan = values.iter().any(|x| x.is_nan());
            let largest = values.iter().fold(0.0, |most: f64, x| most.max(x.abs()));
            let most = if has_nan { f64::NAN } else { largest };
            let what = format!("{words}: {x:e} among {}", values.len());
            // They are computed in f64, whatever the precision of the elements.
            let right = |name: &str, ours: f64, expected: f64| {
                let size = if expected.is_finite() { expected } else { 0.0 };
                let right = agrees::<f64>(ours, expected, 1e3 * (1.0 + size))
                    || (ours - expected).abs() <= 1e4 * range::<T>().0;
                assert!(right, "{what}: {name} is {ours:e}, not {expected:e}");
            };
            right("asum", ops::asum(v.view()).unwrap(), sum(&f64::abs));
            right("amax", ops::amax(v.view()).unwrap(), most);
            right("dot", ops::dot(v.view(), v.view()).unwrap(), sum(&|x| x * x));
            right("nrm2", ops::nrm2(v.view()).unwrap(), sum(&|x| x * x).sqrt());
            let mut total = Matrix::zeros(engine, 1, 1).unwrap();
            ops::sum_rows(v.view(), total.view_mut()).unwrap();
            let ours = total.to_vec().unwrap()[0].to_f64();
            let size = sum(&f64::abs);
            // Sums in the precision of the elements may pass its largest number on the way.
            if size < range::<T>().1 || !x.is_finite() {
                let right = agrees::<T>(ours, sum(&|x| x), size);
                assert!(right, "{what}: the sum is {ours:e}, not {:e}", sum(&|x| x));
            }
        }
    }
}

#[test]
fn every_reduction() {
    for_every_engine::<f32>(reductions);
    for_every_engine::<f64>(reductions);
}
