//! What programs of one's own reach: losses by their gradients, frozen layers, schedules from functions, early stopping,
//! snapshots that refuse other trainings.

use std::num::ParseFloatError;
use std::ops::ControlFlow;
use std::sync::Arc;

use crate::common::{self, one_hot, random, relative};
use travertine::data::Task;
use travertine::engine::Engine;
use travertine::optimizer::{Adam, Clip, Schedule, Sgd, WeightDecay};
use travertine::{
    Activation, Dropout, EarlyStopping, Error, ErrorKind, Loss, LossScale, Matrix, MatrixMut,
    MatrixRef, Network, Samples, Trainer, engine, model_file,
};

const SAMPLES: usize = 6;

type Device = Arc<dyn Engine<f64>>;

fn sgd(rate: f64) -> Sgd {
    Sgd::new(rate).unwrap()
}

fn matrix(device: &Device, rows: usize, values: &[f64]) -> Matrix<f64> {
    Matrix::from_slice(device, rows, values.len() / rows, values).unwrap()
}

fn network(device: &Device, output: Activation) -> Network<f64> {
    let builder = Network::builder(device, 4).dense(5, Activation::Tanh);
    builder.dense(6, Activation::Sigmoid).dense(3, output).seed(3).build().unwrap()
}

fn inputs(device: &Device) -> Matrix<f64> {
    matrix(device, 4, &random(4 * SAMPLES, 1))
}

fn samples(device: &Device) -> Samples<'static, f64> {
    let t = matrix(device, 3, &one_hot(3, SAMPLES));
    Samples::from_matrices(inputs(device), t, Task::Classes).unwrap()
}

/// A loss that none of ours is: the pinball loss of quantile 0.8 plus a product of the sample's first two outputs.
fn own_loss(a: &[f64], t: &[f64]) -> f64 {
    let pinball = |(a, t): (&f64, &f64)| if t > a { 0.8 * (t - a) } else { 0.2 * (a - t) };
    a.iter().zip(t).map(pinball).sum::<f64>() + a[0] * a[1]
}

fn own_gradient(a: &[f64], t: &[f64]) -> Vec<f64> {
    let mut g: Vec<f64> = a.iter().zip(t).map(|(a, t)| if t > a { -0.8 } else { 0.2 }).collect();
    (g[0], g[1]) = (g[0] + a[1], g[1] + a[0]);
    g
}

/// Against central differences of the f64 reference, behind every activation; where the trainer's own loss reads logits as well.
#[test]
fn a_loss_of_ones_own_descends_along_its_gradient() {
    const H: f64 = 1e-6;
    for (words, device) in common::engines::<f64>() {
        let (x, t) = (random::<f64>(4 * SAMPLES, 1), random::<f64>(3 * SAMPLES, 2));
        for (output, loss) in [
            (Activation::Identity, Loss::Quadratic),
            (Activation::Gelu, Loss::Quadratic),
            (Activation::Sigmoid, Loss::BinaryCrossEntropy),
            (Activation::Softmax, Loss::SoftmaxCrossEntropy),
            (Activation::Softmax, Loss::MeanAbsolute),
        ] {
            let mut network = network(&device, output);
            let before = common::layers(&network);
            let mean = |layers: &[common::Layer]| {
                let outputs =
                    x.chunks(4).map(|x| common::activate(output, &common::last_z(layers, x)));
                outputs.zip(t.chunks(3)).map(|(a, t)| own_loss(&a, t)).sum::<f64>() / SAMPLES as f64
            };
            let mut trainer =
                Trainer::builder(&mut network, loss, sgd(1.0)).batch(SAMPLES).build().unwrap();
            trainer
                .step_with(matrix(&device, 4, &x).view(), |output, mut gradient| {
                    let a = output.to_vec()?;
                    let g = a.chunks(3).zip(t.chunks(3)).flat_map(|(a, t)| own_gradient(a, t));
                    gradient.write(&g.collect::<Vec<f64>>())
                })
                .unwrap();
            assert!(trainer.last_loss(1).is_err());
            drop(trainer);
            let after = common::layers(&network);
            for l in 0..before.len() {
                let moved = |of: fn(&common::Layer) -> &Vec<f64>| {
                    let pairs = of(&before[l]).iter().zip(of(&after[l]));
                    pairs.map(|(before, after)| before - after).collect::<Vec<f64>>()
                };
                let numeric = |count: usize, of: fn(&mut common::Layer) -> &mut Vec<f64>| {
                    let at = |i: usize, h: f64| {
                        let mut layers = before.clone();
                        of(&mut layers[l])[i] += h;
                        mean(&layers)
                    };
                    (0..count).map(|i| (at(i, H) - at(i, -H)) / (2.0 * H)).collect::<Vec<f64>>()
                };
                let weights = moved(|layer| &layer.weights);
                let error = relative(&weights, &numeric(weights.len(), |l| &mut l.weights));
                assert!(error < 1e-7, "{words} {output} {loss} weights {l}: {error:e}");
                let bias = moved(|layer| &layer.bias);
                let error = relative(&bias, &numeric(bias.len(), |l| &mut l.bias));
                assert!(error < 1e-7, "{words} {output} {loss} bias {l}: {error:e}");
            }
        }
    }
}

