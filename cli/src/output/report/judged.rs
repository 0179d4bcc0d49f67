//! The predictions for samples whose labels are known: measures, confusion, the worst mistakes.

use std::collections::HashMap;

use maud::{Markup, html};
use travertine::data::Targets;
use travertine::metrics::{self, ClassScores};
use travertine::{Quantiles, Result, Scalar};

use super::chart::{Chart, Form, Guide, Series, exact};
use super::{Story, Tile, picture, plain, reliability, shown, tile};
use crate::message::counted;
use crate::output::quantiles::QuantileFigures;
use crate::output::text::percent;

/// Classes of the widest confusion matrix that fits a page.
const MOST_CLASSES: usize = 30;
/// More columns than this have vertical names.
const MOST_LEVEL_NAMES: usize = 10;
const WORST: usize = 24;
const MOST_PAIRS: usize = 20;
/// More dots than this merge.
const MOST_DOTS: usize = 1000;
const MOST_OUTPUTS: usize = 4;

/// Parts of the page.
pub(super) struct Judged {
    pub(super) tiles: Vec<Tile>,
    pub(super) sections: Markup,
}

pub(super) fn judge<T: Scalar>(story: &Story<'_, T>) -> Result<Judged> {
    match story.data.targets() {
        Targets::Classes { labels, names } => {
            let scores = story.predicted;
            let chunks = scores.chunks_exact(names.len());
            let predicted = chunks.map(metrics::predicted_class).collect();
            Classes { labels, names, scores, predicted }.judge(story)
        }
        _ => values(story, story.predicted),
    }
}

/// True and predicted classes.
struct Classes<'a> {
    labels: &'a [u32],
    names: &'a [String],
    /// `classes x samples`
    scores: &'a [f64],
    predicted: Vec<u32>,
}

impl Classes<'_> {
    fn judge<T: Scalar>(&self, story: &Story<'_, T>) -> Result<Judged> {
        let each = metrics::per_class(self.names.len(), self.labels, &self.predicted)?;
        let scores = (self.scores, self.names.len());
        let sections = html! {
            (self.confusion(&each, story.part())?)
            (reliability::section(story, self.labels, scores)?)
            (self.worst(story))
        };
        Ok(Judged { tiles: self.tiles(&each, story.part())?, sections })
    }

    fn tiles(&self, each: &[ClassScores], part: &str) -> Result<Vec<Tile>> {
        let accuracy = percent(Some(metrics::accuracy(self.labels, &self.predicted)?));
        let mut tiles = vec![
            tile(&format!("{part} accuracy"), accuracy),
            tile("macro F1", exact(metrics::macro_average(each).f1, "")),
        ];
        if !self.scores.iter().any(|score| score.is_nan())
            && let Some(auc) =
                metrics::roc_auc_one_vs_rest(self.names.len(), self.labels, self.scores)?
        {
            tiles.push(tile("ROC AUC", exact(auc, "")));
        }
        Ok(tiles)
    }

    fn confusion(&self, each: &[ClassScores], part: &str) -> Result<Markup> {
        let classes = self.names.len();
        let confusion = match classes <= MOST_CLASSES {
            true => {
                let counts = metrics::confusion_matrix(classes, self.labels, &self.predicted)?;
                matrix(&counts, self.names)
            }
            false => self.pairs(),
        };
        let count = counted(self.labels.len(), "sample", "samples");
        Ok(html! {
            section {
                h2 { "Confusion" }
                p.soft {
                    "On " (count) " (" (part) "). Rows: the true class; columns: the predicted class. "
                    "Color: share of the row."
                }
                div.both {
                    div.wide { (confusion) }
                    div.wide { (scores_table(each, self.names)) }
                }
            }
        })
    }

    /// The most frequent mistakes, where there are too many classes for a matrix.
    fn pairs(&self) -> Markup {
        let mut counts: HashMap<(u32, u32), u64> = HashMap::new();
        let pairs = self.labels.iter().copied().zip(self.predicted.iter().copied());
        pairs.filter(|(t, p)| t != p).for_each(|pair| *counts.entry(pair).or_default() += 1);
        let mut counts: Vec<_> = counts.into_iter().collect();
        counts.sort_by_key(|&(pair, count)| (u64::MAX - count, pair));
        let name = |class: u32| plain(&self.names[class as usize]);
        html! {
            table.plain {
                thead { tr { th { "true" } th { "predicted" } th { "times" } } }
                @for &((truth, predicted), count) in counts.iter().take(MOST_PAIRS) {
                    tr { th scope="row" { (name(truth)) } th { (name(predicted)) } td { (count) } }
                }
            }
        }
    }

    /// The mistakes whose true class seemed least likely: those with the highest cross-entropy.
    fn worst<T: Scalar>(&self, story: &Story<'_, T>) -> Markup {
        let (labels, predicted) = (self.labels, &self.predicted);
        let score = |i: usize| self.score(i, labels[i]);
        let mut wrong: Vec<usize> =
            (0..labels.len()).filter(|&i| labels[i] != predicted[i]).collect();
        wrong.sort_by(|&a, &b| score(a).total_cmp(&score(b)));
        if wrong.is_empty() {
            return html! { section { h2 { "Mistakes" } p { "None." } } };
        }
        let kind = if story.image_width().is_some() { "pictures" } else { "pictures texts" };
        let (shown, all) = (wrong.len().min(WORST), counted(wrong.len(), "mistake", "mistakes"));
        html! {
            section #worst {
                h2 { "Worst mistakes" }
                p.soft { (shown) " of " (all) ": those whose true class seemed least likely." }
                ul class=(kind) {
                    @for &i in wrong.iter().take(WORST) { (self.mistake(story, i)) }
                }
            }
        }
    }

    fn score(&self, sample: usize, class: u32) -> f64 {
        self.scores[sample * self.names.len() + class as usize]
    }

    fn mistake<T: Scalar>(&self, story: &Story<'_, T>, i: usize) -> Markup {
        let share = |class: u32| match story.model.gives_probabilities() {
            true => percent(Some(self.score(i, class))),
            false => exact(self.score(i, class), ""),
        };
        let name = |class: u32| plain(&self.names[class as usize]);
        let (truth, predicted) = (self.labels[i], self.predicted[i]);
        html! {
            li {
                @if let Some(width) = story.image_width() {
                    img alt={"sample " (i) ": " (name(truth))} src=(sample_picture(story, i, width));
                }
                "true: " strong { (name(truth)) } " " (share(truth)) br;
                "predicted: " b { (name(predicted)) } " " (share(predicted)) br;
                span.soft { "sample " (i) }
            }
        }
    }
}

