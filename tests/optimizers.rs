//! Optimizers, clipping and schedules against the published formulas in f64 and against PyTorch, on every engine.

mod common;

use std::sync::Arc;

use common::{Layer, random};
use travertine::engine::Engine;
use travertine::optimizer::{Adam, Clip, Optimizer, RmsProp, Schedule, Sgd, WeightDecay};
use travertine::{Activation, Loss, Matrix, Network, Scalar, Trainer};

#[derive(Clone, Copy, Debug)]
enum Rule {
    Plain,
    Momentum(f64),
    Nesterov(f64),
    /// Smoothing, epsilon.
    RmsProp(f64, f64),
    /// Betas, epsilon.
    Adam(f64, f64, f64),
}

/// An optimizer with all of its options.
#[derive(Clone, Copy, Debug)]
struct Case {
    rule: Rule,
    rate: f64,
    decay: WeightDecay,
    clip: Option<Clip>,
    schedule: Schedule,
}

/// Of every rule with every decay and every clip.
fn cases() -> Vec<Case> {
    let rules = [
        (Rule::Plain, 0.5),
        (Rule::Momentum(0.9), 0.2),
        (Rule::Nesterov(0.8), 0.2),
        (Rule::RmsProp(0.9, 1e-4), 0.01),
        (Rule::Adam(0.9, 0.999, 1e-8), 0.01),
        (Rule::Adam(0.7, 0.95, 1e-3), 0.02),
    ];
    let decays = [WeightDecay::None, WeightDecay::L2(0.03), WeightDecay::Decoupled(0.05)];
    let clips = [None, Some(Clip::Value(0.003)), Some(Clip::Norm(0.1))];
    let mut cases = Vec::new();
    for (rule, rate) in rules {
        for (i, decay) in decays.into_iter().enumerate() {
            for (j, clip) in clips.into_iter().enumerate() {
                let schedule = if i == j { Schedule::Exponential { factor: 0.95 } } else { Schedule::Constant };
                cases.push(Case { rule, rate, decay, clip, schedule });
            }
        }
    }
    cases
}

impl Case {
    fn optimizer<T: Scalar>(&self) -> Box<dyn Optimizer<T>> {
        let sgd = Sgd::new(self.rate).unwrap().weight_decay(self.decay).unwrap();
        match self.rule {
            Rule::Plain => Box::new(sgd),
            Rule::Momentum(momentum) => Box::new(sgd.momentum(momentum).unwrap()),
            Rule::Nesterov(momentum) => Box::new(sgd.nesterov(momentum).unwrap()),
            Rule::RmsProp(smoothing, epsilon) => {
                let plain = RmsProp::new(self.rate).unwrap().weight_decay(self.decay).unwrap();
                Box::new(plain.smoothing(smoothing).unwrap().epsilon(epsilon).unwrap())
            }
            Rule::Adam(first, second, epsilon) => {
                let plain = Adam::new(self.rate).unwrap().weight_decay(self.decay).unwrap();
                Box::new(plain.betas(first, second).unwrap().epsilon(epsilon).unwrap())
            }
        }
    }

    /// One element w with gradient g and moments [m, v] in update t, counted from 1, as the papers write it.
    fn update(&self, w: &mut f64, mut g: f64, [m, v]: &mut [f64; 2], rate: f64, t: i32) {
        let before = *w;
        if let WeightDecay::L2(decay) = self.decay {
            g += decay * *w;
        }
        match self.rule {
            Rule::Plain => *w -= rate * g,
            Rule::Momentum(momentum) => {
                *v = momentum * *v + g;
                *w -= rate * *v;
            }
            Rule::Nesterov(momentum) => {
                *v = momentum * *v + g;
                *w -= rate * (g + momentum * *v);
            }
            Rule::RmsProp(smoothing, epsilon) => {
                *v = smoothing * *v + (1.0 - smoothing) * g * g;
                *w -= rate * g / (v.sqrt() + epsilon);
            }
            Rule::Adam(first, second, epsilon) => {
                *m = first * *m + (1.0 - first) * g;
                *v = second * *v + (1.0 - second) * g * g;
                let (m, v) = (*m / (1.0 - first.powi(t)), *v / (1.0 - second.powi(t)));
                *w -= rate * m / (v.sqrt() + epsilon);
            }
        }
        if let WeightDecay::Decoupled(decay) = self.decay {
            *w -= rate * decay * before;
        }
    }

    fn clipped(&self, gradients: &mut [[Vec<f64>; 2]]) {
        let all = || gradients.iter().flatten().flatten();
        let factor = match self.clip {
            Some(Clip::Norm(most)) => (most / (all().map(|g| g * g).sum::<f64>().sqrt() + 1e-6)).min(1.0),
            _ => 1.0,
        };
        let bound = if let Some(Clip::Value(bound)) = self.clip { bound } else { f64::INFINITY };
        gradients.iter_mut().flatten().flatten().for_each(|g| *g = (factor * *g).clamp(-bound, bound));
    }
}

const STEPS: usize = 12;
const BATCH: usize = 3;

/// Samples one after the other, another batch for every step.
fn samples(inputs: usize, outputs: usize) -> (Vec<f64>, Vec<f64>) {
    let positive = |x: f64| (x + 1.0) / 2.0;
    let t = random::<f32>(outputs * BATCH * STEPS, 4).into_iter().map(|t| positive(f64::from(t)));
    (random::<f32>(inputs * BATCH * STEPS, 3).into_iter().map(f64::from).collect(), t.collect())
}

