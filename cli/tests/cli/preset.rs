//! `--preset auto` and `tabm`: what they choose is said, and can be written out; options that are given stay.

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
    let line =
        err.lines().find(|line| line.contains("--preset ") && line.contains(", for")).expect(err);
    line.split_once("samples: ").unwrap().1.to_owned()
}

/// Many networks in one: the recipe can be written out, the file answers their mean, and the training goes on where it was left.
#[test]
fn tabm_is_one_model_of_many_members() {
    let folder = Folder::new();
    tables(&folder);
    let read = |name: &str| fs::read(folder.join(name)).unwrap();
    for data in ["classes.csv", "values.csv"] {
        let tabm = format!("train {data} --preset tabm --hidden 24,24 --batch 16 --epochs 30");
        let run = folder.run(&format!("{tabm} --out a.safetensors --json")).ok();
        let options = options(&run.err);
        for part in ["--members 32 ", "--optimizer adamw ", "--early-stopping 16"] {
            assert!(options.contains(part), "{options} lacks {part}");
        }
        folder.run(&format!("train {data} {options} --out b.safetensors")).ok();
        assert!(read("a.safetensors") == read("b.safetensors"), "{data}: '{options}'");
        let judged = folder.run(&format!("evaluate a.safetensors {data} --json")).ok().result();
        let score = if data == "classes.csv" { &judged["accuracy"] } else { &judged["r2"] };
        assert!(score.as_f64().unwrap() > 0.8, "{judged}");
        let about = folder.run("inspect a.safetensors").ok().out;
        assert!(about.contains("members") && about.contains("member_mean"), "{about}");
    }
    let train = "train values.csv --members 3 --hidden 20 --dropout 0.2";
    folder.run(&format!("{train} --epochs 6 --out whole.safetensors")).ok();
    folder.run(&format!("{train} --epochs 3 --checkpoint c --out half.safetensors")).ok();
    folder.run(&format!("{train} --epochs 6 --resume c --out whole2.safetensors")).ok();
    assert!(read("whole.safetensors") == read("whole2.safetensors"), "another model");

    let calibrate = "train classes.csv --members 3 --calibrate";
    folder.run(calibrate).fails(2, &["--calibrate", "the mean of members has no logits"]);
    folder.run("train values.csv --members 1").fails(2, &["at least 2"]);
    folder.run("train values.csv --members 3 --hidden none").fails(2, &["--members", "--hidden"]);
    folder
        .run("train values.csv --members 3 --parametric")
        .fails(2, &["--members", "--parametric"]);
    folder.run("train digits --preset tabm").fails(2, &["tabm is for tables in memory"]);
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
    }
}

/// `auto` is the default of tables; an option that names another network or optimizer makes it `plain`, which is said.
#[test]
fn it_is_the_default_unless_an_option_names_another_recipe() {
    let folder = Folder::new();
    tables(&folder);
    let bytes = |arguments: &str| {
        let run = folder.run(&format!("train classes.csv --epochs 3 {arguments}")).ok();
        (fs::read(folder.join("classes.safetensors")).unwrap(), run.err)
    };
    let (default, said) = bytes("");
    assert!(said.contains("--preset auto, for classes and 192 samples"), "{said}");
    assert!(default == bytes("--preset auto").0, "auto is not the default");
    let (plain, said) = bytes("--preset plain");
    assert!(plain != default && !said.contains("preset"), "{said}");
    for other in [
        "--hidden 100",
        "--activation relu",
        "--init glorot",
        "--optimizer sgd",
        "--learning-rate 0.1",
        "--schedule constant",
        "--normalization none",
    ] {
        let option = other.split(' ').next().unwrap();
        let (model, said) = bytes(other);
        assert!(model == plain, "{other} is not plain");
        let told = format!("--preset plain, because {option} is given; auto is the default");
        assert!(said.contains(&told), "{said}");
    }
    // Others tune the recipe.
    let (model, said) = bytes("--dropout 0 --batch 16");
    assert!(model != plain && model != default, "dropout and batch make no difference");
    assert!(options(&said).contains("--dropout 0 ") && options(&said).contains("--batch 16 "));
    let digits = folder.run("train digits --epochs 1").ok().err;
    assert!(!digits.contains("preset"), "{digits}");
}

/// Features on a line, and few samples: the inputs of many units cancel each other, and their first weights must not explode.
#[test]
fn a_small_table_that_one_column_decides_is_learned() {
    let folder = Folder::new();
    let row = |i: i32| format!("{},{i},{}\n", i % 2 * 2 - 1, ["no", "yes"][i as usize % 2]);
    folder.write("side.csv", format!("side,i,y\n{}", (0..60).map(row).collect::<String>()));
    for options in ["", "--output sigmoid", "--quality best"] {
        let run = folder.run(&format!("train side.csv {options} --epochs 30 --json")).ok();
        assert_eq!(run.result()["test_accuracy"], 1.0, "{options}: {}", run.out);
        assert!(!run.out.contains("restart"), "{options}: {}", run.out);
    }
    let row = |i: i32| format!("{i}.5,{i}\n");
    folder.write("line.csv", format!("x,y\n{}", (0..90).map(row).collect::<String>()));
    let run = folder.run("train line.csv --task values --json").ok();
    assert!(run.result()["test_loss"].as_f64().unwrap() < 1.0, "{}", run.out);
    assert!(!run.out.contains("restart"), "{}", run.out);
}

