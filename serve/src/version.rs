//! A version of a model: from the rows of a request to its answers.

use std::path::Path;
use std::sync::Arc;

use travertine::data::{RowReader, TableOptions, Task};
use travertine::{Model, Predictions, Result, RowEncoder, Scalar, model_file};

use crate::about::About;
use crate::compute::Queue;
use crate::fault::Fault;
use crate::metrics::ModelMetrics;
use crate::options::Engines;
use crate::rows::{self, Fields, Row};

/// Rows of a request.
pub(crate) enum Input<'a> {
    Rows(&'a [Row<'a>]),
    /// Rows of numbers, one after the other, in the order of the columns.
    Numbers(&'a [f64]),
    /// The text of a CSV file, and the largest number of rows.
    Csv(&'a [u8], usize),
}

impl Input<'_> {
    /// About how many bytes are read.
    fn bytes(&self) -> usize {
        match self {
            Input::Rows(rows) => {
                rows.len() * rows.first().map_or(0, Row::values) * size_of::<f64>()
            }
            Input::Numbers(numbers) => size_of_val(*numbers),
            Input::Csv(text, _) => text.len(),
        }
    }
}

/// Bytes of rows that are read within some hundred microseconds.
const FEW_BYTES: usize = 64 << 10;

/// Runs what reads so many bytes, apart from the threads of connections if that takes long.
pub(crate) fn apart<R>(bytes: usize, read: impl FnOnce() -> R) -> R {
    if bytes > FEW_BYTES { tokio::task::block_in_place(read) } else { read() }
}

/// What a model answers for rows.
pub(crate) struct Answers {
    pub(crate) rows: usize,
    /// For a model of classes, the index of the class of each row.
    pub(crate) classes: Vec<usize>,
    /// `classes x rows`; empty for a model of values.
    pub(crate) scores: Vec<f64>,
    /// `values x rows`; empty for a model of classes.
    pub(crate) values: Vec<f64>,
    /// What training did not see in the rows.
    pub(crate) warnings: Vec<String>,
}

/// A model of either precision.
enum Loaded {
    Single(Computed<f32>),
    Double(Computed<f64>),
}

/// A model and its thread.
struct Computed<T: Scalar> {
    model: Model<T>,
    queue: Queue<T>,
}

/// A model as it was loaded once.
pub(crate) struct Version {
    /// Counted from 1 since the start of the program.
    pub(crate) number: u64,
    pub(crate) about: About,
    loaded: Loaded,
}

impl Version {
    /// Loads the model of a file. `capacity`: of its queue.
    pub(crate) fn load(
        (name, path): (&str, &Path),
        number: u64,
        engines: &Engines,
        capacity: usize,
        metrics: &Arc<ModelMetrics>,
    ) -> Result<Self> {
        let start = (name, capacity, metrics);
        let description = model_file::describe(path)?;
        let parameters = description.parameters;
        let (about, loaded) = if description.precision == "f64" {
            let engine = (engines.double)(parameters)?;
            let computed = Computed::<f64>::new(Model::load(path, &engine)?, start)?;
            (About::new(&computed.model), Loaded::Double(computed))
        } else {
            let engine = (engines.single)(parameters)?;
            let computed = Computed::<f32>::new(Model::load(path, &engine)?, start)?;
            (About::new(&computed.model), Loaded::Single(computed))
        };
        Ok(Version { number, about, loaded })
    }

    /// The answers for the rows of a request.
    pub(crate) async fn predict(&self, input: Input<'_>) -> Result<Answers, Fault> {
        match &self.loaded {
            Loaded::Single(computed) => computed.predict(input).await,
            Loaded::Double(computed) => computed.predict(input).await,
        }
    }
}

impl<T: Scalar> Computed<T> {
    fn new(
        model: Model<T>,
        (name, capacity, metrics): (&str, usize, &Arc<ModelMetrics>),
    ) -> Result<Self> {
        let queue = Queue::start(&model, name, capacity, Arc::clone(metrics))?;
        Ok(Computed { model, queue })
    }

