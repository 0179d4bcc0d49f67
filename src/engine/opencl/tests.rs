//! Faults that a test from outside cannot cause: a kernel that does not compile, a queue that fails.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::driver::{Kernel, OpenCl};
use super::*;
use crate::engine::gpu::driver::Argument;
use crate::engine::gpu::{self, Driver, Rectangle, Traits};
use crate::engine::{Handle, Library, Limits, MatmulPrecision};
use crate::optimizer::Sgd;
use crate::random::Philox;
use crate::{Activation, Loss, Matrix, Network, Trainer};

/// The calls that a driver around another one passes on as they are.
macro_rules! passes_on {
    () => {
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
    };
}

mod compilations;
mod faulty;
mod library;

fn open_driver() -> Option<OpenCl> {
    match devices::survey(&Settings::default()).and_then(Survey::usable) {
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
    let Some(driver) = open_driver() else { return };
    let source = "__kernel void broken(__global float *x) { x[0] = undeclared_name; }";
    let error = driver.compile(source, "broken").err().unwrap().to_string();
    for part in ["clBuildProgram", "-11", "kernel 'broken'", "undeclared_name"] {
        assert!(error.contains(part), "{part} in {error}");
    }
    let error = driver.compile("__kernel void other() {}", "missing").err().unwrap().to_string();
    assert!(error.contains("clCreateKernel") && error.contains("missing"), "{error}");
}

/// A compiler that removes the chains of multiply-adds gives a rate that no core can have: two units of 16 lanes at 10 GHz.
#[test]
fn the_peak_is_one_that_the_cores_can_have() {
    let Some(driver) = open_driver() else { return };
    let Traits { is_cpu: true, units, .. } = *driver.traits() else { return };
    let engine = Gpu::<f32, _>::new(driver, None, &Settings::default()).unwrap();
    let peak = engine.peak_flops().unwrap();
    assert!(peak > 1e7 && peak < units as f64 * 2.0 * 2.0 * 16.0 * 10e9, "{peak:e} on {units}");
}

#[test]
#[ignore = "PoCL compiles for minutes: cargo test --lib opencl -- --ignored"]
fn every_tile_multiplies() {
    fn on<T: Scalar>(lanes: usize) {
        let limits = Some(Limits { items: 256, shared: 48 << 10, fp64: true, lanes });
        let settings = Settings { limits, ..Settings::default() };
        let Ok(found) = devices::survey(&settings).and_then(Survey::usable) else { return };
        let driver = OpenCl::new(devices::choose(found, "").unwrap(), None).unwrap();
        gpu::tests::tiles::every_tile_multiplies::<T, _>(
            &Gpu::new(driver, None, &settings).unwrap(),
        );
    }
    if open_driver().is_some() {
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

    passes_on!();

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
    let Some(inner) = open_driver() else { return };
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
