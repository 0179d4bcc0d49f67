//! The elements of a tensor, from JSON or from bytes.

use std::borrow::Cow;

use crate::fault::Fault;
use crate::rows::Cell;

/// What the elements of a tensor are.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Datatype {
    Bool,
    /// Bytes, and whether there is a sign.
    Integer(usize, bool),
    /// A number of so many bytes.
    Float(usize),
    /// The upper half of an f32.
    Bfloat16,
    Bytes,
}

impl Datatype {
    const NAMES: &[(&str, Datatype)] = &[
        ("BOOL", Datatype::Bool),
        ("INT8", Datatype::Integer(1, true)),
        ("INT16", Datatype::Integer(2, true)),
        ("INT32", Datatype::Integer(4, true)),
        ("INT64", Datatype::Integer(8, true)),
        ("UINT8", Datatype::Integer(1, false)),
        ("UINT16", Datatype::Integer(2, false)),
        ("UINT32", Datatype::Integer(4, false)),
        ("UINT64", Datatype::Integer(8, false)),
        ("FP16", Datatype::Float(2)),
        ("FP32", Datatype::Float(4)),
        ("FP64", Datatype::Float(8)),
        ("BF16", Datatype::Bfloat16),
        ("BYTES", Datatype::Bytes),
    ];

    pub(super) fn named(name: &str) -> Option<Self> {
        Self::NAMES.iter().find(|(known, _)| *known == name).map(|(_, datatype)| *datatype)
    }

    pub(super) fn names() -> String {
        Self::NAMES.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ")
    }

    /// Bytes of an element; `None` where they differ.
    fn size(self) -> Option<usize> {
        match self {
            Datatype::Bool => Some(1),
            Datatype::Integer(size, _) | Datatype::Float(size) => Some(size),
            Datatype::Bfloat16 => Some(2),
            Datatype::Bytes => None,
        }
    }

    /// An element from JSON as one of a row; or what was expected, and what was found. In tensors, as in NumPy, NaN is a missing number.
    pub(super) fn checked<'a>(self, element: Cell<'a>) -> Result<Cell<'a>, (String, String)> {
        let found = shown(&element);
        let wrong = |expected: &str| Err((expected.to_owned(), found.to_owned()));
        match (self, element) {
            (_, Cell::Missing) => Ok(Cell::Missing),
            (Datatype::Bool, Cell::Bool(x)) => Ok(Cell::Bool(x)),
            (Datatype::Integer(size, signed), Cell::Integer(x)) => {
                let bits = 8 * size as u32;
                let (low, high) =
                    if signed { (-(1 << (bits - 1)), 1 << (bits - 1)) } else { (0, 1i128 << bits) };
                if (low..high).contains(&x) {
                    Ok(Cell::Integer(x))
                } else {
                    Err((format!("a whole number from {low} to {}", high - 1), x.to_string()))
                }
            }
            (Datatype::Integer(..), _) => wrong("a whole number"),
            (Datatype::Float(_) | Datatype::Bfloat16, Cell::Integer(x)) => {
                Ok(Cell::Number(x as f64))
            }
            (Datatype::Float(_) | Datatype::Bfloat16, Cell::Number(x)) => Ok(Cell::Number(x)),
            (Datatype::Float(_) | Datatype::Bfloat16, _) => wrong("a number"),
            (Datatype::Bytes, Cell::Text(text)) => Ok(text_or_gap(text)),
            (Datatype::Bool, _) => wrong("true or false"),
            (Datatype::Bytes, _) => wrong("a text"),
        }
    }

    /// The elements in bytes, which must be `count`.
    pub(super) fn read<'a>(
        self,
        field: &str,
        bytes: &'a [u8],
        count: usize,
    ) -> Result<Vec<Cell<'a>>, Fault> {
        let Some(size) = self.size() else { return texts(field, bytes, count) };
        if Some(bytes.len()) != count.checked_mul(size) {
            let expected = format!("{size} bytes for each of {count} elements");
            return Err(Fault::input(field, expected, format!("{} bytes", bytes.len())));
        }
        Ok(bytes.chunks_exact(size).map(|bytes| self.element(bytes)).collect())
    }

    /// The numbers in bytes of FP32 or FP64, where there are so many and none is missing.
    pub(super) fn numbers(self, bytes: &[u8], count: usize) -> Option<Vec<f64>> {
        let numbers: Vec<f64> = match self {
            Datatype::Float(4) => {
                let (numbers, _) = bytes.as_chunks::<4>();
                numbers.iter().map(|&bytes| f64::from(f32::from_le_bytes(bytes))).collect()
            }
            Datatype::Float(8) => {
                let (numbers, _) = bytes.as_chunks::<8>();
                numbers.iter().map(|&bytes| f64::from_le_bytes(bytes)).collect()
            }
            _ => return None,
        };
        let is_whole = Some(bytes.len()) == count.checked_mul(self.size()?);
        (is_whole && !numbers.iter().any(|x| x.is_nan())).then_some(numbers)
    }

    /// An element in so many bytes as the datatype has.
    fn element(self, bytes: &[u8]) -> Cell<'static> {
        // Little-endian, with zeros or the sign in front.
        let negative = matches!(self, Datatype::Integer(_, true))
            && bytes.last().is_some_and(|byte| byte & 0x80 != 0);
        let mut wide = [if negative { 0xff } else { 0 }; 16];
        wide[..bytes.len()].copy_from_slice(bytes);
        let whole = i128::from_le_bytes(wide);
        match self {
            Datatype::Bool => Cell::Bool(whole != 0),
            Datatype::Float(2) => number(half(whole as u16)),
            Datatype::Float(4) => number(f64::from(f32::from_bits(whole as u32))),
            Datatype::Float(_) => number(f64::from_bits(whole as u64)),
            Datatype::Bfloat16 => number(f64::from(f32::from_bits((whole as u32) << 16))),
            Datatype::Integer(..) | Datatype::Bytes => Cell::Integer(whole),
        }
    }
}

