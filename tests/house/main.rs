//! The laws of the house, read off the sources.

mod imports;

use std::fs;
use std::path::Path;
use std::sync::LazyLock;

use imports::{Crate, Source};

/// The library's floors from the ground up; a room uses rooms on its own floor and below.
const FLOORS: &[&[&str]] = &[
    &["error", "scalar", "random", "notation"],
    &["processes"],
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

/// The floors inside `engine`.
const ENGINE_FLOORS: &[&[&str]] = &[
    &["simd", "memory"],
    &["formula"],
    &["settings", "device"],
    &["normalize", "embedding", "lookup", "blend", "call"],
    &["network"],
    &["interface"],
    &["cache", "counting"],
    &["cpu", "gpu"],
    &["absent", "opencl", "cuda"],
    &["open"],
    &["mod"],
];

/// The floors of the command line.
const CLI_FLOORS: &[&[&str]] = &[
    &["message"],
    &["args"],
    &["input"],
    &["output"],
    &["train"],
    &["commands"],
    &["cli"],
    &["in_memory"],
];

/// The floors of the server.
const SERVER_FLOORS: &[&[&str]] = &[
    &["fault", "options", "metrics", "about", "patience", "signals"],
    &["rows", "compute"],
    &["version"],
    &["served"],
    &["app"],
    &["reload", "predict", "pages", "openapi"],
    &["v2"],
    &["routes"],
    &["server"],
];

/// All tests share one reading of each crate.
static LIBRARY: LazyLock<Crate> = LazyLock::new(|| read("src", 100));
static PROGRAM: LazyLock<Crate> = LazyLock::new(|| read("cli/src", 20));
static SERVER: LazyLock<Crate> = LazyLock::new(|| read("serve/src", 10));

fn read(sources: &str, at_least: usize) -> Crate {
    let house = Crate::read(&Path::new(env!("CARGO_MANIFEST_DIR")).join(sources));
    assert!(house.sources.len() > at_least, "the sources must have been found");
    house
}

/// The arrows that point up, as "file uses file".
fn arrows_up(
    house: &Crate,
    floors: &[&[&str]],
    room: impl Fn(&Source) -> Option<String>,
) -> Vec<String> {
    let floor = |source: &Source| {
        let room = room(source)?;
        let floor = floors.iter().position(|rooms| rooms.contains(&&*room));
        Some(floor.unwrap_or_else(|| panic!("{} has no floor", source.path.display())))
    };
    let mut up = Vec::new();
    for (source, used) in house.sources.iter().zip(house.arrows()) {
        let Some(here) = floor(source) else { continue };
        for used in used.into_iter().map(|used| &house.sources[used]) {
            if floor(used).is_some_and(|there| there > here) {
                up.push(format!("{} uses {}", source.path.display(), used.path.display()));
            }
        }
    }
    up
}

#[test]
fn arrows_point_down() {
    let none: [String; 0] = [];
    let root = ["lib", "main"];
    let room =
        |source: &Source| Some(source.room().to_owned()).filter(|room| !root.contains(&&**room));
    assert_eq!(arrows_up(&LIBRARY, FLOORS, room), none);
    assert_eq!(arrows_up(&PROGRAM, CLI_FLOORS, room), none);
    assert_eq!(arrows_up(&SERVER, SERVER_FLOORS, room), none);
    let engine = |source: &Source| {
        let inside = source.path.strip_prefix("engine").ok()?;
        Some(inside.iter().next()?.to_str()?.trim_end_matches(".rs").to_owned())
    };
    assert_eq!(arrows_up(&LIBRARY, ENGINE_FLOORS, engine), none);
}

#[test]
fn no_files_use_each_other_in_a_circle() {
    let none: [Vec<&Path>; 0] = [];
    assert_eq!(LIBRARY.circles(), none);
    assert_eq!(PROGRAM.circles(), none);
    assert_eq!(SERVER.circles(), none);
}

#[test]
fn files_and_formats_know_no_engine() {
    for source in
        LIBRARY.sources.iter().filter(|source| ["data", "model_file"].contains(&source.room()))
    {
        for engine in ["engine::cpu", "engine::opencl", "engine::cuda", "engine::open"] {
            assert!(!source.code().contains(engine), "{} names {engine}", source.path.display());
        }
    }
}

#[test]
fn drivers_features_and_globals_keep_to_their_rooms() {
    for source in &LIBRARY.sources {
        let (code, path) = (source.code(), source.path.display());
        let in_engine = source.room() == "engine";
        for driver in ["cudarc", "opencl3", "cl3::"] {
            assert!(in_engine || !code.contains(driver), "{path} names {driver}");
        }
        // `matrix` has the conversions to ndarray behind a feature, `data` Parquet, `model_file` ONNX, `processes` MPI.
        let features =
            in_engine || ["matrix", "data", "model_file", "processes"].contains(&source.room());
        assert!(features || !code.contains("cfg(feature"), "{path} has a cfg(feature)");
        for global in
            ["static mut", "LazyLock", "OnceLock", "OnceCell", "lazy_static", "thread_local"]
        {
            assert!(!code.contains(global), "{path} has a {global}");
        }
        let reads = code.contains("env::var");
        // `engine` finds the cache folder by it, `processes` the launcher and MPI.
        let may_read = (in_engine && code.contains("fn open")) || source.room() == "processes";
        assert!(!reads || may_read, "{path} reads the environment");
    }
}

#[test]
fn layers_know_no_optimizer() {
    for source in LIBRARY.sources.iter().filter(|source| source.room() == "layer") {
        assert!(!source.code().contains("optimizer"), "{}", source.path.display());
    }
}

#[test]
fn unsafe_keeps_to_its_rooms() {
    for source in &LIBRARY.sources {
        if !["engine", "matrix", "ops", "processes"].contains(&source.room()) {
            assert!(!has_unsafe(&source.code()), "{} has unsafe code", source.path.display());
        }
    }
}

/// Whether the keyword is there. In `forbid(unsafe_code)` and in a list of keywords, the word is no keyword.
fn has_unsafe(code: &str) -> bool {
    let is_keyword = |rest: &str| rest.starts_with(|c: char| c.is_whitespace() || "{(".contains(c));
    code.split("unsafe").skip(1).any(is_keyword)
}

#[test]
fn the_keyword_unsafe_is_found() {
    for code in ["unsafe { f() }", "unsafe{f()}", "pub unsafe fn f() {}", "#[unsafe(no_mangle)]"] {
        assert!(has_unsafe(code), "{code}");
    }
    for code in ["#![forbid(unsafe_code)]", "[\"union\", \"unsafe\"]"] {
        assert!(!has_unsafe(code), "{code}");
    }
}

#[test]
fn files_are_rooms_not_halls() {
    for house in [&*LIBRARY, &*PROGRAM, &*SERVER] {
        for source in &house.sources {
            let lines = source.text.lines().count();
            assert!(lines <= 500, "{} has {lines} lines", source.path.display());
        }
    }
}

/// The laws above rest on this reading of imports, so it is held by a crate that breaks them.
#[test]
fn imports_are_followed_through_re_exports() {
    let root = std::env::temp_dir().join(format!("travertine-house-{}", std::process::id()));
    let files = [
        ("lib.rs", "mod low;\nmod high;\npub use high::High;\npub mod room;\n"),
        ("low.rs", "use crate::{High, room::*};\npub struct Low;\n"),
        (
            "high.rs",
            "pub struct High(crate::low::Low);\n#[cfg(test)]\nmod tests { use crate::room::Inner; }\n",
        ),
        (
            "room/mod.rs",
            "mod inner;\npub use self::inner::Inner as Renamed;\npub struct Door;\nuse self::inner::Inner;\n",
        ),
        (
            "room/inner.rs",
            "use super::Door;\npub struct Inner;\nfn f() -> crate::room::Renamed { Inner }\n",
        ),
    ];
    fs::create_dir_all(root.join("room")).unwrap();
    files.iter().for_each(|(name, text)| fs::write(root.join(name), text).unwrap());
    let house = Crate::read(&root);
    fs::remove_dir_all(&root).unwrap();
    let number = |name: &str| {
        house.sources.iter().position(|source| source.path == Path::new(name)).unwrap()
    };
    let arrows = house.arrows();
    let used = |name: &str| -> Vec<&Path> {
        arrows[number(name)].iter().map(|&i| &*house.sources[i].path).collect()
    };
    assert_eq!(used("low.rs"), [Path::new("high.rs"), Path::new("room/mod.rs")]);
    assert_eq!(used("high.rs"), [Path::new("low.rs")]);
    assert_eq!(used("room/mod.rs"), [] as [&Path; 0]);
    assert_eq!(used("room/inner.rs"), [Path::new("room/mod.rs")]);
    assert_eq!(house.circles(), [[Path::new("high.rs"), Path::new("low.rs")]]);
    let room = |source: &Source| Some(source.room().to_owned()).filter(|room| room != "lib");
    let up = arrows_up(&house, &[&["room"], &["low"], &["high"]], room);
    assert_eq!(up, ["low.rs uses high.rs"]);
}
