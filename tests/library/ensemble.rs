//! Ensembles: the answer is the mean of the members' answers, in memory and from a file; and answers within bounds.

use std::path::PathBuf;
use std::sync::Arc;

use crate::common::{engines, random};
use travertine::data::{Dataset, TargetScale, Targets};
use travertine::engine::{self, Engine};
use travertine::model_file::{self, ModelInfo};
use travertine::{Activation, Loss, Matrix, Model, Network, Scalar};

const INPUTS: usize = 6;
const SAMPLES: usize = 9;

/// Networks that differ in their first weights.
fn members<T: Scalar>(
    engine: &Arc<dyn Engine<T>>,
    (outputs, last): (usize, Activation),
    count: u64,
) -> Vec<Network<T>> {
    let member = |seed| {
        let builder = Network::builder(engine, INPUTS).dense(8, Activation::Tanh);
        builder.dense(outputs, last).seed(seed).build().unwrap()
    };
    (1..=count).map(member).collect()
}

fn info(loss: Loss, classes: usize) -> ModelInfo {
    let mut info = ModelInfo::new(loss);
    info.classes = (0..classes).map(|class| format!("class {class}")).collect();
    info
}

/// The mean over the networks, `outputs x samples`, in f64.
fn mean<T: Scalar>(networks: &[Network<T>], features: &[T]) -> Vec<f64> {
    let samples = features.len() / INPUTS;
    let mut sums = vec![0.0; networks[0].outputs() * samples];
    for network in networks {
        let x = Matrix::from_slice(network.engine(), INPUTS, samples, features).unwrap();
        let outputs = network.infer(x.view()).unwrap().to_vec().unwrap();
        sums.iter_mut().zip(outputs).for_each(|(sum, output)| *sum += output.to_f64());
    }
    sums.iter().map(|sum| sum / networks.len() as f64).collect()
}

#[track_caller]
fn near(ours: &[f64], theirs: &[f64], tolerance: f64) {
    assert_eq!(ours.len(), theirs.len());
    for (ours, theirs) in ours.iter().zip(theirs) {
        assert!((ours - theirs).abs() <= tolerance * theirs.abs().max(1.0), "{ours} {theirs}");
    }
}

fn answers_the_mean<T: Scalar>(tolerance: f64) {
    let features = random::<T>(INPUTS * SAMPLES, 3);
    let rows: Vec<f64> = features.iter().map(|x| x.to_f64()).collect();
    for (words, engine) in engines::<T>() {
        for (classes, outputs, last, loss) in [
            (3, 3, Activation::Softmax, Loss::SoftmaxCrossEntropy),
            (2, 1, Activation::Sigmoid, Loss::BinaryCrossEntropy),
            (0, 2, Activation::Identity, Loss::Quadratic),
        ] {
            let expected = mean(&members(&engine, (outputs, last), 3), &features);
            let networks = members(&engine, (outputs, last), 3);
            let model = Model::ensemble(networks, info(loss, classes)).unwrap();
            let mut predictor = model.predictor(SAMPLES).unwrap();
            let all = predictor.predict_batch(&rows).unwrap();
            let outputs: Vec<f64> = all.outputs().iter().map(|x| x.to_f64()).collect();
            near(&outputs, &expected, tolerance);
            let scores = all.iter().flat_map(|p| [p.scores(), p.values()].concat());
            let scores: Vec<f64> = scores.collect();
            match classes {
                2 => near(
                    &scores,
                    &expected.iter().flat_map(|yes| [1.0 - yes, *yes]).collect::<Vec<_>>(),
                    tolerance,
                ),
                _ => near(&scores, &expected, tolerance),
            }
            // A row alone has the same answer as in a batch; on the CPU to the bit.
            let first = predictor.predict(&rows[..INPUTS]).unwrap().outputs()[0].to_f64();
            let is_same = if words == "cpu" {
                first == outputs[0]
            } else {
                (first - outputs[0]).abs() < tolerance
            };
            assert!(is_same, "{words}: {first} {}", outputs[0]);
        }
    }
}

#[test]
fn an_ensemble_answers_the_mean_of_its_members() {
    answers_the_mean::<f64>(1e-13);
    answers_the_mean::<f32>(1e-6);
}

