//! A trained network with all that its predictions need.

mod importance;
mod prediction;
mod predictor;
mod reading;
mod record;
mod row_encoder;
mod schema;
mod source;
mod table;

use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

pub use self::importance::Importance;
pub use self::prediction::{Prediction, Predictions};
pub use self::predictor::Predictor;
pub use self::row_encoder::RowEncoder;
pub use self::schema::{InputColumn, InputKind};
pub use self::table::{Evaluation, ModelTable};

use self::prediction::Answers;
use self::schema::Schema;
use crate::data::{Encoder, Schema as TableSchema, Task};
use crate::engine::Engine;
use crate::error::Result;
use crate::loss::Quantiles;
use crate::model_file::{self, ModelInfo, OnnxOptions};
use crate::network::{Network, Prepared};
use crate::scalar::Scalar;

/// A trained network with all that its predictions need: how raw rows become the network's inputs (categories, gaps,
/// standardization), and what its outputs mean (classes, probabilities, values). Predictions go through all of it; there is no
/// way around it by accident.
///
/// A model may be an ensemble of several networks ([`Model::ensemble`]), whose mean it answers.
///
/// A model owns its network and is [`Send`] and [`Sync`]: an `Arc<Model>` serves any number of threads, each with a
/// [`Predictor`] of its own. A server replaces a model by replacing the `Arc`; see `examples/serve.rs`.
///
/// ```
/// use travertine::data::Task;
/// use travertine::model_file::ModelInfo;
/// use travertine::{Activation, Loss, Model, Network, engine};
/// let cpu = engine::open::<f32>("cpu")?;
/// let network = Network::builder(&cpu, 4).dense(3, Activation::Softmax).seed(1).build()?;
/// let mut info = ModelInfo::new(Loss::SoftmaxCrossEntropy);
/// info.classes = ["setosa", "versicolor", "virginica"].map(str::to_owned).to_vec();
/// # let path = std::env::temp_dir().join(format!("travertine-model-{}.safetensors", std::process::id()));
/// Model::new(network, info)?.save(&path)?;
///
/// let model = Model::load(&path, &cpu)?;
/// assert_eq!((model.task(), model.columns().len()), (Task::Classes, 4));
/// let mut predictor = model.predictor(64)?;
/// let prediction = predictor.predict(&[5.1, 3.5, 1.4, 0.2])?;
/// println!("{}: {:.3}", prediction.class().unwrap(), prediction.probability().unwrap());
/// # std::fs::remove_file(path).unwrap();
/// # Ok::<(), travertine::Error>(())
/// ```
pub struct Model<T: Scalar> {
    /// One, or the members of an ensemble.
    networks: Vec<Arc<Network<T>>>,
    info: ModelInfo,
    shared: Arc<Shared>,
    /// The networks as predictors run them, once one was requested.
    prepared: Mutex<Vec<Arc<Prepared<'static, T>>>>,
}

/// What predictors of a model share beside the weights.
struct Shared {
    schema: Schema,
    /// How tables are read, and become features.
    table_schema: TableSchema,
    encoder: Encoder,
    answers: Arc<Answers>,
}

impl<T: Scalar> Model<T> {
    /// A model of a network and the description of its inputs and outputs.
    ///
    /// # Errors
    /// A description that does not fit the network: another number of classes than outputs (two classes may share one output),
    /// or of features than inputs; an encoder or a standardization with numbers that cannot be used. The field is named.
    pub fn new(network: Network<T>, info: ModelInfo) -> Result<Self> {
        Model::of_networks("Model::new", vec![network], info)
    }

    /// A model whose outputs are the mean of the outputs of several networks, which is more accurate than any of them is on
    /// average: of probabilities for networks that end in softmax or sigmoid, else of values or logits. The networks have the
    /// same layers; what differs is what they were trained on, or their first weights.
    ///
    /// ```
    /// use travertine::model_file::ModelInfo;
    /// use travertine::{Activation, Loss, Model, Network, engine};
    /// let cpu = engine::open::<f32>("cpu")?;
    /// let mut networks = Vec::new();
    /// for weight in [1.0, 2.0] {
    ///     let mut network = Network::builder(&cpu, 1).dense(1, Activation::Identity).build()?;
    ///     network.layers_mut()[0].weights_mut().write(&[weight])?;
    ///     networks.push(network);
    /// }
    /// let model = Model::ensemble(networks, ModelInfo::new(Loss::Quadratic))?;
    /// assert_eq!(model.predictor(1)?.predict(&[10.0])?.values(), [15.0]);
    /// # Ok::<(), travertine::Error>(())
    /// ```
    ///
    /// # Errors
    /// No networks; networks with different layers, or on different engines; otherwise as [`Model::new`].
    pub fn ensemble(networks: Vec<Network<T>>, info: ModelInfo) -> Result<Self> {
        Model::of_networks("Model::ensemble", networks, info)
    }

