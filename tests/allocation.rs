//! A step of training and an inference allocate nothing, on the host and in the engine, and all memory is freed.

mod common;

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Barrier};

use common::{one_hot, random};
use travertine::data::Task;
use travertine::engine::{self, Counting, Engine, Settings};
use travertine::layer::Categories;
use travertine::optimizer::{Adam, Clip, Optimizer, RmsProp, Schedule, Sgd, WeightDecay};
use travertine::{
    Activation, Builder, Dropout, Loss, Matrix, Network, Quantiles, Samples, Trainer,
};

/// Counts the allocations of all threads of this process.
struct CountingAllocator;

static ALLOCATIONS: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call goes to the system's allocator.
unsafe impl GlobalAlloc for CountingAllocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, SeqCst);
        // SAFETY: the caller promises what the system's allocator demands.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, p: *mut u8, layout: Layout) {
        // SAFETY: the caller promises what the system's allocator demands.
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

/// An engine whose threads wait for work: while they start, they allocate.
fn started(threads: usize) -> Arc<dyn Engine<f32>> {
    let cpu = engine::open_with::<f32>("cpu", &Settings::threads(threads)).unwrap();
    std::thread::sleep(std::time::Duration::from_millis(50));
    cpu
}

fn network(engine: &Arc<dyn Engine<f32>>, hidden: Activation, output: Activation) -> Network<f32> {
    Network::builder(engine, 40)
        .dense(33, hidden)
        .dense(20, hidden)
        .dense(10, output)
        .seed(1)
        .build()
        .unwrap()
}

const CASES: [(Activation, Activation, Loss); 4] = [
    (Activation::Sigmoid, Activation::Sigmoid, Loss::Quadratic),
    (Activation::Relu, Activation::Softmax, Loss::SoftmaxCrossEntropy),
    (Activation::Gelu, Activation::Identity, Loss::Huber(1.0)), // keeps z
    (Activation::Tanh, Activation::Softmax, Loss::MeanAbsolute), // needs the derivative of softmax
];

/// One test, since the counter includes allocations of the test harness's other threads.
#[test]
fn nothing_is_allocated_and_nothing_lost() {
    a_thousand_steps_allocate_nothing();
    steps_of_every_optimizer_allocate_nothing();
    steps_of_an_epoch_allocate_nothing();
    steps_of_layers_that_normalize_allocate_nothing();
    steps_of_embeddings_allocate_nothing();
    steps_of_parametric_activations_allocate_nothing();
    steps_of_members_allocate_nothing();
    steps_of_slices_allocate_nothing();
    a_thousand_inferences_allocate_nothing();
    inferences_of_threads_that_share_an_engine_allocate_nothing();
    the_engine_allocates_what_the_plan_says_and_frees_all();
}

fn a_thousand_steps_allocate_nothing() {
    for threads in [1, 2] {
        let cpu = started(threads);
        let x = Matrix::from_slice(&cpu, 40, 32, &random(40 * 32, 1)).unwrap();
        let t = Matrix::from_slice(&cpu, 10, 32, &one_hot(10, 32)).unwrap();
        let levels: Vec<f64> = (1..=10).map(|i| f64::from(i) / 11.0).collect();
        let quantiles = Loss::Quantiles(Quantiles::new(&levels).unwrap());
        let quantiles = (Activation::Relu, Activation::Identity, quantiles);
        for (hidden, output, loss) in CASES.into_iter().chain([quantiles]) {
            let mut network = network(&cpu, hidden, output);
            let mut trainer = Trainer::builder(&mut network, loss, Sgd::new(0.01).unwrap())
                .batch(32)
                .seed(1)
                .build()
                .unwrap();
            let partial = |m: &Matrix<f32>, n| m.view().sub_columns(0..n).unwrap().copy().unwrap();
            let (x7, t7) = (partial(&x, 7), partial(&t, 7));
            let count = allocations_of(|| {
                for _ in 0..500 {
                    trainer.step(x.view(), t.view()).unwrap();
                    trainer.step(x7.view(), t7.view()).unwrap();
                }
            });
            assert_eq!(count, 0, "{hidden} {output} {loss} on {threads} threads");
        }
    }
}

