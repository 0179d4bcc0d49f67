//! Training: the same bits always, every sample once, honest reports, and a way back from divergence.

use std::sync::Arc;

use crate::common::{self, one_hot, random};
use travertine::data::Task;
use travertine::engine::{self, Engine, Settings};
use travertine::optimizer::{Adam, Optimizer, Sgd};
use travertine::random::{Philox, Purpose};
use travertine::{Activation, ErrorKind, Loss, Matrix, Network, Samples, Scalar, Trainer, data};

fn cpu<T: Scalar>(threads: usize) -> Arc<dyn Engine<T>> {
    engine::open_with("cpu", &Settings::threads(threads)).unwrap()
}

fn samples<T: Scalar>(
    cpu: &Arc<dyn Engine<T>>,
    inputs: usize,
    classes: usize,
    count: usize,
) -> Samples<'static, T> {
    let x = Matrix::from_slice(cpu, inputs, count, &random(inputs * count, 5)).unwrap();
    let t = Matrix::from_slice(cpu, classes, count, &one_hot(classes, count)).unwrap();
    Samples::from_matrices(x, t, Task::Classes).unwrap()
}

/// The bits of all parameters after training; the products are large enough to be split among threads.
fn trained_bits<T: Scalar>(threads: usize, seed: u64) -> Vec<u64> {
    let cpu = cpu::<T>(threads);
    let mut network = Network::builder(&cpu, 784)
        .dense(300, Activation::Relu)
        .dense(100, Activation::Gelu)
        .dense(10, Activation::Softmax)
        .seed(seed)
        .build()
        .unwrap();
    let mut samples = samples(&cpu, 784, 10, 150);
    let mut trainer =
        Trainer::builder(&mut network, Loss::SoftmaxCrossEntropy, Sgd::new(0.1).unwrap())
            .batch(64)
            .seed(seed)
            .build()
            .unwrap();
    for _ in 0..2 {
        trainer.epoch(&mut samples).unwrap();
    }
    drop(trainer);
    let bits = |values: Vec<T>| values.into_iter().map(|x| x.to_f64().to_bits());
    let layers = network.layers().iter();
    layers
        .flat_map(|l| bits(l.weights().to_vec().unwrap()).chain(bits(l.bias().to_vec().unwrap())))
        .collect()
}

#[test]
fn threads_do_not_change_a_bit() {
    let reference = trained_bits::<f32>(1, 1);
    for threads in [2, 3, 4] {
        assert!(trained_bits::<f32>(threads, 1) == reference, "f32, {threads} threads");
    }
    assert!(trained_bits::<f32>(1, 2) != reference, "another seed must give another network");
    assert!(trained_bits::<f64>(3, 1) == trained_bits::<f64>(1, 1), "f64");
}

/// 10 samples in batches of 4, 4 and 2, in the order that the documentation of `random` gives.
#[test]
fn an_epoch_is_these_steps_in_this_order() {
    let cpu = cpu::<f64>(1);
    let (inputs, outputs, count, seed, rate) = (6, 3, 10, 9, 0.7);
    let mut network = Network::builder(&cpu, inputs)
        .dense(5, Activation::Tanh)
        .dense(outputs, Activation::Sigmoid)
        .seed(seed)
        .build()
        .unwrap();
    let mut reference = common::layers(&network);
    let (x, t) = (random::<f64>(inputs * count, 5), one_hot::<f64>(outputs, count));
    let column = |values: &[f64], rows: usize, j: usize| values[j * rows..(j + 1) * rows].to_vec();
    let mut samples = samples(&cpu, inputs, outputs, count);
    let mut trainer = Trainer::builder(&mut network, Loss::Quadratic, Sgd::new(rate).unwrap())
        .batch(4)
        .seed(seed)
        .build()
        .unwrap();
    for epoch in 0..3 {
        let mut order: Vec<usize> = (0..count).collect();
        Philox::new(seed, Purpose::Shuffle, epoch).shuffle(&mut order);
        let mut losses = 0.0;
        for batch in order.chunks(4) {
            let (x, t): (Vec<_>, Vec<_>) =
                batch.iter().map(|&j| (column(&x, inputs, j), column(&t, outputs, j))).unzip();
            for (x, t) in x.iter().zip(&t) {
                let z = common::last_z(&reference, x);
                losses += common::loss(Loss::Quadratic, Activation::Sigmoid, &z, t);
            }
            common::sgd_step(&mut reference, &x, &t, rate);
        }
        let mut watched = Vec::new();
        let report = trainer
            .epoch_with(&mut samples, |progress| {
                watched.push((progress.samples(), progress.total(), progress.report()?.samples));
                Ok(())
            })
            .unwrap();
        assert_eq!(watched, [(4, 10, 4), (8, 10, 8), (10, 10, 10)]);
        assert!((report.loss - losses / count as f64).abs() < 1e-12, "{} {losses}", report.loss);
    }
    assert_eq!((trainer.epochs(), trainer.steps()), (3, 9));
    drop(trainer);
    for (ours, reference) in common::layers(&network).iter().zip(&reference) {
        assert!(common::relative(&ours.weights, &reference.weights) < 1e-12);
        assert!(common::relative(&ours.bias, &reference.bias) < 1e-12);
    }
}

