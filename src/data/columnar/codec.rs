//! Compressed pages, whose size before compression is known. Nothing is allocated that the compressed bytes cannot hold.

use std::io::Read;

use flate2::read::MultiGzDecoder;
use parquet::basic::Compression;
use ruzstd::decoding::StreamingDecoder;

/// Pages have at most as many bytes before compression.
const MAX_BYTES: usize = 1 << 30;
/// Bytes that are allocated before the first is unpacked.
const FIRST_BYTES: usize = 16 << 20;

/// The bytes before compression, exactly `size` of them, or what is wrong.
pub(super) fn unpacked(codec: Compression, packed: &[u8], size: usize) -> Result<Vec<u8>, String> {
    // Each codec's longest output of a byte, rounded up; a block of Zstandard unpacks 4 bytes to 128 KiB.
    let most = match codec {
        Compression::UNCOMPRESSED => 1,
        Compression::SNAPPY => 64,
        Compression::GZIP(_) => 1100,
        Compression::LZ4_RAW => 256,
        Compression::ZSTD(_) => 40_000,
        other => {
            let name = format!("{other:?}").to_lowercase();
            let name = name.split('(').next().unwrap_or_default();
            let cure = "write it with snappy, gzip, zstd, lz4_raw or none";
            return Err(format!("compression {name}; {cure}"));
        }
    };
    if size > packed.len().saturating_mul(most).min(MAX_BYTES) {
        return Err(format!("a page of {size} bytes in {}", packed.len()));
    }
    // A page of missing values alone may have no bytes at all, not even those of an empty stream.
    if size == 0 {
        return Ok(Vec::new());
    }
    let unpacked = match codec {
        Compression::SNAPPY => unpack_snappy(packed, size)?,
        Compression::GZIP(_) => read(MultiGzDecoder::new(packed), size)?,
        Compression::LZ4_RAW => unpack_lz4(packed, size)?,
        Compression::ZSTD(_) => {
            let decoder = StreamingDecoder::new(packed).map_err(|error| error.to_string())?;
            read(decoder, size)?
        }
        _ => packed.to_vec(),
    };
    if unpacked.len() != size {
        return Err(format!("{} bytes in a page of {size}", unpacked.len()));
    }
    Ok(unpacked)
}

/// Up to one byte more than `size`, so that a longer stream is noticed.
fn read(stream: impl Read, size: usize) -> Result<Vec<u8>, String> {
    let mut unpacked = Vec::with_capacity((size + 1).min(FIRST_BYTES));
    let outcome = stream.take(size as u64 + 1).read_to_end(&mut unpacked);
    outcome.map_err(|error| error.to_string())?;
    Ok(unpacked)
}

fn unpack_snappy(packed: &[u8], size: usize) -> Result<Vec<u8>, String> {
    if !snap::raw::decompress_len(packed).is_ok_and(|length| length == size) {
        return Err("a snappy page of another size".to_owned());
    }
    snap::raw::Decoder::new().decompress_vec(packed).map_err(|error| error.to_string())
}

fn unpack_lz4(packed: &[u8], size: usize) -> Result<Vec<u8>, String> {
    let mut unpacked = vec![0; size];
    let length = lz4_flex::block::decompress_into(packed, &mut unpacked);
    unpacked.truncate(length.map_err(|error| error.to_string())?);
    Ok(unpacked)
}
