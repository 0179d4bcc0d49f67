//! Reading samples.

use travertine::data::{self, Dataset, Encoded, Targets};
use travertine::{Result, Scalar};

use crate::args::source::Source;
use crate::args::table::{Requirements, TableArgs};
use crate::message::{counted, warn, wrong};

pub(crate) use self::for_model::{labeled, unlabeled};
pub(crate) use self::unscaled::Unscaled;

mod for_model;
mod parquet;
mod unscaled;

impl Source {
    /// The samples to train on, and those to test on where the data has a test set.
    pub(crate) fn load_for_training<T: Scalar>(
        &self,
        table: &TableArgs,
        required: &Requirements,
    ) -> Result<(Unscaled<T>, Option<Dataset<T>>)> {
        let frame = match self {
            Source::Csv(path) => Some(data::read_frame(path, &table.csv_options(required))),
            Source::Parquet(path) => Some(parquet::read_frame(path, &table.csv_options(required))),
            _ => None,
        };
        if let Some(frame) = frame {
            self.check(table)?;
            return Ok((Unscaled::of_frame(frame?)?, None));
        }
        let (all, test) = self.load(table, required)?;
        Ok((Unscaled::Numbers(all), test))
    }

    fn load<T: Scalar>(
        &self,
        table: &TableArgs,
        required: &Requirements,
    ) -> Result<(Dataset<T>, Option<Dataset<T>>)> {
        self.check(table)?;
        match self {
            Source::Digits => Ok((data::digits()?, None)),
            Source::Mnist(folder) => data::mnist(folder).map(|(train, test)| (train, Some(test))),
            Source::Idx(images, labels) => Ok((data::read_idx(images, labels)?, None)),
            Source::Csv(path) => {
                let options = table.csv_options(required);
                match &required.encoder {
                    Some(encoder) => {
                        Ok((self.warn_of_unknown(encoder.read_csv(path, &options)?), None))
                    }
                    None => Ok((data::read_csv(path, &options)?, None)),
                }
            }
            Source::Parquet(path) => {
                let options = table.csv_options(required);
                match &required.encoder {
                    Some(encoder) => {
                        Ok((self.warn_of_unknown(parquet::encode(encoder, path, &options)?), None))
                    }
                    None => Ok((parquet::read_frame(path, &options)?.into_dataset()?, None)),
                }
            }
            Source::Npy(path) => Ok((data::read_npy(path, &table.npy_options(required))?, None)),
        }
    }

    /// The samples for a finished model: the test set where there is one, else all.
    pub(crate) fn load_for_use<T: Scalar>(
        &self,
        table: &TableArgs,
        required: &Requirements,
    ) -> Result<Dataset<T>> {
        let (all, test) = self.load(table, required)?;
        let data = test.unwrap_or(all);
        if let Some(inputs) = required.inputs.filter(|&inputs| inputs != data.inputs()) {
            return Err(self.unexpected(
                "features",
                format!("{inputs} a sample"),
                data.inputs().to_string(),
            ));
        }
        match &required.classes {
            Some(classes) => self.with_classes(data, classes),
            None => Ok(data),
        }
    }

    /// Warns of categories that the encoder has not seen.
    fn warn_of_unknown<T: Scalar>(&self, encoded: Encoded<T>) -> Dataset<T> {
        for unknown in &encoded.unknown {
            let (column, example, samples) = (&unknown.column, &unknown.example, unknown.samples);
            let samples = counted(samples, "sample has", "samples have");
            warn(&format!(
                "{samples} a '{column}' that training did not see, as {example:?}; encoded as no category"
            ));
        }
        encoded.data
    }

    /// The same samples with the model's classes, in the model's order.
    fn with_classes<T: Scalar>(&self, data: Dataset<T>, classes: &[String]) -> Result<Dataset<T>> {
        let Targets::Classes { labels, names } = data.targets() else { return Ok(data) };
        if names == classes {
            return Ok(data);
        }
        let number: Vec<Option<u32>> = names
            .iter()
            .map(|name| {
                (0..).zip(classes).find(|(_, class)| *class == name).map(|(number, _)| number)
            })
            .collect();
        let find = |(i, &label): (usize, &u32)| {
            number[label as usize].ok_or_else(|| {
                let expected = format!("one of the {} classes of the model", classes.len());
                self.unexpected(
                    format!("sample {i}"),
                    expected,
                    format!("class {:?}", names[label as usize]),
                )
            })
        };
        let labels = labels.iter().enumerate().map(find).collect::<Result<_>>()?;
        let targets = Targets::Classes { labels, names: classes.to_vec() };
        let same = Dataset::new(data.inputs(), data.features().to_vec(), targets)?;
        match data.image_size() {
            Some((width, height)) => same.with_image_size(width, height),
            None => Ok(same),
        }
    }

    /// Refuses an option that would be ignored.
    fn check(&self, table: &TableArgs) -> Result<()> {
        let refused = match self {
            Source::Csv(_) => table.labels.as_ref().map(|_| ("--labels", "NPY")),
            Source::Npy(_) => table.first_for_csv().map(|option| (option, "CSV")),
            Source::Parquet(_) => {
                table.first_not_for_parquet().map(|option| (option, "CSV and NPY"))
            }
            _ => table.first_given().map(|option| (option, "CSV and NPY")),
        };
        match refused {
            Some((option, kind)) => {
                Err(wrong(option, format!("is for {kind} data, not for {}", self.name())))
            }
            None => Ok(()),
        }
    }
}
