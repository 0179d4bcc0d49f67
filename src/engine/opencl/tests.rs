//! Faults that no test can cause from outside: a kernel that does not compile, a queue that fails.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::optimizer::Sgd;
use crate::{Activation, Loss, Matrix, Network, Trainer};

mod library;

fn driver() -> Option<OpenCl> {
    match devices::find(&Settings::default()) {
        Ok(found) => Some(OpenCl::new(devices::choose(found, "").unwrap(), None).unwrap()),
        Err(missing) => {
            assert!(std::env::var_os("TRAVERTINE_ENSURE_OPENCL").is_none(), "{}", missing.reason);
            eprintln!("LEFT OUT: {}", missing.reason);
            None
        }
    }
}

#[test]
fn a_kernel_that_does_not_compile_shows_its_name_and_the_log() {
    let Some(driver) = driver() else { return };
    let source = "__kernel void broken(__global float *x) { x[0] = nobody_knows_this; }";
    let error = driver.compile(source, "broken").err().unwrap().to_string();
    for part in ["clBuildProgram", "-11", "kernel 'broken'", "nobody_knows_this"] {
        assert!(error.contains(part), "{part} in {error}");
    }
    let error = driver.compile("__kernel void other() {}", "missing").err().unwrap().to_string();
    assert!(error.contains("clCreateKernel") && error.contains("missing"), "{error}");
}

#[test]
#[ignore = "PoCL compiles for minutes; scripts/race-check runs it"]
fn every_tile_multiplies() {
    fn on<T: Scalar>(lanes: usize) {
        let limits = Some(Limits { items: 256, shared: 48 << 10, fp64: true, lanes });
        let settings = Settings { limits, ..Settings::default() };
        let Ok(found) = devices::find(&settings) else { return };
        let driver = OpenCl::new(devices::choose(found, "").unwrap(), None).unwrap();
        gpu::tests::tiles::every_tile_multiplies::<T, _>(
            &Gpu::new(driver, None, &settings).unwrap(),
        );
    }
    if driver().is_some() {
        [1, 4].into_iter().for_each(on::<f32>);
        [1, 4].into_iter().for_each(on::<f64>);
    }
}

/// A driver whose queue fails after some launches.
struct Failing {
    inner: OpenCl,
    launches_left: &'static AtomicUsize,
}

#[allow(clippy::undocumented_unsafe_blocks, reason = "every promise is passed on")]
impl Driver for Failing {
    type Kernel = Kernel;

    const DIALECT: &'static str = OpenCl::DIALECT;

    fn device(&self) -> &Device {
        self.inner.device()
    }

    fn traits(&self) -> &Traits {
        self.inner.traits()
    }

    fn allocate(&self, bytes: usize) -> Result<Handle> {
        self.inner.allocate(bytes)
    }

    unsafe fn free(&self, handle: Handle) {
        unsafe { self.inner.free(handle) }
    }

    unsafe fn write(&self, from: *const u8, to: Rectangle) -> Result<()> {
        unsafe { self.inner.write(from, to) }
    }

    unsafe fn read(&self, from: Rectangle, to: *mut u8) -> Result<()> {
        unsafe { self.inner.read(from, to) }
    }

    fn compile(&self, source: &str, name: &str) -> Result<Kernel> {
        self.inner.compile(source, name)
    }

    unsafe fn launch(
        &self,
        kernel: &Kernel,
        groups: [usize; 2],
        items: usize,
        arguments: &[Argument],
    ) -> Result<()> {
        let left = self
            .launches_left
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
        left.map_err(|_| self.inner.error("clEnqueueNDRangeKernel", -36))?;
        unsafe { self.inner.launch(kernel, groups, items, arguments) }
    }

    fn finish(&self) -> Result<()> {
        self.inner.finish()
    }
}

#[test]
fn a_queue_that_fails_names_the_call_and_leaves_the_parameters_readable() {
    static LAUNCHES_LEFT: AtomicUsize = AtomicUsize::new(usize::MAX);
    let Some(inner) = driver() else { return };
    let engine: Arc<dyn Engine<f32>> = Arc::new(
        Gpu::new(Failing { inner, launches_left: &LAUNCHES_LEFT }, None, &Settings::default())
            .unwrap(),
    );
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
    trainer.step(x.view(), t.view()).unwrap();
    LAUNCHES_LEFT.store(4, Ordering::Relaxed);
    let error = trainer.step(x.view(), t.view()).unwrap_err().to_string();
    assert!(error.contains("clEnqueueNDRangeKernel") && error.contains("-36"), "{error}");
    LAUNCHES_LEFT.store(usize::MAX, Ordering::Relaxed);
    trainer.step(x.view(), t.view()).unwrap();
    drop(trainer);
    assert!(network.layers()[0].weights().to_vec().unwrap().iter().all(|w| w.is_finite()));
}
