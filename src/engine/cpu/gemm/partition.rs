//! How a block is divided: C among threads, panels of A into groups.

use super::thresholds::BLOCK_PANELS;
use crate::engine::cpu::memory::LINE_BYTES;

/// Strips for each thread from which on C is divided by columns: the parts are then nearly equal, and share the cost of packing A.
const MIN_STRIPS_PER_THREAD: usize = 8;
/// Panels of a distant A that are multiplied together: longer runs of each column of A, which memory delivers faster.
pub(super) const PANELS_TOGETHER: usize = 2;
/// Columns from which on more panels of an A that was packed before are multiplied together: B is then fetched less often from
/// the L3 cache, and C is written in longer runs.
pub(super) const MIN_COLUMNS_FOR_PANEL_GROUPS: usize = 512;

/// Items divided into parts whose sizes differ by at most one.
pub(super) struct Split {
    items: usize,
    pub parts: usize,
}

impl Split {
    pub fn new(items: usize, parts: usize) -> Split {
        Split { items, parts: parts.clamp(1, items) }
    }

    /// The first item of a part, and the first behind it.
    pub fn part(&self, index: usize) -> (usize, usize) {
        (index * self.items / self.parts, (index + 1) * self.items / self.parts)
    }
}

/// The tiles of a block, and whether threads pack A.
pub(super) struct Tiling {
    /// Rows of C, and of a tile.
    pub m: usize,
    pub height: usize,
    /// Columns of C, and of a tile.
    pub n: usize,
    pub width: usize,
    pub packs_a: bool,
}

impl Tiling {
    /// The parts of C for `threads` threads, in panels and in strips.
    ///
    /// C is divided along its longer side: threads then share the smaller operand, and seldom write to the same cache lines. (That this is
    /// faster was measured, why is read from the code.) Where C has too few columns for that, there are as many panels as fit into a
    /// packed block or, if A is read in place, the side that divides more evenly is divided.
    pub fn split(&self, threads: usize) -> (Split, Split) {
        let (panels, strips) = (self.m.div_ceil(self.height), self.n.div_ceil(self.width));
        let blocks = if self.packs_a { panels.div_ceil(BLOCK_PANELS) } else { 1 };
        if threads > 1 && self.n >= self.m && strips >= threads * MIN_STRIPS_PER_THREAD {
            return (Split::new(panels, blocks), Split::new(strips, threads));
        }
        let largest_part = |tiles: usize, size: usize, all: usize| {
            (tiles.div_ceil(threads) * size) as f64 / all as f64
        };
        let by_columns = largest_part(strips, self.width, self.n);
        if !self.packs_a && by_columns < largest_part(panels, self.height, self.m) {
            let columns = Split::new(strips, threads);
            return (Split::new(panels, threads.div_ceil(columns.parts)), columns);
        }
        // A packed part has to fit into its block; an A that is read in place is best read from start to end.
        let rows = Split::new(panels, blocks.next_multiple_of(threads));
        let columns = Split::new(strips, threads.div_ceil(rows.parts));
        (rows, columns)
    }
}

/// Panels of an A that this call does not pack: read in place, or packed before.
pub(super) struct Panels<T> {
    /// Element (0, 0) of the first panel.
    pub p: *const T,
    /// Distance between panels, in elements.
    pub panel: usize,
    /// Distance between columns, in elements.
    pub column: usize,
    /// Panels that all strips of B are multiplied with before the next ones.
    pub together: usize,
}

impl<T> Panels<T> {
    pub fn at(&self, panel: usize) -> *const T {
        self.p.wrapping_add(panel * self.panel)
    }

    /// What tile number `tile` of a group of panels prefetches of the next group, one cache line for each step of k: the distance of the first
    /// line from the start of that group, and the step, in elements. The group has `strips` strips; a panel has `height` rows and k
    /// columns.
    pub fn prefetch(
        &self,
        tile: usize,
        strips: usize,
        (height, k): (usize, usize),
    ) -> (usize, usize) {
        let is_packed = self.column == height;
        if is_packed && self.together > 1 {
            // Each group is multiplied for so long that waiting for the next one does not count.
            return (0, 0);
        }
        if is_packed {
            // A contiguous panel: every tile prefetches its share, so that memory has the time of all of them.
            let step = height.div_ceil(strips);
            return (tile * step * k, step);
        }
        // No hardware prefetcher foresees two cache lines of each column. The first tiles prefetch a line of each; the others have
        // nothing left to prefetch.
        let line = tile * LINE_BYTES / size_of::<T>();
        if line < self.together * height { (line, self.column) } else { (0, 0) }
    }
}