/// Precision, recall and F1, a row a class.
fn scores_table(each: &[ClassScores], names: &[String]) -> Markup {
    html! {
        table.plain {
            thead {
                tr { th { "class" } th { "precision" } th { "recall" } th { "F1" } th { "samples" } }
            }
            @for (name, scores) in names.iter().zip(each).take(MOST_CLASSES) {
                tr {
                    th scope="row" { (plain(name)) }
                    @for share in [scores.precision, scores.recall, scores.f1] {
                        td { (format!("{share:.3}")) }
                    }
                    td { (scores.support) }
                }
            }
        }
    }
}

fn matrix(counts: &[u64], names: &[String]) -> Markup {
    let names: Vec<String> = names.iter().map(|name| plain(name)).collect();
    let class = if names.len() > MOST_LEVEL_NAMES { "matrix tall" } else { "matrix" };
    html! {
        table class=(class) {
            thead {
                tr { th {} @for name in &names { th scope="col" { span { (name) } } } }
            }
            @for (i, row) in counts.chunks_exact(names.len()).enumerate() {
                tr {
                    th scope="row" { (names[i]) }
                    @for (j, &count) in row.iter().enumerate() {
                        (cell(count, row, i == j, &format!("{} as {}: {count}", names[i], names[j])))
                    }
                }
            }
        }
    }
}

/// A cell of `row`, whose color is its share of the row.
fn cell(count: u64, row: &[u64], is_right: bool, tip: &str) -> Markup {
    let share = count as f64 / row.iter().sum::<u64>().max(1) as f64;
    let kind = match (count, is_right) {
        (0, _) => "zero",
        (_, true) => "right",
        _ => "wrong",
    };
    let strong = if count > 0 && share > 0.5 { " strong" } else { "" };
    html! {
        td class={(kind) (strong)} style=(format!("--v:{share:.3}")) title=(tip) { (count) }
    }
}

