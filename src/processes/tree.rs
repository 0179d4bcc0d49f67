//! Sums over the slices of a batch in a fixed binary tree, so that their bits do not depend on the number of processes.
//!
//! The tree of n slices has the first 2^k of them on its left, the largest power of two below n, and the others on its right. A process
//! has consecutive slices: it adds up the largest subtrees within them. Then process i gets the i-th part of each of these sums, adds
//! them up the rest of the tree, and all gather the parts. With one subtree a process, each sends `2 (R - 1) / R` of the numbers, as
//! every good reduction does.

use std::ops::Range;
use std::slice;

use super::Group;
use super::mpi::Mpi;
use crate::error::{Error, Result};
use crate::scalar::{Family, Scalar};

/// Numbers that are added up at a time, which fit into the L1 cache.
const BLOCK: usize = 1024;
/// Bytes that are exchanged at a time: with what is received they fit into the L2 cache, but each process sends no less than 256 KiB to
/// each other one, because many small messages are slow.
const EXCHANGED: usize = 1 << 20;
const EXCHANGED_WITH_EACH: usize = 1 << 18;

/// The samples of consecutive slices in a batch: slice s of S has those from `floor(s n / S)` to `floor((s + 1) n / S)`.
pub(crate) fn slices_of(samples: usize, slices: usize, which: Range<usize>) -> Range<usize> {
    let first = |slice: usize| (slice as u128 * samples as u128 / slices as u128) as usize;
    first(which.start)..first(which.end)
}

/// The two subtrees of consecutive slices, at least two.
fn children(node: &Range<usize>) -> [Range<usize>; 2] {
    let middle = node.start + node.len().next_power_of_two() / 2;
    [node.start..middle, middle..node.end]
}

/// The largest subtrees of `node` within `own`, in the order of the slices.
fn subtrees_within(node: Range<usize>, own: &Range<usize>, found: &mut Vec<Range<usize>>) {
    if node.start >= own.end || node.end <= own.start {
        return;
    }
    if own.start <= node.start && node.end <= own.end {
        return found.push(node);
    }
    children(&node).into_iter().for_each(|child| subtrees_within(child, own, found));
}

/// The sum of the slices of a subtree: `add` gets the sums of the left and of the right side.
pub(crate) fn sum_tree<S>(node: &Range<usize>, of: &mut impl TreeSum<S>) -> Result<S> {
    if node.len() == 1 {
        return of.slice(node.start);
    }
    let [left, right] = children(node);
    let (left, right) = (sum_tree(&left, of)?, sum_tree(&right, of)?);
    of.add(left, right)
}

/// What [`sum_tree`] adds up.
pub(crate) trait TreeSum<S> {
    /// That of one slice.
    fn slice(&mut self, slice: usize) -> Result<S>;
    /// The sum of both.
    fn add(&mut self, left: S, right: S) -> Result<S>;
}

/// The exchange of sums between the processes of a group, over the slices of which each has as many: what a step of training does with
/// gradients. The bits of the sum do not depend on the number of processes.
///
/// ```
/// use travertine::processes::{Exchange, Group};
/// let (mut exchange, mut sum) = (Exchange::<f32>::new(&Group::alone(), 1), [0.0; 3]);
/// exchange.sum(&[&[1.0, 2.0, 3.0]], &mut sum)?;
/// assert_eq!(sum, [1.0, 2.0, 3.0]);
/// # Ok::<(), travertine::Error>(())
/// ```
pub struct Exchange<T> {
    group: Group,
    slices: usize,
    /// The subtrees that each process adds up by itself.
    subtrees: Vec<Vec<Range<usize>>>,
    /// This process's part of a block of the k-th sum of every other process that has so many.
    received: Vec<Vec<T>>,
    /// Sums of subtrees that wait for their other side, `BLOCK` numbers each.
    waiting: Vec<T>,
}

/// A sum that this process has received a part of.
#[derive(Clone)]
struct Piece<'a, T> {
    node: &'a Range<usize>,
    numbers: &'a [T],
}

