//! Samples and their targets in host memory.

use std::collections::HashSet;

use super::Split;
use super::split::check_chosen;
use super::weights;
use crate::{Error, ErrorKind, Quantiles, Result, Scalar};

/// What a network learns to predict.
#[derive(Clone, Debug, PartialEq)]
pub enum Targets {
    /// Each sample belongs to one class.
    Classes {
        /// The class of each sample, an index into `names`.
        labels: Vec<u32>,
        /// The classes, all different; there may be more than occur in `labels`.
        names: Vec<String>,
    },
    /// Each sample has one number for each output (regression), as precise as its file has it.
    Values {
        /// `outputs x samples`, one sample after the other.
        values: Vec<f64>,
        /// One name for each output.
        names: Vec<String>,
    },
    /// No targets: the samples are for prediction alone.
    None,
}

impl Targets {
    /// The value of each sample once for each level: what a network learns that predicts quantiles
    /// ([`Loss::Quantiles`](crate::Loss::Quantiles)).
    ///
    /// ```
    /// use travertine::{Quantiles, data::Targets};
    /// let targets = Targets::Values { values: vec![3.0, 5.0], names: vec!["price".into()] };
    /// let repeated = targets.for_quantiles(&Quantiles::new(&[0.25, 0.75])?)?;
    /// let names = vec!["price_q0.25".into(), "price_q0.75".into()];
    /// assert_eq!(repeated, Targets::Values { values: vec![3.0, 3.0, 5.0, 5.0], names });
    /// # Ok::<(), travertine::Error>(())
    /// ```
    ///
    /// # Errors
    /// Targets that are not one value a sample.
    pub fn for_quantiles(&self, quantiles: &Quantiles) -> Result<Self> {
        let (values, name) = match self {
            Targets::Values { values, names } if names.len() == 1 => (values, &names[0]),
            Targets::Values { names, .. } => {
                let reason = format!("{} values a sample; one has quantiles", names.len());
                return Err(Error::argument("Targets::for_quantiles", reason));
            }
            _ => {
                let reason = "the targets are no values";
                return Err(Error::argument("Targets::for_quantiles", reason));
            }
        };
        let levels = quantiles.levels().len();
        let values = values.iter().flat_map(|x| std::iter::repeat_n(*x, levels)).collect();
        Ok(Targets::Values { values, names: quantiles.names(name) })
    }

    /// The targets of these samples, in this order.
    pub(super) fn select(&self, chosen: &[usize]) -> Self {
        match self {
            Targets::Classes { labels, names } => {
                Targets::Classes { labels: select_columns(labels, 1, chosen), names: names.clone() }
            }
            Targets::Values { values, names } => Targets::Values {
                values: select_columns(values, names.len(), chosen),
                names: names.clone(),
            },
            Targets::None => Targets::None,
        }
    }
}

/// Samples in host memory: features `features x samples` in column-major order, and their [`Targets`].
///
/// A data set has at least one sample, and every number in it is finite.
///
/// ```
/// use travertine::data::{Dataset, Targets};
/// let targets = Targets::Classes { labels: vec![0, 1, 1], names: vec!["low".into(), "high".into()] };
/// let data = Dataset::<f32>::new(2, vec![0.1, 0.2, 0.8, 0.9, 0.7, 0.9], targets)?
///     .with_feature_names(vec!["left".into(), "right".into()])?;
/// assert_eq!((data.inputs(), data.samples(), data.outputs()), (2, 3, 2));
/// assert_eq!(data.sample(1), Some(&[0.8, 0.9][..]));
/// assert_eq!(data.target_columns()?, [1.0, 0.0, 0.0, 1.0, 0.0, 1.0]);
/// # Ok::<(), travertine::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Dataset<T: Scalar> {
    inputs: usize,
    features: Vec<T>,
    targets: Targets,
    feature_names: Vec<String>,
    target_name: Option<String>,
    image_size: Option<(usize, usize)>,
    weights: Option<Vec<f64>>,
}

