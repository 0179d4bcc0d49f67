//! Model files: the class `Model` of the compiled module.

use std::path::Path;

use numpy::{PyArray1, PyArrayMethods, PyReadonlyArray2};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList};
use travertine::data::{Dataset, Targets, Task};
use travertine::model_file::{self, ModelInfo, OnnxOptions};
use travertine::{Loss, Predictions, Scalar};

use crate::devices;
use crate::fault::raised;

/// A trained model as the command line and Rust write it: predictions from rows as they are.
#[pyclass(module = "travertine._travertine", frozen)]
pub(crate) struct Model(Precision);

enum Precision {
    F32(travertine::Model<f32>),
    F64(travertine::Model<f64>),
}

/// Evaluates an expression for the model, whatever its precision.
macro_rules! of_both {
    ($self:expr, $model:ident => $expression:expr) => {
        match &$self.0 {
            Precision::F32($model) => $expression,
            Precision::F64($model) => $expression,
        }
    };
}

/// What stands in a model file beside the network, from a dict.
pub(crate) fn info(dict: &Bound<'_, PyDict>) -> PyResult<ModelInfo> {
    let item = |key: &str| {
        dict.get_item(key)?
            .ok_or_else(|| PyValueError::new_err(format!("the model's {key} is missing")))
    };
    let loss: String = item("loss")?.extract()?;
    let mut info = ModelInfo::new(loss.parse::<Loss>().map_err(raised)?);
    info.classes = item("classes")?.extract()?;
    info.features = item("features")?.extract()?;
    info.target = item("target")?.extract()?;
    info.training = item("training")?.extract()?;
    Ok(info)
}

/// Answers for rows: a label or values, and probabilities where there are any.
struct Answers {
    labels: Vec<String>,
    /// One number a class, or the values; `samples x width`.
    numbers: Vec<f64>,
    width: usize,
}

fn answers<T: Scalar>(model: &travertine::Model<T>, predictions: &Predictions<T>) -> Answers {
    let classes = model.classes().len();
    let labels = predictions.iter().filter_map(|one| one.class().map(str::to_owned)).collect();
    let numbers: Vec<f64> = match classes {
        0 => predictions.iter().flat_map(|one| one.values().to_vec()).collect(),
        _ => predictions.scores().to_vec(),
    };
    let width = if classes == 0 { numbers.len() / predictions.len().max(1) } else { classes };
    Answers { labels, numbers, width }
}

/// A model of a precision from a source, by a function of `travertine::Model`.
macro_rules! model_of {
    ($precision:expr, $place:expr, $load:ident($source:expr)) => {{
        let (device, threads) = $place;
        Ok(Model(match $precision {
            "f64" => {
                let engine = devices::open::<f64>(device, threads)?;
                Precision::F64(travertine::Model::$load($source, &engine)?)
            }
            _ => {
                let engine = devices::open::<f32>(device, threads)?;
                Precision::F32(travertine::Model::$load($source, &engine)?)
            }
        }))
    }};
}

impl Model {
    fn of_bytes(
        bytes: &[u8],
        precision: &str,
        device: &str,
        threads: Option<usize>,
    ) -> travertine::Result<Self> {
        model_of!(precision, (device, threads), load_from_bytes(bytes))
    }

    /// Of a file, which may have constants in files beside it.
    fn of_file(path: &Path, device: &str, threads: Option<usize>) -> travertine::Result<Self> {
        let description = model_file::describe(path)?;
        model_of!(description.precision, (device, threads), load(path))
    }

    fn answers(&self, py: Python<'_>, x: &Bound<'_, PyAny>) -> PyResult<Answers> {
        if let Ok(columns) = x.cast::<PyList>() {
            let schema = of_both!(self, model => model.schema());
            let frame = crate::table::frame(columns, Targets::None, Some(schema))?;
            return py.detach(|| {
                of_both!(self, model => {
                    let table = model.encode_frame(&frame).map_err(raised)?;
                    Ok(answers(model, &model.predict_table(&table).map_err(raised)?))
                })
            });
        }
        let x: PyReadonlyArray2<'_, f64> = x.extract().map_err(|_| {
            PyTypeError::new_err("expected a two-dimensional array of float64, or columns")
        })?;
        let inputs = x.as_array().ncols();
        let values = x
            .as_slice()
            .map_err(|_| PyValueError::new_err("expected an aligned array in C order"))?;
        py.detach(|| of_both!(self, model => of_rows(model, inputs, values)))
    }
}

