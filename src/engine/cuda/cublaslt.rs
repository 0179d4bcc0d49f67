//! cuBLASLt: plans for products, one a shape, and the calls that run them.
//!
//! Of its versions those from 12 on are used, whose enums and structures have been compared with our declarations.

use std::collections::HashMap;
use std::ffi::{CStr, c_int, c_void};
use std::{mem, ptr};

use cudarc::cublaslt::result::CublasError;
use cudarc::cublaslt::sys::{
    self, cublasComputeType_t as ComputeType, cublasLtHandle_t, cublasLtMatmulDesc_t,
    cublasLtMatmulDescAttributes_t as DescAttribute, cublasLtMatmulHeuristicResult_t,
    cublasLtMatmulPreferenceAttributes_t as PreferenceAttribute, cublasLtMatrixLayout_t,
    cublasStatus_t, cudaDataType_t as DataType, libraryPropertyType_t as Property,
};
use cudarc::driver::sys::{CUdeviceptr, CUstream};

use super::super::Missing;
use super::super::gpu::driver::{
    Epilogue, Factors, LibraryProduct, MASK_COLUMN_BITS, Place, Shape,
};
use super::address;
use super::failure::Failure;

pub(super) const NAME: &str = "cuBLASLt";
/// `CUBLAS_OP_N` and `CUBLAS_OP_T`, which cudarc has for another library alone.
const OPERATIONS: [i32; 2] = [0, 1];
/// The oldest major version.
const OLDEST: c_int = 12;

/// The version of this machine's library, if it is one that this driver runs.
pub(super) fn find(driver: i32) -> Result<String, Missing> {
    let (library, path) = match cfg!(windows) {
        true => ("cublasLt64_13.dll", "PATH"),
        false => ("libcublasLt.so", "LD_LIBRARY_PATH"),
    };
    let wanted = (driver / 1000).max(OLDEST);
    let package = if wanted == OLDEST { "nvidia-cublas-cu12" } else { "nvidia-cublas" };
    let cure = format!(
        "pip install {package} and put the folder of its library into {path}, or install the CUDA toolkit"
    );
    // SAFETY: loading the library runs nothing but its own set-up.
    if !unsafe { sys::is_culib_present() } {
        return Err(Missing { reason: format!("{NAME} ({library}) was not found"), cure });
    }
    let [major, minor, patch] =
        [Property::MAJOR_VERSION, Property::MINOR_VERSION, Property::PATCH_LEVEL].map(property);
    if major < OLDEST {
        return Err(Missing {
            reason: format!("{NAME} is {major}.{minor}, {OLDEST}.0 is needed"),
            cure,
        });
    }
    // SAFETY: a call without demands.
    let cuda = unsafe { sys::cublasLtGetCudartVersion() } as i32;
    if cuda / 1000 > driver / 1000 {
        let (library, driver) = (cuda / 1000, driver / 1000);
        let reason = format!("{NAME} is of CUDA {library}, the driver is for CUDA {driver}");
        return Err(Missing { reason, cure });
    }
    Ok(format!("{major}.{minor}.{patch}"))
}

/// A part of the version; 0 where the library does not tell it.
fn property(which: Property) -> c_int {
    let mut value = 0;
    // SAFETY: the number is there to be written.
    match unsafe { sys::cublasLtGetProperty(which, &mut value) } {
        cublasStatus_t::CUBLAS_STATUS_SUCCESS => value,
        _ => 0,
    }
}

/// What a status means, in the library's words.
pub(super) fn told(status: cublasStatus_t) -> String {
    // SAFETY: the library answers every status with a text of its own that stays.
    unsafe {
        let text = sys::cublasLtGetStatusString(status);
        if text.is_null() {
            format!("{status:?}")
        } else {
            CStr::from_ptr(text).to_string_lossy().into_owned()
        }
    }
}

fn checked(call: &'static str, status: cublasStatus_t) -> Result<(), Failure> {
    status.result().map_err(|CublasError(status)| Failure::Library(call, status))
}

/// The library in one context.
pub(super) struct CublasLt {
    handle: cublasLtHandle_t,
    workspace: CUdeviceptr,
    bytes: usize,
    /// `None`: the library has no kernel for the shape.
    plans: HashMap<Shape, Option<Plan>>,
}

