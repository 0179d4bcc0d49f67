//! Layers: each an inference layer, which owns its parameters, and a training layer, which borrows them.
//!
//! One file a layer. `Dense` is the only one so far, so the network names it; a trait comes with the second.

mod dense;

pub use dense::{Dense, DenseTraining};
