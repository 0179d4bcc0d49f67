//! Tables: what a file holds is found out from the whole file, shown as a [`Schema`], and read as that says.

mod bytes;
mod cell;
mod choice;
mod count;
mod date;
mod dialect;
mod draft;
mod effects;
mod file;
mod follow;
mod header;
mod infer;
mod label;
mod lines;
mod number;
mod options;
mod other_formats;
mod parallel;
mod quotes;
mod reading;
mod repeats;
mod rows;
mod schema;
mod short_header;
mod source;
mod survey;
mod surveyed;
mod target;
mod text;
mod totals;
mod value;

use std::path::Path;
use std::sync::{Mutex, PoisonError};

pub(super) use self::cell::Cell;
pub(crate) use self::cell::without_zero_decimals;
use self::count::Counted;
pub use self::date::DateOrder;
pub(crate) use self::date::has_zone;
pub(super) use self::date::{DAY, date_text};
use self::draft::ColumnDraft;
use self::file::TextFile;
use self::follow::Labels;
pub use self::lines::RowReader;
pub use self::number::NumberFormat;
pub use self::options::{Dates, TableOptions};
pub(super) use self::parallel::{in_order, on_all_cores};
pub(super) use self::reading::Reading;
use self::rows::EmptyRows;
pub use self::schema::{ColumnType, Delimiter, Dialect, Role, Schema, SchemaColumn};
pub(super) use self::source::{ColumnCells, Source, Visit, VisitCell};
pub(super) use self::survey::Spot;
use self::surveyed::Surveyed;
use self::text::TextSource;
#[cfg(feature = "parquet")]
use super::columnar::{open_arrow, open_parquet};
use super::frame::{Frame, FrameBuilder};
use super::npy::NpySource;
use super::text::counted;
use super::{Dataset, Label};
use crate::{Error, Result, Scalar};

/// Bytes of a block, at least and at most: large enough for a disk, small enough for all cores to have work.
const MIN_BLOCK_BYTES: usize = 128 << 10;
const MAX_BLOCK_BYTES: usize = 1 << 20;
/// Blocks for each core, so that all end at about the same time.
const BLOCKS_PER_CORE: usize = 8;
/// Bytes of a text file from which its dialect is guessed.
const HEAD_BYTES: usize = 1 << 20;

/// The format of a file, by the end of its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Text,
    Npy,
    Parquet,
    /// Feather among them.
    Arrow,
}

impl Format {
    fn of(path: &Path) -> Self {
        let end = path.extension().map(|end| end.to_string_lossy().to_lowercase());
        match end.as_deref() {
            Some("npy" | "npz") => Format::Npy,
            Some("parquet") => Format::Parquet,
            Some("arrow" | "feather") => Format::Arrow,
            _ => Format::Text,
        }
    }

    /// Opens a file whose values have types.
    fn open(self, path: &Path, options: &TableOptions, bytes: usize) -> Result<Box<dyn Source>> {
        options.check_for_typed(path)?;
        if self == Format::Npy {
            return Ok(Box::new(NpySource::open(path, options.labels.as_deref(), bytes)?));
        }
        if options.labels.is_some() {
            let reason =
                format!("TableOptions::labels is for NumPy files, not for {}", path.display());
            return Err(Error::argument("Table::open", reason));
        }
        self.open_columnar(path, bytes)
    }

    #[cfg(feature = "parquet")]
    fn open_columnar(self, path: &Path, bytes: usize) -> Result<Box<dyn Source>> {
        if self == Format::Parquet { open_parquet(path, bytes) } else { open_arrow(path) }
    }

    #[cfg(not(feature = "parquet"))]
    fn open_columnar(self, path: &Path, _bytes: usize) -> Result<Box<dyn Source>> {
        let name = if self == Format::Parquet { "a Parquet file" } else { "an Arrow file" };
        let reason = format!(
            "{} is {name}; the library was built without the feature `parquet` (cargo build --features parquet)",
            path.display()
        );
        Err(Error::argument("Table::open", reason))
    }
}