impl CublasLt {
    /// In the current context, with `bytes` bytes of its memory to work in.
    pub fn new(workspace: CUdeviceptr, bytes: usize) -> Result<Self, Failure> {
        let mut handle = ptr::null_mut();
        // SAFETY: the handle is there to be written.
        checked("cublasLtCreate", unsafe { sys::cublasLtCreate(&mut handle) })?;
        Ok(CublasLt { handle, workspace, bytes, plans: HashMap::new() })
    }

    /// Whether the library computes products of this shape; plans the first.
    pub fn plan(&mut self, shape: &Shape) -> Result<bool, Failure> {
        if let Some(plan) = self.plans.get(shape) {
            return Ok(plan.is_some());
        }
        let plan = Plan::new(self.handle, shape, self.bytes)?;
        let is_there = plan.is_some();
        self.plans.insert(*shape, plan);
        Ok(is_there)
    }

    /// Whether the product's kernels have run before: the first time loads them, which a stream cannot always capture.
    pub fn has_run(&self, shape: &Shape) -> bool {
        matches!(self.plans.get(shape), Some(Some(Plan { has_run: true, .. })))
    }

    /// Runs a product for whose shape there is a plan.
    ///
    /// # Safety
    /// The context is current, and the product's memory is alive until it has run.
    pub unsafe fn start(
        &mut self,
        product: &LibraryProduct,
        stream: CUstream,
    ) -> Result<(), Failure> {
        let Some(Some(plan)) = self.plans.get_mut(&product.shape) else {
            return Err(Failure::Library(
                "cublasLtMatmul",
                cublasStatus_t::CUBLAS_STATUS_NOT_SUPPORTED,
            ));
        };
        if let Some(bias) = product.bias {
            plan.desc.set(DescAttribute::CUBLASLT_MATMUL_DESC_BIAS_POINTER, &place(bias))?;
        }
        if let Some(mask) = product.mask {
            plan.desc
                .set(DescAttribute::CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_POINTER, &place(mask))?;
        }
        let doubles = [product.alpha, product.beta];
        let singles = doubles.map(|x| x as f32);
        let [alpha, beta] = match product.shape.factors {
            Factors::F64 => doubles.each_ref().map(|x| ptr::from_ref(x).cast::<c_void>()),
            _ => singles.each_ref().map(|x| ptr::from_ref(x).cast()),
        };
        let [a, b, c] = [product.a, product.b, product.c].map(|at| place(at) as *mut c_void);
        let ([layout_a, layout_b, layout_c], workspace) =
            (plan.layouts.each_ref(), self.workspace as *mut c_void);
        // SAFETY: the caller's promise; descriptors and algorithm are those of one plan, alpha and beta are read before
        // the call returns.
        let status = unsafe {
            sys::cublasLtMatmul(
                self.handle,
                plan.desc.0,
                alpha,
                a,
                layout_a.0,
                b,
                layout_b.0,
                beta,
                c,
                layout_c.0,
                c,
                layout_c.0,
                &plan.algorithm,
                workspace,
                plan.workspace,
                stream.cast(),
            )
        };
        checked("cublasLtMatmul", status)?;
        plan.has_run = true;
        Ok(())
    }
}

impl Drop for CublasLt {
    fn drop(&mut self) {
        self.plans.clear();
        // SAFETY: ours. A failure leaves nobody anything to do.
        let _ = unsafe { sys::cublasLtDestroy(self.handle) };
    }
}

fn place(at: Place) -> CUdeviceptr {
    address(at.handle) + at.offset as CUdeviceptr
}

/// How products of one shape are run.
struct Plan {
    desc: Desc,
    /// Of A, B and C.
    layouts: [Layout; 3],
    algorithm: sys::cublasLtMatmulAlgo_t,
    /// Bytes.
    workspace: usize,
    has_run: bool,
}

impl Plan {
    /// With the kernel that the library deems fastest; `None` if it has none.
    fn new(handle: cublasLtHandle_t, shape: &Shape, bytes: usize) -> Result<Option<Plan>, Failure> {
        let (desc, layouts) = described(shape)?;
        let preference = Preference::new(bytes, shape.aligned)?;
        let found = best_kernel(handle, &desc, &layouts, &preference)?;
        Ok(found.map(|found| Plan {
            desc,
            layouts,
            algorithm: found.algo,
            workspace: found.workspaceSize,
            has_run: false,
        }))
    }
}

