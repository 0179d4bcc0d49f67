//! Records of any serializable type, written column by column into the features of a sample. Nothing is allocated unless a
//! record is refused.
//!
//! [`Walk`] is the serializer: it turns whatever a type serializes into calls of a [`Sink`]. There are three sinks: the record
//! as a whole accepts fields alone, a key accepts a text alone, and a column accepts one [`Value`].

use std::fmt;

use serde::ser::{self, Impossible, Serialize, SerializeMap, SerializeStruct};

use super::schema::{Fit, Misfit, Origin, Schema, Value};
use crate::error::{Error, Result};

/// Where the values of one record go.
pub(super) struct RecordWriter<'a> {
    pub(super) schema: &'a Schema,
    pub(super) origin: Origin,
    /// The features of the sample before they are standardized; 0 where nothing is written.
    pub(super) features: &'a mut [f64],
    /// For each column, whether the record had it; all false before.
    pub(super) seen: &'a mut [bool],
    /// Whether texts that training did not see are accepted.
    pub(super) accepts_unknown: bool,
    /// For each column, what became of its value.
    pub(super) fits: &'a mut [Fit],
}

impl RecordWriter<'_> {
    /// Writes a map or a struct that has a value for every column. Fields of other names are ignored.
    pub(super) fn write<R: Serialize + ?Sized>(&mut self, record: &R) -> Result<()> {
        record.serialize(Walk(Whole(self))).map_err(|refused| refused.0)?;
        match self.seen.iter().position(|seen| !seen) {
            Some(column) => Err(self.lacking(column)),
            None => Ok(()),
        }
    }

    /// Writes the values of all columns in their order.
    pub(super) fn write_values<V: Serialize>(&mut self, values: &[V]) -> Result<()> {
        let columns = self.seen.len();
        if values.len() != columns {
            let expected = format!("{columns}, one value for each column");
            let found = values.len().to_string();
            return Err(Error::format(self.origin.to_string(), "length", expected, found));
        }
        let mut pairs = values.iter().enumerate();
        pairs
            .try_for_each(|(column, value)| self.write_column(Some(column), value))
            .map_err(|refused| refused.0)
    }

    /// The error for the first column that the record lacks; it counts the others.
    fn lacking(&self, column: usize) -> Error {
        let others = self.seen.iter().filter(|seen| !**seen).count() - 1;
        let found = match others {
            0 => "no field of this name".to_owned(),
            _ => format!("no field of this name, nor those of {others} more columns"),
        };
        self.schema.misfit(self.origin, column, ("a value".to_owned(), found))
    }

    fn write_column<V: Serialize + ?Sized>(
        &mut self,
        column: Option<usize>,
        value: &V,
    ) -> Result<(), Refused> {
        let Some(column) = column else { return Ok(()) };
        if std::mem::replace(&mut self.seen[column], true) {
            return Err(self.refused(column, ("one value".to_owned(), "a second one".to_owned())));
        }
        value.serialize(Walk(Cell { record: self, column }))
    }

    fn write_value(&mut self, column: usize, value: Value<'_>) -> Result<(), Refused> {
        match self.schema.write(column, value, self.features) {
            Ok(Fit::Unknown) if !self.accepts_unknown => {
                Err(self.refused(column, self.schema.unknown(column, value)))
            }
            Ok(fit) => {
                self.fits[column] = fit;
                Ok(())
            }
            Err(misfit) => Err(self.refused(column, misfit)),
        }
    }

    fn refused(&self, column: usize, misfit: Misfit) -> Refused {
        Refused(self.schema.misfit(self.origin, column, misfit))
    }
}

/// Why a record is refused.
#[derive(Debug)]
struct Refused(Error);

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for Refused {}

impl ser::Error for Refused {
    fn custom<M: fmt::Display>(message: M) -> Self {
        Refused(Error::argument("predict_record", message.to_string()))
    }
}

/// What a value that is serialized may be.
trait Sink: Sized {
    /// Where fields go.
    type Fields: SerializeMap<Ok = (), Error = Refused> + SerializeStruct<Ok = (), Error = Refused>;

    /// A single value.
    fn value(self, value: Value<'_>) -> Result<(), Refused>;

    /// A map or a struct.
    fn fields(self) -> Result<Self::Fields, Refused>;

    /// The error for anything else.
    fn refuse(self, found: &str) -> Refused;
}

/// The record as a whole.
struct Whole<'w, 'a>(&'w mut RecordWriter<'a>);

impl<'w, 'a> Sink for Whole<'w, 'a> {
    type Fields = Fields<'w, 'a>;

    fn value(self, value: Value<'_>) -> Result<(), Refused> {
        Err(self.refuse(&value.to_string()))
    }

    fn fields(self) -> Result<Self::Fields, Refused> {
        Ok(Fields { record: self.0, column: None })
    }

    fn refuse(self, found: &str) -> Refused {
        let expected = "a map or a struct with a value for each column";
        Refused(Error::format(self.0.origin.to_string(), "type", expected, found))
    }
}

/// The fields of a record.
struct Fields<'w, 'a> {
    record: &'w mut RecordWriter<'a>,
    /// The column of the last key, if the model has it.
    column: Option<usize>,
}

impl SerializeStruct for Fields<'_, '_> {
    type Ok = ();
    type Error = Refused;

    fn serialize_field<V: Serialize + ?Sized>(
        &mut self,
        name: &'static str,
        value: &V,
    ) -> Result<(), Refused> {
        let column = self.record.schema.find(name);
        self.record.write_column(column, value)
    }

