//! The progress of a training: a bar and a curve on a terminal, a line an epoch everywhere.

use std::io::{self, IsTerminal};
use std::time::{Duration, Instant};

use console::Term;
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use travertine::{Report, Result};

use crate::message::is_silent;
use crate::output::curve::Curve;
use crate::output::text::{digits, percent, short};
use crate::output::{Output, rounded};

/// Between two readings of loss and accuracy, which wait for the device.
const PAUSE: Duration = Duration::from_millis(100);

/// Epochs of the longest training that has a line for each.
const ALL_LINES: usize = 64;
/// Lines of a longer one, about.
const SOME_LINES: usize = 32;

/// Shows a training.
pub(crate) struct Display {
    bar: Option<ProgressBar>,
    curve: Curve,
    /// Samples of this epoch that the curve has, and the sum of their losses.
    drawn: (f64, f64),
    epochs: usize,
    samples: usize,
    /// Factor from a loss of the trainer to one in the unit of the data.
    factor: f64,
    shown: Instant,
}

/// The reports of an epoch, in the unit of the data.
#[derive(Clone)]
pub(crate) struct Epoch {
    /// Counted from 1.
    pub(crate) number: usize,
    pub(crate) train: Report,
    pub(crate) test: Option<Report>,
    /// Seconds of its steps.
    pub(crate) seconds: f64,
}

/// A line of `train --json`.
#[derive(Serialize)]
struct EpochLine {
    task: &'static str,
    epoch: usize,
    train_loss: f64,
    train_accuracy: Option<f64>,
    test_loss: Option<f64>,
    test_accuracy: Option<f64>,
    seconds: f64,
    samples_per_second: f64,
}

impl Display {
    /// For so many epochs of so many samples. `factor`: from a loss of the trainer to one in the unit of the data, `plain`:
    /// lines alone, no bar, no curve.
    pub(crate) fn new(epochs: usize, samples: usize, factor: f64, plain: bool) -> Self {
        let has_bar = !plain && !is_silent() && io::stderr().is_terminal();
        Display {
            bar: has_bar.then(|| bar((epochs as u64).saturating_mul(samples as u64))),
            curve: Curve::new(epochs, samples),
            drawn: (0.0, 0.0),
            epochs,
            samples,
            factor,
            shown: Instant::now(),
        }
    }

    /// Whether the bar has not moved for a while.
    pub(crate) fn is_due(&self) -> bool {
        self.bar.is_some() && self.shown.elapsed() >= PAUSE
    }

    /// Moves the bar. `epoch`: counted from 0, `start`: when its steps began, `report`: of the epoch so far.
    pub(crate) fn show(&mut self, epoch: usize, start: Instant, report: &Report) {
        let loss = report.loss * self.factor;
        self.extend(epoch * self.samples, report.samples, loss);
        let Some(bar) = &self.bar else { return };
        let rate = short(report.samples as f64 / start.elapsed().as_secs_f64());
        let (number, epochs, loss) = (epoch + 1, self.epochs, figures(loss, report.accuracy));
        bar.set_prefix(drawing(&self.curve));
        bar.set_message(format!("epoch {number}/{epochs}: {loss}, {rate} samples/s"));
        let done = (epoch as u64).saturating_mul(self.samples as u64);
        bar.set_position(done.saturating_add(report.samples as u64));
        self.shown = Instant::now();
    }

    /// Forgets what it has shown: the training begins anew. `print`: prints the reason, above the bar.
    pub(crate) fn begin_anew(&mut self, print: impl FnOnce() -> Result<()>) -> Result<()> {
        self.curve = Curve::new(self.epochs, self.samples);
        self.drawn = (0.0, 0.0);
        let Some(bar) = &self.bar else { return print() };
        bar.reset();
        bar.suspend(print)
    }

    /// Prints the line of an epoch, above the bar.
    pub(crate) fn epoch(&mut self, epoch: &Epoch, out: &mut Output) -> Result<()> {
        if self.bar.is_some() {
            let done = (epoch.number - 1) * self.samples;
            self.extend(done, self.samples, epoch.train.loss);
            self.drawn = (0.0, 0.0);
            let end = (done + self.samples) as f64;
            epoch.test.iter().for_each(|test| self.curve.test(end, test.loss));
        }
        let rate = self.samples as f64 / epoch.seconds;
        let json = EpochLine {
            task: "train",
            epoch: epoch.number,
            train_loss: epoch.train.loss,
            train_accuracy: epoch.train.accuracy,
            test_loss: epoch.test.map(|report| report.loss),
            test_accuracy: epoch.test.and_then(|report| report.accuracy),
            seconds: rounded(epoch.seconds, 6),
            samples_per_second: rate.round(),
        };
        if !out.is_json() && !is_shown(epoch.number, self.epochs) {
            return Ok(());
        }
        let text = self.line(epoch, rate);
        let mut print = || out.print(&json, &text);
        match &self.bar {
            Some(bar) => bar.suspend(print),
            None => print(),
        }
    }

    fn line(&self, epoch: &Epoch, rate: f64) -> String {
        let figures = |report: &Report| figures(report.loss, report.accuracy);
        let test = epoch
            .test
            .as_ref()
            .map_or(String::new(), |report| format!("; test {}", figures(report)));
        let (epochs, train, rate) = (self.epochs, figures(&epoch.train), short(rate));
        let width = epochs.to_string().len();
        format!("epoch {:>width$}/{epochs}: {train}{test}; {rate} samples/s", epoch.number)
    }

    /// Adds the samples since the last reading to the curve. `loss`: mean over the `count` samples of this epoch so far,
    /// before which `done` samples of other epochs were done.
    fn extend(&mut self, done: usize, count: usize, loss: f64) {
        let count = count as f64;
        let (new, sum) = (count - self.drawn.0, loss * count - self.drawn.1);
        if new > 0.0 {
            self.curve.train(done as f64 + count, new, sum / new);
            self.drawn = (count, loss * count);
        }
    }
}

/// Whether people see a line for this epoch, counted from 1: all of a short training, every eighth or so of a long one.
fn is_shown(number: usize, epochs: usize) -> bool {
    let step = if epochs <= ALL_LINES { 1 } else { epochs.div_ceil(SOME_LINES) };
    number == 1 || number == epochs || number.is_multiple_of(step)
}

fn bar(steps: u64) -> ProgressBar {
    let style = ProgressStyle::with_template("{msg} [{bar:24}] {percent}%, {eta} left{prefix}")
        .map_or_else(|_| ProgressStyle::default_bar(), |style| style.progress_chars("=> "));
    ProgressBar::new(steps).with_style(style)
}

/// The curve as it fits into the terminal, below the bar.
fn drawing(curve: &Curve) -> String {
    let (rows, columns) = Term::stderr().size();
    curve.draw(rows.into(), columns.into()).map_or(String::new(), |drawing| format!("\n{drawing}"))
}

/// The bar disappears, however training ended.
impl Drop for Display {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// "loss 0.1234, accuracy 96.38 %"
pub(crate) fn figures(loss: f64, accuracy: Option<f64>) -> String {
    let accuracy = accuracy.map_or(String::new(), |_| format!(", accuracy {}", percent(accuracy)));
    format!("loss {}{accuracy}", digits(loss))
}