/// Every loss behind every activation, where it is fused and where it is not, by the network and by the trainer.
#[test]
fn evaluation_agrees_with_the_formulas() {
    let cpu = cpu::<f64>(2);
    let (inputs, outputs, count) = (6, 4, 300); // more than one inference batch
    let mut refused = 0;
    for loss in Loss::ALL {
        for output in Activation::ALL {
            let mut network = Network::builder(&cpu, inputs)
                .dense(7, Activation::Silu)
                .dense(outputs, output)
                .seed(2)
                .build()
                .unwrap();
            let layers = common::layers(&network);
            let (x, t) = (random::<f64>(inputs * count, 5), one_hot::<f64>(outputs, count));
            let (mut sum, mut hits) = (0.0, 0);
            for (x, t) in x.chunks(inputs).zip(t.chunks(outputs)) {
                let z = common::last_z(&layers, x);
                sum += common::loss(loss, output, &z, t);
                let largest =
                    |v: &[f64]| (0..v.len()).max_by(|&i, &j| v[i].total_cmp(&v[j])).unwrap();
                hits += usize::from(largest(&common::activate(output, &z)) == largest(t));
            }
            let samples = samples(&cpu, inputs, outputs, count);
            let report = network.evaluate(loss, &samples).unwrap();
            let close = |a: f64, b: f64| (a - b).abs() < 1e-12 * (1.0 + b.abs());
            assert!(
                close(report.loss, sum / count as f64),
                "{loss} {output}: {} {sum}",
                report.loss
            );
            if output != Activation::Relu {
                // relu puts out equal zeros, of which any may be the largest
                assert_eq!(report.accuracy, Some(hits as f64 / count as f64), "{loss} {output}");
            }
            let builder = Trainer::builder(&mut network, loss, Sgd::new(0.1).unwrap()).batch(17);
            let mut trainer = match (builder.build(), loss, output) {
                (Ok(trainer), ..) => trainer,
                (Err(_), Loss::BinaryCrossEntropy | Loss::SoftmaxCrossEntropy, _) => {
                    refused += 1;
                    continue;
                }
                (Err(error), ..) => panic!("{loss} {output}: {error}"),
            };
            assert!(
                close(trainer.evaluate(&samples).unwrap().loss, report.loss),
                "{loss} {output}"
            );
        }
    }
    assert_eq!(refused, 4, "pairs that cannot be learned");
}

#[test]
fn one_output_distinguishes_two_classes() {
    let cpu = cpu::<f32>(1);
    let x: Vec<f32> = random(2 * 400, 3);
    let t: Vec<f32> = x.chunks(2).map(|x| f32::from(u8::from(x[0] + x[1] > 0.0))).collect();
    let positive = t.iter().sum::<f32>() / 400.0;
    let (x, t) = (
        Matrix::from_slice(&cpu, 2, 400, &x).unwrap(),
        Matrix::from_slice(&cpu, 1, 400, &t).unwrap(),
    );
    let mut samples = Samples::from_matrices(x, t, Task::Classes).unwrap();
    for loss in [Loss::BinaryCrossEntropy, Loss::Quadratic] {
        let mut network = Network::builder(&cpu, 2).dense(1, Activation::Sigmoid).build().unwrap();
        network.layers_mut()[0].weights_mut().write(&[0.0, 0.0]).unwrap();
        network.layers_mut()[0].bias_mut().write(&[1.0]).unwrap(); // says "yes" to everything
        let says_yes = network.evaluate(loss, &samples).unwrap().accuracy.unwrap();
        assert!((says_yes - f64::from(positive)).abs() < 1e-6, "{says_yes} {positive}");
        let mut trainer = Trainer::builder(&mut network, loss, Sgd::new(5.0).unwrap())
            .batch(10)
            .seed(1)
            .build()
            .unwrap();
        for _ in 0..10 {
            trainer.epoch(&mut samples).unwrap();
        }
        assert!(trainer.evaluate(&samples).unwrap().accuracy.unwrap() > 0.97);
    }
}

