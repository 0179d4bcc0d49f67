//! Rows and records: how they become features, and which are refused.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::json;
use travertine::data::{Encoder, Table, TableOptions, Task, Unknown};
use travertine::model_file::ModelInfo;
use travertine::{Activation, InputKind, Loss, Model, Network};

use super::{TempFile, cpu, format_parts, plain_model, reference, table_model};
use crate::common;

#[test]
fn a_record_is_encoded_standardized_and_named() {
    let (model, _file) = table_model("record.csv");
    assert_eq!(model.task(), Task::Classes);
    let names: Vec<&str> = model.columns().iter().map(|column| &*column.name).collect();
    assert_eq!(names, ["age", "color"]);
    assert_eq!(model.columns()[0].kind, InputKind::Number);
    let colors = ["blue", "green", "red"].map(str::to_owned).to_vec();
    assert_eq!(model.columns()[1].kind, InputKind::Categories(colors));
    assert!(model.columns().iter().all(|column| column.allows_gaps));

    let mut predictor = model.predictor(2).unwrap();
    // The mean of 30, 50 and 41; the deviation of all four, the gap being the mean.
    let mean = 121.0 / 3.0;
    let squares = [30.0, mean, 50.0, 41.0].map(|x: f64| (x - mean).powi(2));
    let deviation = (squares.iter().sum::<f64>() / 4.0).sqrt();
    for (record, features) in [
        (json!({"age": 35, "color": "red"}), [(35.0 - mean) / deviation, 0.0, 0.0, 1.0]),
        (json!({"age": null, "color": "blue"}), [0.0, 1.0, 0.0, 0.0]),
        (json!({"age": 50.5, "color": null}), [(50.5 - mean) / deviation, 0.0, 0.0, 0.0]),
        (json!({"color": " n/a ", "age": 1, "sold": "yes", "more": {"deep": []}}), {
            [(1.0 - mean) / deviation, 0.0, 0.0, 0.0]
        }),
    ] {
        let expected = reference(model.network(), &features);
        let prediction = predictor.predict_record(&record).unwrap();
        let found = prediction.probabilities();
        assert!(common::relative(found, &expected) < 1e-12, "{record}: {found:?} {expected:?}");
        let best = usize::from(expected[1] > expected[0]);
        assert_eq!(prediction.class_index(), Some(best));
        assert_eq!(prediction.class(), Some(["no", "yes"][best]));
        assert_eq!(prediction.probability(), Some(found[best]));
        assert!(prediction.values().is_empty());
    }
}

#[derive(Serialize)]
enum Color {
    #[serde(rename = "red")]
    Red,
}

#[derive(Serialize)]
struct Person {
    age: Option<u8>,
    color: Color,
}

#[test]
fn structs_maps_and_json_are_the_same_record() {
    let (model, _file) = table_model("struct.csv");
    let mut predictor = model.predictor(1).unwrap();
    let mut scores = |record: &dyn erased::Record| record.scores(&mut predictor);
    let expected = scores(&json!({"age": 33, "color": "red"}));
    assert_eq!(scores(&Person { age: Some(33), color: Color::Red }), expected);
    let map = BTreeMap::from([("color", json!("red")), ("age", json!(33.0))]);
    assert_eq!(scores(&map), expected);
    assert_ne!(scores(&Person { age: None, color: Color::Red }), expected);
}

/// Records of several types in one closure.
mod erased {
    use serde::Serialize;
    use travertine::Predictor;

    pub trait Record {
        fn scores(&self, predictor: &mut Predictor<f64>) -> Vec<f64>;
    }

    impl<R: Serialize> Record for R {
        fn scores(&self, predictor: &mut Predictor<f64>) -> Vec<f64> {
            predictor.predict_record(self).unwrap().scores().to_vec()
        }
    }
}

