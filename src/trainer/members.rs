//! Losses of networks with members: each member has one of its own, and a sample's is their mean.

use crate::activation::Activation;
use crate::engine::LossFormula;
use crate::error::Result;
use crate::layer::{LayerKind, LossOperands};
use crate::matrix::{Matrix, MatrixMut, MatrixRef};
use crate::network::Network;
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

    /// The activation of the heads.
    pub(super) fn activation(&self) -> Activation {
        self.activation
    }

    /// What the members predict in the mean, `outputs x samples`, from their outputs.
    pub(super) fn mean(&mut self, output: MatrixRef<'_, T>) -> Result<MatrixRef<'_, T>> {
        let columns = 0..output.columns();
        members::mean(output, self.mean.view_mut().sub_columns(columns.clone())?)?;
        self.mean.view().sub_columns(columns)
    }
}
