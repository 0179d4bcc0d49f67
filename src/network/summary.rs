//! How a network is printed: one line for the whole, one for each layer.

use std::fmt;

use super::Network;
use crate::error::Result;
use crate::layer::Layer;
use crate::scalar::Scalar;

impl<T: Scalar> Network<T> {
    /// A second network with the same layers and parameters, in memory of its own. There is no `Clone`, so that no large
    /// copy goes unnoticed.
    ///
    /// # Errors
    /// No memory; a device that fails.
    pub fn copy(&self) -> Result<Network<T>> {
        let layers: Result<Vec<_>> = self.layers.iter().map(|layer| layer.copy()).collect();
        Ok(Network { layers: layers? })
    }
}

/// Number of parameters of a layer.
pub(super) fn parameters<T: Scalar>(layer: &dyn Layer<T>) -> usize {
    let matrices = [layer.weights(), layer.bias()].into_iter();
    matrices.take(layer.kind().matrices()).map(|x| x.rows() * x.columns()).sum()
}

/// The layers with their sizes, activations and numbers of parameters.
///
/// ```
/// use travertine::{Activation, Network, engine};
/// let cpu = engine::open::<f32>("cpu")?;
/// let network = Network::builder(&cpu, 4)
///     .dense(8, Activation::Relu)
///     .dense(3, Activation::Softmax)
///     .build()?;
/// assert_eq!(
///     network.to_string(),
///     "network 4 -> 3, f32 on cpu, 67 parameters\n  \
///      0  dense       4 -> 8     relu       40\n  \
///      1  dense       8 -> 3     softmax    27"
/// );
/// # Ok::<(), travertine::Error>(())
/// ```
impl<T: Scalar> fmt::Display for Network<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (inputs, outputs, device) =
            (self.inputs(), self.outputs(), &self.engine().device().name);
        let (scalar, count) = (T::NAME, self.parameters());
        write!(f, "network {inputs} -> {outputs}, {scalar} on {device}, {count} parameters")?;
        let kinds = self.layers.iter().map(|layer| layer.kind().name().len());
        let width = kinds.max().unwrap_or(0).max(10);
        for (number, layer) in self.layers.iter().enumerate() {
            let sizes = format!("{} -> {}", layer.inputs(), layer.outputs());
            let (kind, activation) = (layer.kind().name(), layer.activation().to_string());
            let count = parameters(&**layer);
            write!(f, "\n  {number}  {kind:<width$}  {sizes:<9}  {activation:<9}  {count}")?;
        }
        Ok(())
    }
}

/// The same as [`Display`](fmt::Display): the parameters themselves would fill screens.
impl<T: Scalar> fmt::Debug for Network<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
