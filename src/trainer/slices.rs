//! Steps whose batch is cut into slices. The gradient of each slice is computed by itself, and all are added up in a fixed binary tree:
//! so any number of processes computes the same bits.
//!
//! With S slices of n_s of the batch's n samples, the gradient of the step is `sum_s n_s / n gradient_s`. The losses of the slices are
//! added up beside it, where each slice has those of its own samples and 0 for all others. Batch normalization takes its moments slice by slice;
//! its running statistics are the mean of those that the slices arrive at.

use std::ops::Range;

use super::collected::zeros_like;
use super::devices::Devices;
use super::step::{Pair, Stepper};
use crate::error::{Error, Result};
use crate::layer::{LayerKind, Pass, Training};
use crate::matrix::{Matrix, MatrixMut, MatrixRef};
use crate::ops;
use crate::processes::{DEFAULT_SLICES, Exchange, Group, TreeSum, slices_of, sum_tree};
use crate::samples::Results;
use crate::scalar::Scalar;

/// Elements of a matrix that is exchanged by itself.
const LARGE: usize = 1 << 14;
/// The most slices: each has a stream of random numbers of its own in each layer.
const MAX_SLICES: usize = 1 << 12;

/// What a step needs beside the layers.
pub(super) struct Slices<T: Scalar> {
    count: usize,
    batch: usize,
    exchange: Exchange<T>,
    /// Whether a step has asked for `devices`.
    has_asked: bool,
    /// The exchange between the devices of the processes, where they are connected.
    devices: Option<Devices<T>>,
    /// Sums that are not in use.
    free: Vec<Sum<T>>,
    /// Those of the own subtrees.
    own: Vec<Sum<T>>,
    /// The small matrices of each own sum one after the other, and of the sum of all.
    packed: Vec<Vec<T>>,
    /// The running statistics from before the step, `features x 2`
    before: Vec<Option<Matrix<T>>>,
}

/// What is added up over slices.
struct Sum<T: Scalar> {
    /// Of weights and bias of every layer.
    gradients: Vec<[Matrix<T>; 2]>,
    /// `features x 2` for layers of batch normalization.
    statistics: Vec<Option<Matrix<T>>>,
    /// Losses and hits, each `1 x batch`
    scores: [Matrix<T>; 2],
}

/// The number of slices of a trainer.
pub(super) fn count(chosen: Option<usize>, group: &Group, batch: usize) -> Result<usize> {
    let default = if group.is_mpi() { DEFAULT_SLICES } else { 1 };
    let (slices, size) = (chosen.unwrap_or(default), group.size());
    let refuse = |reason| Err(Error::argument("slices", reason));
    if slices == 0 || slices > MAX_SLICES {
        return refuse(format!("a batch has from 1 to {MAX_SLICES} slices, not {slices}"));
    }
    if slices > batch {
        return refuse(format!(
            "a batch of {batch} samples cannot have {slices} slices; choose at most {batch} slices, or a larger batch"
        ));
    }
    if !slices.is_multiple_of(size) {
        let divides = |size: &usize| slices.is_multiple_of(*size);
        let nearest =
            (1..size).rev().find(divides).into_iter().chain((size..=slices).find(divides));
        let nearest: Vec<String> = nearest.map(|size| size.to_string()).collect();
        return refuse(format!(
            "{slices} slices cannot be shared out evenly among {size} processes; start {} processes, or choose {} slices",
            nearest.join(" or "),
            slices.next_multiple_of(size)
        ));
    }
    Ok(slices)
}

