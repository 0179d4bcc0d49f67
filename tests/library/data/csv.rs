//! Text files with numbers: CSV and its relatives.

use travertine::data::{
    Dataset, Frame, Label, Role, Schema, Table, TableOptions, Targets, Task, Values, read_dataset,
    read_frame,
};
use travertine::{ErrorKind, Result};

use super::{Folder, assert_message, classes, read_damaged, values};

const FLOWERS: &str = "length,width,species\n5.1,3.5,setosa\n6.2,2.9,versicolor\n5.9,3.0,setosa\n";

fn read_with(text: impl AsRef<[u8]>, options: &TableOptions) -> Result<Dataset<f64>> {
    read_dataset(Folder::new().write("x.csv", text), options)
}

fn read(text: impl AsRef<[u8]>) -> Result<Dataset<f64>> {
    read_with(text, &TableOptions::default())
}

fn frame(text: impl AsRef<[u8]>) -> Result<Frame> {
    read_frame(Folder::new().write("x.csv", text), &TableOptions::default())
}

fn schema(text: impl AsRef<[u8]>, options: &TableOptions) -> Schema {
    Table::open(Folder::new().write("x.csv", text), options).unwrap().schema().clone()
}

fn with_label(label: Label) -> TableOptions {
    TableOptions { label, ..TableOptions::default() }
}

fn with_header(header: bool) -> TableOptions {
    TableOptions { header: Some(header), ..TableOptions::default() }
}

fn with_task(task: Task) -> TableOptions {
    TableOptions { task: Some(task), ..TableOptions::default() }
}

fn strings(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| name.to_string()).collect()
}

/// Reads a text as a schema says, such as that of a model.
fn read_as(
    text: impl AsRef<[u8]>,
    schema: &Schema,
    classes: Option<&[&str]>,
    label: Label,
) -> Result<Dataset<f64>> {
    let folder = Folder::new();
    let path = folder.write("x.csv", text);
    Table::open_as(path, schema, classes.map(strings), &with_label(label))?.read()?.into_dataset()
}

/// Rows of two numbers that are neither constant nor counted up, with these labels.
fn labeled(labels: &[&str]) -> String {
    let row = |(i, label): (usize, &&str)| format!("{}.5,{label}\n", i * i);
    labels.iter().enumerate().map(row).collect()
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
        FLOWERS.replace(',', "|"),
        FLOWERS.replace(',', "  "),
        FLOWERS.replace(',', ";").replace('.', ","),
        format!("sep=;\n{}", FLOWERS.replace(',', ";")),
        FLOWERS.replace('\n', "\r\n"),
        FLOWERS.replace(',', " , ").replace("5.1", "+5.1 ").replace("3.0", "3e0"),
        FLOWERS.replace('\n', "\n\n"),
        FLOWERS.replace('\n', "\n,,\n"),
        FLOWERS.replace('\n', ",\n"),
        FLOWERS.replace("5.9", "# a comment\n5.9"),
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
    assert_eq!(samples("1,2,a\n3,4,b\n5,6,a\n"), 3);
    assert_eq!(samples("x,2,label\n3,4,b\n5,6,a\n"), 2);
    assert_eq!(samples("1,2,0.5\n3,4,0.25\n"), 2);
    assert_eq!(read("1,2,a\n3,4,b\n").unwrap().feature_names().len(), 0);
    let unnamed = read(",a,b\n1,2,3\n5,1,4\n2,7,5\n").unwrap();
    assert_eq!(unnamed.feature_names(), ["column 1", "a"]);
    // Numbers may be names: steps far outside their columns.
    let spectra = read("400,410,420,kind\n0.5,0.25,0.75,x\n0.5,0.125,0.5,y\n0.25,0,1,x\n").unwrap();
    assert_eq!((spectra.samples(), spectra.feature_names()[1].as_str()), (3, "410"));
    // A missing value in the first row does not make it a header.
    for word in ["", "NA", "?", "NaN", "null"] {
        let frame = frame(format!("1,{word},0.5\n3,4,0.25\n9,5,0.125\n")).unwrap();
        let Values::Numbers(numbers) = &frame.columns()[1].values else { panic!("{word}: texts") };
        assert!(numbers[0].is_nan() && numbers[1..] == [4.0, 5.0], "{word}: {numbers:?}");
    }
    let numbers = "1,2,3\n4,5,6\n9,7,8\n";
    assert_eq!(read_with(numbers, &with_header(true)).unwrap().feature_names(), ["1", "2"]);
    // As a sample, the first row of this one does not fit its columns.
    let rows: String = (0..20).map(|i| format!("{},{},x\n", i * i, 40 - i)).collect();
    let text = format!("length,width,species\n{rows}");
    assert_message(frame_with(&text, &with_header(false)), &["line 1, column 1", "\"length\""]);
    // Two readings: a name, but also a number as those below it.
    assert_message(
        read(format!("length,30,species\n{rows}")),
        &["x.csv", "line 1", "TableOptions::header", "\"length\"", "30 is a number"],
    );
}

