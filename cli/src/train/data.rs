//! The samples of a training: split, cut, encoded, standardized.

use std::collections::HashSet;

use travertine::data::{
    Coding, Dataset, EncodedColumn, Encoder, EncoderOptions, Frame, Label, Schema, Split,
    Standardization, Stream, Table, TableOptions, TargetScale, Targets,
};
use travertine::layer::Categories;
use travertine::{Error, Result, Scalar};

use crate::args::augment::{self, Deformation};
use crate::args::source::Source;
use crate::args::table::Scaling;
use crate::input::table::{LeftOutRows, describe};
use crate::input::{refuse_standard_input, warn_of};
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
    /// How the table was read.
    pub(crate) schema: Option<Schema>,
    /// The scale of the targets to train on, in the units of the data.
    pub(crate) target_scale: Option<TargetScale>,
    /// What deforms the training samples, with `--augment`.
    pub(crate) deformation: Option<Deformation>,
}

/// Samples before they are split, encoded and standardized.
enum Whole<T: Scalar> {
    /// Images and their like.
    Samples(Dataset<T>),
    /// The schema of a table in memory is that of its columns alone.
    Table(Frame, Option<Schema>),
}

impl<T: Scalar> Whole<T> {
    fn samples(&self) -> usize {
        match self {
            Whole::Samples(data) => data.samples(),
            Whole::Table(frame, _) => frame.samples(),
        }
    }

    fn targets(&self) -> &Targets {
        match self {
            Whole::Samples(data) => data.targets(),
            Whole::Table(frame, _) => frame.targets(),
        }
    }
}

impl<T: Scalar> TrainingData<T> {
    /// Reads the samples and splits them; `seed` decides what is held out.
    pub(crate) fn load(args: &DataArgs, seed: u64) -> Result<Self> {
        let (whole, own_test) = read::<T>(args)?;
        let split = split(args, seed, &whole, own_test.is_some())?;
        let mut data = Self::of(args, &whole, &split)?;
        match (&args.test, args.held_out, own_test) {
            (Some(source), ..) => data.test = Some(data.load_test(args, source)?),
            (None, None, Some(test)) => data.test = Some(data.standardized(test)?),
            _ => {}
        }
        Ok(data)
    }

    /// The samples of each fold of a cross-validation.
    pub(crate) fn folds(
        args: &DataArgs,
        seed: u64,
        folds: usize,
    ) -> Result<impl Iterator<Item = Result<Self>>> {
        let (whole, own_test) = read::<T>(args)?;
        if own_test.is_some() {
            let reason = format!("{} has a test set of its own", args.source.name());
            return Err(wrong(FOLDS, reason));
        }
        let splits = match strata(args, whole.targets())? {
            Some(labels) => Split::stratified_folds(labels, folds, seed),
            None => Split::folds(whole.samples(), folds, seed),
        }?;
        // Before the first of them is trained.
        splits.iter().try_for_each(|split| refuse_absent_classes(FOLDS, whole.targets(), split))?;
        let args = args.clone();
        Ok(splits.into_iter().map(move |split| Self::of(&args, &whole, &split)))
    }

    /// The example of a stream, with the samples of `--test`, which are read as a whole.
    pub(crate) fn of_stream(args: &DataArgs, stream: &Stream<T>) -> Result<Self> {
        let left_out = LeftOutRows { empty: stream.empty_rows(), unlabeled: stream.unlabeled() };
        let samples = stream.samples() + stream.held_out_samples();
        describe(&args.source.name(), stream.schema(), samples, left_out);
        let mut data = TrainingData {
            train: stream.example().clone(),
            test: None,
            encoder: Some(stream.encoder().clone()),
            standardization: stream.standardization().cloned(),
            schema: Some(stream.schema().clone()),
            target_scale: stream.target_scale().cloned(),
            deformation: None,
        };
        if let [class] = stream.classes() {
            return Err(one_class(&args.source, Some(class)));
        }
        if args.stratify && stream.classes().is_empty() {
            return Err(stratified_values());
        }
        let counts = stream.class_counts().iter().zip(stream.classes());
        if let Some((_, class)) = counts.clone().find(|(count, _)| **count == 0) {
            let reason = format!(
                "all samples of class '{class}' are held out, so it cannot be learned; --stratify keeps some of each class for training"
            );
            return Err(wrong("--held-out", reason));
        }
        if let Some(source) = &args.test {
            data.test = Some(data.load_test(args, source)?);
        }
        Ok(data)
    }

