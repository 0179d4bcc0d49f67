//! `--preset auto`: what it chooses is said, and can be written out; options that are given stay.

use std::fs;

use crate::run::Folder;

/// Two classes, and a value, that follow from two of four columns; with a gap and a number far from the others.
fn tables(folder: &Folder) {
    let (mut classes, mut values) =
        ("a,b,kind,noise,y\n".to_owned(), "a,b,kind,noise,y\n".to_owned());
    for i in 0..240 {
        let (a, b) = (f64::from(i % 17) / 4.0 - 2.0, f64::from(i * 7 % 23) / 5.0 - 2.0);
        let kind = ["red", "green", "blue"][i as usize % 3];
        let noise = if i == 11 { "1e9".to_owned() } else { (i * 31 % 101).to_string() };
        let cell = if i == 5 { String::new() } else { a.to_string() };
        let class = if a * b > 0.0 { "same" } else { "other" };
        classes += &format!("{cell},{b},{kind},{noise},{class}\n");
        values += &format!("{cell},{b},{kind},{noise},{}\n", a * b + 0.01 * f64::from(i % 7));
    }
    folder.write("classes.csv", classes);
    folder.write("values.csv", values);
}

/// What the note of the preset says the recipe is.
fn options(err: &str) -> String {
    let line = err.lines().find(|line| line.contains("--preset auto, for")).expect(err);
    line.split_once("samples: ").unwrap().1.to_owned()
}

#[test]
fn the_recipe_is_said_and_gives_the_same_bytes_when_it_is_written_out() {
    let folder = Folder::new();
    tables(&folder);
    for (data, given) in [("classes.csv", ""), ("values.csv", "--hidden 40 --batch 16")] {
        let auto = format!("train {data} --preset auto --epochs 12 {given}");
        let run = folder.run(&format!("{auto} --out a.safetensors --json")).ok();
        let options = options(&run.err);
        let chosen = ["--scaling robust", "--epochs 12", "--schedule coslog(4)", "--rates tangent"];
        for part in chosen.into_iter().chain(given.split(" --").filter(|part| !part.is_empty())) {
            assert!(options.contains(part), "{options} lacks {part}");
        }
        folder.run(&format!("train {data} {options} --out b.safetensors")).ok();
        let [a, b] =
            ["a", "b"].map(|name| fs::read(folder.join(format!("{name}.safetensors"))).unwrap());
        assert!(a == b, "{data}: '{options}' gives another model");
        folder.run(&format!("train {data} --epochs 12 --out b.safetensors")).ok();
        assert!(a != fs::read(folder.join("b.safetensors")).unwrap(), "auto is not the default");
    }
}

/// The model kept is that of the best epoch, and predicts what was learned through the bounded features.
#[test]
fn it_learns_what_the_defaults_learn_and_keeps_the_best_epoch() {
    let folder = Folder::new();
    tables(&folder);
    let result = folder.run("train classes.csv --preset auto --epochs 60 --json").ok().result();
    assert_eq!(result["test_accuracy"], result["best_test_accuracy"], "{result}");
    let judged = folder.run("evaluate classes.safetensors classes.csv --json").ok().result();
    assert!(judged["accuracy"].as_f64().unwrap() > 0.95, "{judged}");
    let result = folder.run("train values.csv --preset auto --epochs 60 --json").ok().result();
    let judged = folder.run("evaluate values.safetensors values.csv --json").ok().result();
    assert!(judged["r2"].as_f64().unwrap() > 0.9, "{judged} {result}");
}

#[test]
fn it_is_for_tables_in_memory() {
    let folder = Folder::new();
    tables(&folder);
    for (arguments, words) in [
        ("train digits --preset auto", &["--preset", "tables in memory"][..]),
        ("train classes.csv --preset auto --stream", &["--preset", "tables in memory"]),
        ("train classes.csv --stream --scaling robust", &["--scaling", "quartiles", "--stream"]),
        ("train classes.csv --keep-epoch loss --held-out 0", &["--keep-epoch", "to test on"]),
        ("train classes.csv --second-beta 0.9", &["--second-beta", "adam or adamw, not for sgd"]),
        ("train classes.csv --second-beta 1 --optimizer adam", &["--second-beta", "less than 1"]),
        ("train classes.csv --schedule coslog(17)", &["waves from 1 to 16", "'17'"]),
        ("train classes.csv --scaling robust --no-standardize", &["--scaling", "--no-standardize"]),
    ] {
        folder.run(arguments).fails(2, words);
    }
    // Without samples to test on, the last epoch is kept.
    let run = folder.run("train classes.csv --preset auto --epochs 2 --held-out 0").ok();
    assert!(options(&run.err).contains("--keep-epoch last"), "{}", run.err);
    folder.run("train classes.csv --preset auto --epochs 3 --folds 3 --json").ok();
}

#[test]
fn a_training_of_the_recipe_resumes_to_the_same_bytes() {
    let folder = Folder::new();
    tables(&folder);
    let train = "train classes.csv --preset auto --batch 32";
    folder.run(&format!("{train} --epochs 9 --out whole.safetensors")).ok();
    // A schedule is as long as the training, so the first part must know the length: it is interrupted.
    folder
        .run(&format!("{train} --epochs 9 --checkpoint parts --every 7 --out parts.safetensors"))
        .ok();
    let mut checkpoints: Vec<_> =
        fs::read_dir(folder.join("parts")).unwrap().map(|entry| entry.unwrap().path()).collect();
    checkpoints.sort();
    let last = checkpoints.pop().unwrap();
    fs::remove_file(last).unwrap();
    folder
        .run(&format!(
            "{train} --epochs 9 --checkpoint parts --resume --every 7 --out parts.safetensors"
        ))
        .ok();
    let [whole, parts] = ["whole", "parts"]
        .map(|name| fs::read(folder.join(format!("{name}.safetensors"))).unwrap());
    assert!(whole == parts, "a resumed training differs");
    folder
        .run(&format!("{train} --epochs 9 --keep-epoch loss --resume parts"))
        .fails(2, &["keep", "accuracy", "loss"]);
}
