//! Failures of the CUDA driver and of cuBLASLt: checks of results, and codes in words.

use std::ffi::CStr;

use cudarc::cublaslt::result::CublasError;
use cudarc::cublaslt::sys::{cublasLtGetStatusString, cublasStatus_t};
use cudarc::driver::result::DriverError;
use cudarc::driver::sys::CUresult;

use crate::error::{Error, ErrorKind};

/// The call that failed, and its code.
#[derive(Clone, Copy, Debug)]
pub(super) enum Failure {
    Driver(&'static str, CUresult),
    Library(&'static str, cublasStatus_t),
}

impl Failure {
    pub fn of(self, engine: &str) -> Error {
        match self {
            Failure::Driver(call, code) => device_error(engine, call, code),
            Failure::Library(call, status) => {
                let (engine, detail) = (engine.to_owned(), status_text(status));
                ErrorKind::Device { engine, call, code: i64::from(status as u32), detail }.into()
            }
        }
    }
}

/// The result of a call of the driver.
pub(super) fn checked(call: &'static str, result: CUresult) -> Result<(), Failure> {
    result.result().map_err(|DriverError(code)| Failure::Driver(call, code))
}

/// The result of a call of cuBLASLt.
pub(super) fn library_checked(call: &'static str, status: cublasStatus_t) -> Result<(), Failure> {
    status.result().map_err(|CublasError(status)| Failure::Library(call, status))
}

/// The driver's text for a code.
pub(super) fn error_text(code: CUresult) -> String {
    DriverError(code)
        .error_string()
        .map_or("a code without a text".to_owned(), |text| text.to_string_lossy().into_owned())
}

/// The library's text for a status.
pub(super) fn status_text(status: cublasStatus_t) -> String {
    // SAFETY: the library returns a constant string for every status.
    unsafe {
        let text = cublasLtGetStatusString(status);
        if text.is_null() {
            format!("{status:?}")
        } else {
            CStr::from_ptr(text).to_string_lossy().into_owned()
        }
    }
}

/// Whether the process cannot use the device any more.
pub(super) fn is_lost(code: CUresult) -> bool {
    use CUresult::*;
    const SINGLE_CODES: [CUresult; 4] = [
        CUDA_ERROR_ECC_UNCORRECTABLE,
        CUDA_ERROR_NVLINK_UNCORRECTABLE,
        CUDA_ERROR_CONTEXT_IS_DESTROYED,
        CUDA_ERROR_UNKNOWN,
    ];
    // The codes from an illegal address to a failed launch are those of failed kernels.
    SINGLE_CODES.contains(&code)
        || (CUDA_ERROR_ILLEGAL_ADDRESS as u32..=CUDA_ERROR_LAUNCH_FAILED as u32)
            .contains(&(code as u32))
}

pub(super) fn device_error(engine: &str, call: &'static str, code: CUresult) -> Error {
    let mut detail = error_text(code);
    if is_lost(code) {
        detail += "; this call or work enqueued before it broke the connection to the device: start the program again, and \
                   look into the system's log if that does not help";
    }
    ErrorKind::Device { engine: engine.to_owned(), call, code: i64::from(code as u32), detail }
        .into()
}
