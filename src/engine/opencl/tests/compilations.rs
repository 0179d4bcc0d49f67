//! Many compilations of one kernel: some compilers return wrong code now and then.

use std::time::{SystemTime, UNIX_EPOCH};

use super::*;
use crate::engine::Fusion;
use crate::ops;

/// A driver that compiles a new text each time, so that no cache of the real one knows it.
struct Anew {
    inner: OpenCl,
    unrolls: bool,
    builds: &'static AtomicUsize,
    /// Kernels that were proved.
    right: &'static AtomicUsize,
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

    fn store(&self, _source: &str, _kernel: &Kernel) {
        self.right.fetch_add(1, Ordering::Relaxed);
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
    if open_driver().is_some() {
        compile_again_and_again::<f32>("large tile, f32", product_of_large_tiles);
        compile_again_and_again::<f64>("large tile, f64", product_of_large_tiles);
        compile_again_and_again::<f32>("training, f32", training);
        compile_again_and_again::<f64>("training, f64", training);
    }
}

/// The numbers of an engine, and how far they may be from those of another one.
type Work<T> = fn(&Arc<dyn Engine<T>>) -> Result<(Vec<T>, f64)>;

/// Multiples of an eighth, so that sums of products are exact.
fn numbers<T: Scalar>(count: usize) -> Vec<T> {
    (0..count).map(|i| T::from_f64(((i * 7) % 11) as f64 / 8.0 - 0.625)).collect()
}

/// A product of this side fills a device of up to 32 units with large tiles.
fn product_of_large_tiles<T: Scalar>(engine: &Arc<dyn Engine<T>>) -> Result<(Vec<T>, f64)> {
    const SIDE: usize = 512;
    const STEPS: usize = 16;
    let a = Matrix::from_slice(engine, SIDE, STEPS, &numbers(SIDE * STEPS))?;
    let b = Matrix::from_slice(engine, STEPS, SIDE, &numbers(SIDE * STEPS))?;
    let mut c = Matrix::zeros(engine, SIDE, SIDE)?;
    ops::gemm(T::from_f64(1.0), a.view(), b.view(), T::default(), c.view_mut())?;
    Ok((c.to_vec()?, 0.0))
}

/// Steps of training, with small tiles and every epilogue.
fn training<T: Scalar>(engine: &Arc<dyn Engine<T>>) -> Result<(Vec<T>, f64)> {
    let mut network = Network::builder(engine, 64)
        .dense(50, Activation::Tanh)
        .dense(30, Activation::Gelu)
        .dense(10, Activation::Softmax)
        .seed(7)
        .build()?;
    let x = Matrix::from_slice(engine, 64, 32, &numbers(64 * 32))?;
    let t = Matrix::from_slice(engine, 10, 32, &numbers(10 * 32))?;
    let mut trainer = Trainer::builder(&mut network, Loss::SoftmaxCrossEntropy, Sgd::new(0.1)?)
        .batch(32)
        .seed(7)
        .build()?;
    for _ in 0..3 {
        trainer.step(x.view(), t.view())?;
    }
    drop(trainer);
    let mut parameters = Vec::new();
    for layer in network.layers() {
        parameters.extend(layer.weights().to_vec()?);
    }
    Ok((parameters, if size_of::<T>() == 8 { 1e-12 } else { 1e-4 }))
}

fn compile_again_and_again<T: Scalar>(what: &str, work: Work<T>) {
    static BUILDS: AtomicUsize = AtomicUsize::new(0);
    static RIGHT: AtomicUsize = AtomicUsize::new(0);
    let count: usize =
        std::env::var("TRAVERTINE_COMPILATIONS").map_or(200, |text| text.parse().unwrap());
    let unrolls = std::env::var_os("TRAVERTINE_UNROLL").is_some();
    let limits = Some(Limits { items: 256, shared: 48 << 10, fp64: true, lanes: 4 });
    let settings = Settings { limits, fusion: Fusion::Never, ..Settings::default() };
    let (wanted, bound) = work(&crate::engine::open("cpu").unwrap()).unwrap();
    let mut refused = 0;
    BUILDS.store(0, Ordering::Relaxed);
    RIGHT.store(0, Ordering::Relaxed);
    while BUILDS.load(Ordering::Relaxed) < count {
        let found = devices::survey(&settings).and_then(Survey::usable).unwrap_or_default();
        let inner = OpenCl::new(devices::choose(found, "").unwrap(), None).unwrap();
        if size_of::<T>() == 8 && !inner.device().fp64 {
            return;
        }
        let driver = Anew { inner, unrolls, builds: &BUILDS, right: &RIGHT };
        match work(&(Arc::new(Gpu::new(driver, None, &settings).unwrap()) as _)) {
            Ok((ours, _)) => {
                for (at, (ours, wanted)) in ours.iter().zip(&wanted).enumerate() {
                    let apart = (ours.to_f64() - wanted.to_f64()).abs();
                    assert!(apart <= bound, "{what}, element {at}: {apart:e}");
                }
            }
            Err(error) => {
                refused += 1;
                assert!(error.to_string().contains("wrong numbers, 4 times"), "{error}");
            }
        }
    }
    let builds = BUILDS.load(Ordering::Relaxed);
    let wrong = builds - RIGHT.load(Ordering::Relaxed);
    println!("{what}: {builds} compilations, {wrong} wrong; {refused} refusals");
}
