//! Values of a graph as it is read, and what is wrong with a node.

use std::rc::Rc;

use super::expression::{Id, TooMuch};
use super::message::{Attribute, Node};
use super::tensor::Constant;

/// A value between nodes. `N` is the number of samples.
#[derive(Clone, Debug)]
pub(super) enum Value {
    Constant(Rc<Constant>),
    /// `[N, dims...]`
    Rows(Rows),
    /// Columns of texts, `[N, columns]`
    Texts(Vec<usize>),
    /// The shape of a value, or a part of it; `None` is N.
    Sizes(Vec<Option<i64>>),
    /// The number of the class with the highest score of each row
    Class(Id),
    /// Its name
    Label {
        of: Id,
        classes: Rc<Vec<String>>,
    },
    /// Rows with a name for each number
    Map {
        of: Id,
        classes: Rc<Vec<String>>,
    },
    /// Whether each number is above this one
    Above {
        of: Id,
        bound: f64,
    },
}

/// Rows of numbers.
#[derive(Clone, Debug)]
pub(super) struct Rows {
    pub(super) of: Id,
    /// Dimensions of a sample.
    pub(super) dims: Vec<usize>,
}

/// What is wrong with a node: what it would take, and what is there.
#[derive(Debug)]
pub(super) struct Fault {
    pub(super) expected: String,
    pub(super) found: String,
}

impl Fault {
    pub(super) fn new(expected: impl Into<String>, found: impl Into<String>) -> Self {
        Fault { expected: expected.into(), found: found.into() }
    }
}

impl From<TooMuch> for Fault {
    fn from(_: TooMuch) -> Self {
        Fault::new("a graph that computes no more numbers than its file has constants for", "more")
    }
}

pub(super) type Found<V> = Result<V, Fault>;

impl Value {
    pub(super) fn describe(&self) -> String {
        match self {
            Value::Constant(constant) => format!("a constant of shape {:?}", constant.shape),
            Value::Rows(rows) => format!("computed numbers of shape {}", rows.shape()),
            Value::Texts(columns) => format!("texts of shape [N, {}]", columns.len()),
            Value::Sizes(_) => "the shape of a value".to_owned(),
            Value::Class(_) => "numbers of classes".to_owned(),
            Value::Label { .. } => "names of classes".to_owned(),
            Value::Map { .. } => "a map of scores".to_owned(),
            Value::Above { .. } => "a comparison".to_owned(),
        }
    }

    pub(super) fn rows(&self) -> Found<&Rows> {
        match self {
            Value::Rows(rows) => Ok(rows),
            other => Err(Fault::new("an input that depends on the samples", other.describe())),
        }
    }

    pub(super) fn constant(&self) -> Found<&Rc<Constant>> {
        match self {
            Value::Constant(constant) => Ok(constant),
            other => Err(Fault::new("a constant", other.describe())),
        }
    }

    pub(super) fn numbers(&self) -> Found<Vec<f64>> {
        let constant = self.constant()?;
        constant.to_numbers().ok_or_else(|| Fault::new("constant numbers", "texts"))
    }

    pub(super) fn integers(&self) -> Found<Vec<i64>> {
        let constant = self.constant()?;
        constant.to_integers().ok_or_else(|| Fault::new("constant whole numbers", "others"))
    }

    /// One constant number.
    pub(super) fn scalar(&self) -> Found<f64> {
        let constant = self.constant()?;
        constant.scalar().ok_or_else(|| Fault::new("one constant number", self.describe()))
    }
}

impl Rows {
    pub(super) fn shape(&self) -> String {
        let dims: String = self.dims.iter().map(|rows| format!(", {rows}")).collect();
        format!("[N{dims}]")
    }

    /// Numbers of a sample.
    pub(super) fn width(&self) -> usize {
        self.dims.iter().product()
    }

    /// Numbers of a sample, where they are a vector: all dimensions but the last are 1.
    pub(super) fn vector(&self) -> Found<usize> {
        match self.dims.split_last() {
            Some((&last, others)) if others.iter().all(|rows| *rows == 1) => Ok(last),
            _ => Err(Fault::new("rows of numbers, [N, K]", self.shape())),
        }
    }

