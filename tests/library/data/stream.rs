//! Files that are read in blocks: every sample once an epoch, in another order each time, and errors at their place.

use std::fs;
use std::ops::ControlFlow;
use std::path::Path;

use travertine::Result;
use travertine::data::{
    Encoder, Label, Split, Standardization, Stream, StreamOptions, TableOptions, TargetScale,
    Targets, Task, read_dataset, read_frame,
};

use super::{Folder, assert_message};

/// Lines of 9 bytes: the number of the sample, something else, a class.
fn table(samples: usize) -> String {
    let line = |i: usize| format!("{i:05},{},{}\n", i % 7, ["a", "b"][i % 2]);
    format!("number,rest,kind\n{}", (0..samples).map(line).collect::<String>())
}

fn npy(samples: usize) -> Vec<u8> {
    let header = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({samples}, 3), }}");
    let padded = format!("{header:<117}\n");
    let numbers = (0..samples).flat_map(|i| [i as f32, (i % 7) as f32, (i % 2) as f32]);
    [
        b"\x93NUMPY\x01\x00\x76\x00",
        padded.as_bytes(),
        &numbers.flat_map(f32::to_le_bytes).collect::<Vec<u8>>(),
    ]
    .concat()
}

fn raw(buffer: usize) -> StreamOptions {
    StreamOptions { buffer, standardize: false, ..StreamOptions::default() }
}

/// As [`raw`]; the first column of an array has no name and numbers the rows, so that it would be left out.
fn raw_of(path: &Path, buffer: usize) -> StreamOptions {
    StreamOptions { table: table_options(path), ..raw(buffer) }
}

fn table_options(path: &Path) -> TableOptions {
    let is_array = path.extension().is_some_and(|end| end == "npy");
    let keep = if is_array { vec!["#1".to_owned()] } else { Vec::new() };
    TableOptions { keep, ..TableOptions::default() }
}

/// The first feature of every sample of an epoch, buffer by buffer.
fn numbers(stream: &Stream<f64>, seed: u64, epoch: u64) -> Vec<Vec<usize>> {
    let mut buffers = Vec::new();
    stream
        .epoch(seed, epoch, |data| {
            buffers.push(data.features().chunks(2).map(|sample| sample[0] as usize).collect());
            Ok(ControlFlow::Continue(()))
        })
        .unwrap();
    buffers
}

fn both(folder: &Folder, samples: usize) -> [std::path::PathBuf; 2] {
    [folder.write("x.csv", table(samples)), folder.write("x.npy", npy(samples))]
}

#[test]
fn every_sample_once_in_an_order_of_its_own() {
    let folder = Folder::new();
    for path in both(&folder, 5000) {
        let stream = Stream::<f64>::open(&path, &raw_of(&path, 8 << 10)).unwrap();
        assert_eq!(
            (stream.samples(), stream.held_out_samples(), stream.classes().len()),
            (5000, 0, 2)
        );
        let first = numbers(&stream, 1, 0);
        assert!(first.len() > 5, "{} buffers", first.len());
        let flat = |buffers: &[Vec<usize>]| buffers.concat();
        let mut sorted = flat(&first);
        sorted.sort_unstable();
        assert!(sorted.into_iter().eq(0..5000), "every sample once");
        assert!(!flat(&first).is_sorted(), "not as it lies");
        assert_eq!(first, numbers(&stream, 1, 0), "the same again");
        assert_ne!(first, numbers(&stream, 1, 1), "another epoch");
        assert_ne!(first, numbers(&stream, 2, 0), "another seed");
        // No buffer is larger than it was asked to be.
        assert!(first.iter().all(|buffer| buffer.len() * 9 <= 8 << 10));
    }
}

