//! Networks that predict quantiles: the pinball loss against its formula, finite differences and scikit-learn's numbers on every
//! engine; models, their files and what they refuse.

use std::fs;
use std::sync::Arc;

use travertine::data::{Dataset, TargetScale, Targets, Task};
use travertine::engine::{self, Engine, Settings};
use travertine::model_file::{self, ModelInfo};
use travertine::optimizer::{Adam, Sgd};
use travertine::{
    Activation, Error, Loss, Matrix, Model, Network, Quantiles, Samples, Scalar, Trainer,
    check_gradients, metrics,
};

use crate::common::{self, SMALL_DEVICE, limited_whole, random};

const LEVELS: [f64; 3] = [0.1, 0.5, 0.9];

fn quantiles(levels: &[f64]) -> Loss {
    Loss::Quantiles(Quantiles::new(levels).unwrap())
}

/// The mean over the levels, as its definition has it.
fn pinball(levels: &[f64], outputs: &[f64], t: f64) -> f64 {
    let of = |(q, a): (&f64, &f64)| (q * (t - a)).max((q - 1.0) * (t - a));
    levels.iter().zip(outputs).map(of).sum::<f64>() / levels.len() as f64
}

fn epsilon<T: Scalar>() -> f64 {
    if T::NAME == "f32" { f64::from(f32::EPSILON) } else { f64::EPSILON }
}

fn f64s<T: Scalar>(values: &[T]) -> Vec<f64> {
    values.iter().map(|x| x.to_f64()).collect()
}

/// Every engine, and those that compute small networks in one kernel, which this loss is no part of.
fn engines<T: Scalar>() -> Vec<(&'static str, Arc<dyn Engine<T>>)> {
    let whole = common::engine_if_there("opencl", &limited_whole(SMALL_DEVICE));
    let whole = whole.map(|engine| ("opencl, whole networks", engine));
    common::engines().into_iter().chain(whole).collect()
}

/// A network that answers its bias, one number a level.
fn constant<T: Scalar>(engine: &Arc<dyn Engine<T>>, bias: &[f64]) -> Network<T> {
    let mut network =
        Network::builder(engine, 1).dense(bias.len(), Activation::Identity).build().unwrap();
    let layer = &mut network.layers_mut()[0];
    layer.weights_mut().write(&vec![T::default(); bias.len()]).unwrap();
    let bias: Vec<T> = bias.iter().map(|x| T::from_f64(*x)).collect();
    layer.bias_mut().write(&bias).unwrap();
    network
}

/// Losses and one step of gradient descent for as many levels as fill vectors, and parts of them.
fn losses_and_steps<T: Scalar>(words: &str, engine: &Arc<dyn Engine<T>>) {
    for count in [1, 2, 3, 8, 19, 20] {
        let levels: Vec<f64> = (1..=count).map(|i| i as f64 / (count + 1) as f64).collect();
        let (loss, samples) = (quantiles(&levels), 7);
        let outputs = f64s(&random::<T>(count, 3));
        let mut network = constant(engine, &outputs);
        let truth = random::<T>(samples, 5);
        let repeated: Vec<T> = truth.iter().flat_map(|t| std::iter::repeat_n(*t, count)).collect();
        let x = Matrix::zeros(engine, 1, samples).unwrap();
        let t = Matrix::from_slice(engine, count, samples, &repeated).unwrap();
        let sgd = Sgd::new(1.0).unwrap();
        let mut trainer = Trainer::builder(&mut network, loss, sgd).batch(samples).build().unwrap();
        trainer.step(x.view(), t.view()).unwrap();
        let ours = trainer.last_loss(samples).unwrap();
        let each = truth.iter().map(|t| pinball(&levels, &outputs, t.to_f64()));
        let mean = each.sum::<f64>() / samples as f64;
        let bound = 16.0 * epsilon::<T>();
        assert!((ours - mean).abs() < bound, "{words}, {count} levels: {ours} and not {mean}");
        let after = f64s(&trainer.layers()[0].bias().to_vec().unwrap());
        for (i, (level, before)) in levels.iter().zip(&outputs).enumerate() {
            let slope = |t: &T| if *before > t.to_f64() { 1.0 - level } else { -level };
            let slope = truth.iter().map(slope).sum::<f64>() / (samples * count) as f64;
            let apart = (after[i] - (before - slope)).abs();
            assert!(apart < bound, "{words}, {count} levels: {i} is {apart:e} apart");
        }
    }
}

