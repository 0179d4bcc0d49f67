//! What a Parquet file says of itself: columns, row groups, where the pages are.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use super::page::Pages;
use super::thrift::Fields;
use crate::{Error, Result};

/// At both ends of a file.
const MAGIC: &[u8; 4] = b"PAR1";
/// The longest metadata that is looked at.
const LONGEST_METADATA: u64 = 256 << 20;
/// More rows than this for each byte of the file are a lie: a page of one value tells 20,000 rows in some 30 bytes.
const ROWS_A_BYTE: u64 = 1024;

/// A file whose metadata is sound.
pub(super) struct Parquet {
    pub(super) name: String,
    file: File,
    pub(super) columns: Vec<Schema>,
    /// For each row group its rows and, for each column of numbers or texts, its chunk.
    groups: Vec<(usize, Vec<Chunk>)>,
}

/// A top-level column.
pub(super) struct Schema {
    pub(super) name: String,
    /// What it is, or in words what we cannot read.
    pub(super) kind: Result<Kind, String>,
    /// Whether values may be missing.
    pub(super) optional: bool,
    /// The number of its first chunk in a row group.
    leaf: usize,
}

/// How values are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Boolean,
    Int32 { signed: bool },
    Int64 { signed: bool },
    Float,
    Double,
    Text,
}

/// The values of a column in a row group.
#[derive(Clone, Copy)]
struct Chunk {
    start: u64,
    bytes: u64,
    values: usize,
    codec: i64,
}

/// A value of a column.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Cell<'a> {
    Missing,
    Integer(i128),
    Float(f64),
    Text(&'a str),
}

impl Parquet {
    pub(super) fn open(path: &Path) -> Result<Self> {
        let name = path.display().to_string();
        let io = |source| Error::io("read", path, source);
        let mut file = File::open(path).map_err(io)?;
        let bytes = file.metadata().map_err(io)?.len();
        let wrong = |place: &str, expected: &str, found: String| {
            Error::format(&name, place, expected, found)
        };
        if bytes < 12 {
            return Err(wrong(
                "byte 0",
                "a Parquet file, of at least 12 bytes",
                format!("{bytes} bytes"),
            ));
        }
        let mut end = [0; 8];
        file.seek(SeekFrom::Start(bytes - 8))
            .and_then(|_| file.read_exact(&mut end))
            .map_err(io)?;
        let (length, magic) = (u32::from_le_bytes([end[0], end[1], end[2], end[3]]), &end[4..]);
        if magic != MAGIC {
            return Err(wrong(
                &format!("byte {}", bytes - 4),
                "a Parquet file, which ends in PAR1",
                format!("{magic:02x?}"),
            ));
        }
        let length = u64::from(length);
        if length > (bytes - 12).min(LONGEST_METADATA) {
            return Err(wrong(
                &format!("byte {}", bytes - 8),
                "metadata inside the file",
                format!("{length} bytes of it"),
            ));
        }
        let mut metadata = vec![0; length as usize];
        file.seek(SeekFrom::Start(bytes - 8 - length))
            .and_then(|_| file.read_exact(&mut metadata))
            .map_err(io)?;
        let unsound = || wrong("metadata", "sound Parquet metadata", "damage".to_owned());
        let (metadata, _) = Fields::read(&metadata).ok_or_else(unsound)?;
        let columns = columns(&metadata).ok_or_else(unsound)?;
        let groups: Vec<_> = groups(&metadata, bytes - 8 - length).ok_or_else(unsound)?;
        let rows = groups.iter().try_fold(0u64, |sum, group| sum.checked_add(group.0 as u64));
        if rows.is_none_or(|rows| rows > bytes.saturating_mul(ROWS_A_BYTE)) {
            return Err(wrong(
                "metadata",
                "as many rows as the file has room for",
                format!("{rows:?} in {bytes} bytes"),
            ));
        }
        Ok(Parquet { name, file, columns, groups })
    }

