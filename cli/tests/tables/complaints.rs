//! Tables after public complaints about programs that read tables, each of a kind of fault, and what is right.

use crate::run::{Folder, Run};
use crate::{noise, rows};

/// Trains on a table, and returns the run and the folder with the model `t.safetensors`.
fn train(text: impl AsRef<[u8]>, arguments: &str) -> (Folder, Run) {
    let folder = Folder::new();
    folder.write("t.csv", text);
    let run = folder.run(&format!("train t.csv --json {arguments}")).ok();
    (folder, run)
}

/// The predictions for a table: texts of classes, or values.
fn predict(folder: &Folder, text: &str) -> Vec<String> {
    folder.write("new.csv", text);
    let lines = folder.run("predict t.safetensors new.csv --json").ok().json();
    let text = |line: &serde_json::Value| match line["class"].as_str() {
        Some(class) => class.to_owned(),
        None => line["output"][0].to_string(),
    };
    lines.iter().map(text).collect()
}

fn values(folder: &Folder, text: &str) -> Vec<f64> {
    predict(folder, text).iter().map(|x| x.parse().unwrap()).collect()
}

fn evaluate(folder: &Folder) -> serde_json::Value {
    folder.run("evaluate t.safetensors t.csv --json").ok().result()
}

fn near(found: &[f64], expected: &[f64], tolerance: f64) {
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().zip(expected) {
        assert!((found - expected).abs() < tolerance, "{found} instead of {expected}");
    }
}

/// id, x, z, y = 4 x - 2 z
fn dropped(i: usize) -> [f64; 4] {
    let (x, z) = (2.0 * noise(i, 1) - 1.0, 2.0 * noise(i, 2) - 1.0);
    [1000.0 + i as f64, x, z, 4.0 * x - 2.0 * z]
}

#[test]
fn a_column_that_was_dropped_may_be_there_at_prediction() {
    let line = |row: &[f64]| row.iter().map(f64::to_string).collect::<Vec<_>>().join(",") + "\n";
    let text: String = (0..200).map(|i| line(&dropped(i))).collect();
    let (folder, _) = train(&text, "--drop 1 --epochs 60");
    let new: String = (0..2).map(|i| line(&dropped(i)[..3])).collect();
    let expected = [dropped(0)[3], dropped(1)[3]];
    near(&values(&folder, &new), &expected, 0.4);
    near(&values(&folder, &text)[..2], &expected, 0.4);
    let features: String = (0..2).map(|i| line(&dropped(i)[1..3])).collect();
    near(&values(&folder, &features), &expected, 0.4);
    assert!(evaluate(&folder)["r2"].as_f64().unwrap() > 0.98);
    folder.run("predict t.safetensors new.csv --drop 1").fails(2, &["--drop"]);
}

#[test]
fn a_large_offset_costs_no_digits() {
    let text = rows("time,kind", 400, |i| {
        format!("{},{}", 1_700_000_000 + i, if i < 200 { "early" } else { "late" })
    });
    let (folder, _) = train(text, "--epochs 60");
    assert!(evaluate(&folder)["accuracy"].as_f64().unwrap() > 0.98);
    let new = "time\n1700000100\n1700000300\n";
    assert_eq!(predict(&folder, new), ["early", "late"]);
}

#[test]
fn a_target_with_a_large_mean_keeps_its_errors() {
    let text = rows("x,when", 300, |i| {
        let x = (i as f64).sin();
        format!("{x:.4},{:.2}", 1.7e9 + 50.0 * x)
    });
    let (folder, _) = train(text, "");
    let result = evaluate(&folder);
    let (rmse, r2) = (result["rmse"].as_f64().unwrap(), result["r2"].as_f64().unwrap());
    assert!(rmse > 0.0 && rmse < 1.0 && r2 > 0.99, "{rmse} {r2}");
}

#[test]
fn two_targets_have_a_scale_each() {
    let text = rows("x,z,price,change", 300, |i| {
        let (x, z) = ((i as f64).sin(), (1.7 * i as f64).cos());
        format!("{x:.4},{z:.4},{:.2},{:.4}", 1e5 + 1e4 * x, x - z)
    });
    let (folder, _) = train(text, "--label price,change --optimizer adam --epochs 60");
    let result = evaluate(&folder);
    let each = result["per_target"].as_array().unwrap();
    assert_eq!(each.len(), 2);
    for target in each {
        assert!(target["r2"].as_f64().unwrap() > 0.98, "{target}");
    }
}

#[test]
fn a_header_of_numbers_is_no_sample() {
    let text = rows("400,410,material", 200, |i| {
        let (base, name) = if i % 2 == 0 { (0.5, "soil") } else { (0.3, "leaf") };
        format!("{:.3},{:.3},{name}", base + 0.05 * noise(i, 1), base + 0.05 * noise(i, 2))
    });
    let (folder, run) = train(text, "--epochs 20");
    assert!(run.err.contains("2 classes of 'material'"), "{}", run.err);
    assert_eq!(evaluate(&folder)["accuracy"], 1.0);
}

