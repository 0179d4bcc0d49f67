//! Dropout, max-norm, label smoothing and class weights against plain formulas in f64, on every engine.

use crate::common::{self, Layer, one_hot, random};
use travertine::data::Task;
use travertine::optimizer::Sgd;
use travertine::random::{Philox, Purpose};
use travertine::{Activation, Dropout, Loss, Matrix, Network, Samples, Scalar, Trainer, engine};

const SEED: u64 = 7;
const RATE: f64 = 0.5;
const DROPOUT: Dropout = Dropout { inputs: 0.2, hidden: 0.5 };
const MAX_NORM: f64 = 0.85;
const SIZES: [usize; 4] = [17, 33, 9, 5];

/// What place `index` of the input of a layer is multiplied by in a step.
fn kept(step: u32, layer: usize, index: usize) -> f64 {
    let rate = if layer == 0 { DROPOUT.inputs } else { DROPOUT.hidden };
    let stream = Philox::new(SEED, Purpose::Dropout, step).of_layer(layer);
    let draw = f64::from(stream.uniform_f32(index as u64));
    if draw < rate { 0.0 } else { 1.0 / (1.0 - rate) }
}

/// One step of gradient descent for layers of tanh, behind them one of sigmoid, and the quadratic loss.
fn reference_step(layers: &mut [Layer], step: u32, x: &[Vec<f64>], t: &[Vec<f64>]) {
    let before: Vec<Layer> = layers
        .iter()
        .map(|l| Layer {
            weights: l.weights.clone(),
            bias: l.bias.clone(),
            activation: l.activation,
        })
        .collect();
    let share = RATE / x.len() as f64;
    for (sample, (x, t)) in x.iter().zip(t).enumerate() {
        let factor = |layer: usize, i: usize, rows: usize| kept(step, layer, i + sample * rows);
        let (mut inputs, mut a) = (Vec::new(), x.clone());
        for (l, layer) in before.iter().enumerate() {
            let rows = a.len();
            inputs.push(
                a.iter().enumerate().map(|(i, a)| a * factor(l, i, rows)).collect::<Vec<_>>(),
            );
            a = common::activate(layer.activation, &layer.z(&inputs[l]));
        }
        let mut delta: Vec<f64> = a.iter().zip(t).map(|(a, t)| (a - t) * a * (1.0 - a)).collect();
        for l in (0..before.len()).rev() {
            let (input, rows) = (&inputs[l], delta.len());
            for (i, d) in delta.iter().enumerate() {
                layers[l].bias[i] -= share * d;
                input
                    .iter()
                    .enumerate()
                    .for_each(|(j, x)| layers[l].weights[i + j * rows] -= share * d * x);
            }
            let back = |j: usize| {
                delta
                    .iter()
                    .enumerate()
                    .map(|(i, d)| before[l].weights[i + j * rows] * d)
                    .sum::<f64>()
            };
            // What is dropped passes nothing back; what is kept is input / factor = tanh(z).
            delta = (0..input.len())
                .map(|j| match factor(l, j, input.len()) {
                    0.0 => 0.0,
                    factor => back(j) * factor * (1.0 - (input[j] / factor).powi(2)),
                })
                .collect();
        }
    }
    let hidden = layers.len() - 1;
    layers[..hidden].iter_mut().for_each(bound);
}

fn row_norm(layer: &Layer, row: usize) -> f64 {
    layer.weights.iter().skip(row).step_by(layer.bias.len()).map(|w| w * w).sum::<f64>().sqrt()
}

fn bound(layer: &mut Layer) {
    for row in 0..layer.bias.len() {
        let factor = (MAX_NORM / (row_norm(layer, row) + 1e-6)).min(1.0);
        layer.weights.iter_mut().skip(row).step_by(layer.bias.len()).for_each(|w| *w *= factor);
    }
}

fn network<T: Scalar>(engine: &std::sync::Arc<dyn engine::Engine<T>>) -> Network<T> {
    let [inputs, first, second, outputs] = SIZES;
    let builder = Network::builder(engine, inputs)
        .dense(first, Activation::Tanh)
        .dense(second, Activation::Tanh);
    builder.dense(outputs, Activation::Sigmoid).seed(5).build().unwrap()
}

