//! Where the model goes.

use std::fs;

use crate::run::Folder;

const SHORT: &str = "train digits --hidden none --epochs 1 --batch 100";

#[test]
fn an_output_folder_must_exist() {
    let folder = Folder::new();
    folder
        .run(&format!("{SHORT} --out nowhere/m"))
        .fails(2, &["--out", "the folder nowhere does not exist"]);
    folder.run(&format!("{SHORT} --out .")).fails(2, &["--out", "is a folder"]);
    assert_eq!(fs::read_dir(&*folder).unwrap().count(), 0, "nothing is left behind");
}

#[test]
fn the_data_is_not_replaced() {
    let folder = Folder::new();
    let text = "a,b\n1,x\n2,y\n3,x\n4,y\n5,y\n";
    folder.write("data.csv", text);
    folder
        .run("train data.csv --out ./data.csv")
        .fails(2, &["--out", "replace the data in data.csv"]);
    assert_eq!(fs::read_to_string(folder.join("data.csv")).unwrap(), text);
    assert_eq!(fs::read_dir(&*folder).unwrap().count(), 1);
}

#[test]
#[cfg(target_os = "linux")]
fn standard_output_that_is_full_is_told_and_the_model_is_kept() {
    let folder = Folder::new();
    let full = fs::File::create("/dev/full").unwrap();
    let output = folder.command(&format!("{SHORT} --out m")).stdout(full).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let message = String::from_utf8(output.stderr).unwrap();
    assert!(message.contains("cannot write standard output"), "{message}");
    assert!(folder.join("m").exists());
}

#[test]
fn a_model_replaces_a_model_alone_and_leaves_nothing_else() {
    let folder = Folder::new();
    folder.run("train digits --hidden none --epochs 1 --seed 7 --out m").ok();
    let old = fs::read(folder.join("m")).unwrap();
    let run = folder.run(&format!("{SHORT} --out m")).ok();
    assert!(run.err.contains("the model replaces m"), "{}", run.err);
    assert!(fs::read(folder.join("m")).unwrap() != old);
    assert_eq!(fs::read_dir(&*folder).unwrap().count(), 1);
    folder.write("letter", "my only copy");
    folder
        .run(&format!("{SHORT} --out letter"))
        .fails(2, &["--out", "letter", "not a model of travertine", "not replaced"]);
    assert_eq!(fs::read(folder.join("letter")).unwrap(), b"my only copy");
}

/// Needs a file system of a few pages, which only the superuser may mount; says so where it cannot be tested.
#[test]
#[cfg(target_os = "linux")]
fn a_full_disk_is_told_before_training_and_costs_nothing() {
    use std::process::Command;

    let folder = Folder::new();
    let small = folder.join("small");
    fs::create_dir(&small).unwrap();
    let mounted =
        Command::new("mount").args(["-t", "tmpfs", "-o", "size=16k", "tmpfs"]).arg(&small).output();
    if !mounted.is_ok_and(|output| output.status.success()) {
        eprintln!("NOT TESTED: a full disk, as this user cannot mount a small file system");
        return;
    }
    fs::write(small.join("m"), "old").unwrap();
    let run = folder.run("train digits --epochs 1 --out small/m");
    let (kept, files) = (fs::read(small.join("m")).unwrap(), fs::read_dir(&small).unwrap().count());
    let unmounted = Command::new("umount").arg(&small).status().unwrap();
    assert!(unmounted.success());
    run.fails(1, &["cannot save the model as small/m", "No space left"]);
    assert_eq!((&kept[..], files), (&b"old"[..], 1));
}

/// The system refuses to write more than a limit that the model fits in and the report does not.
#[test]
#[cfg(unix)]
fn a_report_without_room_tells_that_the_model_is_saved() {
    use std::process::Command;

    use crate::run::Run;

    let folder = Folder::new();
    let line = format!(
        "trap '' XFSZ; ulimit -f 16; {} {SHORT} --out m --report r",
        env!("CARGO_BIN_EXE_travertine")
    );
    let run = Run::new(
        &line,
        Command::new("sh").args(["-c", &line]).current_dir(&*folder).output().unwrap(),
    );
    assert_eq!(run.status, Some(1), "{}", run.err);
    assert!(
        run.err.contains("the model is saved as m")
            && run.err.contains("cannot write r/report.html"),
        "{}",
        run.err
    );
    assert!(folder.join("m").exists());
    assert_eq!(fs::read_dir(folder.join("r")).unwrap().count(), 0, "no part of a page");
}

