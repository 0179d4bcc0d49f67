//! IDX files, the format of MNIST: a magic number, the sizes, then bytes.
//!
//! The magic number is two zero bytes, the type of an element and the number of dimensions. All numbers are big-endian.

use std::fs::File;
use std::io::{self, BufReader, Cursor, Read};
use std::ops::Range;
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;

use super::{Dataset, Targets};
use crate::{Error, Result, Scalar};

/// What the first two bytes of a gzip file are.
const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];
/// The type of an element: unsigned bytes.
const UNSIGNED_BYTES: u8 = 0x08;
/// The type of an element: integers of 4 bytes.
const INTEGERS: u8 = 0x0c;
/// The byte where the sizes begin, behind the magic number.
const SIZES_OFFSET: u64 = 4;
/// The byte where the height of an image is, behind the magic number and the number of images.
const HEIGHT_OFFSET: u64 = 8;
/// The value of a white pixel.
const WHITE: f64 = 255.0;
/// MNIST has ten classes, even if a file lacks some of them.
const MNIST_CLASSES: usize = 10;
/// Bytes of a number.
const WORD_BYTES: u64 = 4;

/// The images of an IDX file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Images {
    /// Number of images.
    pub count: usize,
    /// Height of an image, in pixels.
    pub rows: usize,
    /// Width of an image, in pixels.
    pub columns: usize,
    /// `rows * columns` bytes an image, row by row, one image after the other.
    pub pixels: Vec<u8>,
}

/// Reads images from an IDX file (`idx3-ubyte`), plain or gzipped.
///
/// # Errors
/// A format error with the byte's position (in the unpacked file) if the file is anything else, ends early or goes on
/// after the last image; an I/O error if it cannot be read.
pub fn read_images(path: impl AsRef<Path>) -> Result<Images> {
    let ([count, rows, columns], pixels) =
        Source::open(path.as_ref())?.read_array(UNSIGNED_BYTES, "images")?;
    Ok(Images { count, rows, columns, pixels })
}

/// Reads labels from an IDX file (`idx1-ubyte`), plain or gzipped. Of a table of integers (`idx2-int`), as QMNIST's, the labels are
/// the first column.
///
/// # Errors
/// As [`read_images`]; a label of such a table that is not from 0 to 255.
pub fn read_labels(path: impl AsRef<Path>) -> Result<Vec<u8>> {
    let path = path.as_ref();
    if path.to_string_lossy().contains("idx2-int") {
        return read_integer_labels(path);
    }
    let ([_], labels) = Source::open(path)?.read_array(UNSIGNED_BYTES, "labels")?;
    Ok(labels)
}

fn read_integer_labels(path: &Path) -> Result<Vec<u8>> {
    let mut source = Source::open(path)?;
    let ([_, columns], bytes) = source.read_array(INTEGERS, "tables of labels")?;
    let words = bytes.chunks_exact(WORD_BYTES as usize).step_by(columns);
    let label = |word: &[u8]| {
        let word = i32::from_be_bytes(word.try_into().unwrap_or_default());
        u8::try_from(word)
            .map_err(|_| source.unexpected(0, "labels from 0 to 255", word.to_string()))
    };
    words.map(label).collect()
}

/// Reads a pair of IDX files, plain or gzipped. Pixels are divided by 255; classes are named "0", "1" ... up to the
/// highest label.
///
/// # Errors
/// As [`read_images`]; also a format error if there are not as many labels as images.
pub fn read_idx<T: Scalar>(
    images: impl AsRef<Path>,
    labels: impl AsRef<Path>,
) -> Result<Dataset<T>> {
    let pair = Pair::read(images.as_ref(), labels.as_ref())?;
    let classes = 0..pair.classes();
    pair.into_dataset(classes)
}

/// Reads MNIST, or a data set with the same four files (Fashion-MNIST, KMNIST, QMNIST, EMNIST), as (train, test). Pixels are divided by
/// 255, and there are at least ten classes.
///
/// The files may be gzipped and are found under their usual names: `train-images-idx3-ubyte`,
/// `train-labels.idx1-ubyte`, `t10k-images-idx3-ubyte.gz`, `emnist-letters-train-images-idx3-ubyte` ..., in the folder or in folders
/// inside it.
///
/// # Errors
/// As [`read_idx`]; also an I/O error if a file does not exist, and a format error if train and test images differ in
/// size.
///
/// ```no_run
/// let (train, test) = travertine::data::mnist::<f32>("data/mnist")?;
/// assert_eq!((train.inputs(), train.samples(), test.samples()), (784, 60_000, 10_000));
/// # Ok::<(), travertine::Error>(())
/// ```
pub fn mnist<T: Scalar>(folder: impl AsRef<Path>) -> Result<(Dataset<T>, Dataset<T>)> {
    let folder = folder.as_ref();
    let read = |parts: &[&str]| {
        let images = find(folder, parts, "images", &["idx3-ubyte"])?;
        Pair::read(&images, &find(folder, parts, "labels", &["idx1-ubyte", "idx2-int"])?)
    };
    let (train, test) = (read(&["train"])?, read(&["t10k", "test"])?);
    if train.size() != test.size() {
        let describe = |(rows, columns)| format!("images of {rows}x{columns}");
        return Err(Error::format(
            &test.file,
            format!("byte {HEIGHT_OFFSET}"),
            describe(train.size()),
            describe(test.size()),
        ));
    }
    let classes = train.classes().max(test.classes());
    // Letters are counted from 1.
    let first = train.first_class().min(test.first_class()).min(1);
    let classes = if first == 0 { classes.max(MNIST_CLASSES) } else { classes };
    Ok((train.into_dataset(first..classes)?, test.into_dataset(first..classes)?))
}

