//! Thrift's compact protocol, in which Parquet writes its metadata: read into a tree, whose size the bytes at hand bound.

/// Structs within structs; Parquet's own are less deep.
const DEEPEST: usize = 16;

/// What stands in a field.
#[derive(Debug)]
pub(super) enum Value<'a> {
    Int(i64),
    Bytes(&'a [u8]),
    List(Vec<Value<'a>>),
    Struct(Fields<'a>),
    /// Of no interest to us.
    Other,
}

/// A struct: its fields by number.
#[derive(Debug, Default)]
pub(super) struct Fields<'a>(Vec<(i16, Value<'a>)>);

impl<'a> Fields<'a> {
    /// Reads a struct, and how many bytes it took; nothing if it is not sound.
    pub(super) fn read(bytes: &'a [u8]) -> Option<(Self, usize)> {
        let mut reader = Reader { bytes, position: 0 };
        let fields = reader.fields(0)?;
        Some((fields, reader.position))
    }

    fn get(&self, number: i16) -> Option<&Value<'a>> {
        self.0.iter().find(|field| field.0 == number).map(|field| &field.1)
    }

    pub(super) fn int(&self, number: i16) -> Option<i64> {
        if let Some(Value::Int(x)) = self.get(number) { Some(*x) } else { None }
    }

    /// A count, size or offset.
    pub(super) fn size(&self, number: i16) -> Option<usize> {
        self.int(number).and_then(|x| usize::try_from(x).ok())
    }

    pub(super) fn text(&self, number: i16) -> Option<&'a str> {
        if let Some(Value::Bytes(x)) = self.get(number) {
            std::str::from_utf8(x).ok()
        } else {
            None
        }
    }

    pub(super) fn fields(&self, number: i16) -> Option<&Fields<'a>> {
        if let Some(Value::Struct(x)) = self.get(number) { Some(x) } else { None }
    }

    /// The structs of a list.
    pub(super) fn list(&self, number: i16) -> Option<Vec<&Fields<'a>>> {
        let Some(Value::List(list)) = self.get(number) else { return None };
        list.iter().map(|value| if let Value::Struct(x) = value { Some(x) } else { None }).collect()
    }

    /// The number of the only field, as of a union.
    pub(super) fn variant(&self) -> Option<i16> {
        self.0.first().map(|field| field.0)
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
        for shift in (0..64).step_by(7) {
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

    fn fields(&mut self, depth: usize) -> Option<Fields<'a>> {
        let (mut fields, mut number) = (Vec::new(), 0i16);
        loop {
            let head = self.byte()?;
            let (step, kind) = (head >> 4, head & 0x0f);
            if kind == 0 {
                return Some(Fields(fields));
            }
            number = if step == 0 {
                self.zigzag()?.try_into().ok()?
            } else {
                number.checked_add(i16::from(step))?
            };
            let value = match kind {
                // A field's boolean is its type.
                1 | 2 => Value::Int(i64::from(kind == 1)),
                _ => self.value(kind, depth)?,
            };
            fields.push((number, value));
        }
    }

    fn value(&mut self, kind: u8, depth: usize) -> Option<Value<'a>> {
        if depth > DEEPEST {
            return None;
        }
        Some(match kind {
            1 | 2 => Value::Int(i64::from(self.byte()? == 1)),
            3 => Value::Int(i64::from(self.byte()? as i8)),
            4..=6 => Value::Int(self.zigzag()?),
            7 => self.take(8).map(|_| Value::Other)?,
            8 => {
                let length = self.varint()?.try_into().ok()?;
                Value::Bytes(self.take(length)?)
            }
            9 | 10 => {
                let head = self.byte()?;
                let count = if head >> 4 == 15 { self.varint()? } else { u64::from(head >> 4) };
                self.list(count, head & 0x0f, depth)?
            }
            11 => {
                let count = self.varint()?;
                let kinds = if count > 0 { self.byte()? } else { 0 };
                for _ in 0..count {
                    self.value(kinds >> 4, depth + 1)?;
                    self.value(kinds & 0x0f, depth + 1)?;
                }
                Value::Other
            }
            12 => Value::Struct(self.fields(depth + 1)?),
            13 => self.take(16).map(|_| Value::Other)?,
            _ => return None,
        })
    }

    /// An element takes a byte at least, so that the bytes bound the list.
    fn list(&mut self, count: u64, kind: u8, depth: usize) -> Option<Value<'a>> {
        let mut values = Vec::new();
        for _ in 0..count {
            values.push(self.value(kind, depth + 1)?);
        }
        Some(Value::List(values))
    }
}
