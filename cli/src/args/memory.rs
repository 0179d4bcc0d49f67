//! A table in memory instead of a file: what a program gives that trains through this crate.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use travertine::data::Frame;

/// The samples to train on, and how the caller ends the training.
#[derive(Clone, Debug)]
pub(crate) struct Memory {
    pub(crate) frame: Arc<Frame>,
    /// One for each sample.
    pub(crate) weights: Option<Arc<[f64]>>,
    /// The number of a signal that ends the training after its step, or 0.
    pub(crate) interrupt: Arc<AtomicUsize>,
}
