//! Raw columns as features: gaps, standardization, bins, dates and texts as operators. They compute in double precision, as the library
//! does, and round to the network's numbers at the end.

use super::message::data_type;
use super::writer::{GraphWriter, Number, int, strings};
use crate::data::{Coding, EncodedColumn, Encoder, Standardization};

/// Seconds of a day.
const DAY: f64 = 86_400.0;
/// Beyond it a standardized number is the bound in double precision, and its square does not overflow.
const FAR: f64 = 1e150;
/// Ways of writing a whole number with zero decimals that a text is found by: "1.0" for "1".
const ZERO_DECIMALS: [&str; 2] = [".0", ".00"];

/// The features `[N, features]` of raw columns, each an input of its own. `names`: of the inputs.
pub(super) fn encode(
    graph: &mut GraphWriter,
    encoder: &Encoder,
    standardization: Option<&Standardization>,
    names: &[String],
) -> String {
    graph.scope("columns");
    let (mut blocks, mut feature) = (Vec::new(), 0);
    let mut columns = encoder.columns().iter().zip(names).peekable();
    while let Some((column, name)) = columns.next() {
        let block = match &column.coding {
            Coding::Mean(mean) => {
                // Neighboring numbers are one block.
                let (mut inputs, mut means) = (vec![name.clone()], vec![*mean]);
                while let Some((Coding::Mean(mean), name)) =
                    columns.peek().map(|(next, name)| (&next.coding, *name))
                {
                    means.push(*mean);
                    inputs.push(name.clone());
                    columns.next();
                }
                let x = graph.concat(&inputs, 1);
                let x = without_gaps(graph, &x, &means);
                let features = feature..feature + means.len();
                feature = features.end;
                standardize(graph, standardization, features, &x)
            }
            coding => {
                let features = feature..feature + column.features();
                feature = features.end;
                match coding {
                    Coding::Categories(texts) => {
                        let scaled = |feature: usize, x| {
                            standardization.map_or(x, |scale| scale.scaled(feature, x))
                        };
                        let table =
                            one_hot(texts.len(), |text, x| scaled(features.start + text, x));
                        categories(graph, texts, table, name)
                    }
                    Coding::Codes(texts) => {
                        let codes = find(graph, texts, name);
                        graph.cast(&codes, data_type::DOUBLE)
                    }
                    Coding::Bins { mean, edges } => bins(graph, *mean, edges, name),
                    Coding::Date { mean, .. } => {
                        let x = date(graph, column, *mean, name);
                        standardize(graph, standardization, features, &x)
                    }
                    Coding::Mean(_) => name.clone(),
                }
            }
        };
        blocks.push(block);
    }
    let all = graph.concat(&blocks, 1);
    if graph.is_double() { all } else { graph.cast(&all, data_type::FLOAT) }
}

/// What stands in the input of a column.
pub(super) fn describe(column: &EncodedColumn) -> (i32, String) {
    let listed = |texts: &[String]| {
        format!("a text, one of {}; any other is of no category", crate::data::text::listed(texts))
    };
    match &column.coding {
        Coding::Mean(mean) | Coding::Bins { mean, .. } => {
            (data_type::DOUBLE, format!("a number; NaN, where it is missing, becomes {mean}"))
        }
        Coding::Categories(texts) | Coding::Codes(texts) => (data_type::STRING, listed(texts)),
        Coding::Date { .. } => (
            data_type::DOUBLE,
            "a date, in seconds since 1970-01-01 00:00:00; NaN, where it is missing".to_owned(),
        ),
    }
}

/// Numbers with these in the place of those that are missing.
fn without_gaps(graph: &mut GraphWriter, x: &str, means: &[f64]) -> String {
    let means = graph.constant(Number::Double, &[means.len()], means);
    let is_missing = graph.map("IsNaN", x);
    graph.apply("Where", &[&is_missing, &means, x], Vec::new())
}

/// Double numbers of these features on the scale of the network.
pub(super) fn standardize(
    graph: &mut GraphWriter,
    standardization: Option<&Standardization>,
    features: std::ops::Range<usize>,
    x: &str,
) -> String {
    let Some(Standardization { mean, deviation, bound, unscaled: _ }) = standardization else {
        return x.to_owned();
    };
    let count = features.len();
    let mean = graph.constant(Number::Double, &[count], &mean[features.clone()]);
    let deviation = graph.constant(Number::Double, &[count], &deviation[features]);
    let distance = graph.sub(x, &mean);
    let y = graph.div(&distance, &deviation);
    let &Some(bound) = bound else { return y };
    // bound y / sqrt(y^2 + bound^2)
    let mut double = |x: f64| graph.constant(Number::Double, &[], &[x]);
    let (least, most, square_of_bound, bound) =
        (double(-FAR), double(FAR), double(bound * bound), double(bound));
    let y = graph.apply("Clip", &[&y, &least, &most], Vec::new());
    let square = graph.mul(&y, &y);
    let sum = graph.add(&square, &square_of_bound);
    let root = graph.map("Sqrt", &sum);
    let share = graph.div(&y, &root);
    graph.mul(&bound, &share)
}

