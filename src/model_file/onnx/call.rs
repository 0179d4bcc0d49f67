//! A node with its inputs.

use super::tensor::MOST_AXES;
use super::value::{Attributes, Fault, Found, Rows, Value};

/// A node, and what its operator depends on.
pub(super) struct Call<'c> {
    pub(super) op: &'c str,
    pub(super) attributes: Attributes<'c>,
    /// What the file says that an input is; `None` where it is left out.
    pub(super) inputs: Vec<Option<Value>>,
    pub(super) opset: i64,
    /// The number of samples, where the file fixes it.
    pub(super) batch: Option<usize>,
}

impl Call<'_> {
    pub(super) fn input(&self, place: usize) -> Found<&Value> {
        let value = self.inputs.get(place).and_then(Option::as_ref);
        value.ok_or_else(|| Fault::new(format!("input {place}"), "none"))
    }

    pub(super) fn optional(&self, place: usize) -> Option<&Value> {
        self.inputs.get(place).and_then(Option::as_ref)
    }

    /// Axes, which are an attribute or an input, as the opset has it.
    pub(super) fn axes(&self) -> Found<Option<Vec<i64>>> {
        match self.optional(1) {
            Some(axes) => axes.integers().map(Some),
            None => Ok(self.attributes.ints("axes").map(<[i64]>::to_vec)),
        }
        .and_then(|axes: Option<Vec<i64>>| match axes.as_ref().map_or(0, Vec::len) {
            count if count > MOST_AXES => {
                Err(Fault::new(format!("at most {MOST_AXES} axes"), count.to_string()))
            }
            _ => Ok(axes),
        })
    }
}

pub(super) fn rows(of: usize, dims: Vec<usize>) -> Value {
    Value::Rows(Rows { of, dims })
}
