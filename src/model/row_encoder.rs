//! Raw rows become the network's inputs, apart from the network: for servers.

use std::sync::Arc;

use serde::Serialize;

use super::Shared;
use super::record::RecordWriter;
use super::schema::{Fit, Origin};
use crate::error::Result;
use crate::scalar::Scalar;

/// Encodes raw rows as a [`Predictor`](super::Predictor) does, without computing anything: a server encodes each request by
/// itself, so that a wrong row spoils no other request, and computes the rows of many requests at once
/// ([`Predictor::predict_encoded`](super::Predictor::predict_encoded)).
///
/// ```
/// # use travertine::{Activation, Loss, Model, Network, engine, model_file::ModelInfo};
/// # let cpu = engine::open::<f32>("cpu")?;
/// # let network = Network::builder(&cpu, 2).dense(1, Activation::Identity).build()?;
/// # let mut info = ModelInfo::new(Loss::Quadratic);
/// # info.features = vec!["area".into(), "rooms".into()];
/// # let model = Model::new(network, info)?;
/// let (mut encoder, mut features) = (model.row_encoder(), Vec::new());
/// encoder.encode_record(None, &serde_json::json!({"area": 80, "rooms": 3}), &mut features)?;
/// encoder.encode_row(None, &[80.0, 3.0], &mut features)?;
/// let mut predictor = model.predictor(2)?;
/// let predicted = predictor.predict_encoded(&features)?.outputs().to_vec();
/// assert_eq!(predicted, [predictor.predict(&[80.0, 3.0])?.outputs(); 2].concat());
/// # Ok::<(), travertine::Error>(())
/// ```
pub struct RowEncoder {
    shared: Arc<Shared>,
    /// The features of one sample before they are standardized.
    raw: Vec<f64>,
    /// For each column, whether the record in progress had it.
    seen: Vec<bool>,
    /// For each column, what became of its value in the record in progress.
    fits: Vec<Fit>,
    /// For each column, the texts that training did not see, and the numbers far outside of it.
    unseen: Vec<[u64; 2]>,
    accepts_unknown: bool,
}

impl RowEncoder {
    pub(super) fn new(shared: &Arc<Shared>, inputs: usize) -> Self {
        let columns = shared.schema.columns().len();
        RowEncoder {
            shared: Arc::clone(shared),
            raw: vec![0.0; inputs],
            seen: vec![false; columns],
            fits: vec![Fit::Known; columns],
            unseen: vec![[0; 2]; columns],
            accepts_unknown: false,
        }
    }

    /// Whether a text that training did not see is accepted; see
    /// [`Predictor::accept_unknown_categories`](super::Predictor::accept_unknown_categories).
    pub fn accept_unknown_categories(&mut self, accept: bool) {
        self.accepts_unknown = accept;
    }

    /// What records had so far that training did not see; see [`Predictor::unseen`](super::Predictor::unseen).
    pub fn unseen(&self) -> impl Iterator<Item = (&str, u64, u64)> {
        let columns = self.shared.schema.columns().iter().zip(&self.unseen);
        let counts = columns.map(|(column, &[unknown, outside])| (&*column.name, unknown, outside));
        counts.filter(|(_, unknown, outside)| unknown + outside > 0)
    }

    /// Appends the features of a record, which is read as by
    /// [`Predictor::predict_record`](super::Predictor::predict_record); `number`: of the record among others, counted from 0,
    /// for messages.
    ///
    /// # Errors
    /// As [`Predictor::predict_record`](super::Predictor::predict_record); nothing is appended then.
    pub fn encode_record<T: Scalar, R: Serialize + ?Sized>(
        &mut self,
        number: Option<usize>,
        record: &R,
        features: &mut Vec<T>,
    ) -> Result<()> {
        let origin = Origin { noun: "record", number };
        appended(self.raw.len(), features, |features| self.write_record(record, origin, features))
    }

    /// Appends the features of a row of values in the order of [`Model::columns`](super::Model::columns), each of which is read
    /// as in a record; `number`: as for [`RowEncoder::encode_record`].
    ///
    /// # Errors
    /// Another number of values than columns; otherwise as
    /// [`Predictor::predict_record`](super::Predictor::predict_record); nothing is appended then.
    pub fn encode_values<T: Scalar, V: Serialize>(
        &mut self,
        number: Option<usize>,
        values: &[V],
        features: &mut Vec<T>,
    ) -> Result<()> {
        let origin = Origin { noun: "row", number };
        appended(self.raw.len(), features, |features| {
            self.write(origin, features, |writer| writer.write_values(values))
        })
    }

    /// Appends the features of a row of numbers in the order of [`Model::columns`](super::Model::columns); `number`: as for
    /// [`RowEncoder::encode_record`].
    ///
    /// # Errors
    /// As [`Predictor::predict`](super::Predictor::predict); nothing is appended then.
    pub fn encode_row<T: Scalar>(
        &self,
        number: Option<usize>,
        row: &[f64],
        features: &mut Vec<T>,
    ) -> Result<()> {
        let origin = Origin { noun: "row", number };
        appended(self.raw.len(), features, |features| self.write_row(row, origin, features))
    }

    pub(super) fn write_row<T: Scalar>(
        &self,
        row: &[f64],
        origin: Origin,
        features: &mut [T],
    ) -> Result<()> {
        self.shared.schema.write_numbers(row, features, origin)
    }

    pub(super) fn write_record<T: Scalar, R: Serialize + ?Sized>(
        &mut self,
        record: &R,
        origin: Origin,
        features: &mut [T],
    ) -> Result<()> {
        self.write(origin, features, |writer| writer.write(record))
    }

    fn write<T: Scalar>(
        &mut self,
        origin: Origin,
        features: &mut [T],
        write: impl FnOnce(&mut RecordWriter<'_>) -> Result<()>,
    ) -> Result<()> {
        self.raw.fill(0.0);
        self.seen.fill(false);
        self.fits.fill(Fit::Known);
        let mut writer = RecordWriter {
            schema: &self.shared.schema,
            origin,
            features: &mut self.raw,
            seen: &mut self.seen,
            accepts_unknown: self.accepts_unknown,
            fits: &mut self.fits,
        };
        write(&mut writer)?;
        for (unseen, fit) in self.unseen.iter_mut().zip(&self.fits) {
            match fit {
                Fit::Known => {}
                Fit::Unknown => unseen[0] += 1,
                Fit::Outside => unseen[1] += 1,
            }
        }
        self.shared.schema.standardize_into(&self.raw, features, origin)
    }
}

/// Appends a sample of `inputs` features that `write` fills, unless it fails.
fn appended<T: Scalar>(
    inputs: usize,
    features: &mut Vec<T>,
    write: impl FnOnce(&mut [T]) -> Result<()>,
) -> Result<()> {
    let first = features.len();
    features.resize(first + inputs, T::default());
    let written = write(&mut features[first..]);
    if written.is_err() {
        features.truncate(first);
    }
    written
}
