//! The innermost loops of the matrix product: a tile of C in registers.
//!
//! # Method
//!
//! 1. Prefetch C, if the loop is so long that C arrives before it is needed.
//! 2. For each step of k: load a column of the panel of A (`M` vectors), broadcast each of the `N` elements of the row of B, multiply and add. All
//!    `M x N` sums stay in registers. The step also prefetches A a few steps ahead, and one cache line of the next panels.
//! 3. Scale the sums by alpha, add beta C and the bias, and store them.
//!
//! There is a kernel for each number of vectors and columns, for full and partial vectors, and for the layout of B, so that the loop has no
//! branches. Instruction sets with fewer registers have narrower tiles.

use std::hint::black_box;

use crate::engine::cpu::memory::LINE_BYTES;
use crate::engine::simd::{Isa, Vector, Vectors, isa_functions};
use crate::scalar::{Family, Scalar};

/// Vectors in the height of a tile.
const VECTORS: usize = 2;
/// Columns of the widest tile of any instruction set.
const MAX_COLUMNS: usize = 12;
/// Elements of the largest tile of any instruction set: two vectors of 16 lanes high.
pub(super) const MAX_TILE: usize = 32 * MAX_COLUMNS;

/// The operands of one tile: `C = alpha A B + beta C + bias 1^T`, with A `rows x k` and B `k x columns`; the kernel determines the number of
/// columns. Rows of A and C are contiguous. Distances are in elements.
pub(super) struct Tile<T> {
    pub k: usize,
    pub a: *const T,
    /// Distance between columns of A.
    pub a_column: usize,
    /// What to prefetch: one cache line in each step of k, `prefetch_step` apart.
    pub prefetch: *const T,
    /// Distance between the prefetched lines.
    pub prefetch_step: usize,
    pub b: *const T,
    /// Distance between rows of B.
    pub b_row: usize,
    /// Distance between columns of B.
    pub b_column: usize,
    /// Not read if beta is 0.
    pub c: *mut T,
    /// Distance between columns of C.
    pub c_column: usize,
    pub rows: usize,
    pub alpha: T,
    pub beta: T,
    /// `rows` elements, or null.
    pub bias: *const T,
}

/// Steps of k that A is prefetched ahead, which is in the L2 cache. This brought 2 to 7 % on an Intel Xeon.
const PREFETCH_STEPS: usize = 8;
/// Steps of k from which on prefetching C pays.
const MIN_STEPS_TO_PREFETCH_C: usize = 64;

pub(super) type TileKernel<T> = unsafe fn(&Tile<T>);

/// The kernels of one instruction set.
#[derive(Clone, Copy)]
pub(super) struct Tiles<T> {
    /// Elements in a vector.
    lanes: usize,
    /// Columns of the widest tile.
    pub columns: usize,
    /// Indexed by height in vectors, by columns, by whether the rows fill the vectors, and by whether the columns of B are adjacent
    /// (`b_column` is 1).
    kernels: [[[[TileKernel<T>; 2]; 2]; MAX_COLUMNS]; VECTORS],
}

impl<T: Scalar> Tiles<T> {
    pub(super) fn new(isa: Isa) -> Tiles<T> {
        T::pick::<Tiles<f32>>(tiles(isa), tiles(isa))
    }

    /// Rows of the highest tile.
    pub(super) fn rows(&self) -> usize {
        VECTORS * self.lanes
    }

    /// # Safety
    /// A, B and the bias are readable and C is writable in the shapes and distances of `tile`; `1 <= rows <= self.rows()`; `1 <= columns <=
    /// self.columns`; the machine has the instruction set. Prefetched addresses may be any.
    #[inline]
    pub(super) unsafe fn run(&self, columns: usize, tile: &Tile<T>) {
        let height = tile.rows.div_ceil(self.lanes);
        let full = tile.rows == height * self.lanes;
        let kernel = self.kernels[height - 1][columns - 1][usize::from(full)]
            [usize::from(tile.b_column == 1)];
        // SAFETY: the caller's promise; the kernel is the one of this height and width.
        unsafe { kernel(tile) }
    }
}