impl<T: Scalar> Exchange<T> {
    /// Of sums over `slices` slices, a multiple of the number of processes.
    pub fn new(group: &Group, slices: usize) -> Self {
        let size = group.size();
        let subtrees: Vec<Vec<Range<usize>>> = (0..size)
            .map(|rank| {
                let mut found = Vec::new();
                subtrees_within(0..slices, &own_slices(slices, size, rank), &mut found);
                found
            })
            .collect();
        let rounds = subtrees.iter().map(Vec::len).max().unwrap_or_default();
        let levels = slices.next_power_of_two().trailing_zeros() as usize;
        Exchange {
            received: vec![Vec::new(); rounds],
            waiting: vec![T::default(); levels * BLOCK],
            group: group.clone(),
            slices,
            subtrees,
        }
    }

    /// The slices of this process.
    pub(crate) fn own_slices(&self) -> Range<usize> {
        own_slices(self.slices, self.group.size(), self.group.rank())
    }

    /// The consecutive slices whose sums this process gives: for a power of two of slices, all of its own together.
    pub fn own_subtrees(&self) -> &[Range<usize>] {
        &self.subtrees[self.group.rank()]
    }

    /// The processes that exchange.
    pub(crate) fn group(&self) -> &Group {
        &self.group
    }

    /// The process of each subtree that one process adds up by itself, in the order of the slices.
    pub(crate) fn owners(&self) -> impl Iterator<Item = usize> {
        self.subtrees.iter().enumerate().flat_map(|(rank, own)| own.iter().map(move |_| rank))
    }

    /// The additions of the tree above these subtrees: the second is added to the first, whose number then is that of the sum. The
    /// last sum is the first subtree's.
    pub(crate) fn additions(&self) -> Vec<[usize; 2]> {
        let nodes: Vec<&Range<usize>> = self.subtrees.iter().flatten().collect();
        let (mut next, mut additions) = (0, Vec::new());
        additions_of(&(0..self.slices), &nodes, &mut next, &mut additions);
        additions
    }

    /// The part of `length` numbers that a process adds up.
    pub(crate) fn part(&self, length: usize, rank: usize) -> Range<usize> {
        part_of(length, self.group.size(), rank)
    }

    /// The number of processes.
    pub(crate) fn processes(&self) -> usize {
        self.group.size()
    }

    /// Writes the sum of all slices into `to`. `own`: for each of the own subtrees its sum, as long as `to`, which is as long in every
    /// process. Collective.
    ///
    /// # Errors
    /// Another number of own sums or of numbers in them; an MPI that fails, as after the loss of a process.
    pub fn sum(&mut self, own: &[&[T]], to: &mut [T]) -> Result<()> {
        if own.len() != self.own_subtrees().len() || own.iter().any(|own| own.len() != to.len()) {
            let reason = format!(
                "this process has {} sums of {} numbers to give",
                self.own_subtrees().len(),
                to.len()
            );
            return Err(Error::argument("exchange", reason));
        }
        let group = self.group.clone();
        let Some(mpi) = group.link() else {
            to.copy_from_slice(own[0]);
            return Ok(());
        };
        let block = EXCHANGED.max(EXCHANGED_WITH_EACH * group.size()) / size_of::<T>();
        for (i, to) in to.chunks_mut(block).enumerate() {
            let numbers = i * block..i * block + to.len();
            let own: Vec<&[T]> = own.iter().map(|own| &own[numbers.clone()]).collect();
            self.sum_block(mpi, &own, to)?;
        }
        Ok(())
    }

    /// As [`Exchange::sum`]. What a process gives to itself is read where it is.
    fn sum_block(&mut self, mpi: &Mpi, own: &[&[T]], to: &mut [T]) -> Result<()> {
        let (rank, size) = (self.group.rank(), self.group.size());
        let parts: Vec<Range<usize>> = (0..size).map(|rank| self.part(to.len(), rank)).collect();
        let bytes_of = |part: &Range<usize>| part.start * size_of::<T>()..part.end * size_of::<T>();
        let length = parts[rank].len();
        for (round, received) in self.received.iter_mut().enumerate() {
            let own = own.get(round).copied().unwrap_or_default();
            let to_other = |(other, part)| {
                if own.is_empty() || other == rank { 0..0 } else { bytes_of(part) }
            };
            let sent: Vec<Range<usize>> = parts.iter().enumerate().map(to_other).collect();
            let senders: Vec<bool> = (0..size)
                .map(|other| other != rank && self.subtrees[other].len() > round)
                .collect();
            let counts: Vec<usize> =
                senders.iter().map(|sends| usize::from(*sends) * length * size_of::<T>()).collect();
            let all = senders.iter().filter(|sends| **sends).count() * length;
            // As long as the longest block so far.
            received.resize(received.len().max(all), T::default());
            mpi.all_to_all(as_bytes(own), &sent, as_bytes_mut(&mut received[..all]), &counts)?;
        }
        self.add_up(own, parts[rank].clone(), &mut to[parts[rank].clone()]);
        let lengths: Vec<usize> = parts.iter().map(|part| bytes_of(part).len()).collect();
        mpi.complete(as_bytes_mut(to), &lengths)
    }

