//! The samples of a training: split, cut, standardized.

use std::collections::HashSet;

use travertine::data::{
    Coding, Dataset, Encoder, Label, Split, Standardization, Stream, TargetScale, Targets, Task,
};
use travertine::{Result, Scalar};

use crate::args::augment::{self, Deformation};
use crate::args::source::Source;
use crate::args::table::Requirements;
use crate::input::Unscaled;
use crate::message::{counted, note, warn, wrong};
use crate::train::args::DataArgs;

/// Share of the samples that is held out by default.
pub(crate) const HELD_OUT: f64 = 0.2;

const FOLDS: &str = "--folds";

/// Names of columns that a line has room for.
const MOST_NAMES: usize = 6;

/// The samples of a training.
pub(crate) struct TrainingData<T: Scalar> {
    pub(crate) train: Dataset<T>,
    pub(crate) test: Option<Dataset<T>>,
    pub(crate) encoder: Option<Encoder>,
    pub(crate) standardization: Option<Standardization>,
    /// What deforms the training samples, with `--augment`.
    pub(crate) deformation: Option<Deformation>,
}

impl<T: Scalar> TrainingData<T> {
    /// Reads the samples and splits them; `seed` decides what is held out.
    pub(crate) fn load(args: &DataArgs, seed: u64) -> Result<Self> {
        let (all, own_test) = read::<T>(args)?;
        let (train, test, encoder) = split(args, seed, all, own_test)?;
        Self::prepare(args, train, test, encoder)
    }

    /// The samples of each fold of a cross-validation.
    pub(crate) fn folds(
        args: &DataArgs,
        seed: u64,
        folds: usize,
    ) -> Result<impl Iterator<Item = Result<Self>>> {
        let (all, own_test) = read::<T>(args)?;
        if own_test.is_some() {
            let reason = format!("{} has a test set of its own", args.source.name());
            return Err(wrong(FOLDS, reason));
        }
        let splits = match strata(args, &all)? {
            Some(labels) => Split::stratified_folds(labels, folds, seed),
            None => Split::folds(all.samples(), folds, seed),
        }?;
        // Before the first of them is trained.
        splits.iter().try_for_each(|split| refuse_absent_classes(FOLDS, all.targets(), split))?;
        Ok(splits.into_iter().map(move |split| {
            let (train, test, encoder) = all.parts(&split)?;
            Self::prepare(args, train, Some(test), encoder)
        }))
    }

    /// The example of a stream, with the samples of `--test`, which are read as a whole.
    pub(crate) fn of_stream(args: &DataArgs, stream: &Stream<T>) -> Result<Self> {
        let train = stream.example()?;
        let standardization = stream.standardization().cloned();
        let load = |source| -> Result<Dataset<T>> {
            let mut test = load_test(args, source, &train, None)?;
            standardization.as_ref().map_or(Ok(()), |s| s.apply(&mut test))?;
            Ok(test)
        };
        let test = args.test.as_ref().map(load).transpose()?;
        Ok(TrainingData { train, test, encoder: None, standardization, deformation: None })
    }

    /// Scales the targets, where the output layer requires it.
    pub(crate) fn scale(&mut self, scale: Option<&TargetScale>) -> Result<()> {
        if let Some(scale) = scale {
            self.train = scale.apply(&self.train)?;
            self.test = self.test.as_ref().map(|test| scale.apply(test)).transpose()?;
        }
        Ok(())
    }

    /// The samples that a finished model is judged on: those to test on, else those to train on.
    pub(crate) fn judged(&self) -> &Dataset<T> {
        self.test.as_ref().unwrap_or(&self.train)
    }

    /// Cuts and standardizes.
    fn prepare(
        args: &DataArgs,
        mut train: Dataset<T>,
        mut test: Option<Dataset<T>>,
        encoder: Option<Encoder>,
    ) -> Result<Self> {
        if let Some(samples) = args.samples {
            train = train.take(samples)?;
            warn_of_absent_classes(train.targets());
        }
        let standardizes = args.source.is_table() && !args.no_standardize;
        let standardization = match &encoder {
            _ if !standardizes => None,
            Some(encoder) => Some(encoder.standardization(&train)?),
            None => Some(Standardization::fit(&train)?),
        };
        if let Some(standardization) = &standardization {
            standardization.apply(&mut train)?;
            test.as_mut().map_or(Ok(()), |test| standardization.apply(test))?;
        }
        let deformation = args.augment.as_ref().zip(train.image_size());
        let deformation =
            deformation.map(|(augment, size)| Deformation::new(augment, size)).transpose()?;
        Ok(TrainingData { train, test, encoder, standardization, deformation })
    }

