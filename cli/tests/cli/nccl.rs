//! Training by several processes on stand-ins for GPUs, which a stand-in for NCCL connects (`tests/cuda_host/nccl.rs`).

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use crate::cuda::{BUILT, count, with_driver};
use crate::processes::{command, mpiexec};
use crate::run::{Folder, Run};

/// `mpiexec`, and a folder with stand-ins, with NCCL or without.
fn set_up(has_nccl: bool) -> Option<(PathBuf, Folder)> {
    let (mpiexec, folder) = (mpiexec()?, with_driver()?);
    if has_nccl {
        let driver = fs::read_link(folder.join("libcuda.so")).unwrap();
        symlink(driver, folder.join("libnccl.so.2")).unwrap();
    }
    Some((mpiexec, folder))
}

/// Runs `mpiexec`, with variables of the stand-ins.
fn run((mpiexec, folder): &(PathBuf, Folder), arguments: &str, behavior: &[(&str, &str)]) -> Run {
    let mut command = command(mpiexec, folder, arguments);
    let kernels = Path::new(BUILT.as_ref().unwrap()).join("kernels");
    command.env("LD_LIBRARY_PATH", &**folder).env("HOST_CACHE", kernels);
    // Messages are files of the temporary folder.
    command.env("TMPDIR", &**folder);
    let usual = [("COUNTS", "1"), ("DEVICES", "8"), ("MEMORY", "1073741824")];
    for (name, value) in usual.iter().chain(behavior) {
        command.env(format!("HOST_{name}"), value);
    }
    let run = Run::new(arguments, command.output().unwrap());
    assert!(!run.err.contains("driver:"), "{arguments}: {}", run.err);
    run
}

const DIGITS: &str = "digits --samples 200 --hidden 24 --epochs 2 --no-tune --plain";
const THROUGH_MPI: &str = "GPUs exchange gradients through MPI, not NCCL";

/// Trains with a number of processes. Returns the model, and what was printed.
fn train(set_up: &(PathBuf, Folder), size: usize, options: &str) -> (Vec<u8>, Run) {
    let train = format!("-n {size} PROGRAM train {DIGITS} {options} --out model.safetensors");
    let trained = run(set_up, &train, &[]).ok();
    // Checkpoints of one training are in the way of the next.
    let _ = fs::remove_dir_all(set_up.1.join("points"));
    (fs::read(set_up.1.join("model.safetensors")).unwrap(), trained)
}

#[test]
fn nccl_and_mpi_write_the_same_model() {
    let (Some(nccl), Some(mpi)) = (set_up(true), set_up(false)) else { return };
    for (options, sizes) in [
        ("--device cuda --batch 50", &[2, 4, 8][..]),
        ("--device cuda --fusion never --optimizer adam --clip-norm 0.5 --precision f64", &[2]),
        ("--device cuda --normalization batch --dropout 0.2", &[4]),
        ("--device cuda --slices 6 --batch 33", &[2, 3]),
        // Process 0 alone waits for its device and writes, while the others go on.
        ("--device cuda --batch 20 --every 1 --checkpoint points", &[2]),
    ] {
        let (alone, run) = train(&nccl, 1, options);
        assert_eq!(count(&run, "messages"), 0);
        for &size in sizes {
            let (through_nccl, run) = train(&nccl, size, options);
            assert!(through_nccl == alone, "{options}: NCCL among {size} processes");
            assert!(count(&run, "messages") > 0 && !run.err.contains(THROUGH_MPI), "{}", run.err);
            let (through_mpi, run) = train(&mpi, size, options);
            assert!(through_mpi == alone, "{options}: MPI among {size} processes");
            assert_eq!(count(&run, "messages"), 0);
            assert_eq!(run.err.matches(THROUGH_MPI).count(), 1, "{}", run.err);
        }
    }
}

#[test]
fn what_keeps_nccl_away_is_said_once() {
    let (Some(nccl), Some(mpi)) = (set_up(true), set_up(false)) else { return };
    let train = format!("PROGRAM train {DIGITS} --device");
    for (set_up, arguments, behavior, reason) in [
        (
            &mpi,
            format!("-n 2 {train} cuda"),
            &[][..],
            "NCCL (libnccl.so.2) was not found: pip install nvidia-nccl",
        ),
        (
            &nccl,
            format!("-n 2 {train} cuda"),
            &[("NCCL", "21703")],
            "its NCCL is 2.17.3, 2.18.0 is needed",
        ),
        (&nccl, format!("-n 2 {train} cuda:0"), &[], "share a GPU"),
        (
            &nccl,
            format!("-n 1 {train} cuda : -n 1 -env HOST_NCCL 22800 {train} cuda"),
            &[],
            "has NCCL 2.28.0, and process 0 of 2",
        ),
    ] {
        let trained = run(set_up, &arguments, behavior).ok();
        let lines: Vec<&str> =
            trained.err.lines().filter(|line| line.starts_with(THROUGH_MPI)).collect();
        assert_eq!(lines.len(), 1, "{}", trained.err);
        assert!(lines[0].contains(reason), "{}", lines[0]);
        assert_eq!(count(&trained, "messages"), 0);
    }
}

#[test]
fn a_call_of_nccl_that_fails_ends_all_with_its_text() {
    let Some(set_up) = set_up(true) else { return };
    let train = format!("PROGRAM train {DIGITS} --device cuda --out model.safetensors");
    for (name, code, parts) in [
        ("NCCL_ID", "2", ["ncclGetUniqueId", "unhandled system error"]),
        ("NCCL_INIT", "1", ["ncclCommInitRank", "unhandled cuda error"]),
        ("NCCL_ASYNC", "6", ["ncclCommGetAsyncError", "remote process exited"]),
        ("NCCL_GROUP", "6", ["ncclGroupEnd", "remote process exited"]),
    ] {
        let arguments = format!("-n 2 {train}");
        let failed = run(&set_up, &arguments, &[(name, code), ("NCCL_AFTER", "3")]);
        assert_eq!(failed.status, Some(1), "{name}: {}", failed.err);
        let message = format!("code {code}");
        for part in parts.into_iter().chain(["cuda:", &*message, "as HOST_NCCL wants it"]) {
            assert!(failed.err.contains(part), "{name}: no '{part}' in {}", failed.err);
        }
        // In one process alone: the other waits for it and is ended.
        let one = format!("-n 1 {train} : -n 1 -env HOST_{name} {code} {train}");
        if name != "NCCL_ID" {
            let failed = run(&set_up, &one, &[]);
            assert_eq!(failed.status, Some(1), "{name}: {}", failed.err);
            assert!(failed.err.contains("error: process 1 of 2 on "), "{name}: {}", failed.err);
            assert!(failed.err.contains(parts[0]), "{name}: {}", failed.err);
        }
        assert!(!set_up.1.join("model.safetensors").exists());
    }
}

#[test]
fn devices_name_the_version_of_nccl() {
    for (has_nccl, wanted) in [(true, ", NCCL 2.27.3"), (false, "NVRTC 12.4")] {
        let Some(set_up) = set_up(has_nccl) else { return };
        let devices = run(&set_up, "-n 1 PROGRAM devices", &[]).ok();
        let line = devices.out.lines().find(|line| line.starts_with("cuda:0")).unwrap();
        assert!(line.contains(wanted) && line.contains("NCCL") == has_nccl, "{line}");
    }
}
