//! `train --report DIR`: one HTML page that needs nothing else, on how a training went.

use std::path::{Path, PathBuf};

use jiff::Timestamp;
use travertine::data::Dataset;
use travertine::layer::Kind;
use travertine::{ErrorKind, Result, Scalar};

use self::chart::{Chart, Series, exact};
use crate::model::Model;
use crate::output::file;
use crate::output::history::EpochRecord;
use crate::output::text::percent;

mod chart;
mod judged;
mod picture;
mod weights;

/// More curves than this are no longer told apart.
const MOST_LAYERS: usize = 8;

/// What the page tells of.
pub(crate) struct Story<'a, T: Scalar> {
    pub(crate) model: &'a Model<T>,
    /// What the model is judged on, and whether it was held out.
    pub(crate) data: &'a Dataset<T>,
    pub(crate) held_out: bool,
    pub(crate) records: &'a [EpochRecord],
    /// What was learned, in words.
    pub(crate) title: String,
    /// Why the training ended early.
    pub(crate) failure: Option<String>,
}

impl<T: Scalar> Story<'_, T> {
    /// Pixels in a row of the images that the samples are.
    pub(super) fn image_width(&self) -> Option<usize> {
        self.data.image_size().map(|(width, _)| width)
    }

    /// "held-out", or what the model is judged on instead.
    pub(super) fn part(&self) -> &'static str {
        if self.held_out { "held-out" } else { "training" }
    }
}

/// Writes `report.html` into a folder, whole or not at all.
pub(crate) fn write<T: Scalar>(folder: &Path, story: &Story<'_, T>) -> Result<PathBuf> {
    let path = folder.join("report.html");
    let written = file::write_whole(&path, page(story)?.as_bytes());
    written.map_err(|source| {
        let path = path.clone();
        ErrorKind::Io { action: "write the report to", path, source }
    })?;
    Ok(path)
}

fn page<T: Scalar>(story: &Story<'_, T>) -> Result<String> {
    let judged = judged::judge(story)?;
    let failure = story
        .failure
        .as_ref()
        .map_or(String::new(), |why| format!("<p class=\"warn\">{}</p>\n", escaped(why)));
    let title = escaped(&story.title);
    let tiles: String = tiles(story)
        .into_iter()
        .chain(judged.tiles)
        .map(|(name, value)| {
            format!(
                "<div class=\"tile\"><b>{}</b><span>{}</span></div>\n",
                escaped(&value),
                escaped(&name)
            )
        })
        .collect();
    let charts: String = charts(story.records).into_iter().map(Chart::svg).collect();
    Ok([
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n".to_owned(),
        "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n".to_owned(),
        format!("<title>{title}: travertine</title>\n<style>\n{}</style></head>\n<body>\n", include_str!("style.css")),
        format!("<header><h1>{title}</h1>\n<p class=\"soft\">Trained with travertine, {}</p></header>\n", now()),
        failure,
        format!("<div class=\"tiles\">\n{tiles}</div>\n<div class=\"charts\">\n{charts}</div>\n"),
        judged.sections,
        weights::section(story)?,
        environment(story),
        "</body></html>\n".to_owned(),
    ]
    .concat())
}

fn tiles<T: Scalar>(story: &Story<'_, T>) -> Vec<(String, String)> {
    let rows = story.records;
    let parameters = story.model.network.parameters().to_string();
    let seconds: f64 = rows.iter().map(|row| row.seconds).sum();
    let best = rows.iter().filter_map(|row| row.test_accuracy).reduce(f64::max);
    let tile = |name: &str, value: String| (name.to_owned(), value);
    let mut tiles = vec![
        tile("epochs", rows.len().to_string()),
        tile("training time", format!("{} s", exact(seconds, ""))),
        tile("parameters", parameters),
    ];
    tiles.extend(best.map(|best| tile("best held-out accuracy", percent(Some(best)))));
    tiles
}

