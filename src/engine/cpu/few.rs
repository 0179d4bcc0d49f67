//! Products of few steps of k, such as gradients of small batches: A stays in registers, and C passes by column by column.

use super::vector::{Isa, Vector, Vectors, isa_functions};
use crate::scalar::{Family, Scalar};

/// Vectors in the height of a panel of A.
const MV: usize = 2;
/// Most steps of k of any instruction set.
const STEPS: usize = 12;

/// `C = alpha A B + beta C`, with A `rows x k` and B `k x columns`; k is that of the kernel. Rows of A and C lie side by side.
pub(super) struct Few<T> {
    pub rows: usize,
    pub columns: usize,
    pub a: *const T,
    /// From a column of A to the next.
    pub a_column: usize,
    pub b: *const T,
    /// From a row of B to the next.
    pub b_row: usize,
    /// From a column of B to the next.
    pub b_column: usize,
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

    /// Rows of the highest panel.
    pub(super) fn rows(&self) -> usize {
        MV * self.lanes
    }

    /// # Safety
    /// `few` describes memory that may be read and written so; `1 <= rows <= self.rows()`, `1 <= k <= self.most`; the
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
    // As many steps as registers hold; the table's last kernels are then never asked for.
    match isa {
        #[cfg(target_arch = "aarch64")]
        Isa::Neon => {
            FewSteps { lanes: T::Neon::LANES, most: 6, kernels: kernels!(columns_neon: 1 2 3 4 5 6 6 6 6 6 6 6) }
        }
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2 => {
            FewSteps { lanes: T::Avx2::LANES, most: 6, kernels: kernels!(columns_avx2: 1 2 3 4 5 6 6 6 6 6 6 6) }
        }
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512 => FewSteps {
            lanes: T::Avx512::LANES,
            most: 12,
            kernels: kernels!(columns_avx512: 1 2 3 4 5 6 7 8 9 10 11 12),
        },
        _ => FewSteps {
            lanes: T::Portable::LANES,
            most: 3,
            kernels: kernels!(columns_portable: 1 2 3 3 3 3 3 3 3 3 3 3),
        },
    }
}

isa_functions!(columns_portable columns_neon columns_avx2 columns_avx512 = columns [] [M: usize, K: usize, FULL: bool] (few: &Few<T>));

/// `M` vectors by `K` steps of k in registers.
#[inline(always)]
unsafe fn columns<V: Vector, const M: usize, const K: usize, const FULL: bool>(few: &Few<V::T>) {
    let row = |v: usize| if FULL || v + 1 < M { v * V::LANES } else { few.rows - V::LANES.min(few.rows) };
    // SAFETY: the caller's promise.
    let load = |p: *const V::T, v: usize| unsafe {
        let p = p.add(row(v));
        if FULL || M > 1 { V::load(p) } else { V::load_partial(p, few.rows) }
    };
    let (alpha, beta) = (V::splat(few.alpha), V::splat(few.beta));
    let a: [[V; M]; K] =
        std::array::from_fn(|l| std::array::from_fn(|v| load(few.a.wrapping_add(l * few.a_column), v) * alpha));
    let reads_c = few.beta != V::T::default();
    for j in 0..few.columns {
        let (b, c) = (few.b.wrapping_add(j * few.b_column), few.c.wrapping_add(j * few.c_column));
        let mut sums: [V; M] = std::array::from_fn(|v| if reads_c { load(c, v) * beta } else { V::of(0.0) });
        for (l, a) in a.iter().enumerate() {
            // SAFETY: the caller's promise.
            let b = V::splat(unsafe { *b.add(l * few.b_row) });
            for (sum, a) in sums.iter_mut().zip(a) {
                *sum = a.mul_add(b, *sum);
            }
        }
        for (v, sum) in sums.into_iter().enumerate() {
            // SAFETY: the caller's promise.
            unsafe {
                let c = c.add(row(v));
                if FULL || M > 1 { sum.store(c) } else { sum.store_partial(c, few.rows) }
            }
        }
    }
}
