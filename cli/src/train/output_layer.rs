//! The output layer and its loss, which must suit the targets.

use travertine::data::{Dataset, TargetScale, Targets};
use travertine::{Activation, Loss, Result, Scalar};

use crate::args::names;
use crate::message::wrong;
use crate::train::args::LayerArgs;
use crate::train::data::TrainingData;

/// Output layer, losses and units of a training.
pub(crate) struct OutputLayer {
    pub(crate) activation: Activation,
    /// The loss that is reported and saved, in the unit of the data.
    pub(crate) loss: Loss,
    /// The loss that is minimized, in the unit of scaled targets.
    pub(crate) learned_loss: Loss,
    /// `loss / learned_loss`
    pub(crate) factor: f64,
    pub(crate) scale: Option<TargetScale>,
}

impl OutputLayer {
    /// The output layer that is chosen, or the default for these targets.
    pub(crate) fn new<T: Scalar>(args: &LayerArgs, data: &TrainingData<T>) -> Result<Self> {
        let default =
            if data.classes().is_empty() { Activation::Identity } else { Activation::Softmax };
        let activation = args.output.unwrap_or(default);
        let default =
            if activation == Activation::Identity { "quadratic" } else { "cross-entropy" };
        let loss = match args.quantiles {
            Some(quantiles) => {
                check_quantiles(data.train.targets())?;
                Loss::Quantiles(quantiles)
            }
            None => names::loss(args.loss.as_deref().unwrap_or(default), activation)?,
        };
        if let Targets::Values { values, .. } = data.train.targets() {
            check_values(values, activation, loss)?;
        }
        let scales = activation == Activation::Identity && data.standardization.is_some();
        let mut scale = data.target_scale.clone().filter(|_| scales);
        if args.bound_values {
            let Some(unbounded) = scale else {
                let reason = "is for values with a linear output and scaled features";
                return Err(wrong("--bound-values", reason));
            };
            scale = Some(unbounded.bounded_by(data.train.targets())?);
        }
        if let Some(quantiles) = loss.quantiles() {
            scale = scale.map(|scale| scale.for_quantiles(&quantiles)).transpose()?;
        }
        let (learned_loss, factor) =
            scale.as_ref().map_or((loss, 1.0), |scale| (scale.loss(loss), scale.factor(loss)));
        Ok(OutputLayer { activation, loss, learned_loss, factor, scale })
    }

    /// Replaces the targets in the unit of the data by those that the network learns.
    pub(crate) fn set_targets<T: Scalar>(&self, data: &mut TrainingData<T>) -> Result<()> {
        for data in std::iter::once(&mut data.train).chain(&mut data.test) {
            if let Some(targets) = self.learned(data.targets())? {
                data.set_targets(targets)?;
            }
        }
        Ok(())
    }

    /// The samples with the targets that the network learns.
    pub(crate) fn scaled<T: Scalar>(&self, data: Dataset<T>) -> Result<Dataset<T>> {
        match self.learned(data.targets())? {
            Some(targets) => data.with_targets(targets),
            None => Ok(data),
        }
    }

    /// The targets that the network learns: scaled, and one for each quantile; nothing where they are those of the data.
    fn learned(&self, targets: &Targets) -> Result<Option<Targets>> {
        let quantiles = self.loss.quantiles();
        let repeated = quantiles.map(|quantiles| targets.for_quantiles(&quantiles)).transpose()?;
        match &self.scale {
            Some(scale) => scale.apply_to(repeated.as_ref().unwrap_or(targets)).map(Some),
            None => Ok(repeated),
        }
    }
}

/// Refuses targets that have no quantiles to predict.
fn check_quantiles(targets: &Targets) -> Result<()> {
    let reason = match targets {
        Targets::Values { names, .. } if names.len() == 1 => return Ok(()),
        Targets::Values { names, .. } => {
            format!("is for one column of values, the label has {}", names.len())
        }
        _ => "is for values, but the label is classes; for numbers of a table, add --task values"
            .to_owned(),
    };
    Err(wrong("--quantiles", reason))
}

/// Refuses an output layer or a loss that cannot learn these values.
fn check_values(values: &[f64], output: Activation, loss: Loss) -> Result<()> {
    if output == Activation::Softmax || loss == Loss::SoftmaxCrossEntropy {
        let option = if output == Activation::Softmax { "--output" } else { "--loss" };
        let reason = "softmax and its cross-entropy are for classes, but the label is values; add --task classes";
        return Err(wrong(option, reason));
    }
    let is_share = |x: &&f64| (0.0..=1.0).contains(*x);
    match values.iter().find(|x| !is_share(x)) {
        Some(x) if loss == Loss::BinaryCrossEntropy => Err(wrong(
            "--loss",
            format!("cross-entropy needs values from 0 to 1, the label has {x}"),
        )),
        _ => Ok(()),
    }
}
