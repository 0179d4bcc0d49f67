//! The matrix product, after Goto and van de Geijn, "Anatomy of High-Performance Matrix Multiplication" (2008).
//!
//! # Method
//!
//! 1. A product with a few columns and a transposed A is computed as dot products ([`dots`]), one with a small k with A in registers
//!    ([`small_k`]). All others go on below.
//! 2. k and the columns of C are divided into blocks ([`block`]). Where it pays ([`thresholds`]), a block of B is packed into
//!    panels of a tile's width, and threads pack their blocks of A into panels of a tile's height ([`pack`]); otherwise A and B are read in place.
//! 3. Threads divide C along its longer side. Each computes its part tile by tile: a tile of C stays in registers over the whole block of k
//!    ([`tile`]).
//! 4. Bias, activation and derivative are applied to a tile's columns while they are in the cache ([`Epilogue`]).
//!
//! An element of C is summed over k by one thread, in an order that depends only on the shapes and strides: the number of threads does not
//! change a bit.
//!
//! # Why not a crate
//!
//! faer and the gemm crate allocate packing buffers in each call, and they cannot apply the epilogue, read operands in place where a copy does not
//! pay, or join threads in a microsecond.

use block::Block;
use kernels::Kernels;
use pack::Panel;
use product::transposed;
use thresholds::{
    BLOCK_COLUMNS, BLOCK_PANELS, DIRECT_K, DOT_MAX_COLUMNS, PackingThresholds, SMALL_BLOCK_COLUMNS,
    is_parallel, packed_k,
};

use super::cpuid::Cpu;
use super::memory::Scratch;
use super::pool::Pool;
use crate::engine::simd::Isa;
use crate::scalar::Scalar;

mod block;
mod dots;
mod kernels;
mod pack;
mod partition;
mod prefetch;
mod product;
mod small_k;
mod thresholds;
mod tile;

pub(super) use product::{Epilogue, Finish, Product, Strided};

/// Kernels and packing buffers of products, made once.
pub(super) struct Gemm<T> {
    kernels: Kernels<T>,
    thresholds: PackingThresholds,
    /// Columns of a block of B.
    block_columns: usize,
    /// One packed block of A for each thread.
    a_blocks: Vec<Scratch<T>>,
    /// The packed block of B, which all threads share.
    b_block: Scratch<T>,
}

impl<T: Scalar> Gemm<T> {
    /// For calls of any size on `threads` threads.
    pub(super) fn new(isa: Isa, cpu: Cpu, threads: usize) -> Gemm<T> {
        Gemm::with_blocks(isa, cpu, threads, BLOCK_COLUMNS)
    }

    /// For short calls on one thread, in about a megabyte. The results have the same bits.
    pub(super) fn with_small_blocks(isa: Isa, cpu: Cpu) -> Gemm<T> {
        Gemm::with_blocks(isa, cpu, 1, SMALL_BLOCK_COLUMNS)
    }

    fn with_blocks(isa: Isa, cpu: Cpu, threads: usize, block_columns: usize) -> Gemm<T> {
        let kernels = Kernels::new(isa, cpu);
        let thresholds = if cpu.avx512_is_double_pumped {
            PackingThresholds::ZEN4
        } else {
            PackingThresholds::DEFAULT
        };
        let a_block = BLOCK_PANELS * kernels.tiles.rows() * packed_k::<T>();
        Gemm {
            kernels,
            thresholds,
            block_columns,
            a_blocks: (0..threads).map(|_| Scratch::new(a_block)).collect(),
            b_block: Scratch::new(block_columns * packed_k::<T>()),
        }
    }

    /// # Safety
    /// For the whole call, A, B, the bias and `kept` of the epilogue are readable and C and `out` are writable, in the shapes and strides of
    /// the product. C and `out` overlap neither A, B nor the bias.
    pub(super) unsafe fn run(&mut self, pool: &mut Pool, product: Product<T>) {
        let mut product = product;
        if product.c.row != 1 && product.c.column == 1 {
            product = transposed(product);
        }
        let threads = if is_parallel(&product) { pool.threads() } else { 1 };
        // SAFETY: the caller's promise about the product, which `transposed` does not change.
        unsafe {
            if is_dots(&product) {
                Block::whole(&self.kernels, &product).dots(pool, threads)
            } else if self.has_small_k(&product) {
                Block::whole(&self.kernels, &product).small_k(pool, threads)
            } else {
                self.run_blocks(pool, threads, &product)
            }
        }
    }

