//! The OpenCL engine: which devices there are, and how one is opened. The loader is opened at run time.

use std::path::Path;
use std::sync::Arc;

use self::devices::Found;
use self::driver::OpenCl;
use super::cache::Cache;
use super::gpu::Gpu;
use super::{Device, Engine, Missing, Settings, unavailable};
use crate::error::Result;
use crate::scalar::Scalar;

mod devices;
mod driver;
#[cfg(test)]
mod tests;

pub(super) fn probe() -> Vec<Device> {
    match found(&Settings::default()) {
        Ok(found) => found.into_iter().map(|found| found.device).collect(),
        Err(missing) => vec![Device {
            name: "opencl".to_owned(),
            description: "OpenCL".to_owned(),
            missing: Some(missing),
            ..Device::default()
        }],
    }
}

pub(super) fn open<T: Scalar>(device: &str, settings: &Settings) -> Result<Arc<dyn Engine<T>>> {
    let found =
        found(settings).map_err(|missing| unavailable("opencl", &missing.reason, &missing.cure))?;
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

/// Every device, or why there is none.
fn found(settings: &Settings) -> Result<Vec<Found>, Missing> {
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
    devices::find(settings)
}