fn frame_with(text: &str, options: &TableOptions) -> Result<Frame> {
    read_frame(Folder::new().write("x.csv", text), options)
}

#[test]
fn the_label_may_be_any_column() {
    let read = |label| {
        read_with(FLOWERS.replace("setosa", "1").replace("versicolor", "2"), &with_label(label))
    };
    let by_name = read(Label::from("length")).unwrap();
    assert_eq!(
        (values(&by_name), by_name.feature_names()),
        (&[5.1, 6.2, 5.9][..], &strings(&["width", "species"])[..])
    );
    assert_eq!(read(Label::from("1")).unwrap(), by_name);
    assert_eq!(read(Label::from("#1")).unwrap(), by_name);
    assert_eq!(read(Label::from("3")).unwrap(), read(Label::Last).unwrap());
    let none = read(Label::None).unwrap();
    assert_eq!((none.inputs(), none.outputs(), none.targets()), (3, 0, &Targets::None));
    let several = read(Label::Columns(strings(&["width", "1"]))).unwrap();
    assert!(matches!(several.targets(), Targets::Values { values, names }
        if names.len() == 2 && values.len() == 6));
    assert_eq!((several.inputs(), several.outputs()), (1, 2));
}

#[test]
fn a_name_that_is_also_a_number_must_mean_one_column() {
    let named = |text: &str, label: &str| {
        let options = TableOptions { header: Some(true), ..with_label(Label::from(label)) };
        read_with(text, &options)
    };
    let rows = "4,5,6\n9,7,8\n3,1,2\n";
    assert_eq!(named(&format!("1,2,3\n{rows}"), "2").unwrap().target_name(), Some("2"));
    let turned = format!("2,1,3\n{rows}");
    assert_message(named(&turned, "2"), &["x.csv", "\"2\"", "#1", "#2"]);
    assert_eq!(named(&turned, "#1").unwrap().target_name(), Some("2"));
    assert_eq!(named(&turned, "#2").unwrap().target_name(), Some("1"));
}

#[test]
fn label_columns_that_are_not_there() {
    let read = |text: &str, label: &str| read_with(text, &with_label(Label::from(label)));
    let columns = "there are \"length\", \"width\", \"species\"";
    assert_message(read(FLOWERS, "color"), &["x.csv", "a column \"color\"", columns]);
    assert_message(
        read("1,2\n5,3\n", "color"),
        &["a column \"color\"", "there are \"column 1\", \"column 2\""],
    );
    for number in ["4", "0", "#4", "#0"] {
        let quoted = format!("no column \"{number}\"");
        assert_message(read(FLOWERS, number), &["x.csv", &quoted, columns]);
    }
    assert_message(
        read_with("a\n1\n2\n", &with_label(Label::Last)),
        &["a column to learn from beside the label", "\"a\" is label"],
    );
}

#[test]
fn classes_or_values() {
    let labels = |labels: &[&str]| read(labeled(labels)).unwrap();
    assert_eq!(classes(&labels(&["10", "9", "10", "9"])), (vec![1, 0, 1, 0], vec!["9", "10"]));
    assert_eq!(classes(&labels(&["10", "b", "9"])), (vec![0, 2, 1], vec!["10", "9", "b"]));
    assert_eq!(classes(&labels(&["yes", "no", "yes"])), (vec![1, 0, 1], vec!["no", "yes"]));
    assert_eq!(values(&labels(&["1", "2.5", "3"])), [1.0, 2.5, 3.0]);
    // Whole numbers: at most 20 different ones, each at least twice.
    assert_eq!(values(&labels(&["10", "9", "10"])), [10.0, 9.0, 10.0]);
    let integers = |n: usize, times: usize| {
        let row = |i: usize| format!("{},{}\n", i * i, i % n);
        (0..n * times).map(row).collect::<String>()
    };
    assert_eq!(classes(&read(integers(20, 2)).unwrap()).1.len(), 20);
    assert_eq!(values(&read(integers(21, 2)).unwrap()).len(), 42);
    assert_eq!(values(&read(integers(20, 1)).unwrap()).len(), 20);
    assert_eq!(read_with(integers(101, 1), &with_task(Task::Classes)).unwrap().outputs(), 101);
    assert_eq!(
        values(&read_with(integers(2, 2), &with_task(Task::Values)).unwrap()),
        [0.0, 1.0, 0.0, 1.0]
    );
    let named = read_with("x,price\n1,2.5\n4,3\n", &with_task(Task::Values)).unwrap();
    assert!(matches!(named.targets(), Targets::Values { names, .. } if names == &["price"]));
}

