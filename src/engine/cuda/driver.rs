//! One CUDA device as a [`Driver`].

use std::ffi::c_void;
use std::ptr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use cudarc::driver::result::{DriverError, malloc_async, malloc_sync, mem_get_info, stream};
use cudarc::driver::sys::{self, CUdeviceptr, CUresult, CUstream};

use super::capture::Captured;
use super::context::{Context, Kernel};
use super::cublaslt::{self, CublasLt};
use super::devices::Found;
use super::failure::{Failure, device_error};
use super::graph::{self, Launch, Steps};
use super::launch::{self, MAX_PITCH, address};
use super::nccl::Link;
use super::nvrtc::Target;
use super::staging::Staging;
use crate::engine::cache::Cache;
use crate::engine::gpu::driver::{Argument, LibraryProduct};
use crate::engine::gpu::{Driver, Rectangle, Traits};
use crate::engine::{Device, Handle, Message, unavailable};
use crate::error::{Error, ErrorKind, Result};
use crate::processes::Group;

/// Bytes of cuBLASLt's workspace, as NVIDIA recommends them: from compute capability 9.0 (Hopper) on, and before.
const WORKSPACE_BYTES: [usize; 2] = [32 << 20, 4 << 20];
/// Compute capability 9.0, as 10 major + minor.
const HOPPER: i32 = 90;

/// One device with one stream.
pub(super) struct Cuda {
    pub found: Found,
    pub target: Target,
    context: Arc<Context>,
    stream: CUstream,
    pub cache: Option<Cache>,
    steps: Mutex<Steps>,
    /// `None` where the system locks no memory: copies then use the caller's memory directly.
    staging: Mutex<Option<Staging>>,
    /// cuBLASLt's version and workspace, where it is used.
    library: Option<(String, Handle)>,
    /// To the devices of other processes.
    link: Mutex<Link>,
    /// A failure of a call that returns nothing, for the next call that can return it.
    pending: Mutex<Option<Error>>,
}

// SAFETY: any thread may use CUDA's objects that has made their context current, which every call does.
unsafe impl Send for Cuda {}
// SAFETY: any thread may use CUDA's objects that has made their context current, which every call does.
unsafe impl Sync for Cuda {}

impl Cuda {
    pub fn new(found: Found, cache: Option<Cache>) -> Result<Self> {
        let Some(target) = found.target else {
            return Err(unavailable(
                &found.device.name,
                "its kernels cannot be compiled",
                "see `travertine devices`",
            ));
        };
        let fail = |call| move |error: DriverError| (call, error.0);
        let made =
            Context::new(found.id).map_err(fail("cuDevicePrimaryCtxRetain")).and_then(|context| {
                context.enter().map_err(fail("cuCtxSetCurrent"))?;
                let stream = stream::create(stream::StreamKind::NonBlocking)
                    .map_err(fail("cuStreamCreate"))?;
                Ok((Arc::new(context), stream))
            });
        let (context, stream) =
            made.map_err(|(call, code)| device_error(&found.device.name, call, code))?;
        let (steps, staging, link, pending) =
            (Mutex::default(), Mutex::new(Staging::new()), Mutex::default(), Mutex::new(None));
        let library = None;
        Ok(Cuda { found, target, context, stream, cache, steps, staging, library, link, pending })
    }

    /// Opens cuBLASLt. Where it does not start, that is an error only if it `is_required`.
    pub fn open_library(&mut self, version: String, is_required: bool) -> Result<()> {
        let bytes = WORKSPACE_BYTES[usize::from(self.found.capability < HOPPER)];
        let memory = self.allocate(bytes)?;
        match CublasLt::new(address(memory), bytes).and_then(Captured::new) {
            Ok(captured) => {
                *self.steps() = Steps::new(Some(captured));
                self.library = Some((version, memory));
                Ok(())
            }
            Err(failure) => {
                // SAFETY: the memory was not used.
                unsafe { self.free(memory) };
                if is_required { Err(self.failed(failure)) } else { Ok(()) }
            }
        }
    }

    fn failed(&self, failure: Failure) -> Error {
        failure.of(&self.found.device.name)
    }

    pub fn error(&self, call: &'static str, code: CUresult) -> Error {
        device_error(&self.found.device.name, call, code)
    }

    fn checked(&self, call: &'static str, result: CUresult) -> Result<()> {
        result.result().map_err(|error| self.error(call, error.0))
    }