    async fn predict(&self, input: Input<'_>) -> Result<Answers, Fault> {
        let _under_way = self.queue.enter();
        let (features, warnings) = apart(input.bytes(), || self.encode(input))?;
        let rows = features.len() / self.model.network().inputs();
        let outputs =
            if rows == 0 { Vec::new() } else { self.queue.outputs(features, rows).await? };
        Ok(self.answers(&self.model.decode(&outputs)?, warnings))
    }

    /// The features of all rows, and what training did not see in them.
    fn encode(&self, input: Input<'_>) -> Result<(Vec<T>, Vec<String>), Fault> {
        let model = &self.model;
        let mut features = Vec::new();
        match input {
            Input::Csv(text, max_rows) => self.encode_csv(text, max_rows),
            Input::Numbers(numbers) => {
                let encoder = model.row_encoder();
                for (i, row) in numbers.chunks_exact(model.columns().len()).enumerate() {
                    encoder.encode_row(Some(i), row, &mut features)?;
                }
                Ok((features, Vec::new()))
            }
            Input::Rows(rows) => {
                let mut encoder = model.row_encoder();
                encoder.accept_unknown_categories(true);
                for (i, row) in rows.iter().enumerate() {
                    encode_row(&mut encoder, (i, row), &mut features)?;
                }
                Ok((features, warnings(&encoder)))
            }
        }
    }

    fn encode_csv(&self, text: &[u8], max_rows: usize) -> Result<(Vec<T>, Vec<String>), Fault> {
        let (mut features, mut warnings) = (Vec::new(), Vec::new());
        let options = TableOptions::default();
        let mut rows = RowReader::new("text", text, self.model.schema(), &options)?;
        let mut count = 0;
        while let Some(frame) = rows.next_rows()? {
            count += frame.samples();
            rows::check_count(count, max_rows)?;
            let table = self.model.encode_frame(&frame)?;
            features.extend_from_slice(table.samples().features());
            for warning in table.warnings() {
                if !warnings.contains(&warning) {
                    warnings.push(warning);
                }
            }
        }
        Ok((features, warnings))
    }

    fn answers(&self, predictions: &Predictions<T>, warnings: Vec<String>) -> Answers {
        let classes = match self.model.task() {
            Task::Classes => predictions.iter().filter_map(|p| p.class_index()).collect(),
            Task::Values => Vec::new(),
        };
        // The digits that the precision deserves, as the program prints them.
        let values = predictions.iter().flat_map(|p| {
            let exact = p.values().to_vec();
            let number = |(text, exact): (String, f64)| text.parse().unwrap_or(exact);
            p.value_texts().into_iter().zip(exact).map(number).collect::<Vec<f64>>()
        });
        Answers {
            rows: predictions.len(),
            classes,
            scores: predictions.scores().to_vec(),
            values: values.collect(),
            warnings,
        }
    }
}

fn encode_row<T: Scalar>(
    encoder: &mut RowEncoder,
    (number, row): (usize, &Row<'_>),
    features: &mut Vec<T>,
) -> Result<(), Fault> {
    match row {
        Row::Record(fields) => encoder.encode_record(Some(number), &Fields(fields), features)?,
        Row::List(values) => encoder.encode_values(Some(number), values, features)?,
    }
    Ok(())
}

/// A sentence for each column of which something was unseen.
fn warnings(encoder: &RowEncoder) -> Vec<String> {
    let rows = |count: u64| if count == 1 { "1 row".to_owned() } else { format!("{count} rows") };
    let mut warnings = Vec::new();
    for (column, unknown, outside) in encoder.unseen() {
        if unknown > 0 {
            let place = format!("column '{column}' of {}", rows(unknown));
            warnings.push(format!(
                "{place} is a text that training did not see; it counts as no category"
            ));
        }
        if outside > 0 {
            let place = format!("column '{column}' of {}", rows(outside));
            warnings.push(format!("{place} is far outside the values of the training"));
        }
    }
    warnings
}
