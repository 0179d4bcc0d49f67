//! Networks that estimators train: the class `Network` of the compiled module.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};
use std::thread::{self, ThreadId};

use numpy::{
    Element, PyArray1, PyArray2, PyArrayMethods, PyReadonlyArray1, PyReadonlyArray2,
    PyUntypedArrayMethods,
};
use pyo3::exceptions::{PyRuntimeError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::sync::MutexExt;
use pyo3::types::{PyBytes, PyDict, PyList};
use travertine::layer::LayerKind;
use travertine::model_file::ModelInfo;
use travertine::{
    Inference, Loss, MatrixRef, Model, Network as Layers, Scalar, Snapshot, model_file,
};

use crate::devices;
use crate::fault::raised;
use crate::layers::Shape;
use crate::lbfgs::{self, Limits, Minimum};
use crate::training::{self, Data, Numbers, Options};

/// Rows up to which the buffers of predictions are kept from call to call.
const KEPT_ROWS: usize = 64;

/// A network of dense layers that can be trained.
#[pyclass(module = "travertine._travertine", frozen)]
pub(crate) struct Network {
    core: Mutex<Box<dyn Core>>,
    /// The thread that trains it, whose functions of Python must not ask it anything.
    trained_by: Mutex<Option<ThreadId>>,
    /// How often this process and its parents had been forked when `core` was last taken.
    taken_in: AtomicU64,
}

/// A network in one of the precisions.
trait Core: Send {
    fn precision(&self) -> &'static str;
    fn fit(
        &mut self,
        py: Python<'_>,
        options: &Options,
        data: &Arrays<'_>,
        watch: &Py<PyAny>,
    ) -> PyResult<bool>;
    fn minimize(
        &mut self,
        py: Python<'_>,
        limits: &Limits,
        data: &Arrays<'_>,
        watch: &Py<PyAny>,
    ) -> PyResult<Minimum>;
    fn predict<'py>(&mut self, x: &Bound<'py, PyAny>, first: usize) -> PyResult<Bound<'py, PyAny>>;
    fn parameters<'py>(&self, py: Python<'py>) -> PyResult<Vec<Bound<'py, PyList>>>;
    fn set_parameters(&mut self, parameters: &Bound<'_, PyList>) -> PyResult<()>;
    fn model(&self, info: ModelInfo) -> PyResult<Vec<u8>>;
    fn optimizer_state(&self) -> PyResult<Option<Vec<u8>>>;
    fn set_optimizer_state(&mut self, state: &[u8]) -> PyResult<()>;
}

/// The data of a training.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
struct Arrays<'py> {
    x: Bound<'py, PyAny>,
    t: Bound<'py, PyAny>,
    weights: Option<PyReadonlyArray1<'py, f64>>,
    validation: Option<Bound<'py, PyAny>>,
}

struct Of<T: Scalar> {
    layers: Layers<T>,
    loss: Loss,
    /// Of the optimizer, after a training that goes on.
    state: Option<Snapshot<T>>,
    /// The buffers of the last predictions of a few rows.
    inference: Option<Inference<'static, T>>,
}

/// The array as contiguous samples of this precision.
fn samples<'py, T: Element>(x: &Bound<'py, PyAny>) -> PyResult<PyReadonlyArray2<'py, T>> {
    let found = x.extract::<PyReadonlyArray2<'py, T>>();
    let x = found.map_err(|_| {
        PyTypeError::new_err("expected a two-dimensional array of the network's precision")
    })?;
    if !x.is_c_contiguous() {
        return Err(PyValueError::new_err("expected an array in C order"));
    }
    Ok(x)
}

fn slice<'a, T: Element>(x: &'a PyReadonlyArray2<'_, T>) -> PyResult<&'a [T]> {
    x.as_slice().map_err(|_| PyValueError::new_err("expected an aligned array in C order"))
}

