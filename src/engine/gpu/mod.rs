//! What engines for GPUs share: everything but the API. A driver allocates, copies, compiles and launches; this is the
//! mathematics on top of it.

use std::marker::PhantomData;
use std::sync::{Mutex, MutexGuard, PoisonError};

use self::driver::{Argument, Arguments};
use self::halves::{Halves, Store};
use self::library::Policy;
use self::program::{Key, Programs, Text};
use self::tile::Tiles;
use super::cache::Cache;
use super::*;

mod columns;
mod compare;
pub(super) mod driver;
mod halves;
mod library;
mod network;
mod normalize;
mod peak;
mod product;
mod program;
#[cfg(test)]
pub(super) mod tests;
mod tile;
mod transfer;
mod tune;
mod update;

pub(super) use self::driver::{Driver, Rectangle, Traits};

/// Partial sums of a reduction.
const CHUNKS: usize = 64;
/// Bytes behind every allocation of a CPU that products may read, and do not use. GPUs get none: tools that look for accesses outside
/// of memory are to find them.
const SLACK: usize = 1024;
/// Most rows or columns: kernels count in `int`, and look one grid beyond the last.
const MOST_COUNT: usize = i32::MAX as usize - (1 << 26);
/// Elements that are work enough for a group of one item.
const SHARE: usize = 4096;

/// A device behind a [`Driver`], as an engine.
pub(super) struct Gpu<T: Scalar, D: Driver> {
    driver: D,
    device: Device,
    tiles: Tiles,
    /// What is left to the driver's library.
    policy: Option<Policy>,
    halves: Option<Halves>,
    cache: Option<Cache>,
    fusion: Fusion,
    /// [`CHUNKS`] accumulators, whose holder sums up: another thread's sum waits until this one has been read.
    chunks: Mutex<Handle>,
    /// Whoever launches holds it: arguments and launches of one call stay together.
    programs: Mutex<Programs<D>>,
    scalar: PhantomData<fn(T)>,
}

impl<T: Scalar, D: Driver> Gpu<T, D> {
    /// `cache`: where tiles are kept. Of the settings those count that are about tuning and the library.
    pub fn new(driver: D, cache: Option<Cache>, settings: &Settings) -> Result<Self> {
        let device = driver.device().clone();
        let Some(tiles) = Tiles::usual(driver.traits(), size_of::<T>()) else {
            let Traits { items, shared, .. } = driver.traits();
            let reason = format!(
                "a group of this device has {items} items and {shared} bytes of local memory"
            );
            return Err(unavailable(
                &device.name,
                reason,
                "the kernels need 64 items and 5 KB; use another device",
            ));
        };
        let policy = Policy::new::<T>(&driver, settings);
        let halves = policy.and_then(|policy| Halves::new(policy.factors));
        let chunks = Mutex::new(driver.allocate(CHUNKS * size_of::<f64>())?);
        let programs = Mutex::new(Programs::new());
        let (scalar, fusion) = (PhantomData, settings.fusion);
        let mut gpu = Gpu {
            driver,
            device,
            tiles,
            policy,
            halves,
            cache: None,
            fusion,
            chunks,
            programs,
            scalar,
        };
        if let Some(cache) = cache {
            if settings.tune {
                let warning = gpu.choose_tiles(&cache)?;
                gpu.device.warnings.extend(warning);
            }
            gpu.cache = Some(cache);
        }
        Ok(gpu)
    }

    fn traits(&self) -> &Traits {
        self.driver.traits()
    }

    /// A call that panicked has lost its own work, not the programs.
    fn programs(&self) -> MutexGuard<'_, Programs<D>> {
        self.programs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn chunks(&self) -> MutexGuard<'_, Handle> {
        self.chunks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lanes of a vector in the kernels.
    fn width(&self) -> usize {
        self.traits().width[usize::from(size_of::<T>() == 8)]
    }

    /// Items in a group that does not compute a product: a power of 2.
    fn items(&self, most: usize) -> usize {
        if self.traits().is_cpu { 1 } else { most.min(1 << self.traits().items.max(1).ilog2()) }
    }

