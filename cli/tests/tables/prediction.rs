//! Predictions follow what was decided at training.

use std::io::{BufRead, BufReader, Write};
use std::process::{ChildStdout, Stdio};

use crate::run::{Folder, Run};
use crate::{noise, rows};

/// A model `t.safetensors` of two classes that x tells apart, beside y and a color.
fn model() -> Folder {
    let folder = Folder::new();
    let row = |i: usize| {
        let (k, color) = (i % 2, ["red", "blue"][i % 3 % 2]);
        format!("{},{:.3},{:.3},{color}", ["a", "b"][k], 10.0 * k as f64 + noise(i, 1), noise(i, 2))
    };
    folder.write("t.csv", rows("k,x,y,color", 120, row));
    folder.run("train t.csv --label k --epochs 40").ok();
    folder
}

fn predict(folder: &Folder, text: impl AsRef<[u8]>, arguments: &str) -> Run {
    folder.write("new.csv", text);
    folder.run(&format!("predict t.safetensors new.csv {arguments}"))
}

/// Runs `predict t.safetensors -` with a text on standard input.
fn from_input(folder: &Folder, arguments: &str, text: impl AsRef<[u8]>) -> Run {
    let arguments = format!("predict t.safetensors - {arguments}");
    let mut command = folder.command(&arguments);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // A program that refuses its arguments does not read.
    let _ = child.stdin.take().unwrap().write_all(text.as_ref());
    Run::new(&arguments, child.wait_with_output().unwrap())
}

/// The first field of each line.
fn classes(run: &Run) -> Vec<&str> {
    run.out.lines().map(|line| line.split('\t').next().unwrap()).collect()
}

#[test]
fn columns_are_found_by_name_in_any_order_and_without_the_label() {
    let folder = model();
    let expected = ["a", "b"];
    for text in [
        "k,x,y,color\na,0.5,0.1,red\nb,10.5,0.2,blue\n",
        "x,y,color\n0.5,0.1,red\n10.5,0.2,blue\n",
        "color,other,y,x\nred,,0.1,0.5\nblue,,0.2,10.5\n",
    ] {
        assert_eq!(classes(&predict(&folder, text, "").ok()), expected);
        assert_eq!(classes(&from_input(&folder, "", text).ok()), expected);
    }
    predict(&folder, "x,color\n1,red\n", "").fails(2, &["new.csv", "\"y\""]);
    predict(&folder, "0.5,0.1,red\n", "").fails(2, &["new.csv", "header"]);
    folder.write("new.csv", "x,y,color\n0.5,0.1,red\n");
    folder.run("evaluate t.safetensors new.csv").fails(2, &["new.csv", "\"k\""]);
}

#[test]
fn the_dialect_of_training_is_followed() {
    let folder = Folder::new();
    let text = rows("k;x;at", 60, |i| {
        format!("{};{},5;{:02}.01.2024", ["a", "b"][i % 2], 10 * (i % 2) + i % 3, i % 28 + 1)
    });
    folder.write("t.csv", text);
    folder.run("train t.csv --label k --epochs 30").ok();
    // Alone, these would be a date of either order and thousands.
    let new = "x;at\n0,500;01.02.2024\n11,500;02.03.2024\n";
    assert_eq!(classes(&predict(&folder, new, "").ok()), ["a", "b"]);
    assert_eq!(classes(&from_input(&folder, "", new).ok()), ["a", "b"]);
    let other = new.replace(';', "\t");
    predict(&folder, &other, "").fails(2, &["';'"]);
    assert_eq!(classes(&predict(&folder, &other, "--delimiter tab").ok()), ["a", "b"]);
    let utf_16: Vec<u8> =
        [0xfeff].into_iter().chain(new.encode_utf16()).flat_map(u16::to_le_bytes).collect();
    assert_eq!(classes(&predict(&folder, &utf_16, "").ok()), ["a", "b"]);
    folder.write("t16.csv", &utf_16);
}

#[test]
fn a_model_of_a_file_in_utf_16_reads_utf_8() {
    let folder = Folder::new();
    let text = rows("x,k", 40, |i| format!("{},{}", 10 * (i % 2) + i % 3, ["ä", "b"][i % 2]));
    let utf_16: Vec<u8> =
        [0xfeff].into_iter().chain(text.encode_utf16()).flat_map(u16::to_le_bytes).collect();
    folder.write("t.csv", utf_16);
    folder.run("train t.csv --epochs 30").ok();
    assert_eq!(classes(&predict(&folder, "x\n1\n11\n", "").ok()), ["ä", "b"]);
    folder.write("t.csv", text);
    folder.run("evaluate t.safetensors t.csv").ok();
}

