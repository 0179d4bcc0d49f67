//! CSV files.

use travertine::data::{CsvOptions, Dataset, Label, Targets, Task, read_csv};
use travertine::{ErrorKind, Result};

use super::{Folder, assert_message, classes, read_damaged, values};

const FLOWERS: &str = "length,width,species\n5.1,3.5,setosa\n6.2,2.9,versicolor\n5.9,3.0,setosa\n";

fn read_with(text: impl AsRef<[u8]>, options: &CsvOptions) -> Result<Dataset<f64>> {
    read_csv(Folder::new().write("x.csv", text), options)
}

fn read(text: impl AsRef<[u8]>) -> Result<Dataset<f64>> {
    read_with(text, &CsvOptions::default())
}

fn with_label(label: Label) -> CsvOptions {
    CsvOptions { label, ..CsvOptions::default() }
}

fn with_header(header: bool) -> CsvOptions {
    CsvOptions { header: Some(header), ..CsvOptions::default() }
}

fn with_task(task: Task) -> CsvOptions {
    CsvOptions { task: Some(task), ..CsvOptions::default() }
}

fn strings(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| name.to_string()).collect()
}

fn expecting(names: &[&str], label: Label) -> CsvOptions {
    CsvOptions { features: Some(strings(names)), label, ..CsvOptions::default() }
}

#[test]
fn header_features_and_classes() {
    let data = read(FLOWERS).unwrap();
    assert_eq!(data.features(), [5.1, 3.5, 6.2, 2.9, 5.9, 3.0]);
    assert_eq!(classes(&data), (vec![0, 1, 0], vec!["setosa", "versicolor"]));
    assert_eq!(
        (data.feature_names(), data.target_name()),
        (&strings(&["length", "width"])[..], Some("species"))
    );
}

#[test]
fn spelling_that_changes_nothing() {
    let plain = read(FLOWERS).unwrap();
    let same = [
        format!("\u{feff}{FLOWERS}"),
        FLOWERS.replace(',', ";"),
        FLOWERS.replace(',', "\t"),
        FLOWERS.replace('\n', "\r\n"),
        FLOWERS.replace(',', " , ").replace("5.1", "+5.1 ").replace("3.0", "3e0"),
        FLOWERS.replace('\n', "\n\n"),
        FLOWERS.trim_end().to_owned(),
        "\"length\",\"width\",\"species\"\n\"5.1\",3.5,\"setosa\"\n6.2,2.9,versicolor\n5.9,3.0,setosa".to_owned(),
    ];
    for text in same {
        assert_eq!(read(&text).unwrap(), plain, "{text:?}");
    }
}

#[test]
fn headers_are_detected() {
    let samples = |text: &str| read(text).map(|data| data.samples()).unwrap();
    assert_eq!(samples("1,2,a\n3,4,b\n"), 2);
    assert_eq!(samples("x,2,label\n3,4,b\n"), 1);
    assert_eq!(samples("1,2,3\n"), 1);
    assert_eq!(read("1,2,a\n3,4,b\n").unwrap().feature_names().len(), 0);
    assert_eq!(read(",a,b\n1,2,3\n").unwrap().feature_names(), ["column 1", "a"]);
    // A missing value in the first row does not make it a header.
    for word in ["", "NA", "?", "NaN", "null"] {
        assert_message(
            read(format!("1,{word},5\n3,4,5\n")),
            &["line 1, column 2", "a missing value"],
        );
    }
    let numbers = "1,2,3\n4,5,6\n";
    assert_eq!(read_with(numbers, &with_header(true)).unwrap().feature_names(), ["1", "2"]);
    assert_eq!(
        read_with(numbers, &with_label(Label::Name("2".into()))).unwrap().target_name(),
        Some("2")
    );
    assert_message(read_with(FLOWERS, &with_header(false)), &["line 1, column 1", "\"length\""]);
}

#[test]
fn the_label_may_be_any_column() {
    let read = |label| {
        read_with(FLOWERS.replace("setosa", "1").replace("versicolor", "2"), &with_label(label))
    };
    let by_name = read(Label::Name("length".into())).unwrap();
    assert_eq!(
        (values(&by_name), by_name.feature_names()),
        (&[5.1, 6.2, 5.9][..], &strings(&["width", "species"])[..])
    );
    assert_eq!(read(Label::Number(1)).unwrap(), by_name);
    assert_eq!(read(Label::Number(3)).unwrap(), read(Label::Last).unwrap());
    let none = read(Label::None).unwrap();
    assert_eq!((none.inputs(), none.outputs(), none.targets()), (3, 0, &Targets::None));
}