/// A file with a table, and how it is read: text, NumPy's `.npy`, and with the feature `parquet` also `.parquet`, `.arrow` and `.feather`.
///
/// Opening a table reads it once as a whole and decides on its [`Schema`]. What is not certain is an error that names both readings and the
/// option that settles it.
///
/// ```
/// # let path = std::env::temp_dir().join(format!("travertine-table-{}.csv", std::process::id()));
/// # std::fs::write(&path, "age;size;color\n1;1,5;red\n;2,5;blue\n5;3,0;red\n7;2,0;blue\n")?;
/// use travertine::data::{Encoder, Table, TableOptions, Values};
/// let table = Table::open(&path, &TableOptions::default())?;
/// println!("{}", table.schema()); // separated by ';', a header ...
/// let frame = table.read()?;
/// assert!(matches!(&frame.columns()[1].values, Values::Numbers(sizes) if sizes[0] == 1.5));
/// let encoder = Encoder::fit(&frame)?;
/// let samples = encoder.encode::<f32>(&frame, None)?.data;
/// assert_eq!((samples.samples(), samples.outputs()), (4, 2));
/// # std::fs::remove_file(&path)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Table {
    source: Box<dyn Source>,
    schema: Schema,
    reading: Reading,
    /// Rows with values, with or without a label.
    rows: usize,
    empty_rows: usize,
    notes: Vec<String>,
    /// The columns as they were collected on the way, until they are read.
    drafts: Mutex<Option<Vec<ColumnDraft>>>,
}

impl Table {
    /// Opens a file and decides how it is read.
    ///
    /// # Errors
    /// A file that cannot be read; rows of different length, with the line; what is not certain; options that contradict each other or
    /// the file, or have no effect.
    pub fn open(path: impl AsRef<Path>, options: &TableOptions) -> Result<Self> {
        Table::open_with(path.as_ref(), options, (block_bytes(path.as_ref()), true))
    }

    /// As [`Table::open`], with blocks of about `bytes` bytes, of which nothing is kept.
    pub(super) fn open_in_blocks(
        path: &Path,
        options: &TableOptions,
        bytes: usize,
    ) -> Result<Self> {
        Table::open_with(path, options, (bytes, false))
    }

    fn open_with(
        path: &Path,
        options: &TableOptions,
        (bytes, drafts): (usize, bool),
    ) -> Result<Self> {
        options.check()?;
        check_is_regular(path)?;
        if let Some(schema) = &options.schema {
            return Table::as_schema_says(path, schema, options, bytes);
        }
        match Format::of(path) {
            Format::Text => Table::open_text(path, options, (bytes, drafts)),
            format => {
                let source = format.open(path, options, bytes)?;
                Table::surveyed(Counted::new(&*source, &options.missing, false)?, source, options)
            }
        }
    }

    fn open_text(
        path: &Path,
        options: &TableOptions,
        (bytes, drafts): (usize, bool),
    ) -> Result<Self> {
        options.check_for_text(path)?;
        let file = TextFile::open(path, options.encoding.as_deref(), None)?;
        let head = file.head(HEAD_BYTES)?;
        if head.len() < HEAD_BYTES {
            options.check_comment(path, &head)?;
        }
        let dialect = dialect::detect(&file.name(), &head, options, (&file.encoding, false))?;
        let mut source = TextSource::new(file, dialect, bytes)?;
        let first = source.first_row()?;
        // The first row is looked at apart, because it may be a header.
        source.try_header()?;
        let mut counted = Counted::new(&source, &options.missing, drafts)?;
        let repeats = source.repeats();
        let judged = match source.dialect.row_names {
            true => header::FirstRow::Header,
            false => {
                let times = repeats.map_or(0, |(_, times)| times);
                header::judge(&first, (&counted.columns, times), options)
            }
        };
        let has_header = match judged {
            header::FirstRow::Header => match repeats {
                Some((spot, _)) => return Err(source.repeated_header(spot)),
                None => true,
            },
            header::FirstRow::Sample => false,
            header::FirstRow::Unclear(found) => {
                let expected = "a first row that is clearly names or a sample; TableOptions::header says which";
                return Err(Error::format(source.name(), "line 1", expected, found));
            }
        };
        source.set_header(has_header)?;
        if !has_header {
            counted = counted.with_first_row(&first, &options.missing);
        }
        Table::surveyed(counted, Box::new(source), options)
    }

