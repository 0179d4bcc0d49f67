//! Columns of many texts, which `--preset auto` embeds.

use std::fs;

use crate::run::{Folder, Run};
use crate::{noise, rows};

/// The value of a town: nothing that follows from its number.
fn value(town: usize) -> f64 {
    (town * town % 37) as f64
}

/// 600 rows of a number, one of `towns` towns, and a value that the town decides; the kinds of a third column are few.
fn table(towns: usize) -> String {
    let row = |i: usize| {
        let town = i * 7 % towns;
        let kind = ["new", "old"][i % 2];
        format!("{:.3},town {town},{kind},{:.3}", noise(i, 1), value(town) + 0.1 * noise(i, 2))
    };
    rows("x,town,kind,price", 600, row)
}

fn trained(towns: usize, options: &str) -> (Folder, Run) {
    let folder = Folder::new();
    folder.write("t.csv", table(towns));
    let run = folder.run(&format!("train t.csv --json {options}")).ok();
    (folder, run)
}

#[test]
fn a_column_of_many_texts_is_one_feature_and_is_learned() {
    let (folder, run) = trained(30, "--epochs 100");
    assert!(run.err.contains("--embed-categories 8"), "{}", run.err);
    assert!(run.err.contains("4 features (categories: town, 30 embedded, kind)"), "{}", run.err);
    let result = run.result();
    let rmse = result["held_out"]["value"].as_f64().unwrap();
    let constant = result["held_out"]["constant"].as_f64().unwrap();
    assert!(rmse < 0.2 * constant, "{}", result["held_out"]);
    // The same towns, one at a time and as a table.
    folder.write("new.csv", "x,town,kind\n0.1,town 3,new\n0.1,town 5,old\n0.1,,old\n");
    let all = folder.run("predict t.safetensors new.csv").ok();
    let numbers: Vec<f64> = all.out.lines().map(|line| line.parse().unwrap()).collect();
    for (number, town) in numbers.iter().zip([3, 5]) {
        assert!((number - value(town)).abs() < 5.0, "town {town}: {number}");
    }
    for (row, line) in ["0.1,town 3,new", "0.1,town 5,old"].iter().zip(all.out.lines()) {
        folder.write("one.csv", format!("x,town,kind\n{row}\n"));
        let one = folder.run("predict t.safetensors one.csv").ok();
        assert_eq!(one.out.trim(), line);
    }
    folder.write("new.csv", "x,town,kind\n0.1,Atlantis,new\n");
    let unknown = folder.run("predict t.safetensors new.csv").ok();
    assert!(
        unknown.err.contains("Atlantis") && unknown.err.contains("no category"),
        "{}",
        unknown.err
    );
    assert!(unknown.out.trim().parse::<f64>().unwrap().is_finite());
    let inspected = folder.run("inspect t.safetensors").ok();
    assert!(inspected.out.contains("category_embedding"), "{}", inspected.out);
    let importance = folder.run("evaluate t.safetensors t.csv --importance --json").ok().result();
    assert_eq!(importance["importance"][0]["column"], "town", "{importance}");
}

/// A layer that looks up another column than the one with the codes would answer, and be wrong.
#[test]
fn a_layer_that_embeds_another_column_is_refused() {
    let (folder, _) = trained(30, "--epochs 1");
    let bytes = fs::read(folder.join("t.safetensors")).unwrap();
    let from = b"[[1,30]]";
    let at = bytes.windows(from.len()).position(|window| window == from).unwrap();
    let mut damaged = bytes;
    damaged[at..at + from.len()].copy_from_slice(b"[[2,30]]");
    fs::write(folder.join("t.safetensors"), damaged).unwrap();
    folder.write("new.csv", "x,town,kind\n0.1,town 3,new\n");
    folder
        .run("predict t.safetensors new.csv")
        .fails(2, &["t.safetensors", "columns", "30 of feature 2", "30 of feature 1"]);
}

#[test]
fn the_recipe_written_out_gives_the_same_bytes() {
    let (folder, run) = trained(12, "--epochs 3");
    let line = run.err.lines().find(|line| line.contains("--preset auto, for")).unwrap();
    let options = line.split_once("samples: ").unwrap().1;
    let bytes = || fs::read(folder.join("t.safetensors")).unwrap();
    let auto = bytes();
    folder.run(&format!("train t.csv {options}")).ok();
    assert!(auto == bytes(), "{options}");
    // With few texts there is nothing to embed, and nothing is said of it.
    let (_, run) = trained(8, "--epochs 1");
    assert!(!run.err.contains("--embed-categories"), "{}", run.err);
    // A plain network has a feature for each text.
    let (_, run) = trained(12, "--epochs 1 --preset plain");
    assert!(run.err.contains("15 features"), "{}", run.err);
    let (_, run) = trained(12, "--epochs 1 --preset plain --embed-categories 11");
    assert!(run.err.contains("4 features"), "{}", run.err);
}

/// Up to 10,000 texts, which are too many for a feature each.
#[test]
fn thousands_of_texts_are_embedded_or_left_out() {
    let folder = Folder::new();
    let row = |i: usize| format!("{:.3},t{},{}", noise(i, 1), i % 1500, i * 7 % 3);
    folder.write("t.csv", rows("x,town,y", 4500, row));
    let auto = folder.run("train t.csv --label y --epochs 1").ok();
    // Not every town is in the training part.
    assert!(auto.err.contains("2 features (categories: town, 14"), "{}", auto.err);
    let plain = folder.run("train t.csv --label y --epochs 1 --preset plain").ok();
    assert!(plain.err.contains("1500 different texts, more than 1000"), "{}", plain.err);
    // What is inspected is what is trained without options.
    let seen = folder.run("inspect t.csv").ok();
    assert!(seen.out.contains("1500 categories"), "{}", seen.out);
    for option in ["--embed-categories 8", "--scaling robust"] {
        let name = option.split(' ').next().unwrap();
        folder.run(&format!("train digits {option}")).fails(2, &[name, "is for tables"]);
    }
    folder
        .run("train t.csv --label y --stream --embed-categories 8")
        .fails(2, &["--embed-categories", "--stream"]);
}
