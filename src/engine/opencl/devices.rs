//! The OpenCL devices of this machine, in the order of the ICD loader.

use std::sync::{Mutex, PoisonError};

use cl3::device::{
    CL_DEVICE_AVAILABLE, CL_DEVICE_COMPILER_AVAILABLE, CL_DEVICE_DOUBLE_FP_CONFIG,
    CL_DEVICE_ENDIAN_LITTLE, CL_DEVICE_GLOBAL_MEM_SIZE, CL_DEVICE_LOCAL_MEM_SIZE,
    CL_DEVICE_MAX_COMPUTE_UNITS, CL_DEVICE_MAX_MEM_ALLOC_SIZE, CL_DEVICE_MAX_WORK_GROUP_SIZE,
    CL_DEVICE_NAME, CL_DEVICE_NATIVE_VECTOR_WIDTH_DOUBLE, CL_DEVICE_NATIVE_VECTOR_WIDTH_FLOAT,
    CL_DEVICE_TYPE, CL_DEVICE_TYPE_ALL, CL_DEVICE_TYPE_CPU, CL_DEVICE_TYPE_GPU, CL_DEVICE_VERSION,
    CL_DRIVER_VERSION, get_device_data, get_device_ids,
};
use cl3::error_codes::error_text;
use cl3::platform::{CL_PLATFORM_NAME, CL_PLATFORM_VERSION, get_platform_data, get_platform_ids};
use cl3::types::{cl_device_id, cl_device_info};

use crate::engine::gpu::Traits;
use crate::engine::{Device, Limits, Missing, Settings, unavailable};
use crate::error::Result;

/// The code of `clGetDeviceIDs` for a platform without devices.
const DEVICE_NOT_FOUND: i32 = -1;

/// A device, as its driver describes it.
pub(super) struct Found {
    pub id: cl_device_id,
    pub device: Device,
    pub traits: Traits,
    /// Bytes of the largest allocation.
    pub largest: u64,
    pub memory: u64,
    is_gpu: bool,
}

/// Held while drivers are queried, because they set themselves up at the first query, and PoCL 3.1 crashes when two threads do that. The
/// library's only static lock.
static QUERY: Mutex<()> = Mutex::new(());

/// What the loader offers.
pub(super) struct Survey {
    pub found: Vec<Found>,
    pub broken: Vec<Broken>,
}

/// A platform that fails.
pub(super) struct Broken {
    pub platform: String,
    pub missing: Missing,
}

impl Survey {
    /// The devices; where there is none, why.
    pub fn usable(mut self) -> Result<Vec<Found>, Missing> {
        match self.found.is_empty().then(|| self.broken.pop()).flatten() {
            None => Ok(self.found),
            Some(Broken { platform, missing: Missing { reason, cure } }) => {
                Err(Missing { reason: format!("{platform}: {reason}"), cure })
            }
        }
    }
}

/// Every device and every platform that fails; or why there is neither.
pub(super) fn survey(settings: &Settings) -> Result<Survey, Missing> {
    let _guard = QUERY.lock().unwrap_or_else(PoisonError::into_inner);
    let missing = |reason: String, cure: &str| Missing { reason, cure: cure.to_owned() };
    if !cl3::is_opencl_runtime_available() {
        return Err(missing(
            "the OpenCL loader (libOpenCL.so.1) was not found".to_owned(),
            "install your GPU's driver; for the CPU, Debian has pocl-opencl-icd",
        ));
    }
    let driver = "install a driver: your GPU's, or pocl-opencl-icd for the CPU";
    let platforms = get_platform_ids().map_err(|code| {
        missing(format!("the OpenCL loader found no platform: {}", error_text(code)), driver)
    })?;
    let mut survey = Survey { found: Vec::new(), broken: Vec::new() };
    for platform in platforms {
        let name = text(get_platform_data(platform, CL_PLATFORM_NAME));
        let version = text(get_platform_data(platform, CL_PLATFORM_VERSION));
        match get_device_ids(platform, CL_DEVICE_TYPE_ALL) {
            Ok(ids) => {
                for id in ids {
                    let number = survey.found.len();
                    survey.found.push(describe(number, id, &name, &version, settings));
                }
            }
            Err(DEVICE_NOT_FOUND) => {}
            Err(code) => survey.broken.push(Broken {
                platform: name,
                missing: missing(
                    format!("its driver lists no devices: {}", error_text(code)),
                    "install its driver anew, or another version of it",
                ),
            }),
        }
    }
    if survey.found.is_empty() && survey.broken.is_empty() {
        return Err(missing("the OpenCL loader found no device".to_owned(), driver));
    }
    Ok(survey)
}

