//! DATA: where samples come from.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use travertine::data::{
    self, CsvOptions, Dataset, Encoded, Encoder, Label, NpyOptions, Targets, Task,
};
use travertine::{ErrorKind, Result, Scalar};

use crate::args::TableArgs;
use crate::names::{counted, wrong};
use crate::output::note;
use crate::parquet;
use crate::raw::Raw;

/// What DATA may be.
const KINDS: &str = "digits, mnist:DIR, idx:IMAGES,LABELS, or a file that ends in .csv, .tsv, .txt, .npy or .parquet";

/// Where samples come from, as the command line names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// The digits inside the library.
    Digits,
    /// A folder with the four files of MNIST.
    Mnist(PathBuf),
    /// A pair of IDX files.
    Idx(PathBuf, PathBuf),
    /// A text file with a table.
    Csv(PathBuf),
    /// A NumPy file.
    Npy(PathBuf),
    /// A Parquet file.
    Parquet(PathBuf),
}

impl FromStr for Source {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "digits" {
            return Ok(Source::Digits);
        }
        match text.split_once(':') {
            Some(("mnist", folder)) => return Ok(Source::Mnist(folder.into())),
            Some(("idx", pair)) => {
                let (images, labels) = pair.split_once(',').ok_or("expected idx:IMAGES,LABELS")?;
                return Ok(Source::Idx(images.into(), labels.into()));
            }
            _ => {}
        }
        let extension = Path::new(text).extension().map(|extension| extension.to_ascii_lowercase());
        match extension.as_ref().and_then(|extension| extension.to_str()) {
            Some("csv" | "tsv" | "txt") => Ok(Source::Csv(text.into())),
            Some("npy") => Ok(Source::Npy(text.into())),
            Some("parquet") => Ok(Source::Parquet(text.into())),
            _ => Err(format!("expected {KINDS}")),
        }
    }
}

/// What a model, or the training set, wants of data.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wanted {
    pub(crate) classes: Option<Vec<String>>,
    pub(crate) features: Vec<String>,
    pub(crate) inputs: Option<usize>,
    pub(crate) label: Label,
    pub(crate) task: Option<Task>,
    /// How tables become features, where a training has found out.
    pub(crate) encoder: Option<Encoder>,
}

impl Source {
    /// The name without folder and ending, for the model file.
    pub(crate) fn stem(&self) -> String {
        match self {
            Source::Digits => "digits".to_owned(),
            Source::Mnist(_) => "mnist".to_owned(),
            Source::Idx(path, _)
            | Source::Csv(path)
            | Source::Npy(path)
            | Source::Parquet(path) => path
                .file_stem()
                .map_or("model".to_owned(), |stem| stem.to_string_lossy().into_owned()),
        }
    }

    /// The files that are read, as far as they have names here.
    pub(crate) fn files(&self) -> Vec<&Path> {
        match self {
            Source::Digits | Source::Mnist(_) => Vec::new(),
            Source::Idx(images, labels) => vec![images, labels],
            Source::Csv(path) | Source::Npy(path) | Source::Parquet(path) => vec![path],
        }
    }

    /// What the model file calls it: folders are nobody else's business.
    pub(crate) fn short_name(&self) -> String {
        match self {
            Source::Digits | Source::Mnist(_) => self.stem(),
            _ => {
                let names = self.files().into_iter().filter_map(Path::file_name);
                names.map(|name| name.to_string_lossy()).collect::<Vec<_>>().join(",")
            }
        }
    }

    /// What messages call it.
    pub(crate) fn name(&self) -> String {
        match self {
            Source::Digits => "digits".to_owned(),
            Source::Mnist(folder) => format!("mnist:{}", folder.display()),
            Source::Idx(images, labels) => format!("idx:{},{}", images.display(), labels.display()),
            Source::Csv(path) | Source::Npy(path) | Source::Parquet(path) => {
                path.display().to_string()
            }
        }
    }

    /// Whether it is a table of measurements, whose features have different scales.
    pub(crate) fn is_table(&self) -> bool {
        matches!(self, Source::Csv(_) | Source::Npy(_) | Source::Parquet(_))
    }

