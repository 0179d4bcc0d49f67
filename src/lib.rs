//! Layered neural networks.

mod activation;
pub mod data;
pub mod engine;
mod error;
mod init;
pub mod layer;
mod loss;
mod matrix;
pub mod ops;
pub mod random;
mod scalar;

pub use activation::Activation;
pub use error::{Error, ErrorKind, Result};
pub use init::Init;
pub use loss::Loss;
pub use matrix::{Matrix, MatrixMut, MatrixRef};
#[doc(hidden)]
pub use scalar::Family;
pub use scalar::Scalar;