/// The device that `opencl`, `opencl:N` or `opencl:NAME` means: the first GPU, else the first CPU, else any; the device of this number; or
/// the only one with these words in its name or platform.
pub(super) fn choose(mut found: Vec<Found>, device: &str) -> Result<Found> {
    let index = if device.is_empty() {
        let rank =
            |found: &Found| (found.device.missing.is_some(), !found.is_gpu, !found.traits.is_cpu);
        (0..found.len()).min_by_key(|&index| rank(&found[index])).unwrap_or(0)
    } else {
        match device.parse().ok().filter(|index| *index < found.len()) {
            Some(index) => index,
            None => named(&found, device)?,
        }
    };
    let chosen = found.swap_remove(index);
    match &chosen.device.missing {
        Some(missing) => Err(unavailable(&chosen.device.name, &missing.reason, &missing.cure)),
        None => Ok(chosen),
    }
}

/// The number of the only device with these words in its name or platform, in any case.
fn named(found: &[Found], words: &str) -> Result<usize> {
    let lower = words.to_lowercase();
    let fits = |found: &Found| found.device.description.to_lowercase().contains(&lower);
    let is_number = words.bytes().all(|byte| byte.is_ascii_digit());
    let fitting: Vec<usize> =
        (0..found.len()).filter(|&index| !is_number && fits(&found[index])).collect();
    if let [index] = fitting[..] {
        return Ok(index);
    }
    let list = |indices: &[usize]| {
        let line = |&index: &usize| {
            let Device { name, description, .. } = &found[index].device;
            format!("{name} is {description}")
        };
        indices.iter().map(line).collect::<Vec<_>>().join(", ")
    };
    let asked = format!("opencl:{words}");
    Err(match fitting.is_empty() {
        true => unavailable(
            &asked,
            "there is no such device",
            format!(
                "devices here: {}; see `travertine devices`",
                list(&(0..found.len()).collect::<Vec<_>>())
            ),
        ),
        false => unavailable(
            &asked,
            "several devices have this name",
            format!("use more of it, or the number: {}", list(&fitting)),
        ),
    })
}

fn describe(
    number: usize,
    id: cl_device_id,
    platform: &str,
    platform_version: &str,
    settings: &Settings,
) -> Found {
    let string = |info| text(get_device_data(id, info));
    let count = |info| number_of(id, info).unwrap_or(0);
    let device_type = count(CL_DEVICE_TYPE);
    let (name, driver, version) =
        (string(CL_DEVICE_NAME), string(CL_DRIVER_VERSION), string(CL_DEVICE_VERSION));
    let fp64 = count(CL_DEVICE_DOUBLE_FP_CONFIG) != 0;
    // A simulator may report that it is both; it then runs the kernels for GPUs.
    let is_cpu = device_type & CL_DEVICE_TYPE_CPU != 0 && device_type & CL_DEVICE_TYPE_GPU == 0;
    let device = Device {
        name: format!("opencl:{number}"),
        description: format!("{name} ({platform})"),
        driver: Some(format!("{driver}, {version}")),
        memory: Some(count(CL_DEVICE_GLOBAL_MEM_SIZE)),
        fp64,
        missing: fault(&version, &count),
        ..Device::default()
    };
    let lanes = |info| (count(info) as usize).clamp(1, 16);
    let mut traits = Traits {
        is_cpu,
        units: (count(CL_DEVICE_MAX_COMPUTE_UNITS) as usize).max(1),
        items: (count(CL_DEVICE_MAX_WORK_GROUP_SIZE) as usize).max(1),
        shared: count(CL_DEVICE_LOCAL_MEM_SIZE) as usize,
        width: match is_cpu {
            true => [
                lanes(CL_DEVICE_NATIVE_VECTOR_WIDTH_FLOAT),
                lanes(CL_DEVICE_NATIVE_VECTOR_WIDTH_DOUBLE),
            ],
            false => [4, 4],
        },
        fp64,
        identity: format!("{platform}\n{name}\n{driver}\n{version}\n{platform_version}"),
    };
    if let Some(Limits { items, shared, fp64, lanes }) = settings.limits {
        let (items, shared) = (items.min(traits.items), shared.min(traits.shared));
        traits = Traits {
            is_cpu: false,
            items,
            shared,
            width: [if lanes < 4 { 1 } else { 4 }; 2],
            fp64: fp64 && traits.fp64,
            ..traits
        };
    }
    Found {
        id,
        device,
        traits,
        largest: count(CL_DEVICE_MAX_MEM_ALLOC_SIZE),
        memory: count(CL_DEVICE_GLOBAL_MEM_SIZE),
        is_gpu: device_type & CL_DEVICE_TYPE_GPU != 0,
    }
}