impl<T: Scalar> Slices<T> {
    /// `None` where the batch is one slice, which this process computes.
    pub(super) fn new(
        count: usize,
        group: &Group,
        batch: usize,
        layers: &[Training<'_, T>],
    ) -> Result<Option<Self>> {
        if count == 1 {
            return Ok(None);
        }
        let exchange = Exchange::new(group, count);
        let longest = exchange.own_subtrees().iter().map(|node| node.len()).max().unwrap_or(1);
        // One for each own sum, and one for each level of the tree that waits for its right side.
        let levels = longest.next_power_of_two().trailing_zeros() as usize;
        let buffers = exchange.own_subtrees().len() + levels;
        let free = (0..buffers).map(|_| Sum::new(layers, batch)).collect::<Result<_>>()?;
        let own = Vec::with_capacity(exchange.own_subtrees().len());
        let copy = |layer: &Training<'_, T>| normalizes(layer).map(MatrixRef::copy).transpose();
        let before = layers.iter().map(copy).collect::<Result<_>>()?;
        let (has_asked, devices, packed) = (false, None, Vec::new());
        Ok(Some(Slices { count, batch, exchange, has_asked, devices, free, own, packed, before }))
    }

    /// The samples of this process in a batch of `samples`.
    pub(super) fn own_samples(&self, samples: usize) -> Range<usize> {
        slices_of(samples, self.count, self.exchange.own_slices())
    }

    /// Names and matrices of the memory of this.
    pub(super) fn buffers(&self) -> impl Iterator<Item = (String, &Matrix<T>)> {
        let sums = self.free.iter().chain(&self.own).enumerate().flat_map(|(k, sum)| {
            let named = sum.named();
            named.into_iter().map(move |(name, matrix)| (format!("slices.{k}.{name}"), matrix))
        });
        let before = self.before.iter().enumerate();
        let before = before.filter_map(|(i, matrix)| {
            Some((format!("layers.{i}.statistics.before"), matrix.as_ref()?))
        });
        let pieces = self.devices.iter().flat_map(Devices::buffers).enumerate();
        let pieces = pieces.map(|(k, piece)| (format!("slices.received.{k}"), piece));
        sums.chain(before).chain(pieces)
    }

    /// Whether the devices of the processes exchange sums by themselves. Collective in the first step.
    fn has_devices(&mut self) -> Result<bool> {
        if !self.has_asked {
            let sum = self.own.first_mut().ok_or_else(nothing)?;
            let engine = sum.scores[0].engine().clone();
            let lengths = sum.matrices().map(|matrix| matrix.rows() * matrix.columns());
            self.devices = Devices::connect(&engine, &self.exchange, lengths)?;
            self.has_asked = true;
        }
        Ok(self.devices.is_some())
    }

    fn keep_statistics(&mut self, layers: &[Training<'_, T>]) -> Result<()> {
        for (before, layer) in self.before.iter_mut().zip(layers) {
            if let (Some(before), Some(now)) = (before, normalizes(layer)) {
                ops::copy(now, before.view_mut())?;
            }
        }
        Ok(())
    }
}

impl<T: Scalar> Sum<T> {
    fn new(layers: &[Training<'_, T>], batch: usize) -> Result<Self> {
        let engine = layers[0].weights().engine();
        let like = |now: MatrixRef<'_, T>| Matrix::zeros(engine, now.rows(), now.columns());
        let statistics = layers.iter().map(|layer| normalizes(layer).map(like).transpose());
        let row = || Matrix::zeros(engine, 1, batch);
        Ok(Sum {
            gradients: zeros_like(layers)?,
            statistics: statistics.collect::<Result<_>>()?,
            scores: [row()?, row()?],
        })
    }

    /// All matrices, in one order.
    fn matrices(&mut self) -> impl Iterator<Item = &mut Matrix<T>> {
        let Sum { gradients, statistics, scores } = self;
        gradients.iter_mut().flatten().chain(statistics.iter_mut().flatten()).chain(scores)
    }

    /// The i-th of [`Sum::matrices`].
    fn matrix(&self, i: usize) -> Option<&Matrix<T>> {
        let Sum { gradients, statistics, scores } = self;
        gradients.iter().flatten().chain(statistics.iter().flatten()).chain(scores).nth(i)
    }

    fn named(&self) -> Vec<(String, &Matrix<T>)> {
        let mut named = Vec::new();
        for (i, (gradients, statistics)) in self.gradients.iter().zip(&self.statistics).enumerate()
        {
            let [weights, bias] = gradients;
            named.push((format!("layers.{i}.weight.gradient"), weights));
            named.push((format!("layers.{i}.bias.gradient"), bias));
            named.extend(statistics.iter().map(|own| (format!("layers.{i}.statistics"), own)));
        }
        let [losses, hits] = &self.scores;
        named.extend([("losses".to_owned(), losses), ("hits".to_owned(), hits)]);
        named
    }
}

fn nothing() -> Error {
    Error::argument("exchange", "a process has no slices")
}

/// The running statistics of a batch normalization.
fn normalizes<'a, T: Scalar>(layer: &'a Training<'_, T>) -> Option<MatrixRef<'a, T>> {
    layer.statistics().filter(|_| layer.kind() == LayerKind::BatchNorm)
}

/// A step under way.
struct Step<'s, 'a, 'n, T: Scalar> {
    stepper: &'s mut Stepper<'n, T>,
    slices: &'s mut Slices<T>,
    /// Those of this process alone.
    pair: Pair<'a, T>,
    own: Range<usize>,
    /// Of the whole batch, `1 x samples`
    weights: Option<MatrixRef<'a, T>>,
    /// Samples of the whole batch.
    samples: usize,
}

impl<T: Scalar> TreeSum<Sum<T>> for Step<'_, '_, '_, T> {
    fn slice(&mut self, slice: usize) -> Result<Sum<T>> {
        let Step { stepper, slices, own, samples, .. } = self;
        let mut sum = match slices.free.pop() {
            Some(sum) => sum,
            None => Sum::new(&stepper.layers, slices.batch)?,
        };
        let within = slices_of(*samples, slices.count, slice..slice + 1);
        if within.is_empty() {
            sum.matrices().try_for_each(|matrix| ops::fill(T::default(), matrix.view_mut()))?;
            return Ok(sum);
        }
        let columns = within.start - own.start..within.end - own.start;
        let (x, t) = self.pair;
        let pair = (x.sub_columns(columns.clone())?, t.sub_columns(columns)?);
        for (layer, before) in stepper.layers.iter_mut().zip(&slices.before) {
            if let (Some(now), Some(before)) = (layer.parts_mut().statistics, before) {
                ops::copy(before.view(), now)?;
            }
        }
        let [losses, hits] = &mut sum.scores;
        ops::fill(T::default(), losses.view_mut())?;
        ops::fill(T::default(), hits.view_mut())?;
        let weights = self.weights.map(|all| all.sub_columns(within.clone())).transpose()?;
        let results = Results {
            losses: losses.view_mut().sub_columns(within.clone())?,
            hits: Some(hits.view_mut().sub_columns(within.clone())?),
            weights,
        };
        let share = within.len() as f64 / *samples as f64;
        stepper.slice_gradients(slice, pair, results, (&mut sum.gradients, share))?;
        for (of_sum, layer) in sum.statistics.iter_mut().zip(&stepper.layers) {
            if let (Some(of_sum), Some(now)) = (of_sum, normalizes(layer)) {
                ops::copy(now, of_sum.view_mut())?;
                ops::scal(T::from_f64(share), of_sum.view_mut())?;
            }
        }
        Ok(sum)
    }

    fn add(&mut self, mut left: Sum<T>, mut right: Sum<T>) -> Result<Sum<T>> {
        for (left, right) in left.matrices().zip(right.matrices()) {
            ops::axpy(T::from_f64(1.0), right.view(), left.view_mut())?;
        }
        self.slices.free.push(right);
        Ok(left)
    }
}

impl<T: Scalar> Stepper<'_, T> {
    /// A step on the own samples of a batch of `samples`, all slices of which are added up among the processes. Collective.
    pub(super) fn run_slices(
        &mut self,
        samples: usize,
        pair: Pair<'_, T>,
        results: Results<'_, T>,
    ) -> Result<()> {
        let Some(mut slices) = self.slices.take() else { return Ok(()) };
        let added = self.add_slices(&mut slices, samples, pair, results);
        self.slices = Some(slices);
        added?;
        self.finish_step()
    }

