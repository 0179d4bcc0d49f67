//! Products by the API's own library, and what our kernels do before and after.
//!
//! The library adds the bias and applies relu and, in 16 bits, the derivative of relu: forward stores a mask of one bit an element behind the copy.
//! Other activations, other derivatives and the gradient of the bias, which our sinks scale and add up, are a pass of ours over what
//! the library has written.

use super::device::Gpu;
use super::driver::{
    ALLOCATION_ALIGNMENT, Driver, Epilogue, Factors, LibraryProduct, Place, Shape,
};
use super::product_call::{Call, Output};
use super::reduced_precision::{HALF_BYTES, Store};
use crate::engine::Span;
use crate::error::Result;
use crate::scalar::Scalar;

/// The only activation that the library computes as we do: its gelu is the tanh approximation, ours is exact.
const RELU: &str = "relu";
/// Its derivative, which the library reads from a mask of bits that it made itself.
const RELU_DERIVATIVE: &str = "relu'";
/// The library requires the bias at a multiple of as many bytes.
const BIAS_ALIGNMENT: usize = 16;

/// Whether memory holds the transposed matrix, and the elements from one of its columns to the next; `None` if neither rows nor columns are
/// contiguous.
fn layout(span: Span) -> Option<(bool, usize)> {
    let Span { rows, columns, row_stride, column_stride, .. } = span;
    if (row_stride == 1 || rows == 1) && (column_stride >= rows || columns == 1) {
        return Some((false, column_stride.max(rows)));
    }
    let fits = (column_stride == 1 || columns == 1) && (row_stride >= columns || rows == 1);
    fits.then_some((true, row_stride.max(columns)))
}

/// The largest power of 2 that divides an address.
fn alignment(place: Place) -> usize {
    1 << (place.offset | ALLOCATION_ALIGNMENT).trailing_zeros()
}

#[allow(
    clippy::undocumented_unsafe_blocks,
    reason = "the callers of every block keep the promises of the engine's methods"
)]
impl<T: Scalar, D: Driver> Gpu<T, D> {
    /// Whether the library computes a product, if it has a kernel for it.
    pub(super) fn leaves_to_library(&self, call: &Call) -> bool {
        self.policy
            .is_some_and(|policy| policy.takes([call.c.rows, call.c.columns, call.a.columns]))
    }

    /// Computes a product by the library; false where it has no kernel for it, and then C is unchanged.
    ///
    /// # Safety
    /// As `Gpu::product`.
    pub(super) unsafe fn product_by_library(&self, call: &Call) -> Result<bool> {
        let Call { alpha, a, beta, c, output, sums, .. } = *call;
        // The epilogue that saves most comes first; the library may have a kernel for a later one.
        for (epilogue, mask) in self.epilogues(call) {
            let Some(product) = (unsafe { self.library_product(call, epilogue, mask)? }) else {
                return Ok(false);
            };
            if !unsafe { self.driver.library_product(&product)? } {
                continue;
            }
            let rounds = product.shape.rounds;
            self.finish_store(c, if rounds { Store::Copy } else { Store::Plain });
            if epilogue == Epilogue::ReluWithMask {
                self.set_mask(c);
            }
            // A result that is not stored in 16 bits alone is likely to be multiplied next: its copy is made in the same pass.
            let store = if rounds { Store::Copy } else { Store::Both };
            unsafe {
                match output {
                    Output::Map { f, p, out, .. } if epilogue == Epilogue::Nothing => {
                        self.elements_stored(f.kernel, p, c, None, out, store)?;
                    }
                    Output::Zip { f, p, kept } if epilogue == Epilogue::Nothing => {
                        self.elements_stored(f.kernel, p, c, Some(kept), c, store)?;
                    }
                    _ => {}
                }
                if let Some(sums) = sums {
                    self.sums_of_rows(alpha, a, beta, sums)?;
                }
            }
            return Ok(true);
        }
        Ok(false)
    }

    /// What the library may do to C, with the mask that it reads or writes, the best first.
    fn epilogues(
        &self,
        call: &Call,
    ) -> impl Iterator<Item = (Epilogue, Option<Place>)> + use<T, D> {
        let c = call.c;
        let best = match call.output {
            // Where z is kept, relu is a pass of its own.
            Output::Map { f, out, keeps_c: false, .. } if f.name == RELU && out == c => {
                let mask = self.mask_place(c).filter(|_| call.trains && call.rounds);
                [
                    mask.map(|mask| (Epilogue::ReluWithMask, Some(mask))),
                    Some((Epilogue::Relu, None)),
                    None,
                ]
            }
            Output::Zip { f, kept, .. } if f.name == RELU_DERIVATIVE => {
                let mask = self.valid_mask(kept).filter(|_| call.rounds);
                [
                    mask.map(|mask| (Epilogue::ReluDerivative, Some(mask))),
                    None,
                    Some((Epilogue::Nothing, None)),
                ]
            }
            _ => [None, None, Some((Epilogue::Nothing, None))],
        };
        best.into_iter().flatten()
    }

    /// The product in the library's terms, with its factors in memory in the precision that the library reads; `None` for a layout that it
    /// does not support.
    unsafe fn library_product(
        &self,
        call: &Call,
        epilogue: Epilogue,
        mask: Option<Place>,
    ) -> Result<Option<LibraryProduct>> {
        let (Some(policy), [Some(a), Some(b), Some(in_c)]) =
            (self.policy, [call.a, call.b, call.c].map(layout))
        else {
            return Ok(None);
        };
        let at = |span: Span| Place { handle: span.handle, offset: span.offset * size_of::<T>() };
        let bias = call.bias.map(at);
        let bias_fits = call.bias.is_none_or(|bias| bias.row_stride == 1 || bias.rows == 1)
            && bias.is_none_or(|bias| bias.offset.is_multiple_of(BIAS_ALIGNMENT));
        if in_c.0 || !bias_fits {
            return Ok(None);
        }
        let (m, n, k) = (call.c.rows, call.c.columns, call.a.columns);
        for count in [m, n, k, a.1, b.1, in_c.1] {
            self.int(count)?;
        }
        let halves = matches!(policy.factors, Factors::Bf16 | Factors::F16);
        let wanted =
            if halves && call.rounds && call.beta == 0.0 { Store::Copy } else { Store::Plain };
        if call.beta != 0.0 {
            unsafe { self.update_numbers(call.c.handle)? };
        }
        let rounds = unsafe { self.prepare_store(call.c, wanted)? } == Store::Copy;
        let factor = |span: Span, turned: bool| match halves {
            true => unsafe { self.half_copy(if turned { span.t() } else { span }) },
            false => Ok(at(span)),
        };
        let c = match self.copy_start(call.c).filter(|_| rounds) {
            Some(start) => {
                Place { handle: call.c.handle, offset: (start + call.c.offset) * HALF_BYTES }
            }
            None => at(call.c),
        };
        let places = [factor(call.a, a.0)?, factor(call.b, b.0)?, c];
        let bias = match (call.bias, rounds) {
            (Some(bias), true) => Some(unsafe { self.half_copy(bias)? }),
            _ => bias,
        };
        let shape = Shape {
            factors: policy.factors,
            m,
            n,
            k,
            turned: [a.0, b.0],
            steps: [a.1, b.1, in_c.1],
            aligned: places.map(alignment),
            reads_c: call.beta != 0.0,
            has_bias: bias.is_some(),
            epilogue,
            rounds,
        };
        let [a, b, c] = places;
        Ok(Some(LibraryProduct { shape, alpha: call.alpha, beta: call.beta, a, b, c, bias, mask }))
    }
}
