//! Products of cuBLASLt as graphs. Only the library knows their kernels, so they cannot be nodes of our own: a stream of its own captures them.
//!
//! The mode is relaxed, so that work of other threads is not disturbed. A product is captured only after it has run once: loading its kernels is
//! not safe within a capture.

use std::ptr;

use cudarc::driver::result::{DriverError, stream};
use cudarc::driver::sys::{self, CUgraph, CUstream};

use super::cublaslt::CublasLt;
use super::failure::{Failure, checked};
use crate::engine::gpu::driver::LibraryProduct;

/// The library, and the stream that captures its products.
pub(super) struct Captured {
    pub cublaslt: CublasLt,
    stream: CUstream,
}

impl Captured {
    /// In the current context.
    pub fn new(cublaslt: CublasLt) -> Result<Self, Failure> {
        let stream = stream::create(stream::StreamKind::NonBlocking);
        let stream = stream.map_err(|DriverError(code)| Failure::Driver("cuStreamCreate", code))?;
        Ok(Captured { cublaslt, stream })
    }

    /// The kernels of a product that has run before, as a graph.
    pub fn capture(&mut self, product: &LibraryProduct) -> Result<ChildGraph, Failure> {
        let mode = sys::CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_RELAXED;
        let mut graph = ptr::null_mut();
        // SAFETY: the stream is ours and used for captures alone; what it captures does not run.
        unsafe {
            checked("cuStreamBeginCapture", sys::cuStreamBeginCapture_v2(self.stream, mode))?;
            let started = self.cublaslt.start(product, self.stream);
            let ended =
                checked("cuStreamEndCapture", sys::cuStreamEndCapture(self.stream, &mut graph));
            let graph = ChildGraph(graph);
            started.and(ended).map(|()| graph)
        }
    }
}

impl Drop for Captured {
    fn drop(&mut self) {
        // SAFETY: it is ours, and not used any more. A failure has no cure.
        let _ = unsafe { stream::destroy(self.stream) };
    }
}

/// A graph that is copied into others.
pub(super) struct ChildGraph(pub CUgraph);

impl Drop for ChildGraph {
    fn drop(&mut self) {
        if !self.0.is_null() {
            // SAFETY: it is ours, and not used any more. A failure has no cure.
            let _ = unsafe { sys::cuGraphDestroy(self.0) };
        }
    }
}
