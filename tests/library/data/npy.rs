//! NumPy files, written by hand as the format's specification (NEP 1) says, and by NumPy where it is installed.

use std::path::Path;
use std::process::Command;

use travertine::data::{
    Dataset, Label, Schema, Table, TableOptions, Targets, Task, Values, read_dataset, read_frame,
};
use travertine::{ErrorKind, Result};

use super::{Folder, assert_message, classes, left_out, read_damaged, values};

/// A file of version 1, padded as NumPy pads it.
fn npy(descr: &str, fortran_order: bool, shape: &str, body: &[u8]) -> Vec<u8> {
    let order = if fortran_order { "True" } else { "False" };
    npy_of(
        1,
        &format!("{{'descr': '{descr}', 'fortran_order': {order}, 'shape': {shape}, }}"),
        body,
    )
}

fn npy_of(version: u8, dictionary: &str, body: &[u8]) -> Vec<u8> {
    let start = if version == 1 { 10 } else { 12 };
    let padding = 64 - (start + dictionary.len() + 1) % 64;
    let header = format!("{dictionary}{}\n", " ".repeat(padding));
    let length = (header.len() as u32).to_le_bytes();
    let length = if version == 1 { &length[..2] } else { &length[..] };
    [b"\x93NUMPY", &[version, 0][..], length, header.as_bytes(), body].concat()
}

fn read_with(bytes: impl AsRef<[u8]>, options: &TableOptions) -> Result<Dataset<f64>> {
    read_dataset(Folder::new().write("x.npy", bytes), options)
}

fn unlabeled() -> TableOptions {
    TableOptions { label: Label::None, ..TableOptions::default() }
}

/// 2 samples of 3 features: 0 1 2, 3 4 5.
fn counting() -> Vec<u8> {
    npy("|u1", false, "(2, 3)", &[0, 1, 2, 3, 4, 5])
}

#[test]
fn every_type_of_number() {
    let numbers: [(&str, Vec<u8>, [f64; 2]); 17] = [
        ("|b1", vec![0, 1], [0.0, 1.0]),
        ("|u1", vec![255, 1], [255.0, 1.0]),
        ("|i1", vec![255, 1], [-1.0, 1.0]),
        ("<u1", vec![255, 1], [255.0, 1.0]),
        ("<u2", vec![1, 2, 255, 255], [513.0, 65535.0]),
        (">u2", vec![1, 2, 255, 255], [258.0, 65535.0]),
        ("<i2", vec![254, 255, 1, 0], [-2.0, 1.0]),
        (">i2", vec![255, 254, 0, 1], [-2.0, 1.0]),
        ("<u4", [u32::MAX, 1].map(u32::to_le_bytes).concat(), [4294967295.0, 1.0]),
        (">i4", [i32::MIN, 7].map(i32::to_be_bytes).concat(), [-2147483648.0, 7.0]),
        ("<i4", [-5, 7].map(i32::to_le_bytes).concat(), [-5.0, 7.0]),
        ("<u8", [1 << 63, 1].map(u64::to_le_bytes).concat(), [9223372036854775808.0, 1.0]),
        ("<i8", [-5, 7].map(i64::to_le_bytes).concat(), [-5.0, 7.0]),
        (">i8", [-5, 7].map(i64::to_be_bytes).concat(), [-5.0, 7.0]),
        ("<f4", [0.5, -1.25].map(f32::to_le_bytes).concat(), [0.5, -1.25]),
        (">f4", [0.5, -1.25].map(f32::to_be_bytes).concat(), [0.5, -1.25]),
        (">f8", [0.1, -1e300].map(f64::to_be_bytes).concat(), [0.1, -1e300]),
    ];
    for (descr, body, expected) in numbers {
        let data = read_with(npy(descr, false, "(2, 1)", &body), &unlabeled()).unwrap();
        assert_eq!(data.features(), expected, "{descr}");
    }
}

#[test]
fn versions_and_ways_to_write_a_header() {
    let body = [1, 2, 3, 4];
    let plain = "{'descr': '|u1', 'fortran_order': False, 'shape': (2, 2), }";
    let python2 = "{\"shape\":(2L,2L),\"fortran_order\":False,\"descr\":\"|u1\"}";
    for (version, dictionary) in [(1, plain), (2, plain), (3, plain), (1, python2)] {
        let data = read_with(npy_of(version, dictionary, &body), &unlabeled()).unwrap();
        assert_eq!((data.inputs(), data.features()), (2, &[1.0, 2.0, 3.0, 4.0][..]));
    }
}

