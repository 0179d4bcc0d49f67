//! Options that contradict the table or one another, or change nothing, are refused.

use crate::run::Folder;
use crate::{refused, rows};

fn table() -> String {
    rows("x,y,k", 20, |i| format!("{i}.5,{},{}", i * i, ["a", "b"][i % 2]))
}

#[test]
fn options_without_effect_are_refused() {
    for (arguments, part) in [
        ("--decimal ,", "\"x\""),
        ("--thousands ,", "--thousands has no effect"),
        ("--dates D/M/Y", "--dates has no effect"),
        ("--no-dates", "--no-dates has no effect"),
        ("--comment %", "--comment has no effect"),
        ("--missing zzz", "--missing has no effect"),
        ("--keep x", "--keep has no effect"),
        ("--labels l.npy", "--labels"),
    ] {
        let part = if arguments == "--decimal ," { "--decimal" } else { part };
        refused(table(), arguments, &[part]);
    }
}

#[test]
fn options_that_contradict_each_other_are_refused() {
    for (arguments, parts) in [
        ("--drop x --keep x", ["--drop", "--keep"]),
        ("--drop x --categorical x", ["--drop", "--categorical"]),
        ("--drop x,#1", ["--drop", "\"x\""]),
        ("--drop k", ["--label", "--drop"]),
        ("--label x --categorical x", ["--label", "--categorical"]),
        ("--decimal , --thousands ,", ["decimal", "thousands"]),
        ("--header --no-header", ["--header", "--no-header"]),
        ("--no-dates --dates D/M/Y", ["--no-dates", "--dates"]),
        ("--decimal ;", ["decimal", "';'"]),
        ("--drop #4", ["\"#4\"", "\"x\""]),
    ] {
        refused(table(), arguments, &parts);
    }
}

#[test]
fn options_for_text_are_refused_for_other_data() {
    let folder = Folder::new();
    folder.write("t.csv", table());
    folder.run("train t.csv --epochs 1").ok();
    for option in
        ["--label 1", "--drop 1", "--header", "--missing x", "--decimal ,", "--schema s.toml"]
    {
        let name = option.split(' ').next().unwrap();
        folder.run(&format!("train digits --epochs 1 {option}")).fails(2, &[name]);
        folder.run(&format!("inspect t.safetensors {option}")).fails(2, &[name]);
    }
    folder.run("train digits --epochs 1 --out d.safetensors").ok();
    folder.run("predict d.safetensors digits --header").fails(2, &["--header"]);
    folder.run("predict d.safetensors digits --id x").fails(2, &["--id"]);
    folder.run("predict d.safetensors digits --jsonl").fails(2, &["--jsonl"]);
    folder.write("t.jsonl", "{\"x\": 1.5, \"y\": 2}\n");
    for option in ["--header", "--delimiter tab", "--encoding latin-1", "--skip-rows 1"] {
        let name = option.split(' ').next().unwrap();
        folder.run(&format!("predict t.safetensors t.jsonl --jsonl {option}")).fails(2, &[name]);
    }
    for option in ["--label k", "--drop x", "--missing a", "--decimal ,", "--keep x"] {
        let name = option.split(' ').next().unwrap();
        folder.run(&format!("predict t.safetensors t.csv {option}")).fails(2, &[name]);
    }
}

#[test]
fn a_schema_is_written_edited_and_followed() {
    let folder = Folder::new();
    folder.write("t.csv", table());
    folder.run("inspect t.csv --schema s.toml").ok();
    let text = std::fs::read_to_string(folder.join("s.toml")).unwrap();
    assert!(text.contains("name = \"x\"") && text.contains("role = \"class\""), "{text}");
    let run = folder.run("train t.csv --schema s.toml --epochs 1").ok();
    assert!(run.err.contains("2 features; 2 classes of 'k'"), "{}", run.err);
    folder.write("s.toml", text.replacen("role = \"feature\"", "role = \"left_out\"", 1));
    let run = folder.run("train t.csv --schema s.toml --epochs 1").ok();
    assert!(run.err.contains("1 feature; 2 classes of 'k'"), "{}", run.err);
    folder.run("train t.csv --schema s.toml --drop y").fails(2, &["--drop", "--schema"]);
    folder.write("s.toml", text.replace("role = \"feature\"", "role = \"futile\""));
    folder.run("train t.csv --schema s.toml").fails(2, &["s.toml", "futile"]);
    folder.run("train t.csv --schema none.toml").fails(2, &["none.toml"]);
    let replaced = folder.run("inspect t.csv --schema s.toml").ok().err;
    assert!(replaced.contains("replaces s.toml"), "{replaced}");
    folder.run("inspect t.csv --schema ./t.csv").fails(2, &["--schema", "would replace the data"]);
    assert_eq!(std::fs::read_to_string(folder.join("t.csv")).unwrap(), table());
}