#[test]
fn bad_records_are_refused_and_the_column_is_named() {
    let (model, _file) = table_model("bad.csv");
    let mut predictor = model.predictor(1).unwrap();
    let mut refused = |record: serde_json::Value| {
        let error = predictor.predict_record(&record).unwrap_err();
        assert!(error.is_input(), "{error}");
        format_parts(&error).map(str::to_owned)
    };
    let number = "a finite number";
    for (record, [file, place, expected, found]) in [
        (json!({"color": "red"}), ["record", "column 'age'", "a value", "no field of this name"]),
        (
            json!({}),
            [
                "record",
                "column 'age'",
                "a value",
                "no field of this name, nor those of 1 more columns",
            ],
        ),
        (
            json!({"age": "35", "color": "red"}),
            ["record", "column 'age'", number, "the text \"35\""],
        ),
        (
            json!({"age": [35], "color": "red"}),
            ["record", "column 'age'", "a single value", "a sequence"],
        ),
        (json!({"age": {"years": 35}, "color": "red"}), {
            ["record", "column 'age'", "a single value", "a map or a struct"]
        }),
        (json!({"age": true, "color": "red"}), ["record", "column 'age'", number, "true"]),
        (json!({"age": 35, "color": 1.5}), ["record", "column 'color'", "a text", "1.5"]),
        (json!({"age": 35, "color": "violet"}), {
            [
                "record",
                "column 'color'",
                "one of the texts of the training part, \"blue\", \"green\", \"red\"",
                "the text \"violet\"",
            ]
        }),
        (json!({"age": 35, "color": 7}), {
            [
                "record",
                "column 'color'",
                "one of the texts of the training part, \"blue\", \"green\", \"red\"",
                "7",
            ]
        }),
        (
            json!([35, "red"]),
            ["record", "type", "a map or a struct with a value for each column", "a sequence"],
        ),
        (
            json!("red"),
            [
                "record",
                "type",
                "a map or a struct with a value for each column",
                "the text \"red\"",
            ],
        ),
        (
            json!(null),
            ["record", "type", "a map or a struct with a value for each column", "no value"],
        ),
    ] {
        assert_eq!(refused(record.clone()), [file, place, expected, found], "{record}");
    }
    let mut refused = |record: &BTreeMap<i32, f64>| predictor.predict_record(record).unwrap_err();
    assert_eq!(format_parts(&refused(&BTreeMap::from([(1, 2.0)])))[1], "key");
    for x in [f64::NAN, f64::INFINITY] {
        let error = predictor.predict_record(&BTreeMap::from([("age", x)])).unwrap_err();
        assert_eq!(format_parts(&error)[1..3], ["column 'age'", number]);
    }
    // A model with texts has no rows of numbers.
    let error = predictor.predict(&[35.0, 1.0]).unwrap_err();
    assert!(
        error.to_string().contains("column 'color'")
            && error.to_string().contains("predict_record")
    );
    // After all that, it predicts as before.
    let record = json!({"age": 35, "color": "red"});
    let mut fresh = model.predictor(1).unwrap();
    let expected = fresh.predict_record(&record).unwrap().scores().to_vec();
    assert_eq!(predictor.predict_record(&record).unwrap().scores(), expected);
}

#[test]
fn unknown_categories_are_accepted_on_request_and_counted() {
    let (model, _file) = table_model("unknown.csv");
    let mut predictor = model.predictor(1).unwrap();
    let gap = predictor.predict_record(&json!({"age": 35, "color": null})).unwrap();
    let gap = gap.scores().to_vec();
    let violet = json!({"age": 35, "color": "violet"});
    predictor.predict_record(&violet).unwrap_err();
    assert_eq!(predictor.unknown_categories(), 0);
    predictor.accept_unknown_categories(true);
    for count in 1..3 {
        assert_eq!(predictor.predict_record(&violet).unwrap().scores(), gap);
        assert_eq!(predictor.unknown_categories(), count);
    }
    predictor.accept_unknown_categories(false);
    predictor.predict_record(&violet).unwrap_err();
}

#[test]
fn gaps_are_refused_where_training_had_none() {
    let model = plain_model();
    assert!(model.columns().iter().all(|column| !column.allows_gaps));
    let mut predictor = model.predictor(1).unwrap();
    let error = predictor.predict_record(&json!({"a": 1, "b": null, "c": 2})).unwrap_err();
    let [_, place, expected, found] = format_parts(&error);
    assert_eq!((place, found), ("column 'b'", "no value"));
    assert!(expected.contains("no gaps"), "{expected}");
    // A table may have gaps: the mean stands for them, with a warning.
    let file = TempFile::new("gaps.csv", "c,b,a\n0.5,,1\n0.5,-20,1\n");
    let predictions = model.predict_file(&file.0).unwrap();
    assert_eq!(predictions.get(0).unwrap().values(), predictions.get(1).unwrap().values());
    let [warning] = predictions.warnings() else { panic!("{:?}", predictions.warnings()) };
    assert!(warning.contains("1 sample: 'b' is missing, as never in training"), "{warning}");
}

