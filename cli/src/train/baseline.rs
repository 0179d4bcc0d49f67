//! What answers without a network reach on the samples held out, so that a useless network is seen at once.

use travertine::data::{Dataset, Encoder, Targets};
use travertine::optimizer::{Adam, Schedule};
use travertine::{
    ErrorKind, Init, Loss, Model, Network, Predictions, Quantiles, Result, Samples, Scalar,
    Trainer, engine, metrics,
};

use crate::train::output_layer::OutputLayer;

/// Steps that the linear model is trained for, at least.
const LINEAR_STEPS: usize = 4000;
const LINEAR_BATCH: usize = 256;
const LINEAR_RATE: f64 = 0.02;

/// The answer that is the same for every sample: the most frequent class of the training part, its mean, or its quantiles.
#[derive(Clone, Debug)]
pub(crate) enum Constant {
    Class { name: String, class: usize },
    Mean(f64),
    Quantiles { levels: Quantiles, values: Vec<f64> },
}

impl Constant {
    /// For classes, and for one value; else nothing. `loss`: of the network, which may predict quantiles.
    pub(crate) fn of(targets: &Targets, loss: Loss) -> Result<Option<Self>> {
        let constant = match (targets, loss.quantiles()) {
            (Targets::Values { values, names }, Some(levels)) if names.len() == 1 => {
                let values = metrics::quantiles(values, levels.levels())?;
                Some(Constant::Quantiles { levels, values })
            }
            _ => Constant::of_mean(targets),
        };
        Ok(constant)
    }

    /// The most frequent class, or the mean.
    fn of_mean(targets: &Targets) -> Option<Self> {
        match targets {
            Targets::Classes { labels, names } => {
                let mut counts = vec![0usize; names.len()];
                labels.iter().for_each(|label| counts[*label as usize] += 1);
                let (class, _) =
                    counts.iter().enumerate().rev().max_by_key(|(_, count)| **count)?;
                Some(Constant::Class { name: names[class].clone(), class })
            }
            Targets::Values { values, names } if names.len() == 1 => {
                Some(Constant::Mean(values.iter().sum::<f64>() / values.len() as f64))
            }
            _ => None,
        }
    }

    /// "'yes' for every sample"
    pub(crate) fn describe(&self) -> String {
        match self {
            Constant::Class { name, .. } => format!("'{name}' for every sample"),
            Constant::Mean(_) => "the mean for every sample".to_owned(),
            Constant::Quantiles { .. } => {
                "the quantiles of the training samples for every sample".to_owned()
            }
        }
    }

    /// The answers as a model gives them: a score for each class, a value, or its quantiles.
    pub(crate) fn answers(&self, samples: usize, classes: usize) -> Vec<f64> {
        match self {
            Constant::Class { class, .. } => {
                (0..samples * classes).map(|i| f64::from(u8::from(i % classes == *class))).collect()
            }
            Constant::Mean(mean) => vec![*mean; samples],
            Constant::Quantiles { values, .. } => values.repeat(samples),
        }
    }
}

/// The answers of a model, as [`Constant::answers`] has them: a score for each class, or values.
pub(crate) fn answers<T: Scalar>(predictions: &Predictions<T>) -> Vec<f64> {
    match predictions.scores() {
        [] => predictions.iter().flat_map(|prediction| prediction.values().to_vec()).collect(),
        scores => scores.to_vec(),
    }
}

/// What a linear model answers for `test`: logistic or linear regression on the CPU, trained on the samples that the network was
/// trained on. `model` says what its outputs mean. Nothing where its training diverges or an answer overflows.
pub(crate) fn linear_answers<T: Scalar>(
    (train, test): (&Dataset<T>, &Dataset<T>),
    output: &OutputLayer,
    model: &Model<T>,
) -> Result<Option<Vec<f64>>> {
    let engine = &engine::open::<T>("cpu")?;
    let samples = train.samples();
    let batch = LINEAR_BATCH.min(samples);
    let steps = samples.div_ceil(batch);
    let epochs = LINEAR_STEPS.div_ceil(steps);
    // The numbers of categories are no quantities; each has a vector of its own here as well.
    let embedded = model.info().encoder.iter().flat_map(Encoder::categories).collect::<Vec<_>>();
    let mut builder = Network::builder(engine, train.inputs()).init(Init::Zeros);
    if !embedded.is_empty() {
        builder = builder.embed_categories(&embedded);
    }
    let mut network = builder.dense(train.outputs(), output.activation).build()?;
    let last = (steps * epochs) as u64;
    let mut trainer = Trainer::builder(&mut network, output.learned_loss, Adam::new(LINEAR_RATE)?)
        .batch(batch)
        .seed(1)
        .schedule(Schedule::Cosine { steps: last, last: 0.0 })
        .build()?;
    let mut seen = Samples::new(engine, train)?;
    for _ in 0..epochs {
        match trainer.epoch(&mut seen) {
            Err(error) if matches!(error.kind(), ErrorKind::Diverged { .. }) => return Ok(None),
            report => report?,
        };
    }
    drop(trainer);
    let linear = Model::new(network, model.info().clone())?;
    match linear.predict_standardized(test) {
        // An answer that overflows.
        Err(error) if matches!(error.kind(), ErrorKind::Format { .. }) => Ok(None),
        predictions => Ok(Some(answers(&predictions?))),
    }
}
