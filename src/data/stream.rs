//! Data sets that are larger than memory: read from their file in blocks, in another order for every epoch.

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

/// Bytes of a block, unless the buffer is small: large enough for a disk, small enough for a good mixture.
const BLOCK: usize = 256 << 10;
/// A buffer has at least so many blocks.
const FEWEST_BLOCKS: usize = 16;

/// A table in a CSV or NPY file that is never in memory as a whole. Opening it reads it once, for the classes, the standardization and
/// the errors in it; each epoch then reads it in blocks of neighboring samples, whose order is shuffled, and gives them in buffers, one
/// being read while the other is used. Samples within a buffer are in the order of its blocks: shuffle them, as
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
    /// Blocks in a buffer.
    in_buffer: usize,
    classes: Vec<String>,
    standardization: Standardization,
    standardize: bool,
    /// One block, for what all have in common.
    example: Dataset<T>,
}

/// How to stream a file.
#[derive(Clone, Debug, PartialEq)]
pub struct StreamOptions {
    /// Bytes of the file in a buffer.
    pub buffer: usize,
    /// Share of the blocks that is held out, from 0 to less than 1.
    pub held_out: f64,
    /// Decides which.
    pub seed: u64,
    /// Whether features get mean 0 and deviation 1, by the blocks to train on.
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
    fn parse<T: Scalar>(&self, block: &Block, bytes: Vec<u8>) -> Result<Dataset<T>> {
        match self {
            Format::Csv(format) => format.parse(block, bytes),
            Format::Npy(format) => format.parse(block, bytes),
        }
    }

    /// From now on labels are these classes, or values.
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
    /// Reads the file once.
    ///
    /// # Errors
    /// As [`read_csv`](super::read_csv) and [`read_npy`](super::read_npy); a buffer of no bytes; a file of another kind, or too small to
    /// hold a share of it out.
    pub fn open(path: impl AsRef<Path>, options: &StreamOptions) -> Result<Self> {
        let path = path.as_ref();
        let wrong = |reason: String| Error::argument("stream", reason);
        if options.buffer == 0 {
            return Err(wrong("a buffer must have at least one byte".to_owned()));
        }
        let block = (options.buffer / FEWEST_BLOCKS).clamp(1, BLOCK);
        let extension =
            path.extension().map(|end| end.to_string_lossy().to_lowercase()).unwrap_or_default();
        let (mut format, mut blocks) = match &*extension {
            "csv" | "tsv" | "txt" => {
                let (format, blocks) = CsvBlocks::cut(path, &options.csv, block)?;
                (Format::Csv(format), blocks)
            }
            "npy" => {
                let (format, blocks) = NpyBlocks::cut(path, &options.npy, block)?;
                (Format::Npy(format), blocks)
            }
            _ => {
                return Err(wrong(format!(
                    "{} is neither .csv, .tsv, .txt nor .npy",
                    path.display()
                )));
            }
        };
        let split = match options.held_out {
            0.0 => Split { train: (0..blocks.len()).collect(), held_out: Vec::new() },
            share => Split::held_out(blocks.len(), share, options.seed).map_err(|_| {
                let blocks = blocks.len();
                wrong(format!(
                    "no share of {share} can be held out of {blocks} blocks; hold out 0, or take a smaller buffer"
                ))
            })?,
        };
        let (mut train, mut held_out) = (split.train, split.held_out);
        train.sort_unstable();
        held_out.sort_unstable();

        let task = if extension == "npy" { options.npy.task } else { options.csv.task };
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
        let example = format.parse(&blocks[train[0]], read(&mut file, path, &blocks[train[0]])?)?;
        let stream = Stream {
            path: path.to_owned(),
            format,
            in_buffer: (options.buffer / block).max(1),
            blocks,
            train,
            held_out,
            classes: classes.unwrap_or_default(),
            standardization: moments.standardization()?,
            standardize: options.standardize,
            example,
        };
        Ok(stream)
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

    /// What the features of all buffers have gone through, if they have.
    pub fn standardization(&self) -> Option<&Standardization> {
        self.standardize.then_some(&self.standardization)
    }

    /// Some samples to train on, for what all have in common.
    ///
    /// # Errors
    /// A feature that overflows.
    pub fn example(&self) -> Result<Dataset<T>> {
        self.standardized(self.example.clone())
    }

    /// Gives all samples to train on, buffer by buffer, the blocks in an order that is a function of seed and epoch alone. The next
    /// buffer is read while `use_buffer` works.
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

    /// Gives all samples that are held out, buffer by buffer, as they lie in the file.
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
            // Nothing waits in the channel: one buffer is in use, one being read.
            let (give, take) = sync_channel(0);
            scope.spawn(move || {
                for blocks in order.chunks(self.in_buffer) {
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
