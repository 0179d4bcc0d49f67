//! Loss scaling, on every engine: exact where nothing overflows, skipped steps where something does, and nothing lost on the way.

use std::sync::Arc;

use crate::common::{engines, one_hot, random};
use travertine::data::Task;
use travertine::engine::{self, Engine};
use travertine::optimizer::{Adam, Clip, Optimizer, Sgd};
use travertine::{
    Activation, Dropout, Error, ErrorKind, Init, Loss, LossScale, Matrix, Network, Samples, Scalar,
    Trainer, model_file,
};

/// A bound that bounds nothing, so that gradients are collected as they are for scaling.
const NO_BOUND: Clip = Clip::Value(1e30);

fn scale(initial: f64, growth_interval: u64) -> LossScale {
    LossScale { initial, growth_interval }
}

fn network<T: Scalar>(engine: &Arc<dyn Engine<T>>) -> Network<T> {
    network_with(engine, Activation::Softmax)
}

fn network_with<T: Scalar>(engine: &Arc<dyn Engine<T>>, output: Activation) -> Network<T> {
    Network::builder(engine, 6).dense(7, Activation::Tanh).dense(3, output).seed(2).build().unwrap()
}

/// `size`: what the target of the class is.
fn samples<T: Scalar>(engine: &Arc<dyn Engine<T>>, count: usize, size: f64) -> Samples<'static, T> {
    let x = Matrix::from_slice(engine, 6, count, &random(6 * count, 4)).unwrap();
    let targets: Vec<T> =
        one_hot::<T>(3, count).into_iter().map(|t| T::from_f64(size * t.to_f64())).collect();
    let t = Matrix::from_slice(engine, 3, count, &targets).unwrap();
    Samples::from_matrices(x, t, Task::Classes).unwrap()
}

fn parameters<T: Scalar>(network: &Network<T>) -> Vec<T> {
    let layers = network.layers().iter().flat_map(|layer| [layer.weights(), layer.bias()]);
    layers.flat_map(|x| x.to_vec().unwrap()).collect()
}

fn optimizers<T: Scalar>() -> [Box<dyn Optimizer<T>>; 3] {
    let momentum = Sgd::new(0.1).unwrap().momentum(0.9).unwrap();
    [Box::new(Sgd::new(0.1).unwrap()), Box::new(momentum), Box::new(Adam::new(0.01).unwrap())]
}

/// Powers of 2 go through every product and every derivative without a trace.
fn scaling_changes_no_bit<T: Scalar>() {
    for (name, engine) in engines::<T>() {
        for which in 0..3 {
            let [plain, scaled] = [None, Some(scale(4096.0, 5))].map(|scale| {
                let mut network = network(&engine);
                let optimizer = optimizers().into_iter().nth(which).unwrap();
                let mut trainer =
                    Trainer::builder(&mut network, Loss::SoftmaxCrossEntropy, optimizer)
                        .batch(8)
                        .seed(1)
                        .clip(NO_BOUND)
                        .loss_scale(scale)
                        .build()
                        .unwrap();
                let report = trainer.epoch(&mut samples(&engine, 60, 1.0)).unwrap();
                // 8 steps, of which the fifth doubles the scale.
                assert_eq!(trainer.loss_scale(), scale.map(|scale| 2.0 * scale.initial), "{name}");
                drop(trainer);
                (report.loss, parameters(&network))
            });
            assert_eq!(plain, scaled, "{name}");
        }
    }
}

#[test]
fn scaling_changes_no_bit_of_f32() {
    scaling_changes_no_bit::<f32>();
}

#[test]
fn scaling_changes_no_bit_of_f64() {
    scaling_changes_no_bit::<f64>();
}

