//! Counters for Prometheus, and their text.
//!
//! <https://prometheus.io/docs/instrumenting/exposition_formats/>

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Upper bounds of the latency histogram, in seconds.
const SECONDS: &[f64] = &[
    0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5,
    5.0, 10.0,
];
/// Upper bounds of the histogram of rows that were computed at once.
const ROWS: &[f64] = &[1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0];

/// How often values fell below each bound.
pub(crate) struct Histogram {
    bounds: &'static [f64],
    /// One more than bounds.
    counts: Vec<AtomicU64>,
    /// In millionths.
    sum: AtomicU64,
}

impl Histogram {
    fn new(bounds: &'static [f64]) -> Self {
        let counts = (0..=bounds.len()).map(|_| AtomicU64::new(0)).collect();
        Histogram { bounds, counts, sum: AtomicU64::new(0) }
    }

    fn add(&self, value: f64) {
        let place = self.bounds.partition_point(|&bound| bound < value);
        self.counts[place].fetch_add(1, Relaxed);
        self.sum.fetch_add((value * 1e6) as u64, Relaxed);
    }

    /// `labels`: `name="value"`, between commas.
    fn write(&self, name: &str, labels: &str, text: &mut String) {
        let mut count = 0;
        let bounds = self.bounds.iter().map(f64::to_string).chain(["+Inf".to_owned()]);
        for (bound, counted) in bounds.zip(&self.counts) {
            count += counted.load(Relaxed);
            line(text, &format!("{name}_bucket"), &format!("{labels},le=\"{bound}\""), count);
        }
        line(text, &format!("{name}_sum"), labels, self.sum.load(Relaxed) as f64 / 1e6);
        line(text, &format!("{name}_count"), labels, count);
    }
}

/// What is counted for a model.
pub(crate) struct ModelMetrics {
    pub(crate) rows: AtomicU64,
    /// Requests that wait or are computed.
    pub(crate) queue: AtomicI64,
    pub(crate) version: AtomicU64,
    pub(crate) reloads: AtomicU64,
    pub(crate) failed_reloads: AtomicU64,
    batches: Histogram,
}

impl ModelMetrics {
    pub(crate) fn new() -> Self {
        ModelMetrics {
            rows: AtomicU64::new(0),
            queue: AtomicI64::new(0),
            version: AtomicU64::new(0),
            reloads: AtomicU64::new(0),
            failed_reloads: AtomicU64::new(0),
            batches: Histogram::new(ROWS),
        }
    }

    /// Counts rows that were computed at once.
    pub(crate) fn add_batch(&self, rows: usize) {
        self.rows.fetch_add(rows as u64, Relaxed);
        self.batches.add(rows as f64);
    }
}

/// What is counted for all models.
pub(crate) struct Metrics {
    /// By route and status.
    requests: Mutex<BTreeMap<(String, u16), u64>>,
    seconds: Histogram,
    pub(crate) connections: AtomicI64,
    pub(crate) refused_connections: AtomicU64,
}

impl Metrics {
    pub(crate) fn new() -> Self {
        Metrics {
            requests: Mutex::new(BTreeMap::new()),
            seconds: Histogram::new(SECONDS),
            connections: AtomicI64::new(0),
            refused_connections: AtomicU64::new(0),
        }
    }

    /// Counts an answer. `route`: its pattern, so that paths which clients invent are one.
    pub(crate) fn add(&self, route: &str, status: u16, predicts: bool, taken: Duration) {
        if predicts {
            self.seconds.add(taken.as_secs_f64());
        }
        let mut requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        // A key is allocated for the first request alone.
        match requests.iter_mut().find(|((known, code), _)| known == route && *code == status) {
            Some((_, count)) => *count += 1,
            None => drop(requests.insert((route.to_owned(), status), 1)),
        }
    }

    /// All counters as Prometheus reads them; `models`: their names.
    pub(crate) fn text<'m>(
        &self,
        models: impl Iterator<Item = (&'m str, &'m ModelMetrics)>,
    ) -> String {
        let mut text = String::new();
        let requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner).clone();
        head(&mut text, "requests_total", "counter", "Requests that were answered.");
        for ((route, status), count) in &requests {
            let labels = format!("route=\"{}\",status=\"{status}\"", escaped(route));
            line(&mut text, "requests_total", &labels, count);
        }
        head(&mut text, "errors_total", "counter", "Requests that were refused.");
        let mut errors = BTreeMap::new();
        for ((route, _), count) in requests.iter().filter(|((_, status), _)| *status >= 400) {
            *errors.entry(route).or_insert(0) += count;
        }
        for (route, count) in errors {
            line(&mut text, "errors_total", &format!("route=\"{}\"", escaped(route)), count);
        }
        let help = "Time from the head of a prediction's request to its answer.";
        head(&mut text, "request_seconds", "histogram", help);
        self.seconds.write("request_seconds", "of=\"predictions\"", &mut text);
        head(&mut text, "connections", "gauge", "Open connections.");
        line(&mut text, "connections", "", self.connections.load(Relaxed));
        head(&mut text, "refused_connections_total", "counter", "Connections beyond the limit.");
        let refused = self.refused_connections.load(Relaxed);
        line(&mut text, "refused_connections_total", "", refused);
        let models: Vec<_> =
            models.map(|(name, model)| (format!("model=\"{}\"", escaped(name)), model)).collect();
        let mut series =
            |name: &str, kind: &str, help: &str, value: &dyn Fn(&ModelMetrics) -> i64| {
                head(&mut text, name, kind, help);
                models.iter().for_each(|(label, model)| line(&mut text, name, label, value(model)));
            };
        let number = |count: &AtomicU64| count.load(Relaxed) as i64;
        series("rows_total", "counter", "Rows that were computed.", &|m| number(&m.rows));
        let help = "Requests that wait for the network or are computed.";
        series("queue_requests", "gauge", help, &|m| m.queue.load(Relaxed));
        let help = "The version that answers, counted from 1 since the start.";
        series("model_version", "gauge", help, &|m| number(&m.version));
        let help = "New versions that were loaded.";
        series("reloads_total", "counter", help, &|m| number(&m.reloads));
        let help = "New versions that could not be loaded; the old one stayed.";
        series("reload_errors_total", "counter", help, &|m| number(&m.failed_reloads));
        head(&mut text, "batch_rows", "histogram", "Rows that were computed at once.");
        for (label, model) in &models {
            model.batches.write("batch_rows", label, &mut text);
        }
        text
    }
}

fn head(text: &mut String, name: &str, kind: &str, help: &str) {
    // Writing to a text does not fail.
    let _ = writeln!(text, "# HELP travertine_{name} {help}\n# TYPE travertine_{name} {kind}");
}

fn line(text: &mut String, name: &str, labels: &str, value: impl std::fmt::Display) {
    let labels = if labels.is_empty() { String::new() } else { format!("{{{labels}}}") };
    let _ = writeln!(text, "travertine_{name}{labels} {value}");
}

/// A label's value.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}
