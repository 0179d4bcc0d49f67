//! The stand-in for cuBLASLt: it computes nothing, and checks its arguments against the requirements of the real library.

use std::collections::HashMap;
use std::ffi::{c_char, c_int, c_void};
use std::sync::Mutex;
use std::sync::atomic::Ordering::SeqCst;

use super::{LIBRARY_OBJECTS, MEMORY, Node, in_context, setting, submit};

const NOT_INITIALIZED: u32 = 1;
const INVALID_VALUE: u32 = 7;
const NOT_SUPPORTED: u32 = 15;

/// Attributes of products and preferences, by object and number; of layouts rows, columns, step and type.
static OBJECTS: Mutex<Option<HashMap<usize, HashMap<u32, u64>>>> = Mutex::new(None);

fn new_object(attributes: &[(u32, u64)]) -> usize {
    let mut objects = OBJECTS.lock().unwrap();
    let number = LIBRARY_OBJECTS.fetch_add(1, SeqCst) as usize + 1_000_000 + objects.as_ref().map_or(0, HashMap::len);
    objects.get_or_insert_default().insert(number, attributes.iter().copied().collect());
    number
}

fn attribute(object: usize, which: u32) -> u64 {
    let objects = OBJECTS.lock().unwrap();
    objects.as_ref().and_then(|all| all.get(&object)?.get(&which).copied()).unwrap_or(0)
}

unsafe fn set(object: usize, which: u32, value: *const u8, bytes: usize, sizes: &[(u32, usize)]) -> u32 {
    if !sizes.contains(&(which, bytes)) {
        eprintln!("driver: attribute {which} of {bytes} bytes");
        return INVALID_VALUE;
    }
    let mut word = [0_u8; 8];
    unsafe { word.as_mut_ptr().copy_from(value, bytes) };
    let mut objects = OBJECTS.lock().unwrap();
    objects.as_mut().unwrap().get_mut(&object).unwrap().insert(which, u64::from_le_bytes(word));
    0
}

fn destroy(object: usize) -> u32 {
    LIBRARY_OBJECTS.fetch_sub(1, SeqCst);
    // The entry stays empty, so that its number is not used again.
    OBJECTS.lock().unwrap().as_mut().and_then(|all| Some(all.get_mut(&object)?.clear())).map_or(INVALID_VALUE, |()| 0)
}

/// Whether bytes from an address on lie in memory that was allocated.
fn is_memory(address: u64, bytes: u64) -> bool {
    let memory = MEMORY.lock().unwrap();
    memory.iter().flatten().any(|(start, (size, _))| *start <= address && address + bytes <= start + *size as u64)
}

/// Bytes of a number of a cudaDataType.
fn width(kind: u64) -> u64 {
    match kind {
        0 => 4,
        1 => 8,
        2 | 14 => 2,
        _ => 0,
    }
}

