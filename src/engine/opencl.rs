//! The OpenCL engine: which devices there are, and how one is opened. The loader is opened at run time.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use self::devices::Survey;
use self::driver::OpenCl;
use super::cache::Cache;
use super::gpu::Gpu;
use super::{Device, Engine, Missing, Settings, unavailable};
use crate::error::Result;
use crate::scalar::Scalar;

mod devices;
mod driver;
mod icd;
#[cfg(test)]
mod tests;

pub(super) fn probe() -> Vec<Device> {
    let absent = |description: &str, missing: Missing| Device {
        name: "opencl".to_owned(),
        description: description.to_owned(),
        missing: Some(missing),
        ..Device::default()
    };
    let (mut devices, missing) = match survey(&Settings::default()) {
        Ok(Survey { found, broken }) => {
            let broken = broken.into_iter().map(|broken| absent(&broken.platform, broken.missing));
            (found.into_iter().map(|found| found.device).chain(broken).collect(), None)
        }
        Err(missing) => (Vec::new(), Some(missing)),
    };
    devices.extend(icd::faults(&vendors()).into_iter().map(|(file, reason)| {
        let cure = "install the driver's full package, or remove this file".to_owned();
        absent(&file.display().to_string(), Missing { reason, cure })
    }));
    // The loader's own words are of use only where no file explains them.
    devices.extend(missing.filter(|_| devices.is_empty()).map(|missing| absent("OpenCL", missing)));
    devices
}

/// The files by which drivers are installed.
pub(super) fn drivers() -> Vec<PathBuf> {
    icd::files(&vendors())
}

/// The folder of these files: the variable is that of the loader.
fn vendors() -> PathBuf {
    let place = std::env::var_os("OCL_ICD_VENDORS").filter(|place| !place.is_empty());
    place.map_or_else(|| PathBuf::from("/etc/OpenCL/vendors"), PathBuf::from)
}

pub(super) fn open<T: Scalar>(device: &str, settings: &Settings) -> Result<Arc<dyn Engine<T>>> {
    let found = survey(settings)
        .and_then(Survey::usable)
        .map_err(|missing| unavailable("opencl", with_faults(missing.reason), missing.cure))?;
    let found = devices::choose(found, device)?;
    if size_of::<T>() == 8 && !found.traits.fp64 {
        return Err(unavailable(
            &found.device.name,
            "the device has no f64",
            "use f32, or another device",
        ));
    }
    let cache =
        settings.cache.as_ref().map(|folder| Cache::new(folder, "opencl", &found.traits.identity));
    Ok(Arc::new(Gpu::new(OpenCl::new(found, cache.clone())?, cache, settings)?))
}

/// The reason, and the drivers that cannot be loaded.
fn with_faults(reason: String) -> String {
    let faults = icd::faults(&vendors()).into_iter();
    faults.fold(reason, |all, (file, words)| format!("{all}; {}: {words}", file.display()))
}

/// Every device and every platform that fails, or why there is neither.
fn survey(settings: &Settings) -> Result<Survey, Missing> {
    // Where /sys is not mounted, PoCL finds no memory and ends the process, unless one of these variables describes the machine.
    let has_topology =
        ["HWLOC_SYNTHETIC", "HWLOC_XMLFILE"].iter().any(|name| std::env::var_os(name).is_some());
    if cfg!(target_os = "linux") && !Path::new("/sys/devices/system/cpu").exists() && !has_topology
    {
        return Err(Missing {
            reason:
                "/sys is not mounted, and drivers look there for the machine's devices and memory"
                    .to_owned(),
            cure: "mount -t sysfs sysfs /sys, or for PoCL set HWLOC_SYNTHETIC".to_owned(),
        });
    }
    devices::survey(settings)
}
