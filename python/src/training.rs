//! Training: epochs on samples in memory, watched by a function of Python.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use pyo3::exceptions::PyKeyboardInterrupt;
use pyo3::prelude::*;
use travertine::data::Task;
use travertine::engine::Engine;
use travertine::layer::LayerKind;
use travertine::optimizer::{Adam, Schedule, Sgd, WeightDecay};
use travertine::trainer::{Dropout, Factors};
use travertine::{Error, Loss, Matrix, Network, Result, Samples, Scalar, Snapshot, Trainer};

use crate::fault::raised;

/// How long a training runs before it looks for a signal such as Ctrl-C.
const SIGNAL_CHECKS: Duration = Duration::from_millis(50);

/// How a network is trained; the keys of the dict that Python passes.
#[derive(FromPyObject, Clone)]
#[pyo3(from_item_all)]
pub(crate) struct Options {
    /// sgd or adam
    solver: String,
    rate: f64,
    /// Of the rate, for a training that goes on with another one than it began with.
    rate_factor: f64,
    momentum: f64,
    nesterov: bool,
    beta_1: f64,
    beta_2: f64,
    epsilon: f64,
    /// Of weights, not of biases.
    l2: f64,
    dropout: f64,
    batch: usize,
    shuffle: bool,
    seed: u64,
    epochs: usize,
    /// constant, invscaling, adaptive, cosine, one_cycle, coslog or flat_cosine
    schedule: String,
    /// Of invscaling.
    power: f64,
    /// Of invscaling: samples seen before.
    seen: f64,
    /// Whether the targets are one-hot classes, so that losses are those of classes.
    is_classes: bool,
    /// Whether the optimizer goes on from where it was, and is kept.
    goes_on: bool,
}

/// The data of a training: `x`: samples x features, `t`: samples x outputs, one sample after the other.
pub(crate) struct Data<'a, T> {
    pub(crate) x: Numbers<'a, T>,
    pub(crate) t: &'a [T],
    pub(crate) weights: Option<&'a [f64]>,
    /// Samples to validate on.
    pub(crate) validation: Option<&'a [T]>,
}

