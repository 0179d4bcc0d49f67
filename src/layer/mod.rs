//! Layers: each an inference layer, which owns its parameters, and a training layer, which borrows them.
//!
//! One file for each kind of layer. A network uses [`Layer`], a trainer [`TrainingLayer`]; both have two matrices of parameters,
//! which PyTorch's layers call weight and bias too.
//!
//! Both traits are sealed: other crates use layers, but cannot add kinds of their own. A layer calls checked operations that are
//! private to this crate, and each engine has kernels for the formulas that the layers of this crate use; an open trait would
//! make every new kernel a breaking release. Losses are open through [`Trainer::step_with`](crate::Trainer::step_with),
//! optimizers through [`Optimizer`](crate::optimizer::Optimizer), schedules through
//! [`Schedule::from_fn`](crate::optimizer::Schedule::from_fn).

/// The methods of [`Layer`] for layers with the fields `weights`, `bias` and `activation`.
macro_rules! own_parameters {
    () => {
        fn activation(&self) -> Activation {
            self.activation
        }

        own_matrices!();
    };
}

/// The methods of [`Layer`] for layers with the fields `weights` and `bias`.
macro_rules! own_matrices {
    () => {
        fn weights(&self) -> MatrixRef<'_, T> {
            self.weights.view()
        }

        fn weights_mut(&mut self) -> MatrixMut<'_, T> {
            self.weights.view_mut()
        }

        fn bias(&self) -> MatrixRef<'_, T> {
            self.bias.view()
        }

        fn bias_mut(&mut self) -> MatrixMut<'_, T> {
            self.bias.view_mut()
        }
    };
}

/// The methods of [`TrainingLayer`] for layers with the fields `weights`, `bias`, `activation`, `z`, `a`, `delta` and
/// `discarded`.
macro_rules! passes {
    () => {
        fn batch(&self) -> usize {
            self.a.columns()
        }

        fn weights(&self) -> MatrixRef<'_, T> {
            self.weights.as_ref()
        }

        fn bias(&self) -> MatrixRef<'_, T> {
            self.bias.as_ref()
        }

        fn output(&self, samples: usize) -> Result<MatrixRef<'_, T>> {
            refuse_discarded(self.discarded, "output")?;
            self.a.view().sub_columns(0..samples)
        }

        fn delta(&self, samples: usize) -> Result<MatrixRef<'_, T>> {
            refuse_discarded(self.discarded, "delta")?;
            self.delta.view().sub_columns(0..samples)
        }

        fn loss_operands(&mut self, samples: usize) -> Result<LossOperands<'_, T>> {
            let a = self.a.view().sub_columns(0..samples)?;
            let kept = self.z.as_ref().unwrap_or(&self.a).view().sub_columns(0..samples)?;
            let delta = self.delta.view_mut().sub_columns(0..samples)?;
            Ok((a, delta, self.activation.derivative(kept)))
        }

        fn discard_pass(&mut self) {
            self.discarded = true;
        }
    };
}

mod category;
mod dense;
mod embedding;
mod kind;
mod member_dense;
mod members;
mod normalization;
mod parametric;

use std::ops::{Deref, DerefMut};
use std::sync::Arc;

pub(crate) use crate::ops::embedding::{BIAS as EMBEDDING_BIAS, WEIGHTS as EMBEDDING_WEIGHTS};
pub use category::{Categories, CategoryEmbedding, CategoryEmbeddingTraining};
pub(crate) use category::{fault as fault_of_categories, outputs as outputs_of_categories};
pub use dense::{Dense, DenseTraining};
pub(crate) use embedding::{MOST_FEATURES, embedded, misplaced};
pub use embedding::{NumberEmbedding, NumberEmbeddingTraining};
pub use kind::LayerKind;
pub(crate) use kind::{fault_of_members, members_of};
pub use member_dense::{MemberDense, MemberDenseTraining};
pub use members::{MemberMean, Members, MembersTraining};
pub(crate) use normalization::EPSILON;
pub use normalization::{Normalization, NormalizationTraining};
pub use parametric::{Parametric, ParametricTraining};

