//! The command line on OpenCL, and without it.

use crate::run::{Folder, Run};

/// Whether there is a device; its absence is a failure where it was promised.
fn is_there(folder: &Folder) -> bool {
    let listed = folder.run("devices --json");
    let usable = listed
        .out
        .lines()
        .any(|line| line.contains("\"opencl:0\"") && line.contains("\"usable\":true"));
    assert!(usable || std::env::var_os("TRAVERTINE_ENSURE_OPENCL").is_none(), "{}", listed.out);
    if !usable {
        eprintln!("LEFT OUT: no OpenCL device");
    }
    usable
}

fn json(run: &Run) -> serde_json::Value {
    assert_eq!(run.status, Some(0), "{}\n{}", run.arguments, run.err);
    serde_json::from_str(run.out.lines().last().unwrap()).unwrap()
}

#[test]
fn digits_are_learned_as_well_as_on_the_cpu() {
    let folder = Folder::new();
    if !is_there(&folder) {
        return;
    }
    let opencl =
        json(&folder.run("train digits --device opencl --no-tune --json --out opencl.safetensors"));
    let cpu = json(&folder.run("train digits --json --out cpu.safetensors"));
    let accuracy = |result: &serde_json::Value| result["test_accuracy"].as_f64().unwrap();
    assert!(
        accuracy(&opencl) >= 0.96 && (accuracy(&opencl) - accuracy(&cpu)).abs() < 0.01,
        "{opencl} {cpu}"
    );
    assert_eq!(opencl["device"], "opencl:0");
    let evaluated =
        json(&folder.run("evaluate cpu.safetensors digits --device opencl --no-tune --json"));
    assert!(evaluated["accuracy"].as_f64().unwrap() > 0.97, "{evaluated}");
}

#[test]
fn bench_and_parity_run() {
    let folder = Folder::new();
    if !is_there(&folder) {
        return;
    }
    let bench = json(
        &folder.run("bench train --network 20-10-3 --batch 5 --device opencl --no-tune --json"),
    );
    assert!(bench["us"].as_f64().unwrap() > 0.0 && bench["device"] == "opencl:0", "{bench}");
    let parity = json(
        &folder
            .run("parity --network 20-10-3 --batch 5 --steps 20 --device opencl --no-tune --json"),
    );
    assert!(parity["largest"].as_f64().unwrap() < 1e-5 && parity["steps"] == 20, "{parity}");
    let adam = "parity --network 20-10-3 --batch 5 --steps 50 --optimizer adam --device opencl --no-tune --json";
    let parity = json(&folder.run(adam));
    assert!(
        parity["largest"].as_f64().unwrap() < 1e-4 && parity["optimizer"] == "adam",
        "{parity}"
    );
    let run =
        folder.run("parity --network 20-10-3 --steps 5 --precision f64 --device opencl --no-tune");
    assert!(
        run.out.contains("layer 2") && run.out.contains("largest relative difference"),
        "{}",
        run.out
    );
}

/// A loader without a platform, and a file that is no loader: `devices` reports them, other commands fail with status 2.
#[test]
fn what_is_missing_is_reported_with_the_cure() {
    let folder = Folder::new();
    folder.write("libOpenCL.so.1", "not a library");
    let empty = folder.join("no-drivers");
    std::fs::create_dir_all(&empty).unwrap();
    let here = folder.to_str().unwrap().to_owned();
    let cases =
        [("OCL_ICD_VENDORS", empty.to_str().unwrap().to_owned()), ("LD_LIBRARY_PATH", here)];
    for (variable, value) in cases {
        let run = |arguments: &str| {
            let output = folder.command(arguments).env(variable, &value).output().unwrap();
            Run::new(arguments, output)
        };
        let devices = run("devices");
        assert_eq!(devices.status, Some(0), "{}", devices.err);
        let line = devices.out.lines().find(|line| line.starts_with("opencl")).unwrap();
        assert!(
            line.contains("not usable") && line.contains("pocl-opencl-icd"),
            "{variable}: {line}"
        );
        let train = run("train digits --device opencl --out model.safetensors");
        assert_eq!(train.status, Some(2), "{}", train.err);
        assert!(
            train.err.contains("opencl is not available") && train.err.contains("install"),
            "{}",
            train.err
        );
        assert!(!folder.join("model.safetensors").exists());
    }
}

#[test]
fn tune_has_nothing_to_do_on_the_cpu() {
    let folder = Folder::new();
    let run = folder.run("tune");
    assert_eq!(run.status, Some(0), "{}", run.err);
    assert!(run.out.contains("cpu has nothing to tune"), "{}", run.out);
}
