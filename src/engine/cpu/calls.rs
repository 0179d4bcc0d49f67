//! The calls of the CPU engine.

use std::alloc::dealloc;

use super::cpu_engine::CpuEngine;
use super::dense::product;
use super::pointers::{at, at_mut, strided, strided_mut};
use super::streams::Stream;
use super::{elements, memory, peak};
use crate::engine::blend::{Blend, BlendGradient, BlendPropagate};
use crate::engine::call::{
    DenseForward, DenseGradient, Derivative, DropOut, LossCall, LossFormula, Reduction, UpdateCall,
};
use crate::engine::device::Device;
use crate::engine::embedding::{Embed, EmbedGradient};
use crate::engine::formula::{BinaryLoop, BinarySum, Map, Zip};
use crate::engine::interface::{Engine, Sealed};
use crate::engine::lookup::{LookUp, LookUpGradient};
use crate::engine::memory::{Handle, Span};
use crate::engine::normalize::{Normalize, NormalizePropagate};
use crate::error::{ErrorKind, Result};
use crate::random::Philox;
use crate::scalar::Scalar;

/// Bytes from which on an allocation is compared with the memory that the machine has left: the system would grant it and fail
/// later.
const MIN_CHECKED_BYTES: usize = 64 << 20;
/// Bytes of a block of rows whose sums one task computes: a few cache lines of each column.
const ROW_BLOCK_BYTES: usize = 1024;

/// The caller's slice as a matrix of the shape of `like`, column-major.
fn slice_span<T>(slice: *const T, like: Span) -> Span {
    let handle = Handle(slice.cast_mut().cast());
    Span { handle, offset: 0, row_stride: 1, column_stride: like.rows, ..like }
}

impl<T: Scalar> Sealed for CpuEngine<T> {}

#[allow(
    clippy::undocumented_unsafe_blocks,
    reason = "every block passes on what the trait's `# Safety` section makes the caller promise"
)]
impl<T: Scalar> Engine<T> for CpuEngine<T> {
    fn device(&self) -> &Device {
        &self.device
    }

    fn allocate(&self, bytes: usize) -> Result<Handle> {
        let available = if bytes >= MIN_CHECKED_BYTES { memory::available() } else { None };
        let fits = available.is_none_or(|available| bytes as u64 <= available);
        let address = match memory::layout(bytes) {
            Some(layout) if fits => memory::allocate(layout),
            _ => std::ptr::null_mut(),
        };
        if address.is_null() {
            return Err(ErrorKind::Memory {
                engine: "cpu".to_owned(),
                asked: bytes as u64,
                available,
            }
            .into());
        }
        unsafe { address.write_bytes(0, bytes) };
        Ok(Handle(address.cast()))
    }

    unsafe fn free(&self, handle: Handle, bytes: usize) {
        if let Some(layout) = memory::layout(bytes) {
            unsafe { dealloc(handle.0.cast(), layout) }
        }
    }

    fn borrow_host(&self, memory: *const T) -> Option<Handle> {
        Some(Handle(memory.cast_mut().cast()))
    }

    fn host_address(&self, handle: Handle) -> Option<*mut T> {
        Some(handle.0.cast())
    }

    unsafe fn write(&self, from: &[T], to: Span) -> Result<()> {
        let from = slice_span(from.as_ptr(), to);
        unsafe { elements::copy::<T>(from, to) };
        Ok(())
    }

    unsafe fn read(&self, from: Span, to: &mut [T]) -> Result<()> {
        let to = slice_span(to.as_mut_ptr(), from);
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
        Some(peak::flops::<T>(self.isa, &mut self.streams.pooled().pool))
    }

    unsafe fn map(&self, f: &'static Map, p: [f64; 4], x: Span, y: Span) -> Result<()> {
        let p = p.map(T::from_f64);
        let f = f.host::<T>(self.isa);
        self.with_pool(y, |pool| unsafe { elements::map(pool, f, &p, x, y) });
        Ok(())
    }

    unsafe fn zip(&self, f: &'static Zip, p: [f64; 4], x: Span, y: Span, z: Span) -> Result<()> {
        let p = p.map(T::from_f64);
        let f = f.host::<T>(self.isa);
        self.with_pool(z, |pool| unsafe { elements::zip(pool, f, &p, x, y, z) });
        Ok(())
    }

    unsafe fn uniform(&self, stream: &Philox, to: Span) -> Result<()> {
        unsafe { self.write_uniform(stream, to) };
        Ok(())
    }

    unsafe fn drop_out(&self, stream: &Philox, call: &DropOut) -> Result<()> {
        unsafe { self.draw_and_drop(stream, call) }
    }

    fn packed_shape(&self, outputs: usize, inputs: usize) -> Option<[usize; 2]> {
        self.streams.for_loop(0).gemm.packed_shape(outputs, inputs)
    }

    unsafe fn pack_weights(&self, weights: Span, to: Span) -> Result<()> {
        let (m, k) = (weights.rows, weights.columns);
        let Stream { pool, gemm } = &mut *self.streams.for_loop(m * k);
        unsafe { gemm.pack_whole(pool, strided(weights), (m, k), strided_mut(to)) };
        Ok(())
    }