/// An array of samples of the network's precision, or of another one.
enum Given<'py, T: Element> {
    Own(PyReadonlyArray2<'py, T>),
    Single(PyReadonlyArray2<'py, f32>),
    Double(PyReadonlyArray2<'py, f64>),
}

impl<'py, T: Element> Given<'py, T> {
    fn of(x: &Bound<'py, PyAny>) -> PyResult<Self> {
        let own = samples(x).map(Given::Own);
        own.or_else(|_| samples(x).map(Given::Single)).or_else(|_| samples(x).map(Given::Double))
    }

    fn numbers(&self) -> PyResult<Numbers<'_, T>> {
        match self {
            Given::Own(x) => slice(x).map(Numbers::Own),
            Given::Single(x) => slice(x).map(Numbers::Single),
            Given::Double(x) => slice(x).map(Numbers::Double),
        }
    }
}

fn weights<'a>(weights: &'a PyReadonlyArray1<'_, f64>) -> PyResult<&'a [f64]> {
    weights.as_slice().map_err(|_| PyValueError::new_err("expected contiguous weights"))
}

impl<T: Scalar + Element> Of<T> {
    fn new(shape: &Shape, device: &str, threads: Option<usize>) -> PyResult<Self> {
        let engine = devices::open::<T>(device, threads).map_err(raised)?;
        let layers = shape.build(&engine).map_err(raised)?;
        Ok(Of { layers, loss: shape.loss(), state: None, inference: None })
    }

    /// The outputs for samples, one after the other.
    fn outputs(&mut self, x: &[T]) -> travertine::Result<Vec<T>> {
        let rows = x.len() / self.layers.inputs();
        let engine = self.layers.engine().clone();
        let copy = MatrixRef::borrow(&engine, self.layers.inputs(), rows, x).is_err();
        let own = copy
            .then(|| travertine::Matrix::from_slice(&engine, self.layers.inputs(), rows, x))
            .transpose()?;
        let x = match &own {
            Some(own) => own.view(),
            None => MatrixRef::borrow(&engine, self.layers.inputs(), rows, x)?,
        };
        if rows > KEPT_ROWS {
            return self.layers.infer(x)?.to_vec();
        }
        let inference = match &mut self.inference {
            Some(kept) => kept,
            empty => empty.insert(self.layers.copy()?.into_inference(KEPT_ROWS)?),
        };
        inference.run(x)?.to_vec()
    }
}

impl<T: Scalar + Element> Core for Of<T> {
    fn precision(&self) -> &'static str {
        if size_of::<T>() == size_of::<f32>() { "float32" } else { "float64" }
    }

    fn fit(
        &mut self,
        py: Python<'_>,
        options: &Options,
        arrays: &Arrays<'_>,
        function: &Py<PyAny>,
    ) -> PyResult<bool> {
        let (x, t) = (Given::<T>::of(&arrays.x)?, samples::<T>(&arrays.t)?);
        let validation = arrays.validation.as_ref().map(samples::<T>).transpose()?;
        let weights = arrays.weights.as_ref().map(weights).transpose()?;
        let data = Data {
            x: x.numbers()?,
            t: slice(&t)?,
            weights,
            validation: validation.as_ref().map(slice).transpose()?,
        };
        let outputs = self.layers.outputs();
        let watch = |py: Python<'_>, loss: f64, squares: f64, validated: Option<Vec<T>>| {
            let validated = validated.map(|values| matrix(py, values, outputs)).transpose()?;
            function.call1(py, (loss, squares, validated))?.extract::<String>(py)
        };
        self.inference = None;
        let Of { layers, state, loss, .. } = self;
        py.detach(|| training::train(layers, state, *loss, options, &data, &watch))
    }

    fn minimize(
        &mut self,
        py: Python<'_>,
        limits: &Limits,
        arrays: &Arrays<'_>,
        function: &Py<PyAny>,
    ) -> PyResult<Minimum> {
        let (x, t) = (Given::<T>::of(&arrays.x)?, samples::<T>(&arrays.t)?);
        let weights = arrays.weights.as_ref().map(weights).transpose()?;
        let data = Data { x: x.numbers()?, t: slice(&t)?, weights, validation: None };
        let watch = |py: Python<'_>, iterations: u64, cost: f64| {
            function.call1(py, (iterations, cost))?.extract::<bool>(py)
        };
        (self.inference, self.state) = (None, None);
        let Of { layers, loss, .. } = self;
        py.detach(|| lbfgs::minimize(layers, *loss, limits, &data, &watch))
    }

    fn predict<'py>(&mut self, x: &Bound<'py, PyAny>, first: usize) -> PyResult<Bound<'py, PyAny>> {
        let py = x.py();
        let x = samples::<T>(x)?;
        let values = slice(&x)?;
        if !values.len().is_multiple_of(self.layers.inputs())
            || x.shape()[1] != self.layers.inputs()
        {
            let reason = format!(
                "X has {} features, but the network has {} inputs",
                x.shape()[1],
                self.layers.inputs()
            );
            return Err(PyValueError::new_err(reason));
        }
        let outputs = self.layers.outputs();
        // Releasing the lock takes longer than a few rows.
        let values = match x.shape()[0] > KEPT_ROWS {
            true => py.detach(|| self.outputs(values)),
            false => self.outputs(values),
        };
        let values = values.map_err(raised)?;
        if let Some(i) = values.iter().position(|x| !x.to_f64().is_finite()) {
            let row = first + i / outputs.max(1);
            let reason = format!(
                "the network's outputs for row {row} are not finite: its values are too large"
            );
            return Err(PyValueError::new_err(reason));
        }
        Ok(matrix(py, values, outputs)?.into_any())
    }

    fn parameters<'py>(&self, py: Python<'py>) -> PyResult<Vec<Bound<'py, PyList>>> {
        let of_layer = |layer: &dyn travertine::layer::Layer<T>| {
            let list = PyList::empty(py);
            for (i, matrix) in
                [layer.weights(), layer.bias()].into_iter().chain(layer.statistics()).enumerate()
            {
                let values = matrix.to_vec().map_err(raised)?;
                if i == 0 && layer.kind() == LayerKind::Dense {
                    list.append(self::matrix(py, values, layer.outputs())?)?;
                } else {
                    list.append(PyArray1::from_vec(py, values))?;
                }
            }
            Ok(list)
        };
        self.layers.layers().iter().map(|layer| of_layer(&**layer)).collect()
    }

    fn set_parameters(&mut self, parameters: &Bound<'_, PyList>) -> PyResult<()> {
        (self.inference, self.state) = (None, None);
        for (layer, own) in self.layers.layers_mut().iter_mut().zip(parameters.iter()) {
            let own: Vec<Bound<'_, PyAny>> = own.extract()?;
            let values = |i: usize| -> PyResult<Vec<T>> {
                let array = own
                    .get(i)
                    .ok_or_else(|| PyValueError::new_err("a parameter of a layer is missing"))?;
                let flat = array.call_method0("ravel")?;
                Ok(flat.cast::<PyArray1<T>>()?.to_vec()?)
            };
            layer.weights_mut().write(&values(0)?).map_err(raised)?;
            layer.bias_mut().write(&values(1)?).map_err(raised)?;
            for (i, mut statistic) in layer.statistics_mut().into_iter().enumerate() {
                statistic.write(&values(2 + i)?).map_err(raised)?;
            }
        }
        Ok(())
    }

    fn model(&self, info: ModelInfo) -> PyResult<Vec<u8>> {
        let model = Model::new(self.layers.copy().map_err(raised)?, info).map_err(raised)?;
        model.to_bytes().map_err(raised)
    }

    fn optimizer_state(&self) -> PyResult<Option<Vec<u8>>> {
        let bytes = |state| model_file::checkpoint_to_bytes(state, "").map_err(raised);
        self.state.as_ref().map(bytes).transpose()
    }

    fn set_optimizer_state(&mut self, state: &[u8]) -> PyResult<()> {
        let (state, _) = model_file::load_checkpoint_from_bytes(state).map_err(raised)?;
        self.state = Some(state);
        Ok(())
    }
}

