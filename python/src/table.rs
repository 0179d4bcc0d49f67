//! Tables: columns of Python as frames, and their training by the options of the command line.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use pyo3::exceptions::{PyKeyboardInterrupt, PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList};
use travertine::data::{Column, Frame, MISSING, Targets, Values};
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
    let frame = frame(columns, targets)?;
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

/// The columns of a data frame: names, and numbers or texts.
pub(crate) fn frame(columns: &Bound<'_, PyList>, targets: Targets) -> PyResult<Frame> {
    let column = |item: Bound<'_, PyAny>| {
        let (name, kind, values): (String, String, Bound<'_, PyAny>) = item.extract()?;
        let values = match &*kind {
            "texts" => texts(values.extract()?),
            "dates" => Values::Dates(values.extract()?),
            _ => Values::Numbers(values.extract()?),
        };
        Ok(Column { name, values })
    };
    let columns = columns.iter().map(column).collect::<PyResult<Vec<_>>>()?;
    Frame::new(columns, targets).map_err(raised)
}

fn texts(values: Vec<Option<String>>) -> Values {
    let mut names: Vec<String> = Vec::new();
    let mut known = HashMap::new();
    let code = |value: Option<String>| match value {
        None => MISSING,
        Some(text) => *known.entry(text).or_insert_with_key(|text: &String| {
            names.push(text.clone());
            names.len() as u32 - 1
        }),
    };
    let codes = values.into_iter().map(code).collect();
    Values::Texts { codes, names }
}
