//! `travertine devices`, and opening one.

use std::sync::Arc;
use std::time::Instant;

use serde_json::json;
use travertine::engine::{self, Device, Engine, Fusion, Library, Settings};
use travertine::{Matrix, Result, Scalar, ops};

use crate::args::{DeviceArgs, DevicesArgs, NetworkFusion, Precision, ProductLibrary};
use crate::names::wrong;
use crate::output::{Output, note, short};

/// Rows and columns of the product that tells the fastest device.
const SIZE: usize = 1024;

/// Lists them.
pub(crate) fn run(args: &DevicesArgs) -> Result<()> {
    let mut out = Output::new(args.json);
    for device in engine::probe() {
        let missing = device.missing.as_ref();
        let json = [
            ("device", json!(device.name)),
            ("name", json!(device.description)),
            ("usable", json!(missing.is_none())),
            ("reason", json!(missing.map(|missing| &missing.reason))),
            ("cure", json!(missing.map(|missing| &missing.cure))),
            ("threads", json!(device.threads)),
            ("memory", json!(device.memory)),
            ("driver", json!(device.driver)),
            ("fp64", json!(device.fp64)),
        ];
        out.tell(&json, &people(&device))?;
    }
    Ok(())
}

fn people(device: &Device) -> String {
    let memory = device
        .memory
        .map_or(String::new(), |bytes| format!(", {}B of memory", short(bytes as f64)));
    let driver =
        device.driver.as_ref().map_or(String::new(), |driver| format!(", driver {driver}"));
    let fp64 = if device.fp64 || device.missing.is_some() { "" } else { ", no f64" };
    let state = match &device.missing {
        None => "usable".to_owned(),
        Some(missing) => format!("not usable: {}; {}", missing.reason, missing.cure),
    };
    format!("{:<10}  {}{driver}{memory}{fp64}; {state}", device.name, device.description)
}

/// The device that the arguments ask for.
pub(crate) fn open<T: Scalar>(
    args: &DeviceArgs,
    precision: Precision,
) -> Result<Arc<dyn Engine<T>>> {
    let engine = open_with_tiles(args, precision, !args.no_tune)?;
    engine.device().warnings.iter().for_each(|warning| note(&format!("warning: {warning}")));
    Ok(engine)
}

/// The same; `measured`: with tiles measured on the device, if need be now.
pub(crate) fn open_with_tiles<T: Scalar>(
    args: &DeviceArgs,
    precision: Precision,
    measured: bool,
) -> Result<Arc<dyn Engine<T>>> {
    let mut settings = args.threads.map_or_else(Settings::default, Settings::threads);
    settings.cache = engine::user_cache();
    settings.tune = measured;
    settings.matmul = precision.matmul();
    settings.library = match args.library {
        ProductLibrary::Measured => Library::Measured,
        ProductLibrary::Never => Library::Never,
        ProductLibrary::Always => Library::Always,
    };
    settings.fusion = match args.fusion {
        NetworkFusion::Small => Fusion::Small,
        NetworkFusion::Never => Fusion::Never,
        NetworkFusion::Always => Fusion::Always,
    };
    match args.device.as_str() {
        "auto" => fastest(&settings),
        name => engine::open_with(name, &settings),
    }
}

/// The one that multiplies matrices fastest among those that open.
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
    let zeros = || Matrix::zeros(engine, SIZE, SIZE);
    let (a, b, mut c) = (zeros()?, zeros()?, zeros()?);
    let mut seconds = f64::INFINITY;
    // The first time pays for what is made only once.
    for _ in 0..3 {
        let start = Instant::now();
        ops::gemm(T::from_f64(1.0), a.view(), b.view(), T::from_f64(0.0), c.view_mut())?;
        engine.synchronize()?;
        seconds = seconds.min(start.elapsed().as_secs_f64());
    }
    Ok(seconds)
}