    /// A kernel with the options that all texts have.
    fn key(&self, text: Text, kernel: &'static str, width: usize, items: usize) -> Key {
        Key::new(text, kernel).with(&[
            ("DOUBLE", usize::from(size_of::<T>() == 8)),
            ("FP64", usize::from(self.traits().fp64)),
            ("WIDTH", width),
            ("GROUP_X", items),
        ])
    }

    /// Every kernel that knows of no copies is launched here: what it reads is up to date, and what it may write has no copy then.
    unsafe fn launch(
        &self,
        key: Key,
        groups: [usize; 2],
        items: usize,
        arguments: &Arguments,
    ) -> Result<()> {
        if self.halves.is_some() {
            for handle in arguments.memory() {
                // SAFETY: the caller's promise.
                unsafe { self.settle(handle)? };
            }
            arguments.memory().for_each(|handle| self.touch(handle));
        }
        // SAFETY: the caller's promise.
        unsafe { self.enqueue(key, groups, items, arguments) }
    }

    unsafe fn enqueue(
        &self,
        key: Key,
        groups: [usize; 2],
        items: usize,
        arguments: &Arguments,
    ) -> Result<()> {
        let mut programs = self.programs();
        let kernel = programs.get(&self.driver, &key)?;
        // SAFETY: the caller's promise: the arguments are those of the kernel, and the memory is alive.
        unsafe { self.driver.launch(kernel, groups, items, arguments.as_slice()) }
    }

    /// Groups for kernels that go through rows by vectors and through columns: each item one vector or, on a CPU, a share
    /// of the matrix.
    fn grid(&self, rows: usize, columns: usize, items: usize) -> [usize; 2] {
        const MOST: usize = 1 << 15;
        let groups = rows.div_ceil(items * self.width());
        if !self.traits().is_cpu {
            return [groups.min(MOST), columns.min(MOST)];
        }
        let shares = (rows * columns).div_ceil(SHARE).min(2 * self.traits().units);
        let across = shares.min(columns);
        [(shares / across).clamp(1, groups), across]
    }

    fn real(&self, x: f64) -> Argument {
        if size_of::<T>() == 8 { Argument::Double(x) } else { Argument::Single(x as f32) }
    }

    fn push_parameters(&self, arguments: &mut Arguments, p: [f64; 4]) {
        p.into_iter().for_each(|p| arguments.push(self.real(p)));
    }

    /// Number of rows or columns as the kernels count.
    fn int(&self, count: usize) -> Result<Argument> {
        if count <= MOST_COUNT {
            return Ok(Argument::Int(count as i32));
        }
        let reason = format!("{count} rows or columns; the kernels count up to {MOST_COUNT}");
        Err(Error::argument("launch", reason))
    }

    /// `z = f(x)` or `z = f(x, y)`
    unsafe fn elements(
        &self,
        f: &'static str,
        p: [f64; 4],
        x: Span,
        y: Option<Span>,
        z: Span,
    ) -> Result<()> {
        // SAFETY: the caller's promise.
        unsafe { self.elements_stored(f, p, x, y, z, Store::Plain) }
    }

