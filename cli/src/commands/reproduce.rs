//! `travertine reproduce`: published results on MNIST, trained again.

use std::path::PathBuf;
use std::time::Instant;

use clap::{Args, ValueEnum};
use serde::Serialize;
use travertine::data::{self, Dataset, Targets};
use travertine::optimizer::{Schedule, Sgd, WeightDecay};
use travertine::{Activation, Dropout, Init, Loss, Network, Result, Samples, Trainer};

use crate::args::device::{DeviceArgs, Precision};
use crate::args::values::at_least_one;
use crate::message::note;
use crate::output::history::EpochRecord;
use crate::output::progress::Epoch;
use crate::output::text::table;
use crate::output::{Output, rounded};
use crate::train::augment::MemoryFeed;
use crate::train::session::{End, Monitor, Session};

/// Samples of MNIST's training part that Nielsen trains on; the others are for validation.
const NIELSEN_SAMPLES: usize = 50_000;

/// The publications whose results are reproduced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Publication {
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
    publication: Publication,
    /// Folder with the four original files of MNIST, plain or gzipped
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// Seeds to try, from 1 on [default: as many as the publication chose the best of]
    #[arg(long, value_parser = at_least_one)]
    seeds: Option<usize>,
    /// Epochs, for a quick look [default: those of the publication]
    #[arg(long, value_parser = at_least_one)]
    epochs: Option<usize>,
    #[command(flatten)]
    device: DeviceArgs,
    /// JSON lines, one a training
    #[arg(long)]
    json: bool,
}

/// A published figure, and how we train for it.
#[derive(Clone, Copy)]
struct Experiment {
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
    /// Whether the rate falls to 0 along half a period of the cosine; else it is constant.
    falls: bool,
    /// Whether the model is judged on the last 10,000 training samples, which are held out.
    validation: bool,
    seeds: usize,
    /// Percent of the judged samples that are classified correctly.
    published: f64,
    /// Percent that a reproduction may fall short.
    tolerance: f64,
    /// Whether the publication reports the best epoch, and not the last.
    best_epoch: bool,
}

impl Experiment {
    /// Nielsen's first network.
    const NIELSEN: Experiment = Experiment {
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
    const RELU: Experiment = Experiment {
        activation: Activation::Relu,
        output: Activation::Softmax,
        loss: Loss::SoftmaxCrossEntropy,
        init: Init::HeNormal,
        rate: 0.1,
        momentum: 0.9,
        batch: 100,
        falls: true,
        seeds: 1,
        ..Experiment::NIELSEN
    };
}

fn experiments(publication: Publication) -> Vec<Experiment> {
    match publication {
        Publication::Nielsen1 => {
            vec![
                Experiment::NIELSEN,
                Experiment { hidden: &[100], published: 96.59, ..Experiment::NIELSEN },
            ]
        }
        Publication::Nielsen3 => {
            let experiment = Experiment {
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
                ..Experiment::NIELSEN
            };
            vec![experiment, Experiment { rate: 0.1, epochs: 60, published: 98.04, ..experiment }]
        }
        Publication::Simard => {
            let experiment =
                Experiment { hidden: &[800], momentum: 0.0, batch: 20, ..Experiment::RELU };
            vec![Experiment { published: 98.4, tolerance: 0.15, ..experiment }]
        }
        Publication::Dropout => vec![Experiment {
            hidden: &[1024, 1024, 1024],
            rate: 0.05,
            dropout: Some(Dropout { inputs: 0.2, hidden: 0.5 }),
            epochs: 60,
            published: 98.75,
            tolerance: 0.2,
            ..Experiment::RELU
        }],
        Publication::Lecun => {
            let experiment = Experiment {
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
                ..Experiment::RELU
            };
            vec![experiment, Experiment { hidden: &[300, 100], published: 96.95, ..experiment }]
        }
    }
}

impl Experiment {
    fn name(&self) -> String {
        let sizes: Vec<String> = self.hidden.iter().map(usize::to_string).collect();
        let (activation, loss, rate) = (self.activation, self.loss, self.rate);
        format!("784-{}-10 {activation}, {loss}, rate {rate}", sizes.join("-"))
    }

    fn trainer<'n>(
        &self,
        network: &'n mut Network<f32>,
        samples: usize,
        seed: u64,
    ) -> Result<Trainer<'n, f32>> {
        let decay = WeightDecay::L2(self.lambda / samples as f64);
        let optimizer = Sgd::new(self.rate)?.momentum(self.momentum)?.weight_decay(decay)?;
        let steps = (self.epochs * samples.div_ceil(self.batch)) as u64;
        let schedule =
            if self.falls { Schedule::Cosine { steps, last: 0.0 } } else { Schedule::Constant };
        Trainer::builder(network, self.loss, optimizer)
            .batch(self.batch)
            .seed(seed)
            .schedule(schedule)
            .dropout(self.dropout)
            .build()
    }

    /// Trains with one seed, and judges after every epoch.
    fn run(
        &self,
        device: &DeviceArgs,
        train: &Dataset<f32>,
        judged: &Dataset<f32>,
        seed: u64,
    ) -> Result<Outcome> {
        let engine = device.open::<f32>(Precision::F32)?;
        let builder = Network::builder(&engine, train.inputs()).init(self.init).seed(seed);
        let hidden = self.hidden.iter();
        let mut network = hidden
            .fold(builder, |builder, &size| builder.dense(size, self.activation))
            .dense(train.outputs(), self.output)
            .build()?;
        let trainer = self.trainer(&mut network, train.samples(), seed)?;
        let mut memory = MemoryFeed::of(Samples::new(&engine, train)?);
        let judged = Samples::new(&engine, judged)?;
        let mut outcome = Outcome::new(self);
        let session = Session::new(trainer, self.epochs, self.rate, &mut outcome);
        match session.test(Some(judged)).run(&mut memory)?.end {
            End::Failure { error, .. } => Err(error),
            _ => Ok(outcome),
        }
    }
}