#[test]
fn decimal_commas_are_no_delimiters() {
    let comma = |x: f64| format!("{x:.1}").replace('.', ",");
    let text: String = (0..200)
        .map(|i| (noise(i, 1) * 2.0, noise(i, 2) * 2.0))
        .map(|(x, z)| format!("{};{};{}\n", comma(x), comma(z), comma(2.0 * x + z)))
        .collect();
    let (folder, run) = train(text, "");
    assert!(run.err.contains("separated by ';', no header"), "{}", run.err);
    assert!(evaluate(&folder)["r2"].as_f64().unwrap() > 0.98);
}

#[test]
fn a_slip_in_a_target_is_an_error_with_its_line() {
    let text = rows("x,price", 200, |i| match i {
        56 => "57,n.a.".to_owned(),
        i => format!("{},{:.2}", i + 1, 1.37 * (i % 50 + 1) as f64),
    });
    let folder = Folder::new();
    folder.write("t.csv", text);
    folder
        .run("train t.csv --epochs 1")
        .fails(2, &["line 58, column 2 (price)", "a number", "\"n.a.\"", "--missing"]);
    let run = folder.run("train t.csv --epochs 1 --missing n.a.").ok();
    assert!(run.err.contains("1 row without a label left out"), "{}", run.err);
}

#[test]
fn thousands_in_quotes_are_numbers() {
    let text = rows("x,salary", 600, |i| {
        let x = i % 40 + 1;
        format!("{x},\"{},{:03}\"", 1 + x / 10, x % 10 * 100)
    });
    let (folder, run) = train(text, "--epochs 30");
    assert!(run.err.contains("thousands separated by ','"), "{}", run.err);
    near(&values(&folder, "x\n20\n"), &[3000.0], 600.0);
}

#[test]
fn a_dash_is_a_gap_in_numbers() {
    let text = rows("age,kind", 600, |i| match (i % 7, 18 + i * 37 % 60) {
        (0, age) => format!("-,{}", if age < 48 { "young" } else { "old" }),
        (_, age) => format!("{age},{}", if age < 48 { "young" } else { "old" }),
    });
    let (folder, run) = train(text, "--epochs 60");
    assert!(run.err.contains("\"-\" is a missing value; 86 missing"), "{}", run.err);
    assert_eq!(predict(&folder, "age\n17\n81\n"), ["young", "old"]);
}

#[test]
fn classes_keep_their_spelling() {
    let names = ["7", "1E3", "007", "1000"];
    let text = rows("x,code", 400, |i| format!("{:.2},{}", i % 4 + 1, names[i % 4]));
    let (folder, run) = train(text, "--epochs 60");
    assert!(run.err.contains("4 classes: 007 1000 1E3 7"), "{}", run.err);
    assert_eq!(predict(&folder, "x\n1\n2\n3\n4\n"), names);
}

#[test]
fn an_index_of_pandas_is_left_out() {
    let text = rows(",f1,f2,kind", 150, |i| {
        format!("{i},{:.4},{:.4},{}", noise(i, 3), noise(i, 4), ["a", "b", "c"][i / 50])
    });
    let (folder, run) = train(text, "--epochs 60");
    assert!(run.err.contains("left out: it numbers the rows"), "{}", run.err);
    assert!(evaluate(&folder)["accuracy"].as_f64().unwrap() < 0.75);
}

#[test]
fn rows_without_a_label_are_left_out() {
    let text = rows("x,label", 200, |i| {
        let label = [["ham", "spam"][i % 2], "NaN"][usize::from(i % 20 == 5)];
        format!("{:.4},{label}", (i % 2) as f64 + 0.3 * noise(i, 1))
    });
    let (_, run) = train(text, "--epochs 5");
    for part in ["2 classes: ham spam", "10 rows without a label left out"] {
        assert!(run.err.contains(part), "{}", run.err);
    }
}

#[test]
fn a_sorted_table_is_streamed_as_it_is_read() {
    let text = rows("x,y", 30_000, |i| {
        let x = (i + 1) as f64 / 3e4;
        format!("{x:.6},{:.4}", 1e4 * x * x)
    });
    let (folder, _) = train(text, "--stream 1 --optimizer adam --epochs 10");
    assert!(evaluate(&folder)["r2"].as_f64().unwrap() > 0.99);
}

#[test]
fn a_constant_column_has_no_influence() {
    let text = rows("fee,x,y", 300, |i| {
        let x = (i as f64 + 1.0).sin();
        format!("0,{x:.4},{:.4}", 3.0 * x + 1.0)
    });
    let (folder, run) = train(text, "--epochs 60");
    assert!(run.err.contains("left out: constant, 0"), "{}", run.err);
    near(&values(&folder, "fee,x\n0,0.5\n5000,0.5\n"), &[2.5, 2.5], 0.2);
    let warned = folder.run("predict t.safetensors new.csv").ok().err;
    assert!(warned.contains("'fee'") && warned.contains("\"5000\""), "{warned}");
}
