//! Dot products, for products with so few columns that packing a transposed A would take longer than the product.
//!
//! # Method
//!
//! Four rows at a time, each with a vector of partial sums, so that four chains of additions run in parallel and each vector of y is loaded once. Then
//! the lanes are added in halves, the last of them in f64.

use crate::engine::simd::{Isa, Vector, Vectors, isa_functions};
use crate::scalar::{Family, Scalar};

/// Rows that are computed together.
const ROWS: usize = 4;

/// `c_i = alpha x_i · y + beta c_i + bias_i` for `count` rows `x_i`. The elements of each row and those of y are contiguous. Distances are in
/// elements.
pub(super) struct Dots<T> {
    pub count: usize,
    pub k: usize,
    pub x: *const T,
    /// Distance between rows.
    pub x_step: usize,
    pub y: *const T,
    pub alpha: T,
    pub beta: T,
    /// Not read if beta is 0.
    pub c: *mut T,
    /// Distance between elements of c.
    pub c_step: usize,
    /// Null for no bias.
    pub bias: *const T,
    /// Distance between elements of the bias.
    pub bias_step: usize,
}

/// # Safety
/// x, y and the bias are readable and c is writable in the counts and distances of the [`Dots`]; the machine has the instruction set.
pub(super) type DotsLoop<T> = unsafe fn(&Dots<T>);

/// The loop of an instruction set.
pub(super) fn dots<T: Scalar>(isa: Isa) -> DotsLoop<T> {
    struct Loops;
    impl Family for Loops {
        type Of<T: Scalar> = DotsLoop<T>;
    }
    fn of<T: Vectors>(isa: Isa) -> DotsLoop<T> {
        [rows_portable::<T>, rows_neon::<T>, rows_avx2::<T>, rows_avx512::<T>][isa as usize]
    }
    T::pick::<Loops>(of(isa), of(isa))
}

isa_functions!(rows_portable rows_neon rows_avx2 rows_avx512 = rows [] [] (dots: &Dots<T>));

#[inline(always)]
unsafe fn rows<V: Vector>(dots: &Dots<V::T>) {
    for first in (0..dots.count).step_by(ROWS) {
        // SAFETY: rows beyond the last are replaced by the last, so all four have k readable elements.
        let sums = unsafe {
            four::<V>(
                dots.k,
                std::array::from_fn(|r| dots.x.add((first + r).min(dots.count - 1) * dots.x_step)),
                dots.y,
            )
        };
        for (i, sum) in (first..dots.count).zip(sums) {
            // SAFETY: `i < count`, and the caller promises that many elements of c and the bias.
            unsafe {
                let c = dots.c.add(i * dots.c_step);
                let mut value = dots.alpha.to_f64() * sum;
                if dots.beta != V::T::default() {
                    value += dots.beta.to_f64() * (*c).to_f64();
                }
                if !dots.bias.is_null() {
                    value += (*dots.bias.add(i * dots.bias_step)).to_f64();
                }
                *c = V::T::from_f64(value);
            }
        }
    }
}

/// Four rows times y. Lane i adds up elements i, i + LANES, i + 2 LANES ...; then the lanes are added in halves.
#[inline(always)]
unsafe fn four<V: Vector>(k: usize, x: [*const V::T; ROWS], y: *const V::T) -> [f64; ROWS] {
    let whole = k - k % V::LANES;
    let mut sums = [V::of(0.0); ROWS];
    // SAFETY: the caller promises k readable elements of each row and of y; no vector has more than 16 lanes.
    unsafe {
        for l in (0..whole).step_by(V::LANES) {
            let y = V::load(y.add(l));
            for (sum, x) in sums.iter_mut().zip(x) {
                *sum = V::load(x.add(l)).mul_add(y, *sum);
            }
        }
        if whole < k {
            let y = V::load_partial(y.add(whole), k - whole);
            for (sum, x) in sums.iter_mut().zip(x) {
                *sum = V::load_partial(x.add(whole), k - whole).mul_add(y, *sum);
            }
        }
        let halves = |a: V, b: V| {
            let (low, high) = a.interleave(b);
            low + high
        };
        // Row r is now in every fourth lane from r on.
        let quarters = halves(halves(sums[0], sums[2]), halves(sums[1], sums[3]));
        let mut lanes = [V::T::default(); 16];
        quarters.store(lanes.as_mut_ptr());
        std::array::from_fn(|r| {
            lanes[..V::LANES].iter().skip(r).step_by(ROWS).map(|x| x.to_f64()).sum()
        })
    }
}
