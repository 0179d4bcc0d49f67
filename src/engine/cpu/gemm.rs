//! The matrix product, after Goto and van de Geijn, "Anatomy of High-Performance Matrix Multiplication" (2008): A and B
//! are copied block by block into the order in which the tile kernels read them, where the copy pays.
//!
//! An element of C is summed over k in an order that depends on the shapes alone, and by one thread: the number of
//! threads does not change a bit.

use super::dots::{Dots, DotsLoop, dots};
use super::pack::{Pack, Panel, pack};
use super::pool::Pool;
use super::tile::{LARGEST_TILE, Tile, Tiles};
use super::vector::Isa;
use crate::engine::formula::{BinaryLoop, UnaryLoop};
use crate::scalar::Scalar;

/// Bytes of one row of a packed block of B: with k at most this many elements, a panel of B stays in the first cache.
const K_BYTES: usize = 512 * 4;
/// Elements of k taken at once where A is read in place, and so nothing need stay in a cache.
const K_DIRECT: usize = 1024;
/// Bytes from which on A is too large for the second cache, with C and B beside it.
const LARGE: usize = 2 << 20;
/// Rows that share a copy of B, columns that share a copy of A and steps of k, from which on a copy pays.
const PACK_M: usize = 256;
const PACK_N: usize = 200;
const PACK_K: usize = 128;
/// Columns of C up to which a transposed A is not copied.
const FEW: usize = 3;
/// Dot products that are handed out together.
const DOTS: usize = 32;
/// Panels of A in a block; the block stays in the second cache.
const PANELS: usize = 8;
/// Columns of B in a block; the block stays in the third cache.
const COLUMNS: usize = 3072;
/// Floating-point operations below which a second thread costs more than it brings.
const PARALLEL: f64 = 3e5;

/// A matrix in memory: an element and the distances to the next row and column.
#[derive(Clone, Copy)]
pub(super) struct Strided<P> {
    pub p: P,
    pub row: usize,
    pub column: usize,
}

impl<P> Strided<P> {
    fn t(self) -> Self {
        Strided { p: self.p, row: self.column, column: self.row }
    }
}

impl<T> Strided<*const T> {
    fn at(self, row: usize, column: usize) -> *const T {
        self.p.wrapping_add(row * self.row + column * self.column)
    }
}

