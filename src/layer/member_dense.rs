//! Dense layers of networks with members: one for all members, and one for each (Gorishniy, Kotelnikov and Babenko, "TabM: Advancing
//! Tabular Deep Learning with Parameter-Efficient Ensembling", ICLR 2025, arXiv 2410.24210).

use std::sync::Arc;

use super::{
    Layer, LayerKind, LossOperands, Parts, Pass, Role, Training, TrainingLayer, refuse_discarded,
};
use crate::activation::{Activation, Keeps};
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::init::Init;
use crate::matrix::{Matrix, MatrixMut, MatrixRef};
use crate::ops::fused::{Outputs, dense_forward, dense_gradient, dense_propagate, pack_weights};
use crate::scalar::Scalar;

/// The inference layer: `a_m = f(W_m x_m + b_m)` for the rows `x_m` of each member m, which stand one below the other
/// ([`Members`](super::Members)).
///
/// Members either share one W (`outputs x inputs` of a member) and one b: then all members of all samples are the columns of one product.
/// Or each has its own (*heads*), and they stand one below the other as its rows do.
///
/// ```
/// use travertine::layer::{Layer, MemberDense, Role};
/// use travertine::{Activation, Matrix, engine};
/// let cpu = engine::open::<f32>("cpu")?;
/// let mut layer = MemberDense::shared(&cpu, 2, 1, 1, Activation::Identity)?;
/// layer.weights_mut().write(&[10.0])?;
/// let x = Matrix::from_slice(&cpu, 2, 1, &[1.0, 2.0])?; // one number of each of two members
/// let mut a = Matrix::zeros(&cpu, 2, 1)?;
/// layer.infer(Role::Output, None, x.view(), a.view_mut())?;
/// assert_eq!(a.to_vec()?, [10.0, 20.0]);
/// # Ok::<(), travertine::Error>(())
/// ```
pub struct MemberDense<T: Scalar> {
    /// `outputs x inputs` of a member; of heads `members outputs x inputs`
    weights: Matrix<T>,
    /// `outputs x 1`; of heads `members outputs x 1`
    bias: Matrix<T>,
    activation: Activation,
    split: Split,
}

impl<T: Scalar> MemberDense<T> {
    /// One layer for all members, its parameters 0. `inputs` and `outputs` are those of a member.
    ///
    /// # Errors
    /// No members, inputs or outputs; softmax, which is for heads; an activation's parameter out of range; no memory.
    pub fn shared(
        engine: &Arc<dyn Engine<T>>,
        members: usize,
        inputs: usize,
        outputs: usize,
        activation: Activation,
    ) -> Result<Self> {
        if activation == Activation::Softmax {
            let reason = "softmax is for heads; give this layer another activation or identity";
            return Err(Error::argument("member dense", reason));
        }
        MemberDense::new(engine, Split { members, is_shared: true }, (inputs, outputs), activation)
    }

    /// A layer for each member, its parameters 0. `inputs` and `outputs` are those of a member.
    ///
    /// # Errors
    /// No members, inputs or outputs; an activation's parameter out of range; no memory.
    pub fn heads(
        engine: &Arc<dyn Engine<T>>,
        members: usize,
        inputs: usize,
        outputs: usize,
        activation: Activation,
    ) -> Result<Self> {
        MemberDense::new(engine, Split { members, is_shared: false }, (inputs, outputs), activation)
    }

    fn new(
        engine: &Arc<dyn Engine<T>>,
        split: Split,
        (inputs, outputs): (usize, usize),
        activation: Activation,
    ) -> Result<Self> {
        if split.members == 0 || inputs == 0 || outputs == 0 {
            let reason = format!(
                "a layer must have members, inputs and outputs, not {}, {inputs} and {outputs}",
                split.members
            );
            return Err(Error::argument("member dense", reason));
        }
        let rows = outputs.saturating_mul(split.blocks());
        Ok(MemberDense {
            weights: Matrix::zeros(engine, rows, inputs)?,
            bias: Matrix::zeros(engine, rows, 1)?,
            activation: activation.validate()?,
            split,
        })
    }
}

/// How the rows of members are divided into blocks, each of which is a dense layer's.
#[derive(Clone, Copy)]
struct Split {
    members: usize,
    /// Whether all members are one block, as the columns of one matrix.
    is_shared: bool,
}

