//! `--preset`: the recipe of a training by a name.
//!
//! `auto` is RealMLP's (Holzmüller, Grinsztajn and Steinwart, "Better by default", NeurIPS 2024, table A.1), `tabm` that of TabM (Gorishniy,
//! Kotelnikov and Babenko, ICLR 2025), both as far as this program has their parts. Options that are given take the place of their values.

use clap::ValueEnum;
use travertine::data::Targets;
use travertine::{Activation, Init, Result, Scalar};

use crate::args::checkpoint::Keep;
use crate::args::init::FirstWeights;
use crate::args::names::Hidden;
use crate::args::optimizer::OptimizerName;
use crate::args::preset::{Preset, Quality};
use crate::args::regularization::Rates;
use crate::args::schedule::EpochSchedule;
use crate::args::source::Source;
use crate::args::table::Scaling;
use crate::message::{note, wrong};
use crate::train::args::TrainArgs;
use crate::train::data::TrainingData;

/// Passes over the samples, where `MOST_WORK` allows.
const EPOCHS: usize = 256;
/// Epochs x samples x parameters: 256 epochs of 50,000 samples for a network of 200,000 parameters.
const MOST_WORK: f64 = 2.56e12;
const LEAST_EPOCHS: usize = 8;
const HIDDEN: [usize; 3] = [256; 3];

/// TabM's networks in one, their hidden layers, and the epochs without a better one that end a training.
const MEMBERS: usize = 32;
const HIDDEN_OF_MEMBERS: [usize; 3] = [512; 3];
const PATIENCE: usize = 16;
/// As [`MOST_WORK`]: a training with members takes longer.
const MOST_WORK_OF_MEMBERS: f64 = 1e13;
const LEAST_EPOCHS_OF_MEMBERS: usize = 16;

/// Different texts of a column up to which each is a feature.
const MOST_ONE_HOT: usize = 8;

/// Samples in a step for tables of up to so many rows.
const BATCHES: [(usize, usize); 5] =
    [(1000, 64), (8000, 128), (30_000, 256), (100_000, 512), (usize::MAX, 1024)];

/// Options that name another network or another way to train it, by their field and as they are typed.
const OTHER_RECIPE: [(&str, &str); 11] = [
    ("hidden", "--hidden"),
    ("activation", "--activation"),
    ("parametric", "--parametric"),
    ("members", "--members"),
    ("init", "--init"),
    ("fit_init", "--fit-init"),
    ("normalization", "--normalization"),
    ("optimizer", "--optimizer"),
    ("momentum", "--momentum"),
    ("learning_rate", "--learning-rate"),
    ("schedule", "--schedule"),
];

/// The preset of a training: the one that was given, else `auto` for a table in memory whose recipe no option names.
pub(crate) fn of(args: &TrainArgs) -> Result<Preset> {
    let has_auto = matches!(args.data.source, Source::Table(_)) && args.stream.is_none();
    let other = OTHER_RECIPE.iter().find(|(field, _)| args.is_given(field));
    match (args.preset, other) {
        (Some(preset @ (Preset::Auto | Preset::Tabm)), _) if !has_auto => {
            let name = value_name(preset);
            let reason = format!("{name} is for tables in memory; leave it out, or take plain");
            Err(wrong("--preset", &reason))
        }
        (Some(preset), _) => Ok(preset),
        (None, _) if !has_auto => Ok(Preset::Plain),
        (None, Some((_, option))) => {
            note(&format!(
                "--preset plain, because {option} is given; auto is the default for tables"
            ));
            Ok(Preset::Plain)
        }
        (None, None) => Ok(Preset::Auto),
    }
}

/// Sets how a preset encodes the columns of a table, which has not been read yet.
pub(crate) fn encode(preset: Preset, args: &mut TrainArgs) {
    if preset == Preset::Plain {
        return;
    }
    if !args.is_given("scaling") && !args.is_given("no_standardize") {
        args.data.set_scaling(Scaling::Robust);
    }
    args.data.embed_categories.get_or_insert(MOST_ONE_HOT);
}

