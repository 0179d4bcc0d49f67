//! One model serves many threads, also while another version replaces it.

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, RwLock};
use std::thread;

use crate::common::random;
use travertine::engine::{self, Engine};
use travertine::model_file::ModelInfo;
use travertine::{Activation, Inference, Loss, Model, Network, Prediction, Predictions, Predictor};

const THREADS: usize = 8;
const ROWS: usize = 40;
const INPUTS: usize = 300;
const VERSIONS: usize = 6;

fn network(engine: &Arc<dyn Engine<f32>>, seed: u64) -> Network<f32> {
    // Large enough that its weights are packed.
    Network::builder(engine, INPUTS)
        .dense(200, Activation::Identity)
        .batch_norm(Activation::Relu)
        .dense(7, Activation::Softmax)
        .seed(seed)
        .build()
        .unwrap()
}

fn model(engine: &Arc<dyn Engine<f32>>, seed: u64) -> Model<f32> {
    let mut info = ModelInfo::new(Loss::SoftmaxCrossEntropy);
    info.classes = (0..7).map(|class| class.to_string()).collect();
    Model::new(network(engine, seed), info).unwrap()
}

fn outputs(predictor: &mut Predictor<f32>, row: &[f64]) -> Vec<u32> {
    let prediction = predictor.predict(row).unwrap();
    prediction.outputs().iter().map(|x| x.to_bits()).collect()
}

#[test]
fn eight_threads_get_the_answers_of_one_while_versions_change() {
    let cpu = engine::open::<f32>("cpu").unwrap();
    let rows: Vec<f64> = random::<f32>(INPUTS * ROWS, 1).into_iter().map(f64::from).collect();
    let rows: Vec<&[f64]> = rows.chunks(INPUTS).collect();
    // By one thread, from models of their own: version, row, outputs.
    let expected: Vec<Vec<Vec<u32>>> = (0..VERSIONS)
        .map(|version| {
            let mut predictor = model(&cpu, version as u64).predictor(1).unwrap();
            rows.iter().map(|row| outputs(&mut predictor, row)).collect()
        })
        .collect();
    let current = RwLock::new((0, Arc::new(model(&cpu, 0))));
    let (rounds, seen) = (AtomicUsize::new(0), [const { AtomicUsize::new(0) }; VERSIONS]);
    thread::scope(|scope| {
        for number in 0..THREADS {
            let (current, rounds, seen, rows, expected) =
                (&current, &rounds, &seen, &rows, &expected);
            scope.spawn(move || {
                loop {
                    let (version, model) = current.read().unwrap().clone();
                    let mut predictor = model.predictor(1 + number % 3).unwrap();
                    for (row, expected) in rows.iter().zip(&expected[version]) {
                        assert_eq!(outputs(&mut predictor, row), *expected, "version {version}");
                    }
                    seen[version].fetch_add(1, SeqCst);
                    rounds.fetch_add(1, SeqCst);
                    if version == VERSIONS - 1 {
                        return;
                    }
                }
            });
        }
        for version in 1..VERSIONS {
            // The next version comes when some thread has finished a round, so that each version is used.
            let before = rounds.load(SeqCst);
            while rounds.load(SeqCst) == before {
                thread::yield_now();
            }
            let model = Arc::new(model(&cpu, version as u64));
            *current.write().unwrap() = (version, model);
        }
    });
    assert!(seen[VERSIONS - 1].load(SeqCst) >= THREADS);
    assert!(seen[0].load(SeqCst) >= 1);
}

#[test]
fn types_can_be_shared_and_moved_as_their_documentation_says() {
    fn send<X: Send>() {}
    fn sync<X: Sync>() {}
    fn owned<X: 'static>() {}
    send::<Model<f32>>();
    sync::<Model<f32>>();
    owned::<Model<f32>>();
    send::<Predictor<f64>>();
    owned::<Predictor<f64>>();
    send::<Inference<'static, f32>>();
    send::<Predictions<f32>>();
    sync::<Predictions<f32>>();
    send::<Prediction<'_, f32>>();
}

#[test]
fn a_predictor_outlives_its_model() {
    let cpu = engine::open::<f32>("cpu").unwrap();
    let row: Vec<f64> = vec![0.25; INPUTS];
    let (model, again) = (model(&cpu, 3), model(&cpu, 3));
    let mut predictor = model.predictor(1).unwrap();
    drop(model);
    let expected = outputs(&mut again.predictor(1).unwrap(), &row);
    let found = thread::spawn(move || outputs(&mut predictor, &row)).join().unwrap();
    assert_eq!(found, expected);
}

#[test]
fn an_inference_that_owns_its_network_computes_as_one_that_borrows() {
    let cpu = engine::open::<f32>("cpu").unwrap();
    let network = network(&cpu, 5);
    let copy = network.copy().unwrap();
    let x: Vec<f32> = random(INPUTS, 2);
    let x = travertine::Matrix::from_slice(&cpu, INPUTS, 1, &x).unwrap();
    let expected = network.inference(1).unwrap().run(x.view()).unwrap().to_vec().unwrap();
    let mut owned = copy.into_inference(1).unwrap();
    assert_eq!(owned.batch(), 1);
    let found = thread::spawn(move || owned.run(x.view()).unwrap().to_vec().unwrap());
    assert_eq!(found.join().unwrap(), expected);
}
