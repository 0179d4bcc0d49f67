//! One training step: forward through the layers, loss, backward, update; or all of it in one kernel.
//!
//! Engines of GPUs compute a step of a small network in one kernel. Whether a trainer's steps qualify is decided once, when it is
//! built; see [`forms_for_one_kernel`].

use super::builder::TrainerBuilder;
use super::collected::{Collected, Update};
use super::dropout::InputDropout;
use super::factors::Factors;
use super::loss_scale::Scaler;
use super::max_norm::MaxNorm;
use super::members::{MemberLosses, trained_layers};
use super::slices::{self, Slices};
use crate::activation::Activation;
use crate::error::{Error, Result};
use crate::layer::{LayerKind, Pass, Role, Training};
use crate::loss::Loss;
use crate::matrix::{Matrix, MatrixMut, MatrixRef};
use crate::network::Network;
use crate::ops::fused::{self, Indices};
use crate::ops::network::{self, Batch, Form, Trained};
use crate::ops::regularize;
use crate::optimizer::{Optimizer, Schedule, ScheduleState, Sink, Step, UpdateRule};
use crate::samples::Results;
use crate::scalar::Scalar;

/// State matrices of the optimizer: for every layer those of its weights and those of its bias.
pub(super) type States<T> = Vec<[Vec<Matrix<T>>; 2]>;
/// Inputs and targets of a batch.
pub(super) type Pair<'a, T> = (MatrixRef<'a, T>, MatrixRef<'a, T>);

/// A place for the losses of a batch and, where samples have weights, their factors.
pub(super) type Losses<'a, T> = (MatrixMut<'a, T>, Option<MatrixRef<'a, T>>);

/// What every step uses and changes.
pub(super) struct Stepper<'n, T: Scalar> {
    pub(super) layers: Vec<Training<'n, T>>,
    pub(super) states: States<T>,
    pub(super) loss: Loss,
    /// The first parameter of the loss for each row, where rows have different ones.
    pub(super) first_by_row: Option<Matrix<T>>,
    pub(super) optimizer: Box<dyn Optimizer<T>>,
    pub(super) collected: Option<Collected<T>>,
    /// For every layer what is dropped of its input, or nothing.
    pub(super) dropouts: Vec<Option<InputDropout<T>>>,
    pub(super) max_norm: Option<MaxNorm<T>>,
    /// Where the network has members.
    pub(super) members: Option<MemberLosses<T>>,
    /// For every layer whether its parameters stay as they are.
    pub(super) frozen: Vec<bool>,
    /// The last layer's, as the loss demands it.
    pub(super) output_role: Role,
    /// Where the batch is cut into slices.
    pub(super) slices: Option<Slices<T>>,
    /// The slice whose gradient is computed.
    pub(super) slice: usize,
    /// Of every layer, where the engine computes a step in one kernel.
    forms: Option<Vec<Form>>,
    /// The most samples of a step.
    batch: usize,
    pub(super) schedule: ScheduleState,
    /// Of the learning rate and the weight decay, for weights and bias of every layer.
    factors: Option<Vec<[Factors; 2]>>,
    /// The factor of the rates of dropout and of the weight decay.
    fading: Schedule,
    /// Steps done.
    pub(super) step: u64,
}

