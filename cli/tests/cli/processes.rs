//! Training by several processes, which MPICH's `mpiexec` starts.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use std::{fs, thread};

use crate::run::{Folder, Run};

/// `mpiexec` of MPICH, where it is installed. It comes with the library that the program opens.
pub(crate) fn mpiexec() -> Option<PathBuf> {
    let beside = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../target/python/bin/mpiexec");
    let path = std::env::var_os("TRAVERTINE_MPIEXEC").map_or(beside, PathBuf::from);
    if path.exists() {
        return Some(path);
    }
    let ensured = std::env::var_os("TRAVERTINE_ENSURE_MPI").is_some();
    assert!(!ensured, "there is no {}", path.display());
    eprintln!("skipped: there is no {}; `pip install mpich` has it", path.display());
    None
}

/// `mpiexec` and its arguments, with each `PROGRAM` replaced; a colon is between different processes.
pub(crate) fn command(mpiexec: &PathBuf, folder: &Folder, arguments: &str) -> Command {
    let mut command = Command::new(mpiexec);
    let program = env!("CARGO_BIN_EXE_travertine");
    command.args(
        arguments.split_whitespace().map(|word| if word == "PROGRAM" { program } else { word }),
    );
    // The library is found beside `mpiexec`, whatever the tests were started with.
    command.current_dir(&**folder).env("XDG_CACHE_HOME", &**folder).env_remove("TRAVERTINE_MPI");
    command
}

fn run(mpiexec: &PathBuf, folder: &Folder, arguments: &str) -> Run {
    Run::new(arguments, command(mpiexec, folder, arguments).output().unwrap())
}

/// The message of a run that failed as bad input does. `mpiexec` may print about it on standard output.
fn refused(run: Run) -> String {
    assert_eq!(run.status, Some(2), "{}: {}", run.arguments, run.err);
    run.err
}

/// Trains with each number of processes. Returns the bytes of the models.
fn models(mpiexec: &PathBuf, folder: &Folder, sizes: &[usize], options: &str) -> Vec<Vec<u8>> {
    let model = |size: &usize| {
        let train =
            format!("-n {size} PROGRAM train {options} --plain --out model-{size}.safetensors");
        run(mpiexec, folder, &train).ok();
        fs::read(folder.join(format!("model-{size}.safetensors"))).unwrap()
    };
    sizes.iter().map(model).collect()
}

fn are_the_same(mpiexec: &PathBuf, folder: &Folder, sizes: &[usize], options: &str) {
    let models = models(mpiexec, folder, sizes, options);
    assert!(models.iter().all(|model| *model == models[0]), "{options}");
}

/// A table of a number, a text with gaps, and a label of three classes.
fn table(rows: usize) -> String {
    let row = |i: usize| {
        let text = ["red", "green", "", "blue"][i * 7 % 4];
        format!("{},{text},{}\n", (i * i) % 101, ["a", "b", "c"][(i * i + i / 3) % 3])
    };
    std::iter::once("size,color,class\n".to_owned()).chain((0..rows).map(row)).collect()
}

const DIGITS: &str = "digits --samples 400 --hidden 24 --epochs 2 --batch 50";

#[test]
fn any_number_of_processes_writes_the_same_model() {
    let Some(mpiexec) = mpiexec() else { return };
    let folder = Folder::new();
    are_the_same(&mpiexec, &folder, &[1, 2, 4, 8], DIGITS);
    for options in [
        "--optimizer momentum --clip-norm 0.5 --max-norm 2",
        "--optimizer adam --weight-decay 0.01 --precision f64",
        "--dropout 0.3 --input-dropout 0.1 --class-weights balanced",
        "--normalization batch --label-smoothing 0.1",
        "--normalization layer --early-stopping 1",
        "--members 3 --keep-epoch loss --optimizer rmsprop",
    ] {
        are_the_same(&mpiexec, &folder, &[1, 2, 4], &format!("{DIGITS} {options}"));
    }
    are_the_same(&mpiexec, &folder, &[1, 2, 3, 6], &format!("{DIGITS} --slices 6"));
}

#[test]
fn tables_streams_and_ensembles_are_the_same_for_any_number_of_processes() {
    let Some(mpiexec) = mpiexec() else { return };
    let folder = Folder::new();
    folder.write("t.csv", table(600));
    for options in [
        "t.csv --epochs 2",
        "t.csv --preset tabm --epochs 1",
        "t.csv --quality best --epochs 1",
        "t.csv --stream 1 --epochs 2 --batch 64 --held-out 0.2",
    ] {
        are_the_same(&mpiexec, &folder, &[1, 2, 4], options);
    }
}

