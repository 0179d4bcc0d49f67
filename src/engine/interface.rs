//! The trait that every engine implements.

use super::blend::{Blend, BlendGradient, BlendPropagate};
use super::call::{
    DenseForward, DenseGradient, Derivative, DropOut, LossCall, Reduction, UpdateCall,
};
use super::device::{Device, TunedTile};
use super::embedding::{Embed, EmbedGradient};
use super::formula::{Map, Zip};
use super::lookup::{LookUp, LookUpGradient};
use super::memory::{Handle, Message, Span};
use super::network::{NetworkForward, NetworkStep};
use super::normalize::{Normalize, NormalizePropagate};
use crate::error::Result;
use crate::processes::Group;
use crate::random::Philox;
use crate::scalar::Scalar;

/// Seals [`Engine`].
pub trait Sealed {}

/// Mathematics on one kind of device for one scalar.
///
/// The trait is sealed: only this library implements it. Programs name it in `Arc<dyn Engine<T>>` and call the methods that are documented here;
/// the hidden ones are for [`crate::ops`] and the layers.
///
/// # Safety
/// The unsafe methods check nothing. Their callers promise that shapes agree, that all memory belongs to this engine and is borrowed for the
/// call, and that outputs overlap inputs only where the method allows it. Calls may return before the work is done; `read`,
/// `synchronize` and calls that return a number wait.
#[allow(
    clippy::missing_safety_doc,
    reason = "all unsafe methods have the same contract, which the trait documents"
)]
pub trait Engine<T: Scalar>: Sealed + Send + Sync {
    /// The device of this engine.
    fn device(&self) -> &Device;
    /// Waits until all work of this engine is done.
    ///
    /// # Errors
    /// A device that fails.
    fn synchronize(&self) -> Result<()>;
    /// The floating-point operations a second that the device attains, measured by this call; `None` if the engine cannot measure it.
    fn peak_flops(&self) -> Option<f64> {
        None
    }
    /// Measures every tile of the matrix product and stores the fastest in the cache. An engine without a choice of tiles returns
    /// an empty list.
    ///
    /// # Errors
    /// A device that fails.
    fn tune(&self) -> Result<Vec<TunedTile>> {
        Ok(Vec::new())
    }

    /// `bytes` bytes of memory, all 0.
    #[doc(hidden)]
    fn allocate(&self, bytes: usize) -> Result<Handle>;
    /// Frees memory of [`Engine::allocate`].
    #[doc(hidden)]
    unsafe fn free(&self, handle: Handle, bytes: usize);
    /// A handle for the caller's own memory; `None` if the engine does not compute in the host's memory.
    #[doc(hidden)]
    fn borrow_host(&self, _memory: *const T) -> Option<Handle> {
        None
    }
    /// The address of an allocation; `None` if the engine does not compute in the host's memory. All calls that use the memory have
    /// finished when they return.
    #[doc(hidden)]
    fn host_address(&self, _handle: Handle) -> Option<*mut T> {
        None
    }
    /// Copies a column-major slice to a matrix.
    #[doc(hidden)]
    unsafe fn write(&self, from: &[T], to: Span) -> Result<()>;
    /// Copies a matrix to a column-major slice.
    #[doc(hidden)]
    unsafe fn read(&self, from: Span, to: &mut [T]) -> Result<()>;
    /// Copies indices for [`Engine::gather`] to memory of as many `u32`.
    #[doc(hidden)]
    unsafe fn write_indices(&self, from: &[u32], to: Handle) -> Result<()>;
    /// Announces that the calls up to [`Engine::end_step`] will be repeated in this form, as the steps of training are. An
    /// engine may delay them and start them together at the end. Every `begin_step` must be followed by its `end_step`, even if a
    /// call between them fails.
    #[doc(hidden)]
    fn begin_step(&self) {}
    /// Starts the delayed calls.
    #[doc(hidden)]
    fn end_step(&self) -> Result<()> {
        Ok(())
    }

