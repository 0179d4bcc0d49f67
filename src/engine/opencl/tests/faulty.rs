//! Compilers that return wrong code, and devices that are slow: no kernel is used before it is proved, and tuning ends in time.

use std::fs;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use super::*;
use crate::engine::Fusion;
use crate::ops;

/// One lane of the last column of a tile has one step of k too few.
const ONE_STEP: &str = "t < TN - 1 || l > 0";
/// Loops end early.
const LONG_LOOPS: &str = "l0 + l < 4096";

/// A driver that breaks products in its first compilations, and whose launches take a while.
struct Faulty {
    inner: OpenCl,
    breaks: Mutex<usize>,
    /// When a product's steps are done by broken kernels.
    done_if: &'static str,
    builds: &'static AtomicUsize,
    pause: Duration,
}

#[allow(clippy::undocumented_unsafe_blocks, reason = "every promise is passed on")]
impl Driver for Faulty {
    type Kernel = Kernel;

    const DIALECT: &'static str = OpenCl::DIALECT;
    const PROVES: bool = true;

    passes_on!();

    fn build(&self, source: &str, name: &str) -> Result<Kernel> {
        self.builds.fetch_add(1, Ordering::Relaxed);
        let mut breaks = self.breaks.lock().unwrap();
        if *breaks == 0 {
            return self.inner.build(source, name);
        }
        *breaks -= 1;
        let right = "sum[t * TV + v] = fma(x[v], SPLAT(y[t]), sum[t * TV + v]);";
        let right = if source.contains(right) && !self.traits().is_cpu {
            right
        } else {
            "sum[t * TV + v] = fma(x[v], y, sum[t * TV + v]);"
        };
        let wrong = source.replace(right, &format!("if ({}) {right}", self.done_if));
        assert_ne!(wrong, source);
        self.inner.build(&wrong, name)
    }

    fn load(&self, source: &str, name: &str) -> Option<Kernel> {
        self.inner.load(source, name)
    }

    fn store(&self, source: &str, kernel: &Kernel) {
        self.inner.store(source, kernel);
    }

    unsafe fn launch(
        &self,
        kernel: &Kernel,
        groups: [usize; 2],
        items: usize,
        arguments: &[Argument],
    ) -> Result<()> {
        std::thread::sleep(self.pause);
        unsafe { self.inner.launch(kernel, groups, items, arguments) }
    }

    fn finish(&self) -> Result<()> {
        self.inner.finish()
    }
}

fn faulty(
    breaks: usize,
    builds: &'static AtomicUsize,
    limits: Option<Limits>,
    cache: Option<&Cache>,
) -> Option<Arc<dyn Engine<f32>>> {
    let settings = Settings { limits, fusion: Fusion::Always, ..Settings::default() };
    faulty_if((breaks, ONE_STEP), builds, &settings, cache)
}