fn trainer<T: Scalar>(network: &mut Network<T>, batch: usize, seed: u64) -> Trainer<'_, T> {
    Trainer::builder(network, Loss::Quadratic, Sgd::new(RATE).unwrap())
        .batch(batch)
        .seed(seed)
        .dropout(DROPOUT)
        .max_norm(MAX_NORM)
        .build()
        .unwrap()
}

fn flat(layers: &[Layer]) -> Vec<f64> {
    layers.iter().flat_map(|layer| layer.weights.iter().chain(&layer.bias).copied()).collect()
}

fn every_step_is_the_formulas<T: Scalar>(limit: f64) {
    let (inputs, outputs, batch) = (SIZES[0], SIZES[3], 4);
    for (words, engine) in common::engines::<T>() {
        let mut network = network(&engine);
        let mut reference = common::layers(&network);
        let mut trainer = trainer(&mut network, batch, SEED);
        for step in 0..8 {
            let samples = if step % 3 == 2 { 3 } else { batch };
            let x: Vec<T> = random(inputs * samples, 10 + u64::from(step));
            let t: Vec<T> = one_hot(outputs, samples);
            let matrix =
                |rows, values: &[T]| Matrix::from_slice(&engine, rows, samples, values).unwrap();
            trainer.step(matrix(inputs, &x).view(), matrix(outputs, &t).view()).unwrap();
            let columns = |values: &[T], rows: usize| -> Vec<Vec<f64>> {
                values
                    .chunks(rows)
                    .map(|column| column.iter().map(|x| x.to_f64()).collect())
                    .collect()
            };
            reference_step(&mut reference, step, &columns(&x, inputs), &columns(&t, outputs));
            let numbers =
                |m: travertine::MatrixRef<'_, T>| m.to_vec().unwrap().into_iter().map(T::to_f64);
            let ours: Vec<f64> = trainer
                .layers()
                .iter()
                .flat_map(|l| numbers(l.weights()).chain(numbers(l.bias())))
                .collect();
            let apart = common::relative(&ours, &flat(&reference));
            assert!(apart <= limit, "{words}, {}, step {step}: {apart:e}", T::NAME);
        }
        let norms = |layer: &Layer| {
            (0..layer.bias.len()).map(|row| row_norm(layer, row)).collect::<Vec<_>>()
        };
        let hidden: Vec<f64> = reference[..2].iter().flat_map(norms).collect();
        assert!(hidden.iter().any(|norm| *norm > MAX_NORM - 1e-5), "a bound that nothing meets");
        assert!(hidden.iter().any(|norm| *norm < MAX_NORM - 1e-2), "a bound that everything meets");
    }
}

#[test]
fn dropout_and_max_norm_in_every_step() {
    every_step_is_the_formulas::<f64>(1e-13);
    every_step_is_the_formulas::<f32>(4e-6);
}

#[test]
fn training_repeats_itself_and_evaluation_drops_nothing() {
    let trained = |threads: usize, seed: u64| {
        let cpu = engine::open_with::<f32>("cpu", &engine::Settings::threads(threads)).unwrap();
        let mut network = network(&cpu);
        let x = Matrix::from_slice(&cpu, SIZES[0], 50, &random(SIZES[0] * 50, 3)).unwrap();
        let t = Matrix::from_slice(&cpu, SIZES[3], 50, &one_hot(SIZES[3], 50)).unwrap();
        let mut samples = Samples::from_matrices(x, t, Task::Classes).unwrap();
        let mut trainer = trainer(&mut network, 8, seed);
        for _ in 0..3 {
            trainer.epoch(&mut samples).unwrap();
        }
        let evaluated = trainer.evaluate(&samples).unwrap();
        drop(trainer);
        let apart =
            (evaluated.loss - network.evaluate(Loss::Quadratic, &samples).unwrap().loss).abs();
        assert!(apart < 1e-6 * evaluated.loss, "{apart:e}");
        flat(&common::layers(&network))
    };
    assert!(trained(1, 1) == trained(3, 1), "threads");
    assert!(trained(1, 1) != trained(1, 2), "another seed must drop others");
}

