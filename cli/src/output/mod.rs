//! Standard output: JSON lines for programs, text for people.

use std::io::{self, BufWriter, ErrorKind::BrokenPipe, Write};

use serde::Serialize;
use travertine::{ErrorKind, Result};

use crate::message::{note, standard_output};

mod columns;
pub(crate) mod curve;
pub(crate) mod file;
pub(crate) mod history;
pub(crate) mod predictions;
pub(crate) mod progress;
pub(crate) mod quantiles;
pub(crate) mod report;
mod tensorboard;
pub(crate) mod text;
pub(crate) mod two_classes;

/// Bins of the probability that calibration is measured in.
pub(crate) const CALIBRATION_BINS: usize = 10;
/// Shuffles of a column whose importance is measured.
pub(crate) const IMPORTANCE_REPEATS: usize = 5;

/// Standard output. What is written after its reader has gone (`| head`) is dropped, so that a training does not lose its
/// model over it.
pub(crate) struct Output {
    json: bool,
    closed: bool,
    to: BufWriter<Box<dyn Write>>,
}

impl Output {
    /// `json`: standard output is JSON lines only, and text for people goes to standard error.
    pub(crate) fn new(json: bool) -> Self {
        Output { json, closed: false, to: BufWriter::new(standard_output()) }
    }

    /// Whether the output is JSON.
    pub(crate) fn is_json(&self) -> bool {
        self.json
    }

    /// Whether the reader has gone.
    pub(crate) fn is_closed(&self) -> bool {
        self.closed
    }

    /// Writes a line, which is buffered.
    pub(crate) fn line(&mut self, text: &str) -> Result<()> {
        if self.closed {
            return Ok(());
        }
        let written = writeln!(self.to, "{text}");
        self.check(written)
    }

    /// Writes a value as a line of JSON, which is buffered.
    pub(crate) fn json_line(&mut self, value: &impl Serialize) -> Result<()> {
        let written = serde_json::to_string(value).map_err(io::Error::from);
        match written {
            Ok(text) => self.line(&text),
            Err(error) => self.check(Err(error)),
        }
    }

    /// Passes all lines on to the reader.
    pub(crate) fn flush(&mut self) -> Result<()> {
        if self.closed {
            return Ok(());
        }
        let written = self.to.flush();
        self.check(written)
    }

    /// Prints a value as a line of JSON, or else the text for people, at once.
    pub(crate) fn print(&mut self, json: &impl Serialize, text: &str) -> Result<()> {
        if self.json { self.json_line(json) } else { self.line(text) }?;
        self.flush()
    }

    /// Prints lines for people: to standard output, or to standard error beside JSON.
    pub(crate) fn people(&mut self, lines: &[String]) -> Result<()> {
        if self.json {
            lines.iter().for_each(|line| note(line));
            return Ok(());
        }
        lines.iter().try_for_each(|line| self.line(line))
    }

    fn check(&mut self, written: io::Result<()>) -> Result<()> {
        match written {
            Err(source) if source.kind() == BrokenPipe => {
                self.closed = true;
                Ok(())
            }
            Err(source) => {
                Err(ErrorKind::Io { action: "write", path: "standard output".into(), source }
                    .into())
            }
            Ok(()) => Ok(()),
        }
    }
}

/// The shortest decimal number that stands for `x`: 0.1 as `f32` is 0.1, not 0.10000000149. NaN becomes null in JSON.
pub(crate) fn shortest(x: impl ToString) -> f64 {
    x.to_string().parse().unwrap_or(f64::NAN)
}

/// `x` with that many decimals, so that lines stay readable.
pub(crate) fn rounded(x: f64, decimals: i32) -> f64 {
    let scale = 10f64.powi(decimals);
    (x * scale).round() / scale
}