impl<T> Strided<*mut T> {
    fn at(self, row: usize, column: usize) -> *mut T {
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
    pub b: Strided<*const T>,
    pub beta: T,
    pub c: Strided<*mut T>,
    pub epilogue: Option<Epilogue<T>>,
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

/// What the product needs beside its operands: kernels and packing buffers, made once.
pub(super) struct Gemm<T> {
    tiles: Tiles<T>,
    pack: Pack<T>,
    dots: DotsLoop<T>,
    /// One for every thread.
    a_blocks: Vec<Scratch<T>>,
    /// Shared by all threads.
    b_block: Scratch<T>,
}

impl<T: Scalar> Gemm<T> {
    pub(super) fn new(isa: Isa, threads: usize) -> Gemm<T> {
        let tiles = Tiles::new(isa);
        let k = k_most::<T>();
        let a_block = PANELS * tiles.rows() * k;
        Gemm {
            tiles,
            pack: pack(isa),
            dots: dots(isa),
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
        let Product { m, n, k, a, b, .. } = product;
        let work = 2.0 * m as f64 * n as f64 * k as f64;
        let threads = if work < PARALLEL { 1 } else { pool.threads() };
        if n <= FEW && a.row != 1 && a.column == 1 && b.row == 1 || m == 1 && a.column == 1 && b.row == 1 {
            // SAFETY: the caller's promise.
            return unsafe { Block::whole(self, &product).dots(pool, threads) };
        }
        let (pack_a, pack_b) = (self.packs_a(&product), self.packs_b(&product));
        let k_most = if pack_a || pack_b { k_most::<T>() } else { K_DIRECT };
        let k_step = k.div_ceil(k.div_ceil(k_most));
        for k0 in (0..k).step_by(k_step) {
            for n0 in (0..n).step_by(COLUMNS) {
                let block = Block {
                    product: &product,
                    gemm: self,
                    a_blocks: pack_a.then_some(&self.a_blocks[..]),
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

    /// Tiles need rows of A side by side. Else a copy pays if A is too large for the second cache, or falls on itself
    /// there, and there are columns enough to share what it costs.
    fn packs_a(&self, p: &Product<T>) -> bool {
        let large = p.m * p.k * size_of::<T>() > LARGE || collides::<T>(p.a.column) && p.k >= PACK_K;
        p.a.row != 1 || p.n >= PACK_N && large
    }

    /// Tiles read B in any order, but from a few streams that must not fall on one another in the first cache.
    fn packs_b(&self, p: &Product<T>) -> bool {
        let (near, far) = (p.b.row.min(p.b.column), p.b.row.max(p.b.column));
        p.m >= PACK_M && p.k >= PACK_K && (near != 1 || collides::<T>(far))
    }
}

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
    debug_assert!(product.epilogue.is_none());
    let Product { m, n, a, b, c, .. } = product;
    Product { m: n, n: m, a: b.t(), b: a.t(), c: c.t(), ..product }
}

/// A part of the product: `k` terms of the sum from `k0` on, for `n` columns from `n0` on.
struct Block<'g, T> {
    product: &'g Product<T>,
    gemm: &'g Gemm<T>,
    /// Where to copy A, by thread; none: A is read in place.
    a_blocks: Option<&'g [Scratch<T>]>,
    /// Where to copy B; none: B is read in place.
    b_block: Option<&'g Scratch<T>>,
    k0: usize,
    k: usize,
    n0: usize,
    n: usize,
}

impl<'g, T: Scalar> Block<'g, T> {
    /// The whole product, nothing copied.
    fn whole(gemm: &'g Gemm<T>, product: &'g Product<T>) -> Self {
        Block { product, gemm, a_blocks: None, b_block: None, k0: 0, k: product.k, n0: 0, n: product.n }
    }

    /// Element by element, as dot products of what lies side by side in A and B.
    unsafe fn dots(&self, pool: &mut Pool, threads: usize) {
        let p = self.product;
        // One row: the columns of B take the part of the rows of A.
        let flat = p.m == 1;
        let (count, others) = if flat { (p.n, 1) } else { (p.m, p.n) };
        let parts = Split::new(count.div_ceil(DOTS), threads);
        run(pool, threads, parts.parts, &|_, part| {
            let (start, end) = parts.part(part);
            let (start, end) = (start * DOTS, count.min(end * DOTS));
            let (bias, bias_step) = match p.epilogue {
                Some(Epilogue { bias, .. }) if flat => (bias, 0),
                Some(Epilogue { bias, .. }) if !bias.is_null() => (bias.wrapping_add(start), 1),
                _ => (std::ptr::null(), 0),
            };
            for j in 0..others {
                let (x, x_step) = if flat { (p.b.at(0, start), p.b.column) } else { (p.a.at(start, 0), p.a.row) };
                let y = if flat { p.a.p } else { p.b.at(0, j) };
                let (c, c_step) = if flat { (p.c.at(0, start), p.c.column) } else { (p.c.at(start, j), p.c.row) };
                let (count, k, alpha, beta) = (end - start, p.k, p.alpha, p.beta);
                // SAFETY: parts are disjoint; the rest is the caller's promise.
                unsafe { (self.gemm.dots)(&Dots { count, k, x, x_step, y, alpha, beta, c, c_step, bias, bias_step }) }
            }
            let (rows, columns) = if flat { ((0, 1), (start, end - start)) } else { ((start, end - start), (0, p.n)) };
            // SAFETY: the caller's promise.
            unsafe { self.finish(rows, columns) }
        });
    }

    unsafe fn run(&self, pool: &mut Pool, threads: usize) {
        let width = self.gemm.tiles.columns;
        if let Some(scratch) = self.b_block {
            // A few panels a task, so that a task outweighs its hand-over.
            let columns = width * 8;
            let tasks = self.n.div_ceil(columns);
            run(pool, threads, tasks, &|_, task| {
                for j in (task * columns..self.n.min((task + 1) * columns)).step_by(width) {
                    // SAFETY: panels are disjoint, and k and n are at most what the scratch was made for.
                    unsafe { self.pack_b(scratch, j) }
                }
            });
        }
        let (rows, columns) = self.split(threads);
        run(pool, threads, rows.parts * columns.parts, &|thread, task| {
            let (row, column) = (rows.part(task % rows.parts), columns.part(task / rows.parts));
            // SAFETY: tasks write disjoint parts of C; the rest is the caller's promise.
            unsafe { self.task(thread, row, column) }
        });
    }

    /// Panels and strips for tasks of the threads: as many panels as fit into a block, or, where A is read in place,
    /// whichever of the two is divided more evenly.
    fn split(&self, threads: usize) -> (Split, Split) {
        let (m, height, width) = (self.product.m, self.gemm.tiles.rows(), self.gemm.tiles.columns);
        let (panels, strips) = (m.div_ceil(height), self.n.div_ceil(width));
        let largest_part = |tiles: usize, size: usize, all: usize| (tiles.div_ceil(threads) * size) as f64 / all as f64;
        if self.a_blocks.is_none() && largest_part(strips, width, self.n) < largest_part(panels, height, m) {
            let columns = Split::new(strips, threads);
            return (Split::new(panels, threads.div_ceil(columns.parts)), columns);
        }
        let rows = Split::new(panels, panels.div_ceil(PANELS).next_multiple_of(threads));
        let columns = Split::new(strips, threads.div_ceil(rows.parts));
        (rows, columns)
    }

    /// Panels of A (in units of the tile's rows) times strips of B (in units of its columns).
    unsafe fn task(&self, thread: usize, panels: (usize, usize), strips: (usize, usize)) {
        let (height, width) = (self.gemm.tiles.rows(), self.gemm.tiles.columns);
        let rows = |panel: usize| (panel * height, height.min(self.product.m - panel * height));
        let a_block = self.a_blocks.map(|blocks| blocks[thread].0);
        if let Some(a_block) = a_block {
            // Rows that lie side by side are taken a few steps of k at a time, panel after panel: the pages of memory
            // that they are in are then looked up once.
            let step = if self.product.a.row == 1 { 16 } else { self.k };
            for l in (0..self.k).step_by(step) {
                for panel in panels.0..panels.1 {
                    let to = a_block.wrapping_add((panel - panels.0) * height * self.k + l * height);
                    // SAFETY: a thread has one block, as large as a part has panels.
                    unsafe { self.pack_a(to, rows(panel), (l, step.min(self.k - l))) }
                }
            }
        }
        // A panel that is read in place comes from afar: take it once for all strips. A copied block is near.
        let at_once = if a_block.is_some() { panels.1 - panels.0 } else { 1 };
        for first in (panels.0..panels.1).step_by(at_once) {
            for strip in strips.0..strips.1 {
                let (column, columns) = (strip * width, width.min(self.n - strip * width));
                for panel in first..first + at_once {
                    let (row, rows) = rows(panel);
                    let a = match a_block {
                        Some(block) => (block.wrapping_add((panel - panels.0) * height * self.k).cast_const(), height),
                        None => (self.product.a.at(row, self.k0), self.product.a.column),
                    };
                    // SAFETY: the caller's promise.
                    unsafe { self.tile(a, (row, rows), (column, columns)) }
                }
                let (row, _) = rows(first);
                let end = self.product.m.min((first + at_once) * height);
                // SAFETY: the caller's promise.
                unsafe { self.finish((row, end - row), (column, columns)) }
            }
        }
    }

    /// One tile, from `row` and (within the block) `column` on.
    unsafe fn tile(&self, a: (*const T, usize), (row, rows): (usize, usize), (column, columns): (usize, usize)) {
        let p = self.product;
        let first = self.k0 == 0;
        let (b, b_row, b_column) = match self.b_block {
            Some(block) => (block.0.wrapping_add(column * self.k).cast_const(), columns, 1),
            None => (p.b.at(self.k0, self.n0 + column), p.b.row, p.b.column),
        };
        let bias = match p.epilogue {
            Some(epilogue) if first && !epilogue.bias.is_null() => epilogue.bias.wrapping_add(row),
            _ => std::ptr::null(),
        };
        let beta = if first { p.beta } else { T::from_f64(1.0) };
        let c = p.c.at(row, self.n0 + column);
        let mut tile = Tile {
            k: self.k,
            a: a.0,
            a_column: a.1,
            b,
            b_row,
            b_column,
            c,
            c_column: p.c.column,
            rows,
            alpha: p.alpha,
            beta,
            bias,
        };
        // SAFETY: the caller's promise.
        unsafe {
            if p.c.row == 1 {
                return self.gemm.tiles.run(columns, &tile);
            }
            let mut local = [T::default(); LARGEST_TILE];
            (tile.c, tile.c_column, tile.beta) = (local.as_mut_ptr(), rows, T::from_f64(0.0));
            self.gemm.tiles.run(columns, &tile);
            for (i, x) in local[..rows * columns].iter().enumerate() {
                let c = c.add(i % rows * p.c.row + i / rows * p.c.column);
                let kept = if beta == T::from_f64(0.0) { 0.0 } else { beta.to_f64() * (*c).to_f64() };
                *c = T::from_f64(x.to_f64() + kept);
            }
        }
    }

    /// The element-wise part of the epilogue, once a part of C is complete.
    unsafe fn finish(&self, (row, rows): (usize, usize), (column, columns): (usize, usize)) {
        let Some(Epilogue { finish: Some(finish), out, .. }) = self.product.epilogue else { return };
        if self.k0 + self.k < self.product.k {
            return;
        }
        let c = self.product.c;
        // SAFETY: the caller's promise.
        let apply = |j: usize, n: usize| unsafe {
            let (c, out) = (c.at(row, j), out.at(row, j));
            match finish {
                Finish::Map(f, p) => f(n, &p, c, out),
                Finish::Zip(f, p, kept) => f(n, &p, c, kept.at(row, j), out),
            }
        };
        let column = self.n0 + column;
        let kept_column = if let Finish::Zip(.., kept) = finish { kept.column } else { rows };
        if [c.column, out.column, kept_column] == [rows; 3] {
            return apply(column, rows * columns);
        }
        (column..column + columns).for_each(|j| apply(j, rows));
    }

    /// Copies `length` columns, from the `l`th on, of some rows of A into a panel: column after column, each filled up with
    /// zeros to the tile's height.
    unsafe fn pack_a(&self, panel: *mut T, (row, rows): (usize, usize), (l, length): (usize, usize)) {
        let height = self.gemm.tiles.rows();
        let a = self.product.a;
        let from = a.at(row, self.k0 + l);
        // SAFETY: a panel has room for `height * k`; the rest is the caller's promise.
        unsafe {
            (self.gemm.pack)(&Panel {
                from,
                across: a.row,
                along: a.column,
                width: rows,
                length,
                to: panel,
                step: height,
            })
        }
    }

    /// Copies a strip of B, from `column` on: row after row.
    unsafe fn pack_b(&self, block: &Scratch<T>, column: usize) {
        let columns = self.gemm.tiles.columns.min(self.n - column);
        let b = self.product.b;
        let from = b.at(self.k0, self.n0 + column);
        // SAFETY: strips lie one after the other in the block; the rest is the caller's promise.
        unsafe {
            (self.gemm.pack)(&Panel {
                from,
                across: b.column,
                along: b.row,
                width: columns,
                length: self.k,
                to: block.0.add(column * self.k),
                step: columns,
            })
        }
    }
}

fn run(pool: &mut Pool, threads: usize, count: usize, body: &(dyn Fn(usize, usize) + Sync)) {
    if threads == 1 { (0..count).for_each(|index| body(0, index)) } else { pool.run(count, body) }
}

/// A number of items divided into parts that differ by one at the most.
struct Split {
    items: usize,
    parts: usize,
}

impl Split {
    fn new(items: usize, parts: usize) -> Split {
        Split { items, parts: parts.clamp(1, items) }
    }

    fn part(&self, index: usize) -> (usize, usize) {
        (index * self.items / self.parts, (index + 1) * self.items / self.parts)
    }
}

/// Memory for copies: aligned to a cache line, not touched until it is used.
struct Scratch<T>(*mut T, usize);

// SAFETY: plain memory; who may write which part is settled by `Block`.
unsafe impl<T> Send for Scratch<T> {}
// SAFETY: as above.
unsafe impl<T> Sync for Scratch<T> {}

impl<T> Scratch<T> {
    fn new(elements: usize) -> Scratch<T> {
        let layout = Self::layout(elements);
        // SAFETY: the layout is not empty.
        let p = unsafe { std::alloc::alloc(layout) };
        if p.is_null() {
            std::alloc::handle_alloc_error(layout);
        }
        Scratch(p.cast(), elements)
    }

    fn layout(elements: usize) -> std::alloc::Layout {
        std::alloc::Layout::from_size_align(elements * size_of::<T>(), 64).expect("a few megabytes")
    }
}

impl<T> Drop for Scratch<T> {
    fn drop(&mut self) {
        // SAFETY: allocated in `new` with the same layout.
        unsafe { std::alloc::dealloc(self.0.cast(), Self::layout(self.1)) }
    }
}