#[test]
fn slices_are_those_of_one_process_without_mpi() {
    let Some(mpiexec) = mpiexec() else { return };
    let folder = Folder::new();
    let models = models(&mpiexec, &folder, &[2], DIGITS);
    folder.run(&format!("train {DIGITS} --slices 8 --out alone.safetensors")).ok();
    assert!(models[0] == fs::read(folder.join("alone.safetensors")).unwrap());
    // Without slices the sums have another order.
    folder.run(&format!("train {DIGITS} --out whole.safetensors")).ok();
    assert!(models[0] != fs::read(folder.join("whole.safetensors")).unwrap());
}

#[test]
fn folds_are_shared_out_and_printed_in_order() {
    let Some(mpiexec) = mpiexec() else { return };
    let folder = Folder::new();
    let train = "train digits --samples 300 --hidden 16 --epochs 2 --folds 5 --json";
    let alone = folder.run(train).ok();
    let three = run(&mpiexec, &folder, &format!("-n 3 PROGRAM {train}")).ok();
    assert_eq!(three.out, alone.out);
    assert_eq!(alone.out.lines().count(), 6);
}

#[test]
fn process_0_alone_prints_and_writes_files() {
    let Some(mpiexec) = mpiexec() else { return };
    let folder = Folder::new();
    let files = "--history h.csv --tensorboard events --report report --checkpoint points";
    let train = format!("-n 4 PROGRAM train {DIGITS} --plain {files} --out m.safetensors");
    let trained = run(&mpiexec, &folder, &train).ok();
    assert_eq!(trained.out.matches("epoch 1/2").count(), 1, "{}", trained.out);
    assert_eq!(trained.err.matches("samples to train on").count(), 1, "{}", trained.err);
    assert_eq!(fs::read_to_string(folder.join("h.csv")).unwrap().lines().count(), 3);
    assert_eq!(fs::read_dir(folder.join("events")).unwrap().count(), 1);
    // What one process does alone is done once.
    let judged = run(&mpiexec, &folder, "-n 3 PROGRAM evaluate m.safetensors digits --json").ok();
    assert_eq!(judged.out, folder.run("evaluate m.safetensors digits --json").ok().out);
}

/// A training that takes long, in the background.
fn begin(mpiexec: &PathBuf, folder: &Folder) -> Child {
    let train = "train digits --hidden 300,300 --epochs 500 --batch 64 --plain --every 10 --checkpoint points";
    let mut command =
        command(mpiexec, folder, &format!("-n 4 PROGRAM {train} --out m.safetensors"));
    let child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let begin = Instant::now();
    while fs::read_dir(folder.join("points")).map_or(0, Iterator::count) < 2 {
        assert!(begin.elapsed() < Duration::from_secs(120), "there is no checkpoint");
        thread::sleep(Duration::from_millis(20));
    }
    child
}

/// The processes of the training in this folder, by the rank that their environment has.
fn process_of_rank(folder: &Folder, rank: usize) -> Option<u32> {
    let is_it = |pid: &u32| {
        let cwd = fs::read_link(format!("/proc/{pid}/cwd"));
        let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        let has_rank = |entry: &[u8]| entry == format!("PMI_RANK={rank}").as_bytes();
        cwd.is_ok_and(|cwd| cwd == fs::canonicalize(&**folder).unwrap())
            && environment.split(|byte| *byte == 0).any(has_rank)
    };
    let entries = fs::read_dir("/proc").unwrap().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).find(is_it)
}

fn kill(signal: &str, pid: u32) {
    assert!(Command::new("kill").args([signal, &pid.to_string()]).status().unwrap().success());
}

