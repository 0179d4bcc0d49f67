//! Several labels of a sample that do not exclude each other: values 0 and 1, sigmoid outputs, binary cross-entropy.

use std::f64::consts::PI;

use crate::common::{self, random};
use travertine::data::{Dataset, Targets};
use travertine::metrics::{self, subset_accuracy};
use travertine::model_file::ModelInfo;
use travertine::optimizer::{Adam, Lbfgs};
use travertine::{Activation, Loss, Model, Network, Samples, Trainer};

const NAMES: [&str; 3] = ["right", "upper", "near"];

/// Points of the plane, with three labels each.
fn points(count: usize, seed: u64) -> Dataset<f32> {
    let features: Vec<f32> = random(2 * count, seed);
    let labels = |point: &[f32]| {
        let [x, y] = [f64::from(point[0]), f64::from(point[1])];
        [x > 0.0, y > 0.0, PI * (x * x + y * y) < 2.0].map(|is_so| f64::from(u8::from(is_so)))
    };
    let values = features.chunks(2).flat_map(labels).collect();
    let names = NAMES.map(str::to_owned).to_vec();
    Dataset::new(2, features, Targets::Values { values, names }).unwrap()
}

fn truth(data: &Dataset<f32>) -> &[f64] {
    let Targets::Values { values, .. } = data.targets() else { unreachable!() };
    values
}

/// Trained on every engine, saved, loaded: the outputs are the probabilities of the labels, each for itself.
#[test]
fn a_model_of_several_labels() {
    let (train, test) = (points(600, 1), points(400, 2));
    for (number, (words, device)) in common::engines::<f32>().into_iter().enumerate() {
        let builder = Network::builder(&device, 2).dense(16, Activation::Tanh);
        let mut network = builder.dense(3, Activation::Sigmoid).seed(1).build().unwrap();
        let mut samples = Samples::new(&device, &train).unwrap();
        let loss = Loss::BinaryCrossEntropy;
        let mut trainer = Trainer::builder(&mut network, loss, Adam::new(0.02).unwrap())
            .batch(30)
            .seed(1)
            .build()
            .unwrap();
        for _ in 0..40 {
            trainer.epoch(&mut samples).unwrap();
        }
        drop(trainer);
        let mut info = ModelInfo::new(loss);
        info.features = vec!["x".to_owned(), "y".to_owned()];
        let file = format!("travertine-multilabel-{}-{number}.safetensors", std::process::id());
        let file = std::env::temp_dir().join(file);
        Model::new(network, info).unwrap().save(&file).unwrap();
        let model = Model::<f32>::load(&file, &device).unwrap();
        std::fs::remove_file(&file).unwrap();
        let evaluation = model.evaluate(&test).unwrap();
        let predictions: Vec<f64> =
            evaluation.predictions.iter().flat_map(|p| p.values().to_vec()).collect();
        assert_eq!(predictions.len(), 3 * 400);
        assert!(predictions.iter().all(|p| (0.0..=1.0).contains(p)), "{words}");
        // The loss is the sum of the log-losses of the labels.
        let column = |values: &[f64], i: usize| {
            values.iter().skip(i).step_by(3).copied().collect::<Vec<f64>>()
        };
        let mut sum = 0.0;
        for i in 0..3 {
            let labels: Vec<u32> = column(truth(&test), i).iter().map(|t| *t as u32).collect();
            let both: Vec<f64> =
                column(&predictions, i).iter().flat_map(|p| [1.0 - p, *p]).collect();
            sum += metrics::log_loss(2, &labels, &both).unwrap();
        }
        assert!((evaluation.report.loss - sum).abs() < 1e-4 * sum, "{words}");
        let accuracy = subset_accuracy(3, truth(&test), &predictions).unwrap();
        assert!(accuracy > 0.9, "{words}: {accuracy}");
        // One answer for one row: the same numbers.
        let mut predictor = model.predictor(1).unwrap();
        let row: Vec<f64> = test.sample(7).unwrap().iter().map(|x| f64::from(*x)).collect();
        let one = predictor.predict(&row).unwrap();
        assert_eq!(one.values().len(), 3);
        common::assert_close(one.values(), &predictions[21..24], 1e-6, words);
    }
}

/// With weights, by L-BFGS.
#[test]
fn several_labels_with_weights() {
    let train = points(600, 1);
    let weights = (0..600).map(|i| f64::from(i % 3)).collect();
    let train = train.with_weights(weights).unwrap();
    let device = travertine::engine::open::<f32>("cpu").unwrap();
    let builder = Network::builder(&device, 2).dense(16, Activation::Tanh);
    let mut network = builder.dense(3, Activation::Sigmoid).seed(1).build().unwrap();
    let loss = Loss::BinaryCrossEntropy;
    let lbfgs = Lbfgs::new().l2(0.01).unwrap();
    lbfgs.train(&mut network, loss, &mut Samples::new(&device, &train).unwrap()).unwrap();
    let test = points(400, 2);
    let outputs = Model::new(network, ModelInfo::new(loss)).unwrap().predict(&test).unwrap();
    let outputs: Vec<f64> = outputs.iter().flat_map(|p| p.values().to_vec()).collect();
    assert!(subset_accuracy(3, truth(&test), &outputs).unwrap() > 0.93);
}

#[test]
fn subset_accuracy_counts_samples_whose_labels_are_all_right() {
    let truth = [1.0, 0.0, 0.0, 1.0, 1.0, 1.0];
    let probabilities = [0.9, 0.1, 0.6, 0.7, 0.51, 0.5];
    // Half is no.
    assert_eq!(subset_accuracy(2, &truth, &probabilities).unwrap(), 1.0 / 3.0);
    assert_eq!(subset_accuracy(1, &truth, &probabilities).unwrap(), 4.0 / 6.0);
    for (outputs, truth, reason) in [
        (0, &truth[..], "0 labels"),
        (4, &truth[..], "6 numbers are no whole number of samples with 4 labels"),
        (2, &truth[..2], "2 true and 6 predicted"),
        (2, &[2.0; 6], "0 or 1, not 2"),
    ] {
        let error = subset_accuracy(outputs, truth, &probabilities).unwrap_err().to_string();
        assert!(error.contains(reason), "{error}");
    }
}