#[test]
fn what_training_never_saw_is_warned_about() {
    let folder = model();
    let text = "x,y,color\n,0.1,red\n1e6,0.1,green\n";
    for run in [predict(&folder, text, "").ok(), from_input(&folder, "", text).ok()] {
        for part in ["'x'", "'color'", "green"] {
            assert!(run.err.contains(part), "{part}: {}", run.err);
        }
        assert_eq!(run.out.lines().count(), 2);
    }
    predict(&folder, "x,y,color\n1,0.1,red\nten,0.1,red\n", "")
        .fails(2, &["line 3, column 1 (x)", "\"ten\""]);
}

#[test]
fn a_column_is_carried_along_whatever_it_is_for() {
    let folder = model();
    let text = "name,x,y,color,k\nAnn,0.5,0.1,red,a\n\"B, C\",10.5,0.2,blue,b\n";
    for (id, expected) in [
        ("name", ["Ann", "B, C"]),
        ("x", ["0.5", "10.5"]),
        ("color", ["red", "blue"]),
        ("k", ["a", "b"]),
        ("#1", ["Ann", "B, C"]),
    ] {
        let runs = [
            predict(&folder, text, &format!("--id {id}")).ok(),
            from_input(&folder, &format!("--id {id}"), text).ok(),
        ];
        for run in runs {
            assert_eq!(classes(&run), expected);
            assert!(
                run.out.lines().zip(["a", "b"]).all(|(line, k)| line.split('\t').nth(1) == Some(k)),
                "{}",
                run.out
            );
        }
    }
    predict(&folder, text, "--id street").fails(2, &["\"street\""]);
}

#[test]
fn probabilities_and_files() {
    let folder = model();
    let text = "x,y,color\n0.5,0.1,red\n10.5,0.2,blue\n";
    let lines = predict(&folder, text, "--probabilities --json").ok().json();
    let sum = lines[0]["probabilities"]["a"].as_f64().unwrap()
        + lines[0]["probabilities"]["b"].as_f64().unwrap();
    assert!((sum - 1.0).abs() < 1e-5, "{lines:?}");
    predict(&folder, text, "--probabilities --id x --out p.csv").ok();
    let written = std::fs::read_to_string(folder.join("p.csv")).unwrap();
    let head = written.lines().next().unwrap();
    assert_eq!(head, "x,class,probability,probability of a,probability of b");
    assert!(written.lines().nth(2).unwrap().starts_with("10.5,b,"), "{written}");
    let again = predict(&folder, text, "--out p.csv").ok();
    assert!(again.err.contains("replaces p.csv") && again.out.is_empty(), "{}", again.err);
    for read in ["new.csv", "./new.csv", "t.safetensors", "../t.safetensors"] {
        let folder_name = folder.file_name().unwrap().to_str().unwrap().to_owned();
        let out = read.replace("../", &format!("../{folder_name}/"));
        predict(&folder, text, &format!("--out {out}")).fails(2, &["--out", "would replace"]);
    }
    assert_eq!(std::fs::read_to_string(folder.join("new.csv")).unwrap(), text);
    predict(&folder, text, "--out p.csv --json").fails(2, &["--json"]);
}

#[test]
fn json_lines_are_answered() {
    let folder = model();
    let text = "{\"x\": 0.5, \"y\": 0.1, \"color\": \"red\", \"n\": 7}\n\n{\"color\": \"blue\", \"y\": 0.2, \"x\": 10.5, \"n\": \"q\"}\n";
    let run = from_input(&folder, "--jsonl --id n", text).ok();
    assert_eq!(classes(&run), ["7", "q"]);
    folder.write("new.jsonl", text);
    assert_eq!(classes(&folder.run("predict t.safetensors new.jsonl --jsonl").ok()), ["a", "b"]);
    for (line, parts) in [
        ("{\"x\": 0.5}", ["line 1", "'y'"]),
        ("{\"x\": \"much\", \"y\": 1, \"color\": \"red\"}", ["line 1", "'x'"]),
        ("[1, 2]", ["line 1", ""]),
        ("{", ["line 1", "JSON"]),
    ] {
        let run = from_input(&folder, "--jsonl", line);
        assert_eq!(run.status, Some(2), "{line}: {}", run.err);
        assert!(parts.iter().all(|part| run.err.contains(part)), "{line}: {}", run.err);
    }
}

