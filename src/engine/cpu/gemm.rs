//! The matrix product, after Goto and van de Geijn, "Anatomy of High-Performance Matrix Multiplication" (2008): A and B
//! are copied block by block into the order in which the tile kernels read them, where the copy pays.
//!
//! An element of C is summed over k in an order that depends on the shapes alone, and by one thread: the number of
//! threads does not change a bit.

use super::ahead::Ahead;
use super::block::Block;
use super::dots::{DotsLoop, dots};
use super::few::FewSteps;
use super::machine::Machine;
use super::memory::Scratch;
use super::pack::{Pack, Panel, pack};
use super::pool::Pool;
use super::tile::Tiles;
use super::vector::Isa;
use crate::engine::formula::{BinaryLoop, UnaryLoop};
use crate::scalar::Scalar;

/// Bytes of one row of a packed block of B: with k at most this many elements, a panel of B stays in the first cache.
const K_BYTES: usize = 512 * 4;
/// Elements of k taken at once where A is read in place, and so nothing need stay in a cache.
const K_DIRECT: usize = 1024;
/// Rows that share a copy of B and steps of k, from which on a copy pays.
const PACK_M: usize = 256;
const PACK_K: usize = 128;
/// Columns of C up to which a transposed A is not copied.
const FEW: usize = 3;
/// Panels of A in a copy; the block stays in the second cache. Twice as many were up to 6 % slower, however large the cache.
pub(super) const PANELS: usize = 8;
/// Columns of B in a block; the block stays in the third cache.
const COLUMNS: usize = 3072;
/// Floating-point operations below which a second thread costs more than it brings, unless A comes from afar.
const PARALLEL: f64 = 6e5;
/// Bytes of A that come from afar: two threads read them in half the time.
const FAR: usize = 600 << 10;

/// A matrix in memory: an element and the distances to the next row and column.
#[derive(Clone, Copy)]
pub(super) struct Strided<P> {
    pub p: P,
    pub row: usize,
    pub column: usize,
}

impl<P> Strided<P> {
    pub(super) fn t(self) -> Self {
        Strided { p: self.p, row: self.column, column: self.row }
    }
}

impl<T> Strided<*const T> {
    pub(super) fn at(self, row: usize, column: usize) -> *const T {
        self.p.wrapping_add(row * self.row + column * self.column)
    }
}

impl<T> Strided<*mut T> {
    pub(super) fn at(self, row: usize, column: usize) -> *mut T {
        self.p.wrapping_add(row * self.row + column * self.column)
    }
}

/// `C = alpha A B + beta C`, then the epilogue. A: `m x k`, B: `k x n`, C: `m x n`.
#[derive(Clone, Copy)]
pub(super) struct Product<T> {
    pub m: usize,
    pub n: usize,
    pub k: usize,
    pub alpha: T,
    pub a: Strided<*const T>,
    /// The same A panel after panel, each `rows of a tile x k`, if somebody has copied it before; else null.
    pub a_packed: *const T,
    pub b: Strided<*const T>,
    pub beta: T,
    pub c: Strided<*mut T>,
    pub epilogue: Option<Epilogue<T>>,
    /// One thread computes it, however large it is.
    pub alone: bool,
    /// The steps of k do not depend on n: a column of C has the same bits, however many other columns there are.
    pub fixed_k_step: bool,
}

/// What happens to C while it is in a cache: `C += bias 1^T`, then [`Finish`]. Needs rows of C and out side by side.
#[derive(Clone, Copy)]
pub(super) struct Epilogue<T> {
    /// `m` elements, side by side, or null.
    pub bias: *const T,
    pub finish: Option<Finish<T>>,
    /// `m x n`; may be C.
    pub out: Strided<*mut T>,
}

