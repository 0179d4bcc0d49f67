//! Splits of samples into a part to train on and a part to test on: functions of the seed, the same on every machine.

use std::collections::HashMap;

use super::text::MISSING;
use crate::random::{Philox, Purpose};
use crate::{Error, ErrorKind, Result};

/// Numbers of samples, for [`Dataset::select`](super::Dataset::select) and [`Frame::select`](super::Frame::select).
///
/// ```
/// use travertine::data::{self, Split, Targets};
/// let digits = data::digits::<f32>()?;
/// let Targets::Classes { labels, .. } = digits.targets() else { unreachable!() };
/// for fold in Split::stratified_folds(labels, 5, 1)? {
///     let (train, held_out) = (digits.select(&fold.train)?, digits.select(&fold.held_out)?);
///     assert_eq!(train.samples() + held_out.samples(), 1797);
/// }
/// # Ok::<(), travertine::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Split {
    /// The samples to train on.
    pub train: Vec<usize>,
    /// The samples to test on.
    pub held_out: Vec<usize>,
}

impl Split {
    /// Holds out `fraction` of `samples` samples, rounded, chosen by `seed`.
    ///
    /// # Errors
    /// An argument error unless both parts have samples; a memory error for more samples than memory holds.
    pub fn held_out(samples: usize, fraction: f64, seed: u64) -> Result<Self> {
        let count = held_out_count("Split::held_out", samples, fraction)?;
        let mut order = shuffled(samples, seed)?;
        let train = order.split_off(count);
        Ok(Split { train, held_out: order })
    }

    /// As [`Split::held_out`], but each class keeps its share in both parts, as exactly as whole samples allow. At least one sample of
    /// each class is in the part to train on. `labels`: the class of each sample; the numbers need not be contiguous.
    ///
    /// # Errors
    /// As [`Split::held_out`]; a label that is [`MISSING`].
    pub fn stratified(labels: &[u32], fraction: f64, seed: u64) -> Result<Self> {
        const OPERATION: &str = "Split::stratified";
        let count = held_out_count(OPERATION, labels.len(), fraction)?;
        refuse_missing(OPERATION, labels)?;
        let (classes, sizes) = classes(labels);
        let mut quotas = quotas(&sizes, fraction, count);
        let (mut train, mut held_out) = (Vec::new(), Vec::new());
        for i in shuffled(labels.len(), seed)? {
            match &mut quotas[classes[i]] {
                0 => train.push(i),
                left => {
                    *left -= 1;
                    held_out.push(i);
                }
            }
        }
        if held_out.is_empty() {
            let reason = format!(
                "fraction {fraction} of {} samples leaves no class a sample to hold out",
                labels.len()
            );
            return Err(Error::argument(OPERATION, reason));
        }
        Ok(Split { train, held_out })
    }

    /// `k` splits, in which every sample is held out once; their sizes differ by one at most.
    ///
    /// # Errors
    /// An argument error unless k is from 2 to the number of samples; a memory error if `k` times `samples` numbers do not fit into memory.
    pub fn folds(samples: usize, k: usize, seed: u64) -> Result<Vec<Self>> {
        check_folds("Split::folds", samples, k)?;
        deal(&shuffled(samples, seed)?, k)
    }

    /// As [`Split::folds`], but each class is dealt to the folds in turn, so that its numbers of samples in them differ by one at most.
    ///
    /// # Errors
    /// As [`Split::folds`]; a label that is [`MISSING`].
    pub fn stratified_folds(labels: &[u32], k: usize, seed: u64) -> Result<Vec<Self>> {
        check_folds("Split::stratified_folds", labels.len(), k)?;
        refuse_missing("Split::stratified_folds", labels)?;
        let mut order = shuffled(labels.len(), seed)?;
        order.sort_by_key(|&i| labels[i]);
        deal(&order, k)
    }
}

/// Refuses an empty choice of samples, and samples that do not exist.
pub(super) fn check_chosen(
    operation: &'static str,
    chosen: &[usize],
    samples: usize,
) -> Result<()> {
    if chosen.is_empty() {
        return Err(Error::argument(operation, "no samples chosen; choose at least 1"));
    }
    match chosen.iter().find(|&&i| i >= samples) {
        Some(i) => Err(Error::argument(
            operation,
            format!("there is no sample {i}; there are {samples}, counted from 0"),
        )),
        None => Ok(()),
    }
}

