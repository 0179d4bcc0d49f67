//! The samples of a frozen model's self-test.

use crate::data::{
    Coding, Column, EncodedColumn, Encoder, Frame, MISSING, Standardization, Targets, Values,
};
use crate::error::Result;
use crate::layer::Categories;
use crate::model_file::ModelInfo;

/// Samples of a self-test.
pub(crate) const SELF_TESTS: usize = 3;

/// Samples as a model takes them.
pub(crate) enum RawSamples {
    /// One sample after the other.
    Features(Vec<f64>),
    Table(Frame),
}

/// A value of a column.
pub(super) enum Value {
    Number(f64),
    /// Counted from 1; 0 is no category.
    Text(usize),
}

/// A typical sample, an extreme one, and one of gaps.
pub(super) fn sample_of(column: &EncodedColumn, number: usize) -> Value {
    let greatest = column.range.map(|(_, most)| most);
    let numbers = |mean: f64| match number {
        0 => mean,
        1 => greatest.unwrap_or(mean + 1.0),
        _ => f64::NAN,
    };
    match &column.coding {
        Coding::Mean(mean) | Coding::Bins { mean, .. } => Value::Number(numbers(*mean)),
        // In seconds, as the range is.
        Coding::Date { mean, .. } => Value::Number(numbers((mean * 86_400.0).round())),
        Coding::Categories(texts) | Coding::Codes(texts) => {
            Value::Text([1, texts.len(), 0][number.min(2)])
        }
    }
}

/// The features of a sample of a model without columns: means, and one deviation beside them.
pub(super) fn features(
    scale: Option<&Standardization>,
    inputs: usize,
    categories: &[Categories],
    number: usize,
) -> Vec<f64> {
    let feature = |i: usize| {
        let (mean, deviation) =
            scale.map_or((0.5, 0.5), |scale| (scale.mean[i], scale.deviation[i]));
        // Numbers that both precisions have.
        let x = match number {
            0 => mean,
            1 => mean + deviation,
            _ if i.is_multiple_of(2) => mean - deviation,
            _ => mean,
        };
        f64::from(x as f32)
    };
    let mut features: Vec<f64> = (0..inputs).map(feature).collect();
    for &Categories { feature, count } in categories {
        features[feature] = [1.0, count as f64, 0.0][number.min(2)];
    }
    features
}

/// The samples whose answers a self-test compares with.
pub(crate) fn raw_samples(
    info: &ModelInfo,
    inputs: usize,
    categories: &[Categories],
) -> Result<RawSamples> {
    let Some(encoder) = &info.encoder else {
        let scale = info.standardization.as_ref();
        let all = (0..SELF_TESTS).flat_map(|number| features(scale, inputs, categories, number));
        return Ok(RawSamples::Features(all.collect()));
    };
    let column = |column: &EncodedColumn| {
        let values = (0..SELF_TESTS).map(|number| sample_of(column, number));
        let number = |value| if let Value::Number(x) = value { x } else { f64::NAN };
        let values = match &column.coding {
            Coding::Categories(texts) | Coding::Codes(texts) => {
                let code = |value| match value {
                    Value::Text(code) if code > 0 => code as u32 - 1,
                    _ => MISSING,
                };
                Values::Texts { codes: values.map(code).collect(), names: texts.clone() }
            }
            Coding::Date { .. } => Values::Dates(values.map(number).collect()),
            Coding::Mean(_) | Coding::Bins { .. } => Values::Numbers(values.map(number).collect()),
        };
        Column { name: column.name.clone(), values }
    };
    let columns = Encoder::columns(encoder).iter().map(column).collect();
    Frame::new(columns, Targets::None).map(RawSamples::Table)
}
