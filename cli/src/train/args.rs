//! The arguments of the command line.

use std::path::{Path, PathBuf};

use clap::builder::RangedU64ValueParser;
use clap::{Args, Parser, Subcommand, ValueEnum};
use travertine::data::{Label, Task};
use travertine::engine::MatmulPrecision;
use travertine::{Activation, Init, LossScale, Result, Scalar, Trainer};

use crate::augment::Augment;
use crate::checkpoint::CheckpointArgs;
use crate::data::Source;
use crate::history::HistoryArgs;
use crate::names::Hidden;
use crate::optimizer::{CourseArgs, OptimizerArgs};
use crate::regularization::RegularizationArgs;
use crate::reproduce::ReproduceArgs;

const EXAMPLES: &str = "\
Examples:
  travertine train digits
  travertine train flowers.csv --label species --hidden 32 --epochs 50 --out flowers.safetensors
  travertine evaluate flowers.safetensors flowers.csv
  travertine predict flowers.safetensors new.csv --json";

/// Trains, evaluates and serves layered neural networks.
#[derive(Debug, Parser)]
#[command(name = "travertine", version, after_help = EXAMPLES)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List every engine and device: usable or not, why, how to mend it
    Devices(DevicesArgs),
    /// Train a network and save it
    Train(Box<TrainArgs>),
    /// Loss, accuracy and confusion matrix of a model (or RMSE and R2)
    Evaluate(EvaluateArgs),
    /// What a model says, one line a sample
    Predict(UseArgs),
    /// Layers, shapes and parameters of a model, and how it was trained
    Inspect(InspectArgs),
    /// Measure the tile sizes of a device's matrix product, and keep the best
    Tune(TuneArgs),
    /// Train on the CPU and on another device, and tell how far their parameters drift apart
    Parity(ParityArgs),
    /// Time inference or training, and compare with the machine's attainable peak
    Bench(BenchArgs),
    /// Train for published results on MNIST, and tell how near they are
    Reproduce(ReproduceArgs),
}

/// The numbers that matrices hold, and what large matrix products may round their factors to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Precision {
    /// f32 throughout
    F32,
    /// f64 throughout
    F64,
    /// f32, but products of factors in TensorFloat-32 (CUDA)
    Tf32,
    /// f32, but products of factors in bfloat16 (CUDA)
    Bf16,
    /// f32, but products of factors in half precision (CUDA)
    F16,
}

impl Precision {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Precision::F32 => "f32",
            Precision::F64 => "f64",
            _ => self.matmul().name(),
        }
    }

    pub(crate) fn matmul(self) -> MatmulPrecision {
        match self {
            Precision::F32 | Precision::F64 => MatmulPrecision::Full,
            Precision::Tf32 => MatmulPrecision::Tf32,
            Precision::Bf16 => MatmulPrecision::Bf16,
            Precision::F16 => MatmulPrecision::F16,
        }
    }

    /// The trainer as this precision needs it: half precision has no room for small gradients.
    pub(crate) fn of_trainer<'n, T: Scalar>(
        self,
        trainer: Trainer<'n, T>,
    ) -> Result<Trainer<'n, T>> {
        if self == Precision::F16 {
            trainer.with_loss_scale(LossScale::default())
        } else {
            Ok(trainer)
        }
    }
}

/// Which matrix products cuBLASLt computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ProductLibrary {
    /// Those for which it is faster than our own kernels
    Measured,
    /// None
    Never,
    /// All that it takes
    Always,
}

/// Which networks of dense layers a GPU computes in one kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum NetworkFusion {
    /// Those for which it is likely to be faster
    Small,
    /// None
    Never,
    /// All that fit
    Always,
}

/// What to compute on.
#[derive(Args, Clone, Debug)]
pub(crate) struct DeviceArgs {
    /// cpu, another name that `travertine devices` lists, or auto for the fastest
    #[arg(long, default_value = "cpu")]
    pub(crate) device: String,
    /// Threads of the CPU [default: one for every core]
    #[arg(long, value_parser = at_least_one())]
    pub(crate) threads: Option<usize>,
    /// Take usual tile sizes where none were measured on the device yet, instead of measuring them
    #[arg(long)]
    pub(crate) no_tune: bool,
    /// Matrix products for NVIDIA's cuBLASLt, where it is installed
    #[arg(
        long,
        value_enum,
        default_value = "measured",
        hide_possible_values = true,
        value_name = "measured|never|always"
    )]
    pub(crate) library: ProductLibrary,
    /// Networks that a GPU computes in one kernel
    #[arg(
        long,
        value_enum,
        default_value = "small",
        hide_possible_values = true,
        value_name = "small|never|always"
    )]
    pub(crate) fusion: NetworkFusion,
}

