//! Batch normalization melts into the dense layer in front of it.

use super::Network;
use crate::activation::Activation;
use crate::error::Result;
use crate::layer::{Dense, EPSILON, Layer, LayerKind};
use crate::scalar::Scalar;

impl<T: Scalar> Network<T> {
    /// The same function with fewer layers: where batch normalization follows a dense layer without an activation, one dense
    /// layer does the work of both, `W' = s ⊙ W` and `b' = s ⊙ (b - mean) + beta` with `s = gamma / sqrt(variance + 1e-5)`.
    /// `None` where there is nothing to fold.
    ///
    /// ```
    /// use travertine::{Activation, Matrix, Network, engine};
    /// let cpu = engine::open::<f32>("cpu")?;
    /// let network = Network::builder(&cpu, 4)
    ///     .dense(8, Activation::Identity)
    ///     .batch_norm(Activation::Relu)
    ///     .dense(3, Activation::Softmax)
    ///     .build()?;
    /// assert_eq!(network.fold()?.unwrap().layers().len(), 2);
    /// # Ok::<(), travertine::Error>(())
    /// ```
    ///
    /// # Errors
    /// No memory; a device that fails.
    pub fn fold(&self) -> Result<Option<Network<T>>> {
        let melts = |layer: &dyn Layer<T>, next: Option<&Box<dyn Layer<T>>>| {
            (layer.kind(), layer.activation()) == (LayerKind::Dense, Activation::Identity)
                && next.is_some_and(|next| next.kind() == LayerKind::BatchNorm)
        };
        if !self.layers.iter().enumerate().any(|(i, layer)| melts(&**layer, self.layers.get(i + 1)))
        {
            return Ok(None);
        }
        let mut folded: Vec<Box<dyn Layer<T>>> = Vec::new();
        let mut layers = self.layers.iter().peekable();
        while let Some(layer) = layers.next() {
            let next = layers.next_if(|next| melts(&**layer, Some(next)));
            folded.push(match next {
                Some(next) => melt(&**layer, &**next)?.into(),
                None => layer.copy()?,
            });
        }
        Network::from_layers(folded).map(Some)
    }
}

/// One dense layer for a dense layer and the batch normalization behind it, computed in f64 on the host.
fn melt<T: Scalar>(dense: &dyn Layer<T>, norm: &dyn Layer<T>) -> Result<Dense<T>> {
    let statistics = norm.statistics().map_or(Ok(Vec::new()), |matrix| matrix.to_vec())?;
    let norms = Norms {
        gamma: T::to_f64s(&norm.weights().to_vec()?),
        beta: T::to_f64s(&norm.bias().to_vec()?),
        statistics: T::to_f64s(&statistics),
    };
    let parameters = [T::to_f64s(&dense.weights().to_vec()?), T::to_f64s(&dense.bias().to_vec()?)];
    let [weights, bias] = norms.melted_with(parameters);
    let mut melted =
        Dense::new(dense.weights().engine(), dense.inputs(), dense.outputs(), norm.activation())?;
    melted.weights_mut().write_f64(&weights)?;
    melted.bias_mut().write_f64(&bias)?;
    Ok(melted)
}

/// The parameters of a batch normalization. Not generic, so that no user's crate compiles its mathematics.
struct Norms {
    gamma: Vec<f64>,
    beta: Vec<f64>,
    /// Means, then variances
    statistics: Vec<f64>,
}

impl Norms {
    /// Weights (`outputs x inputs`) and bias of the dense layer for both.
    fn melted_with(&self, [weights, bias]: [Vec<f64>; 2]) -> [Vec<f64>; 2] {
        let Norms { gamma, beta, statistics } = self;
        let (mean, variance) = statistics.split_at(gamma.len());
        let scale: Vec<f64> =
            gamma.iter().zip(variance).map(|(gamma, v)| gamma / (v + EPSILON).sqrt()).collect();
        let weights = weights.iter().enumerate().map(|(i, w)| w * scale[i % scale.len()]).collect();
        let bias = (0..scale.len()).map(|i| scale[i] * (bias[i] - mean[i]) + beta[i]).collect();
        [weights, bias]
    }
}