#[test]
fn order_and_dimensions() {
    // No column counts the rows.
    let number = |i: u8| 5 * i % 12;
    let read = |fortran_order, shape| {
        let data = read_with(
            npy("|u1", fortran_order, shape, &(0..12).map(number).collect::<Vec<u8>>()),
            &unlabeled(),
        )
        .unwrap();
        (data.inputs(), data.sample(1).unwrap().to_vec())
    };
    let second = |places: &[u8]| -> (usize, Vec<f64>) {
        (places.len(), places.iter().map(|&i| f64::from(number(i))).collect())
    };
    assert_eq!(read(false, "(12,)"), second(&[1]));
    assert_eq!(read(true, "(12,)"), second(&[1]));
    assert_eq!(read(false, "(3, 4)"), second(&[4, 5, 6, 7]));
    assert_eq!(read(true, "(3, 4)"), second(&[1, 4, 7, 10]));
    assert_eq!(read(false, "(2, 3, 2)"), second(&[6, 7, 8, 9, 10, 11]));
    assert_eq!(read(true, "(2, 3, 2)"), second(&[1, 7, 3, 9, 5, 11]));
}

#[test]
fn labels_in_a_column() {
    let read = |label| read_with(counting(), &TableOptions { label, ..TableOptions::default() });
    let last = read(Label::Last).unwrap();
    assert_eq!((last.features(), values(&last)), (&[0.0, 1.0, 3.0, 4.0][..], &[2.0, 5.0][..]));
    for number in ["1", "#1", "column 1"] {
        let first = read(Label::from(number)).unwrap();
        assert_eq!(
            (first.features(), values(&first)),
            (&[1.0, 2.0, 4.0, 5.0][..], &[0.0, 3.0][..])
        );
    }
    assert_eq!(read(Label::None).unwrap().targets(), &Targets::None);
    let columns = "there are \"column 1\", \"column 2\", \"column 3\"";
    for absent in ["4", "0", "y"] {
        let quoted = format!("no column \"{absent}\"");
        assert_message(read(Label::from(absent)), &["x.npy", &quoted, columns]);
    }
    let one_column = read_with(npy("|u1", false, "(2,)", &[1, 2]), &TableOptions::default());
    assert_message(
        one_column,
        &["a column to learn from beside the label", "\"column 1\" is label"],
    );
    // Whole numbers that come again are classes, and keep all their digits.
    let large = [i64::MAX, i64::MAX - 1].map(i64::to_le_bytes).concat();
    let rows: Vec<u8> = (0..6u8)
        .flat_map(|i| {
            let feature = i64::from(i * i).to_le_bytes();
            [&feature[..], &large[usize::from(i % 2) * 8..][..8]].concat()
        })
        .collect();
    let data = read_with(npy("<i8", false, "(6, 2)", &rows), &TableOptions::default()).unwrap();
    assert_eq!(
        classes(&data),
        (vec![1, 0, 1, 0, 1, 0], vec!["9223372036854775806", "9223372036854775807"])
    );
}

/// The schema of an array of two features and a label.
fn known(task: Task) -> Schema {
    let options = TableOptions { task: Some(task), ..TableOptions::default() };
    let path = Folder::new();
    let table = Table::open(path.write("x.npy", counting()), &options).unwrap();
    table.schema().clone()
}

#[test]
fn the_schema_of_a_model() {
    let folder = Folder::new();
    let path = folder.write("x.npy", counting());
    let read = |task, classes: Option<&[&str]>, label| -> Result<Dataset<f64>> {
        let names = classes.map(|names| names.iter().map(|name| name.to_string()).collect());
        let options = TableOptions { label, ..TableOptions::default() };
        Table::open_as(&path, &known(task), names, &options)?.read()?.into_dataset()
    };
    let unlabeled = read(Task::Classes, None, Label::None).unwrap();
    assert_eq!((unlabeled.inputs(), unlabeled.targets()), (2, &Targets::None));
    let labeled = |names: &[&str]| read(Task::Classes, Some(names), Label::Last);
    assert_eq!(classes(&labeled(&["5", "1", "2"]).unwrap()).0, [2, 0]);
    assert_message(
        labeled(&["5", "1"]),
        &["(row 1, column 3)", "known classes \"5\", \"1\"", "\"2\""],
    );
    assert_eq!(values(&read(Task::Values, None, Label::Last).unwrap()), [2.0, 5.0]);
    // An array of the features alone, and one that is neither.
    let narrow = folder.write("n.npy", npy("|u1", false, "(2, 2)", &[1, 2, 3, 4]));
    let options = TableOptions { label: Label::None, ..TableOptions::default() };
    let open = |path: &Path| Table::open_as(path, &known(Task::Values), None, &options);
    let data = open(&narrow).unwrap().read().unwrap().into_dataset::<f64>().unwrap();
    assert_eq!(data.features(), [1.0, 2.0, 3.0, 4.0]);
    let wide = folder.write("w.npy", npy("|u1", false, "(1, 4)", &[1, 2, 3, 4]));
    assert_message(
        open(&wide).map(|_| ()),
        &["w.npy", "3 columns as the model learned, or 2 without the label", "found 4 columns"],
    );
}

