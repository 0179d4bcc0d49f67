//! Predictions and evaluation for whole data sets and files.

use std::path::Path;

use super::prediction::Predictions;
use super::schema::Origin;
use super::{Model, Predictor};
use crate::activation::Activation;
use crate::data::{
    self, Dataset, Encoded, Frame, Label, Schema as TableSchema, Table, TableOptions, Targets, Task,
};
use crate::error::{Error, Result};
use crate::loss::Loss;
use crate::matrix::Matrix;
use crate::network::INFERENCE_BATCH;
use crate::ops::fused;
use crate::samples::{Report, Samples, Scores};
use crate::scalar::Scalar;

/// How good a model is on samples with targets.
#[derive(Clone, Debug)]
pub struct Evaluation<T: Scalar> {
    /// Mean loss and, for classes, accuracy; weighted where the samples have weights. The loss of one value or of its quantiles is in its unit; that of several is of scaled values.
    pub report: Report,
    /// What the model predicts for each sample.
    pub predictions: Predictions<T>,
    /// The targets, with the classes in the order of [`Model::classes`].
    pub targets: Targets,
}

/// A table that was read for a model, as the network takes it: encoded and standardized.
#[derive(Clone, Debug)]
pub struct ModelTable<T: Scalar> {
    encoded: Encoded<T>,
    ids: Option<Vec<String>>,
    unlabeled: usize,
    /// Where the file differs from that of the training.
    notes: Vec<String>,
}

impl<T: Scalar> ModelTable<T> {
    /// The samples as the network takes them, with their targets.
    pub fn samples(&self) -> &Dataset<T> {
        &self.encoded.data
    }

    /// The texts of the column that [`TableOptions::id`] names, one for each sample.
    pub fn ids(&self) -> Option<&[String]> {
        self.ids.as_deref()
    }

    /// Rows that were left out because they have no label.
    pub fn unlabeled(&self) -> usize {
        self.unlabeled
    }

    /// What a person should know before trusting predictions for these samples: where the file differs from that of the training,
    /// texts and gaps that training did not see, numbers far outside those of the training.
    pub fn warnings(&self) -> Vec<String> {
        [self.notes.clone(), self.encoded.warnings()].concat()
    }
}

impl<T: Scalar> Model<T> {
    /// How the model reads a table: the schema of its training, or one of its columns alone, if it has none.
    pub fn schema(&self) -> &TableSchema {
        &self.shared.table_schema
    }

    /// Reads a file (CSV, NumPy, with the feature `parquet` Parquet and Arrow) for predictions, as the schema of the training says. Labels
    /// may be absent and are not looked at. The options change the dialect, and name a column that is carried along
    /// ([`TableOptions::id`]).
    ///
    /// # Errors
    /// A file that cannot be read, or lacks columns of the model; a value that does not fit its column, with line and column.
    pub fn read_table(
        &self,
        path: impl AsRef<Path>,
        options: &TableOptions,
    ) -> Result<ModelTable<T>> {
        let options = TableOptions { label: Label::None, ..options.clone() };
        self.encode(&Table::open_as(path, self.schema(), None, &options)?)
    }

    /// As [`Model::read_table`], with labels, for [`Model::evaluate_table`].
    ///
    /// # Errors
    /// As [`Model::read_table`]; a file without the label's column; a class that the model does not have.
    pub fn read_labeled_table(
        &self,
        path: impl AsRef<Path>,
        options: &TableOptions,
    ) -> Result<ModelTable<T>> {
        let options = TableOptions { label: Label::Last, ..options.clone() };
        let classes = (self.task() == Task::Classes).then(|| self.classes().to_vec());
        self.encode(&Table::open_as(path, self.schema(), classes, &options)?)
    }

    fn encode(&self, table: &Table) -> Result<ModelTable<T>> {
        let encoded = self.encode_frame(&table.read()?)?;
        Ok(ModelTable { notes: table.notes().to_vec(), ..encoded })
    }

