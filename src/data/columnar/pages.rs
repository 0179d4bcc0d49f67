//! The pages of a column chunk: at most one dictionary, then data pages. Their headers are checked here; the crate `parquet` decodes what
//! they hold.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::sync::Arc;

use bytes::Bytes;
use parquet::basic::{Compression, Encoding};
use parquet::column::page::{Page, PageMetadata, PageReader};
use parquet::errors::{ParquetError, Result};
use parquet::file::metadata::ColumnChunkMetaData;

use super::codec::unpacked;
use super::format::{
    data_page_header, data_page_header_v2, dictionary_page_header, page_header, page_type,
};
use super::thrift::Fields;

/// Bytes in which a header is looked for at first.
const HEADER_BYTES: usize = 256;
/// Bytes of the length in front of the levels of a data page.
const LENGTH_BYTES: usize = 4;
/// What the header of delta-encoded values may say at most: values in a block, and parts of a block.
const MAX_DELTA_BLOCK: [u64; 2] = [1 << 20, 1 << 12];

/// The pages of a column in a row group, read from the file one by one.
pub(super) struct Pages {
    file: Arc<File>,
    codec: Compression,
    /// Whether values may be missing, so that levels stand in front of them.
    optional: bool,
    /// The next byte, and the byte behind the last.
    next: u64,
    end: u64,
    /// Values of the pages that have not been read.
    left: usize,
    header: Option<Header>,
}

/// A page before its bytes are read.
#[derive(Clone, Copy)]
struct Header {
    kind: Kind,
    /// Values, and for a dictionary its entries.
    count: usize,
    encoding: Encoding,
    packed_bytes: usize,
    unpacked_bytes: usize,
}

#[derive(Clone, Copy)]
enum Kind {
    Dictionary,
    /// With the encoding of levels.
    Data(Encoding),
    /// With the bytes of levels, which are not compressed and stand in front: repetition levels, then definition levels.
    DataV2 {
        nulls: usize,
        repetition: usize,
        definition: usize,
        is_compressed: bool,
    },
    /// A page for something else.
    Other,
}

impl Pages {
    /// `rows`: of the row group; `end`: where the metadata begins, up to which chunks may reach.
    pub(super) fn new(
        file: Arc<File>,
        chunk: &ColumnChunkMetaData,
        rows: usize,
        end: u64,
    ) -> Result<Self> {
        // The magic of the file stands in front.
        const FIRST_BYTE: u64 = 4;
        let values = usize::try_from(chunk.num_values()).ok();
        if values != Some(rows) {
            return error(format!("{} values for {rows} rows", chunk.num_values()));
        }
        let size = |x: i64| u64::try_from(x).map_err(|_| damaged());
        let (first_page, bytes) = (size(chunk.data_page_offset())?, size(chunk.compressed_size())?);
        // Writers without a dictionary may leave its offset at 0.
        let dictionary = chunk.dictionary_page_offset().and_then(|start| u64::try_from(start).ok());
        let next = dictionary
            .filter(|start| (FIRST_BYTE..first_page).contains(start))
            .unwrap_or(first_page);
        let behind = next.checked_add(bytes).filter(|&behind| next >= FIRST_BYTE && behind <= end);
        let Some(behind) = behind else { return error("pages outside the file".to_owned()) };
        Ok(Pages {
            file,
            codec: chunk.compression(),
            optional: chunk.column_descr().max_def_level() > 0,
            next,
            end: behind,
            left: rows,
            header: None,
        })
    }

    fn read(&self, start: u64, bytes: usize) -> Result<Vec<u8>> {
        let mut read = vec![0; bytes];
        let mut file = &*self.file;
        file.seek(SeekFrom::Start(start)).and_then(|_| file.read_exact(&mut read))?;
        Ok(read)
    }

