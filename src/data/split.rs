//! Which samples are trained on, and which are held out: a function of the seed, the same on every machine.

use crate::random::{Philox, Purpose};
use crate::{Error, Result};

/// Samples by their numbers, for [`Dataset::select`](super::Dataset::select) and [`Frame::select`](super::Frame::select).
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
    /// To train on.
    pub train: Vec<usize>,
    /// To test on.
    pub held_out: Vec<usize>,
}

impl Split {
    /// Holds out `fraction` of so many samples, rounded, chosen by `seed`.
    ///
    /// # Errors
    /// An argument error unless both parts have samples.
    pub fn held_out(samples: usize, fraction: f64, seed: u64) -> Result<Self> {
        let count = held_out_count(samples, fraction)?;
        let mut order = shuffled(samples, seed);
        let train = order.split_off(count);
        Ok(Split { train, held_out: order })
    }

    /// The same, but that each class keeps its share in both parts, as exactly as whole samples allow. A class never goes to
    /// the held-out part alone. `labels`: the class of each sample.
    ///
    /// # Errors
    /// As [`Split::held_out`].
    pub fn stratified(labels: &[u32], fraction: f64, seed: u64) -> Result<Self> {
        let count = held_out_count(labels.len(), fraction)?;
        let sizes = class_sizes(labels);
        // Largest remainders; what a class must keep it cannot give.
        let most = |class: usize| sizes[class].saturating_sub(1);
        let share = |class: usize| sizes[class] as f64 * fraction;
        let mut quotas: Vec<usize> =
            (0..sizes.len()).map(|class| (share(class) as usize).min(most(class))).collect();
        let mut classes: Vec<usize> = (0..sizes.len()).collect();
        classes.sort_by(|&a, &b| share(b).fract().total_cmp(&share(a).fract()).then(a.cmp(&b)));
        let missing = count.saturating_sub(quotas.iter().sum());
        classes.retain(|&class| share(class).fract() > 0.0 && quotas[class] < most(class));
        classes.into_iter().take(missing).for_each(|class| quotas[class] += 1);
        let (mut train, mut held_out) = (Vec::new(), Vec::new());
        for i in shuffled(labels.len(), seed) {
            match &mut quotas[labels[i] as usize] {
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
            return Err(Error::argument("Split::stratified", reason));
        }
        Ok(Split { train, held_out })
    }

    /// `k` splits, in which every sample is held out once; their sizes differ by one at most.
    ///
    /// # Errors
    /// An argument error unless k is from 2 to the number of samples.
    pub fn folds(samples: usize, k: usize, seed: u64) -> Result<Vec<Self>> {
        check_folds(samples, k)?;
        Ok(deal(&shuffled(samples, seed), k))
    }

    /// The same, but that each class is dealt to the folds in turn, so that its numbers in them differ by one at most.
    ///
    /// # Errors
    /// As [`Split::folds`].
    pub fn stratified_folds(labels: &[u32], k: usize, seed: u64) -> Result<Vec<Self>> {
        check_folds(labels.len(), k)?;
        let mut order = shuffled(labels.len(), seed);
        order.sort_by_key(|&i| labels[i]);
        Ok(deal(&order, k))
    }
}

fn held_out_count(samples: usize, fraction: f64) -> Result<usize> {
    let held_out = (samples as f64 * fraction).round();
    if !(held_out >= 1.0 && held_out < samples as f64) {
        let reason = format!(
            "fraction {fraction} of {samples} samples leaves one part empty; both parts need samples"
        );
        return Err(Error::argument("Dataset::split", reason));
    }
    Ok(held_out as usize)
}

fn check_folds(samples: usize, k: usize) -> Result<()> {
    if !(2..=samples).contains(&k) {
        let reason = format!(
            "{k} folds of {samples} samples; there must be at least 2, and a sample for each"
        );
        return Err(Error::argument("folds", reason));
    }
    Ok(())
}

fn shuffled(samples: usize, seed: u64) -> Vec<usize> {
    let mut order: Vec<usize> = (0..samples).collect();
    Philox::new(seed, Purpose::Split, 0).shuffle(&mut order);
    order
}

fn class_sizes(labels: &[u32]) -> Vec<usize> {
    let mut sizes = vec![0; labels.iter().max().map_or(0, |&last| last as usize + 1)];
    labels.iter().for_each(|&class| sizes[class as usize] += 1);
    sizes
}

/// Sample by sample to the folds in turn.
fn deal(order: &[usize], k: usize) -> Vec<Split> {
    let part = |fold: usize, inside: bool| {
        let of_part = |place: usize| (place % k == fold) == inside;
        order.iter().enumerate().filter(|(place, _)| of_part(*place)).map(|(_, &i)| i).collect()
    };
    (0..k).map(|fold| Split { train: part(fold, false), held_out: part(fold, true) }).collect()
}
