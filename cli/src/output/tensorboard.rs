//! Event files, as TensorBoard reads them: frames of TFRecord
//! (<https://www.tensorflow.org/tutorials/load_data/tfrecord#tfrecords_format_details>) around the protobuf message
//! `Event` (<https://github.com/tensorflow/tensorboard/blob/master/tensorboard/compat/proto/event.proto>), of which
//! four fields are needed: too little for a protobuf library.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A file of a training's scalars; whoever reads a folder reads all of its files together.
pub(crate) struct EventFile {
    file: File,
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
        let file = File::options().write(true).create_new(true).open(folder.join(name))?;
        let mut events = EventFile { file };
        events.event(since_1970(), &field(3, b"brain.Event:2"))?;
        Ok(events)
    }

    /// What files before this one say from step 0 on is to be forgotten: a session starts, as TensorBoard has it.
    pub(crate) fn replace_earlier(&mut self) -> io::Result<()> {
        const START: u8 = 1;
        self.event(since_1970(), &field(7, &[key(1, VARINT), START]))
    }

    /// The values of one step, so long ago.
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

    /// An event with these fields, at once in the file.
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

/// A checksum of data that may hold checksums itself is rotated and moved.
fn masked(data: &[u8]) -> [u8; 4] {
    crc32c(data).rotate_right(15).wrapping_add(0xa282_ead8).to_le_bytes()
}

/// Castagnoli's CRC (RFC 3720, appendix B.4), bit by bit: there are some hundred bytes an epoch.
fn crc32c(data: &[u8]) -> u32 {
    const POLYNOMIAL: u32 = 0x82f6_3b78;
    let bit = |crc: u32, _| if crc & 1 == 1 { crc >> 1 ^ POLYNOMIAL } else { crc >> 1 };
    !data.iter().fold(!0, |crc, &byte| (0..8).fold(crc ^ u32::from(byte), bit))
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
    use super::{crc32c, varint};

    /// RFC 3720, appendix B.4; protobuf's own example of a varint.
    #[test]
    fn published_examples() {
        assert_eq!(crc32c(&[0; 32]), 0x8a91_36aa);
        assert_eq!(crc32c(&[0xff; 32]), 0x62a8_ab43);
        assert_eq!(crc32c(&(0..32).collect::<Vec<u8>>()), 0x46dd_794e);
        assert_eq!(varint(150), [0x96, 0x01]);
    }
}
