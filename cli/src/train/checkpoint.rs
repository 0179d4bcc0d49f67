//! Checkpoints of a training, and the signals that end it with one.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};

use serde::{Deserialize, Serialize};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;
use travertine::processes::Group;
use travertine::{ErrorKind, Result, Samples, Scalar, Snapshot, Trainer, model_file};

use crate::args::checkpoint::{CheckpointArgs, CheckpointFolder, OnError};
use crate::args::memory::Memory;
use crate::message::{counted, note, warn, wrong};
use crate::output::file;
use crate::output::history::EpochRecord;
use crate::train::early_stopping::Progress;
use crate::train::rate::LearningRate;

/// Checkpoints that a folder holds: the newest, and the one before it in case that a crash damages the newest.
const KEPT: usize = 2;

/// What a checkpoint holds beside the trainer's snapshot.
#[derive(Serialize, Deserialize)]
struct CheckpointMetadata {
    /// Everything that decides the bytes of the model, by name.
    #[serde(rename = "facts")]
    training: Vec<(String, String)>,
    rows: Vec<EpochRecord>,
    #[serde(rename = "course")]
    progress: Progress,
}

/// The state that a training continues from.
pub(crate) struct Resumed<T> {
    pub(crate) snapshot: Snapshot<T>,
    pub(crate) records: Vec<EpochRecord>,
    pub(crate) progress: Progress,
    pub(crate) rate: LearningRate,
}

/// The entry that holds the learning rate.
const RATE: &str = "learning_rate";
/// The entry that holds the number of slices of a batch.
const SLICES: &str = "slices";

/// Writes checkpoints when they are due, and receives signals.
#[derive(Clone, Default)]
pub(crate) struct CheckpointWriter {
    folder: Option<PathBuf>,
    every: Option<u64>,
    continues_on_error: bool,
    /// Whether this process writes them.
    is_written: bool,
    /// Everything that decides the bytes of the model, by name.
    training: Vec<(String, String)>,
    signals: Signals,
}

/// The last signal that has come, or 0.
#[derive(Clone, Default)]
pub(crate) struct Signals(Arc<AtomicUsize>);

impl CheckpointWriter {
    /// Prepares the folder, reads the checkpoint to continue from, if any, and stops at `signals`.
    pub(crate) fn open<T: Scalar>(
        args: &CheckpointArgs,
        training: Vec<(String, String)>,
        rate: LearningRate,
        signals: &Signals,
    ) -> Result<(Self, Option<Resumed<T>>)> {
        let (folder, found) = prepare(args.folder()?)?;
        if args.every.is_some() && folder.is_none() {
            return Err(wrong("--every", "is for checkpoints; add --checkpoint DIR"));
        }
        let mut writer = CheckpointWriter {
            folder: folder.map(Path::to_owned),
            every: args.every.map(|every| every as u64),
            continues_on_error: args.on_checkpoint_error == OnError::Continue,
            is_written: true,
            training,
            signals: signals.clone(),
        };
        let resumed = if found.is_empty() { None } else { Some(writer.resume(&found, rate)?) };
        Ok((writer, resumed))
    }

    /// Writes nothing, if another process does.
    pub(crate) fn written_if(self, is_written: bool) -> Self {
        CheckpointWriter { is_written, ..self }
    }

    /// Refuses a checkpoint of a training that is longer than `epochs`.
    pub(crate) fn check_length<T: Scalar>(resumed: &Resumed<T>, epochs: usize) -> Result<()> {
        let Resumed { snapshot, progress, .. } = resumed;
        let done = progress.epochs();
        let is_within_next = progress.last.as_ref().map_or(0, |last| last.step) < snapshot.steps();
        if done < epochs || done == epochs && !is_within_next {
            return Ok(());
        }
        let part = if is_within_next { " and a part of the next one" } else { "" };
        let has = counted(done, "epoch", "epochs");
        Err(wrong("--epochs", format!("{epochs}, but the checkpoint has {has}{part} already")))
    }