fn of_rows<T: Scalar>(
    model: &travertine::Model<T>,
    inputs: usize,
    values: &[f64],
) -> PyResult<Answers> {
    let features = values.iter().map(|x| T::from_f64(*x)).collect();
    let data = Dataset::new(inputs, features, Targets::None).map_err(raised)?;
    Ok(answers(model, &model.predict(&data).map_err(raised)?))
}

#[pymethods]
impl Model {
    /// Reads a model file.
    #[staticmethod]
    #[pyo3(signature = (path, device, threads))]
    fn load(
        py: Python<'_>,
        path: std::path::PathBuf,
        device: &str,
        threads: Option<usize>,
    ) -> PyResult<Self> {
        py.detach(|| Model::of_file(&path, device, threads).map_err(raised))
    }

    /// The bytes of a model file.
    #[staticmethod]
    #[pyo3(signature = (bytes, precision, device, threads))]
    fn from_bytes(
        py: Python<'_>,
        bytes: &[u8],
        precision: &str,
        device: &str,
        threads: Option<usize>,
    ) -> PyResult<Self> {
        py.detach(|| Model::of_bytes(bytes, precision, device, threads).map_err(raised))
    }

    fn to_bytes<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        let bytes = py.detach(|| of_both!(self, model => model.to_bytes().map_err(raised)))?;
        Ok(PyBytes::new(py, &bytes))
    }

    /// Writes the model file; `path` holds the old or the new model at any moment.
    fn save(&self, py: Python<'_>, path: std::path::PathBuf) -> PyResult<()> {
        py.detach(|| of_both!(self, model => model.save(&path).map_err(raised)))
    }

    /// Writes an ONNX file.
    fn to_onnx(
        &self,
        py: Python<'_>,
        path: std::path::PathBuf,
        opset: u32,
        numbers_only: bool,
    ) -> PyResult<()> {
        let options = OnnxOptions { opset, numbers_only };
        py.detach(|| of_both!(self, model => model.to_onnx(&path, &options).map_err(raised)))
    }

    /// "f32" or "f64"
    #[getter]
    fn precision(&self) -> &'static str {
        match self.0 {
            Precision::F32(_) => "f32",
            Precision::F64(_) => "f64",
        }
    }

    #[getter]
    fn parameters(&self) -> usize {
        of_both!(self, model => model.parameters())
    }

    #[getter]
    fn networks(&self) -> usize {
        of_both!(self, model => model.networks().len())
    }

    #[getter]
    fn classes(&self) -> Vec<String> {
        of_both!(self, model => model.classes().to_vec())
    }

    /// "classes" or "values"
    #[getter]
    fn task(&self) -> &'static str {
        match of_both!(self, model => model.task()) {
            Task::Classes => "classes",
            Task::Values => "values",
        }
    }

    #[getter]
    fn value_names(&self) -> Vec<String> {
        of_both!(self, model => model.value_names())
    }

    #[getter]
    fn gives_probabilities(&self) -> bool {
        of_both!(self, model => model.gives_probabilities())
    }

    /// Name and kind of each column: "number", "date" or "texts".
    #[getter]
    fn columns(&self) -> Vec<(String, String)> {
        let of =
            |column: &travertine::InputColumn| (column.name.clone(), kind(&column.kind).to_owned());
        of_both!(self, model => model.columns().iter().map(of).collect())
    }

    #[getter]
    fn training(&self) -> Vec<(String, String)> {
        of_both!(self, model => model.info().training.clone())
    }

    /// Labels (or nothing) and numbers (samples x classes or values) for rows: an array of float64, or a list of columns, each a tuple
    /// (name, "numbers" | "dates" | "texts", values).
    fn answer<'py>(
        &self,
        py: Python<'py>,
        x: &Bound<'py, PyAny>,
    ) -> PyResult<(Vec<String>, Bound<'py, PyAny>)> {
        let Answers { labels, numbers, width } = self.answers(py, x)?;
        let rows = numbers.len() / width.max(1);
        Ok((labels, PyArray1::from_vec(py, numbers).reshape([rows, width])?.into_any()))
    }
}

fn kind(kind: &travertine::InputKind) -> &'static str {
    match kind {
        travertine::InputKind::Number => "number",
        travertine::InputKind::Date => "date",
        _ => "texts",
    }
}
