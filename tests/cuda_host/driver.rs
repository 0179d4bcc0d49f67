//! A CUDA driver, an NVRTC, a cuBLASLt and an NCCL that compute on the host; README.md says what they show. Environment variables
//! whose names begin with HOST_ make them fail, check or count.

#![allow(non_snake_case, reason = "the names are those of CUDA")]

use std::cell::Cell;
use std::ffi::{CStr, CString, c_char, c_int, c_uint, c_void};
use std::hash::Hasher as _;
use std::sync::atomic::{AtomicI64, AtomicU32, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};

/// Defines calls of a library.
macro_rules! calls {
    ($($name:ident($($argument:ident: $type:ty),* $(,)?) $body:block)*) => {
        $(#[unsafe(no_mangle)]
        pub unsafe extern "C" fn $name($($argument: $type),*) -> u32 {
            #[allow(unused_unsafe, reason = "some calls are safe")]
            unsafe { $body }
        })*
    };
}
use calls;

mod compiler;
mod cublaslt;
mod graph;
mod memory;
mod nccl;
mod numbers;
mod translate;
mod work;

use memory::{MEMORY, is_memory, note_pinned};
use work::{Function, HostLaunch, Module, NUMBER, STREAMS, Work, finish_all, stream_of, submit};

/// That of device 0; those of the others follow.
const FIRST_CONTEXT: usize = 1000;
const INVALID_VALUE: u32 = 1;
const OUT_OF_MEMORY: u32 = 2;
const INVALID_CONTEXT: u32 = 201;
const INVALID_IMAGE: u32 = 200;
const NOT_FOUND: u32 = 500;
const ILLEGAL_ADDRESS: u32 = 700;
const LAUNCH_FAILED: u32 = 719;

thread_local!(static CURRENT: Cell<usize> = const { Cell::new(0) });
static COMPLAINTS: AtomicI64 = AtomicI64::new(0);
/// The code of a lost device: every later call fails.
static LOST: AtomicU32 = AtomicU32::new(0);
static WAITS: AtomicI64 = AtomicI64::new(0);
static CONTEXTS: AtomicI64 = AtomicI64::new(0);
/// Objects of each kind that were not given back.
static LEFT: [AtomicI64; 6] = [const { AtomicI64::new(0) }; 6];
const MODULE: usize = 0;
const STREAM: usize = 1;
const EVENT: usize = 2;
const GRAPH: usize = 3;
const PIN: usize = 4;
const LIBRARY: usize = 5;

unsafe extern "C" {
    fn dlopen(name: *const c_char, flags: c_int) -> *mut c_void;
    fn dlsym(library: *mut c_void, name: *const c_char) -> *mut c_void;
    fn dlerror() -> *const c_char;
}

/// The variable HOST_name as a number.
fn setting(name: &str, usual: i64) -> i64 {
    let value = std::env::var(format!("HOST_{name}"));
    value.ok().and_then(|value| value.parse().ok()).unwrap_or(usual)
}

fn flag(name: &str) -> bool {
    setting(name, 0) != 0
}

/// Whether a fault is put in deliberately: what the tests are worth.
fn has_fault(name: &str) -> bool {
    static FAULT: LazyLock<String> =
        LazyLock::new(|| std::env::var("HOST_FAULT").unwrap_or_default());
    *FAULT == name
}

static CHECK: LazyLock<bool> = LazyLock::new(|| flag("CHECK"));
/// Without it kernels and products do nothing, and nothing is compiled.
static COMPUTE: LazyLock<bool> = LazyLock::new(|| setting("COMPUTE", 1) != 0);

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn complain(text: &str) {
    COMPLAINTS.fetch_add(1, SeqCst);
    eprintln!("driver: {text}");
}

fn lose(code: u32) {
    let _ = LOST.compare_exchange(0, code, SeqCst, SeqCst);
}

fn has_context() -> bool {
    CURRENT.get() != 0
}

fn in_context() -> u32 {
    let lost = LOST.load(SeqCst);
    if lost != 0 {
        return lost;
    }
    if has_context() {
        return 0;
    }
    complain("no context is current");
    INVALID_CONTEXT
}

struct Event {
    stream: AtomicU64,
    place: AtomicU64,
}

