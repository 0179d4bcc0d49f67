//! A device's context, and the kernels that live in it.

use std::ffi::CString;
use std::ptr;
use std::sync::Arc;

use cudarc::driver::result::{DriverError, ctx, module, primary_ctx};
use cudarc::driver::sys::{CUcontext, CUdevice, CUfunction, CUmodule, CUresult};

/// The device's primary context, which other CUDA libraries of the process share. Kernels keep it alive: they may be
/// dropped after the driver.
pub(super) struct Context {
    device: CUdevice,
    context: CUcontext,
}

// SAFETY: CUDA's objects may be used by any thread that has made their context current.
unsafe impl Send for Context {}
// SAFETY: as above.
unsafe impl Sync for Context {}

impl Context {
    pub fn new(device: CUdevice) -> Result<Self, DriverError> {
        // SAFETY: the device is the driver's.
        let context = unsafe { primary_ctx::retain(device) }?;
        Ok(Context { device, context })
    }

    /// Makes it the calling thread's.
    pub fn enter(&self) -> Result<(), DriverError> {
        // SAFETY: it is alive.
        unsafe { ctx::set_current(self.context) }
    }
}

impl Drop for Context {
    fn drop(&mut self) {
        // SAFETY: retained when it was made. A failure leaves nobody anything to do.
        let _ = unsafe { primary_ctx::release(self.device) };
    }
}

/// A kernel, and the module that it is in.
pub(super) struct Kernel {
    pub function: CUfunction,
    module: CUmodule,
    context: Arc<Context>,
}

// SAFETY: as above; the module is unloaded with its context current.
unsafe impl Send for Kernel {}

impl Drop for Kernel {
    fn drop(&mut self) {
        if self.context.enter().is_ok() {
            // SAFETY: ours. A failure leaves nobody anything to do.
            let _ = unsafe { module::unload(self.module) };
        }
    }
}

impl Kernel {
    /// From machine code, or PTX with its closing zero.
    pub fn load(
        context: &Arc<Context>,
        image: &[u8],
        name: &str,
    ) -> Result<Self, (&'static str, CUresult)> {
        let name = CString::new(name).unwrap_or_default();
        // SAFETY: the image is what the compiler made or the cache has checked.
        let module = unsafe { module::load_data(image.as_ptr().cast()) }
            .map_err(|error| ("cuModuleLoadData", error.0))?;
        let mut kernel = Kernel { function: ptr::null_mut(), module, context: context.clone() };
        // SAFETY: the module is ours.
        kernel.function = unsafe { module::get_function(module, name) }
            .map_err(|error| ("cuModuleGetFunction", error.0))?;
        Ok(kernel)
    }
}
