//! Predictions as the columns of a Parquet file, where the program was built with the feature `parquet`.

use travertine::{Prediction, Scalar};

/// Columns of predictions: texts first, then numbers.
pub(crate) struct Columns {
    names: Vec<String>,
    texts: Vec<Vec<String>>,
    numbers: Vec<Vec<f64>>,
}

impl Columns {
    /// `names`: of all columns, of which the first `texts` are texts.
    pub(crate) fn new(names: Vec<String>, texts: usize) -> Self {
        let numbers = names.len() - texts;
        Columns { names, texts: vec![Vec::new(); texts], numbers: vec![Vec::new(); numbers] }
    }

    /// Adds a prediction; `id`: what is carried along.
    pub(crate) fn push<T: Scalar>(&mut self, prediction: &Prediction<'_, T>, id: Option<&str>) {
        let texts = id.into_iter().chain(prediction.class());
        self.texts.iter_mut().zip(texts).for_each(|(column, text)| column.push(text.to_owned()));
        let probability = prediction.probability().into_iter();
        let probabilities = prediction.probabilities().iter().copied();
        let values = prediction.values().iter().copied();
        let numbers = probability.chain(probabilities).chain(values);
        self.numbers.iter_mut().zip(numbers).for_each(|(column, number)| column.push(number));
    }

    /// The bytes of the file.
    #[cfg(feature = "parquet")]
    pub(crate) fn into_parquet(self) -> std::io::Result<Vec<u8>> {
        use std::io::Error;
        use std::sync::Arc;

        use arrow_array::{ArrayRef, Float64Array, RecordBatch, StringArray};
        use parquet::arrow::ArrowWriter;

        let texts =
            self.texts.into_iter().map(|texts| Arc::new(StringArray::from(texts)) as ArrayRef);
        let numbers = self
            .numbers
            .into_iter()
            .map(|numbers| Arc::new(Float64Array::from(numbers)) as ArrayRef);
        let columns = self.names.into_iter().zip(texts.chain(numbers));
        let batch = RecordBatch::try_from_iter(columns).map_err(Error::other)?;
        let mut bytes = Vec::new();
        let mut writer =
            ArrowWriter::try_new(&mut bytes, batch.schema(), None).map_err(Error::other)?;
        writer.write(&batch).map_err(Error::other)?;
        writer.close().map_err(Error::other)?;
        Ok(bytes)
    }

    /// `refusal` has refused this before.
    #[cfg(not(feature = "parquet"))]
    pub(crate) fn into_parquet(self) -> std::io::Result<Vec<u8>> {
        let columns = self.names.len() + self.texts.len() + self.numbers.len();
        Err(std::io::Error::other(format!("{columns} columns: {WITHOUT}")))
    }
}

/// The reason to refuse a Parquet file as output, if there is one.
pub(crate) fn refusal() -> Option<&'static str> {
    (!cfg!(feature = "parquet")).then_some(WITHOUT)
}

const WITHOUT: &str = "this program was built without Parquet; build it with cargo build --release --features parquet";
