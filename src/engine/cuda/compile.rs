//! Kernels of a device: from the cache, or compiled now.

use cudarc::driver::sys::CUresult;

use super::devices::Versions;
use super::driver::Cuda;
use super::failure::error_text;
use super::nvrtc::{self, version_text};
use crate::error::{Error, ErrorKind, Result};

impl Cuda {
    /// Code for this device, from the cache or compiled now.
    pub(super) fn image(&self, source: &str, name: &str) -> Result<Vec<u8>> {
        if let Some(image) = self.cache.as_ref().and_then(|cache| cache.load(source)) {
            return Ok(image);
        }
        self.compiled(source, name)
    }

    /// Code for this device, compiled now and written to the cache.
    pub(super) fn compiled(&self, source: &str, name: &str) -> Result<Vec<u8>> {
        let compiled = nvrtc::compile(source, self.target, &[]).map_err(
            |nvrtc::Failure { call, code, detail }| {
                let detail = format!("kernel '{name}' does not compile:\n{detail}");
                Error::from(ErrorKind::Device {
                    engine: self.found.device.name.clone(),
                    call,
                    code,
                    detail,
                })
            },
        )?;
        if let Some(cache) = &self.cache {
            cache.store(source, &compiled.image);
        }
        Ok(compiled.image)
    }

    /// The error where the driver refuses code of the compiler: it names the versions of both.
    pub(super) fn not_loaded(&self, call: &'static str, code: CUresult) -> Error {
        let Versions { driver, nvrtc } = self.found.versions;
        let error = self.error(call, code);
        if nvrtc <= driver {
            return error;
        }
        let (driver, nvrtc, text) = (version_text(driver), version_text(nvrtc), error_text(code));
        let detail = format!(
            "{text}; NVRTC is of CUDA {nvrtc}, the driver takes programs of CUDA {driver}: install a newer NVIDIA driver, or \
             NVRTC of CUDA {driver}"
        );
        ErrorKind::Device {
            engine: self.found.device.name.clone(),
            call,
            code: i64::from(code as u32),
            detail,
        }
        .into()
    }
}
