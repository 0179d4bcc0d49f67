//! The head of a model file: which tensors there are, and the metadata. Everything is checked here, against itself and
//! against the length of the file, before a parameter is read.

use std::collections::HashSet;

use safetensors::{Dtype, tensor::Metadata};
use serde::{Deserialize, Serialize};

use super::source::Source;
use super::{Description, LayerDescription, ModelInfo};
use crate::activation::Activation;
use crate::data::{
    Coding, ColumnType, EncodedColumn, Encoder, Role, Schema, Standardization, TargetScale,
};
use crate::error::{Error, Result};
use crate::layer::{
    Categories, LayerKind, MOST_FEATURES, embedded, fault_of_categories, fault_of_members,
    members_of, outputs_of_categories,
};

/// The version of the metadata.
pub(super) const VERSION: u64 = 1;
/// The version of a model with layers that are not dense, or with an encoder: older programs would take it for damaged, or the
/// table for incomplete.
pub(super) const VERSION_OF_MORE: u64 = 2;
/// The version of a model with a schema of its table, or with a scale of its targets.
pub(super) const VERSION_OF_TABLES: u64 = 3;
/// The version of an ensemble, of a model of quantiles or whose features or answers are bounded, or with layers or activations of this
/// age: older programs would leave out the bound, or take the file for damaged.
pub(super) const VERSION_OF_RECIPES: u64 = 4;
/// The newest.
const LAST_VERSION: u64 = VERSION_OF_RECIPES;
/// The metadata entry. There is one only: the format's crate keeps entries in no order, and the same model must be the
/// same bytes.
pub(super) const KEY: &str = "travertine";

/// The metadata entry, as JSON.
#[derive(Serialize, Deserialize)]
pub(super) struct Json {
    pub(super) version: u64,
    pub(super) layers: Vec<JsonLayer>,
    /// Left out where it is 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) members: Option<usize>,
    pub(super) loss: String,
    pub(super) classes: Vec<String>,
    pub(super) features: Vec<String>,
    pub(super) target: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) columns: Option<Encoder>,
    pub(super) standardization: Option<Standardization>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) schema: Option<Schema>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) target_scale: Option<TargetScale>,
    pub(super) training: Vec<(String, String)>,
}

#[derive(Serialize, Deserialize)]
pub(super) struct JsonLayer {
    /// Left out where it is dense.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) kind: Option<String>,
    pub(super) inputs: usize,
    pub(super) outputs: usize,
    pub(super) activation: String,
    /// Numbers of the embedded features, and of their categories.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) categories: Vec<(usize, usize)>,
}

/// What the head of a file says, found to fit together.
pub(super) struct Header {
    /// Bytes in front of the tensors.
    pub(super) offset: u64,
    pub(super) bytes: u64,
    pub(super) dtype: Dtype,
    pub(super) layers: Vec<LayerDescription>,
    /// Networks with these layers.
    pub(super) members: usize,
    pub(super) info: ModelInfo,
    pub(super) tensors: Metadata,
}

/// `("layers.2.weight", [outputs, inputs])`, `("layers.2.bias", [outputs])` and, where the layer has them, its statistics; in front of
/// the names of an ensemble's tensors stands its member, as in "members.0.layers.2.weight".
pub(super) fn tensors_of(
    (member, members): (usize, usize),
    number: usize,
    layer: &LayerDescription,
) -> Vec<(String, Vec<usize>)> {
    let member = if members > 1 { format!("members.{member}.") } else { String::new() };
    let name = format!("{member}layers.{number}");
    let sizes = (layer.inputs, layer.outputs);
    super::tensors::tensors_of(&name, layer.kind, sizes, layer.members, &layer.categories)
}

impl Header {
    pub(super) fn read(source: &mut Source<'_>) -> Result<Header> {
        let file = source.file();
        let (tensors, offset, bytes) = source.metadata()?;
        let json = parse(&file, &tensors)?;
        let layers = layers(&file, &json)?;
        let members = members(&file, &json, &tensors)?;
        let info = info(&file, json, &layers)?;
        let dtype = check_tensors(&file, &tensors, &layers, members)?;
        Ok(Header { offset, bytes, dtype, layers, members, info, tensors })
    }

    pub(super) fn describe(self) -> Description {
        let of_member: usize = self.layers.iter().map(LayerDescription::parameters).sum();
        let precision = if self.dtype == Dtype::F64 { "f64" } else { "f32" };
        Description {
            layers: self.layers,
            members: self.members,
            precision,
            parameters: of_member * self.members,
            bytes: self.bytes,
            info: self.info,
        }
    }
}

