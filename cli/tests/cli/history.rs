//! `--history` and `--tensorboard`: the course of a training in files that others read.

use std::fs;
use std::process::Command;

use serde_json::Value;

use crate::run::Folder;

const READER: &str = r#"
import sys, json
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
events = EventAccumulator(sys.argv[1])
events.Reload()
scalars = {tag: [(e.step, e.value, e.wall_time) for e in events.Scalars(tag)] for tag in events.Tags()["scalars"]}
print(json.dumps(scalars))
"#;

/// What TensorBoard reads in a folder: tag, then (step, value, time) for every epoch.
fn tensorboard(folder: &Folder, name: &str) -> Option<Value> {
    let python = std::env::var("TRAVERTINE_PYTHON").unwrap_or("python3".to_owned());
    let import = "import tensorboard.backend.event_processing.event_accumulator";
    let usable = Command::new(&python).args(["-c", import]).output();
    if !usable.is_ok_and(|output| output.status.success()) {
        let must = std::env::var("TRAVERTINE_ENSURE_TENSORBOARD").is_ok();
        assert!(!must, "{python} has no tensorboard, and TRAVERTINE_ENSURE_TENSORBOARD is set");
        eprintln!("LEFT OUT: reading event files with TensorBoard; {python} has no tensorboard");
        return None;
    }
    let output =
        Command::new(&python).args(["-c", READER]).arg(folder.join(name)).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Some(serde_json::from_slice(&output.stdout).unwrap())
}