super::calls! {
    cublasLtGetProperty(which: c_int, value: *mut c_int) {
        *value = [setting("CUBLASLT", 12_04) as c_int / 100, setting("CUBLASLT", 12_04) as c_int % 100, 5][which as usize];
        0
    }
    cublasLtCreate(handle: *mut usize) {
        if setting("CUBLASLT_INIT", 0) != 0 { return NOT_INITIALIZED; }
        *handle = 4711;
        LIBRARY_OBJECTS.fetch_add(1, SeqCst);
        in_context()
    }
    cublasLtDestroy(_handle: usize) { LIBRARY_OBJECTS.fetch_sub(1, SeqCst); in_context() }
    // What is computed in (68: f32, 77: with TF32, 70: f64) and the type of alpha and beta.
    cublasLtMatmulDescCreate(desc: *mut usize, compute: u32, scale: u32) {
        let known = matches!((compute, scale), (68 | 77, 0) | (70, 1));
        *desc = new_object(&[(0, compute.into()), (1, scale.into()), (7, 1)]);
        if known { 0 } else { INVALID_VALUE }
    }
    cublasLtMatmulDescSetAttribute(desc: usize, which: u32, value: *const u8, bytes: usize) {
        // Transpositions, epilogue, addresses of bias and mask, bits from a column of the mask to the next.
        set(desc, which, value, bytes, &[(3, 4), (4, 4), (7, 4), (8, 8), (11, 8), (12, 8)])
    }
    cublasLtMatmulDescDestroy(desc: usize) { destroy(desc) }
    cublasLtMatrixLayoutCreate(layout: *mut usize, kind: u32, rows: u64, columns: u64, step: i64) {
        *layout = new_object(&[(0, kind.into()), (1, rows), (2, columns), (3, step as u64)]);
        if step as u64 >= rows && rows > 0 && columns > 0 { 0 } else { INVALID_VALUE }
    }
    cublasLtMatrixLayoutDestroy(layout: usize) { destroy(layout) }
    cublasLtMatmulPreferenceCreate(preference: *mut usize) { *preference = new_object(&[]); 0 }
    cublasLtMatmulPreferenceSetAttribute(preference: usize, which: u32, value: *const u8, bytes: usize) {
        set(preference, which, value, bytes, &[(1, 8), (5, 4), (6, 4), (7, 4), (8, 4)])
    }
    cublasLtMatmulPreferenceDestroy(preference: usize) { destroy(preference) }
    cublasLtMatmulAlgoGetHeuristic(
        handle: usize, desc: usize, a: usize, b: usize, c: usize, d: usize, preference: usize, _asked: c_int,
        found: *mut Heuristic, count: *mut c_int
    ) {
        eprintln!(
            "planned a product: compute {}, factors {} and {}, result {}, epilogue {}", attribute(desc, 0), attribute(a, 0),
            attribute(b, 0), attribute(c, 0), attribute(desc, 7)
        );
        if handle != 4711 || c != d { return INVALID_VALUE; }
        if setting("CUBLASLT_REFUSES", 0) != 0 { return NOT_SUPPORTED; }
        // The layouts of A, B and C must agree in m, n and k.
        let sides = |layout, turned| match turned {
            0 => [attribute(layout, 1), attribute(layout, 2)],
            _ => [attribute(layout, 2), attribute(layout, 1)],
        };
        let ([m, k], [l, n]) = (sides(a, attribute(desc, 3)), sides(b, attribute(desc, 4)));
        if [m, n] != sides(c, 0) || k != l { return INVALID_VALUE; }
        let workspace = attribute(preference, 1) / 2;
        *found = Heuristic { algorithm: [m, n, k, 0, 0, 0, 0, 0], workspace, state: 0, waves: 1.0, reserved: [0; 4] };
        *count = 1;
        0
    }
    cublasLtMatmul(
        handle: usize, desc: usize, alpha: *const c_void, a: u64, layout_a: usize, b: u64, layout_b: usize, beta: *const c_void,
        c: u64, layout_c: usize, d: u64, layout_d: usize, algorithm: *const [u64; 8], workspace: u64, bytes: usize, stream: usize
    ) {
        for (address, layout) in [(a, layout_a), (b, layout_b), (c, layout_c)] {
            let [kind, rows, columns, step] = [0, 1, 2, 3].map(|which| attribute(layout, which));
            if !is_memory(address, ((columns - 1) * step + rows) * width(kind)) {
                eprintln!("driver: a matrix of a product lies outside of all memory");
                return INVALID_VALUE;
            }
        }
        let (epilogue, bias, [m, n, ..]) = (attribute(desc, 7), attribute(desc, 8), *algorithm);
        let (mask, mask_step) = (attribute(desc, 11), attribute(desc, 12));
        let scalar = width(attribute(desc, 1));
        let (has_bias, has_mask) = (epilogue & 4 != 0, epilogue & 128 != 0);
        let mask_fits = mask % 16 == 0 && mask_step % 128 == 0 && mask_step >= m && is_memory(mask, mask_step / 8 * n);
        if handle != 4711 || (c, layout_c) != (d, layout_d) || !is_memory(workspace, bytes as u64)
            || has_bias && !is_memory(bias, m * width(attribute(layout_c, 0))) || has_mask && !mask_fits {
            eprintln!("driver: a product that the library would refuse");
            return INVALID_VALUE;
        }
        let number = |x: *const c_void| if scalar == 8 { *x.cast::<u64>() } else { u64::from(*x.cast::<u32>()) };
        let words = [number(alpha), number(beta), a, b, c, if has_bias { bias } else { 0 }, epilogue, if has_mask { mask } else { 0 }];
        submit(Node::of_words(desc, &words), stream)
    }
}

#[unsafe(no_mangle)]
pub extern "C" fn cublasLtGetCudartVersion() -> usize {
    setting("CUBLASLT_CUDA", 12_040) as usize
}

#[unsafe(no_mangle)]
pub extern "C" fn cublasLtGetStatusString(_status: u32) -> *const c_char {
    c"the library failed".as_ptr()
}

#[repr(C)]
pub struct Heuristic {
    algorithm: [u64; 8],
    workspace: u64,
    state: u32,
    waves: f32,
    reserved: [c_int; 4],
}
