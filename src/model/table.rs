//! Predictions and evaluation for whole data sets and files.

use std::path::Path;

use super::prediction::Predictions;
use super::{Model, Predictor};
use crate::data::{self, CsvOptions, Dataset, Encoded, Label, Targets, Task};
use crate::error::{Error, Result};
use crate::matrix::Matrix;
use crate::network::INFERENCE_BATCH;
use crate::samples::{Report, Samples};
use crate::scalar::Scalar;

/// How good a model is on samples with targets.
#[derive(Clone, Debug)]
pub struct Evaluation<T: Scalar> {
    /// Mean loss and, for classes, accuracy.
    pub report: Report,
    /// What the model predicts for each sample.
    pub predictions: Predictions<T>,
    /// The targets, with the classes in the order of [`Model::classes`].
    pub targets: Targets<T>,
}

impl<T: Scalar> Model<T> {
    /// Reads a CSV file and predicts each row. Columns are found by their names, in any order and among any others, where the
    /// training table had names; a text that training did not see belongs to no category and is reported by
    /// [`Predictions::unknown`].
    ///
    /// # Errors
    /// A file that cannot be read or has other columns than the model: as [`Encoder::read_csv`](data::Encoder::read_csv) and
    /// [`data::read_csv`]; a device that fails.
    pub fn predict_csv(&self, path: impl AsRef<Path>) -> Result<Predictions<T>> {
        let Encoded { data, unknown } = self.read_csv(path, &self.csv_options())?;
        Ok(self.predict(&data)?.with_unknown(unknown))
    }

    /// The predictions for samples as [`Model::read_csv`] and the other readers return them: encoded where the model has an
    /// encoder, and not standardized.
    ///
    /// # Errors
    /// Samples with another number of features, or features of other names; a feature that overflows; a device that fails.
    pub fn predict(&self, data: &Dataset<T>) -> Result<Predictions<T>> {
        self.check_features("Model::predict", data)?;
        let samples = data.samples();
        let mut predictions = Predictions::with_capacity(&self.shared.answers, samples);
        let mut predictor: Predictor<T> = self.predictor(samples.min(INFERENCE_BATCH))?;
        predictor.predict_features(data.features(), &mut predictions)?;
        Ok(predictions)
    }

    /// What outputs of [`Model::network`] mean, `outputs x samples`, one sample after the other: for a program that runs the
    /// network itself, on samples that are standardized already.
    ///
    /// # Errors
    /// A number of outputs that is not a whole number of samples.
    pub fn decode(&self, outputs: &[T]) -> Result<Predictions<T>> {
        let of_a_sample = self.network.outputs();
        if !outputs.len().is_multiple_of(of_a_sample) {
            let reason = format!("{} outputs; a sample has {of_a_sample}", outputs.len());
            return Err(Error::argument("Model::decode", reason));
        }
        let samples = outputs.len() / of_a_sample;
        let mut predictions = Predictions::with_capacity(&self.shared.answers, samples);
        predictions.more(samples).copy_from_slice(outputs);
        predictions.finish();
        Ok(predictions)
    }

    /// Loss, accuracy and predictions for samples with targets, which are read as for [`Model::predict`]. Classes are matched
    /// by name, whatever their order in `data`.
    ///
    /// # Errors
    /// As [`Model::predict`]; samples without targets, with targets of another kind, or of a class that the model does not
    /// have.
    pub fn evaluate(&self, data: &Dataset<T>) -> Result<Evaluation<T>> {
        let predictions = self.predict(data)?;
        let targets = self.targets_of(data)?;
        let mut features = data.features().to_vec();
        if let Some(standardization) = &self.info.standardization {
            features.chunks_exact_mut(data.inputs()).for_each(|sample| {
                standardization.apply_to(sample);
            });
        }
        let data = Dataset::new(data.inputs(), features, targets)?;
        let samples = self.samples(&data)?;
        let report = self.network.evaluate(self.info.loss, &samples)?;
        Ok(Evaluation { report, predictions, targets: data.targets().clone() })
    }

    /// Reads a CSV file with a label column and evaluates the model on it.
    ///
    /// # Errors
    /// As [`Model::predict_csv`] and [`Model::evaluate`].
    pub fn evaluate_csv(&self, path: impl AsRef<Path>) -> Result<Evaluation<T>> {
        self.evaluate(&self.read_csv(path, &self.labeled_csv_options())?.data)
    }

    /// The samples of a CSV file, encoded where the model has an encoder. Options: those of [`Model::csv_options`] or
    /// [`Model::labeled_csv_options`], changed where the file demands it.
    ///
    /// # Errors
    /// As [`Encoder::read_csv`](data::Encoder::read_csv) and [`data::read_csv`].
    pub fn read_csv(&self, path: impl AsRef<Path>, options: &CsvOptions) -> Result<Encoded<T>> {
        match &self.info.encoder {
            Some(encoder) => encoder.read_csv(path, options),
            None => {
                let data = data::read_csv(path, options)?;
                Ok(Encoded { data, unknown: Vec::new() })
            }
        }
    }

