//! An engine on a device behind a driver: its state, and how kernels are launched.

use std::marker::PhantomData;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::driver::{Argument, Arguments, Driver, Traits};
use super::policy::Policy;
use super::program::{Key, Programs, Text};
use super::reduced_precision::HalfCopies;
use super::tile::Tiles;
use crate::engine::cache::Cache;
use crate::engine::{Device, Fusion, Handle, Settings, unavailable};
use crate::error::{Error, Result};
use crate::scalar::Scalar;

/// Partial sums of a reduction. A fixed number, so that the order of a sum does not depend on the device.
pub(super) const CHUNKS: usize = 64;
/// Kernels count rows and columns in `int`, and their loops look one grid beyond the last.
pub(super) const MAX_COUNT: usize = i32::MAX as usize - (1 << 26);
/// Elements that keep a group of one item on a CPU busy.
const ELEMENTS_PER_CPU_GROUP: usize = 4096;
/// Groups of a grid along one side, at most.
const MAX_GROUPS: usize = 1 << 15;
/// What a device must have for the smallest tile; see `Tiles::candidates`.
const SMALLEST_DEVICE: &str = "the kernels need 64 items and 5 KB; use another device";

/// A device behind a [`Driver`], as an engine.
pub(in crate::engine) struct Gpu<T: Scalar, D: Driver> {
    pub(super) driver: D,
    pub(super) device: Device,
    pub(super) tiles: Tiles,
    /// Which products the driver's library computes; `None` without a library.
    pub(super) policy: Option<Policy>,
    /// The 16-bit copies of matrices; `None` where products multiply the matrices themselves.
    pub(super) copies: Option<HalfCopies>,
    pub(super) cache: Option<Cache>,
    pub(super) fusion: Fusion,
    /// Takes lines for people.
    pub(super) note: Option<fn(&str)>,
    /// [`CHUNKS`] partial sums. A reduction holds the lock until it has read them.
    chunks: Mutex<Handle>,
    /// A launch holds the lock, so that setting a kernel's arguments and launching it are one action.
    programs: Mutex<Programs<D>>,
    scalar: PhantomData<fn(T)>,
}

impl<T: Scalar, D: Driver> Gpu<T, D> {
    /// `cache`: the folder for tile sizes. Of the settings, those for tuning, the library and fusion are used.
    pub fn new(driver: D, cache: Option<Cache>, settings: &Settings) -> Result<Self> {
        let device = driver.device().clone();
        let Some(tiles) = Tiles::untuned(driver.traits(), size_of::<T>()) else {
            let Traits { items, shared, .. } = driver.traits();
            let reason = format!(
                "a group of this device has {items} items and {shared} bytes of local memory"
            );
            return Err(unavailable(&device.name, reason, SMALLEST_DEVICE));
        };
        let policy = Policy::new::<T>(&driver, settings);
        let chunks = Mutex::new(driver.allocate(CHUNKS * size_of::<f64>())?);
        let mut gpu = Gpu {
            driver,
            device,
            tiles,
            policy,
            copies: policy.and_then(|policy| HalfCopies::new(policy.factors)),
            cache: None,
            fusion: settings.fusion,
            note: settings.note,
            chunks,
            programs: Mutex::new(Programs::new()),
            scalar: PhantomData,
        };
        if let Some(cache) = cache {
            if settings.tune {
                let warnings = gpu.choose_tiles(&cache)?;
                gpu.device.warnings.extend(warnings);
            }
            gpu.cache = Some(cache);
        }
        Ok(gpu)
    }

    pub(super) fn traits(&self) -> &Traits {
        self.driver.traits()
    }

    /// A poisoned lock is taken: a call that panicked has lost its own work, not the programs.
    fn programs(&self) -> MutexGuard<'_, Programs<D>> {
        self.programs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn chunks(&self) -> MutexGuard<'_, Handle> {
        self.chunks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lanes of a vector in the kernels.
    pub(super) fn width(&self) -> usize {
        self.traits().width[usize::from(size_of::<T>() == 8)]
    }

    /// Items in a group that does not compute a product: a power of 2, at most `most`; 1 on a CPU.
    pub(super) fn items(&self, most: usize) -> usize {
        if self.traits().is_cpu { 1 } else { most.min(1 << self.traits().items.max(1).ilog2()) }
    }

