//! Threads that wait for the next parallel loop.
//!
//! A training step runs a dozen loops of a few microseconds, so the hand-over must cost about one: workers spin for a
//! moment before they sleep, nothing is allocated, and the caller never waits for a worker that has not begun.

use std::hint;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// How long a worker spins before it sleeps; waking it then takes the system some 5 to 50 microseconds.
const SPIN: Duration = Duration::from_micros(100);

/// How many times the caller looks whether the workers have left before it lets others have its core.
const PATIENCE: u32 = 2000;

/// A loop body: called with (thread, index).
type Body<'b> = &'b (dyn Fn(usize, usize) + Sync);

pub(super) struct Pool {
    shared: Arc<Shared>,
    workers: Vec<JoinHandle<()>>,
}

struct Shared {
    /// The loop at hand; meaningful while `open`.
    body: std::cell::UnsafeCell<Option<Body<'static>>>,
    count: AtomicUsize,
    /// For every thread, whether the index of its own number is taken.
    own: Box<[AtomicBool]>,
    /// The next of the other indices.
    next: AtomicUsize,
    /// Workers between looking whether a loop is open and having left it.
    inside: AtomicUsize,
    open: AtomicBool,
    /// Loops begun so far; workers wait for it to change.
    generation: AtomicUsize,
    sleeping: AtomicUsize,
    panicked: AtomicBool,
    quit: AtomicBool,
}

// SAFETY: `body` is written only by the one caller (`run` takes `&mut self`) while the loop is closed and nobody is
// inside, and read by workers only between entering and leaving an open loop.
unsafe impl Sync for Shared {}
// SAFETY: as above; what it refers to is Sync.
unsafe impl Send for Shared {}

impl Pool {
    /// A pool of `threads` threads, the calling one included.
    pub(super) fn new(threads: usize) -> std::io::Result<Pool> {
        let shared = Arc::new(Shared {
            body: std::cell::UnsafeCell::new(None),
            count: AtomicUsize::new(0),
            own: (0..threads).map(|_| AtomicBool::new(false)).collect(),
            next: AtomicUsize::new(0),
            inside: AtomicUsize::new(0),
            open: AtomicBool::new(false),
            generation: AtomicUsize::new(0),
            sleeping: AtomicUsize::new(0),
            panicked: AtomicBool::new(false),
            quit: AtomicBool::new(false),
        });
        let mut pool = Pool { shared, workers: Vec::with_capacity(threads.saturating_sub(1)) };
        for index in 1..threads {
            let shared = Arc::clone(&pool.shared);
            let name = format!("travertine-{index}");
            pool.workers.push(thread::Builder::new().name(name).spawn(move || shared.work(index))?);
        }
        Ok(pool)
    }

    pub(super) fn threads(&self) -> usize {
        self.workers.len() + 1
    }

    /// Calls `body(thread, index)` for every index below `count`, each once, on whatever thread is free.
    pub(super) fn run(&mut self, count: usize, body: Body<'_>) {
        if count <= 1 || self.workers.is_empty() {
            (0..count).for_each(|index| body(0, index));
            return;
        }
        let shared = &*self.shared;
        // SAFETY: the loop is closed and nobody is inside; `Closing` keeps it so again before `body` goes out of scope,
        // however this function is left.
        unsafe { *shared.body.get() = Some(std::mem::transmute::<Body<'_>, Body<'static>>(body)) };
        shared.count.store(count, SeqCst);
        shared.own.iter().for_each(|taken| taken.store(false, SeqCst));
        shared.next.store(shared.own.len(), SeqCst);
        shared.open.store(true, SeqCst);
        shared.generation.fetch_add(1, SeqCst);
        let closing = Closing(shared);
        if shared.sleeping.load(SeqCst) > 0 {
            self.workers.iter().for_each(|worker| worker.thread().unpark());
        }
        shared.take(0, body);
        drop(closing);
        assert!(!shared.panicked.load(SeqCst), "a thread of the cpu engine panicked");
    }
}

/// Closes the loop and waits until no worker is inside any more.
struct Closing<'s>(&'s Shared);

impl Drop for Closing<'_> {
    fn drop(&mut self) {
        self.0.open.store(false, SeqCst);
        let mut spins = 0;
        while self.0.inside.load(SeqCst) > 0 {
            // Where there are more threads than cores, the one waited for may need this one's.
            if spins < PATIENCE {
                spins += 1;
                hint::spin_loop();
            } else {
                thread::yield_now();
            }
        }
    }
}

/// Tells the caller that a worker has left, even one that left by a panic.
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
    /// Takes indices until none is left: first the thread's own number, so that a loop that is repeated finds its data in
    /// the cache of the same core; in the end those of threads that have not come.
    fn take(&self, thread: usize, body: Body<'_>) {
        let count = self.count.load(SeqCst);
        let take_own = |index: usize| {
            if index < count && !self.own[index].swap(true, SeqCst) {
                body(thread, index);
            }
        };
        take_own(thread);
        loop {
            let index = self.next.fetch_add(1, SeqCst);
            if index >= count {
                break;
            }
            body(thread, index);
        }
        (0..self.own.len()).for_each(take_own);
    }

    /// A worker's life.
    fn work(&self, thread: usize) {
        let mut seen = 0;
        while !self.quit.load(SeqCst) {
            seen = self.wait(seen);
            self.inside.fetch_add(1, SeqCst);
            let _leaving = Leaving(self);
            // A loop that closes after this look waits for `inside` to fall to 0.
            if self.open.load(SeqCst) {
                // SAFETY: the loop was open after this thread had entered, so its body lives until this thread leaves.
                if let Some(body) = unsafe { *self.body.get() } {
                    self.take(thread, body);
                }
            }
        }
    }

    /// Waits until a loop newer than `seen` begins, or the pool quits.
    fn wait(&self, seen: usize) -> usize {
        let start = Instant::now();
        loop {
            for _ in 0..64 {
                let generation = self.generation.load(SeqCst);
                if generation != seen || self.quit.load(SeqCst) {
                    return generation;
                }
                hint::spin_loop();
            }
            if start.elapsed() > SPIN {
                self.sleeping.fetch_add(1, SeqCst);
                // The caller raises `generation` before it looks at `sleeping`, this thread the other way round.
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
        self.shared.quit.store(true, SeqCst);
        for worker in self.workers.drain(..) {
            worker.thread().unpark();
            // A worker's panic has been reported by `run`.
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

    #[test]
    fn a_panic_reaches_the_caller() {
        let mut pool = Pool::new(2).unwrap();
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            pool.run(64, &|_, _| panic!("on purpose"));
        }));
        assert!(result.is_err());
    }
}
