//! Embeddings of numbers.
//!
//! # Method
//!
//! A feature of a block of samples is gathered into a buffer, and vectors of its samples go through the 16 frequencies. The angle is
//! computed in turns: `w1 x` in two parts, value and rounding error, and less its nearest whole number, so that a large x keeps its
//! angle. Nothing depends on the block that a sample is in: the gradient adds up vectors in the order of the samples, and at last lanes from the first to
//! the last.

use super::cpu_engine::CpuEngine;
use super::lanes::{MAX_LANES, each, fold, load};
use super::pointers::{at, at_mut};
use crate::engine::embedding::{EMBEDDED, Embed, EmbedGradient, FREQUENCIES};
use crate::engine::memory::Span;
use crate::engine::simd::{Isa, Vector, Vectors, isa_functions, math};
use crate::scalar::{Family, Scalar};

/// Samples in a block: some vectors, whose features and gradients stay in the L1 cache.
const BLOCK: usize = 128;
/// Elements of a simple loop that take as long as a number that is embedded.
const ELEMENTS_PER_NUMBER: usize = 32;

/// What both directions read. Matrices are readable as [`Embed`] says.
pub(super) struct Layer<T> {
    features: usize,
    embedded: usize,
    samples: usize,
    input: *const T,
    /// Distances to the next feature and to the next sample.
    steps: [usize; 2],
    /// With the distance to the next column.
    weights: (*const T, usize),
    bias: (*const T, usize),
    columns: *const T,
}

/// The operands of [`Embed`].
pub(super) struct Forward<T> {
    layer: Layer<T>,
    output: *mut T,
    column: usize,
}

/// The operands of [`EmbedGradient`].
pub(super) struct Backward<T> {
    layer: Layer<T>,
    delta: *const T,
    column: usize,
    scale: T,
    keep: T,
    weights: (*mut T, usize),
    bias: (*mut T, usize),
}

// SAFETY: tasks read the same matrices, and write disjoint columns or rows.
unsafe impl<T> Sync for Forward<T> {}
// SAFETY: tasks read the same matrices, and write disjoint rows.
unsafe impl<T> Sync for Backward<T> {}

/// The loops of one instruction set, over matrices that are readable and writable as [`Embed`] and [`EmbedGradient`] say.
#[derive(Clone, Copy)]
struct Loops<T> {
    /// The rows of feature `.1` for the block of samples `.2`.
    forward: unsafe fn(&Forward<T>, usize, usize),
    /// The gradients of feature `.1`.
    backward: unsafe fn(&Backward<T>, usize),
}

impl Family for Loops<f32> {
    type Of<T: Scalar> = Loops<T>;
}

fn loops<T: Vectors>(isa: Isa) -> Loops<T> {
    macro_rules! table {
        ($forward:ident $backward:ident) => {
            Loops { forward: $forward::<T>, backward: $backward::<T> }
        };
    }
    match isa {
        Isa::Portable => table!(f_portable b_portable),
        Isa::Neon => table!(f_neon b_neon),
        Isa::Avx2 => table!(f_avx2 b_avx2),
        Isa::Avx512 => table!(f_avx512 b_avx512),
    }
}

isa_functions!(f_portable f_neon f_avx2 f_avx512 = forward [] [] (call: &Forward<T>, feature: usize, block: usize));
isa_functions!(b_portable b_neon b_avx2 b_avx512 = backward [] [] (call: &Backward<T>, feature: usize));

impl<T: Scalar> Layer<T> {
    fn of(input: Span, weights: Span, bias: Span, columns: Span) -> Self {
        Layer {
            features: input.rows,
            embedded: columns.rows,
            samples: input.columns,
            input: at(input, 0),
            steps: [input.row_stride, input.column_stride],
            weights: (at(weights, 0), weights.column_stride),
            bias: (at(bias, 0), bias.column_stride),
            columns: at(columns, 0),
        }
    }

    /// The samples of a block: the first, and their number.
    fn block(&self, block: usize) -> (usize, usize) {
        let first = block * BLOCK;
        (first, BLOCK.min(self.samples - first))
    }

    /// The values of embedded feature k in `count` samples from `first` on; NaN where its number is not that of a feature.
    ///
    /// # Safety
    /// There are as many samples, and the matrices are readable.
    unsafe fn gather(&self, k: usize, (first, count): (usize, usize), to: &mut [T; BLOCK]) {
        // SAFETY: k is below the number of embedded features.
        let number = unsafe { (*self.columns.add(k)).to_f64() };
        let is_feature = number >= 0.0 && number < self.features as f64 && number.fract() == 0.0;
        let [row, column] = self.steps;
        for (j, to) in (first..).zip(&mut to[..count]) {
            *to = if is_feature {
                // SAFETY: the feature and the sample are within the input.
                unsafe { *self.input.add(number as usize * row + j * column) }
            } else {
                T::from_f64(f64::NAN)
            };
        }
    }

