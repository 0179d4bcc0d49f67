//! Learning-rate schedules: published formulas, and what a trainer makes of them.

use crate::common::{self, random, rates};
use travertine::optimizer::{Schedule, Sgd};
use travertine::{Activation, Loss, Matrix, Network, Trainer};

#[test]
fn schedules_are_their_formulas() {
    let close = |schedule: Schedule, t: u64, expected: f64| {
        let factor = schedule.factor(t);
        assert!((factor - expected).abs() < 1e-15, "{schedule:?} at {t}: {factor} for {expected}");
    };
    for t in [0, 1, 5, 9, 10, 11, 99, 100, 1000] {
        let real = t as f64;
        close(Schedule::Constant, t, 1.0);
        close(Schedule::Step { every: 10, factor: 0.5 }, t, 0.5_f64.powi(t as i32 / 10));
        close(Schedule::Exponential { factor: 0.99 }, t, 0.99_f64.powi(t as i32));
        let wave = (1.0 + (std::f64::consts::PI * real.min(100.0) / 100.0).cos()) / 2.0;
        close(Schedule::Cosine { steps: 100, last: 0.2 }, t, 0.2 + 0.8 * wave);
        close(Schedule::WarmUp { steps: 10 }, t, ((real + 1.0) / 10.0).min(1.0));
    }
    // Holzmüller et al. 2024, appendix A: coslog4 is 0 where log2(1 + 15 t) is whole, and 1 halfway between in this logarithm.
    let waves = Schedule::CosLog { steps: 1500, cycles: 4 };
    for (t, expected) in [(0, 0.0), (100, 0.0), (300, 0.0), (700, 0.0), (1500, 0.0), (9999, 0.0)] {
        assert!((waves.factor(t) - expected).abs() < 1e-12, "{t}: {}", waves.factor(t));
    }
    for wave in 0..4 {
        let share = ((f64::from(wave) + 0.5).exp2() - 1.0) / 15.0;
        let peak = Schedule::CosLog { steps: 1_000_000, cycles: 4 };
        assert!((peak.factor((share * 1e6).round() as u64) - 1.0).abs() < 1e-9);
    }
    let flat = Schedule::FlatCosine { steps: 100 };
    for (t, expected) in [(0, 1.0), (50, 1.0), (75, 0.5), (100, 0.0), (200, 0.0)] {
        close(flat.clone(), t, expected);
    }
    let cycle = Schedule::OneCycle { steps: 100 };
    for (t, expected) in [(0, 0.04), (29, 1.0), (64, (1.0 + 4e-6) / 2.0), (99, 4e-6), (500, 4e-6)] {
        close(cycle.clone(), t, expected);
    }
    for steps in 1..5 {
        let factors: Vec<f64> = (0..6).map(|t| Schedule::OneCycle { steps }.factor(t)).collect();
        assert!(factors.iter().all(|factor| (4e-6..=1.0).contains(factor)), "{steps}: {factors:?}");
    }
    // Three epochs without progress are put up with, a NaN is none, and 0.01 % less is not enough.
    let plateau = Schedule::Plateau { patience: 3, factor: 0.5 };
    let losses = [1.0, 1.0, 0.99995, f64::NAN, 1.0, 0.9, 0.9, 0.9, 0.9, 0.9, 0.9];
    assert_eq!(rates(plateau, &losses), [1.0, 1.0, 1.0, 1.0, 1.0, 0.5, 0.5, 0.5, 0.5, 0.5, 0.25]);
}

/// Training goes on at the rate that a schedule has ended with.
#[test]
fn schedules_that_end_before_training_does() {
    for (words, engine) in common::engines::<f64>() {
        let x = Matrix::from_slice(&engine, 3, 8, &random(24, 1)).unwrap();
        let t = Matrix::from_slice(&engine, 2, 8, &random(16, 2)).unwrap();
        let build =
            || Network::builder(&engine, 3).dense(2, Activation::Tanh).seed(4).build().unwrap();
        let ends = [
            (Schedule::Cosine { steps: 3, last: 0.25 }, 0.25),
            (Schedule::WarmUp { steps: 3 }, 1.0),
            (Schedule::OneCycle { steps: 3 }, 1.0 / 250_000.0),
            (Schedule::FlatCosine { steps: 3 }, 0.0),
        ];
        for (schedule, last) in ends {
            let (mut network, mut plain) = (build(), build());
            let mut trainer =
                Trainer::builder(&mut network, Loss::Quadratic, Sgd::new(0.5).unwrap())
                    .batch(8)
                    .seed(1)
                    .schedule(schedule.clone())
                    .build()
                    .unwrap();
            (0..3).for_each(|_| trainer.step(x.view(), t.view()).unwrap());
            assert!(
                (trainer.rate_factor() - last).abs() <= 1e-12 * last,
                "{schedule:?}: {}",
                trainer.rate_factor()
            );
            let mut constant =
                Trainer::builder(&mut plain, Loss::Quadratic, Sgd::new(0.5 * last).unwrap())
                    .batch(8)
                    .seed(1)
                    .build()
                    .unwrap();
            constant.set_parameters(&trainer.parameters().unwrap()).unwrap();
            for _ in 0..5 {
                trainer.step(x.view(), t.view()).unwrap();
                constant.step(x.view(), t.view()).unwrap();
            }
            let (ours, theirs) =
                (trainer.parameters().unwrap().concat(), constant.parameters().unwrap().concat());
            assert!(
                ours.iter().zip(&theirs).all(|(a, b)| (a - b).abs() < 1e-14),
                "{words} {schedule:?}"
            );
        }
    }
}
