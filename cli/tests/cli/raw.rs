//! Tables with texts and gaps from the command line: what a training finds out, evaluation and prediction use.

use crate::run::Folder;

/// 200 houses whose price depends on size and quarter; some sizes are missing, and each has a name of its own.
fn houses() -> String {
    let mut text = "name,size,quarter,garden,price\n".to_owned();
    for i in 0..200u32 {
        let (size, quarter) = (40 + i * 37 % 100, ["north", "east", "south"][(i * 7 % 3) as usize]);
        let extra = [0, 50, 120][(i * 7 % 3) as usize];
        let shown = if i % 17 == 5 { String::new() } else { size.to_string() };
        let garden = if i % 4 == 0 { "yes" } else { "no" };
        text += &format!("house{i},{shown},{quarter},{garden},{}\n", 2 * size + extra);
    }
    text
}

#[test]
fn raw_tables_are_trained_evaluated_and_predicted() {
    let folder = Folder::new();
    folder.write("houses.csv", houses());
    let run = folder.run("train houses.csv --task values --hidden 20 --epochs 60 --json").ok();
    assert!(run.err.contains("5 features (categories: quarter)"), "{}", run.err);
    let name = "name     left out: texts nearly all different, 200 in 200";
    assert!(run.err.contains(name), "{}", run.err);
    let inspected = folder.run("inspect houses.safetensors --json").ok().result();
    let features = inspected["features"].as_array().unwrap();
    let expected = ["size", "quarter=east", "quarter=north", "quarter=south", "garden"];
    assert!(features.iter().eq(expected.iter()), "{features:?}");
    assert_eq!(inspected["columns"][1]["categories"].as_array().unwrap().len(), 3);
    assert!(inspected["columns"][0]["mean"].as_f64().is_some());
    assert!(
        folder
            .run("inspect houses.safetensors")
            .ok()
            .out
            .contains("column quarter: one of east, north, south")
    );
    let result = folder.run("evaluate houses.safetensors houses.csv --json").ok().result();
    assert!(result["r2"].as_f64().unwrap() > 0.85, "{result}");

    // The same numbers by hand give the same answers.
    folder.write("raw.csv", "garden,quarter,size\nyes,south,100\nno,north,55.5\nno,,70\n");
    let answers = folder.run("predict houses.safetensors raw.csv").ok();
    assert_eq!(answers.out.lines().count(), 3);
    let gap = "warning: 1 sample: 'quarter' is missing, as never in training";
    assert!(answers.err.starts_with(gap) && answers.err.lines().count() == 1, "{}", answers.err);
    folder.write(
        "more.csv",
        "extra,size,garden,quarter\n1,100,yes,south\n2,55.5,no,north\n3,70,no,west\n",
    );
    let more = folder.run("predict houses.safetensors more.csv").ok();
    assert_eq!(
        more.out, answers.out,
        "another order, one column more, and a quarter that training did not see"
    );
    assert!(
        more.err.contains("1 sample: 'quarter' is \"west\", which training did not see"),
        "{}",
        more.err
    );

    folder.write("less.csv", "size,garden\n100,yes\n");
    folder
        .run("predict houses.safetensors less.csv")
        .fails(2, &["less.csv", "\"quarter\" among them", "\"size\", \"garden\""]);
    folder.write("text.csv", "size,garden,quarter\nbig,yes,south\n");
    folder
        .run("predict houses.safetensors text.csv")
        .fails(2, &["line 2, column 1 (size)", "a finite number", "big"]);
    let model = std::fs::read(folder.join("houses.safetensors")).unwrap();
    let at = model.windows(6).position(|window| window == b"size\\\"").unwrap();
    let mut damaged = model.clone();
    damaged[at..at + 4].copy_from_slice(b"zise");
    folder.write("damaged", damaged);
    folder.run("predict damaged raw.csv").fails(2, &["zise"]);
}

#[test]
fn a_training_part_decides() {
    let folder = Folder::new();
    folder.write("train.csv", "a,b,c\n1,x,yes\n2,y,no\n3,x,yes\n,y,no\n");
    folder.write("test.csv", "b,a,c\nx,,no\nz,5,yes\n");
    let run = folder.run("train train.csv --test test.csv --epochs 2 --json").ok();
    assert!(run.err.contains("1 sample: 'b' is \"z\", which training did not see"), "{}", run.err);
    let columns = folder.run("inspect train.safetensors --json").ok().result()["columns"].clone();
    assert_eq!(columns[0]["mean"].as_f64(), Some(2.0));

    // Three of a class among 60: without --stratify a split may take them all.
    let rows: String =
        (0..60).map(|i| format!("{i},{}\n", if i % 20 == 0 { "rare" } else { "usual" })).collect();
    folder.write("rare.csv", format!("a,kind\n{rows}"));
    let (mut refused, mut stratified) = (0, 0);
    for seed in 1..30 {
        let split = format!("train rare.csv --held-out 0.7 --epochs 1 --seed {seed}");
        let run = folder.run(&split);
        if run.status != Some(0) {
            run.fails(
                2,
                &["--held-out", "all 3 samples of class 'rare' are held out", "--stratify"],
            );
            refused += 1;
        }
        folder.run(&format!("{split} --stratify")).ok();
        stratified += 1;
    }
    assert!(refused > 0 && stratified == 29);
}

#[test]
fn cross_validation() {
    let folder = Folder::new();
    let run = folder.run("train digits --folds 4 --stratify --epochs 3 --json").ok();
    let lines = run.json();
    assert_eq!(lines.len(), 5);
    let accuracies: Vec<f64> =
        lines[..4].iter().map(|line| line["test_accuracy"].as_f64().unwrap()).collect();
    let mean = accuracies.iter().sum::<f64>() / 4.0;
    let deviation = (accuracies.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / 3.0).sqrt();
    let last = &lines[4];
    assert!(mean > 0.9 && deviation < 0.05, "{last}");
    assert!((last["test_accuracy"].as_f64().unwrap() - mean).abs() < 1e-12);
    assert!((last["test_accuracy_deviation"].as_f64().unwrap() - deviation).abs() < 1e-12);
    assert_eq!(folder.run("train digits --folds 4 --stratify --epochs 3 --json").ok().out, run.out);
    assert!(!folder.join("digits.safetensors").exists(), "no model is saved");
    folder.write("houses.csv", houses());
    let values =
        folder.run("train houses.csv --task values --drop name --folds 3 --epochs 20").ok();
    assert!(values.out.contains("3 folds: test loss"), "{}", values.out);

    // The only sample of a class is held out by some fold, stratified or not.
    let rows: String = (0..60).map(|i| format!("{i},{}\n", ["x", "y"][i % 2])).collect();
    folder.write("once.csv", format!("a,kind\n{rows}60,once\n"));
    for options in ["", "--stratify"] {
        let run = folder.run(&format!("train once.csv --folds 3 {options} --epochs 1"));
        assert!(!run.err.contains("--stratify keeps"), "{}", run.err);
        run.fails(2, &["--folds", "the only sample of class 'once'", "leave that sample out"]);
    }
    folder.run("train digits --folds 1").fails(2, &["1 folds of 1797 samples"]);
    folder.run("train digits --folds 3 --out m").fails(2, &["--folds", "--out"]);
    folder.run("train digits --folds 3 --checkpoint c").fails(2, &["--folds", "--checkpoint"]);
    folder
        .run("train houses.csv --task values --drop name --stratify")
        .fails(2, &["--stratify", "classes"]);
    folder.run("train digits --drop a").fails(2, &["--drop", "is for tables, not for digits"]);
}