/// A table, and a model of it.
#[cfg(unix)]
fn with_model() -> Folder {
    let folder = Folder::new();
    let rows: String = (0..60).map(|i| format!("{i},{}\n", 2 * i)).collect();
    folder.write("data.csv", format!("a,y\n{rows}"));
    folder.run("train data.csv --task values --hidden none --epochs 2 --out m").ok();
    folder
}

#[test]
#[cfg(unix)]
fn pipes_are_written_into_and_links_are_followed() {
    use std::os::unix::fs::{FileTypeExt, symlink};
    use std::process::Command;

    let folder = with_model();
    assert!(Command::new("mkfifo").arg(folder.join("pipe.csv")).status().unwrap().success());
    let reader = {
        let pipe = folder.join("pipe.csv");
        std::thread::spawn(move || fs::read_to_string(pipe).unwrap())
    };
    folder.run("predict m data.csv --out pipe.csv").ok();
    assert_eq!(reader.join().unwrap().lines().count(), 61);
    assert!(fs::metadata(folder.join("pipe.csv")).unwrap().file_type().is_fifo());
    // A pipe is no model, and has no reader now.
    folder
        .run("train data.csv --task values --epochs 1 --out pipe.csv")
        .fails(2, &["--out", "not replaced"]);

    folder.write("real.csv", "old");
    symlink("real.csv", folder.join("link.csv")).unwrap();
    symlink("new.csv", folder.join("dangling.csv")).unwrap();
    for (link, file) in [("link.csv", "real.csv"), ("dangling.csv", "new.csv")] {
        folder.run(&format!("predict m data.csv --out {link}")).ok();
        assert!(fs::symlink_metadata(folder.join(link)).unwrap().is_symlink(), "{link}");
        assert_eq!(fs::read_to_string(folder.join(file)).unwrap().lines().count(), 61, "{file}");
    }
    symlink("m", folder.join("current")).unwrap();
    let before = fs::read(folder.join("m")).unwrap();
    folder.run("train data.csv --task values --hidden none --epochs 3 --out current").ok();
    assert!(fs::symlink_metadata(folder.join("current")).unwrap().is_symlink());
    assert!(fs::read(folder.join("m")).unwrap() != before);
}

#[test]
fn histories_and_reports_replace_their_own_kind_alone() {
    let folder = Folder::new();
    for (option, path) in [
        ("--history results.csv", "results.csv"),
        ("--history results.jsonl", "results.jsonl"),
        ("--report .", "report.html"),
    ] {
        folder.write(path, "my,data\n1,2\n");
        folder
            .run(&format!("{SHORT} --out m {option}"))
            .fails(2, &["not replaced", path, &option[..8]]);
        assert_eq!(fs::read_to_string(folder.join(path)).unwrap(), "my,data\n1,2\n");
        assert!(!folder.join("m").exists());
        fs::remove_file(folder.join(path)).unwrap();
        folder.run(&format!("{SHORT} --out m2 {option}")).ok();
        let run = folder.run(&format!("{SHORT} --out m2 {option}")).ok();
        assert!(
            run.err.contains(&format!("replaces {path}"))
                || run.err.contains(&format!("replaces ./{path}")),
            "{}",
            run.err
        );
    }
}

#[test]
#[cfg(unix)]
fn what_standard_input_is_read_from_is_not_replaced() {
    let folder = with_model();
    let before = fs::read(folder.join("data.csv")).unwrap();
    let input = fs::File::open(folder.join("data.csv")).unwrap();
    let output = folder.command("predict m - --out data.csv").stdin(input).output().unwrap();
    let message = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{message}");
    assert!(message.contains("--out") && message.contains("standard input"), "{message}");
    assert_eq!(fs::read(folder.join("data.csv")).unwrap(), before);
}
