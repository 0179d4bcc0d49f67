//! Raw rows in JSON: an object, a list of objects, or a list of lists of values in the order of the columns.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::ser::{SerializeMap, SerializeSeq, Serializer};
use serde::{Deserialize, Serialize};

use crate::fault::Fault;

/// A value of a row.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Cell<'a> {
    Missing,
    Bool(bool),
    Integer(i128),
    Number(f64),
    Text(Cow<'a, str>),
    /// No value of a row; its content is not kept.
    List,
    /// As [`Cell::List`].
    Object,
}

/// A row.
pub(crate) enum Row<'a> {
    /// Names and values, in the order of the text. Names may come twice.
    Record(Vec<(Cow<'a, str>, Cell<'a>)>),
    /// The values of all columns.
    List(Vec<Cell<'a>>),
}

impl Row<'_> {
    pub(crate) fn values(&self) -> usize {
        match self {
            Row::Record(fields) => fields.len(),
            Row::List(values) => values.len(),
        }
    }
}

/// The rows of a body.
struct Rows<'a> {
    rows: Vec<Row<'a>>,
    count: usize,
}

/// Rows that are kept; more are only counted.
const MOST_KEPT: usize = 1 << 20;

/// Reads the rows of a body.
pub(crate) fn parse(body: &[u8], max_rows: usize) -> Result<Vec<Row<'_>>, Fault> {
    let rows: Rows<'_> = serde_json::from_slice(body).map_err(|error| unreadable(&error))?;
    check_count(rows.count, max_rows)?;
    Ok(rows.rows)
}

/// Refuses more rows than the limit.
pub(crate) fn check_count(rows: usize, max_rows: usize) -> Result<(), Fault> {
    if rows <= max_rows.min(MOST_KEPT) {
        return Ok(());
    }
    let expected = format!("at most {max_rows} rows a request");
    Err(Fault::too_large("rows", expected, format!("{rows} rows")))
}

const EXPECTED: &str = "a JSON object with a value for each column, or a list of such objects";

/// Why a body cannot be read as JSON.
pub(crate) fn unreadable(error: &serde_json::Error) -> Fault {
    Fault::input("body", EXPECTED, error.to_string())
}

impl<'de> Deserialize<'de> for Rows<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RowsVisitor)
    }
}

struct RowsVisitor;

impl<'de> Visitor<'de> for RowsVisitor {
    type Value = Rows<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(EXPECTED)
    }

    fn visit_map<M: MapAccess<'de>>(self, map: M) -> Result<Rows<'de>, M::Error> {
        Ok(Rows { rows: vec![RowVisitor.visit_map(map)?], count: 1 })
    }

    fn visit_seq<S: SeqAccess<'de>>(self, mut sequence: S) -> Result<Rows<'de>, S::Error> {
        let (mut rows, mut count) = (Vec::new(), 0);
        while rows.len() < MOST_KEPT {
            let Some(row) = sequence.next_element()? else {
                return Ok(Rows { count: rows.len(), rows });
            };
            rows.push(row);
            count = rows.len();
        }
        while sequence.next_element::<IgnoredAny>()?.is_some() {
            count += 1;
        }
        Ok(Rows { rows, count })
    }
}

impl<'de> Deserialize<'de> for Row<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RowVisitor)
    }
}

struct RowVisitor;

impl<'de> Visitor<'de> for RowVisitor {
    type Value = Row<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with a value for each column, or a list of all values")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Row<'de>, M::Error> {
        let mut fields = Vec::new();
        while let Some((Name(name), value)) = map.next_entry()? {
            fields.push((name, value));
        }
        Ok(Row::Record(fields))
    }

    fn visit_seq<S: SeqAccess<'de>>(self, mut sequence: S) -> Result<Row<'de>, S::Error> {
        let mut values = Vec::new();
        while let Some(value) = sequence.next_element()? {
            values.push(value);
        }
        Ok(Row::List(values))
    }
}

/// A text of which nothing is copied unless it has escapes.
pub(crate) struct Name<'a>(pub(crate) Cow<'a, str>);

impl<'de> Deserialize<'de> for Name<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;

        impl<'de> Visitor<'de> for Text {
            type Value = Name<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text")
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Name<'de>, E> {
                Ok(Name(Cow::Borrowed(text)))
            }

            fn visit_str<E>(self, text: &str) -> Result<Name<'de>, E> {
                Ok(Name(Cow::Owned(text.to_owned())))
            }
        }

        deserializer.deserialize_str(Text)
    }
}

impl<'de> Deserialize<'de> for Cell<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(CellVisitor)
    }
}

struct CellVisitor;

impl<'de> Visitor<'de> for CellVisitor {
    type Value = Cell<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_bool<E>(self, x: bool) -> Result<Cell<'de>, E> {
        Ok(Cell::Bool(x))
    }

    fn visit_i64<E>(self, x: i64) -> Result<Cell<'de>, E> {
        Ok(Cell::Integer(x.into()))
    }

    fn visit_u64<E>(self, x: u64) -> Result<Cell<'de>, E> {
        Ok(Cell::Integer(x.into()))
    }

    fn visit_f64<E>(self, x: f64) -> Result<Cell<'de>, E> {
        Ok(Cell::Number(x))
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Cell<'de>, E> {
        Ok(Cell::Text(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Cell<'de>, E> {
        Ok(Cell::Text(Cow::Owned(text.to_owned())))
    }

    fn visit_unit<E>(self) -> Result<Cell<'de>, E> {
        Ok(Cell::Missing)
    }

    fn visit_seq<S: SeqAccess<'de>>(self, mut sequence: S) -> Result<Cell<'de>, S::Error> {
        while sequence.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Cell::List)
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Cell<'de>, M::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Cell::Object)
    }
}

/// As the library reads it.
impl Serialize for Cell<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Cell::Missing => serializer.serialize_none(),
            Cell::Bool(x) => serializer.serialize_bool(*x),
            Cell::Integer(x) => serializer.serialize_i128(*x),
            Cell::Number(x) => serializer.serialize_f64(*x),
            Cell::Text(text) => serializer.serialize_str(text),
            Cell::List => serializer.serialize_seq(Some(0))?.end(),
            Cell::Object => serializer.serialize_map(Some(0))?.end(),
        }
    }
}

impl Cell<'_> {
    pub(crate) fn number(&self) -> Option<f64> {
        match self {
            Cell::Integer(x) => Some(*x as f64),
            Cell::Number(x) => Some(*x),
            _ => None,
        }
    }
}

/// A record of names and values, as the library reads it.
pub(crate) struct Fields<'r, 'a>(pub(crate) &'r [(Cow<'a, str>, Cell<'a>)]);

impl Serialize for Fields<'_, '_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        self.0.iter().try_for_each(|(name, value)| map.serialize_entry(&**name, value))?;
        map.end()
    }
}