    /// The classes, or none.
    pub(crate) fn classes(&self) -> &[String] {
        match self.train.targets() {
            Targets::Classes { names, .. } => names,
            _ => &[],
        }
    }

    /// Samples, features and targets, so that a wrong target column shows: "10 classes", "45 distinct values".
    pub(crate) fn describe(&self) -> String {
        let tested = self.test.as_ref().map_or(0, Dataset::samples);
        let learned = match self.train.targets() {
            Targets::Classes { names, .. } => counted(names.len(), "class", "classes"),
            Targets::Values { values, .. } => {
                let distinct: HashSet<u64> = values.iter().map(|x| x.to_f64().to_bits()).collect();
                counted(distinct.len(), "distinct value", "distinct values")
            }
            Targets::None => "nothing".to_owned(),
        };
        let target = self.train.target_name().map_or(String::new(), |name| format!(" of '{name}'"));
        let deformed = self.deformation.as_ref();
        let deformed = deformed.map_or(String::new(), |Deformation { description, .. }| {
            format!("; images deformed by {description}")
        });
        format!(
            "{} to train on, {tested} to test on; {}{}; {learned}{target}{deformed}",
            counted(self.train.samples(), "sample", "samples"),
            counted(self.train.inputs(), "feature", "features"),
            self.categories()
        )
    }

    /// The columns read as categories, so that numbers that were read as texts show.
    fn categories(&self) -> String {
        let columns = self.encoder.iter().flat_map(Encoder::columns);
        let texts = columns.filter(|column| matches!(column.coding, Coding::Categories(_)));
        let names: Vec<&str> = texts.map(|column| &*column.name).collect();
        match names.len() {
            0 => String::new(),
            1..=MOST_NAMES => format!(" (categories: {})", names.join(", ")),
            more => format!(" ({more} columns of categories)"),
        }
    }
}

/// The samples, and those to test on where the data has a test set.
fn read<T: Scalar>(args: &DataArgs) -> Result<(Unscaled<T>, Option<Dataset<T>>)> {
    let label = args.table.label.clone().unwrap_or_default();
    if label == Label::None {
        return Err(wrong("--label", "training needs a label; none is for prediction"));
    }
    if args.task.is_some() && !args.source.is_table() {
        return Err(wrong(
            "--task",
            format!("is for CSV and NPY data, not for {}", args.source.name()),
        ));
    }
    if args.augment.is_some() && args.source.is_table() {
        let reason = format!(
            "is for images: digits, mnist:DIR or idx:IMAGES,LABELS, not for {}",
            args.source.name()
        );
        return Err(wrong(augment::OPTION, reason));
    }
    let required = Requirements { label, task: args.task, ..Requirements::default() };
    let (all, own_test) = args.source.load_for_training::<T>(&args.table, &required)?;
    check_targets(&args.source, all.targets())?;
    Ok((all, own_test))
}

fn check_targets<T: Scalar>(source: &Source, targets: &Targets<T>) -> Result<()> {
    match targets {
        Targets::None => {
            Err(source.unexpected("label", "a label column to learn", "features alone"))
        }
        Targets::Classes { names, .. } if names.len() < 2 => {
            let found =
                names.first().map_or("none".to_owned(), |name| format!("{name:?} everywhere"));
            Err(source.unexpected("label", "at least 2 different classes", found))
        }
        _ => Ok(()),
    }
}

/// The classes of the samples where a split keeps their shares.
fn strata<'a, T: Scalar>(args: &DataArgs, all: &'a Unscaled<T>) -> Result<Option<&'a [u32]>> {
    match all.targets() {
        _ if !args.stratify => Ok(None),
        Targets::Classes { labels, .. } => Ok(Some(labels)),
        _ => Err(wrong("--stratify", "is for classes, but the label is values")),
    }
}

/// `--samples` is for a quick look, and may leave a class without samples.
fn warn_of_absent_classes<T: Scalar>(targets: &Targets<T>) {
    let Targets::Classes { labels, names } = targets else { return };
    let known: HashSet<u32> = labels.iter().copied().collect();
    if known.len() < names.len() {
        let (absent, all) = (names.len() - known.len(), names.len());
        warn(&format!("{absent} of {all} classes have no sample among the first {}", labels.len()));
    }
}

