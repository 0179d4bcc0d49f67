//! Parametric activations: against plain f64, central differences, other numbers of threads, special values, and files.

use std::sync::Arc;

use crate::common::{
    self, activate, assert_close, classes, engines, numbers, one_hot, random, scaled,
};
use travertine::engine::{self, Engine, Fusion, Library, MatmulPrecision, Settings};
use travertine::layer::{Layer, LayerKind, Parametric, Role};
use travertine::model_file::{self, ModelInfo};
use travertine::optimizer::{Adam, Sgd, WeightDecay};
use travertine::trainer::Factors;
use travertine::{
    Activation, Dropout, Init, Loss, Matrix, Network, Scalar, Trainer, check_gradients,
};

type Device<T> = Arc<dyn Engine<T>>;

/// Units and samples.
const SHAPES: [(usize, usize); 6] = [(1, 1), (1, 40), (7, 5), (33, 300), (70, 1), (256, 256)];
/// Derivatives of x and of f(x), with a parameter and without.
const ACTIVATIONS: [Activation; 6] = [
    Activation::Identity,
    Activation::Relu,
    Activation::Elu(0.7),
    Activation::Tanh,
    Activation::Selu,
    Activation::Mish,
];

/// f'(x) by central differences of four points, with an error of about 1e-12.
fn slope(f: Activation, x: f64) -> f64 {
    let h = 1e-3;
    let at = |x: f64| activate(f, &[x])[0];
    // Not across a kink at 0, where f may be left of it or right.
    let exact = match f {
        Activation::Relu => Some((1.0, 0.0)),
        Activation::Elu(alpha) => Some((1.0, alpha * x.exp())),
        Activation::Selu => Some((1.0507009873554805, 1.7580993408473766 * x.exp())),
        _ => None,
    };
    match exact {
        Some((above, _)) if x > 0.0 => above,
        Some((_, below)) => below,
        None => (8.0 * (at(x + h) - at(x - h)) - (at(x + 2.0 * h) - at(x - 2.0 * h))) / (12.0 * h),
    }
}

