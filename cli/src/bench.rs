//! `travertine bench`

use std::sync::Arc;
use std::time::Instant;

use serde_json::json;
use travertine::engine::Engine;
use travertine::optimizer::Sgd;
use travertine::random::{Philox, Purpose};
use travertine::{Activation, Loss, Matrix, Network, Result, Scalar, Trainer};

use crate::args::{BenchArgs, BenchTask, Precision};
use crate::devices;
use crate::names::{self, wrong};
use crate::output::{Output, note, rounded, short};

/// Small enough that the parameters stay finite however often one batch is learned.
const LEARNING_RATE: f64 = 1e-3;
/// Seconds of measuring, if calls are short.
const BUDGET: f64 = 2.0;
const MOST_CALLS: usize = 5000;
/// Elements that are drawn at once.
const BLOCK: usize = 1 << 20;

/// What is timed.
struct Work {
    sizes: Vec<usize>,
    activations: Vec<Activation>,
    loss: Loss,
    batch: usize,
    trains: bool,
}

/// (name, sizes, activations, loss): networks that are known by a name.
const NAMED: [(&str, &str, &str, &str); 5] = [
    ("nielsen", "784-30-10", "sigmoid,sigmoid", "quadratic"),
    ("lecun", "784-300-100-10", "relu", "cross-entropy"),
    ("ciresan", "784-2500-2000-1500-1000-500-10", "tanh", "cross-entropy"),
    ("tiny", "64-32-10", "relu", "cross-entropy"),
    ("seed", "10000-5000-1000-10", "tanh,sigmoid,sigmoid", "quadratic"),
];

/// Times inference or training.
pub(crate) fn run(args: &BenchArgs) -> Result<()> {
    match args.precision {
        Precision::F32 => bench::<f32>(args),
        Precision::F64 => bench::<f64>(args),
    }
}

fn bench<T: Scalar>(args: &BenchArgs) -> Result<()> {
    let mut out = Output::new(args.json);
    let work = Work::new(args)?;
    let engine = devices::open::<T>(&args.device)?;
    let mut builder = Network::builder(&engine, work.sizes[0]).seed(1);
    for (&size, &activation) in work.sizes[1..].iter().zip(&work.activations) {
        builder = builder.dense(size, activation);
    }
    let mut network = builder.build()?;
    // The clock of the machine may change on the way: the better of two looks counts.
    let before = engine.peak_flops();
    let seconds = if work.trains { time_training(&mut network, &work) } else { time_inference(&network, &work) }?;
    let peak = before.into_iter().chain(engine.peak_flops()).reduce(f64::max);
    tell(&work, engine.as_ref(), seconds, peak, &mut out)
}

impl Work {
    fn new(args: &BenchArgs) -> Result<Self> {
        let article = args.task == BenchTask::Article;
        if article && (args.network.is_some() || args.activations.is_some()) {
            return Err(wrong("bench article", "its network is fixed; use bench forward for another"));
        }
        let name = if article { "seed" } else { args.network.as_deref().unwrap_or("lecun") };
        let named = NAMED.into_iter().find(|(known, ..)| *known == name);
        let (_, sizes, activations, loss) = named.unwrap_or((name, name, "relu", "cross-entropy"));
        let sizes = names::sizes(sizes)?;
        let activations = activations_of(args.activations.as_deref().unwrap_or(activations), sizes.len() - 1)?;
        let output = activations.last().copied().unwrap_or(Activation::Identity);
        Ok(Work {
            loss: names::loss(args.loss.as_deref().unwrap_or(loss), output)?,
            batch: args.batch.unwrap_or(if article { 10_000 } else { 64 }),
            trains: args.task == BenchTask::Train,
            sizes,
            activations,
        })
    }

    /// Floating-point operations of a call: one product a layer for inference, three for training, but for the first
    /// layer, which has nobody to send its gradient to.
    fn flops(&self) -> f64 {
        let product = |pair: &[usize]| 2.0 * pair[0] as f64 * pair[1] as f64 * self.batch as f64;
        let all: f64 = self.sizes.windows(2).map(product).sum();
        if self.trains { 3.0 * all - product(&self.sizes[..2]) } else { all }
    }

    fn name(&self) -> String {
        self.sizes.iter().map(usize::to_string).collect::<Vec<_>>().join("-")
    }
}