#[test]
fn label_columns_that_are_not_there() {
    let read = |text: &str, label| read_with(text, &with_label(label));
    let name = Label::Name("color".into());
    let columns = "columns \"length\", \"width\", \"species\"";
    assert_message(
        read(FLOWERS, name.clone()),
        &["x.csv", "line 1", "a column named \"color\"", columns],
    );
    assert_message(read("1,2\n", name), &["a column named \"color\"", "no header"]);
    assert_message(
        read(FLOWERS, Label::Number(4)),
        &["line 1", "at least 4 columns", "found 3 columns"],
    );
    let error = assert_message(read(FLOWERS, Label::Number(0)), &["read_csv", "counted from 1"]);
    assert!(matches!(error.kind(), ErrorKind::Argument { .. }));
    assert_message(read("a\n1\n", Label::Last), &["a feature beside the label", "1 column"]);
}

#[test]
fn classes_or_values() {
    let labels = |labels: &[&str]| {
        read(labels.iter().map(|label| format!("1,{label}\n")).collect::<String>()).unwrap()
    };
    assert_eq!(classes(&labels(&["10", "9", "10"])), (vec![1, 0, 1], vec!["9", "10"]));
    assert_eq!(
        classes(&labels(&["1", "1.0", "+1", " 1", "-0", "0"])),
        (vec![1, 1, 1, 1, 0, 0], vec!["0", "1"])
    );
    assert_eq!(classes(&labels(&["10", "b", "9"])), (vec![0, 2, 1], vec!["10", "9", "b"]));
    assert_eq!(values(&labels(&["1", "2.5", "3"])), [1.0, 2.5, 3.0]);
    let integers = |n| (0..n).map(|i| format!("1,{i}\n")).collect::<String>();
    assert_eq!(read(integers(100)).unwrap().outputs(), 100);
    assert_eq!(values(&read(integers(101)).unwrap()).len(), 101);
    assert_eq!(read_with(integers(101), &with_task(Task::Classes)).unwrap().outputs(), 101);
    assert_eq!(values(&read_with(integers(2), &with_task(Task::Values)).unwrap()), [0.0, 1.0]);
    let named = read_with("x,price\n1,2.5\n", &with_task(Task::Values)).unwrap();
    assert!(matches!(named.targets(), Targets::Values { names, .. } if names == &["price"]));
}

#[test]
fn labels_that_are_no_numbers() {
    let missing = ["line 3, column 2", "a number, as the other labels are", "\"NA\""];
    assert_message(read("1,2.5\n\n1,NA\n1,3\n"), &missing);
    assert_message(read("x,y\n1,2.5\n1,nan\n"), &["line 3, column 2 (y)", "\"nan\""]);
    assert_message(
        read("x,y\n1,2.5\n1,inf\n"),
        &["line 3, column 2 (y)", "a finite number", "\"inf\""],
    );
    assert_message(
        read("x,y\n1,a\n1, \n"),
        &["line 3, column 2 (y)", "a label", "a missing value"],
    );
    assert_message(
        read_with("x,y\n1,1\n1,a\n", &with_task(Task::Values)),
        &["line 3, column 2 (y)", "\"a\""],
    );
}

#[test]
fn known_classes_keep_their_order() {
    let read = |text: &str, names: &[&str], task| {
        read_with(
            text,
            &CsvOptions { classes: Some(strings(names)), task, ..CsvOptions::default() },
        )
    };
    let known = ["versicolor", "virginica", "setosa"];
    assert_eq!(classes(&read(FLOWERS, &known, None).unwrap()), (vec![2, 0, 2], known.to_vec()));
    assert_eq!(classes(&read("0,1.0\n0,01\n", &["1"], None).unwrap()).0, [0, 0]);
    let parts =
        ["line 3, column 3 (species)", "known classes \"setosa\", \"b\"", "found \"versicolor\""];
    assert_message(read(FLOWERS, &["setosa", "b"], Some(Task::Classes)), &parts);
    assert_message(read(FLOWERS, &known, Some(Task::Values)), &["read_csv", "classes are given"]);
}