    fn of_networks(
        operation: &'static str,
        networks: Vec<Network<T>>,
        info: ModelInfo,
    ) -> Result<Self> {
        model_file::check(operation, &networks, &info)?;
        let (inputs, outputs) = (networks[0].inputs(), networks[0].outputs());
        let encoder = reading::encoder(&info, inputs);
        let schema = Schema::new(&info, &encoder);
        let table_schema = reading::table_schema(&info, &encoder, outputs);
        let answers = Arc::new(Answers::new(&networks[0], &info, &table_schema));
        let shared = Arc::new(Shared { schema, table_schema, encoder, answers });
        let networks = networks.into_iter().map(Arc::new).collect();
        Ok(Model { networks, info, shared, prepared: Mutex::new(Vec::new()) })
    }

    /// Reads a model file onto an engine, or an ONNX file, as [`Model::from_onnx`] does. A file of the other precision is converted.
    ///
    /// # Errors
    /// As [`model_file::load`].
    pub fn load(path: impl AsRef<Path>, engine: &Arc<dyn Engine<T>>) -> Result<Self> {
        let (networks, info) = model_file::load_all(path, engine)?;
        Model::ensemble(networks, info)
    }

    /// Reads an ONNX file, whatever its name is. A file that [`Model::to_onnx`] wrote is the same model; one of another program must be a chain
    /// of dense layers, activations, normalizations and operations by constants, as PyTorch, Keras and scikit-learn write networks.
    /// Operations by constants melt into the layers beside them, or into the standardization.
    ///
    /// ```
    /// # use travertine::{Loss, model_file::{ModelInfo, OnnxOptions}};
    /// use travertine::{Activation, Model, Network, engine};
    /// let cpu = engine::open::<f32>("cpu")?;
    /// # let network = Network::builder(&cpu, 2).dense(1, Activation::Identity).build()?;
    /// # let path = std::env::temp_dir().join(format!("travertine-from-onnx-{}.onnx", std::process::id()));
    /// # if cfg!(feature = "onnx") {
    /// # Model::new(network, ModelInfo::new(Loss::Quadratic))?.to_onnx(&path, &OnnxOptions::default())?;
    /// let model = Model::from_onnx(&path, &cpu)?;
    /// println!("{model}");
    /// # std::fs::remove_file(path).unwrap();
    /// # }
    /// # Ok::<(), travertine::Error>(())
    /// ```
    ///
    /// # Errors
    /// A file that is damaged, or no such chain: the node, its operator and what it would take are named; constants in files outside of the
    /// model's folder; a build without the feature `onnx`; otherwise as [`model_file::load`].
    pub fn from_onnx(path: impl AsRef<Path>, engine: &Arc<dyn Engine<T>>) -> Result<Self> {
        let (networks, info) = model_file::load_onnx(path.as_ref(), engine)?;
        Model::ensemble(networks, info)
    }

    /// As [`Model::load`], from the bytes of a model file in memory, such as `include_bytes!` or a download.
    ///
    /// # Errors
    /// As [`model_file::load`].
    pub fn load_from_bytes(bytes: &[u8], engine: &Arc<dyn Engine<T>>) -> Result<Self> {
        let (networks, info) = model_file::load_all_from_bytes(bytes, engine)?;
        Model::ensemble(networks, info)
    }

