//! The course of a training, a row an epoch: kept for the report, written as JSON lines, as CSV and for TensorBoard.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use serde::{Deserialize, Serialize};
use travertine::{ErrorKind, Result};

use crate::names::wrong;
use crate::outfile;
use crate::tensorboard::EventFile;

/// What is written beside the model.
#[derive(Args, Clone, Debug)]
pub(crate) struct HistoryArgs {
    /// The course of the training, a row an epoch: JSON lines in a .jsonl or .json file, else .csv
    #[arg(long, value_name = "FILE")]
    pub(crate) history: Option<PathBuf>,
    /// Folder for an event file that TensorBoard reads; after --resume with the epochs from before, instead of those there
    #[arg(long, value_name = "DIR")]
    pub(crate) tensorboard: Option<PathBuf>,
    /// Folder for report.html: curves, confusion, weights and mistakes on one page
    #[arg(long, value_name = "DIR")]
    pub(crate) report: Option<PathBuf>,
}

impl HistoryArgs {
    /// Whether somebody will look at the rows: nobody else pays for the gradients in them.
    pub(crate) fn is_wanted(&self) -> bool {
        self.history.is_some() || self.tensorboard.is_some() || self.report.is_some()
    }
}

/// An epoch. What is not known, or not finite, is `None`, or an empty list.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Row {
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
    /// That of the epoch's first step.
    pub(crate) learning_rate: f64,
    /// Of the steps.
    pub(crate) seconds: f64,
    /// One a layer, after the epoch; see [`travertine::Trainer::gradient_norms`].
    pub(crate) gradient_norms: Vec<f64>,
}

/// The rows so far, and the files that they go to.
pub(crate) struct History {
    rows: Vec<Row>,
    file: Option<PathBuf>,
    /// Opened by the first row: what fails before leaves existing files alone. Beside it, columns for gradient norms.
    open: Option<(File, usize)>,
    tensorboard: Option<PathBuf>,
    events: Option<EventFile>,
}

impl History {
    /// Says what is wrong with the files before there is anything to write. `rows`: those of the training that this one
    /// goes on from; they are in its files, too.
    pub(crate) fn new(args: &HistoryArgs, inputs: &[&Path], rows: Vec<Row>) -> Result<Self> {
        if let Some(path) = &args.history {
            format(path)?;
            outfile::check_is_not("--history", path, inputs)?;
            outfile::check("--history", path, 0)?;
        }
        for (option, folder) in [("--tensorboard", &args.tensorboard), ("--report", &args.report)] {
            folder.as_ref().map_or(Ok(()), |folder| outfile::make_folder(option, folder))?;
        }
        let (file, tensorboard) = (args.history.clone(), args.tensorboard.clone());
        Ok(History { rows, file, open: None, tensorboard, events: None })
    }

    /// All of them, the first epoch first.
    pub(crate) fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// Keeps a row and writes it, so that it can be read while training goes on.
    pub(crate) fn push(&mut self, mut row: Row) -> Result<()> {
        row.test_loss = row.test_loss.filter(|loss| loss.is_finite());
        if !row.gradient_norms.iter().all(|norm| norm.is_finite()) {
            row.gradient_norms.clear();
        }
        self.rows.push(row);
        if let Some(path) = &self.file {
            let refused = |source| ErrorKind::Io {
                action: "write the history to",
                path: path.clone(),
                source,
            };
            write_rows(path, &mut self.open, &self.rows).map_err(refused)?;
        }
        if let Some(folder) = &self.tensorboard {
            let refused = |source| ErrorKind::Io {
                action: "write events into",
                path: folder.clone(),
                source,
            };
            write_events(folder, &mut self.events, &self.rows).map_err(refused)?;
        }
        Ok(())
    }
}

/// The last row; the first time all of them, into a new file.
fn write_rows(path: &Path, open: &mut Option<(File, usize)>, rows: &[Row]) -> io::Result<()> {
    let is_csv = format(path).is_ok_and(|format| format == Format::Csv);
    let line = |row: &Row, norms| {
        if is_csv { csv(row, norms) } else { serde_json::to_string(row).unwrap_or_default() }
    };
    match open {
        Some((file, norms)) => {
            writeln!(file, "{}", rows.last().map(|row| line(row, *norms)).unwrap_or_default())
        }
        None => {
            let norms = rows.iter().map(|row| row.gradient_norms.len()).max().unwrap_or(0);
            let lines = rows.iter().map(|row| line(row, norms));
            let text: String = is_csv
                .then(|| csv_head(norms))
                .into_iter()
                .chain(lines)
                .map(|line| line + "\n")
                .collect();
            // Under another name first, so that a file from before is not lost to a full disk.
            let new = outfile::beside(path, "new");
            let written = fs::write(&new, text).and_then(|()| fs::rename(&new, path));
            written.inspect_err(|_| drop(fs::remove_file(&new)))?;
            *open = Some((File::options().append(true).open(path)?, norms));
            Ok(())
        }
    }
}

/// The last row; the first time all of them, into a new file.
fn write_events(folder: &Path, open: &mut Option<EventFile>, rows: &[Row]) -> io::Result<()> {
    if let Some(events) = open {
        return rows
            .last()
            .map_or(Ok(()), |row| events.scalars(row.step, Duration::ZERO, &scalars(row)));
    }
    let mut events = EventFile::create(folder)?;
    if rows.len() > 1 {
        // The folder may hold none of the epochs before, or some that came after the checkpoint.
        events.replace_earlier()?;
    }
    // As if nothing had come between, so that curves over time have no gap.
    let mut ago: f64 = rows.iter().map(|row| row.seconds).sum();
    for row in rows {
        ago -= row.seconds;
        events.scalars(
            row.step,
            Duration::try_from_secs_f64(ago).unwrap_or_default(),
            &scalars(row),
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

fn csv_head(layers: usize) -> String {
    let fixed =
        "epoch,step,train_loss,train_accuracy,test_loss,test_accuracy,learning_rate,seconds";
    (0..layers).fold(fixed.to_owned(), |head, layer| format!("{head},gradient_norm_{layer}"))
}

/// What is not known is an empty field; a part of the training that nobody looked at has no gradient norms.
fn csv(row: &Row, norms: usize) -> String {
    let known = |x: Option<f64>| x.map_or(String::new(), |x| x.to_string());
    let mut fields = vec![
        row.epoch.to_string(),
        row.step.to_string(),
        row.train_loss.to_string(),
        known(row.train_accuracy),
        known(row.test_loss),
        known(row.test_accuracy),
        row.learning_rate.to_string(),
        row.seconds.to_string(),
    ];
    fields.extend((0..norms).map(|layer| known(row.gradient_norms.get(layer).copied())));
    fields.join(",")
}

/// The row under TensorBoard's names, which group by what stands before the slash.
fn scalars(row: &Row) -> Vec<(String, f64)> {
    let known = [
        ("loss/train", Some(row.train_loss)),
        ("loss/test", row.test_loss),
        ("accuracy/train", row.train_accuracy),
        ("accuracy/test", row.test_accuracy),
        ("learning_rate", Some(row.learning_rate)),
        ("seconds", Some(row.seconds)),
    ];
    let known = known.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
    let norms = row.gradient_norms.iter().enumerate();
    known
        .chain(norms.map(|(layer, &norm)| (format!("gradient_norm/layer_{layer}"), norm)))
        .collect()
}
