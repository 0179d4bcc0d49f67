//! What the first layer looks at.

use travertine::{Result, Scalar};

use super::{Story, escaped, picture, shown};

const MOST_NEURONS: usize = 64;
const MOST_FEATURES: usize = 40;

pub(super) fn section<T: Scalar>(story: &Story<'_, T>) -> Result<String> {
    let layers = story.model.network.layers();
    let Some(first) = layers.first() else { return Ok(String::new()) };
    let (neurons, inputs) = (first.outputs(), first.inputs());
    // Column-major `neurons x inputs`.
    let all: Vec<f64> = first.weights().to_vec()?.iter().map(|w| w.to_f64()).collect();
    let of =
        |neuron: usize| all.iter().skip(neuron).step_by(neurons).copied().collect::<Vec<f64>>();
    let mut order: Vec<usize> = (0..neurons).collect();
    if layers.len() > 1 {
        let norm = |neuron: usize| of(neuron).iter().map(|w| w * w).sum::<f64>();
        let norms: Vec<f64> = (0..neurons).map(norm).collect();
        order.sort_by(|&a, &b| norms[b].total_cmp(&norms[a]));
    }
    order.truncate(MOST_NEURONS);
    let limit = limit(order.iter().flat_map(|&neuron| of(neuron)));
    let relative = |w: f64| w / limit;
    let name = |neuron: usize| match story.model.info.classes.get(neuron) {
        Some(class) if layers.len() == 1 => class.clone(),
        _ => neuron.to_string(),
    };
    let body = match story.image_width() {
        Some(width) => {
            let picture = |&neuron: &usize| {
                let source = picture::diverging(
                    width,
                    &of(neuron).into_iter().map(relative).collect::<Vec<_>>(),
                );
                let name = escaped(&name(neuron));
                format!("<li><img alt=\"weights of neuron {name}\" src=\"{source}\">{name}</li>\n")
            };
            format!(
                "<ul class=\"pictures weights\">\n{}</ul>",
                order.iter().map(picture).collect::<String>()
            )
        }
        None => {
            let features = shown(inputs, MOST_FEATURES);
            let row = |&feature: &usize| {
                order
                    .iter()
                    .map(|&neuron| relative(all[feature * neurons + neuron]))
                    .collect::<Vec<_>>()
            };
            let source =
                picture::diverging(order.len(), &features.iter().flat_map(row).collect::<Vec<_>>());
            let names = story.data.feature_names();
            let label = |&feature: &usize| {
                let name = names
                    .get(feature)
                    .map_or(format!("feature {}", feature + 1), |name| escaped(name));
                format!("<li title=\"{name}\">{name}</li>")
            };
            let labels: String = features.iter().map(label).collect();
            let height = 20 * features.len();
            format!(
                "<div class=\"heat\" style=\"height:{height}px\"><ol>{labels}</ol>\
                 <img alt=\"weights, a column a neuron\" src=\"{source}\"></div>"
            )
        }
    };
    let which = if order.len() < neurons {
        format!("{} of {neurons} neurons", order.len())
    } else {
        format!("{neurons} neurons")
    };
    let sorted = if layers.len() > 1 { ", those with the largest weights first" } else { "" };
    let features = if story.image_width().is_none() && inputs > MOST_FEATURES {
        format!(", {MOST_FEATURES} of {inputs} features")
    } else {
        String::new()
    };
    Ok(format!(
        "<section id=\"weights\"><h2>First-layer weights</h2>\n<p class=\"soft\">{which}{sorted}{features}.</p>\n\
         <div class=\"scale\">\u{2212}{limit:.3} <i></i> +{limit:.3}</div>\n{body}</section>\n"
    ))
}

/// The magnitude that all but a few in a thousand stay below: one outlier must not turn the others gray.
fn limit(weights: impl Iterator<Item = f64>) -> f64 {
    let mut magnitudes: Vec<f64> = weights.map(f64::abs).filter(|w| w.is_finite()).collect();
    magnitudes.sort_by(f64::total_cmp);
    let index = magnitudes.len().saturating_sub(1) * 997 / 1000;
    magnitudes.get(index).copied().filter(|limit| *limit > 0.0).unwrap_or(1.0)
}