    /// A table that is read as a person's schema says.
    fn as_schema_says(
        path: &Path,
        schema: &Schema,
        options: &TableOptions,
        bytes: usize,
    ) -> Result<Self> {
        follow::check_schema(schema, &path.display().to_string())?;
        // What a person says about the header is not guessed again.
        let header = schema.dialect.as_ref().map(|dialect| dialect.header);
        let options = &TableOptions { header: options.header.or(header), ..options.clone() };
        let labels = if schema.targets().is_empty() { Labels::Ignored } else { Labels::Required };
        Table::follow(path, schema, labels, options, bytes)
    }

    /// Opens a file that is read as a schema says, such as that of a model: columns are found by their names, in any order and among any
    /// others, or by their places where they have no names. Of the options those of the dialect count.
    ///
    /// `classes`: those of a model, in its order; other labels are errors. With [`Label::None`](crate::data::Label::None) labels are
    /// not read, and need not be there.
    ///
    /// # Errors
    /// A file that cannot be read; columns that it lacks, all named.
    pub fn open_as(
        path: impl AsRef<Path>,
        schema: &Schema,
        classes: Option<Vec<String>>,
        options: &TableOptions,
    ) -> Result<Self> {
        options.check()?;
        check_is_regular(path.as_ref())?;
        let labels = if options.label == Label::None { Labels::Ignored } else { Labels::Required };
        let table =
            Table::follow(path.as_ref(), schema, labels, options, block_bytes(path.as_ref()))?;
        Ok(table.with_classes(classes))
    }

    fn follow(
        path: &Path,
        schema: &Schema,
        labels: Labels,
        options: &TableOptions,
        bytes: usize,
    ) -> Result<Self> {
        let mut notes = Vec::new();
        let source: Box<dyn Source> = match Format::of(path) {
            Format::Text => {
                let mut source = follow::open_text(path, schema, options, bytes)?;
                notes.append(&mut source.notes);
                if labels == Labels::Ignored {
                    source.on_empty = EmptyRows::Keep;
                }
                Box::new(source)
            }
            format => format.open(path, options, bytes)?,
        };
        let reading = Reading::find(schema, &*source, labels, options.id.as_deref())?;
        Ok(Table {
            source,
            schema: schema.clone(),
            reading,
            rows: 0,
            empty_rows: 0,
            notes,
            drafts: Mutex::default(),
        })
    }

    /// Refuses classes that a model does not know.
    pub(super) fn with_classes(mut self, classes: Option<Vec<String>>) -> Self {
        self.reading.classes = classes;
        self
    }

    /// A table whose columns are counted.
    fn surveyed(
        Counted { columns, rows, empty_rows, drafts }: Counted,
        source: Box<dyn Source>,
        options: &TableOptions,
    ) -> Result<Self> {
        if rows == 0 {
            let (place, expected) = match source.dialect() {
                Some(_) => ("line 2", "samples below the header"),
                None => ("row 1", "samples in columns that can be learned from"),
            };
            return Err(Error::format(source.name(), place, expected, "the end of the file"));
        }
        let numbered = || (1..=columns.len()).map(|number| format!("column {number}")).collect();
        let names: Vec<String> = source.names().unwrap_or_else(numbered);
        let place = |spot: Spot, column: usize| {
            format!("{} ({})", source.place(spot, column), names[column])
        };
        let file = source.name();
        let unreadable = (0..).zip(&columns).map(|(column, survey)| {
            let of_values = || survey.has_bytes.then(|| "bytes that are no text".to_owned());
            source.unreadable(column).or_else(of_values)
        });
        let surveyed = Surveyed {
            unreadable: unreadable.collect(),
            file: &file,
            dialect: source.dialect(),
            names: names.clone(),
            columns,
            rows,
            labels: source.labels(),
            place: &place,
        };
        let mut schema = effects::schema(&surveyed, options)?;
        totals::check_last_row(&*source, &surveyed.columns, &mut schema)?;
        let reading = Reading::of(&schema);
        let drafts = Mutex::new(drafts);
        Ok(Table { source, schema, reading, rows, empty_rows, notes: Vec::new(), drafts })
    }

