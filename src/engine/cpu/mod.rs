//! The host engine: matrix products, fused loops, threads.

use std::alloc::dealloc;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use self::columns::ColumnLoops;
use self::dense::product;
use self::elements::{Elements, for_columns};
use self::gemm::{Gemm, Product, Strided};
use self::machine::Machine;
use self::pool::Pool;
use self::vector::Isa;
use super::*;

mod ahead;
mod block;
mod columns;
mod dense;
mod dots;
mod elements;
mod few;
mod gemm;
mod machine;
pub(crate) mod math;
mod memory;
mod normalize;
mod pack;
mod peak;
mod pool;
mod random;
mod tile;
pub(crate) mod vector;

/// Allocations from this size on are held against the memory that the machine has left.
const LARGE: usize = 64 << 20;
/// More threads than any machine has cores.
const MOST_THREADS: usize = 1024;

/// The CPU as an engine.
struct Cpu<T: Scalar> {
    device: Device,
    isa: Isa,
    machine: Machine,
    columns: ColumnLoops<T>,
    /// Threads and scratch memory: calls take turns.
    stream: Mutex<Stream<T>>,
}

struct Stream<T> {
    pool: Pool,
    gemm: Gemm<T>,
}

pub(super) fn probe() -> Vec<Device> {
    vec![device(Isa::best(), cores())]
}

pub(super) fn open<T: Scalar>(device: &str, settings: &Settings) -> Result<Arc<dyn Engine<T>>> {
    if !device.is_empty() {
        return Err(unavailable(
            &format!("cpu:{device}"),
            "there is one cpu",
            "write cpu, and give a number of threads",
        ));
    }
    open_isa(Isa::best(), Machine::at_hand(Isa::best()), settings)
}

/// An engine that is held to one instruction set, which the processor must have, and computes as suits such a machine.
fn open_isa<T: Scalar>(
    isa: Isa,
    machine: Machine,
    settings: &Settings,
) -> Result<Arc<dyn Engine<T>>> {
    let threads = settings.threads.unwrap_or_else(cores);
    if !(1..=MOST_THREADS).contains(&threads) {
        return Err(Error::argument(
            "open cpu",
            format!("threads must be from 1 to {MOST_THREADS}, not {threads}"),
        ));
    }
    let pool = Pool::new(threads)
        .map_err(|source| Error::io("start threads in", "cpu".as_ref(), source))?;
    let gemm = Gemm::new(isa, machine, threads);
    let stream = Mutex::new(Stream { pool, gemm });
    Ok(Arc::new(Cpu {
        device: self::device(isa, threads),
        isa,
        machine,
        columns: ColumnLoops::new(isa),
        stream,
    }))
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from).min(MOST_THREADS)
}

fn device(isa: Isa, threads: usize) -> Device {
    let unit = if threads == 1 { "thread" } else { "threads" };
    Device {
        name: "cpu".to_owned(),
        description: format!("{} ({}), {threads} {unit}", std::env::consts::ARCH, isa.name()),
        threads: Some(threads),
        memory: memory_line("MemTotal:"),
        fp64: true,
        ..Device::default()
    }
}

/// Bytes that programs can still get.
pub(super) fn available_memory() -> Option<u64> {
    memory_line("MemAvailable:")
}

/// A line of the system's account of its memory, in bytes.
fn memory_line(key: &str) -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find(|line| line.starts_with(key))?;
    line.split_whitespace().nth(1)?.parse::<u64>().ok()?.checked_mul(1024)
}

impl<T: Scalar> Cpu<T> {
    /// A thread that panicked has lost its own call, not the scratch memory.
    fn stream(&self) -> MutexGuard<'_, Stream<T>> {
        self.stream.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn elements<'s>(&self, stream: &'s mut Stream<T>) -> Elements<'s> {
        Elements { pool: &mut stream.pool }
    }
}

impl<T> Stream<T> {
    /// The threads, if work on this matrix is worth their hand-over.
    fn pool_for(&mut self, span: Span) -> Option<&mut Pool> {
        (span.rows * span.columns >= elements::PARALLEL).then_some(&mut self.pool)
    }
}

/// The first element of column j.
fn at<T>(span: Span, j: usize) -> *const T {
    at_mut::<T>(span, j).cast_const()
}

fn at_mut<T>(span: Span, j: usize) -> *mut T {
    span.handle.0.cast::<T>().wrapping_add(span.offset + j * span.column_stride)
}

fn strided<T>(span: Span) -> Strided<*const T> {
    Strided { p: at(span, 0), row: span.row_stride, column: span.column_stride }
}

fn strided_mut<T>(span: Span) -> Strided<*mut T> {
    Strided { p: at_mut(span, 0), row: span.row_stride, column: span.column_stride }
}

