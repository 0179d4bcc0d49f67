//! Options of files that record a training.

use std::path::PathBuf;

use clap::Args;

/// What is written beside the model.
#[derive(Args, Clone, Debug)]
pub(crate) struct HistoryArgs {
    /// Record of the training, a line an epoch: JSON lines in a .jsonl or .json file, else .csv
    #[arg(long, value_name = "FILE")]
    pub(crate) history: Option<PathBuf>,
    /// Folder for an event file that TensorBoard reads; after --resume with all epochs so far, instead of those there
    #[arg(long, value_name = "DIR")]
    pub(crate) tensorboard: Option<PathBuf>,
    /// Folder for report.html: curves, confusion, weights and mistakes on one page
    #[arg(long, value_name = "DIR")]
    pub(crate) report: Option<PathBuf>,
}

impl HistoryArgs {
    /// Whether gradient norms are recorded; computing them takes a pass over a batch.
    pub(crate) fn has_any(&self) -> bool {
        self.history.is_some() || self.tensorboard.is_some() || self.report.is_some()
    }
}