/// With the gradient of a loss that the library has, a step is the library's step; what follows is not disturbed.
#[test]
fn a_step_with_the_gradient_of_the_own_loss_is_a_step() {
    for (words, device) in common::engines::<f64>() {
        let (x, t) = (inputs(&device), matrix(&device, 3, &one_hot(3, SAMPLES)));
        let (mut one, mut two) =
            (network(&device, Activation::Softmax), network(&device, Activation::Softmax));
        let build = |network| {
            Trainer::builder(network, Loss::SoftmaxCrossEntropy, Adam::new(0.01).unwrap())
                .batch(SAMPLES)
                .clip(Clip::Norm(0.5))
                .dropout(Dropout { inputs: 0.1, hidden: 0.2 })
                .loss_scale(LossScale { initial: 8.0, growth_interval: 2 })
                .build()
                .unwrap()
        };
        let (mut ours, mut theirs) = (build(&mut one), build(&mut two));
        let targets = t.to_vec().unwrap();
        for step in 0..4 {
            ours.step(x.view(), t.view()).unwrap();
            if step % 2 == 1 {
                theirs.step(x.view(), t.view()).unwrap();
                continue;
            }
            theirs
                .step_with(x.view(), |output, mut gradient| {
                    // d/da of -t ln a
                    let a = output.to_vec()?.into_iter().zip(&targets);
                    gradient.write(&a.map(|(a, t)| -t / a).collect::<Vec<f64>>())
                })
                .unwrap();
        }
        let (ours, theirs) =
            (ours.parameters().unwrap().concat(), theirs.parameters().unwrap().concat());
        assert!(relative(&ours, &theirs) < 1e-12, "{words}");
    }
}

#[test]
fn an_own_loss_that_fails_changes_no_parameter() {
    let device = engine::open::<f64>("cpu").unwrap();
    let mut network = network(&device, Activation::Identity);
    let mut trainer = Trainer::builder(&mut network, Loss::Quadratic, sgd(1.0)).build().unwrap();
    let before = trainer.parameters().unwrap();
    let fails = |_: MatrixRef<'_, f64>, _: MatrixMut<'_, f64>| {
        "x".parse::<f64>().map(drop).map_err(Error::other)
    };
    let error = trainer.step_with(inputs(&device).view(), fails).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Other(own) if own.is::<ParseFloatError>()));
    assert!(!error.is_input());
    assert_eq!((trainer.parameters().unwrap(), trainer.steps()), (before, 0));
    // A gradient that is not written is 0.
    let before = trainer.parameters().unwrap();
    trainer.step_with(inputs(&device).view(), |_, _| Ok(())).unwrap();
    assert_eq!((trainer.parameters().unwrap(), trainer.steps()), (before, 1));
}

