//! Tables: columns of Python as frames, and their training by the options of the command line.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use pyo3::exceptions::{PyKeyboardInterrupt, PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList};
use travertine::data::{Column, ColumnType, Frame, Role, Schema, SchemaColumn, Targets, Values};
use travertine_cli::in_memory::{Ended, Training, train};

use crate::fault::raised;

/// How often a training looks for a signal such as Ctrl-C.
const SIGNAL_CHECKS: Duration = Duration::from_millis(20);
/// The signal that ends a training.
const INTERRUPT: usize = 2;

/// What is learned.
#[derive(FromPyObject)]
pub(crate) enum Learned {
    /// The class of each sample, and the names of the classes.
    Classes(Vec<u32>, Vec<String>),
    /// The values of each sample, one sample after the other, and their names.
    Values(Vec<f64>, Vec<String>),
}

/// Trains on columns, as of `Model.answer`. `weights`: one for each sample. `tell` gets each line that the command line would print on standard error. Returns the bytes of
/// the model, and the last line of `travertine train --json`.
#[pyfunction]
#[pyo3(signature = (columns, learned, weights, options, tell))]
pub(crate) fn train_table<'py>(
    py: Python<'py>,
    columns: &Bound<'py, PyList>,
    learned: Learned,
    weights: Option<Vec<f64>>,
    options: Vec<String>,
    tell: Py<PyAny>,
) -> PyResult<(Bound<'py, PyBytes>, String)> {
    let targets = match learned {
        Learned::Classes(labels, names) => Targets::Classes { labels, names },
        Learned::Values(values, names) => Targets::Values { values, names },
    };
    let interrupt = Arc::new(AtomicUsize::new(0));
    let frame = frame(columns, targets, None)?;
    let training = Training { frame, weights, options, interrupt: Arc::clone(&interrupt) };
    let tell = move |line: &str| {
        // A function of Python that fails does not end a training.
        let _ = Python::attach(|py| tell.call1(py, (line,)).map(drop));
    };
    // Signals reach the main thread of Python, so the training has one of its own.
    let (send, receive) = mpsc::channel();
    thread::spawn(move || send.send(train(training, tell)));
    let ended = py.detach(move || {
        loop {
            match receive.recv_timeout(SIGNAL_CHECKS) {
                Err(RecvTimeoutError::Timeout) => {}
                ended => break ended,
            }
            if Python::attach(|py| py.check_signals()).is_err() {
                interrupt.store(INTERRUPT, Ordering::SeqCst);
            }
        }
    });
    match ended {
        Ok(Ok(Ended::Trained { model, result })) => Ok((PyBytes::new(py, &model), result)),
        Ok(Ok(Ended::Interrupted)) => {
            Err(PyKeyboardInterrupt::new_err("the training was interrupted"))
        }
        Ok(Err(message)) => Err(PyValueError::new_err(message)),
        Err(_) => {
            Err(PyRuntimeError::new_err("the training panicked, which is a defect of travertine"))
        }
    }
}

/// The columns of a data frame: names, and numbers, dates or texts. Texts are read as those of a file: by the schema of the model that
/// is asked, or as categories.
pub(crate) fn frame(
    columns: &Bound<'_, PyList>,
    targets: Targets,
    schema: Option<&Schema>,
) -> PyResult<Frame> {
    let column = |item: Bound<'_, PyAny>| {
        let (name, kind, values): (String, String, Bound<'_, PyAny>) = item.extract()?;
        let known = schema.and_then(|schema| feature(schema, &name));
        let values = match &*kind {
            "texts" => read_texts(&name, known, schema, &values.extract::<Vec<_>>()?)?,
            "dates" => Values::Dates(values.extract()?),
            _ => Values::Numbers(numbers(&name, known, &values)?),
        };
        Ok(Column { name, values })
    };
    let columns = columns.iter().map(column).collect::<PyResult<Vec<_>>>()?;
    Frame::new(columns, targets).map_err(raised)
}

fn feature<'s>(schema: &'s Schema, name: &str) -> Option<&'s SchemaColumn> {
    schema.columns.iter().find(|column| column.role == Role::Feature && column.name == name)
}

fn numbers(
    name: &str,
    known: Option<&SchemaColumn>,
    values: &Bound<'_, PyAny>,
) -> PyResult<Vec<f64>> {
    if let Some(ColumnType::Number(format)) = known.map(|known| known.column_type)
        && format.unit == Some('%')
    {
        let reason = "expected texts with %, as in training: 0.9 alone may be 90% or 0.9%";
        return Err(PyValueError::new_err(format!("column '{name}': {reason}")));
    }
    values.extract()
}

fn read_texts(
    name: &str,
    known: Option<&SchemaColumn>,
    schema: Option<&Schema>,
    texts: &[Option<String>],
) -> PyResult<Values> {
    let category = SchemaColumn {
        name: name.to_owned(),
        role: Role::Feature,
        column_type: ColumnType::Text,
        missing: 0,
        missing_word: None,
        zones: None,
        whole: None,
        constant: None,
        note: String::new(),
    };
    let dialect = schema.and_then(|schema| schema.dialect.as_ref());
    let words = dialect.map_or(&[][..], |dialect| &dialect.missing[..]);
    let column = known.unwrap_or(&category);
    column.read_texts(texts, words).map_err(|(row, _, found)| {
        let what = match column.column_type {
            ColumnType::Number(_) => "a number",
            ColumnType::Truth => "true or false",
            ColumnType::Date(_) => "a date",
            ColumnType::Text => "a text",
        };
        let form = match column.column_type {
            ColumnType::Date(order) => format!(" in the order {order}"),
            _ => String::new(),
        };
        let reason =
            format!("column '{name}' is {what}{form} for the model; row {row} has {found}");
        PyValueError::new_err(reason)
    })
}
