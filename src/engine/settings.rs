//! Settings of engines.

use std::path::PathBuf;

/// Settings for [`open_with`](super::open_with).
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Settings {
    /// Number of threads of the CPU engine; `None` means one for each core.
    pub threads: Option<usize>,
    /// The folder for compiled kernels and measured tiles; `None` means that nothing is stored.
    pub cache: Option<PathBuf>,
    /// Whether tiles are measured if the cache has none for the device; otherwise the engine uses its defaults.
    pub tune: bool,
    /// Limits that make any OpenCL device look like a small GPU, for tests.
    pub limits: Option<Limits>,
    /// The precision of matrix products.
    pub matmul: MatmulPrecision,
    /// Which matrix products the vendor's library computes.
    pub library: Library,
    /// Which networks a GPU computes in one kernel.
    pub fusion: Fusion,
    /// Called with a line for people before work that takes seconds, such as measuring tiles.
    pub note: Option<fn(&str)>,
}

/// The precision to which matrix products may round their operands, and in which hidden layers may be stored.
///
/// Parameters, their gradients and the output of the last layer are always f32, and products are summed in f32. Small products
/// may be computed in f32 altogether. All but [`MatmulPrecision::Full`] require CUDA with cuBLASLt, and f32 matrices.
///
/// ```
/// use travertine::engine::{self, MatmulPrecision, Settings};
/// let mut settings = Settings::default();
/// settings.matmul = MatmulPrecision::Tf32;
/// let error = engine::open_with::<f32>("cpu", &settings).err().unwrap();
/// assert!(error.to_string().contains("tf32"));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MatmulPrecision {
    /// No rounding: f32 is f32.
    #[default]
    Full,
    /// TensorFloat-32: the range of f32, 10 bits of fraction.
    Tf32,
    /// bfloat16: the range of f32, 7 bits of fraction.
    Bf16,
    /// IEEE half precision: up to 65504, 10 bits of fraction. Training requires a loss scale, see
    /// [`LossScale`](crate::LossScale).
    F16,
}

impl MatmulPrecision {
    /// `"full"`, `"tf32"`, `"bf16"`, `"f16"`
    pub fn name(self) -> &'static str {
        match self {
            MatmulPrecision::Full => "full",
            MatmulPrecision::Tf32 => "tf32",
            MatmulPrecision::Bf16 => "bf16",
            MatmulPrecision::F16 => "f16",
        }
    }
}

/// Which matrix products the vendor's library, cuBLASLt, computes. It adds up in another order than this library's
/// kernels, so the last bits differ.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Library {
    /// Those of sizes at which it was measured to be faster; large ones if nothing was measured.
    #[default]
    Measured,
    /// None.
    Never,
    /// All that it supports, however small; for tests.
    Always,
}

/// Which networks of dense layers a GPU computes in one kernel, in inference and in a step of training. The kernel adds up in another
/// order, so the last bits differ, and its products are f32 whatever [`Settings::matmul`] is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fusion {
    /// Networks of up to 4 layers that are so small that one multiprocessor is faster than one launch for each layer.
    #[default]
    Small,
    /// None.
    Never,
    /// All that fit into the memory of a multiprocessor; for tests.
    Always,
}

/// Limits of a device.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The largest number of items in a work-group.
    pub items: usize,
    /// Bytes of local memory.
    pub shared: usize,
    /// Whether f64 is available.
    pub fp64: bool,
    /// Lanes of the kernels' vectors: 4, or 1 as on CUDA for any smaller number.
    pub lanes: usize,
}

impl Settings {
    /// Default settings with `threads` threads.
    pub fn threads(threads: usize) -> Settings {
        Settings { threads: Some(threads), ..Settings::default() }
    }
}
