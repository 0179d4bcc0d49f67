//! Training on a table in memory, by the options of `travertine train`, for programs that are not the command line.

use std::ffi::OsString;
use std::process::ExitCode;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use travertine::ErrorKind;
use travertine::data::Frame;

use crate::args::memory::Memory;
use crate::cli::Cli;
use crate::message;

/// A training to run.
pub struct Training {
    /// The samples and what is learned.
    pub frame: Frame,
    /// How much each sample counts, for training and for the choice of the best epoch, as of
    /// [`Dataset::with_weights`](travertine::data::Dataset::with_weights).
    pub weights: Option<Vec<f64>>,
    /// Options of `travertine train`, such as "--quality" and "best".
    pub options: Vec<String>,
    /// The number of a signal that ends the training after its step, or 0: another thread sets it.
    pub interrupt: Arc<AtomicUsize>,
}

/// How a training ended.
pub enum Ended {
    /// The bytes of the model's file, and the last line of `travertine train --json`.
    Trained {
        /// As `travertine::Model::load_from_bytes` takes them.
        model: Vec<u8>,
        /// JSON.
        result: String,
    },
    /// By the interrupt; there is no model.
    Interrupted,
}

/// Trains on this thread; `tell` gets each line that the command line prints on standard error.
///
/// # Errors
/// The message of the command line, which names the option that is wrong or the sample that cannot be learned from.
pub fn train(training: Training, tell: impl Fn(&str) + 'static) -> Result<Ended, String> {
    let folder = tempfile::tempdir().map_err(|error| format!("cannot make a folder: {error}"))?;
    let path = folder.path().join("model.safetensors");
    let words = ["travertine", "train", "table", "--plain", "--json", "--out"].map(OsString::from);
    let words = words.into_iter().chain([path.clone().into_os_string()]);
    let words = words.chain(training.options.iter().map(OsString::from));
    let mut cli = Cli::try_read(words).map_err(|error| error.to_string())?;
    let Training { frame, weights, interrupt, .. } = training;
    cli.set_memory(Memory { frame: Arc::new(frame), weights: weights.map(Arc::from), interrupt });
    let (status, output, fault) = message::captured(Rc::new(tell), || cli.run());
    match status {
        Ok(status) if status == ExitCode::SUCCESS => {
            let result = output.lines().last().unwrap_or_default().to_owned();
            let model = std::fs::read(&path).map_err(|error| error.to_string())?;
            Ok(Ended::Trained { model, result })
        }
        Ok(_) => fault.map_or(Ok(Ended::Interrupted), Err),
        Err(error) if matches!(error.kind(), ErrorKind::Io { .. }) => Err(error.to_string()),
        Err(error) => Err(message::with_options(&error)),
    }
}
