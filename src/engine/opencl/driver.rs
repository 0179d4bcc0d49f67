//! One OpenCL device as a [`Driver`].
//!
//! The crate is cl3, the lower layer of opencl3: it returns every error as a result, where the upper layer unwraps in `Drop`.

use std::ffi::{CString, c_void};
use std::ptr;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};

use cl3::command_queue::{
    create_command_queue, enqueue_fill_buffer, enqueue_nd_range_kernel, enqueue_read_buffer,
    enqueue_read_buffer_rect, enqueue_write_buffer, enqueue_write_buffer_rect, finish, flush,
    release_command_queue,
};
use cl3::context::{create_context, release_context};
use cl3::error_codes::error_text;
use cl3::event::release_event;
use cl3::kernel::{create_kernel, release_kernel, set_kernel_arg};
use cl3::memory::{
    CL_MEM_READ_WRITE, CL_MEM_SIZE, create_buffer, get_mem_object_data, release_mem_object,
};
use cl3::program::{
    CL_PROGRAM_BINARIES, CL_PROGRAM_BUILD_LOG, build_program, create_program_with_binary,
    create_program_with_source, get_program_build_data, get_program_info, release_program,
};
use cl3::types::{CL_TRUE, cl_command_queue, cl_context, cl_event, cl_kernel, cl_mem, cl_program};

use super::devices::Found;
use crate::engine::cache::Cache;
use crate::engine::gpu::driver::Argument;
use crate::engine::gpu::{Driver, Rectangle, Traits};
use crate::engine::{Device, Handle, cpu};
use crate::error::{Error, ErrorKind, Result};

/// `CL_MEM_OBJECT_ALLOCATION_FAILURE`, `CL_OUT_OF_RESOURCES`, `CL_OUT_OF_HOST_MEMORY` and `CL_INVALID_BUFFER_SIZE`: the codes of `clCreateBuffer`
/// and of the first use of memory that mean that there is none left.
const OUT_OF_MEMORY: [i32; 4] = [-4, -5, -6, -61];
/// Launches between two flushes, which let the driver begin.
const LAUNCHES_PER_FLUSH: u64 = 16;
/// Launches after which the host waits for the device, so that no queue grows without bound.
const MAX_QUEUED_LAUNCHES: u64 = 4096;

/// One device with one in-order queue.
pub(super) struct OpenCl {
    found: Found,
    context: cl_context,
    queue: cl_command_queue,
    cache: Option<Cache>,
    /// Bytes allocated.
    live: AtomicU64,
    /// Launches so far.
    launches: AtomicU64,
    /// A failure of a call that returns nothing, for the next call that can return it.
    pending: Mutex<Option<Error>>,
}

// SAFETY: any thread may use OpenCL's objects; the engine's lock makes setting a kernel's arguments and launching it one action.
unsafe impl Send for OpenCl {}
// SAFETY: any thread may use OpenCL's objects, several at a time but for kernels, which the engine's lock guards.
unsafe impl Sync for OpenCl {}

/// A kernel, and the program that contains it.
pub(super) struct Kernel {
    kernel: cl_kernel,
    program: cl_program,
}

// SAFETY: any thread may use a kernel, one at a time.
unsafe impl Send for Kernel {}

impl Drop for Kernel {
    fn drop(&mut self) {
        // SAFETY: both are ours and not used any more. A failure has no cure.
        unsafe {
            let _ = release_kernel(self.kernel);
            let _ = release_program(self.program);
        }
    }
}

impl OpenCl {
    pub fn new(found: Found, cache: Option<Cache>) -> Result<Self> {
        let fail = |call, code| device_error(&found.device.name, call, code, String::new());
        let context = create_context(&[found.id], ptr::null(), None, ptr::null_mut())
            .map_err(|code| fail("clCreateContext", code))?;
        // SAFETY: the device is the context's.
        #[allow(deprecated, reason = "OpenCL 1.2 has no other call")]
        let queue = unsafe { create_command_queue(context, found.id, 0) }.map_err(|code| {
            // SAFETY: the context is ours, and not used any more.
            let _ = unsafe { release_context(context) };
            fail("clCreateCommandQueue", code)
        })?;
        let zero = || AtomicU64::new(0);
        Ok(OpenCl {
            found,
            context,
            queue,
            cache,
            live: zero(),
            launches: zero(),
            pending: Mutex::new(None),
        })
    }

    pub fn error(&self, call: &'static str, code: i32) -> Error {
        device_error(&self.found.device.name, call, code, String::new())
    }

    /// Bytes that are free, as far as driver and system report them.
    fn available(&self) -> u64 {
        let left = self.found.memory.saturating_sub(self.live.load(Relaxed));
        // A CPU device shares the machine's memory with all other processes.
        let machine = if self.found.traits.is_cpu { cpu::available_memory() } else { None };
        left.min(machine.unwrap_or(u64::MAX))
    }

    fn no_memory(&self, asked: u64, available: u64) -> Error {
        let engine = self.found.device.name.clone();
        ErrorKind::Memory { engine, asked, available: Some(available) }.into()
    }