/// Sends lines one by one and waits for the answer to each.
fn answered_one_by_one(arguments: &str, header: &str, lines: &[(&str, &str)]) {
    let folder = model();
    let mut command = folder.command(&format!("predict t.safetensors - {arguments}"));
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    let mut output: BufReader<ChildStdout> = BufReader::new(child.stdout.take().unwrap());
    input.write_all(header.as_bytes()).unwrap();
    for (line, class) in lines {
        writeln!(input, "{line}").unwrap();
        input.flush().unwrap();
        let mut answer = String::new();
        output.read_line(&mut answer).unwrap();
        assert_eq!(answer.split('\t').next().unwrap(), *class, "{answer}");
    }
    drop(input);
    assert!(child.wait().unwrap().success());
}

#[test]
fn each_row_is_answered_before_the_next_one_is_sent() {
    let lines = [("0.5,0.1,red", "a"), ("10.5,0.1,red", "b"), ("0.1,0.2,blue", "a")];
    answered_one_by_one("", "x,y,color\n", &lines);
    let lines = [
        (r#"{"x": 0.5, "y": 0.1, "color": "red"}"#, "a"),
        (r#"{"x": 10.5, "y": 0.1, "color": "red"}"#, "b"),
    ];
    answered_one_by_one("--jsonl", "", &lines);
}

#[test]
fn rows_in_front_of_a_fault_are_answered() {
    let folder = model();
    let text = "sep=,\nx,y,color\n0.5,0.1,\"red\"\n\n10.5,0.1,\"two\nlines\"\n# a 5\" pipe\nten,0.1,red\n1,1,red\n";
    let run = from_input(&folder, "--comment #", text);
    assert_eq!((run.status, classes(&run)), (Some(2), vec!["a", "b"]));
    assert!(run.err.contains("line 8, column 1 (x)") && run.err.contains("\"ten\""), "{}", run.err);
    let open = from_input(&folder, "", "x,y,color\n0.5,0.1,5\" pipe\n1,1,\"open\n2,2,red\n");
    assert!(open.err.contains("line 3") && open.err.contains("quote"), "{}", open.err);
    let empty = from_input(&folder, "", "");
    assert_eq!(empty.status, Some(2), "{}", empty.err);
    assert_eq!(
        from_input(&folder, "", "\u{feff}x,y,color\n0.5,0.1,red").ok().out.lines().count(),
        1
    );
    let bytes = from_input(&folder, "", b"x,y,color\n0.5,0.1,r\xffd\n");
    assert!(bytes.err.contains("UTF-8"), "{}", bytes.err);
}

#[test]
fn names_of_rows_are_read_from_standard_input_as_from_a_file() {
    let folder = Folder::new();
    let row = |i: usize| format!("\"r{i}\" {} \"{}\"", 10 * (i % 2) + i % 3, ["a", "b"][i % 2]);
    let text = rows("\"x\" \"k\"", 40, row);
    folder.write("t.csv", &text);
    folder.run("train t.csv --epochs 30").ok();
    let from_file = folder.run("predict t.safetensors t.csv").ok();
    assert_eq!(from_input(&folder, "", &text).ok().out, from_file.out);
    assert_eq!(classes(&from_input(&folder, "", "x\n1\n11\n").ok()), ["a", "b"]);
}

#[test]
fn answers_that_overflow_are_refused_with_row_and_target() {
    let folder = Folder::new();
    folder.write("t.csv", rows("n,price", 60, |i| format!("{i},{}", 30 * i)));
    let options = "--epochs 4 --hidden 32 --activation gelu --preset plain --scaling none --seed 2";
    folder.run(&format!("train t.csv {options}")).ok();
    let parts = ["row 1 (counted from 0)", "answer for 'price'", "a finite number", "overflow"];
    for arguments in ["", "--json", "--out o.csv"] {
        predict(&folder, "n\n1\n3e38\n2\n", arguments).fails(2, &parts);
    }
    assert!(!folder.join("o.csv").exists());
    from_input(&folder, "", "n\n1\n3e38\n").fails(2, &parts[1..]);
    folder.write("rows.jsonl", "\n{\"n\": 3e38}\n");
    folder
        .run("predict t.safetensors rows.jsonl --jsonl")
        .fails(2, &["rows.jsonl", "line 2", parts[1]]);
    folder.write("new.csv", "n,price\n1,30\n3e38,1\n");
    folder.run("evaluate t.safetensors new.csv").fails(2, &parts);
}
