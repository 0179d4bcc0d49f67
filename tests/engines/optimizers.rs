//! Optimizers, clipping and schedules against the published formulas in f64 and against PyTorch, on every engine.

use std::io::Write;
use std::process::{Command, Stdio};
use std::sync::Arc;

use crate::common::{self, Layer, random};
use serde_json::{Value, json};
use travertine::engine::{self, Engine};
use travertine::optimizer::{Adam, Clip, Optimizer, RmsProp, Schedule, Sgd, WeightDecay};
use travertine::{Activation, Loss, Matrix, Network, Scalar, Trainer, TrainerBuilder};

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
#[derive(Clone, Debug)]
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
        (Rule::Adam(0.3, 0.95, 1e-3), 0.02),
    ];
    let decays = [WeightDecay::None, WeightDecay::L2(0.03), WeightDecay::Decoupled(0.05)];
    let clips = [None, Some(Clip::Value(0.003)), Some(Clip::Norm(0.1))];
    let mut cases = Vec::new();
    for (rule, rate) in rules {
        for (i, decay) in decays.into_iter().enumerate() {
            for (j, clip) in clips.into_iter().enumerate() {
                let schedule = if i == j {
                    Schedule::Exponential { factor: 0.95 }
                } else {
                    Schedule::Constant
                };
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
            Some(Clip::Norm(most)) => {
                (most / (all().map(|g| g * g).sum::<f64>().sqrt() + 1e-6)).min(1.0)
            }
            _ => 1.0,
        };
        let bound = if let Some(Clip::Value(bound)) = self.clip { bound } else { f64::INFINITY };
        gradients
            .iter_mut()
            .flatten()
            .flatten()
            .for_each(|g| *g = (factor * *g).clamp(-bound, bound));
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
    let (inputs, outputs) =
        (layers[0].weights.len() / layers[0].bias.len(), layers[layers.len() - 1].bias.len());
    let mut moments = vec![[0.0; 2]; flat(&layers).len()];
    let mut states = Vec::new();
    for step in 0..STEPS {
        let mut gradients =
            common::gradients(&layers, &rows(x, inputs, step), &rows(t, outputs, step));
        let free = gradients.clone();
        case.clipped(&mut gradients);
        assert_eq!(
            step == 0 && case.clip.is_some(),
            step == 0 && gradients != free,
            "a bound that nothing meets"
        );
        let rate = case.rate * case.schedule.factor(step as u64);
        let parameters =
            layers.iter_mut().flat_map(|layer| layer.weights.iter_mut().chain(&mut layer.bias));
        for ((w, g), moments) in
            parameters.zip(gradients.iter().flatten().flatten()).zip(&mut moments)
        {
            case.update(w, *g, moments, rate, step as i32 + 1);
        }
        states.push(flat(&layers));
    }
    states
}

fn flat(layers: &[Layer]) -> Vec<f64> {
    layers.iter().flat_map(|layer| layer.weights.iter().chain(&layer.bias).copied()).collect()
}

fn network<T: Scalar>(
    engine: &Arc<dyn Engine<T>>,
    [inputs, hidden, outputs]: [usize; 3],
) -> Network<T> {
    let builder = Network::builder(engine, inputs)
        .dense(hidden, Activation::Tanh)
        .dense(outputs, Activation::Sigmoid);
    let mut network = builder.seed(5).build().unwrap();
    let bias: Vec<T> = random(hidden, 8); // not 0, so that its decay is seen
    network.layers_mut()[0].bias_mut().write(&bias).unwrap();
    network
}

/// The same from the library.
fn ours<T: Scalar>(
    case: &Case,
    network: &mut Network<T>,
    (x, t): &(Vec<f64>, Vec<f64>),
) -> Vec<Vec<f64>> {
    let (engine, inputs, outputs) =
        (Arc::clone(network.engine()), network.inputs(), network.outputs());
    let matrix = |values: &[f64], rows: usize| {
        let values: Vec<T> = values.iter().map(|x| T::from_f64(*x)).collect();
        Matrix::from_slice(&engine, rows, values.len() / rows, &values).unwrap()
    };
    let (x, t) = (matrix(x, inputs), matrix(t, outputs));
    let mut trainer = Trainer::builder(network, Loss::Quadratic, case.optimizer::<T>())
        .batch(BATCH)
        .seed(1)
        .schedule(case.schedule.clone())
        .clip(case.clip)
        .build()
        .unwrap();
    let mut states = Vec::new();
    for step in 0..STEPS {
        let part = step * BATCH..(step + 1) * BATCH;
        trainer
            .step(x.view().sub_columns(part.clone()).unwrap(), t.view().sub_columns(part).unwrap())
            .unwrap();
        states.push(parameters(&trainer));
    }
    states
}

fn parameters<T: Scalar>(trainer: &Trainer<'_, T>) -> Vec<f64> {
    let numbers = |layer: &dyn travertine::layer::TrainingLayer<T>| {
        [layer.weights().to_vec().unwrap(), layer.bias().to_vec().unwrap()].concat()
    };
    trainer.layers().iter().flat_map(|layer| numbers(&**layer)).map(T::to_f64).collect()
}

fn every_step_is_the_formulas<T: Scalar>(sizes: [usize; 3], cases: &[Case], bound: f64) {
    for (words, engine) in common::engines::<T>() {
        let mut worst = 0.0_f64;
        for case in cases {
            let mut network = network(&engine, sizes);
            let samples = samples(sizes[0], sizes[2]);
            let expected = reference(case, common::layers(&network), &samples);
            for (step, (ours, expected)) in
                ours(case, &mut network, &samples).iter().zip(&expected).enumerate()
            {
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

/// The bias of a layer after a step whose gradients are special numbers: NaN, infinities, zeros, subnormal and large numbers.
fn special_gradients<T: Scalar>(epsilon: f64, [smallest, largest]: [f64; 2]) {
    let both = [0.0, 0.5, 1.0, 20.0, 1e4, smallest, smallest / 8.0, largest / 8.0, f64::INFINITY];
    let gradients: Vec<f64> = both
        .iter()
        .flat_map(|g| [*g, -*g])
        .chain([f64::NAN])
        .map(|g| T::from_f64(g).to_f64())
        .collect();
    let values = |values: &[f64]| values.iter().map(|x| T::from_f64(*x)).collect::<Vec<T>>();
    let before = 0.25;
    // A norm is of all gradients, of which one is NaN.
    for case in cases().iter().filter(|case| !matches!(case.clip, Some(Clip::Norm(_)))) {
        let expected: Vec<f64> = gradients
            .iter()
            .map(|g| {
                let (mut w, mut moments) = (before, [0.0; 2]);
                let mut gradient = vec![[vec![*g], vec![]]];
                case.clipped(&mut gradient);
                case.update(&mut w, gradient[0][0][0], &mut moments, case.rate, 1);
                // The mean of squares is infinite where they are too large for the precision.
                if T::from_f64(moments[1]).to_f64().is_infinite() && w.is_finite() {
                    let decayed = Case { clip: None, ..case.clone() };
                    let mut unchanged = before;
                    decayed.update(&mut unchanged, 0.0, &mut [0.0; 2], case.rate, 1);
                    if let WeightDecay::L2(_) = case.decay { before } else { unchanged }
                } else {
                    w
                }
            })
            .collect();
        for (words, engine) in common::engines::<T>() {
            let builder = Network::builder(&engine, 1).dense(gradients.len(), Activation::Identity);
            let mut network = builder.build().unwrap();
            network.layers_mut()[0]
                .bias_mut()
                .write(&values(&vec![before; gradients.len()]))
                .unwrap();
            let mut trainer =
                Trainer::builder(&mut network, Loss::Quadratic, case.optimizer::<T>())
                    .batch(1)
                    .clip(case.clip)
                    .build()
                    .unwrap();
            let x = Matrix::zeros(&engine, 1, 1).unwrap();
            trainer
                .step_with(x.view(), |_, mut gradient| gradient.write(&values(&gradients)))
                .unwrap();
            let bias = trainer.layers()[0].bias().to_vec().unwrap();
            for ((g, ours), expected) in gradients.iter().zip(bias).zip(&expected) {
                let ours = ours.to_f64();
                let near = (ours - expected).abs() <= 64.0 * epsilon * (1.0 + expected.abs());
                let same = ours == *expected || ours.is_nan() && expected.is_nan() || near;
                assert!(
                    same,
                    "{words}, {}, {case:?}: {g:e} gives {ours:e}, not {expected:e}",
                    T::NAME
                );
            }
        }
    }
}

/// As decision 0071 has it.
#[test]
fn special_gradients_do_what_the_formulas_say() {
    let single = [f32::MIN_POSITIVE, f32::MAX].map(f64::from);
    special_gradients::<f32>(f64::from(f32::EPSILON), single);
    special_gradients::<f64>(f64::EPSILON, [f64::MIN_POSITIVE, f64::MAX]);
}

/// Runs every case in PyTorch, and prints the parameters after every step, then learning rates of schedules.
const TORCH: &str = r#"
import json, sys, torch
torch.set_default_dtype(torch.float64)
job = json.load(sys.stdin)
x, t, batch = torch.tensor(job["x"]), torch.tensor(job["t"]), job["batch"]
for case in job["cases"]:
    layers = []
    for weights, bias in job["layers"]:
        weights = torch.tensor(weights).reshape(-1, len(bias)).T.clone()
        layers.append((weights.requires_grad_(), torch.tensor(bias).requires_grad_()))
    parameters = [p for layer in layers for p in layer]
    optimizer = getattr(torch.optim, case["optimizer"])(parameters, **case["options"])
    steps = []
    for i in range(len(x) // batch):
        part = slice(i * batch, (i + 1) * batch)
        (w1, b1), (w2, b2) = layers
        a = torch.sigmoid(torch.tanh(x[part] @ w1.T + b1) @ w2.T + b2)
        optimizer.zero_grad()
        (((a - t[part]) ** 2).sum() / 2 / batch).backward()
        if case["clip_norm"]: torch.nn.utils.clip_grad_norm_(parameters, case["clip_norm"])
        if case["clip_value"]: torch.nn.utils.clip_grad_value_(parameters, case["clip_value"])
        optimizer.step()
        steps.append([v for w, b in layers for p in (w.T, b) for v in p.flatten().tolist()])
    print(json.dumps(steps))
for name, options in job["schedules"]:
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=1.0)
    schedule = getattr(torch.optim.lr_scheduler, name)(optimizer, **options)
    rates = []
    for i in range(job["rates"]):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step(*([job["losses"][i]] if name == "ReduceLROnPlateau" else []))
    print(json.dumps(rates))
"#;

/// Python with PyTorch; its absence is said aloud, and a failure where it must be there.
fn torch() -> Option<String> {
    let python = std::env::var("TRAVERTINE_PYTHON").unwrap_or("python3".to_owned());
    if Command::new(&python)
        .args(["-c", "import torch"])
        .output()
        .is_ok_and(|output| output.status.success())
    {
        return Some(python);
    }
    let must = std::env::var_os("TRAVERTINE_ENSURE_TORCH").is_some();
    assert!(!must, "{python} has no torch, and TRAVERTINE_ENSURE_TORCH is set");
    eprintln!("LEFT OUT: optimizers and schedules against PyTorch; {python} has no torch");
    None
}

/// What PyTorch prints for a job, a line a list.
fn ask_torch(python: &str, job: &Value) -> Vec<Value> {
    let mut child = Command::new(python)
        .args(["-c", TORCH])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(job.to_string().as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|x| x.as_f64().unwrap()).collect()
}

impl Case {
    /// The same in PyTorch, which has decoupled decay in AdamW alone.
    fn in_torch(&self) -> Option<Value> {
        let (decay, decoupled) = match self.decay {
            WeightDecay::None => (0.0, false),
            WeightDecay::L2(decay) => (decay, false),
            WeightDecay::Decoupled(decay) => (decay, true),
        };
        let rate = self.rate;
        let (optimizer, options) = match self.rule {
            Rule::Adam(first, second, epsilon) => (
                if decoupled { "AdamW" } else { "Adam" },
                json!({"lr": rate, "betas": [first, second], "eps": epsilon, "weight_decay": decay}),
            ),
            _ if decoupled => return None,
            Rule::Plain => ("SGD", json!({"lr": rate, "weight_decay": decay})),
            Rule::Momentum(momentum) => {
                ("SGD", json!({"lr": rate, "weight_decay": decay, "momentum": momentum}))
            }
            Rule::Nesterov(momentum) => (
                "SGD",
                json!({"lr": rate, "weight_decay": decay, "momentum": momentum, "nesterov": true}),
            ),
            Rule::RmsProp(smoothing, epsilon) => (
                "RMSprop",
                json!({"lr": rate, "weight_decay": decay, "alpha": smoothing, "eps": epsilon}),
            ),
        };
        let norm = if let Some(Clip::Norm(norm)) = self.clip { norm } else { 0.0 };
        let value = if let Some(Clip::Value(value)) = self.clip { value } else { 0.0 };
        Some(
            json!({"optimizer": optimizer, "options": options, "clip_norm": norm, "clip_value": value}),
        )
    }
}

#[test]
fn optimizers_and_schedules_are_pytorchs() {
    let Some(python) = torch() else { return };
    let sizes @ [inputs, _, outputs] = [17, 9, 5];
    let cpu = engine::open::<f64>("cpu").unwrap();
    let layers: Vec<Value> =
        common::layers(&network(&cpu, sizes)).iter().map(|l| json!([l.weights, l.bias])).collect();
    let samples = samples(inputs, outputs);
    let free = cases().into_iter().filter(|case| case.schedule == Schedule::Constant);
    let cases: Vec<(Case, Value)> =
        free.filter_map(|case| Some((case.clone(), case.in_torch()?))).collect();
    let losses: Vec<f64> =
        (0..40).map(|i| if i < 8 { 1.0 / f64::from(i + 1) } else { 0.12499 }).collect();
    let schedules = [
        (
            Schedule::Step { every: 7, factor: 0.3 },
            json!(["StepLR", {"step_size": 7, "gamma": 0.3}]),
        ),
        (Schedule::Exponential { factor: 0.9 }, json!(["ExponentialLR", {"gamma": 0.9}])),
        // PyTorch's cosine rises again after its end, so the comparison ends there.
        (
            Schedule::Cosine { steps: 40, last: 0.1 },
            json!(["CosineAnnealingLR", {"T_max": 40, "eta_min": 0.1}]),
        ),
        (
            Schedule::OneCycle { steps: 41 },
            json!(["OneCycleLR", {"max_lr": 1.0, "total_steps": 41, "cycle_momentum": false}]),
        ),
        (
            Schedule::Plateau { patience: 3, factor: 0.5 },
            json!(["ReduceLROnPlateau", {"patience": 3, "factor": 0.5}]),
        ),
    ];
    let job = json!({
        "x": samples.0.chunks(inputs).collect::<Vec<_>>(),
        "t": samples.1.chunks(outputs).collect::<Vec<_>>(),
        "batch": BATCH,
        "layers": layers,
        "cases": cases.iter().map(|(_, case)| case).collect::<Vec<_>>(),
        "schedules": schedules.iter().map(|(_, schedule)| schedule).collect::<Vec<_>>(),
        "rates": losses.len(),
        "losses": losses,
    });
    let answers = ask_torch(&python, &job);
    assert_eq!(answers.len(), cases.len() + schedules.len());
    let mut worst = 0.0_f64;
    for ((case, _), theirs) in cases.iter().zip(&answers) {
        for (ours, theirs) in
            ours(case, &mut network(&cpu, sizes), &samples).iter().zip(theirs.as_array().unwrap())
        {
            let apart = common::relative(ours, &numbers(theirs));
            assert!(apart < 1e-13, "{case:?}: {apart:e}");
            worst = worst.max(apart);
        }
    }
    eprintln!("{} optimizers against PyTorch: {worst:.1e}", cases.len());
    for ((schedule, _), theirs) in schedules.iter().zip(&answers[cases.len()..]) {
        let apart = common::relative(&common::rates(schedule.clone(), &losses), &numbers(theirs));
        assert!(apart < 1e-14, "{schedule:?}: {apart:e}");
    }
}

#[test]
fn settings_out_of_range_are_refused() {
    let (cpu, nan) = (engine::open::<f32>("cpu").unwrap(), f64::NAN);
    let plain = || Sgd::new(0.1).unwrap();
    let adam = || Adam::new(0.1).unwrap();
    let errors = [
        Adam::new(-1.0).err(),
        RmsProp::new(nan).err(),
        plain().momentum(1.0).err(),
        plain().nesterov(-0.1).err(),
        plain().weight_decay(WeightDecay::L2(-1.0)).err(),
        adam().betas(0.9, 1.0).err(),
        adam().betas(nan, 0.9).err(),
        adam().epsilon(0.0).err(),
        adam().weight_decay(WeightDecay::Decoupled(f64::INFINITY)).err(),
        RmsProp::new(0.1).unwrap().smoothing(2.0).err(),
        RmsProp::new(0.1).unwrap().epsilon(nan).err(),
    ];
    for error in errors {
        let error = error.unwrap();
        assert!(error.is_input() && error.to_string().contains(", not "), "{error}");
    }
    let mut network = network(&cpu, [2, 2, 1]);
    let mut refuses = |change: &dyn Fn(TrainerBuilder<'_, f32>) -> bool| {
        change(Trainer::builder(&mut network, Loss::Quadratic, plain()))
    };
    assert!(refuses(&|trainer| trainer.clip(Clip::Norm(0.0)).build().is_err()));
    assert!(refuses(&|trainer| trainer.clip(Clip::Value(nan)).build().is_err()));
    for schedule in [
        Schedule::Step { every: 0, factor: 0.5 },
        Schedule::Step { every: 1, factor: 0.0 },
        Schedule::Exponential { factor: nan },
        Schedule::Cosine { steps: 0, last: 0.0 },
        Schedule::Cosine { steps: 1, last: -0.1 },
        Schedule::WarmUp { steps: 0 },
        Schedule::OneCycle { steps: 0 },
        Schedule::Plateau { patience: 1, factor: -1.0 },
    ] {
        assert!(
            refuses(&|trainer| trainer.schedule(schedule.clone()).build().is_err()),
            "{schedule:?}"
        );
    }
}

/// 500 steps of Adam part engines only by roundings, which training amplifies a little with every step.
fn adam_stays_close<T: Scalar>(bound: f64) {
    let sizes @ [inputs, _, outputs] = [40, 30, 10];
    let course = |engine: &Arc<dyn Engine<T>>| {
        let x = Matrix::from_slice(engine, inputs, 64, &random(inputs * 64, 1)).unwrap();
        let t = Matrix::from_slice(engine, outputs, 64, &common::one_hot(outputs, 64)).unwrap();
        let mut network = network(engine, sizes);
        let mut trainer =
            Trainer::builder(&mut network, Loss::Quadratic, Adam::new(0.001).unwrap())
                .batch(16)
                .seed(1)
                .build()
                .unwrap();
        for step in 0..500 {
            let part = step % 4 * 16..(step % 4 + 1) * 16;
            trainer
                .step(
                    x.view().sub_columns(part.clone()).unwrap(),
                    t.view().sub_columns(part).unwrap(),
                )
                .unwrap();
        }
        (parameters(&trainer), trainer.last_loss(16).unwrap())
    };
    let engines = common::engines::<T>();
    let (reference, loss) = course(&engines[0].1);
    assert!(loss < 0.3, "{loss}"); // outputs without training have 0.45
    for (words, engine) in &engines[1..] {
        let apart = common::relative(&course(engine).0, &reference);
        eprintln!("{words}, {}, 500 steps of Adam: {apart:.1e}", T::NAME);
        assert!(apart <= bound, "{words}: {apart:e}");
    }
}

#[test]
fn adam_for_500_steps_on_every_engine() {
    adam_stays_close::<f32>(1e-5);
    adam_stays_close::<f64>(1e-12);
}

/// What an optimizer remembers of an input that has fallen silent fades, but into no subnormal numbers: processors take long
/// for them, and some of such means never end.
#[test]
fn means_that_fade_are_no_burden() {
    let cpu = engine::open::<f32>("cpu").unwrap();
    let adam = Adam::new(0.01).unwrap();
    let optimizers: [Box<dyn Optimizer<f32>>; 4] = [
        Box::new(Sgd::new(0.01).unwrap().nesterov(0.9).unwrap()),
        Box::new(RmsProp::new(0.01).unwrap().smoothing(0.9).unwrap()),
        Box::new(adam.betas(0.9, 0.9).unwrap()),
        Box::new(adam.betas(0.9, 0.9).unwrap().weight_decay(WeightDecay::Decoupled(0.01)).unwrap()),
    ];
    let loud = Matrix::from_slice(&cpu, 40, 1, &random::<f32>(40, 1)).unwrap();
    let silent = Matrix::zeros(&cpu, 40, 1).unwrap();
    let t = Matrix::from_slice(&cpu, 3, 1, &[0.5, 0.1, 0.9]).unwrap();
    for optimizer in optimizers {
        let name = optimizer.describe();
        let mut network =
            Network::builder(&cpu, 40).dense(3, Activation::Identity).seed(1).build().unwrap();
        let mut trainer = Trainer::builder(&mut network, Loss::Quadratic, optimizer)
            .batch(1)
            .seed(1)
            .build()
            .unwrap();
        trainer.step(loud.view(), t.view()).unwrap();
        (0..1500).for_each(|_| trainer.step(silent.view(), t.view()).unwrap());
        for state in &trainer.states()[0][0][1..] {
            let state = state.view().to_vec().unwrap();
            assert!(state.iter().all(|x| !x.is_subnormal()), "{name}: {state:?}");
            assert!(state.iter().all(|x| x.abs() < 1e-30), "{name}: {state:?}");
        }
    }
}
