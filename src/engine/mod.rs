//! Where matrices live and mathematics is computed.
//!
//! An engine is a value: `Arc<dyn Engine<T>>`. [`open`] makes one from its name, [`probe`] tells which there are on this
//! machine and what is missing for the others. The safe mathematics is in [`crate::ops`] and above; the methods of
//! [`Engine`] trust their arguments.
//!
//! An engine has one stream of work, done in order. Threads may share an engine; their calls take turns.

use std::ffi::c_void;
use std::path::PathBuf;
use std::sync::Arc;

use crate::error::{Error, ErrorKind, Result};
use crate::random::Philox;
use crate::scalar::{Family, Scalar};

mod cache;
mod counting;
pub(crate) mod cpu;
mod cuda;
pub(crate) mod formula;
mod gpu;
mod network;
mod normalize;
mod opencl;
mod settings;

pub use counting::{Counting, Counts};
pub use formula::{Map, Update, UpdateRule, Zip};
pub use network::{MOST_LAYERS, NetworkForward, NetworkLayer, NetworkStep};
pub use normalize::{Along, Normalize, NormalizePropagate};
pub use settings::{Fusion, Library, Limits, MatmulPrecision, Settings};

/// What an engine computes on, and whether it can be used.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Device {
    /// The name that [`open`] takes: `"cpu"`, `"cuda:0"`, `"opencl:0"`.
    pub name: String,
    /// What it is, in words.
    pub description: String,
    /// Threads it computes with, where they are the caller's to choose.
    pub threads: Option<usize>,
    /// The driver and its version, where there is one.
    pub driver: Option<String>,
    /// Bytes of memory, where known.
    pub memory: Option<u64>,
    /// Whether it computes in f64.
    pub fp64: bool,
    /// What the user of an engine should know: a file that was ignored.
    pub warnings: Vec<String>,
    /// `None` if it is usable, else why not and what would mend it.
    pub missing: Option<Missing>,
}

/// Why a device cannot be used.
#[derive(Clone, Debug)]
pub struct Missing {
    /// What was looked for and not found.
    pub reason: String,
    /// What would mend it.
    pub cure: String,
}

/// Opens a device by the part of its name behind the colon.
type Opener<T> = fn(&str, &Settings) -> Result<Arc<dyn Engine<T>>>;

/// One row of the table of engines.
struct Row {
    name: &'static str,
    probe: fn() -> Vec<Device>,
    open_f32: Opener<f32>,
    open_f64: Opener<f64>,
    /// Whether products may be left to a library, which alone computes in less than f32.
    has_library: bool,
}

/// The table of engines: a new engine is a file of its own and a row here.
static ENGINES: &[Row] = &[
    Row {
        name: "cpu",
        probe: cpu::probe,
        open_f32: cpu::open,
        open_f64: cpu::open,
        has_library: false,
    },
    Row {
        name: "cuda",
        probe: cuda::probe,
        open_f32: cuda::open,
        open_f64: cuda::open,
        has_library: true,
    },
    Row {
        name: "opencl",
        probe: opencl::probe,
        open_f32: opencl::open,
        open_f64: opencl::open,
        has_library: false,
    },
];

/// Opens an engine by its name with default settings, and the user's folder for caches.
///
/// ```
/// let cpu = travertine::engine::open::<f32>("cpu")?;
/// assert_eq!(cpu.device().name, "cpu");
/// let error = travertine::engine::open::<f32>("abacus").err().unwrap();
/// assert!(error.to_string().contains("there are: cpu, cuda, opencl"));
/// # Ok::<(), travertine::Error>(())
/// ```
///
/// # Errors
/// The engine or device is not there ([`ErrorKind::Unavailable`]), with the reason and the cure.
pub fn open<T: Scalar>(name: &str) -> Result<Arc<dyn Engine<T>>> {
    open_with(name, &Settings { cache: user_cache(), tune: true, ..Settings::default() })
}