use crate::activation::Activation;
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::init::Init;
use crate::matrix::{Matrix, MatrixMut, MatrixRef};
use crate::ops::fused::Fold;
use crate::scalar::Scalar;

mod sealed {
    use super::{
        CategoryEmbedding, CategoryEmbeddingTraining, Dense, DenseTraining, MemberDense,
        MemberDenseTraining, MemberMean, Members, MembersTraining, Normalization,
        NormalizationTraining, NumberEmbedding, NumberEmbeddingTraining, Parametric,
        ParametricTraining,
    };
    use crate::scalar::Scalar;

    /// Implemented by the layers of this crate alone.
    pub trait Sealed {}

    impl<T: Scalar> Sealed for CategoryEmbedding<T> {}
    impl<T: Scalar> Sealed for CategoryEmbeddingTraining<'_, T> {}
    impl<T: Scalar> Sealed for Dense<T> {}
    impl<T: Scalar> Sealed for DenseTraining<'_, T> {}
    impl<T: Scalar> Sealed for MemberDense<T> {}
    impl<T: Scalar> Sealed for MemberDenseTraining<'_, T> {}
    impl<T: Scalar> Sealed for MemberMean<T> {}
    impl<T: Scalar> Sealed for Members<T> {}
    impl<T: Scalar> Sealed for MembersTraining<'_, T> {}
    impl<T: Scalar> Sealed for Normalization<T> {}
    impl<T: Scalar> Sealed for NormalizationTraining<'_, T> {}
    impl<T: Scalar> Sealed for NumberEmbedding<T> {}
    impl<T: Scalar> Sealed for NumberEmbeddingTraining<'_, T> {}
    impl<T: Scalar> Sealed for Parametric<T> {}
    impl<T: Scalar> Sealed for ParametricTraining<'_, T> {}
}

/// A layer of a kind before its parameters are drawn. Normalizations and parametric activations have as many outputs as inputs. An embedding
/// of numbers is of the first features, one of categories of those that are given; both have no activation. `members`: whose rows it computes
/// apart ([`kind::members_of`]).
pub(crate) fn of_kind<T: Scalar>(
    kind: LayerKind,
    engine: &Arc<dyn Engine<T>>,
    (inputs, outputs): (usize, usize),
    members: usize,
    activation: Activation,
    categories: &[Categories],
) -> Result<Box<dyn Layer<T>>> {
    // Of one member.
    let [of_inputs, of_outputs] = [inputs, outputs].map(|rows| rows / members.max(1));
    Ok(match kind {
        LayerKind::Dense => Dense::new(engine, inputs, outputs, activation)?.into(),
        LayerKind::BatchNorm => Normalization::batch(engine, outputs, activation)?.into(),
        LayerKind::LayerNorm => Normalization::layer(engine, outputs, activation)?.into(),
        LayerKind::Scale => Normalization::scale(engine, outputs, activation)?.into(),
        LayerKind::NumberEmbedding => NumberEmbedding::of_sizes(engine, inputs, outputs)?.into(),
        LayerKind::Parametric => Parametric::new(engine, outputs, activation)?.into(),
        LayerKind::CategoryEmbedding => CategoryEmbedding::new(engine, inputs, categories)?.into(),
        LayerKind::Members => Members::new(engine, members, inputs)?.into(),
        LayerKind::MemberDense => {
            MemberDense::shared(engine, members, of_inputs, of_outputs, activation)?.into()
        }
        LayerKind::MemberHeads => {
            MemberDense::heads(engine, members, of_inputs, of_outputs, activation)?.into()
        }
        LayerKind::MemberMean => MemberMean::new(engine, members, outputs, activation)?.into(),
    })
}