impl Family for Tiles<f32> {
    type Of<T: Scalar> = Tiles<T>;
}

fn tiles<T: Vectors>(isa: Isa) -> Tiles<T> {
    macro_rules! kernels {
        ($f:ident: $($n:literal)*) => {
            [
                [$(kernels!($f 1 $n)),*],
                [$(kernels!($f 2 $n)),*],
            ]
        };
        ($f:ident $m:literal $n:literal) => {
            [[$f::<T, $m, $n, false, false>, $f::<T, $m, $n, false, true>],
             [$f::<T, $m, $n, true, false>, $f::<T, $m, $n, true, true>]]
        };
    }
    // The last kernels of a narrower instruction set repeat, since its `columns` never selects them.
    match isa {
        #[cfg(target_arch = "aarch64")]
        Isa::Neon => Tiles {
            lanes: T::Neon::LANES,
            columns: 6,
            kernels: kernels!(tile_neon: 1 2 3 4 5 6 6 6 6 6 6 6),
        },
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2 => Tiles {
            lanes: T::Avx2::LANES,
            columns: 6,
            kernels: kernels!(tile_avx2: 1 2 3 4 5 6 6 6 6 6 6 6),
        },
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512 => Tiles {
            lanes: T::Avx512::LANES,
            columns: 12,
            kernels: kernels!(tile_avx512: 1 2 3 4 5 6 7 8 9 10 11 12),
        },
        _ => Tiles {
            lanes: T::Portable::LANES,
            columns: 3,
            kernels: kernels!(tile_portable: 1 2 3 3 3 3 3 3 3 3 3 3),
        },
    }
}

isa_functions!(tile_portable tile_neon tile_avx2 tile_avx512 = registers [] [M: usize, N: usize, FULL: bool, UNIT: bool]
    (tile: &Tile<T>));

/// A tile of `M` vectors by `N` columns. `FULL`: the rows fill the vectors. `UNIT`: the columns of B are adjacent.
#[inline(always)]
unsafe fn registers<
    V: Vector,
    const M: usize,
    const N: usize,
    const FULL: bool,
    const UNIT: bool,
>(
    tile: &Tile<V::T>,
) {
    if tile.k >= MIN_STEPS_TO_PREFETCH_C {
        for j in 0..N {
            let c = tile.c.wrapping_add(j * tile.c_column);
            (0..M).for_each(|v| V::prefetch(c.wrapping_add(v * V::LANES)));
            V::prefetch(c.wrapping_add(tile.rows - 1));
        }
    }
    // The place of column j is an odd multiple of the distance between columns times a power of 2, which is part of a load's address: the
    // loop adds nothing. `black_box` keeps the compiler from computing the multiples by additions in the loop. Products gained 3 to 7 % on an
    // Intel Xeon, probably because additions share the units of multiplications there.
    let odd: [usize; MAX_COLUMNS / 2] = std::array::from_fn(|i| match 2 * i + 1 {
        multiple if UNIT => multiple,
        multiple if multiple < N => black_box(multiple * tile.b_column),
        _ => 0,
    });
    let column = |j: usize| {
        if j == 0 { 0 } else { odd[(j >> j.trailing_zeros()) / 2] << j.trailing_zeros() }
    };
    let mut sums = [[V::of(0.0); M]; N];
    let (mut a, mut b, mut prefetch) = (tile.a, tile.b, tile.prefetch);
    for _ in 0..tile.k {
        V::prefetch_l2(prefetch);
        for v in (0..M * V::LANES).step_by(LINE_BYTES / size_of::<V::T>()) {
            V::prefetch(a.wrapping_add(PREFETCH_STEPS * tile.a_column + v));
        }
        // SAFETY: step l of k reads `rows` elements of column l of A, see `Tiles::run`.
        let rows: [V; M] = std::array::from_fn(|v| unsafe { load::<V, M, FULL>(a, tile.rows, v) });
        for (j, sums) in sums.iter_mut().enumerate() {
            // SAFETY: column j of this row of B is readable, see `Tiles::run`.
            let b = V::splat(unsafe { *b.add(column(j)) });
            for (sum, row) in sums.iter_mut().zip(rows) {
                *sum = row.mul_add(b, *sum);
            }
        }
        a = a.wrapping_add(tile.a_column);
        prefetch = prefetch.wrapping_add(tile.prefetch_step);
        b = b.wrapping_add(tile.b_row);
    }
    // The bias is tested once, not for each column.
    // SAFETY: C is writable and the bias has `rows` elements, see `Tiles::run`.
    unsafe {
        if tile.bias.is_null() {
            finish::<V, M, N, FULL>(tile, sums, false);
        } else {
            finish::<V, M, N, FULL>(tile, sums, true);
        }
    }
}

