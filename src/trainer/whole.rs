//! Steps of small networks that the engine takes in one call.

use super::step::Stepper;
use crate::error::Result;
use crate::loss::Loss;
use crate::matrix::{Matrix, MatrixRef};
use crate::network::Network;
use crate::ops::fused::Indices;
use crate::ops::network::{self, Batch, Form, Trained};
use crate::optimizer::{self, Sink};
use crate::samples::Results;
use crate::scalar::Scalar;

/// What such steps need beside what the stepper has.
pub(super) struct Whole {
    /// Of every layer.
    forms: Vec<Form>,
    /// The most samples of a step.
    batch: usize,
}

impl Whole {
    /// `None` where the engine does not take steps of this network in one call.
    pub(super) fn new<T: Scalar>(network: &Network<T>, loss: Loss, batch: usize) -> Option<Whole> {
        let logits = loss.is_fused_with(network.last().activation());
        let forms = network.trained_whole(logits, batch)?;
        loss.has_at_most_one_number().then_some(Whole { forms, batch })
    }
}

impl<T: Scalar> Stepper<'_, T> {
    /// A step on x and t or, with an order, on the columns of them that it names from a place on. Gives the results back if
    /// nothing was done, because the engine does not take such a step in one call.
    pub(super) fn run_whole<'r>(
        &mut self,
        (input, target): (MatrixRef<'r, T>, MatrixRef<'r, T>),
        order: Option<(&'r Indices<T>, usize)>,
        results: Results<'r, T>,
    ) -> Result<Option<Results<'r, T>>> {
        let step = self.next();
        let Some(Whole { forms, batch }) = &self.whole else { return Ok(Some(results)) };
        let Results { losses, hits, weights } = results;
        let (formula, threshold) = (self.loss.formula(), self.loss.threshold());
        let batch =
            Batch { batch: *batch, input, target, order, loss: formula, threshold, losses, hits };
        if weights.is_some() || !batch.suits() {
            let Batch { losses, hits, .. } = batch;
            return Ok(Some(Results { losses, hits, weights }));
        }
        let (scales, into_states) = match self.optimizer.sink(step) {
            Sink::Parameters { scale, keep } => ((scale, keep), false),
            Sink::State { scale, keep } => ((scale, keep), true),
        };
        let layers = self.layers.iter_mut().zip(&mut self.states).zip(forms).map(
            |((layer, states), form)| Trained {
                parameters: layer.parameters_mut(),
                sinks: into_states
                    .then(|| states.each_mut().map(|states| Matrix::view_mut(&mut states[0]))),
                form: *form,
            },
        );
        network::step(layers, batch, scales)?;
        let rule = self.optimizer.rule(step);
        for (layer, states) in self.layers.iter_mut().zip(&mut self.states) {
            for (parameter, states) in layer.parameters_mut().into_iter().zip(states) {
                optimizer::update(&*self.optimizer, (step, rule.as_ref()), parameter, states)?;
            }
        }
        self.step += 1;
        Ok(None)
    }
}
