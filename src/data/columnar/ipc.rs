//! Where the messages of an Arrow file are, and whether they are sound before the crate `arrow-ipc` decodes them.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;
use std::sync::Arc;

use arrow_buffer::Buffer;
use arrow_ipc::convert::try_fb_to_schema;
use arrow_ipc::{
    CompressionType, Message, MetadataVersion, RecordBatch, root_as_footer, root_as_message,
};
use arrow_schema::Schema;

/// At both ends of a file.
const MAGIC: &[u8; 6] = b"ARROW1";
/// At both ends of the files of Feather's first version.
const OLD_MAGIC: &[u8; 4] = b"FEA1";
/// In front of a message.
const MARK: [u8; 4] = [0xff; 4];
/// Bytes of the mark in front of a message and of the length of its metadata.
const HEAD_BYTES: usize = 8;
/// Bytes behind the footer: its length and the magic.
const TAIL_BYTES: u64 = 10;
/// LZ4 packs at most as many bytes into one.
const MAX_EXPANSION: u64 = 256;
/// A batch that claims more rows than this for each of its bytes is refused.
const MAX_ROWS_PER_BYTE: u64 = 1024;

/// A message: its metadata, which begins with a mark and its length, and its body.
#[derive(Clone, Copy)]
pub(super) struct Place {
    start: u64,
    pub(super) metadata_bytes: usize,
    body_bytes: usize,
}

/// What an Arrow file holds.
pub(super) struct Contents {
    pub(super) schema: Arc<Schema>,
    pub(super) version: MetadataVersion,
    pub(super) dictionaries: Vec<Place>,
    pub(super) batches: Vec<Place>,
}

/// A file and its length.
pub(super) struct ArrowFile {
    file: File,
    bytes: u64,
}

impl ArrowFile {
    pub(super) fn open(path: &Path) -> std::io::Result<Self> {
        let file = File::open(path)?;
        let bytes = file.metadata()?.len();
        Ok(ArrowFile { file, bytes })
    }

    fn read(&self, start: u64, bytes: usize) -> Result<Vec<u8>, String> {
        if start.checked_add(bytes as u64).is_none_or(|end| end > self.bytes) {
            return Err(format!("{bytes} bytes at {start} in a file of {}", self.bytes));
        }
        let (mut file, mut read) = (&self.file, vec![0; bytes]);
        let outcome = file.seek(SeekFrom::Start(start)).and_then(|_| file.read_exact(&mut read));
        outcome.map_err(|error| error.to_string())?;
        Ok(read)
    }

    /// Finds the messages of a file or a stream.
    pub(super) fn contents(&self) -> Result<Contents, String> {
        let head = self.read(0, HEAD_BYTES.min(self.bytes as usize))?;
        if head.starts_with(MAGIC) {
            return self.contents_of_file();
        }
        if head.starts_with(&MARK) {
            return self.contents_of_stream();
        }
        if head.starts_with(OLD_MAGIC) {
            return Err("the first version of Feather; write it with the second".to_owned());
        }
        Err(format!("{head:02x?} at its begin"))
    }

    fn contents_of_file(&self) -> Result<Contents, String> {
        let start = self.bytes.checked_sub(TAIL_BYTES).ok_or("no end")?;
        let tail = self.read(start, TAIL_BYTES as usize)?;
        let (length, magic) = tail.split_first_chunk::<4>().ok_or("no end")?;
        if magic != MAGIC {
            return Err(format!("{magic:02x?} at its end"));
        }
        let length = u64::from(u32::from_le_bytes(*length));
        let start = start.checked_sub(length).ok_or(format!("a footer of {length} bytes"))?;
        let footer = self.read(start, length as usize)?;
        let footer = root_as_footer(&footer).map_err(|error| error.to_string())?;
        let schema = schema(footer.schema())?;
        let place = |block: &arrow_ipc::Block| {
            self.place(block.offset(), block.metaDataLength().into(), block.bodyLength())
        };
        let dictionaries = footer.dictionaries().into_iter().flatten().map(place);
        let batches = footer.recordBatches().into_iter().flatten().map(place);
        Ok(Contents {
            schema,
            version: footer.version(),
            dictionaries: dictionaries.collect::<Result<_, _>>()?,
            batches: batches.collect::<Result<_, _>>()?,
        })
    }

    fn place(&self, start: i64, metadata: i64, body: i64) -> Result<Place, String> {
        let wrong = || format!("a message of {metadata} + {body} bytes at {start}");
        let size = |x: i64| u64::try_from(x).ok().filter(|&x| x <= self.bytes).ok_or_else(wrong);
        let (start, metadata, body) = (size(start)?, size(metadata)?, size(body)?);
        if start + metadata + body > self.bytes || metadata < HEAD_BYTES as u64 {
            return Err(wrong());
        }
        Ok(Place { start, metadata_bytes: metadata as usize, body_bytes: body as usize })
    }