#[test]
fn digits_are_learned() {
    let cpu = cpu::<f32>(2);
    let (train, test) = data::digits::<f32>().unwrap().split(0.2, 1).unwrap();
    let (mut train, test) =
        (Samples::new(&cpu, &train).unwrap(), Samples::new(&cpu, &test).unwrap());
    let mut network = Network::builder(&cpu, 64)
        .dense(40, Activation::Relu)
        .dense(10, Activation::Softmax)
        .seed(1)
        .build()
        .unwrap();
    let sgd = Sgd::new(0.1).unwrap();
    let mut trainer = Trainer::builder(&mut network, Loss::SoftmaxCrossEntropy, sgd)
        .batch(16)
        .seed(1)
        .build()
        .unwrap();
    for _ in 0..10 {
        trainer.epoch(&mut train).unwrap();
    }
    let report = trainer.evaluate(&test).unwrap();
    assert!(report.accuracy.unwrap() > 0.94, "{report:?}");
}

/// One sample is so large that the step after it must fail; the order of the samples determines which step that is.
#[test]
fn divergence_is_located_exactly_and_undone() {
    let cpu = cpu::<f32>(1);
    let (count, seed, poison) = (40, 4, 17);
    let mut x: Vec<f32> = random(3 * count, 5);
    x[3 * poison..3 * poison + 3].fill(1e30);
    let t: Vec<f32> = random(count, 6);
    let x = Matrix::from_slice(&cpu, 3, count, &x).unwrap();
    let mut samples =
        Samples::from_matrices(x, Matrix::from_slice(&cpu, 1, count, &t).unwrap(), Task::Values)
            .unwrap();
    let mut network = Network::builder(&cpu, 3)
        .dense(4, Activation::LeakyRelu(0.5))
        .dense(1, Activation::Identity)
        .seed(1)
        .build()
        .unwrap();
    let before = common::layers(&network);
    let mut order: Vec<usize> = (0..count).collect();
    Philox::new(seed, Purpose::Shuffle, 0).shuffle(&mut order);
    // The square of an error of 1e30 is beyond f32: the step of that sample itself has no finite loss.
    let expected = order.iter().position(|&j| j == poison).unwrap() as u64 / 5;

    let mut trainer = Trainer::builder(&mut network, Loss::Quadratic, Sgd::new(0.1).unwrap())
        .batch(5)
        .seed(seed)
        .build()
        .unwrap();
    let error = trainer.epoch(&mut samples).unwrap_err();
    let ErrorKind::Diverged { step, epoch, layer, what } = *error.kind() else { panic!("{error}") };
    assert_eq!((step, epoch, layer, what), (expected, 0, 1, "the loss behind"), "{error}");
    assert!(!error.is_input());
    assert!(error.to_string().contains("smaller learning rate"), "{error}");
    assert_eq!((trainer.steps(), trainer.epochs()), (0, 0));

    // A healthy data set goes on from the parameters that were good.
    let unchanged: Vec<_> =
        trainer.layers().iter().map(|layer| layer.weights().to_vec().unwrap()).collect();
    for (ours, before) in unchanged.iter().zip(&before) {
        let ours: Vec<f64> = ours.iter().map(|x| x.to_f64()).collect();
        assert_eq!(ours, before.weights);
    }
    let x = Matrix::from_slice(&cpu, 3, count, &random(3 * count, 5)).unwrap();
    let t = Matrix::from_slice(&cpu, 1, count, &t).unwrap();
    let mut healthy = Samples::from_matrices(x, t, Task::Values).unwrap();
    assert!(trainer.epoch(&mut healthy).unwrap().loss.is_finite());
    assert_eq!((trainer.steps(), trainer.epochs()), (8, 1));
}