fn parse(file: &str, tensors: &Metadata) -> Result<Json> {
    let Some(text) = tensors.metadata().as_ref().and_then(|entries| entries.get(KEY)) else {
        let expected = format!("an entry '{KEY}', as the models that travertine saves have");
        return Err(Error::format(file, "metadata", expected, "none"));
    };
    // The version first: another version may have other fields.
    #[derive(Deserialize)]
    struct Version {
        version: u64,
    }
    let bad = |error: serde_json::Error| {
        Error::format(file, format!("metadata {KEY}"), "a description", error.to_string())
    };
    let Version { version } = serde_json::from_str(text).map_err(bad)?;
    if !(VERSION..=LAST_VERSION).contains(&version) {
        let age = if version > LAST_VERSION { "; it was saved by a newer travertine" } else { "" };
        let expected = format!("{VERSION} to {LAST_VERSION}");
        return Err(Error::format(file, "version", expected, format!("{version}{age}")));
    }
    serde_json::from_str(text).map_err(bad)
}

/// The number of members: every layer of each has tensors.
fn members(file: &str, json: &Json, tensors: &Metadata) -> Result<usize> {
    let members = json.members.unwrap_or(1);
    let most = tensors.tensors().len() / json.layers.len().max(1);
    if json.members.is_some() && !(1..=most).contains(&members) {
        let expected = format!("1 to {most}, as there are tensors for");
        return Err(Error::format(file, "members", expected, members.to_string()));
    }
    Ok(members)
}

fn layers(file: &str, json: &Json) -> Result<Vec<LayerDescription>> {
    if json.layers.is_empty() {
        return Err(Error::format(file, "layers", "at least one", "none"));
    }
    let mut layers: Vec<LayerDescription> = Vec::new();
    for (number, layer) in json.layers.iter().enumerate() {
        let place = |what: &str| format!("layers.{number} {what}");
        let &JsonLayer { ref kind, inputs, outputs, ref activation, ref categories } = layer;
        let name = kind.as_deref().unwrap_or(LayerKind::Dense.name());
        let Some(kind) = LayerKind::ALL.into_iter().find(|kind| kind.name() == name) else {
            return Err(Error::format(
                file,
                place("kind"),
                LayerKind::ALL.map(LayerKind::name).join(" or "),
                name,
            ));
        };
        if kind.misplaced(number, layers.last().map(|before| before.kind)).is_some() {
            let name = kind.name();
            return Err(Error::format(file, place("kind"), "one behind another layer", name));
        }
        if kind == LayerKind::NumberEmbedding && embedded(inputs, outputs).is_none() {
            let expected =
                format!("{inputs} (at most {MOST_FEATURES}) and 3 for each of some inputs");
            return Err(Error::format(file, place("outputs"), expected, outputs.to_string()));
        }
        let categories: Vec<Categories> =
            categories.iter().map(|&(feature, count)| Categories { feature, count }).collect();
        if kind == LayerKind::CategoryEmbedding {
            if let Some(reason) = fault_of_categories(inputs, &categories) {
                return Err(Error::format(file, place("categories"), "features of it", reason));
            }
            let expected = outputs_of_categories(inputs, &categories);
            if outputs != expected {
                let (expected, found) = (expected.to_string(), outputs.to_string());
                return Err(Error::format(file, place("outputs"), expected, found));
            }
        } else if !categories.is_empty() {
            return Err(Error::format(file, place("categories"), "none", "some"));
        }
        let keeps_size = kind == LayerKind::LayerNorm || kind.is_elementwise();
        if keeps_size && inputs != outputs {
            return Err(Error::format(
                file,
                place("outputs"),
                format!("{inputs}, as inputs"),
                outputs.to_string(),
            ));
        }
        if inputs == 0 || outputs == 0 {
            let found = format!("{inputs} inputs and {outputs} outputs");
            return Err(Error::format(file, place("size"), "at least 1 input and 1 output", found));
        }
        if let Some(before) = layers.last().filter(|before| before.outputs != inputs) {
            return Err(Error::format(
                file,
                place("inputs"),
                before.outputs.to_string(),
                inputs.to_string(),
            ));
        }
        let activation: Activation = activation.parse().map_err(|error: Error| {
            Error::format(file, place("activation"), "a known one", error.to_string())
        })?;
        let before = layers.last().map_or((1, Activation::Identity), |l| (l.members, l.activation));
        let members = members_of(kind, (inputs, outputs), before.0);
        let follows = json.layers.get(number + 1);
        let mean = follows.is_some_and(|next| next.kind.as_deref() == Some("member_mean"));
        if let Some(reason) = fault_of_members(kind, (inputs, outputs), members, before.0) {
            return Err(Error::format(file, place("kind"), reason, name));
        }
        if kind == LayerKind::MemberMean && (follows.is_some() || activation != before.1) {
            let expected = "the last layer, with the activation of the one before";
            return Err(Error::format(file, place("kind"), expected, name));
        }
        if activation == Activation::Softmax && follows.is_some() && !mean {
            return Err(Error::format(
                file,
                place("activation"),
                "one for a hidden layer",
                "softmax",
            ));
        }
        let may_be_softmax =
            matches!(kind, LayerKind::Dense | LayerKind::MemberHeads | LayerKind::MemberMean);
        if activation == Activation::Softmax && !may_be_softmax {
            return Err(Error::format(
                file,
                place("activation"),
                "one that is not for dense layers alone",
                "softmax",
            ));
        }
        let is_linear = matches!(
            kind,
            LayerKind::NumberEmbedding | LayerKind::CategoryEmbedding | LayerKind::Members
        );
        if is_linear && activation != Activation::Identity {
            let found = activation.to_string();
            return Err(Error::format(file, place("activation"), "identity", found));
        }
        layers.push(LayerDescription { kind, inputs, outputs, activation, members, categories });
    }
    Ok(layers)
}