    /// How the features of a CSV file are read for predictions. A label column may be absent; labels are not looked at, so
    /// that new classes do no harm.
    pub fn csv_options(&self) -> CsvOptions {
        // Features that are found by name need no label column to be told from it.
        let label = if self.info.features.is_empty() { self.label() } else { Label::None };
        CsvOptions { label, task: Some(Task::Classes), ..self.feature_options() }
    }

    /// How features and labels of a CSV file are read for [`Model::evaluate`].
    pub fn labeled_csv_options(&self) -> CsvOptions {
        let (classes, task) = match self.task() {
            Task::Classes => (Some(self.classes().to_vec()), None),
            Task::Values => (None, Some(Task::Values)),
        };
        CsvOptions { label: self.label(), classes, task, ..self.feature_options() }
    }

    fn feature_options(&self) -> CsvOptions {
        let names = &self.info.features;
        CsvOptions {
            features: (!names.is_empty()).then(|| names.clone()),
            inputs: Some(self.network.inputs()),
            ..CsvOptions::default()
        }
    }

    /// The label column as training read it: by the name of the target, else by the number in `training`, else the last one.
    pub fn label(&self) -> Label {
        let number = self.info.training.iter().find(|(key, _)| key == "label");
        match (&self.info.target, number.and_then(|(_, number)| number.parse().ok())) {
            (Some(name), _) => Label::Name(name.clone()),
            (None, Some(number)) => Label::Number(number),
            (None, None) => Label::Last,
        }
    }

    /// Refuses samples with features that are not the model's.
    fn check_features(&self, operation: &'static str, data: &Dataset<T>) -> Result<()> {
        let (expected, found) = (self.network.inputs(), data.inputs());
        if expected != found {
            let reason =
                format!("the samples have {found} features; the model was trained on {expected}");
            return Err(Error::argument(operation, reason));
        }
        let pairs = self.info.features.iter().zip(data.feature_names());
        match pairs.enumerate().find(|(_, (expected, found))| expected != found) {
            Some((i, (expected, found))) => {
                let reason = format!(
                    "feature {i} (counted from 0) is '{found}'; the model has '{expected}'"
                );
                Err(Error::argument(operation, reason))
            }
            None => Ok(()),
        }
    }

    /// The targets of samples with the classes in the model's order.
    fn targets_of(&self, data: &Dataset<T>) -> Result<Targets<T>> {
        let describe = |count: usize, noun: &str| data::text::counted(count, noun);
        let expected = match self.task() {
            Task::Classes => describe(self.classes().len(), "class").replace("classs", "classes"),
            Task::Values => describe(self.network.outputs(), "value") + " a sample",
        };
        let found = match (data.targets(), self.task()) {
            (Targets::Classes { labels, names }, Task::Classes) => {
                return self.matched(labels, names);
            }
            (targets @ Targets::Values { names, .. }, Task::Values)
                if names.len() == self.network.outputs() =>
            {
                return Ok(targets.clone());
            }
            (Targets::Classes { .. }, _) => "classes".to_owned(),
            (Targets::Values { names, .. }, _) => describe(names.len(), "value") + " a sample",
            (Targets::None, _) => "none".to_owned(),
        };
        let reason =
            format!("the targets of the samples are {found}; the model was trained on {expected}");
        Err(Error::argument("Model::evaluate", reason))
    }

    fn matched(&self, labels: &[u32], names: &[String]) -> Result<Targets<T>> {
        let number = |name: &String| (0..).zip(self.classes()).find(|(_, class)| *class == name);
        let numbers: Vec<Option<u32>> =
            names.iter().map(|name| number(name).map(|(number, _)| number)).collect();
        let matched = |(i, &label): (usize, &u32)| {
            numbers[label as usize].ok_or_else(|| {
                let reason = format!(
                    "sample {i} (counted from 0) has class {}; the model has {}",
                    data::text::quoted(&names[label as usize]),
                    data::text::listed(self.classes())
                );
                Error::argument("Model::evaluate", reason)
            })
        };
        let labels = labels.iter().enumerate().map(matched).collect::<Result<_>>()?;
        Ok(Targets::Classes { labels, names: self.classes().to_vec() })
    }

    /// Samples on the model's engine: one number a sample where one output is the score of the second of two classes.
    fn samples<'d>(&'d self, data: &'d Dataset<T>) -> Result<Samples<'d, T>> {
        let engine = self.network.engine();
        match data.targets() {
            Targets::Classes { labels, .. } if self.network.outputs() == 1 => {
                let yes: Vec<T> =
                    labels.iter().map(|&label| T::from_f64(f64::from(label))).collect();
                let inputs =
                    Matrix::from_slice(engine, data.inputs(), data.samples(), data.features())?;
                let targets = Matrix::from_slice(engine, 1, yes.len(), &yes)?;
                Samples::from_matrices(inputs, targets, Task::Classes)
            }
            _ => Samples::new(engine, data),
        }
    }
}