fn values_and_gradients_are_those_of_the_formula<T: Scalar>(f: Activation, bound: f64) {
    for (words, device) in engines::<T>() {
        for (units, samples) in SHAPES {
            let what = format!("{words}, {f}, {units} x {samples}");
            let mut layer = Parametric::new(&device, units, f).unwrap();
            assert_eq!(layer.weights().to_vec().unwrap(), vec![T::from_f64(1.0); units]);
            let values: Vec<T> = scaled(units * samples, 3, 4.0);
            let x = Matrix::from_slice(&device, units, samples, &values).unwrap();
            let values = numbers(values);
            let of_f = activate(f, &values);
            let mut y = Matrix::zeros(&device, units, samples).unwrap();
            layer.infer(Role::Output, None, x.view(), y.view_mut()).unwrap();
            assert_close(&numbers(y.to_vec().unwrap()), &of_f, bound, &format!("{what}, a = 1"));

            let a: Vec<T> = random::<f64>(units, 4).iter().map(|a| T::from_f64(0.7 + a)).collect();
            layer.weights_mut().write(&a).unwrap();
            let a = numbers(a);
            let blend = |x: &[f64], f: &[f64]| -> Vec<f64> {
                let both = x.iter().zip(f).enumerate();
                both.map(|(i, (x, f))| (1.0 - a[i % units]) * x + a[i % units] * f).collect()
            };
            layer.infer(Role::Hidden, None, x.view(), y.view_mut()).unwrap();
            assert_close(&numbers(y.to_vec().unwrap()), &blend(&values, &of_f), bound, &what);

            let mut training = layer.training(samples + 3, Role::Hidden).unwrap();
            training.forward(x.view()).unwrap();
            let output = training.output(samples).unwrap().to_vec().unwrap();
            assert_eq!(output, y.to_vec().unwrap(), "{what}");
            let delta: Vec<T> = random(units * samples, 5);
            training.output_and_delta_mut(samples).unwrap().1.write(&delta).unwrap();
            let delta = numbers(delta);

            // The gradient by x, in front of which a layer with and one without a derivative stands.
            for before in [Activation::Identity, Activation::Gelu, Activation::Sigmoid] {
                let mut first = Parametric::new(&device, units, Activation::Identity).unwrap();
                let mut norm =
                    travertine::layer::Normalization::scale(&device, units, before).unwrap();
                let (expected, out, input) = if before == Activation::Identity {
                    let mut first = first.training(samples, Role::Output).unwrap();
                    first.forward(x.view()).unwrap();
                    training.propagate(&mut *first, samples).unwrap();
                    let out = first.delta(samples).unwrap().to_vec().unwrap();
                    (vec![1.0; values.len()], out, values.clone())
                } else {
                    let mut first = norm.training(samples, Role::Output).unwrap();
                    first.forward(x.view()).unwrap();
                    training.propagate(&mut *first, samples).unwrap();
                    let out = first.delta(samples).unwrap().to_vec().unwrap();
                    let slopes = values.iter().map(|&x| slope(before, x)).collect();
                    (slopes, out, numbers(first.output(samples).unwrap().to_vec().unwrap()))
                };
                let back: Vec<f64> =
                    input.iter().zip(&delta).map(|(&x, g)| g * slope(f, x)).collect();
                let back = blend(&delta, &back);
                let expected: Vec<f64> = back.iter().zip(&expected).map(|(g, s)| g * s).collect();
                let what = format!("{what}, behind {before}");
                assert_close(&numbers(out), &expected, bound.max(1e-11), &what);
            }

            let mut by_a = vec![0.0; units];
            for (i, ((x, f), g)) in values.iter().zip(&of_f).zip(&delta).enumerate() {
                by_a[i % units] += g * (f - x) / samples as f64;
            }
            let old: Vec<T> = random(units, 6);
            for (scale, keep) in [(1.0, 0.0), (-0.5, 0.25)] {
                // What is not kept may be anything.
                let nan = T::from_f64(f64::NAN);
                let begin = if keep == 0.0 { vec![nan; units] } else { old.clone() };
                let one = [if keep == 0.0 { nan } else { T::from_f64(0.0) }];
                let mut sink = Matrix::from_slice(&device, units, 1, &begin).unwrap();
                let mut no_bias = Matrix::from_slice(&device, 1, 1, &one).unwrap();
                let sinks = [sink.view_mut(), no_bias.view_mut()];
                training.gradient(x.view(), sinks, scale, keep).unwrap();
                let kept = |i: usize| if keep == 0.0 { 0.0 } else { keep * begin[i].to_f64() };
                let expected: Vec<f64> =
                    by_a.iter().enumerate().map(|(i, g)| scale * g + kept(i)).collect();
                let sink = numbers(sink.to_vec().unwrap());
                assert_close(&sink, &expected, bound, &format!("{what}, keep {keep}"));
                assert_eq!(no_bias.to_vec().unwrap(), [T::from_f64(0.0)], "{what}");
            }
            training.descend(x.view(), -0.1, 1.0).unwrap();
            let expected: Vec<f64> = a.iter().zip(&by_a).map(|(a, g)| a - 0.1 * g).collect();
            let after = numbers(training.weights().to_vec().unwrap());
            assert_close(&after, &expected, bound, &format!("{what}, descent"));
        }
    }
}

#[test]
fn a_parametric_activation_is_its_formula() {
    for f in ACTIVATIONS {
        values_and_gradients_are_those_of_the_formula::<f32>(f, 3e-6);
        values_and_gradients_are_those_of_the_formula::<f64>(f, 1e-13);
    }
}

/// Writes numbers around 1 into a.
fn spread<T: Scalar>(network: &mut Network<T>) {
    for (i, layer) in network.layers_mut().iter_mut().enumerate() {
        if layer.kind() == LayerKind::Parametric {
            let a = random::<f64>(layer.outputs(), 70 + i as u64);
            let a: Vec<T> = a.iter().map(|a| T::from_f64(1.1 + a)).collect();
            layer.weights_mut().write(&a).unwrap();
        }
    }
}