    /// The sum of all slices of this process's part, `mine` of the numbers of `own`.
    fn add_up(&mut self, own: &[&[T]], mine: Range<usize>, sum: &mut [T]) {
        let (own_rank, length) = (self.group.rank(), mine.len());
        for first in (0..length).step_by(BLOCK) {
            let block = first..length.min(first + BLOCK);
            let mut pieces = Vec::new();
            for (rank, subtrees) in self.subtrees.iter().enumerate() {
                for (round, node) in subtrees.iter().enumerate() {
                    let numbers = if rank == own_rank {
                        &own[round][mine.start + block.start..mine.start + block.end]
                    } else {
                        let others = self.subtrees[..rank].iter().enumerate();
                        let before = others
                            .filter(|(other, nodes)| *other != own_rank && nodes.len() > round);
                        let place = before.count() * length;
                        &self.received[round][place + block.start..place + block.end]
                    };
                    pieces.push(Piece { node, numbers });
                }
            }
            let mut pieces = pieces.into_iter();
            let (next, root) = (&mut pieces, 0..self.slices);
            add_block(&root, next, &mut sum[block], &mut self.waiting);
        }
    }
}

/// Writes the sum of a subtree, of pieces that come in the order of the slices.
fn add_block<'a, T: Scalar>(
    node: &Range<usize>,
    pieces: &mut (impl Iterator<Item = Piece<'a, T>> + Clone),
    sum: &mut [T],
    waiting: &mut [T],
) {
    if let Some(piece) = pieces.clone().next().filter(|piece| piece.node == node) {
        pieces.next();
        return sum.copy_from_slice(piece.numbers);
    }
    let [left, right] = children(node);
    add_block(&left, pieces, sum, waiting);
    let (of_right, waiting) = waiting.split_at_mut(BLOCK);
    let of_right = &mut of_right[..sum.len()];
    add_block(&right, pieces, of_right, waiting);
    add(sum, of_right);
}

/// Appends the additions of a subtree, of nodes that come in the order of the slices. Returns the node that has the sum.
fn additions_of(
    node: &Range<usize>,
    nodes: &[&Range<usize>],
    next: &mut usize,
    additions: &mut Vec<[usize; 2]>,
) -> usize {
    if nodes[*next] == node {
        *next += 1;
        return *next - 1;
    }
    let [left, right] = children(node).map(|child| additions_of(&child, nodes, next, additions));
    additions.push([left, right]);
    left
}

/// `sum += other`
fn add<T: Scalar>(sum: &mut [T], other: &[T]) {
    struct Add;
    impl Family for Add {
        type Of<T: Scalar> = fn(&mut [T], &[T]);
    }
    let f32: fn(&mut [f32], &[f32]) =
        |sum, other| sum.iter_mut().zip(other).for_each(|(sum, x)| *sum += x);
    let f64: fn(&mut [f64], &[f64]) =
        |sum, other| sum.iter_mut().zip(other).for_each(|(sum, x)| *sum += x);
    T::pick::<Add>(f32, f64)(sum, other);
}

/// The slices of a process.
fn own_slices(slices: usize, size: usize, rank: usize) -> Range<usize> {
    let each = slices / size;
    rank * each..(rank + 1) * each
}

/// The part of `length` numbers that a process adds up.
fn part_of(length: usize, size: usize, rank: usize) -> Range<usize> {
    slices_of(length, size, rank..rank + 1)
}

fn as_bytes<T: Scalar>(numbers: &[T]) -> &[u8] {
    // SAFETY: a scalar is an f32 or an f64, which have no padding.
    unsafe { slice::from_raw_parts(numbers.as_ptr().cast(), size_of_val(numbers)) }
}

