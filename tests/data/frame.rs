//! Tables with texts and gaps, and how they become numbers.

use travertine::data::{
    Coding, CsvOptions, Encoder, Frame, Label, Standardization, Values, read_csv, read_frame,
};
use travertine::{Error, Result};

use super::{Folder, assert_message};

const PEOPLE: &str = "age,color,zip,weight,sold\n31,red,08001,70.5,yes\nNA,blue,10115,,no\n45,,08001,81.25,yes\n\
                      22,green,20095,66,no\n,red,10115,90.125,yes\n38,blue,,59.5,no\n";

fn options(categorical: &[&str], drop: &[&str]) -> CsvOptions {
    let strings = |names: &[&str]| names.iter().map(|name| name.to_string()).collect();
    CsvOptions { categorical: strings(categorical), drop: strings(drop), ..CsvOptions::default() }
}

fn read(text: &str, options: &CsvOptions) -> Result<Frame<f64>> {
    read_frame(Folder::new().write("x.csv", text), options)
}

fn message<T>(outcome: Result<T>) -> String {
    outcome.err().map(|error: Error| error.to_string()).unwrap()
}

/// scikit-learn 1.8: `SimpleImputer` for numbers, `OneHotEncoder(handle_unknown="ignore")` over `sorted(column.dropna().unique())` for texts,
/// fitted on rows 0, 1, 2, 4, 5.
#[test]
fn numbers_are_those_of_scikit_learn() {
    let frame = read(PEOPLE, &options(&["zip"], &[])).unwrap();
    let (train, test) = (frame.select(&[0, 1, 2, 4, 5]).unwrap(), frame.select(&[3, 0]).unwrap());
    let encoder = Encoder::fit(&train).unwrap();
    let names = ["age", "color=blue", "color=red", "zip=08001", "zip=10115", "weight"];
    assert_eq!(encoder.feature_names(), names);
    let encoded = encoder.encode(&train).unwrap();
    #[rustfmt::skip]
    assert_eq!(encoded.data.features(), [
        31.0, 0.0, 1.0, 1.0, 0.0, 70.5,
        38.0, 1.0, 0.0, 0.0, 1.0, 75.34375,
        45.0, 0.0, 0.0, 1.0, 0.0, 81.25,
        38.0, 0.0, 1.0, 0.0, 1.0, 90.125,
        38.0, 1.0, 0.0, 0.0, 0.0, 59.5,
    ]);
    assert_eq!(
        (encoded.unknown.len(), encoded.data.feature_names()),
        (0, &names.map(str::to_owned)[..])
    );
    let encoded = encoder.encode(&test).unwrap();
    assert_eq!(
        encoded.data.features(),
        [22.0, 0.0, 0.0, 0.0, 0.0, 66.0, 31.0, 0.0, 1.0, 1.0, 0.0, 70.5]
    );
    let unknown: Vec<_> =
        encoded.unknown.iter().map(|u| (&*u.column, u.samples, &*u.example)).collect();
    assert_eq!(unknown, [("color", 1, "green"), ("zip", 1, "20095")]);

    // Texts stay 0 and 1; numbers get mean 0.
    let data = encoder.encode(&train).unwrap().data;
    let (plain, ours) =
        (Standardization::fit(&data).unwrap(), encoder.standardization(&data).unwrap());
    assert_eq!((ours.mean[0], ours.deviation[5]), (plain.mean[0], plain.deviation[5]));
    assert_eq!((&ours.mean[1..5], &ours.deviation[1..5]), (&[0.0; 4][..], &[1.0; 4][..]));
}

#[test]
fn a_complete_table_is_what_read_csv_reads() {
    let text = "a,b,c\n1,2.5,x\n3,-4,y\n5e2,0,x\n";
    let folder = Folder::new();
    let path = folder.write("x.csv", text);
    let frame = read_frame::<f32>(&path, &CsvOptions::default()).unwrap();
    assert!(frame.is_complete());
    assert_eq!(frame.into_dataset().unwrap(), read_csv(&path, &CsvOptions::default()).unwrap());
    assert!(
        message(read(PEOPLE, &CsvOptions::default()).and_then(Frame::into_dataset))
            .contains("'age'")
    );
}

#[test]
fn columns_are_found_out_named_and_dropped() {
    let kinds = |frame: &Frame<f64>| -> String {
        frame
            .columns()
            .iter()
            .map(|c| if matches!(c.values, Values::Numbers(_)) { 'n' } else { 't' })
            .collect()
    };
    assert_eq!(kinds(&read(PEOPLE, &options(&[], &[])).unwrap()), "ntnn");
    assert_eq!(kinds(&read(PEOPLE, &options(&["zip", "age"], &[])).unwrap()), "tttn");
    assert_eq!(kinds(&read(PEOPLE, &options(&["3"], &["color", "1"])).unwrap()), "tn");
    // A column that begins with numbers: they are texts as they were written.
    let mixed = read("a,b\n1.0,x\n1,y\nold,x\n01,y\n", &options(&[], &[])).unwrap();
    assert!(matches!(&mixed.columns()[0].values, Values::Texts { names, codes }
        if names == &["1.0", "1", "old", "01"] && codes == &[0, 1, 2, 3]));
    // Without a header columns are numbered.
    let bare = read("1,red,yes\n2,blue,no\n3,red,no\n", &options(&[], &[])).unwrap();
    assert_eq!(bare.columns()[1].name, "column 2");
}

