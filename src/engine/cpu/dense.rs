//! The calls of dense layers: one product, everything else in its epilogue where the memory allows.

use super::gemm::{Epilogue, Finish, Product};
use super::*;

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
        alone: false,
        fixed_k_step: false,
    }
}

/// Bytes of weights from which on two threads train them, however few the samples; or those of the second cache, if it has more.
const LARGE_WEIGHTS: usize = 1 << 20;

#[allow(
    clippy::undocumented_unsafe_blocks,
    reason = "the callers of every block keep the promises of the engine's methods"
)]
impl<T: Scalar> Cpu<T> {
    /// Whether weights are trained by one thread; see [`Machine::samples_to_share`].
    pub(super) fn trains_alone(&self, weights: Span, samples: usize) -> bool {
        let large = LARGE_WEIGHTS.max(self.machine.second_cache);
        samples < self.machine.samples_to_share
            && weights.rows * weights.columns * size_of::<T>() < large
    }

    pub(super) unsafe fn multiply(&self, product: Product<T>) {
        let Stream { pool, gemm } = &mut *self.stream();
        unsafe { gemm.run(pool, product) }
    }

    /// `a = f(W x + b 1^T)`
    pub(super) unsafe fn forward(&self, call: &DenseForward) {
        let DenseForward { bias, transfer, z, output, .. } = *call;
        let sum = z.unwrap_or(output);
        let fused = [sum, output, bias].iter().all(|span| span.row_stride == 1);
        unsafe {
            if fused {
                self.forward_fused(call, sum)
            } else {
                self.forward_in_parts(call, sum)
            }
            if !matches!(transfer, Transfer::Map(..)) && sum != output {
                elements::copy::<T>(sum, output);
            }
            if let Transfer::Softmax = transfer {
                for_columns(self.stream().pool_for(output), output.columns, &|j| {
                    (self.columns.softmax)(output.rows, at(output, j), at_mut(output, j));
                });
            }
        }
    }

    /// Bias and element-wise activation while a tile is in the cache.
    unsafe fn forward_fused(&self, call: &DenseForward, sum: Span) {
        let finish = match call.transfer {
            Transfer::Map(f, p) => Some(Finish::Map(f.host::<T>(self.isa), p.map(T::from_f64))),
            _ => None,
        };
        let epilogue = Epilogue { bias: at(call.bias, 0), finish, out: strided_mut(call.output) };
        let product = product(T::from_f64(1.0), call.weights, call.input, T::from_f64(0.0), sum);
        let a_packed = call.packed.map_or(std::ptr::null(), |packed| at(packed, 0));
        let alone = call.trains && self.trains_alone(call.weights, call.input.columns);
        // The answer for a sample must not depend on the samples that share its batch. Training has one batch size.
        let product = Product { alone, fixed_k_step: !call.trains, ..product };
        unsafe { self.multiply(Product { a_packed, epilogue: Some(epilogue), ..product }) }
    }

    /// The same, one after the other, for memory with gaps.
    unsafe fn forward_in_parts(&self, call: &DenseForward, sum: Span) {
        let zero = T::from_f64(0.0);
        let every_column = Span { columns: sum.columns, column_stride: 0, ..call.bias };
        unsafe {
            self.multiply(product(T::from_f64(1.0), call.weights, call.input, zero, sum));
            let mut stream = self.stream();
            self.elements(&mut stream).zip(
                elements::add(self.isa),
                &[zero; 4],
                sum,
                every_column,
                sum,
            );
            if let Transfer::Map(f, p) = call.transfer {
                let (f, p) = (f.host::<T>(self.isa), p.map(T::from_f64));
                self.elements(&mut stream).map(f, &p, sum, call.output);
            }
        }
    }

    /// `out = (W^T delta) ⊙ f'`
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
        let fused = finish.is_some();
        let product = product(T::from_f64(1.0), weights.t(), delta, T::from_f64(0.0), out);
        let epilogue =
            fused.then_some(Epilogue { bias: std::ptr::null(), finish, out: strided_mut(out) });
        unsafe {
            self.multiply(Product {
                epilogue,
                alone: self.trains_alone(weights, delta.columns),
                ..product
            });
            if !fused {
                self.multiply_by(derivative, out);
            }
        }
    }

    /// `delta = delta ⊙ f'`
    pub(super) unsafe fn multiply_by(&self, derivative: Derivative, delta: Span) {
        match derivative {
            Derivative::One => {}
            Derivative::Zip(f, p, kept) => {
                let (f, p) = (f.host::<T>(self.isa), p.map(T::from_f64));
                let mut stream = self.stream();
                unsafe { self.elements(&mut stream).zip(f, &p, delta, kept, delta) }
            }
            Derivative::Softmax(a) => {
                for_columns(self.stream().pool_for(delta), delta.columns, &|j| unsafe {
                    (self.columns.softmax_derivative)(delta.rows, at(a, j), at_mut(delta, j));
                })
            }
        }
    }
}
