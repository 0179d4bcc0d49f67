//! Grids, arguments and rectangles in CUDA's forms.

use std::ffi::c_void;
use std::ptr;

use cudarc::driver::sys::{CUDA_MEMCPY2D, CUdeviceptr, CUmemorytype_enum::*};

use crate::engine::Handle;
use crate::engine::gpu::Rectangle;
use crate::engine::gpu::driver::{Argument, Arguments};

/// Groups along a grid's second and third dimension, at most.
const MAX_GROUPS: usize = 65_535;
/// The longest distance between two runs that a copy of rectangles supports.
pub(super) const MAX_PITCH: usize = i32::MAX as usize;

/// A handle as an address of the device.
pub(super) fn address(handle: Handle) -> CUdeviceptr {
    handle.0 as CUdeviceptr
}

/// Groups as the three dimensions of a grid: the second is folded into the third where it is too large for CUDA. The groups that this adds
/// are beyond the end, which every kernel checks.
pub(super) fn grid(groups: [usize; 2]) -> [u32; 3] {
    let folds = groups[1].div_ceil(MAX_GROUPS).max(1);
    [groups[0], groups[1].div_ceil(folds), folds].map(|side| side as u32)
}

/// An argument's bits. CUDA reads as many bytes as the kernel declares, the lowest first: all hosts of CUDA are little-endian.
pub(super) fn word(argument: &Argument) -> u64 {
    match argument {
        Argument::Memory(handle) => address(*handle),
        Argument::Int(x) => u64::from(*x as u32),
        Argument::Index(x) => *x as u64,
        Argument::Single(x) => u64::from(x.to_bits()),
        Argument::Double(x) => x.to_bits(),
    }
}

/// The address of each argument.
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

/// A copy from the host, where runs are contiguous.
pub(super) fn write_rectangle(from: *const u8, to: Rectangle) -> CUDA_MEMCPY2D {
    CUDA_MEMCPY2D {
        srcHost: from.cast(),
        dstMemoryType: CU_MEMORYTYPE_DEVICE,
        dstDevice: address(to.handle) + to.offset as u64,
        dstPitch: to.pitch,
        ..rectangle(to)
    }
}

/// A copy to the host, where runs are contiguous.
pub(super) fn read_rectangle(from: Rectangle, to: *mut u8) -> CUDA_MEMCPY2D {
    CUDA_MEMCPY2D {
        srcMemoryType: CU_MEMORYTYPE_DEVICE,
        srcDevice: address(from.handle) + from.offset as u64,
        srcPitch: from.pitch,
        dstHost: to.cast(),
        ..rectangle(from)
    }
}
