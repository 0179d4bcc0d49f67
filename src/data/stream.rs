//! Data sets that are larger than memory: read from their file in blocks, in another order for every epoch.
//!
//! A buffer of blocks is a data set of its own, and to a trainer an epoch of its own, so that nothing in training depends on streams. A thread reads
//! the next buffer while one is in use, and no third one waits: two buffers and their text are all the memory.

use std::fs::File;
use std::io::{ErrorKind as IoErrorKind, Read, Seek, SeekFrom};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::mpsc::sync_channel;
use std::thread;

use super::block::Block;
use super::csv::CsvBlocks;
use super::label::Distinct;
use super::npy::NpyBlocks;
use super::{CsvOptions, Dataset, NpyOptions, Split, Standardization, Targets, Task};
use crate::random::{Philox, Purpose};
use crate::{Error, Result, Scalar};

/// Bytes of a block, unless the buffer is small: large enough for a disk, small enough to mix samples well.
const BLOCK_BYTES: usize = 256 << 10;
/// Blocks in a buffer, at least.
const MIN_BLOCKS_PER_BUFFER: usize = 16;

/// A table in a CSV or NPY file that is never in memory as a whole. Opening it reads it once, for the classes, the standardization and
/// the errors in it. Each epoch then reads it in blocks of contiguous samples, whose order is shuffled, and returns them in buffers; one is
/// read while the other is in use. Samples within a buffer are in the order of its blocks: shuffle them, as
/// [`Trainer::epoch`](crate::Trainer::epoch) does.
///
/// ```
/// # let path = std::env::temp_dir().join(format!("travertine-stream-{}.csv", std::process::id()));
/// # std::fs::write(&path, (0..1000).map(|i| format!("{i},{}\n", i % 2)).collect::<String>())?;
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
    path: PathBuf,
    format: Format,
    blocks: Vec<Block>,
    /// Numbers of the blocks to train on, in the order of the file.
    train: Vec<usize>,
    /// Numbers of the blocks that are held out.
    held_out: Vec<usize>,
    blocks_per_buffer: usize,
    classes: Vec<String>,
    standardization: Standardization,
    standardize: bool,
    /// One block, as an example of all.
    example: Dataset<T>,
}

/// How to stream a file.
#[derive(Clone, Debug, PartialEq)]
pub struct StreamOptions {
    /// Bytes of the file in a buffer.
    pub buffer: usize,
    /// Share of the blocks that is held out, from 0 to less than 1.
    pub held_out: f64,
    /// Chooses the blocks that are held out.
    pub seed: u64,
    /// Whether features are standardized to mean 0 and deviation 1, fitted on the blocks to train on.
    pub standardize: bool,
    /// For files that end in .csv, .tsv or .txt.
    pub csv: CsvOptions,
    /// For files that end in .npy; labels must be a column.
    pub npy: NpyOptions,
}

impl Default for StreamOptions {
    /// 32 MiB, nothing held out, standardized.
    fn default() -> Self {
        let (csv, npy) = (CsvOptions::default(), NpyOptions::default());
        StreamOptions { buffer: 32 << 20, held_out: 0.0, seed: 0, standardize: true, csv, npy }
    }
}

enum Format {
    Csv(CsvBlocks),
    Npy(NpyBlocks),
}

impl Format {
    /// The format of a file, by the end of its name, and its blocks of about `bytes` bytes.
    fn divide(path: &Path, options: &StreamOptions, bytes: usize) -> Result<(Self, Vec<Block>)> {
        let extension =
            path.extension().map(|end| end.to_string_lossy().to_lowercase()).unwrap_or_default();
        match &*extension {
            "csv" | "tsv" | "txt" => {
                let (format, blocks) = CsvBlocks::cut(path, &options.csv, bytes)?;
                Ok((Format::Csv(format), blocks))
            }
            "npy" => {
                let (format, blocks) = NpyBlocks::cut(path, &options.npy, bytes)?;
                Ok((Format::Npy(format), blocks))
            }
            _ => Err(wrong(format!("{} is neither .csv, .tsv, .txt nor .npy", path.display()))),
        }
    }

    fn parse<T: Scalar>(&self, block: &Block, bytes: Vec<u8>) -> Result<Dataset<T>> {
        match self {
            Format::Csv(format) => format.parse(block, bytes),
            Format::Npy(format) => format.parse(block, bytes),
        }
    }

    /// Fixes the meaning of labels for later blocks: these classes, or values.
    fn settle(&mut self, classes: Option<&[String]>) {
        let (task, classes) =
            (classes.is_none().then_some(Task::Values), classes.map(<[String]>::to_vec));
        match self {
            Format::Csv(format) => (format.options.task, format.options.classes) = (task, classes),
            Format::Npy(format) => (format.options.task, format.options.classes) = (task, classes),
        }
    }
}

