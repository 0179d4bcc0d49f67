//! Checkpoints of a training, and the signals that ask for one.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};

use clap::{Args, ValueEnum};
use serde::{Deserialize, Serialize};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;
use travertine::{ErrorKind, Result, Samples, Scalar, Snapshot, Trainer, model_file};

use crate::args::at_least_one;
use crate::fit::Course;
use crate::history::Row;
use crate::names::wrong;
use crate::outfile;
use crate::output::note;

/// Checkpoints that a folder holds: the newest, and the one before it in case that a crash damages the newest.
const KEPT: usize = 2;

/// What is kept on the way, and gone on from.
#[derive(Args, Clone, Debug)]
pub(crate) struct CheckpointArgs {
    /// Folder for checkpoints, which --resume goes on from
    #[arg(long, value_name = "DIR")]
    pub(crate) checkpoint: Option<PathBuf>,
    /// Steps from a checkpoint to the next [default: an epoch]
    #[arg(long, value_name = "STEPS", value_parser = at_least_one())]
    pub(crate) every: Option<usize>,
    /// Go on from the newest checkpoint in this folder, to the same bytes as if nothing had happened. All options as they were
    /// then, but for --epochs, --threads and --out
    #[arg(long, value_name = "DIR", conflicts_with = "checkpoint")]
    pub(crate) resume: Option<PathBuf>,
    /// What happens to the training if a checkpoint cannot be written; those before it stay
    #[arg(long, value_enum, default_value = "stop")]
    pub(crate) on_checkpoint_error: OnError,
    /// End after so many epochs without a lower loss on the samples held out, and save the best model
    #[arg(long, value_name = "EPOCHS", value_parser = at_least_one())]
    pub(crate) early_stopping: Option<usize>,
}

/// What follows when a checkpoint cannot be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum OnError {
    Stop,
    Continue,
}

/// What a checkpoint holds beside the trainer's own.
#[derive(Serialize, Deserialize)]
struct Notes {
    facts: Vec<(String, String)>,
    rows: Vec<Row>,
    course: Course,
}

/// Where a training goes on.
pub(crate) struct Resumed<T> {
    pub(crate) snapshot: Snapshot<T>,
    pub(crate) rows: Vec<Row>,
    pub(crate) course: Course,
}

/// Writes checkpoints when they are due, and knows what signals have come.
pub(crate) struct Keeper {
    folder: Option<PathBuf>,
    every: Option<u64>,
    on_error: OnError,
    /// Everything that decides what a training's bytes are, by name.
    facts: Vec<(String, String)>,
    /// The last signal, or 0.
    signal: Arc<AtomicUsize>,
}

impl Keeper {
    /// Looks whether the folder can be written to, and listens to signals from now on.
    pub(crate) fn new(args: &CheckpointArgs, facts: Vec<(String, String)>) -> Result<Self> {
        let folder = args.checkpoint.clone().or_else(|| args.resume.clone());
        if args.every.is_some() && folder.is_none() {
            return Err(wrong("--every", "is for checkpoints; add --checkpoint DIR"));
        }
        if let Some(folder) = &args.checkpoint {
            outfile::make_folder("--checkpoint", folder)?;
            if !checkpoints(folder)?.is_empty() {
                let reason = format!(
                    "{0} has checkpoints of a training; go on with --resume {0}",
                    folder.display()
                );
                return Err(wrong("--checkpoint", reason + ", or take another folder"));
            }
        }
        let every = args.every.map(|every| every as u64);
        Ok(Keeper { folder, every, on_error: args.on_checkpoint_error, facts, signal: listen()? })
    }

    /// The newest checkpoint that is whole; one of another training is refused with every difference.
    pub(crate) fn resume<T: Scalar>(&self, folder: &Path) -> Result<Resumed<T>> {
        let mut failure = None;
        for path in checkpoints(folder)?.iter().rev() {
            match read(path) {
                Ok((snapshot, Notes { facts, rows, course })) => {
                    if let Some(earlier) = failure {
                        note(&format!(
                            "warning: {earlier}; going on from {}, which is whole",
                            path.display()
                        ));
                    }
                    self.refuse_other(path, &facts)?;
                    return Ok(Resumed { snapshot, rows, course });
                }
                Err(error) => failure = failure.or(Some(error)),
            }
        }
        Err(failure.unwrap_or_else(|| {
            wrong("--resume", format!("there is no checkpoint in {}", folder.display()))
        }))
    }

    fn refuse_other(&self, path: &Path, facts: &[(String, String)]) -> Result<()> {
        let of = |facts: &[(String, String)], name: &str| {
            facts
                .iter()
                .find(|(own, _)| own == name)
                .map_or("none".to_owned(), |(_, value)| value.clone())
        };
        let mut names: Vec<&String> =
            facts.iter().chain(&self.facts).map(|(name, _)| name).collect();
        names.sort();
        names.dedup();
        let differences = names.into_iter().filter_map(|name| {
            let (then, now) = (of(facts, name), of(&self.facts, name));
            (then != now).then(|| format!("{} was {then}, is {now}", name.replace('_', " ")))
        });
        let differences: Vec<String> = differences.collect();
        if differences.is_empty() {
            return Ok(());
        }
        Err(wrong(
            "--resume",
            format!("{} is of another training: {}", path.display(), differences.join("; ")),
        ))
    }

