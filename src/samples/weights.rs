//! Weights of samples and of classes: how they become factors of losses.

use crate::data::check_weights;
use crate::error::Result;

/// Factors of the losses of all samples.
///
/// A class weight is a factor of the loss itself. A sample's weight says how often the sample counts: a batch of n samples is then
/// divided by the sum of its weights instead of n. As a step divides by n, its factor is `class weight * weight * n / sum of weights`.
/// Not generic, so that no user's crate compiles it.
pub(super) struct Weights {
    /// That of its class for each sample, in memory order; 1 without class weights.
    classes: Vec<f64>,
    /// Those of the samples, in memory order and in the order of the epoch; empty without any.
    counts: Vec<f64>,
    counts_in_order: Vec<f64>,
    /// In the order of the epoch.
    factors: Vec<f64>,
}

impl Weights {
    pub(super) fn new(samples: usize) -> Self {
        let ones = vec![1.0; samples];
        Weights {
            classes: ones.clone(),
            counts: Vec::new(),
            counts_in_order: Vec::new(),
            factors: ones,
        }
    }

    /// Multiplies those of the classes.
    pub(super) fn weigh_classes(&mut self, of_samples: &[f64]) {
        multiply(&mut self.classes, of_samples);
    }

    /// Multiplies those of the samples.
    ///
    /// # Errors
    /// As [`check_weights`], of the products too.
    pub(super) fn weigh_samples(&mut self, weights: &[f64]) -> Result<()> {
        let (operation, samples) = ("sample weights", self.classes.len());
        check_weights(operation, weights, samples)?;
        self.counts.resize(samples, 1.0);
        multiply(&mut self.counts, weights);
        check_weights(operation, &self.counts, samples)?;
        self.counts_in_order.clone_from(&self.counts);
        Ok(())
    }

    /// The factors of the losses in the order of an epoch, whose batches have `batch` samples.
    pub(super) fn arrange(&mut self, order: &[u32], batch: usize) -> &[f64] {
        arrange(&self.counts, order, &mut self.counts_in_order);
        arrange(&self.classes, order, &mut self.factors);
        count(&self.counts_in_order, batch, &mut self.factors);
        &self.factors
    }

    /// The weights of the samples in memory order, where there are any.
    pub(super) fn counts(&self) -> Option<&[f64]> {
        Some(&*self.counts).filter(|counts| !counts.is_empty())
    }

    /// The same in the order of the epoch.
    pub(super) fn counts_in_order(&self) -> Option<&[f64]> {
        Some(&*self.counts_in_order).filter(|counts| !counts.is_empty())
    }
}

fn multiply(products: &mut [f64], factors: &[f64]) {
    products.iter_mut().zip(factors).for_each(|(product, factor)| *product *= factor);
}

/// `to_j = from_(order_j)`, where there is anything.
fn arrange(from: &[f64], order: &[u32], to: &mut [f64]) {
    to.iter_mut().zip(order).for_each(|(to, i)| *to = from[*i as usize]);
}

/// Multiplies the factors of each batch by `weight * samples / sum of weights`. A batch of weight 0 has no gradient.
fn count(weights: &[f64], batch: usize, factors: &mut [f64]) {
    for (weights, factors) in weights.chunks(batch).zip(factors.chunks_mut(batch)) {
        let sum: f64 = weights.iter().sum();
        let share = if sum > 0.0 { weights.len() as f64 / sum } else { 0.0 };
        factors.iter_mut().zip(weights).for_each(|(factor, weight)| *factor *= weight * share);
    }
}
