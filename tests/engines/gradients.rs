//! Backward against central differences in f64: every activation with every loss, shallow and deep.

use std::sync::Arc;

use crate::common::{self, SMALL_DEVICE, engine_if_there, limited, one_hot, random};
use travertine::engine::{Engine, Limits};
use travertine::layer::{Dense, Layer as _};
use travertine::optimizer::Sgd;
use travertine::{Activation, Loss, Matrix, Network, Scalar, Trainer, check_gradients, engine};

/// Central differences with h = 1e-5 leave about 1e-10 of truncation and 1e-11 of rounding; kinks are avoided.
const BOUND: f64 = 1e-6;
const H: f64 = 1e-5;

type Device = Arc<dyn Engine<f64>>;

/// Inputs, hidden sizes, outputs, samples: odd on purpose.
fn network(
    device: &Device,
    hidden: &[(usize, Activation)],
    output: Activation,
    seed: u64,
) -> Network<f64> {
    let mut builder = Network::builder(device, 5).seed(seed);
    for &(size, activation) in hidden {
        builder = builder.dense(size, activation);
    }
    let mut network = builder.dense(3, output).build().unwrap();
    // A bias that is not 0, so that its gradient is tested where it matters.
    for (i, layer) in network.layers_mut().iter_mut().enumerate() {
        let bias = random::<f64>(layer.outputs(), 100 + i as u64);
        layer.bias_mut().write(&bias).unwrap();
    }
    network
}

/// How close z of any relu-like layer, or any error, comes to a kink: central differences across one are meaningless.
fn nearest_kink(network: &Network<f64>, x: &[f64], t: &[f64], loss: Loss) -> f64 {
    let layers = common::layers(network);
    let mut nearest = f64::INFINITY;
    for (x, t) in x.chunks(5).zip(t.chunks(3)) {
        let mut a = x.to_vec();
        for layer in &layers {
            let z = layer.z(&a);
            if matches!(
                layer.activation,
                Activation::Relu | Activation::LeakyRelu(_) | Activation::Elu(_)
            ) {
                nearest = z.iter().fold(nearest, |n, z| n.min(z.abs()));
            }
            a = common::activate(layer.activation, &z);
        }
        let kinks: &[f64] = match loss {
            Loss::MeanAbsolute => &[0.0],
            Loss::Huber(_) => &[1.0],
            _ => &[],
        };
        for (a, t) in a.iter().zip(t) {
            nearest = kinks.iter().fold(nearest, |n, kink| n.min(((a - t).abs() - kink).abs()));
        }
    }
    nearest
}

fn check(device: &Device, hidden: &[(usize, Activation)], output: Activation, loss: Loss) {
    let t = one_hot::<f64>(3, 4);
    // The first seed that keeps a distance of 100 h from every kink.
    let (mut network, x) = (1..200)
        .map(|seed| (network(device, hidden, output, seed), random::<f64>(5 * 4, seed)))
        .find(|(network, x)| nearest_kink(network, x, &t, loss) > 100.0 * H)
        .expect("a seed away from all kinks");
    let (x, t) = (
        Matrix::from_slice(device, 5, 4, &x).unwrap(),
        Matrix::from_slice(device, 3, 4, &t).unwrap(),
    );
    let check = check_gradients(&mut network, loss, x.view(), t.view(), H).unwrap();
    let error = check.relative_error;
    let name = &device.device().name;
    assert!(error < BOUND, "{name}: {hidden:?} {output} {loss}: {error:e} at {}", check.place);
}

#[test]
fn every_activation_and_loss_at_two_depths() {
    for (words, device) in common::engines::<f64>() {
        eprintln!("{words}");
        every_activation_and_loss(&device);
    }
}

fn every_activation_and_loss(device: &Device) {
    for loss in Loss::ALL {
        for output in Activation::ALL {
            check(device, &[(7, Activation::Tanh)], output, loss);
        }
        for hidden in
            Activation::ALL.into_iter().filter(|&activation| activation != Activation::Softmax)
        {
            check(device, &[(7, hidden)], Activation::Identity, loss);
            check(device, &[(7, hidden), (6, hidden), (4, hidden)], Activation::Sigmoid, loss);
        }
    }
}

/// All parameters after a step of gradient descent with rate 1.
fn after_a_step<T: Scalar>(
    device: &Arc<dyn Engine<T>>,
    hidden: Activation,
    output: Activation,
    loss: Loss,
) -> Vec<f64> {
    let builder = Network::builder(device, 5).dense(7, hidden).dense(6, hidden);
    let mut network = builder.dense(3, output).seed(4).build().unwrap();
    let x = Matrix::from_slice(device, 5, 4, &random::<T>(5 * 4, 4)).unwrap();
    let t = Matrix::from_slice(device, 3, 4, &one_hot::<T>(3, 4)).unwrap();
    let mut trainer = Trainer::builder(&mut network, loss, Sgd::new(1.0).unwrap())
        .batch(4)
        .seed(1)
        .build()
        .unwrap();
    trainer.step(x.view(), t.view()).unwrap();
    drop(trainer);
    let layers = common::layers(&network).into_iter();
    layers.flat_map(|layer| [layer.weights, layer.bias].concat()).collect()
}

/// Differences as small as those above need f64. Where a device has none, and on one that is made to have none, the gradients in f32 are
/// compared with those of the CPU in f64.
#[test]
fn devices_without_f64_have_the_gradients_of_the_cpu() {
    let without = limited(Limits { fp64: false, ..SMALL_DEVICE });
    let mut devices = common::engines::<f32>();
    devices.retain(|(_, device)| !device.device().fp64);
    devices.extend(engine_if_there("opencl", &without).map(|device| ("without f64", device)));
    let cpu = engine::open::<f64>("cpu").unwrap();
    for (words, device) in devices {
        eprintln!("{words}, f32");
        for loss in Loss::ALL {
            for hidden in Activation::ALL.into_iter().filter(|f| *f != Activation::Softmax) {
                let output = match loss {
                    Loss::BinaryCrossEntropy => Activation::Sigmoid,
                    Loss::SoftmaxCrossEntropy => Activation::Softmax,
                    _ => Activation::Identity,
                };
                let ours = after_a_step(&device, hidden, output, loss);
                let apart = common::relative(&ours, &after_a_step(&cpu, hidden, output, loss));
                assert!(apart < 1e-5, "{words}: {hidden} {output} {loss}: {apart:e}");
            }
        }
    }
}

/// The check must be able to fail: the gradients of one loss are not those of another.
#[test]
fn the_check_finds_wrong_gradients() {
    let cpu = engine::open::<f64>("cpu").unwrap();
    let mut layer = Dense::new(&cpu, 2, 2, Activation::Relu).unwrap();
    layer.weights_mut().write(&[0.5, -0.5, 0.25, 1.0]).unwrap();
    let mut network = Network::from_layers(vec![layer]).unwrap();
    // z is 0 here: the kink of relu, where central differences give half of the slope.
    let (x, t) =
        (Matrix::zeros(&cpu, 2, 1).unwrap(), Matrix::from_slice(&cpu, 2, 1, &[1.0, 1.0]).unwrap());
    let check = check_gradients(&mut network, Loss::Quadratic, x.view(), t.view(), H).unwrap();
    assert!(check.relative_error > 0.1, "{check:?}");
    assert!(check.place.contains("bias"), "{check:?}");
}
