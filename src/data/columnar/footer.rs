//! The metadata at the end of a Parquet file, checked before the crate `parquet` reads it.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use parquet::arrow::parquet_to_arrow_schema;
use parquet::file::metadata::{ParquetMetaData, ParquetMetaDataReader};

use super::format::{file_metadata, schema_element};
use super::guard::guarded;
use super::thrift::Fields;
use crate::{Error, Result};

/// At both ends of a file.
const MAGIC: &[u8; 4] = b"PAR1";
/// Bytes behind the metadata: their length and the magic.
const TAIL_BYTES: u64 = 8;
/// Bytes of a file without metadata: the magic in front, and the tail.
const MIN_FILE_BYTES: u64 = MAGIC.len() as u64 + TAIL_BYTES;
/// Longer metadata is refused.
const MAX_METADATA_BYTES: u64 = 256 << 20;
/// Deeper nested schemas are refused.
const MAX_DEPTH: usize = 32;
/// A file that claims more rows than this for each of its bytes is refused: a page that repeats one value holds 20,000 rows in some
/// 30 bytes.
pub(super) const MAX_ROWS_PER_BYTE: u64 = 1024;

/// What the end of a file says about the rest.
pub(super) struct Footer {
    pub(super) metadata: ParquetMetaData,
    /// The columns with the types that Arrow has for them.
    pub(super) schema: arrow_schema::Schema,
    /// The byte where the metadata begins.
    pub(super) start: u64,
}

impl Footer {
    pub(super) fn read(path: &Path) -> Result<Self> {
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
        let unsound =
            |found: String| Error::format(&name, "metadata", "sound Parquet metadata", found);
        if !is_sound(&metadata) {
            return Err(unsound("damage".to_owned()));
        }
        let metadata =
            guarded(|| ParquetMetaDataReader::decode_metadata(&metadata)).map_err(unsound)?;
        // What a writer says about Arrow's types is left out: the columns say enough.
        let schema =
            guarded(|| parquet_to_arrow_schema(metadata.file_metadata().schema_descr(), None))
                .map_err(unsound)?;
        check_rows(&metadata, bytes).map_err(unsound)?;
        Ok(Footer { metadata, schema, start })
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

/// Whether the lists of the metadata are as long as they say, and its schema is not nested deeply.
fn is_sound(metadata: &[u8]) -> bool {
    let elements = |metadata: &Fields| -> Option<()> {
        let elements = metadata.list(file_metadata::SCHEMA)?;
        let mut next = 0;
        walk(&elements, &mut next, 0)?;
        (next == elements.len()).then_some(())
    };
    Fields::read(metadata).is_some_and(|(metadata, _)| elements(&metadata).is_some())
}

/// Moves `next` behind an element of the schema and all its children, which follow it.
fn walk(elements: &[&Fields], next: &mut usize, depth: usize) -> Option<()> {
    let children = elements.get(*next)?.size(schema_element::NUM_CHILDREN).unwrap_or(0);
    *next += 1;
    if depth > MAX_DEPTH {
        return None;
    }
    (0..children).try_for_each(|_| walk(elements, next, depth + 1).ok_or(())).ok()
}

fn check_rows(metadata: &ParquetMetaData, bytes: u64) -> Result<(), String> {
    let groups = metadata.row_groups().iter();
    let rows = groups.map(|group| u64::try_from(group.num_rows()).ok());
    let rows = rows.reduce(|sum, rows| sum?.checked_add(rows?)).unwrap_or(Some(0));
    match rows {
        Some(rows) if rows <= bytes.saturating_mul(MAX_ROWS_PER_BYTE) => Ok(()),
        Some(rows) => Err(format!("{rows} rows in {bytes} bytes")),
        None => Err("a number of rows below 0".to_owned()),
    }
}
