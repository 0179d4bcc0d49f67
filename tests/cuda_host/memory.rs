//! Memory of the device and pinned memory of the host.
//!
//! Each allocation has pages of its own with nothing around it, at an address that is a multiple of 256 and of no more.

use std::collections::{BTreeMap, HashMap};
use std::ffi::{c_int, c_void};
use std::sync::atomic::{AtomicI64, Ordering::SeqCst};
use std::sync::{LazyLock, Mutex};

use super::{CHECK, complain, lock, setting};

/// Bytes of addresses.
pub const ARENA: usize = 1 << 38;
const PAGE: usize = 4096;
const APART: usize = 256;

unsafe extern "C" {
    fn mmap(
        address: *mut c_void,
        bytes: usize,
        protection: c_int,
        flags: c_int,
        file: c_int,
        offset: i64,
    ) -> *mut c_void;
    fn munmap(address: *mut c_void, bytes: usize) -> c_int;
}

const PRIVATE: c_int = 0x4022; // MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE
const IN_PLACE: c_int = 0x4032; // and MAP_FIXED
const NOBODY: c_int = 0;
const READ_AND_WRITE: c_int = 3;

pub struct Arena {
    pub start: usize,
    /// With HOST_CHECK: whether two bytes are allocated, and who used them (check.h).
    pub valid: usize,
    pub cells: usize,
    next: usize,
    /// By address, bytes and the number of the allocation.
    live: BTreeMap<u64, (usize, u64)>,
    used: usize,
    count: u64,
    /// Pages that were given back, by size.
    free: HashMap<usize, Vec<usize>>,
}

pub fn reserve(bytes: usize) -> usize {
    mapped(bytes, READ_AND_WRITE)
}

fn mapped(bytes: usize, protection: c_int) -> usize {
    let memory = unsafe { mmap(std::ptr::null_mut(), bytes, protection, PRIVATE, -1, 0) };
    assert!(memory as isize != -1, "no address space");
    memory as usize
}

fn remap(address: usize, bytes: usize, protection: c_int) {
    unsafe { mmap(address as *mut c_void, bytes, protection, IN_PLACE, -1, 0) };
}

pub static MEMORY: LazyLock<Mutex<Arena>> = LazyLock::new(|| {
    let (valid, cells) =
        if *CHECK { (reserve(ARENA / 2), reserve(ARENA / 2 * 32)) } else { (0, 0) };
    Mutex::new(Arena {
        start: mapped(ARENA, NOBODY),
        valid,
        cells,
        next: 0,
        live: BTreeMap::new(),
        used: 0,
        count: 0,
        free: HashMap::new(),
    })
});

/// Bytes that the device has.
pub fn total() -> usize {
    setting("MEMORY", 8 << 30) as usize
}

impl Arena {
    pub fn allocate(&mut self, bytes: usize) -> Option<u64> {
        if bytes == 0 || self.used.checked_add(bytes)? > total() {
            return None;
        }
        let pages = (APART + bytes).div_ceil(PAGE);
        let reused = self.free.get_mut(&pages).filter(|_| !*CHECK).and_then(Vec::pop);
        let at = reused.unwrap_or_else(|| {
            let at = self.next;
            // A page between two that nobody may touch.
            self.next += (pages + 1) * PAGE;
            assert!(self.next < ARENA, "the arena is full");
            at
        });
        remap(self.start + at, pages * PAGE, READ_AND_WRITE);
        let address = (self.start + at + APART) as u64;
        // What memory holds before anybody writes to it: NaN, or an index far out.
        unsafe { (address as *mut u8).write_bytes(0xff, bytes) };
        self.mark(at, bytes, 1);
        self.count += 1;
        self.live.insert(address, (bytes, self.count));
        self.used += bytes;
        Some(address)
    }

    pub fn free(&mut self, address: u64) -> bool {
        let Some((bytes, _)) = self.live.remove(&address) else { return false };
        self.used -= bytes;
        let (at, pages) = (address as usize - APART - self.start, (APART + bytes).div_ceil(PAGE));
        remap(self.start + at, pages * PAGE, NOBODY);
        self.mark(at, bytes, 0);
        if *CHECK {
            remap(self.cells + at / 2 * 32, pages * PAGE * 16, READ_AND_WRITE);
        }
        self.free.entry(pages).or_default().push(at);
        true
    }

    fn mark(&self, at: usize, bytes: usize, valid: u8) {
        if *CHECK {
            let cells = (self.valid + (at + APART) / 2) as *mut u8;
            unsafe { cells.write_bytes(valid, bytes.div_ceil(2)) };
        }
    }

    /// The allocation that an address lies in: its start, bytes and number.
    fn around(&self, address: u64) -> Option<(u64, u64, u64)> {
        let (start, (bytes, number)) = self.live.range(..=address).next_back()?;
        let bytes = *bytes as u64;
        (address < start + bytes).then_some((*start, bytes, *number))
    }

    fn holds(&self, address: u64, bytes: u64) -> bool {
        self.around(address).is_some_and(|(start, size, _)| address + bytes <= start + size)
    }

    /// An address by the number of its allocation and how far into it: the same in every run.
    pub fn numbered(&self, word: u64) -> u64 {
        self.around(word).map_or(word, |(start, _, number)| (number << 40) + word - start)
    }

    pub fn used(&self) -> usize {
        self.used
    }

    /// Allocations that were not given back, and all that were made.
    pub fn counts(&self) -> (usize, u64) {
        (self.live.len(), self.count)
    }
}

/// Whether bytes from an address on lie in memory that was allocated.
pub fn is_memory(address: u64, bytes: u64) -> bool {
    lock(&MEMORY).holds(address, bytes)
}

/// By address, bytes.
static PINNED: LazyLock<Mutex<HashMap<usize, usize>>> = LazyLock::new(Mutex::default);
static UNPINNED: AtomicI64 = AtomicI64::new(0);

/// Copies from and to memory that is not pinned.
pub fn unpinned() -> i64 {
    UNPINNED.load(SeqCst)
}

pub fn pin(bytes: usize) -> usize {
    let memory = reserve(bytes);
    lock(&PINNED).insert(memory, bytes);
    memory
}

pub fn unpin(memory: usize) -> bool {
    let Some(bytes) = lock(&PINNED).remove(&memory) else { return false };
    unsafe { munmap(memory as *mut c_void, bytes) };
    true
}

/// Notes the host's side of a copy. Who has pinned memory must use it.
pub fn note_pinned(address: usize, bytes: usize) {
    let pinned = lock(&PINNED);
    let within =
        |(start, size): (&usize, &usize)| *start <= address && address + bytes <= start + size;
    if !pinned.iter().any(within) {
        UNPINNED.fetch_add(1, SeqCst);
        if !pinned.is_empty() {
            complain("a copy goes past the pinned memory");
        }
    }
}
