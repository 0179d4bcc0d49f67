//! `travertine reproduce`: published results on MNIST, trained again.

use std::path::PathBuf;
use std::time::Instant;

use clap::{Args, ValueEnum};
use serde_json::json;
use travertine::data::{self, Dataset, Targets};
use travertine::optimizer::{Schedule, Sgd, WeightDecay};
use travertine::{Activation, Dropout, Init, Loss, Network, Result, Samples, Trainer};

use crate::args::{DeviceArgs, Precision, at_least_one};
use crate::devices;
use crate::output::{Output, note, rounded, table};

/// Samples of MNIST's training part that Nielsen trains on; the others are for validation.
const NIELSENS: usize = 50_000;

/// Whose results.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Publication {
    /// Nielsen, "Neural Networks and Deep Learning", chapter 1: quadratic cost
    #[value(name = "nielsen-1")]
    Nielsen1,
    /// The same, chapter 3: cross-entropy, better initial weights, weight decay
    #[value(name = "nielsen-3")]
    Nielsen3,
    /// Simard, Steinkraus and Platt 2003: 800 hidden units
    Simard,
    /// Srivastava et al. 2014: dropout in three layers of 1024
    Dropout,
    /// LeCun et al. 1998: one and two hidden layers
    Lecun,
}

/// `reproduce`
#[derive(Args, Debug)]
pub(crate) struct ReproduceArgs {
    /// Whose results
    #[arg(value_enum)]
    pub(crate) publication: Publication,
    /// Folder with the four original files of MNIST, plain or gzipped
    #[arg(long, value_name = "DIR")]
    pub(crate) data: PathBuf,
    /// Seeds to try, from 1 on [default: as many as the publication took the best of]
    #[arg(long, value_parser = at_least_one())]
    pub(crate) seeds: Option<usize>,
    /// Epochs, for a quick look [default: those of the publication]
    #[arg(long, value_parser = at_least_one())]
    pub(crate) epochs: Option<usize>,
    #[command(flatten)]
    pub(crate) device: DeviceArgs,
    /// JSON lines, one a training
    #[arg(long)]
    pub(crate) json: bool,
}

/// A published figure, and how we train for it.
#[derive(Clone, Copy)]
struct Row {
    hidden: &'static [usize],
    activation: Activation,
    output: Activation,
    loss: Loss,
    init: Init,
    rate: f64,
    momentum: f64,
    /// L2's lambda as Nielsen writes it: the decay is lambda over the number of training samples.
    lambda: f64,
    dropout: Option<Dropout>,
    batch: usize,
    epochs: usize,
    /// The rate falls to nothing along half a wave of the cosine; else it stays.
    falls: bool,
    /// Whether the last 10,000 training samples are held out, and judged by.
    validation: bool,
    seeds: usize,
    /// Percent of the samples judged that are right.
    published: f64,
    /// Percent that we may fall short of it.
    tolerance: f64,
    /// Whether the publication tells the best epoch, and not the last.
    best_epoch: bool,
}

impl Row {
    /// Nielsen's first network.
    const NIELSEN: Row = Row {
        hidden: &[30],
        activation: Activation::Sigmoid,
        output: Activation::Sigmoid,
        loss: Loss::Quadratic,
        init: Init::Normal(1.0),
        rate: 3.0,
        momentum: 0.0,
        lambda: 0.0,
        dropout: None,
        batch: 10,
        epochs: 30,
        falls: false,
        validation: false,
        seeds: 3,
        published: 95.42,
        tolerance: 0.5,
        best_epoch: false,
    };
    /// A rectified network behind softmax. The publications leave rates and lengths open.
    const RELU: Row = Row {
        activation: Activation::Relu,
        output: Activation::Softmax,
        loss: Loss::SoftmaxCrossEntropy,
        init: Init::HeNormal,
        rate: 0.1,
        momentum: 0.9,
        batch: 100,
        falls: true,
        seeds: 1,
        ..Row::NIELSEN
    };
}

fn rows(publication: Publication) -> Vec<Row> {
    match publication {
        Publication::Nielsen1 => {
            vec![Row::NIELSEN, Row { hidden: &[100], published: 96.59, ..Row::NIELSEN }]
        }
        Publication::Nielsen3 => {
            let row = Row {
                hidden: &[100],
                loss: Loss::BinaryCrossEntropy,
                init: Init::Lecun,
                rate: 0.5,
                lambda: 5.0,
                validation: true,
                seeds: 1,
                published: 97.92,
                tolerance: 0.3,
                best_epoch: true,
                ..Row::NIELSEN
            };
            vec![row, Row { rate: 0.1, epochs: 60, published: 98.04, ..row }]
        }
        Publication::Simard => {
            let row = Row { hidden: &[800], momentum: 0.0, batch: 20, ..Row::RELU };
            vec![Row { published: 98.4, tolerance: 0.15, ..row }]
        }
        Publication::Dropout => vec![Row {
            hidden: &[1024, 1024, 1024],
            rate: 0.05,
            dropout: Some(Dropout { inputs: 0.2, hidden: 0.5 }),
            epochs: 60,
            published: 98.75,
            tolerance: 0.2,
            ..Row::RELU
        }],
        Publication::Lecun => {
            let row = Row {
                hidden: &[300],
                activation: Activation::Tanh,
                output: Activation::Sigmoid,
                loss: Loss::Quadratic,
                init: Init::Lecun,
                rate: 1.0,
                momentum: 0.0,
                batch: 10,
                epochs: 15,
                published: 95.3,
                tolerance: 0.0,
                ..Row::RELU
            };
            vec![row, Row { hidden: &[300, 100], published: 96.95, ..row }]
        }
    }
}

