//! The CUDA devices of this machine, numbered as the driver does.

use std::ffi::c_int;

use cudarc::driver::result::device;
use cudarc::driver::sys::{
    self, CUcomputemode_enum::CU_COMPUTEMODE_PROHIBITED, CUdevice, CUdevice_attribute, CUresult,
};

use super::cublaslt;
use super::failure::error_text;
use super::nvrtc::{Nvrtc, Target, capability_text, version_text};
use crate::engine::gpu::Traits;
use crate::engine::{Device, Missing, unavailable};
use crate::error::Result;

/// The oldest driver that has every call made here. With an older one, cudarc would panic at the first missing call.
const MIN_DRIVER: i32 = 11_020;

/// A device, as its driver describes it.
pub(super) struct Found {
    pub id: CUdevice,
    pub device: Device,
    pub traits: Traits,
    /// Whether memory can be allocated in the order of the stream.
    pub has_pools: bool,
    /// What kernels are compiled to; `None` where the device cannot be used.
    pub target: Option<Target>,
    pub versions: Versions,
    /// 10 major + minor
    pub capability: i32,
    /// The version of cuBLASLt, or why it is not used.
    pub cublaslt: Result<String, Missing>,
}

/// The versions of CUDA that the driver and NVRTC are for.
#[derive(Clone, Copy)]
pub(super) struct Versions {
    pub driver: i32,
    pub nvrtc: i32,
}

/// Every device; or why there is none.
pub(super) fn find() -> Result<Vec<Found>, Missing> {
    let library = if cfg!(windows) { "nvcuda.dll" } else { "libcuda.so.1" };
    let missing = |reason: String, cure: &str| Missing { reason, cure: cure.to_owned() };
    // SAFETY: loading the library runs nothing but its own set-up.
    if !unsafe { sys::is_culib_present() } {
        return Err(missing(
            format!("the CUDA driver ({library}) was not found"),
            "install the NVIDIA driver",
        ));
    }
    let mut driver = 0;
    // SAFETY: `driver` is alive and written to. Every driver has this call.
    call("cuDriverGetVersion", unsafe { sys::cuDriverGetVersion(&mut driver) })?;
    if driver < MIN_DRIVER {
        let reason = format!(
            "the driver is for CUDA {}, {} is needed",
            version_text(driver),
            version_text(MIN_DRIVER)
        );
        return Err(missing(reason, "install a newer NVIDIA driver"));
    }
    // SAFETY: the call has no preconditions.
    call("cuInit", unsafe { sys::cuInit(0) })?;
    let count = device::get_count().map_err(|error| refused("cuDeviceGetCount", error.0))?;
    if count == 0 {
        return Err(missing(
            "the driver found no device".to_owned(),
            cure(CUresult::CUDA_ERROR_NO_DEVICE),
        ));
    }
    let (nvrtc, cublaslt) = (Nvrtc::find(), cublaslt::find(driver));
    (0..count).map(|number| describe(number, driver, nvrtc.as_ref(), &cublaslt)).collect()
}

/// The device that `cuda` or `cuda:N` means: without a number, the first that can be used.
pub(super) fn choose(mut found: Vec<Found>, device: &str) -> Result<Found> {
    let count = found.len();
    let index = if device.is_empty() {
        found.iter().position(|found| found.device.missing.is_none()).unwrap_or(0)
    } else {
        let index = device.parse().ok().filter(|index| *index < count);
        index.ok_or_else(|| {
            let here = match count {
                1 => "the only device here is cuda:0".to_owned(),
                _ => format!(
                    "devices here are cuda:0 to cuda:{}; see `travertine devices`",
                    count - 1
                ),
            };
            unavailable(&format!("cuda:{device}"), "there is no such device", here)
        })?
    };
    let chosen = found.swap_remove(index);
    match &chosen.device.missing {
        Some(missing) => Err(unavailable(&chosen.device.name, &missing.reason, &missing.cure)),
        None => Ok(chosen),
    }
}