#[test]
fn labels_in_a_file() {
    let folder = Folder::new();
    let samples = folder.write("x.npy", counting());
    let read = |bytes: Vec<u8>, task| {
        let labels = Some(folder.write("y.npy", bytes));
        read_dataset::<f64>(&samples, &TableOptions { labels, task, ..TableOptions::default() })
    };
    let two = || npy("<i8", false, "(2,)", &[-1, 7].map(i64::to_le_bytes).concat());
    let data = read(two(), Some(Task::Classes)).unwrap();
    assert_eq!((data.inputs(), classes(&data)), (3, (vec![0, 1], vec!["-1", "7"])));
    assert_eq!(values(&read(two(), None).unwrap()), [-1.0, 7.0]);
    let fractions = [0.5, 1.0].map(f64::to_le_bytes).concat();
    assert_eq!(values(&read(npy("<f8", false, "(2, 1)", &fractions), None).unwrap()), [0.5, 1.0]);
    let two_values = npy("|u1", true, "(2, 2)", &[1, 2, 3, 4]);
    let data = read(two_values.clone(), None).unwrap();
    assert_eq!((values(&data), data.outputs()), (&[1.0, 3.0, 2.0, 4.0][..], 2));
    assert_eq!(data.inputs(), 3, "no label is learned from");
    assert_message(
        read(two_values, Some(Task::Classes)),
        &["x.npy", "one label for classes", "2 labels"],
    );
    assert_message(
        read(npy("|u1", false, "(1,)", &[1]), None),
        &["y.npy", "2 labels", "x.npy", "found 1 label"],
    );
    let texts = npy(
        "<U2",
        false,
        "(2,)",
        "n\0y\0".chars().flat_map(|c| (c as u32).to_le_bytes()).collect::<Vec<u8>>().as_slice(),
    );
    assert_eq!(classes(&read(texts, None).unwrap()), (vec![0, 1], vec!["n", "y"]));
    let infinite = npy("<f8", false, "(2,)", &[1.0, f64::INFINITY].map(f64::to_le_bytes).concat());
    assert_message(read(infinite, Some(Task::Values)), &["y.npy", "(row 2, column 1)", "inf"]);
    let absent = TableOptions { labels: Some(folder.0.join("no.npy")), ..TableOptions::default() };
    let error = assert_message(read_dataset::<f64>(&samples, &absent), &["cannot read", "no.npy"]);
    assert!(matches!(error.kind(), ErrorKind::Io { .. }));
    // A label that is NaN is missing.
    let gap = npy("<f8", false, "(2,)", &[1.5, f64::NAN].map(f64::to_le_bytes).concat());
    let labels = Some(folder.write("y.npy", gap));
    let frame = read_frame(&samples, &TableOptions { labels, ..TableOptions::default() }).unwrap();
    assert_eq!((frame.samples(), frame.unlabeled()), (1, 1));
}

#[test]
fn options_that_contradict_a_file_of_labels_are_refused() {
    let folder = Folder::new();
    let samples = folder.write("x.npy", counting());
    let labels = Some(folder.write("y.npy", npy("|u1", false, "(2,)", &[1, 2])));
    for label in [Label::None, Label::from("1")] {
        let options = TableOptions { labels: labels.clone(), label, ..TableOptions::default() };
        assert_message(
            read_dataset::<f64>(&samples, &options),
            &["TableOptions::label", "TableOptions::labels"],
        );
    }
    // The same file of labels beside a text file would not be looked at.
    let text = folder.write("x.csv", "1,2\n4,3\n");
    let options = TableOptions { labels, ..TableOptions::default() };
    assert_message(read_dataset::<f64>(&text, &options), &["TableOptions::labels", "x.csv"]);
    let options = TableOptions { header: Some(true), ..TableOptions::default() };
    assert_message(
        read_dataset::<f64>(&samples, &options),
        &["TableOptions::header is for text files", "x.npy"],
    );
}

