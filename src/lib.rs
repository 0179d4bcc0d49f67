//! Layered neural networks.

pub mod data;
pub mod engine;
mod error;
pub mod random;
mod scalar;

pub use error::{Error, ErrorKind, Result};
#[doc(hidden)]
pub use scalar::Family;
pub use scalar::Scalar;
