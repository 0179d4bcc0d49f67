//! Names in source code: whatever columns and texts are called, compilers take the file.

use std::fs;

use travertine::data::{Column, Encoder, EncoderOptions, Frame, Targets, Values};
use travertine::model_file::{Language, ModelInfo};
use travertine::{Activation, Loss, Model, Network, engine};

use crate::freeze::{STRICT, has, run, rustc};
use crate::tables::folder::Folder;

/// A model of classes from columns of these texts and a column of numbers.
pub(crate) fn model(columns: &[(&str, &[&str])], bins: Option<usize>) -> Model<f32> {
    const SAMPLES: usize = 24;
    let texts = |(name, texts): &(&str, &[&str])| Column {
        name: (*name).to_owned(),
        values: Values::Texts {
            codes: (0..SAMPLES as u32).map(|i| i % texts.len() as u32).collect(),
            names: texts.iter().map(|text| (*text).to_owned()).collect(),
        },
    };
    let number = |name: &str| Column {
        name: name.to_owned(),
        values: Values::Numbers((0..SAMPLES).map(|i| i as f64).collect()),
    };
    let mut all: Vec<Column> = columns.iter().map(texts).collect();
    all.extend(["x_own", "Bool!"].map(number));
    let frame = Frame::new(all, Targets::None).unwrap();
    let options = EncoderOptions { most_one_hot: 20, bins };
    let (encoder, standardization) = Encoder::fit_with(&frame, &options).unwrap();
    let cpu = engine::open::<f32>("cpu").unwrap();
    let network = Network::builder(&cpu, encoder.features())
        .dense(3, Activation::Selu)
        .dense(2, Activation::Softmax)
        .build()
        .unwrap();
    let info = ModelInfo {
        classes: vec!["no".into(), "yes".into()],
        standardization: Some(standardization),
        encoder: Some(encoder),
        ..ModelInfo::new(Loss::SoftmaxCrossEntropy)
    };
    Model::new(network, info).unwrap()
}

/// Both languages' files, which their compilers take without a warning, with the right answers.
fn compiled(columns: &[(&str, &[&str])], name: &str) -> [String; 2] {
    let folder = Folder::new();
    let mut sources = [String::new(), String::new()];
    for bins in [None, Some(3)] {
        let model = model(columns, bins);
        sources = [Language::C, Language::Rust].map(|of| model.to_source(of, name).unwrap());
        let (c, rust) = (format!("{name}.c"), format!("{name}.rs"));
        fs::write(folder.join(&c), &sources[0]).unwrap();
        fs::write(folder.join(&rust), &sources[1]).unwrap();
        let main = format!(
            "#define {}_DECLARATIONS_ONLY\n#include <errno.h>\n#include <stdbool.h>\n#include <assert.h>\n#include \"{c}\"\nint main(void)\n{{\n    return {name}_self_test();\n}}\n",
            name.to_uppercase()
        );
        fs::write(folder.join("main.c"), main).unwrap();
        for compiler in ["gcc", "clang"].into_iter().filter(|compiler| has(compiler)) {
            let command = [&[compiler], &STRICT[..], &[&c, "main.c", "-lm", "-o", "program"]];
            run(&folder, &command.concat());
            run(&folder, &["./program"]);
        }
        let main =
            format!("mod {name};\nfn main() {{\n    assert_eq!({name}::self_test(), 0);\n}}\n");
        fs::write(folder.join("main.rs"), main).unwrap();
        run(&folder, &[&rustc(), "--edition", "2021", "-D", "warnings", "main.rs", "-o", "rust"]);
        run(&folder, &["./rust"]);
    }
    sources
}

/// Whether a text has this as a whole word.
fn has_word(text: &str, word: &str) -> bool {
    text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').any(|found| found == word)
}

#[test]
fn tables_leave_the_names_of_values_alone() {
    let [c, _] =
        compiled(&[("job", &["others", "own", "texts"]), ("own", &["texts", "a"])], "credit");
    for name in ["CREDIT_JOB_OTHERS", "CREDIT_JOB_OWN", "CREDIT_JOB_TEXTS", "CREDIT_OWN_TEXTS"] {
        assert!(c.contains(&format!("    {name} = ")), "{name}");
    }
}

#[test]
fn columns_and_texts_with_the_same_words_have_names_of_their_own() {
    compiled(
        &[
            ("a", &["b_c", "b", "b_unknown"]),
            ("a_b", &["c", "unknown", "texts"]),
            ("a of", &["x", "y"]),
        ],
        "x",
    );
}

#[test]
fn the_names_of_the_file_itself_are_kept() {
    let columns: &[(&str, &[&str])] = &[
        ("Row", &["row", "Row"]),
        ("declarations", &["only", "b"]),
        ("self", &["test", "self", "Self"]),
        ("layer 0", &["weights", "bias"]),
        ("layer", &["0_weights", "0 bias", "1"]),
        ("predict", &["a", "b"]),
        ("class", &["es", "b"]),
        ("same", &["a", "b"]),
        ("selu", &["a", "b"]),
    ];
    let [c, rust] = compiled(columns, "x");
    // A column's own name stays the name of its field.
    assert!(c.contains(" row; /* \"Row\"") && rust.contains("pub row: "));
}

#[test]
fn words_of_the_languages_are_no_names() {
    let words = [
        "Self",
        "self",
        "super",
        "crate",
        "Option",
        "Some",
        "None",
        "Vec",
        "f64",
        "usize",
        "str",
        "Copy",
        "fn",
        "int",
        "union",
        "gen",
        "errno",
        "assert",
        "bool",
        "linux",
        "asm",
        "static_assert",
        "inline",
        "_",
    ];
    let texts: &[&str] = &["Self", "crate", "Unknown", "of", "None"];
    let columns: Vec<(&str, &[&str])> = words.iter().map(|word| (*word, texts)).collect();
    let [_, rust] = compiled(&columns, "fp");
    for name in ["Self", "Option", "Vec", "Copy"] {
        assert!(!rust.contains(&format!("pub enum {name} ")), "{name}");
        assert!(has_word(&rust, &format!("{name}2")), "{name}");
    }
    compiled(&[("fast", &["fma", "fmaf"])], "fp");
}
