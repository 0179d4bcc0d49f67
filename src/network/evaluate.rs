//! Losses of a whole data set.

use super::{INFERENCE_BATCH, Network};
use crate::activation::Activation;
use crate::error::Result;
use crate::layer::LayerKind;
use crate::loss::Loss;
use crate::matrix::{Matrix, MatrixMut, MatrixRef};
use crate::ops::fused;
use crate::samples::{Report, Samples, Scores};
use crate::scalar::Scalar;

impl<T: Scalar> Network<T> {
    /// Mean loss and, for classes, accuracy; weighted where the samples have weights.
    ///
    /// # Errors
    /// Samples of other sizes than the network's; a device that fails.
    pub fn evaluate(&self, loss: Loss, samples: &Samples<'_, T>) -> Result<Report> {
        let count = samples.count();
        samples.check("evaluate", self.engine(), self.inputs(), self.outputs())?;
        let first_by_row = loss.first_by_row(self.engine())?;
        let mut inference = self.inference_for(count)?;
        let mut scores = Scores::new(self.engine(), count)?;
        // A mean of members has no logits.
        let is_mean = self.last().kind() == LayerKind::MemberMean;
        for first in (0..count).step_by(INFERENCE_BATCH) {
            let range = first..count.min(first + INFERENCE_BATCH);
            let ([x, t], [losses, hits]) =
                (samples.range(range.clone())?, scores.range_mut(range)?);
            if is_mean {
                let (of_loss, output) = ((loss, first_by_row.as_ref()), inference.run(x)?);
                score_mean(of_loss, self.output_activation(), (output, t), losses, hits)?;
            } else {
                let output = inference.run_for(loss, x)?;
                let formula = (loss.formula(), first_by_row.as_ref());
                fused::loss(formula, output, t, losses, None)?;
                fused::hits(output, t, loss.threshold(), hits)?;
            }
        }
        scores.report(count, samples.task(), [samples.counts(); 2])
    }
}

/// Losses and hits of a mean of members. Where the loss reads logits, they are computed from the probabilities on the host.
pub(crate) fn score_mean<T: Scalar>(
    (loss, first_by_row): (Loss, Option<&Matrix<T>>),
    activation: Activation,
    (output, target): (MatrixRef<'_, T>, MatrixRef<'_, T>),
    mut losses: MatrixMut<'_, T>,
    hits: MatrixMut<'_, T>,
) -> Result<()> {
    if !loss.is_fused_with(activation) {
        fused::loss((loss.formula(), first_by_row), output, target, losses, None)?;
        return fused::hits(output, target, loss.threshold(), hits);
    }
    let (p, t) = (T::to_f64s(&output.to_vec()?), T::to_f64s(&target.to_vec()?));
    losses.write_f64(&entropies(loss, output.rows(), &p, &t))?;
    fused::hits(output, target, 0.5, hits)
}

/// The cross-entropy of each sample, from probabilities p and targets t, `rows x samples`. A probability that has been rounded to 0 has a
/// finite loss. Not generic, so that no user's crate compiles it.
fn entropies(loss: Loss, rows: usize, p: &[f64], t: &[f64]) -> Vec<f64> {
    let ln = |p: f64| libm::log(p.max(f64::MIN_POSITIVE));
    let of_output = |(p, t): (&f64, &f64)| match loss {
        Loss::BinaryCrossEntropy => -t * ln(*p) - (1.0 - t) * ln(1.0 - p),
        _ => -t * ln(*p),
    };
    let samples = p.chunks_exact(rows).zip(t.chunks_exact(rows));
    samples.map(|(p, t)| p.iter().zip(t).map(of_output).sum()).collect()
}
