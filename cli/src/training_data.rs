//! The samples of a training: split, cut, standardized.

use std::collections::HashSet;

use travertine::data::{Dataset, Label, Standardization, Targets, Task};
use travertine::{Result, Scalar};

use crate::args::TrainArgs;
use crate::data::{Source, Wanted};
use crate::names::{counted, wrong};
use crate::output::note;

/// Held out where nobody says how much.
const HELD_OUT: f64 = 0.2;

/// What a training works with.
pub(crate) struct TrainingData<T: Scalar> {
    pub(crate) train: Dataset<T>,
    pub(crate) test: Option<Dataset<T>>,
    pub(crate) standardization: Option<Standardization>,
}

impl<T: Scalar> TrainingData<T> {
    /// Reads what the arguments name.
    pub(crate) fn load(args: &TrainArgs) -> Result<Self> {
        let label = args.table.label.clone().unwrap_or_default();
        if label == Label::None {
            return Err(wrong("--label", "training needs a label; none is for prediction"));
        }
        if args.task.is_some() && !args.data.is_table() {
            return Err(wrong("--task", format!("is for CSV and NPY data, not for {}", args.data.name())));
        }
        let wanted = Wanted { label, task: args.task, ..Wanted::default() };
        let (all, own_test) = args.data.load::<T>(&args.table, &wanted)?;
        check_targets(&args.data, &all)?;
        let (mut train, mut test) = split(args, all, own_test)?;
        if let Some(samples) = args.samples {
            train = train.take(samples)?;
        }
        let standardization =
            (args.data.is_table() && !args.no_standardize).then(|| Standardization::fit(&train)).transpose()?;
        if let Some(standardization) = &standardization {
            standardization.apply(&mut train)?;
            test.as_mut().map_or(Ok(()), |test| standardization.apply(test))?;
        }
        Ok(TrainingData { train, test, standardization })
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
        format!(
            "{} to train on, {tested} to test on; {}; {learned}{target}",
            counted(self.train.samples(), "sample", "samples"),
            counted(self.train.inputs(), "feature", "features")
        )
    }
}

fn check_targets<T: Scalar>(source: &Source, data: &Dataset<T>) -> Result<()> {
    match data.targets() {
        Targets::None => Err(source.unexpected("label", "a label column to learn", "features alone")),
        Targets::Classes { names, .. } if names.len() < 2 => {
            let found = names.first().map_or("none".to_owned(), |name| format!("{name:?} everywhere"));
            Err(source.unexpected("label", "at least 2 different classes", found))
        }
        _ => Ok(()),
    }
}

/// (to train on, to test on): the test data that is named, or the data's own, or a part held out.
fn split<T: Scalar>(
    args: &TrainArgs,
    all: Dataset<T>,
    own_test: Option<Dataset<T>>,
) -> Result<(Dataset<T>, Option<Dataset<T>>)> {
    if let Some(source) = &args.test {
        let test = load_test(args, source, &all)?;
        return Ok((all, Some(test)));
    }
    match (args.held_out, own_test) {
        (Some(0.0), _) => Ok((all, None)),
        (None, Some(test)) => Ok((all, Some(test))),
        (None, None) if (all.samples() as f64 * HELD_OUT).round() < 1.0 => {
            note(&format!("nothing is held out to test on: there are only {} samples", all.samples()));
            Ok((all, None))
        }
        (share, _) => {
            let (train, test) = all.split(share.unwrap_or(HELD_OUT), args.seed)?;
            Ok((train, Some(test)))
        }
    }
}

fn load_test<T: Scalar>(args: &TrainArgs, source: &Source, train: &Dataset<T>) -> Result<Dataset<T>> {
    if args.table.labels.is_some() {
        return Err(wrong("--test", "the file of --labels belongs to the training data; use --held-out"));
    }
    let (classes, task) = match train.targets() {
        Targets::Classes { names, .. } => (Some(names.clone()), None),
        _ => (None, Some(Task::Values)),
    };
    let named = train.target_name().filter(|_| source.is_table()).map(|name| Label::Name(name.to_owned()));
    let wanted = Wanted {
        classes,
        features: train.feature_names().to_vec(),
        inputs: Some(train.inputs()),
        label: named.or_else(|| args.table.label.clone()).unwrap_or_default(),
        task,
    };
    let test = source.load_for_use::<T>(&args.table, &wanted)?;
    if test.outputs() != train.outputs() {
        let expected = format!("labels as {} has", args.data.name());
        return Err(source.unexpected("label", expected, "none, or others"));
    }
    Ok(test)
}
