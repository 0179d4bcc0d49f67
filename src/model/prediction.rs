//! What a model answers: outputs as they come, classes with probabilities, values.

use std::fmt;
use std::sync::Arc;

use super::schema::Origin;
use crate::data::{Schema as TableSchema, TargetScale, Unknown};
use crate::error::{Error, Result};
use crate::metrics::predicted_class;
use crate::model_file::{Decoding, ModelInfo};
use crate::network::Network;
use crate::scalar::Scalar;

/// What a model predicts for one sample.
///
/// ```
/// # use travertine::{Activation, Loss, Model, Network, engine, model_file::ModelInfo};
/// # let cpu = engine::open::<f32>("cpu")?;
/// # let network = Network::builder(&cpu, 2).dense(2, Activation::Softmax).build()?;
/// # let mut info = ModelInfo::new(Loss::SoftmaxCrossEntropy);
/// # info.classes = vec!["no".into(), "yes".into()];
/// # let model = Model::new(network, info)?;
/// let mut predictor = model.predictor(1)?;
/// let prediction = predictor.predict(&[0.5, 0.25])?;
/// let class = prediction.class().unwrap(); // "no" or "yes"
/// let probability = prediction.probability().unwrap(); // of that class
/// assert_eq!(prediction.probabilities()[prediction.class_index().unwrap()], probability);
/// # assert!(["no", "yes"].contains(&class));
/// # Ok::<(), travertine::Error>(())
/// ```
#[derive(Clone, Copy)]
pub struct Prediction<'p, T> {
    outputs: &'p [T],
    /// One number a class, or the outputs where there are no classes.
    scores: &'p [f64],
    answers: &'p Answers,
}

impl<'p, T: Scalar> Prediction<'p, T> {
    /// The name of the predicted class; `None` for a model that predicts values.
    pub fn class(&self) -> Option<&'p str> {
        self.class_index().map(|class| &*self.answers.classes[class])
    }

    /// The predicted class as an index into [`Model::classes`](super::Model::classes): the first of those with the highest
    /// score.
    pub fn class_index(&self) -> Option<usize> {
        self.answers.is_classifier().then(|| predicted_class(self.scores) as usize)
    }

    /// The probability of the predicted class; `None` for a model of values, and for one of classes whose outputs are scores
    /// and no probabilities (trained, for example, with the quadratic loss behind a linear layer).
    pub fn probability(&self) -> Option<f64> {
        let class = self.class_index()?;
        self.answers.gives_probabilities().then(|| self.scores[class])
    }

    /// The probability of every class, in the order of [`Model::classes`](super::Model::classes); empty where there are
    /// none, as [`Prediction::probability`] says.
    pub fn probabilities(&self) -> &'p [f64] {
        if self.answers.gives_probabilities() { self.scores } else { &[] }
    }

    /// One number a class, the highest for the predicted class: probabilities where the model gives them. Empty for a model
    /// of values.
    pub fn scores(&self) -> &'p [f64] {
        if self.answers.is_classifier() { self.scores } else { &[] }
    }

    /// The predicted values in the units of the training data, one for each output; empty for a model of classes. Quantiles
    /// ascend: where those of a network cross, they are sorted, which never raises the mean of their pinball losses
    /// (Chernozhukov, Fernández-Val and Galichon, "Quantile and Probability Curves Without Crossing", 2010).
    ///
    /// ```
    /// # use travertine::{Activation, Loss, Model, Network, Quantiles, engine, model_file::ModelInfo};
    /// # let cpu = engine::open::<f32>("cpu")?;
    /// let mut network = Network::builder(&cpu, 1).dense(3, Activation::Identity).build()?;
    /// network.layers_mut()[0].bias_mut().write(&[2.0, 1.0, 3.0])?; // the first two cross
    /// let mut info = ModelInfo::new(Loss::Quantiles(Quantiles::new(&[0.1, 0.5, 0.9])?));
    /// info.target = Some("price".into());
    /// let model = Model::new(network, info)?;
    /// assert_eq!(model.predictor(1)?.predict(&[0.0])?.values(), [1.0, 2.0, 3.0]);
    /// assert_eq!(model.value_names(), ["price_q0.1", "price_q0.5", "price_q0.9"]);
    /// # Ok::<(), travertine::Error>(())
    /// ```
    pub fn values(&self) -> &'p [f64] {
        if self.answers.is_classifier() { &[] } else { self.scores }
    }

    /// The predicted values with as many digits as they deserve: those of `T`, unless the units of the data need more.
    pub fn value_texts(&self) -> Vec<String> {
        let epsilon =
            if size_of::<T>() == size_of::<f32>() { f64::from(f32::EPSILON) } else { f64::EPSILON };
        let text = |(output, value): (usize, &f64)| match &self.answers.target_scale {
            None => T::from_f64(*value).to_string(),
            Some(scale) => shortest(*value, epsilon * scale.deviation()[output]),
        };
        self.values().iter().enumerate().map(text).collect()
    }

    /// The network's outputs as they are, without the scale of the targets; their mean over the members of an ensemble.
    pub fn outputs(&self) -> &'p [T] {
        self.outputs
    }
}