/// `C = alpha sums + beta C`, and the bias.
#[inline(always)]
unsafe fn finish<V: Vector, const M: usize, const N: usize, const FULL: bool>(
    tile: &Tile<V::T>,
    sums: [[V; M]; N],
    has_bias: bool,
) {
    let (alpha, beta) = (V::splat(tile.alpha), V::splat(tile.beta));
    let reads_c = tile.beta != V::T::from_f64(0.0);
    for (j, mut values) in sums.into_iter().enumerate() {
        let c = tile.c.wrapping_add(j * tile.c_column);
        for (v, value) in values.iter_mut().enumerate() {
            *value = *value * alpha;
            // SAFETY: C and the bias have `rows` readable elements in each column, see `Tiles::run`.
            unsafe {
                if reads_c {
                    *value = load::<V, M, FULL>(c, tile.rows, v).mul_add(beta, *value);
                }
                if has_bias {
                    *value = *value + load::<V, M, FULL>(tile.bias, tile.rows, v);
                }
            }
        }
        for (v, value) in values.into_iter().enumerate() {
            // SAFETY: column j of C is writable, see `Tiles::run`.
            unsafe { store::<V, M, FULL>(value, c, tile.rows, v) }
        }
    }
}

/// The first row of vector v of `rows`. If the rows do not fill the last vector, it begins earlier and overlaps the vector before it, and the
/// shared rows are computed twice. A masked store of one column of C would delay the load of the next column (30 rows, batch 10: 16.5 instead
/// of 12.1 us a step).
#[inline(always)]
fn row<V: Vector, const M: usize, const FULL: bool>(rows: usize, v: usize) -> usize {
    if FULL || v + 1 < M { v * V::LANES } else { rows - V::LANES.min(rows) }
}

/// Vector v of a column.
///
/// # Safety
/// `rows` elements are readable, which need `M` vectors, and fill them if `FULL`.
#[inline(always)]
pub(super) unsafe fn load<V: Vector, const M: usize, const FULL: bool>(
    column: *const V::T,
    rows: usize,
    v: usize,
) -> V {
    // SAFETY: the vector is within `rows` elements, see `row`; partial vectors are loaded and stored as such.
    unsafe {
        let p = column.add(row::<V, M, FULL>(rows, v));
        if FULL || M > 1 { V::load(p) } else { V::load_partial(p, rows) }
    }
}

/// Writes vector v of a column.
///
/// # Safety
/// `rows` elements are writable, which need `M` vectors, and fill them if `FULL`.
#[inline(always)]
pub(super) unsafe fn store<V: Vector, const M: usize, const FULL: bool>(
    value: V,
    column: *mut V::T,
    rows: usize,
    v: usize,
) {
    // SAFETY: the vector is within `rows` elements, see `row`; partial vectors are loaded and stored as such.
    unsafe {
        let p = column.add(row::<V, M, FULL>(rows, v));
        if FULL || M > 1 { value.store(p) } else { value.store_partial(p, rows) }
    }
}