    /// Encodes and standardizes the rows of a table with the columns of [`Model::schema`].
    ///
    /// # Errors
    /// Other columns than the model's; a gap, if the model knows no mean that stands for it.
    pub fn encode_frame(&self, frame: &Frame) -> Result<ModelTable<T>> {
        let standardization = self.info.standardization.as_ref();
        let encoded = self.shared.encoder.encode(frame, standardization)?;
        let knows_means = self.info.encoder.is_some() || standardization.is_some();
        if let Some(gap) = encoded.gaps.first().filter(|_| !knows_means) {
            let reason = format!(
                "column '{}' has missing values, and the model knows no mean that stands for them",
                gap.column
            );
            return Err(Error::argument("Model::encode_frame", reason));
        }
        let ids = frame.ids().map(<[String]>::to_vec);
        Ok(ModelTable { encoded, ids, unlabeled: frame.unlabeled(), notes: Vec::new() })
    }

    /// The predictions for a table that was read for this model.
    ///
    /// # Errors
    /// An answer that is not finite, as sums overflow; the row is named. A device that fails.
    pub fn predict_table(&self, table: &ModelTable<T>) -> Result<Predictions<T>> {
        let predictions = self.predict_standardized(&table.encoded.data)?;
        Ok(predictions.with_unseen(table.encoded.unknown.clone(), table.warnings()))
    }

    /// Loss, accuracy and predictions for a table that was read with labels.
    ///
    /// # Errors
    /// As [`Model::evaluate`].
    pub fn evaluate_table(&self, table: &ModelTable<T>) -> Result<Evaluation<T>> {
        let data = &table.encoded.data;
        self.judge(self.predict_table(table)?, data, self.targets_of("Model::evaluate", data)?)
    }

    /// Reads a file and predicts each row: [`Model::read_table`] and [`Model::predict_table`].
    ///
    /// # Errors
    /// As both.
    pub fn predict_file(&self, path: impl AsRef<Path>) -> Result<Predictions<T>> {
        self.predict_table(&self.read_table(path, &TableOptions::default())?)
    }

    /// Reads a file with labels and evaluates the model on it.
    ///
    /// # Errors
    /// As [`Model::read_labeled_table`] and [`Model::evaluate`].
    pub fn evaluate_file(&self, path: impl AsRef<Path>) -> Result<Evaluation<T>> {
        self.evaluate_table(&self.read_labeled_table(path, &TableOptions::default())?)
    }

    /// The predictions for samples as the network takes them: encoded and standardized already.
    ///
    /// # Errors
    /// Samples with another number of features, or features of other names; an answer that is not finite, as sums
    /// overflow; a device that fails.
    pub fn predict_standardized(&self, data: &Dataset<T>) -> Result<Predictions<T>> {
        self.check_features("Model::predict_standardized", data)?;
        let mut predictions = Predictions::with_capacity(&self.shared.answers, data.samples());
        let mut predictor: Predictor<T> = self.predictor(data.samples().min(INFERENCE_BATCH))?;
        predictor.predict_standardized(data.features(), &mut predictions)?;
        Ok(predictions)
    }

    /// The predictions for samples that are encoded, where the model has an encoder, and not standardized.
    ///
    /// # Errors
    /// Samples with another number of features, or features of other names; a feature or an answer that overflows; a
    /// device that fails.
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
    /// A number of outputs that is not a whole number of samples; an answer that is not finite.
    pub fn decode(&self, outputs: &[T]) -> Result<Predictions<T>> {
        let of_a_sample = self.network().outputs();
        if !outputs.len().is_multiple_of(of_a_sample) {
            let reason = format!("{} outputs; a sample has {of_a_sample}", outputs.len());
            return Err(Error::argument("Model::decode", reason));
        }
        let samples = outputs.len() / of_a_sample;
        let mut predictions = Predictions::with_capacity(&self.shared.answers, samples);
        predictions.more(samples).copy_from_slice(outputs);
        predictions.finish_finite(|i| Origin { noun: "row", number: Some(i) })?;
        Ok(predictions)
    }

