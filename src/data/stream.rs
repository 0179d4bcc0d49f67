//! Tables that are larger than memory: read from their file in blocks, in another order for every epoch.
//!
//! A buffer of blocks is a data set of its own, and to a trainer an epoch of its own, so that nothing in training depends on streams. A thread reads
//! the next buffer while one is in use, and no third one waits: two buffers and their text are all the memory.

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::mpsc::sync_channel;
use std::thread;

use super::encoder_fit::EncoderFit;
use super::frame::{Frame, FrameBuilder};
use super::stream_share::gather;
use super::table::in_order;
use super::target_scale::TargetFit;
use super::{
    Dataset, Encoder, Schema, Split, Standardization, Table, TableOptions, TargetScale, Targets,
};
use crate::processes::{Group, slices_of};
use crate::random::{Philox, Purpose};
use crate::{Error, Result, Scalar};

/// Bytes of a block, unless the buffer is small: large enough for a disk, small enough to mix samples well.
const BLOCK_BYTES: usize = 256 << 10;
/// Blocks in a buffer, at least.
const MIN_BLOCKS_PER_BUFFER: usize = 16;

/// A table that is never in memory as a whole. Opening it reads it three times: for its [`Schema`], for the labels, and for what is fitted on the
/// training part ([`Encoder`], [`Standardization`], [`TargetScale`]), which comes out the same as from a table in memory. Each epoch then
/// reads it in blocks of contiguous samples, whose order is shuffled, and returns them in buffers; one is read while the other is in use.
/// Samples within a buffer are in the order of its blocks: shuffle them, as [`Trainer::epoch`](crate::Trainer::epoch) does. A buffer that
/// holds the whole table has it in the order of the file.
///
/// In memory are, beside two buffers, a number for each sample, while the file is opened two.
///
/// ```
/// # let path = std::env::temp_dir().join(format!("travertine-stream-{}.csv", std::process::id()));
/// # std::fs::write(&path, (0..1000).map(|i| format!("{},{}\n", i * i, i % 2)).collect::<String>())?;
/// use std::ops::ControlFlow;
/// use travertine::data::{Stream, StreamOptions};
/// let stream = Stream::<f32>::open(&path, &StreamOptions { buffer: 2048, ..StreamOptions::default() })?;
/// let mut samples = 0;
/// stream.epoch(1, 0, |buffer| {
///     samples += buffer.samples();
///     Ok(ControlFlow::Continue(()))
/// })?;
/// assert_eq!((samples, stream.samples(), stream.classes().len()), (1000, 1000, 2));
/// # std::fs::remove_file(&path)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Stream<T: Scalar> {
    table: Table,
    /// The samples of each block, and those in front of it.
    blocks: Vec<StreamBlock>,
    unlabeled: usize,
    /// For each sample, whether it is held out.
    held_out: Vec<bool>,
    blocks_per_buffer: usize,
    classes: Vec<String>,
    class_counts: Vec<usize>,
    encoder: Encoder,
    standardization: Standardization,
    standardize: bool,
    target_scale: Option<TargetScale>,
    /// One block, as an example of all.
    example: Dataset<T>,
    /// The processes that read its buffers together.
    group: Group,
}

#[derive(Clone, Copy)]
struct StreamBlock {
    first: usize,
    samples: usize,
}

/// How to stream a file.
#[derive(Clone, Debug, PartialEq)]
pub struct StreamOptions {
    /// Bytes of the file in a buffer.
    pub buffer: usize,
    /// Share of the samples that is held out, from 0 to less than 1: the same samples as [`Split::held_out`] chooses.
    pub held_out: f64,
    /// Whether each class keeps its share, as [`Split::stratified`] does.
    pub stratify: bool,
    /// Chooses the samples that are held out.
    pub seed: u64,
    /// Whether features are standardized to mean 0 and deviation 1, fitted on the samples to train on.
    pub standardize: bool,
    /// How the table is read.
    pub table: TableOptions,
}

impl Default for StreamOptions {
    /// 32 MiB, nothing held out, standardized.
    fn default() -> Self {
        let table = TableOptions::default();
        StreamOptions {
            buffer: 32 << 20,
            held_out: 0.0,
            stratify: false,
            seed: 0,
            standardize: true,
            table,
        }
    }
}

/// The labels of a whole table.
struct AllLabels {
    unlabeled: usize,
    blocks: Vec<StreamBlock>,
    targets: Targets,
}

