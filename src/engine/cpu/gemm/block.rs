//! A block of the matrix product: divided among threads, packed where that pays, and computed tile by tile.
//!
//! Panels are `tile height x k` pieces of A, strips `k x tile width` pieces of B.

use std::mem::MaybeUninit;

use super::dots::Dots;
use super::kernels::Kernels;
use super::pack::Panel;
use super::partition::{MIN_COLUMNS_FOR_PANEL_GROUPS, PANELS_TOGETHER, Panels, Split, Tiling};
use super::product::{Epilogue, Finish, Product};
use super::small_k::{MAX_COLUMNS, MAX_K, SmallKPanel};
use super::tile::{MAX_TILE, Tile};
use crate::engine::cpu::memory::{LINE_BYTES, Scratch};
use crate::engine::cpu::pool::Pool;
use crate::scalar::Scalar;

/// Dot products in one task of a thread.
const DOTS_PER_TASK: usize = 32;
/// Strips of B that one task packs, so that a task takes longer than its hand-over.
const STRIPS_PER_PACKING_TASK: usize = 8;
/// Steps of k that are packed of each strip of a B with contiguous rows before the next strip: the pages of these rows are then looked up once.
const PACK_B_K_STEP: usize = 64;
/// Steps of k that are packed of each panel of an A with contiguous rows before the next panel, for the same reason.
const PACK_A_K_STEP: usize = 16;

/// A part of the product: `k` terms of the sum from `k0` on, for `n` columns from `n0` on.
pub(super) struct Block<'g, T> {
    pub product: &'g Product<T>,
    pub kernels: &'g Kernels<T>,
    /// Where each thread packs A; `None` if A is not packed by this call.
    pub a_blocks: Option<&'g [Scratch<T>]>,
    /// Where B is packed; `None` if B is read in place.
    pub b_block: Option<&'g Scratch<T>>,
    pub k0: usize,
    pub k: usize,
    pub n0: usize,
    pub n: usize,
}

/// A range of rows or columns, or of panels or strips: the first, and their number or the first behind them.
type Range = (usize, usize);

impl<'g, T: Scalar> Block<'g, T> {
    /// The whole product, read in place.
    pub(super) fn whole(kernels: &'g Kernels<T>, product: &'g Product<T>) -> Self {
        let Product { k, n, .. } = *product;
        Block { product, kernels, a_blocks: None, b_block: None, k0: 0, k, n0: 0, n }
    }

    /// Computes the product as dot products of contiguous rows of A and columns of B.
    ///
    /// # Safety
    /// As [`super::Gemm::run`]; rows of A and columns of B are contiguous.
    pub(super) unsafe fn dots(&self, pool: &mut Pool, threads: usize) {
        let p = self.product;
        let is_row = p.m == 1;
        let count = if is_row { p.n } else { p.m };
        let tasks = Split::new(count.div_ceil(DOTS_PER_TASK), threads);
        run(pool, threads, tasks.parts, &|_, task| {
            let (start, end) = tasks.part(task);
            let (start, end) = (start * DOTS_PER_TASK, count.min(end * DOTS_PER_TASK));
            // SAFETY: tasks write disjoint rows (or columns) of C; the rest is the caller's promise.
            unsafe {
                if is_row {
                    (self.kernels.dots)(&self.dots_of_row(start, end));
                    self.finish((0, 1), (start, end - start));
                } else {
                    for j in 0..p.n {
                        (self.kernels.dots)(&self.dots_of_column(j, start, end));
                    }
                    self.finish((start, end - start), (0, p.n));
                }
            }
        });
    }

    /// Columns `start .. end` of a C with one row: the columns of B are the rows of the dot products.
    fn dots_of_row(&self, start: usize, end: usize) -> Dots<T> {
        let p = self.product;
        Dots {
            count: end - start,
            k: p.k,
            x: p.b.at(0, start),
            x_step: p.b.column,
            y: p.a.p,
            alpha: p.alpha,
            beta: p.beta,
            c: p.c.at(0, start),
            c_step: p.c.column,
            bias: p.epilogue.map_or(std::ptr::null(), |epilogue| epilogue.bias),
            bias_step: 0,
        }
    }

    /// Rows `start .. end` of column j of C.
    fn dots_of_column(&self, j: usize, start: usize, end: usize) -> Dots<T> {
        let p = self.product;
        let bias = match p.epilogue {
            Some(Epilogue { bias, .. }) if !bias.is_null() => bias.wrapping_add(start),
            _ => std::ptr::null(),
        };
        Dots {
            count: end - start,
            k: p.k,
            x: p.a.at(start, 0),
            x_step: p.a.row,
            y: p.b.at(0, j),
            alpha: p.alpha,
            beta: p.beta,
            c: p.c.at(start, j),
            c_step: p.c.row,
            bias,
            bias_step: 1,
        }
    }

