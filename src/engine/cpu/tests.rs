//! Every loop of the engine against plain f64 code, on every instruction set that the machine has.

#![allow(
    clippy::undocumented_unsafe_blocks,
    reason = "spans describe grids, which outlive the calls; instruction sets are asked for"
)]

use super::*;

mod dense;
mod elements;
mod gemm;
mod loss;
mod math;
mod normalize;
mod reference;

/// The instruction sets that this machine has. Says so, and fails where `TRAVERTINE_ENSURE_ISA` names one that it has
/// not, so that a test on a smaller machine does not pass by doing nothing.
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

fn engine<T: Scalar>(isa: Isa, threads: usize) -> Arc<dyn Engine<T>> {
    open_isa(isa, Machine::at_hand(isa), &Settings::threads(threads)).unwrap()
}

/// Machines that copy seldom and often, with little and much room in the second cache: an engine for each.
fn engines_for_machines<T: Scalar>(isa: Isa, threads: usize) -> Vec<Arc<dyn Engine<T>>> {
    let machines = [(true, 1 << 20), (false, 2 << 20), (false, 96 << 10)];
    let open = |(halves_vectors, second_cache)| {
        let machine = Machine { halves_vectors, second_cache, samples_to_share: 8 };
        open_isa(isa, machine, &Settings::threads(threads)).unwrap()
    };
    machines.map(open).into()
}

/// Half a unit in the last place of 1.
fn epsilon<T: Scalar>() -> f64 {
    if size_of::<T>() == 4 { f64::from(f32::EPSILON) / 2.0 } else { f64::EPSILON / 2.0 }
}

/// Numbers from -1 to 1, the same every time.
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> f64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as f64 / f64::from(1 << 30) - 1.0
    }
}

/// How a matrix lies in its memory.
#[derive(Clone, Copy, Debug)]
enum Lie {
    /// Column after column.
    Columns,
    /// Row after row.
    Rows,
    /// Column after column, with an offset and a gap.
    Gaps,
    /// No two elements side by side.
    Sparse,
    /// No two elements side by side, rows closer than columns.
    SparseRows,
}

/// A matrix in memory of its own, with guard values wherever it is not.
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
        lie: Lie,
        mut value: impl FnMut(usize, usize) -> f64,
    ) -> Grid<T> {
        let (offset, row, column) = match lie {
            Lie::Columns => (0, 1, rows),
            Lie::Rows => (0, columns, 1),
            Lie::Gaps => (5, 1, rows + 3),
            Lie::Sparse => (3, 2, 2 * rows + 1),
            Lie::SparseRows => (1, 3 * columns + 2, 3),
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

    fn noise(rows: usize, columns: usize, lie: Lie, seed: u64) -> Grid<T> {
        let mut noise = Noise(seed);
        Grid::new(rows, columns, lie, |_, _| noise.next())
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
            // What was here before is not to be seen next time.
            values.fill(1);
            unsafe { engine.free(memory, bytes) };
        }
    }
}
