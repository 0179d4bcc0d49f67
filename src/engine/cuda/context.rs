//! A device's context, and the kernels that live in it.

use std::ffi::CString;
use std::ptr;
use std::sync::Arc;

use cudarc::driver::result::{DriverError, ctx, module, primary_ctx};
use cudarc::driver::sys::{CUcontext, CUdevice, CUfunction, CUmodule, CUresult};

/// The device's primary context, which other CUDA libraries of the process share. Kernels keep it alive, because they may be
/// dropped after the driver.
pub(super) struct Context {
    device: CUdevice,
    context: CUcontext,
}

// SAFETY: any thread may use CUDA's objects that has made their context current.
unsafe impl Send for Context {}
// SAFETY: any thread may use CUDA's objects that has made their context current.
unsafe impl Sync for Context {}

impl Context {
    pub fn new(device: CUdevice) -> Result<Self, DriverError> {
        // SAFETY: the device is the driver's.
        let context = unsafe { primary_ctx::retain(device) }?;
        Ok(Context { device, context })
    }

    /// Makes the context current in the calling thread.
    pub fn enter(&self) -> Result<(), DriverError> {
        // SAFETY: the context is retained until `self` is dropped.
        unsafe { ctx::set_current(self.context) }
    }
}

impl Drop for Context {
    fn drop(&mut self) {
        // SAFETY: retained when it was made. A failure has no cure.
        let _ = unsafe { primary_ctx::release(self.device) };
    }
}

/// A kernel, and the module that contains it.
pub(super) struct Kernel {
    pub function: CUfunction,
    module: CUmodule,
    context: Arc<Context>,
}

// SAFETY: any thread may use CUDA's objects that has made their context current; `drop` makes it current.
unsafe impl Send for Kernel {}

impl Drop for Kernel {
    fn drop(&mut self) {
        if self.context.enter().is_ok() {
            // SAFETY: it is ours, and not used any more. A failure has no cure.
            let _ = unsafe { module::unload(self.module) };
        }
    }
}

impl Kernel {
    /// Loads machine code, or PTX that ends in a zero byte.
    pub fn load(
        context: &Arc<Context>,
        image: &[u8],
        name: &str,
    ) -> Result<Self, (&'static str, CUresult)> {
        let name = CString::new(name).unwrap_or_default();
        // SAFETY: the image is the compiler's, or the cache's, which checks its sum.
        let module = unsafe { module::load_data(image.as_ptr().cast()) }
            .map_err(|error| ("cuModuleLoadData", error.0))?;
        let mut kernel = Kernel { function: ptr::null_mut(), module, context: context.clone() };
        // SAFETY: the module is ours.
        kernel.function = unsafe { module::get_function(module, name) }
            .map_err(|error| ("cuModuleGetFunction", error.0))?;
        Ok(kernel)
    }
}