#[test]
fn losses_and_gradients_are_those_of_the_formula() {
    for (words, engine) in engines::<f32>() {
        losses_and_steps(words, &engine);
    }
    for (words, engine) in engines::<f64>() {
        losses_and_steps(words, &engine);
    }
}

/// The four numbers that scikit-learn's documentation of `mean_pinball_loss` computes by hand.
#[test]
fn losses_are_those_of_scikit_learn() {
    let cases = [
        (0.1, [0.0, 2.0, 3.0], 0.1 / 3.0),
        (0.1, [1.0, 2.0, 4.0], 0.9 / 3.0),
        (0.9, [0.0, 2.0, 3.0], 0.9 / 3.0),
        (0.9, [1.0, 2.0, 4.0], 0.1 / 3.0),
    ];
    for (words, engine) in engines::<f64>() {
        for (level, answers, expected) in cases {
            let loss = quantiles(&[level]);
            // The network answers what it gets.
            let mut network =
                Network::builder(&engine, 1).dense(1, Activation::Identity).build().unwrap();
            network.layers_mut()[0].weights_mut().write(&[1.0]).unwrap();
            let x = Matrix::from_slice(&engine, 1, 3, &answers).unwrap();
            let t = Matrix::from_slice(&engine, 1, 3, &[1.0, 2.0, 3.0]).unwrap();
            let samples = Samples::from_matrices(x, t, Task::Values).unwrap();
            let ours = network.evaluate(loss, &samples).unwrap().loss;
            assert!((ours - expected).abs() < 1e-15, "{words}: {ours} and not {expected}");
            let metric = metrics::pinball_loss(level, &[1.0, 2.0, 3.0], &answers).unwrap();
            assert!((metric - expected).abs() < 1e-15, "{metric} and not {expected}");
        }
    }
}

#[test]
fn gradients_agree_with_central_differences() {
    const H: f64 = 1e-5;
    // An error multiplied by the derivative of each kind: none, of z, of a, of all outputs together.
    let outputs = [Activation::Identity, Activation::Gelu, Activation::Tanh, Activation::Softmax];
    for (words, engine) in engines::<f64>() {
        for output in outputs {
            let builder = Network::builder(&engine, 5).dense(7, Activation::Tanh);
            let mut network = builder.dense(3, output).seed(4).build().unwrap();
            let x = Matrix::from_slice(&engine, 5, 4, &random(20, 9)).unwrap();
            // Far from every output of these networks, so that no kink is near.
            let t = [4.0, -4.0, 5.0, -3.0].map(|t| [t; 3]).concat();
            let t = Matrix::from_slice(&engine, 3, 4, &t).unwrap();
            let loss = quantiles(&LEVELS);
            let check = check_gradients(&mut network, loss, x.view(), t.view(), H).unwrap();
            let error = check.relative_error;
            assert!(error < 1e-8, "{words}: {output}: {error:e} at {}", check.place);
        }
    }
}

