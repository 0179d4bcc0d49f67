//! Training: forward, loss, backward, update, again and again.

use std::ops::ControlFlow;
use std::sync::Arc;

use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::layer::Training;
use crate::loss::Loss;
use crate::matrix::{Matrix, MatrixRef};
use crate::network::Network;
use crate::optimizer::{Clip, Optimizer, Pace, Schedule};
use crate::samples::{Report, Results, Samples};
use crate::scalar::Scalar;

use self::divergence::Good;
use self::step::Stepper;

mod divergence;
mod dropout;
mod gradients;
mod loss_scale;
mod max_norm;
mod plan;
mod snapshot;
mod step;
mod whole;

pub use dropout::Dropout;
pub use gradients::{GradientCheck, check_gradients};
pub use loss_scale::LossScale;
pub use plan::{Buffer, Plan};
pub use snapshot::Snapshot;

/// Trains a network: borrows its parameters, owns everything else that training needs. Dropping it ends training and
/// leaves the network trained.
///
/// ```
/// use travertine::{Activation, Loss, Network, Samples, Trainer, data, engine, optimizer::Sgd};
/// let cpu = engine::open::<f32>("cpu")?;
/// let (train, test) = data::digits()?.split(0.2, 1)?;
/// let mut network =
///     Network::builder(&cpu, 64).dense(32, Activation::Relu).dense(10, Activation::Softmax).seed(1).build()?;
/// let mut trainer = Trainer::new(&mut network, Loss::SoftmaxCrossEntropy, Sgd::new(0.1)?, 32, 1)?;
/// let (mut train, mut test) = (Samples::new(&cpu, &train)?, Samples::new(&cpu, &test)?);
/// for _ in 0..5 {
///     trainer.epoch(&mut train)?;
/// }
/// assert!(trainer.evaluate(&mut test)?.accuracy.unwrap() > 0.9);
/// # Ok::<(), travertine::Error>(())
/// ```
pub struct Trainer<'n, T: Scalar> {
    stepper: Stepper<'n, T>,
    /// What an epoch that diverges goes back to.
    good: Good<T>,
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
}

impl<'n, T: Scalar> Trainer<'n, T> {
    /// A trainer for mini-batches of `batch` samples, whose order is a function of the seed. Everything that training
    /// will need is allocated here.
    ///
    /// # Errors
    /// A batch of 0, a loss whose parameter is out of range; no memory.
    pub fn new(
        network: &'n mut Network<T>,
        loss: Loss,
        optimizer: impl Optimizer<T> + 'static,
        batch: usize,
        seed: u64,
    ) -> Result<Self> {
        if batch == 0 {
            return Err(Error::argument("trainer", "a batch must have at least one sample"));
        }
        let engine = Arc::clone(network.engine());
        let zeros = |rows, columns| Matrix::zeros(&engine, rows, columns);
        let (x, t, losses) =
            (zeros(network.inputs(), batch)?, zeros(network.outputs(), batch)?, zeros(1, batch)?);
        let stepper = Stepper::new(network, loss.validate()?, Box::new(optimizer), batch)?;
        let good = Good::new(&stepper)?;
        Ok(Trainer { stepper, good, seed, epoch: 0, first_step: 0, position: 0, x, t, losses })
    }

    /// With gradients that are bounded before the optimizer sees them. Training then needs a gradient for each parameter,
    /// whatever the optimizer.
    ///
    /// ```
    /// # use travertine::{Activation, Loss, Network, Trainer, engine};
    /// use travertine::optimizer::{Adam, Clip, Schedule};
    /// # let cpu = engine::open::<f32>("cpu")?;
    /// # let mut network = Network::builder(&cpu, 64).dense(10, Activation::Softmax).build()?;
    /// let trainer = Trainer::new(&mut network, Loss::SoftmaxCrossEntropy, Adam::new(0.001)?, 32, 1)?
    ///     .with_clip(Clip::Norm(1.0))?
    ///     .with_schedule(Schedule::Cosine { steps: 1000, last: 0.0 })?;
    /// assert_eq!(trainer.rate_factor(), 1.0);
    /// # Ok::<(), travertine::Error>(())
    /// ```
    ///
    /// # Errors
    /// A bound that is not above 0 or not finite; no memory.
    pub fn with_clip(mut self, clip: Clip) -> Result<Self> {
        self.stepper.clip(clip)?;
        Ok(self)
    }

