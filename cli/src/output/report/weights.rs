//! The weights of the first layer that multiplies.

use maud::{Markup, html};
use travertine::layer::LayerKind;
use travertine::{Result, Scalar};

use super::{Story, picture, plain, shown};

const MOST_NEURONS: usize = 64;
const MOST_FEATURES: usize = 40;

/// The weights of the first layer that multiplies, and which of them are shown. Behind embeddings its first inputs are the features.
struct Weights {
    neurons: usize,
    inputs: usize,
    /// Column by column, `neurons x inputs`, as shares of `limit`.
    shares: Vec<f64>,
    limit: f64,
    /// The neurons that are shown.
    order: Vec<usize>,
    /// Whether the outputs of the layer are those of the network.
    is_output: bool,
}

impl Weights {
    /// The neurons with the largest weights come first, unless they are outputs.
    fn of<T: Scalar>(story: &Story<'_, T>) -> Result<Option<Self>> {
        let layers = story.model.network().layers();
        let multiplies = |kind| {
            matches!(kind, LayerKind::Dense | LayerKind::MemberDense | LayerKind::MemberHeads)
        };
        let Some(place) = layers.iter().position(|layer| multiplies(layer.kind())) else {
            return Ok(None);
        };
        // Members share the weights of a layer, or have each rows of their own.
        let first = layers[place].weights();
        let (neurons, inputs) = (first.rows(), first.columns());
        let shares = first.to_vec()?.iter().map(|w| w.to_f64()).collect();
        let order = (0..neurons).collect();
        let is_output = place + 1 == layers.len();
        let mut weights = Weights { neurons, inputs, shares, limit: 1.0, order, is_output };
        if !is_output {
            let norm = |neuron| weights.of_neuron(neuron).map(|w| w * w).sum::<f64>();
            let norms: Vec<f64> = (0..neurons).map(norm).collect();
            weights.order.sort_by(|&a, &b| norms[b].total_cmp(&norms[a]));
        }
        weights.order.truncate(MOST_NEURONS);
        weights.limit = limit(weights.order.iter().flat_map(|&neuron| weights.of_neuron(neuron)));
        let limit = weights.limit;
        weights.shares.iter_mut().for_each(|weight| *weight /= limit);
        Ok(Some(weights))
    }

    fn of_neuron(&self, neuron: usize) -> impl Iterator<Item = f64> {
        self.shares.iter().skip(neuron).step_by(self.neurons).copied()
    }

    /// A picture a neuron; `width`: pixels in a row.
    fn pictures(&self, width: usize, names: &[String]) -> Markup {
        let name = |&neuron: &usize| match names.get(neuron) {
            Some(class) if self.is_output => plain(class),
            _ => neuron.to_string(),
        };
        let source = |&neuron: &usize| {
            picture::diverging(width, &self.of_neuron(neuron).collect::<Vec<_>>())
        };
        html! {
            ul class="pictures weights" {
                @for (name, source) in self.order.iter().map(|neuron| (name(neuron), source(neuron))) {
                    li { img alt={"weights of neuron " (name)} src=(source); (name) }
                }
            }
        }
    }

    /// One picture, a row a feature and a column a neuron.
    fn heat(&self, names: &[String]) -> Markup {
        let features = shown(self.inputs, MOST_FEATURES);
        let row = |&feature: &usize| {
            self.order.iter().map(move |&neuron| self.shares[feature * self.neurons + neuron])
        };
        let values: Vec<f64> = features.iter().flat_map(row).collect();
        let source = picture::diverging(self.order.len(), &values);
        let label = |&feature: &usize| {
            let nameless = || match names.is_empty() {
                true => format!("feature {}", feature + 1),
                false => format!("input {}, of an embedding", feature + 1),
            };
            names.get(feature).map_or_else(nameless, |name| plain(name))
        };
        html! {
            div.heat style=(format!("height:{}px", 20 * features.len())) {
                ol { @for label in features.iter().map(label) { li title=(label) { (label) } } }
                img alt="weights, a column a neuron" src=(source);
            }
        }
    }
}

pub(super) fn section<T: Scalar>(story: &Story<'_, T>) -> Result<Markup> {
    let Some(weights) = Weights::of(story)? else { return Ok(html! {}) };
    let Weights { neurons, inputs, limit, order, is_output, .. } = &weights;
    let width = story.image_width();
    let hides_features = width.is_none() && *inputs > MOST_FEATURES;
    Ok(html! {
        section #weights {
            h2 { "First-layer weights" }
            p.soft {
                @if order.len() < *neurons { (order.len()) " of " }
                (neurons) " neurons"
                @if story.records.len() > 1 { " of network 1" }
                @if !is_output { ", those with the largest weights first" }
                @if hides_features { ", " (MOST_FEATURES) " of " (inputs) " features" }
                "."
            }
            div.scale { (format!("\u{2212}{limit:.3} ")) i {} (format!(" +{limit:.3}")) }
            @match width {
                Some(width) => (weights.pictures(width, story.model.classes())),
                None => (weights.heat(story.data.feature_names())),
            }
        }
    })
}

/// The magnitude that 99.7 % of the weights do not exceed: one outlier must not make the others gray.
fn limit(weights: impl Iterator<Item = f64>) -> f64 {
    let mut magnitudes: Vec<f64> = weights.map(f64::abs).filter(|w| w.is_finite()).collect();
    magnitudes.sort_by(f64::total_cmp);
    let index = magnitudes.len().saturating_sub(1) * 997 / 1000;
    magnitudes.get(index).copied().filter(|limit| *limit > 0.0).unwrap_or(1.0)
}