/// Folders in folders that are searched.
const MAX_DEPTH: usize = 3;

/// The file of this part (`train`, `t10k`): under its usual name, or the only one of a folder whose name has more in front, as
/// `emnist-letters-train-images-idx3-ubyte`; in `folder` or in folders inside it.
fn find(folder: &Path, parts: &[&str], what: &str, endings: &[&str]) -> Result<PathBuf> {
    let is_wanted = |name: &str| {
        let name = name.strip_suffix(".gz").unwrap_or(name);
        parts.iter().any(|part| {
            endings.iter().any(|ending| {
                ["-", "."]
                    .iter()
                    .any(|mark| name.ends_with(&format!("{part}-{what}{mark}{ending}")))
            })
        })
    };
    let mut found = Vec::new();
    search(folder, MAX_DEPTH, &is_wanted, &mut found);
    found.sort_by_key(|path| (path.components().count(), path.clone()));
    // A file and its packed form are the same.
    found.dedup_by_key(|path| path.with_extension(""));
    match &found[..] {
        [path] => Ok(path.clone()),
        [] => {
            let name = format!("{}-{what}-{}", parts[0], endings[0]);
            let reason = format!(
                "not found, nor with . for the last -, with or without .gz, here or in folders inside {}",
                folder.display()
            );
            let source = io::Error::new(io::ErrorKind::NotFound, reason);
            Err(Error::io("read", &folder.join(name), source))
        }
        [first, second, ..] => {
            let found = format!("{} and {}", first.display(), second.display());
            let expected =
                format!("one file of the {what} of {}; name the folder of one data set", parts[0]);
            Err(Error::format(folder.display().to_string(), "the folder", expected, found))
        }
    }
}

/// Adds the files with wanted names.
fn search(folder: &Path, depth: usize, is_wanted: &dyn Fn(&str) -> bool, found: &mut Vec<PathBuf>) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for path in entries.flatten().map(|entry| entry.path()) {
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
        if path.is_dir() {
            if depth > 1 {
                search(&path, depth - 1, is_wanted, found);
            }
        } else if name.is_some_and(|name| is_wanted(&name)) {
            found.push(path);
        }
    }
}

/// Images and as many labels.
struct Pair {
    file: String,
    images: Images,
    labels: Vec<u8>,
}

impl Pair {
    fn read(images_path: &Path, labels_path: &Path) -> Result<Self> {
        let (images, labels) = (read_images(images_path)?, read_labels(labels_path)?);
        let file = images_path.display().to_string();
        if images.count != labels.len() {
            let expected = format!("{} labels, as {file} has images", images.count);
            let found = format!("{} labels", labels.len());
            return Err(Error::format(
                labels_path.display().to_string(),
                format!("byte {SIZES_OFFSET}"),
                expected,
                found,
            ));
        }
        Ok(Pair { file, images, labels })
    }

    fn size(&self) -> (usize, usize) {
        (self.images.rows, self.images.columns)
    }

    fn classes(&self) -> usize {
        self.labels.iter().max().map_or(0, |&label| usize::from(label) + 1)
    }

    fn first_class(&self) -> usize {
        self.labels.iter().min().map_or(0, |&label| usize::from(label))
    }

    /// `classes`: their numbers.
    fn into_dataset<T: Scalar>(self, classes: Range<usize>) -> Result<Dataset<T>> {
        let features =
            self.images.pixels.iter().map(|&pixel| T::from_f64(f64::from(pixel) / WHITE)).collect();
        let first = classes.start as u32;
        let labels = self.labels.into_iter().map(|label| u32::from(label) - first).collect();
        let names = classes.map(|class| class.to_string()).collect();
        let (width, height) = (self.images.columns, self.images.rows);
        Dataset::new(width * height, features, Targets::Classes { labels, names })?
            .with_image_size(width, height)
    }
}

