//! Tests that need no GPU: launches in CUDA's form, the cache's keys, messages where something is missing; and, where NVRTC is installed,
//! the compilation of every kernel.

#![allow(
    clippy::undocumented_unsafe_blocks,
    reason = "addresses point into arguments that are alive"
)]

use std::ffi::c_void;
use std::path::PathBuf;

use cudarc::driver::sys::CUresult;

use super::devices::{Versions, identity};
use super::launch::MAX_PITCH;
use super::*;
use crate::engine::Handle;
use crate::engine::gpu::driver::Argument;
use crate::engine::gpu::{self, Rectangle};
use crate::error::ErrorKind;

mod kernels;

/// A folder of this test's own, removed at its end.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        Folder(std::env::temp_dir().join(format!("travertine-{name}-{}", std::process::id())))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[test]
fn long_grids_are_folded() {
    assert_eq!(launch::grid([7, 1]), [7, 1, 1]);
    assert_eq!(launch::grid([3, 65_535]), [3, 65_535, 1]);
    assert_eq!(launch::grid([3, 65_536]), [3, 32_768, 2]);
    for groups in [65_537, 200_001, 78_126, 33_554_431] {
        let [_, y, z] = launch::grid([1, groups]).map(|side| side as usize);
        assert!(y <= 65_535 && z <= 65_535, "{groups}: {y} x {z}");
        assert!(y * z >= groups && y * z - groups < z, "{groups}: {y} x {z}");
    }
}

#[test]
fn arguments_are_passed_by_address() {
    let handle = Handle(0x1234_5678_9abc_usize as *mut c_void);
    let arguments = [
        Argument::Memory(handle),
        Argument::Int(-7),
        Argument::Index(1 << 40),
        Argument::Single(0.5),
        Argument::Double(-0.25),
    ];
    let words = arguments.map(|argument| launch::word(&argument));
    let addresses = launch::addresses(&words);
    unsafe {
        assert_eq!(*addresses[0].cast::<u64>(), 0x1234_5678_9abc);
        assert_eq!(*addresses[1].cast::<i32>(), -7);
        assert_eq!(*addresses[2].cast::<i64>(), 1 << 40);
        assert_eq!(*addresses[3].cast::<f32>(), 0.5);
        assert_eq!(*addresses[4].cast::<f64>(), -0.25);
    }
    assert!(addresses[5..].iter().all(|address| address.is_null()));
}

#[test]
fn rectangles_have_gaps_on_the_device_alone() {
    let host = [0_u8; 60];
    let at =
        Rectangle { handle: Handle(4096 as *mut c_void), offset: 8, width: 20, rows: 3, pitch: 32 };
    let copy = launch::write_rectangle(host.as_ptr(), at);
    assert_eq!((copy.dstDevice, copy.dstPitch, copy.srcPitch), (4104, 32, 20));
    assert_eq!((copy.WidthInBytes, copy.Height, copy.srcHost), (20, 3, host.as_ptr().cast()));
    let copy = launch::read_rectangle(at, host.as_ptr().cast_mut());
    assert_eq!((copy.srcDevice, copy.srcPitch, copy.dstPitch), (4104, 32, 20));
    assert_eq!(
        (copy.WidthInBytes, copy.Height, copy.dstHost),
        (20, 3, host.as_ptr().cast_mut().cast())
    );
}