/// The folder where this user's programs keep what they can make again, as the system has it.
pub fn user_cache() -> Option<PathBuf> {
    let folder =
        |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let home = || folder("HOME").map(|home| home.join(".cache"));
    let base = folder("XDG_CACHE_HOME").or_else(|| folder("LOCALAPPDATA")).or_else(home)?;
    Some(base.join("travertine"))
}

/// Opens an engine by its name: `"cpu"`, `"cuda"` (the first that can be used), `"cuda:1"`, `"opencl"` (the first GPU, else a
/// CPU), `"opencl:1"`.
///
/// # Errors
/// As [`open`]; settings that are out of range.
pub fn open_with<T: Scalar>(name: &str, settings: &Settings) -> Result<Arc<dyn Engine<T>>> {
    struct Open;
    impl Family for Open {
        type Of<T: Scalar> = Opener<T>;
    }
    let (engine, device) = name.split_once(':').unwrap_or((name, ""));
    let Some(row) = ENGINES.iter().find(|row| row.name == engine) else {
        let names: Vec<&str> = ENGINES.iter().map(|row| row.name).collect();
        return Err(unavailable(
            name,
            "no engine has this name",
            format!("there are: {}", names.join(", ")),
        ));
    };
    check_precision::<T>(name, row, settings)?;
    T::pick::<Open>(row.open_f32, row.open_f64)(device, settings)
}

/// Refuses what is asked of products where the engine cannot do it.
fn check_precision<T: Scalar>(name: &str, row: &Row, settings: &Settings) -> Result<()> {
    let Settings { matmul, library, .. } = *settings;
    if matmul == MatmulPrecision::Full && (library != Library::Always || row.has_library) {
        return Ok(());
    }
    let precision = matmul.name();
    if !row.has_library {
        let reason = match matmul {
            MatmulPrecision::Full => "it has no library for products".to_owned(),
            _ => format!("it does not multiply in {precision}"),
        };
        return Err(unavailable(name, reason, "take f32 here, or a CUDA device"));
    }
    if size_of::<T>() == 8 {
        return Err(Error::argument(
            "open",
            format!("{precision} is a precision of f32 matrices, not of f64 ones"),
        ));
    }
    if library == Library::Never {
        return Err(Error::argument(
            "open",
            format!("{precision} needs the library, which the settings rule out"),
        ));
    }
    Ok(())
}

/// Every engine and device, found or not.
///
/// ```
/// for device in travertine::engine::probe() {
///     println!("{}: {}", device.name, device.description);
/// }
/// ```
pub fn probe() -> Vec<Device> {
    ENGINES.iter().flat_map(|row| (row.probe)()).collect()
}

fn unavailable(engine: &str, reason: impl Into<String>, cure: impl Into<String>) -> Error {
    ErrorKind::Unavailable { engine: engine.to_owned(), reason: reason.into(), cure: cure.into() }
        .into()
}

/// Memory of an engine; what it points to is the engine's business.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Handle(pub *mut c_void);

// SAFETY: a handle is a name; whoever uses the memory behind it goes through the engine and the borrow checker.
unsafe impl Send for Handle {}
// SAFETY: as above.
unsafe impl Sync for Handle {}

/// A matrix in an engine's memory: element (i, j) is `offset + i row_stride + j column_stride` elements behind the
/// handle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// The memory.
    pub handle: Handle,
    /// The first element.
    pub offset: usize,
    /// At least 1.
    pub rows: usize,
    /// At least 1.
    pub columns: usize,
    /// Elements from a row to the next.
    pub row_stride: usize,
    /// Elements from a column to the next.
    pub column_stride: usize,
}

impl Span {
    /// The transposed matrix in the same memory.
    pub fn t(self) -> Span {
        Span {
            rows: self.columns,
            columns: self.rows,
            row_stride: self.column_stride,
            column_stride: self.row_stride,
            ..self
        }
    }

