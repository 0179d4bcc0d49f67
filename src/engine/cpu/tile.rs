//! The innermost loops of the matrix product: a tile of C held in registers.

use std::hint::black_box;

use super::memory::LINE;
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

/// Steps of k that A is asked for beforehand: it comes from the second cache.
const SOON: usize = 8;
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
        let kernel = self.kernels[height - 1][columns - 1][usize::from(full)]
            [usize::from(tile.b_column == 1)];
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

/// `M` vectors by `N` columns. `FULL`: the rows fill the vectors; `UNIT`: columns of B lie side by side.
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
    if tile.k >= LONG {
        // C comes from afar and is wanted in the end: by then it is here.
        for j in 0..N {
            let c = tile.c.wrapping_add(j * tile.c_column);
            (0..M).for_each(|v| V::prefetch(c.wrapping_add(v * V::LANES)));
            V::prefetch(c.wrapping_add(tile.rows - 1));
        }
    }
    // Odd multiples of the distance between columns, which the compiler is not to see through: a load's address has a power of 2, and
    // nothing is left to be added in the loop. On Intel, where additions share units with multiplications, products gained 3 to 7 % by it.
    let odd: [usize; NR / 2] = std::array::from_fn(|i| match 2 * i + 1 {
        multiple if UNIT => multiple,
        multiple if multiple < N => black_box(multiple * tile.b_column),
        _ => 0,
    });
    let column = |j: usize| {
        if j == 0 { 0 } else { odd[(j >> j.trailing_zeros()) / 2] << j.trailing_zeros() }
    };
    let mut sums = [[V::of(0.0); M]; N];
    let (mut a, mut b, mut ahead) = (tile.a, tile.b, tile.ahead);
    for _ in 0..tile.k {
        V::prefetch_near(ahead);
        for v in (0..M * V::LANES).step_by(LINE / size_of::<V::T>()) {
            V::prefetch(a.wrapping_add(SOON * tile.a_column + v));
        }
        // SAFETY: the caller's promise about the tile.
        let rows: [V; M] = std::array::from_fn(|v| unsafe { load::<V, M, FULL>(a, tile.rows, v) });
        for (j, sums) in sums.iter_mut().enumerate() {
            // SAFETY: see above.
            let b = V::splat(unsafe { *b.add(column(j)) });
            for (sum, row) in sums.iter_mut().zip(rows) {
                *sum = row.mul_add(b, *sum);
            }
        }
        a = a.wrapping_add(tile.a_column);
        ahead = ahead.wrapping_add(tile.ahead_step);
        b = b.wrapping_add(tile.b_row);
    }
    // SAFETY: as above. Whether there is a bias is asked once, not for each column.
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
            // SAFETY: the caller's promise about the tile.
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
            // SAFETY: as above.
            unsafe { store::<V, M, FULL>(value, c, tile.rows, v) }
        }
    }
}

/// The first row of vector v of `rows`. Where they do not fill the last vector, it begins earlier if there is another one before it, and
/// what both have is computed twice: a masked store would hold up the loads of the next column.
#[inline(always)]
fn row<V: Vector, const M: usize, const FULL: bool>(rows: usize, v: usize) -> usize {
    if FULL || v + 1 < M { v * V::LANES } else { rows - V::LANES.min(rows) }
}

/// Vector v of a column.
///
/// # Safety
/// `rows` elements are readable; they need `M` vectors, and fill them if that is said.
#[inline(always)]
pub(super) unsafe fn load<V: Vector, const M: usize, const FULL: bool>(
    column: *const V::T,
    rows: usize,
    v: usize,
) -> V {
    // SAFETY: the caller's promise.
    unsafe {
        let p = column.add(row::<V, M, FULL>(rows, v));
        if FULL || M > 1 { V::load(p) } else { V::load_partial(p, rows) }
    }
}

/// Writes vector v of a column.
///
/// # Safety
/// As for [`load`], writable.
#[inline(always)]
pub(super) unsafe fn store<V: Vector, const M: usize, const FULL: bool>(
    value: V,
    column: *mut V::T,
    rows: usize,
    v: usize,
) {
    // SAFETY: the caller's promise.
    unsafe {
        let p = column.add(row::<V, M, FULL>(rows, v));
        if FULL || M > 1 { value.store(p) } else { value.store_partial(p, rows) }
    }
}