#[test]
fn a_trainer_infers_as_its_network_will() {
    for (words, device) in common::engines::<f64>() {
        for (output, loss) in [
            (Activation::Softmax, Loss::SoftmaxCrossEntropy),
            (Activation::Sigmoid, Loss::BinaryCrossEntropy),
            (Activation::Identity, Loss::Quadratic),
        ] {
            let mut network = network(&device, output);
            let x = inputs(&device);
            let mut trainer =
                Trainer::builder(&mut network, loss, sgd(0.5)).batch(4).build().unwrap();
            trainer.epoch(&mut samples(&device)).unwrap();
            let during = trainer.infer(x.view()).unwrap().to_vec().unwrap();
            drop(trainer);
            let after = network.infer(x.view()).unwrap().to_vec().unwrap();
            assert!(relative(&during, &after) < 1e-14, "{words} {output}");
        }
    }
}

/// Frozen layers stay bit for bit; the others move as if all were trained, where nothing links them.
#[test]
fn frozen_layers_stay_and_others_move() {
    for (words, device) in common::engines::<f64>() {
        let (x, t) = (inputs(&device), matrix(&device, 3, &one_hot(3, SAMPLES)));
        let step = |frozen: &[usize], clip: Option<Clip>| {
            let mut network = network(&device, Activation::Softmax);
            let adam = Adam::new(0.1).unwrap().weight_decay(WeightDecay::Decoupled(0.1)).unwrap();
            let builder = Trainer::builder(&mut network, Loss::SoftmaxCrossEntropy, adam);
            let mut trainer = builder.batch(SAMPLES).clip(clip).max_norm(0.9).build().unwrap();
            frozen.iter().for_each(|i| trainer.freeze(*i..i + 1).unwrap());
            let before = trainer.parameters().unwrap();
            (0..2).for_each(|_| trainer.step(x.view(), t.view()).unwrap());
            (before, trainer.parameters().unwrap())
        };
        for clip in [None, Some(Clip::Value(1e9))] {
            let (_, free) = step(&[], clip);
            for frozen in [&[0][..], &[1], &[0, 1], &[2], &[1, 2]] {
                let (before, after) = step(frozen, clip);
                for l in 0..3 {
                    let range = 2 * l..2 * l + 2;
                    let same = before[range.clone()] == after[range.clone()];
                    assert_eq!(same, frozen.contains(&l), "{words} {frozen:?} layer {l}");
                }
                assert!(free != after);
            }
        }
    }
}

/// A step's first update of a layer that is trained is that of a training without frozen layers, also under a norm of all
/// gradients once the frozen ones are left out of it.
#[test]
fn freezing_leaves_the_gradients_of_others_alone() {
    let device = engine::open::<f64>("cpu").unwrap();
    let (x, t) = (inputs(&device), matrix(&device, 3, &one_hot(3, SAMPLES)));
    let moves = |frozen: bool, clip: Option<Clip>| {
        let mut network = network(&device, Activation::Softmax);
        let builder = Trainer::builder(&mut network, Loss::SoftmaxCrossEntropy, sgd(1.0));
        let mut trainer = builder.batch(SAMPLES).clip(clip).build().unwrap();
        if frozen {
            // Not before a step with all: what that has collected must not count.
            trainer.step(x.view(), t.view()).unwrap();
            let fresh = self::network(&device, Activation::Softmax);
            let fresh = fresh.layers().iter();
            let fresh = fresh.flat_map(|l| [l.weights().to_vec(), l.bias().to_vec()]);
            trainer.set_parameters(&fresh.collect::<Result<Vec<_>, _>>().unwrap()).unwrap();
            trainer.freeze(0..2).unwrap();
        }
        let before = trainer.parameters().unwrap();
        trainer.step(x.view(), t.view()).unwrap();
        let after = trainer.parameters().unwrap();
        let pairs = before[4..].iter().flatten().zip(after[4..].iter().flatten());
        pairs.map(|(a, b)| a - b).collect::<Vec<f64>>()
    };
    let free = moves(false, None);
    assert!(relative(&moves(true, None), &free) < 1e-14);
    // The norm is that of the trained layer's gradient alone.
    let norm = free.iter().map(|g| g * g).sum::<f64>().sqrt();
    let clipped = moves(true, Some(Clip::Norm(norm / 2.0)));
    let expected: Vec<f64> = free.iter().map(|g| g / 2.0).collect();
    assert!(relative(&clipped, &expected) < 1e-5);
}

