//! Predictions one after the other, for one thread.

use std::sync::Arc;

use serde::Serialize;

use super::Shared;
use super::prediction::{Prediction, Predictions};
use super::row_encoder::RowEncoder;
use super::schema::Origin;
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::matrix::{Matrix, MatrixRef};
use crate::network::{Inference, Prepared};
use crate::scalar::Scalar;

/// Predicts from raw rows, with buffers of its own. It owns all it needs, so that a program can keep it in a struct; it is
/// [`Send`], and its methods need `&mut self`: one predictor a thread. Predictors of one [`Model`](super::Model) share the
/// weights.
///
/// No call allocates memory unless it fails, or reads a number with a unit from a text. The answer for a row does not depend on the rows that share its batch: on the CPU
/// it is the same bit for bit.
///
/// ```
/// use serde::Serialize;
/// # use travertine::{Activation, Loss, Model, Network, engine, model_file::ModelInfo};
/// # let cpu = engine::open::<f32>("cpu")?;
/// # let network = Network::builder(&cpu, 2).dense(1, Activation::Identity).build()?;
/// # let mut info = ModelInfo::new(Loss::Quadratic);
/// # info.features = vec!["area".into(), "rooms".into()];
/// # let model = Model::new(network, info)?;
/// #[derive(Serialize)]
/// struct Flat {
///     rooms: u8,
///     area: f64,
/// }
/// let mut predictor = model.predictor(1)?;
/// let price = predictor.predict_record(&Flat { rooms: 3, area: 80.0 })?.values()[0];
/// assert_eq!(predictor.predict(&[80.0, 3.0])?.values(), [price]);
/// assert_eq!(predictor.predict_record(&serde_json::json!({"area": 80, "rooms": 3}))?.values(), [price]);
///
/// let error = predictor.predict_record(&serde_json::json!({"area": "large", "rooms": 3})).unwrap_err();
/// assert_eq!(
///     error.to_string(),
///     "record: column 'area': expected a finite number, found the text \"large\""
/// );
/// # Ok::<(), travertine::Error>(())
/// ```
pub struct Predictor<T: Scalar> {
    shared: Arc<Shared>,
    runner: Runner<T>,
    batch: usize,
    /// `inputs x batch`
    features: Vec<T>,
    encoder: RowEncoder,
    predictions: Predictions<T>,
}

impl<T: Scalar> Predictor<T> {
    pub(super) fn new(
        shared: &Arc<Shared>,
        (engine, inputs): (&Arc<dyn Engine<T>>, usize),
        prepared: &[Arc<Prepared<'static, T>>],
        batch: usize,
    ) -> Result<Self> {
        let members = prepared.iter().map(|prepared| Inference::new(Arc::clone(prepared), batch));
        let members = members.collect::<Result<Vec<_>>>()?;
        Ok(Predictor {
            shared: Arc::clone(shared),
            runner: Runner::new((engine, inputs), members, shared.answers.outputs() * batch)?,
            batch,
            features: vec![T::default(); inputs * batch],
            encoder: RowEncoder::new(shared, inputs),
            predictions: Predictions::with_capacity(&shared.answers, batch),
        })
    }

    /// The largest number of rows that a call accepts.
    pub fn batch(&self) -> usize {
        self.batch
    }

    /// Whether a text that training did not see is accepted, as belonging to no category, and counted; by default it is an
    /// error. The program's `predict` accepts such texts.
    pub fn accept_unknown_categories(&mut self, accept: bool) {
        self.encoder.accept_unknown_categories(accept);
    }

    /// How many texts that training did not see were accepted so far.
    pub fn unknown_categories(&self) -> u64 {
        self.unseen().map(|(_, unknown, _)| unknown).sum()
    }

    /// What records had so far that training did not see: for each column with any of it, its name, how many texts were
    /// accepted, and how many numbers and dates were far outside those of the training.
    pub fn unseen(&self) -> impl Iterator<Item = (&str, u64, u64)> {
        self.encoder.unseen()
    }

    /// The prediction for one raw row: numbers in the units of the training data, in the order of
    /// [`Model::columns`](super::Model::columns).
    ///
    /// # Errors
    /// Another number of values than columns; a value that is not finite; a model with columns of texts, whose rows are
    /// records; an answer that is not finite, as sums overflow; a device that fails.
    pub fn predict(&mut self, row: &[f64]) -> Result<Prediction<'_, T>> {
        let origin = Origin { noun: "row", number: None };
        self.write_row(0, row, origin)?;
        self.first(origin)
    }