#[test]
fn labels_keep_their_spelling() {
    let spelled = ["007", "7", "1E3", "1000", "7.0"];
    let twice = [spelled, spelled].concat();
    let data = read(labeled(&twice)).unwrap();
    let (labels, names) = classes(&data);
    assert_eq!(names, ["007", "7", "7.0", "1000", "1E3"]);
    assert_eq!(labels[..5], [0, 1, 4, 3, 2]);
    assert_eq!(labels[..5], labels[5..]);
    // Blanks around a label do not count.
    let data = read(labeled(&[" a", "a ", "b", "b"])).unwrap();
    assert_eq!(classes(&data), (vec![0, 0, 1, 1], vec!["a", "b"]));
    // Targets are not rounded to the precision of the network.
    let folder = Folder::new();
    let path = folder.write("x.csv", "x,y\n1,1700000000.25\n3,1700000001.5\n2,1700000000.75\n");
    let data = read_dataset::<f32>(path, &TableOptions::default()).unwrap();
    assert!(matches!(data.targets(), Targets::Values { values, .. }
        if values == &[1_700_000_000.25, 1_700_000_001.5, 1_700_000_000.75]));
}

#[test]
fn rows_without_a_label_are_left_out_and_counted() {
    for (text, samples, unlabeled) in [
        ("1,2.5\n\n4,NA\n2,3\n", 2, 1),
        ("x,y\n1,2.5\n4,nan\n2,3\n", 2, 1),
        ("x,y\n1,a\n4, \n2,b\n", 2, 1),
        ("x,y\n1,\n4,a\n2,NULL\n3,b\n", 2, 2),
    ] {
        let frame = frame(text).unwrap();
        assert_eq!((frame.samples(), frame.unlabeled()), (samples, unlabeled), "{text:?}");
        assert_eq!(frame.columns()[0].values.len(), samples, "{text:?}");
    }
    assert_message(frame("x,y\n1,\n4,NA\n"), &["x.csv", "column 2 (y)", "missing values alone"]);
}

#[test]
fn labels_that_are_no_numbers() {
    let rows: String = (0..20).map(|i| format!("{},{}.5\n", i * i, 40 - i)).collect();
    let with = |label: &str| format!("x,y\n{rows}7,{label}\n");
    assert_message(read(with("inf")), &["line 22, column 2 (y)", "a finite number", "\"inf\""]);
    assert_message(read(with("4O")), &["line 22, column 2 (y)", "a finite number", "\"4O\""]);
    assert_message(
        read_with("x,y\n1,1\n4,a\n", &with_task(Task::Values)),
        &["line 3, column 2 (y)", "a number, as the label is values", "\"a\""],
    );
    // What people write for a missing value once may be a slip; the option says that it is none.
    let slip = with("n.a.");
    assert_message(
        read(&slip),
        &["line 22, column 2 (y)", "a number", "TableOptions::missing", "\"n.a.\""],
    );
    let options = TableOptions { missing: strings(&["n.a."]), ..TableOptions::default() };
    let frame = frame_with(&slip, &options).unwrap();
    assert_eq!((frame.samples(), frame.unlabeled()), (20, 1));
}

