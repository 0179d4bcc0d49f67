//! The functions of vector mathematics, element by element, on one thread: in the L1 cache, and from memory.
//!
//!     cargo bench --bench activations

mod common;

use common::engine;
use divan::Bencher;
use divan::counter::ItemsCount;
use travertine::ops::{self, Function};
use travertine::{Matrix, Scalar};

fn functions<T: Scalar>(bencher: Bencher<'_, '_>, function: Function, count: usize) {
    let engine = engine::<T>(1);
    let values: Vec<T> =
        (0..count).map(|i| T::from_f64(i as f64 / count as f64 * 16.0 - 8.0)).collect();
    let x = Matrix::from_slice(&engine, count, 1, &values).unwrap();
    let mut y = Matrix::zeros(&engine, count, 1).unwrap();
    bencher.counter(ItemsCount::new(count)).bench_local(|| {
        ops::map(function, x.view(), y.view_mut()).unwrap();
        engine.synchronize().unwrap();
    });
}

#[divan::bench(args = Function::ALL, consts = [2048, 4_000_000])]
fn f32<const COUNT: usize>(bencher: Bencher<'_, '_>, function: Function) {
    functions::<f32>(bencher, function, COUNT);
}

#[divan::bench(args = Function::ALL, consts = [1024])]
fn f64<const COUNT: usize>(bencher: Bencher<'_, '_>, function: Function) {
    functions::<f64>(bencher, function, COUNT);
}

fn main() {
    divan::main();
}
