//! Products that are left to the API's own library: which of them, and what our kernels do around them.
//!
//! The library adds the bias and applies relu and, in 16 bits, its derivative. Other activations, derivatives and the gradient of the
//! bias are a pass of ours over what it has written.

use super::driver::{Epilogue, Factors, LibraryProduct, Place, Shape};
use super::halves::Store;
use super::product::{Call, Form};
use super::*;

/// m, n, k of the products for which the library was measured beside our own kernels, by the work that they are.
pub(super) const SIZES: [[usize; 3]; 4] = [tune::SMALL, [512; 3], tune::LARGE, [2048; 3]];
/// Where nothing was measured.
const USUAL: [bool; 4] = [false, true, true, true];
/// The one activation that it knows as we do: its gelu is the tanh approximation, ours is exact.
const RELU: &str = "relu";
/// Its derivative, which the library takes from a mask of bits that it made itself.
const RELU_DERIVATIVE: &str = "relu'";
/// Bytes whose multiple every allocation's address is.
pub(super) const ALIGNED: usize = 256;
/// Bytes of which the bias must be a multiple.
const BIAS_ALIGNED: usize = 16;

/// Which products are left to the library, and with what factors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Policy {
    pub factors: Factors,
    /// For each of [`SIZES`] whether the library is faster.
    pub wins: [bool; SIZES.len()],
    /// Sizes do not matter.
    pub everywhere: bool,
}

impl Policy {
    /// What the settings ask for; nothing for a driver without a library.
    pub fn new<T: Scalar>(driver: &impl Driver, settings: &Settings) -> Option<Policy> {
        driver.library().filter(|_| settings.library != super::Library::Never)?;
        let factors = match settings.matmul {
            MatmulPrecision::Full if size_of::<T>() == 8 => Factors::F64,
            MatmulPrecision::Full => Factors::F32,
            MatmulPrecision::Tf32 => Factors::Tf32,
            MatmulPrecision::Bf16 => Factors::Bf16,
            MatmulPrecision::F16 => Factors::F16,
        };
        Some(Policy {
            factors,
            wins: USUAL,
            everywhere: settings.library == super::Library::Always,
        })
    }

    /// As the file of measurements calls the factors.
    pub fn name(&self) -> &'static str {
        match self.factors {
            Factors::F32 => "f32",
            Factors::Tf32 => "tf32",
            Factors::Bf16 => "bf16",
            Factors::F16 => "f16",
            Factors::F64 => "f64",
        }
    }

    /// Whether a product goes to the library: what was measured for the largest of [`SIZES`] that is not more work.
    fn takes(&self, [m, n, k]: [usize; 3]) -> bool {
        let work = |[m, n, k]: [usize; 3]| m as f64 * n as f64 * k as f64;
        let class = SIZES.iter().rposition(|size| work(*size) <= work([m, n, k]));
        self.everywhere || class.is_some_and(|class| self.wins[class])
    }
}

/// Whether memory holds the transposed matrix, and elements from one of its columns to the next; `None`: neither way.
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
    1 << (place.offset | ALIGNED).trailing_zeros()
}

#[allow(
    clippy::undocumented_unsafe_blocks,
    reason = "the callers of every block keep the promises of the engine's methods"
)]
impl<T: Scalar, D: Driver> Gpu<T, D> {
    pub(super) fn leaves_to_library(&self, call: &Call) -> bool {
        self.policy
            .is_some_and(|policy| policy.takes([call.c.rows, call.c.columns, call.a.columns]))
    }

    /// False where the library cannot compute this product; then nothing has happened to C.
    pub(super) unsafe fn product_by_library(&self, call: &Call) -> Result<bool> {
        let Call { alpha, a, beta, c, form, sums, .. } = *call;
        // The library's favorite way first; what it has no kernel for may go another way.
        for (epilogue, mask) in self.epilogues(call) {
            let Some(product) = (unsafe { self.library_product(call, epilogue, mask)? }) else {
                return Ok(false);
            };
            if !unsafe { self.driver.library_product(&product)? } {
                continue;
            }
            let rounds = product.shape.rounds;
            self.stored(c, if rounds { Store::Copy } else { Store::Plain });
            if epilogue == Epilogue::ReluWithMask {
                self.masked(c);
            }
            // What is not stored in 16 bits alone is likely to be multiplied next: its copy is made on the way.
            let store = if rounds { Store::Copy } else { Store::Both };
            unsafe {
                match form {
                    Form::Map { f, p, out, .. } if epilogue == Epilogue::Nothing => {
                        self.elements_stored(f.kernel, p, c, None, out, store)?;
                    }
                    Form::Zip { f, p, kept } if epilogue == Epilogue::Nothing => {
                        self.elements_stored(f.kernel, p, c, Some(kept), c, store)?;
                    }
                    _ => {}
                }
                if let Some(sums) = sums {
                    self.row_sums(T::from_f64(alpha), a, T::from_f64(beta), sums)?;
                }
            }
            return Ok(true);
        }
        Ok(false)
    }

    /// What the library may do to C, with the mask that it then reads or writes; what comes first is best.
    fn epilogues(
        &self,
        call: &Call,
    ) -> impl Iterator<Item = (Epilogue, Option<Place>)> + use<T, D> {
        let c = call.c;
        let best = match call.form {
            // Where z is kept, relu is a pass of its own.
            Form::Map { f, out, keeps_c: false, .. } if f.name == RELU && out == c => {
                let mask = self.place_of_mask(c).filter(|_| call.trains && call.rounds);
                [
                    mask.map(|mask| (Epilogue::ReluWithMask, Some(mask))),
                    Some((Epilogue::Relu, None)),
                    None,
                ]
            }
            Form::Zip { f, kept, .. } if f.name == RELU_DERIVATIVE => {
                let mask = self.mask_of(kept).filter(|_| call.rounds);
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

    /// The product as the library takes it, and its factors where it finds them; `None` for a layout that it does not know.
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
            && bias.is_none_or(|bias| bias.offset.is_multiple_of(BIAS_ALIGNED));
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
            unsafe { self.settle(call.c.handle)? };
        }
        let rounds = unsafe { self.prepare(call.c, wanted)? } == Store::Copy;
        let factor = |span: Span, turned: bool| match halves {
            true => unsafe { self.halved(if turned { span.t() } else { span }) },
            false => Ok(at(span)),
        };
        let c = match self.start_of_copy(call.c).filter(|_| rounds) {
            Some(start) => {
                Place { handle: call.c.handle, offset: (start + call.c.offset) * size_of::<u16>() }
            }
            None => at(call.c),
        };
        let places = [factor(call.a, a.0)?, factor(call.b, b.0)?, c];
        let bias = match (call.bias, rounds) {
            (Some(bias), true) => Some(unsafe { self.halved(bias)? }),
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
