//! The samples of a training: split, cut, standardized.

use std::collections::HashSet;

use travertine::data::{Coding, Dataset, Encoder, Label, Split, Standardization, Targets, Task};
use travertine::{Result, Scalar};

use crate::args::TrainArgs;
use crate::augment::{self, Deformation};
use crate::data::{Source, Wanted};
use crate::names::{counted, wrong};
use crate::output::note;
use crate::raw::Raw;

/// Held out where nobody says how much.
pub(crate) const HELD_OUT: f64 = 0.2;

/// More names of columns than this are too many for a line.
const MOST_NAMES: usize = 6;

/// What a training works with.
pub(crate) struct TrainingData<T: Scalar> {
    pub(crate) train: Dataset<T>,
    pub(crate) test: Option<Dataset<T>>,
    pub(crate) encoder: Option<Encoder>,
    pub(crate) standardization: Option<Standardization>,
    /// Of the samples to train on, where they are images and somebody wants it.
    pub(crate) deformation: Option<Deformation>,
}

impl<T: Scalar> TrainingData<T> {
    /// Reads what the arguments name.
    pub(crate) fn load(args: &TrainArgs) -> Result<Self> {
        let (all, own_test) = read::<T>(args)?;
        let (train, test, encoder) = split(args, all, own_test)?;
        Self::prepare(args, train, test, encoder)
    }

    /// One for each fold of a cross validation.
    pub(crate) fn folds(args: &TrainArgs, k: usize) -> Result<impl Iterator<Item = Result<Self>>> {
        let (all, own_test) = read::<T>(args)?;
        if own_test.is_some() {
            return Err(wrong(
                "--folds",
                format!("{} has a test set of its own", args.data.name()),
            ));
        }
        let splits = match strata(args, &all)? {
            Some(labels) => Split::stratified_folds(labels, k, args.seed),
            None => Split::folds(all.samples(), k, args.seed),
        }?;
        // Before the first of them is trained.
        splits.iter().try_for_each(|split| refuse_absent_classes(args, all.targets(), split))?;
        Ok(splits.into_iter().map(move |split| {
            let (train, test, encoder) = all.parts(&split)?;
            Self::prepare(args, train, Some(test), encoder)
        }))
    }

    /// Cuts and standardizes.
    fn prepare(
        args: &TrainArgs,
        mut train: Dataset<T>,
        mut test: Option<Dataset<T>>,
        encoder: Option<Encoder>,
    ) -> Result<Self> {
        if let Some(samples) = args.samples {
            train = train.take(samples)?;
            warn_of_absent_classes(train.targets());
        }
        let standardizes = args.data.is_table() && !args.no_standardize;
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

    /// What is learned, so that a wrong target column shows: "10 classes", "45 distinct values".
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
        let deformed = deformed.map_or(String::new(), |Deformation { words, .. }| {
            format!("; images deformed by {words}")
        });
        format!(
            "{} to train on, {tested} to test on; {}{}; {learned}{target}{deformed}",
            counted(self.train.samples(), "sample", "samples"),
            counted(self.train.inputs(), "feature", "features"),
            self.categories()
        )
    }

    /// Which columns were taken for categories, so that numbers that were read as texts show.
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

/// The samples, and those to test on where the data tells them apart.
fn read<T: Scalar>(args: &TrainArgs) -> Result<(Raw<T>, Option<Dataset<T>>)> {
    let label = args.table.label.clone().unwrap_or_default();
    if label == Label::None {
        return Err(wrong("--label", "training needs a label; none is for prediction"));
    }
    if args.task.is_some() && !args.data.is_table() {
        return Err(wrong(
            "--task",
            format!("is for CSV and NPY data, not for {}", args.data.name()),
        ));
    }
    if args.augment.is_some() && args.data.is_table() {
        let reason = format!(
            "is for images: digits, mnist:DIR or idx:IMAGES,LABELS, not for {}",
            args.data.name()
        );
        return Err(wrong(augment::OPTION, reason));
    }
    let wanted = Wanted { label, task: args.task, ..Wanted::default() };
    let (all, own_test) = args.data.load_for_training::<T>(&args.table, &wanted)?;
    check_targets(&args.data, all.targets())?;
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

/// The classes of the samples, where a split is to keep their shares.
fn strata<'a, T: Scalar>(args: &TrainArgs, all: &'a Raw<T>) -> Result<Option<&'a [u32]>> {
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
        note(&format!(
            "warning: {absent} of {all} classes have no sample among the first {}",
            labels.len()
        ));
    }
}