#[test]
fn damaged_headers() {
    let read = |bytes: &[u8]| read_with(bytes, &unlabeled());
    assert_message(read(b""), &["x.npy", "byte 0", "93 N U M P Y"]);
    assert_message(read(b"PK\x03\x04zip"), &["byte 0", "[50, 4b, 03"]);
    assert_message(read(b"\x93NUMPY"), &["byte 6", "end of the file"]);
    assert_message(read(b"\x93NUMPY\x04\0aaaaaa"), &["byte 6", "version 1, 2 or 3", "found 4"]);
    assert_message(
        read(b"\x93NUMPY\x02\0\xff\xff\xff\xff{"),
        &["byte 13", "header of 4294967295 bytes", "end of"],
    );
    let dictionary = |text: &str| read(&npy_of(1, text, &[]));
    assert_message(dictionary("[]"), &["byte 10", "'{'"]);
    assert_message(dictionary("{'descr': '|u1'}"), &["byte 10", "descr, fortran_order and shape"]);
    assert_message(dictionary("{'color': 1}"), &["byte 11", "the key descr", "'color'"]);
    assert_message(dictionary("{'descr' '|u1'}"), &["byte 19", "':'"]);
    assert_message(dictionary("{'fortran_order': 1}"), &["byte 28", "True or False"]);
    assert_message(dictionary("{'descr: 1}"), &["byte", "expected ':'", "the end of the header"]);
    for descr in ["'<f1'", "'<c8'", "'|O'", "'<U0'", "'|u2'", "'=f8'", "[('a', '<f8')]"] {
        assert_message(
            dictionary(&format!("{{'descr': {descr}}}")),
            &["byte 20", "a type of number", descr],
        );
    }
}

#[test]
fn hostile_shapes() {
    let shape = |shape: &str| read_with(npy("<f8", false, shape, &[0; 16]), &unlabeled());
    assert_message(shape("(-1, 2)"), &["a size of at least 0", "-1, 2"]);
    assert_message(
        shape("(99999999999999999999999,)"),
        &["a size of at least 0 that fits in memory"],
    );
    assert_message(
        shape("(4294967296, 4294967296)"),
        &["(the end)", "more bytes than can be counted"],
    );
    assert_message(
        shape("(1152921504606846976, 1)"),
        &["9223372036854775808 bytes", "found 16 bytes"],
    );
    assert_message(
        shape("(3,)"),
        &["byte 144 (the end)", "24 bytes after the header", "[3]", "found 16 bytes"],
    );
    assert_message(shape("(1,)"), &["8 bytes after the header", "found 16 bytes"]);
    assert_message(shape("(0, 9223372036854775807, 4)"), &["header", "at least one sample"]);
    assert_message(shape("()"), &["header", "at least one sample"]);
}

#[test]
fn numbers_that_are_not_finite() {
    let bytes =
        |x: f64| npy("<f8", false, "(2, 2)", &[1.0, 2.0, x, 1e39].map(f64::to_le_bytes).concat());
    for x in [f64::INFINITY, f64::NEG_INFINITY] {
        let found = format!("found {x}");
        assert_message(
            read_with(bytes(x), &unlabeled()),
            &["byte 144 (row 2, column 1)", "a finite number", &found],
        );
    }
    // NaN is a gap.
    let folder = Folder::new();
    let body = [1.0, 2.0, f64::NAN, 4.0, 7.0, 6.0].map(f64::to_le_bytes).concat();
    let frame = read_frame(folder.write("x.npy", npy("<f8", false, "(3, 2)", &body)), &unlabeled());
    let frame = frame.unwrap();
    let Values::Numbers(numbers) = &frame.columns()[0].values else { panic!("texts") };
    assert!(numbers[0] == 1.0 && numbers[1].is_nan() && numbers[2] == 7.0, "{numbers:?}");
    assert_message(frame.into_dataset::<f64>(), &["'column 1'", "missing values"]);
    let body = [1e39_f64, 1.0].map(f64::to_le_bytes).concat();
    let large = folder.write("x.npy", npy("<f8", false, "(2, 1)", &body));
    assert_message(read_dataset::<f32>(&large, &unlabeled()), &["feature 0 of sample 0", "inf"]);
    assert!(read_dataset::<f64>(&large, &unlabeled()).is_ok());
}

#[test]
fn half_precision() {
    // IEEE 754-2019, 3.6: 1, -2, the largest, the smallest above 0, and one third rounded.
    let words: [u16; 5] = [0x3c00, 0xc000, 0x7bff, 0x0001, 0x3555];
    for descr in ["<f2", ">f2"] {
        let bytes = words.map(|w| if descr == "<f2" { w.to_le_bytes() } else { w.to_be_bytes() });
        let data = read_with(npy(descr, false, "(5,)", &bytes.concat()), &unlabeled()).unwrap();
        assert_eq!(data.features(), [1.0, -2.0, 65504.0, 2f64.powi(-24), 1365.0 / 4096.0]);
    }
}