/// Between dense layers, behind an activation, first, and last, where a loss would read the z of a plain activation.
#[test]
fn gradients_are_those_of_central_differences() {
    for (words, device) in engines::<f64>() {
        // With the identity a has no effect, and differences are roundings. Devices compile kernels for each
        // activation.
        let (_, bending) = ACTIVATIONS.split_at(1);
        let activations = if words.starts_with("cpu") { bending } else { &bending[3..] };
        for &f in activations {
            let builder = || Network::builder(&device, 4).seed(2);
            let networks = [
                builder()
                    .dense(6, Activation::Identity)
                    .parametric(f)
                    .dense(5, Activation::Identity)
                    .parametric(f)
                    .dense(3, Activation::Softmax),
                builder().dense(5, Activation::Tanh).parametric(f).dense(3, Activation::Softmax),
                builder()
                    .parametric(f)
                    .batch_norm(Activation::Silu)
                    .parametric(f)
                    .dense(3, Activation::Identity),
                builder().dense(3, Activation::Identity).parametric(f),
            ];
            for (i, network) in networks.into_iter().enumerate() {
                let mut network = network.build().unwrap();
                spread(&mut network);
                let loss = [
                    Loss::SoftmaxCrossEntropy,
                    Loss::SoftmaxCrossEntropy,
                    Loss::Quadratic,
                    Loss::BinaryCrossEntropy,
                ][i];
                let x = Matrix::from_slice(&device, 4, 5, &random(20, 3)).unwrap();
                let t = Matrix::from_slice(&device, 3, 5, &one_hot(3, 5)).unwrap();
                let check = check_gradients(&mut network, loss, x.view(), t.view(), 1e-5).unwrap();
                assert!(check.relative_error < 1e-6, "{words}, {f}, network {i}: {check:?}");
            }
        }
    }
}

const INPUTS: usize = 3;
const UNITS: usize = 4;
const SAMPLES: usize = 8;

/// `|W2 y + b2 - t|^2 / 2` with `y = (1 - a) z + a tanh(z)`, `z = W1 x + b1`: the mean gradients by W1, b1, a, W2, b2.
fn plain_gradients(p: &[Vec<f64>; 5], x: &[f64], t: &[f64]) -> [Vec<f64>; 5] {
    let [w1, b1, a, w2, b2] = p;
    let mut all = p.each_ref().map(|p| vec![0.0; p.len()]);
    for (x, t) in x.chunks(INPUTS).zip(t) {
        let z: Vec<f64> = (0..UNITS)
            .map(|i| b1[i] + (0..INPUTS).map(|j| w1[i + j * UNITS] * x[j]).sum::<f64>())
            .collect();
        let y: Vec<f64> = z.iter().zip(a).map(|(z, a)| (1.0 - a) * z + a * z.tanh()).collect();
        let g = y.iter().zip(w2).map(|(y, w)| y * w).sum::<f64>() + b2[0] - t;
        let g = g / SAMPLES as f64;
        all[4][0] += g;
        for i in 0..UNITS {
            all[3][i] += g * y[i];
            let back = g * w2[i];
            all[2][i] += back * (z[i].tanh() - z[i]);
            let back = back * (1.0 + a[i] * (1.0 - z[i].tanh().powi(2) - 1.0));
            all[1][i] += back;
            (0..INPUTS).for_each(|j| all[0][i + j * UNITS] += back * x[j]);
        }
    }
    all
}

