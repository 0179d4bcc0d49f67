//! Tables with texts and gaps, and how they become numbers.

use travertine::data::{
    Coding, Encoded, Encoder, EncoderOptions, Frame, Label, Role, Schema, Standardization, Table,
    TableOptions, Values, read_dataset, read_frame,
};
use travertine::layer::Categories;
use travertine::{Error, Result};

use super::{Folder, assert_message};

const PEOPLE: &str = "age,color,zip,weight,sold\n31,red,08001,70.5,yes\nNA,blue,10115,,no\n45,,08001,81.25,yes\n\
                      22,green,20095,66,no\n,red,10115,90.125,yes\n38,blue,,59.5,no\n";

fn strings(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| name.to_string()).collect()
}

fn options(categorical: &[&str], drop: &[&str]) -> TableOptions {
    TableOptions {
        categorical: strings(categorical),
        drop: strings(drop),
        ..TableOptions::default()
    }
}

fn read(text: &str, options: &TableOptions) -> Result<Frame> {
    read_frame(Folder::new().write("x.csv", text), options)
}

fn schema(text: &str, options: &TableOptions) -> Result<Schema> {
    Ok(Table::open(Folder::new().write("x.csv", text), options)?.schema().clone())
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
    let encoded = encoder.encode::<f64>(&train, None).unwrap();
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
    let encoded = encoder.encode::<f64>(&test, None).unwrap();
    assert_eq!(
        encoded.data.features(),
        [22.0, 0.0, 0.0, 0.0, 0.0, 66.0, 31.0, 0.0, 1.0, 1.0, 0.0, 70.5]
    );
    let unknown: Vec<_> =
        encoded.unknown.iter().map(|u| (&*u.column, u.samples, &*u.example)).collect();
    assert_eq!(unknown, [("color", 1, "green"), ("zip", 1, "20095")]);

    // Texts stay 0 and 1; numbers get mean 0 and deviation 1, in which the mean stands for gaps.
    let (same, standardization) = Encoder::fit_with_standardization(&train).unwrap();
    assert_eq!(same, encoder);
    let encoded = encoder.encode::<f64>(&train, None).unwrap().data;
    for feature in [0, 5] {
        let column: Vec<f64> = (0..5).map(|i| encoded.sample(i).unwrap()[feature]).collect();
        let mean = column.iter().sum::<f64>() / 5.0;
        let variance = column.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / 5.0;
        assert!((standardization.mean[feature] - mean).abs() < 1e-13 * mean);
        assert!((standardization.deviation[feature] / variance.sqrt() - 1.0).abs() < 1e-13);
    }
    let (mean, deviation) = (&standardization.mean[1..5], &standardization.deviation[1..5]);
    assert_eq!((mean, deviation), (&[0.0; 4][..], &[1.0; 4][..]));
    // Numbers are centered and scaled before they are rounded.
    let scaled = encoder.encode::<f32>(&train, Some(&standardization)).unwrap().data;
    for (i, &x) in scaled.features().iter().enumerate() {
        let (mean, deviation) = (standardization.mean[i % 6], standardization.deviation[i % 6]);
        assert_eq!(x, ((encoded.features()[i] - mean) / deviation) as f32, "{i}");
    }
}

#[test]
fn a_large_mean_costs_no_digits() {
    let text: String =
        (0..40).map(|i| format!("{},{}\n", 1_700_000_000 + i * 7 % 40, i % 2)).collect();
    let frame = read(&text, &options(&[], &[])).unwrap();
    let (encoder, standardization) = Encoder::fit_with_standardization(&frame).unwrap();
    let data = encoder.encode::<f32>(&frame, Some(&standardization)).unwrap().data;
    // Mean and variance of 0 to 39.
    let deviation = ((40.0_f64.powi(2) - 1.0) / 12.0).sqrt();
    for (i, &x) in data.features().iter().enumerate() {
        let expected = ((i * 7 % 40) as f64 - 19.5) / deviation;
        assert!((f64::from(x) - expected).abs() < 1e-6, "{i}: {x} {expected}");
    }
}

#[test]
fn a_complete_table_is_what_read_dataset_reads() {
    let text = "a,b,c\n1,2.5,x\n3,-4,y\n5e2,0,x\n";
    let folder = Folder::new();
    let path = folder.write("x.csv", text);
    let frame = read_frame(&path, &TableOptions::default()).unwrap();
    assert!(frame.is_complete());
    let data = frame.into_dataset::<f32>().unwrap();
    assert_eq!(data.features(), [1.0, 2.5, 3.0, -4.0, 500.0, 0.0]);
    assert_eq!(data, read_dataset(&path, &TableOptions::default()).unwrap());
    let gaps = read(PEOPLE, &TableOptions::default()).and_then(Frame::into_dataset::<f32>);
    assert!(message(gaps).contains("'age'"));
}