/// Resumes with 1, 2 and 8 processes, and expects the bytes of a training that nothing disturbed.
fn resumes(mpiexec: &PathBuf, folder: &Folder) {
    let train = "PROGRAM train digits --hidden 300,300 --batch 64 --plain --every 10";
    let points = fs::read_dir(folder.join("points")).unwrap().flatten();
    let last = points.filter_map(|entry| {
        let name = entry.file_name().into_string().unwrap();
        name.strip_prefix("step-")?.strip_suffix(".safetensors")?.parse::<usize>().ok()
    });
    // 1,438 samples are 23 steps an epoch.
    let epochs = last.max().unwrap() / 23 + 2;
    let options = format!("--epochs {epochs} --checkpoint whole --out whole.safetensors");
    run(mpiexec, folder, &format!("-n 4 {train} {options}")).ok();
    let whole = fs::read(folder.join("whole.safetensors")).unwrap();
    for size in [1, 2, 8] {
        fs::create_dir(folder.join(format!("points-{size}"))).unwrap();
        for entry in fs::read_dir(folder.join("points")).unwrap().flatten() {
            let copy = folder.join(format!("points-{size}")).join(entry.file_name());
            fs::copy(entry.path(), copy).unwrap();
        }
        let options = format!("--epochs {epochs} --resume points-{size} --out resumed.safetensors");
        run(mpiexec, folder, &format!("-n {size} {train} {options}")).ok();
        assert!(whole == fs::read(folder.join("resumed.safetensors")).unwrap(), "{size} processes");
    }
}

#[test]
fn a_killed_process_ends_all_and_the_training_resumes_with_any_number() {
    let Some(mpiexec) = mpiexec() else { return };
    let folder = Folder::new();
    let training = begin(&mpiexec, &folder);
    let begin = Instant::now();
    kill("-KILL", process_of_rank(&folder, 2).unwrap());
    let ended = training.wait_with_output().unwrap();
    assert!(!ended.status.success());
    assert!(begin.elapsed() < Duration::from_secs(10), "{:?}", begin.elapsed());
    assert!((0..4).all(|rank| process_of_rank(&folder, rank).is_none()));
    assert!(!folder.join("m.safetensors").exists());
    resumes(&mpiexec, &folder);
}

#[test]
fn a_signal_to_one_process_ends_all_with_a_checkpoint() {
    let Some(mpiexec) = mpiexec() else { return };
    let folder = Folder::new();
    let training = begin(&mpiexec, &folder);
    kill("-TERM", process_of_rank(&folder, 3).unwrap());
    let ended = training.wait_with_output().unwrap();
    assert_eq!(ended.status.code(), Some(143));
    let err = String::from_utf8_lossy(&ended.stderr);
    assert!(err.contains("stopped by signal 15 after step"), "{err}");
    resumes(&mpiexec, &folder);
}

#[test]
fn processes_that_differ_are_refused_with_what_differs() {
    let Some(mpiexec) = mpiexec() else { return };
    let folder = Folder::new();
    folder.write("a.csv", table(100));
    folder.write("b.csv", table(100).replace("red", "rot"));
    folder.write("c.csv", table(101));
    folder.write("d.csv", table(100).replace("\n49,", "\n48,"));
    let options = "--epochs 1 --batch 16 --out m.safetensors";
    let pair = |first: &str, second: &str| {
        let both =
            format!("-n 1 PROGRAM train {first} {options} : -n 1 PROGRAM train {second} {options}");
        refused(run(&mpiexec, &folder, &both))
    };
    let seeds = pair("a.csv --seed 1", "a.csv --seed 2");
    assert!(seeds.contains("--seed is 2, not 1; start all"), "{}", seeds);
    assert!(seeds.contains("process 1 of 2 on "), "{}", seeds);
    let rates = pair("a.csv --learning-rate 0.1", "a.csv --learning-rate 0.2");
    assert!(rates.contains("--learning-rate is 0.2, not 0.1; start all"), "{}", rates);
    // The options of process 0 decide what is written, but those of the others would be left out in silence.
    for (option, value) in [
        ("--calibrate", "given"),
        ("--time-limit 5", "5"),
        ("--checkpoint d", "d"),
        ("--stream 2", "2"),
    ] {
        let (name, other) =
            (option.split(' ').next().unwrap(), pair("a.csv", &format!("a.csv {option}")));
        assert!(other.contains(&format!("{name} is {value}, not left out; start all")), "{other}");
    }
    // The texts have the same codes, so that the schema alone tells them apart.
    fs::create_dir(folder.join("other")).unwrap();
    for (other, wanted) in [
        ("b.csv", "the fingerprint of the columns and their texts is "),
        ("c.csv", "the number of samples to train on is 81, not 80"),
        ("d.csv", "the fingerprint of the samples to train on is "),
    ] {
        fs::copy(folder.join(other), folder.join("other/a.csv")).unwrap();
        let data = pair("a.csv", "other/a.csv");
        assert!(data.contains("DATA: a.csv: process 1 of 2 on "), "{other}: {}", data);
        assert!(data.contains("differs from process 0 of 2"), "{other}: {}", data);
        assert!(data.contains(wanted) && !data.contains("--init"), "{other}: {}", data);
    }
    // The same samples may lie elsewhere, and each process may have threads of its own.
    folder.write("other/b.csv", table(100));
    let alike = format!(
        "-n 1 PROGRAM train a.csv {options} --threads 1 : -n 1 PROGRAM train other/b.csv {options} --threads 2"
    );
    run(&mpiexec, &folder, &alike).ok();
    fs::remove_file(folder.join("m.safetensors")).unwrap();
    let precision = pair("a.csv", "a.csv --precision f64");
    assert!(precision.contains("--precision is f64, not left out"), "{}", precision);
    assert!(!folder.join("m.safetensors").exists());
}