/// The arguments with those of the preset in the place of those that were not given; says what they are.
pub(crate) fn resolve<T: Scalar>(
    preset: Preset,
    args: &TrainArgs,
    data: &TrainingData<T>,
) -> TrainArgs {
    let mut args = args.clone();
    if preset == Preset::Plain {
        return args;
    }
    if data.embedded().is_empty() {
        // It changes nothing, so that it need not be said.
        args.data.embed_categories = None;
    }
    let samples = data.train.samples();
    // Every member of an ensemble is tested.
    let is_tested = data.test.is_some() || args.quality == Quality::Best;
    let chosen = Chosen::new(preset, data, is_tested);
    match preset {
        Preset::Tabm => chosen.fill_of_members(&mut args),
        _ => chosen.fill(&mut args),
    }
    let (name, kind) = (value_name(preset), if chosen.has_classes { "classes" } else { "values" });
    note(&format!("--preset {name}, for {kind} and {samples} samples: {}", options(&args)));
    args
}

/// Sets what was not given.
macro_rules! set {
    ($is_free:ident, $($option:literal: $place:expr => $value:expr;)*) => {
        $(if $is_free($option) { $place = $value; })*
    };
}

/// What a preset chooses.
struct Chosen {
    has_classes: bool,
    /// Whether there are features that are no categories.
    has_numbers: bool,
    /// Whether there are samples to choose an epoch by.
    is_tested: bool,
    epochs: usize,
    batch: usize,
}

impl Chosen {
    fn new<T: Scalar>(preset: Preset, data: &TrainingData<T>, is_tested: bool) -> Self {
        let samples = data.train.samples();
        let has_classes = matches!(data.train.targets(), Targets::Classes { .. });
        let numbers = data.numbers().len();
        let has_members = preset == Preset::Tabm;
        let (hidden, copies, most, least) = if has_members {
            (HIDDEN_OF_MEMBERS, MEMBERS, MOST_WORK_OF_MEMBERS, LEAST_EPOCHS_OF_MEMBERS)
        } else {
            (HIDDEN, 1, MOST_WORK, LEAST_EPOCHS)
        };
        let of_numbers = if has_members { 0 } else { 3 * numbers };
        let inputs = data.train.inputs() + of_numbers + 7 * data.embedded().len();
        let sizes: Vec<usize> =
            [inputs].into_iter().chain(hidden).chain([data.train.outputs()]).collect();
        let parameters: usize = sizes.windows(2).map(|sizes| sizes[0] * sizes[1]).sum();
        let epochs = most / (samples.max(1) as f64 * (copies * parameters) as f64);
        let epochs = (epochs as usize).clamp(least, EPOCHS);
        let batch = BATCHES.iter().find(|(rows, _)| samples <= *rows).map_or(256, |found| found.1);
        Chosen { has_classes, has_numbers: numbers > 0, is_tested, epochs, batch }
    }

    fn activation(&self) -> Activation {
        if self.has_classes { Activation::Selu } else { Activation::Mish }
    }

    fn learning_rate(&self) -> f64 {
        if self.has_classes { 0.04 } else { 0.2 }
    }

    fn keep(&self) -> Keep {
        match (self.is_tested, self.has_classes) {
            (false, _) => Keep::Last,
            (true, true) => Keep::Accuracy,
            (true, false) => Keep::Loss,
        }
    }

    fn fill(&self, args: &mut TrainArgs) {
        let given = args.given.clone();
        let is_free = |option: &str| !given.contains(option);
        set! { is_free,
            "hidden": args.layers.hidden => Hidden(HIDDEN.to_vec());
            "activation": args.layers.activation => self.activation();
            "parametric": args.layers.parametric => true;
            "init": args.layers.init => FirstWeights::Rule(Init::Lecun);
            "fit_init": args.layers.fit_init => true;
            "optimizer": args.optimizer.optimizer => OptimizerName::Adamw;
            "second_beta": args.optimizer.second_beta => Some(0.95);
            "weight_decay": args.optimizer.weight_decay => Some(0.02);
            // It is lowered where it diverges, as other defaults are.
            "learning_rate": args.optimizer.preset_rate => Some(self.learning_rate());
            "embed_numbers": args.regularization.embeds_numbers => self.has_numbers;
            "scale_features": args.regularization.scales_features => true;
            "rates": args.regularization.rates => Rates::Tangent;
            "schedule": args.schedule.schedule => EpochSchedule::CosLog(4);
            "fade_regularization": args.regularization.fades => true;
            "dropout": args.regularization.dropout => 0.15;
            "batch": args.batch => self.batch;
            "epochs": args.epochs => self.epochs;
        }
        let has_target_scale = args.layers.output.is_none() && args.data.scaling() != Scaling::None;
        if !self.has_classes && has_target_scale {
            args.layers.bound_values = true;
        }
        // Early stopping chooses an epoch of its own; a cross-validation tests the last one, which no test has chosen.
        let chooses = args.checkpoint.early_stopping.is_none() && args.folds.is_none();
        if chooses && is_free("keep_epoch") {
            args.checkpoint.keep_epoch = self.keep();
        }
        if self.has_classes && is_free("label_smoothing") {
            args.regularization.label_smoothing = 0.1;
        }
    }
}

