//! Layers whose parameters stay as they are.

use std::ops::Range;

use super::Trainer;
use super::collected::Collected;
use crate::error::{Error, Result};
use crate::matrix::Matrix;
use crate::ops;
use crate::scalar::Scalar;

impl<T: Scalar> Trainer<'_, T> {
    /// Freezes layers, counted from 0: from the next step on their parameters and the optimizer's states for them stay as they
    /// are, bit by bit. Backward ends at the lowest layer that is trained, so that the layers in front of it cost a forward pass
    /// alone. A frozen batch normalization uses its running statistics and leaves them as they are. Call it between two epochs.
    ///
    /// ```
    /// # use travertine::{Activation, Loss, Matrix, Network, Trainer, engine, optimizer::Sgd};
    /// # let cpu = engine::open::<f32>("cpu")?;
    /// # let (x, t) = (Matrix::from_slice(&cpu, 2, 1, &[0.5, 0.3])?, Matrix::from_slice(&cpu, 1, 1, &[1.0])?);
    /// # let mut network =
    /// #     Network::builder(&cpu, 2).dense(4, Activation::Tanh).dense(1, Activation::Identity).build()?;
    /// let mut trainer = Trainer::builder(&mut network, Loss::Quadratic, Sgd::new(0.1)?).build()?;
    /// trainer.freeze(0..1)?;
    /// let before = trainer.parameters()?;
    /// trainer.step(x.view(), t.view())?;
    /// let after = trainer.parameters()?;
    /// assert!(before[..2] == after[..2] && before[2..] != after[2..]);
    /// trainer.unfreeze(0..1)?;
    /// # Ok::<(), travertine::Error>(())
    /// ```
    ///
    /// # Errors
    /// Layers that do not exist; no layer that would still be trained; a device that fails.
    pub fn freeze(&mut self, layers: Range<usize>) -> Result<()> {
        self.check_layers("freeze", &layers)?;
        let is_frozen = |(i, frozen): (usize, &bool)| *frozen || layers.contains(&i);
        if self.stepper.frozen.iter().enumerate().all(is_frozen) {
            return Err(Error::argument("freeze", "at least one layer must be trained"));
        }
        self.stepper.frozen[layers.clone()].fill(true);
        // Gradients that no backward pass writes must not count in the norm of all.
        let Some(Collected { gradients, .. }) = &mut self.stepper.collected else { return Ok(()) };
        let mut gradients = gradients[layers].iter_mut().flatten().map(Matrix::view_mut);
        gradients.try_for_each(|gradient| ops::fill(T::default(), gradient))
    }

    /// Trains layers again that [`Trainer::freeze`] has frozen.
    ///
    /// # Errors
    /// Layers that do not exist.
    pub fn unfreeze(&mut self, layers: Range<usize>) -> Result<()> {
        self.check_layers("unfreeze", &layers)?;
        self.stepper.frozen[layers].fill(false);
        Ok(())
    }

    /// For every layer whether it is frozen.
    pub fn frozen(&self) -> &[bool] {
        &self.stepper.frozen
    }

    fn check_layers(&self, operation: &'static str, layers: &Range<usize>) -> Result<()> {
        let count = self.layers().len();
        if layers.start < layers.end && layers.end <= count {
            return Ok(());
        }
        let reason = format!("layers {layers:?}; the network has {count}, counted from 0");
        Err(Error::argument(operation, reason))
    }
}