    /// Columns `from .. from + 16` of row k of the weights.
    ///
    /// # Safety
    /// The matrices are readable.
    unsafe fn weights(&self, k: usize, from: usize) -> [T; FREQUENCIES] {
        // SAFETY: row and columns are within the weights.
        std::array::from_fn(|f| unsafe { *self.weights.0.add(k + (from + f) * self.weights.1) })
    }

    /// Element (k, c) of the bias.
    ///
    /// # Safety
    /// The matrices are readable.
    unsafe fn bias(&self, k: usize, c: usize) -> T {
        // SAFETY: row and column are within the bias.
        unsafe { *self.bias.0.add(k + c * self.bias.1) }
    }

    /// b1 of row k in turns, from -1/2 to 1/2.
    ///
    /// # Safety
    /// The matrices are readable.
    unsafe fn turns(&self, k: usize) -> [T; FREQUENCIES] {
        std::array::from_fn(|f| {
            // SAFETY: the caller's promise.
            let turns = unsafe { self.bias(k, f) }.to_f64() / std::f64::consts::TAU;
            T::from_f64(turns - turns.round_ties_even())
        })
    }
}

#[allow(
    clippy::undocumented_unsafe_blocks,
    reason = "all unsafe functions here have the contract of `Engine`: shapes agree and memory is borrowed for the call"
)]
impl<T: Scalar> CpuEngine<T> {
    fn embedders(&self) -> Loops<T> {
        T::pick::<Loops<f32>>(loops(self.isa), loops(self.isa))
    }

    /// Calls `body` for `count` parts of the work on so many numbers.
    fn for_embedded(&self, numbers: usize, count: usize, body: &(dyn Fn(usize) + Sync)) {
        self.for_work(numbers.saturating_mul(ELEMENTS_PER_NUMBER), count, body);
    }

    /// # Safety
    /// As [`crate::engine::Engine`].
    pub(super) unsafe fn embed_numbers(&self, call: &Embed) {
        let Embed { input, weights, bias, columns, output } = *call;
        let layer = Layer::<T>::of(input, weights, bias, columns);
        let run = self.embedders().forward;
        let (embedded, samples) = (layer.embedded, layer.samples);
        let forward = Forward { layer, output: at_mut(output, 0), column: output.column_stride };
        // A part is a feature of a block, or the copy of a block's features.
        let parts = samples.div_ceil(BLOCK) * (embedded + 1);
        self.for_embedded(embedded * samples, parts, &|part| {
            let (block, feature) = (part / (embedded + 1), part % (embedded + 1));
            unsafe { run(&forward, feature, block) }
        });
    }

    /// # Safety
    /// As [`crate::engine::Engine`].
    pub(super) unsafe fn gradient_of_embedding(&self, call: &EmbedGradient) {
        let EmbedGradient { input, weights, bias, columns, delta, scale, keep, .. } = *call;
        let (weights_sink, bias_sink) = (call.weights_sink, call.bias_sink);
        let layer = Layer::<T>::of(input, weights, bias, columns);
        let run = self.embedders().backward;
        let (embedded, samples) = (layer.embedded, layer.samples);
        let backward = Backward {
            layer,
            delta: at(delta, 0),
            column: delta.column_stride,
            scale: T::from_f64(scale / samples as f64),
            keep: T::from_f64(keep),
            weights: (at_mut(weights_sink, 0), weights_sink.column_stride),
            bias: (at_mut(bias_sink, 0), bias_sink.column_stride),
        };
        self.for_embedded(embedded * samples, embedded, &|feature| unsafe {
            run(&backward, feature)
        });
    }
}

/// `w x + b` in turns, from -1 to 1, where b is from -1/2 to 1/2; far outside of the range of [`math::fraction`] b.
#[inline(always)]
fn angle<V: Vector>(w: V, x: V, b: V) -> V {
    let turns = w * x;
    let error = w.mul_add(x, -turns);
    math::fraction(turns) + (math::fraction(error) + b)
}