/// A shape in the library's words.
fn described(shape: &Shape) -> Result<(Desc, [Layout; 3]), Failure> {
    let (factor, number, compute) = types(shape.factors);
    // The library takes the bias to be of the same type.
    let stored = if shape.rounds { factor } else { number };
    let desc = Desc::new(compute, number)?;
    let [turn_a, turn_b] = shape.turned.map(|turned| OPERATIONS[usize::from(turned)]);
    desc.set(DescAttribute::CUBLASLT_MATMUL_DESC_TRANSA, &turn_a)?;
    desc.set(DescAttribute::CUBLASLT_MATMUL_DESC_TRANSB, &turn_b)?;
    let epilogue = match (shape.epilogue, shape.has_bias) {
        (Epilogue::Nothing, false) => sys::cublasLtEpilogue_t::CUBLASLT_EPILOGUE_DEFAULT,
        (Epilogue::Nothing, true) => sys::cublasLtEpilogue_t::CUBLASLT_EPILOGUE_BIAS,
        (Epilogue::Relu, false) => sys::cublasLtEpilogue_t::CUBLASLT_EPILOGUE_RELU,
        (Epilogue::Relu, true) => sys::cublasLtEpilogue_t::CUBLASLT_EPILOGUE_RELU_BIAS,
        (Epilogue::ReluWithMask, false) => sys::cublasLtEpilogue_t::CUBLASLT_EPILOGUE_RELU_AUX,
        (Epilogue::ReluWithMask, true) => sys::cublasLtEpilogue_t::CUBLASLT_EPILOGUE_RELU_AUX_BIAS,
        (Epilogue::ReluDerivative, _) => sys::cublasLtEpilogue_t::CUBLASLT_EPILOGUE_DRELU,
    };
    desc.set(DescAttribute::CUBLASLT_MATMUL_DESC_EPILOGUE, &epilogue)?;
    if matches!(shape.epilogue, Epilogue::ReluWithMask | Epilogue::ReluDerivative) {
        let step = shape.m.next_multiple_of(MASK_COLUMN_BITS) as i64;
        desc.set(DescAttribute::CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_LD, &step)?;
    }
    let Shape { m, n, k, turned, steps, .. } = *shape;
    let in_memory = |[rows, columns]: [usize; 2], turned: bool| {
        if turned { [columns, rows] } else { [rows, columns] }
    };
    let a = Layout::new(factor, in_memory([m, k], turned[0]), steps[0])?;
    let b = Layout::new(factor, in_memory([k, n], turned[1]), steps[1])?;
    let c = Layout::new(stored, [m, n], steps[2])?;
    Ok((desc, [a, b, c]))
}

/// Types of the factors and of sums and other numbers, and how it is computed. Nothing of this lets the library round factors but
/// for TF32, by name.
fn types(factors: Factors) -> (DataType, DataType, ComputeType) {
    use {ComputeType::*, DataType::*};
    match factors {
        Factors::F32 => (CUDA_R_32F, CUDA_R_32F, CUBLAS_COMPUTE_32F),
        Factors::Tf32 => (CUDA_R_32F, CUDA_R_32F, CUBLAS_COMPUTE_32F_FAST_TF32),
        Factors::Bf16 => (CUDA_R_16BF, CUDA_R_32F, CUBLAS_COMPUTE_32F),
        Factors::F16 => (CUDA_R_16F, CUDA_R_32F, CUBLAS_COMPUTE_32F),
        Factors::F64 => (CUDA_R_64F, CUDA_R_64F, CUBLAS_COMPUTE_64F),
    }
}

