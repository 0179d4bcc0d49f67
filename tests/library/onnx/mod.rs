//! ONNX files, in both directions, beside ONNX's checker and ONNX Runtime.

mod export;
mod import;
mod nodes;

use std::path::PathBuf;
use std::process::Command;

/// A Python with these modules, or `None` with a printed line.
fn python(modules: &str) -> Option<String> {
    let python = std::env::var("TRAVERTINE_PYTHON").unwrap_or("python3".to_owned());
    let usable = Command::new(&python).args(["-c", &format!("import {modules}")]).output();
    if usable.is_ok_and(|output| output.status.success()) {
        return Some(python);
    }
    let must = std::env::var("TRAVERTINE_ENSURE_ONNX").is_ok();
    assert!(!must, "{python} has no {modules}, and TRAVERTINE_ENSURE_ONNX is set");
    eprintln!("LEFT OUT: ONNX files beside other programs; {python} has no {modules}");
    None
}

/// Runs a script, which must succeed; returns what it prints.
fn run(python: &str, script: &str, arguments: &[&std::path::Path]) -> String {
    let script = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/library/onnx").join(script);
    let output = Command::new(python).arg(script).args(arguments).output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{error}");
    String::from_utf8(output.stdout).unwrap()
}
