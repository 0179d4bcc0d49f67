//! Trainings that are killed, stopped, run out of disk, and go on.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use serde_json::Value;
use travertine::model_file;

use crate::run::{Folder, Run};

const TRAIN: &str = "train digits --hidden 40 --batch 32 --normalization batch --optimizer adam --schedule cosine --dropout 0.1 --json";

fn files(folder: &Folder) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> =
        fs::read_dir(folder.join("c")).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

fn is_unfinished(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "tmp")
}

fn without_times(mut result: Value) -> Value {
    for key in ["seconds", "steps_per_second", "model"] {
        result.as_object_mut().unwrap().remove(key).unwrap();
    }
    result
}

/// Milliseconds from 0 on, the same every time.
fn delays() -> impl Iterator<Item = u64> {
    let mut state = 7u64;
    std::iter::repeat_with(move || {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % 60
    })
}

/// Killed 50 times at any moment and started again by the same command, the training ends with the bytes and figures of
/// one that was not disturbed.
#[test]
fn fifty_kills_change_no_byte() {
    let folder = Folder::new();
    let train = format!("{TRAIN} --epochs 120 --threads 1");
    let alone = folder.run(&format!("{train} --out alone.safetensors")).ok();
    let restart = format!("{train} --every 2 --checkpoint c --resume --out killed.safetensors");
    let (mut kills, mut unfinished, mut runs) = (0, 0, 0);
    let mut delays = delays();
    while kills < 50 {
        let mut command = folder.command(&restart);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        thread::sleep(Duration::from_millis(10 + delays.next().unwrap()));
        runs += 1;
        assert!(runs < 500, "{kills} kills in {runs} runs");
        if let Some(status) = child.try_wait().unwrap() {
            // A machine that stalls lets it come to its end: begin again.
            assert!(status.success(), "{status}");
            fs::remove_dir_all(folder.join("c")).unwrap();
            continue;
        }
        child.kill().unwrap();
        child.wait().unwrap();
        kills += 1;
        if folder.join("c").is_dir() {
            unfinished += usize::from(files(&folder).iter().any(|file| is_unfinished(file)));
        }
    }
    let killed = folder.run(&restart).ok();
    eprintln!("{kills} kills, {unfinished} of them in the middle of writing");
    assert!(unfinished >= 5, "only {unfinished} kills in the middle of writing");
    assert!(
        fs::read(folder.join("alone.safetensors")).unwrap()
            == fs::read(folder.join("killed.safetensors")).unwrap()
    );
    assert_eq!(without_times(alone.result()), without_times(killed.result()));
    assert_eq!(files(&folder).len(), 2, "the newest two checkpoints, and nothing unfinished");
}

/// One command for a cluster's restart: it begins, and continues once there is a checkpoint, and prints which of both.
#[test]
fn the_same_command_begins_and_continues() {
    let folder = Folder::new();
    let train = "train digits --hidden 16 --optimizer momentum --epochs 4";
    folder.run(&format!("{train} --out whole.safetensors")).ok();
    let short = train.replace("--epochs 4", "--epochs 2");
    // What a kill leaves behind that comes before the first checkpoint: a folder with an unfinished file.
    fs::create_dir(folder.join("c")).unwrap();
    folder.write("c/.step-000000000144.safetensors.1.tmp", "unfinished");
    let begins =
        folder.run(&format!("{short} --checkpoint c --resume --out part.safetensors")).ok();
    assert!(begins.err.contains("beginning: there is no checkpoint in c yet"), "{}", begins.err);
    let goes_on =
        folder.run(&format!("{train} --checkpoint c --resume --out part.safetensors")).ok();
    assert!(
        goes_on.err.contains("going on from c/step-000000000288.safetensors"),
        "{}",
        goes_on.err
    );
    let bytes = |name: &str| fs::read(folder.join(name)).unwrap();
    assert!(bytes("whole.safetensors") == bytes("part.safetensors"));
    // Another training does not continue, and does not begin in its folder either.
    folder
        .run(&format!("{train} --seed 2 --checkpoint c --resume"))
        .fails(2, &["another training", "seed was 1, is 2"]);
    folder.run(&format!("{train} --resume")).fails(2, &["--resume", "--checkpoint DIR --resume"]);
    folder
        .run(&format!("{train} --checkpoint c --resume d"))
        .fails(2, &["--resume", "--checkpoint"]);
    // A folder whose checkpoints are all damaged is not begun anew: they may be worth saving.
    files(&folder).iter().for_each(|file| fs::write(file, "damaged").unwrap());
    folder.run(&format!("{train} --checkpoint c --resume")).fails(2, &["step-", "expected"]);
}

