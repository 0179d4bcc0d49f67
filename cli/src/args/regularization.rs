//! Options against overfitting.

use clap::Args;
use travertine::data::Targets;
use travertine::{Dropout, Result, Samples, Scalar, TrainerBuilder};

use crate::args::class_weights::ClassWeights;
use crate::args::names::Normalization;
use crate::args::values::{positive, share};
use crate::message::wrong;

/// What keeps a network from overfitting its samples.
#[derive(Args, Clone, Debug)]
pub(crate) struct RegularizationArgs {
    /// Normalization between each hidden layer and its activation: none, batch or layer
    #[arg(long, default_value = "none", value_name = "KIND")]
    pub(crate) normalization: Normalization,
    /// Share of the outputs of hidden layers that each training step leaves out
    #[arg(long, value_name = "SHARE", default_value_t = 0.0, allow_negative_numbers = true, value_parser = share)]
    dropout: f64,
    /// Share of the features that each training step leaves out
    #[arg(long, value_name = "SHARE", default_value_t = 0.0, allow_negative_numbers = true, value_parser = share)]
    input_dropout: f64,
    /// Largest Euclidean norm of the weights into a hidden unit
    #[arg(long, value_name = "NORM", allow_negative_numbers = true, value_parser = positive)]
    max_norm: Option<f64>,
    /// Share of each target that is spread over all classes
    #[arg(long, value_name = "SHARE", default_value_t = 0.0, allow_negative_numbers = true, value_parser = share)]
    label_smoothing: f64,
    /// Factors of the loss of each class in training: balanced, or CLASS=WEIGHT,CLASS=WEIGHT (others 1)
    #[arg(long, value_name = "WEIGHTS")]
    class_weights: Option<ClassWeights>,
}

impl RegularizationArgs {
    /// Refuses options that do not apply to this number of hidden layers or to these targets.
    pub(crate) fn check(&self, hidden: usize, classes: bool) -> Result<()> {
        let given = [
            (self.normalization != Normalization::None, "--normalization"),
            (self.dropout > 0.0, "--dropout"),
            (self.max_norm.is_some(), "--max-norm"),
        ];
        if let Some((_, option)) = given.iter().find(|option| option.0 && hidden == 0) {
            return Err(wrong(option, "is for hidden layers, and --hidden none leaves none"));
        }
        if self.label_smoothing > 0.0 && !classes {
            return Err(wrong("--label-smoothing", "is for classes, but the label is values"));
        }
        if self.class_weights.is_some() && !classes {
            return Err(wrong("--class-weights", "is for classes, but the label is values"));
        }
        Ok(())
    }

    pub(crate) fn of_trainer<'n, T: Scalar>(
        &self,
        trainer: TrainerBuilder<'n, T>,
    ) -> TrainerBuilder<'n, T> {
        let dropout = Dropout { inputs: self.input_dropout, hidden: self.dropout };
        trainer.max_norm(self.max_norm).dropout(dropout)
    }

    pub(crate) fn of_training_samples<'d, T: Scalar>(
        &self,
        mut samples: Samples<'d, T>,
        targets: &Targets,
        class_counts: Option<&[usize]>,
    ) -> Result<Samples<'d, T>> {
        if let Some(weights) = &self.class_weights {
            samples = samples.with_class_weights(&weights.of(targets, class_counts)?)?;
        }
        if self.label_smoothing > 0.0 {
            samples.with_label_smoothing(self.label_smoothing)
        } else {
            Ok(samples)
        }
    }

    /// The entries in the model file and in checkpoints.
    pub(crate) fn metadata(&self) -> Vec<(&'static str, String)> {
        let shares = [
            ("dropout", self.dropout),
            ("input_dropout", self.input_dropout),
            ("label_smoothing", self.label_smoothing),
        ];
        let shares = shares.into_iter().filter(|(_, share)| *share > 0.0);
        let norm = self.max_norm.map(|most| ("max_norm", most));
        let numbers = shares.chain(norm).map(|(name, number)| (name, number.to_string()));
        let normalization = (self.normalization != Normalization::None)
            .then(|| ("normalization", self.normalization.to_string()));
        let weights =
            self.class_weights.as_ref().map(|weights| ("class_weights", weights.to_string()));
        normalization.into_iter().chain(numbers).chain(weights).collect()
    }
}
