//! `--preset`: the recipe of a training by a name.
//!
//! `auto` is RealMLP's (Holzmüller, Grinsztajn and Steinwart, "Better by default", NeurIPS 2024, table A.1), as far as this program has its
//! parts. Options that are given take the place of its values.

use std::fmt;

use clap::ValueEnum;
use travertine::data::Targets;
use travertine::{Activation, Init, Result, Scalar};

use crate::args::checkpoint::Keep;
use crate::args::init::FirstWeights;
use crate::args::names::Hidden;
use crate::args::optimizer::OptimizerName;
use crate::args::regularization::Rates;
use crate::args::source::Source;
use crate::args::table::Scaling;
use crate::message::{note, wrong};
use crate::train::args::TrainArgs;
use crate::train::data::TrainingData;

/// The recipe that options not given are taken from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Preset {
    /// For tables: a larger network, and everything else sized by rows
    Auto,
    /// The defaults that this help names
    Plain,
}

/// Passes over the samples, for as many samples as `MOST_SAMPLES` allows.
const EPOCHS: usize = 256;
/// Samples of all epochs together: 256 epochs of 50,000.
const MOST_SAMPLES: usize = 12_800_000;
const LEAST_EPOCHS: usize = 8;

/// Samples in a step for tables of up to so many rows.
const BATCHES: [(usize, usize); 5] =
    [(1000, 64), (8000, 128), (30_000, 256), (100_000, 512), (usize::MAX, 1024)];

impl Preset {
    /// The preset of a training: the one that was given; else `auto` for a table in memory whose recipe is left to the program.
    pub(crate) fn of(args: &TrainArgs) -> Result<Preset> {
        let is_table = matches!(args.data.source, Source::Table(_));
        let fits = is_table && args.stream.is_none();
        match args.preset {
            Some(Preset::Auto) if !fits => {
                let reason = "auto is for tables in memory; leave it out, or take plain";
                Err(wrong("--preset", reason))
            }
            Some(preset) => Ok(preset),
            None => Ok(Preset::Plain),
        }
    }

    /// How the features are scaled.
    pub(crate) fn scaling(self, args: &TrainArgs) -> Scaling {
        match self {
            Preset::Auto if !args.is_given("scaling") => Scaling::Robust,
            _ => args.data.scaling(),
        }
    }

    /// The arguments with those of the preset in the place of those that were not given; says what they are.
    pub(crate) fn resolve<T: Scalar>(self, args: &TrainArgs, data: &TrainingData<T>) -> TrainArgs {
        let mut args = args.clone();
        if self == Preset::Plain {
            return args;
        }
        let samples = data.train.samples();
        let chosen = Auto::new(samples, matches!(data.train.targets(), Targets::Classes { .. }));
        chosen.fill(&mut args);
        note(&format!("--preset auto for {samples} samples: {chosen}"));
        args
    }
}

/// What `auto` chooses.
struct Auto {
    has_classes: bool,
    epochs: usize,
    batch: usize,
}

impl Auto {
    fn new(samples: usize, has_classes: bool) -> Self {
        let epochs = (MOST_SAMPLES / samples.max(1)).clamp(LEAST_EPOCHS, EPOCHS);
        let batch = BATCHES.iter().find(|(rows, _)| samples <= *rows).map_or(256, |found| found.1);
        Auto { has_classes, epochs, batch }
    }

    fn activation(&self) -> Activation {
        if self.has_classes { Activation::Selu } else { Activation::Mish }
    }

    fn learning_rate(&self) -> f64 {
        if self.has_classes { 0.04 } else { 0.2 }
    }

    fn fill(&self, args: &mut TrainArgs) {
        let given = args.given.clone();
        let is_free = |option: &str| !given.contains(option);
        macro_rules! set {
            ($($option:literal: $place:expr => $value:expr;)*) => {
                $(if is_free($option) { $place = $value; })*
            };
        }
        set! {
            "hidden": args.layers.hidden => Hidden(vec![256; 3]);
            "activation": args.layers.activation => self.activation();
            "init": args.layers.init => FirstWeights::Rule(Init::Lecun);
            "optimizer": args.optimizer.optimizer => OptimizerName::Adamw;
            "second_beta": args.optimizer.second_beta => Some(0.95);
            "weight_decay": args.optimizer.weight_decay => Some(0.02);
            "learning_rate": args.learning_rate => Some(self.learning_rate());
            "rates": args.regularization.rates => Rates::Tangent;
            "schedule": args.schedule.schedule => crate::args::schedule::EpochSchedule::CosLog(4);
            "fade_regularization": args.regularization.fades => true;
            "dropout": args.regularization.dropout => 0.15;
            "batch": args.batch => self.batch;
            "epochs": args.epochs => self.epochs;
            "keep_epoch": args.checkpoint.keep_epoch => if self.has_classes { Keep::Accuracy } else { Keep::Loss };
        }
        if self.has_classes && is_free("label_smoothing") {
            args.regularization.label_smoothing = 0.1;
        }
    }
}

/// The options that stand for it.
impl fmt::Display for Auto {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Auto { has_classes, epochs, batch } = self;
        write!(
            f,
            "--scaling robust --hidden 256,256,256 --activation {} --init lecun --optimizer adamw --second-beta 0.95 --weight-decay 0.02 \
             --learning-rate {} --rates tangent --schedule coslog(4) --dropout 0.15 --fade-regularization{} --batch {batch} --epochs {epochs} \
             --keep-epoch {}",
            self.activation(),
            self.learning_rate(),
            if *has_classes { " --label-smoothing 0.1" } else { "" },
            if *has_classes { "accuracy" } else { "loss" }
        )
    }
}
