//! Inference: once for a batch of any size, or again and again in the same buffers.

use std::sync::Arc;

use super::{Network, whole};
use crate::error::{Error, Result};
use crate::layer::Role;
use crate::loss::Loss;
use crate::matrix::{Matrix, MatrixRef};
use crate::ops::network::Form;
use crate::scalar::Scalar;

/// Samples that [`Network::infer`] computes at once: enough for an efficient matrix product, few enough for the buffers to
/// stay in a cache.
pub(crate) const INFERENCE_BATCH: usize = 256;

impl<T: Scalar> Network<T> {
    /// The outputs for a batch of any size: input `inputs x samples`, result `outputs x samples`.
    ///
    /// # Errors
    /// An input with another number of rows; no memory; a device that fails.
    pub fn infer(&self, input: MatrixRef<'_, T>) -> Result<Matrix<T>> {
        let samples = input.columns();
        let mut output = Matrix::zeros(self.engine(), self.outputs(), samples)?;
        let mut inference = self.inference_for(samples)?;
        for first in (0..samples).step_by(INFERENCE_BATCH) {
            let range = first..samples.min(first + INFERENCE_BATCH);
            let part = inference.run(input.sub_columns(range.clone())?)?;
            crate::ops::copy(part, output.view_mut().sub_columns(range)?)?;
        }
        Ok(output)
    }

    /// Buffers for repeated inference with up to `batch` samples a call. Batch normalization is folded into the layer before
    /// it ([`Network::fold`]), and weights that the engine reads faster in an order of its own (on the CPU, those of large
    /// layers) are copied into that order: both need memory for a second copy of the weights concerned.
    ///
    /// ```
    /// # use travertine::{Activation, Matrix, Network, engine};
    /// # let cpu = engine::open::<f32>("cpu")?;
    /// # let network = Network::builder(&cpu, 4).dense(3, Activation::Softmax).build()?;
    /// let mut inference = network.inference(1)?;
    /// let x = Matrix::from_slice(&cpu, 4, 1, &[5.1, 3.5, 1.4, 0.2])?;
    /// let probabilities = inference.run(x.view())?; // allocates nothing
    /// # assert_eq!(probabilities.rows(), 3);
    /// # Ok::<(), travertine::Error>(())
    /// ```
    ///
    /// # Errors
    /// A batch of 0; no memory.
    pub fn inference(&self, batch: usize) -> Result<Inference<'_, T>> {
        Inference::new(Arc::new(Prepared::new(Held::Borrowed(self))?), batch)
    }

    /// As [`Network::inference`], but the result owns the network, so that a program can keep it in a struct or move it to
    /// another thread.
    ///
    /// ```
    /// use travertine::{Activation, Inference, Network, engine};
    /// struct Controller {
    ///     inference: Inference<'static, f32>,
    /// }
    /// let cpu = engine::open::<f32>("cpu")?;
    /// let network = Network::builder(&cpu, 4).dense(2, Activation::Tanh).build()?;
    /// let controller = Controller { inference: network.into_inference(1)? };
    /// std::thread::spawn(move || drop(controller.inference)).join().unwrap();
    /// # Ok::<(), travertine::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Network::inference`].
    pub fn into_inference(self, batch: usize) -> Result<Inference<'static, T>> {
        Inference::new(Arc::new(Prepared::new(Held::Owned(self))?), batch)
    }

    /// Buffers for a call on so many samples, [`INFERENCE_BATCH`] at a time. Weights are copied only where enough batches
    /// share the cost of the copy.
    pub(super) fn inference_for(&self, samples: usize) -> Result<Inference<'_, T>> {
        let batch = samples.min(INFERENCE_BATCH);
        if samples > 2 * INFERENCE_BATCH {
            self.inference(batch)
        } else {
            let prepared = Prepared { network: Held::Borrowed(self), packed: Vec::new() };
            Inference::new(Arc::new(prepared), batch)
        }
    }
}

/// The network that an inference runs.
enum Held<'n, T: Scalar> {
    Borrowed(&'n Network<T>),
    Owned(Network<T>),
    Shared(Arc<Network<T>>),
}

impl<T: Scalar> Held<'_, T> {
    fn get(&self) -> &Network<T> {
        match self {
            Held::Borrowed(network) => network,
            Held::Owned(network) => network,
            Held::Shared(network) => network,
        }
    }
}

/// A network in the form in which inference is fastest. Any number of [`Inference`]s can share it.
pub(crate) struct Prepared<'n, T: Scalar> {
    network: Held<'n, T>,
    /// For every layer a copy of its weights in the engine's order, where it has one; or empty.
    packed: Vec<Option<Matrix<T>>>,
}