/// How tables of numbers are read.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct TableArgs {
    /// Label column of CSV or NPY data: name, number from 1, or none [default: the last]
    #[arg(long, value_parser = label)]
    pub(crate) label: Option<Label>,
    /// NPY file with the labels of NPY data
    #[arg(long, value_name = "FILE.npy", conflicts_with = "label")]
    pub(crate) labels: Option<PathBuf>,
    /// Columns of CSV data to leave out in training: names or numbers from 1
    #[arg(long, value_name = "COLUMNS", value_delimiter = ',')]
    pub(crate) drop: Vec<String>,
    /// Columns of CSV data that training takes for categories though they are numbers: names or numbers from 1
    #[arg(long, value_name = "COLUMNS", value_delimiter = ',')]
    pub(crate) categorical: Vec<String>,
    /// The first row of CSV data names the columns [default: found out]
    #[arg(long, conflicts_with = "no_header")]
    pub(crate) header: bool,
    /// The first row of CSV data is a sample
    #[arg(long)]
    pub(crate) no_header: bool,
}

impl TableArgs {
    /// What was said about the first row.
    pub(crate) fn has_header(&self) -> Option<bool> {
        match (self.header, self.no_header) {
            (true, _) => Some(true),
            (_, true) => Some(false),
            _ => None,
        }
    }

    /// The first option that was given and means nothing for Parquet.
    pub(crate) fn first_not_for_parquet(&self) -> Option<&'static str> {
        let options = [
            (self.labels.is_some(), "--labels"),
            (self.header, "--header"),
            (self.no_header, "--no-header"),
        ];
        options.into_iter().find_map(|(given, name)| given.then_some(name))
    }

    /// The first option that was given and is for CSV alone.
    pub(crate) fn first_for_csv(&self) -> Option<&'static str> {
        let options = [
            (!self.drop.is_empty(), "--drop"),
            (!self.categorical.is_empty(), "--categorical"),
            (self.header, "--header"),
            (self.no_header, "--no-header"),
        ];
        options.into_iter().find_map(|(given, name)| given.then_some(name))
    }

    /// The first option that was given.
    pub(crate) fn first_given(&self) -> Option<&'static str> {
        let options = [(self.label.is_some(), "--label"), (self.labels.is_some(), "--labels")];
        options
            .into_iter()
            .find_map(|(given, name)| given.then_some(name))
            .or_else(|| self.first_for_csv())
    }
}

/// `devices`
#[derive(Args, Debug)]
pub(crate) struct DevicesArgs {
    /// JSON lines instead of text
    #[arg(long)]
    pub(crate) json: bool,
}

/// `tune`
#[derive(Args, Debug)]
pub(crate) struct TuneArgs {
    #[command(flatten)]
    pub(crate) device: DeviceArgs,
    /// Precision of all numbers
    #[arg(long, value_enum, default_value = "f32")]
    pub(crate) precision: Precision,
    /// JSON lines instead of text
    #[arg(long)]
    pub(crate) json: bool,
}