#[test]
fn damaged_files() {
    read_damaged("x.npy", &counting(), |path| read_dataset::<f32>(path, &TableOptions::default()));
}

/// NumPy writes each array twice: as it is, and as C-ordered little-endian f64 of two dimensions.
#[test]
fn files_written_by_numpy() {
    const SCRIPT: &str = r#"
import sys, itertools, numpy as np
random = np.random.default_rng(1)
types = ["?", "i1", "u1", "<i2", ">i2", "<u2", ">u4", "<i4", "<i8", ">i8", ">u8", "<u8", "<f4", ">f4", "<f8", ">f8", "<f2", ">f2"]
shapes = [(6,), (4, 3), (3, 2, 2), (2, 3, 4, 2)]
for i, (type, shape, order) in enumerate(itertools.product(types, shapes, "CF")):
    numbers = random.integers(-100, 100, shape)
    # Constant columns would be left out.
    numbers[0] = 0
    numbers[-1] = np.where(numbers[-1] == 0, 7, numbers[-1])
    numbers = numbers / 8 if "f" in type else abs(numbers) if "u" in type else numbers
    array = np.asarray(numbers.astype(type), order=order)
    version = [(1, 0), (2, 0), (3, 0)][i % 3]
    np.lib.format.write_array(open(f"{sys.argv[1]}/{i}.npy", "wb"), array, version)
    np.save(f"{sys.argv[1]}/{i}-plain.npy", np.ascontiguousarray(array.reshape(shape[0], -1, order="C"), "<f8"))
print(i + 1)
"#;
    let folder = Folder::new();
    let python = std::env::var("TRAVERTINE_PYTHON").unwrap_or("python3".to_owned());
    let output = match Command::new(&python).arg("-c").arg(SCRIPT).arg(&folder.0).output() {
        Ok(output) if output.status.success() => output,
        Ok(output) if String::from_utf8_lossy(&output.stderr).contains("No module named") => {
            return left_out("files_written_by_numpy", &format!("{python} has no numpy"));
        }
        Ok(output) => panic!("{}", String::from_utf8_lossy(&output.stderr)),
        Err(e) => {
            return left_out("files_written_by_numpy", &format!("{python} does not run: {e}"));
        }
    };
    let count: usize = String::from_utf8_lossy(&output.stdout).trim().parse().unwrap();
    assert_eq!(count, 144);
    for i in 0..count {
        let read =
            |name: String| read_dataset::<f64>(Path::join(&folder.0, name), &unlabeled()).unwrap();
        assert_eq!(read(format!("{i}.npy")), read(format!("{i}-plain.npy")), "array {i}");
    }
}

/// An archive that NumPy wrote; see files/archives.py.
fn archive(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/library/data/files").join(name)
}

#[test]
fn archives_have_samples_and_labels() {
    for name in ["stored.npz", "packed.npz"] {
        let data = read_dataset::<f64>(archive(name), &TableOptions::default()).unwrap();
        assert_eq!(data.features(), [0.5, 2.0, 1.5, -3.0, 2.25, 1.0, 0.125, 8.0], "{name}");
        assert_eq!(classes(&data), (vec![1, 0, 1, 0], vec!["down", "up"]), "{name}");
    }
    let alone = read_dataset::<f64>(archive("alone.npz"), &TableOptions::default()).unwrap();
    assert_eq!((alone.samples(), alone.inputs(), alone.outputs()), (4, 2, 2));
}

#[test]
fn archives_that_are_not_clear_or_damaged_are_refused() {
    let read = |path: &Path| read_dataset::<f64>(path, &TableOptions::default());
    let three = read(&archive("three.npz"));
    assert_message(three, &["three.npz", "one array, or x and y alone", "\"x\", \"y\", \"z\""]);
    let folder = Folder::new();
    let whole = std::fs::read(archive("packed.npz")).unwrap();
    for length in [0, 1, 30, whole.len() / 2, whole.len() - 1] {
        let cut = folder.write("cut.npz", &whole[..length]);
        assert!(read(&cut).is_err(), "{length} bytes");
    }
    // A flip in the packed numbers is found by the archive's sums.
    let mut flipped = whole.clone();
    let place = whole.windows(5).position(|part| part == b"x.npy").unwrap() + 60;
    flipped[place] ^= 0x10;
    assert!(read(&folder.write("flipped.npz", flipped)).is_err());
}