fn lines(folder: &Folder, name: &str) -> Vec<Value> {
    let text = fs::read_to_string(folder.join(name)).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn history_is_what_training_printed() {
    let folder = Folder::new();
    let before = r#"{"epoch":9,"step":9,"train_loss":1.0,"learning_rate":0.1,"seconds":0.1,"gradient_norms":[]}"#;
    folder.write("h.jsonl", before);
    let options = "--epochs 4 --schedule step(2,0.5) --learning-rate 0.2 --hidden 20 --json";
    let printed = folder
        .run(&format!("train digits {options} --history h.jsonl --tensorboard logs/deep"))
        .ok()
        .json();
    let rows = lines(&folder, "h.jsonl");
    assert_eq!(rows.len(), 4);
    for (i, (row, printed)) in rows.iter().zip(&printed).enumerate() {
        for key in ["epoch", "train_loss", "train_accuracy", "test_loss", "test_accuracy"] {
            assert_eq!(row[key], printed[key], "{key}");
        }
        // 1,437 samples in batches of 10.
        assert_eq!(row["step"], 144 * (i + 1));
        assert_eq!(row["learning_rate"], [0.2, 0.2, 0.1, 0.1][i]);
        let norms = row["gradient_norms"].as_array().unwrap();
        assert!(
            norms.len() == 2 && norms.iter().all(|norm| norm.as_f64().unwrap() > 0.0),
            "{norms:?}"
        );
    }
    assert_eq!(fs::read_dir(folder.join("logs/deep")).unwrap().count(), 1);

    if let Some(read) = tensorboard(&folder, "logs/deep") {
        let series = |tag: &str| {
            read[tag].as_array().unwrap_or_else(|| panic!("no {tag} in {read}")).clone()
        };
        let tags = [
            ("loss/train", "train_loss"),
            ("loss/test", "test_loss"),
            ("accuracy/test", "test_accuracy"),
            ("learning_rate", "learning_rate"),
        ];
        for (tag, key) in tags {
            assert_eq!(series(tag).len(), 4);
            for (row, event) in rows.iter().zip(series(tag)) {
                assert_eq!(
                    (&row["step"], row[key].as_f64().unwrap() as f32),
                    (&event[0], event[1].as_f64().unwrap() as f32)
                );
                assert!(event[2].as_f64().unwrap() > 1.7e9, "seconds since 1970: {event}");
            }
        }
        assert_eq!(series("gradient_norm/layer_1").len(), 4);
    }
}

#[test]
fn csv_history_has_the_same_numbers_and_changes_no_bit_of_the_model() {
    let folder = Folder::new();
    let train = "train digits --epochs 3 --hidden 20 --optimizer adam --held-out 0";
    folder.run(&format!("{train} --out plain")).ok();
    folder.run(&format!("{train} --out a --history a.jsonl")).ok();
    folder.run(&format!("{train} --out b --history b.csv")).ok();
    let [plain, a, b] = ["plain", "a", "b"].map(|name| fs::read(folder.join(name)).unwrap());
    assert!(plain == a && plain == b, "who looks on changes nothing");

    let text = fs::read_to_string(folder.join("b.csv")).unwrap();
    let table: Vec<Vec<&str>> = text.lines().map(|line| line.split(',').collect()).collect();
    let head = "epoch,step,train_loss,train_accuracy,test_loss,test_accuracy,learning_rate,seconds,\
                gradient_norm_0,gradient_norm_1";
    assert_eq!(text.lines().next(), Some(head));
    let rows = lines(&folder, "a.jsonl");
    assert_eq!(table.len(), 1 + rows.len());
    for (fields, row) in table[1..].iter().zip(&rows) {
        let cell = |name: &str| fields[table[0].iter().position(|column| *column == name).unwrap()];
        for name in ["epoch", "step", "train_loss", "train_accuracy", "learning_rate"] {
            assert_eq!(cell(name).parse::<f64>().ok(), row[name].as_f64(), "{name}");
        }
        assert_eq!(cell("gradient_norm_1").parse::<f64>().ok(), row["gradient_norms"][1].as_f64());
        assert!(cell("test_loss").is_empty() && row["test_loss"].is_null());
    }
}

#[test]
fn rows_from_before_a_resume_have_as_many_fields() {
    let folder = Folder::new();
    let train = "train digits --hidden 8 --out m";
    // The first part writes no history, so it computes no gradient norms.
    folder.run(&format!("{train} --epochs 2 --checkpoint c")).ok();
    folder.run(&format!("{train} --epochs 4 --resume c --history h.csv")).ok();
    let text = fs::read_to_string(folder.join("h.csv")).unwrap();
    let table: Vec<Vec<&str>> = text.lines().map(|line| line.split(',').collect()).collect();
    assert_eq!(table.iter().map(Vec::len).collect::<Vec<_>>(), [10; 5], "{text}");
    assert!(table[2][8..].iter().all(|norm| norm.is_empty()), "{text}");
    assert!(table[3][8..].iter().all(|norm| norm.parse::<f64>().is_ok()), "{text}");
}

/// Killed after an epoch that the checkpoint does not know, and gone on from in the same folder or in another one.
#[test]
fn tensorboard_shows_one_curve_after_a_resume() {
    let folder = Folder::new();
    let train = "train digits --hidden 8 --out m";
    folder.run(&format!("{train} --epochs 5 --history whole.jsonl")).ok();
    folder.run(&format!("{train} --epochs 3 --checkpoint c --tensorboard same")).ok();
    fs::remove_file(folder.join("c/step-000000000432.safetensors")).unwrap();
    folder.run(&format!("{train} --epochs 4 --resume c --tensorboard same")).ok();
    folder.run(&format!("{train} --epochs 5 --resume c --tensorboard same")).ok();
    assert_eq!(
        fs::read_dir(folder.join("same")).unwrap().count(),
        3,
        "files that are there stay as they are"
    );
    fs::remove_file(folder.join("c/step-000000000720.safetensors")).unwrap();
    folder.run(&format!("{train} --epochs 5 --resume c --tensorboard other")).ok();
    let whole = lines(&folder, "whole.jsonl");
    for name in ["same", "other"] {
        let Some(read) = tensorboard(&folder, name) else { return };
        for (tag, key) in [("loss/train", "train_loss"), ("accuracy/test", "test_accuracy")] {
            let events = read[tag].as_array().unwrap();
            let pairs: Vec<_> =
                events.iter().map(|event| (event[0].as_u64(), event[1].as_f64())).collect();
            let number = |row: &Value| row[key].as_f64().map(|x| f64::from(x as f32));
            let expected: Vec<_> =
                whole.iter().map(|row| (row["step"].as_u64(), number(row))).collect();
            assert_eq!(pairs, expected, "{name}: {tag}");
            let times: Vec<f64> = events.iter().map(|event| event[2].as_f64().unwrap()).collect();
            assert!(times.is_sorted_by(|a, b| a < b), "{name}: {times:?}");
        }
    }
}

#[test]
fn files_that_cannot_be_written_are_told_before_training() {
    let folder = Folder::new();
    folder.write("data.csv", "1,2,a\n2,1,b\n3,2,a\n1,3,b\n");
    folder.write("file", "");
    let cases = [
        ("--history h.txt", ".jsonl, .json or .csv"),
        ("--history nowhere/h.csv", "does not exist"),
        ("--history data.csv", "would replace the data"),
        ("--tensorboard file/logs", "--tensorboard"),
    ];
    for (options, message) in cases {
        folder.run(&format!("train data.csv {options}")).fails(2, &[message]);
    }
    assert!(fs::read_to_string(folder.join("data.csv")).unwrap().ends_with("1,3,b\n"));
    assert!(!folder.join("data.safetensors").exists());

    // A training that never gets to its first row leaves what was there.
    let precious =
        "epoch,step,train_loss,train_accuracy,test_loss,test_accuracy,learning_rate,seconds\n";
    folder.write("h.csv", precious);
    folder
        .run("train digits --output linear --learning-rate 1e30 --history h.csv")
        .fails(1, &["diverged"]);
    assert_eq!(fs::read_to_string(folder.join("h.csv")).unwrap(), precious);
}