/// Numbers of the network's precision, or of another one.
#[derive(Clone, Copy)]
pub(crate) enum Numbers<'a, T> {
    Own(&'a [T]),
    Single(&'a [f32]),
    Double(&'a [f64]),
}

impl<T: Scalar> Numbers<'_, T> {
    /// `rows x samples`, in the engine's memory without a copy in between where that is the host's.
    fn matrix(self, engine: &Arc<dyn Engine<T>>, rows: usize) -> Result<Matrix<T>> {
        match self {
            Numbers::Own(values) => matrix(engine, rows, values),
            Numbers::Single(values) => {
                cast(engine, rows, values.len(), values.iter().map(|x| f64::from(*x)))
            }
            Numbers::Double(values) => cast(engine, rows, values.len(), values.iter().copied()),
        }
    }
}

fn cast<T: Scalar>(
    engine: &Arc<dyn Engine<T>>,
    rows: usize,
    count: usize,
    values: impl Iterator<Item = f64>,
) -> Result<Matrix<T>> {
    let values = values.map(T::from_f64);
    let mut to = Matrix::zeros(engine, rows, count / rows)?;
    match to.as_mut_slice() {
        Some(to) => to.iter_mut().zip(values).for_each(|(to, x)| *to = x),
        None => to.view_mut().write(&values.collect::<Vec<T>>())?,
    }
    Ok(to)
}

/// What follows an epoch, as Python answers it.
#[derive(Clone, Copy, PartialEq)]
enum Next {
    GoOn,
    /// The parameters of this epoch are the best so far.
    Keep,
    /// The learning rate becomes a fifth.
    Lower,
    Stop,
}

impl Next {
    fn of(answer: &str) -> Self {
        match answer {
            "keep" => Next::Keep,
            "lower" => Next::Lower,
            "stop" => Next::Stop,
            _ => Next::GoOn,
        }
    }
}

/// After an epoch: its mean training loss, the sum of the squared weights, and the outputs for the samples to validate on.
pub(crate) type Watch<'a, T> =
    dyn Fn(Python<'_>, f64, f64, Option<Vec<T>>) -> PyResult<String> + Send + Sync + 'a;

/// Trains a network. Returns whether a signal has interrupted it, which leaves it as it is by then.
pub(crate) fn train<T: Scalar>(
    network: &mut Network<T>,
    state: &mut Option<Snapshot<T>>,
    loss: Loss,
    options: &Options,
    data: &Data<'_, T>,
    watch: &Watch<'_, T>,
) -> PyResult<bool> {
    let engine = Arc::clone(network.engine());
    let samples = samples(&engine, network, data, options.is_classes).map_err(raised)?;
    let mut samples = if options.shuffle { samples } else { samples.in_order() };
    let validation = data
        .validation
        .map(|x| matrix(&engine, network.inputs(), x))
        .transpose()
        .map_err(raised)?;
    let lowered = Arc::new(AtomicU64::new(1f64.to_bits()));
    let mut trainer =
        trainer(network, loss, options, (samples.count(), &lowered)).map_err(raised)?;
    if let Some(state) = state.as_ref().filter(|_| options.goes_on) {
        trainer.continue_from(state).map_err(raised)?;
    }
    let mut best = None;
    let mut interruption = None;
    for _ in 0..options.epochs {
        let mut checked = Instant::now();
        let report = trainer.epoch_until(&mut samples, |_| {
            if checked.elapsed() > SIGNAL_CHECKS {
                interruption = Python::attach(|py| py.check_signals()).err();
                checked = Instant::now();
            }
            Ok(if interruption.is_some() {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            })
        });
        let Some(report) = report.map_err(raised)? else { break };
        let outputs = validation
            .as_ref()
            .map(|x| trainer.infer(x.view())?.to_vec())
            .transpose()
            .map_err(raised)?;
        let squares = if options.l2 > 0.0 { squares(&trainer).map_err(raised)? } else { 0.0 };
        let answer = Python::attach(|py| watch(py, report.loss, squares, outputs));
        match answer.as_deref().map(Next::of) {
            Ok(Next::GoOn) => {}
            Ok(Next::Keep) => best = Some(trainer.parameters().map_err(raised)?),
            Ok(Next::Lower) => lower(&lowered),
            Ok(Next::Stop) => break,
            Err(_) => {
                interruption = answer.err();
                break;
            }
        }
    }
    if let Some(best) = best {
        trainer.set_parameters(&best).map_err(raised)?;
    }
    let is_signal =
        |error: &PyErr| Python::attach(|py| error.is_instance_of::<PyKeyboardInterrupt>(py));
    let (interrupted, failure) = match interruption {
        Some(error) if is_signal(&error) => (true, None),
        failure => (false, failure),
    };
    if let Some(error) = failure {
        return Err(error);
    }
    // A training that goes on later takes its weights from this state.
    *state = match options.goes_on {
        true => Some(trainer.snapshot(&mut samples).map_err(raised)?),
        false => None,
    };
    Ok(interrupted)
}

fn lower(factor: &AtomicU64) {
    let lower = f64::from_bits(factor.load(Ordering::Relaxed)) / 5.0;
    factor.store(lower.to_bits(), Ordering::Relaxed);
}

/// `rows x samples`
fn matrix<T: Scalar>(engine: &Arc<dyn Engine<T>>, rows: usize, values: &[T]) -> Result<Matrix<T>> {
    Matrix::from_slice(engine, rows, values.len() / rows, values)
}

/// The samples on the engine; `is_classes`: whether the targets are one-hot.
pub(crate) fn samples<T: Scalar>(
    engine: &Arc<dyn Engine<T>>,
    network: &Network<T>,
    data: &Data<'_, T>,
    is_classes: bool,
) -> Result<Samples<'static, T>> {
    let (x, t) =
        (data.x.matrix(engine, network.inputs())?, matrix(engine, network.outputs(), data.t)?);
    let task = if is_classes { Task::Classes } else { Task::Values };
    let mut samples = Samples::from_matrices(x, t, task)?;
    if let Some(weights) = data.weights {
        samples = samples.with_weights(weights)?;
    }
    Ok(samples)
}

fn trainer<'n, T: Scalar>(
    network: &'n mut Network<T>,
    loss: Loss,
    options: &Options,
    (count, lowered): (usize, &Arc<AtomicU64>),
) -> Result<Trainer<'n, T>> {
    let schedule = schedule(options, count, lowered)?;
    let decay = if options.l2 > 0.0 { WeightDecay::L2(options.l2) } else { WeightDecay::None };
    let factors = (options.l2 > 0.0).then(|| {
        let decays = |decays: bool| Factors { rate: 1.0, decay: f64::from(u8::from(decays)) };
        let pair = |is_dense: bool| [decays(is_dense), decays(false)];
        network.layers().iter().map(|layer| pair(layer.kind() == LayerKind::Dense)).collect()
    });
    let rate = options.rate;
    let builder = match &*options.solver {
        "adam" => {
            let adam =
                Adam::new(rate)?.betas(options.beta_1, options.beta_2)?.epsilon(options.epsilon)?;
            Trainer::builder(network, loss, adam.weight_decay(decay)?)
        }
        "sgd" => {
            let sgd = Sgd::new(rate)?;
            let sgd = match (options.momentum, options.nesterov) {
                (0.0, _) => sgd,
                (momentum, true) => sgd.nesterov(momentum)?,
                (momentum, false) => sgd.momentum(momentum)?,
            };
            Trainer::builder(network, loss, sgd.weight_decay(decay)?)
        }
        other => return Err(Error::other(format!("solver: '{other}' is not known"))),
    };
    let dropout = Dropout { inputs: 0.0, hidden: options.dropout };
    builder
        .batch(options.batch)
        .seed(options.seed)
        .schedule(schedule)
        .factors(factors)
        .dropout((options.dropout > 0.0).then_some(dropout))
        .build()
}

