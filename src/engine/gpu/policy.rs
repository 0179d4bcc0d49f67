//! Which products are left to the API's own library.

use super::driver::{Driver, Factors};
use super::measurements::SIZES;
use crate::engine::{Library, MatmulPrecision, Settings};
use crate::scalar::Scalar;

/// Whether the library is taken where nothing was measured, for each of [`SIZES`].
const UNMEASURED_WINS: [bool; SIZES.len()] = [false, true, true, true];

/// Which products the library computes, and in which precision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Policy {
    pub factors: Factors,
    /// For each of [`SIZES`] whether the library is faster.
    pub wins: [bool; SIZES.len()],
    /// Whether the library computes all products that it can.
    pub everywhere: bool,
}

impl Policy {
    /// What the settings require; `None` for a driver without a library.
    pub fn new<T: Scalar>(driver: &impl Driver, settings: &Settings) -> Option<Policy> {
        driver.library().filter(|_| settings.library != Library::Never)?;
        let factors = match settings.matmul {
            MatmulPrecision::Full if size_of::<T>() == 8 => Factors::F64,
            MatmulPrecision::Full => Factors::F32,
            MatmulPrecision::Tf32 => Factors::Tf32,
            MatmulPrecision::Bf16 => Factors::Bf16,
            MatmulPrecision::F16 => Factors::F16,
        };
        Some(Policy {
            factors,
            wins: UNMEASURED_WINS,
            everywhere: settings.library == Library::Always,
        })
    }

    /// The name of the precision in the file of measurements.
    pub fn name(&self) -> &'static str {
        match self.factors {
            Factors::F32 => "f32",
            Factors::Tf32 => "tf32",
            Factors::Bf16 => "bf16",
            Factors::F16 => "f16",
            Factors::F64 => "f64",
        }
    }

    /// Whether the library computes a product of this size: the result for the largest of [`SIZES`] that is not more work.
    pub fn takes(&self, [m, n, k]: [usize; 3]) -> bool {
        let work = |[m, n, k]: [usize; 3]| m as f64 * n as f64 * k as f64;
        let class = SIZES.iter().rposition(|size| work(*size) <= work([m, n, k]));
        self.everywhere || class.is_some_and(|class| self.wins[class])
    }
}
