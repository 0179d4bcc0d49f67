//! The features of samples, written tile by tile.

use super::Values;
use super::coding::{Coding, Cycle, EncodedColumn, known_categories};
use super::frame::FrameRows;
use super::standardization::Scale;
use super::table::DAY;
use super::text::MISSING;
use crate::Scalar;

/// Samples that are encoded column by column: their features stay in the L1 cache.
const TILE: usize = 64;
/// Writes the features of one column.
pub(super) struct Writer<'a> {
    /// The first feature.
    first: usize,
    /// Of its features.
    scales: Vec<Scale>,
    values: Written<'a>,
}

enum Written<'a> {
    Numbers(&'a [f64], f64),
    Bins(&'a [f64], f64, &'a [f64]),
    Dates(&'a [f64], f64, &'a [Cycle]),
    /// For each text its feature, counted from the first; and what 0 and 1 are on the scale of each feature.
    Categories(&'a [u32], Vec<Option<usize>>, Vec<[f64; 2]>),
    /// For each text its number among the categories, counted from 0.
    Codes(&'a [u32], Vec<Option<usize>>),
}

impl<'a> Writer<'a> {
    pub(super) fn new(
        ours: &'a EncodedColumn,
        values: &'a Values,
        first: usize,
        scales: Vec<Scale>,
    ) -> Self {
        let values = match (values, &ours.coding) {
            (Values::Dates(values), Coding::Date { mean, cycles }) => {
                Written::Dates(values, *mean, cycles)
            }
            (Values::Texts { codes, names }, Coding::Categories(texts)) => {
                let values = scales.iter().map(|scale| [0.0, 1.0].map(|x| scale.apply(x)));
                Written::Categories(codes, known_categories(texts, names), values.collect())
            }
            (Values::Texts { codes, names }, Coding::Codes(texts)) => {
                Written::Codes(codes, known_categories(texts, names))
            }
            (Values::Numbers(values), Coding::Bins { mean, edges }) => {
                Written::Bins(values, *mean, edges)
            }
            (Values::Numbers(values), Coding::Mean(mean)) => Written::Numbers(values, *mean),
            // `check_columns` has refused all others.
            _ => Written::Numbers(&[], 0.0),
        };
        Writer { first, scales, values }
    }

    /// Writes the features of these samples, which are 0 before; `features`: `inputs x samples`.
    fn write<T: Scalar>(
        &self,
        samples: impl Iterator<Item = usize>,
        (features, inputs): (&mut [T], usize),
    ) {
        let places = features.chunks_exact_mut(inputs).map(|sample| &mut sample[self.first..]);
        match &self.values {
            Written::Numbers(values, gap) => {
                let scale = self.scales[0];
                for (place, sample) in places.zip(samples) {
                    let x = values[sample];
                    let x = if x.is_nan() { *gap } else { x };
                    place[0] = T::from_f64(scale.apply(x));
                }
            }
            Written::Dates(values, gap, cycles) => {
                for (place, sample) in places.zip(samples) {
                    let mut feature = 0;
                    EncodedColumn::date_features(*gap, cycles, values[sample] / DAY, |x| {
                        place[feature] = T::from_f64(self.scales[feature].apply(x));
                        feature += 1;
                    });
                }
            }
            Written::Bins(values, gap, edges) => {
                for (place, sample) in places.zip(samples) {
                    let mut features = place.iter_mut();
                    EncodedColumn::bin_features(*gap, edges, values[sample], |x| {
                        features.next().into_iter().for_each(|place| *place = T::from_f64(x));
                    });
                }
            }
            Written::Codes(codes, known) => {
                for (place, sample) in places.zip(samples) {
                    let known = match codes[sample] {
                        MISSING => None,
                        code => known[code as usize],
                    };
                    place[0] = T::from_f64(known.map_or(0.0, |number| number as f64 + 1.0));
                }
            }
            Written::Categories(codes, known, values) => {
                let are_zero = values.iter().all(|[zero, _]| *zero == 0.0);
                for (place, sample) in places.zip(samples) {
                    if !are_zero {
                        let zeros = values.iter().map(|[zero, _]| T::from_f64(*zero));
                        place.iter_mut().zip(zeros).for_each(|(place, zero)| *place = zero);
                    }
                    let code = codes[sample];
                    if code != MISSING
                        && let Some(text) = known[code as usize]
                    {
                        place[text] = T::from_f64(values[text][1]);
                    }
                }
            }
        }
    }
}

/// Writes samples from `from` on, a tile after the other; false if one of the features is not finite.
pub(super) fn write_samples<T: Scalar>(
    writers: &[Writer<'_>],
    rows: FrameRows<'_>,
    from: usize,
    (features, inputs): (&mut [T], usize),
) -> bool {
    let mut finite = true;
    for (tile, features) in features.chunks_mut(TILE * inputs).enumerate() {
        let first = from + tile * TILE;
        let samples = first..first + features.len() / inputs;
        for writer in writers {
            writer.write(samples.clone().map(|i| rows.number(i)), (&mut *features, inputs));
        }
        finite &= features.iter().fold(true, |finite, x| finite & x.is_finite());
    }
    finite
}
