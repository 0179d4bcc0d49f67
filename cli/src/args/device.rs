//! Options of the device, and opening it.

use std::sync::Arc;
use std::time::Instant;

use clap::{Args, ValueEnum};
use travertine::engine::{self, Engine, Fusion, Library, MatmulPrecision, Settings};
use travertine::{LossScale, Matrix, Result, Scalar, TrainerBuilder, ops};

use crate::args::probe;
use crate::args::values::at_least_one;
use crate::message::{note, warn, wrong};

/// Rows and columns of the products that decide which device is the fastest; the largest counts that takes no longer than this.
const TIMED_SIZES: [usize; 3] = [64, 256, 1024];
const LONGEST_SECONDS: f64 = 0.25;
/// A device that is slower by this factor gets a warning.
const SLOW: f64 = 10.0;

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
    /// cpu, another name that `travertine devices` lists, opencl:WORDS of a device's name, or auto for the fastest
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
    /// The number of this process among those on this machine, and of the processes on its cores.
    #[arg(skip = (0, 1))]
    place: (usize, usize),
}

impl DeviceArgs {
    /// The same options without measuring tile sizes first.
    pub(crate) fn without_tuning(&self) -> Self {
        DeviceArgs { no_tune: true, ..self.clone() }
    }

    /// The same options with one thread of the CPU, unless a number is given.
    #[cfg(feature = "serve")]
    pub(crate) fn with_one_thread_unless_given(&self) -> Self {
        DeviceArgs { threads: self.threads.or(Some(1)), ..self.clone() }
    }

    /// Shares cores and GPUs with other processes of a group: this is process `number` on this machine, and `sharers` run on its cores.
    pub(crate) fn share(&mut self, number: usize, sharers: usize) {
        self.place = (number, sharers);
        if sharers > 1 && self.threads.is_none() {
            let cores = std::thread::available_parallelism().map_or(1, usize::from);
            self.threads = Some((cores / sharers).max(1));
        }
    }

    /// The device of this process: of a machine's GPUs each process has its own.
    fn name(&self) -> String {
        match (self.device.as_str(), self.place) {
            ("cuda", (number, sharers)) if sharers > 1 => format!("cuda:{number}"),
            (name, _) => name.to_owned(),
        }
    }

    /// Opens the device, and prints its warnings.
    pub(crate) fn open<T: Scalar>(&self, precision: Precision) -> Result<Arc<dyn Engine<T>>> {
        let settings = self.settings(precision);
        let engine = match self.name().as_str() {
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
        settings.note = Some(note);
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

/// The device that multiplies matrices fastest among those that open. Tiles are measured on that one alone.
fn fastest<T: Scalar>(settings: &Settings) -> Result<Arc<dyn Engine<T>>> {
    let mut untuned = settings.clone();
    untuned.tune = false;
    let (mut open, mut failure) =
        (Vec::new(), wrong("--device", "no device is usable; see `travertine devices`"));
    let devices = engine::names().flat_map(|engine| probe::apart(engine, probe::LIMIT));
    for device in devices.filter(|device| device.usable) {
        match engine::open_with::<T>(&device.device, &untuned) {
            Ok(engine) => open.push((product_rate(&engine).unwrap_or(0.0), engine)),
            Err(error) => failure = error,
        }
    }
    open.sort_by(|a, b| b.0.total_cmp(&a.0));
    let mut open = open.into_iter();
    let (best, engine) = open.next().ok_or(failure)?;
    let gflops = |rate: f64| rate * 1e-9;
    for (rate, slow) in open.filter(|(rate, _)| *rate < best / SLOW) {
        let (name, better) = (&slow.device().name, &engine.device().name);
        let (rate, best) = (gflops(rate), gflops(best));
        warn(&format!(
            "{name} is a bad choice: it multiplies matrices at {rate:.1} GFLOP/s, and {better} at {best:.1}"
        ));
    }
    match settings.tune && engine.device().name != "cpu" {
        true => engine::open_with(&engine.device().name, settings),
        false => Ok(engine),
    }
}

/// Floating-point operations a second of the largest product that does not take long.
fn product_rate<T: Scalar>(engine: &Arc<dyn Engine<T>>) -> Result<f64> {
    let mut rate = 0.0;
    for size in TIMED_SIZES {
        let flops = 2.0 * (size as f64).powi(3);
        if rate > 0.0 && flops / rate > LONGEST_SECONDS {
            break;
        }
        let zeros = || Matrix::zeros(engine, size, size);
        let (a, b, mut c) = (zeros()?, zeros()?, zeros()?);
        let mut seconds = f64::INFINITY;
        // The first call includes what is allocated and compiled once.
        for _ in 0..3 {
            let start = Instant::now();
            ops::gemm(T::from_f64(1.0), a.view(), b.view(), T::from_f64(0.0), c.view_mut())?;
            engine.synchronize()?;
            seconds = seconds.min(start.elapsed().as_secs_f64());
        }
        rate = flops / seconds;
    }
    Ok(rate)
}
