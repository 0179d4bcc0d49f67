//! Reading samples.

use std::path::Path;

use travertine::data::{self, Dataset, TableOptions, Targets, Task};
use travertine::{Model, ModelTable, Result, Scalar};

use crate::args::source::Source;
use crate::message::{counted, note, warn, wrong};

pub(crate) mod table;

/// The name of standard input.
pub(crate) const STANDARD_INPUT: &str = "-";
/// Warnings about a table that are printed; more are counted.
const MOST_WARNINGS: usize = 8;

impl Source {
    /// The samples of data that is no table, and those to test on where it has a test set.
    pub(crate) fn load<T: Scalar>(&self) -> Result<(Dataset<T>, Option<Dataset<T>>)> {
        match self {
            Source::Digits => Ok((data::digits()?, None)),
            Source::Mnist(folder) => data::mnist(folder).map(|(train, test)| (train, Some(test))),
            Source::Idx(images, labels) => Ok((data::read_idx(images, labels)?, None)),
            Source::Table(_) => Err(wrong("DATA", "is a table")),
        }
    }

    /// The samples that a finished model is used on: the test set where there is one, else all.
    pub(crate) fn load_for_use<T: Scalar>(&self) -> Result<Dataset<T>> {
        let (all, test) = self.load()?;
        Ok(test.unwrap_or(all))
    }

    /// The same samples with these classes, in this order.
    pub(crate) fn with_classes<T: Scalar>(
        &self,
        data: Dataset<T>,
        classes: &[String],
    ) -> Result<Dataset<T>> {
        let Targets::Classes { labels, names } = data.targets() else { return Ok(data) };
        if names == classes {
            return Ok(data);
        }
        let number = |name: &String| (0..).zip(classes).find(|(_, class)| *class == name);
        let numbers: Vec<Option<u32>> =
            names.iter().map(|name| number(name).map(|(number, _)| number)).collect();
        let find = |(i, &label): (usize, &u32)| {
            numbers[label as usize].ok_or_else(|| {
                let expected = format!("one of the {} classes of the model", classes.len());
                let found = format!("class {:?}", names[label as usize]);
                self.unexpected(format!("sample {i}"), expected, found)
            })
        };
        let labels = labels.iter().enumerate().map(find).collect::<Result<_>>()?;
        data.with_targets(Targets::Classes { labels, names: classes.to_vec() })
    }
}

/// The samples that a saved model is used on.
pub(crate) enum ModelInput<T: Scalar> {
    /// As a table is read for the model.
    Table(ModelTable<T>),
    /// Images and their like, which are not standardized yet.
    Samples(Dataset<T>),
}

impl<T: Scalar> ModelInput<T> {
    /// The samples of `source`; `labeled`: with labels, which must be there.
    pub(crate) fn read(
        model: &Model<T>,
        source: &Source,
        options: &TableOptions,
        labeled: bool,
    ) -> Result<Self> {
        let Source::Table(path) = source else {
            let data = source.load_for_use::<T>()?;
            check_features(model, source, &data)?;
            let is_classifier = model.task() == Task::Classes;
            let data = if is_classifier && labeled {
                source.with_classes(data, model.classes())?
            } else {
                data
            };
            return Ok(ModelInput::Samples(data));
        };
        refuse_standard_input(path)?;
        let table = match labeled {
            true => model.read_labeled_table(path, options),
            false => model.read_table(path, options),
        }?;
        if table.unlabeled() > 0 {
            let rows = counted(table.unlabeled(), "row", "rows");
            note(&format!("{}: {rows} without a label left out", source.name()));
        }
        warn_of(&table.warnings());
        Ok(ModelInput::Table(table))
    }
}

/// Refuses `-`, which `predict` alone reads, where a file is expected.
pub(crate) fn refuse_standard_input(path: &Path) -> Result<()> {
    if path.as_os_str() != STANDARD_INPUT || path.exists() {
        return Ok(());
    }
    Err(wrong("-", "is standard input, which predict alone reads; write it to a file first"))
}

/// Prints the first warnings, and how many more there are.
pub(crate) fn warn_of(warnings: &[String]) {
    warnings.iter().take(MOST_WARNINGS).for_each(|warning| warn(warning));
    if warnings.len() > MOST_WARNINGS {
        warn(&format!("and {} more of this kind", warnings.len() - MOST_WARNINGS));
    }
}

/// Refuses samples with another number of features than the model's.
fn check_features<T: Scalar>(model: &Model<T>, source: &Source, data: &Dataset<T>) -> Result<()> {
    let (expected, found) = (model.network().inputs(), data.inputs());
    if expected == found {
        return Ok(());
    }
    Err(source.unexpected("features", format!("{expected} a sample"), found.to_string()))
}