/// Cross-entropy and quadratic loss of the mean, computed from the predictions by their formulas.
#[test]
fn an_ensemble_is_judged_by_its_mean() {
    let cpu = engine::open::<f64>("cpu").unwrap();
    let features = random::<f64>(INPUTS * SAMPLES, 5);
    let labels: Vec<u32> = (0..SAMPLES as u32).map(|i| i % 3).collect();
    let names: Vec<String> = (0..3).map(|class| format!("class {class}")).collect();

    let of = || members(&cpu, (3, Activation::Softmax), 4);
    let model = Model::ensemble(of(), info(Loss::SoftmaxCrossEntropy, 3)).unwrap();
    let targets = Targets::Classes { labels: labels.clone(), names };
    let data = Dataset::new(INPUTS, features.clone(), targets).unwrap();
    let report = model.evaluate(&data).unwrap().report;
    let mean_of_all = mean(&of(), &features);
    let p = |i: usize, class: u32| mean_of_all[3 * i + class as usize];
    let loss = (0..SAMPLES).map(|i| -p(i, labels[i]).ln()).sum::<f64>() / SAMPLES as f64;
    near(&[report.loss], &[loss], 1e-12);
    let is_hit = |i: &usize| (0..3).all(|class| p(*i, labels[*i]) >= p(*i, class));
    let hits = (0..SAMPLES).filter(is_hit).count();
    near(&[report.accuracy.unwrap()], &[hits as f64 / SAMPLES as f64], 1e-15);

    let of = || members(&cpu, (1, Activation::Sigmoid), 4);
    let model = Model::ensemble(of(), info(Loss::BinaryCrossEntropy, 2)).unwrap();
    let names = vec!["class 0".to_owned(), "class 1".to_owned()];
    let labels: Vec<u32> = labels.iter().map(|label| label % 2).collect();
    let targets = Targets::Classes { labels: labels.clone(), names };
    let data = Dataset::new(INPUTS, features.clone(), targets).unwrap();
    let yes = mean(&of(), &features);
    let of_true = |i: usize| if labels[i] == 1 { yes[i] } else { 1.0 - yes[i] };
    let loss = (0..SAMPLES).map(|i| -of_true(i).ln()).sum::<f64>() / SAMPLES as f64;
    near(&[model.evaluate(&data).unwrap().report.loss], &[loss], 1e-12);
}

#[test]
fn values_stay_within_their_bounds() {
    let cpu = engine::open::<f64>("cpu").unwrap();
    let features = random::<f64>(INPUTS * SAMPLES, 7);
    let names = vec!["y".to_owned()];
    // The scale stretches the network's outputs far beyond the two values it is bounded by.
    let fitted = Targets::Values { values: vec![-1e3, 1e3], names: names.clone() };
    let narrow = Targets::Values { values: vec![-2.0, 5.0], names: names.clone() };
    let scale = TargetScale::fit(&fitted).unwrap().bounded_by(&narrow).unwrap();
    let mut with_bounds = info(Loss::Quadratic, 0);
    with_bounds.target_scale = Some(scale);
    for count in [1, 3] {
        let networks = || members(&cpu, (1, Activation::Identity), count);
        let model = Model::ensemble(networks(), with_bounds.clone()).unwrap();
        let expected: Vec<f64> =
            mean(&networks(), &features).iter().map(|y| (1e3 * y).clamp(-2.0, 5.0)).collect();
        let truth = random::<f64>(SAMPLES, 8);
        let targets = Targets::Values { values: truth.clone(), names: names.clone() };
        let data = Dataset::new(INPUTS, features.clone(), targets).unwrap();
        let evaluation = model.evaluate(&data).unwrap();
        let values: Vec<f64> =
            evaluation.predictions.iter().flat_map(|p| p.values().to_vec()).collect();
        near(&values, &expected, 1e-12);
        assert!(values.contains(&-2.0) && values.contains(&5.0), "{values:?}");
        let squares = truth.iter().zip(&expected).map(|(t, y)| (y - t).powi(2));
        near(&[evaluation.report.loss], &[squares.sum::<f64>() / (2 * SAMPLES) as f64], 1e-9);
    }
    let two = Targets::Values { values: vec![1.0, 2.0], names: vec!["a".into(), "b".into()] };
    let scale = TargetScale::fit(&fitted).unwrap();
    let error = scale.bounded_by(&two).unwrap_err().to_string();
    assert!(error.contains("2 values of 2 outputs") && error.contains("on 1 outputs"), "{error}");
}

