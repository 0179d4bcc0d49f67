//! The calls of dense layers: one product each, with everything else in its epilogue if rows are contiguous.

use super::cpu_engine::CpuEngine;
use super::elements;
use super::gemm::{Epilogue, Finish, Product};
use super::pointers::{at, at_mut, strided, strided_mut};
use crate::engine::call::{DenseForward, Derivative, Transfer};
use crate::engine::memory::Span;
use crate::scalar::Scalar;

/// Bytes of weights from which on two threads train a layer, however few the samples; the size of the L2 cache if that is larger.
const MIN_SHARED_WEIGHT_BYTES: usize = 1 << 20;

/// `C = alpha A B + beta C`
pub(super) fn product<T: Scalar>(alpha: T, a: Span, b: Span, beta: T, c: Span) -> Product<T> {
    Product {
        m: c.rows,
        n: c.columns,
        k: a.columns,
        alpha,
        a: strided(a),
        a_packed: std::ptr::null(),
        b: strided(b),
        beta,
        c: strided_mut(c),
        epilogue: None,
        single_threaded: false,
        fixed_k_step: false,
    }
}

#[allow(
    clippy::undocumented_unsafe_blocks,
    reason = "all unsafe functions here have the contract of `Engine`: shapes agree and memory is borrowed for the call"
)]
impl<T: Scalar> CpuEngine<T> {
    /// Whether one thread trains these weights, see [`super::cpuid::Cpu::min_samples_to_share`]. Inference only reads weights and shares them
    /// from the first sample on.
    pub(super) fn is_single_threaded(&self, weights: Span, samples: usize) -> bool {
        let large = MIN_SHARED_WEIGHT_BYTES.max(self.cpu.l2_bytes);
        samples < self.cpu.min_samples_to_share
            && weights.rows * weights.columns * size_of::<T>() < large
    }

    /// `a = f(W x + b 1^T)`
    ///
    /// # Safety
    /// As [`crate::engine::Engine`].
    pub(super) unsafe fn forward(&self, call: &DenseForward) {
        let DenseForward { bias, transfer, z, output, .. } = *call;
        let sum = z.unwrap_or(output);
        let is_fused = [sum, output, bias].iter().all(|span| span.row_stride == 1);
        unsafe {
            if is_fused {
                self.forward_fused(call, sum)
            } else {
                self.forward_in_parts(call, sum)
            }
            if !matches!(transfer, Transfer::Map(..)) && sum != output {
                elements::copy::<T>(sum, output);
            }
            if let Transfer::Softmax = transfer {
                self.for_columns(output, output.columns, &|j| {
                    (self.columns.softmax)(output.rows, at(output, j), at_mut(output, j));
                });
            }
        }
    }

    /// Adds the bias and applies an element-wise activation while a tile is in the cache.
    unsafe fn forward_fused(&self, call: &DenseForward, sum: Span) {
        let finish = match call.transfer {
            Transfer::Map(f, p) => Some(Finish::Map(f.host::<T>(self.isa), p.map(T::from_f64))),
            _ => None,
        };
        let epilogue = Epilogue { bias: at(call.bias, 0), finish, out: strided_mut(call.output) };
        let mut product =
            product(T::from_f64(1.0), call.weights, call.input, T::from_f64(0.0), sum);
        product.a_packed = call.packed.map_or(std::ptr::null(), |packed| at(packed, 0));
        product.epilogue = Some(epilogue);
        product.single_threaded =
            call.trains && self.is_single_threaded(call.weights, call.input.columns);
        // The answer for a sample must not depend on the samples that share its batch. Training has one batch size.
        product.fixed_k_step = !call.trains;
        unsafe { self.multiply(product) }
    }

    /// Product, bias and activation one after the other, for rows that are not contiguous.
    unsafe fn forward_in_parts(&self, call: &DenseForward, sum: Span) {
        let zero = T::from_f64(0.0);
        let bias = Span { columns: sum.columns, column_stride: 0, ..call.bias };
        unsafe {
            self.multiply(product(T::from_f64(1.0), call.weights, call.input, zero, sum));
            self.with_pool(sum, |pool| {
                elements::zip(pool, elements::add(self.isa), &[zero; 4], sum, bias, sum);
                if let Transfer::Map(f, p) = call.transfer {
                    let (f, p) = (f.host::<T>(self.isa), p.map(T::from_f64));
                    elements::map(pool, f, &p, sum, call.output);
                }
            });
        }
    }

    /// `out = (W^T delta) ⊙ f'`
    ///
    /// # Safety
    /// As [`crate::engine::Engine`].
    pub(super) unsafe fn propagate(
        &self,
        weights: Span,
        delta: Span,
        derivative: Derivative,
        out: Span,
    ) {
        let finish = match derivative {
            Derivative::Zip(f, p, kept) if out.row_stride == 1 && kept.row_stride == 1 => {
                Some(Finish::Zip(f.host::<T>(self.isa), p.map(T::from_f64), strided(kept)))
            }
            _ => None,
        };
        let is_fused = finish.is_some();
        let mut product = product(T::from_f64(1.0), weights.t(), delta, T::from_f64(0.0), out);
        product.epilogue =
            is_fused.then_some(Epilogue { bias: std::ptr::null(), finish, out: strided_mut(out) });
        product.single_threaded = self.is_single_threaded(weights, delta.columns);
        unsafe {
            self.multiply(product);
            if !is_fused {
                self.multiply_by(derivative, out);
            }
        }
    }

    /// `delta = delta ⊙ f'`
    ///
    /// # Safety
    /// As [`crate::engine::Engine`].
    pub(super) unsafe fn multiply_by(&self, derivative: Derivative, delta: Span) {
        match derivative {
            Derivative::One => {}
            Derivative::Zip(f, p, kept) => {
                let (f, p) = (f.host::<T>(self.isa), p.map(T::from_f64));
                self.with_pool(delta, |pool| unsafe {
                    elements::zip(pool, f, &p, delta, kept, delta);
                });
            }
            Derivative::Softmax(a) => self.for_columns(delta, delta.columns, &|j| unsafe {
                (self.columns.softmax_derivative)(delta.rows, at(a, j), at_mut(delta, j));
            }),
        }
    }
}