#[test]
fn training_is_that_of_a_plain_loop() {
    const RATE: f64 = 0.05;
    let (x, t) = (random::<f64>(INPUTS * SAMPLES, 1), random::<f64>(SAMPLES, 2));
    // a learns at a tenth of the rate and does not decay.
    let of_a = Factors { rate: 0.1, decay: 0.0 };
    let one = Factors::default();
    for (words, device) in engines::<f64>() {
        let mut network = Network::builder(&device, INPUTS)
            .dense(UNITS, Activation::Identity)
            .parametric(Activation::Tanh)
            .dense(1, Activation::Identity)
            .seed(3)
            .build()
            .unwrap();
        spread(&mut network);
        let [first, blend, last] = [0, 1, 2].map(|i| &network.layers()[i]);
        let mut p = [first.weights(), first.bias(), blend.weights(), last.weights(), last.bias()]
            .map(|matrix| matrix.to_vec().unwrap());
        let mut moments = p.each_ref().map(|p| vec![[0.0f64; 2]; p.len()]);
        for step in 1..=12 {
            let gradients = plain_gradients(&p, &x, &t);
            for (kind, factors) in [one, one, of_a, one, one].into_iter().enumerate() {
                let both = p[kind].iter_mut().zip(&gradients[kind]).zip(&mut moments[kind]);
                for ((w, g), [m, v]) in both {
                    (*m, *v) = (0.9 * *m + 0.1 * g, 0.999 * *v + 0.001 * g * g);
                    let (m, v) = (*m / (1.0 - 0.9f64.powi(step)), *v / (1.0 - 0.999f64.powi(step)));
                    let decay = 0.3 * factors.decay * *w;
                    *w -= RATE * factors.rate * (m / (v.sqrt() + 1e-8) + decay);
                }
            }
        }
        let adam = Adam::new(RATE).unwrap().weight_decay(WeightDecay::Decoupled(0.3)).unwrap();
        let mut trainer = Trainer::builder(&mut network, Loss::Quadratic, adam)
            .batch(SAMPLES)
            .factors(vec![[one; 2], [of_a; 2], [one; 2]])
            .build()
            .unwrap();
        let x = Matrix::from_slice(&device, INPUTS, SAMPLES, &x).unwrap();
        let t = Matrix::from_slice(&device, 1, SAMPLES, &t).unwrap();
        (0..12).for_each(|_| trainer.step(x.view(), t.view()).unwrap());
        let mut ours = trainer.parameters().unwrap();
        assert_eq!(ours.remove(3), [0.0], "{words}: nothing is learned where nothing is read");
        assert_close(&ours.concat(), &p.concat(), 1e-12, words);
    }
}

fn network<T: Scalar>(device: &Device<T>) -> Network<T> {
    Network::builder(device, 6)
        .dense(70, Activation::Identity)
        .parametric(Activation::Mish)
        .dense(20, Activation::Identity)
        .parametric(Activation::Selu)
        .dense(3, Activation::Softmax)
        .seed(1)
        .build()
        .unwrap()
}

fn trained<T: Scalar>(device: &Device<T>, samples: usize, batch: usize) -> Network<T> {
    let mut network = network(device);
    let dropout = Dropout { inputs: 0.1, hidden: 0.2 };
    classes::train(&mut network, (samples, batch), |builder| builder.dropout(dropout));
    network
}

#[test]
fn any_number_of_threads_gives_the_same_bits() {
    classes::assert_threads_give_the_same_bits(trained::<f32>);
    classes::assert_threads_give_the_same_bits(trained::<f64>);
}

#[test]
fn training_lowers_the_loss_and_learns_a_on_every_engine() {
    for (words, device) in engines::<f32>() {
        let (before, after) = (network(&device), trained(&device, 100, 13));
        for i in [1, 3] {
            let a = after.layers()[i].weights().to_vec().unwrap();
            assert!(a.iter().all(|a| *a != 1.0 && (a - 1.0).abs() < 0.5), "{words}: {a:?}");
            assert_eq!(after.layers()[i].bias().to_vec().unwrap(), [0.0], "{words}");
        }
        classes::assert_loss_falls(words, &before, &after, 100);
    }
}

/// With a = 1 a network is that with the plain activation, but for roundings.
#[test]
fn it_begins_as_the_plain_activation() {
    for (words, device) in engines::<f64>() {
        let builder = || Network::builder(&device, 6).seed(4).init(Init::HeNormal);
        let plain = builder().dense(9, Activation::Silu).build().unwrap();
        let blended =
            builder().dense(9, Activation::Identity).parametric(Activation::Silu).build().unwrap();
        let x = Matrix::from_slice(&device, 6, 11, &scaled(66, 8, 3.0)).unwrap();
        let of = |network: &Network<f64>| network.infer(x.view()).unwrap().to_vec().unwrap();
        assert_close(&of(&blended), &of(&plain), 1e-14, words);
    }
}

