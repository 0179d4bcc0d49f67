//! A fork-join pool of threads for parallel loops.
//!
//! A step of training runs a dozen loops of a few microseconds each, so the hand-over to the workers may take about one. Workers spin for a
//! moment before they sleep, nothing is allocated, and the caller never waits for a worker that has not begun. (rayon allocates when work
//! enters its pool from outside, and wakes sleeping threads for every loop.)
//!
//! # Method
//!
//! 1. The caller stores the loop's body, opens the loop and raises `generation`, which the workers watch.
//! 2. The indices are divided into one range for each thread. A worker counts itself as `inside`, checks that the loop is open, and takes the
//!    indices of its own range, so that it finds in its core's cache what it wrote there in the loop before; then what other ranges have left.
//! 3. The caller takes indices in the same way. Then it closes the loop and waits until no worker is inside; the body can go out of scope.

use std::hint;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// The time that a worker spins before it sleeps. Waking it takes the system 5 to 50 microseconds.
const SPIN_TIME: Duration = Duration::from_micros(100);

/// Iterations in which the caller waits for the workers to leave before it yields its core.
const SPIN_ITERATIONS: u32 = 2000;

/// Spins between two readings of the clock, which takes longer than a spin.
const SPINS_PER_CLOCK: u32 = 64;

/// A wait for workers that is longer than this, and than the caller's own share of the loop, means that the system has taken a worker's core
/// for another program: the caller finishes what others have left, so that it waits for one index at most.
const LONG_WAIT: Duration = Duration::from_micros(100);
/// After such a wait the caller computes alone for this long, then twice as long after each that follows, up to the longest. Otherwise
/// every loop of a few microseconds would wait for a time slice of a few milliseconds.
const ALONE: [Duration; 2] = [Duration::from_millis(2), Duration::from_millis(64)];

/// Elements of a matrix below which a second thread costs more than it saves.
const MIN_PARALLEL_ELEMENTS: usize = 32 * 1024;

/// Parts for each thread, so that threads that finish early take more.
const PARTS_PER_THREAD: usize = 8;

/// A loop body: called with (thread, index).
type Body<'b> = &'b (dyn Fn(usize, usize) + Sync);

pub(super) struct Pool {
    shared: Arc<Shared>,
    workers: Vec<JoinHandle<()>>,
    /// [`FORKS`] when the workers began.
    forks: usize,
    crowding: Crowding,
}

/// Whether other programs use the cores of the workers, as far as waits show it.
#[derive(Default)]
struct Crowding {
    /// Until when the caller computes alone.
    until: Option<Instant>,
    /// How long it did so the last time; shorter after each loop without a long wait.
    pause: Duration,
}

impl Crowding {
    /// Whether the caller computes a loop alone that begins now.
    fn is_on(&mut self, now: impl FnOnce() -> Instant) -> bool {
        let Some(until) = self.until else { return false };
        self.until = Some(until).filter(|until| now() < *until);
        self.until.is_some()
    }

    /// After a loop that ends now; `own`: the time of the caller's share, `waited`: for workers after it.
    fn observe(&mut self, now: Instant, own: Duration, waited: Duration) {
        if waited > LONG_WAIT && waited > own {
            self.pause = (2 * self.pause).clamp(ALONE[0], ALONE[1]);
            self.until = Some(now + self.pause);
        } else {
            self.pause -= self.pause / 64;
        }
    }
}

/// How often this process, or one that it was forked from, was told to be a fork.
static FORKS: AtomicUsize = AtomicUsize::new(0);

/// Pools of this process begin threads anew: those of the process that it was forked from are not here.
pub(super) fn after_fork() {
    FORKS.fetch_add(1, SeqCst);
}

struct Shared {
    /// The body of the current loop; valid while `open`.
    body: std::cell::UnsafeCell<Option<Body<'static>>>,
    /// The number of indices.
    count: AtomicUsize,
    /// For each thread how many indices of its range are taken, or more.
    taken: Box<[Taken]>,
    /// Workers that may be using `body`: each counts itself before it checks `open`, until it has left the loop.
    inside: AtomicUsize,
    open: AtomicBool,
    /// Number of loops begun; workers wait for it to change.
    generation: AtomicUsize,
    sleeping: AtomicUsize,
    panicked: AtomicBool,
    quit: AtomicBool,
}

/// A counter in cache lines of its own, as two are fetched together.
#[repr(align(128))]
struct Taken(AtomicUsize);

// SAFETY: only the caller writes `body` (`run` has `&mut self`), while the loop is closed and no worker is inside. Workers read it only between
// entering an open loop and leaving it.
unsafe impl Sync for Shared {}
// SAFETY: the body is `Sync`, so its reference can be sent; access is ordered as for `Sync`.
unsafe impl Send for Shared {}

