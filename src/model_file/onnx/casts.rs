//! From one type of elements to another.

use std::rc::Rc;

use super::message::data_type::{BOOL, DOUBLE, FLOAT, INT32, INT64, STRING};
use super::message::{Node, type_name};
use super::tensor::{Constant, Data};
use super::value::{Attributes, Fault, Found, Value};

/// The type of a node's first output, for inputs of these types.
pub(super) fn result(node: &Node, inputs: &[Option<i32>]) -> Option<i32> {
    let input = |place: usize| inputs.get(place).copied().flatten();
    match &*node.op_type {
        "Cast" => i32::try_from(Attributes(node).int("to", 0)).ok(),
        "CastLike" | "Where" => input(1),
        "Shape" | "ArgMax" => Some(INT64),
        "Greater" | "GreaterOrEqual" => Some(BOOL),
        "Scaler" | "OneHotEncoder" | "FeatureVectorizer" | "LinearRegressor" => Some(FLOAT),
        "Constant" => node.attribute.first().and_then(|attribute| match &*attribute.name {
            "value" => attribute.t.as_ref()?.data_type,
            "value_float" | "value_floats" => Some(FLOAT),
            "value_int" | "value_ints" => Some(INT64),
            _ => Some(STRING),
        }),
        _ => input(0),
    }
}

/// A value of the type `from`, where that is known, as one of the type `to`.
pub(super) fn cast(value: &Value, from: Option<i32>, to: i32) -> Found<Value> {
    match value {
        Value::Constant(one) => Ok(Value::Constant(Rc::new(constant(one, from, to)?))),
        Value::Rows(_) if keeps_numbers(from, to) => Ok(value.clone()),
        Value::Rows(_) => {
            let expected = "a cast that keeps all numbers, to FLOAT or DOUBLE";
            let found = match from {
                Some(from) => format!("one from {} to {}", type_name(from), type_name(to)),
                None => format!("one to {}", type_name(to)),
            };
            Err(Fault::new(expected, found))
        }
        // Texts, labels and shapes keep their meaning.
        _ => Ok(value.clone()),
    }
}

/// Whether every number stays what it is, but for digits that the network does not have either.
fn keeps_numbers(from: Option<i32>, to: i32) -> bool {
    [FLOAT, DOUBLE].contains(&to) || from == Some(to) || (from, to) == (Some(INT32), INT64)
}

fn constant(constant: &Constant, from: Option<i32>, to: i32) -> Found<Constant> {
    let shape = constant.shape.clone();
    if from == Some(to) {
        return Ok(constant.clone());
    }
    let numbers = || {
        let numbers = constant.to_numbers();
        numbers.ok_or_else(|| Fault::new("a cast of numbers", "one of texts"))
    };
    let whole = |f: fn(f64) -> i64| Ok::<_, Fault>(numbers()?.into_iter().map(f).collect());
    let data = match to {
        DOUBLE => Data::Numbers(numbers()?),
        FLOAT => Data::Numbers(numbers()?.into_iter().map(|x| f64::from(x as f32)).collect()),
        INT64 => Data::Integers(whole(|x| x as i64)?),
        INT32 => Data::Integers(whole(|x| i64::from(x as i32))?),
        BOOL => Data::Integers(whole(|x| i64::from(x != 0.0))?),
        STRING => {
            let texts = constant.to_texts();
            Data::Texts(texts.ok_or_else(|| Fault::new("whole numbers as texts", "fractions"))?)
        }
        _ => {
            let expected = "a cast to FLOAT, DOUBLE, INT64, INT32, BOOL or STRING";
            return Err(Fault::new(expected, format!("one to {}", type_name(to))));
        }
    };
    Ok(Constant { shape, data })
}