/// Hidden dropout is behind the layer: what it drops is 0 for the next layer, though softplus(0) is not.
#[test]
fn dropout_is_behind_it() {
    for (words, device) in engines::<f32>() {
        let mut network = Network::builder(&device, 2)
            .dense(40, Activation::Identity)
            .parametric(Activation::Softplus)
            .dense(1, Activation::Identity)
            .build()
            .unwrap();
        let x = Matrix::from_slice(&device, 2, 1, &[0.5, -0.5]).unwrap();
        let t = Matrix::from_slice(&device, 1, 1, &[2.0]).unwrap();
        let mut trainer = Trainer::builder(&mut network, Loss::Quadratic, Sgd::new(0.0).unwrap())
            .batch(1)
            .dropout(Dropout { inputs: 0.0, hidden: 1.0 - 1e-6 })
            .build()
            .unwrap();
        trainer.step(x.view(), t.view()).unwrap();
        assert_eq!(trainer.last_loss(1).unwrap(), 2.0, "{words}: all outputs are dropped");
    }
}

#[test]
fn a_frozen_layer_passes_gradients_and_keeps_its_bits() {
    for (words, device) in engines::<f32>() {
        let mut network = network(&device);
        let before = classes::bits(&network);
        let x = Matrix::from_slice(&device, 6, 9, &scaled(54, 8, 2.0)).unwrap();
        let t = Matrix::from_slice(&device, 3, 9, &one_hot(3, 9)).unwrap();
        let loss = Loss::SoftmaxCrossEntropy;
        let mut trainer =
            Trainer::builder(&mut network, loss, Adam::new(0.1).unwrap()).batch(9).build().unwrap();
        trainer.freeze(1..2).unwrap();
        trainer.step(x.view(), t.view()).unwrap();
        drop(trainer);
        let after = classes::bits(&network);
        let frozen = 6 * 70 + 70..6 * 70 + 70 + 70 + 1;
        assert_eq!(before[frozen.clone()], after[frozen.clone()], "{words}");
        assert_ne!(before[..frozen.start], after[..frozen.start], "{words}");
        assert_ne!(before[frozen.end..], after[frozen.end..], "{words}");
    }
}

/// The standard deviation of each sum is 1 over inputs that come out of the parametric layer.
#[test]
fn fitted_initial_values_pass_through() {
    for (words, device) in engines::<f64>() {
        let mut network = network(&device);
        spread(&mut network);
        let a = network.layers()[1].weights().to_vec().unwrap();
        let x = Matrix::from_slice(&device, 6, 200, &scaled(1200, 8, 2.0)).unwrap();
        network.fit_initial_values(x.view(), 5).unwrap();
        assert_eq!(network.layers()[1].weights().to_vec().unwrap(), a, "{words}");
        let mut input = x.view().copy().unwrap();
        for layer in network.layers() {
            let mut output = Matrix::zeros(&device, layer.outputs(), 200).unwrap();
            if layer.kind() == LayerKind::Dense {
                layer.infer(Role::Logits, None, input.view(), output.view_mut()).unwrap();
                let sums = output.to_vec().unwrap();
                for unit in 0..layer.outputs() {
                    let unit: Vec<f64> =
                        sums.iter().skip(unit).step_by(layer.outputs()).copied().collect();
                    let mean = unit.iter().sum::<f64>() / 200.0;
                    let variance = unit.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / 200.0;
                    assert!((variance - 1.0).abs() < 1e-9, "{words}: {variance}");
                }
            }
            layer.infer(Role::Output, None, input.view(), output.view_mut()).unwrap();
            input = output;
        }
    }
}