fn optimizers() -> Vec<Box<dyn Optimizer<f32>>> {
    let sgd = Sgd::new(0.01).unwrap();
    vec![
        Box::new(sgd),
        Box::new(sgd.momentum(0.9).unwrap()),
        Box::new(sgd.momentum(0.9).unwrap().weight_decay(WeightDecay::L2(0.1)).unwrap()),
        Box::new(sgd.nesterov(0.9).unwrap()),
        Box::new(RmsProp::new(0.01).unwrap()),
        Box::new(Adam::new(0.01).unwrap().weight_decay(WeightDecay::Decoupled(0.1)).unwrap()),
    ]
}

const CLIPS: [Option<Clip>; 3] = [None, Some(Clip::Norm(0.1)), Some(Clip::Value(0.1))];

/// A trainer with a schedule and, if requested, a clip, dropout and max-norm.
fn trainer<'n>(
    network: &'n mut Network<f32>,
    optimizer: Box<dyn Optimizer<f32>>,
    clip: Option<Clip>,
    regularized: bool,
) -> Trainer<'n, f32> {
    let dropout = regularized.then_some(Dropout { inputs: 0.2, hidden: 0.5 });
    Trainer::builder(network, Loss::SoftmaxCrossEntropy, optimizer)
        .batch(32)
        .seed(1)
        .dropout(dropout)
        .max_norm(regularized.then_some(1.0))
        .schedule(Schedule::Cosine { steps: 50, last: 0.1 })
        .clip(clip)
        .build()
        .unwrap()
}

fn steps_of_every_optimizer_allocate_nothing() {
    for threads in [1, 2] {
        let counting = Arc::new(Counting::new(started(threads)));
        let engine: Arc<dyn Engine<f32>> = counting.clone();
        let x = Matrix::from_slice(&engine, 40, 32, &random(40 * 32, 1)).unwrap();
        let t = Matrix::from_slice(&engine, 10, 32, &one_hot(10, 32)).unwrap();
        for (clip, regularized) in CLIPS.into_iter().flat_map(|clip| [(clip, false), (clip, true)])
        {
            for optimizer in optimizers() {
                let what =
                    format!("{} {clip:?} {regularized} on {threads} threads", optimizer.describe());
                let before = counting.counts().live_bytes;
                let mut network = network(&engine, Activation::Relu, Activation::Softmax);
                let parameters = network.parameters() * size_of::<f32>();
                let mut trainer = trainer(&mut network, optimizer, clip, regularized);
                let planned = counting.counts();
                assert_eq!(
                    planned.live_bytes - before,
                    parameters + trainer.memory_plan().bytes(),
                    "{what}"
                );
                let count = allocations_of(|| {
                    (0..100).for_each(|_| trainer.step(x.view(), t.view()).unwrap())
                });
                assert_eq!(count, 0, "{what}");
                assert_eq!(counting.counts().allocations, planned.allocations, "{what}");
            }
        }
    }
}

fn steps_of_slices_allocate_nothing() {
    let counting = Arc::new(Counting::new(started(2)));
    let engine: Arc<dyn Engine<f32>> = counting.clone();
    let x = Matrix::from_slice(&engine, 40, 32, &random(40 * 32, 1)).unwrap();
    let t = Matrix::from_slice(&engine, 10, 32, &one_hot(10, 32)).unwrap();
    for slices in [2, 3, 8] {
        let before = counting.counts().live_bytes;
        let mut network = network(&engine, Activation::Relu, Activation::Softmax);
        let parameters = network.parameters() * size_of::<f32>();
        let adam = Adam::new(0.01).unwrap();
        let mut trainer = Trainer::builder(&mut network, Loss::SoftmaxCrossEntropy, adam)
            .batch(32)
            .slices(slices)
            .build()
            .unwrap();
        let planned = counting.counts();
        let plan = trainer.memory_plan().bytes();
        assert_eq!(planned.live_bytes - before, parameters + plan, "{slices} slices");
        let count =
            allocations_of(|| (0..100).for_each(|_| trainer.step(x.view(), t.view()).unwrap()));
        assert_eq!(count, 0, "{slices} slices");
        assert_eq!(counting.counts().allocations, planned.allocations, "{slices} slices");
    }
}