#[inline(always)]
unsafe fn forward<V: Vector>(call: &Forward<V::T>, feature: usize, block: usize) {
    let layer = &call.layer;
    let (first, count) = layer.block(block);
    if feature == layer.embedded {
        let [row, column] = layer.steps;
        for j in first..first + count {
            for i in 0..layer.features {
                // SAFETY: feature and sample are within input and output, and no other part writes them.
                unsafe {
                    *call.output.add(i + j * call.column) = *layer.input.add(i * row + j * column);
                }
            }
        }
        return;
    }
    let mut x = [V::T::default(); BLOCK];
    // SAFETY: the feature is below the number of embedded ones, the samples are within the matrices, and no other part writes these
    // rows of these columns.
    unsafe {
        layer.gather(feature, (first, count), &mut x);
        let (w1, b1) = (layer.weights(feature, 0), layer.turns(feature));
        let w2: [_; EMBEDDED] =
            std::array::from_fn(|r| layer.weights(feature, FREQUENCIES * (r + 1)));
        let b2: [V::T; EMBEDDED] = std::array::from_fn(|r| layer.bias(feature, FREQUENCIES + r));
        each::<V>(count, |j, n| {
            let x = load::<V>(x.as_ptr().add(j), n);
            let mut sums = b2.map(V::splat);
            for f in 0..FREQUENCIES {
                let cos = math::cos_turns(angle(V::splat(w1[f]), x, V::splat(b1[f])));
                for (sum, w2) in sums.iter_mut().zip(&w2) {
                    *sum = cos.mul_add(V::splat(w2[f]), *sum);
                }
            }
            let mut rows = [[V::T::default(); MAX_LANES]; EMBEDDED];
            for (row, sum) in rows.iter_mut().zip(sums) {
                sum.store(row.as_mut_ptr());
            }
            for lane in 0..n {
                let to = call.output.add((first + j + lane) * call.column);
                for (r, row) in rows.iter().enumerate() {
                    *to.add(layer.features + EMBEDDED * feature + r) = row[lane];
                }
            }
        });
    }
}

/// The sums of a frequency over the samples.
#[derive(Clone, Copy)]
struct Sums<V> {
    w1: V,
    b1: V,
    w2: [V; EMBEDDED],
}

#[inline(always)]
unsafe fn backward<V: Vector>(call: &Backward<V::T>, feature: usize) {
    let layer = &call.layer;
    let zero = V::of(0.0);
    let mut sums = [Sums { w1: zero, b1: zero, w2: [zero; EMBEDDED] }; FREQUENCIES];
    let mut deltas = [zero; EMBEDDED];
    let (mut x, mut delta) = ([V::T::default(); BLOCK], [[V::T::default(); BLOCK]; EMBEDDED]);
    // SAFETY: the feature is below the number of embedded ones, and the samples are within the matrices.
    let (w1, b1, w2) = unsafe {
        let w2: [_; EMBEDDED] =
            std::array::from_fn(|r| layer.weights(feature, FREQUENCIES * (r + 1)));
        (layer.weights(feature, 0), layer.turns(feature), w2)
    };
    for block in 0..layer.samples.div_ceil(BLOCK) {
        let (first, count) = layer.block(block);
        // SAFETY: as above; the rows of a feature are within delta.
        unsafe {
            layer.gather(feature, (first, count), &mut x);
            for j in 0..count {
                let from = call.delta.add((first + j) * call.column);
                for (r, delta) in delta.iter_mut().enumerate() {
                    delta[j] = *from.add(layer.features + EMBEDDED * feature + r);
                }
            }
            // Lanes beyond the last sample are 0 in x and delta, and add 0.
            each::<V>(count, |j, n| {
                for (sum, delta) in deltas.iter_mut().zip(&delta) {
                    *sum = *sum + load::<V>(delta.as_ptr().add(j), n);
                }
            });
            for (f, sums) in sums.iter_mut().enumerate() {
                let (w1, b1) = (V::splat(w1[f]), V::splat(b1[f]));
                let mut sum = *sums;
                each::<V>(count, |j, n| {
                    let x = load::<V>(x.as_ptr().add(j), n);
                    let angle = angle(w1, x, b1);
                    let (cos, sin) = (math::cos_turns(angle), math::sin_turns(angle));
                    let mut g = zero;
                    for r in 0..EMBEDDED {
                        let delta = load::<V>(delta[r].as_ptr().add(j), n);
                        g = delta.mul_add(V::splat(w2[r][f]), g);
                        sum.w2[r] = delta.mul_add(cos, sum.w2[r]);
                    }
                    let g = g * sin;
                    sum.b1 = sum.b1 - g;
                    sum.w1 = (-g).mul_add(x, sum.w1);
                });
                *sums = sum;
            }
        }
    }
    let total = |sum: V| fold(sum, V::LANES, 0.0, |total, x| total + x);
    let sink = |(p, column): (*mut V::T, usize), c: usize, gradient: f64| {
        let value = call.scale.to_f64() * gradient;
        // SAFETY: row and column are within the sinks, and no other task writes the row. Its parameters have been read.
        unsafe {
            let to = p.add(feature + c * column);
            let kept = if call.keep == V::T::from_f64(0.0) {
                0.0
            } else {
                call.keep.to_f64() * (*to).to_f64()
            };
            *to = V::T::from_f64(value + kept);
        }
    };
    for (f, sums) in sums.iter().enumerate() {
        sink(call.weights, f, std::f64::consts::TAU * total(sums.w1));
        sink(call.bias, f, total(sums.b1));
        for (r, sum) in sums.w2.iter().enumerate() {
            sink(call.weights, FREQUENCIES * (r + 1) + f, total(*sum));
        }
    }
    for (r, sum) in deltas.iter().enumerate() {
        sink(call.bias, FREQUENCIES + r, total(*sum));
    }
}