fn as_bytes_mut<T: Scalar>(numbers: &mut [T]) -> &mut [u8] {
    // SAFETY: a scalar is an f32 or an f64, which have no padding, and all bits of which are a number.
    unsafe { slice::from_raw_parts_mut(numbers.as_mut_ptr().cast(), size_of_val(numbers)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slices_cover_the_batch_in_order() {
        for (samples, slices) in [(512, 8), (10, 8), (3, 8), (7, 3), (1, 1)] {
            let all = (0..slices).map(|slice| slices_of(samples, slices, slice..slice + 1));
            assert!(all.clone().map(|slice| slice.len()).max() <= Some(samples.div_ceil(slices)));
            let samples_of_all: Vec<usize> = all.flatten().collect();
            assert_eq!(samples_of_all, (0..samples).collect::<Vec<_>>());
        }
    }

    /// The tree as text, from the pieces of any number of processes.
    fn text(node: Range<usize>, pieces: &[Range<usize>]) -> String {
        struct Text;
        impl TreeSum<String> for Text {
            fn slice(&mut self, slice: usize) -> Result<String> {
                Ok(slice.to_string())
            }
            fn add(&mut self, left: String, right: String) -> Result<String> {
                Ok(format!("({left} {right})"))
            }
        }
        if pieces.contains(&node) {
            return sum_tree(&node, &mut Text).unwrap();
        }
        let [left, right] = children(&node);
        format!("({} {})", text(left, pieces), text(right, pieces))
    }

    #[test]
    fn the_tree_is_the_same_for_every_number_of_processes() {
        for slices in [1, 2, 3, 6, 8, 12, 60] {
            let trees: Vec<String> = (1..=slices)
                .filter(|size| slices % size == 0)
                .map(|size| {
                    let mut pieces = Vec::new();
                    for rank in 0..size {
                        subtrees_within(0..slices, &own_slices(slices, size, rank), &mut pieces);
                    }
                    text(0..slices, &pieces)
                })
                .collect();
            assert!(trees.iter().all(|tree| *tree == trees[0]), "{trees:?}");
        }
        let mut whole = Vec::new();
        subtrees_within(0..6, &(0..6), &mut whole);
        assert_eq!(text(0..6, &whole), "(((0 1) (2 3)) (4 5))");
    }

    #[test]
    fn powers_of_two_have_one_subtree_a_process() {
        for size in [1, 2, 4, 8] {
            let exchange = |rank| {
                let mut found = Vec::new();
                subtrees_within(0..8, &own_slices(8, size, rank), &mut found);
                found.len()
            };
            assert!((0..size).all(|rank| exchange(rank) == 1));
        }
    }

    #[test]
    fn additions_are_those_of_the_tree() {
        for (slices, size) in [(8, 2), (8, 8), (6, 2), (6, 3), (12, 4), (60, 5)] {
            let mut nodes = Vec::new();
            for rank in 0..size {
                subtrees_within(0..slices, &own_slices(slices, size, rank), &mut nodes);
            }
            let mut additions = Vec::new();
            additions_of(&(0..slices), &nodes.iter().collect::<Vec<_>>(), &mut 0, &mut additions);
            let mut texts: Vec<String> =
                nodes.iter().map(|node| text(node.clone(), std::slice::from_ref(node))).collect();
            for [left, right] in additions {
                texts[left] = format!("({} {})", texts[left], texts[right]);
            }
            assert_eq!(texts[0], text(0..slices, &nodes));
        }
    }

    #[test]
    fn blocks_are_added_in_the_order_of_the_tree() {
        // Sums that round differently in another order.
        let leaves: Vec<[f32; 2]> =
            (0..6).map(|i| [1e8 / (i as f32 + 0.7), -1e-3 * i as f32]).collect();
        let nodes: Vec<Range<usize>> = (0..6).map(|i| i..i + 1).collect();
        let pieces = nodes.iter().zip(&leaves).map(|(node, leaf)| Piece { node, numbers: leaf });
        let (mut sum, mut waiting) = ([0.0; 2], vec![0.0; 3 * BLOCK]);
        add_block(&(0..6), &mut pieces.collect::<Vec<_>>().into_iter(), &mut sum, &mut waiting);
        let expected: [f32; 2] = std::array::from_fn(|i| {
            let x = |leaf: usize| leaves[leaf][i];
            ((x(0) + x(1)) + (x(2) + x(3))) + (x(4) + x(5))
        });
        assert_eq!(sum, expected);
    }
}
