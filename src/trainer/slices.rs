//! Steps whose batch is cut into slices. The gradient of each slice is computed by itself, and all are added up in a fixed binary tree:
//! so any number of processes computes the same bits.
//!
//! With S slices of n_s of the batch's n samples, the gradient of the step is `sum_s n_s / n gradient_s`. The losses of the slices are
//! added up beside it, where each slice has those of its own samples and 0 for all others. Batch normalization takes its moments slice by slice;
//! its running statistics are the mean of those that the slices arrive at.

use std::ops::Range;

use super::collected::zeros_like;
use super::devices::Devices;
use crate::error::{Error, Result};
use crate::layer::{LayerKind, Training};
use crate::matrix::{Matrix, MatrixRef};
use crate::ops;
use crate::processes::{Exchange, Group, default_slices, slices_of};
use crate::scalar::Scalar;

/// The most slices: each has a stream of random numbers of its own in each layer.
const MAX_SLICES: usize = 1 << 12;

/// What a step needs beside the layers.
pub(super) struct Slices<T: Scalar> {
    pub(super) count: usize,
    pub(super) batch: usize,
    pub(super) exchange: Exchange<T>,
    /// Whether a step has asked for `devices`.
    has_asked: bool,
    /// The exchange between the devices of the processes, where they are connected.
    pub(super) devices: Option<Devices<T>>,
    /// Sums that are not in use.
    pub(super) free: Vec<Sum<T>>,
    /// Those of the own subtrees.
    pub(super) own: Vec<Sum<T>>,
    /// The small matrices of each own sum one after the other, and of the sum of all.
    pub(super) packed: Vec<Vec<T>>,
    /// The running statistics from before the step, `features x 2`
    pub(super) before: Vec<Option<Matrix<T>>>,
}

/// What is added up over slices.
pub(super) struct Sum<T: Scalar> {
    /// Of weights and bias of every layer.
    pub(super) gradients: Vec<[Matrix<T>; 2]>,
    /// `features x 2` for layers of batch normalization.
    pub(super) statistics: Vec<Option<Matrix<T>>>,
    /// Losses and hits, each `1 x batch`
    pub(super) scores: [Matrix<T>; 2],
}

/// The number of slices of a trainer.
pub(super) fn count(chosen: Option<usize>, group: &Group, batch: usize) -> Result<usize> {
    let default = if group.is_mpi() { default_slices(batch) } else { 1 };
    let (slices, size) = (chosen.unwrap_or(default), group.size());
    let refuse = |reason| Err(Error::argument("slices", reason));
    if slices == 0 || slices > MAX_SLICES {
        return refuse(format!("a batch has from 1 to {MAX_SLICES} slices, not {slices}"));
    }
    let counted = |count: usize, one: &str, many: &str| {
        format!("{count} {}", if count == 1 { one } else { many })
    };
    let few = counted(slices, "slice", "slices");
    // The most slices up to this number that the batch can have and the processes share evenly.
    let fit = |most: usize| Some(most.min(batch) / size * size).filter(|fit| *fit > 0);
    if slices > batch {
        let samples = counted(batch, "sample", "samples");
        let cure = match fit(batch) {
            Some(fit) => format!("choose {}", counted(fit, "slice", "slices")),
            None => format!("start at most {}", counted(batch, "process", "processes")),
        };
        return refuse(format!(
            "a batch of {samples} cannot have {few}; {cure}, or a larger batch"
        ));
    }
    if !slices.is_multiple_of(size) {
        let divides = |size: &usize| slices.is_multiple_of(*size);
        let nearest =
            (1..size).rev().find(divides).into_iter().chain((size..=slices).find(divides));
        let nearest: Vec<String> = nearest.map(|size| size.to_string()).collect();
        let processes = if nearest == ["1"] { "process" } else { "processes" };
        let cure = match fit(slices.next_multiple_of(size)) {
            Some(fit) => format!("choose {}", counted(fit, "slice", "slices")),
            None => format!("choose a batch of at least {size} samples and {size} slices"),
        };
        return refuse(format!(
            "{few} cannot be shared out evenly among {size} processes; start {} {processes}, or {cure}",
            nearest.join(" or ")
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
    pub(super) fn has_devices(&mut self) -> Result<bool> {
        if !self.has_asked {
            let sum = self.own.first_mut().ok_or_else(nothing)?;
            let engine = sum.scores[0].engine().clone();
            let lengths = sum.matrices().map(|matrix| matrix.rows() * matrix.columns());
            self.devices = Devices::connect(&engine, &self.exchange, lengths)?;
            self.has_asked = true;
        }
        Ok(self.devices.is_some())
    }

    pub(super) fn keep_statistics(&mut self, layers: &[Training<'_, T>]) -> Result<()> {
        for (before, layer) in self.before.iter_mut().zip(layers) {
            if let (Some(before), Some(now)) = (before, normalizes(layer)) {
                ops::copy(now, before.view_mut())?;
            }
        }
        Ok(())
    }
}

impl<T: Scalar> Sum<T> {
    pub(super) fn new(layers: &[Training<'_, T>], batch: usize) -> Result<Self> {
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
    pub(super) fn matrices(&mut self) -> impl Iterator<Item = &mut Matrix<T>> {
        let Sum { gradients, statistics, scores } = self;
        gradients.iter_mut().flatten().chain(statistics.iter_mut().flatten()).chain(scores)
    }

    /// The i-th of [`Sum::matrices`].
    pub(super) fn matrix(&self, i: usize) -> Option<&Matrix<T>> {
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

/// The running statistics of a batch normalization.
pub(super) fn normalizes<'a, T: Scalar>(layer: &'a Training<'_, T>) -> Option<MatrixRef<'a, T>> {
    layer.statistics().filter(|_| layer.kind() == LayerKind::BatchNorm)
}

pub(super) fn nothing() -> Error {
    Error::argument("exchange", "a process has no slices")
}