/// At the end of the last context.
fn report() {
    nccl::leave();
    let left = LEFT.each_ref().map(|count| count.load(SeqCst));
    let (live, allocations) = lock(&MEMORY).counts();
    if (left != [0; 6] || live > 0) && LOST.load(SeqCst) == 0 {
        complain(&format!(
            "left behind: {live} allocations, {left:?} modules, streams, events, graphs, pinned, objects of cuBLASLt"
        ));
    }
    if !flag("COUNTS") {
        return;
    }
    let mut kernels: Vec<_> = lock(&work::KERNELS).drain().collect();
    kernels.sort_by(|a, b| b.1.1.total_cmp(&a.1.1));
    for (name, (count, seconds)) in kernels {
        eprintln!("kernel {name}: {count} times, {seconds:.3} s");
    }
    let [launches, graphs, products, waits, complaints] =
        [&work::LAUNCHES, &graph::LAUNCHES, &work::PRODUCTS, &WAITS, &COMPLAINTS]
            .map(|x| x.load(SeqCst));
    let messages = nccl::SENT.load(SeqCst);
    let (unpinned, history) = (memory::unpinned(), lock(&work::HISTORY).finish() >> 1);
    eprintln!(
        "counts launches={launches} graphs={graphs} waits={waits} allocations={allocations} history={history} \
         products={products} unpinned={unpinned} messages={messages} complaints={complaints}"
    );
}