/// What an element of JSON is, for messages.
fn shown(element: &Cell<'_>) -> &'static str {
    match element {
        Cell::Text(_) => "a text",
        Cell::Bool(_) => "a bool",
        Cell::Integer(_) => "a whole number",
        Cell::Number(_) => "a number with decimals",
        Cell::Missing => "null",
        Cell::List | Cell::Object => "a list",
    }
}

fn number(x: f64) -> Cell<'static> {
    if x.is_nan() { Cell::Missing } else { Cell::Number(x) }
}

/// An empty text is a missing one, as in CSV.
fn text_or_gap(text: Cow<'_, str>) -> Cell<'_> {
    if text.is_empty() { Cell::Missing } else { Cell::Text(text) }
}

/// Texts, each behind its length in four bytes.
fn texts<'a>(field: &str, mut bytes: &'a [u8], count: usize) -> Result<Vec<Cell<'a>>, Fault> {
    let mut texts = Vec::new();
    while let Some((length, rest)) = bytes.split_first_chunk::<4>() {
        let length = u32::from_le_bytes(*length) as usize;
        let element = format!("{field}, element {} (counted from 0)", texts.len());
        if length > rest.len() {
            let found = format!("{}", rest.len());
            return Err(Fault::input(element, format!("{length} bytes of text"), found));
        }
        let (text, rest) = rest.split_at(length);
        let text = std::str::from_utf8(text)
            .map_err(|error| Fault::input(element, "UTF-8 text", error.to_string()))?;
        texts.push(text_or_gap(text.into()));
        bytes = rest;
    }
    if !bytes.is_empty() {
        let found = format!("{} bytes behind the last text", bytes.len());
        return Err(Fault::input(field, "texts, each behind its length in 4 bytes", found));
    }
    if texts.len() != count {
        let (expected, found) = (format!("{count} elements"), format!("{} texts", texts.len()));
        return Err(Fault::input(field, expected, found));
    }
    Ok(texts)
}

/// An IEEE 754 number of 16 bits.
fn half(bits: u16) -> f64 {
    let sign = if bits >> 15 == 1 { -1.0 } else { 1.0 };
    let (exponent, fraction) = (i32::from(bits >> 10 & 0x1f), f64::from(bits & 0x3ff) / 1024.0);
    match exponent {
        0 => sign * fraction * 2f64.powi(-14),
        31 if fraction == 0.0 => sign * f64::INFINITY,
        31 => f64::NAN,
        _ => sign * (1.0 + fraction) * 2f64.powi(exponent - 15),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_are_those_of_the_standard() {
        // https://en.wikipedia.org/wiki/Half-precision_floating-point_format#Half_precision_examples
        let known = [
            (0x0001, 5.960_464_477_539_063e-8),
            (0x03ff, 6.097_555_160_522_461e-5),
            (0x3555, 0.333_251_953_125),
            (0x7bff, 65_504.0),
            (0xc000, -2.0),
            (0x7c00, f64::INFINITY),
        ];
        known.iter().for_each(|(bits, number)| assert_eq!(half(*bits), *number));
        assert!(half(0x7e00).is_nan());
    }

    #[test]
    fn whole_numbers_have_signs() {
        fn read<'b>(name: &str, bytes: &'b [u8]) -> Cell<'b> {
            Datatype::named(name).unwrap().read("data", bytes, 1).unwrap().remove(0)
        }
        assert_eq!(read("INT8", &[0xfe]), Cell::Integer(-2));
        assert_eq!(read("UINT8", &[0xfe]), Cell::Integer(254));
        assert_eq!(read("INT64", &[0, 0, 0, 0, 0, 0, 0, 0x80]), Cell::Integer(i64::MIN.into()));
        assert_eq!(read("UINT64", &[0xff; 8]), Cell::Integer(u64::MAX.into()));
        assert_eq!(read("FP32", &1.5f32.to_le_bytes()), Cell::Number(1.5));
        assert_eq!(read("BF16", &[0xc0, 0x3f]), Cell::Number(1.5));
    }
}
