//! NVRTC by a C compiler. What it compiles is kept in the folder HOST_CACHE.

use std::collections::hash_map::DefaultHasher;
use std::ffi::{CStr, c_char, c_int, c_uint, c_void};
use std::hash::{Hash, Hasher};
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use super::translate::{spoiled, translated};
use super::{CHECK, COMPUTE, complain, flag, setting};

pub const HOST: &str = include_str!("host.h");
pub const CHECKS: &str = include_str!("check.h");
const MAGIC: &[u8; 8] = b"HOSTCODE";

#[derive(Default)]
struct Program {
    source: String,
    log: Vec<u8>,
    image: Vec<u8>,
}

/// The code within an image that was handed out.
pub unsafe fn elf(image: *const u8) -> Option<&'static [u8]> {
    unsafe {
        if std::slice::from_raw_parts(image, 8) != MAGIC {
            return None;
        }
        let bytes = u64::from_le_bytes(*image.add(8).cast::<[u8; 8]>());
        Some(std::slice::from_raw_parts(image.add(16), bytes as usize))
    }
}

fn compiler() -> String {
    std::env::var("HOST_CC").unwrap_or("cc".to_owned())
}

pub fn pipe(arguments: &[&str], input: &str) -> Result<String, String> {
    let mut child = Command::new(compiler())
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| format!("{}: {error}", compiler()))?;
    let mut stdin = child.stdin.take().unwrap();
    let text = input.to_owned();
    let writer = std::thread::spawn(move || stdin.write_all(text.as_bytes()));
    let done = child.wait_with_output().map_err(|error| error.to_string())?;
    let _ = writer.join();
    let errors = String::from_utf8_lossy(&done.stderr).into_owned();
    if done.status.success() {
        Ok(String::from_utf8_lossy(&done.stdout).into_owned())
    } else {
        Err(errors)
    }
}

/// Options of the C compiler.
fn flags() -> Vec<String> {
    let optimize = std::env::var("HOST_O").unwrap_or("-O2 -march=native".to_owned());
    let usual = "-std=gnu11 -shared -fPIC -w -fno-math-errno -fno-asynchronous-unwind-tables -fno-stack-protector \
                 -fcf-protection=none";
    let check = if *CHECK { " -fsanitize=thread -g1" } else { "" };
    format!("{optimize} {usual}{check}").split_whitespace().map(str::to_owned).collect()
}

/// What code depends on beside its source.
fn identity() -> impl Hash {
    let faults = ["HOST_DROP", "HOST_DROP_IN", "HOST_EDIT"].map(std::env::var_os);
    (HOST, CHECKS, flags(), compiler(), *COMPUTE, faults)
}

fn hash(what: impl Hash) -> String {
    let mut hasher = DefaultHasher::new();
    what.hash(&mut hasher);
    format!("{:016x}", hasher.finish())
}

/// The device's name. The engine keeps compiled kernels by it, so it names what they depend on.
pub fn name() -> String {
    format!("Host {}", &hash(identity())[..8])
}

/// Code for a source: a shared library's bytes.
fn compile(source: &str) -> Result<Vec<u8>, String> {
    if !*COMPUTE {
        return Ok(Vec::new());
    }
    let folder = std::env::var_os("HOST_CACHE")
        .map_or_else(|| std::env::temp_dir().join("cuda-host"), PathBuf::from);
    let _ = std::fs::create_dir_all(&folder);
    let file = folder.join(format!("{}.so", hash((source, identity()))));
    if let Ok(bytes) = std::fs::read(&file) {
        return Ok(bytes);
    }
    let text = translated(&spoiled(source))?;
    let thread = format!("{:?}", std::thread::current().id());
    let own = format!("{}.{}.{thread}", file.display(), std::process::id());
    let flags = flags();
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    if *CHECK {
        // The sanitizer's calls are our own: its library stays away.
        let object = format!("{own}.o");
        let flags: Vec<&str> = flags.into_iter().filter(|flag| *flag != "-shared").collect();
        pipe(&[&flags[..], &["-c", "-o", &object, "-x", "c", "-"]].concat(), &text)?;
        pipe(&["-shared", "-o", &own, &object, "-lm"], "")?;
        let _ = std::fs::remove_file(&object);
    } else {
        pipe(&[&flags[..], &["-o", &own, "-x", "c", "-", "-x", "none", "-lm"]].concat(), &text)?;
    }
    std::fs::rename(&own, &file).map_err(|error| error.to_string())?;
    std::fs::read(&file).map_err(|error| error.to_string())
}

unsafe fn program(program: usize) -> &'static mut Program {
    unsafe { &mut *(program as *mut Program) }
}

super::calls! {
    nvrtcVersion(major: *mut c_int, minor: *mut c_int) {
        let version = setting("NVRTC", 12_040) as c_int;
        (*major, *minor) = (version / 1000, version % 1000 / 10);
        0
    }
    nvrtcGetNumSupportedArchs(count: *mut c_int) { *count = 3; 0 }
    nvrtcGetSupportedArchs(all: *mut c_int) { all.copy_from([75, 80, 90].as_ptr(), 3); 0 }
    nvrtcCreateProgram(
        made: *mut usize, source: *const c_char, _name: *const c_char, _count: c_int, _headers: *const c_void,
        _names: *const c_void
    ) {
        let source = CStr::from_ptr(source).to_string_lossy().into_owned();
        *made = Box::into_raw(Box::new(Program { source, ..Program::default() })) as usize;
        0
    }
    nvrtcCompileProgram(made: usize, _count: c_int, options: *const *const c_char) {
        let made = program(made);
        let option = CStr::from_ptr(*options).to_string_lossy();
        if !option.starts_with("--gpu-architecture=") { complain("an unknown option"); }
        if flag("COUNTS") { eprintln!("compiled a kernel of {} bytes for {option}", made.source.len()); }
        let code = setting("COMPILE", 0) as u32;
        let compiled = if code == 0 { compile(&made.source) } else { Err("line 7: what".to_owned()) };
        match compiled {
            Ok(code) => {
                made.image = [&MAGIC[..], &(code.len() as u64).to_le_bytes(), &code].concat();
                made.log = vec![0];
                0
            }
            Err(log) => {
                if code == 0 { complain(&format!("a kernel does not compile: {log}")); }
                made.log = [log.as_bytes(), &[0]].concat();
                6
            }
        }
    }
    nvrtcGetProgramLogSize(made: usize, size: *mut usize) { *size = program(made).log.len(); 0 }
    nvrtcGetProgramLog(made: usize, log: *mut u8) {
        let made = program(made);
        log.copy_from(made.log.as_ptr(), made.log.len());
        0
    }
    nvrtcGetCUBINSize(made: usize, size: *mut usize) { *size = program(made).image.len(); 0 }
    nvrtcGetCUBIN(made: usize, image: *mut u8) {
        let made = program(made);
        image.copy_from(made.image.as_ptr(), made.image.len());
        0
    }
    nvrtcGetPTXSize(made: usize, size: *mut usize) { nvrtcGetCUBINSize(made, size) }
    nvrtcGetPTX(made: usize, image: *mut u8) { nvrtcGetCUBIN(made, image) }
    nvrtcDestroyProgram(made: *mut usize) { drop(Box::from_raw(*made as *mut Program)); 0 }
}

#[unsafe(no_mangle)]
pub extern "C" fn nvrtcGetErrorString(_code: c_uint) -> *const c_char {
    c"NVRTC failed".as_ptr()
}