#[allow(
    clippy::undocumented_unsafe_blocks,
    reason = "every block does what the trait's method promises with what its caller promises"
)]
impl<T: Scalar> Engine<T> for Cpu<T> {
    fn device(&self) -> &Device {
        &self.device
    }

    fn allocate(&self, bytes: usize) -> Result<Handle> {
        let available = if bytes >= LARGE { available_memory() } else { None };
        let fits = available.is_none_or(|available| bytes as u64 <= available);
        let memory = match memory::layout(bytes) {
            Some(layout) if fits => memory::allocate(layout),
            _ => std::ptr::null_mut(),
        };
        if memory.is_null() {
            return Err(ErrorKind::Memory {
                engine: "cpu".to_owned(),
                asked: bytes as u64,
                available,
            }
            .into());
        }
        unsafe { memory.write_bytes(0, bytes) };
        Ok(Handle(memory.cast()))
    }

    unsafe fn free(&self, handle: Handle, bytes: usize) {
        if let Some(layout) = memory::layout(bytes) {
            unsafe { dealloc(handle.0.cast(), layout) }
        }
    }

    fn borrow_host(&self, memory: *const T) -> Option<Handle> {
        Some(Handle(memory.cast_mut().cast()))
    }

    unsafe fn write(&self, from: &[T], to: Span) -> Result<()> {
        let from = Span {
            handle: Handle(from.as_ptr().cast_mut().cast()),
            offset: 0,
            row_stride: 1,
            column_stride: to.rows,
            ..to
        };
        unsafe { elements::copy::<T>(from, to) };
        Ok(())
    }

    unsafe fn read(&self, from: Span, to: &mut [T]) -> Result<()> {
        let to = Span {
            handle: Handle(to.as_mut_ptr().cast()),
            offset: 0,
            row_stride: 1,
            column_stride: from.rows,
            ..from
        };
        unsafe { elements::copy::<T>(from, to) };
        Ok(())
    }

    unsafe fn write_indices(&self, from: &[u32], to: Handle) -> Result<()> {
        unsafe { std::ptr::copy_nonoverlapping(from.as_ptr(), to.0.cast(), from.len()) };
        Ok(())
    }

    fn synchronize(&self) -> Result<()> {
        Ok(())
    }

    fn peak_flops(&self) -> Option<f64> {
        Some(peak::flops::<T>(self.isa, &mut self.stream().pool))
    }

    unsafe fn map(&self, f: &'static Map, p: [f64; 4], x: Span, y: Span) -> Result<()> {
        let p = p.map(T::from_f64);
        unsafe { self.elements(&mut self.stream()).map(f.host::<T>(self.isa), &p, x, y) };
        Ok(())
    }

    unsafe fn zip(&self, f: &'static Zip, p: [f64; 4], x: Span, y: Span, z: Span) -> Result<()> {
        let p = p.map(T::from_f64);
        unsafe { self.elements(&mut self.stream()).zip(f.host::<T>(self.isa), &p, x, y, z) };
        Ok(())
    }

    unsafe fn uniform(&self, stream: &Philox, to: Span) -> Result<()> {
        if to.row_stride == 1 {
            let numbers = self::random::uniform::<T>(self.isa);
            for_columns(self.stream().pool_for(to), to.columns, &|j| {
                // A column is written by one thread.
                unsafe { numbers(stream, (j * to.rows) as u64, (at_mut(to, j), to.rows)) };
            });
            return Ok(());
        }
        for j in 0..to.columns {
            for i in 0..to.rows {
                let unit = stream.uniform((i + j * to.rows) as u64);
                unsafe { *at_mut::<T>(to, j).add(i * to.row_stride) = T::from_f64(unit) };
            }
        }
        Ok(())
    }

    fn packed_shape(&self, outputs: usize, inputs: usize) -> Option<[usize; 2]> {
        self.stream().gemm.packed_shape(outputs, inputs)
    }

    unsafe fn pack_weights(&self, weights: Span, to: Span) -> Result<()> {
        let Stream { pool, gemm } = &mut *self.stream();
        unsafe {
            gemm.pack_whole(
                pool,
                strided(weights),
                (weights.rows, weights.columns),
                strided_mut(to),
            )
        };
        Ok(())
    }

    unsafe fn gemm(&self, alpha: T, a: Span, b: Span, beta: T, c: Span) -> Result<()> {
        unsafe { self.multiply(product(alpha, a, b, beta, c)) };
        Ok(())
    }

    unsafe fn row_sums(&self, alpha: T, x: Span, beta: T, y: Span) -> Result<()> {
        if x.row_stride == 1 && y.row_stride == 1 {
            // Blocks of rows, a few cache lines each, are independent of one another.
            let block = 1024 / size_of::<T>();
            let mut stream = self.stream();
            for_columns(stream.pool_for(x), x.rows.div_ceil(block), &|index| {
                let row = index * block;
                let rows = block.min(x.rows - row);
                let (from, to) =
                    (at::<T>(x, 0).wrapping_add(row), at_mut::<T>(y, 0).wrapping_add(row));
                unsafe {
                    (self.columns.row_sums)(rows, x.columns, alpha, from, x.column_stride, beta, to)
                }
            });
        } else {
            unsafe { elements::row_sums(alpha, x, beta, y) }
        }
        Ok(())
    }