fn sample_picture<T: Scalar>(story: &Story<'_, T>, i: usize, width: usize) -> String {
    let values: Vec<f64> =
        story.data.sample(i).unwrap_or_default().iter().map(|x| x.to_f64()).collect();
    let low = values.iter().copied().fold(0.0, f64::min);
    let high = values.iter().copied().fold(f64::MIN_POSITIVE, f64::max);
    picture::ink(width, &values.iter().map(|x| (x - low) / (high - low)).collect::<Vec<_>>())
}

fn values<T: Scalar>(story: &Story<'_, T>, predicted: &[f64]) -> Result<Judged> {
    let Targets::Values { values: truth, names } = story.data.targets() else {
        return Ok(Judged { tiles: Vec::new(), sections: html! {} });
    };
    if let Some(quantiles) = story.model.quantiles() {
        return quantile_values(story, &quantiles, (truth, predicted));
    }
    let (columns, part) = (names.len(), story.part());
    let measure = |name: &str, x: f64| tile(&format!("{part} {name}"), exact(x, ""));
    let mut tiles = vec![
        measure("RMSE", metrics::root_mean_squared_error(truth, predicted)?),
        measure("MAE", metrics::mean_absolute_error(truth, predicted)?),
    ];
    tiles.extend(metrics::r2(columns, truth, predicted)?.map(|r2| measure("R2", r2)));
    let each = names.iter().enumerate().take(MOST_OUTPUTS);
    let each = each.map(|(column, name)| {
        let point = move |i: usize| (truth[i * columns + column], predicted[i * columns + column]);
        (name.clone(), point)
    });
    Ok(Judged { tiles, sections: dots(story, each) })
}

/// The lowest, the middle and the highest quantile.
fn quantile_values<T: Scalar>(
    story: &Story<'_, T>,
    quantiles: &Quantiles,
    (truth, predicted): (&[f64], &[f64]),
) -> Result<Judged> {
    let (levels, part) = (quantiles.levels(), story.part());
    let loss = metrics::mean_pinball_loss(levels, truth, predicted)?;
    let mut tiles = vec![tile(&format!("{part} pinball loss"), exact(loss, ""))];
    let figures = QuantileFigures::of(quantiles, truth, predicted)?;
    tiles.extend(figures.interval().map(|(name, coverage)| {
        tile(&format!("{part} coverage of the {name}"), percent(Some(coverage)))
    }));
    let mut shown = vec![0, levels.len() / 2, levels.len() - 1];
    shown.dedup();
    let names = story.model.value_names();
    let each = shown.into_iter().map(|level| {
        let point = move |i: usize| (truth[i], predicted[i * levels.len() + level]);
        (names.get(level).cloned().unwrap_or_default(), point)
    });
    Ok(Judged { tiles, sections: dots(story, each) })
}

/// Predicted values and residuals; `each`: a name, and the true and the predicted value of a sample.
fn dots<T: Scalar, P: Fn(usize) -> (f64, f64)>(
    story: &Story<'_, T>,
    each: impl Iterator<Item = (String, P)>,
) -> Markup {
    let part = story.part();
    let samples = shown(story.data.samples(), MOST_DOTS);
    let count = counted(story.data.samples(), "sample", "samples");
    html! {
        section {
            h2 { "Predictions" }
            p.soft {
                (samples.len()) " of " (count) " (" (part) "). On the dashed lines, the prediction is the true value. "
                "A residual is the prediction minus the true value."
            }
            div.charts {
                @for (name, point) in each {
                    @let points = samples.iter().map(|&i| point(i)).collect::<Vec<_>>();
                    (scatter(&name, &points))
                    (residuals(&name, &points))
                }
            }
        }
    }
}

/// Predicted over true values.
fn scatter(name: &str, points: &[(f64, f64)]) -> Markup {
    let series = vec![Series { name: name.to_owned(), points: points.to_vec() }];
    let (title, x) = (format!("{name}: predicted over true"), format!("true {name}"));
    Chart { title, x, unit: "", form: Form::Dots(Guide::Equal), series }.svg()
}

/// Residuals over predictions: a curve in them is what the model has not learned, a funnel errors that grow with the value.
fn residuals(name: &str, points: &[(f64, f64)]) -> Markup {
    let points = points.iter().map(|(truth, predicted)| (*predicted, predicted - truth)).collect();
    let series = vec![Series { name: name.to_owned(), points }];
    let (title, x) = (format!("{name}: residual over predicted"), format!("predicted {name}"));
    Chart { title, x, unit: "", form: Form::Dots(Guide::Zero), series }.svg()
}
