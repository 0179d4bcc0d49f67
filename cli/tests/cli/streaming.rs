//! Training on a file that is read in blocks.

use std::fs;

use crate::run::Folder;

/// Four features, three classes that overlap a little; about 3 MB.
fn points() -> String {
    let mut state = 7u64;
    let mut next = || {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as f64 / f64::from(1u32 << 31)
    };
    let mut text = "a,b,c,d,kind\n".to_owned();
    for i in 0..100_000 {
        let class = i % 3;
        let shift = class as f64 * 0.8;
        text += &format!(
            "{:.4},{:.4},{:.4},{:.4},{class}\n",
            next() + shift,
            next() - shift,
            next(),
            next() * 50.0
        );
    }
    text
}

#[test]
fn streamed_training_is_as_good_as_one_in_memory() {
    let folder = Folder::new();
    folder.write("points.csv", points());
    let train = "train points.csv --hidden 16 --batch 50 --epochs 2 --threads 1 --json";
    let whole = folder.run(&format!("{train} --out whole")).ok().result();
    let streamed =
        folder.run(&format!("{train} --stream 1 --out streamed --history history.csv")).ok();
    let result = streamed.result();
    let accuracy = |value: &serde_json::Value| value["test_accuracy"].as_f64().unwrap();
    assert!((accuracy(&whole) - accuracy(&result)).abs() < 0.01, "{whole} {result}");
    assert!(accuracy(&result) > 0.9);
    assert!(streamed.err.contains("1 MiB at a time"), "{}", streamed.err);
    assert_eq!(fs::read_to_string(folder.join("history.csv")).unwrap().lines().count(), 3);
    let again = folder.run(&format!("{train} --stream 1 --out again")).ok();
    let bytes = |name: &str| fs::read(folder.join(name)).unwrap();
    assert!(bytes("streamed") == bytes("again"), "the same bytes");
    drop(again);
    folder.run(&format!("{train} --stream 1 --seed 2 --out other")).ok();
    assert!(bytes("streamed") != bytes("other"));
    // The model reads raw files as any other does.
    let evaluated = folder.run("evaluate streamed points.csv --json").ok().result();
    assert!(
        (evaluated["accuracy"].as_f64().unwrap() - accuracy(&result)).abs() < 0.02,
        "{evaluated}"
    );

    let values = "train points.csv --label a --drop kind --hidden 8 --batch 50 --epochs 1 --stream 1 --out values";
    folder.run(values).ok();
    folder.run("evaluate values points.csv --json").ok();
}

#[test]
fn a_streamed_training_that_fails_keeps_the_last_good_model() {
    let folder = Folder::new();
    let rows: String =
        (0..3000).map(|i| format!("{},{},{}\n", i % 9, i * 7 % 11, i % 9 * 2)).collect();
    folder.write("x.csv", format!("a,b,y\n{rows}"));
    let train = "train x.csv --stream 1 --held-out 0 --hidden none --batch 1000 --threads 1 --task values --json";
    // Above the limit of stability: it takes more than an epoch to overflow.
    let run = folder.run(&format!("{train} --learning-rate 4 --epochs 100 --out kept"));
    assert_eq!(run.status, Some(1), "{}", run.err);
    let good = run.result()["epoch"].as_u64().unwrap();
    let (bad, kept) = (
        format!("(in epoch {})", good + 1),
        format!("the model of the {good} epochs that went well"),
    );
    assert!(
        run.err.contains(&bad) && run.err.contains(&kept) && run.err.contains("as kept"),
        "{}",
        run.err
    );
    folder.run(&format!("{train} --learning-rate 4 --epochs {good} --out whole")).ok();
    assert!(fs::read(folder.join("kept")).unwrap() == fs::read(folder.join("whole")).unwrap());
}

#[test]
fn what_cannot_be_streamed_is_refused() {
    let folder = Folder::new();
    folder.run("train digits --stream").fails(2, &["--stream", "is for tables, not for digits"]);
    folder.write("x.csv", "a,b\n1,x\n2,y\n3,x\n4,y\n");
    folder.run("train x.csv --stream --folds 2").fails(2, &["--stream", "--folds"]);
    folder.run("train x.csv --stream 0").fails(2, &["--stream"]);
    folder.run("train x.csv --stream 99999999999999999").fails(2, &["--stream", "MiB"]);
    folder.run("train x.csv --stream --checkpoint c").fails(2, &["--stream", "--checkpoint"]);
    folder
        .run("train x.csv --stream --held-out-last 0.2")
        .fails(2, &["--stream", "--held-out-last"]);
    folder.write("same.csv", "a,b\n1,x\n2,x\n");
    folder
        .run("train same.csv --stream --held-out 0")
        .fails(2, &["at least 2 different classes", "\"x\" everywhere"]);
    folder.write("rare.csv", "a,b\n1,x\n2,y\n3,x\n5,x\n4,y\n");
    let split = "--stream --held-out 0.5 --epochs 1";
    let refused = |seed| {
        let run = folder.run(&format!("train rare.csv {split} --seed {seed}"));
        let refused = run.status != Some(0);
        if refused {
            run.fails(2, &["--held-out", "samples of class", "are held out", "--stratify"]);
        }
        folder.run(&format!("train rare.csv {split} --stratify --seed {seed}")).ok();
        refused
    };
    assert!((1..30).any(refused));
}

/// Texts, gaps, rows without a label and several targets, all of which need the whole file to be known.
#[test]
fn a_stream_takes_what_memory_takes() {
    let folder = Folder::new();
    folder.write("gap.csv", "a,b\n1,x\n,y\n3,x\n4,\n");
    let run = folder.run("train gap.csv --stream --held-out 0 --epochs 1").ok();
    assert!(run.err.contains("1 row without a label left out"), "{}", run.err);
    let row = |i: usize| {
        let size = if i % 11 == 3 { String::new() } else { (i * 37 % 101).to_string() };
        let kind = i * 7 % 3;
        let (price, change) = (i * 37 % 101 * 1000 + kind * 5000, 0.01 * kind as f64);
        format!("{size},{},{price},{change}\n", ["red", "blue", "green"][kind])
    };
    let rows: String = (0..2000).map(row).collect();
    folder.write("x.csv", format!("size,color,price,change\n{rows}"));
    let train = "train x.csv --label price,change --hidden none --batch 20 --epochs 8 --threads 1";
    folder.run(&format!("{train} --out whole")).ok();
    folder.run(&format!("{train} --stream 1 --out streamed")).ok();
    // One buffer holds all of it, so that nothing differs at all.
    let predict = |model: &str| folder.run(&format!("predict {model} x.csv")).ok().out;
    assert!(predict("whole") == predict("streamed"));
}