    unsafe fn reduce(&self, reduction: Reduction, x: Span, y: Span) -> Result<f64> {
        Ok(unsafe { elements::reduce::<T>(reduction, x, y) })
    }

    unsafe fn gather(
        &self,
        from: Span,
        indices: Handle,
        from_index: usize,
        to: Span,
        next: usize,
    ) -> Result<()> {
        let indices = indices.0.cast::<u32>().cast_const();
        for j in 0..to.columns {
            unsafe {
                let column = *indices.add(from_index + j) as usize;
                elements::copy::<T>(from.columns(column, 1), to.columns(j, 1));
            }
        }
        if from.row_stride == 1 {
            let start = from_index + to.columns;
            let columns = (start..start + next.min(to.columns))
                .map(|j| at::<T>(from, unsafe { *indices.add(j) } as usize).addr());
            self.stream().gemm.ahead.remember(columns, from.rows * size_of::<T>());
        }
        Ok(())
    }

    unsafe fn dense_forward(&self, call: &DenseForward) -> Result<()> {
        unsafe { self.forward(call) };
        Ok(())
    }

    unsafe fn dense_propagate(
        &self,
        weights: Span,
        delta: Span,
        derivative: Derivative,
        out: Span,
    ) -> Result<()> {
        unsafe { self.propagate(weights, delta, derivative, out) };
        Ok(())
    }

    unsafe fn dense_gradient(&self, call: &DenseGradient) -> Result<()> {
        let DenseGradient { delta, input, weights, bias, scale, keep } = *call;
        let scale = T::from_f64(scale / delta.columns as f64);
        unsafe {
            let product = product(scale, delta, input.t(), T::from_f64(keep), weights);
            self.multiply(Product { alone: self.trains_alone(weights, delta.columns), ..product });
            self.row_sums(scale, delta, T::from_f64(keep), bias)
        }
    }

    unsafe fn normalize(&self, call: &Normalize) -> Result<()> {
        unsafe { self.normalize_matrix(call) };
        Ok(())
    }

    unsafe fn normalize_propagate(&self, call: &NormalizePropagate) -> Result<()> {
        unsafe { self.normalize_back(call) };
        Ok(())
    }

    unsafe fn row_dots(&self, alpha: T, x: Span, y: Span, beta: T, sums: Span) -> Result<()> {
        unsafe { self.row_dots_of(alpha, x, y, beta, sums) };
        Ok(())
    }

    unsafe fn update(&self, call: &UpdateCall) -> Result<()> {
        let p = call.p.map(T::from_f64);
        unsafe {
            self.elements(&mut self.stream()).update(call.rule.host::<T>(self.isa), &p, call)
        };
        Ok(())
    }

    unsafe fn squares(&self, x: Span, sums: Span) -> Result<()> {
        unsafe { self.elements(&mut self.stream()).squares(elements::dot::<T>(self.isa), x, sums) };
        Ok(())
    }

    unsafe fn loss(&self, call: &LossCall) -> Result<()> {
        let LossCall { formula, output, target, values, delta, derivative } = *call;
        let n = output.rows;
        let column = |j: usize| unsafe {
            let (y, t) = (at::<T>(output, j), at::<T>(target, j));
            let delta = delta.map_or(std::ptr::null_mut(), |delta| at_mut::<T>(delta, j));
            *at_mut(values, j) = match formula {
                LossFormula::Elements { value, gradient, p } => {
                    let p = p.map(T::from_f64);
                    let value = value.host_sum::<T>(self.isa)(n, &p, y, t);
                    if !delta.is_null() {
                        gradient.host::<T>(self.isa)(n, &p, y, t, delta);
                    }
                    value
                }
                LossFormula::SoftmaxCrossEntropy => {
                    (self.columns.softmax_cross_entropy)(n, y, t, delta)
                }
            };
        };
        for_columns(self.stream().pool_for(output), output.columns, &column);
        if let Some(delta) = delta {
            unsafe { self.multiply_by(derivative, delta) };
        }
        Ok(())
    }

    unsafe fn hits(&self, output: Span, target: Span, threshold: T, hits: Span) -> Result<()> {
        for j in 0..output.columns {
            let hit = unsafe {
                if output.rows == 1 {
                    (*at::<T>(output, j) > threshold) == (*at::<T>(target, j) > T::from_f64(0.5))
                } else {
                    elements::largest::<T>(output, j) == elements::largest::<T>(target, j)
                }
            };
            unsafe { *at_mut(hits, j) = T::from_f64(f64::from(u8::from(hit))) };
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