/// NaN and infinities are those of the formula, and the gradient is 0 where the output is the target.
#[test]
fn special_values_are_those_of_the_formula() {
    fn check<T: Scalar>(words: &str, engine: &Arc<dyn Engine<T>>) {
        let infinity = f64::INFINITY;
        let cases = [
            (1.0, [0.0; 3], 0.0),
            (infinity, [0.9, 0.5, 0.1], infinity),
            (-infinity, [-0.1, -0.5, -0.9], infinity),
            (f64::NAN, [f64::NAN; 3], f64::NAN),
        ];
        for (answer, slopes, loss) in cases {
            let what = format!("{words}, {answer}");
            let mut network = constant(engine, &[answer; 3]);
            let x = Matrix::zeros(engine, 1, 1).unwrap();
            let t = Matrix::from_slice(engine, 3, 1, &[T::from_f64(1.0); 3]).unwrap();
            let sgd = Sgd::new(1.0).unwrap();
            let builder = Trainer::builder(&mut network, quantiles(&LEVELS), sgd);
            let mut trainer = builder.batch(1).build().unwrap();
            trainer.step(x.view(), t.view()).unwrap();
            let ours = trainer.last_loss(1).unwrap();
            assert!(ours == loss || ours.is_nan() && loss.is_nan(), "{what}: {ours}");
            let after = f64s(&trainer.layers()[0].bias().to_vec().unwrap());
            for (after, slope) in after.iter().zip(slopes) {
                let expected = answer - slope / 3.0;
                let is_same = *after == expected || after.is_nan() && expected.is_nan();
                assert!(is_same, "{what}: {after} and not {expected}");
            }
        }
    }
    for (words, engine) in engines::<f32>() {
        check(words, &engine);
    }
    for (words, engine) in engines::<f64>() {
        check(words, &engine);
    }
}

fn refused<X>(result: Result<X, Error>, parts: &[&str]) {
    let error = result.err().expect("an error").to_string();
    for part in parts {
        assert!(error.contains(part), "{part:?} is not in {error:?}");
    }
}

#[test]
fn levels_that_are_none_are_refused() {
    refused(Quantiles::new(&[]), &["0 levels", "1 to 20"]);
    let many: Vec<f64> = (1..=21).map(|i| f64::from(i) / 22.0).collect();
    refused(Quantiles::new(&many), &["21 levels", "1 to 20"]);
    for level in [0.0, 1.0, -0.5, f64::NAN, f64::INFINITY, 1.0 - 1e-12, 1e-60] {
        refused(Quantiles::new(&[level]), &["above 0 and below 1", &level.to_string()]);
    }
    refused(Quantiles::new(&[0.9, 0.1]), &["0.9,0.1 do not ascend", "0.1,0.9 do"]);
    refused(Quantiles::new(&[0.1, 0.5, 0.5]), &["0.1,0.5,0.5 do not ascend", "0.1,0.5 do"]);
    refused("0.1,x".parse::<Quantiles>(), &["'x' is not a number"]);
    refused("quantiles".parse::<Loss>(), &["no levels", "quantiles(0.1,0.5,0.9)"]);
    refused("quantiles(0.5,0.1)".parse::<Loss>(), &["do not ascend"]);
    let loss = quantiles(&LEVELS);
    assert_eq!(loss.to_string(), "quantiles(0.1,0.5,0.9)");
    assert_eq!(loss.to_string().parse::<Loss>().unwrap(), loss);
    assert_eq!(loss.quantiles().unwrap().levels(), LEVELS);
}

#[test]
fn outputs_and_targets_that_do_not_fit_are_refused() {
    let cpu = engine::open::<f32>("cpu").unwrap();
    let mut network = Network::builder(&cpu, 1).dense(2, Activation::Identity).build().unwrap();
    let sgd = Sgd::new(1.0).unwrap();
    let parts = ["quantiles(0.1,0.5,0.9) with 2 identity outputs", "must be 3, one for each level"];
    refused(Trainer::builder(&mut network, quantiles(&LEVELS), sgd).build(), &parts);
    let two = Targets::Values { values: vec![1.0, 2.0], names: vec!["a".into(), "b".into()] };
    let levels = Quantiles::new(&LEVELS).unwrap();
    refused(two.for_quantiles(&levels), &["2 values a sample"]);
    refused(TargetScale::fit(&two).unwrap().for_quantiles(&levels), &["2 outputs"]);
    refused(Targets::None.for_quantiles(&levels), &["no values"]);
    let x = Matrix::zeros(&cpu, 1, 3).unwrap();
    let samples =
        Samples::from_matrices(x, Matrix::zeros(&cpu, 2, 3).unwrap(), Task::Values).unwrap();
    refused(network.evaluate(quantiles(&LEVELS), &samples), &["a row for each first parameter"]);
}

