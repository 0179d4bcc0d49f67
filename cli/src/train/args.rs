//! The arguments of `travertine train`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use clap::Args;
use travertine::data::Task;
use travertine::{Activation, Init, Quantiles, Result};

use crate::args::augment::Augment;
use crate::args::checkpoint::{CheckpointArgs, CheckpointFolder, Keep};
use crate::args::device::{DeviceArgs, Precision};
use crate::args::history::HistoryArgs;
use crate::args::init::FirstWeights;
use crate::args::memory::Memory;
use crate::args::names::Hidden;
use crate::args::optimizer::OptimizerArgs;
use crate::args::preset::{Preset, Quality};
use crate::args::processes::ProcessesArgs;
use crate::args::regularization::RegularizationArgs;
use crate::args::schedule::ScheduleArgs;
use crate::args::source::Source;
use crate::args::table::{Scaling, TableArgs};
use crate::args::values::{
    at_least_one, at_least_two, not_negative, positive, quantiles, share, task,
};
use crate::message::wrong;

/// `train`
#[derive(Args, Clone, Debug)]
pub(crate) struct TrainArgs {
    /// The recipe of options that are not given [default: auto for tables in memory, but plain beside --hidden, --activation,
    /// --parametric, --members, --init, --fit-init, --normalization, --optimizer, --momentum, --learning-rate and --schedule, which name another recipe]
    #[arg(long, value_enum)]
    pub(crate) preset: Option<Preset>,
    /// fast: one network; best: five, each tested on another fifth of the samples to train on, whose mean the model answers
    #[arg(
        long,
        value_enum,
        default_value = "fast",
        conflicts_with_all = ["folds", "stream", "augment"]
    )]
    pub(crate) quality: Quality,
    /// The options that were given.
    #[arg(skip)]
    pub(crate) given: BTreeSet<String>,
    #[command(flatten)]
    pub(crate) layers: LayerArgs,
    #[command(flatten)]
    pub(crate) optimizer: OptimizerArgs,
    /// Length of a step [default: 0.1 for sgd, 0.01 for momentum and nesterov, else 0.001; lowered where it diverges]
    #[arg(long, alias = "lr", allow_negative_numbers = true, value_parser = not_negative)]
    pub(crate) learning_rate: Option<f64>,
    #[command(flatten)]
    pub(crate) schedule: ScheduleArgs,
    #[command(flatten)]
    pub(crate) regularization: RegularizationArgs,
    /// Samples in a step
    #[arg(long, default_value_t = 10, value_parser = at_least_one)]
    pub(crate) batch: usize,
    /// Passes over the training samples
    #[arg(long, default_value_t = 30, value_parser = at_least_one)]
    pub(crate) epochs: usize,
    /// Seconds that the training may take, about: there are fewer epochs where they take longer, and the schedule stays whole
    #[arg(long, value_name = "SECONDS", allow_negative_numbers = true, value_parser = positive, conflicts_with_all = ["folds", "stream", "resume"])]
    pub(crate) time_limit: Option<f64>,
    /// Divide the logits of classes by the temperature that suits the samples held out, or move quantiles so that their shares of these
    /// samples lie below them: so that probabilities and intervals are honest
    #[arg(long, conflicts_with_all = ["folds", "stream"])]
    pub(crate) calibrate: bool,
    /// Decides initial weights, split, order and deformations: the same seed gives the same model
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    #[command(flatten)]
    pub(crate) processes: ProcessesArgs,
    #[command(flatten)]
    pub(crate) device: DeviceArgs,
    /// Precision of all numbers
    #[arg(long, value_enum, default_value = "f32")]
    pub(crate) precision: Precision,
    #[command(flatten)]
    pub(crate) data: DataArgs,
    /// Cross-validation: trains K models, each tested on the K-th part that it was not trained on, and saves none
    #[arg(
        long,
        value_name = "K",
        conflicts_with_all = [
            "test", "held_out", "out", "history", "tensorboard", "report", "checkpoint", "resume", "every", "early_stopping",
            "keep_epoch",
        ]
    )]
    pub(crate) folds: Option<usize>,
    /// Read a table that does not fit into memory block by block, this many MiB at a time
    #[arg(
        long,
        value_name = "MIB",
        num_args = 0..=1,
        default_missing_value = "32",
        value_parser = at_least_one,
        conflicts_with_all = [
            "folds", "samples", "report", "checkpoint", "resume", "every", "early_stopping", "keep_epoch", "augment",
        ]
    )]
    pub(crate) stream: Option<usize>,
    /// File of the model [default: the name of the data, in this folder]
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