    /// The same, stored as it says; operands are read where they are up to date.
    unsafe fn elements_stored(
        &self,
        f: &'static str,
        p: [f64; 4],
        x: Span,
        y: Option<Span>,
        z: Span,
        store: Store,
    ) -> Result<()> {
        // SAFETY: the caller's promise.
        let (copies, store) =
            unsafe { ([self.copy_of(x)?, self.copy_of(y.unwrap_or(x))?], self.prepare(z, store)?) };
        let mut spans = [x, y.unwrap_or(x), z];
        straighten(&mut spans);
        let items = self.items(256);
        let operands = 1 + usize::from(y.is_some());
        let mut key = self
            .key(Text::Elements, "elements", self.width(), items)
            .with(&[("OPERANDS", operands)])
            .with_function("formula", operands, f);
        let mut arguments = Arguments::new();
        arguments.push(self.int(spans[2].rows)?);
        arguments.push(self.int(spans[2].columns)?);
        self.push_parameters(&mut arguments, p);
        for (span, copy) in spans.into_iter().zip(copies).take(operands) {
            arguments.push_span(Span { offset: copy.unwrap_or(0) + span.offset, ..span });
        }
        arguments.push_span(spans[2]);
        if let Some(halves) = &self.halves {
            let from_copies = copies
                .iter()
                .take(operands)
                .enumerate()
                .map(|(i, copy)| usize::from(copy.is_some()) << i);
            key = key.with(&[("READ_HALVES", from_copies.sum()), ("F16", halves.is_f16())]);
        }
        if let (Some(start), Store::Both | Store::Copy) = (self.start_of_copy(z), store) {
            key = key.with(&[("HALVES", if store == Store::Copy { 2 } else { 1 })]);
            arguments.push(Argument::Memory(z.handle));
            arguments.push(Argument::Index((start + spans[2].offset) as i64));
        }
        // SAFETY: the caller's promise; what is read is up to date, and what is written is told.
        unsafe {
            self.enqueue(key, self.grid(spans[2].rows, spans[2].columns, items), items, &arguments)?
        };
        self.stored(z, store);
        Ok(())
    }
}

/// Makes rows of what lies side by side, and one column of what has no gaps.
fn straighten(spans: &mut [Span]) {
    let side_by_side = |span: &Span| span.row_stride == 1;
    if spans[0].rows == 1
        || !spans.iter().all(side_by_side) && spans.iter().all(|span| span.column_stride == 1)
    {
        spans.iter_mut().for_each(|span| *span = span.t());
    }
    let whole =
        |span: &Span| span.columns == 1 || side_by_side(span) && span.column_stride == span.rows;
    let count = spans[0].rows * spans[0].columns;
    if spans.iter().all(whole) && count <= MOST_COUNT {
        spans.iter_mut().for_each(|span| (span.rows, span.columns) = (count, 1));
    }
}

impl<T: Scalar, D: Driver> Drop for Gpu<T, D> {
    fn drop(&mut self) {
        // SAFETY: nothing uses the accumulators any more.
        unsafe { self.driver.free(*self.chunks()) }
    }
}

impl<T: Scalar, D: Driver> super::interface::Sealed for Gpu<T, D> {}

#[allow(
    clippy::undocumented_unsafe_blocks,
    reason = "every block does what the trait's method promises with what its caller promises"
)]
impl<T: Scalar, D: Driver> Engine<T> for Gpu<T, D> {
    fn device(&self) -> &Device {
        &self.device
    }

    fn peak_flops(&self) -> Option<f64> {
        self.measure_peak().ok()
    }

    fn tune(&self) -> Result<Vec<TunedTile>> {
        self.tune_and_tell()
    }

    fn allocate(&self, bytes: usize) -> Result<Handle> {
        self.allocate_with_copy(bytes)
    }

    unsafe fn free(&self, handle: Handle, _bytes: usize) {
        self.forget_copy(handle);
        unsafe { self.driver.free(handle) }
    }

    unsafe fn write(&self, from: &[T], to: Span) -> Result<()> {
        unsafe { self.settle(to.handle)? };
        self.touch(to.handle);
        unsafe { transfer::write(&self.driver, from, to) }
    }

    unsafe fn read(&self, from: Span, to: &mut [T]) -> Result<()> {
        unsafe { self.settle(from.handle)? };
        unsafe { transfer::read(&self.driver, from, to) }
    }

    unsafe fn write_indices(&self, from: &[u32], to: Handle) -> Result<()> {
        let width = size_of_val(from);
        unsafe {
            self.driver.write(
                from.as_ptr().cast(),
                Rectangle { handle: to, offset: 0, width, rows: 1, pitch: width },
            )
        }
    }

    fn synchronize(&self) -> Result<()> {
        self.driver.finish()
    }

    fn begin_step(&self) {
        self.driver.begin_step();
    }

    fn end_step(&self) -> Result<()> {
        self.driver.end_step()
    }

    unsafe fn map(&self, f: &'static Map, p: [f64; 4], x: Span, y: Span) -> Result<()> {
        unsafe { self.elements(f.kernel, p, x, None, y) }
    }