/// What a training came to, in percent of the samples judged.
struct Outcome {
    last: f64,
    best: f64,
    seconds: f64,
}

/// Trains every row with every seed, and tells how near it comes.
pub(crate) fn run(args: &ReproduceArgs) -> Result<()> {
    let mut out = Output::new(args.json);
    let (train, test) = data::mnist::<f32>(&args.data)?;
    let head = ["network", "published", "ours", "seed", "best epoch", "seconds", ""];
    let mut lines = vec![head.map(str::to_owned).to_vec()];
    for mut row in rows(args.publication) {
        row.epochs = args.epochs.unwrap_or(row.epochs);
        let (train, judged) =
            if row.validation { halves(&train)? } else { (train.clone(), test.clone()) };
        for seed in 1..=args.seeds.unwrap_or(row.seeds) as u64 {
            let outcome = training(args, &row, &train, &judged, seed)?;
            let ours = if row.best_epoch { outcome.best } else { outcome.last };
            let reached = ours >= row.published - row.tolerance - 1e-9;
            let json = [
                ("task", json!("reproduce")),
                ("network", json!(network(&row))),
                ("judged_by", json!(if row.validation { "validation" } else { "test" })),
                ("published", json!(row.published)),
                ("tolerance", json!(row.tolerance)),
                ("ours", rounded(ours, 2)),
                ("best_epoch", rounded(outcome.best, 2)),
                ("reached", json!(reached)),
                ("seed", json!(seed)),
                ("epochs", json!(row.epochs)),
                ("seconds", rounded(outcome.seconds, 1)),
            ];
            if args.json {
                out.tell(&json, "")?;
            }
            let verdict = if reached { "reached" } else { "missed" }.to_owned();
            let percent = |x: f64| format!("{x:.2} %");
            let seconds = format!("{:.1}", outcome.seconds);
            let (published, ours, best) =
                (percent(row.published), percent(ours), percent(outcome.best));
            lines.push(vec![
                network(&row),
                published,
                ours,
                seed.to_string(),
                best,
                seconds,
                verdict,
            ]);
        }
    }
    if args.json {
        Ok(())
    } else {
        table(&lines).iter().try_for_each(|line| out.line(line)).and_then(|()| out.flush())
    }
}

/// The first 50,000 samples and the rest.
fn halves(all: &Dataset<f32>) -> Result<(Dataset<f32>, Dataset<f32>)> {
    let rest = all.features().get(NIELSENS * all.inputs()..).unwrap_or_default().to_vec();
    let targets = match all.targets() {
        Targets::Classes { labels, names } => Targets::Classes {
            labels: labels.get(NIELSENS..).unwrap_or_default().to_vec(),
            names: names.clone(),
        },
        other => other.clone(),
    };
    Ok((all.take(NIELSENS)?, Dataset::new(all.inputs(), rest, targets)?))
}

fn network(row: &Row) -> String {
    let sizes: Vec<String> = row.hidden.iter().map(usize::to_string).collect();
    format!("784-{}-10 {}, {}, rate {}", sizes.join("-"), row.activation, row.loss, row.rate)
}

fn training(
    args: &ReproduceArgs,
    row: &Row,
    train: &Dataset<f32>,
    judged: &Dataset<f32>,
    seed: u64,
) -> Result<Outcome> {
    let engine = devices::open::<f32>(&args.device, Precision::F32)?;
    let mut builder = Network::builder(&engine, train.inputs()).init(row.init).seed(seed);
    for &size in row.hidden {
        builder = builder.dense(size, row.activation);
    }
    let mut network = builder.dense(train.outputs(), row.output).build()?;
    let decay = WeightDecay::L2(row.lambda / train.samples() as f64);
    let optimizer = Sgd::new(row.rate)?.momentum(row.momentum)?.weight_decay(decay)?;
    let steps = (row.epochs * train.samples().div_ceil(row.batch)) as u64;
    let schedule =
        if row.falls { Schedule::Cosine { steps, last: 0.0 } } else { Schedule::Constant };
    let mut trainer = Trainer::new(&mut network, row.loss, optimizer, row.batch, seed)?
        .with_schedule(schedule)?;
    if let Some(dropout) = row.dropout {
        trainer = trainer.with_dropout(dropout)?;
    }
    let (mut samples, mut judged) = (Samples::new(&engine, train)?, Samples::new(&engine, judged)?);
    let start = Instant::now();
    let mut outcome = Outcome { last: 0.0, best: 0.0, seconds: 0.0 };
    for epoch in 1..=row.epochs {
        let loss = trainer.epoch(&mut samples)?.loss;
        outcome.last = 100.0 * trainer.evaluate(&mut judged)?.accuracy.unwrap_or(0.0);
        outcome.best = outcome.best.max(outcome.last);
        outcome.seconds = start.elapsed().as_secs_f64();
        let Outcome { last, seconds, .. } = outcome;
        note(&format!(
            "{}: epoch {epoch}/{}: loss {loss:.4}, {last:.2} % right, {seconds:.0} s",
            self::network(row),
            row.epochs
        ));
    }
    Ok(outcome)
}
