//! Memory of the engine: aligned for its loops, and in large pages if there is much of it.

use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};

/// Bytes of a cache line. Every allocation begins at one.
pub(super) const LINE_BYTES: usize = 64;
/// Bytes of a page. Allocations of this size and more begin at a page: processors compare only the offset within a page to decide whether a load depends on
/// a store before it, and matrices at different offsets would delay each other's loads.
const PAGE_BYTES: usize = 4096;
/// Bytes of a large page. Allocations of this size and more request large pages from the system: a processor caches the addresses of a few thousand pages and
/// looks up the others, in a virtual machine through the page tables of two systems. Products of 40 MB took a tenth longer with small pages on an
/// Intel Xeon, and 2 % on Zen 4.
const LARGE_PAGE_BYTES: usize = 2 << 20;

/// The layout of an allocation; `None` if its size exceeds the address space.
pub(super) fn layout(bytes: usize) -> Option<Layout> {
    let alignment = if bytes >= LARGE_PAGE_BYTES {
        LARGE_PAGE_BYTES
    } else if bytes >= PAGE_BYTES {
        PAGE_BYTES
    } else {
        LINE_BYTES
    };
    Layout::from_size_align(bytes.max(1), alignment).ok()
}

/// Uninitialized memory for a layout of [`layout`]; null if there is none.
pub(super) fn allocate(layout: Layout) -> *mut u8 {
    // SAFETY: the layout has at least one byte.
    let memory = unsafe { alloc(layout) };
    if layout.size() >= LARGE_PAGE_BYTES && !memory.is_null() {
        advise_large_pages(memory, layout.size());
    }
    memory
}

/// Requests large pages. If the system has none, pages are small.
#[cfg(target_os = "linux")]
fn advise_large_pages(memory: *mut u8, bytes: usize) {
    // SAFETY: the memory begins at a page and belongs to the caller; the advice does not change its content.
    unsafe { libc::madvise(memory.cast(), bytes, libc::MADV_HUGEPAGE) };
}

#[cfg(not(target_os = "linux"))]
fn advise_large_pages(_memory: *mut u8, _bytes: usize) {}

/// Bytes that programs can still allocate, if the system reports it.
pub(in crate::engine) fn available() -> Option<u64> {
    memory_line("MemAvailable:")
}

/// Bytes of memory of the machine, if the system reports it.
pub(super) fn total() -> Option<u64> {
    memory_line("MemTotal:")
}

/// A line of `/proc/meminfo`, in bytes.
fn memory_line(key: &str) -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find(|line| line.starts_with(key))?;
    line.split_whitespace().nth(1)?.parse::<u64>().ok()?.checked_mul(1024)
}

/// A packing buffer. The system provides its memory when it is first written.
pub(super) struct Scratch<T>(*mut T, Layout);

// SAFETY: the buffer owns its memory, and scalars can be sent.
unsafe impl<T> Send for Scratch<T> {}
// SAFETY: access goes through raw pointers; `Block` gives threads disjoint parts.
unsafe impl<T> Sync for Scratch<T> {}

impl<T> Scratch<T> {
    pub(super) fn new(elements: usize) -> Scratch<T> {
        let layout =
            layout(elements * size_of::<T>()).expect("a few megabytes fit into the address space");
        let memory = allocate(layout);
        if memory.is_null() {
            handle_alloc_error(layout);
        }
        Scratch(memory.cast(), layout)
    }

    /// The address of the first element.
    pub(super) fn start(&self) -> *mut T {
        self.0
    }
}

impl<T> Drop for Scratch<T> {
    fn drop(&mut self) {
        // SAFETY: `new` allocated the memory with this layout.
        unsafe { dealloc(self.0.cast(), self.1) }
    }
}