/// The layers and the loss.
#[derive(Args, Clone, Debug)]
pub(crate) struct LayerArgs {
    /// Sizes of the hidden layers, or none
    #[arg(long, default_value = "100", value_name = "SIZES")]
    pub(crate) hidden: Hidden,
    /// Activation of the hidden layers, as relu, tanh or sigmoid; an unknown name lists all
    #[arg(long, default_value = "relu")]
    pub(crate) activation: Activation,
    /// Learn how much of its activation each hidden unit has: (1 - a) x + a f(x)
    #[arg(long)]
    pub(crate) parametric: bool,
    /// Networks in one that share their hidden layers, with factors for their units and outputs of their own (TabM); each is trained by a
    /// loss of its own, and the model answers their mean
    #[arg(long, value_name = "COUNT", value_parser = at_least_two, conflicts_with_all = ["parametric", "normalization", "fit_init"])]
    pub(crate) members: Option<usize>,
    /// softmax, sigmoid or linear [default: softmax for classes, linear for values]
    #[arg(long)]
    pub(crate) output: Option<Activation>,
    /// cross-entropy, quadratic, mean-absolute or huber [default: quadratic for linear outputs, else cross-entropy]
    #[arg(long)]
    pub(crate) loss: Option<String>,
    /// Predict these quantiles of the label, one column of values, in the place of its mean: shares above 0 and below 1, ascending, as
    /// 0.1,0.5,0.9. The loss is the mean of their pinball losses
    #[arg(long, value_name = "LEVELS", value_parser = quantiles, conflicts_with = "loss")]
    pub(crate) quantiles: Option<Quantiles>,
    /// First weights: glorot, he, lecun, normal, uniform (both also with a scale, as normal(0.1)), zeros, or a safetensors file
    /// with the tensors layers.N.weight or, as torch.nn.Sequential names them, N.weight
    #[arg(long, default_value = "glorot")]
    pub(crate) init: FirstWeights,
    /// Fit the first weights and biases to the training samples: sums of variance 1, units that bend among the samples
    #[arg(long)]
    pub(crate) fit_init: bool,
    /// Answer no value below or above those of the training samples
    #[arg(long)]
    pub(crate) bound_values: bool,
}

/// The samples: where they come from, which to train on and which to test on.
#[derive(Args, Clone, Debug)]
pub(crate) struct DataArgs {
    /// digits (built in), mnist:DIR, idx:IMAGES,LABELS, or a file with a table: CSV and its relatives under any name, FILE.npy,
    /// FILE.parquet, FILE.arrow
    #[arg(id = "data", value_name = "DATA")]
    pub(crate) source: Source,
    #[command(flatten)]
    pub(crate) table: TableArgs,
    /// Whether the label is classes or values [default: detected]
    #[arg(long, value_parser = task, value_name = "classes|values")]
    pub(crate) task: Option<Task>,
    /// What becomes of the features of a table
    #[arg(long, value_enum, default_value = "standard", conflicts_with = "no_standardize")]
    scaling: Scaling,
    /// Learn a vector of 8 numbers for each text of a column of a table with more than N different texts; otherwise each text is a
    /// feature of its own
    #[arg(long, value_name = "N", conflicts_with = "stream")]
    pub(crate) embed_categories: Option<usize>,
    /// Cut the numbers of each column of a table into N bins of equally many rows, a feature each: 0 below its bin, 1 above it, and
    /// on a line between ("piecewise linear encoding")
    #[arg(long, value_name = "N", value_parser = at_least_two, conflicts_with = "stream")]
    pub(crate) bins: Option<usize>,
    /// Do not standardize the features of a table: --scaling none
    #[arg(long)]
    no_standardize: bool,
    /// Train on images that are deformed anew for each epoch: elastic(STRENGTH,SMOOTHNESS in pixels), affine(DEGREES of
    /// rotation,SHARE of the size), or both with a comma between; the numbers may be left out
    #[arg(long, value_name = "KINDS")]
    pub(crate) augment: Option<Augment>,
    /// Train on the first N training samples only
    #[arg(long, value_name = "N", value_parser = at_least_one)]
    pub(crate) samples: Option<usize>,
    /// Data to test on, of the same kind
    #[arg(long, value_name = "DATA", conflicts_with = "held_out")]
    pub(crate) test: Option<Source>,
    /// Share of the samples to test on, or 0 [default: 0.2, unless the data has its own test set]
    #[arg(long, value_name = "SHARE", allow_negative_numbers = true, value_parser = share)]
    pub(crate) held_out: Option<f64>,
    /// The table, where it is in memory; `source` is then its name.
    #[arg(skip)]
    pub(crate) memory: Option<Memory>,
    /// Keep the share of each class in what is held out
    #[arg(long, conflicts_with = "test")]
    pub(crate) stratify: bool,
    /// Hold out the last share of the samples in their order, as for a series of times
    #[arg(
        long,
        value_name = "SHARE",
        value_parser = share,
        conflicts_with_all = ["test", "held_out", "stratify", "folds", "stream"]
    )]
    pub(crate) held_out_last: Option<f64>,
}