impl<T: Scalar> Dataset<T> {
    /// A data set of samples with `inputs` features each; `features` is `inputs x samples`, one sample after the other.
    ///
    /// # Errors
    /// An argument error if there is no sample or no feature, if lengths do not match, if a label has no
    /// class, if class names repeat, or if a number is infinite or NaN.
    pub fn new(inputs: usize, features: Vec<T>, targets: Targets) -> Result<Self> {
        check_features(inputs, &features)
            .and_then(|samples| check_targets(&targets, samples))
            .map_err(argument)?;
        Ok(Dataset {
            inputs,
            features,
            targets,
            feature_names: Vec::new(),
            target_name: None,
            image_size: None,
            weights: None,
        })
    }

    /// Names the features.
    ///
    /// # Errors
    /// An argument error unless there is one name for each feature, or none at all.
    pub fn with_feature_names(self, names: Vec<String>) -> Result<Self> {
        if !names.is_empty() && names.len() != self.inputs {
            let reason = format!(
                "{} names for {} features; give one each, or none",
                names.len(),
                self.inputs
            );
            return Err(Error::argument("Dataset::with_feature_names", reason));
        }
        Ok(Dataset { feature_names: names, ..self })
    }

    /// Names the target, such as the label's column.
    pub fn with_target_name(self, name: impl Into<String>) -> Self {
        Dataset { target_name: Some(name.into()), ..self }
    }

    /// Declares the samples gray images of `width x height` pixels, row after row.
    ///
    /// # Errors
    /// An argument error unless a sample has as many features as such an image has pixels.
    pub fn with_image_size(self, width: usize, height: usize) -> Result<Self> {
        if width.checked_mul(height) != Some(self.inputs) {
            let reason = format!(
                "samples of {} features are no images of {width} x {height} pixels",
                self.inputs
            );
            return Err(Error::argument("Dataset::with_image_size", reason));
        }
        Ok(Dataset { image_size: Some((width, height)), ..self })
    }

    /// Weighs the samples: one of weight 2 counts as if it were there twice, one of weight 0 as if it were not there. Weights stay
    /// with their samples in splits, selections and deformations. [`Samples`](crate::Samples) take them up, so that training,
    /// evaluation and reports use them ([`Samples::with_weights`](crate::Samples::with_weights) has the formula); scales of features
    /// and targets do not.
    ///
    /// ```
    /// use travertine::data::{Dataset, Targets};
    /// let targets = Targets::Values { values: vec![1.0, 2.0, 3.0], names: vec!["y".into()] };
    /// let data = Dataset::<f32>::new(1, vec![0.1, 0.2, 0.3], targets)?.with_weights(vec![1.0, 0.0, 2.5])?;
    /// assert_eq!(data.select(&[2, 0])?.weights(), Some(&[2.5, 1.0][..]));
    /// # Ok::<(), travertine::Error>(())
    /// ```
    ///
    /// # Errors
    /// Another number of weights than samples; a weight that is not a finite number of at least 0; weights of 0 alone; weights with
    /// a sum that is infinite.
    pub fn with_weights(self, weights: Vec<f64>) -> Result<Self> {
        weights::check_weights("Dataset::with_weights", &weights, self.samples())?;
        Ok(Dataset { weights: Some(weights), ..self })
    }

    /// The weight of each sample, where they have weights.
    pub fn weights(&self) -> Option<&[f64]> {
        self.weights.as_deref()
    }

    /// Number of samples, at least 1.
    pub fn samples(&self) -> usize {
        self.features.len() / self.inputs
    }

    /// Number of features of a sample, at least 1.
    pub fn inputs(&self) -> usize {
        self.inputs
    }

    /// Number of outputs a network for these targets has: of classes, or of values a sample; 0 without targets.
    pub fn outputs(&self) -> usize {
        match &self.targets {
            Targets::Classes { names, .. } | Targets::Values { names, .. } => names.len(),
            Targets::None => 0,
        }
    }