#[test]
fn expected_features_by_name() {
    let names = ["width", "length"];
    let species = || Label::Name("species".into());
    let data = read_with(FLOWERS, &expecting(&names, species())).unwrap();
    assert_eq!(
        (data.sample(0).unwrap(), data.feature_names()),
        (&[3.5, 5.1][..], &strings(&names)[..])
    );
    assert_eq!(data.target_name(), Some("species"));
    assert_eq!(read_with(FLOWERS, &expecting(&names, Label::Last)).unwrap(), data);
    assert_eq!(read_with(FLOWERS, &expecting(&names, Label::None)).unwrap().outputs(), 0);
    let unlabeled = "note,length,width\nfine,1,2\n";
    for label in [species(), Label::Last, Label::Number(2), Label::Number(9)] {
        let data = read_with(unlabeled, &expecting(&names, label)).unwrap();
        assert_eq!((data.features(), data.targets()), (&[2.0, 1.0][..], &Targets::None));
    }
    let missing = read_with(FLOWERS, &expecting(&["width", "petal"], species()));
    assert_message(missing, &["line 1", "a column named \"petal\"", "\"species\""]);
    assert_eq!(
        read_with("2,1,y\n5,6,0\n", &expecting(&["1", "2"], Label::Last)).unwrap().features(),
        [6.0, 5.0]
    );
}

#[test]
fn expected_features_by_number() {
    let by_names = expecting(&["a", "b"], Label::Last);
    let by_count = CsvOptions { inputs: Some(2), ..CsvOptions::default() };
    for options in [by_names, by_count] {
        assert_eq!(read_with("1,2\n", &options).unwrap().targets(), &Targets::None);
        assert_eq!(classes(&read_with("1,2,x\n", &options).unwrap()).1, ["x"]);
        let expected =
            ["line 1", "2 columns for as many features, and one for the label", "found 4 columns"];
        assert_message(read_with("1,2,3,x\n", &options), &expected);
        let unlabeled = CsvOptions { label: Label::None, ..options };
        assert_message(
            read_with("1,2,3\n", &unlabeled),
            &["2 columns for as many features, found 3 columns"],
        );
    }
}

#[test]
fn files_without_samples() {
    assert_message(read(""), &["x.csv", "line 1", "an empty file"]);
    assert_message(read("\n\r\n"), &["an empty file"]);
    assert_message(read("\u{feff}"), &["an empty file"]);
    assert_message(read("a,b,c\n"), &["line 2", "samples below the header", "end of the file"]);
    let folder = Folder::new();
    let absent = assert_message(
        read_csv::<f32>(folder.0.join("no.csv"), &CsvOptions::default()),
        &["cannot read"],
    );
    assert!(matches!(absent.kind(), ErrorKind::Io { .. }));
}

#[test]
fn damaged_rows() {
    assert_message(read("a,b\n1,2\n1\n"), &["x.csv", "line 3", "2 fields", "found 1 field"]);
    assert_message(read("a,b\r\n1,2\r\n\r\n1,2,3\r\n"), &["line 4", "2 fields", "found 3 fields"]);
    assert_message(read(b"a,b\n1,2\n1,\xff\n"), &["line 3, byte 10", "UTF-8", "0xff"]);
    assert_message(read("a,b\n1,\"x\n2,y\n3,z\n"), &["line 2", "end on the line where they start"]);
    assert_message(
        read("a,a\n1,2\n"),
        &["line 1", "a different name for each column", "\"a\" twice"],
    );
}

#[test]
fn features_that_are_no_finite_numbers() {
    let feature = |text: &str| read(format!("a,b,c\n1,2,x\n1,{text},y\n"));
    assert_message(
        feature("4O"),
        &["line 3, column 2 (b)", "a finite number (f64)", "found \"4O\""],
    );
    assert_message(feature("\"1,5\""), &["line 3, column 2 (b)", "found \"1,5\""]);
    assert_message(feature("inf"), &["line 3, column 2 (b)", "found \"inf\""]);
    assert_message(feature("NaN"), &["line 3, column 2 (b)", "a missing value"]);
    assert_message(feature(" "), &["line 3, column 2 (b)", "a missing value"]);
    assert_message(feature(&"z".repeat(100)), &[&format!("\"{}\"...", "z".repeat(40))]);
    let path_and_folder = Folder::new();
    let path = path_and_folder.write("x.csv", "1,1e39,0\n");
    assert_message(
        read_csv::<f32>(&path, &CsvOptions::default()),
        &["line 1, column 2", "(f32)", "\"1e39\""],
    );
    assert!(read_csv::<f64>(&path, &CsvOptions::default()).is_ok());
}

#[test]
fn damaged_files() {
    read_damaged("x.csv", FLOWERS.repeat(3).as_bytes(), |path| {
        read_csv::<f32>(path, &CsvOptions::default())
    });
}