/// An epoch that diverged leaves nothing behind in the optimizer either.
#[test]
fn optimizers_forget_an_epoch_that_diverged() {
    let cpu = cpu::<f32>(1);
    let count = 40;
    let samples = |poison: f32| {
        let mut x: Vec<f32> = random(3 * count, 5);
        x[3 * 17] *= poison;
        let x = Matrix::from_slice(&cpu, 3, count, &x).unwrap();
        Samples::from_matrices(
            x,
            Matrix::from_slice(&cpu, 1, count, &random(count, 6)).unwrap(),
            Task::Values,
        )
        .unwrap()
    };
    type Maker = fn() -> Box<dyn Optimizer<f32>>;
    let momentum: Maker = || Box::new(Sgd::new(0.01).unwrap().momentum(0.9).unwrap());
    let nesterov: Maker = || Box::new(Sgd::new(0.01).unwrap().nesterov(0.9).unwrap());
    let adam: Maker = || Box::new(Adam::new(0.01).unwrap());
    for optimizer in [momentum, nesterov, adam] {
        let course = |diverges: bool| {
            let builder =
                Network::builder(&cpu, 3).dense(4, Activation::Tanh).dense(1, Activation::Identity);
            let mut network = builder.seed(1).build().unwrap();
            let mut trainer = Trainer::builder(&mut network, Loss::Quadratic, optimizer())
                .batch(5)
                .seed(4)
                .build()
                .unwrap();
            trainer.epoch(&mut samples(1.0)).unwrap();
            if diverges {
                let error = trainer.epoch(&mut samples(f32::INFINITY)).unwrap_err();
                assert!(
                    matches!(error.kind(), ErrorKind::Diverged { step: 8.., epoch: 1, .. }),
                    "{error}"
                );
            }
            trainer.epoch(&mut samples(1.0)).unwrap();
            drop(trainer);
            common::layers(&network)
                .iter()
                .flat_map(|layer| layer.weights.clone())
                .collect::<Vec<_>>()
        };
        assert_eq!(course(true), course(false), "{}", optimizer().describe());
    }
}

/// One step of plain gradient descent with rate 1 on the same samples moves every layer by exactly its gradient.
#[test]
fn gradient_norms_are_those_of_the_mean_gradient_and_change_nothing() {
    for (name, engine) in common::engines::<f64>() {
        let build = || {
            let builder = Network::builder(&engine, 6)
                .dense(5, Activation::Gelu)
                .dense(3, Activation::Softmax);
            builder.seed(2).build().unwrap()
        };
        let parameters = |network: &Network<f64>| -> Vec<Vec<f64>> {
            let layers = network.layers().iter();
            layers
                .map(|l| [l.weights().to_vec().unwrap(), l.bias().to_vec().unwrap()].concat())
                .collect()
        };
        // 10 samples in batches of 4, 4 and 2 against 10 in one.
        let samples = samples(&engine, 6, 3, 10);
        let (mut looked_at, mut moved) = (build(), build());
        let before = parameters(&moved);
        let sgd = || Sgd::new(1.0).unwrap();
        let mut trainer = Trainer::builder(&mut looked_at, Loss::SoftmaxCrossEntropy, sgd())
            .batch(4)
            .seed(1)
            .build()
            .unwrap();
        let norms = trainer.gradient_norms(&samples).unwrap();
        drop(trainer);
        assert_eq!(parameters(&looked_at), before, "{name}");

        let mut trainer = Trainer::builder(&mut moved, Loss::SoftmaxCrossEntropy, sgd())
            .batch(10)
            .seed(1)
            .build()
            .unwrap();
        trainer.step(samples.inputs(), samples.targets()).unwrap();
        drop(trainer);
        for ((norm, before), after) in norms.iter().zip(&before).zip(parameters(&moved)) {
            let moved = before.iter().zip(after).map(|(b, a)| (b - a).powi(2)).sum::<f64>().sqrt();
            assert!(
                (norm - moved).abs() < 1e-12 * moved.max(1.0) && moved > 1e-3,
                "{name}: {norm} {moved}"
            );
        }
        assert_eq!(norms.len(), 2);
    }
}
