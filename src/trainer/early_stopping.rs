//! Early stopping, for training loops of one's own.

use std::ops::ControlFlow;

use super::Trainer;
use crate::error::{Error, Result};
use crate::scalar::Scalar;

/// A loss that [`EarlyStopping::observe`] was given.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Observation {
    /// Epochs that the trainer had done.
    pub epoch: u64,
    /// Steps that the trainer had done.
    pub step: u64,
    /// The loss; infinite where it was not a number.
    pub loss: f64,
}

/// Ends a training when the loss on held-out samples has not become lower for a number of observations in a row, and keeps the
/// best parameters on the host. An observation usually is an epoch.
///
/// ```
/// use travertine::{Activation, EarlyStopping, Loss, Network, Samples, Trainer, data, engine, optimizer::Sgd};
/// let cpu = engine::open::<f32>("cpu")?;
/// let (train, test) = data::digits()?.take(300)?.split(0.5, 1)?;
/// let (mut train, test) = (Samples::new(&cpu, &train)?, Samples::new(&cpu, &test)?);
/// let mut network =
///     Network::builder(&cpu, 64).dense(30, Activation::Relu).dense(10, Activation::Softmax).build()?;
/// let mut trainer = Trainer::builder(&mut network, Loss::SoftmaxCrossEntropy, Sgd::new(1.0)?).build()?;
/// let mut stopping = EarlyStopping::new(3)?;
/// loop {
///     trainer.epoch(&mut train)?;
///     let loss = trainer.evaluate(&test)?.loss;
///     if stopping.observe(loss, &trainer)?.is_break() || trainer.epochs() == 100 {
///         break;
///     }
/// }
/// stopping.restore(&mut trainer)?;
/// let best = stopping.best().unwrap();
/// assert_eq!(trainer.evaluate(&test)?.loss, best.loss);
/// assert!(stopping.history().iter().all(|observation| observation.loss >= best.loss));
/// # Ok::<(), travertine::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct EarlyStopping<T> {
    patience: usize,
    history: Vec<Observation>,
    /// The place of the lowest loss in the history, and the parameters there.
    best: Option<(usize, Vec<Vec<T>>)>,
}

impl<T: Scalar> EarlyStopping<T> {
    /// Ends after so many observations in a row without a lower loss.
    ///
    /// # Errors
    /// A patience of 0.
    pub fn new(patience: usize) -> Result<Self> {
        if patience == 0 {
            return Err(Error::argument(
                "early stopping",
                "the patience must be at least 1, not 0",
            ));
        }
        Ok(EarlyStopping { patience, history: Vec::new(), best: None })
    }

    /// Adds a loss to the history, and copies the trainer's parameters if it is the lowest so far, or the first. A loss that is
    /// not finite is never lower than another. Gives `Break` when the training should end.
    ///
    /// # Errors
    /// A device that fails.
    pub fn observe(&mut self, loss: f64, trainer: &Trainer<'_, T>) -> Result<ControlFlow<()>> {
        let loss = if loss.is_finite() { loss } else { f64::INFINITY };
        let place = self.history.len();
        if self.best().is_none_or(|best| loss < best.loss) {
            self.best = Some((place, trainer.parameters()?));
        }
        self.history.push(Observation { epoch: trainer.epochs(), step: trainer.steps(), loss });
        let best = self.best.as_ref().map_or(place, |(best, _)| *best);
        let stops = place - best >= self.patience;
        Ok(if stops { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    }

    /// All observations, the first one first.
    pub fn history(&self) -> &[Observation] {
        &self.history
    }

    /// The observation of the lowest loss.
    pub fn best(&self) -> Option<Observation> {
        self.best.as_ref().map(|(best, _)| self.history[*best])
    }

    /// The parameters of the best observation, as [`Trainer::parameters`] returns them.
    pub fn parameters(&self) -> Option<&[Vec<T>]> {
        self.best.as_ref().map(|(_, parameters)| &parameters[..])
    }

    /// Gives the trainer the parameters of the best observation.
    ///
    /// # Errors
    /// No observation; a trainer of another network; a device that fails.
    pub fn restore(&self, trainer: &mut Trainer<'_, T>) -> Result<()> {
        match self.parameters() {
            Some(parameters) => trainer.set_parameters(parameters),
            None => Err(Error::argument("early stopping", "there is no observation to restore")),
        }
    }
}
