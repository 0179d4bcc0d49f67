//! Parquet and Arrow files. `people.parquet` (snappy, dictionaries) and `people-plain.parquet` (gzip, pages of version 2, two row groups)
//! have the columns age, color, zip, weight, tall, sold; `strange.parquet` has a list, a date, an infinite number and a text; pyarrow 26 has
//! written them. `columnar.py` has written `types.*` and `small-*`, and writes more files where pyarrow, pandas and polars are installed.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use travertine::Result;
use travertine::data::{
    Encoder, Frame, Label, Role, Stream, StreamOptions, Table, TableOptions, Targets, Values,
    read_frame,
};
use travertine::random::{Philox, Purpose};

use super::{Folder, assert_message};

fn file(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/library/data/files").join(name)
}

fn options(drop: &[&str], categorical: &[&str]) -> TableOptions {
    let strings = |names: &[&str]| names.iter().map(|name| name.to_string()).collect();
    TableOptions {
        drop: strings(drop),
        categorical: strings(categorical),
        ..TableOptions::default()
    }
}

fn values<'f>(frame: &'f Frame, name: &str) -> &'f Values {
    let column = frame.columns().iter().find(|column| column.name == name);
    &column.unwrap_or_else(|| panic!("no column {name}")).values
}

/// The numbers of a column, or its seconds since 1970.
fn numbers(frame: &Frame, name: &str) -> Vec<Option<f64>> {
    let (Values::Numbers(numbers) | Values::Dates(numbers)) = values(frame, name) else {
        panic!("{name} has texts")
    };
    numbers.iter().map(|x| (!x.is_nan()).then_some(*x)).collect()
}

fn texts<'f>(frame: &'f Frame, name: &str) -> Vec<Option<&'f str>> {
    let Values::Texts { codes, names } = values(frame, name) else { panic!("{name} has numbers") };
    codes.iter().map(|&code| names.get(code as usize).map(String::as_str)).collect()
}

/// Runs `columnar.py`; `None` with a printed line where Python lacks what it needs.
fn written_by_python() -> Option<Folder> {
    let python = std::env::var("TRAVERTINE_PYTHON").unwrap_or("python3".to_owned());
    let needs = "import numpy, pandas, polars, pyarrow.parquet, pyarrow.feather";
    let has_needs = Command::new(&python).args(["-c", needs]).output();
    if !has_needs.is_ok_and(|output| output.status.success()) {
        let must = std::env::var("TRAVERTINE_ENSURE_PYARROW").is_ok();
        assert!(!must, "{python} has no pandas, polars and pyarrow");
        eprintln!("LEFT OUT: {python} has no pandas, polars and pyarrow");
        return None;
    }
    let folder = Folder::new();
    let output =
        Command::new(&python).arg(file("columnar.py")).arg(&folder.0).output().expect("it ran");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Some(folder)
}

fn files_in(folder: &Path) -> BTreeMap<String, PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.map(|path| (path.file_name().unwrap().to_string_lossy().into_owned(), path)).collect()
}

#[test]
fn what_pyarrow_writes() {
    for name in ["people.parquet", "people-plain.parquet"] {
        let table = Table::open(file(name), &options(&[], &["zip"])).unwrap();
        let frame = table.read().unwrap();
        let names: Vec<&str> = frame.columns().iter().map(|column| &*column.name).collect();
        assert_eq!(names, ["age", "color", "zip", "weight", "tall"]);
        let ages = [Some(31.0), None, Some(45.0), Some(22.0), None, Some(38.0)];
        assert_eq!(numbers(&frame, "age"), ages);
        let weights = [Some(70.5), None, Some(81.25), Some(66.0), Some(90.125), Some(59.5)];
        assert_eq!(numbers(&frame, "weight"), weights);
        let tall = [Some(1.0), Some(0.0), None, Some(1.0), Some(1.0), Some(0.0)];
        assert_eq!(numbers(&frame, "tall"), tall);
        let zips = ["8001", "10115", "8001", "20095", "10115"].map(Some);
        assert_eq!(texts(&frame, "zip")[..5], zips);
        let Targets::Classes { labels, names } = frame.targets() else { panic!("classes") };
        let sold: Vec<&str> = labels.iter().map(|&label| &*names[label as usize]).collect();
        assert_eq!(sold, ["yes", "no", "yes", "no", "yes", "no"]);

        // A model reads columns by their names, with or without the label.
        let encoder = Encoder::fit(&frame).unwrap();
        let no_label = TableOptions { label: Label::None, ..TableOptions::default() };
        let plain = file("people-plain.parquet");
        let again = Table::open_as(plain, table.schema(), None, &no_label).unwrap().read().unwrap();
        let encode = |frame| encoder.encode::<f64>(frame, None).unwrap().data;
        assert_eq!(encode(&again).features(), encode(&frame).features());
        assert_eq!(encode(&again).outputs(), 0);
    }
}

