//! Work on the parts of a file on all cores, with the results in their order.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::sync_channel;
use std::thread;

use crate::Result;
use crate::data::Column;
use crate::data::frame::FrameRows;

/// Samples from which on a second thread pays.
const SAMPLES_PER_THREAD: usize = 20_000;

/// Calls `work` for each part on all cores, and `take` with the results in the order of the parts, on this thread. Few results wait for
/// others at a time.
pub(in crate::data) fn in_order<P: Sync, R: Send>(
    parts: &[P],
    work: impl Fn(&P) -> Result<R> + Sync,
    mut take: impl FnMut(usize, R) -> Result<()>,
) -> Result<()> {
    let threads = thread::available_parallelism().map_or(1, usize::from).min(parts.len());
    if threads < 2 {
        return (0..).zip(parts).try_for_each(|(i, part)| take(i, work(part)?));
    }
    let next = AtomicUsize::new(0);
    thread::scope(|scope| {
        let (give, results) = sync_channel(threads);
        for _ in 0..threads {
            let (give, next, work) = (give.clone(), &next, &work);
            scope.spawn(move || {
                while let Some((i, part)) = {
                    let i = next.fetch_add(1, Ordering::Relaxed);
                    parts.get(i).map(|part| (i, part))
                } {
                    // The receiver is gone once an earlier part has failed.
                    if give.send((i, work(part))).is_err() {
                        return;
                    }
                }
            });
        }
        drop(give);
        let (mut waiting, mut due) = (BTreeMap::new(), 0);
        for (i, result) in results {
            waiting.insert(i, result);
            while let Some(result) = waiting.remove(&due) {
                take(due, result?)?;
                due += 1;
            }
        }
        Ok(())
    })
}

/// Calls `work` on all cores with parts of `items`, of which there is one for each column of these rows, and their columns.
pub(in crate::data) fn on_all_cores<A: Send>(
    items: &mut [A],
    rows: FrameRows<'_>,
    work: impl Fn(&mut [A], &[Column]) + Sync,
) {
    let columns = &rows.frame.columns;
    let threads = thread::available_parallelism().map_or(1, usize::from);
    if rows.samples() < SAMPLES_PER_THREAD || threads == 1 || columns.is_empty() {
        return work(items, columns);
    }
    let share = columns.len().div_ceil(threads);
    thread::scope(|scope| {
        for (items, columns) in items.chunks_mut(share).zip(columns.chunks(share)) {
            scope.spawn(|| work(items, columns));
        }
    });
}