impl<'n, T: Scalar> Stepper<'n, T> {
    pub(super) fn new(builder: TrainerBuilder<'n, T>) -> Result<Self> {
        let forms = forms_for_one_kernel(&builder);
        let slices = slices::count(builder.slices, &builder.processes, builder.batch)?;
        let TrainerBuilder { network, loss, optimizer, batch, seed, .. } = builder;
        let (loss, schedule) = (loss.validate()?, ScheduleState::new(builder.schedule)?);
        validate_fading(&builder.fading)?;
        builder.factors.iter().try_for_each(|f| Factors::validate(f, network.layers().len()))?;
        let network_output = network.output_activation();
        let first_by_row = loss.first_by_row(network.engine())?;
        let states = states(network, &*optimizer)?;
        let members = MemberLosses::new(network, batch)?;
        let layers = training_layers(network, loss, batch)?;
        let dropouts = builder.dropout.unwrap_or_default().of_layers(&layers, seed)?;
        let max_norm = builder.max_norm.map(|most| MaxNorm::new(most, &layers)).transpose()?;
        let first = Step { number: 0, factor: 1.0, decay: 1.0 };
        let in_place = matches!(optimizer.sink(first), Sink::Parameters { .. });
        let collects = slices > 1 || in_place && builder.factors.is_some();
        let collected = Collected::new((builder.clip, builder.loss_scale), collects, &layers)?;
        let slices = Slices::new(slices, &builder.processes, batch, &layers)?;
        Ok(Stepper {
            slice: 0,
            slices,
            frozen: vec![false; layers.len()],
            output_role: role_of_output(loss, network_output),
            layers,
            states,
            loss,
            first_by_row,
            optimizer,
            collected,
            dropouts,
            max_norm,
            members,
            forms,
            batch,
            schedule,
            factors: builder.factors,
            fading: builder.fading,
            step: 0,
        })
    }

    pub(super) fn scaler(&self) -> Option<&Scaler<T>> {
        self.collected.as_ref()?.scaler.as_ref()
    }

    pub(super) fn scaler_mut(&mut self) -> Option<&mut Scaler<T>> {
        self.collected.as_mut()?.scaler.as_mut()
    }

    /// The factor of gradients on their way back.
    pub(super) fn scale(&self) -> f64 {
        self.scaler().map_or(1.0, |scaler| scaler.state.scale)
    }

    pub(super) fn next_step(&self) -> Step {
        // The optimizer does not count steps that were skipped.
        let skipped = self.scaler().map_or(0, |scaler| scaler.state.skipped);
        Step {
            number: self.step.saturating_sub(skipped),
            factor: self.schedule.factor(self.step),
            decay: self.fading.factor(self.step),
        }
    }

    /// States at the front that no later step reads: the gradient.
    pub(super) fn transient_states(&self) -> usize {
        usize::from(matches!(self.optimizer.sink(self.next_step()), Sink::State { keep: 0.0, .. }))
    }