/// The element-wise part of an epilogue.
#[derive(Clone, Copy)]
pub(super) enum Finish<T> {
    /// `out = f(C; p)`
    Map(UnaryLoop<T>, [T; 4]),
    /// `out = f(C, kept; p)`; kept is `m x n`, its rows side by side.
    Zip(BinaryLoop<T>, [T; 4], Strided<*const T>),
}

// SAFETY: what a product points to outlives the call, and threads write disjoint parts of it.
unsafe impl<T> Sync for Product<T> {}
// SAFETY: as above.
unsafe impl<P> Sync for Strided<P> {}

/// What the product needs beside its operands: kernels and packing buffers, made once.
pub(super) struct Gemm<T> {
    pub tiles: Tiles<T>,
    pub pack: Pack<T>,
    pub dots: DotsLoop<T>,
    pub few: FewSteps<T>,
    /// Bytes of A that stay in the second cache while B and C pass through it.
    pub near: usize,
    copies: &'static Copies,
    /// What will be gathered next.
    pub ahead: Ahead,
    /// One for every thread.
    a_blocks: Vec<Scratch<T>>,
    /// Shared by all threads.
    b_block: Scratch<T>,
}

impl<T: Scalar> Gemm<T> {
    pub(super) fn new(isa: Isa, machine: Machine, threads: usize) -> Gemm<T> {
        let tiles = Tiles::new(isa);
        let k = k_most::<T>();
        let a_block = PANELS * tiles.rows() * k;
        Gemm {
            tiles,
            pack: pack(isa),
            dots: dots(isa),
            few: FewSteps::new(isa),
            near: machine.second_cache / 2,
            copies: if machine.halves_vectors { &SELDOM } else { &OFTEN },
            ahead: Ahead::new(),
            a_blocks: (0..threads).map(|_| Scratch::new(a_block)).collect(),
            b_block: Scratch::new(COLUMNS * k),
        }
    }

    /// # Safety
    /// The product describes memory that may be read and written so; C overlaps neither A, B nor the bias.
    pub(super) unsafe fn run(&mut self, pool: &mut Pool, product: Product<T>) {
        let mut product = product;
        if product.c.row != 1 && product.c.column == 1 {
            product = transposed(product);
        }
        let Product { m, n, k, a, a_packed, b, .. } = product;
        let work = 2.0 * m as f64 * n as f64 * k as f64;
        let pays = work >= PARALLEL || m * k * size_of::<T>() >= FAR;
        let threads = if pays && !product.alone { pool.threads() } else { 1 };
        if n <= FEW && a.row != 1 && a.column == 1 && b.row == 1
            || m == 1 && a.column == 1 && b.row == 1
        {
            // SAFETY: the caller's promise.
            return unsafe { Block::whole(self, &product).dots(pool, threads) };
        }
        if k <= self.few.most && a.row == 1 && product.c.row == 1 && product.epilogue.is_none() {
            // SAFETY: the caller's promise.
            return unsafe { Block::whole(self, &product).few(pool, threads) };
        }
        let (pack_a, pack_b) = (self.packs_a(&product), self.packs_b(&product));
        let is_packed = pack_a || pack_b || product.fixed_k_step;
        let k_most = if is_packed { k_most::<T>() } else { K_DIRECT };
        let k_step = k.div_ceil(k.div_ceil(k_most));
        for k0 in (0..k).step_by(k_step) {
            for n0 in (0..n).step_by(COLUMNS) {
                let block = Block {
                    product: &product,
                    gemm: self,
                    a_blocks: (pack_a && a_packed.is_null()).then_some(&self.a_blocks[..]),
                    b_block: pack_b.then_some(&self.b_block),
                    k0,
                    k: k_step.min(k - k0),
                    n0,
                    n: COLUMNS.min(n - n0),
                };
                // SAFETY: the caller's promise.
                unsafe { block.run(pool, threads) }
            }
        }
    }