    /// A kernel with the options that all texts have.
    pub(super) fn key(&self, text: Text, kernel: &'static str, width: usize, items: usize) -> Key {
        Key::new(text, kernel).with(&[
            ("DOUBLE", usize::from(size_of::<T>() == 8)),
            ("FP64", usize::from(self.traits().fp64)),
            ("WIDTH", width),
            ("GROUP_X", items),
        ])
    }

    /// Launches a kernel that reads and writes no 16-bit copies. Its arguments are brought up to date first, and their copies are invalid
    /// afterwards, whether it writes them or not.
    ///
    /// # Safety
    /// The arguments are those of the kernel, and their memory is alive.
    pub(super) unsafe fn launch(
        &self,
        key: Key,
        groups: [usize; 2],
        items: usize,
        arguments: &Arguments,
    ) -> Result<()> {
        // SAFETY: the caller's promise is the same.
        unsafe { self.launch_made(key, groups, items, arguments, || self.compile(&key)) }
    }

    /// [`Gpu::launch`] with a kernel that `make` compiles.
    ///
    /// # Safety
    /// As [`Gpu::launch`].
    pub(super) unsafe fn launch_made(
        &self,
        key: Key,
        groups: [usize; 2],
        items: usize,
        arguments: &Arguments,
        make: impl FnOnce() -> Result<D::Kernel>,
    ) -> Result<()> {
        if self.copies.is_some() {
            for handle in arguments.memory() {
                // SAFETY: the memory is alive, as the caller promises.
                unsafe { self.update_numbers(handle)? };
            }
            arguments.memory().for_each(|handle| self.invalidate_copy(handle));
        }
        // SAFETY: the arguments are those of the kernel, and their memory is alive, as the caller promises.
        unsafe { self.enqueue_made(&key, groups, items, arguments, make) }
    }

    /// Launches a kernel whose caller keeps the 16-bit copies valid.
    ///
    /// # Safety
    /// As [`Gpu::launch`].
    pub(super) unsafe fn enqueue(
        &self,
        key: Key,
        groups: [usize; 2],
        items: usize,
        arguments: &Arguments,
    ) -> Result<()> {
        // SAFETY: the caller's promise is the same.
        unsafe { self.enqueue_made(&key, groups, items, arguments, || self.compile(&key)) }
    }

    pub(super) fn compile(&self, key: &Key) -> Result<D::Kernel> {
        self.driver.compile(&key.source(D::DIALECT), key.kernel)
    }

    unsafe fn enqueue_made(
        &self,
        key: &Key,
        groups: [usize; 2],
        items: usize,
        arguments: &Arguments,
        make: impl FnOnce() -> Result<D::Kernel>,
    ) -> Result<()> {
        let mut programs = self.programs();
        let kernel = programs.get(key, make)?;
        // SAFETY: the arguments are those of the kernel, and their memory is alive, as the caller promises.
        unsafe { self.driver.launch(kernel, groups, items, arguments.as_slice()) }
    }

    /// Groups of a kernel that loops over the rows by vectors, and over the columns. An item of a GPU has one vector; one of a CPU has a
    /// share of the matrix.
    pub(super) fn grid(&self, rows: usize, columns: usize, items: usize) -> [usize; 2] {
        let groups = rows.div_ceil(items * self.width());
        if !self.traits().is_cpu {
            return [groups.min(MAX_GROUPS), columns.min(MAX_GROUPS)];
        }
        let shares = (rows * columns).div_ceil(ELEMENTS_PER_CPU_GROUP).min(2 * self.traits().units);
        let across = shares.min(columns);
        [(shares / across).clamp(1, groups), across]
    }

    pub(super) fn real(&self, x: f64) -> Argument {
        if size_of::<T>() == 8 { Argument::Double(x) } else { Argument::Single(x as f32) }
    }

    pub(super) fn push_parameters(&self, arguments: &mut Arguments, p: [f64; 4]) {
        p.into_iter().for_each(|p| arguments.push(self.real(p)));
    }

    /// A number of rows or columns, as an argument.
    pub(super) fn int(&self, count: usize) -> Result<Argument> {
        if count <= MAX_COUNT {
            return Ok(Argument::Int(count as i32));
        }
        let reason = format!("{count} rows or columns; the kernels count up to {MAX_COUNT}");
        Err(Error::argument("launch", reason))
    }
}

impl<T: Scalar, D: Driver> Drop for Gpu<T, D> {
    fn drop(&mut self) {
        // SAFETY: the engine is gone, so no kernel uses the partial sums any more.
        unsafe { self.driver.free(*self.chunks()) }
    }
}