/// `lowered`: the factor that an adaptive rate has come down to.
fn schedule(options: &Options, count: usize, lowered: &Arc<AtomicU64>) -> Result<Schedule> {
    let steps_of_epoch = count.div_ceil(options.batch.max(1)) as u64;
    let steps = steps_of_epoch * options.epochs as u64;
    let factor = options.rate_factor;
    Ok(match &*options.schedule {
        // A function, so that the next call may have another rate.
        "constant" if options.goes_on => Schedule::from_fn(move |_| factor),
        "constant" => Schedule::Constant,
        "adaptive" => {
            let lowered = Arc::clone(lowered);
            Schedule::from_fn(move |_| factor * f64::from_bits(lowered.load(Ordering::Relaxed)))
        }
        // The rate changes after each epoch: 1 / (samples seen + 1)^power.
        "invscaling" => {
            let (seen, power) = (options.seen, options.power);
            Schedule::from_fn(move |step| {
                let epochs = step / steps_of_epoch.max(1);
                let seen = seen + (epochs * count as u64) as f64;
                factor * if epochs == 0 && seen == 0.0 { 1.0 } else { (seen + 1.0).powf(-power) }
            })
        }
        "cosine" => Schedule::Cosine { steps, last: 0.0 },
        "one_cycle" => Schedule::OneCycle { steps },
        "coslog" => Schedule::CosLog { steps, cycles: 4 },
        "flat_cosine" => Schedule::FlatCosine { steps },
        other => return Err(Error::other(format!("schedule: '{other}' is not known"))),
    })
}

/// The sum of the squares of all weights of dense layers.
fn squares<T: Scalar>(trainer: &Trainer<'_, T>) -> Result<f64> {
    let dense = trainer.layers().iter().filter(|layer| layer.kind() == LayerKind::Dense);
    dense
        .map(|layer| {
            Ok(layer.weights().to_vec()?.iter().map(|w| w.to_f64() * w.to_f64()).sum::<f64>())
        })
        .sum()
}
