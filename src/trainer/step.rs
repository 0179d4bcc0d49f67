//! One training step: the layers in a row, the loss behind them, the optimizer beside them.

use super::dropout::{Dropout, InputDropout};
use super::loss_scale::{LossScale, Scaler};
use super::max_norm::MaxNorm;
use super::whole::Whole;
use crate::error::Result;
use crate::layer::{Kind, Pass, Role, Training};
use crate::loss::Loss;
use crate::matrix::{Matrix, MatrixMut, MatrixRef};
use crate::network::Network;
use crate::ops::{self, fused, regularize};
use crate::optimizer::{self, Clip, Clipper, Optimizer, Pace, Schedule, Sink, Step};
use crate::samples::Results;
use crate::scalar::Scalar;

/// What every step uses and changes.
pub(super) struct Stepper<'n, T: Scalar> {
    pub(super) layers: Vec<Training<'n, T>>,
    /// For every layer the optimizer's state of weights and bias.
    pub(super) states: Vec<[Vec<Matrix<T>>; 2]>,
    pub(super) loss: Loss,
    pub(super) optimizer: Box<dyn Optimizer<T>>,
    collected: Option<Collected<T>>,
    /// For every layer what is dropped of its input, or nothing.
    dropouts: Vec<Option<InputDropout<T>>>,
    max_norm: Option<MaxNorm<T>>,
    /// Where the engine takes a step in one call.
    pub(super) whole: Option<Whole>,
    pub(super) pace: Pace,
    /// Steps done.
    pub(super) step: u64,
}

/// Gradients that are judged or bounded before the optimizer sees them, of weights and bias of every layer.
struct Collected<T: Scalar> {
    scaler: Option<Scaler<T>>,
    clipper: Option<Clipper<T>>,
    gradients: Vec<[Matrix<T>; 2]>,
}

