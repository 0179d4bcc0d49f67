//! Parquet's hybrid encoding of small integers, which levels, dictionary indices and some booleans use: runs of one number, and
//! groups of eight numbers packed into `width` bits each. A run begins with a variable-length integer; its lowest bit is 1 for packed
//! groups, whose count follows, and 0 for a repeated number, whose count follows.

/// Indices of dictionaries have at most as many bits.
const MAX_WIDTH: u32 = 32;
/// Numbers in a packed group.
const GROUP: usize = 8;

pub(super) struct Hybrid<'a> {
    bytes: &'a [u8],
    /// Bits of a number.
    width: u32,
    /// Numbers left in the run: all of them `value`, or the packed ones.
    left: usize,
    value: u32,
    packed: Option<&'a [u8]>,
    /// Bits of the packed numbers that have been read.
    bit: usize,
}

impl<'a> Hybrid<'a> {
    pub(super) fn new(bytes: &'a [u8], width: u32) -> Self {
        Hybrid { bytes, width, left: 0, value: 0, packed: None, bit: 0 }
    }

    /// One number, `count` times.
    pub(super) fn repeated(value: u32, count: usize) -> Self {
        Hybrid { left: count, value, ..Hybrid::new(&[], 0) }
    }

    pub(super) fn next(&mut self) -> Option<u32> {
        while self.left == 0 {
            self.start_run()?;
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

    fn start_run(&mut self) -> Option<()> {
        if self.width > MAX_WIDTH {
            return None;
        }
        let head = self.varint()?;
        let count = usize::try_from(head >> 1).ok()?;
        if head & 1 == 1 {
            let bytes = count.checked_mul(self.width as usize)?;
            let packed = self.bytes.get(..bytes.min(self.bytes.len()))?;
            (self.packed, self.bit, self.left) = (Some(packed), 0, count.checked_mul(GROUP)?);
            self.bytes = &self.bytes[packed.len()..];
        } else {
            let bytes = self.width.div_ceil(8) as usize;
            let (word, rest) = self.bytes.split_at_checked(bytes)?;
            self.value = word.iter().rev().fold(0, |value, &byte| value << 8 | u32::from(byte));
            (self.packed, self.left, self.bytes) = (None, count, rest);
        }
        Some(())
    }

    fn varint(&mut self) -> Option<u64> {
        let (mut value, mut shift) = (0u64, 0);
        loop {
            let (&byte, rest) = self.bytes.split_first()?;
            self.bytes = rest;
            value |= u64::from(byte & 0x7f).checked_shl(shift)?;
            shift += 7;
            if byte < 0x80 {
                return Some(value);
            }
        }
    }
}