    /// Keeps an error for the next call that can return one.
    fn keep(&self, error: Error) {
        *self.pending.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
    }

    fn pending(&self) -> Result<()> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner).take().map_or(Ok(()), Err)
    }

    /// Releases the event of a call that was enqueued.
    fn enqueued(&self, call: &'static str, event: Result<cl_event, i32>) -> Result<()> {
        let event = event.map_err(|code| self.error(call, code))?;
        // SAFETY: the event is ours, and not used any more.
        unsafe { release_event(event) }.map_err(|code| self.error("clReleaseEvent", code))
    }

    /// A program from the cache, if there is one that the driver accepts.
    fn cached_program(&self, source: &str) -> Option<cl_program> {
        let binary = self.cache.as_ref()?.load(source)?;
        // SAFETY: the device is the context's.
        let program =
            unsafe { create_program_with_binary(self.context, &[self.found.id], &[&binary]) }
                .ok()?;
        if build_program(program, &[self.found.id], c"", None, ptr::null_mut()).is_ok() {
            return Some(program);
        }
        // SAFETY: the program is ours, and not used any more.
        let _ = unsafe { release_program(program) };
        None
    }

    /// A program that is compiled now.
    fn built_program(&self, source: &str, name: &str) -> Result<cl_program> {
        let program = create_program_with_source(self.context, &[source])
            .map_err(|code| self.error("clCreateProgramWithSource", code))?;
        if let Err(code) = build_program(program, &[self.found.id], c"", None, ptr::null_mut()) {
            let log = get_program_build_data(program, self.found.id, CL_PROGRAM_BUILD_LOG)
                .unwrap_or_default();
            // SAFETY: the program is ours, and not used any more.
            let _ = unsafe { release_program(program) };
            let log = String::from_utf8_lossy(&log);
            let detail =
                format!("kernel '{name}' does not compile:\n{}", log.trim_matches(['\0', '\n']));
            return Err(device_error(&self.found.device.name, "clBuildProgram", code, detail));
        }
        Ok(program)
    }

    /// The kernel of a program, which it owns from now on.
    fn kernel(&self, program: cl_program, name: &str) -> Result<Kernel> {
        let c_name = CString::new(name).unwrap_or_default();
        create_kernel(program, &c_name).map(|kernel| Kernel { kernel, program }).map_err(|code| {
            // SAFETY: the program is ours, and not used any more.
            let _ = unsafe { release_program(program) };
            let detail = format!("kernel '{name}'");
            device_error(&self.found.device.name, "clCreateKernel", code, detail)
        })
    }
}

fn device_error(engine: &str, call: &'static str, code: i32, detail: String) -> Error {
    let detail = if detail.is_empty() { error_text(code).to_owned() } else { detail };
    ErrorKind::Device { engine: engine.to_owned(), call, code: i64::from(code), detail }.into()
}

fn memory(handle: Handle) -> cl_mem {
    handle.0
}

#[allow(
    clippy::undocumented_unsafe_blocks,
    reason = "memory and kernels are this driver's and alive, as the caller promises; queue and device are ours"
)]
impl Driver for OpenCl {
    type Kernel = Kernel;

    const DIALECT: &'static str = include_str!("../kernels/opencl.h");
    const PROVES: bool = true;

    fn device(&self) -> &Device {
        &self.found.device
    }

    fn traits(&self) -> &Traits {
        &self.found.traits
    }

    fn allocate(&self, bytes: usize) -> Result<Handle> {
        const ZEROS: [u8; 16] = [0; 16];
        self.pending()?;
        let size = bytes.checked_next_multiple_of(ZEROS.len()).unwrap_or(bytes);
        let available = self.available();
        if size as u64 > available.min(self.found.largest) {
            return Err(self.no_memory(size as u64, available.min(self.found.largest)));
        }
        let failed = |call, code| match OUT_OF_MEMORY.contains(&code) {
            true => self.no_memory(size as u64, available),
            false => self.error(call, code),
        };
        let buffer =
            unsafe { create_buffer(self.context, CL_MEM_READ_WRITE, size, ptr::null_mut()) }
                .map_err(|code| failed("clCreateBuffer", code))?;
        self.live.fetch_add(size as u64, Relaxed);
        let pattern = ZEROS.as_ptr().cast();
        let filled = unsafe {
            enqueue_fill_buffer(self.queue, buffer, pattern, ZEROS.len(), 0, size, 0, ptr::null())
        };
        match filled {
            Ok(event) => self.enqueued("clEnqueueFillBuffer", Ok(event))?,
            Err(code) => {
                unsafe { self.free(Handle(buffer)) };
                return Err(failed("clEnqueueFillBuffer", code));
            }
        }
        Ok(Handle(buffer))
    }

    unsafe fn free(&self, handle: Handle) {
        let size = get_mem_object_data(memory(handle), CL_MEM_SIZE)
            .ok()
            .and_then(|data| data.try_into().ok());
        self.live.fetch_sub(size.map_or(0, u64::from_ne_bytes), Relaxed);
        if let Err(code) = unsafe { release_mem_object(memory(handle)) } {
            self.keep(self.error("clReleaseMemObject", code));
        }
    }