/// `tabm`.
impl Chosen {
    fn fill_of_members(&self, args: &mut TrainArgs) {
        let given = args.given.clone();
        let is_free = |option: &str| !given.contains(option);
        set! { is_free,
            "hidden": args.layers.hidden => Hidden(HIDDEN_OF_MEMBERS.to_vec());
            "members": args.layers.members => Some(MEMBERS);
            "optimizer": args.optimizer.optimizer => OptimizerName::Adamw;
            "weight_decay": args.optimizer.weight_decay => Some(3e-4);
            // It is lowered where it diverges, as other defaults are.
            "learning_rate": args.optimizer.preset_rate => Some(0.002);
            "dropout": args.regularization.dropout => 0.1;
            "batch": args.batch => 256.min(self.batch * 2);
            "epochs": args.epochs => self.epochs;
        }
        let may_stop = self.is_tested && args.folds.is_none() && is_free("keep_epoch");
        if may_stop && is_free("early_stopping") {
            args.checkpoint.early_stopping = Some(PATIENCE);
        }
    }
}

/// The options that stand for the recipe of these arguments: with them alone the training gives the same bytes.
fn options(args: &TrainArgs) -> String {
    let rate = args.learning_rate.unwrap_or_else(|| args.optimizer.default_rate());
    let name = |value: &dyn ToString| value.to_string();
    let (layers, optimizer, regularization) = (&args.layers, &args.optimizer, &args.regularization);
    let value =
        |option: &str, value: Option<String>| value.map(|value| format!("{option} {value}"));
    let list = [
        value("--scaling", Some(value_name(args.data.scaling()))),
        value("--bins", args.data.bins.map(|bins| name(&bins))),
        value("--embed-categories", args.data.embed_categories.map(|most| name(&most))),
        value("--hidden", Some(name(&layers.hidden))),
        value("--activation", Some(name(&layers.activation))),
        layers.parametric.then(|| "--parametric".to_owned()),
        value("--members", layers.members.map(|count| name(&count))),
        value("--init", Some(name(&layers.init))),
        layers.fit_init.then(|| "--fit-init".to_owned()),
        value("--quantiles", layers.quantiles.map(|quantiles| name(&quantiles))),
        layers.bound_values.then(|| "--bound-values".to_owned()),
        value("--optimizer", Some(optimizer.name())),
        value("--second-beta", optimizer.second_beta.map(|beta| name(&beta))),
        value("--weight-decay", optimizer.weight_decay.map(|decay| name(&decay))),
        value("--learning-rate", Some(name(&rate))),
        value("--rates", Some(value_name(regularization.rates))),
        regularization.embeds_numbers.then(|| "--embed-numbers".to_owned()),
        regularization.scales_features.then(|| "--scale-features".to_owned()),
        value("--schedule", Some(name(&args.schedule.schedule))),
        value("--dropout", Some(name(&regularization.dropout))),
        regularization.fades.then(|| "--fade-regularization".to_owned()),
        value("--label-smoothing", Some(name(&regularization.label_smoothing))),
        value("--batch", Some(name(&args.batch))),
        value("--epochs", Some(name(&args.epochs))),
        match args.checkpoint.early_stopping {
            Some(epochs) => value("--early-stopping", Some(name(&epochs))),
            None => value("--keep-epoch", Some(value_name(args.checkpoint.keep_epoch))),
        },
    ];
    list.into_iter().flatten().collect::<Vec<_>>().join(" ")
}

fn value_name(value: impl ValueEnum) -> String {
    value.to_possible_value().map_or(String::new(), |value| value.get_name().to_owned())
}