    unsafe fn gemm(&self, alpha: T, a: Span, b: Span, beta: T, c: Span) -> Result<()> {
        unsafe { self.multiply(product(alpha, a, b, beta, c)) };
        Ok(())
    }

    unsafe fn row_sums(&self, alpha: T, x: Span, beta: T, y: Span) -> Result<()> {
        if x.row_stride == 1 && y.row_stride == 1 {
            // Blocks of rows are independent of each other.
            let block = ROW_BLOCK_BYTES / size_of::<T>();
            self.for_columns(x, x.rows.div_ceil(block), &|index| {
                let row = index * block;
                let rows = block.min(x.rows - row);
                let from = at::<T>(x, 0).wrapping_add(row);
                let to = at_mut::<T>(y, 0).wrapping_add(row);
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
        // Only a hint: a stream in use keeps its own.
        if from.row_stride == 1
            && let Some(mut stream) = self.streams.pooled_if_free()
        {
            let start = from_index + to.columns;
            let columns = (start..start + next.min(to.columns))
                .map(|j| at::<T>(from, unsafe { *indices.add(j) } as usize).addr());
            stream.gemm.prefetch_columns(columns, from.rows * size_of::<T>());
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
            let mut product = product(scale, delta, input.t(), T::from_f64(keep), weights);
            product.single_threaded = self.is_single_threaded(weights, delta.columns);
            self.multiply(product);
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

    unsafe fn embed(&self, call: &Embed) -> Result<()> {
        unsafe { self.embed_numbers(call) };
        Ok(())
    }

    unsafe fn embed_gradient(&self, call: &EmbedGradient) -> Result<()> {
        unsafe { self.gradient_of_embedding(call) };
        Ok(())
    }

    unsafe fn look_up(&self, call: &LookUp) -> Result<()> {
        unsafe { self.look_up_categories(call) };
        Ok(())
    }

    unsafe fn look_up_gradient(&self, call: &LookUpGradient) -> Result<()> {
        unsafe { self.gradient_of_look_up(call) };
        Ok(())
    }

    unsafe fn blend(&self, call: &Blend) -> Result<()> {
        unsafe { self.blend_columns(call) };
        Ok(())
    }

    unsafe fn blend_propagate(&self, call: &BlendPropagate) -> Result<()> {
        unsafe { self.blend_back(call) };
        Ok(())
    }

    unsafe fn blend_gradient(&self, call: &BlendGradient) -> Result<()> {
        unsafe { self.gradient_of_blend(call) };
        Ok(())
    }

    unsafe fn update(&self, call: &UpdateCall) -> Result<()> {
        let p = call.p.map(T::from_f64);
        let f = call.rule.host::<T>(self.isa);
        self.with_pool(call.parameter, |pool| unsafe { elements::update(pool, f, &p, call) });
        Ok(())
    }

    unsafe fn squares(&self, x: Span, sums: Span) -> Result<()> {
        let dot = elements::dot::<T>(self.isa);
        self.with_pool(x, |pool| unsafe { elements::squares(pool, dot, x, sums) });
        Ok(())
    }

    unsafe fn loss(&self, call: &LossCall) -> Result<()> {
        let LossCall { formula, first_by_row, output, target, values, delta, derivative } = *call;
        let n = output.rows;
        let column = |j: usize| unsafe {
            let (y, t) = (at::<T>(output, j), at::<T>(target, j));
            let delta = delta.map_or(std::ptr::null_mut(), |delta| at_mut::<T>(delta, j));
            *at_mut(values, j) = match formula {
                LossFormula::Elements { value, gradient, p } => {
                    let p = p.map(T::from_f64);
                    let first = first_by_row.map(|first| at::<T>(first, 0));
                    let loops = (value.host_sum::<T>(self.isa), gradient.host::<T>(self.isa));
                    loss_of_rows(n, loops, (p, first), (y, t, delta))
                }
                LossFormula::SoftmaxCrossEntropy => {
                    (self.columns.softmax_cross_entropy)(n, y, t, delta)
                }
            };
        };
        self.for_columns(output, output.columns, &column);
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

/// The loss of a column of n rows, and its gradient where `delta` is not null: with the parameters p, of which each row has its own
/// first where there is a column of those.
unsafe fn loss_of_rows<T: Scalar>(
    n: usize,
    (value, gradient): (BinarySum<T>, BinaryLoop<T>),
    (mut p, first): ([T; 4], Option<*const T>),
    (y, t, delta): (*const T, *const T, *mut T),
) -> T {
    let rows = if first.is_some() { 1 } else { n };
    let mut sum = 0.0;
    // SAFETY: the caller promises n readable elements of y, t and `first`, and n writable elements of delta.
    unsafe {
        for i in (0..n).step_by(rows.max(1)) {
            if let Some(first) = first {
                p[0] = *first.add(i);
            }
            sum += value(rows, &p, y.add(i), t.add(i)).to_f64();
            if !delta.is_null() {
                gradient(rows, &p, y.add(i), t.add(i), delta.add(i));
            }
        }
    }
    T::from_f64(sum)
}
