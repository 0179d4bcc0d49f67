//! NVRTC, CUDA's compiler as a library. It compiles kernels to machine code of one architecture, which a driver that is older than the compiler
//! accepts within a major version of CUDA, where it would refuse PTX. A device that is newer than the compiler gets PTX, which its driver
//! translates.

use std::ffi::{CStr, CString, c_char};

use cudarc::nvrtc::result::{compile_program, create_program, destroy_program, get_program_log};
use cudarc::nvrtc::sys::{self, nvrtcProgram, nvrtcResult};

use crate::engine::Missing;

/// The oldest NVRTC that has every call made here. With an older one, cudarc would panic at the first missing call.
const MIN_VERSION: i32 = 11_020;

/// A version as text; CUDA has it as 1000 major + 10 minor.
pub fn version_text(version: i32) -> String {
    format!("{}.{}", version / 1000, version % 1000 / 10)
}

/// The compiler of this machine.
pub struct Nvrtc {
    pub version: i32,
    /// The compute capabilities that it compiles for, as 10 major + minor, ascending.
    architectures: Vec<i32>,
}

/// What kernels are compiled to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// Machine code for the devices of a compute capability.
    Cubin(i32),
    /// Code that a driver translates for devices of this compute capability and later ones.
    Ptx(i32),
}

/// Compiled code, and the compiler's log.
pub struct Compiled {
    pub image: Vec<u8>,
    #[cfg_attr(
        not(test),
        expect(dead_code, reason = "only the test that kernels compile without warnings reads it")
    )]
    pub log: String,
}

/// A call that failed.
#[derive(Debug)]
pub struct Failure {
    pub call: &'static str,
    pub code: i64,
    pub detail: String,
}

impl Nvrtc {
    pub fn find() -> Result<Self, Missing> {
        // On Windows cudarc looks for the newest major version alone.
        let (library, path, package) = match cfg!(windows) {
            true => ("nvrtc64_130_0.dll", "PATH", "nvidia-cuda-nvrtc"),
            false => ("libnvrtc.so", "LD_LIBRARY_PATH", "nvidia-cuda-nvrtc-cu12"),
        };
        let cure = format!(
            "pip install {package} and put the folder of its library into {path}, or install the CUDA toolkit"
        );
        // SAFETY: loading the library runs nothing but its own set-up.
        if !unsafe { sys::is_culib_present() } {
            return Err(Missing {
                reason: format!("the kernel compiler NVRTC ({library}) was not found"),
                cure,
            });
        }
        let version = version()
            .map_err(|failure| Missing { reason: failure.to_string(), cure: cure.clone() })?;
        if version < MIN_VERSION {
            let reason = format!(
                "NVRTC is {}, {} is needed",
                version_text(version),
                version_text(MIN_VERSION)
            );
            return Err(Missing { reason, cure });
        }
        let architectures =
            architectures().map_err(|failure| Missing { reason: failure.to_string(), cure })?;
        Ok(Nvrtc { version, architectures })
    }

    /// What kernels are compiled to for a device.
    pub fn target(&self, capability: i32) -> Result<Target, Missing> {
        target(&self.architectures, capability).ok_or_else(|| {
            let version = version_text(self.version);
            Missing {
                reason: format!(
                    "NVRTC {version} does not compile for compute capability {}",
                    capability_text(capability)
                ),
                cure: format!("install NVRTC of a CUDA before {version} that does"),
            }
        })
    }
}

pub fn capability_text(capability: i32) -> String {
    format!("{}.{}", capability / 10, capability % 10)
}

/// The device's own architecture or, if the compiler is older than the device, the latest architecture that the compiler has for it.
fn target(architectures: &[i32], capability: i32) -> Option<Target> {
    if architectures.contains(&capability) {
        return Some(Target::Cubin(capability));
    }
    architectures.iter().copied().filter(|known| *known < capability).max().map(Target::Ptx)
}