    /// With gradients that are scaled on their way back, for factors in half precision
    /// ([`MatmulPrecision::F16`](crate::engine::MatmulPrecision::F16)). Training then needs a gradient for each parameter, and
    /// every step waits for the device once.
    ///
    /// ```
    /// # use travertine::{Activation, Loss, LossScale, Network, Trainer, engine, optimizer::Sgd};
    /// # let cpu = engine::open::<f32>("cpu")?;
    /// # let mut network = Network::builder(&cpu, 64).dense(10, Activation::Softmax).build()?;
    /// let trainer = Trainer::new(&mut network, Loss::SoftmaxCrossEntropy, Sgd::new(0.1)?, 32, 1)?
    ///     .with_loss_scale(LossScale::default())?;
    /// assert_eq!(trainer.loss_scale(), Some(65536.0));
    /// # Ok::<(), travertine::Error>(())
    /// ```
    ///
    /// # Errors
    /// A first scale that is no power of 2 from 1 to 2^100, an interval of no step or of more than 2^24; no memory.
    pub fn with_loss_scale(mut self, scale: LossScale) -> Result<Self> {
        self.stepper.scale_loss(scale)?;
        Ok(self)
    }

    /// What gradients are scaled by in the next step, if they are.
    pub fn loss_scale(&self) -> Option<f64> {
        self.stepper.scaler().map(|scaler| scaler.state.scale)
    }

    /// Steps that were skipped because their scaled gradients were not finite.
    pub fn skipped_steps(&self) -> u64 {
        self.stepper.scaler().map_or(0, |scaler| scaler.state.skipped)
    }

    /// With a learning rate that changes from step to step.
    ///
    /// # Errors
    /// A schedule of no steps, a factor that is out of range.
    pub fn with_schedule(mut self, schedule: Schedule) -> Result<Self> {
        self.stepper.pace = Pace::new(schedule)?;
        Ok(self)
    }

    /// With dropout in training; evaluation and inference leave it out. What is dropped is a function of the trainer's seed, the
    /// step, the layer and the place in the batch, the same on every engine.
    ///
    /// ```
    /// # use travertine::{Activation, Dropout, Loss, Network, Trainer, engine, optimizer::Sgd};
    /// # let cpu = engine::open::<f32>("cpu")?;
    /// let mut network =
    ///     Network::builder(&cpu, 64).dense(100, Activation::Relu).dense(10, Activation::Softmax).build()?;
    /// let trainer = Trainer::new(&mut network, Loss::SoftmaxCrossEntropy, Sgd::new(0.1)?, 32, 1)?
    ///     .with_dropout(Dropout { inputs: 0.1, hidden: 0.5 })?
    ///     .with_max_norm(3.0)?;
    /// # Ok::<(), travertine::Error>(())
    /// ```
    ///
    /// # Errors
    /// A rate below 0 or not below 1; a rate for hidden layers where there are none; no memory.
    pub fn with_dropout(mut self, dropout: Dropout) -> Result<Self> {
        self.stepper.drop_out(dropout, self.seed)?;
        Ok(self)
    }

    /// With weights into every unit of the hidden layers whose Euclidean norm is at most `most` after each step: longer ones are
    /// multiplied by `most / (norm + 1e-6)` (Srivastava et al. 2014). Squares beyond the range of the precision make weights of 0.
    ///
    /// # Errors
    /// A bound that is not above 0 or not finite; a network without hidden layers; no memory.
    pub fn with_max_norm(mut self, most: f64) -> Result<Self> {
        self.stepper.bound_norms(most)?;
        Ok(self)
    }

    /// Tells [`Schedule::Plateau`] how an epoch went: its held-out loss if there is one, else its training loss. Other
    /// schedules do not listen.
    pub fn observe_loss(&mut self, loss: f64) {
        self.stepper.pace.observe(loss);
    }