/// A checkpoint of a longer training is no checkpoint of a shorter one.
#[test]
fn a_training_is_not_resumed_for_fewer_epochs() {
    let folder = Folder::new();
    let train = |epochs: usize| format!("train digits --hidden none --epochs {epochs}");
    folder.run(&format!("{} --checkpoint c", train(3))).ok();
    let parts = ["--epochs: 2, but the checkpoint has 3 epochs"];
    folder.run(&format!("{} --resume c --out short.safetensors", train(2))).fails(2, &parts);
    assert!(!folder.join("short.safetensors").exists());
    folder.run(&format!("{} --resume c --out same.safetensors", train(3))).ok();
    folder.run(&format!("{} --resume c --out more.safetensors", train(4))).ok();
    // 144 steps are an epoch; a step more belongs to the next one.
    let every = format!("{} --every 145 --checkpoint d", train(2));
    folder.run(&every).ok();
    let kept = |file: &PathBuf| file.to_string_lossy().contains("step-000000000145");
    let files: Vec<PathBuf> =
        fs::read_dir(folder.join("d")).unwrap().map(|file| file.unwrap().path()).collect();
    assert!(files.iter().any(kept), "{files:?}");
    files.iter().filter(|file| !kept(file)).for_each(|file| fs::remove_file(file).unwrap());
    let parts = ["--epochs: 1, but the checkpoint has 1 epoch and a part of the next one"];
    folder.run(&format!("{} --every 145 --resume d", train(1))).fails(2, &parts);
}

/// Sends a signal by the shell's own command, because a small system has no program `kill`.
#[cfg(unix)]
pub(crate) fn send(signal: &str, process: u32) {
    let kill = format!("kill -s {signal} {process}");
    assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success(), "{kill}");
}

#[cfg(unix)]
#[test]
fn signals_finish_the_step_and_leave_a_checkpoint() {
    // So many epochs take many minutes: the training does not end by itself, however long this test waits for its turn.
    let train = format!("{TRAIN} --epochs 100000");
    for (signal, status) in [("INT", 130), ("TERM", 143)] {
        let folder = Folder::new();
        let mut command = folder.command(&format!("{train} --checkpoint c"));
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        while !folder.join("c").is_dir() || files(&folder).is_empty() {
            thread::sleep(Duration::from_millis(5));
        }
        send(signal, child.id());
        let run = Run::new(&train, child.wait_with_output().unwrap());
        assert_eq!(run.status, Some(status), "{}", run.err);
        assert!(
            run.err.contains("stopped by signal") && run.err.contains("is saved"),
            "{}",
            run.err
        );
        assert!(!folder.join("digits.safetensors").exists());
    }
    // Without a folder nothing is saved, and the message says so.
    let folder = Folder::new();
    let child = folder
        .command(&format!("{train} --history h.csv"))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let child = child.unwrap();
    // The file is there before the program listens to signals; the row of an epoch is written later.
    let has_row = || {
        let history = fs::read_to_string(folder.join("h.csv"));
        history.is_ok_and(|text| text.matches('\n').count() > 1)
    };
    while !has_row() {
        thread::sleep(Duration::from_millis(5));
    }
    send("INT", child.id());
    let run = Run::new(&train, child.wait_with_output().unwrap());
    assert_eq!(run.status, Some(130), "{}", run.err);
    assert!(run.err.contains("nothing is saved (see --checkpoint)"), "{}", run.err);
}

/// A lost terminal ends a training as a signal does, unless `nohup` has started it.
#[cfg(target_os = "linux")]
#[test]
fn a_lost_terminal_leaves_a_checkpoint_and_nohup_goes_on() {
    let train = format!("{TRAIN} --epochs 100000 --checkpoint c");
    for (start, signals, status) in [
        ("--default-signal=HUP", &["HUP"][..], 129),
        ("--ignore-signal=HUP", &["HUP", "TERM"], 143),
    ] {
        let folder = Folder::new();
        let mut command = Command::new("env");
        command.args([start, env!("CARGO_BIN_EXE_travertine")]).args(train.split_whitespace());
        command.current_dir(&*folder).env("XDG_CACHE_HOME", &*folder);
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        while !folder.join("c").is_dir() || files(&folder).is_empty() {
            thread::sleep(Duration::from_millis(5));
        }
        signals.iter().for_each(|signal| send(signal, child.id()));
        let run = Run::new(&train, child.wait_with_output().unwrap());
        assert_eq!(run.status, Some(status), "{start}: {}", run.err);
        assert!(run.err.contains("is saved"), "{start}: {}", run.err);
    }
}

