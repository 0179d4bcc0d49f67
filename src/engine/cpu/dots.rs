//! Products with so few columns that copying a transposed A would cost more than they do: dot products of its rows.

use super::vector::{Isa, Vector, Vectors, isa_functions};
use crate::scalar::{Family, Scalar};

/// Rows that are computed together.
const ROWS: usize = 4;

/// `c_i = alpha x_i · y + beta c_i + bias_i` for `count` rows `x_i`. The elements of a row lie side by side, as do those
/// of y.
pub(super) struct Dots<T> {
    pub count: usize,
    pub k: usize,
    pub x: *const T,
    /// From a row to the next.
    pub x_step: usize,
    pub y: *const T,
    pub alpha: T,
    pub beta: T,
    /// Not read where beta is 0.
    pub c: *mut T,
    /// From an element to the next.
    pub c_step: usize,
    /// Null: none.
    pub bias: *const T,
    /// From an element to the next.
    pub bias_step: usize,
}

/// # Safety
/// The dots describe memory that may be read and written so; the machine has the instruction set.
pub(super) type DotsLoop<T> = unsafe fn(&Dots<T>);

/// The loop of one instruction set.
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
        // SAFETY: the caller's promise. Beyond the last row, it is computed again.
        let sums = unsafe {
            four::<V>(
                dots.k,
                std::array::from_fn(|r| dots.x.add((first + r).min(dots.count - 1) * dots.x_step)),
                dots.y,
            )
        };
        for (i, sum) in (first..dots.count).zip(sums) {
            // SAFETY: the caller's promise.
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

/// Four rows times y: lane i adds up elements i, i + LANES ... ; the lanes are added in halves.
#[inline(always)]
unsafe fn four<V: Vector>(k: usize, x: [*const V::T; ROWS], y: *const V::T) -> [f64; ROWS] {
    let whole = k - k % V::LANES;
    let mut sums = [V::of(0.0); ROWS];
    // SAFETY: the caller promises k elements of each; no vector has more than 16 lanes.
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