    /// All features, `inputs x samples`, one sample after the other.
    pub fn features(&self) -> &[T] {
        &self.features
    }

    /// The features of sample `i`, counted from 0; `None` if there are not so many samples.
    pub fn sample(&self, i: usize) -> Option<&[T]> {
        self.features.chunks_exact(self.inputs).nth(i)
    }

    /// What is learned.
    pub fn targets(&self) -> &Targets {
        &self.targets
    }

    /// One name for each feature, or empty.
    pub fn feature_names(&self) -> &[String] {
        &self.feature_names
    }

    /// The name of the target, where it has one.
    pub fn target_name(&self) -> Option<&str> {
        self.target_name.as_deref()
    }

    /// Width and height, where the samples are known to be images.
    pub fn image_size(&self) -> Option<(usize, usize)> {
        self.image_size
    }

    /// Targets as a network's outputs, `outputs x samples`: classes one-hot (two classes are two rows), values unchanged; empty without
    /// targets.
    ///
    /// # Errors
    /// A memory error: with very many classes, one-hot columns are far larger than the labels. A value that `T` cannot hold; scale the
    /// targets ([`TargetScale`](super::TargetScale)).
    pub fn target_columns(&self) -> Result<Vec<T>> {
        match &self.targets {
            Targets::Classes { labels, names } => one_hot(labels, names.len()),
            Targets::Values { values, names } => rounded(values, names.len()),
            Targets::None => Ok(Vec::new()),
        }
    }

    /// The first `n` samples, or all if there are fewer.
    ///
    /// # Errors
    /// An argument error if `n` is 0, because a data set has at least one sample.
    pub fn take(&self, n: usize) -> Result<Self> {
        if n == 0 {
            return Err(Error::argument("Dataset::take", "0 samples requested; take at least 1"));
        }
        self.select(&(0..n.min(self.samples())).collect::<Vec<_>>())
    }

    /// Splits into (train, held out). The samples are shuffled by `seed`, and `held_out_fraction` of them, rounded, are
    /// held out. The same seed gives the same split on every machine.
    ///
    /// # Errors
    /// An argument error unless both parts have samples.
    pub fn split(&self, held_out_fraction: f64, seed: u64) -> Result<(Self, Self)> {
        let Split { train, held_out } = Split::held_out(self.samples(), held_out_fraction, seed)?;
        Ok((self.select(&train)?, self.select(&held_out)?))
    }

    /// The samples of these numbers, in this order; a [`Split`] has such numbers.
    ///
    /// # Errors
    /// No samples, or one that does not exist.
    pub fn select(&self, chosen: &[usize]) -> Result<Self> {
        check_chosen("Dataset::select", chosen, self.samples())?;
        Ok(Dataset {
            inputs: self.inputs,
            features: select_columns(&self.features, self.inputs, chosen),
            targets: self.targets.select(chosen),
            feature_names: self.feature_names.clone(),
            target_name: self.target_name.clone(),
            image_size: self.image_size,
            weights: weights::select(self.weights(), chosen),
        })
    }

    /// The same samples with other targets.
    ///
    /// # Errors
    /// As [`Dataset::set_targets`].
    pub fn with_targets(mut self, targets: Targets) -> Result<Self> {
        self.set_targets(targets)?;
        Ok(self)
    }

    /// Replaces the targets.
    ///
    /// # Errors
    /// Targets that are not one for each sample, or that [`Dataset::new`] refuses.
    pub fn set_targets(&mut self, targets: Targets) -> Result<()> {
        check_targets(&targets, self.samples()).map_err(argument)?;
        self.targets = targets;
        Ok(())
    }

    /// The same samples with other features of the same number.
    pub(super) fn with_features(&self, features: Vec<T>) -> Result<Self> {
        let made = Dataset::new(self.inputs, features, self.targets.clone())?;
        let (feature_names, target_name) = (self.feature_names.clone(), self.target_name.clone());
        let (image_size, weights) = (self.image_size, self.weights.clone());
        Ok(Dataset { feature_names, target_name, image_size, weights, ..made })
    }

