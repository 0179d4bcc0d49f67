//! Models of tables as source code, by the command line.

use std::process::Command;

use crate::run::Folder;
use crate::{noise, rows};

fn trained(options: &str) -> Folder {
    let folder = Folder::new();
    let table = rows("size,town,price", 300, |i| {
        let town = ["Rome", "Bern", ""][i % 3];
        format!("{:.3},{town},{:.2}", noise(i, 1), 100.0 * noise(i, 1) + (i % 3) as f64)
    });
    folder.write("t.csv", table);
    folder.run(&format!("train t.csv --epochs 5 {options}")).ok();
    folder
}

/// Whether a command in the folder succeeds; nothing where its program is missing.
fn succeeds(folder: &Folder, program: &str, arguments: &[&str]) -> Option<bool> {
    let output =
        Command::new(program).args(arguments).current_dir(folder.join(".")).output().ok()?;
    if !output.status.success() {
        eprintln!("{}", String::from_utf8_lossy(&output.stderr));
    }
    Some(output.status.success())
}

#[test]
fn the_self_tests_of_exported_models_pass() {
    for options in ["", "--precision f64 --quality best", "--quantiles 0.1,0.9 --preset plain"] {
        let folder = trained(options);
        folder.run("export t.safetensors --to price.c").ok();
        folder.run("export t.safetensors --to price.rs").ok();
        let strict = ["-std=c99", "-pedantic", "-Wall", "-Wextra", "-Werror", "-O2"];
        let command = [&strict[..], &["-DPRICE_SELF_TEST", "price.c", "-lm", "-o", "c"]].concat();
        match succeeds(&folder, "cc", &command) {
            None => eprintln!("LEFT OUT: models as C, as there is no cc"),
            Some(compiled) => {
                assert!(compiled);
                let program = folder.join("c").display().to_string();
                assert_eq!(succeeds(&folder, &program, &[]), Some(true), "{options}");
            }
        }
        let rustc = std::env::var("RUSTC").unwrap_or("rustc".to_owned());
        let command = ["--edition", "2021", "-D", "warnings", "--test", "price.rs", "-o", "rust"];
        assert_eq!(succeeds(&folder, &rustc, &command), Some(true));
        let program = folder.join("rust").display().to_string();
        assert_eq!(succeeds(&folder, &program, &[]), Some(true), "{options}");
    }
}

#[test]
fn names_come_from_the_file_or_from_an_option() {
    let folder = trained("");
    let said = folder.run("export t.safetensors --to 2nd-Model.c").ok().err;
    assert!(said.contains("names in 2nd-Model.c begin with model_2nd_model_; --name"), "{said}");
    let text = std::fs::read_to_string(folder.join("2nd-Model.c")).unwrap();
    assert!(text.contains("void model_2nd_model_predict(const struct model_2nd_model_row *row"));
    folder.run("export t.safetensors --to m.c --name house").ok();
    let text = std::fs::read_to_string(folder.join("m.c")).unwrap();
    assert!(text.contains("enum house_town house_town_of(const char *text);"), "{text}");
}

#[test]
fn what_does_not_fit_is_refused() {
    let folder = trained("");
    folder.run("export t.safetensors --to m.txt").fails(2, &["--to", ".onnx, .c or .rs"]);
    folder.run("export t.safetensors --to m.c --opset 17").fails(2, &["--opset", ".onnx"]);
    folder.run("export t.safetensors --to m.rs --numbers-only").fails(2, &["--numbers-only"]);
    folder.run("export t.safetensors --to m.onnx --name a").fails(2, &["--name", ".c and .rs"]);
    folder.run("export t.safetensors --to m.c --name struct").fails(2, &["'struct'", "--name"]);
    folder.run("export t.csv --to m.c").fails(2, &["t.csv"]);
    assert!(!folder.join("m.c").exists());
    folder.run("export t.safetensors --to nowhere/m.c").fails(2, &["--to", "the folder nowhere"]);
}
