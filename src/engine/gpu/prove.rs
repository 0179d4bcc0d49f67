//! Proving a kernel of products before its first use: it multiplies small matrices, and the result is compared with one of the host.
//!
//! Compilers of OpenCL drivers have returned wrong code without an error, some of them only now and then for the same text. The numbers are
//! multiples of an eighth, so that sums of their products are exact in any order, and a right kernel has no difference at all before its
//! formula. One of the products is long: Mesa 22.3 ends the loops of an item after 65,535 steps, whatever is left to do.

use std::time::{SystemTime, UNIX_EPOCH};

use super::device::Gpu;
use super::driver::Driver;
use super::measure::Buffer;
use super::product_call::{Blocking, Call, Output};
use super::program::Key;
use super::transfer;
use crate::engine::simd::Isa;
use crate::engine::{Span, unavailable};
use crate::error::Result;
use crate::scalar::Scalar;

/// Compilations of a kernel before it is refused.
const ATTEMPTS: usize = 4;
/// Steps of k at a time on a CPU device.
const CPU_SLICE: usize = 16;
/// Steps of k of the long product, and its tiles in a row on a CPU device: an item has more steps than 16 bits can count. Sums of as many
/// numbers are exact in f32.
const LONG: usize = 8195;
const LONG_TILES: usize = 16;
/// Units in the last place by which a formula may be apart, relative to 1 or the result.
const ULPS: f64 = 1000.0;

impl<T: Scalar, D: Driver> Gpu<T, D> {
    /// The kernel of a product: from the driver, and proved where [`Driver::PROVES`].
    pub(super) fn product_kernel(
        &self,
        key: &Key,
        call: &Call,
        blocking: &Blocking,
    ) -> Result<D::Kernel> {
        let source = key.source(D::DIALECT);
        if !D::PROVES {
            return self.driver.compile(&source, key.kernel);
        }
        if let Some(kernel) = self.driver.load(&source, key.kernel)
            && self.is_right(&kernel, call, blocking)?
        {
            return Ok(kernel);
        }
        for attempt in 0..ATTEMPTS {
            // Drivers keep compiled kernels too. One that has kept wrong ones, of earlier processes as well, does not know a new text.
            let text = match attempt {
                0 => source.clone(),
                _ => format!("{source}\n// Compiled again: {}", new_number()),
            };
            let kernel = self.driver.build(&text, key.kernel)?;
            if self.is_right(&kernel, call, blocking)? {
                self.driver.store(&source, &kernel);
                return Ok(kernel);
            }
        }
        let driver = self.device.driver.as_deref().unwrap_or("of unknown version");
        let reason = format!(
            "its driver compiles matrix products that give wrong numbers, {ATTEMPTS} times in a row ({}, driver {driver})",
            self.device.description
        );
        Err(unavailable(
            &self.device.name,
            reason,
            "use another device, or another version of its driver",
        ))
    }

    /// Proves a plain product in the place of a kernel that has no proof of its own.
    pub(super) fn prove_a_product(&self) -> Result<()> {
        if !D::PROVES {
            return Ok(());
        }
        let (ones, out) = (self.held(&[T::from_f64(1.0)])?, self.held(&[T::default()])?);
        let call = Call::plain(1.0, ones.span(1, 1), ones.span(1, 1), 0.0, out.span(1, 1));
        let (key, blocking) = self.product_plan(&self.tiles, &call);
        self.product_kernel(&key, &call, &blocking).map(drop)
    }

