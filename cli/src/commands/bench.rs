//! `travertine bench`

use std::sync::Arc;
use std::time::Instant;

use serde_json::json;
use travertine::engine::Engine;
use travertine::optimizer::Optimizer;
use travertine::{Network, Result, Scalar, Trainer};

use crate::args::{BenchArgs, BenchTask, Precision};
use crate::devices;
use crate::names::wrong;
use crate::output::{Output, note, rounded, short};
use crate::work::{Work, name};

/// Small enough that the parameters stay finite however often one batch is learned.
const LEARNING_RATE: f64 = 1e-3;
/// Seconds of measuring, if calls are short.
const BUDGET: f64 = 2.0;
const MOST_CALLS: usize = 5000;

/// Times inference or training.
pub(crate) fn run(args: &BenchArgs) -> Result<()> {
    match args.precision {
        Precision::F64 => bench::<f64>(args),
        _ => bench::<f32>(args),
    }
}

fn bench<T: Scalar>(args: &BenchArgs) -> Result<()> {
    let mut out = Output::new(args.json);
    let work = work(args)?;
    let engine = devices::open::<T>(&args.device, args.precision)?;
    let mut network = work.network(&engine)?;
    let optimizer = args.optimizer.build(LEARNING_RATE)?;
    // The clock of the machine may change on the way: the better of two looks counts.
    let before = engine.peak_flops();
    let trains = args.task == BenchTask::Train;
    let seconds = if trains {
        time_training(&mut network, &work, args.precision, optimizer)
    } else {
        time_inference(&network, &work)
    }?;
    let peak = before.into_iter().chain(engine.peak_flops()).reduce(f64::max);
    tell(&work, trains, args.precision, engine.as_ref(), seconds, peak, &mut out)
}

fn work(args: &BenchArgs) -> Result<Work> {
    if args.task != BenchTask::Article {
        return Work::new(&args.network, "lecun", 64);
    }
    if args.network.network.is_some() || args.network.activations.is_some() {
        return Err(wrong("bench article", "its network is fixed; use bench forward for another"));
    }
    Work::new(&args.network, "seed", 10_000)
}

fn time_inference<T: Scalar>(network: &Network<T>, work: &Work) -> Result<f64> {
    let engine = network.engine();
    let input = work.input(engine)?;
    let mut inference = network.inference(work.batch)?;
    median(|| {
        inference.run(input.view())?;
        engine.synchronize()
    })
}

fn time_training<T: Scalar>(
    network: &mut Network<T>,
    work: &Work,
    precision: Precision,
    optimizer: Box<dyn Optimizer<T>>,
) -> Result<f64> {
    let engine = Arc::clone(network.engine());
    let (input, target) = (work.input(&engine)?, work.target(&engine)?);
    let mut trainer =
        precision.of_trainer(Trainer::new(network, work.loss, optimizer, work.batch, 1)?)?;
    let seconds = median(|| {
        trainer.step(input.view(), target.view())?;
        engine.synchronize()
    })?;
    if !trainer.last_loss(work.batch)?.is_finite() {
        note(
            "warning: the loss is not finite, and the time may differ from that of useful training",
        );
    }
    Ok(seconds)
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
    while times.len() < MOST_CALLS
        && (times.len() < fewest || start.elapsed().as_secs_f64() < BUDGET)
    {
        times.push(timed()?);
    }
    times.sort_by(f64::total_cmp);
    Ok(times[times.len() / 2])
}

fn tell<T: Scalar>(
    work: &Work,
    trains: bool,
    precision: Precision,
    engine: &dyn Engine<T>,
    seconds: f64,
    peak: Option<f64>,
    out: &mut Output,
) -> Result<()> {
    let device = engine.device();
    let flops = work.flops(trains) / seconds;
    let percent = peak.map(|peak| 100.0 * flops / peak);
    let task = if trains { "train" } else { "forward" };
    let json = [
        ("peer", json!("travertine")),
        ("task", json!(task)),
        ("net", json!(name(&work.sizes))),
        ("batch", json!(work.batch)),
        ("threads", json!(device.threads)),
        ("device", json!(device.name)),
        ("precision", json!(precision.name())),
        ("us", rounded(seconds * 1e6, 3)),
        ("gflops", rounded(flops / 1e9, 3)),
        ("percent_of_peak", percent.map_or(json!(null), |percent| rounded(percent, 2))),
    ];
    let attained = match (percent, peak) {
        (Some(percent), Some(peak)) => {
            format!("{percent:.1} % of the attainable {}FLOP/s", short(peak))
        }
        _ => "the device's peak is not known".to_owned(),
    };
    let threads = device.threads.map_or(String::new(), |threads| format!(", threads {threads}"));
    let (net, batch, precision, name) =
        (name(&work.sizes), work.batch, precision.name(), &device.name);
    let text = format!(
        "{task} {net}, batch {batch}, {precision}, {name}{threads}: {:.2} us, ",
        seconds * 1e6
    );
    out.tell(&json, &format!("{text}{}FLOP/s, {attained}", short(flops)))
}
