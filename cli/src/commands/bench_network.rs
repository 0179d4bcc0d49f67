//! Networks that are timed or compared, and random data for them.

use std::sync::Arc;

use travertine::engine::Engine;
use travertine::random::{Philox, Purpose};
use travertine::{Activation, Loss, Matrix, Network, Result, Scalar, ops};

use crate::args::names;
use crate::args::network::NetworkArgs;
use crate::message::wrong;

/// A network and the samples that go through it at a time.
pub(crate) struct BenchNetwork {
    pub(crate) sizes: Vec<usize>,
    pub(crate) activations: Vec<Activation>,
    pub(crate) loss: Loss,
    pub(crate) batch: usize,
}

/// Networks with a name: (name, sizes, activations, loss).
const NAMED: [(&str, &str, &str, &str); 5] = [
    ("nielsen", "784-30-10", "sigmoid,sigmoid", "quadratic"),
    ("lecun", "784-300-100-10", "relu", "cross-entropy"),
    ("ciresan", "784-2500-2000-1500-1000-500-10", "tanh", "cross-entropy"),
    ("tiny", "64-32-10", "relu", "cross-entropy"),
    ("seed", "10000-5000-1000-10", "tanh,sigmoid,sigmoid", "quadratic"),
];

impl BenchNetwork {
    /// The network and batch of the arguments, or else those given.
    pub(crate) fn new(args: &NetworkArgs, network: &str, batch: usize) -> Result<Self> {
        let name = args.network.as_deref().unwrap_or(network);
        let named = NAMED.into_iter().find(|(known, ..)| *known == name);
        let (_, sizes, activations, loss) = named.unwrap_or((name, name, "relu", "cross-entropy"));
        let sizes = names::sizes(sizes)?;
        let activations =
            activations_of(args.activations.as_deref().unwrap_or(activations), sizes.len() - 1)?;
        let output = activations.last().copied().unwrap_or(Activation::Identity);
        let loss = names::loss(args.loss.as_deref().unwrap_or(loss), output)?;
        Ok(BenchNetwork { sizes, activations, loss, batch: args.batch.unwrap_or(batch) })
    }

    pub(crate) fn network<T: Scalar>(&self, engine: &Arc<dyn Engine<T>>) -> Result<Network<T>> {
        let layers = self.sizes[1..].iter().zip(&self.activations);
        let builder = Network::builder(engine, self.sizes[0]).seed(1);
        layers
            .fold(builder, |builder, (&size, &activation)| builder.dense(size, activation))
            .build()
    }

    /// Floating-point operations of a call: one product a layer for inference, three for training; two for the first layer,
    /// which propagates no gradient.
    pub(crate) fn flops(&self, trains: bool) -> f64 {
        let product = |pair: &[usize]| 2.0 * pair[0] as f64 * pair[1] as f64 * self.batch as f64;
        let all: f64 = self.sizes.windows(2).map(product).sum();
        if trains { 3.0 * all - product(&self.sizes[..2]) } else { all }
    }

    /// Uniform in [0, 1), `inputs x batch`, the same on every engine.
    pub(crate) fn input<T: Scalar>(&self, engine: &Arc<dyn Engine<T>>) -> Result<Matrix<T>> {
        let mut input = Matrix::zeros(engine, self.sizes[0], self.batch)?;
        ops::uniform(&Philox::new(1, Purpose::User, 0), input.view_mut())?;
        Ok(input)
    }

    /// 0 or 1, `outputs x batch`.
    pub(crate) fn target<T: Scalar>(&self, engine: &Arc<dyn Engine<T>>) -> Result<Matrix<T>> {
        let (outputs, stream) =
            (self.sizes[self.sizes.len() - 1], Philox::new(1, Purpose::User, 1));
        let target = |index| T::from_f64(stream.uniform(index).round());
        let targets: Vec<T> = (0..(outputs * self.batch) as u64).map(target).collect();
        Matrix::from_slice(engine, outputs, self.batch, &targets)
    }
}

/// "784-300-10"
pub(crate) fn name(sizes: &[usize]) -> String {
    sizes.iter().map(usize::to_string).collect::<Vec<_>>().join("-")
}

/// One activation a layer, or one for all hidden layers; then the output layer has identity.
fn activations_of(text: &str, layers: usize) -> Result<Vec<Activation>> {
    let activations = names::activations(text)?;
    match activations[..] {
        _ if activations.len() == layers => Ok(activations),
        [hidden] => Ok([vec![hidden; layers - 1], vec![Activation::Identity]].concat()),
        _ => {
            let found = activations.len();
            Err(wrong(
                "--activations",
                format!("expected 1 name, or {layers} for as many layers, found {found}"),
            ))
        }
    }
}
