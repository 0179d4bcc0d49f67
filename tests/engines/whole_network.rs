//! Small networks in one kernel: gradients by finite differences, training compared with the CPU, and the number of calls.

use std::sync::Arc;

use crate::common::{
    self, CUDA_LIKE, SMALL_DEVICE, engine_if_there, limited, limited_whole, one_hot, random,
    relative,
};
use travertine::data::Task;
use travertine::engine::{self, Counting, Engine, Fusion, Limits, Settings};
use travertine::optimizer::{Adam, Clip, Optimizer, Schedule, Sgd};
use travertine::{
    Activation, Dropout, Loss, Matrix, Network, Samples, Scalar, Trainer, TrainerBuilder,
};

/// Sizes, inputs first, and activations.
struct Net {
    sizes: &'static [usize],
    activations: Vec<Activation>,
}

impl Net {
    fn new(sizes: &'static [usize], hidden: Activation, output: Activation) -> Net {
        let mut activations = vec![hidden; sizes.len() - 2];
        activations.push(output);
        Net { sizes, activations }
    }

    fn build<T: Scalar>(&self, engine: &Arc<dyn Engine<T>>) -> Network<T> {
        let layers = self.sizes[1..].iter().zip(&self.activations);
        let builder = Network::builder(engine, self.sizes[0]);
        let mut network = layers
            .fold(builder, |b, (size, activation)| b.dense(*size, *activation))
            .seed(3)
            .build()
            .unwrap();
        // Biases that matter.
        for layer in network.layers_mut() {
            let rows = layer.outputs();
            layer.bias_mut().write(&random::<T>(rows, 9)).unwrap();
        }
        network
    }

    fn outputs(&self) -> usize {
        self.sizes[self.sizes.len() - 1]
    }
}

fn of_cuda(fusion: Fusion) -> Settings {
    let mut settings = Settings::default();
    settings.fusion = fusion;
    settings
}

/// Devices that take whole networks: of 64 items with little memory, one as CUDA's are, and CUDA itself.
fn engines<T: Scalar>() -> Vec<Arc<dyn Engine<T>>> {
    let all = [
        ("opencl", limited_whole(SMALL_DEVICE)),
        ("opencl", limited_whole(CUDA_LIKE)),
        ("cuda", of_cuda(Fusion::Always)),
    ];
    all.into_iter().filter_map(|(name, settings)| engine_if_there(name, &settings)).collect()
}

/// OpenCL within limits or, where there is none, CUDA.
fn counted<T: Scalar>(limits: Limits) -> Option<Arc<Counting<T>>> {
    let engine = engine_if_there("opencl", &limited_whole(limits))
        .or_else(|| engine_if_there("cuda", &of_cuda(Fusion::Always)))?;
    Some(Arc::new(Counting::new(engine)))
}

fn matrix<T: Scalar>(engine: &Arc<dyn Engine<T>>, rows: usize, values: &[T]) -> Matrix<T> {
    Matrix::from_slice(engine, rows, values.len() / rows, values).unwrap()
}

/// Mean loss by the f64 reference.
fn mean_loss(layers: &[common::Layer], loss: Loss, x: &[f64], t: &[f64]) -> f64 {
    let (inputs, outputs) =
        (layers[0].weights.len() / layers[0].bias.len(), layers[layers.len() - 1].bias.len());
    let output = layers[layers.len() - 1].activation;
    let samples = x.chunks(inputs).zip(t.chunks(outputs));
    let losses: Vec<f64> =
        samples.map(|(x, t)| common::loss(loss, output, &common::last_z(layers, x), t)).collect();
    losses.iter().sum::<f64>() / losses.len() as f64
}

/// Every parameter, layer by layer, weights first.
fn parameters(layers: &mut [common::Layer]) -> Vec<&mut f64> {
    layers.iter_mut().flat_map(|layer| layer.weights.iter_mut().chain(&mut layer.bias)).collect()
}

/// Gradient by central differences, parameter after parameter.
fn differences(layers: &[common::Layer], loss: Loss, x: &[f64], t: &[f64]) -> Vec<f64> {
    const H: f64 = 1e-5;
    let at = |index: usize, step: f64| {
        let mut layers = layers.to_vec();
        *parameters(&mut layers)[index] += step;
        mean_loss(&layers, loss, x, t)
    };
    (0..flat(layers).len()).map(|index| (at(index, H) - at(index, -H)) / (2.0 * H)).collect()
}