fn describe(
    number: c_int,
    driver: i32,
    nvrtc: Result<&Nvrtc, &Missing>,
    cublaslt: &Result<String, Missing>,
) -> Result<Found, Missing> {
    use CUdevice_attribute::*;
    let id = device::get(number).map_err(|error| refused("cuDeviceGet", error.0))?;
    // SAFETY: the id is one of the driver's.
    let ask = |attribute| unsafe { device::get_attribute(id, attribute) }.unwrap_or(0);
    let count = |attribute| ask(attribute).max(1) as usize;
    let name = device::get_name(id).map_err(|error| refused("cuDeviceGetName", error.0))?;
    // SAFETY: the id is one of the driver's.
    let memory =
        unsafe { device::total_mem(id) }.map_err(|error| refused("cuDeviceTotalMem", error.0))?;
    let capability = 10 * ask(CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR)
        + ask(CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR);
    let prohibited = ask(CU_DEVICE_ATTRIBUTE_COMPUTE_MODE) == CU_COMPUTEMODE_PROHIBITED as i32;
    let target = match prohibited {
        true => Err(Missing {
            reason: "its compute mode is `prohibited`".to_owned(),
            cure: format!("nvidia-smi -i {number} -c DEFAULT"),
        }),
        false => nvrtc.map_err(Missing::clone).and_then(|nvrtc| nvrtc.target(capability)),
    };
    let versions = Versions { driver, nvrtc: nvrtc.map_or(0, |nvrtc| nvrtc.version) };
    let compiler =
        nvrtc.map_or(String::new(), |nvrtc| format!(", NVRTC {}", version_text(nvrtc.version)));
    let library =
        cublaslt.as_ref().map_or(String::new(), |version| format!(", cuBLASLt {version}"));
    let device = Device {
        name: format!("cuda:{number}"),
        description: format!("{name} (compute capability {})", capability_text(capability)),
        driver: Some(format!("CUDA {}{compiler}{library}", version_text(driver))),
        memory: Some(memory as u64),
        fp64: true,
        missing: target.as_ref().err().cloned(),
        ..Device::default()
    };
    let traits = Traits {
        is_cpu: false,
        units: count(CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT),
        items: count(CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_BLOCK),
        shared: count(CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK),
        width: [1, 1],
        fp64: true,
        identity: identity(&name, capability, versions),
    };
    let has_pools = ask(CU_DEVICE_ATTRIBUTE_MEMORY_POOLS_SUPPORTED) != 0;
    let cublaslt = cublaslt.clone();
    Ok(Found { id, device, traits, has_pools, target: target.ok(), versions, capability, cublaslt })
}

/// What compiled kernels and measurements are valid for.
pub(super) fn identity(name: &str, capability: i32, versions: Versions) -> String {
    let Versions { driver, nvrtc } = versions;
    let (capability, driver, nvrtc) =
        (capability_text(capability), version_text(driver), version_text(nvrtc));
    format!("CUDA\n{name}\ncompute capability {capability}\ndriver {driver}\nNVRTC {nvrtc}")
}

fn call(call: &'static str, result: CUresult) -> Result<(), Missing> {
    result.result().map_err(|error| refused(call, error.0))
}

/// A driver that is installed and does not work.
fn refused(call: &'static str, code: CUresult) -> Missing {
    let reason = format!("{call} failed with code {}: {}", code as u32, error_text(code));
    Missing { reason, cure: cure(code).to_owned() }
}

fn cure(code: CUresult) -> &'static str {
    match code {
        CUresult::CUDA_ERROR_NO_DEVICE => {
            "look whether `nvidia-smi` lists a device and CUDA_VISIBLE_DEVICES hides none"
        }
        CUresult::CUDA_ERROR_STUB_LIBRARY => {
            "a stub of the CUDA toolkit stands where the driver should: take its folder out of the library path and install \
             the NVIDIA driver"
        }
        CUresult::CUDA_ERROR_SYSTEM_DRIVER_MISMATCH => {
            "the driver's library and its kernel module are of different versions: restart the machine, or install the driver anew"
        }
        _ => "look whether `nvidia-smi` runs, and install the NVIDIA driver anew if it does not",
    }
}
