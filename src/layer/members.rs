//! The first and the last layer of networks with members (Gorishniy, Kotelnikov and Babenko, "TabM: Advancing Tabular Deep Learning with
//! Parameter-Efficient Ensembling", ICLR 2025, arXiv 2410.24210).

use std::sync::Arc;

use super::{
    Layer, LayerKind, LossOperands, Parts, Pass, Role, Training, TrainingLayer, refuse_discarded,
};
use crate::activation::Activation;
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::init::Init;
use crate::matrix::{Matrix, MatrixMut, MatrixRef};
use crate::ops;
use crate::ops::members::{self, Factors};
use crate::random::{Philox, Purpose};
use crate::scalar::Scalar;

/// The inference layer that begins members: member m gets `y_m = r_m ⊙ x`, with factors r_m of its own for the inputs, which all members
/// share. Rows of the members stand one below the other: n inputs become `members n` outputs.
///
/// The weights (`members inputs x 1`) are the factors; at first each is 1 or -1, so that members see different sums. There is no bias: as
/// every layer has a second matrix, this one's is a single 0, which nothing reads, counts or saves.
///
/// What stands in front of it has the identity as its activation, such as embeddings.
///
/// ```
/// use travertine::layer::{Layer, Members, Role};
/// use travertine::{Matrix, engine};
/// let cpu = engine::open::<f32>("cpu")?;
/// let mut layer = Members::new(&cpu, 2, 3)?;
/// layer.weights_mut().write(&[1.0, 1.0, 1.0, -1.0, 0.5, 0.0])?;
/// let x = Matrix::from_slice(&cpu, 3, 1, &[2.0, 4.0, 6.0])?;
/// let mut y = Matrix::zeros(&cpu, 6, 1)?;
/// layer.infer(Role::Output, None, x.view(), y.view_mut())?;
/// assert_eq!(y.to_vec()?, [2.0, 4.0, 6.0, -2.0, 2.0, 0.0]);
/// # Ok::<(), travertine::Error>(())
/// ```
pub struct Members<T: Scalar> {
    /// `members inputs x 1`
    weights: Matrix<T>,
    /// A single 0, `1 x 1`
    bias: Matrix<T>,
    /// Means 0 and variances 1, `inputs x 2`
    moments: Matrix<T>,
    /// Zeros, `inputs x 1`
    zeros: Matrix<T>,
    members: usize,
}

impl<T: Scalar> Members<T> {
    /// So many members of so many inputs; all factors 1.
    ///
    /// # Errors
    /// No members or no inputs; no memory.
    pub fn new(engine: &Arc<dyn Engine<T>>, members: usize, inputs: usize) -> Result<Self> {
        if members == 0 || inputs == 0 {
            let reason = format!("there must be members and inputs, not {members} and {inputs}");
            return Err(Error::argument("members", reason));
        }
        let one = T::from_f64(1.0);
        let mut weights = Matrix::zeros(engine, members.saturating_mul(inputs), 1)?;
        ops::fill(one, weights.view_mut())?;
        let mut moments = Matrix::zeros(engine, inputs, 2)?;
        ops::fill(one, moments.view_mut().column(1)?)?;
        let (bias, zeros) = (Matrix::zeros(engine, 1, 1)?, Matrix::zeros(engine, inputs, 1)?);
        Ok(Members { weights, bias, moments, zeros, members })
    }
}

impl<T: Scalar> Layer<T> for Members<T> {
    fn kind(&self) -> LayerKind {
        LayerKind::Members
    }

    fn inputs(&self) -> usize {
        self.zeros.rows()
    }

    fn outputs(&self) -> usize {
        self.weights.rows()
    }

    fn members(&self) -> usize {
        self.members
    }

    fn activation(&self) -> Activation {
        Activation::Identity
    }

    own_matrices!();

    fn copy(&self) -> Result<Box<dyn Layer<T>>> {
        let mut copy = Members::new(self.weights.engine(), self.members, self.inputs())?;
        ops::copy(self.weights(), copy.weights.view_mut())?;
        Ok(Box::new(copy))
    }