    unsafe fn zip(&self, f: &'static Zip, p: [f64; 4], x: Span, y: Span, z: Span) -> Result<()> {
        unsafe { self.elements(f.kernel, p, x, Some(y), z) }
    }

    unsafe fn uniform(&self, stream: &Philox, to: Span) -> Result<()> {
        let items = self.items(256);
        let mut arguments = Arguments::new();
        arguments.push(self.int(to.rows)?);
        arguments.push(self.int(to.columns)?);
        stream.state().into_iter().for_each(|word| arguments.push(Argument::Int(word as i32)));
        arguments.push_span(to);
        let key = self.key(Text::Random, "uniform", 1, items);
        unsafe { self.launch(key, self.grid(to.rows, to.columns, items), items, &arguments) }
    }

    unsafe fn gemm(&self, alpha: T, a: Span, b: Span, beta: T, c: Span) -> Result<()> {
        let (alpha, beta) = (alpha.to_f64(), beta.to_f64());
        let turned = c.row_stride != 1 && c.column_stride == 1;
        let (a, b, c) = if turned { (b.t(), a.t(), c.t()) } else { (a, b, c) };
        unsafe { self.product(&product::Call::plain(alpha, a, b, beta, c)) }
    }

    unsafe fn row_sums(&self, alpha: T, x: Span, beta: T, y: Span) -> Result<()> {
        let (items, width) = (self.items(64), self.width());
        let mut arguments = Arguments::new();
        arguments.push(self.int(x.rows)?);
        arguments.push(self.int(x.columns)?);
        arguments.push(self.real(alpha.to_f64()));
        arguments.push(self.real(beta.to_f64()));
        let copy = unsafe { self.copy_of(x)? };
        arguments.push_span(Span { offset: copy.unwrap_or(0) + x.offset, ..x });
        arguments.push_vector(y, y.row_stride);
        let mut key =
            self.key(Text::Sums, "row_sums", width, items).with(&[("CHUNKS", CHUNKS), ("KIND", 0)]);
        if let (Some(halves), Some(_)) = (&self.halves, copy) {
            key = key.with(&[("READ_HALVES", 1), ("F16", halves.is_f16())]);
        }
        unsafe {
            self.settle(y.handle)?;
            self.touch(y.handle);
            self.enqueue(key, [x.rows.div_ceil(width), 1], items, &arguments)
        }
    }

    unsafe fn reduce(&self, reduction: Reduction, x: Span, y: Span) -> Result<f64> {
        let items = self.items(64);
        let y = if reduction == Reduction::Dot { y } else { x };
        let mut spans = [x, y];
        straighten(&mut spans);
        let [x, y] = spans;
        let mut arguments = Arguments::new();
        arguments.push(self.int(x.rows)?);
        arguments.push(self.int(x.columns)?);
        arguments.push_span(x);
        arguments.push_span(y);
        let chunks = self.chunks();
        arguments.push(Argument::Memory(*chunks));
        let kind = reduction as usize;
        let key =
            self.key(Text::Sums, "reduce", 1, items).with(&[("CHUNKS", CHUNKS), ("KIND", kind)]);
        unsafe { self.launch(key, [CHUNKS, 1], items, &arguments)? };
        let numbers = if self.traits().fp64 {
            unsafe { transfer::read_numbers::<f64, D>(&self.driver, *chunks, CHUNKS)? }
        } else {
            let numbers =
                unsafe { transfer::read_numbers::<f32, D>(&self.driver, *chunks, CHUNKS)? };
            numbers.into_iter().map(f64::from).collect()
        };
        Ok(numbers.into_iter().fold(0.0, |total, x| match reduction {
            Reduction::Dot | Reduction::Asum => total + x,
            Reduction::Amax => {
                if x > total || x.is_nan() {
                    x
                } else {
                    total
                }
            }
        }))
    }

