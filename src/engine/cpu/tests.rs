//! Every loop of the engine against plain f64 code, on every instruction set that the machine has.

#![allow(
    clippy::undocumented_unsafe_blocks,
    reason = "spans describe grids, which outlive the calls; only instruction sets of this machine are used"
)]

use std::sync::Arc;

use super::cpu_engine::CpuEngine;
use super::cpuid::Cpu;
use crate::engine::call::{
    DenseForward, DenseGradient, Derivative, LossCall, LossFormula, Reduction, Transfer,
};
use crate::engine::formula::{Map, Zip};
use crate::engine::interface::Engine;
use crate::engine::memory::{Handle, Span};
use crate::engine::simd::Isa;
use crate::scalar::Scalar;

mod dense;
mod elements;
mod embedding;
mod gemm;
mod loss;
mod math;
mod normalize;
mod reference;
mod streams;

/// The instruction sets of this machine. Prints them, and fails if `TRAVERTINE_ENSURE_ISA` names another one, so that a test on a
/// smaller machine does not pass by testing nothing.
fn isas() -> Vec<Isa> {
    let isas: Vec<Isa> = Isa::ALL.into_iter().filter(|isa| isa.is_available()).collect();
    let names: Vec<&str> = isas.iter().map(|isa| isa.name()).collect();
    eprintln!("instruction sets: {}", names.join(", "));
    if let Ok(name) = std::env::var("TRAVERTINE_ENSURE_ISA") {
        assert!(
            names.contains(&name.as_str()),
            "TRAVERTINE_ENSURE_ISA is {name}, the machine has {names:?}"
        );
    }
    isas
}

fn cpu_engine<T: Scalar>(isa: Isa, cpu: Cpu, threads: usize) -> Arc<CpuEngine<T>> {
    Arc::new(CpuEngine::new(isa, cpu, Some(threads)).unwrap())
}

fn engine<T: Scalar>(isa: Isa, threads: usize) -> Arc<dyn Engine<T>> {
    cpu_engine(isa, Cpu::detect(isa), threads)
}

/// Engines for processors with both packing thresholds and with small and large L2 caches.
fn engines_for_processors<T: Scalar>(isa: Isa, threads: usize) -> Vec<Arc<dyn Engine<T>>> {
    let processors = [(true, 1 << 20), (false, 2 << 20), (false, 96 << 10)];
    let open = |(avx512_is_double_pumped, l2_bytes)| -> Arc<dyn Engine<T>> {
        cpu_engine(isa, Cpu { avx512_is_double_pumped, l2_bytes, min_samples_to_share: 8 }, threads)
    };
    processors.map(open).into()
}

/// Half a unit in the last place of 1.
fn epsilon<T: Scalar>() -> f64 {
    if size_of::<T>() == 4 { f64::from(f32::EPSILON) / 2.0 } else { f64::EPSILON / 2.0 }
}

/// Pseudorandom numbers from -1 to 1, the same in every run.
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> f64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as f64 / f64::from(1 << 30) - 1.0
    }
}

/// The layout of a matrix in its memory.
#[derive(Clone, Copy, Debug)]
enum Layout {
    /// Column after column.
    Columns,
    /// Row after row.
    Rows,
    /// Column after column, with an offset and a gap.
    Gaps,
    /// No two elements adjacent.
    Sparse,
    /// No two elements adjacent; elements of a row closer than those of a column.
    SparseRows,
}

/// A matrix in its own memory, with guard values between and behind its elements.
#[derive(Clone)]
struct Grid<T> {
    memory: Vec<T>,
    offset: usize,
    rows: usize,
    columns: usize,
    row: usize,
    column: usize,
}

const GUARD: f64 = 12345.0;

impl<T: Scalar> Grid<T> {
    fn new(
        rows: usize,
        columns: usize,
        layout: Layout,
        mut value: impl FnMut(usize, usize) -> f64,
    ) -> Grid<T> {
        let (offset, row, column) = match layout {
            Layout::Columns => (0, 1, rows),
            Layout::Rows => (0, columns, 1),
            Layout::Gaps => (5, 1, rows + 3),
            Layout::Sparse => (3, 2, 2 * rows + 1),
            Layout::SparseRows => (1, 3 * columns + 2, 3),
        };
        let length = offset + (rows - 1) * row + (columns - 1) * column + 1;
        // Guards behind the last element, too.
        let mut grid = Grid {
            memory: vec![T::from_f64(GUARD); length + 40],
            offset,
            rows,
            columns,
            row,
            column,
        };
        for j in 0..columns {
            for i in 0..rows {
                let index = grid.index(i, j);
                grid.memory[index] = T::from_f64(value(i, j));
            }
        }
        grid
    }

    fn noise(rows: usize, columns: usize, layout: Layout, seed: u64) -> Grid<T> {
        let mut noise = Noise(seed);
        Grid::new(rows, columns, layout, |_, _| noise.next())
    }

    fn index(&self, i: usize, j: usize) -> usize {
        self.offset + i * self.row + j * self.column
    }

    fn get(&self, i: usize, j: usize) -> f64 {
        self.memory[self.index(i, j)].to_f64()
    }

    fn span(&mut self) -> Span {
        Span {
            handle: Handle(self.memory.as_mut_ptr().cast()),
            offset: self.offset,
            rows: self.rows,
            columns: self.columns,
            row_stride: self.row,
            column_stride: self.column,
        }
    }

    /// Element after element, column by column.
    fn values(&self) -> Vec<f64> {
        (0..self.rows * self.columns).map(|n| self.get(n % self.rows, n / self.rows)).collect()
    }

    /// Asserts that every element is within `bound(i, j)` of `value(i, j)` and every guard is untouched.
    fn check(
        &self,
        what: &str,
        value: impl Fn(usize, usize) -> f64,
        bound: impl Fn(usize, usize) -> f64,
    ) {
        let mut inside = vec![false; self.memory.len()];
        for j in 0..self.columns {
            for i in 0..self.rows {
                inside[self.index(i, j)] = true;
                let (is, should, bound) = (self.get(i, j), value(i, j), bound(i, j));
                assert!(
                    (is - should).abs() <= bound,
                    "{what}: ({i}, {j}) is {is}, not {should} to within {bound:e}"
                );
            }
        }
        let touched =
            self.memory.iter().zip(inside).position(|(x, inside)| !inside && x.to_f64() != GUARD);
        assert_eq!(touched, None, "{what}: wrote outside of the matrix");
    }
}

#[test]
fn memory_is_zeroed_and_begins_at_lines_and_pages() {
    let engine = engine::<f32>(Isa::best(), 1);
    for (bytes, alignment) in
        [(4, 64), (4096, 4096), (1 << 20, 4096), (2 << 20, 2 << 20), ((5 << 20) + 4, 2 << 20)]
    {
        for _ in 0..2 {
            let memory = engine.allocate(bytes).unwrap();
            assert!((memory.0 as usize).is_multiple_of(alignment), "{bytes} bytes");
            let values = unsafe { std::slice::from_raw_parts_mut(memory.0.cast::<u8>(), bytes) };
            assert!(values.iter().all(|byte| *byte == 0), "{bytes} bytes");
            // The next allocation may get this memory, and must clear it.
            values.fill(1);
            unsafe { engine.free(memory, bytes) };
        }
    }
}
