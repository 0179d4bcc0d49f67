//! Layered neural networks.

mod activation;
pub mod data;
pub mod engine;
mod error;
mod init;
pub mod layer;
mod loss;
mod matrix;
mod network;
pub mod ops;
pub mod optimizer;
pub mod random;
mod samples;
mod scalar;
mod trainer;

pub use activation::Activation;
pub use error::{Error, ErrorKind, Result};
pub use init::Init;
pub use loss::Loss;
pub use matrix::{Matrix, MatrixMut, MatrixRef};
pub use network::{Builder, Inference, Network};
pub use samples::{Report, Samples};
#[doc(hidden)]
pub use scalar::Family;
pub use scalar::Scalar;
pub use trainer::{Buffer, GradientCheck, Plan, Progress, Trainer, check_gradients};
