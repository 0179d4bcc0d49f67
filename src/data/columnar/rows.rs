//! Parquet files as tables.

use std::fs::File;
use std::iter;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_schema::{DataType, Field, Fields};
use parquet::arrow::arrow_reader::{
    ParquetRecordBatchReader, RowGroups, RowSelection, RowSelector,
};
use parquet::arrow::{ProjectionMask, parquet_to_arrow_field_levels};
use parquet::basic::Type;
use parquet::column::page::{PageIterator, PageReader};
use parquet::errors::ParquetError;
use parquet::file::metadata::{ParquetMetaData, RowGroupMetaData};
use parquet::schema::types::SchemaDescriptor;

use super::column::Columns;
use super::footer::Footer;
use super::guard::guarded;
use super::pages::Pages;
use super::value::MAX_FIXED_BYTES;
use crate::data::table::{Cell, ColumnCells, Source, Spot, Visit, VisitCell};
use crate::{Error, Result};

/// Rows that are decoded at a time.
const BATCH_ROWS: usize = 8192;
/// Bytes of a column in a block, at least: a page of usual size is then unpacked for one or two blocks.
const MIN_COLUMN_BYTES: usize = 1 << 20;
/// Bytes of a block that is larger than was asked for.
const MAX_BLOCK_BYTES: usize = 64 << 20;

/// A Parquet file; a block is a row group or a part of one.
pub(super) struct ParquetSource {
    path: PathBuf,
    footer: Footer,
    columns: Columns,
    /// The columns as they are read: texts stay in their pages.
    as_read: Fields,
    blocks: Vec<Block>,
}

/// Rows of a row group.
#[derive(Clone, Copy)]
struct Block {
    group: usize,
    /// Rows of the group in front.
    skipped: usize,
    rows: usize,
    /// The number of the first row in the file.
    first: usize,
}

impl ParquetSource {
    pub(super) fn open(path: &Path, block_bytes: usize) -> Result<Self> {
        let footer = Footer::read(path)?;
        let columns = Columns::new(path, &footer.schema);
        let as_read = footer.schema.fields().iter().map(|field| as_read(field)).collect();
        let blocks = blocks(&footer.metadata, columns.width(), block_bytes);
        Ok(ParquetSource { path: path.to_owned(), footer, columns, as_read, blocks })
    }

    /// Calls `each` with the values of a column in a block.
    fn column(
        &self,
        file: &Arc<File>,
        block: Block,
        column: usize,
        each: &mut dyn FnMut(usize, Cell<'_>) -> Result<()>,
    ) -> Result<()> {
        let unsound = |found: String| self.columns.unsound(column, &found);
        let mut reader = guarded(|| self.reader(file, block, column)).map_err(unsound)?;
        let mut row = 0;
        while row < block.rows {
            // The reader is used again only after it has succeeded.
            let batch = guarded(|| reader.next().transpose()).map_err(unsound)?;
            let Some(batch) = batch.filter(|batch| batch.num_rows() > 0) else {
                return Err(unsound(format!("{row} values for {} rows", block.rows)));
            };
            row += self.columns.visit(column, one_column(&batch), row, &mut |row, cell| {
                each(block.first + row, cell)
            })?;
        }
        Ok(())
    }

    fn reader(
        &self,
        file: &Arc<File>,
        block: Block,
        column: usize,
    ) -> parquet::errors::Result<ParquetRecordBatchReader> {
        let schema = self.footer.metadata.file_metadata().schema_descr();
        check_length(schema, column)?;
        let mask = ProjectionMask::roots(schema, [column]);
        let levels = parquet_to_arrow_field_levels(schema, mask, Some(&self.as_read))?;
        let group = Group { file: file.clone(), footer: &self.footer, number: block.group };
        let chosen = [RowSelector::skip(block.skipped), RowSelector::select(block.rows)];
        let selection = RowSelection::from(chosen.to_vec());
        let batch_rows = BATCH_ROWS.min(block.rows);
        ParquetRecordBatchReader::try_new_with_row_groups(
            &levels,
            &group,
            batch_rows,
            Some(selection),
        )
    }
}

/// Refuses long values of a fixed length, which take that length even where they are missing.
fn check_length(schema: &SchemaDescriptor, column: usize) -> parquet::errors::Result<()> {
    let leaves = schema.columns().iter().enumerate();
    let of_column = |&(leaf, _): &(usize, _)| schema.get_column_root_idx(leaf) == column;
    let lengths = leaves.filter(of_column).map(|(_, leaf)| match leaf.physical_type() {
        Type::FIXED_LEN_BYTE_ARRAY => leaf.type_length(),
        _ => 0,
    });
    match lengths.max() {
        Some(length) if length > MAX_FIXED_BYTES => {
            Err(ParquetError::General(format!("values of {length} bytes each")))
        }
        _ => Ok(()),
    }
}

fn one_column(batch: &RecordBatch) -> &dyn arrow_array::Array {
    &**batch.column(0)
}

/// Views of texts are a few bytes however long and however frequent the texts are.
fn as_read(field: &Field) -> Field {
    let data_type = match field.data_type() {
        DataType::Utf8 => DataType::Utf8View,
        DataType::Binary => DataType::BinaryView,
        other => other.clone(),
    };
    field.clone().with_data_type(data_type)
}

/// Parts of row groups of about `bytes` bytes.
fn blocks(metadata: &ParquetMetaData, columns: usize, bytes: usize) -> Vec<Block> {
    let least = columns.saturating_mul(MIN_COLUMN_BYTES).min(MAX_BLOCK_BYTES);
    let bytes = bytes.max(least);
    let (mut blocks, mut first) = (Vec::new(), 0);
    for (number, group) in metadata.row_groups().iter().enumerate() {
        let rows = group.num_rows() as usize;
        let in_memory = rows.saturating_mul(columns).saturating_mul(size_of::<f64>());
        let claimed = usize::try_from(group.total_byte_size()).unwrap_or(0).max(in_memory);
        let parts = claimed.div_ceil(bytes).clamp(1, rows.div_ceil(BATCH_ROWS).max(1));
        // Parts begin where a batch does.
        let step = rows.div_ceil(parts).next_multiple_of(BATCH_ROWS).max(1);
        for skipped in (0..rows).step_by(step) {
            let rows = step.min(rows - skipped);
            blocks.push(Block { group: number, skipped, rows, first });
            first += rows;
        }
    }
    blocks
}

/// A row group, whose pages come from the file.
struct Group<'a> {
    file: Arc<File>,
    footer: &'a Footer,
    number: usize,
}

