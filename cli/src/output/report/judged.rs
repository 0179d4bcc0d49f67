//! What the model says about samples whose labels are known: numbers, confusion, the worst mistakes.

use std::collections::HashMap;

use travertine::data::Targets;
use travertine::metrics;
use travertine::{Result, Scalar};

use super::chart::{Chart, Series, exact};
use super::{Story, escaped, picture, shown};
use crate::message::counted;
use crate::output::text::percent;

/// A wider confusion matrix fits no page.
const MOST_CLASSES: usize = 30;
/// More columns than this have their names upright.
const MOST_LEVEL_NAMES: usize = 10;
const WORST: usize = 24;
const MOST_PAIRS: usize = 20;
/// More dots than this are one blot.
const MOST_DOTS: usize = 1000;
const MOST_OUTPUTS: usize = 4;

/// Parts of the page.
pub(super) struct Judged {
    /// Name and value.
    pub(super) tiles: Vec<(String, String)>,
    pub(super) sections: String,
}

pub(super) fn judge<T: Scalar>(story: &Story<'_, T>) -> Result<Judged> {
    let outputs = story.model.outputs(story.data)?;
    match story.data.targets() {
        Targets::Classes { labels, names } => {
            let columns = outputs.chunks_exact(story.model.network.outputs());
            let scores: Vec<f64> =
                columns.flat_map(|outputs| story.model.scores(outputs)).collect();
            classes(story, labels, names, &scores)
        }
        _ => values(story, &outputs),
    }
}

/// `scores`: `classes x samples`
fn classes<T: Scalar>(
    story: &Story<'_, T>,
    labels: &[u32],
    names: &[String],
    scores: &[f64],
) -> Result<Judged> {
    let said: Vec<u32> = scores.chunks_exact(names.len()).map(metrics::predicted_class).collect();
    let each = metrics::per_class(names.len(), labels, &said)?;
    let tile = |name: &str, value: String| (name.to_owned(), value);
    let accuracy = percent(Some(metrics::accuracy(labels, &said)?));
    let mut tiles = vec![
        tile(&format!("{} accuracy", story.part()), accuracy),
        tile("macro F1", exact(metrics::macro_average(&each).f1, "")),
    ];
    if !scores.iter().any(|score| score.is_nan())
        && let Some(auc) = metrics::roc_auc_one_vs_rest(names.len(), labels, scores)?
    {
        tiles.push(tile("ROC AUC", exact(auc, "")));
    }
    let table: String = names
        .iter()
        .zip(&each)
        .take(MOST_CLASSES)
        .map(|(name, scores)| {
            let shares = [scores.precision, scores.recall, scores.f1]
                .map(|share| format!("<td>{share:.3}</td>"))
                .concat();
            format!(
                "<tr><th scope=\"row\">{}</th>{shares}<td>{}</td></tr>\n",
                escaped(name),
                scores.support
            )
        })
        .collect();
    let count = counted(labels.len(), "sample", "samples");
    let confusion = match names.len() <= MOST_CLASSES {
        true => matrix(&metrics::confusion_matrix(names.len(), labels, &said)?, names),
        false => pairs(labels, &said, names),
    };
    let sections = format!(
        "<section><h2>Confusion</h2>\n<p class=\"soft\">On {count} ({}). Rows: the true class; columns: what the model \
         said. \
         Color: share of the row.</p>\n<div class=\"both\"><div class=\"wide\">{confusion}</div>\n\
         <div class=\"wide\"><table class=\"plain\"><thead><tr><th>class</th><th>precision</th><th>recall</th>\
         <th>F1</th>\
         <th>samples</th></tr></thead>\n{table}</table></div></div></section>\n{}",
        story.part(),
        worst(story, labels, names, scores, &said)
    );
    Ok(Judged { tiles, sections })
}

fn matrix(counts: &[u64], names: &[String]) -> String {
    let head: String = names
        .iter()
        .map(|name| format!("<th scope=\"col\"><span>{}</span></th>", escaped(name)))
        .collect();
    let tall = if names.len() > MOST_LEVEL_NAMES { " tall" } else { "" };
    let mut table =
        format!("<table class=\"matrix{tall}\"><thead><tr><th></th>{head}</tr></thead>\n");
    for (i, (name, row)) in names.iter().zip(counts.chunks_exact(names.len())).enumerate() {
        let all = row.iter().sum::<u64>().max(1) as f64;
        let cell = |(j, &count): (usize, &u64)| {
            let share = count as f64 / all;
            let kind = match (count, i == j) {
                (0, _) => "zero",
                (_, true) => "right",
                _ => "wrong",
            };
            let strong = if count > 0 && share > 0.5 { " strong" } else { "" };
            let tip = format!("{} taken for {}: {count}", names[i], names[j]);
            format!(
                "<td class=\"{kind}{strong}\" style=\"--v:{share:.3}\" title=\"{}\">{count}</td>",
                escaped(&tip)
            )
        };
        let cells: String = row.iter().enumerate().map(cell).collect();
        table += &format!("<tr><th scope=\"row\">{}</th>{cells}</tr>\n", escaped(name));
    }
    table + "</table>"
}