#[test]
fn a_gap_that_training_did_not_see_is_the_mean_of_its_column() {
    let text = "size,color,price\n10,red,1.5\n30,blue,2.5\n80,red,4\n";
    let file = TempFile::new("complete.csv", text);
    let table = Table::open(&file.0, &TableOptions::default()).unwrap();
    let (encoder, standardization) =
        Encoder::fit_with_standardization(&table.read().unwrap()).unwrap();
    let network = Network::builder(&cpu::<f64>(), 3).dense(1, Activation::Identity).seed(2).build();
    let mut info = ModelInfo::new(Loss::Quadratic);
    info.features = encoder.feature_names();
    (info.encoder, info.standardization) = (Some(encoder), Some(standardization));
    (info.schema, info.target) = (Some(table.schema().clone()), Some("price".to_owned()));
    let model = Model::new(network.unwrap(), info).unwrap();
    let file = TempFile::new("new-gaps.csv", "color,size\n,40\nred,\nred,40\ngreen,4000\n");
    let predictions = model.predict_file(&file.0).unwrap();
    let value = |i: usize| predictions.get(i).unwrap().values()[0];
    assert_eq!(value(1), value(2));
    assert_eq!(
        predictions.unknown(),
        [Unknown { column: "color".into(), samples: 1, example: "green".into() }]
    );
    let warnings = predictions.warnings().join("\n");
    for part in [
        "'color' is \"green\"",
        "'color' is missing",
        "'size' is missing",
        "'size' is 4000, far outside",
    ] {
        assert!(warnings.contains(part), "{warnings}");
    }
    let mut predictor = model.predictor(1).unwrap();
    let error = predictor.predict_record(&json!({"size": null, "color": "red"})).unwrap_err();
    assert_eq!(format_parts(&error)[1], "column 'size'");
}

#[test]
fn records_name_truth_values_as_tables_do() {
    let file = TempFile::new("truth.csv", "lift,price\nyes,1.5\nno,2.5\nyes,4\n");
    let table = Table::open(&file.0, &TableOptions::default()).unwrap();
    let encoder = Encoder::fit(&table.read().unwrap()).unwrap();
    let network = Network::builder(&cpu::<f64>(), 1).dense(1, Activation::Identity).seed(2).build();
    let mut info = ModelInfo::new(Loss::Quadratic);
    info.features = encoder.feature_names();
    (info.encoder, info.schema) = (Some(encoder), Some(table.schema().clone()));
    let model = Model::new(network.unwrap(), info).unwrap();
    let predictions = model.predict_file(&file.0).unwrap();
    let mut predictor = model.predictor(1).unwrap();
    for (row, values) in
        [(0, [json!("yes"), json!(true), json!(1)]), (1, [json!("No"), json!(false), json!(0)])]
    {
        for value in values {
            let record = json!({ "lift": value });
            let found = predictor.predict_record(&record).unwrap().values().to_vec();
            assert_eq!(found, predictions.get(row).unwrap().values(), "{record}");
        }
    }
    for value in [json!("maybe"), json!(2), json!(0.5), json!(-1)] {
        let error = predictor.predict_record(&json!({ "lift": value })).unwrap_err();
        assert_eq!(format_parts(&error)[1], "column 'lift'");
    }
}