impl Pool {
    /// A pool of `threads` threads, the caller's included.
    pub(super) fn new(threads: usize) -> std::io::Result<Pool> {
        let shared = Arc::new(Shared {
            body: std::cell::UnsafeCell::new(None),
            count: AtomicUsize::new(0),
            taken: (0..threads).map(|_| Taken(AtomicUsize::new(0))).collect(),
            inside: AtomicUsize::new(0),
            open: AtomicBool::new(false),
            generation: AtomicUsize::new(0),
            sleeping: AtomicUsize::new(0),
            panicked: AtomicBool::new(false),
            quit: AtomicBool::new(false),
        });
        let workers = Vec::with_capacity(threads.saturating_sub(1));
        let crowding = Crowding::default();
        let mut pool = Pool { shared, workers, forks: FORKS.load(SeqCst), crowding };
        for index in 1..threads {
            let shared = Arc::clone(&pool.shared);
            let name = format!("travertine-{index}");
            pool.workers.push(thread::Builder::new().name(name).spawn(move || shared.work(index))?);
        }
        Ok(pool)
    }

    /// Whether the workers are threads of the process that this one was forked from.
    fn is_of_parent(&self) -> bool {
        self.forks != FORKS.load(SeqCst)
    }

    /// Begins workers in a forked process; without them where the system refuses.
    #[cold]
    fn restart(&mut self) {
        let threads = self.threads();
        let own = Pool::new(threads).or_else(|_| Pool::new(1));
        if let Ok(own) = own {
            // Dropping the old pool does not wait for its workers.
            *self = own;
        }
    }

    pub(super) fn threads(&self) -> usize {
        self.workers.len() + 1
    }

    /// Calls `body` once for every column below `columns` of a matrix of `elements` elements, on several threads if it is large.
    pub(super) fn for_columns(
        &mut self,
        elements: usize,
        columns: usize,
        body: &(dyn Fn(usize) + Sync),
    ) {
        if elements < MIN_PARALLEL_ELEMENTS {
            return (0..columns).for_each(body);
        }
        let parts = columns.min(self.threads() * PARTS_PER_THREAD);
        self.run(parts, &|_, part| {
            (part * columns / parts..(part + 1) * columns / parts).for_each(body)
        });
    }

    /// Calls `body(thread, index)` once for every index below `count`, on any free thread.
    pub(super) fn run(&mut self, count: usize, body: Body<'_>) {
        if self.is_of_parent() {
            self.restart();
        }
        if count <= 1 || self.workers.is_empty() || self.crowding.is_on(Instant::now) {
            (0..count).for_each(|index| body(0, index));
            return;
        }
        let shared = &*self.shared;
        // SAFETY: the loop is closed and no worker is inside. `Closing` restores that before `body` goes out of scope, even if this function
        // panics, so no worker uses the longer lifetime.
        unsafe { *shared.body.get() = Some(std::mem::transmute::<Body<'_>, Body<'static>>(body)) };
        shared.count.store(count, SeqCst);
        shared.taken.iter().for_each(|taken| taken.0.store(0, SeqCst));
        shared.open.store(true, SeqCst);
        shared.generation.fetch_add(1, SeqCst);
        let (closing, begin) = (Closing(shared), Instant::now());
        if shared.sleeping.load(SeqCst) > 0 {
            self.workers.iter().for_each(|worker| worker.thread().unpark());
        }
        shared.take(0, body);
        let own = begin.elapsed();
        drop(closing);
        let now = Instant::now();
        self.crowding.observe(now, own, (now - begin).saturating_sub(own));
        assert!(!shared.panicked.load(SeqCst), "a thread of the cpu engine panicked");
    }
}

/// Closes the loop and waits until no worker is inside.
struct Closing<'s>(&'s Shared);

impl Drop for Closing<'_> {
    fn drop(&mut self) {
        self.0.open.store(false, SeqCst);
        let mut spins = 0;
        while self.0.inside.load(SeqCst) > 0 {
            // With more threads than cores, the worker may need the core of this thread.
            if spins < SPIN_ITERATIONS {
                spins += 1;
                hint::spin_loop();
            } else {
                thread::yield_now();
            }
        }
    }
}

/// Records that a worker has left the loop, also if its body panicked.
struct Leaving<'s>(&'s Shared);

impl Drop for Leaving<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.panicked.store(true, SeqCst);
        }
        self.0.inside.fetch_sub(1, SeqCst);
    }
}

impl Shared {
    /// Takes indices until none is left: those of the thread's own range, then what other threads have left of theirs.
    fn take(&self, thread: usize, body: Body<'_>) {
        let (count, threads) = (self.count.load(SeqCst), self.taken.len());
        let start = |range: usize| range * count / threads;
        for range in (thread..threads).chain(0..thread) {
            let (length, taken) = (start(range + 1) - start(range), &self.taken[range].0);
            // Reading first keeps the many threads that find a range empty from writing to it.
            while taken.load(SeqCst) < length {
                let index = taken.fetch_add(1, SeqCst);
                if index < length {
                    body(thread, start(range) + index);
                }
            }
        }
    }