/// Why a device cannot be used; `None` if it can.
fn fault(version: &str, count: &dyn Fn(cl_device_info) -> u64) -> Option<Missing> {
    let rules = [
        (
            count(CL_DEVICE_AVAILABLE) != 0,
            "its driver says that it is not available",
            "look into the driver's own log",
        ),
        (
            count(CL_DEVICE_COMPILER_AVAILABLE) != 0,
            "its driver has no compiler",
            "install the driver's full package",
        ),
        (count(CL_DEVICE_ENDIAN_LITTLE) != 0, "it is big-endian", "use another device"),
        (
            !version.starts_with("OpenCL 1.0") && !version.starts_with("OpenCL 1.1"),
            "it supports OpenCL 1.1 at most, and 1.2 is needed",
            "install a newer driver",
        ),
    ];
    let (_, reason, cure) = rules.into_iter().find(|rule| !rule.0)?;
    Some(Missing { reason: reason.to_owned(), cure: cure.to_owned() })
}

/// A string of a driver, which ends in zeros and may be padded with blanks.
fn text(data: Result<Vec<u8>, i32>) -> String {
    let data = data.unwrap_or_default();
    String::from_utf8_lossy(&data).trim_matches(|c: char| c == '\0' || c.is_whitespace()).to_owned()
}

/// A number of 4 or 8 bytes.
fn number_of(id: cl_device_id, info: cl_device_info) -> Option<u64> {
    let data = get_device_data(id, info).ok()?;
    match data.len() {
        4 => Some(u64::from(u32::from_ne_bytes(data.try_into().ok()?))),
        8 => Some(u64::from_ne_bytes(data.try_into().ok()?)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::gpu::tests::gpu_traits;

    /// Devices of these descriptions, numbered from 0.
    fn devices(descriptions: &[(&str, bool)]) -> Vec<Found> {
        let device = |(number, &(description, is_gpu)): (usize, &(&str, bool))| {
            let (name, description) = (format!("opencl:{number}"), description.to_owned());
            Found {
                id: std::ptr::null_mut(),
                device: Device { name, description, ..Device::default() },
                traits: Traits { is_cpu: !is_gpu, ..gpu_traits(0) },
                largest: 0,
                memory: 0,
                is_gpu,
            }
        };
        descriptions.iter().enumerate().map(device).collect()
    }

    #[test]
    fn a_device_is_found_by_number_or_by_words_that_only_it_has() {
        let all = [
            ("AMD EPYC on PoCL", false),
            ("Radeon 780M on rusticl", true),
            ("Radeon 7600 on ROCm", true),
        ];
        let chosen = |words: &str| choose(devices(&all), words).map(|found| found.device.name);
        for (words, name) in [
            ("", "opencl:1"),
            ("0", "opencl:0"),
            ("2", "opencl:2"),
            ("rocm", "opencl:2"),
            ("EPYC on", "opencl:0"),
        ] {
            assert_eq!(chosen(words).unwrap(), name, "{words:?}");
        }
        for (words, parts) in [
            (
                "radeon",
                [
                    "several devices have this name",
                    "opencl:1 is Radeon 780M",
                    "opencl:2 is Radeon 7600",
                ],
            ),
            ("geforce", ["there is no such device", "opencl:0 is AMD EPYC", "travertine devices"]),
            // A number is never words, though 780 stands in a name.
            ("780", ["there is no such device", "opencl:780", "opencl:2 is Radeon 7600"]),
        ] {
            let error = chosen(words).unwrap_err().to_string();
            assert!(parts.iter().all(|part| error.contains(part)), "{words}: {error}");
        }
    }
}
