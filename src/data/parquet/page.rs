//! The pages of a column chunk: at most one dictionary, then data pages of definition levels (0 where a value is missing) and values.

use std::io::Read;

use flate2::read::MultiGzDecoder;

use super::format::{
    codec, data_page_header, data_page_header_v2, dictionary_page_header, encoding, page_header,
    page_type,
};
use super::hybrid::Hybrid;
use super::thrift::Fields;
use super::value::{Cell, ValueType};
use crate::{Error, Result};

/// No codec expands a byte to more bytes.
const MAX_EXPANSION: usize = 1100;
/// Bytes of the length in front of texts and of levels.
const LENGTH_BYTES: usize = 4;

/// How a column chunk is read.
pub(super) struct Pages<'a> {
    pub(super) value_type: ValueType,
    /// Whether values may be missing.
    pub(super) optional: bool,
    pub(super) codec: i64,
    /// Makes an error of what was found.
    pub(super) unsound: &'a dyn Fn(String) -> Error,
}

/// A data page, unpacked.
struct DataPage {
    count: usize,
    levels: Vec<u8>,
    values: Vec<u8>,
    encoding: Option<i64>,
}

/// A page's header and its bytes as the file has them.
struct RawPage<'a> {
    header: Fields<'a>,
    body: &'a [u8],
    unpacked_bytes: usize,
}

impl<'a> RawPage<'a> {
    /// The first page, and the bytes behind it.
    fn read(bytes: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let (header, length) = Fields::read(bytes)?;
        let unpacked_bytes = header.size(page_header::UNCOMPRESSED_PAGE_SIZE)?;
        let packed_bytes = header.size(page_header::COMPRESSED_PAGE_SIZE)?;
        let (body, rest) = bytes.get(length..)?.split_at_checked(packed_bytes)?;
        Some((RawPage { header, body, unpacked_bytes }, rest))
    }
}

