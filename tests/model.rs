//! Models as programs use them: raw rows and records in, classes and values out, and nothing wrong gets through in silence.

mod common;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use common::random;
use serde::Serialize;
use serde_json::json;
use travertine::data::{
    Dataset, Encoder, RowReader, Standardization, Table, TableOptions, Targets, Task, Unknown,
};
use travertine::engine::{self, Engine};
use travertine::model_file::ModelInfo;
use travertine::{
    Activation, Error, ErrorKind, InputKind, Loss, Matrix, Model, Network, Predictor, Scalar,
};

fn cpu<T: Scalar>() -> Arc<dyn Engine<T>> {
    engine::open("cpu").unwrap()
}

/// A file that goes away with the test.
struct TempFile(PathBuf);

impl TempFile {
    fn new(name: &str, text: &str) -> TempFile {
        let name = format!("travertine-model-test-{}-{name}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::write(&path, text).unwrap();
        TempFile(path)
    }
}

impl Drop for TempFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// Ages with a gap, colors with a gap.
const TABLE: &str = "age,color,sold\n30,red,yes\n,blue,no\n50,,yes\n41,green,no\n";

/// A model of [`TABLE`] whose parameters are drawn, not trained.
fn table_model(name: &str) -> (Model<f64>, TempFile) {
    let file = TempFile::new(name, TABLE);
    let table = Table::open(&file.0, &TableOptions::default()).unwrap();
    let frame = table.read().unwrap();
    let (encoder, standardization) = Encoder::fit_with_standardization(&frame).unwrap();
    let network = Network::builder(&cpu(), 4)
        .dense(5, Activation::Tanh)
        .dense(2, Activation::Softmax)
        .seed(3)
        .build()
        .unwrap();
    let mut info = ModelInfo::new(Loss::SoftmaxCrossEntropy);
    info.classes = vec!["no".to_owned(), "yes".to_owned()];
    info.features = encoder.feature_names();
    info.target = Some("sold".to_owned());
    info.standardization = Some(standardization);
    info.encoder = Some(encoder);
    info.schema = Some(table.schema().clone());
    (Model::new(network, info).unwrap(), file)
}

/// Three columns of numbers, one value.
fn plain_model() -> Model<f32> {
    let network = Network::builder(&cpu(), 3)
        .dense(4, Activation::Relu)
        .dense(1, Activation::Identity)
        .seed(5)
        .build()
        .unwrap();
    let mut info = ModelInfo::new(Loss::Quadratic);
    info.features = ["a", "b", "c"].map(str::to_owned).to_vec();
    info.standardization =
        Some(Standardization { mean: vec![1.0, -20.0, 0.5], deviation: vec![2.0, 10.0, 1e-3] });
    Model::new(network, info).unwrap()
}

#[track_caller]
fn format_parts(error: &Error) -> [&str; 4] {
    match error.kind() {
        ErrorKind::Format { file, place, expected, found } => [file, place, expected, found],
        _ => panic!("{error}"),
    }
}

/// The network's outputs for one sample, by hand, in f64.
fn reference(network: &Network<f64>, features: &[f64]) -> Vec<f64> {
    let mut a = features.to_vec();
    for layer in network.layers() {
        let (w, b) = (layer.weights().to_vec().unwrap(), layer.bias().to_vec().unwrap());
        let outputs = b.len();
        let z: Vec<f64> = (0..outputs)
            .map(|i| b[i] + a.iter().enumerate().map(|(j, x)| w[i + j * outputs] * x).sum::<f64>())
            .collect();
        a = common::activate(layer.activation(), &z);
    }
    a
}

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
        (json!({"color": " n/a ", "age": true, "sold": "yes", "more": {"deep": []}}), {
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
    use super::*;

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
    let error = predictor.predict_record(&json!({"lift": "maybe"})).unwrap_err();
    assert_eq!(format_parts(&error)[1], "column 'lift'");
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
fn a_file_and_its_rows_have_the_same_predictions() {
    let (model, _file) = table_model("file.csv");
    // Other columns, another order, gaps, a new color, a label that is none of the classes.
    let file =
        TempFile::new("new.csv", "color,id,age,sold\nred,1,20,maybe\n,2,,no\nviolet,3,77,yes\n");
    let predictions = model.predict_file(&file.0).unwrap();
    let unknown: Vec<_> =
        predictions.unknown().iter().map(|u| (&*u.column, u.samples, &*u.example)).collect();
    assert_eq!(unknown, [("color", 1, "violet")]);
    let mut predictor = model.predictor(1).unwrap();
    predictor.accept_unknown_categories(true);
    let records = [
        json!({"age": 20, "color": "red"}),
        json!({"age": null, "color": null}),
        json!({"age": 77, "color": "violet"}),
    ];
    assert_eq!(predictions.len(), 3);
    for (prediction, record) in predictions.iter().zip(&records) {
        assert_eq!(prediction.scores(), predictor.predict_record(record).unwrap().scores());
    }
    // The same rows as they arrive, and one with a gap in a column that training saw complete.
    let text = "color,id,age\nred,1,20\n,2,\nviolet,3,77\n";
    let options = TableOptions { id: Some("id".to_owned()), ..TableOptions::default() };
    let mut rows = RowReader::new("input", text.as_bytes(), model.schema(), &options).unwrap();
    let frame = rows.next_rows().unwrap().unwrap();
    let table = model.encode_frame(&frame).unwrap();
    assert_eq!(table.ids().unwrap(), ["1", "2", "3"]);
    assert_eq!(model.predict_table(&table).unwrap().outputs(), predictions.outputs());
    let file = TempFile::new("lacking.csv", "color,id\nred,1\n");
    let error = model.predict_file(&file.0).unwrap_err().to_string();
    assert!(error.contains("lacking.csv") && error.contains("age"), "{error}");
}

#[test]
fn evaluation_matches_classes_by_name() {
    let (model, _file) = table_model("evaluate.csv");
    let file =
        TempFile::new("labeled.csv", "age,color,sold\n20,red,yes\n30,blue,yes\n40,green,no\n");
    let evaluation = model.evaluate_file(&file.0).unwrap();
    let truth = [1, 1, 0];
    let Targets::Classes { labels, names } = &evaluation.targets else { panic!("classes") };
    assert_eq!((&labels[..], &names[..]), (&truth[..], model.classes()));
    let (mut loss, mut hits) = (0.0, 0);
    for (prediction, &class) in evaluation.predictions.iter().zip(&truth) {
        loss -= prediction.probabilities()[class as usize].ln() / 3.0;
        hits += usize::from(prediction.class_index() == Some(class as usize));
    }
    assert!((evaluation.report.loss - loss).abs() < 1e-12);
    assert_eq!(evaluation.report.accuracy, Some(hits as f64 / 3.0));

    // The same samples with the classes in another order.
    let frame = Table::open_as(&file.0, model.schema(), None, &TableOptions::default());
    let encoder = model.info().encoder.as_ref().unwrap();
    let data = encoder.encode::<f64>(&frame.unwrap().read().unwrap(), None).unwrap().data;
    let turned = Targets::Classes { labels: vec![0, 0, 1], names: vec!["yes".into(), "no".into()] };
    let data = Dataset::new(4, data.features().to_vec(), turned).unwrap();
    assert_eq!(model.evaluate(&data).unwrap().report, evaluation.report);

    let refused = |targets: Targets| {
        let data = Dataset::new(4, vec![0.0; 8], targets).unwrap();
        model.evaluate(&data).unwrap_err().to_string()
    };
    let strange =
        Targets::Classes { labels: vec![0, 1], names: vec!["yes".into(), "maybe".into()] };
    let text = refused(strange);
    assert!(
        text.contains("sample 1") && text.contains("\"maybe\"") && text.contains("\"no\", \"yes\""),
        "{text}"
    );
    let text = refused(Targets::Values { values: vec![0.0; 2], names: vec!["x".into()] });
    assert!(text.contains("1 value a sample") && text.contains("2 classes"), "{text}");
    assert!(refused(Targets::None).contains("none"));
}

#[test]
fn one_output_tells_two_classes_apart() {
    let network =
        Network::builder(&cpu::<f64>(), 1).dense(1, Activation::Sigmoid).seed(1).build().unwrap();
    let mut info = ModelInfo::new(Loss::BinaryCrossEntropy);
    info.classes = vec!["no".to_owned(), "yes".to_owned()];
    let model = Model::new(network, info).unwrap();
    let mut predictor = model.predictor(1).unwrap();
    for x in [-3.0, 3.0] {
        let yes = reference(model.network(), &[x])[0];
        let prediction = predictor.predict(&[x]).unwrap();
        assert!(common::relative(prediction.probabilities(), &[1.0 - yes, yes]) < 1e-12);
        assert_eq!(prediction.class(), Some(if yes > 0.5 { "yes" } else { "no" }));
    }
}

#[test]
fn logits_become_probabilities_and_scores_do_not() {
    let model = |loss: Loss| {
        let network = Network::builder(&cpu::<f64>(), 2)
            .dense(3, Activation::Identity)
            .seed(2)
            .build()
            .unwrap();
        let mut info = ModelInfo::new(loss);
        info.classes = ["x", "y", "z"].map(str::to_owned).to_vec();
        Model::new(network, info).unwrap()
    };
    let row = [0.7, -0.2];
    let logits = model(Loss::SoftmaxCrossEntropy);
    let z = reference(logits.network(), &row);
    let mut predictor = logits.predictor(1).unwrap();
    let prediction = predictor.predict(&row).unwrap();
    assert!(
        common::relative(prediction.probabilities(), &common::activate(Activation::Softmax, &z))
            < 1e-12
    );
    assert_eq!(prediction.outputs().len(), 3);

    let scores = model(Loss::Quadratic);
    let mut predictor = scores.predictor(1).unwrap();
    let prediction = predictor.predict(&row).unwrap();
    assert_eq!((prediction.probability(), prediction.probabilities().len()), (None, 0));
    assert_eq!(prediction.scores().len(), 3);
    assert!(!scores.gives_probabilities() && logits.gives_probabilities());
}

#[test]
fn a_model_of_bytes_is_the_model_of_the_file() {
    let model = plain_model();
    let file = TempFile::new("bytes.safetensors", "");
    model.save(&file.0).unwrap();
    let bytes = std::fs::read(&file.0).unwrap();
    let (one, two) = (
        Model::load(&file.0, &cpu::<f32>()).unwrap(),
        Model::load_from_bytes(&bytes, &cpu::<f32>()).unwrap(),
    );
    assert_eq!(one.info(), two.info());
    let row = [0.3, -11.0, 0.5];
    let expected = model.predictor(1).unwrap().predict(&row).unwrap().outputs().to_vec();
    for model in [one, two] {
        assert_eq!(model.predictor(1).unwrap().predict(&row).unwrap().outputs(), expected);
    }
    for length in 0..bytes.len() {
        let error = Model::load_from_bytes(&bytes[..length], &cpu::<f32>()).unwrap_err();
        assert!(error.is_input(), "the first {length} bytes: {error}");
    }
}

#[test]
fn what_does_not_belong_together_is_refused() {
    let network =
        || Network::builder(&cpu::<f32>(), 2).dense(3, Activation::Softmax).build().unwrap();
    let mut info = ModelInfo::new(Loss::SoftmaxCrossEntropy);
    info.classes = vec!["a".to_owned(), "b".to_owned()];
    let text = Model::new(network(), info.clone()).unwrap_err().to_string();
    assert!(text.contains("classes: expected 3, one for each output, found 2"), "{text}");
    info.classes.push("c".to_owned());
    info.features = vec!["x".to_owned()];
    let text = Model::new(network(), info.clone()).unwrap_err().to_string();
    assert!(text.contains("features: expected 2, one for each input, found 1"), "{text}");
    info.features.push("y".to_owned());
    let model = Model::new(network(), info).unwrap();
    let data = Dataset::new(2, vec![0.0; 2], Targets::None).unwrap();
    let renamed = data.clone().with_feature_names(vec!["x".into(), "z".into()]).unwrap();
    assert!(model.predict(&data).is_ok());
    let text = model.predict(&renamed).unwrap_err().to_string();
    assert!(text.contains("'z'") && text.contains("'y'"), "{text}");
    let wide = Dataset::new(3, vec![0.0; 3], Targets::None).unwrap();
    assert!(model.predict(&wide).unwrap_err().to_string().contains("3 features"));
    assert!(model.predictor(0).is_err());
    assert!(model.predictor(usize::MAX / 2).is_err());
}

/// Layers of many shapes, larger and smaller than what the CPU engine copies before a product.
#[test]
fn the_batch_does_not_change_a_bit() {
    fn same<T: Scalar>(sizes: &[usize], threads: usize) {
        let settings = engine::Settings::threads(threads);
        let engine = engine::open_with::<T>("cpu", &settings).unwrap();
        let (last, hidden) =
            (sizes.len() - 1, [Activation::Gelu, Activation::Relu, Activation::Tanh]);
        let mut builder = Network::builder(&engine, sizes[0]).seed(1);
        for (i, &size) in sizes.iter().enumerate().skip(1) {
            let is_last = i == last;
            builder =
                builder.dense(size, if is_last { Activation::Softmax } else { hidden[i % 3] });
        }
        let model = Model::new(builder.build().unwrap(), ModelInfo::new(Loss::Quadratic)).unwrap();
        let samples = 300;
        let x: Vec<T> = random(sizes[0] * samples, 7);
        let data = Dataset::new(sizes[0], x.clone(), Targets::None).unwrap();
        let all = model.predict(&data).unwrap();
        let rows: Vec<f64> = x.iter().map(|x| x.to_f64()).collect();
        for batch in [1, 3, 29, 64, 201] {
            let mut predictor = model.predictor(batch).unwrap();
            let mut outputs = Vec::new();
            for rows in rows.chunks(sizes[0] * batch).take(30usize.div_ceil(batch)) {
                outputs.extend_from_slice(predictor.predict_batch(rows).unwrap().outputs());
            }
            let differs = outputs.iter().zip(all.outputs()).filter(|(a, b)| a != b).count();
            assert_eq!(differs, 0, "{sizes:?} on {threads} threads, batch {batch}, {}", T::NAME);
        }
    }
    for threads in [1, 2] {
        for sizes in [
            &[4, 8, 3][..],
            &[64, 100, 10],
            &[784, 30, 10],
            &[784, 300, 100, 10],
            &[1100, 700, 33, 2],
            &[2048, 256, 5],
            &[37, 1030, 1029, 2],
        ] {
            same::<f32>(sizes, threads);
        }
        same::<f64>(&[784, 300, 100, 10], threads);
        same::<f64>(&[600, 40, 3], threads);
    }
}

#[test]
fn batch_normalization_predicts_the_same_for_any_number_of_rows() {
    let network = Network::builder(&cpu::<f32>(), 6)
        .dense(20, Activation::Identity)
        .batch_norm(Activation::Relu)
        .dense(2, Activation::Softmax)
        .seed(1)
        .build()
        .unwrap();
    let model = Model::new(network, ModelInfo::new(Loss::Quadratic)).unwrap();
    let x: Vec<f32> = random(6 * 700, 3);
    let data = Dataset::new(6, x, Targets::None).unwrap();
    let all = model.predict(&data).unwrap();
    let few = model.predict(&data.take(5).unwrap()).unwrap();
    assert_eq!(few.outputs(), &all.outputs()[..10]);
    let x = Matrix::from_slice(model.network().engine(), 6, 5, &data.features()[..30]).unwrap();
    let unfolded = model.network().infer(x.view()).unwrap().to_vec().unwrap();
    let wide = |x: &[f32]| x.iter().map(|&x| f64::from(x)).collect::<Vec<_>>();
    assert!(common::relative(&wide(few.outputs()), &wide(&unfolded)) < 1e-5);
}

#[test]
fn summaries_name_what_there_is() {
    let (model, _file) = table_model("summary.csv");
    let text = model.to_string();
    for part in
        ["sold", "no, yes", "2 columns", "softmax_cross_entropy", "4 -> 5", "tanh", "37 parameters"]
    {
        assert!(text.contains(part), "{text} lacks {part}");
    }
    assert_eq!(format!("{model:?}"), text);
    assert_eq!(model.info().loss, Loss::SoftmaxCrossEntropy);
}
