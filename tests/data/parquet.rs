//! Parquet files that pyarrow 26 has written: `people.parquet` with snappy and dictionaries, `people-plain.parquet` with gzip, pages of
//! version 2 and two row groups, both of the columns age, color, zip, weight, tall, sold; `strange.parquet` with a list, a date, an infinite
//! number and a text.

use std::fs;
use std::path::PathBuf;

use travertine::Result;
use travertine::data::{CsvOptions, Encoder, Frame, Label, Targets, Values, read_parquet};

use super::{Folder, assert_message};

fn file(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data/files").join(name)
}

fn options(drop: &[&str], categorical: &[&str]) -> CsvOptions {
    let strings = |names: &[&str]| names.iter().map(|name| name.to_string()).collect();
    CsvOptions { drop: strings(drop), categorical: strings(categorical), ..CsvOptions::default() }
}

fn numbers(frame: &Frame<f64>, column: usize) -> Vec<Option<f64>> {
    let Values::Numbers(numbers) = &frame.columns()[column].values else { panic!("texts") };
    numbers.iter().map(|x| (!x.is_nan()).then_some(*x)).collect()
}

#[test]
fn what_pyarrow_writes() {
    for name in ["people.parquet", "people-plain.parquet"] {
        let frame = read_parquet::<f64>(file(name), &options(&[], &["zip"])).unwrap();
        let names: Vec<&str> = frame.columns().iter().map(|column| &*column.name).collect();
        assert_eq!(names, ["age", "color", "zip", "weight", "tall"]);
        assert_eq!(
            numbers(&frame, 0),
            [Some(31.0), None, Some(45.0), Some(22.0), None, Some(38.0)]
        );
        assert_eq!(
            numbers(&frame, 3),
            [Some(70.5), None, Some(81.25), Some(66.0), Some(90.125), Some(59.5)]
        );
        assert_eq!(
            numbers(&frame, 4),
            [Some(1.0), Some(0.0), None, Some(1.0), Some(1.0), Some(0.0)]
        );
        let Values::Texts { codes, names } = &frame.columns()[2].values else {
            panic!("zip is categorical")
        };
        assert_eq!(
            (&codes[..5], &names[..]),
            (&[0, 1, 0, 2, 1][..], &["8001", "10115", "20095"].map(str::to_owned)[..])
        );
        let Targets::Classes { labels, names } = frame.targets() else { panic!("classes") };
        assert_eq!(
            (&labels[..], &names[..]),
            (&[1, 0, 1, 0, 1, 0][..], &["no", "yes"].map(str::to_owned)[..])
        );

        let encoder = Encoder::fit(&frame).unwrap();
        let no_label = CsvOptions { label: Label::None, ..CsvOptions::default() };
        let encoded = encoder.read_parquet::<f64>(file("people-plain.parquet"), &no_label).unwrap();
        assert_eq!(encoded.data.features(), encoder.encode(&frame).unwrap().data.features());
        assert_eq!(encoded.data.outputs(), 0);
    }
}

#[test]
fn what_cannot_be_learned_from_is_refused() {
    let read = |drop: &[&str]| read_parquet::<f64>(file("strange.parquet"), &options(drop, &[]));
    assert_message(read(&[]), &["column 1 (list)", "CsvOptions::drop", "nested values"]);
    assert_message(read(&["list"]), &["column 2 (day)", "CsvOptions::drop", "int32 as dates"]);
    assert_message(read(&["list", "day"]), &["row 4, column 3 (x)", "a finite number", "inf"]);
    assert_message(read(&["list", "date"]), &["schema", "a column named \"date\""]);
    let as_label = CsvOptions { label: Label::Name("age".into()), ..CsvOptions::default() };
    assert_message(
        read_parquet::<f64>(file("people.parquet"), &as_label),
        &["row 2, column 1 (age)", "a label"],
    );
    assert_message(
        read_parquet::<f64>(file("nothing.parquet"), &options(&[], &[])),
        &["nothing.parquet"],
    );
}

/// Whatever happens to a file, it is read or refused.
#[test]
fn damaged_files() {
    let folder = Folder::new();
    let read = |bytes: &[u8]| -> Result<Frame<f64>> {
        read_parquet(folder.write("x.parquet", bytes), &options(&[], &[]))
    };
    let whole = fs::read(file("people.parquet")).unwrap();
    assert_message(read(b""), &["byte 0", "a Parquet file"]);
    assert_message(read(b"PAR1PAR1PAR2"), &["byte 8", "ends in PAR1"]);
    assert_message(read(b"PAR1\xff\xff\xff\x7fPAR1"), &["byte 4", "metadata inside the file"]);
    let mut refused = 0;
    for length in (0..whole.len()).step_by(7) {
        refused += usize::from(read(&whole[..length]).is_err());
    }
    assert_eq!(refused, whole.len().div_ceil(7), "a file that was cut off has no end");
    for at in (0..whole.len()).step_by(3) {
        for flip in [0x01, 0x80, 0xff] {
            let mut damaged = whole.clone();
            damaged[at] ^= flip;
            refused += usize::from(read(&damaged).is_err());
        }
    }
    assert!(refused > 100, "{refused}");
}
