//! Dropout, max-norm, normalization, label smoothing and class weights from the command line to the model file.

use crate::run::Folder;

#[test]
fn every_option_learns_the_digits_and_is_told_by_the_model() {
    let folder = Folder::new();
    let plain =
        folder.run("train digits --epochs 8 --json").ok().result()["train_loss"].as_f64().unwrap();
    for (options, facts) in [
        ("--dropout 0.3", &[("dropout", "0.3")][..]),
        ("--input-dropout 0.1", &[("input_dropout", "0.1")]),
        ("--max-norm 1", &[("max_norm", "1")]),
        ("--label-smoothing 0.1", &[("label_smoothing", "0.1")]),
        ("--normalization batch", &[("normalization", "batch")]),
        ("--normalization layer --hidden 40,30", &[("normalization", "layer")]),
        ("--class-weights balanced", &[("class_weights", "balanced")]),
        ("--class-weights 8=2,1=0.5", &[("class_weights", "8=2,1=0.5")]),
        // 1437 samples in batches of 4: the last one is alone.
        ("--normalization batch --batch 4", &[("normalization", "batch")]),
        ("--dropout 0.2 --max-norm 3 --batch 7", &[("dropout", "0.2"), ("max_norm", "3")]),
    ] {
        let result = folder.run(&format!("train digits --epochs 8 {options} --json")).ok().result();
        assert!(result["test_accuracy"].as_f64().unwrap() > 0.94, "{options}: {result}");
        assert_ne!(result["train_loss"].as_f64().unwrap(), plain, "{options} changes nothing");
        let inspected = folder.run("inspect digits.safetensors --json").ok().result();
        for (key, value) in facts {
            assert_eq!(inspected["training"][key], *value, "{options}: {inspected}");
        }
    }
}

#[test]
fn what_makes_no_sense_is_refused() {
    let folder = Folder::new();
    for (options, words) in [
        ("--dropout 1", &["--dropout", "from 0 to less than 1"][..]),
        ("--input-dropout -0.1", &["--input-dropout", "from 0 to less than 1"]),
        ("--max-norm 0", &["--max-norm", "above 0"]),
        ("--label-smoothing nan", &["--label-smoothing"]),
        ("--hidden none --dropout 0.5", &["--dropout", "hidden layers"]),
        ("--normalization bat", &["expected none, batch or layer, found 'bat'"]),
        ("--hidden none --normalization batch", &["--normalization", "hidden layers"]),
        ("--normalization batch --batch 1", &["a batch of 1 sample has no variance"]),
        ("--class-weights 8", &["balanced or CLASS=WEIGHT", "found '8'"]),
        ("--class-weights 8=0", &["weights above 0"]),
        ("--class-weights ten=2", &["there is no class 'ten'; there are 0, 1, 2"]),
        ("--hidden none --max-norm 1", &["--max-norm", "hidden layers"]),
    ] {
        folder.run(&format!("train digits {options}")).fails(2, words);
    }
    folder.write("values.csv", "a,b\n1,1.5\n2,2.5\n3,3.25\n4,4.125\n5,5.5\n");
    folder
        .run("train values.csv --task values --label-smoothing 0.1")
        .fails(2, &["--label-smoothing", "classes"]);
    folder
        .run("train values.csv --task values --class-weights balanced")
        .fails(2, &["--class-weights", "classes"]);
}

/// A rare class is found more often when it counts more: 40 of 1,040 points, which overlap with the others.
#[test]
fn balanced_classes_find_the_rare_one() {
    let folder = Folder::new();
    let mut lines = vec!["x,y,kind".to_owned()];
    for i in 0..1040u32 {
        let (a, b) = (f64::from(i * 7919 % 1009) / 1009.0, f64::from(i * 104_729 % 997) / 997.0);
        let rare = i % 26 == 0;
        let shift = if rare { 0.5 } else { 0.0 };
        lines.push(format!(
            "{:.4},{:.4},{}",
            a + shift,
            b + shift,
            if rare { "rare" } else { "usual" }
        ));
    }
    folder.write("points.csv", lines.join("\n"));
    let recall = |options: &str| {
        folder.run(&format!("train points.csv --hidden 16 --epochs 30 {options} --json")).ok();
        let result = folder.run("evaluate points.safetensors points.csv --json").ok().result();
        let classes = result["per_class"].as_array().unwrap();
        let rare = classes.iter().find(|class| class["class"] == "rare").unwrap();
        rare["recall"].as_f64().unwrap()
    };
    let (plain, balanced) = (recall(""), recall("--class-weights balanced"));
    assert!(balanced > 0.7 && balanced > plain, "{balanced} beside {plain}");
}

#[test]
fn options_without_effect_are_refused() {
    let folder = Folder::new();
    let rows: String = (0..60).map(|i| format!("{},{},{i}\n", i % 7, ["a", "b"][i % 2])).collect();
    folder.write("t.csv", format!("x,class,value\n{rows}"));
    let classes = "t.csv --label class --epochs 2";
    let values = "t.csv --label value --task values --epochs 2";
    for (options, words) in [
        (format!("{classes} --class-weights a=1,a=5"), ["--class-weights", "'a' twice"]),
        (
            format!("{classes} --early-stopping 2 --keep-epoch last"),
            ["--keep-epoch", "--early-stopping"],
        ),
        (format!("{values} --keep-epoch accuracy"), ["--keep-epoch", "values"]),
        (
            format!("{classes} --on-checkpoint-error continue"),
            ["--on-checkpoint-error", "--checkpoint DIR"],
        ),
        (format!("{classes} --hidden none --activation tanh"), ["--activation", "--hidden none"]),
        (
            format!("{classes} --hidden 4 --fade-regularization"),
            ["--fade-regularization", "--dropout"],
        ),
        (format!("{classes} --init zeros --fit-init"), ["--fit-init", "--init zeros"]),
        (format!("{classes} --stream 1 --keep-epoch loss"), ["--stream", "--keep-epoch"]),
        (format!("{classes} --calibrate --held-out 0.1"), ["--calibrate", "at least 20"]),
        (
            format!("{classes} --folds 3 --fade-regularization --hidden 4"),
            ["--fade-regularization", "--dropout"],
        ),
    ] {
        folder.run(&format!("train {options}")).fails(2, &words);
    }
    let all = folder.run(&format!("train {classes} --samples 9999")).ok();
    assert!(
        all.err.contains("--samples 9999 leaves none out: there are 48 samples"),
        "{}",
        all.err
    );
    folder.run(&format!("train {values} --checkpoint points --hidden 4")).ok();
    folder
        .run(&format!("train {values} --resume points --hidden 4 --bound-values"))
        .fails(2, &["bounds of the values"]);
}