fn info(file: &str, json: Json, layers: &[LayerDescription]) -> Result<ModelInfo> {
    let loss = json
        .loss
        .parse()
        .map_err(|error: Error| Error::format(file, "loss", "a known one", error.to_string()))?;
    let info = ModelInfo {
        loss,
        classes: json.classes,
        features: json.features,
        target: json.target,
        encoder: json.columns,
        standardization: json.standardization,
        schema: json.schema,
        target_scale: json.target_scale,
        training: json.training,
    };
    match misfit(&info, layers) {
        Some((field, expected, found)) => Err(Error::format(file, field, expected, found)),
        None => Ok(info),
    }
}

/// What in `info` does not belong to such layers: (field, expected, found).
pub(super) fn misfit(
    info: &ModelInfo,
    layers: &[LayerDescription],
) -> Option<(&'static str, String, String)> {
    let (inputs, outputs) = (layers.first()?.inputs, layers.last()?.outputs);
    let classes = info.classes.len();
    if let Some(misfit) = quantiles_misfit(info, outputs) {
        return Some(misfit);
    }
    // One output may tell two classes apart.
    if classes != 0 && classes != outputs && (classes, outputs) != (2, 1) {
        return Some(("classes", format!("{outputs}, one for each output"), classes.to_string()));
    }
    if !info.features.is_empty() && info.features.len() != inputs {
        return Some((
            "features",
            format!("{inputs}, one for each input"),
            info.features.len().to_string(),
        ));
    }
    if let Some(encoder) = &info.encoder {
        if let Some(fault) = encoder.fault() {
            return Some((
                "columns",
                "columns and categories that differ, and finite means".to_owned(),
                fault,
            ));
        }
        let features = encoder.features();
        if features != inputs {
            return Some((
                "columns",
                format!("{inputs} features, one for each input"),
                features.to_string(),
            ));
        }
        // A code that no layer looks up would count as a quantity, and one of another column would find a wrong vector.
        let embedded: Vec<Categories> =
            layers.iter().flat_map(|layer| layer.categories.iter().copied()).collect();
        let coded = encoder.categories();
        if embedded != coded {
            let list = |all: &[Categories]| {
                let one = |of: &Categories| format!("{} of feature {}", of.count, of.feature);
                all.iter().map(one).collect::<Vec<_>>().join(", ")
            };
            let expected = format!("the categories that the layers embed ({})", list(&embedded));
            return Some(("columns", expected, format!("those of the columns ({})", list(&coded))));
        }
        let names = encoder.feature_names();
        if let Some((name, found)) =
            names.iter().zip(&info.features).find(|(name, found)| name != found)
        {
            return Some((
                "features",
                format!("'{name}', as the columns make it"),
                format!("'{found}'"),
            ));
        }
    }
    if let Some(misfit) = table_misfit(info, outputs) {
        return Some(misfit);
    }
    let Standardization { mean, deviation, bound, unscaled } = info.standardization.as_ref()?;
    let expected = info.encoder.iter().flat_map(Encoder::unscaled);
    if !unscaled.iter().copied().eq(expected) {
        let expected = "features without a scale as the columns have them".to_owned();
        return Some(("standardization", expected, format!("{unscaled:?}")));
    }
    if mean.len() != inputs || deviation.len() != inputs {
        let found = format!("{} means and {} deviations", mean.len(), deviation.len());
        return Some(("standardization", format!("{inputs} of each, one for each input"), found));
    }
    let wrong = |x: &&f64| !x.is_finite() || **x <= 0.0;
    let scales = || deviation.iter().chain(bound);
    if let Some(x) = mean.iter().find(|x| !x.is_finite()).or_else(|| scales().find(wrong)) {
        return Some((
            "standardization",
            "finite means, deviations and a bound above 0".to_owned(),
            x.to_string(),
        ));
    }
    None
}

