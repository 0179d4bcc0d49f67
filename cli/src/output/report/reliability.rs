//! How often the predicted class is right, beside its probability.

use maud::{Markup, html};
use travertine::metrics::{self, Calibration, CalibrationBin};
use travertine::{Result, Scalar};

use super::Story;
use super::chart::{Chart, Form, Guide, Series, exact};
use crate::message::counted;
use crate::output::CALIBRATION_BINS;
use crate::output::text::percent;

/// Nothing for a model whose outputs are no probabilities; `scores`: `classes x samples`.
pub(super) fn section<T: Scalar>(
    story: &Story<'_, T>,
    labels: &[u32],
    (scores, classes): (&[f64], usize),
) -> Result<Markup> {
    if !story.model.gives_probabilities() || scores.iter().any(|score| score.is_nan()) {
        return Ok(html! {});
    }
    let calibration = metrics::calibration(classes, labels, scores, CALIBRATION_BINS)?;
    let count = counted(labels.len(), "sample", "samples");
    Ok(html! {
        section #reliability {
            h2 { "Reliability" }
            p.soft {
                "On " (count) " (" (story.part()) "). A dot is the samples whose predicted class has a probability within "
                "one of " (CALIBRATION_BINS) " bins. On the dashed line, they are right as often as the model says; "
                "below it, the model is too certain. Expected calibration error (ECE): "
                strong { (exact(calibration.error, "")) } "."
            }
            div.both {
                div.chart { (diagram(&calibration)) }
                div.wide { (table(&calibration)) }
            }
        }
    })
}

/// The bins with samples, and their numbers counted from 0.
fn filled(calibration: &Calibration) -> impl Iterator<Item = (usize, &CalibrationBin)> {
    calibration.bins.iter().enumerate().filter(|(_, bin)| bin.count > 0)
}

fn diagram(calibration: &Calibration) -> Markup {
    let point = |(_, bin): (usize, &CalibrationBin)| (100.0 * bin.probability, 100.0 * bin.hits);
    let points = filled(calibration).map(point).collect();
    Chart {
        title: "Share predicted right over probability".to_owned(),
        x: "mean probability".to_owned(),
        unit: "%",
        form: Form::Dots(Guide::Equal),
        series: vec![Series { name: "bins".to_owned(), points }],
    }
    .svg()
}

fn table(calibration: &Calibration) -> Markup {
    let limit = |bin: usize| format!("{}", 100 * bin / calibration.bins.len());
    html! {
        table.plain {
            thead { tr { th { "bin" } th { "samples" } th { "mean" } th { "right" } } }
            @for (i, bin) in filled(calibration) {
                tr {
                    th scope="row" { (limit(i)) " to " (limit(i + 1)) " %" }
                    td { (bin.count) }
                    td { (percent(Some(bin.probability))) }
                    td { (percent(Some(bin.hits))) }
                }
            }
        }
    }
}
