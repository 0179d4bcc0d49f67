//! Memory that an engine keeps for copies.

/// Memory for copies: aligned to a cache line, not touched until it is used.
pub(super) struct Scratch<T>(*mut T, usize);

// SAFETY: plain memory; who may write which part is settled by `Block`.
unsafe impl<T> Send for Scratch<T> {}
// SAFETY: as above.
unsafe impl<T> Sync for Scratch<T> {}

impl<T> Scratch<T> {
    pub(super) fn new(elements: usize) -> Scratch<T> {
        let layout = Self::layout(elements);
        // SAFETY: the layout is not empty.
        let p = unsafe { std::alloc::alloc(layout) };
        if p.is_null() {
            std::alloc::handle_alloc_error(layout);
        }
        Scratch(p.cast(), elements)
    }

    /// The first element.
    pub(super) fn start(&self) -> *mut T {
        self.0
    }

    fn layout(elements: usize) -> std::alloc::Layout {
        std::alloc::Layout::from_size_align(elements * size_of::<T>(), 64).expect("a few megabytes")
    }
}

impl<T> Drop for Scratch<T> {
    fn drop(&mut self) {
        // SAFETY: allocated in `new` with the same layout.
        unsafe { std::alloc::dealloc(self.0.cast(), Self::layout(self.1)) }
    }
}
