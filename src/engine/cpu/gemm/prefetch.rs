//! The samples of the next mini-batch, prefetched while the current one is computed.
//!
//! Samples in random order are at addresses that no hardware prefetcher foresees: copying them took a fifth of a step of 784-30-10.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use crate::engine::cpu::memory::LINE_BYTES;
use crate::engine::simd::prefetch_l2;

/// Bytes that are prefetched at a time: few enough that the memory accesses of the computation itself do not wait.
const PREFETCH_BYTES: usize = 16 * LINE_BYTES;
/// The largest number of samples that are prefetched.
const MAX_SAMPLES: usize = 64;
/// Bytes of a sample from which on prefetching pays.
const MIN_SAMPLE_BYTES: usize = 512;
/// Bytes of all samples that stay in the L2 cache until they are gathered.
const MAX_BATCH_BYTES: usize = 256 << 10;

/// The columns that will be gathered next. Their addresses are prefetched but never read, so their memory may have been freed.
pub(super) struct BatchPrefetch {
    columns: [usize; MAX_SAMPLES],
    /// Pieces of [`PREFETCH_BYTES`] in a column.
    pieces_per_column: usize,
    /// Pieces in all columns.
    pieces: usize,
    /// The first piece that has not been prefetched.
    next: AtomicUsize,
}

impl BatchPrefetch {
    pub fn new() -> BatchPrefetch {
        BatchPrefetch {
            columns: [0; MAX_SAMPLES],
            pieces_per_column: 1,
            pieces: 0,
            next: AtomicUsize::new(0),
        }
    }

    /// Replaces the columns, each of `bytes` bytes. Short columns, such as targets, are ignored and do not replace others.
    pub fn set_columns(&mut self, columns: impl Iterator<Item = usize>, bytes: usize) {
        if bytes < MIN_SAMPLE_BYTES {
            return;
        }
        let mut count = 0;
        for (place, column) in self.columns.iter_mut().zip(columns) {
            *place = column;
            count += 1;
        }
        self.pieces_per_column = bytes.div_ceil(PREFETCH_BYTES);
        let fits = count * bytes <= MAX_BATCH_BYTES;
        self.pieces = if fits { count * self.pieces_per_column } else { 0 };
        self.next = AtomicUsize::new(0);
    }

    /// Prefetches the next piece, if there is one.
    #[inline]
    pub fn advance(&self) {
        if self.next.load(Relaxed) >= self.pieces {
            return;
        }
        let piece = self.next.fetch_add(1, Relaxed);
        if piece < self.pieces {
            let (column, piece) = (piece / self.pieces_per_column, piece % self.pieces_per_column);
            let start = self.columns[column] + piece * PREFETCH_BYTES;
            for line in (start..start + PREFETCH_BYTES).step_by(LINE_BYTES) {
                prefetch_l2(line as *const u8);
            }
        }
    }
}