/// A step that diverges is found where it is: its replay drops what was dropped the first time.
#[test]
fn divergence_is_replayed_with_what_was_dropped() {
    let cpu = engine::open::<f64>("cpu").unwrap();
    let mut network = Network::builder(&cpu, 3)
        .dense(8, Activation::Identity)
        .dense(2, Activation::Identity)
        .build()
        .unwrap();
    let before = flat(&common::layers(&network));
    let (x, t) = (random::<f64>(3 * 4000, 3), random::<f64>(2 * 4000, 4));
    let matrix = |rows, values: &[f64]| Matrix::from_slice(&cpu, rows, 4000, values).unwrap();
    let mut samples = Samples::from_matrices(matrix(3, &x), matrix(2, &t), Task::Values).unwrap();
    let mut trainer = Trainer::builder(&mut network, Loss::Quadratic, Sgd::new(3.0).unwrap())
        .batch(10)
        .seed(SEED)
        .dropout(DROPOUT)
        .build()
        .unwrap();
    let first = trainer.epoch(&mut samples).unwrap_err().to_string();
    let second = trainer.epoch(&mut samples).unwrap_err().to_string();
    assert_eq!(first, second);
    assert!(first.contains("the output of") || first.contains("the loss behind"), "{first}");
    drop(trainer);
    assert_eq!(flat(&common::layers(&network)), before);
}

#[test]
fn label_smoothing_spreads_targets() {
    let (classes, count, share) = (SIZES[3], 20, 0.1);
    for (words, engine) in common::engines::<f64>() {
        let x = Matrix::from_slice(&engine, SIZES[0], count, &random(SIZES[0] * count, 3)).unwrap();
        let t = Matrix::from_slice(&engine, classes, count, &one_hot(classes, count)).unwrap();
        let builder = Network::builder(&engine, SIZES[0]).dense(classes, Activation::Softmax);
        let network = builder.seed(1).build().unwrap();
        let probabilities = network.infer(x.view()).unwrap().to_vec().unwrap();
        let plain =
            Samples::from_matrices(x.copy().unwrap(), t.copy().unwrap(), Task::Classes).unwrap();
        let smooth = Samples::from_matrices(x, t, Task::Classes)
            .unwrap()
            .with_label_smoothing(share)
            .unwrap();
        let [plain, smooth] =
            [&plain, &smooth].map(|s| network.evaluate(Loss::SoftmaxCrossEntropy, s).unwrap());
        // PyTorch's definition: a share of the mean over all classes.
        let uniform = -probabilities.iter().map(|p| p.ln()).sum::<f64>() / (classes * count) as f64;
        let expected = (1.0 - share) * plain.loss + share * uniform;
        assert!(
            (smooth.loss - expected).abs() < 1e-12 * expected,
            "{words}: {} {expected}",
            smooth.loss
        );
        assert_eq!(smooth.accuracy, plain.accuracy);
    }
}

/// A sample of weight 2 is as good as two samples: a step on all of them goes as far as one on the longer data set, at the
/// rate that makes up for the other count.
#[test]
fn class_weights_are_repeated_samples() {
    let (inputs, count, weights) = (6, 30, [1.0, 2.0, 3.0]);
    for (words, engine) in common::engines::<f64>() {
        for (outputs, output, loss) in [
            (3, Activation::Softmax, Loss::SoftmaxCrossEntropy),
            (3, Activation::Tanh, Loss::Quadratic),
            (1, Activation::Sigmoid, Loss::BinaryCrossEntropy),
        ] {
            let (x, labels) =
                (random::<f64>(inputs * count, 3), (0..count).map(|i| i * 7 % 5 % outputs.max(2)));
            let labels: Vec<usize> = labels.collect();
            let target = |label: usize| match outputs {
                1 => vec![label as f64],
                _ => (0..outputs).map(|i| f64::from(u8::from(i == label))).collect(),
            };
            let samples = |repeated: bool| {
                let times = |i: usize| if repeated { weights[labels[i]] as usize } else { 1 };
                let order: Vec<usize> =
                    (0..count).flat_map(|i| std::iter::repeat_n(i, times(i))).collect();
                let x: Vec<f64> =
                    order.iter().flat_map(|i| x[i * inputs..][..inputs].to_vec()).collect();
                let t: Vec<f64> = order.iter().flat_map(|i| target(labels[*i])).collect();
                let x = Matrix::from_slice(&engine, inputs, order.len(), &x).unwrap();
                Samples::from_matrices(
                    x,
                    Matrix::from_slice(&engine, outputs, order.len(), &t).unwrap(),
                    Task::Classes,
                )
                .unwrap()
            };
            let trained = |mut samples: Samples<'_, f64>, rate: f64| {
                let mut network = Network::builder(&engine, inputs)
                    .dense(5, Activation::Tanh)
                    .dense(outputs, output)
                    .build()
                    .unwrap();
                let (sgd, batch) = (Sgd::new(rate).unwrap(), samples.count());
                let mut trainer =
                    Trainer::builder(&mut network, loss, sgd).batch(batch).seed(1).build().unwrap();
                let report = trainer.epoch(&mut samples).unwrap();
                drop(trainer);
                (flat(&common::layers(&network)), report.loss * batch as f64)
            };
            let weighted = samples(false).with_class_weights(&weights[..outputs.max(2)]).unwrap();
            let repeated = samples(true);
            let longer = repeated.count() as f64 / count as f64;
            assert!(longer > 1.2);
            let ((ours, our_loss), (theirs, their_loss)) =
                (trained(weighted, 0.1), trained(repeated, 0.1 * longer));
            assert!(
                (our_loss - their_loss).abs() < 1e-12 * their_loss,
                "{words} {loss}: {our_loss} {their_loss}"
            );
            let error = ours.iter().zip(&theirs).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
            assert!(error < 1e-13, "{words} {loss}: {error:e}");
        }
    }
}

