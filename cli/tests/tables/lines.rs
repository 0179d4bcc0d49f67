//! JSON lines say what a CSV file says, or are refused.

use crate::rows;
use crate::run::{Folder, Run};

/// A model `t.safetensors` of a number, a percentage, a price, a color and a constant, and a class.
fn model() -> Folder {
    let folder = Folder::new();
    let row = |i: usize| {
        let color = ["red", "blue"][i % 3 % 2];
        format!("{}.5,{}%,${}.50,{color},5,{}", i % 9, 5 + i % 90, i % 7, ["a", "b"][i % 2])
    };
    folder.write("t.csv", rows("x,share,price,color,fee,k", 60, row));
    folder.run("train t.csv --epochs 1").ok();
    folder
}

fn predict(folder: &Folder, lines: &str) -> Run {
    folder.write("new.jsonl", lines);
    folder.run("predict t.safetensors new.jsonl --jsonl")
}

/// A line with these values as JSON has them.
fn line(x: &str, share: &str, price: &str, more: &str) -> String {
    format!("{{\"x\": {x}, \"share\": {share}, \"price\": {price}, \"color\": \"red\"{more}}}\n")
}

#[test]
fn what_is_no_number_of_its_column_is_refused() {
    let folder = model();
    let good = line("1", "\"90%\"", "2.5", "");
    let expected = predict(&folder, &good).ok().out;
    assert_eq!(predict(&folder, &line("1.0", "\"90.0 %\"", "\"$2.50\"", "")).ok().out, expected);
    for (bad, column, found) in [
        (line("true", "\"90%\"", "2.5", ""), "'x'", "true"),
        (line("1", "0.9", "2.5", ""), "'share'", "0.9"),
        (line("1", "90", "2.5", ""), "'share'", "90"),
        (line("1", "\"0.9\"", "2.5", ""), "'share'", "\"0.9\""),
        (line("1", "\"90%\"", "\"2.50\"", ""), "'price'", "\"2.50\""),
        (line("1", "\"90%\"", "\"€2.50\"", ""), "'price'", "\"€2.50\""),
        (line("1", "\"90%\"", "false", ""), "'price'", "false"),
    ] {
        let run = predict(&folder, &format!("{good}{bad}"));
        assert_eq!((run.status, run.out.lines().count()), (Some(2), 1), "{bad}: {}", run.err);
        for part in [&format!("line 2, column {column}"), found] {
            assert!(run.err.contains(part), "{bad}: {}", run.err);
        }
    }
}

#[test]
fn a_key_that_comes_twice_is_refused() {
    let folder = model();
    let good = line("1", "\"90%\"", "2.5", "");
    for more in [", \"x\": 2", ", \"x\": 1", ", \"other\": 1, \"other\": 2"] {
        let key = if more.contains("other") { "\"other\" twice" } else { "\"x\" twice" };
        let run = predict(&folder, &format!("{good}{}", line("1", "\"90%\"", "2.5", more)));
        assert_eq!(run.status, Some(2), "{}", run.err);
        assert!(run.err.contains("line 2") && run.err.contains(key), "{}", run.err);
    }
    let nested = line("1", "\"90%\"", "2.5", ", \"other\": {\"x\": 2}");
    predict(&folder, &nested).ok();
    let broken = predict(&folder, &format!("{good}{{\"x\": }}\n"));
    assert!(broken.err.contains("line 2") && broken.err.contains("column 7"), "{}", broken.err);
    assert!(!broken.err.contains("line 1"), "{}", broken.err);
}

#[test]
fn warnings_name_the_column_and_an_example() {
    let folder = model();
    let new = line("1e6", "\"90%\"", "2.5", ", \"fee\": 7").replace("red", "green");
    let run = predict(&folder, &format!("{new}{new}")).ok();
    for part in [
        "2 samples: 'x' is 1000000.0, far outside",
        "2 samples: 'color' is \"green\"",
        "2 samples: 'fee' is \"7\"; it was constant",
    ] {
        assert!(run.err.contains(part), "{part}: {}", run.err);
    }
    let known = line("1", "\"90%\"", "2.5", ", \"fee\": 5.0");
    assert_eq!(predict(&folder, &known).ok().err, "");
}

/// A NumPy array of a row.
fn array(kind: &str, columns: usize, values: &[u8]) -> Vec<u8> {
    let mut header =
        format!("{{'descr': '{kind}', 'fortran_order': False, 'shape': (1, {columns}), }}");
    header.extend(std::iter::repeat_n(' ', (64 - (11 + header.len()) % 64) % 64));
    header.push('\n');
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((header.len() as u16).to_le_bytes());
    bytes.extend(header.bytes());
    bytes.extend(values);
    bytes
}

#[test]
fn values_of_arrays_are_no_others_either() {
    let folder = Folder::new();
    let numbers: Vec<u8> = [0.9, 0.5].map(f64::to_le_bytes).concat();
    folder.write("numbers.npy", array("<f8", 2, &numbers));
    folder.write("truths.npy", array("|b1", 2, &[1, 0]));
    let body = |row: &dyn Fn(usize) -> String| rows("", 60, row).trim_start().to_owned();
    let class = |i: usize| ["a", "b"][i % 2];
    folder.write("t.csv", body(&|i| format!("0.{},0.{},{}", i % 7, i % 9, class(i))));
    folder.run("train t.csv --epochs 1").ok();
    folder.run("predict t.safetensors numbers.npy").ok();
    folder.run("predict t.safetensors truths.npy").fails(2, &["column 1", "true"]);
    folder.write("t.csv", body(&|i| format!("0.{},{}%,{}", i % 7, i % 9, class(i))));
    folder.run("train t.csv --epochs 1").ok();
    folder.run("predict t.safetensors numbers.npy").fails(2, &["column 2", "%", "0.5"]);
}