#[test]
fn what_fails_in_one_process_ends_all_and_says_where() {
    let Some(mpiexec) = mpiexec() else { return };
    let folder = Folder::new();
    folder.write("a.csv", table(100));
    let both = "-n 1 PROGRAM train a.csv --epochs 1 : -n 1 PROGRAM train none.csv --epochs 1";
    let failed = refused(run(&mpiexec, &folder, both));
    assert!(failed.contains("error: process 1 of 2 on "), "{}", failed);
    assert!(failed.contains("none.csv"), "{}", failed);
    // What fails in all is said once.
    let all = refused(run(&mpiexec, &folder, "-n 3 PROGRAM train none.csv"));
    assert_eq!(all.matches("error: ").count(), 1, "{}", all);
    let usage = refused(run(&mpiexec, &folder, "-n 3 PROGRAM train digits --epoch 1"));
    assert_eq!(usage.matches("error: ").count(), 1, "{}", usage);
}

#[test]
fn numbers_of_processes_that_do_not_divide_the_slices_are_refused() {
    let Some(mpiexec) = mpiexec() else { return };
    let folder = Folder::new();
    let three = refused(run(&mpiexec, &folder, &format!("-n 3 PROGRAM train {DIGITS}")));
    let wanted = "8 slices cannot be shared out evenly among 3 processes; start 2 or 4 processes, or choose 9 slices";
    assert!(three.contains(wanted), "{three}");
    let few = refused(run(
        &mpiexec,
        &folder,
        "-n 2 PROGRAM train digits --batch 4 --slices 8 --epochs 1",
    ));
    assert!(few.contains("cannot have 8 slices; choose 4 slices"), "{few}");
    // A batch of 4 cannot have the 6 slices that 3 processes share evenly.
    let small = refused(run(&mpiexec, &folder, "-n 3 PROGRAM train digits --batch 4 --epochs 1"));
    assert!(small.contains("start 2 or 4 processes, or choose 3 slices"), "{small}");
    let smallest =
        refused(run(&mpiexec, &folder, "-n 3 PROGRAM train digits --batch 2 --epochs 1"));
    let wanted = "start 2 processes, or choose a batch of at least 3 samples and 3 slices";
    assert!(smallest.contains(wanted), "{smallest}");
}

#[test]
fn an_mpi_that_is_missing_or_old_is_refused_with_the_cure() {
    let folder = Folder::new();
    let alone = refused(folder.run("train digits --require-mpi --epochs 1"));
    assert!(alone.contains("no launcher has started this program"), "{alone}");
    let Some(mpiexec) = mpiexec() else { return };
    let library = mpiexec.parent().unwrap().join("../lib/libmpi.so.12");
    for (path, wanted) in [
        ("/none/libmpi_abi.so", "cannot be opened"),
        (library.to_str().unwrap(), "binary interface"),
    ] {
        let mut command = command(&mpiexec, &folder, "-n 2 PROGRAM train digits --epochs 1");
        let run = Run::new(path, command.env("TRAVERTINE_MPI", path).output().unwrap());
        let error = refused(run);
        assert!(error.contains(wanted) && error.contains("pip install mpich"), "{error}");
    }
    let device = command(&mpiexec, &folder, "-n 1 PROGRAM devices --json").output().unwrap();
    let device = Run::new("devices", device).ok();
    let mpi = device.out.lines().find(|line| line.contains("\"device\":\"mpi\"")).unwrap();
    assert!(mpi.contains("\"usable\":true") && mpi.contains("MPICH"), "{mpi}");
}