impl TrainArgs {
    /// Refuses options that have no effect beside the others.
    pub(crate) fn check_effects(&self, has_classes: bool) -> Result<()> {
        let (checkpoint, is_given) = (&self.checkpoint, |option| self.is_given(option));
        let keeps_last = is_given("keep_epoch") && checkpoint.keep_epoch == Keep::Last;
        if keeps_last && checkpoint.early_stopping.is_some() {
            return Err(wrong(
                "--keep-epoch",
                "last contradicts --early-stopping, which saves the best epoch",
            ));
        }
        if checkpoint.keep_epoch == Keep::Accuracy && !has_classes {
            return Err(wrong("--keep-epoch", "accuracy is of classes, but the label is values"));
        }
        if is_given("on_checkpoint_error") && matches!(checkpoint.folder()?, CheckpointFolder::None)
        {
            return Err(wrong("--on-checkpoint-error", "is for checkpoints; add --checkpoint DIR"));
        }
        if is_given("activation") && self.layers.hidden.0.is_empty() {
            let reason = "is of hidden layers, and --hidden none leaves none; --output is the activation of the outputs";
            return Err(wrong("--activation", reason));
        }
        let has_zeros = self.layers.init == FirstWeights::Rule(Init::Zeros);
        if self.layers.fit_init && has_zeros {
            return Err(wrong(
                "--fit-init",
                "scales the first weights, and --init zeros leaves nothing to scale",
            ));
        }
        let fades = self.regularization.has_dropout() || self.optimizer.decays();
        if is_given("fade_regularization") && !fades {
            let reason =
                "is for --dropout, --input-dropout and --weight-decay; none of them is given";
            return Err(wrong("--fade-regularization", reason));
        }
        Ok(())
    }

    /// Whether an option with a default was given.
    pub(crate) fn is_given(&self, option: &str) -> bool {
        self.given.contains(option)
    }
}

impl DataArgs {
    /// What becomes of the features of a table.
    pub(crate) fn scaling(&self) -> Scaling {
        if self.no_standardize { Scaling::None } else { self.scaling }
    }

    /// Holds out nothing of a table, unless an option says what to test on.
    pub(crate) fn hold_out_nothing(&mut self) {
        let says_what = self.test.is_some() || self.held_out_last.is_some();
        if self.source.is_table() && !says_what {
            self.held_out.get_or_insert(0.0);
        }
    }

    /// Replaces what becomes of the features of a table.
    pub(crate) fn set_scaling(&mut self, scaling: Scaling) {
        (self.scaling, self.no_standardize) = (scaling, false);
    }

    /// Every file that is read.
    pub(crate) fn files(&self) -> Vec<&Path> {
        let sources = [Some(&self.source), self.test.as_ref()];
        sources
            .into_iter()
            .flatten()
            .flat_map(Source::files)
            .chain(self.table.labels.as_deref())
            .collect()
    }
}