#[test]
fn known_classes_keep_their_order() {
    let flowers = schema(FLOWERS, &TableOptions::default());
    let read = |names: &[&str]| read_as(FLOWERS, &flowers, Some(names), Label::Last);
    let known = ["versicolor", "virginica", "setosa"];
    assert_eq!(classes(&read(&known).unwrap()), (vec![2, 0, 2], known.to_vec()));
    let parts =
        ["line 3, column 3 (species)", "known classes \"setosa\", \"b\"", "found \"versicolor\""];
    assert_message(read(&["setosa", "b"]), &parts);
    // 1.0 is another way to write 1, 01 is another code.
    let codes = schema("5,1\n7,1\n2,0\n3,0\n", &with_task(Task::Classes));
    let read = |text: &str| read_as(text, &codes, Some(&["1", "0"]), Label::Last);
    assert_eq!(classes(&read("4,1.0\n6,0\n").unwrap()).0, [0, 1]);
    assert_message(read("4,01\n"), &["line 1, column 2", "known classes \"1\", \"0\"", "\"01\""]);
}

#[test]
fn expected_features_by_name() {
    let reordered = FLOWERS.replace("length,width", "width,length");
    let known = schema(&reordered, &TableOptions::default());
    let names = ["width", "length"];
    let data = read_as(FLOWERS, &known, None, Label::Last).unwrap();
    assert_eq!(
        (data.sample(0).unwrap(), data.feature_names()),
        (&[3.5, 5.1][..], &strings(&names)[..])
    );
    assert_eq!(data.target_name(), Some("species"));
    assert_eq!(read_as(FLOWERS, &known, None, Label::None).unwrap().outputs(), 0);
    let unlabeled = "note,length,width\nfine,1,2\n";
    let data = read_as(unlabeled, &known, None, Label::None).unwrap();
    assert_eq!((data.features(), data.targets()), (&[2.0, 1.0][..], &Targets::None));
    assert_message(
        read_as(unlabeled, &known, None, Label::Last),
        &["x.csv", "\"species\" among them", "\"note\", \"length\", \"width\""],
    );
    assert_message(
        read_as("length,petal,species\n1,2,setosa\n", &known, None, Label::Last),
        &["x.csv", "line 1", "\"width\" among them", "\"petal\""],
    );
    let numbered = schema("1,2,y\n5,6,0.5\n3,8,0.25\n", &with_header(true));
    let data = read_as("2,1,y\n5,6,0\n", &numbered, None, Label::Last).unwrap();
    assert_eq!(data.features(), [6.0, 5.0]);
}

#[test]
fn expected_features_by_number() {
    let bare = schema("1,2,x\n5,4,y\n3,8,x\n", &TableOptions::default());
    let read = |text: &str, label| read_as(text, &bare, None, label);
    assert_eq!(read("1,2\n", Label::None).unwrap().targets(), &Targets::None);
    assert_eq!(classes(&read("1,2,x\n", Label::Last).unwrap()).1, ["x"]);
    assert_eq!(read("1,2,x\n", Label::None).unwrap().features(), [1.0, 2.0]);
    assert_message(
        read("1,2,3,x\n", Label::Last),
        &["3 columns as the model learned, the label among them", "found 4 columns"],
    );
    assert_message(read("1,2\n", Label::Last), &["the label among them", "found 2 columns"]);
    assert_message(
        read("1,2,3,4\n", Label::None),
        &["3 columns as the model learned, or 2 without the label", "found 4 columns"],
    );
    // Columns with names are found by their names, unless the file is said to have none.
    let named = schema(FLOWERS, &TableOptions::default());
    assert_message(
        read_as("1,2\n", &named, None, Label::None),
        &["line 1", "a header with the columns that the model learned", "\"length\", \"width\""],
    );
    let folder = Folder::new();
    let path = folder.write("x.csv", "1,2\n");
    let options = TableOptions { header: Some(false), ..with_label(Label::None) };
    let frame = Table::open_as(path, &named, None, &options).unwrap().read().unwrap();
    assert_eq!(frame.into_dataset::<f64>().unwrap().features(), [1.0, 2.0]);
}

#[test]
fn files_without_samples() {
    assert_message(read(""), &["x.csv", "line 1", "an empty file"]);
    assert_message(read("\n\r\n"), &["an empty file"]);
    assert_message(read("\u{feff}"), &["an empty file"]);
    assert_message(read("a,b,c\n"), &["line 2", "samples below the header", "end of the file"]);
    let folder = Folder::new();
    let absent = assert_message(
        read_dataset::<f32>(folder.0.join("no.csv"), &TableOptions::default()),
        &["cannot read"],
    );
    assert!(matches!(absent.kind(), ErrorKind::Io { .. }));
}

