//! `travertine bench`

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use clap::{Args, ValueEnum};
use serde::Serialize;
use travertine::engine::Device;
use travertine::optimizer::Optimizer;
use travertine::processes::{Exchange, Group};
use travertine::{Network, Result, Scalar, Trainer};

use crate::args::device::{DeviceArgs, Precision};
use crate::args::network::NetworkArgs;
use crate::args::optimizer::OptimizerArgs;
use crate::args::processes::{ProcessesArgs, is_superfluous};
use crate::commands::bench_network::{BenchNetwork, name};
use crate::message::{warn, with_options, wrong};
use crate::output::text::short;
use crate::output::{Output, rounded};

/// Small enough that the parameters stay finite however often one batch is learned.
const LEARNING_RATE: f64 = 1e-3;
/// Seconds of measuring, if calls are short.
const BUDGET_SECONDS: f64 = 2.0;
const MOST_CALLS: usize = 5000;

/// What `bench` times.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum BenchTask {
    /// Inference
    Forward,
    /// A training step: forward, backward, update
    Train,
    /// Inference of the article's 10000-5000-1000-10, batch 10000
    Article,
    /// The sum of as many numbers as the network has parameters, among the processes that mpiexec has started
    Exchange,
}

/// `bench`
#[derive(Args, Clone, Debug)]
pub(crate) struct BenchArgs {
    /// What to time
    #[arg(value_enum)]
    task: BenchTask,
    #[command(flatten)]
    network: NetworkArgs,
    #[command(flatten)]
    optimizer: OptimizerArgs,
    #[command(flatten)]
    pub(crate) processes: ProcessesArgs,
    #[command(flatten)]
    device: DeviceArgs,
    /// Precision of all numbers
    #[arg(long, value_enum, default_value = "f32")]
    precision: Precision,
    /// A JSON line instead of text
    #[arg(long)]
    json: bool,
}

/// The line of `bench --json`.
#[derive(Serialize)]
struct BenchResult<'a> {
    peer: &'static str,
    task: &'static str,
    net: String,
    batch: usize,
    threads: Option<usize>,
    processes: usize,
    device: &'a str,
    precision: &'static str,
    us: f64,
    gflops: f64,
    percent_of_peak: Option<f64>,
}

/// Times inference, training or an exchange.
pub(crate) fn run(args: &BenchArgs) -> Result<ExitCode> {
    let mut args = args.clone();
    if matches!(args.task, BenchTask::Train | BenchTask::Exchange) {
        if let Some(status) = args.processes.start(&mut args.device)? {
            return Ok(status);
        }
    } else if is_superfluous() {
        return Ok(ExitCode::SUCCESS);
    }
    let done = match args.precision {
        Precision::F64 => bench::<f64>(&args),
        _ => bench::<f32>(&args),
    };
    args.processes.end(done.map(|()| ExitCode::SUCCESS), with_options)
}

fn bench<T: Scalar>(args: &BenchArgs) -> Result<()> {
    let mut out = Output::new(args.json);
    let shape = shape(args)?;
    if args.task == BenchTask::Exchange {
        return exchange::<T>(args, &shape, &mut out);
    }
    let engine = args.device.open::<T>(args.precision)?;
    let mut network = shape.network(&engine)?;
    let optimizer = args.optimizer.build(LEARNING_RATE)?;
    // The clock rate of the machine may change meanwhile: the better of two measurements counts.
    let before = engine.peak_flops();
    let trains = args.task == BenchTask::Train;
    let seconds = if trains {
        time_training(&mut network, &shape, args, optimizer)
    } else {
        time_inference(&network, &shape)
    }?;
    let peak = before.into_iter().chain(engine.peak_flops()).reduce(f64::max);
    let flops = shape.flops(trains) / seconds;
    let device = engine.device();
    let result = BenchResult {
        peer: "travertine",
        task: if trains { "train" } else { "forward" },
        net: name(&shape.sizes),
        batch: shape.batch,
        threads: device.threads,
        processes: args.processes.group.size(),
        device: &device.name,
        precision: args.precision.name(),
        us: rounded(seconds * 1e6, 3),
        gflops: rounded(flops / 1e9, 3),
        percent_of_peak: peak.map(|peak| rounded(100.0 * flops / peak, 2)),
    };
    out.print(&result, &describe(&result, device, (seconds, flops, peak)))
}

fn shape(args: &BenchArgs) -> Result<BenchNetwork> {
    if args.task != BenchTask::Article {
        return BenchNetwork::new(&args.network, "lecun", 64);
    }
    if args.network.network.is_some() || args.network.activations.is_some() {
        return Err(wrong("bench article", "its network is fixed; use bench forward for another"));
    }
    BenchNetwork::new(&args.network, "seed", 10_000)
}

