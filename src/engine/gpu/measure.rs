//! Measuring products.

use std::time::Instant;

use super::device::Gpu;
use super::driver::Driver;
use super::measurements::{Winner, Winners};
use super::product_call::Call;
use super::tile::{Tile, Tiles};
use super::transfer;
use crate::engine::{Engine, Handle, Span};
use crate::error::Result;
use crate::random::{Philox, Purpose};
use crate::scalar::Scalar;

/// Rounds of measurements. Candidates take turns, so that a moment in which the machine is busy affects all of them.
pub(super) const ROUNDS: usize = 4;
/// Seconds that a measurement takes, and its fewest runs.
pub(super) const SECONDS: f64 = 0.02;
pub(super) const MIN_RUNS: usize = 2;

impl<T: Scalar, D: Driver> Gpu<T, D> {
    /// Memory of random numbers: some devices multiply zeros faster.
    pub(super) fn buffer(&self, elements: usize) -> Result<Buffer<'_, T, D>> {
        let buffer =
            Buffer { gpu: self, handle: self.allocate(elements * size_of::<T>())?, elements };
        // SAFETY: the span is the buffer.
        unsafe { self.uniform(&Philox::new(1, Purpose::User, 0), buffer.span(elements, 1))? };
        Ok(buffer)
    }

    /// Memory of these numbers.
    pub(super) fn held(&self, values: &[T]) -> Result<Buffer<'_, T, D>> {
        let elements = values.len();
        let handle = self.allocate(size_of_val(values))?;
        let buffer = Buffer { gpu: self, handle, elements };
        // SAFETY: the span is the buffer.
        unsafe { transfer::write(&self.driver, values, buffer.span(elements, 1))? };
        Ok(buffer)
    }

    /// GFLOP/s of our kernel with these tiles.
    pub(super) fn rate_of_ours(
        &self,
        tiles: &Tiles,
        size: [usize; 3],
        buffers: &[Buffer<'_, T, D>; 3],
    ) -> Result<f64> {
        rate(size, buffers, |call| {
            // SAFETY: the buffers have room for these shapes.
            unsafe { self.product_with(tiles, call)? };
            self.driver.finish()
        })
    }
}

/// GFLOP/s of a product, which `run` computes and waits for: the fastest run counts.
pub(super) fn rate<T: Scalar, D: Driver>(
    [m, n, k]: [usize; 3],
    [a, b, c]: &[Buffer<'_, T, D>; 3],
    run: impl Fn(&Call) -> Result<()>,
) -> Result<f64> {
    let call = Call::plain(1.0, a.span(m, k), b.span(k, n), 0.0, c.span(m, n));
    run(&call)?;
    let (mut best, begin) = (f64::INFINITY, Instant::now());
    let mut runs = 0;
    while runs < MIN_RUNS || begin.elapsed().as_secs_f64() < SECONDS {
        let start = Instant::now();
        run(&call)?;
        best = best.min(start.elapsed().as_secs_f64());
        runs += 1;
    }
    Ok(gflop([m, n, k]) / best)
}

/// Billions of floating-point operations of a product.
pub(super) fn gflop([m, n, k]: [usize; 3]) -> f64 {
    2e-9 * (m * n * k) as f64
}

/// The fastest tiles for large and for small products; `None` if no tile ran. Where the large product takes too long, the small one decides.
pub(super) fn best(measured: &[(Tile, [f64; 2])]) -> Option<Winners> {
    let best = |which: usize| {
        let winner = measured.iter().max_by(|a, b| a.1[which].total_cmp(&b.1[which]))?;
        (winner.1[which] > 0.0)
            .then_some(Winner { tile: winner.0, gflops: (10.0 * winner.1[which]).round() / 10.0 })
    };
    let small = best(1)?;
    Some(Winners { large: best(0).unwrap_or(small.clone()), small })
}

/// Memory for a measurement.
pub(super) struct Buffer<'g, T: Scalar, D: Driver> {
    gpu: &'g Gpu<T, D>,
    handle: Handle,
    elements: usize,
}

impl<T: Scalar, D: Driver> Buffer<'_, T, D> {
    pub(super) fn span(&self, rows: usize, columns: usize) -> Span {
        debug_assert!(rows * columns <= self.elements);
        Span { handle: self.handle, offset: 0, rows, columns, row_stride: 1, column_stride: rows }
    }
}

impl<T: Scalar, D: Driver> Drop for Buffer<'_, T, D> {
    fn drop(&mut self) {
        // SAFETY: the borrow of the engine ends here; no call uses the memory any more.
        unsafe { self.gpu.free(self.handle, self.elements * size_of::<T>()) }
    }
}
