//! Initial values that samples decide.

use super::Network;
use crate::error::Result;
use crate::layer::{Layer, LayerKind, Role};
use crate::matrix::{Matrix, MatrixRef};
use crate::ops;
use crate::random::{Philox, Purpose};
use crate::scalar::Scalar;

/// Samples whose weighted mean a unit's bias cancels.
const ANCHORS: u64 = 5;

/// Where the inputs of a unit nearly cancel each other in all samples, its deviation says little about the size of its weights:
/// divided by it they would explode, and the first dropout with them. So few samples, or samples on a line, would.
const LEAST_SHARE: f64 = 0.25;

impl<T: Scalar> Network<T> {
    /// Fits the initial values of dense layers to samples, layer after layer (Holzmüller et al. 2024, appendix A). Each row of the
    /// weights is divided by the standard deviation of `W x` over the samples. The bias of a hidden unit becomes minus the mean of
    /// its `W x` at 5 random samples, with random weights, so that the units bend at different places among the samples. The
    /// bias of the last layer becomes 0. A row without deviation stays as it is, and a
    /// deviation below a quarter of what independent inputs would have counts as that quarter. Other layers keep their values.
    ///
    /// `x`: `inputs x samples`; some hundred samples suffice. The seed draws the samples of each unit.
    ///
    /// ```
    /// use travertine::{Activation, Matrix, Network, engine};
    /// let cpu = engine::open::<f64>("cpu")?;
    /// let mut network = Network::builder(&cpu, 1)
    ///     .dense(8, Activation::Relu)
    ///     .dense(1, Activation::Identity)
    ///     .build()?;
    /// let x = Matrix::from_slice(&cpu, 1, 4, &[10.0, 11.0, 12.0, 13.0])?;
    /// network.fit_initial_values(x.view(), 1)?;
    /// // Every unit is 0 somewhere from 10 to 13.
    /// let layer = &network.layers()[0];
    /// let (w, b) = (layer.weights().to_vec()?, layer.bias().to_vec()?);
    /// assert!(w.iter().zip(&b).all(|(w, b)| (10.0..=13.0).contains(&(-b / w))));
    /// # Ok::<(), travertine::Error>(())
    /// ```
    ///
    /// # Errors
    /// Samples of another size than the network's inputs; no memory; a device that fails.
    pub fn fit_initial_values(&mut self, x: MatrixRef<'_, T>, seed: u64) -> Result<()> {
        let last = self.layers.len() - 1;
        let mut input: Option<Matrix<T>> = None;
        for (number, layer) in self.layers.iter_mut().enumerate() {
            let before = input.as_ref().map_or(x, Matrix::view);
            if layer.kind() == LayerKind::Dense {
                let stream = Philox::new(seed, Purpose::InitialValues, number as u32);
                fit(&mut **layer, before, (number < last).then_some(stream))?;
            }
            let mut output = Matrix::zeros(x.engine(), layer.outputs(), x.columns())?;
            layer.infer(Role::Output, None, before, output.view_mut())?;
            input = Some(output);
        }
        Ok(())
    }
}

/// Fits one dense layer to its inputs; `stream`: of the biases, of a layer that gets other ones than 0.
fn fit<T: Scalar>(
    layer: &mut dyn Layer<T>,
    x: MatrixRef<'_, T>,
    stream: Option<Philox>,
) -> Result<()> {
    let (outputs, samples) = (layer.outputs(), x.columns());
    ops::fill(T::from_f64(0.0), layer.bias_mut())?;
    let mut sums = Matrix::zeros(x.engine(), outputs, samples)?;
    layer.infer(Role::Logits, None, x, sums.view_mut())?;
    let sums = sums.to_vec()?;
    let sum = |unit: usize, sample: usize| sums[unit + sample * outputs].to_f64();
    let weights = layer.weights().to_vec()?;
    let least = least_deviations(&weights, outputs, &x.to_vec()?);
    let factor = |unit: usize| factor(deviation(samples, |s| sum(unit, s)).max(least[unit]));
    let factors: Vec<f64> = (0..outputs).map(factor).collect();
    let weights: Vec<T> = weights
        .iter()
        .enumerate()
        .map(|(i, w)| T::from_f64(w.to_f64() * factors[i % outputs]))
        .collect();
    layer.weights_mut().write(&weights)?;
    let Some(stream) = stream else { return Ok(()) };
    let bias: Vec<T> = (0..outputs)
        .map(|unit| T::from_f64(-factors[unit] * anchor(&stream, unit, samples, |s| sum(unit, s))))
        .collect();
    layer.bias_mut().write(&bias)
}

/// For each unit the least deviation of its `W x` that counts: a share of the deviation if its inputs were independent,
/// `sqrt(sum_j w_j^2 var(x_j))`.
fn least_deviations<T: Scalar>(weights: &[T], outputs: usize, x: &[T]) -> Vec<f64> {
    let inputs = weights.len() / outputs;
    let samples = x.len() / inputs;
    let mut variances = vec![0.0; outputs];
    for (j, column) in weights.chunks_exact(outputs).enumerate() {
        let variance = deviation(samples, |s| x[j + s * inputs].to_f64()).powi(2);
        let weights = column.iter().map(|w| w.to_f64().powi(2));
        variances.iter_mut().zip(weights).for_each(|(sum, w)| *sum += w * variance);
    }
    variances.iter().map(|variance| LEAST_SHARE * variance.sqrt()).collect()
}

/// The standard deviation of numbers.
fn deviation(count: usize, number: impl Fn(usize) -> f64) -> f64 {
    let mean = (0..count).map(&number).sum::<f64>() / count as f64;
    let variance = (0..count).map(|i| (number(i) - mean).powi(2)).sum::<f64>() / count as f64;
    variance.sqrt()
}

/// One over a deviation; 1 where it is 0 or not finite.
fn factor(deviation: f64) -> f64 {
    let factor = 1.0 / deviation;
    if factor.is_finite() && factor > 0.0 { factor } else { 1.0 }
}

/// The mean of some numbers of a unit, weighted by draws of the exponential distribution.
fn anchor(stream: &Philox, unit: usize, count: usize, number: impl Fn(usize) -> f64) -> f64 {
    let first = 2 * ANCHORS * unit as u64;
    let draw = |i: u64| {
        let sample = stream.below(first + 2 * i, count as u64) as usize;
        // Computed with libm, so that every machine draws the same bits.
        (-libm::log(1.0 - stream.uniform(first + 2 * i + 1)), number(sample))
    };
    let draws: Vec<(f64, f64)> = (0..ANCHORS).map(draw).collect();
    let weight: f64 = draws.iter().map(|draw| draw.0).sum();
    let mean = draws.iter().map(|(weight, number)| weight * number).sum::<f64>() / weight;
    if mean.is_finite() { mean } else { 0.0 }
}