    unsafe fn write(&self, from: *const u8, to: Rectangle) -> Result<()> {
        let (queue, buffer, from) = (self.queue, memory(to.handle), from.cast::<c_void>());
        let Rectangle { offset, width, rows, pitch, .. } = to;
        if rows == 1 {
            let event = unsafe {
                enqueue_write_buffer(queue, buffer, CL_TRUE, offset, width, from, 0, ptr::null())
            };
            return self.enqueued("clEnqueueWriteBuffer", event);
        }
        let (origin, here, region) = ([offset, 0, 0], [0; 3], [width, rows, 1]);
        let event = unsafe {
            enqueue_write_buffer_rect(
                queue,
                buffer,
                CL_TRUE,
                origin.as_ptr(),
                here.as_ptr(),
                region.as_ptr(),
                pitch,
                0,
                width,
                0,
                from,
                0,
                ptr::null(),
            )
        };
        self.enqueued("clEnqueueWriteBufferRect", event)
    }

    unsafe fn read(&self, from: Rectangle, to: *mut u8) -> Result<()> {
        let (queue, buffer, to) = (self.queue, memory(from.handle), to.cast::<c_void>());
        let Rectangle { offset, width, rows, pitch, .. } = from;
        if rows == 1 {
            let event = unsafe {
                enqueue_read_buffer(queue, buffer, CL_TRUE, offset, width, to, 0, ptr::null())
            };
            return self.enqueued("clEnqueueReadBuffer", event);
        }
        let (origin, here, region) = ([offset, 0, 0], [0; 3], [width, rows, 1]);
        let event = unsafe {
            enqueue_read_buffer_rect(
                queue,
                buffer,
                CL_TRUE,
                origin.as_ptr(),
                here.as_ptr(),
                region.as_ptr(),
                pitch,
                0,
                width,
                0,
                to,
                0,
                ptr::null(),
            )
        };
        self.enqueued("clEnqueueReadBufferRect", event)
    }

    fn compile(&self, source: &str, name: &str) -> Result<Kernel> {
        if let Some(kernel) = self.load(source, name) {
            return Ok(kernel);
        }
        let kernel = self.build(source, name)?;
        self.store(source, &kernel);
        Ok(kernel)
    }

    fn build(&self, source: &str, name: &str) -> Result<Kernel> {
        self.kernel(self.built_program(source, name)?, name)
    }

    fn load(&self, source: &str, name: &str) -> Option<Kernel> {
        self.kernel(self.cached_program(source)?, name).ok()
    }

    fn store(&self, source: &str, kernel: &Kernel) {
        if let Some(cache) = &self.cache
            && let Ok(binaries) = get_program_info(kernel.program, CL_PROGRAM_BINARIES)
            && let [binary] = &Vec::<Vec<u8>>::from(binaries)[..]
        {
            cache.store(source, binary);
        }
    }

    unsafe fn launch(
        &self,
        kernel: &Kernel,
        groups: [usize; 2],
        items: usize,
        arguments: &[Argument],
    ) -> Result<()> {
        for (index, argument) in arguments.iter().enumerate() {
            let (size, value): (usize, *const c_void) = match argument {
                Argument::Memory(handle) => (size_of::<cl_mem>(), ptr::from_ref(&handle.0).cast()),
                Argument::Int(x) => (4, ptr::from_ref(x).cast()),
                Argument::Index(x) => (8, ptr::from_ref(x).cast()),
                Argument::Single(x) => (4, ptr::from_ref(x).cast()),
                Argument::Double(x) => (8, ptr::from_ref(x).cast()),
            };
            unsafe { set_kernel_arg(kernel.kernel, index as u32, size, value) }
                .map_err(|code| self.error("clSetKernelArg", code))?;
        }
        let (global, local) = ([groups[0] * items, groups[1]], [items, 1]);
        let event = unsafe {
            let (global, local) = (global.as_ptr(), local.as_ptr());
            enqueue_nd_range_kernel(
                self.queue,
                kernel.kernel,
                2,
                ptr::null(),
                global,
                local,
                0,
                ptr::null(),
            )
        };
        self.enqueued("clEnqueueNDRangeKernel", event)?;
        match self.launches.fetch_add(1, Relaxed) + 1 {
            count if count % MAX_QUEUED_LAUNCHES == 0 => self.finish(),
            count if count % LAUNCHES_PER_FLUSH == 0 => {
                flush(self.queue).map_err(|code| self.error("clFlush", code))
            }
            _ => Ok(()),
        }
    }

    fn finish(&self) -> Result<()> {
        finish(self.queue).map_err(|code| self.error("clFinish", code))?;
        self.pending()
    }
}

impl Drop for OpenCl {
    fn drop(&mut self) {
        // SAFETY: nothing uses the queue any more. A failure has no cure.
        unsafe {
            let _ = finish(self.queue);
            let _ = release_command_queue(self.queue);
            let _ = release_context(self.context);
        }
    }
}
