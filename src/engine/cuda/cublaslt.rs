//! cuBLASLt: a plan for each shape of products, and the calls that run them.
//!
//! Versions from 12 on are used: their enums and structures have been compared with our declarations. A plan is made when a shape first comes, with
//! the kernel that the library deems fastest. Kernels are not raced: the winner of a race, and with it the bits of a sum, would depend on chance.

use std::collections::HashMap;
use std::ffi::{c_int, c_void};
use std::{mem, ptr};

use cudarc::cublaslt::sys::{
    self, cublasComputeType_t as ComputeType, cublasLtHandle_t, cublasLtMatmulDesc_t,
    cublasLtMatmulDescAttributes_t as DescAttribute, cublasLtMatmulHeuristicResult_t,
    cublasLtMatmulPreferenceAttributes_t as PreferenceAttribute, cublasLtMatrixLayout_t,
    cublasStatus_t, cudaDataType_t as DataType, libraryPropertyType_t as Property,
};
use cudarc::driver::sys::{CUdeviceptr, CUstream};

use super::failure::{Failure, library_checked};
use super::launch::address;
use crate::engine::Missing;
use crate::engine::gpu::driver::{
    Epilogue, Factors, LibraryProduct, MASK_COLUMN_BITS, Place, Shape,
};

pub(super) const NAME: &str = "cuBLASLt";
/// `CUBLAS_OP_N` and `CUBLAS_OP_T`; cudarc declares them only for cuBLAS.
const OPERATIONS: [i32; 2] = [0, 1];
/// The oldest major version that is used.
const MIN_VERSION: c_int = 12;

/// The version of this machine's library, if the driver is new enough for it.
pub(super) fn find(driver: i32) -> Result<String, Missing> {
    let (library, path) = match cfg!(windows) {
        true => ("cublasLt64_13.dll", "PATH"),
        false => ("libcublasLt.so", "LD_LIBRARY_PATH"),
    };
    let wanted = (driver / 1000).max(MIN_VERSION);
    let package = if wanted == MIN_VERSION { "nvidia-cublas-cu12" } else { "nvidia-cublas" };
    let cure = format!(
        "pip install {package} and put the folder of its library into {path}, or install the CUDA toolkit"
    );
    // SAFETY: loading the library runs nothing but its own set-up.
    if !unsafe { sys::is_culib_present() } {
        return Err(Missing { reason: format!("{NAME} ({library}) was not found"), cure });
    }
    let [major, minor, patch] =
        [Property::MAJOR_VERSION, Property::MINOR_VERSION, Property::PATCH_LEVEL].map(property);
    if major < MIN_VERSION {
        return Err(Missing {
            reason: format!("{NAME} is {major}.{minor}, {MIN_VERSION}.0 is needed"),
            cure,
        });
    }
    // SAFETY: the call has no arguments.
    let cuda = unsafe { sys::cublasLtGetCudartVersion() } as i32;
    if cuda / 1000 > driver / 1000 {
        let (library, driver) = (cuda / 1000, driver / 1000);
        let reason = format!("{NAME} is of CUDA {library}, the driver is for CUDA {driver}");
        return Err(Missing { reason, cure });
    }
    Ok(format!("{major}.{minor}.{patch}"))
}

/// A part of the version; 0 if the library does not report it.
fn property(which: Property) -> c_int {
    let mut value = 0;
    // SAFETY: `value` is alive and written to.
    match unsafe { sys::cublasLtGetProperty(which, &mut value) } {
        cublasStatus_t::CUBLAS_STATUS_SUCCESS => value,
        _ => 0,
    }
}

/// The library in one context.
pub(super) struct CublasLt {
    handle: cublasLtHandle_t,
    workspace: CUdeviceptr,
    bytes: usize,
    /// `None`: the library has no kernel for the shape.
    plans: HashMap<Shape, Option<MatmulPlan>>,
}

impl CublasLt {
    /// Opens the library in the current context, with a workspace of `bytes` bytes.
    pub fn new(workspace: CUdeviceptr, bytes: usize) -> Result<Self, Failure> {
        let mut handle = ptr::null_mut();
        // SAFETY: `handle` is alive and written to.
        library_checked("cublasLtCreate", unsafe { sys::cublasLtCreate(&mut handle) })?;
        Ok(CublasLt { handle, workspace, bytes, plans: HashMap::new() })
    }

    /// Whether the library has a kernel for this shape; makes the plan if the shape is new.
    pub fn plan(&mut self, shape: &Shape) -> Result<bool, Failure> {
        if let Some(plan) = self.plans.get(shape) {
            return Ok(plan.is_some());
        }
        let plan = MatmulPlan::new(self.handle, shape, self.bytes)?;
        let is_there = plan.is_some();
        self.plans.insert(*shape, plan);
        Ok(is_there)
    }

    /// Whether the product's kernels have run before: the first run loads them, which a capture does not always allow.
    pub fn has_run(&self, shape: &Shape) -> bool {
        matches!(self.plans.get(shape), Some(Some(MatmulPlan { has_run: true, .. })))
    }

    /// Runs a product of a shape that has a plan.
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
        // SAFETY: context and memory are as the caller promises; descriptors and algorithm are those of one plan; alpha and beta are
        // read before the call returns.
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
        library_checked("cublasLtMatmul", status)?;
        plan.has_run = true;
        Ok(())
    }
}