    /// Random signs, whatever `init` is.
    fn initialize(&mut self, init: Init, seed: u64, number: u32) -> Result<()> {
        init.validate()?;
        let stream = Philox::new(seed, Purpose::Weights, number);
        let sign = |i: u64| if stream.uniform(i) < 0.5 { -1.0 } else { 1.0 };
        let signs: Vec<f64> = (0..self.weights.rows() as u64).map(sign).collect();
        self.weights.view_mut().write_f64(&signs)
    }

    fn infer(
        &self,
        _role: Role,
        _packed: Option<&Matrix<T>>,
        input: MatrixRef<'_, T>,
        output: MatrixMut<'_, T>,
    ) -> Result<()> {
        let (factors, moments) = (self.weights(), self.moments.view());
        members::forward(Factors { factors, moments, zeros: self.zeros.view() }, input, output)
    }

    fn training(&mut self, batch: usize, _role: Role) -> Result<Training<'_, T>> {
        let engine = Arc::clone(self.weights.engine());
        let (inputs, outputs) = (self.inputs(), self.outputs());
        Ok(Training::Members(MembersTraining {
            moments: self.moments.view(),
            zeros: self.zeros.view(),
            part: Matrix::zeros(&engine, inputs, batch)?,
            a: Matrix::zeros(&engine, outputs, batch)?,
            delta: Matrix::zeros(&engine, outputs, batch)?,
            z: None,
            discarded: false,
            weights: self.weights.view_mut(),
            bias: self.bias.view_mut(),
            activation: Activation::Identity,
        }))
    }
}

impl<T: Scalar> From<Members<T>> for Box<dyn Layer<T>> {
    fn from(layer: Members<T>) -> Self {
        Box::new(layer)
    }
}

/// The training layer: borrows an inference layer's parameters, keeps its outputs and their gradient.
pub struct MembersTraining<'l, T: Scalar> {
    /// `members inputs x 1`
    weights: MatrixMut<'l, T>,
    /// `1 x 1`
    bias: MatrixMut<'l, T>,
    /// `inputs x 2`
    moments: MatrixRef<'l, T>,
    /// `inputs x 1`
    zeros: MatrixRef<'l, T>,
    /// A member's part of the gradient by the inputs, `inputs x batch`
    part: Matrix<T>,
    /// Identity: nothing stands behind y.
    activation: Activation,
    /// None, as nothing stands behind y.
    z: Option<Matrix<T>>,
    /// y, `members inputs x batch`
    a: Matrix<T>,
    /// dC/dy, `members inputs x batch`
    delta: Matrix<T>,
    /// See [`TrainingLayer::discard_pass`].
    discarded: bool,
}

impl<T: Scalar> TrainingLayer<T> for MembersTraining<'_, T> {
    fn kind(&self) -> LayerKind {
        LayerKind::Members
    }

    fn inputs(&self) -> usize {
        self.zeros.rows()
    }

    passes!();

    fn parts_mut(&mut self) -> Parts<'_, T> {
        Parts { parameters: [self.weights.reborrow(), self.bias.reborrow()], statistics: None }
    }

    fn forward_as(&mut self, _pass: Pass, input: MatrixRef<'_, T>) -> Result<()> {
        self.discarded = false;
        let output = self.a.view_mut().sub_columns(0..input.columns())?;
        let (factors, moments, zeros) = (self.weights.as_ref(), self.moments, self.zeros);
        members::forward(Factors { factors, moments, zeros }, input, output)
    }

    fn propagate(&mut self, previous: &mut dyn TrainingLayer<T>, samples: usize) -> Result<()> {
        refuse_discarded(self.discarded, "delta")?;
        let delta = self.delta.view().sub_columns(0..samples)?;
        let part = self.part.view_mut().sub_columns(0..samples)?;
        let (factors, moments, zeros) = (self.weights.as_ref(), self.moments, self.zeros);
        let (_, out, fold) = previous.loss_operands(samples)?;
        members::propagate(Factors { factors, moments, zeros }, delta, fold, part, out)
    }

    fn gradient(
        &self,
        input: MatrixRef<'_, T>,
        [weights, bias]: [MatrixMut<'_, T>; 2],
        scale: f64,
        keep: f64,
    ) -> Result<()> {
        members::gradient(self.delta(input.columns())?, input, weights, (scale, keep))?;
        // Its gradient is 0.
        if keep == 0.0 { ops::fill(T::default(), bias) } else { ops::scal(T::from_f64(keep), bias) }
    }

    fn descend(&mut self, input: MatrixRef<'_, T>, scale: f64, keep: f64) -> Result<()> {
        let delta = self.delta.view().sub_columns(0..input.columns())?;
        members::gradient(delta, input, self.weights.reborrow(), (scale, keep))
    }

    fn set_role(&mut self, _role: Role) {}

    fn buffers(&self) -> Vec<(&'static str, &Matrix<T>)> {
        vec![("activation", &self.a), ("delta", &self.delta), ("part", &self.part)]
    }
}

