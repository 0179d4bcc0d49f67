//! Options of files that record a training.

use std::path::PathBuf;

use clap::Args;

use crate::args::checkpoint::network_name;

/// What is written beside the model.
#[derive(Args, Clone, Debug)]
pub(crate) struct HistoryArgs {
    /// Record of the training, a line an epoch: JSON lines in a .jsonl or .json file, else .csv; with --quality best a file for each
    /// network: FILE-network-1.csv and so on
    #[arg(long, value_name = "FILE")]
    pub(crate) history: Option<PathBuf>,
    /// Folder for an event file that TensorBoard reads; after --resume with all epochs so far, instead of those there; with --quality
    /// best a folder in it for each network
    #[arg(long, value_name = "DIR")]
    pub(crate) tensorboard: Option<PathBuf>,
    /// Folder for report.html: curves, confusion, weights and mistakes on one page
    #[arg(long, value_name = "DIR")]
    pub(crate) report: Option<PathBuf>,
}

impl HistoryArgs {
    /// The same for one of several networks: files of its own. They have one report together, whose folder is this one's.
    pub(crate) fn of_network(&self, number: usize) -> Self {
        let name = network_name(number);
        let renamed = |file: &PathBuf| {
            let stem = file.file_stem().unwrap_or_default().to_string_lossy();
            let ending = file.extension().map(|ending| format!(".{}", ending.to_string_lossy()));
            file.with_file_name(format!("{stem}-{name}{}", ending.unwrap_or_default()))
        };
        HistoryArgs {
            history: self.history.as_ref().map(renamed),
            tensorboard: self.tensorboard.as_ref().map(|folder| folder.join(&name)),
            report: self.report.clone(),
        }
    }

    /// Whether gradient norms are recorded; computing them takes a pass over a batch.
    pub(crate) fn has_any(&self) -> bool {
        self.history.is_some() || self.tensorboard.is_some() || self.report.is_some()
    }
}
