//! What the next mini-batch is made of, asked of memory while this one is computed: its samples lie where no hardware
//! prefetcher looks.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use super::memory::LINE;
use super::vector::prefetch;

/// Lines that are asked for at a time: as many as leave room for what the computation itself waits for.
const LINES: usize = 16;
/// Samples that are remembered.
const MOST: usize = 64;
/// Bytes of a sample from which on asking pays.
const LEAST: usize = 512;
/// Bytes of all samples that stay in the second cache until they are gathered.
const ROOM: usize = 256 << 10;

/// Columns that will be gathered next. Their addresses are only asked for, never read: they may be of memory that is gone.
pub(super) struct Ahead {
    columns: [usize; MOST],
    /// Pieces of [`LINES`] lines in a column.
    pieces: usize,
    /// Pieces of all columns.
    all: usize,
    /// The first piece that nobody has asked for yet.
    next: AtomicUsize,
}

impl Ahead {
    pub(super) fn new() -> Ahead {
        Ahead { columns: [0; MOST], pieces: 1, all: 0, next: AtomicUsize::new(0) }
    }

    /// Remembers columns of so many bytes. Short ones, such as targets, do not replace what is remembered.
    pub(super) fn remember(&mut self, columns: impl Iterator<Item = usize>, bytes: usize) {
        if bytes < LEAST {
            return;
        }
        let mut count = 0;
        for (place, column) in self.columns.iter_mut().zip(columns) {
            *place = column;
            count += 1;
        }
        self.pieces = bytes.div_ceil(LINES * LINE);
        self.all = if count * bytes <= ROOM { count * self.pieces } else { 0 };
        self.next = AtomicUsize::new(0);
    }

    /// Asks for the next piece.
    #[inline]
    pub(super) fn ask(&self) {
        if self.next.load(Relaxed) >= self.all {
            return;
        }
        let piece = self.next.fetch_add(1, Relaxed);
        if piece < self.all {
            let from = self.columns[piece / self.pieces] + piece % self.pieces * (LINES * LINE);
            (0..LINES).for_each(|line| prefetch((from + line * LINE) as *const u8));
        }
    }
}