/// The last layer of a network with members: the mean of what they predict, `y = (1 / members) sum_m x_m`. It has no parameters and no
/// training layer, because each member is trained by a loss of its own; its two matrices are a single 0 each.
///
/// Its activation is that of the heads in front of it, and has been applied there: a mean of probabilities is one of probabilities.
///
/// ```
/// use travertine::layer::{Layer, MemberMean, Role};
/// use travertine::{Activation, Matrix, engine};
/// let cpu = engine::open::<f32>("cpu")?;
/// let layer = MemberMean::new(&cpu, 2, 2, Activation::Identity)?;
/// let x = Matrix::from_slice(&cpu, 4, 1, &[1.0, 2.0, 5.0, 8.0])?;
/// let mut y = Matrix::zeros(&cpu, 2, 1)?;
/// layer.infer(Role::Output, None, x.view(), y.view_mut())?;
/// assert_eq!(y.to_vec()?, [3.0, 5.0]);
/// # Ok::<(), travertine::Error>(())
/// ```
pub struct MemberMean<T: Scalar> {
    /// A single 0, `1 x 1`
    weights: Matrix<T>,
    /// A single 0, `1 x 1`
    bias: Matrix<T>,
    activation: Activation,
    members: usize,
    outputs: usize,
}

impl<T: Scalar> MemberMean<T> {
    /// The mean of so many members with so many outputs each, behind this activation.
    ///
    /// # Errors
    /// No members or no outputs; an activation's parameter out of range; no memory.
    pub fn new(
        engine: &Arc<dyn Engine<T>>,
        members: usize,
        outputs: usize,
        activation: Activation,
    ) -> Result<Self> {
        if members == 0 || outputs == 0 {
            let reason = format!("there must be members and outputs, not {members} and {outputs}");
            return Err(Error::argument("mean of members", reason));
        }
        let zero = || Matrix::zeros(engine, 1, 1);
        let (weights, bias, activation) = (zero()?, zero()?, activation.validate()?);
        Ok(MemberMean { weights, bias, activation, members, outputs })
    }
}

impl<T: Scalar> Layer<T> for MemberMean<T> {
    fn kind(&self) -> LayerKind {
        LayerKind::MemberMean
    }

    fn inputs(&self) -> usize {
        self.members * self.outputs
    }

    fn outputs(&self) -> usize {
        self.outputs
    }

    fn members(&self) -> usize {
        self.members
    }

    own_parameters!();

    fn copy(&self) -> Result<Box<dyn Layer<T>>> {
        let (engine, activation) = (self.weights.engine(), self.activation);
        Ok(Box::new(MemberMean::new(engine, self.members, self.outputs, activation)?))
    }

    /// There is nothing to draw.
    fn initialize(&mut self, init: Init, _seed: u64, _number: u32) -> Result<()> {
        init.validate().map(|_| ())
    }

    fn infer(
        &self,
        _role: Role,
        _packed: Option<&Matrix<T>>,
        input: MatrixRef<'_, T>,
        output: MatrixMut<'_, T>,
    ) -> Result<()> {
        members::mean(input, output)
    }

    fn training(&mut self, _batch: usize, _role: Role) -> Result<Training<'_, T>> {
        let reason = "the mean of members is not trained; each member has a loss of its own";
        Err(Error::argument("training", reason))
    }
}

impl<T: Scalar> From<MemberMean<T>> for Box<dyn Layer<T>> {
    fn from(layer: MemberMean<T>) -> Self {
        Box::new(layer)
    }
}
