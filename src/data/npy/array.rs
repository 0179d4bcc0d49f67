//! The elements of a NumPy file, in blocks of rows.

use std::fs::File;
use std::io::{ErrorKind, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use super::header::{ElementType, Header};
use crate::data::table::Cell;
use crate::{Error, Result};

/// Bytes of a header, at most.
const MAX_HEADER_BYTES: u64 = 1 << 20;

/// A file's array as a table `rows x columns`: rows are samples, and all other dimensions together are the columns.
pub(super) struct Array {
    path: PathBuf,
    /// For messages.
    name: String,
    /// The file, where it comes from an archive.
    _unpacked: Option<NamedTempFile>,
    header: Header,
    pub(super) rows: usize,
    pub(super) columns: usize,
}

/// Some rows of an array.
pub(super) struct ArrayRows {
    bytes: Vec<u8>,
    element_type: ElementType,
    size: usize,
    big_endian: bool,
    /// For each column, the distance of its elements from the start of the row, in elements.
    offsets: Vec<usize>,
    row_stride: usize,
}

impl Array {
    pub(super) fn open(path: &Path) -> Result<Self> {
        Array::of_file(path, path.display().to_string())
    }

    /// An array of an archive that was unpacked.
    pub(super) fn of_archive(archive: &Path, name: &str, unpacked: NamedTempFile) -> Result<Self> {
        let name = format!("{}: {name}", archive.display());
        let array = Array::of_file(unpacked.path(), name)?;
        Ok(Array { _unpacked: Some(unpacked), ..array })
    }

    fn of_file(path: &Path, name: String) -> Result<Self> {
        let io = |source| Error::io("read", path, source);
        let file = File::open(path).map_err(io)?;
        let length = usize::try_from(file.metadata().map_err(io)?.len()).unwrap_or(usize::MAX);
        let mut start = Vec::new();
        file.take(MAX_HEADER_BYTES).read_to_end(&mut start).map_err(io)?;
        let header = Header::parse(&start)
            .map_err(|e| Error::format(&*name, e.place, e.expected, e.found))?;
        check_length(&name, &header, length)?;
        // `check_length` has compared the product of the sizes with the bytes of the file.
        let (rows, columns) = match header.shape.split_first() {
            Some((&rows, rest)) => (rows, rest.iter().product()),
            None => (1, 1),
        };
        Ok(Array { path: path.to_owned(), name, _unpacked: None, header, rows, columns })
    }

    pub(super) fn name(&self) -> String {
        self.name.clone()
    }

    /// Rows of a block of about `bytes` bytes; all where the first dimension varies fastest, because rows are not contiguous then.
    pub(super) fn rows_in_block(&self, bytes: usize) -> usize {
        let row = self.columns * self.header.size;
        if self.header.fortran_order { self.rows } else { (bytes / row).max(1) }
    }

    /// Reads rows from `first` on; in Fortran order there are all.
    pub(super) fn read(&self, first: usize, rows: usize) -> Result<ArrayRows> {
        let Header { size, element_type, big_endian, fortran_order, .. } = self.header;
        let row = self.columns * size;
        let start = self.header.length + first * row;
        let io = |source| Error::io("read", &self.path, source);
        let mut file = File::open(&self.path).map_err(io)?;
        let mut bytes = vec![0; rows * row];
        file.seek(SeekFrom::Start(start as u64)).map_err(io)?;
        file.read_exact(&mut bytes).map_err(|source| match source.kind() {
            ErrorKind::UnexpectedEof => Error::format(
                self.name(),
                format!("byte {start}"),
                "the file as it was when it was opened",
                "the end of the file",
            ),
            _ => io(source),
        })?;
        let (offsets, row_stride) = if fortran_order {
            let offset = |column| fortran_offset(column, &self.header.shape);
            ((0..self.columns).map(offset).collect(), 1)
        } else {
            ((0..self.columns).collect(), self.columns)
        };
        Ok(ArrayRows { bytes, element_type, size, big_endian, offsets, row_stride })
    }

    /// "byte 136 (row 2, column 1)"
    pub(super) fn place(&self, row: usize, column: usize) -> String {
        let element = match self.header.fortran_order {
            true => row + fortran_offset(column, &self.header.shape),
            false => row * self.columns + column,
        };
        let byte = self.header.length + element * self.header.size;
        format!("byte {byte} (row {}, column {})", row + 1, column + 1)
    }
}

impl ArrayRows {
    /// Calls `visit` with an element.
    pub(super) fn cell<R>(
        &self,
        row: usize,
        column: usize,
        visit: impl FnOnce(Cell<'_>) -> R,
    ) -> R {
        let start = (row * self.row_stride + self.offsets[column]) * self.size;
        let bytes = &self.bytes[start..start + self.size];
        match self.element_type {
            ElementType::Characters => visit(Cell::Text(characters(bytes, self.big_endian).trim())),
            ElementType::Bytes => {
                let text = String::from_utf8_lossy(bytes);
                visit(Cell::Text(text.trim_end_matches('\0').trim()))
            }
            number => visit(decode(number, self.big_endian, bytes)),
        }
    }
}

fn characters(bytes: &[u8], big_endian: bool) -> String {
    let character = |bytes: &[u8]| {
        let word: [u8; 4] = bytes.try_into().unwrap_or_default();
        let word = if big_endian { u32::from_be_bytes(word) } else { u32::from_le_bytes(word) };
        char::from_u32(word).unwrap_or(char::REPLACEMENT_CHARACTER)
    };
    bytes.chunks_exact(4).map(character).take_while(|&c| c != '\0').collect()
}

fn check_length(file: &str, header: &Header, length: usize) -> Result<()> {
    let elements = header.shape.iter().try_fold(1usize, |product, &size| product.checked_mul(size));
    let promised = elements.and_then(|elements| elements.checked_mul(header.size));
    let found = length - header.length;
    if promised == Some(0) || header.shape.is_empty() {
        let shape = format!("shape {:?}", header.shape);
        return Err(Error::format(file, "header", "at least one sample with one feature", shape));
    }
    if promised == Some(found) {
        return Ok(());
    }
    let promised = promised
        .map_or("more bytes than can be counted".into(), |promised| format!("{promised} bytes"));
    let expected = format!("{promised} after the header, as shape {:?} says", header.shape);
    Err(Error::format(file, format!("byte {length} (the end)"), expected, format!("{found} bytes")))
}

/// The offset of `column`, which counts the dimensions after the first in C order, in an array whose first dimension varies
/// fastest.
fn fortran_offset(mut column: usize, shape: &[usize]) -> usize {
    let mut stride: usize = shape.iter().product();
    let mut offset = 0;
    for &size in shape[1..].iter().rev() {
        stride /= size;
        offset += (column % size) * stride;
        column /= size;
    }
    offset
}

fn decode(element_type: ElementType, big_endian: bool, bytes: &[u8]) -> Cell<'static> {
    let append = |word: u64, &byte: &u8| word << 8 | u64::from(byte);
    let word =
        if big_endian { bytes.iter().fold(0, append) } else { bytes.iter().rev().fold(0, append) };
    let unused_bits = 64 - 8 * bytes.len() as u32;
    match element_type {
        ElementType::Float if bytes.len() == 2 => Cell::Number(half(word as u16)),
        ElementType::Float if bytes.len() == 4 => {
            Cell::Number(f64::from(f32::from_bits(word as u32)))
        }
        ElementType::Float => Cell::Number(f64::from_bits(word)),
        ElementType::Signed => {
            Cell::Integer(i128::from((word << unused_bits) as i64 >> unused_bits))
        }
        ElementType::Truth => Cell::Truth(word != 0),
        _ => Cell::Integer(i128::from(word)),
    }
}

/// A float of 16 bits: 1 sign, 5 exponent, 10 fraction.
fn half(word: u16) -> f64 {
    let (sign, exponent, fraction) =
        (word >> 15, i32::from(word >> 10 & 31), f64::from(word & 1023));
    let size = match exponent {
        0 => fraction * 2f64.powi(-24),
        31 if fraction == 0.0 => f64::INFINITY,
        31 => f64::NAN,
        _ => (1.0 + fraction / 1024.0) * 2f64.powi(exponent - 15),
    };
    if sign == 1 { -size } else { size }
}
