//! The laws of the house, read off the sources.

use std::fs;
use std::path::{Path, PathBuf};

/// Floors from the ground up; a room names rooms on its own floor and below.
const FLOORS: [&[&str]; 13] = [
    &["error", "scalar", "random"],
    &["engine"],
    &["matrix"],
    &["ops"],
    &["activation", "loss", "init"],
    &["layer"],
    &["optimizer"],
    &["data", "metrics"],
    &["samples"],
    &["network"],
    &["trainer"],
    &["model_file"],
    &["model"],
];

/// A source file: its room and its text without comments and tests.
struct Source {
    path: PathBuf,
    room: String,
    whole: String,
    code: String,
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut folders = vec![root.clone()];
    let mut sources = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let inside = path.strip_prefix(&root).unwrap();
                let room = inside
                    .iter()
                    .next()
                    .unwrap()
                    .to_str()
                    .unwrap()
                    .trim_end_matches(".rs")
                    .to_owned();
                let whole = fs::read_to_string(&path).unwrap();
                sources.push(Source { code: code(&whole), path: inside.to_owned(), room, whole });
            }
        }
    }
    assert!(sources.len() > 20, "the sources must have been found");
    sources
}

fn code(text: &str) -> String {
    let text = text.split("#[cfg(test)]").next().unwrap();
    text.lines().map(|line| line.split("//").next().unwrap()).collect::<Vec<_>>().join("\n")
}

fn is_test(source: &Source) -> bool {
    source
        .path
        .components()
        .any(|part| part.as_os_str().to_str().is_some_and(|part| part.starts_with("tests")))
}

fn floor(room: &str) -> Option<usize> {
    FLOORS.iter().position(|rooms| rooms.contains(&room))
}

/// The rooms that a text names: `crate::matrix::...`, also within braces.
fn named(code: &str) -> Vec<String> {
    let word = |text: &str| {
        text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>()
    };
    let mut rooms: Vec<String> = code.split("crate::").skip(1).map(word).collect();
    for group in code.split("crate::{").skip(1) {
        rooms.extend(
            group.split(';').next().unwrap().split([',', '{', '}']).map(|part| word(part.trim())),
        );
    }
    rooms
}

#[test]
fn arrows_point_down() {
    // Tests may use the whole house, in files of their own as at the end of others.
    for source in sources().iter().filter(|source| source.room != "lib" && !is_test(source)) {
        let here = floor(&source.room).unwrap_or_else(|| panic!("{} has no floor", source.room));
        for room in named(&source.code) {
            let Some(there) = floor(&room) else { continue };
            // The views of `matrix` copy with `ops`, the one arrow up: a copy is an operation like any other.
            let exception = source.room == "matrix" && room == "ops";
            assert!(there <= here || exception, "{} names {room}", source.path.display());
        }
    }
}

#[test]
fn files_and_formats_know_no_engine() {
    for source in
        sources().iter().filter(|source| ["data", "model_file"].contains(&source.room.as_str()))
    {
        for engine in ["engine::cpu", "engine::opencl", "engine::cuda", "engine::open"] {
            assert!(!source.code.contains(engine), "{} names {engine}", source.path.display());
        }
    }
}

#[test]
fn drivers_features_and_globals_keep_to_their_rooms() {
    for source in &sources() {
        let (code, path) = (&source.code, source.path.display());
        let in_engine = source.room == "engine";
        for driver in ["cudarc", "opencl3", "cl3::"] {
            assert!(in_engine || !code.contains(driver), "{path} names {driver}");
        }
        // `matrix` has the conversions to ndarray behind a feature, `data` Parquet, `lib` the README's examples.
        let features = in_engine || ["matrix", "data"].contains(&&*source.room);
        assert!(features || !code.contains("cfg(feature"), "{path} has a cfg(feature)");
        for global in
            ["static mut", "LazyLock", "OnceLock", "OnceCell", "lazy_static", "thread_local"]
        {
            assert!(!code.contains(global), "{path} has a {global}");
        }
        let reads = code.contains("env::var");
        assert!(
            !reads || (in_engine && code.contains("fn open")) || is_test(source),
            "{path} reads the environment"
        );
    }
}

#[test]
fn layers_know_no_optimizer() {
    for source in sources().iter().filter(|source| source.room == "layer") {
        assert!(!source.code.contains("optimizer"), "{}", source.path.display());
    }
}

#[test]
fn unsafe_keeps_to_its_rooms() {
    for source in &sources() {
        if !["engine", "matrix", "ops"].contains(&source.room.as_str()) {
            assert!(!source.code.contains("unsafe"), "{} has unsafe code", source.path.display());
        }
    }
}

#[test]
fn files_are_rooms_not_halls() {
    for source in sources().iter().filter(|source| !is_test(source)) {
        let lines = source.whole.lines().count();
        assert!(lines <= 500, "{} has {lines} lines", source.path.display());
    }
}
