//! Products of few steps of k, such as gradients of small batches: A stays in registers, and C passes by column by column.

use super::tile::{load, store};
use super::vector::{Isa, Vector, Vectors, isa_functions};
use crate::scalar::{Family, Scalar};

/// Vectors in the height of a panel of A.
const MV: usize = 2;
/// Most steps of k of any instruction set.
pub(super) const STEPS: usize = 12;
/// Most columns.
pub(super) const COLUMNS: usize = 48;
/// Columns of C that are computed together, because the sums of one are a chain.
const TOGETHER: usize = 4;

/// `C = alpha A B + beta C`, with A `rows x k` and B `k x columns`; k is that of the kernel. Rows of A and C lie side by side.
pub(super) struct Few<T> {
    pub rows: usize,
    pub columns: usize,
    pub a: *const T,
    /// From a column of A to the next.
    pub a_column: usize,
    /// A copy with a row every [`COLUMNS`] elements, so that one register tells the place of all its rows.
    pub b: *const T,
    pub alpha: T,
    pub beta: T,
    /// Not read where beta is 0.
    pub c: *mut T,
    /// From a column of C to the next.
    pub c_column: usize,
}

type Kernel<T> = unsafe fn(&Few<T>);

/// The kernels of one instruction set.
pub(super) struct FewSteps<T> {
    /// Elements in a vector.
    lanes: usize,
    /// Most steps of k.
    pub most: usize,
    /// Most steps of k whose registers suffice for panels of two vectors.
    in_two: usize,
    /// By height in vectors, by steps of k, by whether the rows fill the vectors.
    kernels: [[[Kernel<T>; 2]; STEPS]; MV],
}

impl Family for FewSteps<f32> {
    type Of<T: Scalar> = FewSteps<T>;
}

impl<T: Scalar> FewSteps<T> {
    pub(super) fn new(isa: Isa) -> FewSteps<T> {
        T::pick::<FewSteps<f32>>(few_steps(isa), few_steps(isa))
    }

    /// Rows of the next panel, where so many are left. Rows that do not fill a vector share a panel with one that they can
    /// overlap, even if some of A has to be read from the cache for it.
    pub(super) fn rows(&self, k: usize, left: usize) -> usize {
        let most = MV * self.lanes;
        if left < most || k <= self.in_two { left.min(most) } else { self.lanes }
    }

    /// # Safety
    /// `few` describes memory that may be read and written so; `rows` is what [`FewSteps::rows`] tells, `1 <= k <= self.most`; the
    /// machine has the instruction set.
    pub(super) unsafe fn run(&self, k: usize, few: &Few<T>) {
        let height = few.rows.div_ceil(self.lanes);
        let full = few.rows == height * self.lanes;
        // SAFETY: the caller's promise.
        unsafe { self.kernels[height - 1][k - 1][usize::from(full)](few) }
    }
}

fn few_steps<T: Vectors>(isa: Isa) -> FewSteps<T> {
    macro_rules! kernels {
        ($f:ident: $($k:literal)*) => {
            [[$([$f::<T, 1, $k, false>, $f::<T, 1, $k, true>]),*], [$([$f::<T, 2, $k, false>, $f::<T, 2, $k, true>]),*]]
        };
    }
    // As many steps as registers hold, of one vector; the table's last kernels are then never asked for.
    match isa {
        #[cfg(target_arch = "aarch64")]
        Isa::Neon => FewSteps {
            lanes: T::Neon::LANES,
            most: 6,
            in_two: 3,
            kernels: kernels!(columns_neon: 1 2 3 4 5 6 6 6 6 6 6 6),
        },
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2 => FewSteps {
            lanes: T::Avx2::LANES,
            most: 10,
            in_two: 6,
            kernels: kernels!(columns_avx2: 1 2 3 4 5 6 7 8 9 10 10 10),
        },
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512 => FewSteps {
            lanes: T::Avx512::LANES,
            most: 12,
            in_two: 12,
            kernels: kernels!(columns_avx512: 1 2 3 4 5 6 7 8 9 10 11 12),
        },
        _ => FewSteps {
            lanes: T::Portable::LANES,
            most: 3,
            in_two: 3,
            kernels: kernels!(columns_portable: 1 2 3 3 3 3 3 3 3 3 3 3),
        },
    }
}

isa_functions!(columns_portable columns_neon columns_avx2 columns_avx512 = columns [] [M: usize, K: usize, FULL: bool] (few: &Few<T>));

/// `M` vectors by `K` steps of k in registers.
#[inline(always)]
unsafe fn columns<V: Vector, const M: usize, const K: usize, const FULL: bool>(few: &Few<V::T>) {
    let alpha = V::splat(few.alpha);
    let mut a = [[alpha; M]; K];
    for (l, a) in a.iter_mut().enumerate() {
        for (v, a) in a.iter_mut().enumerate() {
            // SAFETY: the caller's promise.
            let x =
                unsafe { load::<V, M, FULL>(few.a.wrapping_add(l * few.a_column), few.rows, v) };
            // Small batches of nearly trained networks are full of subnormal gradients.
            *a = (x.normal_or_zero() * alpha).normal_or_zero();
        }
    }
    let whole = few.columns - few.columns % TOGETHER;
    // SAFETY: the caller's promise.
    unsafe {
        for j in (0..whole).step_by(TOGETHER) {
            some::<V, M, K, FULL, TOGETHER>(few, &a, j);
        }
        for j in whole..few.columns {
            some::<V, M, K, FULL, 1>(few, &a, j);
        }
    }
}

/// Some columns of C, from `j` on; together.
#[inline(always)]
unsafe fn some<V: Vector, const M: usize, const K: usize, const FULL: bool, const COUNT: usize>(
    few: &Few<V::T>,
    a: &[[V; M]; K],
    j: usize,
) {
    let c = few.c.wrapping_add(j * few.c_column);
    let mut sums = [[V::of(0.0); M]; COUNT];
    if few.beta != V::T::default() {
        let beta = V::splat(few.beta);
        for (i, sums) in sums.iter_mut().enumerate() {
            for (v, sum) in sums.iter_mut().enumerate() {
                // SAFETY: the caller's promise.
                *sum = unsafe { load::<V, M, FULL>(c.wrapping_add(i * few.c_column), few.rows, v) }
                    * beta;
            }
        }
    }
    for (l, a) in a.iter().enumerate() {
        for (i, sums) in sums.iter_mut().enumerate() {
            // SAFETY: the caller's promise.
            let b = V::splat(unsafe { *few.b.add(l * COLUMNS + j + i) });
            for (sum, a) in sums.iter_mut().zip(a) {
                *sum = a.mul_add(b, *sum);
            }
        }
    }
    for (i, sums) in sums.into_iter().enumerate() {
        for (v, sum) in sums.into_iter().enumerate() {
            // SAFETY: the caller's promise.
            unsafe { store::<V, M, FULL>(sum, c.wrapping_add(i * few.c_column), few.rows, v) }
        }
    }
}
