//! How far a training is: a bar on a terminal, a line an epoch everywhere.

use std::time::{Duration, Instant};

use console::Term;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};
use travertine::{Progress, Report, Result, Scalar};

use crate::curve::Curve;
use crate::output::{Output, digits, has_progress, percent, rounded, short};

/// Between two looks at loss and accuracy, which wait for the device.
const PAUSE: Duration = Duration::from_millis(100);

/// Shows a training.
pub(crate) struct Display {
    bar: Option<ProgressBar>,
    curve: Curve,
    /// Samples of this epoch that the curve has, and the sum of their losses.
    drawn: (f64, f64),
    epochs: usize,
    samples: usize,
    /// What a loss is multiplied by to be in the unit of the data.
    factor: f64,
    shown: Instant,
}

/// What an epoch was like.
pub(crate) struct Epoch {
    /// Counted from 1.
    pub(crate) number: usize,
    pub(crate) train: Report,
    pub(crate) test: Option<Report>,
    /// Seconds of its steps.
    pub(crate) seconds: f64,
}

impl Display {
    /// For so many epochs of so many samples; `factor`: see [`Display::factor`]; `plain`: lines alone, no bar, no
    /// curve.
    pub(crate) fn new(epochs: usize, samples: usize, factor: f64, plain: bool) -> Self {
        let bar = (!plain && has_progress()).then(|| {
            let style =
                ProgressStyle::with_template("{msg} [{bar:24}] {percent}%, {eta} left{prefix}")
                    .map_or_else(
                        |_| ProgressStyle::default_bar(),
                        |style| style.progress_chars("=> "),
                    );
            ProgressBar::new((epochs as u64).saturating_mul(samples as u64)).with_style(style)
        });
        let curve = Curve::new(epochs, samples);
        Display { bar, curve, drawn: (0.0, 0.0), epochs, samples, factor, shown: Instant::now() }
    }

    /// What a loss is multiplied by to be in the unit of the data.
    pub(crate) fn factor(&self) -> f64 {
        self.factor
    }

    /// After a step of epoch `epoch` (counted from 0), which began at `start`.
    pub(crate) fn step<T: Scalar>(
        &mut self,
        epoch: usize,
        start: Instant,
        progress: &Progress<'_, T>,
    ) -> Result<()> {
        if self.is_due() {
            self.show(epoch, start, &progress.report()?);
        }
        Ok(())
    }

    /// Whether there is a bar that nobody has looked at for a while.
    pub(crate) fn is_due(&self) -> bool {
        self.bar.is_some() && self.shown.elapsed() >= PAUSE
    }

    /// As [`Display::step`]; `report`: of the epoch so far.
    pub(crate) fn show(&mut self, epoch: usize, start: Instant, report: &Report) {
        let Some(bar) = &self.bar else { return };
        let rate = report.samples as f64 / start.elapsed().as_secs_f64();
        let accuracy = report
            .accuracy
            .map_or(String::new(), |_| format!(", accuracy {}", percent(report.accuracy)));
        let (number, epochs, loss) = (epoch + 1, self.epochs, digits(report.loss * self.factor));
        let done = (epoch * self.samples) as f64;
        extend(
            &mut self.curve,
            &mut self.drawn,
            done,
            report.samples as f64,
            report.loss * self.factor,
        );
        bar.set_prefix(drawing(&self.curve));
        bar.set_message(format!(
            "epoch {number}/{epochs}: loss {loss}{accuracy}, {} samples/s",
            short(rate)
        ));
        bar.set_position(
            (epoch as u64)
                .saturating_mul(self.samples as u64)
                .saturating_add(report.samples as u64),
        );
        self.shown = Instant::now();
    }

    /// After an epoch: its line, above the bar.
    pub(crate) fn epoch(&mut self, epoch: &Epoch, out: &mut Output) -> Result<()> {
        if self.bar.is_some() {
            let done = (epoch.number - 1) as f64 * self.samples as f64;
            extend(&mut self.curve, &mut self.drawn, done, self.samples as f64, epoch.train.loss);
            self.drawn = (0.0, 0.0);
            let end = done + self.samples as f64;
            epoch.test.iter().for_each(|test| self.curve.test(end, test.loss));
        }
        let rate = self.samples as f64 / epoch.seconds;
        let json = [
            ("task", json!("train")),
            ("epoch", json!(epoch.number)),
            ("train_loss", json!(epoch.train.loss)),
            ("train_accuracy", json!(epoch.train.accuracy)),
            ("test_loss", json!(epoch.test.map(|report| report.loss))),
            ("test_accuracy", json!(epoch.test.and_then(|report| report.accuracy))),
            ("seconds", rounded(epoch.seconds, 6)),
            ("samples_per_second", Value::from(rate.round())),
        ];
        let test = epoch.test.map_or(String::new(), |report| {
            format!("; test {}", figures(report.loss, report.accuracy))
        });
        let width = self.epochs.to_string().len();
        let text = format!(
            "epoch {:>width$}/{}: {}{test}; {} samples/s",
            epoch.number,
            self.epochs,
            figures(epoch.train.loss, epoch.train.accuracy),
            short(rate)
        );
        let mut tell = || out.tell(&json, &text);
        match &self.bar {
            Some(bar) => bar.suspend(tell),
            None => tell(),
        }
    }
}

/// What the samples since the last look add to the curve; `loss`: mean over the `count` of this epoch, before which
/// `done` were done in others.
fn extend(curve: &mut Curve, drawn: &mut (f64, f64), done: f64, count: f64, loss: f64) {
    let (new, sum) = (count - drawn.0, loss * count - drawn.1);
    if new > 0.0 {
        curve.train(done + count, new, sum / new);
        *drawn = (count, loss * count);
    }
}

/// The curve as it fits into the terminal, below the bar.
fn drawing(curve: &Curve) -> String {
    let (rows, columns) = Term::stderr().size();
    curve.draw(rows.into(), columns.into()).map_or(String::new(), |drawing| format!("\n{drawing}"))
}

/// The bar goes, whatever the end of training was.
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