#[test]
fn a_frozen_batch_normalization_keeps_its_statistics() {
    let device = engine::open::<f64>("cpu").unwrap();
    let builder = Network::builder(&device, 4).dense(5, Activation::Identity);
    let builder = builder.batch_norm(Activation::Relu).dense(3, Activation::Softmax);
    let mut network = builder.build().unwrap();
    let sgd = sgd(0.1);
    let builder = Trainer::builder(&mut network, Loss::SoftmaxCrossEntropy, sgd);
    let mut trainer = builder.batch(SAMPLES).build().unwrap();
    let mut samples = samples(&device);
    trainer.epoch(&mut samples).unwrap();
    trainer.freeze(1..2).unwrap();
    let statistics =
        |trainer: &Trainer<'_, f64>| trainer.layers()[1].statistics().unwrap().to_vec().unwrap();
    let (before, parameters) = (statistics(&trainer), trainer.parameters().unwrap());
    trainer.epoch(&mut samples).unwrap();
    assert_eq!(statistics(&trainer), before);
    let after = trainer.parameters().unwrap();
    assert!(parameters[0] != after[0] && parameters[2] == after[2] && parameters[3] == after[3]);
    trainer.unfreeze(1..2).unwrap();
    trainer.epoch(&mut samples).unwrap();
    assert!(statistics(&trainer) != before);
}

#[test]
fn what_cannot_be_frozen_is_refused() {
    let device = engine::open::<f64>("cpu").unwrap();
    let mut network = network(&device, Activation::Identity);
    let mut trainer = Trainer::builder(&mut network, Loss::Quadratic, sgd(1.0)).build().unwrap();
    let text = |error: Result<(), Error>| error.unwrap_err().to_string();
    assert!(text(trainer.freeze(0..3)).contains("at least one layer must be trained"));
    assert!(text(trainer.freeze(2..4)).contains("layers 2..4; the network has 3"));
    trainer.freeze(0..2).unwrap();
    assert!(text(trainer.freeze(2..3)).contains("at least one"));
    assert_eq!(trainer.frozen(), [true, true, false]);
    trainer.unfreeze(0..1).unwrap();
    assert_eq!(trainer.frozen(), [false, true, false]);
}

#[test]
fn schedules_from_functions() {
    let device = engine::open::<f64>("cpu").unwrap();
    let (x, t) = (inputs(&device), matrix(&device, 3, &one_hot(3, SAMPLES)));
    let run = |schedule: Schedule| {
        let mut network = network(&device, Activation::Softmax);
        let builder = Trainer::builder(&mut network, Loss::SoftmaxCrossEntropy, sgd(0.5));
        let mut trainer = builder.batch(SAMPLES).schedule(schedule).build().unwrap();
        let mut rates = Vec::new();
        for _ in 0..5 {
            rates.push(trainer.learning_rate().unwrap());
            trainer.step(x.view(), t.view()).unwrap();
        }
        (rates, trainer.parameters().unwrap())
    };
    let step = run(Schedule::Step { every: 2, factor: 0.5 });
    assert_eq!(step.0, [0.5, 0.5, 0.25, 0.25, 0.125]);
    assert_eq!(run(Schedule::from_fn(|t| 0.5f64.powi((t / 2) as i32))), step);
    let mut network = network(&device, Activation::Softmax);
    let builder = Trainer::builder(&mut network, Loss::SoftmaxCrossEntropy, sgd(0.5));
    let schedule = Schedule::from_fn(|t| if t < 1 { 1.0 } else { -1.0 });
    let mut trainer = builder.batch(SAMPLES).schedule(schedule).build().unwrap();
    trainer.step(x.view(), t.view()).unwrap();
    let before = trainer.parameters().unwrap();
    for error in [
        trainer.step(x.view(), t.view()).err(),
        trainer.step_with(x.view(), |_, _| Ok(())).err(),
        trainer.epoch(&mut samples(&device)).err(),
    ] {
        let error = error.unwrap().to_string();
        assert!(error.contains("the function gives -1 for step 1"), "{error}");
    }
    assert_eq!(trainer.parameters().unwrap(), before);
}

