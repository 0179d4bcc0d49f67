//! `train --quantiles`: intervals that cover as many new samples as they should, in every way to train.

use std::f64::consts::TAU;
use std::fs;

use travertine::metrics;
use travertine::random::{Philox, Purpose};

use crate::run::Folder;

const LEVELS: [f64; 3] = [0.1, 0.5, 0.9];
/// The quantiles of the normal distribution.
const NORMAL: [f64; 3] = [-1.281_551_565_5, 0.0, 1.281_551_565_5];

/// Samples of `y = x + N(0, (1 + x)^2)` with x from 0 to 3: (x, y).
fn samples(count: u64, seed: u64) -> Vec<(f64, f64)> {
    let stream = Philox::new(seed, Purpose::User, 0);
    let sample = |i: u64| {
        let [x, a, b] = [0, 1, 2].map(|k| stream.uniform(3 * i + k));
        let normal = (-2.0 * (1.0 - a).ln()).sqrt() * (TAU * b).cos();
        (3.0 * x, 3.0 * x + (1.0 + 3.0 * x) * normal)
    };
    (0..count).map(sample).collect()
}

fn table(samples: &[(f64, f64)]) -> String {
    let rows: String = samples.iter().map(|(x, y)| format!("{x},{y}\n")).collect();
    format!("x,y\n{rows}")
}

/// A folder with samples to train on and as many new ones.
fn folder(count: u64) -> (Folder, Vec<(f64, f64)>) {
    let (folder, new) = (Folder::new(), samples(count, 2));
    folder.write("known.csv", table(&samples(count, 1)));
    folder.write("new.csv", table(&new));
    (folder, new)
}

/// The rows of a CSV file of numbers behind its header, which must be this one.
fn numbers(folder: &Folder, file: &str, header: &str) -> Vec<Vec<f64>> {
    let text = fs::read_to_string(folder.join(file)).unwrap();
    let (head, rows) = text.split_once('\n').unwrap();
    assert_eq!(head, header);
    let row = |row: &str| row.split(',').map(|x| x.parse().unwrap()).collect();
    rows.lines().map(row).collect()
}

const HEADER: &str = "y_q0.1,y_q0.5,y_q0.9";
/// Options of a training that takes a second.
const SHORT: &str =
    "--quantiles 0.1,0.5,0.9 --hidden 20 --optimizer adam --learning-rate 0.01 --batch 50";

#[test]
fn intervals_cover_what_they_should_and_follow_the_noise() {
    let (folder, new) = folder(4000);
    let trained =
        folder.run(&format!("train known.csv {SHORT} --epochs 30 --keep-epoch loss")).ok();
    assert!(trained.err.contains("loss quantiles(0.1,0.5,0.9)"), "{}", trained.err);
    for part in [
        "pinball loss",
        "on 800 samples held out, 95 % interval",
        "the quantiles of the training samples for every sample: pinball loss",
        "a linear model",
        "the 80 % interval covers",
    ] {
        assert!(trained.out.contains(part), "no {part:?} in {}", trained.out);
    }
    assert!(!trained.err.contains("warning"), "{}", trained.err);

    let judged = folder.run("evaluate known.safetensors new.csv --json").ok().result();
    let coverage = judged["coverage"].as_f64().unwrap();
    assert!((0.77..=0.83).contains(&coverage), "{judged}");
    assert_eq!((&judged["interval_share"], &judged["samples"]), (&0.8.into(), &4000.into()));
    folder.run("predict known.safetensors new.csv --out p.csv").ok();
    let predicted = numbers(&folder, "p.csv", HEADER);
    assert!(predicted.iter().all(|values| values.is_sorted()));
    // Standard deviations of a sample from the true quantiles, in the mean.
    for level in 0..3 {
        let apart = |(predicted, (x, _)): (&Vec<f64>, &(f64, f64))| {
            (predicted[level] - (x + (1.0 + x) * NORMAL[level])).abs() / (1.0 + x)
        };
        let mean = predicted.iter().zip(&new).map(apart).sum::<f64>() / new.len() as f64;
        assert!(mean < 0.12, "quantile {}: {mean}", LEVELS[level]);
    }
    // The figures are those of the predictions.
    let truth: Vec<f64> = new.iter().map(|(_, y)| *y).collect();
    let loss = metrics::mean_pinball_loss(&LEVELS, &truth, &predicted.concat()).unwrap();
    for key in ["loss", "pinball_loss"] {
        assert!((judged[key].as_f64().unwrap() - loss).abs() < 1e-5 * loss, "{key}: {judged}");
    }
    for (level, of) in judged["quantiles"].as_array().unwrap().iter().enumerate() {
        let own: Vec<f64> = predicted.iter().map(|values| values[level]).collect();
        let loss = metrics::pinball_loss(LEVELS[level], &truth, &own).unwrap();
        assert!((of["pinball_loss"].as_f64().unwrap() - loss).abs() < 1e-5 * loss, "{of}");
        assert!((of["share_below"].as_f64().unwrap() - LEVELS[level]).abs() < 0.03, "{of}");
    }
    let text = folder.run("evaluate known.safetensors new.csv --importance").ok().out;
    for part in ["quantile 0.1: pinball loss", "rise of pinball loss", "the 80 % interval covers"] {
        assert!(text.contains(part), "no {part:?} in {text}");
    }
}

