//! A step of training on the slices of a batch, and the exchange of what they add up to.

use std::ops::Range;

use super::slices::{Slices, Sum, normalizes, nothing};
use super::step::{Pair, Stepper};
use crate::error::Result;
use crate::layer::Pass;
use crate::matrix::{Matrix, MatrixMut, MatrixRef};
use crate::ops;
use crate::processes::{TreeSum, slices_of, sum_tree};
use crate::samples::Results;
use crate::scalar::{Family, Scalar};

/// Elements of a matrix that is exchanged by itself, for each process: a copy takes less time than many small messages.
const LARGE: usize = 1 << 14;

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

/// [`Stepper::run_slices`] for one scalar.
type RunSlices<T> =
    for<'r> fn(&mut Stepper<'_, T>, usize, Pair<'r, T>, Results<'r, T>) -> Result<()>;

/// Compiled here, and not in every crate that trains.
static RUN_F32: RunSlices<f32> = run_slices;
static RUN_F64: RunSlices<f64> = run_slices;

fn run_slices<T: Scalar>(
    stepper: &mut Stepper<'_, T>,
    samples: usize,
    pair: Pair<'_, T>,
    results: Results<'_, T>,
) -> Result<()> {
    let Some(mut slices) = stepper.slices.take() else { return Ok(()) };
    let added = stepper.add_slices(&mut slices, samples, pair, results);
    stepper.slices = Some(slices);
    added?;
    stepper.finish_step()
}

impl<T: Scalar> Stepper<'_, T> {
    /// A step on the own samples of a batch of `samples`, all slices of which are added up among the processes. Collective.
    pub(super) fn run_slices(
        &mut self,
        samples: usize,
        pair: Pair<'_, T>,
        results: Results<'_, T>,
    ) -> Result<()> {
        struct Run;
        impl Family for Run {
            type Of<T: Scalar> = RunSlices<T>;
        }
        T::pick::<Run>(RUN_F32, RUN_F64)(self, samples, pair, results)
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
        let done = if slices.exchange.processes() > 1 {
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

    /// What the sums of a step are written to, but for losses and hits: gradients, and statistics where `before` has some.
    fn sums_mut(&mut self, before: &[Option<Matrix<T>>]) -> Vec<MatrixMut<'_, T>> {
        let mut all = Vec::new();
        if let Some(collected) = &mut self.collected {
            all.extend(collected.gradients.iter_mut().flatten().map(Matrix::view_mut));
        }
        for (layer, before) in self.layers.iter_mut().zip(before) {
            all.extend(layer.parts_mut().statistics.filter(|_| before.is_some()));
        }
        all
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
        let processes = exchange.processes();
        let mut all = self.sums_mut(before);
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
                && ours[0].len() >= LARGE * processes
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
        let mut to = self.sums_mut(before);
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