/// Every byte belongs to one piece, pieces are in the order of the host's memory, and none is larger than a half.
#[test]
fn pieces_fit_the_staging_and_cover_the_whole() {
    use staging::HALF_BYTES as HALF;
    let handle = Handle(4096 as *mut c_void);
    for (width, rows, pitch, count) in [
        (20, 1, 20, 1),
        (HALF, 1, HALF, 1),
        (HALF + 1, 1, HALF + 1, 2),
        (3 * HALF + 5, 2, 4 * HALF, 8),
        (1000, 3, 1200, 1),
        (HALF / 2, 5, HALF, 3),
        (HALF / 2 + 4, 3, HALF, 3),
        (16, 3, MAX_PITCH + 1, 3),
    ] {
        let all = Rectangle { handle, offset: 8, width, rows, pitch };
        let (mut next, mut number) = (0, 0);
        for (offset, piece) in staging::pieces(all) {
            assert!(piece.width * piece.rows <= HALF && piece.width * piece.rows > 0);
            assert!(
                piece.rows == 1
                    || piece.width == width && piece.pitch == pitch && pitch <= MAX_PITCH
            );
            assert_eq!(
                (offset, piece.offset),
                (next, 8 + next / width * pitch + next % width),
                "{width} x {rows}"
            );
            next += piece.width * piece.rows;
            number += 1;
        }
        assert_eq!((next, number), (width * rows, count), "{width} x {rows}");
    }
}

#[test]
fn cached_kernels_belong_to_device_driver_compiler_and_source() {
    let folder = Folder::new("cuda-cache");
    let cache = |name: &str, capability, driver, nvrtc| {
        Cache::new(&folder.0, "cuda", &identity(name, capability, Versions { driver, nvrtc }))
    };
    let ours = cache("NVIDIA H100", 90, 12_040, 12_090);
    ours.store("source", b"code");
    assert_eq!(ours.load("source").as_deref(), Some(&b"code"[..]));
    assert_eq!(ours.load("another source"), None);
    for other in [
        cache("NVIDIA H200", 90, 12_040, 12_090),
        cache("NVIDIA H100", 89, 12_040, 12_090),
        cache("NVIDIA H100", 90, 12_050, 12_090),
        cache("NVIDIA H100", 90, 12_040, 12_080),
    ] {
        assert_eq!(other.load("source"), None, "{}", other.identity());
    }
}

/// Devices are found, or what is missing is reported with a cure; nothing panics.
#[test]
fn absence_is_an_ordinary_answer() {
    let all = probe();
    assert!(!all.is_empty());
    for device in &all {
        assert!(device.name.starts_with("cuda"));
        if let Some(missing) = &device.missing {
            assert!(!missing.reason.is_empty() && !missing.cure.is_empty());
            eprintln!("{}: {}; {}", device.name, missing.reason, missing.cure);
        }
    }
    if all.iter().all(|device| device.missing.is_some()) {
        let error = open::<f32>("", &Settings::default()).err().unwrap();
        assert!(
            matches!(error.kind(), ErrorKind::Unavailable { .. }) && error.is_input(),
            "{error}"
        );
    }
    let error = open::<f64>("99", &Settings::default()).err().unwrap();
    assert!(matches!(error.kind(), ErrorKind::Unavailable { .. }), "{error}");
}

#[test]
fn every_tile_multiplies() {
    fn on<T: Scalar>() {
        let Some(found) = devices::find().ok().and_then(|found| devices::choose(found, "").ok())
        else {
            assert!(std::env::var_os("TRAVERTINE_ENSURE_CUDA").is_none(), "no CUDA");
            return eprintln!("LEFT OUT: no CUDA");
        };
        let gpu =
            Gpu::<T, _>::new(Cuda::new(found, None).unwrap(), None, &Settings::default()).unwrap();
        gpu::tests::tiles::every_tile_multiplies(&gpu);
    }
    on::<f32>();
    on::<f64>();
}

#[test]
fn codes_of_a_lost_device_are_recognized() {
    for (code, lost) in [
        (CUresult::CUDA_ERROR_INVALID_VALUE, false),
        (CUresult::CUDA_ERROR_ILLEGAL_ADDRESS, true),
        (CUresult::CUDA_ERROR_LAUNCH_TIMEOUT, true),
        (CUresult::CUDA_ERROR_LAUNCH_FAILED, true),
        (CUresult::CUDA_ERROR_ECC_UNCORRECTABLE, true),
        (CUresult::CUDA_ERROR_NOT_PERMITTED, false),
    ] {
        assert_eq!(failure::is_lost(code), lost, "{code:?}");
    }
}