/// A network that knows few samples by heart, by columns that say nothing of others.
#[test]
fn intervals_that_are_too_narrow_are_told() {
    let folder = Folder::new();
    let table = |count: u64, seed: u64| {
        let stream = Philox::new(seed, Purpose::User, 0);
        let row = |i: u64| {
            let numbers: Vec<_> =
                (12 * i..12 * i + 12).map(|k| stream.uniform(k).to_string()).collect();
            numbers.join(",") + "\n"
        };
        let rows: String = (0..count).map(row).collect();
        format!("a,b,c,d,e,f,g,h,i,j,k,y\n{rows}")
    };
    folder.write("known.csv", table(60, 1));
    folder.write("new.csv", table(500, 2));
    let train =
        "train known.csv --test new.csv --quantiles 0.05,0.95 --hidden 100,100 --optimizer adam";
    let run = folder.run(&format!("{train} --epochs 200")).ok();
    let warned = run.err.contains("no better than the quantiles of the training samples");
    assert!(warned, "{}", run.err);
    assert!(run.err.contains("the 90 % interval covers"), "{}", run.err);
    assert!(run.err.contains("it is too narrow"), "{}", run.err);
}

#[test]
fn outputs_have_the_names_of_their_levels() {
    let folder = folder(100).0;
    folder.run(&format!("train known.csv {SHORT} --epochs 2 --report r")).ok();
    let predict = "predict known.safetensors new.csv";
    let lines = folder.run(predict).ok().out;
    let first = lines.lines().next().unwrap();
    assert!(
        first.split('\t').zip(HEADER.split(',')).all(|(a, b)| a.starts_with(&format!("{b}: ")))
    );
    let json = folder.run(&format!("{predict} --json")).ok().json();
    assert_eq!(json[0]["targets"], serde_json::json!(["y_q0.1", "y_q0.5", "y_q0.9"]));
    assert_eq!(json[0]["output"].as_array().unwrap().len(), 3);
    let inspected = folder.run("inspect known.safetensors").ok().out;
    assert!(inspected.contains("predicts the quantiles: 0.1,0.5,0.9"), "{inspected}");
    let inspected = folder.run("inspect known.safetensors --json").ok().result();
    assert_eq!(inspected["quantiles"], serde_json::json!(LEVELS));
    let report = fs::read_to_string(folder.join("r/report.html")).unwrap();
    for part in ["coverage of the 80 % interval", "y_q0.9: residual over predicted", "pinball loss"]
    {
        assert!(report.contains(part), "no {part:?}");
    }
    // A single level has no interval.
    folder.run("train known.csv --quantiles 0.9 --preset plain --epochs 2 --out one").ok();
    let one = folder.run("evaluate one new.csv --json").ok().result();
    assert!(one["coverage"].is_null() && one["quantiles"][0]["level"] == 0.9, "{one}");
    folder.run("predict one new.csv --out one.csv").ok();
    assert_eq!(numbers(&folder, "one.csv", "y_q0.9").len(), 100);
}