    /// The place of an axis among the dimensions of a sample.
    pub(super) fn axis(&self, axis: i64) -> Found<usize> {
        let rank = self.dims.len() as i64 + 1;
        let place = if axis < 0 { axis + rank } else { axis };
        if (1..rank).contains(&place) {
            return Ok(place as usize - 1);
        }
        let expected = "an axis within a sample, as axis 0 counts the samples";
        Err(Fault::new(expected, format!("axis {axis} of {}", self.shape())))
    }

    /// A constant as a number for each of a sample's, as it is broadcast.
    pub(super) fn broadcast(&self, constant: &Constant) -> Found<Vec<f64>> {
        let values =
            constant.to_numbers().ok_or_else(|| Fault::new("constant numbers", "texts"))?;
        let misfit = || {
            let expected =
                format!("a constant that is the same for all samples of {}", self.shape());
            Fault::new(expected, format!("one of shape {:?}", constant.shape))
        };
        let rank = self.dims.len() + 1;
        let shape = &constant.shape;
        if shape.len() > rank || (shape.len() == rank && shape[0] != 1) {
            return Err(misfit());
        }
        let own = if shape.len() == rank { &shape[1..] } else { &shape[..] };
        let missing = self.dims.len() - own.len();
        if own.iter().zip(&self.dims[missing..]).any(|(rows, dim)| rows != dim && *rows != 1) {
            return Err(misfit());
        }
        // The step in the constant for each dimension of a sample.
        let mut steps = vec![0; self.dims.len()];
        let mut step = 1;
        for (place, rows) in own.iter().enumerate().rev() {
            if *rows > 1 {
                steps[missing + place] = step;
            }
            step *= rows;
        }
        let value = |mut index: usize| {
            let mut at = 0;
            for (dim, step) in self.dims.iter().zip(&steps).rev() {
                at += index % dim * step;
                index /= dim;
            }
            values[at]
        };
        Ok((0..self.width()).map(value).collect())
    }
}

/// The attributes of a node.
pub(super) struct Attributes<'n>(pub(super) &'n Node);

impl<'n> Attributes<'n> {
    pub(super) fn get(&self, name: &str) -> Option<&'n Attribute> {
        self.0.attribute.iter().find(|attribute| attribute.name == name)
    }

    pub(super) fn int(&self, name: &str, default: i64) -> i64 {
        self.get(name).map_or(default, |attribute| attribute.i.unwrap_or_default())
    }

    /// A number as it was meant: 0.2 in single precision is 0.2.
    pub(super) fn float(&self, name: &str, default: f64) -> f64 {
        // A field of 0 may be left out.
        let value = self.get(name).map(|attribute| attribute.f.unwrap_or_default());
        value.map_or(default, |x| x.to_string().parse().unwrap_or_else(|_| f64::from(x)))
    }

    pub(super) fn text(&self, name: &str) -> Option<&'n str> {
        let bytes = self.get(name)?.s.as_ref()?;
        std::str::from_utf8(bytes).ok()
    }

    pub(super) fn ints(&self, name: &str) -> Option<&'n [i64]> {
        self.get(name).map(|attribute| &*attribute.ints)
    }

    pub(super) fn floats(&self, name: &str) -> Option<Vec<f64>> {
        self.get(name).map(|attribute| attribute.floats.iter().map(|x| f64::from(*x)).collect())
    }

    pub(super) fn texts(&self, name: &str) -> Found<Option<Vec<String>>> {
        let Some(attribute) = self.get(name) else { return Ok(None) };
        let text = |bytes: &prost::bytes::Bytes| {
            let text = std::str::from_utf8(bytes).map(str::to_owned);
            text.map_err(|error| Fault::new("texts in UTF-8", error.to_string()))
        };
        attribute.strings.iter().map(text).collect::<Found<_>>().map(Some)
    }
}
