//! What a terminal shows while a training goes on, by way of a pseudo-terminal (util-linux's `script`).

use std::process::Command;

use crate::run::Folder;

/// Whether `script` is there and the system gives it a terminal: a bare chroot has no /dev/pts.
fn has_terminals() -> bool {
    let nothing = Command::new("script")
        .args(["--quiet", "--return", "--command", "true", "/dev/null"])
        .output();
    nothing.is_ok_and(|output| output.status.success())
}

/// What appears in a terminal of so many rows and 80 columns, unless there are no terminals.
fn shown(folder: &Folder, rows: u32, arguments: &str) -> Option<String> {
    if !has_terminals() {
        assert!(
            std::env::var("TRAVERTINE_ENSURE_SCRIPT").is_err(),
            "TRAVERTINE_ENSURE_SCRIPT is set, but there is no script that opens a terminal"
        );
        eprintln!("LEFT OUT: the live curve in a terminal; there is no script(1) that opens one");
        return None;
    }
    let train =
        format!("stty rows {rows} cols 80; {} {arguments}", env!("CARGO_BIN_EXE_travertine"));
    let mut command = Command::new("script");
    command
        .args(["--quiet", "--return", "--command", &train, "/dev/null"])
        .env("TERM", "xterm-256color");
    let output = command.current_dir(&**folder).env("XDG_CACHE_HOME", &**folder).output().unwrap();
    let shown = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{shown}");
    Some(shown)
}

fn has_curve(text: &str) -> bool {
    text.chars().any(|c| ('\u{2801}'..='\u{28ff}').contains(&c))
        && text.contains("loss over epochs 1 to 300, o held-out")
}

#[test]
fn a_terminal_with_room_shows_bar_and_curve() {
    let folder = Folder::new();
    // Some epochs a look, many looks: neither a fast nor a slow machine shows nothing.
    let train = "train digits --hidden 100 --epochs 300 --threads 1";
    let Some(tall) = shown(&folder, 40, train) else { return };
    assert!(has_curve(&tall) && tall.contains(" left"), "{tall}");
    assert!(tall.contains("epoch 300/300: loss"), "the lines of the epochs are there as well");

    let short = shown(&folder, 12, train).unwrap();
    assert!(!has_curve(&short) && short.contains(" left"), "a bar alone: {short}");
    let plain = shown(&folder, 40, &format!("{train} --plain")).unwrap();
    assert!(!has_curve(&plain) && !plain.contains(" left") && !plain.contains('\u{1b}'), "{plain}");
    assert!(plain.contains("epoch 300/300: loss"));
}

#[test]
fn a_stream_shows_them_as_well() {
    let folder = Folder::new();
    let rows: String = (0..20_000).map(|i| format!("{},{}\n", i * 7919 % 10_007, i % 2)).collect();
    folder.write("x.csv", format!("a,kind\n{rows}"));
    let train = "train x.csv --stream 1 --hidden 4 --batch 500 --epochs 300 --threads 1";
    let Some(shown) = shown(&folder, 40, train) else { return };
    assert!(has_curve(&shown) && shown.contains(" left"), "{shown}");
}

#[test]
fn a_pipe_shows_neither() {
    let folder = Folder::new();
    let run = folder.run("train digits --hidden 100 --epochs 40").ok();
    for text in [&run.out, &run.err] {
        assert!(!text.contains('\u{1b}') && !text.contains(" left") && !has_curve(text), "{text}");
    }
}
