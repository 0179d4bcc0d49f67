//! Files and interruptions of `train --quality best`, which trains five networks in turn.

use std::fs;
use std::process::Stdio;
use std::thread;
use std::time::Duration;

use crate::checkpoint::send;
use crate::run::Folder;

const NETWORKS: usize = 5;

/// 200 rows of two classes, and of a value.
fn tables(folder: &Folder) {
    let mut classes = "a,b,y\n".to_owned();
    let mut values = "a,b,z\n".to_owned();
    for i in 0..200 {
        let (a, b) = (i * 37 % 101, i * 53 % 97);
        classes += &format!("{a},{b},{}\n", if a + b > 100 { "high" } else { "low" });
        values += &format!("{a},{b},{}\n", 2 * a - b + i % 7);
    }
    folder.write("classes.csv", classes);
    folder.write("values.csv", values);
}

fn bytes(folder: &Folder, name: &str) -> Vec<u8> {
    fs::read(folder.join(name)).unwrap()
}

/// Killed again and again, in any of its networks, and started by the same command, it ends with the bytes of a training that was
/// not disturbed, and so does one that a signal ends and `--resume` continues.
#[test]
fn an_interrupted_ensemble_ends_with_the_same_bytes() {
    let folder = Folder::new();
    tables(&folder);
    let train = "train classes.csv --quality best --hidden 40 --dropout 0.1 --epochs 150 --threads 1 --calibrate";
    folder.run(&format!("{train} --out alone")).ok();
    let restart = format!("{train} --checkpoint c --resume --out killed");
    let (mut kills, mut runs) = (0, 0);
    while kills < 8 {
        let mut command = folder.command(&restart);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        thread::sleep(Duration::from_millis(60 + 35 * (kills % 4)));
        runs += 1;
        assert!(runs < 200, "{kills} kills in {runs} runs");
        if child.try_wait().unwrap().is_some() {
            // It came to its end: begin again.
            fs::remove_dir_all(folder.join("c")).unwrap();
            continue;
        }
        child.kill().unwrap();
        child.wait().unwrap();
        kills += 1;
    }
    let last = folder.run(&restart).ok();
    assert!(bytes(&folder, "alone") == bytes(&folder, "killed"), "{}", last.err);
    for number in 1..=NETWORKS {
        let own = fs::read_dir(folder.join(format!("c/network-{number}"))).unwrap();
        assert_eq!(own.count(), 2, "the newest two checkpoints of network {number}");
    }
    // All is done: the same command repeats the answer without a step.
    folder.run(&restart).ok();
    assert!(bytes(&folder, "alone") == bytes(&folder, "killed"));

    folder.run(&format!("{train} --checkpoint c")).fails(2, &["--checkpoint", "--resume"]);
    folder.run(&format!("{train} --resume nothing")).fails(2, &["nothing/network-1"]);
    folder.run(&format!("{train} --seed 2 --resume c")).fails(2, &["--resume", "seed"]);
    folder.run("train classes.csv --hidden 40 --resume c").fails(2, &["--resume", "no checkpoint"]);
}

/// The first signal ends it with a checkpoint and the signal's status.
#[cfg(unix)]
#[test]
fn a_signal_ends_an_ensemble_with_a_checkpoint() {
    let folder = Folder::new();
    tables(&folder);
    let train =
        "train values.csv --quality best --hidden 40 --keep-epoch loss --epochs 200 --threads 1";
    folder.run(&format!("{train} --out alone")).ok();
    let mut command = folder.command(&format!("{train} --checkpoint c --out stopped"));
    let child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    // Within the second network.
    while fs::read_dir(folder.join("c/network-2")).map_or(0, Iterator::count) == 0 {
        thread::sleep(Duration::from_millis(5));
    }
    send("TERM", child.id());
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(128 + 15), "{said}");
    assert!(said.contains("stopped by signal 15"), "{said}");
    assert!(!folder.join("stopped").exists());
    let resumed = folder.run(&format!("{train} --resume c --out stopped")).ok();
    assert!(bytes(&folder, "alone") == bytes(&folder, "stopped"));
    assert!(resumed.err.contains("going on from c/network-2/"), "{}", resumed.err);
}

