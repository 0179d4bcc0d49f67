//! The driver's codes in words.

use cudarc::cublaslt::sys::cublasStatus_t;
use cudarc::driver::result::DriverError;
use cudarc::driver::sys::CUresult;

use super::cublaslt;
use crate::error::{Error, ErrorKind};

/// The call that failed, and how.
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
                let (engine, detail) = (engine.to_owned(), cublaslt::told(status));
                ErrorKind::Device { engine, call, code: i64::from(status as u32), detail }.into()
            }
        }
    }
}

/// What the driver says about a code.
pub(super) fn told(code: CUresult) -> String {
    DriverError(code)
        .error_string()
        .map_or("a code without a text".to_owned(), |text| text.to_string_lossy().into_owned())
}

/// Whether the process can do nothing with the device any more.
pub(super) fn is_lost(code: CUresult) -> bool {
    use CUresult::*;
    const ALONE: [CUresult; 4] = [
        CUDA_ERROR_ECC_UNCORRECTABLE,
        CUDA_ERROR_NVLINK_UNCORRECTABLE,
        CUDA_ERROR_CONTEXT_IS_DESTROYED,
        CUDA_ERROR_UNKNOWN,
    ];
    // The codes from an illegal address to a failed launch: what a kernel may die of.
    ALONE.contains(&code)
        || (CUDA_ERROR_ILLEGAL_ADDRESS as u32..=CUDA_ERROR_LAUNCH_FAILED as u32)
            .contains(&(code as u32))
}

pub(super) fn device_error(engine: &str, call: &'static str, code: CUresult) -> Error {
    let mut detail = told(code);
    if is_lost(code) {
        detail += "; this call or work enqueued before it broke the connection to the device: start the program again, and \
                   look into the system's log if that does not help";
    }
    ErrorKind::Device { engine: engine.to_owned(), call, code: i64::from(code as u32), detail }
        .into()
}