/// Refuses a split, made by `option`, that holds out every sample of a class: the class cannot be learned.
fn refuse_absent_classes<T: Scalar>(
    option: &'static str,
    targets: &Targets<T>,
    split: &Split,
) -> Result<()> {
    let Targets::Classes { labels, names } = targets else { return Ok(()) };
    let mut trained = vec![false; names.len()];
    split.train.iter().for_each(|&i| trained[labels[i] as usize] = true);
    let mut held_out = split.held_out.iter().map(|&i| labels[i] as usize);
    let Some(class) = held_out.find(|&class| !trained[class]) else { return Ok(()) };
    let samples = labels.iter().filter(|&&label| label as usize == class).count();
    let found = match samples {
        1 => format!("the only sample of class '{}' is held out", names[class]),
        _ => format!("all {samples} samples of class '{}' are held out", names[class]),
    };
    let cure = match samples {
        // Some fold holds out the only sample of a class, however folds are chosen.
        1 if option == FOLDS => "leave that sample out, or find more of its class",
        _ => "--stratify keeps some of each class for training",
    };
    Err(wrong(option, format!("{found}, so it cannot be learned; {cure}")))
}

/// Training samples, test samples, and the encoder of a table.
type Parts<T> = (Dataset<T>, Option<Dataset<T>>, Option<Encoder>);

/// The test samples are those of `--test`, or the data's own, or a part held out.
fn split<T: Scalar>(
    args: &DataArgs,
    seed: u64,
    all: Unscaled<T>,
    own_test: Option<Dataset<T>>,
) -> Result<Parts<T>> {
    if let Some(source) = &args.test {
        let (train, encoder) = all.into_whole()?;
        let test = load_test(args, source, &train, encoder.as_ref())?;
        return Ok((train, Some(test), encoder));
    }
    let has_too_few = (all.samples() as f64 * HELD_OUT).round() < 1.0;
    let test = match (args.held_out, own_test) {
        (Some(0.0), _) => None,
        (None, Some(test)) => Some(test),
        (None, None) if has_too_few => {
            let samples = all.samples();
            note(&format!("nothing is held out to test on: there are only {samples} samples"));
            None
        }
        (share, _) => return hold_out(args, seed, &all, share.unwrap_or(HELD_OUT)),
    };
    strata(args, &all)?;
    let (train, encoder) = all.into_whole()?;
    Ok((train, test, encoder))
}

fn hold_out<T: Scalar>(
    args: &DataArgs,
    seed: u64,
    all: &Unscaled<T>,
    share: f64,
) -> Result<Parts<T>> {
    let split = match strata(args, all)? {
        Some(labels) => Split::stratified(labels, share, seed),
        None => Split::held_out(all.samples(), share, seed),
    }?;
    refuse_absent_classes("--held-out", all.targets(), &split)?;
    let (train, test, encoder) = all.parts(&split)?;
    Ok((train, Some(test), encoder))
}

/// The samples of `--test`, encoded as the training samples are.
fn load_test<T: Scalar>(
    args: &DataArgs,
    source: &Source,
    train: &Dataset<T>,
    encoder: Option<&Encoder>,
) -> Result<Dataset<T>> {
    if args.table.labels.is_some() {
        return Err(wrong(
            "--test",
            "the file of --labels belongs to the training data; use --held-out",
        ));
    }
    let (classes, task) = match train.targets() {
        Targets::Classes { names, .. } => (Some(names.clone()), None),
        _ => (None, Some(Task::Values)),
    };
    let named =
        train.target_name().filter(|_| source.is_table()).map(|name| Label::Name(name.to_owned()));
    let required = Requirements {
        classes,
        features: train.feature_names().to_vec(),
        inputs: Some(train.inputs()),
        label: named.or_else(|| args.table.label.clone()).unwrap_or_default(),
        task,
        encoder: encoder.cloned(),
    };
    let test = source.load_for_use::<T>(&args.table, &required)?;
    if test.outputs() != train.outputs() {
        let expected = format!("labels as {} has", args.source.name());
        return Err(source.unexpected("label", expected, "none, or others"));
    }
    Ok(test)
}