/// Differences of 1e9 scaled by 2^100 are no numbers of f32 any more.
#[test]
fn steps_that_overflow_are_skipped_and_halve_the_scale() {
    for (name, engine) in engines::<f32>() {
        let x = Matrix::from_slice(&engine, 2, 2, &[1.0, -2.0, 3.0, 1.0]).unwrap();
        let t = Matrix::from_slice(&engine, 1, 2, &[2e9, -1e9]).unwrap();
        let build = || {
            Network::builder(&engine, 2)
                .dense(1, Activation::Identity)
                .init(Init::Zeros)
                .build()
                .unwrap()
        };
        // Adam counts its steps: one that is skipped must not count.
        let adam = || Adam::new(0.1).unwrap();
        let (mut network, mut twin) = (build(), build());
        let mut plain =
            Trainer::builder(&mut twin, Loss::Quadratic, adam()).batch(2).seed(1).build().unwrap();
        let mut trainer = Trainer::builder(&mut network, Loss::Quadratic, adam())
            .batch(2)
            .seed(1)
            .loss_scale(scale(2f64.powi(100), 1000))
            .build()
            .unwrap();
        let mut scales = Vec::new();
        for _ in 0..14 {
            trainer.step(x.view(), t.view()).unwrap();
            scales.push(trainer.loss_scale().unwrap().log2());
        }
        let skipped = trainer.skipped_steps();
        assert!((2..12).contains(&skipped), "{name}: {skipped}");
        let expected = (1..=14).map(|step| 100.0 - (step as f64).min(skipped as f64));
        assert_eq!(scales, expected.collect::<Vec<_>>(), "{name}");
        for _ in skipped..14 {
            plain.step(x.view(), t.view()).unwrap();
        }
        drop((trainer, plain));
        assert_eq!(parameters(&network), parameters(&twin), "{name}");
        assert!(parameters(&network).iter().all(|w| w.is_finite() && *w != 0.0), "{name}");
    }
}

#[test]
fn the_scale_doubles_after_good_steps_in_a_row() {
    let cpu = engine::open::<f32>("cpu").unwrap();
    let mut network = network(&cpu);
    let mut trainer =
        Trainer::builder(&mut network, Loss::SoftmaxCrossEntropy, Sgd::new(0.1).unwrap())
            .batch(4)
            .seed(1)
            .loss_scale(scale(8.0, 3))
            .build()
            .unwrap();
    let x = Matrix::from_slice(&cpu, 6, 4, &random(24, 1)).unwrap();
    let t = Matrix::from_slice(&cpu, 3, 4, &one_hot(3, 4)).unwrap();
    let huge = Matrix::from_slice(&cpu, 6, 4, &[f32::INFINITY; 24]).unwrap();
    let mut scale_after = |x: &Matrix<f32>| {
        trainer.step(x.view(), t.view()).unwrap();
        trainer.loss_scale().unwrap()
    };
    let scales: Vec<f64> = [&x, &x, &x, &x, &x, &huge, &x, &x, &x].map(&mut scale_after).to_vec();
    assert_eq!(scales, [8.0, 8.0, 16.0, 16.0, 16.0, 8.0, 8.0, 8.0, 16.0]);
    drop(trainer);
    assert!(parameters(&network).iter().all(|w| w.is_finite()));
}

/// Numbers that are not finite even without scaling are reported at the same step and layer, and leave the last good parameters.
#[test]
fn divergence_is_reported_as_without_scaling() {
    for (name, engine) in engines::<f32>() {
        let reports = [None, Some(scale(4.0, 2))].map(|scale| {
            let mut network = network(&engine);
            let mut trainer =
                Trainer::builder(&mut network, Loss::SoftmaxCrossEntropy, Sgd::new(1e38).unwrap())
                    .batch(4)
                    .seed(1)
                    .clip(NO_BOUND)
                    .loss_scale(scale)
                    .build()
                    .unwrap();
            let error = trainer.epoch(&mut samples(&engine, 32, 1.0)).unwrap_err();
            assert_eq!(
                trainer.loss_scale(),
                scale.map(|scale| scale.initial),
                "{name}: back to before the epoch"
            );
            drop(trainer);
            assert!(parameters(&network).iter().all(|w| w.is_finite()), "{name}");
            place(&error)
        });
        assert_eq!(reports[0], reports[1], "{name}");
    }
}