/// NaN stays NaN; infinities are what `(1 - a) x + a f(x)` makes of them.
#[test]
fn special_values_are_those_of_the_formula() {
    fn with<T: Scalar>() {
        let inf = f64::INFINITY;
        let values = [f64::NAN, inf, -inf, 0.0, -0.0, 1.0, -1.0];
        for (words, device) in engines::<T>() {
            for f in [Activation::Relu, Activation::Selu, Activation::Tanh, Activation::Softplus] {
                for a in [0.0, 0.5, 1.0, 2.0, -1.0, inf, f64::NAN] {
                    let mut layer = Parametric::new(&device, 1, f).unwrap();
                    layer.weights_mut().write(&[T::from_f64(a)]).unwrap();
                    let x = values.map(T::from_f64);
                    let x = Matrix::from_slice(&device, 1, values.len(), &x).unwrap();
                    let mut y = Matrix::zeros(&device, 1, values.len()).unwrap();
                    layer.infer(Role::Output, None, x.view(), y.view_mut()).unwrap();
                    for (x, ours) in values.iter().zip(numbers(y.to_vec().unwrap())) {
                        // The reference of relu drops a NaN.
                        let of_f = if x.is_nan() { *x } else { activate(f, &[*x])[0] };
                        let theirs = (1.0 - a) * x + a * of_f;
                        let what = format!("{words} {}, {f}, a {a}, x {x}: {ours}", T::NAME);
                        assert_eq!(ours.is_nan(), theirs.is_nan(), "{what}");
                        if !theirs.is_nan() {
                            let same = ours == theirs || (ours - theirs).abs() < 1e-6;
                            assert!(same, "{what}, not {theirs}");
                        }
                    }
                }
            }
        }
    }
    with::<f32>();
    with::<f64>();
}

/// The layer reads a delta, and writes an output, that engines keep in 16 bits too.
#[test]
fn dense_layers_around_it_may_multiply_in_less_precision() {
    let cpu = engine::open::<f32>("cpu").unwrap();
    let build = |device: &Device<f32>| {
        let mut network = Network::builder(device, 16)
            .dense(32, Activation::Identity)
            .parametric(Activation::Mish)
            .dense(16, Activation::Identity)
            .seed(2)
            .build()
            .unwrap();
        spread(&mut network);
        network
    };
    // Two steps, because the second reads what the first has written.
    let moved = |device: &Device<f32>| -> Vec<Vec<f64>> {
        let mut network = build(device);
        let start: Vec<_> = network.layers().iter().map(|l| l.weights().to_vec()).collect();
        let x = Matrix::from_slice(device, 16, 32, &random(512, 1)).unwrap();
        let t = Matrix::from_slice(device, 16, 32, &random(512, 2)).unwrap();
        let mut trainer = Trainer::builder(&mut network, Loss::Quadratic, Sgd::new(0.1).unwrap())
            .batch(32)
            .build()
            .unwrap();
        (0..2).for_each(|_| trainer.step(x.view(), t.view()).unwrap());
        drop(trainer);
        let both = network.layers().iter().zip(start);
        both.map(|(layer, start)| {
            let after = numbers(layer.weights().to_vec().unwrap());
            after.iter().zip(numbers(start.unwrap())).map(|(x, before)| x - before).collect()
        })
        .collect()
    };
    let exact = moved(&cpu);
    for precision in [MatmulPrecision::Tf32, MatmulPrecision::Bf16, MatmulPrecision::F16] {
        let mut settings = Settings::default();
        settings.matmul = precision;
        settings.library = Library::Always;
        settings.fusion = Fusion::Never;
        let Some(device) = common::engine_if_there("cuda", &settings) else { return };
        for (found, exact) in moved(&device).iter().zip(&exact) {
            let apart = common::relative(found, exact);
            assert!(apart < 0.02, "{precision:?}: {apart}");
        }
    }
}

