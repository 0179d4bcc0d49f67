//! Everything that a training goes on from.

use std::collections::BTreeMap;

use super::Trainer;
use super::loss_scale::ScaleState;
use crate::error::{Error, Result};
use crate::layer::{Parts, Training};
use crate::matrix::{Matrix, MatrixMut};
use crate::samples::Samples;
use crate::scalar::Scalar;

/// What the scale of the loss is called, now and before the epoch.
const SCALES: [&str; 2] = ["loss_scale", "loss_scale.last_good"];
/// More than anybody takes.
const MOST_STEPS: u64 = 1 << 60;

/// A training at a moment between two steps, in host memory: parameters, the optimizer's state, the schedule, the place in the
/// epoch, and the losses of its samples so far. Random numbers need no place in it: they are functions of seed and step.
///
/// ```
/// use travertine::{Activation, Loss, Network, Samples, Trainer, data, engine, optimizer::Adam};
/// let cpu = engine::open::<f32>("cpu")?;
/// let digits = data::digits()?;
/// let mut samples = Samples::new(&cpu, &digits)?;
/// let build = || Network::builder(&cpu, 64).dense(10, Activation::Softmax).build();
/// let (mut network, mut twin) = (build()?, build()?);
/// let mut trainer = Trainer::builder(&mut network, Loss::SoftmaxCrossEntropy, Adam::new(0.001)?).batch(32).seed(1).build()?;
/// trainer.epoch(&mut samples)?;
/// let snapshot = trainer.snapshot(&mut samples)?;
/// trainer.epoch(&mut samples)?;
///
/// let mut other = Trainer::builder(&mut twin, Loss::SoftmaxCrossEntropy, Adam::new(0.001)?).batch(32).seed(1).build()?;
/// other.restore(&snapshot, &mut samples)?;
/// other.epoch(&mut samples)?;
/// drop((trainer, other));
/// assert_eq!(network.layers()[0].weights().to_vec()?, twin.layers()[0].weights().to_vec()?);
/// # Ok::<(), travertine::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Snapshot<T> {
    pub(crate) epoch: u64,
    pub(crate) step: u64,
    /// The step that the epoch began with.
    pub(crate) first_step: u64,
    /// Samples done in the epoch.
    pub(crate) position: u64,
    /// What the schedule has seen, bit by bit.
    pub(crate) pace: [u64; 3],
    /// Column-major, by their names.
    pub(crate) tensors: BTreeMap<String, Vec<T>>,
}

impl<T: Scalar> Snapshot<T> {
    /// Epochs done.
    pub fn epochs(&self) -> u64 {
        self.epoch
    }

    /// Steps done.
    pub fn steps(&self) -> u64 {
        self.step
    }

    /// Samples done in the epoch that has begun; 0 between two epochs.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// Numbers of one's own that are to be kept with it.
    pub fn attach(&mut self, name: impl Into<String>, values: Vec<T>) {
        self.tensors.insert(name.into(), values);
    }

    /// The numbers of that name.
    pub fn numbers(&self, name: &str) -> Option<&[T]> {
        self.tensors.get(name).map(Vec::as_slice)
    }
}