/// `samples x outputs`
fn matrix<T: Element>(
    py: Python<'_>,
    values: Vec<T>,
    outputs: usize,
) -> PyResult<Bound<'_, PyArray2<T>>> {
    let rows = values.len() / outputs.max(1);
    PyArray1::from_vec(py, values).reshape([rows, outputs])
}

impl Network {
    /// The network, once no other thread uses it. The interpreter's lock is free while this waits, because the other thread may need it.
    fn core(&self, py: Python<'_>) -> PyResult<MutexGuard<'_, Box<dyn Core>>> {
        let trained_by = *self.trained_by.lock().unwrap_or_else(PoisonError::into_inner);
        if trained_by == Some(thread::current().id()) {
            return Err(PyRuntimeError::new_err(
                "the network is being trained by the caller of this function",
            ));
        }
        let process = devices::forks();
        let core = match self.core.try_lock() {
            Ok(core) => core,
            Err(TryLockError::Poisoned(core)) => core.into_inner(),
            // The thread that has taken it is not in this process.
            Err(TryLockError::WouldBlock) if self.taken_in.load(Ordering::SeqCst) != process => {
                return Err(PyRuntimeError::new_err(
                    "another thread was using this estimator when the process was forked; fork while no thread uses it, or give the child \
                     a copy",
                ));
            }
            Err(TryLockError::WouldBlock) => {
                self.core.lock_py_attached(py).unwrap_or_else(PoisonError::into_inner)
            }
        };
        self.taken_in.store(process, Ordering::SeqCst);
        Ok(core)
    }

    fn set_trained_by(&self, thread: Option<ThreadId>) {
        *self.trained_by.lock().unwrap_or_else(PoisonError::into_inner) = thread;
    }
}

#[pymethods]
impl Network {
    /// A network with random weights. `shape`: a dict, see `Shape`; `precision`: "float32" or "float64".
    #[new]
    #[pyo3(signature = (shape, device, threads, precision))]
    fn new(
        py: Python<'_>,
        shape: Shape,
        device: &str,
        threads: Option<usize>,
        precision: &str,
    ) -> PyResult<Self> {
        let core: Box<dyn Core> = match precision {
            "float64" => Box::new(py.detach(|| Of::<f64>::new(&shape, device, threads))?),
            _ => Box::new(py.detach(|| Of::<f32>::new(&shape, device, threads))?),
        };
        Ok(Network {
            core: Mutex::new(core),
            trained_by: Mutex::new(None),
            taken_in: AtomicU64::new(devices::forks()),
        })
    }

