//! The forms in which CUDA takes grids, arguments and rectangles.

use std::ffi::c_void;
use std::ptr;

use cudarc::driver::sys::{CUDA_MEMCPY2D, CUmemorytype_enum::*};

use super::super::gpu::Rectangle;
use super::super::gpu::driver::{Argument, Arguments};
use super::address;

/// Most groups along a grid's second and third side.
const MOST: usize = 65_535;

/// Groups as the three sides of a grid: the second side is folded into the third where it is too long for CUDA. The groups
/// that this adds beyond the end have nothing to do, and every kernel sees that.
pub(super) fn grid(groups: [usize; 2]) -> [u32; 3] {
    let folds = groups[1].div_ceil(MOST).max(1);
    [groups[0], groups[1].div_ceil(folds), folds].map(|side| side as u32)
}

/// An argument's bits; CUDA reads as many of them as the kernel declares, from the front (all its hosts are little-endian).
pub(super) fn word(argument: &Argument) -> u64 {
    match argument {
        Argument::Memory(handle) => address(*handle),
        Argument::Int(x) => u64::from(*x as u32),
        Argument::Index(x) => *x as u64,
        Argument::Single(x) => u64::from(x.to_bits()),
        Argument::Double(x) => x.to_bits(),
    }
}

/// Where each argument lies, without memory from the heap.
pub(super) fn addresses(words: &[u64]) -> [*mut c_void; Arguments::MAX] {
    let mut addresses = [ptr::null_mut(); Arguments::MAX];
    addresses
        .iter_mut()
        .zip(words)
        .for_each(|(address, word)| *address = ptr::from_ref(word).cast_mut().cast());
    addresses
}

fn rectangle(at: Rectangle) -> CUDA_MEMCPY2D {
    CUDA_MEMCPY2D {
        srcXInBytes: 0,
        srcY: 0,
        srcMemoryType: CU_MEMORYTYPE_HOST,
        srcHost: ptr::null(),
        srcDevice: 0,
        srcArray: ptr::null_mut(),
        srcPitch: at.width,
        dstXInBytes: 0,
        dstY: 0,
        dstMemoryType: CU_MEMORYTYPE_HOST,
        dstHost: ptr::null_mut(),
        dstDevice: 0,
        dstArray: ptr::null_mut(),
        dstPitch: at.width,
        WidthInBytes: at.width,
        Height: at.rows,
    }
}

/// From the host, where runs lie side by side.
pub(super) fn write_rectangle(from: *const u8, to: Rectangle) -> CUDA_MEMCPY2D {
    CUDA_MEMCPY2D {
        srcHost: from.cast(),
        dstMemoryType: CU_MEMORYTYPE_DEVICE,
        dstDevice: address(to.handle) + to.offset as u64,
        dstPitch: to.pitch,
        ..rectangle(to)
    }
}

/// To the host.
pub(super) fn read_rectangle(from: Rectangle, to: *mut u8) -> CUDA_MEMCPY2D {
    CUDA_MEMCPY2D {
        srcMemoryType: CU_MEMORYTYPE_DEVICE,
        srcDevice: address(from.handle) + from.offset as u64,
        srcPitch: from.pitch,
        dstHost: to.cast(),
        ..rectangle(from)
    }
}