    /// The gradients of the step go to those that are collected, statistics to the layers.
    fn add_slices(
        &mut self,
        slices: &mut Slices<T>,
        samples: usize,
        pair: Pair<'_, T>,
        Results { mut losses, hits, weights }: Results<'_, T>,
    ) -> Result<()> {
        slices.keep_statistics(&self.layers)?;
        let own = slices.own_samples(samples);
        for k in 0..slices.exchange.own_subtrees().len() {
            let node = slices.exchange.own_subtrees()[k].clone();
            let (stepper, own) = (&mut *self, own.clone());
            let mut step = Step { stepper, slices: &mut *slices, pair, own, weights, samples };
            let sum = sum_tree(&node, &mut step)?;
            slices.own.push(sum);
        }
        let done = if slices.exchange.has_others() {
            self.exchange(slices, losses.reborrow(), hits)
        } else {
            self.take_sum(&mut slices.own[0], losses.reborrow(), hits)
        };
        slices.free.append(&mut slices.own);
        done
    }

    /// The sum over the slices of all processes becomes the step's. Collective.
    fn exchange(
        &mut self,
        slices: &mut Slices<T>,
        losses: MatrixMut<'_, T>,
        hits: Option<MatrixMut<'_, T>>,
    ) -> Result<()> {
        match slices.has_devices()? {
            true => self.exchange_on_devices(slices, losses, hits),
            false => self.exchange_on_hosts(slices, losses, hits),
        }
    }