fn charts(rows: &[EpochRecord]) -> Vec<Chart> {
    let over_epochs = |name: String, of: &dyn Fn(&EpochRecord) -> Option<f64>| {
        let points = rows.iter().filter_map(|row| Some((row.epoch as f64, of(row)?))).collect();
        Series { name, points }
    };
    let chart = |title: &str, unit, series| Chart {
        title: title.to_owned(),
        x: "epoch".to_owned(),
        unit,
        scattered: false,
        series,
    };
    let named =
        |name: &str, of: &dyn Fn(&EpochRecord) -> Option<f64>| over_epochs(name.to_owned(), of);
    let share = |x: Option<f64>| x.map(|x| 100.0 * x);
    let loss =
        vec![named("train", &|row| Some(row.train_loss)), named("held-out", &|row| row.test_loss)];
    let accuracy = vec![
        named("train", &|row| share(row.train_accuracy)),
        named("held-out", &|row| share(row.test_accuracy)),
    ];
    let layers = rows.iter().map(|row| row.gradient_norms.len()).max().unwrap_or(0);
    let norm = |layer: usize| {
        over_epochs(format!("layer {layer}"), &|row| row.gradient_norms.get(layer).copied())
    };
    let norms = shown(layers, MOST_LAYERS).into_iter().map(norm).collect();
    let norms_title = if layers > MOST_LAYERS {
        format!("Gradient norms ({MOST_LAYERS} of {layers} layers)")
    } else {
        "Gradient norms".to_owned()
    };
    vec![
        chart("Loss", "", loss),
        chart("Accuracy", "%", accuracy),
        chart("Learning rate", "", vec![named("rate", &|row| Some(row.learning_rate))]),
        chart(&norms_title, "", norms),
    ]
}

/// At most `most` of `count` things, the first and the last among them.
pub(super) fn shown(count: usize, most: usize) -> Vec<usize> {
    if count <= most {
        return (0..count).collect();
    }
    (0..most).map(|i| i * (count - 1) / (most - 1)).collect()
}

/// What somebody needs who wants the same again.
fn environment<T: Scalar>(story: &Story<'_, T>) -> String {
    let (network, info) = (&story.model.network, &story.model.info);
    let device = network.engine().device();
    let layers: Vec<String> = network
        .layers()
        .iter()
        .map(|layer| match layer.kind() {
            Kind::Dense => {
                format!("{} \u{2192} {} {}", layer.inputs(), layer.outputs(), layer.activation())
            }
            kind => format!("{} {}", kind.name().replace('_', " "), layer.activation()),
        })
        .collect();
    let mut facts =
        vec![("network".to_owned(), layers.join(", ")), ("loss".to_owned(), info.loss.to_string())];
    facts.extend(info.training.iter().map(|(key, value)| (key.replace('_', " "), value.clone())));
    facts.push(("device".to_owned(), format!("{}: {}", device.name, device.description)));
    facts.extend(device.driver.iter().map(|driver| ("driver".to_owned(), driver.clone())));
    facts.push(("precision".to_owned(), T::NAME.to_owned()));
    facts.push(("travertine".to_owned(), env!("CARGO_PKG_VERSION").to_owned()));
    facts.push((
        "system".to_owned(),
        format!("{} on {}", std::env::consts::OS, std::env::consts::ARCH),
    ));
    let facts: String = facts
        .iter()
        .map(|(key, value)| format!("<dt>{}</dt><dd>{}</dd>\n", escaped(key), escaped(value)))
        .collect();
    format!(
        "<section><h2>The same again</h2>\n<pre id=\"command\">{}</pre>\n<dl>\n{facts}</dl></section>\n",
        escaped(&command())
    )
}

/// The command line, as a shell reads it.
fn command() -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:,=+%@".contains(c);
    let quoted = |word: String| {
        if !word.is_empty() && word.chars().all(plain) {
            word
        } else {
            format!("'{}'", word.replace('\'', "'\\''"))
        }
    };
    let words = std::env::args_os().map(|word| word.to_string_lossy().into_owned());
    let program =
        |(i, word): (usize, String)| if i == 0 { "travertine".to_owned() } else { quoted(word) };
    words.enumerate().map(program).collect::<Vec<_>>().join(" ")
}

/// "2026-11-23 19:23 UTC"
fn now() -> String {
    Timestamp::now().strftime("%Y-%m-%d %H:%M UTC").to_string()
}

/// Text that is no markup, whoever wrote it.
pub(super) fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped += "&amp;",
            '<' => escaped += "&lt;",
            '>' => escaped += "&gt;",
            '"' => escaped += "&quot;",
            '\'' => escaped += "&#39;",
            // Characters that HTML forbids, and those that turn the direction of what follows.
            '\n' | '\t' => escaped.push(' '),
            c if c.is_control()
                || ('\u{202a}'..='\u{202e}').contains(&c)
                || ('\u{2066}'..='\u{2069}').contains(&c) =>
            {
                escaped.push('\u{fffd}');
            }
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::escaped;

    #[test]
    fn markup_becomes_text() {
        assert_eq!(
            escaped("<b a='1'>&\u{0}\u{202e}"),
            "&lt;b a=&#39;1&#39;&gt;&amp;\u{fffd}\u{fffd}"
        );
    }
}
