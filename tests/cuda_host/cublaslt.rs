//! cuBLASLt on the host: sums in f64, rounded once. What it is called with is held against what the real one demands.

use std::collections::HashMap;
use std::ffi::{c_char, c_int, c_void};
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use super::memory::is_memory;
use super::numbers::{load, store, width};
use super::work::{Work, submit};
use super::{LEFT, LIBRARY, complain, has_context, has_fault, in_context, lock, setting};

const NOT_INITIALIZED: u32 = 1;
const INVALID_VALUE: u32 = 7;
const NOT_SUPPORTED: u32 = 15;

/// Attributes of products and preferences, by object and number; of layouts type, rows, columns, step.
static OBJECTS: Mutex<Option<HashMap<usize, HashMap<u32, u64>>>> = Mutex::new(None);
static NEXT: AtomicUsize = AtomicUsize::new(1_000_000);

fn new_object(attributes: &[(u32, u64)]) -> usize {
    LEFT[LIBRARY].fetch_add(1, SeqCst);
    let number = NEXT.fetch_add(1, SeqCst);
    lock(&OBJECTS).get_or_insert_default().insert(number, attributes.iter().copied().collect());
    number
}

fn attribute(object: usize, which: u32) -> u64 {
    let objects = lock(&OBJECTS);
    objects.as_ref().and_then(|all| all.get(&object)?.get(&which).copied()).unwrap_or(0)
}

unsafe fn set(
    object: usize,
    which: u32,
    value: *const u8,
    bytes: usize,
    sizes: &[(u32, usize)],
) -> u32 {
    if !sizes.contains(&(which, bytes)) {
        return INVALID_VALUE;
    }
    let mut word = [0_u8; 8];
    unsafe { word.as_mut_ptr().copy_from(value, bytes) };
    match lock(&OBJECTS).as_mut().and_then(|all| all.get_mut(&object)) {
        Some(object) => object.insert(which, u64::from_le_bytes(word)),
        None => return INVALID_VALUE,
    };
    0
}

fn destroy(object: usize) -> u32 {
    LEFT[LIBRARY].fetch_sub(1, SeqCst);
    lock(&OBJECTS).as_mut().and_then(|all| all.remove(&object)).map_or(INVALID_VALUE, |_| 0)
}

#[derive(Debug)]
struct Layout {
    kind: u64,
    rows: usize,
    columns: usize,
    step: usize,
}

impl Layout {
    fn of(object: usize) -> Self {
        let [kind, rows, columns, step] = [0, 1, 2, 3].map(|which| attribute(object, which));
        Layout { kind, rows: rows as usize, columns: columns as usize, step: step as usize }
    }

    fn bytes(&self) -> u64 {
        (((self.columns - 1) * self.step + self.rows) * width(self.kind)) as u64
    }
}

/// A product, with everything that it was asked for.
pub struct Call {
    compute: u64,
    turned: [bool; 2],
    epilogue: u64,
    bias: u64,
    mask: u64,
    mask_step: usize,
    alpha: f64,
    beta: f64,
    places: [u64; 3],
    layouts: [Layout; 3],
    workspace: u64,
    bytes: usize,
}

impl Call {
    /// What it is called with, as words; addresses are the last.
    pub fn words(&self) -> [u64; 10] {
        let [a, b, c] = self.places;
        let [one, other] = self.turned.map(u64::from);
        let (alpha, beta) = (self.alpha.to_bits(), self.beta.to_bits());
        [
            self.compute,
            one,
            other,
            self.epilogue,
            alpha,
            beta,
            a,
            b,
            c,
            if self.epilogue & 4 != 0 { self.bias } else { 0 },
        ]
    }

    pub fn what(&self) -> String {
        format!(
            "types {} to {}, compute {}, epilogue {}",
            self.layouts[0].kind, self.layouts[2].kind, self.compute, self.epilogue
        )
    }

    /// Column-major and as f64, factors rounded where TF32 is computed in.
    unsafe fn factor(&self, which: usize) -> Vec<f64> {
        let Layout { kind, rows, columns, step } = self.layouts[which];
        let turned = self.turned[which];
        let mut all = vec![0.0; rows * columns];
        for j in 0..columns {
            for i in 0..rows {
                let mut x = unsafe { load(kind, self.places[which], i + j * step) };
                if self.compute == 77 {
                    let bits = (x as f32).to_bits();
                    x = f64::from(f32::from_bits((bits + 0xfff + (bits >> 13 & 1)) & !0x1fff));
                }
                all[if turned { j + i * columns } else { i + j * rows }] = x;
            }
        }
        all
    }

    pub unsafe fn run(&self) {
        let c = &self.layouts[2];
        let (m, n) = (c.rows, c.columns);
        let k = if self.turned[0] { self.layouts[0].rows } else { self.layouts[0].columns };
        let (a, b) = unsafe { (self.factor(0), self.factor(1)) };
        // What it leaves where it works is nobody's business.
        unsafe { (self.workspace as *mut u8).write_bytes(0xab, self.bytes.min(1 << 16)) };
        let bit = |i: usize, j: usize| {
            let at = i + j * self.mask_step;
            ((self.mask as usize + at / 8) as *mut u8, 1_u8 << (at % 8))
        };
        let mut sums = vec![0.0; m];
        for j in 0..n {
            sums.fill(0.0);
            for l in 0..k {
                let factor = b[l + j * k];
                sums.iter_mut().zip(&a[l * m..(l + 1) * m]).for_each(|(sum, x)| *sum += x * factor);
            }
            for (i, sum) in sums.iter().enumerate() {
                let at = i + j * c.step;
                let mut x = self.alpha * sum;
                if self.beta != 0.0 {
                    x += self.beta * unsafe { load(c.kind, self.places[2], at) };
                }
                if self.epilogue & 4 != 0 && !has_fault("bias") {
                    x += unsafe { load(c.kind, self.bias, i) };
                }
                if self.epilogue & 2 != 0 {
                    let keeps = x > 0.0;
                    if self.epilogue & 128 != 0 {
                        let (byte, bit) = bit(i, j);
                        unsafe { *byte = if keeps { *byte | bit } else { *byte & !bit } };
                    }
                    let nan_passes = setting("NAN_RELU", 1) != 0;
                    x = if keeps || x.is_nan() && nan_passes { x } else { 0.0 };
                }
                if self.epilogue == 136 {
                    let (byte, bit) = bit(i, j);
                    if unsafe { *byte } & bit == 0 {
                        x = 0.0;
                    }
                }
                unsafe { store(c.kind, self.places[2], at, x) };
            }
        }
    }
}