/// Samples of `y = x`, `x` from 0 to 1.
fn line() -> Dataset<f32> {
    let values: Vec<f64> = (0..10).map(|i| f64::from(i) / 10.0).collect();
    let features = values.iter().map(|x| *x as f32).collect();
    let targets = Targets::Values { values, names: vec!["y".into()] };
    Dataset::new(1, features, targets).unwrap()
}

/// A model of quantiles of `y = x` that are wrong by these numbers in scaled units.
fn model(cpu: &Arc<dyn Engine<f32>>, offsets: &[f32; 3], is_bounded: bool) -> Model<f32> {
    let levels = Quantiles::new(&LEVELS).unwrap();
    let repeated = line().targets().for_quantiles(&levels).unwrap();
    let mut scale = TargetScale::fit(&repeated).unwrap();
    let (mean, deviation) = (scale.mean()[0] as f32, scale.deviation()[0] as f32);
    if is_bounded {
        scale = scale.bounded_by(&repeated).unwrap();
    }
    let mut network = Network::builder(cpu, 1).dense(3, Activation::Identity).build().unwrap();
    let layer = &mut network.layers_mut()[0];
    layer.weights_mut().write(&[1.0 / deviation; 3]).unwrap();
    layer.bias_mut().write(&offsets.map(|offset| offset - mean / deviation)).unwrap();
    let mut info = ModelInfo::new(Loss::Quantiles(levels));
    info.target = Some("y".to_owned());
    info.target_scale = Some(scale);
    Model::new(network, info).unwrap()
}

#[test]
fn predictions_ascend_and_have_the_units_and_bounds_of_the_data() {
    let cpu = engine::open_with::<f32>("cpu", &Settings::threads(1)).unwrap();
    let deviation = TargetScale::fit(line().targets()).unwrap().deviation()[0];
    // The first and the last of them cross.
    let model_of = |is_bounded| model(&cpu, &[1.0, 0.0, -0.5], is_bounded);
    let free = model_of(false);
    assert_eq!(free.value_names(), ["y_q0.1", "y_q0.5", "y_q0.9"]);
    let predictions = free.predict(&line()).unwrap();
    for (i, prediction) in predictions.iter().enumerate() {
        let x = i as f64 / 10.0;
        let expected = [x - 0.5 * deviation, x, x + deviation];
        for (value, expected) in prediction.values().iter().zip(expected) {
            assert!((value - expected).abs() < 1e-6, "{value} and not {expected}");
        }
        let texts: Vec<f64> =
            prediction.value_texts().iter().map(|text| text.parse().unwrap()).collect();
        assert!(texts.is_sorted() && (texts[0] - prediction.values()[0]).abs() < 1e-5);
    }
    for model in [free, model_of(true)] {
        let evaluation = model.evaluate(&line()).unwrap();
        let Targets::Values { values: truth, names } = &evaluation.targets else { panic!() };
        assert_eq!(names, &["y"]);
        let predicted: Vec<f64> =
            evaluation.predictions.iter().flat_map(|p| p.values().to_vec()).collect();
        assert!(predicted.chunks(3).all(|values| values.is_sorted()));
        let mean = metrics::mean_pinball_loss(&LEVELS, truth, &predicted).unwrap();
        let by_hand: f64 =
            truth.iter().zip(predicted.chunks(3)).map(|(t, p)| pinball(&LEVELS, p, *t)).sum();
        assert!((mean - by_hand / 10.0).abs() < 1e-12);
        assert!((evaluation.report.loss - mean).abs() < 1e-6, "{evaluation:?}");
        assert_eq!(metrics::coverage(3, truth, &predicted).unwrap(), 1.0);
        let importance = model.importance(&line(), 2, 1).unwrap();
        assert!(importance[0].mean > 0.1, "{importance:?}");
    }
    let bounded = model_of(true).predict(&line()).unwrap();
    let values: Vec<f64> = bounded.iter().flat_map(|p| p.values().to_vec()).collect();
    assert!(values.iter().all(|value| (0.0..=0.9).contains(value)));
    assert!(values.iter().filter(|value| [0.0, 0.9].contains(*value)).count() > 4);
    // Without a scale, too.
    let mut info = ModelInfo::new(quantiles(&LEVELS));
    info.target = Some("y".to_owned());
    let plain = Model::new(constant(&cpu, &[3.0, 1.5, 2.0]), info).unwrap();
    let mut predictor = plain.predictor(1).unwrap();
    assert_eq!(predictor.predict(&[0.0]).unwrap().to_string(), "1.5, 2, 3");
    let loss = plain.evaluate(&line()).unwrap().report.loss;
    let expected = (0..10).map(|i| pinball(&LEVELS, &[1.5, 2.0, 3.0], f64::from(i) / 10.0));
    assert!((loss - expected.sum::<f64>() / 10.0).abs() < 1e-6);
}