    /// Columns `from .. from + count`.
    pub fn columns(self, from: usize, count: usize) -> Span {
        Span { offset: self.offset + from * self.column_stride, columns: count, ..self }
    }
}

/// What a layer does to `z = W x + b`.
#[derive(Clone, Copy)]
pub enum Transfer {
    /// `a = z`
    Identity,
    /// `a = f(z; p)`, element by element.
    Map(&'static Map, [f64; 4]),
    /// `a_i = exp(z_i) / sum_j exp(z_j)`, column by column.
    Softmax,
}

/// What backward multiplies by where a gradient passes a layer's activation.
#[derive(Clone, Copy)]
pub enum Derivative {
    /// `1`
    One,
    /// `delta = f(g, kept; p) = g ⊙ f'(kept)`, element by element; kept is z or a.
    Zip(&'static Zip, [f64; 4], Span),
    /// `delta = a ⊙ (g - 1 (a · g))`, column by column; the span is a.
    Softmax(Span),
}

/// A loss and its gradient.
#[derive(Clone, Copy)]
pub enum LossFormula {
    /// A sum over elements of `value(y, t; p)`, its gradient `gradient(y, t; p)`.
    Elements {
        /// The loss of an element.
        value: &'static Zip,
        /// Its derivative by the element.
        gradient: &'static Zip,
        /// Parameters of both.
        p: [f64; 4],
    },
    /// `-sum_i t_i ln softmax(y)_i`
    SoftmaxCrossEntropy,
}

/// Arguments of [`Engine::dense_forward`].
#[derive(Clone, Copy)]
pub struct DenseForward {
    /// W: `outputs x inputs`
    pub weights: Span,
    /// What [`Engine::pack_weights`] made of W, if it was asked to.
    pub packed: Option<Span>,
    /// x: `inputs x samples`
    pub input: Span,
    /// b: `outputs x 1`
    pub bias: Span,
    /// f
    pub transfer: Transfer,
    /// Where z is kept, `outputs x samples`; `None` if nobody needs it.
    pub z: Option<Span>,
    /// a: `outputs x samples`
    pub output: Span,
    /// Whether a and z may be stored in as few bits as products take: products and derivatives alone read them.
    pub rounds: bool,
    /// Whether [`Engine::dense_propagate`] will want f' of this.
    pub trains: bool,
}

/// Arguments of [`Engine::dense_gradient`].
#[derive(Clone, Copy)]
pub struct DenseGradient {
    /// `outputs x samples`
    pub delta: Span,
    /// x: `inputs x samples`
    pub input: Span,
    /// Where the gradient of the weights goes, `outputs x inputs`.
    pub weights: Span,
    /// Where the gradient of the bias goes, `outputs x 1`.
    pub bias: Span,
    /// s in `sink = s gradient + k sink`
    pub scale: f64,
    /// k in `sink = s gradient + k sink`
    pub keep: f64,
}

/// Arguments of [`Engine::loss`].
#[derive(Clone, Copy)]
pub struct LossCall {
    /// The loss.
    pub formula: LossFormula,
    /// What the loss is computed from, `outputs x samples`, rows side by side.
    pub output: Span,
    /// `outputs x samples`, rows side by side.
    pub target: Span,
    /// Where the loss of each sample goes, `1 x samples`, side by side.
    pub values: Span,
    /// Where the gradient goes, already multiplied by the derivative, `outputs x samples`, rows side by side.
    pub delta: Option<Span>,
    /// What the gradient is multiplied by.
    pub derivative: Derivative,
}

/// Arguments of [`Engine::update`]: matrices of one shape, without gaps.
#[derive(Clone, Copy)]
pub struct UpdateCall {
    /// What happens to an element.
    pub rule: &'static Update,
    /// The rule's numbers.
    pub p: [f64; formula::NUMBERS],
    /// Read and written.
    pub parameter: Span,
    /// Read; it may be a moment.
    pub gradient: Span,
    /// Read and written, as many as the rule has.
    pub moments: [Span; formula::MOMENTS],
}

/// A way to cut the matrix product, and how fast it is.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct TunedTile {
    /// The tile, in words.
    pub tile: String,
    /// GFLOP/s of a product that fills the device.
    pub large: f64,
    /// GFLOP/s of one that does not.
    pub small: f64,
    /// The best for large products.
    pub is_large: bool,
    /// The best for small products.
    pub is_small: bool,
}

/// A number made of all elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reduction {
    /// `sum x y`
    Dot,
    /// `sum |x|`
    Asum,
    /// `max |x|`; NaN where there is one.
    Amax,
}

