//! Files that are read in blocks: every sample once an epoch, in another order each time, and errors at their place.

use std::fs;
use std::ops::ControlFlow;
use std::path::Path;

use travertine::Result;
use travertine::data::{
    CsvOptions, Label, NpyOptions, Standardization, Stream, StreamOptions, Targets, Task, read_csv,
    read_npy,
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
        let stream = Stream::<f64>::open(&path, &raw(8 << 10)).unwrap();
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
    let [csv, npy] = both(&folder, 3000);
    let options = StreamOptions { buffer: 4 << 10, ..StreamOptions::default() };
    let whole = read_csv::<f64>(&csv, &CsvOptions::default()).unwrap();
    let fitted = Standardization::fit(&whole).unwrap();
    for path in [&csv, &npy] {
        let stream = Stream::<f64>::open(path, &options).unwrap();
        let ours = stream.standardization().unwrap();
        for (ours, theirs) in [(&ours.mean, &fitted.mean), (&ours.deviation, &fitted.deviation)] {
            assert!(
                ours.iter().zip(theirs).all(|(a, b)| (a - b).abs() < 1e-10 * b.abs()),
                "{ours:?} {theirs:?}"
            );
        }
    }
    assert_eq!(Stream::<f64>::open(&csv, &options).unwrap().classes(), ["a", "b"]);
    // The first column as what is learned: too many integers for classes.
    let label = Label::Number(1);
    let csv_options = CsvOptions { label: label.clone(), ..CsvOptions::default() };
    let npy_options = NpyOptions { label, ..NpyOptions::default() };
    let values = StreamOptions { csv: csv_options, npy: npy_options, ..options };
    for path in [
        &folder.write(
            "y.csv",
            "n,a\n".to_owned() + &(0..3000).map(|i| format!("{i},1\n")).collect::<String>(),
        ),
        &npy,
    ] {
        let stream = Stream::<f64>::open(path, &values).unwrap();
        assert!(stream.classes().is_empty());
        let mut sum = 0.0;
        let add = |data: travertine::data::Dataset<f64>| {
            let Targets::Values { values, .. } = data.targets() else { panic!("values") };
            sum += values.iter().sum::<f64>();
            Ok(ControlFlow::Continue(()))
        };
        stream.epoch(1, 0, add).unwrap();
        assert_eq!(sum, 2999.0 * 3000.0 / 2.0);
    }
    let whole = read_npy::<f64>(&npy, &NpyOptions::default()).unwrap();
    assert_eq!(whole.samples(), 3000);
}

#[test]
fn blocks_are_held_out() {
    let folder = Folder::new();
    for path in both(&folder, 5000) {
        let options = StreamOptions { held_out: 0.2, seed: 3, ..raw(8 << 10) };
        let stream = Stream::<f64>::open(&path, &options).unwrap();
        let mut held_out = Vec::new();
        let keep = |data: travertine::data::Dataset<f64>| {
            held_out.extend(data.features().chunks(2).map(|sample| sample[0] as usize));
            Ok(ControlFlow::Continue(()))
        };
        stream.held_out(keep).unwrap();
        assert_eq!(held_out.len(), stream.held_out_samples());
        assert!((800..1200).contains(&held_out.len()), "{}", held_out.len());
        let mut all = [numbers(&stream, 1, 0).concat(), held_out].concat();
        all.sort_unstable();
        assert!(all.into_iter().eq(0..5000));
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
    let fail = |_| stream.example()?.take(0).map(|_| ControlFlow::Continue(()));
    assert_message(stream.epoch(1, 0, fail), &["0 samples requested"]);
}

fn open(path: &Path) -> Result<Stream<f64>> {
    Stream::open(path, &raw(2 << 10))
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
    wrong(&good.replace("00777,0,b", "00777,0,"), &["line 779, column 3 (kind)", "a label"]);
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
    assert_eq!(open(&folder.write("w.csv", bare)).unwrap().samples(), 1000);
    wrong(
        &bare.replace("00777,0,b\n", "00777,0,b\n1,2,3,b\n"),
        &["line 779", "expected 3 fields, as the first row has"],
    );

    let bytes = npy(1000);
    let damaged =
        |bytes: Vec<u8>, parts: &[&str]| assert_message(open(&folder.write("w.npy", bytes)), parts);
    let mut nan = bytes.clone();
    nan[128 + 777 * 12..][..4].copy_from_slice(&f32::NAN.to_le_bytes());
    damaged(nan, &["byte 9452 (row 778, column 1)", "a finite number"]);
    damaged(bytes[..bytes.len() - 1].to_vec(), &["12000 bytes after the header", "11999 bytes"]);
    damaged(b"PK\x03\x04".to_vec(), &["byte 0"]);
    let fortran = String::from_utf8_lossy(&bytes[..128]).replace("False, ", "True,  ");
    let fortran: Vec<u8> =
        [b"\x93NUMPY\x01\x00\x76\x00", &fortran.as_bytes()[fortran.len() - 118..], &bytes[128..]]
            .concat();
    damaged(fortran, &["Fortran order", "numpy.ascontiguousarray"]);
    assert_message(open(&folder.write("w.bin", "x")), &["neither .csv"]);
    assert_message(
        open(&folder.write("w.csv", "a,b\n1,x\n"))
            .and_then(|_| Stream::<f64>::open("nowhere.csv", &raw(1))),
        &["nowhere.csv"],
    );
    assert_message(
        Stream::<f64>::open(folder.write("w.csv", table(10)), &raw(0)),
        &["at least one byte"],
    );
    let classes = StreamOptions {
        csv: CsvOptions { task: Some(Task::Values), ..CsvOptions::default() },
        ..raw(1 << 10)
    };
    assert_message(
        Stream::<f64>::open(folder.write("w.csv", table(100)), &classes),
        &["a finite number"],
    );
}

#[test]
fn a_file_that_changes_is_an_error() {
    let folder = Folder::new();
    for (name, whole, cut) in
        [("x.csv", table(5000).into_bytes(), 20_000), ("x.npy", npy(5000), 20_000)]
    {
        let path = folder.write(name, &whole);
        let stream = Stream::<f64>::open(&path, &raw(8 << 10)).unwrap();
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