    unsafe fn gather(
        &self,
        from: Span,
        indices: Handle,
        from_index: usize,
        to: Span,
        _next: usize,
    ) -> Result<()> {
        let items = self.items(64);
        let mut arguments = Arguments::new();
        arguments.push(self.int(to.rows)?);
        arguments.push(self.int(to.columns)?);
        arguments.push(Argument::Memory(indices));
        arguments.push(Argument::Index(from_index as i64));
        arguments.push_span(from);
        arguments.push_span(to);
        let key = self.key(Text::Gather, "gather", self.width(), items);
        unsafe { self.launch(key, self.grid(to.rows, to.columns, items), items, &arguments) }
    }

    unsafe fn dense_forward(&self, call: &DenseForward) -> Result<()> {
        let DenseForward { weights, input, bias, transfer, z, output, rounds, trains, .. } = *call;
        let sum = z.unwrap_or(output);
        let plain = product::Call::plain(1.0, weights, input, 0.0, sum);
        let form = match transfer {
            Transfer::Map(f, p) => product::Form::Map { f, p, out: output, keeps_c: z.is_some() },
            _ => product::Form::Plain,
        };
        unsafe {
            self.product(&product::Call { bias: Some(bias), form, rounds, trains, ..plain })?;
            match transfer {
                Transfer::Map(..) => Ok(()),
                Transfer::Identity if sum == output => Ok(()),
                Transfer::Identity => self.elements("x", [0.0; 4], sum, None, output),
                Transfer::Softmax if sum.row_stride == 1 => self.softmax(sum, output),
                Transfer::Softmax => {
                    self.elements("x", [0.0; 4], sum, None, output)?;
                    self.softmax(output, output)
                }
            }
        }
    }

    unsafe fn dense_propagate(
        &self,
        weights: Span,
        delta: Span,
        derivative: Derivative,
        out: Span,
    ) -> Result<()> {
        let plain = product::Call::plain(1.0, weights.t(), delta, 0.0, out);
        let rounded = product::Call { rounds: true, ..plain };
        unsafe {
            match derivative {
                Derivative::One => self.product(&rounded),
                Derivative::Zip(f, p, kept) => self
                    .product(&product::Call { form: product::Form::Zip { f, p, kept }, ..rounded }),
                Derivative::Softmax(a) => {
                    self.product(&plain)?;
                    self.softmax_derivative(a, out)
                }
            }
        }
    }

    unsafe fn dense_gradient(&self, call: &DenseGradient) -> Result<()> {
        let DenseGradient { delta, input, weights, bias, scale, keep } = *call;
        let plain =
            product::Call::plain(scale / delta.columns as f64, delta, input.t(), keep, weights);
        unsafe { self.product(&product::Call { sums: Some(bias), ..plain }) }
    }

    fn takes_network(&self, sizes: &[usize], samples: usize, trains: bool) -> bool {
        self.network_plan(sizes, samples, trains).is_some()
    }

    unsafe fn network_forward(&self, call: &NetworkForward<'_>) -> Result<()> {
        unsafe { self.infer_network(call) }
    }

    unsafe fn network_step(&self, call: &NetworkStep<'_>) -> Result<()> {
        unsafe { self.train_network(call) }
    }

    unsafe fn normalize(&self, call: &Normalize) -> Result<()> {
        unsafe { self.normalize_matrix(call) }
    }

    unsafe fn normalize_propagate(&self, call: &NormalizePropagate) -> Result<()> {
        unsafe { self.normalize_back(call) }
    }

    unsafe fn row_dots(&self, alpha: T, x: Span, y: Span, beta: T, sums: Span) -> Result<()> {
        unsafe { self.row_dots_of(alpha.to_f64(), x, y, beta.to_f64(), sums) }
    }

    unsafe fn update(&self, call: &UpdateCall) -> Result<()> {
        unsafe { self.update_elements(call) }
    }

    unsafe fn squares(&self, x: Span, sums: Span) -> Result<()> {
        unsafe { self.squares_of_shares(x, sums) }
    }

    unsafe fn loss(&self, call: &LossCall) -> Result<()> {
        unsafe { self.loss_of_columns(call) }
    }

    unsafe fn hits(&self, output: Span, target: Span, threshold: T, hits: Span) -> Result<()> {
        unsafe { self.hits_of_columns(output, target, threshold.to_f64(), hits) }
    }
}