    /// The header of the next page, if there is one; the file is then at the bytes of that page.
    fn header(&mut self) -> Result<Option<Header>> {
        while self.header.is_none() && self.left > 0 && self.next < self.end {
            let mut window = HEADER_BYTES;
            let rest = usize::try_from(self.end - self.next).map_err(|_| damaged())?;
            let (header, length) = loop {
                let bytes = self.read(self.next, window.min(rest))?;
                match Fields::read(&bytes) {
                    Some((fields, length)) => {
                        break (Header::of(&fields).ok_or_else(damaged)?, length);
                    }
                    None if window < rest => window *= 4,
                    None => return Err(damaged()),
                }
            };
            if header.packed_bytes > rest - length {
                return Err(damaged());
            }
            self.next += length as u64;
            match header.kind {
                Kind::Other => self.next += header.packed_bytes as u64,
                Kind::Dictionary => self.header = Some(header),
                // A page without values would be read forever.
                _ if !(1..=self.left).contains(&header.count) => return Err(damaged()),
                _ => self.header = Some(header),
            }
        }
        Ok(self.header)
    }

    /// Goes behind the next page.
    fn pass(&mut self) {
        if let Some(header) = self.header.take() {
            self.next += header.packed_bytes as u64;
            self.left -= if matches!(header.kind, Kind::Dictionary) { 0 } else { header.count };
        }
    }

    /// The bytes of a page before compression.
    fn body(&self, header: &Header) -> Result<Vec<u8>> {
        let packed = self.read(self.next, header.packed_bytes)?;
        let (levels, is_compressed) = match header.kind {
            Kind::DataV2 { repetition, definition, is_compressed, .. } => {
                (repetition.checked_add(definition).ok_or_else(damaged)?, is_compressed)
            }
            _ => (0, true),
        };
        let codec = if is_compressed { self.codec } else { Compression::UNCOMPRESSED };
        let bytes = header.unpacked_bytes.checked_sub(levels).ok_or_else(damaged)?;
        let (levels, values) = packed.split_at_checked(levels).ok_or_else(damaged)?;
        let values = unpacked(codec, values, bytes).map_err(ParquetError::General)?;
        Ok(if levels.is_empty() { values } else { [levels, &values].concat() })
    }

    fn page(&self, header: Header) -> Result<Page> {
        let body = self.body(&header)?;
        let Header { count, encoding, .. } = header;
        let num_values = count.try_into()?;
        let levels = match header.kind {
            // An entry has at least one byte.
            Kind::Dictionary if count > body.len() => return Err(damaged()),
            Kind::Dictionary => {
                let buf = Bytes::from(body);
                return Ok(Page::DictionaryPage { buf, num_values, encoding, is_sorted: false });
            }
            Kind::DataV2 { repetition, definition, .. } => repetition + definition,
            Kind::Data(levels) if self.optional && levels != Encoding::RLE => {
                return error(format!("levels in the encoding {levels}; write them as RLE"));
            }
            _ if self.optional => LENGTH_BYTES + prefixed(&body).ok_or_else(damaged)?,
            _ => 0,
        };
        let values = body.get(levels..).ok_or_else(damaged)?;
        check_values(encoding, values, count)?;
        let buf = Bytes::from(body);
        Ok(match header.kind {
            Kind::DataV2 { nulls, repetition, definition, is_compressed } => Page::DataPageV2 {
                buf,
                num_values,
                encoding,
                num_nulls: nulls.try_into()?,
                num_rows: num_values,
                def_levels_byte_len: definition.try_into()?,
                rep_levels_byte_len: repetition.try_into()?,
                is_compressed,
                statistics: None,
            },
            _ => Page::DataPage {
                buf,
                num_values,
                encoding,
                def_level_encoding: Encoding::RLE,
                rep_level_encoding: Encoding::RLE,
                statistics: None,
            },
        })
    }
}