    fn end(self) -> Result<(), Refused> {
        Ok(())
    }
}

impl SerializeMap for Fields<'_, '_> {
    type Ok = ();
    type Error = Refused;

    fn serialize_key<K: Serialize + ?Sized>(&mut self, key: &K) -> Result<(), Refused> {
        key.serialize(Walk(Key(self)))
    }

    fn serialize_value<V: Serialize + ?Sized>(&mut self, value: &V) -> Result<(), Refused> {
        self.record.write_column(self.column.take(), value)
    }

    fn end(self) -> Result<(), Refused> {
        Ok(())
    }
}

/// A key of a map: the name of a column.
struct Key<'f, 'w, 'a>(&'f mut Fields<'w, 'a>);

impl Sink for Key<'_, '_, '_> {
    type Fields = Impossible<(), Refused>;

    fn value(self, value: Value<'_>) -> Result<(), Refused> {
        let Value::Text(name) = value else { return Err(self.refuse(&value.to_string())) };
        self.0.column = self.0.record.schema.find(name);
        Ok(())
    }

    fn fields(self) -> Result<Self::Fields, Refused> {
        Err(self.refuse("a map or a struct"))
    }

    fn refuse(self, found: &str) -> Refused {
        let origin = self.0.record.origin.to_string();
        Refused(Error::format(origin, "key", "the name of a column, a text", found))
    }
}

/// The value of one column.
struct Cell<'w, 'a> {
    record: &'w mut RecordWriter<'a>,
    column: usize,
}

impl Sink for Cell<'_, '_> {
    type Fields = Impossible<(), Refused>;

    fn value(self, value: Value<'_>) -> Result<(), Refused> {
        self.record.write_value(self.column, value)
    }

    fn fields(self) -> Result<Self::Fields, Refused> {
        Err(self.refuse("a map or a struct"))
    }

    fn refuse(self, found: &str) -> Refused {
        self.record.refused(self.column, ("a single value".to_owned(), found.to_owned()))
    }
}

/// Serializes into a sink.
struct Walk<S>(S);

/// Methods that hand a single value to the sink.
macro_rules! values {
    ($($method:ident($type:ty) $value:expr;)*) => {
        $(fn $method(self, x: $type) -> Result<(), Refused> {
            let value: fn($type) -> Value<'static> = $value;
            self.0.value(value(x))
        })*
    };
}

impl<S: Sink> ser::Serializer for Walk<S> {
    type Ok = ();
    type Error = Refused;
    type SerializeSeq = Impossible<(), Refused>;
    type SerializeTuple = Impossible<(), Refused>;
    type SerializeTupleStruct = Impossible<(), Refused>;
    type SerializeTupleVariant = Impossible<(), Refused>;
    type SerializeMap = S::Fields;
    type SerializeStruct = S::Fields;
    type SerializeStructVariant = Impossible<(), Refused>;

    values! {
        serialize_bool(bool) Value::Bool;
        serialize_i8(i8) |x| Value::Integer(x.into());
        serialize_i16(i16) |x| Value::Integer(x.into());
        serialize_i32(i32) |x| Value::Integer(x.into());
        serialize_i64(i64) |x| Value::Integer(x.into());
        serialize_i128(i128) Value::Integer;
        serialize_u8(u8) |x| Value::Integer(x.into());
        serialize_u16(u16) |x| Value::Integer(x.into());
        serialize_u32(u32) |x| Value::Integer(x.into());
        serialize_u64(u64) |x| Value::Integer(x.into());
        serialize_f32(f32) |x| Value::Number(x.into());
        serialize_f64(f64) Value::Number;
    }

    fn serialize_char(self, x: char) -> Result<(), Refused> {
        self.0.value(Value::Text(x.encode_utf8(&mut [0; 4])))
    }

    fn serialize_str(self, text: &str) -> Result<(), Refused> {
        self.0.value(Value::Text(text))
    }

    fn serialize_bytes(self, _: &[u8]) -> Result<(), Refused> {
        Err(self.0.refuse("bytes"))
    }

    fn serialize_none(self) -> Result<(), Refused> {
        self.0.value(Value::Missing)
    }

    fn serialize_some<V: Serialize + ?Sized>(self, value: &V) -> Result<(), Refused> {
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result<(), Refused> {
        self.0.value(Value::Missing)
    }

    fn serialize_unit_struct(self, _: &'static str) -> Result<(), Refused> {
        self.0.value(Value::Missing)
    }

    /// A value of an enumeration is the text of its name.
    fn serialize_unit_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
    ) -> Result<(), Refused> {
        self.0.value(Value::Text(variant))
    }

    fn serialize_newtype_struct<V: Serialize + ?Sized>(
        self,
        _: &'static str,
        value: &V,
    ) -> Result<(), Refused> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<V: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: &V,
    ) -> Result<(), Refused> {
        Err(self.0.refuse("an enumeration with content"))
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<Self::SerializeSeq, Refused> {
        Err(self.0.refuse("a sequence"))
    }

    fn serialize_tuple(self, _: usize) -> Result<Self::SerializeTuple, Refused> {
        Err(self.0.refuse("a sequence"))
    }

    fn serialize_tuple_struct(
        self,
        _: &'static str,
        _: usize,
    ) -> Result<Self::SerializeTupleStruct, Refused> {
        Err(self.0.refuse("a sequence"))
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self::SerializeTupleVariant, Refused> {
        Err(self.0.refuse("an enumeration with content"))
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Self::SerializeMap, Refused> {
        self.0.fields()
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Self::SerializeStruct, Refused> {
        self.0.fields()
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self::SerializeStructVariant, Refused> {
        Err(self.0.refuse("an enumeration with content"))
    }
}
