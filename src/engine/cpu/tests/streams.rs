//! Short calls beside a long one.

use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use super::dense::BY_TANH;
use super::*;

/// Sizes `m, n, k` and layouts of short products that read in place, pack A and B, are dot products, or have a small k.
const PRODUCTS: [([usize; 3], [Layout; 2]); 6] = [
    ([33, 20, 70], [Layout::Columns, Layout::Columns]),
    ([300, 1, 784], [Layout::Columns, Layout::Columns]),
    ([520, 450, 130], [Layout::Columns, Layout::Rows]),
    ([260, 30, 1024], [Layout::Rows, Layout::Columns]),
    ([40, 2, 50], [Layout::Rows, Layout::Columns]),
    ([50, 70, 3], [Layout::Columns, Layout::Rows]),
];

/// The elements of the results of short calls of each kind.
fn short_calls(engine: &dyn Engine<f32>) -> Vec<Vec<f64>> {
    let mut results = Vec::new();
    for ([m, n, k], layouts) in PRODUCTS {
        let mut a = Grid::<f32>::noise(m, k, layouts[0], 1);
        let mut b = Grid::<f32>::noise(k, n, layouts[1], 2);
        let mut c = Grid::<f32>::noise(m, n, Layout::Columns, 3);
        unsafe { engine.gemm(1.0, a.span(), b.span(), 0.5, c.span()).unwrap() };
        results.push(c.values());
    }
    let noise = |rows, columns, seed| Grid::<f32>::noise(rows, columns, Layout::Columns, seed);
    let (mut weights, mut input, mut bias) = (noise(100, 70, 4), noise(70, 9, 5), noise(100, 1, 6));
    let mut output = noise(100, 9, 7);
    let call = DenseForward {
        weights: weights.span(),
        packed: None,
        input: input.span(),
        bias: bias.span(),
        transfer: Transfer::Softmax,
        z: None,
        output: output.span(),
        rounds: false,
        trains: false,
    };
    let (mut large, mut sums) = (noise(400, 300, 8), noise(400, 1, 9));
    unsafe {
        engine.dense_forward(&call).unwrap();
        let p = [0.5, 0.0, 0.0, 0.0];
        engine.zip(&BY_TANH, p, output.span(), output.span(), output.span()).unwrap();
        engine.row_sums(1.0, large.span(), 0.0, sums.span()).unwrap();
    }
    results.extend([output.values(), sums.values()]);
    results
}

#[test]
fn short_calls_do_not_wait_for_a_long_one_and_give_the_same_bits() {
    let isa = Isa::best();
    let engine = cpu_engine::<f32>(isa, Cpu::detect(isa), 2);
    let alone = short_calls(&*engine);
    // What a long call holds while it computes.
    let long_call = engine.streams.pooled();
    let (sender, receiver) = mpsc::channel();
    let worker = thread::spawn({
        let engine = Arc::clone(&engine);
        move || sender.send(short_calls(&*engine)).unwrap()
    });
    // The limit only ends a test that fails: calls that wait would wait forever.
    let beside = receiver.recv_timeout(Duration::from_secs(300));
    drop(long_call);
    assert_eq!(beside.expect("short calls must not wait for a long one"), alone);
    worker.join().unwrap();
}