impl<T: Scalar> Trainer<'_, T> {
    /// Takes down where training is. `samples`: those that it trains on. Waits for the device.
    ///
    /// # Errors
    /// A device that fails.
    pub fn snapshot(&mut self, samples: &mut Samples<'_, T>) -> Result<Snapshot<T>> {
        let read =
            |(name, matrix): (String, MatrixMut<'_, T>)| Ok((name, matrix.as_ref().to_vec()?));
        let tensors: Result<BTreeMap<_, _>> =
            self.everything(samples).into_iter().map(read).collect();
        let mut tensors = tensors?;
        if let Some(scaler) = self.stepper.scaler() {
            let states = [scaler.state, scaler.last_good].map(|state| state.numbers().to_vec());
            tensors.extend(SCALES.map(str::to_owned).into_iter().zip(states));
        }
        Ok(Snapshot {
            epoch: self.epoch,
            step: self.stepper.step,
            first_step: self.first_step,
            position: self.position as u64,
            pace: self.stepper.schedule.state(),
            tensors,
        })
    }

    /// Goes on from where another trainer of the same network, loss, optimizer, batch and seed was with the same samples: what
    /// follows is the same, bit by bit, on an engine of the same kind.
    ///
    /// # Errors
    /// A snapshot of another training: the first matrix that is missing or of another size is named, and nothing is changed; a
    /// device that fails.
    pub fn restore(&mut self, snapshot: &Snapshot<T>, samples: &mut Samples<'_, T>) -> Result<()> {
        let refused = |reason: String| Error::argument("restore", reason);
        let count = samples.count();
        let batch = self.batch();
        for (name, matrix) in self.everything(samples) {
            let (own, found) =
                (matrix.rows() * matrix.columns(), snapshot.numbers(&name).map(<[T]>::len));
            if found != Some(own) {
                let found = found.map_or("none".to_owned(), |found| found.to_string());
                return Err(refused(format!(
                    "{name} has {own} numbers here, the snapshot has {found}"
                )));
            }
        }
        if snapshot.step > MOST_STEPS
            || snapshot.first_step > snapshot.step
            || snapshot.epoch > MOST_STEPS
        {
            return Err(refused(format!(
                "step {} of epoch {} is no place in a training",
                snapshot.step, snapshot.epoch
            )));
        }
        let position = usize::try_from(snapshot.position).unwrap_or(usize::MAX);
        if position > count || position < count && !position.is_multiple_of(batch) {
            let reason = format!(
                "sample {position} is between two steps neither of {count} samples nor of batches of {batch}"
            );
            return Err(refused(reason));
        }
        let scales = SCALES.map(|name| snapshot.numbers(name).and_then(ScaleState::from_numbers));
        match (self.stepper.scaler_mut(), scales) {
            (Some(scaler), [Some(state), Some(last_good)]) => {
                (scaler.state, scaler.last_good) = (state, last_good)
            }
            (None, [None, None]) => {}
            (Some(_), _) => {
                return Err(refused(
                    "the loss is scaled here, in the snapshot it is not".to_owned(),
                ));
            }
            (None, _) => {
                return Err(refused(
                    "the loss is scaled in the snapshot, here it is not".to_owned(),
                ));
            }
        }
        for (name, mut matrix) in self.everything(samples) {
            matrix.write(snapshot.numbers(&name).unwrap_or_default())?;
        }
        (self.epoch, self.stepper.step) = (snapshot.epoch, snapshot.step);
        (self.first_step, self.position) = (snapshot.first_step, position);
        self.stepper.schedule.set_state(snapshot.pace);
        Ok(())
    }

    /// All parameters, layer by layer weights (`outputs x inputs`), bias and, where a layer has them, running statistics, for a model
    /// that is to be kept while training goes on.
    ///
    /// # Errors
    /// A device that fails.
    pub fn parameters(&self) -> Result<Vec<Vec<T>>> {
        let matrices = |layer: &Training<'_, T>| -> Result<Vec<Vec<T>>> {
            let matrices = [layer.weights(), layer.bias()].into_iter().chain(layer.statistics());
            matrices.map(|x| x.to_vec()).collect()
        };
        Ok(self
            .layers()
            .iter()
            .map(matrices)
            .collect::<Result<Vec<_>>>()?
            .into_iter()
            .flatten()
            .collect())
    }

    /// Takes back what [`Trainer::parameters`] gave.
    ///
    /// # Errors
    /// Parameters of another network; a device that fails.
    pub fn set_parameters(&mut self, parameters: &[Vec<T>]) -> Result<()> {
        let own: usize =
            self.layers().iter().map(|layer| 2 + usize::from(layer.statistics().is_some())).sum();
        if own != parameters.len() {
            let reason = format!("{} matrices; the network has {own}", parameters.len());
            return Err(Error::argument("set parameters", reason));
        }
        let mut parameters = parameters.iter().map(Vec::as_slice);
        let mut next = || parameters.next().unwrap_or_default();
        for layer in &mut self.stepper.layers {
            let Parts { parameters, statistics } = layer.parts_mut();
            for mut matrix in parameters.into_iter().chain(statistics) {
                matrix.write(next())?;
            }
        }
        Ok(())
    }

    /// Every matrix that training goes on from, with its name.
    fn everything<'a>(
        &'a mut self,
        samples: &'a mut Samples<'_, T>,
    ) -> Vec<(String, MatrixMut<'a, T>)> {
        let mut all = Vec::new();
        let layers = self
            .stepper
            .layers
            .iter_mut()
            .zip(&mut self.stepper.states)
            .zip(self.last_good.parts_mut());
        for (i, ((layer, states), (good, good_statistics))) in layers.enumerate() {
            let Parts { parameters, statistics } = layer.parts_mut();
            let parts = parameters.into_iter().zip(states).zip(good);
            for (kind, ((parameter, states), good)) in ["weight", "bias"].into_iter().zip(parts) {
                all.push((format!("layers.{i}.{kind}"), parameter));
                let states = states.iter_mut().enumerate();
                all.extend(
                    states.map(|(k, state)| {
                        (format!("layers.{i}.{kind}.state.{k}"), state.view_mut())
                    }),
                );
                let good = good.iter_mut().enumerate();
                all.extend(good.map(|(k, good)| {
                    (format!("layers.{i}.{kind}.last_good.{k}"), good.view_mut())
                }));
            }
            let good_statistics = good_statistics.as_mut().map(Matrix::view_mut);
            let statistics =
                [("statistics", statistics), ("statistics.last_good", good_statistics)];
            all.extend(
                statistics
                    .into_iter()
                    .filter_map(|(name, matrix)| Some((format!("layers.{i}.{name}"), matrix?))),
            );
        }
        let [losses, hits] = samples.rows_mut();
        all.extend([("samples.losses".to_owned(), losses), ("samples.hits".to_owned(), hits)]);
        all
    }
}
