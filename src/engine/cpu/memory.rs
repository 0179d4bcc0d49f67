//! Memory of the engine: aligned for its loops, and in large pages where there is much of it.

use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};

/// Bytes of a cache line; every allocation begins at one.
pub(super) const LINE: usize = 64;
/// Larger ones begin at a page: of loops that go through several at once, none reads what another seems to have just written,
/// since processors compare only the place in the page.
const PAGE: usize = 4096;
/// From this size on the system is asked for pages of this size. A processor knows the places of a few thousand pages and looks up
/// the rest, in a virtual machine through the tables of two systems: products of 40 MB took a tenth longer with small ones.
const LARGE_PAGE: usize = 2 << 20;

/// How so many bytes lie; `None` if no memory has so many.
pub(super) fn layout(bytes: usize) -> Option<Layout> {
    let alignment = if bytes >= LARGE_PAGE {
        LARGE_PAGE
    } else if bytes >= PAGE {
        PAGE
    } else {
        LINE
    };
    Layout::from_size_align(bytes.max(1), alignment).ok()
}

/// Memory that holds anything, for a layout of [`layout`]; null if there is none.
pub(super) fn allocate(layout: Layout) -> *mut u8 {
    // SAFETY: the layout is not empty.
    let memory = unsafe { alloc(layout) };
    if layout.size() >= LARGE_PAGE && !memory.is_null() {
        ask_for_large_pages(memory, layout.size());
    }
    memory
}

/// A wish: where the system does not grant it, pages are small.
#[cfg(target_os = "linux")]
fn ask_for_large_pages(memory: *mut u8, bytes: usize) {
    // SAFETY: the memory begins at a page and is ours; the advice changes nothing in it.
    unsafe { libc::madvise(memory.cast(), bytes, libc::MADV_HUGEPAGE) };
}

#[cfg(not(target_os = "linux"))]
fn ask_for_large_pages(_memory: *mut u8, _bytes: usize) {}

/// Memory for copies, not touched until it is used.
pub(super) struct Scratch<T>(*mut T, Layout);

// SAFETY: plain memory; who may write which part is settled by `Block`.
unsafe impl<T> Send for Scratch<T> {}
// SAFETY: as above.
unsafe impl<T> Sync for Scratch<T> {}

impl<T> Scratch<T> {
    pub(super) fn new(elements: usize) -> Scratch<T> {
        let layout = layout(elements * size_of::<T>()).expect("a few megabytes");
        let memory = allocate(layout);
        if memory.is_null() {
            handle_alloc_error(layout);
        }
        Scratch(memory.cast(), layout)
    }

    /// The first element.
    pub(super) fn start(&self) -> *mut T {
        self.0
    }
}

impl<T> Drop for Scratch<T> {
    fn drop(&mut self) {
        // SAFETY: allocated in `new` with the same layout.
        unsafe { dealloc(self.0.cast(), self.1) }
    }
}