    /// A stream is a sequence of messages: the schema, dictionaries, batches.
    fn contents_of_stream(&self) -> Result<Contents, String> {
        use arrow_ipc::MessageHeader as Kind;
        let mut contents: Option<Contents> = None;
        let mut next = 0;
        while let Some(place) = self.next_message(next)? {
            let metadata = self.read(place.start, place.metadata_bytes)?;
            let message = message(&metadata)?;
            let place =
                self.place(place.start as i64, place.metadata_bytes as i64, message.bodyLength())?;
            next = place.start + (place.metadata_bytes + place.body_bytes) as u64;
            match (message.header_type(), &mut contents) {
                (Kind::Schema, None) => {
                    let schema = schema(message.header_as_schema())?;
                    let (dictionaries, batches) = (Vec::new(), Vec::new());
                    let version = message.version();
                    contents = Some(Contents { schema, version, dictionaries, batches });
                }
                (Kind::DictionaryBatch, Some(contents)) if contents.batches.is_empty() => {
                    contents.dictionaries.push(place);
                }
                (Kind::DictionaryBatch, Some(_)) => {
                    return Err("dictionaries that change; write a file, not a stream".to_owned());
                }
                (Kind::RecordBatch, Some(contents)) => contents.batches.push(place),
                (kind, _) => return Err(format!("a message of the kind {kind:?}")),
            }
        }
        contents.ok_or("no schema".to_owned())
    }

    /// The metadata of the message at `start`; `None` at the end of the stream.
    fn next_message(&self, start: u64) -> Result<Option<Place>, String> {
        if start == self.bytes {
            return Ok(None);
        }
        let head = self.read(start, HEAD_BYTES)?;
        let Some([a, b, c, d]) = head.strip_prefix(&MARK) else {
            return Err(format!("no message at byte {start}"));
        };
        let length = u32::from_le_bytes([*a, *b, *c, *d]);
        if length == 0 {
            return Ok(None);
        }
        let metadata = i64::from(length) + HEAD_BYTES as i64;
        self.place(start as i64, metadata, 0).map(Some)
    }

    /// Reads a message whose sizes are sound.
    pub(super) fn message(&self, place: Place) -> Result<Buffer, String> {
        let bytes = self.read(place.start, place.metadata_bytes + place.body_bytes)?;
        let message = message(&bytes)?;
        let batch = batch_of(&message).ok_or("a message without values")?;
        check(&batch, &bytes[place.metadata_bytes..])?;
        Ok(Buffer::from_vec(bytes))
    }

    /// Rows of a batch.
    pub(super) fn rows(&self, place: Place) -> Result<usize, String> {
        let metadata = self.read(place.start, place.metadata_bytes)?;
        let message = message(&metadata)?;
        let batch = batch_of(&message).ok_or("a message without values")?;
        check_rows(&batch, place.body_bytes + place.metadata_bytes)
    }
}

fn schema(schema: Option<arrow_ipc::Schema<'_>>) -> Result<Arc<Schema>, String> {
    let schema = schema.ok_or("no schema")?;
    if !schema.endianness().equals_to_target_endianness() {
        return Err("another order of bytes".to_owned());
    }
    Ok(Arc::new(try_fb_to_schema(schema).map_err(|error| error.to_string())?))
}

/// The message behind its mark and length.
pub(super) fn message(bytes: &[u8]) -> Result<Message<'_>, String> {
    // Before version 0.15 there was no mark.
    let skipped = if bytes.starts_with(&MARK) { HEAD_BYTES } else { HEAD_BYTES - MARK.len() };
    let metadata = bytes.get(skipped..).ok_or("a message of a few bytes")?;
    root_as_message(metadata).map_err(|error| error.to_string())
}

/// The values of a batch, or those of a dictionary.
fn batch_of<'m>(message: &Message<'m>) -> Option<RecordBatch<'m>> {
    let of_dictionary = || message.header_as_dictionary_batch()?.data();
    message.header_as_record_batch().or_else(of_dictionary)
}

fn check_rows(batch: &RecordBatch<'_>, bytes: usize) -> Result<usize, String> {
    let rows = u64::try_from(batch.length()).ok();
    let rows = rows.filter(|&rows| rows <= (bytes as u64).saturating_mul(MAX_ROWS_PER_BYTE));
    let rows = rows.and_then(|rows| usize::try_from(rows).ok());
    rows.ok_or_else(|| format!("{} rows in {bytes} bytes", batch.length()))
}

/// Checks that the buffers of a batch are in its body, each for itself, and how many bytes they unpack to.
fn check(batch: &RecordBatch<'_>, body: &[u8]) -> Result<(), String> {
    check_rows(batch, body.len() + HEAD_BYTES)?;
    let is_packed = match batch.compression().map(|compression| compression.codec()) {
        None => false,
        Some(CompressionType::LZ4_FRAME) => true,
        Some(other) => {
            let name = other.variant_name().unwrap_or("unknown").to_lowercase();
            return Err(format!("compression {name}; write it with lz4 or none"));
        }
    };
    let mut all = 0u64;
    for buffer in batch.buffers().into_iter().flatten() {
        let wrong = || format!("a buffer of {} bytes at {}", buffer.length(), buffer.offset());
        let size = |x: i64| u64::try_from(x).map_err(|_| wrong());
        let (start, length) = (size(buffer.offset())?, size(buffer.length())?);
        all = all.saturating_add(length);
        let end = start.checked_add(length).filter(|&end| end <= body.len() as u64);
        let bytes = &body[start.min(body.len() as u64) as usize..end.ok_or_else(wrong)? as usize];
        if let Some((unpacked, _)) = bytes.split_first_chunk().filter(|_| is_packed) {
            // -1 is for bytes that are not compressed.
            let unpacked = i64::from_le_bytes(*unpacked);
            if unpacked < -1 || unpacked > length.saturating_mul(MAX_EXPANSION) as i64 {
                return Err(format!("a buffer of {unpacked} bytes in {length}"));
            }
        }
    }
    if all > body.len() as u64 {
        return Err(format!("buffers of {all} bytes in {}", body.len()));
    }
    Ok(())
}