    /// Makes the context current in the caller's thread.
    fn enter(&self) -> Result<()> {
        self.context.enter().map_err(|error| self.error("cuCtxSetCurrent", error.0))
    }

    fn pending(&self) -> Result<()> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner).take().map_or(Ok(()), Err)
    }

    /// A poisoned lock is taken: the launches that were held back are still valid.
    fn steps(&self) -> MutexGuard<'_, Steps> {
        self.steps.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A poisoned lock is taken: both halves can be used as before.
    fn staging(&self) -> MutexGuard<'_, Option<Staging>> {
        self.staging.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A poisoned lock is taken: a call that panicked has left no group of messages open.
    fn link(&self) -> MutexGuard<'_, Link> {
        self.link.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts the work that a step holds back.
    fn flush(&self) -> Result<()> {
        self.steps().flush(self.stream).map_err(|failure| self.failed(failure))
    }

    fn free_memory(&self) -> Result<usize> {
        mem_get_info().map(|(free, _)| free).map_err(|error| self.error("cuMemGetInfo", error.0))
    }

    /// Bytes that are free. If they are fewer than `asked`, memory that was freed is first returned from the stream's pool to the system.
    fn available(&self, asked: usize) -> Result<usize> {
        let free = self.free_memory()?;
        if free >= asked || !self.found.has_pools {
            return Ok(free);
        }
        self.finish()?;
        let mut pool = ptr::null_mut();
        // SAFETY: the device id is the driver's, and so is the pool that it returns.
        unsafe {
            self.checked(
                "cuDeviceGetDefaultMemPool",
                sys::cuDeviceGetDefaultMemPool(&mut pool, self.found.id),
            )?;
            self.checked("cuMemPoolTrimTo", sys::cuMemPoolTrimTo(pool, 0))?;
        }
        self.free_memory()
    }
}

#[allow(
    clippy::undocumented_unsafe_blocks,
    reason = "memory and kernels are this driver's and alive, as the caller promises; every call makes the context current"
)]
impl Driver for Cuda {
    type Kernel = Kernel;

    const DIALECT: &'static str = include_str!("../kernels/cuda.h");
    const LIBRARY: &'static str = cublaslt::NAME;

    fn device(&self) -> &Device {
        &self.found.device
    }

    fn traits(&self) -> &Traits {
        &self.found.traits
    }

    fn allocate(&self, bytes: usize) -> Result<Handle> {
        self.pending()?;
        self.enter()?;
        let available = self.available(bytes)?;
        let no_memory = || {
            let engine = self.found.device.name.clone();
            Error::from(ErrorKind::Memory {
                engine,
                asked: bytes as u64,
                available: Some(available as u64),
            })
        };
        if bytes > available {
            return Err(no_memory());
        }
        let (call, memory) = match self.found.has_pools {
            true => ("cuMemAllocAsync", unsafe { malloc_async(self.stream, bytes) }),
            false => ("cuMemAlloc", unsafe { malloc_sync(bytes) }),
        };
        let memory = memory.map_err(|error| match error.0 {
            CUresult::CUDA_ERROR_OUT_OF_MEMORY => no_memory(),
            code => self.error(call, code),
        })?;
        let handle = Handle(memory as *mut c_void);
        let zeroed = unsafe { sys::cuMemsetD8Async(memory, 0, bytes, self.stream) };
        self.checked("cuMemsetD8Async", zeroed).inspect_err(|_| unsafe { self.free(handle) })?;
        Ok(handle)
    }

    unsafe fn free(&self, handle: Handle) {
        let freed =
            self.enter().and_then(|()| self.flush()).and_then(|()| match self.found.has_pools {
                true => self.checked("cuMemFreeAsync", unsafe {
                    sys::cuMemFreeAsync(address(handle), self.stream)
                }),
                false => self.checked("cuMemFree", unsafe { sys::cuMemFree_v2(address(handle)) }),
            });
        if let Err(error) = freed {
            *self.pending.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
        }
    }

