//! Pinned memory between the caller's and the device's. The driver copies from other memory in small pieces, and makes the caller wait;
//! from pinned memory the device copies by itself while the host fills or empties the other half.

use std::ffi::{c_uint, c_void};
use std::ptr;

use cudarc::driver::result::DriverError;
use cudarc::driver::sys::{self, CUevent, CUresult, CUstream};

use super::super::gpu::Rectangle;
use super::address;
use super::failure::Failure;
use super::launch;

/// Bytes of a half.
pub(super) const HALF: usize = 4 << 20;

/// Two halves that take turns.
pub(super) struct Staging {
    memory: *mut u8,
    /// Each comes when the device has done what was asked of its half.
    events: [CUevent; 2],
    next: usize,
}

// SAFETY: the memory is the process's, and events may be used by any thread that has made their context current.
unsafe impl Send for Staging {}

fn checked(call: &'static str, result: CUresult) -> Result<(), Failure> {
    result.result().map_err(|DriverError(code)| Failure::Driver(call, code))
}

impl Staging {
    /// In the current context; `None` where the system locks no more memory, and all goes on without it.
    pub fn new() -> Option<Self> {
        let mut memory: *mut c_void = ptr::null_mut();
        // SAFETY: the pointer is there to be written.
        checked("cuMemHostAlloc", unsafe { sys::cuMemHostAlloc(&mut memory, 2 * HALF, 0) }).ok()?;
        let mut staging = Staging { memory: memory.cast(), events: [ptr::null_mut(); 2], next: 0 };
        let untimed = sys::CUevent_flags::CU_EVENT_DISABLE_TIMING as c_uint;
        for event in &mut staging.events {
            // SAFETY: the event is there to be written; what was made is dropped with the staging.
            checked("cuEventCreate", unsafe { sys::cuEventCreate(event, untimed) }).ok()?;
        }
        Some(staging)
    }

    /// A half that the device has done with, and its number.
    fn half(&mut self) -> Result<(usize, *mut u8), Failure> {
        let half = self.next;
        self.next = 1 - half;
        self.wait(half)?;
        // SAFETY: two halves were allocated.
        Ok((half, unsafe { self.memory.add(half * HALF) }))
    }

    /// Until the device has done what was asked of a half; one that was never used is done with.
    fn wait(&self, half: usize) -> Result<(), Failure> {
        // SAFETY: the event is ours.
        checked("cuEventSynchronize", unsafe { sys::cuEventSynchronize(self.events[half]) })
    }

    fn record(&self, half: usize, stream: CUstream) -> Result<(), Failure> {
        // SAFETY: both are alive.
        checked("cuEventRecord", unsafe { sys::cuEventRecord(self.events[half], stream) })
    }

    /// Copies to the device; when this returns, the caller may use `from` again.
    ///
    /// # Safety
    /// As [`Driver::write`](super::Driver::write), with the context current.
    pub unsafe fn write(
        &mut self,
        from: *const u8,
        to: Rectangle,
        stream: CUstream,
    ) -> Result<(), Failure> {
        for (offset, piece) in pieces(to) {
            let (half, pinned) = self.half()?;
            // SAFETY: the caller's promise; a piece fits into a half, with which the device has done.
            unsafe {
                pinned.copy_from_nonoverlapping(from.add(offset), piece.width * piece.rows);
                if piece.rows > 1 {
                    let copy = launch::write_rectangle(pinned, piece);
                    checked("cuMemcpy2DAsync", sys::cuMemcpy2DAsync_v2(&copy, stream))?;
                } else {
                    let there = address(piece.handle) + piece.offset as u64;
                    checked(
                        "cuMemcpyHtoDAsync",
                        sys::cuMemcpyHtoDAsync_v2(there, pinned.cast(), piece.width, stream),
                    )?;
                }
            }
            self.record(half, stream)?;
        }
        Ok(())
    }

    /// Copies from the device and waits for it.
    ///
    /// # Safety
    /// As [`Driver::read`](super::Driver::read), with the context current.
    pub unsafe fn read(
        &mut self,
        from: Rectangle,
        to: *mut u8,
        stream: CUstream,
    ) -> Result<(), Failure> {
        // What the device is copying: its half, and where it goes.
        let mut under_way: Option<(usize, *mut u8, usize, usize)> = None;
        for (offset, piece) in pieces(from) {
            let (half, pinned) = self.half()?;
            // SAFETY: as above.
            unsafe {
                if piece.rows > 1 {
                    let copy = launch::read_rectangle(piece, pinned);
                    checked("cuMemcpy2DAsync", sys::cuMemcpy2DAsync_v2(&copy, stream))?;
                } else {
                    let there = address(piece.handle) + piece.offset as u64;
                    checked(
                        "cuMemcpyDtoHAsync",
                        sys::cuMemcpyDtoHAsync_v2(pinned.cast(), there, piece.width, stream),
                    )?;
                }
            }
            self.record(half, stream)?;
            let before = under_way.replace((half, pinned, offset, piece.width * piece.rows));
            // SAFETY: as above.
            unsafe { self.take(before, to)? };
        }
        // SAFETY: as above.
        unsafe { self.take(under_way, to) }
    }

    /// Takes a piece out of its half.
    unsafe fn take(
        &self,
        piece: Option<(usize, *mut u8, usize, usize)>,
        to: *mut u8,
    ) -> Result<(), Failure> {
        let Some((half, pinned, offset, bytes)) = piece else { return Ok(()) };
        self.wait(half)?;
        // SAFETY: the caller's promise: there is room for the whole.
        unsafe { to.add(offset).copy_from_nonoverlapping(pinned, bytes) };
        Ok(())
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        // SAFETY: ours; nothing is under way, because the stream was waited for. A failure leaves nobody anything to do.
        unsafe {
            for event in self.events.into_iter().filter(|event| !event.is_null()) {
                let _ = sys::cuEventDestroy_v2(event);
            }
            let _ = sys::cuMemFreeHost(self.memory.cast());
        }
    }
}

/// Parts of a rectangle that fit into a half, each with the bytes before it on the host.
pub(super) fn pieces(all: Rectangle) -> impl Iterator<Item = (usize, Rectangle)> {
    let Rectangle { width, rows, pitch, offset, .. } = all;
    // As many runs as fit, if their distance is one that a copy of rectangles takes; else a part of a run.
    let together =
        if pitch <= super::MOST_PITCH { (HALF / width.max(1)).clamp(1, rows.max(1)) } else { 1 };
    let part = width.clamp(1, HALF);
    (0..rows).step_by(together).flat_map(move |row| {
        (0..width).step_by(part).map(move |column| {
            let piece = Rectangle {
                offset: offset + row * pitch + column,
                width: part.min(width - column),
                rows: together.min(rows - row),
                ..all
            };
            (row * width + column, piece)
        })
    })
}
