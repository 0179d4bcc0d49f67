//! Operators on constants and on shapes, which are computed when a file is read.

use super::tensor::{Constant, Data, MOST_AXES};
use super::value::{Attributes, Fault, Found, Value};
use std::rc::Rc;

/// The value of a node whose inputs are constants.
pub(super) fn fold(
    op: &str,
    attributes: &Attributes<'_>,
    inputs: &[Rc<Constant>],
) -> Found<Constant> {
    let Some(first) = inputs.first() else {
        return Err(Fault::new("an input", "none"));
    };
    let axes = || match inputs.get(1) {
        Some(axes) => axes.to_integers(),
        None => attributes.ints("axes").map(<[i64]>::to_vec),
    };
    let changes_axes = matches!(op, "Squeeze" | "Unsqueeze" | "Reshape");
    let count = inputs.get(1).map_or(0, |axes| axes.len());
    let count = count.max(attributes.ints("axes").map_or(0, <[i64]>::len));
    if changes_axes && count > MOST_AXES {
        return Err(Fault::new(format!("at most {MOST_AXES} axes"), count.to_string()));
    }
    Ok(match op {
        "Identity" | "Dropout" => (**first).clone(),
        "Reshape" => {
            let shape = inputs.get(1).and_then(|shape| shape.to_integers());
            let shape = shape.ok_or_else(|| Fault::new("a shape of whole numbers", "none"))?;
            with_shape(first, reshaped(&first.shape, &shape)?)
        }
        "Flatten" => {
            let rank = first.shape.len() as i64;
            let axis = attributes.int("axis", 1);
            let axis = (if axis < 0 { axis + rank } else { axis }).clamp(0, rank) as usize;
            let (one, other) = first.shape.split_at(axis);
            with_shape(first, vec![one.iter().product(), other.iter().product()])
        }
        "Squeeze" => {
            let axes = axes();
            let rank = first.shape.len() as i64;
            let is_gone = |place: usize| match &axes {
                Some(axes) => axes.iter().any(|x| x.rem_euclid(rank.max(1)) == place as i64),
                None => first.shape[place] == 1,
            };
            let kept = (0..first.shape.len()).filter(|place| !is_gone(*place));
            with_shape(first, kept.map(|place| first.shape[place]).collect())
        }
        "Unsqueeze" => {
            let axes = axes().unwrap_or_default();
            let rank = (first.shape.len() + axes.len()) as i64;
            let mut own = first.shape.iter();
            let is_new = |place: i64| axes.iter().any(|x| x.rem_euclid(rank.max(1)) == place);
            let shape = (0..rank).map(|place| if is_new(place) { Some(&1) } else { own.next() });
            let shape: Option<Vec<usize>> = shape.map(Option::<&usize>::copied).collect();
            with_shape(first, shape.ok_or_else(|| Fault::new("axes of the result", "others"))?)
        }
        "Transpose" => transpose(first, attributes)?,
        "Add" | "Sub" | "Mul" | "Div" => binary(op, inputs)?,
        "Neg" | "Sqrt" | "Reciprocal" => {
            let numbers =
                first.to_numbers().ok_or_else(|| Fault::new("constant numbers", "texts"))?;
            let f = |x: f64| match op {
                "Neg" => -x,
                "Sqrt" => x.sqrt(),
                _ => 1.0 / x,
            };
            Constant::numbers(first.shape.clone(), numbers.into_iter().map(f).collect())
        }
        "Concat" => concat(inputs, attributes)?,
        _ => return Err(Fault::new("an operator that is known for constants", op)),
    })
}

fn with_shape(constant: &Constant, shape: Vec<usize>) -> Constant {
    match shape.iter().product::<usize>() == constant.len() {
        true => Constant { shape, data: constant.data.clone() },
        false => constant.clone(),
    }
}