#[test]
fn columns_are_found_out_named_and_dropped() {
    let kinds = |frame: &Frame| -> String {
        let kind = |values: &Values| match values {
            Values::Numbers(_) => 'n',
            Values::Dates(_) => 'd',
            Values::Texts { .. } => 't',
        };
        frame.columns().iter().map(|column| kind(&column.values)).collect()
    };
    assert_eq!(kinds(&read(PEOPLE, &options(&[], &[])).unwrap()), "ntnn");
    assert_eq!(kinds(&read(PEOPLE, &options(&["zip", "age"], &[])).unwrap()), "tttn");
    assert_eq!(kinds(&read(PEOPLE, &options(&["3"], &["color", "1"])).unwrap()), "tn");
    // A column of few different values of both kinds: they are texts as they were written, but for the decimals of whole numbers.
    let mixed = read("a,b\n1.0,x\n1,y\nold,x\n01,y\n", &options(&[], &[])).unwrap();
    assert!(matches!(&mixed.columns()[0].values, Values::Texts { names, codes }
        if names == &["1", "old", "01"] && codes == &[0, 0, 1, 2]));
    let dates = read("day,b\n2026-11-29,x\n2026-12-01,y\n", &options(&[], &[])).unwrap();
    assert_eq!(kinds(&dates), "d");
    // Without a header columns are numbered.
    let bare = read("5,red,yes\n9,blue,no\n4,red,no\n", &options(&[], &[])).unwrap();
    assert_eq!(bare.columns()[1].name, "column 2");
}

#[test]
fn what_cannot_be_a_table_is_told() {
    let wrong = |text: &str, options: &TableOptions, parts: &[&str]| {
        assert_message(read(text, options), parts)
    };
    wrong(PEOPLE, &options(&["size"], &[]), &["a column \"size\"", "\"age\", \"color\""]);
    wrong(PEOPLE, &options(&[], &["9"]), &["no column \"9\""]);
    wrong(
        PEOPLE,
        &options(&[], &["sold"]),
        &["columns that are named once", "\"sold\" by TableOptions::label and TableOptions::drop"],
    );
    wrong("a,b\n1,x\n1e999,y\n", &options(&[], &[]), &["line 3, column 1 (a)", "a finite number"]);
    // One text among many numbers is a typing error.
    let rows: String = (0..20).map(|i| format!("{i},{}\n", i % 2)).collect();
    wrong(
        &format!("a,b\n{rows}4O,1\n"),
        &options(&[], &[]),
        &[
            "line 22, column 1 (a)",
            "a finite number",
            "TableOptions::missing",
            "TableOptions::categorical",
            "\"4O\"",
        ],
    );
    assert!(read(&format!("a,b\n{rows}4O,1\n"), &options(&["a"], &[])).is_ok());
    // As many texts as numbers, all different: neither reading is right.
    let halves: String = (0..40).map(|i| format!("{}{i},{}\n", ["", "n"][i % 2], i % 3)).collect();
    wrong(
        &format!("a,b\n{halves}"),
        &options(&[], &[]),
        &[
            "numbers or texts alone",
            "20 numbers, as \"0\" at line 2",
            "20 texts, as \"n1\"",
            "line 3, column 1 (a)",
        ],
    );
    // A column without a value teaches nothing.
    let rows = "a,b,c\n1,,x\n2,NA,y\n3,5,x\n4,6,y\n";
    let empty = read(rows, &options(&[], &[])).unwrap().select(&[0, 1]).unwrap();
    assert!(message(Encoder::fit(&empty)).contains("column 'b' has no value in the training part"));
    assert!(message(empty.select(&[])).contains("no samples"));
    assert!(message(empty.select(&[2])).contains("no sample 2"));
}

#[test]
fn texts_that_are_all_different_are_left_out() {
    // Texts that are all different are names.
    let rows: String = (0..30).map(|i| format!("n{i},{i},{}\n", i % 2)).collect();
    let text = format!("a,b,c\n{rows}");
    let found = schema(&text, &options(&[], &[])).unwrap();
    assert_eq!(found.columns[0].role, Role::LeftOut);
    assert!(found.columns[0].note.contains("30 in 30"), "{}", found.columns[0].note);
    let columns = |options: &TableOptions| read(&text, options).unwrap().columns().len();
    assert_eq!(columns(&options(&[], &[])), 1);
    assert_eq!(columns(&options(&["a"], &[])), 2);
    assert_eq!(columns(&options(&[], &["a"])), 1);
    assert_eq!(columns(&TableOptions { keep: strings(&["a"]), ..TableOptions::default() }), 2);
}

