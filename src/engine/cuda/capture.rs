//! What cuBLASLt does, as graphs.

use std::ptr;

use cudarc::driver::result::{DriverError, stream};
use cudarc::driver::sys::{self, CUgraph, CUstream};

use super::super::gpu::driver::LibraryProduct;
use super::cublaslt::CublasLt;
use super::failure::Failure;
use super::graph::checked;

/// The library, and the stream that captures what it does.
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
        // SAFETY: the stream is ours, and nothing runs of what it captures.
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
        // SAFETY: ours. A failure leaves nobody anything to do.
        let _ = unsafe { stream::destroy(self.stream) };
    }
}

/// A graph that others copy.
pub(super) struct ChildGraph(pub CUgraph);

impl Drop for ChildGraph {
    fn drop(&mut self) {
        if !self.0.is_null() {
            // SAFETY: ours. A failure leaves nobody anything to do.
            let _ = unsafe { sys::cuGraphDestroy(self.0) };
        }
    }
}
