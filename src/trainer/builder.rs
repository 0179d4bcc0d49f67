//! The settings of a trainer, checked together when it is built.

use super::dropout::Dropout;
use super::factors::Factors;
use super::loss_scale::LossScale;
use crate::loss::Loss;
use crate::network::Network;
use crate::optimizer::{Clip, Optimizer, Schedule};
use crate::processes::Group;
use crate::scalar::Scalar;

/// Samples in a step, unless [`TrainerBuilder::batch`] sets another number.
const DEFAULT_BATCH: usize = 32;

/// Describes a [`Trainer`](crate::Trainer); begins with [`Trainer::builder`](crate::Trainer::builder). Every setting is checked in [`TrainerBuilder::build`].
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
    pub(super) factors: Option<Vec<[Factors; 2]>>,
    pub(super) fading: Schedule,
    pub(super) slices: Option<usize>,
    pub(super) processes: Group,
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
            factors: None,
            fading: Schedule::Constant,
            slices: None,
            processes: Group::alone(),
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

    /// Factors of the learning rate and the weight decay, for weights and bias of each layer. A step then is computed layer by layer;
    /// an optimizer that writes gradients into the parameters themselves ([`Sink::Parameters`](crate::optimizer::Sink::Parameters))
    /// needs memory for every gradient.
    #[must_use]
    pub fn factors(self, factors: impl Into<Option<Vec<[Factors; 2]>>>) -> Self {
        TrainerBuilder { factors: factors.into(), ..self }
    }

    /// How the rates of dropout and the weight decay change from step to step, as factors from 0 to 1; by default they are
    /// constant. [`Schedule::Plateau`] is refused.
    #[must_use]
    pub fn fade_regularization(self, schedule: Schedule) -> Self {
        TrainerBuilder { fading: schedule, ..self }
    }

    /// The processes that share the steps; by default this one alone. Each has the same network, settings and samples, which the first
    /// epoch compares, and makes the same calls: epochs, steps, evaluations. A step's batch is cut into slices
    /// ([`TrainerBuilder::slices`]), each of which one process computes. Where every process has a CUDA device of its own, NCCL connects the
    /// devices if it is installed; the first step asks for it. The bits are the same.
    ///
    /// ```no_run
    /// # use travertine::{Activation, Loss, Network, Samples, Trainer, data, engine, optimizer::Sgd};
    /// use travertine::processes::Group;
    /// // mpiexec -n 4 this-program
    /// let group = Group::from_launcher()?;
    /// # let cpu = engine::open::<f32>("cpu")?;
    /// # let digits = data::digits()?;
    /// # let mut samples = Samples::new(&cpu, &digits)?;
    /// # let mut network = Network::builder(&cpu, 64).dense(10, Activation::Softmax).seed(1).build()?;
    /// let mut trainer = Trainer::builder(&mut network, Loss::SoftmaxCrossEntropy, Sgd::new(0.1)?)
    ///     .batch(64)
    ///     .processes(&group)
    ///     .build()?;
    /// let report = trainer.epoch(&mut samples)?;
    /// if group.is_first() {
    ///     println!("{}", report.loss);
    /// }
    /// # Ok::<(), travertine::Error>(())
    /// ```
    #[must_use]
    pub fn processes(self, group: &Group) -> Self {
        TrainerBuilder { processes: group.clone(), ..self }
    }

    /// Parts of a batch whose gradients are computed one by one and then added up in a fixed order; by default 8 where MPI connects
    /// processes and the batch is as large, else 1. The bits of a training depend on the number of slices, and not on the number of processes, which must
    /// divide it. Training then needs memory for
    /// every gradient, and for up to `log2(slices) + 1` sums of them; NCCL needs one more.
    #[must_use]
    pub fn slices(self, slices: impl Into<Option<usize>>) -> Self {
        TrainerBuilder { slices: slices.into(), ..self }
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
}