/// What `--preset auto` prints stands for it, and a training that is continued ends with the same bytes.
#[test]
fn the_same_training_gives_the_same_bytes() {
    let folder = folder(80).0;
    let auto = folder.run("train known.csv --quantiles 0.2,0.8 --epochs 2 --out auto").ok();
    let options = auto.err.lines().find(|line| line.starts_with("--preset auto")).unwrap();
    let options = options.split_once(": ").unwrap().1;
    assert!(options.contains("--quantiles 0.2,0.8"), "{options}");
    folder.run(&format!("train known.csv {options} --out options")).ok();
    let bytes = |file: &str| fs::read(folder.join(file)).unwrap();
    assert!(bytes("auto") == bytes("options"));

    let train = format!("train known.csv {SHORT}");
    folder.run(&format!("{train} --epochs 6 --threads 2 --out whole")).ok();
    folder.run(&format!("{train} --epochs 3 --checkpoint c --out half")).ok();
    folder.run(&format!("{train} --epochs 6 --checkpoint c --resume --out resumed")).ok();
    assert!(bytes("whole") == bytes("resumed"));
    let other = train.replace("0.1,0.5,0.9", "0.1,0.5,0.8");
    folder
        .run(&format!("{other} --epochs 8 --checkpoint c --resume --out other"))
        .fails(2, &["loss", "quantiles(0.1,0.5,0.9)", "quantiles(0.1,0.5,0.8)"]);
}

#[test]
fn ensembles_folds_and_streams_have_quantiles() {
    let (folder, new) = folder(300);
    // What the same quantiles for every sample reach on the new ones.
    let known: Vec<f64> = samples(300, 1).into_iter().map(|(_, y)| y).collect();
    let truth: Vec<f64> = new.iter().map(|(_, y)| *y).collect();
    let constant = metrics::quantiles(&known, &LEVELS).unwrap().repeat(300);
    let constant = metrics::mean_pinball_loss(&LEVELS, &truth, &constant).unwrap();
    let best = "train known.csv --quantiles 0.1,0.5,0.9 --hidden 16 --quality best --epochs 20";
    let run = folder.run(&format!("{best} --optimizer adam --out best --json")).ok();
    let held_out = &run.result()["held_out"];
    assert_eq!((&held_out["metric"], &held_out["samples"]), (&"pinball_loss".into(), &300.into()));
    let figure = |key: &str| held_out[key].as_f64().unwrap();
    assert!(figure("value") < figure("constant") && figure("linear") < figure("constant"));
    assert!((0.6..=0.95).contains(&figure("coverage")), "{held_out}");
    folder.run("predict best new.csv --out best.csv").ok();
    assert!(numbers(&folder, "best.csv", HEADER).iter().all(|values| values.is_sorted()));

    let folds = folder.run(&format!("train known.csv {SHORT} --epochs 60 --folds 3 --json")).ok();
    let loss = folds.result()["test_loss"].as_f64().unwrap();
    assert!(loss < figure("constant"), "{loss}");
    let is_learned = |model: &str| {
        let judged = folder.run(&format!("evaluate {model} new.csv --json")).ok().result();
        assert!(judged["pinball_loss"].as_f64().unwrap() < 0.97 * constant, "{model}: {judged}");
    };

    folder.run(&format!("train known.csv {SHORT} --epochs 60 --stream 1 --out stream")).ok();
    is_learned("stream");
    // Values as they are, too.
    folder.run(&format!("train known.csv {SHORT} --epochs 60 --scaling none --out raw")).ok();
    is_learned("raw");
}