    /// The main loop of a worker.
    fn work(&self, thread: usize) {
        let mut seen = 0;
        while !self.quit.load(SeqCst) {
            seen = self.wait(seen);
            self.inside.fetch_add(1, SeqCst);
            let _leaving = Leaving(self);
            // A loop that is closed after this check waits until `inside` is 0.
            if self.open.load(SeqCst) {
                // SAFETY: the loop was open after this thread had counted itself inside, so its body lives until the thread leaves.
                if let Some(body) = unsafe { *self.body.get() } {
                    self.take(thread, body);
                }
            }
        }
    }

    /// Waits until a loop after `seen` begins, or the pool is dropped; returns the newest generation.
    fn wait(&self, seen: usize) -> usize {
        let start = Instant::now();
        loop {
            for _ in 0..SPINS_PER_CLOCK {
                let generation = self.generation.load(SeqCst);
                if generation != seen || self.quit.load(SeqCst) {
                    return generation;
                }
                hint::spin_loop();
            }
            if start.elapsed() > SPIN_TIME {
                self.sleeping.fetch_add(1, SeqCst);
                // No wake-up is lost: the caller raises `generation` before it reads `sleeping`, and this thread raises `sleeping` before it reads
                // `generation`.
                while self.generation.load(SeqCst) == seen && !self.quit.load(SeqCst) {
                    thread::park();
                }
                self.sleeping.fetch_sub(1, SeqCst);
            }
        }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        if self.is_of_parent() {
            // These threads are not in this process, so that joining them would wait for ever.
            self.workers.drain(..).for_each(std::mem::forget);
            return;
        }
        self.shared.quit.store(true, SeqCst);
        for worker in self.workers.drain(..) {
            worker.thread().unpark();
            // `run` has reported a panic of the worker.
            let _ = worker.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_index_once() {
        for threads in [1, 2, 4, 9] {
            let mut pool = Pool::new(threads).unwrap();
            for count in [0, 1, 2, 3, 100, 1000] {
                for _ in 0..50 {
                    let seen: Vec<AtomicUsize> = (0..count).map(|_| AtomicUsize::new(0)).collect();
                    pool.run(count, &|thread, index| {
                        assert!(thread < threads);
                        seen[index].fetch_add(1, SeqCst);
                    });
                    assert!(seen.iter().all(|n| n.load(SeqCst) == 1));
                }
            }
        }
    }

    #[test]
    fn sleeping_workers_wake() {
        let mut pool = Pool::new(3).unwrap();
        for _ in 0..5 {
            thread::sleep(Duration::from_millis(2));
            let sum = AtomicUsize::new(0);
            pool.run(100, &|_, index| {
                sum.fetch_add(index, SeqCst);
            });
            assert_eq!(sum.load(SeqCst), 4950);
        }
    }

    /// What a forked process finds: workers that never answer. Here they are there, and what counts is that new ones compute.
    #[test]
    fn workers_begin_anew_after_a_fork() {
        let mut pool = Pool::new(3).unwrap();
        let before: Vec<_> = pool.workers.iter().map(|worker| worker.thread().id()).collect();
        after_fork();
        let sum = AtomicUsize::new(0);
        pool.run(100, &|_, index| {
            sum.fetch_add(index, SeqCst);
        });
        assert_eq!(sum.load(SeqCst), 4950);
        assert_eq!(pool.threads(), 3);
        assert!(pool.workers.iter().all(|worker| !before.contains(&worker.thread().id())));
    }

    #[test]
    fn a_worker_without_a_core_is_not_waited_for_again() {
        let (mut crowding, now) = (Crowding::default(), Instant::now());
        let [micro, milli] = [Duration::from_micros(1), Duration::from_millis(1)];
        // Loops that are divided well, and a long loop whose last part takes a while.
        crowding.observe(now, 10 * micro, 2 * micro);
        crowding.observe(now, 10 * milli, milli);
        assert!(!crowding.is_on(|| now));
        crowding.observe(now, 10 * micro, 3 * milli);
        assert!(crowding.is_on(|| now) && crowding.is_on(|| now + ALONE[0] - micro));
        crowding.observe(now, 10 * micro, 3 * milli);
        assert!(crowding.is_on(|| now + ALONE[0]) && !crowding.is_on(|| now + 2 * ALONE[0]));
        (0..100).for_each(|_| crowding.observe(now, 10 * micro, 3 * milli));
        assert!(!crowding.is_on(|| now + ALONE[1]), "it never ends");
        (0..10_000).for_each(|_| crowding.observe(now, 10 * micro, micro));
        crowding.observe(now, 10 * micro, 3 * milli);
        assert!(!crowding.is_on(|| now + ALONE[0]), "it is not forgotten");
    }

    #[test]
    fn a_panic_reaches_the_caller() {
        let mut pool = Pool::new(2).unwrap();
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            pool.run(64, &|_, _| panic!("on purpose"));
        }));
        assert!(result.is_err());
    }
}