/// The purpose of a forward pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pass {
    /// A step of training: running statistics are updated.
    Step,
    /// As in a step, but nothing except buffers changes: for gradients that no step follows.
    Look,
    /// As the inference layer computes it.
    Inference,
}

/// Who reads a layer's output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Another dense layer: engines that multiply in less than f32 ([`MatmulPrecision`](crate::engine::MatmulPrecision)) may store
    /// the output in that precision.
    Hidden,
    /// Any other reader.
    Output,
    /// A loss that reads z: the activation is left out.
    Logits,
}

impl Role {
    /// The activation that is applied in this role.
    fn activation(self, activation: Activation) -> Activation {
        if self == Role::Logits { Activation::Identity } else { activation }
    }

    /// The role of a layer in front of `next` or, where that is `None`, in front of a loss that may read z (`logits`).
    pub(crate) fn before(next: Option<LayerKind>, logits: bool) -> Role {
        match next {
            Some(LayerKind::Dense) => Role::Hidden,
            None if logits => Role::Logits,
            _ => Role::Output,
        }
    }
}

/// An inference layer: owns its parameters and keeps nothing else.
pub trait Layer<T: Scalar>: sealed::Sealed + Send + Sync {
    /// The kind of this layer.
    fn kind(&self) -> LayerKind;

    /// Rows of the input.
    fn inputs(&self) -> usize;

    /// Rows of the output.
    fn outputs(&self) -> usize;

    /// f; of a [`Parametric`] layer the f that it blends with.
    fn activation(&self) -> Activation;

    /// The first matrix of parameters; of a dense layer W, `outputs x inputs`.
    fn weights(&self) -> MatrixRef<'_, T>;

    /// The first matrix of parameters, to write.
    fn weights_mut(&mut self) -> MatrixMut<'_, T>;

    /// The second matrix of parameters; of a dense layer b, `outputs x 1`.
    fn bias(&self) -> MatrixRef<'_, T>;

    /// The second matrix of parameters, to write.
    fn bias_mut(&mut self) -> MatrixMut<'_, T>;

    /// Numbers beside the parameters that no optimizer changes, where the layer has them: running mean and variance, `features x 2`;
    /// for [`NumberEmbedding`] the numbers of its features.
    fn statistics(&self) -> Option<MatrixRef<'_, T>> {
        None
    }

    /// The statistics to write.
    fn statistics_mut(&mut self) -> Option<MatrixMut<'_, T>> {
        None
    }

    /// The members whose rows stand one below the other in its output, or in the input of [`MemberMean`]; 1 where there are none.
    fn members(&self) -> usize {
        1
    }

    /// The features that the layer embeds, of a [`CategoryEmbedding`]; none else.
    fn categories(&self) -> &[Categories] {
        &[]
    }

    /// The same layer with matrices of its own.
    ///
    /// # Errors
    /// No memory; a device that fails.
    fn copy(&self) -> Result<Box<dyn Layer<T>>>;

    /// Draws the initial parameters: a function of the seed, the number of the layer and the position.
    ///
    /// # Errors
    /// A parameter of `init` out of range; a device that fails.
    fn initialize(&mut self, init: Init, seed: u64, number: u32) -> Result<()>;

    /// A copy of the weights in the order in which the engine reads them fastest, for [`Layer::infer`]; `None` where a copy does
    /// not pay.
    ///
    /// # Errors
    /// No memory; a device that fails.
    fn pack_weights(&self) -> Result<Option<Matrix<T>>> {
        Ok(None)
    }

    /// The output for an input `inputs x samples`, `outputs x samples`. `packed`: the result of
    /// [`Layer::pack_weights`] for the present weights.
    ///
    /// # Errors
    /// Shapes that do not chain; a device that fails.
    fn infer(
        &self,
        role: Role,
        packed: Option<&Matrix<T>>,
        input: MatrixRef<'_, T>,
        output: MatrixMut<'_, T>,
    ) -> Result<()>;

    /// The training layer for batches of up to `batch` samples.
    ///
    /// # Errors
    /// A batch of 0; no memory.
    fn training(&mut self, batch: usize, role: Role) -> Result<Training<'_, T>>;
}