fn flat(layers: &[common::Layer]) -> Vec<f64> {
    layers.iter().flat_map(|layer| layer.weights.iter().chain(&layer.bias).copied()).collect()
}

/// The parameters after an epoch over `count` samples, and the report of it.
fn epoch<T: Scalar>(
    engine: &Arc<dyn Engine<T>>,
    net: &Net,
    loss: Loss,
    optimizer: Box<dyn Optimizer<T>>,
    [count, batch]: [usize; 2],
) -> (Vec<f64>, [f64; 2]) {
    let (inputs, outputs) = (net.sizes[0], net.outputs());
    let t = if outputs == 1 { random::<T>(count, 6) } else { one_hot(outputs, count) };
    let (x, t) = (matrix(engine, inputs, &random(inputs * count, 5)), matrix(engine, outputs, &t));
    let mut samples = Samples::from_matrices(x, t, Task::Classes).unwrap();
    let mut network = net.build(engine);
    let mut trainer =
        Trainer::builder(&mut network, loss, optimizer).batch(batch).seed(7).build().unwrap();
    let report = trainer.epoch(&mut samples).unwrap();
    drop(trainer);
    (flat(&common::layers(&network)), [report.loss, report.accuracy.unwrap()])
}

fn sgd<T: Scalar>() -> Box<dyn Optimizer<T>> {
    Box::new(Sgd::new(0.05).unwrap())
}

/// A few steps add a few roundings each; summands are of both signs.
fn bound<T: Scalar>() -> f64 {
    200.0 * if size_of::<T>() == 4 { f64::from(f32::EPSILON) } else { f64::EPSILON }
}

fn agrees<T: Scalar>(
    net: &Net,
    loss: Loss,
    optimizer: fn() -> Box<dyn Optimizer<T>>,
    sizes: [usize; 2],
) {
    agrees_on(engines(), net, loss, optimizer, sizes);
}

fn agrees_on<T: Scalar>(
    engines: Vec<Arc<dyn Engine<T>>>,
    net: &Net,
    loss: Loss,
    optimizer: fn() -> Box<dyn Optimizer<T>>,
    sizes: [usize; 2],
) {
    let cpu = engine::open("cpu").unwrap();
    let (reference, [reference_loss, accuracy]) = epoch::<T>(&cpu, net, loss, optimizer(), sizes);
    for engine in engines {
        let what = format!(
            "{:?} {:?} {loss} {sizes:?}, {}",
            net.sizes,
            net.activations,
            optimizer().describe()
        );
        let (ours, report) = epoch(&engine, net, loss, optimizer(), sizes);
        let error = relative(&ours, &reference);
        assert!(error < bound::<T>(), "{what}: {error:e}");
        assert!(
            (report[0] - reference_loss).abs() < bound::<T>() * reference_loss.max(1.0),
            "{what}: {report:?}"
        );
        assert_eq!(report[1], accuracy, "{what}");
    }
}

#[test]
fn every_activation_and_loss_trains_as_on_the_cpu() {
    let hidden: Vec<_> =
        Activation::ALL.into_iter().filter(|hidden| *hidden != Activation::Softmax).collect();
    let pairs = Activation::ALL.into_iter().flat_map(|output| Loss::ALL.map(|loss| (output, loss)));
    // Trainers refuse the pairs that cannot be learned.
    let (pairs, refused): (Vec<_>, Vec<_>) =
        pairs.partition(|(output, loss)| common::is_learnable(*output, *loss));
    assert_eq!(refused.len(), 4, "{refused:?}");
    for (i, (output, loss)) in pairs.into_iter().enumerate() {
        // 11 samples are a batch of 7 and one of 4.
        let net = Net::new(&[5, 9, 3], hidden[i % hidden.len()], output);
        // Compiling is what takes time: the devices take turns.
        let turn = engines::<f64>()
            .into_iter()
            .enumerate()
            .filter(|(k, _)| *k != i % 2)
            .map(|(_, engine)| engine);
        agrees_on::<f64>(turn.collect(), &net, loss, sgd, [11, 7]);
        if i % 5 == 0 {
            agrees::<f32>(&net, loss, sgd, [11, 7]);
        }
    }
}