/// The shape that a Reshape gives; 0 copies a dimension and -1 is what is left.
pub(super) fn reshaped(from: &[usize], to: &[i64]) -> Found<Vec<usize>> {
    let all: usize = from.iter().product();
    let misfit = || Fault::new(format!("a shape of {all} numbers"), format!("{to:?}"));
    let known = |(place, rows): (usize, &i64)| match rows {
        -1 => Some(1),
        0 => from.get(place).copied(),
        rows => usize::try_from(*rows).ok(),
    };
    let shape: Option<Vec<usize>> = to.iter().enumerate().map(known).collect();
    let mut shape = shape.ok_or_else(misfit)?;
    let known = shape.iter().try_fold(1usize, |all, rows| all.checked_mul(*rows));
    let known = known.ok_or_else(misfit)?;
    if let Some(place) = to.iter().position(|rows| *rows == -1) {
        shape[place] = all.checked_div(known).ok_or_else(misfit)?;
    }
    let product = shape.iter().try_fold(1usize, |all, rows| all.checked_mul(*rows));
    if product == Some(all) { Ok(shape) } else { Err(misfit()) }
}

fn transpose(constant: &Constant, attributes: &Attributes<'_>) -> Found<Constant> {
    let rank = constant.shape.len();
    let order: Vec<usize> = match attributes.ints("perm") {
        Some(order) => order.iter().map(|x| *x as usize).collect(),
        None => (0..rank).rev().collect(),
    };
    let mut sorted = order.clone();
    sorted.sort_unstable();
    if sorted != (0..rank).collect::<Vec<_>>() {
        return Err(Fault::new(format!("an order of {rank} axes"), format!("{order:?}")));
    }
    let mut steps = vec![1; rank];
    for place in (1..rank).rev() {
        steps[place - 1] = steps[place] * constant.shape[place];
    }
    let shape: Vec<usize> = order.iter().map(|&axis| constant.shape[axis]).collect();
    let source = |mut index: usize| {
        let mut at = 0;
        for (rows, axis) in shape.iter().zip(&order).rev() {
            at += index % rows * steps[*axis];
            index /= rows;
        }
        at
    };
    let places = 0..constant.len();
    let data = match &constant.data {
        Data::Numbers(values) => Data::Numbers(places.map(|i| values[source(i)]).collect()),
        Data::Integers(values) => Data::Integers(places.map(|i| values[source(i)]).collect()),
        Data::Texts(values) => Data::Texts(places.map(|i| values[source(i)].clone()).collect()),
    };
    Ok(Constant { shape, data })
}

/// Two constants, of which one has one number or both have the same shape or the same last dimension.
fn binary(op: &str, inputs: &[Rc<Constant>]) -> Found<Constant> {
    let [a, b] = inputs else { return Err(Fault::new("two inputs", inputs.len().to_string())) };
    let texts = || Fault::new("constant numbers", "texts");
    let (x, y) = (a.to_numbers().ok_or_else(texts)?, b.to_numbers().ok_or_else(texts)?);
    let shape = if a.len() >= b.len() { &a.shape } else { &b.shape };
    let fits = |one: &Constant| {
        let own: Vec<&usize> = one.shape.iter().skip_while(|rows| **rows == 1).collect();
        shape.len() >= own.len()
            && own.iter().rev().zip(shape.iter().rev()).all(|(own, rows)| *own == rows)
    };
    if !fits(a) || !fits(b) || x.is_empty() || y.is_empty() {
        let found = format!("{:?} and {:?}", a.shape, b.shape);
        return Err(Fault::new("constants of the same shape, or a number", found));
    }
    let f = |x: f64, y: f64| match op {
        "Add" => x + y,
        "Sub" => x - y,
        "Mul" => x * y,
        _ => x / y,
    };
    let count = x.len().max(y.len());
    let values: Vec<f64> = (0..count).map(|i| f(x[i % x.len()], y[i % y.len()])).collect();
    Ok(match (&a.data, &b.data) {
        (Data::Integers(_), Data::Integers(_)) => {
            Constant::integers(shape.clone(), values.iter().map(|x| *x as i64).collect())
        }
        _ => Constant::numbers(shape.clone(), values),
    })
}

