//! The history of a training, a record an epoch: written as JSON lines, as CSV and for TensorBoard.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use travertine::{ErrorKind, Result};

use crate::args::history::HistoryArgs;
use crate::message::wrong;
use crate::output::file;
use crate::output::tensorboard::EventFile;

/// The record of an epoch. What is not known, or not finite, is `None`, or an empty list.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct EpochRecord {
    /// Counted from 1.
    pub(crate) epoch: u64,
    /// Steps done at its end, since the training began.
    pub(crate) step: u64,
    /// Mean over the steps, each before its update, in the unit of the data.
    pub(crate) train_loss: f64,
    pub(crate) train_accuracy: Option<f64>,
    /// Of the samples held out, after the epoch.
    pub(crate) test_loss: Option<f64>,
    pub(crate) test_accuracy: Option<f64>,
    /// Of the epoch's first step.
    pub(crate) learning_rate: f64,
    /// Of the steps.
    pub(crate) seconds: f64,
    /// One a layer, after the epoch; see [`travertine::Trainer::gradient_norms`].
    pub(crate) gradient_norms: Vec<f64>,
}

/// The files that the records go to.
pub(crate) struct History {
    needs_gradient_norms: bool,
    /// Whether this process writes them.
    is_written: bool,
    file: Option<PathBuf>,
    /// Opened by the first record: what fails before leaves existing files alone. Beside it, columns for gradient norms.
    open: Option<(File, usize)>,
    tensorboard: Option<PathBuf>,
    events: Option<EventFile>,
    /// Whether the folder's event files may hold epochs that count no more.
    replaces_events: bool,
}

impl History {
    /// Refuses files that cannot be written before there is anything to write.
    pub(crate) fn new(args: &HistoryArgs, inputs: &[PathBuf]) -> Result<Self> {
        if let Some(path) = &args.history {
            format(path)?;
            file::check_is_not("--history", path, inputs)?;
            file::check("--history", path, 0)?;
            file::check_is_own(("--history", "a history"), path, is_history)?;
        }
        for (option, folder) in [("--tensorboard", &args.tensorboard), ("--report", &args.report)] {
            folder.as_ref().map_or(Ok(()), |folder| file::make_folder(option, folder))?;
        }
        Ok(History {
            needs_gradient_norms: args.has_any(),
            is_written: true,
            file: args.history.clone(),
            open: None,
            tensorboard: args.tensorboard.clone(),
            events: None,
            replaces_events: false,
        })
    }

    /// Writes nothing, if another process does.
    pub(crate) fn written_if(self, is_written: bool) -> Self {
        History { is_written, ..self }
    }

    /// Removes what it has written: the training begins anew, and its next record is its first.
    pub(crate) fn begin_anew(&mut self) -> Result<()> {
        if let (Some(_), Some(path)) = (self.open.take(), &self.file) {
            file::remove(path)?;
        }
        if let Some(events) = self.events.take() {
            file::remove(events.path())?;
        }
        self.replaces_events = true;
        Ok(())
    }

    /// Whether records have gradient norms, which take a pass over the samples.
    pub(crate) fn needs_gradient_norms(&self) -> bool {
        self.needs_gradient_norms && self.is_written
    }

    /// Writes the last of these records, so that it can be read while training goes on; the first time all of them, which
    /// include those of the training that this one continues.
    pub(crate) fn write(&mut self, records: &[EpochRecord]) -> Result<()> {
        if !self.is_written {
            return Ok(());
        }
        if let Some(path) = &self.file {
            write_lines(path, &mut self.open, records)?;
        }
        if let Some(folder) = &self.tensorboard {
            let refused = |source| {
                let path = folder.clone();
                ErrorKind::Io { action: "write events into", path, source }
            };
            let replaces = self.replaces_events || records.len() > 1;
            write_events(folder, (&mut self.events, replaces), records).map_err(refused)?;
        }
        Ok(())
    }
}