super::calls! {
    cublasLtGetProperty(which: c_int, value: *mut c_int) {
        *value = [setting("CUBLASLT", 12_04) as c_int / 100, setting("CUBLASLT", 12_04) as c_int % 100, 5][which as usize];
        0
    }
    cublasLtCreate(handle: *mut usize) {
        if setting("CUBLASLT_INIT", 0) != 0 || !has_context() { return NOT_INITIALIZED; }
        *handle = 4711;
        LEFT[LIBRARY].fetch_add(1, SeqCst);
        in_context()
    }
    cublasLtDestroy(handle: usize) {
        if handle != 4711 { return INVALID_VALUE; }
        LEFT[LIBRARY].fetch_sub(1, SeqCst);
        in_context()
    }
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
        if super::flag("COUNTS") {
            let [compute, a, b, c] = [(desc, 0), (a, 0), (b, 0), (c, 0)].map(|(object, which)| attribute(object, which));
            eprintln!(
                "planned a product: compute {compute}, factors {a} and {b}, result {c}, epilogue {}", attribute(desc, 7)
            );
        }
        if handle != 4711 || c != d { return INVALID_VALUE; }
        let epilogue = attribute(desc, 7);
        if setting("CUBLASLT_REFUSES", 0) != 0 || setting("CUBLASLT_REFUSES_MASK", 0) != 0 && epilogue & 128 != 0 { return NOT_SUPPORTED; }
        let sides = |layout, turned| match turned {
            0 => [attribute(layout, 1), attribute(layout, 2)],
            _ => [attribute(layout, 2), attribute(layout, 1)],
        };
        let ([m, k], [l, n]) = (sides(a, attribute(desc, 3)), sides(b, attribute(desc, 4)));
        if [m, n] != sides(c, 0) || k != l { return INVALID_VALUE; }
        let workspace = attribute(preference, 1) / 2;
        let [a, b, c] = [5, 6, 7].map(|which| attribute(preference, which));
        *found = Heuristic { algorithm: [m, n, k, a, b, c, 0, 0], workspace, state: 0, waves: 1.0, reserved: [0; 4] };
        *count = 1;
        0
    }
    cublasLtMatmul(
        handle: usize, desc: usize, alpha: *const c_void, a: u64, layout_a: usize, b: u64, layout_b: usize, beta: *const c_void,
        c: u64, layout_c: usize, d: u64, layout_d: usize, algorithm: *const [u64; 8], workspace: u64, bytes: usize, stream: usize
    ) {
        if handle != 4711 { return INVALID_VALUE; }
        let layouts = [layout_a, layout_b, layout_c].map(Layout::of);
        let places = [a, b, c];
        for (address, layout) in places.iter().zip(&layouts) {
            if !is_memory(*address, layout.bytes()) {
                complain("a matrix of a product lies outside of all memory");
                return INVALID_VALUE;
            }
        }
        let (epilogue, bias, algorithm) = (attribute(desc, 7), attribute(desc, 8), *algorithm);
        let (mask, mask_step) = (attribute(desc, 11), attribute(desc, 12));
        let (m, n) = (layouts[2].rows as u64, layouts[2].columns as u64);
        // The kernel was chosen for these sizes and addresses.
        if [m, n] != algorithm[..2] || places.iter().zip(&algorithm[3..]).any(|(place, aligned)| place % aligned != 0) {
            complain("a product whose addresses are not those that its kernel was asked for");
            return INVALID_VALUE;
        }
        let (has_bias, has_mask) = (epilogue & 4 != 0, epilogue & 128 != 0);
        let mask_fits = mask % 16 == 0 && mask_step % 128 == 0 && mask_step >= m && is_memory(mask, mask_step / 8 * n);
        let bias_fits = bias % 16 == 0 && is_memory(bias, m * width(layouts[2].kind) as u64);
        if (c, layout_c) != (d, layout_d) || !is_memory(workspace, bytes as u64)
            || has_bias && !bias_fits || has_mask && !mask_fits {
            complain("a product that the library would refuse");
            return INVALID_VALUE;
        }
        let number = |x: *const c_void| if attribute(desc, 1) == 1 { *x.cast::<f64>() } else { f64::from(*x.cast::<f32>()) };
        let call = Call {
            compute: attribute(desc, 0),
            turned: [3, 4].map(|which| attribute(desc, which) != 0),
            epilogue,
            bias,
            mask,
            mask_step: mask_step as usize,
            alpha: number(alpha),
            beta: number(beta),
            places,
            layouts,
            workspace,
            bytes,
        };
        match submit(Work::Product(Arc::new(call)), stream) { 0 => 0, _ => 13 }
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
