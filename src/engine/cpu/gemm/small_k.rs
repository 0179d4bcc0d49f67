//! Products with a small k, such as the gradients of small batches.
//!
//! # Method
//!
//! A panel of A with all its k columns stays in registers. C is loaded, updated and stored column by column, four columns at a time, because the
//! sums of one column are a chain of dependent additions. B is packed with a fixed row length, so that one register holds the place of all its rows.
//!
//! Subnormal elements of A count as 0: nearly trained networks have many in their gradients, and Intel's processors multiply them in
//! microcode.

use super::tile::{load, store};
use crate::engine::simd::{Isa, Vector, Vectors, isa_functions};
use crate::scalar::{Family, Scalar};

/// Vectors in the height of a panel of A.
const VECTORS: usize = 2;
/// The largest k of any instruction set.
pub(super) const MAX_K: usize = 12;
/// The largest number of columns of one call, and the row length of the packed B.
pub(super) const MAX_COLUMNS: usize = 48;
/// Columns of C that are computed together.
const COLUMNS_TOGETHER: usize = 4;

/// The operands of one panel: `C = alpha A B + beta C`, with A `rows x k` and B `k x columns`; the kernel determines k. Rows of A and C are
/// contiguous. Distances are in elements.
pub(super) struct SmallKPanel<T> {
    pub rows: usize,
    pub columns: usize,
    pub a: *const T,
    /// Distance between columns of A.
    pub a_column: usize,
    /// A packed copy with a row every [`MAX_COLUMNS`] elements.
    pub b: *const T,
    pub alpha: T,
    pub beta: T,
    /// Not read if beta is 0.
    pub c: *mut T,
    /// Distance between columns of C.
    pub c_column: usize,
}

type Kernel<T> = unsafe fn(&SmallKPanel<T>);

/// The kernels of one instruction set.
pub(super) struct SmallK<T> {
    /// Elements in a vector.
    lanes: usize,
    /// The largest k.
    pub max_k: usize,
    /// The largest k for which panels of two vectors fit into the registers.
    max_k_two_vectors: usize,
    /// Indexed by height in vectors, by k, and by whether the rows fill the vectors.
    kernels: [[[Kernel<T>; 2]; MAX_K]; VECTORS],
}

impl Family for SmallK<f32> {
    type Of<T: Scalar> = SmallK<T>;
}

impl<T: Scalar> SmallK<T> {
    pub(super) fn new(isa: Isa) -> SmallK<T> {
        T::pick::<SmallK<f32>>(small_k(isa), small_k(isa))
    }

    /// Rows of the next panel, of `left` rows that are left. Rows that do not fill a vector share a panel with a vector that they can
    /// overlap, even if A then does not fit into the registers.
    pub(super) fn rows(&self, k: usize, left: usize) -> usize {
        let rows = VECTORS * self.lanes;
        if left < rows || k <= self.max_k_two_vectors { left.min(rows) } else { self.lanes }
    }

    /// # Safety
    /// A and B are readable and C is writable in the shapes and distances of `panel`; its `rows` are those of [`SmallK::rows`]; `1 <= k <= self.max_k`;
    /// the machine has the instruction set.
    pub(super) unsafe fn run(&self, k: usize, panel: &SmallKPanel<T>) {
        let height = panel.rows.div_ceil(self.lanes);
        let full = panel.rows == height * self.lanes;
        // SAFETY: the caller's promise; the kernel is the one of this height and k.
        unsafe { self.kernels[height - 1][k - 1][usize::from(full)](panel) }
    }
}