    /// The newest of these checkpoints that is whole; one of another training is refused with every difference, but a default
    /// `rate` becomes that to which it was lowered.
    fn resume<T: Scalar>(&mut self, found: &[PathBuf], rate: LearningRate) -> Result<Resumed<T>> {
        let mut failure = None;
        for path in found.iter().rev() {
            match read(path) {
                Ok((snapshot, CheckpointMetadata { training, rows, progress })) => {
                    let whole = if failure.is_some() { ", which is whole" } else { "" };
                    failure.iter().for_each(|error| warn(&format!("{error}")));
                    let recorded = training.iter().find(|(name, _)| name == RATE);
                    let recorded = recorded.and_then(|(_, value)| value.parse().ok());
                    let rate = recorded.map_or(rate, |recorded| rate.resumed(recorded));
                    self.set_rate(rate);
                    self.refuse_other(path, &training)?;
                    note(&format!("going on from {}{whole}", path.display()));
                    return Ok(Resumed { snapshot, records: rows, progress, rate });
                }
                Err(error) => failure = failure.or(Some(error)),
            }
        }
        Err(failure.unwrap_or_else(|| wrong("--resume", "there is no checkpoint")))
    }

    /// Removes the checkpoints of a training that begins anew with this learning rate.
    pub(crate) fn begin_anew(&mut self, rate: LearningRate) -> Result<()> {
        self.set_rate(rate);
        let Some(folder) = self.folder.as_ref().filter(|_| self.is_written) else { return Ok(()) };
        checkpoints(folder)?.iter().try_for_each(|path| file::remove(path))
    }

    fn set_rate(&mut self, rate: LearningRate) {
        let entries = self.training.iter_mut().filter(|(name, _)| name == RATE);
        entries.for_each(|(_, value)| *value = rate.value().to_string());
    }