/// What in the classes and the number of outputs does not belong to quantiles.
fn quantiles_misfit(info: &ModelInfo, outputs: usize) -> Option<(&'static str, String, String)> {
    let levels = info.loss.quantiles()?.levels().len();
    if !info.classes.is_empty() {
        let found = info.classes.len().to_string();
        return Some(("classes", "none, as quantiles are of values".to_owned(), found));
    }
    let expected = || format!("{outputs} levels, one for each output");
    (levels != outputs).then(|| ("loss", expected(), levels.to_string()))
}

/// What in the schema and the scale of the targets does not belong to the rest.
fn table_misfit(info: &ModelInfo, outputs: usize) -> Option<(&'static str, String, String)> {
    if let Some(fault) = info.target_scale.as_ref().and_then(|scale| scale.fault(outputs)) {
        let expected =
            format!("finite means, deviations above 0 and ordered bounds of {outputs} values");
        return Some(("target_scale", expected, fault));
    }
    if info.target_scale.is_some() && !info.classes.is_empty() {
        return Some(("target_scale", "none, as there are classes".to_owned(), "one".to_owned()));
    }
    let schema = info.schema.as_ref()?;
    let learned = |column: &usize| schema.columns[*column].name.clone();
    let features: Vec<String> = schema.with_role(Role::Feature).map(|c| learned(&c)).collect();
    let Some(encoder) = &info.encoder else {
        return Some(("schema", "columns beside it".to_owned(), "none".to_owned()));
    };
    let fits = |(column, place): (&EncodedColumn, usize)| {
        let found = &schema.columns[place];
        let same_type = match column.coding {
            Coding::Mean(_) | Coding::Bins { .. } => {
                matches!(found.column_type, ColumnType::Number(_) | ColumnType::Truth)
            }
            Coding::Categories(_) | Coding::Codes(_) => found.column_type == ColumnType::Text,
            Coding::Date { .. } => matches!(found.column_type, ColumnType::Date(_)),
        };
        column.name == found.name && same_type
    };
    let all = encoder.columns().len() == features.len()
        && encoder.columns().iter().zip(schema.with_role(Role::Feature)).all(fits);
    if !all {
        return Some(("schema", "the features of the columns".to_owned(), features.join(", ")));
    }
    let targets = schema.targets().len();
    let is_alone = !info.classes.is_empty() || info.loss.quantiles().is_some();
    let expected = if is_alone { 1 } else { outputs };
    let has_classes = schema.with_role(Role::Class).next().is_some();
    (targets != expected || has_classes == info.classes.is_empty())
        .then(|| ("schema", format!("{expected} columns that are learned"), targets.to_string()))
}

/// Every tensor that the layers need, in one precision, and no other.
fn check_tensors(
    file: &str,
    tensors: &Metadata,
    layers: &[LayerDescription],
    members: usize,
) -> Result<Dtype> {
    let mut dtype = None;
    let of_member = |member: usize| {
        let layers = layers.iter().enumerate();
        layers.flat_map(move |(number, layer)| tensors_of((member, members), number, layer))
    };
    let expected: Vec<(String, Vec<usize>)> = (0..members).flat_map(of_member).collect();
    for (name, shape) in &expected {
        let place = format!("tensor {name}");
        let Some(tensor) = tensors.info(name) else {
            return Err(Error::format(file, place, format!("shape {shape:?}"), "no such tensor"));
        };
        if tensor.shape != *shape {
            return Err(Error::format(
                file,
                place,
                format!("shape {shape:?}"),
                format!("{:?}", tensor.shape),
            ));
        }
        let expected = *dtype.get_or_insert(tensor.dtype);
        if tensor.dtype != expected || ![Dtype::F32, Dtype::F64].contains(&tensor.dtype) {
            let expected = if tensor.dtype == expected {
                "F32 or F64".to_owned()
            } else {
                format!("{expected:?}")
            };
            return Err(Error::format(file, place, expected, format!("{:?}", tensor.dtype)));
        }
    }
    let known: HashSet<&String> = expected.iter().map(|(name, _)| name).collect();
    let surplus = tensors.offset_keys().into_iter().find(|name| !known.contains(name));
    match surplus {
        Some(surplus) => Err(Error::format(
            file,
            format!("tensor {surplus}"),
            format!("the {} tensors of the layers", expected.len()),
            "one more",
        )),
        None => Ok(dtype.unwrap_or(Dtype::F32)),
    }
}
