//! Models as programs use them: raw rows and records in, classes and values out, and nothing wrong gets through in silence.

mod importance;
mod overflow;
mod records;

use std::path::PathBuf;
use std::sync::Arc;

use crate::common::{self, random};
use serde_json::json;
use travertine::data::{
    Dataset, Encoder, RowReader, Standardization, Table, TableOptions, Targets,
};
use travertine::engine::{self, Engine};
use travertine::model_file::ModelInfo;
use travertine::{Activation, Error, ErrorKind, Loss, Matrix, Model, Network, Scalar};

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
    info.standardization = Some(Standardization {
        mean: vec![1.0, -20.0, 0.5],
        deviation: vec![2.0, 10.0, 1e-3],
        bound: None,
        unscaled: Vec::new(),
    });
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

/// Of one network, of the mean of two, and with one output for two classes: a weight of 2 is a sample that is there twice.
#[test]
fn evaluation_is_weighted() {
    let values = |values: Vec<f64>| Targets::Values { values, names: vec!["y".to_owned()] };
    let classes = |labels: Vec<u32>| Targets::Classes {
        labels,
        names: ["no", "yes"].map(str::to_owned).to_vec(),
    };
    let yes_or_no = {
        let cpu = cpu::<f32>();
        let builder = Network::builder(&cpu, 3).dense(1, Activation::Sigmoid);
        let mut info = ModelInfo::new(Loss::BinaryCrossEntropy);
        info.classes = vec!["no".to_owned(), "yes".to_owned()];
        Model::new(builder.seed(2).build().unwrap(), info).unwrap()
    };
    let cpu = cpu();
    let dense = |seed| Network::builder(&cpu, 3).dense(1, Activation::Identity).seed(seed).build();
    let networks = vec![dense(5).unwrap(), dense(6).unwrap()];
    let both = Model::ensemble(networks, ModelInfo::new(Loss::Quadratic)).unwrap();
    let rows = random::<f32>(9, 4);
    let repeated = [&rows[..3], &rows[..3], &rows[6..]].concat();
    for (model, targets, repeated_targets) in [
        (plain_model(), values(vec![1.0, 2.0, 3.0]), values(vec![1.0, 1.0, 3.0])),
        (both, values(vec![1.0, 2.0, 3.0]), values(vec![1.0, 1.0, 3.0])),
        (yes_or_no, classes(vec![0, 1, 1]), classes(vec![0, 0, 1])),
    ] {
        let weighted = Dataset::new(3, rows.clone(), targets).unwrap();
        let weighted = weighted.with_weights(vec![2.0, 0.0, 1.0]).unwrap();
        let repeated = Dataset::new(3, repeated.clone(), repeated_targets).unwrap();
        let ours = model.evaluate(&weighted).unwrap().report;
        let theirs = model.evaluate(&repeated).unwrap().report;
        assert!((ours.loss - theirs.loss).abs() < 1e-6 * theirs.loss, "{ours:?} {theirs:?}");
        assert_eq!((ours.accuracy, ours.weight), (theirs.accuracy, theirs.weight));
    }
}
