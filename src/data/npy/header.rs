//! The header of a NumPy file: magic, version, length, and a Python dictionary such as
//! `{'descr': '<f8', 'fortran_order': False, 'shape': (3, 4), }`.

use super::super::text::quoted;

/// The first bytes of every file. A version of two bytes follows, then the length of the dictionary: 2 bytes in version 1, 4 in later
/// ones.
const MAGIC: &[u8] = b"\x93NUMPY";
/// Where the major version is, and where the length of the dictionary begins.
const VERSION_OFFSET: usize = MAGIC.len();
const LENGTH_OFFSET: usize = VERSION_OFFSET + 2;

/// The type of an element; its size is apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ElementType {
    Float,
    Signed,
    Unsigned,
    Truth,
    /// Characters of 4 bytes (UTF-32), padded with zeros.
    Characters,
    /// Bytes, padded with zeros.
    Bytes,
}

#[derive(Clone, Debug)]
pub(super) struct Header {
    pub(super) element_type: ElementType,
    /// Bytes of an element.
    pub(super) size: usize,
    pub(super) big_endian: bool,
    pub(super) fortran_order: bool,
    pub(super) shape: Vec<usize>,
    /// Bytes before the first number.
    pub(super) length: usize,
}

/// A fault of a header. The caller adds the file.
#[derive(Debug)]
pub(super) struct Unexpected {
    pub(super) place: String,
    pub(super) expected: String,
    pub(super) found: String,
}

impl Header {
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, Unexpected> {
        let (start, length) = dictionary_range(bytes)?;
        let mut parser = Parser { bytes: &bytes[..length], position: start };
        let (mut descr, mut fortran_order, mut shape) = (None, None, None);
        parser.expect(b'{')?;
        while !parser.accept(b'}') {
            let (key_start, key) = (parser.position, parser.string()?);
            parser.expect(b':')?;
            match key {
                b"descr" => descr = Some(parser.element_type()?),
                b"fortran_order" => fortran_order = Some(parser.boolean()?),
                b"shape" => shape = Some(parser.shape()?),
                _ => {
                    return Err(
                        parser.unexpected(key_start, "the key descr, fortran_order or shape")
                    );
                }
            }
            if !parser.accept(b',') {
                parser.expect(b'}')?;
                break;
            }
        }
        match (descr, fortran_order, shape) {
            (Some((element_type, size, big_endian)), Some(fortran_order), Some(shape)) => {
                Ok(Header { element_type, size, big_endian, fortran_order, shape, length })
            }
            _ => Err(parser.unexpected(start, "a dictionary with descr, fortran_order and shape")),
        }
    }
}

/// Where the dictionary starts and ends.
fn dictionary_range(bytes: &[u8]) -> Result<(usize, usize), Unexpected> {
    let unexpected = |position: usize, expected: &str, found: String| Unexpected {
        place: format!("byte {position}"),
        expected: expected.into(),
        found,
    };
    let end_of_file = |expected| unexpected(bytes.len(), expected, "the end of the file".into());
    if !bytes.starts_with(MAGIC) {
        let found = format!("{:02x?}", &bytes[..bytes.len().min(MAGIC.len())]);
        return Err(unexpected(0, "a NumPy file, which starts with 93 N U M P Y", found));
    }
    let (start, length) =
        match (bytes.get(VERSION_OFFSET), bytes.get(LENGTH_OFFSET..LENGTH_OFFSET + 4)) {
            (Some(1), Some(&[a, b, ..])) => {
                (LENGTH_OFFSET + 2, u32::from(u16::from_le_bytes([a, b])))
            }
            (Some(2 | 3), Some(&[a, b, c, d])) => {
                (LENGTH_OFFSET + 4, u32::from_le_bytes([a, b, c, d]))
            }
            (Some(1..=3) | None, _) => return Err(end_of_file("the rest of the header")),
            (Some(version), _) => {
                return Err(unexpected(
                    VERSION_OFFSET,
                    "format version 1, 2 or 3",
                    version.to_string(),
                ));
            }
        };
    match usize::try_from(length).ok().and_then(|length| length.checked_add(start)) {
        Some(end) if end <= bytes.len() => Ok((start, end)),
        _ => Err(end_of_file(&format!("a header of {length} bytes"))),
    }
}

/// A parser of the Python literals that a header has. Every method skips spaces first.
struct Parser<'a> {
    /// The file up to the end of the header.
    bytes: &'a [u8],
    position: usize,
}