/// `train`
#[derive(Args, Debug)]
pub(crate) struct TrainArgs {
    /// digits (built in), mnist:DIR, idx:IMAGES,LABELS, FILE.csv, FILE.tsv, FILE.txt, FILE.npy or FILE.parquet
    pub(crate) data: Source,
    /// Sizes of the hidden layers, or none
    #[arg(long, default_value = "100", value_name = "SIZES")]
    pub(crate) hidden: Hidden,
    /// Activation of the hidden layers
    #[arg(long, default_value = "relu")]
    pub(crate) activation: Activation,
    /// softmax, sigmoid or linear [default: softmax for classes, linear for values]
    #[arg(long)]
    pub(crate) output: Option<Activation>,
    /// cross-entropy, quadratic, mean-absolute or huber [default: quadratic for linear outputs, else cross-entropy]
    #[arg(long)]
    pub(crate) loss: Option<String>,
    #[command(flatten)]
    pub(crate) optimizer: OptimizerArgs,
    /// Length of a step [default: 0.1 for sgd, 0.01 for momentum and nesterov, else 0.001]
    #[arg(long, alias = "lr", allow_negative_numbers = true, value_parser = not_negative)]
    pub(crate) learning_rate: Option<f64>,
    #[command(flatten)]
    pub(crate) course: CourseArgs,
    #[command(flatten)]
    pub(crate) regularization: RegularizationArgs,
    /// Train on images that are deformed anew for each epoch: elastic(STRENGTH,SMOOTHNESS in pixels), affine(DEGREES of
    /// rotation,SHARE of the size), or both with a comma between; the numbers may be left out
    #[arg(long, value_name = "KINDS")]
    pub(crate) augment: Option<Augment>,
    /// Samples in a step
    #[arg(long, default_value_t = 10, value_parser = at_least_one())]
    pub(crate) batch: usize,
    /// Passes over the training samples
    #[arg(long, default_value_t = 30, value_parser = at_least_one())]
    pub(crate) epochs: usize,
    /// glorot, he, lecun, normal, uniform (both also with a scale, as normal(0.1)) or zeros
    #[arg(long, default_value = "glorot")]
    pub(crate) init: Init,
    /// Decides initial weights, split, order and deformations: the same seed gives the same model
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    #[command(flatten)]
    pub(crate) device: DeviceArgs,
    /// Precision of all numbers
    #[arg(long, value_enum, default_value = "f32")]
    pub(crate) precision: Precision,
    #[command(flatten)]
    pub(crate) table: TableArgs,
    /// Whether the label is classes or values [default: found out]
    #[arg(long, value_parser = task, value_name = "classes|values")]
    pub(crate) task: Option<Task>,
    /// Leave the numbers of CSV and NPY data as they are
    #[arg(long)]
    pub(crate) no_standardize: bool,
    /// Train on the first N training samples only
    #[arg(long, value_name = "N", value_parser = at_least_one())]
    pub(crate) samples: Option<usize>,
    /// Data to test on, of the same kind
    #[arg(long, value_name = "DATA", conflicts_with = "held_out")]
    pub(crate) test: Option<Source>,
    /// Share of the samples to test on, or 0 [default: 0.2, unless the data has its own test set]
    #[arg(long, value_name = "SHARE", allow_negative_numbers = true, value_parser = share)]
    pub(crate) held_out: Option<f64>,
    /// Keep the share of each class in what is held out
    #[arg(long, conflicts_with = "test")]
    pub(crate) stratify: bool,
    /// Cross validation: trains K models, each tested on the K-th part that it has not seen, and saves none
    #[arg(
        long,
        value_name = "K",
        conflicts_with_all = [
            "test", "held_out", "out", "history", "tensorboard", "report", "checkpoint", "resume", "every", "early_stopping",
        ]
    )]
    pub(crate) folds: Option<usize>,
    /// Read CSV and NPY data that do not fit into memory block by block, so many MiB at a time
    #[arg(
        long,
        value_name = "MIB",
        num_args = 0..=1,
        default_missing_value = "32",
        value_parser = at_least_one(),
        conflicts_with_all = [
            "folds", "stratify", "samples", "report", "checkpoint", "resume", "every", "early_stopping", "class_weights",
            "categorical", "labels", "augment",
        ]
    )]
    pub(crate) stream: Option<usize>,
    /// Where the model goes [default: the name of the data, in this folder]
    #[arg(long, value_name = "MODEL.safetensors")]
    pub(crate) out: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) history: HistoryArgs,
    #[command(flatten)]
    pub(crate) checkpoint: CheckpointArgs,
    /// No progress bar and no live curve in a terminal
    #[arg(long)]
    pub(crate) plain: bool,
    /// JSON lines on standard output, the last one the result
    #[arg(long)]
    pub(crate) json: bool,
}

impl TrainArgs {
    pub(crate) fn rate(&self) -> f64 {
        self.learning_rate.unwrap_or_else(|| self.optimizer.usual_rate())
    }

    /// Every file that is read.
    pub(crate) fn inputs(&self) -> Vec<&Path> {
        let sources = [Some(&self.data), self.test.as_ref()];
        sources
            .into_iter()
            .flatten()
            .flat_map(Source::files)
            .chain(self.table.labels.as_deref())
            .collect()
    }
}

/// What `evaluate` and `predict` use
#[derive(Args, Debug)]
pub(crate) struct UseArgs {
    /// Model file
    pub(crate) model: PathBuf,
    /// digits, mnist:DIR, idx:IMAGES,LABELS, FILE.csv, FILE.tsv, FILE.txt, FILE.npy or FILE.parquet
    pub(crate) data: Source,
    #[command(flatten)]
    pub(crate) device: DeviceArgs,
    /// Precision of all numbers [default: the model's]
    #[arg(long, value_enum)]
    pub(crate) precision: Option<Precision>,
    #[command(flatten)]
    pub(crate) table: TableArgs,
    /// JSON lines on standard output
    #[arg(long)]
    pub(crate) json: bool,
}

