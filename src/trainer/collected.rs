//! Gradients that are scaled or bounded before the optimizer uses them.

use super::factors::Factors;
use super::loss_scale::{LossScale, Scaler};
use crate::error::Result;
use crate::layer::Training;
use crate::matrix::{Matrix, MatrixMut, MatrixRef};
use crate::ops;
use crate::optimizer::{self, Clip, Clipper, Optimizer, Sink, Step, UpdateRule};
use crate::scalar::Scalar;

/// The gradients of weights and bias of every layer, and what happens to them.
pub(super) struct Collected<T: Scalar> {
    pub(super) scaler: Option<Scaler<T>>,
    clipper: Option<Clipper<T>>,
    pub(super) gradients: Vec<[Matrix<T>; 2]>,
}

impl<T: Scalar> Collected<T> {
    /// `None` where the optimizer uses gradients as they are, in one way for weights and bias (unless they `differ`).
    pub(super) fn new(
        (clip, scale): (Option<Clip>, Option<LossScale>),
        differ: bool,
        layers: &[Training<'_, T>],
    ) -> Result<Option<Self>> {
        if clip.is_none() && scale.is_none() && !differ {
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

/// The optimizer in one step.
#[derive(Clone, Copy)]
pub(super) struct Update<'o, T: Scalar> {
    pub optimizer: &'o dyn Optimizer<T>,
    pub step: Step,
    /// For parameters without factors of their own.
    pub rule: Option<&'o UpdateRule>,
    pub factors: Option<&'o [[Factors; 2]]>,
}

impl<T: Scalar> Update<'_, T> {
    /// The steps of weights and bias of layer i.
    fn steps(&self, i: usize) -> [Step; 2] {
        let factors = self.factors.map_or([Factors::default(); 2], |factors| factors[i]);
        let Step { number, factor, decay } = self.step;
        factors.map(|f| Step { number, factor: factor * f.rate, decay: decay * f.decay })
    }

    /// Updates weights and bias of layer i once their gradients are written.
    pub fn apply(
        &self,
        i: usize,
        layer: &mut Training<'_, T>,
        states: &mut [Vec<Matrix<T>>; 2],
    ) -> Result<()> {
        let parts = layer.parameters_mut().into_iter().zip(states);
        for ((parameter, states), step) in parts.zip(self.steps(i)) {
            let own = self.factors.and_then(|_| self.optimizer.rule(step));
            let rule = if self.factors.is_some() { own.as_ref() } else { self.rule };
            optimizer::update(self.optimizer, (step, rule), parameter, states)?;
        }
        Ok(())
    }
}

impl<T: Scalar> Collected<T> {
    /// Once all gradients are known: whether they are used, which a scale decides. Bounds them then.
    pub(super) fn accepts(&mut self) -> Result<bool> {
        if let Some(scaler) = &mut self.scaler
            && !scaler.accepts(&self.gradients)?
        {
            return Ok(false);
        }
        if let Some(clipper) = &mut self.clipper {
            clipper.clip(&mut self.gradients)?;
        }
        Ok(true)
    }

    /// Gives the gradients of layer i to the optimizer.
    pub(super) fn update(
        &mut self,
        i: usize,
        update: Update<'_, T>,
        layer: &mut Training<'_, T>,
        states: &mut [Vec<Matrix<T>>; 2],
    ) -> Result<()> {
        let parts = layer.parameters_mut().into_iter().zip(&mut self.gradients[i]);
        for (((parameter, gradient), states), step) in parts.zip(&mut *states).zip(update.steps(i))
        {
            match update.optimizer.sink(step) {
                Sink::GRADIENT => std::mem::swap(gradient, &mut states[0]),
                Sink::State { scale, keep } => {
                    add(scale, gradient, keep, states[0].view_mut())?;
                }
                Sink::Parameters { scale, keep } => add(scale, gradient, keep, parameter)?,
            }
        }
        update.apply(i, layer, states)
    }

    /// Names and matrices of the memory of this.
    pub(super) fn buffers(&self) -> impl Iterator<Item = (String, &Matrix<T>)> {
        let names = (0..self.gradients.len())
            .flat_map(|i| ["weight", "bias"].map(|name| format!("layers.{i}.{name}.gradient")));
        let clip = self.clipper.iter().flat_map(Clipper::buffers);
        let buffers = clip.chain(self.scaler.iter().map(Scaler::buffer));
        let buffers = buffers.map(|(name, matrix)| (name.to_owned(), matrix));
        names.zip(self.gradients.iter().flatten()).chain(buffers)
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