/// Mathematics on one kind of device for one scalar.
///
/// The methods check nothing: shapes agree, memory belongs to this engine, outputs overlap inputs only where it is said
/// that they may. [`crate::ops`] and the layers see to that, once. Calls may return before the work is done; `read`,
/// `synchronize` and calls that return a number wait.
///
/// # Safety
/// Every unsafe method demands what the paragraph above says.
#[allow(clippy::missing_safety_doc, reason = "one demand for all, told once")]
pub trait Engine<T: Scalar>: Send + Sync {
    /// What this engine computes on.
    fn device(&self) -> &Device;

    /// Memory for `bytes` bytes, all 0.
    fn allocate(&self, bytes: usize) -> Result<Handle>;
    /// Gives back what [`Engine::allocate`] gave.
    unsafe fn free(&self, handle: Handle, bytes: usize);
    /// A handle for the caller's own memory, where the engine can compute on it in place.
    fn borrow_host(&self, _memory: *const T) -> Option<Handle> {
        None
    }
    /// From a column-major slice.
    unsafe fn write(&self, from: &[T], to: Span) -> Result<()>;
    /// Into a column-major slice.
    unsafe fn read(&self, from: Span, to: &mut [T]) -> Result<()>;
    /// Indices for [`Engine::gather`], into memory of as many `u32`.
    unsafe fn write_indices(&self, from: &[u32], to: Handle) -> Result<()>;
    /// Waits until everything enqueued is done.
    fn synchronize(&self) -> Result<()>;
    /// Says that the calls up to [`Engine::end_step`] will come again and again in this form, as a step of training does. An
    /// engine may hold them back until then and start them together; nobody sees a difference but in time. Every
    /// `begin_step` must be followed by its `end_step`, whatever fails between them.
    fn begin_step(&self) {}
    /// Starts what was held back.
    fn end_step(&self) -> Result<()> {
        Ok(())
    }
    /// The floating-point operations a second that the device attains, measured now; `None` where nobody knows how.
    fn peak_flops(&self) -> Option<f64> {
        None
    }

    /// Measures every tile of the matrix product, and keeps the best in the cache for the next time; nothing where there is
    /// nothing to choose.
    fn tune(&self) -> Result<Vec<TunedTile>> {
        Ok(Vec::new())
    }