#[test]
fn what_does_not_fit_is_refused() {
    let cpu = engine::open::<f32>("cpu").unwrap();
    let message = |error: Option<travertine::Error>| error.unwrap().to_string();
    let error = message(Parametric::new(&cpu, 3, Activation::Softmax).err());
    assert!(error.contains("softmax is not computed element by element"), "{error}");
    let build = |inputs: usize, f| Network::builder(&cpu, inputs).parametric(f).build();
    assert_eq!(message(build(3, Activation::Softmax).err()), error);
    let error = message(Parametric::new(&cpu, 0, Activation::Mish).err());
    assert!(error.contains("units"), "{error}");
    assert_eq!(message(build(0, Activation::Mish).err()), error);
    let error = message(build(3, Activation::Elu(-1.0)).err());
    assert!(error.contains("not below 0"), "{error}");

    let mut layer = Parametric::new(&cpu, 3, Activation::Mish).unwrap();
    let x = Matrix::<f32>::zeros(&cpu, 4, 2).unwrap();
    let mut y = Matrix::zeros(&cpu, 3, 2).unwrap();
    let error = message(layer.infer(Role::Output, None, x.view(), y.view_mut()).err());
    assert!(error.contains("input is 4x2") && error.contains("output is 3x2"), "{error}");
    let mut training = layer.training(2, Role::Output).unwrap();
    let error = message(training.forward(x.view()).err());
    assert!(error.contains("input is 4x2"), "{error}");
    let mut other = Parametric::new(&cpu, 4, Activation::Mish).unwrap();
    let mut other = other.training(2, Role::Output).unwrap();
    let error = message(training.propagate(&mut *other, 2).err());
    assert!(error.contains("delta is 3x2") && error.contains("out is 4x2"), "{error}");
    let mut sinks = [y.copy().unwrap(), y.copy().unwrap()];
    let x = Matrix::<f32>::zeros(&cpu, 3, 2).unwrap();
    let sinks = sinks.each_mut().map(Matrix::view_mut);
    let error = message(training.gradient(x.view(), sinks, 1.0, 0.0).err());
    assert!(error.contains("sink is 3x2"), "{error}");
}

#[test]
fn saved_and_loaded() {
    let name = format!("travertine-parametric-{}.safetensors", std::process::id());
    let path = std::env::temp_dir().join(name);
    let cpu = engine::open::<f32>("cpu").unwrap();
    let network = trained(&cpu, 40, 13);
    assert_eq!(network.parameters(), 7 * 70 + 70 + 71 * 20 + 20 + 21 * 3);
    let info = ModelInfo::new(Loss::SoftmaxCrossEntropy);
    model_file::save(&path, &network, &info).unwrap();
    let bytes = std::fs::read(&path).unwrap();
    let text = String::from_utf8_lossy(&bytes).into_owned();
    assert!(text.contains("\\\"version\\\":4") && text.contains("\\\"kind\\\":\\\"parametric\\\""));
    assert!(text.contains("layers.1.weight") && !text.contains("layers.1.bias"));
    let (loaded, _) = model_file::load::<f32>(&path, &cpu).unwrap();
    assert_eq!(classes::bits(&loaded), classes::bits(&network));
    let x = Matrix::from_slice(&cpu, 6, 7, &random(42, 1)).unwrap();
    let output = |network: &Network<f32>| network.infer(x.view()).unwrap().to_vec().unwrap();
    assert_eq!(output(&loaded), output(&network));
    assert_eq!(output(&network.copy().unwrap()), output(&network));
    let described = model_file::describe(&path).unwrap();
    assert_eq!(described.parameters, network.parameters());
    let layer = &described.layers[1];
    assert_eq!((layer.kind, layer.activation), (LayerKind::Parametric, Activation::Mish));
    let printed = network.to_string();
    assert!(printed.contains("1  parametric  70 -> 70   mish       70"), "{printed}");

    let names = model_file::sequential_names(&network);
    assert_eq!(names, ["0", "1", "2", "3", "4"]);
    model_file::save_weights(&path, &network, &names).unwrap();
    let mut other = self::network(&cpu);
    other.load_weights(&path, &names).unwrap();
    assert_eq!(classes::bits(&other), classes::bits(&network));

    // As many bytes, so that the lengths in the header stay right.
    for (from, to, words) in [
        (
            "\\\"inputs\\\":70,\\\"outputs\\\":70",
            "\\\"inputs\\\":70,\\\"outputs\\\":71",
            "layers.1 outputs",
        ),
        ("layers.1.weight", "layers.1.weighs", "tensor layers.1.weight"),
        ("parametric", "parametrix", "layers.1 kind"),
    ] {
        let at = bytes.windows(from.len()).position(|window| window == from.as_bytes());
        let at = at.unwrap_or_else(|| panic!("{from}"));
        let mut damaged = bytes.clone();
        damaged[at..at + from.len()].copy_from_slice(to.as_bytes());
        std::fs::write(&path, damaged).unwrap();
        let error = model_file::load::<f32>(&path, &cpu).err().unwrap().to_string();
        assert!(error.contains(words), "{error}");
    }
    std::fs::remove_file(path).unwrap();
}