    unsafe fn write(&self, from: *const u8, to: Rectangle) -> Result<()> {
        self.enter()?;
        self.flush()?;
        if let Some(staging) = &mut *self.staging() {
            unsafe { staging.write(from, to, self.stream) }
                .map_err(|failure| self.failed(failure))?;
            return self.pending();
        }
        if to.rows > 1 && to.pitch <= MAX_PITCH {
            let copy = launch::write_rectangle(from, to);
            self.checked("cuMemcpy2DAsync", unsafe {
                sys::cuMemcpy2DAsync_v2(&copy, self.stream)
            })?;
        } else {
            for row in 0..to.rows {
                let there = address(to.handle) + (to.offset + row * to.pitch) as CUdeviceptr;
                let here = unsafe { from.add(row * to.width) }.cast();
                let copied =
                    unsafe { sys::cuMemcpyHtoDAsync_v2(there, here, to.width, self.stream) };
                self.checked("cuMemcpyHtoDAsync", copied)?;
            }
        }
        // The copy may read the caller's memory until it is done.
        self.finish()
    }

    unsafe fn read(&self, from: Rectangle, to: *mut u8) -> Result<()> {
        self.enter()?;
        self.flush()?;
        if let Some(staging) = &mut *self.staging() {
            unsafe { staging.read(from, to, self.stream) }
                .map_err(|failure| self.failed(failure))?;
            return self.pending();
        }
        if from.rows > 1 && from.pitch <= MAX_PITCH {
            let copy = launch::read_rectangle(from, to);
            self.checked("cuMemcpy2DAsync", unsafe {
                sys::cuMemcpy2DAsync_v2(&copy, self.stream)
            })?;
        } else {
            for row in 0..from.rows {
                let there = address(from.handle) + (from.offset + row * from.pitch) as CUdeviceptr;
                let here = unsafe { to.add(row * from.width) }.cast();
                let copied =
                    unsafe { sys::cuMemcpyDtoHAsync_v2(here, there, from.width, self.stream) };
                self.checked("cuMemcpyDtoHAsync", copied)?;
            }
        }
        self.finish()
    }

    fn compile(&self, source: &str, name: &str) -> Result<Kernel> {
        self.enter()?;
        let image = self.image(source, name)?;
        // An image from the cache that the driver refuses is compiled again; the error is then that of the new one.
        Kernel::load(&self.context, &image, name).or_else(|_| {
            let image = self.compiled(source, name)?;
            Kernel::load(&self.context, &image, name)
                .map_err(|(call, code)| self.not_loaded(call, code))
        })
    }

    unsafe fn launch(
        &self,
        kernel: &Kernel,
        groups: [usize; 2],
        items: usize,
        arguments: &[Argument],
    ) -> Result<()> {
        self.enter()?;
        let launch = Launch::new(kernel.function, groups, items, arguments);
        unsafe { self.steps().launch(launch, self.stream) }.map_err(|failure| self.failed(failure))
    }

    fn library(&self) -> Option<&str> {
        self.library.as_ref().map(|(version, _)| version.as_str())
    }

    unsafe fn library_product(&self, product: &LibraryProduct) -> Result<bool> {
        self.enter()?;
        unsafe { self.steps().product(product, self.stream) }
            .map_err(|failure| self.failed(failure))
    }

    fn begin_step(&self) {
        if self.found.versions.driver >= graph::MIN_DRIVER {
            self.steps().begin();
        }
    }

    fn end_step(&self) -> Result<()> {
        self.enter()?;
        self.steps().end(self.stream).map_err(|failure| self.failed(failure))
    }

    fn connect(&self, group: &Group, note: Option<fn(&str)>) -> Result<bool> {
        self.enter()?;
        self.link().connect(group, &self.found, note)
    }

    unsafe fn exchange(&self, sent: &[Message], received: &[Message]) -> Result<()> {
        self.enter()?;
        self.flush()?;
        unsafe { self.link().exchange(sent, received, self.stream) }?;
        self.pending()
    }

    fn finish(&self) -> Result<()> {
        self.enter()?;
        self.flush()?;
        self.checked("cuStreamSynchronize", unsafe { sys::cuStreamSynchronize(self.stream) })?;
        self.pending()
    }
}

impl Drop for Cuda {
    fn drop(&mut self) {
        if self.context.enter().is_ok() {
            let _ = self.flush();
            *self.steps() = Steps::default();
            if let Some((_, workspace)) = self.library.take() {
                // SAFETY: the library is closed, and the stream frees the memory after the library's work.
                unsafe { self.free(workspace) };
            }
            // SAFETY: nothing uses the stream any more. A failure has no cure.
            unsafe {
                let _ = stream::synchronize(self.stream);
                *self.staging() = None;
                let _ = stream::destroy(self.stream);
            }
        }
    }
}