    /// `y = f(x; p)`; y may be x.
    unsafe fn map(&self, f: &'static Map, p: [f64; 4], x: Span, y: Span) -> Result<()>;
    /// `z = f(x, y; p)`; z may be x or y.
    unsafe fn zip(&self, f: &'static Zip, p: [f64; 4], x: Span, y: Span, z: Span) -> Result<()>;
    /// Element (i, j) is number `i + j rows` of the stream's uniform numbers.
    unsafe fn uniform(&self, stream: &Philox, to: Span) -> Result<()>;
    /// `C = alpha A B + beta C`; C is not read where beta is 0.
    unsafe fn gemm(&self, alpha: T, a: Span, b: Span, beta: T, c: Span) -> Result<()>;
    /// `y_i = alpha sum_j x_ij + beta y_i`; y (`rows x 1`) is not read where beta is 0.
    unsafe fn row_sums(&self, alpha: T, x: Span, beta: T, y: Span) -> Result<()>;
    /// One number; `y` is read by [`Reduction::Dot`] alone.
    unsafe fn reduce(&self, reduction: Reduction, x: Span, y: Span) -> Result<f64>;
    /// Column j of `to` is column `indices[from_index + j]` of `from`. `next` more indices follow, which are likely to be
    /// asked for next.
    unsafe fn gather(
        &self,
        from: Span,
        indices: Handle,
        from_index: usize,
        to: Span,
        next: usize,
    ) -> Result<()>;

    /// Rows and columns of a copy of weights from which [`Engine::dense_forward`] is faster, again and again; `None` where a
    /// copy does not pay.
    fn packed_shape(&self, _outputs: usize, _inputs: usize) -> Option<[usize; 2]> {
        None
    }
    /// Makes the copy.
    unsafe fn pack_weights(&self, _weights: Span, _to: Span) -> Result<()> {
        Ok(())
    }
    /// `a = f(W x + b 1^T)`
    unsafe fn dense_forward(&self, call: &DenseForward) -> Result<()>;
    /// `out = (W^T delta) ⊙ f'`, which may be stored in as few bits as products take.
    unsafe fn dense_propagate(
        &self,
        weights: Span,
        delta: Span,
        derivative: Derivative,
        out: Span,
    ) -> Result<()>;
    /// `sink = s gradient + k sink` with the gradients `delta x^T / n` of the weights and `delta 1 / n` of the bias.
    unsafe fn dense_gradient(&self, call: &DenseGradient) -> Result<()>;
    /// Whether [`Engine::network_step`], for so many samples at most, or [`Engine::network_forward`], for so many, is to be
    /// asked rather than layer by layer; sizes are those of the dense layers, the inputs first.
    fn takes_network(&self, _sizes: &[usize], _samples: usize, _trains: bool) -> bool {
        false
    }
    /// `a = f(W x + b 1^T)`, layer after layer. Only where [`Engine::takes_network`] said so.
    unsafe fn network_forward(&self, _call: &NetworkForward<'_>) -> Result<()> {
        Ok(())
    }
    /// Forward, loss, hits and backward, and the gradients into their sinks: `sink = s gradient + k sink`. Only where
    /// [`Engine::takes_network`] said so.
    unsafe fn network_step(&self, _call: &NetworkStep<'_>) -> Result<()> {
        Ok(())
    }
    /// `z = gamma ⊙ (x - mean) / sqrt(variance + epsilon) + beta`, row by row or column by column, with the variance that divides by
    /// the count.
    unsafe fn normalize(&self, call: &Normalize) -> Result<()>;
    /// The gradient by x of [`Engine::normalize`].
    unsafe fn normalize_propagate(&self, call: &NormalizePropagate) -> Result<()>;
    /// `sums_i = alpha sum_j x_ij y_ij + beta sums_i`; sums (`rows x 1`) is not read where beta is 0. Rows of all lie side by side.
    unsafe fn row_dots(&self, alpha: T, x: Span, y: Span, beta: T, sums: Span) -> Result<()>;
    /// One pass of an optimizer over a parameter, its gradient and its moments.
    unsafe fn update(&self, call: &UpdateCall) -> Result<()>;
    /// `sums_j` (a row) becomes the sum of squares of the j-th of as many equal shares of x, which has no gaps. Nobody waits.
    unsafe fn squares(&self, x: Span, sums: Span) -> Result<()>;
    /// Loss of every sample and, where asked for, its gradient.
    unsafe fn loss(&self, call: &LossCall) -> Result<()>;
    /// 1 for every sample whose largest output is that of the largest target, 0 for the others; with one output, whose
    /// output and target are on the same side of `threshold`.
    unsafe fn hits(&self, output: Span, target: Span, threshold: T, hits: Span) -> Result<()>;
}