    fn refuse_other(&self, path: &Path, training: &[(String, String)]) -> Result<()> {
        let of = |training: &[(String, String)], name: &str| {
            training
                .iter()
                .find(|(own, _)| own == name)
                .map_or("none".to_owned(), |(_, value)| value.clone())
        };
        let mut names: Vec<&String> =
            training.iter().chain(&self.training).map(|(name, _)| name).collect();
        names.sort();
        names.dedup();
        let differences = names.into_iter().filter_map(|name| {
            let (then, now) = (of(training, name), of(&self.training, name));
            // One process alone has slices only where the option says so, and those of `mpiexec` always have.
            let cure = match (&**name, &*then) {
                (SLICES, "none") => " (go on with neither mpiexec nor --slices)".to_owned(),
                (SLICES, slices) => format!(" (go on with --slices {slices})"),
                _ => String::new(),
            };
            (then != now).then(|| format!("{} was {then}, is {now}{cure}", name.replace('_', " ")))
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

    /// Whether checkpoints are written.
    pub(crate) fn has_folder(&self) -> bool {
        self.folder.is_some()
    }

    /// Whether a checkpoint is due after this step.
    pub(crate) fn is_due(&self, steps: u64) -> bool {
        self.folder.is_some() && self.every.is_some_and(|every| steps.is_multiple_of(every))
    }

    /// Whether a checkpoint is due after every epoch.
    pub(crate) fn is_due_after_epochs(&self) -> bool {
        self.folder.is_some() && self.every.is_none()
    }

    /// Tells all processes of a group of a signal that has come to one of them. Collective.
    pub(crate) fn share_signal(&self, group: &Group) -> Result<()> {
        if group.size() == 1 {
            return Ok(());
        }
        let own = self.signal().unwrap_or_default();
        let all = group.all_gather(&[own as u8])?;
        let come = all.iter().flatten().copied().find(|signal| *signal != 0);
        self.signals.0.store(come.unwrap_or_default().into(), Relaxed);
        Ok(())
    }

    /// The signal that has come, if any.
    pub(crate) fn signal(&self) -> Option<usize> {
        Some(self.signals.0.load(Relaxed)).filter(|&signal| signal != 0)
    }

    /// Writes a checkpoint, if there is a folder for it, and removes old ones. Returns its path.
    pub(crate) fn write<T: Scalar>(
        &self,
        trainer: &mut Trainer<'_, T>,
        samples: &mut Samples<'_, T>,
        records: &[EpochRecord],
        progress: &Progress,
        best: Option<&[Vec<T>]>,
    ) -> Result<Option<PathBuf>> {
        let Some(folder) = self.folder.as_ref().filter(|_| self.is_written) else {
            return Ok(None);
        };
        let mut snapshot = trainer.snapshot(samples)?;
        for (i, values) in best.into_iter().flatten().enumerate() {
            snapshot.attach(best_name(i), values.clone());
        }
        let metadata = CheckpointMetadata {
            training: self.training.clone(),
            rows: records.to_vec(),
            progress: progress.clone(),
        };
        let metadata = serde_json::to_string(&metadata)
            .map_err(|error| wrong("--checkpoint", error.to_string()))?;
        let path = folder.join(format!("step-{:012}.safetensors", snapshot.steps()));
        match model_file::save_checkpoint(&path, &snapshot, &metadata) {
            Ok(()) => remove_old(folder).map(|()| Some(path)),
            Err(error) if self.continues_on_error => {
                warn(&format!("{error}; training goes on without this checkpoint"));
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }
}

/// The folder for checkpoints, and those in it to continue from. Prints whether a training that may do either begins.
fn prepare(folder: CheckpointFolder<'_>) -> Result<(Option<&Path>, Vec<PathBuf>)> {
    match folder {
        CheckpointFolder::None => Ok((None, Vec::new())),
        CheckpointFolder::New(folder) => {
            file::make_folder("--checkpoint", folder)?;
            if !checkpoints(folder)?.is_empty() {
                let reason = format!(
                    "{0} has checkpoints of a training; go on with --resume {0}, or choose another folder",
                    folder.display()
                );
                return Err(wrong("--checkpoint", reason));
            }
            Ok((Some(folder), Vec::new()))
        }
        CheckpointFolder::Resume(folder) => {
            let found = checkpoints(folder)?;
            if found.is_empty() {
                let reason = format!("there is no checkpoint in {}", folder.display());
                return Err(wrong("--resume", reason));
            }
            Ok((Some(folder), found))
        }
        CheckpointFolder::ResumeOrNew(folder) => {
            file::make_folder("--checkpoint", folder)?;
            let found = checkpoints(folder)?;
            if found.is_empty() {
                note(&format!("beginning: there is no checkpoint in {} yet", folder.display()));
            }
            Ok((Some(folder), found))
        }
    }
}

/// Removes all checkpoints but the newest. One that cannot be removed only takes space.
fn remove_old(folder: &Path) -> Result<()> {
    let old = checkpoints(folder)?;
    old.iter().rev().skip(KEPT).for_each(|path| drop(fs::remove_file(path)));
    Ok(())
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

fn read<T: Scalar>(path: &Path) -> Result<(Snapshot<T>, CheckpointMetadata)> {
    let (snapshot, metadata) = model_file::load_checkpoint(path)?;
    let metadata = serde_json::from_str(&metadata).map_err(|error| ErrorKind::Format {
        file: path.display().to_string(),
        place: "metadata".to_owned(),
        expected: "that of this version of travertine".to_owned(),
        found: error.to_string(),
    })?;
    Ok((snapshot, metadata))
}

/// The checkpoints of a folder, the oldest first. Unfinished files of a killed run are removed.
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

impl Signals {
    /// Those of the caller of a training in memory; else those of the process.
    pub(crate) fn of(memory: Option<&Memory>) -> Result<Self> {
        memory.map_or_else(Signals::listen, |memory| Ok(Signals(Arc::clone(&memory.interrupt))))
    }

    /// Registers the signals that end a training: the first after the step, a second one ends the process at once.
    fn listen() -> Result<Self> {
        let (signal, asked) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
        for number in endings() {
            flag::register_conditional_shutdown(number, 128 + number, Arc::clone(&asked))
                .and_then(|_| flag::register(number, Arc::clone(&asked)))
                .and_then(|_| flag::register_usize(number, Arc::clone(&signal), number as usize))
                .map_err(|source| ErrorKind::Io {
                    action: "listen to signals of",
                    path: "this process".into(),
                    source,
                })?;
        }
        Ok(Signals(signal))
    }
}

/// SIGINT, SIGTERM, and SIGHUP of a terminal that is gone, unless `nohup` has started the program.
fn endings() -> Vec<i32> {
    let mut endings = vec![SIGINT, SIGTERM];
    #[cfg(target_os = "linux")]
    endings.extend([signal_hook::consts::SIGHUP].into_iter().filter(|number| !is_ignored(*number)));
    endings
}

/// Whether this process was started with the signal ignored.
#[cfg(target_os = "linux")]
fn is_ignored(number: i32) -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let ignored = ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    // Without an answer the signal keeps its usual effect.
    ignored.is_none_or(|mask| mask >> (number - 1) & 1 == 1)
}