#[test]
fn files_for_a_known_table() {
    let known = schema(PEOPLE, &options(&["zip"], &[])).unwrap();
    let encoder = Encoder::fit(&read(PEOPLE, &options(&["zip"], &[])).unwrap()).unwrap();
    assert!(
        matches!(&encoder.columns()[0].coding, Coding::Mean(mean) if (mean - 34.0).abs() < 1e-12)
    );
    let with = |text: &str, label: Label| -> Result<Encoded<f64>> {
        let folder = Folder::new();
        let options = TableOptions { label, ..TableOptions::default() };
        let path = folder.write("x.csv", text);
        encoder.encode(&Table::open_as(path, &known, None, &options)?.read()?, None)
    };
    // Another order, more columns, no label; zip codes that are texts though they look like numbers.
    let same = "zip,extra,weight,color,age\n08001,?,70.5,red,31\n,x,,purple,\n";
    let encoded = with(same, Label::None).unwrap();
    assert_eq!(encoded.data.features()[..7], [31.0, 0.0, 0.0, 1.0, 1.0, 0.0, 0.0]);
    assert_eq!((encoded.data.outputs(), encoded.unknown.len()), (0, 1));
    assert_eq!(encoded.data.features()[8], 34.0);
    let labeled = with(PEOPLE, Label::Last).unwrap();
    assert_eq!(labeled.data.outputs(), 2);
    assert_message(with(same, Label::Last), &["x.csv", "\"sold\" among them"]);

    let refused = |text: &str, parts: &[&str]| assert_message(with(text, Label::None), parts);
    refused("age,colour,weight\n1,red,2\n", &["\"color\", \"zip\" among them", "\"colour\""]);
    refused(
        "31,red,08001,70.5\n",
        &["line 1", "a header with the columns that the model learned", "\"age\", \"color\""],
    );
    refused(
        "age,color,zip,weight\n1,red,1,heavy\n",
        &["line 2, column 4 (weight)", "a finite number", "\"heavy\""],
    );
    let other =
        read("age,color,zip,size,sold\n1,red,1,2,yes\n2,blue,2,3,no\n", &options(&["zip"], &[]))
            .unwrap();
    let encoded = encoder.encode::<f64>(&other, None);
    assert!(message(encoded).contains("found column 'size' where 'weight' was expected"));
    let numbers =
        read("age,color,zip,weight,sold\n1,1,1,2,yes\n2,2,2,3,no\n", &options(&["zip"], &[]))
            .unwrap();
    let encoded = encoder.encode::<f64>(&numbers, None);
    assert!(
        message(encoded).contains("column 'color' has numbers; the encoder was fitted on texts")
    );
}

#[test]
fn tables_without_a_header_are_known_by_their_places() {
    let text = "5,red,yes\n9,blue,no\n4,red,no\n";
    let known = schema(text, &options(&[], &[])).unwrap();
    let encoder = Encoder::fit(&read(text, &options(&[], &[])).unwrap()).unwrap();
    let folder = Folder::new();
    let path = folder.write("y.csv", "5,blue\n6,red\n");
    for header in [None, Some(false)] {
        let options = TableOptions { header, label: Label::None, ..TableOptions::default() };
        let frame = Table::open_as(&path, &known, None, &options).unwrap().read().unwrap();
        let encoded = encoder.encode::<f64>(&frame, None).unwrap();
        assert_eq!(encoded.data.features(), [5.0, 1.0, 0.0, 6.0, 0.0, 1.0]);
    }
}

#[test]
fn what_training_did_not_see_is_counted() {
    let known = schema(PEOPLE, &options(&["age"], &["zip"])).unwrap();
    let frame = read(PEOPLE, &options(&["age"], &["zip"])).unwrap();
    let complete = frame.select(&[0, 3]).unwrap();
    let encoder = Encoder::fit(&complete).unwrap();
    let folder = Folder::new();
    // Weights were 66 to 70.5: as far again is not warned of.
    let text = "age,color,weight\n31.0,,75\n22,pink,75.5\n31,red,61\n31,pink,\n";
    let path = folder.write("x.csv", text);
    let options = TableOptions { label: Label::None, ..TableOptions::default() };
    let frame = Table::open_as(path, &known, None, &options).unwrap().read().unwrap();
    let encoded = encoder.encode::<f64>(&frame, None).unwrap();
    let list = |unseen: &[travertine::data::Unknown]| -> Vec<(String, usize, String)> {
        unseen.iter().map(|u| (u.column.clone(), u.samples, u.example.clone())).collect()
    };
    let one =
        |column: &str, samples, example: &str| (column.to_owned(), samples, example.to_owned());
    assert_eq!(list(&encoded.unknown), [one("color", 2, "pink")]);
    assert_eq!(list(&encoded.gaps), [one("color", 1, ""), one("weight", 1, "")]);
    assert_eq!(list(&encoded.outside), [one("weight", 2, "75.5")]);
    assert_eq!(encoded.warnings().len(), 4);
}

