//! Where matrices live and mathematics is computed.
//!
//! An engine is a value: `Arc<dyn Engine<T>>`. [`open`] opens one by its name; [`probe`] lists the engines of this machine, and for the others
//! what is missing. The safe mathematics is in [`crate::ops`] and above.
//!
//! # Threads
//!
//! Engines, matrices, networks and samples are `Send` and `Sync`: threads may share one engine. The engine of a GPU has one queue, and
//! calls enter it in order.
//!
//! The CPU engine has one pool of threads, for one large call at a time; large calls of several threads take turns at it. A short
//! call (a product of at most 10^8 floating-point operations, a loop over at most 2^20 elements) never waits for a large one: while the
//! pool is busy, it runs on the thread that makes it, with packing buffers that the engine keeps for that purpose. There are as many of these
//! buffers as the machine has cores. Results have the same bits either way. So a server may share one engine among all
//! its threads; each thread needs an [`Inference`](crate::Inference) of its own, whose buffers are not shared.
//!
//! # Sealed
//!
//! [`Engine`] is sealed: the engines are those of this library, so that a release may add a kernel without breaking programs. Its methods that
//! compute, and the types of their arguments, are hidden from this documentation; they check nothing and may change in any
//! release. Use [`crate::ops`], or [`MatrixRef::as_slice`](crate::MatrixRef::as_slice) for loops of your own on the CPU.

#[cfg(not(all(feature = "cuda", feature = "opencl")))]
mod absent;
mod blend;
#[cfg(any(feature = "cuda", feature = "opencl"))]
mod cache;
mod call;
mod counting;
pub(crate) mod cpu;
#[cfg(feature = "cuda")]
mod cuda;
mod device;
mod embedding;
pub(crate) mod formula;
#[cfg(any(feature = "cuda", feature = "opencl"))]
mod gpu;
mod interface;
mod lookup;
mod memory;
mod network;
mod normalize;
mod open;
#[cfg(feature = "opencl")]
mod opencl;
mod settings;
pub(crate) mod simd;

use device::unavailable;

#[cfg(not(feature = "cuda"))]
use self::absent::cuda;
#[cfg(not(feature = "opencl"))]
use self::absent::opencl;

pub use counting::{Counting, Counts};
pub use cpu::after_fork;
pub use device::{Device, Missing, TunedTile};
pub use interface::Engine;
pub use open::{names, open, open_with, opencl_drivers, probe, probe_one, user_cache};
pub use settings::{Fusion, Library, Limits, MatmulPrecision, Settings};

#[doc(hidden)]
pub use blend::{Blend, BlendGradient, BlendPropagate, Elementwise};
#[doc(hidden)]
pub use call::{
    DenseForward, DenseGradient, Derivative, DropOut, LossCall, LossFormula, Reduction, Transfer,
    UpdateCall,
};
#[doc(hidden)]
pub use embedding::{EMBEDDED, Embed, EmbedGradient, FREQUENCIES};
#[doc(hidden)]
pub use formula::{Map, Update, UpdateRule, Zip};
#[doc(hidden)]
pub use lookup::{CATEGORY_NUMBERS, LookUp, LookUpGradient};
#[doc(hidden)]
pub use memory::{Handle, Message, Span};
#[doc(hidden)]
pub use network::{MOST_LAYERS, NetworkForward, NetworkLayer, NetworkStep};
#[doc(hidden)]
pub use normalize::{Along, Normalize, NormalizePropagate};
