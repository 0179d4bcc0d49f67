//! Single values of a file as a schema says, or why they do not fit.

use std::collections::HashMap;

use foldhash::fast::RandomState;

use super::cell::{Cell, WITH_PERCENT, missing_word, without_zero_decimals};
use super::date::{DateOrder, date_text, has_zone};
use super::number::NumberFormat;
use crate::data::text::{quoted, truth};

/// Different texts and the number of each value's text.
#[derive(Default)]
pub(super) struct Texts {
    pub(super) codes: Vec<u32>,
    pub(super) names: Vec<String>,
    numbers: HashMap<String, u32, RandomState>,
}

impl Texts {
    /// Adds a category, for which 1 and 1.0 are the same.
    pub(super) fn add(&mut self, text: &str) {
        self.add_as_written(without_zero_decimals(text));
    }

    pub(super) fn add_as_written(&mut self, text: &str) {
        let code = self.number(text);
        self.codes.push(code);
    }

    fn number(&mut self, text: &str) -> u32 {
        if let Some(&code) = self.numbers.get(text) {
            return code;
        }
        let code = self.names.len() as u32;
        self.names.push(text.to_owned());
        self.numbers.insert(text.to_owned(), code);
        code
    }

    /// Adds the values below.
    pub(super) fn append(&mut self, below: Texts) {
        let numbers: Vec<u32> = below.names.iter().map(|name| self.number(name)).collect();
        self.codes.extend(below.codes.into_iter().map(|code| numbers[code as usize]));
    }
}

/// What a value should be, and what it is.
pub(super) type Misfit = (String, String);

pub(super) fn text_of(cell: Cell<'_>) -> String {
    match cell {
        Cell::Text(text) => text.to_owned(),
        Cell::Number(x) => x.to_string(),
        Cell::Date(x) => date_text(x),
        Cell::Integer(x) => x.to_string(),
        Cell::Truth(truth) => truth.to_string(),
        Cell::Missing => String::new(),
        Cell::Bytes => "bytes".to_owned(),
    }
}

pub(super) fn no_text() -> Misfit {
    let expected = "a text; TableOptions::drop leaves the column out";
    (expected.to_owned(), "bytes that are no text".to_owned())
}

/// Words for missing values: of all columns, and of this one.
pub(super) type Words<'w> = (&'w [String], Option<&'w str>);

pub(super) fn is_missing(text: &str, (all, own): Words<'_>) -> bool {
    missing_word(text, all).is_some() || own.is_some_and(|own| own.eq_ignore_ascii_case(text))
}

/// A finite number, or NaN for a missing one.
pub(super) fn number(
    cell: Cell<'_>,
    format: NumberFormat,
    words: Words<'_>,
) -> Result<f64, Misfit> {
    let expected = || {
        "a finite number, as in the rest of the column; TableOptions::missing names words for missing values, \
         TableOptions::categorical makes the column one of categories"
            .to_owned()
    };
    match cell {
        Cell::Text(text) => {
            if !words.0.is_empty() && is_missing(text, words) {
                return Ok(f64::NAN);
            }
            if let Some(x) = format.parse(text) {
                return Ok(x);
            }
            if is_missing(text, words) { Ok(f64::NAN) } else { Err((expected(), quoted(text))) }
        }
        Cell::Number(_) | Cell::Integer(_) if format.unit == Some('%') => {
            Err((WITH_PERCENT.to_owned(), text_of(cell)))
        }
        Cell::Number(x) if x.is_infinite() => Err((expected(), x.to_string())),
        Cell::Number(x) => Ok(x),
        Cell::Integer(x) => Ok(x as f64),
        Cell::Missing => Ok(f64::NAN),
        Cell::Truth(truth) => Err((expected(), truth.to_string())),
        Cell::Date(_) => Err((expected(), "a date".to_owned())),
        Cell::Bytes => Err(no_text()),
    }
}

pub(super) fn truth_value(cell: Cell<'_>, words: Words<'_>) -> Result<f64, Misfit> {
    let expected = || "true or false, as in the rest of the column".to_owned();
    let value = |truth: bool| Ok(f64::from(u8::from(truth)));
    match cell {
        Cell::Text(text) => match truth(text) {
            Some(truth) => value(truth),
            None if is_missing(text, words) => Ok(f64::NAN),
            None if text == "0" || text == "1" => value(text == "1"),
            None => Err((expected(), quoted(text))),
        },
        Cell::Truth(truth) => value(truth),
        Cell::Missing => Ok(f64::NAN),
        Cell::Number(x) if x.is_nan() || x == 0.0 || x == 1.0 => Ok(x),
        Cell::Integer(x @ (0 | 1)) => Ok(x as f64),
        cell => Err((expected(), text_of(cell))),
    }
}

/// `zones`: whether dates have a zone, if all do or none does.
pub(super) fn date(
    cell: Cell<'_>,
    (order, zones): (DateOrder, Option<bool>),
    words: Words<'_>,
) -> Result<f64, Misfit> {
    let zone = zones.map_or("", |zones| if zones { " with a zone" } else { " without a zone" });
    let expected = || format!("a date{zone} in the order {order}, as in the rest of the column");
    match cell {
        Cell::Text(text) => match order.parse(text) {
            Some(_) if zones.is_some_and(|zones| zones != has_zone(text)) => {
                Err((expected(), quoted(text)))
            }
            Some(seconds) => Ok(seconds),
            None if is_missing(text, words) => Ok(f64::NAN),
            None => Err((expected(), quoted(text))),
        },
        Cell::Date(seconds) => Ok(seconds),
        Cell::Missing => Ok(f64::NAN),
        cell => Err((expected(), text_of(cell))),
    }
}