impl<T: Scalar> Stream<T> {
    /// Reads the file once: for the classes, the standardization and the errors in it.
    ///
    /// # Errors
    /// As [`read_csv`](super::read_csv) and [`read_npy`](super::read_npy); a buffer of 0 bytes; a file of another kind, or one too small to
    /// hold a share of it out.
    pub fn open(path: impl AsRef<Path>, options: &StreamOptions) -> Result<Self> {
        let path = path.as_ref();
        if options.buffer == 0 {
            return Err(wrong("a buffer must have at least one byte"));
        }
        let block_bytes = (options.buffer / MIN_BLOCKS_PER_BUFFER).clamp(1, BLOCK_BYTES);
        let (mut format, mut blocks) = Format::divide(path, options, block_bytes)?;
        let Split { train, held_out } = split_blocks(blocks.len(), options)?;
        let task = match format {
            Format::Csv(_) => options.csv.task,
            Format::Npy(_) => options.npy.task,
        };
        let (mut file, mut labels, mut moments) =
            (open(path)?, Distinct::new(task), Moments::default());
        for (number, block) in blocks.iter_mut().enumerate() {
            let data: Dataset<T> = format.parse(block, read(&mut file, path, block)?)?;
            block.samples = data.samples();
            labels.add(&data, path)?;
            moments.check(&data, path)?;
            if train.binary_search(&number).is_ok() {
                moments.add(&data);
            }
        }
        let classes = labels.classes(path)?;
        format.settle(classes.as_deref());
        let first = &blocks[train[0]];
        let example = format.parse(first, read(&mut file, path, first)?)?;
        Ok(Stream {
            path: path.to_owned(),
            format,
            blocks_per_buffer: (options.buffer / block_bytes).max(1),
            blocks,
            train,
            held_out,
            classes: classes.unwrap_or_default(),
            standardization: moments.standardization()?,
            standardize: options.standardize,
            example,
        })
    }

    /// Samples to train on.
    pub fn samples(&self) -> usize {
        self.train.iter().map(|&number| self.blocks[number].samples).sum()
    }

    /// Samples that are held out.
    pub fn held_out_samples(&self) -> usize {
        self.held_out.iter().map(|&number| self.blocks[number].samples).sum()
    }

    /// The names of the classes, or none where values are learned.
    pub fn classes(&self) -> &[String] {
        &self.classes
    }

    /// The standardization of all buffers, if there is one.
    pub fn standardization(&self) -> Option<&Standardization> {
        self.standardize.then_some(&self.standardization)
    }

    /// Some samples to train on, whose features, targets and names are those of all.
    ///
    /// # Errors
    /// A feature that overflows.
    pub fn example(&self) -> Result<Dataset<T>> {
        self.standardized(self.example.clone())
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
        let mut order: Vec<u32> = self.train.iter().map(|&number| number as u32).collect();
        Philox::new(seed, Purpose::Shuffle, epoch as u32).of_layer(1).shuffle(&mut order);
        self.buffers(&order, use_buffer)
    }

    /// Calls `use_buffer` with all samples that are held out, buffer by buffer, in the order of the file.
    ///
    /// # Errors
    /// As [`Stream::epoch`].
    pub fn held_out(
        &self,
        use_buffer: impl FnMut(Dataset<T>) -> Result<ControlFlow<()>>,
    ) -> Result<()> {
        let order: Vec<u32> = self.held_out.iter().map(|&number| number as u32).collect();
        self.buffers(&order, use_buffer)
    }

    fn buffers(
        &self,
        order: &[u32],
        mut use_buffer: impl FnMut(Dataset<T>) -> Result<ControlFlow<()>>,
    ) -> Result<()> {
        thread::scope(|scope| {
            // The channel has no room: one buffer is in use, and one is being read.
            let (give, take) = sync_channel(0);
            scope.spawn(move || {
                for blocks in order.chunks(self.blocks_per_buffer) {
                    let buffer = self.buffer(blocks);
                    let failed = buffer.is_err();
                    if give.send(buffer).is_err() || failed {
                        return;
                    }
                }
            });
            for buffer in take {
                if use_buffer(buffer?)?.is_break() {
                    break;
                }
            }
            Ok(())
        })
    }

