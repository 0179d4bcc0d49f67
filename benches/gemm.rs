//! The matrix product: shapes of the networks in `docs/benchmarks/`, square ones, and odd ones between them. Items are
//! floating-point operations: items a second are FLOP/s.
//!
//!     cargo bench --bench gemm                       # all, on one thread and on all (0)
//!     cargo bench --bench gemm -- 300x64x784
//!     TRAVERTINE_BENCH_DEVICE=opencl cargo bench --bench gemm

mod common;

use common::engine;
use divan::Bencher;
use divan::counter::ItemsCount;
use travertine::{Matrix, ops};

/// One thread, and one for every core.
const THREADS: [usize; 2] = [1, 0];

/// m x n x k; which of A and B lie transposed in memory.
const SHAPES: [&str; 19] = [
    "1024x1024x1024 nn",
    "256x256x256 nn",
    "2500x64x784 nn",
    "300x1024x784 nn",
    "300x64x784 nn",
    "100x64x300 nn",
    "10x64x100 nn",
    "30x10x784 nn",
    "32x32x64 nn",
    "30x1x784 nn",
    "300x1x784 nn",
    "300x64x100 tn",
    "784x64x300 tn",
    "300x784x64 nt",
    "30x784x10 nt",
    // Primes, one row, three columns, a long thin sum.
    "293x61x787 nn",
    "1x64x100 nn",
    "64x3x64 nn",
    "7x5x10007 nn",
];

#[divan::bench(args = SHAPES, consts = THREADS)]
fn gemm<const T: usize>(bencher: Bencher<'_, '_>, shape: &str) {
    let (sizes, kinds) = shape.split_once(' ').unwrap();
    let sizes: Vec<usize> = sizes.split('x').map(|size| size.parse().unwrap()).collect();
    let [m, n, k] = sizes[..] else { panic!("{shape} must be m x n x k") };
    let turned = [kinds.starts_with('t'), kinds.ends_with('t')];
    let engine = engine::<f32>(T);
    let stored = |rows, columns| {
        Matrix::from_slice(&engine, rows, columns, &vec![0.5; rows * columns]).unwrap()
    };
    let a = if turned[0] { stored(k, m) } else { stored(m, k) };
    let b = if turned[1] { stored(n, k) } else { stored(k, n) };
    let mut c = Matrix::zeros(&engine, m, n).unwrap();
    bencher.counter(ItemsCount::new(2 * m * n * k)).bench_local(|| {
        let a = if turned[0] { a.view().t() } else { a.view() };
        let b = if turned[1] { b.view().t() } else { b.view() };
        ops::gemm(1.0, a, b, 0.0, c.view_mut()).unwrap();
        engine.synchronize().unwrap();
    });
}

fn main() {
    divan::main();
}
