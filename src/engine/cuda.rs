//! The CUDA engine: which devices there are, and how one is opened.
//!
//! Driver, compiler (NVRTC), library of products (cuBLASLt) and NCCL are opened at run time, so that nothing of CUDA is needed to build. cudarc declares
//! their calls. We use its `sys` and `result` modules: the safe module allocates for each launch and records events that one stream does not
//! need. Three properties of cudarc shape the code. It panics where a library or symbol is missing, so libraries and versions are checked before
//! all other calls. Result codes are enums, for which an unknown code would be undefined behavior, so the newest version of CUDA is
//! declared. Symbols are looked up when they are first called, so older drivers work with these declarations.

use std::sync::Arc;

use self::devices::Found;
use self::driver::Cuda;
use super::cache::Cache;
use super::gpu::Gpu;
use super::{Device, Engine, Library, MatmulPrecision, Settings, unavailable};
use crate::error::Result;
use crate::scalar::Scalar;

mod capture;
mod compile;
mod context;
mod cublaslt;
mod devices;
mod driver;
mod failure;
mod graph;
mod launch;
mod nccl;
mod nvrtc;
mod staging;
#[cfg(test)]
mod tests;

/// The compute capability from which on tensor cores multiply TF32 and bfloat16, as 10 major + minor.
const TF32_CAPABILITY: i32 = 80;
/// The compute capability from which on tensor cores multiply half precision, as 10 major + minor.
const F16_CAPABILITY: i32 = 70;

pub(super) fn probe() -> Vec<Device> {
    match devices::find() {
        Ok(found) => {
            // NCCL is large and for groups of processes alone, so an engine that is opened does not look for it.
            let nccl = nccl::find().map_or(String::new(), |version| format!(", NCCL {version}"));
            let with_nccl = |found: Found| {
                let driver = found.device.driver.map(|driver| driver + &nccl);
                Device { driver, ..found.device }
            };
            found.into_iter().map(with_nccl).collect()
        }
        Err(missing) => vec![Device {
            name: "cuda".to_owned(),
            description: "CUDA".to_owned(),
            missing: Some(missing),
            ..Device::default()
        }],
    }
}

pub(super) fn open<T: Scalar>(device: &str, settings: &Settings) -> Result<Arc<dyn Engine<T>>> {
    let found =
        devices::find().map_err(|missing| unavailable("cuda", &missing.reason, &missing.cure))?;
    let found = devices::choose(found, device)?;
    let library = library(&found, settings)?;
    let cache =
        settings.cache.as_ref().map(|folder| Cache::new(folder, "cuda", &found.traits.identity));
    let mut cuda = Cuda::new(found, cache.clone())?;
    if let Some(version) = library {
        cuda.open_library(version, is_required(settings))?;
    }
    Ok(Arc::new(Gpu::new(cuda, cache, settings)?))
}

/// The version of cuBLASLt, where it is to be used. If it is missing, that is an error only if the settings require it.
fn library(found: &Found, settings: &Settings) -> Result<Option<String>> {
    let name = &found.device.name;
    let needed = match settings.matmul {
        MatmulPrecision::Full => 0,
        MatmulPrecision::Tf32 | MatmulPrecision::Bf16 => TF32_CAPABILITY,
        MatmulPrecision::F16 => F16_CAPABILITY,
    };
    if found.capability < needed {
        let [here, needed] = [found.capability, needed].map(nvrtc::capability_text);
        let precision = settings.matmul.name();
        let reason = format!("its compute capability is {here}, {precision} needs {needed}");
        return Err(unavailable(name, reason, "use f32"));
    }
    if settings.library == Library::Never {
        return Ok(None);
    }
    match &found.cublaslt {
        Ok(version) => Ok(Some(version.clone())),
        Err(missing) if is_required(settings) => {
            Err(unavailable(name, &missing.reason, &missing.cure))
        }
        Err(_) => Ok(None),
    }
}

fn is_required(settings: &Settings) -> bool {
    settings.matmul != MatmulPrecision::Full || settings.library == Library::Always
}