/// What `columnar.py` writes into its table of all types.
fn check_types(path: &Path, without: &[&str]) {
    let name = path.display();
    let with_label = TableOptions { label: Label::from("label"), ..TableOptions::default() };
    let table = Table::open(path, &with_label).unwrap_or_else(|error| panic!("{error}"));
    let frame = table.read().unwrap();
    let each = |value: &dyn Fn(usize) -> f64| -> Vec<Option<f64>> {
        (0..12).map(|row| (row % 4 != 3).then(|| value(row))).collect()
    };
    for integers in ["int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"] {
        let squares = each(&|row| (row * row) as f64);
        assert_eq!(numbers(&frame, integers), squares, "{name}: {integers}");
    }
    for halves in ["float16", "float32", "float64", "decimal"] {
        assert_eq!(numbers(&frame, halves), each(&|row| row as f64 / 2.0), "{name}: {halves}");
    }
    assert_eq!(numbers(&frame, "bool"), each(&|row| f64::from(u8::from(row % 3 == 0))));
    for column in ["string", "large_string", "string_view", "dictionary", "binary"] {
        let letters: Vec<Option<&str>> =
            (0..12).map(|row| (row % 4 != 3).then(|| ["a", "b", "c"][row % 3])).collect();
        assert_eq!(texts(&frame, column), letters, "{name}: {column}");
    }
    // `date -u -d 2026-01-01 +%s`
    let midnight = |row: usize| 1_767_225_600.0 + 86_400.0 * row as f64;
    for column in ["date32", "date64", "time_s"] {
        assert_eq!(numbers(&frame, column), each(&midnight), "{name}: {column}");
    }
    for column in ["time_ms", "time_us", "time_ns", "time_zone"] {
        let moments = each(&|row| midnight(row) + 0.5 * (row % 2) as f64);
        assert_eq!(numbers(&frame, column), moments, "{name}: {column}");
        assert!(matches!(values(&frame, column), Values::Dates(_)), "{name}: {column}");
    }
    let left_out = [
        ("list", "lists"),
        ("struct", "structs"),
        ("clock", "times of day"),
        ("map", "maps"),
        ("bytes", "bytes that are no text"),
    ];
    for (column, values) in left_out.iter().filter(|(column, _)| !without.contains(column)) {
        let column = &table.schema().columns[table.schema().find(column).unwrap()];
        assert_eq!(column.role, Role::LeftOut, "{name}: {}", column.name);
        assert_eq!(column.note, format!("{values} cannot be learned from"));
    }
}

#[test]
fn columns_of_all_types() {
    for name in ["types-zstd.parquet", "types-lz4.feather", "types-stream.arrow"] {
        check_types(&file(name), &[]);
    }
}

#[test]
fn columns_of_all_types_as_other_programs_write_them() {
    let Some(folder) = written_by_python() else { return };
    let (mut read, mut refused) = (0, 0);
    for (name, path) in files_in(&folder.0).iter().filter(|(name, _)| name.starts_with("types")) {
        let cannot = [
            ("brotli", "compression brotli; write it with snappy, gzip, zstd, lz4_raw or none"),
            ("prefixes", "encoding DELTA_BYTE_ARRAY; write plain values or dictionaries"),
            ("zstd.feather", "compression zstd; write it with lz4 or none"),
            ("zstd.arrow", "compression zstd; write it with lz4 or none"),
        ];
        match cannot.iter().find(|(part, _)| name.contains(part)) {
            Some((_, message)) => {
                assert_message(read_frame(path, &TableOptions::default()), &[name, message]);
                refused += 1;
            }
            None if name.contains("pandas") => {
                check_types(path, &["list", "struct", "clock", "map", "bytes"]);
                read += 1;
            }
            None => {
                check_types(path, if name.contains("polars") { &["map"] } else { &[] });
                read += 1;
            }
        }
    }
    assert_eq!((read, refused), (25, 6));
    let wide = Table::open(folder.0.join("wide.parquet"), &TableOptions::default()).unwrap();
    let note = "byte arrays of 1048576 bytes cannot be learned from";
    assert_eq!(wide.schema().columns[1].note, note);
}

