//! `train --report DIR`: a training on one HTML page, which needs no other files.

use std::path::{Path, PathBuf};

use jiff::Timestamp;
use maud::{DOCTYPE, Markup, PreEscaped, html};
use travertine::data::Dataset;
use travertine::layer::LayerKind;
use travertine::{Model, Network, Result, Scalar};

use self::chart::{Chart, Form, Series, exact};
use crate::output::file;
use crate::output::history::EpochRecord;
use crate::output::text::percent;

mod chart;
mod importance;
mod judged;
mod picture;
mod reliability;
mod weights;

/// More curves than this cannot be distinguished.
const MOST_LAYERS: usize = 8;

/// What the page is about.
pub(crate) struct Story<'a, T: Scalar> {
    pub(crate) model: &'a Model<T>,
    /// The samples that the model is judged on, and whether they were held out.
    pub(crate) data: &'a Dataset<T>,
    pub(crate) held_out: bool,
    /// What the model answers for them: a score for each class, or values.
    pub(crate) predicted: &'a [f64],
    /// Into how many parts the samples were divided, each answered by the network that was not trained on it; nothing where the
    /// whole model answers.
    pub(crate) parts: Option<usize>,
    /// The epochs of each network.
    pub(crate) records: &'a [Vec<EpochRecord>],
    /// The name of the data.
    pub(crate) title: String,
    /// Why the training ended early.
    pub(crate) failure: Option<String>,
}

impl<T: Scalar> Story<'_, T> {
    /// Pixels in a row, where the samples are images.
    pub(super) fn image_width(&self) -> Option<usize> {
        self.data.image_size().map(|(width, _)| width)
    }

    /// "held-out", or what the model is judged on instead.
    pub(super) fn part(&self) -> &'static str {
        if self.held_out { "held-out" } else { "training" }
    }
}

/// The file in the folder of a report.
const NAME: &str = "report.html";
/// The end of the title of every page.
const TITLE_END: &str = ": travertine";

/// Refuses a folder with a page of the same name that is no report.
pub(crate) fn check(folder: &Path) -> Result<()> {
    let is_report = |head: &str| head.contains(&format!("{TITLE_END}</title>"));
    file::check_is_own(("--report", "a report"), &folder.join(NAME), is_report)
}

/// Writes a page into a folder, whole or not at all.
pub(crate) fn write<T: Scalar>(folder: &Path, story: &Story<'_, T>) -> Result<PathBuf> {
    let path = folder.join(NAME);
    file::write_whole(&path, page(story)?.into_string().as_bytes())?;
    Ok(path)
}

fn page<T: Scalar>(story: &Story<'_, T>) -> Result<Markup> {
    let judged = judged::judge(story)?;
    let title = plain(&story.title);
    Ok(html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (title) (TITLE_END) }
                style { (PreEscaped(include_str!("style.css"))) }
            }
            body {
                header { h1 { (title) } p.soft { "Trained with travertine, " (now()) } }
                @if let Some(failure) = &story.failure { p.warn { (plain(failure)) } }
                div.tiles { @for tile in tiles(story).iter().chain(&judged.tiles) { (tile.markup()) } }
                div.charts { @for chart in charts(story.records) { (chart.svg()) } }
                (judged.sections)
                (importance::section(story)?)
                (weights::section(story)?)
                (environment(story))
            }
        }
    })
}

/// A number with its name, at the top of the page.
struct Tile {
    name: String,
    value: String,
}

fn tile(name: &str, value: String) -> Tile {
    Tile { name: name.to_owned(), value }
}

impl Tile {
    fn markup(&self) -> Markup {
        html! { div.tile { b { (plain(&self.value)) } span { (plain(&self.name)) } } }
    }
}

fn tiles<T: Scalar>(story: &Story<'_, T>) -> Vec<Tile> {
    let records = || story.records.iter().flatten();
    let seconds: f64 = records().map(|record| record.seconds).sum();
    let networks = story.records.len();
    let mut tiles = vec![
        tile("epochs", records().count().to_string()),
        tile("training time", format!("{} s", exact(seconds, ""))),
        tile("parameters", story.model.parameters().to_string()),
    ];
    if networks > 1 {
        tiles.insert(0, tile("networks", networks.to_string()));
        return tiles;
    }
    let best = records().filter_map(|record| record.test_accuracy).reduce(f64::max);
    tiles.extend(best.map(|best| tile("best held-out accuracy", percent(Some(best)))));
    tiles
}

fn series(
    name: String,
    records: &[EpochRecord],
    of: &dyn Fn(&EpochRecord) -> Option<f64>,
) -> Series {
    let point = |record: &EpochRecord| Some((record.epoch as f64, of(record)?));
    Series { name, points: records.iter().filter_map(point).collect() }
}

/// A figure of an epoch: its name, its unit, and its value on the samples to train on and on those held out.
type Figure = (&'static str, &'static str, [fn(&EpochRecord) -> Option<f64>; 2]);

const FIGURES: [Figure; 2] = [
    ("Loss", "", [|record| Some(record.train_loss), |record| record.test_loss]),
    (
        "Accuracy",
        "%",
        [
            |record| record.train_accuracy.map(|share| 100.0 * share),
            |record| record.test_accuracy.map(|share| 100.0 * share),
        ],
    ),
];
const PARTS: [&str; 2] = ["train", "held-out"];

