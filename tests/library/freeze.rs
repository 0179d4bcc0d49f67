//! Models as source code: compiled by the compilers that are there, their answers are the library's.

use std::fmt::Write as _;
use std::fs;
use std::process::Command;

use travertine::data::{
    Column, Dataset, Encoder, EncoderOptions, Frame, MISSING, TargetScale, Targets, Values,
};
use travertine::layer::Categories;
use travertine::model_file::{Language, ModelInfo};
use travertine::{Activation, Loss, Model, Network, Predictions, Scalar, engine};

use crate::networks::{features, networks, shuffled};
use crate::tables::folder::Folder;

pub(crate) const STRICT: [&str; 5] = ["-std=c99", "-pedantic", "-Wall", "-Wextra", "-Werror"];

/// Whether this compiler is there. Where it has to be and is not, the test fails.
pub(crate) fn has(compiler: &str) -> bool {
    let found = Command::new(compiler).arg("--version").output();
    if found.is_ok_and(|output| output.status.success()) {
        return true;
    }
    let must = std::env::var("TRAVERTINE_ENSURE_COMPILERS").unwrap_or_default();
    assert!(
        !must.split(' ').any(|name| name == compiler),
        "{compiler} is missing, but TRAVERTINE_ENSURE_COMPILERS names it"
    );
    eprintln!("LEFT OUT: models as source code with {compiler}, which is missing");
    false
}

pub(crate) fn rustc() -> String {
    std::env::var("RUSTC").unwrap_or("rustc".to_owned())
}

/// Runs a command in the folder, which must succeed in silence; returns what it prints.
pub(crate) fn run(folder: &Folder, command: &[&str]) -> String {
    let output = Command::new(command[0])
        .args(&command[1..])
        .current_dir(folder.as_ref() as &std::path::Path)
        .output()
        .unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && error.is_empty(), "{command:?}: {}\n{error}", output.status);
    String::from_utf8(output.stdout).unwrap()
}

fn scores<T: Scalar>(predictions: &Predictions<T>) -> Vec<f64> {
    let of = |i| {
        let one = predictions.get(i).unwrap();
        if one.scores().is_empty() { one.values().to_vec() } else { one.scores().to_vec() }
    };
    (0..predictions.len()).flat_map(of).collect()
}

/// The numbers that a program printed.
fn parsed(printed: &str) -> Vec<f64> {
    printed.split_whitespace().map(|x| x.parse().unwrap()).collect()
}

/// The largest difference, relative to 1 and the number.
fn difference(found: &[f64], right: &[f64]) -> f64 {
    assert_eq!(found.len(), right.len());
    let one = |(a, b): (&f64, &f64)| (a - b).abs() / (1.0 + b.abs());
    let all = found.iter().zip(right).map(one);
    all.fold(0.0, |most, one| if one <= most { most } else { one })
}

