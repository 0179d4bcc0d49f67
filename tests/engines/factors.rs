//! Factors of single parameters, and regularization that fades: against a plain loop over the formulas in f64.

use crate::common::{engines, random};
use travertine::optimizer::{Adam, Optimizer, Schedule, Sgd, WeightDecay};
use travertine::trainer::Factors;
use travertine::{
    Activation, Dropout, ErrorKind, Init, Loss, Matrix, Network, Samples, Trainer, data,
};

const INPUTS: usize = 3;
const OUTPUTS: usize = 2;
const SAMPLES: usize = 8;
const STEPS: usize = 12;
const RATE: f64 = 0.1;
const DECAY: f64 = 0.3;
const FACTORS: [Factors; 2] =
    [Factors { rate: 0.5, decay: 2.0 }, Factors { rate: 0.1, decay: 0.0 }];

/// 1 for half of the steps, then down to 0.
fn fading(step: usize) -> f64 {
    let share = step as f64 / STEPS as f64;
    (1.0 + (std::f64::consts::PI * ((2.0 * share).max(1.0) - 1.0)).cos()) / 2.0
}

/// The mean gradients of `|W x + b - t|^2 / 2` by W (column-major) and b.
fn gradients(w: &[f64], b: &[f64], x: &[f64], t: &[f64]) -> [Vec<f64>; 2] {
    let (mut of_w, mut of_b) = (vec![0.0; w.len()], vec![0.0; b.len()]);
    for s in 0..SAMPLES {
        for i in 0..OUTPUTS {
            let z: f64 = (0..INPUTS).map(|j| w[i + j * OUTPUTS] * x[j + s * INPUTS]).sum();
            let delta = (z + b[i] - t[i + s * OUTPUTS]) / SAMPLES as f64;
            of_b[i] += delta;
            (0..INPUTS).for_each(|j| of_w[i + j * OUTPUTS] += delta * x[j + s * INPUTS]);
        }
    }
    [of_w, of_b]
}

/// Weights and bias after all steps; `update`: of one parameter by its gradient, with rate, decay, moments and step.
fn reference(
    start: [Vec<f64>; 2],
    x: &[f64],
    t: &[f64],
    update: impl Fn(&mut f64, f64, [f64; 2], &mut [f64; 2], usize),
) -> Vec<f64> {
    let mut parameters = start;
    let mut moments = parameters.each_ref().map(|p| vec![[0.0; 2]; p.len()]);
    for step in 0..STEPS {
        let gradients = gradients(&parameters[0], &parameters[1], x, t);
        for (kind, factors) in FACTORS.iter().enumerate() {
            let scale = [RATE * factors.rate, DECAY * factors.decay * fading(step)];
            let all = parameters[kind].iter_mut().zip(&gradients[kind]).zip(&mut moments[kind]);
            all.for_each(|((w, g), m)| update(w, *g, scale, m, step));
        }
    }
    parameters.concat()
}

fn trains_as(
    optimizer: impl Fn() -> Box<dyn Optimizer<f64>>,
    update: impl Fn(&mut f64, f64, [f64; 2], &mut [f64; 2], usize) + Copy,
) {
    let (x, t) = (random::<f64>(INPUTS * SAMPLES, 1), random::<f64>(OUTPUTS * SAMPLES, 2));
    for (words, engine) in engines::<f64>() {
        let mut network = Network::builder(&engine, INPUTS)
            .dense(OUTPUTS, Activation::Identity)
            .seed(3)
            .build()
            .unwrap();
        let layer = &network.layers()[0];
        let start = [layer.weights().to_vec().unwrap(), layer.bias().to_vec().unwrap()];
        let expected = reference(start, &x, &t, update);
        let mut trainer = Trainer::builder(&mut network, Loss::Quadratic, optimizer())
            .batch(SAMPLES)
            .factors(vec![FACTORS])
            .fade_regularization(Schedule::FlatCosine { steps: STEPS as u64 })
            .build()
            .unwrap();
        let x = Matrix::from_slice(&engine, INPUTS, SAMPLES, &x).unwrap();
        let t = Matrix::from_slice(&engine, OUTPUTS, SAMPLES, &t).unwrap();
        (0..STEPS).for_each(|_| trainer.step(x.view(), t.view()).unwrap());
        let ours = trainer.parameters().unwrap().concat();
        for (ours, expected) in ours.iter().zip(&expected) {
            assert!((ours - expected).abs() < 1e-12, "{words}: {ours} for {expected}");
        }
    }
}

#[test]
fn every_parameter_has_its_own_rate_and_decay() {
    // Gradient descent writes into the parameters themselves, momentum into a velocity, Adam reads the gradient.
    let l2 = |optimizer: Sgd| optimizer.weight_decay(WeightDecay::L2(DECAY)).unwrap();
    trains_as(
        || Box::new(l2(Sgd::new(RATE).unwrap())),
        |w, g, [rate, decay], _, _| *w -= rate * (g + decay * *w),
    );
    trains_as(
        || Box::new(l2(Sgd::new(RATE).unwrap().momentum(0.9).unwrap())),
        |w, g, [rate, decay], [v, _], _| {
            *v = 0.9 * *v + (g + decay * *w);
            *w -= rate * *v;
        },
    );
    trains_as(
        || {
            let adam = Adam::new(RATE).unwrap().betas(0.9, 0.95).unwrap();
            Box::new(adam.weight_decay(WeightDecay::Decoupled(DECAY)).unwrap())
        },
        |w, g, [rate, decay], [m, v], step| {
            (*m, *v) = (0.9 * *m + 0.1 * g, 0.95 * *v + 0.05 * g * g);
            let t = step as i32 + 1;
            let (first, second) = (*m / (1.0 - 0.9f64.powi(t)), *v / (1.0 - 0.95f64.powi(t)));
            *w -= rate * (first / (second.sqrt() + 1e-8) + decay * *w);
        },
    );
}

