//! A default learning rate that diverges is lowered; one that was given stays.

use std::fs;

use crate::run::{Folder, Run};

/// Copies of a feature: the limit of stability is a rate of 2 / copies.
fn table(folder: &Folder, copies: usize) {
    let head: String = (0..copies).map(|i| format!("x{i},")).collect();
    let rows = (0..80).map(|i| {
        let x = if i % 2 == 0 { 1 } else { -1 };
        let y = 1000 * x + i % 7;
        format!("{}{y}\n", format!("{x},").repeat(copies))
    });
    folder.write("t.csv", format!("{head}y\n{}", rows.collect::<String>()));
}

/// 0.1 is so far above the limit that numbers overflow in the first epoch.
const FAST: (usize, &str) = (60, "train t.csv --task values --hidden none --epochs 3 --batch 1");
/// 0.1 is just above the limit: the loss rises tenfold in about 12 epochs of one step, and stays finite.
const SLOW: (usize, &str) = (21, "train t.csv --task values --hidden none --batch 64");

fn model(folder: &Folder, name: &str) -> Vec<u8> {
    fs::read(folder.join(name)).unwrap()
}

fn restarts(run: &Run) -> Vec<f64> {
    let lines = run.json().into_iter().filter(|line| line["task"] == "restart");
    lines.map(|line| line["learning_rate"].as_f64().unwrap()).collect()
}

/// In memory and in a stream, the model has the same bytes as if the smaller rate had been given.
#[test]
fn a_default_that_diverges_is_lowered_and_a_given_rate_stays() {
    let cases = [
        (FAST, ""),
        (FAST, "--stream --held-out 0"),
        ((500, FAST.1), "--optimizer momentum"),
        (SLOW, "--epochs 40"),
    ];
    for ((copies, train), options) in cases {
        let folder = Folder::new();
        table(&folder, copies);
        let run = folder.run(&format!("{train} {options} --json --out m.safetensors")).ok();
        let rate = *restarts(&run).last().unwrap();
        let [first, last] = [" with the default learning rate 0.", &*format!("anew with {rate}\n")];
        assert!(run.err.contains(first) && run.err.contains(last), "{}", run.err);

        let given = format!("{train} {options} --out given.safetensors --learning-rate {rate}");
        folder.run(&given).ok();
        assert!(model(&folder, "m.safetensors") == model(&folder, "given.safetensors"));
        let inspected = folder.run("inspect m.safetensors --json").ok().result();
        assert_eq!(inspected["training"]["learning_rate"], rate.to_string());
        let evaluated = folder.run("evaluate m.safetensors t.csv --json").ok().result();
        assert!(evaluated["r2"].as_f64().unwrap() > 0.99, "{evaluated}");
    }
}

#[test]
fn the_error_of_a_given_rate_says_which_to_try() {
    let folder = Folder::new();
    table(&folder, FAST.0);
    for (rate, hint) in [("0.1", "0.03"), ("0.06", "0.03"), ("7", "0.1")] {
        let hint = format!("use a smaller learning rate; try --learning-rate {hint}, or leave");
        let train = format!("{} --learning-rate {rate}", FAST.1);
        folder.run(&train).fails(1, &["diverged at step", &hint]);
        folder.run(&format!("{train} --folds 2")).fails(1, &["diverged at step", &hint]);
    }
    assert!(!folder.join("t.safetensors").exists());
}

/// What every fold tests is the same recipe: all of them begin anew.
#[test]
fn folds_have_one_rate() {
    let folder = Folder::new();
    table(&folder, FAST.0);
    let run = folder.run(&format!("{} --folds 4 --json", FAST.1)).ok();
    let rate = *restarts(&run).last().unwrap();
    let lines = run.json();
    let begin = lines.iter().rposition(|line| line["task"] == "restart").unwrap() + 1;
    let given = folder.run(&format!("{} --folds 4 --json --learning-rate {rate}", FAST.1)).ok();
    assert_eq!(lines[begin..], given.json()[..]);
}

/// The abandoned epochs are in no file.
#[test]
fn records_hold_the_epochs_of_the_last_attempt_alone() {
    let folder = Folder::new();
    table(&folder, SLOW.0);
    let train = format!("{} --epochs 40 --history h.jsonl --tensorboard tb --checkpoint c", SLOW.1);
    let run = folder.run(&train).ok();
    assert!(run.err.contains("to a training loss of"), "{}", run.err);
    assert!(run.out.matches("epoch  1/40").count() == 2, "epochs were abandoned: {}", run.out);

    let history = fs::read_to_string(folder.join("h.jsonl")).unwrap();
    assert_eq!(history.lines().count(), 40);
    assert!(history.lines().all(|line| line.contains("\"learning_rate\":0.03,")), "{history}");
    let events: Vec<_> = fs::read_dir(folder.join("tb")).unwrap().collect();
    assert_eq!(events.len(), 1);
    let events = fs::read(events[0].as_ref().unwrap().path()).unwrap();
    assert_eq!(events.windows(10).filter(|bytes| bytes == b"loss/train").count(), 40);
    let mut checkpoints: Vec<_> = fs::read_dir(folder.join("c"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    checkpoints.sort();
    assert_eq!(checkpoints, ["step-000000000039.safetensors", "step-000000000040.safetensors"]);
}

/// Interrupted before the divergence or after it, the training ends with the same bytes.
#[test]
fn a_training_whose_rate_was_lowered_is_resumed() {
    let folder = Folder::new();
    table(&folder, SLOW.0);
    let train = |options: &str| folder.run(&format!("{} {options}", SLOW.1));
    train("--epochs 40 --out given.safetensors --learning-rate 0.03").ok();

    train("--out m.safetensors --epochs 10 --checkpoint before").ok();
    let run = train("--epochs 40 --out before.safetensors --resume before --history h.jsonl").ok();
    assert!(run.err.contains("beginning anew with 0.03\n"), "{}", run.err);
    assert!(model(&folder, "before.safetensors") == model(&folder, "given.safetensors"));
    let history = fs::read_to_string(folder.join("h.jsonl")).unwrap();
    assert_eq!(history.lines().count(), 40);

    let signal = "--out m.safetensors --epochs 35 --checkpoint after";
    assert!(train(signal).ok().err.contains("beginning anew"));
    let wrong = "is of another training: learning rate was 0.03, is 0.1";
    train("--epochs 40 --resume after --learning-rate 0.1").fails(2, &[wrong]);
    let run = train("--epochs 40 --out after.safetensors --resume after").ok();
    assert!(!run.err.contains("diverged"), "{}", run.err);
    assert!(model(&folder, "after.safetensors") == model(&folder, "given.safetensors"));

    train("--epochs 5 --learning-rate 0.02 --checkpoint other").ok();
    train("--resume other").fails(2, &["learning rate was 0.02, is 0.1"]);
}

/// What no rate helps against fails as before, after the smallest.
#[test]
fn the_rate_does_not_fall_without_end() {
    let folder = Folder::new();
    table(&folder, FAST.0);
    let train = format!("{} --init normal(1e30) --out m.safetensors", FAST.1);
    let run = folder.run(&train);
    assert_eq!(run.status, Some(1), "{}", run.err);
    assert_eq!(run.err.matches("beginning anew").count(), 12, "{}", run.err);
    assert!(run.err.trim_end().ends_with("use a smaller learning rate"), "{}", run.err);
}