    /// The samples of a split: encoded, cut and standardized.
    fn of(args: &DataArgs, whole: &Whole<T>, split: &Split) -> Result<Self> {
        let train = match args.samples {
            Some(samples) => &split.train[..samples.min(split.train.len())],
            None => &split.train[..],
        };
        let (train, held_out) = (in_order(train), in_order(&split.held_out));
        let mut data = match whole {
            Whole::Samples(all) => Self::of_samples(args, all, &train, &held_out)?,
            Whole::Table(frame, schema) => {
                Self::of_table(args, (frame, schema.as_ref()), &train, &held_out)?
            }
        };
        if let Some(weights) = args.memory.as_ref().and_then(|memory| memory.weights.as_deref()) {
            data = data.weighted(weights, &train, &held_out)?;
        }
        if let Some(most) = args.samples.filter(|most| *most > train.len()) {
            let found = counted(train.len(), "sample", "samples");
            note(&format!("--samples {most} leaves none out: there are {found} to train on"));
        }
        if args.samples.is_some() {
            warn_of_absent_classes(data.train.targets());
        }
        data.target_scale = TargetScale::fit(data.train.targets());
        Ok(data)
    }

    fn of_samples(
        args: &DataArgs,
        all: &Dataset<T>,
        train: &[usize],
        held_out: &[usize],
    ) -> Result<Self> {
        let train = all.select(train)?;
        let deformation = args.augment.as_ref().zip(train.image_size());
        let deformation =
            deformation.map(|(augment, size)| Deformation::new(augment, size)).transpose()?;
        Ok(TrainingData {
            train,
            test: (!held_out.is_empty()).then(|| all.select(held_out)).transpose()?,
            encoder: None,
            standardization: None,
            schema: None,
            target_scale: None,
            deformation,
        })
    }

    fn of_table(
        args: &DataArgs,
        (frame, schema): (&Frame, Option<&Schema>),
        train: &[usize],
        held_out: &[usize],
    ) -> Result<Self> {
        let rows = frame.rows(train)?;
        let options = EncoderOptions {
            most_one_hot: args.embed_categories.unwrap_or(usize::MAX),
            bins: args.bins,
        };
        let (encoder, standardization) = Encoder::fit_with(rows, &options)?;
        let standardization = match args.scaling() {
            Scaling::None => None,
            Scaling::Standard => Some(standardization),
            Scaling::Robust => {
                let raw = encoder.encode::<f64>(rows, None)?.data;
                Some(Standardization::fit_robust(&raw)?.with_unscaled(encoder.unscaled()))
            }
        };
        let scale = standardization.as_ref();
        let held_out = (!held_out.is_empty()).then(|| frame.rows(held_out)).transpose()?;
        let test = held_out.map(|rows| encoder.encode(rows, scale)).transpose()?;
        Ok(TrainingData {
            train: encoder.encode(rows, scale)?.data,
            test: test.map(|encoded| encoded.data),
            encoder: Some(encoder),
            standardization,
            schema: schema.cloned(),
            target_scale: None,
            deformation: None,
        })
    }

    /// The same with the weights of all samples; `train` and `held_out` are the numbers of its own.
    fn weighted(mut self, weights: &[f64], train: &[usize], held_out: &[usize]) -> Result<Self> {
        let of = |samples: &[usize]| samples.iter().map(|&i| weights[i]).collect();
        self.train = self.train.with_weights(of(train))?;
        self.test = self.test.map(|test| test.with_weights(of(held_out))).transpose()?;
        Ok(self)
    }

    /// Samples that are no table, as those to train on.
    fn standardized(&self, mut data: Dataset<T>) -> Result<Dataset<T>> {
        self.standardization.as_ref().map_or(Ok(()), |scale| scale.apply(&mut data))?;
        Ok(data)
    }

    /// The samples of `--test`, read, encoded and standardized as the training samples are.
    fn load_test(&self, args: &DataArgs, source: &Source) -> Result<Dataset<T>> {
        if args.table.labels.is_some() {
            let reason = "the file of --labels belongs to the training data; use --held-out";
            return Err(wrong("--test", reason));
        }
        let classes = match self.train.targets() {
            Targets::Classes { names, .. } => Some(names.clone()),
            _ => None,
        };
        match (source, &self.schema, &self.encoder) {
            (Source::Table(path), Some(schema), Some(encoder)) => {
                let options = TableOptions::default();
                let table = Table::open_as(path, schema, classes, &options)?;
                warn_of(table.notes());
                let encoded = encoder.encode(&table.read()?, self.standardization.as_ref())?;
                warn_of(&encoded.warnings());
                Ok(encoded.data)
            }
            (Source::Table(_), ..) | (_, Some(_), _) => {
                let reason = format!("must be of the same kind as {}", args.source.name());
                Err(wrong("--test", reason))
            }
            _ => {
                let test = source.load_for_use::<T>()?;
                if test.inputs() != self.train.inputs() {
                    let expected = format!("{} a sample", self.train.inputs());
                    return Err(source.unexpected("features", expected, test.inputs().to_string()));
                }
                source.with_classes(test, classes.as_deref().unwrap_or_default())
            }
        }
    }

