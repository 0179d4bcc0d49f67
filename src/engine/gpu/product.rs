//! The matrix product: which kernel, cut how.

use super::tile::{Tile, Tiles};
use super::*;

/// Floating-point operations below which a second group costs a CPU more than it brings.
const PARALLEL: f64 = 3e5;
/// Bytes from which on A does not stay in a CPU's second cache.
const LARGE: usize = 1 << 20;
/// Columns that share a copy of A, rows that share a copy of B and steps of k, from which on a copy pays on a CPU.
const PACK_N: usize = 100;
const PACK_M: usize = 256;
const PACK_K: usize = 128;
/// Panels of A in a copy.
const PANELS: usize = 8;
/// Steps of k at a time where nothing is copied.
const LONG_SLICE: usize = 1024;
/// Columns of tiles that are compiled when a matrix has fewer columns than the tuned tile, or does not come out even.
const NARROW: [usize; 5] = [1, 2, 3, 4, 6];

/// `C = alpha A B + beta C`, and what happens to C on its way to memory.
#[derive(Clone, Copy)]
pub(super) struct Call {
    pub alpha: f64,
    /// `m x k`
    pub a: Span,
    /// `k x n`
    pub b: Span,
    pub beta: f64,
    /// `m x n`
    pub c: Span,
    /// `m x 1`, added to every column
    pub bias: Option<Span>,
    pub form: Form,
    /// `sums = alpha A 1 + beta sums`, `m x 1`
    pub sums: Option<Span>,
    /// Whether C may be stored in 16 bits where A and B are.
    pub rounds: bool,
    /// Whether f' will be wanted.
    pub trains: bool,
}