/// The most frequent mistakes, where there are too many classes for a matrix.
fn pairs(labels: &[u32], said: &[u32], names: &[String]) -> String {
    let mut counts: HashMap<(u32, u32), u64> = HashMap::new();
    labels
        .iter()
        .zip(said)
        .filter(|(t, p)| t != p)
        .for_each(|(&t, &p)| *counts.entry((t, p)).or_default() += 1);
    let mut counts: Vec<_> = counts.into_iter().collect();
    counts.sort_by_key(|&(pair, count)| (u64::MAX - count, pair));
    let name = |class: u32| escaped(&names[class as usize]);
    let row = |((t, p), count): &((u32, u32), u64)| {
        format!(
            "<tr><th scope=\"row\">{}</th><th>{}</th><td>{count}</td></tr>\n",
            name(*t),
            name(*p)
        )
    };
    let rows: String = counts.iter().take(MOST_PAIRS).map(row).collect();
    format!(
        "<table class=\"plain\"><thead><tr><th>is</th><th>taken for</th><th>times</th></tr></thead>\n{rows}</table>"
    )
}

/// The mistakes whose true class seemed least likely: those with the highest cross-entropy.
fn worst<T: Scalar>(
    story: &Story<'_, T>,
    labels: &[u32],
    names: &[String],
    scores: &[f64],
    said: &[u32],
) -> String {
    let score = |sample: usize, class: u32| scores[sample * names.len() + class as usize];
    let mut wrong: Vec<usize> = (0..labels.len()).filter(|&i| labels[i] != said[i]).collect();
    wrong.sort_by(|&a, &b| score(a, labels[a]).total_cmp(&score(b, labels[b])));
    if wrong.is_empty() {
        return "<section><h2>Mistakes</h2>\n<p>None.</p></section>\n".to_owned();
    }
    let share = |sample: usize, class: u32| match story.model.has_probabilities() {
        true => percent(Some(score(sample, class))),
        false => exact(score(sample, class), ""),
    };
    let entry = |&i: &usize| {
        let image = story.image_width().map_or(String::new(), |width| {
            let tip = format!("sample {i}: {}", names[labels[i] as usize]);
            format!("<img alt=\"{}\" src=\"{}\">", escaped(&tip), sample_picture(story, i, width))
        });
        let (truth, said) = (labels[i], said[i]);
        let [is, taken] = [truth, said].map(|class| escaped(&names[class as usize]));
        format!(
            "<li>{image}is <strong>{is}</strong> {}<br>said <b>{taken}</b> {}<br>\
             <span class=\"soft\">sample {i}</span></li>\n",
            share(i, truth),
            share(i, said)
        )
    };
    let entries: String = wrong.iter().take(WORST).map(entry).collect();
    let kind = if story.image_width().is_some() { "" } else { " texts" };
    let all = counted(wrong.len(), "mistake", "mistakes");
    format!(
        "<section id=\"worst\"><h2>Worst mistakes</h2>\n\
         <p class=\"soft\">{} of {all}: those whose true class seemed least likely.</p>\n\
         <ul class=\"pictures{kind}\">\n{entries}</ul></section>\n",
        wrong.len().min(WORST)
    )
}

fn sample_picture<T: Scalar>(story: &Story<'_, T>, i: usize, width: usize) -> String {
    let values: Vec<f64> =
        story.data.sample(i).unwrap_or_default().iter().map(|x| x.to_f64()).collect();
    let low = values.iter().copied().fold(0.0, f64::min);
    let high = values.iter().copied().fold(f64::MIN_POSITIVE, f64::max);
    picture::ink(width, &values.iter().map(|x| (x - low) / (high - low)).collect::<Vec<_>>())
}

fn values<T: Scalar>(story: &Story<'_, T>, outputs: &[T]) -> Result<Judged> {
    let numbers = |values: &[T]| values.iter().map(|x| x.to_f64()).collect::<Vec<_>>();
    let (truth, said) = (numbers(&story.data.target_columns()?), numbers(outputs));
    let rows = story.data.outputs();
    let tile = |name: &str, value: String| (format!("{} {name}", story.part()), value);
    let mut tiles = vec![
        tile("RMSE", exact(metrics::root_mean_squared_error(&truth, &said)?, "")),
        tile("MAE", exact(metrics::mean_absolute_error(&truth, &said)?, "")),
    ];
    tiles.extend(metrics::r2(rows, &truth, &said)?.map(|r2| tile("R2", exact(r2, ""))));
    let Targets::Values { names, .. } = story.data.targets() else {
        return Ok(Judged { tiles, sections: String::new() });
    };
    let samples = shown(story.data.samples(), MOST_DOTS);
    let chart = |(row, name): (usize, &String)| {
        let point = |&i: &usize| (truth[i * rows + row], said[i * rows + row]);
        let series =
            vec![Series { name: name.clone(), points: samples.iter().map(point).collect() }];
        let (title, x) = (format!("{name}: said over true"), format!("true {name}"));
        Chart { title, x, unit: "", scattered: true, series }.svg()
    };
    let charts: String = names.iter().enumerate().take(MOST_OUTPUTS).map(chart).collect();
    let sections = format!(
        "<section><h2>Predictions</h2>\n<p class=\"soft\">{} of {} ({}). On the dashed line, \
         what was said is true.</p>\n\
         <div class=\"charts\">{charts}</div></section>\n",
        samples.len(),
        counted(story.data.samples(), "sample", "samples"),
        story.part()
    );
    Ok(Judged { tiles, sections })
}