    /// Whether the kernel multiplies small matrices right: plain ones, transposed ones if it takes them, and long ones.
    fn is_right(&self, kernel: &D::Kernel, call: &Call, blocking: &Blocking) -> Result<bool> {
        let is_cpu = self.traits().is_cpu;
        let kinds: &[Kind] = match !is_cpu || blocking.panels > 0 {
            true => &[Kind::Plain, Kind::Turned, Kind::Long],
            false => &[Kind::Plain, Kind::Long],
        };
        for &kind in kinds {
            if !Case::<T>::new(self.width(), is_cpu, blocking, kind).is_right(self, kernel, call)? {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// A number that no other compilation has.
fn new_number() -> String {
    let time = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    format!("{}.{}", std::process::id(), time.as_nanos())
}

/// What a product proves.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// The edges of blocks.
    Plain,
    /// The same, with A and B transposed in memory.
    Turned,
    /// Sums of [`LONG`] products, and B's columns are all the same.
    Long,
}

/// Operands of a small product, column-major: a block and some rows and columns of the next.
struct Case<T> {
    m: usize,
    n: usize,
    k: usize,
    kind: Kind,
    blocking: Blocking,
    a: Vec<T>,
    b: Vec<T>,
    c: Vec<T>,
    bias: Vec<T>,
    kept: Vec<T>,
}

/// Multiples of an eighth in [-5/8, 5/8].
fn numbers<T: Scalar>(count: usize, seed: usize) -> Vec<T> {
    (0..count).map(|i| T::from_f64(((i * 7 + seed) % 11) as f64 / 8.0 - 0.625)).collect()
}

const ALPHA: f64 = 2.0;
const BETA: f64 = 0.5;

impl<T: Scalar> Case<T> {
    fn new(width: usize, is_cpu: bool, like: &Blocking, kind: Kind) -> Self {
        let [rows, columns] = like.tile.block(width);
        let is_long = kind == Kind::Long;
        let (block, slice) = match is_cpu {
            true => {
                let across = if is_long { LONG_TILES } else { 2 };
                let slice = if is_long { like.tile.slice } else { CPU_SLICE };
                ([rows * like.panels.clamp(1, 2), columns * across], slice)
            }
            false => ([rows, columns], like.tile.slice),
        };
        let (m, n, k) = match is_long {
            // A CPU's tile has all its rows and columns.
            true if is_cpu => (block[0], block[1], LONG),
            true => (5, 3, LONG),
            // Two slices and a rest.
            false => (block[0] + 5, block[1] + 3, 2 * slice + 3),
        };
        let groups = [m.div_ceil(block[0]), n.div_ceil(block[1])];
        let blocking = Blocking { block, groups, slice, ..*like };
        let (a, c) = (numbers(m * k, 1), numbers(m * n, 5));
        let b = if is_long { numbers(k, 4).repeat(n) } else { numbers(k * n, 4) };
        let (bias, kept) = (numbers(m, 3), numbers(m * n, 2));
        Case { m, n, k, kind, blocking, a, b, c, bias, kept }
    }

    fn is_right<D: Driver>(
        &self,
        gpu: &Gpu<T, D>,
        kernel: &D::Kernel,
        like: &Call,
    ) -> Result<bool> {
        let Case { m, n, k, kind, .. } = *self;
        let factor = |buffer: &Buffer<'_, T, D>, rows: usize, columns: usize| match kind {
            Kind::Turned => buffer.span(columns, rows).t(),
            Kind::Plain | Kind::Long => buffer.span(rows, columns),
        };
        let [a, b, c] = [gpu.held(&self.a)?, gpu.held(&self.b)?, gpu.held(&self.c)?];
        let [bias, kept, sums] =
            [gpu.held(&self.bias)?, gpu.held(&self.kept)?, gpu.held(&self.bias)?];
        let out = gpu.held(&self.c)?;
        let output = match like.output {
            Output::Plain => Output::Plain,
            Output::Map { f, p, keeps_c, .. } => Output::Map { f, p, out: out.span(m, n), keeps_c },
            Output::Zip { f, p, .. } => Output::Zip { f, p, kept: kept.span(m, n) },
        };
        let call = Call {
            bias: like.bias.map(|_| bias.span(m, 1)),
            sums: like.sums.map(|_| sums.span(m, 1)),
            output,
            ..Call::plain(ALPHA, factor(&a, m, k), factor(&b, k, n), BETA, c.span(m, n))
        };
        let arguments = gpu.product_arguments(&call, &self.blocking)?;
        let Blocking { groups, tile, .. } = self.blocking;
        // SAFETY: the arguments are those of the kernel, and their memory is alive until it has been read below.
        unsafe { gpu.driver.launch(kernel, groups, tile.items, arguments.as_slice())? };
        let read = |span: Span| -> Result<Vec<T>> {
            let mut values = vec![T::default(); span.rows * span.columns];
            // SAFETY: the span is all of a buffer that is alive.
            unsafe { transfer::read(&gpu.driver, span, &mut values)? };
            Ok(values)
        };
        let wanted = self.product(like.bias.is_some());
        let mut right = true;
        match like.output {
            Output::Plain => right &= read(call.c)? == wanted,
            Output::Map { f, p, keeps_c, .. } => {
                right &= !keeps_c || read(call.c)? == wanted;
                let mut mapped = wanted.clone();
                // SAFETY: both operands have as many elements; the portable loop runs on every CPU.
                unsafe {
                    f.host::<T>(Isa::Portable)(
                        wanted.len(),
                        &p.map(T::from_f64),
                        wanted.as_ptr(),
                        mapped.as_mut_ptr(),
                    );
                }
                right &= are_close(&read(out.span(m, n))?, &mapped);
            }
            Output::Zip { f, p, .. } => {
                let mut mapped = wanted.clone();
                // SAFETY: all operands have as many elements; the portable loop runs on every CPU.
                unsafe {
                    f.host::<T>(Isa::Portable)(
                        wanted.len(),
                        &p.map(T::from_f64),
                        wanted.as_ptr(),
                        self.kept.as_ptr(),
                        mapped.as_mut_ptr(),
                    );
                }
                right &= are_close(&read(call.c)?, &mapped);
            }
        }
        if let Some(sums) = call.sums {
            right &= read(sums)? == self.sums();
        }
        Ok(right)
    }

    fn element_a(&self, i: usize, l: usize) -> f64 {
        self.a[if self.kind == Kind::Turned { l + i * self.k } else { i + l * self.m }].to_f64()
    }

    fn element_b(&self, l: usize, j: usize) -> f64 {
        self.b[if self.kind == Kind::Turned { j + l * self.n } else { l + j * self.k }].to_f64()
    }

    /// `alpha A B + beta C`, and the bias.
    fn product(&self, has_bias: bool) -> Vec<T> {
        let mut wanted = Vec::with_capacity(self.m * self.n);
        let mut column = vec![0.0; self.m];
        for j in 0..self.n {
            if j == 0 || self.kind != Kind::Long {
                column.fill(0.0);
                for l in 0..self.k {
                    let y = self.element_b(l, j);
                    let terms = column.iter_mut().enumerate();
                    terms.for_each(|(i, sum)| *sum += self.element_a(i, l) * y);
                }
            }
            wanted.extend(column.iter().enumerate().map(|(i, sum)| {
                let bias = if has_bias { self.bias[i].to_f64() } else { 0.0 };
                T::from_f64(ALPHA * sum + BETA * self.c[i + j * self.m].to_f64() + bias)
            }));
        }
        wanted
    }

    /// `alpha A 1 + beta sums`, where the sums were the bias.
    fn sums(&self) -> Vec<T> {
        let row = |i: usize| (0..self.k).map(|l| self.element_a(i, l)).sum::<f64>();
        let sum = |i: usize| ALPHA * row(i) + BETA * self.bias[i].to_f64();
        (0..self.m).map(|i| T::from_f64(sum(i))).collect()
    }
}

/// Whether results of a formula agree but for rounding.
fn are_close<T: Scalar>(ours: &[T], wanted: &[T]) -> bool {
    let epsilon = if size_of::<T>() == 8 { f64::EPSILON } else { f64::from(f32::EPSILON) };
    ours.iter().zip(wanted).all(|(ours, wanted)| {
        let (ours, wanted) = (ours.to_f64(), wanted.to_f64());
        (ours - wanted).abs() <= ULPS * epsilon * (1.0 + wanted.abs())
            || ours.is_nan() && wanted.is_nan()
    })
}
