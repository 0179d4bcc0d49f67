//! Transfers through pinned memory. From other memory the driver copies in small pieces, and the caller waits; from pinned memory the device copies
//! by itself. There are two halves: the device copies one while the host fills or empties the other.

use std::ffi::{c_uint, c_void};
use std::ptr;

use cudarc::driver::sys::{self, CUevent, CUstream};

use super::failure::{Failure, checked};
use super::launch::{self, MAX_PITCH, address};
use crate::engine::gpu::Rectangle;

/// Bytes of a half.
pub(super) const HALF_BYTES: usize = 4 << 20;

/// Two halves that are used in turn.
pub(super) struct Staging {
    memory: *mut u8,
    /// An event for each half, recorded behind the last copy that uses it.
    events: [CUevent; 2],
    next: usize,
}

// SAFETY: the memory is the process's, and events may be used by any thread that has made their context current.
unsafe impl Send for Staging {}

impl Staging {
    /// Allocates in the current context; `None` where the system locks no more memory. Transfers then are direct.
    pub fn new() -> Option<Self> {
        let mut memory: *mut c_void = ptr::null_mut();
        // SAFETY: `memory` is alive and written to.
        checked("cuMemHostAlloc", unsafe { sys::cuMemHostAlloc(&mut memory, 2 * HALF_BYTES, 0) })
            .ok()?;
        let mut staging = Staging { memory: memory.cast(), events: [ptr::null_mut(); 2], next: 0 };
        let untimed = sys::CUevent_flags::CU_EVENT_DISABLE_TIMING as c_uint;
        for event in &mut staging.events {
            // SAFETY: `event` is alive and written to; it is destroyed with the staging.
            checked("cuEventCreate", unsafe { sys::cuEventCreate(event, untimed) }).ok()?;
        }
        Some(staging)
    }

    /// The next half and its number, once the device does not use it any more.
    fn half(&mut self) -> Result<(usize, *mut u8), Failure> {
        let half = self.next;
        self.next = 1 - half;
        self.wait(half)?;
        // SAFETY: `half` is 0 or 1, and two halves were allocated.
        Ok((half, unsafe { self.memory.add(half * HALF_BYTES) }))
    }

    /// Waits until the device does not use a half any more. An event that was never recorded is complete.
    fn wait(&self, half: usize) -> Result<(), Failure> {
        // SAFETY: the event is ours.
        checked("cuEventSynchronize", unsafe { sys::cuEventSynchronize(self.events[half]) })
    }

    fn record(&self, half: usize, stream: CUstream) -> Result<(), Failure> {
        // SAFETY: event and stream are alive.
        checked("cuEventRecord", unsafe { sys::cuEventRecord(self.events[half], stream) })
    }

    /// Copies to the device; when this returns, the caller may use `from` again.
    ///
    /// # Safety
    /// As [`Driver::write`](crate::engine::gpu::Driver::write), with the context current.
    pub unsafe fn write(
        &mut self,
        from: *const u8,
        to: Rectangle,
        stream: CUstream,
    ) -> Result<(), Failure> {
        for (offset, piece) in pieces(to) {
            let (half, pinned) = self.half()?;
            // SAFETY: `from` has as many bytes, as the caller promises; a piece fits into a half, which the device does not use.
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
    /// As [`Driver::read`](crate::engine::gpu::Driver::read), with the context current.
    pub unsafe fn read(
        &mut self,
        from: Rectangle,
        to: *mut u8,
        stream: CUstream,
    ) -> Result<(), Failure> {
        // The piece that the device is copying: its half, its offset on the host and its bytes.
        let mut in_flight: Option<(usize, *mut u8, usize, usize)> = None;
        for (offset, piece) in pieces(from) {
            let (half, pinned) = self.half()?;
            // SAFETY: the rectangle is the driver's, as the caller promises; a piece fits into a half, which the device does not use.
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
            let before = in_flight.replace((half, pinned, offset, piece.width * piece.rows));
            // SAFETY: `to` has room for all pieces, as the caller promises.
            unsafe { self.take(before, to)? };
        }
        // SAFETY: `to` has room for all pieces, as the caller promises.
        unsafe { self.take(in_flight, to) }
    }

    /// Copies a piece from its half to the host.
    ///
    /// # Safety
    /// `to` has room for the piece at its offset.
    unsafe fn take(
        &self,
        piece: Option<(usize, *mut u8, usize, usize)>,
        to: *mut u8,
    ) -> Result<(), Failure> {
        let Some((half, pinned, offset, bytes)) = piece else { return Ok(()) };
        self.wait(half)?;
        // SAFETY: there is room, as the caller promises.
        unsafe { to.add(offset).copy_from_nonoverlapping(pinned, bytes) };
        Ok(())
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        // SAFETY: ours; nothing is under way, because the stream was waited for. A failure has no cure.
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
    // As many runs as fit, if a copy of rectangles supports their distance; else a part of a run.
    let together =
        if pitch <= MAX_PITCH { (HALF_BYTES / width.max(1)).clamp(1, rows.max(1)) } else { 1 };
    let part = width.clamp(1, HALF_BYTES);
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
