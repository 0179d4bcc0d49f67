//! What a user's crate compiles: its own code and the generic layers of the library, but no kernel.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Functions that the example may have in its own crate. A release build had 1,900 when this was written; it had 11,700 while the
/// table of engines was a `const`, with the kernels of the CPU engine among them.
const MAX_FUNCTIONS: usize = 4000;

/// The library as `cargo test` has just compiled it: the newest of its builds beside this test.
fn library() -> PathBuf {
    let tests = std::env::current_exe().unwrap();
    let name_fits = |path: &Path| {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        name.starts_with("libtravertine-") && name.ends_with(".rlib")
    };
    std::fs::read_dir(tests.parent().unwrap())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| name_fits(path))
        .max_by_key(|path| path.metadata().unwrap().modified().unwrap())
        .expect("cargo has compiled the library for this test")
}

/// The code that rustc generates in the crate of `examples/digits.rs` in a release build, before LLVM optimizes it. Release
/// builds count, since only they compile generic functions of other crates once more.
fn code_of_example() -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let library = library();
    let code = Path::new(env!("CARGO_TARGET_TMPDIR")).join("downstream.ll");
    let output = Command::new(std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()))
        .args(["--edition=2024", "--crate-type=bin", "-Copt-level=3", "-Ccodegen-units=1"])
        .args(["-Cno-prepopulate-passes", "--crate-name=downstream"])
        .arg(format!("--emit=llvm-ir={}", code.display()))
        .arg("--extern")
        .arg(format!("travertine={}", library.display()))
        .arg("-L")
        .arg(format!("dependency={}", library.parent().unwrap().display()))
        .arg(root.join("examples/digits.rs"))
        .output()
        .expect("rustc runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    std::fs::read_to_string(code).unwrap()
}

#[test]
fn a_users_crate_compiles_no_kernel() {
    let code = code_of_example();
    let functions: Vec<&str> = code.lines().filter(|line| line.starts_with("define ")).collect();
    let named = |part: &str| functions.iter().filter(|line| line.contains(part)).count();
    // Names of modules as symbols have them. The generic functions that open an engine and train are there.
    assert!(named("10travertine") > 100 && named("open_with") > 0, "{} functions", functions.len());
    for room in ["6engine3cpu", "6engine4simd", "6engine3gpu", "6engine4cuda", "6engine6opencl"] {
        assert_eq!(named(room), 0, "functions of {room}");
    }
    assert!(functions.len() < MAX_FUNCTIONS, "{} functions", functions.len());
    println!("{} functions", functions.len());
}