fn rows(values: &[f64], length: usize, step: usize) -> Vec<Vec<f64>> {
    values.chunks(length).skip(step * BATCH).take(BATCH).map(<[f64]>::to_vec).collect()
}

/// After every step all parameters, layer by layer.
fn reference(case: &Case, mut layers: Vec<Layer>, (x, t): &(Vec<f64>, Vec<f64>)) -> Vec<Vec<f64>> {
    let (inputs, outputs) = (layers[0].weights.len() / layers[0].bias.len(), layers[layers.len() - 1].bias.len());
    let mut moments = vec![[0.0; 2]; flat(&layers).len()];
    let mut states = Vec::new();
    for step in 0..STEPS {
        let mut gradients = common::gradients(&layers, &rows(x, inputs, step), &rows(t, outputs, step));
        let free = gradients.clone();
        case.clipped(&mut gradients);
        assert_eq!(step == 0 && case.clip.is_some(), step == 0 && gradients != free, "a bound that nothing meets");
        let rate = case.rate * case.schedule.factor(step as u64);
        let parameters = layers.iter_mut().flat_map(|layer| layer.weights.iter_mut().chain(&mut layer.bias));
        for ((w, g), moments) in parameters.zip(gradients.iter().flatten().flatten()).zip(&mut moments) {
            case.update(w, *g, moments, rate, step as i32 + 1);
        }
        states.push(flat(&layers));
    }
    states
}

fn flat(layers: &[Layer]) -> Vec<f64> {
    layers.iter().flat_map(|layer| layer.weights.iter().chain(&layer.bias).copied()).collect()
}

fn network<T: Scalar>(engine: &Arc<dyn Engine<T>>, [inputs, hidden, outputs]: [usize; 3]) -> Network<T> {
    let builder = Network::builder(engine, inputs).dense(hidden, Activation::Tanh).dense(outputs, Activation::Sigmoid);
    let mut network = builder.seed(5).build().unwrap();
    let bias: Vec<T> = random(hidden, 8); // not 0, so that its decay is seen
    network.layers_mut()[0].bias_mut().write(&bias).unwrap();
    network
}

/// The same from the library.
fn ours<T: Scalar>(case: &Case, network: &mut Network<T>, (x, t): &(Vec<f64>, Vec<f64>)) -> Vec<Vec<f64>> {
    let (engine, inputs, outputs) = (Arc::clone(network.engine()), network.inputs(), network.outputs());
    let matrix = |values: &[f64], rows: usize| {
        let values: Vec<T> = values.iter().map(|x| T::from_f64(*x)).collect();
        Matrix::from_slice(&engine, rows, values.len() / rows, &values).unwrap()
    };
    let (x, t) = (matrix(x, inputs), matrix(t, outputs));
    let mut trainer = Trainer::new(network, Loss::Quadratic, case.optimizer::<T>(), BATCH, 1).unwrap();
    trainer = trainer.with_schedule(case.schedule).unwrap();
    if let Some(clip) = case.clip {
        trainer = trainer.with_clip(clip).unwrap();
    }
    let mut states = Vec::new();
    for step in 0..STEPS {
        let part = step * BATCH..(step + 1) * BATCH;
        trainer.step(x.view().sub_columns(part.clone()).unwrap(), t.view().sub_columns(part).unwrap()).unwrap();
        states.push(parameters(&trainer));
    }
    states
}

fn parameters<T: Scalar>(trainer: &Trainer<'_, T>) -> Vec<f64> {
    let numbers = |layer: &travertine::layer::DenseTraining<'_, T>| {
        [layer.weights().to_vec().unwrap(), layer.bias().to_vec().unwrap()].concat()
    };
    trainer.layers().iter().flat_map(numbers).map(T::to_f64).collect()
}

fn every_step_is_the_formulas<T: Scalar>(sizes: [usize; 3], cases: &[Case], bound: f64) {
    for (words, engine) in common::engines::<T>() {
        let mut worst = 0.0_f64;
        for case in cases {
            let mut network = network(&engine, sizes);
            let samples = samples(sizes[0], sizes[2]);
            let expected = reference(case, common::layers(&network), &samples);
            for (step, (ours, expected)) in ours(case, &mut network, &samples).iter().zip(&expected).enumerate() {
                let apart = common::relative(ours, expected);
                assert!(apart <= bound, "{words}, {}, {case:?}, step {step}: {apart:e}", T::NAME);
                worst = worst.max(apart);
            }
        }
        eprintln!("{words}, {}: {worst:.1e}", T::NAME);
    }
}

/// Within some ten roundings of the largest parameter.
#[test]
fn every_optimizer_with_every_option() {
    every_step_is_the_formulas::<f32>([17, 9, 5], &cases(), 4e-6);
    every_step_is_the_formulas::<f64>([17, 9, 5], &cases(), 1e-13);
}

/// Parameters that are split among threads and shares that are.
#[test]
fn large_parameters() {
    let some: Vec<Case> = cases().into_iter().step_by(4).collect();
    every_step_is_the_formulas::<f64>([300, 123, 2], &some, 1e-13);
    every_step_is_the_formulas::<f32>([300, 123, 2], &some[..3], 4e-6);
}
