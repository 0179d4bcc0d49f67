//! Work of a device - kernels, products, copies - and the streams that hold it.
//!
//! A stream does what it was asked for when somebody waits (HOST_MODE=lazy, the default) or at once (eager).

use std::cell::Cell;
use std::collections::hash_map::DefaultHasher;
use std::collections::{HashMap, VecDeque};
use std::ffi::{CString, c_char, c_int, c_uint, c_void};
use std::hash::Hash as _;
use std::sync::atomic::{AtomicI64, AtomicU32, Ordering::SeqCst};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Instant;

use super::memory::{ARENA, MEMORY, is_memory, reserve};
use super::{
    CHECK, COMPUTE, INVALID_VALUE, LAUNCH_FAILED, complain, cublaslt, flag, in_context, nccl,
};
use super::{ILLEGAL_ADDRESS, lock, lose, setting};

pub static LAUNCHES: AtomicI64 = AtomicI64::new(0);
pub static PRODUCTS: AtomicI64 = AtomicI64::new(0);
pub static KERNELS: LazyLock<Mutex<HashMap<String, (u64, f64)>>> = LazyLock::new(Mutex::default);
/// What was computed, in which order, with which arguments.
pub static HISTORY: LazyLock<Mutex<DefaultHasher>> = LazyLock::new(Mutex::default);
pub static NUMBER: AtomicU32 = AtomicU32::new(1);
static ALONE: Mutex<()> = Mutex::new(());
static EAGER: LazyLock<bool> =
    LazyLock::new(|| std::env::var("HOST_MODE").is_ok_and(|mode| mode == "eager"));
thread_local!(static STACKS: Cell<usize> = const { Cell::new(0) });

/// Bytes of a thread's stack.
const STACK: usize = 64 << 10;

unsafe extern "C" {
    fn dlclose(library: *mut c_void) -> c_int;
}

/// As host.h has it.
#[repr(C)]
pub struct HostLaunch {
    grid: [u32; 3],
    items: u32,
    launch: u32,
    order: u32,
    arguments: *const *const u64,
    stacks: usize,
    stack: usize,
    arena: usize,
    arena_bytes: usize,
    valid: usize,
    cells: usize,
    name: *const c_char,
    complaints: u32,
}

pub struct Function {
    pub name: CString,
    /// `None` with HOST_COMPUTE=0.
    pub run: Option<unsafe extern "C" fn(*mut HostLaunch)>,
    /// A letter for each parameter; `None` with HOST_COMPUTE=0.
    pub types: Option<Vec<u8>>,
    /// Most threads of a block.
    pub bound: u32,
    pub module: Arc<Module>,
}

pub struct Module {
    pub library: usize,
    /// One launch of a module at a time: its shared memory is static.
    pub turn: Mutex<()>,
}

impl Drop for Module {
    fn drop(&mut self) {
        if self.library != 0 {
            unsafe { dlclose(self.library as *mut c_void) };
        }
    }
}

#[derive(Clone)]
pub enum Work {
    Kernel { function: Arc<Function>, grid: [u32; 3], items: u32, words: Vec<u64> },
    Product(Arc<cublaslt::Call>),
    Copy { from: usize, to: usize, bytes: usize },
    Set { to: usize, byte: u8, bytes: usize },
    Free(u64),
    Messages(Vec<nccl::Message>),
}

impl Work {
    pub unsafe fn kernel(
        function: usize,
        [x, y, z, items]: [c_uint; 4],
        arguments: *const *const u64,
    ) -> Result<Work, u32> {
        let function = unsafe {
            Arc::increment_strong_count(function as *const Function);
            Arc::from_raw(function as *const Function)
        };
        let name = function.name.to_string_lossy().into_owned();
        let fits = [x, y, z, items].iter().all(|side| *side > 0)
            && y <= 65_535
            && z <= 65_535
            && x <= i32::MAX as u32;
        if !fits || items > function.bound.min(1024) {
            let bound = function.bound;
            complain(&format!(
                "kernel {name}: {x} x {y} x {z} blocks of {items} threads, its bound is {bound}"
            ));
            return Err(INVALID_VALUE);
        }
        // The engine ends its list with a null, which CUDA does not ask for.
        let given: Vec<*const u64> =
            (0..).map(|i| unsafe { *arguments.add(i) }).take_while(|at| !at.is_null()).collect();
        if let Some(types) = &function.types
            && types.len() != given.len()
        {
            let (given, declared) = (given.len(), types.len());
            complain(&format!("kernel {name}: {given} arguments, it has {declared}"));
            return Err(INVALID_VALUE);
        }
        let kind = |i: usize| function.types.as_ref().map_or(b'q', |types| types[i]);
        let mut words = Vec::with_capacity(given.len());
        for (i, at) in given.into_iter().enumerate() {
            let word = match kind(i) {
                b'i' | b'f' => u64::from(unsafe { *at.cast::<u32>() }),
                _ => unsafe { *at },
            };
            if kind(i) == b'p' && word != 0 && !is_memory(word, 1) {
                complain(&format!(
                    "kernel {name}: argument {i}, {word:#x}, is an address outside of memory"
                ));
            }
            words.push(word);
        }
        let grid = [x, y, z];
        let mut work = Work::Kernel { function, grid, items, words };
        work.spoil();
        Ok(work)
    }

    /// HOST_FAULT=argument: an `int` of 3 and more is 1 smaller, in kernels whose name has HOST_FAULT_IN.
    fn spoil(&mut self) {
        let Work::Kernel { function, words, .. } = self else { return };
        let (Some(types), true) = (&function.types, super::has_fault("argument")) else { return };
        let within = std::env::var("HOST_FAULT_IN").unwrap_or_default();
        if function.name.to_string_lossy().contains(&within) {
            let ints = words.iter_mut().zip(types).filter(|(_, kind)| **kind == b'i');
            if let Some((word, _)) =
                ints.into_iter().find(|(word, _)| (3..1 << 20).contains(&**word))
            {
                *word -= 1;
            }
        }
    }