#[test]
fn samples_that_borrow_nothing() {
    let data = travertine::data::digits::<f64>().unwrap();
    let owned = {
        let device = engine::open::<f64>("cpu").unwrap();
        let owned = Samples::from_dataset(&device, data.clone()).unwrap();
        let from_borrowed = Samples::new(&device, &data).unwrap().into_owned().unwrap();
        assert_eq!(owned.inputs().to_vec().unwrap(), from_borrowed.inputs().to_vec().unwrap());
        assert_eq!(owned.task(), Task::Classes);
        (owned, from_borrowed)
    };
    assert_eq!(owned.0.inputs().to_vec().unwrap(), data.features());
    assert_eq!(owned.1.targets().to_vec().unwrap(), data.target_columns().unwrap());
}

/// As `train --early-stopping` does it: a patience of 2 ends after the second loss in a row that is not lower.
#[test]
fn early_stopping_counts_and_gives_the_best_back() {
    let device = engine::open::<f64>("cpu").unwrap();
    let mut network = network(&device, Activation::Softmax);
    let builder = Trainer::builder(&mut network, Loss::SoftmaxCrossEntropy, sgd(0.5));
    let mut trainer = builder.batch(SAMPLES).build().unwrap();
    let mut samples = samples(&device);
    let mut stopping = EarlyStopping::new(2).unwrap();
    assert!(stopping.restore(&mut trainer).is_err());
    let mut seen = Vec::new();
    for loss in [f64::NAN, 3.0, 3.0, 2.0, f64::INFINITY, 2.0, 1.0] {
        trainer.epoch(&mut samples).unwrap();
        seen.push(trainer.parameters().unwrap());
        if stopping.observe(loss, &trainer).unwrap() == ControlFlow::Break(()) {
            break;
        }
    }
    let best = stopping.best().unwrap();
    assert_eq!((stopping.history().len(), best.epoch, best.loss), (6, 4, 2.0));
    assert_eq!(stopping.history()[0].loss, f64::INFINITY);
    stopping.restore(&mut trainer).unwrap();
    assert_eq!(trainer.parameters().unwrap(), seen[3]);
    assert!(EarlyStopping::<f64>::new(0).is_err());
}