    /// Rows and columns of a copy of A (`m x k`) for [`Gemm::pack_whole`]; `None` if A is small enough to be read in place.
    pub(super) fn packed_shape(&self, m: usize, k: usize) -> Option<[usize; 2]> {
        let height = self.tiles.rows();
        (m * k * size_of::<T>() > self.copies.beforehand).then(|| [height, m.div_ceil(height) * k])
    }

    /// Copies all panels of A (`m x k`), one after the other, each filled up with zeros to the tile's height.
    ///
    /// # Safety
    /// A may be read; `to` has the room that [`Gemm::packed_shape`] tells.
    pub(super) unsafe fn pack_whole(
        &self,
        pool: &mut Pool,
        a: Strided<*const T>,
        (m, k): (usize, usize),
        to: Strided<*mut T>,
    ) {
        let height = self.tiles.rows();
        pool.run(m.div_ceil(height), &|_, panel| {
            let (from, width) = (a.at(panel * height, 0), height.min(m - panel * height));
            let to = to.at(0, panel * k);
            // SAFETY: panels are disjoint; the rest is the caller's promise.
            unsafe {
                (self.pack)(&Panel {
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

    /// Tiles need rows of A side by side. Else a copy pays if A is large, or falls on itself in the caches, and there are
    /// columns enough to share what it costs.
    fn packs_a(&self, p: &Product<T>) -> bool {
        let copies = self.copies;
        let large =
            p.m * p.k * size_of::<T>() > copies.large || collides::<T>(p.a.column) && p.k >= PACK_K;
        p.a.row != 1 || p.n >= if large { copies.columns } else { copies.columns_if_small }
    }

    /// Tiles read B in any order, but from a few streams that must not fall on one another in the first cache.
    fn packs_b(&self, p: &Product<T>) -> bool {
        let (near, far) = (p.b.row.min(p.b.column), p.b.row.max(p.b.column));
        let awkward = p.k >= PACK_K && (near != 1 || collides::<T>(far));
        p.m >= PACK_M && (awkward || p.b.row != 1 && p.m * p.k >= self.copies.turned)
    }
}

/// From where on copies of A and B pay.
struct Copies {
    /// Bytes of A that count as large.
    large: usize,
    /// Columns that share a copy of a large A.
    columns: usize,
    /// Columns that share a copy of any A.
    columns_if_small: usize,
    /// Bytes of A from which on it is copied beforehand, if there is an opportunity.
    beforehand: usize,
    /// Elements of A from which on B is copied if its columns lie side by side: a tile then uses a part of each cache line.
    turned: usize,
}

/// Where multiplications take twice the time of loads; as measured with AVX-512 on Zen 4.
const SELDOM: Copies = Copies {
    large: 2 << 20,
    columns: 200,
    columns_if_small: usize::MAX,
    beforehand: 2 << 20,
    turned: usize::MAX,
};
/// Where a load costs as much as a multiplication, and most of those from a matrix that is not copied touch two cache lines; as measured
/// with AVX2 on Zen 3 and found good with AVX-512 on an Intel Xeon.
const OFTEN: Copies = Copies {
    large: 256 << 10,
    columns: 30,
    columns_if_small: 144,
    beforehand: 32 << 10,
    turned: 1 << 16,
};

fn k_most<T>() -> usize {
    K_BYTES / size_of::<T>()
}

/// Whether rows (or columns) at this distance fall on one another in the first cache, whose ways are fewer than the
/// columns of a tile.
fn collides<T>(stride: usize) -> bool {
    (stride * size_of::<T>()).is_multiple_of(4096)
}

/// `C^T = B^T A^T`. Only for products without an epilogue, whose bias belongs to rows.
fn transposed<T: Copy>(product: Product<T>) -> Product<T> {
    debug_assert!(product.epilogue.is_none() && product.a_packed.is_null());
    let Product { m, n, a, b, c, .. } = product;
    Product { m: n, n: m, a: b.t(), b: a.t(), c: c.t(), ..product }
}