#[test]
fn rows_of_numbers_are_checked() {
    let model = plain_model();
    let mut predictor = model.predictor(2).unwrap();
    let value = predictor.predict(&[1.0, 2.0, 0.5]).unwrap().values()[0];
    assert_eq!(
        predictor.predict_record(&json!({"c": 0.5, "b": 2, "a": 1})).unwrap().values(),
        [value]
    );
    let error = predictor.predict(&[1.0, 2.0]).unwrap_err();
    assert_eq!(
        format_parts(&error)[1..],
        ["length", "3 numbers, one for each of \"a\", \"b\", \"c\"", "2"]
    );
    for (x, found) in [(f64::NAN, "NaN"), (f64::NEG_INFINITY, "-inf")] {
        let error = predictor.predict(&[1.0, x, 0.5]).unwrap_err();
        assert_eq!(format_parts(&error), ["row", "column 'b'", "a finite number", found]);
    }
    // 3e38 is an f32, but not when it is divided by the deviation of 0.001. 1e39 is one when it is divided by 10.
    for (row, column) in [([1.0, 2.0, 3e38], "column 'c'"), ([1.0, 1e41, 0.5], "column 'b'")] {
        let error = predictor.predict(&row).unwrap_err();
        assert_eq!(format_parts(&error)[1], column);
        assert!(error.to_string().contains("overflows f32"), "{error}");
    }
    assert!(predictor.predict(&[1.0, 1e39, 0.5]).is_ok());

    let rows = [1.0, 2.0, 0.5, 3.0, 4.0, 0.4];
    let both: Vec<f64> =
        predictor.predict_batch(&rows).unwrap().iter().map(|p| p.values()[0]).collect();
    assert_eq!(both[0], value);
    assert_eq!(both[1], predictor.predict(&rows[3..]).unwrap().values()[0]);
    for rows in [&rows[..4], &[], &[0.0; 9]] {
        assert!(
            predictor
                .predict_batch(rows)
                .unwrap_err()
                .to_string()
                .contains("1 to 2 rows of 3 columns")
        );
    }
    let error = predictor.predict_batch(&[1.0, 2.0, 0.5, 3.0, f64::NAN, 0.4]).unwrap_err();
    assert_eq!(format_parts(&error)[..2], ["row 1 (counted from 0)", "column 'b'"]);
    let records = [json!({"a": 1, "b": 2, "c": 0.5}), json!({"a": 3, "b": 4})];
    assert_eq!(predictor.predict_records(&records[..1]).unwrap().get(0).unwrap().values(), [value]);
    let error = predictor.predict_records(&records).unwrap_err();
    assert_eq!(format_parts(&error)[..2], ["record 1 (counted from 0)", "column 'c'"]);
}

#[test]
fn rows_are_encoded_apart_from_the_network() {
    let (model, _file) = table_model("encoder.csv");
    let (mut encoder, mut features) = (model.row_encoder(), Vec::<f64>::new());
    encoder.encode_record(None, &json!({"color": "red", "age": 35}), &mut features).unwrap();
    // As in `a_record_is_encoded_standardized_and_named`.
    let mean = 121.0 / 3.0;
    let squares = [30.0, mean, 50.0, 41.0].map(|x: f64| (x - mean).powi(2));
    let age = (35.0 - mean) / (squares.iter().sum::<f64>() / 4.0).sqrt();
    assert!(common::relative(&features, &[age, 0.0, 0.0, 1.0]) < 1e-12, "{features:?}");

    // What is refused leaves nothing behind.
    let before = features.clone();
    let old = json!({"age": "old", "color": "red"});
    let error = encoder.encode_record(Some(7), &old, &mut features).unwrap_err();
    let place = ["record 7 (counted from 0)", "column 'age'"];
    assert_eq!(format_parts(&error), [place[0], place[1], "a finite number", "the text \"old\""]);
    let error = encoder.encode_values(Some(1), &[json!(35)], &mut features).unwrap_err();
    let expected = ["row 1 (counted from 0)", "length", "2, one value for each column", "1"];
    assert_eq!(format_parts(&error), expected);
    let pink = [json!(35), json!("pink")];
    encoder.encode_values(None, &pink, &mut features).unwrap_err();
    encoder.encode_row(None, &[35.0, 1.0], &mut features).unwrap_err();
    assert_eq!(features, before);

    encoder.encode_values(None, &[json!(35), json!("red")], &mut features).unwrap();
    assert_eq!(features, [&before[..], &before].concat());
    encoder.accept_unknown_categories(true);
    encoder.encode_values(None, &pink, &mut features).unwrap();
    assert_eq!(features[8..], [before[0], 0.0, 0.0, 0.0]);
    assert_eq!(encoder.unseen().collect::<Vec<_>>(), [("color", 1, 0)]);

    let mut predictor = model.predictor(3).unwrap();
    let found = predictor.predict_encoded(&features).unwrap().outputs().to_vec();
    let expected = reference(model.network(), &[age, 0.0, 0.0, 1.0]);
    assert!(common::relative(&found[..2], &expected) < 1e-12, "{found:?} {expected:?}");
    assert_eq!(found[..2], found[2..4]);
    assert_ne!(found[..2], found[4..]);
    for count in [0, 1, 5, 16] {
        let error = predictor.predict_encoded(&vec![0.0; count]).unwrap_err().to_string();
        assert!(error.contains(&format!("{count} features are no 1 to 3 samples of 4")), "{error}");
    }
}