#[test]
fn a_longer_training_goes_on_where_a_shorter_one_ended() {
    let folder = Folder::new();
    let train = "train digits --hidden 16 --optimizer momentum --history";
    folder.run(&format!("{train} whole.csv --epochs 4 --out whole.safetensors")).ok();
    folder.run(&format!("{train} part.csv --epochs 2 --checkpoint c --out part.safetensors")).ok();
    folder
        .run(&format!("{train} part.csv --epochs 4 --threads 1 --resume c --out part.safetensors"))
        .ok();
    let bytes = |name: &str| fs::read(folder.join(name)).unwrap();
    assert!(bytes("whole.safetensors") == bytes("part.safetensors"));
    // The whole training is in the history; seconds differ.
    let rows = |name: &str| -> Vec<String> {
        let text = String::from_utf8(bytes(name)).unwrap();
        let fields = |line: &str| line.split(',').take(7).collect::<Vec<_>>().join(",");
        text.lines().map(fields).collect()
    };
    assert_eq!(rows("whole.csv"), rows("part.csv"));
    assert_eq!(rows("part.csv").len(), 5);
}

#[test]
fn a_checkpoint_of_another_training_is_refused() {
    let folder = Folder::new();
    folder.run(&format!("{TRAIN} --epochs 2 --checkpoint c")).ok();
    let refused = |options: &str, parts: &[&str]| {
        let train = TRAIN.replace("--hidden 40 --batch 32", options);
        folder.run(&format!("{train} --epochs 2 --resume c")).fails(2, parts);
    };
    refused(
        "--hidden 41 --batch 32",
        &[
            "another training",
            "network was 64 - 40 identity - batch_norm relu - 10 softmax, is 64 - 41 identity",
        ],
    );
    refused("--hidden 40 --batch 16", &["batch was 32, is 16"]);
    refused(
        "--hidden 40 --batch 32 --seed 2",
        &["seed was 1, is 2", "training samples was 1438 with fingerprint"],
    );
    refused("--hidden 40 --batch 32 --held-out 0.3", &["training samples was", "test samples was"]);
    refused("--hidden 40 --batch 32 --weight-decay 0.1", &["weight decay was none, is 0.1"]);
    refused("--hidden 40 --batch 32 --precision f64", &["expected f64"]);
    // The same numbers under other names of classes.
    let (first, other) =
        ("a,b\n1,no\n2,yes\n3,no\n4,yes\n5,no\n", "a,b\n1,no\n2,yep\n3,no\n4,yep\n5,no\n");
    folder.write("t.csv", first);
    folder.run("train t.csv --epochs 1 --checkpoint t").ok();
    folder.write("t.csv", other);
    folder.run("train t.csv --epochs 2 --resume t").fails(2, &["classes was no, yes, is no, yep"]);
    // Another version's checkpoint, whole in itself.
    let newest = files(&folder).pop().unwrap();
    let (snapshot, metadata) = model_file::load_checkpoint::<f32>(&newest).unwrap();
    let version = format!("\"{}\"", env!("CARGO_PKG_VERSION"));
    assert!(metadata.contains(&version), "{metadata}");
    model_file::save_checkpoint(&newest, &snapshot, &metadata.replace(&version, "\"0.0.9\""))
        .unwrap();
    folder.run(&format!("{TRAIN} --epochs 2 --resume c")).fails(2, &["version was 0.0.9, is"]);
    model_file::save_checkpoint(&newest, &snapshot, &metadata).unwrap();
    // The schedule of a longer training is another one.
    folder.run(&format!("{TRAIN} --epochs 3 --resume c")).fails(2, &["schedule"]);
    folder
        .run(&format!("{TRAIN} --checkpoint c"))
        .fails(2, &["--checkpoint", "go on with --resume c"]);
    folder.run(&format!("{TRAIN} --resume nowhere")).fails(2, &["nowhere"]);
    folder.run(&format!("{TRAIN} --every 5")).fails(2, &["--every", "add --checkpoint"]);
}

