//! A safetensors file, or the bytes of one in memory, as it is read.

use std::fs::File;
use std::io::{self, Cursor, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use safetensors::tensor::Metadata;

use crate::error::{Error, Result};

/// The longest header that the format allows.
const LONGEST_HEADER: u64 = 100_000_000;

/// What is read at any place.
trait Reader: Read + Seek {}

impl<R: Read + Seek> Reader for R {}

/// A model file, or the bytes of one in memory. The reader is not a type parameter, so that a user's crate does not compile what reads
/// headers, once for each type.
pub(super) struct Source<'b> {
    /// The name in messages.
    pub(super) path: PathBuf,
    reader: Box<dyn Reader + 'b>,
}

impl<'b> Source<'b> {
    pub(super) fn open(path: &Path) -> Result<Self> {
        let reader = File::open(path).map_err(|source| Error::io("read", path, source))?;
        Ok(Source { path: path.to_owned(), reader: Box::new(reader) })
    }

    pub(super) fn of_bytes(bytes: &'b [u8]) -> Self {
        Source { path: PathBuf::from("model bytes"), reader: Box::new(Cursor::new(bytes)) }
    }

    pub(super) fn file(&self) -> String {
        self.path.display().to_string()
    }

    pub(super) fn failed(&self, source: io::Error) -> Error {
        Error::io("read", &self.path, source)
    }

    /// At most `count` bytes from `offset` on. No more is allocated than the file has.
    pub(super) fn bytes(&mut self, offset: u64, count: u64) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.reader.seek(SeekFrom::Start(offset))?;
        (&mut self.reader).take(count).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    /// The length word with the header behind it, and the length of the file.
    pub(super) fn head(&mut self) -> Result<(Vec<u8>, u64)> {
        let mut head = self.bytes(0, 8).map_err(|error| self.failed(error))?;
        let bytes = self.reader.seek(SeekFrom::End(0)).map_err(|error| self.failed(error))?;
        let bad =
            |expected: String, found: String| Error::format(self.file(), "byte 0", expected, found);
        let Ok(word) = <[u8; 8]>::try_from(&head[..]) else {
            let expected = "a safetensors file, which has at least 8 bytes".to_owned();
            return Err(bad(expected, format!("{} bytes", head.len())));
        };
        let length = u64::from_le_bytes(word);
        let most = bytes.saturating_sub(8).min(LONGEST_HEADER);
        if length > most {
            let expected = format!("a safetensors file with a header of at most {most} bytes");
            return Err(bad(expected, format!("a header of {length} bytes")));
        }
        head.append(&mut self.bytes(8, length).map_err(|error| self.failed(error))?);
        Ok((head, bytes))
    }

    /// The header of a safetensors file, checked against itself and the length of the file; the offset of the tensors; and
    /// the length of the file.
    pub(super) fn metadata(&mut self) -> Result<(Metadata, u64, u64)> {
        let (head, bytes) = self.head()?;
        let tensors = parse(&self.file(), &head, bytes)?;
        Ok((tensors, head.len() as u64, bytes))
    }
}

/// The header, which stands behind its length in `head`, of a file of `bytes` bytes.
fn parse(file: &str, head: &[u8], bytes: u64) -> Result<Metadata> {
    // Parsing it as metadata checks that the tensors are contiguous and as long as their shapes say.
    let tensors: Metadata = serde_json::from_slice(&head[8..]).map_err(|error| {
        Error::format(file, "header", "a safetensors header", error.to_string())
    })?;
    let end = (head.len() as u64).saturating_add(tensors.data_len() as u64);
    if bytes != end {
        let (place, found) = (format!("byte {bytes}"), format!("{bytes} bytes"));
        let expected = format!("{end} bytes, as the header says");
        return Err(Error::format(file, place, expected, found));
    }
    Ok(tensors)
}
