//! Training: forward, loss, backward, update, in mini-batches.

use std::sync::Arc;

use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::layer::Training;
use crate::loss::Loss;
use crate::matrix::{Matrix, MatrixRef};
use crate::network::Network;
use crate::optimizer::Optimizer;
use crate::processes::Group;
use crate::samples::{Report, Results, Samples, Scores};
use crate::scalar::{Family, Scalar};

use self::rollback::LastGood;
use self::settings::{Settings, settings_of};
use self::step::Stepper;

mod builder;
mod checks;
mod collected;
mod custom_loss;
mod devices;
mod dropout;
mod early_stopping;
mod epoch;
mod evaluate;
mod factors;
mod freeze;
mod full_batch;
mod gradients;
mod loss_scale;
mod max_norm;
mod members;
mod memory;
mod processes;
mod restore;
mod rollback;
mod settings;
mod sliced_step;
mod slices;
mod snapshot;
mod step;

pub use builder::TrainerBuilder;
pub use dropout::Dropout;
pub use early_stopping::{EarlyStopping, Observation};
pub use epoch::Progress;
pub use factors::Factors;
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
    /// The settings that decide the bytes of the training, without those that change on the way.
    settings: Settings,
    seed: u64,
    /// The processes that share the steps.
    group: Group,
    /// Whether they have compared what they begin with.
    has_agreed: bool,
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

impl<'n, T: Scalar> TrainerBuilder<'n, T> {
    /// The trainer. Everything that training needs is allocated here.
    ///
    /// # Errors
    /// A batch of 0; a loss whose parameter is out of range, or that cannot be learned with the network's output layer; a schedule of no steps or with a factor out of range; a clip or a
    /// largest norm that is not above 0; a rate of dropout below 0 or not below 1; dropout or a largest norm of hidden layers where
    /// there are none; a loss scale that is no power of 2 from 1 to 2^100, or doubles after no step or more than 2^24;
    /// no slice, more slices than samples in a batch, or a number of them that the processes do not divide; no memory.
    pub fn build(self) -> Result<Trainer<'n, T>> {
        self.loss.refuse_output(self.network.output_activation(), self.network.outputs())?;
        self.assemble()
    }

    /// As [`TrainerBuilder::build`], with any output layer.
    pub(super) fn assemble(self) -> Result<Trainer<'n, T>> {
        struct All;
        impl Family for All {
            type Of<T: Scalar> = Assemble<T>;
        }
        T::pick::<All>(ASSEMBLE_F32, ASSEMBLE_F64)(self)
    }
}

/// [`TrainerBuilder::assemble`] for one scalar.
type Assemble<T> = for<'n> fn(TrainerBuilder<'n, T>) -> Result<Trainer<'n, T>>;

/// Compiled here, and not in every crate that trains: that of statics is, unlike that of generic functions.
static ASSEMBLE_F32: Assemble<f32> = |builder| Trainer::assemble(builder);
static ASSEMBLE_F64: Assemble<f64> = |builder| Trainer::assemble(builder);