    /// The output of the last layer, as the loss reads it.
    pub(super) fn output(&self, samples: usize) -> Result<MatrixRef<'_, T>> {
        self.layers[self.layers.len() - 1].output(samples)
    }

    /// Forward, loss, backward, update.
    pub(super) fn run(
        &mut self,
        x: MatrixRef<'_, T>,
        t: MatrixRef<'_, T>,
        results: Results<'_, T>,
    ) -> Result<()> {
        self.schedule.check(self.step)?;
        if let Some(slices) = &self.slices {
            let own = slices.own_samples(x.columns());
            // A process without samples of a small batch reads none of these.
            let columns =
                own.start.min(x.columns() - 1)..own.end.max(own.start + 1).min(x.columns());
            let pair = (x.sub_columns(columns.clone())?, t.sub_columns(columns)?);
            return self.run_slices(x.columns(), pair, results);
        }
        if self.takes_in_one_kernel((x, t), &results) {
            self.run_in_one_kernel((x, t), None, results)
        } else {
            self.run_layers(x, t, results)
        }
    }

    /// Whether a step on such a batch is one kernel.
    pub(super) fn takes_in_one_kernel(
        &self,
        (x, t): Pair<'_, T>,
        results: &Results<'_, T>,
    ) -> bool {
        self.forms.is_some()
            && results.weights.is_none()
            && !self.frozen.contains(&true)
            && network::are_contiguous(x, t)
    }

    /// A step in one kernel on x and t or, with an order, on the columns of them that it names from an index on.
    pub(super) fn run_in_one_kernel<'r>(
        &mut self,
        (input, target): Pair<'r, T>,
        order: Option<(&'r Indices<T>, usize)>,
        Results { losses, hits, .. }: Results<'r, T>,
    ) -> Result<()> {
        let step = self.next_step();
        let (loss, threshold) = (self.loss.formula(), self.loss.threshold());
        let batch =
            Batch { batch: self.batch, input, target, order, loss, threshold, losses, hits };
        let (scales, into_states) = match self.optimizer.sink(step) {
            Sink::Parameters { scale, keep } => ((scale, keep), false),
            Sink::State { scale, keep } => ((scale, keep), true),
        };
        let layers = self.layers.iter_mut().zip(&mut self.states).zip(self.forms.iter().flatten());
        let layers = layers.map(|((layer, states), form)| Trained {
            parameters: layer.parameters_mut(),
            sinks: into_states.then(|| states.each_mut().map(|states| states[0].view_mut())),
            form: *form,
        });
        network::step(layers, batch, scales)?;
        let rule = self.optimizer.rule(step);
        let rule = rule.as_ref();
        let update = Update { optimizer: &*self.optimizer, step, rule, factors: None };
        for (i, (layer, states)) in self.layers.iter_mut().zip(&mut self.states).enumerate() {
            layer.discard_pass();
            update.apply(i, layer, states)?;
        }
        self.step += 1;
        Ok(())
    }

    /// A step layer by layer.
    pub(super) fn run_layers(
        &mut self,
        x: MatrixRef<'_, T>,
        t: MatrixRef<'_, T>,
        results: Results<'_, T>,
    ) -> Result<()> {
        self.forward(x, Pass::Step)?;
        self.score((x, t), results)?;
        self.backward(x)
    }

    /// The hits and losses after a forward pass, and the last layer's delta.
    pub(super) fn score(
        &mut self,
        (x, t): Pair<'_, T>,
        Results { losses, hits, weights }: Results<'_, T>,
    ) -> Result<()> {
        if let Some(hits) = hits {
            let last = &self.layers[self.layers.len() - 1];
            let (output, threshold) = (last.output(x.columns())?, self.loss.threshold());
            match &mut self.members {
                Some(members) => members.hits((output, threshold), t, hits)?,
                None => fused::hits(output, t, threshold, hits)?,
            }
        }
        self.loss(t, (losses, weights))
    }

    /// The losses after a forward pass, and the last layer's delta.
    pub(super) fn loss(
        &mut self,
        t: MatrixRef<'_, T>,
        (mut losses, factors): Losses<'_, T>,
    ) -> Result<()> {
        let last = self.layers.len() - 1;
        let operands = self.layers[last].loss_operands(t.columns())?;
        let loss = (self.loss.formula(), self.first_by_row.as_ref());
        if let Some(members) = &mut self.members {
            members.loss(loss, operands, t, losses.reborrow())?;
        } else {
            let (output, delta, fold) = operands;
            fused::loss(loss, output, t, losses.reborrow(), Some((delta, fold)))?;
        }
        self.scale_delta(t.columns())?;
        if let Some(factors) = factors {
            regularize::weigh(factors, losses)?;
            regularize::weigh(factors, self.layers[last].loss_operands(t.columns())?.1)?;
        }
        Ok(())
    }

    /// Multiplies the last layer's delta by the scale of the loss, where there is one.
    pub(super) fn scale_delta(&mut self, samples: usize) -> Result<()> {
        let Some(scaler) = self.scaler() else { return Ok(()) };
        let (scale, last) = (scaler.state.scale, self.layers.len() - 1);
        let (_, delta, _) = self.layers[last].loss_operands(samples)?;
        Scaler::scale(scale, delta)
    }

    /// The outputs of all layers. Steps drop inputs of layers; other passes do not.
    pub(super) fn forward(&mut self, x: MatrixRef<'_, T>, pass: Pass) -> Result<()> {
        for i in 0..self.layers.len() {
            let (before, after) = self.layers.split_at_mut(i);
            let mut input = match before.last() {
                Some(previous) => previous.output(x.columns())?,
                None => x,
            };
            if let (Pass::Step, Some(dropout)) = (pass, &mut self.dropouts[i]) {
                let fading = self.fading.factor(self.step);
                input = dropout.forward((self.step, self.slice), fading, input)?;
            }
            let pass = if self.frozen[i] { Pass::Inference } else { pass };
            after[0].forward_as(pass, input)?;
        }
        Ok(())
    }

    /// From the last layer to the lowest that is trained: propagates delta with the weights as they were, then updates them.
    pub(super) fn backward(&mut self, x: MatrixRef<'_, T>) -> Result<()> {
        let step = self.next_step();
        let rule = self.optimizer.rule(step);
        let lowest = self.lowest_trained();
        for i in (lowest..self.layers.len()).rev() {
            if i > lowest {
                self.propagate(i, x.columns())?;
            }
            if !self.frozen[i] {
                self.descend(i, x, (step, rule.as_ref()))?;
            }
        }
        self.finish_step()
    }

    /// The lowest layer that is trained.
    pub(super) fn lowest_trained(&self) -> usize {
        self.frozen.iter().take_while(|is_frozen| **is_frozen).count()
    }

    /// Updates parameters whose gradients are collected, and bounds weights.
    pub(super) fn finish_step(&mut self) -> Result<()> {
        let step = self.next_step();
        let rule = self.optimizer.rule(step);
        self.update_collected(step, rule.as_ref())?;
        if let Some(max_norm) = &mut self.max_norm {
            max_norm.bound(&mut self.layers, &self.frozen)?;
        }
        self.step += 1;
        Ok(())
    }

    /// The delta of the layer in front of layer i.
    pub(super) fn propagate(&mut self, i: usize, samples: usize) -> Result<()> {
        let (before, after) = self.layers.split_at_mut(i);
        let previous = &mut before[i - 1];
        after[0].propagate(&mut **previous, samples)?;
        match &self.dropouts[i] {
            Some(dropout) => dropout.backward(previous.output_and_delta_mut(samples)?.1),
            None => Ok(()),
        }
    }

    /// The gradient of layer i: collected, or used at once.
    fn descend(
        &mut self,
        i: usize,
        x: MatrixRef<'_, T>,
        (step, rule): (Step, Option<&UpdateRule>),
    ) -> Result<()> {
        let scale = self.scale();
        if let Some(mut collected) = self.collected.take() {
            let sinks = collected.gradients[i].each_mut().map(Matrix::view_mut);
            let done = self.gradient_of(i, x, sinks, 1.0 / scale);
            self.collected = Some(collected);
            return done;
        }
        let (layer, input) = layer_and_input(i, x, &mut self.layers, &self.dropouts)?;
        let states = &mut self.states[i];
        match self.optimizer.sink(step) {
            Sink::Parameters { scale, keep } => layer.descend(input, scale, keep)?,
            Sink::State { scale, keep } => {
                let sinks = states.each_mut().map(|states| states[0].view_mut());
                layer.gradient(input, sinks, scale, keep)?;
            }
        }
        let factors = self.factors.as_deref();
        Update { optimizer: &*self.optimizer, step, rule, factors }.apply(i, layer, states)
    }

    /// `sinks = scale gradient` for weights and bias of layer i.
    pub(super) fn gradient_of(
        &mut self,
        i: usize,
        x: MatrixRef<'_, T>,
        sinks: [MatrixMut<'_, T>; 2],
        scale: f64,
    ) -> Result<()> {
        let (layer, input) = layer_and_input(i, x, &mut self.layers, &self.dropouts)?;
        layer.gradient(input, sinks, scale, 0.0)
    }

    /// Gives the collected gradients to the optimizer, unless the step is skipped.
    fn update_collected(&mut self, step: Step, rule: Option<&UpdateRule>) -> Result<()> {
        let Some(collected) = &mut self.collected else { return Ok(()) };
        if !collected.accepts()? {
            return Ok(());
        }
        let factors = self.factors.as_deref();
        let update = Update { optimizer: &*self.optimizer, step, rule, factors };
        let layers = self.layers.iter_mut().zip(&mut self.states).enumerate();
        let mut trained = layers.filter(|(i, _)| !self.frozen[*i]);
        trained.try_for_each(|(i, (layer, states))| collected.update(i, update, layer, states))
    }
}