    fn buffer(&self, blocks: &[u32]) -> Result<Dataset<T>> {
        let mut file = open(&self.path)?;
        let (mut features, mut labels, mut values) = (Vec::new(), Vec::new(), Vec::new());
        for &number in blocks {
            let block = &self.blocks[number as usize];
            let data: Dataset<T> = self.format.parse(block, read(&mut file, &self.path, block)?)?;
            let same = (data.inputs(), data.outputs(), data.samples());
            if same != (self.example.inputs(), self.example.outputs(), block.samples) {
                let found =
                    format!("{} samples of {} features there", data.samples(), data.inputs());
                return Err(changed(&self.path, block.start, found));
            }
            features.extend_from_slice(data.features());
            match data.targets() {
                Targets::Classes { labels: some, .. } => labels.extend_from_slice(some),
                Targets::Values { values: some, .. } => values.extend_from_slice(some),
                Targets::None => {}
            }
        }
        let targets = match self.example.targets() {
            Targets::Classes { names, .. } => Targets::Classes { labels, names: names.clone() },
            Targets::Values { names, .. } => Targets::Values { values, names: names.clone() },
            Targets::None => Targets::None,
        };
        let data = Dataset::new(self.example.inputs(), features, targets)?;
        self.standardized(data.with_feature_names(self.example.feature_names().to_vec())?)
    }

    fn standardized(&self, mut data: Dataset<T>) -> Result<Dataset<T>> {
        if self.standardize {
            self.standardization.apply(&mut data)?;
        }
        Ok(data)
    }
}

fn wrong(reason: impl Into<String>) -> Error {
    Error::argument("stream", reason)
}

/// The numbers of the blocks to train on, and of those that are held out, in the order of the file.
fn split_blocks(blocks: usize, options: &StreamOptions) -> Result<Split> {
    let mut split = match options.held_out {
        0.0 => Split { train: (0..blocks).collect(), held_out: Vec::new() },
        share => Split::held_out(blocks, share, options.seed).map_err(|_| {
            wrong(format!(
                "no share of {share} can be held out of {blocks} blocks; hold out 0, or take a smaller buffer"
            ))
        })?,
    };
    split.train.sort_unstable();
    split.held_out.sort_unstable();
    Ok(split)
}

fn open(path: &Path) -> Result<File> {
    File::open(path).map_err(|source| Error::io("read", path, source))
}

fn read(file: &mut File, path: &Path, block: &Block) -> Result<Vec<u8>> {
    let mut bytes = vec![0; block.bytes];
    let outcome = file.seek(SeekFrom::Start(block.start)).and_then(|_| file.read_exact(&mut bytes));
    match outcome {
        Ok(()) => Ok(bytes),
        Err(source) if source.kind() == IoErrorKind::UnexpectedEof => {
            Err(changed(path, block.start, "the end of the file".to_owned()))
        }
        Err(source) => Err(Error::io("read", path, source)),
    }
}

fn changed(path: &Path, byte: u64, found: String) -> Error {
    let expected = "the file as it was when it was opened";
    Error::format(path.display().to_string(), format!("byte {byte}"), expected, found)
}

/// Mean and sum of squared distances of every feature, block by block (Chan, Golub and LeVeque 1979).
#[derive(Default)]
struct Moments {
    count: f64,
    mean: Vec<f64>,
    squares: Vec<f64>,
    /// Features of the first block.
    inputs: usize,
}

impl Moments {
    /// Refuses blocks with other columns than the first.
    fn check<T: Scalar>(&mut self, data: &Dataset<T>, path: &Path) -> Result<()> {
        if self.inputs == 0 {
            self.inputs = data.inputs();
        }
        if data.inputs() != self.inputs {
            let expected = format!("{} features in every row, as the first has", self.inputs);
            let file = path.display().to_string();
            return Err(Error::format(file, "a later row", expected, data.inputs().to_string()));
        }
        Ok(())
    }

    fn add<T: Scalar>(&mut self, data: &Dataset<T>) {
        let inputs = data.inputs();
        self.mean.resize(inputs, 0.0);
        self.squares.resize(inputs, 0.0);
        let (n, features) = (data.samples() as f64, data.features());
        let column = |i: usize| features.iter().skip(i).step_by(inputs).map(|x| x.to_f64());
        for (i, first) in features[..inputs].iter().map(|x| x.to_f64()).enumerate() {
            let mean = first + column(i).map(|x| x - first).sum::<f64>() / n;
            let squares: f64 = column(i).map(|x| (x - mean).powi(2)).sum();
            let (distance, all) = (mean - self.mean[i], self.count + n);
            self.mean[i] += distance * n / all;
            self.squares[i] += squares + distance * distance * self.count * n / all;
        }
        self.count += n;
    }

    fn standardization(&self) -> Result<Standardization> {
        let deviation =
            |squares: &f64| if *squares == 0.0 { 1.0 } else { (squares / self.count).sqrt() };
        let fitted = Standardization {
            mean: self.mean.clone(),
            deviation: self.squares.iter().map(deviation).collect(),
        };
        fitted.check("stream")?;
        Ok(fitted)
    }
}