impl Header {
    /// `None` if the header is not sound.
    fn of(header: &Fields) -> Option<Self> {
        let (kind, count, number) = match header.int(page_header::TYPE)? {
            page_type::DICTIONARY_PAGE => {
                let of_kind = header.fields(page_header::DICTIONARY_PAGE_HEADER)?;
                (Kind::Dictionary, of_kind.size(dictionary_page_header::NUM_VALUES)?, 0)
            }
            page_type::DATA_PAGE => {
                use data_page_header::*;
                let of_kind = header.fields(page_header::DATA_PAGE_HEADER)?;
                let levels = encoding(of_kind.int(DEFINITION_LEVEL_ENCODING)?)?;
                (Kind::Data(levels), of_kind.size(NUM_VALUES)?, of_kind.int(ENCODING)?)
            }
            page_type::DATA_PAGE_V2 => {
                use data_page_header_v2::*;
                let of_kind = header.fields(page_header::DATA_PAGE_HEADER_V2)?;
                let kind = Kind::DataV2 {
                    nulls: of_kind.size(NUM_NULLS)?,
                    repetition: of_kind.size(REPETITION_LEVELS_BYTE_LENGTH)?,
                    definition: of_kind.size(DEFINITION_LEVELS_BYTE_LENGTH)?,
                    is_compressed: of_kind.int(IS_COMPRESSED) != Some(0),
                };
                (kind, of_kind.size(NUM_VALUES)?, of_kind.int(ENCODING)?)
            }
            _ => (Kind::Other, 0, 0),
        };
        Some(Header {
            kind,
            count,
            encoding: encoding(number)?,
            packed_bytes: header.size(page_header::COMPRESSED_PAGE_SIZE)?,
            unpacked_bytes: header.size(page_header::UNCOMPRESSED_PAGE_SIZE)?,
        })
    }
}

fn encoding(number: i64) -> Option<Encoding> {
    use Encoding::*;
    #[expect(deprecated, reason = "old files have it, and are refused by name")]
    let bits = BIT_PACKED;
    let known = [
        (0, PLAIN),
        (2, PLAIN_DICTIONARY),
        (3, RLE),
        (4, bits),
        (5, DELTA_BINARY_PACKED),
        (6, DELTA_LENGTH_BYTE_ARRAY),
        (7, DELTA_BYTE_ARRAY),
        (8, RLE_DICTIONARY),
        (9, BYTE_STREAM_SPLIT),
    ];
    known.into_iter().find(|(known, _)| *known == number).map(|(_, encoding)| encoding)
}

/// The length that stands in front of as many bytes.
fn prefixed(bytes: &[u8]) -> Option<usize> {
    let (length, rest) = bytes.split_first_chunk::<LENGTH_BYTES>()?;
    let length = u32::from_le_bytes(*length) as usize;
    (length <= rest.len()).then_some(length)
}

/// Refuses values whose decoder allocates what they claim rather than what they have.
fn check_values(encoding: Encoding, values: &[u8], count: usize) -> Result<()> {
    match encoding {
        Encoding::DELTA_BINARY_PACKED | Encoding::DELTA_LENGTH_BYTE_ARRAY => {
            let mut rest = values;
            let [block, parts, claimed] = [(); 3].map(|()| varint(&mut rest).unwrap_or(u64::MAX));
            let [most_block, most_parts] = MAX_DELTA_BLOCK;
            if block > most_block || parts > most_parts || claimed > count as u64 {
                return Err(damaged());
            }
            Ok(())
        }
        // A value may repeat the one before, so that few bytes become many.
        Encoding::DELTA_BYTE_ARRAY => {
            error("encoding DELTA_BYTE_ARRAY; write plain values or dictionaries".to_owned())
        }
        _ => Ok(()),
    }
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..u64::BITS).step_by(7) {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}

fn damaged() -> ParquetError {
    ParquetError::General("a damaged page".to_owned())
}

fn error<X>(found: String) -> Result<X> {
    Err(ParquetError::General(found))
}

impl Iterator for Pages {
    type Item = Result<Page>;

    fn next(&mut self) -> Option<Self::Item> {
        self.get_next_page().transpose()
    }
}

impl PageReader for Pages {
    fn get_next_page(&mut self) -> Result<Option<Page>> {
        let Some(header) = self.header()? else { return Ok(None) };
        let page = self.page(header)?;
        self.pass();
        Ok(Some(page))
    }

    fn peek_next_page(&mut self) -> Result<Option<PageMetadata>> {
        let header = self.header()?;
        Ok(header.map(|header| match header.kind {
            Kind::Dictionary => PageMetadata { num_rows: None, num_levels: None, is_dict: true },
            // A flat column has a value in each row.
            _ => PageMetadata {
                num_rows: Some(header.count),
                num_levels: Some(header.count),
                is_dict: false,
            },
        }))
    }

    fn skip_next_page(&mut self) -> Result<()> {
        self.header()?;
        self.pass();
        Ok(())
    }
}
