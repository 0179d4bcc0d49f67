//! Options of checkpoints and early stopping.

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use travertine::Result;

use crate::args::values::at_least_one;
use crate::message::wrong;

/// Where checkpoints are written and read, and when training ends early.
#[derive(Args, Clone, Debug)]
pub(crate) struct CheckpointArgs {
    /// Folder for checkpoints, which --resume continues from; with --quality best a folder in it for each network
    #[arg(long, value_name = "DIR")]
    checkpoint: Option<PathBuf>,
    /// Steps from a checkpoint to the next [default: an epoch]
    #[arg(long, value_name = "STEPS", value_parser = at_least_one)]
    pub(crate) every: Option<usize>,
    /// Continue from the newest checkpoint in this folder, to the same bytes as without the interruption. All other options as
    /// they were, but for --epochs, --threads and --out. Without DIR beside --checkpoint: continue if that folder has a
    /// checkpoint, else begin
    #[arg(long, value_name = "DIR", num_args = 0..=1)]
    resume: Option<Option<PathBuf>>,
    /// What happens to the training if a checkpoint cannot be written; those before it stay
    #[arg(long, value_enum, default_value = "stop")]
    pub(crate) on_checkpoint_error: OnError,
    /// End after so many epochs without a lower loss on the samples held out, and save the best model
    #[arg(long, value_name = "EPOCHS", value_parser = at_least_one)]
    pub(crate) early_stopping: Option<usize>,
    /// The epoch whose model is saved: the last one, or the best one on the samples held out: that of the lowest loss, or of the
    /// highest accuracy (the last of equals)
    #[arg(long, value_enum, default_value = "last")]
    pub(crate) keep_epoch: Keep,
}

/// The epoch whose model is saved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Keep {
    Last,
    Loss,
    Accuracy,
}

/// What follows when a checkpoint cannot be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum OnError {
    Stop,
    Continue,
}

/// How a training begins, and where it writes its checkpoints.
#[derive(Clone, Copy, Debug)]
pub(crate) enum CheckpointFolder<'a> {
    /// No checkpoints.
    None,
    /// A new training, in a folder without checkpoints.
    New(&'a Path),
    /// The training continues from a checkpoint that must be there.
    Resume(&'a Path),
    /// The training continues if there is a checkpoint, and begins otherwise.
    ResumeOrNew(&'a Path),
}

/// What the files of one of several networks are named by; `number`: counted from 1.
pub(crate) fn network_name(number: usize) -> String {
    format!("network-{number}")
}

impl CheckpointArgs {
    /// The same for one of several networks: in a folder of its own within this one.
    pub(crate) fn of_network(&self, number: usize) -> Self {
        let mut own = self.clone();
        let within = |folder: &PathBuf| folder.join(network_name(number));
        own.checkpoint = self.checkpoint.as_ref().map(within);
        own.resume = self.resume.as_ref().map(|folder| folder.as_ref().map(within));
        // An interruption comes before the last networks have begun.
        if let (true, Some(Some(folder))) = (number > 1, &own.resume) {
            own.checkpoint = Some(folder.clone());
            own.resume = Some(None);
        }
        own
    }

    /// What `--checkpoint` and `--resume` say together.
    pub(crate) fn folder(&self) -> Result<CheckpointFolder<'_>> {
        match (&self.checkpoint, &self.resume) {
            (None, None) => Ok(CheckpointFolder::None),
            (Some(folder), None) => Ok(CheckpointFolder::New(folder)),
            (None, Some(Some(folder))) => Ok(CheckpointFolder::Resume(folder)),
            (Some(folder), Some(None)) => Ok(CheckpointFolder::ResumeOrNew(folder)),
            (Some(_), Some(Some(_))) => Err(wrong(
                "--resume",
                "names a folder, and so does --checkpoint; checkpoints are written where they are read: leave out one \
                 of both folders",
            )),
            (None, Some(None)) => {
                Err(wrong("--resume", "needs a folder: --resume DIR, or --checkpoint DIR --resume"))
            }
        }
    }
}
