//! An engine that counts the allocations and calls of another one.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use super::blend::{Blend, BlendGradient, BlendPropagate};
use super::call::{
    DenseForward, DenseGradient, Derivative, DropOut, LossCall, Reduction, UpdateCall,
};
use super::device::{Device, TunedTile};
use super::embedding::{Embed, EmbedGradient};
use super::formula::{Map, Zip};
use super::interface::{Engine, Sealed};
use super::lookup::{LookUp, LookUpGradient};
use super::memory::{Handle, Message, Span};
use super::network::{NetworkForward, NetworkStep};
use super::normalize::{Normalize, NormalizePropagate};
use crate::error::Result;
use crate::processes::Group;
use crate::random::Philox;
use crate::scalar::Scalar;

/// An engine that passes every call on to another one and counts allocations, bytes and calls. Tests prove with it that nothing leaks
/// and that a step of training allocates nothing.
///
/// ```
/// use std::sync::Arc;
/// use travertine::{Matrix, engine::{self, Counting, Engine}};
/// let counting = Arc::new(Counting::new(engine::open::<f32>("cpu")?));
/// let engine: Arc<dyn Engine<f32>> = counting.clone();
/// let matrix = Matrix::zeros(&engine, 2, 3)?;
/// assert_eq!((counting.counts().live, counting.counts().live_bytes), (1, 24));
/// drop(matrix);
/// assert_eq!((counting.counts().live, counting.counts().allocations), (0, 1));
/// # Ok::<(), travertine::Error>(())
/// ```
pub struct Counting<T: Scalar> {
    inner: Arc<dyn Engine<T>>,
    allocations: AtomicUsize,
    frees: AtomicUsize,
    live_bytes: AtomicUsize,
    calls: AtomicUsize,
}

/// The counts of a [`Counting`] engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counts {
    /// Number of allocations.
    pub allocations: usize,
    /// Number of allocations that have not been freed.
    pub live: usize,
    /// Bytes of the allocations that have not been freed.
    pub live_bytes: usize,
    /// Number of calls that compute or transfer.
    pub calls: usize,
}

impl<T: Scalar> Counting<T> {
    /// An engine that counts the calls of `inner`.
    pub fn new(inner: Arc<dyn Engine<T>>) -> Self {
        let zero = || AtomicUsize::new(0);
        Counting { inner, allocations: zero(), frees: zero(), live_bytes: zero(), calls: zero() }
    }

    /// The counts so far.
    pub fn counts(&self) -> Counts {
        let allocations = self.allocations.load(Relaxed);
        Counts {
            allocations,
            live: allocations - self.frees.load(Relaxed),
            live_bytes: self.live_bytes.load(Relaxed),
            calls: self.calls.load(Relaxed),
        }
    }
}

macro_rules! counted {
    ($($name:ident($($argument:ident: $type:ty),*) $(-> $result:ty)?;)*) => {
        $(unsafe fn $name(&self, $($argument: $type),*) -> Result<counted!(@ $($result)?)> {
            self.calls.fetch_add(1, Relaxed);
            // SAFETY: the caller promises this engine what the inner one demands.
            unsafe { self.inner.$name($($argument),*) }
        })*
    };
    (@) => { () };
    (@ $result:ty) => { $result };
}

impl<T: Scalar> Sealed for Counting<T> {}

impl<T: Scalar> Engine<T> for Counting<T> {
    fn device(&self) -> &Device {
        self.inner.device()
    }

    fn allocate(&self, bytes: usize) -> Result<Handle> {
        let handle = self.inner.allocate(bytes)?;
        self.allocations.fetch_add(1, Relaxed);
        self.live_bytes.fetch_add(bytes, Relaxed);
        Ok(handle)
    }

    unsafe fn free(&self, handle: Handle, bytes: usize) {
        self.frees.fetch_add(1, Relaxed);
        self.live_bytes.fetch_sub(bytes, Relaxed);
        // SAFETY: the memory came from `allocate`, which passed the inner engine's handle on.
        unsafe { self.inner.free(handle, bytes) }
    }

    fn borrow_host(&self, memory: *const T) -> Option<Handle> {
        self.inner.borrow_host(memory)
    }

    fn host_address(&self, handle: Handle) -> Option<*mut T> {
        self.inner.host_address(handle)
    }

    fn synchronize(&self) -> Result<()> {
        self.inner.synchronize()
    }

    fn begin_step(&self) {
        self.inner.begin_step();
    }

    fn end_step(&self) -> Result<()> {
        self.inner.end_step()
    }

    fn connect(&self, group: &Group) -> Result<bool> {
        self.inner.connect(group)
    }

    fn tune(&self) -> Result<Vec<TunedTile>> {
        self.inner.tune()
    }

    fn peak_flops(&self) -> Option<f64> {
        self.inner.peak_flops()
    }

    fn packed_shape(&self, outputs: usize, inputs: usize) -> Option<[usize; 2]> {
        self.inner.packed_shape(outputs, inputs)
    }

    fn takes_network(&self, sizes: &[usize], samples: usize, trains: bool) -> bool {
        self.inner.takes_network(sizes, samples, trains)
    }

    counted! {
        write(from: &[T], to: Span);
        read(from: Span, to: &mut [T]);
        write_indices(from: &[u32], to: Handle);
        exchange(sent: &[Message], received: &[Message]);
        map(f: &'static Map, p: [f64; 4], x: Span, y: Span);
        zip(f: &'static Zip, p: [f64; 4], x: Span, y: Span, z: Span);
        uniform(stream: &Philox, to: Span);
        drop_out(stream: &Philox, call: &DropOut);
        gemm(alpha: T, a: Span, b: Span, beta: T, c: Span);
        row_sums(alpha: T, x: Span, beta: T, y: Span);
        reduce(reduction: Reduction, x: Span, y: Span) -> f64;
        gather(from: Span, indices: Handle, from_index: usize, to: Span, next: usize);
        pack_weights(weights: Span, to: Span);
        dense_forward(call: &DenseForward);
        dense_propagate(weights: Span, delta: Span, derivative: Derivative, out: Span);
        dense_gradient(call: &DenseGradient);
        network_forward(call: &NetworkForward<'_>);
        network_step(call: &NetworkStep<'_>);
        normalize(call: &Normalize);
        normalize_propagate(call: &NormalizePropagate);
        row_dots(alpha: T, x: Span, y: Span, beta: T, sums: Span);
        embed(call: &Embed);
        embed_gradient(call: &EmbedGradient);
        look_up(call: &LookUp);
        look_up_gradient(call: &LookUpGradient);
        blend(call: &Blend);
        blend_propagate(call: &BlendPropagate);
        blend_gradient(call: &BlendGradient);
        update(call: &UpdateCall);
        squares(x: Span, sums: Span);
        loss(call: &LossCall);
        hits(output: Span, target: Span, threshold: T, hits: Span);
    }
}