fn best_kernel(
    handle: cublasLtHandle_t,
    desc: &Desc,
    [a, b, c]: &[Layout; 3],
    preference: &Preference,
) -> Result<Option<cublasLtMatmulHeuristicResult_t>, Failure> {
    let (mut found, mut count) = (mem::MaybeUninit::<cublasLtMatmulHeuristicResult_t>::zeroed(), 0);
    // SAFETY: the descriptors are alive, and there is room for the one result that is asked for.
    let status = unsafe {
        sys::cublasLtMatmulAlgoGetHeuristic(
            handle,
            desc.0,
            a.0,
            b.0,
            c.0,
            c.0,
            preference.0,
            1,
            found.as_mut_ptr(),
            &mut count,
        )
    };
    if status == cublasStatus_t::CUBLAS_STATUS_NOT_SUPPORTED {
        return Ok(None);
    }
    checked("cublasLtMatmulAlgoGetHeuristic", status)?;
    // SAFETY: all of its numbers may be 0, and the library has written a result over them if it found one.
    let found = unsafe { found.assume_init() };
    Ok((count > 0 && found.state == cublasStatus_t::CUBLAS_STATUS_SUCCESS).then_some(found))
}

/// What a product does.
struct Desc(cublasLtMatmulDesc_t);

impl Desc {
    fn new(compute: ComputeType, scale: DataType) -> Result<Self, Failure> {
        let mut desc = ptr::null_mut();
        // SAFETY: the descriptor is there to be written.
        checked("cublasLtMatmulDescCreate", unsafe {
            sys::cublasLtMatmulDescCreate(&mut desc, compute, scale)
        })?;
        Ok(Desc(desc))
    }

    /// The library wants the bytes of the attribute's own type, and refuses another number of them.
    fn set<A>(&self, attribute: DescAttribute, value: &A) -> Result<(), Failure> {
        let value = ptr::from_ref(value).cast();
        // SAFETY: ours; the value is copied.
        let status = unsafe {
            sys::cublasLtMatmulDescSetAttribute(self.0, attribute, value, size_of::<A>())
        };
        checked("cublasLtMatmulDescSetAttribute", status)
    }
}

impl Drop for Desc {
    fn drop(&mut self) {
        // SAFETY: ours. A failure leaves nobody anything to do.
        let _ = unsafe { sys::cublasLtMatmulDescDestroy(self.0) };
    }
}

/// How a matrix lies in memory, its columns side by side.
struct Layout(cublasLtMatrixLayout_t);

impl Layout {
    fn new(number: DataType, [rows, columns]: [usize; 2], step: usize) -> Result<Self, Failure> {
        let mut layout = ptr::null_mut();
        // SAFETY: the layout is there to be written.
        let made = unsafe {
            sys::cublasLtMatrixLayoutCreate(
                &mut layout,
                number,
                rows as u64,
                columns as u64,
                step as i64,
            )
        };
        checked("cublasLtMatrixLayoutCreate", made)?;
        Ok(Layout(layout))
    }
}

impl Drop for Layout {
    fn drop(&mut self) {
        // SAFETY: ours. A failure leaves nobody anything to do.
        let _ = unsafe { sys::cublasLtMatrixLayoutDestroy(self.0) };
    }
}

/// What a kernel may need.
struct Preference(sys::cublasLtMatmulPreference_t);

impl Preference {
    /// As much memory, and addresses of A, B and C that are multiples of so many bytes.
    fn new(bytes: usize, [a, b, c]: [usize; 3]) -> Result<Self, Failure> {
        use PreferenceAttribute::*;
        let mut preference = ptr::null_mut();
        // SAFETY: the preference is there to be written.
        checked("cublasLtMatmulPreferenceCreate", unsafe {
            sys::cublasLtMatmulPreferenceCreate(&mut preference)
        })?;
        let made = Preference(preference);
        made.set(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &(bytes as u64))?;
        made.set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, &(a as u32))?;
        made.set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, &(b as u32))?;
        made.set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, &(c as u32))?;
        made.set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, &(c as u32))?;
        Ok(made)
    }

    fn set<A>(&self, attribute: PreferenceAttribute, value: &A) -> Result<(), Failure> {
        let value = ptr::from_ref(value).cast();
        // SAFETY: ours; the value is copied.
        let status = unsafe {
            sys::cublasLtMatmulPreferenceSetAttribute(self.0, attribute, value, size_of::<A>())
        };
        checked("cublasLtMatmulPreferenceSetAttribute", status)
    }
}

impl Drop for Preference {
    fn drop(&mut self) {
        // SAFETY: ours. A failure leaves nobody anything to do.
        let _ = unsafe { sys::cublasLtMatmulPreferenceDestroy(self.0) };
    }
}

#[cfg(test)]
mod tests;
