//! How much a model's predictions depend on each column.

use std::ops::Range;

use super::Model;
use super::prediction::Predictions;
use crate::data::{Dataset, Targets};
use crate::error::{Error, Result};
use crate::loss::Quantiles;
use crate::metrics::{accuracy, mean_pinball_loss, predicted_class, root_mean_squared_error};
use crate::network::INFERENCE_BATCH;
use crate::random::{Philox, Purpose};
use crate::scalar::Scalar;

/// How much worse a model is without what a column says, see [`Model::importance`].
#[derive(Clone, Debug, PartialEq)]
pub struct Importance {
    /// The name of the column, as in [`Model::columns`].
    pub column: String,
    /// The mean over the shuffles: the drop of the accuracy, or the rise of the root mean squared error or of the pinball loss.
    pub mean: f64,
    /// The standard deviation over the shuffles.
    pub deviation: f64,
}

impl<T: Scalar> Model<T> {
    /// The permutation importance of every column of the raw rows (Breiman, "Random Forests", 2001), in the order of
    /// [`Model::columns`]: how much worse the predictions become when the column's values are shuffled among the samples, which
    /// keeps their distribution and takes away what they say of the target. For classes that is the drop of the accuracy, for
    /// values the rise of the root mean squared error, in their unit (the mean over several targets), for quantiles that of the mean of
    /// their pinball losses. A column that becomes several features,
    /// such as one of categories, is shuffled as a whole; without an encoder, every feature is a column.
    ///
    /// Near 0, or below it by chance, the model does not need the column. Of two columns that say the same, each may seem
    /// unimportant, as the other one is still there. Samples that were held out tell what generalizes; those of the training tell what the model
    /// has learned, noise included.
    ///
    /// `data` is encoded and standardized, as for [`Model::predict_standardized`]. The time is that of
    /// `1 + repeats * columns` predictions of all samples; the memory that of one copy of them. 5 repeats are usual. The same seed gives
    /// the same numbers. Predictions that are NaN give values that are NaN.
    ///
    /// ```
    /// use travertine::data::{Dataset, Targets};
    /// use travertine::model_file::ModelInfo;
    /// use travertine::{Activation, Loss, Model, Network, engine};
    /// let cpu = engine::open::<f64>("cpu")?;
    /// let mut network = Network::builder(&cpu, 2).dense(1, Activation::Identity).build()?;
    /// network.layers_mut()[0].weights_mut().write(&[3.0, 0.0])?; // the second column has no influence
    /// let model = Model::new(network, ModelInfo::new(Loss::Quadratic))?;
    ///
    /// let targets = Targets::Values { values: vec![3.0, 6.0, 9.0], names: vec!["y".into()] };
    /// let data = Dataset::new(2, vec![1.0, 5.0, 2.0, 8.0, 3.0, 7.0], targets)?;
    /// let importance = model.importance(&data, 5, 1)?;
    /// assert!(importance[0].mean > 0.0 && importance[1].mean == 0.0);
    /// # Ok::<(), travertine::Error>(())
    /// ```
    ///
    /// # Errors
    /// No repeats; samples with other features, without targets, with targets of another kind, or of a class that the model
    /// does not have; a device that fails.
    pub fn importance(
        &self,
        data: &Dataset<T>,
        repeats: usize,
        seed: u64,
    ) -> Result<Vec<Importance>> {
        let name = "Model::importance";
        self.check_features(name, data)?;
        let targets = self.targets_of(name, data)?;
        if repeats == 0 {
            return Err(Error::argument(name, "0 repeats; at least 1 is needed, 5 are usual"));
        }
        let quantiles = self.quantiles();
        let mut predictor = self.predictor(data.samples().min(INFERENCE_BATCH))?;
        let mut predictions = Predictions::with_capacity(&self.shared.answers, data.samples());
        let mut fault_with = |features: &[T]| {
            predictions.clear();
            predictor.predict_standardized(features, &mut predictions)?;
            fault(&predictions, &targets, quantiles.as_ref())
        };
        let before = fault_with(data.features())?;
        let mut features = data.features().to_vec();
        let mut order: Vec<usize> = (0..data.samples()).collect();
        let (mut all, mut shuffles, mut first) = (Vec::new(), 0, 0);
        for column in self.shared.encoder.columns() {
            let places = first..first + column.features();
            first = places.end;
            let mut rises = Vec::new();
            for _ in 0..repeats {
                Philox::new(seed, Purpose::Importance, shuffles).shuffle(&mut order);
                shuffles = shuffles.wrapping_add(1);
                permute(&mut features, data, &places, &order);
                rises.push(fault_with(&features)? - before);
            }
            order.iter_mut().enumerate().for_each(|(i, place)| *place = i);
            permute(&mut features, data, &places, &order);
            all.push(Importance::of(column.name.clone(), &rises));
        }
        Ok(all)
    }
}

impl Importance {
    fn of(column: String, rises: &[f64]) -> Self {
        let count = rises.len() as f64;
        let mean = rises.iter().sum::<f64>() / count;
        let variance = rises.iter().map(|rise| (rise - mean).powi(2)).sum::<f64>() / count;
        Importance { column, mean, deviation: variance.sqrt() }
    }
}

/// Copies the features at `places` of the samples in this order.
fn permute<T: Scalar>(
    features: &mut [T],
    data: &Dataset<T>,
    places: &Range<usize>,
    order: &[usize],
) {
    let inputs = data.inputs();
    for (sample, &from) in features.chunks_exact_mut(inputs).zip(order) {
        let from = &data.features()[from * inputs..][..inputs];
        sample[places.clone()].copy_from_slice(&from[places.clone()]);
    }
}

/// The share of mistakes, the mean of the pinball losses of the quantiles, or that of the root mean squared errors of the targets.
fn fault<T: Scalar>(
    predictions: &Predictions<T>,
    targets: &Targets,
    quantiles: Option<&Quantiles>,
) -> Result<f64> {
    match targets {
        Targets::Classes { labels, names } => {
            let scores = predictions.scores().chunks_exact(names.len());
            Ok(1.0 - accuracy(labels, &scores.map(predicted_class).collect::<Vec<_>>())?)
        }
        Targets::Values { values, names } => {
            let predicted: Vec<f64> =
                predictions.iter().flat_map(|p| p.values().iter().copied()).collect();
            if let Some(quantiles) = quantiles {
                return mean_pinball_loss(quantiles.levels(), values, &predicted);
            }
            let of = |values: &[f64], target: usize| -> Vec<f64> {
                values.iter().skip(target).step_by(names.len()).copied().collect()
            };
            let errors = (0..names.len())
                .map(|target| root_mean_squared_error(&of(values, target), &of(&predicted, target)))
                .collect::<Result<Vec<_>>>()?;
            Ok(errors.iter().sum::<f64>() / names.len() as f64)
        }
        Targets::None => Err(Error::argument("Model::importance", "the samples have no targets")),
    }
}