impl<T: Scalar> Stream<T> {
    /// Reads the file for its schema, its labels, and what is fitted on the samples to train on.
    ///
    /// # Errors
    /// As [`Table::open`] and [`Table::read`]; a buffer of 0 bytes; a file too small to hold a share of it out.
    pub fn open(path: impl AsRef<Path>, options: &StreamOptions) -> Result<Self> {
        if options.buffer == 0 {
            return Err(wrong("a buffer must have at least one byte"));
        }
        let block_bytes = (options.buffer / MIN_BLOCKS_PER_BUFFER).clamp(1, BLOCK_BYTES);
        let table = Table::open_in_blocks(path.as_ref(), &options.table, block_bytes)?;
        let AllLabels { blocks, targets, unlabeled } = read_labels(&table)?;
        let samples = blocks.iter().map(|block| block.samples).sum();
        let held_out = hold_out(samples, &targets, options)?;
        let (classes, class_counts) = count_classes(&targets, &held_out);
        drop(targets);
        let classes_of_table = (!classes.is_empty()).then(|| classes.clone());
        let table = table.with_classes(classes_of_table);
        let (encoder, standardization, target_scale) = fit(&table, &blocks, &held_out)?;
        let mut stream = Stream {
            table,
            blocks_per_buffer: (options.buffer / block_bytes).max(1),
            blocks,
            unlabeled,
            held_out,
            classes,
            class_counts,
            encoder,
            standardization,
            standardize: options.standardize,
            target_scale,
            example: Dataset::new(1, vec![T::default()], Targets::None)?,
            group: Group::alone(),
        };
        stream.example = stream.first_block()?;
        Ok(stream)
    }

    /// Reads its buffers together with the processes of a group: each reads some of the blocks of a buffer, and gets all samples of it. Then
    /// [`Stream::epoch`] and [`Stream::held_out`] are collective.
    #[must_use]
    pub fn with_processes(self, group: &Group) -> Self {
        Stream { group: group.clone(), ..self }
    }

    /// The samples to train on of the first block that has some.
    fn first_block(&self) -> Result<Dataset<T>> {
        for block in 0..self.blocks.len() as u32 {
            if let Some(example) = self.buffer(&[block], false)? {
                return Ok(example);
            }
        }
        Err(wrong("there are no samples to train on"))
    }

    /// How the table is read.
    pub fn schema(&self) -> &Schema {
        self.table.schema()
    }

    /// Rows of empty fields, which are left out.
    pub fn empty_rows(&self) -> usize {
        self.table.empty_rows()
    }

    /// Rows that are left out because they have no label.
    pub fn unlabeled(&self) -> usize {
        self.unlabeled
    }

    /// Samples to train on.
    pub fn samples(&self) -> usize {
        self.held_out.len() - self.held_out_samples()
    }

    /// Samples that are held out.
    pub fn held_out_samples(&self) -> usize {
        self.held_out.iter().filter(|held_out| **held_out).count()
    }

    /// The names of the classes, or none where values are learned.
    pub fn classes(&self) -> &[String] {
        &self.classes
    }

    /// How many samples to train on each class has.
    pub fn class_counts(&self) -> &[usize] {
        &self.class_counts
    }

    /// How columns become features, fitted on the samples to train on.
    pub fn encoder(&self) -> &Encoder {
        &self.encoder
    }

    /// The standardization of all buffers, if there is one.
    pub fn standardization(&self) -> Option<&Standardization> {
        self.standardize.then_some(&self.standardization)
    }

    /// The scale of the targets of the samples to train on; `None` where classes are learned. Buffers are not scaled.
    pub fn target_scale(&self) -> Option<&TargetScale> {
        self.target_scale.as_ref()
    }

    /// Some samples to train on, whose features, targets and names are those of all.
    pub fn example(&self) -> &Dataset<T> {
        &self.example
    }

    /// Calls `use_buffer` with all samples to train on, buffer by buffer, until it breaks. The order of the blocks is a function of seed and epoch
    /// alone. The next buffer is read meanwhile.
    ///
    /// # Errors
    /// A file that cannot be read any more, or has changed; those of `use_buffer`.
    pub fn epoch(
        &self,
        seed: u64,
        epoch: u64,
        use_buffer: impl FnMut(Dataset<T>) -> Result<ControlFlow<()>>,
    ) -> Result<()> {
        let mut order: Vec<u32> = (0..self.blocks.len() as u32).collect();
        if order.len() > self.blocks_per_buffer {
            Philox::new(seed, Purpose::Shuffle, epoch as u32).of_layer(1).shuffle(&mut order);
        }
        self.buffers(&order, false, use_buffer)
    }

    /// Calls `use_buffer` with all samples that are held out, buffer by buffer, in the order of the file.
    ///
    /// # Errors
    /// As [`Stream::epoch`].
    pub fn held_out(
        &self,
        use_buffer: impl FnMut(Dataset<T>) -> Result<ControlFlow<()>>,
    ) -> Result<()> {
        let order: Vec<u32> = (0..self.blocks.len() as u32).collect();
        self.buffers(&order, true, use_buffer)
    }

    fn buffers(
        &self,
        order: &[u32],
        held_out: bool,
        mut use_buffer: impl FnMut(Dataset<T>) -> Result<ControlFlow<()>>,
    ) -> Result<()> {
        thread::scope(|scope| {
            // The channel has no room: one buffer is in use, and one is being read.
            let (give, take) = sync_channel(0);
            scope.spawn(move || {
                for blocks in order.chunks(self.blocks_per_buffer) {
                    let rank = self.group.rank();
                    let own = slices_of(blocks.len(), self.group.size(), rank..rank + 1);
                    let buffer = self.buffer(&blocks[own], held_out);
                    let failed = buffer.is_err();
                    if give.send(buffer).is_err() || failed {
                        return;
                    }
                }
            });
            for buffer in take {
                let own = buffer?;
                let buffer = match self.group.size() {
                    1 => own,
                    _ => gather(&self.group, own.as_ref(), &self.example)?,
                };
                if let Some(buffer) = buffer
                    && use_buffer(buffer)?.is_break()
                {
                    break;
                }
            }
            Ok(())
        })
    }

