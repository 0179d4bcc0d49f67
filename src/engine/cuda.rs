//! CUDA as a [`Driver`]: thin calls of the driver's API, nothing else. Driver and compiler are opened at run time.

use std::ffi::c_void;
use std::ptr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use cudarc::driver::result::{DriverError, malloc_async, malloc_sync, mem_get_info, stream};
use cudarc::driver::sys::{self, CUdeviceptr, CUresult, CUstream};

use self::capture::Captured;
use self::context::{Context, Kernel};
use self::cublaslt::CublasLt;
use self::devices::Found;
use self::failure::{Failure, device_error, told};
use self::graph::{Launch, Steps};
use self::nvrtc::{Target, version_text};
use self::staging::Staging;
use super::cache::Cache;
use super::gpu::driver::{Argument, LibraryProduct};
use super::gpu::{Driver, Gpu, Rectangle, Traits};
use super::*;

mod capture;
mod context;
mod cublaslt;
mod devices;
mod failure;
mod graph;
mod launch;
mod nvrtc;
mod staging;
#[cfg(test)]
mod tests;

/// Bytes for cuBLASLt to work in, as NVIDIA recommends them from Hopper on and before.
const WORKSPACE: [usize; 2] = [32 << 20, 4 << 20];
/// The compute capability from which on a tensor core takes TF32 and bfloat16, and that for half precision.
const TENSOR_CORES: [i32; 2] = [80, 70];

/// The longest distance between two runs that a copy of rectangles takes.
const MOST_PITCH: usize = i32::MAX as usize;

pub(super) fn probe() -> Vec<Device> {
    match devices::find() {
        Ok(found) => found.into_iter().map(|found| found.device).collect(),
        Err(missing) => vec![Device {
            name: "cuda".to_owned(),
            description: "CUDA".to_owned(),
            missing: Some(missing),
            ..Device::default()
        }],
    }
}

pub(super) fn open<T: Scalar>(device: &str, settings: &Settings) -> Result<Arc<dyn Engine<T>>> {
    let found =
        devices::find().map_err(|missing| unavailable("cuda", &missing.reason, &missing.cure))?;
    let found = devices::choose(found, device)?;
    let library = library(&found, settings)?;
    let cache =
        settings.cache.as_ref().map(|folder| Cache::new(folder, "cuda", &found.traits.identity));
    let mut cuda = Cuda::new(found, cache.clone())?;
    if let Some(version) = library {
        cuda.open_library(version, settings)?;
    }
    Ok(Arc::new(Gpu::new(cuda, cache, settings)?))
}

/// cuBLASLt's version, where it is there and wanted; it may be missing if nobody asked for it by name.
fn library(found: &Found, settings: &Settings) -> Result<Option<String>> {
    let name = &found.device.name;
    let needed = match settings.matmul {
        MatmulPrecision::Full => 0,
        MatmulPrecision::Tf32 | MatmulPrecision::Bf16 => TENSOR_CORES[0],
        MatmulPrecision::F16 => TENSOR_CORES[1],
    };
    if found.capability < needed {
        let [here, needed] = [found.capability, needed].map(nvrtc::capability_text);
        let precision = settings.matmul.name();
        let reason = format!("its compute capability is {here}, {precision} needs {needed}");
        return Err(unavailable(name, reason, "take f32"));
    }
    if settings.library == Library::Never {
        return Ok(None);
    }
    match &found.cublaslt {
        Ok(version) => Ok(Some(version.clone())),
        Err(missing) if is_demanded(settings) => {
            Err(unavailable(name, &missing.reason, &missing.cure))
        }
        Err(_) => Ok(None),
    }
}

fn is_demanded(settings: &Settings) -> bool {
    settings.matmul != MatmulPrecision::Full || settings.library == Library::Always
}

/// One device with one stream.
struct Cuda {
    found: Found,
    target: Target,
    context: Arc<Context>,
    stream: CUstream,
    cache: Option<Cache>,
    steps: Mutex<Steps>,
    /// `None`: copies go to the caller's memory directly.
    staging: Mutex<Option<Staging>>,
    /// cuBLASLt's version and the memory that it works in, where it is used.
    library: Option<(String, Handle)>,
    /// A failure that could not be told when it happened.
    pending: Mutex<Option<Error>>,
}

// SAFETY: CUDA's objects may be used by any thread that has made their context current, which every call does.
unsafe impl Send for Cuda {}
// SAFETY: as above.
unsafe impl Sync for Cuda {}

impl Cuda {
    fn new(found: Found, cache: Option<Cache>) -> Result<Self> {
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
        let (steps, staging, pending) =
            (Mutex::default(), Mutex::new(Staging::new()), Mutex::new(None));
        Ok(Cuda { found, target, context, stream, cache, steps, staging, library: None, pending })
    }