/// A file that goes away with the test.
struct File(PathBuf);

impl File {
    fn new(name: &str) -> Self {
        let name = format!("travertine-ensemble-{}-{name}", std::process::id());
        File(std::env::temp_dir().join(name))
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

#[test]
fn an_ensemble_is_saved_in_one_file() {
    let cpu = engine::open::<f32>("cpu").unwrap();
    let networks = members(&cpu, (3, Activation::Softmax), 3);
    let model = Model::ensemble(networks, info(Loss::SoftmaxCrossEntropy, 3)).unwrap();
    assert_eq!(model.parameters(), 3 * (INPUTS * 8 + 8 + 8 * 3 + 3));
    let (file, again) = (File::new("a"), File::new("b"));
    model.save(&file.0).unwrap();
    let loaded = Model::load(&file.0, &cpu).unwrap();
    loaded.save(&again.0).unwrap();
    let bytes = std::fs::read(&file.0).unwrap();
    assert!(bytes == std::fs::read(&again.0).unwrap(), "another file");
    assert_eq!(loaded.networks().len(), 3);
    let rows: Vec<f64> = random(INPUTS * SAMPLES, 9);
    let answers = |model: &Model<f32>| {
        let mut predictor = model.predictor(SAMPLES).unwrap();
        predictor.predict_batch(&rows).unwrap().outputs().to_vec()
    };
    assert_eq!(answers(&model), answers(&loaded));
    let description = model_file::describe(&file.0).unwrap();
    assert_eq!((description.members, description.parameters), (3, model.parameters()));
    let error = model_file::load(&file.0, &cpu).err().unwrap().to_string();
    assert!(error.contains("ensemble of 3") && error.contains("Model::load"), "{error}");

    // What a hostile file may say: no members, more than there are tensors for, fewer.
    for (members, word) in [("0", "members"), ("9", "members"), ("2", "tensor"), ("1", "tensor")] {
        let (from, to) = ("\\\"members\\\":3".as_bytes(), format!("\\\"members\\\":{members}"));
        let at = bytes.windows(from.len()).position(|part| part == from).unwrap();
        let changed = [&bytes[..at], to.as_bytes(), &bytes[at + from.len()..]].concat();
        let error = Model::load_from_bytes(&changed, &cpu).err().unwrap().to_string();
        assert!(error.contains(word), "{members}: {error}");
    }
}

#[test]
fn members_that_differ_are_refused() {
    let cpu = engine::open::<f32>("cpu").unwrap();
    let refused = |networks: Vec<Network<f32>>, parts: &[&str]| {
        let error = Model::ensemble(networks, info(Loss::Quadratic, 0)).err().unwrap().to_string();
        parts.iter().for_each(|part| assert!(error.contains(part), "no '{part}' in {error}"));
    };
    refused(Vec::new(), &["at least one network"]);
    let of = |outputs| members(&cpu, (outputs, Activation::Identity), 1);
    refused(
        [of(1), of(2)].into_iter().flatten().collect(),
        &["layer 1 of network 1", "dense 8 -> 2 with identity", "dense 8 -> 1 with identity"],
    );
    let shorter = Network::builder(&cpu, INPUTS).dense(8, Activation::Tanh).build().unwrap();
    let both = [of(1), vec![shorter]].into_iter().flatten().collect();
    refused(both, &["layer 1 of network 1 is none", "dense 8 -> 1"]);
    let other = engine::open::<f32>("cpu").unwrap();
    if !Arc::ptr_eq(&other, &cpu) {
        let elsewhere = members(&other, (1, Activation::Identity), 1);
        let both = [of(1), elsewhere].into_iter().flatten().collect();
        refused(both, &["network 1 is on another engine"]);
    }
}
