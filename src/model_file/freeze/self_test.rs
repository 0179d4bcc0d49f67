//! The samples of a frozen model's self-test.

use super::answers::Answer;
use super::columns::Input;
use super::writer::{Kind, SourceWriter};
use super::{Language, SelfTest};
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
            _ if i % 2 == 0 => mean - deviation,
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

/// The function that compares the answers with those that the library gave.
pub(super) fn declare(
    writer: &mut SourceWriter,
    (input, answer): (&Input<'_>, &Answer<'_>),
    test: &SelfTest,
) {
    let (of, count) = input.sample_type(writer);
    let samples: Vec<String> = (0..SELF_TESTS).map(|number| input.sample(writer, number)).collect();
    let expected: Vec<String> = test
        .answers
        .chunks(answer.width)
        .map(|some| {
            some.iter().map(|x| writer.literal(answer.kind, *x)).collect::<Vec<_>>().join(", ")
        })
        .collect();
    let (kind, width) = (writer.type_name(answer.kind), answer.width);
    // Sums in another order than the library's.
    let tolerance =
        writer.literal(answer.kind, if writer.number == Kind::Single { 2e-5 } else { 1e-12 });
    let (one, zero) = (writer.literal(answer.kind, 1.0), writer.literal(answer.kind, 0.0));
    let (function, predict) = (writer.name("self_test"), writer.name("predict"));
    match writer.language {
        Language::C => {
            let samples: String =
                samples.iter().map(|sample| format!("        {{{sample}}},\n")).collect();
            let expected: String =
                expected.iter().map(|row| format!("        {{{row}}},\n")).collect();
            let (dimension, by_address) = match count {
                Some(count) => (format!("[{count}]"), ""),
                None => (String::new(), "&"),
            };
            writer.declaration(&format!("int {function}(void);"));
            writer.raw(&format!(
                "\n/* The samples of a self-test whose answers are not those of the library; 0 where all are right. */\nint {function}(void)\n{{\n    static const {of} samples[{SELF_TESTS}]{dimension} = {{\n{samples}    }};\n    static const {kind} expected[{SELF_TESTS}][{width}] = {{\n{expected}    }};\n    int wrong = 0;\n    for (int sample = 0; sample < {SELF_TESTS}; sample++) {{\n        {kind} answers[{width}];\n        int is_wrong = 0;\n        {predict}({by_address}samples[sample], answers);\n        for (int i = 0; i < {width}; i++) {{\n            const {kind} right = expected[sample][i];\n            const {kind} size = right < {zero} ? -right : right;\n            const {kind} error = answers[i] < right ? right - answers[i] : answers[i] - right;\n            is_wrong = is_wrong || !(error <= {tolerance} * ({one} + size));\n        }}\n        wrong += is_wrong;\n    }}\n    return wrong;\n}}\n"
            ));
            let capitals = writer.constant_name("self_test");
            writer.raw(&format!(
                "\n#ifdef {capitals}\nint main(void)\n{{\n    return {function}();\n}}\n#endif\n"
            ));
        }
        Language::Rust => {
            let brackets = if count.is_some() { ["[", "]"] } else { ["Row { ", " }"] };
            let samples: String = samples
                .iter()
                .map(|sample| format!("        {}{sample}{},\n", brackets[0], brackets[1]))
                .collect();
            let expected: String =
                expected.iter().map(|row| format!("        [{row}],\n")).collect();
            let of = count.map_or(of.clone(), |count| format!("[{of}; {count}]"));
            writer.raw(&format!(
                "\n/// The samples of a self-test whose answers are not those of the library; 0 where all are right.\npub fn {function}() -> usize {{\n    static SAMPLES: [{of}; {SELF_TESTS}] = [\n{samples}    ];\n    static EXPECTED: [[{kind}; {width}]; {SELF_TESTS}] = [\n{expected}    ];\n    let mut wrong = 0;\n    for (sample, expected) in SAMPLES.iter().zip(&EXPECTED) {{\n        let answers = {predict}(sample);\n        let is_right = answers.iter().zip(expected).all(|(answer, right)| {{\n            let (error, size) = (answer - right, if *right < {zero} {{ -*right }} else {{ *right }});\n            (if error < {zero} {{ -error }} else {{ error }}) <= {tolerance} * ({one} + size)\n        }});\n        wrong += usize::from(!is_right);\n    }}\n    wrong\n}}\n\n#[cfg(test)]\n#[test]\nfn the_answers_are_those_of_the_library() {{\n    assert_eq!({function}(), 0);\n}}\n"
            ));
        }
    }
}
