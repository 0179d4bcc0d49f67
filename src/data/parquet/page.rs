//! Pages of a column: levels, dictionaries and values.

use std::io::Read;

use flate2::read::MultiGzDecoder;

use super::file::{Cell, Kind};
use super::thrift::Fields;
use crate::{Error, Result};

/// No compression makes more of a byte.
const MOST_EXPANSION: usize = 1100;

/// How a column chunk is to be read.
pub(super) struct Pages {
    pub(super) kind: Kind,
    pub(super) optional: bool,
    pub(super) codec: i64,
}

type Unsound<'a> = &'a dyn Fn(String) -> Error;

impl Pages {
    /// Calls `each` for so many values, one row after the other.
    pub(super) fn each(
        &self,
        bytes: &[u8],
        values: usize,
        unsound: Unsound<'_>,
        each: &mut dyn FnMut(Cell<'_>) -> Result<()>,
    ) -> Result<()> {
        let (mut rest, mut left) = (bytes, values);
        let mut dictionary: Option<(Vec<u8>, usize)> = None;
        while left > 0 {
            let damaged = || unsound("a damaged page".to_owned());
            let (header, length) = Fields::read(rest).ok_or_else(damaged)?;
            let (plain, packed) = header.size(2).zip(header.size(3)).ok_or_else(damaged)?;
            let body =
                rest.get(length..).and_then(|rest| rest.get(..packed)).ok_or_else(damaged)?;
            rest = &rest[length + packed..];
            match header.int(1) {
                Some(2) => {
                    let count =
                        header.fields(7).and_then(|page| page.size(1)).ok_or_else(damaged)?;
                    dictionary = Some((self.unpacked(body, plain, unsound)?, count));
                }
                Some(page @ (0 | 3)) => {
                    let info = header.fields(if page == 0 { 5 } else { 8 }).ok_or_else(damaged)?;
                    let count = info
                        .size(1)
                        .filter(|count| (1..=left).contains(count))
                        .ok_or_else(damaged)?;
                    let (levels, data, encoding) = if page == 0 {
                        let body = self.unpacked(body, plain, unsound)?;
                        let levels =
                            if self.optional { prefixed(&body).ok_or_else(damaged)? } else { &[] };
                        let skipped = if self.optional { 4 + levels.len() } else { 0 };
                        (levels.to_vec(), body[skipped..].to_vec(), info.int(2))
                    } else {
                        let (levels, repeated) =
                            info.size(5).zip(info.size(6)).ok_or_else(damaged)?;
                        let data = body
                            .get(levels.checked_add(repeated).ok_or_else(damaged)?..)
                            .ok_or_else(damaged)?;
                        let size = plain.checked_sub(levels + repeated).ok_or_else(damaged)?;
                        let data = match info.int(7) {
                            Some(0) => data.to_vec(),
                            _ => self.unpacked(data, size, unsound)?,
                        };
                        (body[repeated..repeated + levels].to_vec(), data, info.int(4))
                    };
                    let present =
                        if self.optional { Hybrid::new(&levels, 1) } else { Hybrid::all(1, count) };
                    let values = match encoding {
                        Some(0) => Values::Plain(Plain { kind: self.kind, bytes: &data, bit: 0 }),
                        Some(2 | 8) => {
                            let (bytes, count) = dictionary.as_ref().ok_or_else(damaged)?;
                            let entries = entries(self.kind, bytes, *count).ok_or_else(damaged)?;
                            let (&width, indices) = data.split_first().ok_or_else(damaged)?;
                            Values::Coded(entries, Hybrid::new(indices, u32::from(width)))
                        }
                        Some(3) if self.kind == Kind::Boolean => {
                            Values::Bits(Hybrid::new(prefixed(&data).ok_or_else(damaged)?, 1))
                        }
                        other => {
                            let cure = "write plain values or dictionaries";
                            return Err(unsound(format!(
                                "encoding {}; {cure}",
                                other.unwrap_or(-1)
                            )));
                        }
                    };
                    cells(present, values, count, &damaged, each)?;
                    left -= count;
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// The bytes before compression, as many as the header says.
    fn unpacked(&self, body: &[u8], size: usize, unsound: Unsound<'_>) -> Result<Vec<u8>> {
        const NAMES: [&str; 8] =
            ["none", "snappy", "gzip", "lzo", "brotli", "lz4", "zstd", "lz4_raw"];
        if size > body.len().saturating_mul(MOST_EXPANSION) {
            return Err(unsound(format!("a page of {size} bytes in {}", body.len())));
        }
        let unpacked = match self.codec {
            0 => body.to_vec(),
            1 if snap::raw::decompress_len(body).is_ok_and(|length| length == size) => {
                snap::raw::Decoder::new()
                    .decompress_vec(body)
                    .map_err(|error| unsound(error.to_string()))?
            }
            2 => {
                let mut unpacked = Vec::new();
                let read =
                    MultiGzDecoder::new(body).take(size as u64 + 1).read_to_end(&mut unpacked);
                read.map_err(|error| unsound(error.to_string()))?;
                unpacked
            }
            1 => return Err(unsound("a snappy page of another size".to_owned())),
            other => {
                let name = usize::try_from(other)
                    .ok()
                    .and_then(|codec| NAMES.get(codec))
                    .unwrap_or(&"unknown");
                return Err(unsound(format!(
                    "compression {name}; write it with snappy, gzip or none"
                )));
            }
        };
        if unpacked.len() != size {
            return Err(unsound(format!("{} bytes in a page of {size}", unpacked.len())));
        }
        Ok(unpacked)
    }
}

/// What stands behind a length of four bytes.
fn prefixed(bytes: &[u8]) -> Option<&[u8]> {
    let (length, rest) = bytes.split_first_chunk()?;
    rest.get(..u32::from_le_bytes(*length) as usize)
}

fn cells(
    mut present: Hybrid<'_>,
    mut values: Values<'_>,
    count: usize,
    damaged: &dyn Fn() -> Error,
    each: &mut dyn FnMut(Cell<'_>) -> Result<()>,
) -> Result<()> {
    for _ in 0..count {
        match present.next().ok_or_else(damaged)? {
            0 => each(Cell::Missing)?,
            _ => each(values.next().ok_or_else(damaged)?)?,
        }
    }
    Ok(())
}

/// The values of a page that are there.
enum Values<'a> {
    Plain(Plain<'a>),
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

fn entries(kind: Kind, bytes: &[u8], count: usize) -> Option<Vec<Cell<'_>>> {
    let mut plain = Plain { kind, bytes, bit: 0 };
    // Each takes a byte at least.
    if count > bytes.len() {
        return None;
    }
    (0..count).map(|_| plain.next()).collect()
}

/// Values one after the other.
struct Plain<'a> {
    kind: Kind,
    bytes: &'a [u8],
    /// Of a boolean in its byte.
    bit: u32,
}

impl<'a> Plain<'a> {
    fn next(&mut self) -> Option<Cell<'a>> {
        Some(match self.kind {
            Kind::Boolean => {
                let bit = self.bytes.first()? >> self.bit & 1;
                self.bit = (self.bit + 1) % 8;
                if self.bit == 0 {
                    self.bytes = &self.bytes[1..];
                }
                Cell::Integer(i128::from(bit))
            }
            Kind::Int32 { signed } => match u32::from_le_bytes(self.array()?) {
                word if signed => Cell::Integer(i128::from(word as i32)),
                word => Cell::Integer(i128::from(word)),
            },
            Kind::Int64 { signed } => match u64::from_le_bytes(self.array()?) {
                word if signed => Cell::Integer(i128::from(word as i64)),
                word => Cell::Integer(i128::from(word)),
            },
            Kind::Float => Cell::Float(f64::from(f32::from_le_bytes(self.array()?))),
            Kind::Double => Cell::Float(f64::from_le_bytes(self.array()?)),
            Kind::Text => {
                let text = prefixed(self.bytes)?;
                self.bytes = &self.bytes[4 + text.len()..];
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

/// Runs of one number, and numbers of a few bits packed.
struct Hybrid<'a> {
    bytes: &'a [u8],
    width: u32,
    /// Numbers left of the run, which are all `value`, or of the packed ones.
    left: usize,
    value: u32,
    packed: Option<&'a [u8]>,
    /// Bits of the packed numbers that have been taken.
    bit: usize,
}

impl<'a> Hybrid<'a> {
    fn new(bytes: &'a [u8], width: u32) -> Self {
        Hybrid { bytes, width, left: 0, value: 0, packed: None, bit: 0 }
    }

    /// So many times the same.
    fn all(value: u32, count: usize) -> Self {
        Hybrid { left: count, value, ..Hybrid::new(&[], 0) }
    }

    fn next(&mut self) -> Option<u32> {
        while self.left == 0 {
            self.run()?;
        }
        self.left -= 1;
        let Some(packed) = self.packed else { return Some(self.value) };
        let mut value = 0;
        for place in 0..self.width as usize {
            let bit = self.bit + place;
            value |= u32::from(packed.get(bit / 8)? >> (bit % 8) & 1) << place;
        }
        self.bit += self.width as usize;
        Some(value)
    }

    /// The next run.
    fn run(&mut self) -> Option<()> {
        if self.width > 32 {
            return None;
        }
        let (mut head, mut shift) = (0u64, 0);
        loop {
            let (&byte, rest) = self.bytes.split_first()?;
            self.bytes = rest;
            head |= u64::from(byte & 0x7f).checked_shl(shift)?;
            shift += 7;
            if byte < 0x80 {
                break;
            }
        }
        let count = usize::try_from(head >> 1).ok()?;
        if head & 1 == 1 {
            let bytes = count.checked_mul(self.width as usize)?;
            let packed = self.bytes.get(..bytes.min(self.bytes.len()))?;
            (self.packed, self.bit, self.left) = (Some(packed), 0, count.checked_mul(8)?);
            self.bytes = &self.bytes[packed.len()..];
        } else {
            let bytes = self.width.div_ceil(8) as usize;
            let (word, rest) = self.bytes.split_at_checked(bytes)?;
            self.value = word.iter().rev().fold(0, |value, &byte| value << 8 | u32::from(byte));
            (self.packed, self.left, self.bytes) = (None, count, rest);
        }
        Some(())
    }
}