/// `evaluate`
#[derive(Args, Debug)]
pub(crate) struct EvaluateArgs {
    #[command(flatten)]
    pub(crate) model_and_data: UseArgs,
    /// Tell how often the true class is among the K likeliest [default: 5, where there are more classes]
    #[arg(long, value_name = "K")]
    pub(crate) top_k: Option<usize>,
}

/// `inspect`
#[derive(Args, Debug)]
pub(crate) struct InspectArgs {
    /// Model file
    pub(crate) model: PathBuf,
    /// A JSON line instead of text
    #[arg(long)]
    pub(crate) json: bool,
}

/// A network to measure or compare.
#[derive(Args, Debug)]
pub(crate) struct NetworkArgs {
    /// Sizes of inputs and layers, or nielsen, lecun, ciresan, tiny, seed [default: 784-300-100-10]
    #[arg(long)]
    pub(crate) network: Option<String>,
    /// One activation a layer, or one for all hidden layers [default: relu]
    #[arg(long)]
    pub(crate) activations: Option<String>,
    /// cross-entropy, quadratic, mean-absolute or huber
    #[arg(long)]
    pub(crate) loss: Option<String>,
    /// Samples in a call [default: 64, article: 10000]
    #[arg(long, value_parser = at_least_one())]
    pub(crate) batch: Option<usize>,
}

/// `parity`
#[derive(Args, Debug)]
pub(crate) struct ParityArgs {
    #[command(flatten)]
    pub(crate) network: NetworkArgs,
    /// Training steps
    #[arg(long, default_value_t = 100, value_parser = at_least_one())]
    pub(crate) steps: usize,
    #[command(flatten)]
    pub(crate) optimizer: OptimizerArgs,
    /// Length of a step [default: 0.001 for rmsprop, adam and adamw, else 0.01]
    #[arg(long, allow_negative_numbers = true, value_parser = not_negative)]
    pub(crate) learning_rate: Option<f64>,
    #[command(flatten)]
    pub(crate) device: DeviceArgs,
    /// Precision of all numbers
    #[arg(long, value_enum, default_value = "f32")]
    pub(crate) precision: Precision,
    /// JSON lines, the last one the result
    #[arg(long)]
    pub(crate) json: bool,
}

/// What `bench` times.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum BenchTask {
    /// Inference
    Forward,
    /// A training step: forward, backward, update
    Train,
    /// Inference of the article's 10000-5000-1000-10, batch 10000
    Article,
}

/// `bench`
#[derive(Args, Debug)]
pub(crate) struct BenchArgs {
    /// What to time
    #[arg(value_enum)]
    pub(crate) task: BenchTask,
    #[command(flatten)]
    pub(crate) network: NetworkArgs,
    #[command(flatten)]
    pub(crate) optimizer: OptimizerArgs,
    #[command(flatten)]
    pub(crate) device: DeviceArgs,
    /// Precision of all numbers
    #[arg(long, value_enum, default_value = "f32")]
    pub(crate) precision: Precision,
    /// A JSON line instead of text
    #[arg(long)]
    pub(crate) json: bool,
}

pub(crate) fn at_least_one() -> RangedU64ValueParser<usize> {
    RangedU64ValueParser::new().range(1..)
}

pub(crate) fn not_negative(text: &str) -> Result<f64, String> {
    let number = text.parse().ok().filter(|number: &f64| number.is_finite() && *number >= 0.0);
    number.ok_or_else(|| "expected a finite number not below 0".to_owned())
}

pub(crate) fn positive(text: &str) -> Result<f64, String> {
    let number = text.parse().ok().filter(|number: &f64| number.is_finite() && *number > 0.0);
    number.ok_or_else(|| "expected a finite number above 0".to_owned())
}

pub(crate) fn share(text: &str) -> Result<f64, String> {
    let share = text.parse().ok().filter(|share| (0.0..1.0).contains(share));
    share.ok_or_else(|| "expected a number from 0 to less than 1".to_owned())
}

fn label(text: &str) -> Result<Label, String> {
    match (text, text.parse()) {
        ("none", _) => Ok(Label::None),
        ("", _) => Err("expected a name, a number from 1, or none".to_owned()),
        (_, Ok(0)) => Err("columns are counted from 1".to_owned()),
        (_, Ok(number)) => Ok(Label::Number(number)),
        (name, Err(_)) => Ok(Label::Name(name.to_owned())),
    }
}

fn task(text: &str) -> Result<Task, String> {
    match text {
        "classes" => Ok(Task::Classes),
        "values" => Ok(Task::Values),
        _ => Err("expected classes or values".to_owned()),
    }
}
