//! How a network is built and trained, whatever its samples are.

use std::sync::Arc;

use travertine::data::Dataset;
use travertine::engine::Engine;
use travertine::optimizer::Schedule;
use travertine::processes::Group;
use travertine::{Activation, Builder, Loss, Matrix, Network, Result, Samples, Scalar, Trainer};

use crate::args::device::Precision;
use crate::args::init::FirstWeights;
use crate::args::names::{Hidden, Normalization};
use crate::args::optimizer::OptimizerArgs;
use crate::args::processes::ProcessesArgs;
use crate::args::regularization::RegularizationArgs;
use crate::args::schedule::{EpochSchedule, ScheduleArgs};
use crate::message::wrong;
use crate::train::args::TrainArgs;
use crate::train::data::TrainingData;
use crate::train::rate::{LearningRate, Restart};

/// The hidden layers and everything that a trainer is built from.
#[derive(Clone)]
pub(crate) struct Recipe {
    hidden: Hidden,
    activation: Activation,
    is_parametric: bool,
    /// Networks in one.
    members: Option<usize>,
    init: FirstWeights,
    fits_init: bool,
    optimizer: OptimizerArgs,
    rate: LearningRate,
    schedule: ScheduleArgs,
    regularization: RegularizationArgs,
    batch: usize,
    epochs: usize,
    seed: u64,
    precision: Precision,
    processes: ProcessesArgs,
}

/// Samples that `--fit-init` looks at, at most.
const SAMPLES_OF_INIT: usize = 1024;