/// Five networks in one file: each is tested on another fifth, the file predicts their mean, and the same again.
#[test]
fn quality_best_trains_an_ensemble() {
    let folder = Folder::new();
    tables(&folder);
    let train = "train classes.csv --quality best --epochs 40";
    let run = folder.run(&format!("{train} --json")).ok();
    let lines = run.json();
    let members: Vec<f64> = lines
        .iter()
        .filter(|line| line["task"] == "member")
        .map(|line| line["test_accuracy"].as_f64().unwrap())
        .collect();
    assert_eq!(members.len(), 5, "{}", run.out);
    let result = run.result();
    let mean = members.iter().sum::<f64>() / 5.0;
    assert!((result["test_accuracy"].as_f64().unwrap() - mean).abs() < 1e-12, "{result}");
    assert_eq!((&result["members"], &result["held_out"]["samples"]), (&5.into(), &240.into()));
    let judged = folder.run("evaluate classes.safetensors classes.csv --json").ok().result();
    assert!(judged["accuracy"].as_f64().unwrap() > 0.9, "{judged}");
    assert_eq!(judged["samples"], 240);
    assert!(
        folder.run("inspect classes.safetensors").ok().out.contains("the mean of 5 such networks")
    );
    let first = fs::read(folder.join("classes.safetensors")).unwrap();
    folder.run(train).ok();
    assert!(first == fs::read(folder.join("classes.safetensors")).unwrap(), "another model");

    // Samples that no member sees judge the mean.
    folder.run("train values.csv --quality best --epochs 10 --held-out 0.25 --out v").ok();
    let run =
        folder.run("train values.csv --quality best --epochs 10 --test values.csv --json").ok();
    let own = folder.run("evaluate values.safetensors values.csv --json").ok().result();
    let said = run.result()["test_loss"].as_f64().unwrap();
    assert!((said - own["loss"].as_f64().unwrap()).abs() < 1e-6 * said, "{own} {}", run.out);
    for option in ["--folds 3", "--stream"] {
        folder
            .run(&format!("{train} {option}"))
            .fails(2, &["--quality", option.split(' ').next().unwrap()]);
    }
    folder.write("few.csv", "a,y\n1,x\n2,z\n3,x\n4,z\n");
    folder.run("train few.csv --quality best").fails(2, &["--quality", "5 networks", "4 samples"]);
}

/// A value far outside of what the training had becomes the nearest one that it had.
#[test]
fn values_stay_within_those_of_the_training() {
    let folder = Folder::new();
    let row = |i: i32| format!("{},{}\n", i % 50, i % 50 * 2);
    folder.write("line.csv", format!("x,y\n{}", (0..200).map(row).collect::<String>()));
    folder.run("train line.csv --task values --epochs 40").ok();
    folder.write("far.csv", "x\n100000\n-100000\n");
    let values = folder.run("predict line.safetensors far.csv").ok().out;
    for value in values.lines() {
        assert!((0.0..=98.0).contains(&value.parse::<f64>().unwrap()), "{values}");
    }
    folder.run("train digits --bound-values").fails(2, &["--bound-values", "values"]);
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

/// The schedule of a shorter training is whole, so it is the same as with the epochs that are told.
#[test]
fn a_time_limit_takes_fewer_epochs() {
    let folder = Folder::new();
    tables(&folder);
    for quality in ["fast", "best"] {
        let train = format!("train classes.csv --quality {quality}");
        let run = folder.run(&format!("{train} --epochs 100000 --time-limit 2 --out a")).ok();
        let told = run.err.split("so --epochs ").nth(1).expect(&run.err);
        let epochs: usize = told.split(' ').next().unwrap().parse().unwrap();
        assert!((1..100_000).contains(&epochs), "{}", run.err);
        folder.run(&format!("{train} --epochs {epochs} --out b")).ok();
        let [a, b] = ["a", "b"].map(|name| fs::read(folder.join(name)).unwrap());
        assert!(a == b, "{quality}: {epochs} epochs give another model");
        let run = folder.run(&format!("{train} --epochs 2 --time-limit 1000 --out b")).ok();
        assert!(!run.err.contains("--time-limit"), "{}", run.err);
    }
    let run = folder.run("train classes.csv --time-limit 1e-9").ok();
    assert!(run.err.contains("1 epoch takes longer"), "{}", run.err);
    folder.run("train classes.csv --time-limit 0").fails(2, &["--time-limit", "above 0"]);
}