/// A file, which is unpacked while it is read if it is gzipped.
struct Source {
    path: PathBuf,
    reader: Box<dyn Read>,
    packed: bool,
    position: u64,
}

impl Source {
    fn open(path: &Path) -> Result<Self> {
        let mut file = File::open(path).map_err(|e| Error::io("read", path, e))?;
        let mut start = Vec::new();
        file.by_ref().take(2).read_to_end(&mut start).map_err(|e| Error::io("read", path, e))?;
        let packed = start == GZIP_MAGIC;
        let whole = BufReader::new(Cursor::new(start).chain(file));
        let reader: Box<dyn Read> =
            if packed { Box::new(MultiGzDecoder::new(whole)) } else { Box::new(whole) };
        Ok(Source { path: path.to_owned(), reader, packed, position: 0 })
    }

    /// Reads a whole file of elements of this type with `RANK` dimensions.
    fn read_array<const RANK: usize>(
        &mut self,
        element: u8,
        what: &str,
    ) -> Result<([usize; RANK], Vec<u8>)> {
        self.read_magic(RANK, element, what)?;
        let element_bytes = if element == INTEGERS { WORD_BYTES } else { 1 };
        let mut sizes = [0; RANK];
        for size in &mut sizes {
            *size = self.read_word("a size")? as usize;
        }
        let shape = sizes.map(|size| size.to_string()).join(" x ");
        match sizes
            .iter()
            .try_fold(1u64, |product, &size| product.checked_mul(size as u64))
            .and_then(|count| count.checked_mul(element_bytes))
        {
            Some(0) => Err(self.unexpected(
                SIZES_OFFSET,
                format!("at least one of {what}, and not empty"),
                shape,
            )),
            Some(promised) => Ok((sizes, self.read_body(promised)?)),
            None => {
                Err(self.unexpected(SIZES_OFFSET, "sizes whose product fits in 64 bits", shape))
            }
        }
    }

    fn read_magic(&mut self, rank: usize, element: u8, what: &str) -> Result<()> {
        let [zero, zero_too, code, dimensions] =
            self.read_word("an IDX magic number")?.to_be_bytes();
        if (zero, zero_too) != (0, 0) {
            let found = format!("bytes {zero:#04x} {zero_too:#04x}");
            return Err(self.unexpected(0, "an IDX file, which starts with two zero bytes", found));
        }
        if code != element {
            let name = if element == INTEGERS { "integers" } else { "unsigned bytes" };
            let expected = format!("type code {element:#04x} ({name})");
            return Err(self.unexpected(2, expected, format!("{code:#04x}")));
        }
        if usize::from(dimensions) != rank {
            return Err(self.unexpected(
                3,
                format!("{rank} dimensions, as {what} have"),
                dimensions.to_string(),
            ));
        }
        Ok(())
    }

    fn read_word(&mut self, what: &str) -> Result<u32> {
        let bytes = self.read_up_to(WORD_BYTES)?;
        <[u8; 4]>::try_from(bytes).map(u32::from_be_bytes).map_err(|_| {
            self.unexpected(
                self.position,
                format!("the rest of {what} (4 bytes)"),
                "the end of the file",
            )
        })
    }

    fn read_body(&mut self, promised: u64) -> Result<Vec<u8>> {
        let start = self.position;
        let body = self.read_up_to(promised.saturating_add(1))?;
        let expected = format!("{promised} bytes from byte {start} on, as the sizes say");
        match (body.len() as u64).cmp(&promised) {
            std::cmp::Ordering::Less => {
                Err(self.unexpected(self.position, expected, "the end of the file"))
            }
            std::cmp::Ordering::Equal => Ok(body),
            std::cmp::Ordering::Greater => {
                let end = start.saturating_add(promised);
                Err(self.unexpected(end, format!("the end of the file ({expected})"), "more bytes"))
            }
        }
    }

    /// Reads up to `limit` bytes. Memory grows with the bytes that are read, not with `limit`, which the file claims.
    fn read_up_to(&mut self, limit: u64) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let outcome = self.reader.by_ref().take(limit).read_to_end(&mut bytes);
        self.position += bytes.len() as u64;
        match outcome {
            Ok(_) => Ok(bytes),
            Err(e) if self.packed && is_corruption(&e) => {
                Err(self.unexpected(self.position, "sound gzip data", e.to_string()))
            }
            Err(e) => Err(Error::io("read", &self.path, e)),
        }
    }

    fn unexpected(
        &self,
        position: u64,
        expected: impl Into<String>,
        found: impl Into<String>,
    ) -> Error {
        let place =
            format!("byte {position}{}", if self.packed { " of the unpacked file" } else { "" });
        Error::format(self.path.display().to_string(), place, expected, found)
    }
}

fn is_corruption(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof
    )
}
