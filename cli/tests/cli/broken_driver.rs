//! An OpenCL driver that fails as `BROKEN` says: at its load, when its platforms are asked for, by never answering, or by a platform that
//! lists no devices. The test compiles it by itself, without the crate.

use std::ffi::{CStr, c_char, c_void};

fn fails(how: &str) -> bool {
    std::env::var("BROKEN").is_ok_and(|broken| broken == how)
}

#[used]
#[unsafe(link_section = ".init_array")]
static AT_LOAD: extern "C" fn() = {
    extern "C" fn at_load() {
        if fails("load") {
            std::process::abort();
        }
    }
    at_load
};

/// The loader calls through the table that a platform begins with.
#[repr(C)]
struct Platform(
    &'static [extern "C" fn(*const c_void, u32, usize, *mut u8, *mut usize) -> i32; 200],
);

static TABLE: [extern "C" fn(*const c_void, u32, usize, *mut u8, *mut usize) -> i32; 200] = {
    let mut table: [extern "C" fn(*const c_void, u32, usize, *mut u8, *mut usize) -> i32; 200] =
        [refuse; 200];
    table[1] = info;
    table
};
static PLATFORM: Platform = Platform(&TABLE);

extern "C" fn refuse(_: *const c_void, _: u32, _: usize, _: *mut u8, _: *mut usize) -> i32 {
    // CL_OUT_OF_HOST_MEMORY
    -6
}

extern "C" fn info(
    _: *const c_void,
    which: u32,
    room: usize,
    to: *mut u8,
    size: *mut usize,
) -> i32 {
    let text: &[u8] = match which {
        0x0901 => b"OpenCL 1.2 broken\0",
        0x0904 => b"cl_khr_icd\0",
        0x0920 => b"BROKEN\0",
        _ => b"Broken Platform\0",
    };
    if !to.is_null() && room >= text.len() {
        unsafe { to.copy_from(text.as_ptr(), text.len()) };
    }
    if !size.is_null() {
        unsafe { *size = text.len() };
    }
    0
}

extern "C" fn platforms(room: u32, to: *mut *const Platform, count: *mut u32) -> i32 {
    if fails("platforms") {
        eprintln!("the driver's last words");
        std::process::abort();
    }
    if fails("hang") {
        std::thread::sleep(std::time::Duration::from_secs(120));
    }
    if !to.is_null() && room > 0 {
        unsafe { *to = &PLATFORM };
    }
    if !count.is_null() {
        unsafe { *count = 1 };
    }
    0
}

#[unsafe(no_mangle)]
pub extern "C" fn clGetExtensionFunctionAddress(name: *const c_char) -> *const c_void {
    match unsafe { CStr::from_ptr(name) }.to_bytes() {
        b"clIcdGetPlatformIDsKHR" => platforms as *const c_void,
        b"clGetPlatformInfo" => info as *const c_void,
        _ => std::ptr::null(),
    }
}