/// scikit-learn 1.8: `OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1, encoded_missing_value=-1)`, plus 1, fitted on rows 0,
/// 1, 2, 4, 5. Numbers of categories are no quantities: no scale changes them.
#[test]
fn codes_are_those_of_scikit_learn() {
    let text = PEOPLE.replace("31,red", "31,violet");
    let frame = read(&text, &options(&["zip"], &["age", "weight"])).unwrap();
    let train = frame.select(&[0, 1, 2, 4, 5]).unwrap();
    let most = EncoderOptions { most_one_hot: 2, ..EncoderOptions::default() };
    let (encoder, standard) = Encoder::fit_with(&train, &most).unwrap();
    assert_eq!(encoder.feature_names(), ["color", "zip=08001", "zip=10115"]);
    let [color, _] = encoder.columns() else { panic!("{:?}", encoder.columns()) };
    assert_eq!(color.coding, Coding::Codes(strings(&["blue", "red", "violet"])));
    let categories = Categories { feature: 0, count: 3 };
    assert_eq!((encoder.categories(), &standard.unscaled), (vec![categories], &vec![0]));
    let raw = encoder.encode::<f64>(&frame, None).unwrap();
    let robust = Standardization::fit_robust(&raw.data).unwrap().with_unscaled(vec![0]);
    for scale in [None, Some(&standard), Some(&robust)] {
        let encoded = encoder.encode::<f64>(&frame, scale).unwrap();
        let codes: Vec<f64> = encoded.data.features().chunks(3).map(|sample| sample[0]).collect();
        // violet, blue, missing, green, red, blue
        assert_eq!(codes, [3.0, 1.0, 0.0, 0.0, 2.0, 1.0]);
        let unknown: Vec<_> = encoded.unknown.iter().map(|u| (u.samples, &*u.example)).collect();
        assert_eq!(unknown, [(1, "green"), (1, "20095")]);
        let mut applied = raw.data.clone();
        if let Some(scale) = scale {
            scale.apply(&mut applied).unwrap();
        }
        assert_eq!(applied.features(), encoded.data.features());
    }
    for wrong in [vec![1, 0], vec![3]] {
        let outcome = robust.clone().with_unscaled(wrong).apply(&mut raw.data.clone());
        assert_message(outcome, &["unscaled", "3 features"]);
    }
}

/// Edges are numpy's `quantile(x, [0, 1/2, 1])` of 31, 38 and 45; shares are those of equation 1 in arXiv 2203.05556.
#[test]
fn numbers_in_bins_are_those_of_the_paper() {
    let frame = read(PEOPLE, &options(&[], &["weight", "color", "zip"])).unwrap();
    let train = frame.select(&[0, 1, 2, 4, 5]).unwrap();
    let fit = |bins| Encoder::fit_with(&train, &EncoderOptions { bins, ..Default::default() });
    let (encoder, standard) = fit(Some(2)).unwrap();
    assert_eq!(encoder.feature_names(), ["age: bin 1", "age: bin 2"]);
    let edges = vec![31.0, 38.0, 45.0];
    assert_eq!(encoder.columns()[0].coding, Coding::Bins { mean: 38.0, edges });
    assert_eq!((encoder.unscaled(), &standard.unscaled), (vec![0, 1], &vec![0, 1]));
    let robust = Standardization::fit_robust(&encoder.encode::<f64>(&train, None).unwrap().data);
    let robust = robust.unwrap().with_unscaled(encoder.unscaled());
    for scale in [None, Some(&standard), Some(&robust)] {
        let encoded = encoder.encode::<f64>(&frame, scale).unwrap();
        #[rustfmt::skip]
        assert_eq!(encoded.data.features(), [
            0.0, 0.0, // 31
            1.0, 0.0, // the mean, 38
            1.0, 1.0, // 45
            -9.0 / 7.0, 0.0, // 22
            1.0, 0.0,
            1.0, 0.0, // 38
        ]);
    }
    // Three numbers have no more than two bins between them, and numbers that repeat have fewer.
    let (many, _) = fit(Some(48)).unwrap();
    assert_eq!(many.features(), 48, "quantiles between numbers are edges too");
    let text = "x,k\n5,a\n5,b\n5,a\n5,b\n5,a\n9,b\n";
    let repeated = read(text, &TableOptions::default()).unwrap();
    let all = EncoderOptions { bins: Some(4), ..Default::default() };
    let (encoder, _) = Encoder::fit_with(&repeated, &all).unwrap();
    let Coding::Bins { edges, .. } = &encoder.columns()[0].coding else { panic!() };
    assert_eq!(edges, &[5.0, 9.0]);
    assert_message(fit(Some(1)), &["at least two bins, not 1"]);
}