fn held_out_count(operation: &'static str, samples: usize, fraction: f64) -> Result<usize> {
    let held_out = (samples as f64 * fraction).round();
    if !(held_out >= 1.0 && held_out < samples as f64) {
        let reason = format!(
            "fraction {fraction} of {samples} samples leaves one part empty; both parts need samples"
        );
        return Err(Error::argument(operation, reason));
    }
    Ok(held_out as usize)
}

fn check_folds(operation: &'static str, samples: usize, k: usize) -> Result<()> {
    if !(2..=samples).contains(&k) {
        let reason = format!(
            "{k} folds of {samples} samples; there must be at least 2 folds, and a sample for each"
        );
        return Err(Error::argument(operation, reason));
    }
    Ok(())
}

fn refuse_missing(operation: &'static str, labels: &[u32]) -> Result<()> {
    match labels.iter().position(|&label| label == MISSING) {
        Some(i) => {
            let reason = format!(
                "the label of sample {i} (counted from 0) is data::MISSING; every sample needs a class"
            );
            Err(Error::argument(operation, reason))
        }
        None => Ok(()),
    }
}

fn shuffled(samples: usize, seed: u64) -> Result<Vec<usize>> {
    let mut order = reserved(samples)?;
    order.extend(0..samples);
    Philox::new(seed, Purpose::Split, 0).shuffle(&mut order);
    Ok(order)
}

/// An empty vector with room for `count` numbers.
fn reserved(count: usize) -> Result<Vec<usize>> {
    let mut numbers = Vec::new();
    let asked = count.saturating_mul(size_of::<usize>()) as u64;
    let memory = |_| ErrorKind::Memory { engine: "host".into(), asked, available: None };
    numbers.try_reserve_exact(count).map_err(memory)?;
    Ok(numbers)
}

/// The class of each sample and the size of each class. Classes are numbered from 0 in the order of their labels, so that memory
/// depends on the number of samples and not on the labels.
fn classes(labels: &[u32]) -> (Vec<usize>, Vec<usize>) {
    let mut distinct = labels.to_vec();
    distinct.sort_unstable();
    distinct.dedup();
    let numbers: HashMap<u32, usize> = distinct.iter().copied().zip(0..).collect();
    let classes: Vec<usize> = labels.iter().map(|label| numbers[label]).collect();
    let mut sizes = vec![0; distinct.len()];
    classes.iter().for_each(|&class| sizes[class] += 1);
    (classes, sizes)
}

/// How many samples of each class are held out, `count` of all if possible, by the method of largest remainders.
fn quotas(sizes: &[usize], fraction: f64, count: usize) -> Vec<usize> {
    // One sample of each class stays in the part to train on.
    let most = |class: usize| sizes[class].saturating_sub(1);
    let share = |class: usize| sizes[class] as f64 * fraction;
    let mut quotas: Vec<usize> =
        (0..sizes.len()).map(|class| (share(class) as usize).min(most(class))).collect();
    let mut classes: Vec<usize> = (0..sizes.len()).collect();
    classes.sort_by(|&a, &b| share(b).fract().total_cmp(&share(a).fract()).then(a.cmp(&b)));
    let missing = count.saturating_sub(quotas.iter().sum());
    classes.retain(|&class| share(class).fract() > 0.0 && quotas[class] < most(class));
    classes.into_iter().take(missing).for_each(|class| quotas[class] += 1);
    quotas
}

/// Deals the samples to the folds in turn.
fn deal(order: &[usize], k: usize) -> Result<Vec<Split>> {
    // All folds together have k numbers a sample: refused here, where it is an error, rather than by the allocator, which ends the process.
    reserved(k.saturating_mul(order.len()))?;
    let part = |fold: usize, inside: bool| {
        let of_part = |place: usize| (place % k == fold) == inside;
        order.iter().enumerate().filter(|(place, _)| of_part(*place)).map(|(_, &i)| i).collect()
    };
    Ok((0..k).map(|fold| Split { train: part(fold, false), held_out: part(fold, true) }).collect())
}