/// The result of a training, in percent of the judged samples.
struct Outcome {
    name: String,
    epochs: usize,
    start: Instant,
    last: f64,
    best: f64,
    seconds: f64,
}

impl Outcome {
    fn new(experiment: &Experiment) -> Self {
        let (name, start) = (experiment.name(), Instant::now());
        Outcome { name, epochs: experiment.epochs, start, last: 0.0, best: 0.0, seconds: 0.0 }
    }
}

impl Monitor for Outcome {
    fn epoch(&mut self, epoch: &Epoch, _records: &[EpochRecord]) -> Result<()> {
        self.last = 100.0 * epoch.test.and_then(|report| report.accuracy).unwrap_or(0.0);
        self.best = self.best.max(self.last);
        self.seconds = self.start.elapsed().as_secs_f64();
        let Outcome { name, epochs, last, seconds, .. } = self;
        let (number, loss) = (epoch.number, epoch.train.loss);
        note(&format!(
            "{name}: epoch {number}/{epochs}: loss {loss:.4}, {last:.2} % right, {seconds:.0} s"
        ));
        Ok(())
    }
}

/// A line of `reproduce --json`.
#[derive(Serialize)]
struct ReproductionLine {
    task: &'static str,
    network: String,
    judged_by: &'static str,
    published: f64,
    tolerance: f64,
    ours: f64,
    best_epoch: f64,
    reached: bool,
    seed: u64,
    epochs: usize,
    seconds: f64,
}

impl ReproductionLine {
    fn new(experiment: &Experiment, outcome: &Outcome, seed: u64) -> Self {
        let ours = if experiment.best_epoch { outcome.best } else { outcome.last };
        ReproductionLine {
            task: "reproduce",
            network: experiment.name(),
            judged_by: if experiment.validation { "validation" } else { "test" },
            published: experiment.published,
            tolerance: experiment.tolerance,
            ours: rounded(ours, 2),
            best_epoch: rounded(outcome.best, 2),
            reached: ours >= experiment.published - experiment.tolerance - 1e-9,
            seed,
            epochs: experiment.epochs,
            seconds: rounded(outcome.seconds, 1),
        }
    }

    /// The cells of a table's row.
    fn cells(&self) -> Vec<String> {
        let percent = |x: f64| format!("{x:.2} %");
        let verdict = if self.reached { "reached" } else { "missed" };
        vec![
            self.network.clone(),
            percent(self.published),
            percent(self.ours),
            self.seed.to_string(),
            percent(self.best_epoch),
            format!("{:.1}", self.seconds),
            verdict.to_owned(),
        ]
    }
}

/// Runs every experiment with every seed, and prints how close it comes.
pub(crate) fn run(args: &ReproduceArgs) -> Result<()> {
    let mut out = Output::new(args.json);
    let (train, test) = data::mnist::<f32>(&args.data)?;
    let head = ["network", "published", "ours", "seed", "best epoch", "seconds", ""];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    for mut experiment in experiments(args.publication) {
        experiment.epochs = args.epochs.unwrap_or(experiment.epochs);
        let (train, judged) =
            if experiment.validation { halves(&train)? } else { (train.clone(), test.clone()) };
        for seed in 1..=args.seeds.unwrap_or(experiment.seeds) as u64 {
            let outcome = experiment.run(&args.device, &train, &judged, seed)?;
            let line = ReproductionLine::new(&experiment, &outcome, seed);
            if args.json {
                out.json_line(&line)?;
                out.flush()?;
            }
            rows.push(line.cells());
        }
    }
    if !args.json {
        out.people(&table(&rows))?;
    }
    out.flush()
}

/// The first 50,000 samples and the rest.
fn halves(all: &Dataset<f32>) -> Result<(Dataset<f32>, Dataset<f32>)> {
    let rest = all.features().get(NIELSEN_SAMPLES * all.inputs()..).unwrap_or_default().to_vec();
    let targets = match all.targets() {
        Targets::Classes { labels, names } => Targets::Classes {
            labels: labels.get(NIELSEN_SAMPLES..).unwrap_or_default().to_vec(),
            names: names.clone(),
        },
        other => other.clone(),
    };
    Ok((all.take(NIELSEN_SAMPLES)?, Dataset::new(all.inputs(), rest, targets)?))
}
