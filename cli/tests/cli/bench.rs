//! Benchmarks and devices.

use crate::run::{Folder, keys};

#[test]
fn bench_prints_what_scripts_read() {
    let folder = Folder::new();
    for (arguments, task, net, batch) in [
        ("forward --network 6-4-3 --batch 2", "forward", "6-4-3", 2),
        (
            "train --network 6-4-3 --activations sigmoid,sigmoid --loss quadratic",
            "train",
            "6-4-3",
            64,
        ),
        ("train --network tiny --batch 3 --precision f64", "train", "64-32-10", 3),
    ] {
        let run = folder.run(&format!("bench {arguments} --threads 1 --json")).ok();
        let keys = keys(run.out.trim());
        let expected = [
            "peer",
            "task",
            "net",
            "batch",
            "threads",
            "device",
            "precision",
            "us",
            "gflops",
            "percent_of_peak",
        ];
        assert!(expected.iter().all(|key| keys.contains(key)), "{}", run.out);
        let result = run.result();
        assert_eq!(
            (&result["task"], &result["net"], &result["batch"]),
            (&task.into(), &net.into(), &batch.into())
        );
        assert!(
            ["us", "gflops", "percent_of_peak"]
                .iter()
                .all(|key| result[key].as_f64().unwrap() >= 0.0),
            "{result}"
        );
    }
    let plain = folder.run("bench forward --network 6-4-3").ok();
    assert!(
        plain.out.contains(" us, ") && plain.out.contains("FLOP/s") && plain.out.contains('%'),
        "{}",
        plain.out
    );
}

#[test]
fn devices_are_listed() {
    let folder = Folder::new();
    let lines = folder.run("devices --json").ok().json();
    let cpu = lines.iter().find(|line| line["device"] == "cpu").unwrap();
    assert_eq!(
        (&cpu["usable"], &cpu["reason"], &cpu["cure"]),
        (&true.into(), &().into(), &().into())
    );
    assert!(folder.run("devices").ok().out.contains("cpu"));
    folder.run("train digits --device auto --hidden none --epochs 1 --batch 100").ok();
}
