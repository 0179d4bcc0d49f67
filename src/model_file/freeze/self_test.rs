//! The self-test of a frozen model.

use super::answers::Answer;
use super::columns::Input;
use super::samples::SELF_TESTS;
use super::writer::{Kind, SourceWriter};
use super::{Language, SelfTest};

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