impl<'n, T: Scalar> Trainer<'n, T> {
    fn assemble(builder: TrainerBuilder<'n, T>) -> Result<Self> {
        if builder.batch == 0 {
            return Err(Error::argument("trainer", "a batch must have at least one sample"));
        }
        let (network, batch, seed) = (&*builder.network, builder.batch, builder.seed);
        let engine = Arc::clone(network.engine());
        let zeros = |rows, columns| Matrix::zeros(&engine, rows, columns);
        let (x, t, losses) =
            (zeros(network.inputs(), batch)?, zeros(network.outputs(), batch)?, zeros(1, batch)?);
        let (settings, group) = (settings_of(&builder)?, builder.processes.clone());
        let stepper = Stepper::new(builder)?;
        let last_good = LastGood::new(&stepper)?;
        Ok(Trainer {
            stepper,
            last_good,
            settings,
            seed,
            group,
            has_agreed: false,
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

    /// The learning rate of the next step: the optimizer's times [`Trainer::rate_factor`]. `None` where the optimizer has none
    /// ([`Optimizer::learning_rate`]).
    pub fn learning_rate(&self) -> Option<f64> {
        self.stepper.optimizer.learning_rate().map(|rate| rate * self.rate_factor())
    }

    /// The largest number of samples in a step.
    pub fn batch(&self) -> usize {
        self.x.columns()
    }

    /// The processes that share the steps.
    pub fn processes(&self) -> &Group {
        &self.group
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
    /// Any iterator of batches is a source: batches that are made while training runs, or a stream that never ends (online
    /// learning), one sample at a time or many.
    ///
    /// ```
    /// # use travertine::{Activation, Loss, Matrix, Network, Trainer, engine, optimizer::Sgd};
    /// # let cpu = engine::open::<f32>("cpu")?;
    /// # let mut network = Network::builder(&cpu, 1).dense(1, Activation::Identity).build()?;
    /// let mut trainer = Trainer::builder(&mut network, Loss::Quadratic, Sgd::new(0.5)?).batch(4).build()?;
    /// let mut measurements = (0..).map(|i| (i % 7) as f32 / 7.0);
    /// let (mut x, mut t) = (Matrix::zeros(&cpu, 1, 4)?, Matrix::zeros(&cpu, 1, 4)?);
    /// for _ in 0..300 {
    ///     let batch: Vec<f32> = measurements.by_ref().take(4).collect();
    ///     x.view_mut().write(&batch)?;
    ///     t.view_mut().write(&batch.iter().map(|x| 2.0 * x + 1.0).collect::<Vec<f32>>())?;
    ///     trainer.step(x.view(), t.view())?;
    /// }
    /// assert!(trainer.last_loss(4)? < 1e-4);
    /// # Ok::<(), travertine::Error>(())
    /// ```
    ///
    /// # Errors
    /// Shapes that do not fit; a device that fails.
    pub fn step(&mut self, x: MatrixRef<'_, T>, t: MatrixRef<'_, T>) -> Result<()> {
        self.last_samples = 0;
        self.check_batch("step", x, Some(t))?;
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
            let reason = match self.last_samples {
                0 => "no step has kept its losses; Trainer::step does, step_with and epochs do not"
                    .to_owned(),
                last => format!("{samples} samples; the last step has the losses of {last}"),
            };
            return Err(Error::argument("last loss", reason));
        }
        let losses = self.losses.view().sub_columns(0..samples)?.to_vec()?;
        Ok(losses.iter().map(|x| x.to_f64()).sum::<f64>() / samples as f64)
    }

    /// Mean loss and, for classes, accuracy; weighted where the samples have weights. Processes of a group evaluate parts of the samples, and all get the report of all. Allocates in the engine only where there are more samples than in any evaluation
    /// before.
    ///
    /// # Errors
    /// Samples of other sizes than the network's; no memory; a device that fails.
    pub fn evaluate(&mut self, samples: &Samples<'_, T>) -> Result<Report> {
        let (count, batch) = (samples.count(), self.batch());
        self.check_samples("evaluate", samples)?;
        let own = self.own_evaluation(count);
        let mut scores = match self.evaluation.take().filter(|scores| scores.capacity() >= count) {
            Some(scores) => scores,
            None => Scores::new(self.x.engine(), count)?,
        };
        for first in own.clone().step_by(batch) {
            let range = first..own.end.min(first + batch);
            let ([x, t], [losses, hits]) =
                (samples.range(range.clone())?, scores.range_mut(range)?);
            self.stepper.evaluate((x, t), losses, hits)?;
        }
        self.gather_scores(&mut scores, count)?;
        let scores = self.evaluation.insert(scores);
        scores.report(count, samples.task(), [samples.counts(); 2])
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
