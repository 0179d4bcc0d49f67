//! Values of columns, and the types that they are stored in.

/// How the values of a column are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ValueType {
    Boolean,
    Int32 { signed: bool },
    Int64 { signed: bool },
    Float,
    Double,
    Text,
}

/// A value of a column.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Cell<'a> {
    Missing,
    /// Wide enough for every signed and unsigned integer of 64 bits.
    Integer(i128),
    Float(f64),
    Text(&'a str),
}

impl Cell<'_> {
    /// The value as text; `None` where it is missing.
    pub(super) fn text(self) -> Option<String> {
        match self {
            Cell::Missing => None,
            Cell::Integer(x) => Some(x.to_string()),
            Cell::Float(x) => (!x.is_nan()).then(|| x.to_string()),
            Cell::Text(text) => Some(text.to_owned()),
        }
    }

    /// The value as a number, NaN where it is missing; `None` for a text.
    pub(super) fn number(self) -> Option<f64> {
        match self {
            Cell::Missing => Some(f64::NAN),
            Cell::Integer(x) => Some(x as f64),
            Cell::Float(x) => Some(x),
            Cell::Text(_) => None,
        }
    }
}
