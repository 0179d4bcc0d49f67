//! Many compilations of one kernel: some compilers return wrong code now and then.

use std::time::{SystemTime, UNIX_EPOCH};

use super::*;
use crate::ops;

/// A driver that compiles a new text each time, so that no cache of the real one knows it.
struct Anew {
    inner: OpenCl,
    unrolls: bool,
    builds: &'static AtomicUsize,
}

#[allow(clippy::undocumented_unsafe_blocks, reason = "every promise is passed on")]
impl Driver for Anew {
    type Kernel = Kernel;

    const DIALECT: &'static str = OpenCl::DIALECT;
    const PROVES: bool = true;

    passes_on!();

    fn build(&self, source: &str, name: &str) -> Result<Kernel> {
        let number = self.builds.fetch_add(1, Ordering::Relaxed);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos();
        let source = match self.unrolls {
            true => source.replace("#define UNROLL\n", "#define UNROLL _Pragma(\"unroll\")\n"),
            false => source.to_owned(),
        };
        self.inner.build(&format!("{source}\n// {now} {number}"), name)
    }

    unsafe fn launch(
        &self,
        kernel: &Kernel,
        groups: [usize; 2],
        items: usize,
        arguments: &[Argument],
    ) -> Result<()> {
        unsafe { self.inner.launch(kernel, groups, items, arguments) }
    }

    fn finish(&self) -> Result<()> {
        self.inner.finish()
    }
}

/// The tiles of GPUs that are used without measurements, in both precisions. `TRAVERTINE_COMPILATIONS` is the number for each; with
/// `TRAVERTINE_UNROLL` compilers are asked to unroll all loops.
#[test]
#[ignore = "compiles for minutes: scripts/opencl-drivers with SUITES=compilations"]
fn compilations_that_are_wrong_are_not_used() {
    // A product of this side fills a device of up to 32 units with large tiles.
    const LARGE: usize = 512;
    const SMALL: usize = 40;
    if open_driver().is_some() {
        compile_again_and_again::<f32>("large tile, f32", LARGE);
        compile_again_and_again::<f32>("small tile, f32", SMALL);
        compile_again_and_again::<f64>("large tile, f64", LARGE);
        compile_again_and_again::<f64>("small tile, f64", SMALL);
    }
}

fn compile_again_and_again<T: Scalar>(what: &str, side: usize) {
    static BUILDS: AtomicUsize = AtomicUsize::new(0);
    const STEPS: usize = 16;
    let count: usize =
        std::env::var("TRAVERTINE_COMPILATIONS").map_or(200, |text| text.parse().unwrap());
    let unrolls = std::env::var_os("TRAVERTINE_UNROLL").is_some();
    let limits = Some(Limits { items: 256, shared: 48 << 10, fp64: true, lanes: 4 });
    let settings = Settings { limits, ..Settings::default() };
    // Multiples of an eighth, so that sums of products are exact.
    let numbers = |count: usize| -> Vec<T> {
        (0..count).map(|i| T::from_f64(((i * 7) % 11) as f64 / 8.0 - 0.625)).collect()
    };
    let (a, b) = (numbers(side * STEPS), numbers(STEPS * side));
    let wanted = |at: usize| {
        let term = |l: usize| a[at % side + l * side].to_f64() * b[l + at / side * STEPS].to_f64();
        (0..STEPS).map(term).sum::<f64>()
    };
    let (mut right, mut refused) = (0, 0);
    BUILDS.store(0, Ordering::Relaxed);
    while BUILDS.load(Ordering::Relaxed) < count {
        let found = devices::survey(&settings).and_then(Survey::usable).unwrap_or_default();
        let inner = OpenCl::new(devices::choose(found, "").unwrap(), None).unwrap();
        if size_of::<T>() == 8 && !inner.device().fp64 {
            return;
        }
        let driver = Anew { inner, unrolls, builds: &BUILDS };
        let engine: Arc<dyn Engine<T>> = Arc::new(Gpu::new(driver, None, &settings).unwrap());
        let in_a = Matrix::from_slice(&engine, side, STEPS, &a).unwrap();
        let in_b = Matrix::from_slice(&engine, STEPS, side, &b).unwrap();
        let mut c = Matrix::zeros(&engine, side, side).unwrap();
        let one = T::from_f64(1.0);
        match ops::gemm(one, in_a.view(), in_b.view(), T::default(), c.view_mut()) {
            Ok(()) => {
                right += 1;
                for (at, ours) in c.to_vec().unwrap().into_iter().enumerate() {
                    assert_eq!(ours.to_f64(), wanted(at), "{what}, element {at}");
                }
            }
            Err(error) => {
                refused += 1;
                assert!(error.to_string().contains("wrong numbers, 4 times"), "{error}");
            }
        }
    }
    let builds = BUILDS.load(Ordering::Relaxed);
    let wrong = builds - right;
    println!(
        "{what}: {builds} compilations, {wrong} wrong; {right} right products, {refused} refused"
    );
}