    /// The samples of these blocks that are held out, or else those to train on; `None` if there are none.
    fn buffer(&self, blocks: &[u32], held_out: bool) -> Result<Option<Dataset<T>>> {
        let mut all = FrameBuilder::new(0);
        let mut chosen = Vec::new();
        let mut before = 0;
        let read = |&number: &u32| self.table.block(number as usize);
        in_order(blocks, read, |i, frame| {
            let block = self.blocks[blocks[i] as usize];
            if frame.samples != block.samples {
                return Err(self.changed(frame.samples, block.samples));
            }
            chosen.extend(block.chosen(&self.held_out, held_out).map(|row| before + row));
            before += frame.samples;
            all.append(frame);
            Ok(())
        })?;
        let Some(frame) = all.finish(false).filter(|_| !chosen.is_empty()) else {
            return Ok(None);
        };
        let encoded = self.encoder.encode(frame.rows(&chosen)?, self.standardization())?;
        Ok(Some(encoded.data))
    }

    fn changed(&self, found: usize, expected: usize) -> Error {
        let expected =
            format!("the file as it was when it was opened, with {expected} samples in a block");
        Error::format(self.table.name(), "a block", expected, found.to_string())
    }
}

impl StreamBlock {
    /// The samples of this block, counted from its first, that are held out or not.
    fn chosen(self, all_held_out: &[bool], held_out: bool) -> impl Iterator<Item = usize> {
        let of_block = &all_held_out[self.first..self.first + self.samples];
        of_block.iter().enumerate().filter(move |(_, is)| **is == held_out).map(|(row, _)| row)
    }
}

fn wrong(reason: impl Into<String>) -> Error {
    Error::argument("stream", reason)
}

/// Reads the labels alone.
fn read_labels(table: &Table) -> Result<AllLabels> {
    let numbers: Vec<usize> = (0..table.blocks()).collect();
    let (mut all, mut blocks, mut first) = (FrameBuilder::new(0), Vec::new(), 0);
    in_order(
        &numbers,
        |&block| table.labels(block),
        |_, frame: Frame| {
            blocks.push(StreamBlock { first, samples: frame.samples });
            first += frame.samples;
            all.append(frame);
            Ok(())
        },
    )?;
    let frame = all.finish(true).filter(|frame| frame.samples > 0);
    let Some(frame) = frame else { return Err(wrong("there is no row with a label")) };
    if frame.targets == Targets::None {
        return Err(Error::format(table.name(), "label", "a label column", "features alone"));
    }
    Ok(AllLabels { unlabeled: frame.unlabeled, blocks, targets: frame.targets })
}

/// For each sample, whether it is held out.
fn hold_out(samples: usize, targets: &Targets, options: &StreamOptions) -> Result<Vec<bool>> {
    let mut held_out = vec![false; samples];
    if options.held_out == 0.0 {
        return Ok(held_out);
    }
    let split = match targets {
        Targets::Classes { labels, .. } if options.stratify => {
            Split::stratified(labels, options.held_out, options.seed)
        }
        _ => Split::held_out(samples, options.held_out, options.seed),
    }?;
    split.held_out.iter().for_each(|&sample| held_out[sample] = true);
    Ok(held_out)
}

/// The classes, and how many samples to train on each has.
fn count_classes(targets: &Targets, held_out: &[bool]) -> (Vec<String>, Vec<usize>) {
    let Targets::Classes { labels, names } = targets else { return (Vec::new(), Vec::new()) };
    let mut counts = vec![0; names.len()];
    let trained = labels.iter().zip(held_out).filter(|(_, held_out)| !**held_out);
    trained.for_each(|(&label, _)| counts[label as usize] += 1);
    (names.clone(), counts)
}

/// What is fitted on the samples to train on.
fn fit(
    table: &Table,
    blocks: &[StreamBlock],
    held_out: &[bool],
) -> Result<(Encoder, Standardization, Option<TargetScale>)> {
    let numbers: Vec<usize> = (0..blocks.len()).collect();
    let (mut fit, mut targets) = (None, TargetFit::default());
    in_order(
        &numbers,
        |&block| table.block(block),
        |block, frame: Frame| {
            let chosen: Vec<usize> = blocks[block].chosen(held_out, false).collect();
            let fit = fit.get_or_insert_with(|| EncoderFit::new(&frame));
            if !chosen.is_empty() {
                let rows = frame.rows(&chosen)?;
                targets.add(&rows.targets());
                fit.add(rows);
            }
            Ok(())
        },
    )?;
    let (encoder, standardization) =
        fit.ok_or_else(|| wrong("there are no samples"))?.finish(usize::MAX, |_| None)?;
    Ok((encoder, standardization, targets.finish()))
}
