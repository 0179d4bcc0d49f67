//! The state of the CPU engine.

use super::columns::ColumnLoops;
use super::cpuid::Cpu;
use super::gemm::Product;
use super::pool::Pool;
use super::streams::{Stream, Streams};
use crate::engine::device::Device;
use crate::engine::memory::Span;
use crate::engine::simd::Isa;
use crate::error::{Error, Result};
use crate::scalar::Scalar;

/// More threads than any machine has cores.
pub(super) const MAX_THREADS: usize = 1024;
/// The largest number of spare streams.
const MAX_SPARE_STREAMS: usize = 64;

/// The CPU as an engine.
pub(super) struct CpuEngine<T: Scalar> {
    pub device: Device,
    pub isa: Isa,
    pub cpu: Cpu,
    pub columns: ColumnLoops<T>,
    pub streams: Streams<T>,
}

impl<T: Scalar> CpuEngine<T> {
    /// An engine that uses one instruction set, which the processor must have, and plans for the given processor.
    pub(super) fn new(isa: Isa, cpu: Cpu, threads: Option<usize>) -> Result<CpuEngine<T>> {
        let threads = threads.unwrap_or_else(cores);
        if !(1..=MAX_THREADS).contains(&threads) {
            let reason = format!("threads must be from 1 to {MAX_THREADS}, not {threads}");
            return Err(Error::argument("open cpu", reason));
        }
        // More calls than cores cannot run at once.
        let spares = cores().min(MAX_SPARE_STREAMS);
        let streams = Streams::new(isa, cpu, threads, spares)
            .map_err(|source| Error::io("start threads in", "cpu".as_ref(), source))?;
        let device = device(isa, threads);
        Ok(CpuEngine { device, isa, cpu, columns: ColumnLoops::new(isa), streams })
    }

    /// # Safety
    /// As [`super::gemm::Gemm::run`].
    pub(super) unsafe fn multiply(&self, product: Product<T>) {
        let Stream { pool, gemm } = &mut *self.streams.for_product(product.flops());
        // SAFETY: the caller's promise.
        unsafe { gemm.run(pool, product) }
    }

    /// Calls `f` with the threads for a loop over a matrix of this shape.
    pub(super) fn with_pool<R>(&self, span: Span, f: impl FnOnce(&mut Pool) -> R) -> R {
        f(&mut self.streams.for_loop(span.rows * span.columns).pool)
    }

    /// Calls `body` for `count` columns (or blocks of rows) of a matrix of this shape, on several threads if the matrix is large.
    pub(super) fn for_columns(&self, span: Span, count: usize, body: &(dyn Fn(usize) + Sync)) {
        self.for_work(span.rows * span.columns, count, body);
    }

    /// Calls `body` for `count` parts of a loop that takes as long as simple arithmetic on so many elements.
    pub(super) fn for_work(&self, elements: usize, count: usize, body: &(dyn Fn(usize) + Sync)) {
        self.streams.for_loop(elements).pool.for_columns(elements, count, body);
    }
}

/// Cores that this process may use.
pub(super) fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from).min(MAX_THREADS)
}

/// The CPU with a number of threads.
pub(super) fn device(isa: Isa, threads: usize) -> Device {
    let unit = if threads == 1 { "thread" } else { "threads" };
    Device {
        name: "cpu".to_owned(),
        description: format!("{} ({}), {threads} {unit}", std::env::consts::ARCH, isa.name()),
        threads: Some(threads),
        memory: super::memory::total(),
        fp64: true,
        ..Device::default()
    }
}