calls! {
    cuDriverGetVersion(version: *mut c_int) { *version = setting("DRIVER", 12_040) as c_int; 0 }
    cuInit(_flags: c_uint) { setting("INIT", 0) as u32 }
    cuDeviceGetCount(count: *mut c_int) { *count = setting("DEVICES", 1) as c_int; 0 }
    cuDeviceGet(device: *mut c_int, number: c_int) { *device = number; 0 }
    cuDeviceGetName(name: *mut c_char, size: c_int, _device: c_int) {
        let text = CString::new(compiler::name()).unwrap_or_default();
        let bytes = text.as_bytes_with_nul();
        if bytes.len() > size as usize { return INVALID_VALUE; }
        name.copy_from(text.as_ptr(), bytes.len());
        0
    }
    cuDeviceGetPCIBusId(text: *mut c_char, size: c_int, device: c_int) {
        let address = CString::new(format!("0000:{:02X}:00.0", device + 1)).unwrap_or_default();
        let bytes = address.as_bytes_with_nul();
        if bytes.len() > size as usize { return INVALID_VALUE; }
        text.copy_from(address.as_ptr(), bytes.len());
        0
    }
    cuDeviceTotalMem_v2(bytes: *mut usize, _device: c_int) { *bytes = memory::total(); 0 }
    cuDeviceGetAttribute(value: *mut c_int, attribute: c_int, _device: c_int) {
        *value = match attribute {
            1 => 1024,
            8 => 48 << 10,
            16 => setting("UNITS", 4) as c_int,
            20 => 2 * setting("PROHIBITED", 0) as c_int,
            75 => setting("CAPABILITY", 90) as c_int / 10,
            76 => setting("CAPABILITY", 90) as c_int % 10,
            115 => setting("POOLS", 1) as c_int,
            _ => 0,
        };
        0
    }
    cuDevicePrimaryCtxRetain(context: *mut usize, device: c_int) {
        CONTEXTS.fetch_add(1, SeqCst);
        *context = FIRST_CONTEXT + device as usize;
        0
    }
    cuDevicePrimaryCtxRelease_v2(_device: c_int) {
        if CONTEXTS.fetch_sub(1, SeqCst) == 1 { report(); }
        0
    }
    cuCtxSetCurrent(context: usize) { CURRENT.set(context); 0 }
    cuStreamCreate(stream: *mut usize, _flags: c_uint) {
        LEFT[STREAM].fetch_add(1, SeqCst);
        *stream = 0x5000 + NUMBER.fetch_add(1, SeqCst) as usize;
        lock(&STREAMS).insert(*stream, Arc::default());
        in_context()
    }
    cuStreamDestroy_v2(stream: usize) {
        LEFT[STREAM].fetch_sub(1, SeqCst);
        let Some(stream) = lock(&STREAMS).remove(&stream) else { return INVALID_VALUE };
        let mut stream = lock(&stream);
        stream.finish();
        in_context()
    }
    cuStreamSynchronize(stream: usize) {
        let stream = stream_of(stream);
        let mut stream = lock(&stream);
        if stream.captured.is_some() { complain("a stream is waited for that is being captured"); return INVALID_VALUE; }
        WAITS.fetch_add(1, SeqCst);
        stream.finish();
        in_context()
    }
    cuStreamBeginCapture_v2(stream: usize, _mode: c_uint) {
        let stream = stream_of(stream);
        let mut stream = lock(&stream);
        if stream.captured.is_some() { return INVALID_VALUE; }
        if !stream.is_idle() { complain("a stream is captured that has work of its own"); }
        stream.captured = Some(Vec::new());
        in_context()
    }
    cuStreamEndCapture(stream: usize, graph: *mut usize) {
        let Some(works) = lock(&stream_of(stream)).captured.take() else { return INVALID_VALUE };
        *graph = graph::new(vec![works]);
        in_context()
    }
    cuMemHostAlloc(memory: *mut usize, bytes: usize, _flags: c_uint) {
        if setting("PINNED", 1) == 0 { return OUT_OF_MEMORY; }
        *memory = memory::pin(bytes);
        LEFT[PIN].fetch_add(1, SeqCst);
        in_context()
    }
    cuMemFreeHost(memory: usize) {
        finish_all();
        if !memory::unpin(memory) { return INVALID_VALUE; }
        LEFT[PIN].fetch_sub(1, SeqCst);
        in_context()
    }
    cuEventCreate(event: *mut usize, _flags: c_uint) {
        LEFT[EVENT].fetch_add(1, SeqCst);
        *event = Box::into_raw(Box::new(Event { stream: AtomicU64::new(0), place: AtomicU64::new(0) })) as usize;
        in_context()
    }
    cuEventDestroy_v2(event: usize) {
        LEFT[EVENT].fetch_sub(1, SeqCst);
        drop(Box::from_raw(event as *mut Event));
        in_context()
    }
    cuEventRecord(event: usize, stream: usize) {
        let event = &*(event as *const Event);
        event.stream.store(stream as u64, SeqCst);
        event.place.store(lock(&stream_of(stream)).asked, SeqCst);
        in_context()
    }
    cuEventSynchronize(event: usize) {
        let event = &*(event as *const Event);
        WAITS.fetch_add(1, SeqCst);
        let stream = event.stream.load(SeqCst) as usize;
        if stream != 0 {
            lock(&stream_of(stream)).work_until(event.place.load(SeqCst));
        }
        in_context()
    }
    cuMemGetInfo_v2(free: *mut usize, total: *mut usize) {
        *total = memory::total();
        *free = *total - lock(&MEMORY).used();
        in_context()
    }
    cuDeviceGetDefaultMemPool(pool: *mut usize, _device: c_int) { *pool = 5; 0 }
    cuMemPoolTrimTo(_pool: usize, _keep: usize) { 0 }
    cuMemAlloc_v2(memory: *mut u64, bytes: usize) {
        let Some(address) = lock(&MEMORY).allocate(bytes) else { return OUT_OF_MEMORY };
        *memory = address;
        in_context()
    }
    cuMemAllocAsync(memory: *mut u64, bytes: usize, _stream: usize) { cuMemAlloc_v2(memory, bytes) }
    cuMemFree_v2(memory: u64) {
        finish_all();
        if !lock(&MEMORY).free(memory) { complain("memory is given back that was not allocated"); return INVALID_VALUE; }
        in_context()
    }
    cuMemFreeAsync(memory: u64, stream: usize) { submit(Work::Free(memory), stream) }
    cuMemsetD8Async(memory: u64, byte: u8, bytes: usize, stream: usize) {
        if !is_memory(memory, bytes as u64) { complain("a memset outside of memory"); return INVALID_VALUE; }
        submit(Work::Set { to: memory as usize, byte, bytes }, stream)
    }
    cuMemcpyHtoDAsync_v2(to: u64, from: *const u8, bytes: usize, stream: usize) {
        if !is_memory(to, bytes as u64) { complain("a copy to outside of memory"); return INVALID_VALUE; }
        note_pinned(from as usize, bytes);
        submit(Work::Copy { from: from as usize, to: to as usize, bytes }, stream)
    }
    cuMemcpyDtoHAsync_v2(to: *mut u8, from: u64, bytes: usize, stream: usize) {
        if !is_memory(from, bytes as u64) { complain("a copy from outside of memory"); return INVALID_VALUE; }
        note_pinned(to as usize, bytes);
        submit(Work::Copy { from: from as usize, to: to as usize, bytes }, stream)
    }
    cuMemcpy2DAsync_v2(rectangle: *const Rectangle, stream: usize) {
        let Rectangle { from, to, width, rows } = &*rectangle;
        let [start, end] = [from, to].map(|side| if side.kind == 1 { side.host as usize } else { side.device as usize });
        if from.kind == to.kind || from.pitch < *width || to.pitch < *width || [from, to].iter().any(|side| side.x + side.y > 0) {
            complain("a copy of rectangles that CUDA refuses");
            return INVALID_VALUE;
        }
        for (side, address) in [(from, start), (to, end)] {
            let bytes = (rows - 1) * side.pitch + width;
            if side.kind == 1 { note_pinned(address, bytes) }
            else if !is_memory(address as u64, bytes as u64) { complain("a rectangle outside of memory"); return INVALID_VALUE; }
        }
        for row in 0..*rows {
            let code = submit(Work::Copy { from: start + row * from.pitch, to: end + row * to.pitch, bytes: *width }, stream);
            if code != 0 { return code; }
        }
        0
    }
    cuModuleLoadData(module: *mut usize, image: *const u8) {
        let code = setting("LOAD", 0) as u32;
        if code != 0 { return code; }
        let Some(elf) = compiler::elf(image) else { return INVALID_IMAGE };
        if elf.is_empty() {
            LEFT[MODULE].fetch_add(1, SeqCst);
            *module = Arc::into_raw(Arc::new(Module { library: 0, turn: Mutex::new(()) })) as usize;
            return in_context();
        }
        // A name of its own each time: the loader takes what has the same name for the same library.
        let number = NUMBER.fetch_add(1, SeqCst);
        let path = std::env::temp_dir().join(format!("host-kernel-{}-{number}.so", std::process::id()));
        if std::fs::write(&path, elf).is_err() { return INVALID_IMAGE; }
        let name = CString::new(path.to_str().unwrap()).unwrap();
        let library = dlopen(name.as_ptr(), 2);
        let _ = std::fs::remove_file(path);
        if library.is_null() {
            complain(&CStr::from_ptr(dlerror()).to_string_lossy());
            return INVALID_IMAGE;
        }
        LEFT[MODULE].fetch_add(1, SeqCst);
        let made = Arc::new(Module { library: library as usize, turn: Mutex::new(()) });
        *module = Arc::into_raw(made) as usize;
        in_context()
    }
    cuModuleGetFunction(function: *mut usize, module: usize, name: *const c_char) {
        Arc::increment_strong_count(module as *const Module);
        let held = Arc::from_raw(module as *const Module);
        if held.library == 0 {
            let name = CStr::from_ptr(name).to_owned();
            let made = Function { name, run: None, types: None, bound: 1024, module: held };
            *function = Arc::into_raw(Arc::new(made)) as usize;
            return in_context();
        }
        let text = CStr::from_ptr(name).to_string_lossy();
        let symbol = |prefix: &str| {
            let name = CString::new(format!("{prefix}{text}")).unwrap();
            dlsym(held.library as *mut c_void, name.as_ptr())
        };
        let (run, types, bound) = (symbol("host_run_"), symbol("host_types_"), symbol("host_bound_"));
        if run.is_null() || types.is_null() || bound.is_null() { return NOT_FOUND; }
        let made = Function {
            name: CStr::from_ptr(name).to_owned(),
            run: Some(std::mem::transmute::<*mut c_void, unsafe extern "C" fn(*mut HostLaunch)>(run)),
            types: Some(CStr::from_ptr(types.cast()).to_bytes().to_vec()),
            bound: *bound.cast::<u32>(),
            module: held,
        };
        // Belongs to the module, which the engine unloads; a few bytes are left.
        *function = Arc::into_raw(Arc::new(made)) as usize;
        in_context()
    }
    // Works that wait in a queue keep it alive, as the driver waits for them before it unloads.
    cuModuleUnload(module: usize) {
        finish_all();
        LEFT[MODULE].fetch_sub(1, SeqCst);
        drop(Arc::from_raw(module as *const Module));
        in_context()
    }
    cuLaunchKernel(
        function: usize, x: c_uint, y: c_uint, z: c_uint, items: c_uint, b: c_uint, c: c_uint, shared: c_uint,
        stream: usize, arguments: *const *const u64, extra: *const c_void
    ) {
        if shared != 0 || !extra.is_null() || (b, c) != (1, 1) { return INVALID_VALUE; }
        match Work::kernel(function, [x, y, z, items], arguments) {
            Ok(work) => submit(work, stream),
            Err(code) => code,
        }
    }
    cuGetErrorString(code: c_uint, text: *mut *const c_char) {
        *text = match code {
            ILLEGAL_ADDRESS => c"an illegal memory access was encountered",
            222 => c"the provided PTX was compiled with an unsupported toolchain",
            100 => c"no CUDA-capable device is detected",
            LAUNCH_FAILED => c"a kernel did something wrong; see standard error",
            _ => c"something else",
        }.as_ptr();
        0
    }
}

#[repr(C)]
pub struct Rectangle {
    from: Side,
    to: Side,
    width: usize,
    rows: usize,
}

#[repr(C)]
struct Side {
    x: usize,
    y: usize,
    kind: u32,
    host: *const u8,
    device: u64,
    array: usize,
    pitch: usize,
}
