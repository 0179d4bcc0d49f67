//! The settings of a trainer, checked together when it is built.

use std::sync::Arc;

use super::Trainer;
use super::dropout::Dropout;
use super::loss_scale::LossScale;
use super::rollback::LastGood;
use super::step::Stepper;
use crate::error::{Error, Result};
use crate::loss::Loss;
use crate::matrix::Matrix;
use crate::network::Network;
use crate::optimizer::{Clip, Optimizer, Schedule};
use crate::scalar::Scalar;

/// Samples in a step, unless [`TrainerBuilder::batch`] sets another number.
const DEFAULT_BATCH: usize = 32;

/// Describes a [`Trainer`]; begins with [`Trainer::builder`]. Every setting is checked in [`TrainerBuilder::build`].
///
/// Settings that are optional accept a value or an `Option`: `.clip(Clip::Norm(1.0))` and `.clip(None)`.
///
/// ```
/// # use travertine::{Activation, Dropout, Loss, Network, Trainer, engine};
/// use travertine::optimizer::{Adam, Clip, Schedule};
/// # let cpu = engine::open::<f32>("cpu")?;
/// # let mut network =
/// #     Network::builder(&cpu, 64).dense(100, Activation::Relu).dense(10, Activation::Softmax).build()?;
/// let trainer = Trainer::builder(&mut network, Loss::SoftmaxCrossEntropy, Adam::new(0.001)?)
///     .batch(64)
///     .seed(1)
///     .schedule(Schedule::Cosine { steps: 1000, last: 0.0 })
///     .clip(Clip::Norm(1.0))
///     .dropout(Dropout { inputs: 0.1, hidden: 0.5 })
///     .max_norm(3.0)
///     .build()?;
/// assert_eq!((trainer.batch(), trainer.rate_factor()), (64, 1.0));
/// # Ok::<(), travertine::Error>(())
/// ```
pub struct TrainerBuilder<'n, T: Scalar> {
    pub(super) network: &'n mut Network<T>,
    pub(super) loss: Loss,
    pub(super) optimizer: Box<dyn Optimizer<T>>,
    pub(super) batch: usize,
    pub(super) seed: u64,
    pub(super) schedule: Schedule,
    pub(super) clip: Option<Clip>,
    pub(super) dropout: Option<Dropout>,
    pub(super) max_norm: Option<f64>,
    pub(super) loss_scale: Option<LossScale>,
}

impl<'n, T: Scalar> TrainerBuilder<'n, T> {
    pub(super) fn new(
        network: &'n mut Network<T>,
        loss: Loss,
        optimizer: Box<dyn Optimizer<T>>,
    ) -> Self {
        TrainerBuilder {
            network,
            loss,
            optimizer,
            batch: DEFAULT_BATCH,
            seed: 0,
            schedule: Schedule::Constant,
            clip: None,
            dropout: None,
            max_norm: None,
            loss_scale: None,
        }
    }

    /// The largest number of samples in a step; by default 32.
    #[must_use]
    pub fn batch(self, samples: usize) -> Self {
        TrainerBuilder { batch: samples, ..self }
    }

    /// The seed of the order of the samples and of dropout; by default 0.
    #[must_use]
    pub fn seed(self, seed: u64) -> Self {
        TrainerBuilder { seed, ..self }
    }

    /// A learning rate that changes from step to step; by default it is constant.
    #[must_use]
    pub fn schedule(self, schedule: Schedule) -> Self {
        TrainerBuilder { schedule, ..self }
    }

    /// A bound for gradients before the optimizer uses them. Training then needs memory for every gradient, whatever the
    /// optimizer.
    #[must_use]
    pub fn clip(self, clip: impl Into<Option<Clip>>) -> Self {
        TrainerBuilder { clip: clip.into(), ..self }
    }

    /// Dropout in training; evaluation and inference leave it out. What is dropped is a function of the seed, the step, the layer
    /// and the position in the batch, the same on every engine.
    #[must_use]
    pub fn dropout(self, dropout: impl Into<Option<Dropout>>) -> Self {
        TrainerBuilder { dropout: dropout.into(), ..self }
    }

    /// The largest Euclidean norm of the weights into a unit of a hidden layer. After each step, longer ones are multiplied by
    /// `max_norm / (norm + 1e-6)` (Srivastava et al. 2014). Squares beyond the range of the precision make weights of 0.
    #[must_use]
    pub fn max_norm(self, max_norm: impl Into<Option<f64>>) -> Self {
        TrainerBuilder { max_norm: max_norm.into(), ..self }
    }

    /// A scale for gradients on their way back, for factors in half precision
    /// ([`MatmulPrecision::F16`](crate::engine::MatmulPrecision::F16)). Training then needs memory for every gradient, and each
    /// step waits for the device once.
    ///
    /// ```
    /// # use travertine::{Activation, Loss, LossScale, Network, Trainer, engine, optimizer::Sgd};
    /// # let cpu = engine::open::<f32>("cpu")?;
    /// # let mut network = Network::builder(&cpu, 64).dense(10, Activation::Softmax).build()?;
    /// let trainer = Trainer::builder(&mut network, Loss::SoftmaxCrossEntropy, Sgd::new(0.1)?)
    ///     .loss_scale(LossScale::default())
    ///     .build()?;
    /// assert_eq!(trainer.loss_scale(), Some(65536.0));
    /// # Ok::<(), travertine::Error>(())
    /// ```
    #[must_use]
    pub fn loss_scale(self, scale: impl Into<Option<LossScale>>) -> Self {
        TrainerBuilder { loss_scale: scale.into(), ..self }
    }

    /// The trainer. Everything that training needs is allocated here.
    ///
    /// # Errors
    /// A batch of 0; a loss whose parameter is out of range; a schedule of no steps or with a factor out of range; a clip or a
    /// largest norm that is not above 0; a rate of dropout below 0 or not below 1; dropout or a largest norm of hidden layers where
    /// there are none; a loss scale that is no power of 2 from 1 to 2^100, or doubles after no step or more than 2^24; no memory.
    pub fn build(self) -> Result<Trainer<'n, T>> {
        if self.batch == 0 {
            return Err(Error::argument("trainer", "a batch must have at least one sample"));
        }
        let (network, batch, seed) = (&*self.network, self.batch, self.seed);
        let engine = Arc::clone(network.engine());
        let zeros = |rows, columns| Matrix::zeros(&engine, rows, columns);
        let (x, t, losses) =
            (zeros(network.inputs(), batch)?, zeros(network.outputs(), batch)?, zeros(1, batch)?);
        let stepper = Stepper::new(self)?;
        let last_good = LastGood::new(&stepper)?;
        Ok(Trainer {
            stepper,
            last_good,
            seed,
            epoch: 0,
            first_step: 0,
            position: 0,
            x,
            t,
            losses,
            last_samples: 0,
            evaluation: None,
        })
    }
}