impl<'n, T: Scalar> Prepared<'n, T> {
    fn new(network: Held<'n, T>) -> Result<Self> {
        let network = network.get().fold()?.map_or(network, Held::Owned);
        let packed: Result<_> =
            network.get().layers.iter().map(|layer| layer.pack_weights()).collect();
        Ok(Prepared { network, packed: packed? })
    }

    /// Folds and packs a network that others use as well.
    pub(crate) fn shared(network: &Arc<Network<T>>) -> Result<Self> {
        Prepared::new(Held::Shared(Arc::clone(network)))
    }
}

/// Inference with two buffers that the layers write to in turn; [`Inference::run`] allocates nothing.
///
/// An inference is [`Send`]: it can move to another thread, where it owns its network ([`Network::into_inference`]) or its
/// network outlives the thread.
pub struct Inference<'n, T: Scalar> {
    prepared: Arc<Prepared<'n, T>>,
    batch: usize,
    /// The widest of the even and of the odd layers, `outputs x batch`.
    buffers: [Matrix<T>; 2],
    /// The activations of all layers where the engine takes the network in one call: for outputs, and for z of the last layer.
    whole: [Option<Vec<Form>>; 2],
}

impl<'n, T: Scalar> Inference<'n, T> {
    pub(crate) fn new(prepared: Arc<Prepared<'n, T>>, batch: usize) -> Result<Self> {
        let network = prepared.network.get();
        let width = |parity: usize| {
            network.layers.iter().skip(parity).step_by(2).map(|l| l.outputs()).max().unwrap_or(1)
        };
        let buffer = |parity: usize| Matrix::zeros(network.engine(), width(parity), batch);
        let buffers = [buffer(0)?, buffer(1)?];
        let whole = [false, true].map(|logits| network.whole(logits, batch, false));
        Ok(Inference { prepared, batch, buffers, whole })
    }

    /// The largest number of samples that a call accepts.
    pub fn batch(&self) -> usize {
        self.batch
    }

    /// The outputs for up to `batch` samples: input `inputs x samples`, result `outputs x samples`.
    ///
    /// # Errors
    /// An input with another number of rows or too many columns; a device that fails.
    pub fn run(&mut self, input: MatrixRef<'_, T>) -> Result<MatrixRef<'_, T>> {
        self.run_layers(input, false)
    }

    /// The matrix that a loss reads: the outputs, or the last layer's z.
    pub(super) fn run_for(
        &mut self,
        loss: Loss,
        input: MatrixRef<'_, T>,
    ) -> Result<MatrixRef<'_, T>> {
        let last = self.prepared.network.get().output_activation();
        self.run_layers(input, loss.is_fused_with(last))
    }

    /// `logits`: the last layer's activation is left out.
    fn run_layers(&mut self, input: MatrixRef<'_, T>, logits: bool) -> Result<MatrixRef<'_, T>> {
        let samples = self.check(input)?;
        let Prepared { network, packed } = &*self.prepared;
        let network = network.get();
        let layers = &network.layers;
        let [even, odd] = &mut self.buffers;
        let is_odd = layers.len() % 2 == 1;
        let last = if is_odd { &mut *even } else { &mut *odd };
        let output = last.front_mut(network.outputs(), samples);
        let is_done = match &self.whole[usize::from(logits)] {
            Some(forms) => whole::infer(network, (forms, self.batch), input, output)?,
            None => false,
        };
        if !is_done {
            for (i, layer) in layers.iter().enumerate() {
                let (from, to) = if i % 2 == 0 { (&*odd, &mut *even) } else { (&*even, &mut *odd) };
                let from = if i == 0 { input } else { from.front(layer.inputs(), samples) };
                let to = to.front_mut(layer.outputs(), samples);
                let role = Role::before(layers.get(i + 1).map(|next| next.kind()), logits);
                layer.infer(role, packed.get(i).and_then(Option::as_ref), from, to)?;
            }
        }
        let written = if is_odd { even } else { odd };
        Ok(written.front(network.outputs(), samples))
    }

    /// The number of samples, if the buffers have room for them.
    fn check(&self, input: MatrixRef<'_, T>) -> Result<usize> {
        let samples = input.columns();
        if samples > self.batch {
            let reason = format!(
                "the input has {samples} samples, the buffers have room for {}",
                self.batch
            );
            return Err(Error::argument("infer", reason));
        }
        Ok(samples)
    }
}