#[test]
fn damaged_checkpoints_are_reported_and_the_one_before_is_used() {
    let folder = Folder::new();
    let train = format!("{TRAIN} --epochs 3");
    folder.run(&format!("{train} --checkpoint c --out whole.safetensors")).ok();
    let whole = fs::read(folder.join("whole.safetensors")).unwrap();
    let [_, newest] = &files(&folder)[..] else { panic!("{:?}", files(&folder)) };
    let bytes = fs::read(newest).unwrap();
    let mut flipped = bytes.clone();
    *flipped.last_mut().unwrap() ^= 1;
    let damages = [bytes[..bytes.len() / 2].to_vec(), flipped, Vec::new(), vec![0xff; 64]];
    for damage in &damages {
        fs::write(newest, damage).unwrap();
        let run = folder.run(&format!("{train} --resume c --out again.safetensors")).ok();
        assert!(run.err.contains("warning: c/step-000000000135.safetensors"), "{}", run.err);
        assert!(
            run.err.contains("going on from c/step-000000000090.safetensors, which is whole"),
            "{}",
            run.err
        );
        assert!(fs::read(folder.join("again.safetensors")).unwrap() == whole);
    }
    for damage in &damages {
        files(&folder).iter().for_each(|file| fs::write(file, damage).unwrap());
        folder
            .run(&format!("{train} --resume c --out none.safetensors"))
            .fails(2, &["step-000000000135", "expected"]);
        assert!(!folder.join("none.safetensors").exists());
    }
}

/// The system refuses to write more than a limit that the model fits in and a checkpoint does not.
#[cfg(unix)]
#[test]
fn a_full_disk_leaves_the_checkpoints_before_it() {
    let folder = Folder::new();
    let train = "train digits --hidden 100 --optimizer adam";
    folder.run(&format!("{train} --epochs 1 --checkpoint c")).ok();
    let before: Vec<_> = files(&folder).iter().map(|file| fs::read(file).unwrap()).collect();
    fs::remove_file(folder.join("digits.safetensors")).unwrap();
    let full = |options: &str| {
        let command = folder.command(&format!("{train} --epochs 3 --resume c {options}"));
        let arguments: Vec<_> =
            command.get_args().map(|argument| argument.to_str().unwrap().to_owned()).collect();
        let line = format!(
            "trap '' XFSZ; ulimit -f 100; {} {}",
            env!("CARGO_BIN_EXE_travertine"),
            arguments.join(" ")
        );
        Run::new(
            &line,
            Command::new("sh").args(["-c", &line]).current_dir(&*folder).output().unwrap(),
        )
    };
    let run = full("");
    assert_eq!(run.status, Some(1), "{}", run.err);
    assert!(
        run.err.contains("step-000000000288.safetensors") && run.err.contains("too large"),
        "{}",
        run.err
    );
    let now: Vec<_> = files(&folder).iter().map(|file| fs::read(file).unwrap()).collect();
    assert!(before == now, "the checkpoint from before is as it was, and nothing else is there");
    let run = full("--on-checkpoint-error continue").ok();
    assert!(run.err.contains("training goes on without this checkpoint"), "{}", run.err);
    assert!(folder.join("digits.safetensors").exists());
}

#[test]
fn early_stopping_saves_the_best_model() {
    let folder = Folder::new();
    // The label is a coin: whatever is learned beyond the mean is noise.
    let coin = |n: u64| (n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40) % 2;
    let rows = |from: u64, to: u64| -> String {
        (from..to)
            .map(|n| format!("{},{},{}\n", n * 7 % 11, n * 5 % 13, ["no", "yes"][coin(n) as usize]))
            .collect()
    };
    folder.write("train.csv", rows(0, 60));
    folder.write("test.csv", rows(60, 120));
    let train = "train train.csv --test test.csv --hidden 50 --learning-rate 0.5 --epochs 500 --json --out m.safetensors";
    let run = folder.run(&format!("{train} --early-stopping 3")).ok();
    let mut lines = run.json();
    let result = lines.pop().unwrap();
    let losses: Vec<f64> = lines.iter().map(|line| line["test_loss"].as_f64().unwrap()).collect();
    let best = losses.iter().copied().fold(f64::INFINITY, f64::min);
    let at = losses.iter().position(|&loss| loss == best).unwrap();
    assert_eq!(losses.len(), at + 1 + 3, "{losses:?}");
    assert_eq!(
        (result["epochs"].as_u64(), result["test_loss"].as_f64()),
        (Some(at as u64 + 1), Some(best))
    );
    let evaluated = folder.run("evaluate m.safetensors test.csv --json").ok().result();
    assert!((evaluated["loss"].as_f64().unwrap() - best).abs() < 1e-6);
    folder
        .run("train digits --held-out 0 --early-stopping 3")
        .fails(2, &["--early-stopping", "samples to test on"]);
}
