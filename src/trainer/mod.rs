//! Training: forward, loss, backward, update, in mini-batches.

use std::sync::Arc;

use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::layer::Training;
use crate::loss::Loss;
use crate::matrix::{Matrix, MatrixRef};
use crate::network::Network;
use crate::optimizer::Optimizer;
use crate::samples::{Report, Results, Samples, Scores};
use crate::scalar::Scalar;

use self::rollback::LastGood;
use self::step::Stepper;

mod builder;
mod collected;
mod dropout;
mod epoch;
mod gradients;
mod loss_scale;
mod max_norm;
mod memory;
mod rollback;
mod snapshot;
mod step;

pub use builder::TrainerBuilder;
pub use dropout::Dropout;
pub use epoch::Progress;
pub use gradients::{GradientCheck, check_gradients};
pub use loss_scale::LossScale;
pub use memory::{Buffer, MemoryPlan};
pub use snapshot::Snapshot;

/// Trains a network: borrows its parameters and owns everything else that training needs. Dropping it ends training and
/// leaves the network trained.
///
/// ```
/// use travertine::{Activation, Loss, Network, Samples, Trainer, data, engine, optimizer::Sgd};
/// let cpu = engine::open::<f32>("cpu")?;
/// let (train, test) = data::digits()?.split(0.2, 1)?;
/// let mut network =
///     Network::builder(&cpu, 64).dense(32, Activation::Relu).dense(10, Activation::Softmax).seed(1).build()?;
/// let mut trainer =
///     Trainer::builder(&mut network, Loss::SoftmaxCrossEntropy, Sgd::new(0.1)?).batch(32).seed(1).build()?;
/// let (mut train, test) = (Samples::new(&cpu, &train)?, Samples::new(&cpu, &test)?);
/// for _ in 0..5 {
///     trainer.epoch(&mut train)?;
/// }
/// assert!(trainer.evaluate(&test)?.accuracy.unwrap() > 0.9);
/// # Ok::<(), travertine::Error>(())
/// ```
pub struct Trainer<'n, T: Scalar> {
    stepper: Stepper<'n, T>,
    /// The state from before this epoch, for an epoch that diverges.
    last_good: LastGood<T>,
    seed: u64,
    /// Epochs done.
    epoch: u64,
    /// The step that the epoch began with.
    first_step: u64,
    /// Samples done in an epoch that has been left in its middle.
    position: usize,
    /// A mini-batch, `inputs x batch`
    x: Matrix<T>,
    /// Its targets, `outputs x batch`
    t: Matrix<T>,
    /// Loss of the samples of the last step, `1 x batch`
    losses: Matrix<T>,
    /// Samples of the last [`Trainer::step`], whose losses are in `losses`.
    last_samples: usize,
    /// Losses and hits of the samples of an evaluation; as many as the largest evaluation so far had.
    evaluation: Option<Scores<T>>,
}

