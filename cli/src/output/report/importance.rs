//! What the columns of a table contribute.

use maud::{Markup, html};
use travertine::data::Task;
use travertine::{Importance, Result, Scalar};

use super::chart::exact;
use super::{Story, plain, shown};
use crate::message::counted;
use crate::output::IMPORTANCE_REPEATS;

const MOST_SHOWN: usize = 20;
/// More columns take too long for a page.
const MOST_COLUMNS: usize = 500;
/// Rows that are used, and fewer where there are many columns.
const MOST_ROWS: usize = 1000;
const LEAST_ROWS: usize = 100;
/// Predictions of single rows that the page may take.
const PREDICTIONS: usize = 250_000;
const SEED: u64 = 1;

/// Nothing for images, whose pixels say little alone.
pub(super) fn section<T: Scalar>(story: &Story<'_, T>) -> Result<Markup> {
    let columns = story.model.columns().len();
    if story.image_width().is_some() {
        return Ok(html! {});
    }
    let reason = match story.parts {
        Some(_) => Some(
            "Not measured: together the networks have seen every sample. Hold some out, such as --held-out 0.2, or use travertine              evaluate --importance on others."
                .to_owned(),
        ),
        None if columns > MOST_COLUMNS => Some(format!(
            "Not measured for {columns} columns, which takes long: use travertine evaluate --importance."
        )),
        None => None,
    };
    if let Some(reason) = reason {
        return Ok(html! {
            section #importance { h2 { "Importance of columns" } p.soft { (reason) } }
        });
    }
    let most = (PREDICTIONS / (columns * IMPORTANCE_REPEATS)).clamp(LEAST_ROWS, MOST_ROWS);
    let rows = shown(story.data.samples(), most);
    let data = story.data.select(&rows)?;
    let mut importance = story.model.importance(&data, IMPORTANCE_REPEATS, SEED)?;
    // A network that overflows tells nothing.
    importance.retain(|one| one.mean.is_finite());
    importance.sort_by(|a, b| b.mean.total_cmp(&a.mean));
    if importance.is_empty() {
        return Ok(html! {});
    }
    let measure = match story.model.task() {
        Task::Classes => "drop of the accuracy, in percentage points,",
        Task::Values if story.model.quantiles().is_some() => "rise of the mean pinball loss",
        Task::Values => "rise of the RMSE",
    };
    let count = counted(story.data.samples(), "sample", "samples");
    Ok(html! {
        section #importance {
            h2 { "Importance of columns" }
            p.soft {
                "The " (measure) " when the values of a column are shuffled, and its deviation over "
                (IMPORTANCE_REPEATS) " shuffles. " (rows.len()) " of " (count) " (" (story.part()) ")"
                @if importance.len() > MOST_SHOWN {
                    "; the first " (MOST_SHOWN) " of " (importance.len()) " columns"
                }
                "."
            }
            (bars(&importance, if story.model.task() == Task::Classes { 100.0 } else { 1.0 }))
        }
    })
}

/// A bar a column, as long as its share of the most important one's; numbers are shown times `scale`.
fn bars(importance: &[Importance], scale: f64) -> Markup {
    let most = importance.first().map_or(0.0, |first| first.mean).max(f64::MIN_POSITIVE);
    html! {
        table.plain.bars {
            @for one in importance.iter().take(MOST_SHOWN) {
                tr {
                    th scope="row" title=(plain(&one.column)) { (plain(&one.column)) }
                    td.bar { i style=(format!("--v:{:.3}", (one.mean / most).max(0.0))) {} }
                    td { (exact(scale * one.mean, "")) " \u{b1} " (exact(scale * one.deviation, "")) }
                }
            }
        }
    }
}