fn time_inference<T: Scalar>(network: &Network<T>, shape: &BenchNetwork) -> Result<f64> {
    let engine = network.engine();
    let input = shape.input(engine)?;
    let mut inference = network.inference(shape.batch)?;
    median(&Group::alone(), || {
        inference.run(input.view())?;
        engine.synchronize()
    })
}

fn time_training<T: Scalar>(
    network: &mut Network<T>,
    shape: &BenchNetwork,
    args: &BenchArgs,
    optimizer: Box<dyn Optimizer<T>>,
) -> Result<f64> {
    let engine = Arc::clone(network.engine());
    let (input, target) = (shape.input(&engine)?, shape.target(&engine)?);
    let trainer = Trainer::builder(network, shape.loss, optimizer).batch(shape.batch).seed(1);
    let trainer = args.processes.of_trainer(trainer);
    let mut trainer = args.precision.of_trainer(trainer).build()?;
    let seconds = median(&args.processes.group, || {
        trainer.step(input.view(), target.view())?;
        engine.synchronize()
    })?;
    if !trainer.last_loss(shape.batch)?.is_finite() {
        warn("the loss is not finite, and the time may differ from that of useful training");
    }
    Ok(seconds)
}

/// The line of `bench exchange --json`.
#[derive(Serialize)]
struct ExchangeResult {
    peer: &'static str,
    task: &'static str,
    processes: usize,
    bytes: usize,
    sent: usize,
    us: f64,
}

/// Times the sum that a step of training makes of the gradients of all processes.
fn exchange<T: Scalar>(args: &BenchArgs, shape: &BenchNetwork, out: &mut Output) -> Result<()> {
    let group = &args.processes.group;
    let length: usize = shape.sizes.windows(2).map(|pair| (pair[0] + 1) * pair[1]).sum();
    let mut exchange = Exchange::<T>::new(group, group.size());
    let (own, mut sum) = (vec![T::default(); length], vec![T::default(); length]);
    let seconds = median(group, || exchange.sum(&[&own], &mut sum))?;
    let (processes, bytes) = (group.size(), length * size_of::<T>());
    // Each process sends all numbers but its own part, and its part of the sum to all others.
    let sent = 2 * bytes / processes * (processes - 1);
    let us = rounded(seconds * 1e6, 3);
    let result =
        ExchangeResult { peer: "travertine", task: "exchange", processes, bytes, sent, us };
    let (rate, bytes) = (short(sent as f64 / seconds), short(bytes as f64));
    out.print(
        &result,
        &format!("exchange of {bytes}B, {processes} processes: {us:.2} us, each sends {rate}B/s"),
    )
}

/// Seconds of a call: the median after two calls to warm up, or one if calls are long. Of several processes the first decides how many
/// calls there are.
fn median(group: &Group, mut call: impl FnMut() -> Result<()>) -> Result<f64> {
    let decided = |own: bool| -> Result<bool> { Ok(group.broadcast(&[u8::from(own)])? == [1]) };
    let mut timed = || -> Result<f64> {
        let start = Instant::now();
        call()?;
        Ok(start.elapsed().as_secs_f64())
    };
    let is_long = decided(timed()? > BUDGET_SECONDS / 2.0)?;
    let fewest = if is_long { 3 } else { 5 };
    if !is_long {
        timed()?;
    }
    let mut times = Vec::with_capacity(MOST_CALLS);
    let start = Instant::now();
    while times.len() < MOST_CALLS
        && (times.len() < fewest || decided(start.elapsed().as_secs_f64() < BUDGET_SECONDS)?)
    {
        times.push(timed()?);
    }
    times.sort_by(f64::total_cmp);
    Ok(times[times.len() / 2])
}

fn describe(
    result: &BenchResult<'_>,
    device: &Device,
    (seconds, flops, peak): (f64, f64, Option<f64>),
) -> String {
    let attained = peak.map_or("the device's peak is not known".to_owned(), |peak| {
        format!("{:.1} % of the attainable {}FLOP/s", 100.0 * flops / peak, short(peak))
    });
    let of_each = if result.processes > 1 { " in each" } else { "" };
    let threads =
        device.threads.map_or(String::new(), |threads| format!(", threads {threads}{of_each}"));
    let processes = match result.processes {
        1 => String::new(),
        processes => format!(", {processes} processes"),
    };
    let BenchResult { task, net, batch, precision, device, .. } = result;
    let (us, flops) = (seconds * 1e6, short(flops));
    format!(
        "{task} {net}, batch {batch}, {precision}, {device}{processes}{threads}: {us:.2} us, {flops}FLOP/s, {attained}"
    )
}