/// Of one network both parts in one chart; of several a chart a part, with a curve a network.
fn charts(all: &[Vec<EpochRecord>]) -> Vec<Chart> {
    let mut charts = Vec::new();
    for (name, unit, of) in &FIGURES {
        let parts = || PARTS.iter().zip(of);
        if let [records] = all {
            let curves = parts().map(|(part, of)| series((*part).to_owned(), records, of));
            charts.push(over_epochs(name, unit, curves.collect()));
            continue;
        }
        for (part, of) in parts() {
            let curve =
                |(i, records): (usize, &Vec<_>)| series(format!("network {}", i + 1), records, of);
            let curves = all.iter().enumerate().map(curve).collect();
            charts.push(over_epochs(&format!("{name}, {part}"), unit, curves));
        }
    }
    charts.extend(all.first().into_iter().flat_map(|records| charts_of_steps(records, all.len())));
    charts
}

/// The learning rate and the gradient norms of a network, which is the first of `networks`.
fn charts_of_steps(records: &[EpochRecord], networks: usize) -> [Chart; 2] {
    let of_first = if networks > 1 { " of network 1" } else { "" };
    let rate = vec![series("rate".to_owned(), records, &|record| Some(record.learning_rate))];
    let layers = records.iter().map(|record| record.gradient_norms.len()).max().unwrap_or(0);
    let norm = |layer: usize| {
        series(format!("layer {layer}"), records, &|record| {
            record.gradient_norms.get(layer).copied()
        })
    };
    let norms = shown(layers, MOST_LAYERS).into_iter().map(norm).collect();
    let norms_title = match layers > MOST_LAYERS {
        true => format!("Gradient norms{of_first} ({MOST_LAYERS} of {layers} layers)"),
        false => format!("Gradient norms{of_first}"),
    };
    [
        over_epochs(&format!("Learning rate{of_first}"), "", rate),
        over_epochs(&norms_title, "", norms),
    ]
}

fn over_epochs(title: &str, unit: &'static str, series: Vec<Series>) -> Chart {
    Chart { title: title.to_owned(), x: "epoch".to_owned(), unit, form: Form::Curves, series }
}

/// At most `most` of `count` things, the first and the last among them.
pub(super) fn shown(count: usize, most: usize) -> Vec<usize> {
    if count <= most {
        return (0..count).collect();
    }
    (0..most).map(|i| i * (count - 1) / (most - 1)).collect()
}

/// What a repetition of the training needs.
fn environment<T: Scalar>(story: &Story<'_, T>) -> Markup {
    let (network, info) = (story.model.network(), story.model.info());
    let device = network.engine().device();
    let system = format!("{} on {}", std::env::consts::OS, std::env::consts::ARCH);
    let members = story.model.networks().len();
    let members = if members > 1 { format!("the mean of {members} of ") } else { String::new() };
    let mut entries = vec![
        ("network".to_owned(), format!("{members}{}", describe_layers(network))),
        ("loss".to_owned(), info.loss.to_string()),
    ];
    entries.extend(info.training.iter().map(|(key, value)| (key.replace('_', " "), value.clone())));
    entries.push(("device".to_owned(), format!("{}: {}", device.name, device.description)));
    entries.extend(device.driver.iter().map(|driver| ("driver".to_owned(), driver.clone())));
    entries.push(("precision".to_owned(), T::NAME.to_owned()));
    entries.push(("travertine".to_owned(), env!("CARGO_PKG_VERSION").to_owned()));
    entries.push(("system".to_owned(), system));
    html! {
        section {
            h2 { "To repeat this training" }
            pre #command { (plain(&command())) }
            dl { @for (key, value) in &entries { dt { (plain(key)) } dd { (plain(value)) } } }
        }
    }
}

fn describe_layers<T: Scalar>(network: &Network<T>) -> String {
    let layers = network.layers().iter().map(|layer| match layer.kind() {
        LayerKind::Dense => {
            format!("{} \u{2192} {} {}", layer.inputs(), layer.outputs(), layer.activation())
        }
        LayerKind::NumberEmbedding => {
            format!("{} \u{2192} {} numbers embedded", layer.inputs(), layer.outputs())
        }
        LayerKind::CategoryEmbedding => {
            format!("{} \u{2192} {} categories embedded", layer.inputs(), layer.outputs())
        }
        LayerKind::Members | LayerKind::MemberMean => {
            format!("{} {}", layer.members(), layer.kind().name().replace('_', " "))
        }
        LayerKind::MemberDense | LayerKind::MemberHeads => format!(
            "{} {} {}",
            layer.outputs() / layer.members(),
            layer.kind().name().replace('_', " "),
            layer.activation()
        ),
        kind => format!("{} {}", kind.name().replace('_', " "), layer.activation()),
    });
    layers.collect::<Vec<_>>().join(", ")
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

/// The text without the characters that HTML forbids, and without those that change the direction of what follows. Markup
/// in it is escaped where it is written.
fn plain(text: &str) -> String {
    let plain = |c: char| match c {
        '\n' | '\t' => ' ',
        '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => '\u{fffd}',
        c if c.is_control() => '\u{fffd}',
        c => c,
    };
    text.chars().map(plain).collect()
}

#[cfg(test)]
mod tests {
    use maud::html;

    use super::plain;

    #[test]
    fn markup_becomes_text() {
        let text = plain("<b a=\"1\">&\u{0}\u{202e}\n");
        assert_eq!(html! { (text) }.0, "&lt;b a=&quot;1&quot;&gt;&amp;\u{fffd}\u{fffd} ");
    }
}
