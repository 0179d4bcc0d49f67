//! Devices: what engines compute on.

use crate::error::{Error, ErrorKind};

/// A device that an engine computes on, and whether it can be used.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Device {
    /// The name that [`open`](super::open()) accepts: `"cpu"`, `"cuda:0"`, `"opencl:0"`.
    pub name: String,
    /// Hardware and number of threads, for people.
    pub description: String,
    /// Number of threads, where the caller can choose it.
    pub threads: Option<usize>,
    /// The driver and its version, if the device has one.
    pub driver: Option<String>,
    /// Bytes of memory, if known.
    pub memory: Option<u64>,
    /// Whether the device computes in f64.
    pub fp64: bool,
    /// Warnings for the user, such as a cache file that was ignored.
    pub warnings: Vec<String>,
    /// `None` if the device can be used, else the reason and the cure.
    pub missing: Option<Missing>,
}

/// Why a device cannot be used.
#[derive(Clone, Debug)]
pub struct Missing {
    /// What is missing.
    pub reason: String,
    /// What to install or change.
    pub cure: String,
}

/// A tiling of the matrix product and its measured speed.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct TunedTile {
    /// Sizes of the tile, for people.
    pub tile: String,
    /// GFLOP/s of a product large enough to fill the device.
    pub large: f64,
    /// GFLOP/s of a small product.
    pub small: f64,
    /// Whether this tile is the fastest for large products.
    pub is_large: bool,
    /// Whether this tile is the fastest for small products.
    pub is_small: bool,
}

/// The error of an engine that cannot be used.
pub(super) fn unavailable(
    engine: &str,
    reason: impl Into<String>,
    cure: impl Into<String>,
) -> Error {
    ErrorKind::Unavailable { engine: engine.to_owned(), reason: reason.into(), cure: cure.into() }
        .into()
}