/// An epoch allocates a few vectors for its report; their number does not grow with the steps.
fn steps_of_an_epoch_allocate_nothing() {
    let cpu = engine::open::<f32>("cpu").unwrap();
    let epoch = |samples: usize, weighted: bool| {
        let weights: Vec<f64> = (0..samples).map(|i| (i % 3) as f64).collect();
        let x = Matrix::from_slice(&cpu, 40, samples, &random(40 * samples, 1)).unwrap();
        let t = Matrix::from_slice(&cpu, 10, samples, &one_hot(10, samples)).unwrap();
        let mut samples = Samples::from_matrices(x, t, Task::Classes).unwrap();
        if weighted {
            samples = samples.with_weights(&weights).unwrap();
        }
        let mut network = network(&cpu, Activation::Relu, Activation::Softmax);
        let sgd = Sgd::new(0.01).unwrap();
        let mut trainer = Trainer::builder(&mut network, Loss::SoftmaxCrossEntropy, sgd)
            .batch(4)
            .seed(1)
            .build()
            .unwrap();
        trainer.epoch(&mut samples).unwrap();
        allocations_of(|| {
            trainer.epoch(&mut samples).unwrap();
            trainer.evaluate(&samples).unwrap();
        })
    };
    for weighted in [false, true] {
        // 10 and 1,001 steps, the last one partial
        assert_eq!(epoch(40, weighted), epoch(4002, weighted));
    }
}

fn steps_of_layers_that_normalize_allocate_nothing() {
    for threads in [1, 2] {
        let counting = Arc::new(Counting::new(started(threads)));
        let engine: Arc<dyn Engine<f32>> = counting.clone();
        let x = Matrix::from_slice(&engine, 40, 32, &random(40 * 32, 1)).unwrap();
        let t = Matrix::from_slice(&engine, 10, 32, &one_hot(10, 32)).unwrap();
        let mut network = Network::builder(&engine, 40)
            .dense(30, Activation::Identity)
            .batch_norm(Activation::Gelu)
            .dense(20, Activation::Identity)
            .layer_norm(Activation::Relu)
            .dense(10, Activation::Softmax)
            .build()
            .unwrap();
        let live = counting.counts().live_bytes;
        let mut trainer = trainer(&mut network, Box::new(Adam::new(0.01).unwrap()), CLIPS[1], true);
        assert_eq!(counting.counts().live_bytes, live + trainer.memory_plan().bytes());
        trainer.step(x.view(), t.view()).unwrap();
        let allocations = counting.counts().allocations;
        let count =
            allocations_of(|| (0..100).for_each(|_| trainer.step(x.view(), t.view()).unwrap()));
        assert_eq!((count, counting.counts().allocations), (0, allocations), "{threads} threads");
    }
}

fn steps_of_embeddings_allocate_nothing() {
    steps_of_layers_allocate_nothing(|builder| builder.embed_numbers(&[0, 3, 4]));
    // The samples are no categories, so their vectors are NaN; that allocates no less.
    let features = [Categories { feature: 2, count: 9 }];
    steps_of_layers_allocate_nothing(|builder| builder.embed_categories(&features));
}

fn steps_of_parametric_activations_allocate_nothing() {
    steps_of_layers_allocate_nothing(|builder| {
        builder
            .dense(130, Activation::Identity)
            .parametric(Activation::Mish)
            .dense(9, Activation::Relu)
            .parametric(Activation::Tanh)
    });
}

/// `hidden`: adds the layers in front of the output layer; samples have 5 features.
fn steps_of_layers_allocate_nothing(hidden: impl for<'e> Fn(Builder<'e, f32>) -> Builder<'e, f32>) {
    steps_of_networks_allocate_nothing(|builder| hidden(builder).dense(3, Activation::Softmax));
}

fn steps_of_members_allocate_nothing() {
    steps_of_networks_allocate_nothing(|builder| {
        let builder = builder.embed_numbers(&[1]).members(4);
        let builder = builder.member_dense(17, Activation::Identity).scale(Activation::Relu);
        builder.member_heads(3, Activation::Softmax)
    });
}

