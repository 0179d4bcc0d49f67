//! Random numbers as a function of their use and index.
//!
//! [`Philox`] is the counter-based generator Philox4x32-10 of Salmon, Moraes, Dror and Shaw, "Parallel Random Numbers:
//! As Easy as 1, 2, 3" (SC 2011). It has no state: number `index` of a stream is a function of
//! (seed, purpose, step, index), so any engine and any number of threads draw the same bits.

/// The use of random numbers; streams of different purposes are independent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Purpose {
    /// Initial weights; the step is the index of the layer.
    Weights,
    /// The order of the samples; the step is the epoch.
    Shuffle,
    /// The choice of held-out samples.
    Split,
    /// Uses outside of the library.
    User,
    /// The deformation of samples; the step is the epoch.
    Augment,
    /// The draws of dropout; the step is the step of training.
    Dropout,
    /// Initial values that samples decide; the step is the index of the layer.
    InitialValues,
    /// The samples of bootstrap resamples; the step is the number of the resample.
    Bootstrap,
    /// The order of a column's values where its importance is measured; the step is the number of the shuffle.
    Importance,
}

/// One stream of random numbers.
///
/// ```
/// use travertine::random::{Philox, Purpose};
/// let stream = Philox::new(1, Purpose::Weights, 0);
/// assert_eq!(stream.uniform(5), stream.uniform(5)); // a function, not a sequence
/// assert!((0.0..1.0).contains(&stream.uniform(6)));
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Philox {
    key: [u32; 2],
    purpose: u32,
    step: u32,
}

impl Philox {
    /// The stream of (seed, purpose, step).
    pub fn new(seed: u64, purpose: Purpose, step: u32) -> Self {
        Philox { key: [seed as u32, (seed >> 32) as u32], purpose: purpose as u32, step }
    }

    /// The stream of a layer, one of at most 2^24, with the same purpose and step.
    pub fn of_layer(self, layer: usize) -> Self {
        Philox { purpose: self.purpose | (layer as u32) << 8, ..self }
    }

    /// Key, step and purpose, from which an engine draws the same numbers.
    #[allow(dead_code, reason = "only the engines for GPUs, which a build may leave out, read it")]
    pub(crate) fn state(&self) -> [u32; 4] {
        [self.key[0], self.key[1], self.step, self.purpose]
    }

    /// Four independent 32-bit words.
    pub fn words(&self, index: u64) -> [u32; 4] {
        philox4x32_10([index as u32, (index >> 32) as u32, self.step, self.purpose], self.key)
    }

    /// Uniform in [0, 1), a multiple of 2^-53.
    pub fn uniform(&self, index: u64) -> f64 {
        let [a, b, ..] = self.words(index);
        unit(a, b)
    }

    /// Uniform in [0, 1), a multiple of 2^-24, which every scalar type holds exactly: the upper 24 bits of word `index % 4` of counter
    /// `index / 4`. Four numbers share a counter, so many of them take a quarter of the time of [`Philox::uniform`].
    pub fn uniform_f32(&self, index: u64) -> f32 {
        unit_f32(self.words(index / 4)[(index % 4) as usize])
    }

    /// [`Philox::uniform_f32`] of the four indices of each of the counters `from .. from + N`, in arrays that the compiler vectorizes.
    #[inline(always)]
    pub(crate) fn uniforms_f32<const N: usize>(&self, from: u64) -> [[f32; 4]; N] {
        const LOW: u64 = u32::MAX as u64;
        // The words are the low halves of 64 bits, as the instructions that multiply 32 bits by 32 bits take them. The high halves are
        // of no meaning.
        let mut c0: [u64; N] = std::array::from_fn(|i| from + i as u64);
        let mut c1 = c0.map(|index| index >> 32);
        let (mut c2, mut c3) = ([u64::from(self.step); N], [u64::from(self.purpose); N]);
        let mut key = self.key;
        for _ in 0..10 {
            for i in 0..N {
                let p0 = u64::from(MULTIPLIERS[0]) * (c0[i] & LOW);
                let p1 = u64::from(MULTIPLIERS[1]) * (c2[i] & LOW);
                c0[i] = (p1 >> 32) ^ c1[i] ^ u64::from(key[0]);
                c2[i] = (p0 >> 32) ^ c3[i] ^ u64::from(key[1]);
                (c1[i], c3[i]) = (p1, p0);
            }
            key = [key[0].wrapping_add(WEYL[0]), key[1].wrapping_add(WEYL[1])];
        }
        std::array::from_fn(|i| [c0[i], c1[i], c2[i], c3[i]].map(|word| unit_f32(word as u32)))
    }