#[test]
fn every_shape_trains_as_on_the_cpu() {
    let shapes: [(&'static [usize], usize); 7] = [
        (&[4, 64, 64, 1], 10), // every item has work
        (&[784, 30, 10], 10),  // inputs come in slices
        (&[3, 2], 5),          // no hidden layer
        (&[1, 1, 1, 1, 1], 3), // as deep as can be
        (&[7, 300, 2], 6),     // more rows than items
        (&[6, 5, 4], 1),       // a sample alone
        (&[10, 17, 11], 19),   // nothing comes out even
    ];
    for (sizes, batch) in shapes {
        let net = Net::new(sizes, Activation::Tanh, Activation::Sigmoid);
        agrees::<f32>(&net, Loss::Quadratic, sgd, [2 * batch + 3, batch]);
        agrees::<f64>(&net, Loss::BinaryCrossEntropy, sgd, [2 * batch + 3, batch]);
    }
}

#[test]
fn gradients_go_where_the_optimizer_wants_them() {
    let net = Net::new(&[6, 8, 5, 3], Activation::Gelu, Activation::Softmax);
    let loss = Loss::SoftmaxCrossEntropy;
    agrees::<f64>(&net, loss, || Box::new(Sgd::new(0.1).unwrap().momentum(0.9).unwrap()), [20, 6]);
    agrees::<f64>(&net, loss, || Box::new(Sgd::new(0.1).unwrap().nesterov(0.9).unwrap()), [20, 6]);
    agrees::<f32>(&net, loss, || Box::new(Adam::new(0.01).unwrap()), [20, 6]);
}

/// The gradient is what a step of rate 1 takes off the parameters.
#[test]
fn a_step_goes_down_the_gradient_of_the_reference() {
    let cases = [
        (Activation::Tanh, Activation::Softmax, Loss::SoftmaxCrossEntropy),
        (Activation::Gelu, Activation::Silu, Loss::Quadratic), // z is kept
        (Activation::Softplus, Activation::Softmax, Loss::Huber(1.0)), // softmax has a derivative of its own
    ];
    let (x, t) = (random::<f64>(4 * 6, 1), one_hot::<f64>(3, 6));
    for (hidden, output, loss) in cases {
        let net = Net::new(&[4, 7, 5, 3], hidden, output);
        for engine in engines::<f64>() {
            let mut network = net.build(&engine);
            let before = common::layers(&network);
            let mut trainer = Trainer::builder(&mut network, loss, Sgd::new(1.0).unwrap())
                .batch(6)
                .seed(1)
                .build()
                .unwrap();
            trainer.step(matrix(&engine, 4, &x).view(), matrix(&engine, 3, &t).view()).unwrap();
            let last = trainer.last_loss(6).unwrap();
            drop(trainer);
            let after = flat(&common::layers(&network));
            let gradient: Vec<f64> =
                flat(&before).iter().zip(&after).map(|(before, after)| before - after).collect();
            let error = relative(&gradient, &differences(&before, loss, &x, &t));
            assert!(error < 1e-8, "{hidden} {output} {loss}: {error:e}");
            assert!((last - mean_loss(&before, loss, &x, &t)).abs() < 1e-12);
        }
    }
}

#[test]
fn inference_gives_what_the_reference_gives() {
    let nets = [
        Net::new(&[784, 30, 10], Activation::Sigmoid, Activation::Softmax),
        Net::new(&[4, 64, 64, 1], Activation::Relu, Activation::Identity),
        Net {
            sizes: &[3, 5, 4, 6, 2],
            activations: vec![
                Activation::Silu,
                Activation::Elu(0.5),
                Activation::Tanh,
                Activation::Softplus,
            ],
        },
    ];
    for (net, samples) in nets.iter().flat_map(|net| [1, 5, 33].map(|samples| (net, samples))) {
        let x = random::<f64>(net.sizes[0] * samples, 2);
        for engine in engines::<f64>() {
            let network = net.build(&engine);
            let layers = common::layers(&network);
            let last = layers[layers.len() - 1].activation;
            let outputs = |x: &[f64]| common::activate(last, &common::last_z(&layers, x));
            let reference: Vec<f64> = x.chunks(net.sizes[0]).flat_map(outputs).collect();
            let ours =
                network.infer(matrix(&engine, net.sizes[0], &x).view()).unwrap().to_vec().unwrap();
            let error = relative(&ours, &reference);
            assert!(error < 1e-13, "{:?}, {samples} samples: {error:e}", net.sizes);
            // What was decided for 33 samples holds for fewer.
            let mut inference = network.inference(33).unwrap();
            let x = matrix(&engine, net.sizes[0], &x);
            let ours = inference.run(x.view()).unwrap().to_vec().unwrap();
            let error = relative(&ours, &reference);
            assert!(error < 1e-13, "{:?}, {samples} of 33 samples: {error:e}", net.sizes);
        }
    }
}

fn builder(network: &mut Network<f32>) -> TrainerBuilder<'_, f32> {
    Trainer::builder(network, Loss::SoftmaxCrossEntropy, Sgd::new(0.1).unwrap()).batch(5).seed(1)
}