    /// The samples to train on, and those to test on where the data tells them apart.
    pub(crate) fn load_for_training<T: Scalar>(
        &self,
        table: &TableArgs,
        wanted: &Wanted,
    ) -> Result<(Raw<T>, Option<Dataset<T>>)> {
        let frame = match self {
            Source::Csv(path) => Some(data::read_frame(path, &csv_options(table, wanted))),
            Source::Parquet(path) => Some(parquet::read_frame(path, &csv_options(table, wanted))),
            _ => None,
        };
        if let Some(frame) = frame {
            self.check(table)?;
            return Ok((Raw::of_frame(frame?)?, None));
        }
        let (all, test) = self.load(table, wanted)?;
        Ok((Raw::Numbers(all), test))
    }

    fn load<T: Scalar>(
        &self,
        table: &TableArgs,
        wanted: &Wanted,
    ) -> Result<(Dataset<T>, Option<Dataset<T>>)> {
        self.check(table)?;
        match self {
            Source::Digits => Ok((data::digits()?, None)),
            Source::Mnist(folder) => data::mnist(folder).map(|(train, test)| (train, Some(test))),
            Source::Idx(images, labels) => Ok((data::read_idx(images, labels)?, None)),
            Source::Csv(path) => {
                let options = csv_options(table, wanted);
                match &wanted.encoder {
                    Some(encoder) => Ok((self.known(encoder.read_csv(path, &options)?), None)),
                    None => Ok((data::read_csv(path, &options)?, None)),
                }
            }
            Source::Parquet(path) => {
                let options = csv_options(table, wanted);
                match &wanted.encoder {
                    Some(encoder) => {
                        Ok((self.known(parquet::encode(encoder, path, &options)?), None))
                    }
                    None => Ok((parquet::read_frame(path, &options)?.into_dataset()?, None)),
                }
            }
            Source::Npy(path) => Ok((data::read_npy(path, &npy_options(table, wanted))?, None)),
        }
    }

    /// The samples that a finished model is for: the test set where there is one, else all.
    pub(crate) fn load_for_use<T: Scalar>(
        &self,
        table: &TableArgs,
        wanted: &Wanted,
    ) -> Result<Dataset<T>> {
        let (all, test) = self.load(table, wanted)?;
        let data = test.unwrap_or(all);
        if let Some(inputs) = wanted.inputs.filter(|&inputs| inputs != data.inputs()) {
            return Err(self.unexpected(
                "features",
                format!("{inputs} a sample"),
                data.inputs().to_string(),
            ));
        }
        match &wanted.classes {
            Some(classes) => self.with_classes(data, classes),
            None => Ok(data),
        }
    }

    /// Warns of what the encoder has not seen.
    fn known<T: Scalar>(&self, encoded: Encoded<T>) -> Dataset<T> {
        for unknown in &encoded.unknown {
            let (column, example, samples) = (&unknown.column, &unknown.example, unknown.samples);
            let samples = counted(samples, "sample has", "samples have");
            note(&format!(
                "warning: {samples} a '{column}' that training did not see, as {example:?}; taken for none"
            ));
        }
        encoded.data
    }

    /// The same samples with the classes that a model knows, in its order.
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
                let expected = format!("one of the {} classes that the model knows", classes.len());
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

    /// The data holds something else than it should.
    pub(crate) fn unexpected(
        &self,
        place: impl Into<String>,
        expected: impl Into<String>,
        found: impl Into<String>,
    ) -> travertine::Error {
        let (place, expected, found) = (place.into(), expected.into(), found.into());
        ErrorKind::Format { file: self.name(), place, expected, found }.into()
    }

    /// An option that would be ignored is refused.
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

pub(crate) fn csv_options(table: &TableArgs, wanted: &Wanted) -> CsvOptions {
    CsvOptions {
        header: table.has_header(),
        label: wanted.label.clone(),
        task: wanted.task,
        classes: wanted.classes.clone(),
        features: (!wanted.features.is_empty()).then(|| wanted.features.clone()),
        inputs: wanted.inputs,
        drop: table.drop.clone(),
        categorical: table.categorical.clone(),
    }
}

pub(crate) fn npy_options(table: &TableArgs, wanted: &Wanted) -> NpyOptions {
    // An array's columns have no names; a model that was trained on a table with names takes the last one.
    let label = match &wanted.label {
        Label::Name(_) if table.label.is_none() => Label::Last,
        label => label.clone(),
    };
    NpyOptions {
        labels: table.labels.clone(),
        label,
        task: wanted.task,
        classes: wanted.classes.clone(),
        inputs: wanted.inputs,
    }
}