    /// The predictions for up to `batch` raw rows, each as for [`Predictor::predict`], one after the other.
    ///
    /// # Errors
    /// As [`Predictor::predict`], the row being named; no rows, more than the batch, or a length that is not a whole number of
    /// rows.
    pub fn predict_batch(&mut self, rows: &[f64]) -> Result<&Predictions<T>> {
        let columns = self.shared.schema.columns().len();
        let samples = rows.len() / columns;
        if !rows.len().is_multiple_of(columns) || !(1..=self.batch).contains(&samples) {
            let reason = format!(
                "{} numbers are no 1 to {} rows of {columns} columns",
                rows.len(),
                self.batch
            );
            return Err(Error::argument("predict_batch", reason));
        }
        for (i, row) in rows.chunks_exact(columns).enumerate() {
            self.write_row(i, row, Origin { noun: "row", number: Some(i) })?;
        }
        self.run(samples, |i| Origin { noun: "row", number: Some(i) })
    }

    /// The prediction for one raw row by column name: a struct, a map, a `serde_json::Value` or anything else that
    /// serializes as a map.
    ///
    /// Every column of [`Model::columns`](super::Model::columns) must be there; fields of other names, the target among them,
    /// are ignored. A bool is a truth value, and no number where training read numbers; a number of percent or of a currency may
    /// be a text as in training, "90%", and one of percent must be. In a column of categories a whole number or a bool is the text
    /// that CSV has for it, and an enumeration's variant is the text of its name. `None`, `()` and JSON's null are a missing value, and
    /// so, in a column of categories, are the words that CSV files have for it, such as `NA`.
    ///
    /// # Errors
    /// A column that the record lacks; a value of another type, or none where training had no gaps; a number that is not
    /// finite; a text that training did not see, unless [accepted](Predictor::accept_unknown_categories); an answer that is not finite,
    /// as sums overflow; a device that fails.
    /// The message names the column, what was expected and what was found.
    pub fn predict_record<R: Serialize + ?Sized>(
        &mut self,
        record: &R,
    ) -> Result<Prediction<'_, T>> {
        let origin = Origin { noun: "record", number: None };
        self.write_record(0, record, origin)?;
        self.first(origin)
    }

    /// The predictions for up to `batch` records, each as for [`Predictor::predict_record`].
    ///
    /// # Errors
    /// As [`Predictor::predict_record`], the record being named; no records, or more than the batch.
    pub fn predict_records<R: Serialize>(&mut self, records: &[R]) -> Result<&Predictions<T>> {
        let samples = records.len();
        if !(1..=self.batch).contains(&samples) {
            let reason = format!("{samples} records; 1 to {} are possible", self.batch);
            return Err(Error::argument("predict_records", reason));
        }
        for (i, record) in records.iter().enumerate() {
            self.write_record(i, record, Origin { noun: "record", number: Some(i) })?;
        }
        self.run(samples, |i| Origin { noun: "record", number: Some(i) })
    }

    fn write_row(&mut self, sample: usize, row: &[f64], origin: Origin) -> Result<()> {
        let features = part(&mut self.features, sample, self.runner.inputs);
        self.encoder.write_row(row, origin, features)
    }

    fn write_record<R: Serialize + ?Sized>(
        &mut self,
        sample: usize,
        record: &R,
        origin: Origin,
    ) -> Result<()> {
        let features = part(&mut self.features, sample, self.runner.inputs);
        self.encoder.write_record(record, origin, features)
    }

    /// The predictions for up to `batch` samples that [`RowEncoder`] encoded, with the same bits as those of their rows. An answer that is
    /// not finite spoils no other one: [`Model::decode`](super::Model::decode) refuses it, for the outputs of each request.
    ///
    /// # Errors
    /// No samples, more than the batch, or a length that is not a whole number of samples; a device that fails.
    pub fn predict_encoded(&mut self, features: &[T]) -> Result<&Predictions<T>> {
        let inputs = self.runner.inputs;
        let samples = features.len() / inputs;
        if !features.len().is_multiple_of(inputs) || !(1..=self.batch).contains(&samples) {
            let (found, batch) = (features.len(), self.batch);
            let reason = format!("{found} features are no 1 to {batch} samples of {inputs}");
            return Err(Error::argument("predict_encoded", reason));
        }
        self.predictions.clear();
        self.runner.run(features, self.predictions.more(samples))?;
        self.predictions.finish();
        Ok(&self.predictions)
    }

    /// The prediction for the one sample that was written.
    fn first(&mut self, origin: Origin) -> Result<Prediction<'_, T>> {
        let nothing = || Error::argument("predict", "the network returned no outputs");
        self.run(1, |_| origin)?.get(0).ok_or_else(nothing)
    }

    /// The predictions for the samples that were written.
    fn run(&mut self, samples: usize, origin: impl Fn(usize) -> Origin) -> Result<&Predictions<T>> {
        self.predictions.clear();
        let outputs = self.predictions.more(samples);
        let features = &self.features[..self.runner.inputs * samples];
        self.runner.run(features, outputs)?;
        self.predictions.finish_finite(origin)?;
        Ok(&self.predictions)
    }

    /// Predictions for samples as the network takes them, a batch at a time, appended to `all`.
    pub(super) fn predict_standardized(
        &mut self,
        features: &[T],
        all: &mut Predictions<T>,
    ) -> Result<()> {
        let inputs = self.runner.inputs;
        for part in features.chunks(inputs * self.batch) {
            let first = all.len();
            let outputs = all.more(part.len() / inputs);
            self.runner.run(part, outputs)?;
            all.finish_finite(|i| Origin { noun: "row", number: Some(first + i) })?;
        }
        Ok(())
    }

    /// Predictions for samples whose features are encoded and not yet standardized, a batch at a time, appended to `all`.
    pub(super) fn predict_features(
        &mut self,
        features: &[T],
        all: &mut Predictions<T>,
    ) -> Result<()> {
        let (inputs, batch) = (self.runner.inputs, self.batch);
        for (number, part) in features.chunks(inputs * batch).enumerate() {
            let buffer = &mut self.features[..part.len()];
            buffer.copy_from_slice(part);
            for (i, sample) in buffer.chunks_exact_mut(inputs).enumerate() {
                let origin = Origin { noun: "sample", number: Some(number * batch + i) };
                self.shared.schema.standardize(sample, origin)?;
            }
            let outputs = all.more(part.len() / inputs);
            self.runner.run(buffer, outputs)?;
            all.finish_finite(|i| Origin { noun: "sample", number: Some(number * batch + i) })?;
        }
        Ok(())
    }
}