/// Layer i and its input, as its forward pass had it.
fn layer_and_input<'l, 'n, T: Scalar>(
    i: usize,
    x: MatrixRef<'l, T>,
    layers: &'l mut [Training<'n, T>],
    dropouts: &'l [Option<InputDropout<T>>],
) -> Result<(&'l mut Training<'n, T>, MatrixRef<'l, T>)> {
    let (before, after) = layers.split_at_mut(i);
    let input = match (&dropouts[i], before.last()) {
        (Some(dropout), _) => dropout.output(x.columns())?,
        (None, Some(previous)) => previous.output(x.columns())?,
        (None, None) => x,
    };
    Ok((&mut after[0], input))
}

/// The forms of all layers if the engine computes every step of this trainer in one kernel: a small network of dense layers, plain
/// gradients, and a loss with at most one number.
fn forms_for_one_kernel<T: Scalar>(builder: &TrainerBuilder<'_, T>) -> Option<Vec<Form>> {
    let TrainerBuilder {
        network, loss, batch, clip, dropout, max_norm, loss_scale, factors, ..
    } = builder;
    let drops = dropout.is_some_and(|dropout| dropout.drops());
    let is_one =
        slices::count(builder.slices, &builder.processes, *batch).is_ok_and(|one| one == 1);
    let is_plain = is_one
        && clip.is_none()
        && !drops
        && max_norm.is_none()
        && loss_scale.is_none()
        && factors.is_none();
    let logits = loss.is_fused_with(network.output_activation());
    let forms = network.whole(logits, *batch, true)?;
    (is_plain && loss.has_at_most_one_number()).then_some(forms)
}