/// A default rate that diverges is lowered for all networks; a resumed training knows the rate, and the histories have no epoch of
/// the attempt that was given up.
#[test]
fn a_lowered_rate_is_resumed() {
    let folder = Folder::new();
    let row = |i: u32| format!("{},{}\n", i % 7, 1e6 * f64::from(i % 7));
    folder.write("steep.csv", format!("a,y\n{}", (0..60).map(row).collect::<String>()));
    let train = "train steep.csv --task values --quality best --preset plain --hidden none --scaling none --epochs 6 \
                 --batch 1 --optimizer momentum --momentum 0.99 --threads 1";
    let alone = folder.run(&format!("{train} --out alone --history h.csv")).ok();
    assert!(alone.err.contains("diverged") || alone.out.contains("diverged"), "{}", alone.err);
    let part = train.replace("--epochs 6", "--epochs 3");
    folder.run(&format!("{part} --checkpoint c --out part")).ok();
    folder.run(&format!("{train} --resume c --out resumed")).ok();
    assert!(bytes(&folder, "alone") == bytes(&folder, "resumed"));
    for number in 1..=NETWORKS {
        let history = bytes(&folder, &format!("h-network-{number}.csv"));
        assert_eq!(String::from_utf8(history).unwrap().lines().count(), 7, "network {number}");
    }
}

/// Each network has a history and events of its own; they have one report, of answers that each network gives for samples that it has
/// not seen.
#[test]
fn an_ensemble_is_recorded_and_reported() {
    let folder = Folder::new();
    tables(&folder);
    for (table, options) in [("classes", ""), ("values", ""), ("values", "--quantiles 0.1,0.5,0.9")]
    {
        let files = "--history h.jsonl --tensorboard t --report r";
        let train =
            format!("train {table}.csv --quality best --hidden 12 --epochs 12 --plain {options}");
        folder.run(&format!("{train} --out bare")).ok();
        let run = folder.run(&format!("{train} {files} --json --out m")).ok();
        assert!(bytes(&folder, "bare") == bytes(&folder, "m"), "files change the model");
        let lines = run.json();
        let members = lines.iter().filter(|line| line["task"] == "member");
        for (number, member) in (1..).zip(members) {
            let history = bytes(&folder, &format!("h-network-{number}.jsonl"));
            let history = String::from_utf8(history).unwrap();
            let epochs: Vec<serde_json::Value> =
                history.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
            assert_eq!(epochs.len(), 12, "{history}");
            let kept = &epochs[member["epochs"].as_u64().unwrap() as usize - 1];
            assert_eq!(kept["test_loss"], member["test_loss"], "network {number}");
            let events = fs::read_dir(folder.join(format!("t/network-{number}"))).unwrap();
            assert!(events.count() >= 1, "network {number}");
        }
        let result = run.result();
        assert_eq!(result["report"], "r/report.html");
        let page = String::from_utf8(bytes(&folder, "r/report.html")).unwrap();
        // The figure that the summary judges by is that of the page.
        let held_out = &result["held_out"];
        let value = held_out["value"].as_f64().unwrap();
        let shown = match held_out["metric"].as_str().unwrap() {
            "accuracy" => format!("{:.2}", 100.0 * value),
            _ => format!("{value}")[..4].to_owned(),
        };
        assert!(page.contains(&shown), "{shown} of {held_out} is not in the page");
        for part in ["Loss, held-out", "network 5", "--held-out 0.2", "Learning rate of network 1"]
        {
            assert!(page.contains(part), "{part} is not in the page");
        }
        let run = folder.run(&format!("{train} --held-out 0.25 --report r --out m")).ok();
        assert!(run.out.contains("report r/report.html"), "{}", run.out);
        let page = String::from_utf8(bytes(&folder, "r/report.html")).unwrap();
        assert!(page.contains("when the values of a column are shuffled"), "no importance");
    }
}
