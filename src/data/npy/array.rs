//! The numbers of a NumPy file.

use std::fs;
use std::path::Path;

use super::header::{Header, NumberType};
use crate::{Error, Result, Scalar};

/// A file's array as a table `rows x columns`: rows are samples, and all other dimensions together are the columns.
pub(super) struct Array {
    file: String,
    bytes: Vec<u8>,
    header: Header,
    rows: usize,
    /// For each column, the distance of its elements from the start of the row, in elements.
    offsets: Vec<usize>,
    row_stride: usize,
    /// Bytes and rows of the file before these.
    before: (usize, usize),
}

impl Array {
    pub(super) fn read(path: &Path) -> Result<Self> {
        let file = path.display().to_string();
        let bytes = fs::read(path).map_err(|e| Error::io("read", path, e))?;
        let header = Header::parse(&bytes)
            .map_err(|e| Error::format(&*file, e.place, e.expected, e.found))?;
        check_length(&file, &header, bytes.len())?;
        // `check_length` has compared the product of the sizes with the bytes of the file.
        let (rows, columns) = match header.shape.split_first() {
            Some((&rows, rest)) => (rows, rest.iter().product()),
            None => (1, 1),
        };
        let (offsets, row_stride) = if header.fortran_order {
            ((0..columns).map(|column| fortran_offset(column, &header.shape)).collect(), 1)
        } else {
            ((0..columns).collect(), columns)
        };
        Ok(Array { file, bytes, header, rows, offsets, row_stride, before: (0, 0) })
    }

    /// Whole rows of a file in C order, from row `first` on.
    pub(super) fn of_rows(file: &str, header: &Header, first: usize, bytes: Vec<u8>) -> Self {
        let columns: usize = header.shape[1..].iter().product();
        let row = columns * header.size;
        let (rows, before) = (bytes.len() / row, (header.length + first * row, first));
        let header = Header { length: 0, ..header.clone() };
        Array {
            file: file.to_owned(),
            bytes,
            header,
            rows,
            offsets: (0..columns).collect(),
            row_stride: columns,
            before,
        }
    }

    pub(super) fn file(&self) -> &str {
        &self.file
    }

    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    pub(super) fn columns(&self) -> usize {
        self.offsets.len()
    }

    /// An element; `row` and `column` are within the array.
    pub(super) fn number(&self, row: usize, column: usize) -> f64 {
        let start = self.position(row, column);
        decode(
            self.header.number_type,
            self.header.big_endian,
            &self.bytes[start..start + self.header.size],
        )
    }

    /// The chosen columns, one row after the other.
    pub(super) fn finite_numbers<T: Scalar>(&self, columns: &[usize]) -> Result<Vec<T>> {
        let mut numbers = Vec::with_capacity(self.rows * columns.len());
        for row in 0..self.rows {
            for &column in columns {
                let number = self.number(row, column);
                let converted = T::from_f64(number);
                if !converted.is_finite() {
                    let expected = format!("a finite number ({})", T::NAME);
                    return Err(Error::format(
                        &*self.file,
                        self.place(row, column),
                        expected,
                        number.to_string(),
                    ));
                }
                numbers.push(converted);
            }
        }
        Ok(numbers)
    }

    /// "byte 136 (row 2, column 1)"
    pub(super) fn place(&self, row: usize, column: usize) -> String {
        let (bytes, rows) = self.before;
        format!(
            "byte {} (row {}, column {})",
            bytes + self.position(row, column),
            rows + row + 1,
            column + 1
        )
    }

    fn position(&self, row: usize, column: usize) -> usize {
        self.header.length + (row * self.row_stride + self.offsets[column]) * self.header.size
    }
}

pub(super) fn check_length(file: &str, header: &Header, length: usize) -> Result<()> {
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

fn decode(number_type: NumberType, big_endian: bool, bytes: &[u8]) -> f64 {
    let append = |word: u64, &byte: &u8| word << 8 | u64::from(byte);
    let word =
        if big_endian { bytes.iter().fold(0, append) } else { bytes.iter().rev().fold(0, append) };
    let unused_bits = 64 - 8 * bytes.len() as u32;
    match number_type {
        NumberType::Float if unused_bits == 32 => f64::from(f32::from_bits(word as u32)),
        NumberType::Float => f64::from_bits(word),
        NumberType::Signed => ((word << unused_bits) as i64 >> unused_bits) as f64,
        NumberType::Unsigned => word as f64,
    }
}
