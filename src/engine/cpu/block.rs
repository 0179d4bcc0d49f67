//! A block of the matrix product: its parts are handed to the threads, copied where that pays, and computed tile by tile.

use std::mem::MaybeUninit;

use super::dots::Dots;
use super::few::{COLUMNS, Few, STEPS};
use super::gemm::{Epilogue, Finish, Gemm, PANELS, Product};
use super::memory::{LINE, Scratch};
use super::pack::Panel;
use super::pool::Pool;
use super::tile::{LARGEST_TILE, Tile};
use crate::scalar::Scalar;

/// A part of the product: `k` terms of the sum from `k0` on, for `n` columns from `n0` on.
pub(super) struct Block<'g, T> {
    pub product: &'g Product<T>,
    pub gemm: &'g Gemm<T>,
    /// Where to copy A, by thread; none: A is read in place.
    pub a_blocks: Option<&'g [Scratch<T>]>,
    /// Where to copy B; none: B is read in place.
    pub b_block: Option<&'g Scratch<T>>,
    pub k0: usize,
    pub k: usize,
    pub n0: usize,
    pub n: usize,
}

impl<'g, T: Scalar> Block<'g, T> {
    /// The whole product, nothing copied.
    pub(super) fn whole(gemm: &'g Gemm<T>, product: &'g Product<T>) -> Self {
        Block {
            product,
            gemm,
            a_blocks: None,
            b_block: None,
            k0: 0,
            k: product.k,
            n0: 0,
            n: product.n,
        }
    }