    /// Goes on without the library where it does not start and nobody asked for it by name.
    fn open_library(&mut self, version: String, settings: &Settings) -> Result<()> {
        let bytes = WORKSPACE[usize::from(self.found.capability < 90)];
        let memory = self.allocate(bytes)?;
        match CublasLt::new(address(memory), bytes).and_then(Captured::new) {
            Ok(captured) => {
                *self.steps() = Steps::new(Some(captured));
                self.library = Some((version, memory));
                Ok(())
            }
            Err(failure) => {
                // SAFETY: nobody has used it.
                unsafe { self.free(memory) };
                if is_demanded(settings) { Err(self.failed(failure)) } else { Ok(()) }
            }
        }
    }

    fn failed(&self, failure: Failure) -> Error {
        failure.of(&self.found.device.name)
    }

    fn error(&self, call: &'static str, code: CUresult) -> Error {
        device_error(&self.found.device.name, call, code)
    }

    fn checked(&self, call: &'static str, result: CUresult) -> Result<()> {
        result.result().map_err(|error| self.error(call, error.0))
    }

    /// Makes the context current: the caller's thread may never have seen it.
    fn enter(&self) -> Result<()> {
        self.context.enter().map_err(|error| self.error("cuCtxSetCurrent", error.0))
    }

    fn pending(&self) -> Result<()> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner).take().map_or(Ok(()), Err)
    }

    /// A call that panicked has held back launches that are still right.
    fn steps(&self) -> MutexGuard<'_, Steps> {
        self.steps.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A call that panicked has copied less than it should, and both halves are as good as before.
    fn staging(&self) -> MutexGuard<'_, Option<Staging>> {
        self.staging.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts what a step holds back.
    fn flush(&self) -> Result<()> {
        self.steps().flush(self.stream).map_err(|failure| self.failed(failure))
    }

    fn free_memory(&self) -> Result<usize> {
        mem_get_info().map(|(free, _)| free).map_err(|error| self.error("cuMemGetInfo", error.0))
    }

    /// Bytes that are free, where `asked` of them are wanted. What was given back may still lie in the stream's pool: it is
    /// fetched from there before anybody is told that there is too little.
    fn available(&self, asked: usize) -> Result<usize> {
        let free = self.free_memory()?;
        if free >= asked || !self.found.has_pools {
            return Ok(free);
        }
        self.finish()?;
        let mut pool = ptr::null_mut();
        // SAFETY: the device and its pool are the driver's.
        unsafe {
            self.checked(
                "cuDeviceGetDefaultMemPool",
                sys::cuDeviceGetDefaultMemPool(&mut pool, self.found.id),
            )?;
            self.checked("cuMemPoolTrimTo", sys::cuMemPoolTrimTo(pool, 0))?;
        }
        self.free_memory()
    }

    /// Code for this device, from the cache or made now.
    fn image(&self, source: &str, name: &str) -> Result<Vec<u8>> {
        if let Some(image) = self.cache.as_ref().and_then(|cache| cache.load(source)) {
            return Ok(image);
        }
        self.compiled(source, name)
    }

    fn compiled(&self, source: &str, name: &str) -> Result<Vec<u8>> {
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

    /// Tells which versions met where a driver does not take what the compiler made.
    fn not_loaded(&self, call: &'static str, code: CUresult) -> Error {
        let devices::Versions { driver, nvrtc } = self.found.versions;
        let error = self.error(call, code);
        if nvrtc <= driver {
            return error;
        }
        let (driver, nvrtc, text) = (version_text(driver), version_text(nvrtc), told(code));
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

fn address(handle: Handle) -> CUdeviceptr {
    handle.0 as CUdeviceptr
}

#[allow(
    clippy::undocumented_unsafe_blocks,
    reason = "memory and kernels were handed out here and are alive by the caller's promise; the context is made current"
)]
impl Driver for Cuda {
    type Kernel = Kernel;

    const DIALECT: &'static str = include_str!("kernels/cuda.h");
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
        if to.rows > 1 && to.pitch <= MOST_PITCH {
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
        if from.rows > 1 && from.pitch <= MOST_PITCH {
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
        // A cached image that the driver does not take is made again; what is told is why the new one was refused.
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
        if self.found.versions.driver >= graph::OLDEST {
            self.steps().begin();
        }
    }

    fn end_step(&self) -> Result<()> {
        self.enter()?;
        self.steps().end(self.stream).map_err(|failure| self.failed(failure))
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
                // SAFETY: the library is gone, and what it started comes first in the stream.
                unsafe { self.free(workspace) };
            }
            // SAFETY: nothing uses the stream any more. A failure leaves nobody anything to do.
            unsafe {
                let _ = stream::synchronize(self.stream);
                *self.staging() = None;
                let _ = stream::destroy(self.stream);
            }
        }
    }
}
