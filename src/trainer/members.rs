//! Losses of networks with members: each member has one of its own, and a sample's is their mean.

use super::step::Stepper;
use crate::activation::Activation;
use crate::engine::LossFormula;
use crate::error::Result;
use crate::layer::{LayerKind, LossOperands, Pass};
use crate::matrix::{Matrix, MatrixMut, MatrixRef};
use crate::network::{Network, score_mean};
use crate::ops::members::Repeats;
use crate::ops::{self, fused, members};
use crate::scalar::Scalar;

/// What the losses of members need beside the layers.
pub(super) struct MemberLosses<T: Scalar> {
    members: usize,
    /// The activation of the heads.
    activation: Activation,
    repeats: Repeats<T>,
    /// `outputs x members batch`
    targets: Matrix<T>,
    /// Of each member of each sample, `1 x members batch`
    values: Matrix<T>,
    /// What the members predict in the mean, `outputs x batch`
    mean: Matrix<T>,
}

/// The layers of a network that are trained: all but a mean of members.
pub(super) fn trained_layers<T: Scalar>(network: &Network<T>) -> usize {
    let ends_in_mean = network.last().kind() == LayerKind::MemberMean;
    network.layers().len() - usize::from(ends_in_mean)
}

impl<T: Scalar> MemberLosses<T> {
    /// `None` where the network has no members.
    pub(super) fn new(network: &Network<T>, batch: usize) -> Result<Option<Self>> {
        let last = network.last();
        if last.kind() != LayerKind::MemberMean {
            return Ok(None);
        }
        let (members, outputs, engine) = (last.members(), last.outputs(), network.engine());
        let columns = members.saturating_mul(batch);
        let values = Matrix::zeros(engine, 1, columns)?;
        Ok(Some(MemberLosses {
            members,
            activation: last.activation(),
            repeats: Repeats::new(members, batch, values.view())?,
            targets: Matrix::zeros(engine, outputs, columns)?,
            values,
            mean: Matrix::zeros(engine, outputs, batch)?,
        }))
    }

    /// Names and matrices of the memory of this.
    pub(super) fn buffers(&self) -> [(&'static str, &Matrix<T>); 4] {
        [
            ("members.repeats", self.repeats.memory()),
            ("members.targets", &self.targets),
            ("members.losses", &self.values),
            ("members.mean", &self.mean),
        ]
    }

    /// Losses of the members in front of which `operands` stand, their mean for each sample, and its gradient.
    pub(super) fn loss(
        &mut self,
        loss: (LossFormula, Option<&Matrix<T>>),
        (output, mut delta, fold): LossOperands<'_, T>,
        t: MatrixRef<'_, T>,
        losses: MatrixMut<'_, T>,
    ) -> Result<()> {
        let (rows, columns) = (t.rows(), self.members * t.columns());
        let mut targets = self.targets.view_mut().sub_columns(0..columns)?;
        self.repeats.run(t, targets.reborrow())?;
        let targets = targets.as_ref();
        let mut values = self.values.view_mut().sub_columns(0..columns)?;
        let fold = fold.map(|kept| kept.regroup(rows))?;
        let gradient = Some((delta.reborrow().regroup(rows)?, fold));
        let output = output.regroup(rows)?;
        fused::loss(loss, output, targets, values.reborrow(), gradient)?;
        ops::scal(T::from_f64(1.0 / self.members as f64), delta)?;
        members::mean(values.as_ref().regroup(self.members)?, losses)
    }

    /// The share of members that hit each sample's target.
    pub(super) fn hits(
        &mut self,
        (output, threshold): (MatrixRef<'_, T>, f64),
        t: MatrixRef<'_, T>,
        hits: MatrixMut<'_, T>,
    ) -> Result<()> {
        let (rows, columns) = (t.rows(), self.members * t.columns());
        let mut targets = self.targets.view_mut().sub_columns(0..columns)?;
        self.repeats.run(t, targets.reborrow())?;
        let targets = targets.as_ref();
        let mut values = self.values.view_mut().sub_columns(0..columns)?;
        fused::hits(output.regroup(rows)?, targets, threshold, values.reborrow())?;
        members::mean(values.as_ref().regroup(self.members)?, hits)
    }
}

impl<T: Scalar> Stepper<'_, T> {
    /// The network's outputs after a forward pass in [`Stepper::with_output_role`]: the mean of members, where there are any.
    pub(super) fn prediction(&mut self, samples: usize) -> Result<MatrixRef<'_, T>> {
        let output = self.layers[self.layers.len() - 1].output(samples)?;
        let Some(of) = &mut self.members else { return Ok(output) };
        members::mean(output, of.mean.view_mut().sub_columns(0..samples)?)?;
        of.mean.view().sub_columns(0..samples)
    }

    /// Loss and hits of what the members predict in the mean.
    pub(super) fn evaluate_mean(
        &mut self,
        (x, t): (MatrixRef<'_, T>, MatrixRef<'_, T>),
        losses: MatrixMut<'_, T>,
        hits: MatrixMut<'_, T>,
        activation: Activation,
    ) -> Result<()> {
        let (loss, samples) = (self.loss, x.columns());
        self.with_output_role(|stepper| stepper.forward(x, Pass::Inference))?;
        let output = self.layers[self.layers.len() - 1].output(samples)?;
        let Some(of) = &mut self.members else { return Ok(()) };
        let mut mean = of.mean.view_mut().sub_columns(0..samples)?;
        members::mean(output, mean.reborrow())?;
        let loss = (loss, self.first_by_row.as_ref());
        score_mean(loss, activation, (mean.as_ref(), t), losses, hits)
    }

    /// The activation of the heads, where the network has members.
    pub(super) fn activation_of_members(&self) -> Option<Activation> {
        self.members.as_ref().map(|of| of.activation)
    }
}