    fn has_small_k(&self, p: &Product<T>) -> bool {
        p.k <= self.kernels.small_k.max_k && p.a.row == 1 && p.c.row == 1 && p.epilogue.is_none()
    }

    /// # Safety
    /// As [`Gemm::run`].
    unsafe fn run_blocks(&self, pool: &mut Pool, threads: usize, product: &Product<T>) {
        let Product { n, k, .. } = *product;
        let packs_a = self.thresholds.packs_a(product);
        let packs_b = self.thresholds.packs_b(product);
        let is_packed = packs_a || packs_b || product.fixed_k_step;
        let k_max = if is_packed { packed_k::<T>() } else { DIRECT_K };
        let k_step = k.div_ceil(k.div_ceil(k_max));
        let a_is_packed = !product.a_packed.is_null();
        for k0 in (0..k).step_by(k_step) {
            for n0 in (0..n).step_by(self.block_columns) {
                let block = Block {
                    product,
                    kernels: &self.kernels,
                    a_blocks: (packs_a && !a_is_packed).then_some(&self.a_blocks[..]),
                    b_block: packs_b.then_some(&self.b_block),
                    k0,
                    k: k_step.min(k - k0),
                    n0,
                    n: self.block_columns.min(n - n0),
                };
                // SAFETY: the caller's promise about the product; a block of B has at most `block_columns` columns of `packed_k`
                // elements, a thread's block of A at most `BLOCK_PANELS` panels.
                unsafe { block.run(pool, threads) }
            }
        }
    }

    /// Sets the columns that will be gathered next, each of `bytes` bytes. Tiles prefetch them; their addresses need not be valid.
    pub(super) fn prefetch_columns(&mut self, columns: impl Iterator<Item = usize>, bytes: usize) {
        self.kernels.prefetch.set_columns(columns, bytes);
    }

    /// Rows and columns of a packed copy of A (`m x k`) for [`Gemm::pack_whole`]; `None` if A is so small that reading it in place is as
    /// fast.
    pub(super) fn packed_shape(&self, m: usize, k: usize) -> Option<[usize; 2]> {
        let height = self.kernels.tiles.rows();
        (m * k * size_of::<T>() > self.thresholds.min_inference_bytes)
            .then(|| [height, m.div_ceil(height) * k])
    }

    /// Packs all panels of A (`m x k`), one after the other, each padded with zeros to the tile's height.
    ///
    /// # Safety
    /// A is readable; `to` is writable in the shape of [`Gemm::packed_shape`].
    pub(super) unsafe fn pack_whole(
        &self,
        pool: &mut Pool,
        a: Strided<*const T>,
        (m, k): (usize, usize),
        to: Strided<*mut T>,
    ) {
        let height = self.kernels.tiles.rows();
        pool.run(m.div_ceil(height), &|_, panel| {
            let (from, width) = (a.at(panel * height, 0), height.min(m - panel * height));
            let to = to.at(0, panel * k);
            // SAFETY: each task writes its own panel, which lies within the caller's `to`.
            unsafe {
                (self.kernels.pack)(&Panel {
                    from,
                    across: a.row,
                    along: a.column,
                    width,
                    length: k,
                    to,
                    step: height,
                })
            }
        });
    }
}

/// Whether a product is computed as dot products of contiguous rows of A and columns of B: one with so few columns that packing A does not
/// pay, or one of a single row.
fn is_dots<T>(p: &Product<T>) -> bool {
    let b_is_contiguous = p.b.row == 1;
    let few_columns = p.n <= DOT_MAX_COLUMNS && p.a.row != 1 && p.a.column == 1;
    let one_row = p.m == 1 && p.a.column == 1;
    b_is_contiguous && (few_columns || one_row)
}