#[test]
fn damaged_rows() {
    assert_message(read("a,b\n1,2\n1\n"), &["x.csv", "line 3", "2 fields", "found 1 field"]);
    assert_message(read("a,b\r\n1,2\r\n\r\n1,2,3\r\n"), &["line 4", "2 fields", "found 3 fields"]);
    assert_message(read(b"a,b\n1,2\n1,\xff\n"), &["line 3, byte 10", "UTF-8", "0xff"]);
    assert_message(
        read("a,b\n1,\"x\n2,y\n3,z\n"),
        &["line 2", "quotes in pairs", "a quote that is not closed"],
    );
}

#[test]
fn line_breaks_in_quotes_belong_to_the_field() {
    let text = "a,kind\n1,\"two\nlines\"\n2,one\n5,\"two\nlines\"\n7,\"said \"\"one\"\"\"\n";
    let data = read(text).unwrap();
    let (labels, names) = classes(&data);
    assert_eq!((labels, names), (vec![2, 0, 2, 1], vec!["one", "said \"one\"", "two\nlines"]));
    // Lines are counted as an editor counts them.
    let rows: String = (0..20).map(|i| format!("{},{i}\n", i * i)).collect();
    let text = format!("a,b,c\n{rows}x,4\n", rows = rows).replace("a,b,c", "a,\"b\nc\"");
    assert_message(read(text), &["line 23, column 1 (a)", "\"x\""]);
}

#[test]
fn columns_of_one_name_are_told_apart() {
    let data = read("a,a,b\n1,2,0.5\n4,1,0.25\n").unwrap();
    assert_eq!(data.feature_names(), ["a", "a #2"]);
}

#[test]
fn features_that_are_no_finite_numbers() {
    let rows: String = (0..20).map(|i| format!("{i},{}.5,{}\n", 40 - i, i % 2)).collect();
    let feature = |text: &str| read(format!("a,b,c\n{rows}1,{text},1\n"));
    for text in ["4O", "inf", "1e999", "1-2"] {
        let found = format!("found \"{text}\"");
        assert_message(feature(text), &["line 22, column 2 (b)", "a finite number", &found]);
    }
    assert_message(feature("\"1,5\""), &["line 22, column 2 (b)", "found \"1,5\""]);
    assert_message(feature(&"z".repeat(100)), &[&format!("\"{}\"...", "z".repeat(40))]);
    // A gap is no number; a table with gaps needs an encoder.
    for gap in ["NaN", " ", "n/a"] {
        assert_message(feature(gap), &["Frame::into_dataset", "column 'b'", "missing values"]);
    }
    let folder = Folder::new();
    let path = folder.write("x.csv", "1,1e39,0\n2,5,1\n4,7,0\n5,8,1\n");
    assert_message(
        read_dataset::<f32>(&path, &TableOptions::default()),
        &["feature 1 of sample 0", "inf"],
    );
    assert!(read_dataset::<f64>(&path, &TableOptions::default()).is_ok());
}

#[test]
fn columns_that_teach_nothing_are_left_out_with_a_note() {
    let text = |i: usize| format!("{},{i},5,0.1,text {i},{}\n", i + 1, i % 2);
    let rows: String = (0..30).map(text).collect();
    let table = format!("id,number,fee,rate,name,kind\n{rows}");
    let notes = [
        ("id", "it numbers the rows"),
        ("fee", "constant, 5"),
        ("rate", "constant, 0.1"),
        ("name", "texts nearly all different, 30 in 30"),
    ];
    let left_out = schema(&table, &TableOptions::default());
    let found: Vec<(&str, &str)> = left_out
        .with_role(Role::LeftOut)
        .map(|place| (&*left_out.columns[place].name, &*left_out.columns[place].note))
        .collect();
    assert_eq!(found, notes);
    assert_eq!(read(&table).unwrap().feature_names(), ["number"]);
    let keep = TableOptions { keep: strings(&["id", "fee"]), ..TableOptions::default() };
    assert_eq!(read_with(&table, &keep).unwrap().feature_names(), ["id", "number", "fee"]);
    let needless = TableOptions { keep: strings(&["number"]), ..TableOptions::default() };
    assert_message(
        read_with(&table, &needless),
        &["TableOptions::keep", "no effect", "\"number\" is not left out"],
    );
}

#[test]
fn damaged_files() {
    read_damaged("x.csv", FLOWERS.repeat(3).as_bytes(), |path| {
        read_dataset::<f32>(path, &TableOptions::default())
    });
}