/// The class with its probability, or the values.
impl<T: Scalar> fmt::Display for Prediction<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.class(), self.probability()) {
            (Some(class), Some(probability)) => write!(f, "{class} ({probability:.4})"),
            (Some(class), None) => f.write_str(class),
            (None, _) => f.write_str(&self.value_texts().join(", ")),
        }
    }
}

impl<T: Scalar> fmt::Debug for Prediction<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Prediction");
        match self.class() {
            Some(class) => shown.field("class", &class).field("scores", &self.scores),
            None => shown.field("values", &self.scores),
        };
        shown.finish()
    }
}

/// What a model predicts for several samples, in their order.
#[derive(Clone)]
pub struct Predictions<T> {
    answers: Arc<Answers>,
    samples: usize,
    /// `outputs x samples`
    outputs: Vec<T>,
    /// `width x samples`; see [`Answers::width`].
    scores: Vec<f64>,
    unknown: Vec<Unknown>,
    warnings: Vec<String>,
}

impl<T: Scalar> Predictions<T> {
    /// None, with room for so many.
    pub(super) fn with_capacity(answers: &Arc<Answers>, samples: usize) -> Self {
        Predictions {
            answers: Arc::clone(answers),
            samples: 0,
            outputs: Vec::with_capacity(answers.outputs * samples),
            scores: Vec::with_capacity(answers.width() * samples),
            unknown: Vec::new(),
            warnings: Vec::new(),
        }
    }

    /// Forgets all predictions; the memory stays.
    pub(super) fn clear(&mut self) {
        self.samples = 0;
        self.outputs.clear();
        self.scores.clear();
    }

    /// Room for the outputs of so many more samples, to be filled before [`Predictions::finish`].
    pub(super) fn more(&mut self, samples: usize) -> &mut [T] {
        let first = self.outputs.len();
        self.outputs.resize(first + self.answers.outputs * samples, T::default());
        &mut self.outputs[first..]
    }

    /// Computes the scores of the samples that were added since it was last called. Answers that are not finite stay as they are.
    pub(super) fn finish(&mut self) {
        for outputs in self.outputs.chunks_exact(self.answers.outputs).skip(self.samples) {
            self.answers.decode(outputs, &mut self.scores);
            self.samples += 1;
        }
    }

    /// As [`Predictions::finish`], for samples that `origin` names by their place among those that are added.
    ///
    /// # Errors
    /// An answer that is not finite.
    pub(super) fn finish_finite(&mut self, origin: impl Fn(usize) -> Origin) -> Result<()> {
        let first = self.samples;
        self.finish();
        let (outputs, width) = (self.answers.outputs, self.answers.width());
        // A bound of values would hide that an output has overflowed.
        let output = self.outputs[first * outputs..].iter().position(|x| !x.is_finite());
        let score = self.scores[first * width..].iter().position(|x| !x.is_finite());
        let (sample, found) = match (output, score) {
            (None, None) => return Ok(()),
            (Some(place), _) => {
                let found = self.outputs[first * outputs + place].to_string();
                ((place / outputs, place % outputs), found)
            }
            (None, Some(place)) => {
                ((place / width, place % width), self.scores[first * width + place].to_string())
            }
        };
        let (sample, place) = sample;
        let found = format!("{found}: the network's sums overflow {} for these inputs", T::NAME);
        Err(Error::format(
            origin(sample).to_string(),
            format!("answer for {}", self.answers.noun(place)),
            "a finite number",
            found,
        ))
    }

    pub(super) fn with_unseen(self, unknown: Vec<Unknown>, warnings: Vec<String>) -> Self {
        Predictions { unknown, warnings, ..self }
    }

    /// Number of samples.
    pub fn len(&self) -> usize {
        self.samples
    }

    /// Whether there are no samples.
    pub fn is_empty(&self) -> bool {
        self.samples == 0
    }

    /// The prediction for sample `i`, counted from 0; `None` beyond the last one.
    pub fn get(&self, i: usize) -> Option<Prediction<'_, T>> {
        (i < self.samples).then(|| {
            let (outputs, width) = (self.answers.outputs, self.answers.width());
            Prediction {
                outputs: &self.outputs[i * outputs..(i + 1) * outputs],
                scores: &self.scores[i * width..(i + 1) * width],
                answers: &self.answers,
            }
        })
    }

    /// The predictions in the order of the samples.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Prediction<'_, T>> {
        self.outputs
            .chunks_exact(self.answers.outputs)
            .zip(self.scores.chunks_exact(self.answers.width()))
            .map(|(outputs, scores)| Prediction { outputs, scores, answers: &self.answers })
    }

    /// All outputs, `outputs x samples`, one sample after the other.
    pub fn outputs(&self) -> &[T] {
        &self.outputs
    }

    /// All scores, `classes x samples`, one sample after the other; empty for a model of values.
    pub fn scores(&self) -> &[f64] {
        if self.answers.is_classifier() { &self.scores } else { &[] }
    }

    /// The texts that training did not see, column by column, where the samples were read from a table; such a text belongs
    /// to no category.
    pub fn unknown(&self) -> &[Unknown] {
        &self.unknown
    }

    /// What a person should know before trusting these predictions, where the samples were read from a table: see
    /// [`ModelTable::warnings`](super::ModelTable::warnings).
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }
}