    /// "float32" or "float64"
    #[getter]
    fn precision(&self, py: Python<'_>) -> PyResult<&'static str> {
        Ok(self.core(py)?.precision())
    }

    /// Trains on `data`, a dict of x (samples x features), t (samples x outputs), weights or `None`, and validation, inputs or `None`. After each epoch, `watch(loss, squares, outputs)` gets the mean
    /// loss, the sum of the squared weights and the outputs for `validation`, and answers "go on", "keep", "lower" or "stop". Returns
    /// whether Ctrl-C ended it.
    fn fit<'py>(
        &self,
        py: Python<'py>,
        options: Options,
        data: Arrays<'py>,
        watch: Py<PyAny>,
    ) -> PyResult<bool> {
        let mut core = self.core(py)?;
        self.set_trained_by(Some(thread::current().id()));
        let ended = core.fit(py, &options, &data, &watch);
        self.set_trained_by(None);
        ended
    }

    /// Trains on all samples at once by L-BFGS; `data` as of `fit`. After each iteration, `watch(iterations, cost)` answers whether to stop.
    /// Returns why it ended, the iterations and the cost.
    fn minimize<'py>(
        &self,
        py: Python<'py>,
        limits: Limits,
        data: Arrays<'py>,
        watch: Py<PyAny>,
    ) -> PyResult<Minimum> {
        let mut core = self.core(py)?;
        self.set_trained_by(Some(thread::current().id()));
        let ended = core.minimize(py, &limits, &data, &watch);
        self.set_trained_by(None);
        ended
    }

    /// The outputs (samples x outputs) for an array (samples x features) of the network's precision; `first`: the number of its first
    /// row, for messages.
    #[pyo3(signature = (x, first = 0))]
    fn predict<'py>(&self, x: &Bound<'py, PyAny>, first: usize) -> PyResult<Bound<'py, PyAny>> {
        self.core(x.py())?.predict(x, first)
    }

    /// For each layer its weights, its bias and, where it has them, its running statistics; weights of dense layers are inputs x outputs.
    fn parameters<'py>(&self, py: Python<'py>) -> PyResult<Vec<Bound<'py, PyList>>> {
        self.core(py)?.parameters(py)
    }

    /// Replaces what [`Network::parameters`] returns.
    fn set_parameters(&self, parameters: &Bound<'_, PyList>) -> PyResult<()> {
        self.core(parameters.py())?.set_parameters(parameters)
    }

    /// The state of the optimizer that a training which goes on has left, as the bytes of a checkpoint; `None` without one.
    fn optimizer_state<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyBytes>>> {
        Ok(self.core(py)?.optimizer_state()?.map(|bytes| PyBytes::new(py, &bytes)))
    }

    /// Goes on from what [`Network::optimizer_state`] returned; after [`Network::set_parameters`], which forgets it.
    fn set_optimizer_state(&self, state: &Bound<'_, PyBytes>) -> PyResult<()> {
        self.core(state.py())?.set_optimizer_state(state.as_bytes())
    }

    /// The bytes of a model file; `info`: a dict with `loss`, `classes`, `features`, `targets` and `training`.
    fn model_bytes<'py>(
        &self,
        py: Python<'py>,
        info: &Bound<'py, PyDict>,
    ) -> PyResult<Bound<'py, PyBytes>> {
        let info = crate::model::info(info)?;
        Ok(PyBytes::new(py, &self.core(py)?.model(info)?))
    }
}
