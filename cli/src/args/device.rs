//! Options of the device, and opening it.

use std::sync::Arc;
use std::time::Instant;

use clap::{Args, ValueEnum};
use travertine::engine::{self, Engine, Fusion, Library, MatmulPrecision, Settings};
use travertine::{LossScale, Matrix, Result, Scalar, TrainerBuilder, ops};

use crate::args::values::at_least_one;
use crate::message::{warn, wrong};

/// Rows and columns of the product that decides which device is the fastest.
const TIMED_SIZE: usize = 1024;

/// The numbers that matrices hold, and what large matrix products may round their factors to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Precision {
    /// f32 throughout
    F32,
    /// f64 throughout
    F64,
    /// f32, but products of factors in TensorFloat-32 (CUDA)
    Tf32,
    /// f32, but products of factors in bfloat16 (CUDA)
    Bf16,
    /// f32, but products of factors in half precision (CUDA)
    F16,
}

impl Precision {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Precision::F32 => "f32",
            Precision::F64 => "f64",
            _ => self.matmul().name(),
        }
    }

    fn matmul(self) -> MatmulPrecision {
        match self {
            Precision::F32 | Precision::F64 => MatmulPrecision::Full,
            Precision::Tf32 => MatmulPrecision::Tf32,
            Precision::Bf16 => MatmulPrecision::Bf16,
            Precision::F16 => MatmulPrecision::F16,
        }
    }

    /// Adds what this precision requires: small gradients underflow in half precision unless the loss is scaled.
    pub(crate) fn of_trainer<'n, T: Scalar>(
        self,
        trainer: TrainerBuilder<'n, T>,
    ) -> TrainerBuilder<'n, T> {
        trainer.loss_scale((self == Precision::F16).then(LossScale::default))
    }
}

/// Which matrix products cuBLASLt computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ProductLibrary {
    /// Those for which it is faster than our own kernels
    Measured,
    /// None
    Never,
    /// All that it accepts
    Always,
}

/// Which networks of dense layers a GPU computes in one kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum NetworkFusion {
    /// Those for which it is likely to be faster
    Small,
    /// None
    Never,
    /// All that fit
    Always,
}

/// The device that computes.
#[derive(Args, Clone, Debug)]
pub(crate) struct DeviceArgs {
    /// cpu, another name that `travertine devices` lists, or auto for the fastest
    #[arg(long, default_value = "cpu")]
    pub(crate) device: String,
    /// Threads of the CPU [default: one for every core]
    #[arg(long, value_parser = at_least_one)]
    threads: Option<usize>,
    /// Use default tile sizes where none were measured on the device yet, instead of measuring them
    #[arg(long)]
    no_tune: bool,
    /// Matrix products for NVIDIA's cuBLASLt, where it is installed
    #[arg(
        long,
        value_enum,
        default_value = "measured",
        hide_possible_values = true,
        value_name = "measured|never|always"
    )]
    library: ProductLibrary,
    /// Networks that a GPU computes in one kernel
    #[arg(
        long,
        value_enum,
        default_value = "small",
        hide_possible_values = true,
        value_name = "small|never|always"
    )]
    fusion: NetworkFusion,
}

impl DeviceArgs {
    /// The same options without measuring tile sizes first.
    pub(crate) fn without_tuning(&self) -> Self {
        DeviceArgs { no_tune: true, ..self.clone() }
    }

    /// Opens the device, and prints its warnings.
    pub(crate) fn open<T: Scalar>(&self, precision: Precision) -> Result<Arc<dyn Engine<T>>> {
        let settings = self.settings(precision);
        let engine = match self.device.as_str() {
            "auto" => fastest(&settings)?,
            name => engine::open_with(name, &settings)?,
        };
        engine.device().warnings.iter().for_each(|warning| warn(warning));
        Ok(engine)
    }

    /// Opens the CPU with the number of threads given, whatever the device.
    pub(crate) fn open_cpu<T: Scalar>(&self) -> Result<Arc<dyn Engine<T>>> {
        engine::open_with("cpu", &self.threads.map_or_else(Settings::default, Settings::threads))
    }

    fn settings(&self, precision: Precision) -> Settings {
        let mut settings = self.threads.map_or_else(Settings::default, Settings::threads);
        settings.cache = engine::user_cache();
        settings.tune = !self.no_tune;
        settings.matmul = precision.matmul();
        settings.library = match self.library {
            ProductLibrary::Measured => Library::Measured,
            ProductLibrary::Never => Library::Never,
            ProductLibrary::Always => Library::Always,
        };
        settings.fusion = match self.fusion {
            NetworkFusion::Small => Fusion::Small,
            NetworkFusion::Never => Fusion::Never,
            NetworkFusion::Always => Fusion::Always,
        };
        settings
    }
}

/// The device that multiplies matrices fastest among those that open.
fn fastest<T: Scalar>(settings: &Settings) -> Result<Arc<dyn Engine<T>>> {
    let (mut open, mut failure) =
        (Vec::new(), wrong("--device", "no device is usable; see `travertine devices`"));
    for device in engine::probe().iter().filter(|device| device.missing.is_none()) {
        match engine::open_with::<T>(&device.name, settings) {
            Ok(engine) => open.push(engine),
            Err(error) => failure = error,
        }
    }
    if open.len() > 1 {
        open.sort_by_cached_key(|engine| {
            seconds_of_product(engine).map_or(u64::MAX, |seconds| (seconds * 1e9) as u64)
        });
    }
    open.into_iter().next().ok_or(failure)
}

fn seconds_of_product<T: Scalar>(engine: &Arc<dyn Engine<T>>) -> Result<f64> {
    let zeros = || Matrix::zeros(engine, TIMED_SIZE, TIMED_SIZE);
    let (a, b, mut c) = (zeros()?, zeros()?, zeros()?);
    let mut seconds = f64::INFINITY;
    // The first call includes what is allocated and compiled once.
    for _ in 0..3 {
        let start = Instant::now();
        ops::gemm(T::from_f64(1.0), a.view(), b.view(), T::from_f64(0.0), c.view_mut())?;
        engine.synchronize()?;
        seconds = seconds.min(start.elapsed().as_secs_f64());
    }
    Ok(seconds)
}