impl<'n, T: Scalar> Stepper<'n, T> {
    pub(super) fn new(
        network: &'n mut Network<T>,
        loss: Loss,
        optimizer: Box<dyn Optimizer<T>>,
        batch: usize,
    ) -> Result<Self> {
        let mut states = Vec::with_capacity(network.layers().len());
        for layer in network.layers() {
            let zeros = |like: MatrixRef<'_, T>| -> Result<Vec<Matrix<T>>> {
                (0..optimizer.states())
                    .map(|_| Matrix::zeros(like.engine(), like.rows(), like.columns()))
                    .collect()
            };
            states.push([zeros(layer.weights())?, zeros(layer.bias())?]);
        }
        let fused = loss.is_fused_with(network.last().activation());
        let whole = Whole::new(network, loss, batch);
        let kinds: Vec<Kind> = network.layers().iter().map(|layer| layer.kind()).collect();
        let next = kinds.iter().skip(1).map(|kind| Some(*kind)).chain([None]);
        let layers: Result<Vec<_>> = network
            .layers_mut()
            .iter_mut()
            .zip(next)
            .map(|(layer, next)| layer.training(batch, Role::before(next, fused)))
            .collect();
        let pace = Pace::new(Schedule::Constant)?;
        let dropouts = states.iter().map(|_| None).collect();
        let (layers, collected, max_norm) = (layers?, None, None);
        Ok(Stepper {
            layers,
            states,
            loss,
            optimizer,
            collected,
            dropouts,
            max_norm,
            whole,
            pace,
            step: 0,
        })
    }

    /// Drops inputs of layers from now on.
    pub(super) fn drop_out(&mut self, dropout: Dropout, seed: u64) -> Result<()> {
        self.whole = None;
        self.dropouts = dropout.of_layers(&self.layers, seed)?;
        Ok(())
    }

    /// Bounds the weights into hidden units from now on.
    pub(super) fn bound_norms(&mut self, most: f64) -> Result<()> {
        self.whole = None;
        self.max_norm = Some(MaxNorm::new(most, &self.layers)?);
        Ok(())
    }

    /// Names and matrices of what dropout and max-norm need.
    pub(super) fn regularization_buffers(&self) -> impl Iterator<Item = (String, &Matrix<T>)> {
        let dropouts = self.dropouts.iter().enumerate();
        let dropouts = dropouts.filter_map(|(i, dropout)| Some((i, dropout.as_ref()?)));
        let dropped = dropouts.flat_map(|(i, dropout)| {
            dropout.buffers().map(|(name, matrix)| (format!("layers.{i}.{name}"), matrix))
        });
        let norms = self.max_norm.iter().flat_map(MaxNorm::buffers);
        dropped.chain(norms.map(|(name, matrix)| (name.to_owned(), matrix)))
    }

    /// Matrices of the shapes of weights and bias of every layer.
    pub(super) fn zeros(&self) -> Result<Vec<[Matrix<T>; 2]>> {
        let zeros =
            |like: MatrixRef<'_, T>| Matrix::zeros(like.engine(), like.rows(), like.columns());
        self.layers
            .iter()
            .map(|layer| Ok([zeros(layer.weights())?, zeros(layer.bias())?]))
            .collect()
    }

    /// Bounds gradients from now on.
    pub(super) fn clip(&mut self, clip: Clip) -> Result<()> {
        let clipper = Clipper::new(clip, self.layers[0].weights().engine(), 2 * self.layers.len())?;
        self.collected()?.clipper = Some(clipper);
        Ok(())
    }

    /// Scales the loss from now on.
    pub(super) fn scale_loss(&mut self, scale: LossScale) -> Result<()> {
        let scaler = Scaler::new(scale, self.layers[0].weights().engine(), 2 * self.layers.len())?;
        self.collected()?.scaler = Some(scaler);
        Ok(())
    }

    /// Room for all gradients, made when it is first asked for.
    fn collected(&mut self) -> Result<&mut Collected<T>> {
        self.whole = None;
        let gradients = match self.collected.take() {
            Some(collected) => return Ok(self.collected.insert(collected)),
            None => self.zeros()?,
        };
        Ok(self.collected.insert(Collected { scaler: None, clipper: None, gradients }))
    }

    pub(super) fn scaler(&self) -> Option<&Scaler<T>> {
        self.collected.as_ref()?.scaler.as_ref()
    }

    pub(super) fn scaler_mut(&mut self) -> Option<&mut Scaler<T>> {
        self.collected.as_mut()?.scaler.as_mut()
    }

    /// What gradients are multiplied by until the optimizer sees them.
    fn scale(&self) -> f64 {
        self.scaler().map_or(1.0, |scaler| scaler.state.scale)
    }

    /// Names and matrices of what collecting gradients needs.
    pub(super) fn collected_buffers(&self) -> impl Iterator<Item = (String, &Matrix<T>)> {
        self.collected.iter().flat_map(|Collected { scaler, clipper, gradients }| {
            let names = (0..gradients.len())
                .flat_map(|i| ["weight", "bias"].map(|name| format!("layers.{i}.{name}.gradient")));
            let buffers =
                clipper.iter().flat_map(Clipper::buffers).chain(scaler.iter().map(Scaler::buffer));
            let buffers = buffers.map(|(name, matrix)| (name.to_owned(), matrix));
            names.zip(gradients.iter().flatten()).chain(buffers)
        })
    }

    pub(super) fn next(&self) -> Step {
        // A step that was skipped is none that the optimizer has made.
        let skipped = self.scaler().map_or(0, |scaler| scaler.state.skipped);
        Step { number: self.step.saturating_sub(skipped), factor: self.pace.factor(self.step) }
    }

    /// States at the front that no step looks at again: the gradient.
    pub(super) fn forgotten_states(&self) -> usize {
        usize::from(matches!(self.optimizer.sink(self.next()), Sink::State { keep: 0.0, .. }))
    }

    /// What the last layer put out, as the loss reads it.
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
        let Some(results) = self.run_whole((x, t), None, results)? else { return Ok(()) };
        let Results { mut losses, hits, weights } = results;
        self.forward(x, Pass::Step)?;
        if let Some(hits) = hits {
            fused::hits(self.output(x.columns())?, t, self.loss.threshold(), hits)?;
        }
        self.loss(t, losses.reborrow())?;
        if let Some(weights) = weights {
            let last = self.layers.len() - 1;
            regularize::weigh(weights, losses)?;
            regularize::weigh(weights, self.layers[last].loss_operands(x.columns())?.1)?;
        }
        self.backward(x)
    }

    /// The losses behind a forward pass, and the last layer's delta.
    fn loss(&mut self, t: MatrixRef<'_, T>, losses: MatrixMut<'_, T>) -> Result<()> {
        let last = self.layers.len() - 1;
        let (output, delta, fold) = self.layers[last].loss_operands(t.columns())?;
        fused::loss(self.loss.formula(), output, t, losses, Some((delta, fold)))?;
        let Some(Collected { scaler: Some(scaler), .. }) = &self.collected else { return Ok(()) };
        let (_, delta, _) = self.layers[last].loss_operands(t.columns())?;
        scaler.scale(delta)
    }

    /// The losses of a batch as a step would see them, without dropout; nothing but buffers changes.
    pub(super) fn loss_of(
        &mut self,
        (x, t): (MatrixRef<'_, T>, MatrixRef<'_, T>),
        losses: MatrixMut<'_, T>,
    ) -> Result<()> {
        self.forward(x, Pass::Look)?;
        self.loss(t, losses)
    }

    /// `sinks = scale gradient + keep sinks` for weights and bias of every layer; the parameters stay as they are.
    pub(super) fn gradients(
        &mut self,
        (x, t): (MatrixRef<'_, T>, MatrixRef<'_, T>),
        losses: MatrixMut<'_, T>,
        sinks: &mut [[Matrix<T>; 2]],
        (scale, keep): (f64, f64),
    ) -> Result<()> {
        let scaled = self.scale();
        self.loss_of((x, t), losses)?;
        for i in (0..self.layers.len()).rev() {
            let (before, after) = self.layers.split_at_mut(i);
            let input = match before.last_mut() {
                Some(previous) => {
                    after[0].propagate(&mut **previous, x.columns())?;
                    previous.output(x.columns())?
                }
                None => x,
            };
            after[0].gradient(
                input,
                sinks[i].each_mut().map(Matrix::view_mut),
                scale / scaled,
                keep,
            )?;
        }
        Ok(())
    }

    /// Loss and hits of a batch without training on it.
    pub(super) fn evaluate(
        &mut self,
        x: MatrixRef<'_, T>,
        t: MatrixRef<'_, T>,
        losses: MatrixMut<'_, T>,
        hits: MatrixMut<'_, T>,
    ) -> Result<()> {
        self.forward(x, Pass::Inference)?;
        let output = self.output(x.columns())?;
        fused::loss(self.loss.formula(), output, t, losses, None)?;
        fused::hits(output, t, self.loss.threshold(), hits)
    }

    /// Steps drop inputs of layers; looks and inference do not.
    pub(super) fn forward(&mut self, x: MatrixRef<'_, T>, pass: Pass) -> Result<()> {
        for i in 0..self.layers.len() {
            let (before, after) = self.layers.split_at_mut(i);
            let mut input = match before.last() {
                Some(previous) => previous.output(x.columns())?,
                None => x,
            };
            if let (Pass::Step, Some(dropout)) = (pass, &mut self.dropouts[i]) {
                input = dropout.forward(self.step, input)?;
            }
            after[0].forward_as(pass, input)?;
        }
        Ok(())
    }

    /// From the last layer to the first: hands delta on while the weights are as they were, then updates them.
    fn backward(&mut self, x: MatrixRef<'_, T>) -> Result<()> {
        let (samples, step, scaled) = (x.columns(), self.next(), self.scale());
        let rule = self.optimizer.rule(step);
        for i in (0..self.layers.len()).rev() {
            let (before, after) = self.layers.split_at_mut(i);
            let layer = &mut after[0];
            let mut input = match before.last_mut() {
                Some(previous) => {
                    layer.propagate(&mut **previous, samples)?;
                    if let Some(dropout) = &self.dropouts[i] {
                        dropout.backward(previous.output_and_delta_mut(samples)?.1)?;
                    }
                    previous.output(samples)?
                }
                None => x,
            };
            if let Some(dropout) = &self.dropouts[i] {
                input = dropout.output(samples)?;
            }
            match &mut self.collected {
                None => {
                    let states = &mut self.states[i];
                    match self.optimizer.sink(step) {
                        Sink::Parameters { scale, keep } => layer.descend(input, scale, keep)?,
                        Sink::State { scale, keep } => {
                            let [weights, bias] = states;
                            layer.gradient(
                                input,
                                [weights[0].view_mut(), bias[0].view_mut()],
                                scale,
                                keep,
                            )?;
                        }
                    }
                    for (parameter, states) in layer.parameters_mut().into_iter().zip(states) {
                        optimizer::update(
                            &*self.optimizer,
                            (step, rule.as_ref()),
                            parameter,
                            states,
                        )?;
                    }
                }
                Some(collected) => {
                    let gradients = collected.gradients[i].each_mut().map(Matrix::view_mut);
                    layer.gradient(input, gradients, 1.0 / scaled, 0.0)?;
                }
            }
        }
        self.update_collected(step)?;
        if let Some(max_norm) = &mut self.max_norm {
            max_norm.bound(&mut self.layers)?;
        }
        self.step += 1;
        Ok(())
    }

    /// Judges and bounds the gradients once all are known, and hands them to the optimizer.
    fn update_collected(&mut self, step: Step) -> Result<()> {
        let Some(Collected { scaler, clipper, gradients }) = &mut self.collected else {
            return Ok(());
        };
        if let Some(scaler) = scaler
            && !scaler.accepts(gradients)?
        {
            return Ok(());
        }
        if let Some(clipper) = clipper {
            clipper.clip(gradients)?;
        }
        let (sink, rule, real) =
            (self.optimizer.sink(step), self.optimizer.rule(step), T::from_f64);
        for ((layer, gradients), states) in
            self.layers.iter_mut().zip(gradients).zip(&mut self.states)
        {
            for ((mut parameter, gradient), states) in
                layer.parameters_mut().into_iter().zip(gradients).zip(states)
            {
                match sink {
                    Sink::GRADIENT => std::mem::swap(gradient, &mut states[0]),
                    Sink::State { scale, keep } => {
                        ops::axpby(real(scale), gradient.view(), real(keep), states[0].view_mut())?;
                    }
                    Sink::Parameters { scale, keep } => {
                        ops::axpby(real(scale), gradient.view(), real(keep), parameter.reborrow())?;
                    }
                }
                optimizer::update(&*self.optimizer, (step, rule.as_ref()), parameter, states)?;
            }
        }
        Ok(())
    }
}
