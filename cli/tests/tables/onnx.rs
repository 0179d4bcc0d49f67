//! Models of tables as ONNX files, which ONNX Runtime computes from the raw columns.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::run::Folder;
use crate::{noise, rows};

/// A Python with ONNX Runtime, or `None` with a printed line.
fn python() -> Option<String> {
    let python = std::env::var("TRAVERTINE_PYTHON").unwrap_or("python3".to_owned());
    let usable = Command::new(&python).args(["-c", "import onnx, onnxruntime"]).output();
    if usable.is_ok_and(|output| output.status.success()) {
        return Some(python);
    }
    let must = std::env::var("TRAVERTINE_ENSURE_ONNX").is_ok();
    assert!(!must, "{python} has no onnxruntime, and TRAVERTINE_ENSURE_ONNX is set");
    eprintln!("LEFT OUT: ONNX files of tables; {python} has no onnxruntime");
    None
}

/// The largest difference of ONNX Runtime to what `predict` answers for `new.csv`, relative to the larger of 1 and the answer.
fn difference(python: &str, folder: &Folder, precision: &str, opset: u32) -> f64 {
    let predicted = folder.run("predict t.safetensors new.csv --probabilities --json");
    let predicted = if predicted.status == Some(0) {
        predicted
    } else {
        folder.run("predict t.safetensors new.csv --json").ok()
    };
    folder.write("expected.jsonl", &predicted.out);
    folder.run(&format!("export t.safetensors --to t.onnx --opset {opset}")).ok();
    let script = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/tables/onnx_rows.py");
    let arguments = ["t.onnx", "new.csv", "expected.jsonl"].map(|name| folder.join(name));
    let output = Command::new(python).arg(script).args(arguments).output().unwrap();
    let (out, error) =
        [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap()).into();
    assert!(output.status.success(), "{error}");
    let worst = out.trim().parse().unwrap();
    eprintln!("{precision}, opset {opset}: {worst:.1e}");
    // The file is the same model for this program, with the same answers to the last digit.
    let again = folder.run("predict t.onnx new.csv --json").ok();
    let before = folder.run("predict t.safetensors new.csv --json").ok();
    assert_eq!(again.out, before.out);
    folder.run("import t.onnx --out again.safetensors").ok();
    let imported = folder.run("predict again.safetensors new.csv --json").ok();
    assert_eq!(imported.out, before.out);
    worst
}

fn check(table: &str, new: &str, options: &str) {
    let Some(python) = python() else { return };
    for (precision, bound, opset) in [("f32", 1e-5, 13), ("f64", 1e-12, 23)] {
        let folder = Folder::new();
        folder.write("t.csv", table);
        folder.write("new.csv", new);
        folder.run(&format!("train t.csv --precision {precision} {options}")).ok();
        let worst = difference(&python, &folder, precision, opset);
        assert!(worst < bound, "{precision} {options}: {worst}");
    }
}

/// Rows of a number with gaps, a text with gaps, a truth value, a date, one of many towns, and what is learned.
fn table(target: impl Fn(usize) -> String) -> String {
    let row = |i: usize| {
        let number = if i % 11 == 3 { String::new() } else { format!("{:.3}", 40.0 * noise(i, 1)) };
        let color = ["red", "green", "", "blue"][i % 4];
        let flag = ["yes", "no"][i / 2 % 2];
        let (month, day, hour) = (i % 12 + 1, i % 28 + 1, i * 5 % 24);
        let year = 2019 + i % 4;
        let date = match i % 17 {
            5 => String::new(),
            _ => format!("{year}-{month:02}-{day:02} {hour:02}:30:00"),
        };
        format!("{number},{color},{flag},{date},town {},{}", i * 7 % 30, target(i))
    };
    rows("size,color,flag,seen,town,price", 400, row)
}

/// The rows of a table without their last column.
fn new(table: &str) -> String {
    table.lines().take(60).map(|line| line.rsplit_once(',').unwrap().0.to_owned() + "\n").collect()
}

#[test]
fn values_from_numbers_dates_and_texts_with_gaps() {
    let price = |i: usize| format!("{:.2}", 5e4 + 1e3 * (i % 30) as f64 + 3e3 * noise(i, 2));
    let table = table(price);
    // Also texts and numbers that training did not see.
    let new = new(&table) + "1e9,purple,no,2031-05-05 01:02:03,Atlantis\n-1e30,red,yes,,town 3\n";
    check(&table, &new, "--epochs 3");
    check(&table, &new, "--epochs 3 --preset plain --hidden 8 --activation tanh");
    check(&table, &new, "--epochs 2 --preset tabm");
}

