//! The features of a graph's inputs, and the columns that they come from.

use crate::data::{Coding, EncodedColumn, Encoder, Standardization};

/// A number in front of the network: `scale base + shift`.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Feature {
    pub(super) base: Base,
    pub(super) scale: f64,
    pub(super) shift: f64,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Base {
    /// The number in a column.
    Number(usize),
    /// 1 where this text stands in the column, else 0.
    Category { column: usize, text: usize },
}

/// A column of the raw rows.
#[derive(Clone, Debug)]
pub(super) struct Column {
    pub(super) name: String,
    /// What a missing number becomes.
    pub(super) gap: Option<f64>,
    /// The categories of a column of texts, once they are known.
    pub(super) texts: Option<Vec<String>>,
    /// Whether it has texts and no numbers.
    pub(super) is_text: bool,
}

/// What the columns become, and how the features of the graph follow from those of the encoder.
pub(super) struct Front {
    /// Where numbers alone without gaps are features, there is none.
    pub(super) encoder: Option<Encoder>,
    pub(super) standardization: Option<Standardization>,
    /// For each feature of the graph that of the encoder, with a factor and a summand.
    pub(super) map: Vec<(usize, f64, f64)>,
    /// Features of the encoder.
    pub(super) inputs: usize,
    pub(super) names: Vec<String>,
}

impl Feature {
    pub(super) fn number(column: usize) -> Self {
        Feature { base: Base::Number(column), scale: 1.0, shift: 0.0 }
    }

    pub(super) fn scaled(&self, scale: f64, shift: f64) -> Self {
        Feature {
            base: self.base.clone(),
            scale: self.scale * scale,
            shift: self.shift * scale + shift,
        }
    }
}

impl Front {
    /// `are_named`: whether the names of the columns are the file's, and not numbers of one input.
    pub(super) fn new(features: &[Feature], columns: &[Column], are_named: bool) -> Self {
        // The encoder's first feature of each column, and all of its features.
        let (mut first, mut inputs) = (Vec::new(), 0);
        for column in columns {
            first.push(inputs);
            inputs += column.texts.as_ref().map_or(usize::from(!column.is_text), Vec::len);
        }
        let place = |feature: &Feature| match feature.base {
            Base::Number(column) => first[column],
            Base::Category { column, text } => first[column] + text,
        };
        let (mut mean, mut deviation) = (vec![0.0; inputs], vec![1.0; inputs]);
        let mut is_scaled = vec![false; inputs];
        for feature in features.iter().filter(|f| matches!(f.base, Base::Number(_))) {
            let at = place(feature);
            let (center, width) = (-feature.shift / feature.scale, 1.0 / feature.scale);
            let is_scale = feature.scale > 0.0 && center.is_finite() && width.is_finite();
            if !is_scaled[at] && is_scale && width > 0.0 {
                (mean[at], deviation[at], is_scaled[at]) = (center, width, true);
            }
        }
        let map = features.iter().map(|feature| {
            let at = place(feature);
            // x = mean + deviation y
            let (scale, shift) =
                (feature.scale * deviation[at], feature.scale * mean[at] + feature.shift);
            let is_own =
                (deviation[at], mean[at]) == (1.0 / feature.scale, -feature.shift / feature.scale);
            if is_own { (at, 1.0, 0.0) } else { (at, scale, shift) }
        });
        let map = map.collect();
        let is_plain = mean.iter().all(|x| *x == 0.0) && deviation.iter().all(|x| *x == 1.0);
        let means = columns.iter().zip(&first).map(|(_, at)| mean.get(*at).copied());
        let coded = columns.iter().zip(means.map(Option::unwrap_or_default));
        let coded = coded.filter(|(column, _)| !column.is_text || column.texts.is_some());
        let needs_encoder = columns.iter().any(|column| column.is_text || column.gap.is_some());
        let encoder = needs_encoder.then(|| {
            Encoder::of_columns(
                coded
                    .map(|(column, mean)| EncodedColumn {
                        name: column.name.clone(),
                        coding: match &column.texts {
                            Some(texts) => Coding::Categories(texts.clone()),
                            None => Coding::Mean(column.gap.unwrap_or(mean)),
                        },
                        gaps: column.gap.is_some() || column.is_text,
                        range: None,
                    })
                    .collect(),
            )
        });
        let names = match &encoder {
            Some(encoder) => encoder.feature_names(),
            None if are_named => columns.iter().map(|column| column.name.clone()).collect(),
            None => Vec::new(),
        };
        let standardization = (!is_plain).then(|| Standardization {
            mean,
            deviation,
            bound: None,
            unscaled: Vec::new(),
        });
        Front { encoder, standardization, map, inputs, names }
    }

    /// Whether the graph's features are the encoder's, one by one.
    pub(super) fn is_identity(&self) -> bool {
        self.map.len() == self.inputs
            && self.map.iter().enumerate().all(|(i, feature)| *feature == (i, 1.0, 0.0))
    }
}