    pub(super) fn features_mut(&mut self) -> &mut Vec<T> {
        &mut self.features
    }
}

fn argument(reason: String) -> Error {
    Error::argument("Dataset::new", reason)
}

fn check_features<T: Scalar>(inputs: usize, features: &[T]) -> Result<usize, String> {
    if inputs == 0 || features.is_empty() {
        return Err("a data set needs at least one sample and one feature".into());
    }
    if !features.len().is_multiple_of(inputs) {
        return Err(format!(
            "{} numbers are not a whole number of samples of {inputs} features",
            features.len()
        ));
    }
    check_finite("feature", inputs, features)?;
    Ok(features.len() / inputs)
}

fn check_targets(targets: &Targets, samples: usize) -> Result<(), String> {
    match targets {
        Targets::Classes { labels, names } => check_classes(labels, names, samples),
        Targets::Values { values, names } => check_values(values, names.len(), samples),
        Targets::None => Ok(()),
    }
}

fn check_classes(labels: &[u32], names: &[String], samples: usize) -> Result<(), String> {
    if labels.len() != samples {
        return Err(format!("{} labels for {samples} samples", labels.len()));
    }
    if let Some(i) = labels.iter().position(|&label| label as usize >= names.len()) {
        return Err(format!(
            "the label of sample {i} is {}, but there are {} classes",
            labels[i],
            names.len()
        ));
    }
    let mut seen = HashSet::new();
    match names.iter().find(|name| !seen.insert(*name)) {
        Some(name) => Err(format!("two classes are named {name:?}")),
        None => Ok(()),
    }
}

fn check_values(values: &[f64], outputs: usize, samples: usize) -> Result<(), String> {
    if outputs == 0 || outputs.checked_mul(samples) != Some(values.len()) {
        return Err(format!(
            "{} target values for {samples} samples with {outputs} named outputs",
            values.len()
        ));
    }
    check_finite("target", outputs, values)
}

fn check_finite<T: Scalar>(what: &str, rows: usize, columns: &[T]) -> Result<(), String> {
    match columns.iter().position(|x| !x.is_finite()) {
        Some(i) => Err(format!(
            "{what} {} of sample {} (both counted from 0) is {}",
            i % rows,
            i / rows,
            columns[i]
        )),
        None => Ok(()),
    }
}

/// The same values in another precision.
fn rounded<T: Scalar>(values: &[f64], outputs: usize) -> Result<Vec<T>> {
    let rounded: Vec<T> = values.iter().map(|&x| T::from_f64(x)).collect();
    match check_finite("target", outputs, &rounded) {
        Ok(()) => Ok(rounded),
        Err(reason) => {
            Err(Error::argument("Dataset::target_columns", reason + "; scale the targets"))
        }
    }
}

fn one_hot<T: Scalar>(labels: &[u32], classes: usize) -> Result<Vec<T>> {
    let out_of_memory = || {
        let asked = labels.len() as u128 * classes as u128 * size_of::<T>() as u128;
        ErrorKind::Memory {
            engine: "host".into(),
            asked: asked.try_into().unwrap_or(u64::MAX),
            available: None,
        }
    };
    let length = labels.len().checked_mul(classes).ok_or_else(out_of_memory)?;
    let mut columns = Vec::new();
    columns.try_reserve_exact(length).map_err(|_| out_of_memory())?;
    columns.resize(length, T::default());
    for (column, &label) in columns.chunks_exact_mut(classes).zip(labels) {
        column[label as usize] = T::from_f64(1.0);
    }
    Ok(columns)
}

fn select_columns<X: Copy>(columns: &[X], rows: usize, chosen: &[usize]) -> Vec<X> {
    chosen.iter().flat_map(|&i| &columns[i * rows..(i + 1) * rows]).copied().collect()
}