/// The last record as a line; the first time all of them, into a new file.
fn write_lines(
    path: &Path,
    open: &mut Option<(File, usize)>,
    records: &[EpochRecord],
) -> Result<()> {
    let refused = |source| {
        let path = path.to_owned();
        ErrorKind::Io { action: "write the history to", path, source }
    };
    let is_csv = format(path).is_ok_and(|format| format == Format::Csv);
    let line = |record: &EpochRecord, norms| match is_csv {
        true => csv(record, norms),
        false => serde_json::to_string(record).unwrap_or_default(),
    };
    if let Some((file, norms)) = open {
        let last = records.last().map(|record| line(record, *norms));
        return Ok(writeln!(file, "{}", last.unwrap_or_default()).map_err(refused)?);
    }
    let norms = records.iter().map(|record| record.gradient_norms.len()).max().unwrap_or(0);
    let head = is_csv.then(|| csv_head(norms));
    let lines = head.into_iter().chain(records.iter().map(|record| line(record, norms)));
    let text: String = lines.map(|line| line + "\n").collect();
    file::write_whole(path, text.as_bytes())?;
    let file = File::options().append(true).open(path).map_err(refused)?;
    *open = Some((file, norms));
    Ok(())
}

/// The last record as an event; the first time all of them, into a new file, which `replaces` the earlier ones.
fn write_events(
    folder: &Path,
    (open, replaces): (&mut Option<EventFile>, bool),
    records: &[EpochRecord],
) -> io::Result<()> {
    if let Some(events) = open {
        return records.last().map_or(Ok(()), |record| {
            events.scalars(record.step, Duration::ZERO, &scalars(record))
        });
    }
    let mut events = EventFile::create(folder)?;
    if replaces {
        // The folder may lack the epochs before the checkpoint, or hold some from after it.
        events.replace_earlier()?;
    }
    // As if training had not been interrupted, so that curves over time have no gap.
    let mut ago: f64 = records.iter().map(|record| record.seconds).sum();
    for record in records {
        ago -= record.seconds;
        events.scalars(
            record.step,
            Duration::try_from_secs_f64(ago).unwrap_or_default(),
            &scalars(record),
        )?;
    }
    *open = Some(events);
    Ok(())
}

#[derive(PartialEq)]
enum Format {
    JsonLines,
    Csv,
}

fn format(path: &Path) -> Result<Format> {
    match path.extension().map(|extension| extension.to_ascii_lowercase()) {
        Some(extension) if extension == "jsonl" || extension == "json" => Ok(Format::JsonLines),
        Some(extension) if extension == "csv" => Ok(Format::Csv),
        _ => Err(wrong(
            "--history",
            format!("expected a name that ends in .jsonl, .json or .csv: {}", path.display()),
        )),
    }
}

/// The columns of a CSV file, but for those of gradient norms.
const COLUMNS: &str =
    "epoch,step,train_loss,train_accuracy,test_loss,test_accuracy,learning_rate,seconds";

/// Whether a file begins as the ones that are written here.
fn is_history(head: &str) -> bool {
    let first = head.lines().next().unwrap_or_default();
    first.starts_with(COLUMNS) || serde_json::from_str::<EpochRecord>(first).is_ok()
}

fn csv_head(layers: usize) -> String {
    (0..layers).fold(COLUMNS.to_owned(), |head, layer| format!("{head},gradient_norm_{layer}"))
}

/// Unknown values are empty fields; epochs from before a resumption may have no gradient norms.
fn csv(record: &EpochRecord, norms: usize) -> String {
    let known = |x: Option<f64>| x.map_or(String::new(), |x| x.to_string());
    let mut fields = vec![
        record.epoch.to_string(),
        record.step.to_string(),
        record.train_loss.to_string(),
        known(record.train_accuracy),
        known(record.test_loss),
        known(record.test_accuracy),
        record.learning_rate.to_string(),
        record.seconds.to_string(),
    ];
    fields.extend((0..norms).map(|layer| known(record.gradient_norms.get(layer).copied())));
    fields.join(",")
}

/// The record under TensorBoard's names, which are grouped by the part before the slash.
fn scalars(record: &EpochRecord) -> Vec<(String, f64)> {
    let known = [
        ("loss/train", Some(record.train_loss)),
        ("loss/test", record.test_loss),
        ("accuracy/train", record.train_accuracy),
        ("accuracy/test", record.test_accuracy),
        ("learning_rate", Some(record.learning_rate)),
        ("seconds", Some(record.seconds)),
    ];
    let known = known.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
    let norms = record.gradient_norms.iter().enumerate();
    known
        .chain(norms.map(|(layer, &norm)| (format!("gradient_norm/layer_{layer}"), norm)))
        .collect()
}