impl Pages<'_> {
    /// Calls `each` for `values` values, one row after the other.
    pub(super) fn each(
        &self,
        bytes: &[u8],
        values: usize,
        each: &mut dyn FnMut(Cell<'_>) -> Result<()>,
    ) -> Result<()> {
        let (mut rest, mut left) = (bytes, values);
        let mut dictionary: Option<(Vec<u8>, usize)> = None;
        while left > 0 {
            let (page, behind) = RawPage::read(rest).ok_or_else(|| self.damaged())?;
            rest = behind;
            let data = match page.header.int(page_header::TYPE) {
                Some(page_type::DICTIONARY_PAGE) => {
                    dictionary = Some(self.dictionary(&page)?);
                    continue;
                }
                Some(page_type::DATA_PAGE) => self.data_page(&page)?,
                Some(page_type::DATA_PAGE_V2) => self.data_page_v2(&page)?,
                _ => continue,
            };
            if !(1..=left).contains(&data.count) {
                return Err(self.damaged());
            }
            self.cells(&data, dictionary.as_ref(), each)?;
            left -= data.count;
        }
        Ok(())
    }

    fn damaged(&self) -> Error {
        (self.unsound)("a damaged page".to_owned())
    }

    /// The entries of a dictionary, and how many there are.
    fn dictionary(&self, page: &RawPage<'_>) -> Result<(Vec<u8>, usize)> {
        let header = page.header.fields(page_header::DICTIONARY_PAGE_HEADER);
        let count = header.and_then(|header| header.size(dictionary_page_header::NUM_VALUES));
        let count = count.ok_or_else(|| self.damaged())?;
        Ok((self.unpacked(page.body, page.unpacked_bytes)?, count))
    }

    /// A page whose levels are compressed with its values, behind their length.
    fn data_page(&self, page: &RawPage<'_>) -> Result<DataPage> {
        use data_page_header::{ENCODING, NUM_VALUES};
        let damaged = || self.damaged();
        let header = page.header.fields(page_header::DATA_PAGE_HEADER).ok_or_else(damaged)?;
        let count = header.size(NUM_VALUES).ok_or_else(damaged)?;
        let body = self.unpacked(page.body, page.unpacked_bytes)?;
        let (levels, skipped) = if self.optional {
            let levels = prefixed(&body).ok_or_else(damaged)?;
            (levels, LENGTH_BYTES + levels.len())
        } else {
            (&[][..], 0)
        };
        let (levels, values) = (levels.to_vec(), body[skipped..].to_vec());
        Ok(DataPage { count, levels, values, encoding: header.int(ENCODING) })
    }

    /// A page whose levels are not compressed and stand in front: repetition levels, which a flat column does not use, then definition
    /// levels.
    fn data_page_v2(&self, page: &RawPage<'_>) -> Result<DataPage> {
        use data_page_header_v2::*;
        let damaged = || self.damaged();
        let header = page.header.fields(page_header::DATA_PAGE_HEADER_V2).ok_or_else(damaged)?;
        let count = header.size(NUM_VALUES).ok_or_else(damaged)?;
        let definition = header.size(DEFINITION_LEVELS_BYTE_LENGTH).ok_or_else(damaged)?;
        let repetition = header.size(REPETITION_LEVELS_BYTE_LENGTH).ok_or_else(damaged)?;
        let all_levels = definition.checked_add(repetition).ok_or_else(damaged)?;
        let (levels, packed) = page.body.split_at_checked(all_levels).ok_or_else(damaged)?;
        let bytes = page.unpacked_bytes.checked_sub(all_levels).ok_or_else(damaged)?;
        let values = match header.int(IS_COMPRESSED) {
            Some(0) => packed.to_vec(),
            _ => self.unpacked(packed, bytes)?,
        };
        let levels = levels[repetition..].to_vec();
        Ok(DataPage { count, levels, values, encoding: header.int(ENCODING) })
    }

    fn cells(
        &self,
        page: &DataPage,
        dictionary: Option<&(Vec<u8>, usize)>,
        each: &mut dyn FnMut(Cell<'_>) -> Result<()>,
    ) -> Result<()> {
        let damaged = || self.damaged();
        let mut present = match self.optional {
            true => Hybrid::new(&page.levels, 1),
            false => Hybrid::repeated(1, page.count),
        };
        let mut values = self.values(page, dictionary)?;
        for _ in 0..page.count {
            match present.next().ok_or_else(damaged)? {
                0 => each(Cell::Missing)?,
                _ => each(values.next().ok_or_else(damaged)?)?,
            }
        }
        Ok(())
    }

    fn values<'p>(
        &self,
        page: &'p DataPage,
        dictionary: Option<&'p (Vec<u8>, usize)>,
    ) -> Result<Values<'p>> {
        let damaged = || self.damaged();
        match page.encoding {
            Some(encoding::PLAIN) => Ok(Values::Plain(Plain::new(self.value_type, &page.values))),
            Some(encoding::PLAIN_DICTIONARY | encoding::RLE_DICTIONARY) => {
                let (bytes, count) = dictionary.ok_or_else(damaged)?;
                let entries = entries(self.value_type, bytes, *count).ok_or_else(damaged)?;
                let (&width, indices) = page.values.split_first().ok_or_else(damaged)?;
                Ok(Values::Coded(entries, Hybrid::new(indices, u32::from(width))))
            }
            Some(encoding::RLE) if self.value_type == ValueType::Boolean => {
                Ok(Values::Bits(Hybrid::new(prefixed(&page.values).ok_or_else(damaged)?, 1)))
            }
            other => {
                let cure = "write plain values or dictionaries";
                Err((self.unsound)(format!("encoding {}; {cure}", other.unwrap_or(-1))))
            }
        }
    }

    /// The bytes before compression, exactly `size` of them.
    fn unpacked(&self, body: &[u8], size: usize) -> Result<Vec<u8>> {
        if size > body.len().saturating_mul(MAX_EXPANSION) {
            return Err((self.unsound)(format!("a page of {size} bytes in {}", body.len())));
        }
        let unpacked = match self.codec {
            codec::UNCOMPRESSED => body.to_vec(),
            codec::SNAPPY => self.unpack_snappy(body, size)?,
            codec::GZIP => {
                let mut unpacked = Vec::new();
                let mut gzip = MultiGzDecoder::new(body).take(size as u64 + 1);
                let read = gzip.read_to_end(&mut unpacked);
                read.map_err(|error| (self.unsound)(error.to_string()))?;
                unpacked
            }
            other => {
                let name = usize::try_from(other).ok().and_then(|codec| codec::NAMES.get(codec));
                let (name, cure) =
                    (name.unwrap_or(&"unknown"), "write it with snappy, gzip or none");
                return Err((self.unsound)(format!("compression {name}; {cure}")));
            }
        };
        if unpacked.len() != size {
            let found = format!("{} bytes in a page of {size}", unpacked.len());
            return Err((self.unsound)(found));
        }
        Ok(unpacked)
    }

    fn unpack_snappy(&self, body: &[u8], size: usize) -> Result<Vec<u8>> {
        if !snap::raw::decompress_len(body).is_ok_and(|length| length == size) {
            return Err((self.unsound)("a snappy page of another size".to_owned()));
        }
        let unpacked = snap::raw::Decoder::new().decompress_vec(body);
        unpacked.map_err(|error| (self.unsound)(error.to_string()))
    }
}

