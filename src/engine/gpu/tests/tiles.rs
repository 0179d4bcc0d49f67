//! Products by every candidate of the tuner, on a device. Without this test, most tiles first run where they are measured.

use super::*;

/// Multiples of an eighth, so that sums of their products are exact.
fn numbers<T: Scalar>(count: usize, seed: usize) -> Vec<T> {
    (0..count).map(|i| T::from_f64(((i * 7 + seed) % 11) as f64 / 8.0 - 0.625)).collect()
}

#[allow(
    clippy::undocumented_unsafe_blocks,
    reason = "every span is all of an allocation that lives as long as the engine"
)]
fn held<T: Scalar, D: Driver>(gpu: &Gpu<T, D>, [rows, columns]: [usize; 2], values: &[T]) -> Span {
    let handle = gpu.allocate(size_of_val(values)).unwrap();
    let span = Span { handle, ..span(rows, columns) };
    unsafe { gpu.write(values, span) }.unwrap();
    span
}

#[allow(
    clippy::undocumented_unsafe_blocks,
    reason = "the span is all of an allocation that is alive"
)]
fn read<T: Scalar, D: Driver>(gpu: &Gpu<T, D>, from: Span) -> Vec<f64> {
    let mut values = vec![T::default(); from.rows * from.columns];
    unsafe { gpu.read(from, &mut values) }.unwrap();
    values.into_iter().map(T::to_f64).collect()
}

/// A block and a few rows of the next, steps of k beyond a slice, factors plain and transposed, every output.
pub(in crate::engine) fn every_tile_multiplies<T: Scalar, D: Driver>(gpu: &Gpu<T, D>) {
    let turned = [[false, false], [true, false], [false, true]].into_iter().cycle();
    for (tile, turned) in Tiles::candidates(gpu.traits(), size_of::<T>()).into_iter().zip(turned) {
        let [rows, columns] = tile.block(gpu.width());
        multiplies(gpu, tile, [rows + 5, columns - 3, tile.slice + 3], turned);
    }
}

#[allow(
    clippy::undocumented_unsafe_blocks,
    reason = "spans are all of allocations that are alive, and C is no factor"
)]
fn multiplies<T: Scalar, D: Driver>(
    gpu: &Gpu<T, D>,
    tile: Tile,
    [m, n, k]: [usize; 3],
    turned: [bool; 2],
) {
    let tiles = Tiles { large: tile, small: tile };
    let (a, b, old) = (numbers::<T>(m * k, 1), numbers::<T>(k * n, 4), numbers::<T>(m * n, 5));
    let (bias, kept) = (numbers::<T>(m, 3), numbers::<T>(m * n, 2));
    let factor = |values: &[T], [rows, columns]: [usize; 2], turned: bool| match turned {
        true => held(gpu, [columns, rows], values).t(),
        false => held(gpu, [rows, columns], values),
    };
    let (in_a, in_b) = (factor(&a, [m, k], turned[0]), factor(&b, [k, n], turned[1]));
    let (in_bias, in_kept, sums) =
        (held(gpu, [m, 1], &bias), held(gpu, [m, n], &kept), held(gpu, [m, 1], &bias));
    let element_a = |i: usize, l: usize| a[if turned[0] { l + i * k } else { i + l * m }].to_f64();
    let element_b = |l: usize, j: usize| b[if turned[1] { j + l * n } else { l + j * k }].to_f64();
    let product: Vec<f64> = (0..m * n)
        .map(|at| (0..k).map(|l| element_a(at % m, l) * element_b(l, at / m)).sum())
        .collect();

    let plain = |c: Span| Call::plain(2.0, in_a, in_b, 0.0, c);
    let check = |what: &str, ours: Vec<f64>, reference: &dyn Fn(usize) -> f64, bound: f64| {
        for (at, ours) in ours.into_iter().enumerate() {
            let apart = (ours - reference(at)).abs();
            assert!(
                apart <= bound,
                "{what} {m} x {n} x {k} {turned:?}, {tile:?}: {ours} for {} at {at}",
                reference(at)
            );
        }
    };
    let c = held(gpu, [m, n], &old);
    unsafe { gpu.product_with(&tiles, &Call { beta: 0.5, sums: Some(sums), ..plain(c) }) }.unwrap();
    check("C", read(gpu, c), &|at| 2.0 * product[at] + 0.5 * old[at].to_f64(), 0.0);
    let row = |i: usize| (0..k).map(|l| element_a(i, l)).sum::<f64>();
    check("sums", read(gpu, sums), &|i| 2.0 * row(i) + 0.5 * bias[i].to_f64(), 0.0);

    let (z, out) = (held(gpu, [m, n], &old), held(gpu, [m, n], &old));
    let output = Output::Map { f: &CURVE, p: [0.0; 4], out, keeps_c: true };
    unsafe { gpu.product_with(&tiles, &Call { bias: Some(in_bias), output, ..plain(z) }) }.unwrap();
    let biased = |at: usize| 2.0 * product[at] + bias[at % m].to_f64();
    check("z", read(gpu, z), &biased, 0.0);
    check("out", read(gpu, out), &|at| biased(at).tanh(), 1e-6);

    let output = Output::Zip { f: &SLOPE, p: [0.0; 4], kept: in_kept };
    unsafe { gpu.product_with(&tiles, &Call { output, ..plain(c) }) }.unwrap();
    let slope = |at: usize| 1.0 - kept[at].to_f64().powi(2);
    check("delta", read(gpu, c), &|at| 2.0 * product[at] * slope(at), 1e-6 * k as f64);
    for span in [in_a, in_b, in_bias, in_kept, sums, c, z, out] {
        unsafe { gpu.free(span.handle, 0) };
    }
}
