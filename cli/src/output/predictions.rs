//! Predictions as text, JSON lines, or a CSV or Parquet file.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use serde::Serialize;
use travertine::{ErrorKind, Model, Prediction, Result, Scalar};

use crate::message::wrong;
use crate::output::columns::{self, Columns};
use crate::output::file;
use crate::output::{Output, shortest};

/// Where predictions go.
pub(crate) enum Target<'a> {
    Text,
    JsonLines,
    /// A CSV or Parquet file, written whole.
    File(&'a Path),
}

/// Writes predictions, one after the other.
pub(crate) struct PredictionOutput<'a> {
    output: Output,
    /// The file, and what will be in it.
    file: Option<(&'a Path, Content)>,
    classes: Vec<String>,
    /// The names of the values, if there are several.
    targets: Vec<String>,
    probabilities: bool,
}

/// Endings of files of other kinds.
const OTHERS: &[&str] =
    &["json", "jsonl", "ndjson", "xls", "xlsx", "ods", "arrow", "feather", "npy", "npz"];

/// What will be in a file.
enum Content {
    Csv(Box<csv::Writer<Vec<u8>>>),
    Parquet(Columns),
}

impl Content {
    /// `names`: of the columns, of which the first `texts` are texts.
    fn new(path: &Path, names: Vec<String>, texts: usize) -> Result<Self> {
        if path.extension().is_some_and(|end| end.eq_ignore_ascii_case("parquet")) {
            return match columns::refusal() {
                Some(reason) => Err(wrong("--out", reason)),
                None => Ok(Content::Parquet(Columns::new(names, texts))),
            };
        }
        if path.extension().is_some_and(|end| OTHERS.iter().any(|o| end.eq_ignore_ascii_case(o))) {
            let reason = format!(
                "writes CSV, or Parquet by the ending .parquet, not {}; --json prints JSON lines",
                path.display()
            );
            return Err(wrong("--out", reason));
        }
        let mut writer = csv::Writer::from_writer(Vec::new());
        writer.write_record(names).map_err(|error| failed(path, io::Error::other(error)))?;
        Ok(Content::Csv(Box::new(writer)))
    }

    fn into_bytes(self) -> io::Result<Vec<u8>> {
        match self {
            Content::Csv(writer) => writer.into_inner().map_err(|error| error.into_error()),
            Content::Parquet(columns) => columns.into_parquet(),
        }
    }
}

/// A line of `predict --json`.
#[derive(Serialize)]
struct Line<'p> {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'p str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    class: Option<&'p str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    probability: Option<Option<f64>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    probabilities: Option<BTreeMap<&'p str, f64>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    output: Option<Vec<f64>>,
    /// The names of several outputs.
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    targets: &'p [String],
}

impl<'p> Line<'p> {
    /// `classes`: their names, if all probabilities are printed.
    fn new<T: Scalar>(
        prediction: &Prediction<'p, T>,
        id: Option<&'p str>,
        classes: Option<&'p [String]>,
        targets: &'p [String],
    ) -> Self {
        let class = prediction.class();
        let shares = prediction.probabilities().iter().copied();
        let values = || prediction.value_texts().iter().map(shortest).collect();
        Line {
            id,
            class,
            probability: class.map(|_| prediction.probability()),
            probabilities: classes
                .map(|names| names.iter().map(String::as_str).zip(shares).collect()),
            output: class.is_none().then(values),
            targets,
        }
    }
}

impl<'a> PredictionOutput<'a> {
    /// `id`: the name of the column that is carried along.
    pub(crate) fn new<T: Scalar>(
        model: &Model<T>,
        target: Target<'a>,
        probabilities: bool,
        id: Option<&str>,
    ) -> Result<Self> {
        let targets = model.value_names();
        let mut output = PredictionOutput {
            output: Output::new(matches!(target, Target::JsonLines)),
            file: None,
            classes: model.classes().to_vec(),
            targets: if targets.len() > 1 { targets } else { Vec::new() },
            probabilities,
        };
        if let Target::File(path) = target {
            file::check("--out", path, 0)?;
            let texts = usize::from(id.is_some()) + usize::from(!output.classes.is_empty());
            output.file = Some((path, Content::new(path, output.head(model, id), texts)?));
        }
        Ok(output)
    }