/// The features of one sample.
fn part<T>(features: &mut [T], sample: usize, inputs: usize) -> &mut [T] {
    &mut features[sample * inputs..][..inputs]
}

/// Inferences between numbers in host memory.
struct Runner<T: Scalar> {
    engine: Arc<dyn Engine<T>>,
    /// One, or those of an ensemble.
    members: Vec<Inference<'static, T>>,
    inputs: usize,
    /// `inputs x batch`: the features in the engine's memory, where that is not the host's.
    staging: Option<Matrix<T>>,
    /// `outputs x batch`: the sum over the members of an ensemble.
    sums: Vec<f64>,
}

impl<T: Scalar> Runner<T> {
    /// `outputs`: of a batch.
    fn new(
        (engine, inputs): (&Arc<dyn Engine<T>>, usize),
        members: Vec<Inference<'static, T>>,
        outputs: usize,
    ) -> Result<Self> {
        let in_place = MatrixRef::borrow(engine, 1, 1, &[T::default()]).is_ok();
        let batch = members.first().map_or(0, Inference::batch);
        let staging = if in_place { None } else { Some(Matrix::zeros(engine, inputs, batch)?) };
        let sums = if members.len() > 1 { vec![0.0; outputs] } else { Vec::new() };
        Ok(Runner { engine: Arc::clone(engine), members, inputs, staging, sums })
    }

    /// The network's outputs, or the mean of the members' ones, `outputs x samples`, for features `inputs x samples`.
    fn run(&mut self, features: &[T], outputs: &mut [T]) -> Result<()> {
        let samples = features.len() / self.inputs;
        let input = match &mut self.staging {
            None => MatrixRef::borrow(&self.engine, self.inputs, samples, features)?,
            Some(staging) => {
                staging.view_mut().sub_columns(0..samples)?.write(features)?;
                staging.view().sub_columns(0..samples)?
            }
        };
        if let [network] = &mut *self.members {
            return network.run(input)?.read(outputs);
        }
        let sums = &mut self.sums[..outputs.len()];
        sums.fill(0.0);
        let count = self.members.len() as f64;
        for member in &mut self.members {
            member.run(input)?.read(outputs)?;
            sums.iter_mut().zip(&*outputs).for_each(|(sum, output)| *sum += output.to_f64());
        }
        outputs.iter_mut().zip(sums).for_each(|(output, sum)| *output = T::from_f64(*sum / count));
        Ok(())
    }
}