fn faulty_if(
    (breaks, done_if): (usize, &'static str),
    builds: &'static AtomicUsize,
    settings: &Settings,
    cache: Option<&Cache>,
) -> Option<Arc<dyn Engine<f32>>> {
    open_driver()?;
    let found = devices::survey(settings).and_then(Survey::usable).unwrap_or_default();
    let inner = OpenCl::new(devices::choose(found, "").unwrap(), cache.cloned()).unwrap();
    let (breaks, pause) = (Mutex::new(breaks), Duration::ZERO);
    let driver = Faulty { inner, breaks, done_if, builds, pause };
    Some(Arc::new(Gpu::new(driver, None, settings).unwrap()))
}

/// The product of a row of ones and a column of ones.
fn product(engine: &Arc<dyn Engine<f32>>) -> Result<f64> {
    let ones =
        |rows, columns| Matrix::from_slice(engine, rows, columns, &vec![1.0; rows * columns]);
    let (a, b, mut c) = (ones(20, 30)?, ones(30, 20)?, ones(20, 20)?);
    ops::gemm(1.0, a.view(), b.view(), 0.0, c.view_mut())?;
    Ok(c.to_vec()?.iter().map(|x| f64::from(*x)).sum())
}

const SMALL_GPU: Limits = Limits { items: 64, shared: 16 << 10, fp64: true, lanes: 4 };
const RIGHT: f64 = 20.0 * 20.0 * 30.0;

#[test]
fn a_kernel_that_is_wrong_is_compiled_again() {
    static BUILDS: AtomicUsize = AtomicUsize::new(0);
    for limits in [None, Some(SMALL_GPU)] {
        let Some(engine) = faulty(2, &BUILDS, limits, None) else { return };
        BUILDS.store(0, Ordering::Relaxed);
        assert_eq!(product(&engine).unwrap(), RIGHT);
        assert_eq!(product(&engine).unwrap(), RIGHT);
        assert_eq!(BUILDS.load(Ordering::Relaxed), 3, "{limits:?}");
    }
}

#[test]
fn a_kernel_that_stays_wrong_is_refused_and_not_stored() {
    static BUILDS: AtomicUsize = AtomicUsize::new(0);
    let folder = tempfile::tempdir().unwrap();
    let cache = Cache::new(folder.path(), "opencl", "a device");
    let stored = || {
        let entries = fs::read_dir(folder.path().join("opencl")).into_iter().flatten();
        entries
            .filter(|entry| {
                entry
                    .as_ref()
                    .is_ok_and(|entry| entry.path().extension().is_some_and(|found| found == "bin"))
            })
            .count()
    };
    let Some(engine) = faulty(usize::MAX, &BUILDS, None, Some(&cache)) else { return };
    let error = product(&engine).unwrap_err().to_string();
    let device = engine.device();
    for part in [&device.name, device.driver.as_ref().unwrap(), &device.description] {
        assert!(error.contains(part), "{part} in {error}");
    }
    assert!(error.contains("wrong numbers, 4 times"), "{error}");
    assert_eq!((BUILDS.load(Ordering::Relaxed), stored()), (4, 0));
    // A right one is stored, and taken from there.
    for builds in [1, 0] {
        let engine = faulty(0, &BUILDS, None, Some(&cache)).unwrap();
        BUILDS.store(0, Ordering::Relaxed);
        assert_eq!(product(&engine).unwrap(), RIGHT);
        assert_eq!((BUILDS.load(Ordering::Relaxed), stored()), (builds, 1));
    }
}

/// Mesa 22.3 ends the loops of an item after 65,535 steps.
#[test]
fn a_kernel_that_is_wrong_in_long_sums_alone_is_refused() {
    static BUILDS: AtomicUsize = AtomicUsize::new(0);
    for limits in [None, Some(SMALL_GPU)] {
        let settings = Settings { limits, ..Settings::default() };
        let Some(engine) = faulty_if((usize::MAX, LONG_LOOPS), &BUILDS, &settings, None) else {
            return;
        };
        let error = product(&engine).unwrap_err().to_string();
        assert!(error.contains("wrong numbers, 4 times"), "{limits:?}: {error}");
    }
}

/// A network in one kernel calls no product; a product is proved all the same.
#[test]
fn a_network_in_one_kernel_is_refused_where_products_are_wrong() {
    static BUILDS: AtomicUsize = AtomicUsize::new(0);
    for (breaks, is_right) in [(usize::MAX, false), (2, true)] {
        let Some(engine) = faulty(breaks, &BUILDS, Some(SMALL_GPU), None) else { return };
        BUILDS.store(0, Ordering::Relaxed);
        let mut network = Network::builder(&engine, 4)
            .dense(3, Activation::Tanh)
            .dense(2, Activation::Sigmoid)
            .build()
            .unwrap();
        let (x, t) = (Matrix::zeros(&engine, 4, 5).unwrap(), Matrix::zeros(&engine, 2, 5).unwrap());
        let mut trainer = Trainer::builder(&mut network, Loss::Quadratic, Sgd::new(0.1).unwrap())
            .batch(5)
            .seed(1)
            .build()
            .unwrap();
        let result = trainer.step(x.view(), t.view());
        assert_eq!(result.is_ok(), is_right);
        let error = result.err().map(|error| error.to_string()).unwrap_or_default();
        assert_eq!(error.contains("wrong numbers, 4 times"), !is_right, "{error}");
        // The trainer's kernel is not among those that the driver builds for a proof.
        assert_eq!(BUILDS.load(Ordering::Relaxed), if is_right { 3 } else { 4 });
    }
}

#[test]
fn tuning_a_slow_device_ends_in_time() {
    static BUILDS: AtomicUsize = AtomicUsize::new(0);
    static NOTES: Mutex<Vec<String>> = Mutex::new(Vec::new());
    let Some(inner) = open_driver() else { return };
    let pause = Duration::from_secs(1);
    let breaks = Mutex::new(0);
    let driver = Faulty { inner, breaks, done_if: ONE_STEP, builds: &BUILDS, pause };
    let folder = tempfile::tempdir().unwrap();
    let cache = Cache::new(folder.path(), "opencl", "a slow device");
    let note = |line: &str| NOTES.lock().unwrap().push(line.to_owned());
    let settings = Settings { tune: true, note: Some(note), ..Settings::default() };
    let begin = Instant::now();
    let engine = Gpu::<f32, _>::new(driver, Some(cache.clone()), &settings).unwrap();
    let seconds = begin.elapsed().as_secs_f64();
    // A compilation on a busy machine may take longer than thought.
    assert!(seconds < 25.0, "{seconds} s");
    let warnings = &engine.device().warnings[..];
    assert!(
        warnings.iter().any(|warning| warning.contains("tile sizes were measured")),
        "{warnings:?}"
    );
    assert!(warnings.iter().any(|warning| warning.contains("bad choice")), "{warnings:?}");
    assert!(matches!(&NOTES.lock().unwrap()[..], [note] if note.contains("once")));
    // What was found is kept: the next start measures nothing.
    assert!(cache.tiles().exists());
}