impl Split {
    fn blocks(self) -> usize {
        if self.is_shared { 1 } else { self.members }
    }

    fn kind(self) -> LayerKind {
        if self.is_shared { LayerKind::MemberDense } else { LayerKind::MemberHeads }
    }

    /// A block of the rows of all members.
    fn rows<T: Scalar>(self, block: usize, x: MatrixRef<'_, T>) -> Result<MatrixRef<'_, T>> {
        let rows = x.rows() / self.members;
        if self.is_shared { x.regroup(rows) } else { x.sub_rows(block * rows..(block + 1) * rows) }
    }

    fn rows_mut<T: Scalar>(self, block: usize, x: MatrixMut<'_, T>) -> Result<MatrixMut<'_, T>> {
        let rows = x.rows() / self.members;
        if self.is_shared { x.regroup(rows) } else { x.sub_rows(block * rows..(block + 1) * rows) }
    }

    /// The parameters of a block.
    fn own<T: Scalar>(self, block: usize, of: MatrixRef<'_, T>) -> Result<MatrixRef<'_, T>> {
        let rows = of.rows() / self.blocks();
        of.sub_rows(block * rows..(block + 1) * rows)
    }

    /// `sinks = scale gradient + keep sinks` with the mean over the samples.
    fn gradient<T: Scalar>(
        self,
        delta: MatrixRef<'_, T>,
        input: MatrixRef<'_, T>,
        [mut weights, mut bias]: [MatrixMut<'_, T>; 2],
        (scale, keep): (f64, f64),
    ) -> Result<()> {
        let rows = weights.rows() / self.blocks();
        for block in 0..self.blocks() {
            let (delta, input) = (self.rows(block, delta)?, self.rows(block, input)?);
            let own = block * rows..(block + 1) * rows;
            let sinks = [&mut weights, &mut bias];
            let [weights, bias] = sinks.map(|sink| sink.reborrow().sub_rows(own.clone()));
            // The product's mean is one over the columns, of which a sample has as many as the block has members.
            let columns = if self.is_shared { self.members } else { 1 };
            dense_gradient(delta, input, [weights?, bias?], scale * columns as f64, keep)?;
        }
        Ok(())
    }
}

impl<T: Scalar> Layer<T> for MemberDense<T> {
    fn kind(&self) -> LayerKind {
        self.split.kind()
    }

    fn inputs(&self) -> usize {
        self.weights.columns() * self.split.members
    }

    fn outputs(&self) -> usize {
        self.weights.rows() / self.split.blocks() * self.split.members
    }

    fn members(&self) -> usize {
        self.split.members
    }

    own_parameters!();

    fn copy(&self) -> Result<Box<dyn Layer<T>>> {
        let (weights, bias) = (self.weights.copy()?, self.bias.copy()?);
        let (activation, split) = (self.activation, self.split);
        Ok(Box::new(MemberDense { weights, bias, activation, split }))
    }

    /// As for a dense layer with these weights.
    fn initialize(&mut self, init: Init, seed: u64, number: u32) -> Result<()> {
        let (inputs, outputs) = (self.weights.columns(), self.weights.rows());
        let (weights, bias) = init.validate()?.parameters(inputs, outputs, seed, number);
        self.weights.view_mut().write(&weights)?;
        self.bias.view_mut().write(&bias)
    }

    fn pack_weights(&self) -> Result<Option<Matrix<T>>> {
        if self.split.is_shared { pack_weights(self.weights()) } else { Ok(None) }
    }

    fn infer(
        &self,
        role: Role,
        packed: Option<&Matrix<T>>,
        input: MatrixRef<'_, T>,
        mut output: MatrixMut<'_, T>,
    ) -> Result<()> {
        let transfer = role.activation(self.activation).transfer();
        for block in 0..self.split.blocks() {
            let (weights, bias) =
                (self.split.own(block, self.weights())?, self.split.own(block, self.bias())?);
            let a = self.split.rows_mut(block, output.reborrow())?;
            let outputs = Outputs { z: None, a, rounds: false, trains: false };
            let input = self.split.rows(block, input)?;
            dense_forward(weights, packed, bias, transfer, input, outputs)?;
        }
        Ok(())
    }

    fn training(&mut self, batch: usize, role: Role) -> Result<Training<'_, T>> {
        let outputs = self.outputs();
        let engine = Arc::clone(self.weights.engine());
        let buffer = || Matrix::zeros(&engine, outputs, batch);
        let activation = role.activation(self.activation);
        Ok(Training::MemberDense(MemberDenseTraining {
            split: self.split,
            z: if activation.keeps() == Keeps::Sum { Some(buffer()?) } else { None },
            a: buffer()?,
            delta: buffer()?,
            discarded: false,
            weights: self.weights.view_mut(),
            bias: self.bias.view_mut(),
            activation,
            own_activation: self.activation,
        }))
    }
}

impl<T: Scalar> From<MemberDense<T>> for Box<dyn Layer<T>> {
    fn from(layer: MemberDense<T>) -> Self {
        Box::new(layer)
    }
}

/// The training layer: borrows an inference layer's parameters and keeps what backward needs.
pub struct MemberDenseTraining<'l, T: Scalar> {
    split: Split,
    /// As [`MemberDense`] has them
    weights: MatrixMut<'l, T>,
    bias: MatrixMut<'l, T>,
    /// In this role.
    activation: Activation,
    own_activation: Activation,
    /// `members outputs x batch`, where the derivative is computed from z
    z: Option<Matrix<T>>,
    /// `members outputs x batch`
    a: Matrix<T>,
    /// dC/dz, `members outputs x batch`
    delta: Matrix<T>,
    /// See [`TrainingLayer::discard_pass`].
    discarded: bool,
}

impl<T: Scalar> TrainingLayer<T> for MemberDenseTraining<'_, T> {
    fn kind(&self) -> LayerKind {
        self.split.kind()
    }

    fn inputs(&self) -> usize {
        self.weights.columns() * self.split.members
    }

    passes!();

    fn parts_mut(&mut self) -> Parts<'_, T> {
        Parts { parameters: [self.weights.reborrow(), self.bias.reborrow()], statistics: None }
    }

