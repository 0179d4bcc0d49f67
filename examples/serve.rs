//! A service in miniature: threads predict with one model while new versions replace it, and no request fails.
//!
//! Each thread has a predictor of its own. Before a request it looks whether the model is still the current one, and makes a
//! new predictor if not. A request that is in progress keeps the model that it began with.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, PoisonError, RwLock};
use std::thread;
use std::time::Duration;

use serde::Serialize;
use travertine::engine::{self, Engine};
use travertine::model_file::ModelInfo;
use travertine::{Activation, Loss, Model, Network, Predictor, Result};

const THREADS: u64 = 4;
const VERSIONS: u64 = 20;

/// A request.
#[derive(Serialize)]
struct Flower {
    sepal_length: f64,
    sepal_width: f64,
    petal_length: f64,
    petal_width: f64,
}

/// The current model, which any thread may replace.
struct Current(RwLock<Arc<Model<f32>>>);

impl Current {
    fn get(&self) -> Arc<Model<f32>> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn replace(&self, model: Model<f32>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(model);
    }
}

/// A predictor with the model that it belongs to.
struct Worker {
    model: Arc<Model<f32>>,
    predictor: Predictor<f32>,
}

impl Worker {
    fn new(model: Arc<Model<f32>>) -> Result<Self> {
        Ok(Worker { predictor: model.predictor(1)?, model })
    }

    /// Answers a request with the current model.
    fn answer(&mut self, current: &Current, flower: &Flower) -> Result<String> {
        let model = current.get();
        if !Arc::ptr_eq(&model, &self.model) {
            *self = Worker::new(model)?;
        }
        Ok(self.predictor.predict_record(flower)?.to_string())
    }
}

/// Stands for training, or for loading a file: `Model::load("iris.safetensors", engine)`.
fn version(number: u64, cpu: &Arc<dyn Engine<f32>>) -> Result<Model<f32>> {
    let network = Network::builder(cpu, 4)
        .dense(16, Activation::Relu)
        .dense(3, Activation::Softmax)
        .seed(number)
        .build()?;
    let names = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
    let mut info = ModelInfo::new(Loss::SoftmaxCrossEntropy);
    info.classes = names(&["setosa", "versicolor", "virginica"]);
    info.features = names(&["sepal_length", "sepal_width", "petal_length", "petal_width"]);
    Model::new(network, info)
}

/// Answers requests until `stop` is set; returns how many failed.
fn serve(current: &Current, stop: &AtomicBool, answered: &AtomicU64) -> Result<u64> {
    let mut worker = Worker::new(current.get())?;
    let (mut failed, mut petal_length) = (0, 1.0);
    while !stop.load(Relaxed) {
        petal_length = if petal_length > 6.0 { 1.0 } else { petal_length + 0.1 };
        let flower = Flower { sepal_length: 5.1, sepal_width: 3.5, petal_length, petal_width: 0.2 };
        match worker.answer(current, &flower) {
            Ok(_) => {
                answered.fetch_add(1, Relaxed);
            }
            Err(_) => failed += 1,
        }
    }
    Ok(failed)
}

fn main() -> Result<()> {
    let cpu = engine::open::<f32>("cpu")?;
    let current = Current(RwLock::new(Arc::new(version(0, &cpu)?)));
    println!("{}", current.get());
    let (stop, answered) = (AtomicBool::new(false), AtomicU64::new(0));
    let failed = thread::scope(|scope| {
        let threads: Vec<_> =
            (0..THREADS).map(|_| scope.spawn(|| serve(&current, &stop, &answered))).collect();
        for number in 1..=VERSIONS {
            thread::sleep(Duration::from_millis(40));
            match version(number, &cpu) {
                Ok(model) => current.replace(model),
                Err(error) => eprintln!("version {number} is left out: {error}"),
            }
        }
        stop.store(true, Relaxed);
        let results = threads.into_iter().filter_map(|thread| thread.join().ok());
        results.sum::<Result<u64>>()
    })?;
    let answered = answered.into_inner();
    println!("{THREADS} threads answered {answered} requests with {} versions", VERSIONS + 1);
    println!("{failed} requests failed");
    Ok(())
}