#[test]
fn what_cannot_be_a_table_is_told() {
    let wrong = |text: &str, options: &CsvOptions, parts: &[&str]| {
        assert_message(read(text, options), parts)
    };
    wrong(PEOPLE, &options(&["size"], &[]), &["a column named \"size\"", "\"age\", \"color\""]);
    wrong(PEOPLE, &options(&[], &["9"]), &["a column named \"9\""]);
    wrong(PEOPLE, &options(&[], &["sold"]), &["a label that is not left out", "\"sold\" for both"]);
    wrong("a,b\n1,\n2,x\n", &options(&[], &[]), &["line 2, column 2 (b)", "a label"]);
    wrong("a,b\n1,x\n1e999,y\n", &options(&[], &[]), &["line 3, column 1 (a)", "a finite number"]);
    // One text among many numbers is a typing error.
    let rows: String = (0..20).map(|i| format!("{i},{}\n", i % 2)).collect();
    wrong(
        &format!("a,b\n{rows}4O,1\n"),
        &options(&[], &[]),
        &["line 22, column 1 (a)", "20 of 21 values", "\"4O\""],
    );
    assert!(read(&format!("a,b\n{rows}4O,1\n"), &options(&["a"], &[])).is_ok());
    // Texts that are all different are names.
    let rows: String = (0..30).map(|i| format!("n{i},{i},{}\n", i % 2)).collect();
    wrong(
        &format!("a,b,c\n{rows}"),
        &options(&[], &[]),
        &["column 1 (a)", "CsvOptions::drop", "30 different texts in 30 samples"],
    );
    assert_eq!(read(&format!("a,b,c\n{rows}"), &options(&["a"], &[])).unwrap().columns().len(), 2);
    assert_eq!(read(&format!("a,b,c\n{rows}"), &options(&[], &["a"])).unwrap().columns().len(), 1);
    // A column without a value teaches nothing.
    let empty =
        read("a,b,c\n1,,x\n2,NA,y\n3,5,x\n", &options(&[], &[])).unwrap().select(&[0, 1]).unwrap();
    assert!(message(Encoder::fit(&empty)).contains("column 'b' has no value in the training part"));
    assert!(message(empty.select(&[])).contains("no samples"));
    assert!(message(empty.select(&[2])).contains("no sample 2"));
}

#[test]
fn files_for_a_known_table() {
    let encoder = Encoder::fit(&read(PEOPLE, &options(&["zip"], &[])).unwrap()).unwrap();
    assert!(
        matches!(&encoder.columns()[0].coding, Coding::Mean(mean) if (mean - 34.0).abs() < 1e-12)
    );
    let with = |text: &str, label: Label| {
        encoder.read_csv::<f64>(
            Folder::new().write("x.csv", text),
            &CsvOptions { label, ..CsvOptions::default() },
        )
    };
    // Another order, more columns, no label; zip codes that are texts though they look like numbers.
    let same = "zip,extra,weight,color,age\n08001,?,70.5,red,31\n,x,,purple,\n";
    let encoded = with(same, Label::Name("sold".into())).unwrap();
    assert_eq!(encoded.data.features()[..7], [31.0, 0.0, 0.0, 1.0, 1.0, 0.0, 0.0]);
    assert_eq!((encoded.data.outputs(), encoded.unknown.len()), (0, 1));
    assert_eq!(encoded.data.features()[8], 34.0);
    let labeled = with(PEOPLE, Label::Name("sold".into())).unwrap();
    assert_eq!(labeled.data.outputs(), 2);

    let refused = |text: &str, parts: &[&str]| assert_message(with(text, Label::None), parts);
    refused("age,colour,weight\n1,red,2\n", &["no \"color\", \"zip\"", "\"colour\""]);
    refused(
        "31,red,08001,70.5\n",
        &["the columns that the model learned", "4 columns without a header"],
    );
    refused(
        "age,color,zip,weight\n1,red,1,heavy\n",
        &["line 2, column 4 (weight)", "a finite number", "\"heavy\""],
    );
    let other =
        read("age,color,zip,size,sold\n1,red,1,2,yes\n2,red,1,3,no\n", &options(&["zip"], &[]))
            .unwrap();
    assert!(
        message(encoder.encode(&other)).contains("found column 'size' where 'weight' was expected")
    );
    let numbers =
        read("age,color,zip,weight,sold\n1,1,1,2,yes\n2,2,1,3,no\n", &options(&["zip"], &[]))
            .unwrap();
    assert!(message(encoder.encode(&numbers)).contains("'color'"));

    let bare = Encoder::fit(&read("1,red,yes\n2,blue,no\n3,red,no\n", &options(&[], &[])).unwrap())
        .unwrap();
    let folder = Folder::new();
    let path = folder.write("y.csv", "5,blue\n6,red\n");
    let encoded = bare
        .read_csv::<f64>(path, &CsvOptions { header: Some(false), ..CsvOptions::default() })
        .unwrap();
    assert_eq!(encoded.data.features(), [5.0, 1.0, 0.0, 6.0, 0.0, 1.0]);
}