#[test]
fn levels_and_targets_that_do_not_fit_are_refused() {
    let folder = folder(40).0;
    let refused = |options: &str, parts: &[&str]| {
        let all = [&["--quantiles"], parts].concat();
        folder.run(&format!("train known.csv --quantiles {options}")).fails(2, &all);
    };
    refused("0.9,0.1", &["0.9,0.1 do not ascend; 0.1,0.9 do"]);
    refused("0.5,0.5", &["0.5,0.5 do not ascend; 0.5 do"]);
    refused("0,0.5", &["above 0 and below 1, not 0"]);
    refused("0.5,1", &["above 0 and below 1, not 1"]);
    refused("NaN", &["above 0 and below 1, not NaN"]);
    refused("half", &["'half' is not a number"]);
    let many: Vec<String> = (1..=21).map(|i| format!("0.{:02}", i)).collect();
    refused(&many.join(","), &["21 levels; there can be 1 to 20"]);
    refused("0.5 --loss huber", &["--loss"]);
    let row = |(x, y): (f64, f64)| format!("{x},{y},{y}\n");
    let rows: String = samples(40, 3).into_iter().map(row).collect();
    folder.write("two.csv", format!("x,y,z\n{rows}"));
    folder
        .run("train two.csv --quantiles 0.5 --label y,z")
        .fails(2, &["--quantiles", "one column of values, the label has 2"]);
    folder.write("classes.csv", "x,k\n1,a\n2,b\n3,a\n4,b\n5,a\n6,b\n7,a\n8,b\n");
    folder
        .run("train classes.csv --quantiles 0.5")
        .fails(2, &["--quantiles", "the label is classes", "--task values"]);
    folder.run("train digits --quantiles 0.5").fails(2, &["--quantiles", "the label is classes"]);
}

/// A network that has hardly been trained gives intervals of any width; samples that it has not seen move them.
#[test]
fn calibrated_intervals_cover_what_they_should() {
    let (folder, new) = folder(600);
    let values: Vec<f64> = new.iter().map(|(_, y)| *y).collect();
    let coverage = |options: &str| {
        let short = "--hidden 20 --optimizer sgd --learning-rate 0.001 --epochs 1";
        let train = format!("train known.csv --quantiles 0.1,0.5,0.9 {short} {options}");
        let trained = folder.run(&format!("{train} --held-out 0.4 --out m.safetensors")).ok();
        folder.run("predict m.safetensors new.csv --out p.csv").ok();
        let predicted = numbers(&folder, "p.csv", HEADER);
        let within = predicted.iter().zip(&values).filter(|(p, y)| p[0] <= **y && **y <= p[2]);
        (within.count() as f64 / values.len() as f64, trained.err)
    };
    let (wrong, _) = coverage("");
    let (calibrated, said) = coverage("--calibrate");
    assert!((wrong - 0.8).abs() > 0.1, "{wrong}");
    assert!((0.75..0.88).contains(&calibrated), "{calibrated}");
    assert!(said.contains("its share of 240 samples held out lies below it"), "{said}");
    let (of_members, _) = coverage("--members 4 --calibrate");
    assert!((0.75..0.88).contains(&of_members), "{of_members}");

    let train = "train known.csv --calibrate --epochs 1";
    folder.run(&format!("{train} --quantiles 0.001,0.5")).fails(2, &["--calibrate", "1000"]);
    folder.run(train).fails(2, &["--calibrate", "is for classes and --quantiles"]);
    let untested = format!("{train} --quantiles 0.5 --held-out 0");
    folder.run(&untested).fails(2, &["--calibrate", "needs samples to test on"]);
}