/// A training layer of any kind, which dereferences to [`TrainingLayer`]. An enum rather than a box, because the borrow of the
/// parameters then ends with its last use and not when a box is dropped.
pub enum Training<'l, T: Scalar> {
    /// Of a [`Dense`].
    Dense(DenseTraining<'l, T>),
    /// Of a [`Normalization`].
    Normalization(NormalizationTraining<'l, T>),
    /// Of a [`NumberEmbedding`].
    NumberEmbedding(NumberEmbeddingTraining<'l, T>),
    /// Of a [`Parametric`].
    Parametric(ParametricTraining<'l, T>),
    /// Of a [`CategoryEmbedding`].
    CategoryEmbedding(CategoryEmbeddingTraining<'l, T>),
    /// Of [`Members`].
    Members(MembersTraining<'l, T>),
    /// Of a [`MemberDense`].
    MemberDense(MemberDenseTraining<'l, T>),
}

impl<'l, T: Scalar> Deref for Training<'l, T> {
    type Target = dyn TrainingLayer<T> + 'l;

    fn deref(&self) -> &Self::Target {
        match self {
            Training::Dense(layer) => layer,
            Training::Normalization(layer) => layer,
            Training::NumberEmbedding(layer) => layer,
            Training::Parametric(layer) => layer,
            Training::CategoryEmbedding(layer) => layer,
            Training::Members(layer) => layer,
            Training::MemberDense(layer) => layer,
        }
    }
}

impl<T: Scalar> DerefMut for Training<'_, T> {
    fn deref_mut(&mut self) -> &mut Self::Target {
        match self {
            Training::Dense(layer) => layer,
            Training::Normalization(layer) => layer,
            Training::NumberEmbedding(layer) => layer,
            Training::Parametric(layer) => layer,
            Training::CategoryEmbedding(layer) => layer,
            Training::Members(layer) => layer,
            Training::MemberDense(layer) => layer,
        }
    }
}

/// Output, gradient by z, factor of the gradient.
pub type LossOperands<'a, T> = (MatrixRef<'a, T>, MatrixMut<'a, T>, Fold<'a, T>);

/// The matrices of a layer that training changes.
pub struct Parts<'a, T: Scalar> {
    /// Weights and bias.
    pub parameters: [MatrixMut<'a, T>; 2],
    /// As [`Layer::statistics`].
    pub statistics: Option<MatrixMut<'a, T>>,
}

/// A training layer: borrows an inference layer's parameters and keeps what backward needs. Dropping it ends the borrow.
pub trait TrainingLayer<T: Scalar>: sealed::Sealed + Send + Sync {
    /// The kind of this layer.
    fn kind(&self) -> LayerKind;

    /// Rows of the input.
    fn inputs(&self) -> usize;

    /// The largest number of samples that fit.
    fn batch(&self) -> usize;

    /// The first matrix of parameters; of a dense layer W, `outputs x inputs`.
    fn weights(&self) -> MatrixRef<'_, T>;

    /// The second matrix of parameters; of a dense layer b, `outputs x 1`.
    fn bias(&self) -> MatrixRef<'_, T>;

    /// The matrices that training changes, to write.
    fn parts_mut(&mut self) -> Parts<'_, T>;

    /// The parameters to write, for an optimizer.
    fn parameters_mut(&mut self) -> [MatrixMut<'_, T>; 2] {
        self.parts_mut().parameters
    }

    /// As [`Layer::statistics`].
    fn statistics(&self) -> Option<MatrixRef<'_, T>> {
        None
    }

    /// a of the first `samples` samples, `outputs x samples`; z where the layer was made for logits.
    ///
    /// # Errors
    /// More samples than the batch, or none; the last step ran in one kernel, which keeps no outputs.
    fn output(&self, samples: usize) -> Result<MatrixRef<'_, T>>;

    /// dC/dz of the first `samples` samples, `outputs x samples`.
    ///
    /// # Errors
    /// More samples than the batch, or none; the last step ran in one kernel, which keeps no gradients of layers.
    fn delta(&self, samples: usize) -> Result<MatrixRef<'_, T>>;

    /// The output, the place for the gradient by z, and the factor f' of that gradient: the operands of a loss and of the next layer.
    ///
    /// # Errors
    /// More samples than the batch, or none.
    fn loss_operands(&mut self, samples: usize) -> Result<LossOperands<'_, T>>;

    /// `a = f(z)` for an input `inputs x samples`.
    ///
    /// # Errors
    /// Shapes that do not chain, more samples than the batch; a device that fails.
    fn forward_as(&mut self, pass: Pass, input: MatrixRef<'_, T>) -> Result<()>;

    /// `a = f(z)` for a step of training; input `inputs x samples`.
    ///
    /// # Errors
    /// As [`TrainingLayer::forward_as`].
    fn forward(&mut self, input: MatrixRef<'_, T>) -> Result<()> {
        self.forward_as(Pass::Step, input)
    }

    /// Writes the gradient of the layer in front of this one: `delta_previous = dC/da_previous ⊙ f'_previous`; for a dense layer
    /// `(W^T delta) ⊙ f'_previous`.
    ///
    /// # Errors
    /// A layer that does not chain; more samples than the batch; a device that fails.
    fn propagate(&mut self, previous: &mut dyn TrainingLayer<T>, samples: usize) -> Result<()>;

    /// `sinks = scale gradient + keep sinks` for matrices of the shapes of the parameters, the gradient being the mean over
    /// the samples; input `inputs x samples`, as forward had it.
    ///
    /// # Errors
    /// An input of another shape than forward was called with; sinks of another shape; a device that fails.
    fn gradient(
        &self,
        input: MatrixRef<'_, T>,
        sinks: [MatrixMut<'_, T>; 2],
        scale: f64,
        keep: f64,
    ) -> Result<()>;

    /// `parameters = scale gradient + keep parameters`: with -rate and 1, a step of gradient descent. Propagate first: it
    /// needs the parameters as they were.
    ///
    /// # Errors
    /// As [`TrainingLayer::gradient`].
    fn descend(&mut self, input: MatrixRef<'_, T>, scale: f64, keep: f64) -> Result<()>;

    /// Changes the role between [`Role::Output`] and [`Role::Logits`].
    fn set_role(&mut self, role: Role);

    /// Declares output and delta to be of no pass, after a step that computed the whole network at once: to read them is an error
    /// until the next [`TrainingLayer::forward_as`].
    fn discard_pass(&mut self);

    /// Names and matrices of what this layer has allocated.
    fn buffers(&self) -> Vec<(&'static str, &Matrix<T>)>;

    /// a, to read, and dC/dz, to write. A gradient by a becomes one by z when it is multiplied by f'.
    ///
    /// # Errors
    /// More samples than the batch, or none.
    fn output_and_delta_mut(
        &mut self,
        samples: usize,
    ) -> Result<(MatrixRef<'_, T>, MatrixMut<'_, T>)> {
        let (a, delta, _) = self.loss_operands(samples)?;
        Ok((a, delta))
    }
}

fn refuse_discarded(discarded: bool, operation: &'static str) -> Result<()> {
    if !discarded {
        return Ok(());
    }
    let reason = "the last step ran in one kernel, which keeps neither outputs nor gradients of layers; open the engine \
                  with `Settings::fusion` of `Fusion::Never` to have them";
    Err(Error::argument(operation, reason))
}
