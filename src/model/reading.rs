//! How a model reads tables, also one that was saved without a schema.

use crate::data::{
    Coding, ColumnType, DateOrder, EncodedColumn, Encoder, NumberFormat, Role,
    Schema as TableSchema,
};
use crate::model_file::ModelInfo;

/// The encoder of a model; of numbers alone, where it was saved without one.
pub(super) fn encoder(info: &ModelInfo, inputs: usize) -> Encoder {
    if let Some(encoder) = &info.encoder {
        return encoder.clone();
    }
    let name = |i: usize| match info.features.get(i) {
        Some(name) => name.clone(),
        None => format!("column {}", i + 1),
    };
    let mean = |i: usize| info.standardization.as_ref().map_or(0.0, |scale| scale.mean[i]);
    Encoder::of_numbers((0..inputs).map(|i| (name(i), mean(i))))
}

/// How the model reads tables.
pub(super) fn table_schema(info: &ModelInfo, encoder: &Encoder, outputs: usize) -> TableSchema {
    if let Some(schema) = &info.schema {
        return schema.clone();
    }
    let column_type = |column: &EncodedColumn| match column.coding {
        Coding::Mean(_) | Coding::Bins { .. } => ColumnType::Number(NumberFormat::default()),
        Coding::Categories(_) | Coding::Codes(_) => ColumnType::Text,
        Coding::Date { .. } => ColumnType::Date(DateOrder::YearFirst),
    };
    let features =
        encoder.columns().iter().map(|column| (column.name.clone(), column_type(column)));
    let number = info.training.iter().find(|(key, _)| key == "label");
    let number = number.and_then(|(_, number)| number.parse().ok()).filter(|&number| number > 0);
    let role = if info.classes.is_empty() { Role::Value } else { Role::Class };
    let is_alone = !info.classes.is_empty() || info.loss.quantiles().is_some();
    let learned = if is_alone { 1 } else { outputs };
    // Columns without names are known by their places, the target's too.
    let has_names = info.encoder.is_some() || !info.features.is_empty();
    let names = (0..learned).map(|i| match &info.target {
        Some(name) if learned == 1 && has_names => name.clone(),
        _ => format!("column {}", encoder.columns().len() + i + 1),
    });
    TableSchema::of_model(features, &names.collect::<Vec<_>>(), role, number)
}
