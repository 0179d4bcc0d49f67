//! What goes to standard output and standard error: JSON for programs, text for people.

use std::io::{self, BufWriter, ErrorKind::BrokenPipe, IsTerminal, Stdout, Write};

use serde_json::Value;
use travertine::{ErrorKind, Result};

/// Standard output. It outlives its reader: what is written after the reader has gone (`| head`) is dropped, so that a
/// training does not lose its model over it.
pub(crate) struct Output {
    json: bool,
    closed: bool,
    to: BufWriter<Stdout>,
}

impl Output {
    /// `json`: standard output is JSON lines only, and people's text goes to standard error.
    pub(crate) fn new(json: bool) -> Self {
        Output { json, closed: false, to: BufWriter::new(io::stdout()) }
    }

    /// Whether JSON was asked for.
    pub(crate) fn is_json(&self) -> bool {
        self.json
    }

    /// Whether there is nobody to read any more.
    pub(crate) fn is_closed(&self) -> bool {
        self.closed
    }

    /// One line, written when there are enough of them.
    pub(crate) fn line(&mut self, text: &str) -> Result<()> {
        if self.closed {
            return Ok(());
        }
        let written = writeln!(self.to, "{text}");
        self.check(written)
    }

    /// Everything written so far reaches the reader.
    pub(crate) fn flush(&mut self) -> Result<()> {
        if self.closed {
            return Ok(());
        }
        let written = self.to.flush();
        self.check(written)
    }

    /// A line of JSON, or else what people read, at once.
    pub(crate) fn tell(&mut self, json: &[(&str, Value)], people: &str) -> Result<()> {
        if self.json {
            self.line(&object(json))?
        } else {
            self.line(people)?
        }
        self.flush()
    }

    /// Text for people: to standard output, or to standard error beside JSON.
    pub(crate) fn people(&mut self, text: &str) -> Result<()> {
        if self.json {
            note(text);
            return Ok(());
        }
        self.line(text)
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

/// A line on standard error. That nobody reads it is no reason to stop.
pub(crate) fn note(text: &str) {
    let _ = writeln!(io::stderr(), "{text}");
}

/// Whether a progress bar makes sense.
pub(crate) fn has_progress() -> bool {
    io::stderr().is_terminal()
}

/// A JSON object whose keys keep their order.
pub(crate) fn object(entries: &[(&str, Value)]) -> String {
    let entry = |(key, value): &(&str, Value)| format!("{}:{value}", Value::from(*key));
    format!("{{{}}}", entries.iter().map(entry).collect::<Vec<_>>().join(","))
}

/// A number with as many digits as its own type needs: 0.1 as `f32` is 0.1, not 0.10000000149.
pub(crate) fn number(x: impl ToString) -> Value {
    x.to_string().parse::<f64>().map_or(Value::Null, Value::from)
}

/// `x` with that many decimals, so that lines stay readable.
pub(crate) fn rounded(x: f64, decimals: i32) -> Value {
    let scale = 10f64.powi(decimals);
    Value::from((x * scale).round() / scale)
}

/// "96.38 %", or nothing to tell.
pub(crate) fn percent(share: Option<f64>) -> String {
    share.map_or("-".to_owned(), |share| format!("{:.2} %", 100.0 * share))
}

/// A loss or an error with the digits that tell something.
pub(crate) fn digits(x: f64) -> String {
    if x == 0.0 || (1e-3..1e6).contains(&x) { format!("{x:.4}") } else { format!("{x:.3e}") }
}

/// 12345678 as "12.3 M".
pub(crate) fn short(x: f64) -> String {
    const UNITS: [&str; 4] = ["", " k", " M", " G"];
    let step = (0..3).take_while(|step| x >= 1e3f64.powi(step + 1)).count();
    let decimals = if step == 0 { 0 } else { 1 };
    format!("{:.decimals$}{}", x / 1e3f64.powi(step as i32), UNITS[step])
}

/// Rows of columns that line up: the first to the left, the others to the right.
pub(crate) fn table(rows: &[Vec<String>]) -> Vec<String> {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max()
    };
    let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or(0)).collect();
    let cell = |(i, cell): (usize, &String)| match (i, widths[i]) {
        (0, width) => format!("{cell:<width$}"),
        (_, width) => format!("  {cell:>width$}"),
    };
    rows.iter()
        .map(|row| row.iter().enumerate().map(cell).collect::<String>().trim_end().to_owned())
        .collect()
}
