//! A Parquet file: its columns, its row groups, and where their pages are.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use super::format::{column_chunk, column_metadata, file_metadata, row_group};
use super::page::Pages;
use super::schema::{Schema, schema};
use super::thrift::Fields;
use super::value::Cell;
use crate::{Error, Result};

/// At both ends of a file.
const MAGIC: &[u8; 4] = b"PAR1";
/// Bytes behind the metadata: their length and the magic.
const TAIL_BYTES: u64 = 8;
/// Bytes of a file without metadata: the magic in front, and the tail.
const MIN_FILE_BYTES: u64 = MAGIC.len() as u64 + TAIL_BYTES;
/// Longer metadata is refused.
const MAX_METADATA_BYTES: u64 = 256 << 20;
/// A file that claims more rows than this for each of its bytes is refused: a page that repeats one value holds 20,000 rows in some
/// 30 bytes.
const MAX_ROWS_PER_BYTE: u64 = 1024;

/// A file whose metadata is sound.
pub(super) struct Parquet {
    pub(super) name: String,
    file: File,
    pub(super) columns: Vec<Schema>,
    groups: Vec<RowGroup>,
}

/// Rows that are stored together, column by column.
struct RowGroup {
    rows: usize,
    /// One for each leaf of the schema.
    chunks: Vec<Chunk>,
}

/// The values of a column in a row group.
#[derive(Clone, Copy)]
struct Chunk {
    start: u64,
    bytes: u64,
    values: usize,
    codec: i64,
}

impl Parquet {
    pub(super) fn open(path: &Path) -> Result<Self> {
        let name = path.display().to_string();
        let io = |source| Error::io("read", path, source);
        let mut file = File::open(path).map_err(io)?;
        let bytes = file.metadata().map_err(io)?.len();
        let length = metadata_length(&name, path, &mut file, bytes)?;
        let start = bytes - TAIL_BYTES - length;
        let mut metadata = vec![0; length as usize];
        file.seek(SeekFrom::Start(start))
            .and_then(|_| file.read_exact(&mut metadata))
            .map_err(io)?;
        let unsound = || Error::format(&name, "metadata", "sound Parquet metadata", "damage");
        let (metadata, _) = Fields::read(&metadata).ok_or_else(unsound)?;
        let columns = schema(&metadata).ok_or_else(unsound)?;
        let groups = row_groups(&metadata, start).ok_or_else(unsound)?;
        check_rows(&name, &groups, bytes)?;
        Ok(Parquet { name, file, columns, groups })
    }

    /// Calls `each(row, cell)` for every row of a column.
    pub(super) fn each(
        &self,
        column: usize,
        mut each: impl FnMut(usize, Cell<'_>) -> Result<()>,
    ) -> Result<()> {
        let schema = &self.columns[column];
        let place = format!("column {} ({})", column + 1, schema.name);
        let unsound = |found: String| {
            Error::format(&self.name, &place, "sound pages that can be read", found)
        };
        let value_type = schema.value_type.clone().map_err(unsound)?;
        let mut row = 0;
        for RowGroup { rows, chunks } in &self.groups {
            let missing = || unsound("a row group without it".to_owned());
            let chunk = chunks.get(schema.leaf).ok_or_else(missing)?;
            if chunk.values != *rows {
                return Err(unsound(format!("{} values for {rows} rows", chunk.values)));
            }
            let bytes = self.read(chunk)?;
            let pages = Pages {
                value_type,
                optional: schema.optional,
                codec: chunk.codec,
                unsound: &unsound,
            };
            pages.each(&bytes, chunk.values, &mut |cell| {
                row += 1;
                each(row - 1, cell)
            })?;
        }
        Ok(())
    }

    fn read(&self, chunk: &Chunk) -> Result<Vec<u8>> {
        let mut bytes = vec![0; chunk.bytes as usize];
        let mut file = &self.file;
        let outcome =
            file.seek(SeekFrom::Start(chunk.start)).and_then(|_| file.read_exact(&mut bytes));
        outcome.map_err(|source| Error::io("read", self.name.as_ref(), source))?;
        Ok(bytes)
    }
}

/// Bytes of the metadata, which the end of the file gives.
fn metadata_length(name: &str, path: &Path, file: &mut File, bytes: u64) -> Result<u64> {
    let io = |source| Error::io("read", path, source);
    let wrong = |byte: u64, expected: &str, found: String| {
        Error::format(name, format!("byte {byte}"), expected, found)
    };
    if bytes < MIN_FILE_BYTES {
        let expected = "a Parquet file, of at least 12 bytes";
        return Err(wrong(0, expected, format!("{bytes} bytes")));
    }
    let mut tail = [0; TAIL_BYTES as usize];
    file.seek(SeekFrom::Start(bytes - TAIL_BYTES))
        .and_then(|_| file.read_exact(&mut tail))
        .map_err(io)?;
    let [a, b, c, d, magic @ ..] = tail;
    if magic != *MAGIC {
        let expected = "a Parquet file, which ends in PAR1";
        return Err(wrong(bytes - MAGIC.len() as u64, expected, format!("{magic:02x?}")));
    }
    let length = u64::from(u32::from_le_bytes([a, b, c, d]));
    if length > (bytes - MIN_FILE_BYTES).min(MAX_METADATA_BYTES) {
        let found = format!("{length} bytes of it");
        return Err(wrong(bytes - TAIL_BYTES, "metadata inside the file", found));
    }
    Ok(length)
}

fn check_rows(name: &str, groups: &[RowGroup], bytes: u64) -> Result<()> {
    let rows = groups.iter().try_fold(0u64, |sum, group| sum.checked_add(group.rows as u64));
    if rows.is_none_or(|rows| rows > bytes.saturating_mul(MAX_ROWS_PER_BYTE)) {
        let expected = "as many rows as the file has room for";
        return Err(Error::format(
            name,
            "metadata",
            expected,
            format!("{rows:?} in {bytes} bytes"),
        ));
    }
    Ok(())
}

/// Every row group; `None` unless all chunks are between the magic and byte `end`, where the metadata begins.
fn row_groups(metadata: &Fields<'_>, end: u64) -> Option<Vec<RowGroup>> {
    let group = |group: &Fields<'_>| {
        let chunks = group.list(row_group::COLUMNS)?.into_iter().map(|column| chunk(column, end));
        Some(RowGroup {
            rows: group.size(row_group::NUM_ROWS)?,
            chunks: chunks.collect::<Option<_>>()?,
        })
    };
    metadata.list(file_metadata::ROW_GROUPS)?.into_iter().map(group).collect()
}

fn chunk(column: &Fields<'_>, end: u64) -> Option<Chunk> {
    use column_metadata::*;
    let data = column.fields(column_chunk::META_DATA)?;
    let first_page = data.size(DATA_PAGE_OFFSET)? as u64;
    let bytes = data.size(TOTAL_COMPRESSED_SIZE)? as u64;
    let first_byte = MAGIC.len() as u64;
    // Writers without a dictionary may leave its offset at 0.
    let start = data
        .size(DICTIONARY_PAGE_OFFSET)
        .map(|start| start as u64)
        .filter(|start| (first_byte..first_page).contains(start))
        .unwrap_or(first_page);
    let inside = start >= first_byte && start.checked_add(bytes).is_some_and(|last| last <= end);
    inside.then_some(Chunk {
        start,
        bytes,
        values: data.size(NUM_VALUES)?,
        codec: data.int(CODEC)?,
    })
}