    /// Normal with mean 0 and standard deviation 1, by the Box-Muller transform. Computed with libm, so that every machine draws the same
    /// bits.
    pub fn normal(&self, index: u64) -> f64 {
        let [a, b, c, d] = self.words(index);
        let radius = libm::sqrt(-2.0 * libm::log(1.0 - unit(a, b)));
        radius * libm::cos(std::f64::consts::TAU * unit(c, d))
    }

    /// An integer in `0..bound`, uniform up to a difference in probability of 2^-64. `bound` must not be 0.
    pub fn below(&self, index: u64, bound: u64) -> u64 {
        let [a, b, ..] = self.words(index);
        let word = u64::from(a) << 32 | u64::from(b);
        ((u128::from(word) * u128::from(bound)) >> 64) as u64
    }

    /// Shuffles `items` (Fisher-Yates).
    pub fn shuffle<I>(&self, items: &mut [I]) {
        for i in (1..items.len()).rev() {
            items.swap(i, self.below(i as u64, i as u64 + 1) as usize);
        }
    }
}

#[inline(always)]
fn unit(high: u32, low: u32) -> f64 {
    let bits = (u64::from(high) << 32 | u64::from(low)) >> 11;
    bits as f64 / (1u64 << 53) as f64
}

#[inline(always)]
fn unit_f32(word: u32) -> f32 {
    // 24 bits fit into an i32, which every instruction set converts in vectors.
    (word >> 8) as i32 as f32 / (1u32 << 24) as f32
}

const MULTIPLIERS: [u32; 2] = [0xD251_1F53, 0xCD9E_8D57];
const WEYL: [u32; 2] = [0x9E37_79B9, 0xBB67_AE85];

fn philox4x32_10(mut counter: [u32; 4], mut key: [u32; 2]) -> [u32; 4] {
    for _ in 0..10 {
        let [c0, c1, c2, c3] = counter;
        let p0 = u64::from(MULTIPLIERS[0]) * u64::from(c0);
        let p1 = u64::from(MULTIPLIERS[1]) * u64::from(c2);
        counter = [
            (p1 >> 32) as u32 ^ c1 ^ key[0],
            p1 as u32,
            (p0 >> 32) as u32 ^ c3 ^ key[1],
            p0 as u32,
        ];
        key = [key[0].wrapping_add(WEYL[0]), key[1].wrapping_add(WEYL[1])];
    }
    counter
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The known answers that the authors published with Random123 (kat_vectors, philox4x32 10).
    #[test]
    fn published_vectors() {
        assert_eq!(
            philox4x32_10([0; 4], [0; 2]),
            [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]
        );
        assert_eq!(
            philox4x32_10([u32::MAX; 4], [u32::MAX; 2]),
            [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]
        );
        assert_eq!(
            philox4x32_10(
                [0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344],
                [0xa409_3822, 0x299f_31d0]
            ),
            [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1]
        );
    }

    #[test]
    fn moments() {
        let stream = Philox::new(7, Purpose::User, 3);
        let n = 100_000;
        let mean = |f: &dyn Fn(u64) -> f64| (0..n).map(f).sum::<f64>() / n as f64;
        assert!((mean(&|i| stream.uniform(i)) - 0.5).abs() < 0.005);
        assert!((mean(&|i| f64::from(stream.uniform_f32(i))) - 0.5).abs() < 0.005);
        assert!((0..n).all(|i| (0.0..1.0).contains(&stream.uniform_f32(i))));
        assert!(mean(&|i| stream.normal(i)).abs() < 0.02);
        assert!((mean(&|i| stream.normal(i).powi(2)) - 1.0).abs() < 0.03);
    }

    #[test]
    fn lanes_are_the_same_numbers() {
        let stream = Philox::new(11, Purpose::User, 5);
        let from = u64::from(u32::MAX) - 3;
        let lanes = stream.uniforms_f32::<16>(from);
        for (index, number) in lanes.as_flattened().iter().enumerate() {
            assert_eq!(*number, stream.uniform_f32(4 * from + index as u64), "{index}");
        }
    }

    #[test]
    fn shuffle_is_a_permutation() {
        let mut items: Vec<usize> = (0..1000).collect();
        Philox::new(1, Purpose::Shuffle, 0).shuffle(&mut items);
        assert!(items.iter().enumerate().filter(|&(i, &x)| i == x).count() < 20);
        items.sort_unstable();
        assert!(items.iter().enumerate().all(|(i, &x)| i == x));
    }
}