/// For no category and for each one its row of features, `[texts + 1, texts]`, where `scaled(feature, x)` is what 0 and 1 become.
fn one_hot(texts: usize, scaled: impl Fn(usize, f64) -> f64) -> Vec<f64> {
    let row = |row: usize| {
        let scaled = &scaled;
        (0..texts).map(move |text| scaled(text, if text + 1 == row { 1.0 } else { 0.0 }))
    };
    (0..=texts).flat_map(row).collect()
}

fn categories(graph: &mut GraphWriter, texts: &[String], table: Vec<f64>, input: &str) -> String {
    let codes = find(graph, texts, input);
    let codes = graph.reshape(&codes, &[-1]);
    let table = graph.constant(Number::Double, &[texts.len() + 1, texts.len()], &table);
    graph.gather(&table, &codes, 0)
}

/// The number of a text among these, counted from 1; 0 for any other.
fn find(graph: &mut GraphWriter, texts: &[String], input: &str) -> String {
    let is_whole = |text: &str| {
        let digits = text.trim_start_matches('-');
        !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
    };
    let mut keys: Vec<(String, i64)> = texts.iter().cloned().zip(1..).collect();
    for (text, number) in texts.iter().zip(1..) {
        let others = ZERO_DECIMALS.map(|zeros| format!("{text}{zeros}"));
        let new = others.into_iter().filter(|other| is_whole(text) && !texts.contains(other));
        keys.extend(new.map(|other| (other, number)));
    }
    let (keys, numbers): (Vec<String>, Vec<i64>) = keys.into_iter().unzip();
    let attributes = vec![
        strings("keys_strings", &keys),
        super::writer::ints("values_int64s", &numbers),
        int("default_int64", 0),
    ];
    graph.apply_ml("LabelEncoder", &[input], attributes)
}

/// Shares of bins, as of [`EncodedColumn::bin_features`].
fn bins(graph: &mut GraphWriter, mean: f64, edges: &[f64], input: &str) -> String {
    let x = without_gaps(graph, input, &[mean]);
    let bins = edges.len() - 1;
    let mut vector = |values: Vec<f64>| graph.constant(Number::Double, &[values.len()], &values);
    let low = vector(edges[..bins].to_vec());
    let width = vector(edges.windows(2).map(|pair| pair[1] - pair[0]).collect());
    let first = |bin: usize| if bin == 0 { f64::NEG_INFINITY } else { 0.0 };
    let last = |bin: usize| if bin + 1 == bins { f64::INFINITY } else { 1.0 };
    let (least, most) =
        (vector((0..bins).map(first).collect()), vector((0..bins).map(last).collect()));
    let distance = graph.sub(&x, &low);
    let share = graph.div(&distance, &width);
    let share = graph.pair("Max", &share, &least);
    graph.pair("Min", &share, &most)
}

/// Days and cycles, as of [`EncodedColumn::date_features`].
fn date(graph: &mut GraphWriter, column: &EncodedColumn, mean: f64, input: &str) -> String {
    let Coding::Date { cycles, .. } = &column.coding else { return input.to_owned() };
    let mut double = |x: f64| graph.constant(Number::Double, &[], &[x]);
    let (day, tau, zero) = (double(DAY), double(std::f64::consts::TAU), double(0.0));
    let days = graph.div(input, &day);
    let is_missing = graph.map("IsNaN", &days);
    let mut features = vec![without_gaps(graph, &days, &[mean])];
    for cycle in cycles {
        let period = graph.constant(Number::Double, &[], &[cycle.days()]);
        let turns = graph.div(&days, &period);
        let whole = graph.map("Floor", &turns);
        let phase = graph.sub(&turns, &whole);
        let phase = graph.mul(&phase, &tau);
        for wave in ["Sin", "Cos"] {
            let wave = graph.map(wave, &phase);
            features.push(graph.apply("Where", &[&is_missing, &zero, &wave], Vec::new()));
        }
    }
    graph.concat(&features, 1)
}
