//! `--bins`: numbers as shares of bins.

use crate::run::Folder;
use crate::{noise, rows};

/// A wave of x, which a line does not follow; y is noise.
#[test]
fn a_linear_model_on_bins_follows_a_curve() {
    let folder = Folder::new();
    let row = |i: usize| {
        let x = noise(i, 1) * 6.0;
        format!("{x:.4},{:.3},{:.4}", noise(i, 2), x.sin())
    };
    folder.write("t.csv", rows("x,y,wave", 900, row));
    let train = "train t.csv --hidden none --epochs 300 --learning-rate 0.05 --json";
    let value = |options: &str| {
        let run = folder.run(&format!("{train} {options}")).ok();
        run.result()["held_out"]["value"].as_f64().unwrap()
    };
    let (line, bins) = (value(""), value("--bins 16"));
    assert!(bins < 0.3 * line, "{bins} with bins, {line} without");
    let inspected = folder.run("inspect t.safetensors").ok();
    assert!(inspected.out.contains("column x: a number, in 16 bins"), "{}", inspected.out);
    // A row alone and in a table, and a number outside of what training saw.
    folder.write("new.csv", "x,y\n1.5,0\n-2.25,0.5\n");
    let both = folder.run("predict t.safetensors new.csv").ok();
    for (row, line) in ["1.5,0", "-2.25,0.5"].iter().zip(both.out.lines()) {
        folder.write("one.csv", format!("x,y\n{row}\n"));
        assert_eq!(folder.run("predict t.safetensors one.csv").ok().out.trim(), line);
    }
    folder.write("new.csv", "x,y\n400,0\n");
    let far = folder.run("predict t.safetensors new.csv").ok();
    assert!(far.err.contains("far outside"), "{}", far.err);
    folder.run("train t.csv --bins 1").fails(2, &["--bins", "at least 2"]);
    folder.run("train digits --bins 4").fails(2, &["--bins", "is for tables"]);
    folder.run("train t.csv --bins 4 --stream").fails(2, &["--bins", "--stream"]);
}

#[test]
fn the_recipe_with_bins_written_out_gives_the_same_bytes() {
    let folder = Folder::new();
    let row = |i: usize| format!("{:.3},{}", noise(i, 1), ["a", "b"][i % 2]);
    folder.write("t.csv", rows("x,k", 120, row));
    let run = folder.run("train t.csv --bins 5 --epochs 2").ok();
    let line = run.err.lines().find(|line| line.contains("--preset auto, for")).unwrap();
    let options = line.split_once("samples: ").unwrap().1.to_owned();
    assert!(options.contains("--bins 5") && !options.contains("--embed-numbers"), "{options}");
    let bytes = || std::fs::read(folder.join("t.safetensors")).unwrap();
    let auto = bytes();
    folder.run(&format!("train t.csv {options}")).ok();
    assert!(auto == bytes(), "{options}");
}
