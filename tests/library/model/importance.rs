//! Permutation importance of raw columns.

use std::fmt::Write;

use travertine::data::{Dataset, Encoder, Table, TableOptions, Targets};
use travertine::model_file::ModelInfo;
use travertine::{Activation, Loss, Model, Network};

use super::{TempFile, cpu, plain_model};

/// A model of a category, a number with noise and a date, which is right by the category alone.
fn model_of_a_category() -> (Model<f64>, TempFile) {
    let mut text = "noise,color,day,sold\n".to_owned();
    for i in 0..90 {
        let color = ["red", "green", "blue"][i % 3];
        let (sold, day) = (if color == "green" { "yes" } else { "no" }, 1 + i % 28);
        writeln!(text, "{}.5,{color},2026-{:02}-{day:02},{sold}", i * 37 % 23, 1 + i % 12).unwrap();
    }
    let file = TempFile::new("importance.csv", &text);
    let table = Table::open(&file.0, &TableOptions::default()).unwrap();
    let frame = table.read().unwrap();
    let (encoder, standardization) = Encoder::fit_with_standardization(&frame).unwrap();
    let names = encoder.feature_names();
    let mut network =
        Network::builder(&cpu(), names.len()).dense(2, Activation::Softmax).build().unwrap();
    // Red and blue speak for "no", green for "yes"; all else has no weight.
    let weight = |name: &String| match &**name {
        "color=green" => [-5.0, 5.0],
        "color=red" | "color=blue" => [2.0, -2.0],
        _ => [0.0, 0.0],
    };
    let weights: Vec<f64> = names.iter().flat_map(weight).collect();
    network.layers_mut()[0].weights_mut().write(&weights).unwrap();
    let mut info = ModelInfo::new(Loss::SoftmaxCrossEntropy);
    info.classes = vec!["no".to_owned(), "yes".to_owned()];
    info.features = names;
    info.standardization = Some(standardization);
    info.encoder = Some(encoder);
    info.schema = Some(table.schema().clone());
    (Model::new(network, info).unwrap(), file)
}

#[test]
fn all_features_of_a_column_are_shuffled_together() {
    let (model, file) = model_of_a_category();
    let table = model.read_labeled_table(&file.0, &TableOptions::default()).unwrap();
    let evaluation = model.evaluate_table(&table).unwrap();
    assert_eq!(evaluation.report.accuracy, Some(1.0));
    let importance = model.importance(table.samples(), 5, 1).unwrap();
    let names: Vec<&str> = importance.iter().map(|one| &*one.column).collect();
    assert_eq!(names, ["noise", "color", "day"]);
    // Of 90 samples, 30 are green: a shuffle makes 2 * 30 * 60 / 90 / 90 of them wrong on average. Were the three features
    // of a color shuffled one by one, samples would have no color, or two.
    assert!((importance[1].mean - 4.0 / 9.0).abs() < 0.1, "{importance:?}");
    assert!(importance[1].deviation > 0.0 && importance[1].deviation < 0.1, "{importance:?}");
    assert_eq!((importance[0].mean, importance[2].mean), (0.0, 0.0));
    assert_eq!((importance[0].deviation, importance[2].deviation), (0.0, 0.0));
    assert_eq!(model.importance(table.samples(), 5, 1).unwrap(), importance, "the same seed");
    assert_ne!(model.importance(table.samples(), 5, 2).unwrap(), importance);
}

#[test]
fn without_an_encoder_every_feature_is_a_column() {
    let model = plain_model();
    let features: Vec<f32> = (0..60).map(|i| (i * 7 % 13) as f32 / 4.0).collect();
    let data = Dataset::new(3, features, Targets::None).unwrap();
    let predicted = model.predict_standardized(&data).unwrap();
    // Its own answers as the truth: no error before, and as much as the answers move by the shuffles.
    let values: Vec<f64> = predicted.iter().map(|p| p.values()[0]).collect();
    let targets = Targets::Values { values, names: vec!["y".to_owned()] };
    let data = data.with_targets(targets).unwrap();
    let importance = model.importance(&data, 3, 1).unwrap();
    let names: Vec<&str> = importance.iter().map(|one| &*one.column).collect();
    assert_eq!(names, ["a", "b", "c"]);
    assert!(importance.iter().all(|one| one.mean > 0.0), "{importance:?}");

    let one = data.select(&[0]).unwrap();
    let importance = model.importance(&one, 3, 1).unwrap();
    assert!(importance.iter().all(|one| one.mean == 0.0), "nothing to shuffle: {importance:?}");
}

#[test]
fn importance_is_the_same_for_an_ensemble_of_equal_networks() {
    let engine = cpu::<f64>();
    let network =
        || Network::builder(&engine, 2).dense(1, Activation::Identity).seed(8).build().unwrap();
    let features: Vec<f64> = (0..40).map(|i| f64::from(i * 11 % 17)).collect();
    let values = (0..20).map(f64::from).collect();
    let targets = Targets::Values { values, names: vec!["y".to_owned()] };
    let data = Dataset::new(2, features, targets).unwrap();
    let info = || ModelInfo::new(Loss::Quadratic);
    let one = Model::new(network(), info()).unwrap().importance(&data, 5, 3).unwrap();
    let mean = Model::ensemble(vec![network(), network()], info()).unwrap();
    assert_eq!(mean.importance(&data, 5, 3).unwrap(), one);
}

#[test]
fn what_has_no_importance_is_refused() {
    let model = plain_model();
    let unlabeled = Dataset::new(3, vec![0.0; 6], Targets::None).unwrap();
    let targets = Targets::Values { values: vec![1.0, 2.0], names: vec!["y".to_owned()] };
    let labeled = unlabeled.clone().with_targets(targets.clone()).unwrap();
    let narrow = Dataset::new(2, vec![0.0; 4], targets).unwrap();
    for (data, repeats, part) in [
        (&unlabeled, 5, "the targets of the samples are none"),
        (&labeled, 0, "0 repeats"),
        (&narrow, 5, "2 features"),
    ] {
        let message = model.importance(data, repeats, 1).unwrap_err().to_string();
        assert!(message.contains("Model::importance") && message.contains(part), "{message}");
    }
}