impl Group<'_> {
    fn metadata(&self) -> &RowGroupMetaData {
        self.footer.metadata.row_group(self.number)
    }
}

impl RowGroups for Group<'_> {
    fn num_rows(&self) -> usize {
        self.metadata().num_rows() as usize
    }

    fn column_chunks(&self, column: usize) -> parquet::errors::Result<Box<dyn PageIterator>> {
        let chunk = self.metadata().column(column);
        let pages = Pages::new(self.file.clone(), chunk, self.num_rows(), self.footer.start)?;
        Ok(Box::new(OneChunk(iter::once(Ok(Box::new(pages))))))
    }

    fn row_groups(&self) -> Box<dyn Iterator<Item = &RowGroupMetaData> + '_> {
        Box::new(iter::once(self.metadata()))
    }

    fn metadata(&self) -> &ParquetMetaData {
        &self.footer.metadata
    }
}

/// The pages of one chunk.
struct OneChunk(iter::Once<parquet::errors::Result<Box<dyn PageReader>>>);

impl Iterator for OneChunk {
    type Item = parquet::errors::Result<Box<dyn PageReader>>;

    fn next(&mut self) -> Option<Self::Item> {
        self.0.next()
    }
}

impl PageIterator for OneChunk {}

impl Source for ParquetSource {
    fn name(&self) -> String {
        self.path.display().to_string()
    }

    fn names(&self) -> Option<Vec<String>> {
        Some(self.columns.names())
    }

    fn width(&self) -> usize {
        self.columns.width()
    }

    fn blocks(&self) -> usize {
        self.blocks.len()
    }

    fn unreadable(&self, column: usize) -> Option<String> {
        self.columns.unreadable(column)
    }

    fn visit(&self, block: usize, columns: &[usize], visit: &mut Visit<'_>) -> Result<usize> {
        let file = File::open(&self.path).map_err(|e| Error::io("read", &self.path, e))?;
        let file = Arc::new(file);
        let rows = self.blocks[block];
        for (place, &column) in columns.iter().enumerate() {
            self.columns.check(column)?;
            let each = |visit: &mut VisitCell<'_>| self.column(&file, rows, column, visit);
            visit(place, &ColumnCells::Typed(&each))?;
        }
        Ok(0)
    }

    fn place(&self, spot: Spot, column: usize) -> String {
        format!("row {}, column {}", spot.row + 1, column + 1)
    }
}