fn small_k<T: Vectors>(isa: Isa) -> SmallK<T> {
    macro_rules! kernels {
        ($f:ident: $($k:literal)*) => {
            [[$([$f::<T, 1, $k, false>, $f::<T, 1, $k, true>]),*], [$([$f::<T, 2, $k, false>, $f::<T, 2, $k, true>]),*]]
        };
    }
    // k is at most the number of vectors that the registers hold besides the sums. The last kernels of smaller instruction sets repeat, since their
    // `max_k` never selects them.
    match isa {
        #[cfg(target_arch = "aarch64")]
        Isa::Neon => SmallK {
            lanes: T::Neon::LANES,
            max_k: 6,
            max_k_two_vectors: 3,
            kernels: kernels!(columns_neon: 1 2 3 4 5 6 6 6 6 6 6 6),
        },
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2 => SmallK {
            lanes: T::Avx2::LANES,
            max_k: 10,
            max_k_two_vectors: 6,
            kernels: kernels!(columns_avx2: 1 2 3 4 5 6 7 8 9 10 10 10),
        },
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512 => SmallK {
            lanes: T::Avx512::LANES,
            max_k: 12,
            max_k_two_vectors: 12,
            kernels: kernels!(columns_avx512: 1 2 3 4 5 6 7 8 9 10 11 12),
        },
        _ => SmallK {
            lanes: T::Portable::LANES,
            max_k: 3,
            max_k_two_vectors: 3,
            kernels: kernels!(columns_portable: 1 2 3 3 3 3 3 3 3 3 3 3),
        },
    }
}

isa_functions!(columns_portable columns_neon columns_avx2 columns_avx512 = columns [] [M: usize, K: usize, FULL: bool] (panel: &SmallKPanel<T>));

/// A panel of `M` vectors by `K` columns in registers.
#[inline(always)]
unsafe fn columns<V: Vector, const M: usize, const K: usize, const FULL: bool>(
    panel: &SmallKPanel<V::T>,
) {
    let alpha = V::splat(panel.alpha);
    let mut a = [[alpha; M]; K];
    for (l, a) in a.iter_mut().enumerate() {
        for (v, a) in a.iter_mut().enumerate() {
            // SAFETY: column l of A has `rows` readable elements, see `SmallK::run`.
            let x = unsafe {
                load::<V, M, FULL>(panel.a.wrapping_add(l * panel.a_column), panel.rows, v)
            };
            *a = (x.normal_or_zero() * alpha).normal_or_zero();
        }
    }
    let whole = panel.columns - panel.columns % COLUMNS_TOGETHER;
    // SAFETY: the columns are within `columns`, see `SmallK::run`.
    unsafe {
        for j in (0..whole).step_by(COLUMNS_TOGETHER) {
            column_group::<V, M, K, FULL, COLUMNS_TOGETHER>(panel, &a, j);
        }
        for j in whole..panel.columns {
            column_group::<V, M, K, FULL, 1>(panel, &a, j);
        }
    }
}

/// Columns `j .. j + COUNT` of C.
///
/// # Safety
/// As [`SmallK::run`]; these columns are within `columns`.
#[inline(always)]
unsafe fn column_group<
    V: Vector,
    const M: usize,
    const K: usize,
    const FULL: bool,
    const COUNT: usize,
>(
    panel: &SmallKPanel<V::T>,
    a: &[[V; M]; K],
    j: usize,
) {
    let c = panel.c.wrapping_add(j * panel.c_column);
    let mut sums = [[V::of(0.0); M]; COUNT];
    if panel.beta != V::T::default() {
        let beta = V::splat(panel.beta);
        for (i, sums) in sums.iter_mut().enumerate() {
            for (v, sum) in sums.iter_mut().enumerate() {
                // SAFETY: column `j + i` of C is readable, see above.
                *sum = unsafe {
                    load::<V, M, FULL>(c.wrapping_add(i * panel.c_column), panel.rows, v)
                } * beta;
            }
        }
    }
    for (l, a) in a.iter().enumerate() {
        for (i, sums) in sums.iter_mut().enumerate() {
            // SAFETY: the packed B has k rows of `MAX_COLUMNS` elements.
            let b = V::splat(unsafe { *panel.b.add(l * MAX_COLUMNS + j + i) });
            for (sum, a) in sums.iter_mut().zip(a) {
                *sum = a.mul_add(b, *sum);
            }
        }
    }
    for (i, sums) in sums.into_iter().enumerate() {
        for (v, sum) in sums.into_iter().enumerate() {
            // SAFETY: column `j + i` of C is writable, see above.
            unsafe { store::<V, M, FULL>(sum, c.wrapping_add(i * panel.c_column), panel.rows, v) }
        }
    }
}