/// Every setting that decides the bytes is compared; every difference is in the message; nothing is changed.
#[test]
fn snapshots_of_other_trainings_are_refused() {
    let device = engine::open::<f64>("cpu").unwrap();
    let mut samples = samples(&device);
    let loss = Loss::SoftmaxCrossEntropy;
    let snapshot = {
        let mut network = network(&device, Activation::Softmax);
        let builder = Trainer::builder(&mut network, loss, sgd(0.5)).batch(3).seed(1);
        let mut trainer = builder.build().unwrap();
        trainer.epoch(&mut samples).unwrap();
        trainer.snapshot(&mut samples).unwrap()
    };
    let mut refused = |loss,
                       rate,
                       change: &dyn Fn(
        travertine::TrainerBuilder<'_, f64>,
    ) -> travertine::TrainerBuilder<'_, f64>| {
        let mut network = network(&device, Activation::Softmax);
        let builder = Trainer::builder(&mut network, loss, sgd(rate)).batch(3).seed(1);
        let mut trainer = change(builder).build().unwrap();
        let before = trainer.parameters().unwrap();
        let result = trainer.restore(&snapshot, &mut samples);
        let is_same = trainer.parameters().unwrap() == before;
        assert_eq!(is_same, result.is_err());
        result.err().map_or(String::new(), |error| error.to_string())
    };
    assert_eq!(refused(loss, 0.5, &|builder| builder), "");
    let dropout = Dropout { inputs: 0.1, hidden: 0.0 };
    let scale = LossScale { initial: 4.0, growth_interval: 9 };
    let cases: [(String, &str); 9] = [
        (refused(Loss::Quadratic, 0.5, &|b| b), "loss was softmax_cross_entropy, is quadratic"),
        (refused(loss, 0.25, &|b| b), "optimizer was sgd(0.5), is sgd(0.25)"),
        (refused(loss, 0.5, &|b| b.batch(2)), "batch was 3, is 2"),
        (refused(loss, 0.5, &|b| b.seed(2)), "seed was 1, is 2"),
        (
            refused(loss, 0.5, &|b| b.schedule(Schedule::WarmUp { steps: 3 })),
            "schedule was constant, is warm-up(steps 3)",
        ),
        (refused(loss, 0.5, &|b| b.clip(Clip::Norm(2.0))), "clip was none, is norm 2"),
        (refused(loss, 0.5, &|b| b.dropout(dropout)), "dropout was none, is inputs 0.1, hidden 0"),
        (refused(loss, 0.5, &|b| b.max_norm(3.0)), "max norm was none, is 3"),
        (
            refused(loss, 0.5, &|b| b.loss_scale(scale)),
            "loss scale was none, is initial 4, growth interval 9",
        ),
    ];
    for (error, part) in cases {
        assert!(error.contains("restore: the snapshot is of another training"), "{error}");
        assert!(error.contains(part), "'{error}' lacks '{part}'");
    }
    let error = refused(Loss::Quadratic, 0.25, &|b| b.seed(2));
    assert_eq!(error.matches(" was ").count(), 3, "{error}");
    // Another activation has the same matrices; so does another optimizer's state of the same shapes.
    let mut other = self::network(&device, Activation::Identity);
    let mut trainer =
        Trainer::builder(&mut other, loss, sgd(0.5)).batch(3).seed(1).build().unwrap();
    let error = trainer.restore(&snapshot, &mut samples).unwrap_err().to_string();
    assert!(
        error.contains("network was 4 -> 5 tanh -> 6 sigmoid -> 3 softmax, is 4 -> "),
        "{error}"
    );
    let mut other = self::network(&device, Activation::Softmax);
    let mut trainer =
        Trainer::builder(&mut other, loss, sgd(0.5)).batch(3).seed(1).build().unwrap();
    trainer.freeze(0..1).unwrap();
    let error = trainer.restore(&snapshot, &mut samples).unwrap_err().to_string();
    assert!(error.contains("frozen was none, is layers 0"), "{error}");
}

/// A file that was written before snapshots had settings still loads: what it lacks is not checked.
#[test]
fn checkpoints_without_settings_load() {
    let device = engine::open::<f64>("cpu").unwrap();
    let mut samples = samples(&device);
    let path = std::env::temp_dir().join(format!("travertine-hooks-{}", std::process::id()));
    let mut network = network(&device, Activation::Softmax);
    let builder = Trainer::builder(&mut network, Loss::SoftmaxCrossEntropy, sgd(0.5));
    let mut trainer = builder.batch(3).build().unwrap();
    trainer.epoch(&mut samples).unwrap();
    let snapshot = trainer.snapshot(&mut samples).unwrap();
    model_file::save_checkpoint(&path, &snapshot, "").unwrap();
    // The entry in the header under a name that nothing reads, and as long as before.
    let bytes = std::fs::read(&path).unwrap();
    let name = b"settings";
    let at = bytes.windows(name.len()).position(|part| part == name).unwrap();
    let mut older = bytes.clone();
    older[at..at + name.len()].copy_from_slice(b"unknowns");
    std::fs::write(&path, older).unwrap();
    let (older, _) = model_file::load_checkpoint::<f64>(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    assert!(older != snapshot);
    let mut other = self::network(&device, Activation::Softmax);
    let builder = Trainer::builder(&mut other, Loss::SoftmaxCrossEntropy, sgd(0.25));
    let mut trainer = builder.batch(3).build().unwrap();
    assert!(trainer.restore(&snapshot, &mut samples).is_err());
    trainer.restore(&older, &mut samples).unwrap();
    assert_eq!(trainer.steps(), 2);
}