/// A class that is only held out cannot be learned.
fn refuse_absent_classes<T: Scalar>(
    args: &TrainArgs,
    targets: &Targets<T>,
    split: &Split,
) -> Result<()> {
    let Targets::Classes { labels, names } = targets else { return Ok(()) };
    let mut known = vec![false; names.len()];
    split.train.iter().for_each(|&i| known[labels[i] as usize] = true);
    match split.held_out.iter().map(|&i| labels[i] as usize).find(|&class| !known[class]) {
        Some(class) => {
            let (name, samples) =
                (&names[class], labels.iter().filter(|&&label| label as usize == class).count());
            let found = match samples {
                1 => format!("the only sample of class '{name}' is held out"),
                _ => format!("all {samples} samples of class '{name}' are held out"),
            };
            // A fold holds out the only sample of a class, however folds are chosen.
            let cure = match samples {
                1 if args.folds.is_some() => "leave that sample out, or find more of its class",
                _ => "--stratify keeps some of each class for training",
            };
            let option = if args.folds.is_some() { "--folds" } else { "--held-out" };
            Err(wrong(option, format!("{found}, so it cannot be learned; {cure}")))
        }
        None => Ok(()),
    }
}

/// To train on, to test on, and how a table was encoded.
type Parts<T> = (Dataset<T>, Option<Dataset<T>>, Option<Encoder>);

/// The test data is that which is named, or the data's own, or a part held out.
fn split<T: Scalar>(
    args: &TrainArgs,
    all: Raw<T>,
    own_test: Option<Dataset<T>>,
) -> Result<Parts<T>> {
    let strata = strata(args, &all)?;
    if let Some(source) = &args.test {
        let (train, encoder) = all.into_whole()?;
        let test = load_test(args, source, &train, encoder.as_ref())?;
        return Ok((train, Some(test), encoder));
    }
    let whole = |all: Raw<T>, test| all.into_whole().map(|(train, encoder)| (train, test, encoder));
    match (args.held_out, own_test) {
        (Some(0.0), _) => whole(all, None),
        (None, Some(test)) => whole(all, Some(test)),
        (None, None) if (all.samples() as f64 * HELD_OUT).round() < 1.0 => {
            note(&format!(
                "nothing is held out to test on: there are only {} samples",
                all.samples()
            ));
            whole(all, None)
        }
        (share, _) => {
            let share = share.unwrap_or(HELD_OUT);
            let split = match strata {
                Some(labels) => Split::stratified(labels, share, args.seed),
                None => Split::held_out(all.samples(), share, args.seed),
            }?;
            refuse_absent_classes(args, all.targets(), &split)?;
            let (train, test, encoder) = all.parts(&split)?;
            Ok((train, Some(test), encoder))
        }
    }
}

pub(crate) fn load_test<T: Scalar>(
    args: &TrainArgs,
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
    let wanted = Wanted {
        classes,
        features: train.feature_names().to_vec(),
        inputs: Some(train.inputs()),
        label: named.or_else(|| args.table.label.clone()).unwrap_or_default(),
        task,
        encoder: encoder.cloned(),
    };
    let test = source.load_for_use::<T>(&args.table, &wanted)?;
    if test.outputs() != train.outputs() {
        let expected = format!("labels as {} has", args.data.name());
        return Err(source.unexpected("label", expected, "none, or others"));
    }
    Ok(test)
}