    /// The samples that a finished model is judged on: those to test on, else those to train on.
    pub(crate) fn judged(&self) -> &Dataset<T> {
        self.test.as_ref().unwrap_or(&self.train)
    }

    /// The same with these of the training samples to train on and to test on, as they are.
    pub(crate) fn part(&self, train: &[usize], test: &[usize]) -> Result<Self> {
        Ok(TrainingData {
            train: self.train.select(&in_order(train))?,
            test: Some(self.train.select(&in_order(test))?),
            encoder: self.encoder.clone(),
            standardization: self.standardization.clone(),
            schema: self.schema.clone(),
            target_scale: self.target_scale.clone(),
            deformation: None,
        })
    }

    /// The classes, or none.
    pub(crate) fn classes(&self) -> &[String] {
        match self.train.targets() {
            Targets::Classes { names, .. } => names,
            _ => &[],
        }
    }

    /// The features that are numbers of categories.
    pub(crate) fn embedded(&self) -> Vec<Categories> {
        self.encoder.iter().flat_map(Encoder::categories).collect()
    }

    /// The features of a table that are numbers as they are: numbers, days and cycles of dates.
    pub(crate) fn numbers(&self) -> Vec<usize> {
        let columns = self.encoder.iter().flat_map(Encoder::columns);
        let is_number = columns.flat_map(|column| {
            let is_number = matches!(column.coding, Coding::Mean(_) | Coding::Date { .. });
            std::iter::repeat_n(is_number, column.features())
        });
        is_number.enumerate().filter(|(_, is)| *is).map(|(feature, _)| feature).collect()
    }

    /// Samples, features and targets, so that a wrong target column shows: "10 classes", "45 distinct values".
    pub(crate) fn describe(&self) -> String {
        let tested = self.test.as_ref().map_or(0, Dataset::samples);
        let learned = match self.train.targets() {
            Targets::Classes { names, .. } => counted(names.len(), "class", "classes"),
            Targets::Values { values, names } if names.len() == 1 => {
                let distinct: HashSet<u64> = values.iter().map(|x| x.to_bits()).collect();
                counted(distinct.len(), "distinct value", "distinct values")
            }
            Targets::Values { names, .. } => format!("values of {}", names.join(", ")),
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
        let name = |column: &EncodedColumn| match &column.coding {
            Coding::Categories(_) => Some(column.name.clone()),
            Coding::Codes(texts) => Some(format!("{}, {} embedded", column.name, texts.len())),
            _ => None,
        };
        let names: Vec<String> = columns.filter_map(name).collect();
        match names.len() {
            0 => String::new(),
            1..=MOST_NAMES => format!(" (categories: {})", names.join(", ")),
            more => format!(" ({more} columns of categories)"),
        }
    }
}

/// Numbers of samples in the order of the file.
pub(crate) fn in_order(samples: &[usize]) -> Vec<usize> {
    let mut sorted = samples.to_vec();
    sorted.sort_unstable();
    sorted
}

/// The options of the library for the table to train on.
pub(crate) fn table_options(args: &DataArgs) -> Result<TableOptions> {
    if args.table.label == Some(Label::None) {
        return Err(wrong("--label", "training needs a label; none is for prediction"));
    }
    let options = args.table.options_with_schema(args.task)?;
    Ok(TableOptions { many_categories: args.embed_categories.is_some(), ..options })
}

/// The samples, and those to test on where the data has a test set.
fn read<T: Scalar>(args: &DataArgs) -> Result<(Whole<T>, Option<Dataset<T>>)> {
    let Source::Table(path) = &args.source else {
        let given = [
            (args.task.is_some(), "--task"),
            (args.scaling() == Scaling::Robust, "--scaling"),
            (args.embed_categories.is_some(), "--embed-categories"),
            (args.bins.is_some(), "--bins"),
        ];
        let given = given.into_iter().find(|(is_given, _)| *is_given).map(|(_, option)| option);
        if let Some(option) = given.or_else(|| args.table.first_given()) {
            let reason = format!("is for tables, not for {}", args.source.name());
            return Err(wrong(option, reason));
        }
        let (all, own_test) = args.source.load()?;
        check_targets(&args.source, all.targets())?;
        return Ok((Whole::Samples(all), own_test));
    };
    if args.augment.is_some() {
        let name = args.source.name();
        let reason =
            format!("is for images: digits, mnist:DIR or idx:IMAGES,LABELS, not for {name}");
        return Err(wrong(augment::OPTION, reason));
    }
    if let Some(memory) = &args.memory {
        check_targets(&args.source, memory.frame.targets())?;
        return Ok((Whole::Table((*memory.frame).clone(), None), None));
    }
    refuse_standard_input(path)?;
    let table = Table::open(path, &table_options(args)?)?;
    let frame = table.read()?;
    let left_out = LeftOutRows { empty: table.empty_rows(), unlabeled: frame.unlabeled() };
    describe(&args.source.name(), table.schema(), frame.samples(), left_out);
    check_targets(&args.source, frame.targets())?;
    Ok((Whole::Table(frame, Some(table.schema().clone())), None))
}

fn check_targets(source: &Source, targets: &Targets) -> Result<()> {
    match targets {
        Targets::None => {
            Err(source.unexpected("label", "a label column to learn", "features alone"))
        }
        Targets::Classes { names, .. } if names.len() < 2 => Err(one_class(source, names.first())),
        _ => Ok(()),
    }
}

fn one_class(source: &Source, class: Option<&String>) -> Error {
    let found = class.map_or("none".to_owned(), |name| format!("{name:?} everywhere"));
    source.unexpected("label", "at least 2 different classes", found)
}

fn stratified_values() -> Error {
    wrong("--stratify", "is for classes, but the label is values")
}

/// The classes of the samples where a split keeps their shares.
fn strata<'a>(args: &DataArgs, targets: &'a Targets) -> Result<Option<&'a [u32]>> {
    match targets {
        _ if !args.stratify => Ok(None),
        Targets::Classes { labels, .. } => Ok(Some(labels)),
        _ => Err(stratified_values()),
    }
}