#[test]
fn classes_values_and_standardization_are_those_of_the_whole_file() {
    let folder = Folder::new();
    for path in both(&folder, 3000) {
        let table = table_options(&path);
        let options =
            StreamOptions { buffer: 4 << 10, table: table.clone(), ..StreamOptions::default() };
        let stream = Stream::<f64>::open(&path, &options).unwrap();
        let whole = read_frame(&path, &table).unwrap();
        let (encoder, standardization) = Encoder::fit_with_standardization(&whole).unwrap();
        assert_eq!(
            (stream.encoder(), stream.standardization()),
            (&encoder, Some(&standardization))
        );
        let fitted = Standardization::fit(&read_dataset::<f64>(&path, &table).unwrap()).unwrap();
        let ours = stream.standardization().unwrap();
        for (ours, theirs) in [(&ours.mean, &fitted.mean), (&ours.deviation, &fitted.deviation)] {
            assert!(
                ours.iter().zip(theirs).all(|(a, b)| (a - b).abs() < 1e-10 * b.abs()),
                "{ours:?} {theirs:?}"
            );
        }
        let Targets::Classes { names, .. } = whole.targets() else { panic!("classes") };
        assert_eq!((stream.classes(), stream.class_counts()), (&names[..], &[1500, 1500][..]));
    }
    // The first column as what is learned: too many integers for classes.
    for path in both(&folder, 3000) {
        let table = TableOptions {
            label: Label::from("#1"),
            drop: vec!["#3".into()],
            ..TableOptions::default()
        };
        let options = StreamOptions { buffer: 4 << 10, table, ..StreamOptions::default() };
        let stream = Stream::<f64>::open(&path, &options).unwrap();
        assert!(stream.classes().is_empty());
        let whole = read_frame(&path, &options.table).unwrap();
        assert_eq!(stream.target_scale(), TargetScale::fit(whole.targets()).as_ref());
        let mut sum = 0.0;
        let add = |data: travertine::data::Dataset<f64>| {
            let Targets::Values { values, .. } = data.targets() else { panic!("values") };
            sum += values.iter().sum::<f64>();
            Ok(ControlFlow::Continue(()))
        };
        stream.epoch(1, 0, add).unwrap();
        assert_eq!(sum, 2999.0 * 3000.0 / 2.0);
    }
}

#[test]
fn texts_gaps_and_several_targets_are_those_of_the_whole_file() {
    let folder = Folder::new();
    let row = |i: usize| {
        let size = if i % 11 == 3 { String::new() } else { (i * 37 % 101).to_string() };
        format!("{size},{},{},{}.5\n", ["red", "blue", "", "green"][i * 7 % 4], i * 13 % 97, i % 50)
    };
    let text: String = (0..2000).map(row).collect();
    let path = folder.write("x.csv", format!("size,color,price,change\n{text}"));
    let label = Label::Columns(vec!["price".into(), "change".into()]);
    let table = TableOptions { label, ..TableOptions::default() };
    let options =
        StreamOptions { buffer: 4 << 10, table: table.clone(), ..StreamOptions::default() };
    let stream = Stream::<f64>::open(&path, &options).unwrap();
    let whole = read_frame(&path, &table).unwrap();
    let (encoder, standardization) = Encoder::fit_with_standardization(&whole).unwrap();
    assert_eq!((stream.encoder(), stream.standardization()), (&encoder, Some(&standardization)));
    assert_eq!(stream.target_scale(), TargetScale::fit(whole.targets()).as_ref());
    let encoded = encoder.encode::<f64>(&whole, Some(&standardization)).unwrap().data;
    let Targets::Values { values, .. } = encoded.targets() else { panic!("values") };
    let samples = |features: &[f64], values: &[f64]| {
        let pairs = features.chunks(4).zip(values.chunks(2));
        let mut all: Vec<Vec<u64>> =
            pairs.map(|(x, y)| [x, y].concat().iter().map(|x| x.to_bits()).collect()).collect();
        all.sort_unstable();
        all
    };
    let (mut features, mut targets) = (Vec::new(), Vec::new());
    let add = |data: travertine::data::Dataset<f64>| {
        let Targets::Values { values, .. } = data.targets() else { panic!("values") };
        features.extend_from_slice(data.features());
        targets.extend_from_slice(values);
        Ok(ControlFlow::Continue(()))
    };
    stream.epoch(1, 0, add).unwrap();
    assert_eq!(encoded.inputs(), 4);
    assert!(samples(&features, &targets) == samples(encoded.features(), values));
}