    /// Whether checkpoints are asked for.
    pub(crate) fn has_folder(&self) -> bool {
        self.folder.is_some()
    }

    /// Whether a checkpoint is due after this step.
    pub(crate) fn is_due(&self, steps: u64) -> bool {
        self.folder.is_some() && self.every.is_some_and(|every| steps.is_multiple_of(every))
    }

    /// Whether one is due after an epoch.
    pub(crate) fn is_due_after_epochs(&self) -> bool {
        self.folder.is_some() && self.every.is_none()
    }

    /// The signal that asks for an end, if one has come.
    pub(crate) fn signal(&self) -> Option<usize> {
        Some(self.signal.load(Relaxed)).filter(|&signal| signal != 0)
    }

    /// Writes a checkpoint, if there is a folder for it, and removes old ones. Gives its path.
    pub(crate) fn write<T: Scalar>(
        &self,
        trainer: &mut Trainer<'_, T>,
        samples: &mut Samples<'_, T>,
        rows: &[Row],
        course: &Course,
        best: Option<&[Vec<T>]>,
    ) -> Result<Option<PathBuf>> {
        let Some(folder) = &self.folder else { return Ok(None) };
        let mut snapshot = trainer.snapshot(samples)?;
        for (i, values) in best.into_iter().flatten().enumerate() {
            snapshot.attach(best_name(i), values.clone());
        }
        let notes =
            Notes { facts: self.facts.clone(), rows: rows.to_vec(), course: course.clone() };
        let notes = serde_json::to_string(&notes)
            .map_err(|error| wrong("--checkpoint", error.to_string()))?;
        let path = folder.join(format!("step-{:012}.safetensors", snapshot.steps()));
        match model_file::save_checkpoint(&path, &snapshot, &notes) {
            Ok(()) => {
                let old = checkpoints(folder)?;
                // Whoever cannot be removed takes room, and no more than that.
                old.iter().rev().skip(KEPT).for_each(|path| drop(fs::remove_file(path)));
                Ok(Some(path))
            }
            Err(error) if self.on_error == OnError::Continue => {
                note(&format!("warning: {error}; training goes on without this checkpoint"));
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }
}

impl<T: Scalar> Resumed<T> {
    /// The parameters of the best epoch, if early stopping kept some.
    pub(crate) fn best(&self) -> Option<Vec<Vec<T>>> {
        let best = |i| self.snapshot.numbers(&best_name(i)).map(<[T]>::to_vec);
        Some((0..).map_while(best).collect()).filter(|best: &Vec<_>| !best.is_empty())
    }
}

fn best_name(i: usize) -> String {
    format!("best.{i}")
}

fn read<T: Scalar>(path: &Path) -> Result<(Snapshot<T>, Notes)> {
    let (snapshot, notes) = model_file::load_checkpoint(path)?;
    let notes = serde_json::from_str(&notes).map_err(|error| ErrorKind::Format {
        file: path.display().to_string(),
        place: "notes".to_owned(),
        expected: "those of this version of travertine".to_owned(),
        found: error.to_string(),
    })?;
    Ok((snapshot, notes))
}

/// The checkpoints of a folder, the oldest first. What a killed run has not finished writing is removed.
fn checkpoints(folder: &Path) -> Result<Vec<PathBuf>> {
    let refused =
        |source| ErrorKind::Io { action: "read the folder", path: folder.to_owned(), source };
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).map_err(refused)? {
        let path = entry.map_err(refused)?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name.starts_with("step-") && name.ends_with(".safetensors") {
            found.push(path);
        } else if name.starts_with(".step-") && name.ends_with(".tmp") {
            let _ = fs::remove_file(&path);
        }
    }
    found.sort();
    Ok(found)
}

/// The first signal asks for an end after the step; a second one is an end at once.
fn listen() -> Result<Arc<AtomicUsize>> {
    let (signal, asked) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
    for number in [SIGINT, SIGTERM] {
        flag::register_conditional_shutdown(number, 128 + number, Arc::clone(&asked))
            .and_then(|_| flag::register(number, Arc::clone(&asked)))
            .and_then(|_| flag::register_usize(number, Arc::clone(&signal), number as usize))
            .map_err(|source| ErrorKind::Io {
                action: "listen to signals of",
                path: "this process".into(),
                source,
            })?;
    }
    Ok(signal)
}

/// FNV-1a over the bits of numbers: tells data sets apart.
pub(crate) fn fingerprint<T: Scalar>(numbers: impl IntoIterator<Item = T>) -> String {
    let mix = |sum: u64, x: T| (sum ^ x.to_f64().to_bits()).wrapping_mul(0x0000_0100_0000_01b3);
    format!("{:016x}", numbers.into_iter().fold(0xcbf2_9ce4_8422_2325, mix))
}