#[test]
fn a_process_that_cannot_join_ends_those_that_wait_for_it() {
    let Some(mpiexec) = mpiexec() else { return };
    let folder = Folder::new();
    let train = "PROGRAM train digits --epochs 1";
    let both = format!("-n 1 {train} : -n 1 env TRAVERTINE_MPI=/none/libmpi_abi.so {train}");
    let library = refused(run(&mpiexec, &folder, &both));
    assert!(library.contains("/none/libmpi_abi.so"), "{library}");
    let usage = refused(run(&mpiexec, &folder, &format!("-n 1 {train} : -n 1 {train} --bogus")));
    assert!(usage.contains("--bogus") && usage.contains("process 1 on "), "{usage}");
}

/// A program that does not begin MPI keeps the others waiting; they say so.
#[test]
fn a_process_that_waits_for_others_says_so() {
    let Some(mpiexec) = mpiexec() else { return };
    let folder = Folder::new();
    let mut command =
        command(&mpiexec, &folder, "-n 1 PROGRAM train digits --epochs 1 : -n 1 sleep 60");
    let mut waiting = command.stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(waiting.stderr.take().unwrap()).lines().map(Result::unwrap);
    let said = lines.find(|line| line.contains("for others to begin MPI"));
    waiting.kill().unwrap();
    waiting.wait().unwrap();
    assert!(said.unwrap().starts_with("process 0 has waited 10 s"));
}

#[test]
fn other_initial_weights_are_refused_for_ensembles_too() {
    let Some(mpiexec) = mpiexec() else { return };
    let folder = Folder::new();
    folder.write("t.csv", table(100));
    for seed in [1, 2] {
        let options =
            format!("t.csv --preset plain --epochs 1 --seed {seed} --out {seed}.safetensors");
        folder.run(&format!("train {options}")).ok();
    }
    for task in ["--quality best", "--folds 2", "--batch 16"] {
        let train = |seed| {
            format!(
                "-n 1 PROGRAM train t.csv --preset plain --epochs 1 {task} --init {seed}.safetensors"
            )
        };
        let both = format!("{} : {}", train(1), train(2));
        let error = refused(run(&mpiexec, &folder, &both));
        assert!(error.contains("fingerprint of the initial weights (--init)"), "{task}: {error}");
    }
}

#[test]
fn few_samples_train_with_fewer_slices() {
    let Some(mpiexec) = mpiexec() else { return };
    let folder = Folder::new();
    folder.write("t.csv", table(7));
    are_the_same(&mpiexec, &folder, &[1, 2], "t.csv --epochs 1 --held-out 0");
}

#[test]
fn time_limits_are_decided_by_one_process() {
    let Some(mpiexec) = mpiexec() else { return };
    let folder = Folder::new();
    folder.write("t.csv", table(600));
    for options in ["t.csv --time-limit 2", "t.csv --time-limit 2 --quality best"] {
        run(&mpiexec, &folder, &format!("-n 2 PROGRAM train {options} --out m.safetensors")).ok();
    }
}

/// Each of R processes sends `2 (R - 1) / R` of the gradient's bytes a step, and of 8 bytes a sample for losses and hits.
#[test]
fn a_step_sends_the_bytes_that_are_reckoned() {
    let Some(mpiexec) = mpiexec() else { return };
    let folder = Folder::new();
    let library = folder.join("libcounting.so");
    let mpi = mpiexec.parent().unwrap().join("../lib").canonicalize().unwrap();
    let source = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/mpi/counting.rs");
    let compiler = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let mut compile = Command::new(compiler);
    compile.args(["--edition", "2024", "--crate-type", "cdylib", "-lmpi_abi", "-L"]).arg(&mpi);
    compile.arg(format!("-Clink-arg=-Wl,-rpath,{}", mpi.display()));
    assert!(compile.arg("-o").arg(&library).arg(source).status().unwrap().success());
    // 64-24-10 has 1,810 parameters; 400 samples are 8 steps an epoch.
    let (steps, bytes) = (2 * 8, size_of::<f32>() * 1810 + 8 * 50);
    for size in [1, 2, 4, 8] {
        let train = format!("-n {size} PROGRAM train {DIGITS} --held-out 0 --plain --out model");
        let mut command = command(&mpiexec, &folder, &train);
        Run::new(&train, command.env("TRAVERTINE_MPI", &library).output().unwrap()).ok();
        let sent = |rank| fs::read_to_string(folder.join(format!("sent-{rank}"))).unwrap();
        let sent: usize = (0..size).map(|rank| sent(rank).parse::<usize>().unwrap()).sum();
        assert_eq!(sent, steps * 2 * (size - 1) * bytes, "{size} processes");
    }
}