    /// Loss, accuracy and predictions for samples with targets, which are read as for [`Model::predict`]. Classes are matched
    /// by name, whatever their order in `data`. Loss and accuracy are weighted where samples have weights
    /// ([`Dataset::with_weights`](crate::data::Dataset::with_weights)).
    ///
    /// # Errors
    /// As [`Model::predict`]; samples without targets, with targets of another kind, or of a class that the model does not
    /// have.
    pub fn evaluate(&self, data: &Dataset<T>) -> Result<Evaluation<T>> {
        let predictions = self.predict(data)?;
        let targets = self.targets_of("Model::evaluate", data)?;
        let mut features = data.features().to_vec();
        if let Some(standardization) = &self.info.standardization {
            features.chunks_exact_mut(data.inputs()).for_each(|sample| {
                standardization.apply_to(sample);
            });
        }
        let mut standardized = Dataset::new(data.inputs(), features, Targets::None)?;
        if let Some(weights) = data.weights() {
            standardized = standardized.with_weights(weights.to_vec())?;
        }
        self.judge(predictions, &standardized, targets)
    }

    /// As [`Model::evaluate`], for samples as the network takes them: encoded and standardized already.
    ///
    /// # Errors
    /// As [`Model::evaluate`].
    pub fn evaluate_standardized(&self, data: &Dataset<T>) -> Result<Evaluation<T>> {
        self.judge(
            self.predict_standardized(data)?,
            data,
            self.targets_of("Model::evaluate_standardized", data)?,
        )
    }

    /// The loss of predictions for standardized samples; `targets` in the units of the data, with the classes of the model.
    fn judge(
        &self,
        predictions: Predictions<T>,
        data: &Dataset<T>,
        targets: Targets,
    ) -> Result<Evaluation<T>> {
        let scale = self.info.target_scale.as_ref();
        let quantiles = self.quantiles();
        let learned = match &quantiles {
            Some(quantiles) => targets.for_quantiles(quantiles)?,
            None => targets.clone(),
        };
        let learned = scale.map_or(Ok(learned.clone()), |scale| scale.apply_to(&learned))?;
        let loss = scale.map_or(self.info.loss, |scale| scale.loss(self.info.loss));
        let data = data.clone().with_targets(learned)?;
        let samples = self.samples(&data)?;
        let is_bounded = scale.is_some_and(|scale| scale.bounds().is_some());
        let mut report = match self.networks.len() {
            1 if !is_bounded && quantiles.is_none() => self.network().evaluate(loss, &samples)?,
            _ => self.report(loss, &predictions, &samples)?,
        };
        report.loss *= scale.map_or(1.0, |scale| scale.factor(self.info.loss));
        Ok(Evaluation { report, predictions, targets })
    }

    /// The report of predictions that are not one network's outputs: the mean of an ensemble, bounded values, or sorted quantiles.
    fn report(
        &self,
        loss: Loss,
        predictions: &Predictions<T>,
        samples: &Samples<'_, T>,
    ) -> Result<Report> {
        let (engine, count) = (self.network().engine(), samples.count());
        let outputs = match (&self.info.target_scale, self.task()) {
            (Some(scale), Task::Values) => {
                let values = predictions.iter().flat_map(|p| p.values().to_vec()).collect();
                let names = vec![String::new(); self.network().outputs()];
                match scale.apply_to(&Targets::Values { values, names })? {
                    Targets::Values { values, .. } => values.into_iter().map(T::from_f64).collect(),
                    _ => Vec::new(),
                }
            }
            (None, Task::Values) if self.quantiles().is_some() => {
                let values = predictions.iter().flat_map(|p| p.values().to_vec());
                values.map(T::from_f64).collect()
            }
            _ => read_by(loss, self.network().output_activation(), predictions.outputs()),
        };
        let outputs = Matrix::from_slice(engine, self.network().outputs(), count, &outputs)?;
        let mut scores = Scores::new(engine, count)?;
        let ([_, targets], [losses, hits]) =
            (samples.range(0..count)?, scores.range_mut(0..count)?);
        let first_by_row = loss.first_by_row(engine)?;
        let loss_of_rows = (loss.formula(), first_by_row.as_ref());
        fused::loss(loss_of_rows, outputs.view(), targets, losses, None)?;
        fused::hits(outputs.view(), targets, loss.threshold(), hits)?;
        scores.report(count, samples.task(), [samples.counts(); 2])
    }