    /// Element by element, as dot products of what lies side by side in A and B.
    pub(super) unsafe fn dots(&self, pool: &mut Pool, threads: usize) {
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
                let (x, x_step) =
                    if flat { (p.b.at(0, start), p.b.column) } else { (p.a.at(start, 0), p.a.row) };
                let y = if flat { p.a.p } else { p.b.at(0, j) };
                let (c, c_step) =
                    if flat { (p.c.at(0, start), p.c.column) } else { (p.c.at(start, j), p.c.row) };
                let (count, k, alpha, beta) = (end - start, p.k, p.alpha, p.beta);
                // SAFETY: parts are disjoint; the rest is the caller's promise.
                unsafe {
                    (self.gemm.dots)(&Dots {
                        count,
                        k,
                        x,
                        x_step,
                        y,
                        alpha,
                        beta,
                        c,
                        c_step,
                        bias,
                        bias_step,
                    })
                }
            }
            let (rows, columns) = if flat {
                ((0, 1), (start, end - start))
            } else {
                ((start, end - start), (0, p.n))
            };
            // SAFETY: the caller's promise.
            unsafe { self.finish(rows, columns) }
        });
    }

    /// Column by column, a few at a time, with all steps of k in registers.
    pub(super) unsafe fn few(&self, pool: &mut Pool, threads: usize) {
        let (p, few) = (self.product, &self.gemm.few);
        run(pool, threads, p.n.div_ceil(COLUMNS), &|_, task| {
            self.gemm.ahead.ask();
            let (column, mut row) = (task * COLUMNS, 0);
            let columns = COLUMNS.min(p.n - column);
            let mut b = MaybeUninit::<[[T; COLUMNS]; STEPS]>::uninit();
            // SAFETY: the caller's promise; there are at most `STEPS` rows.
            unsafe {
                (self.gemm.pack)(&Panel {
                    from: p.b.at(0, column),
                    across: p.b.column,
                    along: p.b.row,
                    width: columns,
                    length: p.k,
                    to: b.as_mut_ptr().cast(),
                    step: COLUMNS,
                })
            }
            while row < p.m {
                let panel = Few {
                    rows: few.rows(p.k, p.m - row),
                    columns,
                    a: p.a.at(row, 0),
                    a_column: p.a.column,
                    b: b.as_ptr().cast(),
                    alpha: p.alpha,
                    beta: p.beta,
                    c: p.c.at(row, column),
                    c_column: p.c.column,
                };
                // SAFETY: tasks write disjoint columns of C; the rest is the caller's promise.
                unsafe { few.run(p.k, &panel) }
                row += panel.rows;
            }
        });
    }

    pub(super) unsafe fn run(&self, pool: &mut Pool, threads: usize) {
        let width = self.gemm.tiles.columns;
        if let Some(scratch) = self.b_block {
            // A few panels a task, so that a task outweighs its hand-over.
            let columns = width * 8;
            let tasks = self.n.div_ceil(columns);
            run(pool, threads, tasks, &|_, task| {
                let step = if self.product.b.column == 1 { 64 } else { self.k };
                for l in (0..self.k).step_by(step) {
                    for j in (task * columns..self.n.min((task + 1) * columns)).step_by(width) {
                        // SAFETY: panels are disjoint, and k and n are at most what the scratch was made for.
                        unsafe { self.pack_b(scratch, j, (l, step.min(self.k - l))) }
                    }
                }
            });
        }
        let (rows, columns) = self.split(threads);
        run(pool, threads, rows.parts * columns.parts, &|thread, task| {
            // Neighboring tasks, which different threads begin with, share what is the smaller: A if columns are divided, else B.
            let (row, column) = if columns.parts < threads {
                (task % rows.parts, task / rows.parts)
            } else {
                (task / columns.parts, task % columns.parts)
            };
            let (row, column) = (rows.part(row), columns.part(column));
            // SAFETY: tasks write disjoint parts of C; the rest is the caller's promise.
            unsafe { self.task(thread, row, column) }
        });
    }

    /// Panels and strips for tasks of the threads. C is divided along its longer side: threads then share the smaller operand, and what
    /// one of them writes or copies seldom has to pass to the other's cache. Where columns are too few for that, there are as many panels
    /// as fit into a block, or, where A is read in place, whichever of the two is divided more evenly.
    fn split(&self, threads: usize) -> (Split, Split) {
        let (m, height, width) = (self.product.m, self.gemm.tiles.rows(), self.gemm.tiles.columns);
        let (panels, strips) = (m.div_ceil(height), self.n.div_ceil(width));
        let blocks = if self.a_blocks.is_some() { panels.div_ceil(PANELS) } else { 1 };
        if threads > 1 && self.n >= m && strips >= threads * ENOUGH {
            return (Split::new(panels, blocks), Split::new(strips, threads));
        }
        let largest_part = |tiles: usize, size: usize, all: usize| {
            (tiles.div_ceil(threads) * size) as f64 / all as f64
        };
        if self.a_blocks.is_none()
            && largest_part(strips, width, self.n) < largest_part(panels, height, m)
        {
            let columns = Split::new(strips, threads);
            return (Split::new(panels, threads.div_ceil(columns.parts)), columns);
        }
        // A copy has to fit its block; what is read in place is best gone through in one go.
        let parts = blocks.next_multiple_of(threads);
        let rows = Split::new(panels, parts);
        let columns = Split::new(strips, threads.div_ceil(rows.parts));
        (rows, columns)
    }

    /// Panels of A (in units of the tile's rows) times strips of B (in units of its columns).
    unsafe fn task(&self, thread: usize, panels: (usize, usize), strips: (usize, usize)) {
        let (height, width) = (self.gemm.tiles.rows(), self.gemm.tiles.columns);
        let rows = |panel: usize| (panel * height, height.min(self.product.m - panel * height));
        let a_block = self.a_blocks.map(|blocks| blocks[thread].start());
        if let Some(a_block) = a_block {
            // Rows that lie side by side are taken a few steps of k at a time, panel after panel: the pages of memory
            // that they are in are then looked up once.
            let step = if self.product.a.row == 1 { 16 } else { self.k };
            for l in (0..self.k).step_by(step) {
                for panel in panels.0..panels.1 {
                    let to =
                        a_block.wrapping_add((panel - panels.0) * height * self.k + l * height);
                    // SAFETY: a thread has one block, as large as a part has panels.
                    unsafe { self.pack_a(to, rows(panel), (l, step.min(self.k - l))) }
                }
            }
        }
        // Panels that come from afar are taken once for all strips; panels that are near, copied or not, are gone through
        // for every strip, so that C is written along its columns.
        let bytes = (panels.1 - panels.0) * height * self.k * size_of::<T>();
        let is_near = a_block.is_some() || bytes <= self.gemm.near;
        let distant = self.distant_panels(strips.1 - strips.0);
        let at_once =
            if is_near { panels.1 - panels.0 } else { distant.at_once.min(panels.1 - panels.0) };
        for first in (panels.0..panels.1).step_by(at_once) {
            let last = panels.1.min(first + at_once);
            for strip in strips.0..strips.1 {
                let (column, columns) = (strip * width, width.min(self.n - strip * width));
                for panel in first..last {
                    let (row, rows) = rows(panel);
                    let a = match a_block {
                        Some(block) => (
                            block.wrapping_add((panel - panels.0) * height * self.k).cast_const(),
                            height,
                        ),
                        None => (distant.at(panel), distant.column),
                    };
                    let tile = (strip - strips.0) * (last - first) + panel - first;
                    let ahead = if a_block.is_some() {
                        self.ahead_of_copy(tile, panels)
                    } else if is_near || last == panels.1 {
                        (a.0, 0)
                    } else {
                        let (from, step) =
                            distant.ahead(tile, strips.1 - strips.0, (height, self.k));
                        (distant.at(last).wrapping_add(from), step)
                    };
                    // SAFETY: the caller's promise.
                    unsafe { self.tile(a, ahead, (row, rows), (column, columns)) }
                }
                let (row, _) = rows(first);
                let end = self.product.m.min(last * height);
                // SAFETY: the caller's promise.
                unsafe { self.finish((row, end - row), (column, columns)) }
            }
        }
    }

    /// What a tile asks for beforehand, one cache line out of each column: rows that are copied next, if this part of the
    /// panels is followed by another.
    fn ahead_of_copy(&self, tile: usize, panels: (usize, usize)) -> (*const T, usize) {
        let (a, height) = (self.product.a, self.gemm.tiles.rows());
        let line = tile * LINE / size_of::<T>();
        let row = panels.1 * height + line;
        let is_next = a.row == 1 && line < (panels.1 - panels.0) * height && row < self.product.m;
        if is_next { (a.at(row, self.k0), a.column) } else { (a.p, 0) }
    }

    /// The panels that are not copied for this call, to be taken with so many strips.
    fn distant_panels(&self, strips: usize) -> Panels<T> {
        let (p, height) = (self.product, self.gemm.tiles.rows());
        if p.a_packed.is_null() {
            return Panels {
                p: p.a.at(0, self.k0),
                panel: height * p.a.row,
                column: p.a.column,
                at_once: GROUP,
            };
        }
        let half = self.gemm.near / 2 / (height * self.k * size_of::<T>());
        let at_once = if strips * self.gemm.tiles.columns < MANY { 1 } else { half.max(1) };
        Panels {
            p: p.a_packed.wrapping_add(self.k0 * height),
            panel: height * p.k,
            column: height,
            at_once,
        }
    }

    /// One tile, from `row` and (within the block) `column` on.
    unsafe fn tile(
        &self,
        a: (*const T, usize),
        ahead: (*const T, usize),
        (row, rows): (usize, usize),
        (column, columns): (usize, usize),
    ) {
        self.gemm.ahead.ask();
        let p = self.product;
        let first = self.k0 == 0;
        let (b, b_row, b_column) = match self.b_block {
            Some(block) => (block.start().wrapping_add(column * self.k).cast_const(), columns, 1),
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
            ahead: ahead.0,
            ahead_step: ahead.1,
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
                let kept =
                    if beta == T::from_f64(0.0) { 0.0 } else { beta.to_f64() * (*c).to_f64() };
                *c = T::from_f64(x.to_f64() + kept);
            }
        }
    }

    /// The element-wise part of the epilogue, once a part of C is complete.
    unsafe fn finish(&self, (row, rows): (usize, usize), (column, columns): (usize, usize)) {
        let Some(Epilogue { finish: Some(finish), out, .. }) = self.product.epilogue else {
            return;
        };
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
    unsafe fn pack_a(
        &self,
        panel: *mut T,
        (row, rows): (usize, usize),
        (l, length): (usize, usize),
    ) {
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
    unsafe fn pack_b(&self, block: &Scratch<T>, column: usize, (l, length): (usize, usize)) {
        let columns = self.gemm.tiles.columns.min(self.n - column);
        let b = self.product.b;
        let from = b.at(self.k0 + l, self.n0 + column);
        // SAFETY: strips lie one after the other in the block; the rest is the caller's promise.
        unsafe {
            (self.gemm.pack)(&Panel {
                from,
                across: b.column,
                along: b.row,
                width: columns,
                length,
                to: block.start().add(column * self.k + l * columns),
                step: columns,
            })
        }
    }
}

fn run(pool: &mut Pool, threads: usize, count: usize, body: &(dyn Fn(usize, usize) + Sync)) {
    if threads == 1 { (0..count).for_each(|index| body(0, index)) } else { pool.run(count, body) }
}

/// Panels from afar that are taken together: longer runs of each column of A at a time, which memory gives faster.
const GROUP: usize = 2;
/// Columns from which on half as many panels as stay in the second cache are taken together, if they were copied beforehand: B then comes
/// from afar less often, and C is written in longer runs.
const MANY: usize = 512;
/// Strips for each thread from which on columns are divided: the parts are even then, and share what copying A costs.
const ENOUGH: usize = 8;
/// Dot products that are handed out together.
const DOTS: usize = 32;

/// Panels of A that are not copied for this call: the first, the distances to the next panel and the next column.
struct Panels<T> {
    p: *const T,
    panel: usize,
    column: usize,
    /// Panels that all strips of B are taken with before the next.
    at_once: usize,
}

impl<T> Panels<T> {
    fn at(&self, panel: usize) -> *const T {
        self.p.wrapping_add(panel * self.panel)
    }

    /// What a tile asks for beforehand, one line a step of k: the first element behind the start of the next panels, and the
    /// step. The tiles are those of all strips of the panels at hand; a panel has `height` rows and k columns.
    fn ahead(&self, tile: usize, strips: usize, (height, k): (usize, usize)) -> (usize, usize) {
        if self.column == height && self.at_once > 1 {
            // There is so much to do with each block that waiting for the next does not count.
            return (0, 0);
        }
        if self.column == height {
            // A panel in one piece: each tile asks for its share, so that memory has the time of all of them.
            let step = height.div_ceil(strips);
            return (tile * step * k, step);
        }
        // The first tiles ask for one line of each column; the rest has nothing left to ask for.
        let line = tile * LINE / size_of::<T>();
        if line < self.at_once * height { (line, self.column) } else { (0, 0) }
    }
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