    /// Writes the model file; `path` holds the old or the new model at any moment.
    ///
    /// # Errors
    /// As [`model_file::save`].
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        model_file::save_all(path, &self.networks, &self.info)
    }

    /// The bytes that [`Model::save`] writes.
    ///
    /// # Errors
    /// As [`model_file::save`], without those of files.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        model_file::bytes_of_all(&self.networks, &self.info)
    }

    /// Writes the model as an ONNX file, which other programs and ONNX Runtime compute; `path` holds the old or the new file at any moment.
    ///
    /// The graph has an input `[N, 1]` for each raw column, by its name: doubles for numbers (NaN where one is missing) and for dates (seconds
    /// since 1970-01-01), strings for texts. Gaps, standardization, bins, cycles of dates and categories are computed inside it. A
    /// model without an encoder, and [`OnnxOptions::numbers_only`], have one input `features` instead. It puts out `label` (or
    /// `class`, a number, with that option) and `probabilities` (or `scores`) for classes, else `values` in the units of the data. Names of classes and features are in the metadata,
    /// with what [`Model::load`] needs to read the same model from this file.
    ///
    /// ```
    /// use travertine::model_file::{ModelInfo, OnnxOptions};
    /// use travertine::{Activation, Loss, Model, Network, engine};
    /// let cpu = engine::open::<f32>("cpu")?;
    /// let network = Network::builder(&cpu, 4).dense(3, Activation::Softmax).seed(1).build()?;
    /// let mut info = ModelInfo::new(Loss::SoftmaxCrossEntropy);
    /// info.classes = ["setosa", "versicolor", "virginica"].map(str::to_owned).to_vec();
    /// # let path = std::env::temp_dir().join(format!("travertine-model-{}.onnx", std::process::id()));
    /// # if cfg!(feature = "onnx") {
    /// Model::new(network, info)?.to_onnx(&path, &OnnxOptions::default())?;
    /// let same = Model::load(&path, &cpu)?;
    /// assert_eq!(same.classes()[2], "virginica");
    /// # std::fs::remove_file(path).unwrap();
    /// # }
    /// # Ok::<(), travertine::Error>(())
    /// ```
    ///
    /// # Errors
    /// An opset that is not supported; a column with the name of a parameter; parameters of 2 GB or more, which the format cannot hold in
    /// one file; a parameter that is not finite; a folder that is missing, full or not writable; a build without the feature `onnx`.
    pub fn to_onnx(&self, path: impl AsRef<Path>, options: &OnnxOptions) -> Result<()> {
        model_file::replace_file(path, &self.to_onnx_bytes(options)?)
    }

    /// The bytes that [`Model::to_onnx`] writes.
    ///
    /// # Errors
    /// As [`Model::to_onnx`], without those of files.
    pub fn to_onnx_bytes(&self, options: &OnnxOptions) -> Result<Vec<u8>> {
        model_file::to_onnx(&self.networks, &self.info, options)
    }

    /// The columns of the raw rows that the model predicts from, in their order.
    pub fn columns(&self) -> &[InputColumn] {
        self.shared.schema.columns()
    }

    /// The names of the classes in the order of the scores; empty for a model of values.
    pub fn classes(&self) -> &[String] {
        self.shared.answers.classes()
    }

    /// Whether the model predicts classes or values.
    pub fn task(&self) -> Task {
        if self.shared.answers.is_classifier() { Task::Classes } else { Task::Values }
    }

    /// The quantiles that the model predicts, one value for each level; `None` for every other model.
    pub fn quantiles(&self) -> Option<Quantiles> {
        self.info.loss.quantiles()
    }

    /// The names of the predicted values: those of the targets, or of their quantiles ([`Quantiles::names`]); empty for a
    /// model of classes.
    pub fn value_names(&self) -> Vec<String> {
        self.shared.answers.values().to_vec()
    }

    /// Whether a prediction of a class comes with a probability.
    pub fn gives_probabilities(&self) -> bool {
        self.shared.answers.gives_probabilities()
    }

    /// The network alone, or the first one of an ensemble: it neither encodes nor standardizes its inputs.
    pub fn network(&self) -> &Network<T> {
        &self.networks[0]
    }

    /// The network, or the members of an ensemble.
    pub fn networks(&self) -> impl ExactSizeIterator<Item = &Network<T>> {
        self.networks.iter().map(|network| &**network)
    }

    /// Number of parameters, of all members of an ensemble.
    pub fn parameters(&self) -> usize {
        self.networks().map(Network::parameters).sum()
    }

    /// The description that is saved with the network.
    pub fn info(&self) -> &ModelInfo {
        &self.info
    }

    /// A predictor for up to `batch` rows a call, which owns its buffers and shares the weights. The first one folds batch
    /// normalization and packs large weights ([`Network::inference`]); later ones share the result.
    ///
    /// # Errors
    /// A batch of 0; no memory; a device that fails.
    pub fn predictor(&self, batch: usize) -> Result<Predictor<T>> {
        let place = (self.network().engine(), self.network().inputs());
        Predictor::new(&self.shared, place, &self.prepared()?, batch)
    }

    /// What encodes raw rows apart from the network, for servers.
    pub fn row_encoder(&self) -> RowEncoder {
        RowEncoder::new(&self.shared, self.network().inputs())
    }

    /// The networks as predictors run them, made at the first call.
    fn prepared(&self) -> Result<Vec<Arc<Prepared<'static, T>>>> {
        // A thread that panicked has not left half a network here.
        let mut place = self.prepared.lock().unwrap_or_else(PoisonError::into_inner);
        if place.is_empty() {
            let prepared = self.networks.iter().map(|network| Prepared::shared(network));
            *place = prepared.map(|prepared| prepared.map(Arc::new)).collect::<Result<_>>()?;
        }
        Ok(place.clone())
    }
}

/// The task, the columns and the layers.
impl<T: Scalar> fmt::Display for Model<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let columns = self.columns().len();
        let target = self.info.target.as_deref().unwrap_or("the target");
        match self.task() {
            Task::Classes => {
                let classes = self.classes().join(", ");
                write!(f, "model of {target}, one of {classes}, from {columns} columns")?;
            }
            Task::Values => write!(f, "model of {target} from {columns} columns")?,
        }
        let members = self.networks.len();
        let members =
            if members > 1 { format!("the mean of {members} like this: ") } else { String::new() };
        write!(f, ", trained with {}\n{members}{}", self.info.loss, self.network())
    }
}

/// The same as [`Display`](fmt::Display).
impl<T: Scalar> fmt::Debug for Model<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
