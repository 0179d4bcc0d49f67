//! Snapshots: everything that a training goes on from.

use std::collections::BTreeMap;

use super::{Trainer, settings};
use crate::error::{Error, Result};
use crate::layer::{Parts, Training};
use crate::matrix::{Matrix, MatrixMut};
use crate::samples::Samples;
use crate::scalar::Scalar;

/// Names of the scale of the loss, now and before the epoch.
pub(super) const SCALES: [&str; 2] = ["loss_scale", "loss_scale.last_good"];

/// A training between two steps, in host memory: parameters, the optimizer's state, the schedule, the position in the epoch, the
/// losses of its samples so far, and the settings that decide what follows. Random numbers are functions of seed and step.
///
/// ```
/// use travertine::{Activation, Loss, Network, Samples, Trainer, data, engine, optimizer::Adam};
/// let cpu = engine::open::<f32>("cpu")?;
/// let digits = data::digits()?;
/// let mut samples = Samples::new(&cpu, &digits)?;
/// let build = || Network::builder(&cpu, 64).dense(10, Activation::Softmax).build();
/// let (mut network, mut twin) = (build()?, build()?);
/// let mut trainer = Trainer::builder(&mut network, Loss::SoftmaxCrossEntropy, Adam::new(0.001)?).seed(1).build()?;
/// trainer.epoch(&mut samples)?;
/// let snapshot = trainer.snapshot(&mut samples)?;
/// trainer.epoch(&mut samples)?;
///
/// let mut other = Trainer::builder(&mut twin, Loss::SoftmaxCrossEntropy, Adam::new(0.001)?).seed(1).build()?;
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
    /// The state of the schedule, bit by bit.
    pub(crate) schedule: [u64; 3],
    /// The settings that decide the bytes of the training, by their names; in older files there are none.
    pub(crate) settings: BTreeMap<String, String>,
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

    /// Samples done in the present epoch; 0 between two epochs.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// Adds numbers of the caller, for example the parameters of the best epoch.
    pub fn attach(&mut self, name: impl Into<String>, values: Vec<T>) {
        self.tensors.insert(name.into(), values);
    }

    /// The numbers with this name.
    pub fn numbers(&self, name: &str) -> Option<&[T]> {
        self.tensors.get(name).map(Vec::as_slice)
    }
}

impl<T: Scalar> Trainer<'_, T> {
    /// Copies the state of the training. `samples`: those that it trains on. Waits for the device.
    ///
    /// # Errors
    /// A device that fails.
    pub fn snapshot(&mut self, samples: &mut Samples<'_, T>) -> Result<Snapshot<T>> {
        let read =
            |(name, matrix): (String, MatrixMut<'_, T>)| Ok((name, matrix.as_ref().to_vec()?));
        let tensors: Result<BTreeMap<_, _>> =
            self.named_matrices(Some(samples)).into_iter().map(read).collect();
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
            schedule: self.stepper.schedule.state(),
            settings: self.settings().map(|(name, value)| (name.to_owned(), value)).collect(),
            tensors,
        })
    }

    /// All parameters, layer by layer weights (`outputs x inputs`), bias and, where a layer has them, running statistics, for a model
    /// to keep while training goes on.
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

    /// Writes what [`Trainer::parameters`] returned.
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

    /// The settings that decide the bytes of the training, by their names.
    pub(super) fn settings(&self) -> impl Iterator<Item = (&'static str, String)> + '_ {
        let frozen = settings::frozen(&self.stepper.frozen);
        self.settings.iter().cloned().chain([("frozen", frozen)])
    }

    /// Every matrix that training goes on from, with its name.
    pub(super) fn named_matrices<'a>(
        &'a mut self,
        samples: Option<&'a mut Samples<'_, T>>,
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
        if let Some([losses, hits]) = samples.map(Samples::rows_mut) {
            all.extend([("samples.losses".to_owned(), losses), ("samples.hits".to_owned(), hits)]);
        }
        all
    }
}
