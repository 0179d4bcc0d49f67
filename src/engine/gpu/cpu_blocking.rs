//! How products are divided on CPU devices of OpenCL (PoCL), and on no others.
//!
//! A GPU's group of items shares slices of A and B. A CPU's group is one item, which walks a block of tiles with vectors of the CPU's
//! width, as the CPU engine does: it reads the operands in place, and packs them into local memory only where that pays. Both are loops
//! of `product.kernel`.

use super::device::Gpu;
use super::driver::Driver;
use super::product_call::{Blocking, Call};
use super::tile::{Tile, Tiles};
use crate::scalar::Scalar;

/// Floating-point operations below which a second group costs more time than it saves.
const MIN_PARALLEL_FLOPS: f64 = 3e5;
/// A matrix A of more bytes does not stay in the L2 cache.
const L2_BYTES: usize = 1 << 20;
/// Columns of C that share a packed A, rows that share a packed B, and steps of k, from which on packing pays.
const PACK_MIN_COLUMNS: usize = 100;
const PACK_MIN_ROWS: usize = 256;
const PACK_MIN_STEPS: usize = 128;
/// Panels of A that are packed at a time.
const MAX_PANELS: usize = 8;
/// Steps of k at a time where nothing is packed.
const UNPACKED_SLICE: usize = 1024;
/// Columns of the tiles that are compiled for a matrix with fewer columns than the tuned tile, or with a rest of columns.
const NARROW_COLUMNS: [usize; 5] = [1, 2, 3, 4, 6];
/// Addresses at multiples of this distance share a set of the L1 cache.
const PAGE_BYTES: usize = 4096;

impl<T: Scalar, D: Driver> Gpu<T, D> {
    /// Blocks of tiles, one for each unit of the device where there is work enough, so that the largest is as small as possible.
    pub(super) fn cpu_blocking(&self, tiles: &Tiles, call: &Call) -> Blocking {
        let (m, n, k) = (call.c.rows, call.c.columns, call.a.columns);
        let usual = if n > 4 * tiles.large.columns { tiles.large } else { tiles.small };
        let tile = even_tile(usual, self.width(), m, n);
        let units = if call.flops() < MIN_PARALLEL_FLOPS { 1 } else { self.traits().units };
        let [height, width] = tile.block(self.width());
        let (rows, strips) = (m.div_ceil(height), n.div_ceil(width));
        let panels = if self.packs_a(call) { self.panels_that_fit(&tile, width) } else { 0 };
        let parts = if panels > 0 {
            let down = rows.div_ceil(panels).next_multiple_of(units).min(rows);
            [down, units.div_ceil(down)]
        } else {
            split(rows, strips, units, [height as f64 / m as f64, width as f64 / n as f64])
        };
        let block = [rows.div_ceil(parts[0]) * height, strips.div_ceil(parts[1]) * width];
        let most = if panels > 0 || self.packs_b(call) { tile.slice } else { UNPACKED_SLICE };
        Blocking {
            tile: Tile { slice: most, ..tile },
            block,
            groups: [m.div_ceil(block[0]), n.div_ceil(block[1])],
            slice: k.div_ceil(k.div_ceil(most)),
            panels,
            packs_b: self.packs_b(call),
        }
    }

    /// Tiles read contiguous rows of A, so A is packed where they are not contiguous. Packing also pays where A is larger than the L2 cache, or
    /// its columns collide there, and enough columns of C share its cost.
    fn packs_a(&self, call: &Call) -> bool {
        let (m, n, k) = (call.c.rows, call.c.columns, call.a.columns);
        let large = m * k * size_of::<T>() > L2_BYTES
            || collides::<T>(call.a.column_stride) && k >= PACK_MIN_STEPS;
        call.a.row_stride != 1 || n >= PACK_MIN_COLUMNS && large
    }

    /// Tiles read B in any order, but as a few streams, which must not collide in the L1 cache.
    fn packs_b(&self, call: &Call) -> bool {
        let strides = [call.b.row_stride, call.b.column_stride];
        let (near, far) = (strides[0].min(strides[1]), strides[0].max(strides[1]));
        call.c.rows >= PACK_MIN_ROWS
            && call.a.columns >= PACK_MIN_STEPS
            && (near != 1 || collides::<T>(far))
    }

    /// Panels of A that fit into a group's local memory together with a strip of B.
    fn panels_that_fit(&self, tile: &Tile, strip: usize) -> usize {
        let scalar = size_of::<T>();
        let room = self.traits().shared.saturating_sub(strip * tile.slice * scalar);
        (room / (tile.block(self.width())[0] * tile.slice * scalar)).clamp(1, MAX_PANELS)
    }
}

/// The tuned tile, with fewer columns or vectors where that computes fewer rows and columns beyond the edges of C.
fn even_tile(usual: Tile, width: usize, m: usize, n: usize) -> Tile {
    let mut best = (f64::INFINITY, usual);
    for vectors in [usual.vectors, 1] {
        for columns in NARROW_COLUMNS.into_iter().chain([usual.columns]) {
            let tile = Tile { vectors, columns, ..usual };
            if columns > n || columns > usual.columns {
                continue;
            }
            let tiles = m.div_ceil(vectors * width) * n.div_ceil(columns);
            // Cycles of a step of k: two multiply-adds or loads a cycle, and at least 8 cycles, the latency of the chain of sums.
            let cycles = (vectors * columns).max(vectors + columns).max(8);
            let cost = (tiles * cycles) as f64;
            if cost < best.0 {
                best = (cost, tile);
            }
        }
    }
    best.1
}

/// Parts by rows and by columns, so that the largest part is as small as possible.
fn split(rows: usize, strips: usize, units: usize, shares: [f64; 2]) -> [usize; 2] {
    let largest = |count: usize, share: f64| count.div_ceil(units) as f64 * share;
    if largest(strips, shares[1]) < largest(rows, shares[0]) {
        [1, units.min(strips)]
    } else {
        let down = units.min(rows);
        [down, units.div_ceil(down).min(strips)]
    }
}

/// Whether rows (or columns) at this distance share the same sets of a CPU's L1 cache.
fn collides<T>(stride: usize) -> bool {
    (stride * size_of::<T>()).is_multiple_of(PAGE_BYTES)
}
