//! Options of a network that is measured or compared.

use clap::Args;

use crate::args::values::at_least_one;

/// A network to measure or compare.
#[derive(Args, Clone, Debug)]
pub(crate) struct NetworkArgs {
    /// Sizes of inputs and layers, or nielsen, lecun, ciresan, tiny, seed [default: 784-300-100-10]
    #[arg(long)]
    pub(crate) network: Option<String>,
    /// One activation a layer, or one for all hidden layers [default: relu]
    #[arg(long)]
    pub(crate) activations: Option<String>,
    /// cross-entropy, quadratic, mean-absolute or huber
    #[arg(long)]
    pub(crate) loss: Option<String>,
    /// Samples in a call [default: 64, article: 10000]
    #[arg(long, value_parser = at_least_one)]
    pub(crate) batch: Option<usize>,
}
