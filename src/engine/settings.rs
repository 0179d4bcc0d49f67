//! How engines are opened.

use std::path::PathBuf;

/// How to open an engine.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Settings {
    /// Threads of the CPU engine; `None`: one for every core.
    pub threads: Option<usize>,
    /// Where compiled kernels and measured tiles are kept; `None`: nowhere.
    pub cache: Option<PathBuf>,
    /// Measures tiles where the cache has none for the device; without that, usual ones are taken.
    pub tune: bool,
    /// Treats an OpenCL device as a small GPU, whatever it is: for tests.
    pub limits: Option<Limits>,
    /// What matrix products may round their operands to.
    pub matmul: MatmulPrecision,
    /// Which matrix products are left to the vendor's library.
    pub library: Library,
    /// Which networks GPUs compute in one kernel.
    pub fusion: Fusion,
}

/// What matrix products may round their operands to, and hidden layers what they store. Parameters, their gradients and what the last
/// layer puts out stay f32, and products are summed up in f32 whatever this says; small ones may be computed in f32 altogether. All but [`MatmulPrecision::Full`] needs
/// CUDA with cuBLASLt, and f32 matrices.
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
    /// To nothing: f32 is f32.
    #[default]
    Full,
    /// TensorFloat-32: the range of f32, 10 bits of fraction.
    Tf32,
    /// bfloat16: the range of f32, 7 bits of fraction.
    Bf16,
    /// IEEE half precision: up to 65504, 10 bits of fraction. Training in it wants
    /// [`TrainerBuilder::loss_scale`](crate::TrainerBuilder::loss_scale).
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

/// Which matrix products are left to the vendor's library, cuBLASLt. Its sums have another order than those of our own
/// kernels, and so other last bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Library {
    /// Those of sizes for which it was measured to be faster; where nothing was measured, large ones.
    #[default]
    Measured,
    /// None.
    Never,
    /// All that it takes, however small: for tests.
    Always,
}

/// Which networks of dense layers a GPU computes in one kernel, a pass forward or a step of training. Sums then have another order, and
/// other last bits; products are f32 whatever [`Settings::matmul`] says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fusion {
    /// Small ones, of up to 4 layers, where one multiprocessor is done before the launches of a kernel for each layer are.
    #[default]
    Small,
    /// None.
    Never,
    /// All that fit into the memory of a multiprocessor: for tests.
    Always,
}

/// What a device is held to.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Items in a work-group, at most.
    pub items: usize,
    /// Bytes of local memory, at most.
    pub shared: usize,
    /// Whether f64 is to be seen.
    pub fp64: bool,
    /// Lanes of the kernels' vectors: 4, or 1 as on CUDA for whatever is less.
    pub lanes: usize,
}

impl Settings {
    /// Settings with a number of threads.
    pub fn threads(threads: usize) -> Settings {
        Settings { threads: Some(threads), ..Settings::default() }
    }
}