    /// The names of the columns.
    fn head<T: Scalar>(&self, model: &Model<T>, id: Option<&str>) -> Vec<String> {
        let mut names: Vec<String> = id.map(str::to_owned).into_iter().collect();
        if self.classes.is_empty() {
            names.extend(model.value_names());
            return names;
        }
        names.push("class".to_owned());
        if model.gives_probabilities() {
            names.push("probability".to_owned());
        }
        if self.probabilities {
            names.extend(self.classes.iter().map(|class| format!("probability of {class}")));
        }
        names
    }

    /// Whether the reader of standard output has gone.
    pub(crate) fn is_closed(&self) -> bool {
        self.output.is_closed()
    }

    /// Writes a prediction; `id`: what is carried along.
    pub(crate) fn write<T: Scalar>(
        &mut self,
        prediction: &Prediction<'_, T>,
        id: Option<&str>,
    ) -> Result<()> {
        if self.output.is_json() {
            let names = self.probabilities.then_some(&*self.classes);
            return self.output.json_line(&Line::new(prediction, id, names, &self.targets));
        }
        if let Some((_, Content::Parquet(columns))) = &mut self.file {
            columns.push(prediction, id);
            return Ok(());
        }
        let fields = self.fields(prediction, id);
        match &mut self.file {
            Some((path, Content::Csv(writer))) => {
                writer.write_record(&fields).map_err(|error| failed(path, io::Error::other(error)))
            }
            _ => {
                let fields: Vec<String> =
                    self.named(fields).iter().map(|f| on_one_line(f)).collect();
                self.output.line(&fields.join("\t"))
            }
        }
    }

    /// Fields of standard output, where several values have their names.
    fn named(&self, mut fields: Vec<String>) -> Vec<String> {
        let ids = fields.len().saturating_sub(self.targets.len());
        for (field, name) in fields[ids..].iter_mut().zip(&self.targets) {
            *field = format!("{name}: {field}");
        }
        fields
    }

    fn fields<T: Scalar>(&self, prediction: &Prediction<'_, T>, id: Option<&str>) -> Vec<String> {
        let mut fields: Vec<String> = id.map(str::to_owned).into_iter().collect();
        let Some(class) = prediction.class() else {
            fields.extend(prediction.value_texts());
            return fields;
        };
        fields.push(class.to_owned());
        fields.extend(prediction.probability().map(share));
        if self.probabilities {
            fields.extend(prediction.probabilities().iter().copied().map(share));
        }
        fields
    }

    /// Passes all lines on to the reader of standard output.
    pub(crate) fn flush(&mut self) -> Result<()> {
        self.output.flush()
    }

    /// Writes the file, or the last lines.
    pub(crate) fn finish(mut self) -> Result<()> {
        let Some((path, content)) = self.file.take() else { return self.output.flush() };
        let content = content.into_bytes().map_err(|source| failed(path, source))?;
        file::write_whole(path, &content)
    }
}

/// A text whose line ends and tabs are written as escapes, so that a sample has one line.
fn on_one_line(text: &str) -> String {
    let shown = |c: char| match c.is_control() {
        true => c.escape_default().to_string(),
        false => c.to_string(),
    };
    text.chars().map(shown).collect()
}

/// A probability with four decimals, as `{:.4}` has them. Where the number is not near the middle of two texts, whole numbers
/// give it in a third of the time.
fn share(x: f64) -> String {
    const UNSURE: f64 = 1e-6;
    let scaled = x * 1e4;
    let is_sure = (scaled.fract() - 0.5).abs() > UNSURE;
    if !is_sure || x.is_sign_negative() || x.is_nan() || x > 1.0 {
        return format!("{x:.4}");
    }
    let rounded = scaled.round() as u32;
    format!("{}.{:04}", rounded / 10_000, rounded % 10_000)
}

fn failed(path: &Path, source: io::Error) -> travertine::Error {
    ErrorKind::Io { action: "write", path: path.to_owned(), source }.into()
}

#[cfg(test)]
mod tests {
    use super::share;

    #[test]
    fn shares_are_those_of_the_standard_library() {
        let middles = (0..10_000).map(|i| (f64::from(i) + 0.5) / 1e4);
        let others = (0..100_000).map(|i| f64::from(i) / 99_999.0);
        let singles = (0..100_000).map(|i| f64::from(i as f32 / 99_991.0));
        for x in middles.chain(others).chain(singles).chain([0.0, -0.0, 1.0, f64::NAN, 2.5]) {
            assert_eq!(share(x), format!("{x:.4}"));
        }
    }
}