/// A step in one kernel keeps no outputs and deltas of layers: they are refused, and the message names the setting.
/// Steps layer by layer keep them.
#[test]
fn layers_refuse_what_a_step_in_one_kernel_does_not_keep() {
    let Some(counting) = counted::<f32>(SMALL_DEVICE) else { return };
    let engine: Arc<dyn Engine<f32>> = counting.clone();
    let x = matrix::<f32>(&engine, 7, &random(7 * 5, 1));
    let t = matrix::<f32>(&engine, 3, &one_hot(3, 5));
    let build = || Network::builder(&engine, 7).dense(3, Activation::Softmax).build().unwrap();
    let mut network = build();
    let mut trainer = builder(&mut network).build().unwrap();
    trainer.step(x.view(), t.view()).unwrap();
    let layer = &trainer.layers()[0];
    let mut sinks = [matrix::<f32>(&engine, 3, &[0.0; 21]), matrix::<f32>(&engine, 3, &[0.0; 3])];
    let gradient = layer.gradient(x.view(), sinks.each_mut().map(Matrix::view_mut), 1.0, 0.0);
    for error in [layer.output(5).err(), layer.delta(5).err(), gradient.err()] {
        let error = error.unwrap().to_string();
        assert!(error.contains("in one kernel") && error.contains("Fusion::Never"), "{error}");
    }
    // Layer by layer, as this bound demands.
    let mut network = build();
    let mut trainer = builder(&mut network).clip(Clip::Norm(1e9)).build().unwrap();
    trainer.step(x.view(), t.view()).unwrap();
    let delta = trainer.layers()[0].delta(5).unwrap().to_vec().unwrap();
    assert!(delta.iter().any(|d| *d != 0.0));
}

/// Calls of the engine for a step, beside those that another precision, network or setting costs.
#[test]
fn a_step_is_one_call_and_its_updates() {
    let Some(counting) = counted::<f32>(SMALL_DEVICE) else { return };
    let engine: Arc<dyn Engine<f32>> = counting.clone();
    let net = Net::new(&[6, 8, 3], Activation::Relu, Activation::Softmax);
    let (x, t) = (matrix(&engine, 6, &random(6 * 5, 1)), matrix(&engine, 3, &one_hot(3, 5)));
    let calls = |trainer: &mut Trainer<'_, f32>| {
        let before = counting.counts();
        trainer.step(x.view(), t.view()).unwrap();
        assert_eq!(counting.counts().allocations, before.allocations);
        counting.counts().calls - before.calls
    };
    let mut network = net.build(&engine);
    assert_eq!(calls(&mut builder(&mut network).build().unwrap()), 1);
    let schedule = Schedule::Cosine { steps: 9, last: 0.0 };
    assert_eq!(calls(&mut builder(&mut network).schedule(schedule).build().unwrap()), 1);
    // Rates of 0 drop nothing.
    let nothing = Dropout { inputs: 0.0, hidden: 0.0 };
    assert_eq!(calls(&mut builder(&mut network).dropout(nothing).build().unwrap()), 1);
    // Weights and bias of two layers are updated.
    let momentum = Sgd::new(0.1).unwrap().momentum(0.9).unwrap();
    let mut trainer = Trainer::builder(&mut network, Loss::SoftmaxCrossEntropy, momentum)
        .batch(5)
        .seed(1)
        .build()
        .unwrap();
    assert_eq!(calls(&mut trainer), 1 + 4);
    drop(trainer);
    // Settings that the kernel does not have are computed layer by layer.
    assert!(calls(&mut builder(&mut network).clip(Clip::Norm(1.0)).build().unwrap()) > 1);
    assert!(calls(&mut builder(&mut network).max_norm(1.0).build().unwrap()) > 1);
    assert!(
        calls(
            &mut builder(&mut network)
                .dropout(Dropout { inputs: 0.0, hidden: 0.5 })
                .build()
                .unwrap()
        ) > 1
    );
    let mut inference = network.inference(5).unwrap();
    let before = counting.counts().calls;
    inference.run(x.view()).unwrap();
    assert_eq!(counting.counts().calls - before, 1);
}