impl<T: Scalar> fmt::Debug for Predictions<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

/// How a model's outputs become answers.
#[derive(Debug)]
pub(super) struct Answers {
    classes: Vec<String>,
    outputs: usize,
    decoding: Decoding,
    /// Whether the outputs are quantiles, which ascend.
    has_quantiles: bool,
    /// The units of values.
    target_scale: Option<TargetScale>,
    /// The names of the values.
    values: Vec<String>,
}

/// The names of the predicted values: those of the targets, or of their quantiles.
fn value_names(info: &ModelInfo, schema: &TableSchema) -> Vec<String> {
    if !info.classes.is_empty() {
        return Vec::new();
    }
    let name = |place: usize| schema.columns[place].name.clone();
    let targets: Vec<String> = schema.targets().into_iter().map(name).collect();
    match (info.loss.quantiles(), &targets[..], &info.target) {
        (Some(quantiles), [target], named) => quantiles.names(named.as_ref().unwrap_or(target)),
        (None, [_], Some(target)) => vec![target.clone()],
        _ => targets,
    }
}

impl Answers {
    pub(super) fn new<T: Scalar>(
        network: &Network<T>,
        info: &ModelInfo,
        schema: &TableSchema,
    ) -> Self {
        let decoding = Decoding::of(network.output_activation(), info.loss);
        Answers {
            classes: info.classes.clone(),
            outputs: network.outputs(),
            decoding,
            has_quantiles: info.loss.quantiles().is_some(),
            target_scale: info.target_scale.clone(),
            values: value_names(info, schema),
        }
    }

    /// The names of the values; none for a model of classes.
    pub(super) fn values(&self) -> &[String] {
        &self.values
    }

    /// An output, for messages.
    fn noun(&self, output: usize) -> String {
        // One output is the score of the second of two classes.
        let class = if self.outputs == 1 { self.classes.last() } else { self.classes.get(output) };
        match (class, self.values.get(output)) {
            (Some(class), _) => format!("class '{class}'"),
            (None, Some(name)) => format!("'{name}'"),
            (None, None) => format!("output {output} (counted from 0)"),
        }
    }

    pub(super) fn classes(&self) -> &[String] {
        &self.classes
    }

    /// Outputs of the network for a sample.
    pub(super) fn outputs(&self) -> usize {
        self.outputs
    }

    pub(super) fn is_classifier(&self) -> bool {
        !self.classes.is_empty()
    }

    pub(super) fn gives_probabilities(&self) -> bool {
        self.is_classifier() && self.decoding != Decoding::Plain
    }

    /// Scores a sample: one a class, or one an output where there are no classes.
    fn width(&self) -> usize {
        if self.is_classifier() { self.classes.len() } else { self.outputs }
    }

    /// Appends the scores of one sample.
    fn decode<T: Scalar>(&self, outputs: &[T], scores: &mut Vec<f64>) {
        let first = scores.len();
        scores.extend(outputs.iter().map(|output| output.to_f64()));
        if !self.is_classifier() {
            if let Some(scale) = &self.target_scale {
                let values = scores[first..].iter_mut().enumerate();
                values.for_each(|(output, x)| *x = scale.unscaled(output, *x));
            }
            if self.has_quantiles {
                scores[first..].sort_unstable_by(f64::total_cmp);
            }
            return;
        }
        match self.decoding {
            Decoding::Probabilities | Decoding::Plain => {}
            Decoding::Softmax => softmax(&mut scores[first..]),
            Decoding::Sigmoid => {
                scores[first..].iter_mut().for_each(|x| *x = 1.0 / (1.0 + (-*x).exp()))
            }
        }
        // One output is the score of the second of two classes.
        if let (&[yes], 2) = (&scores[first..], self.classes.len()) {
            scores[first] = 1.0 - yes;
            scores.push(yes);
        }
    }
}

fn softmax(logits: &mut [f64]) {
    let greatest = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    logits.iter_mut().for_each(|x| *x = (*x - greatest).exp());
    let sum: f64 = logits.iter().sum();
    logits.iter_mut().for_each(|x| *x /= sum);
}

/// The shortest text of a number within `tolerance` of `x`.
fn shortest(x: f64, tolerance: f64) -> String {
    const MAX_DECIMALS: i32 = 17;
    let decimals = (-tolerance.log10()).ceil().clamp(0.0, f64::from(MAX_DECIMALS)) as usize;
    let text = format!("{x:.decimals$}");
    if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        text
    }
}