    /// Calls `each(row, cell)` for every row.
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
        let kind = schema.kind.clone().map_err(unsound)?;
        let mut row = 0;
        for (rows, chunks) in &self.groups {
            let chunk = chunks
                .get(schema.leaf)
                .ok_or_else(|| unsound("a row group without it".to_owned()))?;
            if chunk.values != *rows {
                return Err(unsound(format!("{} values for {rows} rows", chunk.values)));
            }
            let bytes = self.read(chunk)?;
            let pages = Pages { kind, optional: schema.optional, codec: chunk.codec };
            pages.each(&bytes, chunk.values, &unsound, &mut |cell| {
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

/// The top-level columns, or nothing if the schema is not sound.
fn columns(metadata: &Fields<'_>) -> Option<Vec<Schema>> {
    let elements = metadata.list(2)?;
    let (mut columns, mut next, mut leaf) = (Vec::new(), 1, 0);
    for _ in 0..elements.first()?.size(5)? {
        let element = elements.get(next)?;
        let leaves = leaves(&elements, &mut next, 0)?;
        let repetition = element.int(3)?;
        let kind = match (element.size(5), repetition) {
            (Some(1..), _) | (_, 2) => Err("nested values".to_owned()),
            _ => kind(element),
        };
        columns.push(Schema {
            name: element.text(4)?.to_owned(),
            kind,
            optional: repetition == 1,
            leaf,
        });
        leaf += leaves;
    }
    (next == elements.len() && !columns.is_empty()).then_some(columns)
}

/// How many leaves the element at `next` has, which is then behind it.
fn leaves(elements: &[&Fields<'_>], next: &mut usize, depth: usize) -> Option<usize> {
    let children = elements.get(*next)?.size(5).unwrap_or(0);
    *next += 1;
    match children {
        _ if depth > 16 => None,
        0 => Some(1),
        _ => (0..children).try_fold(0, |sum, _| Some(sum + leaves(elements, next, depth + 1)?)),
    }
}

fn kind(element: &Fields<'_>) -> Result<Kind, String> {
    const PHYSICAL: [&str; 8] = [
        "boolean",
        "int32",
        "int64",
        "int96",
        "float",
        "double",
        "byte array",
        "fixed-length byte array",
    ];
    // Of UTF8, ENUM, JSON, and the integers, signed ones last.
    let (converted, logical) = (element.int(6), element.fields(10).and_then(Fields::variant));
    let is_text = matches!(converted, Some(0 | 4 | 19)) || matches!(logical, Some(1 | 4 | 12));
    let is_integer = matches!(converted, Some(11..=18)) || logical == Some(10);
    let is_plain = converted.is_none() && logical.is_none() || is_integer;
    let signed = !matches!(converted, Some(11..=14));
    match element.int(1) {
        Some(0) if is_plain => Ok(Kind::Boolean),
        Some(1) if is_plain => Ok(Kind::Int32 { signed }),
        Some(2) if is_plain => Ok(Kind::Int64 { signed }),
        Some(4) if is_plain => Ok(Kind::Float),
        Some(5) if is_plain => Ok(Kind::Double),
        Some(6) if is_text => Ok(Kind::Text),
        other => {
            let physical = other
                .and_then(|other| PHYSICAL.get(usize::try_from(other).ok()?))
                .unwrap_or(&"unknown");
            let meaning = match (converted, logical) {
                (Some(6), _) | (_, Some(6)) => " as dates",
                (Some(7..=10), _) | (_, Some(7 | 8)) => " as times",
                (Some(5), _) | (_, Some(5)) => " as decimals",
                _ => "",
            };
            Err(format!("{physical}{meaning}"))
        }
    }
}

/// Rows and chunks of every row group, or nothing if they do not lie before the metadata.
fn groups(metadata: &Fields<'_>, end: u64) -> Option<Vec<(usize, Vec<Chunk>)>> {
    let chunk = |column: &Fields<'_>| {
        let data = column.fields(3)?;
        let (first, bytes) = (data.size(9)? as u64, data.size(7)? as u64);
        // Writers without a dictionary may leave its place at 0.
        let start = data
            .size(11)
            .map(|start| start as u64)
            .filter(|start| (4..first).contains(start))
            .unwrap_or(first);
        let inside = start >= 4 && start.checked_add(bytes).is_some_and(|last| last <= end);
        inside.then_some(Chunk { start, bytes, values: data.size(5)?, codec: data.int(4)? })
    };
    let group = |group: &Fields<'_>| {
        let chunks: Option<Vec<Chunk>> = group.list(1)?.into_iter().map(chunk).collect();
        Some((group.size(3)?, chunks?))
    };
    metadata.list(4)?.into_iter().map(group).collect()
}