impl Drop for CublasLt {
    fn drop(&mut self) {
        self.plans.clear();
        // SAFETY: it is ours, and not used any more. A failure has no cure.
        let _ = unsafe { sys::cublasLtDestroy(self.handle) };
    }
}

fn place(at: Place) -> CUdeviceptr {
    address(at.handle) + at.offset as CUdeviceptr
}

/// How products of one shape are computed.
struct MatmulPlan {
    desc: Desc,
    /// The layouts of A, B and C.
    layouts: [Layout; 3],
    algorithm: sys::cublasLtMatmulAlgo_t,
    /// Bytes of workspace that the algorithm needs.
    workspace: usize,
    has_run: bool,
}

impl MatmulPlan {
    /// A plan with the kernel that the library deems fastest; `None` if it has none.
    fn new(
        handle: cublasLtHandle_t,
        shape: &Shape,
        bytes: usize,
    ) -> Result<Option<MatmulPlan>, Failure> {
        let (desc, layouts) = described(shape)?;
        let preference = Preference::new(bytes, shape.aligned)?;
        let found = best_kernel(handle, &desc, &layouts, &preference)?;
        Ok(found.map(|found| MatmulPlan {
            desc,
            layouts,
            algorithm: found.algo,
            workspace: found.workspaceSize,
            has_run: false,
        }))
    }
}

/// A shape as the library's descriptors.
fn described(shape: &Shape) -> Result<(Desc, [Layout; 3]), Failure> {
    let (factor, number, compute) = types(shape.factors);
    // The bias has the type of C.
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

/// The type of factors, the type of sums and other numbers, and the compute type. Only TF32, which is requested by name, lets the library round
/// factors.
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
    // SAFETY: the descriptors are alive, and there is room for the one result that is requested.
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
    library_checked("cublasLtMatmulAlgoGetHeuristic", status)?;
    // SAFETY: all zeros is a valid value, which the library has overwritten if it found a kernel.
    let found = unsafe { found.assume_init() };
    Ok((count > 0 && found.state == cublasStatus_t::CUBLAS_STATUS_SUCCESS).then_some(found))
}

/// The descriptor of a product.
struct Desc(cublasLtMatmulDesc_t);

impl Desc {
    fn new(compute: ComputeType, scale: DataType) -> Result<Self, Failure> {
        let mut desc = ptr::null_mut();
        // SAFETY: `desc` is alive and written to.
        library_checked("cublasLtMatmulDescCreate", unsafe {
            sys::cublasLtMatmulDescCreate(&mut desc, compute, scale)
        })?;
        Ok(Desc(desc))
    }

    /// Sets an attribute. The library refuses a value of another size than the attribute's.
    fn set<A>(&self, attribute: DescAttribute, value: &A) -> Result<(), Failure> {
        let value = ptr::from_ref(value).cast();
        // SAFETY: the descriptor is ours and alive; the value is copied.
        let status = unsafe {
            sys::cublasLtMatmulDescSetAttribute(self.0, attribute, value, size_of::<A>())
        };
        library_checked("cublasLtMatmulDescSetAttribute", status)
    }
}

impl Drop for Desc {
    fn drop(&mut self) {
        // SAFETY: it is ours, and not used any more. A failure has no cure.
        let _ = unsafe { sys::cublasLtMatmulDescDestroy(self.0) };
    }
}

/// The layout of a column-major matrix.
struct Layout(cublasLtMatrixLayout_t);

impl Layout {
    fn new(number: DataType, [rows, columns]: [usize; 2], step: usize) -> Result<Self, Failure> {
        let mut layout = ptr::null_mut();
        // SAFETY: `layout` is alive and written to.
        let made = unsafe {
            sys::cublasLtMatrixLayoutCreate(
                &mut layout,
                number,
                rows as u64,
                columns as u64,
                step as i64,
            )
        };
        library_checked("cublasLtMatrixLayoutCreate", made)?;
        Ok(Layout(layout))
    }
}

impl Drop for Layout {
    fn drop(&mut self) {
        // SAFETY: it is ours, and not used any more. A failure has no cure.
        let _ = unsafe { sys::cublasLtMatrixLayoutDestroy(self.0) };
    }
}

/// What a kernel may require.
struct Preference(sys::cublasLtMatmulPreference_t);

impl Preference {
    /// A workspace of at most `bytes` bytes, and addresses of A, B and C that are multiples of as many bytes as given.
    fn new(bytes: usize, [a, b, c]: [usize; 3]) -> Result<Self, Failure> {
        use PreferenceAttribute::*;
        let mut preference = ptr::null_mut();
        // SAFETY: `preference` is alive and written to.
        library_checked("cublasLtMatmulPreferenceCreate", unsafe {
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
        // SAFETY: the descriptor is ours and alive; the value is copied.
        let status = unsafe {
            sys::cublasLtMatmulPreferenceSetAttribute(self.0, attribute, value, size_of::<A>())
        };
        library_checked("cublasLtMatmulPreferenceSetAttribute", status)
    }
}

impl Drop for Preference {
    fn drop(&mut self) {
        // SAFETY: it is ours, and not used any more. A failure has no cure.
        let _ = unsafe { sys::cublasLtMatmulPreferenceDestroy(self.0) };
    }
}

#[cfg(test)]
mod tests;
