//! `devices` and `--device auto` beside OpenCL drivers that fail.

use std::process::Command;

use crate::run::{Folder, Run};

/// A folder of the machine's drivers and of one that names this library, and whether there are others.
fn beside(folder: &Folder, library: &str) -> usize {
    let vendors = folder.join("vendors");
    std::fs::create_dir_all(&vendors).unwrap();
    let mut others = 0;
    for entry in std::fs::read_dir("/etc/OpenCL/vendors").into_iter().flatten().flatten() {
        std::fs::copy(entry.path(), vendors.join(entry.file_name())).unwrap();
        others += 1;
    }
    folder.write("vendors/broken.icd", format!("{library}\n"));
    others
}

/// Whether there is a loader, without which no driver is ever asked.
fn has_loader(folder: &Folder) -> bool {
    let listed = folder.run("devices").ok().out;
    let has = !listed.contains("libOpenCL.so.1) was not found");
    assert!(has || std::env::var_os("TRAVERTINE_ENSURE_OPENCL").is_none(), "{listed}");
    if !has {
        eprintln!("LEFT OUT: no OpenCL loader");
    }
    has
}

/// The library of the driver that fails; `None` without a compiler.
fn broken(folder: &Folder) -> Option<String> {
    if !cfg!(target_os = "linux") || !has_loader(folder) {
        return None;
    }
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cli/broken_driver.rs");
    let library = folder.join("libbroken.so");
    let mut command = Command::new("rustc");
    command.args(["--edition", "2024", "--crate-type", "cdylib", "-A", "non_snake_case", "-o"]);
    let built = command.arg(&library).arg(source).output();
    let built = built.inspect_err(|error| eprintln!("LEFT OUT: rustc: {error}")).ok()?;
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    Some(library.to_str().unwrap().to_owned())
}

fn run(folder: &Folder, arguments: &str, how: &str) -> Run {
    let mut command = folder.command(arguments);
    command.env("OCL_ICD_VENDORS", folder.join("vendors")).env("BROKEN", how);
    Run::new(arguments, command.output().unwrap())
}

fn line<'r>(run: &'r Run, part: &str) -> &'r str {
    let found = run.out.lines().find(|line| line.contains(part));
    found.unwrap_or_else(|| panic!("no '{part}' in {}{}", run.out, run.err))
}

#[test]
fn a_driver_that_cannot_be_loaded_is_named_with_the_reason() {
    let folder = Folder::new();
    if !has_loader(&folder) || !cfg!(target_os = "linux") {
        return;
    }
    let others = beside(&folder, "libthere-is-none.so.1");
    let devices = run(&folder, "devices", "").ok();
    assert!(line(&devices, "cpu ").ends_with("usable"));
    let broken = line(&devices, "broken.icd");
    assert!(
        broken.contains("not usable") && broken.contains("libthere-is-none.so.1: cannot open"),
        "{broken}"
    );
    assert!(others == 0 || line(&devices, "opencl:0").ends_with("; usable"));
    std::fs::remove_dir_all(folder.join("vendors")).unwrap();
    std::fs::create_dir_all(folder.join("vendors")).unwrap();
    folder.write("vendors/broken.icd", "libthere-is-none.so.1\n");
    let train = run(&folder, "train digits --device opencl --out model.safetensors", "");
    train.fails(2, &["broken.icd", "libthere-is-none.so.1: cannot open", "install a driver"]);
}

#[test]
fn a_platform_that_fails_hides_no_other() {
    let folder = Folder::new();
    let Some(library) = broken(&folder) else { return };
    let others = beside(&folder, &library);
    let devices = run(&folder, "devices", "refuse").ok();
    let broken = line(&devices, "Broken Platform");
    assert!(broken.contains("not usable: its driver lists no devices"), "{broken}");
    assert!(others == 0 || line(&devices, "opencl:0").ends_with("; usable"));
}

#[test]
fn drivers_that_end_the_process_or_never_answer_are_survived() {
    let folder = Folder::new();
    let Some(library) = broken(&folder) else { return };
    let others = beside(&folder, &library);
    for (how, reason) in [
        ("load", "ended with signal 6 (SIGABRT)"),
        ("platforms", "ended with signal 6 (SIGABRT): the driver's last words"),
        ("hang", "got no answer within 4 s"),
    ] {
        let devices = run(&folder, "devices --limit 4", how).ok();
        assert!(line(&devices, "cpu ").ends_with("usable"));
        let broken = line(&devices, "broken.icd");
        assert!(broken.contains("not usable") && broken.contains(reason), "{how}: {broken}");
        if others > 0 && how != "hang" {
            let other = line(&devices, "not beside a driver that fails");
            assert!(other.contains("set OCL_ICD_VENDORS="), "{how}: {other}");
        }
    }
    let bench = "bench train --network 20-10-3 --batch 5 --device auto --no-tune --json";
    let bench = run(&folder, bench, "platforms").ok();
    assert_eq!(bench.result()["device"], "cpu");
}