    /// As [`Stepper::exchange`], through the memory of the hosts. Large matrices are exchanged where they are, if the engine computes in
    /// the host's memory; all others in one piece. Collective.
    fn exchange_on_hosts(
        &mut self,
        slices: &mut Slices<T>,
        mut losses: MatrixMut<'_, T>,
        hits: Option<MatrixMut<'_, T>>,
    ) -> Result<()> {
        let Slices { exchange, own, before, packed, batch, .. } = slices;
        let mut all: Vec<MatrixMut<'_, T>> = Vec::new();
        if let Some(collected) = &mut self.collected {
            all.extend(collected.gradients.iter_mut().flatten().map(Matrix::view_mut));
        }
        for (layer, before) in self.layers.iter_mut().zip(before) {
            all.extend(layer.parts_mut().statistics.filter(|_| before.is_some()));
        }
        // The rows of losses and hits are as long as a batch.
        let (samples, rows) = (losses.columns(), all.len()..all.len() + 2);
        packed.resize_with(own.len() + 1, Vec::new);
        packed.iter_mut().for_each(Vec::clear);
        let mut packed_ones = Vec::new();
        for i in 0..rows.end {
            let ours: Vec<&Matrix<T>> = own.iter().filter_map(|sum| sum.matrix(i)).collect();
            let in_memory: Option<Vec<&[T]>> =
                ours.iter().map(|matrix| matrix.as_slice()).collect();
            if let (Some(ours), Some(to)) = (in_memory, all.get_mut(i))
                && ours[0].len() >= LARGE
                && let Some(to) = to.reborrow().into_mut_slice()
            {
                exchange.sum(&ours, to)?;
                continue;
            }
            for (packed, matrix) in packed.iter_mut().zip(&ours) {
                let first = packed.len();
                packed.resize(first + matrix.rows() * matrix.columns(), T::default());
                matrix.view().read(&mut packed[first..])?;
            }
            packed_ones.push(i);
        }
        let (sum, ours) = packed.split_last_mut().ok_or_else(nothing)?;
        sum.resize(ours[0].len(), T::default());
        exchange.sum(&ours.iter().map(Vec::as_slice).collect::<Vec<_>>(), sum)?;
        let mut rest = &sum[..sum.len() - 2 * *batch];
        for i in packed_ones.into_iter().filter(|i| !rows.contains(i)) {
            let (of_one, behind) = rest.split_at(all[i].rows() * all[i].columns());
            all[i].write(of_one)?;
            rest = behind;
        }
        let (of_losses, of_hits) = sum[sum.len() - 2 * *batch..].split_at(*batch);
        losses.write(&of_losses[..samples])?;
        hits.map_or(Ok(()), |mut hits| hits.write(&of_hits[..samples]))
    }

