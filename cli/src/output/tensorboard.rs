//! Event files, as TensorBoard reads them: frames of TFRecord
//! (<https://www.tensorflow.org/tutorials/load_data/tfrecord#tfrecords_format_details>) around the protobuf message
//! `Event` (<https://github.com/tensorflow/tensorboard/blob/master/tensorboard/compat/proto/event.proto>), of which
//! four fields are needed: too little for a protobuf library.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A file of a training's scalars. TensorBoard reads all files of a folder together.
pub(crate) struct EventFile {
    file: File,
    path: PathBuf,
}

impl EventFile {
    /// A new file in `folder`, under a name that TensorBoard looks for.
    pub(crate) fn create(folder: &Path) -> io::Result<Self> {
        // TensorBoard reads the files of a folder by name; one that is made later must come later.
        let (now, process) = (since_1970(), std::process::id());
        let name = format!(
            "events.out.tfevents.{:010}.{:09}.{process}.travertine",
            now.as_secs(),
            now.subsec_nanos()
        );
        let path = folder.join(name);
        let file = File::options().write(true).create_new(true).open(&path)?;
        let mut events = EventFile { file, path };
        events.event(since_1970(), &field(3, b"brain.Event:2"))?;
        Ok(events)
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Discards the steps of earlier files from step 0 on, with TensorBoard's event of a session that starts.
    pub(crate) fn replace_earlier(&mut self) -> io::Result<()> {
        const START: u8 = 1;
        self.event(since_1970(), &field(7, &[key(1, VARINT), START]))
    }

    /// Writes the values of one step; `ago`: time since then.
    pub(crate) fn scalars(
        &mut self,
        step: u64,
        ago: Duration,
        scalars: &[(String, f64)],
    ) -> io::Result<()> {
        let value = |(tag, value): &(String, f64)| {
            let simple_value = [&[key(2, FIXED32)][..], &(*value as f32).to_le_bytes()].concat();
            field(1, &[field(1, tag.as_bytes()), simple_value].concat())
        };
        let summary: Vec<u8> = scalars.iter().flat_map(value).collect();
        let fields = [vec![key(2, VARINT)], varint(step), field(5, &summary)].concat();
        self.event(since_1970().saturating_sub(ago), &fields)
    }

    /// Writes an event with these fields, unbuffered.
    fn event(&mut self, time: Duration, fields: &[u8]) -> io::Result<()> {
        let wall_time = time.as_secs_f64().to_le_bytes();
        self.file.write_all(&frame(&[&[key(1, FIXED64)], &wall_time[..], fields].concat()))
    }
}

fn since_1970() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// Length, its checksum, the record, its checksum.
fn frame(record: &[u8]) -> Vec<u8> {
    let length = (record.len() as u64).to_le_bytes();
    [&length[..], &masked(&length), record, &masked(record)].concat()
}

/// The checksum (Castagnoli's CRC), masked as TFRecord requires: data may hold checksums itself.
fn masked(data: &[u8]) -> [u8; 4] {
    crc32c::crc32c(data).rotate_right(15).wrapping_add(0xa282_ead8).to_le_bytes()
}

// Protobuf's wire types.
const VARINT: u8 = 0;
const FIXED64: u8 = 1;
const LENGTH: u8 = 2;
const FIXED32: u8 = 5;

fn key(number: u8, wire: u8) -> u8 {
    number << 3 | wire
}

/// Field `number` with text, bytes or a message.
fn field(number: u8, content: &[u8]) -> Vec<u8> {
    [vec![key(number, LENGTH)], varint(content.len() as u64), content.to_vec()].concat()
}

/// Seven bits a byte, the lowest first.
fn varint(mut x: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while x >= 0x80 {
        bytes.push(x as u8 | 0x80);
        x >>= 7;
    }
    bytes.push(x as u8);
    bytes
}

#[cfg(test)]
mod tests {
    use super::{frame, varint};

    /// Protobuf's own example of a varint; RFC 3720, appendix B.4: the CRC of 32 zero bytes is 0x8a9136aa.
    #[test]
    fn published_examples() {
        assert_eq!(varint(150), [0x96, 0x01]);
        let masked = 0x8a91_36aa_u32.rotate_right(15).wrapping_add(0xa282_ead8);
        assert_eq!(frame(&[0; 32])[12 + 32..], masked.to_le_bytes());
    }
}