/// Compiles for a target. There is no fast-math: division, roots and denormal numbers are those of IEEE 754, as on the CPU.
pub fn compile(source: &str, target: Target, options: &[&str]) -> Result<Compiled, Failure> {
    let source = CString::new(source).unwrap_or_default();
    let program = Program(
        create_program(&source, None).map_err(|error| failure("nvrtcCreateProgram", error.0))?,
    );
    let architecture = match target {
        Target::Cubin(capability) => format!("--gpu-architecture=sm_{capability}"),
        Target::Ptx(capability) => format!("--gpu-architecture=compute_{capability}"),
    };
    let options = [&[architecture.as_str()], options].concat();
    // SAFETY: the program is ours and alive, and the source outlives it.
    let done = unsafe { compile_program(program.0, &options) };
    // SAFETY: the program is ours and alive.
    let log = unsafe { get_program_log(program.0) }.map(|log| text(&log)).unwrap_or_default();
    if let Err(error) = done {
        return Err(Failure { detail: log, ..failure("nvrtcCompileProgram", error.0) });
    }
    let (size, copy): (SizeCall, CopyCall) = match target {
        Target::Cubin(_) => (sys::nvrtcGetCUBINSize, sys::nvrtcGetCUBIN),
        Target::Ptx(_) => (sys::nvrtcGetPTXSize, sys::nvrtcGetPTX),
    };
    let mut bytes = 0;
    // SAFETY: the program is ours and alive, and `bytes` is written to.
    checked("nvrtcGetCUBINSize or nvrtcGetPTXSize", unsafe { size(program.0, &mut bytes) })?;
    let mut image = vec![0_u8; bytes];
    // SAFETY: the program is ours and alive, and there is room for as many bytes as it announced.
    checked("nvrtcGetCUBIN or nvrtcGetPTX", unsafe { copy(program.0, image.as_mut_ptr().cast()) })?;
    Ok(Compiled { image, log })
}

type SizeCall = unsafe fn(nvrtcProgram, *mut usize) -> nvrtcResult;
type CopyCall = unsafe fn(nvrtcProgram, *mut c_char) -> nvrtcResult;

/// A program, which is destroyed when it is dropped.
struct Program(nvrtcProgram);

impl Drop for Program {
    fn drop(&mut self) {
        // SAFETY: it is ours, and not used any more. A failure has no cure.
        let _ = unsafe { destroy_program(self.0) };
    }
}

fn version() -> Result<i32, Failure> {
    let (mut major, mut minor) = (0, 0);
    // SAFETY: both numbers are alive and written to.
    checked("nvrtcVersion", unsafe { sys::nvrtcVersion(&mut major, &mut minor) })?;
    Ok(1000 * major + 10 * minor)
}

fn architectures() -> Result<Vec<i32>, Failure> {
    let mut count = 0;
    // SAFETY: `count` is alive and written to.
    checked("nvrtcGetNumSupportedArchs", unsafe { sys::nvrtcGetNumSupportedArchs(&mut count) })?;
    let mut all = vec![0; count.max(0) as usize];
    // SAFETY: there is room for as many numbers as were announced.
    checked("nvrtcGetSupportedArchs", unsafe { sys::nvrtcGetSupportedArchs(all.as_mut_ptr()) })?;
    Ok(all)
}

fn checked(call: &'static str, result: nvrtcResult) -> Result<(), Failure> {
    result.result().map_err(|error| failure(call, error.0))
}

fn failure(call: &'static str, result: nvrtcResult) -> Failure {
    // SAFETY: NVRTC returns a constant string for every code.
    let detail = unsafe {
        let text = sys::nvrtcGetErrorString(result);
        if text.is_null() {
            String::new()
        } else {
            CStr::from_ptr(text).to_string_lossy().into_owned()
        }
    };
    Failure { call, code: result as i64, detail }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} failed with code {}: {}", self.call, self.code, self.detail)
    }
}

/// A string of C, without its closing zero and blank lines around it.
fn text(log: &[c_char]) -> String {
    let bytes: Vec<u8> = log.iter().map(|c| *c as u8).take_while(|byte| *byte != 0).collect();
    String::from_utf8_lossy(&bytes).trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_get_their_own_code_and_newer_ones_what_they_can_translate() {
        let known = [75, 80, 86, 90];
        assert_eq!(target(&known, 86), Some(Target::Cubin(86)));
        assert_eq!(target(&known, 89), Some(Target::Ptx(86)));
        assert_eq!(target(&known, 120), Some(Target::Ptx(90)));
        assert_eq!(target(&known, 61), None);
    }

    #[test]
    fn versions_are_read_as_people_write_them() {
        assert_eq!(version_text(12_090), "12.9");
        assert_eq!(version_text(11_020), "11.2");
        assert_eq!(capability_text(120), "12.0");
    }
}
