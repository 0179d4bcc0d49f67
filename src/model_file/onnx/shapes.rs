//! Operators that change the shape of rows, or choose among their numbers.

use super::call::{Call, rows};
use super::constants::reshaped;
use super::expression::{Expressions, Op};
use super::front::Feature;
use super::tensor::MOST_AXES;
use super::value::{Fault, Found, Rows, Value};

pub(super) fn reshape(call: &Call<'_>, x: Rows) -> Found<Value> {
    let target: Vec<Option<i64>> = match call.input(1)? {
        Value::Sizes(sizes) => sizes.clone(),
        shape => shape.integers()?.into_iter().map(Some).collect(),
    };
    let allows_zero = call.attributes.int("allowzero", 0) != 0;
    let is_empty = allows_zero && target.contains(&Some(0));
    let refused = || {
        let expected = format!("a shape that keeps the samples of {}", x.shape());
        Fault::new(expected, format!("{target:?}").replace("Some(", "").replace(')', ""))
    };
    let Some((first, rest)) = target.split_first() else { return Err(refused()) };
    if is_empty || target.len() > MOST_AXES {
        return Err(refused());
    }
    // N stays N if it is copied, or what is left when the others make up a sample.
    let keeps = match first {
        None => true,
        Some(0) => !allows_zero,
        Some(-1) => !rest.contains(&Some(-1)),
        Some(rows) => call.batch.is_some_and(|batch| batch as i64 == *rows),
    };
    let inner: Option<Vec<i64>> = rest
        .iter()
        .enumerate()
        .map(|(place, rows)| match rows {
            // A dimension that is copied.
            Some(0) if !allows_zero => x.dims.get(place).map(|rows| *rows as i64),
            rows => *rows,
        })
        .collect();
    let inner = inner.filter(|_| keeps).ok_or_else(refused)?;
    let dims = reshaped(&x.dims, &inner).map_err(|_| refused())?;
    Ok(rows(x.of, dims))
}

pub(super) fn squeeze(call: &Call<'_>, x: Rows) -> Found<Value> {
    let axes = match call.axes()? {
        Some(axes) => axes,
        None if call.batch == Some(1) => {
            return Err(Fault::new("axes, as there may be one sample", "none"));
        }
        None => {
            let ones = x.dims.iter().zip(1..).filter(|(rows, _)| **rows == 1);
            ones.map(|(_, axis)| axis).collect()
        }
    };
    let gone = axes.iter().map(|axis| x.axis(*axis)).collect::<Found<Vec<_>>>()?;
    if gone.iter().any(|place| x.dims[*place] != 1) {
        return Err(Fault::new("axes of one number", format!("{axes:?} of {}", x.shape())));
    }
    let kept = x.dims.iter().enumerate().filter(|(place, _)| !gone.contains(place));
    Ok(rows(x.of, kept.map(|(_, rows)| *rows).collect()))
}

pub(super) fn unsqueeze(call: &Call<'_>, x: Rows) -> Found<Value> {
    let axes = call.axes()?.unwrap_or_default();
    let rank = (x.dims.len() + axes.len()) as i64 + 1;
    let new: Vec<i64> = axes.iter().map(|axis| axis.rem_euclid(rank)).collect();
    if new.contains(&0) {
        return Err(Fault::new("axes within a sample", format!("{axes:?}")));
    }
    let mut own = x.dims.iter();
    let dims =
        (1..rank).map(|place| if new.contains(&place) { Some(1) } else { own.next().copied() });
    let dims: Option<Vec<usize>> = dims.collect();
    dims.map(|dims| rows(x.of, dims))
        .ok_or_else(|| Fault::new("axes that differ", format!("{axes:?}")))
}

/// An order of axes that changes nothing but dimensions of 1.
pub(super) fn transpose(call: &Call<'_>, x: Rows) -> Found<Value> {
    let refused = || Fault::new("an order of axes that keeps the numbers in theirs", x.shape());
    let order = call.attributes.ints("perm").ok_or_else(refused)?;
    let places = match order.split_first() {
        Some((0, rest)) if rest.len() == x.dims.len() => rest,
        _ => return Err(refused()),
    };
    let dims = places.iter().map(|axis| x.axis(*axis).map(|place| (place, x.dims[place])));
    let dims = dims.collect::<Found<Vec<_>>>()?;
    let moved: Vec<usize> =
        dims.iter().filter(|(_, rows)| *rows != 1).map(|(place, _)| *place).collect();
    let mut all: Vec<usize> = dims.iter().map(|(place, _)| *place).collect();
    all.sort_unstable();
    all.dedup();
    match moved.is_sorted() && all.len() == dims.len() {
        true => Ok(rows(x.of, dims.into_iter().map(|(_, rows)| rows).collect())),
        false => Err(refused()),
    }
}

/// Some of the features.
pub(super) fn select(call: &Call<'_>, expressions: &mut Expressions, x: Rows) -> Found<Value> {
    let Op::Features(features) = &expressions.get(x.of).op else {
        return Err(Fault::new(
            "a choice among the inputs of the graph",
            "one among computed numbers",
        ));
    };
    let count = x.vector()?;
    let axis_of = |axis: i64| match x.axis(axis)? + 1 == x.dims.len() {
        true => Ok(()),
        false => Err(Fault::new("the last axis", axis.to_string())),
    };
    let places: Vec<i64> = if call.op == "Gather" {
        axis_of(call.attributes.int("axis", 0))?;
        call.input(1)?.integers()?
    } else {
        let part = |place: usize| call.input(place).and_then(Value::integers);
        let step = call.optional(4).map_or(Ok(vec![1]), Value::integers)?;
        let ([from], [to], [axis], [1]) = (&part(1)?[..], &part(2)?[..], &part(3)?[..], &step[..])
        else {
            return Err(Fault::new("a slice of one axis without a step", "another"));
        };
        axis_of(*axis)?;
        let rows = count as i64;
        let bound = |x: i64| (if x < 0 { x + rows } else { x }).clamp(0, rows);
        (bound(*from)..bound(*to)).collect()
    };
    // Before the features are there.
    let (all, count) = (features.clone(), count as i64);
    expressions.spend(8 * (places.len() + all.len()))?;
    let chosen = places.iter().map(|place| {
        let index = if *place < 0 { place + count } else { *place };
        all.get(usize::try_from(index).unwrap_or(usize::MAX)).cloned()
    });
    let chosen: Option<Vec<Feature>> = chosen.collect();
    let chosen = chosen.filter(|chosen| !chosen.is_empty());
    let chosen = chosen.ok_or_else(|| Fault::new(format!("indices below {count}"), "others"))?;
    let dims = match call.op == "Gather" && call.input(1)?.constant()?.shape.is_empty() {
        true => Vec::new(),
        false => vec![chosen.len()],
    };
    Ok(rows(expressions.features(chosen)?, dims))
}

pub(super) fn arg_max(call: &Call<'_>, x: Rows) -> Found<Value> {
    let place = x.axis(call.attributes.int("axis", 0))?;
    let first = call.attributes.int("select_last_index", 0) == 0;
    match first && x.dims[place] == x.width() && place + 1 == x.dims.len() {
        true => Ok(Value::Class(x.of)),
        false => Err(Fault::new("the first of the highest scores of a sample", "another")),
    }
}