    /// Connects the devices of all processes of a group for [`Engine::exchange`]. False where they cannot be connected, which is the same in
    /// all processes. The group is the only one of this process that has several members. Collective, whatever the engines: each takes
    /// part in the vote that this implementation shows.
    #[doc(hidden)]
    fn connect(&self, group: &Group) -> Result<bool> {
        let is_missing = true;
        group.any(is_missing).map(|_| false)
    }
    /// Sends and receives messages all at once. What is received overlaps no other message. The n-th message from one process to
    /// another has the same length in both. Only if [`Engine::connect`] has returned true. Collective.
    #[doc(hidden)]
    unsafe fn exchange(&self, _sent: &[Message], _received: &[Message]) -> Result<()> {
        Ok(())
    }

    /// `y = f(x; p)`; y may be x.
    #[doc(hidden)]
    unsafe fn map(&self, f: &'static Map, p: [f64; 4], x: Span, y: Span) -> Result<()>;
    /// `z = f(x, y; p)`; z may be x or y.
    #[doc(hidden)]
    unsafe fn zip(&self, f: &'static Zip, p: [f64; 4], x: Span, y: Span, z: Span) -> Result<()>;
    /// Element (i, j) becomes number `i + j rows` of [`Philox::uniform_f32`].
    #[doc(hidden)]
    unsafe fn uniform(&self, stream: &Philox, to: Span) -> Result<()>;
    /// Draws become numbers of the stream as by [`Engine::uniform`], and `y = f(x, draws; p)`.
    #[doc(hidden)]
    unsafe fn drop_out(&self, stream: &Philox, call: &DropOut) -> Result<()> {
        let DropOut { keep, p, x, draws, y } = *call;
        // SAFETY: the caller's promise.
        unsafe {
            self.uniform(stream, draws)?;
            self.zip(keep, p, x, draws, y)
        }
    }
    /// `C = alpha A B + beta C`; C is not read if beta is 0.
    #[doc(hidden)]
    unsafe fn gemm(&self, alpha: T, a: Span, b: Span, beta: T, c: Span) -> Result<()>;
    /// `y_i = alpha sum_j x_ij + beta y_i`; y (`rows x 1`) is not read if beta is 0.
    #[doc(hidden)]
    unsafe fn row_sums(&self, alpha: T, x: Span, beta: T, y: Span) -> Result<()>;
    /// Reduces x, and y for [`Reduction::Dot`], to one number.
    #[doc(hidden)]
    unsafe fn reduce(&self, reduction: Reduction, x: Span, y: Span) -> Result<f64>;
    /// Column j of `to` becomes column `indices[from_index + j]` of `from`. The `next` indices behind them will probably be gathered
    /// next.
    #[doc(hidden)]
    unsafe fn gather(
        &self,
        from: Span,
        indices: Handle,
        from_index: usize,
        to: Span,
        next: usize,
    ) -> Result<()>;

    /// Rows and columns of a packed copy of weights that makes repeated calls of [`Engine::dense_forward`] faster; `None` if a
    /// copy does not pay.
    #[doc(hidden)]
    fn packed_shape(&self, _outputs: usize, _inputs: usize) -> Option<[usize; 2]> {
        None
    }
    /// Makes the packed copy.
    #[doc(hidden)]
    unsafe fn pack_weights(&self, _weights: Span, _to: Span) -> Result<()> {
        Ok(())
    }
    /// `a = f(W x + b 1^T)`
    #[doc(hidden)]
    unsafe fn dense_forward(&self, call: &DenseForward) -> Result<()>;
    /// `out = (W^T delta) ⊙ f'`, which may be stored in the reduced precision of products.
    #[doc(hidden)]
    unsafe fn dense_propagate(
        &self,
        weights: Span,
        delta: Span,
        derivative: Derivative,
        out: Span,
    ) -> Result<()>;
    /// `sink = s gradient + k sink` with the gradients `delta x^T / n` of the weights and `delta 1 / n` of the bias.
    #[doc(hidden)]
    unsafe fn dense_gradient(&self, call: &DenseGradient) -> Result<()>;
    /// Whether this engine computes a network faster by [`Engine::network_step`] (`trains`) or [`Engine::network_forward`] than layer by
    /// layer, for at most `samples` samples. `sizes` are those of the inputs and of each dense layer.
    #[doc(hidden)]
    fn takes_network(&self, _sizes: &[usize], _samples: usize, _trains: bool) -> bool {
        false
    }
    /// `a = f(W x + b 1^T)`, layer after layer. Only if [`Engine::takes_network`] is true.
    #[doc(hidden)]
    unsafe fn network_forward(&self, _call: &NetworkForward<'_>) -> Result<()> {
        Ok(())
    }
    /// Forward pass, loss, hits and backward pass: `sink = s gradient + k sink`. Only if [`Engine::takes_network`] is true.
    #[doc(hidden)]
    unsafe fn network_step(&self, _call: &NetworkStep<'_>) -> Result<()> {
        Ok(())
    }
    /// `z = gamma ⊙ (x - mean) / sqrt(variance + epsilon) + beta`, row by row or column by column, with the variance that divides by
    /// the count.
    #[doc(hidden)]
    unsafe fn normalize(&self, call: &Normalize) -> Result<()>;
    /// The gradient of [`Engine::normalize`] by x.
    #[doc(hidden)]
    unsafe fn normalize_propagate(&self, call: &NormalizePropagate) -> Result<()>;
    /// `sums_i = alpha sum_j x_ij y_ij + beta sums_i`; sums (`rows x 1`) is not read if beta is 0. The rows of all are contiguous.
    #[doc(hidden)]
    unsafe fn row_dots(&self, alpha: T, x: Span, y: Span, beta: T, sums: Span) -> Result<()>;
    /// The rows of x, then for each embedded feature k three rows `e_r = b2_r + sum_f W2_rf cos(2 pi w1_f x_k + b1_f)`, with 16
    /// frequencies f.
    #[doc(hidden)]
    unsafe fn embed(&self, call: &Embed) -> Result<()>;
    /// `sink = s gradient + k sink` with the mean over the samples of the gradients of [`Engine::embed`] by weights and bias: with
    /// `g_f = -sin(2 pi w1_f x_k + b1_f) sum_r delta_r W2_rf`, those of w1 are `2 pi x_k g_f`, of b1 g_f, of W2
    /// `delta_r cos(2 pi w1_f x_k + b1_f)`, of b2 delta_r. A sink is not read if k is 0.
    #[doc(hidden)]
    unsafe fn embed_gradient(&self, call: &EmbedGradient) -> Result<()>;
    /// The 8 numbers of the category of each embedded feature k of a sample, a column of the weights: the first in the row of the
    /// feature, the others in rows n + 7 k to n + 7 k + 6. They are 0 for category 0, and NaN for what is no category. Other rows
    /// of the output stay as they are.
    #[doc(hidden)]
    unsafe fn look_up(&self, call: &LookUp) -> Result<()>;
    /// `sink = s gradient + k sink` with the mean over the samples of the gradient of [`Engine::look_up`] by the weights: a column's is
    /// the sum of the deltas of the samples with its category. The sink is not read if k is 0.
    #[doc(hidden)]
    unsafe fn look_up_gradient(&self, call: &LookUpGradient) -> Result<()>;
    /// `y = (1 - a) x + a f(x)` with a number a for each row.
    #[doc(hidden)]
    unsafe fn blend(&self, call: &Blend) -> Result<()>;
    /// The gradient of [`Engine::blend`] by x, `delta (1 - a) + a delta f'(x)`, times the derivative of the layer before.
    #[doc(hidden)]
    unsafe fn blend_propagate(&self, call: &BlendPropagate) -> Result<()>;
    /// `sink = s gradient + k sink` with the mean over the samples of the gradient of [`Engine::blend`] by a,
    /// `delta (f(x) - x)`. The sink is not read if k is 0.
    #[doc(hidden)]
    unsafe fn blend_gradient(&self, call: &BlendGradient) -> Result<()>;
    /// One pass of an optimizer over a parameter, its gradient and its moments.
    #[doc(hidden)]
    unsafe fn update(&self, call: &UpdateCall) -> Result<()>;
    /// `sums_j` (a row) becomes the sum of squares of part j of x, which is contiguous and divided into as many equal parts as sums has
    /// columns.
    #[doc(hidden)]
    unsafe fn squares(&self, x: Span, sums: Span) -> Result<()>;
    /// The loss of every sample and, if there is a matrix for it, its gradient.
    #[doc(hidden)]
    unsafe fn loss(&self, call: &LossCall) -> Result<()>;
    /// 1 for every sample whose largest output is in the row of its largest target, else 0. With a single output: 1 if output and
    /// target are on the same side of `threshold`.
    #[doc(hidden)]
    unsafe fn hits(&self, output: Span, target: Span, threshold: T, hits: Span) -> Result<()>;
}
