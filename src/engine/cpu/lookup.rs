//! Embeddings of categories.
//!
//! # Method
//!
//! Forward copies a column of the weights for each embedded feature of a sample. Backward adds the samples' gradients to the columns of
//! their categories, in the order of the samples: threads have features, whose categories are columns of their own, so their
//! number changes no bit.

use super::cpu_engine::CpuEngine;
use super::pointers::{at, at_mut};
use crate::engine::lookup::{CATEGORY_NUMBERS, LookUp, LookUpGradient};
use crate::engine::memory::Span;
use crate::scalar::Scalar;

/// The number of a category, counted from 0.
enum Category {
    Some(usize),
    /// 0: missing, or not seen when the categories were counted.
    None,
    /// No whole number up to the number of categories.
    Wrong,
}

/// An embedded feature: what a row of the table says.
struct Feature {
    row: usize,
    first: usize,
    categories: usize,
}

impl Feature {
    /// # Safety
    /// The table is readable.
    unsafe fn of<T: Scalar>(table: Span, k: usize) -> Self {
        // SAFETY: the caller's promise.
        let number = |column: usize| unsafe { (*at::<T>(table, column).add(k)).to_f64() as usize };
        Feature { row: number(0), first: number(1), categories: number(2) }
    }

    /// # Safety
    /// The input is readable.
    unsafe fn category<T: Scalar>(&self, input: Span, sample: usize) -> Category {
        // SAFETY: the caller's promise.
        let x = unsafe { *at::<T>(input, sample).add(self.row * input.row_stride) }.to_f64();
        if x == 0.0 {
            Category::None
        } else if x.fract() == 0.0 && x >= 1.0 && x <= self.categories as f64 {
            Category::Some(x as usize - 1)
        } else {
            Category::Wrong
        }
    }
}

#[allow(
    clippy::undocumented_unsafe_blocks,
    reason = "all unsafe functions here have the contract of `Engine`: shapes agree and memory is borrowed for the call"
)]
impl<T: Scalar> CpuEngine<T> {
    /// # Safety
    /// As [`crate::engine::Engine`].
    pub(super) unsafe fn look_up_categories(&self, call: &LookUp) {
        let LookUp { input, weights, table, output } = *call;
        let work = output.columns * table.rows * CATEGORY_NUMBERS;
        self.for_work(work, output.columns, &|j| unsafe {
            for k in 0..table.rows {
                let feature = Feature::of::<T>(table, k);
                let numbers: [T; CATEGORY_NUMBERS] = match feature.category::<T>(input, j) {
                    Category::Some(c) => *at::<T>(weights, feature.first + c).cast(),
                    Category::None => [T::default(); CATEGORY_NUMBERS],
                    Category::Wrong => [T::from_f64(f64::NAN); CATEGORY_NUMBERS],
                };
                let to = at_mut::<T>(output, j);
                *to.add(feature.row) = numbers[0];
                let more = input.rows + k * (CATEGORY_NUMBERS - 1);
                to.add(more)
                    .cast::<[T; CATEGORY_NUMBERS - 1]>()
                    .write(std::array::from_fn(|r| numbers[r + 1]));
            }
        });
    }

    /// # Safety
    /// As [`crate::engine::Engine`].
    pub(super) unsafe fn gradient_of_look_up(&self, call: &LookUpGradient) {
        let LookUpGradient { input, table, delta, scale, keep, sink } = *call;
        let scale = scale / delta.columns as f64;
        let work = CATEGORY_NUMBERS * (sink.columns + delta.columns * table.rows);
        self.for_work(work, table.rows, &|k| unsafe {
            let feature = Feature::of::<T>(table, k);
            for c in feature.first..feature.first + feature.categories {
                let column = at_mut::<T>(sink, c).cast::<[T; CATEGORY_NUMBERS]>();
                // A sink that is not kept is not read: it may hold anything.
                column.write(match keep == 0.0 {
                    true => [T::default(); CATEGORY_NUMBERS],
                    false => column.read().map(|x| T::from_f64(keep * x.to_f64())),
                });
            }
            for j in 0..delta.columns {
                let from = at::<T>(delta, j);
                let more = from.add(input.rows + k * (CATEGORY_NUMBERS - 1));
                let gradient =
                    |r: usize| if r == 0 { *from.add(feature.row) } else { *more.add(r - 1) };
                match feature.category::<T>(input, j) {
                    Category::Some(c) => {
                        let column = at_mut::<T>(sink, feature.first + c);
                        for r in 0..CATEGORY_NUMBERS {
                            let sum = (*column.add(r)).to_f64() + scale * gradient(r).to_f64();
                            *column.add(r) = T::from_f64(sum);
                        }
                    }
                    Category::None | Category::Wrong => {}
                }
            }
        });
    }
}