    /// Refuses samples with features that are not the model's.
    pub(super) fn check_features(&self, operation: &'static str, data: &Dataset<T>) -> Result<()> {
        let (expected, found) = (self.network().inputs(), data.inputs());
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
    pub(super) fn targets_of(&self, operation: &'static str, data: &Dataset<T>) -> Result<Targets> {
        let describe = |count: usize, noun: &str| data::text::counted(count, noun);
        let expected = match self.task() {
            Task::Classes => describe(self.classes().len(), "class").replace("classs", "classes"),
            Task::Values => describe(self.values(), "value") + " a sample",
        };
        let found = match (data.targets(), self.task()) {
            (Targets::Classes { labels, names }, Task::Classes) => {
                return self.matched(operation, labels, names);
            }
            (targets @ Targets::Values { names, .. }, Task::Values)
                if names.len() == self.values() =>
            {
                return Ok(targets.clone());
            }
            (Targets::Classes { .. }, _) => "classes".to_owned(),
            (Targets::Values { names, .. }, _) => describe(names.len(), "value") + " a sample",
            (Targets::None, _) => "none".to_owned(),
        };
        let reason =
            format!("the targets of the samples are {found}; the model was trained on {expected}");
        Err(Error::argument(operation, reason))
    }

    /// Values in the target of a sample.
    fn values(&self) -> usize {
        if self.quantiles().is_some() { 1 } else { self.network().outputs() }
    }

    fn matched(
        &self,
        operation: &'static str,
        labels: &[u32],
        names: &[String],
    ) -> Result<Targets> {
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
                Error::argument(operation, reason)
            })
        };
        let labels = labels.iter().enumerate().map(matched).collect::<Result<_>>()?;
        Ok(Targets::Classes { labels, names: self.classes().to_vec() })
    }

    /// Samples on the model's engine: one number a sample where one output is the score of the second of two classes.
    fn samples<'d>(&'d self, data: &'d Dataset<T>) -> Result<Samples<'d, T>> {
        let engine = self.network().engine();
        match data.targets() {
            Targets::Classes { labels, .. } if self.network().outputs() == 1 => {
                let yes: Vec<T> =
                    labels.iter().map(|&label| T::from_f64(f64::from(label))).collect();
                let inputs =
                    Matrix::from_slice(engine, data.inputs(), data.samples(), data.features())?;
                let targets = Matrix::from_slice(engine, 1, yes.len(), &yes)?;
                Samples::from_matrices(inputs, targets, Task::Classes)?.with_weights_of(data)
            }
            _ => Samples::new(engine, data),
        }
    }
}

/// What a loss reads in the place of these outputs of a network that ends in `last`: logits where it is fused with softmax or
/// sigmoid.
fn read_by<T: Scalar>(loss: Loss, last: Activation, outputs: &[T]) -> Vec<T> {
    // A probability that is 0 in single precision has a loss of 87, and not infinity.
    let ln = |probability: f64| probability.max(f64::from(f32::MIN_POSITIVE)).ln();
    let logit = |x: &T| match last {
        Activation::Softmax => T::from_f64(ln(x.to_f64())),
        _ => T::from_f64(ln(x.to_f64()) - ln(1.0 - x.to_f64())),
    };
    match loss.is_fused_with(last) {
        true => outputs.iter().map(logit).collect(),
        false => outputs.to_vec(),
    }
}