/// Blocks are parts of row groups, and pages end anywhere in them.
#[test]
fn many_rows_in_blocks() {
    let Some(folder) = written_by_python() else { return };
    for name in ["long.parquet", "long-2.parquet", "long-polars.parquet", "long.feather"] {
        let path = folder.0.join(name);
        let keep = TableOptions { keep: vec!["row".to_owned()], ..TableOptions::default() };
        let frame = read_frame(&path, &keep).unwrap();
        assert_eq!(frame.samples(), 500_000, "{name}");
        let (rows, halves) = (numbers(&frame, "row"), numbers(&frame, "half"));
        let labels = texts(&frame, "text");
        for row in 0..500_000 {
            assert_eq!(rows[row], Some(row as f64), "{name}");
            assert_eq!(halves[row], (row % 7 != 0).then_some(row as f64 / 2.0), "{name}");
            assert_eq!(labels[row], Some(&*format!("t{}", row % 1000)), "{name}");
        }
        let options = StreamOptions { buffer: 1 << 20, ..StreamOptions::default() };
        let stream = Stream::<f32>::open(&path, &options).unwrap();
        assert_eq!(stream.samples(), 500_000, "{name}");
    }
}

#[test]
fn what_cannot_be_learned_from_is_refused() {
    let read = |drop: &[&str]| read_frame(file("strange.parquet"), &options(drop, &[]));
    assert_message(read(&[]), &["row 4, column 3 (x)", "a finite number", "inf"]);
    assert_message(read(&["list", "date"]), &["a column \"date\"", "\"day\""]);
    let with = |label: &str| TableOptions { label: Label::from(label), ..TableOptions::default() };
    assert_message(
        read_frame(file("strange.parquet"), &with("list")),
        &["column 1 (list)", "TableOptions::label names another column", "lists"],
    );
    assert_message(
        read_frame(file("strange.parquet"), &options(&["x"], &["list"])),
        &["column 1 (list)", "TableOptions::drop leaves the column out", "lists"],
    );
    // A schema that learns from a column of the same name.
    let folder = Folder::new();
    let rows = "list,day,x,y\n1,2,3,a\n2,1,5,b\n3,7,2,a\n5,3,1,b\n";
    let table = Table::open(folder.write("x.csv", rows), &TableOptions::default()).unwrap();
    let strange = file("strange.parquet");
    let followed = Table::open_as(strange, table.schema(), None, &TableOptions::default());
    assert_message(
        followed.and_then(|table| table.read()),
        &["column 1 (list)", "TableOptions::drop leaves the column out", "lists"],
    );
    assert_message(read_frame(file("nothing.parquet"), &options(&[], &[])), &["nothing.parquet"]);
    let header = TableOptions { header: Some(true), ..TableOptions::default() };
    assert_message(read_frame(file("people.parquet"), &header), &["TableOptions::header"]);
    let labels = TableOptions { labels: Some("y.npy".into()), ..TableOptions::default() };
    assert_message(read_frame(file("people.parquet"), &labels), &["TableOptions::labels"]);
}

/// Rows without a label are left out.
#[test]
fn labels_with_gaps() {
    let age = TableOptions { label: Label::from("age"), ..TableOptions::default() };
    let frame = read_frame(file("people.parquet"), &age).unwrap();
    assert_eq!((frame.samples(), frame.unlabeled()), (4, 2));
}