/// What is stored.
#[derive(Clone, Copy)]
pub(super) enum Form {
    /// C
    Plain,
    /// `out = f(C; p)`, and C itself where it is kept
    Map { f: &'static Map, p: [f64; 4], out: Span, keeps_c: bool },
    /// `C = f(C, kept; p)`
    Zip { f: &'static Zip, p: [f64; 4], kept: Span },
}

impl Call {
    pub fn plain(alpha: f64, a: Span, b: Span, beta: f64, c: Span) -> Self {
        Call {
            alpha,
            a,
            b,
            beta,
            c,
            bias: None,
            form: Form::Plain,
            sums: None,
            rounds: false,
            trains: false,
        }
    }

    fn flops(&self) -> f64 {
        2.0 * self.c.rows as f64 * self.c.columns as f64 * self.a.columns as f64
    }
}

/// A tile and how the tiles are shared among groups.
struct Plan {
    tile: Tile,
    /// Rows and columns of C for a group.
    block: [usize; 2],
    groups: [usize; 2],
    /// Steps of k at a time.
    slice: usize,
    /// Panels of A in a copy; 0: A is read in place.
    panels: usize,
    packs_b: bool,
}

impl<T: Scalar, D: Driver> Gpu<T, D> {
    /// # Safety
    /// The call describes memory that may be read and written so; C overlaps neither A, B nor the bias.
    pub(super) unsafe fn product(&self, call: &Call) -> Result<()> {
        // SAFETY: the caller's promise.
        if self.leaves_to_library(call) && unsafe { self.product_by_library(call)? } {
            return Ok(());
        }
        // SAFETY: as above.
        unsafe { self.product_with(&self.tiles, call) }
    }

    /// The same with other tiles than the engine's own.
    pub(super) unsafe fn product_with(&self, tiles: &Tiles, call: &Call) -> Result<()> {
        let plan = if self.traits().is_cpu {
            self.plan_for_cpu(tiles, call)
        } else {
            self.plan_for_gpu(tiles, call)
        };
        let key = self.product_key(call, &plan);
        let mut arguments = Arguments::new();
        for count in
            [call.c.rows, call.c.columns, call.a.columns, plan.block[0], plan.block[1], plan.slice]
        {
            arguments.push(self.int(count)?);
        }
        arguments.push(self.real(call.alpha));
        arguments.push(self.real(call.beta));
        [call.a, call.b, call.c].into_iter().for_each(|span| arguments.push_span(span));
        if let Some(bias) = call.bias {
            arguments.push_vector(bias, bias.row_stride);
        }
        match call.form {
            Form::Plain => {}
            Form::Map { p, out, .. } => {
                self.push_parameters(&mut arguments, p);
                arguments.push_span(out);
            }
            Form::Zip { p, kept, .. } => {
                self.push_parameters(&mut arguments, p);
                arguments.push_span(call.c);
                arguments.push_span(kept);
            }
        }
        if let Some(sums) = call.sums {
            arguments.push_vector(sums, sums.row_stride);
        }
        // SAFETY: the caller's promise.
        unsafe { self.launch(key, plan.groups, plan.tile.items, &arguments) }
    }

    fn product_key(&self, call: &Call, plan: &Plan) -> Key {
        let (form, keeps_c) = match call.form {
            Form::Plain => (0, false),
            Form::Map { keeps_c, .. } => (1, keeps_c),
            Form::Zip { .. } => (2, false),
        };
        let key = self.key(Text::Product, "product", self.width(), plan.tile.items).with(&[
            ("TILES_X", plan.tile.across),
            ("TV", plan.tile.vectors),
            ("TN", plan.tile.columns),
            ("SLICE", plan.tile.slice),
            ("PANELS", plan.panels),
            ("PACK_A", usize::from(plan.panels > 0)),
            ("PACK_B", usize::from(plan.packs_b)),
            ("BIAS", usize::from(call.bias.is_some())),
            ("FORM", form),
            ("KEEP_C", usize::from(keeps_c)),
            ("SUMS", usize::from(call.sums.is_some())),
        ]);
        match call.form {
            Form::Plain => key,
            Form::Map { f, .. } => key.with_function("formula", 1, f.kernel),
            Form::Zip { f, .. } => key.with_function("formula", 2, f.kernel),
        }
    }

    /// Large tiles where there are enough of them for the whole device.
    fn plan_for_gpu(&self, tiles: &Tiles, call: &Call) -> Plan {
        let groups_of = |tile: &Tile| {
            let [rows, columns] = tile.block(self.width());
            [call.c.rows.div_ceil(rows), call.c.columns.div_ceil(columns)]
        };
        let [across, down] = groups_of(&tiles.large);
        let tile = if across * down >= 2 * self.traits().units { tiles.large } else { tiles.small };
        let block = tile.block(self.width());
        Plan { tile, block, groups: groups_of(&tile), slice: tile.slice, panels: 0, packs_b: false }
    }

    fn plan_for_cpu(&self, tiles: &Tiles, call: &Call) -> Plan {
        let (m, n, k) = (call.c.rows, call.c.columns, call.a.columns);
        let usual = if n > 4 * tiles.large.columns { tiles.large } else { tiles.small };
        let tile = even_tile(usual, self.width(), m, n);
        let units = if call.flops() < PARALLEL { 1 } else { self.traits().units };
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
        let most = if panels > 0 || self.packs_b(call) { tile.slice } else { LONG_SLICE };
        Plan {
            tile: Tile { slice: most, ..tile },
            block,
            groups: [m.div_ceil(block[0]), n.div_ceil(block[1])],
            slice: k.div_ceil(k.div_ceil(most)),
            panels,
            packs_b: self.packs_b(call),
        }
    }

    /// Tiles read rows of A that lie side by side. Else a copy is made; it also pays where A is too large for a cache, or falls
    /// on itself there, and there are columns enough to share what it costs.
    fn packs_a(&self, call: &Call) -> bool {
        let (m, n, k) = (call.c.rows, call.c.columns, call.a.columns);
        let large =
            m * k * size_of::<T>() > LARGE || collides::<T>(call.a.column_stride) && k >= PACK_K;
        call.a.row_stride != 1 || n >= PACK_N && large
    }

    /// Tiles read B in any order, but from a few streams that must not fall on one another in the first cache.
    fn packs_b(&self, call: &Call) -> bool {
        let strides = [call.b.row_stride, call.b.column_stride];
        let (near, far) = (strides[0].min(strides[1]), strides[0].max(strides[1]));
        call.c.rows >= PACK_M && call.a.columns >= PACK_K && (near != 1 || collides::<T>(far))
    }

    /// Panels of A that fit into the memory of a group beside a strip of B.
    fn panels_that_fit(&self, tile: &Tile, strip: usize) -> usize {
        let scalar = size_of::<T>();
        let room = self.traits().shared.saturating_sub(strip * tile.slice * scalar);
        (room / (tile.block(self.width())[0] * tile.slice * scalar)).clamp(1, PANELS)
    }
}

/// The tuned tile, narrower or lower where fewer rows or columns are computed in vain.
fn even_tile(usual: Tile, width: usize, m: usize, n: usize) -> Tile {
    let mut best = (f64::INFINITY, usual);
    for vectors in [usual.vectors, 1] {
        for columns in NARROW.into_iter().chain([usual.columns]) {
            let tile = Tile { vectors, columns, ..usual };
            if columns > n || columns > usual.columns {
                continue;
            }
            let tiles = m.div_ceil(vectors * width) * n.div_ceil(columns);
            // Cycles of a step of k: two multiplications or loads each, no fewer than sums take to come round.
            let cycles = (vectors * columns).max(vectors + columns).max(8);
            let cost = (tiles * cycles) as f64;
            if cost < best.0 {
                best = (cost, tile);
            }
        }
    }
    best.1
}

/// Parts by rows and by columns, so that the largest part is as small as can be.
fn split(rows: usize, strips: usize, units: usize, shares: [f64; 2]) -> [usize; 2] {
    let largest = |count: usize, share: f64| count.div_ceil(units) as f64 * share;
    if largest(strips, shares[1]) < largest(rows, shares[0]) {
        [1, units.min(strips)]
    } else {
        let down = units.min(rows);
        [down, units.div_ceil(down).min(strips)]
    }
}

/// Whether rows (or columns) at this distance fall on one another in a CPU's first cache.
fn collides<T>(stride: usize) -> bool {
    (stride * size_of::<T>()).is_multiple_of(4096)
}
