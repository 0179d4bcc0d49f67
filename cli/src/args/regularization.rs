//! Options against overfitting.

use clap::{Args, ValueEnum};
use travertine::data::Targets;
use travertine::layer::LayerKind;
use travertine::optimizer::Schedule;
use travertine::trainer::Factors;
use travertine::{Dropout, Network, Result, Samples, Scalar, TrainerBuilder};

use crate::args::class_weights::ClassWeights;
use crate::args::names::Normalization;
use crate::args::values::{positive, share};
use crate::message::wrong;

/// The learning rates of single parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Rates {
    Standard,
    Tangent,
}

/// Of biases, with [`Rates::Tangent`].
const BIASES: Factors = Factors { rate: 0.1, decay: 0.0 };

/// Of the factors of features, with [`Rates::Tangent`]. Their offsets stay 0: the biases behind them do the same.
const SCALES: [Factors; 2] = [Factors { rate: 6.0, decay: 0.0 }, Factors { rate: 0.0, decay: 0.0 }];

/// Of embeddings of numbers, with [`Rates::Tangent`].
const EMBEDDINGS: [Factors; 2] =
    [Factors { rate: 0.1, decay: 1.0 }, Factors { rate: 0.1, decay: 0.0 }];

/// Of parametric activations, with [`Rates::Tangent`].
const ACTIVATIONS: [Factors; 2] = [Factors { rate: 0.1, decay: 0.0 }; 2];

/// What keeps a network from overfitting its samples, and how fast its parameters learn.
#[derive(Args, Clone, Debug)]
pub(crate) struct RegularizationArgs {
    /// Normalization between each hidden layer and its activation: none, batch or layer
    #[arg(long, default_value = "none", value_name = "KIND")]
    pub(crate) normalization: Normalization,
    /// Share of the outputs of hidden layers that each training step leaves out
    #[arg(long, value_name = "SHARE", default_value_t = 0.0, allow_negative_numbers = true, value_parser = share)]
    pub(crate) dropout: f64,
    /// Share of the features that each training step leaves out
    #[arg(long, value_name = "SHARE", default_value_t = 0.0, allow_negative_numbers = true, value_parser = share)]
    input_dropout: f64,
    /// Largest Euclidean norm of the weights into a hidden unit
    #[arg(long, value_name = "NORM", allow_negative_numbers = true, value_parser = positive)]
    max_norm: Option<f64>,
    /// Share of each target that is spread over all classes
    #[arg(long, value_name = "SHARE", default_value_t = 0.0, allow_negative_numbers = true, value_parser = share)]
    pub(crate) label_smoothing: f64,
    /// Let dropout and weight decay fall to 0 in the second half of the training
    #[arg(long = "fade-regularization", id = "fade_regularization")]
    pub(crate) fades: bool,
    /// Rates of single parameters: standard, or tangent: weights divided by the root of a layer's inputs, biases at a tenth of
    /// the rate and without decay
    #[arg(long, value_enum, default_value = "standard")]
    pub(crate) rates: Rates,
    /// Learn an embedding of each number of a table: three waves beside it
    #[arg(long = "embed-numbers", id = "embed_numbers")]
    pub(crate) embeds_numbers: bool,
    /// Learn a factor for each feature, at six times the rate with --rates tangent
    #[arg(long = "scale-features", id = "scale_features")]
    pub(crate) scales_features: bool,
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

    /// Whether units or inputs are left out in training.
    pub(crate) fn has_dropout(&self) -> bool {
        self.dropout > 0.0 || self.input_dropout > 0.0
    }

    /// The factors of the parameters of this network.
    pub(crate) fn factors<T: Scalar>(&self, network: &Network<T>) -> Option<Vec<[Factors; 2]>> {
        if self.rates == Rates::Standard {
            return None;
        }
        let mut factors = Factors::tangent(network, BIASES);
        for (factors, layer) in factors.iter_mut().zip(network.layers()) {
            match layer.kind() {
                LayerKind::Scale => *factors = SCALES,
                LayerKind::NumberEmbedding => *factors = EMBEDDINGS,
                LayerKind::Parametric => *factors = ACTIVATIONS,
                _ => {}
            }
        }
        Some(factors)
    }

    /// `steps`: of the whole training.
    pub(crate) fn of_trainer<'n, T: Scalar>(
        &self,
        trainer: TrainerBuilder<'n, T>,
        steps: u64,
    ) -> TrainerBuilder<'n, T> {
        let dropout = Dropout { inputs: self.input_dropout, hidden: self.dropout };
        let trainer = trainer.max_norm(self.max_norm).dropout(dropout);
        match self.fades {
            true => trainer.fade_regularization(Schedule::FlatCosine { steps }),
            false => trainer,
        }
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
        let fades = self.fades.then(|| ("fade_regularization", "yes".to_owned()));
        let embeds = self.embeds_numbers.then(|| ("embed_numbers", "yes".to_owned()));
        let scales = self.scales_features.then(|| ("scale_features", "yes".to_owned()));
        let rates = (self.rates == Rates::Tangent).then(|| ("rates", "tangent".to_owned()));
        let weights =
            self.class_weights.as_ref().map(|weights| ("class_weights", weights.to_string()));
        let others = fades.into_iter().chain(embeds).chain(scales).chain(rates).chain(weights);
        normalization.into_iter().chain(numbers).chain(others).collect()
    }
}