#[test]
fn classes_from_bins_and_categories_with_gaps() {
    let kind = |i: usize| ["low", "middle", "high"][(i % 30) / 10].to_owned();
    let table = table(kind);
    let new = new(&table);
    check(&table, &new, "--epochs 3 --label price --bins 8");
    let two = |i: usize| ["good", "bad"][i % 2].to_owned();
    let table = self::table(two);
    check(&table, &self::new(&table), "--epochs 2 --label price");
}

#[test]
fn the_public_tables() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data/tables");
    if !folder.is_dir() {
        eprintln!("LEFT OUT: public tables as ONNX files; {} is not there", folder.display());
        return;
    }
    for name in ["credit", "german", "bikeshare", "cps1985"] {
        let text = std::fs::read_to_string(folder.join(name).with_extension("csv")).unwrap();
        let lines: Vec<&str> = text.lines().take(500).collect();
        let table = lines.join("\n") + "\n";
        check(&table, &new(&table), "--epochs 2");
    }
}

#[test]
fn what_cannot_be_written_is_refused() {
    let folder = Folder::new();
    folder.write("t.csv", rows("x,y", 60, |i| format!("{i},{}", 2 * i)));
    folder.run("train t.csv --epochs 1").ok();
    folder.run("export t.safetensors --to t.txt").fails(2, &["--to", ".onnx"]);
    folder.run("export t.safetensors --to t.onnx --opset 12").fails(2, &["13 to 23", "12"]);
    folder.run("export t.safetensors --to missing/t.onnx").fails(2, &["--to", "missing"]);
    folder.run("export nothing.safetensors --to t.onnx").fails(2, &["nothing.safetensors"]);
    folder.run("export t.safetensors --to t.onnx --numbers-only --opset 20").ok();
    // Every command takes it as a model.
    folder.run("inspect t.onnx").ok();
    folder.run("evaluate t.onnx t.csv").ok();
    folder.run("train t.csv --epochs 1 --preset plain --hidden 3 --out a.safetensors").ok();
    folder.run("export a.safetensors --to a.onnx").ok();
    folder.run("train t.csv --epochs 1 --preset plain --hidden 3 --init a.onnx").ok();
    folder.run("import t.onnx --out t.onnx").fails(2, &["--out", ".safetensors"]);
    // The name of a column may be that of a parameter.
    let text = rows("layers.0.weight,x,y", 60, |i| format!("{},{i},{}", i % 7, 2 * i));
    folder.write("p.csv", text);
    folder.run("train p.csv --epochs 1 --preset plain --hidden 3").ok();
    let parts = ["layers.0.weight", "--numbers-only"];
    folder.run("export p.safetensors --to p.onnx").fails(2, &parts);
    folder.run("export p.safetensors --to p.onnx --numbers-only").ok();
}

/// Columns with the names of outputs keep them; the outputs give way.
#[test]
fn names_of_outputs_give_way_to_columns() {
    let row = |i: usize| format!("{},{},{}", i % 7, i % 5, ["a", "b"][i % 2]);
    let table = rows("label,probabilities,kind", 100, row);
    check(&table, &new(&table), "--epochs 2 --label kind");
}

/// Nothing in such a file is a text, neither what goes in nor what comes out.
#[test]
fn numbers_alone_are_one_input() {
    let Some(python) = python() else { return };
    let folder = Folder::new();
    folder.write("t.csv", table(|i| ["good", "bad"][i % 2].to_owned()));
    folder.run("train t.csv --epochs 1 --label price --preset plain").ok();
    folder.run("export t.safetensors --to t.onnx --numbers-only").ok();
    let code = "import onnxruntime, sys, json
session = onnxruntime.InferenceSession(sys.argv[1])
print(json.dumps([(one.name, one.type) for one in session.get_inputs() + session.get_outputs()]))";
    let output =
        Command::new(python).args(["-c", code]).arg(folder.join("t.onnx")).output().unwrap();
    let found: Value = serde_json::from_slice(&output.stdout).unwrap();
    let number = "tensor(float)";
    let expected = [("features", number), ("class", "tensor(int64)"), ("probabilities", number)];
    assert_eq!(found, serde_json::json!(expected));
}