/// The bytes behind a length of four bytes, as many as it says.
fn prefixed(bytes: &[u8]) -> Option<&[u8]> {
    let (length, rest) = bytes.split_first_chunk::<LENGTH_BYTES>()?;
    rest.get(..u32::from_le_bytes(*length) as usize)
}

/// The values of a page that are not missing.
enum Values<'a> {
    Plain(Plain<'a>),
    /// The entries of the dictionary, and an index for each value.
    Coded(Vec<Cell<'a>>, Hybrid<'a>),
    Bits(Hybrid<'a>),
}

impl<'a> Values<'a> {
    fn next(&mut self) -> Option<Cell<'a>> {
        match self {
            Values::Plain(plain) => plain.next(),
            Values::Coded(entries, codes) => entries.get(codes.next()? as usize).copied(),
            Values::Bits(bits) => bits.next().map(|bit| Cell::Integer(i128::from(bit))),
        }
    }
}

fn entries(value_type: ValueType, bytes: &[u8], count: usize) -> Option<Vec<Cell<'_>>> {
    let mut plain = Plain::new(value_type, bytes);
    // An entry has at least one byte, so the bytes bound the allocation.
    if count > bytes.len() {
        return None;
    }
    (0..count).map(|_| plain.next()).collect()
}

/// Values one after the other, without compression.
struct Plain<'a> {
    value_type: ValueType,
    bytes: &'a [u8],
    /// The next bit of the first byte, for booleans.
    bit: u32,
}

impl<'a> Plain<'a> {
    fn new(value_type: ValueType, bytes: &'a [u8]) -> Self {
        Plain { value_type, bytes, bit: 0 }
    }

    fn next(&mut self) -> Option<Cell<'a>> {
        Some(match self.value_type {
            ValueType::Boolean => {
                let bit = self.bytes.first()? >> self.bit & 1;
                self.bit = (self.bit + 1) % 8;
                if self.bit == 0 {
                    self.bytes = &self.bytes[1..];
                }
                Cell::Integer(i128::from(bit))
            }
            ValueType::Int32 { signed } => match u32::from_le_bytes(self.array()?) {
                word if signed => Cell::Integer(i128::from(word as i32)),
                word => Cell::Integer(i128::from(word)),
            },
            ValueType::Int64 { signed } => match u64::from_le_bytes(self.array()?) {
                word if signed => Cell::Integer(i128::from(word as i64)),
                word => Cell::Integer(i128::from(word)),
            },
            ValueType::Float => Cell::Float(f64::from(f32::from_le_bytes(self.array()?))),
            ValueType::Double => Cell::Float(f64::from_le_bytes(self.array()?)),
            ValueType::Text => {
                let text = prefixed(self.bytes)?;
                self.bytes = &self.bytes[LENGTH_BYTES + text.len()..];
                Cell::Text(std::str::from_utf8(text).ok()?)
            }
        })
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (&array, rest) = self.bytes.split_first_chunk()?;
        self.bytes = rest;
        Some(array)
    }
}