    /// What the learning rate will be multiplied by in the next step.
    pub fn rate_factor(&self) -> f64 {
        self.stepper.pace.factor(self.stepper.step)
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
    pub fn layers(&self) -> &[Training<'n, T>] {
        &self.stepper.layers
    }

    /// The optimizer's state matrices, for every layer those of its weights and those of its bias.
    pub fn states(&self) -> &[[Vec<Matrix<T>>; 2]] {
        &self.stepper.states
    }

    /// One step on a batch of up to [`Trainer::batch`] samples: x `inputs x samples`, t `outputs x samples`. Allocates
    /// nothing and does not wait for the device.
    ///
    /// # Errors
    /// Shapes that do not fit; a device that fails.
    pub fn step(&mut self, x: MatrixRef<'_, T>, t: MatrixRef<'_, T>) -> Result<()> {
        let losses = self.losses.view_mut().sub_columns(0..x.columns())?;
        let stepper = &mut self.stepper;
        as_step(x.engine(), || stepper.run(x, t, Results { losses, hits: None, weights: None }))
    }

    /// Mean loss over the `samples` samples of the last [`Trainer::step`], before its update.
    ///
    /// # Errors
    /// More samples than the batch, or none; a device that fails.
    pub fn last_loss(&self, samples: usize) -> Result<f64> {
        let losses = self.losses.view().sub_columns(0..samples)?.to_vec()?;
        Ok(losses.iter().map(|x| x.to_f64()).sum::<f64>() / samples as f64)
    }

    /// One pass over all samples in a new order, the last partial batch included. Gives loss and accuracy as they were
    /// seen on the way, before each step's update.
    ///
    /// # Errors
    /// Samples of other sizes than the network's; a loss or parameter that is no longer finite
    /// ([`ErrorKind::Diverged`](crate::ErrorKind::Diverged)): the parameters are then those from before this epoch; a device that fails.
    pub fn epoch(&mut self, samples: &mut Samples<'_, T>) -> Result<Report> {
        self.epoch_with(samples, |_| Ok(()))
    }

    /// As [`Trainer::epoch`]; calls `watch` after every step.
    ///
    /// # Errors
    /// As [`Trainer::epoch`], and those of `watch`, which end the epoch where it is: the next call goes on from there.
    pub fn epoch_with(
        &mut self,
        samples: &mut Samples<'_, T>,
        mut watch: impl FnMut(Progress<'_, T>) -> Result<()>,
    ) -> Result<Report> {
        loop {
            let done =
                self.epoch_until(samples, |progress| watch(progress).map(ControlFlow::Continue))?;
            if let Some(report) = done {
                return Ok(report);
            }
        }
    }

    /// As [`Trainer::epoch_with`], until `watch` breaks off after a step: then there is no report, and the next call goes on with
    /// the step after it.
    ///
    /// # Errors
    /// As [`Trainer::epoch_with`].
    pub fn epoch_until(
        &mut self,
        samples: &mut Samples<'_, T>,
        mut watch: impl FnMut(Progress<'_, T>) -> Result<ControlFlow<()>>,
    ) -> Result<Option<Report>> {
        let count = samples.count();
        if self.position == 0 || self.position > count {
            self.good.keep(&mut self.stepper)?;
            (self.first_step, self.position) = (self.stepper.step, 0);
        }
        samples.shuffle(self.seed, self.epoch)?;
        for first in (self.position..count).step_by(self.batch()) {
            let end = count.min(first + self.batch());
            self.sample_step(samples, first, end)?;
            self.position = end;
            if watch(Progress { done: end, samples })?.is_break() {
                return Ok(None);
            }
        }
        self.position = 0;
        self.refuse_divergence(samples, self.first_step)?;
        self.epoch += 1;
        samples.report(count).map(Some)
    }

    /// Mean loss and, for classes, accuracy.
    ///
    /// # Errors
    /// Samples of other sizes than the network's; a device that fails.
    pub fn evaluate(&mut self, samples: &mut Samples<'_, T>) -> Result<Report> {
        let count = samples.count();
        for first in (0..count).step_by(self.batch()) {
            let (x, t, losses, hits) = samples.part(first..count.min(first + self.batch()))?;
            self.stepper.evaluate(x, t, losses, hits)?;
        }
        samples.report(count)
    }

    /// Every buffer that training uses, before it begins.
    pub fn plan(&self) -> Plan {
        let mut buffers = Vec::new();
        let mut add = |name: String, matrix: &Matrix<T>| {
            buffers.push(Buffer {
                name,
                rows: matrix.rows(),
                columns: matrix.columns(),
                bytes: matrix.bytes(),
            });
        };
        add("batch.inputs".to_owned(), &self.x);
        add("batch.targets".to_owned(), &self.t);
        add("batch.losses".to_owned(), &self.losses);
        for (i, (layer, (good, statistics))) in
            self.stepper.layers.iter().zip(self.good.parts()).enumerate()
        {
            layer
                .buffers()
                .into_iter()
                .for_each(|(name, matrix)| add(format!("layers.{i}.{name}"), matrix));
            for (kind, name) in ["weight", "bias"].into_iter().enumerate() {
                for (k, state) in self.stepper.states[i][kind].iter().enumerate() {
                    add(format!("layers.{i}.{name}.state.{k}"), state);
                }
                let good = good[kind].iter().enumerate();
                good.for_each(|(k, matrix)| {
                    add(format!("layers.{i}.{name}.last_good.{k}"), matrix)
                });
            }
            if let Some(statistics) = statistics {
                add(format!("layers.{i}.statistics.last_good"), statistics);
            }
        }
        self.stepper.collected_buffers().for_each(|(name, matrix)| add(name, matrix));
        self.stepper.regularization_buffers().for_each(|(name, matrix)| add(name, matrix));
        Plan { buffers }
    }

    /// One step on the samples `first .. end` of the order; their losses and hits go to the same places of the rows.
    fn sample_step(
        &mut self,
        samples: &mut Samples<'_, T>,
        first: usize,
        end: usize,
    ) -> Result<()> {
        let engine = Arc::clone(self.x.engine());
        as_step(&engine, || self.run_samples(samples, first, end))
    }

    fn run_samples(
        &mut self,
        samples: &mut Samples<'_, T>,
        first: usize,
        end: usize,
    ) -> Result<()> {
        if self.stepper.whole.is_some() {
            let (x, t, order, results) = samples.all_for(first..end)?;
            if self.stepper.run_whole((x, t), Some((order, first)), results)?.is_none() {
                return Ok(());
            }
        }
        self.gather(samples, first, end)?;
        let (inputs, outputs, n) = (self.x.rows(), self.t.rows(), end - first);
        let results = samples.results(first..end)?;
        let (x, t) = (self.x.front(inputs, n), self.t.front(outputs, n));
        self.stepper.run(x, t, results)
    }

    fn gather(&mut self, samples: &Samples<'_, T>, first: usize, end: usize) -> Result<()> {
        let (inputs, outputs, n) = (self.x.rows(), self.t.rows(), end - first);
        samples.gather(first, self.x.front_mut(inputs, n), self.t.front_mut(outputs, n))
    }
}

/// Tells the engine that `calls` are a step.
fn as_step<T: Scalar>(
    engine: &Arc<dyn Engine<T>>,
    calls: impl FnOnce() -> Result<()>,
) -> Result<()> {
    engine.begin_step();
    let done = calls();
    done.and(engine.end_step())
}

/// How far an epoch is.
pub struct Progress<'s, T: Scalar> {
    done: usize,
    samples: &'s Samples<'s, T>,
}

impl<T: Scalar> Progress<'_, T> {
    /// Samples trained on in this epoch so far.
    pub fn samples(&self) -> usize {
        self.done
    }

    /// Samples in the epoch.
    pub fn total(&self) -> usize {
        self.samples.count()
    }

    /// Loss and accuracy so far. Waits for the device: not for every step.
    ///
    /// # Errors
    /// A device that fails.
    pub fn report(&self) -> Result<Report> {
        self.samples.report(self.done)
    }
}
