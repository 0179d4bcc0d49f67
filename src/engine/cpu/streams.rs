//! Threads and packing buffers, and which call uses which.
//!
//! # Method
//!
//! One stream has the pool of threads. A call takes it if it is free. If it is busy, a short call takes one of the spare streams, which have no
//! threads besides the caller's, and a long call waits for its turn: waiting for all threads beats computing on one. So a short call never waits
//! for a long one. The choice does not change a bit, since results do not depend on the number of threads or the size of blocks.

use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};

use super::cpuid::Cpu;
use super::gemm::Gemm;
use super::pool::Pool;
use crate::engine::simd::Isa;
use crate::scalar::Scalar;

/// Floating-point operations up to which a product is short: one or two milliseconds on one core.
const SHORT_MAX_FLOPS: f64 = 1e8;
/// Elements up to which a loop over a matrix is short: about a millisecond on one core.
const SHORT_MAX_ELEMENTS: usize = 1 << 20;

/// Threads and packing buffers for one call at a time.
pub(super) struct Stream<T> {
    pub pool: Pool,
    pub gemm: Gemm<T>,
}

impl<T: Scalar> Stream<T> {
    fn with_pool(isa: Isa, cpu: Cpu, threads: usize) -> io::Result<Stream<T>> {
        Ok(Stream { pool: Pool::new(threads)?, gemm: Gemm::new(isa, cpu, threads) })
    }

    fn spare(isa: Isa, cpu: Cpu) -> io::Result<Stream<T>> {
        Ok(Stream { pool: Pool::new(1)?, gemm: Gemm::with_small_blocks(isa, cpu) })
    }
}

/// The streams of an engine.
pub(super) struct Streams<T> {
    pooled: Mutex<Stream<T>>,
    spares: Box<[Mutex<Stream<T>>]>,
}

impl<T: Scalar> Streams<T> {
    /// A stream with a pool of `threads` threads, the caller's included, and `spares` spare streams.
    pub(super) fn new(isa: Isa, cpu: Cpu, threads: usize, spares: usize) -> io::Result<Streams<T>> {
        let spares = (0..spares).map(|_| Stream::spare(isa, cpu).map(Mutex::new));
        Ok(Streams {
            pooled: Mutex::new(Stream::with_pool(isa, cpu, threads)?),
            spares: spares.collect::<io::Result<_>>()?,
        })
    }

    /// A stream for a product of so many floating-point operations.
    pub(super) fn for_product(&self, flops: f64) -> MutexGuard<'_, Stream<T>> {
        self.for_call(flops <= SHORT_MAX_FLOPS)
    }

    /// A stream for a loop over so many elements.
    pub(super) fn for_loop(&self, elements: usize) -> MutexGuard<'_, Stream<T>> {
        self.for_call(elements <= SHORT_MAX_ELEMENTS)
    }

    fn for_call(&self, is_short: bool) -> MutexGuard<'_, Stream<T>> {
        if let Some(stream) = self.pooled_if_free() {
            return stream;
        }
        let spare = if is_short { self.spares.iter().find_map(try_lock) } else { None };
        spare.unwrap_or_else(|| self.pooled())
    }

    /// The stream with the pool; waits for it.
    pub(super) fn pooled(&self) -> MutexGuard<'_, Stream<T>> {
        // A thread that panicked has lost its own call. Pool and buffers hold nothing from call to call.
        self.pooled.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The stream with the pool, if no call uses it.
    pub(super) fn pooled_if_free(&self) -> Option<MutexGuard<'_, Stream<T>>> {
        try_lock(&self.pooled)
    }
}

fn try_lock<S>(stream: &Mutex<S>) -> Option<MutexGuard<'_, S>> {
    match stream.try_lock() {
        Ok(stream) => Some(stream),
        Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
        Err(TryLockError::WouldBlock) => None,
    }
}