fn place(error: &Error) -> (u64, u64, usize, &'static str) {
    match *error.kind() {
        ErrorKind::Diverged { step, epoch, layer, what } => (step, epoch, layer, what),
        _ => panic!("{error}"),
    }
}

/// A training that is left in the middle of an epoch and gone on with, through a file, ends with the same bits and scale.
#[test]
fn snapshots_hold_the_scale() {
    let cpu = engine::open::<f32>("cpu").unwrap();
    let build = || network_with(&cpu, Activation::Identity);
    let trainer = |network| {
        Trainer::builder(network, Loss::Quadratic, Adam::new(0.01).unwrap())
            .batch(8)
            .seed(1)
            .dropout(Dropout { inputs: 0.0, hidden: 0.3 })
            .loss_scale(scale(2f64.powi(100), 7))
            .build()
            .unwrap()
    };
    // Large targets, so that the first steps overflow.
    let data = || samples(&cpu, 70, 1e9);
    let (mut network, mut twin) = (build(), build());
    let (mut all, mut part) = (data(), data());
    let mut whole = trainer(&mut network);
    for _ in 0..3 {
        whole.epoch(&mut all).unwrap();
    }
    let mut first = trainer(&mut twin);
    first.epoch(&mut part).unwrap();
    let mut steps = 0;
    let stop = |_: travertine::Progress<'_, f32>| {
        steps += 1;
        Ok(if steps == 4 {
            std::ops::ControlFlow::Break(())
        } else {
            std::ops::ControlFlow::Continue(())
        })
    };
    assert!(first.epoch_until(&mut part, stop).unwrap().is_none());
    assert!(first.skipped_steps() > 0);
    let path = std::env::temp_dir()
        .join(format!("travertine-loss-scale-{}.safetensors", std::process::id()));
    model_file::save_checkpoint(&path, &first.snapshot(&mut part).unwrap(), "").unwrap();
    let (snapshot, _) = model_file::load_checkpoint::<f32>(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    drop(first);

    let (mut third, mut rest) = (build(), data());
    let mut second = trainer(&mut third);
    second.restore(&snapshot, &mut rest).unwrap();
    second.epoch(&mut rest).unwrap();
    second.epoch(&mut rest).unwrap();
    assert_eq!(
        (second.loss_scale(), second.skipped_steps()),
        (whole.loss_scale(), whole.skipped_steps())
    );
    assert_eq!(second.steps(), whole.steps());
    drop((whole, second));
    assert_eq!(parameters(&third), parameters(&network));

    let mut other = build();
    let mut unscaled = Trainer::builder(&mut other, Loss::Quadratic, Adam::new(0.01).unwrap())
        .batch(8)
        .seed(1)
        .build()
        .unwrap();
    let error = unscaled.restore(&snapshot, &mut rest).unwrap_err().to_string();
    assert!(error.contains("the loss is scaled in the snapshot, here it is not"), "{error}");
}

#[test]
fn scales_that_make_no_sense_are_refused() {
    let cpu = engine::open::<f32>("cpu").unwrap();
    for (initial, growth_interval, part) in [
        (0.0, 1, "power of 2"),
        (3.0, 1, "not 3"),
        (0.5, 1, "from 1"),
        (-2.0, 1, "power of 2"),
        (f64::NAN, 1, "not NaN"),
        (f64::INFINITY, 1, "not inf"),
        (2f64.powi(101), 1, "2^100"),
        (2.0, 0, "1 to 16777216 steps, not 0"),
        (2.0, 1 << 25, "1 to 16777216"),
    ] {
        let mut network = network(&cpu);
        let trainer =
            Trainer::builder(&mut network, Loss::SoftmaxCrossEntropy, Sgd::new(0.1).unwrap())
                .batch(4)
                .seed(1)
                .loss_scale(scale(initial, growth_interval));
        let error = trainer.build().err().unwrap().to_string();
        assert!(error.contains(part), "{error}");
    }
}
