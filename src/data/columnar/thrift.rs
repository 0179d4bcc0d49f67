//! Thrift's compact protocol, in which Parquet writes its metadata, read into a tree whose size is linear in the number of bytes. The crate
//! `parquet` has a reader too, but not for headers of pages, whose sizes have to be known before anything is allocated.
//!
//! A struct is a sequence of fields that ends in a stop byte. The byte in front of a field holds its type and the distance of its number
//! from that of the field before; integers are zigzag variable-length integers; lists and maps begin with their count.

/// Structs nested more deeply are refused; Parquet's own are nested less deeply.
const MAX_DEPTH: usize = 16;
/// A list's count that says: the count follows as a variable-length integer.
const LONG_COUNT: u8 = 15;

/// The types of the compact protocol.
mod wire {
    pub const STOP: u8 = 0;
    pub const TRUE: u8 = 1;
    pub const FALSE: u8 = 2;
    pub const BYTE: u8 = 3;
    pub const I16: u8 = 4;
    pub const I64: u8 = 6;
    pub const DOUBLE: u8 = 7;
    pub const BINARY: u8 = 8;
    pub const LIST: u8 = 9;
    pub const SET: u8 = 10;
    pub const MAP: u8 = 11;
    pub const STRUCT: u8 = 12;
    pub const UUID: u8 = 13;
}

/// The value of a field.
#[derive(Debug)]
pub(super) enum Value {
    Int(i64),
    List(Vec<Value>),
    Struct(Fields),
    /// A type that is not needed.
    Other,
}

/// A struct: its fields by number.
#[derive(Debug, Default)]
pub(super) struct Fields(Vec<(i16, Value)>);

impl Fields {
    /// Reads a struct, and returns it with its number of bytes; `None` if it is not sound.
    pub(super) fn read(bytes: &[u8]) -> Option<(Self, usize)> {
        let mut reader = Reader { bytes, position: 0 };
        let fields = reader.fields(0)?;
        Some((fields, reader.position))
    }

    fn get(&self, number: i16) -> Option<&Value> {
        self.0.iter().find(|field| field.0 == number).map(|field| &field.1)
    }

    pub(super) fn int(&self, number: i16) -> Option<i64> {
        if let Some(Value::Int(x)) = self.get(number) { Some(*x) } else { None }
    }

    /// A count, size or offset.
    pub(super) fn size(&self, number: i16) -> Option<usize> {
        self.int(number).and_then(|x| usize::try_from(x).ok())
    }

    pub(super) fn fields(&self, number: i16) -> Option<&Fields> {
        if let Some(Value::Struct(x)) = self.get(number) { Some(x) } else { None }
    }

    /// The structs of a list.
    pub(super) fn list(&self, number: i16) -> Option<Vec<&Fields>> {
        let Some(Value::List(list)) = self.get(number) else { return None };
        list.iter().map(|value| if let Value::Struct(x) = value { Some(x) } else { None }).collect()
    }
}

struct Reader<'a> {
    bytes: &'a [u8],
    position: usize,
}

impl<'a> Reader<'a> {
    fn byte(&mut self) -> Option<u8> {
        let byte = self.bytes.get(self.position).copied();
        self.position += 1;
        byte
    }

    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let taken = self.bytes.get(self.position..self.position.checked_add(count)?);
        self.position += count;
        taken
    }

    fn varint(&mut self) -> Option<u64> {
        let mut value = 0;
        for shift in (0..u64::BITS).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(value);
            }
        }
        None
    }

    fn zigzag(&mut self) -> Option<i64> {
        self.varint().map(|x| (x >> 1) as i64 ^ -((x & 1) as i64))
    }

    fn fields(&mut self, depth: usize) -> Option<Fields> {
        let (mut fields, mut number) = (Vec::new(), 0i16);
        loop {
            let head = self.byte()?;
            let (step, wire_type) = (head >> 4, head & 0x0f);
            if wire_type == wire::STOP {
                return Some(Fields(fields));
            }
            // A step of 0 says that the number itself follows.
            number = if step == 0 {
                self.zigzag()?.try_into().ok()?
            } else {
                number.checked_add(i16::from(step))?
            };
            let value = match wire_type {
                // The type of a boolean field is its value; no byte follows.
                wire::TRUE | wire::FALSE => Value::Int(i64::from(wire_type == wire::TRUE)),
                _ => self.value(wire_type, depth)?,
            };
            fields.push((number, value));
        }
    }

    fn value(&mut self, wire_type: u8, depth: usize) -> Option<Value> {
        if depth > MAX_DEPTH {
            return None;
        }
        Some(match wire_type {
            wire::TRUE | wire::FALSE => Value::Int(i64::from(self.byte()? == wire::TRUE)),
            wire::BYTE => Value::Int(i64::from(self.byte()? as i8)),
            wire::I16..=wire::I64 => Value::Int(self.zigzag()?),
            wire::DOUBLE => self.take(size_of::<f64>()).map(|_| Value::Other)?,
            wire::BINARY => {
                let length = self.varint()?.try_into().ok()?;
                self.take(length).map(|_| Value::Other)?
            }
            wire::LIST | wire::SET => self.list(depth)?,
            wire::MAP => self.map(depth)?,
            wire::STRUCT => Value::Struct(self.fields(depth + 1)?),
            wire::UUID => self.take(16).map(|_| Value::Other)?,
            _ => return None,
        })
    }

    /// An element has at least one byte, so the bytes bound the list.
    fn list(&mut self, depth: usize) -> Option<Value> {
        let head = self.byte()?;
        let (short_count, element_type) = (head >> 4, head & 0x0f);
        let count = if short_count == LONG_COUNT { self.varint()? } else { u64::from(short_count) };
        let mut values = Vec::new();
        for _ in 0..count {
            values.push(self.value(element_type, depth + 1)?);
        }
        Some(Value::List(values))
    }

    /// Reads over a map: Parquet's metadata needs none.
    fn map(&mut self, depth: usize) -> Option<Value> {
        let count = self.varint()?;
        let types = if count > 0 { self.byte()? } else { 0 };
        for _ in 0..count {
            self.value(types >> 4, depth + 1)?;
            self.value(types & 0x0f, depth + 1)?;
        }
        Some(Value::Other)
    }
}