/// The mean of members, which is then sorted.
#[test]
fn ensembles_answer_the_mean_of_their_quantiles() {
    let cpu = engine::open_with::<f32>("cpu", &Settings::threads(1)).unwrap();
    let members = vec![constant(&cpu, &[3.0, 2.0, 5.0]), constant(&cpu, &[1.0, 6.0, 2.0])];
    let model = Model::ensemble(members, ModelInfo::new(quantiles(&LEVELS))).unwrap();
    let mut predictor = model.predictor(1).unwrap();
    assert_eq!(predictor.predict(&[0.0]).unwrap().values(), [2.0, 3.5, 4.0]);
}

#[test]
fn files_keep_the_levels_and_refuse_wrong_ones() {
    let cpu = engine::open_with::<f32>("cpu", &Settings::threads(1)).unwrap();
    let folder = std::env::temp_dir().join(format!("travertine-quantiles-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    let path = folder.join("m.safetensors");
    let saved = model(&cpu, &[-1.0, 0.0, 1.0], true);
    saved.save(&path).unwrap();
    let loaded = Model::<f32>::load(&path, &cpu).unwrap();
    assert_eq!(loaded.info(), saved.info());
    let values = |model: &Model<f32>| -> Vec<Vec<f64>> {
        model.predict(&line()).unwrap().iter().map(|p| p.values().to_vec()).collect()
    };
    assert_eq!(values(&loaded), values(&saved));
    assert!(model_file::describe(&path).unwrap().info.loss.quantiles().is_some());

    let bytes = fs::read(&path).unwrap();
    let good = "quantiles(0.1,0.5,0.9)";
    let place = bytes.windows(good.len()).position(|part| part == good.as_bytes()).unwrap();
    // As long as the good one, so that nothing else changes.
    for (bad, parts) in [
        ("quantiles(0.1,0.5,1.0)", &["loss", "above 0 and below 1"][..]),
        ("quantiles(0.0,0.5,0.9)", &["loss", "above 0 and below 1"]),
        ("quantiles(0.5,0.1,0.9)", &["loss", "do not ascend"]),
        ("quantiles(0.5,0.5,0.9)", &["loss", "do not ascend"]),
        ("quantiles(0.1,NaN,0.9)", &["loss", "above 0 and below 1"]),
        ("quantiles(0.12,0.9999)", &["3 levels, one for each output", "2"]),
        ("quantiles(.1,.2,.5,.9)", &["3 levels, one for each output", "4"]),
    ] {
        let mut damaged = bytes.clone();
        damaged[place..place + bad.len()].copy_from_slice(bad.as_bytes());
        fs::write(&path, damaged).unwrap();
        refused(Model::<f32>::load(&path, &cpu), parts);
    }
    fs::remove_dir_all(&folder).unwrap();

    let refuse = |change: &dyn Fn(&mut ModelInfo), parts: &[&str]| {
        let mut info = ModelInfo::new(quantiles(&LEVELS));
        change(&mut info);
        refused(Model::new(constant(&cpu, &[1.0, 2.0, 3.0]), info), parts);
    };
    refuse(&|info| info.classes = vec!["a".into(), "b".into(), "c".into()], &["classes", "none"]);
    refuse(&|info| info.loss = quantiles(&[0.1, 0.9]), &["3 levels"]);
    let one = TargetScale::fit(line().targets());
    refuse(&|info| info.target_scale = one.clone(), &["target_scale"]);
}

/// A snapshot is of one set of levels, and goes on to the same bits, with any number of threads.
#[test]
fn trainings_go_on_from_snapshots_with_the_same_bits() {
    let data = line()
        .with_targets(line().targets().for_quantiles(&Quantiles::new(&LEVELS).unwrap()).unwrap());
    let data = data.unwrap();
    let train = |threads: usize, stops: bool| -> Vec<u32> {
        let cpu = engine::open_with::<f32>("cpu", &Settings::threads(threads)).unwrap();
        let build = || {
            let builder = Network::builder(&cpu, 1).dense(9, Activation::Tanh);
            builder.dense(3, Activation::Identity).seed(3).build().unwrap()
        };
        let mut network = build();
        let mut samples = Samples::new(&cpu, &data).unwrap();
        let mut trainer = trainer(&mut network, &LEVELS);
        for _ in 0..4 {
            trainer.epoch(&mut samples).unwrap();
        }
        let snapshot = trainer.snapshot(&mut samples).unwrap();
        let mut other = build();
        let mut other = self::trainer(&mut other, &[0.2, 0.5, 0.9]);
        refused(other.restore(&snapshot, &mut samples), &["quantiles(0.2,0.5,0.9)"]);
        let mut resumed = build();
        if stops {
            trainer = self::trainer(&mut resumed, &LEVELS);
            trainer.restore(&snapshot, &mut samples).unwrap();
        }
        for _ in 0..4 {
            trainer.epoch(&mut samples).unwrap();
        }
        let layers = trainer.layers().iter();
        layers.flat_map(|layer| layer.weights().to_vec().unwrap()).map(f32::to_bits).collect()
    };
    let straight = train(1, false);
    assert_eq!(straight, train(1, true));
    assert_eq!(straight, train(3, false));
}

fn trainer<'n>(network: &'n mut Network<f32>, levels: &[f64]) -> Trainer<'n, f32> {
    let adam = Adam::new(0.01).unwrap();
    Trainer::builder(network, quantiles(levels), adam).batch(4).seed(1).build().unwrap()
}