fn concat(inputs: &[Rc<Constant>], attributes: &Attributes<'_>) -> Found<Constant> {
    let first = &inputs[0];
    let rank = first.shape.len() as i64;
    let axis = attributes.int("axis", 0);
    let axis = if axis < 0 { axis + rank } else { axis };
    let others = |one: &Constant| {
        let places = one.shape.iter().enumerate().filter(|(place, _)| *place as i64 != axis);
        places.map(|(_, rows)| *rows).collect::<Vec<_>>()
    };
    let same_type = inputs
        .iter()
        .all(|one| std::mem::discriminant(&one.data) == std::mem::discriminant(&first.data));
    if !(0..rank).contains(&axis)
        || inputs.iter().any(|one| one.shape.len() != first.shape.len())
        || !same_type
        || inputs.iter().any(|one| others(one) != others(first))
    {
        let shapes: Vec<&Vec<usize>> = inputs.iter().map(|one| &one.shape).collect();
        return Err(Fault::new("constants that differ in one dimension", format!("{shapes:?}")));
    }
    let axis = axis as usize;
    let blocks: usize = first.shape[..axis].iter().product();
    let size = |one: &Constant| one.shape[axis..].iter().product::<usize>();
    let mut shape = first.shape.clone();
    shape[axis] = inputs.iter().map(|one| one.shape[axis]).sum();
    macro_rules! joined {
        ($kind:ident) => {{
            let mut all = Vec::new();
            for block in 0..blocks {
                for one in inputs {
                    if let Data::$kind(values) = &one.data {
                        let size = size(one);
                        all.extend_from_slice(&values[block * size..(block + 1) * size]);
                    }
                }
            }
            Data::$kind(all)
        }};
    }
    let data = match &first.data {
        Data::Numbers(_) => joined!(Numbers),
        Data::Integers(_) => joined!(Integers),
        Data::Texts(_) => joined!(Texts),
    };
    Ok(Constant { shape, data })
}

/// A node on the shape of a value, of which the number of samples is not known.
pub(super) fn of_sizes(op: &str, inputs: &[Value]) -> Found<Value> {
    let sizes = |value: &Value| -> Found<Vec<Option<i64>>> {
        match value {
            Value::Sizes(sizes) => Ok(sizes.clone()),
            other => Ok(other.integers()?.into_iter().map(Some).collect()),
        }
    };
    let index = |x: i64, count: usize| {
        let place = if x < 0 { x + count as i64 } else { x };
        let place = usize::try_from(place).ok().filter(|place| *place < count);
        place.ok_or_else(|| Fault::new(format!("an index below {count}"), x.to_string()))
    };
    let first = sizes(&inputs[0])?;
    Ok(match (op, inputs) {
        ("Identity" | "Reshape", _) => inputs[0].clone(),
        ("Unsqueeze" | "Squeeze", _) => Value::Sizes(first),
        ("Gather", [_, at]) => {
            let places = at.integers()?;
            let sizes = places.iter().map(|x| Ok(first[index(*x, first.len())?]));
            Value::Sizes(sizes.collect::<Found<_>>()?)
        }
        ("Slice", [_, from, to, ..]) => {
            if inputs.get(4).map_or(Ok(1.0), Value::scalar)? != 1.0 {
                return Err(Fault::new("a slice without a step", "another"));
            }
            let count = first.len() as i64;
            let bound = |value: &Value| -> Found<usize> {
                let x = value.scalar()? as i64;
                Ok((if x < 0 { x + count } else { x }).clamp(0, count) as usize)
            };
            let (from, to) = (bound(from)?, bound(to)?);
            let sizes = first.get(from..to).unwrap_or_default().to_vec();
            Value::Sizes(sizes)
        }
        ("Concat", _) => {
            let all = inputs.iter().map(sizes).collect::<Found<Vec<_>>>()?;
            Value::Sizes(all.concat())
        }
        _ => return Err(Fault::new("an operator that is known for shapes", op)),
    })
}
