//! The JSON of a request.

use std::fmt;

use axum::http::HeaderMap;
use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use crate::fault::Fault;
use crate::rows::Cell;

/// The header with the length of the JSON in front of binary tensors.
pub(super) const JSON_LENGTH: &str = "inference-header-content-length";

/// The JSON of a request.
#[derive(Deserialize)]
pub(super) struct Request<'a> {
    pub(super) id: Option<String>,
    #[serde(default)]
    pub(super) parameters: Map<String, Value>,
    #[serde(borrow)]
    pub(super) inputs: Vec<Tensor<'a>>,
    pub(super) outputs: Option<Vec<Output>>,
}

/// A tensor of a request.
#[derive(Deserialize)]
pub(super) struct Tensor<'a> {
    pub(super) name: String,
    pub(super) shape: Vec<u64>,
    pub(super) datatype: String,
    #[serde(default)]
    pub(super) parameters: Map<String, Value>,
    #[serde(borrow)]
    pub(super) data: Option<Data<'a>>,
}

/// A tensor that is asked for.
#[derive(Deserialize)]
pub(super) struct Output {
    pub(super) name: String,
    #[serde(default)]
    pub(super) parameters: Map<String, Value>,
}

/// The elements of a tensor in row-major order; lists within lists are flattened.
pub(super) struct Data<'a>(pub(super) Vec<Cell<'a>>);

impl<'de: 'a, 'a> Deserialize<'de> for Data<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut elements = Vec::new();
        deserializer.deserialize_seq(List(&mut elements))?;
        Ok(Data(elements))
    }
}

/// A list of elements or of lists.
struct List<'v, 'de>(&'v mut Vec<Cell<'de>>);

impl<'de> Visitor<'de> for List<'_, 'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of elements")
    }

    fn visit_seq<S: SeqAccess<'de>>(self, mut sequence: S) -> Result<(), S::Error> {
        while sequence.next_element_seed(Element(self.0))?.is_some() {}
        Ok(())
    }
}

/// An element, or a list of elements.
struct Element<'v, 'de>(&'v mut Vec<Cell<'de>>);

impl<'de> DeserializeSeed<'de> for Element<'_, 'de> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Element<'_, 'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an element or a list of elements")
    }

    fn visit_bool<E>(self, x: bool) -> Result<(), E> {
        self.0.push(Cell::Bool(x));
        Ok(())
    }

    fn visit_i64<E>(self, x: i64) -> Result<(), E> {
        self.0.push(Cell::Integer(x.into()));
        Ok(())
    }

    fn visit_u64<E>(self, x: u64) -> Result<(), E> {
        self.0.push(Cell::Integer(x.into()));
        Ok(())
    }

    fn visit_f64<E>(self, x: f64) -> Result<(), E> {
        self.0.push(Cell::Number(x));
        Ok(())
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<(), E> {
        self.0.push(Cell::Text(text.into()));
        Ok(())
    }

    fn visit_str<E>(self, text: &str) -> Result<(), E> {
        self.0.push(Cell::Text(text.to_owned().into()));
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        self.0.push(Cell::Missing);
        Ok(())
    }

    fn visit_seq<S: SeqAccess<'de>>(self, sequence: S) -> Result<(), S::Error> {
        List(self.0).visit_seq(sequence)
    }

    fn visit_map<M: MapAccess<'de>>(self, _: M) -> Result<(), M::Error> {
        Err(serde::de::Error::invalid_type(serde::de::Unexpected::Map, &self))
    }
}

/// Reads the JSON of a body; returns it and the binary tensors behind it.
pub(super) fn parse<'a>(
    headers: &HeaderMap,
    body: &'a [u8],
) -> Result<(Request<'a>, &'a [u8]), Fault> {
    let length = match headers.get(JSON_LENGTH) {
        None => body.len(),
        Some(value) => {
            let text = value.to_str().unwrap_or_default();
            let length = text.parse().ok().filter(|&length: &usize| length <= body.len());
            length.ok_or_else(|| {
                let expected = format!("a number of bytes, at most the {} of the body", body.len());
                Fault::input(JSON_LENGTH, expected, format!("'{text}'"))
            })?
        }
    };
    let (json, binary) = body.split_at(length);
    let request = serde_json::from_slice(json).map_err(|error| {
        let expected = "JSON of an inference request: {\"inputs\": [{\"name\", \"shape\", \"datatype\", \"data\"}]}";
        Fault::input("body", expected, error.to_string())
    })?;
    Ok((request, binary))
}

/// A parameter of a type, if it is there.
pub(super) fn parameter<'p, V>(
    (place, parameters): (&str, &'p Map<String, Value>),
    name: &str,
    expected: &str,
    read: impl FnOnce(&'p Value) -> Option<V>,
) -> Result<Option<V>, Fault> {
    let Some(value) = parameters.get(name) else { return Ok(None) };
    let wrong = || {
        let field = format!("{place}.parameters.{name}");
        Fault::input(field, expected, value.to_string())
    };
    read(value).map(Some).ok_or_else(wrong)
}

/// Refuses parameters of extensions that the server does not have.
pub(super) fn refuse_extensions(place: &str, parameters: &Map<String, Value>) -> Result<(), Fault> {
    let missing = ["classification", "shared_memory_region"];
    match missing.iter().find(|name| parameters.contains_key(**name)) {
        None => Ok(()),
        Some(name) => {
            let field = format!("{place}.parameters.{name}");
            Err(Fault::input(
                field,
                "no parameter of this name: the server lacks the extension",
                "one",
            ))
        }
    }
}