/// `--samples` is for a quick look, and may leave a class without samples.
fn warn_of_absent_classes(targets: &Targets) {
    let Targets::Classes { labels, names } = targets else { return };
    let known: HashSet<u32> = labels.iter().copied().collect();
    if known.len() < names.len() {
        let (absent, all) = (names.len() - known.len(), names.len());
        warn(&format!("{absent} of {all} classes have no sample among the first {}", labels.len()));
    }
}

/// Refuses a split, made by `option`, that holds out every sample of a class: the class cannot be learned.
fn refuse_absent_classes(option: &'static str, targets: &Targets, split: &Split) -> Result<()> {
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
        // The order of the samples decides.
        _ if option == "--held-out-last" => "hold out a smaller share",
        _ => "--stratify keeps some of each class for training",
    };
    Err(wrong(option, format!("{found}, so it cannot be learned; {cure}")))
}

/// Which samples to train on, in a random order, and which are held out.
fn split<T: Scalar>(
    args: &DataArgs,
    seed: u64,
    whole: &Whole<T>,
    has_own_test: bool,
) -> Result<Split> {
    let samples = whole.samples();
    let all = || Split { train: (0..samples).collect(), held_out: Vec::new() };
    let has_too_few = (samples as f64 * HELD_OUT).round() < 1.0;
    let labels = strata(args, whole.targets())?;
    let share = match args.held_out.or(args.held_out_last) {
        _ if args.test.is_some() => return Ok(all()),
        Some(0.0) => return Ok(all()),
        None if has_own_test => return Ok(all()),
        None if has_too_few => {
            let samples = counted(samples, "sample", "samples");
            note(&format!("nothing is held out to test on: the data has only {samples}"));
            return Ok(all());
        }
        share => share.unwrap_or(HELD_OUT),
    };
    if args.held_out_last.is_some() {
        let count = (samples as f64 * share).round() as usize;
        if !(1..samples).contains(&count) {
            let reason = format!("{share} of {samples} samples leaves one part empty");
            return Err(wrong("--held-out-last", reason));
        }
        let (train, held_out) =
            ((0..samples - count).collect(), (samples - count..samples).collect());
        let split = Split { train, held_out };
        refuse_absent_classes("--held-out-last", whole.targets(), &split)?;
        return Ok(split);
    }
    let split = match labels {
        Some(labels) => Split::stratified(labels, share, seed),
        None => Split::held_out(samples, share, seed),
    }?;
    refuse_absent_classes("--held-out", whole.targets(), &split)?;
    Ok(split)
}