/// Refuses schedules whose factors are no shares, or follow losses.
fn validate_fading(schedule: &Schedule) -> Result<()> {
    let refuse = |reason| Err(Error::argument("fade_regularization", reason));
    match schedule.clone().validate()? {
        Schedule::Plateau { .. } => refuse("regularization does not follow losses".to_owned()),
        Schedule::Function(_) => {
            refuse("a function of one's own is for the learning rate".to_owned())
        }
        Schedule::Step { factor, .. } | Schedule::Exponential { factor } if factor > 1.0 => {
            refuse(format!("the factor must be at most 1, not {factor}"))
        }
        Schedule::Cosine { last, .. } if last > 1.0 => {
            refuse(format!("the last factor must be at most 1, not {last}"))
        }
        _ => Ok(()),
    }
}

/// The last layer's role: some losses read its z.
fn role_of_output(loss: Loss, output: Activation) -> Role {
    Role::before(None, loss.is_fused_with(output))
}

/// State matrices of zeros.
fn states<T: Scalar>(network: &Network<T>, optimizer: &dyn Optimizer<T>) -> Result<States<T>> {
    let zeros = |like: MatrixRef<'_, T>| -> Result<Vec<Matrix<T>>> {
        let one = |_| Matrix::zeros(like.engine(), like.rows(), like.columns());
        (0..optimizer.states()).map(one).collect()
    };
    let layers = network.layers()[..trained_layers(network)].iter();
    layers.map(|layer| Ok([zeros(layer.weights())?, zeros(layer.bias())?])).collect()
}

/// The layers in the roles that their successors and the loss give them.
fn training_layers<T: Scalar>(
    network: &mut Network<T>,
    loss: Loss,
    batch: usize,
) -> Result<Vec<Training<'_, T>>> {
    let logits = role_of_output(loss, network.output_activation()) == Role::Logits;
    let trained = trained_layers(network);
    let kinds: Vec<LayerKind> =
        network.layers()[..trained].iter().map(|layer| layer.kind()).collect();
    let next = kinds.iter().skip(1).map(|kind| Some(*kind)).chain([None]);
    let layers = network.layers_mut().iter_mut().zip(next);
    layers.map(|(layer, next)| layer.training(batch, Role::before(next, logits))).collect()
}
