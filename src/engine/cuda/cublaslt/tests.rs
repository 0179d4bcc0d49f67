//! Our descriptors, checked by the library itself. No GPU is needed.

use super::super::failure::status_text;
use super::*;

/// Whether the library is installed; if `TRAVERTINE_ENSURE_CUBLASLT` requires it and it is not, the test fails.
fn has_library() -> bool {
    let Err(missing) = find(i32::MAX) else { return true };
    let left_out = format!("LEFT OUT: {}; {}", missing.reason, missing.cure);
    assert!(std::env::var_os("TRAVERTINE_ENSURE_CUBLASLT").is_none(), "{left_out}");
    eprintln!("{left_out}");
    false
}

const EPILOGUES: [Epilogue; 4] =
    [Epilogue::Nothing, Epilogue::Relu, Epilogue::ReluWithMask, Epilogue::ReluDerivative];

fn shapes() -> Vec<Shape> {
    let (factors, flags) =
        ([Factors::F32, Factors::Tf32, Factors::Bf16, Factors::F16, Factors::F64], [false, true]);
    let mut all = Vec::new();
    for (factors, turn_a, turn_b) in
        factors.iter().flat_map(|f| flags.iter().flat_map(move |a| flags.map(|b| (*f, *a, b))))
    {
        for (has_bias, epilogue) in
            flags.into_iter().flat_map(|bias| EPILOGUES.map(|epilogue| (bias, epilogue)))
        {
            let (m, n, k, turned) = (24, 40, 56, [turn_a, turn_b]);
            let steps = [if turn_a { k } else { m }, if turn_b { n } else { k }, m];
            let (aligned, reads_c) = ([256, 16, 4], false);
            let plain = Shape {
                factors,
                m,
                n,
                k,
                turned,
                steps,
                aligned,
                reads_c,
                has_bias,
                epilogue,
                rounds: false,
            };
            all.push(plain);
            if matches!(factors, Factors::Bf16 | Factors::F16) {
                all.push(Shape { rounds: true, ..plain });
            }
        }
    }
    all
}

/// The library accepts every attribute, value and size that we use: it refuses others.
#[test]
fn the_library_takes_our_descriptions() {
    if !has_library() {
        return;
    }
    for shape in shapes() {
        let (desc, layouts) = described(&shape).unwrap();
        desc.set(DescAttribute::CUBLASLT_MATMUL_DESC_BIAS_POINTER, &4096_u64).unwrap();
        desc.set(DescAttribute::CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_POINTER, &4096_u64).unwrap();
        assert!(
            desc.set(DescAttribute::CUBLASLT_MATMUL_DESC_BIAS_POINTER, &0_u8).is_err(),
            "a value of another size is refused"
        );
        let preference = Preference::new(WORKSPACE, shape.aligned).unwrap();
        // Without a device there is no handle: the call fails, but it exists.
        let failure = best_kernel(ptr::null_mut(), &desc, &layouts, &preference).err().unwrap();
        assert!(
            matches!(failure, Failure::Library("cublasLtMatmulAlgoGetHeuristic", _)),
            "{failure:?}"
        );
    }
}

const WORKSPACE: usize = 4 << 20;

#[test]
fn every_call_is_there() {
    if !has_library() {
        return;
    }
    assert!(!status_text(cublasStatus_t::CUBLAS_STATUS_NOT_SUPPORTED).is_empty());
    let (nothing, shape) = (ptr::null_mut(), shapes()[0]);
    let plan = MatmulPlan {
        desc: described(&shape).unwrap().0,
        layouts: described(&shape).unwrap().1,
        algorithm: sys::cublasLtMatmulAlgo_t { data: [0; 8] },
        workspace: 0,
        has_run: false,
    };
    let plans = HashMap::from([(shape, Some(plan))]);
    let mut library = CublasLt { handle: nothing, workspace: 0, bytes: WORKSPACE, plans };
    let place = Place { handle: crate::engine::Handle(ptr::null_mut()), offset: 256 };
    let product = LibraryProduct {
        shape,
        alpha: 1.0,
        beta: 0.0,
        a: place,
        b: place,
        c: place,
        bias: None,
        mask: None,
    };
    // SAFETY: without a handle the library computes nothing.
    let failure = unsafe { library.start(&product, ptr::null_mut()) }.unwrap_err();
    assert!(matches!(failure, Failure::Library("cublasLtMatmul", _)), "{failure:?}");
    if let Ok(library) = CublasLt::new(0, 0) {
        drop(library);
    }
}
