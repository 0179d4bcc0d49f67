//! What engines for GPUs share. A [`Driver`] is a device behind an API: it allocates, copies, compiles and launches. [`Gpu`] is the
//! mathematics on top of it.
//!
//! `Gpu` is generic over its driver, not dynamic: an engine has one API behind it, and launches are many and short. Every kernel is launched by
//! one function (`Gpu::launch`), which keeps the 16-bit copies of matrices valid.

mod blend;
mod columns;
mod compare;
mod convert;
mod cpu_blocking;
mod device;
pub(super) mod driver;
mod elements;
mod embedding;
mod engine;
mod library;
mod lookup;
mod measure;
mod measurements;
mod network;
mod normalize;
mod peak;
mod policy;
mod product;
mod product_call;
mod program;
mod prove;
mod reduced_precision;
mod reductions;
#[cfg(test)]
pub(super) mod tests;
mod tile;
mod transfer;
mod tune;
mod update;

pub(super) use self::device::Gpu;
pub(super) use self::driver::{Driver, Rectangle, Traits};