    /// How the table is read.
    pub fn schema(&self) -> &Schema {
        &self.schema
    }

    /// The file's name, for messages.
    pub(super) fn name(&self) -> String {
        self.source.name()
    }

    /// Number of blocks.
    pub(super) fn blocks(&self) -> usize {
        self.source.blocks()
    }

    /// Reads a block.
    pub(super) fn block(&self, block: usize) -> Result<Frame> {
        self.reading.block(&*self.source, block)
    }

    /// Reads the labels of a block.
    pub(super) fn labels(&self, block: usize) -> Result<Frame> {
        self.reading.of_labels().block(&*self.source, block)
    }

    /// Rows of empty fields, which are left out.
    pub fn empty_rows(&self) -> usize {
        self.empty_rows
    }

    /// What a reader should know about a file that is read as the schema of a model says: where it differs from that of the training.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// Reads all rows that have a label.
    ///
    /// # Errors
    /// A value that does not fit its column, with its line and column; no row with a label.
    pub fn read(&self) -> Result<Frame> {
        let drafts = self.drafts.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(frame) = drafts.and_then(|drafts| self.reading.of_drafts(drafts)) {
            let mut all = FrameBuilder::new(0);
            all.append(frame);
            return self.checked(all);
        }
        let blocks: Vec<usize> = (0..self.source.blocks()).collect();
        let mut all = FrameBuilder::new(self.rows);
        let read = |&block: &usize| self.reading.block(&*self.source, block);
        in_order(&blocks, read, |_, frame| {
            all.append(frame);
            Ok(())
        })?;
        self.checked(all)
    }

    /// The whole frame, which has a sample.
    fn checked(&self, all: FrameBuilder) -> Result<Frame> {
        let frame = all.finish(self.reading.classes.is_none());
        let unlabeled = frame.as_ref().map_or(0, Frame::unlabeled);
        frame.filter(|frame| frame.samples > 0).ok_or_else(|| match unlabeled {
            0 => Error::format(self.source.name(), "the rows", "a sample", "none"),
            rows => {
                let found = format!("none in {}", counted(rows, "row"));
                Error::format(self.source.name(), "the label", "a row with a label", found)
            }
        })
    }
}

/// Refuses what can be read only once, such as a pipe, and would never end without a writer.
fn check_is_regular(path: &Path) -> Result<()> {
    let found = std::fs::metadata(path).map_err(|source| Error::io("read", path, source))?;
    if found.is_file() {
        return Ok(());
    }
    let found = if found.is_dir() { "a folder" } else { "a pipe or a device" };
    let expected = "a regular file, as a table is read more than once";
    Err(Error::format(path.display().to_string(), "the file", expected, found))
}

/// Bytes of a block of this file.
fn block_bytes(path: &Path) -> usize {
    let bytes = std::fs::metadata(path).map_or(0, |file| file.len());
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let block = usize::try_from(bytes).unwrap_or(usize::MAX) / (BLOCKS_PER_CORE * cores);
    block.clamp(MIN_BLOCK_BYTES, MAX_BLOCK_BYTES)
}

/// Reads a table with the schema that [`Table::open`] finds.
///
/// # Errors
/// As [`Table::open`] and [`Table::read`].
pub fn read_frame(path: impl AsRef<Path>, options: &TableOptions) -> Result<Frame> {
    Table::open(path, options)?.read()
}

/// As [`read_frame`], for a table of numbers without gaps.
///
/// # Errors
/// As [`read_frame`] and [`Frame::into_dataset`].
pub fn read_dataset<T: Scalar>(
    path: impl AsRef<Path>,
    options: &TableOptions,
) -> Result<Dataset<T>> {
    read_frame(path, options)?.into_dataset()
}