const DAMAGED: [&str; 11] = [
    "people.parquet",
    "people-plain.parquet",
    "strange.parquet",
    "small-snappy.parquet",
    "small-gzip.parquet",
    "small-zstd.parquet",
    "small-lz4.parquet",
    "small-delta.parquet",
    "small-lz4.feather",
    "small-none.feather",
    "small-stream.arrow",
];

#[test]
fn files_of_another_kind() {
    let folder = Folder::new();
    let read = |name: &str, bytes: &[u8]| -> Result<Frame> {
        read_frame(folder.write(name, bytes), &TableOptions::default())
    };
    assert_message(read("x.parquet", b""), &["byte 0", "a Parquet file"]);
    assert_message(read("x.PARQUET", b"PAR1PAR1PAR2"), &["byte 8", "ends in PAR1"]);
    let long = b"PAR1\xff\xff\xff\x7fPAR1";
    assert_message(read("x.parquet", long), &["byte 4", "metadata inside the file"]);
    assert_message(read("x.arrow", b""), &["a sound Arrow file"]);
    assert_message(read("x.feather", b"FEA1....FEA1"), &["the first version of Feather"]);
    let long = b"ARROW1\0\0\xff\xff\xff\x7fARROW1";
    assert_message(read("x.Arrow", long), &["a sound Arrow file", "a footer of 2147483647 bytes"]);
    // A list of 2^60 elements in the metadata.
    let list = b"PAR1\x29\xfc\xff\xff\xff\xff\xff\xff\xff\xff\x0f\0\x0c\0\0\0PAR1";
    assert_message(read("x.parquet", list), &["sound Parquet metadata"]);
}

/// A file that was cut off, or has other bytes, is read or refused, and needs little memory.
#[test]
fn damaged_files() {
    const WITHIN: &str = "TRAVERTINE_LITTLE_MEMORY";
    if cfg!(target_os = "linux") && std::env::var_os(WITHIN).is_none() {
        // This test again, in a process that may have 1 GB.
        let script = "ulimit -v 1000000 && exec \"$0\" data::parquet::damaged_files --exact";
        let test = std::env::current_exe().unwrap();
        let mut command = Command::new("sh");
        let output = command.args(["-c", script]).arg(test).env(WITHIN, "1").output().unwrap();
        let [text, errors] = [output.stdout, output.stderr].map(|bytes| {
            let text = String::from_utf8_lossy(&bytes).into_owned();
            let lines: Vec<&str> = text.lines().collect();
            lines[lines.len().saturating_sub(20)..].join("\n")
        });
        assert!(output.status.success() && text.contains("1 passed"), "{text}\n{errors}");
        return;
    }
    let rounds = std::env::var("TRAVERTINE_ROUNDS").map_or(1, |rounds| rounds.parse().unwrap());
    DAMAGED.iter().for_each(|name| damage(name, rounds));
}

fn damage(name: &str, rounds: usize) {
    let folder = Folder::new();
    let end = Path::new(name).extension().unwrap().to_str().unwrap();
    let read = |bytes: &[u8]| -> Result<Frame> {
        read_frame(folder.write(&format!("x.{end}"), bytes), &TableOptions::default())
    };
    let whole = fs::read(file(name)).unwrap();
    if name != "strange.parquet" {
        read(&whole).unwrap_or_else(|error| panic!("{error}"));
    }
    let cut = (0..whole.len()).step_by(7).filter(|&length| read(&whole[..length]).is_err());
    // A stream may end behind its last message.
    let may_be_whole = if name.contains("stream") { 3 } else { 0 };
    assert!(cut.count() + may_be_whole >= whole.len().div_ceil(7), "{name}");
    let mut refused = 0;
    for at in 0..whole.len() {
        let mut damaged = whole.clone();
        damaged[at] ^= [0x01, 0x80, 0xff][at % 3];
        refused += usize::from(read(&damaged).is_err());
    }
    assert!(refused > 100, "{name}: {refused}");
    for round in 0..500 * rounds {
        let random = Philox::new(7, Purpose::Shuffle, round as u32);
        let mut damaged = whole.clone();
        for index in 0..random.below(0, 8) + 1 {
            let [at, byte, ..] = random.words(index + 1);
            damaged[at as usize % whole.len()] = byte as u8;
        }
        let _ = read(&damaged);
    }
}