    pub unsafe fn run(&self) {
        let started = Instant::now();
        let name = match self {
            Work::Kernel { function, .. } => {
                let launches = LAUNCHES.fetch_add(1, SeqCst) + 1;
                self.note();
                if launches > setting("LOST_AFTER", i64::MAX) {
                    lose(ILLEGAL_ADDRESS);
                }
                if *COMPUTE {
                    unsafe { self.run_kernel() };
                }
                function.name.to_string_lossy().into_owned()
            }
            Work::Product(call) => {
                PRODUCTS.fetch_add(1, SeqCst);
                LAUNCHES.fetch_add(1, SeqCst);
                self.note();
                if *COMPUTE {
                    unsafe { call.run() };
                }
                format!("cublasLtMatmul {}", call.what())
            }
            Work::Copy { from, to, bytes } => {
                return unsafe { (*to as *mut u8).copy_from(*from as *const u8, *bytes) };
            }
            Work::Set { to, byte, bytes } => {
                return unsafe { (*to as *mut u8).write_bytes(*byte, *bytes) };
            }
            Work::Messages(messages) => return unsafe { nccl::receive(messages) },
            Work::Free(address) => {
                if !lock(&MEMORY).free(*address) {
                    complain(&format!("{address:#x} is given back and was not allocated"));
                }
                return;
            }
        };
        if flag("COUNTS") {
            let mut kernels = lock(&KERNELS);
            let entry = kernels.entry(name).or_default();
            entry.0 += 1;
            entry.1 += started.elapsed().as_secs_f64();
        }
    }

    fn note(&self) {
        if !flag("COUNTS") {
            return;
        }
        let memory = lock(&MEMORY);
        let history = &mut *lock(&HISTORY);
        match self {
            Work::Kernel { function, grid, items, words } => {
                (&function.name, grid, items).hash(history);
                words.iter().for_each(|word| memory.numbered(*word).hash(history));
            }
            Work::Product(call) => {
                call.words().iter().for_each(|word| memory.numbered(*word).hash(history));
            }
            _ => {}
        }
    }

    unsafe fn run_kernel(&self) {
        let Work::Kernel { function, grid, items, words } = self else { return };
        let Some(run) = function.run else { return };
        let addresses: Vec<*const u64> = words.iter().map(std::ptr::from_ref).collect();
        if STACKS.get() == 0 {
            STACKS.set(reserve(1024 * STACK));
        }
        let (arena, valid, cells) = {
            let memory = lock(&MEMORY);
            (memory.start, memory.valid, memory.cells)
        };
        let mut launch = HostLaunch {
            grid: *grid,
            items: *items,
            launch: NUMBER.fetch_add(1, SeqCst),
            order: setting("ORDER", 0) as u32,
            arguments: addresses.as_ptr(),
            stacks: STACKS.get(),
            stack: STACK,
            arena,
            arena_bytes: ARENA,
            valid,
            cells,
            name: function.name.as_ptr(),
            complaints: 0,
        };
        {
            let _alone = CHECK.then(|| lock(&ALONE));
            let _turn = lock(&function.module.turn);
            unsafe { run(&mut launch) };
        }
        if launch.complaints > 0 {
            let (name, count) = (function.name.to_string_lossy(), launch.complaints);
            complain(&format!(
                "kernel {name} did {count} things wrong: {grid:?} blocks of {items}, {words:x?}"
            ));
            lose(LAUNCH_FAILED);
        }
    }
}

#[derive(Default)]
pub struct Stream {
    queue: VecDeque<Work>,
    /// Works that were asked for, and done.
    pub asked: u64,
    done: u64,
    pub captured: Option<Vec<Work>>,
}

impl Stream {
    pub fn work_until(&mut self, place: u64) {
        while self.done < place {
            let Some(work) = self.queue.pop_front() else { break };
            unsafe { work.run() };
            self.done += 1;
        }
    }

    pub fn finish(&mut self) {
        self.work_until(self.asked);
    }

    pub fn is_idle(&self) -> bool {
        self.queue.is_empty()
    }
}

pub static STREAMS: LazyLock<Mutex<HashMap<usize, Arc<Mutex<Stream>>>>> =
    LazyLock::new(Mutex::default);

/// One that is not there is an empty one, and told.
pub fn stream_of(stream: usize) -> Arc<Mutex<Stream>> {
    lock(&STREAMS).get(&stream).cloned().unwrap_or_else(|| {
        complain("a stream that there is not");
        Arc::default()
    })
}

pub unsafe fn submit(work: Work, stream: usize) -> u32 {
    let stream = stream_of(stream);
    let mut stream = lock(&stream);
    if let Some(captured) = &mut stream.captured {
        if !matches!(work, Work::Kernel { .. } | Work::Product(_)) {
            complain("a capture of something that is no kernel");
        }
        captured.push(work);
        return in_context();
    }
    let code = in_context();
    if code != 0 {
        return code;
    }
    stream.queue.push_back(work);
    stream.asked += 1;
    if *EAGER || stream.queue.len() > 100_000 {
        stream.finish();
    }
    in_context()
}

/// Everything in every stream: what CUDA's calls without a stream wait for.
pub fn finish_all() {
    let all: Vec<_> = lock(&STREAMS).values().cloned().collect();
    all.iter().for_each(|stream| lock(stream).finish());
}
