//! The settings of a training in words: what decides its bytes, beside the data.

use super::builder::TrainerBuilder;
use super::dropout::Dropout;
use super::factors::Factors;
use super::slices;
use crate::error::Result;
use crate::layer::{Layer, LayerKind};
use crate::network::Network;
use crate::optimizer::Clip;
use crate::scalar::Scalar;

/// Names and values, which a snapshot contains and a restore compares.
pub(super) type Settings = Vec<(&'static str, String)>;

const NONE: &str = "none";

/// The settings of a trainer.
pub(super) fn settings_of<T: Scalar>(builder: &TrainerBuilder<'_, T>) -> Result<Settings> {
    let TrainerBuilder { clip, dropout, max_norm, loss_scale, factors, fading, .. } = builder;
    let or_none = |text: Option<String>| text.unwrap_or_else(|| NONE.to_owned());
    let clip = clip.map(|clip| match clip {
        Clip::Value(bound) => format!("value {bound}"),
        Clip::Norm(bound) => format!("norm {bound}"),
    });
    let dropout = dropout.filter(Dropout::drops);
    let dropout = dropout.map(|d| format!("inputs {}, hidden {}", d.inputs, d.hidden));
    let loss_scale = loss_scale.map(|scale| {
        format!("initial {}, growth interval {}", scale.initial, scale.growth_interval)
    });
    let factors = factors.as_ref().map(|factors| Factors::describe(factors));
    let slices = slices::count(builder.slices, &builder.processes, builder.batch)?;
    Ok(vec![
        ("network", network(builder.network)),
        ("loss", builder.loss.to_string()),
        ("optimizer", builder.optimizer.describe()),
        ("batch", builder.batch.to_string()),
        ("seed", builder.seed.to_string()),
        ("schedule", builder.schedule.to_string()),
        ("clip", or_none(clip)),
        ("dropout", or_none(dropout)),
        ("max_norm", or_none(max_norm.map(|most| most.to_string()))),
        ("loss_scale", or_none(loss_scale)),
        ("factors", or_none(factors)),
        ("regularization_fades", fading.to_string()),
        ("slices", slices.to_string()),
    ])
}

/// `"64 -> 100 relu -> 10 softmax"`
fn network<T: Scalar>(network: &Network<T>) -> String {
    let layer = |layer: &dyn Layer<T>| match layer.kind() {
        LayerKind::Dense => format!(" -> {} {}", layer.outputs(), layer.activation()),
        LayerKind::NumberEmbedding | LayerKind::CategoryEmbedding | LayerKind::Members => {
            format!(" -> {} {}", layer.outputs(), layer.kind())
        }
        LayerKind::MemberDense | LayerKind::MemberHeads => {
            format!(" -> {} {} {}", layer.outputs(), layer.kind(), layer.activation())
        }
        kind => format!(" -> {kind} {}", layer.activation()),
    };
    let layers: String = network.layers().iter().map(|one| layer(&**one)).collect();
    format!("{}{layers}", network.inputs())
}

/// The layers that are frozen: `"none"` or `"layers 0, 1"`.
pub(super) fn frozen(frozen: &[bool]) -> String {
    let numbers = frozen.iter().enumerate().filter(|(_, is_frozen)| **is_frozen);
    let numbers: Vec<String> = numbers.map(|(i, _)| i.to_string()).collect();
    if numbers.is_empty() { NONE.to_owned() } else { format!("layers {}", numbers.join(", ")) }
}