#[test]
fn the_samples_that_are_held_out_are_those_of_a_split_in_memory() {
    let folder = Folder::new();
    for path in both(&folder, 5000) {
        for stratify in [false, true] {
            let options =
                StreamOptions { held_out: 0.2, seed: 3, stratify, ..raw_of(&path, 8 << 10) };
            let stream = Stream::<f64>::open(&path, &options).unwrap();
            let mut held_out = Vec::new();
            let keep = |data: travertine::data::Dataset<f64>| {
                held_out.extend(data.features().chunks(2).map(|sample| sample[0] as usize));
                Ok(ControlFlow::Continue(()))
            };
            stream.held_out(keep).unwrap();
            assert_eq!(held_out.len(), stream.held_out_samples());
            let labels: Vec<u32> = (0..5000).map(|i| i % 2).collect();
            let split = match stratify {
                false => Split::held_out(5000, 0.2, 3),
                true => Split::stratified(&labels, 0.2, 3),
            };
            let mut expected = split.unwrap().held_out;
            expected.sort_unstable();
            assert_eq!(held_out, expected);
            let mut all = [numbers(&stream, 1, 0).concat(), held_out].concat();
            all.sort_unstable();
            assert!(all.into_iter().eq(0..5000));
        }
    }
}

#[test]
fn an_epoch_ends_where_its_user_breaks() {
    let folder = Folder::new();
    let stream = Stream::<f64>::open(folder.write("x.csv", table(5000)), &raw(8 << 10)).unwrap();
    let mut buffers = 0;
    let stop = |_| {
        buffers += 1;
        Ok(if buffers == 2 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    };
    stream.epoch(1, 0, stop).unwrap();
    assert_eq!(buffers, 2);
    let fail = |_| stream.example().take(0).map(|_| ControlFlow::Continue(()));
    assert_message(stream.epoch(1, 0, fail), &["0 samples requested"]);
}

fn open(path: &Path) -> Result<Stream<f64>> {
    Stream::open(path, &raw_of(path, 2 << 10))
}

#[test]
fn errors_are_told_at_their_place() {
    let folder = Folder::new();
    let wrong =
        |text: &str, parts: &[&str]| assert_message(open(&folder.write("w.csv", text)), parts);
    let good = table(1000);
    wrong(
        &good.replace("00777,", "7x7,"),
        &["line 779, column 1 (number)", "a finite number", "\"7x7\""],
    );
    wrong(&good.replace("00777,0,b", "00777,0"), &["line 779", "expected 3 fields"]);
    wrong("", &["an empty file"]);
    wrong("a,b\n", &["samples below the header"]);
    wrong("a,b\n\n\r\n", &["samples below the header"]);
    let blank = good.replace("00500,", "\n\r\n\n00500,").replace("00777,", "7x7,");
    wrong(&blank, &["line 782, column 1 (number)"]);
    let mut latin = good.clone().into_bytes();
    latin[5000] = 0xe9;
    assert_message(open(&folder.write("w.csv", latin)), &["UTF-8", "0xe9"]);
    // Without a header, a later row of another length is an error, too.
    let bare = good.split_once('\n').unwrap().1;
    let keep = StreamOptions {
        table: TableOptions { keep: vec!["#1".into()], ..TableOptions::default() },
        ..raw(2 << 10)
    };
    let samples = Stream::<f64>::open(folder.write("w.csv", bare), &keep).unwrap().samples();
    assert_eq!(samples, 1000);
    wrong(
        &bare.replace("00777,0,b\n", "00777,0,b\n1,2,3,b\n"),
        &["line 779", "expected 3 fields, as the first row has"],
    );
    // A line break in quotes belongs to its row, wherever a block may end.
    let quoted = good.replace("00777,0,b", "\"00777\n\",0,b").replace("00800,", "8x8,");
    wrong(&quoted, &["line 803, column 1 (number)", "\"8x8\""]);
    wrong(&good.replace("00777,0,b", "00777,0,\"b"), &["line 779", "a quote that is not closed"]);
    assert_message(Stream::<f64>::open("nowhere.csv", &raw(1)), &["nowhere.csv"]);
    assert_message(
        Stream::<f64>::open(folder.write("w.csv", table(10)), &raw(0)),
        &["at least one byte"],
    );
    let values = StreamOptions {
        table: TableOptions { task: Some(Task::Values), ..TableOptions::default() },
        ..raw(1 << 10)
    };
    assert_message(
        Stream::<f64>::open(folder.write("w.csv", table(100)), &values),
        &["line 2, column 3 (kind)", "a number, as the label is values", "\"a\""],
    );
    // A table is a table whatever its name.
    assert_eq!(open(&folder.write("w.bin", table(100))).unwrap().samples(), 100);
}

#[test]
fn arrays_are_checked_as_in_memory() {
    let folder = Folder::new();
    let bytes = npy(1000);
    let damaged = |bytes: Vec<u8>, parts: &[&str]| {
        let path = folder.write("w.npy", bytes);
        assert_message(Stream::<f64>::open(path, &raw(2 << 10)), parts)
    };
    let with = |x: f32| {
        let mut changed = bytes.clone();
        changed[128 + 777 * 12..][..4].copy_from_slice(&x.to_le_bytes());
        changed
    };
    damaged(with(f32::INFINITY), &["byte 9452 (row 778, column 1)", "a finite number"]);
    damaged(bytes[..bytes.len() - 1].to_vec(), &["12000 bytes after the header", "11999 bytes"]);
    damaged(b"PK\x03\x04".to_vec(), &["byte 0"]);
    // NaN is a gap, for which the mean stands.
    let gap = folder.write("w.npy", with(f32::NAN));
    let stream = Stream::<f64>::open(&gap, &raw(2 << 10)).unwrap();
    let mean = ((0..1000).sum::<i32>() - 777) as f64 / 999.0;
    let mut found = Vec::new();
    let keep = |data: travertine::data::Dataset<f64>| {
        found
            .extend(data.features().chunks(2).map(|sample| sample[0]).filter(|x| x.fract() != 0.0));
        Ok(ControlFlow::Continue(()))
    };
    stream.epoch(1, 0, keep).unwrap();
    assert!(found.len() == 1 && (found[0] - mean).abs() < 1e-9, "{found:?} {mean}");
    // Rows of an array in Fortran order are not contiguous.
    let header = String::from_utf8_lossy(&bytes[10..128]).replace("False, ", "True,  ");
    let numbers: Vec<&[u8]> = bytes[128..].chunks(4).collect();
    let turned: Vec<u8> = (0..3)
        .flat_map(|column| numbers.iter().skip(column).step_by(3).copied())
        .flatten()
        .copied()
        .collect();
    let fortran = [b"\x93NUMPY\x01\x00\x76\x00", header.as_bytes(), &turned].concat();
    let fortran = open(&folder.write("f.npy", fortran)).unwrap();
    let plain = open(&folder.write("w.npy", bytes)).unwrap();
    assert_eq!(fortran.encoder(), plain.encoder());
    let all = |stream| {
        let mut all = self::numbers(stream, 1, 0).concat();
        all.sort_unstable();
        all
    };
    assert_eq!(all(&fortran), all(&plain));
}

#[test]
fn rows_without_a_label_are_left_out_and_counted() {
    let folder = Folder::new();
    let text = table(1000).replace("00777,0,b", "00777,0,").replace("00003,3,b", "00003,3,NA");
    let stream = open(&folder.write("w.csv", text)).unwrap();
    assert_eq!((stream.samples(), stream.unlabeled()), (998, 2));
    let mut found = numbers(&stream, 1, 0).concat();
    found.sort_unstable();
    assert!(found.into_iter().eq((0..1000).filter(|i| ![3, 777].contains(i))));
}

#[test]
fn a_file_that_changes_is_an_error() {
    let folder = Folder::new();
    for (name, whole, cut) in
        [("x.csv", table(5000).into_bytes(), 20_000), ("x.npy", npy(5000), 20_000)]
    {
        let path = folder.write(name, &whole);
        let stream = Stream::<f64>::open(&path, &raw_of(&path, 8 << 10)).unwrap();
        fs::write(&path, &whole[..cut]).unwrap();
        let ignore = |_| Ok(ControlFlow::Continue(()));
        assert_message(
            stream.epoch(1, 0, ignore),
            &[name, "the file as it was", "the end of the file"],
        );
        fs::remove_file(&path).unwrap();
        assert_message(stream.epoch(1, 0, ignore), &[name]);
    }
    // Fewer samples in as many bytes.
    let path = folder.write("x.csv", table(5000));
    let stream = Stream::<f64>::open(&path, &raw(8 << 10)).unwrap();
    folder.write("x.csv", table(5000).replace("00777,0,b\n00778,1,a\n", "000000000000007770,b\n"));
    assert_message(stream.epoch(1, 0, |_| Ok(ControlFlow::Continue(()))), &["x.csv"]);
}
