//! Loss scaling, which keeps small gradients within the range of half precision.

use std::sync::Arc;

use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::matrix::{Matrix, MatrixMut};
use crate::ops;
use crate::scalar::Scalar;

/// What the scale is multiplied by after enough good steps, and divided by after one that overflows.
const FACTOR: f64 = 2.0;
/// Further doubling would leave the range of f32.
const LARGEST: f64 = (1_u128 << 100) as f64;
/// Counts are exact in f32 up to here.
const MOST_STEPS: u64 = 1 << 24;
/// Shares of a gradient whose squares are added up in parallel.
const SHARES: usize = 64;

/// Dynamic loss scaling (Micikevicius et al. 2017): backward works on gradients times a scale, which is divided out before the
/// optimizer sees them. A step whose gradients are not finite is skipped and halves the scale; it doubles after
/// `growth_interval` good steps in a row. With a scale of 1 no step is skipped: what is not finite then is no fault of scaling.
///
/// The scale is a power of 2, so that in f32 and f64 the bits of a training are those without scaling, unless a gradient leaves the range
/// of numbers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LossScale {
    /// The first scale: a power of 2, at least 1.
    pub initial: f64,
    /// Good steps in a row before the scale doubles, at least 1.
    pub growth_interval: u64,
}

impl Default for LossScale {
    /// 65536 and 2000, as PyTorch's `GradScaler`.
    fn default() -> Self {
        LossScale { initial: 65536.0, growth_interval: 2000 }
    }
}

impl LossScale {
    fn validate(self) -> Result<Self> {
        let is_power =
            self.initial >= 1.0 && self.initial <= LARGEST && self.initial.log2().fract() == 0.0;
        if !is_power {
            let reason = format!(
                "the first scale must be a power of 2 from 1 to 2^100, not {}",
                self.initial
            );
            return Err(Error::argument("loss scale", reason));
        }
        if !(1..=MOST_STEPS).contains(&self.growth_interval) {
            let reason = format!(
                "it must double after 1 to {MOST_STEPS} steps, not {}",
                self.growth_interval
            );
            return Err(Error::argument("loss scale", reason));
        }
        Ok(self)
    }
}

/// Where the scale is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct ScaleState {
    pub scale: f64,
    /// Good steps since it changed last.
    good: u64,
    /// Steps that were skipped, of all so far.
    pub skipped: u64,
}

impl ScaleState {
    /// As numbers that a snapshot holds, all of them exact.
    pub fn numbers<T: Scalar>(self) -> [T; 3] {
        [self.scale, self.good as f64, self.skipped as f64].map(T::from_f64)
    }

    /// From a snapshot; `None` if it is none that scaling comes to.
    pub fn from_numbers<T: Scalar>(numbers: &[T]) -> Option<Self> {
        let &[scale, good, skipped] = numbers else { return None };
        let [scale, good, skipped] = [scale, good, skipped].map(T::to_f64);
        let counts = |x: f64| x >= 0.0 && x <= MOST_STEPS as f64 && x.fract() == 0.0;
        let is_scale = LossScale { initial: scale, growth_interval: 1 }.validate().is_ok();
        let valid = is_scale && counts(good) && counts(skipped);
        valid.then_some(ScaleState { scale, good: good as u64, skipped: skipped as u64 })
    }
}

/// Scales gradients, and judges them.
pub(super) struct Scaler<T: Scalar> {
    growth_interval: u64,
    pub state: ScaleState,
    /// The same before the epoch.
    pub last_good: ScaleState,
    /// Sums of squares, [`SHARES`] a gradient, `1 x n`
    squares: Matrix<T>,
}

impl<T: Scalar> Scaler<T> {
    /// For so many gradients.
    pub fn new(scale: LossScale, engine: &Arc<dyn Engine<T>>, gradients: usize) -> Result<Self> {
        let LossScale { initial, growth_interval } = scale.validate()?;
        let state = ScaleState { scale: initial, good: 0, skipped: 0 };
        let squares = Matrix::zeros(engine, 1, SHARES * gradients)?;
        Ok(Scaler { growth_interval, state, last_good: state, squares })
    }

    /// Name and matrix of what this has allocated.
    pub fn buffer(&self) -> (&'static str, &Matrix<T>) {
        ("loss_scale.squares", &self.squares)
    }

    /// The gradient of the loss becomes that of the scaled loss.
    pub fn scale(scale: f64, delta: MatrixMut<'_, T>) -> Result<()> {
        ops::scal(T::from_f64(scale), delta)
    }

    /// Looks at all gradients, changes the scale, and says whether they are to be used. Waits for the device.
    pub fn accepts(&mut self, gradients: &[[Matrix<T>; 2]]) -> Result<bool> {
        for (i, gradient) in gradients.iter().flatten().enumerate() {
            let sums = self.squares.view_mut().sub_columns(SHARES * i..SHARES * (i + 1))?;
            ops::update::squares(gradient.view(), sums)?;
        }
        let is_finite = ops::amax(self.squares.view())?.is_finite();
        Ok(self.state.judged(is_finite, self.growth_interval))
    }
}

impl ScaleState {
    fn judged(&mut self, is_finite: bool, growth_interval: u64) -> bool {
        if !is_finite && self.scale > 1.0 {
            let skipped = (self.skipped + 1).min(MOST_STEPS);
            *self = ScaleState { scale: self.scale / FACTOR, good: 0, skipped };
            return false;
        }
        self.good = (self.good + 1).min(MOST_STEPS);
        if self.good >= growth_interval {
            *self = ScaleState { scale: (self.scale * FACTOR).min(LARGEST), good: 0, ..*self };
        }
        true
    }
}
