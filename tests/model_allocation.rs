//! A prediction allocates nothing.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use serde::Serialize;
use travertine::data::{Encoder, TableOptions, read_frame};
use travertine::engine::{self, Settings};
use travertine::model_file::ModelInfo;
use travertine::{Activation, Loss, Model, Network};

/// Counts what every thread of this process allocates.
struct CountingAllocator;

static ALLOCATIONS: AtomicUsize = AtomicUsize::new(0);

// SAFETY: all requests are passed on to the system's allocator.
unsafe impl GlobalAlloc for CountingAllocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, SeqCst);
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, p: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(p, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

fn allocations_of(mut f: impl FnMut()) -> usize {
    let before = ALLOCATIONS.load(SeqCst);
    f();
    ALLOCATIONS.load(SeqCst) - before
}

#[derive(Serialize)]
struct Person {
    age: Option<f32>,
    color: &'static str,
    zip: u32,
    #[serde(rename = "not a column")]
    name: String,
}

const PEOPLE: &str =
    "age,color,zip,sold\n30,red,8001,yes\n,blue,8002,no\n50,,8001,yes\n41,green,8003,no\n";

fn table_model(threads: usize) -> Model<f32> {
    let path =
        std::env::temp_dir().join(format!("travertine-allocation-{}.csv", std::process::id()));
    std::fs::write(&path, PEOPLE).unwrap();
    let options = TableOptions { categorical: vec!["zip".into()], ..TableOptions::default() };
    let frame = read_frame(&path, &options).unwrap();
    std::fs::remove_file(&path).unwrap();
    let (encoder, standardization) = Encoder::fit_with_standardization(&frame).unwrap();
    let cpu = engine::open_with::<f32>("cpu", &Settings::threads(threads)).unwrap();
    // Its threads allocate until they wait for work.
    std::thread::sleep(std::time::Duration::from_millis(50));
    let network = Network::builder(&cpu, encoder.features())
        .dense(9, Activation::Tanh)
        .dense(2, Activation::Identity)
        .build()
        .unwrap();
    let mut info = ModelInfo::new(Loss::SoftmaxCrossEntropy);
    info.classes = vec!["no".into(), "yes".into()];
    info.features = encoder.feature_names();
    info.standardization = Some(standardization);
    info.encoder = Some(encoder);
    Model::new(network, info).unwrap()
}

fn plain_model(threads: usize) -> Model<f32> {
    let cpu = engine::open_with::<f32>("cpu", &Settings::threads(threads)).unwrap();
    std::thread::sleep(std::time::Duration::from_millis(50));
    let network = Network::builder(&cpu, 200)
        .dense(300, Activation::Relu)
        .dense(3, Activation::Identity)
        .build()
        .unwrap();
    Model::new(network, ModelInfo::new(Loss::Quadratic)).unwrap()
}

/// One test, since the counter sees what other threads of the harness allocate.
#[test]
fn predictions_allocate_nothing() {
    for threads in [1, 2] {
        let mut predictor = table_model(threads).predictor(4).unwrap();
        let person = |age, color, zip| Person { age, color, zip, name: "somebody".repeat(9) };
        let people = [
            person(Some(20.0), "red", 8003),
            person(None, "blue", 8001),
            person(Some(7.5), "NA", 8002),
        ];
        let json = serde_json::json!({"age": 3, "color": "green", "zip": 8002, "more": [1, 2]});
        let strange = person(Some(1.0), "violet", 1);
        let count = allocations_of(|| {
            for person in &people {
                predictor.predict_record(person).unwrap();
                assert!(predictor.predict_record(&json).unwrap().class().is_some());
            }
            assert_eq!(predictor.predict_records(&people).unwrap().iter().len(), 3);
            predictor.accept_unknown_categories(true);
            predictor.predict_record(&strange).unwrap();
            predictor.accept_unknown_categories(false);
        });
        assert_eq!((count, predictor.unknown_categories()), (0, 2), "{threads} threads");

        let mut predictor = plain_model(threads).predictor(4).unwrap();
        let rows = vec![0.5; 200 * 4];
        let count = allocations_of(|| {
            for samples in 1..=4 {
                predictor.predict_batch(&rows[..200 * samples]).unwrap();
                predictor.predict(&rows[..200]).unwrap();
            }
        });
        assert_eq!(count, 0, "{threads} threads");
    }
}