/// One a layer, or one for all hidden layers, the output then being identity.
fn activations_of(text: &str, layers: usize) -> Result<Vec<Activation>> {
    let activations = names::activations(text)?;
    match activations[..] {
        _ if activations.len() == layers => Ok(activations),
        [hidden] => Ok([vec![hidden; layers - 1], vec![Activation::Identity]].concat()),
        _ => {
            let found = activations.len();
            Err(wrong("--activations", format!("expected 1 name, or {layers} for as many layers, found {found}")))
        }
    }
}

fn time_inference<T: Scalar>(network: &Network<T>, work: &Work) -> Result<f64> {
    let engine = network.engine();
    let input = random(engine, work.sizes[0], work.batch, |u| u)?;
    let mut inference = network.inference(work.batch)?;
    median(|| {
        inference.run(input.view())?;
        engine.synchronize()
    })
}

fn time_training<T: Scalar>(network: &mut Network<T>, work: &Work) -> Result<f64> {
    let engine = Arc::clone(network.engine());
    let input = random(&engine, network.inputs(), work.batch, |u| u)?;
    let target = random(&engine, network.outputs(), work.batch, f64::round)?;
    let mut trainer = Trainer::new(network, work.loss, Sgd::new(LEARNING_RATE)?, work.batch, 1)?;
    let seconds = median(|| {
        trainer.step(input.view(), target.view())?;
        engine.synchronize()
    })?;
    if !trainer.last_loss(work.batch)?.is_finite() {
        note("warning: the loss is not finite, and the time may differ from that of useful training");
    }
    Ok(seconds)
}

/// A matrix of `of(u)`, u uniform in [0, 1), without a second copy on the host.
fn random<T: Scalar>(
    engine: &Arc<dyn Engine<T>>,
    rows: usize,
    columns: usize,
    of: fn(f64) -> f64,
) -> Result<Matrix<T>> {
    let stream = Philox::new(1, Purpose::User, 0);
    let mut matrix = Matrix::zeros(engine, rows, columns)?;
    let step = (BLOCK / rows).clamp(1, columns);
    for first in (0..columns).step_by(step) {
        let end = columns.min(first + step);
        let block: Vec<T> =
            (first * rows..end * rows).map(|index| T::from_f64(of(stream.uniform(index as u64)))).collect();
        matrix.view_mut().sub_columns(first..end)?.write(&block)?;
    }
    Ok(matrix)
}

/// Seconds of a call: the median after two calls to warm up, or one if calls are long.
fn median(mut call: impl FnMut() -> Result<()>) -> Result<f64> {
    let mut timed = || -> Result<f64> {
        let start = Instant::now();
        call()?;
        Ok(start.elapsed().as_secs_f64())
    };
    let is_long = timed()? > BUDGET / 2.0;
    let fewest = if is_long { 3 } else { 5 };
    if !is_long {
        timed()?;
    }
    let mut times = Vec::with_capacity(MOST_CALLS);
    let start = Instant::now();
    while times.len() < MOST_CALLS && (times.len() < fewest || start.elapsed().as_secs_f64() < BUDGET) {
        times.push(timed()?);
    }
    times.sort_by(f64::total_cmp);
    Ok(times[times.len() / 2])
}

fn tell<T: Scalar>(
    work: &Work,
    engine: &dyn Engine<T>,
    seconds: f64,
    peak: Option<f64>,
    out: &mut Output,
) -> Result<()> {
    let device = engine.device();
    let flops = work.flops() / seconds;
    let percent = peak.map(|peak| 100.0 * flops / peak);
    let task = if work.trains { "train" } else { "forward" };
    let json = [
        ("peer", json!("travertine")),
        ("task", json!(task)),
        ("net", json!(work.name())),
        ("batch", json!(work.batch)),
        ("threads", json!(device.threads)),
        ("device", json!(device.name)),
        ("precision", json!(T::NAME)),
        ("us", rounded(seconds * 1e6, 3)),
        ("gflops", rounded(flops / 1e9, 3)),
        ("percent_of_peak", percent.map_or(json!(null), |percent| rounded(percent, 2))),
    ];
    let attained = match (percent, peak) {
        (Some(percent), Some(peak)) => format!("{percent:.1} % of the attainable {}FLOP/s", short(peak)),
        _ => "the device's peak is not known".to_owned(),
    };
    let threads = device.threads.map_or(String::new(), |threads| format!(", threads {threads}"));
    let (net, batch, precision, name) = (work.name(), work.batch, T::NAME, &device.name);
    let text = format!("{task} {net}, batch {batch}, {precision}, {name}{threads}: {:.2} us, ", seconds * 1e6);
    out.tell(&json, &format!("{text}{}FLOP/s, {attained}", short(flops)))
}
