//! What is trained: the network, its output layer and its loss.

use std::sync::Arc;

use travertine::data::Targets;
use travertine::engine::Engine;
use travertine::{Activation, Loss, Network, Result, Scalar, Trainer};

use crate::args::TrainArgs;
use crate::names::{self, Norm, wrong};
use crate::target_scale::TargetScale;
use crate::training_data::TrainingData;

/// Output layer, losses and units of a training.
pub(crate) struct Head {
    pub(crate) output: Activation,
    /// What is told and saved.
    pub(crate) loss: Loss,
    /// What is made small.
    pub(crate) learned: Loss,
    /// The one is so many times the other.
    pub(crate) factor: f64,
    pub(crate) scale: Option<TargetScale>,
}

/// The output layer and its loss, which must suit what is learned.
pub(crate) fn head<T: Scalar>(args: &TrainArgs, data: &TrainingData<T>) -> Result<Head> {
    let classes = !data.classes().is_empty();
    let output =
        args.output.unwrap_or(if classes { Activation::Softmax } else { Activation::Identity });
    let usual = if output == Activation::Identity { "quadratic" } else { "cross-entropy" };
    let loss = names::loss(args.loss.as_deref().unwrap_or(usual), output)?;
    if let Targets::Values { values, .. } = data.train.targets() {
        suits_values(values, output, loss)?;
    }
    let scales = output == Activation::Identity && data.standardization.is_some();
    let scale = scales.then(|| TargetScale::fit(&data.train)).flatten();
    let (learned, factor) =
        scale.as_ref().map_or((loss, 1.0), |scale| (scale.loss(loss), scale.factor(loss)));
    Ok(Head { output, loss, learned, factor, scale })
}

fn suits_values<T: Scalar>(values: &[T], output: Activation, loss: Loss) -> Result<()> {
    if output == Activation::Softmax || loss == Loss::SoftmaxCrossEntropy {
        let reason = "softmax and its cross-entropy are for classes, but the label is values; add --task classes";
        return Err(wrong(
            if output == Activation::Softmax { "--output" } else { "--loss" },
            reason,
        ));
    }
    let is_share = |x: &&T| (0.0..=1.0).contains(&x.to_f64());
    match values.iter().find(|x| !is_share(x)) {
        Some(x) if loss == Loss::BinaryCrossEntropy => Err(wrong(
            "--loss",
            format!("cross-entropy needs values from 0 to 1, the label has {x}"),
        )),
        _ => Ok(()),
    }
}

/// The network before it has learned anything.
pub(crate) fn network<T: Scalar>(
    args: &TrainArgs,
    engine: &Arc<dyn Engine<T>>,
    data: &TrainingData<T>,
    output: Activation,
) -> Result<Network<T>> {
    let mut builder = Network::builder(engine, data.train.inputs()).init(args.init).seed(args.seed);
    for &size in &args.hidden.0 {
        builder = match args.regularization.normalization {
            Norm::None => builder.dense(size, args.activation),
            Norm::Batch => builder.dense(size, Activation::Identity).batch_norm(args.activation),
            Norm::Layer => builder.dense(size, Activation::Identity).layer_norm(args.activation),
        };
    }
    builder.dense(data.train.outputs(), output).build()
}

/// The trainer as the arguments want it, for so many samples.
pub(crate) fn trainer<'n, T: Scalar>(
    args: &TrainArgs,
    network: &'n mut Network<T>,
    learned: Loss,
    samples: usize,
) -> Result<Trainer<'n, T>> {
    let batch = args.batch.min(samples);
    let steps = samples.div_ceil(batch) as u64;
    let optimizer = args.optimizer.build(args.rate())?;
    let mut trainer = Trainer::new(network, learned, optimizer, batch, args.seed)?
        .with_schedule(args.course.schedule(args.epochs as u64, steps))?;
    if let Some(clip) = args.course.clip() {
        trainer = trainer.with_clip(clip)?;
    }
    args.precision.of_trainer(args.regularization.of_trainer(trainer)?)
}