    /// As [`Stepper::exchange`], between devices that are connected. Collective.
    fn exchange_on_devices(
        &mut self,
        slices: &mut Slices<T>,
        losses: MatrixMut<'_, T>,
        hits: Option<MatrixMut<'_, T>>,
    ) -> Result<()> {
        let Slices { exchange, devices, own, before, .. } = slices;
        let Some(devices) = devices else { return Ok(()) };
        let samples = 0..losses.columns();
        let own: Vec<Vec<MatrixRef<'_, T>>> = own
            .iter()
            .map(|sum| {
                let matrices = (0..).map_while(|i| sum.matrix(i).map(Matrix::view));
                let mut all: Vec<_> = matrices.collect();
                all.truncate(all.len() - sum.scores.len());
                let scores = sum.scores.iter().take(1 + usize::from(hits.is_some()));
                for row in scores {
                    all.push(row.view().sub_columns(samples.clone())?);
                }
                Ok(all)
            })
            .collect::<Result<_>>()?;
        let mut to: Vec<MatrixMut<'_, T>> = Vec::new();
        if let Some(collected) = &mut self.collected {
            to.extend(collected.gradients.iter_mut().flatten().map(Matrix::view_mut));
        }
        for (layer, before) in self.layers.iter_mut().zip(before) {
            to.extend(layer.parts_mut().statistics.filter(|_| before.is_some()));
        }
        to.push(losses);
        to.extend(hits);
        devices.sum(exchange, &own, to)
    }

    /// The sum of all slices becomes the step's, without a copy of the gradients.
    fn take_sum(
        &mut self,
        sum: &mut Sum<T>,
        losses: MatrixMut<'_, T>,
        hits: Option<MatrixMut<'_, T>>,
    ) -> Result<()> {
        if let Some(collected) = &mut self.collected {
            std::mem::swap(&mut collected.gradients, &mut sum.gradients);
        }
        for (layer, of_sum) in self.layers.iter_mut().zip(&sum.statistics) {
            if let (Some(now), Some(of_sum)) = (layer.parts_mut().statistics, of_sum) {
                ops::copy(of_sum.view(), now)?;
            }
        }
        let samples = 0..losses.columns();
        ops::copy(sum.scores[0].view().sub_columns(samples.clone())?, losses)?;
        hits.map_or(Ok(()), |hits| ops::copy(sum.scores[1].view().sub_columns(samples)?, hits))
    }

    /// The losses of a slice, and its gradients times its share of the batch.
    fn slice_gradients(
        &mut self,
        slice: usize,
        (x, t): Pair<'_, T>,
        results: Results<'_, T>,
        (gradients, share): (&mut [[Matrix<T>; 2]], f64),
    ) -> Result<()> {
        self.slice = slice;
        self.forward(x, Pass::Step)?;
        self.score((x, t), results)?;
        let scale = share / self.scale();
        let lowest = self.lowest_trained();
        for i in (lowest..self.layers.len()).rev() {
            if i > lowest {
                self.propagate(i, x.columns())?;
            }
            if !self.frozen[i] {
                let sinks = gradients[i].each_mut().map(Matrix::view_mut);
                self.gradient_of(i, x, sinks, scale)?;
            }
        }
        Ok(())
    }
}