impl<'a> Parser<'a> {
    fn skip_spaces(&mut self) {
        while self.bytes.get(self.position).is_some_and(u8::is_ascii_whitespace) {
            self.position += 1;
        }
    }

    fn accept(&mut self, byte: u8) -> bool {
        self.skip_spaces();
        let there = self.bytes.get(self.position) == Some(&byte);
        self.position += usize::from(there);
        there
    }

    fn expect(&mut self, byte: u8) -> Result<(), Unexpected> {
        if self.accept(byte) {
            Ok(())
        } else {
            Err(self.unexpected(self.position, &format!("{:?}", byte as char)))
        }
    }

    fn take_while(&mut self, wanted: impl Fn(&u8) -> bool) -> &'a [u8] {
        let rest = self.bytes.get(self.position..).unwrap_or_default();
        let taken = &rest[..rest.iter().position(|byte| !wanted(byte)).unwrap_or(rest.len())];
        self.position += taken.len();
        taken
    }

    fn string(&mut self) -> Result<&'a [u8], Unexpected> {
        let quote = if self.accept(b'"') { b'"' } else { b'\'' };
        if quote == b'\'' && !self.accept(quote) {
            return Err(self.unexpected(self.position, "a string in quotes"));
        }
        let text = self.take_while(|&byte| byte != quote);
        self.position += 1;
        Ok(text)
    }

    fn boolean(&mut self) -> Result<bool, Unexpected> {
        self.skip_spaces();
        let start = self.position;
        match self.take_while(u8::is_ascii_alphabetic) {
            b"True" => Ok(true),
            b"False" => Ok(false),
            _ => Err(self.unexpected(start, "True or False")),
        }
    }

    fn shape(&mut self) -> Result<Vec<usize>, Unexpected> {
        self.expect(b'(')?;
        let mut shape = Vec::new();
        while !self.accept(b')') {
            shape.push(self.integer()?);
            if !self.accept(b',') {
                self.expect(b')')?;
                break;
            }
        }
        Ok(shape)
    }

    fn integer(&mut self) -> Result<usize, Unexpected> {
        self.skip_spaces();
        let start = self.position;
        let digits = std::str::from_utf8(self.take_while(u8::is_ascii_digit)).unwrap_or_default();
        self.take_while(|&byte| byte == b'L'); // Python 2 wrote (3L, 4L)
        digits
            .parse()
            .map_err(|_| self.unexpected(start, "a size of at least 0 that fits in memory"))
    }

    /// The kind and size of an element such as '<f8', and whether it is big-endian.
    fn element_type(&mut self) -> Result<(ElementType, usize, bool), Unexpected> {
        const EXPECTED: &str = "a type of number or text: f2 to f8, i1 to i8, u1 to u8, b1, U or S with a length, with < > or | before it";
        self.skip_spaces();
        let start = self.position;
        let known = match self.string() {
            Ok([order @ (b'<' | b'>' | b'|'), kind, size @ ..]) => element(*kind, size)
                .filter(|&(kind, size)| *order != b'|' || size == 1 || kind == ElementType::Bytes)
                .map(|(kind, size)| (kind, size, *order == b'>')),
            _ => None,
        };
        known.ok_or_else(|| self.unexpected(start, EXPECTED))
    }

    fn unexpected(&self, position: usize, expected: &str) -> Unexpected {
        let found = match self.bytes.get(position..).unwrap_or_default() {
            [] => "the end of the header".into(),
            rest => quoted(&String::from_utf8_lossy(&rest[..rest.len().min(60)])),
        };
        Unexpected { place: format!("byte {position}"), expected: expected.into(), found }
    }
}

/// The type and the size in bytes of an element such as f8 or U5.
fn element(kind: u8, size: &[u8]) -> Option<(ElementType, usize)> {
    const MAX_TEXT: usize = 1 << 16;
    let size: usize = std::str::from_utf8(size).ok()?.parse().ok()?;
    match (kind, size) {
        (b'f', 2 | 4 | 8) => Some((ElementType::Float, size)),
        (b'i', 1 | 2 | 4 | 8) => Some((ElementType::Signed, size)),
        (b'u', 1 | 2 | 4 | 8) => Some((ElementType::Unsigned, size)),
        (b'b', 1) => Some((ElementType::Truth, size)),
        (b'U', 1..=MAX_TEXT) => Some((ElementType::Characters, 4 * size)),
        (b'S', 1..=MAX_TEXT) => Some((ElementType::Bytes, size)),
        _ => None,
    }
}