/// A model without columns, its name, features and the library's answers.
struct Case {
    name: String,
    sources: [String; 2],
    features: Vec<f64>,
    inputs: usize,
    right: Vec<f64>,
    /// The type of a feature in C and in Rust.
    kinds: [&'static str; 2],
}

fn case<T: Scalar>(name: &str, model: &Model<T>, features: Vec<f64>) -> Case {
    let inputs = model.network().inputs();
    let of_t: Vec<T> = features.iter().map(|x| T::from_f64(*x)).collect();
    let features = T::to_f64s(&of_t);
    let predictions = model.predict(&Dataset::new(inputs, of_t, Targets::None).unwrap()).unwrap();
    let is_single = size_of::<T>() == 4 && model.info().standardization.is_none();
    Case {
        name: name.to_owned(),
        sources: [Language::C, Language::Rust].map(|of| model.to_source(of, name).unwrap()),
        features,
        inputs,
        right: scores(&predictions),
        kinds: if is_single { ["float", "f32"] } else { ["double", "f64"] },
    }
}

/// One program of C with all models. It runs their self-tests, too.
fn c_program(cases: &[Case]) -> String {
    let mut text = String::from("#include <stdio.h>\n");
    for case in cases {
        let _ = writeln!(text, "#include \"{}.c\"", case.name);
    }
    text.push_str("int main(void)\n{\n    int wrong = 0;\n");
    for Case { name, features, inputs, right, kinds, .. } in cases {
        let samples = features.len() / inputs;
        let (width, values) = (right.len() / samples, list(features));
        let of = kinds[0];
        let _ = write!(
            text,
            "    {{\n        static const {of} x[{samples} * {inputs}] = {{{values}}};\n        wrong += {name}_self_test();\n        for (int i = 0; i < {samples}; i++) {{\n            __typeof__({name}_answer_type()) answers[{width}];\n            {name}_predict(x + i * {inputs}, answers);\n            for (int k = 0; k < {width}; k++) {{\n                printf(\"%.17g\\n\", (double)answers[k]);\n            }}\n        }}\n    }}\n"
        );
    }
    text.push_str("    return wrong;\n}\n");
    // The type of the answers, as the declaration has it.
    for Case { name, sources, .. } in cases {
        let head = sources[0].split(&format!("void {name}_predict(")).nth(1).unwrap();
        let parameters = head.split(')').next().unwrap();
        let of = if parameters.contains(", double answers") { "double" } else { "float" };
        text = text.replace(&format!("__typeof__({name}_answer_type())"), of);
    }
    text
}

/// One program of Rust with all models, which use `core` alone.
fn rust_program(cases: &[Case]) -> [String; 2] {
    let mut library = String::from("#![no_std]\n");
    let mut text = String::from("fn main() {\n    let mut wrong = 0;\n");
    for Case { name, features, inputs, kinds, .. } in cases {
        let _ = writeln!(library, "pub mod {name};");
        let (samples, of) = (features.len() / inputs, kinds[1]);
        let rows: String =
            features.chunks(*inputs).map(|row| format!("[{}],", list(row))).collect();
        let _ = write!(
            text,
            "    let x: [[{of}; {inputs}]; {samples}] = [{rows}];\n    wrong += models::{name}::self_test();\n    for sample in &x {{\n        for answer in models::{name}::predict(sample) {{\n            println!(\"{{:?}}\", f64::from(answer));\n        }}\n    }}\n"
        );
    }
    text.push_str("    std::process::exit(wrong as i32);\n}\n");
    [library, text]
}

fn list(numbers: &[f64]) -> String {
    numbers.iter().map(|x| format!("{x:?},")).collect()
}

/// For each compiler that is there the answers of all models, one after the other.
fn answers_by_compiler(cases: &[Case]) -> Vec<(&'static str, Vec<f64>)> {
    let folder = Folder::new();
    for Case { name, sources: [c, rust], .. } in cases {
        fs::write(folder.join(format!("{name}.c")), c).unwrap();
        fs::write(folder.join(format!("{name}.rs")), rust).unwrap();
    }
    fs::write(folder.join("main.c"), c_program(cases)).unwrap();
    let mut all = Vec::new();
    for compiler in ["gcc", "clang"].into_iter().filter(|compiler| has(compiler)) {
        let command = [&[compiler], &STRICT[..], &["-O2", "main.c", "-lm", "-o", "program"]];
        run(&folder, &command.concat());
        all.push((compiler, parsed(&run(&folder, &["./program"]))));
    }
    let [library, program] = rust_program(cases);
    fs::write(folder.join("models.rs"), library).unwrap();
    fs::write(folder.join("main.rs"), program).unwrap();
    let rustc = rustc();
    let shared = [rustc.as_str(), "--edition", "2021", "-O", "-D", "warnings"];
    run(&folder, &[&shared[..], &["--crate-type", "rlib", "models.rs"]].concat());
    run(
        &folder,
        &[&shared[..], &["main.rs", "--extern", "models=libmodels.rlib", "-o", "rust"]].concat(),
    );
    all.push(("rustc", parsed(&run(&folder, &["./rust"]))));
    all
}

fn every_network<T: Scalar>(tolerance: f64) {
    let cpu = engine::open::<T>("cpu").unwrap();
    let cases: Vec<Case> = networks::<T>(&cpu)
        .iter()
        .filter(|(name, ..)| !name.ends_with("_20"))
        .map(|(name, _, model)| case(name, model, features(model)))
        .collect();
    assert!(cases.len() > 20, "{}", cases.len());
    for (compiler, found) in answers_by_compiler(&cases) {
        let mut rest = &found[..];
        for Case { name, right, .. } in &cases {
            let (own, others) = rest.split_at(right.len());
            rest = others;
            let difference = difference(own, right);
            assert!(difference <= tolerance, "{compiler}, {name}: {difference:e}");
        }
        assert!(rest.is_empty());
    }
}

#[test]
fn every_network_answers_as_the_library_in_single_precision() {
    every_network::<f32>(4e-6);
}

#[test]
fn every_network_answers_as_the_library_in_double_precision() {
    every_network::<f64>(1e-14);
}

/// A layer of one unit is its activation; what the library computes in double precision is the truth for single precision.
#[test]
fn activations_are_right_to_two_units_in_the_last_place() {
    let (single, double) =
        (engine::open::<f32>("cpu").unwrap(), engine::open::<f64>("cpu").unwrap());
    let x: Vec<f64> =
        (-2000..=2000).map(|i| f64::from((f64::from(i) * 0.0123 + 1e-4) as f32)).collect();
    let mut cases = Vec::new();
    let mut truths = Vec::new();
    for activation in Activation::ALL {
        if matches!(activation, Activation::Identity | Activation::Softmax) {
            continue;
        }
        let mut network = Network::builder(&single, 1).dense(1, activation).build().unwrap();
        network.layers_mut()[0].weights_mut().write(&[1.0]).unwrap();
        let model = Model::new(network, ModelInfo::new(Loss::Quadratic)).unwrap();
        cases.push(case(activation.name(), &model, x.clone()));
        let mut network = Network::builder(&double, 1).dense(1, activation).build().unwrap();
        network.layers_mut()[0].weights_mut().write(&[1.0]).unwrap();
        let model = Model::new(network, ModelInfo::new(Loss::Quadratic)).unwrap();
        truths.push(case(activation.name(), &model, x.clone()).right);
    }
    for (compiler, found) in answers_by_compiler(&cases) {
        for ((case, own), truth) in cases.iter().zip(found.chunks(x.len())).zip(&truths) {
            for ((x, own), truth) in x.iter().zip(own).zip(truth) {
                let truth_in_single = (*truth as f32).abs();
                let next = f32::from_bits(truth_in_single.to_bits() + 1);
                let unit = f64::from(next - truth_in_single);
                let error = (own - truth).abs() / unit;
                // Subnormal numbers have few digits, of which a product loses more.
                let allowed = if truth_in_single < f32::MIN_POSITIVE { 16.0 } else { 2.0 };
                let name = &case.name;
                assert!(error <= allowed, "{compiler}, {name}({x}) = {own}, not {truth}: {error}");
            }
        }
    }
}

/// Columns of every kind with names that no language takes as they are.
fn table() -> Frame {
    let column = |name: &str, values| Column { name: name.to_owned(), values };
    let texts = |names: &[&str], codes: Vec<u32>| Values::Texts {
        codes,
        names: names.iter().map(|name| (*name).to_owned()).collect(),
    };
    let n = 12;
    let numbers = |f: fn(usize) -> f64| Values::Numbers((0..n).map(f).collect());
    Frame::new(
        vec![
            column("größe (m)", numbers(|i| if i == 5 { f64::NAN } else { 0.3 * i as f64 - 1.0 })),
            column("int", numbers(|i| ((i * 7) % 5) as f64)),
            column(
                "town",
                texts(
                    &["Rome", "Bern \"old\"", "*/ ??/", "7"],
                    (0..n as u32).map(|i| if i == 3 { MISSING } else { i % 4 }).collect(),
                ),
            ),
            column(
                "sold",
                Values::Dates((0..n).map(|i| 1.6e9 + 86_400.0 * 40.5 * i as f64).collect()),
            ),
            column(
                "Town",
                texts(&["self", "Self", "ж", "a b", "a-b"], (0..n as u32).map(|i| i % 5).collect()),
            ),
        ],
        Targets::Values {
            values: (0..n).map(|i| 1e5 + 300.0 * i as f64).collect(),
            names: vec!["price".into()],
        },
    )
    .unwrap()
}

fn table_model<T: Scalar>(bins: Option<usize>, robust: bool) -> Model<T> {
    let cpu = engine::open::<T>("cpu").unwrap();
    let frame = table();
    let options = EncoderOptions { most_one_hot: 4, bins };
    let (encoder, standardization) = Encoder::fit_with(&frame, &options).unwrap();
    let raw = encoder.encode::<f64>(&frame, None).unwrap().data;
    let robust = robust.then(|| {
        let fitted = travertine::data::Standardization::fit_robust(&raw).unwrap();
        fitted.with_unscaled(encoder.unscaled())
    });
    let inputs = encoder.features();
    let categories: Vec<Categories> = encoder.categories();
    assert_eq!(categories.len(), 1);
    let network = Network::builder(&cpu, inputs)
        .embed_categories(&categories)
        .dense(9, Activation::Mish)
        .dense(1, Activation::Identity)
        .seed(1)
        .build()
        .unwrap();
    let info = ModelInfo {
        target_scale: TargetScale::fit(frame.targets()),
        target: Some("price".into()),
        standardization: Some(robust.unwrap_or(standardization)),
        encoder: Some(encoder),
        ..ModelInfo::new(Loss::Quadratic)
    };
    Model::new(shuffled(network, 8), info).unwrap()
}

/// The rows of the table, and one of gaps, as both languages write them.
fn rows(frame: &Frame, model: &Model<impl Scalar>) -> [Vec<String>; 2] {
    // Written by hand. The encoder sorts texts, so that "Self" comes before "self".
    let fields = ["gr_e_m", "int_", "town", "sold", "town_2"];
    let c = [
        ["ROME", "BERN_OLD", "VALUE", "VALUE_7"].map(|name| format!("TABLE_TOWN_{name}")).to_vec(),
        ["SELF_2", "SELF", "VALUE", "A_B", "A_B_2"]
            .map(|name| format!("TABLE_TOWN_2_{name}"))
            .to_vec(),
    ];
    let rust = [
        ["Rome", "BernOld", "Value", "Value7"].map(|name| format!("table::Town::{name}")).to_vec(),
        ["Self__2", "Self_", "Value", "AB", "AB_2"]
            .map(|name| format!("table::Town2::{name}"))
            .to_vec(),
    ];
    let row = |i: usize, language: Language| {
        let mut texts = 0;
        let mut cells = Vec::new();
        for (column, field) in frame.columns().iter().zip(fields) {
            let number = |x: f64| match (x.is_nan(), language) {
                (true, Language::C) => "NAN".to_owned(),
                (true, Language::Rust) => "f64::NAN".to_owned(),
                _ => format!("{x:?}"),
            };
            let cell = match &column.values {
                Values::Numbers(values) | Values::Dates(values) => number(values[i]),
                Values::Texts { codes, .. } => {
                    let (names, unknown) = match language {
                        Language::C => (&c[texts], ["TABLE_TOWN_UNKNOWN", "TABLE_TOWN_2_UNKNOWN"]),
                        Language::Rust => {
                            (&rust[texts], ["table::Town::Unknown", "table::Town2::Unknown"])
                        }
                    };
                    let cell = names.get(codes[i] as usize).cloned();
                    let cell = cell.unwrap_or(unknown[texts].to_owned());
                    texts += 1;
                    cell
                }
            };
            cells.push(match language {
                Language::C => cell,
                Language::Rust => format!("{field}: {cell}"),
            });
        }
        cells.join(", ")
    };
    assert_eq!(model.columns().len(), fields.len());
    [Language::C, Language::Rust]
        .map(|language| (0..frame.samples()).map(|i| row(i, language)).collect())
}

fn tables_of<T: Scalar>(tolerance: f64) {
    for (bins, robust) in [(None, false), (Some(3), false), (None, true)] {
        let (frame, model) = (table(), table_model::<T>(bins, robust));
        let right = scores(&model.predict_table(&model.encode_frame(&frame).unwrap()).unwrap());
        let [c, rust] = rows(&frame, &model);
        let folder = Folder::new();
        fs::write(folder.join("table.c"), model.to_source(Language::C, "table").unwrap()).unwrap();
        let program = format!(
            "#include <stdio.h>\n#include \"table.c\"\nint main(void)\n{{\n    static const struct table_row rows[] = {{{}}};\n    double answers[1];\n    for (int i = 0; i < {}; i++) {{\n        table_predict(&rows[i], answers);\n        printf(\"%.17g\\n\", answers[0]);\n    }}\n    return table_self_test() + (table_town_of(\"Bern \\\"old\\\"\") != TABLE_TOWN_BERN_OLD) + (table_town_of(\"*/ ?\\?/\") != TABLE_TOWN_VALUE)\n        + (table_town_of(\"Rom\") != TABLE_TOWN_UNKNOWN) + (table_town_2_of(\"\\xd0\\xb6\") != TABLE_TOWN_2_VALUE);\n}}\n",
            c.iter().map(|row| format!("{{{row}}},")).collect::<String>(),
            frame.samples()
        );
        fs::write(folder.join("main.c"), program).unwrap();
        for compiler in ["gcc", "clang"].into_iter().filter(|compiler| has(compiler)) {
            let command = [&[compiler], &STRICT[..], &["-O2", "main.c", "-lm", "-o", "program"]];
            run(&folder, &command.concat());
            let difference = difference(&parsed(&run(&folder, &["./program"])), &right);
            assert!(difference <= tolerance, "{compiler}, bins {bins:?}: {difference:e}");
        }
        fs::write(folder.join("table.rs"), model.to_source(Language::Rust, "table").unwrap())
            .unwrap();
        let program = format!(
            "mod table;\nfn main() {{\n    for row in [{}] {{\n        println!(\"{{:?}}\", table::predict(&row)[0]);\n    }}\n    assert_eq!(table::self_test(), 0);\n    assert_eq!(table::Town::of(\"Bern \\\"old\\\"\"), table::Town::BernOld);\n    assert_eq!(table::Town::of(\"Rom\"), table::Town::Unknown);\n}}\n",
            rust.iter().map(|row| format!("table::Row {{ {row} }},")).collect::<String>()
        );
        fs::write(folder.join("main.rs"), program).unwrap();
        run(&folder, &[&rustc(), "--edition", "2021", "-D", "warnings", "main.rs", "-o", "rust"]);
        let difference = difference(&parsed(&run(&folder, &["./rust"])), &right);
        assert!(difference <= tolerance, "rustc, bins {bins:?}: {difference:e}");
    }
}

#[test]
fn rows_of_tables_are_taken_as_they_are() {
    tables_of::<f32>(1e-5);
    tables_of::<f64>(1e-13);
}

/// Weights stay in flash memory: there is nothing that a program would have to copy or clear at its start.
#[test]
fn microcontrollers_keep_the_weights_in_flash_memory() {
    if !has("arm-none-eabi-gcc") {
        return;
    }
    let folder = Folder::new();
    let cpu = engine::open::<f32>("cpu").unwrap();
    let mut text = String::new();
    for (name, hidden) in [("small", vec![16]), ("two", vec![64, 8])] {
        let inputs = if name == "small" { 16 } else { 6 };
        let mut builder = Network::builder(&cpu, inputs).seed(1);
        for units in hidden {
            builder = builder.dense(units, Activation::Relu);
        }
        let network = builder.dense(4, Activation::Softmax).build().unwrap();
        let parameters = network.parameters();
        let model = Model::new(network, ModelInfo::new(Loss::SoftmaxCrossEntropy)).unwrap();
        fs::write(folder.join(format!("{name}.c")), model.to_source(Language::C, name).unwrap())
            .unwrap();
        let (source, object) = (format!("{name}.c"), format!("{name}.o"));
        let target = ["-mcpu=cortex-m4", "-mthumb", "-mfloat-abi=hard", "-mfpu=fpv4-sp-d16"];
        let options = ["-Os", "-ffunction-sections", "-fstack-usage", "-c", &source, "-o", &object];
        let command = [&["arm-none-eabi-gcc"], &STRICT[..], &target, &options].concat();
        run(&folder, &command);
        let sizes = run(&folder, &["arm-none-eabi-size", "-A", &object]);
        let size = |section: &str| {
            let lines = sizes.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
            let of =
                lines.filter(|words| words.first().is_some_and(|name| name.starts_with(section)));
            of.map(|words| words[1].parse::<usize>().unwrap()).sum::<usize>()
        };
        assert_eq!((size(".data"), size(".bss")), (0, 0), "{sizes}");
        assert!(size(".rodata") >= 4 * parameters, "{sizes}");
        let stack = fs::read_to_string(folder.join(format!("{name}.su"))).unwrap();
        let predict = stack.lines().find(|line| line.contains("_predict")).unwrap();
        let _ = writeln!(
            text,
            "{name}: code {}, constants {}, {predict}",
            size(".text"),
            size(".rodata")
        );
    }
    eprintln!("{text}");
}

#[test]
fn names_that_are_no_identifiers_are_refused() {
    let cpu = engine::open::<f32>("cpu").unwrap();
    let network = Network::builder(&cpu, 2).dense(1, Activation::Identity).build().unwrap();
    let model = Model::new(network, ModelInfo::new(Loss::Quadratic)).unwrap();
    for name in ["", "7up", "a b", "Upper", "größe", "struct", "fn", "a\"b", "_x", "*/"] {
        for language in [Language::C, Language::Rust] {
            let error = model.to_source(language, name).unwrap_err().to_string();
            assert!(error.contains(&format!("'{name}'")), "{error}");
        }
    }
    assert!(model.to_source(Language::C, "a_1").is_ok());
}