    /// Computes C a few columns at a time, with all of A's columns in registers.
    ///
    /// # Safety
    /// As [`super::Gemm::run`]; rows of A and C are contiguous and k is at most `max_k` of the kernels.
    pub(super) unsafe fn small_k(&self, pool: &mut Pool, threads: usize) {
        let (p, kernels) = (self.product, &self.kernels.small_k);
        run(pool, threads, p.n.div_ceil(MAX_COLUMNS), &|_, task| {
            self.kernels.prefetch.advance();
            let (column, mut row) = (task * MAX_COLUMNS, 0);
            let columns = MAX_COLUMNS.min(p.n - column);
            let mut b = MaybeUninit::<[[T; MAX_COLUMNS]; MAX_K]>::uninit();
            // SAFETY: `b` has room for k rows, since `k <= MAX_K`; the rest is the caller's promise.
            unsafe {
                (self.kernels.pack)(&Panel {
                    from: p.b.at(0, column),
                    across: p.b.column,
                    along: p.b.row,
                    width: columns,
                    length: p.k,
                    to: b.as_mut_ptr().cast(),
                    step: MAX_COLUMNS,
                })
            }
            while row < p.m {
                let panel = SmallKPanel {
                    rows: kernels.rows(p.k, p.m - row),
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
                unsafe { kernels.run(p.k, &panel) }
                row += panel.rows;
            }
        });
    }

    /// Computes the block by tiles.
    ///
    /// # Safety
    /// As [`super::Gemm::run`]; the packing buffers have room for the block.
    pub(super) unsafe fn run(&self, pool: &mut Pool, threads: usize) {
        if let Some(scratch) = self.b_block {
            // SAFETY: the caller promises that the buffer has room for k x n elements.
            unsafe { self.pack_strips(pool, threads, scratch) }
        }
        let tiling = Tiling {
            m: self.product.m,
            height: self.kernels.tiles.rows(),
            n: self.n,
            width: self.kernels.tiles.columns,
            packs_a: self.a_blocks.is_some(),
        };
        let (rows, columns) = tiling.split(threads);
        run(pool, threads, rows.parts * columns.parts, &|thread, task| {
            // A thread takes tasks one after the other: panels of the same strips. All threads begin with the first panels or with the first
            // strips, and so share the smaller operand.
            let (row, column) = (task % rows.parts, task / rows.parts);
            // SAFETY: tasks write disjoint parts of C; the rest is the caller's promise.
            unsafe { self.task(thread, rows.part(row), columns.part(column)) }
        });
    }

    /// Computes some panels of A times some strips of B.
    ///
    /// # Safety
    /// As [`Block::run`]; no other task writes this part of C.
    unsafe fn task(&self, thread: usize, panels: Range, strips: Range) {
        let a_block = self.a_blocks.map(|blocks| blocks[thread].start());
        if let Some(a_block) = a_block {
            // SAFETY: each thread has a block of its own, with room for the panels of a part.
            unsafe { self.pack_panels(a_block, panels) }
        }
        // Panels in the L2 cache, packed or not, are multiplied with one strip after the other, so that C is written column by column. Distant
        // panels are fetched once for all strips, a group at a time.
        let height = self.kernels.tiles.rows();
        let bytes = (panels.1 - panels.0) * height * self.k * size_of::<T>();
        let is_near = a_block.is_some() || bytes <= self.kernels.l2_share;
        let distant = self.distant_panels(strips.1 - strips.0);
        let count = panels.1 - panels.0;
        let together = if is_near { count } else { distant.together.min(count) };
        for first in (panels.0..panels.1).step_by(together) {
            let group = Group {
                panels: (first, panels.1.min(first + together)),
                strips,
                part: panels,
                a_block,
                is_near,
            };
            // SAFETY: the caller's promise.
            unsafe { self.group(&distant, &group) }
        }
    }

    /// Computes a group of panels times all strips of a task.
    ///
    /// # Safety
    /// As [`Block::task`].
    unsafe fn group(&self, distant: &Panels<T>, group: &Group<T>) {
        let (height, width) = (self.kernels.tiles.rows(), self.kernels.tiles.columns);
        let (first, last) = group.panels;
        for strip in group.strips.0..group.strips.1 {
            let (column, columns) = (strip * width, width.min(self.n - strip * width));
            for panel in first..last {
                let tile = (strip - group.strips.0) * (last - first) + panel - first;
                let (a, prefetch) = self.operands(distant, group, panel, tile);
                let rows = height.min(self.product.m - panel * height);
                // SAFETY: the caller's promise.
                unsafe { self.tile(a, prefetch, (panel * height, rows), (column, columns)) }
            }
            let (row, end) = (first * height, self.product.m.min(last * height));
            // SAFETY: the caller's promise.
            unsafe { self.finish((row, end - row), (column, columns)) }
        }
    }

    /// The panel of a tile and what the tile prefetches: addresses and the distances to the next column of A and to the next line.
    #[inline(always)]
    fn operands(
        &self,
        distant: &Panels<T>,
        group: &Group<T>,
        panel: usize,
        tile: usize,
    ) -> (Line<T>, Line<T>) {
        let height = self.kernels.tiles.rows();
        if let Some(block) = group.a_block {
            let a = block.wrapping_add((panel - group.part.0) * height * self.k).cast_const();
            return ((a, height), self.prefetch_next_part(tile, group.part));
        }
        let a = distant.at(panel);
        let is_last = group.panels.1 == group.part.1;
        if group.is_near || is_last {
            return ((a, distant.column), (a, 0));
        }
        let strips = group.strips.1 - group.strips.0;
        let (from, step) = distant.prefetch(tile, strips, (height, self.k));
        ((a, distant.column), (distant.at(group.panels.1).wrapping_add(from), step))
    }

    /// What a tile of packed panels prefetches: one cache line of each column of the rows that are packed next, if this part of the
    /// panels is followed by another.
    fn prefetch_next_part(&self, tile: usize, panels: Range) -> Line<T> {
        let (a, height) = (self.product.a, self.kernels.tiles.rows());
        let line = tile * LINE_BYTES / size_of::<T>();
        let row = panels.1 * height + line;
        let is_next = a.row == 1 && line < (panels.1 - panels.0) * height && row < self.product.m;
        if is_next { (a.at(row, self.k0), a.column) } else { (a.p, 0) }
    }

    /// The panels that this call does not pack, for tasks of `strips` strips.
    fn distant_panels(&self, strips: usize) -> Panels<T> {
        let (p, height) = (self.product, self.kernels.tiles.rows());
        if p.a_packed.is_null() {
            return Panels {
                p: p.a.at(0, self.k0),
                panel: height * p.a.row,
                column: p.a.column,
                together: PANELS_TOGETHER,
            };
        }
        let has_many_columns = strips * self.kernels.tiles.columns >= MIN_COLUMNS_FOR_PANEL_GROUPS;
        let half_of_l2_share = self.kernels.l2_share / 2 / (height * self.k * size_of::<T>());
        Panels {
            p: p.a_packed.wrapping_add(self.k0 * height),
            panel: height * p.k,
            column: height,
            together: if has_many_columns { half_of_l2_share.max(1) } else { 1 },
        }
    }

    /// Computes one tile, from `row` and, within the block, `column` on.
    ///
    /// # Safety
    /// As [`Block::task`]; `a` is the panel of these rows.
    unsafe fn tile(
        &self,
        a: Line<T>,
        prefetch: Line<T>,
        (row, rows): Range,
        (column, columns): Range,
    ) {
        self.kernels.prefetch.advance();
        let p = self.product;
        let is_first = self.k0 == 0;
        let (b, b_row, b_column) = match self.b_block {
            Some(block) => (block.start().wrapping_add(column * self.k).cast_const(), columns, 1),
            None => (p.b.at(self.k0, self.n0 + column), p.b.row, p.b.column),
        };
        let bias = match p.epilogue {
            Some(epilogue) if is_first && !epilogue.bias.is_null() => {
                epilogue.bias.wrapping_add(row)
            }
            _ => std::ptr::null(),
        };
        let tile = Tile {
            k: self.k,
            a: a.0,
            a_column: a.1,
            prefetch: prefetch.0,
            prefetch_step: prefetch.1,
            b,
            b_row,
            b_column,
            c: p.c.at(row, self.n0 + column),
            c_column: p.c.column,
            rows,
            alpha: p.alpha,
            beta: if is_first { p.beta } else { T::from_f64(1.0) },
            bias,
        };
        // SAFETY: the caller's promise.
        unsafe {
            if p.c.row == 1 {
                self.kernels.tiles.run(columns, &tile)
            } else {
                self.tile_with_gaps(tile, columns)
            }
        }
    }

    /// Computes a tile of a C whose rows are not contiguous: in a buffer, which is then added to C element by element.
    ///
    /// # Safety
    /// As [`Block::tile`].
    unsafe fn tile_with_gaps(&self, mut tile: Tile<T>, columns: usize) {
        let (c, beta, rows) = (tile.c, tile.beta, tile.rows);
        let (c_row, c_column) = (self.product.c.row, self.product.c.column);
        let mut local = [T::default(); MAX_TILE];
        (tile.c, tile.c_column, tile.beta) = (local.as_mut_ptr(), rows, T::from_f64(0.0));
        // SAFETY: the buffer has room for the largest tile; the elements of C are the caller's promise.
        unsafe {
            self.kernels.tiles.run(columns, &tile);
            for (i, x) in local[..rows * columns].iter().enumerate() {
                let c = c.add(i % rows * c_row + i / rows * c_column);
                let kept =
                    if beta == T::from_f64(0.0) { 0.0 } else { beta.to_f64() * (*c).to_f64() };
                *c = T::from_f64(x.to_f64() + kept);
            }
        }
    }

    /// Applies the element-wise part of the epilogue to a part of C that is complete.
    ///
    /// # Safety
    /// As [`Block::task`].
    unsafe fn finish(&self, (row, rows): Range, (column, columns): Range) {
        let Some(Epilogue { finish: Some(finish), out, .. }) = self.product.epilogue else {
            return;
        };
        if self.k0 + self.k < self.product.k {
            return;
        }
        let c = self.product.c;
        // SAFETY: the caller promises that `kept` is readable and C and `out` are writable; rows are contiguous, see `Epilogue`.
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

    /// Packs the strips of B.
    ///
    /// # Safety
    /// As [`Block::run`]; `scratch` has room for `k x n` elements.
    unsafe fn pack_strips(&self, pool: &mut Pool, threads: usize, scratch: &Scratch<T>) {
        let width = self.kernels.tiles.columns;
        let columns = width * STRIPS_PER_PACKING_TASK;
        let step = if self.product.b.column == 1 { PACK_B_K_STEP } else { self.k };
        run(pool, threads, self.n.div_ceil(columns), &|_, task| {
            for l in (0..self.k).step_by(step) {
                for j in (task * columns..self.n.min((task + 1) * columns)).step_by(width) {
                    // SAFETY: each strip has its own place in the buffer.
                    unsafe { self.pack_strip(scratch, j, (l, step.min(self.k - l))) }
                }
            }
        });
    }

    /// Packs steps `l .. l + length` of the strip of B from `column` on, row after row.
    ///
    /// # Safety
    /// As [`Block::pack_strips`]; no other thread packs this strip.
    unsafe fn pack_strip(&self, scratch: &Scratch<T>, column: usize, (l, length): Range) {
        let columns = self.kernels.tiles.columns.min(self.n - column);
        let b = self.product.b;
        // SAFETY: strips before this one have `column * k` elements; the rest is the caller's promise.
        unsafe {
            (self.kernels.pack)(&Panel {
                from: b.at(self.k0 + l, self.n0 + column),
                across: b.column,
                along: b.row,
                width: columns,
                length,
                to: scratch.start().add(column * self.k + l * columns),
                step: columns,
            })
        }
    }

    /// Packs panels of A, one after the other.
    ///
    /// # Safety
    /// As [`Block::run`]; `a_block` has room for the panels and belongs to this thread.
    unsafe fn pack_panels(&self, a_block: *mut T, panels: Range) {
        let height = self.kernels.tiles.rows();
        let step = if self.product.a.row == 1 { PACK_A_K_STEP } else { self.k };
        for l in (0..self.k).step_by(step) {
            for panel in panels.0..panels.1 {
                let to = a_block.wrapping_add((panel - panels.0) * height * self.k + l * height);
                let rows = height.min(self.product.m - panel * height);
                // SAFETY: the caller promises room for `height * k` elements of each panel.
                unsafe { self.pack_panel(to, (panel * height, rows), (l, step.min(self.k - l))) }
            }
        }
    }

    /// Packs columns `l .. l + length` of some rows of A, each padded with zeros to the tile's height.
    ///
    /// # Safety
    /// A is readable, and `to` has room for `height * length` elements.
    unsafe fn pack_panel(&self, to: *mut T, (row, rows): Range, (l, length): Range) {
        let a = self.product.a;
        // SAFETY: the caller's promise.
        unsafe {
            (self.kernels.pack)(&Panel {
                from: a.at(row, self.k0 + l),
                across: a.row,
                along: a.column,
                width: rows,
                length,
                to,
                step: self.kernels.tiles.rows(),
            })
        }
    }
}

/// An address, and the distance from one step of k to the next there, in elements.
type Line<T> = (*const T, usize);

/// Panels that all strips of a task are multiplied with before the next ones.
struct Group<T> {
    panels: Range,
    /// The strips of the task.
    strips: Range,
    /// The panels of the task.
    part: Range,
    /// Where the panels of the task were packed; `None` if A is not packed by this call.
    a_block: Option<*mut T>,
    /// Whether the panels of the task stay in the L2 cache.
    is_near: bool,
}

fn run(pool: &mut Pool, threads: usize, count: usize, body: &(dyn Fn(usize, usize) + Sync)) {
    if threads == 1 { (0..count).for_each(|index| body(0, index)) } else { pool.run(count, body) }
}