impl<'n, T: Scalar> Trainer<'n, T> {
    /// Begins the description of a trainer that makes this loss small with this optimizer.
    pub fn builder(
        network: &'n mut Network<T>,
        loss: Loss,
        optimizer: impl Optimizer<T> + 'static,
    ) -> TrainerBuilder<'n, T> {
        TrainerBuilder::new(network, loss, Box::new(optimizer))
    }

    /// The factor of gradients in the next step, where the loss is scaled.
    pub fn loss_scale(&self) -> Option<f64> {
        self.stepper.scaler().map(|scaler| scaler.state.scale)
    }

    /// Steps that were skipped because their scaled gradients were not finite.
    pub fn skipped_steps(&self) -> u64 {
        self.stepper.scaler().map_or(0, |scaler| scaler.state.skipped)
    }

    /// Reports to [`Schedule::Plateau`](crate::optimizer::Schedule::Plateau) how an epoch went: its held-out loss if there is one,
    /// else its training loss. Other schedules ignore it.
    pub fn observe_loss(&mut self, loss: f64) {
        self.stepper.schedule.observe(loss);
    }

    /// The factor of the learning rate in the next step.
    pub fn rate_factor(&self) -> f64 {
        self.stepper.schedule.factor(self.stepper.step)
    }

    /// The largest number of samples in a step.
    pub fn batch(&self) -> usize {
        self.x.columns()
    }

    /// Epochs done.
    pub fn epochs(&self) -> u64 {
        self.epoch
    }

    /// Samples done in an epoch that has been left in its middle; 0 between two epochs.
    pub fn position(&self) -> usize {
        self.position
    }

    /// Steps done.
    pub fn steps(&self) -> u64 {
        self.stepper.step
    }

    /// The training layers, first to last.
    ///
    /// Engines of GPUs may compute a step of a small network in one kernel, which keeps neither outputs nor gradients of layers:
    /// [`output`](crate::layer::TrainingLayer::output), [`delta`](crate::layer::TrainingLayer::delta) and
    /// [`gradient`](crate::layer::TrainingLayer::gradient) are then errors that name the setting to change
    /// ([`Fusion`](crate::engine::Fusion)).
    pub fn layers(&self) -> &[Training<'n, T>] {
        &self.stepper.layers
    }

    /// The optimizer's state matrices: for every layer those of its weights and those of its bias.
    pub fn states(&self) -> &[[Vec<Matrix<T>>; 2]] {
        &self.stepper.states
    }

    /// One step on a batch of up to [`Trainer::batch`] samples: x `inputs x samples`, t `outputs x samples`. Allocates
    /// nothing and does not wait for the device.
    ///
    /// # Errors
    /// Shapes that do not fit; a device that fails.
    pub fn step(&mut self, x: MatrixRef<'_, T>, t: MatrixRef<'_, T>) -> Result<()> {
        self.last_samples = 0;
        let losses = self.losses.view_mut().sub_columns(0..x.columns())?;
        let stepper = &mut self.stepper;
        as_step(x.engine(), || stepper.run(x, t, Results { losses, hits: None, weights: None }))?;
        self.last_samples = x.columns();
        Ok(())
    }

    /// Mean loss of the first `samples` samples of the last [`Trainer::step`], before its update. Waits for the device.
    ///
    /// # Errors
    /// More samples than that step had, or none; a device that fails.
    pub fn last_loss(&self, samples: usize) -> Result<f64> {
        if samples > self.last_samples {
            let last = self.last_samples;
            let reason = format!("{samples} samples; the last step has the losses of {last}");
            return Err(Error::argument("last loss", reason));
        }
        let losses = self.losses.view().sub_columns(0..samples)?.to_vec()?;
        Ok(losses.iter().map(|x| x.to_f64()).sum::<f64>() / samples as f64)
    }

    /// Mean loss and, for classes, accuracy. Allocates in the engine only where there are more samples than in any evaluation
    /// before.
    ///
    /// # Errors
    /// Samples of other sizes than the network's; no memory; a device that fails.
    pub fn evaluate(&mut self, samples: &Samples<'_, T>) -> Result<Report> {
        let (count, batch) = (samples.count(), self.batch());
        let scores = match self.evaluation.take().filter(|scores| scores.capacity() >= count) {
            Some(scores) => self.evaluation.insert(scores),
            None => self.evaluation.insert(Scores::new(self.x.engine(), count)?),
        };
        for first in (0..count).step_by(batch) {
            let range = first..count.min(first + batch);
            let ([x, t], [losses, hits]) =
                (samples.range(range.clone())?, scores.range_mut(range)?);
            self.stepper.evaluate((x, t), losses, hits)?;
        }
        scores.report(count, samples.task())
    }
}

/// Marks `calls` as one step for the engine.
fn as_step<T: Scalar>(
    engine: &Arc<dyn Engine<T>>,
    calls: impl FnOnce() -> Result<()>,
) -> Result<()> {
    engine.begin_step();
    let done = calls();
    done.and(engine.end_step())
}