/// In the neural tangent parametrization z = W x / sqrt(inputs) + b, with W and b trained by Adam with one rate.
#[test]
fn tangent_factors_train_as_the_parametrization_does() {
    let engine = travertine::engine::open::<f64>("cpu").unwrap();
    let mut network = Network::builder(&engine, 64)
        .dense(16, Activation::Tanh)
        .dense(4, Activation::Identity)
        .init(Init::Lecun)
        .build()
        .unwrap();
    let others = Factors { rate: 0.1, decay: 0.0 };
    let factors = Factors::tangent(&network, others);
    assert_eq!(factors[0], [Factors { rate: 0.125, decay: 8.0 }, others]);
    assert_eq!(factors[1], [Factors { rate: 0.25, decay: 4.0 }, others]);
    let refused = |factors: Vec<[Factors; 2]>, network: &mut Network<f64>, word: &str| {
        let built = Trainer::builder(network, Loss::Quadratic, Adam::new(0.1).unwrap())
            .factors(factors)
            .build();
        let error = built.err().expect("factors that are refused");
        assert!(error.to_string().contains(word), "{error}");
    };
    refused(vec![FACTORS], &mut network, "1 pairs for 2 layers");
    let negative = [Factors { rate: -1.0, decay: 0.0 }, others];
    refused(vec![negative; 2], &mut network, "not -1");
}

#[test]
fn dropout_fades() {
    let (digits, _) = data::digits().unwrap().split(0.5, 1).unwrap();
    for (words, engine) in engines::<f32>() {
        let train = |dropout: f64, fading: Schedule| {
            let mut network = Network::builder(&engine, 64)
                .dense(20, Activation::Relu)
                .dense(10, Activation::Softmax)
                .build()
                .unwrap();
            let mut samples = Samples::new(&engine, &digits).unwrap();
            let mut trainer =
                Trainer::builder(&mut network, Loss::SoftmaxCrossEntropy, Sgd::new(0.1).unwrap())
                    .batch(50)
                    .dropout(Dropout { inputs: 0.0, hidden: dropout })
                    .fade_regularization(fading)
                    .build()
                    .unwrap();
            trainer.epoch(&mut samples).unwrap().loss
        };
        let steps = digits.samples().div_ceil(50) as u64;
        let [constant, fading, gone, none] = [
            train(0.5, Schedule::Constant),
            train(0.5, Schedule::FlatCosine { steps }),
            train(0.5, Schedule::Cosine { steps: 1, last: 1.0 }),
            train(1e-12, Schedule::Constant),
        ];
        assert!(none < fading && fading < constant, "{words}: {none} {fading} {constant}");
        assert_eq!(gone, constant, "{words}: a factor of 1 changes nothing");
    }
}

fn build<'n>(
    network: &'n mut Network<f32>,
    factors: Option<Vec<[Factors; 2]>>,
    fading: Schedule,
) -> Trainer<'n, f32> {
    Trainer::builder(network, Loss::SoftmaxCrossEntropy, Adam::new(0.01).unwrap())
        .factors(factors)
        .fade_regularization(fading)
        .build()
        .unwrap()
}

#[test]
fn a_snapshot_is_of_one_recipe() {
    let engine = travertine::engine::open::<f32>("cpu").unwrap();
    let (digits, _) = data::digits().unwrap().split(0.5, 1).unwrap();
    let mut samples = Samples::new(&engine, &digits).unwrap();
    let mut network = Network::builder(&engine, 64).dense(10, Activation::Softmax).build().unwrap();
    let snapshot = {
        let mut trainer = build(&mut network, Some(vec![FACTORS]), Schedule::Constant);
        trainer.epoch(&mut samples).unwrap();
        trainer.snapshot(&mut samples).unwrap()
    };
    for (factors, fading, word) in [
        (None, Schedule::Constant, "factors"),
        (Some(vec![[FACTORS[0]; 2]]), Schedule::Constant, "factors"),
        (Some(vec![FACTORS]), Schedule::FlatCosine { steps: 9 }, "regularization fades"),
    ] {
        let error =
            build(&mut network, factors, fading).restore(&snapshot, &mut samples).unwrap_err();
        assert!(error.to_string().contains(word), "{error}");
    }
    build(&mut network, Some(vec![FACTORS]), Schedule::Constant)
        .restore(&snapshot, &mut samples)
        .unwrap();
    for schedule in [
        Schedule::Plateau { patience: 1, factor: 0.5 },
        Schedule::Cosine { steps: 1, last: 1.5 },
        Schedule::from_fn(|_| 2.0),
    ] {
        let built =
            Trainer::builder(&mut network, Loss::SoftmaxCrossEntropy, Adam::new(0.01).unwrap())
                .fade_regularization(schedule)
                .build();
        assert!(matches!(built.err().unwrap().kind(), ErrorKind::Argument { .. }));
    }
}