/// Entries of a model file or a checkpoint: name and value.
type Entries = Vec<(&'static str, String)>;

impl Recipe {
    /// Takes the recipe from the arguments; refuses optimizer options that contradict each other.
    pub(crate) fn new(args: &TrainArgs) -> Result<Self> {
        let rate = LearningRate::new(args.learning_rate, args.optimizer.default_rate());
        args.optimizer.build::<f64>(rate.value())?;
        Ok(Recipe {
            hidden: args.layers.hidden.clone(),
            activation: args.layers.activation,
            is_parametric: args.layers.parametric,
            members: args.layers.members,
            init: args.layers.init.clone(),
            fits_init: args.layers.fit_init,
            optimizer: args.optimizer.clone(),
            rate,
            schedule: args.schedule.clone(),
            regularization: args.regularization.clone(),
            batch: args.batch,
            epochs: args.epochs,
            seed: args.seed,
            precision: args.precision,
            processes: args.processes.clone(),
        })
    }

    /// The same recipe with another seed.
    pub(crate) fn with_seed(self, seed: u64) -> Self {
        Recipe { seed, ..self }
    }

    /// The same recipe for a network that this process trains by itself.
    pub(crate) fn of_task(self) -> Self {
        Recipe { processes: self.processes.of_task(), ..self }
    }

    /// The processes that share a training.
    pub(crate) fn group(&self) -> &Group {
        &self.processes.group
    }

    /// The same recipe with another number of epochs.
    pub(crate) fn with_epochs(self, epochs: usize) -> Self {
        Recipe { epochs, ..self }
    }

    /// The learning rate before the schedule.
    pub(crate) fn rate(&self) -> LearningRate {
        self.rate
    }

    /// Whether the learning rate rises and falls several times.
    pub(crate) fn has_waves(&self) -> bool {
        matches!(self.schedule.schedule, EpochSchedule::CosLog(_))
    }

    /// Replaces the learning rate before the schedule.
    pub(crate) fn set_rate(&mut self, rate: LearningRate) {
        self.rate = rate;
    }

    /// Lowers the learning rate, if an attempt to train diverged for this reason and the rate may fall.
    pub(crate) fn lower_rate(&mut self, divergence: Option<String>) -> Option<Restart> {
        let (reason, lowered) = (divergence?, self.rate.lowered()?);
        self.rate = lowered;
        Some(Restart::new(reason, lowered))
    }

    /// Passes over the training samples.
    pub(crate) fn epochs(&self) -> usize {
        self.epochs
    }

    pub(crate) fn seed(&self) -> u64 {
        self.seed
    }

    /// Refuses options that do not apply to the hidden layers or to targets of this kind.
    pub(crate) fn check(&self, has_classes: bool) -> Result<()> {
        if self.is_parametric && self.hidden.0.is_empty() {
            let reason = "is for hidden layers, and --hidden none leaves none";
            return Err(wrong("--parametric", reason));
        }
        if self.members.is_some() && self.hidden.0.is_empty() {
            let reason = "share hidden layers, and --hidden none leaves none";
            return Err(wrong("--members", reason));
        }
        self.regularization.check(self.hidden.0.len(), has_classes)
    }

    /// The network with its initial weights.
    pub(crate) fn network<T: Scalar>(
        &self,
        engine: &Arc<dyn Engine<T>>,
        data: &TrainingData<T>,
        output: Activation,
    ) -> Result<Network<T>> {
        let (data, numbers, embedded) = (&data.train, data.numbers(), data.embedded());
        let mut builder =
            Network::builder(engine, data.inputs()).init(self.init.rule()).seed(self.seed);
        if self.regularization.embeds_numbers {
            if numbers.is_empty() {
                let reason = "is for tables with columns of numbers or dates; there are none here";
                return Err(wrong("--embed-numbers", reason));
            }
            builder = builder.embed_numbers(&numbers);
        }
        if !embedded.is_empty() {
            builder = builder.embed_categories(&embedded);
        }
        if self.regularization.scales_features {
            builder = builder.scale(Activation::Identity);
        }
        let builder = match self.members {
            Some(count) => self.layers_of_members(builder.members(count), data.outputs(), output),
            None => {
                let hidden = self.hidden.0.iter();
                let builder =
                    hidden.fold(builder, |builder, &size| self.hidden_layer(builder, size));
                builder.dense(data.outputs(), output)
            }
        };
        let mut network = builder.build()?;
        self.init.load(&mut network)?;
        if self.fits_init {
            // Evenly spread, because a table may be sorted.
            let step = data.samples().div_ceil(SAMPLES_OF_INIT);
            let some: Vec<usize> = (0..data.samples()).step_by(step).collect();
            let some = data.select(&some)?;
            let x = Matrix::from_slice(engine, data.inputs(), some.samples(), some.features())?;
            network.fit_initial_values(x.view(), self.seed)?;
        }
        Ok(network)
    }

    /// Adds the layers of members: each hidden layer is shared, and each member has factors and biases of its own for its units. Factors of
    /// its inputs would add nothing where the activation is relu, which passes positive factors through.
    fn layers_of_members<'e, T: Scalar>(
        &self,
        mut builder: Builder<'e, T>,
        outputs: usize,
        output: Activation,
    ) -> Builder<'e, T> {
        for &size in &self.hidden.0 {
            builder = builder.member_dense(size, Activation::Identity).scale(self.activation);
        }
        builder.member_heads(outputs, output)
    }

    /// Adds a hidden layer: dense, normalization, activation.
    fn hidden_layer<'e, T: Scalar>(&self, builder: Builder<'e, T>, size: usize) -> Builder<'e, T> {
        let behind = if self.is_parametric { Activation::Identity } else { self.activation };
        let builder = match self.regularization.normalization {
            Normalization::None => builder.dense(size, behind),
            Normalization::Batch => builder.dense(size, Activation::Identity).batch_norm(behind),
            Normalization::Layer => builder.dense(size, Activation::Identity).layer_norm(behind),
        };
        if self.is_parametric { builder.parametric(self.activation) } else { builder }
    }

    /// The trainer for this number of samples.
    pub(crate) fn trainer<'n, T: Scalar>(
        &self,
        network: &'n mut Network<T>,
        loss: Loss,
        samples: usize,
    ) -> Result<Trainer<'n, T>> {
        let optimizer = self.optimizer.build(self.rate.value())?;
        let steps = samples.div_ceil(self.batch(samples)) * self.epochs;
        let factors = self.regularization.factors(network);
        let trainer = Trainer::builder(network, loss, optimizer)
            .batch(self.batch(samples))
            .seed(self.seed)
            .schedule(self.schedule_in_steps(samples))
            .clip(self.schedule.clip())
            .factors(factors);
        let trainer = self.processes.of_trainer(trainer);
        self.precision.of_trainer(self.regularization.of_trainer(trainer, steps as u64)).build()
    }

    /// Samples on the device, with the weights of classes and smoothed labels where those are chosen.
    pub(crate) fn training_samples<'d, T: Scalar>(
        &self,
        engine: &'d Arc<dyn Engine<T>>,
        data: &'d Dataset<T>,
    ) -> Result<Samples<'d, T>> {
        self.training_samples_of(engine, data, None)
    }

    /// As [`Recipe::training_samples`]; `class_counts`: the samples of each class, where these are not all.
    pub(crate) fn training_samples_of<'d, T: Scalar>(
        &self,
        engine: &'d Arc<dyn Engine<T>>,
        data: &'d Dataset<T>,
        class_counts: Option<&[usize]>,
    ) -> Result<Samples<'d, T>> {
        let samples = Samples::new(engine, data)?;
        self.regularization.of_training_samples(samples, data.targets(), class_counts)
    }

    fn init_text(&self) -> String {
        format!("{}{}", self.init, if self.fits_init { ", fitted to samples" } else { "" })
    }

    /// Samples in a step: no more than there are.
    pub(crate) fn batch(&self, samples: usize) -> usize {
        self.batch.min(samples)
    }

    fn schedule_in_steps(&self, samples: usize) -> Schedule {
        let steps = samples.div_ceil(self.batch(samples)) as u64;
        self.schedule.schedule(self.epochs as u64, steps)
    }

    /// The entries of optimizer, schedule and regularization.
    pub(crate) fn metadata(&self) -> Entries {
        let optimizer = self.optimizer.metadata(self.rate.value()).into_iter();
        optimizer.chain(self.schedule.metadata()).chain(self.regularization.metadata()).collect()
    }

    /// The entries of a checkpoint that decide the bytes of a model beside [`Recipe::metadata`]; `samples`: to train on.
    pub(crate) fn checkpoint_metadata(&self, samples: usize) -> Entries {
        let mut entries = vec![
            ("batch", self.batch.to_string()),
            ("init", self.init_text()),
            ("seed", self.seed.to_string()),
            ("precision", self.precision.name().to_owned()),
            // In steps: some schedules are as long as the training.
            ("schedule in steps", format!("{:?}", self.schedule_in_steps(samples))),
        ];
        entries.extend(self.slices(samples));
        entries
    }

    /// The entries at the end of a model file's list; `samples`: to train on, `epochs`: trained.
    pub(crate) fn model_metadata(&self, samples: usize, epochs: u64) -> Entries {
        let mut entries = vec![
            ("batch", self.batch(samples).to_string()),
            ("epochs", epochs.to_string()),
            ("init", self.init_text()),
            ("seed", self.seed.to_string()),
        ];
        entries.extend(self.slices(samples));
        entries
    }

    /// The number of slices of a step's batch, where there are several.
    fn slices(&self, samples: usize) -> Option<(&'static str, String)> {
        let slices = self.processes.slices(self.batch(samples))?;
        Some(("slices", slices.to_string()))
    }

    /// The samples of a slice, where batch normalization takes its moments of them.
    pub(crate) fn samples_of_moments(&self, samples: usize) -> Option<usize> {
        let normalizes = self.regularization.normalization == Normalization::Batch;
        let batch = self.batch(samples);
        self.processes.slices(batch).filter(|_| normalizes).map(|slices| batch / slices)
    }
}
