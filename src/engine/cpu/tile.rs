//! The innermost loops of the matrix product: a tile of C held in registers.

use super::vector::{Isa, Vector, Vectors, isa_functions};
use crate::scalar::{Family, Scalar};

/// Vectors in the height of a tile.
const MV: usize = 2;
/// Columns of the widest tile of any instruction set.
const NR: usize = 12;
/// Room for the largest tile of any instruction set.
pub(super) const LARGEST_TILE: usize = 32 * NR;

/// One tile: `C = alpha A B + beta C + bias 1^T`, with A `rows x k` and B `k x columns`; the number of columns is that of
/// the kernel. Rows of A and C lie side by side.
pub(super) struct Tile<T> {
    pub k: usize,
    pub a: *const T,
    /// From a column of A to the next.
    pub a_column: usize,
    /// What to ask for beforehand: one cache line at each step of k, `a_column` apart.
    pub ahead: *const T,
    /// Elements from one step of k to the next there.
    pub ahead_step: usize,
    pub b: *const T,
    /// From a row of B to the next.
    pub b_row: usize,
    /// From a column of B to the next.
    pub b_column: usize,
    /// Not read where beta is 0.
    pub c: *mut T,
    /// From a column of C to the next.
    pub c_column: usize,
    pub rows: usize,
    pub alpha: T,
    pub beta: T,
    /// `rows` elements, or null.
    pub bias: *const T,
}

/// Steps of k from which on it pays to ask for C beforehand.
const LONG: usize = 64;

pub(super) type TileKernel<T> = unsafe fn(&Tile<T>);

/// The kernels of one instruction set.
#[derive(Clone, Copy)]
pub(super) struct Tiles<T> {
    /// Elements in a vector.
    lanes: usize,
    /// Columns of the widest tile.
    pub columns: usize,
    /// By height in vectors, by columns, by whether the rows fill the vectors, by whether columns of B lie side by side.
    kernels: [[[[TileKernel<T>; 2]; 2]; NR]; MV],
}

impl<T: Scalar> Tiles<T> {
    pub(super) fn new(isa: Isa) -> Tiles<T> {
        T::pick::<Tiles<f32>>(tiles(isa), tiles(isa))
    }

    /// Rows of the highest tile.
    pub(super) fn rows(&self) -> usize {
        MV * self.lanes
    }

    /// # Safety
    /// `tile` describes memory that may be read and written so; `1 <= rows <= self.rows()`, `1 <= columns <=
    /// self.columns`; the machine has the instruction set.
    #[inline]
    pub(super) unsafe fn run(&self, columns: usize, tile: &Tile<T>) {
        let height = tile.rows.div_ceil(self.lanes);
        let full = tile.rows == height * self.lanes;
        let kernel = self.kernels[height - 1][columns - 1][usize::from(full)][usize::from(tile.b_column == 1)];
        // SAFETY: the caller's promise.
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
    // An instruction set with fewer registers has narrower tiles; the table's last kernels are then never asked for.
    match isa {
        #[cfg(target_arch = "aarch64")]
        Isa::Neon => Tiles { lanes: T::Neon::LANES, columns: 6, kernels: kernels!(tile_neon: 1 2 3 4 5 6 6 6 6 6 6 6) },
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2 => Tiles { lanes: T::Avx2::LANES, columns: 6, kernels: kernels!(tile_avx2: 1 2 3 4 5 6 6 6 6 6 6 6) },
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512 => {
            Tiles { lanes: T::Avx512::LANES, columns: 12, kernels: kernels!(tile_avx512: 1 2 3 4 5 6 7 8 9 10 11 12) }
        }
        _ => Tiles { lanes: T::Portable::LANES, columns: 3, kernels: kernels!(tile_portable: 1 2 3 3 3 3 3 3 3 3 3 3) },
    }
}

isa_functions!(tile_portable tile_neon tile_avx2 tile_avx512 = registers [] [M: usize, N: usize, FULL: bool, UNIT: bool]
    (tile: &Tile<T>));

/// `M` vectors by `N` columns. `FULL`: the rows fill the vectors; `UNIT`: columns of B lie side by side.
#[inline(always)]
unsafe fn registers<V: Vector, const M: usize, const N: usize, const FULL: bool, const UNIT: bool>(tile: &Tile<V::T>) {
    // Rows that do not fill the last vector: it begins earlier, where there is another one before it, and what both have is
    // computed twice. A masked store would hold up the loads of the next column.
    let row = |v: usize| if FULL || v + 1 < M { v * V::LANES } else { tile.rows - V::LANES.min(tile.rows) };
    // SAFETY: the caller's promise about the tile.
    let load = |p: *const V::T, v: usize| unsafe {
        let p = p.add(row(v));
        if FULL || M > 1 { V::load(p) } else { V::load_partial(p, tile.rows) }
    };
    if tile.k >= LONG {
        // C comes from afar and is wanted in the end: by then it is here.
        for j in 0..N {
            let c = tile.c.wrapping_add(j * tile.c_column);
            (0..M).for_each(|v| V::prefetch(c.wrapping_add(v * V::LANES)));
            V::prefetch(c.wrapping_add(tile.rows - 1));
        }
    }
    let b_column = if UNIT { 1 } else { tile.b_column };
    let mut sums = [[V::of(0.0); M]; N];
    let (mut a, mut b, mut ahead) = (tile.a, tile.b, tile.ahead);
    for _ in 0..tile.k {
        V::prefetch_near(ahead);
        let rows: [V; M] = std::array::from_fn(|v| load(a, v));
        for (j, sums) in sums.iter_mut().enumerate() {
            // SAFETY: see above.
            let b = V::splat(unsafe { *b.add(j * b_column) });
            for (sum, row) in sums.iter_mut().zip(rows) {
                *sum = row.mul_add(b, *sum);
            }
        }
        a = a.wrapping_add(tile.a_column);
        ahead = ahead.wrapping_add(tile.ahead_step);
        b = b.wrapping_add(tile.b_row);
    }
    let (alpha, beta) = (V::splat(tile.alpha), V::splat(tile.beta));
    let reads_c = tile.beta != V::T::from_f64(0.0);
    for (j, mut values) in sums.into_iter().enumerate() {
        let c = tile.c.wrapping_add(j * tile.c_column);
        for (v, value) in values.iter_mut().enumerate() {
            *value = *value * alpha;
            if reads_c {
                *value = load(c, v).mul_add(beta, *value);
            }
            if !tile.bias.is_null() {
                *value = *value + load(tile.bias, v);
            }
        }
        for (v, value) in values.into_iter().enumerate() {
            // SAFETY: see above.
            unsafe {
                let c = c.add(row(v));
                if FULL || M > 1 { value.store(c) } else { value.store_partial(c, tile.rows) }
            }
        }
    }
}