#[test]
fn what_makes_no_sense_is_refused() {
    let cpu = engine::open::<f32>("cpu").unwrap();
    let mut deep = network(&cpu);
    for (inputs, hidden) in [(1.0, 0.0), (-0.1, 0.0), (0.0, f64::NAN), (0.0, 1.0)] {
        let trainer =
            Trainer::builder(&mut deep, Loss::Quadratic, Sgd::new(0.1).unwrap()).batch(4).seed(1);
        let error = trainer.dropout(Dropout { inputs, hidden }).build().err().unwrap().to_string();
        assert!(error.contains("from 0 to less than 1"), "{error}");
    }
    for most in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        let trainer =
            Trainer::builder(&mut deep, Loss::Quadratic, Sgd::new(0.1).unwrap()).batch(4).seed(1);
        assert!(trainer.max_norm(most).build().err().unwrap().to_string().contains("above 0"));
    }
    let mut flat = Network::builder(&cpu, 3).dense(2, Activation::Softmax).build().unwrap();
    let trainer =
        Trainer::builder(&mut flat, Loss::Quadratic, Sgd::new(0.1).unwrap()).batch(4).seed(1);
    assert!(
        trainer.dropout(DROPOUT).build().err().unwrap().to_string().contains("no hidden layers")
    );
    let trainer =
        Trainer::builder(&mut flat, Loss::Quadratic, Sgd::new(0.1).unwrap()).batch(4).seed(1);
    assert!(trainer.max_norm(1.0).build().err().unwrap().to_string().contains("there are none"));
    let samples = |rows, task| {
        let x = Matrix::zeros(&cpu, 3, 2).unwrap();
        Samples::from_matrices(x, Matrix::zeros(&cpu, rows, 2).unwrap(), task).unwrap()
    };
    for samples in [samples(2, Task::Values), samples(1, Task::Classes)] {
        assert!(
            samples
                .with_label_smoothing(0.1)
                .err()
                .unwrap()
                .to_string()
                .contains("must be classes")
        );
    }
    assert!(
        samples(2, Task::Values)
            .with_class_weights(&[1.0, 2.0])
            .err()
            .unwrap()
            .to_string()
            .contains("must be classes")
    );
    assert!(
        samples(3, Task::Classes)
            .with_class_weights(&[1.0, 2.0])
            .err()
            .unwrap()
            .to_string()
            .contains("2 weights for 3 classes")
    );
    assert!(
        samples(2, Task::Classes)
            .with_class_weights(&[1.0, f64::NAN])
            .err()
            .unwrap()
            .to_string()
            .contains("above 0")
    );
    assert!(
        samples(2, Task::Classes)
            .with_label_smoothing(1.0)
            .err()
            .unwrap()
            .to_string()
            .contains("less than 1")
    );
}