/// An epoch's samples are taken in its order by the same kernel; class weights are not.
#[test]
fn an_epoch_copies_no_samples() {
    let Some(counting) = counted::<f32>(SMALL_DEVICE) else { return };
    let engine: Arc<dyn Engine<f32>> = counting.clone();
    let net = Net::new(&[6, 8, 3], Activation::Relu, Activation::Softmax);
    let steps_and_calls = |weights: Option<[f64; 3]>| {
        let (x, t) = (matrix(&engine, 6, &random(6 * 20, 1)), matrix(&engine, 3, &one_hot(3, 20)));
        let mut samples = Samples::from_matrices(x, t, Task::Classes).unwrap();
        if let Some(weights) = weights {
            samples = samples.with_class_weights(&weights).unwrap();
        }
        let mut network = net.build(&engine);
        let mut trainer =
            Trainer::builder(&mut network, Loss::SoftmaxCrossEntropy, Sgd::new(0.1).unwrap())
                .batch(8)
                .seed(1)
                .build()
                .unwrap();
        let mut calls = Vec::new();
        trainer
            .epoch_with(&mut samples, |_| {
                calls.push(counting.counts().calls);
                Ok(())
            })
            .unwrap();
        [calls[1] - calls[0], calls[2] - calls[1]]
    };
    assert_eq!(steps_and_calls(None), [1, 1]);
    assert!(steps_and_calls(Some([1.0, 2.0, 3.0]))[0] > 5);
}

/// A network that does not fit, or an engine whose settings rule it out.
#[test]
fn what_does_not_fit_is_trained_layer_by_layer() {
    let Some(counting) = counted::<f64>(SMALL_DEVICE) else { return };
    let engine: Arc<dyn Engine<f64>> = counting.clone();
    let wide: &[usize] = &[3, 600, 2];
    let deep: &[usize] = &[3, 2, 2, 2, 2, 2];
    for sizes in [wide, deep] {
        let net = Net::new(sizes, Activation::Tanh, Activation::Identity);
        let mut network = net.build(&engine);
        let mut trainer = Trainer::builder(&mut network, Loss::Quadratic, Sgd::new(0.1).unwrap())
            .batch(4)
            .seed(1)
            .build()
            .unwrap();
        let (x, t) = (matrix(&engine, 3, &random(12, 1)), matrix(&engine, 2, &random(8, 2)));
        let before = counting.counts().calls;
        trainer.step(x.view(), t.view()).unwrap();
        assert!(counting.counts().calls - before > 2, "{sizes:?}");
    }
}

/// The same bits again, those of an epoch that is gone through step by step included.
#[test]
fn training_repeats_itself_bit_by_bit() {
    let net = Net::new(&[20, 33, 10], Activation::Sigmoid, Activation::Softmax);
    for engine in engines::<f32>() {
        let run = || epoch(&engine, &net, Loss::SoftmaxCrossEntropy, sgd(), [45, 10]).0;
        assert!(run() == run());
    }
}

/// A loss that is no longer finite is reported as it is layer by layer.
#[test]
fn divergence_is_reported_as_layer_by_layer() {
    let report = |device, settings| {
        let engine = engine_if_there::<f32>(device, &settings)?;
        let net = Net::new(&[4, 6, 2], Activation::Relu, Activation::Identity);
        let (x, t) = (matrix(&engine, 4, &random(4 * 30, 1)), matrix(&engine, 2, &random(60, 2)));
        let mut samples = Samples::from_matrices(x, t, Task::Values).unwrap();
        let mut network = net.build(&engine);
        let before = flat(&common::layers(&network));
        let mut trainer = Trainer::builder(&mut network, Loss::Quadratic, Sgd::new(1e6).unwrap())
            .batch(3)
            .seed(1)
            .build()
            .unwrap();
        let error = trainer.epoch(&mut samples).unwrap_err().to_string();
        drop(trainer);
        assert!(
            flat(&common::layers(&network)) == before,
            "the parameters are those from before the epoch"
        );
        Some(error)
    };
    let [whole, layers] = [limited_whole, limited].map(|settings| settings(SMALL_DEVICE));
    assert_eq!(report("opencl", whole), report("opencl", layers));
    let [whole, layers] = [Fusion::Always, Fusion::Never].map(of_cuda);
    assert_eq!(report("cuda", whole), report("cuda", layers));
}