    fn forward_as(&mut self, _pass: Pass, input: MatrixRef<'_, T>) -> Result<()> {
        let samples = input.columns();
        self.discarded = false;
        let split = self.split;
        for block in 0..split.blocks() {
            let columns = 0..samples;
            let a = split.rows_mut(block, self.a.view_mut().sub_columns(columns.clone())?)?;
            let z = self.z.as_mut().map(|z| z.view_mut().sub_columns(columns)).transpose()?;
            let z = z.map(|z| split.rows_mut(block, z)).transpose()?;
            let outputs = Outputs { z, a, rounds: false, trains: true };
            dense_forward(
                split.own(block, self.weights.as_ref())?,
                None,
                split.own(block, self.bias.as_ref())?,
                self.activation.transfer(),
                split.rows(block, input)?,
                outputs,
            )?;
        }
        Ok(())
    }

    fn propagate(&mut self, previous: &mut dyn TrainingLayer<T>, samples: usize) -> Result<()> {
        let delta = self.delta(samples)?;
        let split = self.split;
        let (_, mut out, fold) = previous.loss_operands(samples)?;
        for block in 0..split.blocks() {
            let fold = fold.map(|kept| split.rows(block, kept))?;
            let out = split.rows_mut(block, out.reborrow())?;
            let weights = split.own(block, self.weights.as_ref())?;
            dense_propagate(weights, split.rows(block, delta)?, fold, out)?;
        }
        Ok(())
    }

    fn gradient(
        &self,
        input: MatrixRef<'_, T>,
        sinks: [MatrixMut<'_, T>; 2],
        scale: f64,
        keep: f64,
    ) -> Result<()> {
        self.split.gradient(self.delta(input.columns())?, input, sinks, (scale, keep))
    }

    fn descend(&mut self, input: MatrixRef<'_, T>, scale: f64, keep: f64) -> Result<()> {
        let delta = self.delta.view().sub_columns(0..input.columns())?;
        let sinks = [self.weights.reborrow(), self.bias.reborrow()];
        self.split.gradient(delta, input, sinks, (scale, keep))
    }

    fn set_role(&mut self, role: Role) {
        self.activation = role.activation(self.own_activation);
    }

    fn buffers(&self) -> Vec<(&'static str, &Matrix<T>)> {
        let z = self.z.as_ref().map(|z| ("z", z));
        z.into_iter().chain([("activation", &self.a), ("delta", &self.delta)]).collect()
    }
}
