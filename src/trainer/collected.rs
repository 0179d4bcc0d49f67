//! Gradients that are scaled or bounded before the optimizer uses them.

use super::loss_scale::{LossScale, Scaler};
use super::step::{Stepper, update};
use crate::error::Result;
use crate::layer::Training;
use crate::matrix::{Matrix, MatrixMut, MatrixRef};
use crate::ops;
use crate::optimizer::{Clip, Clipper, Sink, Step, UpdateRule};
use crate::scalar::Scalar;

/// The gradients of weights and bias of every layer, and what happens to them.
pub(super) struct Collected<T: Scalar> {
    pub(super) scaler: Option<Scaler<T>>,
    clipper: Option<Clipper<T>>,
    pub(super) gradients: Vec<[Matrix<T>; 2]>,
}

impl<T: Scalar> Collected<T> {
    /// `None` where the optimizer uses gradients as they are.
    pub(super) fn new(
        clip: Option<Clip>,
        scale: Option<LossScale>,
        layers: &[Training<'_, T>],
    ) -> Result<Option<Self>> {
        if clip.is_none() && scale.is_none() {
            return Ok(None);
        }
        let (engine, count) = (layers[0].weights().engine(), 2 * layers.len());
        let clipper = clip.map(|clip| Clipper::new(clip, engine, count)).transpose()?;
        let scaler = scale.map(|scale| Scaler::new(scale, engine, count)).transpose()?;
        Ok(Some(Collected { scaler, clipper, gradients: zeros_like(layers)? }))
    }
}

/// Matrices of the shapes of weights and bias of every layer.
pub(super) fn zeros_like<T: Scalar>(layers: &[Training<'_, T>]) -> Result<Vec<[Matrix<T>; 2]>> {
    let zeros = |like: MatrixRef<'_, T>| Matrix::zeros(like.engine(), like.rows(), like.columns());
    layers.iter().map(|layer| Ok([zeros(layer.weights())?, zeros(layer.bias())?])).collect()
}

impl<T: Scalar> Stepper<'_, T> {
    pub(super) fn scaler(&self) -> Option<&Scaler<T>> {
        self.collected.as_ref()?.scaler.as_ref()
    }

    pub(super) fn scaler_mut(&mut self) -> Option<&mut Scaler<T>> {
        self.collected.as_mut()?.scaler.as_mut()
    }

    /// The factor of gradients on their way back.
    pub(super) fn scale(&self) -> f64 {
        self.scaler().map_or(1.0, |scaler| scaler.state.scale)
    }

    /// Names and matrices of the memory for collected gradients.
    pub(super) fn collected_buffers(&self) -> impl Iterator<Item = (String, &Matrix<T>)> {
        self.collected.iter().flat_map(|Collected { scaler, clipper, gradients }| {
            let names = (0..gradients.len())
                .flat_map(|i| ["weight", "bias"].map(|name| format!("layers.{i}.{name}.gradient")));
            let buffers =
                clipper.iter().flat_map(Clipper::buffers).chain(scaler.iter().map(Scaler::buffer));
            let buffers = buffers.map(|(name, matrix)| (name.to_owned(), matrix));
            names.zip(gradients.iter().flatten()).chain(buffers)
        })
    }

    /// Names and matrices of the memory for dropout and max-norm.
    pub(super) fn regularization_buffers(&self) -> impl Iterator<Item = (String, &Matrix<T>)> {
        let dropouts = self.dropouts.iter().enumerate();
        let dropouts = dropouts.filter_map(|(i, dropout)| Some((i, dropout.as_ref()?)));
        let dropped = dropouts.flat_map(|(i, dropout)| {
            dropout.buffers().map(|(name, matrix)| (format!("layers.{i}.{name}"), matrix))
        });
        let norms = self.max_norm.iter().flat_map(|max_norm| max_norm.buffers());
        dropped.chain(norms.map(|(name, matrix)| (name.to_owned(), matrix)))
    }

    /// Once all gradients are known: skips the step or bounds them, and hands them to the optimizer.
    pub(super) fn update_collected(&mut self, step: Step, rule: Option<&UpdateRule>) -> Result<()> {
        let Some(Collected { scaler, clipper, gradients }) = &mut self.collected else {
            return Ok(());
        };
        if let Some(scaler) = scaler
            && !scaler.accepts(gradients)?
        {
            return Ok(());
        }
        if let Some(clipper) = clipper {
            clipper.clip(gradients)?;
        }
        let sink = self.optimizer.sink(step);
        let layers = self.layers.iter_mut().zip(gradients).zip(&mut self.states);
        for ((layer, gradients), states) in layers {
            let parts = layer.parameters_mut().into_iter().zip(gradients).zip(&mut *states);
            for ((parameter, gradient), states) in parts {
                match sink {
                    Sink::GRADIENT => std::mem::swap(gradient, &mut states[0]),
                    Sink::State { scale, keep } => {
                        add(scale, gradient, keep, states[0].view_mut())?;
                    }
                    Sink::Parameters { scale, keep } => add(scale, gradient, keep, parameter)?,
                }
            }
            update(layer, (&*self.optimizer, step, rule), states)?;
        }
        Ok(())
    }
}

/// `sink = scale gradient + keep sink`
fn add<T: Scalar>(
    scale: f64,
    gradient: &Matrix<T>,
    keep: f64,
    sink: MatrixMut<'_, T>,
) -> Result<()> {
    ops::axpby(T::from_f64(scale), gradient.view(), T::from_f64(keep), sink)
}