/// `layers`: adds all layers; samples have 5 features and 3 classes.
fn steps_of_networks_allocate_nothing(
    layers: impl for<'e> Fn(Builder<'e, f32>) -> Builder<'e, f32>,
) {
    for (threads, batch) in [(1, 32), (2, 32), (2, 2000)] {
        let counting = Arc::new(Counting::new(started(threads)));
        let engine: Arc<dyn Engine<f32>> = counting.clone();
        let x = Matrix::from_slice(&engine, 5, batch, &random(5 * batch, 1)).unwrap();
        let t = Matrix::from_slice(&engine, 3, batch, &one_hot(3, batch)).unwrap();
        let mut network = layers(Network::builder(&engine, 5)).build().unwrap();
        let (loss, optimizer) = (Loss::SoftmaxCrossEntropy, Adam::new(0.01).unwrap());
        let live = counting.counts().live_bytes;
        let mut trainer =
            Trainer::builder(&mut network, loss, optimizer).batch(batch).seed(1).build().unwrap();
        assert_eq!(counting.counts().live_bytes, live + trainer.memory_plan().bytes());
        trainer.step(x.view(), t.view()).unwrap();
        let allocations = counting.counts().allocations;
        let count =
            allocations_of(|| (0..50).for_each(|_| trainer.step(x.view(), t.view()).unwrap()));
        assert_eq!((count, counting.counts().allocations), (0, allocations), "{threads} threads");
        drop(trainer);
        let mut inference = network.inference(batch).unwrap();
        let count = allocations_of(|| {
            inference.run(x.view()).unwrap();
        });
        assert_eq!(count, 0, "{threads} threads");
    }
}

fn a_thousand_inferences_allocate_nothing() {
    for threads in [1, 2] {
        let cpu = started(threads);
        let network = network(&cpu, Activation::Silu, Activation::Softmax);
        let x = Matrix::from_slice(&cpu, 40, 64, &random(40 * 64, 1)).unwrap();
        let mut inference = network.inference(64).unwrap();
        let count = allocations_of(|| {
            for _ in 0..1000 {
                inference.run(x.view()).unwrap();
            }
        });
        assert_eq!(count, 0, "{threads} threads");
    }
}

fn inferences_of_threads_that_share_an_engine_allocate_nothing() {
    let cpu = started(2);
    let network = network(&cpu, Activation::Silu, Activation::Softmax);
    let x = Matrix::from_slice(&cpu, 40, 64, &random(40 * 64, 1)).unwrap();
    let barrier = Barrier::new(3);
    let run = || {
        let mut inference = network.inference(64).unwrap();
        inference.run(x.view()).unwrap();
        barrier.wait();
        for _ in 0..500 {
            inference.run(x.view()).unwrap();
        }
        barrier.wait();
    };
    std::thread::scope(|scope| {
        scope.spawn(run);
        scope.spawn(run);
        barrier.wait();
        let count = allocations_of(|| {
            barrier.wait();
        });
        assert_eq!(count, 0);
    });
}

fn the_engine_allocates_what_the_plan_says_and_frees_all() {
    let counting = Arc::new(Counting::new(engine::open::<f32>("cpu").unwrap()));
    let engine: Arc<dyn Engine<f32>> = counting.clone();
    for (hidden, output, loss) in CASES {
        let mut network = network(&engine, hidden, output);
        let parameters = network.parameters() * size_of::<f32>();
        assert_eq!(counting.counts().live_bytes, parameters);
        let x = Matrix::from_slice(&engine, 40, 8, &random(40 * 8, 1)).unwrap();
        let t = Matrix::from_slice(&engine, 10, 8, &one_hot(10, 8)).unwrap();
        let data = x.bytes() + t.bytes();
        let mut trainer = Trainer::builder(&mut network, loss, Sgd::new(0.01).unwrap())
            .batch(8)
            .seed(1)
            .build()
            .unwrap();
        let planned = counting.counts();
        assert_eq!(
            planned.live_bytes,
            parameters + data + trainer.memory_plan().bytes(),
            "{}",
            trainer.memory_plan()
        );
        (0..100).for_each(|_| trainer.step(x.view(), t.view()).unwrap());
        let after = counting.counts();
        assert_eq!(
            (after.allocations, after.live_bytes),
            (planned.allocations, planned.live_bytes)
        );
        assert!(after.calls > planned.calls);
        drop((trainer, x, t));
        assert_eq!(counting.counts().live_bytes, parameters);
        drop(network);
        assert_eq!(counting.counts().live, 0);
    }
    for _ in 0..1000 {
        network(&engine, Activation::Relu, Activation::Softmax);
    }
    assert_eq!((counting.counts().live, counting.counts().live_bytes), (0, 0));
}
