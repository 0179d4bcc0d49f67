//! The schema of a Parquet file: its columns and their types.

use super::format::{
    converted_type as converted, file_metadata, logical_type as logical, physical_type,
    repetition_type, schema_element,
};
use super::thrift::Fields;
use super::value::ValueType;

/// Deeper nested schemas are refused.
const MAX_DEPTH: usize = 16;

/// A top-level column.
pub(super) struct Schema {
    pub(super) name: String,
    /// Its type, or the name of one that is not read.
    pub(super) value_type: Result<ValueType, String>,
    /// Whether values may be missing.
    pub(super) optional: bool,
    /// The number of its first chunk in a row group.
    pub(super) leaf: usize,
}

/// The top-level columns; `None` if the schema is not sound.
pub(super) fn schema(metadata: &Fields<'_>) -> Option<Vec<Schema>> {
    let elements = metadata.list(file_metadata::SCHEMA)?;
    let (mut columns, mut next, mut leaf) = (Vec::new(), 1, 0);
    for _ in 0..elements.first()?.size(schema_element::NUM_CHILDREN)? {
        let element = elements.get(next)?;
        let leaves = leaves(&elements, &mut next, 0)?;
        let repetition = element.int(schema_element::REPETITION_TYPE)?;
        let value_type = match (element.size(schema_element::NUM_CHILDREN), repetition) {
            (Some(1..), _) | (_, repetition_type::REPEATED) => Err("nested values".to_owned()),
            _ => value_type(element),
        };
        columns.push(Schema {
            name: element.text(schema_element::NAME)?.to_owned(),
            value_type,
            optional: repetition == repetition_type::OPTIONAL,
            leaf,
        });
        leaf += leaves;
    }
    (next == elements.len() && !columns.is_empty()).then_some(columns)
}

/// Counts the leaves of the element at `next`, and moves `next` behind them.
fn leaves(elements: &[&Fields<'_>], next: &mut usize, depth: usize) -> Option<usize> {
    let children = elements.get(*next)?.size(schema_element::NUM_CHILDREN).unwrap_or(0);
    *next += 1;
    match children {
        _ if depth > MAX_DEPTH => None,
        0 => Some(1),
        _ => (0..children).try_fold(0, |sum, _| Some(sum + leaves(elements, next, depth + 1)?)),
    }
}

fn value_type(element: &Fields<'_>) -> Result<ValueType, String> {
    use converted::{ENUM, INT_64, JSON, UINT_8, UINT_64, UTF8};
    let converted = element.int(schema_element::CONVERTED_TYPE);
    let logical = element.fields(schema_element::LOGICAL_TYPE).and_then(Fields::variant);
    let is_text = matches!(converted, Some(UTF8 | ENUM | JSON))
        || matches!(logical, Some(logical::STRING | logical::ENUM | logical::JSON));
    // Unsigned integers come first in the enum, signed ones last.
    let is_integer =
        matches!(converted, Some(UINT_8..=INT_64)) || logical == Some(logical::INTEGER);
    let is_plain = converted.is_none() && logical.is_none() || is_integer;
    let signed = !matches!(converted, Some(UINT_8..=UINT_64));
    match element.int(schema_element::TYPE) {
        Some(physical_type::BOOLEAN) if is_plain => Ok(ValueType::Boolean),
        Some(physical_type::INT32) if is_plain => Ok(ValueType::Int32 { signed }),
        Some(physical_type::INT64) if is_plain => Ok(ValueType::Int64 { signed }),
        Some(physical_type::FLOAT) if is_plain => Ok(ValueType::Float),
        Some(physical_type::DOUBLE) if is_plain => Ok(ValueType::Double),
        Some(physical_type::BYTE_ARRAY) if is_text => Ok(ValueType::Text),
        other => Err(description(other, converted, logical)),
    }
}

/// A type that is not read, such as "int32 as dates".
fn description(physical: Option<i64>, converted: Option<i64>, logical: Option<i16>) -> String {
    use converted::{DATE, DECIMAL, TIME_MILLIS, TIMESTAMP_MICROS};
    let physical = physical
        .and_then(|number| physical_type::NAMES.get(usize::try_from(number).ok()?))
        .unwrap_or(&"unknown");
    let meaning = match (converted, logical) {
        (Some(DATE), _) | (_, Some(logical::DATE)) => " as dates",
        (Some(TIME_MILLIS..=TIMESTAMP_MICROS), _)
        | (_, Some(logical::TIME | logical::TIMESTAMP)) => " as times",
        (Some(DECIMAL), _) | (_, Some(logical::DECIMAL)) => " as decimals",
        _ => "",
    };
    format!("{physical}{meaning}")
}