/// Without inputs that tell anything, the outputs become the quantiles of the targets.
#[test]
fn training_finds_the_quantiles_of_the_targets() {
    for (words, engine) in common::engines::<f32>() {
        let mut network = constant(&engine, &[0.0; 3]);
        let count = 1000;
        let values: Vec<f64> = (0..count).map(|i| (f64::from(i) + 0.5) / 1000.0).collect();
        let targets = Targets::Values { values, names: vec!["y".into()] };
        let levels = Quantiles::new(&LEVELS).unwrap();
        let targets = targets.for_quantiles(&levels).unwrap();
        let data = Dataset::new(1, vec![0.0; count as usize], targets).unwrap();
        let mut samples = Samples::new(&engine, &data).unwrap();
        let adam = Adam::new(0.005).unwrap();
        let builder = Trainer::builder(&mut network, Loss::Quantiles(levels), adam);
        let mut trainer = builder.batch(50).seed(1).build().unwrap();
        for _ in 0..40 {
            trainer.epoch(&mut samples).unwrap();
        }
        let found = f64s(&trainer.layers()[0].bias().to_vec().unwrap());
        for (found, level) in found.iter().zip(LEVELS) {
            assert!((found - level).abs() < 0.03, "{words}: {found} and not {level}");
        }
    }
}
